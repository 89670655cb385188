"""Groups with a calendar each: the likelihood from its definition, what a fit finds, and what is forecast."""

from collections import namedtuple
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.distributions.paths.group_clock import GroupClock
from bayes_clv.families.contract import new_customer
from bayes_clv.families.group_time import PLACE
from bayes_clv.families.registry import family
from bayes_clv.inference import Calendar
from bayes_clv.inference.calendar import learn_calendar
from bayes_clv.inference.clock import Clock
from bayes_clv.inference.data import distinct_rows
from bayes_clv.inference.graph import _log_likelihood, build_model, rows_of_terms
from bayes_clv.inference.pointwise import pointwise_log_likelihood
from bayes_clv.inference.pooled import POOLED, GroupClocks, LearnedGroups, learn_groups
from bayes_clv.predictions.parameters import new_customers, parameters
from bayes_clv.predictions.splitting import variance_of_total
from bayes_clv.schema import InputError

PARAMETERS = {"r": 0.5, "alpha": 7.0, "a": 0.8, "b": 2.0}


def with_channel(customers, channel):
    return clv.with_columns(customers, pd.Series(channel, customers["customer"].values, name="channel"))


@pytest.fixture(scope="module")
def customers():
    """One in four of CDNOW, in three channels."""
    base = clv.summarize(clv.load_cdnow(), until="1997-09-30", also=("periods", "purchase_times"))
    base = base.isel(customer=slice(0, 2357, 4)).drop_vars("day_purchases")
    return with_channel(base, np.array(["mail", "shop", "web"])[np.arange(590) % 3])


def log_likelihood(name, customers, calendar, log_rate, groups=None):
    """Return it at a log of g (period,), or (group, period) of groups."""
    import pytensor.tensor as pt

    record, names = family(name), []
    if groups is not None:
        customers, names = customers.assign({PLACE: ("customer", groups.place(customers))}), [PLACE]
        calendar = replace(calendar, counts=groups.counts.ravel())
    kind = Clock if groups is None else GroupClocks
    flat = pt.as_tensor(np.ravel(log_rate))
    clock = kind(calendar, flat, pt.exp(flat))
    columns = {each: customers[each].to_numpy().astype(float) for each in (*record.observed, *names)}
    rows, count = distinct_rows(columns)
    params = {each: pt.as_tensor(PARAMETERS[each]) for each in record.parameters}
    total = _log_likelihood(record, params, rows_of_terms(record, rows, count, clock), clock)
    return float((total + clock.log_density()).eval(mode="FAST_COMPILE"))


@pytest.mark.parametrize("name", POOLED)
def test_the_likelihood_is_the_sum_of_the_groups(name, customers):
    """Each group's customers alone with their own calendar, as one calendar for all of them has it."""
    calendar = learn_calendar(Calendar(), name, customers)
    groups = learn_groups("channel", name, customers, calendar)
    assert groups.labels == ("mail", "shop", "web")
    assert np.array_equal(groups.counts.sum(axis=0), calendar.counts)
    log_rate = np.random.default_rng(1).uniform(-1, 1, groups.counts.shape)
    by_hand = sum(
        log_likelihood(
            name,
            customers.isel(customer=groups.place(customers) == j),
            replace(calendar, counts=groups.counts[j]),
            log_rate[j],
        )
        for j in range(3)
    )
    found = log_likelihood(name, customers, calendar, log_rate, groups)
    assert found == pytest.approx(by_hand, abs=1e-8)
    # Where all groups have one calendar it is that of all.
    alike = np.tile(log_rate[0], (3, 1))
    one = log_likelihood(name, customers, calendar, log_rate[0])
    assert log_likelihood(name, customers, calendar, alike, groups) == pytest.approx(one, abs=1e-8)


