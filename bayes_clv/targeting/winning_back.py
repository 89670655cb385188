"""Whom to wake: of customers who sleep, what being awake now would bring.

In a fit with ``returns=True`` a customer who buys no more is asleep or gone, and one who sleeps wakes by itself
sooner or later. So a contact that wakes it is worth what it buys from now on, less what it would buy anyhow after its
own waking: over a long horizon, or where sleeps are short, that is little, whatever the customer is worth. Those most
probably asleep are therefore not those to call first: neither is one who buys rarely when awake, nor one who sleeps
again soon.

All of it is the expected level and in closed form: of each draw the rate, the coin and the state are integrated out
together (``poisson.returning_forecasts``), as those who buy often and are silent are the ones that sleep. It supposes
that a contact wakes for certain and whoever is asleep: times the share whom it does wake, which an experiment tells
(``clv.target``), it is what the contact may cost.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.predictions.averages import STATES, WAKING
from bayes_clv.predictions.earning import earned
from bayes_clv.predictions.inputs import Inputs, prepare, problems
from bayes_clv.predictions.money import without_moments
from bayes_clv.predictions.own_costs import Costs, OwnCosts, margin_of, resolved
from bayes_clv.predictions.parameters import parameters
from bayes_clv.predictions.tiles import EXPECTED_DRAWS, TILE, in_order
from bayes_clv.schema import CUSTOMER, InputError, describe
from bayes_clv.units import checked_margin, discount_rate

# The share of sleeps that never end, as the family has it.
NEVER = "w"


def win_back(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float = "52 weeks",
    *,
    spending: xr.DataTree | None = None,
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    costs: Costs | None = None,
    draws: int | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return how probably each customer is asleep, wakes by itself within the horizon, and what waking it now is worth.

    Parameters
    ----------
    buying, customers
        A posterior of a fit with ``returns=True``, and customers with their purchase times.
    horizon, spending, margin, annual_discount_rate, costs
        As in ``clv.predict``. Without ``spending`` there is no money. Who sleeps is served as who is awake, so that of
        ``costs`` waking costs its orders and defaults; where sleeps may never end a cost to serve is refused, since
        waking changes for how long it is paid.
    draws
        Posterior draws, evenly spaced; by default the family's ``closed_form_draws``.
    threads
        Threads; by default the processors this process may use. They change the speed only.

    Returns
    -------
    xarray.Dataset
        Over ``customer``, expected level: ``probability_awake``, ``probability_asleep``, ``probability_gone``;
        ``probability_waking``, of being asleep and awake again within the horizon; ``purchases_woken``, how many more
        purchases within it are expected of the customer if, where it is asleep, it were awake now; and with
        ``spending`` ``value_woken``, what they bring (money, after margin and discount).

    Raises
    ------
    InputError
        A posterior in which customers who left are gone for ever; costs as above; and as in ``clv.predict``.

    Examples
    --------
    >>> found = clv.targeting.win_back(returning, customers, "52 weeks", spending=spending, margin=0.3)
    >>> first = clv.table(found)["customer_id"].head(20)
    """
    share = checked_margin(margin)
    known = prepare(buying, customers, horizon, spending=spending, draws=draws, most=EXPECTED_DRAWS)
    forecast, columns, size = known.posterior.forecast, known.histories.columns, known.posterior.size
    if forecast.states is None or forecast.waking is None or forecast.woken is None:
        raise InputError(
            f"In {known.posterior.family.words.title} whoever leaves is gone for ever, so that there is nobody to "
            "wake. Fit with returns=True (bg_nbd, mbg_nbd); whom to keep from leaving say clv.churn_alarms."
        )
    states, waking, woken, payments = forecast.states, forecast.waking, forecast.woken, known.spending
    rate = discount_rate(annual_discount_rate, known.time_unit)
    count, step = int(known.histories.row.max()) + 1, max(1, TILE // size)
    own = None if costs is None else _resolved(costs, known, share)
    # What waking adds, as a forecast of purchases: spend that moves is then as of any.
    of_woken = replace(forecast, purchases=lambda end, *given: woken(end, 0.0, *given), discounted=woken)

    def brought(
        rows: np.ndarray, history: dict[str, Any], values: dict[str, Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return discounted purchases and discounted spend of one who is woken, of these rows."""
        assert payments is not None
        bought = woken(known.horizon, rate, history, values)
        paid, own_level = payments.paid(columns, rows), payments.at(columns, rows)
        alone = np.arange(rows.size)
        spend = earned(of_woken, payments, known.horizon, rate, history, values, alone, paid, own_level)
        return bought, spend

    def tile(start: int) -> list[np.ndarray]:
        rows = np.arange(start, min(start + step, count))
        history = {name: columns[name][rows, None] for name in forecast.history}
        values = known.posterior.at(columns, rows)
        chances = states(history, values)
        more = woken(known.horizon, 0.0, history, values)
        found = [*chances, chances[1] * waking(known.horizon, history, values), more]
        if payments is not None and own is None:
            found.append(share * brought(rows, history, values)[1])
        return [np.broadcast_to(each, (rows.size, size)).mean(axis=1) for each in found]

    def net(start: int) -> np.ndarray:
        """Return the mean value less costs of the customers from this place of their order on."""
        assert own is not None
        part = slice(start, start + step)
        rows, local = np.unique(known.histories.row[part], return_inverse=True)
        history = {name: columns[name][rows, None] for name in forecast.history}
        orders, spend = (
            np.broadcast_to(each, (rows.size, size))[local]
            for each in brought(rows, history, known.posterior.at(columns, rows))
        )
        return np.asarray(own.net(known.histories.order[part], spend, orders, np.zeros(1)).mean(axis=1))

    priced = payments is not None and own is None
    names = [*STATES, WAKING, "purchases_woken", *(["value_woken"] if priced else [])]
    parts = list(in_order(tile, range(0, count, step), threads=threads))
    spread = [known.histories.spread(np.concatenate(part), of_rows=True) for part in zip(*parts, strict=True)]
    data = dict(zip(names, spread, strict=True))
    if own is not None:
        worth = np.empty(known.size)
        worth[known.histories.order] = np.concatenate(
            list(in_order(net, range(0, known.size, step), threads=threads))
        )
        data["value_woken"] = worth
    found = xr.Dataset(
        {name: (CUSTOMER, each) for name, each in data.items()},
        coords={CUSTOMER: customers[CUSTOMER].values},
        attrs={
            "result": "win-back",
            "time_unit": known.time_unit,
            "horizon": known.horizon,
            "level": "expected",
            "draws": size,
            "problems": problems(buying) if spending is None else problems(buying, spending),
            "reasons": [],
        },
    )
    if spending is not None:
        found.attrs |= {
            "margin": margin_of(costs, share),
            "annual_discount_rate": float(annual_discount_rate),
            **({} if costs is None else {"costs": costs.text}),
        }
        lacking, without = without_moments(parameters(spending, "spending", calendar=True), customers, 1)
        if lacking.any():
            found["value_woken"] = found["value_woken"].where(~xr.DataArray(lacking, dims=CUSTOMER))
            found.attrs["reasons"] = [
                f"value_woken: NaN for {int(lacking.sum())} of {lacking.size} customers, because expected spend is "
                f"infinite in up to {without} posterior draws. Rank by purchases_woken, or give a stronger prior on q."
            ]
    return describe(found)


def _resolved(costs: Costs, known: Inputs, margin: float) -> OwnCosts:
    """Return what the customers cost; what waking one would change in an unknown way is refused."""
    if known.spending is None:
        raise InputError("Costs need money: give a spending posterior, or leave costs out.")
    own = resolved(costs, known.customers, margin, known.posterior.size)
    if own.serve.any() and (np.asarray(known.posterior.values[NEVER]) > 0).any():
        raise InputError(
            "cost_to_serve: some sleeps never end by this posterior, so that waking a customer changes for how long it "
            "is served, which win_back does not know. Leave cost_to_serve out, or fit without a prior of never_returns."
        )
    return own


def state_words(
    awake: float, asleep: float, gone: float, waking: float | None = None, horizon: str | None = None
) -> str:
    """Return in words in which state a customer most probably is, and of one asleep how likely it is soon back.

    ``waking`` is the probability of being asleep and awake again within the ``horizon``, in words.

    Examples
    --------
    >>> state_words(0.1, 0.8, 0.1, 0.184, "26 weeks")
    'asleep (80 %), back within 26 weeks with 23 %'
    >>> state_words(0.1, 0.2, 0.7)
    'gone (70 %)'
    """
    chance, state = max((awake, "awake"), (asleep, "asleep"), (gone, "gone"))
    words = {"awake": say("awake"), "asleep": say("asleep"), "gone": say("gone")}
    told = {"state": words[state], "chance": 100 * chance}
    if state == "asleep" and waking is not None and horizon is not None:
        return say(
            "{state} ({chance:.0f} %), back within {horizon} with {soon:.0f} %",
            **told,
            horizon=horizon,
            soon=100 * waking / asleep,
        )
    return say("{state} ({chance:.0f} %)", **told)
