"""What the holdout and the calendar say of the totals, in the words that the page and the terminal share.

All of it is read from plain records, which ``run.json`` keeps: that of an evaluation (``clv.scoring.record``) and that
of the weeks inside the tracking's band (`periods_inside`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayes_clv.language import WORDS, joined, say
from bayes_clv.problems import SPEND_ERRORS
from bayes_clv.scoring.spending import CLASSES
from bayes_clv.views.numbers import money

if TYPE_CHECKING:
    import xarray as xr

# A total, and the name of what happened in the record.
_TOTALS = {
    "total": "total_observed",
    "retention_total": "retention_observed",
    "spend_total": "spend_observed",
    "value_total": "value_observed",
}


def _in_words(name: str, amount: str) -> tuple[str, str]:
    """Return what a total is of, alone and with its number."""
    return {
        "total": (say("purchases"), say("{n} purchases", n=amount)),
        "retention_total": (say("customers who bought"), say("{n} customers who bought", n=amount)),
        "spend_total": (say("spend"), say("spend of {amount}", amount=amount)),
        "value_total": (say("value"), say("value of {amount}", amount=amount)),
    }[name]


@dataclass(frozen=True)
class Total:
    """A total of the holdout: what happened, and the forecast's mean and 90 % interval (outcome level).

    ``name`` is that of the measures (``total``, ``retention_total``, ``spend_total``, ``value_total``), ``what`` says
    of what it is, ``real`` what happened, ``currency`` what its amounts of money are called.
    """

    name: str
    what: str
    observed: float
    mean: float
    low: float
    high: float
    real: str
    currency: str | None = None

    def written(self, amount: float) -> str:
        """Return an amount of this total: money in its currency."""
        return money(amount, self.currency)

    @property
    def direction(self) -> str:
        """Return where what happened lies: ``above`` or ``below`` the interval, or ``inside`` it."""
        return "above" if self.observed > self.high else "below" if self.observed < self.low else "inside"

    @property
    def interval(self) -> str:
        """Return the ends of the interval in words."""
        return say("{low} to {high}", low=self.written(self.low), high=self.written(self.high))

    @property
    def verdict(self) -> str:
        """Return what happened beside the interval.

        >>> Total("total", "purchases", 1882.0, 1640.0, 1551.0, 1732.0, "1,882 purchases").verdict
        '1,882 purchases, above 1,551 to 1,732'
        """
        told = {"real": self.real, "interval": self.interval}
        return {
            "above": say("{real}, above {interval}", **told),
            "below": say("{real}, below {interval}", **told),
            "inside": say("{real}, inside {interval}", **told),
        }[self.direction]


def totals(score: Mapping[str, Any]) -> list[Total]:
    """Return the totals of the holdout that the first forecast has, purchases first; no value that is a share of spend.

    Parameters
    ----------
    score
        ``clv.scoring.record`` of an evaluation.

    Examples
    --------
    >>> measures = {"total_mean": 1640.0, "total_q05": 1551.0, "total_q95": 1732.0}
    >>> [each.direction for each in totals({"measures": {"model": measures}, "observed": {"total_observed": 1882}})]
    ['above']
    """
    measures, observed = next(iter(score["measures"].values())), score["observed"]
    found = []
    for name, happened in _TOTALS.items():
        low, high = (measures.get(f"{name}_{end}") for end in ("q05", "q95"))
        real = observed.get(happened)
        if low is None or high is None or real is None:
            continue
        # A mean may be missing (it does not exist) where the interval is there.
        mean = measures.get(f"{name}_mean")
        mean = float("nan") if mean is None else float(mean)
        called = score.get("currency") if name in ("spend_total", "value_total") else None
        what, said = _in_words(name, money(real, called))
        found.append(Total(name, what, float(real), mean, float(low), float(high), said, called))
    return [each for each in found if _tells_something(each, found)]


def _tells_something(each: Total, others: list[Total]) -> bool:
    """Return whether a total says what no other says: an undiscounted value is a fixed share of spend."""
    if each.name != "value_total":
        return True
    spend = next((other for other in others if other.name == "spend_total"), None)
    return spend is None or not all(
        math.isclose(end * spend.observed, of_spend * each.observed, rel_tol=1e-6)
        for end, of_spend in ((each.low, spend.low), (each.high, spend.high))
    )


def missed(score: Mapping[str, Any] | None) -> list[Total]:
    """Return the totals whose real number lies outside the forecast's interval."""
    return [] if score is None else [each for each in totals(score) if each.direction != "inside"]


