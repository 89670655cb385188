"""The command ``score``: orders, old and new, forecast with a finished run's posterior, and the run held to its word.

Nothing is fitted. What came since the last day of the fit is its holdout: forecast from what was known on that day, and
scored as a run scores one. A run **kept its word** where each total (purchases, customers who bought, spend) lies in
the middle 99 % of the forecast's draws, and customers' intervals, tenths and frequent buyers pass as on the page.

Rejected: the page's 90 % for totals here too. Of 80 bases that were as their model says 18 failed a check of the page,
most of them a total (``bayes_clv.problems``), and a check that is made each month would ask for a fit for nothing;
the lines say where a total is outside its 90 %.
"""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_clv.problems import HOLDOUT_LEVEL
from bayes_clv.schema import CUSTOMER, InputError, argument, named_quantiles
from bayes_clv.workflows.choices import Scoring
from bayes_clv.workflows.described import taken, with_own_columns
from bayes_clv.workflows.folders import COSTS_FILE, Finished, check_out
from bayes_clv.workflows.over_time import with_changes
from bayes_clv.workflows.parts import PART, forecast_in_parts
from bayes_clv.workflows.settings import Log, Settings, columns_of, fields_of, plain, told_of
from bayes_clv.workflows.stages import Stages
from bayes_clv.workflows.unfinished import digest, unfinished_beside
from bayes_clv.workflows.words import holdout_lines, total_lines, worth_of

if TYPE_CHECKING:
    import xarray as xr

    from bayes_clv.schema import Problem

# What a run was told of its orders, beside the log's own fields.
_TOLD = ("take", "currency", "time_unit", "over_time_plan", "over_time_before")
# Under which a start notes whether the run has kept its word.
WORD = "word"
_TOTALS = {
    "holdout_total": "total",
    "holdout_retention": "retention_total",
    "holdout_spend_total": "spend_total",
    "holdout_value_total": "value_total",
}


def score_run(
    settings: Scoring,
    *,
    tell: Callable[[str, float | None], None] = lambda _name, _seconds: None,
    part: int = PART,
) -> dict[str, Any]:
    """Write every customer's forecast and return what the .json beside the table holds.

    Parameters
    ----------
    settings
        The run, the orders, and where the table goes.
    tell
        Called with each stage's name as it starts (seconds None) and as it ends.
    part
        Customers that are forecast at a time; it changes memory alone, not numbers.

    Returns
    -------
    dict
        ``until`` and ``run_until``; ``customers``, ``new_customers`` since the run; ``lost`` and ``changed``, customers
        of the run who are not in the orders, or have another history to its end; ``holdout`` (as in ``run.json``),
        ``checks`` that failed and ``within``, None where no day has passed; ``refit`` and ``reason``, a sentence;
        ``totals`` with intervals, None where nothing could be forecast; ``audit``; ``seconds``.

    Raises
    ------
    InputError
        For anything that cannot be used; nothing is then written.

    Examples
    --------
    >>> score_run(Scoring("no such run", "log.parquet"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bayes_clv.schema.InputError: There is no folder 'no such run'. Name the folder of a finished run, ...
    """
    from bayes_clv.workflows.folders import read_record, read_run
    from bayes_clv.workflows.running import strict

    read_record(Path(settings.run))
    out = Path(settings.out)
    check_out(out, settings.run)
    run = read_run(settings.run)
    started, stages = time.perf_counter(), Stages(tell)
    told = told_by(run, settings.run, settings.orders, settings.columns, settings.over_time)
    with unfinished_beside(out.resolve(), shown=str(settings.out)) as kept:
        with stages.stage("read orders, one row per customer"):
            customers = read_as_told(told, run, until=settings.until)
            until, before = str(customers.attrs["until"]), str(run.customers.attrs["until"])
            if until < before:
                raise InputError(
                    f"The orders are known until {until}, and the run's until {before}: there is nothing new in them. "
                    f"Give all orders to a later day, or a later {argument('until')}."
                )
            _refuse_strangers(run, customers, before)
            then = None if until == before else read_as_told(told, run, until=before, holdout_until=until)
        horizon = run.horizon if settings.horizon is None else settings.horizon
        versions = {"python": platform.python_version(), "bayes_clv": version("bayes_clv")}
        kept.begin(
            digest(
                *(each for each in (customers, then, run.customers) if each is not None),
                [str(horizon), _seed(run, settings), part, run.earned()],
                run.record["arguments"].get("acquisition_cost", 0.0),
                versions,
                *sorted(Path(settings.run).glob("*ing.nc")),
            )
        )
        # An earlier start may have held the run to its word already.
        word = kept.noted(WORD)
        if word is None:
            word = strict(_kept_word(told, run, settings, then, stages))
            kept.note(WORD, word)
        del then
        record: dict[str, Any] = {
            "arguments": {name: plain(value) for name, value in fields_of(settings).items()},
            "versions": versions,
            "until": until,
            "run_until": before,
            "time_unit": customers.attrs["time_unit"],
            "currency": customers.attrs.get("currency"),
            "margin": run.margin,
            "costs": None if run.costs is None else run.costs.text,
            "customers": customers.sizes[CUSTOMER],
            **word,
        }
        record["new_customers"] = record["customers"] - record.pop("customers_then", record["customers"])
        record |= _verdict(record, run)
        record |= {"horizon": None, "totals": None, "audit": json.loads(customers.attrs["audit"])}
        files: list[Path] = []
        if record["forecast"]:
            made, totals = forecast_in_parts(
                lambda some: _forecast(run, some, horizon, _seed(run, settings), money=True),
                customers,
                kept,
                out.name,
                size=part,
                told=stages.stage,
            )
            files = [made]
            record["totals"] = {name.removesuffix("_total"): _interval(each) for name, each in totals.items()}
            record["horizon"] = _length(horizon, customers)
        record["seconds"] = round(time.perf_counter() - started, 3)
        finished: dict[str, Any] = strict(record)
        beside = kept.folder / out.with_suffix(".json").name
        text = json.dumps(finished, indent=2, ensure_ascii=False, allow_nan=False)
        beside.write_text(text + "\n", encoding="utf-8")
        for file in (beside, *files):
            file.replace(out.resolve().with_name(file.name))
    return finished


