"""Fits with a calendar, criticised: customers left out, and what the prior supposes of a base."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.families.quantities import Prior, resolve
from bayes_clv.families.registry import CLOCKED, PRICED, clocked_changes, derived, family
from bayes_clv.inference import Calendar
from bayes_clv.inference.calendar import learn_calendar
from bayes_clv.inference.clock import Clock
from bayes_clv.inference.criticism import predictive
from bayes_clv.inference.data import distinct_rows, observed
from bayes_clv.inference.graph import _log_likelihood, rows_of_terms
from bayes_clv.inference.pointwise import pointwise_log_likelihood
from tests.inference.test_calendar import PARAMETERS
from tests.inference.test_spend_trend_calendar import FORMS, GAMMA, NORMAL, log_rate_of, value

SEEN = ("periods", "purchase_times", "log_intervals", "log_spend", "purchase_spend")
SPEND = {"lognormal_spend": NORMAL, "gamma_gamma": GAMMA} | FORMS


@pytest.fixture(scope="module")
def customers():
    whole = clv.summarize(clv.load_cdnow(), until="1997-09-30", also=SEEN)
    known = np.isfinite(whole["log_spend_mean"].to_numpy()) | (whole["frequency"].to_numpy() == 0)
    return whole.isel(customer=np.flatnonzero(known)[::6]).drop_vars(["day_purchases", "day_spend"])


def posterior_of(params, calendar, log_rate):
    drawn = {name: (("chain", "draw"), np.full((1, 1), number)) for name, number in params.items()}
    drawn["calendar_rate"] = (("chain", "draw", "calendar_period"), np.exp(log_rate)[None, None])
    return xr.Dataset(drawn, coords={"chain": [0], "draw": [0]})


# A compilation each: those of other terms, and all in the full suite.
QUICK = ("bg_nbd", "bg_cnbd_k", "pareto_nbd", "gamma_gamma", "lognormal_spend_trend_drift")


def some(names):
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.full) for name in names]


@pytest.mark.parametrize("name", some(dict.fromkeys([*CLOCKED, *clocked_changes()])))
def test_customers_densities_add_up_to_that_of_the_base(customers, name):
    import pytensor.tensor as pt

    record = family(name).of(customers)
    calendar = learn_calendar(Calendar(), name, customers)
    log_rate = log_rate_of(calendar.size)
    params = {each: PARAMETERS[each] for each in record.parameters}
    columns = {
        each: customers[each].to_numpy().astype(float) for each in (*record.observed, "purchase_start")
    }
    rows, count = distinct_rows(columns)
    known = rows_of_terms(record, rows, count)
    clock = Clock(calendar, pt.as_tensor(log_rate), pt.exp(pt.as_tensor(log_rate)))
    given = {each: pt.as_tensor(number) for each, number in params.items()}
    total = (_log_likelihood(record, given, known, clock) + clock.log_density()).eval(mode="FAST_COMPILE")
    found = pointwise_log_likelihood(
        record,
        posterior_of(params, calendar, log_rate),
        rows,
        calendar=calendar,
        times=customers["purchase_times"].to_numpy().astype(float),
    )
    assert float(found[record.checked].to_numpy()[0, 0] @ count) == pytest.approx(float(total), rel=1e-10)


@pytest.mark.parametrize("name", some([*PRICED, *derived("spend")]))
def test_so_do_those_of_spend(customers, name):
    from bayes_clv.inference.ledger import PAYER, read_ledger

    used = customers.isel(customer=customers["frequency"].to_numpy() > 0)
    record = family(name)
    data = observed(record, used)
    calendar = learn_calendar(Calendar(), name, used)
    log_rate = log_rate_of(calendar.size)
    ledger = read_ledger(used, 7, calendar.unit_days, calendar.size)
    rows, count = distinct_rows(data.columns | {PAYER: np.arange(ledger.size.size)})
    found = pointwise_log_likelihood(
        record.of(used), posterior_of(SPEND[name], calendar, log_rate), rows, calendar=calendar, ledger=ledger
    )
    total = value(used, name, log_rate_of, **SPEND[name])
    assert float(found[record.checked].to_numpy()[0, 0] @ count) == pytest.approx(total, rel=1e-10)


@pytest.fixture(scope="module")
def moved():
    """A base whose purchases go up and down, threefold, and its fits with a calendar and without."""
    rng = np.random.default_rng(12)
    factor = np.exp(0.6 * np.sin(np.arange(52) / 4))
    rows = []
    for customer in range(400):
        came, rate = int(rng.integers(0, 26)), rng.gamma(1.0, 0.12)
        bought = rng.poisson(rate * factor[came:])
        days = np.concatenate(
            [[7 * came], *(7 * (came + week) + rng.integers(0, 7, n) for week, n in enumerate(bought))]
        )
        rows += [(f"{customer:04}", day) for day in np.unique(days)]
    table = pd.DataFrame(rows, columns=["customer_id", "day"])
    table["date"] = pd.Timestamp("2021-01-01") + pd.to_timedelta(table["day"], unit="D")
    known = clv.summarize(table, until="2021-12-30", spend=None, also=("periods", "purchase_times"))
    told = {"method": "laplace", "draws": 100, "seed": 1, "include": ("log_likelihood", "prior_predictive")}
    return (
        known,
        clv.fit("nbd", known, **told),
        clv.fit("nbd", known, calendar=Calendar(period_days=14), **told),
    )


def test_comparison_prefers_the_calendar_where_weeks_differ(moved):
    _, static, paced = moved
    table = clv.compare({"static": static, "calendar": paced})
    assert table.index[0] == "calendar"
    assert table["verdict"].tolist() == ["best", "worse"]
    # The effective parameters: some 26 periods of which a level leaves fewer.
    assert 2 < float(table.loc["calendar", "p"]) < 40
    assert int(table.loc["calendar", "customers"]) == 400
    by_hand = clv.inference.loo(paced)
    assert float(by_hand.elpd) == pytest.approx(float(table.loc["calendar", "elpd"]), rel=1e-6)


def test_what_comparison_needs_is_named(moved):
    known, *_ = moved
    with pytest.raises(clv.InputError, match=r"lack 'purchase_times'.*also=\('periods', 'purchase_times'\)"):
        clv.fit(
            "nbd",
            known.drop_dims("repeat_purchase").drop_vars("purchase_start"),
            calendar=Calendar(),
            include=("log_likelihood",),
            method="laplace",
            seed=1,
        )


def test_gamma_gammas_density_with_a_calendar_is_of_other_data_than_without(make_posterior):
    without = make_posterior("gamma_gamma", GAMMA, sd=0.1, chains=1, draws=5)
    paced = without.copy()
    paced.attrs["calendar"] = "{}"
    with pytest.raises(
        clv.InputError, match="density of a customer's mean spend, that of .* of every occasion's spend"
    ):
        clv.compare({"without": without, "with": paced})


def replicated(customers, priors, rate):
    """The share of customers who never bought again, of 500 bases of the prior of a calendar, and rates by hand."""
    record = family("nbd")
    calendar = learn_calendar(Calendar(), "nbd", customers)
    pasts = predictive.prior_pasts(
        calendar, resolve(calendar.quantities(), priors, 1.0), np.random.default_rng(1)
    )
    one = np.full((1, predictive.PREDICTIVE_DRAWS), 0.8)
    draws = xr.Dataset(
        {name: (("chain", "draw"), each) for name, each in {"r": one, "alpha": one / rate}.items()}
    )
    draws = draws.assign_coords(chain=[0], draw=np.arange(predictive.PREDICTIVE_DRAWS))
    columns = {name: customers[name].to_numpy().astype(float) for name in ("frequency", "T")}
    classes = predictive.observed_classes("frequency", columns["frequency"])
    found = predictive.replicate(record, draws, columns, classes, np.random.default_rng(2), pasts=pasts)
    static = predictive.replicate(record, draws, columns, classes, np.random.default_rng(2))
    return found["customers_by_frequency"].to_numpy(), static["customers_by_frequency"].to_numpy()


def test_the_priors_base_moves_with_its_calendar(moved):
    """Without movement it is the static family's, but for a rounding; with much, all customers together buy unalike."""
    known, static, paced = moved
    fixed = {name: Prior("Fixed", value=1e-9) for name in ("calendar_sd", "calendar_shock_sd")}
    still, counts = replicated(known, fixed, 0.1)
    # A T that is rounded otherwise may take one Poisson number of thousands over its edge.
    assert (still != counts).mean() < 0.001
    wild, _ = replicated(known, fixed | {"calendar_sd": Prior("Fixed", value=1.0)}, 0.1)
    assert wild[..., 0].std() > 2 * still[..., 0].std()
    # So it does by the default scales, in a fit: a base's movement is beside what the rate leaves open.
    shares = [
        tree["prior_predictive"]["customers_by_frequency"].to_numpy().sum(axis=-1) for tree in (static, paced)
    ]
    assert all((each == 400).all() for each in shares)
