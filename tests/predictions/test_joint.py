"""Joint draws: the same law as the engine's futures, and each draw's numbers belong together."""

import numpy as np
import pytest
from numba import njit

import bayes_clv as clv
from bayes_clv.distributions.poisson.silence import log_integral
from bayes_clv.distributions.streams import customer_keys, uniforms
from bayes_clv.predictions.joint_paths import LAWS, _leaving, _left_after, draw_joint

MONEY = {"horizon": "26 weeks", "margin": 0.3, "annual_discount_rate": 0.1}
ALL = (
    "alive",
    "purchase_rate",
    "purchases",
    "spend",
    "value",
    "spend_per_purchase",
    "probability_alive",
    "T",
)


def gathered(draws, names, threads=None):
    """Return every quantity as one (customer, draw) array, in the customers' order."""
    found = {name: np.full((draws.customers.sizes["customer"], draws.size), np.nan) for name in names}
    for places, block in draws.blocks(names, threads):
        for name in names:
            found[name][places] = block[name]
    assert not any(np.isnan(each).any() for each in found.values())
    return found


@pytest.fixture(scope="module")
def few():
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30", regularity=True)
    return customers.isel(customer=slice(0, None, 8))


def posteriors(family, few):
    # At a fixed k the same of every draw: the data would choose 1, which is BG/NBD.
    priors = {"k": 3} if family == "bg_cnbd_k" else None
    return clv.fit(family, few, method="laplace", draws=500, seed=1, priors=priors)


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd", "pareto_nbd", "nbd", "bg_cnbd_k", "pareto_abe"])
def test_the_future_has_the_law_of_the_engine(family, few, make_spending):
    buying, spending = posteriors(family, few), make_spending(draws=500)
    draws = clv.customer_draws(buying, few, spending=spending, draws=2000, seed=1, **MONEY)
    assert draws.size == 2000
    found = gathered(draws, ALL)
    value = clv.predict_value(buying, spending, few, seed=7, **MONEY)
    # Totals of two independent simulations of 2,000 draws: the difference of means has a standard error of
    # sqrt(2 / 2000) sd, and five of them leave one chance in a million.
    for name in ("purchases", "spend", "value"):
        total, other = found[name].sum(axis=0), value[f"{name}_total"].to_numpy().ravel()
        error = np.sqrt(total.var() / total.size + other.var() / other.size)
        assert abs(total.mean() - other.mean()) < 5 * error, name
        # The sd of a sample of n has a relative error of about sqrt((kurtosis - 1) / 4 n), 2 % for kurtosis 5.
        assert total.std() == pytest.approx(other.std(), rel=0.15)
    active = (found["purchases"] > 0).mean(axis=1)
    expected = value["probability_active"].to_numpy()
    error = np.sqrt(np.maximum(expected * (1 - expected), 1 / 2000) * 2 / 2000)
    assert np.abs((active - expected) / error).max() < 5
    alive = found["alive"].mean(axis=1) - found["probability_alive"].mean(axis=1)
    assert np.abs(alive).max() < 5 * 0.5 / np.sqrt(2000)


def test_numbers_of_one_draw_belong_together(few, make_spending):
    buying, spending = posteriors("mbg_nbd", few), make_spending(draws=500)
    found = gathered(clv.customer_draws(buying, few, spending=spending, draws=2000, seed=1, **MONEY), ALL)
    assert (found["purchases"][found["alive"] == 0] == 0).all()
    assert ((found["spend"] > 0) == (found["purchases"] > 0)).all()
    assert (found["value"] <= 0.3 * found["spend"] + 1e-9).all()
    # Given the level, the mean of an occasion is the level: the sum of spend less level × purchases is noise.
    surplus = found["spend"] - found["spend_per_purchase"] * found["purchases"]
    error = np.sqrt((surplus**2).sum())
    assert abs(surplus.sum()) < 5 * error
    # Fast and slow draws of one customer differ in what they buy.
    alive = found["alive"] == 1
    fast = found["purchase_rate"] > np.median(found["purchase_rate"], axis=1, keepdims=True)
    assert found["purchases"][alive & fast].mean() > 1.5 * found["purchases"][alive & ~fast].mean()


