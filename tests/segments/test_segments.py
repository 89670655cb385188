"""Segments: memberships are the shares of draws, thresholds are each draw's own, and probabilities are calibrated."""

import numpy as np
import pytest

import bayes_clv as clv
from bayes_clv.segments.thresholds import _quantiles


@pytest.fixture(scope="module")
def draws():
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30")
    few = customers.isel(customer=slice(0, None, 5))
    buying = clv.fit("mbg_nbd", few, method="laplace", draws=100, seed=1)
    spending = clv.fit("gamma_gamma", few, method="laplace", draws=100, seed=2)
    return clv.simulate(buying, few, spending=spending, margin=0.3, draws=200, seed=1)


def gathered(draws, *names):
    found = {name: np.empty((draws.customers.sizes["customer"], draws.size)) for name in names}
    for places, block in draws.blocks(names):
        for name in names:
            found[name][places] = block[name]
    return found.values()


def test_memberships_are_shares_of_draws(draws):
    found = clv.segment(
        draws,
        clv.rule("kinds", {"none": "purchases == 0", "one": "purchases == 1", "more": "purchases > 1"}),
        totals=("value",),
    )
    bought, value = gathered(draws, "purchases", "value")
    for name, inside in (("none", bought == 0), ("one", bought == 1), ("more", bought > 1)):
        each = found.sel(segment=name)
        np.testing.assert_allclose(each["membership"], inside.mean(axis=1), atol=1e-6)
        np.testing.assert_array_equal(each["size"], inside.sum(axis=0))
        np.testing.assert_allclose(each["value_total"], np.where(inside, value, 0).sum(axis=0))
        assert each["size_q05"] <= each["size_mean"] <= each["size_q95"]
    np.testing.assert_allclose(found["membership"].sum("segment"), 1, atol=1e-6)
    best = found["membership"].argmax("segment")
    np.testing.assert_array_equal(found["most_likely"], found["segment"].values[best])
    np.testing.assert_array_equal(found["unsure"], found["membership"].max("segment") < 0.8)


def test_abc_is_cut_anew_in_every_draw(draws):
    found = clv.segment(draws, clv.segments.abc(), totals=("value",))
    (value,) = gathered(draws, "value")
    share = found["value_total"] / value.sum(axis=0)[:, None]
    # A is the smallest group of best customers that brings 80 %: without its last it would not.
    assert (share.sel(segment="A") >= 0.8 - 1e-9).all()
    assert (share.sel(segment="C") <= 0.05 + 1e-9).all()
    falling = -np.sort(-value, axis=0)
    size = found["size"].sel(segment="A").to_numpy()
    for s in range(draws.size):
        assert falling[: size[s] - 1, s].sum() < 0.8 * value[:, s].sum()


def test_scores_split_every_draw_into_equal_parts(draws):
    found = clv.segment(draws, clv.segments.rfm("T", "purchase_rate", "spend_per_purchase", scores=4))
    customers = draws.customers.sizes["customer"]
    for position in (1, 2):
        for score in "1234":
            inside = [name for name in found["segment"].values if name[position] == score]
            size = found["size"].sel(segment=inside).sum("segment")
            # Continuous quantities have no ties, so each quarter is a quarter, up to one customer.
            assert (abs(size - customers / 4) <= 1).all()


def test_point_labels_are_the_rule_on_one_number_each(draws):
    few = draws.customers
    kinds = clv.rule("halves", {"low": "frequency <= quantile(0.5)", "high": "frequency > quantile(0.5)"})
    cut = np.quantile(few["frequency"], 0.5, method="inverted_cdf")
    expected = np.where(few["frequency"] > cut, "high", "low")
    np.testing.assert_array_equal(clv.segments.points(few, kinds), expected)
    # A rule on what is known for sure is sure.
    found = clv.segment(draws, kinds)
    np.testing.assert_array_equal(found["most_likely"], expected)
    assert not found["unsure"].any()
    with pytest.raises(clv.InputError, match="no 'value' among the values"):
        clv.segments.points(few, clv.segments.abc())
    with pytest.raises(clv.InputError, match=r"'monetary_value' is missing \(NaN\) for .* of"):
        clv.segments.points(few, clv.rule("x", {"a": "monetary_value > 1", "b": None}))


