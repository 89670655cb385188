"""What is said of whom to contact: how many with which offer, what that gains, how sure, and what to know first."""

import numpy as np
import xarray as xr

from bayes_clv.inference.response_cells import OFFER
from bayes_clv.language import joined, say, say_many
from bayes_clv.schema import CHAIN, CUSTOMER, DRAW
from bayes_clv.views import numbers
from bayes_clv.views.plots.scenarios import chance_words
from bayes_clv.views.reporting.channel_words import money

# Between these the experiment leaves open whether contacting pays.
OPEN = (0.1, 0.9)
# Below it what is best for a customer is called open.
SURE = 0.8
# Sums that differ by less than this share of themselves are one sum.
SAME = 1e-9


def contacted_sentence(decision: xr.Dataset) -> str:
    """Return how many are to be contacted and what that costs, or that nobody is."""
    size, contacted = decision.sizes[CUSTOMER], int(decision["contacted"].sum())
    if not contacted:
        return say(
            "Contact none of the {size:,} customers: no contact is expected to bring back what it costs.",
            size=size,
        )
    return say(
        "Contact {contacted:,} of {size:,} customers, for {spent}.",
        contacted=contacted,
        size=size,
        spent=_spent(float(decision.attrs["spent"]), decision),
    )


def offer_sentences(decision: xr.Dataset) -> list[str]:
    """Return how many customers get each offer, and what that gains; nothing where there is one offer."""
    if "chosen_offer" not in decision:
        return []
    found = []
    for name in decision[OFFER].to_numpy().tolist():
        own = (decision["chosen_offer"] == name).to_numpy()
        told = {"name": str(name), "count": int(own.sum())}
        if not told["count"]:
            found.append(say("{name}: nobody.", name=name))
            continue
        gain = money(float(decision["net_gain_mean"].to_numpy()[own].sum()), decision)
        found.append(say("{name}: {count:,} customers, for a mean net gain of {gain}.", gain=gain, **told))
    return found


def gain_sentences(decision: xr.Dataset) -> list[str]:
    """Return what the contacts gain: on average over chance, and as it turns out."""
    means, outcomes = (
        numbers.mean_interval(decision[name]) for name in ("net_gain_total", "net_gain_outcome_total")
    )
    return [
        say(
            "Net gain on average over chance (expected level): mean {mean}, 90 % interval {low} to {high}.",
            **_interval(means, decision),
        ),
        say(
            "Net gain as it turns out (outcome level): mean {mean}, 90 % interval {low} to {high}.",
            **_interval(outcomes, decision),
        ),
        *(
            say("The margin is 1: a gain is revenue less the cost of contacts.")
            for _ in [None]
            if decision.attrs.get("margin") == 1
        ),
    ]


def verdict_sentences(decision: xr.Dataset) -> list[str]:
    """Return how sure it is that contacting pays and that the offer should be each customer's own, or that it is open.

    Where the experiment settles one of the two not, what a further one is worth stands at the end.
    """
    if not decision["contacted"].any():
        return []
    said, unsettled = [], False
    pays = float((decision["net_gain_total"] > 0).mean())
    if OPEN[0] < pays < OPEN[1]:
        unsettled = True
        said.append(
            say(
                "Contacting them pays with a probability of {chance}: the experiment does not settle it.",
                chance=chance_words(pays),
            )
        )
    else:
        said.append(say("Contacting them pays with a probability of {chance}.", chance=chance_words(pays)))
    if "chosen_offer" in decision:
        lines, open_too = _which_offer(decision)
        said, unsettled = [*said, *lines], unsettled or open_too
    if unsettled:
        said.append(_further(decision))
    return said


def worth_sentences(decision: xr.Dataset) -> list[str]:
    """Return what it would be worth to know the response, and what a test of a size is."""
    said = []
    regret, perfect = (float(decision[name]) for name in ("regret", "value_of_perfect_information"))
    if np.isfinite(regret):
        said.append(
            say(
                "Regret against knowing the response: {regret}; knowing it would be worth {worth}.",
                regret=money(regret, decision),
                worth=money(perfect, decision),
            )
        )
    if "value_of_test" in decision and np.isfinite(float(decision["value_of_test"])):
        said.append(
            say(
                "A test of {people:,} customers first would be worth at least {worth} (Monte Carlo error {error}), its "
                "own cost not counted.",
                people=int(decision.attrs["test"]),
                worth=money(float(decision["value_of_test"]), decision),
                error=money(float(decision["value_of_test_error"]), decision),
            )
        )
    return said


