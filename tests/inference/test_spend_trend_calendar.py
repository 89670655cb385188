"""Spend that moves with its customer and with the calendar, in one fit: likelihood, limits, forecasts, refusals."""

import numpy as np
import pytest
import xarray as xr
from scipy import special, stats

import bayes_clv as clv
from bayes_clv.distributions.lognormal import levels_at
from bayes_clv.families.registry import family
from bayes_clv.inference import Calendar
from bayes_clv.inference.calendar import learn_calendar
from bayes_clv.inference.clock import Prices
from bayes_clv.inference.data import distinct_rows, observed
from bayes_clv.inference.graph import _log_likelihood, build_model, rows_of_terms
from bayes_clv.inference.ledger import PAYER, read_ledger

NORMAL = {"m": 28.0, "tau": 0.5, "sigma": 0.6}
GAMMA = {"p": 3.1, "q": 3.7, "v": 30.0}
TREND = {"growth": 1.6, "span": 39.0}
DRIFT = {"omega": 0.4, "kappa": 0.07}
FORMS = {
    "lognormal_spend_trend": NORMAL | TREND,
    "lognormal_spend_drift": NORMAL | DRIFT,
    "lognormal_spend_trend_drift": NORMAL | TREND | DRIFT,
    "gamma_gamma_trend": GAMMA | TREND,
}
ALSO = ("log_spend", "purchase_spend", "periods")


@pytest.fixture(scope="module")
def everybody():
    return clv.summarize(clv.load_cdnow(), until="1997-09-30", also=ALSO)


@pytest.fixture(scope="module")
def customers(everybody):
    """Those who were always paid, of the first 400."""
    known = np.isfinite(everybody["log_spend_mean"].to_numpy())
    return everybody.isel(customer=np.flatnonzero(known)[:300])


def log_rate_of(size):
    return np.random.default_rng(3).normal(0, 0.8, size)


def value(customers, name, log_rate=None, **params):
    """The log likelihood at a calendar, or without one."""
    import pytensor.tensor as pt

    record = family(name)
    data = observed(record, customers)
    record = record.of(customers)
    columns, prices = dict(data.columns), None
    if log_rate is not None:
        used = customers.isel(customer=data.usable)
        calendar = learn_calendar(Calendar(), record.name, used)
        ledger = read_ledger(used, 7, calendar.unit_days, calendar.size)
        columns[PAYER] = np.arange(ledger.size.size)
        prices = Prices(calendar, pt.as_tensor(log_rate(calendar.size)), ledger)
    rows, count = distinct_rows(columns, data.count)
    given = {key: pt.as_tensor(number) for key, number in params.items()}
    found = _log_likelihood(record, given, rows_of_terms(record, rows, count, prices), prices)
    if prices is not None and record.forecast.paced is None:
        found = found + prices.log_density() + prices.log_amounts(record.forecast, given, rows[PAYER])
    return float(pt.as_tensor(found).eval(mode="FAST_COMPILE"))


def histories(customers):
    """Each customer's amounts, ages, and how many weeks before the end, counted back from 1."""
    names = ("spend_start", "purchase_start", "frequency", "T")
    for at, when, size, age in zip(*(customers[name].to_numpy() for name in names), strict=True):
        times = customers["purchase_times"].to_numpy()[when : when + size]
        ago = np.rint((age - times) * 7).astype(int)
        yield customers["purchase_spend"].to_numpy()[at : at + size], times, 1 + ago // 7


@pytest.mark.parametrize("name", FORMS)
def test_the_likelihood_is_that_of_every_amount_over_its_periods_factor(customers, name):
    """By hand of each customer: a joint Normal, and quadrature over the customer's own rate."""
    given = {"growth": 1.0, "span": np.inf, "omega": 0.0, "kappa": 1.0} | FORMS[name]
    moved, total = log_rate_of(39), 0.0
    for spend, times, ago in histories(customers):
        apart = moved[-ago] + np.log(given["growth"]) * np.minimum(times / given["span"], 1)
        if "m" in given:
            covariance = given["sigma"] ** 2 * np.eye(spend.size) + given["tau"] ** 2
            covariance += given["omega"] ** 2 * np.exp(-given["kappa"] * np.abs(times[:, None] - times))
            y = np.log(spend) - apart
            total += stats.multivariate_normal.logpdf(y, np.full(y.size, np.log(given["m"])), covariance)
            total -= np.log(spend).sum()
        else:
            nu = np.exp(
                np.linspace(np.log(given["q"] / given["v"]) - 12, np.log(given["q"] / given["v"]) + 5, 2000)
            )
            each = stats.gamma.logpdf(spend[:, None], given["p"], scale=np.exp(apart)[:, None] / nu).sum(
                axis=0
            )
            each += stats.gamma.logpdf(nu, given["q"], scale=1 / given["v"]) + np.log(nu)
            total += special.logsumexp(each) + np.log(np.log(nu[1] / nu[0]))
    # The mean log is rounded to 1e-6.
    assert value(customers, name, log_rate_of, **FORMS[name]) == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("name", FORMS)
