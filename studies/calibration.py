"""Is inference calibrated: simulation-based calibration of every family, with NUTS and with laplace.

Question
    Draw parameters from the prior, simulate a base, fit it: does the truth rank among the posterior draws as any
    other draw would (Talts et al. 2018, arXiv:1804.06788)? It tests simulator, likelihood, priors and sampler
    against one another; an error in any of them bends the ranks.
Pass rule, stated before the run
    The ranks of every sampled quantity and of every parameter of the paper, of each family by each method, are held
    against the simultaneous band of the ECDF difference (Säilynoja, Bürkner & Vehtari 2022): ``p`` is the chance that
    ranks of a right method come as near to leaving the band, or nearer, and p < 0.05 is to leave the 95 % band. Of
    about a hundred rows some leave it by chance, so the study passes if no row has p < 0.05 / (number of
    rows), the Bonferroni bound that holds the chance of one false alarm in the whole study to 5 %, however the rows
    depend on each other. Each row says where it stands in the plain 95 % band, too, and nothing is run again with
    another seed. The size suffices when, for each family and method, the ranks of draws made 5 % too large fail by
    the same strict bound for at least one quantity.

The loop and the seeds are simuk's; posterior draws come from this package's own methods, on a model that is compiled
once, with the data of each simulation put in, reduced to distinct rows as ``fit`` does. A base has 500 customers
(of the slowest two families 200) on a fixed design (ages, or numbers of occasions), enough for posteriors so narrow
that a bias of 5 % shows.
Priors are the defaults on a fixed scale, since a scale taken from the simulated data would be no prior.

Every simulation counts: also laplace with a Pareto k above the threshold and NUTS with a divergence (``flagged``).
What the flags are worth is told by ``p_unflagged`` and ``p_flagged``, which are no part of the rule: a flag depends on
the data and the draws, hardly on the truth, so that the ranks of either kind are uniform where the draws are right.
``refused`` are those where laplace found no peak and gave no draws; which they are depends on the data alone, so
that the ranks of the others stay uniform. The truth is ranked among 100 draws, a hundredth of a unit being fine beside
a band of a twentieth. Of NUTS these are every tenth draw of two chains of 500 after 500 tuning steps: neighbours are
correlated (``effective``: of the 100 draws, median over simulations of the worst quantity). Laplace makes its 4,000.
``Effort`` has what the slowest two make do with.

Run all with ``uv run python -m studies.calibration`` (two hours on half a core), or ``--only bg_nbd --methods laplace
--simulations 100``. Records are kept in out/calibration as they come, and a second call goes on;
``--judge`` uses what is there. It writes studies/calibration_results.csv and figures/calibration.png.
"""

import argparse
import csv
import time
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import simuk

from bayes_clv.distributions import FAMILIES
from bayes_clv.distributions import family as find_family
from bayes_clv.distributions.quantities import Prior, resolve, starting_point
from bayes_clv.inference.reduction import Columns, distinct_rows, select
from bayes_clv.schema import InputError

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "out" / "calibration"
RESULTS = ROOT / "studies" / "calibration_results.csv"
METHODS = ("laplace", "nuts")
SIMULATIONS = 500
# An evaluation of their likelihoods is a quadrature of every distinct history: 5 s a simulation instead of 0.5 s.
SLOW = {"pareto_nbd": 200, "pareto_abe": 200, "pareto_ggg": 200}
# A whole quantity is chosen once for a base and not sampled: calibration is at this one.
PRIORS: dict[str, dict[str, Prior | float]] = {"bg_cnbd_k": {"k": 3}, "mbg_cnbd_k": {"k": 3}}
# Posterior draws that the truth is ranked among.
RANKED = 100
BATCH = 50
# Simulations below which flagged or unflagged ones are not judged by themselves.
ENOUGH = 20
BIAS = 1.05
BAND = 0.95
# What a default prior that is relative to the data counts from here: purchases a week, weeks, money.
SCALE = {
    "population_purchase_rate": 0.1,
    "population_lifetime": 52.0,
    "population_dropout_rate": 1 / 52,
    "population_spend": 30.0,
}


