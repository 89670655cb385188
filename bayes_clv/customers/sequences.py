"""Each customer's purchase times, ragged: one flat array of all customers' ages, and where each customer's begin.

``purchase_times`` (repeat_purchase) holds the ages at all repeat purchase occasions, customer after customer, and
``purchase_start`` (customer) the place of each customer's first: the customer's own are
``purchase_times[start : start + frequency]``. Customers can so be chosen and ordered by ``isel`` while the times stay
where they are. Rejected: a rectangle filled up with NaN, which one customer with a thousand purchases makes a thousand
wide for everyone; and offsets one longer than the customers, which no choice of customers survives.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_clv.schema import InputError

PURCHASE_TIMES = "purchase_times"


PURCHASE_START = "purchase_start"


@dataclass(frozen=True)
class Sequences:
    """The distinct sequences of purchase times of some customers, and which one each customer has.

    ``times`` (time) are ages in the customers' time unit, sequence after sequence, each rising; sequence s is
    ``times[start[s] : start[s] + size[s]]``. ``which`` (customer) is the number of the customer's sequence, a whole
    number as float64, so that it can stand among a family's columns.
    """

    times: np.ndarray
    start: np.ndarray
    size: np.ndarray
    which: np.ndarray


def sequences(dataset: xr.Dataset) -> Sequences:
    """Return the distinct sequences of purchase times of customers that ``check_customers`` has passed.

    Sequence 0 is the empty one, of all customers without a repeat purchase. Customers with one repeat purchase share
    theirs where it was made at the same age. Each customer with two or more has a sequence of its own: equal ones are
    too rare to be worth a search.

    Raises
    ------
    InputError
        Where the customers carry no purchase times.

    Examples
    --------
    >>> columns = {"frequency": ("customer", [2, 0, 1]), "purchase_start": ("customer", [0, 2, 2])}
    >>> base = xr.Dataset({**columns, "purchase_times": ("repeat_purchase", [1.0, 2.5, 4.0])})
    >>> found = sequences(base)
    >>> found.which.tolist(), found.size.tolist(), found.times.tolist()
    ([2.0, 0.0, 1.0], [0, 1, 2], [4.0, 1.0, 2.5])
    """
    for name in (PURCHASE_TIMES, PURCHASE_START):
        if name not in dataset:
            raise InputError(
                f"Each customer's purchase times are needed, and the customers lack {name!r}. Summarize the orders "
                "with summarize(..., also=('purchase_times',)), or add the column."
            )
    times = np.asarray(dataset[PURCHASE_TIMES].to_numpy(), dtype=np.float64)
    first = dataset[PURCHASE_START].to_numpy().astype(np.int64)
    frequency = dataset["frequency"].to_numpy().astype(np.int64)
    one, many = frequency == 1, frequency > 1
    alone, shared = np.unique(times[first[one]], return_inverse=True)
    which = np.zeros(frequency.size)
    which[one] = 1 + shared
    which[many] = 1 + alone.size + np.arange(many.sum())
    size = np.concatenate([[0], np.ones(alone.size, dtype=np.int64), frequency[many]])
    return Sequences(
        times=np.concatenate([alone, times[places(first[many], frequency[many])]]),
        start=np.cumsum(size) - size,
        size=size,
        which=which,
    )


def places(start: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return start[0], start[0] + 1, ..., ``size[0]`` of them, then those of the next: where ragged rows lie."""
    before = np.cumsum(size) - size
    return np.repeat(start - before, size) + np.arange(size.sum())
