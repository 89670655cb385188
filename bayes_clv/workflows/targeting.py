"""The command ``target``: an experiment in, whom to contact out, as a table, a page, a figure and a summary.

Like ``run``, one road through the stages; whoever wants another road calls them.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_clv.language import check_language, speaking
from bayes_clv.problems import cards, read_problem
from bayes_clv.schema import CUSTOMER, InputError, argument, listed
from bayes_clv.workflows.choices import Choice
from bayes_clv.workflows.folders import all_or_nothing, check_out, save_figures
from bayes_clv.workflows.words import check_lines, titles_of

if TYPE_CHECKING:
    import xarray as xr

    from bayes_clv.targeting.offer_files import Offers


def choose(choice: Choice, *, sampler_progress: bool = False) -> list[str]:
    """Write the table and, beside it, the page (.html) and the gain curve (.png); return the summary's lines.

    Raises
    ------
    InputError
        For anything that cannot be used; nothing is then written.
    """
    from bayes_clv.customers.experiments import from_experiment
    from bayes_clv.inference.response import fit_response
    from bayes_clv.targeting.contacts import target
    from bayes_clv.targeting.uplift import predict_uplift
    from bayes_clv.views.fonts import figures_in
    from bayes_clv.views.frames import table
    from bayes_clv.views.plots.gains import plot_gain
    from bayes_clv.views.reporting.gallery import Gallery
    from bayes_clv.views.reporting.targets import write_targets_page
    from bayes_clv.workflows.folders import write_table

    check_language(choice.language)
    out = Path(choice.out)
    check_out(out, out / "run")
    if out.resolve() in {Path(each).resolve() for each in (choice.experiment, choice.customers) if each}:
        raise InputError(f"{argument('out', str(out))} is a file that is read. Name another one.")
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
    if choice.currency is not None:
        decision = decision.assign_attrs(currency=choice.currency)
    page = out.with_suffix(".html")
    with figures_in(choice.language):
        figure = plot_gain(decision)
    with all_or_nothing(out) as work:
        write_table(table(decision), work / out.name)
        with speaking(choice.language):
            write_targets_page(
                work / page.name,
                Gallery(None),
                decision=decision,
                experiment=experiment,
                checks=failed_of(decision),
                run=_shown(choice, decision),
            )
        notes = save_figures({out.stem: figure}, work)
    return [
        *summary(decision, experiment),
        "",
        f"Page: {page}",
        f"Table: {out}",
        f"Figure: {out.with_suffix('.png')}",
        *notes,
    ]


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


def failed_of(decision: "xr.Dataset") -> list[str]:
    """Return the titles of the failed checks of the response's fit."""
    return titles_of(cards([read_problem(each) for each in listed(decision.attrs, "problems")]))


def _shown(choice: Choice, decision: "xr.Dataset") -> dict[str, Any]:
    """Return what was run, for the page."""
    from importlib.metadata import version

    costs = str(choice.cost) if choice.offers is None else Path(choice.offers).name
    return {
        "experiment": Path(choice.experiment).name,
        **({} if choice.customers is None else {"customers": Path(choice.customers).name}),
        **({} if choice.segment is None else {"segment": choice.segment}),
        "cost": costs,
        "margin": f"{choice.margin:g}",
        "method": choice.method,
        "draws": decision["net_gain_total"].size,
        "seed": choice.seed,
        "bayes_clv": version("bayes_clv"),
    }


def summary(decision: "xr.Dataset", experiment: "xr.Dataset") -> list[str]:
    """Return what a person wants to know before contacting anybody."""
    from bayes_clv.views.reporting import target_words as words

    audit = [
        line["what"]
        for line in json.loads(str(experiment.attrs.get("audit", "[]")))
        if line["action"] != "kept"
    ]
    return [
        *audit,
        "",
        words.contacted_sentence(decision),
        *(f"  {each}" for each in words.offer_sentences(decision)),
        *words.gain_sentences(decision),
        *words.verdict_sentences(decision),
        *words.worth_sentences(decision),
        "",
        *check_lines(failed_of(decision), passed="All checks of the response's fit passed."),
    ]
