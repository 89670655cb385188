"""The page of customer equity: what present and future customers are worth, who holds it, and what has changed it."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import joined, say, say_in, say_kept
from bayes_clv.schema import listed
from bayes_clv.valuation.bridge import STEP
from bayes_clv.valuation.equity import TOP
from bayes_clv.views import numbers
from bayes_clv.views.base_frames import ENDS
from bayes_clv.views.plots import equity as drawn
from bayes_clv.views.plots.equity import IDLE, WORDS
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting.appendix import run_table
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.views.reporting.rendering import failed_behind, write_template


def _meanings() -> dict[str, str]:
    """Return what each step between two days is."""
    return {
        "new": say("came since; their value now"),
        "lost": say("left since; what they had been worth"),
        "revised": say("known now: had left before, or are here after all, and for how long"),
        "rate": say("purchases to come for each unit of time, of those who are here"),
        "spend": say("value of a purchase to come, of those who are here"),
        "costs": say("what those who are here cost, then and now"),
        "outlook": say("value of those still to come, then and now"),
    }


def equity_sentences(found: xr.Dataset) -> list[str]:
    """Return what a manager is told of the worth of the base."""
    over = numbers.horizon(found)
    present = _middle(found, "present")
    lines = [
        say(
            "Present customers are worth {present} over {horizon} (median and 90 %).",
            present=present,
            horizon=over,
        )
    ]
    if "present_before_costs" in found:
        lines.append(
            say(
                "Before costs it would be {before}: customers cost {cost}.",
                before=_middle(found, "present_before_costs"),
                cost=_plain(float(found["present_before_costs_q50"]) - float(found["present_q50"]), found),
            )
        )
    if found.attrs["with_future"]:
        lines += [_to_come(found, over), _equity_words(found)]
    top = found.sel({TOP: 0.1})
    lines.append(
        say(
            "The best 10 % of present customers hold {tenth} of their value; the best 1 % hold {hundredth}.",
            tenth=_share(top["concentration_q50"]),
            hundredth=_share(found.sel({TOP: 0.01})["concentration_q50"]),
        )
    )
    return [*lines, *map(say_kept, listed(found.attrs, "reasons"))]


def _equity_words(found: xr.Dataset) -> str:
    low, middle, high = (_share(found[f"share_present_{end}"]) for end in ("q05", "q50", "q95"))
    return say(
        "Customer equity is {equity}; {share} of it is of present customers (90 %: {low} to {high}).",
        equity=_middle(found, "equity"),
        share=middle,
        low=low,
        high=high,
    )


def bridge_sentences(bridge: xr.Dataset) -> list[str]:
    """Return what has changed equity between two days."""
    center = _center(bridge)
    change = float(bridge[f"change_{center}"])
    low, high = (signed(float(bridge[f"change_{end}"]), bridge) for end in ("q05", "q95"))
    steps = {
        str(name): float(bridge[f"contribution_{center}"].sel({STEP: name}))
        for name in bridge[STEP].to_numpy()
    }
    # Beside thousands nobody reads cents.
    small = abs(change) < 1000
    told = [
        say(
            "{step} {amount}",
            step=say(WORDS[name]),
            amount=signed(amount if small else float(np.round(amount)), bridge),
        )
        for name, amount in steps.items()
        if np.round(amount) != 0
    ]
    slots = {
        "since": bridge.attrs["from"] or say("the opening"),
        "change": _plain(abs(change), bridge),
        "low": low,
        "high": high,
        "steps": joined("{first}, {second}", told),
    }
    left = {"lost": float(bridge["customers_lost_mean"]), "before": bridge.attrs["customers_before"]}
    new = int(bridge.attrs["customers_new"])
    lines = [
        say("Since {since} equity has grown by {change} (90 %: {low} to {high}): {steps}.", **slots)
        if change >= 0
        else say(
            "Since {since} equity has fallen by {change} (change, 90 %: {low} to {high}): {steps}.", **slots
        ),
        say("{new:,} customers came, and {lost:,.0f} of {before:,} left (mean).", new=new, **left)
        if new
        else say("No customers came, and {lost:,.0f} of {before:,} left (mean).", **left),
    ]
    if np.isfinite(bridge.attrs["earned"]) and np.isfinite(float(bridge["return_on_customer_q50"])):
        low, middle, high = (_share(bridge[f"return_on_customer_{end}"]) for end in ("q05", "q50", "q95"))
        lines.append(
            say(
                "Return on customer: {share} of the opening's equity (90 %: {low} to {high}), of {earned} earned in "
                "between and the change.",
                share=middle,
                low=low,
                high=high,
                earned=_plain(bridge.attrs["earned"], bridge),
            )
        )
    return [*lines, *map(say_kept, listed(bridge.attrs, "reasons"))]


def write_equity_page(
    path: str | Path,
    gallery: Gallery,
    *,
    found: xr.Dataset,
    coming: xr.Dataset | None = None,
    bridge: xr.Dataset | None = None,
    note: str = "",
    checks: Sequence[str] = (),
    title: str | None = None,
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of customer equity, in the language that is spoken, and return its path.

    Parameters
    ----------
    path, gallery
        The file, and who draws the figures.
    found
        Of ``customer_equity``.
    coming, bridge
        Of ``predict_newcomers`` and ``equity_bridge``, where they were asked for; ``note`` says of the latter whose
        posterior valued the opening.
    checks
        Titles of the failed checks of the run behind it.
    title, run
        Of the page, "Customer equity" where None; what was run, as name and text.
    """
    figures = {
        "worth": gallery.add(
            "equity-worth",
            partial(drawn.plot_equity, found),
            say(
                "Left: bars are medians, lines 90 % intervals. Right: how much of the present value the best customers "
                "hold; the grey marks are what they would hold if all were alike."
            ),
            "outcome",
        )
    }
    if bridge is not None:
        figures["bridge"] = gallery.add(
            "equity-bridge",
            partial(drawn.plot_bridge, bridge),
            say(
                "From the equity of the earlier day each step adds (blue) or takes away (orange); lines are 90 % "
                "intervals of each. In every draw the steps add up to the change."
            ),
            "outcome",
        )
    if coming is not None:
        figures["newcomers"] = gallery.add(
            "equity-newcomers",
            partial(drawn.plot_newcomers, coming),
            say(
                "First orders by period, and who will come. What is not known of their number grows with the time "
                "ahead."
            ),
            "outcome",
        )
    gallery.finish()
    page = {
        "title": say("Customer equity") if title is None else title,
        "summary": {"failed": failed_behind(checks, say("this page")), "text": _verdict(found)},
        "key_numbers": _key_numbers(found, bridge),
        "levels": {
            "outcome": say(
                "what will actually be bought and spent, and who will come, with the chance in both."
            )
        },
        "sections": [
            ("worth", say("What it is worth"), []),
            *([("bridge", say("What has changed"), [])] if bridge is not None else []),
            *([("newcomers", say("Who is to come"), [])] if coming is not None else []),
            ("holders", say("Who holds it"), []),
            ("reading", say("How it was made"), []),
        ],
        "sentences": equity_sentences(found),
        "bridge_sentences": [] if bridge is None else bridge_sentences(bridge),
        "note": say_kept(note),
        "figures": figures,
        "worth": _worth(found),
        "bridge": None if bridge is None else _bridge(bridge),
        "cohorts": None if coming is None else _cohorts(found),
        "tops": _tops(found),
        "method": _method(found, bridge),
        "run_table": run_table(run),
    }
    return write_template(path, "equity.html.j2", page)


