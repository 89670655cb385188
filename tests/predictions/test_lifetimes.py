"""A lifetime that may end between purchases: the engine, and all who ask about the future, beside the formulas."""

import math
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, stats

import bayes_clv as clv
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.families.lifetimes import LIFETIMES
from bayes_clv.families.purchases import pareto_nbd
from bayes_clv.families.spend import gamma_gamma
from bayes_clv.predictions import waiting
from bayes_clv.predictions.engine import Calendar, Money, Plan, simulate_futures
from bayes_clv.predictions.parameters import parameters
from bayes_clv.schema import InputError
from bayes_clv.units import discount_rate
from bayes_clv.valuation.cohort import expected_new_customer

DRAWS = 40_000
VALUES = {"r": 0.553, "alpha": 10.58, "s": 0.606, "beta": 11.67}
HISTORIES = [(0, 0.0, 30.0), (1, 10.0, 30.0), (3, 25.0, 38.0), (12, 36.0, 37.0), (29, 38.0, 38.9)]


def plan_of(histories, values, horizon, *, draws=DRAWS, seed=1, spend=None, discount=0.0, **options):
    """Return a plan of customers with these (x, t_x, T) and the same parameters in every draw."""
    x, t_x, age = (np.atleast_1d(np.asarray(column, dtype=float)) for column in zip(*histories, strict=True))
    each = {name: np.full(draws, value) for name, value in values.items()}

    def state(rows):
        return pareto_nbd.future_state(x[rows, None], t_x[rows, None], age[rows, None], **each)

    money = None
    if spend is not None:
        pay = {name: np.full(draws, value) for name, value in spend.items()}

        def spend_state(rows):
            return gamma_gamma.spend_state(x[rows, None], np.full((rows.size, 1), 30.0), **pay)

        money = Money(spend_state, pay["p"], discount)
    return Plan(
        purchase_state=state,
        row=np.arange(x.size),
        keys=customer_keys(range(x.size), seed),
        horizon=np.broadcast_to(np.asarray(horizon, dtype=float), x.shape).copy(),
        draws=draws,
        lifetime="continuous",
        money=money,
        **options,
    )


def random_pairs(size):
    rng = np.random.default_rng(8)
    for _ in range(size):
        values = {
            "r": rng.gamma(2, 0.5) + 0.1,
            "alpha": rng.gamma(2, 5) + 0.5,
            "s": rng.gamma(2, 0.5) + 0.1,
            "beta": rng.gamma(2, 8) + 0.5,
        }
        age = rng.uniform(10, 80)
        x = int(rng.integers(0, 12))
        yield values, (x, age * rng.uniform(0.5, 1) if x else 0.0, age), rng.uniform(5, 100)


def test_mean_variance_and_counts_are_those_of_the_closed_form():
    # 12 pairs, three quantities at 4.5 standard errors and a pmf at 1e-4: a false alarm in 0.2 % of seeds.
    for number, (values, history, horizon) in enumerate(random_pairs(12)):
        outcomes = simulate_futures(plan_of([history], values, horizon, keep=True, seed=number))
        n = np.arange(1500)
        pmf = pareto_nbd.purchases_pmf(n, horizon, *history, **values)
        mean = float(pareto_nbd.expected_purchases(horizon, *history, **values))
        assert pmf @ n == pytest.approx(mean, rel=1e-8)
        variance, fourth = float(pmf @ (n - mean) ** 2), float(pmf @ (n - mean) ** 4)
        summary, counts = outcomes.summary, outcomes.kept["purchases"][0]
        assert abs(summary["purchases_mean"][0] - mean) < 4.5 * math.sqrt(variance / DRAWS)
        # The standard error of a sample variance is sqrt((m4 - s^4) / n).
        error = math.sqrt((fourth - variance**2) / DRAWS)
        assert abs(summary["purchases_sd"][0] ** 2 - variance) < 4.5 * error
        active = 1 - pmf[0]
        error = math.sqrt(active * (1 - active) / DRAWS)
        assert abs(summary["probability_active"][0] - active) < 4.5 * error
        top = int(np.flatnonzero(pmf * DRAWS >= 20).max()) + 1
        expected = DRAWS * np.r_[pmf[:top], 1 - pmf[:top].sum()]
        seen = np.bincount(np.minimum(counts, top), minlength=top + 1)
        fits = expected > 5
        chi_square = ((seen - expected) ** 2 / expected)[fits].sum()
        assert chi_square < stats.chi2.ppf(1 - 1e-4, fits.sum() - 1)


