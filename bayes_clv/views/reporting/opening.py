"""What the page opens with: a sentence, what failed, five numbers, a picture, and three decisions with their reasons.

A manager reads this much and no more, so that a failed check stands here too, in the words of its card.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import joined, say, say_many
from bayes_clv.problems import FIT_FAILED, MONEY_FAILED, Card
from bayes_clv.problems import title as title_of
from bayes_clv.schema import CUSTOMER, Problem
from bayes_clv.views import numbers
from bayes_clv.views.plots import amounts, holdout
from bayes_clv.views.reporting import verdicts
from bayes_clv.views.reporting.gallery import Figure, Gallery

TILES = 5
TENTHS = 10
# Of fewer customers a tenth is no group to draw: they are drawn themselves.
ENOUGH = 30
# Inches: what a telephone shows without making it smaller.
NARROW = 4.0
# Below it a customer is more probably gone than here.
GONE = 0.5


def summary(
    customers: xr.Dataset,
    value: xr.Dataset,
    score: dict[str, Any] | None,
    periods: list[dict[str, Any]],
    failed: list[Card],
) -> dict[str, str]:
    """Return what failed, and the sentence on what the base will do."""
    n = customers.sizes[CUSTOMER]
    off = {each.name for each in verdicts.missed(score)}
    until = customers.attrs.get("until")
    count = say_many("{count} check failed", "{count} checks failed", len(failed))
    if "purchases_total" in value:
        who = (
            say("The {n:,} customers of this base, observed until {until},", n=n, until=until)
            if until
            else say("The {n:,} customers of this base", n=n)
        )
        text = _purchases_to_come(value, who, tested=score is not None, missed="total" in off)
        if "value_total" in value:
            text = _worth(value, text, missed=bool(off & {"spend_total", "value_total"}))
    elif until:
        text = say("The base has {n:,} customers, observed until {until}", n=n, until=until)
    else:
        text = say("The base has {n:,} customers", n=n)
    said = [verdicts.missed_words(score), verdicts.calendar_words(verdicts.calendar(periods))]
    titles = joined("{first}; {second}", [card.title for card in failed])
    said = [each for each in said if each] or [say("{text}.", text=titles)]
    last = say("{failed}, and must be read first.", failed=count)
    return {
        "failed": joined("{first} {second}", [*said, last]) if failed else "",
        "text": say("{text} – but {failed}.", text=text, failed=count)
        if failed
        else say("{text}.", text=text),
    }


def _purchases_to_come(value: xr.Dataset, who: str, *, tested: bool, missed: bool) -> str:
    total, *ends = numbers.mean_interval(value["purchases_total"])
    mean, (low, high) = numbers.about(total), map(numbers.number, ends)
    told = {"who": who, "mean": mean, "low": low, "high": high, "horizon": numbers.horizon(value)}
    if missed:
        return say(
            "{who} will make about {mean} purchases over the next {horizon}; the model's 90 % interval, which failed "
            "on the holdout, is {low} to {high}",
            **told,
        )
    if not tested:
        return say(
            "{who} will make about {mean} purchases over the next {horizon}; by the model, which no holdout has "
            "tested, nine times in ten it will be between {low} and {high}",
            **told,
        )
    return say(
        "{who} will make about {mean} purchases over the next {horizon}; nine times in ten it will be between {low} "
        "and {high}",
        **told,
    )


def _worth(value: xr.Dataset, forecast: str, *, missed: bool) -> str:
    """Return the forecast of purchases with what they are worth."""
    mean, low, high = (_written(value, "value", x) for x in _total(value, "value"))
    told = {"forecast": forecast, "mean": mean, "low": low, "high": high, "after": _after(value)}
    if missed:
        return say(
            "{forecast}. They will be worth {mean} (between {low} and {high}, an interval that failed too) "
            "{after}",
            **told,
        )
    return say("{forecast}. They will be worth {mean} (between {low} and {high}) {after}", **told)


def _after(value: xr.Dataset) -> str:
    """Return what the total is after: revenue where no margin was given."""
    margin = float(value.attrs.get("margin", 0.0)) != 1
    discount = float(value.attrs.get("annual_discount_rate", 1.0)) != 0
    if "costs" in value.attrs:
        return say("after costs and discount") if discount else say("after costs")
    if margin:
        return say("after margin and discount") if discount else say("after margin")
    return say("of revenue after discount") if discount else say("of revenue")


def _total(value: xr.Dataset, stem: str) -> tuple[float, float, float]:
    """Return mean and 90 % interval of a total; the mean is NaN where a customer's mean does not exist."""
    mean, low, high = numbers.mean_interval(value[f"{stem}_total"])
    exists = f"{stem}_mean" not in value or bool(np.isfinite(value[f"{stem}_mean"]).all())
    return (mean if exists else float("nan")), low, high


