"""What is said of offers and of answers: who gives most for its price, what drives the judgement, who recommends."""

import numpy as np
import xarray as xr

from bayes_clv.language import joined, say
from bayes_clv.perceived.markets import ATTRIBUTE, RIVAL
from bayes_clv.perceived.offers import AVERAGE, OTHER
from bayes_clv.segments.segmenting import SEGMENT
from bayes_clv.views import numbers
from bayes_clv.views.plots.scenarios import chance_words
from bayes_clv.views.reporting.channel_words import money

# A probability beyond it is called settled.
SETTLED = 0.9


def middle(found: xr.Dataset, name: str) -> np.ndarray:
    """Return a quantity's mean over draws, or itself where it has none."""
    each = found[f"{name}_mean"] if f"{name}_mean" in found else found[name]
    return np.asarray(each.to_numpy(), dtype=float)


def against_words(offers: xr.Dataset) -> str:
    """Return what all are held against."""
    against = str(offers.attrs["against"])
    return say("the average of the rivals") if against == AVERAGE else f"“{against}”"


def best_rival(offers: xr.Dataset) -> str:
    """Return the rival that gives most more than it costs, on average."""
    return str(offers[RIVAL].to_numpy()[int(middle(offers, "total_advantage").argmax())])


def best_sentence(offers: xr.Dataset) -> str:
    """Return who is the best value for its price, and how sure that is."""
    name = best_rival(offers)
    one = offers.sel({RIVAL: name})
    gain = float(middle(one, "total_advantage"))
    told = {"name": name, "gain": money(abs(gain), offers), "other": against_words(offers)}
    if "probability_best" not in offers:
        return say("Best value: “{name}”, worth {gain} more for its price than {other}.", **told)
    chance = float(one["probability_best"])
    told["chance"] = chance_words(chance)
    if chance >= SETTLED:
        return say(
            "Best value: “{name}”, worth {gain} more for its price than {other}, and the best of all with a "
            "probability of {chance}.",
            **told,
        )
    return say(
        "Best value on average: “{name}”, worth {gain} more for its price than {other}; it is the best of all with a "
        "probability of {chance}, which is not settled.",
        **told,
    )


def rival_sentence(offers: xr.Dataset, name: str) -> str:
    """Return what a rival's offer is worth for its price, and which price would be fair."""
    one = offers.sel({RIVAL: name})
    gain, fair = (float(middle(one, each)) for each in ("total_advantage", "fair_price"))
    told = {
        "name": name,
        "gain": money(abs(gain), offers),
        "price": money(float(one["total_price"]), offers),
        "fair": money(fair, offers),
    }
    if "probability_best" not in offers:
        return (
            say("“{name}” gives {gain} more than it costs: {price}, where {fair} would be fair.", **told)
            if gain >= 0
            else say("“{name}” gives {gain} less than it costs: {price}, where {fair} would be fair.", **told)
        )
    told["low"], told["high"] = (
        money(float(one[f"total_advantage_{end}"]), offers) for end in ("q05", "q95")
    )
    told["chance"] = chance_words(float(one["probability_best"]))
    return (
        say(
            "“{name}” gives {gain} more than it costs (90 %: {low} to {high}): {price}, where {fair} would be fair; "
            "best value with a probability of {chance}.",
            **told,
        )
        if gain >= 0
        else say(
            "“{name}” gives {gain} less than it costs (90 %: {low} to {high}): {price}, where {fair} would be fair; "
            "best value with a probability of {chance}.",
            **told,
        )
    )


def reasons_sentence(offers: xr.Dataset, name: str) -> str:
    """Return what makes most of a rival's advantage, and what takes most from it."""
    one = offers.sel({RIVAL: name})
    gains = {
        str(label): float(value)
        for label, value in zip(
            [*one[ATTRIBUTE].to_numpy(), *one["price_part"].to_numpy()],
            [*middle(one, "attribute_advantage"), *middle(one, "price_part_advantage")],
            strict=True,
        )
    }
    most, least = max(gains, key=lambda each: gains[each]), min(gains, key=lambda each: gains[each])
    parts = []
    if gains[most] > 0:
        parts.append(say("most for it is {what}, by {gain}", what=most, gain=money(gains[most], offers)))
    if gains[least] < 0:
        parts.append(
            say("most against it is {what}, by {gain}", what=least, gain=money(-gains[least], offers))
        )
    if not parts:
        return say("“{name}” differs from {other} in nothing.", name=name, other=against_words(offers))
    return say(
        "Of “{name}” against {other}, {parts}.",
        name=name,
        other=against_words(offers),
        parts=joined("{first}; {second}", parts),
    )


