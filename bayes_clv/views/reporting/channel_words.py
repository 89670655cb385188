"""What is said of channels: worth and cost, how sure, from how many customers, and which one stands out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import joined, say, say_many
from bayes_clv.valuation.acquisition import CHANNEL
from bayes_clv.valuation.channels import KEEP, STOP, TEST
from bayes_clv.views import numbers
from bayes_clv.views.plots import channels as drawn
from bayes_clv.views.plots.scenarios import chance_words

# Who earns most is named where that is more probable than that any of the others does.
STANDS_OUT = 0.5
# With fewer customers than about so many a channel says less of itself than the others say of it (docs/channels.md).
FEW = 20


def channel_sentence(found: xr.Dataset, name: str) -> str:
    """Return what a manager is told of a channel: worth and cost, how sure, when paid, and what to do."""
    one = found.sel({CHANNEL: name})
    center, end = drawn.center_of(found)
    middle, low, high = (money(one[f"value_{each}"], found) for each in (end, "q05", "q95"))
    told = {"channel": f"“{name}”{known_words(one)}", "middle": middle, "low": low, "high": high}
    told |= {"cost": money(one[f"cost_{end}"], found), "chance": chance_words(float(one["probability_pays"]))}
    told["payback"] = payback_words(one)
    text = (
        say(
            "{channel}: a new customer is worth {middle} on average (90 %: {low} to {high}) and costs {cost}; it pays "
            "with a probability of {chance} {payback}.",
            **told,
        )
        if center == "mean"
        else say(
            "{channel}: a new customer is worth {middle} in the median (90 %: {low} to {high}) and costs {cost}; it "
            "pays with a probability of {chance} {payback}.",
            **told,
        )
    )
    loss = _loss_words(one, found)
    return joined("{first} {second}", [text, _advice(str(one["decision"].values)), *([loss] if loss else [])])


def _advice(decision: str) -> str:
    """Return what to do with a channel."""
    words = {KEEP: say("Keep it."), STOP: say("Stop it."), TEST: say("Test it first.")}
    return words.get(decision, say("Without a mean value there is no advice."))


def known_words(one: xr.Dataset) -> str:
    """Return from how many customers of a channel was learned, and that few lean on the others; "" where unknown."""
    if "customers_known" not in one:
        return ""
    people = int(one["customers_known"])
    if people == 0:
        return say(" (no customer yet, drawn from how the others differ)")
    if people < FEW:
        return say_many(
            " ({count:,} customer, leans on the others)", " ({count:,} customers, lean on the others)", people
        )
    return say_many(" ({count:,} customer)", " ({count:,} customers)", people)


def payback_words(one: xr.Dataset) -> str:
    """Return when a channel has paid, of one channel of a comparison."""
    unit = str(one.attrs["time_unit"])
    middle, high = (float(one[f"payback_{end}"]) for end in ("q50", "q95"))
    if middle == 0:
        return say("and has paid with the first order in most draws")
    if not np.isfinite(middle):
        return say("and has not paid within {horizon} in most draws", horizon=numbers.horizon(one))
    late = (
        say("95 %: within {time}", time=numbers.plural(high, unit))
        if np.isfinite(high)
        else say("95 %: not within the horizon")
    )
    return say("and has paid after {time} (median; {late})", time=numbers.plural(middle, unit), late=late)


def _loss_words(one: xr.Dataset, found: xr.Dataset) -> str:
    loss = float(one["expected_loss"])
    if not loss > 0:
        return ""
    people = float(one["customers"])
    text = (
        say(
            "A wrong choice costs {loss} on average over {people:,.0f} customers",
            loss=money(loss, found),
            people=people,
        )
        if people > 1
        else say("A wrong choice costs {loss} on average a customer", loss=money(loss, found))
    )
    if str(one["decision"].values) == TEST:
        cost = money(found.attrs["test_cost"], found)
        return say("{text}, more than the {cost} of a test.", text=text, cost=cost)
    return say("{text}.", text=text)


def best_channel_sentences(found: xr.Dataset) -> list[str]:
    """Return which channel earns most a customer, or that none stands out, and which to stop or to test."""
    if drawn.center_of(found)[0] == "median":
        return []
    names = [str(name) for name in found[CHANNEL].to_numpy()]
    lines = [_best_words(found, names)]
    decisions = found["decision"].to_numpy()
    stopped, tested = (
        joined(
            "{first}, {second}",
            [f"“{name}”" for name, each in zip(names, decisions, strict=True) if each == what],
        )
        for what in (STOP, TEST)
    )
    if stopped:
        lines.append(say("Stop: {names}.", names=stopped))
    if tested:
        lines.append(say("Test first: {names}.", names=tested))
    return lines


def _best_words(found: xr.Dataset, names: list[str]) -> str:
    best, chance = best_of(found)
    one = found.isel({CHANNEL: best})
    if len(names) == 1:
        return say(
            "“{name}” earns {amount} a customer after its cost on average.",
            name=names[0],
            amount=money(one["profit_mean"], found),
        )
    if chance >= STANDS_OUT:
        return say(
            "Earns most on average: {channel}, {amount} a customer after its cost, the most of all {number} with a "
            "probability of {chance}.",
            channel=f"“{names[best]}”{known_words(one)}",
            amount=money(one["profit_mean"], found),
            number=len(names),
            chance=chance_words(chance),
        )
    return say(
        "None of the {number} stands out: the one with the highest mean earns most with a probability of {chance}, and "
        "is named from {least:.0f} % on.",
        number=len(names),
        chance=chance_words(chance),
        least=100 * STANDS_OUT,
    )


def best_of(found: xr.Dataset) -> tuple[int, float]:
    """Return the channel of the highest mean profit a customer, and how probably it is the best."""
    best = int(np.argmax(found["profit_mean"].to_numpy()))
    return best, float(found["probability_best"][best])


def budget_sentences(split: xr.Dataset) -> list[str]:
    """Return how a budget is split, what that earns, and how much more than today's shares."""
    names = [str(name) for name in split[CHANNEL].to_numpy()]
    parts = [
        say("{amount} to “{name}”", amount=money(each, split), name=name)
        for name, each in zip(names, split["spend"].to_numpy(), strict=True)
    ]
    mean, low, high = numbers.mean_interval(split["profit_total"])
    gain = split["gain_total"].to_numpy()
    budget = say(
        "Of a budget of {budget}: {parts}.",
        budget=money(split.attrs["budget"], split),
        parts=joined("{first}, {second}", parts),
    )
    text = say(
        "That earns {mean} on average (90 %: {low} to {high})",
        mean=money(mean, split),
        low=money(low, split),
        high=money(high, split),
    )
    if len(names) > 1:
        told = {"text": text, "gain": money(abs(gain.mean()), split)}
        told["chance"] = chance_words(float((gain > 0).mean()))
        text = (
            say(
                "{text}, {gain} more than as much money in today's shares, and more in {chance} of the draws",
                **told,
            )
            if gain.mean() >= 0
            else say(
                "{text}, {gain} less than as much money in today's shares, and more in {chance} of the draws",
                **told,
            )
        )
    lines = [joined("{first} {second}", [budget, say("{text}.", text=text)])]
    unspent = float(split.attrs["unspent"])
    if unspent > 1e-6 * float(split.attrs["budget"]):
        lines.append(
            say(
                "{amount} of it are better not spent: in no channel would the next of it bring back itself.",
                amount=money(unspent, split),
            )
        )
    return lines


