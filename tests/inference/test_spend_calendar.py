"""A base's spend per purchase over calendar time: its likelihood, what is found, and forecasts that go by it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special, stats

import bayes_clv as clv
from bayes_clv.families.registry import PRICED, family
from bayes_clv.inference import Calendar
from bayes_clv.inference.calendar import LearnedCalendar, learn_calendar, read_calendar
from bayes_clv.inference.clock import Prices
from bayes_clv.inference.data import distinct_rows, observed
from bayes_clv.inference.graph import _log_likelihood, rows_of_terms
from bayes_clv.inference.ledger import PAYER, read_ledger
from bayes_clv.views.reporting.fits import calendar_words

LOGNORMAL = {"m": 28.0, "tau": 0.5, "sigma": 0.6}
GAMMA = {"p": 3.1, "q": 3.7, "v": 30.0}
ALSO = ("log_spend", "purchase_spend")


@pytest.fixture(scope="module")
def customers():
    return clv.summarize(clv.load_cdnow(), until="1997-09-30", also=ALSO)


def amounts(customers, column="purchase_spend", start="spend_start"):
    """Each customer's amounts, read as the docstring of ``summarize`` says."""
    values, begin = customers[column].to_numpy(), customers[start].to_numpy()
    size = customers["frequency"].to_numpy()
    return [values[first : first + number] for first, number in zip(begin, size, strict=True)]


def test_amounts_are_those_of_the_repeat_purchases_with_their_days(customers):
    paid = amounts(customers)
    own = np.array([each.sum() for each in paid])
    mean = customers["monetary_value"].fillna(0) * customers["frequency"]
    np.testing.assert_allclose(own, mean, atol=1e-9)
    orders = clv.load_cdnow()
    ages = amounts(customers, "purchase_times", "purchase_start")
    for place in (0, 5, 2354):
        key = customers["customer"].to_numpy()[place]
        days = orders[(orders["customer_id"] == key) & (orders["date"] <= "1997-09-30")]
        by_day = days.groupby("date")["spend"].sum().iloc[1:]
        np.testing.assert_allclose(paid[place], by_day)
        since = pd.to_datetime(by_day.index) - pd.to_datetime(days["date"].min())
        np.testing.assert_allclose(ages[place], since.days / 7)
    some = customers.isel(customer=[2354, 5])
    np.testing.assert_array_equal(np.concatenate(amounts(some)), np.concatenate([paid[2354], paid[5]]))
    with pytest.raises(clv.InputError, match=r"also=\('purchase_spend',\) needs amounts"):
        clv.summarize(orders, spend=None, also=("purchase_spend",))


def log_rate_of(size):
    return np.random.default_rng(3).normal(0, 0.8, size)


def value(customers, log_rate=None, days=7, name="lognormal_spend", **other):
    """The log likelihood at a calendar, or without one."""
    import pytensor.tensor as pt

    record = family(name)
    data = observed(record, customers)
    columns, prices = dict(data.columns), None
    if log_rate is not None:
        used = customers.isel(customer=data.usable)
        calendar = learn_calendar(Calendar(period_days=days), record.name, used)
        ledger = read_ledger(used, days, calendar.unit_days, calendar.size)
        columns[PAYER] = np.arange(ledger.size.size)
        prices = Prices(calendar, pt.as_tensor(log_rate(calendar.size)), ledger)
    rows, count = distinct_rows(columns, data.count)
    given = (LOGNORMAL if name == "lognormal_spend" else GAMMA) | other
    params = {key: pt.as_tensor(number) for key, number in given.items()}
    found = _log_likelihood(record, params, rows_of_terms(record, rows, count), prices)
    if prices is not None:
        found = found + prices.log_density() + prices.log_amounts(record.forecast, params, rows[PAYER])
    return float(pt.as_tensor(found).eval(mode="FAST_COMPILE"))


