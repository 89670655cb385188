"""Totals over rolling origins: what was forecast at each, with its interval, beside what happened."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.schema import UNSTATED, InputError
from bayes_clv.views import numbers, style

# A quantity's forecast total, and its real total.
TOTALS = {
    "purchases": ("total", "total_observed"),
    "retention": ("retention_total", "retention_observed"),
    "spend": ("spend_total", "spend_observed"),
    "value": ("value_total", "value_observed"),
}
_COLOURS = (style.BLUE, style.GREEN, style.PURPLE, style.AMBER, style.SKY, style.MUTED)
# Of the space between two origins, what the forecasts of one take.
SPREAD = 0.6


def plot_origins(scores: xr.Dataset, *, quantity: str = "purchases") -> style.Drawing:
    """Plot the totals forecast at each origin with their 90 % intervals, beside the real ones.

    Parameters
    ----------
    scores : xarray.Dataset
        The result of ``clv.scoring.rolling_origins``: over ``forecast``, ``origin`` and ``horizon`` the total's mean
        and 90 % interval (``total_mean``, ``total_q05``, ``total_q95``; ``spend_total_…`` and so on), and what
        happened (``total_observed``).
    quantity : {"purchases", "retention", "spend", "value"}
        Of which the totals are.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a horizon, one line a forecast and origin: mean and 90 % interval of the total of all customers, real
        totals as black dots. A cross in place of the mean marks a miss: the real total lies outside the interval.
        The legend counts how many lie inside, over all horizons; of true forecasts nine in ten do, though origins
        nearer than a horizon share what happened. Simple rules have no interval and are not drawn. Outcome level.

    Raises
    ------
    InputError
        For another Dataset, or one without an interval of this quantity.

    Examples
    --------
    >>> at = {"forecast": ["bg_nbd"], "origin": ["1997-06-30", "1997-09-30"], "horizon": ["13 weeks"]}
    >>> ends = {"mean": [[[600.0], [560.0]]], "q05": [[[540.0], [500.0]]], "q95": [[[660.0], [620.0]]]}
    >>> each = {f"total_{name}": (("forecast", "origin", "horizon"), values) for name, values in ends.items()}
    >>> real = {"total_observed": (("origin", "horizon"), [[610.0], [700.0]])}
    >>> figure = plot_origins(xr.Dataset(each | real, coords=at))
    >>> figure.legends[0].get_texts()[1].get_text()
    'bg_nbd: 1 of 2 inside'
    """
    if quantity not in TOTALS:
        raise InputError(f"There are no totals of {quantity!r}. Give quantity as one of {', '.join(TOTALS)}.")
    stem, observed = TOTALS[quantity]
    names = [f"{stem}_{end}" for end in ("mean", "q05", "q95")]
    missing = [name for name in (*names, observed) if name not in scores]
    if missing or not {"forecast", "origin", "horizon"} <= set(scores.dims):
        raise InputError(
            f"The scores have no {(missing or ['forecast, origin and horizon'])[0]}. Give the result of "
            "clv.scoring.rolling_origins, with spending= for totals of money."
        )
    order = ("forecast", "origin", "horizon")
    mean, low, high = (scores[name].transpose(*order).to_numpy().astype(float) for name in names)
    # Whether it is stored once or beside each forecast, what happened is one.
    beside = xr.broadcast(scores[observed], scores[names[0]])[0].transpose(*order).to_numpy().astype(float)
    drawn = np.flatnonzero(np.isfinite(low).any(axis=(1, 2)))
    if drawn.size == 0:
        raise InputError(f"No forecast has an interval of its total {quantity}: simple rules have none.")
    inside = (low <= beside) & (beside <= high)
    days = np.asarray(scores["origin"].to_numpy(), dtype="datetime64[D]")
    at = _shifts(days, drawn.size)
    horizons = scores["horizon"].to_numpy()
    unit = str(scores.attrs.get("time_unit", UNSTATED))
    with style.styled():
        figure = style.drawing(0.9 + 2.1 * horizons.size)
        panels = figure.subplots(horizons.size, 1, sharex=True, squeeze=False)[:, 0]
        for k, axes in enumerate(panels):
            for place, i in enumerate(drawn):
                known = np.isfinite(low[i, :, k])
                shape = (mean[i, known, k], low[i, known, k], high[i, known, k], inside[i, known, k])
                _draw_forecast(axes, at[place][known], *shape, _COLOURS[place % len(_COLOURS)])
            real = _first_known(beside[:, :, k])
            axes.hlines(real, at[0], at[-1], color=style.INK, linewidth=1, zorder=1)
            axes.plot(days.astype("datetime64[s]"), real, "o", color=style.INK, markersize=4, zorder=4)
            axes.set_ylabel(_axis(quantity, scores))
            style.thousands(axes.yaxis)
            style.heading(
                axes,
                say("The next {length}", length=_length(horizons[k], unit)),
                say("outcome level; total of all customers, mean and 90 % interval"),
            )
        panels[-1].set_xlabel(say("origin (last day known to the forecast)"))
        style.dates(panels[-1].xaxis)
        _legend(
            figure, panels[0], scores["forecast"].to_numpy()[drawn], inside[drawn], np.isfinite(low[drawn])
        )
    return figure


def _axis(quantity: str, scores: xr.Dataset) -> str:
    words = {
        "purchases": say("purchases"),
        "retention": say("customers who buy"),
        "spend": say("spend"),
        "value": say("value"),
    }
    unit = numbers.money_unit(scores) if quantity in ("spend", "value") else say("count")
    return f"{words[quantity]}\n({unit})"


def _shifts(days: np.ndarray, forecasts: int) -> list[np.ndarray]:
    """Return where each forecast's lines stand, beside the origins and not on each other."""
    seconds = days.astype("datetime64[s]")
    gap = np.diff(np.unique(seconds)).min() if days.size > 1 else np.timedelta64(28 * 86_400, "s")
    step = gap.astype(float) * SPREAD / max(forecasts, 2)
    moves = (np.arange(forecasts) - (forecasts - 1) / 2) * step
    return [seconds + np.timedelta64(round(move), "s") for move in moves]


