"""The simulator beside the closed forms, an independent simulation, and itself in other pieces."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from bayes_clv.distributions.streams import customer_keys
from bayes_clv.families.spend import gamma_gamma
from bayes_clv.predictions import tiles
from bayes_clv.predictions.engine import Calendar, Money, Plan, simulate_futures
from bayes_clv.predictions.kernels import simulate_tile
from bayes_clv.schema import QUANTILES
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

DRAWS = 40_000


def plan_of(histories, values, horizon, *, draws=DRAWS, seed=1, spend=None, discount=0.0, **options):
    """Return a plan of customers with these (x, t_x, T) and the same parameters in every draw."""
    x, t_x, age = (np.atleast_1d(np.asarray(column, dtype=float)) for column in zip(*histories, strict=True))
    each = {name: np.full(draws, value) for name, value in values.items()}

    def state(rows):
        return bg_nbd.future_state(x[rows, None], t_x[rows, None], age[rows, None], **each)

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
        money=money,
        **options,
    )


def random_pairs(size):
    rng = np.random.default_rng(8)
    for _ in range(size):
        values = {
            "r": rng.gamma(2, 0.5) + 0.1,
            "alpha": rng.gamma(2, 5) + 0.5,
            "a": rng.gamma(2, 0.5) + 0.1,
            "b": rng.gamma(2, 1.5) + 0.2,
        }
        age = rng.uniform(10, 80)
        x = int(rng.integers(0, 12))
        yield values, (x, age * rng.uniform(0.5, 1) if x else 0.0, age), rng.uniform(5, 100)


def test_mean_variance_and_activity_are_those_of_the_closed_form():
    # 20 pairs and three quantities at 4.5 standard errors: a false alarm in 60 · 7e-6 = 4e-4 of seeds.
    for values, history, horizon in random_pairs(20):
        summary = simulate_futures(plan_of([history], values, horizon)).summary
        mean = float(bg_nbd.expected_purchases(horizon, *history, **values))
        n = np.arange(3000)
        pmf = bg_nbd.purchases_pmf(n, horizon, *history, **values)
        assert pmf.sum() == pytest.approx(1, abs=1e-9)
        variance = float(pmf @ (n - mean) ** 2)
        fourth = float(pmf @ (n - mean) ** 4)
        assert abs(summary["purchases_mean"][0] - mean) < 4.5 * math.sqrt(variance / DRAWS)
        # The standard error of a sample variance is sqrt((m4 - s^4) / n).
        error = math.sqrt((fourth - variance**2) / DRAWS)
        assert abs(summary["purchases_sd"][0] ** 2 - variance) < 4.5 * error
        active = 1 - pmf[0]
        error = math.sqrt(active * (1 - active) / DRAWS)
        assert abs(summary["probability_active"][0] - active) < 4.5 * error


@pytest.mark.full
def test_every_moment_of_two_hundred_pairs_is_that_of_the_closed_form():
    # 600 moments at 4 standard errors: a false alarm in 600 · 6.3e-5 = 4 % of seeds, this one fixed beforehand.
    draws = 200_000
    deviations, p_values = [], []
    for number, (values, history, horizon) in enumerate(random_pairs(200)):
        plan = plan_of([history], values, horizon, draws=draws, seed=number, keep=True)
        counts = simulate_futures(plan, threads=1).kept["purchases"][0]
        n = np.arange(3000)
        pmf = bg_nbd.purchases_pmf(n, horizon, *history, **values)
        mean = float(bg_nbd.expected_purchases(horizon, *history, **values))
        variance, fourth = float(pmf @ (n - mean) ** 2), float(pmf @ (n - mean) ** 4)
        moments = (
            (counts.mean(), mean, variance),
            (counts.var(ddof=1), variance, fourth - variance**2),
            ((counts == 0).mean(), pmf[0], pmf[0] * (1 - pmf[0])),
        )
        deviations.append([(seen - true) / math.sqrt(spread / draws) for seen, true, spread in moments])
        top = int(np.flatnonzero(pmf * draws >= 20).max()) + 1
        expected = draws * np.r_[pmf[:top], max(1 - pmf[:top].sum(), 0)]
        seen = np.bincount(np.minimum(counts, top), minlength=top + 1)
        fits = expected > 5
        chi_square = ((seen - expected) ** 2 / expected)[fits].sum()
        p_values.append(stats.chi2.sf(chi_square, fits.sum() - 1))
    deviations = np.array(deviations)
    print(
        "largest |z| of mean, variance, P(0):", np.abs(deviations).max(axis=0).round(2),
        "sd of z:", deviations.std(axis=0).round(2),
        "smallest p of the pmf:", min(p_values), "KS of the p-values:", stats.kstest(p_values, "uniform").pvalue,
    )  # fmt: skip
    assert (np.abs(deviations) < 4).all()
    # A pmf fails in 200 · 1e-5 of seeds, the uniformity of its p-values in 1e-3.
    assert min(p_values) > 1e-5
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_counts_follow_the_pmf():
    for number, (values, history, horizon) in enumerate(random_pairs(6)):
        counts = simulate_futures(plan_of([history], values, horizon, keep=True, seed=number)).kept[
            "purchases"
        ]
        pmf = bg_nbd.purchases_pmf(np.arange(2000), horizon, *history, **values)
        # Cells of at least 20 expected draws; the rest in one.
        top = int(np.flatnonzero(pmf * DRAWS >= 20).max()) + 1
        expected = DRAWS * np.r_[pmf[:top], 1 - pmf[:top].sum()]
        seen = np.bincount(np.minimum(counts[0], top), minlength=top + 1)
        fits = expected > 5
        chi_square = ((seen - expected) ** 2 / expected)[fits].sum()
        # 6 tests at 1e-4 each.
        assert chi_square < stats.chi2.ppf(1 - 1e-4, fits.sum() - 1)


def test_the_joint_law_is_that_of_drawing_rate_and_dropout_first(cdnow, spend):
    history, horizon = (4, 25.0, 30.0), 60.0
    kept = simulate_futures(plan_of([history], cdnow, horizon, spend=spend, keep=True)).kept
    rng = np.random.default_rng(5)
    size = np.ones(DRAWS)
    alive, rate, dropout = bg_nbd.latent_draws(rng, *(size * part for part in history), **cdnow)
    bought = alive * np.minimum(rng.poisson(rate * horizon), rng.geometric(dropout))
    nu = gamma_gamma.latent_draws(rng, size * history[0], size * 30.0, **spend)
    paid = gamma_gamma.simulate_spend(rng, bought, nu, spend["p"])
    # Two samples of n: the 99.99 % point of the largest difference is 2.23 sqrt(2 / n).
    bound = 2.23 * math.sqrt(2 / DRAWS)
    assert stats.ks_2samp(kept["spend"][0], paid).statistic < bound
    few = (kept["purchases"][0] == 3, bought == 3)
    bound = 2.23 * math.sqrt(1 / few[0].sum() + 1 / few[1].sum())
    assert stats.ks_2samp(kept["spend"][0][few[0]], paid[few[1]]).statistic < bound


def test_discounted_value_is_the_integral_of_discounted_purchases(cdnow, spend):
    history, horizon, rate = (2, 30.43, 38.86), 200.0, 0.01
    result = simulate_futures(plan_of([history], cdnow, horizon, spend=spend, discount=rate, draws=200_000))

    def expected(t):
        return float(bg_nbd.expected_purchases(t, *history, **cdnow))

    # Integration by parts: the purchases of (t, t + dt] are worth exp(-rate t) each.
    area, _ = integrate.quad(lambda t: rate * math.exp(-rate * t) * expected(t), 0, horizon, epsrel=1e-8)
    discounted = math.exp(-rate * horizon) * expected(horizon) + area
    each = float(gamma_gamma.expected_spend(history[0], 30.0, **spend))
    error = result.summary["value_sd"][0] / math.sqrt(200_000)
    assert abs(result.summary["value_mean"][0] - each * discounted) < 4 * error
    assert abs(result.summary["spend_mean"][0] - each * expected(horizon)) < 4 * error * 1.5
    # The discount is far outside the error, so that a missing one would be seen.
    assert each * (expected(horizon) - discounted) > 20 * error


HISTORIES = [(0, 0.0, 30.0), (1, 10.0, 30.0), (3, 25.0, 38.0), (12, 36.0, 37.0), (29, 38.0, 38.9)]


def test_summaries_are_those_of_the_kept_draws(cdnow, spend):
    observed = np.array([0, 2, 1, 30, 400])
    plan = plan_of(
        HISTORIES, cdnow, 52.0, draws=1003, spend=spend, discount=0.002, keep=True, observed=observed
    )
    result = simulate_futures(plan)
    counts, values = result.kept["purchases"], result.kept["value"]
    summary = result.summary
    np.testing.assert_allclose(summary["purchases_mean"], counts.mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(summary["purchases_sd"], counts.std(axis=1, ddof=1), rtol=1e-10)
    np.testing.assert_allclose(summary["value_mean"], values.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(summary["value_sd"], values.std(axis=1, ddof=1), rtol=1e-10)
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


def test_quantiles_of_few_draws_are_exact(cdnow, spend):
    # Few draws put ranks on every edge: the last zero, the first purchase, q * draws a whole number.
    for draws in range(1, 61):
        result = simulate_futures(plan_of(HISTORIES, cdnow, 52.0, draws=draws, spend=spend, keep=True))
        for q in QUANTILES:
            for name in ("purchases", "value"):
                np.testing.assert_array_equal(
                    result.summary[f"{name}_q{round(100 * q):02d}"],
                    np.quantile(result.kept[name], q, axis=1, method="inverted_cdf"),
                )


def test_scores_are_those_of_the_kept_draws(cdnow):
    observed = np.array([0, 2, 1, 30, 400])
    result = simulate_futures(plan_of(HISTORIES, cdnow, 52.0, draws=501, keep=True, observed=observed))
    for i, y in enumerate(observed):
        draws = result.kept["purchases"][i].astype(float)
        crps = np.abs(draws - y).mean() - np.abs(draws[:, None] - draws).mean() / 2
        assert result.summary["crps"][i] == pytest.approx(crps, rel=1e-10)
        assert result.summary["draws_below"][i] == (draws < y).sum()
        assert result.summary["draws_equal"][i] == (draws == y).sum()
        for level, low, high in (("50", "q25", "q75"), ("90", "q05", "q95")):
            ends = result.summary[f"purchases_{low}"][i], result.summary[f"purchases_{high}"][i]
            inside = (draws >= ends[0]) & (draws <= ends[1])
            assert result.summary[f"mass_{level}"][i] == pytest.approx(inside.mean())


def test_threads_and_tiles_change_no_bit(cdnow, spend):
    rng = np.random.default_rng(2)
    size = 3 * tiles.BLOCK + 17
    age = rng.uniform(10, 40, size)
    frequency, recency = bg_nbd.simulate(rng, age, **cdnow)
    histories = list(zip(frequency, recency, age, strict=True))

    def result(**options):
        plan = plan_of(histories, cdnow, 52.0, draws=200, spend=spend, discount=0.002, keep=True)
        return simulate_futures(plan, **options)

    reference = result(threads=1)
    for options in ({"threads": 2}, {"threads": 1, "tile": 1}, {"threads": 2, "tile": 7000}):
        other = result(**options)
        for name, values in reference.summary.items():
            np.testing.assert_array_equal(other.summary[name], values, err_msg=name)
        for name in ("purchases_total", "spend_total", "value_total"):
            np.testing.assert_array_equal(getattr(other, name), getattr(reference, name))
        np.testing.assert_array_equal(other.kept["value"], reference.kept["value"])
    # One compiled form for all of these, and for purchases alone.
    simulate_futures(plan_of(HISTORIES[:1], cdnow, 52.0, draws=50))
    assert len(simulate_tile.signatures) == 1


def test_a_shorter_horizon_is_the_beginning_of_a_longer_one(cdnow, spend):
    def kept(horizon, **options):
        return simulate_futures(plan_of(HISTORIES, cdnow, horizon, draws=2000, keep=True, **options)).kept

    short, long = kept(26.0, spend=spend), kept(52.0, spend=spend)
    assert (short["purchases"] <= long["purchases"]).all()
    assert (short["spend"] <= long["spend"]).all()
    same = short["purchases"] == long["purchases"]
    np.testing.assert_array_equal(short["spend"][same], long["spend"][same])
    # Money has a stream of its own.
    np.testing.assert_array_equal(kept(52.0)["purchases"], long["purchases"])


def test_periods_count_every_purchase_once(cdnow):
    calendar = Calendar(np.full(len(HISTORIES), 1 / 7), 1.0, 53)
    result = simulate_futures(plan_of(HISTORIES, cdnow, 52.0, draws=4000, calendar=calendar))
    np.testing.assert_array_equal(result.period_total.sum(axis=1), result.purchases_total)
    # Purchases of (0, 26] by periods are those of a horizon of 26: offset 0 ends period 25 at 26.
    calendar = Calendar(np.zeros(len(HISTORIES)), 1.0, 52)
    by_period = simulate_futures(plan_of(HISTORIES, cdnow, 52.0, draws=4000, calendar=calendar)).period_total
    half = simulate_futures(plan_of(HISTORIES, cdnow, 26.0, draws=4000)).purchases_total
    np.testing.assert_array_equal(by_period[:, :26].sum(axis=1), half)


def test_thousands_of_purchases_are_summarised_exactly():
    values = {"r": 50.0, "alpha": 1.0, "a": 0.001, "b": 1000.0}
    result = simulate_futures(plan_of([(3000, 59.9, 60.0)], values, 60.0, draws=300, keep=True))
    counts = result.kept["purchases"][0]
    assert counts.max() > 2 * 1024
    assert result.summary["purchases_q50"][0] == np.quantile(counts, 0.5, method="inverted_cdf")
    assert result.summary["purchases_mean"][0] == pytest.approx(counts.mean(), rel=1e-13)


def test_no_horizon_no_purchases(cdnow):
    result = simulate_futures(plan_of(HISTORIES, cdnow, 0.0, draws=100))
    assert result.purchases_total.sum() == 0


def test_progress_reports_every_block(cdnow):
    seen = []
    histories = HISTORIES[:1] * (tiles.BLOCK + 1)
    simulate_futures(
        plan_of(histories, cdnow, 1.0, draws=10), progress=lambda done, all_: seen.append((done, all_))
    )
    assert seen == [(tiles.BLOCK, tiles.BLOCK + 1), (tiles.BLOCK + 1, tiles.BLOCK + 1)]
