"""The model against what customers did: purchases so far, purchases to come, and who buys at all.

The first two are the figures by which the models were introduced: Fader, Hardie & Lee (2005), "Counting Your Customers"
the Easy Way, Marketing Science 24(2), figures 2 and 4.
"""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.problems import UNLIKELY
from bayes_clv.schema import InputError, quantiles
from bayes_clv.scoring.groups import TOP_CLASS
from bayes_clv.scoring.shared import buyer_chances
from bayes_clv.views import style
from bayes_clv.views.numbers import about

CHECKED = "customers_by_frequency"


def has_replicates(buying: xr.DataTree) -> bool:
    """Return whether a posterior carries replicated purchases beside the real ones."""
    groups = ("posterior_predictive", "observed_data")
    return all(group in buying.children and CHECKED in buying[group] for group in groups)


def replicated_frequency(buying: xr.DataTree) -> xr.Dataset:
    """Return the customers by number of repeat purchases in calibration, real and in replicated bases.

    Parameters
    ----------
    buying : xarray.DataTree
        Posterior of a purchase family with the group ``posterior_predictive`` (``clv.fit(..., include=...)``).

    Returns
    -------
    xarray.Dataset
        Over ``frequency`` ("0" to "6" and "7+") ``observed``, ``median``, ``q05`` and ``q95``: customers, counts, level
        outcome, as many customers in each replicated base as in the real one.

    Raises
    ------
    InputError
        For a posterior without replicated bases.
    """
    dimension = "frequency_class"
    if not has_replicates(buying):
        raise InputError(
            "The posterior holds no replicated purchases (posterior_predictive and observed_data). Fit with "
            "include=('posterior_predictive',)."
        )
    classes = buying["observed_data"][dimension].to_numpy()
    top = classes >= TOP_CLASS

    def folded(counts: np.ndarray) -> np.ndarray:
        return np.concatenate([counts[..., ~top], counts[..., top].sum(axis=-1, keepdims=True)], axis=-1)

    real = folded(buying["observed_data"][CHECKED].to_numpy())
    drawn = buying["posterior_predictive"][CHECKED].transpose("chain", "draw", dimension).to_numpy()
    drawn = folded(drawn.reshape(-1, classes.size))
    low, median, high = quantiles(drawn, (0.05, 0.5, 0.95), axis=0)
    names = [f"{int(each)}" for each in classes[~top]] + [f"{TOP_CLASS}+"]
    return xr.Dataset(
        {
            "observed": ("frequency", real),
            "median": ("frequency", median),
            "q05": ("frequency", low),
            "q95": ("frequency", high),
        },
        coords={"frequency": np.array(names, dtype=object)},
        attrs={"level": "outcome", "draws": len(drawn)},
    )


def plot_purchases_per_customer(buying: xr.DataTree) -> style.Drawing:
    """Plot how many customers made how many repeat purchases in calibration, beside replicated bases.

    Parameters
    ----------
    buying : xarray.DataTree
        Posterior of a purchase family with the group ``posterior_predictive``.

    Returns
    -------
    matplotlib.figure.Figure
        A posterior predictive check. Left: real customers as bars, the model's replicated bases as dots (median) with
        90 % intervals. Right: the real number over the model's median, with the same interval; a dot outside its line
        is a class that the model does not make. Outcome level.

    Raises
    ------
    InputError
        For a posterior without replicated bases.

    Examples
    --------
    >>> figure = plot_purchases_per_customer(buying)
    """
    found = replicated_frequency(buying)
    real, median, low, high = (found[name].to_numpy() for name in ("observed", "median", "q05", "q95"))
    at = np.arange(real.size)
    outside = (real < low) | (real > high)
    with style.styled():
        figure = style.drawing(3.1)
        left, right = figure.subplots(1, 2)
        left.bar(at, real, width=0.62, color=style.ORANGE, alpha=0.55, label=say("real"))
        left.vlines(at, low, high, color=style.BLUE, linewidth=2)
        left.plot(at, median, "o", color=style.BLUE, markersize=4.5, label=say("model"))
        left.set_ylabel(say("customers (count)"))
        style.thousands(left.yaxis)
        left.legend(loc="upper right")
        note = say("outcome level; median, 90 % of {draws} bases", draws=found.attrs["draws"])
        style.heading(left, say("Purchases per customer"), note)
        # A class that the median base has none in has no ratio.
        some = median > 0
        scale = np.where(some, median, 1)
        right.axhline(1, color=style.MUTED, linewidth=1, linestyle="--")
        right.vlines(at[some], (low / scale)[some], (high / scale)[some], color=style.BLUE, linewidth=2)
        right.plot(at[some], (real / scale)[some], "o", color=style.ORANGE, markersize=5)
        right.plot(at[some & outside], (real / scale)[some & outside], "X", color=style.ORANGE, markersize=8)
        right.set_ylabel(say("real over the model's median"))
        note = (
            say("outcome level; 90 %; {some} of {all} classes outside", some=int(outside.sum()), all=at.size)
            if outside.any()
            else say("outcome level; 90 %; every class inside")
        )
        style.heading(right, say("Beside the model"), note)
        for axes in (left, right):
            _frequency_axis(axes, found["frequency"].to_numpy())
    return figure


