"""How good churn alarms were: lists of customers held against who indeed bought nothing afterwards.

An alarm is right where the customer buys nothing in the holdout. Whether it has left for ever nobody sees, so that a
long holdout says more than a short one. Everything is compared at **equal list length**, because a longer list always
finds more of those who are gone, and a shorter one is more often right: the rival "silent for N days" gets the N that
makes its list as long.

Ties (customers of one history, or BG/NBD's P(alive) of 1) share the places left equally, so that no order of customers
enters. Errors of a difference count only the customers on one list and not on the other, as the others cancel.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from bayes_clv.schema import CUSTOMER, InputError

SCORE, LENGTH, BIN = "score", "length", "bin"
SILENCE, ALARM = "silence", "1 - P(alive)"
NO_PURCHASE = "P(no purchase)"
# Lengths in shares of the base, where none are given.
LENGTHS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def score_alarms(
    alarms: xr.Dataset,
    customers: xr.Dataset,
    *,
    no_purchase: xr.DataArray | None = None,
    scores: Mapping[str, xr.DataArray] | None = None,
    lengths: Sequence[int] | None = None,
    bins: int = 10,
) -> xr.Dataset:
    """Return how good alarm lists were on a holdout, beside lists of equal length of the longest silent.

    Parameters
    ----------
    alarms
        Of ``clv.churn_alarms`` at the end of the calibration.
    customers
        The same customers with ``holdout_purchases`` (``clv.summarize(..., holdout_until=...)``).
    no_purchase
        Over ``customer``: the predicted probability of no purchase in the holdout, ``1 -
        clv.predict(...)["probability_active"]`` over a horizon as long. It is ranked by too, and its calibration told.
    scores
        Further rankings over ``customer`` by name; a higher score is warned of first.
    lengths
        Customers on the lists; by default 5 to 60 % of them.
    bins
        Groups of equal size, by ``no_purchase``, in which its calibration is told.

    Returns
    -------
    xarray.Dataset
        Over (score, length): ``precision``, the share of the list that bought nothing, and ``precision_error``, its
        binomial standard error; ``recall``, the share on the list of all who bought nothing; ``gain``, the precision
        less that of the longest silent, and ``gain_error``, its standard error.

        Of the customers with an alarm now (``alarmed``) and the list of the longest silent of that length, over
        ``list`` ("alarm", "silence"): ``list_precision``, ``list_recall``, and ``delay_mean`` and ``delay_median``, the
        time from the last purchase to the warning of those who indeed bought nothing: their own ``alarm_silence``, and
        N. ``lead_mean`` is how much sooner the alarm came than N for those of its list, in time units (negative:
        later). These are missing where nobody is alarmed.

        With ``no_purchase``, over ``bin``: ``predicted``, ``observed`` share without a purchase, ``bin_size`` and
        ``observed_error``, the binomial standard error under the prediction. Attributes: ``customers``, ``gone`` (share
        without a purchase), ``silence_of_list`` (N).

    Raises
    ------
    InputError
        No holdout, other customers, a score that is missing for somebody, or a length that no list can have.

    Examples
    --------
    >>> scored = score_alarms(clv.churn_alarms(buying, customers), customers, lengths=[300])
    >>> scored["gain"].sel(score="silence").item()
    0.0
    """
    if "holdout_purchases" not in customers:
        raise InputError(
            "customers has no holdout_purchases, so that nobody knows who bought nothing. Summarise the orders with "
            "summarize(..., until=..., holdout_until=...)."
        )
    ids = customers[CUSTOMER].values
    gone = (customers["holdout_purchases"].to_numpy() == 0).astype(float)
    given: dict[str, xr.DataArray] = {SILENCE: alarms["silence"], ALARM: 1 - alarms["probability_alive"]}
    if no_purchase is not None:
        given[NO_PURCHASE] = no_purchase
    given |= dict(scores or {})
    ranked = {name: _aligned(name, each, ids) for name, each in given.items()}
    size = gone.size
    shares = dict.fromkeys(max(1, round(share * size)) for share in LENGTHS)
    wanted = list(shares if lengths is None else lengths)
    wrong = [each for each in wanted if isinstance(each, bool) or each != int(each) or not 1 <= each <= size]
    if wrong:
        raise InputError(
            f"lengths has {wrong[0]!r}; a list has from 1 to all {size:,} customers, in whole numbers."
        )
    places = {name: [_places(score, int(n)) for n in wanted] for name, score in ranked.items()}
    count = np.array(wanted, dtype=float)
    rows: dict[str, list[np.ndarray]] = {}
    for lists in places.values():
        hits = np.array([each @ gone for each in lists])
        precision = hits / count
        pairs = [_gain(each, other, gone) for each, other in zip(lists, places[SILENCE], strict=True)]
        rows.setdefault("precision", []).append(precision)
        rows.setdefault("precision_error", []).append(np.sqrt(precision * (1 - precision) / count))
        rows.setdefault("recall", []).append(hits / max(gone.sum(), 1.0))
        rows.setdefault("gain", []).append(np.array([each[0] for each in pairs]))
        rows.setdefault("gain_error", []).append(np.array([each[1] for each in pairs]))
    found = xr.Dataset(
        {name: ((SCORE, LENGTH), np.stack(each), {"units": "share"}) for name, each in rows.items()},
        coords={SCORE: np.array(list(ranked), dtype=object), LENGTH: np.array(wanted, dtype=np.int64)},
        attrs={
            "result": "alarm scores",
            "customers": size,
            "gone": float(gone.mean()),
            "time_unit": str(alarms.attrs.get("time_unit", "")),
            "threshold": float(alarms.attrs.get("threshold", np.nan)),
        },
    )
    found = found.assign(_lead(alarms, ids, ranked[SILENCE], gone, found.attrs))
    return found if no_purchase is None else found.assign(_calibration(ranked[NO_PURCHASE], gone, bins))


def _aligned(name: str, score: xr.DataArray, ids: np.ndarray) -> np.ndarray:
    """Return the score in the customers' order."""
    if CUSTOMER not in score.dims or not set(ids.tolist()) <= set(score[CUSTOMER].values.tolist()):
        raise InputError(f"{name} must be over customer, with one number for each of these {ids.size:,}.")
    numbers = np.asarray(score.sel({CUSTOMER: ids}).values, dtype=float)
    if np.isnan(numbers).any():
        who = ids[np.isnan(numbers).argmax()]
        raise InputError(
            f"{name} is missing (NaN) for {int(np.isnan(numbers).sum()):,} customers, as for {who!r}."
        )
    return numbers


