"""Ordered answers: a hierarchical probit of items, facets and respondents, or of what drives an overall answer.

An answer y of 1..K with location η and cutpoints c_1 < ... < c_{K-1}::

    P(y <= k) = Φ(c_k - η),   c_k = Φ⁻¹(π_1 + ... + π_k),   π ~ Dirichlet(1, ..., 1)

so that π are the shares of answers where η is 0, whatever the scale. η is a sum of effects in blocks, those of a
block Normal(0, s²) with one s ~ HalfNormal(its width), and of a respondent's own inclination to answer high.

**Gibbs, not NUTS.** The same model in PyMC took 187 s of processor time for 200 respondents of ten items, of which
most was compiling (of 60 functions, whatever the size). With a latent normal number behind each answer (Albert &
Chib 1993, J. American Statistical Association 88, 669-679) all effects are drawn at once. Cutpoints are moved with
the latent numbers integrated out (Cowles 1996, Statistics and Computing 6, 101-111), and each s twice, given the
effects and given the effects over s (Yu & Meng 2011, J. Computational and Graphical Statistics 20, 531-570): else
few effects hold it. At last all are made larger or smaller together (Liu & Sabatti 2000, Biometrika 87, 353-369).
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.linalg import cho_solve, solve_triangular
from scipy.special import ndtr, ndtri

from bayes_clv.problems import ESS_PER_CHAIN, RHAT_MAX, problem
from bayes_clv.schema import CHAIN, DRAW, InputError, Problem, argument, check_seed

# Beyond it a normal number is never met, and its distribution function is 0 or 1 in double precision.
FAR = 37.0
RESPONDENT_SD = 1.5
# Of proposed moves of a cutpoint are taken, about.
TAKEN = 0.44


@dataclass(frozen=True)
class Block:
    """Effects of one kind: their columns of the design, and the width of the prior of their standard deviation.

    Where ``fixed`` the standard deviation is that width.
    """

    name: str
    columns: np.ndarray
    width: float
    fixed: bool = False


@dataclass(frozen=True)
class Answers:
    """Answers (answer) from 0, each of a row of ``design`` (row, effect) and, perhaps, of a respondent from 0."""

    answer: np.ndarray
    row: np.ndarray
    design: np.ndarray
    blocks: tuple[Block, ...]
    most: int
    respondent: np.ndarray | None = None


def check_sampling(draws: int, tune: int, chains: int, seed: int) -> None:
    """Refuse numbers of draws that cannot be, or a seed that is none."""
    check_seed(seed)
    for name, value, least in (("draws", draws, 1), ("tune", tune, 0), ("chains", chains, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{argument(name, value)} must be a whole number from {least}.")


def sample_answers(data: Answers, *, draws: int, tune: int, chains: int, seed: int) -> dict[str, np.ndarray]:
    """Return draws of the effects (chain, draw, effect), cutpoints (chain, draw, cut) and each block's ``{name}_sd``.

    With respondents also of ``respondent_sd``. The first ``tune`` draws of each chain are not kept.
    """
    found = [_chain(data, draws, tune, rng) for rng in np.random.default_rng(seed).spawn(chains)]
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def diagnosed(posterior: xr.Dataset) -> str:
    """Return R-hat, effective sample sizes and what failed, as an attribute ``diagnostics`` holds it."""
    import arviz as az

    varying = xr.Dataset()
    for name, values in posterior.data_vars.items():
        drawn = values.transpose(CHAIN, DRAW, ...).to_numpy()
        flat = drawn.reshape(*drawn.shape[:2], -1)
        # The offset of a facet's only question is 0 in every draw.
        moves = np.ptp(flat, axis=(0, 1)) > 1e-12
        if moves.any():
            varying[name] = ((CHAIN, DRAW, f"of_{name}"), flat[..., moves])
    needed = ESS_PER_CHAIN * posterior.sizes[CHAIN]
    problems: list[Problem] = []
    rhat = math.nan
    if posterior.sizes[CHAIN] < 2:
        problems.append(problem("one_chain"))
    else:
        rhat = max(float(each.max()) for each in az.rhat(varying).values())
        if not rhat < RHAT_MAX:
            problems.append(problem("rhat", rhat=rhat))
    ess = min(float(each.min()) for each in az.ess(varying).values())
    if not ess >= needed:
        problems.append(problem("ess", ess=ess, needed=needed))
    report = {"passed": not problems, "rhat_max": rhat, "ess_bulk_min": ess}
    return json.dumps(report | {"problems": [each.record() for each in problems]})


def _chain(data: Answers, draws: int, tune: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the draws of one chain."""
    rows, effects = data.design.shape
    weight = np.bincount(data.row, minlength=rows).astype(float)
    square = data.design.T @ (weight[:, None] * data.design)
    sd = {block.name: block.width * (1.0 if block.fixed else rng.uniform(0.3, 1.0)) for block in data.blocks}
    cut = ndtri(
        np.cumsum(np.bincount(data.answer, minlength=data.most) + 1.0)[:-1] / (data.answer.size + data.most)
    )
    step = np.full(cut.size, 0.2)
    beta, sd_own = np.zeros(effects), rng.uniform(0.3, RESPONDENT_SD)
    own = np.zeros(0 if data.respondent is None else int(data.respondent.max()) + 1)
    kept: dict[str, list[Any]] = {"effects": [], "cutpoint": []}
    kept |= {f"{block.name}_sd": [] for block in data.blocks if not block.fixed}
    if data.respondent is not None:
        kept["respondent_sd"] = []
    for turn in range(-tune, draws):
        eta = (data.design @ beta)[data.row]
        if data.respondent is not None:
            eta = eta + own[data.respondent]
        cut, step = _moved(cut, step, eta, data.answer, turn, rng)
        latent = _latent(cut, eta, data.answer, rng)
        if data.respondent is not None:
            fitted = (data.design @ beta)[data.row]
            own, sd_own = _respondents(latent - fitted, data.respondent, own, sd_own, rng)
            # All respondents and all cutpoints may move together without any answer noticing: drawn at once.
            loose = cut.size + own.size / sd_own**2
            shift = -(cut.sum() + own.sum() / sd_own**2) / loose + rng.standard_normal() / math.sqrt(loose)
            cut, own, latent = cut + shift, own + shift, latent + shift
            latent = latent - own[data.respondent]
        pull = data.design.T @ np.bincount(data.row, weights=latent, minlength=rows)
        beta, sd = _effects(square, pull, data.blocks, sd, rng)
        rest = latent - (data.design @ beta)[data.row]
        larger = _scale(rest, cut, beta, data.blocks, sd, sd_own if own.size else None, rng)
        beta, cut, own, sd_own = larger * beta, larger * cut, larger * own, larger * sd_own
        sd = {block.name: sd[block.name] * (1.0 if block.fixed else larger) for block in data.blocks}
        if turn >= 0:
            kept["effects"].append(beta)
            kept["cutpoint"].append(cut)
            for block in data.blocks:
                if not block.fixed:
                    kept[f"{block.name}_sd"].append(sd[block.name])
            if data.respondent is not None:
                kept["respondent_sd"].append(sd_own)
    return {name: np.array(values) for name, values in kept.items()}


