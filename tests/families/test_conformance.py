"""What every registered family of a kind must satisfy; a family that registers is tested by registering.

Parameters come from the family's own quantities, so that nothing here knows their names. Monte Carlo means are held
to SIGMAS standard errors, quadratures and sums to what their truncation leaves.
"""

from functools import cache
from itertools import product
from math import lgamma

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate

from bayes_clv.distributions import paths
from bayes_clv.families.quantities import starting_point
from bayes_clv.families.registry import FAMILIES, families
from tests.interpreted import AS_WRITTEN
from tests.symbols import paper

# One false alarm in 150,000 comparisons; a family has about two hundred.
SIGMAS = 4.5

SPEND = families("spend")
# A family whose forecasts take more columns than these tests give makes the claims of a purchase family in tests of
# its own, within the errors of its quadrature (test_pareto_ggg).
PURCHASES = [name for name in families("purchases") if "log_intervals" not in paper(name).HISTORY]
LAWS = (paths.COIN, paths.LIFETIME, paths.PHASES, paths.DRAWN)

T, HORIZON = 4.0, 6.0
HISTORIES = [(0, 0.0, T), (1, 0.5, T), (3, 3.5, T), (8, 4.0, T)]
MANY = {
    "x": np.array([0, 0, 1, 2, 29, 1_000]),
    "t_x": np.array([0, 0, 0.4, 30.43, 38.86, 39.0]),
    "T": np.array([0, 39.0, 38.0, 38.86, 38.86, 39.0]),
}
# Purchases per time unit, or money per occasion.
SCALE = {"purchases": 0.5, "spend": 20.0}
# Two rows of what a family observes.
COLUMNS = {
    ("frequency", "recency", "T"): ([3.0, 0.0], [2.0, 0.0], [4.0, 4.0]),
    ("frequency", "recency", "T", "log_intervals"): ([3.0, 0.0], [2.0, 0.0], [4.0, 4.0], [-1.5, 0.0]),
    ("frequency", "monetary_value"): ([3.0, 1.0], [20.0, 31.0]),
    ("frequency", "log_spend_mean", "log_spend_sd"): ([3.0, 1.0], [2.9, 3.4], [0.4, 0.0]),
}


def whole(name):
    """Return the quantities that are whole numbers; they have no slope."""
    return [key for key, quantity in paper(name).QUANTITIES.items() if quantity.whole]


def parameters(name, point=0):
    """Return the paper's parameters at the start of the family's quantities, or at another point away from it.

    A whole number is 2, or 3 at the other point: at 1 a family of regular timing is another family.
    """
    module = paper(name)
    start = starting_point(module.QUANTITIES, SCALE[module.KIND])
    moved = {
        quantity: value * ((0.7, 1.6)[i % 2] if point else 1)
        for i, (quantity, value) in enumerate(start.items())
    } | dict.fromkeys(whole(name), 2.0 + point)
    return {key: float(value) for key, value in module.parameters(moved).items() if key in module.PARAMETERS}


points = pytest.mark.parametrize("point", [0, 1])
purchases = pytest.mark.parametrize("name", PURCHASES)
# Families whose customers' rates are Gamma given the history, and those that draw each customer's future.
DRAWN = [name for name in PURCHASES if paper(name).PATHS is paths.DRAWN]
with_state = pytest.mark.parametrize("name", [name for name in PURCHASES if name not in DRAWN])
drawn = pytest.mark.parametrize("name", DRAWN)
# Families of the mean spend; the others' own tests say the same of what they observe.
MEAN_SPEND = [name for name in SPEND if paper(name).LEVEL == "monetary_value"]
spend = pytest.mark.parametrize("name", MEAN_SPEND)


