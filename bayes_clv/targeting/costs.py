"""What a contact costs: a customer's own amount, an offer's, or one for all."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.inference.response_cells import OFFER
from bayes_clv.schema import CUSTOMER, InputError, argument
from bayes_clv.units import checked_cost


def own_costs_and_prices(cost: Any, uplift: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return each customer's own cost and what each offer costs in units of it: the cost of a contact is the product.

    ``cost`` is as ``clv.target`` takes it: costs of offers make the customers' own 1, costs of customers the offers'.

    Raises InputError for costs that are negative or infinite, of offers or customers that there are not, or of some.
    """
    offers = [str(each) for each in uplift[OFFER].to_numpy()] if OFFER in uplift["uplift"].dims else [""]
    by_offer = _by_offer(cost)
    ids = set(uplift[CUSTOMER].to_numpy().astype(str).tolist()) if by_offer else set()
    if not by_offer or (not set(by_offer) & set(offers) and set(by_offer) & ids):
        return checked_cost(cost, uplift, "cost").to_numpy().astype(float), np.ones(len(offers))
    if offers == [""]:
        # Costs by customer with strange ids, or by offer where none has a name: the usual words.
        return checked_cost(cost, uplift, "cost").to_numpy().astype(float), np.ones(1)
    check_offers(by_offer, offers, argument("cost"))
    prices = np.array([by_offer[name] for name in offers])
    bad = ~np.isfinite(prices) | (prices < 0)
    if bad.any():
        name = offers[int(np.flatnonzero(bad)[0])]
        raise InputError(
            f"{argument('cost')} of {name!r} is {by_offer[name]:g}. It must be finite and not negative."
        )
    return np.ones(uplift.sizes[CUSTOMER]), prices


def check_offers(given: Mapping[str, float], offers: list[str], what: str) -> None:
    """Refuse costs of offers that the experiment did not have, and offers without one; ``what`` begins the message."""
    unknown = [name for name in given if name not in offers]
    missing = [name for name in offers if name not in given]
    if unknown:
        raise InputError(
            f"{what} names {unknown[0]!r}, which nobody of the experiment was offered. Its offers are "
            f"{', '.join(map(repr, offers))}."
        )
    if missing:
        raise InputError(f"{what} says nothing of {missing[0]!r}, an offer of the experiment. Give its cost.")


def _by_offer(cost: Any) -> dict[str, float]:
    """Return costs by their labels, which may be those of offers; none where they cannot be."""
    if isinstance(cost, xr.DataArray):
        labelled = cost.dims == (OFFER,) and OFFER in cost.coords
        pairs = zip(cost[OFFER].values.tolist(), cost.values.tolist(), strict=True) if labelled else ()
    else:
        pairs = cost.items() if hasattr(cost, "items") and not isinstance(cost, xr.Dataset) else ()
    return {str(key): float(value) for key, value in pairs}
