"""What an evaluation holds: the measures, their units and which value is better, as Dataset and as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.problems import FREQUENT
from bayes_clv.scoring.counts import LEVELS
from bayes_clv.scoring.customer_scores import FORECAST, INTERVAL
from bayes_clv.scoring.groups import TENTH
from bayes_clv.scoring.metrics import METRICS, PREFIXES, UNITS

FREQUENCY = "frequency"
SHARE = "share"
SHARES = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Measure:
    """What a measure is: a line, its unit, which value is better, and the dimensions beside ``forecast``."""

    long_name: str
    unit: str
    better: str = "lower"
    dims: tuple[str, ...] = ()


_EACH = (INTERVAL,)
_CLASS = (FREQUENCY,)
_TENTH = (TENTH,)
# Of each customer's forecast, and of the order of customers: of purchases, spend and value.
_AMOUNTS = {
    "mae": Measure("mean absolute error of the mean", "{unit}"),
    "rmse": Measure("root of the mean squared error of the mean", "{unit}"),
    "crps": Measure("continuous ranked probability score", "{unit}"),
    "covered": Measure("customers inside their interval", "share", "nearer promised", _EACH),
    "promised": Measure("mean probability of the customers' intervals", "share", "", _EACH),
    "pit_mean": Measure("mean place in the customers' own forecasts", "share", "nearer 1/2"),
    "pit_distance": Measure("distance of the places in the forecasts from even ones", "share"),
    "pit_reference": Measure("the distance that true forecasts stay within, 95 % of the time", "share", ""),
    "concordance": Measure("pairs of unequal customers ranked right", "share", "higher"),
    "captured": Measure("share of the real {quantity} with the best ranked", "share", "higher", (SHARE,)),
    "gini": Measure(
        "Gini of the real {quantity} in the forecast's order, over that in their own", "share", "higher"
    ),
    "total_error": Measure("forecast total less the real one, over the real one", "share", "nearer 0"),
}
# Counted draw by draw, of purchases and spend.
_COUNTED = {
    "covered_se": Measure(
        "standard error of the customers inside, were the forecast true", "share", "", _EACH
    ),
}
# Of the sum over customers, of retention too.
_TOTALS = {
    "total_mean": Measure("mean of the forecast total", "{unit}", ""),
    "total_q05": Measure("lower end of the total's 90 % interval", "{unit}", ""),
    "total_q95": Measure("upper end of the total's 90 % interval", "{unit}", ""),
    "total_covered": Measure("1 where the real total lies in its 90 % interval", "0 or 1", "higher"),
    "total_rank": Measure("place of the real total among the simulated ones", "share", ""),
    "total_log_crps": Measure("continuous ranked probability score of the total's logarithm", "none"),
}
_OF_PURCHASES = {
    "mae_median": Measure("mean absolute error of the median", "purchases"),
    "log_score": Measure("mean of -log P(what happened)", "nats"),
    "frequent_crps": Measure(
        f"CRPS of customers with at least {FREQUENT} repeat purchases before", "purchases"
    ),
    "frequent_covered": Measure("of these, inside their interval", "share", "nearer promised", _EACH),
    "frequent_promised": Measure("of these, mean probability of their intervals", "share", "", _EACH),
    "frequent_covered_least": Measure(
        "share of these inside that 99 of 100 of the forecast's draws reach", "share", "", _EACH
    ),
    "impossible": Measure("customers who did what the forecast held impossible", "customers"),
    "unreached": Measure("customers whose purchases no draw reached", "customers"),
    "tracking_incremental": Measure(
        "mean absolute error of a period's purchases, over the real ones", "share"
    ),
    "tracking_cumulative": Measure("the same of the running total of the holdout", "share"),
}
_OF_RETENTION = {
    "retention_brier": Measure("squared distance of P(any purchase) from 0 or 1", "none"),
    "retention_log_score": Measure("mean of -log P(any purchase, or none, as happened)", "nats"),
}
_OF_MONEY = {"log_crps": Measure("CRPS of log(1 + amount / mean spend of a purchase)", "none")}


def _named(quantity: str, measures: Mapping[str, Measure]) -> dict[str, Measure]:
    """Return the measures as those of a quantity."""
    unit = "customers" if quantity == "retention" else UNITS[quantity]
    beside = "" if quantity == "purchases" else f", of {quantity}"
    return {
        PREFIXES[quantity] + name: Measure(
            (one.long_name if "{" in one.long_name else one.long_name + beside).format(quantity=quantity),
            one.unit.format(unit=unit),
            one.better,
            one.dims,
        )
        for name, one in measures.items()
    }


# How much worse a forecast is than the first, by each proper score.
PROPER = tuple(
    PREFIXES[quantity] + name for name, metric in METRICS.items() if metric.proper for quantity in metric.of
)
_CRPS_WORSE = {
    "crps_worse": Measure("CRPS less the model's", "purchases"),
    "crps_worse_se": Measure("standard error of CRPS less the model's, over customers", "purchases", ""),
}
MEASURES = (
    _named("purchases", _AMOUNTS | _COUNTED | _TOTALS)
    | _OF_PURCHASES
    | _CRPS_WORSE
    | _OF_RETENTION
    | _named("retention", _TOTALS)
    | _named("spend", _AMOUNTS | _COUNTED | _OF_MONEY | _TOTALS)
    | _named("value", _AMOUNTS | _OF_MONEY | _TOTALS)
)


def _details(quantity: str) -> dict[str, Measure]:
    """Return what an evaluation holds of a quantity beside its measures: histogram, by frequency, by tenth."""
    unit = UNITS[quantity]
    found = {
        "predicted_by_tenth": Measure(
            "mean forecast, by tenth of the forecast, lowest first", unit, "", _TENTH
        ),
        "real_by_tenth": Measure("mean of what happened, by tenth of the forecast", unit, "", _TENTH),
        "customers_by_tenth": Measure("customers, by tenth of the forecast", "count", "", _TENTH),
    }
    if quantity == "retention":
        found["real_by_tenth_se"] = Measure(
            "standard error of the real share, were the forecast true", unit, "", _TENTH
        )
    else:
        found |= {
            "pit_histogram": Measure(
                "share of customers by their place in their own forecast", "share", "", ("bin",)
            ),
            "covered_by_frequency": Measure("customers inside their interval", "share", "", _CLASS + _EACH),
            "promised_by_frequency": Measure(
                "mean probability of the intervals", "share", "", _CLASS + _EACH
            ),
        }
    return {PREFIXES[quantity] + name: measure for name, measure in found.items()}


DETAILS = {
    "predicted_by_frequency": Measure("mean purchases forecast", "purchases", "", _CLASS),
    **{name: one for quantity in PREFIXES for name, one in _details(quantity).items()},
    "unlikely_customers": Measure("customers given less than 3 % of any purchase", "customers", ""),
    "unlikely_expected": Measure("of these, how many the forecast expects to buy", "customers", ""),
    "unlikely_retained": Measure("of these, how many bought", "customers", ""),
    "unlikely_retained_se": Measure("standard error of that, were the forecast true", "customers", ""),
    **{
        f"{name}_worse": Measure(f"{name} less the first model's", "", "")
        for name in PROPER
        if name != "crps"
    },
    **{
        f"{name}_worse_se": Measure(
            f"standard error of {name} less the first model's, over customers", "", ""
        )
        for name in PROPER
        if name != "crps"
    },
    "tracking_number": Measure("whole periods", "count", "", ("part", "periods")),
    "tracking_inside": Measure("periods inside the 90 % band", "count", "", ("part", "periods")),
    "tracking_above": Measure("periods above the 90 % band", "count", "", ("part", "periods")),
    "tracking_expected": Measure("periods inside that the model expects", "count", "", ("part", "periods")),
    "tracking_lower": Measure("periods inside, below which is a miss", "count", "", ("part", "periods")),
}


def described(found: Mapping[str, np.ndarray], own: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return measures (forecast, ...) as variables of a Dataset, in the order of the tables, ``own`` last.

    ``own`` are a user's metrics, by name, with the attributes of their scores.
    """
    variables: dict[str, Any] = {}
    for name, measure in (MEASURES | DETAILS).items():
        if name in found:
            attrs = {"long_name": measure.long_name, "units": measure.unit, "better": measure.better}
            variables[name] = (
                (FORECAST, *measure.dims),
                np.asarray(found[name]),
                attrs | {"level": "outcome"},
            )
    for name, words in own.items():
        variables[name] = (FORECAST, np.asarray(found[name]), dict(words))
    return variables


