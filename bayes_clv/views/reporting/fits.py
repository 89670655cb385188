"""The sections of the report on the fits: parameters, effects, priors and diagnostics."""

import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.families.registry import family as find_family
from bayes_clv.inference.calendar import HALF_LIFE, SD, SHOCK, YEAR, DrawnCalendar, read_calendar
from bayes_clv.inference.criticism.sensitivity import prior_sensitivity
from bayes_clv.inference.over_time import effects_over_time
from bayes_clv.inference.pooled import read_groups
from bayes_clv.language import joined, say, say_kept
from bayes_clv.problems import found as found_words
from bayes_clv.problems import read_problem
from bayes_clv.schema import UNSTATED, quantiles
from bayes_clv.units import days_per, in_plural
from bayes_clv.views import names as rename
from bayes_clv.views import numbers
from bayes_clv.views.frames import table
from bayes_clv.views.plots import calendar, effects, parameters
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting import checks
from bayes_clv.views.reporting.gallery import Figure, Gallery

# Half-lives beyond so many times the observation are told from none by no forecast of its length.
FOR_EVER = 10
# From this share of the prior's variance on nothing has been learned that is worth a number.
MOSTLY_PRIOR = 0.8
# Of an interval in words.
ENDS = (0.05, 0.5, 0.95)
# Days that are now, of a group's calendar; and of how many groups it is said, at most.
LATELY, MOST_SAID = 28, 8


def effects_section(
    gallery: Gallery, key: str, tree: xr.DataTree, customers: xr.Dataset
) -> dict[str, Any] | None:
    """Return what covariates and groups do; None for a fit without."""
    multipliers, groups = effects.multipliers(tree), effects.groups_of(tree)
    if not multipliers and not groups:
        return None
    section: dict[str, Any] = {
        "sentences": [each.sentence for each in multipliers],
        "groups_text": effects.pooling_words(groups) if groups else None,
        "table": None,
        "figure": None,
    }
    if not groups:
        return section
    found = table(tree, by="group", customers=customers)
    columns = [
        tables.Column(say("quantity"), number=False),
        tables.Column(say("column"), number=False),
        tables.Column(say("group"), number=False),
        *([tables.Column(say("customers"))] if "customers" in found else []),
        tables.Column("5 %", level="expected"),
        tables.Column(say("median"), level="expected"),
        tables.Column("95 %", level="expected"),
        tables.Column(say("average of groups")),
        tables.Column(say("probability above it")),
        tables.Column(say("pooled")),
    ]
    names = ["quantity", "column", "group", *(["customers"] if "customers" in found else [])]
    cells = [
        [
            tables.cell(_spaced(value, name == "quantity") if isinstance(value, str) else value)
            for value in found[name].tolist()
        ]
        for name in names
    ]
    cells += [
        [tables.cell(value) for value in found[name].tolist()] for name in ("q05", "median", "q95", "average")
    ]
    cells += [
        [tables.cell(value, numbers.share(value)) for value in found[name].tolist()]
        for name in ("probability_above", "pooled")
    ]
    section["table"] = tables.Table(
        f"{key}-groups",
        say(
            "The population of each group, its average customer: median and 90 % interval, and the average of the "
            "groups."
        ),
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )
    section["figure"] = gallery.add(
        f"{key}-group-forest",
        partial(effects.plot_groups, tree, customers),
        say(
            "One line a group, with its number of customers; the grey line is the average of the groups. The paler a "
            "dot, the more the group is pooled: a wide line with a pale dot near the average is a group that has said "
            "little."
        ),
        "expected",
    )
    return section


def _spaced(name: str, is_ours: bool) -> str:
    """Return a name with spaces; a column and a group are the user's own."""
    words = name.replace("_", " ")
    return say(words) if is_ours else words