def _written(value: xr.Dataset, stem: str, amount: float) -> str:
    """Return a number of purchases, or an amount in its currency."""
    return numbers.money(amount, value.attrs.get("currency")) if stem == "value" else numbers.about(amount)


@dataclass(frozen=True)
class KeyNumber:
    """One of the numbers at the head of the page; ``failed`` says where the holdout or the calendar denied it."""

    label: str
    number: str
    level: str | None = None
    note: str | None = None
    failed: str | None = None


def key_numbers(
    customers: xr.Dataset,
    value: xr.Dataset,
    score: dict[str, Any] | None,
    periods: list[dict[str, Any]],
    problems: list[Problem],
) -> list[KeyNumber]:
    """Return the numbers of the tiles, at most five: what will come, and how far the past agreed.

    What failed is kept before what passed: a number that is left out is one with which nothing is wrong.
    """
    off = {
        each.name: say("holdout failed: {verdict}", verdict=each.verdict) for each in verdicts.missed(score)
    }
    for found in _money_problems(problems)[:1]:
        off["money"] = say("check failed: {title}", title=title_of(found))
    repeaters = int((customers["frequency"] > 0).sum())
    size = customers.sizes[CUSTOMER]
    again = say("{repeaters:,} with a repeat purchase", repeaters=repeaters)
    keys = [KeyNumber(say("customers"), f"{size:,}", note=again)]
    worth = say("residual revenue") if numbers.is_revenue(value) else say("residual value")
    for stem, label, totals in (
        ("purchases", say("purchases"), ("total",)),
        ("value", worth, ("value_total", "spend_total", "money")),
    ):
        if f"{stem}_total" in value:
            mean, low, high = _total(value, stem)
            ends = {"low": _written(value, stem, low), "high": _written(value, stem, high)}
            note = say("90 %: {low} to {high}", **ends)
            failing = next((off[name] for name in totals if name in off), None)
            label = say("{quantity}, {horizon}", quantity=label, horizon=numbers.horizon(value))
            keys.append(KeyNumber(label, _written(value, stem, mean), "outcome", note, failing))
    if "probability_active" in value:
        active = float(value["probability_active"].mean())
        note = say_many("about {count:,} customer", "about {count:,} customers", round(active * size))
        label = say("buy at all, {horizon}", horizon=numbers.horizon(value))
        failing = off.get("retention_total")
        keys.append(KeyNumber(label, numbers.share(active), "outcome", note, failing))
    if score is None and "probability_alive" in value:
        alive = float(value["probability_alive"].mean())
        untold = _untold(value, customers) or None
        keys.append(KeyNumber(say("alive now, on average"), numbers.share(alive), "expected", untold))
    keys += [*_inside(score, problems), *_weeks(periods)]
    left_out = sorted(range(len(keys)), key=lambda place: (keys[place].failed is None, place))[TILES:]
    return [key for place, key in enumerate(keys) if place not in left_out]


def _weeks(periods: list[dict[str, Any]]) -> list[KeyNumber]:
    """Return how many weeks lie inside the band, where they were counted."""
    weeks = verdicts.calendar_tile(periods)
    if weeks is None:
        return []
    shown, few = weeks
    number = say("{inside} of {number}", inside=shown["inside"], number=shown["number"])
    label = say("{units} inside the 90 % band", units=say(shown["units"]))
    note = say("{part}; promised {expected:.0f}", part=say(shown["part"]), expected=shown["expected"])
    failed = say("failed: at least {lower} if the model held", lower=shown["lower"]) if few else None
    return [KeyNumber(label, number, "outcome", note, failed)]


