"""What was left out of the orders, and why: every row and all money in one line each.

Rows and money of "read" are those of "kept", "netted", "cancelled", "dropped" and "left out" together; "note" lines say
more about rows that are in another line. Money is signed, as it was given; of what cannot be read it is 0.
"""

import dataclasses
import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_clv.customers.orders import files
from bayes_clv.customers.orders.amounts import currency_of
from bayes_clv.customers.orders.beside import beside_notes
from bayes_clv.customers.orders.description import Reading
from bayes_clv.customers.orders.log import OrderLog, open_orders, show_fault
from bayes_clv.customers.orders.parsing import (
    DROPPED_RETURN,
    NO_MONEY_BACK,
    NOT_WANTED,
    PROBLEMS,
    TWIN,
    faults_in,
    first_fault,
)
from bayes_clv.customers.orders.remedies import advice
from bayes_clv.customers.orders.returns import STEPS, accounts, cancelled
from bayes_clv.customers.orders.sorting import SortedDays
from bayes_clv.language import say, say_many
from bayes_clv.schema import InputError, argument

type Line = dict[str, Any]

# What most tables that are not UTF-8 are written in.
WINDOWS = "windows-1252"

# Amounts below zero under such a name are losses more often than returns.
_LOSSES = re.compile(r"profit|margin|gewinn|ertrag|marge|deckungsbeitrag|bénéfice", re.IGNORECASE)


@dataclass(frozen=True)
class Usable:
    """The rows without a fault and their money, the audit so far, first and last day, and how many are returns."""

    rows: Any
    audit: list[Line]
    first: dt.date
    last: dt.date
    returns: int
    money: Any


def usable_orders(orders: Any, reading: Reading, on_bad_rows: str) -> tuple[OrderLog, Usable]:
    """Return the orders behind the door and their usable rows; one InputError tells all faults there are."""
    try:
        log = open_orders(orders, reading)
        return log, usable_rows(log, on_bad_rows)
    except files.NotUTF8 as error:
        not_utf8 = error
    if reading.encoding is not None:
        raise not_utf8
    raise InputError(_as_of_windows(orders, reading, on_bad_rows, not_utf8))


def _as_of_windows(orders: Any, reading: Reading, on_bad_rows: str, error: files.NotUTF8) -> str:
    """Return what to say of a text that is not UTF-8: mostly of a Windows program, whose other faults come along."""
    further = ""
    try:
        usable_rows(open_orders(orders, dataclasses.replace(reading, encoding=WINDOWS)), on_bad_rows)
    except files.NotText:
        return error.text
    except InputError as found:
        further = f" {found.text}"
    shown = f", which makes {error.piece.decode(WINDOWS)!r} of these bytes" if error.piece else ""
    return f"{error.what} Say {argument('encoding', WINDOWS)}{shown}, or another encoding.{further}"


def usable_rows(log: OrderLog, on_bad_rows: str) -> Usable:
    """Return the usable rows; raise InputError with all faults of the log where there are some to be refused."""
    if on_bad_rows not in ("refuse", "drop"):
        raise InputError(f"{argument('on_bad_rows', on_bad_rows)} is not known. Use 'refuse' or 'drop'.")
    _refuse_currencies(log)
    found = _by_faults(log)
    total = sum(row["count"] for row in found.values())
    if total == 0:
        raise InputError(
            f"{log.name[:1].upper()}{log.name[1:]} has columns but no rows. There is nothing to summarise."
        )
    audit = [
        _line(
            "read",
            say("{rows} read from {name}.", rows=log.reading.noun, name=log.name),
            total,
            money=sum(row["money"] for row in found.values()),
        )
    ]
    audit += _unasked(log, found)
    refusals, dropped = _faults(log, found, total)
    if refusals and on_bad_rows == "refuse":
        raise InputError(
            f"{' '.join(refusals)} Or pass {argument('on_bad_rows', 'drop')} to leave such rows out, counted in the "
            "audit."
        )
    audit += dropped
    if 0 not in found:
        if NOT_WANTED in found and not refusals:
            raise InputError(
                f"No row is left: {argument('where', log.reading.where)} holds for none of {total:,}. Compare it "
                "with the "
                "values of its columns, capitals and blanks too."
            )
        raise InputError("No row is left after dropping. " + " ".join(refusals))
    good = found[0]
    if good["back"] and log.reading.on_returns is None:
        _refuse_losses(log, good["back"], total)
    rows = log.rows.filter(log.rows.faults == 0).drop("faults")
    return Usable(rows, audit, good["first"], good["last"], good["back"], good["money"])


