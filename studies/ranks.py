"""What the studies of calibration share: simuk's loop, posterior draws on a compiled model, ranks against the band.

``calibration`` asks it of every family, ``calibration_effects`` of fits with covariates and groups; the method is in
the docstring of the former.
"""

import argparse
import csv
import textwrap
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import simuk

from bayes_clv.families.registry import family as find_family
from bayes_clv.inference.data import Columns
from bayes_clv.schema import InputError

ROOT = Path(__file__).parents[1]
METHODS = ("laplace", "nuts")
# Posterior draws that the truth is ranked among.
RANKED = 100
BATCH = 50
# Simulations below which flagged or unflagged ones are not judged by themselves.
ENOUGH = 20
# Lines of a panel that are named where they leave the band; of more there is room for their number.
NAMED = 2
# Names as far apart along the ranks as this do not overlap.
NEAR = 15
BIAS = 1.05
# What simuk calls a whole simulated base.
BASE = "simulated_base"
BAND = 0.95


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


# Posterior draws (RANKED) of every name, what the method says of itself.
type Draws = dict[str, np.ndarray]
type Sampler = Callable[[Columns, int], tuple[Draws, dict[str, float]]]
type Found = dict[str, np.ndarray]
type Row = dict[str, Any]


# The methods, on a model that is compiled once -----------------------------------------------------------


def laplace_sampler(
    model: Any, names: list[str], effort: Effort, density: Callable[[Any], Any] | None = None
) -> Sampler:
    """Return ``fit``'s laplace on the model compiled once.

    ``density`` makes of the model a log density that reads its data at every call; without it ``fit``'s own is written
    out again for every base, which has the same source, so that nothing is compiled.
    """
    from bayes_clv.inference.sampling.laplace import compiled, laplace_draws

    @cache
    def once() -> Any:
        return (
            None
            if density is None
            else replace(compiled(model, names, jacobian=True), density=density(model))
        )

    def draw(data: Columns, seed: int) -> tuple[Draws, dict[str, float]]:
        for name, value in data.items():
            model.set_data(name, value)
        ready = once() or compiled(model, names, jacobian=True)
        posterior, _, report = laplace_draws(ready, draws=effort.laplace, chains=1, seed=seed)
        # They are in random order, so that any of them will do.
        kept = {name: posterior[name].to_numpy()[0, :RANKED] for name in names}
        return kept, {
            # As its check does: a k that is no number is no good one.
            "flagged": not report["pareto_k"] < report["pareto_k_threshold"],
            "pareto_k": report["pareto_k"],
            "effective": min(report["effective_draws"] * RANKED / effort.laplace, RANKED),
        }

    return draw


@dataclass(frozen=True)
class DataDensity:
    """A log density that reads the model's data at every call: with its gradient, and alone, which is quicker."""

    whole: Any
    only_value: Any
    # As ``fit``'s own where the slopes are not apart.
    alone: None = None

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log density and its gradient."""
        found: tuple[float, np.ndarray] = self.whole(x)
        return found

    def value(self, x: np.ndarray) -> float:
        """Return the log density."""
        return float(self.only_value(x)[0])


def density_of_data(model: Any) -> DataDensity:
    """Return the model's log density and gradient, reading its data at every call.

    PyTensor compiles it, half a minute or more. Where a likelihood is long to write out (5 s with drift) and quick to
    evaluate that is soon worth it.
    """
    from pytensor import grad

    from bayes_clv.inference.density import Graph, plain_density

    start, variables = model.initial_point(), model.value_vars
    at = [np.asarray(start[each.name], dtype=float) for each in variables]
    log_density, shapes = model.logp(), [each.shape for each in at]
    none = [0.0 * each for each in variables]
    point = np.concatenate([np.ravel(each) for each in at])
    return DataDensity(
        *(
            plain_density(Graph(log_density, slopes, variables, shapes), point)
            for slopes in (grad(log_density, variables), none)
        )
    )


def nuts_sampler(model: Any, names: list[str], effort: Effort, **options: float) -> Sampler:
    """Return ``fit``'s NUTS on the model compiled once; ``options`` go to the sampler."""
    import nutpie
    from arviz_stats.base import array_stats
    from pytensor import config

    from bayes_clv.inference.density import FAST_MATHS

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
            **options,
        )
        posterior = trace["posterior"]
        kept = {name: posterior[name].to_numpy()[:, :: effort.thin] for name in names}
        effective = min(
            float(np.min(array_stats.ess(value, chain_axis=0, draw_axis=1))) for value in kept.values()
        )
        stats = trace["sample_stats"]
        return {name: value.reshape(-1, *value.shape[2:]) for name, value in kept.items()}, {
            "flagged": bool(stats["diverging"].to_numpy().any()),
            "effective": effective,
            "steps": float(stats["n_steps"].to_numpy().mean()),
        }

    return draw


