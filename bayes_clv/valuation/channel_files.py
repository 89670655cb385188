"""Channels in TOML, read with file and line of each error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayes_clv.predictions.own_costs import Costs, of_table
from bayes_clv.schema import InputError
from bayes_clv.toml_lines import Lines, read_toml
from bayes_clv.valuation.acquisition import CHANNEL, Channel, of_terms
from bayes_clv.valuation.bids import checked_curve

_TOP = ("by", "horizon", "test_cost", "budget", "left_out", "profile", "costs", "others", "channels")
# Of a channel beside its terms.
_OWN = ("name", "new", "bids", "pays", "common")


@dataclass(frozen=True)
class Auction:
    """What is stated of the bids of a channel, as ``clv.valuation.best_bid`` takes it; ``place`` of its bids."""

    volume: Mapping[float, float]
    settings: Mapping[str, Any]
    place: str


@dataclass(frozen=True)
class Channels:
    """What a file says of channels.

    Attributes
    ----------
    by : str, or None
        The grouping column that tells them apart, where the file says it.
    listed : tuple of Channel
    auctions : mapping of channel to Auction
        Of the channels whose bids are stated.
    others : mapping, or None
        The terms of every channel that is not listed.
    places : mapping of str to str
        Where each setting stands, as an error begins.
    """

    listed: tuple[Channel, ...]
    by: str | None = None
    horizon: str | float | None = None
    test_cost: float | None = None
    budget: float | None = None
    left_out: tuple[str, ...] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, Any] | None = None
    costs: Costs | None = None
    auctions: Mapping[str, Auction] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def new(self) -> list[str]:
        """Return the channels that the fits have not seen."""
        return [each.name for each in self.listed if each.new]

    def of(self, names: Sequence[str]) -> list[Channel]:
        """Return what is stated of these channels of the fits, and of what they do not know; see ``aligned``."""
        strange = [name for name in self.left_out if name not in names]
        if strange:
            raise InputError(
                f"{self.places['left_out']}: left_out has {strange[0]!r}, which is no channel. There are "
                f"{', '.join(names)}."
            )
        if self.others is None:
            return list(self.listed)
        known = {each.name for each in self.listed} | set(self.left_out)
        place = self.places["others"]
        return [*self.listed, *(of_terms(name, self.others, place) for name in names if name not in known)]


def read_channels(source: str | Path) -> Channels:
    r"""Return what a TOML file says of channels: what their customers cost, and what is to be decided.

    Parameters
    ----------
    source
        The file: one ``[[channels]]`` a channel with ``name`` and the terms of ``clv.valuation.channel``, and perhaps
        ``new = true`` for one that the fits have not seen. A distribution is a table: ``cost = {normal = [12, 2]}``
        (mean, standard deviation), ``uniform``, ``triangular`` or ``beta``. Where a channel is bid for,
        ``bids = [[10, 50], [40, 400]]`` says how many customers each bid wins, and ``pays`` and ``common`` are those of
        ``clv.valuation.best_bid``. Above them, all optional: ``by``, the
        grouping column; ``horizon``; ``test_cost``; ``budget``, to be split over the channels with
        ``elasticity`` or ``most``; ``left_out``, channels of which nothing is said; ``[profile]``,
        what new customers are besides; ``[costs]``, what they cost beside acquisition, as ``clv.predictions.costs`` has
        it, in numbers (by default what the run's customers cost); ``[others]``, the terms of every channel that is not
        listed.

    Raises
    ------
    InputError
        With file and line: no TOML, a word that is not known, a cost that is negative or missing, a channel twice.

    Examples
    --------
    >>> from pathlib import Path
    >>> lines = ["[[channels]]", 'name = "search"', "cost = 9.5", "[others]", "cost = 12"]
    >>> written = Path("channels.toml").write_text("\n".join(lines))
    >>> [each.text for each in read_channels("channels.toml").of(["search", "social"])]
    ['cost 9.5', 'cost 12']
    """
    table, lines = read_toml(source, "file of channels")
    places = {key: lines.place(lines.of_key(key, 1)) for key in table}
    for key in table:
        if key not in _TOP:
            raise InputError(
                f"{places[key]}: {key!r} is not known. A file of channels has {', '.join(_TOP)}."
            )
    for key in ("profile", "costs", "others"):
        if key in table:
            places[key] = lines.place(lines.of_header(f"[{key}]"))
            if not isinstance(table[key], dict):
                raise InputError(f"{places[key]}: {key} is a table of its own: [{key}].")
    given = table.get("channels", [])
    known = isinstance(given, list) and all(isinstance(each, dict) for each in given)
    if not known or not (given or "others" in table):
        raise InputError(f"{lines.file} has no [[channels]]. Each needs a name and what its customers cost.")
    if "by" in table and not isinstance(table["by"], str):
        raise InputError(f'{places["by"]}: by is {table["by"]!r}. Name a column, such as by = "{CHANNEL}".')
    found: list[Channel] = []
    auctions: dict[str, Auction] = {}
    for number, each in enumerate(given):
        start = lines.of_header("[[channels]]", number)
        one = _channel(each, lines, start)
        if one.name in [other.name for other in found]:
            raise InputError(f"{one.place}: {one.name!r} is there twice. Leave one out.")
        found.append(one)
        if any(key in each for key in ("bids", "pays", "common")):
            auctions[one.name] = _auction(each, lines, start)
    if "others" in table:
        # Faults of what all the others share are found here, with their line.
        start = lines.of_header("[others]")
        at = {key: lines.place(lines.of_key(key, start)) for key in table["others"]}
        of_terms("others", table["others"], lines.place(start), at)
    return Channels(
        tuple(found),
        by=table.get("by"),
        horizon=table.get("horizon"),
        test_cost=_amount(table, "test_cost", places),
        budget=_amount(table, "budget", places),
        left_out=_names(table, places),
        auctions=auctions,
        profile=table.get("profile", {}),
        others=table.get("others"),
        costs=_costs(table, lines),
        places=places,
    )


def _costs(table: Mapping[str, Any], lines: Lines) -> Costs | None:
    """Return what new customers cost beside their acquisition, which is one number a term for all of them."""
    if "costs" not in table:
        return None
    start = lines.of_header("[costs]")
    places = {key: lines.place(lines.of_key(key, start)) for key in table["costs"]}
    for key, each in table["costs"].items():
        if isinstance(each, str):
            raise InputError(
                f"{places[key]}: {key} is a column, and new customers have none. Write a number."
            )
    return of_table(table["costs"], places)


def _channel(table: Mapping[str, Any], lines: Lines, start: int) -> Channel:
    places = {key: lines.place(lines.of_key(key, start)) for key in table}
    name, new = table.get("name"), table.get("new", False)
    if not isinstance(name, str):
        raise InputError(f'{lines.place(start)}: the channel has no name. Give it one: name = "search".')
    if not isinstance(new, bool):
        raise InputError(
            f"{places['new']}: new is {new!r}. Write new = true of a channel that is not tried yet."
        )
    terms = {key: each for key, each in table.items() if key not in _OWN}
    return of_terms(name, terms, lines.place(start), places, new=new)


def _auction(table: Mapping[str, Any], lines: Lines, start: int) -> Auction:
    """Return what is stated of bids, checked as far as it can be without the value."""
    if "bids" not in table:
        lone = next(key for key in ("pays", "common") if key in table)
        raise InputError(
            f"{lines.place(lines.of_key(lone, start))}: {lone} is of a bid, and there are no bids. Write how many "
            "customers each wins, bids = [[10, 50], [40, 400]], or leave it out."
        )
    place = lines.place(lines.of_key("bids", start))
    given = table["bids"]
    if not isinstance(given, list) or not all(isinstance(each, list) and len(each) == 2 for each in given):
        raise InputError(
            f"{place}: bids is {given!r}. Write how many customers each bid wins: bids = [[10, 50], [40, 400]]."
        )
    volume = (
        {each[0]: each[1] for each in given}
        if all(_is_number(each) for pair in given for each in pair)
        else {}
    )
    try:
        checked_curve(volume)
    except InputError as error:
        raise InputError(f"{place}: {error.text.replace('volume', 'bids')}") from None
    return Auction(volume, {key: table[key] for key in ("pays", "common") if key in table}, place)


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _amount(table: Mapping[str, Any], key: str, places: Mapping[str, str]) -> float | None:
    if key not in table:
        return None
    given = table[key]
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < float("inf"):
        raise InputError(f"{places[key]}: {key} is {given!r}. Write one amount of money, not negative.")
    return float(given)


def _names(table: Mapping[str, Any], places: Mapping[str, str]) -> tuple[str, ...]:
    given = table.get("left_out", [])
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise InputError(f'{places["left_out"]}: left_out is {given!r}. Write names: left_out = ["fax"].')
    return tuple(given)
