"""Summaries of simulated futures beside closed forms, the draws they are of, and themselves in other pieces."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import integrate, stats

from bayes_clv.distributions.paths import COIN, LIFETIME
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.predictions import tiles
from bayes_clv.predictions.plans import Calendar, Holdout, Money, Plan
from bayes_clv.predictions.scores import (
    MONEY_SCORES,
    PURCHASE_SCORES,
    SCORES,
    interval_ends,
    score_money,
    sort_amounts,
)
from bayes_clv.predictions.statistics import summarise
from bayes_clv.predictions.summaries import simulate_futures
from bayes_clv.schema import INTERVALS, QUANTILES
from tests.symbols import paper

gamma_gamma = paper("gamma_gamma")

bg_nbd, pareto_nbd = paper("bg_nbd"), paper("pareto_nbd")

HISTORIES = [(0, 0.0, 30.0), (1, 10.0, 30.0), (3, 25.0, 38.0), (12, 36.0, 37.0), (29, 38.0, 38.9)]
NAMES = ("alive", "shape", "scale", "a", "b")
PARETO = {"r": 0.553, "alpha": 10.58, "s": 0.606, "beta": 11.67}


def plan_of(histories, values, horizon, *, draws=1000, seed=1, spend=None, discount=0.0, **options):
    """Return a plan of customers with these (x, t_x, T) and the same parameters in every draw."""
    x, t_x, age = (np.atleast_1d(np.asarray(column, dtype=float)) for column in zip(*histories, strict=True))
    each = {name: np.full(draws, value) for name, value in values.items()}
    law = COIN if "a" in values else LIFETIME

    def state(rows):
        history = x[rows, None], t_x[rows, None], age[rows, None]
        known = {"silence": (age - t_x)[rows, None], "horizon": np.full((rows.size, 1), horizon)}
        if law is COIN:
            return known | dict(zip(NAMES, bg_nbd.future_state(*history, **each), strict=True))
        return known | dict(zip(NAMES[1:], pareto_nbd.state_while_alive(*history, **each), strict=True))

    money = None
    if spend is not None:
        pay = {name: np.full(draws, value) for name, value in spend.items()}

        def spend_state(rows):
            return gamma_gamma.spend_state(x[rows, None], np.full((rows.size, 1), 30.0), **pay)

        money = Money(spend_state, lambda rows: pay["p"], discount)
    return Plan(
        law=law,
        state=state,
        row=np.arange(x.size),
        keys=customer_keys(range(x.size), seed),
        draws=draws,
        money=money,
        **options,
    )


DRAWS = 40_000


def random_pairs(size, law=COIN):
    rng = np.random.default_rng(8)
    for _ in range(size):
        values = {"r": rng.gamma(2, 0.5) + 0.1, "alpha": rng.gamma(2, 5) + 0.5}
        if law is COIN:
            values |= {"a": rng.gamma(2, 0.5) + 0.1, "b": rng.gamma(2, 1.5) + 0.2}
        else:
            values |= {"s": rng.gamma(2, 0.5) + 0.1, "beta": rng.gamma(2, 8) + 0.5}
        age = rng.uniform(10, 80)
        x = int(rng.integers(0, 12))
        yield values, (x, age * rng.uniform(0.5, 1) if x else 0.0, age), rng.uniform(5, 100)


def beside_the_pmf(counts, formulas, horizon, history, values):
    """Return z of mean, variance and P(none), and the p-value of all counts."""
    n = np.arange(3000)
    pmf = formulas.purchases_pmf(n, horizon, *history, **values)
    assert pmf.sum() == pytest.approx(1, abs=1e-9)
    mean = float(formulas.expected_purchases(horizon, *history, **values))
    assert pmf @ n == pytest.approx(mean, rel=1e-8)
    variance, fourth = float(pmf @ (n - mean) ** 2), float(pmf @ (n - mean) ** 4)
    # The standard error of a sample variance is sqrt((m4 - s^4) / n).
    moments = (
        (counts.mean(), mean, variance),
        (counts.var(ddof=1), variance, fourth - variance**2),
        ((counts == 0).mean(), pmf[0], pmf[0] * (1 - pmf[0])),
    )
    z = [(seen - true) / math.sqrt(spread / counts.size) for seen, true, spread in moments]
    # Cells of at least 20 expected draws; the rest in one.
    top = int(np.flatnonzero(pmf * counts.size >= 20).max()) + 1
    expected = counts.size * np.r_[pmf[:top], max(1 - pmf[:top].sum(), 0)]
    seen = np.bincount(np.minimum(counts, top), minlength=top + 1)
    fits = expected > 5
    chi_square = ((seen - expected) ** 2 / expected)[fits].sum()
    return z, stats.chi2.sf(chi_square, fits.sum() - 1)


@pytest.mark.parametrize(("law", "formulas"), [(COIN, bg_nbd), (LIFETIME, pareto_nbd)])
def test_moments_and_counts_are_those_of_the_closed_form(law, formulas):
    # 12 pairs, three quantities at 4.5 standard errors and a pmf at 1e-4: a false alarm in 0.2 % of seeds.
    for number, (values, history, horizon) in enumerate(random_pairs(12, law)):
        plan = plan_of([history], values, horizon, draws=DRAWS, seed=number, keep=True)
        z, p = beside_the_pmf(simulate_futures(plan).kept["purchases"][0], formulas, horizon, history, values)
        assert np.abs(z).max() < 4.5
        assert p > 1e-4


@pytest.mark.full
def test_every_moment_of_two_hundred_pairs_is_that_of_the_closed_form():
    # 600 moments at 4 standard errors: a false alarm in 600 · 6.3e-5 = 4 % of seeds, this one fixed beforehand.
    deviations, p_values = [], []
    for number, (values, history, horizon) in enumerate(random_pairs(200)):
        plan = plan_of([history], values, horizon, draws=200_000, seed=number, keep=True)
        counts = simulate_futures(plan, threads=1).kept["purchases"][0]
        z, p = beside_the_pmf(counts, bg_nbd, horizon, history, values)
        deviations.append(z)
        p_values.append(p)
    print(
        "largest |z| of mean, variance, P(0):", np.abs(deviations).max(axis=0).round(2),
        "sd of z:", np.std(deviations, axis=0).round(2),
        "smallest p of the pmf:", min(p_values), "KS of the p-values:", stats.kstest(p_values, "uniform").pvalue,
    )  # fmt: skip
    assert np.abs(deviations).max() < 4
    # A pmf fails in 200 · 1e-5 of seeds, the uniformity of its p-values in 1e-3.
    assert min(p_values) > 1e-5
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("law", [COIN, LIFETIME])
def test_the_joint_law_is_that_of_drawing_rates_and_levels_first(law, estimates, spend):
    history, horizon = (4, 25.0, 30.0), 60.0
    values = estimates if law is COIN else PARETO
    plan = plan_of([history], values, horizon, draws=DRAWS, spend=spend, keep=True)
    kept = simulate_futures(plan).kept
    rng = np.random.default_rng(5)
    size = np.ones(DRAWS)
    past = [size * part for part in history]
    each = {name: size * value for name, value in values.items()}
    if law is COIN:
        alive, rate, dropout = bg_nbd.latent_draws(rng, *past, **each)
        bought = alive * np.minimum(rng.poisson(rate * horizon), rng.geometric(dropout))
    else:
        alive, rate, leave = pareto_nbd.latent_draws(rng, *past, **each)
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


@pytest.mark.parametrize(("law", "formulas"), [(COIN, bg_nbd), (LIFETIME, pareto_nbd)])
def test_discounted_value_and_periods_follow_the_expected_purchases(law, formulas, estimates, spend):
    history, horizon, rate, draws = (2, 30.43, 38.86), 200.0, 0.01, 200_000
    values = estimates if law is COIN else PARETO
    plan = plan_of([history], values, horizon, spend=spend, discount=rate, draws=draws)
    calendar = Calendar(np.zeros(1), horizon / 4, 4)
    result = simulate_futures(replace(plan, calendar=calendar, by_customer=True))

    def expected(t):
        return float(formulas.expected_purchases(t, *history, **values))

    # Integration by parts: the purchases of (t, t + dt] are worth exp(-rate t) each.
    area, _ = integrate.quad(lambda t: rate * math.exp(-rate * t) * expected(t), 0, horizon, epsrel=1e-8)
    discounted = math.exp(-rate * horizon) * expected(horizon) + area
    each = float(gamma_gamma.expected_spend(history[0], 30.0, **spend))
    error = result.summary["value_sd"][0] / math.sqrt(draws)
    assert abs(result.summary["value_mean"][0] - each * discounted) < 4 * error
    assert abs(result.summary["spend_mean"][0] - each * expected(horizon)) < 4 * error * 1.5
    # The discount is far outside the error, so that a missing one would be seen.
    assert each * (expected(horizon) - discounted) > 20 * error
    through = np.diff([expected(horizon * i / 4) for i in range(5)])
    for i in range(4):
        seen = result.period_total[:, i]
        assert abs(seen.mean() - through[i]) < 4.5 * seen.std() / math.sqrt(draws)
        np.testing.assert_allclose(result.by_customer["purchases_period"][0, i], seen.mean(), rtol=1e-12)


@pytest.mark.parametrize("values", [None, PARETO])
def test_a_shorter_horizon_is_the_beginning_of_a_longer_one(estimates, spend, values):
    def kept(horizon):
        plan = plan_of(HISTORIES, values or estimates, horizon, draws=2000, spend=spend, keep=True)
        return simulate_futures(plan).kept

    short, long = kept(26.0), kept(52.0)
    assert (short["purchases"] <= long["purchases"]).all()
    assert (short["spend"] <= long["spend"] * (1 + 1e-12)).all()
    same = short["purchases"] == long["purchases"]
    np.testing.assert_array_equal(short["spend"][same], long["spend"][same])


def test_statistics_of_own_numbers_are_those_of_the_kept_draws(estimates, spend):
    names = ("rate", "leaving", "level", "first")
    for draws in (1, 7, 1003):
        plan = plan_of(HISTORIES, estimates, 52.0, draws=draws, spend=spend, keep=True)
        result = simulate_futures(replace(plan, own=names))
        for name in names:
            kept, found = result.kept[name], result.own[name]
            finite = np.isfinite(kept).all(axis=1)
            np.testing.assert_allclose(found[finite, 0], kept[finite].mean(axis=1), rtol=1e-12)
            if draws > 1:
                np.testing.assert_allclose(found[finite, 1], kept[finite].std(axis=1, ddof=1), rtol=1e-9)
            for k, q in enumerate(QUANTILES):
                exact = np.sort(kept, axis=1)[:, max(math.ceil(q * draws - 1e-9) - 1, 0)]
                np.testing.assert_array_equal(found[:, 2 + k], exact)


@pytest.mark.parametrize("family", ["coin", "lifetime"])
@pytest.mark.parametrize("first_order", [False, True])
def test_summaries_are_those_of_the_kept_draws(estimates, spend, family, first_order):
    observed = np.array([0, 2, 1, 30, 400])
    above = np.array([0.0, 10.0, 100.0])
    values = estimates if family == "coin" else PARETO
    plan = plan_of(
        HISTORIES,
        values,
        52.0,
        draws=1003,
        spend=spend,
        discount=0.002,
        keep=True,
        holdout=Holdout(observed),
        value_above=above,
        first_order=first_order,
    )
    result = simulate_futures(plan)
    counts, values = result.kept["purchases"], result.kept["value"]
    summary = result.summary
    assert (counts >= first_order).all()
    np.testing.assert_allclose(summary["purchases_mean"], counts.mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(summary["purchases_sd"], counts.std(axis=1, ddof=1), rtol=1e-10)
    np.testing.assert_allclose(summary["value_mean"], values.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(summary["value_sd"], values.std(axis=1, ddof=1), rtol=1e-10)
    np.testing.assert_allclose(summary["probability_active"], (counts > 0).mean(axis=1), rtol=1e-13)
    for q in QUANTILES:
        for name, kept in (("purchases", counts), ("value", values)):
            np.testing.assert_array_equal(
                summary[f"{name}_q{round(100 * q):02d}"],
                np.quantile(kept, q, axis=1, method="inverted_cdf"),
            )
    np.testing.assert_array_equal(result.purchases_total, counts.sum(axis=0))
    np.testing.assert_allclose(result.value_total, values.sum(axis=0), rtol=1e-13)
    np.testing.assert_allclose(result.spend_total, result.kept["spend"].sum(axis=0), rtol=1e-13)
    assert (result.kept["spend"] >= values).all()
    np.testing.assert_array_equal((result.kept["spend"] > 0), counts > 0)
    for j, amount in enumerate(above):
        np.testing.assert_allclose(result.by_customer["value_above"][:, j], (values > amount).mean(axis=1))


def test_quantiles_of_few_draws_are_exact(estimates, spend):
    # Few draws put ranks on every edge: the last zero, the first purchase, q * draws a whole number.
    for draws in range(1, 61):
        result = simulate_futures(plan_of(HISTORIES, estimates, 52.0, draws=draws, spend=spend, keep=True))
        for q in QUANTILES:
            for name in ("purchases", "value"):
                np.testing.assert_array_equal(
                    result.summary[f"{name}_q{round(100 * q):02d}"],
                    np.quantile(result.kept[name], q, axis=1, method="inverted_cdf"),
                )


def crps_of(draws, y):
    """mean|X - y| - mean|X - X'| / 2 over all pairs."""
    return np.abs(draws - y).mean() - np.abs(draws[:, None] - draws).mean() / 2


