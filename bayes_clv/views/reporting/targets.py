"""The page of whom to contact: with which offer, what that gains, how sure, and whether to test again first."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.inference.response_cells import OFFER, SEGMENT
from bayes_clv.language import joined, say, say_kept_sentences, say_kept_titles, say_many
from bayes_clv.schema import CUSTOMER
from bayes_clv.views import numbers
from bayes_clv.views.plots.gains import SegmentGains, gains_by_segment, plot_gain
from bayes_clv.views.plots.scenarios import chance_words
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting import target_words as words
from bayes_clv.views.reporting.appendix import run_table
from bayes_clv.views.reporting.channel_words import money
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.views.reporting.rendering import write_template

# More rows than these nobody reads on a page; the table beside it has all.
CUSTOMERS_LISTED, CELLS_LISTED = 20, 60


def write_targets_page(
    path: str | Path,
    gallery: Gallery,
    *,
    decision: xr.Dataset,
    experiment: xr.Dataset,
    checks: Sequence[str] = (),
    title: str | None = None,
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of a decision whom to contact, in the language that is spoken, and return its path.

    Parameters
    ----------
    path, gallery
        The file, and who draws the figures.
    decision, experiment
        Of ``clv.target``, and the experiment behind it.
    checks
        Titles of the failed checks of the response's fit.
    title, run
        Of the page, "Whom to contact" where None; what was run, as name and text.
    """
    figures = {
        "gain": gallery.add(
            "contact-gain",
            partial(plot_gain, decision),
            say(
                "Left: what is gained as more are contacted, the best first; the dot is what was decided, and the "
                "curve falls where a contact costs more than it brings. Right: the gain of one contact in each "
                "segment; a line that reaches 0 is a segment for which it is open whether contacting pays."
            ),
            "expected",
        )
    }
    gallery.finish()
    contacted = bool(decision["contacted"].any())
    several = "chosen_offer" in decision
    page: dict[str, Any] = {
        "title": say("Whom to contact") if title is None else title,
        "summary": {
            "failed": _failed(checks),
            "text": joined(
                "{first} {second}",
                [words.contacted_sentence(decision), *words.verdict_sentences(decision)[:1]],
            ),
        },
        "key_numbers": _key_numbers(decision),
        "levels": {
            "expected": say("on average over chance; the interval is what is not known of that average."),
            "outcome": say("what will actually be bought and spent, with the chance in each purchase."),
        },
        "sections": [
            *([("offers", say("Which offer"), [])] if several else []),
            ("segments", say("Whom it pays for"), []),
            *([("customers", say("Whom first"), [])] if contacted else []),
            ("test", say("A further test"), []),
            ("reading", say("How it was made"), []),
        ],
        "sentences": [
            *words.gain_sentences(decision),
            *words.offer_sentences(decision),
            *words.verdict_sentences(decision)[1:],
        ],
        "figures": figures,
        "offers": _offers(decision) if several else None,
        "segments": _segments(decision),
        "customers": _customers(decision) if contacted else None,
        "worth": [*words.worth_sentences(decision), _how_worth(decision)],
        "method": _method(decision, experiment),
        "run_table": run_table(run),
    }
    return write_template(path, "targets.html.j2", page)


def _failed(checks: Sequence[str]) -> str:
    if not checks:
        return ""
    return say_many(
        "{count} check of the fit behind these contacts failed: {titles}.",
        "{count} checks of the fit behind these contacts failed: {titles}.",
        len(checks),
        titles=say_kept_titles(checks),
    )


def _key_numbers(decision: xr.Dataset) -> list[dict[str, Any]]:
    """Return the numbers at the head of the page."""
    budget = decision.attrs["budget"]
    found = [
        _key(
            say("customers to contact"),
            f"{int(decision['contacted'].sum()):,}",
            say("of {all:,}; no budget", all=decision.sizes[CUSTOMER])
            if budget == "none"
            else say(
                "of {all:,}; budget {budget}",
                all=decision.sizes[CUSTOMER],
                budget=numbers.money(float(budget), decision.attrs.get("currency")),
            ),
            None,
        )
    ]
    if decision["contacted"].any():
        mean, low, high = (
            money(each, decision) for each in numbers.mean_interval(decision["net_gain_outcome_total"])
        )
        pays = float((decision["net_gain_total"] > 0).mean())
        found += [
            _key(say("net gain"), mean, say("mean; 90 %: {low} to {high}", low=low, high=high), "outcome"),
            _key(
                say("that contacting them pays"),
                chance_words(pays),
                say("probability, on average over chance"),
                "expected",
            ),
        ]
    perfect = float(decision["value_of_perfect_information"])
    if np.isfinite(perfect):
        found.append(
            _key(
                say("worth of knowing the response"),
                money(perfect, decision),
                say("most that any test can be worth"),
                None,
            )
        )
    return found