def test_at_a_scale_of_zero_the_posterior_is_that_of_one_calendar(customers):
    """Its log density differs from it by that of what is then unused, whatever the common part is."""
    record = family("mbg_nbd")
    calendar = learn_calendar(Calendar(), "mbg_nbd", customers)
    groups = learn_groups("channel", "mbg_nbd", customers, calendar)
    columns = {each: customers[each].to_numpy().astype(float) for each in record.observed}
    place = groups.place(customers).astype(float)
    from bayes_clv.families.quantities import Prior, resolve, starting_point

    def model(pooled):
        rows, count = distinct_rows(columns | ({} if pooled is None else {PLACE: place}))
        scale = record.scale(rows, count)
        quantities = dict(record.quantities) | calendar.quantities()
        quantities |= {} if pooled is None else pooled.quantities()
        priors = resolve(quantities, {}, scale)
        if pooled is not None:
            priors["calendar_group_sd"] = Prior("Fixed", value=0.0)
        start = starting_point(record.quantities, scale)
        built = build_model(record, rows, count, priors, start, calendar=calendar, pooled=pooled).graph
        return built, built.compile_logp()

    (one, of_one), (many, of_many) = model(None), model(groups)
    rng, point = np.random.default_rng(2), one.initial_point()
    z = rng.normal(0, 1, many.initial_point()["calendar_group_z"].shape)

    def moved():
        return {name: value + 0.1 * rng.normal(size=np.shape(value)) for name, value in point.items()}

    kept = ("calendar_half_life_log__",)
    differences = []
    for _ in range(3):
        at = {name: point[name] if name in kept else value for name, value in moved().items()}
        differences.append(of_many(at | {"calendar_group_z": z}) - of_one(at))
    assert np.ptp(differences) < 1e-8


@pytest.fixture(scope="module")
def world():
    """Two channels whose rates rise and fall against each other, by a factor of 2 over 52 weeks; 13 more to come."""
    rng, size, weeks, past = np.random.default_rng(3), 600, 65, 52
    season = 0.7 * np.sin(2 * np.pi * (np.arange(weeks) + 0.5) / 52)
    rows = []
    for i in range(size):
        sign = 1 if i % 2 else -1
        pace = np.repeat(np.exp(sign * season), 7) / 7
        came = int(rng.integers(0, 100))
        bought = np.flatnonzero(rng.random(weeks * 7) < rng.gamma(1.0, 0.25) * pace)
        days = np.unique(np.append(bought[bought > came], came))
        rows += [(f"c{i:03}", day) for day in days.tolist()]
    orders = pd.DataFrame(rows, columns=["customer_id", "day"])
    start = pd.Timestamp("2020-01-01")
    orders["date"] = start + pd.to_timedelta(orders.pop("day"), unit="D")
    end = [(start + pd.Timedelta(days=7 * each - 1)).date() for each in (past, weeks)]
    until = {"until": str(end[0]), "holdout_until": str(end[1])}
    base = clv.summarize(orders, **until, spend=None, also=("periods", "purchase_times"))
    channel = np.where([int(each[1:]) % 2 for each in base["customer"].values], "up", "down")
    return with_channel(base, channel), season[:past].reshape(-1, 2).mean(axis=1)


@pytest.fixture(scope="module")
def fitted(world):
    return clv.fit(
        "nbd",
        world[0],
        calendar=Calendar(period_days=14, by="channel"),
        method="laplace",
        draws=400,
        chains=1,
        seed=1,
        include=["log_likelihood", "posterior_predictive"],
    )


def test_two_groups_with_opposite_seasons_are_found(world, fitted):
    """Their difference of log rates, which no common calendar has, follows 2 x the season."""
    season = world[1]
    rate = np.log(fitted["posterior"]["calendar_group_rate"])
    apart = (rate.sel(calendar_group="up") - rate.sel(calendar_group="down")).isel(chain=0).to_numpy()
    apart -= apart.mean(axis=1, keepdims=True)
    true = 2 * (season - season.mean())
    assert np.corrcoef(apart.mean(axis=0), true)[0, 1] > 0.9
    low, high = np.quantile(apart, [0.05, 0.95], axis=0)
    inside = ((low < true) & (true < high)).mean()
    # 90 % of 26 fortnights, which go together: a memory of ten weeks leaves some ten of its own, so that
    # three errors are 3 sqrt(.9 x .1 / 10) = .28.
    assert inside > 0.9 - 0.28
    assert clv.inference.diagnostics(fitted)["passed"]