def test_the_joint_law_is_that_of_drawing_rate_and_lifetime_first(spend):
    history, horizon = (4, 25.0, 30.0), 60.0
    kept = simulate_futures(plan_of([history], VALUES, horizon, spend=spend, keep=True)).kept
    rng = np.random.default_rng(5)
    size = np.ones(DRAWS)
    alive, rate, leave = pareto_nbd.latent_draws(rng, *(size * part for part in history), **VALUES)
    lifetime = rng.standard_exponential(DRAWS) / leave
    bought = alive * rng.poisson(rate * np.minimum(lifetime, horizon))
    nu = gamma_gamma.latent_draws(rng, size * history[0], size * 30.0, **spend)
    paid = gamma_gamma.simulate_spend(rng, bought, nu, spend["p"])
    # Two samples of n: the 99.99 % point of the largest difference is 2.23 sqrt(2 / n).
    bound = 2.23 * math.sqrt(2 / DRAWS)
    assert stats.ks_2samp(kept["spend"][0], paid).statistic < bound
    few = (kept["purchases"][0] == 3, bought == 3)
    bound = 2.23 * math.sqrt(1 / few[0].sum() + 1 / few[1].sum())
    assert stats.ks_2samp(kept["spend"][0][few[0]], paid[few[1]]).statistic < bound


def test_discounted_value_and_periods_follow_the_expected_purchases(spend):
    history, horizon, rate, draws = (2, 30.43, 38.86), 200.0, 0.01, 200_000
    calendar = Calendar(np.zeros(1), horizon / 4, 4)
    plan = plan_of([history], VALUES, horizon, spend=spend, discount=rate, draws=draws, calendar=calendar)
    result = simulate_futures(replace(plan, by_customer=True))
    state = pareto_nbd.future_state(*history, **VALUES)
    discounted = float(state[0] * LIFETIMES["continuous"].discounted_purchases(*state[1:], horizon, rate))
    by_hand, _ = integrate.quad(
        lambda t: math.exp(-rate * t) * (state[4] / (state[4] + t)) ** state[3], 0, horizon, epsabs=1e-11
    )
    assert discounted == pytest.approx(float(state[0] * state[1] / state[2] * by_hand), rel=1e-9)
    each = float(gamma_gamma.expected_spend(history[0], 30.0, **spend))
    error = result.summary["value_sd"][0] / math.sqrt(draws)
    assert abs(result.summary["value_mean"][0] - each * discounted) < 4 * error
    undiscounted = each * float(pareto_nbd.expected_purchases(horizon, *history, **VALUES))
    assert undiscounted - each * discounted > 20 * error
    through = pareto_nbd.expected_purchases(horizon * np.arange(5) / 4, *history, **VALUES)
    for i, expected in enumerate(np.diff(through)):
        seen = result.period_total[:, i]
        assert abs(seen.mean() - expected) < 4.5 * seen.std() / math.sqrt(draws)
        np.testing.assert_allclose(result.by_customer["purchases_period"][0, i], seen.mean(), rtol=1e-12)


def test_a_first_order_comes_before_everything_and_the_rest_as_without(spend):
    plan = plan_of([(0, 0.0, 0.0)], VALUES, 52.0, spend=spend, keep=True)
    with_first = simulate_futures(replace(plan, first_order=True)).kept["purchases"][0]
    assert with_first.min() == 1
    mean = float(pareto_nbd.expected_purchases(52.0, 0, 0, 0, **VALUES))
    assert abs(with_first.mean() - 1 - mean) < 4.5 * with_first.std() / math.sqrt(DRAWS)
    # A new customer is alive for certain: the same random numbers give the same repeat purchases.
    np.testing.assert_array_equal(with_first - 1, simulate_futures(plan).kept["purchases"][0])


