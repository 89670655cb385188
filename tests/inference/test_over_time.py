"""What columns over time do to the purchase rate: the likelihood from its definition, and what a fit learns of it."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import betaln, gammaln

import bayes_clv as clv
from bayes_clv.families.own_time import PATH
from bayes_clv.families.quantities import Prior
from bayes_clv.families.registry import OVER_TIME, family
from bayes_clv.inference.calendar import Calendar, learn_calendar
from bayes_clv.inference.clock import Clock
from bayes_clv.inference.data import distinct_rows
from bayes_clv.inference.graph import _log_likelihood, rows_of_terms
from bayes_clv.inference.over_time import learn_columns, own_times
from bayes_clv.inference.pointwise import pointwise_log_likelihood
from bayes_clv.predictions.splitting import variance_of_total
from bayes_clv.schema import InputError

PARAMETERS = {"r": 0.5, "alpha": 7.0, "a": 0.8, "b": 2.0}
START = np.datetime64("1997-01-01")


def days(first, count, step):
    return first + step * np.arange(count).astype("timedelta64[D]")


@pytest.fixture(scope="module")
def customers():
    """One in four of CDNOW, with mails to some, and a price that each sees change every 40 days."""
    base = clv.summarize(clv.load_cdnow(), until="1997-09-30", also=("purchase_times",))
    base = base.isel(customer=slice(0, 2357, 4))
    ids, rng = base["customer"].values, np.random.default_rng(1)
    sent = rng.integers(5, 250, (ids.size, 2)) + np.array([0, 20])
    mails = pd.DataFrame(
        {
            "customer_id": np.repeat(ids, 4),
            "date": START
            + np.sort(np.concatenate([sent, sent + 14], axis=1)).ravel().astype("timedelta64[D]"),
            "mails": np.tile([1, 0], 2 * ids.size),
        }
    ).drop_duplicates(["customer_id", "date"])
    prices = pd.DataFrame(
        {
            "customer_id": np.repeat(ids, 7),
            "date": np.tile(START + 40 * np.arange(7).astype("timedelta64[D]"), ids.size),
            "price": rng.choice([8.0, 10.0, 13.0], 7 * ids.size),
        }
    )
    mailed = clv.customers.with_columns_over_time(base, mails, before=0)
    return clv.customers.with_columns_over_time(mailed, prices)


def log_likelihood(name, customers, names, coefficients, calendar=None, **other):
    """Return it, at coefficients of the columns as they are stated in a fit, and at a calendar and its log of g."""
    import pytensor.tensor as pt

    record = family(name)
    learned, paced, counts = learn_columns(names, customers)
    moving = None
    if calendar is not None:
        known, log_rate = calendar
        moving = Clock(known, pt.as_tensor(log_rate), pt.exp(pt.as_tensor(log_rate)))
    clock = own_times(learned, paced, counts, pt.as_tensor(np.array(coefficients)), moving)
    columns = {each: customers[each].to_numpy().astype(float) for each in (*record.observed, PATH)}
    rows, count = distinct_rows(columns)
    params = {each: pt.as_tensor((PARAMETERS | other)[each]) for each in record.parameters}
    total = _log_likelihood(record, params, rows_of_terms(record, rows, count, clock), clock)
    return float((total + clock.log_density()).eval(mode="FAST_COMPILE")), learned


def static(name, customers):
    import pytensor.tensor as pt

    record = family(name)
    rows, count = distinct_rows({each: customers[each].to_numpy().astype(float) for each in record.observed})
    params = {each: pt.as_tensor(PARAMETERS[each]) for each in record.parameters}
    return float(
        _log_likelihood(record, params, rows_of_terms(record, rows, count)).eval(mode="FAST_COMPILE")
    )


@pytest.mark.parametrize("name", OVER_TIME)
def test_without_an_effect_the_likelihood_is_the_familys(name, customers):
    found, _ = log_likelihood(name, customers, ["mails", "price"], [0.0, 0.0])
    assert found == pytest.approx(static(name, customers), rel=1e-10)


@pytest.mark.parametrize("name", OVER_TIME)
def test_a_column_that_all_have_alike_is_the_calendar_with_that_event(name, customers):
    """To 1e-8, of a promotion in two weeks of 39; and with it each customer's time to the last digits."""
    ids = customers["customer"].values
    during = [str(each) for each in ("1997-05-07", "1997-05-21")]
    table = pd.DataFrame(
        {
            "customer_id": np.repeat(ids, 2),
            "date": np.tile(during, ids.size),
            "promotion": np.tile([1, 0], ids.size),
        }
    )
    promoted = clv.customers.with_columns_over_time(customers, table, before=0)
    found, _ = log_likelihood(name, promoted, "promotion", [0.8])
    events = {
        "promotion": {str(each): 1.0 for each in days(np.datetime64(during[0]), 14, 1)} | {"1998-01-01": 0.0}
    }
    calendar = learn_calendar(Calendar(period_days=7, events=events), name, customers)
    log_rate = 0.8 * calendar.design(-calendar.size, 0)[:, 0]
    assert set(np.unique(log_rate)) == {0.0, 0.8}
    import pytensor.tensor as pt

    record = family(name)
    rows, count = distinct_rows({each: customers[each].to_numpy().astype(float) for each in record.observed})
    params = {each: pt.as_tensor(PARAMETERS[each]) for each in record.parameters}
    clock = Clock(calendar, pt.as_tensor(log_rate), pt.exp(pt.as_tensor(log_rate)))
    known = _log_likelihood(record, params, rows_of_terms(record, rows, count), clock) + clock.log_density()
    assert found == pytest.approx(float(known.eval(mode="FAST_COMPILE")), abs=1e-8)


