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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


CUSTOMER = "customer"


CHAIN = "chain"


DRAW = "draw"


PERIOD = "period"
# Of a contract: how many renewals have fallen due since it began, by the end of observation.
PERIODS_AGO = "periods_ago"


# Customers of about the same chance of any purchase (``predictions.scores.CHANCE_ENDS``), and who of them buys.
CHANCE = "chance"
ACTIVE_BY_CHANCE = "active_by_chance_total"


# All repeat purchases of all customers, one customer after the other.
REPEAT_PURCHASE = "repeat_purchase"


# All changes of columns over time, one path of values after the other.
CHANGE = "change"


# The days of the calibration.
DAY = "calendar_day"


# What spend may go with, and the calendar's months.
TREND = "spend_trend"


MONTH = "spend_month"


# The unit of what can happen only at numbered occasions.
OPPORTUNITY = "opportunity"


LEVELS = ("expected", "latent", "outcome")


QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)


# Of which forecasts are asked how often what happens lies inside, in %.
INTERVALS = (50, 80, 90, 95)


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

    @property
    def text(self) -> str:
        """The message with its mentions, for another that passes it on; as a text they would be Python's for good."""
        return super().__str__()

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


def stored[Read](what: str, read: Callable[[], Read]) -> Read:
    """Return what ``read`` makes of an attribute of a posterior; one that is damaged is refused.

    Examples
    --------
    >>> stored("diagnostics", lambda: int("7"))
    7
    """
    try:
        return read()
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"The posterior's attribute {what!r} is not what a fit writes: it was changed or damaged. Read it "
            "again from its file, or fit again."
        ) from error


def check_seed(seed: Any) -> None:
    """Refuse a seed that is no whole number from 0 to 2**64 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= int(seed) < 2**64:
        raise InputError(f"seed must be an integer from 0 to 2**64 - 1; it is {seed!r}.")


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
    spend column), ``"count"``, ``"probability"``, ``"date"``, ``"id"`` or what it is in words.
    """

    long_name: str
    unit: str
    level: str | None = None


def _scores(prefix: str, what: str, unit: str) -> dict[str, Variable]:
    """Return what the scores of a forecast of purchases, spend or value mean."""
    less, much, lies = ("less", "much", "lies") if unit == "money" else ("fewer", "many", "lie")
    found = {
        "draws_below": Variable(f"draws with {less} {what} than the holdout", "count", "outcome"),
        "draws_equal": Variable(f"draws with as {much} {what} as the holdout", "count", "outcome"),
        "crps": Variable(f"continuous ranked probability score of the holdout {what}", unit, "outcome"),
    }
    if unit == "money":
        found["log_crps"] = Variable(
            f"continuous ranked probability score of log(1 + {what} / mean spend of a purchase)",
            "none",
            "outcome",
        )
    for level in INTERVALS:
        found[f"mass_{level}"] = Variable(
            f"probability of the closed {level} % interval of {what}", "probability", "outcome"
        )
        found[f"inside_{level}"] = Variable(
            f"1 where the holdout {what} {lies} in the {level} % interval", "0 or 1", "outcome"
        )
        found[f"inside_{level}_total"] = Variable(
            f"customers whose {what} {lies} in their own {level} % interval", "count", "outcome"
        )
    return {prefix + name: variable for name, variable in found.items()}