def test_the_simulation_has_the_expectations_of_the_closed_forms(world, fitted):
    """Of each group's total over 13 weeks, within 4 Monte Carlo errors; and a customer alone is as in company."""
    customers = world[0]
    future = clv.predict(fitted, customers, "13 weeks", keep_draws=True, seed=2)
    expected = clv.expected.purchases(fitted, customers, "13 weeks")
    drawn = future["purchases"].isel(chain=0).to_numpy()
    closed = expected.isel(chain=0).to_numpy()
    for label in ("up", "down"):
        own = customers["channel"].values == label
        # Draw by draw: given its parameters and calendar, only the customers' chance is left.
        apart = drawn[:, own].sum(axis=1) - closed[:, own].sum(axis=1)
        assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(apart.size)
    some = customers.isel(customer=[5, 0, 7])
    alone = clv.predict(fitted, some, "13 weeks", seed=2)
    for name in ("purchases_mean", "purchases_expected", "probability_alive"):
        np.testing.assert_allclose(alone[name], future[name].isel(customer=[5, 0, 7]), rtol=1e-12)
    scores = clv.evaluate(future, customers, buying=fitted)
    assert np.isfinite(float(scores["crps"].isel(dict.fromkeys(scores["crps"].dims, 0))))


def of_one_calendar(fitted):
    """Return the posterior without its groups, and with groups that are all as the calendar of all is."""
    one, alike = fitted.copy(), fitted.copy()
    del one.attrs["calendar_groups"]
    drawn = fitted["posterior"].to_dataset()
    common, _ = xr.broadcast(drawn["calendar_rate"], drawn["calendar_group_rate"])
    alike["posterior"] = xr.DataTree(
        drawn.assign(calendar_group_rate=common, calendar_group_sd=xr.zeros_like(drawn["calendar_group_sd"]))
    )
    return one, alike


def test_groups_that_have_one_calendar_are_forecast_as_with_that_of_all(world, fitted):
    """The same posterior without its groups, and with groups that are as all are, to the last digits."""
    customers, (one, alike) = world[0], of_one_calendar(fitted)
    for verb, arguments in (
        (clv.expected.alive, ()),
        (clv.expected.purchases, ("13 weeks",)),
        (clv.expected.survival, ("13 weeks",)),
        (clv.expected.residual, (0.1,)),
        (clv.expected.pmf, ("13 weeks",)),
    ):
        np.testing.assert_allclose(
            verb(alike, customers, *arguments), verb(one, customers, *arguments), rtol=1e-10
        )
    found, known = (
        clv.predict(tree, customers, "13 weeks", periods=2, keep_draws=True, seed=2) for tree in (alike, one)
    )
    assert np.array_equal(found["purchases"], known["purchases"])
    assert np.array_equal(found["purchases_period_total"], known["purchases_period_total"])
    simulations = [clv.simulate(tree, customers, "13 weeks", draws=50, seed=2) for tree in (alike, one)]
    assert simulations[0].names == simulations[1].names
    names = ["time_to_purchase", "purchases", "time_since_leaving"]
    drawn = np.empty((2, 3, customers.sizes["customer"], 50))
    for simulation, found in zip(simulations, drawn, strict=True):
        for places, block in simulation.blocks(names):
            found[:, places] = [block[name] for name in names]
    np.testing.assert_allclose(*drawn, rtol=1e-10)