def fit_figures(what: str, tree: xr.DataTree) -> dict[str, Callable[[], Any]]:
    """Return what draws a fit's figures, by name: functions that hold what they draw, and can be pickled."""
    key = what.lower()
    # The rows of the data, which may be many, are in none of them.
    shown = xr.DataTree.from_dict(
        {name: tree[name] for name in ("posterior", "prior") if name in tree.children}
    )
    shown.attrs = tree.attrs
    found = {}
    if tree.attrs.get("method", "nuts") == "nuts" and tree["posterior"].sizes.get("chain", 1) > 1:
        found[f"{key}-ranks"] = partial(parameters.plot_diagnostics, shown)
    if "prior" in tree.children:
        found[f"{key}-prior-posterior"] = partial(parameters.plot_prior_posterior, shown)
    if "calendar" in tree.attrs:
        found[f"{key}-calendar"] = partial(calendar.plot_calendar, shown)
    return found | {f"{key}-parameters": partial(parameters.plot_parameters, shown)}


def fit_section(gallery: Gallery, what: str, tree: xr.DataTree, customers: xr.Dataset) -> dict[str, Any]:
    """Return what one fit has to show: parameters, effects, priors, diagnostics."""
    family, key = str(tree.attrs.get("family", "unknown")), what.lower()
    figures = fit_figures(what, tree)

    def add(stem: str, caption: str, level: str | None = None) -> Figure | None:
        name = f"{key}-{stem}"
        return gallery.add(name, figures[name], caption, level) if name in figures else None

    rank_figure = add(
        "ranks",
        say(
            "One colour a chain: the lines should wander about zero without a trend (p is the probability of lines so "
            "far from zero if the chains agree)."
        ),
    )
    prior_figure = add(
        "prior-posterior",
        say(
            "Where the posterior is much narrower than the prior, the data have spoken; where the two coincide, the "
            "number is the prior's. Positive parameters on a log scale."
        ),
        "expected",
    )
    return {
        "heading": say("{what} ({family})", what=say(what), family=say(find_family(family).words.title)),
        "habits": habits(tree, customers),
        "over_time": over_time_words(tree),
        "calendar": calendar_words(tree),
        "calendar_figure": add(
            "calendar",
            say(
                "Each line is what one group's customers did, the band what all have in common; beyond the data a "
                "median returns to its mean, and what a group may do there is wider than its line. At most "
                "{lines} groups have one, those farthest from the others. This is what makes the interval of a total "
                "wide.",
                lines=calendar.MOST_LINES,
            )
            if read_groups(tree) is not None
            else say(
                "Each step is a period; beyond the data the level returns to its mean as fast as the posterior has "
                "learned, and shocks come as they came. This is what makes the interval of a total wide."
            ),
            "expected",
        ),
        "summary": _parameter_summary(tree, key),
        "effects": effects_section(gallery, key, tree, customers),
        "parameters": add(
            "parameters",
            say(
                "Posterior density of each parameter; dot and line, and the figures above, are median and 90 % "
                "interval."
            ),
            "expected",
        ),
        "priors": _priors(tree, key),
        "sensitivity": _sensitivity(tree, key),
        "no_sensitivity": say(
            "What each number owes to its prior: fit(..., include=('log_prior', 'log_likelihood')), by nuts or "
            "laplace, adds a table."
        ),
        "prior_figure": prior_figure,
        "no_prior": say('The fit holds no draws of the prior; fit(..., include=("prior",)) adds them.')
        if "prior" not in tree.children
        else say("The prior could not be drawn."),
        "diagnostics": _diagnostics(tree, key),
        "rank_figure": rank_figure,
        "no_rank": say("Ranks compare the chains of a sampler; this fit has none to compare."),
    }