def scores_of(draws, y, unit=None):
    """Return by sorting and by all pairs what the engine scores of one customer; of money with the unit of its log."""
    draws = np.asarray(draws, dtype=float)
    found = {
        "draws_below": (draws < y).sum(),
        "draws_equal": (draws == y).sum(),
        "crps": crps_of(draws, y),
    }
    if unit is not None:
        found["log_crps"] = crps_of(np.log1p(draws / unit), math.log1p(y / unit))
    rising = np.sort(draws)
    for level in INTERVALS:
        # In exact arithmetic: the ends are multiples of 1/40.
        low, high = (
            rising[math.ceil(Fraction(100 + side * level, 200) * draws.size) - 1] for side in (-1, 1)
        )
        found[f"mass_{level}"] = ((draws >= low) & (draws <= high)).mean()
        found[f"inside_{level}"] = float(low <= y <= high)
    return found


def agree(scores, expected, prefix=""):
    for name, value in expected.items():
        # CRPS to 1e-10 of the draws' size, all else to the bit.
        tolerance = {"rel": 1e-10, "abs": 1e-12} if name.endswith("crps") else {"rel": 0, "abs": 0}
        assert scores[prefix + name] == pytest.approx(value, **tolerance), prefix + name


@pytest.mark.parametrize("discount", [0.0, 0.003])
@pytest.mark.parametrize("draws", [1, 2, 501])
def test_scores_are_those_of_the_kept_draws(estimates, spend, draws, discount):
    observed = np.array([0, 2, 1, 30, 400])
    plan = plan_of(HISTORIES, estimates, 52.0, draws=draws, spend=spend, discount=discount, keep=True)
    kept = simulate_futures(plan).kept
    # Nothing, beyond all draws, and what one of them brings: a tie with the last of its values.
    spent = np.array([0.0, 41.5, kept["spend"][2].max(), 700.0, 1e6])
    value = np.array([0.0, 40.1, kept["value"][2].max(), 650.0, 9e5])
    holdout = Holdout(observed, spent, value, 35.0, 35.0 / 0.3)
    result = simulate_futures(replace(plan, holdout=holdout))
    assert tuple(result.scores) == SCORES
    for i in range(observed.size):
        found = {name: values[i] for name, values in result.scores.items()}
        agree(found, scores_of(kept["purchases"][i], observed[i]))
        agree(found, scores_of(kept["spend"][i], spent[i], 35.0), "spend_")
        agree(found, scores_of(kept["value"][i], value[i], 35.0 / 0.3), "value_")
    if discount == 0:
        np.testing.assert_array_equal(kept["spend"], kept["value"])