# The loop ------------------------------------------------------------------------------------------------


class Loop(simuk.SBC):  # type: ignore[misc]
    """simuk's loop over this package's priors, simulators and posterior draws.

    Parameters
    ----------
    model : pymc.Model
        What the truth is drawn from.
    simulator : callable
        Of a seed and the model's variables the base that is observed.
    sampler : callable
        Of a base and a seed the posterior draws.
    truth : callable
        Of one draw of the model's variables the names and values to rank.
    """

    def __init__(
        self,
        model: Any,
        simulator: Callable[..., Columns],
        sampler: Sampler,
        truth: Callable[[Mapping[str, Any]], dict[str, float]],
        simulations: int,
        seed: Sequence[int],
    ) -> None:
        self.sampler, self.truth = sampler, truth

        # simuk stacks what it is given; bases may differ in length.
        def boxed(**drawn: Any) -> dict[str, np.ndarray]:
            whole = np.empty((), dtype=object)
            whole[()] = simulator(**drawn)
            return {BASE: whole}

        super().__init__(
            model,
            num_simulations=simulations,
            seed=seed,
            simulator=boxed,
            progress_bar=False,
            keep_fits=False,
        )
        self.found: list[dict[str, float]] = []

    def _get_posterior_samples(
        self, replicated_data: dict[str, np.ndarray]
    ) -> tuple[Draws, dict[str, float]] | None:
        # Apart from the simulator's seeds, which are below 2^30.
        seed = 2**30 + int(self._seeds[self._simulations_complete])
        try:
            return self.sampler(replicated_data[BASE].item(), seed)
        except InputError:
            return None

    def _compute_single_rank(self, simulation_idx: int, posterior: Any, transform: Any) -> None:
        # simuk's own makes an xarray object of every draw, which takes longer than the fit.
        drawn = self.ref_params.isel(sample=simulation_idx)
        truth = self.truth({name: drawn[name].to_numpy() for name in drawn.data_vars})
        self.found.append(record(truth, posterior))
        for name in self.var_names:
            self.simulations[name].append(np.array(self.found[-1].get(name, -1)))

    def batch(self) -> Found:
        """Return ``record`` of every simulation, as arrays."""
        with warnings.catch_warnings():
            # Of sample_prior_predictive: the potential is no part of the prior, which is what is wanted.
            warnings.filterwarnings("ignore", message="The effect of Potentials")
            self.run_simulations()
        if self._simulations_complete < self.num_simulations:
            raise RuntimeError(f"Simulation {self._simulations_complete} failed, see above.")
        return arrays(self.found)


def arrays(found: list[dict[str, float]]) -> Found:
    """Return records as arrays; NaN where one lacks what others have."""
    every = dict.fromkeys(name for one in found for name in one)
    return {name: np.array([one.get(name, np.nan) for one in found]) for name in every}


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


