"""Contracts with a calendar: what is read of them, what a bad quarter does to a fit, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.customers.contracts import placed
from bayes_clv.inference import Calendar, diagnostics
from bayes_clv.inference.calendar import CENTRE_DAYS, HALF_LIFE, learn_calendar

# Monthly cohorts of two years, of whom all leave twice as readily in the last quarter, and go on so.
MONTHS, AHEAD, COHORT = 24, 3, 300
BAD = np.concatenate([np.ones(MONTHS - 3), np.full(3 + AHEAD, 2.0)])


@pytest.fixture(scope="module")
def world():
    """Return the contracts, how many there are left after each renewal to come, and the cohorts' survivors."""
    rng = np.random.default_rng(5)
    survivors, left = {}, np.zeros(AHEAD)
    for ago in range(1, MONTHS + 1):
        theta = rng.beta(0.8, 8.0, COHORT)[:, None]
        makes = rng.random((COHORT, ago + AHEAD)) < (1 - theta) ** BAD[MONTHS - ago :]
        here = np.logical_and.accumulate(makes, axis=1).sum(axis=0)
        survivors[f"{ago:02d}"] = [COHORT, *here[:ago]]
        left += here[ago:]
    return clv.customers.from_survivors(survivors), left, survivors


def fitted(contracts, **given):
    return clv.fit(
        "shifted_beta_geometric", contracts, method="laplace", draws=100, seed=1, progress=False, **given
    )


@pytest.fixture(scope="module")
def moving(world):
    return fitted(
        world[0], calendar=Calendar(), include=("posterior_predictive", "prior_predictive", "log_likelihood")
    )


def test_after_a_bad_quarter_a_total_is_honest_with_a_calendar_alone(world, moving):
    contracts, left, _ = world
    assert diagnostics(moving)["pareto_k"] < 0.7
    static = clv.predict_renewals(fitted(contracts), contracts, AHEAD, seed=2)
    paced = clv.predict_renewals(moving, contracts, AHEAD, seed=2)
    low, high = static["survivors_q05"].to_numpy(), paced["survivors_q95"].to_numpy()
    assert (left < low).all()
    assert (paced["survivors_q05"].to_numpy() <= left).all()
    assert (left <= high).all()
    rate = moving["posterior"]["calendar_rate"].median(("chain", "draw")).to_numpy()
    assert rate[-3:].min() > 1.4 * rate[:-3].mean()
    # What is simulated of single contracts is the closed form's.
    curve = clv.expected.renewals(moving, AHEAD, tenure=list(range(1, MONTHS + 1)))["survival"]
    active = np.array([world[2][f"{ago:02d}"][-1] for ago in range(1, MONTHS + 1)])
    mean = (curve.mean(("chain", "draw")).to_numpy() * active[:, None]).sum(axis=0)
    error = paced["survivors_sd"].to_numpy() / np.sqrt(400)
    assert (np.abs(paced["survivors_mean"].to_numpy() - mean) < 4 * error).all()
    new = clv.predict_renewals(moving, 1000, AHEAD, seed=3)["survivors_mean"].to_numpy()
    fresh = clv.expected.renewals(moving, AHEAD)["survival"].mean(("chain", "draw", "tenure")).to_numpy()
    np.testing.assert_allclose(new / 1000, fresh, rtol=0.02)


def test_replicated_bases_are_at_the_pace_of_the_past(moving):
    seen = moving["observed_data"]["customers_by_renewals"].to_numpy()
    drawn = moving["posterior_predictive"]["customers_by_renewals"]
    mean, sd = drawn.mean(("chain", "draw")).to_numpy(), drawn.std(("chain", "draw")).to_numpy()
    assert (np.abs(seen - mean) < 4 * sd).all()


def test_a_row_that_stands_for_many_says_what_they_say(world):
    contracts, *_ = world
    count = contracts["count"].to_numpy()
    alone = contracts.isel(customer=np.repeat(np.arange(count.size), count)).drop_vars(["count", "cohort"])
    alone = alone.assign_coords(customer=[f"{i:06d}" for i in range(alone.sizes["customer"])])
    one, other = (
        learn_calendar(Calendar(), "shifted_beta_geometric", placed(each)) for each in (contracts, alone)
    )
    np.testing.assert_array_equal(one.counts, other.counts)
    assert one.size == other.size == MONTHS
    assert one.counts.sum() == count[contracts["active"].to_numpy() == 0].sum()


