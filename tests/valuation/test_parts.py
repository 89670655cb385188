"""Value parts: increments that add up, shared assumptions that do not average out, and nothing counted twice."""

import json

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.valuation.assumptions import DISTRIBUTIONS, frozen

MONEY = {"horizon": "26 weeks", "margin": 0.3, "annual_discount_rate": 0.1}
UNSURE = clv.Prior("Beta", mu=0.1, sigma=0.03)


@pytest.fixture(scope="module")
def customers(make_customers):
    few = make_customers(300)
    table = pd.DataFrame(
        {
            "wallet": np.linspace(0.1, 1.0, 300),
            "open_to_offers": np.arange(300) % 3 == 0,
            "channel": np.array(["search", "shop"])[np.arange(300) % 2],
        },
        index=few["customer"].values,
    )
    return clv.with_columns(few, table)


@pytest.fixture(scope="module")
def draws(customers, make_buying, make_spending):
    return clv.simulate(
        make_buying(draws=100), customers, spending=make_spending(draws=100), draws=200, seed=3, **MONEY
    )


@pytest.fixture(scope="module")
def current(draws):
    found = np.empty((300, draws.size))
    for places, block in draws.blocks(["value"]):
        found[places] = block["value"]
    return found


def test_parts_add_up_and_are_the_package_s_own_values(draws, customers, current):
    parts = clv.value_parts(
        draws,
        {
            "up_sell": {"amount": UNSURE, "take_up": 0.4},
            "insurance": {"kind": "cross_sell", "amount": 0.2, "margin": 0.6, "where": "frequency > 0"},
            "referral": {"amount": 0.1, "value": 20.0},
        },
        by=clv.segments.abc(),
        acquisition_cost=2.0,
    )
    names = ["historical", "current", "up_sell", "insurance", "referral"]
    assert parts["part"].values.tolist() == names
    assert parts["kind"].values.tolist() == ["historical", "current", "up_sell", "cross_sell", "referral"]
    of = {name: parts["value_mean"].sel(part=name) for name in names}
    # Historical value is predict_value's: margin × spend to date.
    np.testing.assert_allclose(of["historical"], 0.3 * customers["historical_spend"])
    np.testing.assert_allclose(of["current"], current.mean(axis=1))
    low, high = np.quantile(current, (0.05, 0.95), axis=1, method="inverted_cdf")
    np.testing.assert_allclose(parts["value_q05"].sel(part="current"), low)
    np.testing.assert_allclose(parts["value_q95"].sel(part="current"), high)
    # 20 % of spend at twice the margin, of who has bought again.
    again = (customers["frequency"] > 0).values
    np.testing.assert_allclose(of["insurance"], np.where(again, 0.4 * current.mean(axis=1), 0.0))
    np.testing.assert_allclose(parts["potential_mean"], sum(of[name] for name in names[2:]))
    np.testing.assert_allclose(parts["lifetime_value_mean"], of["historical"] + of["current"] - 2.0)
    np.testing.assert_allclose(
        parts["possible_value_mean"], parts["lifetime_value_mean"] + parts["potential_mean"]
    )
    # The same of the segments' totals, in every draw, and segments make up all customers.
    total = parts["value_total"]
    np.testing.assert_allclose(total.sel(part=names[2:]).sum("part"), parts["potential_total"])
    np.testing.assert_allclose(total.sum("part") - 2.0 * parts["size"], parts["possible_value_total"])
    np.testing.assert_allclose(total.sel(part="current").sum("segment"), current.sum(axis=0))
    np.testing.assert_array_equal(parts["size"].sum("segment"), 300)
    segments = clv.segment(draws, clv.segments.abc(), totals=("value",))
    np.testing.assert_allclose(total.sel(part="current"), segments["value_total"])
    for name in ("value_total", "potential_total", "possible_value_total"):
        low, high = np.quantile(parts[name], (0.05, 0.95), axis=0, method="inverted_cdf")
        np.testing.assert_allclose(parts[f"{name}_q05"], low)
        np.testing.assert_allclose(parts[f"{name}_q95"], high)
        np.testing.assert_allclose(parts[f"{name}_mean"], parts[name].mean("draw"))


