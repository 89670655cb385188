"""Small hand-made stages, in the shapes of the real ones, so that views are tested without sampling."""

import json

import numpy as np
import pytest
import xarray as xr

from bayes_clv.families.registry import family as find_family
from bayes_clv.inference.posterior import described

CHAINS, DRAWS, CUSTOMERS = 2, 60, 120
PASSED = {"passed": True, "problems": [], "rhat_max": 1.002, "ess_bulk_min": 900.0, "divergences": 0}


def make_tree(
    family: str, diagnostics: dict | None = PASSED, draws: int = DRAWS, prior: bool = True
) -> xr.DataTree:
    rng = np.random.default_rng(4)
    centre = (
        {"r": 0.24, "alpha": 4.4, "a": 0.8, "b": 2.4}
        if family == "bg_nbd"
        else {"p": 6.2, "q": 3.7, "v": 15.4}
    )

    def group(chains: int, size: int, spread: float) -> xr.Dataset:
        ds = xr.Dataset(
            {
                n: (("chain", "draw"), c * np.exp(spread * rng.normal(size=(chains, size))))
                for n, c in centre.items()
            },
            coords={"chain": range(chains), "draw": range(size)},
        )
        if family == "bg_nbd":
            return ds.assign(
                population_purchase_rate=ds.r / ds.alpha, population_dropout=ds.a / (ds.a + ds.b)
            )
        return ds.assign(population_spend=ds.p * ds.v / (ds.q - 1).clip(0.1))

    groups = {"posterior": described(group(CHAINS, draws, 0.08), find_family(family), "week")}
    if prior:
        groups["prior"] = group(1, 80, 1.0)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "format": "bayes_clv posterior 1",
        "family": family,
        "method": "nuts",
        "time_unit": "week",
        "customers": CUSTOMERS,
        "priors": json.dumps({"r": ["LogNormal", {"mu": 0.0, "sigma": 1.5}]}),
        "seed": 7,
        "versions": json.dumps({"bayes_clv": "0.1.0"}),
    }
    if diagnostics is not None:
        tree.attrs["diagnostics"] = json.dumps(diagnostics)
    return tree


def make_customers(spend: bool = True) -> xr.Dataset:
    rng = np.random.default_rng(5)
    frequency = rng.poisson(1.2, CUSTOMERS)
    age = rng.uniform(27, 39, CUSTOMERS)
    columns = {
        "frequency": frequency,
        "recency": np.where(frequency > 0, age * rng.uniform(0.2, 0.9, CUSTOMERS), 0.0),
        "T": age,
        "holdout_purchases": rng.poisson(0.8, CUSTOMERS),
    }
    if spend:
        columns["monetary_value"] = np.where(frequency > 0, rng.gamma(6, 6, CUSTOMERS), np.nan)
    audit = [
        {"what": "Orders read.", "rows": 300, "example": "", "action": "read"},
        {"what": "Orders of <b>nobody</b> kept.", "rows": 300, "example": "", "action": "kept"},
    ]
    return xr.Dataset(
        {name: ("customer", values) for name, values in columns.items()},
        coords={"customer": ids()},
        attrs={
            "time_unit": "week",
            "until": "1997-09-30",
            "holdout_until": "1998-06-30",
            "holdout_duration": 39.0,
            "audit": json.dumps(audit),
        },
    )


def ids() -> np.ndarray:
    names = [f"C{i:04d}" for i in range(CUSTOMERS)]
    names[3] = "<script>alert('x')</script> & $5$"
    return np.array(names, dtype=object)


def make_value(spend: bool = True, keep: bool = False) -> xr.Dataset:
    rng = np.random.default_rng(6)
    rate = rng.gamma(0.5, 4, CUSTOMERS)
    rate[3] = 40.0  # the customer with the awkward name is the best one, so every view shows it
    purchases = rng.poisson(rate, (CHAINS, DRAWS, CUSTOMERS))
    kept = {"purchases": purchases.astype(float)}
    if spend:
        kept["value"] = np.where(purchases > 0, rng.gamma(6 * np.maximum(purchases, 1), 2.0), 0.0)
    per_customer = {
        "probability_alive": rng.uniform(0.1, 1, CUSTOMERS),
        "purchases_expected": rate,
        "probability_active": (purchases > 0).mean((0, 1)),
    }
    data: dict = {}
    for stem, draws in kept.items():
        flat = draws.reshape(-1, CUSTOMERS)
        per_customer[f"{stem}_mean"] = flat.mean(0)
        for q in (5, 25, 50, 75, 95):
            per_customer[f"{stem}_q{q:02d}"] = np.quantile(flat, q / 100, axis=0, method="inverted_cdf")
        data[f"{stem}_total"] = (("chain", "draw"), draws.sum(-1))
        if keep:
            data[stem] = (("chain", "draw", "customer"), draws)
    data |= {name: ("customer", column) for name, column in per_customer.items()}
    return xr.Dataset(
        data,
        coords={"customer": ids(), "chain": range(CHAINS), "draw": range(DRAWS)},
        attrs={"result": "prediction", "time_unit": "week", "horizon": 52.0, "seed": 3, "reasons": []}
        | ({"margin": 0.3, "annual_discount_rate": 0.1} if spend else {}),
    )


