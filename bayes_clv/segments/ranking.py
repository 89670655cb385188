"""Who is best, and how sure is that: what is believed of each customer's quantities, and its place among all.

A place is a statement about everybody at once, so ranks are taken within each draw, in which all customers' numbers
belong together; ranking each customer's interval instead would ignore that only one customer can be the best. Two walks
over ``Simulation.blocks``: the first gathers each draw's distribution over the base, the second finds each
customer's place in it. Ties share their average place: of a thousand customers that buy nothing none is the better.

Memory: the distribution is that of at most CUT_CUSTOMERS customers, those with the lowest random keys; above that, a
rank is the sample's share times the size of the base, with a standard error of at most 0.5 / sqrt(50,000) = 0.2 % of
the base.
"""

import numpy as np
import xarray as xr

from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import (
    CUSTOMER,
    CUSTOMER_VARIABLES,
    InputError,
    Variable,
    describe,
    in_currency,
    named_quantiles,
    quantiles,
)
from bayes_clv.segments.thresholds import CUT_CUSTOMERS

STATISTICS = ("mean", "q05", "q25", "q50", "q75", "q95")


def rank(draws: Simulation, quantity: str = "value", *, threads: int | None = None) -> xr.Dataset:
    """Return each customer's rank by a quantity, 1 the best, with the uncertainty of that rank.

    Parameters
    ----------
    draws
        Of ``clv.simulate``.
    quantity
        One of ``draws.names``, for example ``"value"`` or ``"purchases"``.
    threads
        Threads; they change the speed only.

    Returns
    -------
    xarray.Dataset
        Over ``customer``, in the order of the customers: ``rank_mean``, ``rank_q05``, ``rank_q50``, ``rank_q95``
        (places among all customers, 1 the highest; customers with equal amounts in a draw share the average of their
        places), and ``{quantity}_mean``. With probability 0.9 the customer's place lies from ``rank_q05`` to
        ``rank_q95``. ``attrs`` name the quantity and the number of ``customers``, of whom ``ranked_among`` gave the
        distribution.

    Raises
    ------
    InputError
        A quantity that is not known, or that is missing (NaN) for some customers.

    Notes
    -----
    Level: that of the quantity; outcome for what is bought and spent over the horizon. Ranks are taken jointly, in each
    draw among all customers (see the module). A customer with a high mean rarely has a high rank for sure.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, horizon="52 weeks", draws=100, seed=1)
    >>> places = rank(draws, "purchases")
    >>> best = places["purchases_mean"].argmax("customer")
    >>> float(places["rank_q05"][best]) < 30 < float(places["rank_q95"][best])
    True
    """
    _known(draws, (quantity,))
    customers = draws.customers.sizes[CUSTOMER]
    base = _base(draws, quantity, threads)
    among = base.shape[1]
    names = ("mean", "q05", "q50", "q95")
    ranks = np.empty((4, customers))
    means = np.empty(customers)
    for places, values in draws.blocks([quantity], threads):
        amounts = _whole(draws, quantity, places, values[quantity])
        means[places] = amounts.mean(axis=1)
        rank = np.empty(amounts.shape)
        for s in range(draws.size):
            at_least = among - np.searchsorted(base[s], amounts[:, s], side="left")
            above = among - np.searchsorted(base[s], amounts[:, s], side="right")
            # In the base itself the customer is one of its equals; in a sample it need not be.
            rank[:, s] = (above + at_least + 1) / 2
        if among < customers:
            rank = np.clip((rank - 0.5) * customers / among + 0.5, 1, customers)
        ranks[0, places] = rank.mean(axis=1)
        # As many draws as any: the smallest rank that a share of them does not exceed.
        ranks[1:, places] = quantiles(rank, (0.05, 0.5, 0.95), axis=1)
    data = {f"rank_{name}": (CUSTOMER, column) for name, column in zip(names, ranks, strict=True)}
    data[f"{quantity}_mean"] = (CUSTOMER, means)
    own = {"rank": Variable(f"rank by {quantity}, 1 the best", "count")} | _own(quantity)
    found = xr.Dataset(
        data,
        coords={CUSTOMER: draws.customers[CUSTOMER].values},
        attrs={"result": "ranking", "quantity": quantity, "customers": customers, "ranked_among": among}
        | _made(draws),
    )
    return describe(found, own)


