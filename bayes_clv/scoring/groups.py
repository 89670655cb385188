"""Groups of customers: by calibration frequency, by age, by tenth of a forecast, by any column or labels."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.predictions.inputs import labels_of, name_of
from bayes_clv.schema import CUSTOMER
from bayes_clv.scoring.rankings import Order, ordered

# Calibration frequencies from this one on are one class.
TOP_CLASS = 7
AGES = 4
TENTHS = 10
TENTH = "tenth"


@dataclass(frozen=True)
class Groups:
    """Which of ``size`` groups each customer belongs to, by number, and how many belong to each.

    ``inside`` says who belongs to any; None where all do. ``place`` is that of those.
    """

    place: np.ndarray
    size: int
    counts: np.ndarray
    inside: np.ndarray | None = None

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of the groups."""
        return np.bincount(self.place, weights=self._of(values), minlength=self.size)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Return the means (group, ...) of values (customer, ...), NaN of a group without customers."""
        kept = self._of(values)
        columns = kept.reshape(kept.shape[0], math.prod(kept.shape[1:])).T
        sums = np.stack([np.bincount(self.place, weights=each, minlength=self.size) for each in columns])
        with np.errstate(invalid="ignore", divide="ignore"):
            means: np.ndarray = (sums / self.counts).T
        return means.reshape(self.size, *values.shape[1:])

    def mean_and_error(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the means of the groups and their standard errors, NaN where there is none."""
        mean, values = self.means(values), self._of(values)
        with np.errstate(invalid="ignore", divide="ignore"):
            squares = np.bincount(self.place, weights=(values - mean[self.place]) ** 2, minlength=self.size)
            return mean, np.sqrt(squares / (self.counts - 1) / self.counts)

    def _of(self, values: np.ndarray) -> np.ndarray:
        return values if self.inside is None else values[self.inside]


def groups(place: np.ndarray, size: int) -> Groups:
    """Return the groups of places from 0 to ``size`` - 1; a customer at a negative one belongs to none."""
    inside = None if (place >= 0).all() else place >= 0
    kept = place if inside is None else place[inside]
    return Groups(kept, size, np.bincount(kept, minlength=size), inside)


def groups_by(scores: xr.Dataset, by: Any) -> tuple[str, list[str], Groups]:
    """Return what the groups are called, their labels and the groups; one without a name where ``by`` is None."""
    if by is None:
        return "", [], groups(np.zeros(scores.sizes[CUSTOMER], dtype=np.int64), 1)
    if isinstance(by, str) and by == "frequency":
        labels, place = frequency_classes(scores["frequency"].values)
    elif isinstance(by, str) and by == "age" and "age" not in scores:
        labels, place = _quarters(
            np.asarray(scores["T" if "T" in scores else "opportunities"].values, dtype=float)
        )
    else:
        labels, place = _in_order(labels_of(scores, by))
    return name_of(by), labels, groups(place, len(labels))


def frequency_classes(frequency: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the classes of calibration frequency that occur ("0", "1", …, "7+") and each customer's place in them."""
    # Few small whole numbers: no sort.
    classes = np.minimum(frequency, TOP_CLASS).astype(np.int64)
    values = np.flatnonzero(np.bincount(classes))
    place = np.searchsorted(values, classes)
    return [f"{int(value)}+" if value == TOP_CLASS else str(int(value)) for value in values], place


def _quarters(age: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return quarters of the ages as ranges, fewer where many are of one age."""
    ends = np.unique(np.quantile(age, np.arange(1, AGES + 1) / AGES, method="inverted_cdf"))
    place = np.searchsorted(ends, age)
    starts = [age[place == i].min() for i in range(ends.size)]
    return [f"{low:.4g} to {high:.4g}" for low, high in zip(starts, ends, strict=True)], place


def _in_order(labels: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return distinct labels, numbers in their own order, and each customer's place among them."""
    distinct, place = np.unique(labels, return_inverse=True)
    try:
        order = np.argsort(distinct.astype(float), kind="stable")
    except ValueError:
        return distinct.tolist(), place
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    return distinct[order].tolist(), rank[place]


def tenths(predicted: np.ndarray, order: Order | None = None) -> Groups:
    """Return the tenths of a forecast's order, lowest first: of customers of equal prediction that of their middle.

    ``order`` is that of the prediction, where it is known already.
    """
    known = np.isfinite(predicted)
    order = ordered(predicted[known]) if order is None or not known.all() else order
    middle = (np.cumsum(order.sizes) - order.sizes / 2) / max(int(known.sum()), 1)
    place = np.full(predicted.size, -1)
    place[known] = np.minimum(middle * TENTHS, TENTHS - 1e-9).astype(np.int64)[order.group]
    return groups(place, TENTHS)
