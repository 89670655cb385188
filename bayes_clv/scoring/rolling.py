"""Rolling origins: the road from orders to scores, over days to forecast from, horizons and fits.

One origin is one season. How a forecast did from several days shows what no error over customers contains: whether its
totals hold the real ones as often as they promise, and whether its lead over another lasts. At each origin every fit
learns from what was known there, once, and forecasts all horizons; simple rules come along. The seed is the same at
every origin, so that a cell's scores depend on nothing but the cell: origins can be added and keep what is there.

Origins nearer to each other than the horizon share what happened, so that twelve totals are fewer than twelve cases.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import with_columns
from bayes_clv.customers.orders.description import Further, Reading
from bayes_clv.customers.orders.reading import read_usable
from bayes_clv.customers.over_time import CARRY, with_columns_over_time, with_plan
from bayes_clv.customers.summaries import Day, summarize
from bayes_clv.inference.sampling.laplace import versions
from bayes_clv.predictions.progress import progress_bar
from bayes_clv.schema import InputError, argument, in_currency
from bayes_clv.scoring.baselines import BASELINES
from bayes_clv.scoring.cells import cell_key, fingerprint, open_cells
from bayes_clv.scoring.clusters import clustered_difference
from bayes_clv.scoring.counts import LEVELS
from bayes_clv.scoring.customer_scores import FORECAST, INTERVAL
from bayes_clv.scoring.fits import Fit, checked_fits, key_of
from bayes_clv.scoring.metrics import Metric, Quantity, with_own
from bayes_clv.scoring.origin_cells import CHAINS, COMPARED, Asked, Cell, Made, check_effects, scored_cells
from bayes_clv.scoring.splits import DAY, Durations, checked_origins, horizon_days
from bayes_clv.scoring.summaries import OTHER
from bayes_clv.units import checked_margin, discount_rate

ORIGIN, HORIZON = "origin", "horizon"
RESULT = "rolling origins"


def rolling_origins(
    orders: Any,
    fits: Any,
    origins: int | Sequence[Day] = 6,
    horizons: Durations = "13 weeks",
    *,
    seed: int,
    spending: str | None = "gamma_gamma",
    baselines: Sequence[str] = tuple(BASELINES),
    draws: int = 250,
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    metrics: Mapping[str, Metric | Callable[[Quantity, np.ndarray], np.ndarray | None]] | None = None,
    cache: str | Path | None = None,
    columns: Any = None,
    over_time: Any = None,
    over_time_before: float | Mapping[str, float] | None = None,
    over_time_plan: Literal["table", "carry_forward"] = "table",
    customer_id: str = "customer_id",
    date: str = "date",
    spend: str | None = "spend",
    time_unit: str = "week",
    on_bad_rows: Literal["refuse", "drop"] = "refuse",
    threads: int | None = None,
    progress: bool = False,
    **further: Unpack[Further],
) -> xr.Dataset:
    """Return how forecasts made at several days did over several horizons, beside simple rules.

    At each origin the customers are those who had ordered by then; a fit is made of them once and forecasts every
    horizon, and ``clv.evaluate`` scores it on what they did.

    Parameters
    ----------
    orders, customer_id, date, spend, time_unit, on_bad_rows, **further
        As ``clv.summarize`` takes them. ``spend=None`` for a log without amounts.
    fits
        What to score by name: the name of a purchase family, a ``clv.scoring.Fit``, or a function of (customers,
        horizon, seed) that returns what ``clv.scoring.forecast(customers, horizon, ...)`` makes; families alone as a
        list. The customers of a function carry the holdout, which it must not read: at its first cell it is called
        again with the holdout of others, and refused if it then says another thing.
    origins
        Days, in rising order, or how many evenly spaced ones (``clv.scoring.origins``).
    horizons
        How far to forecast, ``"13 weeks"`` or a bare number in ``time_unit``; several as a list. They are rounded to
        whole days.
    seed
        Of every fit and future, the same at each origin.
    spending
        The spend family of fits given by the name of their family; None for purchases alone.
    baselines
        Names of ``scoring.baselines.BASELINES``.
    draws
        Posterior draws per chain of each fit (4 chains).
    margin, annual_discount_rate
        Where given, value is scored too: spend after margin, discounted from the day of each purchase to the origin. A
        function must give its ``value`` at the same.
    metrics
        Your own by name, as of ``clv.evaluate``; their means over customers.
    cache
        A folder that keeps the scores of each cell, so that the same call goes on where it was stopped, and one
        with further origins or fits makes those alone. A cell is read again only if customers, fit, seed, draws and
        version are the same. A function is known by its source and the plain values it was made with; one that
        holds anything else is called again. Fits that failed are tried again.
    columns
        A table of one row per customer (DataFrame), from which covariates and groups of fits are taken. Their values
        must have been known at each origin.
    over_time, over_time_before
        A table with a row for each change of what single customers met, and what held before a customer's first row,
        as ``clv.customers.with_columns_over_time`` takes them; ``over_time`` of fits names its columns. Rows of those
        who had not ordered by an origin are left out there.
    over_time_plan
        What these columns will be after an origin: the table's rows ("table"), which must have been planned by then
        and reach to the end of each horizon, or their last values ("carry_forward").
    threads
        Threads of simulation and closed forms.
    progress
        Show a progress bar over the cells.

    Returns
    -------
    xarray.Dataset
        Over ``forecast`` (the fits, then the rules), ``origin`` and ``horizon`` (in ``time_unit``) every measure of
        ``clv.evaluate`` that is one number or one an ``interval``; without margin and discount value is left out, being
        spend. Over origin and horizon what happened (``total_observed``, ``retention_observed``, ``spend_observed``)
        and ``customers``. Coordinates ``kind`` ("model" or "rule"), ``label``, and ``horizon_days``.

        Over ``horizon``, ``forecast`` and ``other``: ``crps_difference``, the mean over origins of a forecast's mean
        score less that of another, and ``crps_difference_se``, its standard error over customers, each with all
        origins (``scoring.clusters``); the same of log_score, retention_log_score, retention_brier, spend_log_crps,
        spend_crps and, where it is scored, of value. Below zero is better, beyond twice its error more than chance
        among these customers; what the next season changes is not in it.

        NaN where a cell has no score. ``attrs["reasons"]`` says which cells failed and why, and what does not exist;
        ``cells``, ``cells_failed`` and ``cells_read`` (from the cache) are counts, ``problems`` what the diagnostics of
        the fits found wrong, ``audit`` and ``versions`` JSON.

    Raises
    ------
    InputError
        Origins that are unsorted, doubled, before the first orders or so late that a horizon passes the end of the log;
        horizons without an order in them; unknown families, names that are doubled or a rule's; what ``clv.summarize``
        refuses; and where no cell at all could be scored.

    Examples
    --------
    >>> scores = clv.scoring.rolling_origins(
    ...     orders, ["bg_nbd"], ["1997-06-30", "1997-09-30"], "13 weeks", draws=50, seed=1
    ... )
    >>> dict(scores["crps"].sizes)
    {'forecast': 5, 'origin': 2, 'horizon': 1}
    """
    reading = Reading(customer_id, date, spend, **further)
    log = read_usable(orders, reading, on_bad_rows)
    lengths = horizon_days(horizons, time_unit)
    days = checked_origins(origins, log.days, list(lengths.values()))
    wanted = checked_fits(fits, spending=spending, baselines=baselines, priced=reading.priced)
    columns_read = sorted(
        {name for each in wanted.values() if isinstance(each, Fit) for name in each.columns}
    )
    if columns_read and columns is None:
        raise InputError(
            f"Where are {', '.join(map(repr, columns_read))}, which the fits read? Give the table of one row per "
            "customer: "
            f"{argument('columns')}."
        )
    moved = any(isinstance(each, Fit) and each.over_time is not None for each in wanted.values())
    if moved != (over_time is not None):
        raise InputError(
            "A fit has columns over time. Give the table that has them, a row for each change: "
            f"{argument('over_time')}."
            if moved
            else f"The table {argument('over_time')} serves nothing: no fit names its columns. Name them, "
            "clv.scoring.Fit(..., over_time=...), or leave it out."
        )
    if over_time_plan not in ("table", CARRY):
        raise InputError(
            f"{argument('over_time_plan', over_time_plan)} is not known. Use 'table' or '{CARRY}'."
        )
    if draws < 1:
        raise InputError(f"{argument('draws', draws)} must be at least 1.")
    asked = Asked(
        seed=int(seed),
        draws=int(draws),
        threads=threads,
        priced=reading.priced,
        margin=checked_margin(margin),
        annual_discount_rate=float(annual_discount_rate),
        metrics=with_own(metrics),
        own=tuple(metrics or ()),
    )
    discount_rate(asked.annual_discount_rate, time_unit)
    if asked.valued and not asked.priced:
        raise InputError(
            f"{argument('margin')} and {argument('annual_discount_rate')} are of money, and the orders are read "
            f"without: name the column, {argument('spend')}, or leave them out."
        )
    also = sorted({name for each in wanted.values() if isinstance(each, Fit) for name in each.also})
    cells = open_cells(cache)
    settings, keys = asked.key, {name: key_of(each) for name, each in wanted.items()}
    keys |= {name: ["rule", name] for name in baselines}
    names = [*wanted, *dict.fromkeys(baselines)]
    size = len(names) * days.size * len(lengths)
    found: dict[tuple[int, int, str], Cell] = {}
    failed: list[str] = []
    unproved = {name for name, each in wanted.items() if not isinstance(each, Fit)}
    read = done = 0

    with progress_bar(progress, "cells") as report:
        for i, origin in enumerate(days):
            made = Made(asked)
            for j, length in enumerate(lengths):
                customers = summarize(
                    log.table,
                    until=origin,
                    holdout_until=origin + lengths[length] * DAY,
                    time_unit=time_unit,
                    **log.named,
                    also=tuple(also),
                    holdout_discount_rate=asked.annual_discount_rate or None,
                )
                if columns_read:
                    customers = with_columns(customers, columns, columns_read)
                if moved:
                    customers = with_columns_over_time(
                        customers, over_time, before=over_time_before, others="leave_out"
                    )
                    customers = with_plan(customers, CARRY) if over_time_plan == CARRY else customers
                if i == j == 0:
                    check_effects(wanted, customers)
                mark = fingerprint(customers)
                key = {
                    name: None if settings is None else cell_key(mark, keys[name], **settings)
                    for name in names
                }
                known = {name: cells.read(key[name]) for name in names}
                read += sum(cell is not None for cell in known.values())
                missing = [name for name, cell in known.items() if cell is None]
                for name, cell in [(name, cell) for name, cell in known.items() if cell is not None]:
                    found[i, j, name] = cell
                done += len(names) - len(missing)
                if report is not None:
                    report(done, size)
                for name, scored in scored_cells(missing, wanted, customers, made, unproved):
                    if isinstance(scored, Exception):
                        plain = isinstance(scored, InputError)
                        what = str(scored) if plain else f"{type(scored).__name__}: {scored}"
                        failed.append(f"{name} at {origin} over {length:g} {time_unit}s: {what}")
                    else:
                        cells.write(key[name], scored)
                        found[i, j, name] = scored
                    done += 1
                    if report is not None:
                        report(done, size)
    if not any(name in wanted for _, _, name in found):
        raise InputError(
            f"No fit could be made or scored. The first of {len(failed)} failed cells: {failed[0]}"
        )
    scores = _assembled(found, names, wanted, days, lengths)
    problems = [sentence for cell in found.values() for sentence in cell["problems"]]
    return scores.assign_attrs(
        result=RESULT,
        time_unit=str(customers.attrs["time_unit"]),
        **in_currency(customers.attrs),
        level="outcome",
        reasons=[*failed, *_gathered_reasons(found)],
        problems=list(dict.fromkeys(problems)),
        cells=size,
        cells_failed=len(failed),
        cells_read=int(read),
        seed=int(seed),
        draws=int(draws) * CHAINS,
        versions=json.dumps(versions()),
        audit=json.dumps(log.audit, ensure_ascii=False),
    )


def _assembled(
    found: Mapping[tuple[int, int, str], Cell],
    names: list[str],
    wanted: Mapping[str, Any],
    days: np.ndarray,
    lengths: Mapping[float, int],
) -> xr.Dataset:
    """Return the cells as one Dataset, NaN where one is missing."""
    at = (ORIGIN, HORIZON)
    shape = (days.size, len(lengths))
    data: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]] = {}
    customers = np.zeros(shape, dtype=np.int64)
    for (i, j, name), cell in found.items():
        customers[i, j] = cell["customers"]
        for key, value in cell["measures"].items():
            dims = (FORECAST, *at, INTERVAL) if isinstance(value, list) else (FORECAST, *at)
            sizes = (len(names), *shape, *((len(LEVELS),) if isinstance(value, list) else ()))
            data.setdefault(key, (dims, np.full(sizes, np.nan), cell["words"][key]))
            data[key][1][names.index(name), i, j] = value
        for key, value in cell["observed"].items():
            data.setdefault(key, (at, np.full(shape, np.nan), cell["words"][key]))[1][i, j] = value
    labels = {name: cell["label"] for (_, _, name), cell in found.items()}
    scores = xr.Dataset(
        data,
        coords={
            FORECAST: np.array(names, dtype=object),
            ORIGIN: days.astype("datetime64[s]"),
            HORIZON: list(lengths),
            INTERVAL: list(LEVELS),
            "horizon_days": (HORIZON, list(lengths.values()), {"units": "days"}),
            "kind": (
                FORECAST,
                np.array(["model" if name in wanted else "rule" for name in names], dtype=object),
            ),
            "label": (FORECAST, np.array([labels.get(name, name) for name in names], dtype=object)),
        },
    )
    scores["customers"] = (
        at,
        customers,
        {"long_name": "customers who had ordered by then", "units": "count"},
    )
    return scores.assign(_differences(found, names, days.size, len(lengths))).assign_coords(
        {OTHER: scores[FORECAST].values}
    )


def _differences(
    found: Mapping[tuple[int, int, str], Cell], names: list[str], origins: int, horizons: int
) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]]:
    """Return the differences of each pair of forecasts over the origins that both have, and their errors."""
    size, compared = len(names), {key for cell in found.values() for key in cell["sums"]}
    data: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]] = {}
    for key in (each for each in COMPARED if each in compared):
        mean = np.full((horizons, size, size), np.nan)
        error = mean.copy()
        for j in range(horizons):
            cells = {
                name: {i: found[i, j, name] for i in range(origins) if (i, j, name) in found}
                for name in names
            }
            for a, one in enumerate(names):
                for b, other in enumerate(names):
                    both = [
                        (cells[one][i], cells[other][i])
                        for i in cells[one].keys() & cells[other].keys()
                        if key in cells[one][i]["sums"] and key in cells[other][i]["sums"]
                    ]
                    if both and a != b:
                        mean[j, a, b], error[j, a, b] = clustered_difference(
                            np.array([left["sums"][key] for left, _ in both]),
                            np.array([right["sums"][key] for _, right in both]),
                            np.array([left["blocks"] for left, _ in both]),
                        )
        dims = (HORIZON, FORECAST, OTHER)
        words = f"mean over origins of {key} less that of the other forecast"
        data[f"{key}_difference"] = dims, mean, {"long_name": words, "better": "lower"}
        error_words = f"standard error of {key}_difference over customers, each with all origins"
        data[f"{key}_difference_se"] = dims, error, {"long_name": error_words}
    return data


def _gathered_reasons(found: Mapping[tuple[int, int, str], Cell]) -> list[str]:
    """Return what does not exist and why, each kind of sentence once: they differ by their numbers only."""
    kinds: dict[str, list[str]] = {}
    for cell in found.values():
        for text in cell["reasons"]:
            kinds.setdefault(re.sub(r"[\d.,]+", "#", text), []).append(text)
    return [
        each[0] if len(each) == 1 else f"{each[0]} (The first of {len(each)} cells of which this is said.)"
        for each in kinds.values()
    ]