@cache
def graph(name):
    """Return a function of one row each of parameters and columns: log-likelihoods, then gradients of each."""
    module = paper(name)
    params = {key: pt.dvector(key) for key in module.PARAMETERS}
    columns = [pt.dvector(key) for key in module.OBSERVED]
    value = module.log_likelihood(params, *columns)
    gradients = pytensor.grad(value.sum(), [params[key] for key in params if key not in whole(name)])
    # The NBD reads no recency.
    return pytensor.function(
        [*params.values(), *columns], [value, *gradients], on_unused_input="ignore", mode=AS_WRITTEN
    )


def by_row(name, params, *columns):
    """Return log-likelihoods and gradients (row) with every argument broadcast to the rows.

    Of purchases frequency, recency and T are enough: the times between them are then even.
    """
    if "log_intervals" in paper(name).OBSERVED and len(columns) == 3:
        columns = (*columns, even_intervals(*columns[:2]))
    rows = np.broadcast_arrays(*params.values(), *(np.asarray(column, dtype=float) for column in columns))
    return graph(name)(*(np.array(row, dtype=float) for row in rows))


def even_intervals(x, t_x):
    """Return the sum of the logarithms of x equal times between purchases that add up to t_x."""
    x, t_x = np.asarray(x, dtype=float), np.asarray(t_x, dtype=float)
    return x * np.log(np.where(x > 0, t_x, 1) / np.maximum(x, 1))


def log_likelihood(name, params, *columns):
    return by_row(name, params, *columns)[0]


def assert_mean(sample, expected):
    sample = np.asarray(sample, dtype=float)
    error = sample.std() / np.sqrt(sample.size)
    assert abs(sample.mean() - expected) <= SIGMAS * error + 1e-12


def assert_share(sample, expected):
    """Of events too rare for one to be seen: the error is that of the expected share, with a Poisson's tail."""
    error = np.sqrt(expected * (1 - expected) / sample.size)
    assert abs(sample.mean() - expected) <= SIGMAS * error + SIGMAS**2 / sample.size


# Every family.


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_says_what_it_is(name):
    """What ``check`` (test_check) asks of no family of one's own."""
    module = paper(name)
    assert isinstance(module.record.words.caution, str)
    assert module.record.words.title.lower() in module.record.words.summary.lower()
    assert module.module.__doc__
    assert set(module.MEANINGS) == {*module.PARAMETERS, *module.QUANTITIES}
    assert module.PROCESSES
    if module.KIND == "purchases":
        assert module.PATHS in LAWS


@pytest.mark.parametrize("name", [*families("purchases"), *SPEND])
@points
def test_quantities_give_the_papers_parameters(name, point):
    params = parameters(name, point)
    assert set(params) == set(paper(name).PARAMETERS)
    assert all(np.isfinite(value) and value > 0 for value in params.values())


@pytest.mark.parametrize("name", [*families("purchases"), *SPEND])
def test_likelihood_terms_add_up_and_read_their_own_columns_only(name):
    module, params = paper(name), parameters(name)
    columns = COLUMNS[module.OBSERVED]
    tensors = {key: pt.constant(value) for key, value in params.items()}
    given = dict(zip(module.OBSERVED, (pt.constant(np.array(column)) for column in columns), strict=True))
    total = sum(
        term.function(tensors, *(given[c] for c in term.columns)).eval(mode=AS_WRITTEN)
        for term in module.likelihood_terms
    )
    np.testing.assert_allclose(total, log_likelihood(name, params, *columns), rtol=1e-12)


@pytest.mark.parametrize("name", [*PURCHASES, *SPEND])
def test_gradient_is_the_slope_of_the_log_likelihood(name):
    params = parameters(name, 1)
    columns = COLUMNS[paper(name).OBSERVED]
    _, *gradients = by_row(name, params, *columns)
    for key, gradient in zip([key for key in params if key not in whole(name)], gradients, strict=True):
        step = 1e-5 * params[key]
        high, low = (log_likelihood(name, params | {key: params[key] + s}, *columns) for s in (step, -step))
        # Central difference: truncation 1e-10, rounding 1e-15 * 10 / 1e-5, both relative to about 1.
        np.testing.assert_allclose(gradient, (high - low) / (2 * step), rtol=1e-6, atol=1e-7)