def test_what_cannot_be_had_is_refused_in_words(world, fitted, customers):
    base = world[0]
    other = base.assign(channel=("customer", np.array(["post", *base["channel"].values[1:]], dtype=object)))
    with pytest.raises(InputError, match="1 of .* has not seen, such as 'post'; it knows down, up"):
        clv.predict(fitted, other, "13 weeks", seed=1)
    with pytest.raises(InputError, match=r"does not go by a calendar of groups \(channel\) yet"):
        clv.targeting.churn_alarms(fitted, base, threshold=0.5)
    calendar = Calendar(by="channel")

    def fit(name, customers, calendar=calendar, **other):
        return clv.fit(name, customers, calendar=calendar, method="laplace", seed=1, **other)

    with pytest.raises(InputError, match="has no calendar by group: bg_nbd, mbg_nbd, nbd have"):
        fit("pareto_nbd", base)
    with pytest.raises(InputError, match="All customers have 'up'"):
        fit("nbd", base.isel(customer=base["channel"].values == "up").drop_vars("day_purchases"))
    with pytest.raises(InputError, match="needs the repeat purchases of each group"):
        fit("nbd", base.drop_vars(["purchase_times", "purchase_start"]))
    with pytest.raises(InputError, match="must name one column"):
        fit("nbd", base, Calendar(by=["channel"]))
    with pytest.raises(InputError, match="30 are the most"):
        fit("nbd", base.assign(channel=("customer", base["customer"].values)))
    alone = np.where(np.arange(base.sizes["customer"]) == 3, "fax", base["channel"].values)
    with pytest.raises(InputError, match="1 of 3 labels in 'channel' have one customer, such as 'fax'"):
        fit("nbd", base.assign(channel=("customer", alone)))
    with pytest.raises(InputError, match="'prior_predictive' is not there"):
        fit("nbd", base, include=["prior_predictive"])


def test_groups_are_read_again_from_a_file(fitted, tmp_path):
    again = clv.inference.load(clv.inference.save(fitted, tmp_path / "buying.nc"))
    text = again.attrs["calendar_groups"]
    assert LearnedGroups.from_json(text) == LearnedGroups("channel", ("down", "up"))


def test_times_of_a_row_are_turned_by_the_clock_of_its_group():
    """Of purchases and of the customers' own numbers; group 1 runs twice as fast as the calendar, group 0 as it."""
    outer = np.arange(-2.0, 5.0)
    clock = GroupClock(np.stack([np.tile(k * outer, (2, 1)) for k in (1.0, 2.0)]), outer, np.array([1, 0, 1]))
    buyers = namedtuple("Buyers", "draw customer")(np.array([0, 1, 0]), np.array([0, 1, 2]))
    batch = namedtuple("Batch", "buyer time")(np.array([0, 1, 2]), np.array([3.0, 3.0, 12.0]))
    clock.turn(buyers, np.array([0, 1, 2]), batch, 3)
    assert batch.time.tolist() == [1.5, 3.0, 6.0]
    own = namedtuple("Own", "left first")(np.full((3, 2), 3.0), np.empty((0, 2)))
    clock.turn_own(np.array([0, 1, 2]), own)
    assert own.left.tolist() == [[1.5] * 2, [3.0] * 2, [1.5] * 2]
    assert clock.of(np.array([1, 2])).elapsed(np.array([0, 1]), np.ones(2)).tolist() == [[1.0] * 2, [2.0] * 2]


def test_the_likelihood_of_each_customer_is_that_of_its_group(customers):
    """Row by row it is that of the group alone with its own calendar, and their sum the whole likelihood."""
    some = customers.isel(customer=slice(0, 60))
    calendar = learn_calendar(Calendar(), "bg_nbd", some)
    groups = learn_groups("channel", "bg_nbd", some, calendar)
    record, rng = family("bg_nbd"), np.random.default_rng(4)
    rate = np.exp(rng.uniform(-1, 1, (1, 2, *groups.counts.shape)))
    drawn = xr.Dataset(
        {
            name: (("chain", "draw"), [[PARAMETERS[name], 1.1 * PARAMETERS[name]]])
            for name in record.parameters
        }
        | {
            "calendar_group_rate": (("chain", "draw", "calendar_group", "calendar_period"), rate),
            "calendar_rate": (("chain", "draw", "calendar_period"), rate[:, :, 0]),
        },
        coords={"chain": [0], "draw": [0, 1]},
    )
    place = groups.place(some)
    rows = {each: some[each].to_numpy().astype(float) for each in (*record.observed, "purchase_start")}
    times = some["purchase_times"].to_numpy()
    whole = pointwise_log_likelihood(
        record, drawn, rows | {PLACE: place.astype(float)}, calendar=calendar, groups=groups, times=times
    )["frequency"]
    for j in range(3):
        own = {name: column[place == j] for name, column in rows.items()}
        alone = drawn.assign(calendar_rate=(("chain", "draw", "calendar_period"), rate[:, :, j]))
        found = pointwise_log_likelihood(record, alone, own, calendar=calendar, times=times)["frequency"]
        np.testing.assert_allclose(whole.to_numpy()[..., place == j], found, rtol=1e-10)
    total = log_likelihood("bg_nbd", some, calendar, np.log(rate[0, 0]), groups)
    assert float(whole[0, 0].sum()) == pytest.approx(total, rel=1e-10)