def test_historical_value_is_that_of_predict_value(draws, customers, make_buying, make_spending):
    value = clv.predict(
        make_buying(draws=5),
        customers,
        spending=make_spending(draws=5),
        seed=1,
        acquisition_cost=2.0,
        **MONEY,
    )
    parts = clv.value_parts(draws, acquisition_cost=2.0)
    np.testing.assert_array_equal(parts["value_mean"].sel(part="historical"), value["historical_value"])
    # Lifetime value is historical + residual - cost in both.
    earned = value["lifetime_value_mean"] - value["value_mean"]
    np.testing.assert_allclose(parts["lifetime_value_mean"] - parts["value_mean"].sel(part="current"), earned)


def test_a_shared_assumption_does_not_average_out(draws, current):
    parts = clv.value_parts(draws, {"up_sell": UNSURE})
    up, now = parts["value_total"].sel(part="up_sell")[:, 0], parts["value_total"].sel(part="current")[:, 0]
    share = (up / now).to_numpy()
    # In a draw everybody has the same u, so that the total's ratio is u itself, whose sd is 0.03: the sample sd of
    # 200 has a relative error of 1 / sqrt(400) = 5 %, and four of them are 20 %.
    assert share.std(ddof=1) == pytest.approx(0.03, rel=0.2)
    assert share.mean() == pytest.approx(0.1, abs=4 * 0.03 / np.sqrt(200))
    own = parts["value_mean"].sel(part="up_sell")
    np.testing.assert_allclose(own, (share * current).mean(axis=1))
    # Who takes part is each customer's own chance, and does average out: half of the customers, in total.
    some = clv.value_parts(draws, {"up_sell": {"amount": 0.1, "take_up": 0.5}})
    ratio = some["value_total"].sel(part="up_sell")[:, 0] / some["value_total"].sel(part="current")[:, 0]
    weight = (current**2).sum(axis=0) / current.sum(axis=0) ** 2
    # The ratio's variance in a draw is 0.1² × 1/4 × the sum of squared shares.
    error = np.sqrt(0.1**2 / 4 * weight)
    z = ((ratio - 0.05) / error).to_numpy()
    assert abs(z.mean()) < 4 / np.sqrt(200)
    assert z.std() == pytest.approx(1, abs=0.25)
    # An uncertain take-up is one number a draw again: what is left besides is its sd × 0.1 = 0.02.
    unsure = clv.value_parts(
        draws, {"up_sell": {"amount": 0.1, "take_up": clv.Prior("Beta", mu=0.5, sigma=0.2)}}
    )
    share = unsure["value_total"].sel(part="up_sell")[:, 0] / unsure["value_total"].sel(part="current")[:, 0]
    assert float(share.std()) == pytest.approx(np.sqrt(0.02**2 + (error**2).mean()), rel=0.25)


def test_take_up_reaches_the_stated_share_of_each_customer(draws, current):
    parts = clv.value_parts(draws, {"up_sell": {"amount": 1.0, "take_up": "wallet"}})
    ours = parts["value_mean"].sel(part="up_sell").to_numpy()
    chance = draws.customers["wallet"].to_numpy()
    # Each customer's mean over draws of current × Bernoulli: variance chance (1 - chance) × mean square / draws.
    error = np.sqrt(chance * (1 - chance) * (current**2).mean(axis=1) / draws.size)
    off = np.abs(ours - chance * current.mean(axis=1))
    # A customer who hardly ever buys has too few draws for a Normal: all but 2 % within four errors.
    assert (off <= 4 * error + 1e-9).mean() > 0.98
    assert abs((ours - chance * current.mean(axis=1)).sum()) < 4 * np.sqrt((error**2).sum())


