"""How to split a budget over channels whose customers get dearer the more of them one wants.

**Response.** Money s brings n(s) customers a period, a curve through where the channel stands today, ``spent`` and
``won``, that you state by one number:

* ``elasticity`` e, above 0 and below 1: n = won (s / spent)^e; 10 % more money brings about e x 10 % more customers;
* ``most``: n = most s / (half + s), with half such that the curve goes through today: there are no more than that.

Both bend down everywhere, so that the first money brings most. What one campaign won is chance too: the whole curve is
scaled by Gamma(won + 1/2, 1) / won, in each draw. S-shaped curves are refused: with them the best split may be to leave
a channel out that would pay with more money, which no rule of marginal returns finds.

**Split.** In a draw money brings sum V_i n_i(s_i) - s_i. The mean over draws is concave, so that the best split spends
until the next unit of money brings the same in all channels (those at a bound aside), and no more than brings back
itself: what is left of the budget is unspent. Found by bisection of that marginal return, in channels and over them;
a general optimiser was rejected, since it is slower and stops within its tolerance of it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import DRAW, InputError, Variable, check_seed, describe, interval
from bayes_clv.valuation.acquisition import (
    CHANNEL,
    ELASTICITY,
    MOST,
    SPENT,
    WON,
    Channel,
    drawn_term,
    won_draws,
)

# Halvings of the bracket of a root: to 1e-12 of it.
HALVINGS = 40
_OWN = {
    "spend": Variable("money for the channel", "money"),
    "spent": Variable("money that the channel cost", "money"),
    "customers": Variable("customers won", "count", "expected"),
    "profit": Variable("value of the customers won less the money for them", "money", "expected"),
    "marginal": Variable("value that the next unit of money brings, on average", "none", "expected"),
    "profit_total": Variable("profit of the split", "money", "expected"),
    "profit_today_total": Variable("profit of the same money, split as today", "money", "expected"),
    "gain_total": Variable("profit of the split less that of today's", "money", "expected"),
}


@dataclass(frozen=True)
class Response:
    """A channel's customers (draw,) for money, and the mean value that the next unit of it brings."""

    customers: Callable[[float], np.ndarray]
    marginal: Callable[[float], float]


