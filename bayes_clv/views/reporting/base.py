"""The page of the customer-base audit: five looks at who buys, counted."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.base_audit import COHORT, DECILE, FLOW
from bayes_clv.language import joined, say
from bayes_clv.schema import PERIOD
from bayes_clv.views import numbers
from bayes_clv.views.base_frames import labels_of, over
from bayes_clv.views.plots import base as drawn
from bayes_clv.views.plots.base import flow_words, last_whole, marked, period_of
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting.appendix import run_table
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.views.reporting.rendering import write_template

COHORTS_SHOWN = 12


def audit_sentences(found: xr.Dataset) -> list[str]:
    """Return what each of the five lenses says of the last whole period, a sentence each."""
    last = last_whole(found)
    labels = labels_of(found)
    lines = [_one_period(found, last, labels)]
    before = last - 1
    if before >= 0 and bool(found["whole"][before]):
        lines.append(_two_periods(found, last, labels))
    lines += _cohorts_said(found, last, labels)
    lines.append(_whole_base(found, last, labels))
    return lines


def _one_period(found: xr.Dataset, last: int, labels: list[str]) -> str:
    name = "spend" if "spend" in found else "orders"
    active, orders = float(found["active"][last]), float(found["orders"][last])
    once = float(found["orders_customers"][last, 0]) / max(active, 1.0)
    tenths = found[f"decile_{name}"].transpose(PERIOD, DECILE).to_numpy()[last]
    told = {"period": labels[last], "active": active, "days": orders, "once": _share(once)}
    told["tenth"] = _share(tenths[0] / max(tenths.sum(), 1e-300))
    if name == "spend":
        return say(
            "One period, {period}: {active:,.0f} customers bought on {days:,.0f} days and spent {spend}; {once} of "
            "these customers once. The best tenth brought {tenth} of spend.",
            spend=_amount(found["spend"][last], found),
            **told,
        )
    return say(
        "One period, {period}: {active:,.0f} customers bought on {days:,.0f} days; {once} of these customers once. The "
        "best tenth brought {tenth} of purchases.",
        **told,
    )


def _two_periods(found: xr.Dataset, last: int, labels: list[str]) -> str:
    flow = found["flow_customers"].isel({PERIOD: last})
    stayed, returned, new, lapsed = (
        float(flow.sel({FLOW: name})) for name in ("stayed", "returned", "new", "lapsed")
    )
    before = stayed + lapsed
    text = say(
        "Two periods: of the {before:,.0f} customers of {first} {again} bought again in {second}, beside "
        "{returned:,.0f} who came back and {new:,.0f} new ones",
        before=before,
        first=labels[last - 1],
        again=_share(stayed / max(before, 1.0)),
        second=labels[last],
        returned=returned,
        new=new,
    )
    if "spent_more" in found and stayed:
        more = float(found["spent_more"][last])
        text = say(
            "{text}; of those who bought in both {share} spent more than before",
            text=text,
            share=_share(more / stayed),
        )
    return say("{text}.", text=text)


def _cohorts_said(found: xr.Dataset, last: int, labels: list[str]) -> list[str]:
    """Return how the first whole cohort did, and how a later one did at the same age."""
    size, whole = found["cohort_size"].to_numpy(), found["whole"].to_numpy()
    active = found["cohort_active"].transpose(COHORT, PERIOD).to_numpy()
    there = [each for each in np.flatnonzero((size > 0) & whole).tolist() if each < last]
    if not there:
        return []
    first = there[0]
    share = active[first, first + 1 : last + 1] / size[first]
    by = period_of(found)
    lines = [
        say(
            "One cohort: of the {size:,.0f} who first bought in {first} {next} bought in the next {by}, {latest} in "
            "{last}.",
            size=size[first],
            first=labels[first],
            next=_share(share[0]),
            by=by,
            latest=_share(share[-1]),
            last=labels[last],
        )
    ]
    later = there[-1]
    if later > first:
        other = active[later, later + 1] / size[later]
        lines.append(
            say(
                "Two cohorts: a {by} after their first order {share} of those of {first} bought, and {other} of those "
                "of {later}.",
                by=by,
                share=_share(share[0]),
                first=labels[first],
                other=_share(other),
                later=labels[later],
            )
        )
    return lines


def _whole_base(found: xr.Dataset, last: int, labels: list[str]) -> str:
    name = "spend" if "spend" in found else "orders"
    brought = found[f"cohort_{name}"].transpose(COHORT, PERIOD).to_numpy()[:, last]
    total = np.nansum(brought)
    new = float(np.nan_to_num(brought[last]) / total) if total else 0.0
    return say(
        "The whole base: {share} of {what} in {last} came from customers of that {by}, the rest from those who had "
        "come before; {customers:,} have ever bought.",
        share=_share(new),
        what=say("spend") if name == "spend" else say("purchases"),
        last=labels[last],
        by=period_of(found),
        customers=found.attrs["customers"],
    )


def write_audit_page(
    path: str | Path,
    gallery: Gallery,
    *,
    found: xr.Dataset,
    title: str | None = None,
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of an audit of ``clv.customers.audit_base``, in the language spoken, and return its path."""
    figures = {
        "tenths": gallery.add(
            "audit-tenths",
            partial(drawn.plot_base_tenths, found),
            say("One period: what each tenth of its customers brought, and how often they bought."),
        ),
        "flows": gallery.add(
            "audit-flows",
            partial(drawn.plot_base_flows, found),
            say(
                "Two periods: who bought in both, came back or is new, and below who had bought in the period before "
                "and did not."
            ),
        ),
        "lives": gallery.add(
            "audit-lives",
            partial(drawn.plot_cohort_lives, found),
            say("One cohort is a line; two cohorts are compared at the same age. Later cohorts are lighter."),
        ),
        "base": gallery.add(
            "audit-base",
            partial(drawn.plot_cohorts, found),
            say("The whole base: each period by when its customers had come."),
        ),
    }
    gallery.finish()
    sentences = audit_sentences(found)
    page = {
        "title": say("Customer-base audit") if title is None else title,
        "summary": {"failed": "", "text": sentences[0]},
        "key_numbers": _key_numbers(found),
        "levels": {},
        "sections": [
            ("two", say("Two periods"), []),
            ("cohorts", say("Cohorts"), []),
            ("whole", say("The whole base"), []),
            ("reading", say("How to read it"), []),
        ],
        "sentences": sentences,
        "figures": figures,
        "periods": _periods(found),
        "lives": _lives(found),
        "partial": joined(
            "{first}, {second}", [name.removesuffix(" *") for name in marked(found) if name.endswith("*")]
        ),
        "by": period_of(found),
        "run_table": run_table(run),
    }
    return write_template(path, "audit.html.j2", page)