def told_by(run: Finished, folder: Path, orders: Any, columns: Any = None, over_time: Any = None) -> Settings:
    """Return what the run in a folder was told of its orders, of these orders."""
    arguments = run.record["arguments"]
    known = {each.name for each in fields(Log)} - {"orders"} | set(_TOLD)
    options = {name: arguments[name] for name in known if name in arguments}
    costs = None if run.costs is None else Path(folder) / COSTS_FILE
    return Settings(
        orders, columns=columns, over_time=over_time, posteriors=Path(folder), costs=costs, **options
    )


def read_as_told(told: Settings, run: Finished, **days: Any) -> "xr.Dataset":
    """Return the customers of the orders, with all that the run's posteriors read."""
    from bayes_clv.customers.summaries import summarize
    from bayes_clv.families.registry import family
    from bayes_clv.schema import also_for

    trees = [tree for tree in (run.buying, run.spending) if tree is not None]
    read = [name for tree in trees for name in family(str(tree.attrs["family"])).observed]
    rate = run.annual_discount_rate
    discounted = days.get("holdout_until") is not None and run.spending is not None and rate != 0
    customers = summarize(
        told.orders,
        time_unit=told.time_unit,
        **told_of(told),
        take=taken(told),
        currency=told.currency,
        also=also_for(read),
        holdout_discount_rate=rate if discounted else None,
        **days,
    )
    return with_changes(told, with_own_columns(told, customers))[0]


def _refuse_strangers(run: Finished, customers: "xr.Dataset", before: str) -> None:
    """Refuse orders that lack what the run knew."""
    first = str(customers["first_order"].to_numpy().min().astype("datetime64[D]"))
    shared = np.isin(run.customers[CUSTOMER].to_numpy(), customers[CUSTOMER].to_numpy()).any()
    if first > before or not shared:
        why = (
            f"begin on {first}, after the run's last day, {before}"
            if first > before
            else "have none of its customers"
        )
        raise InputError(
            f"These orders {why}. A forecast needs each customer's whole history: give the log with the old orders and "
            "the new ones, with the ids of the run."
        )


def _forecast(
    run: Finished, customers: "xr.Dataset", horizon: str | float, seed: int, *, money: bool
) -> "xr.Dataset":
    from bayes_clv.predictions.forecasts import predict

    given = run.money
    if money and given:
        given["acquisition_cost"] = run.record["arguments"].get("acquisition_cost", 0.0)
    return predict(run.buying, customers, horizon, seed=seed, **given)


def _seed(run: Finished, settings: Scoring) -> int:
    """Return the seed of the futures, a run's own third one."""
    return int(run.record["seeds"]["future"]) if settings.seed is None else settings.seed


def _kept_word(
    told: Settings, run: Finished, settings: Scoring, then: "xr.Dataset | None", stages: Stages
) -> dict[str, Any]:
    """Return what came since the run's end beside what it promised; nothing where no day has passed.

    ``then`` are the customers at that end, with what came as their holdout.
    """
    if then is None:
        return {"holdout": None, "checks": [], "within": None, "lost": 0, "changed": 0}
    from bayes_clv.scoring import evaluate
    from bayes_clv.scoring import record as record_of
    from bayes_clv.views.reporting.checks import cards_of, score_problems

    with stages.stage("forecast what came, from the run's end"):
        future = _forecast(run, then, then.attrs["holdout_duration"], _seed(run, settings), money=False)
    with stages.stage("score the forecast"):
        evaluation = evaluate(future, then, buying=run.buying)
    score = record_of(evaluation)
    failed = broken(score_problems(evaluation), next(iter(score["measures"].values())))
    return {
        "holdout": score,
        "checks": [
            asdict(card) for card in cards_of(failed, run.buying, then, evaluation, columns=columns_of(told))
        ],
        "within": not failed,
        "customers_then": then.sizes[CUSTOMER],
        **_histories(run.customers, then),
    }


