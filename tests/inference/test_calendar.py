"""A base's rate over calendar time: its likelihood, what is sampled, and what is drawn of the future."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.customers.periods import day_purchases
from bayes_clv.families.calendar import CALENDAR, clocked
from bayes_clv.families.contract import Forecast, need
from bayes_clv.families.quantities import Prior
from bayes_clv.families.registry import CLOCKED, clocked_changes, family
from bayes_clv.inference import Calendar, diagnostics
from bayes_clv.inference.calendar import DrawnCalendar, LearnedCalendar, learn_calendar
from bayes_clv.inference.clock import Clock
from bayes_clv.inference.data import distinct_rows
from bayes_clv.inference.graph import _calendar_variable, _log_likelihood, rows_of_terms
from bayes_clv.predictions.parameters import parameters
from bayes_clv.views.plots import histories
from tests.symbols import paper

PARAMETERS = {
    "r": 0.5,
    "alpha": 7.0,
    "a": 0.8,
    "b": 2.0,
    "k": 3.0,
    "s": 0.6,
    "beta": 12.0,
    "kappa": 0.02,
    "nu": 0.03,
    "w": 0.1,
}
# Which are changes of time alone.
TIMED = [
    *(each for each in CLOCKED if family(each).paced is None),
    *clocked_changes(),
]


@pytest.fixture(scope="module")
def customers():
    return clv.summarize(
        clv.load_cdnow(), until="1997-09-30", also=("periods", "purchase_times", "log_intervals")
    )


def log_likelihood(name, customers, calendar, log_rate, **other):
    """Return it as a tensor; the log of g may be one."""
    import pytensor.tensor as pt

    record = family(name).of(customers)
    rows, count = distinct_rows({each: customers[each].to_numpy().astype(float) for each in record.observed})
    params = {each: pt.as_tensor((PARAMETERS | other)[each]) for each in record.parameters}
    clock = (
        None if calendar is None else Clock(calendar, pt.as_tensor(log_rate), pt.exp(pt.as_tensor(log_rate)))
    )
    found = _log_likelihood(record, params, rows_of_terms(record, rows, count), clock)
    return found if clock is None else found + clock.log_density()


def value(*arguments, **other):
    return float(log_likelihood(*arguments, **other).eval(mode="FAST_COMPILE"))


@pytest.mark.parametrize("name", dict.fromkeys([*CLOCKED, *TIMED]))
def test_without_movement_the_likelihood_is_the_familys(name, customers):
    calendar = learn_calendar(Calendar(), name, customers)
    assert calendar.counts.sum() == customers["frequency"].sum() == 2457
    static = value(name, customers, None, None)
    assert value(name, customers, calendar, np.zeros(calendar.size)) == pytest.approx(static, rel=1e-10)
    if name not in TIMED:
        return
    # A pace that is the same in all periods is another unit of time.
    paced = value(name, customers, calendar, np.full(calendar.size, 0.7))
    unit = {"alpha": 7.0 / np.exp(0.7), "kappa": 0.02 * np.exp(0.7), "nu": 0.03 * np.exp(0.7)}
    assert paced == pytest.approx(value(name, customers, None, None, **unit), rel=1e-10)


@pytest.mark.parametrize("name", TIMED)
def test_the_likelihood_is_the_familys_of_histories_in_operational_time(name, customers):
    """Each customer's own purchases are turned one by one, the pace varying tenfold."""
    calendar = learn_calendar(Calendar(), name, customers)
    log_rate = np.random.default_rng(2).uniform(-0.5, 0.5, calendar.size) * np.log(10)
    ends = np.arange(calendar.size + 1.0) - calendar.size
    elapsed = np.concatenate([[0.0], np.cumsum(np.exp(log_rate))])

    def turned(ago):
        return np.interp(-ago, ends, elapsed)

    age, size = customers["T"].to_numpy(), customers["frequency"].to_numpy().astype(int)
    came, last, logs = turned(age), turned(age - customers["recency"].to_numpy()), np.zeros(age.size)
    times, start = (customers[each].to_numpy() for each in ("purchase_times", "purchase_start"))
    each = []
    for i in range(age.size):
        own = turned(age[i] - times[start[i] : start[i] + size[i]])
        each.append(own - came[i])
        logs[i] = np.log(np.diff(own, prepend=came[i])).sum()
    moved = customers.assign(
        T=("customer", elapsed[-1] - came),
        recency=("customer", last - came),
        log_intervals=("customer", logs),
        purchase_times=("repeat_purchase", np.concatenate(each)),
        purchase_start=("customer", np.cumsum(size) - size),
    )
    bought = calendar.counts @ log_rate
    found = value(name, customers, calendar, log_rate)
    assert found == pytest.approx(value(name, moved, None, None) + bought, rel=1e-10)


@pytest.mark.parametrize("name", ["bg_nbd", "mbg_nbd"])
def test_who_never_wakes_is_the_family_without_returns_in_calendar_time(name, customers):
    """Of 79 customers, whose quadratures err by 1e-10 each."""
    some = customers.isel(customer=slice(0, 2357, 30)).drop_vars("day_purchases")
    calendar = learn_calendar(Calendar(), name, some)
    log_rate = np.random.default_rng(2).uniform(-0.5, 0.5, calendar.size) * np.log(10)
    static = value(name, some, calendar, log_rate)
    for rare in ({"nu": 1e-60, "w": 0.0}, {"w": 1.0}):
        found = value(f"{name}_returns", some, calendar, log_rate, **rare)
        assert found == pytest.approx(static, abs=1e-8)