def _key(label: str, number: str, note: str, level: str | None) -> dict[str, Any]:
    return {"label": label, "number": number, "level": level, "note": note, "failed": None}


def _table(
    name: str, caption: str, columns: list[tuple[tables.Column, list[tables.Cell]]], *, sortable: bool = True
) -> tables.Table:
    rows = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    return tables.Table(name, caption, [column for column, _ in columns], rows, sortable)


def _texts(values: Any) -> list[tables.Cell]:
    return [tables.cell(str(each)) for each in values]


def _counts(values: Any) -> list[tables.Cell]:
    return [tables.cell(float(each), f"{int(each):,}") for each in values]


def _chances(values: Any) -> list[tables.Cell]:
    return [tables.cell(float(each), chance_words(float(each))) for each in values]


def _between(low: Any, high: Any) -> list[tables.Cell]:
    places = numbers.decimals(high)
    return [tables.interval(float(a), float(b), places) for a, b in zip(low, high, strict=True)]


def _offers(decision: xr.Dataset) -> tables.Table:
    """Return a row an offer: who gets it, what that gains, and what it alone would gain."""
    names = [str(each) for each in decision[OFFER].to_numpy()]
    chosen, gain, cost = (decision[name].to_numpy() for name in ("chosen_offer", "net_gain_mean", "cost"))
    alone = [decision["net_gain_single_total"].sel({OFFER: name}) for name in names]
    ends = np.array([numbers.mean_interval(each) for each in alone])
    pays = [float((each > 0).mean()) for each in alone]
    return _table(
        "offer-table",
        say(
            "What each offer is given for and gains, and what the best contacts with it alone would gain, in {money}.",
            money=numbers.money_unit(decision),
        ),
        [
            (tables.Column(say("offer"), number=False), _texts(names)),
            (tables.Column(say("customers")), _counts([(chosen == name).sum() for name in names])),
            (tables.Column(say("cost")), tables.column([cost[chosen == name].sum() for name in names])),
            (
                tables.Column(say("net gain, mean"), level="expected"),
                tables.column([gain[chosen == name].sum() for name in names]),
            ),
            (tables.Column(say("alone, mean"), level="expected"), tables.column(ends[:, 0])),
            (tables.Column(say("alone, 90 %"), level="expected"), _between(ends[:, 1], ends[:, 2])),
            (tables.Column(say("P(alone pays)"), level="expected"), _chances(pays)),
        ],
    )


def _segments(decision: xr.Dataset) -> tables.Table:
    """Return a row a segment and offer: how many are contacted, what a contact gains, how surely it pays."""
    gains: SegmentGains = gains_by_segment(decision)
    labels = [str(each) for each in decision[SEGMENT].to_numpy()]
    people = decision["segment_customers"].to_numpy()
    several = "segment_offered" in decision
    offered = (
        decision["segment_offered"].transpose(OFFER, SEGMENT).to_numpy()
        if several
        else decision["segment_contacted"].to_numpy()[None]
    )
    places = [(k, s) for k in range(offered.shape[0]) for s in range(len(labels))]
    places.sort(key=lambda at: (-offered[at], -gains.mean[at]))
    shown = places[:CELLS_LISTED]
    of = tuple(np.array(shown).T)
    caption = say(
        "What one contact gains in each segment, at its mean cost, in {money}; those with the most contacts first.",
        money=numbers.money_unit(decision),
    )
    if len(shown) < len(places):
        left = say("The first {some} of {all} rows.", some=len(shown), all=len(places))
        caption = joined("{first} {second}", [caption, left])
    return _table(
        "segment-table",
        caption,
        [
            (tables.Column(say("segment"), number=False), _texts(labels[s] for _, s in shown)),
            *(
                [
                    (
                        tables.Column(say("offer"), number=False),
                        _texts(decision[OFFER].to_numpy()[k] for k, _ in shown),
                    )
                ]
                if several
                else []
            ),
            (tables.Column(say("customers")), _counts(people[of[1]])),
            (tables.Column(say("to contact")), _counts(offered[of])),
            (tables.Column(say("net gain a contact, mean"), level="expected"), tables.column(gains.mean[of])),
            (tables.Column("90 %", level="expected"), _between(gains.low[of], gains.high[of])),
            (tables.Column(say("P(pays)"), level="expected"), _chances(gains.pays[of])),
        ],
    )


