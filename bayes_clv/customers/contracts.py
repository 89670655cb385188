"""The doors for contracts that are renewed or not: a table of customers, or the survivors of cohorts.

A customer's history is how many renewals were made and whether the contract still runs. One row a customer, or one row
a history with the number of customers who share it (``count``). What a contract could have made, ``periods``, is known
for active ones; of lost ones only the owner of the data knows, and only predictive checks ask.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.customers.checks import check_count, check_counts, check_ids, check_numbers, refuse_rows
from bayes_clv.customers.columns import with_columns
from bayes_clv.customers.orders.log import check_columns
from bayes_clv.customers.orders.parsing import EXACT_FLOAT
from bayes_clv.customers.tables import read_columns
from bayes_clv.schema import CUSTOMER, PERIOD, PERIODS_AGO, InputError, describe

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("renewals", "active")
ONE_COHORT = ""


def from_contracts(table: "pd.DataFrame", columns: str | Sequence[str] = ()) -> xr.Dataset:
    """Return the contracts Dataset for a table with one row per customer, or per history and its count.

    Parameters
    ----------
    table
        Columns ``renewals`` (renewals made: 0 of a contract in its first period) and ``active`` (1 or True while under
        contract; 0 or False if the next renewal was not made). Optionally ``periods`` (renewals that were due by
        the end of observation, made or not; predictive checks and a calendar need it), ``periods_ago`` (the same, but
        of one who has given notice before a renewal falls due its ``renewals``), ``count`` (how many customers share
        the row) and ``customer_id``; without it the index holds the ids.
    columns
        Further columns to keep, for ``fit(..., covariates=..., groups=...)``; see ``with_columns``. All customers of a
        row with a ``count`` share them.

    Returns
    -------
    xarray.Dataset
        Dimension ``customer`` (ids as text, sorted); whole numbers. ``attrs["time_unit"]`` is ``"period"``.

    Raises
    ------
    InputError
        For missing columns, missing or duplicate ids, and histories that cannot be: see ``check_contracts``.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"renewals": [0, 3, 7], "active": [False, False, True]})
    >>> from_contracts(table)["active"].to_numpy().tolist()
    [0, 0, 1]
    """
    dataset = read_columns(table, COLUMNS, ("periods", PERIODS_AGO, "count"), PERIOD)
    check_contracts(dataset)
    dataset = dataset.astype(np.int64)
    _refuse_counted_from_one(dataset)
    return describe(with_columns(dataset, table, columns) if columns else dataset)


# Were losses as likely at one renewal as at the next, none beside ten would come once in 22,000 tables.
_NEXT = 10


def _refuse_counted_from_one(dataset: xr.Dataset) -> None:
    """Refuse renewals of which nobody is lost at 0 and many at 1: a tenure in periods, most likely.

    Where the first losses come later there is a term before which nobody can leave, which is no mistake.
    """
    count = dataset["count"].to_numpy() if "count" in dataset else np.ones(dataset.sizes[CUSTOMER], dtype=int)
    gone = dataset["active"].to_numpy() == 0
    if not gone.any():
        return
    made = dataset["renewals"].to_numpy()[gone]
    there = int(count[gone][made == 1].sum())
    if made.min() == 1 and there >= _NEXT:
        raise InputError(
            f"Nobody is lost with 0 renewals, and {there:,} with 1, among {int(count[gone].sum()):,} lost: renewals "
            "seem to be counted from 1. A tenure in periods is read by clv.customers.from_tenures(table, tenure=..., "
            "churned=...). If nobody can leave before, count renewals from the first at which one can: the families "
            "have losses at every renewal."
        )


def from_survivors(
    survivors: "Sequence[float] | Mapping[Any, Sequence[float]] | pd.DataFrame",
) -> xr.Dataset:
    """Return the contracts Dataset for cohorts of which only the numbers of survivors are known.

    Parameters
    ----------
    survivors
        ``[1000, 869, 743]``: the size of the cohort, then how many made the first renewal, the second, and so on.
        Several cohorts are a mapping from name to such numbers, or a DataFrame with one column a cohort, padded with
        NaN at the end where a cohort is younger.

    Returns
    -------
    xarray.Dataset
        As from ``clv.customers.from_contracts``: a row for those lost at each renewal and one for those still active,
        with ``count``, ``periods`` and, for several cohorts, the text ``cohort``.

    Raises
    ------
    InputError
        For numbers that are not whole (shares, say), rise, or hold no renewal.

    Examples
    --------
    >>> contracts = from_survivors([1000, 869, 743])
    >>> contracts["count"].to_numpy().tolist(), contracts["renewals"].to_numpy().tolist()
    ([743, 131, 126], [2, 0, 1])
    """
    cohorts = _cohorts(survivors)
    ids: list[str] = []
    cohort: list[str] = []
    columns: dict[str, list[int]] = {name: [] for name in (*COLUMNS, "periods", "count")}
    for name, numbers in cohorts.items():
        alive = _whole(numbers, name)
        before = f"{name}: " if name != ONE_COHORT else ""
        periods = alive.size - 1
        # Padded, so that the ids sort as the renewals do.
        digits = len(str(periods))
        rows = [
            (f"{before}lost at {t:0{digits}d}", t - 1, 0, alive[t - 1] - alive[t])
            for t in range(1, periods + 1)
        ]
        rows.append((f"{before}active", periods, 1, alive[-1]))
        for key, renewals, active, count in rows:
            if count > 0:
                ids.append(key)
                cohort.append(name)
                for column, value in zip(columns.values(), (renewals, active, periods, count), strict=True):
                    column.append(int(value))
    order = np.argsort(np.array(ids))
    dataset = xr.Dataset(
        {key: (CUSTOMER, np.array(column, dtype=np.int64)[order]) for key, column in columns.items()},
        {CUSTOMER: np.array(ids, dtype=object)[order]},
        {"time_unit": PERIOD},
    )
    if ONE_COHORT not in cohorts:
        dataset["cohort"] = (CUSTOMER, np.array(cohort, dtype=object)[order])
    return describe(check_contracts(dataset))


def check_contracts(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset if every history in it is possible; raise InputError otherwise.

    Checked are ``renewals`` and ``active``, which must be there, and ``periods`` and ``count`` where they are: whole,
    finite and non-negative numbers; active 0 or 1; as many renewals as periods where active, fewer where lost; one row
    per id.

    Raises
    ------
    InputError
        Naming the variable, the number of rows, one of them, and what to do.

    Examples
    --------
    >>> check_contracts(from_survivors([1000, 869, 743])).sizes["customer"]
    3
    """
    ids = check_ids(dataset, "clv.customers.from_contracts(table) or clv.customers.from_survivors(counts)")
    check_columns([str(name) for name in dataset.data_vars], COLUMNS, "the contracts dataset")
    value = {
        name: np.asarray(dataset[name].to_numpy(), dtype=float)
        for name in (*COLUMNS, "periods", PERIODS_AGO)
        if name in dataset
    }
    for name, numbers in value.items():
        check_numbers(ids, name, numbers)
        check_counts(ids, name, numbers)
        refuse_rows(ids, numbers != np.floor(numbers), name, numbers, "not whole", "It is a whole number.")
    renewals, active = value["renewals"], value["active"]
    refuse_rows(
        ids,
        active > 1,
        "active",
        active,
        "neither 0 nor 1",
        "It says whether the contract still runs at the end of observation: 1, or 0 where it was not renewed.",
    )
    if "periods" in value:
        periods = value["periods"]
        refuse_rows(
            ids,
            (active == 1) & (renewals != periods),
            "renewals",
            renewals,
            "not equal to periods although active is 1",
            "Who is still under contract has made every renewal that was due: periods counts those, made or not.",
            beside=("periods", periods),
        )
        refuse_rows(
            ids,
            (active == 0) & (renewals >= periods),
            "renewals",
            renewals,
            "not below periods although active is 0",
            "Who is lost has missed a renewal that was due. Count periods to the end of observation, not to the loss; "
            "whose next renewal is not due yet is active.",
            beside=("periods", periods),
        )
    if PERIODS_AGO in value:
        ago = value[PERIODS_AGO]
        refuse_rows(
            ids,
            np.where(active == 1, renewals != ago, renewals > ago),
            "renewals",
            renewals,
            f"above {PERIODS_AGO}, or not equal to it although active is 1",
            "A renewal falls due in each period since the contract began, and who is still under contract has made all "
            "of them.",
            beside=(PERIODS_AGO, ago),
        )
    check_count(dataset, ids)
    return dataset