def habits(tree: xr.DataTree, customers: xr.Dataset) -> str | None:
    """Return in words how fast customers' own purchase rates change, or how long they sleep, and what the prior adds.

    Or how their spend moves. None of a family in which they do none of this.
    """
    if {"growth", "drift_share"} & set(tree["posterior"].data_vars):
        return " ".join(_moving_spend(tree))
    for name, said in (("rate_half_life", _half_life), ("mean_sleep", _sleep)):
        if name in tree["posterior"]:
            draws = tree["posterior"][name].to_numpy().ravel().astype(float)
            low, median, high = quantiles(draws, (0.05, 0.5, 0.95))
            span = float(customers["T"].max())
            unit = str(tree.attrs.get("time_unit", UNSTATED))
            (amount, *ends), plural = _told(np.array([median, low, high]), unit)
            (observed,), units = _told(np.array([span]), unit)
            words = _with_ends(amount, ends, plural)
            seen = say("{amount} {unit}", amount=numbers.number(observed), unit=say(units))
            owed = _owed(tree, name, draws)
            return joined("{first} {second}", [said(words, seen, median / span), *([owed] if owed else [])])
    return None


def _moving_spend(tree: xr.DataTree) -> list[str]:
    """Return in sentences what spend does with a customer's age, and how far it drifts."""
    posterior, unit, said = tree["posterior"], str(tree.attrs.get("time_unit", UNSTATED)), []

    def drawn(name: str) -> np.ndarray:
        return np.asarray(posterior[name].to_numpy().ravel(), dtype=float)

    if "growth" in posterior:
        span = float(drawn("span")[0])
        years = [] if unit == UNSTATED else [k for k in (2, 1) if k * YEAR <= span * days_per(unit)]
        age = years[0] * YEAR / days_per(unit) if years else span
        low, middle, high = quantiles(drawn("growth") ** (age / span), (0.05, 0.5, 0.95))
        (amount, whole), plural = _told(np.array([age, span]), unit)
        when = (
            {2: say("two years"), 1: say("a year")}[years[0]]
            if years
            else say("{amount} {unit}", amount=numbers.number(amount), unit=say(plural))
        )
        said.append(
            say(
                "An order {time} after the first is worth {middle:.2f} times the first, 90 %: {low:.2f} to {high:.2f}. "
                "Of customers older than {oldest}, the oldest seen, nothing is claimed: their spend is taken to stay "
                "where it is.",
                time=when,
                middle=middle,
                low=low,
                high=high,
                oldest=say("{amount} {unit}", amount=numbers.number(whole), unit=say(plural)),
            )
        )
    if "drift_share" in posterior:
        low, middle, high = 100 * quantiles(drawn("drift_share"), (0.05, 0.5, 0.95))
        half = drawn("spend_half_life")
        ends = quantiles(half, (0.05, 0.5, 0.95))
        (amount, *outer), plural = _told(ends[[1, 0, 2]], unit)
        words = say(
            "Of the variance by which customers' levels of spend differ at one time {middle:.0f} % drifts about the "
            "customer's own level (90 %: {low:.0f} to {high:.0f} %), with a half-life of {time}.",
            middle=middle,
            low=low,
            high=high,
            time=_with_ends(amount, outer, plural),
        )
        owed = _owed(tree, "spend_half_life", half)
        said.append(joined("{first} {second}", [words, *([owed] if owed else [])]))
    return said


def _with_ends(amount: float, ends: list[float], plural: str) -> str:
    """Return a time with its interval, both in one unit."""
    low, high = (numbers.number(end) for end in ends)
    return say(
        "{amount} {unit} (90 %: {low} to {high})",
        amount=numbers.number(amount),
        unit=say(plural),
        low=low,
        high=high,
    )


def _half_life(words: str, span: str, spans: float) -> str:
    if spans > FOR_EVER:
        return say(
            "No sign that customers' own habits change: their half-life is {time}, more than {times} times the {span} "
            "observed.",
            time=words,
            times=FOR_EVER,
            span=span,
        )
    return say("Customers' own habits have a half-life of {time}.", time=words)


def _sleep(words: str, span: str, spans: float) -> str:
    return (
        say(
            "A customer who falls silent is asleep, and wakes after {time} in the mean; observed were {span}, which is "
            "{times} times as long.",
            time=words,
            span=span,
            times=numbers.number(1 / spans),
        )
        if spans < 1
        else say(
            "A customer who falls silent is asleep, and wakes after {time} in the mean, longer than the {span} "
            "observed.",
            time=words,
            span=span,
        )
    )


