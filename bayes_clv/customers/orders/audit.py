"""What was left out of the orders, and why."""

import datetime as dt
from typing import Any

import numpy as np

from bayes_clv.customers.orders.log import OrderLog, show_problem
from bayes_clv.customers.orders.parsing import PROBLEMS, advice
from bayes_clv.schema import InputError, argument


def usable_rows(log: OrderLog, on_bad_rows: str) -> tuple[Any, list[dict[str, Any]], dt.date, dt.date]:
    """Return the rows without a problem, the audit so far, and the first and last day of the log."""
    if on_bad_rows not in ("refuse", "drop"):
        raise InputError(f"{argument('on_bad_rows', on_bad_rows)} is not known. Use 'refuse' or 'drop'.")
    by_problem = log.rows.group_by("problem").agg(
        count=log.rows.count(), first=log.rows.date.min(), last=log.rows.date.max()
    )
    found = {row["problem"]: row for row in log.fetch(by_problem).to_pylist()}
    total = sum(row["count"] for row in found.values())
    if total == 0:
        raise InputError(
            f"{log.name[:1].upper()}{log.name[1:]} has columns but no rows. There is nothing to summarise."
        )
    audit = [_line("read", f"Orders read from {log.name}.", total)]
    refusals = []
    for number in sorted(set(found) - {0}):
        count, shown = found[number]["count"], show_problem(log, number)
        column = getattr(log.columns, PROBLEMS[number].role)
        what = f"Column {column!r}: {_count(count, 'row')} of {total:,} with {PROBLEMS[number].what}"
        refusals.append(f"{what}, for example {shown}. {advice(number, shown)}")
        audit.append(_line("dropped", f"{what}: dropped.", count, shown))
    if refusals and on_bad_rows == "refuse":
        raise InputError(
            f"{' '.join(refusals)} Or pass {argument('on_bad_rows', 'drop')} to leave such rows out, counted in the "
            "audit."
        )
    if 0 not in found:
        raise InputError("No row is left after dropping. " + " ".join(refusals))
    rows = log.rows.filter(log.rows.problem == 0).drop("problem")
    return rows, audit, found[0]["first"], found[0]["last"]


def account(
    ids: np.ndarray,
    column: dict[str, np.ndarray],
    in_base: np.ndarray,
    until: dt.date,
    end: dt.date,
    last_order: dt.date,
) -> list[dict[str, Any]]:
    """Return the audit of usable rows: left out, kept, and what there is to say about those kept."""
    calibration, holdout = column["orders"][in_base], column["holdout_orders"][in_base]
    kept = calibration + holdout
    base_ids, audit = ids[in_base], []
    if not in_base.all():
        newcomers = ids[~in_base]
        what = (
            f"{_count(len(newcomers), 'customer')} first ordered after {until}: not among the customers, "
            "all their orders left out."
        )
        audit.append(_line("left out", what, column["all_orders"][~in_base].sum(), newcomers[0]))
    later = column["all_orders"][in_base] - kept
    if later.any():
        audit.append(
            _line(
                "left out",
                f"Orders after {end}, the end of the data used.",
                later.sum(),
                base_ids[later > 0][0],
            )
        )
    split = f" ({calibration.sum():,} to {until}, {holdout.sum():,} after it to {end})" if end > until else ""
    audit.append(_line("kept", f"Orders of {_count(len(base_ids), 'customer')}{split}.", kept.sum()))
    merged = kept - column["occasions"][in_base] - column["holdout_purchases"][in_base]
    if merged.any():
        what = (
            "Orders on a day on which their customer had ordered already: merged into one purchase occasion, "
            "spend added up."
        )
        audit.append(_line("note", what, merged.sum(), base_ids[merged > 0][0]))
    free = column["free_orders"][in_base] if "free_orders" in column else np.zeros(0, np.int64)
    if free.any():
        what = (
            "Orders with zero spend: kept as purchases, which they are to the purchase models; they lower "
            "the mean spend."
        )
        audit.append(_line("note", what, free.sum(), base_ids[free > 0][0]))
    if end > last_order:
        what = (
            f"The last order is of {last_order} and the data used ends {(end - last_order).days} days later, "
            f"on {end}: these count as days on which nobody bought. Choose an earlier end if the log simply "
            "stops."
        )
        audit.append(_line("note", what, 0))
    return audit


def _line(action: str, what: str, rows: Any, example: str = "") -> dict[str, Any]:
    return {"action": action, "what": what, "rows": int(rows), "example": str(example)}


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
