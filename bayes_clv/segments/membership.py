"""Who belongs to which segment in each draw, for those who add up over segments.

Segments come from a rule, applied to every draw, so that a sum over a segment knows that its members are uncertain; or
from fixed labels, where the list of members is given and only their future is uncertain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import as_labels, column_values
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.segments.rules import Rule
from bayes_clv.segments.thresholds import amounts_of, check_names, thresholds_of

ALL = "all customers"


@dataclass(frozen=True)
class Groups:
    """Segments of customers.

    Attributes
    ----------
    title : str
        What the segments are called in tables and figures.
    names : tuple of str
    needed : tuple of str
        Quantities that ``members`` reads.
    members : callable
        (places, quantities of a block) -> the number of each customer's segment, (customer, draw) or (customer, 1).
    """

    title: str
    names: tuple[str, ...]
    needed: tuple[str, ...]
    members: Callable[[np.ndarray, Mapping[str, np.ndarray]], np.ndarray]


def groups(
    draws: Simulation, rule: Rule | None, segments: str | xr.Dataset | None, threads: int | None
) -> Groups:
    """Return the segments of a rule, or of labels: a column's name, or what ``clv.segment`` returned.

    Without either all customers are one segment. Raises InputError where both are given, and as ``clv.segment``.
    """
    if rule is not None and segments is not None:
        raise InputError("Give rule= or segments=, not both: either says who belongs to which segment.")
    if rule is not None:
        if not isinstance(rule, Rule):
            raise InputError(
                f"rule must be of clv.rule or clv.read_rule; got {type(rule).__name__}. Labels go to segments=."
            )
        return _by_rule(draws, rule, threads)
    if segments is None:
        everybody = np.zeros((1, 1), dtype=np.int64)
        return Groups(ALL, (ALL,), (), lambda places, values: np.broadcast_to(everybody, (places.size, 1)))
    labels, title = _labels(draws, segments)
    names, index = np.unique(labels, return_inverse=True)
    return Groups(title, tuple(names.tolist()), (), lambda places, values: index[places, None])


def _by_rule(draws: Simulation, rule: Rule, threads: int | None) -> Groups:
    check_names(draws, rule, ())
    thresholds = thresholds_of(draws, rule, threads)

    def members(places: np.ndarray, values: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.asarray(rule.assign(amounts_of(draws, rule, places, values), thresholds))

    return Groups(rule.name, tuple(each.name for each in rule.segments), tuple(rule.names()), members)


def _labels(draws: Simulation, segments: str | xr.Dataset) -> tuple[np.ndarray, str]:
    """Return the label of each customer, and what the labels are called."""
    if isinstance(segments, str):
        return as_labels(column_values(draws.customers, segments)).astype(str), segments
    if not isinstance(segments, xr.Dataset) or "most_likely" not in segments:
        raise InputError(
            "segments must be the name of a column of the customers, or what clv.segment returned; got "
            f"{type(segments).__name__}. Labels of your own are attached with clv.with_columns."
        )
    wanted = draws.customers[CUSTOMER].to_numpy()
    have = set(segments[CUSTOMER].to_numpy().tolist())
    missing = [each for each in wanted.tolist() if each not in have]
    if missing:
        raise InputError(
            f"segments lacks {len(missing):,} of {wanted.size:,} customers, such as {missing[0]!r}. Segment the same "
            "customers."
        )
    labels = segments["most_likely"].sel({CUSTOMER: wanted}).to_numpy().astype(str)
    return labels, str(segments.attrs.get("rule", "segment"))


def sum_by(found: np.ndarray, amount: np.ndarray, count: int, draws: int) -> np.ndarray:
    """Return (draw, segment): the sum of ``amount`` (customer, draw) over the members ``found`` of each segment."""
    shape = (found.shape[0], draws)
    place = np.broadcast_to(found * draws + np.arange(draws), shape).ravel()
    weights = np.broadcast_to(amount, shape).ravel()
    return np.bincount(place, weights=weights, minlength=count * draws).reshape(count, draws).T
