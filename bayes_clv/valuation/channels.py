"""What a new customer of each channel is worth against its cost, when it has paid, and which channel to stop.

**Worth.** The value of a new customer is the expected level of ``clv.predict_cohort``, channel by channel: the fits
pool the channels partially (``groups=["channel"]``), so that a channel of twenty customers leans on the others and its
luck is not taken for its worth. All channels share the posterior draws: a difference of two is a paired difference,
and P(one beats another) knows what is uncertain for both alike. What a channel is may be any grouping column: with
``by="month"`` these are the months of acquisition, and the same table says how lifetime value moves.

**Cost** is stated, as a number, a distribution, or what money has won (``acquisition``).

**Decisions.** In each draw a customer earns value - cost, called profit. Over the ``customers`` that are decided on::

    loss of keeping  = customers x mean of what profit is below 0
    loss of stopping = customers x mean of what profit is above 0

A channel is kept where its mean profit is at least 0, which is where keeping loses less, and stopped otherwise. What
the better of both still loses is the value of perfect information (Raiffa & Schlaifer 1961): where it exceeds
``test_cost`` the advice is to test first. That is a bound: no test can be worth more, and a small one is worth less.
Rejected: a threshold of P(LTV > CAC), which stops a channel that loses little often and earns much seldom, and a ratio
of 3, which has no loss behind it.

**Payback** is the time at which discounted margin has reached the cost, in each draw; infinite where that is not within
the horizon. It is of the mean customer: one customer may never pay, and its channel does (``clv.predict_cohort`` has
the outcomes). Its share of finite draws is P(LTV > CAC).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import as_labels, column_values
from bayes_clv.language import say
from bayes_clv.predictions.inputs import problems
from bayes_clv.predictions.own_costs import Costs, OwnCosts, margin_of, of_nobody, resolved
from bayes_clv.predictions.parameters import Parameters, new_customers, parameters
from bayes_clv.schema import (
    CUSTOMER,
    DRAW,
    InputError,
    Variable,
    check_seed,
    describe,
    either,
    in_currency,
    listed,
    quantiles,
)
from bayes_clv.units import checked_margin, discount_rate, duration
from bayes_clv.valuation.acquisition import CHANNEL, Channel, channel, conversions, cost_draws, people_of
from bayes_clv.valuation.cohort import expected_costs_over_time, expected_over_time, one_time_unit

OTHER, TIME = "other", "time"
KEEP, STOP, TEST = "keep", "stop", "test"
_OWN = {
    "value": Variable("expected value of a new customer after margin and discount", "money", "expected"),
    "value_by_time": Variable("what a new customer has brought by then", "money", "expected"),
    "cost": Variable("cost of a new customer", "money", "expected"),
    "profit": Variable("value of a new customer less its cost", "money", "expected"),
    "ratio": Variable("value of a new customer over its cost", "none", "expected"),
    "conversion": Variable("share of leads that become customers", "probability", "expected"),
    "lead_value": Variable("value of a lead: its conversion times a customer's value", "money", "expected"),
    "payback": Variable("time until the margin has paid the cost", "time", "expected"),
    "time": Variable("time since the first order", "time"),
    "purchases": Variable("expected purchases of a new customer, first order included", "count", "expected"),
    "probability_pays": Variable("P(value of a new customer exceeds its cost)", "probability", "expected"),
    "probability_best": Variable("P(profit a customer is the highest of all)", "probability", "expected"),
    "probability_beats": Variable("P(profit a customer exceeds the other's)", "probability", "expected"),
    "loss_of_keeping": Variable(
        "mean of what the customers decided on lose, nothing where they pay", "money", "expected"
    ),
    "loss_of_stopping": Variable(
        "mean of what the customers decided on would have earned, nothing where they lose",
        "money",
        "expected",
    ),
    "expected_loss": Variable("what the better of keeping and stopping still loses", "money", "expected"),
    "customers": Variable("customers who are decided on", "count"),
    "customers_known": Variable("customers of the channel from whom was learned", "count"),
}


def channel_values(
    buying: xr.DataTree,
    spending: xr.DataTree,
    by: str = CHANNEL,
    *,
    horizon: str | float = "52 weeks",
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    costs: Costs | None = None,
    new: Sequence[str] = (),
    profile: Mapping[str, Any] | None = None,
    periods: int = 52,
    draws: int = 1000,
    customers: xr.Dataset | None = None,
) -> xr.Dataset:
    """Return what a new customer of each channel brings on average, over time, draw by draw.

    Parameters
    ----------
    buying, spending
        Posteriors of which at least one was fitted with ``groups=[by]``; two families of one time unit.
    by
        The grouping column: channels, months of acquisition, countries.
    horizon, margin, annual_discount_rate
        As in ``clv.predict_cohort``. The first order, at time 0, is not discounted.
    costs
        Of ``clv.predictions.costs``: what each new customer costs beside its acquisition, in numbers. With
        ``customers`` terms may be their columns, or amounts by id: a new customer costs then what those of its channel
        do on average, and of a channel without any what all of them do.
    new
        Channels that the fits have not seen: drawn from how those that they have seen differ.
    profile
        What the new customers are besides, where the fits had covariates or further groups.
    periods
        Equal parts of the horizon at whose ends it is said what has come in.
    draws
        Posterior draws, at most.
    customers
        Those that the fits learned from, with the column ``by``: how many of them each channel has, which says how
        much it leans on the others, and the currency.

    Returns
    -------
    xarray.Dataset
        Expected level. ``value_by_time`` (draw, channel, time) from 0 to the horizon, money; ``purchases`` (draw,
        channel) over the horizon, first orders included; with ``customers`` also ``customers_known`` (channel).
        Channels in the order of the fits, those that are new last.

    Raises
    ------
    InputError
        As in ``clv.predict_cohort``; fits without groups by this column.

    Notes
    -----
    Draws in which expected spend is infinite (``clv.predict``) give infinite values there, with ``reasons``.

    Examples
    --------
    >>> found = channel_values(by_channel, spending, horizon="1 year", margin=0.3, profile={"age": 35})
    >>> found["channel"].values.tolist()
    ['search', 'shop', 'social']
    """
    share = checked_margin(margin)
    fits = (
        parameters(buying, "buying", calendar=True, grouped=True).repeated().thin(draws),
        parameters(spending, "spending", calendar=True),
    )
    time_unit = one_time_unit(buying, spending)
    length, rate = duration(horizon, time_unit), discount_rate(annual_discount_rate, time_unit)
    if isinstance(periods, bool) or not isinstance(periods, int | np.integer) or periods < 1:
        raise InputError(f"periods must be a whole number of parts from 1; it is {periods!r}.")
    names = known_channels(fits, by)
    twice = next((name for i, name in enumerate(new) if name in names or name in new[:i]), None)
    if twice is not None:
        raise InputError(f"{twice!r} is no new {by}: the fits have it, or it is there twice. Leave it out.")
    names += list(new)
    own = _own_costs(costs, share, fits[0].size, customers, by)
    brought, bought, lacking = [], [], 0
    for name in names:
        one, payer = new_customers(dict(profile or {}) | {by: name}, *fits)
        one, payer = one.until(length), payer.priced(length)
        times, purchases, spend = expected_over_time(one, payer, length, rate, int(periods))
        bought.append(purchases[-1])
        terms = own(name)
        if terms is None or terms.nothing:
            brought.append(share * spend)
        else:
            orders, time = expected_costs_over_time(one, length, rate, int(periods))
            brought.append(terms.net(np.zeros(times.size, dtype=int), spend, orders, time))
        lacking = max(lacking, int((~np.isfinite(spend[-1])).sum()))
    size = fits[0].size
    reasons = [
        say(
            "means of money do not exist, because expected spend is infinite in up to {lacking} of {size} draws. Use "
            "the quantiles, or a stronger prior on q.",
            lacking=lacking,
            size=size,
        )
    ] * bool(lacking)
    found = xr.Dataset(
        {
            "value_by_time": ((CHANNEL, TIME, DRAW), np.stack(brought)),
            "purchases": ((CHANNEL, DRAW), np.stack(bought)),
        },
        coords={CHANNEL: np.array(names, dtype=object), TIME: times, DRAW: np.arange(size)},
        attrs={
            "result": "channel values",
            "by": by,
            "time_unit": time_unit,
            "horizon": length,
            "margin": margin_of(costs, share),
            "annual_discount_rate": float(annual_discount_rate),
            "discount_rate": rate,
            "draws": size,
            "problems": problems(buying, spending),
            "reasons": reasons,
        }
        | ({} if costs is None else {"costs": costs.text})
        | ({} if customers is None else in_currency(customers.attrs)),
    )
    if customers is not None:
        found = found.assign(customers_known=(CHANNEL, _known(customers, by, names)))
    return describe(found.transpose(DRAW, CHANNEL, TIME), _OWN)


def _own_costs(
    costs: Costs | None, share: float, draws: int, customers: xr.Dataset | None, by: str
) -> Callable[[str], OwnCosts | None]:
    """Return what a new customer of a channel costs, one row: all alike, or those of the channel on average."""
    if costs is None:
        return lambda name: None
    if customers is None or costs.of_all:
        of_all = of_nobody(costs, share, draws)
        return lambda name: of_all
    labels = _labels(customers, by)

    def of(name: str) -> OwnCosts:
        mine = labels == name
        some = customers.isel({CUSTOMER: np.flatnonzero(mine)}) if mine.any() else customers
        return resolved(costs, some, share, draws).average(draws)

    return of


def _known(customers: xr.Dataset, by: str, names: Sequence[str]) -> np.ndarray:
    """Return how many customers each channel has."""
    labels = _labels(customers, by)
    count = customers["count"].to_numpy() if "count" in customers else np.ones(len(labels))
    return np.array([int(count[labels == name].sum()) for name in names])


def _labels(customers: xr.Dataset, by: str) -> np.ndarray:
    """Return the channel of each customer."""
    if by not in customers:
        raise InputError(
            f"The customers have no column {by!r}, so that those of each channel cannot be counted. Give the customers "
            "that the fits learned from."
        )
    return as_labels(column_values(customers, by))


def known_channels(fits: Iterable[Parameters], by: str) -> list[str]:
    """Return the groups of a column, of the first fit that has it; fits without it are refused."""
    grouped: dict[str, tuple[str, ...]] = {}
    for each in fits:
        grouped = (each.effects.labels if each.effects else {}) | grouped
    if by not in grouped:
        instead = (
            f"They have groups by {', '.join(map(repr, grouped))}." if grouped else "They have no groups."
        )
        raise InputError(
            f"The fits do not tell new customers by {by!r} apart. {instead} "
            f"{either(f'Fit with groups=[{by!r}]', f'Run again with --groups {by}')}, so that channels with few "
            "customers lean on the others."
        )
    return list(grouped[by])


def compare_channels(
    values: xr.Dataset,
    channels: Iterable[Channel] | Mapping[str, Any] | float,
    *,
    test_cost: float | None = None,
    left_out: Sequence[str] = (),
    seed: int = 0,
) -> xr.Dataset:
    """Return what each channel's customers are worth against what they cost, and whether to keep, stop or test it.

    Parameters
    ----------
    values
        Of ``clv.valuation.channel_values``, or any dataset with ``value_by_time`` (draw, channel, time).
    channels
        Of ``clv.valuation.channel``, one a channel; or the cost of a customer by channel; or one cost for all.
    test_cost
        What a test of one channel would cost, money. Without it no test is advised.
    left_out
        Channels of the fits of which nothing is to be said.
    seed
        Of what is drawn for costs that are not certain.

    Returns
    -------
    xarray.Dataset
        Expected level. Over (draw, channel): ``value`` and ``cost`` of a new customer, ``profit`` (value less cost),
        ``ratio`` (value over cost) and ``payback``. Over ``channel``: ``_mean``, ``_q05``, ``_q50``, ``_q95`` of these
        (no means of ratio and payback, which need not have one); ``probability_pays``, P(value > cost);
        ``probability_best``; ``customers``; ``loss_of_keeping``, ``loss_of_stopping`` and ``expected_loss`` of all of
        them; ``decision``, "keep", "stop" or "test", as the module says; and what is ``stated``. Also
        ``customers_known``, where the values have it.
        Where channels have leads also ``conversion``, the share that becomes a customer, and ``lead_value``, that share
        times the value of a customer: what a lead may cost; NaN in channels without leads.
        ``probability_beats`` (channel, other): P(profit a customer exceeds the other's). ``value_by_time`` as given.

    Raises
    ------
    InputError
        A channel of the values without a cost, a cost without a channel, a cost that is negative.

    Examples
    --------
    >>> values = channel_values(by_channel, spending, margin=0.3, profile={"age": 35})
    >>> found = compare_channels(values, {"search": 9.0, "shop": 6.5, "social": 20.0}, test_cost=200)
    >>> found["probability_pays"].dims
    ('channel',)
    """
    check_seed(seed)
    checked_test = None if test_cost is None else _checked_amount(test_cost, "test_cost")
    values = _checked_values(values)
    order, stated = aligned(values, channels, left_out)
    values = values.sel({CHANNEL: order})
    by_time = values["value_by_time"].transpose(DRAW, CHANNEL, TIME).to_numpy()
    size = by_time.shape[0]
    value = by_time[:, :, -1]
    converting = conversions(stated, size, seed)
    cost = np.stack([cost_draws(each, size, seed, converting.get(each.name)) for each in stated], axis=1)
    with np.errstate(divide="ignore"):
        drawn = {
            "value": value,
            "cost": cost,
            "profit": value - cost,
            "ratio": np.divide(value, cost),
            "payback": payback_times(by_time, cost, values[TIME].to_numpy()),
        }
    if converting:
        none = np.full(size, np.nan)
        drawn["conversion"] = np.stack([converting.get(each.name, none) for each in stated], axis=1)
        drawn["lead_value"] = drawn["conversion"] * value
    people = np.array([people_of(each) for each in stated])
    data: dict[str, Any] = {"value_by_time": values["value_by_time"]}
    if "customers_known" in values:
        data["customers_known"] = values["customers_known"]
    data |= {name: ((DRAW, CHANNEL), each) for name, each in drawn.items()}
    for name, each in drawn.items():
        low, middle, high = quantiles(each, (0.05, 0.5, 0.95), axis=0)
        data |= {
            f"{name}_{end}": (CHANNEL, q)
            for end, q in zip(("q05", "q50", "q95"), (low, middle, high), strict=True)
        }
    exists = np.isfinite(value).all(axis=0)
    for name in ("value", "cost", "profit"):
        mean = drawn[name].mean(axis=0)
        data[f"{name}_mean"] = (CHANNEL, np.where(exists | (name == "cost"), mean, np.nan))
    profit = np.where(exists, drawn["profit"], np.nan)
    keeping = people * np.maximum(-profit, 0.0).mean(axis=0)
    stopping = people * np.maximum(profit, 0.0).mean(axis=0)
    least = np.minimum(keeping, stopping)
    data |= {
        "loss_of_keeping": (CHANNEL, keeping),
        "loss_of_stopping": (CHANNEL, stopping),
        "expected_loss": (CHANNEL, least),
        "decision": (CHANNEL, _decisions(keeping, stopping, checked_test)),
        "customers": (CHANNEL, people),
        "probability_pays": (CHANNEL, (drawn["profit"] > 0).mean(axis=0)),
    }
    best = drawn["profit"] == drawn["profit"].max(axis=1, keepdims=True)
    data["probability_best"] = (CHANNEL, (best / best.sum(axis=1, keepdims=True)).mean(axis=0))
    beats = (drawn["profit"][:, :, None] > drawn["profit"][:, None, :]).mean(axis=0)
    data["probability_beats"] = ((CHANNEL, OTHER), beats)
    names = np.array(order, dtype=object)
    coords = {
        DRAW: np.arange(size),
        CHANNEL: names,
        OTHER: names,
        TIME: values[TIME].to_numpy(),
        "stated": (CHANNEL, np.array([each.text for each in stated], dtype=object)),
    }
    attrs = dict(values.attrs) | {"result": "channels", "seed": int(seed), "draws": size, "level": "expected"}
    attrs["reasons"] = listed(values.attrs, "reasons")
    if checked_test is not None:
        attrs["test_cost"] = checked_test
    return describe(xr.Dataset(data, coords=coords, attrs=attrs), _OWN)


def aligned(
    values: xr.Dataset, channels: Iterable[Channel] | Mapping[str, Any] | float, left_out: Sequence[str] = ()
) -> tuple[list[str], list[Channel]]:
    """Return the channels in the order of the values, and what is stated of each; what has no partner is refused."""
    known = [str(name) for name in values[CHANNEL].to_numpy()]
    strange = [name for name in left_out if name not in known]
    if strange:
        raise InputError(f"left_out has {strange[0]!r}, which is no channel. There are {', '.join(known)}.")
    order = [name for name in known if name not in left_out]
    if isinstance(channels, Mapping):
        stated = [channel(str(name), cost=cost) for name, cost in channels.items()]
    elif isinstance(channels, Iterable):
        stated = list(channels)
    else:
        stated = [channel(name, cost=channels) for name in order]
    wrong = next((each for each in stated if not isinstance(each, Channel)), None)
    if wrong is not None:
        raise InputError(
            f"channels must be made by clv.valuation.channel, or be costs by name; got {type(wrong).__name__}."
        )
    found: dict[str, Channel] = {}
    for each in stated:
        if each.name not in order:
            raise InputError(
                f"{each.place}: the fits know no channel {each.name!r}. They know {', '.join(order)}. One that is "
                f"not tried yet is named {either(f'new=[{each.name!r}] of channel_values', 'new = true')}."
            )
        if each.name in found:
            raise InputError(f"{each.place}: {each.name!r} is there twice. Leave one out.")
        found[each.name] = each
    missing = [name for name in order if name not in found]
    if missing:
        count = f"{len(missing)} of {len(order)} channels" if len(missing) > 1 else "a channel"
        raise InputError(
            f"Nothing is said of what {count} cost{'s' * (len(missing) == 1)}: {', '.join(missing)}. State the cost, "
            f"or leave {'them' if len(missing) > 1 else 'it'} out: left_out = {missing}."
        )
    return order, [found[name] for name in order]


def payback_times(brought: np.ndarray, cost: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return when what was brought (draw, channel, time) reaches the cost (draw, channel); inf where it does not.

    Straight between the times; 0 where the first order pays.
    """
    reached = brought >= cost[..., None]
    first = reached.argmax(axis=-1)
    later = np.maximum(first, 1)
    before, after = (
        np.take_along_axis(brought, place[..., None], axis=-1)[..., 0] for place in (later - 1, later)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(after > before, (cost - before) / (after - before), 0.0)
    between = times[later - 1] + part * (times[later] - times[later - 1])
    found = np.where(first == 0, 0.0, between)
    return np.where(reached.any(axis=-1), found, np.inf)


def _decisions(keeping: np.ndarray, stopping: np.ndarray, test_cost: float | None) -> np.ndarray:
    """Return keep, stop or test a channel; "" where the losses do not exist."""
    found = np.where(keeping <= stopping, KEEP, STOP).astype(object)
    least = np.minimum(keeping, stopping)
    if test_cost is not None:
        found = np.where(least > test_cost, TEST, found)
    return np.where(np.isnan(least), "", found)


def _checked_values(values: xr.Dataset) -> xr.Dataset:
    dims = {DRAW, CHANNEL, TIME}
    if not isinstance(values, xr.Dataset) or set(getattr(values.get("value_by_time"), "dims", ())) != dims:
        raise InputError(
            "This needs what clv.valuation.channel_values returned, with value_by_time over draw, channel and time."
        )
    return values


def _checked_amount(given: Any, name: str) -> float:
    number = isinstance(given, int | float | np.number) and not isinstance(given, bool)
    if not number or not (np.isfinite(given) and given >= 0):
        raise InputError(f"{name} must be one amount of money, not negative; it is {given!r}.")
    return float(given)
