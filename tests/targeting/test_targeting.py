"""Whom to contact: against every possible set, against grids and conjugate arithmetic; promises, risk, information."""

import itertools

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayes_clv as clv
from bayes_clv.schema import InputError
from bayes_clv.targeting.allocation import best_totals, choose, choose_by_quantile, orders
from bayes_clv.targeting.gain import gain_curve
from bayes_clv.targeting.trial import simulated_arm


def made(uplift, place, scale=None, *, control=0.1, spend=50.0, shape=np.inf):
    """Return what predict_uplift would, from draws of the uplift (draw, segment); one amount of spend."""
    uplift = np.asarray(uplift, dtype=float)
    draws, segments = uplift.shape
    dims = ("chain", "draw", "segment")
    labels = np.array([f"s{i}" for i in range(segments)], dtype=object)

    def of(values):
        return (dims, np.broadcast_to(values, uplift.shape)[None].copy())

    return xr.Dataset(
        {
            "uplift": of(uplift),
            "conversion_control": of(control),
            "conversion_treated": of(control + uplift / spend),
            "spend_control": of(spend),
            "spend_treated": of(spend),
            "outcome_control": of(control * spend),
            "spend_shape": (("chain", "draw"), np.full((1, draws), shape)),
            "customer_segment": ("customer", labels[np.asarray(place)]),
            "scale": ("customer", np.ones(len(place)) if scale is None else np.asarray(scale, dtype=float)),
        },
        {
            "chain": [0],
            "draw": np.arange(draws),
            "segment": labels,
            "customer": [f"c{i}" for i in range(len(place))],
        },
    )


def all_sets(worth, scale, cost, place, budget):
    """Return each set within the budget (set, customer) and its total on every draw (set, draw)."""
    sets = np.array(list(itertools.product([False, True], repeat=len(place))))
    sets = sets[(sets * cost).sum(axis=1) <= budget + 1e-12]
    each = scale * worth[:, place] - cost
    return sets, sets @ each.T


@pytest.mark.parametrize("seed", range(6))
def test_the_choice_against_every_set(seed):
    """Ten customers, 1,024 sets: the choice is within its own bound of the best, and exact without a budget."""
    rng = np.random.default_rng(seed)
    worth, place = rng.normal(1.0, 1.5, (40, 3)), rng.integers(0, 3, 10)
    scale, cost = rng.gamma(2, 0.5, 10), rng.uniform(0.1, 2.0, 10)
    cost[0] = 0.0
    added = made(worth, place, scale)
    costs = dict(zip(added["customer"].to_numpy().tolist(), cost.tolist(), strict=True))
    for budget in (None, 0.6 * cost.sum(), 0.2 * cost.sum(), 0.0):
        decision = clv.target(added, cost=costs, budget=budget)
        sets, totals = all_sets(worth, scale, cost, place, np.inf if budget is None else budget)
        best = totals.mean(axis=1).max()
        reached = float(decision["net_gain_total"].mean())
        bound = float(decision["budget_bound"])
        assert best - bound - 1e-9 <= reached <= best + 1e-9
        if budget is None:
            assert reached == pytest.approx(best, abs=1e-9)
            # Known exactly, each draw has a best set of its own.
            perfect = totals.max(axis=0).mean()
            assert float(decision["value_of_perfect_information"]) == pytest.approx(perfect - best, abs=1e-9)
            np.testing.assert_allclose(decision["regret_total"].to_numpy()[0], totals.max(axis=0) - totals[
                (sets == decision["contacted"].to_numpy()).all(axis=1)][0], atol=1e-9)  # fmt: skip
        else:
            assert float((decision["contacted"] * cost).sum()) <= budget + 1e-12
            # The continuous problem has at least the whole one's best, and at most one customer's gain more.
            over = decision["regret_total"].to_numpy()[0] + decision["net_gain_total"].to_numpy()[0]
            gains = np.maximum(scale * worth[:, place] - cost, 0).max(axis=1)
            assert (over >= totals.max(axis=0) - 1e-9).all()
            assert (over <= totals.max(axis=0) + gains + 1e-9).all()


def test_the_continuous_problem_against_a_linear_programme():
    from scipy.optimize import linprog

    rng = np.random.default_rng(3)
    worth, place = rng.normal(1.0, 1.5, (50, 4)), rng.integers(0, 4, 30)
    scale, cost = rng.gamma(2, 0.5, 30), rng.uniform(0.1, 2.0, 30)
    found = best_totals(worth[:, None], np.ones(1), orders(scale, cost, place, 4), 8.0)
    for s in range(50):
        each = scale * worth[s, place] - cost
        exact = linprog(-each, cost[None], [8.0], bounds=(0, 1), method="highs")
        assert found.gain[s] == pytest.approx(-exact.fun, abs=1e-7)
    assert (found.spent <= 8.0 + 1e-9).all()