def _frequency_axis(axes: Any, names: np.ndarray) -> None:
    axes.set_xticks(np.arange(names.size), names)
    axes.set_xlabel(say("repeat purchases in calibration"))


def _refuse_without(evaluation: xr.Dataset, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in evaluation]
    if missing:
        raise InputError(f"The evaluation has no {missing[0]!r}. Give the result of clv.evaluate.")


def plot_conditional_expectation(evaluation: xr.Dataset) -> style.Drawing:
    """Plot the mean purchases in the holdout by repeat purchases in calibration, real beside forecast.

    Parameters
    ----------
    evaluation : xarray.Dataset
        The result of ``clv.evaluate``; its models are drawn, and no simple rules.

    Returns
    -------
    matplotlib.figure.Figure
        Customers who made 0, 1, …, 6, 7 or more repeat purchases before: the mean of what they bought in the holdout
        (orange) and of what was forecast for them (blue, other models in other colours). Under each class stands how
        many customers it has: of few, the real mean is a matter of chance. Means of the outcome level.

    Raises
    ------
    InputError
        For another Dataset.

    Examples
    --------
    >>> figure = plot_conditional_expectation(evaluation)
    """
    names = ("observed_by_frequency", "predicted_by_frequency", "customers_by_frequency")
    _refuse_without(evaluation, names)
    models = evaluation.isel(forecast=np.flatnonzero(evaluation["kind"].to_numpy() == "model"))
    classes = evaluation["frequency"].to_numpy()
    at = np.arange(classes.size)
    colours = (style.BLUE, style.GREEN, style.PURPLE, style.AMBER, style.SKY)
    with style.styled():
        figure = style.drawing(3.3)
        axes = figure.subplots()
        axes.plot(
            at,
            evaluation["observed_by_frequency"],
            "o-",
            color=style.ORANGE,
            markersize=6,
            label=say("real"),
            zorder=3,
        )
        for i, name in enumerate(models["forecast"].to_numpy()):
            label = say("forecast") if models.sizes["forecast"] == 1 else str(name)
            means = models["predicted_by_frequency"].isel(forecast=i)
            axes.plot(at, means, "s--", color=colours[i % len(colours)], markersize=5, label=label)
        sizes = evaluation["customers_by_frequency"].to_numpy()
        axes.set_xticks(at, [f"{name}\n{int(size):,}" for name, size in zip(classes, sizes, strict=True)])
        axes.set_xlabel(say("repeat purchases in calibration; below, customers (count)"))
        axes.set_ylabel(say("mean holdout purchases (count)"))
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left")
        note = say("conditional expectation; means of the outcome level")
        style.heading(axes, say("What they bought next"), note)
    return figure


