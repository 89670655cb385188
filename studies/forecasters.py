"""Forecasts that are not the package's own, as functions of ``(customers, horizon, seed)`` for ``rolling_origins``.

A function of this file takes the base's name (a function of studies/bases.py) and of how many customers one is kept,
and returns the forecaster. It learns from the orders up to ``customers.attrs["until"]`` and reads nothing of the
holdout. ``gradient_boosting`` is machine learning on the same histories; ``lifetimes`` and ``pymc_marketing`` run in
environments of their own, which ``python -m studies.speed --prepare`` builds. To enter another model, write a function
here and name it in ``FORECASTERS``.
"""

import tempfile
from collections.abc import Callable
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayes_clv as clv
from studies import bases
from studies.speed import Runner

type Forecaster = Callable[[xr.Dataset, float, int], xr.Dataset]

ROOT = Path(__file__).parents[1]
DRAWS = 400
WEEK = 7
# Places of the conditional distributions that are learned; between them it is linear, beyond them flat.
PLACES = np.array([0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99])
SIZES: dict[str, Any] = {"max_iter": 60, "learning_rate": 0.1, "max_leaf_nodes": 6, "min_samples_leaf": 50}
# Days between the earlier origins that are learned from, and how many there are at most.
STEP, EARLIER = 28, 4


@cache
def orders_of(base: str, every: int = 1) -> pd.DataFrame:
    """Return a base's orders, of one in ``every`` of its customers."""
    orders: pd.DataFrame = getattr(bases, base)()
    if every == 1:
        return orders
    ids = np.sort(orders["customer_id"].unique())[::every]
    return orders[orders["customer_id"].isin(ids)].reset_index(drop=True)


