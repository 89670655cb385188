"""What a customer is worth by hand: the families' functions at plain parameters, without a fit.

All times are in weeks, all money in dollars. Customers are rows of a DataFrame: ``frequency`` (repeat purchases),
``recency`` (age at the last one), ``T`` (age today) and ``mean_spend`` of the repeat purchases. Parameters are numbers,
or arrays of draws. Results are (customer, draw).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

import bayes_clv as clv

# CDNOW, 2,357 customers over 39 weeks. MBG/NBD: Batislam, Denizel & Filiztekin (2007), recomputed; Gamma-Gamma: Fader &
# Hardie (2013). Both by maximum likelihood, and checked by studies/published.py.
BUYING = {"r": 0.5248, "alpha": 6.183, "a": 0.8914, "b": 1.614}
SPENDING = {"p": 6.25, "q": 3.74, "v": 15.44}

# The same customers by BG/NBD, Fader, Hardie & Lee (2005).
BG_NBD = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}

FAMILY = clv.families.family("mbg_nbd")
FORECAST = clv.families.need(FAMILY, clv.families.Forecast)
MONEY = clv.families.need(clv.families.family("gamma_gamma"), clv.families.SpendLevel)

# A year watched. Anna buys often and little, Ben bought twice and much, Clara buys seldom and steadily.
THREE = pd.DataFrame(
    {"frequency": [8, 1, 3], "recency": [49, 10, 38], "T": 52, "mean_spend": [18.0, 240.0, 60.0]},
    index=["Anna", "Ben", "Clara"],
)
NEW = pd.DataFrame({"frequency": [0], "recency": [0], "T": [0], "mean_spend": [0.0]}, index=["somebody new"])


def with_(customers: pd.DataFrame, name: str, **values: float) -> pd.DataFrame:
    """Return the customers with other values of one of them."""
    changed = customers.astype(float)
    changed.loc[name, list(values)] = list(values.values())
    return changed


def silent_for(customers: pd.DataFrame, weeks: Any) -> pd.DataFrame:
    """Return the customers as they are seen so many weeks after their last purchase, if nothing else happens."""
    return customers.assign(T=customers["recency"] + weeks)


def alive(customers: pd.DataFrame, buying: Mapping[str, Any] = BUYING, family: str = "mbg_nbd") -> np.ndarray:
    """Return P(alive)."""
    forecast = clv.families.need(clv.families.family(family), clv.families.Forecast)
    return forecast.alive(_columns(customers), draws(buying))


def purchases(customers: pd.DataFrame, weeks: float, buying: Mapping[str, Any] = BUYING) -> np.ndarray:
    """Return the expected purchases of the next weeks."""
    return FORECAST.purchases(weeks, _columns(customers), draws(buying))


def chances(
    customers: pd.DataFrame, weeks: float, most: int, buying: Mapping[str, Any] = BUYING
) -> np.ndarray:
    """Return P(0, 1, ..., most purchases in the next weeks), (count, customer, draw)."""
    return FORECAST.pmf(np.arange(most + 1), weeks, _columns(customers), draws(buying))


def rates(customers: pd.DataFrame, seed: int, buying: Mapping[str, Any] = BUYING) -> tuple[np.ndarray, ...]:
    """Return a draw each of being alive, of the purchases a week and of the chance to leave at a purchase."""
    return FORECAST.latent_draws(np.random.default_rng(seed), _columns(customers), draws(buying))


def futures(
    customers: pd.DataFrame, weeks: float, seed: int, buying: Mapping[str, Any] = BUYING
) -> tuple[np.ndarray, ...]:
    """Return a future for each draw, as a class would draw it by hand: is she there, at which rate, what she buys.

    ``weeks`` at her rate would bring so many purchases; after each a coin says whether it was the last.
    """
    rng = np.random.default_rng(seed)
    alive, rate, leaving = rates(customers, seed, buying)
    would_buy = rng.poisson(rate * weeks)
    # A coin of less than 1e-12 is not tossed often enough to matter, and NumPy wants it above 0.
    until_the_last = rng.geometric(np.clip(leaving, 1e-12, 1))
    return alive, rate, np.where(alive == 1, np.minimum(would_buy, until_the_last), 0)


def spend(customers: pd.DataFrame, spending: Mapping[str, Any] = SPENDING) -> np.ndarray:
    """Return the expected spend of a purchase."""
    paid = {"occasions": _column(customers["frequency"]), "mean_spend": _column(customers["mean_spend"])}
    return MONEY.expected(paid, draws(spending))


def value(
    customers: pd.DataFrame,
    weeks: float,
    margin: float,
    buying: Mapping[str, Any] = BUYING,
    spending: Mapping[str, Any] = SPENDING,
) -> np.ndarray:
    """Return margin x expected purchases x expected spend of one, not discounted."""
    return margin * purchases(customers, weeks, buying) * spend(customers, spending)


def simulated(customers: int, weeks: float, seed: int, buying: Mapping[str, Any] = BUYING) -> pd.DataFrame:
    """Return new customers whom nobody has ever seen, each watched for so many weeks."""
    seen = FAMILY.simulate(
        np.random.default_rng(seed), {"T": np.full(customers, float(weeks))}, draws(buying)
    )
    return pd.DataFrame({**seen, "mean_spend": 0.0})


def draws(parameters: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the parameters as the families read them, (draw,)."""
    return {name: np.atleast_1d(np.asarray(value, dtype=float)) for name, value in parameters.items()}


def _columns(customers: pd.DataFrame) -> dict[str, np.ndarray]:
    return {name: _column(customers[name]) for name in ("frequency", "recency", "T")}


def _column(values: pd.Series) -> np.ndarray:
    return values.to_numpy(dtype=float)[:, None]