def missed_words(score: Mapping[str, Any] | None) -> str:
    """Return the sentence on the totals that were missed; empty where none was.

    A value that missed as spend did is left to its card.
    """
    failed = missed(score)
    spend = {each.direction for each in failed if each.name == "spend_total"}
    said = [each.verdict for each in failed if each.name != "value_total" or each.direction not in spend]
    if not said:
        return ""
    return say(
        "The forecast of the holdout failed (90 % intervals): {verdicts}.",
        verdicts=joined("{first}; {second}", said),
    )


def periods_inside(tracking: "xr.Dataset") -> list[dict[str, Any]]:
    """Return how many weeks and months lie inside the tracking's 90 % band, a dict for each part and length of period.

    Keys: ``part`` ("calibration", "holdout"), ``unit`` ("week", "month") and ``units``, its plural, ``number`` of
    periods, ``inside``, ``above`` and ``below`` the band, ``expected`` inside and ``lower``, the count that the model
    itself does not reach in one draw of a hundred (`clv.scoring.tracking_counts`). Parts without periods are left out.

    Examples
    --------
    >>> tracking = clv.scoring.simulate_tracking(buying, customers, seed=1, draws=50)
    >>> [each["part"] for each in periods_inside(tracking) if each["unit"] == "week"]
    ['calibration', 'holdout']
    """
    from bayes_clv.scoring.tracked import tracking_counts

    counts = tracking_counts(tracking)
    found = []
    for part in counts["part"].to_numpy().tolist():
        for unit in counts["periods"].to_numpy().tolist():
            at = {name: float(each.sel(part=part, periods=unit)) for name, each in counts.items()}
            if not at["number"] > 0 or not math.isfinite(at["inside"]):
                continue
            whole = {name: int(at[name]) for name in ("number", "inside", "above", "lower")}
            below = whole["number"] - whole["inside"] - whole["above"]
            found.append(
                {
                    "part": part,
                    "unit": unit,
                    "units": _units(unit),
                    **whole,
                    "below": below,
                    "expected": at["expected"],
                }
            )
    return found


def _units(unit: str) -> str:
    return f"{unit}s" if unit in ("week", "month") else f"periods of {unit}"


def too_few(each: Mapping[str, Any]) -> bool:
    """Return whether fewer periods are inside than the model itself brings in 99 of 100 draws."""
    return bool(each["inside"] < each["lower"])


def inside_words(each: Mapping[str, Any]) -> str:
    """Return how many periods lie inside the band, and how many the model promises.

    >>> inside_words({"units": "weeks", "number": 39, "inside": 32, "expected": 35.2})
    '32 of 39 weeks inside the 90 % band (promised 35)'
    """
    return say(
        "{inside} of {number} {units} inside the 90 % band (promised {expected:.0f})",
        **{name: each[name] for name in ("inside", "number", "expected")},
        units=say(each["units"]),
    )