def extreme_parameters(name):
    """Return the paper's parameters, arrays, at every corner of the family's quantities.

    Of a logarithm's standard deviation 10 is a corner: at 1,000 rates are e^1000, which no double holds.
    """
    module = paper(name)
    start = starting_point(module.QUANTITIES, SCALE[module.KIND])
    ends = {
        key: (1.0, 3.0, 12.0)
        if quantity.whole
        else (0.01, 0.5, 0.99)
        if np.isfinite(quantity.upper)
        else tuple(start[key] * 10.0**e for e in (-3, 0, 1 if key.startswith("log_") else 3))
        for key, quantity in module.QUANTITIES.items()
    }
    corners = dict(zip(ends, np.array(list(product(*ends.values()))).T, strict=True))
    found = {key: value for key, value in module.parameters(corners).items() if key in module.PARAMETERS}
    # A median lifetime of 0.001 at a shape of 0.001 makes Pareto/NBD's beta 1e-305: no double holds T / beta.
    held = np.all(
        [(value > 1e-100) & (value < 1e100) for value in np.broadcast_arrays(*found.values())], axis=0
    )
    assert held.mean() > 0.6
    return {key: np.broadcast_to(value, held.shape)[held] for key, value in found.items()}


def assert_finite_at_extremes(name, *columns):
    corners = {key: np.asarray(value)[:, None] for key, value in extreme_parameters(name).items()}
    if "log_intervals" in paper(name).OBSERVED:
        columns = (*columns, even_intervals(*columns[:2]))
    rows = np.broadcast_arrays(*corners.values(), *columns)
    for part in graph(name)(*(np.array(row, dtype=float).ravel() for row in rows)):
        assert np.isfinite(part).all()


@purchases
@pytest.mark.parametrize("age", [0.01, 1.0, 39.0, 10_000.0])
def test_log_likelihood_and_gradient_are_finite_at_extremes(name, age):
    x, share = (grid.ravel() for grid in np.meshgrid([0.0, 1, 2, 50, 1_000], [1e-3, 0.5, 1 - 1e-12, 1]))
    assert_finite_at_extremes(name, x, np.where(x > 0, share * age, 0), np.full(x.size, age))


@spend
def test_spend_likelihood_and_gradient_are_finite_at_extremes(name):
    x, zbar = (grid.ravel() for grid in np.meshgrid([1.0, 2, 50, 1_000], [1e-3, 1, 35, 1e7]))
    assert_finite_at_extremes(name, x, zbar)


# Purchases: one process.


def density_of_x_and_recency(name, params, largest=120, nodes=80):
    """Return x, t_x, quadrature weight and density: Gauss-Legendre in t_x for each x from 1."""
    position, weight = np.polynomial.legendre.leggauss(nodes)
    recency = T / 2 * (1 + position)
    x, t_x = (grid.ravel() for grid in np.meshgrid(np.arange(1, largest + 1), recency, indexing="ij"))
    # Over all times between x purchases that add up to t_x, a product of their (k - 1)-th powers has this integral.
    k = params.get("k", 1.0)
    log_factor = (k * x - 1) * np.log(t_x) - np.array([lgamma(k * n) - n * lgamma(k) for n in x])
    log_factor -= (k - 1) * even_intervals(x, t_x)
    density = np.exp(log_likelihood(name, params, x, t_x, T) + log_factor)
    return x, t_x, np.tile(weight * T / 2, largest), density


