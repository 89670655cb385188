"""PyMC-Marketing, measured: run by studies.speed in an environment of its own."""

import time

import arviz as az
import numpy as np
import nutpie
import pandas as pd
from measure import run, stopwatch, timed
from pymc_marketing.clv import BetaGeoModel, GammaGammaModel, rfm_summary

PARAMETERS = ["r", "alpha", "a", "b"]


def _customers(path, customers=None):
    """Return the table of customers, at most so many rows."""
    columns = np.load(path)
    names = ("frequency", "recency", "T", "monetary_value")
    table = pd.DataFrame({name: columns[name][:customers] for name in names})
    table["monetary_value"] = table["monetary_value"].fillna(0.0)
    table.insert(0, "customer_id", np.arange(len(table)))
    return table


def _posterior(path, names, draws):
    """Return the given draws as a fit's, 4 chains."""
    values = np.load(path)
    return az.from_dict(
        {"posterior": {name: np.ascontiguousarray(values[name][:, : draws // 4]) for name in names}}
    )


def _buying(customers, draws_path, draws):
    model = BetaGeoModel()
    model.build_model(data=customers)
    model.idata = _posterior(draws_path, PARAMETERS, draws)
    return model


def fit(customers, draws, tune):
    """BG/NBD by nutpie: effective draws, wall time of the sampling alone and of the whole."""
    table = _customers(customers).drop(columns="monetary_value")
    inside = {}
    stopwatch(nutpie, "sample", inside, "sampling")
    terms = {"nuts_sampler": "nutpie", "draws": draws, "tune": tune, "chains": 4, "cores": 2}

    def work():
        return BetaGeoModel().fit(data=table, random_seed=1, progressbar=False, **terms)

    found, cost = timed(work)
    posterior = found["posterior"].to_dataset()[PARAMETERS]
    return cost | {
        "sampling": float(inside["sampling"]),
        "ess": float(az.ess(posterior, method="bulk").to_array().min()),
        "rhat": float(az.rhat(posterior).to_array().max()),
        "medians": {name: float(posterior[name].median()) for name in PARAMETERS},
    }


def expected(customers, draws_path, draws, horizon, size):
    """Expected purchases, and P(alive), of each draw."""
    table = _customers(customers, size)
    model = _buying(table, draws_path, draws)
    few = table.head(20)
    model.expected_purchases(data=few, future_t=horizon), model.expected_probability_alive(data=few)
    _, of_alive = timed(lambda: model.expected_probability_alive(data=table), 3)
    result, cost = timed(lambda: model.expected_purchases(data=table, future_t=horizon), 3)
    return cost | {
        "alive_seconds": of_alive["seconds"],
        "total": float(result.mean(("chain", "draw")).sum()),
    }


def value(customers, draws_path, draws, months, monthly_rate, size):
    """Discounted value over so many months of each draw; beside it the time with the mean over draws."""
    table = _customers(customers, size)
    buying = _buying(table, draws_path, draws)
    spending = GammaGammaModel()
    spending.build_model(data=table[table["monetary_value"] > 0])
    spending.idata = _posterior(draws_path, ["p", "q", "v"], draws)
    terms = {"future_t": months, "discount_rate": monthly_rate, "time_unit": "W"}

    def work(of):
        return spending.expected_customer_lifetime_value(transaction_model=buying, data=of, **terms)

    work(table.head(20))
    kept, cost = timed(lambda: work(table))
    start = time.perf_counter()
    mean = kept.mean(("chain", "draw")).to_numpy()
    return cost | {
        "mean_seconds": cost["seconds"] + time.perf_counter() - start,
        "total": float(mean.sum()),
    }


def forecast(customers, horizon, path, seed, draws, tune):
    """Expected purchases and spend over the horizon, means over the posterior by nutpie, written to ``path``.

    It has draws of the expectation of a customer's future, not of the future itself.
    """
    table = _customers(customers)
    terms = {"nuts_sampler": "nutpie", "draws": draws, "tune": tune, "chains": 4, "cores": 2}
    terms |= {"random_seed": seed, "progressbar": False}
    buying = BetaGeoModel()
    _, cost = timed(lambda: buying.fit(data=table.drop(columns="monetary_value"), **terms))
    purchases = buying.expected_purchases(data=table, future_t=horizon)
    found = {"purchases": purchases.mean(("chain", "draw"))}
    paid = table[(table["frequency"] > 0) & (table["monetary_value"] > 0)]
    if len(paid):
        spending = GammaGammaModel()
        spending.fit(data=paid[["customer_id", "frequency", "monetary_value"]], **terms)
        each = spending.expected_customer_spend(data=table).transpose(*purchases.dims)
        found["spend"] = (purchases.to_numpy() * each.to_numpy()).mean(axis=(0, 1))
    np.savez(path, **{name: np.asarray(value, dtype=float) for name, value in found.items()})
    return cost


def outcome(customers, draws_path, draws, horizon, size):
    """Simulated purchases. There is no simulation of a known customer's future: these are new customers'."""
    table = _customers(customers, size)
    model = _buying(table, draws_path, draws)

    def work():
        return model.distribution_new_customer_recency_frequency(data=table, T=horizon, random_seed=1)

    result, cost = timed(work)
    return cost | {"mean": float(result.isel(obs_var=1).mean())}


def summarise(orders):
    """One row per customer of a Parquet file."""
    columns = {"customer_id_col": "customer_id", "datetime_col": "date", "monetary_value_col": "spend"}
    found, cost = timed(lambda: rfm_summary(pd.read_parquet(orders), time_unit="W", **columns))
    return cost | {"customers": len(found)}


if __name__ == "__main__":
    run({task.__name__: task for task in (fit, expected, forecast, value, outcome, summarise)})
