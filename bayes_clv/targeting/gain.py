"""What contacting the first n of a list brings."""

import numpy as np
import xarray as xr

from bayes_clv.inference.response_cells import SEGMENT
from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, InputError, Variable, describe
from bayes_clv.targeting.contacts import flat_draws, offers_of, rank_chosen


def gain_curve(decision: xr.Dataset, along: str = "rank", points: int = 100) -> xr.Dataset:
    """Return the net gain of contacting the first n customers of an order, on every draw.

    Each gets the offer that was chosen for it, or its best one where none was.

    Parameters
    ----------
    decision
        The result of ``clv.target``.
    along
        ``"rank"``, expected net gain per cost whatever the budget or the risk; ``"value"``, the mean outcome without
        contact, highest first; or ``"random"``, the mean over random orders.
    points
        Numbers of contacts, from nobody to everybody.

    Returns
    -------
    xarray.Dataset
        ``net_gain`` (chain, draw, contacts), money, level: expected; ``spent`` (contacts).

    Raises
    ------
    InputError
        No result of ``target``, or an unknown order.

    Examples
    --------
    >>> curve = gain_curve(decision, points=10)
    >>> curve["contacts"].to_numpy()[[0, -1]].tolist()
    [0, 2000]
    """
    if not isinstance(decision, xr.Dataset) or "contacted" not in decision or "uplift" not in decision:
        raise InputError("Give the result of clv.target(...): it has 'contacted' and 'uplift'.")
    size = decision.sizes[CUSTOMER]
    costs, scale = decision["cost"].to_numpy(), decision["scale"].to_numpy()
    labels = decision[SEGMENT].to_numpy().astype(str)
    index = np.searchsorted(labels, decision["customer_segment"].to_numpy().astype(str))
    margin = float(decision.attrs["margin"])
    worth = margin * flat_draws(decision["uplift"])
    if along == "rank":
        order = np.argsort(
            rank_chosen(np.zeros(size, dtype=bool), decision["net_gain_mean"].to_numpy(), costs)
        )
    elif along == "value":
        value = scale * decision["outcome_control"].mean((CHAIN, DRAW)).to_numpy()[index]
        order = np.argsort(-value, kind="stable")
    elif along == "random":
        order = np.arange(size)
    else:
        raise InputError(f"Order {along!r} is not known. Use 'rank', 'value' or 'random'.")
    at = np.unique(np.linspace(0, size, min(points, size) + 1).astype(int))
    cell = offers_of(decision) * labels.size + index
    weight = np.empty((worth.shape[1] * labels.size, at.size))
    for c in range(weight.shape[0]):
        own = np.concatenate([[0.0], np.cumsum(np.where(cell[order] == c, scale[order], 0.0))])
        weight[c] = own[at] if along != "random" else own[-1] * at / size
    spent = np.concatenate([[0.0], np.cumsum(costs[order])])[at]
    if along == "random":
        spent = costs.sum() * at / size
    gain = worth.reshape(worth.shape[0], -1) @ weight - spent
    shape = (decision.sizes[CHAIN], decision.sizes[DRAW], at.size)
    curve = xr.Dataset(
        {"net_gain": ((CHAIN, DRAW, "contacts"), gain.reshape(shape)), "spent": ("contacts", spent)},
        coords={"contacts": at, CHAIN: decision[CHAIN], DRAW: decision[DRAW]},
        attrs={"result": "gain curve", "along": along},
    )
    return describe(curve, {"net_gain": Variable("net gain of the first contacts", "money", "expected")})
