"""Spend that moves with its customer: the likelihood, what is known of a level, and the draws of what follows."""

import numpy as np
import pytest
from scipy import integrate, stats

import bayes_clv as clv
from bayes_clv.distributions.lognormal import levels
from bayes_clv.distributions.paths.money import Paid, Purse, open_purses, pay
from bayes_clv.families.contract import new_customer
from bayes_clv.families.registry import MOVING, derived, family, form_of

LOGNORMAL = {"m": 28.0, "tau": 0.5, "sigma": 0.6}
GAMMA = {"p": 3.1, "q": 3.7, "v": 30.0}
TREND = {"growth": 1.7, "span": 30.0}
DRIFT = {"omega": 0.4, "kappa": 0.05}
CASES = {
    "lognormal_spend_trend": LOGNORMAL | TREND,
    "lognormal_spend_drift": LOGNORMAL | DRIFT,
    "lognormal_spend_trend_drift": LOGNORMAL | TREND | DRIFT,
    "gamma_gamma_trend": GAMMA | TREND,
}
NORMAL = [name for name in CASES if name.startswith("lognormal")]


@pytest.fixture(scope="module")
def base():
    """Sixty customers with one to nine purchases at any ages, and what the families read of them."""
    rng = np.random.default_rng(4)
    size = rng.integers(1, 10, 60)
    ages = [np.sort(rng.uniform(0.5, 50, each)) for each in size]
    start = (np.cumsum(size) - size).astype(float)
    spend = np.exp(rng.normal(3.2, 0.8, size.sum()))
    logs = np.split(np.log(spend), np.cumsum(size)[:-1])
    return {
        "frequency": size.astype(float),
        "T": np.array([each[-1] for each in ages]) + rng.uniform(0, 12, 60),
        "purchase_start": start,
        "spend_start": start,
        "purchase_times": np.concatenate(ages),
        "purchase_spend": spend,
        "monetary_value": np.add.reduceat(spend, start.astype(int)) / size,
        "log_spend_mean": np.array([each.mean() for each in logs]),
        "log_spend_sd": np.array([each.std() for each in logs]),
    }


def log_likelihood(name, base, **params):
    import pytensor.tensor as pt

    record = family(name).of(base)
    given = {key: pt.as_tensor(number) for key, number in params.items()}
    return np.asarray(pt.as_tensor(record.log_likelihood(given, base)).eval(mode="FAST_COMPILE"))


def of_customers(base):
    """Ages and amounts, customer by customer."""
    cut = np.cumsum(base["frequency"]).astype(int)[:-1]
    return zip(np.split(base["purchase_times"], cut), np.split(base["purchase_spend"], cut), strict=True)


def grown(ages, growth=1.0, span=1.0, **_):
    return growth ** (np.minimum(ages, span) / span)


def covariance(ages, other, tau, omega=0.0, kappa=0.0, **_):
    return tau**2 + omega**2 * np.exp(-kappa * np.abs(np.subtract.outer(ages, other)))


@pytest.mark.parametrize("name", NORMAL)
def test_the_likelihood_is_that_of_every_amount(base, name):
    params = CASES[name]
    found = log_likelihood(name, base, **params)
    for value, (ages, amounts) in zip(found, of_customers(base), strict=True):
        noise = params["sigma"] ** 2 * np.eye(ages.size)
        mean = np.log(params["m"]) + np.log(grown(ages, **params))
        known = stats.multivariate_normal.logpdf(
            np.log(amounts), mean, covariance(ages, ages, **params) + noise
        )
        assert value == pytest.approx(known - np.log(amounts).sum(), rel=1e-10)


def test_gamma_gammas_is_that_of_every_amount_by_quadrature_over_the_customers_rate(base):
    params = CASES["gamma_gamma_trend"]
    found = log_likelihood("gamma_gamma_trend", base, **params)
    p, q, v = (params[name] for name in "pqv")
    for value, (ages, amounts) in list(zip(found, of_customers(base), strict=True))[:12]:
        factor = grown(ages, **params)

        def density(nu, amounts=amounts, factor=factor, shift=value):
            each = stats.gamma.logpdf(amounts / factor, p, scale=1 / nu) - np.log(factor)
            return np.exp(each.sum() + stats.gamma.logpdf(nu, q, scale=1 / v) - shift)

        assert integrate.quad(density, 1e-6, 3, epsabs=1e-9, limit=200)[0] == pytest.approx(1, abs=1e-6)