@dataclass(frozen=True)
class Effort:
    """How large a base is, and how long a fit of it: of NUTS one draw in ``thin`` is kept; laplace makes ``laplace``.

    The default is that of ``fit`` for laplace.
    """

    customers: int = 500
    chains: int = 2
    tune: int = 500
    thin: int = 10
    laplace: int = 4000


# A double integral of every history: 10 to 20 us a customer and evaluation, where Pareto/NBD's has 3.
SMALL = Effort(customers=200, chains=1, tune=300, thin=4, laplace=1000)
EFFORT = {"pareto_abe": SMALL, "pareto_ggg": replace(SMALL, laplace=400)}

# Posterior draws (RANKED) of every name, what the method says of itself.
type Draws = dict[str, np.ndarray]
type Sampler = Callable[[Columns, int], tuple[Draws, dict[str, float]]]


@dataclass(frozen=True)
class Design:
    """What is fixed in the simulations of a family.

    Attributes
    ----------
    columns : mapping of str to array
        Columns of the customers that are given, in the order in which ``simulate`` takes them.
    priors : mapping of str to Prior or float
        In place of the defaults; a number fixes a quantity, which then has no rank.
    simulations : int
        How many the full study makes.
    effort : Effort
    """

    columns: Columns
    priors: dict[str, Prior | float] = field(default_factory=dict)
    simulations: int = SIMULATIONS
    effort: Effort = field(default_factory=Effort)


def design(family: str) -> Design:
    """Return the design of a family: that of its kind, unless it has its own."""
    effort = EFFORT.get(family, Effort())
    place = (np.arange(effort.customers) + 0.5) / effort.customers
    columns = {
        # Cohorts of every fourth week: customers without a repeat purchase share rows, as they do in data.
        "purchases": {"T": 26 + 4 * np.floor(14 * place)},
        # As frequencies are: most have one or two occasions, few have many.
        "spend": {"frequency": np.ceil(np.log(1 - place) / np.log(0.7))},
        "opportunities": {"opportunities": 4 + 4 * np.floor(3 * place)},
        "contracts": {"periods": np.ceil(4 + 8 * place)},
    }[find_family(family).KIND]
    return Design(columns, PRIORS.get(family, {}), SLOW.get(family, SIMULATIONS), effort)


def simulated(module: ModuleType, rng: np.random.Generator, fixed: Columns, at: list[float]) -> Columns:
    """Return what the family observes of a base that it simulates at these parameters."""
    drawn = module.simulate(rng, *fixed.values(), *at)
    drawn = drawn if isinstance(drawn, tuple) else (drawn,)
    named = [name for name in module.OBSERVED if name not in fixed]
    if "log_intervals" in named and len(drawn) < len(named):
        found = regular(fixed["T"].size, *module.simulate_purchase_times(rng, *fixed.values(), *at))
    else:
        found = dict(zip(named, drawn, strict=True))
    return {name: np.asarray((found | fixed)[name], dtype=float) for name in module.OBSERVED}


def regular(size: int, customer: np.ndarray, age: np.ndarray) -> Columns:
    """Return frequency, recency and the sum of the log times between purchases of ``size`` customers.

    ``customer`` (a number from 0) and ``age`` are those of each repeat purchase, sorted.
    """
    first = np.r_[True, customer[1:] != customer[:-1]][: customer.size]
    wait = np.where(first, age, age - np.r_[0.0, age[:-1]][: age.size])
    recency = np.zeros(size)
    np.maximum.at(recency, customer, age)
    return {
        "frequency": np.bincount(customer, minlength=size),
        "recency": recency,
        "log_intervals": np.bincount(customer, np.log(wait), minlength=size),
    }


# The model, with data that change ------------------------------------------------------------------------


def build(family: str, given: Design) -> tuple[Any, list[str]]:
    """Return the family's PyMC model, its rows and their counts as data, and the names of what is ranked."""
    import pymc as pm

    from bayes_clv.inference.models import population_variables, recorded_parameters

    module = find_family(family)
    with pm.Model() as model:
        priors = resolve(module.QUANTITIES, given.priors, SCALE)
        population = population_variables(module, priors, starting_point(module.QUANTITIES, SCALE))
        parameters = recorded_parameters(module, population)
        for place, term in enumerate(module.likelihood_terms):
            columns = [pm.Data(f"{name}_{place}", np.ones(2)) for name in term.columns]
            count = pm.Data(f"count_{place}", np.ones(2))
            pm.Potential(f"log_likelihood_{place}", (count * term.function(parameters, *columns)).sum())
    names = dict.fromkeys([*population, *module.PARAMETERS])
    return model, [name for name in names if name in model.named_vars]