@purchases
@points
def test_likelihood_sums_to_one_and_the_simulator_follows_it(name, point):
    module, params = paper(name), parameters(name, point)
    x, t_x, weight, density = density_of_x_and_recency(name, params)
    never = np.exp(log_likelihood(name, params, [0.0], [0.0], T))[0]
    # Of Gamma rates P(N > 120) is below z^120 times a power of 120, z = T / (alpha + T) <= 2/3: 1e-19.
    more = float(module.purchases_at_least(121, T, 0, 0, 0, **params))
    assert never + weight @ density + more == pytest.approx(1, abs=1e-10)

    frequency, recency = module.simulate(np.random.default_rng(1), np.full(300_000, T), **params)
    assert (recency[frequency == 0] == 0).all()
    assert_mean(frequency == 0, never)
    for n in (1, 2, 3, 6):
        for power in (0, 1, 2):
            expected = (weight * density * t_x**power)[x == n].sum()
            assert_mean((frequency == n) * recency**power, expected)
    counted = frequency * (frequency <= 120)
    assert_mean(counted, (weight * density * x).sum())
    assert_mean(counted * recency, (weight * density * x * t_x).sum())


@purchases
def test_purchase_times_have_the_simulated_histories_and_the_forecast_count_at_every_age(name):
    module, params = paper(name), parameters(name, 1)
    ages = np.full(200_000, T)
    ages[::2] = 2.0
    frequency, recency = module.simulate(np.random.default_rng(3), ages, **params)
    customer, age = module.simulate_purchase_times(np.random.default_rng(3), ages, **params)
    np.testing.assert_array_equal(np.bincount(customer, minlength=ages.size), frequency)
    last = np.zeros(ages.size)
    np.maximum.at(last, customer, age)
    np.testing.assert_array_equal(last, recency)
    assert (np.diff(customer) >= 0).all()
    assert (np.diff(age)[np.diff(customer) == 0] >= 0).all()
    for until in (0.1, 0.5, 1.0, 1.9):
        count = np.bincount(customer[age <= until], minlength=ages.size)
        assert_mean(count, module.expected_purchases(until, 0, 0, 0, **params))
        assert_share(count == 2, float(module.purchases_pmf(2, until, 0, 0, 0, **params)))


@purchases
@points
def test_forecasts_given_the_history_are_right_on_average_over_simulated_futures(name, point):
    module, params = paper(name), parameters(name, point)
    # A history of a drawn family is a quadrature of its own.
    customers, enough = (10_000, 200) if name in DRAWN else (80_000, 200)
    customer, age = module.simulate_purchase_times(
        np.random.default_rng(4), np.full(customers, T + HORIZON), **params
    )
    past = age <= T
    x = np.bincount(customer[past], minlength=customers)
    t_x = np.zeros(customers)
    np.maximum.at(t_x, customer[past], age[past])
    future = np.bincount(customer[~past], minlength=customers)
    mean = module.expected_purchases(HORIZON, x, t_x, T, **params)
    none = module.purchases_pmf(0, HORIZON, x, t_x, T, **params)
    three = module.purchases_pmf(3, HORIZON, x, t_x, T, **params)
    for group in (x == 0, x == 1, x == 2, x >= 3, (x > 0) & (t_x < T / 2), t_x > 0.95 * T):
        assert group.sum() > enough
        assert_mean((future - mean)[group], 0)
        assert_mean(((future == 0) - none)[group], 0)
        assert_mean(((future == 3) - three)[group], 0)


def simulated_future(rng, module, alive, rate, leaving, behind=0, k=1):
    """Return purchases within HORIZON and who is alive then, given each customer's own rate and dropout.

    A purchase takes k phases, at k times the rate, of which ``behind`` have passed.
    """
    if module.PATHS in (paths.LIFETIME, paths.DRAWN):
        lifetime = rng.standard_exponential(rate.size) / leaving
        bought = rng.poisson(rate * np.minimum(lifetime, HORIZON))
        return alive * bought, alive & (lifetime > HORIZON)
    with np.errstate(divide="ignore"):
        granted = np.maximum(np.ceil(rng.standard_exponential(rate.size) / -np.log1p(-leaving)), 1)
    wanted = (behind + rng.poisson(k * rate * HORIZON)) // k
    return alive * np.minimum(wanted, granted), alive & (granted > wanted)


