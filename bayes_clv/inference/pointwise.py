"""The log-likelihood of one customer of each distinct history, in each posterior draw: for leaving customers out.

With a calendar, or columns over time, it is that of the customer given g, which is learned of all of them, and given
the coefficients: the family's at the operational history, and the log of the pace at each of its purchases. They are
those of ``purchase_times``, so that a history then is distinct by its days too. The densities are of the same ordered
purchase times as without, and can be compared.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.distributions.arrays import ragged
from bayes_clv.distributions.pieces import Paced
from bayes_clv.families.contract import Family, SpendLevel, need
from bayes_clv.families.group_time import PLACE
from bayes_clv.families.own_time import COEFFICIENT, PATH
from bayes_clv.inference.calendar import INTERVALS, RATE, LearnedCalendar
from bayes_clv.inference.clock import Clock, Prices
from bayes_clv.inference.data import Columns, select
from bayes_clv.inference.effects import Effects, Profiles, parameter_points
from bayes_clv.inference.graph import WHOSE, of_rows, own_pace
from bayes_clv.inference.ledger import PAYER, Ledger
from bayes_clv.inference.over_time import LearnedColumns, OwnTimes, levels_bought, own_times
from bayes_clv.inference.pooled import GROUP_RATE, GroupClocks, LearnedGroups
from bayes_clv.schema import InputError


def pointwise_log_likelihood(
    family: Family,
    posterior: xr.Dataset,
    rows: Columns,
    effects: Effects | None = None,
    profiles: Profiles | None = None,
    max_bytes: float = 2e9,
    *,
    calendar: LearnedCalendar | None = None,
    ledger: Ledger | None = None,
    times: np.ndarray | None = None,
    groups: LearnedGroups | None = None,
    over_time: tuple[LearnedColumns, Paced, np.ndarray] | None = None,
    unit_days: float = 1.0,
) -> xr.Dataset:
    """Return the log-likelihood (chain, draw, row) of one customer of each distinct history and profile.

    With a ``calendar`` of purchases the rows have ``purchase_start``, places in ``times``; with one of spend ``payer``,
    places in the ``ledger``; of ``groups`` ``calendar_place``. With columns ``over_time``, as ``build_model`` takes
    them, they have ``purchase_start`` and ``change_start``, and ``unit_days`` is the time unit in days.

    Raises InputError, naming the size, when the array would be larger than ``max_bytes``.
    """
    import pytensor.tensor as pt
    from pymc.pytensorf import compile as compile_graph

    size = rows[family.observed[0]].size
    shape = (posterior.sizes["chain"], posterior.sizes["draw"], size)
    if np.prod(shape) * 8.0 > max_bytes:
        raise InputError(
            f"The pointwise log-likelihood of {size:,} distinct histories and {shape[0] * shape[1]:,} draws takes "
            f"{np.prod(shape) * 8 / 1e9:.1f} GB. Fit with fewer draws, or leave 'log_likelihood' out of include."
        )
    further = _paces_of(posterior, calendar, groups, over_time)
    points = parameter_points(family, posterior, effects, profiles)
    symbols: dict[str, Any] = {}
    compiled: Any = None
    values = np.empty((shape[0] * shape[1], size))
    for i, params_of in enumerate(points):
        point = params_of | {name: each[i] for name, each in further.items()}
        if compiled is None:
            symbols = {
                name: pt.dvector(name) if np.ndim(value) else pt.dscalar(name)
                for name, value in point.items()
            }
            own = {name: each for name, each in symbols.items() if name not in further}
            params = of_rows(own, rows.get("profile"))
            clock = _clock(calendar, symbols, ledger, groups, over_time)
            each_row = _of_each(family, params, rows, clock, times, unit_days)
            compiled = compile_graph(list(symbols.values()), each_row)
        values[i] = compiled(*point.values())
    return xr.Dataset(
        {family.checked: (("chain", "draw", "row"), values.reshape(shape))},
        coords={"chain": posterior["chain"], "draw": posterior["draw"], "row": np.arange(size)},
    )


def _paces_of(
    posterior: xr.Dataset,
    calendar: LearnedCalendar | None,
    groups: LearnedGroups | None,
    over_time: tuple[LearnedColumns, Paced, np.ndarray] | None,
) -> dict[str, np.ndarray]:
    """Return of each draw what the pace is made of: g of the periods, one group after the other, and coefficients."""
    names = {} if calendar is None else {RATE: RATE if groups is None else GROUP_RATE}
    names |= {} if over_time is None else {COEFFICIENT: COEFFICIENT}
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    return {
        name: posterior[source].transpose("chain", "draw", ...).to_numpy().reshape(draws, -1)
        for name, source in names.items()
    }


def _clock(
    calendar: LearnedCalendar | None,
    symbols: Mapping[str, Any],
    ledger: Ledger | None,
    groups: LearnedGroups | None,
    over_time: tuple[LearnedColumns, Paced, np.ndarray] | None,
) -> Clock | Prices | OwnTimes | None:
    import pytensor.tensor as pt

    found: Clock | Prices | None = None
    if calendar is not None:
        rate = symbols[RATE]
        log_rate = pt.log(rate)
        if groups is not None:
            flat = replace(calendar, counts=np.ravel(np.asarray(groups.counts)))
            found = GroupClocks(flat, log_rate, rate)
        elif ledger is not None:
            found = Prices(calendar, log_rate, ledger)
        else:
            found = Clock(calendar, log_rate, rate)
    if over_time is None:
        return found
    return own_times(*over_time, symbols[COEFFICIENT], found if isinstance(found, Clock) else None)


def _of_each(
    family: Family,
    params: Mapping[str, Any],
    rows: Columns,
    clock: Clock | Prices | OwnTimes | None,
    times: np.ndarray | None,
    unit_days: float,
) -> Any:
    """Return the log-likelihood of each row, a tensor."""
    if clock is None:
        return family.log_likelihood(params, rows)
    own = own_pace(family, clock)
    total: Any = 0.0
    for term in family.likelihood if own is None else own(clock):
        given: dict[str, Any] = dict(select(rows, term.columns))
        if own is None:
            whose = next((rows[name] for name in WHOSE if name in rows), None)
            given = clock.operational(given, 1.0, None if set(term.columns) == {"frequency"} else whose)
        if INTERVALS in given and isinstance(clock, Clock) and times is not None:
            given[INTERVALS] = _log_intervals(clock, rows, times)
        total = total + term.function(params, *given.values())
    return total + _at_purchases(family, params, rows, clock, times, unit_days)


def _at_purchases(
    family: Family,
    params: Mapping[str, Any],
    rows: Columns,
    clock: Clock | Prices | OwnTimes,
    times: np.ndarray | None,
    unit_days: float,
) -> Any:
    """Return what the terms leave out: the log of the pace at each row's purchases, or minus log g of its amounts."""
    from bayes_clv.distributions.level_operator import row_sums

    if isinstance(clock, Prices):
        if own_pace(family, clock) is not None:
            return 0.0
        payer = rows[PAYER].astype(np.int64)
        level, ledger = need(family, SpendLevel), clock.ledger
        amounts: Any = 0.0
        if level.amounts is not None:
            amounts = level.amounts(params, ledger.size[payer], *ledger.divided(clock.log_rate, payer))
        return amounts - row_sums(ledger.orders[payer], clock.log_rate)
    if times is None:
        return 0.0
    owner, ago = _ago(rows, times)
    if isinstance(clock, OwnTimes):
        start, paced = rows[PATH].astype(np.int64), clock.paced
        made_at = levels_bought(paced, start, rows["T"], owner, ago, unit_days)
        own = _summed(owner, made_at, rows["T"].size, paced.design.shape[0], clock.log_pace)
        return own if clock.calendar is None else own + _log_rates(clock.calendar, rows, owner, ago)
    return 0.0 if clock.calendar.of_leaving else _log_rates(clock, rows, owner, ago)