def test_without_a_calendars_movement_it_is_the_familys(customers, name):
    static = value(customers, name, **FORMS[name])
    assert value(customers, name, np.zeros, **FORMS[name]) == pytest.approx(static, rel=1e-10)
    # A pace that is the same in all periods is another unit of money.
    unit = {key: FORMS[name][key] * np.exp(0.7) for key in ("m", "v") if key in FORMS[name]}
    paced = value(customers, name, lambda size: np.full(size, 0.7), **FORMS[name])
    assert paced == pytest.approx(value(customers, name, np.zeros, **FORMS[name] | unit), rel=1e-10)


@pytest.mark.parametrize(
    ("name", "still"),
    [
        ("lognormal_spend_trend", {"growth": 1.0}),
        ("lognormal_spend_drift", {"omega": 0.0}),
        ("gamma_gamma_trend", {"growth": 1.0}),
    ],
)
def test_where_the_customer_does_not_move_it_is_the_calendars(customers, name, still):
    static = {key: FORMS[name][key] for key in (NORMAL if "m" in FORMS[name] else GAMMA)}
    calendars = value(customers, name.rpartition("_")[0], log_rate_of, **static)
    # Sums by customer and period of logs that are rounded to 1e-6 stand beside the amounts themselves.
    assert value(customers, name, log_rate_of, **FORMS[name] | still) == pytest.approx(calendars, rel=1e-7)


def test_slopes_in_log_amounts_are_those_of_the_sums():
    """By differences; times close together too."""
    rng = np.random.default_rng(1)
    size = np.array([4.0, 1.0, 3.0])
    start = np.cumsum(size) - size
    times = np.array([1.0, 1.0 + 1e-9, 5.0, 9.0, 2.0, 3.0, 3.5, 8.0])
    span, kappa, omega, sigma = (np.full(3, each) for each in (6.0, 0.2, 0.5, 0.3))
    y, weights = rng.normal(size=8), list(rng.normal(size=(7, 3)))

    def weighed(y, kappa=kappa, omega=omega, sigma=sigma):
        sums = levels_at.sums_at(kappa, start, size, start, span, times, y, omega, sigma)
        return sum(float(w @ each) for w, each in zip(weights, sums, strict=True))

    of_kappa, of_y, of_omega, of_sigma = levels_at.slopes(
        kappa, start, size, start, span, times, y, omega, sigma, *weights
    )
    step = 1e-5
    for j, found in enumerate(of_y):
        e = step * (np.arange(8) == j)
        assert found == pytest.approx((weighed(y + e) - weighed(y - e)) / (2 * step), rel=1e-6, abs=1e-6)
    for name, found in (("kappa", of_kappa), ("omega", of_omega), ("sigma", of_sigma)):
        for i, slope in enumerate(found):
            at = {"kappa": kappa, "omega": omega, "sigma": sigma}[name]
            up, down = (at + side * step * (np.arange(3) == i) for side in (1, -1))
            difference = (weighed(y, **{name: up}) - weighed(y, **{name: down})) / (2 * step)
            assert slope == pytest.approx(difference, rel=1e-5, abs=1e-5)


def moving(customers, name, make_posterior, log_rate, draws=200):
    """A posterior by hand: the family's values with some spread, and a calendar that is known."""
    tree = make_posterior(name, FORMS[name], sd=0.03, chains=1, draws=draws)
    used = customers.isel(customer=customers["frequency"].to_numpy() > 0)
    calendar = learn_calendar(Calendar(), name, used)
    one = np.ones((1, draws))
    paced = {
        "calendar_rate": (
            ("chain", "draw", "calendar_period"),
            one[..., None] * np.exp(log_rate(calendar.size)),
        ),
        "calendar_sd": (("chain", "draw"), 0.5 * one),
        "calendar_shock_sd": (("chain", "draw"), 0.1 * one),
        "calendar_half_life": (("chain", "draw"), 20.0 * one),
    }
    tree["posterior"] = xr.DataTree(tree["posterior"].dataset.assign(paced))
    tree.attrs |= {"calendar": calendar.to_json(), "seed": 4}
    return tree


@pytest.fixture(scope="module")
def buying(make_buying):
    return make_buying(sd=0.02, chains=1, draws=200)


