"""Summaries of simulated futures beside the draws they are of, and themselves in other pieces."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_clv.distributions.paths import COIN, LIFETIME
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.families.purchases import bg_nbd, pareto_nbd
from bayes_clv.families.spend import gamma_gamma
from bayes_clv.predictions import summaries
from bayes_clv.predictions.plans import Calendar, Money, Plan
from bayes_clv.predictions.statistics import summarise
from bayes_clv.predictions.summaries import simulate_futures
from bayes_clv.schema import QUANTILES

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
        known = {"silence": (age - t_x)[rows], "horizon": np.full((rows.size, 1), horizon)}
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


@pytest.mark.parametrize("family", ["coin", "lifetime"])
@pytest.mark.parametrize("first_order", [False, True])
def test_summaries_are_those_of_the_kept_draws(cdnow, spend, family, first_order):
    observed = np.array([0, 2, 1, 30, 400])
    above = np.array([0.0, 10.0, 100.0])
    values = cdnow if family == "coin" else PARETO
    plan = plan_of(
        HISTORIES,
        values,
        52.0,
        draws=1003,
        spend=spend,
        discount=0.002,
        keep=True,
        observed=observed,
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


def base_of(size, values):
    rng = np.random.default_rng(2)
    age = rng.uniform(10, 40, size)
    frequency, recency = bg_nbd.simulate(rng, age, **values)
    return list(zip(frequency, recency, age, strict=True))


@pytest.mark.parametrize("values", [None, PARETO])
def test_threads_and_tiles_change_no_bit(cdnow, spend, values):
    histories = base_of(3 * summaries.BLOCK + 17, cdnow)
    calendar = Calendar(np.zeros(len(histories)), 4.0, 13)

    def result(**options):
        plan = plan_of(histories, values or cdnow, 52.0, draws=200, spend=spend, discount=0.002, keep=True)
        wanted = {"own": ("alive", "rate", "leaving", "left", "first", "level"), "top_share": 0.2}
        plan = replace(plan, calendar=calendar, by_customer=True, **wanted)
        return simulate_futures(plan, **options)

    reference = result(threads=1)
    for options in ({"threads": 2}, {"threads": 1, "tile": 1}, {"threads": 2, "tile": 7000}):
        other = result(**options)
        for group in ("summary", "kept", "by_customer"):
            for name, values_ in getattr(reference, group).items():
                np.testing.assert_array_equal(getattr(other, group)[name], values_, err_msg=name)
        for name in ("purchases_total", "spend_total", "value_total", "period_total", "value_period_total"):
            np.testing.assert_array_equal(getattr(other, name), getattr(reference, name))
    # One compiled form for all of these, and for purchases alone.
    simulate_futures(plan_of(HISTORIES[:1], cdnow, 52.0, draws=50))
    assert len(summarise.signatures) == 1


def test_asking_for_own_numbers_changes_no_future(cdnow, spend):
    plan = plan_of(HISTORIES, cdnow, 52.0, spend=spend, discount=0.01, keep=True)
    alone = simulate_futures(plan).kept
    both = simulate_futures(replace(plan, own=("alive", "rate", "leaving", "left", "first", "level"))).kept
    for name, values in alone.items():
        np.testing.assert_array_equal(both[name], values)
    purchases_alone = simulate_futures(plan_of(HISTORIES, cdnow, 52.0, keep=True)).kept["purchases"]
    np.testing.assert_array_equal(purchases_alone, alone["purchases"])
    assert (both["purchases"][both["alive"] == 0] == 0).all()
    np.testing.assert_array_equal(both["first"] <= 52.0, both["purchases"] > 0)


def test_alike_rows_share_their_state(cdnow, spend):
    histories = [HISTORIES[2]] * 3 + [HISTORIES[3]] * 2
    plan = plan_of(histories, cdnow, 52.0, spend=spend, keep=True)
    shared = simulate_futures(replace(plan, alike=np.array([0, 0, 0, 1, 1]))).kept
    apart = simulate_futures(plan).kept
    for name, values in apart.items():
        np.testing.assert_array_equal(shared[name], values)


def test_periods_count_every_purchase_once(cdnow, spend):
    calendar = Calendar(np.full(len(HISTORIES), 1 / 7), 1.0, 53)
    plan = plan_of(HISTORIES, cdnow, 52.0, draws=4000, spend=spend, discount=0.01, keep=True)
    result = simulate_futures(replace(plan, calendar=calendar, by_customer=True))
    np.testing.assert_array_equal(result.period_total.sum(axis=1), result.purchases_total)
    np.testing.assert_allclose(result.value_period_total.sum(axis=1), result.value_total, rtol=1e-12)
    for name, kept in (("purchases_period", "purchases"), ("value_period", "value")):
        whole = result.kept[kept].mean(axis=1)
        np.testing.assert_allclose(result.by_customer[name].sum(axis=1), whole, rtol=1e-12)
    # Purchases of (0, 26] by periods are those of a horizon of 26: offset 0 ends period 25 at 26.
    calendar = Calendar(np.zeros(len(HISTORIES)), 1.0, 52)
    by_period = simulate_futures(replace(plan, calendar=calendar)).period_total
    half = simulate_futures(plan_of(HISTORIES, cdnow, 26.0, draws=4000)).purchases_total
    np.testing.assert_array_equal(by_period[:, :26].sum(axis=1), half)


@pytest.mark.parametrize("first_order", [False, True])
def test_the_top_share_is_that_of_the_kept_draws(cdnow, spend, first_order):
    size, draws = 400, 300
    plan = plan_of(base_of(size, cdnow), cdnow, 52.0, draws=draws, spend=spend, keep=True)
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


def test_progress_reports_every_block(cdnow):
    seen = []
    histories = HISTORIES[:1] * (summaries.BLOCK + 1)
    simulate_futures(
        plan_of(histories, cdnow, 1.0, draws=10), progress=lambda done, all_: seen.append((done, all_))
    )
    assert seen == [(summaries.BLOCK, summaries.BLOCK + 1), (summaries.BLOCK + 1, summaries.BLOCK + 1)]
