"""Scores summed up: means over customers, in groups of any kind, and differences between forecasts.

Customers are the independent units: a standard error is that of a mean over customers. Those of one base share its
parameters' error and its season, which no error over customers contains; several origins show it
(``clv.scoring.rolling_origins``).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.predictions.inputs import labels_of, name_of
from bayes_clv.schema import CUSTOMER, InputError, argument
from bayes_clv.scoring.customer_scores import FORECAST, INTERVAL, OBSERVED
from bayes_clv.scoring.metrics import AMOUNTS, PREFIXES, UNITS

# Calibration frequencies from this one on are one class.
TOP_CLASS = 7
AGES = 4
TENTHS = 10
TENTH = "tenth"
OTHER = "other"
_GROUP = "group"
_FORECAST_AND_CUSTOMER = (FORECAST, CUSTOMER)


def summarise(scores: xr.Dataset, by: Any = None, *, names: Sequence[str] | None = None) -> xr.Dataset:
    """Return the mean score of each forecast, over all customers or by group, with its standard error.

    Parameters
    ----------
    scores
        The result of ``clv.scoring.score``.
    by
        None: all together. ``"frequency"``: repeat purchases in calibration, 0, 1, …, 6, 7+. ``"age"``: quarters of
        T. ``"tenth"``: of each forecast's own order, 1 the lowest tenth of what it predicts: scores of purchases by
        predicted purchases, of retention by its probability, of money by predicted money; customers of equal
        prediction are in one tenth, that of their middle, so that tenths may differ in size. Any other column of the
        customers by name; or labels by customer id: a DataArray, a pandas Series, a mapping.
    names
        Which scores; all when left out.

    Returns
    -------
    xarray.Dataset
        Over ``forecast``, the groups (a dimension of their name) and ``interval``: every score's mean and, with
        ``_se``, its standard error over the customers of the group. Beside them ``customers``, and what happened:
        ``real`` (mean purchases), ``retention_real`` (share with any purchase), ``spend_real`` and ``value_real``, with
        ``_se``; and of amounts the sums, ``predicted_total`` and ``real_total`` with each prefix. By tenth, what
        happened and the customers differ by forecast and quantity, so that ``customers`` has the prefixes too.
        NaN where a group has no customers, or one of them has no score.

    Raises
    ------
    InputError
        What is no result of ``score``, an unknown column or a customer without label, and an unknown score.

    Examples
    --------
    >>> scores = clv.scoring.score(value, customers)
    >>> by_tenth = clv.scoring.summarise(scores, by="tenth")
    >>> dict(by_tenth["retention_real"].sizes)
    {'forecast': 5, 'tenth': 10}
    >>> clv.scoring.summarise(scores, by="frequency")["customers"].values.tolist()
    [1411, 439, 214, 100, 62, 38, 29, 64]
    """
    check_scores(scores)
    every = _scores(scores)
    wanted = every if names is None else list(names)
    unknown = [name for name in wanted if name not in every]
    if unknown:
        raise InputError(f"There is no score {unknown[0]!r}. There are {', '.join(every)}.")
    tenth = isinstance(by, str) and by == TENTH
    dim, labels, shared = (TENTH, list(range(1, TENTHS + 1)), None) if tenth else _groups(scores, by)
    size = max(len(labels), 1)
    found: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]] = {}
    for quantity, prefix in PREFIXES.items():
        if f"{prefix}predicted" not in scores:
            continue
        if shared is None:
            predicted = scores[f"{prefix}predicted"].values
            places = [_Places(tenths(each), size) for each in predicted]
        else:
            places = [shared]
        mine = [name for name in wanted if scores[name].attrs["quantity"] == quantity]
        found |= _summary(scores, quantity, mine, places, apart=shared is None)
    if shared is not None:
        found["customers"] = ((_GROUP,), shared.counts, {"long_name": "customers", "units": "count"})
    result = xr.Dataset(found, coords=scores[[FORECAST, INTERVAL]].coords, attrs={**scores.attrs, "result": "summary"})
    if not dim:
        return result.squeeze(_GROUP)
    return result.rename({_GROUP: dim}).assign_coords({dim: labels})


class _Places:
    """Which group each customer belongs to, from 0 to size - 1, or none (negative)."""

    def __init__(self, place: np.ndarray, size: int) -> None:
        self.inside = None if (place >= 0).all() else place >= 0
        self.place, self.size = self._of(place), size
        self.counts = np.bincount(self.place, minlength=size)

    def _of(self, values: np.ndarray) -> np.ndarray:
        return values if self.inside is None else values[self.inside]

    def sum(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.place, weights=self._of(values), minlength=self.size)

    def mean(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the means of the groups and their standard errors, NaN where there is none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.sum(values) / self.counts
            squares = np.bincount(
                self.place, weights=(self._of(values) - mean[self.place]) ** 2, minlength=self.size
            )
            return mean, np.sqrt(squares / (self.counts - 1) / self.counts)


def _summary(
    scores: xr.Dataset, quantity: str, names: list[str], places: list[_Places], *, apart: bool
) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
    """Return the scores of one quantity by group; ``places`` are those of each forecast (``apart``), or one for all."""
    prefix, real = PREFIXES[quantity], np.asarray(scores[OBSERVED[quantity]].values, dtype=float)
    found: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]] = {}
    size = scores.sizes[FORECAST]
    of_all = (FORECAST, _GROUP)
    of_each = places if apart else places * size
    for name in names:
        values = scores[name].values
        parts = [_mean(place, values[i]) for i, place in enumerate(of_each)]
        dims = (FORECAST, _GROUP, *scores[name].dims[2:])
        words = str(scores[name].attrs["long_name"])
        attrs = dict(scores[name].attrs)
        found[name] = dims, np.stack([mean for mean, _ in parts]), attrs
        found[f"{name}_se"] = (
            dims,
            np.stack([error for _, error in parts]),
            attrs | {"long_name": f"standard error of the mean, over customers: {words}", "better": ""},
        )
    dims = of_all if apart else (_GROUP,)
    took_place = [place.mean(real) for place in places]

    def joined(parts: list[np.ndarray]) -> np.ndarray:
        return np.stack(parts) if apart else parts[0]

    unit = {"units": UNITS[quantity], "quantity": quantity, "level": "outcome"}
    found |= {
        f"{prefix}real": (dims, joined([mean for mean, _ in took_place]), unit | {"long_name": "what happened, mean"}),
        f"{prefix}real_se": (
            dims,
            joined([error for _, error in took_place]),
            unit | {"long_name": "standard error of the mean of what happened, over customers"},
        ),
    }
    if apart:
        counts = np.stack([place.counts for place in places])
        found[f"{prefix}customers"] = of_all, counts, {"long_name": "customers", "units": "count"}
    if quantity in AMOUNTS:
        total = [place.sum(real) for place in places]
        predicted = [place.sum(each) for place, each in zip(of_each, scores[f"{prefix}predicted"].values, strict=True)]
        found[f"{prefix}real_total"] = dims, joined(total), unit | {"long_name": "what happened, sum"}
        found[f"{prefix}predicted_total"] = of_all, np.stack(predicted), unit | {"long_name": "sum of the means"}
    return found


def _mean(place: _Places, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and errors of (customer) or (customer, interval) scores."""
    if values.ndim == 1:
        return place.mean(values)
    parts = [place.mean(column.astype(float)) for column in values.T]
    return np.stack([mean for mean, _ in parts], axis=-1), np.stack([error for _, error in parts], axis=-1)