def test_being_scored_changes_nothing_else(estimates, spend):
    plan = plan_of(HISTORIES, estimates, 52.0, draws=999, spend=spend, discount=0.002, keep=True)
    amounts = np.full(len(HISTORIES), 20.0)
    holdout = Holdout(np.ones(len(HISTORIES), dtype=np.int64), amounts, amounts, 1.0, 1.0)
    plain, scored = simulate_futures(plan), simulate_futures(replace(plan, holdout=holdout))
    for name, values in plain.summary.items():
        np.testing.assert_array_equal(scored.summary[name], values, err_msg=name)
    assert not plain.scores
    np.testing.assert_array_equal(plain.active_total, (plain.kept["purchases"] > 0).sum(axis=0))
    # What is not known is not scored.
    purchases_only = simulate_futures(replace(plan, holdout=Holdout(holdout.purchases)))
    assert tuple(purchases_only.scores) == PURCHASE_SCORES
    without_money = simulate_futures(replace(plan, holdout=holdout, money=None))
    assert tuple(without_money.scores) == PURCHASE_SCORES
    unknown = amounts.copy()
    unknown[1] = np.nan
    some = simulate_futures(replace(plan, holdout=holdout._replace(spend=unknown))).scores
    for name, values in scored.scores.items():
        expected = values.copy()
        if name.startswith("spend_"):
            expected[1] = np.nan
        np.testing.assert_array_equal(some[name], expected, err_msg=name)


