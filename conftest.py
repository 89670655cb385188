"""What the examples in docstrings stand on: CDNOW, fitted quickly, and a folder to write to."""

import os

# PyTensor keeps the traceback of every variable that it makes: a third of the time of a fit of a few customers.
os.environ.setdefault("PYTENSOR_FLAGS", "traceback__limit=0")

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from _pytest.doctest import DoctestItem  # noqa: PLC2701

import bayes_clv as clv


@pytest.fixture(scope="session")
def example_road():
    """Return the names that examples use."""
    orders = clv.load_cdnow()
    customers = clv.summarize(orders, until="1997-09-30", holdout_until="1998-06-30")
    groups = ("prior", "prior_predictive", "log_prior", "log_likelihood")
    fits = {
        role: clv.fit(family, customers, method="laplace", draws=50, seed=1, include=(*groups, *more))
        for role, family, more in (
            ("buying", "bg_nbd", ("posterior_predictive",)),
            ("spending", "gamma_gamma", ()),
        )
    }
    value = clv.predict(fits["buying"], customers, "39 weeks", spending=fits["spending"], seed=1)
    future = clv.predict(fits["buying"], customers, "39 weeks", seed=1)
    evaluation = clv.evaluate(future, customers, buying=fits["buying"], draws=20)
    return {
        "clv": clv,
        "orders": orders,
        "customers": customers,
        **fits,
        "value": value,
        "future": future,
        "evaluation": evaluation,
    }


@pytest.fixture(scope="session")
def discrete_road():
    """Return the names of examples at opportunities and of contracts."""
    table = {"frequency": [0, 1, 4], "recency": [0, 2, 6], "opportunities": 6, "count": [70, 20, 30]}
    donors = clv.customers.from_opportunities(pd.DataFrame(table))
    contracts = clv.customers.from_survivors([1000, 869, 743, 653, 593, 551, 517, 491])
    return {
        "donors": donors,
        "contracts": contracts,
        "giving": clv.fit("bg_bb", donors, method="laplace", draws=50, seed=1),
        "renewing": clv.fit("shifted_beta_geometric", contracts, method="laplace", draws=50, seed=1),
    }


@pytest.fixture(scope="session")
def effects_road():
    """Return a fit with a covariate and groups, for the examples of both."""
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30").isel(customer=slice(0, 600))
    size = range(customers.sizes["customer"])
    table = pd.DataFrame(
        {"age": [20 + i % 41 for i in size], "channel": [("search", "shop", "social")[i % 3] for i in size]},
        index=customers["customer"].values,
    )
    by_channel = clv.fit(
        "bg_nbd",
        clv.with_columns(customers, table),
        covariates={"purchase": "age"},
        groups={"purchase": "channel"},
        method="laplace",
        draws=50,
        seed=1,
    )
    return {"by_channel": by_channel}


@pytest.fixture(scope="session")
def changing_road(example_road):
    """Return customers with their purchase times, and posteriors of drift and returns, for the examples of these."""
    known = {"r": 0.5, "alpha": 7.0, "a": 0.8, "b": 2.0}
    made = {
        "drifting": ("mbg_nbd_drift", known | {"kappa": 0.01}),
        "returning": ("mbg_nbd_returns", known | {"nu": 0.005, "w": 0.0}),
    }
    found = {}
    for name, (family, values) in made.items():
        draws = {each: (("chain", "draw"), np.full((1, 20), value)) for each, value in values.items()}
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset(draws)})
        tree.attrs = {"family": family, "time_unit": "week", "seed": 1, "diagnostics": "{}"}
        found[name] = tree
    some = clv.summarize(example_road["orders"], until="1997-09-30", also=("purchase_times",))
    return found | {"customers": some.isel(customer=slice(100))}


@pytest.fixture(scope="session")
def target_road():
    """Return the names of examples of an experiment and the response to it."""
    rng = np.random.default_rng(5)
    arm, place = rng.integers(0, 2, 2000), rng.integers(0, 4, 2000)
    bought = rng.random(2000) < 0.1 + 0.05 * arm * (place % 2)
    table = pd.DataFrame(
        {
            "customer_id": [f"c{i:04d}" for i in range(2000)],
            "treated": arm,
            "outcome": np.where(bought, rng.gamma(2.0, 20.0, 2000).round(2), 0.0),
            "segment": np.array(["new", "loyal", "asleep", "lost"])[place],
        }
    )
    experiment = clv.customers.from_experiment(table, segment="segment")
    response = clv.targeting.fit_response(experiment, method="laplace", draws=250, seed=1)
    uplift = clv.targeting.predict_uplift(response, experiment)
    return {
        "experiment": experiment,
        "response": response,
        "decision": clv.target(uplift, cost=1.5, margin=0.3),
        "fit_response": clv.targeting.fit_response,
        "predict_uplift": clv.targeting.predict_uplift,
        "target": clv.target,
    }


@pytest.fixture(autouse=True)
def _examples(request, doctest_namespace, tmp_path, monkeypatch):
    if isinstance(request.node, DoctestItem):
        monkeypatch.chdir(tmp_path)
        words = " ".join(example.source for example in request.node.dtest.examples)
        if any(
            name in words for name in ("buying", "customers", "evaluation", "orders", "spending", "value")
        ):
            doctest_namespace.update(request.getfixturevalue("example_road"))
        if any(name in words for name in ("response", "experiment", "decision")):
            doctest_namespace.update(request.getfixturevalue("target_road"))
        if any(name in words for name in ("giving", "renewing")):
            doctest_namespace.update(request.getfixturevalue("discrete_road"))
        if any(name in words for name in ("drifting", "returning")):
            doctest_namespace.update(request.getfixturevalue("changing_road"))
        if "by_channel" in words:
            doctest_namespace.update(request.getfixturevalue("effects_road"))
