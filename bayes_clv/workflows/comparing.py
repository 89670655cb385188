"""The command ``compare``: a finished run and a file of scenarios in; tables, a page, figures and a summary out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.language import check_language, say, speaking
from bayes_clv.schema import InputError, argument
from bayes_clv.workflows.choices import Comparing
from bayes_clv.workflows.described import read_described
from bayes_clv.workflows.folders import all_or_nothing, save_figures, with_stated
from bayes_clv.workflows.words import check_lines, earned

if TYPE_CHECKING:
    import xarray as xr

    from bayes_clv.predictions.simulation import Simulation
    from bayes_clv.valuation.stated import Scenarios
    from bayes_clv.workflows.folders import Finished

TORNADO = "-tornado"


def compare_run(choice: Comparing) -> list[str]:
    """Write what each scenario is worth against the base, the page and the figures; return the summary's lines.

    Written are ``out``, one row a scenario; beside it ``-tornado`` of the same kind, one row a lever, the page
    ``.html``, and the figures ``-differences.png`` and ``-tornado.png``.

    Raises
    ------
    InputError
        For anything that cannot be used; nothing is then written.
    """
    from bayes_clv.valuation.scenario_files import read_scenarios

    check_language(choice.language)
    out = Path(choice.out)
    run, scenarios = with_stated(choice.run, out, Path(choice.scenarios), read_scenarios, command="compare")
    simulation, scenarios = _simulated(choice, run, scenarios)

    from bayes_clv.valuation.information import learned
    from bayes_clv.valuation.levers import LEVERS
    from bayes_clv.valuation.scenarios import World, summarized
    from bayes_clv.valuation.sensitivities import sought, swung
    from bayes_clv.views.fonts import figures_in
    from bayes_clv.views.frames import table
    from bayes_clv.views.plots.scenarios import plot_scenarios, plot_tornado
    from bayes_clv.views.reporting.gallery import Gallery
    from bayes_clv.views.reporting.scenarios import write_scenarios_page
    from bayes_clv.workflows.folders import write_table

    world = World.of(simulation, scenarios.base)
    found = summarized(world, [world.base, *(world.settle(each) for each in scenarios.others)])
    break_evens = [
        sought(world, each, each.break_even) for each in scenarios.others if each.break_even is not None
    ]
    learnt = [
        learned(world, each, lever)
        for each in scenarios.others
        for lever, stated in each.levers.items()
        if not (stated.certain or LEVERS[lever].certain)
    ]
    swings = swung(world, scenarios.swings)
    tornado = out.with_stem(f"{out.stem}{TORNADO}")
    page = out.with_suffix(".html")
    with all_or_nothing(out) as work:
        write_table(table(found), work / out.name)
        write_table(table(swings), work / tornado.name)
        with speaking(choice.language):
            write_scenarios_page(
                work / page.name,
                Gallery(None),
                comparison=found,
                swings=swings,
                break_evens=break_evens,
                learnt=learnt,
                checks=run.failed,
                title=_title(Path(choice.scenarios).stem),
                run=_shown(choice, run, simulation),
            )
        with figures_in(choice.language):
            figures = {"differences": plot_scenarios(found), TORNADO[1:]: plot_tornado(swings)}
        notes = save_figures({f"{out.stem}-{end}": figure for end, figure in figures.items()}, work)
    return [
        *compare_summary(
            found,
            break_evens,
            learnt,
            earned(float(found.attrs["margin"]), run.annual_discount_rate, run.costs),
        ),
        "",
        *check_lines(run.failed, where=" in the run"),
        "",
        f"Page: {page}",
        f"Scenarios: {out}",
        f"Tornado: {tornado}",
        f"Figures: {', '.join(str(out.with_name(f'{out.stem}-{end}.png')) for end in figures)}",
        *notes,
    ]


def _title(stem: str) -> str:
    return say("Scenarios") if stem == "scenarios" else say("Scenarios: {name}", name=stem.replace("_", " "))


def _simulated(choice: Comparing, run: "Finished", scenarios: "Scenarios") -> "tuple[Simulation, Scenarios]":
    """Return the simulation, as far as the longest scenario, and the scenarios with the run's horizon in their base."""
    from bayes_clv.predictions.simulation import simulate
    from bayes_clv.units import duration
    from bayes_clv.valuation.levers import HORIZON, amount
    from bayes_clv.views.numbers import plural

    unit = str(run.customers.attrs["time_unit"])
    base = scenarios.base
    if HORIZON not in base.levers:
        stated = amount(HORIZON, run.horizon, base.place)
        base = replace(
            base, levers=dict(base.levers) | {HORIZON: replace(stated, text=plural(run.horizon, unit))}
        )
    longest = 0.0
    for each in (base, *scenarios.others):
        if HORIZON in each.levers:
            given = each.levers[HORIZON]
            try:
                longest = max(longest, duration(given.value, unit))
            except InputError as error:
                raise InputError(f"{given.place}: {error.text}") from None
    customers = run.customers
    if choice.columns is not None:
        customers = _with_table(customers, choice)
    simulation = simulate(
        run.buying,
        customers,
        longest,
        **run.money,
        draws=choice.draws,
        seed=run.seed if choice.seed is None else choice.seed,
    )
    return simulation, replace(scenarios, base=base)


def _with_table(customers: "xr.Dataset", choice: Comparing) -> "xr.Dataset":
    """Return the customers with all columns of the table that are not theirs already."""
    from bayes_clv.customers.columns import with_columns

    frame = read_described(choice.columns, choice.customer_id)
    wanted = [str(name) for name in frame.columns if name != "customer_id" and name not in customers]
    if not wanted:
        raise InputError(
            f"The table of {argument('columns')} has no column that the customers lack. Leave it out."
        )
    return with_columns(customers, frame[["customer_id", *wanted]], wanted)


def _shown(choice: Comparing, run: "Finished", simulation: "Simulation") -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "run": Path(choice.run).name,
        "scenarios": Path(choice.scenarios).name,
        "seed": simulation.seed,
        "draws": simulation.size,
        "bayes_clv": version("bayes_clv"),
        "purchases by": run.buying.attrs["family"],
    }


def compare_summary(
    comparison: "xr.Dataset", break_evens: "list[xr.Dataset]", learnt: "list[xr.Dataset]", value: str
) -> list[str]:
    """Return what a person wants to know of a comparison; ``value`` says what value is, before costs of levers."""
    from bayes_clv.schema import listed
    from bayes_clv.views import numbers
    from bayes_clv.views.reporting.scenarios import (
        best_sentences,
        break_even_sentence,
        information_sentence,
        scenario_sentence,
    )

    names = comparison["scenario"].to_numpy().tolist()
    less = "; levers set or change these" if "costs" in comparison.attrs else ", less costs"
    mean, low, high = (
        numbers.money(float(comparison[f"value_{name}"][0]), comparison.attrs.get("currency"))
        for name in ("mean", "q05", "q95")
    )
    return [
        f"{comparison.attrs['customers']:,} customers over {numbers.horizon(comparison)}; {value}{less} "
        "(outcome level).",
        f"Base: worth {mean} (90 %: {low} to {high}).",
        "",
        *(f"  {scenario_sentence(comparison, name)}" for name in names[1:]),
        *(f"  {break_even_sentence(each)}" for each in break_evens),
        *(f"  {information_sentence(each)}" for each in learnt),
        "",
        *best_sentences(comparison),
        *listed(comparison.attrs, "reasons"),
    ]
