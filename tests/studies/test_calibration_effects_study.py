"""Quick simulation-based calibration of a fit with groups: the study's own machinery, at a size for gross errors."""

import numpy as np
import pytest

from studies import calibration_effects, ranks
from studies.calibration_effects import Case, loop, prepared, ranked, setting
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

QUICK = 12
# Of 26 quantities and the whole test, one false alarm in 400 runs.
ALARM = 1e-4


@pytest.fixture(scope="module")
def contracts():
    """A contract family with three channels and a covariate, its prior's graph, and a short NUTS."""
    effort = ranks.Effort(chains=1, tune=200, thin=2)
    sizes = dict.fromkeys(("search", "social", "podcast"), 150)
    of = setting("shifted_beta_geometric", Case("periods", {"dropout": "age"}, sizes=sizes, effort=effort))
    return of, *prepared(of, "nuts")


@pytest.mark.full
def test_ranks_of_the_truth_are_uniform(contracts):
    found = loop(*contracts, QUICK, [1, 1]).batch()
    names = [name for name in found if f"{name} truth" in found]
    assert {
        "population_churn",
        "alpha",
        "dropout_coefficient[age]",
        "dropout_channel_offset[podcast]",
    } <= set(names)
    assert {"population_churn[search]", "beta[podcast]", "churn_concentration_channel_sd"} <= set(names)
    for name in names:
        assert ranks.chance(found[name]) > ALARM, name
    # The channel's churn is the population's, moved by the offset on the scale of the log odds.
    odds = {name: found[f"{name} truth"] / (1 - found[f"{name} truth"]) for name in names if "churn" in name}
    moved = np.log(odds["population_churn[search]"] / odds["population_churn"])
    np.testing.assert_allclose(moved, found["dropout_channel_offset[search] truth"], atol=1e-9)


# In short: a biased sampler in test_calibration_study.py, by the same rule.
@pytest.mark.full
@pytest.mark.parametrize(
    ("lost", "seen", "simulations"),
    [("_offset", "dropout_channel_sd", 40), ("_coefficient", "dropout_coefficient[age]", 15)],
)
def test_customers_simulated_without_an_effect_are_caught(contracts, monkeypatch, lost, seen, simulations):
    right = calibration_effects.simulated_base

    def broken(of, rng, values):
        return right(of, rng, {name: 0 * v if name.endswith(lost) else v for name, v in values.items()})

    monkeypatch.setattr(calibration_effects, "simulated_base", broken)
    found = loop(*contracts, simulations, [1, 2]).batch()
    assert ranks.chance(found[seen]) < ALARM


def test_each_customer_is_simulated_at_its_own_parameters():
    """BG/NBD where one channel buys seven times as often as the other, and never leaves."""
    of = setting("bg_nbd", Case("T", sizes={"search": 2_000, "podcast": 1_000}))
    values = {
        "population_purchase_rate": 0.1,
        "r": 2.0,
        "population_dropout": 1e-6,
        "dropout_concentration": 2.0,
    }
    zero = {effect.offset("channel"): np.zeros(2) for effect in of.effects.each}
    labels = of.effects.labels["channel"]
    offset = np.where(np.array(labels) == "podcast", 2.0, 0.0)
    base = calibration_effects.simulated_base(
        of, np.random.default_rng(1), values | zero | {"purchase_channel_offset": offset}
    )
    rate = base["frequency"] / base["T"]
    podcast = np.arange(3_000) >= 2_000
    # Poisson about Gamma rates of mean m and shape 2: a variance of m / T + m^2 / 2 a customer; 4 standard errors.
    for part, mean in ((~podcast, 0.1), (podcast, 0.1 * np.exp(2))):
        error = np.sqrt((mean / base["T"][part] + mean**2 / 2).mean() / part.sum())
        assert abs(rate[part].mean() - mean) < 4 * error
    drawn = bg_nbd.parameters(values) | values | zero | {"purchase_channel_offset": offset}
    own = ranked(of, {name: np.asarray(value)[None] for name, value in drawn.items()})
    assert own["alpha[podcast]"] == pytest.approx(2.0 / (0.1 * np.exp(2)))
    assert own["alpha[search]"] == pytest.approx(20.0)


def test_the_rule_judges_laplace_by_what_it_does_not_flag():
    def row(method, p, unflagged, biased=0.0):
        one = {"family": "bg_nbd", "method": method, "quantity": "r", "sampled": True}
        return one | {"p": p, "p_unflagged": unflagged, "p_biased": biased}

    assert calibration_effects.rule([row("nuts", 0.5, 0.5), row("laplace", 0.0, None, 1.0)]) == []
    (line,) = calibration_effects.rule([row("nuts", 0.5, 0.5), row("laplace", 0.5, 0.0)])
    assert "laplace, r: p_unflagged" in line
    (line,) = calibration_effects.rule([row("nuts", 0.0, 0.5), row("laplace", 0.5, 0.5)])
    assert "nuts, r: p = 0.0" in line
    (line,) = calibration_effects.rule([row("nuts", 0.5, 0.5, 1.0)])
    assert "5 % too large pass" in line


def test_coverage_is_the_share_of_ranks_inside():
    assert calibration_effects.covered(np.arange(ranks.RANKED + 1)) == pytest.approx(91 / 101)
