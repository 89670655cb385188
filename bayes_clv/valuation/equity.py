"""Customer equity: what the customers of today, and those still to come, are worth now; and who holds it.

    equity  = present + future
    present = residual value of today's customers over the horizon (``clv.simulate``)
    future  = value of all who will come within the horizon, from their first order to its end, less their acquisition,
              both discounted to now

(Gupta, Lehmann & Stuart 2004, Journal of Marketing Research 41, who let both go on for ever.) Everything that is earned
up to one day counts, whoever brings it, so that both parts are of the same time and add up. The number of those to come
is the count model's of ``newcomers``, drawn anew in each draw; they come in the middle of their period, are of the
population (or of a ``profile``), and each of them has a future of its own. So the interval holds what is not known of
behaviour, of how many will come, and luck.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.predictions.own_costs import BEFORE
from bayes_clv.predictions.parameters import new_customers
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import CUSTOMER, DRAW, InputError, Variable, argument, describe, in_currency, interval
from bayes_clv.valuation.cohort import newcomers_plan, newcomers_worth
from bayes_clv.valuation.contribution import lacking_mean
from bayes_clv.valuation.newcomers import COHORT, checked_newcomers

TOP = "top"
# Shares of the customers of whom it is said how much of the present value they hold.
TOPS = (0.01, 0.05, 0.1, 0.2, 0.5)
# Of more in one period, all are taken to be as these are: the mean of so many is known within a hundredth.
MOST = 20_000
STEMS = ("present", "future", "equity", "acquisition", "share_present")

_OWN = {
    "present": Variable("residual value of today's customers", "money", "outcome"),
    "present_before_costs": Variable("the same before what they cost", "money", "outcome"),
    "future": Variable("value of customers still to come, less their acquisition", "money", "outcome"),
    "acquisition": Variable("discounted cost of acquiring those still to come", "money", "outcome"),
    "equity": Variable("value of present and future customers", "money", "outcome"),
    "share_present": Variable("share of present customers in equity", "share", "outcome"),
    "concentration": Variable(
        "share of the present value that the customers of most mean value hold", "share", "outcome"
    ),
    "cohort_value": Variable(
        "value of those who come in the period, less their acquisition", "money", "outcome"
    ),
    "cohort_customers": Variable("customers who come in the period", "count", "outcome"),
    "customers_to_come": Variable("customers still to come", "count", "outcome"),
}


@dataclass(frozen=True)
class Future:
    """What those to come bring: (draw, cohort) customers, value before and cost of their acquisition, discounted."""

    customers: np.ndarray
    value: np.ndarray
    acquisition: np.ndarray

    @property
    def net(self) -> np.ndarray:
        """Return the value of all of them less their acquisition, (draw,)."""
        return np.asarray((self.value - self.acquisition).sum(axis=1))


def customer_equity(
    simulation: Simulation,
    newcomers: xr.Dataset | None = None,
    *,
    acquisition_cost: float = 0.0,
    profile: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return what present and future customers are worth now, draw by draw, and how concentrated that is.

    Parameters
    ----------
    simulation
        Of ``clv.simulate`` with a spending posterior; its horizon, margin and discount rate hold for everybody.
    newcomers
        Of ``clv.valuation.predict_newcomers``, of the same customers and horizon. Without it nobody is still to come.
    acquisition_cost
        Money for each customer still to come, paid when it comes. Of a simulation with costs they cost what the
        average of today's customers does.
    profile
        What those to come are, of a fit with covariates or groups, as in ``clv.predict_cohort``.
    threads
        Threads; they change the speed only.

    Returns
    -------
    xarray.Dataset
        Outcome level, in money. Over (draw,): ``present``, ``future`` (net of ``acquisition``), their sum ``equity``,
        ``share_present`` of it, and ``customers_to_come``; of a simulation with costs ``present_before_costs``; of each
        ``_mean``, ``_q05``, ``_q50`` and ``_q95``. Over
        ``cohort``, the periods to come: ``cohort_customers`` and ``cohort_value`` (draw, cohort) with the same. Over
        ``top``: ``concentration`` (draw, top), the share of the present value that this share of the customers holds,
        in the order of their mean values. ``attrs["reasons"]`` says why means are NaN.

    Raises
    ------
    InputError
        A simulation without money; new customers of another horizon or day; a cost that cannot be.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, "26 weeks", spending=spending, margin=0.3, draws=50, seed=1)
    >>> found = customer_equity(draws)
    >>> bool((found["equity"] == found["present"] + found["future"]).all())
    True
    """
    refuse_without_money(simulation, "customer_equity")
    cost = checked_acquisition(acquisition_cost)
    present, shares, before = _present(simulation, threads)
    coming = future_value(simulation, newcomers, cost, profile)
    reason = lacking_mean(simulation)
    equity = present + coming.net
    # Of nothing no share: a base that is worth nothing is a base of no present value.
    whole = np.where(equity == 0, 1.0, equity)
    drawn = {
        "present": present,
        "future": coming.net,
        "equity": equity,
        "acquisition": coming.acquisition.sum(axis=1),
        "share_present": present / whole,
        "customers_to_come": coming.customers.sum(axis=1),
    }
    if before is not None:
        drawn["present_before_costs"] = before
    data = summaries(drawn, (), "" if not reason else "equity")
    data |= summaries(
        {"cohort_customers": coming.customers, "cohort_value": coming.value - coming.acquisition},
        (COHORT,),
        reason,
    )
    data |= summaries({"concentration": shares}, (TOP,), "")
    if reason:
        for name in ("present", "future", "equity", "cohort_value", "present_before_costs"):
            if name not in data:
                continue
            data[f"{name}_mean"] = (data[f"{name}_mean"][0], np.full_like(data[f"{name}_mean"][1], np.nan))
    coords: dict[str, Any] = {DRAW: np.arange(simulation.size), TOP: list(TOPS)}
    coords[COHORT] = np.arange(coming.customers.shape[1])
    if newcomers is not None:
        coords["period_end"] = (COHORT, newcomers["period_end"].to_numpy())
    attrs = {
        "result": "equity",
        **asked_of(simulation),
        "acquisition_cost": cost,
        "customers": simulation.customers.sizes[CUSTOMER],
        "with_future": int(newcomers is not None),
        "reasons": [reason] if reason else [],
    }
    return describe(xr.Dataset(data, coords, attrs), _OWN)