def quantity_points(draws: Simulation, *names: str, threads: int | None = None) -> xr.Dataset:
    """Return mean and quantiles over draws of each customer's quantities, without holding the draws.

    Parameters
    ----------
    draws
        Of ``clv.simulate``.
    names
        Among ``draws.names``.
    threads
        Threads; they change the speed only.

    Returns
    -------
    xarray.Dataset
        Over ``customer``: ``{name}_mean``, ``{name}_q05``, ``_q25``, ``_q50``, ``_q75`` and ``_q95`` of each; level:
        that of the quantity.

    Raises
    ------
    InputError
        A quantity that is not known, or that is missing (NaN) for some customers.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, horizon="52 weeks", draws=100, seed=1)
    >>> found = quantity_points(draws, "purchase_rate", "purchases")
    >>> found["purchases_q95"].dims
    ('customer',)
    """
    _known(draws, names)
    size = draws.customers.sizes[CUSTOMER]
    found = {(name, what): np.empty(size) for name in names for what in STATISTICS}
    for places, values in draws.blocks(names, threads):
        for name in names:
            amounts = _whole(draws, name, places, values[name])
            found[name, "mean"][places] = amounts.mean(axis=1)
            for what, column in named_quantiles(amounts, axis=1).items():
                found[name, what][places] = column
    points = xr.Dataset(
        {f"{name}_{what}": (CUSTOMER, column) for (name, what), column in found.items()},
        coords={CUSTOMER: draws.customers[CUSTOMER].values},
        attrs=_made(draws),
    )
    return describe(points, _own(*names))


def _known(draws: Simulation, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in draws.names:
            raise InputError(
                f"The quantity {name!r} is not known here. There are {', '.join(draws.names)}"
                f"{'' if draws.spending is not None else '; money needs a spending posterior'}."
            )


def _base(draws: Simulation, quantity: str, threads: int | None) -> np.ndarray:
    """Return each draw's amounts over the base, or a random sample of it, rising: (draw, customer)."""
    among = min(draws.keys.shape[0], CUT_CUSTOMERS)
    base, filled = np.empty((draws.size, among)), 0

    def work(places: np.ndarray, values: dict[str, np.ndarray]) -> np.ndarray:
        return _whole(draws, quantity, places, values[quantity])

    for part in draws.each(work, [quantity], threads, sample=among):
        base[:, filled : filled + part.shape[0]] = part.T
        filled += part.shape[0]
    base.sort(axis=1)
    return base


def _whole(draws: Simulation, name: str, places: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Return the amounts of a block as (customer, draw); refuse missing ones."""
    missing = np.isnan(amounts).any(axis=1)
    if missing.any():
        customer = draws.customers[CUSTOMER].values[places[int(missing.argmax())]]
        raise InputError(
            f"The quantity {name!r} is missing (NaN), for customer {customer!r} among others. Fill the column, leave "
            "such customers out, or use a quantity that everybody has (spend_per_purchase instead of monetary_value)."
        )
    return np.broadcast_to(amounts, (places.size, draws.size))


def _own(*quantities: str) -> dict[str, Variable]:
    """Return what quantities are that the vocabulary does not know: columns."""
    return {
        name: Variable(name.replace("_", " "), "") for name in quantities if name not in CUSTOMER_VARIABLES
    }


def _made(draws: Simulation) -> dict[str, object]:
    return {
        "horizon": draws.horizon,
        "time_unit": str(draws.customers.attrs.get("time_unit", "")),
        **in_currency(draws.customers.attrs),
        "seed": draws.seed,
        "draws": draws.size,
    }
