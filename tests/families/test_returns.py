"""Customers who come back, BG/NBD and MBG/NBD with sleep: forecasts, futures, and what is learned from data.

Means of futures are held to SIGMAS standard errors of their draws, closed forms to each other within their error.
"""

import json
import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.distributions.paths import SLEEP, Own, State, Who, futures, room
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.families.quantities import Prior
from bayes_clv.families.registry import family

SIGMAS = 4.5
FAMILIES = ("bg_nbd_returns", "mbg_nbd_returns")
HISTORIES = ((), (5.0,), (3.0, 9.0, 31.0), (1.0, 1.5, 2.0, 2.2, 2.5, 3.0, 3.1, 3.3))
AGE, HORIZON = 39.0, 26.0
POINTS = {
    "all come back": {"r": 0.45, "alpha": 4.3, "a": 1.27, "b": 1.88, "nu": 0.02, "w": 0.0},
    "some never": {"r": 0.7, "alpha": 6.0, "a": 0.8, "b": 1.6, "nu": 0.1, "w": 0.3},
}
EACH = [(name, point) for name in FAMILIES for point in POINTS]


def bound(name, histories=HISTORIES):
    """Return the family over these customers and their columns."""
    times = np.concatenate([np.array(each, dtype=float) for each in histories])
    size = np.array([float(len(each)) for each in histories])
    columns = {
        "frequency": size,
        "recency": np.array([each[-1] if each else 0.0 for each in histories]),
        "T": np.full(size.size, AGE),
        "purchase_start": np.cumsum(size) - size,
    }
    return family(name).of(xr.Dataset({"purchase_times": ("repeat_purchase", times)})), columns


def drawn(name, point, horizon=HORIZON, draws=20_000, asked=Own._fields, rows=(0, 1, 2, 3)):
    """Return futures of some of HISTORIES: own numbers asked for, counts, and times of purchases."""
    record, columns = bound(name)
    some = {each: column[list(rows), None] for each, column in columns.items()}
    params = {each: np.full(draws, value) for each, value in POINTS[point].items()}
    numbers = dict(zip(SLEEP.needs, record.forecast.state(some, params), strict=True))
    none = np.empty((0, draws))
    state = State(
        alive=none,
        phases=none,
        z=none,
        silence=some["T"] - some["recency"],
        horizon=np.full((len(rows), 1), horizon),
        **numbers,
    )
    own = Own(*(np.empty((len(rows) if each in asked else 0, draws)) for each in Own._fields))
    space = room(len(rows), draws)
    keys = customer_keys(rows, 1)
    counts, times = np.zeros((len(rows), draws)), {}
    for filled in futures(SLEEP, state, Who(np.arange(len(rows), dtype=np.uint32), keys), own, space):
        for n in range(filled):
            buyer = space.batch.buyer[n]
            at = rows[space.buyers.customer[buyer]], space.buyers.draw[buyer], space.batch.number[n]
            times[at] = space.batch.time[n]
    size = space.buyers.begin[len(rows)]
    counts[space.buyers.customer[:size], space.buyers.draw[:size]] = space.buyers.count[:size]
    return own, counts, times


def assert_means(sample, expected):
    error = sample.std(axis=1) / math.sqrt(sample.shape[1]) + 1e-9
    assert (np.abs(sample.mean(axis=1) - expected) <= SIGMAS * error).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_record_is_a_family(name):
    clv.families.check(family(name))


