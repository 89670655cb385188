"""What customers will do at the next opportunities, as a predictive distribution.

The simulation is that of every family (``plans``); counts are small whole numbers, so that a histogram per customer
holds the whole distribution and no draw is stored. A row that stands for several customers (``count``) has as many
futures of its own, all of them in its histogram and in the totals.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_clv.distributions.paths import room
from bayes_clv.predictions.inputs import Inputs, prepare, problems
from bayes_clv.predictions.observed import holdout_counts
from bayes_clv.predictions.plans import TILE as FUTURES
from bayes_clv.predictions.plans import purchase_plan, tiles
from bayes_clv.predictions.scores import CHANCES, PURCHASE_SCORES, chance_classes, score_histograms
from bayes_clv.predictions.tiles import BLOCK, MAX_MEMORY, in_order, mean_over_draws, refuse_too_large
from bayes_clv.schema import (
    ACTIVE_BY_CHANCE,
    CHANCE,
    CUSTOMER,
    PERIOD,
    QUANTILES,
    InputError,
    Variable,
    describe,
)

# Separates the streams of customers who share a row; odd, and unlike the streams' other increments.
COPY = np.uint64(0x8CB92BA72F3D8DD7)


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
    buying
        A posterior of ``clv.fit("bg_bb", ...)``.
    customers
        Histories as ``clv.customers.from_opportunities`` returns them; they need not be those of the fit. Where it had
        covariates or groups they have the same columns (``clv.with_columns``); a new group is allowed.
    opportunities
        How many opportunities ahead, a whole number from 1.
    discount_rate
        Rate per opportunity, 0.10 for 10 %: also return ``residual_transactions`` (DERT, eq. 14 of Fader, Hardie &
        Shang 2010), whose ``attrs["reasons"]``, a list, says where it is infinite.
    threads
        Threads; by default the processors this process may use. They change the speed only.
    max_memory
        Bytes above which the result is refused.
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
        customers, ``active_total``, customers with any purchase, and with ``period``, the opportunity from 1,
        ``purchases_period_total``. A row that stands for several customers has the distribution of one of them, and
        all of them in the totals. Where the customers
        carry ``holdout_purchases`` (of one customer of the row) and ``attrs["holdout_duration"]``, the opportunities in
        which they were made, is this horizon, also the scores of purchases that ``clv.predict`` gives, and
        ``active_by_chance_total``.

    Raises
    ------
    InputError
        A posterior of another kind, an impossible history, a bad number, or a result that does not fit.

    Examples
    --------
    >>> future = predict_opportunities(giving, donors, 5, seed=2)
    >>> bool(future["purchases_q95"].max() <= 5)
    True
    """
    rate = None if discount_rate is None else _checked_rate(discount_rate)
    asked = prepare(buying, customers, opportunities, seed=seed, kind="opportunities")
    known = prepare(buying, customers, opportunities, most=None, kind="opportunities")
    posterior, ahead, size = asked.posterior, int(asked.horizon), asked.size
    refuse_too_large(
        (ahead + 1) * size + ahead * posterior.size + (posterior.size * size // 2 if keep_draws else 0),
        max_memory,
        what=f"{ahead:,} opportunities of {size:,} customers and {posterior.size:,} draws",
        instead="Ask for fewer opportunities, leave keep_draws=False, or predict fewer customers at a time.",
    )
    observed = holdout_counts(customers, ahead)
    seen, totals, active, by_chance, kept = _simulated(asked, keep_draws, threads)
    carried = ("frequency", "recency", "opportunities", "count", "holdout_purchases")
    each = {name: customers[name].values for name in carried if name in customers}
    each |= _closed_forms(known, rate, threads) | _summary(seen)
    if observed is not None:
        each |= _scores(seen, observed, posterior.size)
    data: dict[str, object] = {name: (CUSTOMER, values) for name, values in each.items()}
    if observed is not None:
        data[ACTIVE_BY_CHANCE] = posterior.unstack(by_chance, CHANCE)
    data["purchases_total"] = posterior.unstack(totals.sum(axis=1))
    data["active_total"] = posterior.unstack(active)
    data["purchases_period_total"] = posterior.unstack(totals, PERIOD)
    if kept is not None:
        data["purchases"] = posterior.unstack(kept, CUSTOMER)
    dataset = xr.Dataset(
        data,
        {**posterior.coords(), CUSTOMER: customers[CUSTOMER].values, PERIOD: np.arange(1, ahead + 1)},
        {
            "time_unit": asked.time_unit,
            "horizon": ahead,
            "draws": posterior.size,
            "family": posterior.family.name,
            "problems": problems(buying),
            "seed": int(seed),
            "level": "outcome, except where a variable states its own",
        },
    )
    own = {PERIOD: Variable("opportunity from the end of observation", "opportunity")}
    return _with_reasons(describe(dataset, own), rate)


def _checked_rate(rate: float) -> float:
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 0 <= rate < math.inf:
        raise InputError(
            f"discount_rate must be a finite number from 0, per opportunity: 0.10 means that a purchase at the next "
            f"opportunity is worth 1 / 1.10. It is {rate!r}."
        )
    return float(rate)


def _closed_forms(known: Inputs, rate: float | None, threads: int | None) -> dict[str, np.ndarray]:
    """Return posterior means of the expected level, per customer."""
    forecast, ahead = known.posterior.forecast, known.horizon

    def forms(history: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
        yield forecast.alive(history, values)
        yield forecast.survival(ahead, history, values)
        yield forecast.purchases(ahead, history, values)
        if rate is not None:
            yield forecast.discounted(math.inf, rate, history, values)

    means = mean_over_draws(known.histories, known.posterior, forms, threads=threads)
    names = ("probability_alive", "survival", "purchases_expected", "residual_transactions")
    return {
        name: known.histories.spread(mean, of_rows=True) for name, mean in zip(names, means, strict=False)
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
    known: Inputs, keep: bool, threads: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Return counts of futures by purchases (customer, 0 to ahead), totals (draw, ahead), who buys, draws if kept.

    Who buys is counted in all, (draw), and by each one's own chance, (draw, class).
    """
    ahead, draws, histories, customers = (
        int(known.horizon),
        known.posterior.size,
        known.histories,
        known.customers,
    )
    assert known.keys is not None
    share = np.ones(known.size) if "count" not in customers else np.asarray(customers["count"].values)
    share = share.astype(np.int64)[histories.order]
    plan = purchase_plan(known.posterior, histories, known.keys, known.horizon)
    # Everyone of a row is a customer of its own: the same history, another stream.
    whose = np.repeat(np.arange(known.size), share)
    copy = np.arange(whose.size) - np.repeat(np.cumsum(share) - share, share)
    keys = plan.keys[whose]
    keys[:, 0] += copy.astype(np.uint64) * COPY
    plan = replace(plan, row=plan.row[whose], keys=keys)
    seen = np.zeros((known.size, ahead + 1), dtype=np.int64)
    kept = np.zeros((known.size if keep else 0, draws), dtype=np.int32)

    def block(start: int) -> tuple[np.ndarray, ...]:
        stop = min(start + BLOCK, whose.size)
        space = room(min(max(1, FUTURES // draws), stop - start), draws)
        buyers, batch = space.buyers, space.batch
        first, last = whose[start], whose[stop - 1]
        totals = np.zeros(draws * ahead, dtype=np.int64)
        active, chances = np.zeros(draws, dtype=np.int64), np.zeros(draws * CHANCES, dtype=np.int64)
        bought = np.zeros((last + 1 - first) * (ahead + 1), dtype=np.int64)

        def at_each(part: slice, filled: int) -> None:
            at = buyers.draw[batch.buyer[:filled]].astype(np.int64) * ahead
            np.add(
                totals,
                np.bincount(at + batch.time[:filled].astype(np.int64) - 1, minlength=totals.size),
                totals,
            )

        for done in tiles(plan, start, stop, space, each=at_each):
            customer = buyers.customer[: done.found].astype(np.int64) + done.part.start
            count = buyers.count[: done.found]
            some = count > 0
            who, when = buyers.customer[: done.found][some], buyers.draw[: done.found][some]
            np.add(active, np.bincount(when, minlength=draws), active)
            classes = chance_classes(np.bincount(who) / draws)
            at_chance = when.astype(np.int64) * CHANCES + classes[who]
            np.add(chances, np.bincount(at_chance, minlength=chances.size), chances)
            places = (whose[customer] - first) * (ahead + 1) + count
            np.add(bought, np.bincount(places, minlength=bought.size), bought)
            if keep:
                one = copy[customer] == 0
                kept[whose[customer[one]], buyers.draw[: done.found][one]] = count[one]
        sums = totals.reshape(draws, ahead), active, chances.reshape(draws, CHANCES)
        return np.arange(first, last + 1), bought.reshape(-1, ahead + 1), *sums

    totals, active = np.zeros((draws, ahead), dtype=np.int64), np.zeros(draws, dtype=np.int64)
    by_chance = np.zeros((draws, CHANCES), dtype=np.int64)
    for rows, bought, part, some, classes in in_order(block, range(0, whose.size, BLOCK), threads=threads):
        seen[rows] += bought
        totals += part
        active += some
        by_chance += classes
    seen[:, 0] = share * draws - seen[:, 1:].sum(axis=1)
    counts = histories.spread(seen.T).T
    return counts, totals, active, by_chance, histories.spread(kept.T) if keep else None


def _scores(seen: np.ndarray, observed: np.ndarray, draws: int) -> dict[str, np.ndarray]:
    """Return the scores of each customer's counted futures; of a row of several customers, of one of them."""
    scores = np.empty((observed.size, len(PURCHASE_SCORES)))
    score_histograms(np.ascontiguousarray(seen), observed, scores)
    found = dict(zip(PURCHASE_SCORES, scores.T, strict=True))
    for name in ("draws_below", "draws_equal"):
        found[name] = found[name] * draws / seen.sum(axis=1)
    return found


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
