"""The report: one HTML page that holds everything it shows, opens from a file and loads nothing.

What failed comes first; every number carries its level; every figure, one sentence on how to read it.
Here the numbers are chosen and put into words and rows; ``report.html.j2`` lays them out. All text from
the data passes Jinja's escaping; only figures made by this package are trusted as markup.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.families.registry import family as find_family
from bayes_clv.inference.citing import cite
from bayes_clv.problems import cards
from bayes_clv.schema import CUSTOMER, Problem
from bayes_clv.scoring.measures import record
from bayes_clv.scoring.spending import spend_check
from bayes_clv.views import numbers
from bayes_clv.views.plots import amounts
from bayes_clv.views.reporting import checks, sections, verdicts
from bayes_clv.views.reporting import decisions as segment_sections
from bayes_clv.views.reporting import fits as fit_sections
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.views.reporting.rendering import write_template

LEVELS = {
    "expected": "only the population parameters vary: the spread of an average.",
    "latent": "a customer's own purchase rate and dropout vary too.",
    "outcome": "what will actually be bought and spent, with the chance in each purchase.",
}


def report(
    path: str | Path,
    *,
    buying: xr.DataTree,
    spending: xr.DataTree | None,
    customers: xr.Dataset,
    value: xr.Dataset,
    evaluation: xr.Dataset | None = None,
    tracking: xr.Dataset | None = None,
    history: Mapping[str, Iterable[Any]] | None = None,
    segments: xr.Dataset | None = None,
    alarms: xr.Dataset | None = None,
    figures: str | Path | None = None,
    png: bool = False,
    title: str = "Customer lifetime value",
    run: Mapping[str, Any] | None = None,
    choice: str | None = None,
    changes: xr.Dataset | None = None,
) -> Path:
    """Write the report of a run as one self-contained HTML page and return its path.

    Parameters
    ----------
    path : str or Path
        The file to write; its folder is made, and a file there is replaced once the page is complete.
    buying : xarray.DataTree
        Posterior of a purchase family.
    spending : xarray.DataTree or None
        Posterior of ``gamma_gamma``; None for orders without amounts.
    customers : xarray.Dataset
        The base, from ``summarize`` or a table.
    value : xarray.Dataset
        The result of ``predict``, or of ``predict`` without amounts.
    evaluation : xarray.Dataset, optional
        The result of ``evaluate``: the first model on the holdout, and against simple rules.
    tracking : xarray.Dataset, optional
        The result of ``clv.scoring.simulate_tracking``.
    history : mapping, optional
        Customer id to the dates of all its purchases (``clv.customers.purchase_dates``): a figure each.
    segments : xarray.Dataset, optional
        The result of ``segment``: what the rule says, the segments' sizes and totals, how many labels are unsure.
    alarms : xarray.Dataset, optional
        The result of ``churn_alarms``: the alarm list over time.
    figures : str or Path, optional
        Folder in which every figure is saved too, as SVG.
    png : bool
        Save the figures as PNG there too; it takes as long again as the page.
    title : str
        Title of the page.
    run : mapping, optional
        What was run, as name and text: shown under method (a command, times, a commit).
    choice : str, optional
        Why the purchase family was chosen, as ``clv.scoring.choose_family`` says (``attrs["reason"]``).
    changes : xarray.Dataset, optional
        The result of ``clv.predictions.changes``, of a posterior whose rates drift: how many customers grow and fade.

    Returns
    -------
    Path

    Notes
    -----
    Failed checks cannot be turned off: they are read from the posteriors, the prediction, the audit and
    the evaluation.

    Examples
    --------
    >>> page = clv.report("report.html", buying=buying, spending=spending,
    ...                   customers=customers, value=value)
    """
    return write_page(
        path,
        Gallery(Path(figures) if figures is not None else None, png),
        buying=buying,
        spending=spending,
        customers=customers,
        value=value,
        evaluation=evaluation,
        tracking=tracking,
        history=history,
        segments=segments,
        alarms=alarms,
        changes=changes,
        title=title,
        run=run,
        choice=choice,
    )


def write_page(
    path: str | Path,
    gallery: Gallery,
    *,
    buying: xr.DataTree,
    spending: xr.DataTree | None,
    customers: xr.Dataset,
    value: xr.Dataset,
    evaluation: xr.Dataset | None,
    tracking: xr.Dataset | None,
    history: Mapping[str, Iterable[Any]] | None,
    segments: xr.Dataset | None = None,
    alarms: xr.Dataset | None = None,
    changes: xr.Dataset | None = None,
    title: str,
    run: Mapping[str, Any] | None,
    choice: str | None,
    remarks: Sequence[str] = (),
) -> Path:
    """Write the page of ``report`` with the figures of a gallery, some of which may be drawn already."""
    page = _page(gallery, buying, spending, customers, value, evaluation, tracking, dict(history or {}))
    page["choice"] = choice
    page["remarks"] = list(remarks)
    page["changes"] = sections.changes_text(changes)
    page["against_rules"] = sections.against_rules(gallery, evaluation)
    page["segments"] = segment_sections.segments_section(gallery, segments)
    page["alarms"] = segment_sections.alarms_section(gallery, alarms)
    gallery.finish()
    page["method"] = sections.method_text(buying, spending, value, gallery.skipped)
    page["papers"] = cite(*([buying] if spending is None else [buying, spending]))
    page["sections"] = _contents(page)
    page |= {"title": title, "levels": LEVELS, "run_table": sections.run_table(run)}
    return write_template(path, "report.html.j2", page)


def named_fits(buying: xr.DataTree, spending: xr.DataTree | None) -> list[tuple[str, xr.DataTree]]:
    """Return the fits under the names that the page has for them."""
    return [("Purchases", buying), *([("Spend", spending)] if spending is not None else [])]


def _page(
    gallery: Gallery,
    buying: xr.DataTree,
    spending: xr.DataTree | None,
    customers: xr.Dataset,
    value: xr.Dataset,
    evaluation: xr.Dataset | None,
    tracking: xr.Dataset | None,
    history: dict[str, Iterable[Any]],
) -> dict[str, Any]:
    stem = amounts.choose_quantity(value, None)
    fits = named_fits(buying, spending)
    problems = checks.failures(buying, spending, customers, value, evaluation, tracking)
    failed = cards(problems)
    score = None if evaluation is None else record(evaluation)
    periods = [] if tracking is None else verdicts.periods_inside(tracking)
    page: dict[str, Any] = {
        "has_money": stem == "value",
        "summary": _summary(customers, value, score, periods, len(failed)),
        "key_numbers": _key_numbers(customers, value, score, periods, problems),
        "checks": failed,
        "passed": _passed(fits, score, periods, customers, value),
        "notes": _notes(fits),
        "holdout": sections.holdout_section(gallery, evaluation),
        "tracking": sections.tracking_section(gallery, tracking, periods),
        "predictive_check": sections.predictive_check(gallery, buying),
        "value_text": sections.value_text(value, stem),
        "value_figures": sections.value_figures(gallery, buying, customers, value, stem),
        "history_figures": sections.history_figures(gallery, buying, customers, history),
        "deciles": sections.deciles(value, stem),
        "customer_table": sections.customer_rows(value, customers, stem),
        "customers_figure": gallery.add(
            "customers",
            partial(amounts.plot_customers, value, 25, quantity=stem),
            "Each line is one customer: what it will bring lies within the thin line nine times in ten, within the "
            "thick one every other time. Lines that overlap much cannot be ranked with confidence.",
            "outcome",
        ),
        "fits": [fit_sections.fit_section(gallery, what, tree, customers) for what, tree in fits],
        "audit": sections.audit_table(customers),
        "data_text": sections.data_text(customers, value),
    }
    return page


def _contents(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("checks", "Checks"),
        *([("holdout", "Holdout")] if page["holdout"] else []),
        *([("tracking", "Tracking")] if page["tracking"] else []),
        ("value", "Value" if page["has_money"] else "Purchases"),
        ("customers", "Customers"),
        *([("segments", "Segments")] if page["segments"] else []),
        *([("alarms", "Alarms")] if page["alarms"] else []),
        *([("check", "Model check")] if page["predictive_check"] else []),
        ("parameters", "Parameters"),
        ("priors", "Priors"),
        ("diagnostics", "Diagnostics"),
        ("audit", "Data audit"),
        ("method", "Method"),
    ]


def _summary(
    customers: xr.Dataset,
    value: xr.Dataset,
    score: dict[str, Any] | None,
    periods: list[dict[str, Any]],
    failed: int,
) -> dict[str, str]:
    """Return what failed, as the first sentences, and what the base will do."""
    n = customers.sizes[CUSTOMER]
    off = {each.name for each in verdicts.missed(score)}
    until = customers.attrs.get("until")
    seen = f", observed until {until}," if until else ""
    sentences = []
    if "purchases_total" in value:
        mean, low, high = (numbers.number(x) for x in numbers.mean_interval(value["purchases_total"]))
        ends = (
            "; nine times in ten it will be between {} and {}"
            if "total" not in off
            else "; the model's 90 % interval, which failed on the holdout, is {} to {}"
        )
        text = (
            f"The {n:,} customers of this base{seen} will make about {mean} purchases over the next "
            f"{numbers.horizon(value)}{ends.format(low, high)}"
        )
        if "value_total" in value:
            mean, low, high = (numbers.number(x) for x in _total(value, "value"))
            failing = ", an interval that failed too" if off & {"spend_total", "value_total"} else ""
            text += f", worth {mean} (between {low} and {high}{failing}) {_after(value)}"
        sentences.append(f"{text}.")
    else:
        sentences.append(f"The base has {n:,} customers{seen.rstrip(',')}.")
    if score is not None:
        model = _first(score)
        ninety = score["intervals"].index(90)
        sentences.append(
            f"On the holdout, {numbers.share(model['covered'][ninety])} of customers bought a number inside their own "
            f"90 % interval, where the forecast promised {numbers.share(model['promised'][ninety])}."
        )
    said = [verdicts.missed_words(score), verdicts.calendar_words(verdicts.calendar(periods))]
    said = [each for each in said if each]
    count = f"{failed} check{'s' if failed > 1 else ''} failed, and must be read first."
    return {
        "failed": " ".join([*said, count]) if failed else "",
        "text": " ".join([*sentences, *([] if failed else ["All checks passed."])]),
    }


def _first(score: dict[str, Any]) -> dict[str, Any]:
    """Return the measures of the first forecast, which is the run's own."""
    found: dict[str, Any] = next(iter(score["measures"].values()))
    return found


