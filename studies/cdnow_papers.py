"""The numbers of the 2005 papers on CDNOW, and of BTYD's walkthrough, as this package computes them from the orders.

"Counting Your Customers the Easy Way" (``of_purchases``), "RFM and CLV" (``of_spend`` on the sample, ``of_cohort`` on
the master file) and the walkthrough (``of_walkthrough``), each number by the name that it has in tests/reference/
replicate_cdnow.csv. Estimates are of maximum likelihood. ``studies.replicate_cdnow`` judges them, and says where the
authors' arithmetic decides a digit.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import xarray as xr
from scipy import optimize, stats

import bayes_clv as clv
from bayes_clv.families.contract import SpendLevel, need, new_customer
from bayes_clv.families.registry import family
from studies.bases import cdnow_master
from studies.printed import Figure
from studies.published import estimates, forecast, maximum_likelihood

FAMILIES = ("bg_nbd", "pareto_nbd", "mbg_nbd")
CALIBRATION, ALL = "1997-09-30", "1998-06-30"
WEEKS, AHEAD = 78, 39.0
CLASSES = [*map(str, range(7)), "7+"]
MARGIN, RATE = 0.3, np.log(1.15) / 52
# BTYD's log-likelihood, as it is printed.
STOPPED = -9594.976
# Customers of the master file who are taken for resellers.
REMOVED = 10

type Point = Mapping[str, Any]


@cache
def customers(until: str = CALIBRATION) -> xr.Dataset:
    """Return the sample's customers, of 39 weeks with their holdout or of all 78."""
    holdout = ALL if until == CALIBRATION else None
    return clv.summarize(clv.load_cdnow(), until=until, holdout_until=holdout, time_unit="week")


@cache
def fitted(name: str, until: str = CALIBRATION) -> dict[str, float]:
    """Return a family's maximum-likelihood estimates and the log-likelihood there."""
    return maximum_likelihood(name, customers(until))


def at(name: str, until: str = CALIBRATION) -> dict[str, np.ndarray]:
    """Return the estimates as the family's functions take them."""
    return estimates(name, dict(fitted(name, until)))


@cache
def log_likelihood(name: str) -> Callable[[Point], float]:
    """Return a family's log-likelihood of the 39 weeks as a function of its parameters."""
    import pytensor
    import pytensor.tensor as pt

    base, record = customers(), family(name)
    columns = {each: base[each].to_numpy().astype(float) for each in record.observed}
    informing = columns["frequency"] > 0 if record.kind == "spend" else slice(None)
    params = {each: pt.dscalar(each) for each in record.parameters}
    total = record.log_likelihood(params, {each: values[informing] for each, values in columns.items()}).sum()
    # A handful of calls: compiling would take longer than all of them.
    function = pytensor.function(list(params.values()), total, mode="FAST_COMPILE")
    return lambda point: float(function(*(float(point[each]) for each in params)))


def past(base: xr.Dataset) -> dict[str, np.ndarray]:
    """Return what the purchase families read of each customer."""
    return {name: base[name].to_numpy().astype(float) for name in ("frequency", "recency", "T")}


def by_class(values: np.ndarray) -> np.ndarray:
    """Return the means (class, ...) of values (customer, ...) by number of repeat purchases, 7 and more together."""
    place = np.minimum(customers()["frequency"].to_numpy(), 7)
    return np.array([values[place == each].mean(axis=0) for each in range(8)])


def sizes() -> np.ndarray:
    """Return how many customers made 0, 1, ..., 7 or more repeat purchases in 39 weeks."""
    return np.bincount(np.minimum(customers()["frequency"].to_numpy(), 7), minlength=8)


def expected_sizes(name: str) -> np.ndarray:
    """Return how many customers the family expects in each class, each over its own time."""
    ages, number = np.unique(customers()["T"].to_numpy(), return_counts=True)
    law, params = forecast(name), at(name)
    new = new_customer(law.history)
    each = np.array([np.ravel(law.pmf(np.arange(7), float(age), new, params)) for age in ages])
    found = number @ each
    return np.append(found, number.sum() - found.sum())


