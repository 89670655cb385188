"""What is possible in a base and hardly meant: said before a number comes out, with the table of problems' words.

Each finds its numbers in the customers alone, against a threshold that stands here with its reason; meaning and
remedies stand in ``bayes_clv.problems``.
"""

import re
import unicodedata
from collections.abc import Callable

import numpy as np
import xarray as xr

from bayes_clv.customers.orders.remedies import TOTALS
from bayes_clv.customers.sequences import PURCHASE_TIMES, places
from bayes_clv.problems import KINDS, problem
from bayes_clv.schema import CUSTOMER, UNSTATED, Problem
from bayes_clv.units import days_per

# A day that lies further from all others than half of the span in which 99 % of them lie, and half a year, is none of a
# shop's pauses.
FAR_SHARE, FAR_DAYS, STRAY = 0.5, 182, 0.01
# A day that stands for no date, such as 1970-01-01, may be of more customers than strays are.
ALONE_SHARE = 0.25
# Below fifty customers anybody may have a tenth of the orders.
ACCOUNT_SHARE, ACCOUNT_BASE = 0.1, 50
# Months differ by a thirtieth; of purchases at random one customer in a hundred with three intervals is as regular.
REGULAR, REGULAR_SHARE, INTERVALS = 0.1, 0.5, 3
# The four numbers of a family, and seven customers for each.
FEW = KINDS["few_customers"].threshold
# A share of free accounts that no total of money would notice.
NEVER_PAID = KINDS["never_paid"].threshold
# One-time buyers are a tenth at least of any base that was looked at; beyond a hundred customers chance leaves none out
# once in 37,000 bases.
ONE_TIME_BASE, ONE_TIME_SHARE = 100, 0.1
# Hill's estimate from the largest twentieth, no fewer than twenty.
TAIL, TAIL_LEAST = 0.05, 20
# What programs put about a text, so that it is not read as a number.
_QUOTES = "\"'\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"

# A long number as a spreadsheet shows it in a narrow column, and saves it.
_SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d\d")


def oddities(customers: xr.Dataset) -> list[Problem]:
    """Return what is odd in customers made of orders; what cannot be told of them is not looked at."""
    checks: tuple[Callable[[xr.Dataset], Problem | None], ...] = (
        *(_far_dates, _alike_ids, _shortened_ids, _total_rows, _one_account, _regular),
        *(_few_customers, _never_paid, _no_one_time, _spend_tail),
    )
    return [found for found in (check(customers) for check in checks) if found is not None]


def _far_dates(customers: xr.Dataset) -> Problem | None:
    """Return days that lie far from all others: they move everybody's end of observation, or somebody's beginning."""
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    if "first_order" not in customers or unit == UNSTATED:
        return None
    first = customers["first_order"].to_numpy().astype("datetime64[D]")
    last = first + np.rint(customers["recency"].to_numpy() * days_per(unit)).astype(int)
    days = np.sort(np.concatenate([first, last]))
    gaps = np.diff(days).astype(int)
    alone = _day_alone(days)
    few = int(STRAY * days.size) if alone is None else alone[1]
    if few < 1:
        return None
    middle = int((days[-1 - few] - days[few]).astype(int))
    limit = max(FAR_DAYS, FAR_SHARE * middle)
    late, early = np.flatnonzero(gaps[-few:] > limit), np.flatnonzero(gaps[:few] > limit)
    if late.size:
        at = gaps.size - few + int(late[0])
        which, day, gap, where = last > days[at], days[at + 1], gaps[at], "after"
    elif early.size:
        at = int(early[-1])
        which, day, gap, where = first <= days[at], days[at], gaps[at], "before"
    else:
        return None
    return problem(
        "dates_far",
        "Data",
        customers=int(which.sum()),
        day=str(day),
        gap=int(gap),
        where=where,
        example=str(customers[CUSTOMER].to_numpy()[np.flatnonzero(which)[0]]),
        end=str(customers.attrs.get("until", "")),
    )


def _day_alone(days: np.ndarray) -> tuple[str, int] | None:
    """Return at which end one day alone lies far from all others, and how often it is there: what stands for no date.

    Not where it is most of them: a base that came on one day.
    """
    different, counts = np.unique(days, return_counts=True)
    if different.size < 3:
        return None
    gaps = np.diff(different).astype(int)
    spans = {"after": different[-2] - different[0], "before": different[-1] - different[1]}
    for where, gap, count in (("after", gaps[-1], counts[-1]), ("before", gaps[0], counts[0])):
        far = gap > max(FAR_DAYS, FAR_SHARE * int(spans[where].astype(int)))
        if far and count < ALONE_SHARE * days.size:
            return where, int(count)
    return None


def _shortened_ids(customers: xr.Dataset) -> Problem | None:
    """Return ids that a spreadsheet showed with six figures, so that different numbers became one."""
    ids = customers[CUSTOMER].to_numpy()
    texts = [str(each) for each in ids] if ids.dtype.kind in "OUT" else []
    found = [each for each in texts if _SHORTENED.fullmatch(each)]
    return problem("short_ids", "Data", customers=len(found), one=found[0]) if found else None


def _total_rows(customers: xr.Dataset) -> Problem | None:
    """Return customers who are called as the lines of sums of a report are."""
    ids = customers[CUSTOMER].to_numpy()
    texts = [str(each) for each in ids] if ids.dtype.kind in "OUT" else []
    read = [text.strip().rstrip(":").casefold() for text in texts]
    found = [
        text
        for text, low in zip(texts, read, strict=True)
        if low in TOTALS or low.endswith((" total", " subtotal", " gesamt", " ergebnis"))
    ]
    return problem("total_rows", "Data", customers=len(found), one=found[0]) if found else None