def _places(score: np.ndarray, length: int) -> np.ndarray:
    """Return each customer's share of a place on the list of the highest scores; ties share what is left."""
    last = np.partition(score, score.size - length)[score.size - length]
    above, tied = score > last, score == last
    return np.where(above, 1.0, np.where(tied, (length - above.sum()) / tied.sum(), 0.0))


def _gain(places: np.ndarray, other: np.ndarray, gone: np.ndarray) -> tuple[float, float]:
    """Return the difference of two lists' precisions and its standard error."""
    length, difference = places.sum(), places - other
    weight = np.abs(difference)
    if weight.sum() == 0:
        return 0.0, 0.0
    share = float(weight @ gone / weight.sum())
    error = np.sqrt((difference**2).sum() * share * (1 - share)) / length
    return float(difference @ gone / length), float(error)


def _lead(
    alarms: xr.Dataset, ids: np.ndarray, silence: np.ndarray, gone: np.ndarray, attrs: dict[str, object]
) -> dict[str, object]:
    alarmed = alarms["alarmed"].sel({CUSTOMER: ids}).to_numpy()
    length = int(alarmed.sum())
    if length == 0:
        return {}
    places = _places(silence, length)
    attrs["silence_of_list"] = limit = float(silence[places > 0].min())
    own = np.asarray(alarms["alarm_silence"].sel({CUSTOMER: ids}).values, dtype=float)
    right = alarmed & (gone > 0)
    hits = np.array([right.sum(), places @ gone])
    units = {"units": str(alarms.attrs.get("time_unit", ""))}
    # N is one number for the whole list; the alarm is each customer's own.
    mean, median = (
        np.array([each(own[right]) if right.any() else np.nan, limit]) for each in (np.mean, np.median)
    )
    return {
        "list": np.array(["alarm", "silence"], dtype=object),
        "list_precision": ("list", hits / length),
        "list_recall": ("list", hits / max(gone.sum(), 1.0)),
        "delay_mean": ("list", mean, units),
        "delay_median": ("list", median, units),
        "lead_mean": ((), limit - mean[0], units),
    }


def _calibration(predicted: np.ndarray, gone: np.ndarray, bins: int) -> dict[str, object]:
    if bins < 1:
        raise InputError(f"bins={bins!r} must be at least 1.")
    # Equal probabilities stay in one group: they are cut by their mean rank.
    order = np.sort(predicted)
    rank = (np.searchsorted(order, predicted) + np.searchsorted(order, predicted, side="right")) / 2
    group = np.minimum((rank * bins / predicted.size).astype(int), bins - 1)
    _, group = np.unique(group, return_inverse=True)
    size = np.bincount(group)
    said = np.bincount(group, predicted) / size
    spread = np.bincount(group, predicted * (1 - predicted))
    return {
        "bin": np.arange(size.size),
        "predicted": (BIN, said, {"units": "probability"}),
        "observed": (BIN, np.bincount(group, gone) / size, {"units": "share"}),
        "observed_error": (BIN, np.sqrt(spread) / size, {"units": "share"}),
        "bin_size": (BIN, size, {"units": "count"}),
    }