@pytest.mark.parametrize("name", PRICED)
def test_neither_the_time_unit_nor_the_order_of_customers_changes_the_likelihood(customers, name):
    some = customers.isel(customer=np.isfinite(customers["log_spend_mean"].to_numpy()))
    known = value(some, log_rate_of, name=name)
    monthly = clv.summarize(clv.load_cdnow(), until="1997-09-30", time_unit="month", also=ALSO)
    monthly = monthly.sel(customer=some["customer"])
    assert value(monthly, log_rate_of, name=name) == pytest.approx(known, rel=1e-12)
    turned = some.isel(customer=slice(None, None, -1))
    assert value(turned, log_rate_of, name=name) == pytest.approx(known, rel=1e-12)


def purchases(customers, moved, days):
    """Of each customer who was always paid, the amounts and the log of g of their periods."""
    ages = amounts(customers, "purchase_times", "purchase_start")
    for spend, age, end in zip(amounts(customers), ages, customers["T"].to_numpy(), strict=True):
        if spend.size and (spend > 0).all():
            ago = np.rint((end - age) * 7).astype(int)
            yield spend, moved[moved.size - 1 - ago // days]


def test_without_movement_the_likelihood_is_the_familys(customers):
    static = value(customers)
    assert value(customers, np.zeros) == pytest.approx(static, rel=1e-10)
    # A pace that is the same in all periods is another unit of money.
    assert value(customers, lambda size: np.full(size, 0.7)) == pytest.approx(
        value(customers, m=LOGNORMAL["m"] * np.exp(0.7)), rel=1e-10
    )


def test_without_movement_gamma_gammas_is_the_familys_and_that_of_amounts_given_their_mean(customers):
    """The latter is that of a Dirichlet's shares, with the mean and the number as the change of variable."""
    some = customers.isel(customer=customers["monetary_value"].to_numpy() > 0)
    shares = 0.0
    for spend, _ in purchases(some, np.zeros(39), 7):
        if spend.size > 1:
            shares += stats.dirichlet.logpdf(spend / spend.sum(), np.full(spend.size, GAMMA["p"]))
            shares -= (spend.size - 1) * np.log(spend.sum()) + np.log(spend.size)
    paid = np.array([not each.size or (each > 0).all() for each in amounts(some)])
    some = some.isel(customer=paid)
    static = value(some, name="gamma_gamma")
    assert value(some, np.zeros, name="gamma_gamma") == pytest.approx(static + shares, rel=1e-10)
    paced = value(some, lambda size: np.full(size, 0.7), name="gamma_gamma")
    # Amounts in another unit: the change of variable is in the sum over periods.
    other = value(some, np.zeros, name="gamma_gamma", v=GAMMA["v"] * np.exp(0.7))
    assert paced == pytest.approx(other, rel=1e-10)


@pytest.mark.parametrize("days", [7, 30])
@pytest.mark.parametrize("name", PRICED)
def test_the_likelihood_is_the_density_of_every_amount_over_its_periods_factor(customers, name, days):
    """Of each customer's amounts by hand, up to the rounding of logs to 1e-6."""
    some = customers.isel(customer=slice(0, 300))
    paid = np.array([not each.size or (each > 0).all() for each in amounts(some)])
    some = some.isel(customer=paid)
    size = -(-int(np.rint(some["T"].max() * 7)) // days)
    total = 0.0
    for spend, c in purchases(some, log_rate_of(size), days):
        if name == "lognormal_spend":
            m, tau, sigma = LOGNORMAL.values()
            covariance = sigma**2 * np.eye(spend.size) + tau**2
            total += stats.multivariate_normal.logpdf(
                np.log(spend) - c, np.full(spend.size, np.log(m)), covariance
            )
            total -= np.log(spend).sum()
        else:
            # Integrated over the customer's own rate by quadrature.
            p, q, v = GAMMA.values()
            nu = np.exp(np.linspace(np.log(q / v) - 12, np.log(q / v) + 5, 4000))
            each = stats.gamma.logpdf(spend[:, None], p, scale=np.exp(c)[:, None] / nu).sum(axis=0)
            each += stats.gamma.logpdf(nu, q, scale=1 / v) + np.log(nu)
            total += special.logsumexp(each) + np.log(np.log(nu[1] / nu[0]))
    assert value(some, log_rate_of, days=days, name=name) == pytest.approx(total, rel=1e-6)


def test_what_a_calendar_of_spend_cannot_be_is_refused(customers):
    for name in PRICED:
        with pytest.raises(clv.InputError, match="customers lack 'purchase_spend'"):
            clv.fit(name, customers.drop_vars("purchase_spend"), calendar=Calendar(), seed=1)
    # One purchase for nothing, and the next of the same customer for both.
    spend = customers["purchase_spend"].to_numpy().copy()
    spend[3:5] = 0.0, spend[3:5].sum()
    free = customers.assign(purchase_spend=("repeat_purchase", spend))
    with pytest.raises(clv.InputError, match="1 of 946 customers have a repeat purchase for nothing"):
        clv.fit("gamma_gamma", free, calendar=Calendar(), seed=1)
    with pytest.raises(clv.InputError, match="Give method='nuts'"):
        clv.fit("lognormal_spend", customers, calendar=Calendar(), method="laplace", seed=1)
    with pytest.raises(clv.InputError, match="calendar of spend"):
        clv.fit("lognormal_spend", customers, calendar=Calendar(), include=("posterior_predictive",), seed=1)


@pytest.fixture(scope="module")
def moved():
    """A base whose spend per purchase goes up and down threefold, with single weeks, and its posteriors."""
    rng = np.random.default_rng(12)
    factor = np.exp(0.5 * np.sin(np.arange(52) / 5) + 0.15 * rng.standard_normal(52))
    rows = []
    for customer in range(800):
        came, level = int(rng.integers(0, 182)), np.exp(3 + 0.4 * rng.standard_normal())
        days = np.unique(np.concatenate([[came], rng.integers(came, 364, rng.poisson(4))]))
        spend = level * factor[days // 7] * np.exp(0.5 * rng.standard_normal(days.size))
        rows += zip([f"{customer:04}"] * days.size, days, np.round(spend, 2), strict=True)
    table = pd.DataFrame(rows, columns=["customer_id", "day", "spend"])
    table["date"] = pd.Timestamp("2021-01-01") + pd.to_timedelta(table["day"], unit="D")
    known = clv.summarize(table, until="2021-12-30", also=(*ALSO, "periods"))
    fitted = clv.fit(
        "lognormal_spend",
        known,
        calendar=Calendar(period_days=14),
        draws=300,
        tune=500,
        chains=2,
        seed=1,
        progress=False,
    )
    return known, factor, fitted, clv.fit("mbg_nbd", known, method="laplace", draws=150, seed=1)


def test_the_pace_of_spend_is_found(moved):
    _, factor, fitted, _ = moved
    rate = fitted.posterior["calendar_rate"]
    error = np.log(rate) - np.log(factor.reshape(-1, 2).mean(axis=1))
    centred = error - error.mean("calendar_period")
    z = centred.mean(("chain", "draw")) / centred.std(("chain", "draw"))
    assert np.abs(z).max() < 4
    assert float((z**2).mean()) < 2
    assert not fitted.sample_stats["diverging"].any()
    assert rate.attrs["long_name"].startswith("spend per purchase of all customers")
    # What the calendar has is not left to chance.
    assert float(fitted.posterior["sigma"].mean()) == pytest.approx(0.5, abs=0.03)
    assert float(fitted.posterior["tau"].mean()) == pytest.approx(0.4, abs=0.06)


def test_forecasts_of_money_go_by_it(moved, tmp_path):
    """Given its draw a total of money is the expected one and chance, with the calendar varying by a factor of ten."""
    known, _, fitted, buying = moved
    future = clv.predict(buying, known, "26 weeks", spending=fitted, annual_discount_rate=0.1, seed=2)
    value = clv.expected.value(buying, fitted, known, horizon="26 weeks", annual_discount_rate=0.1)
    total, expected = (
        each.to_numpy().ravel() for each in (future["value_total"], value["value_expected_total"])
    )
    assert np.quantile(expected, 0.95) / np.quantile(expected, 0.05) > 2
    difference = total / expected - 1
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(difference.size)
    assert np.corrcoef(total, expected)[0, 1] > 0.95
    again = clv.load(clv.save(fitted, tmp_path / "moved.nc"))
    repeated = clv.predict(buying, known, "26 weeks", spending=again, annual_discount_rate=0.1, seed=2)
    xr.testing.assert_identical(repeated, future)
    # Neither order nor company of the customers changes what one of them spends.
    mean = clv.predict(
        buying,
        known.isel(customer=[700, 3, 41]),
        "26 weeks",
        spending=fitted,
        annual_discount_rate=0.1,
        seed=2,
    )["spend_mean"]
    np.testing.assert_allclose(mean, future["spend_mean"].isel(customer=[700, 3, 41]), rtol=1e-12)
    cohort = clv.predict_cohort(buying, fitted, 500, horizon="26 weeks", annual_discount_rate=0.1, seed=3)
    off = (cohort["value_total"] / 500 / cohort["value_expected"] - 1).to_numpy().ravel()
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(off.size)


def test_forecasts_of_gamma_gamma_go_by_it_too(moved):
    """With the calendar of the other family, by hand."""
    known, _, fitted, buying = moved
    spending = clv.fit("gamma_gamma", known, method="laplace", draws=300, chains=2, seed=1)
    paced = {name: each for name, each in fitted.posterior.data_vars.items() if name.startswith("calendar")}
    spending["posterior"] = xr.DataTree(spending["posterior"].dataset.assign(paced))
    spending.attrs["calendar"] = fitted.attrs["calendar"]
    future = clv.predict(buying, known, "26 weeks", spending=spending, seed=2)
    value = clv.expected.value(buying, spending, known, horizon="26 weeks")
    off = (future["value_total"] / value["value_expected_total"] - 1).to_numpy().ravel()
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(off.size)
    # Of one draw and customer by hand: the Gamma of 1 / level, given the amounts over their periods' g.
    place = int(np.argmax(known["frequency"].to_numpy()))
    spend, own = amounts(known)[place], known.isel(customer=[place])
    age = amounts(known, "purchase_times", "purchase_start")[place]
    ago = np.rint((float(own["T"][0]) - age) * 7).astype(int)
    posterior = spending.posterior
    g = posterior["calendar_rate"].to_numpy()[..., -1 - ago // 14]
    p, q, v = (posterior[name].to_numpy() for name in ("p", "q", "v"))
    level = p * (v + (spend / g).sum(axis=-1)) / (p * spend.size + q - 1)
    drawn = clv.simulate(buying, own, "26 weeks", spending=spending, draws=600, seed=4)
    _, block = next(drawn.blocks(["spend_per_purchase"]))
    error = block["spend_per_purchase"].std() / np.sqrt(600)
    assert block["spend_per_purchase"].mean() == pytest.approx(level.mean(), abs=4 * error)


def test_a_future_period_multiplies_what_is_paid_in_it(moved):
    """With a calendar that is known to the end, money by period is that without one, times its g."""
    known, _, fitted, buying = moved
    posterior = fitted["posterior"].dataset.assign(
        # An hour's half-life and hardly a shock: the level returns to its mean at once.
        calendar_half_life=fitted.posterior["calendar_half_life"] * 0 + 1e-3,
        calendar_sd=fitted.posterior["calendar_sd"] * 0 + 1e-9,
        calendar_shock_sd=fitted.posterior["calendar_shock_sd"] * 0 + 1e-9,
    )
    still = fitted.copy()
    still["posterior"] = xr.DataTree(posterior)
    asked = {"horizon": "26 weeks", "periods": 13, "seed": 2}
    flat = clv.predict(buying, known, spending=still, **asked)["value_period_total"]
    steps = Calendar(period_days=14, events={"sale": {"2021-12-31": 0.0, "2022-07-30": 0.0}})
    calendar = learn_calendar(
        steps, "lognormal_spend", known.isel(customer=known["frequency"].to_numpy() > 0)
    )
    sale = np.zeros(14 * 15)
    sale[28:42] = np.log(10.0)
    events = {"sale": ("2021-12-31", tuple(sale.tolist()))}
    sold = still.copy()
    sold.attrs["calendar"] = replace(calendar, events=events).to_json()
    with_effect = posterior.assign_coords(calendar_effect=["sale"]).assign(
        calendar_coefficient=(("chain", "draw", "calendar_effect"), np.ones((2, 300, 1)))
    )
    sold["posterior"] = xr.DataTree(with_effect)
    times = clv.predict(buying, known, spending=sold, **asked)["value_period_total"] / flat
    np.testing.assert_allclose(
        times, np.broadcast_to(np.where(np.arange(13) == 2, 10.0, 1.0), times.shape), rtol=1e-6
    )


def test_two_calendars_are_independent_also_of_one_seed(moved):
    """600 pairs: a correlation beyond .16 comes once in 10,000. The pace of purchases is that of spend, by hand."""
    known, _, fitted, _ = moved
    buying = clv.fit("mbg_nbd", known, method="laplace", draws=300, chains=2, seed=1)
    # Draws of the same posterior, in another order.
    others = (
        fitted["posterior"]
        .dataset.isel(chain=[1, 0], draw=slice(None, None, -1))
        .drop_vars(("chain", "draw"))
    )
    paced = {name: each for name, each in others.data_vars.items() if name.startswith("calendar")}
    buying["posterior"] = xr.DataTree(buying["posterior"].dataset.assign(paced))
    calendar = LearnedCalendar.from_json(fitted.attrs["calendar"])
    buying.attrs["calendar"] = replace(calendar, of_spend=False).to_json()
    first, second = (read_calendar(tree).ahead(26.0)[:, :13].mean(axis=1) for tree in (buying, fitted))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.16
    future = clv.predict(buying, known, "26 weeks", spending=fitted, seed=2)
    value = clv.expected.value(buying, fitted, known, horizon="26 weeks")["value_expected_total"]
    off = (future["value_total"] / value - 1).to_numpy().ravel()
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(off.size)


def test_an_origins_fit_of_spend_asks_for_what_its_calendar_reads():
    money = clv.scoring.Fit("gamma_gamma", None, "nuts", calendar=Calendar())
    fit = clv.scoring.Fit("mbg_nbd", spending=money)
    assert fit.also == {"purchase_spend"}
    assert fit.key["spending"]["calendar"]["period_days"] == 7
    assert replace(fit, method="nuts", calendar=Calendar()).also == {"purchase_spend", "periods"}


def test_words_and_figure_say_that_it_is_spend(moved):
    *_, fitted, _ = moved
    said = calendar_words(fitted)
    assert said[0].startswith("All customers' spend per purchase moves over the calendar")
    bands = clv.views.calendar_bands(fitted, "26 weeks")
    assert bands.sizes["calendar_period"] == 26 + 13
    axes = clv.views.plot_calendar(fitted, "26 weeks").axes[0]
    assert axes.get_ylabel() == "spend / its mean"


def test_what_does_not_go_by_a_calendar_of_spend_says_so(moved):
    known, _, fitted, buying = moved
    other = known.assign_attrs(until="2021-12-29")
    with pytest.raises(clv.InputError, match="calendar ends on 2021-12-30"):
        clv.predict(buying, other, "4 weeks", spending=fitted, seed=1)
    with pytest.raises(clv.InputError, match="customers lack 'purchase_spend'"):
        clv.predict(buying, known.drop_vars("purchase_spend"), "4 weeks", spending=fitted, seed=1)