def make_evaluation(total_covered: bool = True) -> xr.Dataset:
    """Return the evaluation of a model alone; its 50 and 90 % intervals, as without its posterior."""
    observed = 100 if total_covered else 140
    nan, share = np.nan, np.linspace(0, 1, 11)
    one = {
        "mae": 0.7, "rmse": 1.1, "crps": 0.5, "concordance": 0.8, "total_error": 98 / observed - 1,
        "total_mean": 98.0, "total_q05": 80.0, "total_q95": 120.0, "total_covered": float(total_covered),
        "total_rank": 0.5, "pit_mean": 0.5, "unreached": 0.0,
    }  # fmt: skip
    by_frequency = {"covered": [0.957, 0.95, 1.0], "promised": [0.96, 0.96, 0.96]}
    return xr.Dataset(
        {name: ("forecast", [value]) for name, value in one.items()}
        | {
            f"{name}_by_frequency": (
                ("forecast", "frequency", "interval"), [[[0.8, nan, ninety, nan] for ninety in values]]
            )
            for name, values in by_frequency.items()
        }
        | {
            "covered": (("forecast", "interval"), [[0.8, nan, 0.958, nan]]),
            "promised": (("forecast", "interval"), [[0.81, nan, 0.96, nan]]),
            # Of 120 independent customers.
            "covered_se": (("forecast", "interval"), [[0.0358, nan, 0.0179, nan]]),
            "captured": (("forecast", "share"), [share**0.5]),
            "captured_best": ("share", share**0.2),
            "pit_histogram": (("forecast", "bin"), [[0.08, 0.12] * 5]),
            "predicted_by_frequency": (("forecast", "frequency"), [[0.4, 0.4, 0.4]]),
            "customers_by_frequency": ("frequency", [70, 40, 10]),
            "observed_by_frequency": ("frequency", [0.5, 0.5, 0.5]),
            "total_observed": ((), observed),
        },
        coords={
            "forecast": np.array(["model"], dtype=object),
            "kind": ("forecast", np.array(["model"], dtype=object)),
            "note": ("forecast", np.array([""], dtype=object)),
            "frequency": np.array(["0", "1", "7+"], dtype=object),
            "interval": [50, 80, 90, 95],
            "share": share,
        },
        attrs={"result": "evaluation", "customers": CUSTOMERS, "horizon": 39.0, "time_unit": "week", "reasons": []},
    )  # fmt: skip


def make_tracking() -> xr.Dataset:
    rng = np.random.default_rng(8)
    return xr.Dataset(
        {
            "purchases": (("chain", "draw", "period"), rng.poisson(20, (CHAINS, DRAWS, 10))),
            "observed": ("period", rng.poisson(20, 10)),
            "period_start": (
                "period",
                np.datetime64("1997-01-01", "s") + 7 * np.arange(10) * np.timedelta64(1, "D"),
            ),
        },
        coords={"period": range(10)},
        attrs={
            "calibration_periods": 6,
            "period_days": 7,
            "until": "1997-02-11",
            "holdout_until": "1997-03-11",
        },
    )


