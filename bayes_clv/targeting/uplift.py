"""``clv.targeting.predict_uplift``: what contacting a customer adds, on every draw.

The uplift of a customer is the mean outcome if contacted less the mean outcome if not, in money before margin and cost.
It is a number of the customer's segment (level: expected), so that the draws are kept by segment, (chain, draw,
segment), or (chain, draw, offer, segment) of several offers, and every customer's are those of its segment times its
``scale``: all draws of a million customers take the room of a few segments.

A segment that the experiment did not have is drawn from the fitted distribution of segments, one segment for all its
customers: offset = sd × z, z belonging to the posterior's seed, the quantity, the label and the draw.
"""

import math
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import expit

from bayes_clv.customers.checks import check_ids
from bayes_clv.customers.columns import column_values
from bayes_clv.customers.experiments import EVERYBODY
from bayes_clv.inference.posterior import RESPONSE
from bayes_clv.inference.response import fit_response as fit_response
from bayes_clv.inference.response import links
from bayes_clv.inference.response_cells import ARM, OFFER, SEGMENT
from bayes_clv.predictions.inputs import labels_of, problems
from bayes_clv.predictions.parameters import new_group
from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, InputError, Variable, argument, describe, named_quantiles


def predict_uplift(
    response: xr.DataTree, customers: xr.Dataset, *, by: Any = "segment", scale: Any = None
) -> xr.Dataset:
    """Return what contacting each customer adds to its outcome, on draws.

    Parameters
    ----------
    response
        Posterior of ``clv.targeting.fit_response``.
    customers
        The experiment's customers, or any others with a column of segments (``clv.with_columns``). Not read where the
        experiment had one segment.
    by
        The customers' segments: the name of a column, labels by customer id, or what ``clv.segment`` returned; labels
        that the experiment did not have are allowed.
    scale
        A column of the customers, not negative, to which a customer's outcome in either arm is taken to be
        proportional within its segment: with the expected value as ``scale``, a customer of twice its segment's mean
        gains twice its segment's uplift. An assumption that the experiment is not asked about; without ``scale`` all
        customers of a segment are alike. The column is divided by the segment's mean over these customers, which are
        taken to respond as the experiment's did on average.

    Returns
    -------
    xarray.Dataset
        By segment (chain, draw, segment), level expected: ``uplift``, ``outcome_control``, ``outcome_treated``,
        ``spend_control``, ``spend_treated`` (money), ``conversion_control`` and ``conversion_treated``;
        ``spend_shape`` (chain, draw); ``in_experiment`` (segment). By customer: ``customer_segment``, ``scale`` (mean 1
        in each segment) and uplift_mean, _sd, _q05, _q25, _q50, _q75, _q95. A customer's draws are ``scale`` × those of
        its segment. Where the experiment named its offers, ``uplift``, its summaries and what is of the treated have a
        dimension ``offer`` too, and ``attrs["control"]`` is what the controls are called.

    Raises
    ------
    InputError
        No posterior of ``clv.targeting.fit_response``; a missing column or value; segments that the experiment did
        not have where it had only one; a ``scale`` that is negative or 0 for a whole segment.

    Examples
    --------
    >>> added = predict_uplift(response, experiment)
    >>> added["uplift"].dims
    ('chain', 'draw', 'segment')
    """
    if not isinstance(response, xr.DataTree) or response.attrs.get("family") != RESPONSE:
        raise InputError(
            "The response must be a posterior of clv.targeting.fit_response(experiment, ...); got "
            f"{type(response).__name__} of family {getattr(response, 'attrs', {}).get('family')!r}."
        )
    check_ids(
        customers, "clv.customers.from_experiment(table), or clv.summarize(orders, ...) and clv.with_columns"
    )
    known = response["observed_data"][SEGMENT].to_numpy().astype(str).tolist()
    own = _segments(customers, by, known)
    labels, index = np.unique(own, return_inverse=True)
    draws = _by_segment(response, labels.tolist(), known)
    factor = _scale(customers, scale, index, labels)

    data: dict[str, Any] = {CUSTOMER: customers[CUSTOMER].to_numpy()}
    dataset = draws.assign_coords(data)
    dataset["in_experiment"] = (SEGMENT, np.isin(labels, known))
    dataset["customer_segment"] = (CUSTOMER, own.astype(object))
    what = (
        "outcome relative to the segment's mean"
        if scale is None
        else f"{scale!r} relative to its segment's mean"
    )
    dataset["scale"] = (CUSTOMER, factor)
    of_offer = [OFFER] if OFFER in draws["uplift"].dims else []
    flat = draws["uplift"].stack(all=(CHAIN, DRAW)).transpose(SEGMENT, *of_offer, "all").to_numpy()
    statistics = {
        "mean": flat.mean(axis=-1),
        "sd": flat.std(axis=-1, ddof=1) if flat.shape[-1] > 1 else flat[..., 0] * 0,
    }
    statistics |= named_quantiles(flat, axis=-1)
    for name, value in statistics.items():
        each = factor.reshape(-1, *[1] * len(of_offer)) * value[index]
        dataset[f"uplift_{name}"] = ((CUSTOMER, *of_offer), each)
    dataset.attrs = {
        "result": "uplift",
        "level": "expected",
        "scale": "" if scale is None else str(scale),
        "problems": problems(response),
    }
    if of_offer:
        dataset.attrs["control"] = str(response["observed_data"][ARM].to_numpy()[0])
    return describe(dataset, {"scale": Variable(what, "none")})