def _after(value: xr.Dataset) -> str:
    """Return what the total is after: revenue where no margin was given."""
    kept = [
        *(["margin"] if float(value.attrs.get("margin", 0.0)) != 1 else []),
        *(["discount"] if float(value.attrs.get("annual_discount_rate", 1.0)) != 0 else []),
    ]
    after = f" after {' and '.join(kept)}" if kept else ""
    return after.strip() if "margin" in kept else f"of revenue{after}"


def _total(value: xr.Dataset, stem: str) -> tuple[float, float, float]:
    """Return mean and 90 % interval of a total; the mean is NaN where a customer's mean does not exist."""
    mean, low, high = numbers.mean_interval(value[f"{stem}_total"])
    exists = f"{stem}_mean" not in value or bool(np.isfinite(value[f"{stem}_mean"]).all())
    return (mean if exists else float("nan")), low, high


@dataclass(frozen=True)
class KeyNumber:
    """One of the numbers at the head of the page; ``failed`` says where the holdout or the calendar denied it."""

    label: str
    number: str
    level: str | None = None
    note: str | None = None
    failed: str | None = None


def _key_numbers(
    customers: xr.Dataset,
    value: xr.Dataset,
    score: dict[str, Any] | None,
    periods: list[dict[str, Any]],
    problems: list[Problem],
) -> list[KeyNumber]:
    off = {
        each.name: f"holdout failed: {each.real}, {each.direction} {each.interval}"
        for each in verdicts.missed(score)
    }
    repeaters = int((customers["frequency"] > 0).sum())
    keys = [
        KeyNumber("customers", f"{customers.sizes[CUSTOMER]:,}", note=f"{repeaters:,} with a repeat purchase")
    ]
    worth = "residual revenue" if value.attrs.get("margin") == 1 else "residual value"
    for stem, label, totals in (
        ("purchases", "purchases", ("total",)),
        ("value", worth, ("value_total", "spend_total")),
    ):
        if f"{stem}_total" in value:
            mean, low, high = _total(value, stem)
            note = f"90 %: {numbers.number(low)} to {numbers.number(high)}"
            failing = next((off[name] for name in totals if name in off), None)
            keys.append(
                KeyNumber(
                    f"{label}, {numbers.horizon(value)}", numbers.number(mean), "outcome", note, failing
                )
            )
    if "probability_active" in value:
        active = float(value["probability_active"].mean())
        note = f"about {numbers.number(round(active * customers.sizes[CUSTOMER]))} customers"
        keys.append(
            KeyNumber(
                f"buy at all, {numbers.horizon(value)}",
                numbers.share(active),
                "outcome",
                note,
                off.get("retention_total"),
            )
        )
    if score is None and "probability_alive" in value:
        alive = float(value["probability_alive"].mean())
        keys.append(KeyNumber("alive now, on average", numbers.share(alive), "expected"))
    weeks = verdicts.calendar_tile(periods)
    if weeks is not None:
        shown, few = weeks
        number = f"{shown['inside']} of {shown['number']}"
        label = f"{shown['units']} inside the 90 % band"
        note = f"{shown['part']}; promised {shown['expected']:.0f}"
        failed = f"failed: at least {shown['lower']} if the model held" if few else None
        keys.append(KeyNumber(label, number, "outcome", note, failed))
    if score is not None:
        model, ninety = _first(score), score["intervals"].index(90)
        note = f"promised {numbers.share(model['promised'][ninety])}"
        keys.append(
            KeyNumber(
                "holdout inside 90 % intervals",
                numbers.share(model["covered"][ninety]),
                "outcome",
                note,
                next((f"failed: {words}" for words in _off_intervals(problems)), None),
            )
        )
    return keys


