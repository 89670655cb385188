"""One run of the whole road: orders in, a folder with report, table, posteriors and figures out.

The commands ``demo`` and ``run`` are this function with different arguments; whoever wants another road
calls the stages. A folder is written whole or not at all: everything goes to a hidden folder beside it,
which takes its name when the last file is there. What was chosen and each posterior are kept there after a stop, and
the same start goes on from them (``unfinished``).
"""

import contextlib
import dataclasses
import json
import math
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_clv.language import speaking
from bayes_clv.schema import named_quantiles
from bayes_clv.workflows.beside import Beside, Task, import_slow, second_process
from bayes_clv.workflows.deciding import (
    CHAINS,
    decide_calendar,
    decide_family,
    decide_method,
    draws_of,
    pace_words,
    to_summarize,
    together_words,
    variance_words,
)
from bayes_clv.workflows.described import taken, with_own_columns
from bayes_clv.workflows.folders import COSTS_FILE, refuse_foreign_folder, take_place, write_customer_table
from bayes_clv.workflows.over_time import changing_words, refuse_unplanned, with_changes
from bayes_clv.workflows.settings import (
    DEFAULT_HORIZON,
    Settings,
    acting_on,
    check_settings,
    columns_of,
    costs_of,
    families_of,
    fields_of,
    plain,
    told_of,
)
from bayes_clv.workflows.stages import Stages
from bayes_clv.workflows.unfinished import Kept, digest, unfinished_beside

if TYPE_CHECKING:
    import xarray as xr

    from bayes_clv.views.reporting.gallery import Drawn


_TIMES = ["purchase_times", "purchase_start"]

# Above, a second process would need as much memory again, and the chains of a fit use every processor.
HANDED_CUSTOMERS = 100_000


# Customers and repeat purchases of which the page says who grows and who fades.
MOST_CHANGES = 50_000


# Of the settings, what the customers hold already, or what decides no posterior.
_NOT_DECIDING = ("orders", "columns", "over_time", "costs", "out", "title", "png", "language")


PACKAGES = ("bayes_clv", "pymc", "nutpie", "arviz", "numba", "numpy", "xarray", "ibis-framework", "duckdb")


def run(
    settings: Settings,
    *,
    tell: Callable[[str, float | None], None] = lambda _name, _seconds: None,
    sampler_progress: bool = False,
) -> dict[str, Any]:
    """Run the road from orders to report and return what ``run.json`` holds.

    Parameters
    ----------
    settings
        What to run.
    tell
        Called with each stage's name as it starts (seconds None) and as it ends.
    sampler_progress
        Show the sampler's progress bar.

    Returns
    -------
    dict
        Arguments, versions, seeds, stage timings (seconds), audit, the choice of the family, diagnostics,
        holdout scores, weeks and months inside the tracking's band, failed checks (as the report's cards: title, found,
        meaning, remedies, codes) and totals
        with intervals, the content of ``run.json`` in the folder.

    Raises
    ------
    InputError
        For anything that cannot be used; the folder is then as it was before.

    Examples
    --------
    >>> told = {"until": "1997-09-30", "family": "mbg_nbd", "drift": False, "returns": False}
    >>> settings = Settings(orders, out=Path("results"), **told, method="laplace", draws=50)
    >>> record = run(settings)
    >>> record["customers"]
    2357
    """
    # Resolved, so that a link stays and what it points to is replaced.
    out = Path(settings.out).resolve()
    refuse_foreign_folder(out, shown=str(settings.out))
    settings = _of_their_family(settings)
    check_settings(settings)
    started = time.perf_counter()
    with unfinished_beside(out, shown=str(settings.out)) as kept, second_process() as beside:
        try:
            record = _run_into(kept.folder, settings, Stages(tell), sampler_progress, started, beside, kept)
        except KeyboardInterrupt:
            if not (kept.any and kept.begun):
                raise
            raise KeyboardInterrupt(
                f"Stopped; what was finished is kept in {kept.hidden}: the same command goes on from there."
            ) from None
        kept.folder.chmod(0o755)
        take_place(kept.folder, out)
    return record


def _run_into(
    work: Path,
    settings: Settings,
    stages: Stages,
    sampler_progress: bool,
    started: float,
    beside: Beside,
    kept: Kept,
) -> dict[str, Any]:
    seeds = {name: settings.seed + i for i, name in enumerate(("buying", "spending", "future", "tracking"))}
    with stages.stage("read orders, one row per customer"):
        from bayes_clv.customers.summaries import summarize
        from bayes_clv.units import checked_cost

        customers = summarize(
            settings.orders,
            until=settings.until,
            holdout_until=settings.holdout_until,
            time_unit=settings.time_unit,
            **told_of(settings),
            take=taken(settings),
            currency=settings.currency,
            also=to_summarize(settings),
            holdout_discount_rate=_holdout_discount_rate(settings),
        )
        horizon = settings.horizon
        if horizon is None:
            horizon = customers.attrs.get("holdout_duration", DEFAULT_HORIZON)
        checked_cost(settings.acquisition_cost, customers)
        customers = with_own_columns(settings, customers)
        customers, strangers = with_changes(settings, customers)
        refuse_unplanned(customers, horizon)
        history = _example_histories(settings, customers)
    kept.begin(_key(settings, customers))
    settings, choice, paced = _decided(settings, customers, stages, kept)
    settings = dataclasses.replace(settings, draws=draws_of(settings, customers.sizes["customer"]))
    fits = _posteriors(settings, customers, seeds, stages, sampler_progress, beside, kept)
    buying, spending = fits["buying"], fits.get("spending")
    ahead = _drawn_ahead(fits, settings.png, settings.language, beside)
    with stages.stage("simulate every customer's future"):
        value, held_out, tracking = _futures(settings, customers, buying, spending, horizon, seeds)
    with stages.stage("score the holdout"):
        evaluation = None
        if held_out is not None:
            from bayes_clv.scoring import evaluate

            evaluation = evaluate(held_out, customers, buying=buying, tracking=tracking)
    with stages.stage("write the table of customers"):
        from bayes_clv.inference.posterior import write_customers
        from bayes_clv.views.frames import table

        write_customer_table(table(value), work)
        # For the commands that go on from a run: what its table leaves out, such as dates and covariates.
        write_customers(customers, work / "customers.nc")
        if settings.costs is not None:
            # For them too: what the values of this run are less.
            shutil.copyfile(settings.costs, work / COSTS_FILE)
    record = _record(settings, choice, customers, buying, spending, value, evaluation, tracking, seeds)
    changing = changing_words(customers, strangers)
    notes = [] if paced is None else [pace_words(paced)]
    together = together_words(settings)
    notes += [together] if together is not None else []
    if settings.calendar:
        from bayes_clv.predictions.splitting import variance_of_total

        record["variance"] = variance_of_total(buying, customers, value)
        notes.append(variance_words(record["variance"]))
    record |= {"pace": paced, "calendar": [*notes, *record["calendar"]]}
    record["over_time"] = [*changing, *record["over_time"]]
    with stages.stage("draw figures and report"):
        from bayes_clv.views.reporting.gallery import Gallery
        from bayes_clv.views.reporting.page import write_page

        shown = {"arguments": json.dumps(record["arguments"], ensure_ascii=False)}
        shown |= {f"seconds: {name}": f"{seconds:.1f}" for name, seconds in stages.seconds.items()}
        with speaking(settings.language):
            write_page(
                work / "report.html",
                Gallery(work / "figures", settings.png, ahead, beside if _is_handed(customers) else partial),
                buying=buying,
                spending=spending,
                customers=customers,
                value=value,
                evaluation=evaluation,
                tracking=tracking,
                history=history,
                title=settings.title,
                run=shown,
                choice=None if choice is None else str(choice["reason"]),
                remarks=[*changing, *notes],
                columns=columns_of(settings),
                changes=_changes(buying, customers, seeds["future"]),
            )
    record["stages"] = {name: round(seconds, 3) for name, seconds in stages.seconds.items()}
    record["seconds"] = round(time.perf_counter() - started, 3)
    finished: dict[str, Any] = strict(record)
    text = json.dumps(finished, indent=2, ensure_ascii=False, allow_nan=False)
    (work / "run.json").write_text(text + "\n", encoding="utf-8")
    return finished