def phases_behind(rng, phase_rate, silence, k):
    """Return how many phases have passed in a silence without a purchase, given their rate: Poisson, below k."""
    weights = np.cumprod(
        [np.ones(phase_rate.size), *(phase_rate * silence / (j + 1) for j in range(k - 1))], axis=0
    )
    shares = np.cumsum(weights, axis=0) / weights.sum(axis=0)
    return (rng.random(phase_rate.size) > shares).sum(axis=0)


def assert_future(module, history, params, bought, staying):
    assert_mean(bought, module.expected_purchases(HORIZON, *history, **params))
    assert_mean(staying, module.survival(HORIZON, *history, **params))
    for n in (0, 1, 2, 5):
        assert_mean(bought == n, module.purchases_pmf(n, HORIZON, *history, **params))


@purchases
@points
@pytest.mark.parametrize("history", HISTORIES)
def test_latent_draws_have_the_closed_form_means_and_the_forecast_future(name, point, history):
    module, params = paper(name), parameters(name, point)
    rng, draws = np.random.default_rng(5), 100_000
    alive, rate, leaving = module.latent_draws(rng, *(np.full(draws, h) for h in history), **params)
    assert alive.dtype == bool
    rate_mean, leaving_mean = module.latent_means(*history, **params)
    assert_mean(alive, module.probability_alive(*history, **params))
    assert_mean(rate, rate_mean)
    assert_mean(leaving, leaving_mean)
    k = int(params.get("k", 1))
    behind = phases_behind(rng, k * rate, history[2] - history[1], k)
    assert_future(module, history, params, *simulated_future(rng, module, alive, rate, leaving, behind, k))


@drawn
@points
@pytest.mark.parametrize("history", HISTORIES)
def test_drawn_futures_are_the_forecast(name, point, history):
    module, params = paper(name), parameters(name, point)
    rng, draws = np.random.default_rng(14), 100_000
    each = {key: np.full(draws, value) for key, value in params.items()}
    wait, shape, rate, lifetime, leaving = module.future_draws(rng, *history, **each)
    assert all(part.shape == (draws,) for part in (wait, shape, rate, lifetime, leaving))
    assert_mean(lifetime > 0, module.probability_alive(*history, **params))
    until, time, bought = np.minimum(lifetime, HORIZON), wait.copy(), np.zeros(draws, dtype=int)
    worth = np.zeros(draws)
    while (time <= until).any():
        happens = time <= until
        bought += happens
        worth += np.where(happens, np.exp(-0.2 * np.where(happens, time, 0)), 0)
        time = np.where(happens, time + rng.gamma(shape) / rate, np.inf)
    assert_future(module, history, params, bought, lifetime > HORIZON)
    assert_mean(worth, module.discounted_purchases(HORIZON, 0.2, *history, **params))


@with_state
@points
@pytest.mark.parametrize("history", HISTORIES)
def test_future_state_gives_the_forecast_by_hand(name, point, history):
    module, params = paper(name), parameters(name, point)
    probability, shape, scale, a, b, *more = (float(x) for x in module.future_state(*history, **params))
    rng, draws = np.random.default_rng(7), 100_000
    alive = rng.random(draws) < probability
    k, behind = 1, 0
    if module.PATHS is paths.PHASES:
        k, silence = int(more[0]), more[1]
        weights = np.cumprod([1.0, *((shape + j) / (j + 1) * silence for j in range(k - 1))])
        behind = rng.choice(k, draws, p=weights / weights.sum())
    rate = rng.gamma(shape + behind, 1 / scale, draws) / k
    if module.PATHS is paths.LIFETIME:
        leaving = rng.gamma(a, 1 / b, draws)
    else:
        leaving = rng.beta(a, b, draws) if a > 0 else np.zeros(draws)
    assert_future(module, history, params, *simulated_future(rng, module, alive, rate, leaving, behind, k))