def calendar(periods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return where too few periods are inside: of each part the weeks, or the months where the weeks pass."""
    failed: dict[str, dict[str, Any]] = {}
    for each in periods:
        if too_few(each):
            failed.setdefault(each["part"], each)
    return list(failed.values())


def calendar_words(failed: Sequence[Mapping[str, Any]]) -> str:
    """Return the sentence on the parts of the calendar that failed; empty where none did.

    >>> calendar_words([{"part": "holdout", "units": "weeks", "number": 53, "inside": 20, "expected": 47.7}])
    'Only 20 of 53 weeks of the holdout (promised 48) lie inside the 90 % band.'
    """
    said = [
        say(
            "{inside} of {number} {units} of the {part} (promised {expected:.0f})",
            **{name: each[name] for name in ("inside", "number", "expected")},
            units=say(each["units"]),
            part=say(each["part"]),
        )
        for each in failed
    ]
    if not said:
        return ""
    return say("Only {counts} lie inside the 90 % band.", counts=joined("{first} and {second}", said))


def calendar_tile(periods: list[dict[str, Any]]) -> tuple[dict[str, Any], bool] | None:
    """Return the one count to show, and whether it failed: the worst that did, else the last part's weeks."""
    failed = calendar(periods)
    if failed:
        return min(failed, key=lambda each: each["inside"] / max(each["expected"], 1)), True
    weeks = [each for each in periods if each["unit"] != "month"]
    return (weeks[-1], False) if weeks else None


def largest_class(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the class of frequency that moves the total of money most, of ``clv.scoring.spend_check``."""
    return dict(max(part["classes"], key=lambda each: abs(each["moves"])))


def buyers_words(least: int) -> str:
    """Return who buys so often, in English; the classes are those of ``clv.scoring.spend_check``.

    >>> buyers_words(5)
    'Buyers of 5 or more repeat orders'
    """
    return dict(zip(CLASSES, WORDS["who"], strict=True))[least]


def spend_words(found: Mapping[str, Any]) -> list[str]:
    """Return what ``clv.scoring.spend_check`` found, a sentence each; empty where it found nothing to say.

    >>> spend_words({"age": {"slope": 0.1, "off": -0.05, "error": 0.01}})
    ['With each year of its age a customer spends 10 % more an order: money 5 ± 1 % too low, should that go on.']
    >>> spend_words({"age": {"slope": 0.01, "off": -0.005, "error": 0.01}})
    ['What a customer spends an order does not change with its age beyond chance.']
    >>> spend_words({"calendar": {"spread": 0.001, "months": 12}})
    ['What a customer spends an order does not change with the month beyond chance.']
    """
    said = []
    if "frequency" in found:
        part = found["frequency"]
        most = largest_class(part)
        said.append(
            say(
                "{who} spend {more} an order than the model says: with those of other frequencies, money {off}.",
                who=say(buyers_words(most["least"])),
                more=_more(most["more"]),
                off=_off(part),
            )
            if _shows(most["more"])
            else say("Whatever their frequency, buyers spend an order what the model says, within 1 %.")
        )
    still = []
    for name, of in (("age", say("its age")), ("order_number", say("the order's number"))):
        if name in found:
            part = found[name]
            if abs(part["off"]) <= SPEND_ERRORS * part["error"]:
                still.append(of)
                continue
            told = {"more": _more(part["slope"]), "off": _off(part)}
            said.append(
                say(
                    "With each year of its age a customer spends {more} an order: money {off}, should that go on.",
                    **told,
                )
                if name == "age"
                else say(
                    "With twice the order number a customer spends {more} an order: money {off}, should that go on.",
                    **told,
                )
            )
    pace = found.get("calendar")
    if pace is not None and not _shows(pace["spread"]):
        still.append(say("the month"))
    if still:
        said.append(
            say(
                "What a customer spends an order does not change with {what} beyond chance.",
                what=joined("{first} or {second}", still),
            )
        )
    if pace is not None and _shows(pace["spread"]):
        said.append(
            say(
                "From month to month the same customers' spend an order moves by {spread:.0f} % beyond chance, over "
                "{months} months; most was spent in {highest}, {factor:.2f} times their own mean.",
                spread=100 * pace["spread"],
                **{name: pace[name] for name in ("months", "highest", "factor")},
            )
        )
    return said


def _shows(relative: float) -> bool:
    """Return whether a share is more than 0 % in words."""
    return round(100 * abs(relative)) >= 1


def _more(relative: float) -> str:
    share = 100 * abs(relative)
    return say("{share:.0f} % more", share=share) if relative > 0 else say("{share:.0f} % less", share=share)


def _off(part: Mapping[str, Any]) -> str:
    if not (_shows(part["off"]) or _shows(part["error"])):
        return say("right within 1 %")
    told = {"off": 100 * abs(part["off"]), "error": 100 * part["error"]}
    by_chance = abs(part["off"]) <= SPEND_ERRORS * part["error"]
    if part["off"] > 0:
        return (
            say("{off:.0f} ± {error:.0f} % too high, within chance", **told)
            if by_chance
            else say("{off:.0f} ± {error:.0f} % too high", **told)
        )
    return (
        say("{off:.0f} ± {error:.0f} % too low, within chance", **told)
        if by_chance
        else say("{off:.0f} ± {error:.0f} % too low", **told)
    )