def by_day(orders: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """Return one row a customer and day up to ``until``, in order."""
    known = orders[orders["date"] <= until]
    return known.groupby(["customer_id", "date"], as_index=False)["spend"].sum()


def features(days: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """Return what is known on a day of each customer, from the days with purchases up to it (weeks and money)."""
    known = days[days["date"] <= until]
    one = known.groupby("customer_id")
    first, last = one["date"].min(), one["date"].max()
    found = pd.DataFrame(
        {
            "frequency": one.size() - 1,
            "recency": (last - first).dt.days / WEEK,
            "T": (until - first).dt.days / WEEK,
            "silence": (until - last).dt.days / WEEK,
            "spend_mean": one["spend"].mean(),
            "spend_last": one["spend"].last(),
        }
    )
    found["rate"] = found["frequency"] / found["T"].clip(lower=1)
    found["gap"] = found["recency"] / found["frequency"].where(found["frequency"] > 0)
    found["silence_in_gaps"] = found["silence"] / found["gap"]
    for weeks in (4, 13, 26):
        late = known[known["date"] > until - pd.Timedelta(weeks=weeks)].groupby("customer_id")["spend"]
        found[f"purchases_{weeks}"] = late.size().reindex(found.index).fillna(0)
    return found


def examples(
    days: pd.DataFrame, until: pd.Timestamp, length: int
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return features at earlier origins, and the purchases and spend of the ``length`` days after each."""
    start, parts = days["date"].min(), []
    for k in range(EARLIER):
        origin = until - pd.Timedelta(days=length + k * STEP)
        if k > 0 and origin < start + pd.Timedelta(days=length):
            break
        after = days[(days["date"] > origin) & (days["date"] <= origin + pd.Timedelta(days=length))]
        then = after.groupby("customer_id")["spend"].agg(["size", "sum"])
        known = features(days, origin)
        parts.append(
            known.join(then.rename(columns={"size": "bought", "sum": "paid"})).fillna(
                {"bought": 0, "paid": 0}
            )
        )
    table = pd.concat(parts)
    return table.drop(columns=["bought", "paid"]), table["bought"].to_numpy(), table["paid"].to_numpy()


def _learned_places(known: pd.DataFrame, target: np.ndarray, now: pd.DataFrame, seed: int) -> np.ndarray:
    """Return the quantiles of the target at PLACES for each row of ``now``, in rising order (place, customer)."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    def one(place: float) -> np.ndarray:
        model = HistGradientBoostingRegressor(loss="quantile", quantile=place, random_state=seed, **SIZES)
        return np.asarray(model.fit(known, target).predict(now))

    return np.sort([one(place) for place in PLACES], axis=0)


def _at(places: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return the learned quantile functions at uniform numbers (draw, customer)."""
    return np.stack([np.interp(uniform[:, i], PLACES, places[:, i]) for i in range(places.shape[1])], axis=1)


def gradient_boosting(base: str, every: int = 1) -> Forecaster:
    """Return gradient boosting (scikit-learn) learned from what followed earlier origins of the calibration.

    A classifier says whether a customer buys at all, quantile regressions how often those who buy (counts spread by a
    uniform number, Machado & Santos Silva 2005) and what they pay a purchase (on the log scale). Customers are drawn
    independently, so that totals have no common error. A horizon longer than half of the calibration is cut into equal
    parts which all follow today's features.
    """

    def forecast(customers: xr.Dataset, horizon: float, seed: int) -> xr.Dataset:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        until = pd.Timestamp(customers.attrs["until"])
        days = by_day(orders_of(base, every), until)
        parts = ceil(2 * horizon * WEEK / (until - days["date"].min()).days)
        known, bought, paid = examples(days, until, round(horizon * WEEK / parts))
        now = features(days, until).loc[customers["customer"].to_numpy()]
        buyers = bought > 0
        rng = np.random.default_rng([seed, 1])
        spread = bought[buyers] + rng.random(int(buyers.sum()))
        money = np.log(np.maximum(paid[buyers] / bought[buyers], 0.01))
        # On tables this small further threads wait for one another.
        with threadpool_limits(1, user_api="openmp"):
            learned = HistGradientBoostingClassifier(random_state=seed, **SIZES).fit(known, buyers)
            active = learned.predict_proba(now)[:, 1]
            numbers = _learned_places(known[buyers], spread, now, seed)
            prices = _learned_places(known[buyers], money, now, seed)
        shape = DRAWS, len(now)
        purchases, spend = np.zeros(shape), np.zeros(shape)
        for _ in range(parts):
            count = np.maximum(np.floor(_at(numbers, rng.random(shape))), 1) * (rng.random(shape) < active)
            purchases += count
            spend += count * np.exp(_at(prices, rng.random(shape)))
        return clv.scoring.forecast(
            customers,
            horizon,
            purchases=purchases,
            active=1 - (1 - active) ** parts,
            spend=spend,
            label="gradient boosting",
        )

    return forecast


def _of_package(package: str, customers: xr.Dataset, horizon: float, **terms: Any) -> xr.Dataset:
    """Return the means that another package forecasts of these customers."""
    runner = Runner(ROOT / "out" / "speed")
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "customers.npz", Path(folder) / "forecast.npz"
        columns = ("frequency", "recency", "T", "monetary_value")
        np.savez(given, **{name: customers[name].to_numpy() for name in columns})
        arguments = {"customers": str(given), "horizon": horizon, "path": str(made)} | terms
        record = runner.script(package, "forecast", arguments, 900, 8_000)
        if "failed" in record:
            raise RuntimeError(f"{package}: {record['failed']}")
        means = dict(np.load(made))
    return clv.scoring.forecast(
        customers, horizon, purchases=means["purchases"], spend=means.get("spend"), label=package
    )


def lifetimes(base: str, every: int = 1) -> Forecaster:
    """Return BG/NBD and Gamma-Gamma of the lifetimes package, by maximum likelihood: a mean a customer."""
    return lambda customers, horizon, seed: _of_package("lifetimes", customers, horizon)


def pymc_marketing(base: str, every: int = 1) -> Forecaster:
    """Return BG/NBD and Gamma-Gamma of PyMC-Marketing, by nutpie: a mean a customer.

    It gives draws of a customer's expectation, which are no draws of the future: studies/cdnow_holdout.py has what
    their intervals hold.
    """
    return lambda customers, horizon, seed: _of_package(
        "PyMC-Marketing", customers, horizon, seed=seed, draws=500, tune=500
    )


FORECASTERS: dict[str, Callable[[str, int], Forecaster]] = {
    "gradient_boosting": gradient_boosting,
    "lifetimes": lifetimes,
    "pymc_marketing": pymc_marketing,
}