def signed(amount: float, result: xr.Dataset) -> str:
    """Return an amount in the currency of its result with its sign, + as well.

    >>> in_pounds = xr.Dataset(attrs={"currency": "£"})
    >>> signed(1234.5, in_pounds), signed(-3.0, in_pounds), signed(1234.5, xr.Dataset())
    ('+£1,234', '-£3', '+1,234')
    """
    return f"{'+' if amount >= 0 else ''}{_plain(amount, result)}"


def _plain(amount: Any, result: xr.Dataset) -> str:
    number = float(amount)
    return numbers.money(np.round(number) if abs(number) >= 100 else number, result.attrs.get("currency"))


def _middle(found: xr.Dataset, name: str) -> str:
    middle, low, high = (_plain(found[f"{name}_{end}"], found) for end in ("q50", "q05", "q95"))
    return say("{middle} ({low} to {high})", middle=middle, low=low, high=high)


def _share(part: Any) -> str:
    return f"{100 * float(part):.0f} %"


def _count(found: xr.Dataset) -> str:
    middle, low, high = (float(found[f"customers_to_come_{end}"]) for end in ("q50", "q05", "q95"))
    return say("{middle} ({low} to {high})", middle=f"{middle:,.0f}", low=f"{low:,.0f}", high=f"{high:,.0f}")