@pytest.mark.parametrize("name", ["gamma_gamma_trend", "lognormal_spend_trend_drift"])
def test_closed_forms_are_the_means_of_the_simulation(customers, buying, make_posterior, name):
    """Given its draw a total is the expected one and chance, though the calendar moves it by half."""
    spending = moving(customers, name, make_posterior, log_rate_of)
    future = clv.predict(buying, customers, "30 weeks", spending=spending, annual_discount_rate=0.1, seed=2)
    expected = clv.expected.value(buying, spending, customers, horizon="30 weeks", annual_discount_rate=0.1)
    total, mean = (
        each.to_numpy().ravel() for each in (future["value_total"], expected["value_expected_total"])
    )
    assert np.quantile(mean, 0.95) / np.quantile(mean, 0.05) > 1.5
    off = total / mean - 1
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(off.size)
    cohort = clv.predict_cohort(buying, spending, 800, horizon="30 weeks", annual_discount_rate=0.1, seed=3)
    off = (cohort["value_total"] / 800 / cohort["value_expected"] - 1).to_numpy().ravel()
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(off.size)
    some = clv.predict(
        buying,
        customers.isel(customer=[200, 3]),
        "30 weeks",
        spending=spending,
        annual_discount_rate=0.1,
        seed=2,
    )
    np.testing.assert_allclose(some["spend_mean"], future["spend_mean"].isel(customer=[200, 3]), rtol=1e-12)


@pytest.mark.parametrize("name", ["gamma_gamma_trend", "lognormal_spend_trend"])
def test_a_forecast_without_a_trend_is_that_of_the_calendar_alone(customers, buying, make_posterior, name):
    spending = moving(customers, name, make_posterior, log_rate_of)
    still = spending["posterior"].dataset.assign(growth=spending["posterior"]["growth"] * 0 + 1)
    spending["posterior"] = xr.DataTree(still)
    alone = spending.copy()
    alone.attrs["family"] = name.removesuffix("_trend")
    asked = {"horizon": "30 weeks", "annual_discount_rate": 0.1}
    one, other = (
        clv.expected.value(buying, each, customers, **asked)["value_expected_total"]
        for each in (spending, alone)
    )
    np.testing.assert_allclose(one, other, rtol=1e-7)


def test_what_customers_paid_is_read_without_the_calendars_part(customers, buying, make_posterior):
    """Amounts times g of their periods, and a calendar of that g, are the amounts without one, to the bit of a cent."""
    name = "lognormal_spend_trend_drift"
    moved = log_rate_of(39)
    factors = [np.exp(moved[-ago]) for _, _, ago in histories(customers)]
    spend = customers["purchase_spend"].to_numpy().copy()
    logs = customers["log_spend_mean"].to_numpy().copy()
    for place, (at, factor) in enumerate(zip(customers["spend_start"].to_numpy(), factors, strict=True)):
        spend[at : at + factor.size] *= factor
        logs[place] += np.log(factor).mean()
    mean = [
        spend[at : at + f.size].mean()
        for at, f in zip(customers["spend_start"].to_numpy(), factors, strict=True)
    ]
    dearer = customers.assign(
        purchase_spend=("repeat_purchase", spend),
        log_spend_mean=("customer", logs),
        monetary_value=("customer", mean),
    )
    paced = moving(dearer, name, make_posterior, log_rate_of)
    still = moving(customers, name, make_posterior, np.zeros)
    for tree in (paced, still):
        # A future without movement.
        flat = tree["posterior"].dataset.assign(
            calendar_sd=tree["posterior"]["calendar_sd"] * 0 + 1e-9,
            calendar_shock_sd=tree["posterior"]["calendar_shock_sd"] * 0 + 1e-9,
            calendar_half_life=tree["posterior"]["calendar_half_life"] * 0 + 1e-3,
        )
        tree["posterior"] = xr.DataTree(flat)
    one = clv.expected.value(buying, paced, dearer, horizon="30 weeks")["value_expected"]
    other = clv.expected.value(buying, still, customers, horizon="30 weeks")["value_expected"]
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.full
def test_both_are_fitted_in_one_graph(customers):
    """The model's gradient is that of its density, by differences, in every direction that is sampled."""
    from bayes_clv.families.quantities import resolve, starting_point

    name = "lognormal_spend_trend_drift"
    some = customers.isel(customer=slice(0, 60))
    record = family(name)
    data = observed(record, some)
    record = record.of(some)
    calendar = learn_calendar(Calendar(period_days=28), name, some)
    ledger = read_ledger(some, 28, calendar.unit_days, calendar.size)
    rows, count = distinct_rows(data.columns | {PAYER: np.arange(60)}, data.count)
    scale = record.scale(rows, count)
    priors = resolve(dict(record.quantities) | calendar.quantities(), None, scale)
    start = starting_point(record.quantities, scale)
    built = build_model(record, rows, count, priors, start, calendar=calendar, ledger=ledger)
    model = built.graph
    density, slopes = model.compile_logp(), model.compile_dlogp()
    rng = np.random.default_rng(5)
    point = {
        key: each + 0.1 * rng.standard_normal(np.shape(each)) for key, each in model.initial_point().items()
    }
    found, at = slopes(point), 0
    for value_var in model.continuous_value_vars:
        own = point[value_var.name]
        for place in np.ndindex(np.shape(own)):
            ends = []
            for side in (1e-5, -1e-5):
                other = {key: np.array(each, dtype=float) for key, each in point.items()}
                other[value_var.name][place] += side
                ends.append(density(other))
            assert found[at] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-4), value_var.name
            at += 1