def test_a_customer_who_left_at_once_brings_a_first_order_and_no_more(spend):
    plan = plan_of([(0, 0.0, 0.0)], VALUES, 52.0, spend=spend, keep=True, first_order=True)

    def half_alive(rows):
        alive, *state = plan.purchase_state(rows)
        return (0.5 * alive, *state)

    counts = simulate_futures(replace(plan, purchase_state=half_alive)).kept["purchases"][0]
    mean = 0.5 * float(pareto_nbd.expected_purchases(52.0, 0, 0, 0, **VALUES))
    assert counts.min() == 1
    assert abs(counts.mean() - 1 - mean) < 4.5 * counts.std() / math.sqrt(DRAWS)


def test_threads_and_tiles_change_no_bit(spend):
    histories = HISTORIES * 120
    plan = plan_of(
        sorted(histories),
        VALUES,
        52.0,
        draws=101,
        spend=spend,
        discount=0.002,
        keep=True,
        top_share=0.2,
        log2_reference=5.0,
        value_above=np.array([10.0, 100.0]),
    )
    one = simulate_futures(plan, threads=1)
    for other in (simulate_futures(plan, threads=2), simulate_futures(plan, threads=2, tile=707)):
        for name, values in one.summary.items():
            np.testing.assert_array_equal(values, other.summary[name])
        for group in ("kept", "by_customer"):
            for name, values in getattr(one, group).items():
                np.testing.assert_array_equal(values, getattr(other, group)[name])
        np.testing.assert_array_equal(one.value_total, other.value_total)
    # Each draw has as many places as the top fifth: the shares add up to it.
    assert one.by_customer["top"].mean() == pytest.approx(0.2, abs=1e-12)
    np.testing.assert_array_equal(one.kept["purchases"].sum(axis=0), one.purchases_total)
    values = one.kept["value"]
    np.testing.assert_allclose(one.summary["value_mean"], values.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(one.by_customer["value_above"][:, 1], (values > 100).mean(axis=1), rtol=1e-12)


def test_another_lifetime_leaves_the_purchases_before_its_end(spend):
    plan = plan_of(HISTORIES, VALUES, 52.0, draws=5_000, spend=spend, keep=True)

    def longer(rows):
        alive, k, scale, a, b = plan.purchase_state(rows)
        return alive, k, scale, a, 10 * b

    counts = simulate_futures(plan).kept["purchases"]
    more = simulate_futures(replace(plan, purchase_state=longer)).kept["purchases"]
    short = simulate_futures(replace(plan, horizon=np.full(len(HISTORIES), 26.0))).kept["purchases"]
    assert (more >= counts).all()
    assert (more > counts).any()
    assert (short <= counts).all()


def test_an_unknown_lifetime_is_refused():
    with pytest.raises(ValueError, match="'eternal' is not one of after_purchase, continuous"):
        simulate_futures(replace(plan_of(HISTORIES, VALUES, 1.0, draws=2), lifetime="eternal"))


# Everything that is asked of a posterior.


@pytest.fixture(scope="module")
def buying():
    rng = np.random.default_rng(20)
    drawn = {
        name: (("chain", "draw"), value * np.exp(0.1 * rng.standard_normal((2, 250))))
        for name, value in VALUES.items()
    }
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset(drawn, coords={"chain": np.arange(2), "draw": np.arange(250)})}
    )
    tree.attrs = {"family": "pareto_nbd", "time_unit": "week"}
    return tree


@pytest.fixture(scope="module")
def customers(make_customers):
    return make_customers(200)


def history_of(customers):
    return [customers[name].to_numpy()[:, None].astype(float) for name in ("frequency", "recency", "T")]


def draws_of(buying):
    return {name: buying["posterior"][name].to_numpy().ravel() for name in pareto_nbd.PARAMETERS}