def experiment_sentence(experiment: xr.Dataset) -> str:
    """Return of how many customers in which arms the experiment was."""
    from bayes_clv.customers.experiments import arms_of

    arms = arms_of(experiment)
    own = experiment["arm"].to_numpy().astype(str)
    counts = joined("{first}, {second}", (f"{name} {int((own == name).sum()):,}" for name in arms))
    segments = int(np.unique(experiment["segment"].to_numpy().astype(str)).size)
    return say_many(
        "The experiment had {customers:,} customers in {count} segment: {arms}.",
        "The experiment had {customers:,} customers in {count} segments: {arms}.",
        segments,
        customers=experiment.sizes[CUSTOMER],
        arms=counts,
    )


def alone_of(decision: xr.Dataset) -> tuple[str, np.ndarray]:
    """Return the best single offer, and what choosing by customer gains more than it, over all draws."""
    alone = decision["net_gain_single_total"].transpose(CHAIN, DRAW, OFFER).to_numpy()
    best = int(alone.mean(axis=(0, 1)).argmax())
    chosen = decision["net_gain_total"].transpose(CHAIN, DRAW).to_numpy()
    more = chosen - alone[:, :, best]
    # The same contacts, added up in another order, are the same gain.
    more[np.abs(more) <= SAME * np.maximum(np.abs(chosen), np.abs(alone[:, :, best]))] = 0
    return str(decision[OFFER].to_numpy()[best]), more


def _which_offer(decision: xr.Dataset) -> tuple[list[str], bool]:
    """Return whether an offer chosen by customer beats the best one alone, for whom it is a coin flip, and if open."""
    name, more = alone_of(decision)
    if not more.any():
        return [
            say("No offer beside “{name}” is worth its cost to anybody: it alone gains as much.", name=name)
        ], False
    mean, low, high = numbers.mean_interval(more)
    beats = float((more > 0).mean())
    is_open = OPEN[0] < beats < OPEN[1]
    told = {"name": name, "chance": chance_words(beats), "mean": money(mean, decision)}
    told |= {"low": money(low, decision), "high": money(high, decision)}
    lines = [
        say(
            "“{name}” alone, the best single offer, would gain {mean} less ({low} to {high}, expected level); choosing "
            "the offer by customer is better with a probability of {chance}: the experiment does not settle it.",
            **told,
        )
        if is_open
        else say(
            "“{name}” alone, the best single offer, would gain {mean} less ({low} to {high}, expected level); choosing "
            "the offer by customer is better with a probability of {chance}.",
            **told,
        )
    ]
    flips = int((decision["probability_best"] < SURE).sum())
    if flips:
        lines.append(
            say(
                "For {flips:,} of {size:,} customers it is open which offer is best, if any: what is advised is so "
                "with less than {sure:.0f} % (probability_best in the table).",
                flips=flips,
                size=decision.sizes[CUSTOMER],
                sure=100 * SURE,
            )
        )
    return lines, is_open


def _further(decision: xr.Dataset) -> str:
    """Return what a further test is worth at most, and how to learn what one of a size is."""
    perfect = float(decision["value_of_perfect_information"])
    further = max(2, decision.sizes[CUSTOMER] // 10)
    if not np.isfinite(perfect):
        return say("What a further test is worth is not known with a budget and costs by customer and offer.")
    if "test" in decision.attrs:
        return say("A further test is worth {worth} at most.", worth=money(perfect, decision))
    return say(
        "A further test is worth {worth} at most; --test {further} says what one of that size is.",
        worth=money(perfect, decision),
        further=further,
    )


def _spent(amount: float, decision: xr.Dataset) -> str:
    """Return what is paid, to the cent."""
    currency = decision.attrs.get("currency")
    shown = f"{amount:,.2f}"
    if not currency:
        return shown
    return f"{shown} {currency}" if str(currency).isalpha() else f"{currency}{shown}"


def _interval(found: tuple[float, float, float], decision: xr.Dataset) -> dict[str, str]:
    return {name: money(each, decision) for name, each in zip(("mean", "low", "high"), found, strict=True)}
