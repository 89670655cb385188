"""What the commands print: numbers as a sentence has them, a run in some lines, and which of its checks failed."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.problems import SPEND_ERRORS, SPEND_MAX, Card

if TYPE_CHECKING:
    from bayes_clv.predictions.own_costs import Costs

PASSED = "All checks passed."
PASSED_BUT = (
    f"No check failed: what money is off, above, is no more than {SPEND_MAX:.0f} %. Read it before "
    "you plan with money."
)


def plain_number(number: float) -> str:
    """Return a number as a sentence has it."""
    from bayes_clv.views.numbers import about

    return about(number)


def amount(number: float, currency: str | None) -> str:
    """Return an amount of money as a sentence has it, whole from ten on, with its currency if that is known."""
    from bayes_clv.views.numbers import money

    return (
        money(round(number) if abs(number) >= 10 else number, currency) if currency else plain_number(number)
    )


def percent(share: float) -> str:
    """Return a share in per cent."""
    return f"{100 * share:.3g} %"


def earned(margin: float, annual_discount_rate: float, costs: "Costs | None" = None) -> str:
    """Return what value is: revenue where the margin is 1, else a share of spend; less costs where they are stated.

    A margin of NaN is each customer's own.
    """
    discount = (
        f"discounted by {percent(annual_discount_rate)} a year" if annual_discount_rate else "undiscounted"
    )
    share = "revenue" if margin == 1 else f"{percent(margin)} of spend"
    if math.isnan(margin):
        share = "each customer's own margin on spend"
    if costs is not None:
        share += f", less what customers cost ({costs.text})"
    return f"value is {share}, {discount}"


def check_lines(titles: Iterable[str], passed: str = PASSED, where: str = "") -> list[str]:
    """Return the failed checks, a line each, under the titles that the report's cards have."""
    failed = list(titles)
    if not failed:
        return [passed]
    count = f"{len(failed)} check{'s' if len(failed) > 1 else ''} failed"
    return [f"{count}{where}:", *(f"  {title}" for title in failed)]


def titles_of(cards: Iterable[Card]) -> list[str]:
    """Return the titles of cards."""
    return [card.title for card in cards]


def run_summary(record: dict[str, Any], out: Path) -> list[str]:
    """Return what a person wants to know of a run before opening the report."""
    from bayes_clv.views.numbers import written

    arguments, totals = record["arguments"], record["totals"]
    people = f"{record['customers']:,} customer{'' if record['customers'] == 1 else 's'}"
    lines = [f"{people}; forecast over {written(str(arguments['horizon']))} (outcome level)."]
    if record.get("choice") is not None:
        lines.append(f"Chosen: {record['choice']['reason']}")
    if record.get("habits"):
        lines.append(record["habits"])
    lines += record.get("over_time", [])
    lines += record.get("calendar", [])
    lines += record.get("spend", {}).get("words", [])
    worth = worth_of(arguments.get("margin"), record.get("costs"))
    if record.get("costs"):
        lines.append(f"Values are less what customers cost: {record['costs']}.")
    lines += total_lines(totals, worth, arguments.get("currency"))
    if record["holdout"] is not None:
        lines += ["", *holdout_lines(record["holdout"])]
    lines += _calendar_lines(record.get("tracking", []))
    report = out / "report.html"
    titles = [card["title"] for card in record["checks"]]
    passed = PASSED_BUT if _remarked(record.get("spend", {})) else PASSED
    lines += ["", *check_lines(titles, passed, where="; the report says what each means and what to do")]
    return [*lines, "", f"Report: {report} (in {record['seconds']:.0f} s)"]


def _remarked(found: dict[str, Any]) -> bool:
    """Return whether what was said of spend is that totals of money are off, by more than chance."""
    return any(
        part.get("off")
        and f"{100 * abs(part['off']):.0f}" != "0"
        and abs(part["off"]) > SPEND_ERRORS * part["error"]
        for part in found.values()
        if isinstance(part, dict)
    )


def worth_of(margin: Any, costs: str | None) -> str:
    """Return what a total of money is: revenue where nothing is taken off, else value."""
    return "Residual revenue" if margin == 1 and not costs else "Residual value"


def total_lines(totals: dict[str, Any], worth: str, currency: str | None) -> list[str]:
    """Return the totals of all customers, a line each: ``worth`` says what value is, ``currency`` what amounts are."""
    from bayes_clv.views.numbers import money

    lines = []
    for name, what, called in (("purchases", "Purchases", None), ("value", worth, currency)):
        if name in totals:
            mean, low, high = (money(totals[name][each], called) for each in ("mean", "q05", "q95"))
            lines.append(f"{what} of all customers: mean {mean}, 90 % interval {low} to {high}.")
    return lines


def holdout_lines(score: dict[str, Any], what: str = "Holdout of") -> list[str]:
    """Return how the forecast of a holdout did: customers' intervals, and each total."""
    from bayes_clv.views.numbers import plural
    from bayes_clv.views.reporting.verdicts import missed_words, totals

    model = next(iter(score["measures"].values()))
    ninety = score["intervals"].index(90)
    lines = [
        f"{what} {plural(score['horizon'], score['time_unit'])}:",
        f"  {model['covered'][ninety]:.1%} of customers' real counts lie in their 90 % interval, which holds "
        f"{model['promised'][ninety]:.1%} by the model (counts are whole, so a closed interval holds more than 90 %).",
    ]
    for total in totals(score):
        where = "inside" if total.direction == "inside" else f"OUTSIDE, {total.direction}"
        forecast = f"forecast {total.written(total.mean)}, 90 % interval {total.interval}"
        lines.append(f"  Real: {total.real}; {forecast}: {where}.")
    failed = missed_words(score)
    if failed:
        lines.append(f"  {failed} Rely on rankings and shares rather than on sums.")
    return lines


def _calendar_lines(periods: list[dict[str, Any]]) -> list[str]:
    """Return the weeks inside the tracking's band: where too few are, that; else one line."""
    from bayes_clv.views.reporting.verdicts import calendar, calendar_words, inside_words

    failed = calendar(periods)
    if failed:
        return ["", calendar_words(failed)]
    weeks = [f"{inside_words(each)}, {each['part']}" for each in periods if each["unit"] != "month"]
    return ["", f"Tracking: {'; '.join(weeks)}."] if weeks else []
