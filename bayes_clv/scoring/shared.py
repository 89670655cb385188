"""What moves all customers at once, in the errors of a group's buyers.

Given a draw of parameters and calendar customers are independent, but a group's buyers vary with the draws too: a good
season brings buyers in every tenth of a forecast. How many all buyers are in each draw (``active_total``) says by how
much; that all buy so much more or less often, as in a Poisson with another exposure, says what a group has of it:
1 - (1 - chance)^c, c of each draw from all buyers there. What all buyers vary by independent chance is taken off.

Rejected: the error of independent customers, which with a calendar is some fraction of the true one, so that a check
of tenths failed forecasts that were right; counts of each tenth draw by draw, which needs the order that the forecast
gives, and so a second simulation.
"""

import numpy as np
import xarray as xr

# Logarithms of c that are tried.
_GRID = np.linspace(-5.0, 5.0, 401)


def shared_error(chance: np.ndarray, sizes: np.ndarray, future: xr.Dataset) -> np.ndarray:
    """Return the standard deviation of groups' shares of buyers by what moves all customers at once.

    ``chance`` and ``sizes`` (group) are mean probabilities of any purchase and customers of groups that are all
    customers; groups without customers have none. 0 of a forecast without draws.
    """
    nothing = np.zeros(chance.shape)
    if "active_total" not in future or future["active_total"].size < 2:
        return nothing
    drawn = np.asarray(future["active_total"].values, dtype=float).ravel()
    each = np.asarray(future["probability_active"].values, dtype=float)
    variance, alone = drawn.var(ddof=1), float((each * (1 - each)).sum())
    there = np.isfinite(chance) & (sizes > 0)
    if not there.any() or variance <= alone:
        return nothing
    silent = np.log1p(-np.clip(chance[there], 0.0, 1 - 1e-12))
    shares = -np.expm1(silent * np.exp(_GRID)[:, None])
    c = np.interp(drawn, shares @ sizes[there], _GRID)
    moved = -np.expm1(silent * np.exp(c)[:, None])
    nothing[there] = moved.std(axis=0, ddof=1) * np.sqrt(1 - alone / variance)
    return nothing