def test_what_the_bound_is_for():
    """One customer fills the budget and gains 10; ten small ones gain more per cost but 5 in all, and fit first."""
    gain, cost = np.array([10.0, *[0.5] * 10]), np.array([10.0, *[0.1] * 10])
    chosen, bound = choose(gain[:, None], cost[:, None], 10.0)
    assert chosen.tolist() == [-1, *[0] * 10]
    # 5 and nine tenths of the large one: 14, of which 5 were reached.
    assert bound == pytest.approx(9.0)


def normal_draws(size=4000, segments=3, seed=2):
    rng = np.random.default_rng(seed)
    root = np.array([[0.4, 0, 0], [0.2, 0.9, 0], [0.1, 0.0, 2.0]])[:segments, :segments]
    return np.array([1.3, 1.9, 2.6])[:segments] + rng.standard_normal((size, segments)) @ root.T


@pytest.mark.parametrize("budget", [None, 60.0])
@pytest.mark.parametrize("level", [0.05, 0.25])
def test_a_lower_quantile_against_a_grid(level, budget):
    """Three segments of 100 customers at cost 1: every 5 customers of each, 9,261 sets.

    Within 2 % of the best: contacts are whole, and of 59 of them one is 1.7 %.
    """
    worth = normal_draws()
    place = np.repeat(np.arange(3), 100)
    offer, bound = choose_by_quantile(
        worth[:, None], np.ones(1), orders(np.ones(300), np.ones(300), place, 3), budget, level, 300
    )
    chosen = offer == 0
    counts = np.array(list(itertools.product(range(0, 101, 5), repeat=3)), dtype=float)
    if budget is not None:
        counts = counts[counts.sum(axis=1) <= budget]
    totals = counts @ worth[::4].T - counts.sum(axis=1)[:, None]
    best = np.quantile(totals, level, axis=1, method="inverted_cdf").argmax()

    def value(numbers):
        return float(np.quantile(worth @ numbers - numbers.sum(), level, method="inverted_cdf"))

    own = np.bincount(place[chosen], minlength=3).astype(float)
    assert budget is None or own.sum() <= budget
    assert value(own) >= 0.98 * value(counts[best])
    assert value(own) >= bound - 1e-9
    mean_choice = np.where(worth.mean(axis=0) > 1, 100.0, 0.0)
    if budget is None:
        assert value(own) >= value(mean_choice) - 1e-9
        assert level == 0.25 or value(own) > 1.05 * value(mean_choice)


def test_risk_in_a_decision():
    added = made(normal_draws(), np.repeat(np.arange(3), 100))
    neutral, averse = (clv.target(added, cost=1.0, risk=risk) for risk in (None, "q05"))
    q = [float(np.quantile(each["net_gain_total"], 0.05)) for each in (neutral, averse)]
    assert q[1] > q[0]
    assert float(averse["net_gain_total"].mean()) < float(neutral["net_gain_total"].mean())
    assert averse.attrs["risk_value"] >= averse.attrs["risk_bound"]
    # Regret counts from the best; the value of information does not depend on whom the averse choose.
    assert float(averse["value_of_perfect_information"]) == float(neutral["value_of_perfect_information"])
    assert float(averse["regret"]) > float(neutral["regret"])
    median = clv.target(added, cost=1.0, risk="q50")
    assert float(median["contacted"].sum()) == float(neutral["contacted"].sum())
    # Where every set may lose, nobody is contacted.
    poor = clv.target(
        made(normal_draws() - 1.8, np.repeat(np.arange(3), 100), spend=500.0), cost=1.0, risk="q05"
    )
    assert poor.attrs["contacted"] == 0
    assert float(poor["net_gain_total"].mean()) == 0.0