def _to_come(found: xr.Dataset, horizon: str) -> str:
    """Return what those who are still to come add."""
    cost = float(found.attrs["acquisition_cost"])
    told = {"horizon": horizon, "count": _count(found), "future": _middle(found, "future")}
    if cost:
        return say(
            "Those still to come within {horizon}, {count} of them, add {future} after {cost} each for acquisition.",
            cost=numbers.money(cost, found.attrs.get("currency")),
            **told,
        )
    return say(
        "Those still to come within {horizon}, {count} of them, add {future}, of whose acquisition no cost is stated.",
        **told,
    )


def _center(bridge: xr.Dataset) -> str:
    return "q50" if np.isnan(float(bridge["change_mean"])) else "mean"


def _verdict(found: xr.Dataset) -> str:
    """Return the sentence at the head of the page."""
    return _equity_words(found) if found.attrs["with_future"] else equity_sentences(found)[0]


def _key_numbers(found: xr.Dataset, bridge: xr.Dataset | None) -> list[dict[str, Any]]:
    name = "equity" if found.attrs["with_future"] else "present"
    label = say("customer equity") if found.attrs["with_future"] else say("worth of present customers")
    middle, low, high = (_plain(found[f"{name}_{end}"], found) for end in ("q50", "q05", "q95"))
    keys = [_key(label, middle, _ends(low, high), "outcome")]
    if found.attrs["with_future"]:
        low, middle, high = (_share(found[f"share_present_{end}"]) for end in ("q05", "q50", "q95"))
        keys.append(_key(say("of it present customers"), middle, _ends(low, high), "outcome"))
    if bridge is not None:
        change = float(bridge[f"change_{_center(bridge)}"])
        low, high = (signed(float(bridge[f"change_{end}"]), bridge) for end in ("q05", "q95"))
        since = say("since {day}", day=bridge.attrs["from"])
        keys.append(_key(since, signed(change, bridge), _ends(low, high), "outcome"))
    return keys


def _ends(low: str, high: str) -> str:
    return say("90 %: {low} to {high}", low=low, high=high)


def _key(label: str, number: str, note: str, level: str | None) -> dict[str, Any]:
    return {"label": label, "number": number, "level": level, "note": note, "failed": None}


def _columns(first: str) -> list[tables.Column]:
    return [
        tables.Column(first, number=False),
        tables.Column(say("mean"), level="outcome"),
        tables.Column("5 %", level="outcome"),
        tables.Column(say("median"), level="outcome"),
        tables.Column("95 %", level="outcome"),
    ]


def _cells(values: Sequence[float]) -> list[tables.Cell]:
    places = numbers.decimals(np.asarray(values))
    return [tables.cell(each, numbers.fixed(each, places)) for each in values]


def _worth(found: xr.Dataset) -> tables.Table:
    names = {"present": say("present customers")}
    if found.attrs["with_future"]:
        names |= {
            "future": say("those to come"),
            "equity": say("customer equity"),
            "customers_to_come": say("customers to come"),
        }
    if "present_before_costs" in found:
        names |= {"present_before_costs": say("present customers, before costs")}
    if float(found.attrs["acquisition_cost"]):
        names["acquisition"] = say("acquisition of those to come")
    rows = [
        [tables.cell(words), *_cells([float(found[f"{name}_{end}"]) for end in ENDS])]
        for name, words in names.items()
    ]
    told = {"horizon": numbers.horizon(found), "money": numbers.money_unit(found)}
    caption = (
        say("Over {horizon}, in {money}; customers to come as a count.", **told)
        if found.attrs["with_future"]
        else say("Over {horizon}, in {money}.", **told)
    )
    return tables.Table("worth-table", caption, _columns(say("what")), rows)


