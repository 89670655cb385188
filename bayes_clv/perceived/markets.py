"""A market as customers see it: rivals' ratings by attribute, the attributes' weights, and prices part by part.

**Why a folder of its own.** Everything else in this package is computed from what customers did; what they say has
other data (answers), other units (points of a scale) and no posterior of purchases in it. In ``valuation`` it would
have stood between values in money of one's own base.

**Uncertainty is a dimension.** Weights and ratings are numbers, or draws of them (``draw``); whatever is computed from
a market is then computed draw by draw. So weights from experts, from entropy or learned from value, each with its
doubt, serve alike.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.schema import DRAW, InputError, argument, check_seed, example

if TYPE_CHECKING:
    import pandas as pd

ATTRIBUTE, RIVAL, PART = "attribute", "rival", "price_part"
SCALE = (0.0, 10.0)
# Weights that people write as 12.5 and 33.3 do not add up to the last digit.
ROUNDING = 1e-3

type Table = "xr.DataArray | pd.DataFrame | Mapping[str, Mapping[str, float]]"
type Column = "xr.DataArray | pd.Series[float] | Mapping[str, float]"


def market(
    ratings: Table, weights: Column, prices: Table, *, scale: tuple[float, float] = SCALE
) -> xr.Dataset:
    """Return a market: what rivals' offers are rated at and cost, and how much each attribute counts.

    Parameters
    ----------
    ratings
        Of each attribute the rating of each rival, in points of the scale: a mapping of attribute to a mapping of rival
        to number, a DataFrame with attributes as its rows and rivals as its columns, or a DataArray (attribute, rival),
        perhaps with ``draw``. More points are better.
    weights
        Of each attribute how much it counts, in per cent (adding up to 100) or as shares (to 1); or draws of them, a
        DataArray (attribute, draw), as ``clv.perceived.ahp_weights`` and its like return.
    prices
        Of each part of the price (what is paid at once, what its use costs) the amount of each rival, in money; as the
        ratings. The parts are added up: state all for the same use over the same time.
    scale
        Lowest and highest rating there is.

    Returns
    -------
    xarray.Dataset
        ``rating`` (attribute, rival), points; ``weight`` (attribute), shares that add up to 1; ``price`` (price_part,
        rival), money. Ratings and weights have ``draw`` where they came with it. ``attrs``: ``scale_low``,
        ``scale_high``.

    Raises
    ------
    InputError
        Ratings outside the scale, weights that are negative or do not add up, negative prices, what is no number,
        rivals or attributes that one table has and the other lacks.

    Examples
    --------
    >>> found = market(
    ...     {"taste": {"Filtro": 8, "Envir": 8}, "clogging": {"Filtro": 8, "Envir": 10}},
    ...     {"taste": 40, "clogging": 60},
    ...     {"capital": {"Filtro": 17, "Envir": 30}},
    ... )
    >>> found["weight"].values.tolist()
    [0.4, 0.6]
    """
    rated = _table(ratings, (ATTRIBUTE, RIVAL), "ratings")
    paid = _table(prices, (PART, RIVAL), "prices")
    counted = _column(weights)
    rivals, attributes = rated[RIVAL].to_numpy(), rated[ATTRIBUTE].to_numpy()
    _same(rivals, paid[RIVAL].to_numpy(), "rival", "ratings", "prices")
    _same(attributes, counted[ATTRIBUTE].to_numpy(), "attribute", "ratings", "weights")
    if rivals.size < 2:
        raise InputError(f"There is one rival, {str(rivals[0])!r}. Value is relative: give at least two.")
    low, high = _ends(scale)
    _within(rated, low, high)
    if (paid < 0).any():
        raise InputError(_shown(paid, paid < 0, "price", "is negative. A price is what is paid: at least 0"))
    found = xr.Dataset(
        {
            "rating": rated,
            "weight": shares(counted.sel({ATTRIBUTE: attributes})),
            "price": paid.sel({RIVAL: rivals}),
        }
    )
    found["rating"].attrs = {"long_name": "rating", "units": "points"}
    found["price"].attrs = {"long_name": "price", "units": "money"}
    found.attrs = {"result": "market", "scale_low": low, "scale_high": high}
    return found


def unsure(
    given: xr.Dataset,
    *,
    concentration: float | None = None,
    rating_error: float | None = None,
    draws: int = 4000,
    seed: int,
) -> xr.Dataset:
    """Return the market with draws of its weights and ratings: as sure of them as one is, and no surer.

    Parameters
    ----------
    given
        Of ``clv.perceived.market``.
    concentration
        Weights are drawn from a Dirichlet distribution of this times the weights: a weight of w has the standard
        deviation sqrt(w (1 - w) / (concentration + 1)), so that 50 makes .16 ± .05. None: as they are.
    rating_error
        Standard deviation of each rating, in points; each is drawn by itself from a normal distribution about what was
        given. None: as they are.
    draws, seed
        How many draws, and where their random numbers start.

    Returns
    -------
    xarray.Dataset
        The market, ``weight`` or ``rating`` with ``draw``.

    Notes
    -----
    A rating at an end of the scale may be drawn beyond it: there an answer stands for whatever lies beyond, and a draw
    cut at the end would rate a rival at 10 lower on average than it was rated.

    Raises
    ------
    InputError
        Nothing to be unsure of, numbers that are not positive, and a market that has draws already.

    Examples
    --------
    >>> sure = market({"taste": {"A": 8, "B": 6}}, {"taste": 1}, {"price": {"A": 17, "B": 30}})
    >>> unsure(sure, rating_error=0.5, draws=100, seed=1)["rating"].sizes["draw"]
    100
    """
    check_market(given)
    check_seed(seed)
    if concentration is None and rating_error is None:
        raise InputError(
            "Nothing is unsure: give concentration=, of the weights, or rating_error=, in points."
        )
    for name, value in (("concentration", concentration), ("rating_error", rating_error), ("draws", draws)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{argument(name, value)} must be a positive number.")
    for name, value in (("weight", concentration), ("rating", rating_error)):
        if value is not None and DRAW in given[name].dims:
            raise InputError(f"The {name}s of the market are draws already. Leave them as they are.")
    rng = np.random.default_rng(seed)
    found = given.copy()
    if concentration is not None:
        weight = given["weight"]
        drawn = rng.dirichlet(concentration * weight.to_numpy(), int(draws))
        found["weight"] = weight.copy(data=weight).expand_dims({DRAW: int(draws)}).copy(data=drawn)
    if rating_error is not None:
        rating = given["rating"].expand_dims({DRAW: int(draws)})
        found["rating"] = rating + rating_error * rng.standard_normal(rating.shape)
        found["rating"].attrs = given["rating"].attrs
    return found


def check_market(given: Any) -> None:
    """Raise InputError for what is no market."""
    if not isinstance(given, xr.Dataset) or given.attrs.get("result") != "market":
        raise InputError("This is no market. Make one: clv.perceived.market(ratings, weights, prices).")


def shares(weights: xr.DataArray, place: str = "") -> xr.DataArray:
    """Return weights as shares that add up to 1, given as per cent or shares; ``place`` begins each error.

    Raises
    ------
    InputError
        A negative weight, and weights that add up to something else than 100 or 1.
    """
    if (weights < 0).any():
        raise InputError(
            place + _shown(weights, weights < 0, "weight", "is negative. Weights are at least 0")
        )
    total = weights.sum(ATTRIBUTE)
    whole = 1.0 + 99.0 * (total > 2)
    off = np.abs(total / whole - 1) > ROUNDING
    if off.any():
        first = float(total.where(off).max())
        listed = "" if DRAW in weights.dims else f" ({', '.join(f'{w:g}' for w in weights.to_numpy())})"
        raise InputError(
            f"{place}The weights{listed} add up to {first:.6g}, neither to 100 nor to 1. Each says which share of the "
            "judgement its attribute is: change them until they add up, or divide each by their sum."
        )
    found = weights / total
    found.attrs = {"long_name": "weight of the attribute", "units": "share"}
    return found


def _ends(scale: Any) -> tuple[float, float]:
    try:
        low, high = (float(each) for each in scale)
    except (TypeError, ValueError):
        raise InputError(
            f"scale={scale!r} must be two numbers, lowest and highest, such as (1, 10)."
        ) from None
    if not -math.inf < low < high < math.inf:
        raise InputError(f"scale={scale!r}: the highest rating must lie above the lowest.")
    return low, high


def _within(rated: xr.DataArray, low: float, high: float) -> None:
    # Draws may lie beyond the ends, their means may not.
    mean = rated.mean(DRAW) if DRAW in rated.dims else rated
    outside = (mean < low) | (mean > high)
    if outside.any():
        raise InputError(
            _shown(
                mean,
                outside,
                "rating",
                f"is outside the scale from {low:g} to {high:g}. Correct it, or state the scale: scale=(lowest, "
                "highest)",
            )
        )


def _shown(values: xr.DataArray, bad: xr.DataArray, what: str, wrong: str) -> str:
    """Return what is wrong with values: how many, the first with its labels, and what to do."""
    at = tuple(int(each[0]) for each in np.nonzero(bad.to_numpy()))
    first = values[at]
    where = ", ".join(
        f"{dim.replace('_', ' ')} {str(first[dim].item())!r}" for dim in map(str, values.dims) if dim != DRAW
    )
    count = int(bad.sum())
    many = "" if count == 1 else f" ({count} of {bad.size} are so)"
    return f"The {what} {float(first):g} of {where} {wrong}{many}."


def _same(first: np.ndarray, second: np.ndarray, what: str, one: str, other: str) -> None:
    for names, others, has, lacks in ((first, second, one, other), (second, first, other, one)):
        missing = [str(name) for name in names if name not in others]
        if missing:
            raise InputError(
                f"The {has} have {what} {missing[0]!r}, the {lacks} do not"
                f"{f' ({len(missing)} such)' if len(missing) > 1 else ''}. Give each {what} in both."
            )


def _table(given: Any, dims: tuple[str, str], what: str) -> xr.DataArray:
    """Return a table as numbers (rows, columns), perhaps with draws."""
    if not isinstance(given, xr.DataArray):
        rows, columns = dims
        found = _nested(given, what)
        names = list(dict.fromkeys(name for cells in found.values() for name in cells))
        for row, cells in found.items():
            missing = [name for name in names if name not in cells]
            if missing:
                raise InputError(
                    f"The {what} of {row!r} lack {columns.replace('_', ' ')} {missing[0]!r}. Give each."
                )
        if not names:
            raise InputError(
                f"The {what} are empty. Give at least one {rows.replace('_', ' ')} of two rivals."
            )
        numbers = [[_number(found[row][name], f"{what}: {row}, {name}") for name in names] for row in found]
        return xr.DataArray(
            numbers,
            coords={rows: np.array(list(found), dtype=object), columns: np.array(names, dtype=object)},
            dims=dims,
        )
    return _array(given, dims, what)


def _nested(given: Any, what: str) -> dict[str, dict[str, Any]]:
    if hasattr(given, "iterrows"):
        return {
            str(row): {str(name): value for name, value in cells.items()} for row, cells in given.iterrows()
        }
    try:
        return {str(row): {str(name): value for name, value in cells.items()} for row, cells in given.items()}
    except AttributeError:
        raise InputError(
            f"The {what} are {type(given).__name__}. Give a DataFrame with rivals as its columns, or a mapping such as "
            "{'taste': {'A': 8, 'B': 6}}."
        ) from None


def _column(given: Any) -> xr.DataArray:
    if isinstance(given, xr.DataArray):
        return _array(given, (ATTRIBUTE,), "weights")
    if not hasattr(given, "items"):
        raise InputError(
            f"The weights are {type(given).__name__}. Give a mapping such as {{'taste': 9, ...}}."
        )
    names = [str(name) for name, _ in given.items()]
    values = [_number(value, f"weights: {name}") for name, value in given.items()]
    return xr.DataArray(values, coords={ATTRIBUTE: np.array(names, dtype=object)}, dims=ATTRIBUTE)


def _array(given: xr.DataArray, dims: tuple[str, ...], what: str) -> xr.DataArray:
    left = set(dims) ^ (set(map(str, given.dims)) - {DRAW})
    if left:
        raise InputError(
            f"The {what} have the dimensions {given.dims}. They need {dims}, and may have '{DRAW}'."
        )
    for dim in dims:
        if dim not in given.coords:
            raise InputError(f"The {what} say not which {dim} is which. Give coordinates of {dim!r}.")
    bad = ~np.isfinite(given.to_numpy().astype(float))
    if bad.any():
        shown = example(given.to_numpy().ravel(), bad.ravel())
        raise InputError(f"{int(bad.sum())} of the {bad.size} {what} are no finite number, such as {shown}.")
    order = (DRAW, *dims) if DRAW in given.dims else dims
    return given.astype(float).transpose(*order).drop_attrs()


def _number(value: Any, place: str) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if isinstance(value, bool) or not math.isfinite(found):
        raise InputError(f"{place}: {value!r} is no number.")
    return found
