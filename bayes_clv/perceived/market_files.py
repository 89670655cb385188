"""A market in a spreadsheet saved as CSV, read with file and line of each error."""

import csv
import math
from pathlib import Path

import xarray as xr

from bayes_clv.perceived.markets import SCALE, market, shares
from bayes_clv.schema import InputError

PRICE = "price"
_FIRST = ("attribute", "weight")


def read_market(source: str | Path, *, scale: tuple[float, float] = SCALE) -> xr.Dataset:
    r"""Return the market of a CSV file, a row an attribute or a part of the price, a column a rival.

    Parameters
    ----------
    source
        The file. Its columns are ``attribute``, ``weight`` and one a rival. In the row of an attribute stand its
        weight, in per cent or as a share, and the ratings; in that of a part of the price stands ``price`` in place
        of the weight, and then amounts.
    scale
        Lowest and highest rating there is.

    Returns
    -------
    xarray.Dataset
        As ``clv.perceived.market``.

    Raises
    ------
    InputError
        With file and line: what is no number, a rating outside the scale, a negative weight or price, a row too short
        or too long or twice there; weights that do not add up, with the line of the last.

    Examples
    --------
    >>> from pathlib import Path
    >>> lines = ["attribute,weight,Filtro,Envir", "taste,40,8,8", "clogging,60,8,10", "capital,price,17,30"]
    >>> written = Path("market.csv").write_text("\n".join(lines))
    >>> read_market("market.csv")["rating"].sel(rival="Envir").values.tolist()
    [8.0, 10.0]
    """
    path = Path(source)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The market {path.name} cannot be read: {error}.") from error
    rows = [(line, cells) for line, cells in rows if any(cells)]
    if not rows:
        raise InputError(f"{path.name} is empty. Its first line is 'attribute,weight,' and the rivals.")
    rivals = _header(path.name, *rows[0])
    low, high = scale
    ratings: dict[str, dict[str, float]] = {}
    prices: dict[str, dict[str, float]] = {}
    weights: dict[str, float] = {}
    last = rows[0][0]
    for line, cells in rows[1:]:
        place = f"{path.name}, line {line}"
        name, weight, values = _row(place, cells, rivals)
        if name in ratings or name in prices:
            raise InputError(f"{place}: {name!r} stands there twice. Give each a name of its own.")
        if weight == PRICE:
            prices[name] = values
            _bounded(place, name, values, 0.0, math.inf, "A price is at least 0")
            continue
        weights[name] = _amount(place, "weight", weight)
        if weights[name] < 0:
            raise InputError(f"{place}: the weight of {name!r} is {weight}. Weights are at least 0.")
        ratings[name] = values
        _bounded(place, name, values, low, high, f"The scale goes from {low:g} to {high:g}")
        last = line
    for kind, found in (("attribute with its weight", ratings), ("part of the price", prices)):
        if not found:
            raise InputError(
                f"{path.name} has no {kind}. A row of a price has 'price' in place of the weight."
            )
    shares(
        xr.DataArray(list(weights.values()), coords={"attribute": list(weights)}, dims="attribute"),
        f"{path.name}, line {last}: ",
    )
    return market(ratings, weights, prices, scale=scale)


def _header(file: str, line: int, cells: list[str]) -> list[str]:
    place = f"{file}, line {line}"
    if tuple(cell.casefold() for cell in cells[:2]) != _FIRST:
        raise InputError(
            f"{place}: the columns are {', '.join(cells)!r}. They begin with "
            "'attribute,weight', and then come the rivals."
        )
    rivals = cells[2:]
    for name in rivals:
        if not name or rivals.count(name) > 1:
            raise InputError(
                f"{place}: a rival is called {name!r}{' twice' if name else ''}. Give each a name."
            )
    return rivals


def _row(place: str, cells: list[str], rivals: list[str]) -> tuple[str, str, dict[str, float]]:
    if len(cells) != len(rivals) + 2:
        raise InputError(
            f"{place}: there are {len(cells)} cells where the first line has {len(rivals) + 2}. Is a comma missing, or "
            "one too many? Decimals are written with a point."
        )
    name, weight, *values = cells
    return (
        name,
        weight,
        {rival: _amount(place, rival, each) for rival, each in zip(rivals, values, strict=True)},
    )


def _amount(place: str, column: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{place}: {text!r} in column {column!r} is no number.")
    return found


def _bounded(place: str, name: str, values: dict[str, float], low: float, high: float, rule: str) -> None:
    for rival, value in values.items():
        if not low <= value <= high:
            raise InputError(f"{place}: {name} of {rival} is {value:g}. {rule}: correct it.")
