"""The page of offers as customers see them: best value, head to head, fair prices, drivers, quality, who recommends."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say, say_kept_titles, say_many
from bayes_clv.perceived.markets import ATTRIBUTE, PART, RIVAL
from bayes_clv.perceived.offers import OTHER
from bayes_clv.schema import DRAW
from bayes_clv.segments.segmenting import SEGMENT
from bayes_clv.views import numbers
from bayes_clv.views.plots.offers import plot_advantages, plot_price_performance
from bayes_clv.views.plots.scenarios import chance_words
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting import offer_words as words
from bayes_clv.views.reporting.appendix import run_table
from bayes_clv.views.reporting.channel_words import money
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.views.reporting.rendering import write_template

type Columns = list[tuple[tables.Column, list[tables.Cell]]]


def write_offers_page(
    path: str | Path,
    gallery: Gallery,
    *,
    offers: xr.Dataset,
    market: xr.Dataset,
    rival: str | None = None,
    drivers: xr.Dataset | None = None,
    facets: xr.Dataset | None = None,
    promoters: xr.Dataset | None = None,
    checks: Sequence[str] = (),
    title: str | None = None,
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of offers, in the language that is spoken, and return its path.

    Parameters
    ----------
    path, gallery
        The file, and who draws the figures.
    offers, market
        Of ``price_performance``, and the market that it is of.
    rival
        Whose advantages are shown one by one; the best value where None.
    drivers, facets, promoters
        Of ``driver_kinds``, ``facet_scores`` and ``net_promoter``, where there is a survey.
    checks
        Titles of the failed checks of the survey's fits.
    title, run
        Of the page, "Offers as customers see them" where None; what was run, as name and text.
    """
    one = words.best_rival(offers) if rival is None else rival
    figures = {
        "map": gallery.add(
            "price-and-performance",
            partial(plot_price_performance, offers),
            say(
                "A dot is an offer. Below the line it gives more than it costs, above it less; the upright distance is "
                "how much, in money. Shaded: where the doubt in weights and ratings leaves it, 90 %."
            ),
        ),
        "advantages": gallery.add(
            "advantages",
            partial(plot_advantages, offers, one),
            say(
                "A bar is what one attribute, or one part of the price, is worth more (to the right) or less than that "
                "of {other}, in money.",
                other=words.against_words(offers),
            ),
        ),
    }
    gallery.finish()
    page = {
        "title": say("Offers as customers see them") if title is None else title,
        "summary": {"failed": _failed(checks), "text": words.best_sentence(offers)},
        "key_numbers": _key_numbers(offers, promoters),
        "levels": {},
        "sections": [
            ("offers", say("Value for the price"), []),
            ("heads", say("Head to head"), []),
            *([("drivers", say("Drivers"), [])] if drivers is not None else []),
            *([("facets", say("Quality"), [])] if facets is not None else []),
            *([("promoters", say("Who recommends"), [])] if promoters is not None else []),
            ("stated", say("What is stated"), []),
            ("reading", say("How it was made"), []),
        ],
        "sentences": [words.rival_sentence(offers, str(name)) for name in _by_gain(offers)],
        "figures": figures,
        "rivals": _rivals(offers),
        "rival": one,
        "reasons": words.reasons_sentence(offers, one),
        "heads": _heads(offers, one),
        "beats": _beats(offers) if "probability_better" in offers else None,
        "drivers": None if drivers is None else _drivers(drivers),
        "driver_sentences": [] if drivers is None else words.driver_sentences(drivers),
        "facets": None if facets is None else _facets(facets),
        "gap_sentences": [] if facets is None else words.gap_sentences(facets),
        "promoters": None if promoters is None else _promoters(promoters),
        "promoter_sentences": [] if promoters is None else words.promoter_sentences(promoters),
        "stated": _stated(market),
        "method": _method(offers, drivers, facets, promoters),
        "run_table": run_table(run),
    }
    return write_template(path, "offers.html.j2", page)


def _failed(checks: Sequence[str]) -> str:
    if not checks:
        return ""
    return say_many(
        "{count} check of the survey's fits failed: {titles}. Take more draws (draws in the survey's file) before "
        "relying on them.",
        "{count} checks of the survey's fits failed: {titles}. Take more draws (draws in the survey's file) before "
        "relying on them.",
        len(checks),
        titles=say_kept_titles(checks),
    )