def _by_faults(log: OrderLog) -> dict[int, dict[str, Any]]:
    """Return count, first and last day, money and returns of the rows of each set of faults."""
    rows = log.rows
    sums = {"count": rows.count(), "first": rows.date.min(), "last": rows.date.max()}
    if log.reading.priced:
        sums |= {"money": rows.spend.sum(), "back": (rows.spend < 0).sum()}
    found = log.fetch(rows.group_by("faults").agg(**sums)).to_pylist()
    return {
        row["faults"]: {**row, "money": row.get("money") or 0, "back": row.get("back") or 0} for row in found
    }


def _unasked(log: OrderLog, found: dict[int, dict[str, Any]]) -> list[Line]:
    """Return the lines of rows that are left out for another reason than a fault."""
    words = {
        NOT_WANTED: say("Rows for which {condition} does not hold.", condition=log.reading.where),
        NO_MONEY_BACK: say(
            "Lines with a negative quantity and no money: they take nothing back and are no purchase."
        ),
        DROPPED_RETURN: say("Returns (negative amounts), dropped as asked; what was returned stays sold."),
    }
    return [
        _line("left out", what, found[number]["count"], money=found[number]["money"])
        for number, what in words.items()
        if number in found
    ]


def _faults(log: OrderLog, found: dict[int, dict[str, Any]], total: int) -> tuple[list[str], list[Line]]:
    """Return what is refused, each fault with all its rows, and the lines of dropped rows, each row by its first."""
    of_first = {name: {"count": 0, "money": 0} for name in PROBLEMS}
    having = dict.fromkeys(PROBLEMS, 0)
    for number, row in found.items():
        for name in faults_in(number):
            having[name] += row["count"]
        if number > 0:
            first = of_first[first_fault(number)]
            first["count"] += row["count"]
            first["money"] += row["money"]
    refusals, dropped = [], []
    for name, problem in PROBLEMS.items():
        if not having[name]:
            continue
        shown = show_fault(log, name)

        def what(rows: int, problem: Any = problem) -> str:
            column = ", ".join(dict.fromkeys(test.column for test in log.reading.tests))
            column = column if problem.role == "where" else log.reading.shown(problem.role)
            return say_many(
                "Column {column!r}: {count:,} row of {total:,} with {fault}",
                "Column {column!r}: {count:,} rows of {total:,} with {fault}",
                rows,
                column=column,
                total=total,
                fault=problem.what,
            )

        refusals.append(f"{what(having[name])}, for example {shown}. {advice(log, name)}")
        if of_first[name]["count"]:
            rows, money = of_first[name]["count"], of_first[name]["money"]
            dropped.append(_line("dropped", say("{fault}: dropped.", fault=what(rows)), rows, shown, money))
    return refusals, dropped


def _refuse_losses(log: OrderLog, count: int, total: int) -> None:
    """Refuse to take for returns what is called a profit, unless it is said."""
    column = log.reading.shown("spend")
    if _LOSSES.search(column):
        raise InputError(
            f"Column {column!r}: {_count(count, 'row')} of {total:,} with a negative amount, and it is called "
            "what may be "
            "negative without a return. Losses are no returns, and no family of spend has them: name the column "
            "of what "
            "the customer paid, and give the share that is earned as a margin. If they are returns, say "
            f"{argument('on_returns', 'net')}."
        )


def _refuse_currencies(log: OrderLog) -> None:
    """Refuse amounts in several currencies, where amounts carry their sign."""
    for role in ("spend", "price"):
        if log.reading.decimal is None or role not in log.raw.columns or not log.raw[role].type().is_string():
            continue
        signs = log.raw.select(sign=currency_of(log.raw[role].strip()))
        signs = signs.filter(signs.sign != "")
        signs = signs.group_by("sign").agg(rows=signs.count()).order_by("sign").limit(20)
        found = {row["sign"]: row["rows"] for row in log.fetch(signs).to_pylist()}
        found = {
            sign: rows
            for sign, rows in found.items()
            if sign.lower() not in ("nan", "na", "null", "none", "nat")
        }
        if len(found) > 1:
            named = ", ".join(f"{sign} in {_count(rows, 'row')}" for sign, rows in found.items())
            raise InputError(
                f"Column {log.reading.shown(role)!r} has amounts in {len(found)} currencies: {named}. They cannot "
                "be added "
                f"up: convert them into one, or choose the rows of one with {argument('where')}."
            )


