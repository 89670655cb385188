"""Forecast against what happened: purchases over time, and the calibration of customers' intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from bayes_clv.schema import CHAIN, DRAW, PERIOD, InputError
from bayes_clv.views import style

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

type Array = NDArray[np.float64]


def tracking_bands(tracking: xr.Dataset) -> xr.Dataset:
    """Return quantiles of the purchases per period and of their running total, beside what was observed.

    Parameters
    ----------
    tracking : xarray.Dataset
        The result of ``simulate_tracking``.

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
                np.quantile(draws, QUANTILES, axis=0, method="inverted_cdf"),
            ),
            "cumulative": (
                ("quantile", PERIOD),
                np.quantile(running, QUANTILES, axis=0, method="inverted_cdf"),
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
        The result of ``simulate_tracking``.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels; the holdout is shaded. Outcome level. A last period that is cut short is drawn as it is.
    """
    bands = tracking_bands(tracking)
    start = tracking["period_start"].to_numpy().astype("datetime64[s]")
    length = np.timedelta64(int(tracking.attrs.get("period_days", 7)) * 86_400, "s")
    known = int(bands.attrs["calibration_periods"])
    has_holdout = known < start.size
    with style.styled():
        figure = style.drawing(4.9)
        upper, lower = figure.subplots(2, 1, sharex=True)
        for axes, name, seen, when in (
            (upper, "incremental", "observed", start + length // 2),
            (lower, "cumulative", "observed_cumulative", start + length),
        ):
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
                    label="90 % band" if first else None,
                )
                axes.fill_between(
                    at,
                    q25[piece],
                    q75[piece],
                    color=style.BLUE,
                    alpha=0.35,
                    linewidth=0,
                    label="50 % band" if first else None,
                )
                axes.plot(at, q50[piece], color=style.BLUE, linewidth=1.2, label="median" if first else None)
            axes.plot(
                when,
                bands[seen],
                color=style.ORANGE,
                marker="o",
                markersize=2.6,
                linewidth=1,
                label="observed",
            )
            if has_holdout:
                axes.axvspan(start[known], start[-1] + length, color=style.MUTED, alpha=0.09, linewidth=0)
            axes.set_ylim(bottom=0)
            style.thousands(axes.yaxis)
        days = int(tracking.attrs.get("period_days", 7))
        upper.set_ylabel(f"repeat purchases\nin {days} days")
        lower.set_ylabel("repeat purchases\nin total")
        lower.set_xlabel("date")
        style.dates(lower.xaxis)
        lower.legend(loc="upper left", ncols=2)
        if has_holdout:
            upper.annotate(
                " holdout",
                (start[known], 1),
                xycoords=("data", "axes fraction"),
                va="top",
                color=style.MUTED,
                fontsize=9,
            )
        style.heading(
            upper, "All customers together", "outcome level; median, 50 % and 90 % predictive bands"
        )
    return figure


def coverage_errors(share: Array, count: Array, level: float = 0.9) -> tuple[Array, Array]:
    """Return the ends of the interval of each share from ``count`` customers (Clopper & Pearson 1934)."""
    inside = np.round(np.asarray(share) * count)
    tail = (1 - level) / 2
    low = np.where(inside == 0, 0.0, stats.beta.ppf(tail, np.maximum(inside, 1), count - inside + 1))
    high = np.where(inside == count, 1.0, stats.beta.ppf(1 - tail, inside + 1, np.maximum(count - inside, 1)))
    return low, high


def plot_calibration(score: Mapping[str, Any]) -> style.Drawing:
    """Plot the probability integral transform of the holdout and the coverage of 90 % intervals.

    Parameters
    ----------
    score : mapping
        The result of ``score_holdout``.

    Returns
    -------
    matplotlib.figure.Figure
        Left: share of customers in each tenth of their own forecast (non-randomised transform); flat when
        calibrated, high at both ends when forecasts are too narrow, high in the middle when too wide. The
        band is that of 90 % of binomial counts, a little wide for a transform that is spread over bins.
        Right: share of customers whose purchases lie in their own 90 % interval, by frequency, with
        90 % binomial error bars, beside what the forecast promised; a whole number of purchases cannot be
        held with exactly 90 %. Outcome level.
    """
    try:
        shares = np.asarray(score["pit"]["histogram"], dtype=float)
        rows = list(score["coverage_by_frequency"])
        customers = int(score["customers"])
    except (KeyError, TypeError) as error:
        raise InputError(f"The score has no {error}. Give the result of score_holdout.") from error
    with style.styled():
        from matplotlib.ticker import MultipleLocator, PercentFormatter

        figure = style.drawing(3.0)
        left, right = figure.subplots(1, 2)
        bins = shares.size
        low, high = stats.binom.ppf((0.05, 0.95), customers, 1 / bins) / customers
        # In front of the bars, where a bar ends is where it matters.
        left.axhspan(low, high, color=style.AMBER, alpha=0.45, linewidth=0, zorder=3)
        left.axhline(1 / bins, color=style.INK, linewidth=1, linestyle="--", zorder=3)
        left.bar((np.arange(bins) + 0.5) / bins, shares, width=0.92 / bins, color=style.BLUE)
        left.set(xlim=(0, 1), xlabel="place in the customer's own forecast\n(probability integral transform)")
        left.set_ylim(0, max(1.5 / bins, 1.1 * float(shares.max())))
        left.set_ylabel("share of customers (%)")
        left.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
        left.yaxis.set_major_locator(MultipleLocator(0.05))
        style.heading(left, "Place in the forecast", "outcome level; 90 % binomial band")

        count = np.array([row["customers"] for row in rows], dtype=float)
        covered = np.array([row["coverage"]["90"]["covered"] for row in rows])
        promised = np.array([row["coverage"]["90"]["promised"] for row in rows])
        bottom, top = coverage_errors(covered, count)
        at = np.arange(len(rows))
        right.plot(at, promised, "_", color=style.INK, markersize=15, markeredgewidth=1.6, label="promised")
        right.errorbar(
            at,
            covered,
            yerr=np.clip([covered - bottom, top - covered], 0, None),
            fmt="o",
            color=style.ORANGE,
            markersize=5,
            elinewidth=1.4,
            label="covered",
        )
        right.axhline(0.9, color=style.MUTED, linewidth=1, linestyle="--")
        right.set_xticks(at, [row["frequency"] for row in rows])
        right.set_xlabel("frequency (repeat purchases before)")
        right.set_ylabel("customers inside (%)")
        right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
        right.set_ylim(min(0.75, float(bottom.min()) - 0.03), 1.02)
        right.legend(loc="lower left", ncols=2)
        style.heading(right, "Inside the 90 % interval", "outcome level; 90 % binomial error bars")
    return figure