def broken(problems: "list[Problem]", model: dict[str, Any]) -> "list[Problem]":
    """Return the problems of a holdout that are none of chance: totals in the middle 99 % of the draws are no miss."""
    tail = (1 - HOLDOUT_LEVEL) / 2
    return [
        each
        for each in problems
        if each.code not in _TOTALS or not tail <= model[f"{_TOTALS[each.code]}_rank"] <= 1 - tail
    ]


def _histories(run: "xr.Dataset", then: "xr.Dataset") -> dict[str, int]:
    """Return how many customers of the run are not there any more, or have another history to its end."""
    there = np.isin(run[CUSTOMER].to_numpy(), then[CUSTOMER].to_numpy())
    shared = run.isel({CUSTOMER: there})
    other = then.sel({CUSTOMER: shared[CUSTOMER].to_numpy()})
    same = np.ones(shared.sizes[CUSTOMER], dtype=bool)
    for name in ("frequency", "recency", "T"):
        same &= np.isclose(shared[name].to_numpy(), other[name].to_numpy(), rtol=1e-9, atol=1e-9)
    return {"lost": int((~there).sum()), "changed": int((~same).sum())}


def _verdict(record: dict[str, Any], run: Finished) -> dict[str, Any]:
    """Return whether to forecast, whether to fit again, and why, in a sentence."""
    before, until = record["run_until"], record["until"]
    again = f"Fit again, on the orders to {until}."
    if record["within"] is None:
        return {
            "forecast": True,
            "refit": False,
            "reason": f"No day has passed since the run's last day, {before}: there is nothing to hold it to.",
        }
    titles = "; ".join(card["title"] for card in record["checks"])
    if not record["within"]:
        reason = f"What came from {before} to {until} is NOT what the run promised: {titles}. {again}"
    else:
        reason = (
            f"What came from {before} to {until} is within what the run promised; it need not be made again."
        )
    moves = [tree for tree in (run.buying, run.spending) if tree is not None and "calendar" in tree.attrs]
    if moves:
        reason += (
            f" The run has a calendar, which it knows to {before}: nothing is forecast from a later day without "
            f"a fit to it."
        )
        if record["within"]:
            reason = reason.replace("; it need not be made again.", ".") + f" {again}"
    return {"forecast": not moves, "refit": bool(moves) or not record["within"], "reason": reason}


def _interval(total: np.ndarray) -> dict[str, Any]:
    return {
        "level": "outcome",
        "mean": float(total.mean()),
        **{name: float(quantile) for name, quantile in named_quantiles(total).items()},
    }


def _length(horizon: str | float, customers: "xr.Dataset") -> str:
    from bayes_clv.units import duration

    unit = str(customers.attrs["time_unit"])
    return f"{duration(horizon, unit):g} {unit}s"


def score_summary(record: dict[str, Any], out: Path) -> list[str]:
    """Return what a person wants to know of the forecast and of the run behind it; the last sentence is the verdict."""
    from bayes_clv.views.numbers import written

    new = (
        f", {record['new_customers']:,} of them new since {record['run_until']}"
        if record["within"] is not None
        else ""
    )
    lines = [f"{record['customers']:,} customers until {record['until']}{new}."]
    if record["totals"] is not None:
        worth = worth_of(record["margin"], record["costs"])
        lines.append(f"Forecast over {written(record['horizon'])} (outcome level):")
        lines += [f"  {line}" for line in total_lines(record["totals"], worth, record["currency"])]
    if record["holdout"] is not None:
        lines += ["", *holdout_lines(record["holdout"], f"What came since {record['run_until']}, in")]
    odd = [f"{record[name]:,} {words}" for name, words in _ODD.items() if record[name]]
    if odd:
        lines.append(
            f"  Of the run's customers {' and '.join(odd)}: deleted customers, returns that came late, or other "
            "options?"
        )
    lines += ["", record["reason"], ""]
    if record["totals"] is not None:
        lines.append(f"Customers: {out} ({record['customers']:,} rows)")
    return [*lines, f"Record: {out.with_suffix('.json')} (in {record['seconds']:.0f} s)"]


_ODD = {"lost": "are not in these orders", "changed": "have another history to the run's end"}