def test_the_value_of_a_test_against_beta_binomial_arithmetic():
    """One segment, p of the treated ~ Beta(5, 45), controls known: the posterior mean is linear in the test.

    Spend is 1, margin 100, cost 1, controls buy with probability 0.09, so that a contact gains 100 (p - 0.09) - 1.
    After n treated the mean of p is (5 + k) / (50 + n), k Beta-binomial: the exact value is a sum over k.
    """
    draws, people, n = 20_000, 1000, 60
    p = np.random.default_rng(4).beta(5, 45, draws)
    added = made((p - 0.09)[:, None], np.zeros(people, dtype=int), control=0.09, spend=1.0)
    decision = clv.target(added, cost=1.0, margin=100.0, test=2 * n, seed=1)
    k = np.arange(n + 1)
    after = people * (100 * ((5 + k) / (50 + n) - 0.09) - 1)
    now = max(0.0, people * (100 * (0.1 - 0.09) - 1))
    exact = float(stats.betabinom.pmf(k, n, 5, 45) @ np.maximum(after, 0)) - now
    error = float(decision["value_of_test_error"])
    # The draws' own mean of p, at whose sign the choice of today hangs, moves the difference by its error as well.
    own = 100 * people * p.std() / np.sqrt(draws)
    assert exact > 10 * error
    assert float(decision["value_of_test"]) == pytest.approx(exact, abs=4 * (error + own))


def test_a_larger_test_is_worth_more_and_never_all():
    rng = np.random.default_rng(6)
    p = rng.beta([5, 20, 3], [45, 160, 30], (6000, 3))
    added = made(50 * (p - 0.09), np.repeat(np.arange(3), [300, 500, 200]), control=0.09)
    worths = [clv.target(added, cost=0.5, test=test, seed=1) for test in (20, 500, 100_000)]
    values = [float(each["value_of_test"]) for each in worths]
    errors = [float(each["value_of_test_error"]) for each in worths]
    perfect = float(worths[0]["value_of_perfect_information"])
    assert values[0] < values[1] < values[2] < perfect + 4 * errors[2]
    assert values[2] > 0.9 * perfect
    assert "value_of_test" not in clv.target(added, cost=0.5)


def test_outcomes_have_the_chance_of_single_customers():
    """Mean and variance of 40 customers' spends, simulated one by one; 20,000 draws of one response."""
    size = 20_000
    conversion, spend, shape = np.full((size, 1), 0.3), np.full((size, 1), 20.0), np.full(size, 1.5)
    bought, money = simulated_arm(np.random.default_rng(1), np.array([40]), conversion, spend, shape)
    # Mean p m, variance p m^2 (1 + 1 / shape) - (p m)^2 of each.
    mean, variance = 40 * 0.3 * 20, 40 * (0.3 * 400 * (1 + 1 / 1.5) - 36)
    assert bought.mean() == pytest.approx(12, abs=4 * np.sqrt(40 * 0.21 / size))
    assert money.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / size))
    # Relative error of a variance of nearly Normal sums: sqrt(2 / size), and kurtosis below 4 instead of 3.
    assert money.var() == pytest.approx(variance, rel=4 * np.sqrt(3 / size))


def test_the_two_levels_of_a_promise():
    """The outcome level has the expected level's mean and the variance of both arms' chance more."""
    added = made(np.full((20_000, 1), 1.0), np.zeros(50, dtype=int), control=0.1, spend=50.0, shape=2.0)
    decision = clv.target(added, cost=0.2, margin=0.5, seed=1)
    expected, outcome = (decision[name].to_numpy() for name in ("net_gain_total", "net_gain_outcome_total"))
    assert expected.std() == pytest.approx(0, abs=1e-9)
    each = sum(p * 2500 * 1.5 - (50 * p) ** 2 for p in (0.1, 0.12))
    variance = 0.25 * 50 * each
    assert expected.mean() == pytest.approx(50 * (0.5 * 1.0 - 0.2))
    assert outcome.mean() == pytest.approx(expected.mean(), abs=4 * np.sqrt(variance / 20_000))
    assert outcome.var() == pytest.approx(variance, rel=4 * np.sqrt(4 / 20_000))
    assert decision["net_gain_outcome_total"].attrs["level"] == "outcome"
    # Customers of unequal scale have the chance of fewer equal ones: sum w² in place of their number.
    scale = np.tile([0.5, 1.5], 25)
    uneven = clv.target(
        made(np.full((20_000, 1), 1.0), np.zeros(50, dtype=int), scale, control=0.1, spend=50.0, shape=2.0),
        cost=0.0, margin=0.5, seed=1,
    )  # fmt: skip
    ratio = (scale**2).sum() / 50
    assert uneven["net_gain_outcome_total"].to_numpy().var() == pytest.approx(ratio * variance, rel=0.06)


