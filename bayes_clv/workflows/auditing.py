"""The command ``audit``: an order log in; its customer base over time as tables, a page and figures out."""

from pathlib import Path
from typing import Any

from bayes_clv.language import check_language, speaking
from bayes_clv.schema import InputError
from bayes_clv.workflows.folders import all_or_nothing, check_out, save_figures
from bayes_clv.workflows.settings import Auditing, told_of

TABLES = {"cohorts": "cohort", "flows": "flow", "tenths": "decile", "orders": "orders_made"}


def audit_run(settings: Auditing) -> list[str]:
    """Write the base by period, cohort, flow, tenth and number of orders, and the page; return the summary's lines.

    Raises
    ------
    InputError
        For what ``clv.customers.audit_base`` refuses; nothing is then written.
    """
    check_language(settings.language)
    out = Path(settings.out)
    check_out(out, out / "run")
    if isinstance(settings.orders, str | Path) and Path(settings.orders).resolve() == out.resolve():
        raise InputError(f"{str(out)!r} is the order log itself. Name another file.")
    from bayes_clv.customers.base_audit import audit_base
    from bayes_clv.views.fonts import figures_in
    from bayes_clv.views.frames import table
    from bayes_clv.views.plots.base import (
        plot_base_flows,
        plot_base_tenths,
        plot_cohort_lives,
        plot_cohorts,
    )
    from bayes_clv.views.reporting.base import audit_sentences, write_audit_page
    from bayes_clv.views.reporting.gallery import Gallery
    from bayes_clv.workflows.folders import write_table

    found = audit_base(settings.orders, period=settings.period, until=settings.until, **told_of(settings))
    page = out.with_suffix(".html")
    places = {name: out.with_stem(f"{out.stem}-{name}") for name in TABLES}
    with figures_in(settings.language):
        figures = {
            "base": plot_cohorts(found),
            "lives": plot_cohort_lives(found),
            "flows": plot_base_flows(found),
            "tenths": plot_base_tenths(found),
        }
    with all_or_nothing(out) as work:
        write_table(table(found), work / out.name)
        for name, by in TABLES.items():
            write_table(table(found, by=by), work / places[name].name)
        with speaking(settings.language):
            write_audit_page(work / page.name, Gallery(None), found=found, run=_shown(settings, found.attrs))
        notes = save_figures({f"{out.stem}-{end}": figure for end, figure in figures.items()}, work)
    return [
        *audit_sentences(found),
        "",
        f"Page: {page}",
        f"Periods: {out}",
        *(f"{name.capitalize()}: {place}" for name, place in places.items()),
        f"Figures: {', '.join(str(out.with_name(f'{out.stem}-{end}.png')) for end in figures)}",
        *notes,
    ]


def _shown(settings: Auditing, attrs: Any) -> dict[str, Any]:
    from importlib.metadata import version

    orders = settings.orders
    return {
        "orders": Path(orders).name if isinstance(orders, str | Path) else f"a {type(orders).__name__}",
        "by": attrs["by"],
        "from": attrs["from"],
        "until": attrs["until"],
        "bayes_clv": version("bayes_clv"),
    }
