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

What was found
    The rule is met: of 154 rows none is below the bound (the lowest p is 0.0035), 148 lie within their own 95 % band,
    where 146 were to be expected, and draws 5 % too large are caught throughout. Pareto/GGG's population purchase rate
    is outside its own by both methods (0.0035, 0.017), which see the same bases and agree on them (ranks correlate by
    0.98): the slopes of its likelihood have mean zero over 240,000 simulated customers
    (``tests/distributions/test_pareto_ggg.py``), where an error of this size would stand out at six standard errors.
    That test found that its simulator forgot purchases sooner than a double can say, which 18 of the 200 bases had;
    all were simulated and fitted again by laplace, and nine by NUTS, whose fits of the other nine are of the bases as
    the old simulator made them: bases of bursts take minutes to fit, and one did not end in half an hour.
    Before laplace made proposals again where the first did not serve, it flagged 18 to 28 % of four families' fits, and
    the flagged ones of two were wrong; now it flags at most 6 %.

Run all with ``uv run python -m studies.calibration`` (two and a half hours of one core, one of them Pareto/GGG by
NUTS), or ``--only bg_nbd --methods laplace --simulations 100``. Records are kept in out/calibration as they come, and a
second call goes on; ``--judge`` simulates nothing and takes what is there, else the ranks of
studies/calibration_ranks.npz, which the whole study writes beside studies/calibration_results.csv and
figures/calibration.png.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bayes_clv.customers.sequences import PURCHASE_SPEND, PURCHASE_TIMES
from bayes_clv.families.contract import Family
from bayes_clv.families.quantities import Prior, resolve, starting_point
from bayes_clv.families.registry import FAMILIES
from bayes_clv.families.registry import family as find_family
from bayes_clv.inference.data import Columns
from studies.ranks import (
    ROOT,
    Draws,
    Effort,
    Found,
    Loop,
    Row,
    Sampler,
    command,
    density_of_data,
    judged,
    kept,
    laplace_sampler,
    nuts_sampler,
)

RECORDS = ROOT / "out" / "calibration"
SIMULATIONS = 500
# An evaluation of their likelihoods is a quadrature of every distinct history: 5 s a simulation instead of 0.5 s.
SLOW = {"pareto_nbd": 200, "pareto_abe": 200, "pareto_ggg": 200}
# A whole quantity is chosen once for a base and not sampled: calibration is at this one.
PRIORS: dict[str, dict[str, Prior | float]] = {"bg_cnbd_k": {"k": 3}, "mbg_cnbd_k": {"k": 3}}
# Of families that read every purchase (``calibration_changing``): a few bases of a thousand purchases a customer would
# take as long as all others.
RATE: dict[str, Prior | float] = {
    "population_purchase_rate": Prior("LogNormal", mu=math.log(0.1), sigma=0.75)
}
PRIORS |= {
    "mbg_nbd_drift": RATE,
    "mbg_nbd_returns": RATE | {"never_returns": Prior("Beta", alpha=1, beta=1)},
    "pareto_nbd_drift": RATE,
}
# Of ``calibration_spend``, weeks: the longest age.
SPENDING = ("lognormal_spend_trend", "lognormal_spend_trend_drift", "gamma_gamma_trend")
PRIORS |= {name: {"trend_span": 78.0} for name in SPENDING}
# What a default prior that is relative to the data counts from here: purchases a week, weeks, money.
SCALE = {
    "population_purchase_rate": 0.1,
    "population_lifetime": 52.0,
    "population_dropout_rate": 1 / 52,
    "population_spend": 30.0,
    # The longest age.
    "rate_half_life": 78.0,
    "mean_sleep": 78.0,
    "spend_half_life": 78.0,
    "trend_span": 78.0,
}


# A double integral of every history: 10 to 20 us a customer and evaluation, where Pareto/NBD's has 3.
SMALL = Effort(customers=200, chains=1, tune=300, thin=4, laplace=1000)
EFFORT = {"pareto_abe": SMALL, "pareto_ggg": replace(SMALL, laplace=400)}
CHANGING = ("mbg_nbd_drift", "mbg_nbd_returns", "pareto_nbd_drift")
EFFORT |= dict.fromkeys((*CHANGING, *SPENDING), replace(SMALL, laplace=400))