def test_what_cannot_be_segmented_is_refused_with_its_place(draws):
    for segments, message in (
        (
            {"a": "satisfaction > 3", "b": None},
            r"segment 'a': the quantity 'satisfaction' is not known.*with_columns",
        ),
        (
            {"a": "monetary_value > 3", "b": None},
            r"segment 'a': 'monetary_value' is missing \(NaN\), for customer",
        ),
        ({"a": "value / purchases > 3", "b": None}, r"divides by 'purchases', which is zero"),
        ({"a": "-value >= bringing(0.5)", "b": None}, r"nobody brings a share"),
    ):
        with pytest.raises(clv.InputError, match=message):
            clv.segment(draws, clv.rule("x", segments))
    with pytest.raises(clv.InputError, match="of totals is not known"):
        clv.segment(draws, clv.segments.abc(), totals=("profit",))
    with pytest.raises(clv.InputError, match="sure=0"):
        clv.segment(draws, clv.segments.abc(), sure=0)


def test_columns_of_the_user_are_quantities(draws):
    few = draws.customers
    cost = np.where(np.arange(few.sizes["customer"]) % 2, 10_000.0, 0.0)
    with_cost = few.assign(cost_to_serve=("customer", cost))
    buying = clv.fit("mbg_nbd", few, method="laplace", draws=100, seed=1)
    spending = clv.fit("gamma_gamma", few, method="laplace", draws=100, seed=2)
    dear = clv.simulate(buying, with_cost, spending=spending, draws=100, seed=1)
    found = clv.segment(dear, clv.segments.four_kinds(5.0, cost_to_serve="cost_to_serve"))
    burden = found["membership"].sel(segment="burden").to_numpy()
    assert burden[cost > 0].min() > 0.9 > burden[cost == 0].mean()


@pytest.mark.parametrize(
    "make",
    [
        lambda: clv.segments.rfm(scores=1),
        lambda: clv.segments.abc(shares=(0.9, 0.8)),
        lambda: clv.segments.four_kinds(0.0),
        lambda: clv.segments.lifecycle(late=4, long_silence=2),
    ],
)
def test_presets_refuse_what_makes_no_sense(make):
    with pytest.raises(clv.InputError):
        make()


def test_the_lifecycle_reads_the_customers_own_rhythm(draws):
    found = clv.segment(draws, clv.segments.lifecycle())
    alive, rate, silence = gathered(draws, "alive", "purchase_rate", "time_since_purchase")
    here = (alive == 1) & (rate * silence < 2)
    frequency = draws.customers["frequency"].to_numpy()[:, None]
    np.testing.assert_allclose(
        found["membership"].sel(segment="loyal"), (here & (frequency >= 4)).mean(axis=1), atol=1e-6
    )
    np.testing.assert_allclose(
        found["membership"].sel(segment="first purchase"), (here & (frequency == 0)).mean(axis=1), atol=1e-6
    )
    lapsed = (alive == 0) | (rate * silence >= 4)
    np.testing.assert_allclose(found["membership"].sel(segment="lapsed"), lapsed.mean(axis=1), atol=1e-6)


def test_a_matrix_calls_nobody_high_at_a_quantile_that_most_share():
    """Most buy nothing: the median of value is 0, and high is above it."""
    value = np.array([0.0, 0.0, 0.0, 5.0, 9.0])
    alive = np.array([0.2, 0.9, 0.6, 0.4, 0.8])
    found = clv.segments.points(
        {"probability_alive": alive, "value": value},
        clv.segments.matrix("probability_alive", "value", x_cut=0.6),
    )
    assert [each.split(", ")[1].split()[0] for each in found] == ["low", "low", "low", "high", "high"]
    # A number is where high begins.
    assert [each.split()[0] for each in found] == ["low", "high", "high", "low", "high"]


@pytest.mark.parametrize("size", [1, 2, 5, 10, 50_000])
def test_quantiles_are_numpys(size):
    # With ties, and levels that fall on a customer and beside one.
    amount = np.random.default_rng(1).integers(0, max(size // 3, 2), size).astype(float)
    levels = (0.0, 1e-9, 0.1, 0.2, 1 / 3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    np.testing.assert_array_equal(
        _quantiles(amount, levels), np.quantile(amount, levels, method="inverted_cdf")
    )