def record(evaluation: xr.Dataset) -> dict[str, Any]:
    """Return an evaluation as a dict ready for JSON; NaN and infinity become None, with their reasons kept.

    Keys are the attributes, the values of ``intervals``, ``shares`` and ``frequencies``, ``observed`` (what happened),
    ``notes`` (how each rule was made), and ``measures``: a dict a forecast, of numbers and lists.

    Parameters
    ----------
    evaluation
        The result of ``clv.evaluate``.

    Examples
    --------
    >>> sorted(record(evaluation)["measures"])
    ['model', 'pareto_rule', 'past_rate', 'period_mean', 'recency_rule']
    """

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value if np.isfinite(value) else None

    of_forecasts = [str(name) for name in evaluation.data_vars if FORECAST in evaluation[name].dims]
    names = [str(name) for name in evaluation[FORECAST].to_numpy()]
    notes = dict(zip(names, evaluation["note"].to_numpy().tolist(), strict=True))
    return {
        **{key: value for key, value in evaluation.attrs.items() if key != "result"},
        "notes": {name: note for name, note in notes.items() if note},
        "intervals": list(LEVELS),
        "shares": evaluation["share"].to_numpy().tolist(),
        "frequencies": evaluation[FREQUENCY].to_numpy().tolist(),
        "observed": {
            str(name): plain(evaluation[name].to_numpy().tolist())
            for name in evaluation.data_vars
            if FORECAST not in evaluation[name].dims
        },
        "measures": {
            name: {m: plain(evaluation[m].sel({FORECAST: name}).to_numpy().tolist()) for m in of_forecasts}
            for name in names
        },
    }