def strict(record: Any) -> Any:
    """Return the record with None for each number that is not finite: JSON has no NaN and no infinity."""
    if isinstance(record, dict):
        return {name: strict(value) for name, value in record.items()}
    if isinstance(record, list | tuple):
        return [strict(value) for value in record]
    return None if isinstance(record, float) and not math.isfinite(record) else record


def _holdout_discount_rate(settings: Settings) -> float | None:
    """Return the rate at which what the holdout brings is discounted; None where there is nothing to discount."""
    with_value = settings.holdout_until is not None and settings.spend is not None
    return settings.annual_discount_rate if with_value and settings.annual_discount_rate != 0 else None


def _fits(
    settings: Settings, customers: "xr.Dataset", seeds: dict[str, int], sampler_progress: bool
) -> dict[str, Callable[[], "xr.DataTree"]]:
    """Return each role's fit, to be called: "buying", and where there are amounts "spending"."""
    from bayes_clv.customers.over_time import names_over_time
    from bayes_clv.families.registry import family as find_family
    from bayes_clv.inference.calendar import Calendar
    from bayes_clv.inference.fitting import fit

    given = acting_on(settings)
    changing = names_over_time(customers)
    return {
        role: partial(
            fit,
            family,
            # Few families of spend read them, and they are as many as the orders.
            customers
            if role == "buying" or set(_TIMES) & set(find_family(family).observed)
            else customers.drop_vars(_TIMES, errors="ignore"),
            method=str(settings.method),
            draws=draws_of(settings, customers.sizes["customer"]),
            chains=CHAINS,
            seed=seeds[role],
            # Two bars at a time would write over each other; this one is that of the longer fit.
            progress=sampler_progress and role == "buying",
            include=("prior", *(() if changing and role == "buying" else ("posterior_predictive",))),
            calendar=Calendar(by=settings.calendar_by) if settings.calendar and role == "buying" else None,
            over_time=changing if changing and role == "buying" else None,
            **given[role],
        )
        for role, family in families_of(settings).items()
    }


def _key(settings: Settings, customers: "xr.Dataset") -> str:
    """Return what tells a start whose posteriors another may go on from: all that decides them, and who decided."""
    told = {name: setting for name, setting in fields_of(settings).items() if name not in _NOT_DECIDING}
    return digest(customers, told, {name: version(name) for name in PACKAGES})


def _decided(
    settings: Settings, customers: "xr.Dataset", stages: Stages, kept: Kept
) -> tuple[Settings, dict[str, Any] | None, dict[str, Any] | None]:
    """Return the settings with all decided, the choice of the family, and what decided the calendar."""
    from bayes_clv.families.registry import EXTENSIONS

    known = kept.noted("decided")
    if known is not None:
        return dataclasses.replace(settings, **known["settings"]), known["choice"], known["paced"]
    settings, choice = decide_family(settings, customers, stages)
    settings, paced = decide_calendar(settings, choice, customers, stages)
    settings = decide_method(settings)
    if choice is not None or paced is not None:
        names = ("family", *EXTENSIONS, "calendar", "method")
        decided = {name: getattr(settings, name) for name in names}
        kept.note("decided", {"settings": decided, "choice": choice, "paced": paced})
    return settings, choice, paced


def _posteriors(
    settings: Settings,
    customers: "xr.Dataset",
    seeds: dict[str, int],
    stages: Stages,
    sampler_progress: bool,
    beside: Beside,
    kept: Kept,
) -> dict[str, "xr.DataTree"]:
    """Return the posterior of each role; what the simulation needs is compiled by then, or will be as it runs.

    Each is written as it is there, and read where an earlier start has written it.
    """
    from bayes_clv.inference.posterior import load, save
    from bayes_clv.workflows.compiling import compile_missing

    families = families_of(settings)
    found = {}
    if settings.posteriors is not None:
        with stages.stage("read the posteriors"):
            for role in families:
                found[role] = load(settings.posteriors / f"{role}.nc")
                save(found[role], kept.folder / f"{role}.nc")
        return found
    there = [role for role in families if kept.has(f"{role}.nc")]
    if there:
        with stages.stage("read the posteriors of an earlier start"):
            found = {role: load(kept.folder / f"{role}.nc") for role in there}
    fits = _fits(settings, customers, seeds, sampler_progress)
    missing = [role for role in families if role not in found]
    # The second process has imported by now what a fit needs, and the fit of purchases is the longest.
    handed = ("buying",) if _is_handed(customers) else ()
    begun = {role: beside(fits[role]) for role in handed if role in missing}
    compiled = beside(compile_missing, *families.values())
    for role in sorted(missing, key=lambda role: role in begun):
        with stages.stage(f"fit {families[role]} ({settings.method})"):
            if role in begun:
                _ready_for_the_future(compiled)
                found[role] = begun[role]()
            else:
                found[role] = fits[role]()
            save(found[role], kept.folder / f"{role}.nc")
            kept.keep(f"{role}.nc")
    compiled.wait()
    return {role: found[role] for role in families}