def test_where_nothing_moves_it_is_the_familys(base):
    static = log_likelihood("lognormal_spend", base, **LOGNORMAL)
    still = {"growth": 1.0, "span": 30.0}
    np.testing.assert_allclose(
        log_likelihood("lognormal_spend_trend", base, **LOGNORMAL, **still), static, rtol=1e-10
    )
    none = {"omega": 0.0, "kappa": 0.05}
    np.testing.assert_allclose(
        log_likelihood("lognormal_spend_drift", base, **LOGNORMAL, **none), static, rtol=1e-10
    )
    # What never forgets is a difference between customers, and what forgets at once is noise.
    wide = LOGNORMAL | {"tau": np.hypot(0.5, 0.4)}
    never = log_likelihood("lognormal_spend_drift", base, **LOGNORMAL, omega=0.4, kappa=1e-11)
    np.testing.assert_allclose(never, log_likelihood("lognormal_spend", base, **wide), rtol=1e-8)
    noisy = LOGNORMAL | {"sigma": np.hypot(0.6, 0.4)}
    once = log_likelihood("lognormal_spend_drift", base, **LOGNORMAL, omega=0.4, kappa=1e6)
    np.testing.assert_allclose(once, log_likelihood("lognormal_spend", base, **noisy), rtol=1e-8)


def test_where_nothing_moves_gamma_gammas_is_the_familys_and_that_of_amounts_given_their_mean(base):
    static = log_likelihood("gamma_gamma", base, **GAMMA)
    found = log_likelihood("gamma_gamma_trend", base, **GAMMA, growth=1.0, span=30.0)
    for value, known, (_, amounts) in zip(found, static, of_customers(base), strict=True):
        n, shares = amounts.size, 0.0
        if n > 1:
            shares = stats.dirichlet.logpdf(amounts / amounts.sum(), np.full(n, GAMMA["p"]))
            shares -= (n - 1) * np.log(amounts.sum()) + np.log(n)
        assert value == pytest.approx(known + shares, rel=1e-10)


def test_slopes_are_those_of_the_likelihood(base):
    """Of every parameter, beside central differences of 1e-5: of the second order, and rounding 1e-16 x 1e4 / 1e-5."""
    import pytensor
    import pytensor.tensor as pt

    for name in ("lognormal_spend_trend_drift", "gamma_gamma_trend"):
        params = {key: value for key, value in CASES[name].items() if key != "span"}
        symbols = {key: pt.dscalar(key) for key in params}
        record = family(name).of(base)
        total = record.log_likelihood(symbols | {"span": np.float64(30.0)}, base).sum()
        compiled = pytensor.function(
            list(symbols.values()), [total, *pt.grad(total, list(symbols.values()))], mode="FAST_COMPILE"
        )
        slopes = compiled(*params.values())[1:]
        for place, key in enumerate(params):
            step = 1e-5 * params[key]
            ends = [compiled(*(params | {key: params[key] + end}).values())[0] for end in (step, -step)]
            assert slopes[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-4), key


@pytest.mark.parametrize("name", list(CASES))
def test_neither_the_unit_of_time_nor_the_order_of_customers_changes_it(base, name):
    known = log_likelihood(name, base, **CASES[name])
    days = base | {key: 7 * base[key] for key in ("T", "purchase_times")}
    turn = {"span": 7.0, "kappa": 1 / 7}
    moved = {key: value * turn.get(key, 1.0) for key, value in CASES[name].items()}
    np.testing.assert_allclose(log_likelihood(name, days, **moved), known, rtol=1e-12)
    rows = ("frequency", "T", "purchase_start", "spend_start", "monetary_value", "log_spend_mean")
    turned = base | {key: base[key][::-1] for key in rows}
    np.testing.assert_allclose(log_likelihood(name, turned, **CASES[name]), known[::-1], rtol=1e-12)


def history(base, name):
    mean = base["monetary_value" if name.startswith("gamma") else "log_spend_mean"]
    found = {"occasions": base["frequency"], "mean_spend": mean}
    return {
        key: value[:, None]
        for key, value in (found | {k: base[k] for k in ("T", "purchase_start", "spend_start")}).items()
    }


