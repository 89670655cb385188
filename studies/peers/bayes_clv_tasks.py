"""bayes_clv, measured: run by studies.speed in this project's environment, one process a measurement.

Every call into the package is in the first part; the tasks below time them.
"""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from measure import run, stopwatch, timed

PARAMETERS = ("r", "alpha", "a", "b")
QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
BUYING = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
SPENDING = {"p": 6.25, "q": 3.74, "v": 15.44}
# Relative spread of the hand-made draws, about that of CDNOW's posterior.
SPREAD = 0.05
# PyMC-Marketing's month.
WEEKS_PER_MONTH = 4.345


def summary(orders):
    """Return CDNOW's customers (None: the sample; else an order log) as columns by name."""
    import bayes_clv as clv

    known = clv.summarize(clv.load_cdnow() if orders is None else orders, until="1997-09-30")
    return {name: known[name].to_numpy() for name in ("frequency", "recency", "T", "monetary_value")}


def customers_of(table):
    """Return customers given as frequency, recency, T and mean spend, in weeks."""
    import bayes_clv as clv

    return clv.customers.from_table(table, time_unit="week")


def fitted(customers, seed, **how):
    """Return BG/NBD's posterior and its checks: Pareto k with its threshold, effective draws."""
    import bayes_clv as clv

    posterior = clv.fit("bg_nbd", customers, seed=seed, progress=False, **how)
    return posterior, clv.diagnostics


def watch_fit(inside):
    """Time NUTS's sampling, and the compiling of the other methods, whose rest then counts as sampling."""
    import nutpie

    import bayes_clv.inference.graph  # noqa: F401
    from bayes_clv.inference.sampling import laplace

    stopwatch(nutpie, "sample", inside, "sampling")
    stopwatch(laplace, "compiled", inside, "compiling")


def purchases(buying, customers, horizon):
    """Return expected purchases of each draw."""
    import bayes_clv as clv

    return clv.expected.purchases(buying, customers, horizon)


def alive(buying, customers):
    """Return P(alive) of each draw."""
    import bayes_clv as clv

    return clv.expected.alive(buying, customers)


def expected_value(buying, spending, customers, horizon, annual_discount_rate, *, kept):
    """Return expected discounted value: the mean streamed, or of each draw."""
    import bayes_clv as clv

    terms = {"horizon": horizon, "annual_discount_rate": annual_discount_rate}
    return clv.expected.value(buying, spending, customers, keep_draws=kept, **terms)["value_expected"]


def outcomes(buying, spending, customers, horizon, annual_discount_rate, threads=None):
    """Return the summary of simulated purchases, spend and discounted value."""
    import bayes_clv as clv

    terms = {"horizon": horizon, "annual_discount_rate": annual_discount_rate, "threads": threads}
    return clv.predict(buying, customers, spending=spending, seed=1, **terms)


def bare_stream():
    """Return the engine's hash, its step and its uniform number."""
    from bayes_clv.distributions.streams import GOLDEN, mix, unit

    return GOLDEN, mix, unit


# The tasks.


def simulated(rng, age):
    """Return BG/NBD customers of these ages, who spend by Gamma-Gamma: frequency, recency, mean spend."""
    size = age.size
    rate = rng.gamma(BUYING["r"], 1 / BUYING["alpha"], size)
    dropout = rng.beta(BUYING["a"], BUYING["b"], size)
    frequency, recency, active = np.zeros(size), np.zeros(size), np.arange(size)
    while active.size:
        # Rates of exactly zero wait for ever.
        with np.errstate(divide="ignore", invalid="ignore"):
            next_purchase = recency[active] + rng.standard_exponential(active.size) / rate[active]
        active, next_purchase = (x[next_purchase <= age[active]] for x in (active, next_purchase))
        frequency[active] += 1
        recency[active] = next_purchase
        active = active[rng.random(active.size) >= dropout[active]]
    bought = frequency > 0
    scale = rng.gamma(SPENDING["q"], 1 / SPENDING["v"], size)[bought]
    spend = np.full(size, np.nan)
    spend[bought] = rng.gamma(SPENDING["p"] * frequency[bought]) / (scale * frequency[bought])
    return frequency, recency, spend


def inputs(source, path, customers=0):
    """Write the customers that all packages are given: of CDNOW, of an order log, or simulated."""
    start = time.perf_counter()
    if source == "simulated":
        rng = np.random.default_rng(customers)
        # Acquired over 84 days, observed to day 273, as CDNOW's; purchases are dated by the day.
        age = (273 - rng.integers(0, 84, customers)) / 7
        frequency, recency, spend = simulated(rng, age)
        recency = np.where(frequency > 0, np.minimum(np.ceil(recency * 7) / 7, age), 0.0)
        columns = {"frequency": frequency, "recency": recency, "T": age, "monetary_value": np.round(spend, 2)}
    else:
        columns = summary(None if source == "sample" else source)
    np.savez(path, **columns)
    return {"seconds": time.perf_counter() - start, "customers": int(columns["T"].size)}