def _customers(decision: xr.Dataset) -> tables.Table:
    """Return those to be contacted first, with their offer, cost, gain and how surely it pays."""
    rank = decision["rank"].to_numpy()
    contacted = decision["contacted"].to_numpy() == 1
    first = decision.isel({CUSTOMER: np.argsort(rank)[: min(CUSTOMERS_LISTED, int(contacted.sum()))]})
    size = first.sizes[CUSTOMER]
    columns = [
        (tables.Column(say("customer"), number=False), _texts(first[CUSTOMER].to_numpy())),
        (tables.Column(say("segment"), number=False), _texts(first["customer_segment"].to_numpy())),
    ]
    if "chosen_offer" in first:
        columns += [(tables.Column(say("offer"), number=False), _texts(first["chosen_offer"].to_numpy()))]
    columns += [
        (tables.Column(say("cost")), tables.column(first["cost"].to_numpy())),
        (
            tables.Column(say("net gain, mean"), level="expected"),
            tables.column(first["net_gain_mean"].to_numpy()),
        ),
        (
            tables.Column("90 %", level="expected"),
            _between(first["net_gain_q05"].to_numpy(), first["net_gain_q95"].to_numpy()),
        ),
        (tables.Column(say("P(pays)"), level="expected"), _chances(first["probability_pays"].to_numpy())),
    ]
    if "probability_best" in first:
        best = _chances(first["probability_best"].to_numpy())
        columns += [(tables.Column(say("P(best)"), level="expected"), best)]
    return _table(
        "customer-table",
        say(
            "The {size} customers who gain most for what a contact costs, in {money}; the table beside this page has "
            "all. Customers of a segment are alike unless a scale tells them apart.",
            size=size,
            money=numbers.money_unit(decision),
        ),
        columns,
    )


def _how_worth(decision: xr.Dataset) -> str:
    return say(
        "Knowing the response would let each draw have a best choice of its own: what that gains more, on average, is "
        "what no test can exceed. What a test of a size is worth is simulated: its result is drawn, the choice is made "
        "anew, and what the new choice gains in truth is averaged."
    )


def _method(decision: xr.Dataset, experiment: xr.Dataset) -> list[str]:
    """Return of what the numbers are."""
    notes = [
        say_kept_sentences(str(line["what"]))
        for line in json.loads(str(experiment.attrs.get("audit", "[]")))
        if line["action"] == "note"
    ]
    scale = str(decision.attrs.get("scale", ""))
    said = [
        words.experiment_sentence(experiment),
        *notes,
        say(
            "The net gain of a contact is {margin:.3g} % of what it adds to the outcome, less its cost. What it adds "
            "was learned from the experiment, segments leaning on each other as far as they are alike, for the time "
            "that the experiment was followed.",
            margin=100 * float(decision.attrs["margin"]),
        ),
    ]
    if scale:
        said.append(
            say(
                "Within a segment customers are taken to respond in proportion to {column}: an assumption that the "
                "experiment was not asked about.",
                column=scale,
            )
        )
    if decision.attrs["budget"] != "none":
        said.append(
            say(
                "With a budget those come first who gain most for what they cost; no other choice could gain more than "
                "{bound} beyond this one.",
                bound=money(float(decision["budget_bound"]), decision),
            )
        )
    if decision.attrs["risk"] != "mean":
        said.append(
            say(
                "Chosen for a high lower quantile of the total ({risk}), in place of its mean.",
                risk=str(decision.attrs["risk"]),
            )
        )
    return said
