"""The sections of the report on decisions: segments with what is unsure about them, and the alarm list."""

import json
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

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
        "heading": f"Segments: {segments.attrs.get('rule', 'by a rule')}",
        "text": _segments_text(segments),
        "table": _segments_table(segments),
        "sizes": gallery.add(
            "segment-sizes",
            partial(drawn.plot_segment_sizes, segments),
            "Dots and lines are the number of customers in each segment, mean and 90 % interval. A diamond counts "
            "every customer in its most probable segment alone: where it lies outside the line, such labels misstate "
            "the segment, since many customers who are probably elsewhere still add up.",
        ),
        "strips": gallery.add(
            "membership",
            partial(drawn.plot_membership, segments, most=STRIPS),
            "One row a customer, the darker a cell the more probable the segment. A row with one dark cell is sure; "
            "where the dark is spread, and the dot says unsure, act on the probabilities and not on the label.",
        ),
    }


def _segments_text(segments: xr.Dataset) -> list[str]:
    highest = segments["most_likely_probability"].to_numpy().astype(float)
    size, sure = highest.size, float(segments.attrs.get("sure", 0.8))
    unsure = int(segments["unsure"].sum())
    wrong = float((1 - highest).sum())
    return [
        f"The rule puts each of {size:,} customers into one of {segments.sizes[SEGMENT]} segments, in each of "
        f"{segments.attrs.get('draws', segments.sizes.get('draw', 0)):,} draws of its own numbers and future; the "
        "share of draws is the probability of membership, and its level that of the quantities which the rule reads.",
        f"{unsure:,} customers ({numbers.share(unsure / size)}) are unsure: their most probable segment is less "
        f"probable than {sure:g}. Giving every customer the most probable label would be wrong for about "
        f"{numbers.number(round(wrong))} of them ({numbers.share(wrong / size)}).",
    ]


def _segments_table(segments: xr.Dataset) -> tables.Table:
    names = [str(name) for name in segments[SEGMENT].to_numpy()]
    where = _conditions(segments)
    totals = [
        str(n).removesuffix("_total_mean") for n in segments.data_vars if str(n).endswith("_total_mean")
    ]
    columns = [tables.Column("segment", number=False)]
    cells = [[tables.cell(name) for name in names]]
    if where:
        columns.append(tables.Column("who", number=False))
        cells.append([tables.cell(where.get(name) or "all others") for name in names])
    columns += [tables.Column("customers, mean"), tables.Column("90 %"), tables.Column("most probable for")]
    cells += [*_interval_cells(segments, "size"), tables.column(drawn.label_counts(segments))]
    unsure = [
        int((segments["unsure"].to_numpy() & (segments["most_likely"].to_numpy() == name)).sum())
        for name in segments[SEGMENT].to_numpy()
    ]
    columns.append(tables.Column("of them unsure"))
    cells.append(tables.column(unsure))
    for total in totals:
        spoken = total.replace("_", " ")
        columns += [tables.Column(f"{spoken}, mean"), tables.Column("90 %"), tables.Column("share")]
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
        "Each segment: the number of its customers and what they are worth together, mean and 90 % interval, beside "
        "the number of customers for whom it is the most probable.",
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
        [
            tables.cell(float(b), f"{numbers.fixed(float(a), places)} to {numbers.fixed(float(b), places)}")
            for a, b in zip(low, high, strict=True)
        ],
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
            f"A line is a customer's silence so far. Orange: {timeline.chance_of(alarms)} has already fallen to the "
            "threshold, at the dot. "
            "Blue: it will at the dot, unless the customer buys before.",
            "expected",
        ),
    }


def _alarms_text(alarms: xr.Dataset) -> list[str]:
    size, threshold = alarms.sizes[CUSTOMER], float(alarms.attrs.get("threshold", 0.5))
    raised, never = int(alarms["alarmed"].sum()), int(np.isinf(alarms["alarm_in"]).sum())
    text = [
        f"A customer's alarm is the silence at which its probability of being {_being(alarms)} "
        f"falls to {threshold:g}. It has "
        f"passed for {raised:,} of {size:,} customers and is still ahead of {size - raised - never:,}"
        + (f"; {never:,} have none in sight." if never else ".")
    ]
    if "probability_asleep" in alarms:
        text.append(_states_text(alarms))
    if "value_at_risk" in alarms:
        risk = alarms["value_at_risk"].to_numpy()
        passed = alarms["alarmed"].to_numpy().astype(bool)
        gone = "being asleep or gone" if "probability_asleep" in alarms else "having left"
        text.append(
            f"Value at risk is the mean residual value times the probability of {gone}: what can still be lost of "
            f"what is still expected. It is {numbers.number(float(np.nansum(risk)))} over all customers, "
            f"{numbers.number(float(np.nansum(risk[passed])))} of it after an alarm; a customer long silent is worth "
            "little and has little left to lose."
        )
    return text


def _being(alarms: xr.Dataset) -> str:
    return str(alarms.attrs.get("of", "probability_alive")).removeprefix("probability_")


def _states_text(alarms: xr.Dataset) -> str:
    """Return how many customers sleep, how many are gone, and how many of those asleep will be back by themselves."""
    asleep, gone = (float(alarms[f"probability_{name}"].sum()) for name in ("asleep", "gone"))
    text = (
        f"Of those who are no more awake about {numbers.number(round(asleep))} are asleep, and will buy again, and "
        f"{numbers.number(round(gone))} are gone for ever."
    )
    if "probability_waking" in alarms:
        waking = float(alarms["probability_waking"].sum())
        text += f" Within {numbers.horizon(alarms)} about {numbers.number(round(waking))} of them wake by themselves."
    return text


def _alarms_table(urgent: xr.Dataset, alarms: xr.Dataset) -> tables.Table:
    unit = str(alarms.attrs.get("time_unit", UNSTATED))
    in_unit = f" ({unit}s)" if unit != UNSTATED else ""
    columns = [
        tables.Column("customer", number=False),
        tables.Column("alarm", number=False),
        tables.Column(f"silence{in_unit}"),
        tables.Column(f"until the alarm{in_unit}", level="expected"),
        tables.Column(timeline.chance_of(alarms), level="expected"),
    ]
    of = str(alarms.attrs.get("of", "probability_alive"))
    cells = [
        [tables.cell(str(each)) for each in urgent[CUSTOMER].to_numpy()],
        [tables.cell("passed" if each else "ahead") for each in urgent["alarmed"].to_numpy()],
        *(tables.column(urgent[name].to_numpy()) for name in ("silence", "alarm_in", of)),
    ]
    if "probability_asleep" in urgent:
        columns.append(tables.Column("now", number=False, level="expected"))
        cells.append([tables.cell(each) for each in states_in_words(urgent)])
    if "alarm_date" in urgent:
        columns.insert(2, tables.Column("on", level="expected"))
        days = urgent["alarm_date"].to_numpy().astype("datetime64[D]")
        cells.insert(2, [tables.cell(float(day.astype(int)), str(day)) for day in days])
    by_risk = "value_at_risk" in urgent
    if by_risk:
        columns.append(tables.Column("value at risk", level="expected", sorted="descending"))
        cells.append(tables.column(urgent["value_at_risk"].to_numpy()))
    size = urgent.sizes[CUSTOMER]
    return tables.Table(
        "alarm-table",
        f"The {size} customers with the most value at risk."
        if by_risk
        else f"The {size} alarms nearest to now.",
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )
