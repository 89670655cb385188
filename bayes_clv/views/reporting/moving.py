"""The section of the report on what changed over time: purchases of all by week and month, customers who change."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import joined, say
from bayes_clv.schema import CUSTOMER
from bayes_clv.views import numbers
from bayes_clv.views.plots import holdout
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting import verdicts
from bayes_clv.views.reporting.gallery import Gallery

# From this probability on a customer is said to grow or to fade.
SURE = 0.8


def tracking_section(
    gallery: Gallery, tracking: xr.Dataset | None, periods: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Return repeat purchases over calendar time, and how many weeks and months lie inside the band."""
    if tracking is None:
        return None
    rows = [
        [
            tables.cell(say(each["part"])),
            tables.cell(say(each["units"])),
            *(tables.cell(each[name]) for name in ("number", "inside", "above", "below")),
            tables.cell(each["expected"], f"{each['expected']:.1f}"),
            tables.cell(each["lower"]),
            tables.cell(say("too few") if verdicts.too_few(each) else say("as promised")),
        ]
        for each in periods
    ]
    columns = [
        tables.Column(say("part"), number=False),
        tables.Column(say("periods"), number=False),
        tables.Column(say("number")),
        tables.Column(say("inside 90 %"), level="outcome"),
        tables.Column(say("above")),
        tables.Column(say("below")),
        tables.Column(say("promised inside"), level="outcome"),
        tables.Column(say("at least, in 99 of 100")),
        tables.Column(say("found"), number=False),
    ]
    return {
        "table": tables.Table(
            "tracking-table",
            say(
                "Weeks and months whose purchases lie inside the band. What is promised is what the model itself "
                "brings: its draws, counted against the band of all."
            ),
            columns,
            rows,
        )
        if rows
        else None,
        "figure": gallery.add(
            "tracking",
            partial(holdout.plot_tracking, tracking),
            say(
                "The orange dots should stay inside the light band nine times in ten. Before the shaded holdout the "
                "model is replayed on the data it was fitted to; inside it the line is a forecast, and its total "
                "starts from what was known."
            ),
            "outcome",
        ),
    }


def changes_text(changes: xr.Dataset | None) -> str | None:
    """Return how many customers buy more often than a year ago, and how many less; None where it is not known."""
    if changes is None:
        return None
    growing, fading = (changes[f"probability_{name}"].to_numpy() for name in ("growing", "fading"))
    text = say(
        "Compared with {ago} before, or with the first purchase where that is later, about {growing} of {n:,} "
        "customers buy more than {factor} times as often, and about {fading} less often by that factor (latent level); "
        "{surely_growing:,} and {surely_fading:,} do so with {sure} or more.",
        ago=numbers.written(str(changes.attrs["ago"])),
        growing=numbers.number(round(float(growing.sum()))),
        n=growing.size,
        factor=f"{float(changes.attrs['factor']):g}",
        fading=numbers.number(round(float(fading.sum()))),
        surely_growing=int((growing > SURE).sum()),
        surely_fading=int((fading > SURE).sum()),
        sure=f"{100 * SURE:.0f} %",
    )
    if fading.max(initial=0.0) > SURE:
        first = np.argsort(-fading, kind="stable")[: min(3, int((fading > SURE).sum()))]
        names = ", ".join(f"{changes[CUSTOMER].to_numpy()[i]} ({100 * fading[i]:.0f} %)" for i in first)
        text = joined("{first} {second}", [text, say("Most probably fading: {names}.", names=names)])
    return text