@pytest.mark.parametrize("name", ["bg_nbd_returns", "mbg_nbd_returns"])
def test_slopes_in_the_calendar_and_in_waking_are_differences(name, customers):
    import pytensor
    import pytensor.tensor as pt

    some = customers.isel(customer=slice(0, 2357, 8)).drop_vars("day_purchases")
    calendar = learn_calendar(Calendar(period_days=28), name, some)
    log_rate, nu, a = pt.vector(shape=(calendar.size,)), pt.dscalar(), pt.dscalar()
    total = log_likelihood(name, some, calendar, log_rate, nu=nu, a=a)
    at = pytensor.function(
        [log_rate, nu, a], [total, *pt.grad(total, [log_rate, nu, a])], mode="FAST_COMPILE"
    )
    g = np.random.default_rng(2).uniform(-0.5, 0.5, calendar.size) * np.log(10)
    point = np.append(g, [0.03, 0.8])
    slopes = np.hstack(at(g, 0.03, 0.8)[1:])
    for place, slope in enumerate(slopes):
        step = 1e-4 * (1 if place < calendar.size else point[place])
        moved = np.eye(point.size)[place] * step
        up, down = (at(x[:-2], *x[-2:])[0] for x in (point + moved, point - moved))
        # A value of some 1,000 with ten digits, over 2e-4.
        assert slope == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=2e-3 / (step / 1e-4))


def test_the_likelihood_of_two_clocks_is_that_of_the_definition(customers):
    """Pareto/NBD: of each customer the integral over the time of leaving, by scipy, the pace varying tenfold."""
    from scipy.integrate import quad
    from scipy.special import gammaln

    some = customers.isel(customer=slice(0, 2357, 60))
    calendar = replace(learn_calendar(Calendar(), "pareto_nbd", customers), counts=np.zeros(39))
    log_rate = np.random.default_rng(2).uniform(-0.5, 0.5, calendar.size) * np.log(10)
    ends = np.arange(calendar.size + 1.0) - calendar.size
    elapsed = np.concatenate([[0.0], np.cumsum(np.exp(log_rate))])
    r, alpha, s, beta = (PARAMETERS[each] for each in ("r", "alpha", "s", "beta"))
    total = 0.0
    for x, t_x, T in zip(*(some[each].to_numpy() for each in ("frequency", "recency", "T")), strict=True):

        def both(tau, T=T):
            return alpha + np.interp(tau - T, ends, elapsed) - np.interp(-T, ends, elapsed), beta + tau

        def integrand(tau, x=x, both=both):
            bought, lived = both(tau)
            return bought ** -(r + x) * lived ** -(s + 1)

        kinks = np.unique(np.clip(np.append(ends + T, t_x), t_x, T))
        gone = sum(quad(integrand, a, b, epsabs=0, epsrel=1e-11)[0] for a, b in pairwise(kinks))
        bought, lived = both(T)
        total += gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
        total += np.log(bought ** -(r + x) * lived**-s + s * gone)
    found = value("pareto_nbd", some, calendar, log_rate)
    assert found == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("name", ["calendar_sd", "calendar_shock_sd"])
def test_the_coordinate_of_a_scale_leaves_its_prior_as_it_is(name):
    """Its density in the coordinate is that of the scale: it sums to one, and gives each part its share."""
    import pymc as pm
    import pytensor
    from scipy.stats import halfnorm

    with pm.Model() as model:
        scale = _calendar_variable(name, Prior("HalfNormal", sigma=0.3))
    (coordinate,) = model.value_vars
    x = np.linspace(-12.0, 6.0, 1801)
    both = [*model.replace_rvs_by_values([scale]), model.logp()]
    at = pytensor.function([coordinate], both, mode="FAST_COMPILE")
    sd, log_density = np.array([at(each) for each in x]).T
    weight = np.exp(log_density) * (x[1] - x[0])
    assert (np.diff(sd) > 0).all()
    # A trapezoid of a smooth function that falls off as a Normal one at one end and faster at the other.
    assert weight.sum() == pytest.approx(1, abs=1e-9)
    assert weight @ sd == pytest.approx(halfnorm(scale=0.3).mean(), rel=1e-9)
    assert weight @ sd**-0.5 == pytest.approx(halfnorm(scale=0.3).expect(lambda s: s**-0.5), rel=1e-7)


def test_regular_purchases_need_their_times(customers):
    with pytest.raises(clv.InputError, match=r"also=\('log_intervals', 'purchase_times'\)"):
        learn_calendar(Calendar(), "bg_cnbd_k", customers.drop_vars("purchase_times"))