def to_week(name: str, params: Point, first_day: int) -> np.ndarray:
    """Return expected repeat purchases of all customers to the end of weeks 0 to 78, whatever they did.

    ``first_day`` is the number of the first day, 0 or 1: a customer of day d has had (7 week - d) / 7 weeks.
    """
    law = forecast(name)
    daily = np.ravel(law.purchases(np.arange(7 * WEEKS + 1) / 7, new_customer(law.history), params))
    since = (customers()["first_order"].to_numpy() - np.datetime64("1997-01-01")) / np.timedelta64(1, "D")
    days, number = np.unique(since.astype(int) + first_day, return_counts=True)
    elapsed = 7 * np.arange(WEEKS + 1) - days[:, None]
    return np.asarray(number @ daily[np.maximum(elapsed, 0)])


def holdout_means(name: str, params: Point) -> np.ndarray:
    """Return each customer's expected purchases in weeks 40 to 78, given its history."""
    return np.ravel(forecast(name).purchases(AHEAD, past(customers()), params))


def of_purchases() -> dict[str, Figure]:
    """Return the numbers of "Counting Your Customers the Easy Way"."""
    found: dict[str, Figure] = {}
    real, weekly = sizes(), customers()["period_purchases"].to_numpy()
    bought = customers()["holdout_purchases"].to_numpy()
    means = {name: holdout_means(name, at(name)) for name in FAMILIES}
    for name in FAMILIES:
        expected = expected_sizes(name)
        chi = float(((real - expected) ** 2 / expected).sum())
        # Eight classes, whose sum is known, and four parameters.
        found |= {f"{name}_{key}": value for key, value in fitted(name).items()}
        found |= {f"{name}_chi_square": chi, f"{name}_chi_square_p": float(stats.chi2.sf(chi, 3))}
        found |= {f"{name}_customers_{k}": v for k, v in zip(CLASSES, expected, strict=True)}
        found |= {f"{name}_holdout_mean_{k}": v for k, v in zip(CLASSES, by_class(means[name]), strict=True)}
        last = to_week(name, at(name), first_day=1)[-1]
        found[f"{name}_cumulative_error_week_78_percent"] = 100 * (last / weekly.sum() - 1)
    found |= {f"customers_{k}": float(v) for k, v in zip(CLASSES, real, strict=True)}
    found |= {f"actual_holdout_mean_{k}": v for k, v in zip(CLASSES, by_class(bought), strict=True)}
    found["actual_holdout_mean_0"] = by_class(bought)[0]
    none = bought[customers()["frequency"].to_numpy() == 0].sum()
    correlation = np.corrcoef([bought, means["bg_nbd"], means["pareto_nbd"], means["mbg_nbd"]])
    return found | {
        "holdout_purchases_of_class_0": float(none),
        "share_of_class_0_percent": 100 * none / bought.sum(),
        "correlation_actual_bg_nbd": correlation[0, 1],
        "correlation_actual_pareto_nbd": correlation[0, 2],
        "correlation_actual_mbg_nbd": correlation[0, 3],
        "correlation_bg_nbd_pareto_nbd": correlation[1, 2],
        "anova_f": float(stats.f_oneway(bought, means["bg_nbd"], means["pareto_nbd"]).statistic),
        "anova_degrees_of_freedom": 3 * bought.size - 3,
    }