def refuse_without_money(simulation: Any, verb: str) -> None:
    """Refuse what is no simulation with money."""
    if not isinstance(simulation, Simulation) or simulation.spending is None:
        raise InputError(
            f"{verb} needs money: make the draws with clv.simulate(..., spending=spending, margin=0.3)."
        )


def checked_acquisition(cost: Any) -> float:
    """Return one amount of money a new customer, not negative."""
    number = isinstance(cost, int | float | np.number) and not isinstance(cost, bool)
    if not number or not 0 <= cost < np.inf:
        raise InputError(
            f"{argument('acquisition_cost', cost)} must be one amount of money for each new customer, not negative."
        )
    return float(cost)


def asked_of(simulation: Simulation) -> dict[str, Any]:
    """Return what a result says of the simulation behind it."""
    return {
        "horizon": simulation.horizon,
        "time_unit": str(simulation.customers.attrs.get("time_unit", "")),
        "until": str(simulation.customers.attrs.get("until", "")),
        "margin": simulation.margin if simulation.costs is None else float(simulation.costs.margin.mean()),
        "discount_rate": simulation.discount,
        "seed": simulation.seed,
        "draws": simulation.size,
        "level": "outcome",
        **in_currency(simulation.customers.attrs),
        **({} if simulation.costs is None else {"costs": simulation.costs.text}),
    }


def summaries(drawn: Mapping[str, np.ndarray], dims: tuple[str, ...], reason: str) -> dict[str, Any]:
    """Return variables (draw, ...) with their means and quantiles over draws; means are NaN where there is a reason."""
    data: dict[str, Any] = {}
    for name, each in drawn.items():
        data[name] = ((DRAW, *dims), each)
        low, high = interval(each, axis=0)
        middle = np.quantile(each, 0.5, axis=0, method="inverted_cdf")
        mean = np.full(each.shape[1:], np.nan) if reason else each.mean(axis=0)
        for end, value in (("mean", mean), ("q05", low), ("q50", middle), ("q95", high)):
            data[f"{name}_{end}"] = (dims, value)
    return data


