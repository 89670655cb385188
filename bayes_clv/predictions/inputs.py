"""Labels of customers, matched by id."""

import dataclasses
import json
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import as_labels, column_values
from bayes_clv.problems import read_problem
from bayes_clv.schema import CUSTOMER, UNSTATED, InputError, argument


def labels_of(customers: xr.Dataset, by: Any) -> np.ndarray:
    """Return each customer's label as text, in the customers' order.

    ``by`` is the name of a column of the customers, or labels by customer id: a DataArray over ``customer``, a pandas
    Series indexed by customer id, a mapping, or what ``clv.segment`` returned (its most probable segments). Every
    customer needs a label; labels of other ids are left aside, since the labelled base may be larger than the customers
    asked about.

    Raises InputError for a column that is not there, a customer without label, and anything else.
    """
    if isinstance(by, str):
        return as_labels(column_values(customers, by))
    if isinstance(by, xr.Dataset) and "most_likely" in by:
        by = by["most_likely"]
    if isinstance(by, xr.DataArray) and by.dims == (CUSTOMER,) and CUSTOMER in by.coords:
        pairs = zip(by[CUSTOMER].values.tolist(), by.values.tolist(), strict=True)
    elif hasattr(by, "items") and not isinstance(by, (xr.DataArray, xr.Dataset)):
        pairs = by.items()
    else:
        raise InputError(
            "by must be the name of a column of the customers, labels by customer id (a DataArray over 'customer', a "
            "pandas Series indexed by customer id, a mapping) or what clv.segment returned (a rule itself only where "
            f"customers' draws are added up, as in clv.value_parts); got {type(by).__name__}."
        )
    table = {str(key): label for key, label in pairs}
    ids = [str(key) for key in customers[CUSTOMER].values]
    # A missing label is one that is absent, None or NaN (which differs from itself).
    missing = [key for key in ids if table.get(key) is None or table[key] != table[key]]
    if missing:
        raise InputError(
            f"by is matched by customer id, and {len(missing):,} of {len(ids):,} customers have no label, such as "
            f"{missing[0]!r}. Label them, or leave them out of customers."
        )
    labels = [table[key] for key in ids]
    if all(isinstance(label, int | float | np.number) and not isinstance(label, bool) for label in labels):
        return as_labels(np.array(labels, dtype=float))
    return np.array([str(label) for label in labels], dtype=object)


def name_of(by: Any) -> str:
    """Return what labels are called: a column's name, a rule's, or "segment"."""
    if isinstance(by, str):
        return by
    if isinstance(by, xr.Dataset):
        return str(by.attrs.get("rule", "segment"))
    name = getattr(by, "name", None)
    return "segment" if name is None else str(name)


def shared_time_unit(tree: xr.DataTree, customers: xr.Dataset) -> str:
    """Return the time unit of posterior and customers; two different ones are refused."""
    fitted = str(tree.attrs.get("time_unit", UNSTATED))
    observed = str(customers.attrs.get("time_unit", UNSTATED))
    if fitted != observed:
        raise InputError(
            f"The posterior's time unit is {fitted!r} and the customers' is {observed!r}: rates would be "
            f"read in the wrong unit. Summarise the orders with {argument('time_unit', fitted)}, or fit on "
            "these customers."
        )
    return observed


def problems(*trees: xr.DataTree) -> list[str]:
    """Return what the diagnostics of the fits found wrong: records as JSON, each with its family."""
    found = []
    for tree in trees:
        diagnostics = json.loads(str(tree.attrs.get("diagnostics", "{}")))
        family = str(tree.attrs["family"])
        found += [
            json.dumps(dataclasses.replace(read_problem(each), subject=family).record())
            for each in diagnostics.get("problems", [])
        ]
    return found
