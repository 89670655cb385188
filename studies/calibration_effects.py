"""Is inference with covariates and groups calibrated: simulation-based calibration of hierarchical fits.

Question
    Draw every unknown from its prior (population quantities, coefficients, the groups' standard deviations and
    offsets), simulate each customer at its own parameters, fit: does the truth rank among the posterior draws as any
    other draw would? ``studies.calibration`` asks it of fits without effects; ranks, band and chance are the same.
Pass rule, stated before the run
    Ranked are every population quantity and parameter, every coefficient, every group standard deviation, and of the
    largest and the smallest channel the offsets, the quantities and the parameters of the paper (population and effect
    together, at the average covariate). The bound is that of ``studies.calibration``: p = 0.05 / (number of rows, of
    all cases and both methods); nothing is run again with another seed. It passes if

    1. by NUTS no row has p below the bound, whatever its checks say of a fit;
    2. by laplace no row has ``p_unflagged`` below it: of the fits that its Pareto k lets pass, which are those that it
       promises anything of, where there are 20 of them. Thirty dimensions with funnels in them are no place for a peak
       and its curvature, so that k should flag most fits, and with fewer than 20 others there is nothing to judge;
    3. in each case, draws by NUTS made 5 % too large fall below the bound in at least one row.

    Reported beside the rule: ``covered``, the share of truths between the 5th and the 95th of 100 draws, of which a
    right method has 91 / 101 = 0.901.

What was found
    The rule is met. By NUTS none of 78 rows is below the bound (the lowest p is 0.047) and one lies outside its own
    95 % band, where four were to be expected; ``covered`` is 0.85 to 0.95, 0.905 in the middle; draws 5 % too large
    are caught in every case. Laplace flags 50, 54 and 3 % of the fits (BG/NBD, Gamma-Gamma, shifted-beta-geometric),
    and the others are right (the lowest ``p_unflagged`` is 0.008), if with few draws: 4,000 are worth some 600, 700
    and 3,000. The flagged ones are wrong in the first two, so that the flag is worth heeding. Its k is often no number
    there, one proposal having all the weight; why was not looked into. (A first run was with laplace as it was before
    it made proposals again, and before BG/NBD's terms kept their digits: it flagged 98, 99 and 84 %.) Of laplace there
    are 100 simulations and not 200, since the machine was busy; they say it as well.

The model is the one ``fit`` builds (``build_model``, groups anchored), compiled once, with the rows of each simulation
put in; the truth is drawn from the same graph as stated, as ``include=["prior"]`` does. The design is fixed: 500
customers in five channels of 300, 120, 50, 20 and 10, and five levels of the covariate, which are 25 profiles. NUTS
takes the small steps that ``fit`` takes for groups, in two chains of 500 draws, every tenth kept, after 400 tuning
steps (of the two smaller models 250, every fifth kept, after 300); laplace makes its 4,000.

What this cannot show: the link is one function (``Effects.quantities_of``) for simulation and fit alike, so that an
error in it would cancel; ``tests/inference/test_effects.py`` holds it against the formula written out.

Run all with ``uv run python -m studies.calibration_effects``, or ``--only bg_nbd --methods laplace --simulations 100``.
Records are kept in out/calibration_effects as they come, and a second call goes on; ``--judge`` simulates nothing and
takes what is there, else the ranks of studies/calibration_effects_ranks.npz, which the whole study writes beside
studies/calibration_effects_results.csv and figures/calibration_effects.png.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.families.contract import Family
from bayes_clv.families.quantities import resolve, starting_point
from bayes_clv.families.registry import family as find_family
from bayes_clv.inference.data import Columns
from bayes_clv.inference.effects import Effects, Profiles, learn_effects
from studies.calibration import SCALE, simulated
from studies.ranks import (
    BAND,
    ROOT,
    Draws,
    Effort,
    Found,
    Loop,
    Row,
    Sampler,
    blind,
    command,
    judged,
    kept,
    laplace_sampler,
    nuts_sampler,
    outside,
)

RECORDS = ROOT / "out" / "calibration_effects"
SIZES = {"search": 300, "social": 120, "email": 50, "affiliate": 20, "podcast": 10}
# Of the covariate, years: few, so that customers of one channel and age share a profile.
AGES = (25.0, 35.0, 40.0, 50.0, 70.0)
# Laplace flags nearly every fit, which a hundred tell as well.
SIMULATIONS = {"nuts": 200, "laplace": 100}
EFFORT = Effort(tune=400)
# Of 11 to 19 dimensions, where BG/NBD has 30.
SHORT = Effort(tune=300, thin=5)
# Ranks within these are those of a truth between the 5th and the 95th of 100 draws.
INSIDE = (5, 95)


@dataclass(frozen=True)
class Case:
    """Which columns act on what, as ``fit`` takes them; ``column`` is the one that ``simulate`` takes.

    ``groups`` empty is the channel on every quantity. ``ranked`` are the channels whose own values are ranked.
    """

    column: str
    covariates: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] | str = "channel"
    sizes: dict[str, int] = field(default_factory=lambda: SIZES)
    ranked: tuple[str, ...] = ("search", "podcast")
    effort: Effort = EFFORT


CASES = {
    "bg_nbd": Case("T", {"purchase": "age", "dropout": "age"}),
    "gamma_gamma": Case("frequency", {"spend": "age"}, effort=SHORT),
    "shifted_beta_geometric": Case("periods", effort=SHORT),
}


@dataclass(frozen=True)
class Setting:
    """What is fixed in the simulations of a case."""

    family: Family
    case: Case
    columns: Columns
    effects: Effects
    profiles: Profiles


def setting(family: str, case: Case) -> Setting:
    """Return a case's customers, its effects as ``fit`` learns them, and the customers' profiles."""
    chosen = find_family(family)
    channel = np.repeat(np.array(list(case.sizes), dtype=object), list(case.sizes.values()))
    # Each channel has customers of all ages of the base and of the covariate.
    rng = np.random.default_rng(1)
    place = (rng.permutation(channel.size) + 0.5) / channel.size
    columns = {
        "T": {"T": 26 + 4 * np.floor(14 * place)},
        "frequency": {"frequency": np.ceil(np.log(1 - place) / np.log(0.7))},
        "periods": {"periods": np.ceil(4 + 8 * place)},
    }[case.column]
    described = {"channel": channel, "age": np.resize(AGES, channel.size)}
    customers = xr.Dataset(
        {name: ("customer", column) for name, column in described.items()},
        coords={"customer": np.arange(channel.size).astype(str).astype(object)},
    )
    effects = learn_effects(chosen, customers, case.covariates, case.groups)
    assert effects is not None
    return Setting(chosen, case, columns, effects, effects.profiles(customers))


def simulated_base(of: Setting, rng: np.random.Generator, values: Mapping[str, Any]) -> Columns:
    """Return what is observed of a base, each customer simulated at its own parameters."""
    profiles = of.profiles
    found = of.effects.parameters(np, of.family, values, profiles.design, profiles.place)
    # A parameter that nothing acts on is one number.
    params = {name: np.resize(each, profiles.index.max() + 1)[profiles.index] for name, each in found.items()}
    return simulated(of.family, rng, of.columns, params)


def models(of: Setting) -> tuple[Any, Any, list[str]]:
    """Return the graph that the truth is drawn from, that of ``fit`` with rows as data, and its variables."""
    from bayes_clv.inference.graph import build_model

    priors = resolve(of.family.quantities | of.effects.quantities(), None, SCALE)
    start = starting_point(of.family.quantities, SCALE)
    # Any base of these customers serves to build it.
    average = {name: np.float64(value) for name, value in start.items()} | {
        name: np.zeros([len(of.effects.coords()[dim]) for dim in dims])
        for name, dims in of.effects.dims().items()
    }
    rows = simulated_base(of, np.random.default_rng(1), average) | {"profile": of.profiles.index}
    count = np.ones(of.profiles.index.size, dtype=np.int64)
    stated, built = (
        build_model(
            of.family, rows, count, priors, start, of.effects, of.profiles, as_stated=each, changing=not each
        )
        for each in (True, False)
    )
    return stated.graph, built.graph, built.names


def ranked(of: Setting, values: Mapping[str, np.ndarray]) -> Draws:
    """Return what is ranked, a number a draw, from the model's variables, draws first."""
    named = {name: value for name, value in values.items() if value.ndim == 1}
    last = {name: np.moveaxis(value, 0, -1) for name, value in values.items()}
    labels = of.effects.coords()
    for effect in of.effects.each:
        if effect.encodings:
            own = dict(zip(effect.labels, last[effect.coefficient], strict=True))
            named |= {f"{effect.coefficient}[{label}]": value for label, value in own.items()}
    for channel in of.case.ranked:
        place = {"channel": np.array([labels["channel"].index(channel)])}
        found = {
            effect.offset("channel"): last[effect.offset("channel")][place["channel"]]
            for effect in of.effects.each
            if effect.groups
        }
        found |= of.effects.quantities_of(np, of.family, last, {}, place)
        found |= of.effects.parameters(np, of.family, last, {}, place)
        named |= {f"{name}[{channel}]": value.reshape(-1) for name, value in found.items()}
    return named


