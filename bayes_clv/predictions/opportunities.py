"""What customers will do at the next opportunities: closed forms per draw, and the exact simulation summarised.

As elsewhere a future depends on the seed, the customer's id, the history and the posterior draw, and on nothing else
(distributions.streams): the first opportunities of a longer future are the shorter one.
A future is a chance to be alive,
the customer's own purchase and dropout probability, and one toss an opportunity; counts are small whole numbers, so
that a histogram per customer holds the whole distribution and no draw is stored. A row that stands for several
customers (``count``) has as many futures of its own in the totals.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import xarray as xr
from numba import njit

from bayes_clv.customers.opportunities import check_opportunities
from bayes_clv.distributions.streams import GOLDEN, customer_keys, mix, standard_gamma, unit
from bayes_clv.predictions.histories import Histories, distinct_histories, purchase_state
from bayes_clv.predictions.inputs import problems, shared_time_unit, whole_number
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.tiles import (
    MAX_MEMORY,
    PerDraw,
    available_threads,
    mean_over_draws,
    over_tiles,
    refuse_too_large,
)
from bayes_clv.schema import CUSTOMER, PERIOD, QUANTILES, InputError, Variable, describe

# Separates the streams of customers who share a row; odd, and unlike the streams' other increments.
COPY = np.uint64(0x8CB92BA72F3D8DD7)
# Rows x draws of states held at a time, as in the closed forms.
TILE = 1_000_000


def expected_opportunities(
    buying: xr.DataTree,
    customers: xr.Dataset,
    opportunities: int,
    *,
    discount_rate: float | None = None,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.Dataset:
    """Return the closed-form forecasts at the next opportunities, for each posterior draw.

    BG/BB's formulas (Fader, Hardie & Shang 2010). Their spread over draws is the uncertainty of an average, not of what
    a customer will do: use :func:`predict_opportunities` for that.

    Parameters
    ----------
    buying
        A posterior of ``clv.fit("bg_bb", ...)``.
    customers
        Histories as ``clv.opportunities_from_table`` returns them; they need not be those of the fit. Where it had
        covariates or groups they have the same columns (``clv.with_columns``); a new group is allowed.
    opportunities
        How many opportunities ahead, a whole number from 1.
    discount_rate
        Rate per opportunity, 0.10 for 10 %: also return ``residual_transactions`` (DERT, eq. 14 of the paper).
    threads
        Threads; by default the processors this process may use. They change the speed only.
    max_memory
        Bytes above which the result is refused.

    Returns
    -------
    xarray.Dataset
        Over (chain, draw, customer), at the expected level: ``probability_alive`` (at the last opportunity observed;
        the paper's is one later), ``survival`` (alive at the last one ahead), ``purchases_expected`` and, on request,
        ``residual_transactions``, whose ``attrs["reasons"]``, a list, says where it is infinite. Of one customer
        where a row stands for several.

    Raises
    ------
    InputError
        A posterior of another kind, an impossible history, a bad number, or a result that does not fit.

    Examples
    --------
    >>> expected_opportunities(giving, donors, 5)["purchases_expected"].dims
    ('chain', 'draw', 'customer')
    """
    posterior, ahead, histories = _prepared(buying, customers, opportunities)
    rate = None if discount_rate is None else _checked_rate(discount_rate)
    names = ["probability_alive", "survival", "purchases_expected"]
    names += [] if rate is None else ["residual_transactions"]
    refuse_too_large(
        len(names) * posterior.size * customers.sizes[CUSTOMER],
        max_memory,
        what=f"{len(names)} forecasts of {posterior.size:,} draws of {customers.sizes[CUSTOMER]:,} customers",
        instead="Use clv.predict_opportunities, which streams them into a summary, or fewer customers.",
    )
    parts = over_tiles(histories, posterior, _closed_forms(posterior, ahead, rate), threads=threads)
    data = {
        name: posterior.unstack(histories.spread(part.T, of_rows=True), CUSTOMER)
        for name, part in zip(names, parts, strict=True)
    }
    dataset = xr.Dataset(
        data,
        {**posterior.coords(), CUSTOMER: customers[CUSTOMER].values},
        _attributes(buying, posterior, customers, ahead),
    )
    return _with_reasons(describe(dataset), rate)


def predict_opportunities(
    buying: xr.DataTree,
    customers: xr.Dataset,
    opportunities: int,
    *,
    seed: int,
    discount_rate: float | None = None,
    keep_draws: bool = False,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.Dataset:
    """Return what each customer will do at the next opportunities, as a predictive distribution.

    Parameters
    ----------
    buying, customers, opportunities, discount_rate, threads, max_memory
        As in :func:`expected_opportunities`.
    seed
        Seed of the futures. With one seed a customer's random numbers are the same in every scenario.
    keep_draws
        Also return ``purchases`` (chain, draw, customer), of one customer where a row stands for several.

    Returns
    -------
    xarray.Dataset
        Over ``customer``: ``probability_alive``, ``survival``, ``purchases_expected`` and, with a discount rate,
        ``residual_transactions``, posterior means of the closed forms (expected level); and of the outcome
        ``purchases_mean``, ``_sd``, ``_q05``, ``_q25``, ``_q50``, ``_q75``, ``_q95`` (inverse CDF: the smallest n with
        F(n) >= q) and ``probability_active``, P(any purchase). Over (chain, draw): ``purchases_total`` of all
        customers, and with ``period``, the opportunity from 1, ``purchases_period_total``. A row that stands for
        several customers has the distribution of one of them, and all of them in the totals.

    Raises
    ------
    InputError
        As in :func:`expected_opportunities`.

    Examples
    --------
    >>> future = predict_opportunities(giving, donors, 5, seed=2)
    >>> bool(future["purchases_q95"].max() <= 5)
    True
    """
    posterior, ahead, histories = _prepared(buying, customers, opportunities)
    rate = None if discount_rate is None else _checked_rate(discount_rate)
    known, posterior = posterior, posterior.repeated()
    size = customers.sizes[CUSTOMER]
    refuse_too_large(
        (ahead + 1) * size + ahead * posterior.size + (posterior.size * size // 2 if keep_draws else 0),
        max_memory,
        what=f"{ahead:,} opportunities of {size:,} customers and {posterior.size:,} draws",
        instead="Ask for fewer opportunities, leave keep_draws=False, or predict fewer customers at a time.",
    )
    keys = customer_keys(customers[CUSTOMER].values, seed)
    share = np.asarray(customers["count"].values if "count" in customers else np.ones(size), dtype=np.int64)
    seen, totals, kept = _simulated(posterior, histories, keys, share, ahead, keep_draws, threads)

    names = ["probability_alive", "survival", "purchases_expected"]
    names += [] if rate is None else ["residual_transactions"]
    means = mean_over_draws(histories, known, _closed_forms(known, ahead, rate), threads=threads)
    data: dict[str, object] = {
        name: (CUSTOMER, customers[name].values)
        for name in ("frequency", "recency", "opportunities", "count")
        if name in customers
    }
    for name, mean in zip(names, means, strict=True):
        data[name] = (CUSTOMER, histories.spread(mean, of_rows=True))
    for name, values in _summary(seen).items():
        data[name] = (CUSTOMER, values)
    data["purchases_total"] = posterior.unstack(totals.sum(axis=1))
    data["purchases_period_total"] = posterior.unstack(totals, PERIOD)
    if kept is not None:
        data["purchases"] = posterior.unstack(kept.T, CUSTOMER)
    dataset = xr.Dataset(
        data,
        {**posterior.coords(), CUSTOMER: customers[CUSTOMER].values, PERIOD: np.arange(1, ahead + 1)},
        _attributes(buying, posterior, customers, ahead)
        | {"seed": int(seed), "level": "outcome, except where a variable states its own"},
    )
    return _with_reasons(
        describe(dataset, {PERIOD: Variable("opportunity from the end of observation", "opportunity")}), rate
    )


def _prepared(
    buying: xr.DataTree, customers: xr.Dataset, opportunities: int
) -> tuple[Parameters, int, Histories]:
    posterior = parameters(buying, "opportunities")
    check_opportunities(customers)
    shared_time_unit(buying, customers)
    columns = {name: np.asarray(customers[name].values, dtype=float) for name in posterior.forecast.history}
    ahead = whole_number(opportunities, "opportunities")
    posterior = posterior.of(customers)
    return posterior, ahead, distinct_histories(columns | posterior.columns)


def _checked_rate(rate: float) -> float:
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 0 <= rate < math.inf:
        raise InputError(
            f"discount_rate must be a finite number from 0, per opportunity: 0.10 means that a purchase at the next "
            f"opportunity is worth 1 / 1.10. It is {rate!r}."
        )
    return float(rate)


def _closed_forms(posterior: Parameters, ahead: int, rate: float | None) -> PerDraw:
    forecast = posterior.forecast

    def forms(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        found = (
            forecast.alive(history, values),
            forecast.survival(ahead, history, values),
            forecast.purchases(ahead, history, values),
        )
        if rate is None:
            return found
        return (*found, forecast.discounted(math.inf, rate, history, values))

    return forms


def _attributes(
    buying: xr.DataTree, posterior: Parameters, customers: xr.Dataset, ahead: int
) -> dict[str, object]:
    return {
        "time_unit": customers.attrs.get("time_unit"),
        "horizon": ahead,
        "draws": posterior.size,
        "family": posterior.family.name,
        "problems": problems(buying),
    }


def _with_reasons(dataset: xr.Dataset, rate: float | None) -> xr.Dataset:
    if rate is None:
        return dataset
    residual = dataset["residual_transactions"]
    infinite = int(np.isinf(residual.values).sum())
    reasons = []
    if infinite:
        reasons.append(
            f"Infinite in {infinite} of {residual.size} places: without discount the purchases still to come have no "
            "finite mean unless gamma > 1. Give a discount rate, or read purchases_expected of a horizon."
        )
    residual.attrs |= {"discount_rate": rate, "reasons": reasons}
    return dataset


def _simulated(
    posterior: Parameters,
    histories: Histories,
    keys: np.ndarray,
    share: np.ndarray,
    ahead: int,
    keep: bool,
    threads: int | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return counts of futures by purchases (customer, 0 to ahead), totals (draw, ahead), and the draws if kept."""
    size, draws = histories.order.size, posterior.size
    seen = np.zeros((size, ahead + 1), dtype=np.int64)
    kept = np.zeros((size if keep else 0, draws), dtype=np.int32)
    columns = {name: histories.columns[name] for name in posterior.forecast.history}
    keys, share = keys[histories.order], share[histories.order]
    step = max(1, TILE // (5 * draws))

    def chunk(start: int) -> np.ndarray:
        stop = min(start + step, size)
        first, last = histories.row[start], histories.row[stop - 1]
        history = {name: column[first : last + 1, None] for name, column in columns.items()}
        values = posterior.at(histories.columns, slice(first, last + 1))
        states = purchase_state(posterior.forecast, history, values)
        shape = (last + 1 - first, draws)
        state = [np.ascontiguousarray(np.broadcast_to(part, shape)) for part in states]
        totals = np.zeros((draws, ahead), dtype=np.int64)
        part = kept[start:stop] if keep else kept
        _futures(
            histories.row[start:stop] - first,
            keys[start:stop],
            share[start:stop],
            *state,
            seen[start:stop],
            totals,
            part,
        )
        return totals

    starts = range(0, size, step)
    totals = chunk(0)
    with ThreadPoolExecutor(max_workers=min(available_threads(threads), max(1, len(starts)))) as executor:
        for more in executor.map(chunk, starts[1:]):
            totals += more
    ordered = np.empty_like(seen)
    ordered[histories.order] = seen
    if not keep:
        return ordered, totals, None
    in_order = np.empty_like(kept)
    in_order[histories.order] = kept
    return ordered, totals, in_order


@njit(nogil=True, cache=True, error_model="numpy")
def _beta(a, b, state, increment):  # type: ignore[no-untyped-def]
    """Return a Beta(a, b) variate and the stream's new state; shapes near 0 give 0 or 1, as they should."""
    one, state = standard_gamma(a, state, increment)
    other, state = standard_gamma(b, state, increment)
    if one + other > 0.0:
        return one / (one + other), state
    state += increment
    return (1.0 if unit(mix(state)) * (a + b) < a else 0.0), state


@njit(nogil=True, cache=True, error_model="numpy")
def _futures(row, keys, share, alive, a, b, g, d, seen, totals, kept):  # type: ignore[no-untyped-def]
    """Simulate each customer's futures, one a draw, into counts, totals and, if there is room, the draws."""
    draws, ahead = totals.shape
    keep = kept.shape[0] > 0
    for i in range(row.size):
        r = row[i]
        increment = keys[i, 1]
        for copy in range(share[i]):
            word = keys[i, 0] + np.uint64(copy) * COPY
            for s in range(draws):
                state = mix(word + np.uint64(s) * GOLDEN)
                state += increment
                bought = 0
                if unit(mix(state)) < alive[r, s]:
                    chance, state = _beta(a[r, s], b[r, s], state, increment)
                    leaves, state = _beta(g[r, s], d[r, s], state, increment)
                    state += increment
                    # Geometric(leaves) by inversion: the opportunities survived are the number before it.
                    until = np.ceil(-math.log(unit(mix(state))) / -math.log1p(-leaves)) - 1.0
                    last = ahead if until > ahead else int(max(until, 0.0))
                    for k in range(last):
                        state += increment
                        if unit(mix(state)) < chance:
                            bought += 1
                            totals[s, k] += 1
                seen[i, bought] += 1
                if keep and copy == 0:
                    kept[i, s] = bought


def _summary(seen: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean, sd, quantiles and P(any) of each customer's counted futures."""
    futures = seen.sum(axis=1)
    n = np.arange(seen.shape[1])
    mean = seen @ n / futures
    summary = {
        "purchases_mean": mean,
        "purchases_sd": np.sqrt(np.maximum(seen @ n**2 / futures - mean**2, 0.0)),
    }
    cumulative = np.cumsum(seen, axis=1)
    for q in QUANTILES:
        # Whole numbers on both sides, but for the rounding of q times them.
        reached = cumulative >= (q * futures * (1 - 1e-12))[:, None]
        summary[f"purchases_q{round(100 * q):02d}"] = reached.argmax(axis=1).astype(float)
    summary["probability_active"] = 1 - seen[:, 0] / futures
    return summary
