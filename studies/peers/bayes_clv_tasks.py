"""bayes_clv, measured: run by studies.speed in this project's environment, one process a measurement."""

import functools
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
from measure import run, stopwatch, timed

from bayes_clv.predictions import tiles

PARAMETERS = ("r", "alpha", "a", "b")
QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
BUYING = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
SPENDING = {"p": 6.25, "q": 3.74, "v": 15.44}
# Relative spread of the hand-made draws, about that of CDNOW's posterior.
SPREAD = 0.05


def inputs(source, path, customers=0):
    """Write the customers that all packages are given: of CDNOW, of an order log, or simulated."""
    import bayes_clv as clv
    from bayes_clv.families.purchases import bg_nbd
    from bayes_clv.families.spend import gamma_gamma

    start = time.perf_counter()
    if source == "simulated":
        rng = np.random.default_rng(customers)
        # Acquired over 84 days, observed to day 273, as CDNOW's; purchases are dated by the day.
        age = (273 - rng.integers(0, 84, customers)) / 7
        frequency, recency = bg_nbd.simulate(rng, age, **BUYING)
        recency = np.where(frequency > 0, np.minimum(np.ceil(recency * 7) / 7, age), 0.0)
        spend = np.full(customers, np.nan)
        bought = frequency > 0
        spend[bought] = np.round(gamma_gamma.simulate(rng, frequency[bought], **SPENDING), 2)
        columns = {"frequency": frequency, "recency": recency, "T": age, "monetary_value": spend}
    else:
        orders = clv.load_cdnow() if source == "sample" else source
        known = clv.summarize(orders, until="1997-09-30")
        columns = {name: known[name].to_numpy() for name in ("frequency", "recency", "T", "monetary_value")}
    np.savez(path, **columns)
    return {"seconds": time.perf_counter() - start, "customers": int(columns["T"].size)}


def draws(path):
    """Write 4 × 1,000 draws around CDNOW's estimates, so that no measurement waits for a fit."""
    rng = np.random.default_rng(1)
    values = {
        name: value * np.exp(rng.normal(0, SPREAD, (4, 1000))) for name, value in (BUYING | SPENDING).items()
    }
    np.savez(path, **values)
    return {"seconds": 0.0}


def _customers(path, size=None):
    import pandas as pd

    import bayes_clv as clv

    columns = np.load(path)
    table = pd.DataFrame({name: columns[name][:size] for name in columns.files})
    return clv.customers_from_table(table, time_unit="week")