def scored(amounts, zeros, y, unit=2.0):
    """Return the engine's scores of a customer with these amounts of spend, and draws without any."""
    amounts = np.asarray(amounts, dtype=float)
    draws, room = amounts.size + zeros, np.empty(amounts.size)
    sort_amounts(amounts, np.empty(2 * amounts.size + 1, dtype=np.int64), room)
    holdout = Holdout(np.zeros(1, dtype=np.int64), np.array([y]), np.empty(0), unit, unit)
    scores = np.full(len(PURCHASE_SCORES) + len(MONEY_SCORES), np.nan)
    bounds = np.empty((2, len(INTERVALS), 2))
    ends, logs = interval_ends(draws), np.empty(draws)
    score_money(room, room, amounts.size, draws, 0, holdout, ends, logs, bounds, scores)
    return dict(zip(MONEY_SCORES, scores[len(PURCHASE_SCORES) :], strict=True))


def test_value_that_is_spend_has_the_scores_of_its_own_amounts():
    """What one array spares: the scores of a copy of it, to the bit, whatever unit its logarithm has."""
    rng = np.random.default_rng(5)
    amounts = np.sort(rng.gamma(2, 30, 200))
    draws, y = 500, np.array([45.5])
    ends, logs = interval_ends(draws), np.empty(draws)
    for unit, real in ((30.0, y), (90.0, y), (30.0, np.array([50.0])), (30.0, np.array([np.nan]))):
        holdout = Holdout(np.zeros(1, dtype=np.int64), y, real, 30.0, unit)
        both = []
        for values in (amounts, amounts.copy()):
            scores = np.full(len(PURCHASE_SCORES) + 2 * len(MONEY_SCORES), np.nan)
            bounds = np.empty((2, len(INTERVALS), 2))
            score_money(amounts, values, amounts.size, draws, 0, holdout, ends, logs, bounds, scores)
            both.append(np.r_[scores, bounds.ravel()])
        np.testing.assert_array_equal(*both)


