"""What the holdout says of the totals, in the words that the page, the terminal and ``run.json`` share.

All of it is read from the plain record of an evaluation (``clv.scoring.record``), which is what ``run.json`` keeps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayes_clv.views.numbers import number

# A total, what it is of in front of and behind its number, and what happened under which name in the record.
_TOTALS = {
    "total": ("", " purchases", "total_observed"),
    "retention_total": ("", " customers who bought", "retention_observed"),
    "spend_total": ("spend of ", "", "spend_observed"),
    "value_total": ("value of ", "", "value_observed"),
}


@dataclass(frozen=True)
class Total:
    """A total of the holdout: what happened, and the forecast's mean and 90 % interval (outcome level).

    ``name`` is that of the measures (``total``, ``retention_total``, ``spend_total``, ``value_total``); ``real`` says
    what happened, with its unit.
    """

    name: str
    observed: float
    mean: float
    low: float
    high: float
    real: str

    @property
    def direction(self) -> str:
        """Return where what happened lies: ``above`` or ``below`` the interval, or ``inside`` it."""
        return "above" if self.observed > self.high else "below" if self.observed < self.low else "inside"

    @property
    def interval(self) -> str:
        """Return the ends of the interval in words."""
        return f"{number(self.low)} to {number(self.high)}"

    @property
    def verdict(self) -> str:
        """Return what happened beside the forecast.

        >>> Total("total", 1882.0, 1640.0, 1551.0, 1732.0, "1,882 purchases").verdict
        '1,882 purchases, above the 90 % interval of 1,551 to 1,732'
        """
        return f"{self.real}, {self.direction} the 90 % interval of {self.interval}"


def totals(score: Mapping[str, Any]) -> list[Total]:
    """Return the totals of the holdout that the first forecast has, purchases first.

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
    for name, (before, after, happened) in _TOTALS.items():
        low, high = (measures.get(f"{name}_{end}") for end in ("q05", "q95"))
        real = observed.get(happened)
        if low is None or high is None or real is None:
            continue
        # A mean may be missing (it does not exist) where the interval is there.
        mean = measures.get(f"{name}_mean")
        mean = float("nan") if mean is None else float(mean)
        found.append(
            Total(name, float(real), mean, float(low), float(high), f"{before}{number(real)}{after}")
        )
    return found


def missed(score: Mapping[str, Any] | None) -> list[Total]:
    """Return the totals whose real number lies outside the forecast's interval."""
    return [] if score is None else [each for each in totals(score) if each.direction != "inside"]


def missed_words(score: Mapping[str, Any] | None) -> str:
    """Return the sentence on the totals that were missed; empty where none was."""
    failed = missed(score)
    return f"The forecast of the holdout failed: {'; '.join(each.verdict for each in failed)}." if failed else ""
