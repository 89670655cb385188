"""The report: one HTML page that holds everything it shows, opens from a file and loads nothing.

Its order is that of the questions people bring: what comes and what to decide (one screen, `opening`), value,
customers, segments and alarms, how far to trust it, what changed over time, and how it was made, as an appendix. What
failed stands in the first lines and leads to its card. Every number carries its level; every figure, one sentence on
how to read it.

Here the sections are gathered; ``report.html.j2`` lays them out on the grid that all pages share (``layout.html.j2``,
``page.css``, ``page.js``). All text from the data passes Jinja's escaping; only figures made by this package are
trusted as markup.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from bayes_clv.families.registry import family as find_family
from bayes_clv.inference.citing import cite
from bayes_clv.language import ENGLISH, joined, say, say_kept, say_kept_sentences, speaking
from bayes_clv.scoring.measures import record
from bayes_clv.scoring.spending import spend_check
from bayes_clv.views.plots import amounts
from bayes_clv.views.reporting import (
    appendix,
    checks,
    decisions,
    moving,
    opening,
    trust,
    verdicts,
    worth,
)
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
    language: str = ENGLISH,
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
    language : str
        The language of the page: "en", or one of which there are translations, such as "zh" (Chinese). The words in
        its figures too, where this machine has a font with the letters; else they are English, and the page says so.

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
    with speaking(language):
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
    columns: Mapping[str, str] | None = None,
) -> Path:
    """Write the page of ``report``, in the language that is spoken, with the figures of a gallery.

    Some of the figures may be drawn already.
    ``columns`` says how a command read its orders (``Ran.columns``): remedies then are in words of the command line.
    """
    fits = named_fits(buying, spending)
    stem = amounts.choose_quantity(value, None)
    problems = checks.failures(buying, spending, customers, value, evaluation, tracking)
    failed = checks.cards_of(problems, buying, customers, evaluation, columns=columns)
    score = None if evaluation is None else record(evaluation)
    periods = [] if tracking is None else verdicts.periods_inside(tracking)
    page: dict[str, Any] = {
        "title": say(title),
        "levels": {level: say(words) for level, words in LEVELS.items()},
        "has_money": stem == "value",
        "choice": choice and say_kept_sentences(choice),
        "remarks": [say_kept(each) for each in remarks],
        # The first screen.
        "summary": opening.summary(customers, value, score, periods, failed),
        "failed": opening.failed_links(failed),
        "key_numbers": opening.key_numbers(customers, value, score, periods, problems),
        "pictures": opening.pictures(gallery, value, tracking, periods, stem),
        "decisions": opening.decisions(
            *(value, stem, score, alarms),
            customers=customers,
            failed=failed,
            problems=problems,
            command=columns is not None,
        ),
        # Value, and who has it.
        "value_text": worth.value_text(value, stem, customers.attrs.get("currency")),
        "value_figures": worth.value_figures(gallery, value, stem),
        "deciles": worth.deciles(value, stem),
        "customer_table": worth.customer_rows(value, customers, stem),
        "customers_figure": worth.customers_figure(gallery, value, stem),
        **_silence(gallery, buying, customers, value, dict(history or {})),
        "segments": decisions.segments_section(gallery, segments),
        "alarms": decisions.alarms_section(gallery, alarms),
        # How far to trust it.
        "checks": failed,
        "passed": _passed(fits, score, periods, customers, value),
        "notes": _notes(fits),
        "holdout": trust.holdout_section(gallery, evaluation),
        "against_rules": trust.against_rules(gallery, evaluation),
        "predictive_check": trust.predictive_check(gallery, buying),
        # What changed over time.
        "tracking": moving.tracking_section(gallery, tracking, periods),
        "changes": moving.changes_text(changes),
        # The appendix.
        "fits": [fit_sections.fit_section(gallery, what, tree, customers) for what, tree in fits],
        "audit": appendix.audit_table(customers),
        "data_text": appendix.data_text(customers, value),
        "papers": cite(*(tree for _, tree in fits)),
        "run_table": appendix.run_table(run),
    }
    gallery.finish()
    page["method"] = appendix.method_text(buying, spending, value, gallery.skipped)
    page["moves"] = _moves(page)
    page["sections"] = _contents(page)
    return write_template(path, "report.html.j2", page)


def _silence(
    gallery: Gallery,
    buying: xr.DataTree,
    customers: xr.Dataset,
    value: xr.Dataset,
    history: dict[str, Iterable[Any]],
) -> dict[str, Any]:
    """Return the figures of what a history says, or why there are none."""
    if "over_time" in buying.attrs:
        why = say(
            "What a silence says of a customer hangs on what that customer met meanwhile: with columns over time there "
            "is no figure of it. P(alive) of each customer is in the table of customers."
        )
        return {"no_silence": why, "silence_figures": [], "history_figures": []}
    if "calendar_groups" in buying.attrs:
        why = say(
            "What a silence says of a customer hangs on the calendar of its group: where these differ there is no one "
            "figure of it. P(alive) of each customer is in the table of customers."
        )
        return {"no_silence": why, "silence_figures": [], "history_figures": []}
    return {
        "no_silence": None,
        "silence_figures": worth.silence_figures(gallery, buying, customers, value),
        "history_figures": worth.history_figures(gallery, buying, customers, history),
    }


def named_fits(buying: xr.DataTree, spending: xr.DataTree | None) -> list[tuple[str, xr.DataTree]]:
    """Return the fits under the names that the page has for them."""
    return [("Purchases", buying), *([("Spend", spending)] if spending is not None else [])]


def _moves(page: dict[str, Any]) -> bool:
    """Return whether there is anything to say of change over time."""
    fits = (part[name] for part in page["fits"] for name in ("habits", "over_time", "calendar"))
    return bool(page["tracking"] or page["changes"] or page["remarks"] or any(fits))


def _contents(page: dict[str, Any]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return the contents: the parts of the page, and in each its sections, as identifier and words."""
    found: list[tuple[str, str, list[tuple[str, str]]]] = [
        ("top", say("In short"), []),
        ("value", say("Value") if page["has_money"] else say("Purchases"), []),
        ("customers", say("Customers"), [("silence", say("What a silence says"))]),
        *([("segments", say("Segments"), [])] if page["segments"] else []),
        *([("alarms", say("Alarms"), [])] if page["alarms"] else []),
    ]
    judged = [
        ("checks", say("Checks")),
        ("holdout", say("Holdout")),
        ("rules", say("Simple rules")),
        ("check", say("Model check")),
    ]
    shown = (True, page["holdout"], page["against_rules"], page["predictive_check"])
    found.append(
        (
            "trust",
            say("How far to trust it"),
            [part for part, is_there in zip(judged, shown, strict=True) if is_there],
        )
    )
    if page["moves"]:
        found.append(("change", say("What changed over time"), []))
    last = [
        ("parameters", say("Parameters")),
        ("priors", say("Priors")),
        ("diagnostics", say("Diagnostics")),
        ("audit", say("Data audit")),
        ("method", say("Method")),
    ]
    return [*found, ("appendix", say("Appendix"), last)]