def rows_of_terms(module: ModuleType, base: Columns) -> Columns:
    """Return the data of ``build``'s model: of each term the distinct rows of its columns, and their counts."""
    found = {}
    for place, term in enumerate(module.likelihood_terms):
        rows, count = distinct_rows(select(base, term.columns))
        found |= {f"{name}_{place}": column for name, column in rows.items()}
        found[f"count_{place}"] = count.astype(float)
    return found


def laplace_sampler(model: Any, names: list[str], effort: Effort) -> Sampler:
    """Return ``fit``'s laplace on the model compiled once."""
    from bayes_clv.inference.methods import compiled, laplace_draws

    ready = compiled(model, names, jacobian=True)

    def draw(data: Columns, seed: int) -> tuple[Draws, dict[str, float]]:
        for name, value in data.items():
            model[name].set_value(value)
        posterior, _, report = laplace_draws(ready, draws=effort.laplace, chains=1, seed=seed)
        # They are in random order, so that any of them will do.
        kept = {name: posterior[name].to_numpy().ravel()[:RANKED] for name in names}
        return kept, {
            "flagged": report["pareto_k"] > report["pareto_k_threshold"],
            "pareto_k": report["pareto_k"],
            "effective": min(report["effective_draws"] * RANKED / effort.laplace, RANKED),
        }

    return draw


def nuts_sampler(model: Any, names: list[str], effort: Effort) -> Sampler:
    """Return ``fit``'s NUTS on the model compiled once."""
    import nutpie
    from arviz_stats.base import array_stats
    from pytensor import config

    from bayes_clv.inference.methods import FAST_MATHS

    with config.change_flags(numba__fastmath=FAST_MATHS):
        ready = nutpie.compile_pymc_model(model, var_names=names)

    def draw(data: Columns, seed: int) -> tuple[Draws, dict[str, float]]:
        trace = nutpie.sample(
            ready.with_data(**data),
            draws=RANKED // effort.chains * effort.thin,
            tune=effort.tune,
            chains=effort.chains,
            cores=1,
            seed=seed,
            save_warmup=False,
            progress_bar=False,
            adaptation="low_rank",
        )
        posterior = trace["posterior"]
        kept = {name: posterior[name].to_numpy()[:, :: effort.thin] for name in names}
        effective = min(float(array_stats.ess(value, chain_axis=0, draw_axis=1)) for value in kept.values())
        stats = trace["sample_stats"]
        return {name: value.ravel() for name, value in kept.items()}, {
            "flagged": bool(stats["diverging"].to_numpy().any()),
            "effective": effective,
            "steps": float(stats["n_steps"].to_numpy().mean()),
        }

    return draw


@cache
def prepared(family: str, method: str) -> tuple[Any, list[str], Sampler]:
    """Return the model, the names of what is ranked, and the compiled method."""
    given = design(family)
    model, names = build(family, given)
    return (
        model,
        names,
        {"laplace": laplace_sampler, "nuts": nuts_sampler}[method](model, names, given.effort),
    )


# The loop ------------------------------------------------------------------------------------------------


class Calibration(simuk.SBC):  # type: ignore[misc]
    """simuk's loop over this package's priors, simulators and posterior draws."""

    def __init__(self, family: str, method: str, simulations: int, seed: list[int]) -> None:
        self.family = find_family(family)
        given = design(family)
        model, self.names, self.sampler = prepared(family, method)

        def simulator(*, seed: int, **values: Any) -> Columns:
            population = {name: float((given.priors | values)[name]) for name in self.family.QUANTITIES}
            parameters = self.family.parameters(population)
            at = [float(parameters[name]) for name in self.family.PARAMETERS]
            return simulated(self.family, np.random.default_rng(seed), given.columns, at)

        super().__init__(
            model,
            num_simulations=simulations,
            seed=seed,
            simulator=simulator,
            progress_bar=False,
            keep_fits=False,
        )
        self.found: list[dict[str, float]] = []

    def _get_posterior_samples(self, replicated_data: Columns) -> tuple[Draws, dict[str, float]] | None:
        # Apart from the simulator's seeds, which are below 2^30.
        seed = 2**30 + int(self._seeds[self._simulations_complete])
        try:
            return self.sampler(rows_of_terms(self.family, replicated_data), seed)
        except InputError:
            return None

    def _compute_single_rank(self, simulation_idx: int, posterior: Any, transform: Any) -> None:
        # simuk's own makes an xarray object of every draw, which takes longer than the fit.
        truth = {name: float(self.ref_params[name][simulation_idx]) for name in self.names}
        self.found.append(record(truth, posterior))
        for name in self.var_names:
            self.simulations[name].append(np.array(self.found[-1].get(name, -1)))


def record(truth: dict[str, float], posterior: tuple[Draws, dict[str, float]] | None) -> dict[str, float]:
    """Return what is kept of one simulation: ranks, also of draws 5 % too large, and what shows why."""
    if posterior is None:
        return {f"{name} truth": value for name, value in truth.items()} | {"refused": True}
    draws, report = posterior
    found = {"refused": False, **report}
    for name, value in truth.items():
        found[name] = int((draws[name] < value).sum())
        found[f"{name} biased"] = int((BIAS * draws[name] < value).sum())
        found[f"{name} truth"] = value
        found[f"{name} mean"], found[f"{name} sd"] = float(draws[name].mean()), float(draws[name].std())
    return found


def records(family: str, method: str, simulations: int, folder: Path = RECORDS) -> dict[str, np.ndarray]:
    """Return ``record`` of every simulation, as arrays; batches that are not in the folder yet are made."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, simulations, BATCH):
        size = min(BATCH, simulations - start)
        path = folder / f"{family}-{method}-{start}-{size}.npz"
        if not path.exists():
            began = time.perf_counter()
            found = _batch(family, method, size, start)
            seconds = time.perf_counter() - began
            np.savez(path, **found, seconds=np.full(size, seconds / size))
            print(f"{family} {method} {start + size}: {seconds:.0f} s", flush=True)
        parts.append(dict(np.load(path)))
    return together(parts)


def together(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the batches joined."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def at_hand(family: str, method: str, folder: Path = RECORDS) -> dict[str, np.ndarray] | None:
    """Return the records of the batches that are there, or None."""
    paths = sorted(folder.glob(f"{family}-{method}-*-{BATCH}.npz"))
    return together([dict(np.load(path)) for path in paths]) if paths else None


def _batch(family: str, method: str, size: int, start: int) -> dict[str, np.ndarray]:
    # Families do not share their seeds; methods do, so that both see the same bases.
    study = Calibration(family, method, size, seed=[zlib.crc32(family.encode()), start])
    with warnings.catch_warnings():
        # Of sample_prior_predictive: the potential is no part of the prior, which is what is wanted.
        warnings.filterwarnings("ignore", message="The effect of Potentials")
        study.run_simulations()
    if study._simulations_complete < size:
        raise RuntimeError(f"{family}, {method}: simulation {study._simulations_complete} failed, see above.")
    every = dict.fromkeys(name for found in study.found for name in found)
    return {name: np.array([found.get(name, np.nan) for found in study.found]) for name in every}


# The ranks against the band ------------------------------------------------------------------------------

# Sets of uniform ranks that stand for chance: 100,000 place a p of 0.0005 within 14 % of itself.
REPETITIONS = 100_000
# Where the ECDF is held against the band: between the ranks, where the expected value is exact.
POINTS = np.arange(1, RANKED + 1) / (RANKED + 1)


def below(rank: np.ndarray) -> np.ndarray:
    """Return how many ranks lie below each of POINTS."""
    return np.bincount(rank.astype(int), minlength=RANKED + 1).cumsum()[:-1]


@cache
def tails(size: int) -> np.ndarray:
    """Return (count, point) the two-sided chance that of ``size`` uniform ranks so few or many lie below a point."""
    from scipy.special import bdtr

    count = np.arange(size + 1.0)[:, None]
    fewer = np.where(count > 0, bdtr(np.maximum(count - 1, 0), size, POINTS), 0.0)
    found: np.ndarray = 2 * np.minimum(bdtr(count, size, POINTS), 1 - fewer)
    return found


def rarest(count: np.ndarray, size: int) -> np.ndarray:
    """Return of counts (..., point) of ``size`` ranks the chance of the point that is least likely."""
    found: np.ndarray = tails(size)[count, np.arange(POINTS.size)].min(axis=-1)
    return found


@cache
def by_chance(size: int) -> np.ndarray:
    """Return ``rarest`` of REPETITIONS sets of ``size`` uniform ranks, sorted."""
    rng = np.random.default_rng(1)
    cells = np.full(RANKED + 1, 1 / (RANKED + 1))
    parts = [
        rarest(rng.multinomial(size, cells, 5_000).cumsum(axis=1)[:, :-1], size)
        for _ in range(REPETITIONS // 5_000)
    ]
    return np.sort(np.concatenate(parts))


def chance(rank: np.ndarray) -> float:
    """Return ``p``: the chance that uniform ranks come as near to leaving the simultaneous band, or leave it as far."""
    null = by_chance(rank.size)
    # Equal chances, computed in another order, are equal.
    as_rare = np.searchsorted(null, rarest(below(rank), rank.size) * (1 + 1e-9), side="right")
    return float((1 + as_rare) / (1 + null.size))


def band(size: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends at POINTS between which ECDF differences of uniform ranks lie, all of them with 1 - level."""
    within = tails(size) >= np.quantile(by_chance(size), level, method="lower") * (1 - 1e-9)
    low = within.argmax(axis=0)
    high = size - within[::-1].argmax(axis=0)
    return low / size - POINTS, high / size - POINTS


