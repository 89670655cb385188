"""The command ``runs``: finished runs beside each other, their totals, their misses, and whether they rank alike.

Each run has a posterior of its own, so that nothing is paired here: two intervals beside each other say what choosing
another family, margin or horizon changes, and not how probably one is better. Scenarios on one posterior are paired
(``comparing``).
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_clv.schema import InputError
from bayes_clv.workflows.choices import Juxtaposing
from bayes_clv.workflows.folders import (
    all_or_nothing,
    check_out,
    read_record,
    read_run,
    save_figures,
    write_table,
)
from bayes_clv.workflows.options import Option, options_of
from bayes_clv.workflows.settings import Settings, plain
from bayes_clv.workflows.words import percent, plain_number

if TYPE_CHECKING:
    import pandas as pd

    from bayes_clv.workflows.folders import Finished

TOTALS = ("purchases", "spend", "value")
REAL = {"purchases": "total_observed", "spend": "spend_observed", "value": "value_observed"}
# What must be equal for totals to be of the same thing, and its words.
ALIKE = {
    "customers": "customers",
    "horizon": "horizon",
    "margin": "margin",
    "annual_discount_rate": "discount rate",
}
# Said of each run by itself, or of no weight for what it found.
TOLD = (*ALIKE, "family", "drift", "returns", "calendar", "out", "png")
TOP = 0.1


def runs_beside(choice: Juxtaposing) -> list[str]:
    """Write a row a run, and a figure of their totals; return the summary's lines.

    Raises
    ------
    InputError
        For fewer than two runs, one that is there twice, and a folder that is no finished run.
    """
    folders = [Path(each) for each in choice.runs]
    if len(folders) < 2:
        raise InputError("Name at least two folders of finished runs.")
    twice = next(
        (each for i, each in enumerate(folders) if each.resolve() in map(Path.resolve, folders[:i])), None
    )
    if twice is not None:
        raise InputError(f"{str(twice)!r} is there twice. Leave it out once.")
    for folder in folders:
        read_record(folder)
        check_out(Path(choice.out), folder)
    runs = [read_run(each) for each in folders]
    names = names_of(folders)
    differing = differences(runs)
    table = rows_of(runs, names)
    told = [
        [f"{option.removeprefix('--')}: {each[i]}" for option, each in differing.items()]
        for i in range(len(runs))
    ]
    table["differs"] = ["; ".join(each) for each in told]

    from bayes_clv.views.plots.runs import plot_runs

    out = Path(choice.out)
    with all_or_nothing(out) as work:
        write_table(table, work / out.name)
        notes = save_figures({f"{out.stem}-totals": plot_runs(table)}, work)
    return [
        *summary_lines(table, differing),
        "",
        f"Runs: {out}",
        f"Figure: {out.with_name(f'{out.stem}-totals.png')}",
        *notes,
    ]


def names_of(folders: list[Path]) -> list[str]:
    """Return the folders' names, with as many of the folders above as tell them apart."""
    parts = [each.resolve().parts for each in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return names


def rows_of(runs: "list[Finished]", names: list[str]) -> "pd.DataFrame":
    """Return a row a run: what it was told, its totals, what happened, its failed checks, and whom it ranks best."""
    import pandas as pd

    best = [_best(run) for run in runs]
    rows = []
    for run, name, own in zip(runs, names, best, strict=True):
        told, record = run.record["arguments"], run.record
        row: dict[str, Any] = {
            "run": name,
            "family": _family(record),
            "method": record["diagnostics"]["buying"]["method"],
            "customers": int(record["customers"]),
            "horizon": run.horizon,
            "time_unit": str(told["time_unit"]),
            "margin": run.margin,
            "annual_discount_rate": run.annual_discount_rate,
        }
        observed = (record.get("holdout") or {}).get("observed", {})
        for total in TOTALS:
            found = record["totals"].get(total)
            for end in ("mean", "q05", "q95"):
                row[f"{total}_{end}"] = np.nan if found is None or found[end] is None else float(found[end])
            row[f"{total}_real"] = (
                float(observed[REAL[total]]) if observed.get(REAL[total]) is not None else np.nan
            )
        measures = (record.get("holdout") or {}).get("measures", {}).get("model", {})
        row["crps"] = float(measures["crps"]) if measures.get("crps") is not None else np.nan
        row["failed_checks"] = len(run.failed)
        row["failed"] = "; ".join(run.failed)
        row["best_tenth_shared"] = len(own & best[0]) / max(1, len(best[0]))
        rows.append(row)
    return pd.DataFrame(rows)


def differences(runs: "list[Finished]") -> dict[str, list[str]]:
    """Return what else the runs were told otherwise: by option, what each was given, in words of a command line."""
    found = {}
    for name, known in options_of(Settings).items():
        if name in TOLD:
            continue
        given = [_given(run, name) for run in runs]
        if any(each != given[0] for each in given):
            found[known.called(name)] = [_in_words(each, known) for each in given]
    return found


def _given(run: "Finished", name: str) -> Any:
    """Return an argument of a run, and of those with a default that is found in the orders or fits what it became."""
    if name == "until":
        return str(run.customers.attrs["until"])
    if name == "method":
        return run.record["diagnostics"]["buying"]["method"]
    # A run of an earlier version does not know every argument: it had what is the default today.
    default = next(each for each in dataclasses.fields(Settings) if each.name == name)
    if default.default is not dataclasses.MISSING:
        unsaid: Any = plain(default.default)
    else:
        unsaid = [] if default.default_factory is dataclasses.MISSING else default.default_factory()
    found = run.record["arguments"].get(name, unsaid)
    # No groups are a list or a mapping, by how they were not given.
    return found if found not in ({}, []) else None


def _in_words(given: Any, known: Option) -> str:
    """Return an argument as a command line has it."""
    if given is None:
        return "not given" if known.absent is None else f"not given ({known.absent[0]})"
    if isinstance(given, dict):
        pairs = [(key, [each] if isinstance(each, str) else each) for key, each in given.items()]
        return ", ".join(f"{key}={each}" for key, some in pairs for each in some)
    if isinstance(given, list):
        return ", ".join(map(str, given))
    if isinstance(given, bool):
        return "yes" if given else "no"
    return str(given)


def _family(record: dict[str, Any]) -> str:
    """Return the families of a run, with its calendar: "mbg_nbd, calendar; gamma_gamma"."""
    fits = record["diagnostics"]
    paced = ", calendar" if record["arguments"].get("calendar") else ""
    return "; ".join(
        [f"{fits['buying']['family']}{paced}", *(fits[k]["family"] for k in fits if k != "buying")]
    )


def _best(run: "Finished") -> set[str]:
    """Return the ids of the tenth of the customers of most value, or purchases."""
    column = "value_mean" if "value_mean" in run.table else "purchases_mean"
    size = max(1, round(TOP * len(run.table)))
    return set(run.table.nlargest(size, column)["customer_id"].astype(str))


def summary_lines(table: "pd.DataFrame", differing: dict[str, list[str]]) -> list[str]:
    """Return what a person wants to know of runs beside each other, and in which arguments else they differ."""
    lines = []
    for row in table.to_dict("records"):
        totals = [
            f"{total} {plain_number(row[f'{total}_mean'])} ({plain_number(row[f'{total}_q05'])} to "
            f"{plain_number(row[f'{total}_q95'])}{_beside(row, total)})"
            for total in ("purchases", "value")
            if np.isfinite(row[f"{total}_mean"])
        ]
        failed = row["failed_checks"]
        checks = (
            "all checks passed"
            if not failed
            else f"{failed} check{'s'[: failed > 1]} FAILED: {row['failed']}"
        )
        lines.append(f"  {row['run']} ({row['family']}): {', '.join(totals)}; {checks}.")
    head = f"{len(table)} runs; totals of all customers, mean and 90 % interval (outcome level), of a posterior each."
    also = [
        f"They differ in {option} ("
        f"{'; '.join(f'{run}: {each}' for run, each in zip(table['run'], given, strict=True))})."
        for option, given in differing.items()
    ]
    return [head, *_unlike(table), *also, "", *lines, "", *_ranking(table)]


def _beside(row: Any, total: str) -> str:
    real = row[f"{total}_real"]
    if not np.isfinite(real):
        return ""
    inside = row[f"{total}_q05"] <= real <= row[f"{total}_q95"]
    return f"; real {plain_number(real)}, {'inside' if inside else 'OUTSIDE'}"


def _unlike(table: "pd.DataFrame") -> list[str]:
    """Return what differs beside the model, so that totals are not of the same thing."""
    found = []
    for column, words in ALIKE.items():
        values = table[column].unique()
        if len(values) > 1:
            shown = ", ".join(f"{each:,g}" for each in values.tolist())
            found.append(f"They differ in {words} ({shown}): their totals are not of the same thing.")
    return found


def _ranking(table: "pd.DataFrame") -> list[str]:
    first, others = table["run"][0], table.iloc[1:]
    return [
        f"Of the best tenth of the customers by {first}, {percent(round(row['best_tenth_shared'], 3))} are in that of "
        f"{row['run']}."
        for row in others.to_dict("records")
    ]