def test_money_is_scored_exactly_where_draws_tie():
    rng = np.random.default_rng(4)
    for size in (*range(1, 20), 60):
        for zeros in (0, 1, size, 9 * size):
            # Whole amounts, some of them 0, on which many draws and what happened fall together.
            amounts = rng.integers(0, 4, size)
            for y in (0.0, 1.0, 1.5, 3.0, 9.0):
                agree(scored(amounts, zeros, y), scores_of(np.r_[np.zeros(zeros), amounts], y, 2.0))


def test_of_draws_that_all_are_what_happened_the_score_is_nothing():
    for amounts, zeros, y in (([7.7] * 40, 0, 7.7), ([], 40, 0.0), ([0.0] * 3, 37, 0.0)):
        found = scored(amounts, zeros, y)
        assert (found["draws_below"], found["draws_equal"]) == (0, 40)
        assert (found["crps"], found["log_crps"]) == (0, 0)
        assert all(found[f"mass_{level}"] == found[f"inside_{level}"] == 1 for level in INTERVALS)


def test_a_currency_moves_the_score_in_money_alone():
    amounts = np.random.default_rng(4).gamma(2, 30, 300)
    dollars, cents = scored(amounts, 500, 45.5, 30.0), scored(100 * amounts, 500, 4550.0, 3000.0)
    assert cents["crps"] == pytest.approx(100 * dollars["crps"], rel=1e-13)
    for name in MONEY_SCORES:
        if name != "crps":
            assert cents[name] == pytest.approx(dollars[name], rel=1e-13), name