def _draw_forecast(
    axes: Any,
    at: np.ndarray,
    mean: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    inside: np.ndarray,
    colour: str,
) -> None:
    axes.vlines(at, low, high, color=colour, linewidth=2.2, alpha=0.75)
    axes.plot(at[inside], mean[inside], "o", color=colour, markersize=4.5)
    axes.plot(
        at[~inside], mean[~inside], "X", color=style.ORANGE, markeredgecolor=colour, markersize=8, zorder=3
    )


def _first_known(values: np.ndarray) -> np.ndarray:
    """Return of each origin what some forecast has beside it; NaN where none has."""
    known = np.isfinite(values)
    return np.where(known.any(axis=0), values[known.argmax(axis=0), np.arange(values.shape[1])], np.nan)


def _length(horizon: Any, unit: str) -> str:
    if isinstance(horizon, str):
        return horizon
    return numbers.plural(float(horizon), unit)


def _legend(figure: Any, axes: Any, names: np.ndarray, inside: np.ndarray, known: np.ndarray) -> None:
    handles = [axes.plot([], [], "o", color=style.INK, label=say("real total"))[0]]
    for place, name in enumerate(names):
        words = say(
            "{name}: {some} of {all} inside",
            name=name,
            some=int(inside[place][known[place]].sum()),
            all=int(known[place].sum()),
        )
        handles.append(axes.plot([], [], "o-", color=_COLOURS[place % len(_COLOURS)], label=words)[0])
    handles.append(axes.plot([], [], "X", color=style.ORANGE, markersize=8, label=say("miss"))[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
