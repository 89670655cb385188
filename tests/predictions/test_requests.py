"""What the engine gives on request, beside the draws it was made of."""

import math
from contextlib import contextmanager

import numpy as np
import pytest
import xarray as xr

from bayes_clv.predictions import expected, forecasts, summaries
from bayes_clv.predictions.forecasts import predict
from bayes_clv.predictions.statistics import BINS, BINS_PER_OCTAVE, bin_of, cutoff, places
from bayes_clv.schema import InputError
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

SIZE = 600
PERIODS = 4
SHARE = 0.1
# 0.002 a week.
ANNUAL = math.expm1(0.002 * 365.2425 / 7)


@pytest.fixture(scope="module")
def customers(make_customers):
    return make_customers(SIZE)


@pytest.fixture(scope="module")
def buying(make_buying):
    return make_buying()


@pytest.fixture(scope="module")
def spending(make_spending):
    return make_spending()


@pytest.fixture(scope="module")
def money(buying, spending, customers):
    """Return everything at once, and the draws."""
    return predict(
        buying,
        customers,
        "52 weeks",
        seed=1,
        spending=spending,
        annual_discount_rate=ANNUAL,
        keep_draws=True,
        value_above=[0.0, 10.0, 50.0],
        periods=PERIODS,
        top_share=SHARE,
    )


def shares_of_places(values, wanted, bins):
    """Return each customer's share of the places in each draw (draw, customer), ties sharing, by sorting."""
    classes = np.array([bins(v) for v in values.ravel()]).reshape(values.shape)
    result = np.zeros(values.shape)
    for s, ranks in enumerate(classes):
        boundary = np.sort(ranks)[::-1][wanted - 1]
        above, tied = ranks > boundary, ranks == boundary
        result[s] = above + tied * (wanted - above.sum()) / tied.sum()
    return result


def test_asking_changes_nothing_else(buying, spending, customers, money):
    plain = predict(
        buying, customers, "52 weeks", seed=1, spending=spending, annual_discount_rate=ANNUAL, keep_draws=True
    )
    xr.testing.assert_identical(money[list(plain.data_vars)], plain)
    assert not {"value_above", "purchases_period_mean", "probability_top"} & set(plain.data_vars)


def test_probabilities_of_exceeding_are_those_of_the_draws(money):
    for i, amount in enumerate(money["threshold"].to_numpy()):
        np.testing.assert_array_equal(
            money["value_above"][:, i], (money["value"] > amount).mean(("chain", "draw"))
        )
    # Above 0 is any purchase.
    np.testing.assert_array_equal(money["value_above"][:, 0], money["probability_active"])


def test_periods_add_up(money):
    np.testing.assert_array_equal(money["purchases_period_total"].sum("period"), money["purchases_total"])
    np.testing.assert_allclose(money["value_period_total"].sum("period"), money["value_total"], rtol=1e-12)
    np.testing.assert_allclose(
        money["purchases_period_mean"].sum("period"), money["purchases_mean"], rtol=1e-12, atol=1e-15
    )
    np.testing.assert_allclose(
        money["value_period_mean"].sum("period"), money["value_mean"], rtol=1e-11, atol=1e-12
    )
    for name in ("purchases", "value"):
        np.testing.assert_allclose(
            money[f"{name}_period_mean"].sum("customer"),
            money[f"{name}_period_total"].mean(("chain", "draw")),
            rtol=1e-11,
        )
    np.testing.assert_array_equal(money["period_end"], [13, 26, 39, 52])


def test_the_first_period_is_the_shorter_horizon(buying, spending, customers, money):
    # A shorter horizon is the beginning of a longer one, so this holds draw by draw.
    quarter = predict(buying, customers, "13 weeks", seed=1, spending=spending, annual_discount_rate=ANNUAL)
    np.testing.assert_array_equal(money["purchases_period_total"][..., 0], quarter["purchases_total"])
    np.testing.assert_allclose(money["value_period_total"][..., 0], quarter["value_total"], rtol=1e-12)
    np.testing.assert_allclose(money["purchases_period_mean"][:, 0], quarter["purchases_mean"], rtol=1e-12)