# What a base, its posterior and its forecasts hold; a further column of the customers cannot have these names.
CUSTOMER_VARIABLES = {
    # One row per customer, from the order log.
    "customer_id": Variable("customer", "id"),
    "frequency": Variable("repeat purchase occasions (days with a purchase after the first)", "count"),
    "recency": Variable("age at the last purchase", "time"),
    "T": Variable("age at the end of observation", "time"),
    "log_intervals": Variable(
        "sum of the logarithms of the times between purchase occasions, each in the time unit", "none"
    ),
    "purchase_times": Variable("ages at the repeat purchase occasions, customer after customer", "time"),
    "day_purchases": Variable("repeat purchase occasions of all customers on the day", "count"),
    "day_spend": Variable("spend of these occasions", "money"),
    "trend_slope": Variable(
        "change of a customer's log spend per occasion with a year of age, or twice the order number", "none"
    ),
    "trend_error": Variable("standard error of that change", "none"),
    "trend_centre": Variable(
        "mean over the occasions of the age in years, or of log2 of the order number", "none"
    ),
    "month_orders": Variable("repeat occasions of the month by customers with two or more", "count"),
    "month_deviation": Variable("mean of their log spend less the customer's own mean", "none"),
    "month_error": Variable("standard error of that mean", "none"),
    "purchase_spend": Variable("spend of the repeat purchase occasions, customer after customer", "money"),
    "spend_start": Variable("place of the customer's first repeat purchase in purchase_spend", "none"),
    "purchase_start": Variable("place of the customer's first repeat purchase in purchase_times", "none"),
    "change_time": Variable(
        "time from the end of observation from which the values of columns over time hold", "time"
    ),
    "change_start": Variable("place of the customer's first values in the columns over time", "none"),
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
    "holdout_value": Variable("spend in the holdout, discounted to the end of calibration", "money"),
    # One row per customer, or per history, at discrete opportunities and of contracts.
    "opportunities": Variable("opportunities to buy that were observed", "count"),
    "renewals": Variable("renewals made", "count"),
    "active": Variable("1 while under contract, 0 if the next renewal was not made", "0 or 1"),
    "periods": Variable("renewals that were due by the end of observation", "count"),
    PERIODS_AGO: Variable(
        "periods of renewal from the contract's beginning to the end of observation", "count"
    ),
    "count": Variable("customers who share the row", "count"),
    "cohort": Variable("cohort", "id"),
    # Predictions.
    "probability_alive": Variable(
        "probability of being alive at the end of observation", "probability", "expected"
    ),
    "probability_awake": Variable(
        "probability of buying at the customer's own rate, not asleep and not gone", "probability", "expected"
    ),
    "probability_asleep": Variable(
        "probability of being asleep, to buy again later", "probability", "expected"
    ),
    "probability_gone": Variable(
        "probability of never buying again, asleep for ever", "probability", "expected"
    ),
    "probability_waking": Variable(
        "probability of being asleep, and awake again within the horizon", "probability", "expected"
    ),
    "purchases_woken": Variable(
        "purchase occasions over the horizon more, if the customer were awake now where it is asleep",
        "count",
        "expected",
    ),
    "value_woken": Variable(
        "value over the horizon more, after margin and discount, if the customer were awake now where it is asleep",
        "money",
        "expected",
    ),
    "asleep": Variable("1 while asleep, to buy again later", "0 or 1", "latent"),
    "rate_year_ago": Variable(
        "the customer's own purchase rate 52 weeks before the end of observation, or at the first purchase where later",
        "1/time",
        "latent",
    ),
    "rate_year_ago_mean": Variable(
        "mean of the customer's own purchase rate 52 weeks before the end of observation, or at the first purchase "
        "where later",
        "1/time",
        "latent",
    ),
    "probability_growing": Variable(
        "probability that the purchase rate now is more than 1.2 times that of a year ago",
        "probability",
        "latent",
    ),
    "probability_fading": Variable(
        "probability that the purchase rate now is less than that of a year ago over 1.2",
        "probability",
        "latent",
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
    "spend_per_purchase": Variable("mean spend of a purchase at the customer's own level", "money", "latent"),
    "dropout": Variable("the customer's own dropout probability after a purchase", "probability", "latent"),
    "dropout_rate": Variable("the customer's own rate of leaving while alive", "1/time", "latent"),
    "alive_mean": Variable("probability of being alive at the time", "probability", "expected"),
    "alive_share": Variable("expected share of the customers alive at the time", "probability", "expected"),
    "alive_share_by": Variable(
        "expected share of the segment's customers alive at the time", "probability", "expected"
    ),
    "segment_size": Variable("customers of the segment", "count"),
    "purchases_expected": Variable("expected purchase occasions over the horizon", "count", "expected"),
    "survival": Variable("probability of being alive at the end of the horizon", "probability", "expected"),
    "residual_transactions": Variable(
        "discounted purchase occasions still to come, without horizon", "count", "expected"
    ),
    "probability_active": Variable("probability of any purchase over the horizon", "probability", "outcome"),
    "active_total": Variable("customers with any purchase over the horizon", "count", "outcome"),
    ACTIVE_BY_CHANCE: Variable(
        "customers with any purchase over the horizon, by their own chance of one", "count", "outcome"
    ),
    "value_above": Variable(
        "probability that the value over the horizon exceeds the threshold", "probability", "outcome"
    ),
    "purchases_period": Variable("purchase occasions in the period", "count", "outcome"),
    "value_period": Variable("residual value of the period", "money", "outcome"),
    "period_end": Variable("end of the period, from the start of the horizon", "time"),
    # At the holdout.
    **_scores("", "purchases", "count"),
    **{
        f"frequent_inside_{level}_total": Variable(
            f"frequent buyers whose purchases lie in their own {level} % interval", "count", "outcome"
        )
        for level in INTERVALS
    },
    **_scores("spend_", "spend", "money"),
    **_scores("value_", "value", "money"),
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
    "value_expected": Variable(
        "expected residual value over the horizon, after margin and discount", "money", "expected"
    ),
}
# What ``summarize(..., also=)`` computes on request, and the columns that come of it.
ALSO = {
    "log_spend": ("log_spend_mean", "log_spend_sd"),
    "log_intervals": ("log_intervals",),
    "purchase_times": ("purchase_times", "purchase_start"),
    "purchase_spend": ("purchase_spend", "spend_start"),
    "periods": ("day_purchases", "day_spend"),
    "spend_trends": (
        "trend_slope",
        "trend_error",
        "trend_centre",
        "month_orders",
        "month_deviation",
        "month_error",
    ),
}


def also_for(columns: Iterable[str]) -> tuple[str, ...]:
    """Return what ``summarize`` is to be asked for, so that customers have these columns.

    Examples
    --------
    >>> also_for(["frequency", "purchase_start"])
    ('purchase_times',)
    """
    return tuple(name for name, found in ALSO.items() if set(found) & set(columns))


def also_for_calendar(columns: Iterable[str]) -> tuple[str, ...]:
    """Return what ``summarize`` is to be asked for besides, so that a family that reads these columns has a calendar.

    Examples
    --------
    >>> also_for_calendar(["frequency", "log_intervals"])
    ('periods', 'purchase_times')
    """
    return ("periods", "purchase_times") if "log_intervals" in columns else ("periods",)


# Columns that say where a customer's data lie: no quantity to segment, group or compare customers by.
POINTERS = ("purchase_start", "spend_start", "change_start", "calendar_place")


# What results of decisions hold beside; a column of one's own may have these names too (cost, size, reference).
RESULT_VARIABLES = {
    # What could come on top.
    "potential": Variable("potential value, the sum of what is assumed", "money", "outcome"),
    "possible_value": Variable(
        "historical, current and potential value, net of acquisition cost", "money", "outcome"
    ),
    # Calendar periods.
    "period_start": Variable("first day of the period", "date"),
    "period_purchases": Variable("repeat purchase occasions in the period", "count"),
    "observed": Variable("repeat purchase occasions in the period", "count"),
    # Segments.
    "membership": Variable("probability of membership", "probability"),
    "most_likely": Variable("most probable segment", "id"),
    "most_likely_probability": Variable("probability of what is most probable", "probability"),
    "unsure": Variable("the most probable segment is less probable than is sure", "true or false"),
    "size": Variable("customers in the segment", "count"),
    "flow": Variable("customers who moved so", "count"),
    "from_size": Variable("customers in the segment at the first date", "count"),
    "to_size": Variable("customers in the segment at the second date", "count"),
    "most_likely_from": Variable("segment at the first date, of the most probable pair", "id"),
    "most_likely_to": Variable("segment at the second date, of the most probable pair", "id"),
    "moved": Variable("probability of another segment than at the first date", "probability"),
    "pair": Variable("probability of the pair", "probability"),
    "reference": Variable("cluster by posterior means", "id"),
    "rand_index": Variable("adjusted Rand index of the draw's clustering with the reference", "none"),
    "jaccard": Variable("Jaccard index with the draw's cluster most like it, mean over draws", "none"),
    "silhouette": Variable("silhouette of the posterior means", "none"),
    "bic": Variable("Bayesian information criterion of the posterior means", "none"),
    # Whom to act on.
    "silence": Variable("time since the last purchase", "time"),
    "alarm_silence": Variable("silence at which P(alive) falls to the threshold", "time", "expected"),
    "alarm_in": Variable("time to the alarm", "time", "expected"),
    "alarm_date": Variable("day of the alarm", "date"),
    "alarmed": Variable("P(alive) has fallen to the threshold", "true or false", "expected"),
    "value_at_risk": Variable("(1 - P(alive)) × mean residual value", "money", "expected"),
    "uplift": Variable("mean outcome if contacted less if not", "money", "expected"),
    "outcome_control": Variable("mean outcome if not contacted", "money", "expected"),
    "outcome_treated": Variable("mean outcome if contacted", "money", "expected"),
    "conversion_control": Variable("probability of buying if not contacted", "probability", "expected"),
    "conversion_treated": Variable("probability of buying if contacted", "probability", "expected"),
    "spend_control": Variable("mean spend of who buys, if not contacted", "money", "expected"),
    "spend_treated": Variable("mean spend of who buys, if contacted", "money", "expected"),
    "spend_shape": Variable(
        "shape of the Gamma distribution of spend; infinite where all spend alike", "none", "expected"
    ),
    "in_experiment": Variable("the segment was in the experiment", "true or false"),
    "customer_segment": Variable("segment of the customer", "id"),
    "contacted": Variable("1 where the customer is to be contacted", "0 or 1"),
    "cost": Variable("cost of contacting", "money"),
    "spent": Variable("cost of the first contacts", "money"),
    "net_gain": Variable("net gain if contacted", "money", "expected"),
    "net_gain_total": Variable("net gain of all contacts", "money", "expected"),
    "net_gain_outcome_total": Variable("net gain of all contacts", "money", "outcome"),
    "probability_pays": Variable(
        "probability that contacting gains more than it costs", "probability", "expected"
    ),
    "chosen_offer": Variable("what the customer is offered, or the controls' label", "id"),
    "best_offer": Variable("offer with the highest expected net gain", "id"),
    "probability_best": Variable(
        "probability that what was chosen is the best of all offers and none", "probability", "expected"
    ),
    "net_gain_single_total": Variable(
        "net gain of the best contacts with this offer alone", "money", "expected"
    ),
    "offer_cost": Variable("mean cost of contacting with the offer", "money"),
    "segment_offered": Variable("customers of the segment to be contacted with the offer", "count"),
    "regret_total": Variable(
        "best net gain, were the response known, less that of the contacts", "money", "expected"
    ),
    "regret": Variable("mean of what is lost against knowing the response", "money", "expected"),
    "value_of_perfect_information": Variable(
        "best net gain, were the response known, less the best mean", "money", "expected"
    ),
    "value_of_test": Variable(
        "mean gain from deciding after the test, its own cost not counted", "money", "expected"
    ),
    "value_of_test_error": Variable("Monte Carlo standard error of value_of_test", "money", "expected"),
    "budget_bound": Variable(
        "most that another set within the budget can gain more on average", "money", "expected"
    ),
    "segment_customers": Variable("customers of the segment", "count"),
    "segment_contacted": Variable("customers of the segment to be contacted", "count"),
}
VARIABLES = CUSTOMER_VARIABLES | RESULT_VARIABLES


_STATISTIC = re.compile(r"_(mean|sd|q\d\d)$")


def describe(dataset: "xr.Dataset", own: Mapping[str, Variable] | None = None) -> "xr.Dataset":
    """Return the dataset with ``long_name``, ``units`` and ``level`` attached to known variables.

    A summary such as ``purchases_q05`` or ``value_mean`` is described by its stem, and so is a total, such as
    ``value_total_mean``. ``own`` are variables that mean something else, or are known, in this dataset only.
    """
    described = dataset.copy()
    time_unit = dataset.attrs.get("time_unit", UNSTATED)
    known = VARIABLES | dict(own or {})
    for name in [*described.data_vars, *described.coords]:
        key = str(name)
        stem = key if key in known else _STATISTIC.sub("", key)
        whose = ""
        if stem not in known and stem.endswith("_total"):
            stem = stem.removesuffix("_total")
            whose = f", of {"the segment's" if 'segment' in described[name].dims else 'all'} customers"
        variable = known.get(stem)
        if variable is None:
            continue
        unit = {"time": time_unit, "1/time": f"1/{time_unit}"}.get(variable.unit, variable.unit)
        statistic = "" if key in known else _STATISTIC.search(key)
        attrs = {"long_name": variable.long_name + whose + (f" ({statistic[1]})" if statistic else "")}
        # On a date, netCDF keeps "units" for its own encoding.
        if variable.unit != "date":
            attrs["units"] = unit
        if variable.level is not None:
            attrs["level"] = variable.level
        described[name].attrs = {**described[name].attrs, **attrs}
    return described


def quantiles(draws: Any, at: Sequence[float] = QUANTILES, axis: int | None = None) -> np.ndarray:
    """Return quantiles of draws, leading: the smallest draw that at least this share of the draws does not exceed.

    Draws themselves, never a number between two (the inverse of their distribution function), so that counts stay
    counts and what is read off a table is what some future brought.
    """
    return np.asarray(np.quantile(draws, at, axis=axis, method="inverted_cdf"))


def interval(draws: Any, axis: int | None = None) -> np.ndarray:
    """Return the ends of the central 90 % interval of draws, leading."""
    return quantiles(draws, (QUANTILES[0], QUANTILES[-1]), axis)


def named_quantiles(draws: Any, axis: int | None = None) -> dict[str, np.ndarray]:
    """Return the quantiles of draws by their names in results: q05, q25, q50, q75, q95."""
    names = [f"q{round(100 * q):02d}" for q in QUANTILES]
    return dict(zip(names, quantiles(draws, axis=axis), strict=True))


def in_currency(attrs: Mapping[Any, Any]) -> dict[str, str]:
    """Return the currency that attributes name, as an attribute of a result made from them; nothing where none.

    >>> in_currency({"currency": "£", "seed": 1}), in_currency({})
    ({'currency': '£'}, {})
    """
    return {"currency": str(attrs["currency"])} if "currency" in attrs else {}


def listed(attrs: Mapping[Any, Any], name: str) -> list[str]:
    """Return a list among a result's attributes, ``problems`` or ``reasons``; empty where it has none.

    A file keeps no list of text as it was: netCDF gives one back as a text, and none as an empty array of numbers.
    """
    found = attrs.get(name, [])
    return [found] if isinstance(found, str) else [str(each) for each in found]


def example(values: Any, bad: np.ndarray) -> str:
    """Return the first offending value as it should be shown in a message."""
    return repr(np.asarray(values)[np.flatnonzero(bad)[0]].item())
