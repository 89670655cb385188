"""Write frozen.npz: inputs, and every closed form and likelihood of them, as this version gives them.

Run once, with the version to compare with (commit 492f47e), in its folder:
``uv run python PATH/tests/reference/make_frozen.py``. The functions are those of
``tests/test_frozen.py`` as it was with this file's first version, written for the modules of that commit.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

# frequency, recency, T; the sum of the logarithms of the times between purchases, less that of even ones, a purchase.
HISTORIES = (
    (0, 0.0, 0.0, 0.0),  # a new customer
    (0, 0.0, 0.001, 0.0),
    (0, 0.0, 39.0, 0.0),
    (0, 0.0, 520.0, 0.0),
    (1, 0.5, 38.0, 0.0),  # gone, by all appearance
    (1, 38.0, 39.0, 0.0),
    (2, 30.43, 38.86, -0.2),
    (4, 3.0, 104.0, -0.4),
    (8, 39.0, 39.0, -0.01),  # bought just now, like clockwork
    (29, 38.86, 38.86, -0.6),
    (60, 20.0, 104.0, -0.1),
    (500, 103.9, 104.0, -0.3),
    (1000, 39.0, 39.0, -0.5),
)
# Without the histories whose integrals take long.
FEWER = (0, 2, 3, 4, 6, 8, 9, 10)
OPPORTUNITIES = (
    (0, 0, 0),
    (0, 0, 1),
    (0, 0, 6),
    (0, 0, 200),
    (1, 1, 6),
    (1, 6, 6),
    (4, 5, 6),
    (6, 6, 6),
    (12, 12, 60),
    (90, 99, 100),
    (300, 500, 1000),
    (1000, 1000, 1000),
)
CONTRACTS = (
    (0, 1),
    (0, 0),
    (1, 1),
    (1, 0),
    (4, 1),
    (7, 1),
    (7, 0),
    (40, 1),
    (40, 0),
    (500, 1),
    (5000, 1),
    (5000, 0),
)
SPEND = (
    (0, np.nan),
    (1, 0.01),
    (1, 35.0),
    (1, 1e5),
    (2, 22.35),
    (3, 80.0),
    (7, 12.5),
    (29, 31.0),
    (120, 9.99),
    (1000, 50.0),
    (50_000, 20.0),
    (2, 1e-6),
)

PURCHASE_GRID = {
    "t": (0.0, 1e-6, 1.0, 39.0, 520.0, 10_000.0),
    "count": (0, 1, 2, 5, 40),
    "horizon": (39.0, 2000.0),
}
RATES = (0.0, 0.0018, 0.05)
BETA = {"a": (0.7929, 1.0, 30.0), "b": (2.4259, 0.01, 200.0)}
CNBD = {"r": (0.7, 3.0, 0.8054), "alpha": (6.0, 50.0, 28.133), **BETA}
# The families that have them: ordinary, at a singularity of the papers' formulas, and large.
CASES: dict[str, dict[str, tuple[float, ...]]] = {
    "bg_nbd": {"r": (0.2426, 3.0, 0.8054), "alpha": (4.4136, 50.0, 28.133), **BETA},
    "mbg_nbd": {"r": (0.525, 3.0, 0.8054), "alpha": (6.183, 50.0, 28.133), **BETA},
    "bg_cnbd_k@1": CNBD | {"k": (1.0, 1.0, 1.0)},
    "bg_cnbd_k@3": CNBD | {"k": (3.0, 3.0, 3.0)},
    "mbg_cnbd_k@2": CNBD | {"k": (2.0, 2.0, 2.0)},
    "mbg_cnbd_k@7": CNBD | {"k": (7.0, 7.0, 7.0)},
    "nbd": {"r": (0.385, 3.0, 200.0), "alpha": (12.07, 50.0, 0.01)},
    "pareto_nbd": {
        "r": (0.5533, 3.0, 50.0),
        "alpha": (10.578, 50.0, 28.133),
        "s": (0.6061, 1.0, 12.0),
        "beta": (11.669, 0.5, 500.0),
    },
    "pareto_abe": {
        "population_purchase_rate": (0.05, 0.5, 0.01),
        "log_rate_sd": (1.2, 0.5, 2.0),
        "population_dropout_rate": (0.02, 0.005, 0.1),
        "log_dropout_sd": (0.6, 1.5, 0.3),
        "concordance": (0.5, 0.8, 0.3),
    },
    "pareto_ggg": {
        "regularity_shape": (60.0, 2.0, 5.0),
        "regularity_rate": (12.0, 1.5, 1.0),
        "r": (1.5, 0.5, 3.0),
        "alpha": (6.0, 10.0, 50.0),
        "s": (0.6, 1.0, 2.0),
        "beta": (12.0, 11.0, 40.0),
    },
    "gamma_gamma": {"p": (6.25, 1.0, 0.5), "q": (3.74, 1.2, 0.8), "v": (15.44, 30.0, 1000.0)},
    "lognormal_spend": {"m": (26.0, 30.0, 1.0), "tau": (0.6, 0.05, 2.0), "sigma": (0.5, 1.5, 0.1)},
    "bg_bb": {
        "alpha": (1.204, 0.5, 3.0),
        "beta": (0.750, 1.0, 20.0),
        "gamma": (0.657, 1.0, 4.0),
        "delta": (2.783, 0.01, 100.0),
    },
    "shifted_beta_geometric": {"alpha": (0.668, 1.0, 20.0), "beta": (3.806, 0.01, 300.0)},
    "beta_discrete_weibull": {"alpha": (0.214, 1.0, 0.5), "beta": (1.427, 0.5, 30.0), "c": (1.724, 0.4, 3.0)},
}
DENSITIES = {
    "bg_nbd": {
        "population_purchase_rate": (0.055, 0.01, 2.0),
        "r": (0.2426, 1.0, 30.0),
        "population_dropout": (0.246, 0.5, 0.01),
        "dropout_concentration": (3.22, 0.1, 500.0),
    },
    "gamma_gamma": {
        "population_spend": (35.2, 10.0, 500.0),
        "p": (6.25, 1.0, 40.0),
        "q_above_one": (2.74, 0.05, 30.0),
    },
}


def columns(test, name):
    """Return the rows by column."""
    observed = test._module(name).OBSERVED
    if observed[0] == "renewals":
        return dict(zip(observed, np.array(CONTRACTS, dtype=float).T, strict=True))
    if "opportunities" in observed:
        return dict(zip(observed, np.array(OPPORTUNITIES, dtype=float).T, strict=True))
    if "monetary_value" in observed:
        return dict(zip(observed, np.array(SPEND, dtype=float).T, strict=True))
    if "log_spend_mean" in observed:
        frequency, spend = np.array(SPEND, dtype=float).T
        within = np.where(frequency > 1, 0.1 + 0.05 * np.arange(frequency.size), 0.0)
        return dict(zip(observed, (frequency, np.log(spend), within), strict=True))
    x, t_x, T, uneven = np.array(HISTORIES).T
    if name == "pareto_ggg":
        x, t_x, T, uneven = np.array(HISTORIES)[list(FEWER)].T
    even = np.log(np.where(x > 0, t_x, 1.0) / np.maximum(x, 1.0))
    every = {"frequency": x, "recency": t_x, "T": T, "log_intervals": x * (even + uneven)}
    return {key: every[key] for key in observed}


def grid(name, kind):
    """Return times, counts, rates and horizons, by what they are."""
    if kind == "spend":
        return {}
    if kind == "contracts":
        return {
            "t": (0.0, 1.0, 12.0, 500.0),
            "period": (*range(1, 13), 100, 10_000),
            "count": (0, 1, 5, 12),
            "rate": (0.0, 0.01, 0.1),
            "horizon": (5.0, 40.0),
        }
    if kind == "opportunities":
        return {
            "t": (0.0, 1.0, 10.0, 1000.0),
            "count": (0, 1, 4, 10),
            "rate": (0.0, 0.01, 0.1),
            "horizon": (5.0, 40.0),
        }
    if name == "pareto_ggg":
        return {"t": (0.0, 1.0, 39.0, 520.0), "count": (0, 1, 3), "horizon": (39.0,), "rate": (0.0, 0.0018)}
    if "cnbd" in name:
        return PURCHASE_GRID | {"t": (0.0, 1e-6, 1.0, 39.0, 520.0), "horizon": (39.0, 260.0), "rate": RATES}
    return PURCHASE_GRID | {"rate": RATES}


def main():
    """Compute and write."""
    # The tests read their cases on import.
    if not (HERE / "frozen.npz").exists():
        np.savez_compressed(HERE / "frozen.npz", about=np.array("{}"))
    spec = importlib.util.spec_from_file_location("test_frozen", HERE.parent / "test_frozen.py")
    test = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(test)
    from bayes_clv.families.quantities import starting_point

    found = {"about": np.array(json.dumps(test.fingerprint()))}

    def put(case, part, values):
        for key, value in values.items():
            found[f"{case}/{part}/{key}"] = np.asarray(value)

    for case, values in CASES.items():
        name = case.split("@")[0]
        module = test._module(name)
        rows = columns(test, name)
        params = {key: np.array(value) for key, value in values.items()}
        points = {key: np.array(value, dtype=float) for key, value in grid(name, module.KIND).items()}
        start = starting_point(module.QUANTITIES, 1.0)
        factor = np.array([0.7, 1.0, 1.6])
        quantities = {
            key: np.round(start[key] * factor, 2) if module.QUANTITIES[key].whole else start[key] * factor
            for key in module.QUANTITIES
        }
        put(case, "column", rows)
        put(case, "parameter", params)
        put(case, "grid", points)
        put(case, "quantity", quantities)
        put(case, "closed_form", test.closed_forms(name, rows, params, points))
        put(case, "log_likelihood", {"each": test.log_likelihood(name, rows, params)})
        put(case, "from_quantities", test.from_quantities(name, quantities))
        put(case, "data_scale", {"each": test.data_scale(name, rows)})
        print(case, flush=True)
    for name, values in DENSITIES.items():
        case = f"{name}@cdnow"
        quantities = {key: np.array(value) for key, value in values.items()}
        put(case, "quantity", quantities)
        put(case, "density", test.joint_log_density(name, quantities))
    np.savez_compressed(HERE / "frozen.npz", **found)
    print(len(found), "arrays,", (HERE / "frozen.npz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
