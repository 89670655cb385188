"""What to bid for a customer: expected profit under a stated bid-volume curve, with the winner's curse taken off.

A bid b wins n(b) customers a period, as you state it by some points. In a draw in which a customer is worth V::

    profit(b) = V n - b n            where the winner pays its own bid (pays="bid")
    profit(b) = V n - cost(b)        where it pays the next highest one (pays="next"): cost is the integral of x dn(x)

If n has nothing to do with V only the mean of V matters, and where the next bid is paid the best bid is that mean
(Vickrey 1961). **The winner's curse** (Capen, Clapp & Campbell 1971; Thaler 1988) is that it has: others bid for the
same customers and know something of their worth too, so that one wins more where customers are worth less than one
thinks. ``common`` says how much: where customers are worth x % of what one thinks, the others bid x % to the power of
``common``. At 0 they know nothing of it, at 1 everything. With m the mean of V the curve of a draw is::

    n(b (m / V)^common)

and what is won is worth E[V n] / E[n], less than m: ``value_when_won``. The bid that is best on average over the draws
knows that. It is lower than a careless one where the curve is straight; where the curve bends near it, it need not be.

There is a second curse, of choice: of many channels the one that looks best is worth less than it looks (Smith &
Winkler 2006). It is taken off before, since values of pooled channels are shrunk towards each other by as much as the
data say; bids on raw means are not.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_clv.schema import DRAW, InputError, Variable, describe, interval

BID = "bid"
# Bids tried between 0 and the highest that is stated.
STEPS = 400
PAYS = ("next", "bid")
_OWN = {
    "profit": Variable("profit of a bid in a period", "money", "expected"),
    "volume_mean": Variable("customers won a period", "count", "expected"),
    "value_when_won": Variable("value of a customer, of those that are won", "money", "expected"),
    "best_bid": Variable("bid of the highest mean profit", "money", "expected"),
    "mean_bid": Variable("bid of the mean value, as far as bids are stated", "money", "expected"),
    "careless_bid": Variable(
        "bid that would be best if winning were no news of the value", "money", "expected"
    ),
    "gain_over_mean_bid": Variable("mean profit of the best bid less that of the mean", "money", "expected"),
    "winners_curse": Variable(
        "mean value less that of the customers won at the best bid", "money", "expected"
    ),
}


def best_bid(
    value: xr.DataArray,
    volume: Mapping[float, float],
    *,
    pays: Literal["next", "bid"] = "next",
    common: float = 0.0,
) -> xr.Dataset:
    """Return the expected profit of each bid for a new customer, and the best of them.

    Parameters
    ----------
    value
        Draws (draw,) of what a new customer is worth: ``found["value"].sel(channel="search")`` of
        ``clv.valuation.compare_channels``.
    volume
        How many customers a period each bid wins: ``{2.0: 10, 5.0: 60, 10.0: 100}``; straight between, none at 0, no
        more beyond the highest. It does not fall.
    pays
        What the winner pays: the ``"next"`` highest bid, or its own ``"bid"``.
    common
        How much others know of what these customers are worth, from 0 to 1, see the module.

    Returns
    -------
    xarray.Dataset
        Expected level. Over (draw, bid): ``profit`` of a period. Over ``bid``, from 0 to the highest stated:
        ``profit_mean``, ``_q05``, ``_q95``, ``volume_mean`` and ``value_when_won``. Scalars: ``best_bid``;
        ``mean_bid``, the mean value, as far as bids are stated; ``careless_bid``, best if winning were no news;
        ``gain_over_mean_bid``; ``winners_curse``, by how much less customers won at the best bid are worth.

    Raises
    ------
    InputError
        Values that are no draws, not positive or infinite; a curve that falls, or has a negative bid or volume;
        ``common`` outside 0 to 1.

    Notes
    -----
    The answer is as good as the curve: it is stated, not learned. Where the best bid is the highest that is stated a
    higher one may be better.

    Examples
    --------
    >>> values = clv.valuation.channel_values(by_channel, spending, margin=0.3, profile={"age": 35})
    >>> one = clv.valuation.compare_channels(values, 9.0)["value"].sel(channel="search")
    >>> found = best_bid(one, {5.0: 10, 20.0: 60, 60.0: 100}, common=0.5)
    >>> bool(found["winners_curse"] > 0)
    True
    """
    worth = _checked_value(value)
    at, won = checked_curve(volume)
    if pays not in PAYS:
        raise InputError(
            f'pays={pays!r} is not known. The winner pays the "next" highest bid, or its own "bid".'
        )
    number = isinstance(common, int | float | np.number) and not isinstance(common, bool)
    if not number or not 0 <= common <= 1:
        raise InputError(
            f"common={common!r} must lie from 0 (others know nothing of what customers are worth) to 1 (everything)."
        )
    mean = float(worth.mean())
    middle = min(mean, float(at[-1]))
    bids = np.union1d(np.linspace(0.0, at[-1], STEPS + 1), [middle])
    profit, customers = bid_profit(worth, bids, at, won, pays=pays, common=common, known=mean)
    careless, _ = bid_profit(worth, bids, at, won, pays=pays, common=0.0, known=mean)
    expected = profit.mean(axis=0)
    best, place = int(np.argmax(expected)), int(np.searchsorted(bids, middle))
    with np.errstate(invalid="ignore", divide="ignore"):
        when_won = (worth[:, None] * customers).mean(axis=0) / customers.mean(axis=0)
    low, high = interval(profit, axis=0)
    data: dict[str, Any] = {
        "profit": ((DRAW, BID), profit),
        "profit_mean": (BID, expected),
        "profit_q05": (BID, low),
        "profit_q95": (BID, high),
        "volume_mean": (BID, customers.mean(axis=0)),
        "value_when_won": (BID, when_won),
        "best_bid": ((), float(bids[best])),
        "mean_bid": ((), middle),
        "careless_bid": ((), float(bids[np.argmax(careless.mean(axis=0))])),
        "gain_over_mean_bid": ((), float(expected[best] - expected[place])),
        "winners_curse": ((), mean - float(when_won[best]) if best else 0.0),
    }
    attrs = {
        "result": "bid",
        "pays": pays,
        "common": float(common),
        "value_mean": mean,
        "highest_stated": float(at[-1]),
        "draws": worth.size,
        "level": "expected",
    }
    return describe(xr.Dataset(data, coords={BID: bids, DRAW: np.arange(worth.size)}, attrs=attrs), _OWN)


def bid_profit(
    worth: np.ndarray,
    bids: np.ndarray,
    at: np.ndarray,
    won: np.ndarray,
    *,
    pays: str,
    common: float,
    known: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return profit and customers won (draw, bid) of bids where customers are worth ``worth`` (draw,).

    ``known`` is the value at which the curve (``at``, ``won``), which begins with 0, was stated.
    """
    scale = (known / worth[:, None]) ** common
    seen = bids * scale
    customers = np.interp(seen, at, won)
    if pays == "bid":
        return (worth[:, None] - bids) * customers, customers
    # Within a piece the next highest bids lie evenly: each adds slope (b^2 - a^2) / 2, which np.interp has no form for.
    slope = np.diff(won) / np.diff(at)
    whole = np.concatenate([[0.0], np.cumsum(slope * np.diff(at**2) / 2)])
    inside = np.minimum(seen, at[-1])
    piece = np.clip(np.searchsorted(at, inside, side="right") - 1, 0, slope.size - 1)
    paid = whole[piece] + slope[piece] * (inside**2 - at[piece] ** 2) / 2
    return worth[:, None] * customers - paid / scale, customers