@purchases
@points
@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("horizon", [0.01, 6.0, 60.0])
def test_pmf_sums_to_one_with_the_expected_mean_and_the_tails(name, point, history, horizon):
    module, params = paper(name), parameters(name, point)
    # N has z <= 60 / 66: z^3000 times a power is below 1e-100. Drawn: alive at T = 4 after 8 purchases the rate has
    # a density below that of Gamma(9, 4), and 15 a unit or more a probability of e^-60 60^8 / 8! = 4e-17.
    n = np.arange(3_000 if name not in DRAWN else 300 if horizon < 60 else 1_000)
    pmf = module.purchases_pmf(n, horizon, *history, **params)
    # Each probability of a drawn family is a quadrature of its own, right to 1e-10.
    error = 1e-10 if name in DRAWN else 1e-12
    assert pmf.sum() == pytest.approx(1, abs=error)
    mean = float(module.expected_purchases(horizon, *history, **params))
    assert n @ pmf == pytest.approx(mean, rel=max(error, 1e-11))
    tail = module.purchases_at_least(np.arange(61), horizon, *history, **params)
    assert tail[0] == 1.0
    np.testing.assert_allclose(tail[:-1] - tail[1:], pmf[:60], rtol=1e-8, atol=1e-15)
    assert (np.asarray(module.purchases_at_least(-1, horizon, *history, **params)) == 1).all()


# Purchases: what must be so.


@purchases
@points
def test_survival_starts_at_probability_alive_and_never_rises(name, point):
    module, params = paper(name), parameters(name, point)
    alive = module.probability_alive(**MANY, **params)
    assert ((alive >= 0) & (alive <= 1)).all()
    times = np.array([0.0, 1e-6, 0.1, 1, 39, 1e3, 1e6])[:, None]
    share = module.survival(times, **MANY, **params)
    np.testing.assert_array_equal(share[0], alive)
    # Rounding of two computations, by a series and by a quadrature.
    assert (np.diff(share, axis=0) <= 1e-13).all()


@purchases
@points
def test_no_time_no_purchases_and_a_short_time_at_the_rate_of_the_living(name, point):
    module, params = paper(name), parameters(name, point)
    np.testing.assert_array_equal(module.expected_purchases(0.0, **MANY, **params), 0)
    np.testing.assert_array_equal(module.purchases_pmf(0, 0.0, **MANY, **params), 1)
    np.testing.assert_array_equal(module.purchases_pmf(3, 0.0, **MANY, **params), 0)
    t = 1e-9
    soon = np.ones(MANY["x"].shape, dtype=bool)
    if name in DRAWN:
        living = module.purchases_pmf(1, t, **MANY, **params)
    else:
        alive, shape, scale, _, _, *more = module.future_state(**MANY, **params)
        rate = shape / scale
        if module.PATHS is paths.PHASES:
            # Only who has all phases but one behind buys at once; without silence nobody has.
            k, silence = int(more[0]), more[1]
            terms = np.cumprod(
                [np.ones(soon.size), *((shape + j) / (j + 1) * silence for j in range(k - 1))], axis=0
            )
            rate, soon = terms[-1] / terms.sum(axis=0) * (shape + k - 1) / scale, silence > 0
            assert (module.expected_purchases(t, **MANY, **params)[~soon] < 1e-12).all()
        living = alive * rate * t
    # The next term of the series is below k tau = 3e-7 of the first.
    np.testing.assert_allclose(module.expected_purchases(t, **MANY, **params)[soon], living[soon], rtol=1e-6)


