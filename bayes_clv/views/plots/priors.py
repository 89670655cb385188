"""What the priors say before any data, in units that a person can argue about.

A prior on a shape or a rate means little by itself; what it makes of a customer does. The draws of the prior are put
through the family's own formulas of a new customer, and its simulator, and shown beside what the data say where
the data say something. A prior that rules out the data is wrong, one that finds absurd things likely is careless, and
everything between is a matter of what is known.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.families.contract import Family, Forecast, Renewals, SpendLevel, need, new_customer
from bayes_clv.families.registry import family as find_family
from bayes_clv.schema import UNSTATED, InputError, quantiles
from bayes_clv.units import DAYS_PER_YEAR, days_per
from bayes_clv.views import style

BINS = 30


@dataclass(frozen=True)
class Implied:
    """What the prior says of one plain quantity: its draws, and the data's own value where there is one.

    ``upper`` is the end of its range: a share has 1. Without one the axis is logarithmic.
    """

    title: str
    axis: str
    draws: np.ndarray
    observed: float | None
    upper: float | None = None


def plot_prior(posterior: xr.DataTree) -> style.Drawing:
    """Plot what the priors imply in interpretable units, beside the data's own value.

    Of a purchase family: the mean purchase rate of new customers, the share of them still alive after a year, their
    mean purchases in a year, and the share of customers with 0, 1, 2, … repeat purchases in a base observed as long as
    this one. Without a stated time unit the year becomes the longest age in the data. With opportunities or contracts
    the same of as many opportunities or renewals as the data reach: how likely a purchase is, or leaving at the first
    renewal, who is still there, and how many purchases or renewals that makes. Of a spend family: the mean spend of an
    occasion, and the share of customers in each class of spend (the classes hold equally many of the real ones).

    Parameters
    ----------
    posterior : xarray.DataTree
        Of ``fit(..., include=("prior", "prior_predictive"))``.

    Returns
    -------
    matplotlib.figure.Figure
        Histograms of the prior's draws (amber), on a log scale where they are positive numbers without an upper end;
        the data's own value is the blue line: repeat purchases over customer time or opportunities (too low where
        customers have left), the share of contracts renewed, the customers' mean spend. Last, bands of 50 and 90 % of
        replicated bases, blue dots the data.

    Raises
    ------
    InputError
        When the tree has no prior or prior predictive group.

    Examples
    --------
    >>> from bayes_clv.views.plots.priors import plot_prior
    >>> figure = plot_prior(buying)
    """
    for group in ("prior", "prior_predictive"):
        if group not in posterior.children:
            raise InputError(
                f"The posterior has no group {group!r}, so that there is nothing of the prior to show. "
                'Fit with include=("prior", "prior_predictive").'
            )
    panels = implied_by_prior(posterior)
    with style.styled():
        columns = 2
        rows = math.ceil((len(panels) + 1) / columns)
        figure = style.drawing(0.5 + 2.4 * rows)
        axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for ax, panel in zip(axes, panels, strict=False):
            draw_implied(ax, panel)
        draw_replicated(axes[len(panels)], posterior)
        for ax in axes[len(panels) + 1 :]:
            ax.remove()
        name = find_family(str(posterior.attrs["family"])).words.title
        figure.suptitle(f"{name}: what the priors say (level: expected; last panel: outcome)")
    return figure


def implied_by_prior(posterior: xr.DataTree) -> list[Implied]:
    """Return the plain quantities that the prior's draws imply, with the data's own value."""
    family = find_family(str(posterior.attrs["family"]))
    prior = posterior["prior"].dataset
    draws = {name: prior[name].to_numpy().ravel() for name in family.parameters}
    observed = posterior["observed_data"].dataset
    column = {
        str(name): variable.to_numpy().astype(float)
        for name, variable in observed.data_vars.items()
        if variable.dims == ("row",)
    }
    if family.kind in ("purchases", "opportunities"):
        return _of_purchases(family, draws, column, str(posterior.attrs.get("time_unit", UNSTATED)))
    if family.kind == "contracts":
        return _of_contracts(family, draws, column)
    spend = need(family, SpendLevel)
    level = column["monetary_value"] if "monetary_value" in column else np.exp(column[spend.level])
    what = "mean" if "monetary_value" in column else "geometric mean"
    return [
        Implied(
            "Mean spend of an occasion",
            f"money; line: customers' {what}",
            spend.population_mean(draws),
            float(
                np.average(level, weights=column["count"])
                if what == "mean"
                else np.exp(np.average(np.log(level), weights=column["count"]))
            ),
        )
    ]


def _of_purchases(
    family: Family, draws: Mapping[str, np.ndarray], column: Mapping[str, np.ndarray], unit: str
) -> list[Implied]:
    forecast = need(family, Forecast)
    newborn = new_customer(forecast.history)
    discrete = family.kind == "opportunities"
    exposure = column["opportunities" if discrete else "T"]
    crude = float(column["count"] @ column["frequency"] / (column["count"] @ exposure))
    if discrete:
        until = float(exposure.max())
        buying = ("Buying at an opportunity", "mean probability, new customers; line: the data")
        alive, bought = f"Still alive at opportunity {until:g}", f"Purchases at {until:g} opportunities"
        line = "mean of a new customer; line: the data"
    else:
        until = float(exposure.max()) if unit == UNSTATED else DAYS_PER_YEAR / days_per(unit)
        words, per = (f"{until:.4g} time units", "time unit") if unit == UNSTATED else ("a year", unit)
        buying = (
            "Purchase rate, mean of new customers",
            f"purchases per {per}; line: the data's own",
        )
        alive, bought = f"Still alive after {words}", f"Purchases of a new customer in {words}"
        line = "mean purchases; line: the data's rate"
    return [
        Implied(*buying, forecast.latent_means(newborn, draws)[0], crude, upper=1.0 if discrete else None),
        Implied(
            alive,
            "share of new customers; the data do not say",
            forecast.survival(until, newborn, draws),
            None,
            upper=1.0,
        ),
        Implied(
            bought,
            line,
            forecast.purchases(until, newborn, draws),
            crude * until,
            upper=until if discrete else None,
        ),
    ]


def _of_contracts(
    family: Family, draws: Mapping[str, np.ndarray], column: Mapping[str, np.ndarray]
) -> list[Implied]:
    forecast = need(family, Renewals)
    signed = {"renewals": np.zeros(()), "active": np.ones(())}
    renewed = _shares_renewed(column)
    most = renewed.size
    kept = np.cumprod(renewed)
    return [
        Implied(
            "Leaving at the first renewal",
            "share of new customers; line: the data's own",
            1 - forecast.retention(1.0, draws),
            float(1 - renewed[0]),
            upper=1.0,
        ),
        Implied(
            f"Still under contract after {most} renewals",
            "share of new customers; line: the data's own",
            forecast.survival(float(most), signed, draws),
            float(kept[-1]),
            upper=1.0,
        ),
        Implied(
            f"Renewals, of {most} possible",
            "mean of a new customer; line: the data",
            forecast.expected(float(most), signed, draws),
            float(kept.sum()),
            upper=float(most),
        ),
    ]


def _shares_renewed(column: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the share of those who came to each renewal that made it (Kaplan & Meier's factors)."""
    renewals, lost, count = column["renewals"], column["active"] == 0, column["count"]
    ordinal = np.arange(1, int(renewals.max()) + 1)[:, None]
    made = ((renewals >= ordinal) * count).sum(axis=1)
    missed = (((renewals == ordinal - 1) & lost) * count).sum(axis=1)
    return np.asarray(made / (made + missed))


