"""Costs of a contact by customer and offer, where they are no product of both.

With a table customers of one segment have no common order of offers (``allocation``), so that the best choice of each
draw is found customer by customer, which an unlimited choice allows, and a budget does not.
"""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.inference.response_cells import OFFER
from bayes_clv.schema import CUSTOMER, InputError, argument, example
from bayes_clv.targeting.costs import check_offers

# Customers × draws × offers at a time.
_BLOCK = 4_000_000


def cost_table(cost: Any, uplift: xr.Dataset) -> np.ndarray | None:
    """Return costs (customer, offer), None where ``cost`` is no table of both.

    A table is a pandas DataFrame, a row a customer id and a column an offer, or a DataArray of both. Raises InputError
    for one of other customers or offers, and for costs that are negative or infinite.
    """
    if isinstance(cost, xr.DataArray) and set(cost.dims) == {CUSTOMER, OFFER}:
        cost = cost.transpose(CUSTOMER, OFFER).to_pandas()
    if not hasattr(cost, "set_axis") or not hasattr(cost, "columns"):
        return None
    if OFFER not in uplift["uplift"].dims:
        raise InputError(
            f"{argument('cost')} is a table by offer, and the experiment has one without a name."
        )
    offers = [str(each) for each in uplift[OFFER].to_numpy()]
    table = cost.set_axis([str(each) for each in cost.columns], axis=1)
    check_offers(dict.fromkeys(table.columns, 0.0), offers, argument("cost"))
    ids = [str(each) for each in uplift[CUSTOMER].to_numpy()]
    table = table.set_axis([str(each) for each in table.index], axis=0)
    missing = sorted(set(ids) - set(table.index))
    if missing or not table.index.is_unique:
        what = f"{len(missing)} have none, such as {missing[0]!r}" if missing else "some have two rows"
        raise InputError(f"{argument('cost')} is a table by customer id, and of {len(ids)} customers {what}.")
    found: np.ndarray = table.loc[ids, offers].to_numpy(dtype=np.float64)
    bad = ~np.isfinite(found) | (found < 0)
    if bad.any():
        raise InputError(
            f"{argument('cost')} must be finite and not negative; {int(bad.sum())} of {bad.size} are not, such as "
            f"{example(found.ravel(), bad.ravel())}."
        )
    return found


def best_of_each(
    worth: np.ndarray, scale: np.ndarray, costs: np.ndarray, index: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gain of the best choice of each draw (draw,), and P(what was chosen is the best) of each customer.

    ``worth`` (draw, offer, segment) of a unit of ``scale`` (customer,), ``costs`` (customer, offer), ``chosen`` the
    offer of each customer, -1 for none.
    """
    draws, offers, _ = worth.shape
    gain, chance = np.zeros(draws), np.empty(scale.size)
    step = max(1, _BLOCK // (draws * offers))
    for start in range(0, scale.size, step):
        part = slice(start, start + step)
        # By customer, draw and offer.
        each = scale[part, None, None] * worth[:, :, index[part]].transpose(2, 0, 1) - costs[part, None, :]
        best = np.maximum(each.max(axis=2), 0.0)
        gain += best.sum(axis=0)
        mine = chosen[part]
        own = np.where(
            mine[:, None] >= 0,
            np.take_along_axis(each, np.maximum(mine, 0)[:, None, None], axis=2)[:, :, 0],
            0.0,
        )
        chance[part] = (own >= best).mean(axis=1)
    return gain, chance