def _moved(
    cut: np.ndarray,
    step: np.ndarray,
    eta: np.ndarray,
    answer: np.ndarray,
    turn: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cutpoints, each moved between its neighbours, and the lengths of their steps."""
    ends = np.concatenate([[-FAR], cut, [FAR]])
    step = step.copy()
    near = [eta[answer == k] for k in range(cut.size + 1)]
    for k in range(cut.size):
        there = ends[k + 1] + step[k] * rng.standard_normal()
        taken = False
        if ends[k] < there < ends[k + 2]:
            change = 0.5 * (ends[k + 1] ** 2 - there**2)
            for place, sign in ((there, 1.0), (ends[k + 1], -1.0)):
                change += sign * _log_between(ends[k] - near[k], place - near[k]).sum()
                change += sign * _log_between(place - near[k + 1], ends[k + 2] - near[k + 1]).sum()
            taken = math.log(rng.random()) < change
        if taken:
            ends[k + 1] = there
        if turn < 0:
            step[k] *= math.exp((float(taken) - TAKEN) * 0.1)
    return ends[1:-1], step


def _log_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return log(Φ(high) - Φ(low)), taken in the tail where both are."""
    turned = low > 0
    below, above = np.where(turned, -high, low), np.where(turned, -low, high)
    return np.asarray(np.log(np.maximum(ndtr(above) - ndtr(below), 1e-300)))


def _latent(cut: np.ndarray, eta: np.ndarray, answer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a normal number about each η between the cutpoints on either side of its answer."""
    ends = np.concatenate([[-FAR], cut, [FAR]])
    low, high = ends[answer] - eta, ends[answer + 1] - eta
    turned = low > 0
    below, above = ndtr(np.where(turned, -high, low)), ndtr(np.where(turned, -low, high))
    drawn = ndtri(np.clip(below + rng.random(eta.size) * (above - below), 1e-300, 1 - 1e-16))
    return np.asarray(eta + np.clip(np.where(turned, -drawn, drawn), low, high))


def _respondents(
    rest: np.ndarray, respondent: np.ndarray, own: np.ndarray, sd: float, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Return respondents' inclinations and their standard deviation, given what the effects leave."""
    counts = np.bincount(respondent, minlength=own.size)
    total = np.bincount(respondent, weights=rest, minlength=own.size)
    precision = counts + 1 / sd**2
    own = total / precision + rng.standard_normal(own.size) / np.sqrt(precision)
    sd = _given_effects(own, sd, RESPONDENT_SD, rng)
    plain = own / sd
    sd = _given_plain(float(plain**2 @ counts), float(plain @ total), RESPONDENT_SD, rng)
    return sd * plain, sd


def _effects(
    square: np.ndarray,
    pull: np.ndarray,
    blocks: tuple[Block, ...],
    sd: dict[str, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, dict[str, float]]:
    """Return all effects at once, then each block's standard deviation, given the effects and given their quotient."""
    scale = np.empty(pull.size)
    for block in blocks:
        scale[block.columns] = sd[block.name]
    root = np.linalg.cholesky(square + np.diag(scale**-2.0))
    beta = cho_solve((root, True), pull) + solve_triangular(root.T, rng.standard_normal(pull.size))
    sd = dict(sd)
    for block in blocks:
        if block.fixed:
            continue
        at = block.columns
        value = _given_effects(beta[at], sd[block.name], block.width, rng)
        plain = beta[at] / value
        rest = pull[at] - square[at] @ beta + square[np.ix_(at, at)] @ beta[at]
        information = float(plain @ square[np.ix_(at, at)] @ plain)
        value = _given_plain(information, float(plain @ rest), block.width, rng)
        beta[at] = value * plain
        sd[block.name] = value
    return beta, sd


def _scale(
    rest: np.ndarray,
    cut: np.ndarray,
    beta: np.ndarray,
    blocks: tuple[Block, ...],
    sd: dict[str, float],
    sd_own: float | None,
    rng: np.random.Generator,
) -> float:
    """Return by how much all of it is larger: latent numbers, cutpoints, effects and standard deviations at once.

    Where answers follow the effects almost without chance they are large together, and one at a time they hardly move.
    Each has a normal density in the factor g, or one that g leaves as it is, so that g² is a gamma number and drawn
    exactly (Liu & Sabatti 2000, Biometrika 87, 353-369: the density along a group, times its invariant measure).
    """
    moving = [sd[block.name] / block.width for block in blocks if not block.fixed]
    moving += [] if sd_own is None else [sd_own / RESPONDENT_SD]
    # Effects whose standard deviation moves with them keep their density; its factor takes what they add of measure.
    fixed = [beta[block.columns] / block.width for block in blocks if block.fixed]
    all_of_it = np.concatenate([rest, cut, np.array(moving), *fixed])
    return math.sqrt(rng.chisquare(all_of_it.size) / float(all_of_it @ all_of_it))


def _given_effects(effects: np.ndarray, sd: float, width: float, rng: np.random.Generator) -> float:
    """Return a standard deviation after Metropolis steps on its logarithm, given effects."""
    total = float(effects @ effects)

    def density(value: float) -> float:
        prior = -(value**2) / (2 * width**2)
        return float(prior - (effects.size - 1) * math.log(value) - total / (2 * value**2))

    now = density(sd)
    for length in (1.0, 0.3):
        other = sd * math.exp(length * rng.standard_normal())
        there = density(other)
        if math.log(rng.random()) < there - now:
            sd, now = other, there
    return sd


def _given_plain(information: float, pull: float, width: float, rng: np.random.Generator) -> float:
    """Return a standard deviation s given effects over s: normal with half a normal's prior, so normal above 0."""
    precision = information + width**-2
    mean, spread = pull / precision, precision**-0.5
    # Φ from the upper side, which is exact far out.
    upper = float(ndtr(mean / spread))
    drawn = -float(ndtri(max(rng.random() * upper, 1e-300)))
    return max(float(mean + spread * drawn), 1e-8)
