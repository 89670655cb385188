"""What ``bayes-clv check`` says of an order log: the door and its checks alone, in seconds."""

import json
from typing import TYPE_CHECKING

from bayes_clv.workflows.settings import Checking, columns_of, told_of
from bayes_clv.workflows.words import plain_number

if TYPE_CHECKING:
    import xarray as xr

NOTHING_ODD = "Nothing odd was found."


def check_orders(settings: Checking) -> list[str]:
    """Return the lines that ``check`` prints: the base, what became of rows and money, and what is odd.

    Raises InputError for what ``summarize`` refuses.
    """
    from bayes_clv.customers.oddities import oddities
    from bayes_clv.customers.summaries import summarize
    from bayes_clv.problems import cards
    from bayes_clv.remedies import Ran

    customers = summarize(
        settings.orders, until=settings.until, time_unit="day", also=("purchase_times",), **told_of(settings)
    )
    lines = [*_base(customers), "", *_account(customers), ""]
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
        lines.append(f"They spent {spend:,.2f}, {plain_number(each)} a purchase.")
    return lines


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