def _bridge(bridge: xr.Dataset) -> tables.Table:
    def row(name: str, words: str, stem: xr.Dataset, of: str) -> list[tables.Cell]:
        return [
            tables.cell(name),
            tables.cell(words),
            *_cells([float(stem[f"{of}_{end}"]) for end in ENDS]),
        ]

    meanings = _meanings()
    first, last = (say("equity on {day}", day=bridge.attrs[end]) for end in ("from", "until"))
    rows = [row(say("opening"), first, bridge, "opening")]
    rows += [
        row(say(WORDS[name]), meanings[name], bridge.sel({STEP: name}), "contribution")
        for name in bridge[STEP].to_numpy().tolist()
        if name not in IDLE or np.any(bridge["contribution"].sel({STEP: name}).to_numpy())
    ]
    rows += [row(say("closing"), last, bridge, "closing")]
    columns = _columns(say("step"))
    columns.insert(1, tables.Column(say_in("step", "is"), number=False))
    caption = say("What has changed the worth of the base, in {money}.", money=numbers.money_unit(bridge))
    return tables.Table("bridge-table", caption, columns, rows, sortable=False)


def _cohorts(found: xr.Dataset) -> tables.Table:
    unit = str(found.attrs["time_unit"])
    ends = found["period_end"].to_numpy()
    low, middle, high = (found[f"cohort_customers_{end}"].to_numpy() for end in ("q05", "q50", "q95"))
    places = numbers.decimals(found["cohort_value_q95"].to_numpy())
    rows = [
        [
            tables.cell(float(end), say("to {time}", time=numbers.plural(float(end), unit))),
            tables.cell(float(middle[i]), f"{middle[i]:,.0f}"),
            tables.cell(float(high[i]), say("{low} to {high}", low=f"{low[i]:,.0f}", high=f"{high[i]:,.0f}")),
            tables.cell(
                float(found["cohort_value_q50"][i]),
                numbers.fixed(float(found["cohort_value_q50"][i]), places),
            ),
            tables.interval(float(found["cohort_value_q05"][i]), float(found["cohort_value_q95"][i]), places),
        ]
        for i, end in enumerate(ends.tolist())
    ]
    columns = [
        tables.Column(say("come"), number=False),
        tables.Column(say("customers, median"), level="outcome"),
        tables.Column("90 %"),
        tables.Column(say("value, median")),
        tables.Column("90 %"),
    ]
    caption = say(
        "Those to come, by period, and what they bring to the end, in {money}.",
        money=numbers.money_unit(found),
    )
    return tables.Table("cohort-table", caption, columns, rows)


def _tops(found: xr.Dataset) -> tables.Table:
    rows = []
    for top in found[TOP].to_numpy().tolist():
        one = found.sel({TOP: top})
        cells = [
            tables.cell(float(one[f"concentration_{end}"]), numbers.share(float(one[f"concentration_{end}"])))
            for end in ENDS
        ]
        rows.append([tables.cell(top, say("best {share:g} %", share=100 * top)), *cells])
    return tables.Table(
        "top-table",
        say("Share of the present value that the customers of most mean value hold."),
        _columns(say("customers")),
        rows,
    )


def _method(found: xr.Dataset, bridge: xr.Dataset | None) -> list[str]:
    margin, rate = 100 * float(found.attrs["margin"]), float(found.attrs["discount_rate"])
    told = {"margin": f"{margin:.3g}", "horizon": numbers.horizon(found)}
    lines = [
        say(
            "Value is {margin} % of what is spent within {horizon} from now, discounted, by those who are customers "
            "today and by those who come within that time, up to its end: whoever comes late has little of it left. "
            "What comes after is worth something too, and is not in it.",
            **told,
        )
        if rate
        else say(
            "Value is {margin} % of what is spent within {horizon} from now, not discounted, by those who are "
            "customers today and by those who come within that time, up to its end: whoever comes late has little of "
            "it left. What comes after is worth something too, and is not in it.",
            **told,
        ),
    ]
    if found.attrs.get("costs"):
        lines.append(
            say(
                "Value is less what customers cost: {costs}. Orders and time are those of the same draw; who is still "
                "to come costs what the average customer does.",
                costs=found.attrs["costs"],
            )
        )
    if found.attrs["with_future"]:
        lines.append(
            say(
                "How many come is a count model of first orders: an expected number that may drift and stays where it "
                "is on average, and periods that are luckier than chance. It knows no season, no plan and no budget. "
                "They behave as the population does."
            )
        )
    if bridge is not None:
        lines.append(
            say(
                "Who has left, and when, is drawn given all that is known on the later day. Return on customer is what "
                "was earned in between plus the change of equity, over the opening equity (Peppers & Rogers 2005)."
            )
        )
    return lines
