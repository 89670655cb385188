"""The command ``offers``: ratings, weights, prices and perhaps a survey in; the best value, a page and tables out."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.language import check_language, speaking
from bayes_clv.problems import cards, read_problem
from bayes_clv.schema import InputError, argument
from bayes_clv.workflows.choices import Offering
from bayes_clv.workflows.folders import all_or_nothing, check_out, save_figures
from bayes_clv.workflows.words import check_lines, titles_of

if TYPE_CHECKING:
    import xarray as xr

    from bayes_clv.perceived.survey_files import Survey

ADVANTAGES = "-advantages"
# The parts of a survey, by what the page calls them.
PARTS = {"drivers": "Drivers", "facets": "Quality", "promoters": "Net promoters"}


@dataclass(frozen=True)
class Answered:
    """What a survey says: results by part (`PARTS`) and titles of failed checks."""

    parts: dict[str, Any] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def offer_run(choice: Offering) -> list[str]:
    """Write tables of rivals and of their advantages by attribute, the page and figures; return the summary's lines.

    Written are ``out``, one row a rival; beside it ``-advantages`` of the same kind, the page ``.html``, the figures
    ``.png`` and, of ``rival``, ``-advantages.png``; of a survey a table of each of its parts (`PARTS`).

    Raises
    ------
    InputError
        For anything that cannot be used; nothing is then written.
    """
    check_language(choice.language)
    out = Path(choice.out)
    check_out(out, out / "run")
    from bayes_clv.perceived.market_files import read_market
    from bayes_clv.perceived.markets import unsure
    from bayes_clv.perceived.offers import price_performance
    from bayes_clv.views.fonts import figures_in
    from bayes_clv.views.frames import table
    from bayes_clv.views.plots.offers import plot_advantages, plot_price_performance
    from bayes_clv.views.reporting.gallery import Gallery
    from bayes_clv.views.reporting.offers import write_offers_page
    from bayes_clv.workflows.folders import write_table

    survey = _survey(choice)
    market = read_market(choice.market, scale=(choice.lowest, choice.highest))
    rivals = [str(name) for name in market["rival"].to_numpy()]
    if choice.rival is not None and choice.rival not in rivals:
        raise InputError(f"{argument('rival', choice.rival)} is no rival. There are {', '.join(rivals)}.")
    if choice.concentration is not None or choice.rating_error is not None:
        market = unsure(
            market,
            concentration=choice.concentration,
            rating_error=choice.rating_error,
            draws=choice.draws,
            seed=choice.seed,
        )
    offers = price_performance(market, choice.slope, against=choice.against)
    if choice.currency is not None:
        offers = offers.assign_attrs(currency=choice.currency)
    answered = Answered() if survey is None else _answered(survey, choice)
    page = out.with_suffix(".html")
    split = out.with_stem(f"{out.stem}{ADVANTAGES}")
    with figures_in(choice.language):
        figures = {out.stem: plot_price_performance(offers)}
        if choice.rival is not None:
            figures[split.stem] = plot_advantages(offers, choice.rival)
    with all_or_nothing(out) as work:
        write_table(table(offers), work / out.name)
        write_table(table(offers, by="attribute"), work / split.name)
        for name, part in answered.parts.items():
            write_table(table(part), work / out.with_stem(f"{out.stem}-{name}").name)
        with speaking(choice.language):
            write_offers_page(
                work / page.name,
                Gallery(None),
                offers=offers,
                market=market,
                rival=choice.rival,
                **answered.parts,
                checks=answered.failed,
                run=_shown(choice, offers),
            )
        notes = save_figures(figures, work)
    return [
        *offer_summary(offers),
        *_survey_lines(answered),
        "",
        f"Page: {page}",
        f"Rivals: {out}",
        f"Advantages: {split}",
        *(f"{PARTS[name]}: {out.with_stem(f'{out.stem}-{name}')}" for name in answered.parts),
        f"Figures: {', '.join(str(out.with_name(f'{stem}.png')) for stem in figures)}",
        *notes,
    ]


def offer_summary(offers: "xr.Dataset") -> list[str]:
    """Return a line a rival, the best value first."""
    from bayes_clv.views.numbers import money, money_unit

    def amount(each: float) -> str:
        return money(each, offers.attrs.get("currency"))

    def middle(name: str) -> list[float]:
        found = offers[f"{name}_mean"] if f"{name}_mean" in offers else offers[name]
        return [float(each) for each in found.to_numpy()]

    against = str(offers.attrs["against"])
    other = "the average of the rivals" if against == "average" else against
    lines = [
        f"What each offer is worth to customers for its price, against {other}, in {money_unit(offers)}:",
        "",
    ]
    gain, fair = middle("total_advantage"), middle("fair_price")
    for at in sorted(range(len(gain)), key=lambda place: -gain[place]):
        name, price = str(offers["rival"].to_numpy()[at]), float(offers["total_price"][at])
        sure = ""
        if "probability_best" in offers:
            low, high = (float(offers[f"total_advantage_{end}"][at]) for end in ("q05", "q95"))
            sure = (
                f" (90 %: {amount(low)} to {amount(high)}), best value with a probability of "
                f"{float(offers['probability_best'][at]):.0%}"
            )
        lines.append(
            f"  {name}: {amount(gain[at])}{sure}; costs {amount(price)}, fair would be {amount(fair[at])}."
        )
    return lines


def _survey(choice: Offering) -> "Survey | None":
    from bayes_clv.perceived.survey_files import read_survey

    if choice.survey is None:
        return None
    if not Path(choice.survey).is_file():
        raise InputError(
            f"There is no file {str(choice.survey)!r}. Name a TOML file such as 'bayes-clv offers --help' shows."
        )
    return read_survey(choice.survey)


def _answered(survey: "Survey", choice: Offering) -> Answered:
    """Return what a survey's answers say, of each of its parts."""
    from bayes_clv.perceived.answers import answer_shares, net_promoter
    from bayes_clv.perceived.drivers import driver_kinds, fit_drivers
    from bayes_clv.perceived.quality import facet_scores, fit_answers

    found = Answered()
    more = {} if survey.draws is None else {"draws": survey.draws}
    if survey.overall is not None:
        fitted = fit_drivers(
            survey.answers,
            survey.overall,
            survey.attributes,
            scale=survey.scale,
            overall_scale=survey.overall_scale,
            wave=survey.wave,
            seed=choice.seed,
            **more,
        )
        found.parts["drivers"] = driver_kinds(fitted)
        found.failed.extend(_failed(fitted, "Drivers"))
    if survey.perceived:
        fitted = fit_answers(
            survey.answers,
            survey.perceived,
            expected=survey.expected or None,
            scale=survey.scale,
            by=survey.by,
            seed=choice.seed,
            **more,
        )
        found.parts["facets"] = facet_scores(fitted)
        found.failed.extend(_failed(fitted, "Quality"))
    if survey.recommend is not None:
        shares = answer_shares(survey.answers, survey.recommend, by=survey.by, seed=choice.seed)
        found.parts["promoters"] = net_promoter(shares)
        found.failed.extend(f"Net promoters: {each}" for each in shares.attrs["problems"])
    return found