def account(
    ids: np.ndarray,
    column: dict[str, np.ndarray],
    in_base: np.ndarray,
    until: dt.date,
    end: dt.date,
    last_order: dt.date,
    *,
    noun: str = "Orders",
    after_end: tuple[int, Any] | None = None,
) -> list[Line]:
    """Return the audit of usable rows: left out, kept, and what there is to say about those kept.

    ``noun`` is what rows are, and ``after_end`` are rows and money after the end, where these are in no customer's
    columns.
    """
    calibration, holdout = column["orders"][in_base], column["holdout_orders"][in_base]
    kept = calibration + holdout
    base_ids, audit = ids[in_base], []
    money = column.get("all_spend", np.zeros(len(ids)))
    if not in_base.all():
        newcomers = ids[~in_base]
        what = say_many(
            "{count:,} customer first ordered after {until}: not among the customers, all their orders left out.",
            "{count:,} customers first ordered after {until}: not among the customers, all their orders left out.",
            len(newcomers),
            until=until,
        )
        rows = column["all_orders"][~in_base].sum()
        audit.append(_line("left out", what, rows, newcomers[0], math.fsum(money[~in_base])))
    later = column["all_orders"][in_base] - kept
    seen = _seen(column, in_base)
    if later.any() or (after_end and after_end[0]):
        rows, amount = after_end or (later.sum(), math.fsum(money[in_base]) - seen)
        example = base_ids[later > 0][0] if later.any() else ""
        audit.append(
            _line(
                "left out",
                say("{rows} after {end}, the end of the data used.", rows=noun, end=end),
                rows,
                example,
                amount,
            )
        )
    told: dict[str, Any] = {"rows": noun}
    if end > until:
        told |= {"until": until, "end": end, "before": calibration.sum(), "later": holdout.sum()}
        whose = say_many(
            "{rows} of {count:,} customer ({before:,} to {until}, {later:,} after it to {end}).",
            "{rows} of {count:,} customers ({before:,} to {until}, {later:,} after it to {end}).",
            len(base_ids),
            **told,
        )
    else:
        whose = say_many(
            "{rows} of {count:,} customer.", "{rows} of {count:,} customers.", len(base_ids), **told
        )
    gross = math.fsum(money[in_base]) if after_end is not None else seen
    audit.append(_line("kept", whose, kept.sum(), money=gross))
    merged = kept - column["occasions"][in_base] - column["holdout_purchases"][in_base]
    if merged.any():
        what = say(
            "{rows} on a day on which their customer had ordered already: merged into one purchase occasion, spend "
            "added up.",
            rows=noun,
        )
        audit.append(_line("note", what, merged.sum(), base_ids[merged > 0][0]))
    free = column["free_orders"][in_base] if "free_orders" in column else np.zeros(0, np.int64)
    if free.any():
        what = say(
            "{rows} with zero spend: kept as purchases, which they are to the purchase models; they lower the mean "
            "spend.",
            rows=noun,
        )
        audit.append(_line("note", what, free.sum(), base_ids[free > 0][0]))
    if end > last_order:
        what = say(
            "The last order is of {last} and the data used ends {days} days later, on {end}: these count as days on "
            "which nobody bought. Choose an earlier end if the log simply stops.",
            last=last_order,
            days=(end - last_order).days,
            end=end,
        )
        audit.append(_line("note", what, 0))
    return audit


def _seen(column: dict[str, np.ndarray], in_base: np.ndarray) -> float:
    """Return the money of the customers' orders to the end, after returns."""
    return math.fsum(
        math.fsum(column[name][in_base]) for name in ("historical_spend", "holdout_spend") if name in column
    )


def returned(log: OrderLog, units: Any, until: dt.date) -> list[Line]:
    """Return the lines of returns, by the step that settled them, and of purchases of which nothing is left."""
    found = log.fetch(accounts(units)).to_pylist()[0]
    gone = log.fetch(cancelled(units)).to_pylist()[0]
    audit = []
    for step, words in STEPS.items():
        if found[f"lines_{step}"] or found[f"money_{step}"]:
            money = -found[f"money_{step}"]
            audit.append(
                _line("netted", say("Returns {how}.", how=words), found[f"lines_{step}"], money=money)
            )
    for name, words in (
        (
            "unmet",
            say(
                "Returns with nothing bought before to set them against: of purchases before the log began, perhaps."
            ),
        ),
        (
            "late",
            say(
                "Returns after {until} of purchases up to then, which count as they were known on that day.",
                until=until,
            ),
        ),
    ):
        if found[f"lines_{name}"]:
            audit.append(
                _line("left out", words, found[f"lines_{name}"], found["example"], -found[f"money_{name}"])
            )
    if gone["lines"]:
        what = say_many(
            "Orders of {count:,} day of a customer of which returns left nothing: no purchases.",
            "Orders of {count:,} days of a customer of which returns left nothing: no purchases.",
            gone["days"],
        )
        audit.append(_line("cancelled", what, gone["lines"], gone["example"], gone["money"]))
    return audit