def plot_retention(evaluation: xr.Dataset) -> style.Drawing:
    """Plot who bought at all in the holdout against the chance that was forecast, by tenth of the forecast.

    Parameters
    ----------
    evaluation : xarray.Dataset
        The result of ``clv.evaluate``; its first model is drawn.

    Returns
    -------
    matplotlib.figure.Figure
        A reliability diagram. Customers in tenths by their forecast chance of at least one purchase: mean chance
        (across) and the share who bought (up), with 90 % intervals of chance around the forecast; a calibrated forecast
        lies on the diagonal, dots above it are customers whom the forecast gave up too early. Beside it, if there are
        any, the customers who were given less than 3 % of any purchase, who are too few for a tenth: how many were
        expected to buy (with 90 % of chance) and how many did. Outcome level.

    Raises
    ------
    InputError
        For another Dataset.

    Examples
    --------
    >>> figure = plot_retention(evaluation)
    """
    names = ("retention_predicted_by_tenth", "retention_real_by_tenth", "retention_customers_by_tenth")
    _refuse_without(evaluation, names)
    predicted, real, sizes = (evaluation[name].isel(forecast=0).to_numpy() for name in names)
    known = np.isfinite(predicted) & np.isfinite(real)
    predicted, real, sizes = predicted[known], real[known], sizes[known]
    low, high = chance_limits(predicted, sizes, _error(evaluation, "retention_real_by_tenth_se", known))
    miss = (real < low) | (real > high)
    with style.styled():
        from matplotlib.ticker import PercentFormatter

        figure = style.drawing(3.6)
        given_up = _given_up(evaluation)
        if given_up is None:
            axes = figure.subplots()
        else:
            axes, beside = figure.subplots(1, 2, width_ratios=(3, 1))
            _draw_given_up(beside, *given_up)
        axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1, linestyle="--")
        chance, share, outside = say("90 % of chance"), say("real share"), say("outside")
        axes.vlines(predicted, low, high, color=style.BLUE, linewidth=5, alpha=0.35, label=chance)
        axes.plot(predicted[~miss], real[~miss], "o", color=style.ORANGE, markersize=6, label=share)
        axes.plot(predicted[miss], real[miss], "X", color=style.ORANGE, markersize=8, label=outside)
        top = min(1.0, 1.08 * float(max(high.max(), real.max(), predicted.max())))
        axes.set(xlim=(0, top), ylim=(0, top))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        axes.set_xlabel(say("chance of buying that was forecast, mean of a tenth (%)"))
        axes.set_ylabel(say("customers who bought (%)"))
        axes.legend(loc="upper left")
        note = say("outcome level; tenths of the forecast, 90 % of chance")
        style.heading(axes, say("Who buys at all?"), note)
    return figure


def _error(evaluation: xr.Dataset, name: str, known: np.ndarray) -> np.ndarray | None:
    """Return the standard errors that the evaluation has of what happened."""
    return evaluation[name].isel(forecast=0).to_numpy()[known] if name in evaluation else None


def _given_up(evaluation: xr.Dataset) -> tuple[int, float, int, float] | None:
    """Return how many the first model gives hardly a chance, who of them are expected, who bought, and its error."""
    names = ("unlikely_customers", "unlikely_expected", "unlikely_retained", "unlikely_retained_se")
    if any(name not in evaluation for name in names[:3]):
        return None
    customers, expected, bought, error = (
        float(evaluation[name].isel(forecast=0)) if name in evaluation else 0.0 for name in names
    )
    return (int(customers), expected, int(bought), error) if customers > 0 else None


def _draw_given_up(axes: Any, customers: int, expected: float, bought: int, error: float) -> None:
    from matplotlib.ticker import MaxNLocator

    size = np.array([customers])
    limits = chance_limits(np.array([expected]) / size, size, np.array([error]) / size)
    low, high = (float(customers * limit[0]) for limit in limits)
    outside = not low <= bought <= high
    axes.vlines(0, low, high, color=style.BLUE, linewidth=5, alpha=0.35)
    axes.plot(0, expected, "_", color=style.BLUE, markersize=15, markeredgewidth=1.6)
    axes.plot(0, bought, "X" if outside else "o", color=style.ORANGE, markersize=8 if outside else 6)
    axes.set(xlim=(-1, 1), ylim=(0, 1.15 * max(high, expected, bought, 1)))
    axes.set_xticks(
        [0], [say("of {size:,}\n({expected} expected)", size=customers, expected=about(expected))]
    )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(say("customers who bought (count)"))
    style.heading(axes, say("Given up"), say("under {share:.0f} %", share=100 * UNLIKELY))


def chance_limits(
    chance: np.ndarray, customers: np.ndarray, error: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return what 90 % of chance leaves a share of so many customers between (``scoring.shared.buyer_chances``).

    >>> low, high = chance_limits(np.array([0.1]), np.array([100]))
    >>> low.round(2).tolist(), high.round(2).tolist()
    ([0.05], [0.15])
    """
    errors = np.zeros(chance.shape) if error is None else error
    found = [
        np.searchsorted(np.cumsum(buyer_chances(int(size), p, se)), (0.05, 0.95)) / size
        for p, size, se in zip(chance, customers, errors, strict=True)
    ]
    low, high = np.array(found).T
    return low, high