def test_amounts_are_sorted_whatever_they_are():
    rng = np.random.default_rng(4)
    heavy = np.exp(8 * rng.standard_normal(2000))
    # One that is far from all others puts these into one bucket, and a common sort takes over.
    apart = np.r_[rng.uniform(1, 1.01, 500), 1e-300]
    for amounts in (
        [],
        [3.0],
        [5.0, 5.0],
        [1.0, 0.0],
        rng.integers(0, 3, 700),
        heavy,
        apart,
        [np.inf, 0.0, 2.0],
    ):
        given = np.array(amounts, dtype=float)
        out, kept = np.empty(given.size), given.copy()
        sort_amounts(given, np.empty(2 * given.size + 1, dtype=np.int64), out)
        np.testing.assert_array_equal(out, np.sort(kept))
        np.testing.assert_array_equal(given, kept)


def base_of(size, values):
    rng = np.random.default_rng(2)
    age = rng.uniform(10, 40, size)
    frequency, recency = bg_nbd.simulate(rng, age, **values)
    return list(zip(frequency, recency, age, strict=True))


@pytest.mark.parametrize("values", [None, PARETO])
def test_threads_and_tiles_change_no_bit(estimates, spend, values):
    histories = base_of(3 * tiles.BLOCK + 17, estimates)
    calendar = Calendar(np.zeros(len(histories)), 4.0, 13)
    rng = np.random.default_rng(3)
    bought = rng.poisson(0.5, len(histories))
    holdout = Holdout(bought, 30.0 * bought, 29.0 * bought, 30.0, 30.0)

    def result(**options):
        plan = plan_of(
            histories, values or estimates, 52.0, draws=200, spend=spend, discount=0.002, keep=True
        )
        wanted = {"own": ("alive", "rate", "leaving", "left", "first", "level"), "top_share": 0.2}
        plan = replace(plan, calendar=calendar, by_customer=True, holdout=holdout, **wanted)
        return simulate_futures(plan, **options)

    reference = result(threads=1)
    for options in ({"threads": 2}, {"threads": 1, "tile": 1}, {"threads": 2, "tile": 7000}):
        other = result(**options)
        for group in ("summary", "scores", "kept", "by_customer"):
            for name, values_ in getattr(reference, group).items():
                np.testing.assert_array_equal(getattr(other, group)[name], values_, err_msg=name)
        totals = ("purchases", "active", "spend", "value", "period", "value_period")
        for name in (f"{each}_total" for each in totals):
            np.testing.assert_array_equal(getattr(other, name), getattr(reference, name))
    # One compiled form for all of these, and for purchases alone.
    simulate_futures(plan_of(HISTORIES[:1], estimates, 52.0, draws=50))
    assert len(summarise.signatures) == 1


def test_asking_for_own_numbers_changes_no_future(estimates, spend):
    plan = plan_of(HISTORIES, estimates, 52.0, spend=spend, discount=0.01, keep=True)
    alone = simulate_futures(plan).kept
    both = simulate_futures(replace(plan, own=("alive", "rate", "leaving", "left", "first", "level"))).kept
    for name, values in alone.items():
        np.testing.assert_array_equal(both[name], values)
    purchases_alone = simulate_futures(plan_of(HISTORIES, estimates, 52.0, keep=True)).kept["purchases"]
    np.testing.assert_array_equal(purchases_alone, alone["purchases"])
    assert (both["purchases"][both["alive"] == 0] == 0).all()
    np.testing.assert_array_equal(both["first"] <= 52.0, both["purchases"] > 0)