def placed(contracts: xr.Dataset) -> xr.Dataset:
    """Return the contracts with ``periods_ago``, when each began, as a calendar needs it.

    All are seen to the same end. One who has given notice counts as active to there: the renewal that it will not make
    falls into a period of which nobody else is known.

    Raises
    ------
    InputError
        Where it is not known of contracts that are lost: neither ``periods_ago`` nor ``periods`` is there.

    Examples
    --------
    >>> placed(from_survivors({"2023": [9, 7, 5], "2024": [8, 7]}))["periods_ago"].values.tolist()
    [2, 2, 2, 1, 1]
    """
    known = next((name for name in (PERIODS_AGO, "periods") if name in contracts), None)
    lost = int((contracts["active"] == 0).sum())
    if known is None and lost:
        raise InputError(
            f"A calendar needs to know when each contract began, and of {lost:,} lost ones of "
            f"{contracts.sizes[CUSTOMER]:,} rows it is not known: there is no column 'periods', the renewals that were "
            "due by the end of observation, made or not. Add it, or make the contracts of their days with "
            "clv.customers.from_dates or of cohorts with clv.customers.from_survivors."
        )
    ago = contracts[known or "renewals"]
    due = contracts["renewals"] < ago
    return contracts.assign({PERIODS_AGO: ago, "active": contracts["active"].where(due, 1)})