def _log_rates(clock: Clock, rows: Columns, owner: np.ndarray, ago: np.ndarray) -> Any:
    """Return the sum of log g at each row's purchases."""
    known = clock.calendar
    period = np.maximum(known.size - 1 - np.rint(ago * known.unit_days).astype(np.int64) // known.days, 0)
    if isinstance(clock, GroupClocks):
        period = period + known.size * rows[PLACE].astype(np.int64)[owner]
    return _summed(owner, period, rows["T"].size, np.asarray(known.counts).size, clock.log_rate)


def _summed(owner: np.ndarray, place: np.ndarray, rows: int, size: int, values: Any) -> Any:
    """Return the sum (row,) of the ``values`` (size,), a tensor, at the places of each row's purchases."""
    from scipy import sparse

    from bayes_clv.distributions.level_operator import row_sums

    return row_sums(sparse.csr_matrix((np.ones(owner.size), (owner, place)), shape=(rows, size)), values)


def _ago(rows: Columns, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of each purchase of the rows whose it is, and how long before the end it was."""
    owner, place = ragged(rows["purchase_start"], rows["frequency"])
    return owner, rows["T"][owner] - times[place]


def _log_intervals(clock: Clock, rows: Columns, times: np.ndarray) -> Any:
    """Return the sum of the logs of each row's operational times between purchases."""
    import pytensor.tensor as pt
    from scipy import sparse

    from bayes_clv.distributions.level_operator import row_sums

    owner, ended = _ago(rows, times)
    first = np.r_[True, owner[1:] != owner[:-1]][: owner.size]
    begun = np.where(first, rows["T"][owner], np.roll(ended, 1))
    of_rows = sparse.csr_matrix(
        (np.ones(owner.size), (owner, np.arange(owner.size))), shape=(rows["T"].size, owner.size)
    )
    return row_sums(of_rows, pt.log(clock.since(begun) - clock.since(ended)))
