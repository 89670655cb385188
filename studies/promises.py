"""What the studies of targeting share: a figure of what was promised in each world, and what happened there."""

from typing import Any

import numpy as np
import pandas as pd

from bayes_clv.views import style


def draw_promises(axes: Any, worlds: pd.DataFrame, case: str, room: float) -> None:
    """Draw a world a place, by its promise: the 90 % interval, what happened, and what a point estimate promised."""
    own = worlds.sort_values("promised")
    rank = np.arange(len(own))
    axes.vlines(
        rank,
        own["outcome_q05"] / 1000,
        own["outcome_q95"] / 1000,
        color=style.SKY,
        lw=1.6,
        label="promised, 90 %",
    )
    axes.plot(rank, own["happened"] / 1000, "o", ms=2.5, color=style.INK, label="happened")
    axes.plot(
        rank,
        own["promised_by_point_estimate"] / 1000,
        "x",
        ms=4,
        color=style.ORANGE,
        label="promised by point estimate",
    )
    axes.set_xlabel("world, by the mean promised")
    axes.set_ylabel("net gain, thousands of money")
    axes.legend(loc="upper left")
    axes.set_ylim(top=axes.get_ylim()[1] * room)
    inside = ((own["outcome_q05"] <= own["happened"]) & (own["happened"] <= own["outcome_q95"])).sum()
    style.heading(
        axes, "What is promised, and what happens", f"outcome level, {case}; {inside} of {len(own)} inside"
    )