@pytest.mark.parametrize("name", NORMAL)
def test_what_a_customer_will_spend_is_the_conditional_mean(base, name):
    """By the joint Normal of the log amounts seen and the one to come, customer by customer."""
    params = CASES[name]
    level = family(name).of(base).forecast
    drawn = {key: np.full(2, value) for key, value in params.items()}
    columns = history(base, name)
    for time in (0.0, 3.0, 40.0):
        found = level.later(time, columns, drawn)
        assert found.shape == (60, 2)
        for row, (ages, amounts) in enumerate(of_customers(base)):
            at = np.array([base["T"][row] + time])
            noise = params["sigma"] ** 2
            within = covariance(ages, ages, **params) + noise * np.eye(ages.size)
            across = covariance(at, ages, **params)
            weights = np.linalg.solve(within, across[0])
            apart = np.log(amounts) - np.log(params["m"]) - np.log(grown(ages, **params))
            variance = covariance(at, at, **params)[0, 0] + noise - weights @ across[0]
            known = params["m"] * np.exp(weights @ apart + variance / 2) * grown(at, **params)[0]
            assert found[row, 0] == pytest.approx(known, rel=1e-9)
    np.testing.assert_array_equal(level.expected(columns, drawn), level.later(0.0, columns, drawn))


def test_gamma_gammas_expected_spend_is_its_own_of_amounts_over_their_trend(base):
    level = family("gamma_gamma_trend").of(base).forecast
    params = CASES["gamma_gamma_trend"]
    columns = history(base, "gamma_gamma_trend")
    total = np.array([(amounts / grown(ages, **params)).sum() for ages, amounts in of_customers(base)])
    p, q, v = (params[name] for name in "pqv")
    known = p * (v + total) / (p * base["frequency"] + q - 1)
    for time in (0.0, 10.0, 1e6):
        found = level.later(time, columns, {key: np.array([value]) for key, value in params.items()})
        np.testing.assert_allclose(found[:, 0], known * grown(base["T"] + time, **params), rtol=1e-12)


@pytest.mark.parametrize("name", list(CASES))
def test_a_trend_ends_and_a_new_customer_begins_at_the_populations_level(name):
    level, params = family(name).forecast, CASES[name]
    known = {key: np.array([value]) for key, value in params.items()}
    nobody = new_customer(level.reads)
    if name.startswith("gamma"):
        mean = GAMMA["p"] * GAMMA["v"] / (GAMMA["q"] - 1)
    else:
        mean = params["m"] * np.exp((0.5**2 + 0.6**2 + params.get("omega", 0.0) ** 2) / 2)
    assert level.population_mean(known)[0] == pytest.approx(mean, rel=1e-12)
    for time in (0.0, 15.0, 30.0, 1e9):
        rise = params.get("growth", 1.0) ** min(time / 30.0, 1.0)
        assert level.later(time, nobody, known)[0] == pytest.approx(rise * mean, rel=1e-9)


@pytest.mark.parametrize("name", list(CASES))
def test_simulated_amounts_have_the_mean_and_the_covariance_of_the_family(name):
    """Log amounts at three ages of 40,000 customers. A mean's error is sd / 200, a covariance's at most 2 v / 200."""
    params, ages, many = CASES[name], np.array([0.0, 10.0, 60.0]), 40_000
    level = family(name).forecast
    owner = np.repeat(np.arange(many), 3)
    given = {key: np.float64(value) for key, value in params.items()}
    found = level.orders(np.random.default_rng(5), owner, np.tile(ages, many), given).reshape(many, 3)
    if name.startswith("gamma"):
        # p nu / (q - 1) has the variance (p (p + q - 1) v²) / ((q - 1)² (q - 2)).
        p, q, v = (params[key] for key in "pqv")
        mean = p * v / (q - 1) * grown(ages, **params)
        sd = np.sqrt(p * (p + q - 1) / (q - 2)) * v / (q - 1) * grown(ages, **params)
        assert (np.abs(found.mean(axis=0) - mean) < 4.5 * sd / 200).all()
        return
    logs = np.log(found)
    cover = covariance(ages, ages, **params) + 0.36 * np.eye(3)
    mean = np.log(params["m"]) + np.log(grown(ages, **params))
    assert (np.abs(logs.mean(axis=0) - mean) < 4.5 * np.sqrt(np.diag(cover)) / 200).all()
    assert (np.abs(np.cov(logs.T) - cover) < 4.5 * 2 * cover.max() / 200).all()