def _off_intervals(problems: list[Problem]) -> list[str]:
    """Return how customers' intervals missed: those of all, else of the frequent buyers."""
    words = {
        "holdout_narrow": "too few by more than chance",
        "holdout_wide": "too many by more than chance",
    }
    found = [words[each.code] for each in problems if each.code in words and each.numbers["level"] == 90]
    few = [each for each in problems if each.code == "holdout_frequent"]
    return found + [f"only {each.numbers['covered']:.1f} % of frequent buyers" for each in few]


def _passed(
    fits: list[tuple[str, xr.DataTree]],
    score: dict[str, Any] | None,
    periods: list[dict[str, Any]],
    customers: xr.Dataset,
    value: xr.Dataset,
) -> list[str]:
    names = [f"{what.lower()} fit" for what, _ in fits]
    if score is not None:
        known = {each.name for each in verdicts.totals(score)}
        money = ", spend" if "spend_total" in known else ""
        buyers = ", buyers" if "retention_total" in known else ""
        names += [f"holdout totals (purchases{buyers}{money}) and intervals"]
    if periods:
        names += ["weeks and months inside the tracking band"]
    if checks.spend_correlation(customers) is not None:
        names += ["spend does not depend on frequency"]
    moves = {"age": "age", "order_number": "order number", "calendar": "month"}
    looked = [words for name, words in moves.items() if name in spend_check(customers, value)]
    if looked:
        names += [f"nor on {' or '.join(looked)}"]
    return [*names, "data audit"]


def _notes(fits: list[tuple[str, xr.DataTree]]) -> list[tuple[str, str]]:
    families = [find_family(str(tree.attrs["family"])) for _, tree in fits]
    return [
        (f"A known flaw of {family.words.title}.", family.words.caution)
        for family in families
        if family.words.caution
    ]