def _owed(tree: xr.DataTree, name: str, draws: np.ndarray) -> str:
    """Return how much of a quantity is its prior's: the share of the precision, of logarithms, that the prior has."""
    try:
        distribution, arguments = json.loads(str(tree.attrs["priors"]))[name]
        spread, center = float(arguments["sigma"]), float(arguments["mu"])
    except (KeyError, TypeError, ValueError):
        return ""
    if distribution != "LogNormal" or not (draws > 0).all():
        return ""
    share = float(np.var(np.log(draws))) / spread**2
    unit = str(tree.attrs.get("time_unit", UNSTATED))
    ends = np.exp(center + 1.645 * spread * np.array([-1, 1]))
    # In the unit in which the posterior is told.
    (_, low, high), plural = _told(np.array([np.median(draws), *ends]), unit)
    told = {"low": numbers.number(low), "high": numbers.number(high), "unit": say(plural)}
    if share >= MOSTLY_PRIOR:
        return say(
            "That is hardly more than the prior (90 % between {low} and {high} {unit}): the data say next to nothing "
            "of it.",
            **told,
        )
    return say(
        "About {share} % of that is the prior's (90 % between {low} and {high} {unit}), the rest the data's.",
        **told,
        share=max(round(100 * share), 1),
    )


def calendar_words(tree: xr.DataTree) -> list[str]:
    """Return in sentences how all customers' rate, or spend, moves over calendar time; none without a calendar."""
    drawn = read_calendar(tree)
    if drawn is None:
        return []
    known, group, unit = drawn.calendar, tree["posterior"].dataset, str(tree.attrs["time_unit"])
    low, half, high = quantiles(group[HALF_LIFE].to_numpy().ravel(), (0.05, 0.5, 0.95))
    (amount, *ends), plural = _told(np.array([half, low, high]), unit)
    level, shock = (float(np.exp(np.median(group[name]))) for name in (SD, SHOCK))
    period = {1: say("day"), 7: say("week")}.get(known.days, say("{days} days", days=known.days))
    told = {
        "level": level,
        "half_life": _with_ends(amount, ends, plural),
        "period": period,
        "shock": shock,
    }
    found = [
        say(
            "All customers' spend per purchase moves over the calendar: its level by a factor of {level:.2f} up or "
            "down, with a half-life of {half_life}, and a single {period} by a further {shock:.2f}.",
            **told,
        )
        if known.of_spend
        else say(
            "All customers' rate moves over the calendar: its level by a factor of {level:.2f} up or down, with a "
            "half-life of {half_life}, and a single {period} by a further {shock:.2f}.",
            **told,
        )
    ]
    found += _group_words(tree, drawn)
    for place, name in enumerate(known.effects):
        if name in known.events:
            times = np.exp(quantiles(drawn.coefficient[:, place], (0.05, 0.5, 0.95)))
            found.append(
                say(
                    "{event} brings {median:.2f} times as much, 90 %: {low:.2f} to {high:.2f}.",
                    event=name,
                    **dict(zip(("low", "median", "high"), times, strict=True)),
                )
            )
    span = known.size * known.days
    if not known.season and span < 2 * YEAR:
        found.append(
            say(
                "The data hold {years:.1f} years, so that what returns every year (a second December) is unknown, and "
                "not in these intervals.",
                years=span / YEAR,
            )
        )
    return found


