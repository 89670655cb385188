"""Contracts as companies keep them: a tenure and whether the customer churned, or days of start and end, and a plan.

``renewals`` counts what a family of retention reads, renewals made. A tenure counts periods: who is lost after t of
them was there for t and did not make the t-th renewal, so that t - 1 were made; who is active after t has made t. Taken
for renewals as it stands, a tenure leaves nobody lost at the first renewal, and a beta-discrete-Weibull then invents a
churn that rises with tenure. The share that is left by this count is the product-limit estimate of Kaplan & Meier
(1958), ``kaplan_meier``, with which a fit is compared.
"""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from bayes_clv.customers.checks import as_numbers, customer_ids, refuse_rows
from bayes_clv.customers.contracts import from_contracts
from bayes_clv.customers.orders.log import check_columns
from bayes_clv.customers.summaries import Day, read_day
from bayes_clv.schema import CUSTOMER, PERIODS_AGO, InputError, argument

if TYPE_CHECKING:
    import pandas as pd

Period = Literal["day", "week", "month", "quarter", "year"]
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_DAYS = {"day": 1, "week": 7}
_YES, _NO = ("yes", "y", "true", "1", "churned"), ("no", "n", "false", "0", "active")


def from_tenures(
    table: "pd.DataFrame",
    tenure: str = "tenure",
    churned: str = "churned",
    *,
    customer_id: str | None = None,
    columns: str | Sequence[str] = (),
) -> xr.Dataset:
    """Return the contracts Dataset for a table with a tenure in periods and whether the customer churned.

    Parameters
    ----------
    table
        One row a customer.
    tenure
        Column of the periods (months, say) that the customer has stayed, whole: 1 of one lost at the first renewal.
    churned
        Column of Yes or No, True or False, 1 or 0.
    customer_id
        Column of the ids; default: the index.
    columns
        Further columns to keep, such as the plan, for ``fit(..., covariates=..., groups=...)``.

    Returns
    -------
    xarray.Dataset
        As from ``clv.customers.from_contracts``: ``renewals`` is tenure - 1 of those lost and tenure of those active.

    Raises
    ------
    InputError
        For missing columns, churn that is neither yes nor no, and somebody lost after no period.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"tenure": [1, 5, 5], "churned": ["Yes", "Yes", "No"]})
    >>> from_tenures(table)["renewals"].to_numpy().tolist()
    [0, 4, 5]
    """
    check_columns(
        list(table.columns),
        [tenure, churned, *([customer_id] if customer_id else [])],
        "the table of contracts",
        roles=("tenure", "churned", "customer_id"),
    )
    stayed = as_numbers(table[tenure], tenure)
    lost = _churned(table[churned], churned)
    ids = customer_ids(table[customer_id] if customer_id else table.index.to_series())
    refuse_rows(ids, ~np.isfinite(stayed), tenure, stayed, "missing or infinite", "Give each its periods.")
    refuse_rows(
        ids,
        lost & (stayed < 1),
        tenure,
        stayed,
        "below 1 of a customer who churned",
        "A tenure counts periods begun, so that who left in the first has 1. If it counts renewals made, pass it to "
        "clv.customers.from_contracts as it is.",
    )
    return _contracts(table, ids, {"renewals": stayed - lost, "active": ~lost}, columns)