def _posteriors(path, count):
    import xarray as xr

    values = np.load(path)
    trees = []
    for family, names in (("bg_nbd", PARAMETERS), ("gamma_gamma", ("p", "q", "v"))):
        variables = {name: (("chain", "draw"), values[name][:, : count // 4]) for name in names}
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset(variables)})
        tree.attrs = {"family": family, "time_unit": "week"}
        trees.append(tree)
    return trees


def fit(customers, method, draws, tune):
    """BG/NBD: effective draws, wall time of the sampling alone and of the whole, quantiles."""
    import bayes_clv as clv

    known = _customers(customers)
    inside = {}

    def work():
        # Heavy imports are part of no package's fit here; they are measured on their own.
        return clv.fit("bg_nbd", known, method=method, draws=draws, tune=tune, seed=1, progress=False)

    import arviz as az
    import nutpie

    import bayes_clv.inference.graph
    from bayes_clv.inference.sampling import laplace as methods

    stopwatch(nutpie, "sample", inside, "sampling")
    stopwatch(methods, "_density", inside, "compiling")
    posterior, cost = timed(work)
    sampling = inside.get("sampling", cost["seconds"] - inside.get("compiling", 0.0))
    values = posterior["posterior"].to_dataset()[list(PARAMETERS)]
    checks = clv.diagnostics(posterior)
    bulk = float(az.ess(values, method="bulk").to_array().min())
    total = values.sizes["chain"] * values.sizes["draw"]
    # Repeated importance draws look independent to the autocorrelation: Kish's size bounds them.
    effective = min(bulk, float(checks.get("effective_draws", np.inf)))
    inflation = np.sqrt(total / checks["effective_draws"]) if "effective_draws" in checks else 1.0
    quantiles, errors = {}, {}
    for name in PARAMETERS:
        quantiles[name] = [float(values[name].quantile(q)) for q in QUANTILES]
        errors[name] = [
            float(az.mcse(values[[name]], method="quantile", prob=q)[name]) * float(inflation)
            for q in QUANTILES
        ]
    return cost | {
        "sampling": float(sampling),
        "ess": effective,
        "rhat": float(checks.get("rhat_max", np.nan)),
        "pareto_k": float(checks.get("pareto_k", np.nan)),
        "pareto_k_threshold": float(checks.get("pareto_k_threshold", np.nan)),
        "passed": bool(checks["passed"]),
        "medians": {name: quantiles[name][2] for name in PARAMETERS},
        "quantiles": quantiles,
        "errors": errors,
    }


def expected(customers, draws_path, draws, horizon, size, repeats, streamed):
    """Expected purchases, or with horizon 0 P(alive): for each draw, or the mean over draws, streamed."""
    import bayes_clv as clv
    from bayes_clv.predictions.histories import distinct_histories, purchase_history
    from bayes_clv.predictions.parameters import parameters
    from bayes_clv.predictions.tiles import mean_over_draws

    known = _customers(customers, size)
    buying, _ = _posteriors(draws_path, draws)

    def mean(of):
        posterior = parameters(buying, "buying")
        formulas = posterior.formulas

        def quantity(history, values):
            if horizon == 0:
                return (formulas.probability_alive(*history, **values),)
            return (formulas.expected_purchases(horizon, *history, **values),)

        histories = distinct_histories(purchase_history(of))
        return histories.spread(mean_over_draws(histories, posterior, quantity)[0], of_rows=True)

    def each_draw(of):
        if horizon == 0:
            return clv.probability_alive(buying, of)
        return clv.expected_purchases(buying, of, horizon)

    work = mean if streamed else each_draw
    work(known.isel(customer=slice(0, 20)))
    result, cost = timed(lambda: work(known), repeats)
    total = result.sum() if streamed else result.mean(("chain", "draw")).sum()
    return cost | {"total": float(total)}


def value(customers, draws_path, draws, months, monthly_rate, size, repeats, level):
    """Discounted value over so many months, closed form (mean, or each draw kept) or simulated."""
    import bayes_clv as clv
    from bayes_clv.valuation.expected import expected_value

    known = _customers(customers, size)
    buying, spending = _posteriors(draws_path, draws)
    # PyMC-Marketing's month is 4.345 weeks.
    terms = {"horizon": months * 4.345, "annual_discount_rate": (1 + monthly_rate) ** 12 - 1}

    def work(of):
        if level == "outcome":
            return clv.predict_value(buying, spending, of, seed=1, **terms)["value_mean"]
        kept = level == "expected, each draw"
        return expected_value(buying, spending, of, keep_draws=kept, **terms)["value_expected"]

    work(known.isel(customer=slice(0, 20)))
    result, cost = timed(lambda: work(known), repeats)
    return cost | {"total": float(result.sum() if result.ndim == 1 else result.mean(("chain", "draw")).sum())}


def outcome(customers, draws_path, draws, horizon, size, threads, tile=None):
    """Simulated purchases, spend and discounted value of known customers, with a hash of all results."""
    import bayes_clv as clv
    from bayes_clv.predictions import forecasts as future

    known = _customers(customers, size)
    buying, spending = _posteriors(draws_path, draws)
    inside = {}
    if tile is not None:
        future.simulate_futures = functools.partial(future.simulate_futures, tile=tile)
    terms = {"horizon": horizon, "annual_discount_rate": 0.10, "seed": 1, "threads": threads}
    clv.predict_value(buying, spending, known.isel(customer=slice(0, 300)), **terms)
    stopwatch(future, "simulate_futures", inside, "engine")
    result, cost = timed(lambda: clv.predict_value(buying, spending, known, **terms))
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(map(str, result.data_vars)):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(result[name].to_numpy()).tobytes())
    return cost | {
        "engine": inside["engine"],
        "hash": digest.hexdigest(),
        "total": float(result["value_total"].mean()),
    }


