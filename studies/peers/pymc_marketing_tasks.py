"""PyMC-Marketing, measured: run by studies.speed in an environment of its own (it needs arviz < 1)."""

import time
from importlib.metadata import version

import arviz as az
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
from measure import run, stopwatch, timed
from pymc_marketing.clv import BetaGeoModel, GammaGammaModel

PARAMETERS = ["r", "alpha", "a", "b"]
WEEKS_PER_MONTH = 4.345


def _customers(path, customers=None):
    """Return the table of customers, at most so many rows."""
    columns = np.load(path)
    names = ("frequency", "recency", "T", "monetary_value")
    table = pd.DataFrame({name: columns[name][:customers] for name in names})
    table["monetary_value"] = table["monetary_value"].fillna(0.0)
    table.insert(0, "customer_id", np.arange(len(table)))
    return table


def _posterior(path, names, draws):
    """Return the given draws as the InferenceData of a fit, 4 chains."""
    values = np.load(path)
    return az.from_dict(
        posterior={name: np.ascontiguousarray(values[name][:, : draws // 4]) for name in names}
    )


def _buying(customers, draws_path, draws):
    model = BetaGeoModel()
    model.build_model(data=customers)
    model.idata = _posterior(draws_path, PARAMETERS, draws)
    return model


def fit(customers, sampler, draws, tune):
    """BG/NBD by NUTS: effective draws, wall time of the sampling alone and of the whole."""
    table = _customers(customers).drop(columns="monetary_value")
    inside = {}
    stopwatch(nutpie, "sample", inside, "sampling")

    def work():
        return BetaGeoModel().fit(
            data=table,
            nuts_sampler=sampler,
            draws=draws,
            tune=tune,
            chains=4,
            cores=2,
            random_seed=1,
            progressbar=False,
        )

    idata, cost = timed(work)
    sampling = inside.get("sampling") or idata.posterior.attrs["sampling_time"]
    ess = az.ess(idata, var_names=PARAMETERS, method="bulk").to_array()
    rhat = az.rhat(idata, var_names=PARAMETERS).to_array()
    medians = {name: float(idata.posterior[name].median()) for name in PARAMETERS}
    return cost | {
        "sampling": float(sampling),
        "ess": float(ess.min()),
        "rhat": float(rhat.max()),
        "medians": medians,
    }


def expected(customers, draws_path, draws, horizon, size, repeats):
    """Expected purchases, or with horizon 0 the probability of being alive, for each draw."""
    table = _customers(customers, size)
    model = _buying(table, draws_path, draws)

    def work():
        if horizon == 0:
            return model.expected_probability_alive(data=table)
        return model.expected_purchases(data=table, future_t=horizon)

    result, cost = timed(work, repeats)
    return cost | {"total": float(result.mean(("chain", "draw")).sum())}


def value(customers, draws_path, draws, months, monthly_rate, size, repeats):
    """Discounted value over so many months."""
    table = _customers(customers, size)
    buying = _buying(table, draws_path, draws)
    spending = GammaGammaModel()
    spending.build_model(data=table[table["monetary_value"] > 0])
    spending.idata = _posterior(draws_path, ["p", "q", "v"], draws)

    def work():
        return spending.expected_customer_lifetime_value(
            transaction_model=buying, data=table, future_t=months, discount_rate=monthly_rate, time_unit="W"
        )

    result, cost = timed(work, repeats)
    return cost | {"total": float(result.mean(("chain", "draw")).sum())}


def outcome(customers, draws_path, draws, horizon, size):
    """Simulated purchases. There is no simulation of a known customer's future: these are new customers'."""
    table = _customers(customers, size)
    model = _buying(table, draws_path, draws)

    def work():
        return model.distribution_new_customer_recency_frequency(data=table, T=horizon, random_seed=1)

    result, cost = timed(work)
    return cost | {"mean": float(result.isel(obs_var=1).mean())}


def versions():
    """Return what was installed."""
    start = time.perf_counter()
    names = ("pymc-marketing", "pymc", "pytensor", "nutpie", "arviz", "numba", "numpy", "scipy", "pandas")
    assert pm.__version__ == version("pymc")
    return {"seconds": time.perf_counter() - start, "versions": {name: version(name) for name in names}}


if __name__ == "__main__":
    run({"fit": fit, "expected": expected, "value": value, "outcome": outcome, "versions": versions})