def pairwise(scores: xr.Dataset, metric: str) -> xr.Dataset:
    """Return by how much forecasts differ in a score, customer by customer.

    Parameters
    ----------
    scores
        The result of ``clv.scoring.score``.
    metric
        The name of a score, best a proper one: crps, log_score, retention_brier, retention_log_score, spend_crps,
        spend_log_crps.

    Returns
    -------
    xarray.Dataset
        ``difference`` (forecast, other), the mean score of ``forecast`` less that of ``other``, and ``difference_se``,
        its standard error over customers: of a score where lower is better, a positive difference is a worse
        forecast. NaN where either has no score, or both are infinite for a customer.

    Raises
    ------
    InputError
        A name that is no score, or one of intervals.

    Notes
    -----
    Differences within twice their error are no difference. The error is that of these customers at this one
    origin; what changes from one season to the next is not in it.

    Examples
    --------
    >>> scores = clv.scoring.score(value, customers)
    >>> found = clv.scoring.pairwise(scores, "crps")
    >>> bool(found["difference"].sel(forecast="period_mean", other="model") > 0)
    True
    """
    check_scores(scores)
    known = [name for name in _scores(scores) if scores[name].dims == _FORECAST_AND_CUSTOMER]
    if metric not in known:
        raise InputError(f"There is no score {metric!r} of single customers. Give one of {', '.join(known)}.")
    values = scores[metric].values
    shape = (values.shape[0],) * 2
    mean, error = np.full(shape, np.nan), np.full(shape, np.nan)
    exists = ~np.isnan(values).any(axis=1)
    for i in np.flatnonzero(exists):
        for j in np.flatnonzero(exists):
            mean[i, j], error[i, j] = paired_difference(values[i], values[j])
    attrs = scores[metric].attrs
    names = scores[FORECAST].values
    return xr.Dataset(
        {
            "difference": (
                (FORECAST, OTHER),
                mean,
                attrs | {"long_name": f"{attrs['long_name']}, less that of the other forecast"},
            ),
            "difference_se": (
                (FORECAST, OTHER),
                error,
                {"long_name": "standard error of the difference, over customers", "units": attrs["units"]},
            ),
        },
        coords={FORECAST: names, OTHER: names},
        attrs={"result": "pairwise", "metric": metric, "customers": int(values.shape[1])},
    )


