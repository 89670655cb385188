"""What drives an overall answer, or later value: what a point more of each attribute brings, and a point less costs.

Of respondent n with x_ni points above attribute i's mean answer and an overall answer of 1..K (probit, see
``inference.opinions``)::

    η = Σ_i reward_i max(x_ni, 0) - penalty_i max(-x_ni, 0) + wave_t
    reward_i = effect_i + asymmetry_i,   penalty_i = effect_i - asymmetry_i
    effect_i ~ Normal(m, s²),  m ~ Normal(0, 0.5²),  s ~ HalfNormal(0.5);  asymmetry_i ~ Normal(0, a²),  a ~
    HalfNormal(0.3) wave_t: a random walk less its mean, steps ~ Normal(0, w²), w ~ HalfNormal(0.3)

A *hygiene* factor costs more below its mean than it brings above; a *satisfier* brings more (Herzberg; Kano 1984;
tested by penalty and reward as Brandt 1987 does, with one regression in place of two). Attributes lean on each
other: which of ten matters is seldom settled by two hundred answers, and the posterior says so where a ranking of
coefficients does not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_clv.inference.opinions import Answers, Block, check_sampling, diagnosed, sample_answers
from bayes_clv.perceived.markets import ATTRIBUTE
from bayes_clv.perceived.questions import column, segments_of, whole_answers
from bayes_clv.schema import CHAIN, DRAW, InputError, named_quantiles

if TYPE_CHECKING:
    import pandas as pd

WAVE, CUT = "wave", "cut"
EFFECT_SD, ASYMMETRY_SD, WAVE_SD = 0.5, 0.3, 0.3
# Beyond which a factor is called by its kind.
SETTLED = 0.9


def fit_drivers(
    answers: "pd.DataFrame",
    overall: str,
    attributes: Sequence[str],
    *,
    scale: tuple[int, int] = (1, 7),
    overall_scale: tuple[int, int] | None = None,
    wave: str | None = None,
    draws: int = 1000,
    tune: int = 500,
    chains: int = 4,
    seed: int,
) -> xr.DataTree:
    """Return the posterior of what a point of each attribute brings to an overall answer, and what a point less costs.

    Parameters
    ----------
    answers
        One row a respondent; rows that lack one of the answers are left out and counted.
    overall
        Column of the overall judgement; or of later value in classes, as ``pandas.qcut(value, 5, labels=False)``
        makes them.
    attributes
        Columns of the attributes' answers.
    scale, overall_scale
        Lowest and highest answer to attributes, and to the overall question where its scale is another.
    wave
        Column with the wave of each respondent, sorted as text: the level may move from wave to wave.
    draws, tune, chains, seed
        As ``fit_answers``.

    Returns
    -------
    xarray.DataTree
        ``posterior``: ``reward`` and ``penalty`` (chain, draw, attribute), probit units a point; ``cutpoint`` (cut);
        ``effect_mean`` and the blocks' standard deviations; ``wave_level`` (wave) where there are several.
        ``attrs`` has ``left_out`` and ``diagnostics``. For ``driver_kinds``.

    Raises
    ------
    InputError
        Columns that are not there, answers outside the scale (with the row), an attribute that all answer alike,
        fewer than two attributes or complete rows.

    Notes
    -----
    An association among those who answered: that raising an attribute raises the judgement is not shown by it.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> said = np.random.default_rng(1).integers(1, 8, (60, 3))
    >>> table = pd.DataFrame(said, columns=["overall", "taste", "support"])
    >>> found = fit_drivers(table, "overall", ["taste", "support"], draws=50, tune=50, chains=2, seed=1)
    >>> found["posterior"]["reward"].dims
    ('chain', 'draw', 'attribute')
    """
    check_sampling(draws, tune, chains, seed)
    names = [str(name) for name in attributes]
    if len(set(names)) != len(names) or len(names) < 2 or overall in names:
        raise InputError(
            "attributes= needs two or more different columns, and not the overall answer among them."
        )
    wanted = [overall, *names, *([] if wave is None else [wave])]
    complete = np.logical_and.reduce([column(answers, name).notna().to_numpy() for name in wanted])
    used = answers[complete]
    if len(used) < 2:
        raise InputError(
            f"{len(used)} of {len(answers):,} respondents answered everything. Leave out what few answered."
        )
    low, high = scale if overall_scale is None else overall_scale
    answer = whole_answers(used, overall, (low, high))[0] - low
    points = np.stack([whole_answers(used, name, scale)[0] for name in names], axis=1).astype(float)
    alike = np.ptp(points, axis=0) == 0
    if alike.any():
        raise InputError(
            f"All answer {names[int(np.flatnonzero(alike)[0])]!r} alike, so that it tells nothing. Leave it out."
        )
    waves, of_row = segments_of(used, wave)
    design, blocks = _design(points - points.mean(axis=0), of_row, len(waves))
    data = Answers(answer, np.arange(answer.size), design, blocks, high - low + 1)
    found = sample_answers(data, draws=draws, tune=tune, chains=chains, seed=seed)
    effects = found.pop("effects")
    at = {block.name: effects[..., block.columns] for block in blocks}
    effect = at["effect_mean"] + at["effect"]
    values = {
        "reward": ((CHAIN, DRAW, ATTRIBUTE), effect + at["asymmetry"]),
        "penalty": ((CHAIN, DRAW, ATTRIBUTE), effect - at["asymmetry"]),
        "cutpoint": ((CHAIN, DRAW, CUT), found.pop("cutpoint")),
        "effect_mean": ((CHAIN, DRAW), at["effect_mean"][..., 0]),
    }
    coords = {ATTRIBUTE: np.array(names, dtype=object), CUT: np.arange(low, high)}
    if len(waves) > 1:
        values["wave_level"] = ((CHAIN, DRAW, WAVE), at["wave"] @ _walk(len(waves)).T)
        coords[WAVE] = np.array(waves, dtype=object)
    posterior = xr.Dataset(
        values | {name: ((CHAIN, DRAW), each) for name, each in found.items()}, coords=coords
    )
    tree = xr.DataTree.from_dict({"posterior": posterior})
    tree.attrs = {"result": "drivers", "overall": overall, "seed": seed, "left_out": len(answers) - len(used)}
    tree.attrs["diagnostics"] = diagnosed(posterior)
    return tree


def driver_kinds(posterior: xr.DataTree) -> xr.Dataset:
    """Return which attributes matter, which are hygiene and which satisfy, and the weights that they make.

    Parameters
    ----------
    posterior
        Of ``fit_drivers``.

    Returns
    -------
    xarray.Dataset
        By attribute: ``reward`` and ``penalty`` as ``_mean``, ``_q05``, ``_q95``; ``probability_matters``, that
        reward and penalty together are above 0; ``probability_hygiene``, that the penalty is the greater; ``kind``:
        "hygiene" or "satisfier" where that is settled (.9), else "not settled"; and ``weight_draws`` (draw,
        attribute), shares: an attribute's mean effect over the sum of all, none below 0, with ``weight_mean``,
        ``_q05``, ``_q95``. For ``market`` and ``weighted_score``.

    Raises
    ------
    InputError
        For what ``fit_drivers`` did not return; a posterior in which some draws have no attribute that matters.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> taste = rng.integers(1, 8, 200)
    >>> table = pd.DataFrame({"overall": taste, "taste": taste, "support": rng.integers(1, 8, 200)})
    >>> fitted = fit_drivers(table, "overall", ["taste", "support"], draws=50, tune=50, chains=2, seed=1)
    >>> float(driver_kinds(fitted)["weight_mean"].sel(attribute="taste")) > 0.8
    True
    """
    if not isinstance(posterior, xr.DataTree) or posterior.attrs.get("result") != "drivers":
        raise InputError(
            "These are no drivers. Fit them: clv.perceived.fit_drivers(answers, overall, attributes)."
        )
    drawn = posterior["posterior"].to_dataset()
    flat = {
        name: drawn[name].to_numpy().reshape(-1, drawn.sizes[ATTRIBUTE]) for name in ("reward", "penalty")
    }
    effect = np.maximum(flat["reward"] + flat["penalty"], 0.0)
    if not effect.any(axis=1).all():
        raise InputError(
            f"In {int((~effect.any(axis=1)).sum())} of {effect.shape[0]:,} draws no attribute matters, so that there "
            "are no weights. Ask more respondents, or other attributes."
        )
    weight = effect / effect.sum(axis=1, keepdims=True)
    hygiene = (flat["penalty"] > flat["reward"]).mean(axis=0)
    kind = np.where(
        hygiene >= SETTLED, "hygiene", np.where(hygiene <= 1 - SETTLED, "satisfier", "not settled")
    )
    found = xr.Dataset(
        {
            "probability_matters": (ATTRIBUTE, (flat["reward"] + flat["penalty"] > 0).mean(axis=0)),
            "probability_hygiene": (ATTRIBUTE, hygiene),
            "kind": (ATTRIBUTE, kind.astype(object)),
            "weight_draws": ((DRAW, ATTRIBUTE), weight),
        },
        coords={ATTRIBUTE: drawn[ATTRIBUTE].to_numpy()},
    )
    units = {"reward": "probit units a point", "penalty": "probit units a point", "weight": "share"}
    for name, values in (*flat.items(), ("weight", weight)):
        quantile = named_quantiles(values, axis=0)
        for end, each in (("mean", values.mean(axis=0)), ("q05", quantile["q05"]), ("q95", quantile["q95"])):
            found[f"{name}_{end}"] = (ATTRIBUTE, each, {"units": units[name]})
    found.attrs = {"result": "driver kinds", "diagnostics": posterior.attrs["diagnostics"]}
    return found


def _walk(waves: int) -> np.ndarray:
    """Return what makes levels, less their mean, of the steps of a random walk."""
    walk = np.tril(np.ones((waves, waves)))
    return walk - walk.mean(axis=0)


def _design(above: np.ndarray, wave: np.ndarray, waves: int) -> tuple[np.ndarray, tuple[Block, ...]]:
    """Return the design and its blocks: reward and penalty are effects of x and of |x|, less its mean."""
    size = np.abs(above)
    parts = [
        ("effect_mean", above.sum(axis=1, keepdims=True), EFFECT_SD, True),
        ("effect", above, EFFECT_SD, False),
        ("asymmetry", size - size.mean(axis=0), ASYMMETRY_SD, False),
    ]
    if waves > 1:
        parts.append(("wave", _walk(waves)[wave], WAVE_SD, False))
    ends = np.cumsum([0, *(each.shape[1] for _, each, _, _ in parts)])
    blocks = tuple(
        Block(name, np.arange(start, end), width, fixed)
        for (name, _, width, fixed), start, end in zip(parts, ends[:-1], ends[1:], strict=True)
    )
    return np.concatenate([each for _, each, _, _ in parts], axis=1), blocks