def _inside(score: dict[str, Any] | None, problems: list[Problem]) -> list[KeyNumber]:
    """Return how many customers of the holdout lie inside their intervals."""
    if score is None:
        return []
    model: dict[str, Any] = next(iter(score["measures"].values()))
    ninety = score["intervals"].index(90)
    note = say("promised {share}", share=numbers.share(model["promised"][ninety]))
    failed = next(iter(_off_intervals(problems)), None)
    number = numbers.share(model["covered"][ninety])
    return [KeyNumber(say("holdout inside 90 % intervals"), number, "outcome", note, failed)]


def _off_intervals(problems: list[Problem]) -> list[str]:
    """Return how customers' intervals missed: those of all, else of the frequent buyers."""
    words = {
        "holdout_narrow": say("failed: too few by more than chance"),
        "holdout_wide": say("failed: too many by more than chance"),
    }
    found = [words[each.code] for each in problems if each.code in words and each.numbers["level"] == 90]
    few = [each for each in problems if each.code == "holdout_frequent"]
    return found + [
        say("failed: only {covered:.1f} % of frequent buyers", covered=each.numbers["covered"])
        for each in few
    ]


@dataclass(frozen=True)
class Link:
    """A line of the first screen that leads on: a title, its reason, and the section (or card) to read."""

    title: str
    text: str
    to: str
    words: str


def failed_links(failed: list[Card]) -> list[Link]:
    """Return the failed checks by their titles, which lead to their cards."""
    return [Link(card.title, "", f"failed-{place}", card.title) for place, card in enumerate(failed, start=1)]


def decisions(
    value: xr.Dataset,
    stem: str,
    score: dict[str, Any] | None,
    alarms: xr.Dataset | None,
    *,
    customers: xr.Dataset | None = None,
    failed: Sequence[Card] = (),
    problems: Sequence[Problem] = (),
    command: bool = False,
) -> list[Link]:
    """Return three decisions that the numbers speak to: what to plan with, whom to look after, whom to ask.

    ``failed`` are the cards of ``problems``: where a fit did not pass, to fit again comes first, and the other
    decisions say that they stand on that fit. ``command``: advice is to be in words of the command line.
    """
    others = [_look_after(value, stem, problems), _ask(value, stem, alarms, customers)]
    again = _fit_again(failed)
    if again is not None:
        doubt = say("This stands on a fit that did not pass its own check.")
        return [
            again,
            *(replace(each, text=joined("{first} {second}", [each.text, doubt])) for each in others),
        ]
    return [_plan(value, stem, score, problems, command), *others]


def _fit_again(failed: Sequence[Card]) -> Link | None:
    """Return to fit again, with what failed and its first remedy; None where all fits passed."""
    cards = [card for card in failed if set(card.codes) & set(FIT_FAILED)]
    if not cards:
        return None
    said = say("{text}.", text=joined("{first}; {second}", [card.title for card in cards]))
    remedies = dict.fromkeys(card.remedies[0] for card in cards)
    last = say("Until then no number here is to be planned with.")
    text = joined("{first} {second}", [said, *remedies, last])
    return Link(say("Fit again"), text, "checks", say("What failed, and what to do"))


