"""The command ``equity``: a finished run in; what its base is worth, and what has changed that, out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.language import check_language, say, speaking
from bayes_clv.schema import InputError, argument, either
from bayes_clv.workflows.choices import Valuing
from bayes_clv.workflows.folders import all_or_nothing, check_out, read_record, read_run, save_figures
from bayes_clv.workflows.settings import costs_of
from bayes_clv.workflows.words import check_lines, earned

if TYPE_CHECKING:
    import xarray as xr

    from bayes_clv.predictions.own_costs import Costs
    from bayes_clv.predictions.simulation import Simulation
    from bayes_clv.workflows.folders import Finished


def equity_run(choice: Valuing) -> list[str]:
    """Write what the base is worth and what has changed it, and the page; return the summary's lines.

    Written are ``out``, one row a number; beside it of the same kind ``-cohorts`` (those to come), ``-tops`` (who holds
    it) and ``-bridge`` (what has changed), the page ``.html``, and the figures ``.png``.

    Raises
    ------
    InputError
        For anything that cannot be used; nothing is then written.
    """
    from bayes_clv.units import duration

    check_language(choice.language)
    out = Path(choice.out)
    read_record(choice.run)
    check_out(out, choice.run)
    if (choice.orders is None) != (choice.opened is None):
        raise InputError(
            f"{argument('opened')} is a day of the run's {argument('orders')}: give both, or an earlier run with "
            f"{argument('before')}."
        )
    costs = _costs(choice)
    run = _with_money(choice.run)
    if choice.newcomers and run.told_apart_by:
        raise InputError(
            f"The run tells customers apart by {', '.join(run.told_apart_by)}, and what those still to come are in "
            f"this is not known. Leave them out with {either('newcomers=False', '--no-newcomers')}, or value a run "
            "without these columns."
        )
    costs = run.costs_or(costs)
    horizon = run.horizon
    if choice.horizon is not None:
        horizon = duration(choice.horizon, str(run.customers.attrs["time_unit"]))
    closing = _simulated(choice, run, run, run.customers, horizon, costs)
    seed = run.seed if choice.seed is None else choice.seed
    coming = _coming(choice, run.customers, horizon, seed)

    from bayes_clv.valuation.bridge import equity_bridge
    from bayes_clv.valuation.equity import customer_equity

    found = customer_equity(closing, coming, acquisition_cost=choice.acquisition_cost)
    bridge, note = None, ""
    opening, note = _opening(choice, run, horizon, costs)
    if opening is not None:
        earlier = _coming(choice, opening.customers, horizon, seed)
        both = None if coming is None or earlier is None else (earlier, coming)
        bridge = equity_bridge(opening, closing, newcomers=both, acquisition_cost=choice.acquisition_cost)
    return _written(choice, run, costs, found, coming, bridge, note)


def _written(
    choice: Valuing,
    run: "Finished",
    costs: "Costs | None",
    found: "xr.Dataset",
    coming: "xr.Dataset | None",
    bridge: "xr.Dataset | None",
    note: str,
) -> list[str]:
    from bayes_clv.predictions.own_costs import margin_of
    from bayes_clv.views.fonts import figures_in
    from bayes_clv.views.frames import table
    from bayes_clv.views.plots.equity import plot_bridge, plot_equity, plot_newcomers
    from bayes_clv.views.reporting.equity import bridge_sentences, equity_sentences, write_equity_page
    from bayes_clv.views.reporting.gallery import Gallery
    from bayes_clv.workflows.folders import write_table

    out = Path(choice.out)
    page = out.with_suffix(".html")
    further = {"tops": table(found, by="top")}
    if coming is not None:
        further["cohorts"] = table(found, by="cohort")
    if bridge is not None:
        further["bridge"] = table(bridge)
    with figures_in(choice.language):
        figures = {"worth": plot_equity(found)}
        if coming is not None:
            figures["newcomers"] = plot_newcomers(coming)
        if bridge is not None:
            figures["bridge"] = plot_bridge(bridge)
    places = {name: out.with_stem(f"{out.stem}-{name}") for name in further}
    with all_or_nothing(out) as work:
        write_table(table(found), work / out.name)
        for name, frame in further.items():
            write_table(frame, work / places[name].name)
        # Settings are shown as they were typed.
        shown = _shown(choice, run, costs, found)
        with speaking(choice.language):
            write_equity_page(
                work / page.name,
                Gallery(None),
                found=found,
                coming=coming,
                bridge=bridge,
                note=note,
                checks=run.failed,
                run=shown,
            )
        notes = save_figures({f"{out.stem}-{end}": figure for end, figure in figures.items()}, work)
    value = earned(margin_of(costs, run.margin), run.annual_discount_rate, costs)
    lines = [f"  {each}" for each in equity_sentences(found)]
    if bridge is not None:
        lines += ["", *(f"  {each}" for each in bridge_sentences(bridge))]
    return [
        f"{found.attrs['customers']:,} customers of {Path(choice.run).name}; {value}.",
        "",
        *lines,
        *([f"  {note}"] if note else []),
        "",
        *check_lines(run.failed, where=" in the run"),
        "",
        f"Page: {page}",
        f"Equity: {out}",
        *(f"{name.capitalize()}: {place}" for name, place in places.items()),
        f"Figures: {', '.join(str(out.with_name(f'{out.stem}-{end}.png')) for end in figures)}",
        *notes,
    ]


def _with_money(folder: Path) -> "Finished":
    run = read_run(folder)
    if run.spending is None:
        raise InputError(
            f"The run in {str(folder)!r} is of purchases alone, and 'bayes-clv equity' is of money. Run again with "
            "amounts."
        )
    return run


def _costs(choice: Valuing) -> "Costs | None":
    """Return what the file of costs states, the run's own where none is named."""
    if choice.costs is None and choice.columns is not None:
        raise InputError(f"The table of {argument('columns')} serves nothing without {argument('costs')}.")
    return costs_of(choice.costs)[0]


