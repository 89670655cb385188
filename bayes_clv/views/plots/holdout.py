"""Forecast against what happened: purchases over time, customers' intervals, and the model beside simple rules."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from bayes_clv.language import joined, say
from bayes_clv.schema import CHAIN, DRAW, PERIOD, QUANTILES, InputError, quantiles
from bayes_clv.scoring.tracked import tracking_counts
from bayes_clv.views import style

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

type Array = NDArray[np.float64]


def tracking_bands(tracking: xr.Dataset) -> xr.Dataset:
    """Return quantiles of the purchases per period and of their running total, beside what was observed.

    Parameters
    ----------
    tracking : xarray.Dataset
        The result of ``clv.scoring.simulate_tracking``.

    Returns
    -------
    xarray.Dataset
        ``incremental`` and ``cumulative`` (quantile, period), level outcome, and ``observed`` and
        ``observed_cumulative`` (period), counts of repeat purchases of all customers. Quantiles of the
        running total are taken over the draws' running totals. In the holdout these start from the
        observed total at its beginning, as the forecast is made knowing it.
    """
    missing = [name for name in ("purchases", "observed", "period_start") if name not in tracking]
    if missing:
        raise InputError(f"The tracking has no {missing[0]!r}. Give the result of simulate_tracking.")
    draws = (
        tracking["purchases"].transpose(CHAIN, DRAW, PERIOD).to_numpy().reshape(-1, tracking.sizes[PERIOD])
    )
    observed = tracking["observed"].to_numpy()
    known = int(tracking.attrs.get("calibration_periods", observed.size))
    running = np.cumsum(draws, axis=1)
    if known < observed.size:
        before = observed[:known].sum()
        running[:, known:] = before + np.cumsum(draws[:, known:], axis=1)
    return xr.Dataset(
        {
            "incremental": (
                ("quantile", PERIOD),
                quantiles(draws, axis=0),
            ),
            "cumulative": (
                ("quantile", PERIOD),
                quantiles(running, axis=0),
            ),
            "observed": (PERIOD, observed),
            "observed_cumulative": (PERIOD, np.cumsum(observed)),
        },
        coords={"quantile": list(QUANTILES), PERIOD: tracking[PERIOD].to_numpy()},
        attrs={"level": "outcome", "calibration_periods": known},
    )


def plot_tracking(tracking: xr.Dataset) -> style.Drawing:
    """Plot repeat purchases per period and in total, observed beside the model's 50 % and 90 % bands.

    Parameters
    ----------
    tracking : xarray.Dataset
        The result of ``clv.scoring.simulate_tracking``.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels; the holdout is shaded, and crosses are periods outside the 90 % band: the line below the title says
        how many lie inside, and how many of them the model promises (``clv.scoring.tracking_counts``). Outcome level.
        A last period that is cut short is not drawn.
    """
    tracking = _whole_periods(tracking)
    bands = tracking_bands(tracking)
    with style.styled():
        figure = style.drawing(4.9)
        upper, lower = figure.subplots(2, 1, sharex=True)
        _draw_bands(upper, tracking, bands, "incremental")
        _draw_bands(lower, tracking, bands, "cumulative")
        lower.set_xlabel(say("date"))
        style.dates(lower.xaxis)
        handles, labels = upper.get_legend_handles_labels()
        lower.legend(handles, labels, loc="upper left", ncols=2)
        note = say("outcome level; {words}", words=_inside_words(tracking))
        style.heading(upper, say("All customers together"), note)
    return figure


def plot_forecast(tracking: xr.Dataset, *, width: float = style.WIDTH) -> style.Drawing:
    """Plot the upper panel of ``plot_tracking`` alone: repeat purchases per period beside the bands, for a first look.

    Parameters
    ----------
    tracking : xarray.Dataset
        The result of ``clv.scoring.simulate_tracking``.
    width : float
        In inches; a telephone shows four well.

    Returns
    -------
    matplotlib.figure.Figure
    """
    tracking = _whole_periods(tracking)
    wide = width >= style.WIDTH
    with style.styled():
        figure = style.drawing(3.3, width)
        axes = figure.subplots()
        _draw_bands(axes, tracking, tracking_bands(tracking), "incremental")
        style.dates(axes.xaxis)
        axes.set_xlabel(say("date"))
        figure.legend(loc="outside lower center", ncols=5 if wide else 3, columnspacing=1.2)
        note = say("outcome level; {words}", words=_inside_words(tracking)) if wide else say("outcome level")
        style.heading(axes, say("The forecast, and what came"), note)
    return figure


def _draw_bands(axes: Any, tracking: xr.Dataset, bands: xr.Dataset, name: str) -> None:
    """Draw what was observed beside the bands, "incremental" (per period) or "cumulative"; the holdout is shaded."""
    start = tracking["period_start"].to_numpy().astype("datetime64[s]")
    days = int(tracking.attrs.get("period_days", 7))
    length = np.timedelta64(days * 86_400, "s")
    known = int(bands.attrs["calibration_periods"])
    has_holdout = known < start.size
    per_period = name == "incremental"
    seen, when = ("observed", start + length // 2) if per_period else ("observed_cumulative", start + length)
    q05, q25, q50, q75, q95 = bands[name].to_numpy()
    pieces = [slice(0, known), slice(known, None)] if has_holdout else [slice(None)]
    for number, piece in enumerate(pieces):
        at = when[piece]
        first = number == 0
        axes.fill_between(
            at,
            q05[piece],
            q95[piece],
            color=style.SKY,
            alpha=0.3,
            linewidth=0,
            label=say("90 % band") if first else None,
        )
        axes.fill_between(
            at,
            q25[piece],
            q75[piece],
            color=style.BLUE,
            alpha=0.35,
            linewidth=0,
            label=say("50 % band") if first else None,
        )
        axes.plot(at, q50[piece], color=style.BLUE, linewidth=1.2, label=say("median") if first else None)
    axes.plot(
        when,
        bands[seen],
        color=style.ORANGE,
        marker="o",
        markersize=2.6,
        linewidth=1,
        label=say("observed"),
    )
    if per_period:
        out = (bands[seen] < q05) | (bands[seen] > q95)
        outside = say("outside 90 %")
        axes.plot(when[out], bands[seen][out], "X", color=style.ORANGE, markersize=6, label=outside)
    if has_holdout:
        axes.axvspan(start[known], start[-1] + length, color=style.MUTED, alpha=0.09, linewidth=0)
    if has_holdout and per_period:
        axes.annotate(
            f" {say('holdout')}",
            (start[known], 1),
            xycoords=("data", "axes fraction"),
            va="top",
            color=style.MUTED,
            fontsize=9,
        )
    axes.set_ylim(bottom=0)
    style.thousands(axes.yaxis)
    axes.set_ylabel(
        say("repeat purchases\nin {days} days", days=days)
        if per_period
        else say("repeat purchases\nin total")
    )


def _whole_periods(tracking: xr.Dataset) -> xr.Dataset:
    """Return the tracking without a last period that goes beyond the end of observation."""
    end = tracking.attrs.get("holdout_until", tracking.attrs.get("until"))
    if end is None or "period_start" not in tracking:
        return tracking
    width = np.timedelta64(int(tracking.attrs.get("period_days", 7)) - 1, "D")
    last = tracking["period_start"].to_numpy().astype("datetime64[D]") + width
    return tracking.isel({PERIOD: slice(int((last <= np.datetime64(str(end))).sum()))})


def _inside_words(tracking: xr.Dataset) -> str:
    """Return how many periods of each part lie inside the band, and how many are promised."""
    counts = tracking_counts(tracking).isel(periods=0)
    said = []
    for part in counts["part"].to_numpy():
        each = {str(name): float(count.sel(part=part)) for name, count in counts.items()}
        if each["number"] > 0:
            said.append(
                say("holdout {inside:.0f} of {number:.0f} (promised {expected:.0f})", **each)
                if part == "holdout"
                else say("{inside:.0f} of {number:.0f} (promised {expected:.0f})", **each)
            )
    if not said:
        return say("no whole period")
    units = say(f"{counts['periods'].item()}s")
    return say("{units} inside 90 %: {counts}", units=units, counts=joined("{first}, {second}", said))


def coverage_errors(share: Array, count: Array, level: float = 0.9) -> tuple[Array, Array]:
    """Return the ends of the interval of each share from ``count`` customers (Clopper & Pearson 1934)."""
    ends = [
        stats.binomtest(round(each * size), int(size)).proportion_ci(level, "exact")
        for each, size in zip(share, count, strict=True)
    ]
    return np.array([end.low for end in ends]), np.array([end.high for end in ends])


def plot_calibration(evaluation: xr.Dataset) -> style.Drawing:
    """Plot the probability integral transform of the holdout and the coverage of 90 % intervals.

    Parameters
    ----------
    evaluation : xarray.Dataset
        The result of ``evaluate``; its first model is drawn.

    Returns
    -------
    matplotlib.figure.Figure
        A row for purchases, and one for spend where it is scored. Left: share of customers in each tenth of their own
        forecast (non-randomised transform); flat when calibrated, high at both ends when forecasts are too narrow, high
        in the middle when too wide. The band is that of 90 % of binomial counts, a little wide for a transform that is
        spread over bins. Right: share of customers who lie in their own 90 % interval, by frequency, with 90 % binomial
        error bars, beside what the forecast promised; a whole number of purchases cannot be held with exactly 90 %, nor
        can spend that is 0 for many. Outcome level.
    """
    _check(evaluation, "pit_histogram", "covered_by_frequency")
    model = evaluation.isel(forecast=0)
    customers = int(evaluation.attrs["customers"])
    rows = [(say("purchases"), "")]
    if "spend_pit_histogram" in model and np.isfinite(model["spend_pit_histogram"]).all():
        rows.append((say("spend"), "spend_"))
    with style.styled():
        figure = style.drawing(3.0 * len(rows))
        panels = figure.subplots(len(rows), 2, squeeze=False)
        for (left, right), (what, prefix) in zip(panels, rows, strict=True):
            _draw_places(left, model[f"{prefix}pit_histogram"].to_numpy(), customers)
            title, note = (
                say("Place in the forecast: {what}", what=what),
                say("outcome level; 90 % binomial band"),
            )
            style.heading(left, title, note)
            _draw_coverage(right, model.sel(interval=90), prefix)
            title, note = (
                say("Inside 90 %: {what}", what=what),
                say("outcome level; 90 % binomial error bars"),
            )
            style.heading(right, title, note)
    return figure


def _draw_places(axes: Any, shares: Array, customers: int) -> None:
    from matplotlib.ticker import MultipleLocator, PercentFormatter

    bins = shares.size
    low, high = stats.binom.ppf((0.05, 0.95), customers, 1 / bins) / customers
    # In front of the bars, where a bar ends is where it matters.
    axes.axhspan(low, high, color=style.AMBER, alpha=0.45, linewidth=0, zorder=3)
    axes.axhline(1 / bins, color=style.INK, linewidth=1, linestyle="--", zorder=3)
    axes.bar((np.arange(bins) + 0.5) / bins, shares, width=0.92 / bins, color=style.BLUE)
    axes.set(
        xlim=(0, 1), xlabel=say("place in the customer's own forecast\n(probability integral transform)")
    )
    axes.set_ylim(0, max(1.5 / bins, 1.1 * float(shares.max())))
    axes.set_ylabel(say("share of customers (%)"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    axes.yaxis.set_major_locator(MultipleLocator(0.05))


def _draw_coverage(axes: Any, ninety: xr.Dataset, prefix: str) -> None:
    from matplotlib.ticker import PercentFormatter

    covered, promised = (
        ninety[f"{prefix}{name}_by_frequency"].to_numpy() for name in ("covered", "promised")
    )
    bottom, top = coverage_errors(covered, ninety["customers_by_frequency"].to_numpy())
    at = np.arange(covered.size)
    axes.plot(at, promised, "_", color=style.INK, markersize=15, markeredgewidth=1.6, label=say("promised"))
    axes.errorbar(
        at,
        covered,
        yerr=np.clip([covered - bottom, top - covered], 0, None),
        fmt="o",
        color=style.ORANGE,
        markersize=5,
        elinewidth=1.4,
        label=say("covered"),
    )
    axes.axhline(0.9, color=style.MUTED, linewidth=1, linestyle="--")
    axes.set_xticks(at, ninety["frequency"].to_numpy())
    axes.set_xlabel(say("frequency (repeat purchases before)"))
    axes.set_ylabel(say("customers inside (%)"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    # Room below the bars for the legend.
    axes.set_ylim(min(0.75, float(bottom.min()) - 0.08), 1.02)
    axes.legend(loc="lower left", ncols=2)


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
    _check(evaluation, "captured", "captured_best", "crps")
    names, models = _names(evaluation)
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
        rivals = [error for name, error in errors.items() if name not in models and 0 < error < np.inf]
        if rivals:
            found[label] = {n: error / min(rivals) for n, error in errors.items() if not np.isnan(error)}
    return found


def _names(evaluation: xr.Dataset) -> tuple[list[str], list[str]]:
    """Return the names of all forecasts, and of the models among them."""
    names = [str(name) for name in evaluation["forecast"].to_numpy()]
    return names, [n for n, kind in zip(names, evaluation["kind"].to_numpy(), strict=True) if kind == "model"]


def _check(evaluation: xr.Dataset, *needed: str) -> None:
    missing = [name for name in needed if name not in evaluation]
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
    names, models = _names(evaluation)
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
                    markersize=7 if name in models else 4.5,
                    clip_on=False,
                    zorder=3 if name in models else 2,
                )
        left.set_xscale("log")
        left.set_xlim(min(0.5, 0.8 * min(finite)), edge)
        left.xaxis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2, 4, 8]))
        left.xaxis.set_minor_locator(NullLocator())
        left.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
        left.set_yticks(at, [say(measure) for measure in ratios])
        left.set_ylim(at[-1] - 0.6, 0.6)
        left.grid(visible=False, axis="y")
        for y in at[:-1]:
            left.axhline(y - 0.5, color=style.GRID, linewidth=0.7)
        left.set_xlabel(say("error, best baseline = 1 (left is better)\n* by the 10 % ranked best"))
        left.set_ylabel(say("measure"))
        style.heading(left, say("Against simple rules"), say("outcome level; holdout"))

        stem = "spend_captured" if "spend_captured" in evaluation else "captured"
        share = evaluation["share"].to_numpy()
        known = say("known afterwards")
        right.plot(share, evaluation[f"{stem}_best"], color=style.INK, linestyle="--", label=known)
        right.plot(share, share, color=style.MUTED, linestyle=":", label=say("random order"))
        for name in reversed(names):
            gain = evaluation[stem].sel(forecast=name).to_numpy()
            right.plot(share, gain, color=colours[name], linewidth=2.2 if name in models else 1.3)
        for axis in (right.xaxis, right.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
        right.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=say("customers, best ranked first (%)"))
        right.set_ylabel(
            say("spend of the holdout (%)")
            if stem == "spend_captured"
            else say("purchases of the holdout (%)")
        )
        right.legend(loc="lower right")
        style.heading(right, say("What rankings capture"), say("outcome level; holdout"))
        handles = [
            left.plot([], [], markers[name], color=colours[name], label=say(name.replace("_", " ")))[0]
            for name in names
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(names))
    return figure