def sampled(of: Setting, name: str) -> bool:
    """Return whether the prior is stated on this: an offset's is, given its standard deviation."""
    return name.split("[")[0] in of.effects.dims() or name in of.family.quantities


def prepared(of: Setting, method: str) -> tuple[Any, Sampler]:
    """Return the graph that a case's truth is drawn from, and the compiled method: of a base what is ranked."""
    from bayes_clv.inference.graph import rows_of_terms
    from bayes_clv.inference.sampling.laplace import TARGET_ACCEPT

    stated, model, names = models(of)
    if method == "laplace":
        draw = laplace_sampler(model, names, of.case.effort)
    else:
        draw = nuts_sampler(model, names, of.case.effort, target_accept=TARGET_ACCEPT)

    def sampler(base: Columns, seed: int) -> tuple[Draws, dict[str, float]]:
        draws, report = draw(rows_of_terms(of.family, base | {"profile": of.profiles.index}), seed)
        return ranked(of, draws), report

    return stated, sampler


def loop(of: Setting, stated: Any, sampler: Sampler, simulations: int, seed: list[int]) -> Loop:
    """Return the loop of a case: truth from the ``stated`` graph, posterior draws from the sampler."""
    names = dict.fromkeys([*of.family.quantities, *of.family.parameters, *of.effects.dims()])

    def simulator(*, seed: int, **values: Any) -> Columns:
        return simulated_base(of, np.random.default_rng(seed), values)

    def truth(drawn: Mapping[str, Any]) -> dict[str, float]:
        found = ranked(of, {name: np.asarray(drawn[name])[None] for name in names})
        return {name: float(value[0]) for name, value in found.items()}

    return Loop(stated, simulator, sampler, truth, simulations, seed)


@cache
def ready(family: str, method: str) -> tuple[Setting, Any, Sampler]:
    """Return a case of the study, prepared once."""
    of = setting(family, CASES[family])
    return of, *prepared(of, method)


def records(family: str, method: str, simulations: int, folder: Path = RECORDS) -> Found:
    """Return ``record`` of every simulation, as arrays; batches that are not in the folder yet are made."""

    # Methods share their seeds, so that both see the same bases.
    def batch(start: int, size: int) -> Found:
        seed = [zlib.crc32(f"{family} with effects".encode()), start]
        return loop(*ready(family, method), size, seed).batch()

    return kept(f"{family}-{method}", simulations, folder, batch)


def covered(rank: np.ndarray) -> float:
    """Return the share of ranks of a truth between the 5th and the 95th draw; by right (INSIDE) 0.901."""
    return float(((rank >= INSIDE[0]) & (rank <= INSIDE[1])).mean())


def judge(family: str, method: str, found: Found) -> list[Row]:
    """Return a row of everything that is ranked."""
    of = setting(family, CASES[family])
    names = [name.removesuffix(" biased") for name in found if name.endswith(" biased")]
    rows = judged(family, method, found, {name: sampled(of, name) for name in names})
    given = found["refused"] == 0
    return [row | {"covered": round(covered(found[row["quantity"]][given]), 3)} for row in rows]


def rule(rows: list[Row]) -> list[str]:
    """Return what fails the pass rule, a line each; nothing where it is met."""
    level = (1 - BAND) / len(rows)
    by_nuts, by_laplace = ([row for row in rows if row["method"] == method] for method in ("nuts", "laplace"))
    return outside(by_nuts, level) + outside(by_laplace, level, "p_unflagged") + blind(by_nuts, level)


def main() -> None:
    """Simulate what is missing, judge, draw; exit with 1 where the pass rule fails."""
    command(
        "Simulation-based calibration of fits with covariates and groups.",
        list(CASES),
        lambda family, method, size: records(family, method, size or SIMULATIONS[method]),
        judge,
        "calibration_effects",
        rule,
    )


if __name__ == "__main__":
    main()