def _alike_ids(customers: xr.Dataset) -> Problem | None:
    """Return ids that are one and the same to a reader, and customers of their own here."""
    ids = customers[CUSTOMER].to_numpy()
    texts = [each for each in ids if isinstance(each, str)] if ids.dtype.kind in "OUT" else []
    whole = "".join(texts)
    # Of the usual ids, letters, digits and hyphens, no two look alike.
    plain = whole.isascii() and not any(mark in whole for mark in "\"'=@")
    if plain and not any(text.startswith("0") or text.endswith(".0") for text in texts):
        return None
    written: dict[str, list[str]] = {}
    for text in texts:
        written.setdefault(_as_read(text), []).append(str(text))
    several = [each for each in written.values() if len(each) > 1]
    if not several:
        return None
    one, other = (ascii(text) for text in sorted(several[0], key=lambda text: (len(text), text))[:2])
    return problem("alike_ids", "Data", customers=sum(map(len, several)), one=one, other=other)


def _as_read(text: str) -> str:
    """Return an id as its reader sees it: letters in one character, nothing unseen, without marks about it."""
    seen = text
    if not text.isascii():
        seen = "".join(
            sign for sign in unicodedata.normalize("NFC", text) if unicodedata.category(sign) != "Cf"
        )
    plain = seen.strip().removeprefix("=").strip(_QUOTES).strip() or seen
    # Programs that take ids for numbers drop zeros before them, and write .0 behind.
    whole = plain.removesuffix(".0")
    if whole.isdecimal():
        return whole.lstrip("0") or "0"
    return plain.casefold() if "@" in plain else plain


def _one_account(customers: xr.Dataset) -> Problem | None:
    """Return one customer who has a tenth of all purchases or of all spend."""
    size = customers.sizes[CUSTOMER]
    if size < ACCOUNT_BASE or "frequency" not in customers:
        return None
    amounts = {"purchases": customers["frequency"].to_numpy() + 1}
    if "historical_spend" in customers:
        amounts["spend"] = customers["historical_spend"].to_numpy()
    for what, amount in amounts.items():
        share = float(amount.max() / amount.sum()) if amount.sum() > 0 else 0.0
        if share >= ACCOUNT_SHARE:
            who = str(customers[CUSTOMER].to_numpy()[int(np.argmax(amount))])
            return problem("one_account", "Data", what=what, share=100 * share, customer=who, customers=size)
    return None


def _regular(customers: xr.Dataset) -> Problem | None:
    """Return that most customers buy at intervals of one length, where their purchase times are known."""
    if PURCHASE_TIMES not in customers or "purchase_start" not in customers:
        return None
    frequency = customers["frequency"].to_numpy().astype(np.int64)
    often = frequency >= INTERVALS
    if not often.any():
        return None
    size = frequency[often]
    times = customers[PURCHASE_TIMES].to_numpy()
    own = times[places(customers["purchase_start"].to_numpy()[often].astype(np.int64), size)]
    starts = np.cumsum(size) - size
    waits = np.diff(own, prepend=0.0)
    waits[starts] = own[starts]
    mean = np.add.reduceat(waits, starts) / size
    spread = np.sqrt(np.maximum(np.add.reduceat(waits**2, starts) / size - mean**2, 0.0)) / mean
    share = float((spread < REGULAR).mean())
    if share <= REGULAR_SHARE:
        return None
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    return problem(
        "regular",
        "Data",
        share=100 * share,
        customers=int(often.sum()),
        every=float(np.median(mean)),
        unit=unit,
    )


def _few_customers(customers: xr.Dataset) -> Problem | None:
    """Return that there are so few customers that priors decide."""
    size = customers.sizes[CUSTOMER]
    if FEW is None or size >= FEW or "frequency" not in customers:
        return None
    repeats = int((customers["frequency"].to_numpy() > 0).sum())
    return problem("few_customers", "Data", customers=size, repeats=repeats)


def _never_paid(customers: xr.Dataset) -> Problem | None:
    """Return customers with orders and no spend at all, where they are more than a few."""
    if "historical_spend" not in customers:
        return None
    free = customers["historical_spend"].to_numpy() == 0
    share = 100 * float(free.mean())
    if NEVER_PAID is None or share <= NEVER_PAID or free.all():
        return None
    example = str(customers[CUSTOMER].to_numpy()[int(np.argmax(free))])
    return problem(
        "never_paid", "Data", customers=int(free.sum()), all=free.size, share=share, example=example
    )


def _no_one_time(customers: xr.Dataset) -> Problem | None:
    """Return that nobody bought only once."""
    size = customers.sizes[CUSTOMER]
    if size < ONE_TIME_BASE or "frequency" not in customers or (customers["frequency"].to_numpy() == 0).any():
        return None
    odds = min((1 - ONE_TIME_SHARE) ** -float(size), 1e12)
    return problem("no_one_time", "Data", customers=size, odds=odds)


def _spend_tail(customers: xr.Dataset) -> Problem | None:
    """Return that the largest mean spends fall off so slowly that spend has no mean (Hill 1975)."""
    if "monetary_value" not in customers:
        return None
    spend = customers["monetary_value"].to_numpy()
    spend = np.sort(spend[np.isfinite(spend) & (spend > 0)])[::-1]
    top = max(TAIL_LEAST, int(TAIL * spend.size))
    if spend.size < 5 * TAIL_LEAST:
        return None
    rise = float(np.log(spend[:top] / spend[top]).mean())
    limit = KINDS["spend_tail"].threshold
    if limit is None or rise * limit < 1:
        return None
    exponent = 1 / rise
    return problem(
        "spend_tail",
        "Data",
        top=top,
        customers=spend.size,
        exponent=exponent,
        error=exponent / float(np.sqrt(top)),
    )