def _amount(amount: Any, found: xr.Dataset) -> str:
    return numbers.money(float(np.round(float(amount))), found.attrs.get("currency"))


def _share(part: float) -> str:
    return f"{100 * part:.0f} %"


def _key_numbers(found: xr.Dataset) -> list[dict[str, Any]]:
    last = last_whole(found)
    note = say("in {period}", period=labels_of(found)[last])
    what = [(say("customers who bought"), f"{float(found['active'][last]):,.0f}")]
    if "spend" in found:
        each = float(over(found["spend"].to_numpy(), found["active"].to_numpy())[last])
        what.append((say("spend a customer"), numbers.money(each, found.attrs.get("currency"))))
    new = float(found["cohort_size"][last])
    what.append((say("of them new"), f"{new:,.0f}"))
    return [
        {"label": label, "number": number, "level": None, "note": note, "failed": None}
        for label, number in what
    ]


def _periods(found: xr.Dataset) -> tables.Table:
    active, orders = found["active"].to_numpy(), found["orders"].to_numpy()
    columns: list[tuple[tables.Column, list[tables.Cell]]] = [
        (
            tables.Column(period_of(found), number=False),
            [tables.cell(each) for each in marked(found)],
        ),
        (tables.Column(say("customers")), tables.column(active)),
    ]
    for flow, heading in flow_words().items():
        columns.append(
            (tables.Column(heading), tables.column(found["flow_customers"].sel({FLOW: flow}).to_numpy()))
        )
    columns.append((tables.Column(say("orders a customer")), tables.column(over(orders, active))))
    if "spend" in found:
        spend = found["spend"].to_numpy()
        columns += [
            (tables.Column(say("spend an order")), tables.column(over(spend, orders))),
            (tables.Column(say("spend")), tables.column(spend)),
        ]
        caption = say("Each period; * not whole. Spend in {money}.", money=numbers.money_unit(found))
        return _table("period-table", caption, columns)
    return _table("period-table", say("Each period; * not whole."), columns)


def _lives(found: xr.Dataset) -> tables.Table:
    """Return the share of each cohort, at most so many, that bought at each age."""
    size, whole = found["cohort_size"].to_numpy(), found["whole"].to_numpy()
    active = found["cohort_active"].transpose(COHORT, PERIOD).to_numpy()
    labels = labels_of(found)
    there = np.flatnonzero(size > 0)[-COHORTS_SHOWN:].tolist()
    ages = min(max(active.shape[1] - min(there), 1), COHORTS_SHOWN)
    columns: list[tuple[tables.Column, list[tables.Cell]]] = [
        (tables.Column(say("first order"), number=False), [tables.cell(labels[each]) for each in there]),
        (tables.Column(say("customers")), tables.column(size[there])),
    ]
    for age in range(1, ages):
        cells = []
        for each in there:
            inside = each + age < active.shape[1]
            part = float(active[each, each + age] / size[each]) if inside else float("nan")
            mark = "" if not inside or whole[each + age] else " *"
            cells.append(tables.cell(part, f"{_share(part)}{mark}" if inside else ""))
        columns.append((tables.Column(f"+{age}"), cells))
    caption = say(
        "Of each cohort the share that bought so many {units} later; * not a whole {unit}.",
        units=say(f"{found.attrs['by']}s"),
        unit=period_of(found),
    )
    return _table("life-table", caption, columns)


def _table(name: str, caption: str, columns: list[tuple[tables.Column, list[tables.Cell]]]) -> tables.Table:
    rows = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    return tables.Table(name, caption, [column for column, _ in columns], rows)
