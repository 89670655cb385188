"""One row per customer: the checks every such table passes, and the door for tables made elsewhere.

An impossible history is an error, not a small probability, so the checks stand at each door: here, and
again where a model is fitted or predicts, since a Dataset can be edited in between.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.customers.checks import (
    as_numbers,
    check_counts,
    check_ids,
    check_numbers,
    customer_ids,
    id_order,
    refuse_rows,
)
from bayes_clv.customers.orders.log import check_columns
from bayes_clv.customers.sequences import (
    PURCHASE_TIMES,
    check_sizes,
    check_spend,
    check_times,
    read_lists,
    with_times,
)
from bayes_clv.schema import CUSTOMER, UNSTATED, InputError, describe
from bayes_clv.units import days_per

if TYPE_CHECKING:
    import pandas as pd


HISTORY = ("frequency", "recency", "T")


LOG_INTERVALS = "log_intervals"


LOG_SPEND = ("log_spend_mean", "log_spend_sd")


# Days since the last purchase equal T for one-time customers, give or take how the end of data is counted.
RFM_TOLERANCE = 0.05


# How far a sum of logarithms may lie from what its recency allows, per interval: 0.14 for a seventh is 0.02 off.
ROUNDING = 0.05


def from_table(
    table: "pd.DataFrame", time_unit: str = UNSTATED, columns: str | Sequence[str] = ()
) -> xr.Dataset:
    """Return the customers Dataset for a table that already has one row per customer.

    Parameters
    ----------
    table
        Columns ``frequency`` (repeat purchase occasions), ``recency`` (age at the last purchase), ``T`` (age
        at the end of observation) and, optionally, ``monetary_value`` (mean spend of the repeat occasions),
        ``log_spend_mean`` and ``log_spend_sd``, ``log_intervals`` (see ``summarize``; in the table's time unit),
        ``purchase_times`` (a list or array a customer: the ages at its repeat purchases, rising; empty without) and
        ``customer_id``. Without ``customer_id`` the index holds the ids. Other columns are left out, but for those in
        ``columns``.
    time_unit
        Unit of recency and T: hour, day, week, month or year; ``"unstated"`` when it is not known, which then
        refuses durations and discount rates that have a unit.
    columns
        Further columns to keep, for ``fit(..., covariates=..., groups=...)``; see ``with_columns``.

    Returns
    -------
    xarray.Dataset
        Dimension ``customer`` (ids as text; whole numbers by size), as ``summarize`` returns it but for what only
        orders
        tell (``first_order`` and the like). ``monetary_value`` is NaN where ``frequency`` is 0. ``purchase_times`` lie
        over ``repeat_purchase``, and ``purchase_start`` says where each customer's begin, as ``summarize`` has them.

    Raises
    ------
    InputError
        For missing columns, missing or duplicate ids, and histories that cannot be: see ``check_customers``.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"frequency": [2, 0], "recency": [30.43, 0.0], "T": [38.86, 38.86]})
    >>> from_table(table, time_unit="week")["frequency"].to_numpy().tolist()
    [2, 0]
    """
    unit = time_unit.strip().lower().removesuffix("s") if isinstance(time_unit, str) else str(time_unit)
    if unit != UNSTATED:
        days_per(unit)
    dataset = read_columns(table, HISTORY, (LOG_INTERVALS, "monetary_value", *LOG_SPEND), unit)
    check_customers(dataset)
    if PURCHASE_TIMES in table:
        dataset = check_customers(_with_lists(dataset, table))
    dataset["frequency"] = dataset["frequency"].astype(np.int64)
    for name in ("monetary_value", *LOG_SPEND):
        if name in dataset:
            # Other packages write 0 here, which is not a spend.
            dataset[name] = dataset[name].where(dataset["frequency"] > 0)
    if columns:
        from bayes_clv.customers.columns import with_columns

        dataset = with_columns(dataset, table, columns)
    return describe(dataset)


def read_columns(table: Any, required: Sequence[str], optional: Sequence[str], time_unit: str) -> xr.Dataset:
    """Return the named columns as numbers over ``customer``, ids as text, in their order; no number is checked."""
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"A table of customers is a pandas DataFrame, not {type(table).__name__!r}. Orders are "
            "summarised with summarize(orders, ...)."
        )
    names = list(table.columns)
    check_columns(names, required, "the table of customers")
    wanted = [name for name in (*required, *optional) if name in names]
    _refuse_twice(names, [*wanted, "customer_id"])
    if isinstance(table.index, pd.MultiIndex) and "customer_id" not in names:
        raise InputError("The table has an index of several levels. Put the ids in a column 'customer_id'.")
    ids = _ids(table)
    order = id_order(ids)
    values = {name: as_numbers(table[name], name)[order] for name in wanted}
    return xr.Dataset(
        {name: (CUSTOMER, array) for name, array in values.items()},
        {CUSTOMER: ids[order]},
        {"time_unit": time_unit},
    )


def _ids(table: Any) -> np.ndarray:
    return customer_ids(table.get("customer_id", table.index))


def _refuse_twice(names: list[Any], wanted: Sequence[str]) -> None:
    for name in wanted:
        if names.count(name) > 1:
            raise InputError(
                f"The table has {names.count(name)} columns called {name!r}. Rename all but one."
            )


def _with_lists(dataset: xr.Dataset, table: Any) -> xr.Dataset:
    """Return the customers of the table with the purchase times that it lists, in the customers' order."""
    _refuse_twice(list(table.columns), [PURCHASE_TIMES])
    column = table[PURCHASE_TIMES].iloc[id_order(_ids(table))]
    ids = dataset[CUSTOMER].to_numpy()
    times, size = read_lists(column, ids)
    check_sizes(ids, size, dataset["frequency"].to_numpy())
    return with_times(dataset, times, size)