@pytest.mark.parametrize("moving", [False, True])
def test_the_likelihood_is_that_of_the_definition(customers, moving):
    """Each customer's rate is added up day by day, and its BG/NBD density taken in that time; with a calendar too."""
    some = customers.isel(customer=slice(0, 590, 9))
    coefficients = np.array([0.7, -0.4])
    calendar = learn_calendar(Calendar(period_days=10), "bg_nbd", some)
    log_rate = moving * np.random.default_rng(2).uniform(-1.0, 1.0, calendar.size)
    given = (calendar, log_rate) if moving else None
    found, learned = log_likelihood("bg_nbd", some, ["mails", "price"], coefficients, given)
    begin, start = some["change_time"].values, some["change_start"].values
    r, alpha, a, b = (PARAMETERS[each] for each in ("r", "alpha", "a", "b"))
    total = 0.0
    for i in range(some.sizes["customer"]):
        end = start[i] + 1
        while end < begin.size and begin[end] > -np.inf:
            end += 1
        age = round(float(some["T"][i]) * 7)
        # Day k of the customer's life, which ends at age k / 7.
        last = (np.arange(1, age + 1) - age) / 7
        piece = start[i] + np.searchsorted(begin[start[i] : end], last - 1e-6, side="left") - 1
        z = np.stack([some[name].values[piece] for name in learned.names], axis=1)
        period = (np.arange(-age, 0) + 10 * calendar.size) // 10
        log_pace = (z - learned.centre) / learned.scale @ coefficients + log_rate[period]
        elapsed = np.append(0.0, np.cumsum(np.exp(log_pace) / 7))
        x, t_x, T = int(some["frequency"][i]), elapsed[round(float(some["recency"][i]) * 7)], elapsed[-1]
        first = int(some["purchase_start"][i])
        bought = [round(float(each) * 7) for each in some["purchase_times"].values[first : first + x]]
        total += log_pace[np.array(bought, dtype=int) - 1].sum()
        total += gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        stays = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + T)
        leaves = betaln(a + 1, b + x - 1) - betaln(a, b) - (r + x) * np.log(alpha + t_x) if x else -np.inf
        total += np.logaddexp(stays, leaves)
    assert found == pytest.approx(total, rel=1e-10)


def test_numbers_are_centred_and_scaled_over_the_time_observed(customers):
    _, learned = log_likelihood("nbd", customers, ["mails", "price"], [0.0, 0.0])
    assert (learned.centre[0], learned.scale[0]) == (0.0, 1.0)
    # Prices of 8, 10 and 13 alike often: a mean of 10.3 and a standard deviation of 2.05, by some 3,000 pieces.
    assert learned.centre[1] == pytest.approx(10.33, abs=4 * 2.05 / np.sqrt(3000))
    assert learned.scale[1] == pytest.approx(2.05, abs=0.1)
    # The unit of time, and the order of customers, change nothing.
    turned, _, _ = learn_columns(["mails", "price"], customers.isel(customer=slice(None, None, -1)))
    assert turned == learned