def _group_words(tree: xr.DataTree, drawn: DrawnCalendar) -> list[str]:
    """Return in sentences how far the calendars of groups are apart, and where each is now; none without groups."""
    groups = read_groups(tree)
    if groups is None:
        return []
    low, middle, high = np.exp(quantiles(groups.sd, ENDS))
    found = [
        say(
            "Each {column} has a calendar of its own beside what all have in common: its level is a further factor of "
            "{middle:.2f} up or down, 90 %: {low:.2f} to {high:.2f}.",
            column=groups.groups.by,
            middle=middle,
            low=low,
            high=high,
        )
    ]
    last = max(1, round(LATELY / drawn.calendar.days))
    common = np.exp(drawn.log_rate)
    each = np.exp(drawn.log_rate[:, None] + groups.own)
    now, all_now = (rate[..., -last:].mean(axis=-1) / rate.mean(axis=-1) for rate in (each, common))
    apart = np.median(now / all_now[:, None], axis=0)
    shown = np.sort(np.argsort(-np.abs(np.log(apart)), kind="stable")[:MOST_SAID])
    if shown.size < apart.size:
        found.append(
            say(
                "Of {groups} these are the {shown} that are farthest from all now.",
                groups=apart.size,
                shown=shown.size,
            )
        )
    for place in shown:
        low, middle, high = quantiles(now[:, place], ENDS)
        found.append(
            say(
                "{group}: in the last {days} days its customers bought at {middle:.2f} times the rate of their own "
                "whole past, 90 %: {low:.2f} to {high:.2f}; what all have in common was at {common:.2f}.",
                group=groups.groups.labels[place],
                days=last * drawn.calendar.days,
                middle=middle,
                low=low,
                high=high,
                common=float(np.median(all_now)),
            )
        )
    return found


def over_time_words(tree: xr.DataTree) -> list[str]:
    """Return in sentences what columns over time do to each customer's rate; none without such columns."""
    return list(effects_over_time(tree).attrs["sentences"]) if "over_time" in tree.attrs else []


def _told(times: np.ndarray, unit: str) -> tuple[list[float], str]:
    """Return times in the unit that suits the first of them, and that unit's plural."""
    if unit == UNSTATED:
        return times.tolist(), "units of time"
    days = times * days_per(unit)
    told = next((each for each in ("year", "week") if days[0] >= 2 * days_per(each)), "day")
    return (days / days_per(told)).tolist(), in_plural(told)


def _parameter_summary(tree: xr.DataTree, key: str) -> tables.Table:
    found = parameters.parameter_rows(tree)
    columns = [
        tables.Column(say("symbol"), number=False),
        tables.Column(say("meaning"), number=False),
        tables.Column(say("unit"), number=False),
        tables.Column(say("mean")),
        tables.Column(say("sd")),
        tables.Column("5 %"),
        tables.Column(say("median")),
        tables.Column("95 %"),
    ]
    if "r_hat" in found[0]:
        columns += [
            tables.Column(say("effective draws (bulk)")),
            tables.Column(say("(tail)")),
            tables.Column("R-hat"),
        ]
    rows = []
    for each in found:
        row = [
            tables.cell(rename.symbol(each["parameter"])),
            tables.cell(say_kept(each["meaning"])),
            tables.cell(say(each["unit"])),
        ]
        row += [tables.cell(each[name]) for name in ("mean", "sd", "q05", "median", "q95")]
        if "r_hat" in each and math.isnan(each["r_hat"]):
            row += [tables.cell(say("fixed")), tables.cell(""), tables.cell("")]
        elif "r_hat" in each:
            row += [
                tables.cell(each["ess_bulk"]),
                tables.cell(each["ess_tail"]),
                tables.cell(each["r_hat"], f"{each['r_hat']:.3f}"),
            ]
        rows.append(row)
    return tables.Table(f"{key}-summary", say("Posterior of the population parameters."), columns, rows)


def _priors(tree: xr.DataTree, key: str) -> tables.Table | None:
    try:
        stated = json.loads(str(tree.attrs["priors"]))
    except (KeyError, json.JSONDecodeError):
        return None
    rows = []
    for name, prior in stated.items():
        if isinstance(prior, list) and len(prior) == 2 and isinstance(prior[1], dict):
            text = f"{prior[0]}({', '.join(f'{k}={v:.4g}' for k, v in prior[1].items())})"
        else:
            text = str(prior)
        rows.append([tables.cell(rename.symbol(str(name))), tables.cell(text)])
    return tables.Table(
        f"{key}-priors",
        say("Priors that were used."),
        [tables.Column(say("quantity"), number=False), tables.Column(say("prior"), number=False)],
        rows,
        sortable=False,
    )


