"""The sections of the report on decisions: segments with what is unsure about them, and the alarm list."""

import json
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import joined, say, say_in
from bayes_clv.schema import CUSTOMER, UNSTATED
from bayes_clv.segments.segmenting import SEGMENT
from bayes_clv.views import numbers
from bayes_clv.views.frames import states_in_words
from bayes_clv.views.plots import alarms as timeline
from bayes_clv.views.plots import segments as drawn
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting.gallery import Gallery

STRIPS = 40
ALARMS_LISTED = 20


def segments_section(gallery: Gallery, segments: xr.Dataset | None) -> dict[str, Any] | None:
    """Return what a rule found: sizes, totals, how many labels are unsure, the strips."""
    if segments is None:
        return None
    drawn.check_segments(segments)
    return {
        "heading": say("Segments: {rule}", rule=segments.attrs.get("rule", say("by a rule"))),
        "text": _segments_text(segments),
        "table": _segments_table(segments),
        "sizes": gallery.add(
            "segment-sizes",
            partial(drawn.plot_segment_sizes, segments),
            say(
                "Dots and lines are the number of customers in each segment, mean and 90 % interval. A diamond counts "
                "every customer in its most probable segment alone: where it lies outside the line, such labels "
                "misstate the segment, since many customers who are probably elsewhere still add up."
            ),
        ),
        "strips": gallery.add(
            "membership",
            partial(drawn.plot_membership, segments, most=STRIPS),
            say(
                "One row a customer, the darker a cell the more probable the segment. A row with one dark cell is "
                "sure; where the dark is spread, and the dot says unsure, act on the probabilities and not on the "
                "label."
            ),
        ),
    }


def _segments_text(segments: xr.Dataset) -> list[str]:
    highest = segments["most_likely_probability"].to_numpy().astype(float)
    size, sure = highest.size, float(segments.attrs.get("sure", 0.8))
    unsure = int(segments["unsure"].sum())
    wrong = float((1 - highest).sum())
    return [
        say(
            "The rule puts each of {size:,} customers into one of {segments} segments, in each of {draws:,} draws of "
            "its own numbers and future; the share of draws is the probability of membership, and its level that of "
            "the quantities which the rule reads.",
            size=size,
            segments=segments.sizes[SEGMENT],
            draws=segments.attrs.get("draws", segments.sizes.get("draw", 0)),
        ),
        say(
            "{unsure:,} customers ({share}) are unsure: their most probable segment is less probable than {sure:g}. "
            "Giving every customer the most probable label would be wrong for about {wrong} of them ({wrong_share}).",
            unsure=unsure,
            share=numbers.share(unsure / size),
            sure=sure,
            wrong=numbers.number(round(wrong)),
            wrong_share=numbers.share(wrong / size),
        ),
    ]


def _segments_table(segments: xr.Dataset) -> tables.Table:
    names = [str(name) for name in segments[SEGMENT].to_numpy()]
    where = _conditions(segments)
    totals = [
        str(n).removesuffix("_total_mean") for n in segments.data_vars if str(n).endswith("_total_mean")
    ]
    columns = [tables.Column(say("segment"), number=False)]
    cells = [[tables.cell(name) for name in names]]
    if where:
        columns.append(tables.Column(say("who"), number=False))
        cells.append([tables.cell(where.get(name) or say("all others")) for name in names])
    columns += [
        tables.Column(say("customers, mean")),
        tables.Column("90 %"),
        tables.Column(say("most probable for")),
    ]
    cells += [*_interval_cells(segments, "size"), tables.column(drawn.label_counts(segments))]
    unsure = [
        int((segments["unsure"].to_numpy() & (segments["most_likely"].to_numpy() == name)).sum())
        for name in segments[SEGMENT].to_numpy()
    ]
    columns.append(tables.Column(say("of them unsure")))
    cells.append(tables.column(unsure))
    for total in totals:
        quantity = say(total.replace("_", " "))
        if total in ("value", "spend"):
            quantity = tables.in_money(quantity, segments)
        columns += [
            tables.Column(say("{quantity}, mean", quantity=quantity)),
            tables.Column("90 %"),
            tables.Column(say("share")),
        ]
        mean = segments[f"{total}_total_mean"].to_numpy()
        whole = mean.sum()
        cells += _interval_cells(segments, f"{total}_total")
        cells.append(
            [
                tables.cell(float(m / whole), numbers.share(m / whole)) if whole else tables.cell("–")
                for m in mean
            ]
        )
    return tables.Table(
        "segment-table",
        say(
            "Each segment: the number of its customers and what they are worth together, mean and 90 % interval, "
            "beside the number of customers for whom it is the most probable."
        ),
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )


def _conditions(segments: xr.Dataset) -> dict[str, str]:
    """Return each segment's condition as written, where the dataset carries them."""
    try:
        found = json.loads(str(segments.attrs["conditions"]))
    except (KeyError, json.JSONDecodeError):
        return {}
    return {str(name): str(where) for name, where in found.items()} if isinstance(found, dict) else {}


def _interval_cells(segments: xr.Dataset, stem: str) -> list[list[tables.Cell]]:
    mean, low, high = (segments[f"{stem}_{what}"].to_numpy() for what in ("mean", "q05", "q95"))
    places = 0 if stem == "size" else numbers.decimals(high)
    return [
        [tables.cell(float(m), numbers.fixed(float(m), places)) for m in mean],
        [tables.interval(float(a), float(b), places) for a, b in zip(low, high, strict=True)],
    ]