def bid_sentence(name: str, bid: xr.Dataset) -> str:
    """Return what to bid for a channel's customers, what that earns, and what those who are won are worth."""
    best = bid.sel(bid=float(bid["best_bid"]))
    if float(bid["best_bid"]) == 0:
        return say("“{name}”: no bid pays, by what is stated.", name=name)
    gain, curse = float(bid["gain_over_mean_bid"]), float(bid["winners_curse"])
    won = numbers.number(float(np.round(best["volume_mean"])))
    low, mean, high = (money(best[f"profit_{end}"], bid) for end in ("q05", "mean", "q95"))
    said = [
        say(
            "“{name}”: bid {bid}. It wins {won} customers a period and earns {mean} (90 %: {low} to {high}), {gain} "
            "more than bidding {other}.",
            name=name,
            bid=money(bid["best_bid"], bid),
            won=won,
            mean=mean,
            low=low,
            high=high,
            gain=money(gain, bid),
            other=money(bid["mean_bid"], bid),
        )
    ]
    if float(bid.attrs["common"]) > 0:
        said.append(
            say(
                "Who is won is worth {value}, {curse} less than the mean of {mean}: the winner's curse.",
                value=money(best["value_when_won"], bid),
                curse=money(curse, bid),
                mean=money(bid.attrs["value_mean"], bid),
            )
        )
    if float(bid["best_bid"]) >= float(bid.attrs["highest_stated"]):
        said.append(say("It is the highest bid that is stated: a higher one may be better."))
    return joined("{first} {second}", said)


def failed_words(checks: Sequence[str]) -> str:
    """Return how far the verdicts on channels can be trusted where checks of the run failed; "" where none did."""
    if not checks:
        return ""
    return say_many(
        "{count} check of the run behind these channels failed, so that keep, stop and test below are verdicts of a "
        "fit that may be wrong",
        "{count} checks of the run behind these channels failed, so that keep, stop and test below are verdicts of a "
        "fit that may be wrong",
        len(checks),
    )


def money(amount: Any, result: xr.Dataset) -> str:
    """Return an amount as a sentence has it, in the currency of its result: without cents from a hundred on."""
    number = float(amount)
    return numbers.money(np.round(number) if abs(number) >= 100 else number, result.attrs.get("currency"))