def test_periods_follow_the_closed_form(buying, customers, money):
    # Per period, the sum over customers: independent errors, 4 standard errors each.
    draws = money.attrs["draws"]
    earlier = np.zeros(SIZE)
    for i, end in enumerate(money["period_end"].to_numpy()):
        through = expected.purchases(buying, customers, float(end)).mean(("chain", "draw")).to_numpy()
        total = float(money["purchases_period_mean"][:, i].sum())
        # Var(sum over customers) <= the sum of variances of purchases over the whole horizon.
        error = math.sqrt(float((money["purchases_sd"] ** 2).sum()) / draws)
        assert abs(total - (through - earlier).sum()) < 4 * error
        earlier = through


def test_the_top_share_is_that_of_the_draws(money, spending):
    p, q, v = (spending["posterior"][name].to_numpy() for name in ("p", "q", "v"))
    reference = float(np.mean(np.log2(p * v / q)))
    values = money["value"].transpose("chain", "draw", "customer").to_numpy().reshape(-1, SIZE)
    wanted = places(SHARE, SIZE)
    expected = shares_of_places(values, wanted, lambda v: bin_of(v, reference) if v > 0 else 0).mean(axis=0)
    np.testing.assert_allclose(money["probability_top"], expected, rtol=1e-12, atol=1e-15)
    assert float(money["probability_top"].sum()) == pytest.approx(wanted, rel=1e-12)
    # Beside exact ranks: ties are 1.1 % wide, so few places of 60 are shared.
    exact = (np.argsort(np.argsort(-values, axis=1), axis=1) < wanted).mean(axis=0)
    assert np.abs(money["probability_top"] - exact).max() < 0.02


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_purchases_rank_where_there_is_no_money(buying, customers, share):
    # Of 600 customers fewer than 540 buy, so that those who do not share the last places.
    future = predict(buying, customers, "52 weeks", seed=1, top_share=share, keep_draws=True)
    counts = future["purchases"].transpose("chain", "draw", "customer").to_numpy().reshape(-1, SIZE)
    expected = shares_of_places(counts, places(share, SIZE), int).mean(axis=0)
    assert (counts > 0).sum(axis=1).max() < 540
    assert counts.max() < 91
    np.testing.assert_allclose(future["probability_top"], expected, rtol=1e-12, atol=1e-15)
    assert future["probability_top"].attrs["share"] == share


def test_order_threads_and_tiles_change_no_bit(buying, spending, customers, money, monkeypatch):
    def again(chosen, threads):
        return predict(
            buying,
            chosen,
            "52 weeks",
            seed=1,
            spending=spending,
            annual_discount_rate=ANNUAL,
            keep_draws=True,
            value_above=[0.0, 10.0, 50.0],
            periods=PERIODS,
            top_share=SHARE,
            threads=threads,
        )

    order = np.random.default_rng(1).permutation(SIZE)
    shuffled = again(customers.isel(customer=order), 1)
    xr.testing.assert_identical(shuffled.sel(customer=money["customer"]), money)
    # One histogram for two threads.
    monkeypatch.setattr(summaries, "HISTOGRAM_MEMORY", 1.0)
    monkeypatch.setattr(
        summaries.simulate_futures, "__kwdefaults__", {"threads": 2, "progress": None, "tile": 3000}
    )
    xr.testing.assert_identical(again(customers, 2), money)