@purchases
def test_forecasts_do_not_depend_on_the_time_unit(name):
    """Days for weeks: the data's scale moves with the unit, and every parameter with its own meaning."""
    module, weekly = paper(name), parameters(name, 1)
    factor = {"time": 7.0, "1/time": 1 / 7.0}
    daily = {key: value * factor.get(module.MEANINGS[key][1], 1.0) for key, value in weekly.items()}
    days = {"x": MANY["x"], "t_x": MANY["t_x"] * 7, "T": MANY["T"] * 7}
    for t in (1.0, 39.0, 4_000.0):
        for function in (module.expected_purchases, module.survival):
            np.testing.assert_allclose(
                function(t, **MANY, **weekly), function(7 * t, **days, **daily), rtol=1e-11
            )
        for function in (module.purchases_pmf, module.purchases_at_least):
            np.testing.assert_allclose(
                function(2, t, **MANY, **weekly), function(2, 7 * t, **days, **daily), rtol=1e-11
            )
    np.testing.assert_allclose(
        module.discounted_residual_transactions(0.0027, **MANY, **weekly),
        module.discounted_residual_transactions(0.0027 / 7, **days, **daily),
        rtol=1e-11,
    )
    rates = [module.latent_means(**h, **p)[0] for h, p in ((MANY, weekly), (days, daily))]
    np.testing.assert_allclose(rates[0], 7 * rates[1], rtol=1e-12)
    observed = [log_likelihood(name, p, h["x"], h["t_x"], h["T"]) for h, p in ((MANY, weekly), (days, daily))]
    # A density of x times; lnGamma(1000) is 6e3, rounded in each of a few terms.
    np.testing.assert_allclose(observed[0] - observed[1], MANY["x"] * np.log(7), rtol=1e-12, atol=2e-11)


@purchases
def test_quantities_know_the_time_unit_through_the_datas_scale_alone(name):
    module = paper(name)
    columns = {"frequency": np.array([0.0, 3]), "recency": np.array([0, 2.0]), "T": np.array([4.0, 4])}
    in_days = columns | {key: 7 * columns[key] for key in ("recency", "T")}
    weekly, daily = (
        starting_point(module.QUANTITIES, module.data_scale(c, np.array([5, 2]))) for c in (columns, in_days)
    )
    factor = {"1/time": 7.0, "time": 1 / 7}
    for key, value in weekly.items():
        assert value == pytest.approx(factor.get(module.MEANINGS[key][1], 1.0) * daily[key], rel=1e-14)
    assert weekly["population_purchase_rate"] == pytest.approx(6 / 28, rel=1e-14)


@purchases
def test_draws_by_customers_is_every_pair_by_itself(name):
    module, params = paper(name), parameters(name, 1)
    rng = np.random.default_rng(12)
    spread = {key: 1.0 if key in whole(name) else rng.uniform(0.5, 2, (5, 1)) for key in params}
    draws = {key: value * spread[key] * np.ones((5, 1)) for key, value in params.items()}
    functions = {
        "expected_purchases": (39.0,),
        "survival": (39.0,),
        "purchases_pmf": (2, 39.0),
        "purchases_at_least": (2, 39.0),
        "discounted_residual_transactions": (0.01,),
        "probability_alive": (),
    }
    for key, first in functions.items():
        function = getattr(module, key)
        together = function(*first, **MANY, **draws)
        assert together.shape == (5, 6)
        for d, c in product(range(5), range(6)):
            alone = function(
                *first, *(h[c] for h in MANY.values()), *(float(v[d, 0]) for v in draws.values())
            )
            assert together[d, c] == pytest.approx(float(alone), rel=1e-12)
    assert module.purchases_pmf(np.arange(7)[:, None, None], 39.0, **MANY, **draws).shape == (7, 5, 6)
    assert all(part.shape == (5, 6) for part in module.latent_draws(rng, **MANY, **draws))
    assert all(part.shape == (5, 6) for part in module.latent_means(**MANY, **draws))
    assert all(part.shape == (5, 6) for part in module.simulate(rng, MANY["T"], **draws))