def test_predict_gives_the_expected_purchases_and_names_the_dropout_rate(buying, customers):
    future = clv.predict(buying, customers, "52 weeks", seed=1, keep_draws=True)
    expected = pareto_nbd.expected_purchases(52.0, *history_of(customers), **draws_of(buying))
    np.testing.assert_allclose(future["purchases_expected"], expected.mean(axis=1), rtol=1e-12)
    kept = future["purchases"].to_numpy().reshape(500, 200).T
    gap = (kept - expected).mean(axis=0)
    assert abs(gap.mean()) < 4.5 * gap.std() / math.sqrt(500)
    assert future["dropout_rate_mean"].attrs["units"] == "1/week"
    assert "dropout_mean" not in future
    assert "dropout_rate_mean" in clv.table(future)


def test_the_next_purchase_is_the_inverse_of_the_probability_of_one(buying, customers):
    result = clv.next_purchase(buying, customers, quantiles=(0.01, 0.1, 0.25, 0.5))
    history, draws = history_of(customers), draws_of(buying)
    ever = result["probability_ever"].to_numpy()
    assert (ever < clv.probability_alive(buying, customers).mean(("chain", "draw"))).all()
    finite = 0
    for i in range(0, 200, 10):
        each = [part[i] for part in history]
        late = pareto_nbd.purchases_at_least(1, 1e12, *each, **draws).mean()
        # Beyond t = 1e12 the density falls as t^-(1 + k + s): less than 1e-9 is missing.
        assert ever[i] == pytest.approx(late, rel=1e-8)
        for j, q in enumerate(result["quantile"].to_numpy()):
            wait = float(result["wait"][i, j])
            if q >= ever[i]:
                assert wait == np.inf
                continue
            finite += 1
            assert pareto_nbd.purchases_at_least(1, wait, *each, **draws).mean() == pytest.approx(q, rel=1e-7)
    assert finite > 30


def test_without_an_end_both_ways_of_waiting_agree():
    """A lifetime that never ends (a = 0) leaves the law of families in which only a purchase ends it."""
    rng = np.random.default_rng(3)
    alive, k = rng.uniform(0.1, 1, (6, 50)), 10 ** rng.uniform(-1, 2, (6, 50))
    scale = 10 ** rng.uniform(0, 2, (6, 50))
    levels = np.array([0.01, 0.2, 0.4])
    never = np.zeros((6, 50)), np.ones((6, 50))
    one = waiting._BY_LIFETIME["after_purchase"](levels, alive, k, scale, *never)
    other = waiting._BY_LIFETIME["continuous"](levels, alive, k, scale, *never)
    np.testing.assert_allclose(one[0], other[0], rtol=1e-8)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-6)


def test_retention_activity_and_dert_are_the_familys(buying, customers):
    history, draws = history_of(customers), draws_of(buying)
    curve = clv.retention_curve(buying, customers, [13.0, 52.0])
    for i, t in enumerate((0.0, 13.0, 52.0)):
        expected = pareto_nbd.survival(t, *history, **draws).mean(axis=1)
        np.testing.assert_allclose(curve["alive_mean"][:, i], expected, rtol=1e-12)
    active = clv.probability_active(buying, customers, 26.0)
    np.testing.assert_allclose(
        active, pareto_nbd.purchases_at_least(1, 26.0, *history, **draws).mean(axis=1), rtol=1e-12
    )
    pmf = clv.purchases_pmf(buying, customers, 26.0, max_count=6)
    np.testing.assert_allclose(pmf.sum("count"), 1, rtol=1e-8)
    dert = clv.expected_residual_transactions(buying, customers, 0.0)
    assert np.isinf(dert.to_numpy()).any()
    assert "s <= 1" in dert.attrs["reasons"][0]


