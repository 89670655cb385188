"""The section of the report on what changed over time: purchases of all by week and month, customers who change."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

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
            tables.cell(each["part"]),
            tables.cell(each["units"]),
            *(tables.cell(each[name]) for name in ("number", "inside", "above", "below")),
            tables.cell(each["expected"], f"{each['expected']:.1f}"),
            tables.cell(each["lower"]),
            tables.cell("too few" if verdicts.too_few(each) else "as promised"),
        ]
        for each in periods
    ]
    columns = [
        tables.Column("part", number=False),
        tables.Column("periods", number=False),
        tables.Column("number"),
        tables.Column("inside 90 %", level="outcome"),
        tables.Column("above"),
        tables.Column("below"),
        tables.Column("promised inside", level="outcome"),
        tables.Column("at least, in 99 of 100"),
        tables.Column("found", number=False),
    ]
    return {
        "table": tables.Table(
            "tracking-table",
            "Weeks and months whose purchases lie inside the band. What is promised is what the model itself brings: "
            "its draws, counted against the band of all.",
            columns,
            rows,
        )
        if rows
        else None,
        "figure": gallery.add(
            "tracking",
            partial(holdout.plot_tracking, tracking),
            "The orange dots should stay inside the light band nine times in ten. Before the shaded holdout the model "
            "is replayed on the data it was fitted to; inside it the line is a forecast, and its total "
            "starts from what was known.",
            "outcome",
        ),
    }


def changes_text(changes: xr.Dataset | None) -> str | None:
    """Return how many customers buy more often than a year ago, and how many less; None where it is not known."""
    if changes is None:
        return None
    growing, fading = (changes[f"probability_{name}"].to_numpy() for name in ("growing", "fading"))
    factor, sure = f"{float(changes.attrs['factor']):g}", f"{100 * SURE:.0f} %"
    text = (
        f"Compared with {changes.attrs['ago']} before, or with the first purchase where that is later, about "
        f"{numbers.number(round(float(growing.sum())))} of {growing.size:,} customers buy more than {factor} times as "
        f"often, and about {numbers.number(round(float(fading.sum())))} less often by that factor (latent level); "
        f"{int((growing > SURE).sum()):,} and {int((fading > SURE).sum()):,} do so with {sure} or more."
    )
    if fading.max(initial=0.0) > SURE:
        first = np.argsort(-fading, kind="stable")[: min(3, int((fading > SURE).sum()))]
        names = ", ".join(f"{changes[CUSTOMER].to_numpy()[i]} ({100 * fading[i]:.0f} %)" for i in first)
        text += f" Most probably fading: {names}."
    return text
