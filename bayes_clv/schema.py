"""The vocabulary: dimensions, variables, units, and the checks made at each door.

Every other module takes its names from here, so that a name means one quantity in one unit
wherever it is met. Numbers carry one of three *levels* of uncertainty, and no table or figure
leaves its level unsaid:

``expected``
    Only the population parameters vary: the spread of an average, as in the literature.
``latent``
    A customer's own purchase rate and dropout vary too.
``outcome``
    What will actually be bought and spent: everything above and the chance in each purchase.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


CUSTOMER = "customer"


CHAIN = "chain"


DRAW = "draw"


PERIOD = "period"


# The unit of what can happen only at numbered occasions.
OPPORTUNITY = "opportunity"


LEVELS = ("expected", "latent", "outcome")


QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)


UNSTATED = "unstated"


# Around an argument's mention in a message: where it opens, what divides its parts, where it closes. Private use
# characters, which no message holds otherwise.
_OPEN, _PART, _CLOSE = "\ue000", "\ue001", "\ue002"
_MENTION = re.compile(f"{_OPEN}([^{_PART}]*){_PART}([^{_PART}]*){_PART}([^{_CLOSE}]*){_CLOSE}")


class InputError(ValueError):
    """Input that cannot be used; the message names it, counts it, shows one and says what to do.

    Arguments are mentioned with `argument`, so that whoever shows the message names them as its reader does: as
    ``until='soon'`` in Python (``str``), as ``--until 'soon'`` at a command line (`told`).

    Examples
    --------
    >>> error = InputError(f"{argument('until', 'soon')} is not a day.")
    >>> str(error)
    "until='soon' is not a day."
    >>> error.told(lambda name, value: f"--{name} {value}")
    "--until 'soon' is not a day."
    """

    def __str__(self) -> str:
        """Return the message as Python says it."""
        return _MENTION.sub(r"\2", super().__str__())

    def told(self, option: Callable[[str, str], str | None]) -> str:
        """Return the message with each argument as ``option(name, value)`` names it, as Python does where None."""

        def said(found: re.Match[str]) -> str:
            name, python, value = found.groups()
            return value if not name else option(name, value) or python

        return _MENTION.sub(said, super().__str__())


_NOTHING: Any = object()


def argument(name: str, value: Any = _NOTHING) -> str:
    """Return the mention of an argument in a message, alone or with a value."""
    if value is _NOTHING:
        return f"{_OPEN}{name}{_PART}{name}{_PART}{_CLOSE}"
    shown = (
        " ".join(f"{key}={each}" for key, each in value.items()) if isinstance(value, dict) else repr(value)
    )
    return f"{_OPEN}{name}{_PART}{name}={value!r}{_PART}{shown}{_CLOSE}"


def either(python: str, shell: str) -> str:
    """Return words of a message where the advice is another in Python than at a command line."""
    return f"{_OPEN}{_PART}{python}{_PART}{shell}{_CLOSE}"


@dataclass(frozen=True)
class Problem:
    """Something that a check found: its code (of ``bayes_clv.problems``), the sentence, and the numbers in it.

    ``found`` states the number and its threshold in words; ``subject`` is what it is of, such as a family.
    """

    code: str
    found: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""

    def record(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "code": self.code,
            "found": self.found,
            "numbers": dict(self.numbers),
            **({"subject": self.subject} if self.subject else {}),
        }


@dataclass(frozen=True)
class Variable:
    """What a variable of a dataset means: one line, its unit and, for predictions, its level.

    ``unit`` is ``"time"`` (the dataset's time unit), ``"1/time"``, ``"money"`` (the unit of the
    spend column), ``"count"``, ``"probability"``, ``"date"`` or ``"id"``.
    """

    long_name: str
    unit: str
    level: str | None = None


VARIABLES = {
    # One row per customer, from the order log.
    "customer_id": Variable("customer", "id"),
    "frequency": Variable("repeat purchase occasions (days with a purchase after the first)", "count"),
    "recency": Variable("age at the last purchase", "time"),
    "T": Variable("age at the end of observation", "time"),
    "log_intervals": Variable(
        "sum of the logarithms of the times between purchase occasions, each in the time unit", "none"
    ),
    "monetary_value": Variable("mean spend of the repeat occasions", "money"),
    "log_spend_mean": Variable("mean of the logarithm of the repeat occasions' spend", "log money"),
    "log_spend_sd": Variable(
        "standard deviation of the logarithm of the repeat occasions' spend, divided by their number", "none"
    ),
    "first_order": Variable("date of the first order", "date"),
    "first_spend": Variable("spend of the first purchase occasion", "money"),
    "historical_spend": Variable("spend to date, first occasion included", "money"),
    "holdout_purchases": Variable("purchase occasions in the holdout", "count"),
    "holdout_spend": Variable("spend in the holdout", "money"),
    # One row per customer, or per history, at discrete opportunities and of contracts.
    "opportunities": Variable("opportunities to buy that were observed", "count"),
    "renewals": Variable("renewals made", "count"),
    "active": Variable("1 while under contract, 0 if the next renewal was not made", "0 or 1"),
    "periods": Variable("renewals that were due by the end of observation", "count"),
    "count": Variable("customers who share the row", "count"),
    "cohort": Variable("cohort", "id"),
    # Predictions.
    "probability_alive": Variable(
        "probability of being alive at the end of observation", "probability", "expected"
    ),
    "purchase_rate_mean": Variable(
        "mean of the customer's own purchase rate while alive", "1/time", "latent"
    ),
    "dropout_mean": Variable(
        "mean of the customer's own dropout probability after a purchase", "probability", "latent"
    ),
    "regularity_mean": Variable(
        "mean of the customer's own regularity (1 at random, above 1 more even)", "none", "latent"
    ),
    "regularity": Variable(
        "the customer's own regularity (1 at random, above 1 more even)", "none", "latent"
    ),
    "dropout_rate_mean": Variable(
        "mean of the customer's own rate of leaving while alive", "1/time", "latent"
    ),
    "purchase_rate": Variable("the customer's own purchase rate while alive", "1/time", "latent"),
    "dropout": Variable("the customer's own dropout probability after a purchase", "probability", "latent"),
    "dropout_rate": Variable("the customer's own rate of leaving while alive", "1/time", "latent"),
    "purchases_expected": Variable("expected purchase occasions over the horizon", "count", "expected"),
    "survival": Variable("probability of being alive at the end of the horizon", "probability", "expected"),
    "residual_transactions": Variable(
        "discounted purchase occasions still to come, without horizon", "count", "expected"
    ),
    "retention_rate": Variable("share of those before the renewal who make it", "probability", "expected"),
    "residual_lifetime": Variable(
        "discounted renewals still to come, the one now due undiscounted", "count", "expected"
    ),
    "survivors": Variable("customers under contract after the renewal", "count", "outcome"),
    "purchases": Variable("purchase occasions over the horizon", "count", "outcome"),
    "active_time": Variable("part of the horizon before the customer leaves", "time", "outcome"),
    "spend": Variable("spend over the horizon", "money", "outcome"),
    "value": Variable("residual value over the horizon, after margin and discount", "money", "outcome"),
    "historical_value": Variable("margin already earned", "money"),
    "acquisition_cost": Variable("cost of acquiring the customer", "money"),
    "lifetime_value": Variable(
        "historical value plus residual value, net of acquisition cost", "money", "outcome"
    ),
}


def describe(dataset: "xr.Dataset") -> "xr.Dataset":
    """Return the dataset with ``long_name``, ``units`` and ``level`` attached to known variables.

    A summary such as ``purchases_q05`` or ``value_mean`` is described by its stem.
    """
    described = dataset.copy()
    time_unit = dataset.attrs.get("time_unit", UNSTATED)
    for name in [*described.data_vars, *described.coords]:
        key = str(name)
        stem = re.sub(r"_(mean|sd|q\d\d)$", "", key)
        variable = VARIABLES.get(key) or VARIABLES.get(stem)
        if variable is None:
            continue
        unit = {"time": time_unit, "1/time": f"1/{time_unit}"}.get(variable.unit, variable.unit)
        statistic = key[len(stem) + 1 :] if key not in VARIABLES else ""
        attrs = {"long_name": f"{variable.long_name} ({statistic})" if statistic else variable.long_name}
        # On a date, netCDF keeps "units" for its own encoding.
        if variable.unit != "date":
            attrs["units"] = unit
        if variable.level is not None:
            attrs["level"] = variable.level
        described[name].attrs = {**described[name].attrs, **attrs}
    return described


def example(values: Any, bad: np.ndarray) -> str:
    """Return the first offending value as it should be shown in a message."""
    return repr(np.asarray(values)[np.flatnonzero(bad)[0]].item())