def test_who_takes_part_in_one_does_not_say_who_takes_part_in_another(customers, make_buying, make_spending):
    who = pd.Series(np.arange(300), index=customers["customer"].values, name="who")
    draws = clv.simulate(
        make_buying(draws=10),
        clv.with_columns(customers, who),
        spending=make_spending(draws=10),
        draws=20,
        seed=3,
    )
    offer = {"kind": "up_sell", "amount": 0.1, "take_up": 0.5}
    # A segment of each customer, so that every draw of it is seen.
    total = clv.value_parts(draws, {"first": offer, "second": offer}, by="who")["value_total"]
    buys = total.sel(part="current") > 0
    both = ((total.sel(part="first") > 0) & (total.sel(part="second") > 0)).to_numpy()[buys.to_numpy()]
    assert both.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / both.size))


def test_referrals_are_counts_of_new_customers(draws):
    parts = clv.value_parts(draws, {"referral": {"amount": 0.2, "value": 10.0}})
    total = parts["value_total"].sel(part="referral")[:, 0].to_numpy()
    # Poisson(300 × 0.2) new customers of 10 each.
    assert total.mean() == pytest.approx(600, abs=4 * 10 * np.sqrt(60 / 200))
    # The sd of 200 has a relative error of 5 %.
    assert total.std(ddof=1) == pytest.approx(10 * np.sqrt(60), rel=0.2)
    assert (total % 10 == 0).all()
    mean = clv.value_parts(draws, {"referral": {"amount": 30.0, "value": 1.0}})
    counts = mean["value_total"].sel(part="referral")[:, 0].to_numpy()
    assert counts.mean() == pytest.approx(9000, abs=4 * np.sqrt(9000 / 200))
    assert counts.std(ddof=1) == pytest.approx(np.sqrt(9000), rel=0.2)
    # Only who is still here brings anybody.
    here = clv.value_parts(draws, {"referral": {"amount": 30.0, "value": 1.0, "where": "alive == 1"}})
    alive = np.zeros(draws.size)
    for _, block in draws.blocks(["alive"]):
        alive += block["alive"].sum(axis=0)
    brought = here["value_total"].sel(part="referral")[:, 0].to_numpy()
    assert (np.abs(brought - 30 * alive) < 5 * np.sqrt(30 * alive)).all()


def test_a_new_customer_of_a_cohort_is_worth_what_its_draw_says(draws, make_buying, make_spending):
    cohort = clv.predict_cohort(
        make_buying(draws=100), make_spending(draws=100), 10, horizon="26 weeks", margin=0.3, seed=1
    )
    one = clv.value_parts(draws, {"referral": {"amount": 50.0, "value": 1.0}})
    worth = clv.value_parts(draws, {"referral": {"amount": 50.0, "value": cohort}})
    ratio = worth["value_total"].sel(part="referral")[:, 0] / one["value_total"].sel(part="referral")[:, 0]
    # Draws of one posterior are matched by their labels.
    expected = cohort["lifetime_value_expected"].transpose("chain", "draw").to_numpy().ravel()
    np.testing.assert_allclose(ratio, expected)
    assert "a new customer's expected value over 26 weeks" in str(worth["assumption"].values[2])
    # Other draws are thinned evenly.
    other = clv.predict_cohort(
        make_buying(draws=400), make_spending(draws=400), 10, horizon="26 weeks", margin=0.3, seed=1
    ).assign_coords(chain=[5, 6])
    thin = clv.value_parts(draws, {"referral": {"amount": 50.0, "value": other}})
    ratio = thin["value_total"].sel(part="referral")[:, 0] / one["value_total"].sel(part="referral")[:, 0]
    np.testing.assert_allclose(ratio, other["lifetime_value_expected"].to_numpy().ravel()[::4])