@purchases
def test_a_missing_value_passes_through(name):
    module, params = paper(name), parameters(name)
    assert np.isnan(module.expected_purchases(np.nan, 1, 1.0, 2.0, **params))
    for key in params:
        assert np.isnan(module.expected_purchases(39.0, 1, 1.0, 2.0, **(params | {key: np.nan})))


@purchases
def test_simulated_histories_are_possible_at_extreme_parameters(name):
    module, rng = paper(name), np.random.default_rng(13)
    ages = np.tile([0.0, 0.01, 39, 10_000], 50)
    corners = extreme_parameters(name)
    for i in range(next(iter(corners.values())).size):
        corner = {key: float(value[i]) for key, value in corners.items()}
        x, t_x = module.simulate(rng, ages, **corner)
        assert np.isfinite(t_x).all()
        assert ((t_x >= 0) & (t_x <= ages)).all()
        assert (x >= 0).all()
        assert (t_x[x == 0] == 0).all()


@purchases
@pytest.mark.parametrize("history", [(2, 30.43, 38.86), (0, 0.0, 20.0)])
def test_residual_transactions_are_the_integral_of_discounted_purchases(name, history):
    module, params = paper(name), parameters(name, 1)
    delta = 0.01

    def integrand(u):
        # By parts: delta times the integral of exp(-delta t) E[Y(t)], in u = log t.
        t = np.exp(u)
        return delta * t * np.exp(-delta * t) * float(module.expected_purchases(t, *history, **params))

    peak = -np.log(delta)
    area, _ = integrate.quad(integrand, peak - 40, peak + 4, points=[peak], epsrel=1e-11, limit=400)
    assert float(module.discounted_residual_transactions(delta, *history, **params)) == pytest.approx(
        area, rel=1e-9
    )


@purchases
@points
def test_residual_transactions_fall_with_the_discount(name, point):
    module, params = paper(name), parameters(name, point)
    rates = np.logspace(-12, 6, 40)
    worth = module.discounted_residual_transactions(rates, 2, 30.43, 38.86, **params)
    assert np.isfinite(worth).all()
    assert (np.diff(worth) < 0).all()
    whole = float(module.discounted_residual_transactions(0.0, 2, 30.43, 38.86, **params))
    assert whole >= worth[0]
    assert np.isnan(module.discounted_residual_transactions(-0.01, 2, 30.43, 38.86, **params))


# Spend.


@spend
@points
@pytest.mark.parametrize("x", [1, 3, 40])
def test_spend_likelihood_integrates_to_one_and_the_simulator_follows_it(name, point, x):
    # In log(zbar) the density is smooth with exponential tails: the trapezoid is exact to rounding.
    params, step = parameters(name, point), 0.02
    s = np.arange(-40, 45, step)
    mass = np.exp(log_likelihood(name, params, x, np.exp(s)) + s) * step
    # Beyond the ends e^(-40 p x) and e^(-40 q') are left, p >= 0.7 and q' >= 1: 1e-12.
    assert mass.sum() == pytest.approx(1, abs=1e-10)
    zbar = paper(name).simulate(np.random.default_rng(8), np.full(200_000, x), **params)
    # Bounded functions of zbar, so that every error bar is finite.
    for scale in (2.0, 10.0, 40.0):
        assert_mean(np.exp(-zbar / scale), mass @ np.exp(-np.exp(s) / scale))


@spend
def test_spend_moves_with_the_currency(name):
    module, dollars = paper(name), parameters(name, 1)
    factor = {"money": 100.0}
    cents = {key: value * factor.get(module.MEANINGS[key][1], 1.0) for key, value in dollars.items()}
    x, zbar = np.array([1.0, 3, 40]), np.array([5.0, 20, 80])
    moved = log_likelihood(name, cents, x, 100 * zbar)
    np.testing.assert_allclose(moved, log_likelihood(name, dollars, x, zbar) - np.log(100), rtol=1e-12)
