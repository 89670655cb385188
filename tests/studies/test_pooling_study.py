"""The pooling study's machinery: it judges as it says, and its bases have the truth that it states."""

import copy

import numpy as np
import pytest

from studies import pooling
from tests.symbols import paper

bg_nbd = paper("bg_nbd")


def record(seed, noise):
    """Return a record whose estimates miss the truth by ``noise[form]`` in every channel."""
    names = list(pooling.SIZES)
    rng = np.random.default_rng(seed)
    truth = {quantity: rng.normal(-1, 0.4, len(names)).tolist() for quantity in pooling.QUANTITIES}
    made = {"seed": seed, "channels": names, "sizes": list(pooling.SIZES.values()), "truth": truth}
    for form in ("pooled", "separate"):
        made[form] = {
            name: {
                quantity: (truth[quantity][i] + noise[form] * rng.standard_normal(), -2.0, 0.0)
                for quantity in pooling.QUANTITIES
            }
            for i, name in enumerate(names)
        }
    made["average_log_rate"] = -1.0
    made["problems"] = {"pooled": [], "all": []}
    made["complete"] = {name: dict.fromkeys(pooling.QUANTITIES, (-1.0, -1.1, -0.9)) for name in names}
    return made


def test_the_rule_follows_the_errors():
    good = [record(seed, {"pooled": 0.05, "separate": 0.5}) for seed in range(20)]
    for each in good:  # The podcast shrinks: half as far from the centre as separately.
        separate = each["separate"]["podcast"]["log_rate"][0]
        each["pooled"]["podcast"]["log_rate"] = ((separate - 1.0) / 2, -2.0, 0.0)
    assert pooling.judge(good)[0]
    exchanged = copy.deepcopy(good)
    for each in exchanged:
        each["pooled"], each["separate"] = each["separate"], each["pooled"]
    passed, lines = pooling.judge(exchanged)
    assert not passed
    assert any("FAILS" in line for line in lines)
    unsure = copy.deepcopy(good)
    unsure[3]["problems"]["pooled"] = ["R-hat is 1.1"]
    passed, lines = pooling.judge(unsure)
    assert not passed
    assert any("base 3, pooled: R-hat" in line for line in lines)


def test_the_table_counts_what_intervals_hold():
    """Intervals from -2 to 0 hold a truth of Normal(-1, 0.4) unless it lies 2.5 deviations away."""
    records = [record(seed, {"pooled": 0.0, "separate": 0.5}) for seed in range(20)]
    rows = {(row["quantity"], row["form"], row["channel"]): row for row in pooling.table(records)}
    assert len(rows) == 3 * 3 * 6
    exact = rows["log_rate", "pooled", "all channels"]
    assert float(exact["root_mean_squared_error"]) == 0
    truth = np.array([each["truth"]["log_rate"] for each in records])
    assert float(exact["covered_by_90_percent_interval"]) == round(((truth > -2) & (truth < 0)).mean(), 2)
    assert float(exact["mean_interval_width"]) == 2
    # Of two bases with 5 and 3 of 5: a mean of 0.8, and a standard deviation of 0.283 over the square root of 2.
    assert pooling.over_bases(np.arange(10).reshape(2, 5) < 8) == pytest.approx(0.2)


def test_a_base_has_the_truth_it_states():
    """The mean frequency of 20,000 customers of one channel against the closed form at their ages.

    The standard error of the mean is its sample standard deviation over sqrt(20,000); 4 of them.
    """
    customers, truth = pooling.simulated(3, {"search": 20_000, "podcast": 2})
    r, rate = pooling.R, np.exp(truth["log_rate"][0])
    dropout = 1 / (1 + np.exp(-truth["logit_dropout"][0]))
    a, b = dropout * pooling.CONCENTRATION, (1 - dropout) * pooling.CONCENTRATION
    own = customers.isel(customer=slice(20_000))
    expected = bg_nbd.expected_purchases(own["T"].values, 0, 0, 0, r, r / rate, a, b)
    frequency = own["frequency"].values
    error = (frequency - expected).std() / np.sqrt(20_000)
    assert abs(frequency.mean() - expected.mean()) < 4 * error


@pytest.mark.full
def test_one_small_base_runs():
    made = pooling.one_base(1, {"search": 200, "podcast": 20})
    assert set(made["pooled"]) == {"search", "podcast"}
    assert set(made["methods"]) == {"all", "search", "podcast"}
    assert not any(made["problems"].values())
