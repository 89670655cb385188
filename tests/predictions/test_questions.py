"""Counts, retention, the next purchase and DERT: beside their formulas, the simulation, and each other."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_clv.predictions import expected as closed
from bayes_clv.predictions.forecasts import next_purchase, predict
from bayes_clv.predictions.tiles import TILE
from bayes_clv.schema import InputError
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

SIZE = 400
DRAWS = 500


@pytest.fixture(scope="module")
def customers(make_customers):
    return make_customers(SIZE)


@pytest.fixture(scope="module")
def buying(make_buying):
    return make_buying()


def each_draw(buying):
    return {name: buying["posterior"][name].to_numpy().ravel() for name in bg_nbd.PARAMETERS}


def histories(customers):
    return tuple(customers[name].to_numpy().astype(float) for name in ("frequency", "recency", "T"))


# Counts.


def test_the_pmf_is_the_mean_of_the_familys_over_draws(buying, customers):
    pmf = closed.pmf(buying, customers, "26 weeks", max_count=5)
    assert pmf.dims == ("customer", "count")
    draws = each_draw(buying)
    for i in (0, 7, 99):
        x, t_x, age = (column[i] for column in histories(customers))
        expected = bg_nbd.purchases_pmf(np.arange(5)[:, None], 26, x, t_x, age, **draws).mean(axis=1)
        np.testing.assert_allclose(pmf[i, :5], expected, rtol=1e-12)
    np.testing.assert_allclose(pmf.sum("count"), 1.0, rtol=1e-12)
    assert pmf.attrs["level"] == "outcome"
    assert pmf.attrs["horizon"] == 26.0


def test_the_pmf_is_that_of_the_simulation(buying, customers):
    pmf = closed.pmf(buying, customers, "26 weeks", max_count=3)
    kept = predict(buying, customers, "26 weeks", seed=1, keep_draws=True)["purchases"]
    # Given the draws the futures are independent over draws and customers: the expected number of customers in a
    # class has a variance below its own size, and 500 draws average it.
    for n in range(4):
        seen = ((kept == n) if n < 3 else (kept >= n)).mean(("chain", "draw")).sum()
        expected = float(pmf.sel(count=n).sum())
        error = math.sqrt(float((pmf.sel(count=n) * (1 - pmf.sel(count=n))).sum()) / DRAWS)
        assert abs(float(seen) - expected) < 4 * error


def test_activity_is_any_purchase_and_ranges_add_up(buying, customers):
    pmf = closed.pmf(buying, customers, "4 weeks", max_count=40)
    active = closed.active(buying, customers, "4 weeks")
    np.testing.assert_allclose(active, 1 - pmf.sel(count=0), rtol=1e-10)
    between = closed.active(buying, customers, "4 weeks", at_least=2, at_most=5)
    np.testing.assert_allclose(between, pmf.sel(count=slice(2, 5)).sum("count"), rtol=1e-12)
    # The other way of computing a range, by two tails.
    wide = closed.active(buying, customers, "520 weeks", at_least=0, at_most=20)
    long = closed.pmf(buying, customers, "520 weeks", max_count=21)
    np.testing.assert_allclose(wide, 1 - long.sel(count=21), rtol=1e-10)
    np.testing.assert_allclose(wide, long.sel(count=slice(0, 20)).sum("count"), rtol=1e-10)
    assert (closed.active(buying, customers, 4, at_least=0) == 1).all()
    assert between.attrs["long_name"] == "probability of 2 to 5 purchases over the horizon"


def test_activity_is_that_of_the_simulation(buying, customers):
    active = closed.active(buying, customers, "52 weeks")
    seen = predict(buying, customers, "52 weeks", seed=2)["probability_active"]
    error = math.sqrt(float((active * (1 - active)).sum()) / DRAWS)
    assert abs(float((seen - active).sum())) < 4 * error


# Retention.


def test_retention_is_survival(buying, customers):
    curve = closed.retention(buying, customers, ["13 weeks", "1 year"])
    assert curve["alive_mean"].dims == ("customer", "time")
    np.testing.assert_allclose(curve["time"], [0, 13, 52.1775])
    for i, per_draw in enumerate(
        (
            closed.alive(buying, customers),
            closed.survival(buying, customers, 13),
            closed.survival(buying, customers, "1 year"),
        )
    ):
        np.testing.assert_allclose(curve["alive_mean"][:, i], per_draw.mean(("chain", "draw")), rtol=1e-12)
        np.testing.assert_allclose(curve["alive_share"][..., i], per_draw.mean("customer"), rtol=1e-12)
    assert (curve["alive_share"].diff("time") < 0).all()
    assert "alive_share_by" not in curve


def test_retention_of_segments_is_matched_by_id(buying, customers):
    ids = customers["customer"].to_numpy()
    label = pd.Series(np.where(np.arange(SIZE) % 3 == 0, "third", "others"), index=ids)
    per_draw = closed.survival(buying, customers, 20)
    expected = [
        per_draw[..., (label == name).to_numpy()].mean("customer").to_numpy() for name in ("others", "third")
    ]
    shuffled = label.sample(frac=1, random_state=1)
    for by in (shuffled, shuffled.to_dict(), shuffled.to_xarray().rename(index="customer")):
        curve = closed.retention(buying, customers, [20], by=by)
        assert list(curve["segment"].to_numpy()) == ["others", "third"]
        assert curve["alive_share_by"].dims == ("chain", "draw", "segment", "time")
        for i in range(2):
            np.testing.assert_allclose(curve["alive_share_by"][:, :, i, 1], expected[i], rtol=1e-12)
        np.testing.assert_array_equal(curve["segment_size"], [SIZE - 134, 134])
    weights = curve["segment_size"] / SIZE
    np.testing.assert_allclose(
        (curve["alive_share_by"] * weights).sum("segment"), curve["alive_share"], rtol=1e-12
    )
    by_column = closed.retention(buying, customers.assign(kind=("customer", label)), [20], by="kind")
    xr.testing.assert_identical(by_column, curve)
    segments = xr.Dataset({"most_likely": shuffled.to_xarray().rename(index="customer")})
    xr.testing.assert_identical(closed.retention(buying, customers, [20], by=segments), curve)


def test_whole_numbers_are_the_same_labels_in_a_column_and_in_a_mapping(buying, customers):
    place = np.arange(SIZE) % 2
    column = customers.assign(kind=("customer", place.astype(float)))
    curve = closed.retention(buying, column, [20], by="kind")
    assert curve["segment"].to_numpy().tolist() == ["0", "1"]
    mapping = dict(zip(customers["customer"].to_numpy(), place.tolist(), strict=True))
    xr.testing.assert_identical(closed.retention(buying, customers, [20], by=mapping), curve)


def test_tiles_threads_and_order_keep_retention(buying, customers):
    # Several tiles, so that sums over tiles are at work.
    assert SIZE * DRAWS > 2 * TILE
    curve = closed.retention(buying, customers, [5, 50], threads=1)
    xr.testing.assert_identical(closed.retention(buying, customers, [5, 50], threads=2), curve)
    order = np.random.default_rng(1).permutation(SIZE)
    shuffled = closed.retention(buying, customers.isel(customer=order), [5, 50])
    xr.testing.assert_identical(shuffled.sel(customer=curve["customer"]), curve)


# The next purchase.


def share_by(t, history, draws):
    """Return the probability that the next purchase has come by t."""
    x, t_x, age = history
    alive = bg_nbd.probability_alive(x, t_x, age, **draws)
    return (alive * (1 - (1 + t / (draws["alpha"] + age)) ** -(draws["r"] + x))).mean()


def error_of(q, draws=DRAWS):
    """Return 4.5 standard errors of a share, and the step of a quantile that is one of the draws."""
    return 4.5 * math.sqrt(q * (1 - q) / draws) + 1 / draws


def test_by_a_quantile_of_the_wait_the_purchase_has_come_with_its_probability(buying, customers):
    # 120 shares at 4.5 standard errors: a false alarm in 1 of 1,200 seeds.
    quantiles = (0.05, 0.5, 0.75)
    waits = next_purchase(buying, customers, quantiles=quantiles, seed=1)
    draws = each_draw(buying)
    held = 0
    for i in range(0, SIZE, 7):
        history = [column[i] for column in histories(customers)]
        ever = float(bg_nbd.probability_alive(*history, **draws).mean())
        found = float(waits["probability_ever"][i])
        assert abs(found - ever) <= error_of(ever)
        for j, q in enumerate(quantiles):
            wait = float(waits["wait"][i, j])
            if q > found:
                assert wait == math.inf
            else:
                assert abs(share_by(wait, history, draws) - q) < error_of(q)
                held += 1
    assert held > 80
    assert np.isinf(waits["wait"][:, 2]).any()


def test_the_wait_of_a_certain_customer_has_a_closed_form(make_buying, make_customers, estimates):
    one = make_customers(1).assign(
        frequency=("customer", [0]), recency=("customer", [0.0]), T=("customer", [20.0])
    )
    many = make_buying(sd=0.0, draws=20_000)
    waits = next_purchase(many, one, quantiles=[0.1, 0.5, 0.9], seed=1)
    # Alive for certain: P(wait <= t) = 1 - (s / (s + t))^k.
    k, s = estimates["r"], estimates["alpha"] + 20
    for wait, q in zip(waits["wait"][0].to_numpy(), (0.1, 0.5, 0.9), strict=True):
        assert abs(-math.expm1(-k * math.log1p(wait / s)) - q) < error_of(q, 40_000)
    assert float(waits["probability_ever"][0]) == 1.0


def test_extreme_posteriors_have_waits(make_buying, make_customers):
    few = make_customers(3).assign(
        frequency=("customer", [0, 1, 1000]),
        recency=("customer", [0.0, 1.0, 99.9]),
        T=("customer", [100.0, 100.0, 100.0]),
        monetary_value=("customer", [np.nan, 9.0, 9.0]),
    )
    # r of 1e-4: the median wait of a customer without purchases is 2^10000 weeks, beyond every number.
    waits = next_purchase(make_buying(r=1e-4, sd=0.5), few, quantiles=[1e-6, 0.5, 0.99], seed=1)
    assert not np.isnan(waits["wait"]).any()
    assert float(waits["wait"][0, 1]) > 1e300
    assert (waits["wait"].to_numpy()[:, 0] > 0).all()
    draws = each_draw(make_buying(r=1e-4, sd=0.5))
    assert abs(share_by(float(waits["wait"][2, 1]), (1000, 99.9, 100), draws) - 0.5) < error_of(0.5)


def test_waits_agree_with_activity(buying, customers):
    # P(wait <= t) is P(any purchase within t).
    median = next_purchase(buying, customers, quantiles=[0.3], seed=1)["wait"][:, 0]
    i = int(np.flatnonzero(np.isfinite(median.to_numpy()))[3])
    active = closed.active(buying, customers.isel(customer=[i]), float(median[i]))
    assert abs(float(active[0]) - 0.3) < error_of(0.3)


# DERT.


def test_dert_is_per_draw_and_the_limit_of_discounted_purchases(buying, customers):
    few = customers.isel(customer=[3, 5, 8])
    dert = closed.residual(buying, few, 0.15)
    assert dert.dims == ("chain", "draw", "customer")
    rate = math.log(1.15) * 7 / 365.2425
    assert dert.attrs["discount_rate"] == pytest.approx(rate)
    draw = {name: float(buying["posterior"][name][1, 17]) for name in bg_nbd.PARAMETERS}
    history = [column[1] for column in histories(few)]
    expected = bg_nbd.discounted_residual_transactions(rate, *history, **draw)
    assert float(dert[1, 17, 1]) == pytest.approx(float(expected), rel=1e-12)
    # Discounted purchases are fewer than those of a horizon beyond which a purchase is worth 1e-9.
    long = closed.purchases(buying, few, 21 / rate)
    assert (dert < long).all()
    assert dert.attrs["level"] == "expected"
    assert dert.attrs["reasons"] == []


def test_dert_without_discount_says_where_it_is_infinite(make_buying, customers):
    buying = make_buying(a=1.0)
    few = customers.isel(customer=[3, 5])
    dert = closed.residual(buying, few, 0.0)
    endless = (buying["posterior"]["a"] <= 1).to_numpy()
    assert 100 < endless.sum() < 400
    np.testing.assert_array_equal(np.isinf(dert).all("customer"), endless)
    assert f"Infinite in {endless.sum()} of 500 draws" in dert.attrs["reasons"][0]


def test_draws_are_thinned_evenly(buying, customers):
    few = customers.isel(customer=[3])
    dert = closed.residual(buying, few, 0.1, draws=50)
    assert dict(dert.sizes) == {"chain": 2, "draw": 25, "customer": 1}
    every = closed.residual(buying, few, 0.1)
    xr.testing.assert_equal(dert, every.sel(draw=dert["draw"]))


# The unit of time, and messages.


def test_the_unit_of_time_changes_no_answer(make_buying, buying, customers):
    days = customers.assign(recency=customers["recency"] * 7, T=customers["T"] * 7)
    days = days.assign_attrs(time_unit="day")
    tree = make_buying(time_unit="day")
    tree["posterior"]["alpha"] = 7 * tree["posterior"]["alpha"]
    for question in (
        lambda b, c: closed.pmf(b, c, "4 weeks"),
        lambda b, c: closed.active(b, c, "4 weeks", at_least=2),
        lambda b, c: closed.retention(b, c, ["4 weeks", "52 weeks"])["alive_share"].drop_vars("time"),
        lambda b, c: closed.residual(b, c.isel(customer=slice(9)), 0.1),
        lambda b, c: next_purchase(b, c, seed=1)["wait"] / (7 if c.attrs["time_unit"] == "day" else 1),
    ):
        np.testing.assert_allclose(question(tree, days), question(buying, customers), rtol=1e-9)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (
            lambda b, c: closed.pmf(b, c, 4, max_count=0),
            "max_count must be a whole number from 1; it is 0",
        ),
        (lambda b, c: closed.pmf(b, c, 4, max_count=10**7), "10,000,001 classes of 400 customers need"),
        (lambda b, c: closed.pmf(b, c, -4), "positive and finite"),
        (lambda b, c: closed.active(b, c, 4, at_least=-1), "at_least must be a whole number from 0"),
        (
            lambda b, c: closed.active(b, c, 4, at_least=3, at_most=2),
            "at_most must be a whole number from 3",
        ),
        (lambda b, c: closed.retention(b, c, []), r"times must rise, such as \['4 weeks'"),
        (lambda b, c: closed.retention(b, c, [4, 4]), "times must rise"),
        (lambda b, c: closed.retention(b, c, [4], by={"c00000": "x"}), "399 of 400 customers have no label"),
        (lambda b, c: closed.retention(b, c, [4], by="kind"), "no column 'kind'"),
        (
            lambda b, c: closed.retention(b, c, [4], by=["x"] * 400),
            "by must be the name of a column of the customers, labels by customer id",
        ),
        (lambda b, c: closed.retention(b, c, range(1, 10**6)), "999,999 times|1,000,000 times of 400"),
        (lambda b, c: next_purchase(b, c, quantiles=[0.5, 0.5], seed=1), "between 0 and 1 in rising order"),
        (lambda b, c: next_purchase(b, c, quantiles=[0, 0.5], seed=1), "between 0 and 1 in rising order"),
        (
            lambda b, c: closed.residual(b, c, -0.1),
            "annual_discount_rate must not be negative",
        ),
        (
            lambda b, c: closed.residual(b, c, 0.1, max_memory=1e3),
            "500 draws of 400 customers need",
        ),
    ],
)
def test_bad_questions_are_refused(buying, customers, question, message):
    with pytest.raises(InputError, match=message):
        question(buying, customers)
