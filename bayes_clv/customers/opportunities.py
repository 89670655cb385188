"""The door for customers who can buy at discrete opportunities: at most one purchase counted at each.

One row a customer, or one row a history with the number of customers who share it (``count``): the likelihood is the
same. An impossible history is an error, as in ``tables``, and is checked again where a model is fitted or predicts.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_clv.customers.checks import check_count, check_counts, check_ids, check_numbers, refuse_rows
from bayes_clv.customers.columns import with_columns
from bayes_clv.customers.orders.log import check_columns
from bayes_clv.customers.tables import read_columns
from bayes_clv.schema import CUSTOMER, OPPORTUNITY, InputError, Variable, argument, describe

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("frequency", "recency", "opportunities")
HELD_OUT = "holdout_purchases"
_OWN = {
    "frequency": Variable("opportunities with a purchase", "count"),
    "recency": Variable("number of the opportunity of the last purchase", "time"),
    HELD_OUT: Variable("opportunities of the holdout with a purchase", "count"),
}


def from_opportunities(
    table: "pd.DataFrame", columns: str | Sequence[str] = (), *, holdout: int | None = None
) -> xr.Dataset:
    """Return the customers Dataset for purchases at discrete opportunities, such as yearly appeals.

    Parameters
    ----------
    table
        Columns ``frequency`` (opportunities with a purchase), ``recency`` (number of the opportunity of the last
        purchase, counting from 1; 0 where there is none) and ``opportunities`` (how many were observed). The
        purchase that made somebody a customer is opportunity 0 and counts in none of them. Optionally ``count`` (how
        many customers share the row, 1 when left out) and ``customer_id``; without it the index holds the ids.
    columns
        Further columns to keep, for ``fit(..., covariates=..., groups=...)``; see ``with_columns``. All customers of a
        row with a ``count`` share them.
    holdout
        How many opportunities came after those observed; the table then has ``holdout_purchases``, at how many of them
        the customer bought, by which ``clv.evaluate`` scores a forecast of as many.

    Returns
    -------
    xarray.Dataset
        Dimension ``customer`` (ids as text, sorted); whole numbers. ``attrs["time_unit"]`` is ``"opportunity"``, and
        ``attrs["holdout_duration"]`` the holdout, where there is one.

    Raises
    ------
    InputError
        For missing columns, missing or duplicate ids, and histories that cannot be: see ``check_opportunities``.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"frequency": [0, 4], "recency": [0, 6], "opportunities": [6, 6], "count": [3464, 512]})
    >>> donors = from_opportunities(table)
    >>> int(donors["count"].sum())
    3976
    """
    required = COLUMNS if holdout is None else (*COLUMNS, HELD_OUT)
    dataset = read_columns(table, required, ("count",), OPPORTUNITY)
    check_opportunities(dataset)
    if holdout is not None:
        _check_holdout(dataset, holdout)
        dataset.attrs["holdout_duration"] = int(holdout)
    dataset = dataset.astype(np.int64)
    return describe(with_columns(dataset, table, columns) if columns else dataset, _OWN)


def _check_holdout(dataset: xr.Dataset, holdout: int) -> None:
    if isinstance(holdout, bool) or not isinstance(holdout, int | np.integer) or holdout < 1:
        raise InputError(
            f"{argument('holdout', holdout)} must be a whole number of opportunities, 1 or more."
        )
    ids, bought = dataset[CUSTOMER].to_numpy(), np.asarray(dataset[HELD_OUT].to_numpy(), dtype=float)
    check_numbers(ids, HELD_OUT, bought)
    refuse_rows(ids, bought != np.floor(bought), HELD_OUT, bought, "not whole", "It counts opportunities.")
    refuse_rows(
        ids,
        bought > holdout,
        HELD_OUT,
        bought,
        f"above the {holdout} opportunities of the holdout",
        "There is at most one purchase at each opportunity.",
    )


def check_opportunities(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset if every history in it is possible; raise InputError otherwise.

    Checked are ``frequency``, ``recency`` and ``opportunities``, which must be there, and ``count`` where it is: whole,
    finite and non-negative numbers; frequency at most recency, since each opportunity holds one purchase; recency at
    most opportunities; recency 0 exactly where frequency is 0; one row per id.

    Raises
    ------
    InputError
        Naming the variable, the number of rows, one of them, and what to do.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"frequency": [0, 4], "recency": [0, 6], "opportunities": [6, 6]})
    >>> check_opportunities(from_opportunities(table)).sizes["customer"]
    2
    """
    ids = check_ids(dataset, "clv.customers.from_opportunities(table)")
    check_columns([str(name) for name in dataset.data_vars], COLUMNS, "the customers dataset")
    value = {name: np.asarray(dataset[name].to_numpy(), dtype=float) for name in COLUMNS}
    for name, numbers in value.items():
        check_numbers(ids, name, numbers)
        check_counts(ids, name, numbers)
        refuse_rows(ids, numbers != np.floor(numbers), name, numbers, "not whole", "It counts opportunities.")
    frequency, recency, seen = value.values()
    once = frequency == 0
    odd = once & (recency > 0)
    silence = np.mean(recency[odd] == seen[odd]) > 0.5 if odd.any() else False
    refuse_rows(
        ids,
        odd,
        "recency",
        recency,
        "above 0 although frequency is 0",
        "This looks like the opportunities since the last purchase. Here recency is the number of the opportunity of "
        "the last purchase: convert it with recency = opportunities - recency."
        if silence
        else "Without a purchase after the first there is no opportunity of the last one: recency must be 0.",
    )
    refuse_rows(
        ids,
        recency > seen,
        "recency",
        recency,
        "above opportunities",
        "The last purchase cannot come after the last opportunity observed. Count both from the same one.",
        beside=("opportunities", seen),
    )
    refuse_rows(
        ids,
        ~once & (recency == 0),
        "recency",
        recency,
        "0 although frequency is above 0",
        "The first purchase is opportunity 0 and not counted. If frequency counts it too, subtract 1.",
        beside=("frequency", frequency),
    )
    refuse_rows(
        ids,
        frequency > recency,
        "frequency",
        frequency,
        "above recency",
        "There is at most one purchase at each opportunity: count the opportunities with a purchase, not the "
        "purchases, or fit a family of purchases at any time, such as bg_nbd.",
        beside=("recency", recency),
    )
    check_count(dataset, ids)
    return dataset