def _is_handed(customers: "xr.Dataset") -> bool:
    """Return whether the second process gets tables with a row a customer."""
    return customers.sizes["customer"] <= HANDED_CUSTOMERS


def _ready_for_the_future(compiled: Task[None]) -> None:
    """Import and compile what comes after the fits, while one of them is being made beside."""
    import_slow()
    # What cannot be compiled fails in the simulation too, where its error says more.
    with contextlib.suppress(Exception):
        compiled()


def _drawn_ahead(
    fits: Mapping[str, "xr.DataTree"], png: bool, language: str, beside: Beside
) -> dict[str, Task["Drawn"]]:
    """Return the figures of the fits by name, which are drawn while the run goes on to the future."""
    from bayes_clv.views.reporting.fits import fit_figures
    from bayes_clv.views.reporting.gallery import drawn
    from bayes_clv.views.reporting.page import named_fits

    found = {}
    for what, tree in named_fits(fits["buying"], fits.get("spending")):
        for name, draw in fit_figures(what, tree).items():
            found[name] = beside(drawn, draw, png=png, narrow=True, language=language)
    return found


def _futures(
    settings: Settings,
    customers: "xr.Dataset",
    buying: "xr.DataTree",
    spending: "xr.DataTree | None",
    horizon: str | float,
    seeds: dict[str, int],
) -> tuple["xr.Dataset", "xr.Dataset | None", "xr.Dataset | None"]:
    """Return the value, the future over the holdout where there is one, and the tracking, none by columns over time."""
    from bayes_clv.predictions.forecasts import predict
    from bayes_clv.scoring.tracking import simulate_tracking
    from bayes_clv.units import duration

    money: dict[str, Any] = (
        {}
        if spending is None
        else {
            "spending": spending,
            "margin": settings.margin,
            "annual_discount_rate": settings.annual_discount_rate,
            "acquisition_cost": settings.acquisition_cost,
            "costs": costs_of(settings.costs)[0],
        }
    )

    def forecast(over: str | float) -> "xr.Dataset":
        return predict(buying, customers, over, seed=seeds["future"], **money)

    value = forecast(horizon)
    length = customers.attrs.get("holdout_duration")
    held_out = None
    if length is not None:
        same = math.isclose(duration(horizon, customers.attrs["time_unit"]), length, rel_tol=1e-9)
        held_out = value if same else forecast(length)
    replayed = "over_time" not in buying.attrs
    tracking = simulate_tracking(buying, customers, seed=seeds["tracking"]) if replayed else None
    return value, held_out, tracking


def _changes(buying: "xr.DataTree", customers: "xr.Dataset", seed: int) -> "xr.Dataset | None":
    """Return who grows and who fades where rates drift; None of a base that it would take minutes of."""
    from bayes_clv.families.contract import Forecast, need
    from bayes_clv.families.registry import family
    from bayes_clv.predictions.changing import changes
    from bayes_clv.schema import UNSTATED

    forecast = need(family(str(buying.attrs["family"])), Forecast)
    few = customers.sizes["customer"] + int(customers["frequency"].sum()) <= MOST_CHANGES
    known = customers.attrs.get("time_unit", UNSTATED) != UNSTATED
    told = forecast.rate_ago is not None and "calendar" not in buying.attrs
    return changes(buying, customers, seed=seed) if told and few and known else None