def driver_sentences(kinds: xr.Dataset) -> list[str]:
    """Return which attribute counts most, which surely matter, and which are hygiene or satisfy."""
    names = [str(each) for each in kinds[ATTRIBUTE].to_numpy()]
    weight, matters = kinds["weight_mean"].to_numpy(), kinds["probability_matters"].to_numpy()
    first = int(weight.argmax())
    said = [
        say(
            "“{name}” counts most: {weight} of the weight (90 %: {low} to {high}).",
            name=names[first],
            weight=numbers.share(float(weight[first])),
            low=numbers.share(float(kinds["weight_q05"][first])),
            high=numbers.share(float(kinds["weight_q95"][first])),
        )
    ]
    open_ones = [name for name, chance in zip(names, matters, strict=True) if chance < SETTLED]
    if open_ones:
        said.append(
            say(
                "Whether these matter at all is not settled: {names}.",
                names=joined("{first}, {second}", (f"“{name}”" for name in open_ones)),
            )
        )
    for kind, text in (
        ("hygiene", say("Below its mean it costs more than it brings above:")),
        ("satisfier", say("Above its mean it brings more than it costs below:")),
    ):
        those = [name for name, each in zip(names, kinds["kind"].to_numpy(), strict=True) if each == kind]
        if those:
            listed = joined("{first}, {second}", (f"“{name}”" for name in those))
            said.append(say("{text} {names}.", text=text, names=listed))
    return said


def gap_sentences(facets: xr.Dataset) -> list[str]:
    """Return where least is perceived of what is expected, or which facet is perceived best and worst, by segment."""
    said = []
    for segment in facets[SEGMENT].to_numpy():
        one = facets.sel({SEGMENT: segment})
        where = say("all respondents") if facets.sizes[SEGMENT] == 1 else f"“{segment}”"
        if "gap" in one:
            worst = one.isel(facet=int(one["gap_mean"].to_numpy().argmin()))
            said.append(
                say(
                    "{where}: the widest gap is of {facet}, {gap} points (90 %: {low} to {high}); less is perceived "
                    "than expected with a probability of {chance}.",
                    where=where,
                    facet=str(worst["facet"].values),
                    gap=f"{float(worst['gap_mean']):+.2f}",
                    low=f"{float(worst['gap_q05']):+.2f}",
                    high=f"{float(worst['gap_q95']):+.2f}",
                    chance=chance_words(float(worst["probability_short"])),
                )
            )
        else:
            mean = one["score_mean"].sel(kind="perceived").to_numpy()
            names = [str(each) for each in one["facet"].to_numpy()]
            said.append(
                say(
                    "{where}: best is {best} ({high:.2f} points), worst {worst} ({low:.2f}).",
                    where=where,
                    best=names[int(mean.argmax())],
                    worst=names[int(mean.argmin())],
                    high=float(mean.max()),
                    low=float(mean.min()),
                )
            )
    return said


def promoter_sentences(promoters: xr.Dataset) -> list[str]:
    """Return the net promoter score of all, and which segments are surely ahead of which."""
    said = [
        say(
            "Net promoters, all: {mean} points (90 %: {low} to {high}), of {answers:,} answers.",
            mean=f"{float(promoters['score_all_mean']):+.0f}",
            low=f"{float(promoters['score_all_q05']):+.0f}",
            high=f"{float(promoters['score_all_q95']):+.0f}",
            answers=int(promoters["answers"].sum()),
        )
    ]
    if promoters.sizes[SEGMENT] > 1:
        mean = promoters["score_mean"].to_numpy()
        names = [str(each) for each in promoters[SEGMENT].to_numpy()]
        best, worst = int(mean.argmax()), int(mean.argmin())
        chance = float(promoters["probability_higher"].isel({SEGMENT: best, OTHER: worst}))
        told = {"best": names[best], "worst": names[worst], "chance": chance_words(chance)}
        said.append(
            say("“{best}” is ahead of “{worst}” with a probability of {chance}.", **told)
            if chance >= SETTLED
            else say(
                "Whether “{best}”, the highest, is ahead even of “{worst}”, the lowest, is not settled ({chance}).",
                **told,
            )
        )
    return said