def checked_curve(volume: Mapping[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return bids, from 0, and how many customers they win; a curve that cannot be is refused."""
    if not isinstance(volume, Mapping) or not volume:
        raise InputError(
            f"volume must say how many customers each bid wins, such as {{2.0: 10, 5.0: 60}}; got {volume!r}."
        )
    try:
        pairs = sorted((float(bid), float(number)) for bid, number in volume.items())
    except (TypeError, ValueError):
        raise InputError(f"volume has what is no number: {dict(volume)!r}.") from None
    at, won = (np.array(each) for each in zip(*pairs, strict=True))
    if not (np.isfinite(at).all() and np.isfinite(won).all() and (at > 0).all() and (won >= 0).all()):
        raise InputError(
            f"volume must have bids above 0 and numbers of customers from 0, all finite; it is {dict(volume)!r}."
        )
    falls = np.flatnonzero(np.diff(won) < 0)
    if falls.size:
        i = int(falls[0])
        raise InputError(
            f"volume falls: a bid of {at[i]:g} wins {won[i]:g} and one of {at[i + 1]:g} wins {won[i + 1]:g}. A higher "
            "bid wins at least as many."
        )
    return np.concatenate([[0.0], at]), np.concatenate([[0.0], won])


def _checked_value(value: xr.DataArray) -> np.ndarray:
    if not isinstance(value, xr.DataArray) or value.dims != (DRAW,):
        shown = f"dimensions {value.dims}" if isinstance(value, xr.DataArray) else type(value).__name__
        raise InputError(
            f'value must be draws of one channel, found["value"].sel(channel=...) of compare_channels; got {shown}.'
        )
    worth = value.to_numpy().astype(float)
    bad = ~(np.isfinite(worth) & (worth > 0))
    if bad.any():
        raise InputError(
            f"value has {int(bad.sum()):,} of {worth.size:,} draws that are not positive and finite, such as "
            f"{worth[bad][0]:g}: expected spend is infinite there. Use a stronger prior on q."
        )
    return worth