def _cohorts(survivors: Any) -> dict[str, Any]:
    """Return each cohort's numbers by its name; one cohort has the empty name."""
    import pandas as pd

    if isinstance(survivors, pd.DataFrame):
        survivors = {name: survivors[name].to_numpy() for name in survivors.columns}
    elif isinstance(survivors, (str, bytes)) or not isinstance(
        survivors, (Mapping, Sequence, np.ndarray, pd.Series)
    ):
        raise InputError(
            "Survivors are a list such as [1000, 869, 743], a mapping from cohort to such a list, or a DataFrame with "
            f"a column a cohort; got {type(survivors).__name__}."
        )
    if not isinstance(survivors, Mapping):
        return {ONE_COHORT: survivors}
    named = {str(name).strip(): numbers for name, numbers in survivors.items()}
    if len(named) < len(survivors) or ONE_COHORT in named or not named:
        raise InputError(f"Each cohort needs a name of its own; got {[str(name) for name in survivors]}.")
    return named


def _whole(numbers: Any, cohort: str) -> np.ndarray:
    """Return one cohort's survivors as whole numbers that do not rise, NaN at the end left out."""
    name = f"cohort {cohort!r}" if cohort != ONE_COHORT else "the cohort"
    try:
        alive = np.asarray(numbers, dtype=float).ravel()
    except (TypeError, ValueError):
        raise InputError(f"The survivors of {name} are not all numbers: {numbers!r}.") from None
    known = ~np.isnan(alive)
    last = int(np.flatnonzero(known)[-1]) + 1 if known.any() else 0
    alive = alive[:last]
    if np.isnan(alive).any() or np.isinf(alive).any() or (alive < 0).any():
        raise InputError(
            f"The survivors of {name} have a missing, infinite or negative number among the first {last}: "
            f"{alive.tolist()}. Fill it in; only the end may be missing."
        )
    fraction = alive != np.floor(alive)
    if fraction.any():
        raise InputError(
            f"The survivors of {name} are not whole in {int(fraction.sum())} of {last} places, for example "
            f"{alive[fraction][0]:g}. They are counts, since a larger cohort says more: multiply shares by the "
            "cohort's size and round."
        )
    if (alive >= EXACT_FLOAT).any():
        raise InputError(
            f"The survivors of {name} are 2^53 or more, for example {alive.max():g}. They are counts of customers."
        )
    if last < 2 or alive[0] == 0:
        raise InputError(
            f"The survivors of {name} hold no renewal: {alive.tolist()}. Give the size of the cohort, then how many "
            "were left after each renewal."
        )
    rises = np.flatnonzero(np.diff(alive) > 0)
    if rises.size:
        at = int(rises[0])
        raise InputError(
            f"The survivors of {name} rise in {rises.size} place{'s' * (rises.size > 1)}, for example from "
            f"{alive[at]:g} to {alive[at + 1]:g} at renewal {at + 1}. Who is lost does not come back: follow the "
            "customers acquired together, and give each cohort numbers of its own."
        )
    return alive.astype(np.int64)