def check_customers(dataset: xr.Dataset, required: Sequence[str] = HISTORY) -> xr.Dataset:
    """Return the dataset if every history in it is possible; raise InputError otherwise.

    Checked are the variables in ``required``, which must be there, and those of ``frequency``, ``recency``,
    ``T`` and ``monetary_value`` that are: whole, finite and non-negative numbers; recency at most T; recency
    0 exactly where frequency is 0; ``log_intervals``, where it is there, one that the recency allows;
    ``purchase_times``, where they are there, positive, rising, as many as ``frequency`` and the last at ``recency``; a
    mean spend where there is a repeat purchase; one row per customer.
    A mean spend of zero passes, since zero orders are possible; the Gamma-Gamma model cannot use it.

    Raises
    ------
    InputError
        Naming the variable, the number of customers, one of them, and what to do.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"frequency": [2, 0], "recency": [30.43, 0.0], "T": [38.86, 38.86]})
    >>> check_customers(from_table(table)).sizes["customer"]
    2
    """
    ids = check_ids(dataset, "clv.summarize(orders, ...) or clv.customers.from_table(table)")
    check_columns([str(name) for name in dataset.data_vars], required, "the customers dataset")
    value = {
        name: np.asarray(dataset[name].to_numpy(), dtype=float)
        for name in (*HISTORY, "monetary_value")
        if name in dataset.data_vars
    }
    for name in value.keys() & set(HISTORY):
        check_numbers(ids, name, value[name])
    if "frequency" in value:
        check_counts(ids, "frequency", value["frequency"])
        fraction = value["frequency"] != np.floor(value["frequency"])
        refuse_rows(
            ids,
            fraction,
            "frequency",
            value["frequency"],
            "not whole",
            "It counts repeat purchase occasions.",
        )
    if value.keys() >= set(HISTORY):
        _check_history(ids, value["frequency"], value["recency"], value["T"])
    if "monetary_value" in value and "frequency" in value:
        repeat = value["frequency"] > 0
        check_numbers(
            ids,
            "monetary_value",
            value["monetary_value"],
            where=repeat,
            why="It is the mean spend of the repeat occasions, so there is one where frequency is above 0.",
        )
        check_spend(dataset, ids, value["frequency"], value["monetary_value"])
    if LOG_INTERVALS in dataset.data_vars and value.keys() >= set(HISTORY):
        intervals = np.asarray(dataset[LOG_INTERVALS].to_numpy(), dtype=float)
        _check_log_intervals(ids, intervals, value["frequency"], value["recency"])
    if value.keys() >= set(HISTORY):
        check_times(dataset, ids, *(value[name] for name in HISTORY))
    there = [name for name in LOG_SPEND if name in dataset.data_vars]
    if len(there) == 1:
        missing = next(name for name in LOG_SPEND if name not in there)
        raise InputError(
            f"The customers have {there[0]!r} and no {missing!r}. Add it, or leave out both: they are the mean and the "
            "standard deviation of log spend over the same occasions."
        )
    if there:
        _check_log_spend(ids, *(np.asarray(dataset[name].to_numpy(), dtype=float) for name in LOG_SPEND))
    return dataset


