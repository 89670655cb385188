"""Figures of the customer-base audit: one period, two periods, cohorts over their lives, the whole base."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.base_audit import COHORT, DECILE, FLOW
from bayes_clv.language import say, say_in
from bayes_clv.schema import PERIOD
from bayes_clv.views import numbers, style
from bayes_clv.views.base_frames import labels_of, over
from bayes_clv.views.plots.equity import check_result

COHORTS_SHOWN = 12
LABELS_SHOWN = 14
_VERB = "clv.customers.audit_base"


def plot_cohorts(found: xr.Dataset) -> style.Drawing:
    """Plot the whole base: what each period brought, by when its customers had come (lens five).

    Parameters
    ----------
    found : xarray.Dataset
        The result of ``clv.customers.audit_base``.

    Returns
    -------
    matplotlib.figure.Figure
        One bar a period, stacked by cohort, the oldest below (dark), in money, or in purchases without amounts; where
        there are more than twelve cohorts the oldest are one. Those that the log does not cover whole have an asterisk.

    Raises
    ------
    InputError
        When it is no result of ``audit_base``.

    Examples
    --------
    >>> figure = plot_cohorts(clv.customers.audit_base(clv.load_cdnow()))
    """
    check_result(found, "base audit", _VERB)
    name = "spend" if "spend" in found else "orders"
    table = np.nan_to_num(found[f"cohort_{name}"].transpose(COHORT, PERIOD).to_numpy())
    labels = marked(found)
    there = np.flatnonzero(found["cohort_size"].to_numpy() > 0)
    first = there[max(there.size - COHORTS_SHOWN, 0)] if there.size > COHORTS_SHOWN else there[0]
    shown = [each for each in there if each >= first]
    heights = [table[: first + 1].sum(axis=0), *(table[each] for each in shown[1:])]
    names = [
        say("to {period}", period=labels[first]) if (there < first).any() else labels[first],
        *(labels[each] for each in shown[1:]),
    ]
    with style.styled():
        figure = style.drawing(4.2, width=8.6)
        ax = figure.subplots()
        below = np.zeros(len(labels))
        for height, word, colour in zip(heights, names, _shades(len(names)), strict=True):
            ax.bar(np.arange(len(labels)), height, bottom=below, width=0.75, color=colour, label=word)
            below += height
        _label_periods(ax, labels)
        style.thousands(ax.yaxis)
        ax.set_ylabel(_brought(found))
        handles, texts = ax.get_legend_handles_labels()
        ax.legend(
            handles[::-1],
            texts[::-1],
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            title=say("first order"),
            fontsize=8,
        )
        style.heading(ax, say("The whole base by cohort"), _counted(found))
    return figure


def plot_cohort_lives(found: xr.Dataset) -> style.Drawing:
    """Plot how many of each cohort still buy, and what one who does brings, by age (lenses three and four).

    Parameters
    ----------
    found : xarray.Dataset
        The result of ``clv.customers.audit_base``.

    Returns
    -------
    matplotlib.figure.Figure
        A line a cohort, of at most twelve evenly chosen ones, the oldest dark: left the share of it that bought at each
        age in periods; right spend (purchases without amounts) of those who did. Periods that the log does not cover
        whole are left out.

    Raises
    ------
    InputError
        When it is no result of ``audit_base``.

    Examples
    --------
    >>> figure = plot_cohort_lives(clv.customers.audit_base(clv.load_cdnow()))
    """
    check_result(found, "base audit", _VERB)
    name = "spend" if "spend" in found else "orders"
    whole = found["whole"].to_numpy()
    size = found["cohort_size"].to_numpy()
    active = found["cohort_active"].transpose(COHORT, PERIOD).to_numpy()
    brought = found[f"cohort_{name}"].transpose(COHORT, PERIOD).to_numpy()
    there = np.flatnonzero((size > 0) & whole)
    if there.size > COHORTS_SHOWN:
        there = there[np.unique(np.linspace(0, there.size - 1, COHORTS_SHOWN).round().astype(int))]
    labels = labels_of(found)
    with style.styled():
        figure = style.drawing(3.8, width=9.0)
        left, right = figure.subplots(1, 2)
        for each, colour in zip(there.tolist(), _shades(there.size), strict=True):
            ages = np.arange(whole.size - each)
            kept = whole[each:]
            share = 100 * active[each, each:] / size[each]
            worth = over(brought[each, each:], active[each, each:])
            marks = {"color": colour, "marker": "o", "markersize": 3, "label": labels[each]}
            left.plot(ages[kept & (ages > 0)], share[kept & (ages > 0)], **marks)
            right.plot(ages[kept], worth[kept], **marks)
        periods = say(f"{found.attrs['by']}s")
        for ax in (left, right):
            ax.set_xlabel(say("{periods} since the first order's", periods=periods))
            ax.set_ylim(bottom=0)
            ax.xaxis.get_major_locator().set_params(integer=True)
        left.yaxis.set_major_formatter(lambda share, _: f"{share:.0f} %")
        left.set_ylabel(say("of the cohort bought"))
        right.set_ylabel(
            say("{label} ({unit})", label=say("spend a buyer"), unit=numbers.money_unit(found))
            if name == "spend"
            else say("purchases a buyer")
        )
        style.thousands(right.yaxis)
        right.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title=say("first order"), fontsize=8)
        note = say("each cohort, by its age; whole {periods} alone", periods=periods)
        style.heading(left, say("Who still buys"), note)
        style.heading(right, say("What a buyer brings"), say("the same cohorts"))
    return figure


def plot_base_flows(found: xr.Dataset) -> style.Drawing:
    """Plot who stayed, came back, is new and lapsed from each period to the next (lens two).

    Parameters
    ----------
    found : xarray.Dataset
        The result of ``clv.customers.audit_base``.

    Returns
    -------
    matplotlib.figure.Figure
        One bar a period, in customers: above 0 those who bought in it, below 0 those who had bought the period before
        and did not. Periods that the log does not cover whole have an asterisk: too many seem to lapse there.

    Raises
    ------
    InputError
        When it is no result of ``audit_base``.

    Examples
    --------
    >>> figure = plot_base_flows(clv.customers.audit_base(clv.load_cdnow()))
    """
    check_result(found, "base audit", _VERB)
    labels = marked(found)[1:]
    colours = {"stayed": style.BLUE, "returned": style.SKY, "new": style.GREEN, "lapsed": style.ORANGE}
    with style.styled():
        figure = style.drawing(3.8, width=8.6)
        ax = figure.subplots()
        words = flow_words()
        at, above = np.arange(len(labels)), np.zeros(len(labels))
        for flow, colour in colours.items():
            count = found["flow_customers"].sel({FLOW: flow}).to_numpy()[1:]
            if flow == "lapsed":
                ax.bar(at, -count, width=0.75, color=colour, label=say("lapsed since"))
            else:
                ax.bar(at, count, bottom=above, width=0.75, color=colour, label=words[flow])
                above += count
        ax.axhline(0, color=style.MUTED, linewidth=1)
        _label_periods(ax, labels)
        ax.yaxis.set_major_formatter(lambda count, _: f"{abs(count):,.0f}")
        ax.set_ylabel(say("customers"))
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        style.heading(ax, say("From one {period} to the next", period=period_of(found)), _counted(found))
    return figure


def plot_base_tenths(found: xr.Dataset) -> style.Drawing:
    """Plot how differently customers buy within the last whole period (lens one).

    Parameters
    ----------
    found : xarray.Dataset
        The result of ``clv.customers.audit_base``.

    Returns
    -------
    matplotlib.figure.Figure
        Left: the share of spend (purchases without amounts) of each tenth of the period's customers, those who spent
        most first. Right: customers by how many days of purchase they had in it.

    Raises
    ------
    InputError
        When it is no result of ``audit_base``.

    Examples
    --------
    >>> figure = plot_base_tenths(clv.customers.audit_base(clv.load_cdnow()))
    """
    check_result(found, "base audit", _VERB)
    last = last_whole(found)
    name = "spend" if "spend" in found else "orders"
    each = found[f"decile_{name}"].transpose(PERIOD, DECILE).to_numpy()[last]
    made = found["orders_customers"].to_numpy()[last]
    with style.styled():
        figure = style.drawing(3.2, width=8.6)
        left, right = figure.subplots(1, 2)
        left.bar(np.arange(1, 11), 100 * each / max(each.sum(), 1e-300), color=style.BLUE, width=0.75)
        left.set_xticks(np.arange(1, 11))
        left.yaxis.set_major_formatter(lambda share, _: f"{share:.0f} %")
        left.set_xlabel(say("tenth of the customers, most first"))
        left.set_ylabel(say("of spend") if name == "spend" else say("of purchases"))
        right.bar(np.arange(1, made.size + 1), made, color=style.BLUE, width=0.75)
        right.set_xticks(
            np.arange(1, made.size + 1), [*(str(i) for i in range(1, made.size)), f"{made.size}+"]
        )
        right.set_xlabel(say("days of purchase"))
        right.set_ylabel(say("customers"))
        style.thousands(right.yaxis)
        period = labels_of(found)[last]
        title = say("Who brings it: {period}", period=period)
        style.heading(left, title, say("the last whole period; counted"))
        style.heading(right, say("How often they buy"), say("the same period"))
    return figure


def period_of(found: xr.Dataset) -> str:
    """Return what a calendar period of the audit is called."""
    periods = {
        "month": say_in("period", "month"),
        "quarter": say_in("period", "quarter"),
        "year": say_in("period", "year"),
    }
    return periods[str(found.attrs["by"])]


def flow_words() -> dict[str, str]:
    """Return what the flows from one period to the next are called."""
    return {
        "new": say_in("flow", "new"),
        "stayed": say_in("flow", "stayed"),
        "returned": say_in("flow", "returned"),
        "lapsed": say_in("flow", "lapsed"),
    }


def _counted(found: xr.Dataset) -> str:
    return say("counted, not estimated; * not a whole {period}", period=period_of(found))


def _brought(found: xr.Dataset) -> str:
    """Return the axis of what customers brought."""
    if "spend" not in found:
        return say("purchases")
    return say("{label} ({unit})", label=say("spend"), unit=numbers.money_unit(found))


def last_whole(found: xr.Dataset) -> int:
    """Return the place of the last period with customers that the log covers whole, or of the last one."""
    there = np.flatnonzero(found["whole"].to_numpy() & (found["active"].to_numpy() > 0))
    return int(there[-1]) if there.size else int(found.sizes[PERIOD]) - 1


def marked(found: xr.Dataset) -> list[str]:
    """Return the periods' labels, * where the log does not cover them."""
    whole = found["whole"].to_numpy().tolist()
    return [f"{name}{'' if known else ' *'}" for name, known in zip(labels_of(found), whole, strict=True)]


def _label_periods(ax: Any, labels: list[str]) -> None:
    step = 1 + (len(labels) - 1) // LABELS_SHOWN
    at = np.arange(0, len(labels), step)
    ax.set_xticks(
        at,
        [labels[i] for i in at],
        rotation=0 if len(labels) <= 7 else 40,
        ha="center" if len(labels) <= 7 else "right",
    )
    ax.grid(False, axis="x")


def _shades(count: int) -> list[Any]:
    """Return so many colours, the first dark, though not so dark that a dark page hides it (3 to 1 and more)."""
    from matplotlib import colormaps

    places = np.linspace(0.32, 0.88, max(count, 1))
    return [colormaps["viridis"](each) for each in places.tolist()]