@pytest.mark.parametrize("family", ["bg_nbd", "pareto_nbd", "bg_cnbd_k", "pareto_abe"])
def test_active_time_is_the_horizon_until_the_customer_leaves(family, few, make_spending):
    draws = clv.customer_draws(
        posteriors(family, few), few, spending=make_spending(draws=500), draws=500, seed=1, **MONEY
    )
    wanted = ("alive", "active_time", "purchases", "spend", "value", "purchase_rate")
    found = gathered(draws, wanted)
    time, alive = found["active_time"], found["alive"] == 1
    assert (time[~alive] == 0).all()
    assert (time[alive] > 0).all()
    assert time.max() == 26.0
    # Who has left by the end has bought then (by a purchase alone), or at any time.
    left = alive & (time < 26.0)
    if family in ("bg_nbd", "bg_cnbd_k"):
        assert (found["purchases"][left] >= 1).all()
    else:
        assert (found["purchases"][left] == 0).any()
    # Of a Poisson process, purchases less rate × time until a stopping time is a martingale: its mean is 0. Its
    # variance is the mean of rate × time; regular purchases have less, and the wait now running is not a new one.
    if family != "bg_cnbd_k":
        surplus = found["purchases"] - found["purchase_rate"] * time
        error = np.sqrt((found["purchase_rate"] * time).sum())
        assert abs(surplus.sum()) < 5 * error
    # Asking for it changes nothing else.
    alone = gathered(draws, tuple(name for name in wanted if name != "active_time"))
    for name, each in alone.items():
        np.testing.assert_array_equal(each, found[name])


def test_neither_order_nor_threads_change_anything(few, make_buying, make_spending):
    buying, spending = make_buying(), make_spending()
    one = gathered(clv.customer_draws(buying, few, spending=spending, draws=50, seed=3), ALL, threads=1)
    two = gathered(clv.customer_draws(buying, few, spending=spending, draws=50, seed=3), ALL, threads=2)
    turned = few.isel(customer=slice(None, None, -1))
    other = gathered(clv.customer_draws(buying, turned, spending=spending, draws=50, seed=3), ALL)
    for name in ALL:
        np.testing.assert_array_equal(one[name], two[name])
        np.testing.assert_array_equal(one[name], other[name][::-1])
    again = gathered(clv.customer_draws(buying, few, spending=spending, draws=50, seed=4), ALL)
    assert (again["purchases"] != one["purchases"]).any()


def test_what_is_not_there_is_named(few, make_buying):
    draws = clv.customer_draws(make_buying(), few, draws=50, seed=3)
    assert "value" not in draws.names
    with pytest.raises(clv.InputError, match="'value' is not known here.*money needs a spending posterior"):
        next(draws.blocks(["value"]))
    with pytest.raises(clv.InputError, match="draws=0 must be at least 1"):
        clv.customer_draws(make_buying(), few, draws=0, seed=3)
    with pytest.raises(clv.InputError, match="margin must be finite"):
        clv.customer_draws(make_buying(), few, margin=0.0, seed=3)


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd", "pareto_nbd", "bg_cnbd_k"])
def test_the_customers_own_numbers_have_their_exact_means(family, few):
    buying = posteriors(family, few)
    draws = clv.customer_draws(buying, few, draws=2000, seed=5)
    dropout = draws.latent[2]
    found = gathered(draws, ("alive", "purchase_rate", dropout))
    forecast = draws.buying.forecast
    history = {name: few[name].to_numpy()[:, None] for name in ("frequency", "recency", "T")}
    exact = forecast.latent_means(history, draws.buying.values)
    for name, mean in zip(("purchase_rate", dropout), exact, strict=True):
        # Each draw differs from its own mean by chance alone; five errors, of some 300 customers and two names.
        surplus = found[name] - mean
        error = surplus.std(axis=1) / np.sqrt(draws.size)
        assert np.abs(surplus.mean(axis=1) / error).max() < 5, name
    # Together: of one alive the state says the mean rate, k / scale (with phases it depends on those passed).
    if family != "bg_cnbd_k":
        chance = forecast.alive(history, draws.buying.values)
        k, scale, *_ = forecast.state(history, draws.buying.values)
        surplus = found["purchase_rate"] * found["alive"] - chance * k / scale
        error = surplus.std(axis=1) / np.sqrt(draws.size)
        assert np.abs(surplus.mean(axis=1) / error).max() < 5


def test_a_customers_numbers_are_its_own(few, make_spending):
    buying, spending = posteriors("mbg_nbd", few), make_spending(draws=500)
    everything = (*ALL, "dropout")
    whole = gathered(
        clv.customer_draws(buying, few, spending=spending, draws=100, seed=3, **MONEY), everything
    )
    company = few.isel(customer=slice(0, None, 3))
    alone = clv.customer_draws(buying, company, spending=spending, draws=100, seed=3, **MONEY)
    # Neither other customers nor what else is asked for, nor a longer horizon where only the own numbers are.
    for name in everything:
        np.testing.assert_array_equal(gathered(alone, (name,))[name], whole[name][::3], err_msg=name)
    longer = clv.customer_draws(
        buying, company, spending=spending, draws=100, seed=3, **(MONEY | {"horizon": "52 weeks"})
    )
    found = gathered(longer, everything)
    for name in ("alive", "purchase_rate", "dropout", "spend_per_purchase"):
        np.testing.assert_array_equal(found[name], whole[name][::3], err_msg=name)
    assert (found["purchases"] >= whole["purchases"][::3]).all()
    assert (found["purchases"] > whole["purchases"][::3]).any()


