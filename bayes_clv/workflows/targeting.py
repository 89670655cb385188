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

    from bayes_clv.targeting.offer_files import Offers

# Between these the experiment leaves open whether contacting pays.
OPEN = (0.1, 0.9)
# Below it what is best for a customer is called open.
SURE = 0.8
_UNSETTLED = "the experiment does not settle it"


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
    offers = _offers(choice)
    experiment = from_experiment(
        choice.experiment,
        customer_id=choice.customer_id,
        treated=choice.treated,
        outcome=choice.outcome,
        segment=choice.segment,
        control=None if offers is None else offers.control,
    )
    people = _population(choice, experiment)
    response = fit_response(
        experiment, method=choice.method, draws=choice.draws, seed=choice.seed, progress=sampler_progress
    )
    decision = target(
        predict_uplift(response, people, scale=choice.scale),
        cost=choice.cost if offers is None else offers.costs,
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


def _offers(choice: Choice) -> "Offers | None":
    """Return what the file of offers says, once it goes with the experiment; None where there is one offer."""
    from bayes_clv.customers.experiments import read_table
    from bayes_clv.targeting.offer_files import check_arms, read_offers

    if (choice.cost is None) == (choice.offers is None):
        raise InputError(
            f"Say what a contact costs: {argument('cost')} where there is one offer, or {argument('offers')}, a file, "
            "where there are several; one of the two."
        )
    if choice.offers is None:
        return None
    offers = read_offers(choice.offers)
    labels = read_table(choice.experiment, [choice.treated])[choice.treated]
    # What is missing is refused at the experiment's own door.
    check_arms(
        offers, [str(each) for each in labels.tolist() if each is not None], Path(choice.experiment).name
    )
    return offers


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
    if "chosen_offer" in decision:
        lines += _by_offer(decision)
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
    said = _open_question(decision)
    if "chosen_offer" in decision:
        said += _which_offer(decision)
    if any(_UNSETTLED in line for line in said):
        said.append(_further(decision, choice))
    lines += said
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


def _open_question(decision: "xr.Dataset") -> list[str]:
    """Return what to do where the experiment does not settle whether contacting pays."""
    if not decision["contacted"].any():
        return []
    pays = float((decision["net_gain_total"] > 0).mean())
    if not OPEN[0] < pays < OPEN[1]:
        return [f"Contacting them pays with a probability of {percent(pays)}."]
    return [f"Contacting them pays with a probability of {percent(pays)}: {_UNSETTLED}."]


def _further(decision: "xr.Dataset", choice: Choice) -> str:
    """Return what a further test is worth at most, and how to learn what one of a size is."""
    worth = f"{float(decision['value_of_perfect_information']):,.0f}"
    further = max(2, decision.sizes[CUSTOMER] // 10)
    how = "" if choice.test is not None else f"; --test {further} says what one of that size is"
    return f"A further test is worth {worth} at most{how}."


def _by_offer(decision: "xr.Dataset") -> list[str]:
    """Return how many customers get each offer."""
    found = []
    for name in decision["net_gain_single_total"]["offer"].to_numpy().tolist():
        own = decision.where(decision["chosen_offer"] == name, drop=True)
        count, gain = own.sizes[CUSTOMER], float(own["net_gain_mean"].sum())
        found.append(
            f"  {name}: {count:,} customers" + (f", for a mean net gain of {gain:,.0f}." if count else ".")
        )
    return found


def _which_offer(decision: "xr.Dataset") -> list[str]:
    """Return whether an offer chosen by customer is better than the best one alone, and for whom it is a coin flip."""
    if not decision["contacted"].any():
        return []
    alone = decision["net_gain_single_total"].transpose(CHAIN, DRAW, "offer").to_numpy()
    best = int(alone.mean(axis=(0, 1)).argmax())
    name = str(decision["net_gain_single_total"]["offer"].to_numpy()[best])
    more = decision["net_gain_total"].transpose(CHAIN, DRAW).to_numpy() - alone[:, :, best]
    if not more.any():
        return [f"No offer beside {name!r} is worth its cost to anybody: it alone gains as much."]
    low, high = interval(more)
    beats = float((more > 0).mean())
    lines = [
        f"{name!r} alone, the best single offer, would gain {more.mean():,.0f} less ({low:,.0f} to {high:,.0f}, "
        f"expected level); choosing the offer by customer is better with a probability of {percent(beats)}"
        + (f": {_UNSETTLED}." if OPEN[0] < beats < OPEN[1] else ".")
    ]
    flips = int((decision["probability_best"] < SURE).sum())
    if flips:
        lines.append(
            f"For {flips:,} of {decision.sizes[CUSTOMER]:,} customers it is open which offer is best, if any: what is "
            f"advised is so with less than {percent(SURE)} (probability_best in the table)."
        )
    return lines