def parts(customers, draws_path, draws, horizon, part):
    """Where the engine's time goes, on one thread: its states alone, with purchases, with money, discounted."""
    import bayes_clv as clv
    from bayes_clv.predictions import engine
    from bayes_clv.predictions import forecasts as future
    from bayes_clv.predictions.histories import distinct_histories, purchase_history, spend_history
    from bayes_clv.predictions.parameters import parameters

    known = _customers(customers)
    buying, spending = _posteriors(draws_path, draws)
    terms = {"horizon": horizon, "seed": 1, "threads": 1}
    inside = {}
    if part == "states":
        columns = purchase_history(known) | spend_history(known, parameters(spending, "spending").formulas)
        keys = np.zeros((known.sizes["customer"], 2), dtype=np.uint64)
        plan = future.purchase_plan(
            parameters(buying, "buying"), distinct_histories(columns, keys), keys, 52.0
        )

        def work():
            # In the engine's own tiles, so that the states are computed as often and as large.
            for start in range(0, plan.row.size, tiles.BLOCK):
                row = plan.row[start : start + tiles.BLOCK]
                for low, high in engine._tiles(row, plan.draws, tiles.TILE):
                    plan.purchase_state(np.unique(row[low:high]))

        work()
        _, cost = timed(work)
        return cost
    some = known.isel(customer=slice(0, 300))
    if part == "purchases":
        work = functools.partial(clv.predict, buying)
    else:
        terms["annual_discount_rate"] = 0.10 if "discounted" in part else 0.0
        work = functools.partial(clv.predict_value, buying, spending)
    work(some, **terms)
    stopwatch(future, "simulate_futures", inside, "engine")
    _, cost = timed(lambda: work(known, **terms))
    return cost | {"seconds": inside["engine"]}


def bound(customers, draws, threads):
    """The least a simulation can do: one hash and one comparison a customer × draw; and a copy of memory."""
    from numba import njit

    from bayes_clv.distributions.streams import GOLDEN, mix, unit

    @njit(nogil=True)
    def bare(first, last, count):
        hits = 0
        for i in range(first, last):
            place = mix(np.uint64(i))
            for s in range(count):
                if unit(mix(place + np.uint64(s) * GOLDEN)) < 0.3:
                    hits += 1
        return hits

    bare(0, 2, 2)
    edges = np.linspace(0, customers, threads + 1).astype(int)

    def work():
        with ThreadPoolExecutor(threads) as executor:
            return sum(executor.map(lambda i: bare(edges[i], edges[i + 1], draws), range(threads)))

    hits, cost = timed(work, 3)
    return cost | {"share": hits / (customers * draws)}


def bandwidth(megabytes):
    """A NumPy copy: bytes read and written a second."""
    source = np.ones(int(megabytes * 1e6 / 8))
    target = np.empty_like(source)
    target[:] = source

    def work():
        target[:] = source

    _, cost = timed(work, 5)
    return cost | {"gigabytes_per_second": 2 * source.nbytes / cost["seconds"] / 1e9}


def versions():
    """Return what was installed."""
    names = ("bayes_clv", "pymc", "pytensor", "nutpie", "arviz", "numba", "numpy", "scipy", "pandas")
    return {"seconds": 0.0, "versions": {name: version(name) for name in names}}


if __name__ == "__main__":
    run(
        {
            "inputs": inputs,
            "draws": draws,
            "fit": fit,
            "expected": expected,
            "value": value,
            "outcome": outcome,
            "parts": parts,
            "bound": bound,
            "bandwidth": bandwidth,
            "versions": versions,
        }
    )