def test_the_dropout_is_the_one_that_ends_the_purchases():
    # One customer alive for sure, a horizon that never ends: purchases are the tosses up to the first drop.
    size, a, b = 200_000, 2.0, 3.0
    one = np.ones((1, size))
    nothing, bought, dropout = np.empty((0, size)), np.empty((1, size)), np.empty((1, size))
    keys = customer_keys(["a"], 1)
    draw_joint(
        np.zeros(1, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        keys,
        LAWS["after_purchase"],
        *(each * one for each in (1.0, 5.0, 10.0, a, b)),
        nothing,
        nothing,
        np.zeros(1),
        1e12,
        False,
        nothing,
        nothing,
        nothing,
        0.0,
        1.0,
        *(nothing, nothing, dropout, nothing, bought, nothing, nothing, nothing),
    )
    # Beta(2, 3), and more than n purchases with probability (1 - p)^n given p: also beyond TOSSES, and p by p.
    assert dropout.mean() == pytest.approx(0.4, abs=5 * 0.2 / np.sqrt(size))
    for n in (1, 4, 8, 12):
        surplus = (bought > n) - (1 - dropout) ** n
        for each in (surplus, surplus * dropout, surplus * (dropout > 0.3)):
            assert abs(each.mean()) < 5 * each.std() / np.sqrt(size), n


@njit
def _leave(u, states, increment, k, s, a, b, silence):
    """Return of each uniform number whether a customer is here, and how long it stayed else."""
    chance, power, mass = _leaving(k, s, a, b, silence)
    here, stayed = np.ones(u.size, dtype=np.bool_), np.zeros(u.size)
    for i in range(u.size):
        if u[i] >= chance:
            here[i], _, stayed[i] = _left_after(
                chance, power, mass, k, s, a, b, silence, states[i], increment
            )
    return here, stayed


# One who never bought again, many purchases, scales on either side and the same, an envelope of power 1 and below,
# a silence far beyond both scales.
@pytest.mark.parametrize(
    ("k", "s", "a", "b", "silence"),
    [
        (0.5, 0.8, 10.0, 23.0, 78.0),
        (25.0, 0.6, 40.0, 41.0, 5.0),
        (3.0, 2.5, 60.0, 15.0, 40.0),
        (1.5, 0.5, 20.0, 20.0, 20.0),
        (0.5, 1.0, 1.0, 4.0, 30.0),
        (0.2, 0.3, 1.0, 9.0, 500.0),
        (0.4, 0.1, 3.0, 1.0, 300.0),
    ],
)
def test_who_left_at_any_time_left_when_the_integral_says(k, s, a, b, silence):
    size = 200_000
    keys = customer_keys(["leaving"], 1)
    u = uniforms(keys, 1, size)[0]
    states = (uniforms(keys, 2, size)[0] * 2.0**52).astype(np.uint64) << np.uint64(12)
    here, stayed = _leave(u, states, keys[0, 1], k, s, a, b, silence)
    # The weight of being here, and of having left within d: s / b times the integral to d.
    stays = (1 + silence / a) ** -k * (1 + silence / b) ** -s
    left = s / b * np.exp(log_integral(k, s + 1, a, b, silence))
    chance = stays / (stays + left)
    assert abs(here.mean() - chance) < 5 * np.sqrt(chance * (1 - chance) / size)
    gone = np.sort(stayed[~here])
    reached = np.exp(log_integral(k, s + 1, a, b, gone[::100]) - log_integral(k, s + 1, a, b, silence))
    # Kolmogorov's 99.99 % point, as in test_streams; a hundredth of the places at most 1 / 2,000 short of it.
    away = np.abs(reached - np.arange(gone.size)[::100] / gone.size).max()
    assert away < 2.23 / np.sqrt(gone.size)
    assert gone[-1] <= silence


def test_the_level_of_spend_is_the_customers_own(few, make_buying, make_spending):
    draws = clv.customer_draws(make_buying(), few, spending=make_spending(draws=500), draws=2000, seed=5)
    level = gathered(draws, ("spend_per_purchase",))["spend_per_purchase"]
    known = [draws.columns[name][:, None] for name in ("occasions", "mean_spend")]
    surplus = level - draws.spending.formulas.expected_spend(*known, **draws.spending.values)
    error = surplus.std(axis=1) / np.sqrt(draws.size)
    assert np.abs(surplus.mean(axis=1) / error).max() < 5