def _by_gain(offers: xr.Dataset) -> Any:
    return offers[RIVAL].to_numpy()[np.argsort(-words.middle(offers, "total_advantage"), kind="stable")]


def _key_numbers(offers: xr.Dataset, promoters: xr.Dataset | None) -> list[dict[str, Any]]:
    """Return the numbers at the head of the page."""
    name = words.best_rival(offers)
    one = offers.sel({RIVAL: name})
    gain = money(float(words.middle(one, "total_advantage")), offers)
    note = say("for its price, against {other}", other=words.against_words(offers))
    found = [_key(say("more by “{name}”", name=name), gain, note)]
    if "probability_best" in offers:
        chance = chance_words(float(one["probability_best"]))
        found.append(_key(say("that it is the best value"), chance, say("probability")))
    found.append(
        _key(
            say("fair price of “{name}”", name=name),
            money(float(words.middle(one, "fair_price")), offers),
            say("it costs {price}", price=money(float(one["total_price"]), offers)),
        )
    )
    if promoters is not None:
        low, high = (f"{float(promoters[f'score_all_{end}']):+.0f}" for end in ("q05", "q95"))
        found.append(
            _key(
                say("net promoters"),
                f"{float(promoters['score_all_mean']):+.0f}",
                say("points; 90 %: {low} to {high}", low=low, high=high),
            )
        )
    return found


def _key(label: str, number: str, note: str) -> dict[str, Any]:
    return {"label": label, "number": number, "level": None, "note": note, "failed": None}


def _table(name: str, caption: str, columns: Columns) -> tables.Table:
    rows = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    return tables.Table(name, caption, [column for column, _ in columns], rows)


def _texts(values: Any) -> list[tables.Cell]:
    return [tables.cell(str(each)) for each in values]


def _chances(values: Any) -> list[tables.Cell]:
    return [tables.cell(float(each), chance_words(float(each))) for each in np.asarray(values)]


def _between(low: Any, high: Any) -> list[tables.Cell]:
    places = numbers.decimals(high)
    return [
        tables.interval(float(a), float(b), places)
        for a, b in zip(np.asarray(low), np.asarray(high), strict=True)
    ]


def _rivals(offers: xr.Dataset) -> tables.Table:
    """Return a row a rival, the best value first."""
    sorted_ones = offers.sel({RIVAL: _by_gain(offers)})
    columns: Columns = [(tables.Column(say("rival"), number=False), _texts(sorted_ones[RIVAL].to_numpy()))]
    for name, label in (
        ("performance", say("performance (points)")),
        ("total_price", say("price")),
        ("relative_value", say("relative value")),
        ("benefit_advantage", say("benefit advantage")),
        ("cost_advantage", say("cost advantage")),
        ("total_advantage", say("in all")),
    ):
        columns.append((tables.Column(label), tables.column(words.middle(sorted_ones, name))))
    if "total_advantage_q05" in offers:
        ends = (sorted_ones[f"total_advantage_{end}"] for end in ("q05", "q95"))
        columns.append((tables.Column(say("in all, 90 %")), _between(*ends)))
    columns.append((tables.Column(say("fair price")), tables.column(words.middle(sorted_ones, "fair_price"))))
    if "fair_price_q05" in offers:
        ends = (sorted_ones[f"fair_price_{end}"] for end in ("q05", "q95"))
        columns.append((tables.Column(say("fair price, 90 %")), _between(*ends)))
    if "probability_best" in offers:
        columns.append((tables.Column(say("P(best value)")), _chances(sorted_ones["probability_best"])))
    return _table(
        "rival-table",
        say(
            "Each offer against {other}, in {money}: what its performance is worth more (benefit) and what it costs "
            "less. A fair price is one at which it is worth as much for its price.",
            other=words.against_words(offers),
            money=numbers.money_unit(offers),
        ),
        columns,
    )