def _sensitivity(tree: xr.DataTree, key: str) -> tables.Table | None:
    """Return what each quantity owes to its prior, of a posterior that carries the groups for it."""
    carried = {"log_prior", "log_likelihood", "observed_data"} <= set(tree.children)
    if not carried or tree["posterior"].sizes["draw"] < 4:
        return None
    rows = [
        [
            tables.cell(rename.symbol(str(name))),
            tables.cell(say_kept(str(row["meaning"]))),
            tables.cell(float(row["prior"]), f"{float(row['prior']):.3f}"),
            tables.cell(float(row["likelihood"]), f"{float(row['likelihood']):.3f}"),
            tables.cell(say("none") if row["diagnosis"] == "✓" else say(str(row["diagnosis"]))),
        ]
        for name, row in prior_sensitivity(tree).iterrows()
    ]
    return tables.Table(
        f"{key}-sensitivity",
        say(
            "What each number owes to its prior and to the data: how far its posterior moves per doubling of the power "
            "of either. Below 0.05 the prior hardly matters; above it, compare the prior with the data before trusting "
            "both."
        ),
        [
            tables.Column(say("quantity"), number=False),
            tables.Column(say("meaning"), number=False),
            tables.Column(say("prior")),
            tables.Column(say("data")),
            tables.Column(say("finding"), number=False),
        ],
        rows,
    )


# Of each diagnostic what it is, in English.
DIAGNOSTICS = {
    "rhat_max": "largest R-hat (below 1.01: the chains agree)",
    "ess_bulk_min": "smallest effective sample size, centre",
    "ess_tail_min": "smallest effective sample size, tails",
    "ess_min": "smallest effective sample size (100 a chain are needed)",
    "divergences": "divergent transitions (0 is right)",
    "max_treedepth_reached": "transitions at the maximum tree depth",
    "bfmi_min": "smallest BFMI (above 0.3: the tails are explored)",
    "k_tried": "phases k that were tried",
    "k_log_evidence": "log evidence of each k",
    "k_log_likelihood": "log likelihood of each k",
    "k_probability": "posterior probability of the k chosen (above 0.95)",
    "pareto_k": "Pareto k (below its threshold: the approximation holds)",
    "pareto_k_threshold": "threshold of Pareto k",
    "effective_draws": "effective draws",
    "importance_efficiency": "importance efficiency",
}
# What ArviZ finds of the sensitivity to a prior.
FINDINGS = ("potential prior-data conflict", "potential strong prior / weak likelihood")


def _diagnostics(tree: xr.DataTree, key: str) -> tables.Table:
    found = checks.fit_diagnostics(tree) or {}
    passed = say("yes") if found.get("passed") is True else say("no")
    rows = [[tables.cell(say("passed")), tables.cell(passed)]]
    for name, amount in found.items():
        if name in ("passed", "problems"):
            continue
        text = (
            numbers.number(amount)
            if isinstance(amount, int | float) and not isinstance(amount, bool)
            else str(amount)
        )
        if name == "rhat_max" and isinstance(amount, float):
            text = f"{amount:.4f}"
        rows.append([tables.cell(say(DIAGNOSTICS.get(name, name.replace("_", " ")))), tables.cell(text)])
    rows += [
        [tables.cell(say("problem")), tables.cell(found_words(read_problem(each)))]
        for each in found.get("problems", [])
    ]
    return tables.Table(
        f"{key}-diagnostics",
        say("Diagnostics attached to the fit."),
        [tables.Column(say("check"), number=False), tables.Column(say("found"), number=False)],
        rows,
        sortable=False,
    )