def _failed(fitted: "xr.DataTree", subject: str) -> list[str]:
    """Return the titles of a fit's failed checks."""
    problems = json.loads(str(fitted.attrs["diagnostics"]))["problems"]
    return [f"{subject}: {title}" for title in titles_of(cards([read_problem(each) for each in problems]))]


def _survey_lines(answered: Answered) -> list[str]:
    """Return what the survey says, in lines."""
    from bayes_clv.views.reporting import offer_words as words

    if not answered.parts:
        return []
    said: list[str] = []
    for name, sentences in (
        ("drivers", words.driver_sentences),
        ("facets", words.gap_sentences),
        ("promoters", words.promoter_sentences),
    ):
        if name in answered.parts:
            said += ["", f"{PARTS[name]}:", *(f"  {each}" for each in sentences(answered.parts[name]))]
    return [*said, "", *check_lines(answered.failed, passed="All checks of the survey's fits passed.")]


def _shown(choice: Offering, offers: "xr.Dataset") -> dict[str, Any]:
    """Return what was run, for the page."""
    from importlib.metadata import version

    return {
        "market": Path(choice.market).name,
        **({} if choice.survey is None else {"survey": Path(choice.survey).name}),
        "slope": f"{choice.slope:g}",
        "against": str(offers.attrs["against"]),
        **{
            name.replace("_", " "): f"{value:g}"
            for name, value in (
                ("concentration", choice.concentration),
                ("rating_error", choice.rating_error),
            )
            if value is not None
        },
        "seed": choice.seed,
        "bayes_clv": version("bayes_clv"),
    }
