"""Labels of customers, matched by id."""

import dataclasses
import json
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.problems import read_problem
from bayes_clv.schema import CUSTOMER, UNSTATED, InputError, argument


def labels_of(customers: xr.Dataset, by: Any) -> np.ndarray:
    """Return each customer's label as text, in the customers' order.

    ``by`` is a DataArray over ``customer``, a pandas Series indexed by customer id, a mapping of ids, or the name
    of a variable of the customers. Every customer needs a label; labels of other ids are left aside, since the
    labelled base may be larger than the customers asked about.
    """
    if isinstance(by, str):
        if by not in customers or customers[by].dims != (CUSTOMER,):
            raise InputError(
                f"customers has no column {by!r} to segment by. Give a label for each customer id: a DataArray over "
                "'customer', a pandas Series indexed by customer id or a mapping."
            )
        by = customers[by]
    if isinstance(by, xr.DataArray) and by.dims == (CUSTOMER,) and CUSTOMER in by.coords:
        pairs = zip(by[CUSTOMER].values.tolist(), by.values.tolist(), strict=True)
    elif hasattr(by, "items") and not isinstance(by, (xr.DataArray, xr.Dataset)):
        pairs = by.items()
    else:
        raise InputError(
            "by must give a label for each customer id: a DataArray over 'customer', a pandas Series indexed by "
            f"customer id, a mapping, or the name of a variable of customers; got {type(by).__name__}."
        )
    table = {str(key): label for key, label in pairs}
    ids = [str(key) for key in customers[CUSTOMER].values]
    # A missing label is one that is absent, None or NaN (which differs from itself).
    missing = [key for key in ids if table.get(key) is None or table[key] != table[key]]
    if missing:
        raise InputError(
            f"by is matched by customer id, and {len(missing)} of {len(ids)} customers have no label, such as "
            f"{missing[0]!r}. Label them, or leave them out of customers."
        )
    return np.array([str(table[key]) for key in ids], dtype=object)


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


def problems(*trees: xr.DataTree) -> list[dict[str, Any]]:
    """Return what the diagnostics of the fits found wrong, as records, each with its family as ``subject``."""
    found = []
    for tree in trees:
        diagnostics = json.loads(str(tree.attrs.get("diagnostics", "{}")))
        family = str(tree.attrs["family"])
        found += [
            dataclasses.replace(read_problem(each), subject=family).record()
            for each in diagnostics.get("problems", [])
        ]
    return found