def _simulated(
    choice: Valuing,
    fits: "Finished",
    terms: "Finished",
    customers: "xr.Dataset",
    horizon: float,
    costs: "Costs | None",
) -> "Simulation":
    """Return the futures of these customers by the fits of one run, valued on the terms of the other."""
    from bayes_clv.predictions.own_costs import MARGIN
    from bayes_clv.predictions.simulation import simulate

    if choice.columns is not None:
        from bayes_clv.customers.columns import with_columns
        from bayes_clv.workflows.described import read_described

        customers = with_columns(customers, read_described(choice.columns, choice.customer_id))
    own_margin = costs is not None and MARGIN in costs.terms
    return simulate(
        fits.buying,
        customers,
        horizon,
        spending=fits.spending,
        margin=1.0 if own_margin else terms.margin,
        costs=costs,
        annual_discount_rate=terms.annual_discount_rate,
        draws=choice.draws,
        seed=terms.seed if choice.seed is None else choice.seed,
    )


def _coming(choice: Valuing, customers: "xr.Dataset", horizon: float, seed: int) -> "xr.Dataset | None":
    """Return who is still to come, where that is asked."""
    if not choice.newcomers:
        return None
    from bayes_clv.valuation.newcomers import predict_newcomers

    return predict_newcomers(
        customers,
        horizon,
        period=choice.period,
        since=choice.since,
        draws=choice.draws,
        seed=seed,
    )


def _opening(
    choice: Valuing, run: "Finished", horizon: float, costs: "Costs | None"
) -> "tuple[Simulation | None, str]":
    """Return the base on an earlier day, where one is named, and whose posterior says what it was worth."""
    if choice.before is None and choice.orders is None:
        return None, ""
    if choice.before is not None and choice.orders is not None:
        raise InputError(f"Name the earlier day once: {argument('before')}, or {argument('opened')}.")
    calendar = any("calendar" in tree.attrs for tree in (run.buying, run.spending) if tree is not None)
    if choice.before is not None:
        earlier = _with_money(choice.before)
        customers, day = earlier.customers, str(earlier.customers.attrs["until"])
        fits = earlier if calendar else run
    else:
        if calendar:
            raise InputError(
                "The run has a calendar, which is known to its end and not on another day. Make a run to the earlier "
                f"day, and name it with {argument('before')}."
            )
        if "over_time" in run.buying.attrs:
            raise InputError(
                "The run has columns over time, which are not in the orders. Make a run to the earlier day, and name "
                f"it with {argument('before')}."
            )
        from bayes_clv.workflows.scoring import read_as_told, told_by

        told = told_by(run, Path(choice.run), choice.orders)
        customers, day, fits = read_as_told(told, run, until=choice.opened), str(choice.opened), run
    if day >= str(run.customers.attrs["until"]):
        raise InputError(
            f"The earlier day, {day}, is not before the run's end, {run.customers.attrs['until']}."
        )
    note = say(
        "What the base was worth on {day} is said by the later posterior, of what was known of each customer then: the "
        "steps are of customers, not of another fit.",
        day=day,
    )
    if fits is not run:
        note = say(
            "What the base was worth on {day} is said by the run to that day, since a calendar ends with its run: the "
            "steps also hold what the later fit has learned of the population and of the calendar.",
            day=day,
        )
    return _simulated(choice, fits, run, customers, horizon, costs), note


def _shown(choice: Valuing, run: "Finished", costs: "Costs | None", found: "xr.Dataset") -> dict[str, Any]:
    from importlib.metadata import version

    from bayes_clv.views import numbers

    assert run.spending is not None
    return {
        "run": Path(choice.run).name,
        **({"before": Path(choice.before).name} if choice.before is not None else {}),
        "horizon": numbers.horizon(found),
        "new customers": f"counted in {choice.period}" if choice.newcomers else "none forecast",
        "acquisition cost": f"{found.attrs['acquisition_cost']:g}",
        **({"costs": costs.text} if costs is not None else {}),
        "seed": found.attrs["seed"],
        "draws": found.attrs["draws"],
        "bayes_clv": version("bayes_clv"),
        "purchases by": run.buying.attrs["family"],
        "spend by": run.spending.attrs["family"],
    }