def _example_histories(settings: Settings, customers: "xr.Dataset") -> dict[str, np.ndarray]:
    """Return the purchase dates, to ``until``, of the customer with the most repeat occasions."""
    from bayes_clv.customers.summaries import purchase_dates

    busiest = str(customers["customer"].to_numpy()[np.argmax(customers["frequency"].to_numpy())])
    days = purchase_dates(settings.orders, busiest, **told_of(settings))
    return {busiest: days[days <= np.datetime64(customers.attrs["until"])]}


def _record(
    settings: Settings,
    choice: dict[str, Any] | None,
    customers: "xr.Dataset",
    buying: "xr.DataTree",
    spending: "xr.DataTree | None",
    value: "xr.Dataset",
    evaluation: "xr.Dataset | None",
    tracking: "xr.Dataset | None",
    seeds: dict[str, int],
) -> dict[str, Any]:
    from bayes_clv.inference.posterior import diagnostics
    from bayes_clv.scoring import record
    from bayes_clv.scoring.spending import spend_check
    from bayes_clv.views.reporting.checks import cards_of, failures
    from bayes_clv.views.reporting.fits import calendar_words, habits, over_time_words
    from bayes_clv.views.reporting.verdicts import periods_inside, spend_words

    spend = spend_check(customers, value)
    moves = None if spending is None else habits(spending, customers)
    arguments = {name: plain(setting) for name, setting in fields_of(settings).items()}
    arguments["horizon"] = f"{value.attrs['horizon']:g} {value.attrs['time_unit']}s"
    totals = {
        name: _interval(np.asarray(value[f"{name}_total"]).ravel())
        for name in ("purchases", "spend", "value")
        if f"{name}_total" in value
    }
    if "historical_value" in value:
        totals["historical_value"] = {"sum": float(value["historical_value"].sum())}
    return {
        "arguments": arguments,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "seeds": seeds,
        "customers": customers.sizes["customer"],
        "audit": json.loads(customers.attrs["audit"]),
        "choice": choice,
        "diagnostics": {
            name: {
                "family": tree.attrs["family"],
                "method": tree.attrs["method"],
                **_plain(diagnostics(tree)),
            }
            for name, tree in (("buying", buying), ("spending", spending))
            if tree is not None
        },
        "holdout": None if evaluation is None else record(evaluation),
        "tracking": [] if tracking is None else periods_inside(tracking),
        "habits": habits(buying, customers),
        "over_time": over_time_words(buying),
        "calendar": calendar_words(buying),
        "spend": spend | {"words": [*([moves] if moves else []), *spend_words(spend)]},
        "checks": [
            asdict(card)
            for card in cards_of(
                failures(buying, spending, customers, value, evaluation, tracking),
                *(buying, customers, evaluation),
                columns=columns_of(settings),
            )
        ],
        "costs": value.attrs.get("costs"),
        "totals": totals,
    }


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    return found | {"problems": [each.record() for each in found["problems"]]}


def _interval(total: np.ndarray) -> dict[str, Any]:
    return {
        "level": "outcome",
        "mean": float(total.mean()),
        "sd": float(total.std(ddof=1)) if total.size > 1 else None,
        **{name: float(quantile) for name, quantile in named_quantiles(total).items()},
    }


def _of_their_family(settings: Settings) -> Settings:
    """Return the settings with the family of the posteriors that are used in place of a fit, where there are any."""
    path = None if settings.posteriors is None else settings.posteriors / "buying.nc"
    if path is None or not path.is_file():
        return settings
    from bayes_clv.families.registry import CANDIDATES, EXTENSIONS, derived, families
    from bayes_clv.inference.posterior import load

    family = str(load(path).attrs["family"])
    if family not in [*families("purchases"), *derived()]:
        # Who reads the posterior refuses one of another kind, and says which file it is.
        family = CANDIDATES[0]
    said: dict[str, Any] = {"family": family} | dict.fromkeys(EXTENSIONS, False)
    paid = path.with_name("spending.nc")
    if settings.spend is not None and paid.is_file():
        named = str(load(paid).attrs["family"])
        of_spend = named if named in [*families("spend"), *derived("spend")] else None
        said |= {"spend_family": of_spend, "trend": False, "spend_drift": False}
    return dataclasses.replace(settings, **said)
