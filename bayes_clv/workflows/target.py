"""The command ``target``: an experiment in, whom to contact out, as a table, a figure and a summary.

Like ``run``, one road through the stages; whoever wants another road calls them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, InputError, interval, listed

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Choice:
    """What to choose from and for; as ``experiment_from_table``, ``predict_uplift`` and ``target`` take them.

    ``customers=None`` chooses among the experiment's own. ``out`` is a .csv or .parquet file.
    """

    experiment: Path
    cost: float
    out: Path
    customer_id: str = "customer_id"
    treated: str = "treated"
    outcome: str = "outcome"
    segment: str | None = None
    customers: Path | None = None
    scale: str | None = None
    margin: float = 1.0
    budget: float | None = None
    risk: str | None = None
    test: int | None = None
    method: str = "nuts"
    draws: int = 1000
    seed: int = 1


def choose(choice: Choice, *, sampler_progress: bool = False) -> list[str]:
    """Write the table and, beside it, the gain curve (.png); return the summary's lines.

    Raises
    ------
    InputError
        For anything that cannot be used; nothing is then written.
    """
    from bayes_clv.customers.experiments import experiment_from_table
    from bayes_clv.inference.response import fit_response
    from bayes_clv.targeting.contacts import target
    from bayes_clv.targeting.uplift import predict_uplift
    from bayes_clv.views.frames import table
    from bayes_clv.views.plots.gains import plot_gain
    from bayes_clv.workflows.folders import write_table

    out = Path(choice.out)
    if out.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out {out.name!r} must end in .csv or .parquet.")
    if not out.parent.is_dir():
        raise InputError(f"There is no folder {str(out.parent)!r} to write {out.name!r} to. Make it first.")
    experiment = experiment_from_table(
        choice.experiment,
        customer_id=choice.customer_id,
        treated=choice.treated,
        outcome=choice.outcome,
        segment=choice.segment,
    )
    people = _population(choice, experiment)
    response = fit_response(
        experiment, method=choice.method, draws=choice.draws, seed=choice.seed, progress=sampler_progress
    )
    decision = target(
        predict_uplift(response, people, scale=choice.scale),
        cost=choice.cost,
        margin=choice.margin,
        budget=choice.budget,
        risk=choice.risk,
        test=choice.test,
        seed=choice.seed,
    )
    figure = out.with_suffix(".png")
    write_table(table(decision), out)
    plot_gain(decision).savefig(figure, dpi=150)
    return [*summary(decision, experiment), "", f"Table: {out}", f"Figure: {figure}"]


def _population(choice: Choice, experiment: "xr.Dataset") -> "xr.Dataset":
    """Return the customers to choose from, with ``segment`` and, where asked for, the column of ``scale``."""
    import xarray as xr

    from bayes_clv.customers.checks import as_numbers, check_ids, customer_ids
    from bayes_clv.customers.experiments import EVERYBODY, read_table, segment_labels

    path = choice.experiment if choice.customers is None else choice.customers
    further = [name for name in (choice.segment, choice.scale) if name is not None]
    frame = read_table(path, list(dict.fromkeys([choice.customer_id, *further])))
    ids = customer_ids(frame[choice.customer_id])
    order = np.argsort(ids, kind="stable")
    labels = np.full(ids.size, EVERYBODY, dtype=object)
    if choice.segment is not None:
        labels = segment_labels(frame[choice.segment], choice.segment, ids)
    people = xr.Dataset({"segment": (CUSTOMER, labels[order])}, {CUSTOMER: ids[order]})
    if choice.scale is not None:
        people[choice.scale] = (CUSTOMER, as_numbers(frame[choice.scale], choice.scale)[order])
    check_ids(people, "a file with one row per customer")
    return people


def summary(decision: "xr.Dataset", experiment: "xr.Dataset") -> list[str]:
    """Return what a person wants to know before contacting anybody."""
    size, contacted = decision.sizes[CUSTOMER], int(decision["contacted"].sum())
    lines = [
        line["what"]
        for line in json.loads(str(experiment.attrs.get("audit", "[]")))
        if line["action"] != "kept"
    ]
    lines += ["", f"Contact {contacted:,} of {size:,} customers, for {decision.attrs['spent']:,.2f}."]
    for name, level in (
        ("net_gain_total", "on average over chance"),
        ("net_gain_outcome_total", "as it turns out"),
    ):
        drawn = decision[name].transpose(CHAIN, DRAW).to_numpy()
        low, high = interval(drawn)
        lines.append(
            f"Net gain {level} ({decision[name].attrs['level']} level): mean {drawn.mean():,.0f}, 90 % interval "
            f"{low:,.0f} to {high:,.0f}."
        )
    lines.append(
        f"Regret against knowing the response: {float(decision['regret']):,.0f}; knowing it would be worth "
        f"{float(decision['value_of_perfect_information']):,.0f}."
    )
    if "value_of_test" in decision:
        lines.append(
            f"A test of {int(decision.attrs['test']):,} customers first would be worth at least "
            f"{float(decision['value_of_test']):,.0f} (Monte Carlo error "
            f"{float(decision['value_of_test_error']):,.0f}), its own cost not counted."
        )
    problems = listed(decision.attrs, "problems")
    lines += ["", *(problems or ["All convergence checks passed."])]
    return lines