def test_share_of_wallet_takes_only_what_up_and_cross_sell_leave(draws, current):
    share = draws.customers["wallet"].to_numpy()[:, None]
    gap = np.maximum(0.5 / share - 1, 0)
    wallet = {"share_of_wallet": {"share": "wallet", "target": 0.5}}
    alone = clv.value_parts(draws, wallet)
    np.testing.assert_allclose(alone["potential_mean"], (gap * current).mean(axis=1))
    # Who is above the target loses nothing.
    assert (alone["potential_mean"].to_numpy()[share[:, 0] > 0.5] == 0).all()
    both = clv.value_parts(draws, wallet | {"up_sell": 0.3, "cross_sell": {"amount": 0.2, "margin": 0.9}})
    left = np.maximum(gap - 0.5, 0) * current
    np.testing.assert_allclose(both["value_mean"].sel(part="share_of_wallet"), left.mean(axis=1))
    np.testing.assert_allclose(both["value_mean"].sel(part="cross_sell"), 0.6 * current.mean(axis=1))
    # At one margin the customer's wallet is not exceeded: spend is at most the target, or what was there and is sold.
    same = clv.value_parts(draws, wallet | {"up_sell": 0.3, "cross_sell": 0.2})
    np.testing.assert_allclose(same["potential_mean"], (np.maximum(gap, 0.5) * current).mean(axis=1))
    # The order in which they are stated is only the order in which they are listed.
    turned = clv.value_parts(draws, {"cross_sell": 0.2, "up_sell": 0.3} | wallet)
    for name in ("cross_sell", "up_sell", "share_of_wallet"):
        np.testing.assert_array_equal(
            turned["value_total"].sel(part=name), same["value_total"].sel(part=name)
        )


def test_neither_order_nor_further_assumptions_change_anything(draws, customers, make_buying, make_spending):
    offer = {"up_sell": {"amount": UNSURE, "take_up": 0.5, "where": "alive == 1"}}
    more = {"referral": {"amount": clv.Prior("Gamma", mu=0.1, sigma=0.05), "value": 10.0}}
    one = clv.value_parts(draws, offer, threads=1)
    two = clv.value_parts(draws, more | offer, by="channel", threads=2)
    np.testing.assert_array_equal(
        one["value_mean"].sel(part="up_sell"), two["value_mean"].sel(part="up_sell")
    )
    turned = clv.simulate(
        make_buying(draws=100),
        customers.isel(customer=slice(None, None, -1)),
        spending=make_spending(draws=100),
        draws=200,
        seed=3,
        **MONEY,
    )
    back = clv.value_parts(turned, more | offer)
    np.testing.assert_allclose(
        back["value_mean"].sel(customer=customers["customer"]), two["value_mean"].sel(part=back["part"])
    )
    np.testing.assert_allclose(back["value_total"][:, 0], two["value_total"].sum("segment"))


def test_segments_by_labels_and_scopes(draws, customers, current):
    by_channel = clv.value_parts(draws, {"up_sell": {"amount": 0.5, "where": "open_to_offers"}}, by="channel")
    shop, asked = (customers["channel"] == "shop").values, customers["open_to_offers"].values
    assert by_channel["segment"].values.tolist() == ["search", "shop"]
    total = by_channel["value_total"].sel(segment="shop")
    np.testing.assert_allclose(total.sel(part="current"), current[shop].sum(axis=0))
    np.testing.assert_allclose(total.sel(part="up_sell"), 0.5 * current[shop & asked].sum(axis=0))
    # Labels of a segmentation are its most probable ones, whatever the draw.
    segments = clv.segment(draws, clv.segments.abc())
    fixed = clv.value_parts(draws, by=segments.isel(customer=slice(None, None, -1)))
    a = (segments["most_likely"] == "A").values
    np.testing.assert_allclose(fixed["size"].sel(segment="A"), a.sum())
    np.testing.assert_allclose(fixed["value_total"].sel(segment="A", part="current"), current[a].sum(axis=0))
    assert fixed.attrs["segments"] == "ABC"