def _check_log_intervals(
    ids: np.ndarray, intervals: np.ndarray, frequency: np.ndarray, recency: np.ndarray
) -> None:
    """Refuse a sum of logarithms that no intervals have whose sum is the recency."""
    what = "It is the sum of the natural logarithms of the times between purchase occasions, in the time unit"
    refuse_rows(
        ids,
        ~np.isfinite(intervals),
        LOG_INTERVALS,
        intervals,
        "missing or infinite",
        f"{what}: 0 for a customer without repeat purchase. Correct or leave out these customers.",
    )
    refuse_rows(
        ids,
        (frequency == 0) & (intervals != 0),
        LOG_INTERVALS,
        intervals,
        "not 0 although frequency is 0",
        f"{what}; without a repeat purchase there is none.",
    )
    # Even intervals have the largest sum of logarithms; one interval has no other.
    most = frequency * np.log(np.where(frequency > 0, recency, 1) / np.where(frequency > 0, frequency, 1))
    slack = ROUNDING * np.maximum(frequency, 1)
    impossible = (intervals > most + slack) | ((frequency == 1) & (intervals < most - slack))
    refuse_rows(
        ids,
        impossible,
        LOG_INTERVALS,
        intervals,
        "what no intervals have that add up to the recency",
        f"{what}. It changes with the unit by -frequency times the logarithm of the factor; and it is no log10.",
        beside=("recency", recency),
    )


def _check_log_spend(ids: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> None:
    """Refuse infinite or negative spreads; both are missing where there is no repeat spend to take a logarithm of."""
    why = "It is the standard deviation of log spend over the repeat occasions, 0 where there is one."
    refuse_rows(
        ids, np.isinf(mean), "log_spend_mean", mean, "infinite", "A spend of zero has no logarithm: use NaN."
    )
    refuse_rows(ids, np.isinf(sd), "log_spend_sd", sd, "infinite", why)
    refuse_rows(ids, sd < 0, "log_spend_sd", sd, "negative", why)
    alone = np.isnan(mean) != np.isnan(sd)
    refuse_rows(ids, alone, "log_spend_sd", sd, "there without log_spend_mean, or the other way round", why)


def _check_history(ids: np.ndarray, frequency: np.ndarray, recency: np.ndarray, age: np.ndarray) -> None:
    once = frequency == 0
    odd = once & (recency > 0)
    if odd.any():
        like_age = np.abs(recency - age) <= RFM_TOLERANCE * age
        if np.mean(like_age[odd]) > 0.5:
            refuse_rows(
                ids,
                odd,
                "recency",
                recency,
                "close to T although frequency is 0",
                "This looks like the recency of RFM tables, the time since the last purchase. Here recency is "
                "the age at the last purchase: convert it with recency = T - recency.",
            )
        refuse_rows(
            ids,
            odd,
            "recency",
            recency,
            "above 0 although frequency is 0",
            "Without a repeat purchase the last purchase is the first, at age 0: recency must be 0. If "
            "frequency leaves out repeats, count each day with a purchase after the first.",
        )
    refuse_rows(
        ids,
        recency > age,
        "recency",
        recency,
        "above T",
        "The last purchase cannot come after the end of observation. Measure both from the first purchase, to "
        "the same day, in the same unit.",
        beside=("T", age),
    )
    refuse_rows(
        ids,
        ~once & (recency == 0),
        "recency",
        recency,
        "0 although frequency is above 0",
        "A repeat purchase comes after the first, so its age is above 0. If frequency counts the first "
        "purchase too, subtract 1 from it; purchases on the day of the first one are not repeats.",
        beside=("frequency", frequency),
    )