@pytest.mark.parametrize(("name", "point"), EACH)
def test_closed_forms_agree_with_each_other(name, point):
    record, columns = bound(name)
    forecast, params = record.forecast, {each: np.array(value) for each, value in POINTS[point].items()}
    expected = forecast.purchases(HORIZON, columns, params)
    tails = forecast.at_least(np.arange(1, 250), HORIZON, columns, params)
    np.testing.assert_allclose(tails.sum(axis=0), expected, rtol=1e-9)
    # Each count's probability is of the coarse rule, and those of so many or more of the fine one.
    pmf = forecast.pmf(np.arange(249), HORIZON, columns, params)
    np.testing.assert_allclose(pmf[0], 1 - tails[0], atol=2e-6)
    np.testing.assert_allclose(pmf[1:], tails[:-1] - tails[1:], atol=2e-6)
    np.testing.assert_allclose(pmf.sum(axis=0), 1.0, atol=2e-7)
    np.testing.assert_allclose((np.arange(249)[:, None] * pmf).sum(axis=0), expected, rtol=1e-5)
    awake, asleep, gone = forecast.states(columns, params)
    np.testing.assert_allclose(awake + asleep + gone, 1.0, rtol=1e-12)
    np.testing.assert_allclose(forecast.alive(columns, params), awake + asleep, rtol=1e-12)
    # Purchases by time, integrated by parts, are the discounted ones.
    time = np.linspace(0.0, 400.0, 8_001)
    curve = forecast.purchases(time, columns, params)
    worth = np.exp(-0.05 * time)[:, None]
    by_parts = worth[-1] * curve[-1] + 0.05 * np.trapezoid(worth * curve, time, axis=0)
    np.testing.assert_allclose(forecast.discounted(400.0, 0.05, columns, params), by_parts, rtol=1e-5)
    survival = forecast.survival(np.array([0.0, HORIZON, math.inf]), columns, params)
    assert (np.diff(survival, axis=0) <= 0).all()
    assert (survival[2] == (1.0 if POINTS[point]["w"] == 0 else 0.0)).all()
    # Each purchase is the last with the probability p w, so that all of them are finite where 1 / p has a mean.
    assert np.isinf(forecast.purchases(math.inf, columns, params)).all()
    narrow = params | {"a": np.array(3.0), "w": np.array(0.4)}
    endless = forecast.purchases(math.inf, columns, narrow)
    np.testing.assert_allclose(forecast.purchases(1e13, columns, narrow), endless, rtol=1e-3)


@pytest.mark.parametrize(("name", "point"), EACH)
def test_a_summary_says_the_same_to_six_digits(name, point):
    record, columns = bound(name)
    forecast, params = record.forecast, {each: np.array(value) for each, value in POINTS[point].items()}
    expected = (
        forecast.alive(columns, params),
        *forecast.latent_means(columns, params),
        forecast.purchases(HORIZON, columns, params),
        *forecast.states(columns, params),
    )
    for found, value in zip(forecast.summary(HORIZON, columns, params), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "point"), EACH)
def test_futures_have_the_closed_forms_means(name, point):
    record, columns = bound(name)
    forecast, params = record.forecast, {each: np.array(value) for each, value in POINTS[point].items()}
    own, counts, _ = drawn(name, point)
    assert_means(counts, forecast.purchases(HORIZON, columns, params))
    for n in range(3):
        assert_means((counts == n).astype(float), forecast.pmf(n, HORIZON, columns, params))
    for time in (3.0, 40.0, 400.0):
        assert_means((own.first > time).astype(float), forecast.pmf(0, time, columns, params))
    rate, coin = forecast.latent_means(columns, params)
    assert_means(own.rate, rate)
    assert_means(own.leaving, coin)
    assert_means(own.alive, forecast.alive(columns, params))
    assert_means((own.left > HORIZON).astype(float), forecast.survival(HORIZON, columns, params))
    # Own numbers and purchases belong to the same future: those silent for longer are as such a history says.
    later = columns | {"T": columns["T"] + 20.0}
    for sample, expected in zip((own.rate, own.leaving), forecast.latent_means(later, params), strict=True):
        for row, silent in enumerate(own.first > 20.0):
            assert_means(sample[row][silent][None], expected[row])


def test_a_shorter_horizon_is_the_beginning_and_nothing_asked_changes_a_number():
    long_own, long_counts, long_times = drawn("mbg_nbd_returns", "some never", 60.0, draws=3_000)
    _, counts, times = drawn("mbg_nbd_returns", "some never", 20.0, draws=3_000, asked=())
    assert ((counts > 0) == (long_own.first <= 20.0)).all()
    assert (counts <= long_counts).all()
    both = set(times) & set(long_times)
    assert len(both) > 50
    assert all(times[each] == long_times[each] for each in both)
    alone, _, _ = drawn("mbg_nbd_returns", "some never", 5.0, draws=1_000, rows=(2,))
    np.testing.assert_array_equal(alone.rate[0], long_own.rate[2, :1_000])
    np.testing.assert_array_equal(alone.leaving[0], long_own.leaving[2, :1_000])


@pytest.fixture(scope="module")
def cdnow():
    return clv.summarize(clv.load_cdnow(), until="1997-09-30", also=("purchase_times",))


