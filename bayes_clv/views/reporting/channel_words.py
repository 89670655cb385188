"""What is said of channels: worth and cost, how sure, from how many customers, and which one stands out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.valuation.acquisition import CHANNEL
from bayes_clv.valuation.channels import KEEP, STOP, TEST
from bayes_clv.views import numbers
from bayes_clv.views.plots import channels as drawn
from bayes_clv.views.plots.scenarios import chance_words

# Who earns most is named where that is more probable than that any of the others does.
STANDS_OUT = 0.5
# With fewer customers than about so many a channel says less of itself than the others say of it (docs/channels.md).
FEW = 20
_ADVICE = {KEEP: "Keep it.", STOP: "Stop it.", TEST: "Test it first."}


def channel_sentence(found: xr.Dataset, name: str) -> str:
    """Return what a manager is told of a channel: worth and cost, how sure, when paid, and what to do."""
    one = found.sel({CHANNEL: name})
    center, end = drawn.center_of(found)
    on_average = "on average" if center == "mean" else "in the median"
    middle, low, high = (money(one[f"value_{each}"]) for each in (end, "q05", "q95"))
    cost = money(one[f"cost_{end}"])
    chance = chance_words(float(one["probability_pays"]))
    advice = _ADVICE.get(str(one["decision"].values), "Without a mean value there is no advice.")
    return (
        f"“{name}”{known_words(one)}: a new customer is worth {middle} {on_average} (90 %: {low} to {high}) and costs "
        f"{cost}; it pays with a "
        f"probability of {chance} {payback_words(one)}. {advice}{_loss_words(one, found)}"
    )


def known_words(one: xr.Dataset) -> str:
    """Return from how many customers of a channel was learned, and that few lean on the others; "" where unknown."""
    if "customers_known" not in one:
        return ""
    people = int(one["customers_known"])
    if people == 0:
        return " (no customer yet, drawn from how the others differ)"
    text = f"{people:,} customer{'s' * (people != 1)}"
    return f" ({text}, lean{'s' * (people == 1)} on the others)" if people < FEW else f" ({text})"


def payback_words(one: xr.Dataset) -> str:
    """Return when a channel has paid, of one channel of a comparison."""
    unit = str(one.attrs["time_unit"])
    middle, high = (float(one[f"payback_{end}"]) for end in ("q50", "q95"))
    if middle == 0:
        return "and has paid with the first order in most draws"
    if not np.isfinite(middle):
        return f"and has not paid within {numbers.horizon(one)} in most draws"
    late = (
        f"95 %: within {numbers.plural(high, unit)}" if np.isfinite(high) else "95 %: not within the horizon"
    )
    return f"and has paid after {numbers.plural(middle, unit)} (median; {late})"


def _loss_words(one: xr.Dataset, found: xr.Dataset) -> str:
    loss = float(one["expected_loss"])
    if not loss > 0:
        return ""
    people = float(one["customers"])
    of = f"over {people:,.0f} customers" if people > 1 else "a customer"
    text = f" A wrong choice costs {money(loss)} on average {of}"
    if str(one["decision"].values) == TEST:
        return f"{text}, more than the {money(found.attrs['test_cost'])} of a test."
    return f"{text}."


def best_channel_sentences(found: xr.Dataset) -> list[str]:
    """Return which channel earns most a customer, or that none stands out, and which to stop or to test."""
    if drawn.center_of(found)[0] == "median":
        return []
    names = [str(name) for name in found[CHANNEL].to_numpy()]
    lines = [_best_words(found, names)]
    decisions = found["decision"].to_numpy()
    for what, words in ((STOP, "Stop"), (TEST, "Test first")):
        told = [f"“{name}”" for name, each in zip(names, decisions, strict=True) if each == what]
        if told:
            lines.append(f"{words}: {', '.join(told)}.")
    return lines


def _best_words(found: xr.Dataset, names: list[str]) -> str:
    best, chance = best_of(found)
    one = found.isel({CHANNEL: best})
    if len(names) == 1:
        return f"“{names[0]}” earns {money(one['profit_mean'])} a customer after its cost on average."
    if chance >= STANDS_OUT:
        return (
            f"Earns most on average: “{names[best]}”{known_words(one)}, {money(one['profit_mean'])} a customer after "
            f"its cost, the most of all {len(names)} with a probability of {chance_words(chance)}."
        )
    return (
        f"None of the {len(names)} stands out: the one with the highest mean earns most with a probability of "
        f"{chance_words(chance)}, and is named from {100 * STANDS_OUT:.0f} % on."
    )


def best_of(found: xr.Dataset) -> tuple[int, float]:
    """Return the channel of the highest mean profit a customer, and how probably it is the best."""
    best = int(np.argmax(found["profit_mean"].to_numpy()))
    return best, float(found["probability_best"][best])


def budget_sentences(split: xr.Dataset) -> list[str]:
    """Return how a budget is split, what that earns, and how much more than today's shares."""
    names = [str(name) for name in split[CHANNEL].to_numpy()]
    parts = [
        f"{money(each)} to “{name}”" for name, each in zip(names, split["spend"].to_numpy(), strict=True)
    ]
    mean, low, high = numbers.mean_interval(split["profit_total"])
    gain = split["gain_total"].to_numpy()
    text = f"Of a budget of {money(split.attrs['budget'])}: {', '.join(parts)}. That earns {money(mean)} on average "
    text += f"(90 %: {money(low)} to {money(high)})"
    if len(names) > 1:
        more = "more" if gain.mean() >= 0 else "less"
        text += (
            f", {money(abs(gain.mean()))} {more} than as much money in today's shares, and more in "
            f"{chance_words(float((gain > 0).mean()))} of the draws"
        )
    lines = [f"{text}."]
    unspent = float(split.attrs["unspent"])
    if unspent > 1e-6 * float(split.attrs["budget"]):
        lines.append(
            f"{money(unspent)} of it are better not spent: in no channel would the next of it bring back itself."
        )
    return lines