def _passed(
    fits: list[tuple[str, xr.DataTree]],
    score: dict[str, Any] | None,
    periods: list[dict[str, Any]],
    customers: xr.Dataset,
    value: xr.Dataset,
) -> list[str]:
    fitted = {"Purchases": say("purchases fit"), "Spend": say("spend fit")}
    names = [fitted[what] for what, _ in fits]
    if score is not None:
        known = {each.name for each in verdicts.totals(score)}
        totals = [
            say("purchases"),
            *([say("buyers")] if "retention_total" in known else []),
            *([say("spend")] if "spend_total" in known else []),
        ]
        names += [say("holdout totals ({totals}) and intervals", totals=joined("{first}, {second}", totals))]
    if periods:
        names += [say("weeks and months inside the tracking band")]
    if checks.spend_correlation(customers) is not None:
        names += [say("spend does not depend on frequency")]
    moves = {"age": say("age"), "order_number": say("order number"), "calendar": say("month")}
    looked = [words for name, words in moves.items() if name in spend_check(customers, value)]
    if looked:
        names += [say("nor on {what}", what=joined("{first} or {second}", looked))]
    return [*names, say("data audit")]


def _notes(fits: list[tuple[str, xr.DataTree]]) -> list[tuple[str, str]]:
    families = [find_family(str(tree.attrs["family"])) for _, tree in fits]
    return [
        (
            say("A known flaw of {family}.", family=say(family.words.title)),
            say_kept_sentences(family.words.caution),
        )
        for family in families
        if family.words.caution
    ]