def _money_problems(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems that say that totals of money are off, or too sure."""
    return [each for each in problems if each.code in MONEY_FAILED]


def _plan(
    value: xr.Dataset, stem: str, score: dict[str, Any] | None, problems: Sequence[Problem], command: bool
) -> Link:
    missed = verdicts.missed(score)
    if missed:
        *most, last = [each.what for each in missed]
        listed = joined("{first}, {second}", most)
        said = joined("{first} and {second}", [listed, last] if most else [last])
        return Link(
            say("Do not plan on totals yet"),
            say(
                "On the holdout the total of {totals} lay outside its 90 % interval. Rankings and shares may still "
                "serve.",
                totals=said,
            ),
            "checks",
            say("What failed, and what to do"),
        )
    if f"{stem}_total" not in value:
        return Link(
            say("Plan by customers"),
            say("This forecast has no total."),
            "customers",
            say("The best customers"),
        )
    mean, low, high = (_written(value, stem, x) for x in _total(value, stem))
    ends = {"low": low, "high": high}
    total = value[f"{stem}_total"].to_numpy()
    if (total >= 0).all() and np.mean(total == 0) >= 0.05:
        # Nothing is below 0, and nothing at all may come more often than one time in twenty.
        rarely = say(
            "The total is {low} one time in twenty or more often, and above {high} one time in twenty", **ends
        )
    elif stem == "purchases":
        rarely = say(
            "The total of purchases is below {low} one time in twenty, and as rarely above {high}", **ends
        )
    else:
        rarely = say(
            "The total of money is below {low} one time in twenty, and as rarely above {high}", **ends
        )
    back = "--holdout-until" if command else "summarize(..., holdout_until=...)"
    tested = (
        say("{text}, by the model, untested: keep a part back with {holdout}.", text=rarely, holdout=back)
        if score is None
        else say("{text}. Held against the past, the real totals lay inside.", text=rarely)
    )
    money = _money_problems(problems) if stem == "value" else []
    if money:
        said = joined("{first}; {second}", dict.fromkeys(title_of(each) for each in money))
        failed = say("A check of money failed: {titles}.", titles=said)
        return Link(
            say("Do not plan with {low} to {high} yet", **ends),
            joined("{first} {second}", [failed, tested]),
            "checks",
            say("What failed, and what to do"),
        )
    to = (
        ("checks", say("How far to trust it"))
        if score is None
        else ("holdout", say("The forecast of the holdout"))
    )
    return Link(say("Plan with {low} to {high}, not {mean} alone", **ends, mean=mean), tested, *to)


def _best_tenth(value: xr.Dataset, stem: str) -> xr.Dataset:
    """Return the tenth of the customers with the highest means; of fewer than ten, the best one."""
    return amounts.top_customers(value, max(1, round(value.sizes[CUSTOMER] / TENTHS)), quantity=stem)


def _look_after(value: xr.Dataset, stem: str, problems: Sequence[Problem]) -> Link:
    best, whole = _best_tenth(value, stem), float(value[f"{stem}_mean"].sum())
    size = best.sizes[CUSTOMER]
    title = say("Look after the best tenth") if size > 1 else say("Look after the best customer")
    if not whole > 0:
        return Link(title, say("Nothing is expected of any customer."), "customers", say("The customers"))
    text = _best_hold(best, stem, numbers.share(float(best[f"{stem}_mean"].sum()) / whole))
    if stem == "value" and any(each.code == "spend_falls" for each in problems):
        too_high = say(
            "A check of money failed: frequent customers spend less an order, so that this is too high."
        )
        text = joined("{first} {second}", [text, too_high])
    return Link(title, text, "customers", say("The best customers, with intervals"))


def _best_hold(best: xr.Dataset, stem: str, held: str) -> str:
    """Return what share the best customers hold of all value, or of all purchases."""
    names = ", ".join(str(each) for each in best[CUSTOMER].to_numpy()[:3])
    told: dict[str, Any] = {"names": names, "held": held}
    size = best.sizes[CUSTOMER]
    if stem == "value":
        return say_many(
            "Customer {names} holds {held} of what this base is expected to bring.",
            "{count:,} customers, first {names}, hold {held} of what this base is expected to bring.",
            size,
            **told,
        )
    return say_many(
        "Customer {names} holds {held} of the purchases to expect.",
        "{count:,} customers, first {names}, hold {held} of the purchases to expect.",
        size,
        **told,
    )


def _ask(value: xr.Dataset, stem: str, alarms: xr.Dataset | None, customers: xr.Dataset | None) -> Link:
    """Return who may have left: by the alarms, or else among the best; whom a contact changes, neither knows.

    Of whom the family cannot tell, that is said: in some nobody leaves before a repeat purchase, or ever.
    """
    title = say("Ask those who fell silent")
    known = say("Who may leave is not yet who is won by a contact: test that on some.")
    untold = _untold(value, customers)
    further = [untold, known] if untold else [known]
    if alarms is not None:
        raised, size = int(alarms["alarmed"].sum()), alarms.sizes[CUSTOMER]
        text = say("The alarm of {raised:,} of {size:,} customers has passed.", raised=raised, size=size)
        return Link(title, joined("{first} {second}", [text, *further]), "alarms", say("The alarms"))
    best = _best_tenth(value, stem)
    if "probability_alive" not in best:
        return Link(title, known, "customers", say("The best customers"))
    gone, of_best = (int((some["probability_alive"] < GONE).sum()) for some in (value, best))
    if not gone:
        title = say("Do not take silence for loyalty") if untold else say("Nobody is likely to have left")
        text = say("No customer is more probably gone than still here.")
    elif best.sizes[CUSTOMER] == 1:
        told = {"size": value.sizes[CUSTOMER], "best": str(best[CUSTOMER].item())}
        text = (
            say_many(
                "{count:,} of {size:,} customers is more probably gone than still here: the best one, {best}.",
                "{count:,} of {size:,} customers are more probably gone than still here, the best one, {best}, among "
                "them.",
                gone,
                **told,
            )
            if of_best
            else say_many(
                "{count:,} of {size:,} customers is more probably gone than still here; not the best one, {best}.",
                "{count:,} of {size:,} customers are more probably gone than still here; not the best one, {best}.",
                gone,
                **told,
            )
        )
    else:
        text = say_many(
            "{count:,} of {size:,} customers is more probably gone than still here, {of_best} of the best {best:,} "
            "among them.",
            "{count:,} of {size:,} customers are more probably gone than still here, {of_best} of the best {best:,} "
            "among them.",
            gone,
            size=value.sizes[CUSTOMER],
            of_best=of_best or say("none"),
            best=best.sizes[CUSTOMER],
        )
    return Link(title, joined("{first} {second}", [text, *further]), "silence", say("What a silence says"))


def _untold(value: xr.Dataset, customers: xr.Dataset | None) -> str:
    """Return of whom the family cannot tell whether they have left; empty where it can of all.

    Found in the numbers: such customers are alive with probability 1, however long their silence.
    """
    if customers is None or "probability_alive" not in value or "frequency" not in customers:
        return ""
    alive = value["probability_alive"].to_numpy() >= 1
    once = customers["frequency"].sel({CUSTOMER: value[CUSTOMER]}).to_numpy() == 0
    if alive.all() and not once.all():
        return say("In this family nobody ever leaves; mbg_nbd and pareto_nbd tell who has.")
    if not once.any() or not alive[once].all():
        return ""
    can = "mbg_cnbd_k" if "cnbd_k" in str(value.attrs.get("family", "")) else "mbg_nbd"
    count = int(once.sum())
    return say_many(
        "This family cannot tell for {count:,} one-time buyer; {family} or pareto_nbd can.",
        "This family cannot tell for {count:,} one-time buyers; {family} or pareto_nbd can.",
        count,
        family=can,
    )


def pictures(
    gallery: Gallery, value: xr.Dataset, tracking: xr.Dataset | None, periods: list[dict[str, Any]], stem: str
) -> dict[str, Figure]:
    """Return the picture: the forecast over the holdout beside what came, or else where the value is.

    It is drawn twice, ``wide`` and ``narrow``, since the first screen of a telephone is too small for half of it.
    """
    name, draw, caption = _picture(value, tracking, periods, stem)
    return {
        "wide": gallery.add(name, draw, caption, "outcome", narrow=False),
        "narrow": gallery.add(
            f"{name}-narrow", partial(draw, width=NARROW), caption, "outcome", narrow=False
        ),
    }


def _picture(
    value: xr.Dataset, tracking: xr.Dataset | None, periods: list[dict[str, Any]], stem: str
) -> tuple[str, partial[Any], str]:
    if tracking is not None and any(each["part"] == "holdout" for each in periods):
        return (
            "forecast",
            partial(holdout.plot_forecast, tracking),
            say(
                "All customers' repeat purchases. The forecast was made at the beginning of the shaded holdout and is "
                "held against what came then: the orange dots should stay inside the light band nine times in ten."
            ),
        )
    if value.sizes[CUSTOMER] >= ENOUGH:
        return (
            "tenths",
            partial(amounts.plot_tenths, value, quantity=stem),
            say(
                "All customers in ten equal groups, ranked by what is expected of each: a high first bar means that "
                "few customers decide about the whole."
            ),
        )
    return (
        "few-customers",
        partial(amounts.plot_customers, value, TENTHS, quantity=stem),
        say(
            "Each line is one customer: what it will bring lies within the thin line nine times in ten, within the "
            "thick one every other time."
        ),
    )
