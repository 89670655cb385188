"""Whether an order is paid: a small logistic model of defaults by columns of the customers, with its posterior.

    logit P(an order is not paid) = intercept + sum of coefficients x standardised columns

Columns are centred and divided by twice their standard deviation; coefficients are Normal(0, 2.5) and the intercept,
which is the log odds of the average customer, is Normal(-3, 3): a default of 5 % an order, from nearly never to nearly
half (after Gelman, Jakulin, Pittau & Su 2008, Annals of Applied Statistics 2, whose Cauchy is a Normal here). Five
coefficients and some thousand customers are milliseconds: the mode by Newton's method, Student t proposals around it,
and importance weights against the exact density (``sampling.importance``), so that the approximation is a proposal
only and the Pareto k says whether it serves.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import column_values
from bayes_clv.inference.sampling.importance import Source, importance_draws
from bayes_clv.schema import CUSTOMER, DRAW, InputError, check_seed

DEFAULT = "default"
TERM = "term"
INTERCEPT = "intercept"
COEFFICIENT_SD = 2.5
INTERCEPT_PRIOR = -3.0, 3.0
NEWTON_STEPS = 60
PROPOSALS_PER_DRAW = 4


def fit_default(
    customers: xr.Dataset,
    unpaid: Any,
    orders: Any = None,
    *,
    columns: Sequence[str] = (),
    draws: int = 1000,
    seed: int,
) -> xr.Dataset:
    """Return the posterior of how probably an order is not paid, by columns of the customers.

    Parameters
    ----------
    customers
        With the columns (``clv.with_columns``); also those on whom nothing is known but their columns.
    unpaid
        How many orders of each customer were not paid: the name of a column, or numbers by customer id. Customers that
        are not in the mapping are not learned from.
    orders
        Of how many whose payment is known; the same. By default one each.
    columns
        Columns of numbers that the probability goes by; without them it is one for all.
    draws, seed
        Of the posterior; the seed of all random numbers.

    Returns
    -------
    xarray.Dataset
        ``coefficient`` (draw, term), on the log odds: ``intercept``, of a customer of average columns, and one a
        column, for twice a standard deviation of it. ``probability`` (draw,), of the average customer. ``attrs`` state
        ``pareto_k`` and ``problems``. Give it to ``clv.predictions.costs(default_probability=...)``.

    Raises
    ------
    InputError
        A column that is not there, of text or the same for all; more orders unpaid than there were; nothing known.

    Examples
    --------
    >>> unpaid = {name: i % 20 == 0 for i, name in enumerate(customers["customer"].values[:400])}
    >>> risk = fit_default(customers, unpaid, draws=100, seed=1)
    >>> 0.02 < float(risk["probability"].mean()) < 0.10
    True
    """
    check_seed(seed)
    bad, count, known = _counts(customers, unpaid, orders)
    design, centre, scale = _design(customers, list(columns), known)
    mode, precision = _mode(design, bad, count)
    root = np.linalg.inv(np.linalg.cholesky(precision)).T

    def evaluate(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _log_density(positions, design, bad, count), np.empty((len(positions), 0))

    found = importance_draws(
        np.random.default_rng(seed),
        Source(mode, root),
        evaluate,
        proposals=draws * PROPOSALS_PER_DRAW,
        size=draws,
    )
    k, most = found.report["pareto_k"], found.report["pareto_k_threshold"]
    problems = (
        []
        if k < most
        else [f"Pareto k of the fit of defaults is {k:.2f}, above {most:.2f}: use fewer columns."]
    )
    return xr.Dataset(
        {
            "coefficient": ((DRAW, TERM), found.positions),
            "probability": (DRAW, _chance(found.positions[:, 0])),
        },
        coords={DRAW: np.arange(draws), TERM: np.array([INTERCEPT, *columns], dtype=object)},
        attrs={
            "result": DEFAULT,
            "columns": json.dumps(list(columns)),
            "centre": json.dumps(centre.tolist()),
            "scale": json.dumps(scale.tolist()),
            "customers": int(known.sum()),
            "orders": float(count.sum()),
            "unpaid": float(bad.sum()),
            "pareto_k": float(k),
            "problems": problems,
            "seed": int(seed),
            "level": "expected",
        },
    )


def probabilities(fit: xr.Dataset, customers: xr.Dataset, draws: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from customers' places to their probabilities of default, (place, draw)."""
    columns = json.loads(str(fit.attrs["columns"]))
    centre, scale = (np.array(json.loads(str(fit.attrs[name]))) for name in ("centre", "scale"))
    values = np.stack([_numbers(customers, name) for name in columns], axis=1) if columns else None
    coefficient = fit["coefficient"].transpose(DRAW, TERM).to_numpy()
    order = np.arange(draws)
    size = coefficient.shape[0]
    coefficient = coefficient[order * size // draws if size >= draws else order % size]

    def of(places: np.ndarray) -> np.ndarray:
        odds = np.broadcast_to(coefficient[:, 0], (places.size, draws))
        if values is not None:
            odds = odds + ((values[places] - centre) / scale) @ coefficient[:, 1:].T
        return _chance(odds)

    return of


def _chance(odds: np.ndarray) -> np.ndarray:
    found: np.ndarray = 0.5 * (1 + np.tanh(0.5 * odds))
    return found


def _numbers(customers: xr.Dataset, name: str) -> np.ndarray:
    values = column_values(customers, name)
    if values.dtype == object:
        raise InputError(
            f"The column {name!r} holds text, and a default goes by numbers. Make it one, or leave it out."
        )
    return values


def _counts(customers: xr.Dataset, unpaid: Any, orders: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return orders not paid and orders known of those of whom they are, and who they are (customer,)."""
    bad = _stated(customers, unpaid, "unpaid")
    count = np.where(np.isnan(bad), np.nan, 1.0) if orders is None else _stated(customers, orders, "orders")
    known = np.isfinite(bad) & np.isfinite(count) & (count > 0)
    bad, count = bad[known], count[known]
    if not known.any():
        raise InputError(
            "Of no customer it is known whether its orders were paid. State unpaid by customer id."
        )
    wrong = (bad < 0) | (bad > count)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        who = customers[CUSTOMER].to_numpy()[np.flatnonzero(known)[at]]
        raise InputError(
            f"unpaid must lie between 0 and the orders; of {int(wrong.sum()):,} of {bad.size:,} customers it does not, "
            f"such as {bad[at]:g} of {count[at]:g} of customer {str(who)!r}."
        )
    return bad, count, known


def _stated(customers: xr.Dataset, given: Any, name: str) -> np.ndarray:
    if isinstance(given, str):
        return _numbers(customers, given)
    if isinstance(given, Mapping) or hasattr(given, "items"):
        amounts = {str(key): float(each) for key, each in given.items()}
        return np.array([amounts.get(str(key), np.nan) for key in customers[CUSTOMER].to_numpy()])
    raise InputError(
        f"{name} must be the name of a column, or numbers by customer id; got {type(given).__name__}."
    )


def _design(
    customers: xr.Dataset, columns: list[str], known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return 1 and the standardised columns (customer, term) of those who are known, centres and scales."""
    values = [_numbers(customers, name)[known] for name in columns]
    centre = np.array([each.mean() for each in values])
    scale = np.array([2 * each.std() for each in values])
    alike = [name for name, spread in zip(columns, scale, strict=True) if not spread > 0]
    if alike:
        raise InputError(
            f"The column {alike[0]!r} is the same for all customers who are known. Leave it out."
        )
    terms = [(each - middle) / spread for each, middle, spread in zip(values, centre, scale, strict=True)]
    return np.stack([np.ones(int(known.sum())), *terms], axis=1), centre, scale


def _prior(size: int) -> tuple[np.ndarray, np.ndarray]:
    middle, spread = np.zeros(size), np.full(size, COEFFICIENT_SD)
    middle[0], spread[0] = INTERCEPT_PRIOR
    return middle, spread


def _log_density(positions: np.ndarray, design: np.ndarray, bad: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the log posterior density of coefficients (position, term), but for a constant."""
    middle, spread = _prior(design.shape[1])
    odds = positions @ design.T
    likelihood = odds @ bad - np.logaddexp(0.0, odds) @ count
    found: np.ndarray = likelihood - 0.5 * (((positions - middle) / spread) ** 2).sum(axis=1)
    return found


def _mode(design: np.ndarray, bad: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mode by Newton's method, whose density is concave, and the precision there."""
    middle, spread = _prior(design.shape[1])
    x = middle.copy()
    for _ in range(NEWTON_STEPS):
        chance = _chance(design @ x)
        slope = design.T @ (bad - count * chance) - (x - middle) / spread**2
        precision = (design.T * (count * chance * (1 - chance))) @ design + np.diag(1 / spread**2)
        step = np.linalg.solve(precision, slope)
        x = x + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    chance = _chance(design @ x)
    return x, (design.T * (count * chance * (1 - chance))) @ design + np.diag(1 / spread**2)