def test_a_customers_own_numbers():
    worth, scale = normal_draws(1000), np.array([1.0, 0.5, 2.0])
    decision = clv.target(made(worth, [2, 0, 1], scale), cost=0.7, margin=0.6)
    gain = 0.6 * scale * worth[:, [2, 0, 1]] - 0.7
    np.testing.assert_allclose(decision["net_gain_mean"], gain.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(decision["net_gain_sd"], gain.std(axis=0, ddof=1), rtol=1e-12)
    np.testing.assert_allclose(
        decision["net_gain_q05"], np.quantile(gain, 0.05, axis=0, method="inverted_cdf")
    )
    np.testing.assert_allclose(decision["probability_pays"], (gain > 0).mean(axis=0), atol=1e-12)
    assert sorted(decision["rank"].to_numpy().tolist()) == [1, 2, 3]
    best_first = np.argsort(decision["rank"].to_numpy())
    assert (np.diff(gain.mean(axis=0)[best_first]) <= 0).all()


def test_the_order_of_customers_and_the_unit_of_money_do_not_matter():
    rng = np.random.default_rng(1)
    added = made(normal_draws(), rng.integers(0, 3, 60), rng.gamma(2, 0.5, 60))
    one = clv.target(added, cost=0.9, margin=0.8, budget=20.0, test=100, seed=3)
    shuffled = clv.target(added.isel(customer=rng.permutation(60)), cost=0.9, margin=0.8, budget=20.0, seed=3)
    assert shuffled["contacted"].sel(customer=one["customer"]).equals(one["contacted"])
    cents = added.assign({name: 100 * added[name] for name in ("uplift", "spend_control", "spend_treated")})
    cents = clv.target(cents, cost=90.0, margin=0.8, budget=2000.0, test=100, seed=3)
    assert cents["contacted"].equals(one["contacted"])
    for name in ("regret", "value_of_test", "net_gain_outcome_total", "budget_bound"):
        np.testing.assert_allclose(cents[name], 100 * one[name], rtol=1e-6, atol=1e-6)


def test_the_gain_curve():
    rng = np.random.default_rng(1)
    place, scale = rng.integers(0, 3, 60), rng.gamma(2, 0.5, 60)
    worth = normal_draws(200)
    decision = clv.target(made(worth, place, scale), cost=0.9)
    curve = gain_curve(decision, points=60)
    gain = scale * worth[:, place] - 0.9
    order = np.argsort(-gain.mean(axis=0))
    np.testing.assert_allclose(
        curve["net_gain"].to_numpy()[0, :, 1:], np.cumsum(gain[:, order], axis=1), rtol=1e-9
    )
    best = curve["net_gain"].mean(("chain", "draw")).to_numpy()
    assert float(best.max()) == pytest.approx(float(decision["net_gain_total"].mean()))
    assert int(curve["contacts"][int(best.argmax())]) == decision.attrs["contacted"]
    random = gain_curve(decision, along="random", points=60)["net_gain"].mean(("chain", "draw")).to_numpy()
    np.testing.assert_allclose(random, gain.sum(axis=1).mean() * np.arange(61) / 60, atol=1e-9)
    by_value = gain_curve(decision, along="value", points=60)["net_gain"].to_numpy()[0]
    np.testing.assert_allclose(by_value[:, 1], gain[:, np.argmax(scale)], rtol=1e-9)
    with pytest.raises(InputError, match="Order 'name' is not known"):
        gain_curve(decision, along="name")
    with pytest.raises(InputError, match="result of clv.target"):
        gain_curve(decision.drop_vars("contacted"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cost": -1.0}, "cost must be finite and not negative; 3 of 3"),
        ({"cost": {"c0": 1.0}}, "2 customers have none, such as 'c1'"),
        ({"margin": 0}, "margin must be finite and above 0"),
        ({"budget": -5}, "budget=-5 must be one amount"),
        ({"budget": np.inf}, "budget=inf"),
        ({"risk": 0.1}, "risk=0.1 is not known.*'q10'"),
        ({"risk": "q90"}, "risk='q90' is not known"),
        ({"test": 1}, "test=1 must be a whole number"),
    ],
)
def test_what_is_refused(arguments, message):
    added = made(normal_draws(20), [0, 1, 2])
    with pytest.raises(InputError, match=message):
        clv.target(added, **({"cost": 1.0} | arguments))
    with pytest.raises(InputError, match="no 'uplift'"):
        clv.target(added.drop_vars("uplift"), cost=1.0)


def test_costs_by_id_follow_their_customer():
    added = made(np.full((10, 2), 1.0), [0, 1])
    cost = xr.DataArray([0.5, 2.0], dims="customer", coords={"customer": ["c1", "c0"]})
    decision = clv.target(added, cost=cost)
    assert decision["contacted"].sel(customer="c1") == 1
    assert decision["contacted"].sel(customer="c0") == 0