@dataclass(frozen=True)
class Design:
    """What is fixed in the simulations of a family.

    Attributes
    ----------
    columns : mapping of str to array
        The family's design: columns of the customers that ``simulate`` is given.
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
    }[find_family(family).kind]
    if family in SPENDING:
        columns |= with_ages(columns["frequency"])
    return Design(columns, PRIORS.get(family, {}), SLOW.get(family, SIMULATIONS), effort)


def with_ages(frequency: np.ndarray) -> Columns:
    """Return ages at so many purchases of each customer, by chance and the same in all bases, and where they begin."""
    rng, size = np.random.default_rng(1), frequency.astype(int)
    T = rng.uniform(26, 78, size.size)
    ages = [np.sort(rng.uniform(0, age, many)) for age, many in zip(T, size, strict=True)]
    start = (np.cumsum(size) - size).astype(float)
    return {"T": T, "purchase_start": start, PURCHASE_TIMES: np.concatenate(ages)}


def simulated(of: Family, rng: np.random.Generator, fixed: Columns, params: Mapping[str, Any]) -> Columns:
    """Return what the family observes of a base that it simulates at these parameters."""
    if of.kind == "spend" and of.over is not None:
        of = of.of(fixed | {PURCHASE_SPEND: np.empty(0)})
    drawn = dict(fixed) | of.simulate(rng, fixed, params)
    return {name: np.asarray(drawn[name], dtype=float) for name in (*of.observed, *read_whole(of))}


def read_whole(of: Family) -> tuple[str, ...]:
    """Return what the family reads of all customers at once, beside a number of each."""
    amounts = (PURCHASE_SPEND,) if of.kind == "spend" else ()
    return () if of.over is None else (PURCHASE_TIMES, *amounts)


# The model, with data that change ------------------------------------------------------------------------


def build(family: str, given: Design) -> tuple[Any, list[str]]:
    """Return the family's PyMC model, its rows and their counts as data, and the names of what is ranked."""
    import pymc as pm

    from bayes_clv.inference.graph import population_variables, recorded_parameters

    of = find_family(family)
    with pm.Model() as model:
        priors = resolve(of.quantities, given.priors, SCALE)
        population = population_variables(of, priors, starting_point(of.quantities, SCALE))
        parameters = recorded_parameters(of, population)
        of = of.of({name: pm.Data(name, np.ones(2)) for name in read_whole(of)})
        for place, term in enumerate(of.likelihood):
            columns = [pm.Data(f"{name}_{place}", np.ones(2)) for name in term.columns]
            count = pm.Data(f"count_{place}", np.ones(2))
            pm.Potential(f"log_likelihood_{place}", (count * term.function(parameters, *columns)).sum())
    names = dict.fromkeys([*population, *of.parameters])
    return model, [name for name in names if name in model.named_vars]


def data_of(of: Family, base: Columns) -> Columns:
    """Return a base as the model's data."""
    from bayes_clv.inference.graph import rows_of_terms

    return rows_of_terms(of, base) | {name: base[name] for name in read_whole(of)}


@cache
def prepared(family: str, method: str) -> tuple[Any, list[str], Sampler]:
    """Return the model, the names of what is ranked, and the compiled method."""
    given = design(family)
    model, names = build(family, given)
    if method == "nuts":
        return model, names, nuts_sampler(model, names, given.effort)
    density = density_of_data if read_whole(find_family(family)) else None
    return model, names, laplace_sampler(model, names, given.effort, density)


# The loop ------------------------------------------------------------------------------------------------


def loop(family: str, method: str, simulations: int, seed: list[int]) -> Loop:
    """Return the loop of a family and a method."""
    of, given = find_family(family), design(family)
    model, names, draw = prepared(family, method)

    def simulator(*, seed: int, **values: Any) -> Columns:
        population = {name: float((given.priors | values)[name]) for name in of.quantities}
        parameters = of.from_quantities(population)
        params = {name: np.float64(parameters[name]) for name in of.parameters}
        return simulated(of, np.random.default_rng(seed), given.columns, params)

    def sampler(base: Columns, seed: int) -> tuple[Draws, dict[str, float]]:
        return draw(data_of(of, base), seed)

    def truth(drawn: Mapping[str, Any]) -> dict[str, float]:
        return {name: float(drawn[name]) for name in names}

    return Loop(model, simulator, sampler, truth, simulations, seed)


def records(family: str, method: str, simulations: int, folder: Path = RECORDS) -> Found:
    """Return ``record`` of every simulation, as arrays; batches that are not in the folder yet are made."""

    # Families do not share their seeds; methods do, so that both see the same bases.
    def batch(start: int, size: int) -> Found:
        return loop(family, method, size, [zlib.crc32(family.encode()), start]).batch()

    return kept(f"{family}-{method}", simulations, folder, batch)


def judge(family: str, method: str, found: Found) -> list[Row]:
    """Return a row of each quantity and parameter that is not fixed."""
    of = find_family(family)
    names = dict.fromkeys([*of.quantities, *of.parameters])
    sampled = {name: name in of.quantities for name in names if name in found}
    return judged(family, method, found, sampled)


def main() -> None:
    """Simulate what is missing, judge, draw; exit with 1 where the pass rule fails."""
    command(
        "Simulation-based calibration of every family.",
        list(FAMILIES),
        lambda family, method, size: records(family, method, size or design(family).simulations),
        judge,
        "calibration",
    )


if __name__ == "__main__":
    main()