def order_notes(log: OrderLog, rows: Any) -> list[Line]:
    """Return how many orders the lines make, and ids of orders that several customers share."""
    orders = rows.group_by("order_id").agg(
        lines=rows.count(), first=rows.customer_id.min(), last=rows.customer_id.max()
    )
    shared = orders["first"] != orders["last"]
    found = log.fetch(
        orders.aggregate(
            orders=orders.count(),
            several=(orders.lines > 1).sum(),
            shared=shared.sum(),
            example=orders.order_id.min(where=shared),
        )
    ).to_pylist()[0]
    lines = log.fetch(rows.aggregate(lines=rows.count()))["lines"].to_pylist()[0]
    notes = []
    if found["several"]:
        what = say_many(
            "Lines of {count:,} order: the lines of an order are one purchase, on its first day.",
            "Lines of {count:,} orders: the lines of an order are one purchase, on its first day.",
            found["orders"],
        )
        notes.append(_line("note", what, lines))
    if found["shared"]:
        what = say(
            "Order ids that several customers have ({shared:,}): each customer's lines are an order of their own.",
            shared=found["shared"],
        )
        notes.append(_line("note", what, 0, found["example"]))
    return notes


def equal_rows(log: OrderLog, rows: Any, occasions: Any) -> list[Line]:
    """Return a note on rows that are equal in all columns that are read, if there are any."""
    if log.kept:
        # Equal rows share their customer's day; where days were sorted, the places of those that do are known.
        near = None
        if isinstance(occasions, SortedDays) and log.reading.order_id is None:
            near = occasions.several
        count, left = _twins(log, rows, near)
        total = log.fetch(log.rows.aggregate(rows=log.rows.count()))["rows"][0].as_py()
        # Of rows that are left out some may have been equal to one that is not.
        count = _twins(log, log.rows)[0] if count and left < total else count
    else:
        if log.reading.order_id is None:
            # Few days have several rows in most logs, and only there can be equal ones.
            several = occasions.filter(occasions.orders > 1).select("customer_id", "date")
            rows = rows.semi_join(several, ["customer_id", "date"]).select(rows.columns)
        raw = log.raw.drop([name for name in log.raw.columns if name.startswith("taken_")])
        count = _repeated(log, rows) and _repeated(log, raw)
    if not count:
        return []
    what = say(
        "Rows that are equal to another one in all columns that are read ({columns}): each counts, since one may buy "
        "the same again. If a join doubled them, drop them before: in pandas orders.drop_duplicates().",
        columns=", ".join(log.reading.columns().values()),
    )
    return [_line("note", what, count)]


def _twins(log: OrderLog, rows: Any, near: np.ndarray | None = None) -> tuple[int, int]:
    """Return how many rows have the hash of one before them, and how many rows there are.

    ``near`` are the places of the rows that may. Of 10^8 different rows, two have one hash once in 3,000 logs.
    """
    size, found = 0, []
    near = None if near is None else np.sort(near)
    for batch in log.batches(rows.select(TWIN)):
        hashes = batch[TWIN].to_numpy()
        if near is not None:
            first, beyond = np.searchsorted(near, (size, size + hashes.size))
            found.append(hashes[near[first:beyond] - size])
        else:
            found.append(hashes)
        size += batch.num_rows
    hashes = np.sort(np.concatenate(found)) if found else np.empty(0, np.uint64)
    return int((hashes[1:] == hashes[:-1]).sum()), size


def _repeated(log: OrderLog, rows: Any) -> int:
    """Return how many rows are equal to one before them."""
    found = log.fetch(
        rows.aggregate(rows=rows.count()).cross_join(rows.distinct().aggregate(kinds=lambda t: t.count()))
    )
    return int(found["rows"][0].as_py() - found["kinds"][0].as_py())


def beside(log: OrderLog) -> list[Line]:
    """Return notes on columns that nobody named, and that may say that a row is no sale."""
    return [_line("note", what, rows) for what, rows in beside_notes(log)]


def time_notes(log: OrderLog, time_unit: str) -> list[Line]:
    """Return a note on times of day, where the unit asks for them and days alone count."""
    if time_unit != "hour":
        return []
    given = log.raw.date
    kind = given.type()
    if kind.is_timestamp():
        timed = given != given.truncate("D")
    elif kind.is_string():
        timed = given.contains(":")
    else:
        return []
    count = log.fetch(log.raw.aggregate(timed=timed.sum()))["timed"].to_pylist()[0]
    if not count:
        return []
    what = say(
        "Orders with a time of day: their day alone counts, in hours of 24 a day, since a purchase occasion is a day "
        "with an order."
    )
    return [_line("note", what, count)]


def _line(action: str, what: str, rows: Any, example: str = "", money: Any = None) -> Line:
    amount = None if money is None else round(float(money), 4) + 0.0
    return {"action": action, "what": what, "rows": int(rows), "example": str(example), "money": amount}


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