def _heads(offers: xr.Dataset, one: str) -> tables.Table:
    """Return what one rival's offer is worth more than each other's."""
    others = [str(name) for name in offers[RIVAL].to_numpy() if str(name) != one]
    columns: Columns = [(tables.Column(say("against"), number=False), _texts(others))]
    for name, label in (
        ("benefit_advantage", say("benefit advantage")),
        ("cost_advantage", say("cost advantage")),
        ("total_advantage", say("in all")),
    ):
        # What all are held against falls out of a difference.
        apart = offers[name].sel({RIVAL: one}) - offers[name].sel({RIVAL: others})
        mean = apart.mean(DRAW) if DRAW in apart.dims else apart
        columns.append((tables.Column(label), tables.column(mean.to_numpy())))
    if DRAW in apart.dims:
        columns.append(
            (tables.Column("90 %"), _between(apart.quantile(0.05, DRAW), apart.quantile(0.95, DRAW)))
        )
        better = offers["probability_better"].sel({RIVAL: one, OTHER: others})
        columns.append((tables.Column(say("P(better value)")), _chances(better)))
    return _table(
        "head-table",
        say(
            "What “{name}” is worth more for its price than each other offer, in {money}.",
            name=one,
            money=numbers.money_unit(offers),
        ),
        columns,
    )


def _beats(offers: xr.Dataset) -> tables.Table:
    """Return of each pair how probably the rival in the row is better value than that in the column."""
    names = [str(name) for name in offers[RIVAL].to_numpy()]
    better = offers["probability_better"].transpose(RIVAL, OTHER).to_numpy()
    columns: Columns = [(tables.Column(say("rival"), number=False), _texts(names))]
    for at, name in enumerate(names):
        cells = [
            tables.cell("–") if row == at else tables.cell(float(chance), chance_words(float(chance)))
            for row, chance in enumerate(better[:, at])
        ]
        columns.append((tables.Column(name), cells))
    return _table(
        "pair-table",
        say("How probably the offer in the row is better value than that in the column."),
        columns,
    )


def _drivers(kinds: xr.Dataset) -> tables.Table:
    """Return a row an attribute: what a point brings and costs, whether it matters, its weight."""
    kind_words = {"hygiene": say("hygiene"), "satisfier": say("satisfier"), "not settled": say("not settled")}
    columns: Columns = [
        (tables.Column(say("attribute"), number=False), _texts(kinds[ATTRIBUTE].to_numpy())),
        (tables.Column(say("weight, mean")), tables.column(kinds["weight_mean"].to_numpy())),
        (tables.Column(say("weight, 90 %")), _between(kinds["weight_q05"], kinds["weight_q95"])),
        (tables.Column(say("a point more brings")), tables.column(kinds["reward_mean"].to_numpy())),
        (tables.Column("90 %"), _between(kinds["reward_q05"], kinds["reward_q95"])),
        (tables.Column(say("a point less costs")), tables.column(kinds["penalty_mean"].to_numpy())),
        (tables.Column("90 %"), _between(kinds["penalty_q05"], kinds["penalty_q95"])),
        (tables.Column(say("P(matters)")), _chances(kinds["probability_matters"])),
        (tables.Column(say("P(costs more than it brings)")), _chances(kinds["probability_hygiene"])),
        (
            tables.Column(say("kind"), number=False),
            [tables.cell(kind_words[str(each)]) for each in kinds["kind"].to_numpy()],
        ),
    ]
    return _table(
        "driver-table",
        say("What a point of each attribute brings and costs, on the scale of a normal variate (probit)."),
        columns,
    )


def _facets(facets: xr.Dataset) -> tables.Table:
    """Return a row a segment and facet: what is perceived, expected, and the gap."""
    places = [
        (segment, facet) for segment in facets[SEGMENT].to_numpy() for facet in facets["facet"].to_numpy()
    ]
    columns: Columns = [
        (tables.Column(say("segment"), number=False), _texts(segment for segment, _ in places)),
        (tables.Column(say("facet"), number=False), _texts(facet for _, facet in places)),
    ]

    def add(label: str, name: str, where: Mapping[str, str]) -> None:
        ends = [
            [float(facets[f"{name}_{end}"].sel({SEGMENT: s, "facet": f, **where})) for s, f in places]
            for end in ("mean", "q05", "q95")
        ]
        columns.append((tables.Column(label), tables.column(np.array(ends[0]))))
        columns.append((tables.Column("90 %"), _between(ends[1], ends[2])))

    add(say("perceived, mean"), "score", {"kind": "perceived"})
    if "gap" in facets:
        add(say("expected, mean"), "score", {"kind": "expected"})
        add(say("gap, mean"), "gap", {})
        short = [float(facets["probability_short"].sel({SEGMENT: s, "facet": f})) for s, f in places]
        columns.append((tables.Column(say("P(less than expected)")), _chances(short)))
    return _table(
        "facet-table", say("Mean answers of each segment's customers, in points of the scale."), columns
    )