def from_dates(
    table: "pd.DataFrame",
    until: Day,
    start: str = "start",
    end: str = "end",
    *,
    period: Period = "month",
    date_format: str | None = None,
    customer_id: str | None = None,
    columns: str | Sequence[str] = (),
) -> xr.Dataset:
    """Return the contracts Dataset for a table with the days on which contracts began and ended.

    Parameters
    ----------
    table
        One row a customer; contracts that begin after ``until`` are left out.
    until
        The last day that is known. A contract that ends later is active.
    start, end
        Columns of days: dates, ISO text, or text of ``date_format``. A missing end is a contract that runs.
    period
        How long a contract runs before it is renewed: calendar months, quarters and years, or weeks and days.
    date_format
        How days that are text are written, in the words of ``strptime``.
    customer_id
        Column of the ids; default: the index.
    columns
        Further columns to keep, such as the plan.

    Returns
    -------
    xarray.Dataset
        As from ``clv.customers.from_contracts``, with ``periods``, the renewals that were due by ``until``. A contract
        that ends within a period was not renewed at its end; where that is after ``until`` the renewal counts among
        ``periods``, and not among ``periods_ago``. ``attrs`` have ``period`` and ``until``.

    Raises
    ------
    InputError
        For missing columns, days that cannot be read, an end that is not after its start, and no contract to ``until``.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"start": ["2024-01-31", "2024-02-15"], "end": ["2024-03-31", None]})
    >>> contracts = from_dates(table, "2024-06-30")
    >>> contracts["renewals"].to_numpy().tolist(), contracts["active"].to_numpy().tolist()
    ([1, 4], [0, 1])
    """
    if period not in {**_MONTHS, **_DAYS}:
        raise InputError(
            f"{argument('period', period)} is not known. Use one of {', '.join({**_DAYS, **_MONTHS})}."
        )
    last = read_day(until, "until")
    check_columns(
        list(table.columns),
        [start, end, *([customer_id] if customer_id else [])],
        "the table of contracts",
        roles=("start", "end", "customer_id"),
    )
    begun = _days(table[start], start, date_format)
    ended = _days(table[end], end, date_format)
    ids = customer_ids(table[customer_id] if customer_id else table.index.to_series())
    gone = np.isnat(begun)
    if gone.any():
        raise InputError(
            f"Column {start!r} is missing for {int(gone.sum()):,} of {gone.size:,} contracts, for example that of "
            f"{ids[gone][0]!r}. Give each the day on which it began."
        )
    wrong = ended <= begun
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{int(wrong.sum()):,} of {wrong.size:,} contracts end on the day on which they begin or before, for "
            f"example that of {ids[row]!r}: {begun[row]} to {ended[row]}. Correct {start!r} or {end!r}."
        )
    known = begun <= np.datetime64(last)
    if not known.any():
        raise InputError(
            f"No contract begins by {argument('until', last.isoformat())}: the first does on {begun.min()}."
        )
    lost = ended <= np.datetime64(last)
    stop = np.where(lost, ended, np.datetime64(last)).astype("datetime64[D]")
    made, whole = _completed(begun, stop, period)
    due, _ = _completed(begun, np.full(begun.shape, np.datetime64(last)), period)
    # Who ends within a period, or on its last day, does not make the next renewal.
    renewals = np.where(lost & whole, made - 1, made)
    values = {
        "renewals": renewals,
        "active": ~lost,
        "periods": np.where(lost, np.maximum(due, renewals + 1), due),
        PERIODS_AGO: due,
    }
    found = _contracts(
        table[known], ids[known], {name: each[known] for name, each in values.items()}, columns
    )
    return found.assign_attrs(period=period, until=last.isoformat())


def kaplan_meier(contracts: xr.Dataset) -> xr.Dataset:
    """Return the share of contracts that make 1, 2, ... renewals, by the product-limit estimate of Kaplan & Meier.

    Returns
    -------
    xarray.Dataset
        Over ``renewal`` (1, 2, ...): ``survival``; ``survival_error``, its standard error (Greenwood's), NaN once
        nobody is left; ``at_risk``, the contracts that could have made the renewal, and ``lost``, those that did not.

    Examples
    --------
    >>> from bayes_clv.customers.contracts import from_survivors
    >>> kaplan_meier(from_survivors([1000, 869, 743]))["survival"].round(3).values.tolist()
    [0.869, 0.743]
    """
    made = contracts["renewals"].to_numpy().astype(np.int64)
    gone = contracts["active"].to_numpy() == 0
    count = contracts["count"].to_numpy() if "count" in contracts else np.ones(made.size)
    size = int((made + gone).max())
    lost = np.bincount(made[gone], weights=count[gone], minlength=size)[:size]
    # At the k-th renewal: whoever made it, and whoever did not.
    reached = np.bincount(made, weights=count, minlength=size + 1)[::-1].cumsum()[::-1][1 : size + 1]
    at_risk = reached + lost
    survival = np.cumprod(1 - lost / at_risk)
    left = at_risk - lost
    terms = np.divide(lost, at_risk * left, out=np.full(size, np.nan), where=left > 0)
    error = survival * np.sqrt(np.cumsum(terms))
    values = {"survival": survival, "survival_error": error, "at_risk": at_risk, "lost": lost}
    return xr.Dataset(
        {name: ("renewal", each) for name, each in values.items()}, {"renewal": np.arange(1, size + 1)}
    )