def draw_implied(ax: Any, panel: Implied) -> None:
    """Draw the histogram of a plain quantity's prior draws, with a line at the data's own value."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    finite = panel.draws[np.isfinite(panel.draws)]
    if panel.upper is not None:
        edges = np.linspace(0, panel.upper, BINS + 1)
    else:
        low, high = np.quantile(finite[finite > 0], (0.005, 0.995))
        if panel.observed is not None:
            low, high = min(low, panel.observed / 1.5), max(high, panel.observed * 1.5)
        edges = np.geomspace(low, high, BINS + 1)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda amount, _: f"{amount:,.10g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    counts, _ = np.histogram(np.clip(finite, edges[0], edges[-1]), edges)
    ax.stairs(100 * counts / panel.draws.size, edges, fill=True, color=style.AMBER)
    if panel.observed is not None:
        ax.axvline(panel.observed, color=style.BLUE)
    low, median, high = quantiles(finite, (0.05, 0.5, 0.95))
    style.heading(ax, panel.title, f"90 % of the prior: {low:.3g} to {high:.3g}, median {median:.3g}")
    ax.set_xlabel(panel.axis)
    ax.set_ylabel("% of prior draws")
    ax.set_ylim(bottom=0)


def draw_replicated(ax: Any, posterior: xr.DataTree) -> None:
    """Draw the share of customers in each class: bands of the replicated bases, and the data."""
    family = find_family(str(posterior.attrs["family"]))
    name = f"customers_by_{family.checked}"
    counts = posterior["prior_predictive"][name].transpose("chain", "draw", ...).to_numpy()
    shares = 100 * counts.reshape(-1, counts.shape[-1]) / counts[0, 0].sum()
    real = posterior["observed_data"][name].to_numpy()
    real = 100 * real / real.sum()
    place = np.arange(real.size)
    q05, q25, q50, q75, q95 = quantiles(shares, axis=0)
    ax.vlines(place, q05, q95, color=style.AMBER, lw=2)
    ax.vlines(place, q25, q75, color=style.AMBER, lw=6)
    ax.plot(place, q50, "_", color=style.INK, ms=7)
    ax.plot(place, real, "o", color=style.BLUE, ms=4)
    ax.set_ylim(bottom=0)
    edges = posterior["observed_data"][f"{family.checked}_class"].to_numpy()
    counted = {"frequency": "repeat purchases", "renewals": "renewals"}
    if family.checked in counted:
        ax.set_xticks(place, [*(f"{edge:g}" for edge in edges[:-1]), f"{edges[-1]:g}+"])
        ax.set_xlabel(f"{counted[family.checked]}; dots: the data")
    else:
        ax.set_xticks(place[::4], [f"{edge:.3g}" for edge in edges[::4]])
        ax.set_xlabel(f"{family.checked.replace('_', ' ')}, lower ends; dots: the data")
    ax.set_ylabel("% of customers")
    style.heading(ax, "A base drawn from the prior", "50 and 90 % of such bases, dash: median")