def over_stops(function: Callable[[Point], Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest values over all Pareto/NBD estimates at which BTYD's search may have stopped.

    Those whose log-likelihood is printed as BTYD's is: an ellipsoid about the maximum, a fortieth of a standard error
    long, in which the values are linear.
    """
    names, likelihood = family("pareto_nbd").parameters, log_likelihood("pareto_nbd")
    best = np.array([fitted("pareto_nbd")[name] for name in names])

    def of(target: Callable[[Point], Any]) -> Callable[[np.ndarray], Any]:
        return lambda logs: np.ravel(target(dict(zip(names, best * np.exp(logs), strict=True))))

    # Steps in logs of the parameters: of curvature, whose error goes with their square, and of slope.
    step, small = 1e-3 * np.eye(best.size), 1e-5 * np.eye(best.size)
    curvature = np.array(
        [
            [
                sum(a * b * of(likelihood)(a * i + b * j)[0] for a in (1, -1) for b in (1, -1)) / 4e-6
                for j in step
            ]
            for i in step
        ]
    )
    slopes = np.array([(of(function)(each) - of(function)(-each)) / 2e-5 for each in small])
    room = fitted("pareto_nbd")["log_likelihood"] - (STOPPED - 0.0005)
    reach = np.sqrt(2 * room * np.einsum("ik,ij,jk->k", slopes, np.linalg.inv(-curvature), slopes))
    middle = of(function)(np.zeros(best.size))
    return middle - reach, middle + reach


def of_walkthrough() -> dict[str, Figure]:
    """Return the numbers of BTYD's walkthrough: Pareto/NBD where its search may have stopped."""
    law, name = forecast("pareto_nbd"), "pareto_nbd"

    def there(function: Callable[[Point], Any], names: list[str]) -> dict[str, Figure]:
        return dict(zip(names, zip(*over_stops(function), strict=True), strict=True))

    def history(x: Any, t_x: float, age: float) -> dict[str, np.ndarray]:
        return {"frequency": np.asarray(x, float), "recency": np.asarray(t_x), "T": np.asarray(age)}

    weeks = range(1, WEEKS + 1)
    # Ages are whole days: 216 of 7 a week are printed as 30.86.
    frequent, often = history(26, 216 / 7, 31), [10, 15, 20, 25]
    weekly = customers()["period_purchases"].to_numpy()
    return {
        **{f"actual_week_{week}": float(weekly[week - 1]) for week in weeks},
        **{f"actual_to_week_{week}": float(weekly[:week].sum()) for week in weeks},
        "btyd_log_likelihood": fitted(name)["log_likelihood"],
        **there(lambda p: to_week(name, p, 0)[1:], [f"btyd_to_week_{week}" for week in weeks]),
        **there(lambda p: np.diff(to_week(name, p, 0)), [f"btyd_week_{week}" for week in weeks]),
        **there(
            lambda p: by_class(holdout_means(name, p)), [f"btyd_holdout_mean_{each}" for each in CLASSES]
        ),
        **there(lambda p: law.purchases(52, new_customer(law.history), p), ["btyd_new_customer_52_weeks"]),
        **there(lambda p: law.purchases(52, frequent, p), ["btyd_customer_1516_52_weeks"]),
        **there(lambda p: law.alive(frequent, p), ["btyd_customer_1516_alive"]),
        **there(
            lambda p: law.purchases(52, history(often, 20, 39), p),
            [f"btyd_paradox_{each}" for each in often],
        ),
    }


def of_spend() -> dict[str, Figure]:
    """Return the numbers of "RFM and CLV" on the sample: spend, and discounted purchases at 78 weeks' parameters."""
    base = customers()
    times = base["frequency"].to_numpy()
    repeaters = times > 0
    spend, times = base["monetary_value"].to_numpy()[repeaters], times[repeaters]
    typical = (times < times[spend.argmax()]) | (spend < spend.max())
    gamma, later = fitted("gamma_gamma"), fitted("gamma_gamma", ALL)
    of_totals = -float(np.log(times).sum())
    independent = stats.pearsonr(times[typical], spend[typical])
    law, params = forecast("pareto_nbd"), at("pareto_nbd", ALL)
    oldest = float(customers(ALL)["T"].max())

    def det(x: int, t_x: float) -> float:
        seen = {"frequency": np.asarray(x), "recency": np.asarray(t_x), "T": np.asarray(oldest)}
        return float(np.ravel(law.discounted(np.inf, RATE, seen, params))[0])

    return {
        "repeaters": float(spend.size),
        "mean_spend_minimum": spend.min(),
        "mean_spend_quarter": np.quantile(spend, 0.25),
        "mean_spend_median": np.quantile(spend, 0.5),
        "mean_spend_three_quarters": np.quantile(spend, 0.75),
        "mean_spend_maximum": spend.max(),
        "mean_spend_mean": spend.mean(),
        "mean_spend_sd": spend.std(ddof=1),
        "mean_spend_mode": float(stats.mode(spend.round(2)).mode),
        "mean_spend_skewness": float(stats.skew(spend)),
        "mean_spend_kurtosis": float(stats.kurtosis(spend)),
        "correlation_spend_frequency": float(np.corrcoef(times, spend)[0, 1]),
        "correlation_without_outlier": float(independent.statistic),
        "correlation_without_outlier_p": float(independent.pvalue),
        **{f"gamma_gamma_{name}": gamma[name] for name in ("p", "q", "v")},
        "model_less_observed_mean_spend": gamma["p"] * gamma["v"] / (gamma["q"] - 1) - spend.mean(),
        "model_mode_of_mean_spend": mode_of_mean_spend(gamma, times),
        "gamma_gamma_log_likelihood": gamma["log_likelihood"] + of_totals,
        "gamma_gamma_log_likelihood_at_78_weeks": log_likelihood("gamma_gamma")(later) + of_totals,
        "pareto_nbd_log_likelihood_at_78_weeks": log_likelihood("pareto_nbd")(fitted("pareto_nbd", ALL)),
        "mean_spend_of_a_new_customer": later["p"] * later["v"] / (later["q"] - 1),
        "det_x_7_t_35": det(7, 35),
        "det_x_1_t_30": det(1, 30),
    }


def mode_of_mean_spend(params: Point, times: np.ndarray) -> float:
    """Return the mode of customers' mean spend as the Gamma-Gamma has it, over the real numbers of occasions.

    The mean of x occasions is v / x times a beta prime with shapes p x and q.
    """
    distinct, number = np.unique(times, return_counts=True)
    p, q, v = (params[name] for name in ("p", "q", "v"))

    def less(spend: float) -> float:
        return -float(number @ stats.betaprime.pdf(spend, p * distinct, q, scale=v / distinct))

    return float(optimize.minimize_scalar(less, bounds=(5, 40), method="bounded").x)


def value(base: xr.Dataset, buying: Point, spending: Point) -> np.ndarray:
    """Return residual value: margin, expected spend and discounted purchases of each customer, (row[, draw])."""
    level = need(family("gamma_gamma"), SpendLevel)
    lead = (slice(None), None) if np.ndim(buying["r"]) else slice(None)
    seen = {name: values[lead] for name, values in past(base).items()}
    paid = {
        "occasions": seen["frequency"],
        "mean_spend": np.nan_to_num(base["monetary_value"].to_numpy())[lead],
    }
    bought = forecast("pareto_nbd").discounted(np.inf, RATE, seen, buying)
    return np.asarray(MARGIN * bought * level.expected(paid, spending))


def thirds(*keys: np.ndarray) -> np.ndarray:
    """Return 1, 2, 3 of equally many customers by the last key, ties in the order of those before it."""
    place = np.argsort(np.lexsort(keys))
    return np.asarray(3 * place // place.size + 1)


def of_cohort() -> dict[str, Figure]:
    """Return the numbers of "RFM and CLV" on the whole cohort: value by recency, frequency and spend."""
    orders = cdnow_master()
    first = orders.groupby("customer_id")["date"].transform("min")
    again = orders[orders["date"] > first].groupby("customer_id")["spend"].sum()
    resellers = again.sort_values().index[-REMOVED:]
    base = clv.summarize(orders[~orders["customer_id"].isin(resellers)], until=ALL, time_unit="week")
    each = value(base, at("pareto_nbd", ALL), at("gamma_gamma", ALL))
    found = of_groups(base, each)
    none = base["frequency"].to_numpy() == 0
    return found | {
        "cohort": float(each.size),
        "zero_class": float(none.sum()),
        "zero_class_value_each": each[none].mean(),
        "zero_class_value": each[none].sum(),
        "zero_class_share_percent": 100 * each[none].sum() / each.sum(),
        "value_each": each.mean(),
        "value": each.sum(),
    }


def of_groups(base: xr.Dataset, each: np.ndarray) -> dict[str, Figure]:
    """Return customers and value by thirds of recency, frequency and mean spend, of those who bought again."""
    again = base["frequency"].to_numpy() > 0
    times, spend = base["frequency"].to_numpy()[again], base["monetary_value"].to_numpy()[again]
    first = (base["first_order"].to_numpy() - np.datetime64("1997-01-01")) / np.timedelta64(7, "D")
    # A day is a seventh, up to rounding.
    week = np.floor((first + base["recency"].to_numpy())[again] + 1e-6)
    own = each[again]
    code = {
        "recency": thirds(spend, week),
        "frequency": thirds(spend, week, times),
        "monetary_value": thirds(spend),
    }
    found: dict[str, Figure] = {
        f"value_each_{name}_{third}": own[group == third].mean()
        for name, group in code.items()
        for third in (1, 2, 3)
    }
    for r, f, m in ((3, 3, 3), (1, 1, 3), (1, 3, 3)):
        cell = (code["recency"] == r) & (code["frequency"] == f) & (code["monetary_value"] == m)
        name, total = f"r{r}_f{f}_m{m}", own[cell].sum()
        found |= {f"{name}_customers": float(cell.sum()), f"{name}_value": total}
        found |= {f"{name}_value_each": own[cell].mean(), f"{name}_share_percent": 100 * total / each.sum()}
    return found