def _present(simulation: Simulation, threads: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the value of all customers (draw,), the shares (draw, top) of those of most mean value, and before costs.

    The last is None of a simulation without costs.
    """
    size = simulation.customers.sizes[CUSTOMER]
    mean = np.empty(size)
    for places, own in simulation.each(
        lambda places, block: (places, block["value"].mean(axis=1)), ["value"], threads
    ):
        mean[places] = own
    # Rank 0 has the most; ties by place.
    rank = np.empty(size, dtype=np.int64)
    rank[np.argsort(-mean, kind="stable")] = np.arange(size)
    bounds = np.maximum(np.rint(np.array(TOPS) * size).astype(np.int64), 1)

    def sums(places: np.ndarray, block: dict[str, np.ndarray]) -> np.ndarray:
        group = np.searchsorted(bounds, rank[places], side="right")
        found = np.zeros((len(TOPS) + 2, simulation.size))
        np.add.at(found, group, block["value"])
        found[-1] = block[names[-1]].sum(axis=0)
        return found

    names = ["value"] if simulation.costs is None else ["value", BEFORE]
    held = np.zeros((len(TOPS) + 2, simulation.size))
    for part in simulation.each(sums, names, threads):
        held += part
    held, gross = held[:-1], held[-1]
    total = held.sum(axis=0)
    below = np.cumsum(held[:-1], axis=0)
    shares = np.where(total != 0, below / np.where(total == 0, 1.0, total), 0.0).T
    return total, shares, None if simulation.costs is None else gross


def future_value(
    simulation: Simulation,
    newcomers: xr.Dataset | None,
    cost: float,
    profile: Mapping[str, Any] | None = None,
) -> Future:
    """Return what those to come bring within the simulation's horizon, in each of its draws."""
    size = simulation.size
    if newcomers is None:
        none = np.zeros((size, 0))
        return Future(none, none, none)
    until = str(simulation.customers.attrs.get("until", ""))
    counts = _of_draws(checked_newcomers(newcomers, simulation.horizon, until), size)
    assert simulation.spending is not None
    buying, spending = new_customers(
        dict(profile or {}), simulation.buying, replace(simulation.spending, ledger=None, payer=None)
    )
    ends = newcomers["period_end"].to_numpy()
    starts = (ends + np.concatenate([[0.0], ends[:-1]])) / 2
    value = np.zeros((size, ends.size))
    for k, start in enumerate(starts.tolist()):
        people = int(min(counts[:, k].max(initial=0.0), MOST))
        if people:
            there = np.minimum(counts[:, k], people)
            each = _cohort_value(simulation, (buying, spending), start, there, people)
            # Of more than MOST, those beyond are as the others are.
            value[:, k] = each * np.where(there > 0, counts[:, k] / np.maximum(there, 1.0), 0.0)
    now = np.exp(-simulation.discount * starts)
    return Future(counts, value * now, cost * counts * now)


def _of_draws(newcomers: xr.Dataset, size: int) -> np.ndarray:
    """Return counts (draw, cohort) for each draw: of another posterior, so that any pairing will do."""
    counts = newcomers["newcomers"].transpose(DRAW, COHORT).to_numpy()
    order = np.arange(size)
    index = order * counts.shape[0] // size if counts.shape[0] >= size else order % counts.shape[0]
    return np.asarray(counts[index])


def _cohort_value(
    simulation: Simulation, fits: tuple[Any, Any], start: float, there: np.ndarray, people: int
) -> np.ndarray:
    """Return the value (draw,) of the first ``there`` (draw,) of those who come at ``start``, worth then."""
    left = simulation.horizon - start
    plan = newcomers_plan(*fits, people, left, simulation.discount, simulation.seed, start=start)
    costs = None if simulation.costs is None else simulation.costs.average(simulation.size)
    total = np.zeros(simulation.size)
    for part, worth in newcomers_worth(plan, simulation.margin, costs, left, simulation.discount):
        total += (worth * (np.arange(part.start, part.stop)[:, None] < there)).sum(axis=0)
    return total