def paired_difference(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the mean of one less other, and its standard error; NaN where it does not exist."""
    with np.errstate(invalid="ignore"):
        difference = one - other
        error = difference.std(ddof=1) / np.sqrt(difference.size) if difference.size > 1 else np.nan
    return float(difference.mean()), float(error)


def check_scores(scores: xr.Dataset) -> None:
    """Refuse what is no result of ``clv.scoring.score``."""
    if not isinstance(scores, xr.Dataset) or scores.attrs.get("result") != "scores":
        raise InputError(f"{argument('scores')} must be the result of clv.scoring.score(value, customers).")


def _scores(scores: xr.Dataset) -> list[str]:
    return [str(name) for name, column in scores.data_vars.items() if column.dims[:2] == _FORECAST_AND_CUSTOMER]


def frequency_classes(frequency: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the classes of calibration frequency that occur ("0", "1", …, "7+") and each customer's place in them."""
    values, place = np.unique(np.minimum(frequency, TOP_CLASS), return_inverse=True)
    return [f"{int(value)}+" if value == TOP_CLASS else str(int(value)) for value in values], place


def _groups(scores: xr.Dataset, by: Any) -> tuple[str, list[str], _Places]:
    """Return what groups are called, their labels and each customer's place among them."""
    dim, labels, place = _labelled(scores, by)
    return dim, labels, _Places(place, max(len(labels), 1))


def _labelled(scores: xr.Dataset, by: Any) -> tuple[str, list[str], np.ndarray]:
    if by is None:
        return "", [], np.zeros(scores.sizes[CUSTOMER], dtype=np.int64)
    if isinstance(by, str) and by == "frequency":
        return by, *frequency_classes(scores["frequency"].values)
    if isinstance(by, str) and by == "age" and "age" not in scores:
        age = np.asarray(scores["T" if "T" in scores else "opportunities"].values, dtype=float)
        return by, *_quarters(age)
    labels, place = np.unique(labels_of(scores, by), return_inverse=True)
    try:
        order = np.argsort(labels.astype(float), kind="stable")
    except ValueError:
        order = np.arange(labels.size)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return name_of(by), labels[order].tolist(), rank[place]


def _quarters(age: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return quarters of the ages as ranges, fewer where many are of one age."""
    ends = np.unique(np.quantile(age, np.arange(1, AGES + 1) / AGES, method="inverted_cdf"))
    place = np.searchsorted(ends, age)
    starts = [age[place == i].min() for i in range(ends.size)]
    return [f"{low:.4g} to {high:.4g}" for low, high in zip(starts, ends, strict=True)], place


def tenths(predicted: np.ndarray) -> np.ndarray:
    """Return each customer's tenth, from 0: that of the middle of those who have the same prediction; -1 of NaN."""
    known = np.isfinite(predicted)
    _, group, sizes = np.unique(predicted[known], return_inverse=True, return_counts=True)
    middle = (np.cumsum(sizes) - sizes / 2) / max(int(known.sum()), 1)
    place = np.full(predicted.size, -1)
    place[known] = np.minimum(middle * TENTHS, TENTHS - 1e-9).astype(np.int64)[group]
    return place