def test_the_future_of_a_level_follows_its_law():
    """Of 40,000 buyers with purchases 2 and 10 weeks from now, whose amounts hardly vary about their level."""
    many, times = 40_000, (2.0, 10.0)
    one = np.ones((1, 1))
    purse = Purse(
        np.zeros(1, dtype=np.uint32), 3.0 * one, 0.3 * one, 1e-9 * one, True, 0.0, np.ones((1, 0)), 1.0,
        0.02 * one, np.array([6.0]), 0.5 * one, -0.2 * one, 0.25 * one, 0.4 * one, 0.1 * one,
    )  # fmt: skip
    rng = np.random.default_rng(6)
    word, step = (rng.integers(0, 2**63, many, dtype=np.uint64) | np.uint64(1) for _ in range(2))

    class Buyers:
        customer, draw = np.zeros(many, dtype=np.uint32), np.zeros(many, dtype=np.uint32)

    from bayes_clv.distributions.paths import Batch
    from bayes_clv.distributions.paths import Buyers as Listed

    empty = [np.empty(0)] * 9
    buyers = Listed(np.zeros(2, dtype=np.int64), Buyers.customer, Buyers.draw, word, step, word, word, *empty[:7],
                    np.zeros(many, dtype=np.int64), np.zeros(many, dtype=np.uint32))  # fmt: skip
    paid = Paid(np.empty(many, dtype=np.uint64), *(np.empty(many) for _ in range(5)))
    open_purses(purse, buyers, many, paid)
    level, before = np.log(paid.level.copy()), paid.apart.copy()
    seen = []
    for number, time in enumerate(times, start=1):
        batch = Batch(
            np.arange(many, dtype=np.uint32),
            np.full(many, number, dtype=np.uint32),
            np.full(many, time),
            np.empty(many),
        )
        pay(purse, buyers, batch, many, paid)
        seen.append(np.log(batch.amount) - level - 0.02 * min(time, 6.0))
    # Now, given the level; then what is left of it, and what is new.
    rest = before - (0.5 - 0.2 * level)
    found = np.stack([rest, seen[0] - np.exp(-0.2) * before, seen[1] - np.exp(-0.8) * seen[0]])
    sd = np.array([0.25, 0.4 * np.sqrt(1 - np.exp(-0.4)), 0.4 * np.sqrt(1 - np.exp(-1.6))])
    assert (np.abs(found.mean(axis=1)) < 4.5 * sd / 200).all()
    # The error of a standard deviation is sd / sqrt(2 n), of a correlation 1 / sqrt(n).
    assert (np.abs(found.std(axis=1) - sd) < 4.5 * sd / (200 * np.sqrt(2))).all()
    together = np.corrcoef(np.vstack([found, level]))
    assert (np.abs(together - np.eye(4)) < 4.5 / 200).all()


def test_long_histories_keep_their_digits():
    """Two thousand purchases, ten a day: beside blocks of the covariance matrix."""
    rng = np.random.default_rng(8)
    times = np.cumsum(rng.exponential(0.01, 2000))
    spend = np.exp(rng.normal(12.0, 0.3, 2000))
    one = np.ones(1)
    data = (2000 * one, 0 * one, 0 * one, 12.0 * one, np.inf * one, spend, times)
    log_det, yy, y1, _, of_ones, *_ = levels.sums(*data, 0.1 * one, 0.4 * one, 0.3 * one)[: levels.SUMS]
    matrix = covariance(times, times, 0.0, 0.4, 0.1) + 0.09 * np.eye(2000)
    y = np.log(spend) - 12.0
    solved = np.linalg.solve(matrix, np.stack([y, np.ones(2000)], axis=1))
    known = [np.linalg.slogdet(matrix)[1], y @ solved[:, 0], y @ solved[:, 1], solved[:, 1].sum()]
    np.testing.assert_allclose([log_det[0], yy[0], y1[0], of_ones[0]], known, rtol=1e-9)


def test_forms_have_names_and_what_is_none_is_refused():
    assert derived("spend") == [f"{name}{suffix}" for suffix, (*_, of) in MOVING.items() for name in of]
    assert form_of("lognormal_spend", trend=True, drift=True) == "lognormal_spend_trend_drift"
    for name in derived("spend"):
        assert family(name).name == name
    with pytest.raises(
        clv.InputError, match="no exact filter is known.*Fit 'lognormal_spend' with drift=True"
    ):
        form_of("gamma_gamma", drift=True)
    with pytest.raises(clv.InputError, match="has no form with trend"):
        form_of("bg_nbd", trend=True)
    with pytest.raises(clv.InputError, match="has no form with returns"):
        form_of("lognormal_spend", returns=True)
