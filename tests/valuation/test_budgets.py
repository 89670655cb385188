"""Budgets: a closed form, a general optimiser that finds nothing better, bounds, and what is refused."""

import numpy as np
import pytest
import xarray as xr
from scipy import optimize, stats

import bayes_clv as clv
from bayes_clv.valuation import channel, split_budget

NAMES = ("email", "search", "social")


def values(drawn, names=NAMES):
    return xr.DataArray(np.asarray(drawn, dtype=float), {"channel": list(names)}, ("draw", "channel"))


@pytest.fixture(scope="module")
def worth():
    return values(np.random.default_rng(1).gamma(16, [2.0, 1.5, 1.0], (400, 3)))


@pytest.fixture(scope="module")
def stated():
    return [
        channel("email", spent=400, won=40, elasticity=0.5),
        channel("search", spent=900, won=90, most=200),
        channel("social", spent=300, won=25, elasticity=stats.beta(60, 40)),
    ]


def test_two_curves_of_known_value_are_split_as_the_formula_says():
    """Sum of c_i s_i^e under sum s_i = B: s_i goes with (c_i)^(1 / (1 - e))."""
    worth = values(np.full((2, 2), 1e4), ("a", "b"))
    both = [
        channel("a", spent=100, won=10**9, elasticity=0.5),
        channel("b", spent=100, won=2 * 10**9, elasticity=0.5),
    ]
    found = split_budget(worth, both, 1000)
    np.testing.assert_allclose(found["spend"], [200, 800], rtol=1e-3)
    np.testing.assert_allclose(found["spend"].sum(), 1000, rtol=1e-12)
    np.testing.assert_allclose(found["marginal"][0], found["marginal"][1], rtol=1e-6)
    assert found.attrs["unspent"] == pytest.approx(0, abs=1e-9)


def test_no_optimiser_finds_a_better_split(worth, stated):
    found = split_budget(worth, stated, 2000, seed=4)

    def lost(spend):
        at = {name: float(s) for name, s in zip(NAMES, spend, strict=True)}
        fixed = split_budget(worth, stated, 2000, least=at, upmost=at, seed=4)
        return -float(fixed["profit_total"].mean())

    held = {"type": "ineq", "fun": lambda spend: 2000 - spend.sum()}
    best = optimize.minimize(
        lost,
        [600, 700, 600],
        bounds=[(1, 1900)] * 3,
        constraints=held,
        method="SLSQP",
        options={"ftol": 1e-9},
    )
    assert float(found["profit_total"].mean()) >= -best.fun - 1e-6 * abs(best.fun)
    np.testing.assert_allclose(found["spend"], best.x, rtol=0.02)
    gain = found["gain_total"]
    np.testing.assert_allclose(gain, found["profit_total"] - found["profit_today_total"])
    assert gain.mean() > 0


def test_money_that_brings_less_than_itself_is_not_spent(worth, stated):
    found = split_budget(worth, stated, 1e6)
    np.testing.assert_allclose(found["marginal"], 1, rtol=1e-6)
    assert found.attrs["unspent"] == pytest.approx(1e6 - float(found["spend"].sum()))
    assert found.attrs["unspent"] > 0


def test_bounds_hold_and_the_rest_is_best(worth, stated):
    found = split_budget(worth, stated, 1800, least={"social": 700}, upmost={"email": 100})
    assert found["spend"].values[[0, 2]].tolist() == [100, 700]
    assert float(found["spend"].sum()) == pytest.approx(1800)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"channels": [channel("email", cost=3)]}, "'email' lacks spent and won and elasticity or most"),
        ({"channels": [channel("email", spent=9, won=3)]}, "'email' lacks elasticity or most"),
        ({"channels": [channel("email", spent=9, won=3, most=5, elasticity=0.5)]}, "has both elasticity and"),
        (
            {"channels": [channel("email", spent=9, won=3, most=3)]},
            "most of 'email' is 3, but it has won 3 alr",
        ),
        ({"channels": [channel("fax", spent=9, won=3, most=5)]}, "value knows no channel 'fax'"),
        ({"channels": []}, "There is no channel"),
        ({"budget": -5}, "budget must be an amount of money, not negative; it is -5"),
        ({"budget": 0}, "budget must be above 0"),
        ({"least": {"email": 3000}}, "least asks for 3,000 in all, more than the budget of 2,000"),
        (
            {"least": {"email": 30}, "upmost": {"email": 20}},
            "least of 'email', 30, is more than its upmost, 20",
        ),
        ({"least": {"fax": 3}}, "least has 'fax', which is no channel"),
        ({"value": 3.0}, "value must be draws by channel"),
    ],
)
def test_what_cannot_be_split_is_refused(worth, stated, given, message):
    asked = {"value": worth, "channels": stated, "budget": 2000} | given
    with pytest.raises(clv.InputError, match=message):
        split_budget(asked.pop("value"), asked.pop("channels"), asked.pop("budget"), **asked)


def test_more_money_that_brings_more_than_its_share_is_refused():
    with pytest.raises(clv.InputError, match=r"elasticity .* at most 0\.999"):
        channel("email", spent=9, won=3, elasticity=1.2)