def test_it_can_be_compared_with_one_calendar_for_all(world, fitted):
    """Two channels with opposite seasons: a calendar each predicts customers better, beyond what chance makes."""
    one = clv.fit(
        "nbd",
        world[0],
        calendar=Calendar(period_days=14),
        method="laplace",
        draws=200,
        seed=1,
        include=["log_likelihood"],
    )
    table = clv.compare({"own": fitted, "one": one})
    assert table.index[0] == "own"
    assert table.loc["one", "elpd_diff"] < -4 * table.loc["one", "dse"]
    # Replicated bases: every class of the counts is within the 99 % band, of 11 classes less than one is outside.
    replicated = fitted["posterior_predictive"]["customers_by_frequency"]
    low, high = replicated.quantile([0.005, 0.995], ["chain", "draw"]).to_numpy()
    seen = fitted["observed_data"]["customers_by_frequency"].to_numpy()
    assert ((seen >= low) & (seen <= high)).sum() >= seen.size - 1


def test_newcomers_are_of_a_group_and_have_its_calendar(world, fitted):
    """Their expected purchases are those of a history of nothing in the group, and cohorts differ by it."""
    known = parameters(fitted, "buying", calendar=True, grouped=True)
    customers = world[0]
    found = {}
    for label in ("up", "down"):
        (one,) = new_customers({"channel": label}, known)
        one = one.until(13.0)
        found[label] = one.forecast.purchases(13.0, new_customer(one.forecast.history), one.values)
        first = customers.isel(customer=[int(np.flatnonzero(customers["channel"].values == label)[0])])
        nothing = first.assign({name: ("customer", [0.0]) for name in ("frequency", "recency", "T")})
        placed = known.placed(nothing)
        group = known.of(placed).until(13.0)
        columns = {name: placed[name].to_numpy()[:, None] for name in group.forecast.history}
        np.testing.assert_allclose(
            found[label], group.forecast.purchases(13.0, columns, group.values)[0], rtol=1e-10
        )
    assert not np.allclose(found["up"], found["down"])
    with pytest.raises(InputError, match="lacks 'channel'"):
        new_customers({}, known)
    with pytest.raises(InputError, match="has not seen, such as 'post'"):
        new_customers({"channel": "post"}, known)


def test_tracking_and_the_split_of_variance_go_by_it(world, fitted):
    """With groups that have one calendar they are those of that calendar, to the last digits."""
    customers, (one, alike) = world[0], of_one_calendar(fitted)
    tracked = [clv.scoring.simulate_tracking(tree, customers, seed=3, draws=60) for tree in (alike, one)]
    np.testing.assert_array_equal(*(each["purchases"].to_numpy() for each in tracked))
    shares = []
    for tree in (alike, one, fitted):
        future = clv.predict(tree, customers, "13 weeks", seed=2)
        shares.append(variance_of_total(tree, customers, future, draws=60))
    assert shares[0] == pytest.approx(shares[1], rel=1e-9)
    assert sum(shares[2].values()) == pytest.approx(1)
    # Its own weeks: the true totals of the past lie in the bands of 90 %, of 65 weeks at least .9 - 3 sqrt(.09 / 65).
    own = clv.scoring.simulate_tracking(fitted, customers, seed=3, draws=200)
    low, high = own["purchases"].quantile([0.05, 0.95], ["chain", "draw"]).to_numpy()
    seen = own["observed"].to_numpy()
    assert ((low <= seen) & (seen <= high)).mean() > 0.78