# The verdict ---------------------------------------------------------------------------------------------


def judge(family: str, method: str, found: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return a row of each quantity and parameter: p of its ranks, and of the ranks of draws made 5 % too large."""
    module = find_family(family)
    given, flagged = found["refused"] == 0, found["flagged"] == 1
    rows = []
    for name in dict.fromkeys([*module.QUANTITIES, *module.PARAMETERS]):
        if name not in found:
            continue
        p = chance(found[name][given])
        rows.append(
            {
                "family": family,
                "method": method,
                "quantity": name,
                "sampled": name in module.QUANTITIES,
                "simulations": given.size,
                "refused": int((~given).sum()),
                "flagged": round(float(found["flagged"][given].mean()), 3),
                "effective": round(float(np.median(found["effective"][given]))),
                "p": round(p, 5),
                "in_95_band": p >= 1 - BAND,
                "p_biased": round(chance(found[f"{name} biased"][given]), 5),
                **{
                    f"p_{which}": round(chance(found[name][part]), 5) if part.sum() >= ENOUGH else None
                    for which, part in (("unflagged", given & ~flagged), ("flagged", given & flagged))
                },
                "seconds": round(float(found["seconds"].mean()), 2),
            }
        )
    return rows


def verdict(rows: list[dict[str, Any]]) -> list[str]:
    """Return what fails the pass rule, a line each; nothing where it is met."""
    level = (1 - BAND) / len(rows)
    failed = [
        f"{row['family']}, {row['method']}, {row['quantity']}: p = {row['p']} is below {level:.5f}"
        for row in rows
        if row["p"] < level
    ]
    for family, method in dict.fromkeys((row["family"], row["method"]) for row in rows):
        own = [row for row in rows if (row["family"], row["method"]) == (family, method)]
        if min(row["p_biased"] for row in own if row["sampled"]) >= level:
            failed.append(f"{family}, {method}: draws 5 % too large pass: too few simulations or customers")
    return failed


def draw_figure(found: dict[tuple[str, str], dict[str, np.ndarray]], level: float, path: Path) -> None:
    """Draw the ECDF differences with both bands, a panel a family and method, two families in a row."""
    from bayes_clv.views.style import BLUE, GRID, MUTED, ORANGE, drawing, styled

    families = list(dict.fromkeys(family for family, _ in found))
    rows = -(-len(families) // 2)
    with styled():
        figure = drawing(1.7 * rows + 0.8, width=11.0)
        panels = figure.subplots(rows, 2 * len(METHODS), squeeze=False, sharex=True, sharey=True)
        for ax in panels.flat[len(families) * len(METHODS) :]:
            ax.axis("off")
        for place, family in enumerate(families):
            for column, method in enumerate(METHODS):
                ax = panels[place // 2, 2 * (place % 2) + column]
                ax.set_title(f"{find_family(family).NAME}, {method}", fontsize=9)
                if (family, method) not in found:
                    ax.text(0.5, 0, "not run", ha="center", color=MUTED)
                    continue
                records = found[family, method]
                given = records["refused"] == 0
                size = int(given.sum())
                ax.fill_between(POINTS, *band(size, level), color=GRID, lw=0, alpha=0.6)
                ax.fill_between(POINTS, *band(size, 1 - BAND), color=MUTED, alpha=0.22, lw=0)
                for row in judge(family, method, records):
                    rank = records[row["quantity"]][given]
                    out = not row["in_95_band"]
                    line = below(rank) / size - POINTS
                    ax.plot(
                        POINTS, line, color=ORANGE if out else BLUE, lw=1.3 if out else 0.8, zorder=3 + out
                    )
                    if out:
                        at = int(np.abs(line).argmax())
                        ax.annotate(
                            row["quantity"].replace("_", " "),
                            (POINTS[at], line[at]),
                            xytext=(0, 3 if line[at] > 0 else -10),
                            textcoords="offset points",
                            ha="center",
                            color=ORANGE,
                            fontsize=8,
                        )
                ax.text(0.98, 0.04, f"{size}", transform=ax.transAxes, ha="right", fontsize=8, color=MUTED)
        lowest = [*panels[-1], *(panels[-2, len(METHODS) :] if len(families) % 2 and rows > 1 else [])]
        for ax in lowest:
            ax.set_xlabel("rank of the truth")
            ax.tick_params(labelbottom=True)
        for ax in panels[:, 0]:
            ax.set_ylabel("ECDF - uniform")
        figure.suptitle(
            "Ranks of the truth among posterior draws: ECDF less that of uniform ranks. Dark: 95 % simultaneous band; "
            "light: 95 % for all lines\nof the figure jointly. Orange: outside the dark band. "
            "Lower right: number of simulations.",
            fontsize=9,
            x=0.01,
            ha="left",
        )
        figure.savefig(path, dpi=130)


def main() -> None:
    """Simulate what is missing, judge, draw; exit with 1 where the pass rule fails."""
    parser = argparse.ArgumentParser(description="Simulation-based calibration of every family.")
    parser.add_argument("--only", default="", help="families, comma-separated")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--simulations", type=int, default=0, help="instead of the full numbers")
    parser.add_argument("--judge", action="store_true", help="simulate nothing more: what is there")
    options = parser.parse_args()
    families = options.only.split(",") if options.only else list(FAMILIES)
    found = {}
    for method in options.methods.split(","):
        for family in families:
            if options.judge:
                got = at_hand(family, method)
            else:
                got = records(family, method, options.simulations or design(family).simulations)
            if got is None:
                print(f"{family}, {method}: not run")
            else:
                found[family, method] = got
    rows = [
        row for family in families for key in found if key[0] == family for row in judge(*key, found[key])
    ]
    print(*rows[0], sep="  ")
    for row in rows:
        print(*row.values(), sep="  ")
    whole = not (options.only or options.simulations)
    if whole:
        with RESULTS.open("w", newline="", encoding="utf-8") as target:
            writer = csv.DictWriter(target, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    level = (1 - BAND) / len(rows)
    draw_figure(found, level, (ROOT / "figures" if whole else RECORDS) / "calibration.png")
    outside = sum(not row["in_95_band"] for row in rows)
    print(f"{outside} of {len(rows)} outside their 95 % band; the bound for all of them is p = {level:.5f}")
    failed = verdict(rows)
    print(*(failed or ["The pass rule is met."]), sep="\n")
    if failed and whole:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