def test_the_table_says_what_was_assumed(draws):
    parts = clv.value_parts(
        draws,
        {
            "up_sell": {
                "amount": clv.Prior("Beta", alpha=4, beta=36),
                "take_up": 0.3,
                "where": "frequency > 0",
            },
            "share_of_wallet": {"share": "wallet", "target": 0.9},
        },
        by="channel",
    )
    table = clv.table(parts)
    assert table["part"].tolist()[:4] == ["historical", "current", "up_sell", "share_of_wallet"]
    assert table["part"].tolist()[4:7] == ["potential", "lifetime_value", "possible_value"]
    row = table[(table["segment"] == "shop") & (table["part"] == "up_sell")].iloc[0]
    assert row["assumption"] == (
        "spend per purchase × (1 + Beta(alpha=4, beta=36)); take-up 0.3; where frequency > 0"
    )
    assert row["mean"] == float(parts["value_total_mean"].sel(segment="shop", part="up_sell"))
    assert row["customers"] == 150
    said = json.loads(table.attrs["assumptions"])
    assert said[1]["text"] == "share of wallet from column 'wallet' to 0.9"
    one = clv.table(parts, by="customer")
    assert len(one) == 300
    np.testing.assert_array_equal(one["possible_value_q95"], parts["possible_value_q95"])
    with pytest.raises(clv.InputError, match="what clv.value_parts returned"):
        clv.table(parts.drop_vars("value_total"))


def test_what_is_not_known_is_nan_with_its_reason(customers, draws, make_buying, make_spending):
    without = clv.simulate(
        make_buying(draws=20),
        customers.drop_vars("historical_spend"),
        spending=make_spending(draws=20),
        draws=40,
        seed=3,
    )
    parts = clv.value_parts(without, {"up_sell": 0.1})
    assert np.isnan(parts["value_mean"].sel(part="historical")).all()
    assert np.isnan(parts["possible_value_mean"]).all()
    assert np.isfinite(parts["potential_mean"]).all()
    assert "no historical_spend" in parts.attrs["reasons"][0]
    # As many draws of spend as the posterior has, whatever that of buying has.
    for many in (3, 70):
        other = clv.simulate(
            make_buying(draws=20), customers, spending=make_spending(draws=many), draws=40, seed=3
        )
        assert np.isfinite(clv.value_parts(other)["value_total_mean"]).all()
    # q below 1: mean spend is infinite for who has not bought again, so that no mean is given, and quantiles are.
    heavy = clv.simulate(
        make_buying(draws=20), customers, spending=make_spending(draws=20, q=0.9), draws=40, seed=3
    )
    parts = clv.value_parts(
        heavy,
        {"up_sell": 0.1, "referral": {"amount": 1.0, "value": 5.0}},
        by=clv.rule("x", {"once": "frequency == 0", "again": "frequency > 0"}),
    )
    once = (customers["frequency"] == 0).values
    assert np.isnan(parts["value_mean"].sel(part="current")).values.tolist() == once.tolist()
    assert np.isfinite(parts["value_mean"].sel(part=["historical", "referral"])).all()
    assert np.isfinite(parts["value_q95"]).all()
    mean = parts["value_total_mean"].sel(part="up_sell")
    assert np.isnan(mean.sel(segment="once"))
    assert np.isfinite(mean.sel(segment="again"))
    assert "expected spend is infinite" in parts.attrs["reasons"][0]