def test_customers_of_one_age_cannot_tell_a_trend_from_a_calendar(everybody):
    age = everybody["T"].to_numpy()
    first = everybody.isel(customer=age > age.max() - 0.9)
    with pytest.raises(clv.InputError, match="came within 6 days.*trend=True.*Ask for one of them, or give"):
        clv.fit("lognormal_spend", first, trend=True, calendar=Calendar(), seed=1)


@pytest.mark.parametrize(
    "name", ["lognormal_spend_trend", pytest.param("gamma_gamma_trend", marks=pytest.mark.full)]
)
def test_who_is_woken_spends_what_purchases_then_bring(customers, make_posterior, make_buying, name):
    """Of each week: the purchases that waking adds, times what one brings in it, which the expected value says."""
    awake = {"r": 0.9, "alpha": 6.0, "a": 0.8, "b": 2.5, "nu": 0.08, "w": 0.3}
    returning = make_posterior("bg_nbd_returns", awake, sd=0.0, chains=1, draws=1)
    buying = make_buying(sd=0.0, chains=1, draws=1)
    spending = moving(customers, name, make_posterior, log_rate_of, draws=1)
    weeks, some = range(1, 5), customers.isel(customer=slice(0, 40))
    found = clv.targeting.win_back(returning, some, weeks[-1], spending=spending)
    more, bought, value = (
        np.diff(np.stack(each), axis=0, prepend=0.0)
        for each in zip(
            *(
                (
                    clv.targeting.win_back(returning, some, week)["purchases_woken"],
                    clv.expected.purchases(buying, some, week).isel(chain=0, draw=0),
                    clv.expected.value(buying, spending, some, horizon=week)["value_expected"],
                )
                for week in weeks
            ),
            strict=True,
        )
    )
    brings = value / bought
    assert (brings.max(axis=0) > 1.2 * brings.min(axis=0)).all()
    # Within a week a trend's spend is not constant: its parts differ by a week's growth, some .1 % of it.
    np.testing.assert_allclose(found["value_woken"], (more * brings).sum(axis=0), rtol=1e-3)


@pytest.mark.full
def test_a_trend_and_a_calendar_are_told_apart_where_customers_came_at_all_times():
    """Spend that doubles with age in all prices' ups and downs: both are found by NUTS, and neither by half."""
    orders = clv.synthetic.simulate_orders(
        {"r": 0.8, "alpha": 5.0, "a": 0.5, "b": 4.0},
        {"m": 27.0, "tau": 0.35, "sigma": 0.4, "growth": 2.0, "span": 78.0},
        customers=700,
        seed=3,
        start="2024-01-01",
        until="2025-06-30",
        acquisition="60 weeks",
        spending_family="lognormal_spend_trend",
    )
    fortnight = (orders["date"] - orders["date"].min()).dt.days // 14
    factor = np.exp(0.4 * np.sin(np.arange(40) / 4))
    orders["spend"] *= factor[fortnight.to_numpy()]
    known = clv.summarize(orders, until="2025-06-30", also=ALSO)
    fitted = clv.fit(
        "lognormal_spend",
        known,
        trend=True,
        calendar=Calendar(period_days=14),
        priors={"trend_span": 78.0},
        draws=250,
        tune=400,
        chains=2,
        seed=1,
        progress=False,
    )
    assert not fitted.sample_stats["diverging"].any()
    low, high = np.quantile(fitted.posterior["growth"], [0.005, 0.995])
    assert low < 2.0 < high
    assert high / low < 2
    rate = np.log(fitted.posterior["calendar_rate"]).mean(("chain", "draw")).to_numpy()
    real = np.log(factor[: rate.size])
    assert np.corrcoef(rate, real)[0, 1] > 0.9