def write_orders(path, orders, customers):
    """Write an order log as Parquet: a customer's number, a moment within two years, an amount."""
    import duckdb

    start = time.perf_counter()
    # One thread, so that the seed says which orders.
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SELECT setseed(0.5)")
    moment = "timestamp '2023-01-01' + to_seconds(floor(random() * 63072000))"
    connection.execute(
        f"COPY (SELECT floor(random() * {customers})::bigint AS customer_id, {moment} AS date, "
        f"round(5 + random() * 95, 2) AS spend FROM range({orders})) TO '{path}' (FORMAT parquet)"
    )
    return {"seconds": time.perf_counter() - start}


def summarise(orders, also=()):
    """One row per customer of a Parquet file, after a small table that starts the engine."""
    import bayes_clv as clv

    clv.summarize(clv.load_cdnow().head(100), also=also)
    known, cost = timed(lambda: clv.summarize(orders, also=also))
    return cost | {"customers": known.sizes["customer"]}


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

    columns = np.load(path)
    return customers_of(pd.DataFrame({name: columns[name][:size] for name in columns.files}))


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


def fit(customers, method, **how):
    """BG/NBD: effective draws, wall time of the sampling alone and of the whole, quantiles."""
    import arviz as az

    known = _customers(customers)
    inside = {}
    # Heavy imports are no package's fit.
    watch_fit(inside)
    (posterior, diagnostics), cost = timed(lambda: fitted(known, 1, method=method, **how))
    values = posterior["posterior"].to_dataset()[list(PARAMETERS)]
    if method == "mode":
        return cost | {"medians": {name: float(values[name].mean()) for name in PARAMETERS}}
    checks = diagnostics(posterior)
    sampling = inside.get("sampling", cost["seconds"] - inside.get("compiling", 0.0))
    bulk = float(az.ess(values, method="bulk").to_array().min())
    total = values.sizes["chain"] * values.sizes["draw"]
    # Repeated importance draws look independent to the autocorrelation: Kish's size bounds them.
    kish = float(checks.get("effective_draws", np.inf))
    inflation = max(1.0, np.sqrt(total / kish))
    quantiles, errors = {}, {}
    for name in PARAMETERS:
        quantiles[name] = [float(values[name].quantile(q)) for q in QUANTILES]
        errors[name] = [
            float(az.mcse(values[[name]], method="quantile", prob=q)[name]) * float(inflation)
            for q in QUANTILES
        ]
    return cost | {
        "sampling": float(sampling),
        "ess": min(bulk, kish),
        "pareto_k": float(checks.get("pareto_k", np.nan)),
        "pareto_k_threshold": float(checks.get("pareto_k_threshold", np.nan)),
        "passed": bool(checks["passed"]),
        "medians": {name: quantiles[name][2] for name in PARAMETERS},
        "quantiles": quantiles,
        "errors": errors,
    }


def expected(customers, draws_path, draws, horizon, size):
    """Expected purchases, and P(alive), of each draw."""
    known = _customers(customers, size)
    buying, _ = _posteriors(draws_path, draws)
    few = known.isel(customer=slice(0, 20))
    purchases(buying, few, horizon), alive(buying, few)
    _, of_alive = timed(lambda: alive(buying, known), 3)
    result, cost = timed(lambda: purchases(buying, known, horizon), 3)
    return cost | {
        "alive_seconds": of_alive["seconds"],
        "total": float(result.mean(("chain", "draw")).sum()),
    }


def value(customers, draws_path, draws, months, monthly_rate, size, repeats, level):
    """Discounted value over so many months: expected (the mean streamed, or each draw kept) or simulated."""
    known = _customers(customers, size)
    buying, spending = _posteriors(draws_path, draws)
    terms = buying, spending

    def work(of):
        horizon, rate = months * WEEKS_PER_MONTH, (1 + monthly_rate) ** 12 - 1
        if level == "outcomes":
            return outcomes(*terms, of, horizon, rate)["value_mean"]
        return expected_value(*terms, of, horizon, rate, kept=level == "each draw kept")

    work(known.isel(customer=slice(0, 20)))
    result, cost = timed(lambda: work(known), repeats)
    return cost | {"total": float(result.sum() if result.ndim == 1 else result.mean(("chain", "draw")).sum())}


def outcome(customers, draws_path, draws, threads):
    """52 weeks of purchases, spend and discounted value of known customers, with a hash of all results."""
    known = _customers(customers)
    terms = _posteriors(draws_path, draws)
    outcomes(*terms, known.isel(customer=slice(0, 300)), "52 weeks", 0.10, threads)
    result, cost = timed(lambda: outcomes(*terms, known, "52 weeks", 0.10, threads))
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(map(str, result.data_vars)):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(result[name].to_numpy()).tobytes())
    return cost | {"hash": digest.hexdigest()}


def bound(customers, draws, threads):
    """The least a simulation can do: one hash and one comparison a customer × draw."""
    from numba import njit

    GOLDEN, mix, unit = bare_stream()

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


if __name__ == "__main__":
    tasks = (inputs, draws, write_orders, summarise, fit, expected, value, outcome, bound)
    run({task.__name__: task for task in tasks})
