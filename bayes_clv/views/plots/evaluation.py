"""The model beside simple rules: errors relative to the best rule, and who would have been worth contacting."""

import numpy as np
import xarray as xr

from bayes_clv.schema import InputError
from bayes_clv.views import style

MODEL = "model"
TOP = 0.1
# Read from above: what matters most first. Of a measure where higher is better, what is missed is drawn.
ERRORS = {
    "crps": "CRPS",
    "log_score": "log score",
    "rmse": "root mean square",
    "mae": "mean absolute",
    "tracking_incremental": "each period",
    "tracking_cumulative": "running total",
    "concordance": "pairs ranked wrong",
    "captured": "purchases missed*",
    "spend_captured": "spend missed*",
}


def relative_errors(evaluation: xr.Dataset) -> dict[str, dict[str, float]]:
    """Return, for each measure, every forecast's error over that of the best baseline; below 1 beats them all.

    Parameters
    ----------
    evaluation : xarray.Dataset
        The result of ``evaluate``.

    Returns
    -------
    dict
        Label of the measure to forecast to ratio, infinity where the forecast held impossible what happened.
        Measures without a positive finite error of some baseline are left out.
    """
    _check(evaluation)
    names = [str(name) for name in evaluation["forecast"].to_numpy()]
    found = {}
    for measure, label in ERRORS.items():
        if measure not in evaluation:
            continue
        values = evaluation[measure]
        if "share" in values.dims:
            values = 1 - values.sel(share=TOP, method="nearest")
        elif measure == "concordance":
            values = 1 - values
        errors = dict(zip(names, values.to_numpy().tolist(), strict=True))
        rivals = [error for name, error in errors.items() if name != MODEL and 0 < error < np.inf]
        if rivals:
            found[label] = {n: error / min(rivals) for n, error in errors.items() if not np.isnan(error)}
    return found


def _check(evaluation: xr.Dataset) -> None:
    missing = [name for name in ("captured", "captured_best", "crps") if name not in evaluation]
    if missing or "forecast" not in evaluation.dims:
        raise InputError(
            f"The evaluation has no {(missing or ['forecast'])[0]!r}. Give the result of clv.evaluate."
        )


def plot_evaluation(evaluation: xr.Dataset) -> style.Drawing:
    """Plot the model's errors relative to the best simple rule, and what each ranking captures.

    Parameters
    ----------
    evaluation : xarray.Dataset
        The result of ``evaluate``, with at least one baseline.

    Returns
    -------
    matplotlib.figure.Figure
        Left: each measure's error over that of the best baseline, on a log scale; the model is better than all
        where its dot is left of 1. Missed* is what does not belong to the 10 % ranked best. An arrow at the
        edge is an infinite log score: the rule held impossible what a customer did. Right: share of the
        holdout's spend (of its purchases, without amounts) that belongs to each share of customers, the best
        ranked first, beside the ranking known only afterwards and a random one. Outcome level.
    """
    ratios = relative_errors(evaluation)
    names = [str(name) for name in evaluation["forecast"].to_numpy()]
    if not ratios:
        raise InputError("The evaluation holds no baseline to compare with. Evaluate with baselines.")
    colours = dict(
        zip(
            names, [style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.AMBER, style.SKY], strict=False
        )
    )
    markers = dict(zip(names, "osD^vP", strict=False))
    with style.styled():
        from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

        figure = style.drawing(4.3)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1))
        finite = [r for row in ratios.values() for r in row.values() if 0 < r < np.inf]
        edge = max(1.6, 1.25 * max(finite))
        at = -np.arange(len(ratios))
        left.axvline(1, color=style.INK, linewidth=1, linestyle="--")
        # One below the other, or equal errors would hide each other.
        shift = dict(zip(names, np.linspace(0.26, -0.26, len(names)), strict=True))
        for name in reversed(names):
            drawn = [
                (y, row[name]) for y, row in zip(at, ratios.values(), strict=True) if row.get(name, 0) > 0
            ]
            for y, ratio in drawn:
                beyond = not np.isfinite(ratio)
                left.plot(
                    [edge if beyond else ratio],
                    [y + shift[name]],
                    ">" if beyond else markers[name],
                    color=colours[name],
                    markersize=7 if name == MODEL else 4.5,
                    clip_on=False,
                    zorder=3 if name == MODEL else 2,
                )
        left.set_xscale("log")
        left.set_xlim(min(0.5, 0.8 * min(finite)), edge)
        left.xaxis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2, 4, 8]))
        left.xaxis.set_minor_locator(NullLocator())
        left.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
        left.set_yticks(at, list(ratios))
        left.set_ylim(at[-1] - 0.6, 0.6)
        left.grid(visible=False, axis="y")
        for y in at[:-1]:
            left.axhline(y - 0.5, color=style.GRID, linewidth=0.7)
        left.set_xlabel("error, best baseline = 1 (left is better)\n* by the 10 % ranked best")
        left.set_ylabel("measure")
        style.heading(left, "Against simple rules", "outcome level; holdout")

        stem = "spend_captured" if "spend_captured" in evaluation else "captured"
        share = evaluation["share"].to_numpy()
        right.plot(
            share, evaluation[f"{stem}_best"], color=style.INK, linestyle="--", label="known afterwards"
        )
        right.plot(share, share, color=style.MUTED, linestyle=":", label="random order")
        for name in reversed(names):
            gain = evaluation[stem].sel(forecast=name).to_numpy()
            right.plot(share, gain, color=colours[name], linewidth=2.2 if name == MODEL else 1.3)
        for axis in (right.xaxis, right.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
        right.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="customers, best ranked first (%)")
        right.set_ylabel(f"{'spend' if stem == 'spend_captured' else 'purchases'} of the holdout (%)")
        right.legend(loc="lower right")
        style.heading(right, "What rankings capture", "outcome level; holdout")
        handles = [
            left.plot([], [], markers[name], color=colours[name], label=name.replace("_", " "))[0]
            for name in names
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(names))
    return figure
