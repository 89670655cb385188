"""What ``bayes-clv check`` says of an order log: the door and its checks alone, in seconds."""

import json
from typing import TYPE_CHECKING

import numpy as np

from bayes_clv.workflows.described import read_described
from bayes_clv.workflows.settings import Checking, columns_of, told_of
from bayes_clv.workflows.words import plain_number

if TYPE_CHECKING:
    import xarray as xr

NOTHING_ODD = "Nothing odd was found in the customers' histories."


def check_orders(settings: Checking) -> list[str]:
    """Return the lines that ``check`` prints: the base, what became of rows and money, and what is odd.

    Raises InputError for what ``summarize`` refuses.
    """
    from bayes_clv.customers.columns import with_columns
    from bayes_clv.customers.oddities import oddities
    from bayes_clv.customers.summaries import summarize
    from bayes_clv.problems import cards
    from bayes_clv.remedies import Ran

    customers = summarize(
        settings.orders,
        until=settings.until,
        time_unit="day",
        also=("purchase_times",),
        take=settings.take,
        currency=settings.currency,
        **told_of(settings),
    )
    described = customers
    if settings.columns is not None:
        described = with_columns(customers, read_described(settings.columns, settings.customer_id))
    beside = [str(name) for name in described if name in settings.take or name not in customers]
    about = [_described(name, described[name].to_numpy()) for name in beside]
    lines = [*_base(customers), *about, "", *_account(customers), ""]
    found = cards(oddities(customers), Ran(columns=columns_of(settings), command=True))
    if not found:
        return [*lines, NOTHING_ODD]
    for card in found:
        lines += [
            f"{card.title}: {' '.join(card.found)}",
            f"  {card.meaning}",
            f"  Do: {' Or: '.join(card.remedies)}",
        ]
    return lines


def _base(customers: "xr.Dataset") -> list[str]:
    """Return who the customers are, in two lines."""
    size, repeats = customers.sizes["customer"], customers["frequency"].to_numpy()
    first = customers["first_order"].to_numpy().min().astype("datetime64[D]")
    lines = [
        f"{size:,} customers made {size + int(repeats.sum()):,} purchases from {first} to {customers.attrs['until']}; "
        f"{(repeats == 0).mean():.0%} of them bought once."
    ]
    if "historical_spend" in customers:
        spend = float(customers["historical_spend"].sum())
        each = spend / (size + int(repeats.sum()))
        currency = f" {customers.attrs['currency']}" if "currency" in customers.attrs else ""
        lines.append(f"They spent {spend:,.2f}{currency}, {plain_number(each)} a purchase.")
    return lines


def _described(name: str, values: np.ndarray) -> str:
    """Return what a column says of the customers: its ends, or how many values, the rarest and the most common."""
    if values.dtype.kind in "iuf":
        return f"{name}: {plain_number(values.min())} to {plain_number(values.max())}."
    labels, counts = np.unique(values.astype(str), return_counts=True)
    ends = [f"{str(labels[i])!r} ({counts[i]:,})" for i in (counts.argmin(), counts.argmax())]
    if labels.size == 1:
        return f"{name}: {str(labels[0])!r} of all."
    return f"{name}: {labels.size:,} values; fewest customers have {ends[0]}, most {ends[1]}."


def _account(customers: "xr.Dataset") -> list[str]:
    """Return the audit, a line each, rows and money before the words."""
    found = json.loads(customers.attrs["audit"])
    money = [f"{line['money']:,.2f}" if line["money"] is not None else "" for line in found]
    width = max(map(len, money))
    rows = [f"{line['rows']:,}" if line["rows"] else "" for line in found]
    most = max(map(len, rows))
    return [
        f"{line['action']:<10} {number:>{most}}  {f'{amount:>{width}}  ' if width else ''}{line['what']}"
        for line, number, amount in zip(found, rows, money, strict=True)
    ]