def simulated(seed, effect, size=400, weeks=52):
    """Return customers of a world of MBG/NBD, day by day from the definition, with mails of a week to half of them."""
    rng = np.random.default_rng(seed)
    came = rng.integers(0, 90, size)
    rate, leaving = rng.gamma(1.0, 1 / 4.0, size) / 7, rng.beta(1.0, 4.0, size)
    mailed = np.zeros((size, weeks), dtype=bool)
    mailed[::2] = rng.random((size // 2, weeks)) < 0.3
    # The week of a mail is the customer's own.
    shift = rng.integers(0, 7, size)
    alive = rng.random(size) >= leaving
    orders = [(i, came[i]) for i in range(size)]
    changes = [(i, 7 * w + shift[i], int(mailed[i, w])) for i in range(size) for w in range(weeks)]
    for day in range(7 * weeks):
        week = (day - shift) // 7
        on = np.where(week >= 0, mailed[np.arange(size), np.maximum(week, 0)], False)
        buys = alive & (day > came) & (rng.random(size) < -np.expm1(-rate * np.exp(effect * on)))
        orders += [(i, day) for i in np.flatnonzero(buys)]
        alive &= ~(buys & (rng.random(size) < leaving))
    start = np.datetime64("2020-01-01")
    log = pd.DataFrame(orders, columns=["customer_id", "day"])
    log["date"] = start + log["day"].to_numpy().astype("timedelta64[D]")
    table = pd.DataFrame(changes, columns=["customer_id", "day", "mails"])
    table["date"] = start + table["day"].to_numpy().astype("timedelta64[D]")
    until = str(start + np.timedelta64(7 * weeks - 1, "D"))
    customers = clv.summarize(log[["customer_id", "date"]], until=until, spend=None, also=("purchase_times",))
    return clv.customers.with_columns_over_time(customers, table[["customer_id", "date", "mails"]], before=0)


@pytest.fixture(scope="module")
def world():
    return simulated(1, 0.5)


@pytest.fixture(scope="module")
def fitted(world):
    return clv.fit(
        "mbg_nbd", world, over_time="mails", method="laplace", draws=250, seed=1, include=["log_likelihood"]
    )


def test_a_known_effect_is_found_and_said(world, fitted):
    """400 customers of whom half had mails: 0.5 lies within three standard deviations, of some .09."""
    drawn = fitted.posterior["over_time_coefficient"].sel(over_time_effect="mails")
    assert abs(float(drawn.mean()) - 0.5) < 3 * float(drawn.std())
    assert 0.04 < float(drawn.std()) < 0.15
    assert clv.inference.diagnostics(fitted)["passed"]
    found = clv.inference.effects_over_time(fitted)
    low, middle, high = found["factor"].sel(over_time_effect="mails").values
    assert 1 < low < middle < high
    # Between two of 1,000 draws a factor's quantile is not that of its log.
    assert middle == pytest.approx(float(np.exp(drawn.quantile(0.5))), rel=1e-3)
    assert found.attrs["sentences"] == [
        f"1 of mails multiplies the purchase rate by {middle:.3g} (90 %: {low:.3g} to {high:.3g})."
    ]
    assert float(found["probability_more"][0]) > 0.99


@pytest.mark.parametrize("moving", [False, True])
def test_the_likelihood_of_each_customer_adds_up_to_that_of_all(moving, customers):
    """Of two columns and a calendar, or without: row by row it is what the fit's own likelihood is in the sum."""
    some, record = customers.isel(customer=slice(0, 80)), family("mbg_nbd")
    known = learn_calendar(Calendar(), "mbg_nbd", some) if moving else None
    log_rate = None if known is None else np.random.default_rng(5).uniform(-1, 1, known.size)
    given = None if known is None else (known, log_rate)
    total, _ = log_likelihood("mbg_nbd", some, ["mails", "price"], [0.7, -0.4], given)
    changing = learn_columns(["mails", "price"], some)
    drawn = {name: (("chain", "draw"), [[PARAMETERS[name]]]) for name in record.parameters}
    drawn["over_time_coefficient"] = (("chain", "draw", "over_time_effect"), [[[0.7, -0.4]]])
    if log_rate is not None:
        drawn["calendar_rate"] = (("chain", "draw", "calendar_period"), np.exp(log_rate)[None, None])
    rows = {name: some[name].to_numpy().astype(float) for name in (*record.observed, PATH, "purchase_start")}
    found = pointwise_log_likelihood(
        record,
        xr.Dataset(drawn, coords={"chain": [0], "draw": [0]}),
        rows,
        calendar=known,
        times=some["purchase_times"].to_numpy(),
        over_time=changing,
        unit_days=7.0,
    )["frequency"]
    assert float(found.sum()) == pytest.approx(total, rel=1e-10)


def test_it_can_be_compared_with_a_fit_without(world, fitted):
    """Mails that make half of the customers buy 1.6 times as often predict them better, beyond chance."""
    without = clv.fit("mbg_nbd", world, method="laplace", draws=250, seed=1, include=["log_likelihood"])
    table = clv.compare({"with": fitted, "without": without})
    assert table.index[0] == "with"
    assert table.loc["without", "elpd_diff"] < -2 * table.loc["without", "dse"]


@pytest.mark.full
def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of 100 worlds the 90 % interval holds the effect in 83 to 96: .982 of the time if 90 % is true.

    The number is binomial(100, .9), of mean 90 and standard deviation 3: P(N < 83) = .010, P(N > 96) = .008.
    Effects are drawn from Normal(.2, .5), near the prior's Normal(0, 1).
    """
    rng, inside = np.random.default_rng(7), 0
    for seed in range(100):
        effect = rng.normal(0.2, 0.5)
        base = simulated(seed + 100, effect, size=250)
        fit = clv.fit("mbg_nbd", base, over_time="mails", method="laplace", draws=100, seed=seed)
        low, high = fit.posterior["over_time_coefficient"].quantile([0.05, 0.95]).to_numpy()
        inside += low <= effect <= high
    assert 83 <= inside <= 96


def test_nuts_and_laplace_agree(world, fitted):
    """Of 500 draws by NUTS: means within 4 standard errors of 1 / sqrt(100) of the posterior's deviation."""
    by_nuts = clv.fit(
        "mbg_nbd", world, over_time="mails", draws=250, tune=300, chains=2, seed=1, progress=False
    )
    one, other = (each.posterior["over_time_coefficient"] for each in (by_nuts, fitted))
    assert float(one.mean()) == pytest.approx(float(other.mean()), abs=0.4 * float(other.std()))
    assert float(one.std()) == pytest.approx(float(other.std()), rel=0.25)


def test_a_calendar_stands_beside_it_in_one_fit(world, fitted):
    """Of a world in which weeks are alike the effect is what it is without one: within its standard deviation."""
    both = clv.fit(
        "mbg_nbd", world, over_time="mails", calendar=Calendar(), method="laplace", draws=250, seed=1
    )
    one, other = (each.posterior["over_time_coefficient"] for each in (both, fitted))
    assert abs(float(one.mean()) - float(other.mean())) < float(other.std())
    assert {"calendar_rate", "calendar_sd"} <= set(both["posterior"].data_vars)
    carried = clv.customers.with_plan(world, "carry_forward")
    future = clv.predict(both, carried, "10 weeks", seed=2)
    expected = clv.expected.purchases(both, carried, "10 weeks").sum("customer")
    drawn = future["purchases_total"]
    # The same future of the calendar in each draw: the difference is the chance of single customers.
    apart = (drawn - expected).to_numpy()
    assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(apart.size)
    shares = variance_of_total(both, carried, future, draws=40)
    assert sum(shares.values()) == pytest.approx(1)
    # Its 40 draws have a variance within 22 % (1 / sqrt(20)), as the 1,000 here, but for their own 4 %.
    whole = float((apart**2).mean()) / shares["chance"]
    assert whole == pytest.approx(float(drawn.var()), rel=3 * 0.23)


def test_maximum_likelihood_and_priors_are_of_the_effect_too(world):
    peak = clv.fit("nbd", world, over_time="mails", method="mode", priors="flat", seed=1)
    assert 0.2 < float(peak.posterior["over_time_coefficient"].mean()) < 0.8
    held = clv.fit(
        "nbd",
        world,
        over_time="mails",
        method="mode",
        priors={"over_time_coefficient": Prior("Normal", mu=0, sigma=0.001)},
        seed=1,
    )
    assert abs(float(held.posterior["over_time_coefficient"].mean())) < 0.01


def test_what_a_fit_cannot_give_is_refused(customers):
    for arguments, said in (
        ({"family": "pareto_nbd"}, "an integral over each customer's own changes; bg_nbd, mbg_nbd, nbd do"),
        ({"drift": True}, "in a time of its own; bg_nbd"),
        (
            {"returns": True, "family": "mbg_nbd"},
            "in a time of its own; bg_nbd, mbg_nbd, nbd do. Fit one of these",
        ),
        (
            {"family": "bg_cnbd_k"},
            "the time between each two of them, which would pass by a time of each customer's",
        ),
        ({"family": "mbg_cnbd_k"}, "or leave over_time out"),
        (
            {"include": ["posterior_predictive"]},
            "'posterior_predictive' is not there of a fit with columns over time yet",
        ),
        ({"over_time": []}, "over_time names no column"),
        ({"over_time": "age"}, "no column 'age' that changes over time. Those that change are mails, price"),
    ):
        given = {"family": "bg_nbd", "over_time": "mails", "method": "laplace", "seed": 1} | arguments
        with pytest.raises(InputError) as refused:
            clv.fit(given.pop("family"), customers, **given)
        assert said in str(refused.value)
    with pytest.raises(InputError, match="purchase_times"):
        learn_columns("mails", customers.drop_vars(["purchase_times", "purchase_start"]))
    constant = customers.assign(mails=customers["mails"] * 0)
    with pytest.raises(InputError, match="'mails' is 0 for all customers as long as they were observed"):
        learn_columns("mails", constant)
    with pytest.raises(InputError, match="has no columns over time"):
        clv.inference.effects_over_time(clv.fit("nbd", customers, method="mode", seed=1))
