"""The table of customers that people open in a spreadsheet: one row each, fixed columns."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_clv.schema import CUSTOMER, InputError

if TYPE_CHECKING:
    import pandas as pd

_SUMMARIES = ("mean", "sd", "q05", "q25", "q50", "q75", "q95")
PURCHASE_COLUMNS = (
    "frequency",
    "recency",
    "T",
    "probability_alive",
    "purchase_rate_mean",
    "dropout_mean",
    "purchases_expected",
    *(f"purchases_{name}" for name in _SUMMARIES),
)
COLUMNS = (
    "frequency",
    "recency",
    "T",
    "monetary_value",
    "historical_value",
    "probability_alive",
    "purchase_rate_mean",
    "dropout_mean",
    "purchases_expected",
    *(f"purchases_{name}" for name in _SUMMARIES),
    *(f"value_{name}" for name in _SUMMARIES),
    "lifetime_value_mean",
)
# In families in which a customer may leave at any time dropout is a rate.
INSTEAD = {"dropout_mean": "dropout_rate_mean"}
HOLDOUT_COLUMNS = ("holdout_purchases", "holdout_spend")


def customer_table(value: xr.Dataset) -> "pd.DataFrame":
    """Return the value of each customer as a pandas table, the columns of ``customers.parquet``.

    Parameters
    ----------
    value
        The result of ``clv.predict_value``, or of ``clv.predict`` for purchases alone.

    Returns
    -------
    pandas.DataFrame
        customer_id, then COLUMNS in that order (PURCHASE_COLUMNS for purchases alone; dropout_rate_mean for
        dropout_mean where dropout is a rate) and, when the customers
        have a holdout, holdout_purchases and holdout_spend. Units and levels are those of
        ``bayes_clv.schema.VARIABLES``. ``.attrs`` holds the dataset's attributes.

    Raises
    ------
    InputError
        When a column is missing.

    Examples
    --------
    >>> customer_table(value).to_parquet("customers.parquet")
    """
    import pandas as pd

    wanted = COLUMNS if "value_mean" in value else PURCHASE_COLUMNS
    columns = [INSTEAD[name] if INSTEAD.get(name) in value else name for name in wanted]
    missing = [name for name in columns if name not in value]
    if missing:
        raise InputError(
            f"The dataset lacks {', '.join(missing)}; give the result of clv.predict_value or clv.predict."
        )
    names = [*columns, *(name for name in HOLDOUT_COLUMNS if name in value)]
    ids = np.asarray(value[CUSTOMER])
    table = pd.DataFrame({"customer_id": ids, **{name: np.asarray(value[name]) for name in names}})
    table.attrs = dict(value.attrs)
    return table