def bid_sentence(name: str, bid: xr.Dataset) -> str:
    """Return what to bid for a channel's customers, what that earns, and what those who are won are worth."""
    best = bid.sel(bid=float(bid["best_bid"]))
    if float(bid["best_bid"]) == 0:
        return f"“{name}”: no bid pays, by what is stated."
    gain, curse = float(bid["gain_over_mean_bid"]), float(bid["winners_curse"])
    won = numbers.number(float(np.round(best["volume_mean"])))
    low, mean, high = (money(best[f"profit_{end}"]) for end in ("q05", "mean", "q95"))
    text = (
        f"“{name}”: bid {money(bid['best_bid'])}. It wins {won} customers a period and earns {mean} (90 %: {low} to "
        f"{high}), {money(gain)} more than bidding {money(bid['mean_bid'])}."
    )
    if float(bid.attrs["common"]) > 0:
        text += (
            f" Who is won is worth {money(best['value_when_won'])}, {money(curse)} less than the mean of "
            f"{money(bid.attrs['value_mean'])}: the winner's curse."
        )
    if float(bid["best_bid"]) >= float(bid.attrs["highest_stated"]):
        text += " It is the highest bid that is stated: a higher one may be better."
    return text


def failed_words(checks: Sequence[str]) -> str:
    """Return how far the verdicts on channels can be trusted where checks of the run failed; "" where none did."""
    if not checks:
        return ""
    count = f"{len(checks)} check{'s' * (len(checks) > 1)} of the run behind these channels failed"
    return f"{count}, so that keep, stop and test below are verdicts of a fit that may be wrong"


def money(amount: Any) -> str:
    """Return an amount as a sentence has it: without cents from a hundred on."""
    number = float(amount)
    return numbers.number(np.round(number) if abs(number) >= 100 else number)
