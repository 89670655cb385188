"""The log-likelihood of one customer of each distinct history, in each posterior draw: for leaving customers out.

With a calendar it is that of the customer given g, which is learned of all of them: the family's at the operational
history, and log g at each of its purchases. They are those of ``purchase_times``, so that a history then is distinct by
its days too. The densities are of the same ordered purchase times as without a calendar, and can be compared.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.distributions.arrays import ragged
from bayes_clv.families.contract import Family, SpendLevel, need
from bayes_clv.inference.calendar import INTERVALS, RATE, LearnedCalendar
from bayes_clv.inference.clock import Clock, Prices
from bayes_clv.inference.data import Columns, select
from bayes_clv.inference.effects import Effects, Profiles, parameter_points
from bayes_clv.inference.graph import of_rows, own_pace
from bayes_clv.inference.ledger import PAYER, Ledger
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
) -> xr.Dataset:
    """Return the log-likelihood (chain, draw, row) of one customer of each distinct history and profile.

    With a ``calendar`` of purchases the rows have ``purchase_start``, places in ``times``; with one of spend ``payer``,
    places in the ``ledger``.

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
    points = _points(family, posterior, effects, profiles, calendar)
    symbols: dict[str, Any] = {}
    compiled: Any = None
    values = np.empty((shape[0] * shape[1], size))
    for i, point in enumerate(points):
        if compiled is None:
            symbols = {
                name: pt.dvector(name) if np.ndim(value) else pt.dscalar(name)
                for name, value in point.items()
            }
            params = of_rows(
                {name: each for name, each in symbols.items() if name != RATE}, rows.get("profile")
            )
            clock = None if calendar is None else _clock(calendar, symbols[RATE], ledger)
            compiled = compile_graph(list(symbols.values()), _of_each(family, params, rows, clock, times))
        values[i] = compiled(*point.values())
    return xr.Dataset(
        {family.checked: (("chain", "draw", "row"), values.reshape(shape))},
        coords={"chain": posterior["chain"], "draw": posterior["draw"], "row": np.arange(size)},
    )


def _points(
    family: Family,
    posterior: xr.Dataset,
    effects: Effects | None,
    profiles: Profiles | None,
    calendar: LearnedCalendar | None,
) -> Iterator[dict[str, Any]]:
    """Yield the parameters of one draw after the other, and g of the periods."""
    points = parameter_points(family, posterior, effects, profiles)
    if calendar is None:
        yield from points
        return
    rate = posterior[RATE].transpose("chain", "draw", ...).to_numpy().reshape(-1, calendar.size)
    for point, each in zip(points, rate, strict=True):
        yield point | {RATE: each}


def _clock(calendar: LearnedCalendar, rate: Any, ledger: Ledger | None) -> Clock | Prices:
    import pytensor.tensor as pt

    return Clock(calendar, pt.log(rate), rate) if ledger is None else Prices(calendar, pt.log(rate), ledger)


def _of_each(
    family: Family,
    params: Mapping[str, Any],
    rows: Columns,
    clock: Clock | Prices | None,
    times: np.ndarray | None,
) -> Any:
    """Return the log-likelihood of each row, a tensor."""
    if clock is None:
        return family.log_likelihood(params, rows)
    own = own_pace(family, clock)
    total: Any = 0.0
    for term in family.likelihood if own is None else own(clock):
        given: dict[str, Any] = dict(select(rows, term.columns))
        if own is None:
            payer = rows.get(PAYER) if set(term.columns) != {"frequency"} else None
            given = clock.operational(given, 1.0, payer)
        if INTERVALS in given and isinstance(clock, Clock) and times is not None:
            given[INTERVALS] = _log_intervals(clock, rows, times)
        total = total + term.function(params, *given.values())
    return total + _at_purchases(family, params, rows, clock, times)


def _at_purchases(
    family: Family,
    params: Mapping[str, Any],
    rows: Columns,
    clock: Clock | Prices,
    times: np.ndarray | None,
) -> Any:
    """Return what the terms leave out: log g at each row's purchases, or minus log g of its amounts."""
    from scipy import sparse

    from bayes_clv.distributions.level_operator import row_sums

    known = clock.calendar
    if isinstance(clock, Prices):
        if own_pace(family, clock) is not None:
            return 0.0
        payer = rows[PAYER].astype(np.int64)
        level, ledger = need(family, SpendLevel), clock.ledger
        amounts: Any = 0.0
        if level.amounts is not None:
            amounts = level.amounts(params, ledger.size[payer], *ledger.divided(clock.log_rate, payer))
        return amounts - row_sums(ledger.orders[payer], clock.log_rate)
    if known.of_leaving or times is None:
        return 0.0
    owner, ago = _ago(rows, times)
    period = np.maximum(known.size - 1 - np.rint(ago * known.unit_days).astype(np.int64) // known.days, 0)
    shape = (rows["T"].size, known.size)
    return row_sums(sparse.csr_matrix((np.ones(owner.size), (owner, period)), shape=shape), clock.log_rate)


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