@pytest.mark.parametrize(
    ("assumptions", "message"),
    [
        ([1], "must be a mapping of names"),
        ({"upsell": 0.1}, "'upsell' is of kind 'upsell', which is not known. There are up_sell, cross_sell"),
        ({"current": {"kind": "up_sell", "amount": 0.1}}, "cannot be called 'current'"),
        ({"referral": 0.1}, "'referral': 'value' is missing"),
        ({"up_sell": {"amount": 0.1, "amonut": 1}}, "'amonut' is not known. A up_sell has amount"),
        ({"up_sell": {"amount": "satisfaction"}}, "The customers have no column 'satisfaction'"),
        ({"up_sell": {"amount": "channel"}}, "the column 'channel' holds text"),
        ({"up_sell": True}, "got bool. Give a number, clv.Prior"),
        ({"up_sell": {"amount": 0.1, "take_up": 1.5}}, "must be at least 0 and at most 1 and finite; 1 of 1"),
        (
            {"up_sell": clv.Prior("Normal", mu=-0.9, sigma=0.2)},
            r"at least -1 and finite; \d+ of 200 draws of Prior\('Normal'.*Use a distribution that stays there",
        ),
        ({"up_sell": clv.Prior("Cauchy", alpha=0, beta=1)}, r"Prior\('Cauchy'.*is not known here.*Beta, Exp"),
        ({"up_sell": clv.Prior("Beta", alpha=1)}, "lacks an argument or has one too many"),
        ({"up_sell": clv.Prior("LogNormal", mu=0, sigma=-1)}, "does not exist for these arguments"),
        ({"share_of_wallet": {"share": 0.0, "target": 0.5}}, "must be above 0 and at most 1"),
        ({"up_sell": {"amount": 0.1, "where": "wallet"}}, "not true and false in 299 of 300"),
        (
            {"up_sell": {"amount": 0.1, "where": "satisfied > 3"}},
            "Assumption 'up_sell'.*'satisfied' is not known",
        ),
        ({"up_sell": {"amount": 0.1, "where": 3}}, "must be a condition such as"),
    ],
)
def test_assumptions_that_cannot_be_are_refused(draws, assumptions, message):
    with pytest.raises(clv.InputError, match=message):
        clv.value_parts(draws, assumptions)


def test_what_cannot_be_added_up_is_refused(draws, customers, make_buying, make_spending):
    with pytest.raises(clv.InputError, match="needs money"):
        clv.value_parts(clv.simulate(make_buying(draws=10), customers, seed=1))
    with pytest.raises(clv.InputError, match="no column 'colour'.*Attach it by customer id"):
        clv.value_parts(draws, by="colour")
    with pytest.raises(
        clv.InputError, match="the name of a column of the customers, labels by customer id .*got list"
    ):
        clv.value_parts(draws, by=["a"])
    few = clv.segment(draws, clv.segments.abc()).isel(customer=slice(3, None))
    with pytest.raises(clv.InputError, match="3 of 300 customers have no label, such as 'c00000'"):
        clv.value_parts(draws, by=few)
    cohort = clv.predict_cohort(
        make_buying(draws=5), make_spending(draws=5, q=0.9), 10, horizon="26 weeks", seed=1
    )
    with pytest.raises(clv.InputError, match="new customer is infinite in .* of 200 draws"):
        clv.value_parts(draws, {"referral": {"amount": 1.0, "value": cohort}})
    with pytest.raises(clv.InputError, match="not what clv.predict_cohort returns"):
        clv.value_parts(draws, {"referral": {"amount": 1.0, "value": customers}})


def test_assumed_distributions_are_pymc_s():
    import pymc as pm
    import pytensor

    stated = [
        clv.Prior("Beta", alpha=4, beta=36),
        clv.Prior("Beta", mu=0.2, sigma=0.1),
        clv.Prior("Exponential", lam=3),
        clv.Prior("Gamma", alpha=2, beta=5),
        clv.Prior("Gamma", mu=0.4, sigma=0.2),
        clv.Prior("HalfNormal", sigma=0.3),
        clv.Prior("LogNormal", mu=-2, sigma=0.5),
        clv.Prior("Normal", mu=0.1, sigma=0.05),
        clv.Prior("Triangular", lower=0.05, c=0.1, upper=0.4),
        clv.Prior("TruncatedNormal", mu=0.1, sigma=0.2, lower=0.0, upper=0.6),
        clv.Prior("Uniform", lower=0.05, upper=0.35),
    ]
    assert {prior.distribution for prior in stated} == set(DISTRIBUTIONS)
    at = np.array([0.06, 0.12, 0.3])
    theirs = [pm.logp(getattr(pm, prior.distribution).dist(**dict(prior.arguments)), at) for prior in stated]
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        values = pytensor.function([], theirs)()
    for prior, expected in zip(stated, values, strict=True):
        np.testing.assert_allclose(frozen(prior).logpdf(at), expected, rtol=1e-5, err_msg=repr(prior))
