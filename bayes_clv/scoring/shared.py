"""What moves all customers at once, in how many of a group buy.

Given a draw of parameters and calendar customers are independent, but a group's buyers vary with the draws too: a good
season brings buyers in every tenth of a forecast, and back from those given up. While futures are simulated it is
counted, draw by draw, who buys at all in each class of customers with about the same chance to (``active_by_chance``);
a group has of every class as many as belong to it. What such counts vary more than independent customers would is
shared.

How many buy is then binomial, or beta-binomial where something is shared: counts of few customers whose chances go up
and down together, which a Normal around their mean is not.

Rejected: the error of independent customers, which with a calendar is some fraction of the true one, so that a check
of tenths failed forecasts that were right; one factor of all customers' rates a draw, read from how many buy in all,
which says nothing of a draw in which the frequent ones buy more and the silent ones less; the draws' own quantiles,
since a thousand draws do not know what happens once in 741.
"""

import numpy as np
import xarray as xr
from scipy import stats

from bayes_clv.predictions.scores import CHANCES, chance_classes
from bayes_clv.schema import ACTIVE_BY_CHANCE, CUSTOMER
from bayes_clv.scoring.groups import Groups

# Probability of any purchase as the draws have it, beside the posterior's closed form.
_DRAWN = "active_share"
# Shared variance, of what is there by chance, that rounding may leave.
_ROUNDING = 1e-9


def with_drawn_share(future: xr.Dataset) -> xr.Dataset:
    """Return the forecast with the share of draws in which each customer buys, which a closed form replaces."""
    return future.assign({_DRAWN: (CUSTOMER, np.asarray(future["probability_active"].values))})


def uncounted(future: xr.Dataset) -> bool:
    """Return whether a forecast was simulated by a version that did not count, draw by draw, who buys at all."""
    joint = "purchases_total" in future and future["purchases_total"].size > 1
    return joint and ACTIVE_BY_CHANCE not in future


def shared_variance(groups: Groups, future: xr.Dataset) -> np.ndarray:
    """Return by what variance (group) the groups' numbers of buyers vary beyond that of independent customers.

    0 of a forecast without joint draws, and of one that is ``uncounted``.
    """
    if ACTIVE_BY_CHANCE not in future or future["draw"].size * future["chain"].size < 2:
        return np.zeros(groups.size)
    drawn = np.asarray(future[ACTIVE_BY_CHANCE].values, dtype=float).reshape(-1, CHANCES)
    share = np.asarray(future[_DRAWN if _DRAWN in future else "probability_active"].values, dtype=float)
    classes = chance_classes(share)
    inside = groups.inside if groups.inside is not None else np.ones(share.size, dtype=bool)
    members = np.bincount(groups.place * CHANCES + classes[inside], minlength=groups.size * CHANCES)
    of_class = np.maximum(np.bincount(classes, minlength=CHANCES), 1)
    part = members.reshape(groups.size, CHANCES) / of_class
    alone = part**2 @ np.bincount(classes, weights=share * (1 - share), minlength=CHANCES)
    found: np.ndarray = np.maximum((drawn @ part.T).var(axis=0, ddof=1) - alone, 0.0)
    return found


def buyer_chances(customers: int, chance: float, error: float = 0.0) -> np.ndarray:
    """Return the probability that 0, 1, … of so many customers buy, each with the mean ``chance``.

    ``error`` is the standard error of the share who buy, where it is larger than that of independent customers.

    >>> buyer_chances(2, 0.5).round(2).tolist()
    [0.25, 0.5, 0.25]
    >>> buyer_chances(2, 0.5, error=0.4).round(2).tolist()
    [0.32, 0.36, 0.32]
    """
    n, p = np.arange(customers + 1), min(max(chance, 1e-12), 1 - 1e-12)
    excess = error**2 * customers / (p * (1 - p)) - 1
    if customers < 2 or not excess > _ROUNDING:
        return np.asarray(stats.binom.pmf(n, customers, p))
    # The variance is that of independent customers times 1 + (customers - 1) correlation.
    correlation = min(excess / (customers - 1), 0.999)
    shapes = 1 / correlation - 1
    return np.asarray(stats.betabinom.pmf(n, customers, p * shapes, (1 - p) * shapes))