def split_budget(
    value: xr.DataArray,
    channels: Iterable[Channel],
    budget: float,
    *,
    least: Mapping[str, float] | None = None,
    upmost: Mapping[str, float] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Return the split of a budget over channels that earns most on average.

    Parameters
    ----------
    value
        What a new customer is worth (draw, channel): ``found["value"]`` of ``clv.valuation.compare_channels``.
    channels
        Of ``clv.valuation.channel``, one a channel, with ``spent``, ``won`` and ``elasticity`` or ``most``.
    budget
        Money of one period, that of ``spent``.
    least, upmost
        Money by channel that it gets at least, and at most.
    seed
        Of what is drawn for the responses: give that of ``compare_channels``.

    Returns
    -------
    xarray.Dataset
        Expected level. Over ``channel``: ``spend``, and ``spent`` today; ``customers`` and ``profit`` as mean, q05 and
        q95; ``marginal``, what the next unit of money brings. Over ``draw``: ``profit_total``, ``profit_today_total``
        of the same budget in today's shares, and ``gain_total``, their difference. ``attrs["unspent"]`` is what of the
        budget brings less than itself everywhere.

    Raises
    ------
    InputError
        A channel without a response; a budget that is not positive, or bounds that it cannot meet.

    Examples
    --------
    >>> values = clv.valuation.channel_values(by_channel, spending, margin=0.3, profile={"age": 35})
    >>> terms = {"search": (900, 90), "shop": (500, 80), "social": (300, 20)}
    >>> stated = [
    ...     clv.valuation.channel(name, spent=spent, won=won, elasticity=0.6)
    ...     for name, (spent, won) in terms.items()
    ... ]
    >>> found = clv.valuation.compare_channels(values, stated)
    >>> split = split_budget(found["value"], stated, 2000)
    >>> bool(split["spend"].sum() <= 2000.01)
    True
    """
    check_seed(seed)
    stated = list(channels)
    names = [each.name for each in stated]
    worth = _checked_value(value, names)
    money = _checked_money(budget, "budget")
    if money == 0:
        raise InputError("budget must be above 0.")
    responses = [response(each, worth[:, i], seed) for i, each in enumerate(stated)]
    low = _bounds(least, names, "least", 0.0)
    high = np.minimum(_bounds(upmost, names, "upmost", money), money)
    if low.sum() > money * (1 + 1e-9):
        raise InputError(f"least asks for {low.sum():,.6g} in all, more than the budget of {money:,.6g}.")
    crossed = np.flatnonzero(low > high)
    if crossed.size:
        i = int(crossed[0])
        raise InputError(f"least of {names[i]!r}, {low[i]:g}, is more than its upmost, {high[i]:g}.")
    spend = _best(responses, money, low, high)
    today = np.array([float(each.terms[SPENT].value) for each in stated])
    as_today = today * money / today.sum()
    bought = np.stack([each.customers(s) for each, s in zip(responses, spend.tolist(), strict=True)], axis=1)
    before = np.stack(
        [each.customers(s) for each, s in zip(responses, as_today.tolist(), strict=True)], axis=1
    )
    profit = worth * bought - spend
    totals = {
        "profit_total": profit.sum(axis=1),
        "profit_today_total": (worth * before - as_today).sum(axis=1),
    }
    totals["gain_total"] = totals["profit_total"] - totals["profit_today_total"]
    data: dict[str, Any] = {name: (DRAW, each) for name, each in totals.items()}
    data |= {
        "spend": (CHANNEL, spend),
        "spent": (CHANNEL, today),
        "marginal": (
            CHANNEL,
            np.array([each.marginal(s) for each, s in zip(responses, spend.tolist(), strict=True)]),
        ),
    }
    for name, drawn in (("customers", bought), ("profit", profit)):
        ends = (drawn.mean(axis=0), *interval(drawn, axis=0))
        data |= {
            f"{name}_{end}": (CHANNEL, each) for end, each in zip(("mean", "q05", "q95"), ends, strict=True)
        }
    attrs = {
        "result": "budget",
        "budget": money,
        "unspent": float(money - spend.sum()),
        "draws": worth.shape[0],
        "seed": int(seed),
        "level": "expected",
    }
    coords = {CHANNEL: np.array(names, dtype=object), DRAW: np.arange(worth.shape[0])}
    return describe(xr.Dataset(data, coords=coords, attrs=attrs), _OWN)


def response(stated: Channel, worth: np.ndarray, seed: int) -> Response:
    """Return how many customers money brings to a channel, and what the next of it brings; see the module."""
    missing = [term for term in (SPENT, WON) if term not in stated.terms]
    shapes = [term for term in (ELASTICITY, MOST) if term in stated.terms]
    if missing or len(shapes) != 1:
        lacks = " and ".join([*missing, *([f"{ELASTICITY} or {MOST}"] if not shapes else [])])
        what = f"lacks {lacks}" if lacks else f"has both {ELASTICITY} and {MOST}"
        raise InputError(
            f"{stated.place}: {stated.name!r} {what}, so that nobody knows what more money would bring. State spent, "
            f"won and one of {ELASTICITY} and {MOST}."
        )
    spent, won = (float(stated.terms[term].value) for term in (SPENT, WON))
    scale = won_draws(stated, worth.size, seed) / won
    shape = drawn_term(stated, shapes[0], worth.size, seed)
    # Of a shape that is known the mean is that of one number, and the search a hundred times faster.
    times, bent = worth * scale, shape
    if stated.terms[shapes[0]].certain:
        times, bent = np.array([times.mean()]), shape[:1]
    if shapes[0] == ELASTICITY:
        return Response(
            lambda s: scale * won * (s / spent) ** shape,
            lambda s: float((times * won * bent / spent * (max(s, 1e-300) / spent) ** (bent - 1)).mean()),
        )
    if (shape <= won).any():
        raise InputError(
            f"{stated.terms[MOST].place}: {MOST} of {stated.name!r} is {shape.min():g}, but it has won {won:g} already."
        )
    half, halves = spent * (shape / won - 1), spent * (bent / won - 1)
    return Response(
        lambda s: scale * shape * s / (half + s),
        lambda s: float((times * bent * halves / (halves + s) ** 2).mean()),
    )


def _best(responses: list[Response], money: float, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the split (channel,): the same marginal return in all, at least 1, those at a bound aside."""

    def at(marginal: float) -> np.ndarray:
        return np.array(
            [_spend(each.marginal, marginal, a, b) for each, a, b in zip(responses, low, high, strict=True)]
        )

    cheapest = at(1.0)
    if cheapest.sum() <= money:
        return cheapest
    # On the log scale, from where all is too much to where nothing above the least is worth it.
    under, over = 0.0, np.log(max(2.0, *(each.marginal(1e-12 * money) for each in responses)))
    for _ in range(HALVINGS):
        middle = (under + over) / 2
        under, over = (middle, over) if at(np.exp(middle)).sum() > money else (under, middle)
    found = at(np.exp(over))
    # What the bisection left, a part in a million million, goes to those at no bound.
    room = np.where(found > low, high - found, 0.0)
    return found + (money - found.sum()) * room / room.sum() if room.sum() > 0 else found


def _spend(marginal: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """Return the money at which the marginal return has fallen to what is wanted, within bounds."""
    if marginal(low) <= wanted:
        return low
    if marginal(high) >= wanted:
        return high
    under, over = max(low, 1e-12 * high), high
    for _ in range(HALVINGS):
        middle = float(np.sqrt(under * over))
        under, over = (middle, over) if marginal(middle) > wanted else (under, middle)
    return under


def _checked_value(value: xr.DataArray, names: list[str]) -> np.ndarray:
    if not isinstance(value, xr.DataArray) or set(value.dims) != {DRAW, CHANNEL}:
        raise InputError('value must be draws by channel, found["value"] of compare_channels.')
    known = [str(name) for name in value[CHANNEL].to_numpy()]
    strange = [name for name in names if name not in known]
    if strange or not names:
        raise InputError(
            f"value knows no channel {strange[0]!r}. It knows {', '.join(known)}."
            if strange
            else "There is no channel."
        )
    worth = value.transpose(DRAW, CHANNEL).sel({CHANNEL: names}).to_numpy().astype(float)
    if not np.isfinite(worth).all():
        raise InputError("value is infinite in some draws: expected spend is. Use a stronger prior on q.")
    return worth


def _checked_money(given: Any, what: str) -> float:
    number = isinstance(given, int | float | np.number) and not isinstance(given, bool)
    if not number or not (np.isfinite(given) and given >= 0):
        raise InputError(f"{what} must be an amount of money, not negative; it is {given!r}.")
    return float(given)


def _bounds(given: Mapping[str, float] | None, names: list[str], what: str, otherwise: float) -> np.ndarray:
    unknown = [name for name in given or {} if name not in names]
    if unknown:
        raise InputError(f"{what} has {unknown[0]!r}, which is no channel. There are {', '.join(names)}.")
    known = {name: _checked_money(each, f"{what} of {name!r}") for name, each in (given or {}).items()}
    return np.array([known.get(name, otherwise) for name in names])