@pytest.fixture(scope="module")
def returning(cdnow):
    return clv.fit("mbg_nbd", cdnow, returns=True, method="laplace", draws=250, seed=1)


def value(posterior, name):
    return float(posterior["posterior"][name].mean())


@pytest.mark.parametrize(
    ("name", "log_likelihood", "mean_sleep"), [("mbg_nbd", -9566.247, 109.5), ("bg_nbd", -9558.203, 59.8)]
)
def test_maximum_likelihood_on_cdnow(cdnow, name, log_likelihood, mean_sleep):
    """Recomputed; the log likelihood beside it is that of a plain grid at these points (tests/distributions).

    The static families have -9582.14 and -9582.43.
    """
    found = clv.fit(name, cdnow, returns=True, method="mode", priors="flat", seed=1)
    assert json.loads(found.attrs["diagnostics"])["log_density"] == pytest.approx(log_likelihood, abs=2e-3)
    assert value(found, "mean_sleep") == pytest.approx(mean_sleep, rel=2e-3)
    assert value(found, "never_returns") == 0


def test_cdnow_by_laplace_and_who_buys_at_all(cdnow, returning):
    later = clv.summarize(clv.load_cdnow(), until="1998-06-30")["frequency"].sel(customer=cdnow["customer"])
    bought = (later - cdnow["frequency"]).to_numpy() > 0
    scores = {}
    static = clv.fit("mbg_nbd", cdnow, method="laplace", draws=250, seed=1)
    for returns, found in ((False, static), (True, returning)):
        chance = clv.expected.active(found, cdnow, 39).to_numpy()
        scores[returns] = -np.mean(np.where(bought, np.log(chance), np.log1p(-chance)))
        few = chance < 0.1
        # Of those whom the family without returns writes off, two in five bought; here there are none such.
        assert few.sum() == (0 if returns else pytest.approx(50, abs=10))
    assert scores[True] < 0.99 * scores[False]
    future = clv.predict(returning, cdnow.isel(customer=slice(0, 60)), 39, seed=1)
    states = future["probability_awake"] + future["probability_asleep"] + future["probability_gone"]
    np.testing.assert_allclose(states, 1.0, rtol=1e-9)
    assert (future["probability_gone"] == 0).all()
    assert returning.attrs["family"] == "mbg_nbd_returns"


def test_a_future_is_scored_by_the_closed_form_of_its_posterior(returning):
    found = returning.isel(draw=slice(0, 50))
    watched = clv.summarize(
        clv.load_cdnow(), until="1997-09-30", holdout_until="1998-06-30", also=("purchase_times",)
    ).isel(customer=slice(0, 120))
    future = clv.predict(found, watched, 39, seed=1)
    scores = clv.scoring.score(future, watched, buying=found, baselines=()).isel(forecast=0)
    chance = clv.expected.active(found, watched, 39).to_numpy()
    np.testing.assert_allclose(scores["retention_predicted"], chance, atol=1e-5)
    other = returning.isel(draw=slice(50, 100))
    with pytest.raises(clv.InputError, match="not simulated from this posterior"):
        clv.scoring.score(future, watched, buying=other, baselines=())


# In short: the ranks of mbg_nbd_returns in tests/studies/test_calibration_changing_study.py.
@pytest.mark.full
@pytest.mark.parametrize("name", ["bg_nbd", "mbg_nbd"])
def test_simulated_truth_is_found(name):
    truth = {"r": 1.2, "alpha": 6.0, "a": 1.5, "b": 4.0, "nu": 0.05, "w": 0.0}
    record = family(f"{name}_returns")
    rng = np.random.default_rng(11)
    design = {"T": np.full(1_500, 80.0)}
    who, when = record.forecast.times(rng, design, truth)
    table = record.simulate(np.random.default_rng(11), design, truth)
    customers = clv.customers.from_table(
        pd.DataFrame({each: table[each] for each in ("frequency", "recency", "T")}).assign(
            customer_id=np.arange(1_500).astype(str), purchase_times=[when[who == i] for i in range(1_500)]
        )
    )
    found = clv.fit(name, customers, returns=True, method="laplace", draws=250, seed=1)
    for each in ("r", "alpha", "a", "b", "nu"):
        draws = np.log(found["posterior"][each].to_numpy())
        assert abs(draws.mean() - math.log(truth[each])) < 3.5 * draws.std(), each