def dated(period, **changes):
    days = {"day": 1, "week": 7, "month": 30.5, "quarter": 91.3, "year": 365.3}[period]
    begun = pd.Timestamp("2024-06-30") - pd.to_timedelta(
        np.round(np.array([6, 6, 4, 3, 2, 2]) * days) + 2, "D"
    )
    table = pd.DataFrame({"start": begun, "end": [pd.NaT] * 6})
    table.loc[0, "end"] = begun[0] + pd.Timedelta(round(1.5 * days), "D")
    for row, end in changes.items():
        table.loc[int(row[1:]), "end"] = pd.Timestamp(end)
    return clv.customers.from_dates(table, "2024-06-30", period=period)


@pytest.mark.parametrize("period", ["week", "month", "year"])
def test_the_memory_is_stated_in_days_whatever_a_period_is(period):
    calendar = learn_calendar(Calendar(), "shifted_beta_geometric", placed(dated(period)))
    mu = dict(calendar.quantities()[HALF_LIFE].prior.arguments)["mu"]
    assert np.exp(mu) * {"week": 7, "month": 30, "year": 365}[period] == pytest.approx(CENTRE_DAYS)
    assert (calendar.size, calendar.width, calendar.until) == (6, 1.0, "2024-06-30")
    np.testing.assert_array_equal(calendar.counts, [0, 1, 0, 0, 0, 0])


def test_left_out_contracts_are_told_better_with_the_calendar_that_they_had(world, moving):
    table = clv.compare({"static": fitted(world[0], include=("log_likelihood",)), "calendar": moving})
    assert table["verdict"].tolist() == ["best", "worse"]
    assert table.index[0] == "calendar"
    assert (
        moving["prior_predictive"]["customers_by_renewals"].sum("renewals_class") == MONTHS * COHORT
    ).all()


def test_who_has_given_notice_is_active_to_the_end_for_a_calendar():
    contracts = dated("month", r3="2024-06-29")
    lost = contracts.isel(customer=3)
    assert [int(lost[name]) for name in ("renewals", "active", "periods", "periods_ago")] == [3, 0, 4, 3]
    told = placed(contracts).isel(customer=3)
    assert (int(told["active"]), int(told["periods_ago"])) == (1, 3)
    with pytest.raises(clv.InputError, match="'renewals' is above periods_ago, or not equal to it"):
        clv.customers.from_contracts(pd.DataFrame({"renewals": [3], "active": [1], "periods_ago": [4]}))


TENURES = pd.DataFrame({"renewals": [0, 1, 2, 0], "active": [0, 1, 1, 1]})


@pytest.mark.parametrize(
    ("contracts", "given", "message"),
    [
        (TENURES, {}, "of 1 lost ones of 4 rows it is not known: there is no column 'periods'"),
        ([90, 70, 60], {}, "All contracts began 2 periods ago.*what tenure does"),
        ({"a": [9, 7, 5], "b": [8, 7]}, {"calendar": Calendar(season=2)}, "leave season=2 out of Calendar"),
        ({"a": [9, 7, 5], "b": [8, 7]}, {"calendar": Calendar(period_days=30)}, "leave period_days=30 out"),
        ({"a": [9, 7, 5], "b": [8, 7]}, {"method": "mode"}, "cannot fit it"),
    ],
)
def test_what_is_refused(contracts, given, message):
    if not isinstance(contracts, pd.DataFrame):
        contracts = clv.customers.from_survivors(contracts)
    told = {"calendar": Calendar(), "method": "nuts"} | given
    with pytest.raises(clv.InputError, match=message):
        clv.fit("beta_discrete_weibull", contracts, seed=1, **told)


def test_verbs_that_do_not_go_by_it_and_other_bases_are_refused(moving, world):
    with pytest.raises(clv.InputError, match=r"clv.predict_renewals and clv.expected.renewals do"):
        clv.expected.residual_renewals(moving, 0.1)
    with pytest.raises(clv.InputError, match="25 renewals is older than the calendar, which knows 24"):
        clv.expected.renewals(moving, 2, tenure=25)
    with pytest.raises(clv.InputError, match="calendar ends on no known day.*until 2025-01-31"):
        clv.predict_renewals(moving, world[0].assign_attrs(until="2025-01-31"), 2, seed=1)
    donors = pd.DataFrame({"frequency": [0, 1], "recency": [0, 1], "opportunities": [2, 2]})
    with pytest.raises(clv.InputError, match="no longer told by frequency and recency"):
        clv.fit("bg_bb", donors, calendar=Calendar(), seed=1)
