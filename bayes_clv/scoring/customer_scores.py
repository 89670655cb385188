"""One score a customer and forecast: what every summary of a holdout is a mean of.

Everything of a simulated forecast (means, intervals, places, CRPS) was computed beside its draws and is read here; no
array (customer, draw) is made. What is asked of a quantity are the functions of ``scoring.metrics``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.predictions.tiles import in_order
from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, POINTERS, QUANTILES, describe
from bayes_clv.scoring.baselines import BASELINES
from bayes_clv.scoring.counts import LEVELS
from bayes_clv.scoring.forecasts import Forecasts, gathered
from bayes_clv.scoring.metrics import MONEY, PREFIXES, UNITS, Metric, Quantity, measured, with_own

FORECAST = "forecast"
INTERVAL = "interval"
# What happened, by quantity, among the scores.
OBSERVED = {
    "purchases": "holdout_purchases",
    "retention": "retained",
    "spend": "holdout_spend",
    "value": "holdout_value",
}


def score(
    value: xr.Dataset | Mapping[str, xr.Dataset],
    customers: xr.Dataset,
    *,
    buying: xr.DataTree | Mapping[str, xr.DataTree] | None = None,
    baselines: Sequence[str] = tuple(BASELINES),
    metrics: Mapping[str, Metric | Callable[[Quantity, np.ndarray], np.ndarray | None]] | None = None,
    hiatus: str | float | None = None,
    draws: int | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return how each forecast of the holdout did for each customer, never on the data of the fit.

    Parameters
    ----------
    value
        A forecast over the holdout's duration, of ``clv.predict`` (with ``spending=`` for money) or
        ``clv.scoring.forecast``; or several by name.
    customers
        Customers with a holdout (``clv.summarize(..., holdout_until=...)``), or givers at opportunities
        (``clv.customers.from_opportunities``) with one.
    buying
        The posterior behind the forecast, or several by the same names: for the log scores, from P(Y = n) in closed
        form.
    baselines
        Simple rules to score beside: past_rate, recency_rule, period_mean, pareto_rule.
    metrics
        Your own by name: functions of (quantity, observed) that are asked of purchases, or ``clv.scoring.Metric``.
    hiatus, draws, threads
        As in ``clv.evaluate``.

    Returns
    -------
    xarray.Dataset
        Over ``forecast`` and ``customer``, of purchases: ``predicted`` (the mean), ``absolute_error``,
        ``absolute_error_of_median``, ``squared_error``, ``crps``, ``log_score``, ``below`` and ``equal``, P(fewer) and
        P(as many) as happened, and over ``interval`` (50, 80, 90, 95 %) ``covered`` and ``promised``. With
        ``retention_`` (any purchase): ``predicted``, ``brier``, ``log_score``. With ``spend_`` and ``value_`` as for
        purchases, but ``log_crps``, CRPS of log(1 + amount / mean spend of a purchase), in place of the log score. Each
        says in its attributes ``long_name``, ``units``, ``better`` and whether it is ``proper``.

        Over ``customer``: what happened (``holdout_purchases``, ``retained``, ``holdout_spend``, and ``holdout_value``
        after margin and discount), and the customers' own columns, to group by. Coordinates ``kind``, ``label`` and
        ``note``. ``attrs["reasons"]`` lists what does not exist (NaN) and why.

    Raises
    ------
    InputError
        As in ``clv.evaluate``, and a metric that is not of every customer.

    Notes
    -----
    A simple rule has a mean only: its purchases are scored as a Poisson around it (a mean of 0 then holds impossible
    that somebody buys), its retention as 1 - exp(-mean), its money as a point. Where the mean of spend does not exist
    (an infinite expectation), neither does CRPS; ``log_crps`` does. Without ``buying`` the probability of any purchase
    is the share of draws, and its log score infinite where no draw bought and the customer did.

    Examples
    --------
    >>> scores = clv.scoring.score(value, customers, buying=buying, draws=20)
    >>> dict(scores["crps"].sizes)
    {'forecast': 5, 'customer': 2357}
    >>> by_frequency = clv.scoring.summarise(scores, by="frequency")
    """
    forecasts = gathered(
        value,
        customers,
        buying=buying,
        baselines=baselines,
        hiatus=hiatus,
        draws=draws,
        threads=threads,
    )
    return scores_of(forecasts, with_own(metrics), threads=threads)


type Column = tuple[tuple[str, ...], np.ndarray, dict[str, object]]


def scores_of(
    forecasts: Forecasts, metrics: Mapping[str, Metric], *, threads: int | None = None
) -> xr.Dataset:
    """Return the metrics of each forecast and customer."""
    reasons = list(forecasts.reasons)
    size, names = forecasts.customers.sizes[CUSTOMER], list(forecasts.each)
    data, whys = _rooms_filled(forecasts, metrics, threads)
    reasons += whys
    happened = {OBSERVED[name]: (CUSTOMER, real) for name, real in forecasts.observed.items()}
    columns = {
        str(name): (CUSTOMER, column.values)
        for name, column in forecasts.customers.data_vars.items()
        if column.dims == (CUSTOMER,) and name not in POINTERS
    }
    hidden = sorted(columns.keys() & data.keys())
    if hidden:
        reasons.append(f"The customers' {', '.join(hidden)} cannot be grouped by: scores have the same name.")
    base = xr.Dataset(
        {name: column for name, column in columns.items() if name not in hidden} | happened,
        coords={CUSTOMER: forecasts.customers.get_index(CUSTOMER)},
        attrs={"time_unit": str(forecasts.first.attrs["time_unit"])},
    )
    each = forecasts.each.values()
    kinds = ["model" if name in forecasts.models else "rule" for name in names]
    words = {
        "kind": kinds,
        "label": [_label(one) for one in each],
        "note": [one.attrs.get("note", "") for one in each],
    }
    scores = (
        describe(base)
        .assign(data)
        .assign_coords({FORECAST: np.array(names, dtype=object), INTERVAL: list(LEVELS)})
    )
    scores = scores.assign_coords(
        {name: (FORECAST, np.array(each, dtype=object)) for name, each in words.items()}
    )
    scores["retained"].attrs = {"long_name": "any purchase in the holdout", "units": "true or false"}
    scores[INTERVAL].attrs = {"long_name": "nominal probability of the interval", "units": "percent"}
    return scores.assign_attrs(
        result="scores",
        horizon=float(forecasts.first.attrs["horizon"]),
        customers=size,
        level="outcome",
        reasons=reasons,
    )