def test_the_share_that_never_returns_is_an_option():
    quantity = family("bg_nbd_returns").quantities["never_returns"]
    assert quantity.prior == Prior("Fixed", value=0.0)
    from bayes_clv.families.quantities import resolve

    quantities = family("bg_nbd_returns").quantities
    scale = {"population_purchase_rate": 0.1, "mean_sleep": 39.0}
    assert resolve(quantities, "flat", scale)["never_returns"] == quantity.prior
    assert resolve(quantities, {"never_returns": 0}, scale)["never_returns"] == quantity.prior
    free = Prior("Beta", alpha=1, beta=1)
    assert resolve(quantities, {"never_returns": free}, scale)["never_returns"] == free
    with pytest.raises(clv.InputError, match="below 1"):
        resolve(quantities, {"never_returns": 1.0}, scale)


def test_what_cannot_be_fitted_is_refused_with_a_reason(cdnow):
    with pytest.raises(clv.InputError, match="drift=True and returns=True"):
        clv.fit("mbg_nbd", cdnow, drift=True, returns=True, seed=1)
    with pytest.raises(clv.InputError, match="it is there of bg_nbd, mbg_nbd"):
        clv.fit("nbd", cdnow, returns=True, seed=1)
    with pytest.raises(clv.InputError, match="purchase_times"):
        clv.fit("mbg_nbd", clv.summarize(clv.load_cdnow(), until="1997-09-30"), returns=True, seed=1)


def bought_from_awake(rng, rate, coin, nu, w):
    """Return purchases within HORIZON of customers who are awake now, simulated one after the other."""
    time, count, here = np.zeros(rate.shape), np.zeros(rate.shape), np.ones(rate.shape, dtype=bool)
    while here.any():
        time += rng.standard_exponential(rate.shape) / rate
        here &= time <= HORIZON
        count += here
        u = rng.random(rate.shape)
        here &= u >= coin * w
        time += np.where(u < coin, rng.standard_exponential(rate.shape) / nu, 0.0)
    return count


@pytest.mark.parametrize(("name", "point"), EACH)
def test_who_is_asleep_wakes_and_what_that_is_worth(name, point):
    record, columns = bound(name)
    forecast, params = record.forecast, {each: np.array(value) for each, value in POINTS[point].items()}
    nu, w = POINTS[point]["nu"], POINTS[point]["w"]
    _, asleep, _ = forecast.states(columns, params)
    own, counts, _ = drawn(name, point)
    assert_means(own.asleep, asleep)
    assert ((own.asleep == 0) | (own.alive == 1)).all()
    np.testing.assert_allclose(
        forecast.waking(HORIZON, columns, params), -math.expm1(-nu * HORIZON), rtol=1e-12
    )
    # The same customers' draws, woken now, less what they buy asleep.
    woken = bought_from_awake(np.random.default_rng(2), own.rate, own.leaving, nu, w)
    assert_means(own.asleep * (woken - counts), forecast.woken(HORIZON, 0.0, columns, params))
    assert (
        forecast.woken(HORIZON, 0.1, columns, params) <= forecast.woken(HORIZON, 0.0, columns, params)
    ).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_many_histories_at_once_are_expected_to_buy_what_each_is(name):
    """Of several histories with as many purchases a table is read, of one alone the sum is made: six digits."""
    rng = np.random.default_rng(4)
    same = [tuple(np.sort(rng.uniform(0.5, 38.0, n))) for n in (0, 3) for _ in range(9)]
    params = {each: value * np.exp([0.0, 0.3]) for each, value in POINTS["some never"].items()}
    for horizon in (0.5, HORIZON, 500.0):
        together = _bought(name, same, horizon, params)
        alone = [_bought(name, [each], horizon, params)[0] for each in same]
        np.testing.assert_allclose(together, alone, rtol=3e-6)
    # Parameters of their own: no table serves two histories.
    own = {each: value * np.exp(0.1 * rng.standard_normal((18, 2))) for each, value in params.items()}
    together = _bought(name, same, HORIZON, own)
    alone = [
        _bought(name, [history], HORIZON, {each: value[i : i + 1] for each, value in own.items()})[0]
        for i, history in enumerate(same)
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def _bought(name, histories, horizon, params):
    record, columns = bound(name, histories)
    rows = {each: column[:, None] for each, column in columns.items()}
    return record.forecast.summary(horizon, rows, params)[3]