def alarms_section(gallery: Gallery, alarms: xr.Dataset | None) -> dict[str, Any] | None:
    """Return the alarm list: how many, the most urgent, and when."""
    if alarms is None:
        return None
    urgent = timeline.listed(alarms, ALARMS_LISTED)
    return {
        "text": _alarms_text(alarms),
        "table": _alarms_table(urgent, alarms) if urgent.sizes[CUSTOMER] else None,
        "figure": gallery.add(
            "alarms",
            partial(timeline.plot_alarms, alarms, ALARMS_LISTED),
            say(
                "A line is a customer's silence so far. Orange: {chance} has already fallen to the threshold, at the "
                "dot. Blue: it will at the dot, unless the customer buys before.",
                chance=timeline.chance_of(alarms),
            ),
            "expected",
        ),
    }


def _alarms_text(alarms: xr.Dataset) -> list[str]:
    size, threshold = alarms.sizes[CUSTOMER], float(alarms.attrs.get("threshold", 0.5))
    raised, never = int(alarms["alarmed"].sum()), int(np.isinf(alarms["alarm_in"]).sum())
    told = {"raised": raised, "size": size, "ahead": size - raised - never}
    text = [
        joined(
            "{first} {second}",
            [
                say(
                    "A customer's alarm is the silence at which its probability of being {state} falls to "
                    "{threshold:g}.",
                    state=say(str(alarms.attrs.get("of", "probability_alive")).removeprefix("probability_")),
                    threshold=threshold,
                ),
                say(
                    "It has passed for {raised:,} of {size:,} customers and is still ahead of {ahead:,}; {never:,} "
                    "have none in sight.",
                    **told,
                    never=never,
                )
                if never
                else say(
                    "It has passed for {raised:,} of {size:,} customers and is still ahead of {ahead:,}.",
                    **told,
                ),
            ],
        )
    ]
    if "probability_asleep" in alarms:
        text.append(_states_text(alarms))
    if "value_at_risk" in alarms:
        risk = alarms["value_at_risk"].to_numpy()
        passed = alarms["alarmed"].to_numpy().astype(bool)
        text.append(
            say(
                "Value at risk is the mean residual value times the probability of {state}: what can still be lost of "
                "what is still expected. It is {risk} over all customers, {passed} of it after an alarm; a customer "
                "long silent is worth little and has little left to lose.",
                state=say("being asleep or gone") if "probability_asleep" in alarms else say("having left"),
                risk=numbers.money(float(np.nansum(risk)), alarms.attrs.get("currency")),
                passed=numbers.money(float(np.nansum(risk[passed])), alarms.attrs.get("currency")),
            )
        )
    return text


def _states_text(alarms: xr.Dataset) -> str:
    """Return how many customers sleep, how many are gone, and how many of those asleep will be back by themselves."""
    asleep, gone = (float(alarms[f"probability_{name}"].sum()) for name in ("asleep", "gone"))
    text = say(
        "Of those who are no more awake about {asleep} are asleep, and will buy again, and {gone} are gone for ever.",
        asleep=numbers.number(round(asleep)),
        gone=numbers.number(round(gone)),
    )
    if "probability_waking" in alarms:
        waking = numbers.number(round(float(alarms["probability_waking"].sum())))
        soon = say(
            "Within {horizon} about {waking} of them wake by themselves.",
            horizon=numbers.horizon(alarms),
            waking=waking,
        )
        text = joined("{first} {second}", [text, soon])
    return text


def _alarms_table(urgent: xr.Dataset, alarms: xr.Dataset) -> tables.Table:
    unit = str(alarms.attrs.get("time_unit", UNSTATED))
    columns = [
        tables.Column(say("customer"), number=False),
        tables.Column(say("alarm"), number=False),
        tables.Column(tables.in_unit(say("silence"), unit)),
        tables.Column(tables.in_unit(say("until the alarm"), unit), level="expected"),
        tables.Column(timeline.chance_of(alarms), level="expected"),
    ]
    of = str(alarms.attrs.get("of", "probability_alive"))
    cells = [
        [tables.cell(str(each)) for each in urgent[CUSTOMER].to_numpy()],
        [
            tables.cell(say_in("alarm", "passed") if each else say("ahead"))
            for each in urgent["alarmed"].to_numpy()
        ],
        *(tables.column(urgent[name].to_numpy()) for name in ("silence", "alarm_in", of)),
    ]
    if "probability_asleep" in urgent:
        columns.append(tables.Column(say("now"), number=False, level="expected"))
        cells.append([tables.cell(each) for each in states_in_words(urgent)])
    if "alarm_date" in urgent:
        columns.insert(2, tables.Column(say("on"), level="expected"))
        days = urgent["alarm_date"].to_numpy().astype("datetime64[D]")
        cells.insert(2, [tables.cell(float(day.astype(int)), str(day)) for day in days])
    by_risk = "value_at_risk" in urgent
    if by_risk:
        heading = tables.in_money(say("value at risk"), alarms)
        columns.append(tables.Column(heading, level="expected", sorted="descending"))
        cells.append(tables.column(urgent["value_at_risk"].to_numpy()))
    size = urgent.sizes[CUSTOMER]
    return tables.Table(
        "alarm-table",
        say("The {size} customers with the most value at risk.", size=size)
        if by_risk
        else say("The {size} alarms nearest to now.", size=size),
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )
