"""Is inference calibrated: simulation-based calibration of every family, with NUTS and with laplace.

Question
    Draw parameters from the prior, simulate a base, fit it: does the truth rank among the posterior draws as any
    other draw would (Talts et al. 2018, arXiv:1804.06788)? It tests simulator, likelihood, priors and sampler
    against one another; an error in any of them bends the ranks.
Pass rule, stated before the run
    For each family and method, the ranks of every sampled quantity lie in the 95 % simultaneous band of the
    ECDF difference (Säilynoja, Bürkner & Vehtari 2022, as ArviZ computes it). The size suffices when the ranks of
    draws made 5 % too large leave the band for at least one quantity of the family.

The loop, the seeds and the ranks are simuk's; posterior draws come from this package's own methods on a model that
is compiled once, with the data of each simulation put in. A base has CUSTOMERS customers on a fixed design (ages, or
numbers of occasions); priors are the defaults on a fixed scale, since a scale taken from the simulated data would be
no prior. Of laplace every simulation counts, whatever its Pareto k; the share above the threshold is reported.

Run all with ``uv run python -m studies.calibration`` (hours), or ``--only bg_nbd --methods laplace
--simulations 100``. Ranks are kept in out/calibration as they come, and a second call goes on. It writes
studies/calibration_results.csv and figures/calibration.png.
"""

import argparse
import csv
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import simuk
import xarray as xr

from bayes_clv.distributions import FAMILIES
from bayes_clv.distributions import family as find_family
from bayes_clv.distributions.quantities import resolve, starting_point

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "out" / "calibration"
CUSTOMERS = 500
SIMULATIONS = {"laplace": 500, "nuts": 500}
# Posterior draws that the truth is ranked among. Of NUTS one in five is kept: neighbours are correlated.
RANKED, CHAINS, TUNE, THIN = 200, 4, 500, 5
BATCH = 100
BIAS = 1.05
BAND = 0.95
# What a default prior that is relative to the data counts from here: purchases a week, weeks, money.
SCALE = {
    "population_purchase_rate": 0.1,
    "population_lifetime": 52.0,
    "population_dropout_rate": 1 / 52,
    "population_spend": 30.0,
}

Columns = dict[str, np.ndarray]


def design(kind: str) -> Columns:
    """Return what is fixed of every customer, by the name of its column."""
    place = (np.arange(CUSTOMERS) + 0.5) / CUSTOMERS
    return {
        "purchases": {"T": 26 + 52 * place},
        # As frequencies are: most have one or two occasions, few have many.
        "spend": {"frequency": np.ceil(np.log(1 - place) / np.log(0.7))},
        "opportunities": {"opportunities": np.ceil(4 + 12 * place)},
        "contracts": {"periods": np.ceil(4 + 8 * place)},
    }[kind]


# A whole quantity is chosen once for a base and not sampled: calibration is at this one.
PHASES = 3


def whole(module: ModuleType) -> dict[str, float]:
    """Return the values at which the family's whole quantities are fixed."""
    return {name: float(PHASES) for name, quantity in module.QUANTITIES.items() if quantity.whole}


def simulated(module: ModuleType, rng: np.random.Generator, fixed: Columns, at: list[float]) -> Columns:
    """Return what the family observes of a base that it simulates at these parameters."""
    if "log_intervals" in module.OBSERVED:
        return timed(module, rng, fixed["T"], at)
    drawn = module.simulate(rng, *fixed.values(), *at)
    named = [name for name in module.OBSERVED if name not in fixed]
    found = dict(zip(named, drawn if isinstance(drawn, tuple) else (drawn,), strict=True))
    return {name: np.asarray((found | fixed)[name], dtype=float) for name in module.OBSERVED}


def timed(module: ModuleType, rng: np.random.Generator, T: np.ndarray, at: list[float]) -> Columns:
    """Return the histories of a family that observes the times between purchases, from its purchase times."""
    customer, age = module.simulate_purchase_times(rng, T, *at)
    first = np.r_[True, np.diff(customer) != 0]
    before = np.where(first, 0.0, np.r_[0.0, age[:-1]])
    recency = np.zeros(T.size)
    np.maximum.at(recency, customer, age)
    return {
        "frequency": np.bincount(customer, minlength=T.size).astype(float),
        "recency": recency,
        "T": T,
        "log_intervals": np.bincount(customer, np.log(age - before), minlength=T.size),
    }


class Calibration(simuk.SBC):  # type: ignore[misc]
    """simuk's loop over this package's priors, simulators and posterior draws."""

    def __init__(self, family: str, method: str, simulations: int, seed: int) -> None:
        import pymc as pm

        from bayes_clv.inference.models import population_variables, recorded_parameters

        module = find_family(family)
        fixed = design(module.KIND)
        with pm.Model() as model:
            priors = resolve(module.QUANTITIES, whole(module), SCALE)
            population = population_variables(module, priors, starting_point(module.QUANTITIES, SCALE))
            parameters = recorded_parameters(module, population)
            known = whole(module)
            self.names = [n for n in dict.fromkeys([*module.PARAMETERS, *population]) if n not in known]
            data = [pm.Data(name, np.ones(CUSTOMERS)) for name in module.OBSERVED]
            pm.Potential("log_likelihood", module.log_likelihood(parameters, *data).sum())

        def simulator(*, seed: int, **values: Any) -> Columns:
            rng = np.random.default_rng(seed)
            return simulated(
                module, rng, fixed, [float((values | known)[name]) for name in module.PARAMETERS]
            )

        super().__init__(
            model, num_simulations=simulations, seed=seed, simulator=simulator, progress_bar=False
        )
        self.flagged: list[bool] = []
        self.draw = _laplace(model, self.names) if method == "laplace" else _nuts(model, self.names)

    def _get_posterior_samples(self, replicated_data: Columns) -> xr.Dataset:
        seed = int(self._seeds[self._simulations_complete])
        posterior, flagged = self.draw(replicated_data, seed)
        self.flagged.append(flagged)
        return posterior.stack(sample=("chain", "draw"))[self.names]


Draw = Callable[[Columns, int], tuple[xr.Dataset, bool]]


