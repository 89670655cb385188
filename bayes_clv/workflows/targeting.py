"""The command ``target``: an experiment in, whom to contact out, as a table, a figure and a summary.

Like ``run``, one road through the stages; whoever wants another road calls them.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bayes_clv.problems import cards, read_problem
from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, InputError, argument, interval, listed
from bayes_clv.workflows.choices import Choice
from bayes_clv.workflows.words import check_lines, percent, titles_of

if TYPE_CHECKING:
    import xarray as xr

# Between these the experiment leaves open whether contacting pays.
OPEN = (0.1, 0.9)


def choose(choice: Choice, *, sampler_progress: bool = False) -> list[str]:
    """Write the table and, beside it, the gain curve (.png); return the summary's lines.

    Raises
    ------
    InputError
        For anything that cannot be used; nothing is then written.
    """
    from bayes_clv.customers.experiments import from_experiment
    from bayes_clv.inference.response import fit_response
    from bayes_clv.targeting.contacts import target
    from bayes_clv.targeting.uplift import predict_uplift
    from bayes_clv.views.frames import table
    from bayes_clv.views.plots.gains import plot_gain
    from bayes_clv.workflows.folders import write_table

    out = Path(choice.out)
    if out.suffix not in (".csv", ".parquet"):
        raise InputError(f"{argument('out', out.name)} must end in .csv or .parquet.")
    if not out.parent.is_dir():
        raise InputError(f"There is no folder {str(out.parent)!r} to write {out.name!r} to. Make it first.")
    experiment = from_experiment(
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
    return [*summary(decision, experiment, choice), "", f"Table: {out}", f"Figure: {figure}"]


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


def summary(decision: "xr.Dataset", experiment: "xr.Dataset", choice: Choice) -> list[str]:
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
    if choice.margin == 1:
        lines.append("The margin is 1: a gain is revenue less the cost of contacts.")
    lines += _open_question(decision, choice)
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
    found = [read_problem(each) for each in listed(decision.attrs, "problems")]
    return [
        *lines,
        "",
        *check_lines(titles_of(cards(found)), passed="All checks of the response's fit passed."),
    ]


def _open_question(decision: "xr.Dataset", choice: Choice) -> list[str]:
    """Return what to do where the experiment does not settle whether contacting pays."""
    if not decision["contacted"].any():
        return []
    pays = float((decision["net_gain_total"] > 0).mean())
    if not OPEN[0] < pays < OPEN[1]:
        return [f"Contacting them pays with a probability of {percent(pays)}."]
    worth = f"{float(decision['value_of_perfect_information']):,.0f}"
    further = max(2, decision.sizes[CUSTOMER] // 10)
    how = "" if choice.test is not None else f"; --test {further} says what one of that size is"
    return [
        f"Contacting them pays with a probability of {percent(pays)}: the experiment does not settle it. A further "
        f"test is worth {worth} at most{how}."
    ]