def test_a_money_unit_changes_no_rank(buying, make_spending, customers, money):
    cents = make_spending()
    cents["posterior"]["v"] = cents["posterior"]["v"] * 100
    scaled = customers.assign(monetary_value=customers["monetary_value"] * 100)
    other = predict(
        buying, scaled, 52, seed=1, spending=cents, annual_discount_rate=ANNUAL, top_share=SHARE,
        value_above=[0.0, 1000.0, 5000.0],
    )  # fmt: skip
    np.testing.assert_array_equal(other["value_above"], money["value_above"])
    # Rounding moves an amount on a bin's edge (1e-14 of 300,000) to its neighbour.
    np.testing.assert_allclose(other["probability_top"], money["probability_top"], atol=1e-6)


def test_every_count_up_to_91_has_a_bin_of_its_own():
    bins = [bin_of(float(n), 0.0) for n in range(1, 92)]
    assert (np.diff(bins) >= 1).all()
    assert bin_of(1.0, 0.0) == 20 * BINS_PER_OCTAVE + 1
    assert bin_of(2.0, 0.0) == 21 * BINS_PER_OCTAVE + 1
    assert (bin_of(1e-300, 0.0), bin_of(1e300, 0.0)) == (1, BINS - 1)


def test_cutoffs_of_a_histogram_by_hand():
    histogram = np.zeros((3, BINS), dtype=np.int32)
    histogram[0, [5, 9, 20]] = 4, 3, 2
    histogram[1, 7] = 10
    histogram[2, 7] = 1
    boundary = cutoff(histogram, 10, 4)
    np.testing.assert_array_equal(boundary.bin, [9, 7, 0])
    np.testing.assert_allclose(boundary.share, [2 / 3, 4 / 10, 3 / 9])
    assert [places(0.1, n) for n in (1, 10, 11, 600)] == [1, 1, 2, 60]


def test_progress_counts_both_passes_and_changes_nothing(buying, customers, monkeypatch):
    seen = []

    @contextmanager
    def watched(shown, what):
        yield (lambda *done: seen.append(done)) if shown else None

    plain = predict(buying, customers, 4, seed=1, top_share=0.5)
    xr.testing.assert_identical(predict(buying, customers, 4, seed=1, top_share=0.5, progress=True), plain)
    monkeypatch.setattr(forecasts, "progress_bar", watched)
    predict(buying, customers, 4, seed=1, top_share=0.5, progress=True)
    assert seen[-1] == (2 * SIZE, 2 * SIZE)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"periods": 0}, "periods must be a whole number from 1.*it is 0"),
        ({"periods": 2.5}, "periods must be a whole number"),
        ({"top_share": 1}, "top_share must lie between 0 and 1: 0.1 is the top tenth"),
        ({"top_share": 0}, "top_share must lie between 0 and 1"),
        ({"periods": 10**6}, "1,000,000 periods of 600 customers and 500 draws need"),
        ({"margin": 0.3, "value_above": [1.0]}, "margin, value_above: money needs a spending posterior"),
        (
            {"annual_discount_rate": 0.1, "acquisition_cost": 2},
            "annual_discount_rate, acquisition_cost: money",
        ),
    ],
)
def test_bad_requests_are_refused(buying, customers, request_, message):
    with pytest.raises(InputError, match=message):
        predict(buying, customers, 52, seed=1, **request_)


def test_a_new_customers_first_period_is_no_pile_of_rounding(estimates, make_buying, make_customers):
    # As many periods as days: the last must not collect what belongs before it.
    one = make_customers(1).assign(
        frequency=("customer", [0]), recency=("customer", [0.0]), T=("customer", [1e-9])
    )
    certain = make_buying(sd=0.0, chains=1, draws=100_000)
    daily = predict(certain, one, 4, seed=2, periods=28)
    mean = daily["purchases_period_mean"][0].to_numpy()
    expected = np.diff([0, *bg_nbd.expected_purchases(np.arange(1, 29) / 7, 0, 0, 0, **estimates)])
    # At most one purchase a day but for 1 in 100: the variance of a rare count is its mean.
    assert (np.abs(mean - expected) < 4.5 * np.sqrt(1.1 * expected / 100_000)).all()
