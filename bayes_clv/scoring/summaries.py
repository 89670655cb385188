"""Scores summed up: means over customers, in groups of any kind, and differences between forecasts.

Customers are the independent units: a standard error is that of a mean over customers. Those of one base share its
parameters' error and its season, which no error over customers contains; several origins show it
(``clv.scoring.rolling_origins``).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import CUSTOMER, InputError, argument
from bayes_clv.scoring.customer_scores import FORECAST, INTERVAL, OBSERVED
from bayes_clv.scoring.groups import TENTH, TENTHS, Groups, groups_by, tenths
from bayes_clv.scoring.metrics import AMOUNTS, PREFIXES, UNITS

OTHER = "other"
_GROUP = "group"
_EACH = (FORECAST, _GROUP)
_COUNT = {"long_name": "customers", "units": "count"}

type Variables = dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]


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
    every = score_names(scores)
    wanted = every if names is None else list(names)
    unknown = [name for name in wanted if name not in every]
    if unknown:
        raise InputError(f"There is no score {unknown[0]!r}. There are {', '.join(every)}.")
    own = isinstance(by, str) and by == TENTH
    dim, labels, shared = (TENTH, [*range(1, TENTHS + 1)], None) if own else groups_by(scores, by)
    found: Variables = {} if shared is None else {"customers": ((_GROUP,), shared.counts, _COUNT)}
    for quantity, prefix in PREFIXES.items():
        if f"{prefix}predicted" not in scores:
            continue
        predicted = scores[f"{prefix}predicted"].values
        each = [tenths(column) if shared is None else shared for column in predicted]
        mine = [name for name in wanted if scores[name].attrs["quantity"] == quantity]
        found |= _means(scores, mine, each) | _real(scores, quantity, each if shared is None else shared)
        if quantity in AMOUNTS:
            total = np.stack([group.sum(column) for group, column in zip(each, predicted, strict=True)])
            found[f"{prefix}predicted_total"] = _EACH, total, _attrs("sum of the means", quantity)
        if shared is None:
            found[f"{prefix}customers"] = _EACH, np.stack([group.counts for group in each]), _COUNT
    attrs = {**scores.attrs, "result": "summary"}
    result = xr.Dataset(found, coords=scores[[FORECAST, INTERVAL]].coords, attrs=attrs)
    return result.rename({_GROUP: dim}).assign_coords({dim: labels}) if dim else result.squeeze(_GROUP)


def _attrs(words: str, quantity: str) -> dict[str, Any]:
    return {"long_name": words, "units": UNITS[quantity], "quantity": quantity, "level": "outcome"}


def _means(scores: xr.Dataset, names: list[str], each: list[Groups]) -> Variables:
    """Return the mean scores by group, of each forecast, and their errors."""
    found: Variables = {}
    for name in names:
        values, attrs = scores[name].values, dict(scores[name].attrs)
        parts = [_mean(group, column) for group, column in zip(each, values, strict=True)]
        dims = (*_EACH, *map(str, scores[name].dims[2:]))
        error = attrs | {"long_name": f"standard error over customers: {attrs['long_name']}", "better": ""}
        found[name] = dims, np.stack([mean for mean, _ in parts]), attrs
        found[f"{name}_se"] = dims, np.stack([error for _, error in parts]), error
    return found


def _mean(group: Groups, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and errors of (customer) or (customer, interval) scores."""
    if values.ndim == 1:
        return group.mean_and_error(values)
    parts = [group.mean_and_error(column.astype(float)) for column in values.T]
    return np.stack([mean for mean, _ in parts], axis=-1), np.stack([error for _, error in parts], axis=-1)


def _real(scores: xr.Dataset, quantity: str, groups: Groups | list[Groups]) -> Variables:
    """Return what happened by group, in the mean and, of amounts, in sum; of each forecast where groups are its own."""
    prefix, real = PREFIXES[quantity], np.asarray(scores[OBSERVED[quantity]].values, dtype=float)
    each = groups if isinstance(groups, list) else [groups]
    columns = [(*group.mean_and_error(real), group.sum(real)) for group in each]
    dims = _EACH if isinstance(groups, list) else (_GROUP,)
    words = {
        "real": "mean of what happened",
        "real_se": "its standard error over customers",
        "real_total": "its sum",
    }
    found: Variables = {}
    for i, (name, long_name) in enumerate(words.items()):
        values = np.stack([column[i] for column in columns])
        if name != "real_total" or quantity in AMOUNTS:
            found[prefix + name] = dims, values if dims == _EACH else values[0], _attrs(long_name, quantity)
    return found


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
    known = [name for name in score_names(scores) if scores[name].dims == (FORECAST, CUSTOMER)]
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


def score_names(scores: xr.Dataset) -> list[str]:
    """Return which variables are scores of each forecast and customer."""
    return [str(name) for name, column in scores.data_vars.items() if column.dims[:2] == (FORECAST, CUSTOMER)]
