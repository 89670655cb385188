"""The value of a test of a lever: against the closed form of a normal lever, and its limits."""

import numpy as np
import pytest
from scipy import stats

import bayes_clv as clv
from bayes_clv.schema import InputError
from bayes_clv.valuation.information import RESULTS, worth_of


def closed_form(mean, slope, sd, error):
    """E max(0, N(mean, s)) less max(0, mean), s the standard deviation of the posterior mean (Raiffa & Schlaifer)."""
    s = abs(slope) * sd**2 / np.hypot(sd, error)
    z = mean / s
    return s * (stats.norm.pdf(z) + z * stats.norm.cdf(z)) - max(0.0, mean)


@pytest.mark.parametrize("error", [0.0, 0.02, 0.05, 0.2])
@pytest.mark.parametrize("mean", [-30.0, 5.0])
def test_of_a_normal_lever_it_is_the_closed_form(mean, error):
    size, sd, slope, chance = 4000, 0.05, 1000.0, 10.0
    rng = np.random.default_rng(5)
    # The lever at its own quantiles; beside it what no test of it takes away.
    lever = rng.permutation(0.1 + sd * stats.norm.ppf((np.arange(size) + 0.5) / size))
    difference = mean + slope * (lever - 0.1) + rng.normal(0, chance, size)
    worth, changes = worth_of(difference, lever, error, rng.standard_normal((RESULTS, size)))
    posterior = slope * sd**2 / np.hypot(sd, error)
    # The error of the fitted line, and where results are simulated that of the mean of their part above nothing.
    bound = 4 * chance / np.sqrt(size) + (error > 0) * 4 * posterior / np.sqrt(RESULTS * size)
    assert worth == pytest.approx(closed_form(mean, slope, sd, error), abs=bound)
    other = stats.norm.cdf(-abs(mean) / posterior)
    assert changes == pytest.approx(other, abs=4 * np.sqrt(other * (1 - other) / size) + 0.01)


@pytest.fixture(scope="module")
def simulation(make_customers, make_buying, make_spending):
    return clv.simulate(
        make_buying(),
        make_customers(150),
        "52 weeks",
        spending=make_spending(),
        margin=0.3,
        draws=300,
        seed=2,
    )


def unsure(mean, sd):
    return clv.valuation.relative(stats.norm(mean, sd))


def test_more_exact_tests_are_worth_more_and_none_more_than_everything(simulation):
    dearer = clv.valuation.scenario("Dearer", price="+3 %", purchase_rate=unsure(-0.12, 0.08))
    found = clv.valuation.value_of_information(simulation, dearer, "purchase_rate", [0.0, 0.03, 0.1, 1.0])
    worth = found["worth"].values
    assert (np.diff(worth) <= 1e-9).all()
    assert worth[0] > 3 * float(found["worth_error"][0])
    assert worth[-1] < 0.05 * worth[0]
    assert worth[0] <= found.attrs["perfect"]
    assert found["probability_changes"].values[0] > 0.1
    # It is that of compare_scenarios, of the scenario and the base.
    compared = clv.valuation.compare_scenarios(simulation, [dearer])
    assert found.attrs["perfect"] == pytest.approx(compared.attrs["value_of_perfect_information"])


def test_the_error_of_a_change_is_a_share_of_what_it_changes(simulation):
    """Of a margin of 0.3 a change of 10 % is 0.03: a test that is right to 2 points of the change says 0.006 of it."""
    changed = clv.valuation.scenario("Better goods", margin=unsure(0.0, 0.05), cost_per_order=0.0)
    found = clv.valuation.value_of_information(simulation, changed, "margin", [0.0, 0.02, 0.05])
    ratio = found["worth"].values / float(found["worth"][0])
    # The mean of what is known after it has the spread sd² / sqrt(sd² + error²); about no mean, worth goes with it.
    np.testing.assert_allclose(
        ratio, [1, 0.05 / np.hypot(0.05, 0.02), 0.05 / np.hypot(0.05, 0.05)], atol=0.12
    )


def test_where_the_choice_is_plain_a_test_is_worth_nothing(simulation):
    better = clv.valuation.scenario("Better", spend=unsure(0.5, 0.01))
    found = clv.valuation.value_of_information(simulation, better, "spend", [0.0, 0.1])
    assert (found["worth"] == 0).all()
    assert (found["probability_changes"] == 0).all()


def test_what_cannot_be_learned_is_refused(simulation):
    letter = clv.valuation.scenario("Letter", contact_cost=1.0, purchase_rate=unsure(0.08, 0.03))
    for lever, words in (("contact_cost", "one number"), ("price", "does not state")):
        with pytest.raises(InputError, match=f"{words}.*unsure of purchase_rate"):
            clv.valuation.value_of_information(simulation, letter, lever)
    for error in (-0.1, np.nan, [0.1, -0.2]):
        with pytest.raises(InputError, match="standard error"):
            clv.valuation.value_of_information(simulation, letter, "purchase_rate", error)