def test_alike_rows_share_their_state(estimates, spend):
    histories = [HISTORIES[2]] * 3 + [HISTORIES[3]] * 2
    plan = plan_of(histories, estimates, 52.0, spend=spend, keep=True)
    shared = simulate_futures(replace(plan, alike=np.array([0, 0, 0, 1, 1]))).kept
    apart = simulate_futures(plan).kept
    for name, values in apart.items():
        np.testing.assert_array_equal(shared[name], values)


def test_periods_count_every_purchase_once(estimates, spend):
    calendar = Calendar(np.full(len(HISTORIES), 1 / 7), 1.0, 53)
    plan = plan_of(HISTORIES, estimates, 52.0, draws=4000, spend=spend, discount=0.01, keep=True)
    result = simulate_futures(replace(plan, calendar=calendar, by_customer=True))
    np.testing.assert_array_equal(result.period_total.sum(axis=1), result.purchases_total)
    np.testing.assert_allclose(result.value_period_total.sum(axis=1), result.value_total, rtol=1e-12)
    for name, kept in (("purchases_period", "purchases"), ("value_period", "value")):
        whole = result.kept[kept].mean(axis=1)
        np.testing.assert_allclose(result.by_customer[name].sum(axis=1), whole, rtol=1e-12)
    # Purchases of (0, 26] by periods are those of a horizon of 26: offset 0 ends period 25 at 26.
    calendar = Calendar(np.zeros(len(HISTORIES)), 1.0, 52)
    by_period = simulate_futures(replace(plan, calendar=calendar)).period_total
    half = simulate_futures(plan_of(HISTORIES, estimates, 26.0, draws=4000)).purchases_total
    np.testing.assert_array_equal(by_period[:, :26].sum(axis=1), half)


@pytest.mark.parametrize("first_order", [False, True])
def test_the_top_share_is_that_of_the_kept_draws(estimates, spend, first_order):
    size, draws = 400, 300
    plan = plan_of(base_of(size, estimates), estimates, 52.0, draws=draws, spend=spend, keep=True)
    plan = replace(plan, top_share=0.1, log2_reference=5.0, first_order=first_order)
    result = simulate_futures(plan)
    top = result.by_customer["top"]
    assert top.sum() == pytest.approx(40)
    # In each draw, by the values themselves; ties of 1.1 % share places here, so each differs by a little.
    place = np.argsort(np.argsort(-result.kept["value"], axis=0, kind="stable"), axis=0)
    exact = ((place < 40) & (result.kept["value"] > 0)).mean(axis=1)
    assert np.abs(top - exact).max() < 0.05
    assert np.abs(top - exact).mean() < 0.005


def test_thousands_of_purchases_are_summarised_exactly():
    values = {"r": 50.0, "alpha": 1.0, "a": 0.001, "b": 1000.0}
    result = simulate_futures(plan_of([(3000, 59.9, 60.0)], values, 60.0, draws=300, keep=True))
    counts = result.kept["purchases"][0]
    assert counts.max() > 2 * 1024
    assert result.summary["purchases_q50"][0] == np.quantile(counts, 0.5, method="inverted_cdf")
    assert result.summary["purchases_mean"][0] == pytest.approx(counts.mean(), rel=1e-13)
    mean = float(bg_nbd.expected_purchases(60.0, 3000, 59.9, 60.0, **values))
    assert abs(counts.mean() - mean) < 5 * counts.std() / np.sqrt(counts.size)


def test_progress_reports_every_block(estimates):
    seen = []
    histories = HISTORIES[:1] * (tiles.BLOCK + 1)
    simulate_futures(
        plan_of(histories, estimates, 1.0, draws=10), progress=lambda done, all_: seen.append((done, all_))
    )
    assert seen == [(tiles.BLOCK, tiles.BLOCK + 1), (tiles.BLOCK + 1, tiles.BLOCK + 1)]
