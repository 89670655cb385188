"""The coverage study counts what it says, and its channels are those of the pooling study."""

import numpy as np

from studies import pooling, pooling_coverage, ranks
from studies.calibration_effects import setting


def uniform(bases, seed, per_base=False):
    """Return records of ranks of a right method, the same in all channels of a base or not."""
    rng = np.random.default_rng(seed)
    found = {"flagged": np.zeros(bases)}
    for quantity in pooling.QUANTITIES:
        shared = rng.integers(0, ranks.RANKED + 1, bases)
        for channel in pooling.SIZES:
            own = rng.integers(0, ranks.RANKED + 1, bases)
            found[f"{quantity}[{channel}]"] = shared if per_base else own
            found[f"{quantity}[{channel}] truth"] = rng.normal(-2, 0.4, bases)
    return found


def test_the_standard_error_is_over_bases():
    """Of independent channels it is the binomial one; of equal ones that of a fifth as many intervals."""
    for per_base, intervals in ((False, 5_000), (True, 1_000)):
        rows = pooling_coverage.table({"prior": uniform(1_000, 1, per_base)})
        (row,) = [r for r in rows if (r["quantity"], r["channels"]) == ("log_rate", "all channels")]
        binomial = np.sqrt(pooling_coverage.RIGHT * (1 - pooling_coverage.RIGHT) / intervals)
        assert row["intervals"] == 5_000
        assert 0.8 < row["standard_error"] / binomial < 1.2
        assert abs(row["covered"] - pooling_coverage.RIGHT) < 4 * binomial


def test_the_rule_follows_the_coverage():
    right = uniform(200, 2)
    passed, lines = pooling_coverage.verdict(pooling_coverage.table({"prior": right}), 0.2)
    assert passed
    assert "luck suffices" in lines[-1]
    narrow = right | {
        name: np.clip(3 * rank - 100, 0, 100) for name, rank in right.items() if name[-1] == "]"
    }
    passed, lines = pooling_coverage.verdict(pooling_coverage.table({"prior": narrow}), 0.01)
    assert not passed
    assert "luck does not suffice" in lines[-1]
    # A right method: of 100 intervals 78 or fewer, in any of three, is rare unless bases are lucky as a whole.
    assert pooling_coverage.luck(right) < 0.01 < pooling_coverage.luck(uniform(200, 2, per_base=True))


def test_channels_are_those_of_the_pooling_study():
    of = setting("bg_nbd", pooling_coverage.CASE)
    customers, truth = pooling.simulated(1)
    labels = of.effects.labels["channel"]
    own = np.array(labels, dtype=object)[of.profiles.place["channel"]][of.profiles.index]
    assert own.tolist() == customers["channel"].to_numpy().tolist()
    named = {
        f"{name}[{channel}]": np.float64(value)
        for channel in pooling.SIZES
        for name, value in {"r": 0.8, "alpha": 5.0, "a": 1.0, "b": 3.0}.items()
    }
    found = pooling_coverage.of_channels(named)
    assert set(found) == {f"{quantity}[{channel}]" for quantity in truth for channel in pooling.SIZES}
    assert found["log_rate[podcast]"] == np.log(0.8 / 5.0)