def _laplace(model: Any, names: list[str]) -> Draw:
    from bayes_clv.inference.methods import compiled, laplace_draws

    ready = compiled(model, names, jacobian=True)

    def draw(data: Columns, seed: int) -> tuple[xr.Dataset, bool]:
        for name, value in data.items():
            model[name].set_value(value)
        # They are independent, so that any of them will do.
        posterior, _, report = laplace_draws(ready, draws=250, chains=CHAINS, seed=seed)
        kept = posterior.isel(draw=slice(RANKED // CHAINS))
        return kept, report["pareto_k"] > report["pareto_k_threshold"]

    return draw


def _nuts(model: Any, names: list[str]) -> Draw:
    import nutpie
    from pytensor import config

    with config.change_flags(numba__fastmath=False):
        ready = nutpie.compile_pymc_model(model, var_names=names)

    def draw(data: Columns, seed: int) -> tuple[xr.Dataset, bool]:
        trace = nutpie.sample(
            ready.with_data(**data),
            draws=RANKED // CHAINS * THIN,
            tune=TUNE,
            chains=CHAINS,
            seed=seed,
            save_warmup=False,
            progress_bar=False,
            adaptation="low_rank",
        )
        kept = trace["posterior"].to_dataset().isel(draw=slice(None, None, THIN))
        return kept, bool(trace["sample_stats"]["diverging"].any())

    return draw


def ranks(family: str, method: str, simulations: int, folder: Path = RECORDS) -> dict[str, np.ndarray]:
    """Return the ranks (simulation) of every quantity, and under ``NAME x 1.05`` those of biased draws.

    ``flagged`` says where the method itself warned: laplace of its Pareto k, NUTS of a divergence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, simulations, BATCH):
        size = min(BATCH, simulations - start)
        path = folder / f"{family}-{method}-{start}-{size}.npz"
        if not path.exists():
            began = time.perf_counter()
            np.savez(path, **_batch(family, method, size, seed=1000 + start))
            print(f"{family} {method} {start + size}: {time.perf_counter() - began:.0f} s", flush=True)
        parts.append(dict(np.load(path)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _batch(family: str, method: str, size: int, seed: int) -> dict[str, np.ndarray]:
    study = Calibration(family, method, size, seed)
    with warnings.catch_warnings():
        # Of sample_prior_predictive: the potential is no part of the prior, which is what is wanted.
        warnings.filterwarnings("ignore", message="The effect of Potentials")
        study.run_simulations()
    if study._simulations_complete < size:
        raise RuntimeError(f"{family}, {method}: simulation {study._simulations_complete} failed, see above.")
    group = study.simulations["prior_sbc"].to_dataset()
    found = {name: group[name].to_numpy().ravel() for name in study.names}
    for name in study.names:
        draws = np.stack([posterior[name].to_numpy() for posterior in study.posteriors])
        truth = study.ref_params[name].to_numpy()[:, None]
        found[f"{name} x {BIAS}"] = (BIAS * draws < truth).sum(axis=1)
    return found | {"flagged": np.array(study.flagged)}


def outside(rank: np.ndarray) -> float:
    """Return how far the ECDF difference of the ranks leaves the band (0 within), as a difference."""
    _, difference, low, high = difference_band(rank)
    return float(np.maximum(low - difference, difference - high).max(initial=0.0))


def difference_band(rank: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return evaluation points, ECDF less the diagonal, and the band's ends less the diagonal."""
    from arviz_stats.ecdf_utils import ecdf_pit

    # The middle of a rank's cell: uniform on (0, 1) when ranks are uniform on 0, ..., RANKED.
    place = (rank + 0.5) / (RANKED + 1)
    points, ecdf, low, high = ecdf_pit(place, BAND, 2_000, rng=np.random.default_rng(1))
    return points, ecdf - points, low - points, high - points


def judge(family: str, method: str, simulations: int) -> list[dict[str, Any]]:
    """Return a row of each quantity: how far its ranks leave the band, and those of biased draws."""
    found = ranks(family, method, simulations)
    flagged = found.pop("flagged")
    rows = []
    for name in [name for name in find_family(family).QUANTITIES if name in found]:
        plain, biased = outside(found[name]), outside(found[f"{name} x {BIAS}"])
        rows.append(
            {
                "family": family,
                "method": method,
                "simulations": simulations,
                "quantity": name,
                "outside_band": round(plain, 5),
                "uniform": plain == 0.0,
                "outside_band_biased": round(biased, 5),
                "flagged": float(flagged.mean()),
            }
        )
    return rows


def draw_figure(families: list[str], methods: list[str], numbers: dict[str, int], path: Path) -> None:
    """Draw the ECDF difference of every sampled quantity with its band, a row a family, a column a method."""
    from matplotlib.figure import Figure

    from bayes_clv.views.style import styled

    with styled():
        size = (4.6 * len(methods), 1.9 * len(families) + 0.6)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(families), len(methods), squeeze=False, sharex=True)
        for family, row in zip(families, panels, strict=True):
            for method, ax in zip(methods, row, strict=True):
                found = ranks(family, method, numbers[method])
                for name in [name for name in find_family(family).QUANTITIES if name in found]:
                    points, difference, low, high = difference_band(found[name])
                    ax.plot(points, difference, lw=1.2, label=name.replace("_", " "))
                ax.fill_between(points, low, high, color="#999999", alpha=0.25, lw=0)
                ax.axhline(0, color="#999999", lw=0.6)
                what = f"{find_family(family).NAME}, {method}, {numbers[method]} simulations"
                ax.set_title(what, loc="left", fontsize=9)
                ax.legend(frameon=False, fontsize=6.5, loc="lower left", ncols=2)
        for ax in panels[-1]:
            ax.set_xlabel("rank of the truth among the posterior draws")
        for ax in panels[:, 0]:
            ax.set_ylabel("ECDF less uniform")
        figure.savefig(path, dpi=130)


def main() -> None:
    """Calibrate, judge, draw; exit with 1 where the pass rule fails."""
    parser = argparse.ArgumentParser(description="Simulation-based calibration of every family.")
    parser.add_argument("--only", default="", help="families, comma-separated")
    parser.add_argument("--methods", default="laplace,nuts")
    parser.add_argument("--simulations", type=int, default=0, help="instead of the full numbers")
    options = parser.parse_args()
    families = options.only.split(",") if options.only else list(FAMILIES)
    methods = options.methods.split(",")
    numbers = {method: options.simulations or SIMULATIONS[method] for method in methods}
    rows = []
    for family in families:
        for method in methods:
            rows += judge(family, method, numbers[method])
    for row in rows:
        print(*(f"{value}" for value in row.values()), sep="  ")
    whole = not (options.only or options.simulations)
    if whole:
        with (ROOT / "studies" / "calibration_results.csv").open("w", newline="", encoding="utf-8") as target:
            writer = csv.DictWriter(target, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    draw_figure(families, methods, numbers, (ROOT / "figures" if whole else RECORDS) / "calibration.png")
    failed = [row for row in rows if not row["uniform"]]
    print(f"{len(failed)} of {len(rows)} quantities leave the band")
    for family in families:
        if not any(row["outside_band_biased"] for row in rows if row["family"] == family):
            failed.append({"family": family})
            print(f"{family}: draws made 5 % too large stay in the band: too few simulations or customers")
    if failed and whole:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