def make_segments(
    customers: int = CUSTOMERS, names: tuple[str, ...] = ("gold", "stream", "rest")
) -> xr.Dataset:
    """Memberships as shares of draws; sizes and totals that follow from the same draws."""
    rng = np.random.default_rng(9)
    chances = rng.dirichlet(np.full(len(names), 0.6), customers)
    drawn = np.array([rng.choice(len(names), DRAWS, p=row) for row in chances])
    value = rng.gamma(1.0, 30.0, drawn.shape)
    inside = drawn[:, :, None] == np.arange(len(names))
    membership = inside.mean(axis=1).astype(np.float32)
    best = membership.argmax(axis=1)
    highest = membership.max(axis=1)
    data: dict = {
        "membership": (("customer", "segment"), membership),
        "most_likely": ("customer", np.array(names, dtype=object)[best]),
        "most_likely_probability": ("customer", highest),
        "unsure": ("customer", highest < 0.8),
    }
    sums = {"size": inside.sum(axis=0), "value_total": (inside * value[:, :, None]).sum(axis=0)}
    for name, each in sums.items():
        data[name] = (("draw", "segment"), each)
        data[f"{name}_mean"] = ("segment", each.mean(axis=0))
        for q in (5, 95):
            data[f"{name}_q{q:02d}"] = ("segment", np.quantile(each, q / 100, axis=0, method="inverted_cdf"))
    labels = (
        ids() if customers == CUSTOMERS else np.array([f"C{i:04d}" for i in range(customers)], dtype=object)
    )
    return xr.Dataset(
        data,
        coords={"customer": labels, "segment": np.array(names, dtype=object), "draw": range(DRAWS)},
        attrs={"result": "segments", "rule": "Kinds <of>", "sure": 0.8, "draws": DRAWS, "time_unit": "week"},
    )


def make_alarms(dates: bool = True, risk: bool = True) -> xr.Dataset:
    """Every tenth customer has no alarm; the others' lie before and after the end of observation, 1997-09-30."""
    rng = np.random.default_rng(10)
    silence = np.ceil(rng.uniform(1, 30, CUSTOMERS) * 7) / 7
    alarm = np.where(np.arange(CUSTOMERS) % 10 == 0, np.inf, rng.uniform(2, 40, CUSTOMERS))
    found = xr.Dataset(
        {
            "silence": ("customer", silence),
            "probability_alive": ("customer", rng.uniform(0.1, 1, CUSTOMERS)),
            "alarm_silence": ("customer", alarm),
            "alarm_in": ("customer", alarm - silence),
            "alarmed": ("customer", alarm <= silence),
        },
        coords={"customer": ids()},
        attrs={"result": "alarms", "time_unit": "week", "threshold": 0.5, "level": "expected"},
    )
    if dates:
        days = np.ceil(np.where(np.isfinite(alarm), alarm - silence, 0) * 7 - 1e-6).astype("timedelta64[D]")
        date = np.where(np.isfinite(alarm), np.datetime64("1997-09-30") + days, np.datetime64("NaT", "D"))
        found["alarm_date"] = ("customer", date.astype("datetime64[s]"))
    if risk:
        found["value_at_risk"] = ("customer", rng.gamma(1.0, 20.0, CUSTOMERS))
    return found


@pytest.fixture(autouse=True)
def no_figure_left_open():
    yield
    from matplotlib import pyplot as plt

    plt.close("all")


@pytest.fixture(scope="session")
def buying() -> xr.DataTree:
    return make_tree("bg_nbd")


@pytest.fixture(scope="session")
def spending() -> xr.DataTree:
    return make_tree("gamma_gamma")


@pytest.fixture(scope="session")
def customers() -> xr.Dataset:
    return make_customers()


@pytest.fixture(scope="session")
def make():
    """The makers, for tests that need a stage with something wrong in it."""
    from types import SimpleNamespace

    return SimpleNamespace(
        tree=make_tree,
        customers=make_customers,
        value=make_value,
        evaluation=make_evaluation,
        tracking=make_tracking,
        segments=make_segments,
        alarms=make_alarms,
        passed=PASSED,
    )


@pytest.fixture(scope="session")
def full(make, buying, spending, customers, tmp_path_factory):
    """Return a report with all that it can hold: its path, its text, and the folder of its figures."""
    from bayes_clv.views import report

    folder = tmp_path_factory.mktemp("report")
    path = report(
        folder / "new" / "report.html",
        buying=buying,
        spending=spending,
        customers=customers,
        value=make.value(),
        evaluation=make.evaluation(total_covered=False),
        tracking=make.tracking(),
        history={"<i>0001</i>": ["1997-01-01", "1997-02-03"]},
        segments=make.segments(),
        alarms=make.alarms(),
        figures=folder / "figures",
        title="A <title> & more",
        run={"command": "bayes-clv <run>", "arguments": '{"horizon": "52 weeks", "family": null}'},
    )
    return path, path.read_text(encoding="utf-8"), folder / "figures"