def _rooms_filled(
    forecasts: Forecasts, metrics: Mapping[str, Metric], threads: int | None
) -> tuple[dict[str, Column], list[str]]:
    """Return (forecast, customer) of each metric and quantity, NaN where a forecast has none, and why; by threads."""
    data: dict[str, Column] = {}
    among = list(forecasts.each.items())
    making = Lock()

    def fill(place: int) -> tuple[list[str], list[str]]:
        name, future = among[place]
        reasons: list[str] = []
        written = []
        for quantity in _quantities(name, future, forecasts, reasons):
            real = forecasts.observed[quantity.name]
            for key, metric in metrics.items():
                values = measured(key, metric, quantity, real) if quantity.name in metric.of else None
                if values is None:
                    continue
                column = PREFIXES[quantity.name] + key
                with making:
                    if column not in data:
                        # Of intervals there are four to a customer: half the memory.
                        dtype = np.float32 if metric.dims else np.float64
                        room = np.empty((len(among), *values.shape), dtype=dtype)
                        data[column] = (FORECAST, CUSTOMER, *metric.dims), room, _attrs(metric, quantity.name)
                data[column][1][place] = values
                written.append(column)
        return written, reasons

    filled = list(in_order(fill, range(len(among)), threads=threads))
    for column, (_, room, _) in data.items():
        for place, (written, _) in enumerate(filled):
            if column not in written:
                room[place] = np.nan
    # In the forecasts' order, whichever thread was first.
    order = dict.fromkeys(column for written, _ in filled for column in written)
    return {column: data[column] for column in order}, [why for _, whys in filled for why in whys]


def _attrs(metric: Metric, quantity: str) -> dict[str, object]:
    return {
        "long_name": metric.long_name,
        "units": metric.units.format(unit=UNITS[quantity]),
        "better": metric.better,
        "proper": int(metric.proper),
        "quantity": quantity,
        "level": "outcome",
    }


def _label(future: xr.Dataset) -> str:
    return str(future.attrs.get("label") or f"{future.attrs.get('family', 'model')}, simulated futures")


def _quantities(
    name: str, future: xr.Dataset, forecasts: Forecasts, reasons: list[str]
) -> Iterator[Quantity]:
    """Yield what a forecast says of each quantity that happened."""
    draws = int(future.attrs.get("draws", 1))
    # What the metrics of retention call the probability of what happened.
    if "probability_active" in future:
        active = np.asarray(future["probability_active"].values)
        real = forecasts.observed["retention"]
        inactive = _column(future, "probability_inactive")
        chance = np.where(real, active, 1 - active if inactive is None else inactive)
        yield Quantity("retention", mean=active, probability=chance)
    for what in ("purchases", *MONEY):
        if what not in forecasts.observed:
            continue
        mean = _column(future, f"{what}_mean")
        if mean is None:
            if what == "spend" and "spend_rank" not in future:
                reasons.append(say("{forecast}: no amounts to forecast spend from.", forecast=name))
            continue
        prefix = PREFIXES[what]
        crps = _column(future, f"{prefix}crps")
        bad = np.isnan(mean)
        if bad.any():
            reasons.append(
                say(
                    "{forecast}: mean {quantity} does not exist for {bad} of {size} customers.",
                    forecast=name,
                    quantity=what,
                    bad=int(bad.sum()),
                    size=bad.size,
                )
            )
            # An expectation of |X - y| that is infinite is in every draw's sample another number.
            crps = None if crps is None else np.where(bad, np.nan, crps)
        below, equal = (_column(future, f"{prefix}draws_{which}") for which in ("below", "equal"))
        yield Quantity(
            what,
            mean=mean,
            median=_column(future, f"{what}_q50"),
            quantiles={
                q: found
                for q in QUANTILES
                if (found := _column(future, f"{what}_q{round(100 * q):02d}")) is not None
            },
            below=None if below is None else below / draws,
            equal=None if equal is None else equal / draws,
            probability=_column(future, "holdout_probability") if what == "purchases" else None,
            crps=crps,
            log_crps=_column(future, f"{prefix}log_crps"),
            inside=_by_level(future, f"{prefix}inside"),
            mass=_by_level(future, f"{prefix}mass"),
            draws=_draws(future, what),
        )


def _column(future: xr.Dataset, name: str) -> np.ndarray | None:
    return np.asarray(future[name].values) if name in future and future[name].dims == (CUSTOMER,) else None


def _by_level(future: xr.Dataset, stem: str) -> np.ndarray | None:
    """Return (customer, interval) of a forecast that has intervals."""
    if f"{stem}_{LEVELS[0]}" not in future:
        return None
    return np.stack([np.asarray(future[f"{stem}_{level}"].values) for level in LEVELS], axis=-1)


def _draws(future: xr.Dataset, what: str) -> np.ndarray | None:
    """Return kept draws (draw, customer)."""
    if what not in future or future[what].dims != (CHAIN, DRAW, CUSTOMER):
        return None
    kept = future[what].values
    return kept.reshape(-1, kept.shape[-1])