def kept(name: str, simulations: int, folder: Path, batch: Callable[[int, int], Found]) -> Found:
    """Return the records of all simulations; those that are not in the folder yet are made, a batch at a time.

    ``batch`` takes the first simulation's number and how many there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, simulations, BATCH):
        size = min(BATCH, simulations - start)
        path = folder / f"{name}-{start}-{size}.npz"
        if not path.exists():
            began = time.perf_counter()
            found = batch(start, size)
            seconds = time.perf_counter() - began
            np.savez(path, **found, seconds=np.full(size, seconds / size))
            print(f"{name} {start + size}: {seconds:.0f} s", flush=True)
        parts.append(dict(np.load(path)))
    return together(parts)


def together(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the batches joined."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def at_hand(name: str, folder: Path) -> Found | None:
    """Return the records of the batches that are there, the largest from each start, or None."""
    largest: dict[int, int] = {}
    for path in folder.glob(f"{name}-*.npz"):
        start, size = (int(number) for number in path.stem.rsplit("-", 2)[1:])
        largest[start] = max(size, largest.get(start, 0))
    paths = [folder / f"{name}-{start}-{size}.npz" for start, size in sorted(largest.items())]
    return together([dict(np.load(path)) for path in paths]) if paths else None


def save(found: Mapping[tuple[str, str], Found], path: Path) -> None:
    """Write what the verdict and the figure need of all simulations: ranks, flags, effective draws and seconds."""
    small = {}
    for (family, method), each in found.items():
        for name, values in each.items():
            if not name.endswith((" truth", " mean", " sd")):
                # A rank is at most RANKED; of a simulation that was refused there is none.
                whole = np.isin(values, np.arange(256)).all()
                small[f"{family}|{method}|{name}"] = values.astype(np.uint8 if whole else np.float32)
    np.savez_compressed(path, **small)


def saved(path: Path) -> dict[tuple[str, str], Found]:
    """Return what ``save`` wrote, nothing where there is no file."""
    found: dict[tuple[str, str], Found] = {}
    if path.exists():
        with np.load(path) as file:
            for key in file:
                family, method, name = key.split("|")
                found.setdefault((family, method), {})[name] = file[key].astype(float)
    return found


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


def judged(family: str, method: str, found: Found, sampled: Mapping[str, bool]) -> list[Row]:
    """Return a row of each of these names: p of its ranks, and of the ranks of draws made 5 % too large.

    ``sampled`` says which of them the model samples; the others follow.
    """
    given, flagged = found["refused"] == 0, found["flagged"] == 1
    rows = []
    for name in sampled:
        p = chance(found[name][given])
        rows.append(
            {
                "family": family,
                "method": method,
                "quantity": name,
                "sampled": sampled[name],
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


def outside(rows: list[Row], level: float, column: str = "p") -> list[str]:
    """Return the rows whose ``column`` lies below the level, a line each."""
    return [
        f"{row['family']}, {row['method']}, {row['quantity']}: {column} = {row[column]} is below {level:.5f}"
        for row in rows
        if row[column] is not None and row[column] < level
    ]


def blind(rows: list[Row], level: float) -> list[str]:
    """Return for which families and methods draws 5 % too large would pass, a line each."""
    found = []
    for family, method in dict.fromkeys((row["family"], row["method"]) for row in rows):
        own = [row for row in rows if (row["family"], row["method"]) == (family, method)]
        if min(row["p_biased"] for row in own if row["sampled"]) >= level:
            found.append(f"{family}, {method}: draws 5 % too large pass: too few simulations or customers")
    return found


def verdict(rows: list[Row]) -> list[str]:
    """Return what fails the pass rule, a line each; nothing where it is met."""
    level = (1 - BAND) / len(rows)
    return outside(rows, level) + blind(rows, level)


def draw_figure(found: dict[tuple[str, str], Found], rows: list[Row], path: Path, of: str = "") -> None:
    """Draw the ECDF differences with both bands, a panel a family and method, two families in a row.

    ``of`` is said of every family.
    """
    from bayes_clv.views.style import BLUE, GRID, MUTED, ORANGE, drawing, styled

    families = list(dict.fromkeys(family for family, _ in found))
    methods = [each for each in METHODS if any(each == method for _, method in found)]
    across, level = min(2, len(families)), (1 - BAND) / len(rows)
    lines = -(-len(families) // across)
    with styled():
        # One panel alone would be a strip.
        alone = across * len(methods) == 1
        figure = drawing(3.6 if alone else 1.7 * lines + 0.8, width=7.5 if alone else 11.0)
        panels = figure.subplots(lines, across * len(methods), squeeze=False, sharex=True, sharey=True)
        for ax in panels.flat[len(families) * len(methods) :]:
            ax.axis("off")
        for place, family in enumerate(families):
            for column, method in enumerate(methods):
                ax = panels[place // across, len(methods) * (place % across) + column]
                ax.set_title(f"{find_family(family).words.title}{of}, {method}", fontsize=9)
                if (family, method) not in found:
                    ax.text(0.5, 0, "not run", ha="center", color=MUTED)
                    continue
                records = found[family, method]
                given = records["refused"] == 0
                size = int(given.sum())
                ax.fill_between(POINTS, *band(size, level), color=GRID, lw=0, alpha=0.6)
                ax.fill_between(POINTS, *band(size, 1 - BAND), color=MUTED, alpha=0.22, lw=0)
                own = [row for row in rows if (row["family"], row["method"]) == (family, method)]
                beyond = sum(not row["in_95_band"] for row in own)
                # By where a line is furthest out, about, and on which side: names at one place make one text.
                named: dict[tuple[int, bool], list[tuple[str, np.ndarray]]] = {}
                for row in own:
                    rank = records[row["quantity"]][given]
                    out = not row["in_95_band"]
                    line = below(rank) / size - POINTS
                    ax.plot(
                        POINTS, line, color=ORANGE if out else BLUE, lw=1.3 if out else 0.8, zorder=3 + out
                    )
                    if out:
                        furthest = int(np.abs(line).argmax())
                        above = bool(line[furthest] > 0)
                        near = (each for each in named if each[1] == above and abs(each[0] - furthest) < NEAR)
                        named.setdefault(next(near, (furthest, above)), []).append((row["quantity"], line))
                for (at, above), names in named.items() if beyond <= NAMED else ():
                    ax.annotate(
                        ", ".join(name for name, _ in names).replace("_", " "),
                        (POINTS[at], names[0][1][at]),
                        xytext=(0, 3 if above else -10),
                        textcoords="offset points",
                        ha="left" if at < RANKED / 3 else "right" if at > 2 * RANKED / 3 else "center",
                        color=ORANGE,
                        fontsize=8,
                    )
                if beyond > NAMED:
                    text = f"{beyond} of {len(own)} outside"
                    ax.text(0.02, 0.04, text, transform=ax.transAxes, color=ORANGE, fontsize=8)
                ax.text(0.98, 0.04, f"{size}", transform=ax.transAxes, ha="right", fontsize=8, color=MUTED)
        lowest = [*panels[-1], *(panels[-2, len(methods) :] if len(families) % 2 and lines > 1 else [])]
        for ax in lowest:
            ax.set_xlabel("rank of the truth")
            ax.tick_params(labelbottom=True)
        for ax in panels[:, 0]:
            ax.set_ylabel("ECDF - uniform")
        text = (
            "Ranks of the truth among posterior draws: ECDF less that of uniform ranks. Dark: 95 % simultaneous band; "
            "light: 95 % for all lines of the figure jointly. Orange: outside the dark band. Lower right: number of "
            "simulations."
        )
        figure.suptitle(
            textwrap.fill(text, 90 if alone else 140),
            fontsize=9,
            x=0.01,
            ha="left",
        )
        figure.savefig(path, dpi=130)


def command(
    description: str,
    families: Sequence[str],
    simulated: Callable[[str, str, int], Found],
    judge: Callable[[str, str, Found], list[Row]],
    name: str,
    rule: Callable[[list[Row]], list[str]] = verdict,
    methods: Sequence[str] = METHODS,
    of: str = "",
) -> None:
    """Simulate what is missing, judge, draw; exit with 1 where the pass rule fails.

    ``simulated`` takes a family, a method and a number of simulations, 0 for the full one. The study's ``name`` is that
    of its records, results and figure; ``of`` is said of every family in the latter.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", default="", help="families, comma-separated")
    parser.add_argument("--methods", default=",".join(methods))
    parser.add_argument("--simulations", type=int, default=0, help="instead of the full numbers")
    parser.add_argument("--judge", action="store_true", help="simulate nothing: what is at hand")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else list(families)
    unknown = [each for each in chosen if each not in families]
    if unknown:
        parser.error(f"no family here is called {unknown[0]!r}: {', '.join(families)}")
    folder, ranks = ROOT / "out" / name, ROOT / "studies" / f"{name}_ranks.npz"
    before = saved(ranks) if options.judge else {}
    found = {}
    for method in options.methods.split(","):
        for family in chosen:
            if options.judge:
                either = at_hand(f"{family}-{method}", folder), before.get((family, method))
                got = max(filter(None, either), key=lambda each: each["refused"].size, default=None)
            else:
                got = simulated(family, method, options.simulations)
            if got is None:
                print(f"{family}, {method}: not run")
            else:
                found[family, method] = got
    rows = [row for family in chosen for key in found if key[0] == family for row in judge(*key, found[key])]
    print(*rows[0], sep="  ")
    for row in rows:
        print(*row.values(), sep="  ")
    whole = not (options.only or options.simulations)
    if whole:
        with (ROOT / "studies" / f"{name}_results.csv").open("w", newline="", encoding="utf-8") as target:
            writer = csv.DictWriter(target, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        save(found, ranks)
    draw_figure(found, rows, (ROOT / "figures" if whole else folder) / f"{name}.png", of)
    beyond = sum(not row["in_95_band"] for row in rows)
    level = (1 - BAND) / len(rows)
    print(f"{beyond} of {len(rows)} outside their 95 % band; the bound for all of them is p = {level:.5f}")
    failed = rule(rows)
    print(*(failed or ["The pass rule is met."]), sep="\n")
    if failed and whole:
        raise SystemExit(1)