def test_expected_value_is_the_discounted_integral(buying, make_spending, customers):
    spending = make_spending()
    terms = {"horizon": 104.0, "margin": 0.3, "annual_discount_rate": 0.2}
    value = clv.expected_value(buying, spending, customers, keep_draws=True, **terms)
    rate = discount_rate(0.2, "week")
    alive, k, scale, a, b = pareto_nbd.future_state(*history_of(customers), **draws_of(buying))
    position, weight = np.polynomial.legendre.leggauss(60)
    time = 52.0 * (1 + position)[:, None, None]
    inner = (52.0 * weight[:, None, None] * np.exp(-rate * time) * (b / (b + time)) ** a).sum(axis=0)
    spent = {name: spending["posterior"][name].to_numpy().ravel() for name in gamma_gamma.PARAMETERS}
    mean_spend = np.nan_to_num(customers["monetary_value"].to_numpy())[:, None]
    spend = gamma_gamma.expected_spend(customers["frequency"].to_numpy()[:, None], mean_spend, **spent)
    expected = 0.3 * alive * k / scale * inner * spend
    found = value["value_expected"].to_numpy().reshape(500, 200).T
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    streamed = clv.expected_value(buying, spending, customers, threads=2, **terms)
    np.testing.assert_allclose(streamed["value_expected"], expected.mean(axis=1), rtol=1e-9)
    simulated = clv.predict_value(buying, make_spending(q=8.0), customers, seed=1, **terms)
    closed = clv.expected_value(buying, make_spending(q=8.0), customers, **terms)
    gap = simulated["value_total"].to_numpy() - closed["value_expected_total"].to_numpy()
    assert abs(gap.mean()) < 4 * gap.std(ddof=1) / math.sqrt(gap.size)


@pytest.mark.parametrize(("horizon", "discount"), [(52.0, 0.0), (1040.0, 0.01), (0.1, 0.05), (520.0, -0.001)])
def test_a_new_customer_is_worth_the_integral(buying, make_spending, horizon, discount):
    known, payments = parameters(buying, "buying"), parameters(make_spending(), "spending")
    bought, value = expected_new_customer(known, payments, horizon, discount)
    draws = draws_of(buying)
    repeats = pareto_nbd.expected_purchases(horizon, 0, 0, 0, **draws)
    np.testing.assert_allclose(bought, 1 + repeats, rtol=1e-12)
    each = gamma_gamma.population_mean_spend(**payments.values)
    for i in (0, 100, 499):
        r, alpha, s, beta = (draws[name][i] for name in pareto_nbd.PARAMETERS)
        worth, _ = integrate.quad(
            lambda t, s=s, beta=beta: math.exp(-discount * t) * (beta / (beta + t)) ** s,
            *(0, horizon),
            epsabs=0,
            epsrel=1e-11,
            limit=300,
        )
        assert value[i] == pytest.approx(each[i] * (1 + r / alpha * worth), rel=1e-9)


def test_a_cohort_and_its_periods_have_the_expected_purchases(buying, make_spending):
    cohort = clv.predict_cohort(buying, make_spending(), 300, horizon="1 year", periods=4, seed=1)
    gap = cohort["purchases_total"] / 300 - cohort["purchases_expected"]
    assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(500)
    np.testing.assert_array_equal(cohort["purchases_period_total"].sum("period"), cohort["purchases_total"])


def test_tracking_replicates_what_the_family_simulates(buying):
    log = clv.simulate_orders(VALUES, customers=400, seed=2, family="pareto_nbd")
    customers = clv.summarize(log, spend=None, until="2025-09-30", holdout_until="2025-12-31")
    tracking = clv.simulate_tracking(buying, customers, seed=1)
    draws = draws_of(buying)
    age = customers["T"].to_numpy()[:, None]
    expected = pareto_nbd.expected_purchases(age, 0, 0, 0, **draws).sum(axis=0)
    holdout = pareto_nbd.expected_purchases(
        float(customers.attrs["holdout_duration"]), *history_of(customers), **draws
    ).sum(axis=0)
    total = tracking["purchases"].sum("period").to_numpy().ravel() - expected - holdout
    assert abs(total.mean()) < 4 * total.std() / math.sqrt(500)


def test_simulated_orders_want_the_familys_own_parameters():
    with pytest.raises(InputError, match="r, alpha, s, beta"):
        clv.simulate_orders(
            {"r": 1.0, "alpha": 1.0, "a": 1.0, "b": 1.0}, customers=2, seed=1, family="pareto_nbd"
        )
