"""What is measured of one customer's forecast: plain functions by name, and any that a user adds.

A metric is a function of a :class:`Quantity`, what the forecast says, and of what happened; both are arrays over
customers. It returns an array over customers, or None where the forecast does not say what it needs. *Proper* is a
metric whose expectation only the true distribution minimises: choose models by these.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bayes_clv.schema import InputError
from bayes_clv.scoring.counts import LEVELS

type Values = np.ndarray | None
# What names of scores begin with, and in which unit a quantity is.
PREFIXES = {"purchases": "", "retention": "retention_", "spend": "spend_", "value": "value_"}
UNITS = {"purchases": "purchases", "retention": "probability", "spend": "money", "value": "money"}
AMOUNTS = ("purchases", "spend", "value")
MONEY = ("spend", "value")


@dataclass(frozen=True)
class Quantity:
    """What a forecast says of each customer's purchases, retention (any purchase), spend or value.

    Arrays over customers; None, or absent, where the forecast does not say it.

    Attributes
    ----------
    name : str
        "purchases", "retention", "spend" or "value".
    mean, median : array
        Of the forecast; the mean of retention is its probability.
    quantiles : mapping of float to array
        By probability: of purchases 0.05, 0.25, 0.5, 0.75, 0.95; of value where draws were given, of spend made
        elsewhere.
    below, equal : array
        P(less than happened), P(as much as happened): shares of the draws.
    probability : array
        P(what happened) in closed form.
    crps, log_crps : array
        The continuous ranked probability score, on the natural scale and on that of log(1 + amount / money_unit).
    inside, mass : array
        (customer, interval): 1 where what happened lies in the closed 50, 80, 90 and 95 % intervals; the
        probability that the forecast gives these intervals.
    draws : array
        (draw, customer), where the forecast kept them (``clv.predict(..., keep_draws=True)``).
    """

    name: str
    mean: Values = None
    median: Values = None
    quantiles: Mapping[float, np.ndarray] = field(default_factory=dict)
    below: Values = None
    equal: Values = None
    probability: Values = None
    crps: Values = None
    log_crps: Values = None
    inside: Values = None
    mass: Values = None
    draws: Values = None


@dataclass(frozen=True)
class Metric:
    """A metric: its function, what it is, and of which quantities.

    Attributes
    ----------
    function : callable
        ``function(quantity, observed)`` -> (customer) array, or None.
    long_name, units, better : str
        A line; the unit, in which ``{unit}`` is the quantity's; "lower", "higher" or what it should be near.
    proper : bool
        Only the true distribution minimises its expectation.
    of : tuple of str
        Quantities that it is asked of.
    dims : tuple of str
        Dimensions of the result after ``customer``.

    Examples
    --------
    >>> def pinball(quantity, observed):
    ...     error = observed - quantity.quantiles[0.95]
    ...     return np.maximum(0.95 * error, -0.05 * error)
    >>> pinball_95 = clv.scoring.Metric(pinball, "pinball loss at 95 %", "{unit}", of=("purchases",))
    >>> scores = clv.scoring.score(future, customers, metrics={"pinball_95": pinball_95})
    >>> scores["pinball_95"].attrs["units"]
    'purchases'
    """

    function: Callable[[Quantity, np.ndarray], Values]
    long_name: str
    units: str = "{unit}"
    better: str = "lower"
    proper: bool = False
    of: tuple[str, ...] = AMOUNTS
    dims: tuple[str, ...] = ()


def absolute_error(quantity: Quantity, observed: np.ndarray) -> Values:
    """Return the distance of the mean from what happened."""
    return None if quantity.mean is None else np.abs(quantity.mean - observed)


def absolute_error_of_median(quantity: Quantity, observed: np.ndarray) -> Values:
    """Return the distance of the median from what happened."""
    return None if quantity.median is None else np.abs(quantity.median - observed)


def squared_error(quantity: Quantity, observed: np.ndarray) -> Values:
    """Return the squared distance of the mean from what happened; of a probability the Brier score."""
    return None if quantity.mean is None else (quantity.mean - observed) ** 2


def log_score(quantity: Quantity, _: np.ndarray) -> Values:
    """Return -log P(what happened); infinite where the forecast held it impossible."""
    if quantity.probability is None:
        return None
    with np.errstate(divide="ignore"):
        score: np.ndarray = -np.log(np.maximum(quantity.probability, 0.0))
    # Not -0 where what happened was certain.
    return score + 0.0


METRICS: dict[str, Metric] = {
    "predicted": Metric(lambda q, _: q.mean, "mean of the forecast", better="", of=(*PREFIXES,)),
    "absolute_error": Metric(absolute_error, "distance of the mean from what happened"),
    "absolute_error_of_median": Metric(absolute_error_of_median, "distance of the median from what happened"),
    "squared_error": Metric(
        squared_error, "squared distance of the mean from what happened", "{unit} squared"
    ),
    "crps": Metric(lambda q, _: q.crps, "continuous ranked probability score", proper=True),
    "log_crps": Metric(
        lambda q, _: q.log_crps,
        "continuous ranked probability score of log(1 + amount / mean spend of a purchase)",
        "none",
        proper=True,
        of=MONEY,
    ),
    "brier": Metric(
        squared_error,
        "squared distance of P(any purchase) from 0 or 1",
        "none",
        proper=True,
        of=("retention",),
    ),
    "log_score": Metric(
        log_score, "-log P(what happened)", "nats", proper=True, of=("purchases", "retention")
    ),
    "below": Metric(lambda q, _: q.below, "P(less than happened)", "probability", ""),
    "equal": Metric(lambda q, _: q.equal, "P(as much as happened)", "probability", ""),
    "covered": Metric(
        lambda q, _: q.inside,
        "1 where what happened lies in the interval",
        "0 or 1",
        "nearer promised",
        dims=("interval",),
    ),
    "promised": Metric(
        lambda q, _: q.mass, "probability of the interval", "probability", "", dims=("interval",)
    ),
}


def with_own(
    metrics: Mapping[str, Metric | Callable[[Quantity, np.ndarray], Values]] | None,
) -> dict[str, Metric]:
    """Return METRICS and a user's own, by name; InputError for a name that is taken and for what is no metric."""
    found = dict(METRICS)
    for name, metric in (metrics or {}).items():
        taken = [prefix for prefix in PREFIXES.values() if name.removeprefix(prefix) in METRICS]
        if taken:
            raise InputError(f"metrics has {name!r}, which is a name of ours. Give it another one.")
        if not isinstance(metric, Metric) and not callable(metric):
            raise InputError(
                f"metrics[{name!r}] must be a function of (quantity, observed) or a clv.scoring.Metric; it is a "
                f"{type(metric).__name__}."
            )
        found[name] = (
            metric if isinstance(metric, Metric) else Metric(metric, name, "", "", of=("purchases",))
        )
    return found


def measured(name: str, metric: Metric, quantity: Quantity, observed: np.ndarray) -> Values:
    """Return a metric of a quantity, after checking that it is of every customer."""
    values = metric.function(quantity, observed)
    if values is None:
        return None
    values = np.asarray(values)
    shape = (observed.size, *(len(LEVELS) for _ in metric.dims))
    if values.shape != shape:
        raise InputError(
            f"The metric {name!r} of {quantity.name} returned an array of shape {values.shape}; it must be of each "
            f"customer, {shape}, or None where the forecast does not say what it needs."
        )
    return values