def _segments(customers: xr.Dataset, by: Any, known: list[str]) -> np.ndarray:
    if known == [EVERYBODY]:
        return np.full(customers.sizes[CUSTOMER], EVERYBODY)
    own = labels_of(customers, by).astype(str)
    new = sorted(set(own.tolist()) - set(known))
    if new and len(known) == 1:
        raise InputError(
            f"The experiment had one segment, {known[0]!r}, so that how segments differ was not learned; the "
            f"customers have {len(new)} other{'s' * (len(new) > 1)}, such as {new[0]!r}. Fit with "
            f"{argument('segment', None)} if the response is to hold for everybody."
        )
    return np.asarray(own)


def _by_segment(response: xr.DataTree, labels: list[str], known: list[str]) -> xr.Dataset:
    """Return conversion, spend and outcome of all arms and the uplift, (chain, draw, [offer], segment)."""
    posterior = response["posterior"].to_dataset()
    amount = response.attrs.get("amount")
    found: dict[str, xr.DataArray] = {}
    for part in ("conversion", "spend"):
        if part == "spend" and amount is not None:
            for arm in ("control", "treated"):
                found[f"spend_{arm}"] = xr.full_like(found[f"conversion_{arm}"], float(amount))
            continue
        offsets = {
            f"{part}_{what}_offset": _offset(response, posterior, f"{part}_{what}", labels, known)
            for what in ("control", "effect")
        }
        levels = links(np, posterior, part, offsets)  # type: ignore[arg-type]
        for arm, level in zip(("control", "treated"), levels, strict=True):
            natural = expit if part == "conversion" else np.exp
            values = level.transpose(CHAIN, DRAW, ..., SEGMENT)
            found[f"{part}_{arm}"] = values.copy(data=natural(values.to_numpy()))
    for arm in ("control", "treated"):
        found[f"outcome_{arm}"] = found[f"conversion_{arm}"] * found[f"spend_{arm}"]
    found["uplift"] = found["outcome_treated"] - found["outcome_control"]
    shape = posterior.get("spend_shape")
    found["spend_shape"] = xr.full_like(posterior["conversion_control"], np.inf) if shape is None else shape
    for array in found.values():
        array.attrs = {}
    return xr.Dataset(found)


def _offset(
    response: xr.DataTree, posterior: xr.Dataset, quantity: str, labels: list[str], known: list[str]
) -> xr.DataArray:
    """Return the offsets of these segments, fitted, or drawn where the fit has not seen them.

    (chain, draw, segment), of the effect of offers (chain, draw, offer, segment).
    """
    dims = (CHAIN, DRAW, *([OFFER] if OFFER in posterior[quantity].dims else []))
    shape = tuple(posterior.sizes[dim] for dim in dims)
    columns = []
    for label in labels:
        if len(known) == 1:
            columns.append(np.zeros(shape))
        elif label in known:
            columns.append(posterior[f"{quantity}_offset"].sel({SEGMENT: label}).transpose(*dims).to_numpy())
        else:
            z = new_group(str(response.attrs.get("seed", "")), quantity, SEGMENT, label, math.prod(shape))
            columns.append(posterior[f"{quantity}_sd"].transpose(*dims).to_numpy() * z.reshape(shape))
    coords = {dim: posterior[dim] for dim in dims} | {SEGMENT: np.array(labels, dtype=object)}
    return xr.DataArray(np.stack(columns, axis=-1), coords, (*dims, SEGMENT))


def _scale(customers: xr.Dataset, column: Any, index: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each customer's scale over its segment's mean; 1 without a column."""
    if column is None:
        return np.ones(index.size)
    values = column_values(customers, column)
    if values.dtype == object:
        raise InputError(
            f"{argument('scale', column)} is a column of text. Name one of numbers, such as an expected value."
        )
    negative = values < 0
    if negative.any():
        shown = str(customers[CUSTOMER].to_numpy()[np.flatnonzero(negative)[0]])
        raise InputError(
            f"{argument('scale', column)} is negative for {int(negative.sum()):,} of {values.size:,} customers, for "
            f"example customer {shown!r}. An outcome cannot be proportional to it: use an expected value, 0 at least."
        )
    mean = np.bincount(index, weights=values) / np.bincount(index)
    if (mean == 0).any():
        raise InputError(
            f"{argument('scale', column)} is 0 for all customers of the segment {str(labels[np.argmin(mean)])!r}, so "
            f"that it says nothing of how they differ. Leave {argument('scale')} out, or these customers."
        )
    return np.asarray(values / mean[index])