def _contracts(table: Any, ids: np.ndarray, values: dict[str, np.ndarray], columns: Any) -> xr.Dataset:
    import pandas as pd

    made = pd.DataFrame(values, index=ids)
    for name in [columns] if isinstance(columns, str) else columns:
        check_columns(list(table.columns), [name], "the table of contracts", roles=("columns",))
        made[name] = table[name].to_numpy()
    return from_contracts(made.rename_axis(CUSTOMER), columns)


def _churned(column: Any, name: str) -> np.ndarray:
    """Return whether each churned, from yes and no in their usual spellings."""
    words = np.array(
        ["" if each is None else str(each).strip().lower().removesuffix(".0") for each in column.tolist()]
    )
    lost, stays = np.isin(words, _YES), np.isin(words, _NO)
    bad = ~lost & ~stays
    if bad.any():
        raise InputError(
            f"Column {name!r} is neither yes nor no for {int(bad.sum()):,} of {bad.size:,} customers, for example "
            f"{str(column.iloc[int(np.flatnonzero(bad)[0])])!r}. Write Yes or No, True or False, 1 or 0."
        )
    return lost


def _days(column: Any, name: str, date_format: str | None) -> np.ndarray:
    """Return a column's days, NaT where missing; what cannot be read is refused."""
    import pandas as pd

    from bayes_clv.customers.orders.parsing import MISSING_WORDS

    if pd.api.types.is_datetime64_any_dtype(column) and getattr(column.dt, "tz", None) is None:
        return np.asarray(column.to_numpy().astype("datetime64[D]"))
    found, bad = [], []
    for each in column.tolist():
        day: Any = np.datetime64("NaT", "D")
        if each is not None and str(each).strip().lower() not in MISSING_WORDS:
            try:
                written = (
                    dt.datetime.strptime(each.strip(), date_format)
                    if date_format and isinstance(each, str)
                    else each
                )
                day = np.datetime64(read_day(written, name))
            except (InputError, ValueError, TypeError):
                bad.append(each)
        found.append(day)
    if bad:
        raise InputError(
            f"Column {name!r} has {len(bad):,} of {len(found):,} values that are no days, for example {str(bad[0])!r}. "
            f"Write days as 1997-01-31, or say how they are written, such as {argument('date_format', '%d/%m/%Y')}."
        )
    return np.array(found, dtype="datetime64[D]")


def _completed(begun: np.ndarray, stop: np.ndarray, period: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the whole periods from ``begun`` to ``stop``, and whether the last of them ends on that very day."""
    if period in _DAYS:
        days = (stop - begun).astype(np.int64)
        return days // _DAYS[period], days % _DAYS[period] == 0
    each = _MONTHS[period]
    months = (stop.astype("datetime64[M]") - begun.astype("datetime64[M]")).astype(np.int64)
    day = {"from": begun, "to": stop}
    number = {
        name: (value - value.astype("datetime64[M]")).astype(np.int64) + 1 for name, value in day.items()
    }
    month = stop.astype("datetime64[M]")
    following = (month + np.timedelta64(1, "M")).astype("datetime64[D]")
    length = (following - month.astype("datetime64[D]")).astype(np.int64)
    # Of one begun on the 31st, months end on the last day of shorter ones.
    anniversary = np.minimum(number["from"], length)
    whole = months - (number["to"] < anniversary)
    return whole // each, (whole % each == 0) & (number["to"] == anniversary)