def _promoters(promoters: xr.Dataset) -> tables.Table:
    """Return a row a segment, and one of all."""
    several = promoters.sizes[SEGMENT] > 1
    names = [*(str(each) for each in promoters[SEGMENT].to_numpy() if several), say("all")]
    ends = [
        np.array(
            [*(promoters[f"score_{end}"].to_numpy() if several else []), float(promoters[f"score_all_{end}"])]
        )
        for end in ("mean", "q05", "q95")
    ]
    asked = promoters["answers"].to_numpy()
    answers = [*(asked if several else []), asked.sum()]
    return _table(
        "promoter-table",
        say("Net promoters: per cent that answer 9 or 10 of 10, less per cent that answer 0 to 6."),
        [
            (tables.Column(say("segment"), number=False), _texts(names)),
            (tables.Column(say("answers")), [tables.cell(float(each), f"{int(each):,}") for each in answers]),
            (tables.Column(say("net promoters, mean")), tables.column(ends[0])),
            (tables.Column("90 %"), _between(ends[1], ends[2])),
        ],
    )


def _stated(market: xr.Dataset) -> tables.Table:
    """Return weights, ratings and prices as they were given."""
    rivals = market[RIVAL].to_numpy()
    weight, rating = (
        each.mean(DRAW) if DRAW in each.dims else each for each in (market["weight"], market["rating"])
    )
    labels = [*market[ATTRIBUTE].to_numpy(), *market[PART].to_numpy()]
    attributes = market.sizes[ATTRIBUTE]
    columns: Columns = [
        (tables.Column(say("attribute"), number=False), _texts(labels)),
        (
            tables.Column(say("weight"), number=False),
            [
                *(tables.cell(float(each), numbers.share(float(each))) for each in weight.to_numpy()),
                *(tables.cell(say("price")) for _ in range(len(labels) - attributes)),
            ],
        ),
    ]
    for name in rivals:
        values = [*rating.sel({RIVAL: name}).to_numpy(), *market["price"].sel({RIVAL: name}).to_numpy()]
        columns.append((tables.Column(str(name)), [tables.cell(float(each)) for each in values]))
    return _table(
        "stated-table",
        say(
            "Weights, ratings from {low:g} to {high:g}, and below them the parts of the price, as they were given; "
            "means where they have draws.",
            low=float(market.attrs["scale_low"]),
            high=float(market.attrs["scale_high"]),
        ),
        columns,
    )


def _method(
    offers: xr.Dataset, drivers: xr.Dataset | None, facets: xr.Dataset | None, promoters: xr.Dataset | None
) -> list[str]:
    """Return of what the numbers are."""
    said = [
        say(
            "Performance is the sum of ratings, each times its weight. A point of it is worth {slope}, which is stated "
            "and not learned from the prices: a line through a few rivals' prices says little, and slopes down where "
            "the cheap are good.",
            slope=money(float(offers["slope"].mean()), offers),
        ),
        say(
            "Weights and ratings are drawn anew {draws:,} times, as far as they are not known; every number is "
            "computed in each draw.",
            draws=offers.sizes[DRAW],
        )
        if DRAW in offers.sizes
        else say(
            "Weights and ratings are taken as known: no number here has an interval. How sure they are can be said by "
            "--concentration and --rating-error."
        ),
    ]
    if drivers is not None:
        said.append(
            say(
                "Drivers are an association among those who answered, and no proof that raising an attribute raises "
                "the judgement."
            )
        )
    if facets is not None:
        said.append(
            say(
                "Quality is one ordered model of facets, segments, questions and respondents, so that who answers high "
                "throughout is known as such and a small segment leans on the others."
            )
        )
    if promoters is not None:
        said.append(
            say(
                "Net promoters throw away most of what was answered: their intervals are wide, and a difference of ten "
                "points between two segments of a hundred answers is no difference."
            )
        )
    return said