@pytest.mark.parametrize("days", [1, 7, 28, 366])
def test_periods_hold_all_purchases_whatever_their_length(days, customers):
    calendar = learn_calendar(Calendar(period_days=days), "mbg_nbd", customers)
    assert calendar.counts.sum() == 2457
    assert calendar.size == -(-272 // days)
    assert calendar.labels()[-1] == str(np.datetime64("1997-10-01") - np.timedelta64(days, "D"))


def test_the_days_of_purchases_follow_from_their_times_too(customers):
    counted = day_purchases(customers, 7.0)
    followed = day_purchases(customers.drop_vars("day_purchases"), 7.0)
    np.testing.assert_array_equal(followed, counted[-followed.size :])
    assert float(customers["day_spend"].sum()) == pytest.approx(
        float((customers["historical_spend"] - customers["first_spend"]).sum())
    )


def test_counts_of_another_base_are_refused(customers):
    with pytest.raises(clv.InputError, match="counts 2,457 repeat purchases and these 10 customers made 13"):
        learn_calendar(Calendar(), "bg_nbd", customers.isel(customer=slice(10)))
    fewer = customers.isel(customer=slice(10)).drop_vars("day_purchases")
    assert learn_calendar(Calendar(), "bg_nbd", fewer).counts.sum() == 13
    with pytest.raises(clv.InputError, match=r"also=\('periods',\)"):
        learn_calendar(Calendar(), "bg_nbd", fewer.drop_vars("purchase_times"))


def test_what_a_calendar_cannot_be_is_refused(customers):
    with pytest.raises(clv.InputError, match="season cannot be learned from 273 days"):
        learn_calendar(Calendar(season=2), "bg_nbd", customers)
    with pytest.raises(clv.InputError, match="periods of a day"):
        Calendar(weekdays=True)
    with pytest.raises(clv.InputError, match="whole number from 1 to 366"):
        Calendar(period_days=0)
    with pytest.raises(clv.InputError, match="does not go by a calendar"):
        learn_calendar(Calendar(), "pareto_ggg", customers)
    with pytest.raises(clv.InputError, match="two rows of 1997-05-01"):
        learn_calendar(
            Calendar(events=pd.DataFrame({"date": ["1997-05-01", "1997-05-01"], "name": "sale"})),
            "bg_nbd",
            customers,
        )
    with pytest.raises(clv.InputError, match="1 rows of events lack a date or a value"):
        learn_calendar(Calendar(events={"sale": {"1997-05-01": np.nan}}), "bg_nbd", customers)
    with pytest.raises(clv.InputError, match="Give method='nuts' or method='laplace'"):
        clv.fit("bg_nbd", customers, calendar=Calendar(), method="mode", seed=1)
    with pytest.raises(clv.InputError, match="scales need priors"):
        clv.fit("bg_nbd", customers, calendar=Calendar(), priors="flat", seed=1)


def test_events_are_shares_of_their_periods_and_must_be_known_ahead(customers):
    sale = {f"1997-09-{day}": 1.0 for day in range(24, 28)}
    calendar = learn_calendar(Calendar(events={"sale": sale}), "bg_nbd", customers)
    design = calendar.design(-calendar.size, 0)
    # The last period is 24 to 30 September.
    assert design[-1] == pytest.approx([4 / 7])
    assert not design[:-1].any()
    with pytest.raises(clv.InputError, match="known to 1997-09-27, and the forecast reaches to 1997-10-14"):
        calendar.design(0, 2, known=14)
    longer = learn_calendar(Calendar(events={"sale": sale | {"1997-10-14": 0.0}}), "bg_nbd", customers)
    assert not longer.design(0, 2, known=14).any()
    assert LearnedCalendar.from_json(longer.to_json()).design(-3, 0) == pytest.approx(design[-3:])


def test_weekdays_and_seasons_return(customers):
    daily = LearnedCalendar(1, 7.0, 800, "2011-06-10", season=1, weekdays=True)
    design = daily.design(-800, 0)
    assert daily.effects == (
        *("cos 1", "sin 1"),
        *("Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    )
    # 2011-06-10 was a Friday.
    assert design[-1, 2:] == pytest.approx([0, 0, 0, 1, 0, 0])
    assert (design[:, 2:].sum(axis=0) > 110).all()
    assert design[-366, :2] == pytest.approx(design[-1, :2], abs=0.02)


def drawn(size=60, draws=4000, half_life=20.0):
    rng = np.random.default_rng(5)
    calendar = LearnedCalendar(7, 7.0, size, "2020-01-01")
    rho = np.full(draws, 2 ** (-1 / half_life))
    log_rate = np.tile(rng.normal(size=size) * 0.2, (draws, 1))
    return DrawnCalendar(
        calendar,
        log_rate,
        np.full(draws, 0.16),
        np.full(draws, 0.04),
        rho,
        np.zeros((draws, 0)),
        np.arange(draws),
        draws,
        9,
    )


def test_a_longer_future_begins_as_a_shorter_one_and_draws_keep_theirs():
    whole = drawn()
    long, short = whole.knots(800.0), whole.knots(4.0)
    shared = short[0].size - 1
    np.testing.assert_array_equal(long[1][:, :shared], short[1][:, :shared])
    some = np.array([7, 1999, 4])
    np.testing.assert_array_equal(whole.take(some).knots(4.0)[1], short[1][some])
    assert short[1][:, 60].tolist() == [0.0] * 4000


def test_the_future_is_of_the_process_given_the_past():
    whole = drawn()
    times, elapsed = whole.knots(600.0)
    rates = np.log(np.diff(elapsed, axis=1))
    far = rates[:, 60 + 500]
    # Far ahead the past is forgotten: mean 0 and variance .16 + .04, with errors sqrt(.2 / 4000) and .2 sqrt(2 / 4000).
    assert far.mean() == pytest.approx(0, abs=4 * np.sqrt(0.2 / 4000))
    assert far.var() == pytest.approx(0.2, abs=4 * 0.2 * np.sqrt(2 / 4000))
    # Shocks apart, neighbours are rho alike.
    next_to = np.mean(far * rates[:, 60 + 501])
    assert next_to == pytest.approx(0.16 * 2 ** (-1 / 20), abs=4 * 0.2 * np.sqrt(2 / 4000))
    # Just ahead it is the level that the past says.
    assert rates[:, 60].std() < 0.8 * far.std()
    assert times[60] == 0


@pytest.fixture(scope="module")
def moved():
    """A base whose rate is four times as high in every other eight weeks, and a posterior of few draws."""
    rng = np.random.default_rng(11)
    pace = np.tile(np.repeat([1.6, 0.4], 8), 4)[:52]
    ends = np.concatenate([[0.0], np.cumsum(pace)])
    rows = []
    for customer in range(1500):
        came = rng.integers(0, 26 * 7)
        own = rng.gamma(1.2, 1 / 8.0)
        here, at = True, np.interp(came / 7, np.arange(53), ends)
        rows.append((customer, came))
        while here:
            at += rng.exponential(1 / own)
            day = int(np.ceil(np.interp(at, ends, np.arange(53)) * 7)) if at < ends[-1] else 999
            if day > 52 * 7 - 1:
                break
            rows.append((customer, day))
            here = rng.random() > 0.1
    table = pd.DataFrame(rows, columns=["customer_id", "day"])
    table["date"] = pd.Timestamp("2021-01-01") + pd.to_timedelta(table["day"], unit="D")
    table["spend"] = 10.0
    customers = clv.summarize(table, until="2021-12-30", also=("periods",))
    fitted = clv.fit(
        "bg_nbd",
        customers,
        calendar=Calendar(period_days=14),
        draws=300,
        tune=500,
        chains=2,
        seed=1,
        progress=False,
    )
    return customers, pace, fitted


def test_the_pace_of_a_base_is_found(moved):
    _, pace, fitted = moved
    rate = fitted.posterior["calendar_rate"]
    # Periods of two weeks back from the end; the pace is known up to a factor.
    real = pace.reshape(-1, 2).mean(axis=1)
    error = np.log(rate) - np.log(real)
    centred = error - error.mean("calendar_period")
    z = centred.mean(("chain", "draw")) / centred.std(("chain", "draw"))
    assert np.abs(z).max() < 4
    assert float((z**2).mean()) < 2
    assert not fitted.sample_stats["diverging"].any()
    assert fitted.posterior["calendar_rate"].attrs["long_name"].startswith("purchase rate of all customers")


# Mean and standard deviation of the logarithm by NUTS, mbg_nbd on CDNOW: 2,000 draws, 1,200 effective ones or more.
BY_NUTS = {
    "population_purchase_rate": (-2.661, 0.35),
    "r": (-0.726, 0.135),
    "population_dropout": (-1.253, 0.165),
    "dropout_concentration": (0.996, 0.351),
    "calendar_sd": (-1.057, 0.438),
    "calendar_shock_sd": (-1.742, 0.245),
    "calendar_half_life": (3.837, 0.906),
}


def test_laplace_gives_what_nuts_does(customers):
    quick = clv.fit("mbg_nbd", customers, calendar=Calendar(), method="laplace", draws=1000, seed=2)
    found = diagnostics(quick)
    assert found["passed"]
    assert found["effective_draws"] > 2500
    # Errors of both: of a mean in standard deviations, and of these, whose kurtosis is below 5, relative to themselves.
    error = np.sqrt(1 / 1200 + 1 / 2500)
    for name, (mean, sd) in BY_NUTS.items():
        own = np.log(quick.posterior[name].to_numpy())
        assert abs(own.mean() - mean) < 4 * error * sd, name
        assert abs(own.std() / sd - 1) < 4 * error, name
    rate = quick.posterior["calendar_rate"].mean(("chain", "draw"))
    assert (float(rate.max()), float(rate.min())) == pytest.approx((1.684, 0.631), rel=0.03)


def test_predictions_go_by_the_calendar(moved, tmp_path):
    customers, _, fitted = moved
    future = clv.predict(fitted, customers, "26 weeks", seed=2)
    expected = clv.expected.purchases(fitted, customers, "26 weeks").sum("customer")
    difference = (future["purchases_total"] - expected).to_numpy().ravel()
    # Given its draw a total is the expected one and chance.
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(difference.size)
    assert np.corrcoef(expected.to_numpy().ravel(), future["purchases_total"].to_numpy().ravel())[0, 1] > 0.9
    again = clv.load(clv.save(fitted, tmp_path / "moved.nc"))
    xr.testing.assert_identical(clv.predict(again, customers, "26 weeks", seed=2), future)
    joint = clv.simulate(fitted, customers, "26 weeks", draws=200, seed=2)
    _, block = next(joint.blocks(["alive", "time_to_purchase", "purchases", "time_since_leaving"]))
    bought = block["purchases"] > 0
    np.testing.assert_array_equal(bought, block["time_to_purchase"] <= 26 + 1e-9)
    assert (block["time_since_leaving"][block["alive"] == 1] == 0).all()


def test_a_history_ends_where_it_is_seen_to_by_the_calendar():
    record = family("bg_nbd")
    # To come: a quarter of the pace.
    moved = clocked(record, np.array([-52.0, 0.0, 52.0]))
    values = {name: np.array([PARAMETERS[name]]) for name in record.parameters}
    columns = {"frequency": 5.0, "recency": 30.0, "T": 34.0}
    history = {name: np.array([[each]]) for name, each in columns.items()}
    params = values | {CALENDAR: np.array([[-52.0, 0.0, 13.0]])}
    # Six weeks on, or ten after the last purchase.
    later = need(moved, Forecast).seen_to(np.array([[6.0]]))
    slow = need(record, Forecast).alive(history | {"T": np.array([[30.0 + 4.0 + 6.0 / 4]])}, values)
    np.testing.assert_allclose(later.alive(history, params), slow, rtol=1e-12)
    # From two weeks ago on: two weeks of the usual pace, and four of the slow one.
    before = need(moved, Forecast).seen_to(np.array([[-2.0]]))
    known = history | {"T": np.array([[32.0]])}
    ahead = need(record, Forecast).purchases(2.0 + 4.0 / 4, known, values)
    np.testing.assert_allclose(before.purchases(6.0, history, params), ahead, rtol=1e-12)


def test_maps_go_by_a_calendar(moved):
    """A cell is the family's own P(alive), of ages and recencies that pass at the calendar's pace."""
    customers, _, fitted = moved
    figure = clv.views.plot_alive_matrix(fitted, customers, max_frequency=4, draws=10_000)
    cells = np.ma.getdata(figure.axes[0].images[0].get_array()).astype(float)
    group = fitted["posterior"]
    pace = group["calendar_rate"].to_numpy().reshape(-1, group["calendar_rate"].shape[-1])
    ends = np.concatenate([np.zeros((pace.shape[0], 1)), np.cumsum(2.0 * pace, axis=1)], axis=1)
    age = float(customers["T"].max())
    # The 41st of 61 columns.
    first, last = (ends.shape[1] - 1) * 2.0 - age, (ends.shape[1] - 1) * 2.0 - age / 3
    begin, bought = (
        np.array([np.interp(at, 2.0 * np.arange(each.size), each) for each in ends]) for at in (first, last)
    )
    values = {name: group[name].to_numpy().ravel() for name in ("r", "alpha", "a", "b")}
    expected = paper("bg_nbd").probability_alive(3, bought - begin, ends[:, -1] - begin, **values).mean()
    assert cells[3, 40] == pytest.approx(expected, rel=1e-9)
    plain = paper("bg_nbd").probability_alive(3, age * 2 / 3, age, **values).mean()
    assert abs(plain - expected) > 1e-3


def test_alarms_go_by_a_calendar(moved):
    customers, _, fitted = moved
    alarms = clv.churn_alarms(fitted, customers, threshold=0.4)
    np.testing.assert_array_equal(alarms["alarmed"], alarms["probability_alive"] <= 0.4)
    assert 0.05 < alarms["alarmed"].mean() < 0.95
    # The base's last four weeks were quick: silence in them alarms more.
    plain = clv.fit("bg_nbd", customers, method="laplace", draws=100, seed=1)
    static = clv.churn_alarms(plain, customers, threshold=0.4)
    recent = (alarms["silence"] < 4) & (customers["frequency"] > 0)
    assert recent.sum() > 100
    assert (alarms["probability_alive"] < static["probability_alive"])[recent].mean() > 0.75


def test_alarms_and_histories_of_pareto_nbd_go_by_a_calendar(moved):
    """With the calendar of the other family, by hand: who is alarmed, and P(alive) on the day of the alarm."""
    customers, _, fitted = moved
    some = customers.isel(customer=slice(0, 60)).drop_vars("day_purchases", errors="ignore")
    paced = fitted.copy()
    paced.attrs["family"] = "pareto_nbd"
    renamed = fitted["posterior"].to_dataset().drop_vars(("alpha", "r", "a", "b"))
    shape = fitted["posterior"]["r"]
    values = {"r": 0.8, "alpha": 6.0, "s": 0.7, "beta": 15.0}
    paced["posterior"] = xr.DataTree(
        renamed.assign({name: shape * 0 + each for name, each in values.items()})
    )
    alarms = clv.churn_alarms(paced, some, threshold=0.4)
    np.testing.assert_array_equal(alarms["alarmed"], alarms["probability_alive"] <= 0.4)
    known = parameters(paced, "buying", calendar=True).thin(50).until(0.0)
    history = {name: some[name].to_numpy()[:, None] for name in ("frequency", "recency", "T")}
    ever = np.isfinite(alarms["alarm_silence"].to_numpy())
    assert ever.mean() > 0.2
    silence = np.where(ever, alarms["alarm_silence"], 1.0)[:, None]
    then = known.forecast.seen_to(silence - (history["T"] - history["recency"]))
    there = then.alive(history, known.values).mean(axis=1)
    np.testing.assert_allclose(there[ever], 0.4, atol=2e-3)
    # On the last day the history is what is known now.
    dates = pd.to_datetime(["2021-02-01", "2021-03-01", "2021-08-02"])
    over = histories.alive_over_time(paced, dates, "2021-12-30", draws=50)
    one = {
        "frequency": 2.0,
        "recency": 26.0,
        "T": (np.datetime64("2021-12-30") - dates.to_numpy()[0]) / np.timedelta64(7, "D"),
    }
    now = known.forecast.alive({name: np.array([[each]]) for name, each in one.items()}, known.values)
    assert float(over["mean"][-1]) == pytest.approx(now.mean(), rel=1e-9)
    at = over["date"].to_numpy()
    assert float(over["mean"][at == dates.to_numpy()[1]][-1]) == pytest.approx(1.0)
    assert (np.diff(over["mean"][at > dates.to_numpy()[2]]) < 0).all()


def test_what_does_not_go_by_a_calendar_says_so(moved):
    customers, _, fitted = moved
    with pytest.raises(clv.InputError, match="does not go by a calendar yet"):
        parameters(fitted, "buying")
    dates = ["2021-01-04", "2021-03-01"]
    with pytest.raises(
        clv.InputError, match="calendar ends on 2021-12-30, and until=2022-01-05 is not within"
    ):
        clv.views.plot_alive_history(fitted, dates, "2022-01-05")
    other = customers.assign_attrs(until="2021-12-29")
    with pytest.raises(clv.InputError, match="calendar ends on 2021-12-30"):
        clv.predict(fitted, other, "4 weeks", seed=1)


def test_a_totals_variance_is_split(moved):
    customers, _, fitted = moved
    future = clv.predict(fitted, customers, "26 weeks", seed=2)
    shares = clv.predictions.variance_of_total(fitted, customers, future)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0
    # A rate that goes up and down fourfold is what matters.
    assert shares["calendar"] > 0.5
    # The same draws and calendars with another chance of single customers differ by it alone, twice. That variance of
    # 600 draws has an error of 6 %, the total's, of a long tail, of 9 %, its split's of 7 %: together 13 %.
    totals = [
        clv.predict(fitted, customers, "26 weeks", seed=seed)["purchases_total"].to_numpy().ravel()
        for seed in (2, 3)
    ]
    chance = np.mean((totals[0] - totals[1]) ** 2) / 2
    assert shares["chance"] * totals[0].var() / chance == pytest.approx(1, abs=4 * 0.13)
    with pytest.raises(clv.InputError, match="of a posterior with draws"):
        clv.predictions.variance_of_total(fitted, customers, future.drop_vars("purchases_total"))


@pytest.mark.full
def test_how_a_total_is_split_depends_little_on_which_future_was_drawn(moved):
    customers, _, fitted = moved
    share = []
    for seed in range(6):
        other = fitted.copy()
        other.attrs["seed"] = seed
        future = clv.predict(other, customers, "26 weeks", seed=2)
        share.append(clv.predictions.variance_of_total(other, customers, future)["calendar"])
    # An error of .025, since the posterior is the same; four times it spans six seeds. Of one pair a draw: .21.
    assert np.ptp(share) < 4 * 0.025


def test_a_total_without_a_calendar_has_no_share_of_it(customers):
    plain = clv.fit("bg_nbd", customers, method="laplace", draws=100, seed=1)
    future = clv.predict(plain, customers, "13 weeks", seed=2)
    shares = clv.predictions.variance_of_total(plain, customers, future)
    assert shares["calendar"] == 0
    assert shares["chance"] > 0.3


def test_a_scale_can_be_fixed(moved):
    customers, _, _ = moved
    from bayes_clv.families.quantities import resolve, starting_point
    from bayes_clv.inference.graph import build_model

    record = family("bg_nbd")
    calendar = learn_calendar(Calendar(period_days=14), "bg_nbd", customers)
    rows, count = distinct_rows({each: customers[each].to_numpy().astype(float) for each in record.observed})
    scale = record.scale(rows, count)
    priors = resolve(dict(record.quantities) | calendar.quantities(), {"calendar_shock_sd": 0.1}, scale)
    built = build_model(
        record, rows, count, priors, starting_point(record.quantities, scale), calendar=calendar
    )
    assert built.constants["calendar_shock_sd"] == 0.1
    assert "calendar_shock_sd" not in built.names
    assert {"calendar_rate", "calendar_sd"} <= set(built.names)


@pytest.fixture(scope="module")
def both():
    """Some of CDNOW, and a posterior with drift and a calendar."""
    some = some_of_cdnow(6)
    calendar = Calendar(period_days=28)
    fitted = clv.fit(
        "mbg_nbd", some, drift=True, calendar=calendar, method="laplace", draws=150, chains=2, seed=1
    )
    return some, fitted


def test_drift_in_operational_time_from_fit_to_forecast(both):
    """Its simulated futures have its closed forms' mean, draw by draw, and those alive their share."""
    some, fitted = both
    assert fitted.attrs["family"] == "mbg_nbd_drift"
    assert {"calendar_rate", "kappa"} <= set(fitted.posterior.data_vars)
    future = clv.predict(fitted, some, "26 weeks", seed=2)
    expected = clv.expected.purchases(fitted, some, "26 weeks", draws=300).sum("customer")
    difference = (future["purchases_total"] - expected).to_numpy().ravel()
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(difference.size)
    assert np.corrcoef(expected.to_numpy().ravel(), future["purchases_total"].to_numpy().ravel())[0, 1] > 0.9
    joint = clv.simulate(fitted, some, "26 weeks", draws=300, seed=2)
    assert "rate_year_ago" not in joint.names
    names = ["alive", "probability_alive", "time_to_purchase", "purchases", "time_since_leaving"]
    places, block = next(joint.blocks(names))
    np.testing.assert_array_equal(block["purchases"] > 0, block["time_to_purchase"] <= 26 + 1e-9)
    chance = block["probability_alive"]
    error = np.sqrt((chance * (1 - chance)).sum()) / chance.size
    assert block["alive"].mean() == pytest.approx(chance.mean(), abs=4 * error)
    gone = block["alive"] == 0
    silence = np.broadcast_to((some["T"] - some["recency"]).to_numpy()[places, None], gone.shape)
    # Who has left did so at its last purchase, on the calendar.
    np.testing.assert_allclose(block["time_since_leaving"][gone], silence[gone], atol=1e-9)


def test_histories_over_time_go_by_a_calendar(both):
    """They end where the forecast begins."""
    some, fitted = both
    place = int(some["frequency"].to_numpy().argmax())
    orders = clv.load_cdnow().query("date <= '1997-09-30'")
    dates = orders.loc[orders["customer_id"].astype(str) == str(some["customer"].values[place]), "date"]
    alive = histories.alive_over_time(fitted, dates, "1997-09-30", draws=10_000, points=20)
    now = clv.expected.alive(fitted, some).isel(customer=place)
    assert float(alive["mean"][-1]) == pytest.approx(float(now.mean()), rel=1e-9)
    assert (alive["mean"].diff("date") < 0).any()
    rate = histories.rate_over_time(fitted, dates, "1997-09-30", draws=300, points=20)
    future = clv.predict(fitted, some, "4 weeks", seed=1)
    mean = float(future["purchase_rate_mean"].isel(customer=place))
    # A summary is right to six digits.
    assert float(rate["mean"][-1]) == pytest.approx(mean, rel=1e-5)


def test_what_is_not_told_of_drift_with_a_calendar_is_refused(both):
    some, fitted = both
    with pytest.raises(clv.InputError, match="Who grows or fades is not told of a fit with a calendar yet"):
        clv.predictions.changes(fitted, some, seed=1)
    with pytest.raises(
        clv.InputError, match="Pareto/NBD with drift does not go by a calendar: .* with drift bg_nbd"
    ):
        clv.fit("pareto_nbd", some, drift=True, calendar=Calendar(), method="laplace", seed=1)
    with pytest.raises(clv.InputError, match="drift=True and returns=True cannot be had in one fit"):
        clv.fit("mbg_nbd", some, drift=True, returns=True, calendar=Calendar(), method="laplace", seed=1)


def some_of_cdnow(every):
    """Return one customer in so many."""
    orders = clv.load_cdnow()
    orders = orders[orders["customer_id"].astype(int) % every == 0]
    return clv.summarize(orders, until="1997-09-30", also=("periods", "purchase_times"))


@pytest.fixture(scope="module")
def asleep():
    """Some of CDNOW, a posterior with returns and a calendar, and one whose calendar varies tenfold, ahead too."""
    some = some_of_cdnow(12)
    fitted = clv.fit(
        "mbg_nbd",
        some,
        returns=True,
        calendar=Calendar(period_days=28),
        method="laplace",
        draws=150,
        chains=2,
        seed=1,
    )
    group = fitted["posterior"].to_dataset()
    rate = group["calendar_rate"]
    moved = np.random.default_rng(3).permutation(np.geomspace(10**-0.5, 10**0.5, rate.shape[-1]))
    wild = fitted.copy()
    wild["posterior"] = group.assign(
        calendar_rate=rate.copy(data=np.tile(moved, (*rate.shape[:2], 1))),
        calendar_sd=xr.full_like(group["calendar_sd"], 0.7),
    )
    return some, fitted, wild


def test_returns_in_operational_time_from_fit_to_forecast(asleep):
    """The simulated futures of a calendar that varies tenfold are those of the closed forms, draw by draw."""
    some, fitted, wild = asleep
    assert fitted.attrs["family"] == "mbg_nbd_returns"
    assert {"calendar_rate", "nu", "w"} <= set(fitted.posterior.data_vars)
    rate = wild.posterior["calendar_rate"]
    assert float(rate.max() / rate.min()) == pytest.approx(10)
    future = clv.predict(wild, some, "26 weeks", seed=2)
    expected = clv.expected.purchases(wild, some, "26 weeks", draws=300).sum("customer")
    difference = (future["purchases_total"] - expected).to_numpy().ravel()
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(difference.size)
    assert np.corrcoef(expected.to_numpy().ravel(), future["purchases_total"].to_numpy().ravel())[0, 1] > 0.9
    # Chance is what a total differs by from its expectation, which the closed forms say too; of 60 of 300 draws.
    shares = clv.predictions.variance_of_total(wild, some, future, draws=60)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0
    # A calendar that varies tenfold moves a total by more than 197 customers do.
    assert shares["calendar"] > shares["chance"]
    with pytest.raises(clv.InputError, match="drift=True"):
        clv.predictions.changes(wild, some, seed=1)
    joint = clv.simulate(wild, some, "26 weeks", draws=300, seed=2)
    names = ["alive", "asleep", "probability_asleep", "purchases", "time_to_purchase", "time_since_leaving"]
    _, block = next(joint.blocks(names))
    np.testing.assert_array_equal(block["purchases"] > 0, block["time_to_purchase"] <= 26 + 1e-9)
    # Nobody is gone for ever.
    assert (block["alive"] == 1).all()
    assert (block["time_since_leaving"] == 0).all()
    pmf = clv.expected.pmf(wild, some, "26 weeks", draws=300, max_count=3)
    shares = [(block["purchases"] == n) for n in range(3)]
    for made, chance in [
        *zip(shares, (pmf.isel(count=n).to_numpy() for n in range(3)), strict=True),
        (block["asleep"] == 1, block["probability_asleep"]),
    ]:
        error = np.sqrt((chance * (1 - chance)).mean() / made.size)
        assert made.mean() == pytest.approx(chance.mean(), abs=4.5 * error)


def test_what_is_made_of_returns_goes_by_a_calendar(asleep):
    """New customers of the past and to come, alarms, what was known before, and whom to wake."""
    some, fitted, wild = asleep
    tracking = clv.scoring.simulate_tracking(fitted, some, seed=3, draws=100)
    made = tracking["purchases"].sum("period")
    assert float(made.mean()) == pytest.approx(float(some["frequency"].sum()), abs=4 * float(made.std()))
    alarms = clv.churn_alarms(wild, some, threshold=0.4)
    assert alarms.attrs["of"] == "probability_awake"
    np.testing.assert_array_equal(alarms["alarmed"], alarms["probability_awake"] <= 0.4)
    assert 0.05 < alarms["alarmed"].mean() < 0.95
    place = int(some["frequency"].to_numpy().argmax())
    orders = clv.load_cdnow().query("date <= '1997-09-30'")
    dates = orders.loc[orders["customer_id"].astype(str) == str(some["customer"].values[place]), "date"]
    awake = histories.alive_over_time(wild, dates, "1997-09-30", points=20)
    future = clv.predict(wild, some, "26 weeks", seed=1)
    now = float(future["probability_awake"].isel(customer=place))
    assert float(awake["mean"][-1]) == pytest.approx(now, rel=1e-4)
    woken = clv.targeting.win_back(wild, some.isel(customer=slice(20)), "26 weeks")
    np.testing.assert_allclose(
        woken["probability_waking"], future["probability_waking"][:20], rtol=1e-4, atol=1e-9
    )
    assert (woken["purchases_woken"] > 0).all()


@pytest.mark.parametrize("which", ["both", "asleep"])
def test_new_customers_of_a_changing_family_go_by_a_calendar(which, request):
    """Their columns have no row, and their operational times differ by draw."""
    some, fitted, *_ = request.getfixturevalue(which)
    spending = clv.fit("gamma_gamma", some, method="mode", seed=1)
    cohort = clv.predict_cohort(fitted, spending, 400, horizon="26 weeks", seed=1)
    made = (cohort["purchases_total"] / 400 - cohort["purchases_expected"]).to_numpy().ravel()
    assert abs(made.mean()) < 4 * made.std() / np.sqrt(made.size)


def test_two_clocks_from_fit_to_forecast(customers):
    """Pareto/NBD: its simulated futures have its closed forms' mean, draw by draw, past and to come."""
    orders = clv.load_cdnow()
    orders = orders[orders["customer_id"].astype(int) % 12 == 0]
    some = clv.summarize(orders, until="1997-09-30", also=("periods",))
    fitted = clv.fit(
        "pareto_nbd",
        some,
        calendar=Calendar(period_days=28),
        method="laplace",
        draws=50,
        seed=1,
        include=("posterior_predictive",),
    )
    assert fitted.posterior["calendar_rate"].sizes["calendar_period"] == 10
    future = clv.predict(fitted, some, "39 weeks", seed=2)
    expected = clv.expected.purchases(fitted, some, "39 weeks").sum("customer")
    difference = (future["purchases_total"] - expected).to_numpy().ravel()
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(difference.size)
    alive = clv.expected.alive(fitted, some)
    error = np.sqrt(float((alive * (1 - alive)).mean()) / alive.size)
    joint = clv.simulate(fitted, some, "39 weeks", seed=2)
    _, block = next(joint.blocks(["alive", "time_since_leaving"]))
    assert float(block["alive"].mean()) == pytest.approx(float(alive.mean()), abs=5 * error + 0.02)
    assert (block["time_since_leaving"][block["alive"] == 1] == 0).all()
    # A replicated base buys what this one did, by the number of customers without a repeat purchase.
    none = fitted["posterior_predictive"]["customers_by_frequency"].isel(frequency_class=0)
    real = int((some["frequency"] == 0).sum())
    assert float(none.mean()) == pytest.approx(real, abs=4 * float(none.std()))
    # New customers of the past are drawn from their own first day on.
    tracking = clv.scoring.simulate_tracking(fitted, some, seed=3, draws=100)
    made = tracking["purchases"].sum("period")
    assert float(made.mean()) == pytest.approx(float(some["frequency"].sum()), abs=4 * float(made.std()))
