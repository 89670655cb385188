"""Quality and value as they are perceived: facets of several questions each, in one hierarchical ordered model.

SERVQUAL asks what customers expect and what they perceive, in five dimensions (Parasuraman, Zeithaml & Berry 1988,
Journal of Retailing 64, 12-40: tangibles, reliability, responsiveness, assurance, empathy), and takes differences
of means: its gap. A score of value asks in seven: functional, emotional, social, service, price, relationship,
personal. Either is here a probit with facets, segments, questions and respondents as effects
(``inference.opinions``), so that who answers high throughout is known as such, small segments lean on the others,
and a gap has its interval.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy.special import ndtr

from bayes_clv.inference.opinions import Answers, Block, check_sampling, diagnosed, sample_answers
from bayes_clv.perceived.questions import segments_of, whole_answers
from bayes_clv.schema import CHAIN, DRAW, InputError, named_quantiles

if TYPE_CHECKING:
    import pandas as pd

SEGMENT, KIND, FACET, ITEM, CUT = "segment", "kind", "facet", "item", "cut"
PERCEIVED, EXPECTED = "perceived", "expected"
FACET_SD, SEGMENT_SD, ITEM_SD = 1.0, 0.5, 0.5


def fit_answers(
    answers: "pd.DataFrame",
    perceived: Mapping[str, Sequence[str]],
    *,
    expected: Mapping[str, Sequence[str]] | None = None,
    scale: tuple[int, int] = (1, 7),
    by: str | None = None,
    draws: int = 1000,
    tune: int = 500,
    chains: int = 4,
    seed: int,
) -> xr.DataTree:
    """Return the posterior of facets of quality or value, by segment, from questions on an ordered scale.

    Parameters
    ----------
    answers
        One row a respondent; a question that he left out is missing.
    perceived
        Of each facet the columns of its questions: ``{"reliability": ["on_time", "no_errors"], ...}``.
    expected
        The same facets with the questions on what should be, for gaps.
    scale
        Lowest and highest answer, of all questions.
    by
        Column with the respondent's segment.
    draws, tune, chains, seed
        Draws a chain that are kept, and before them thrown away; chains; where their random numbers start.

    Returns
    -------
    xarray.DataTree
        ``posterior``: ``location`` (chain, draw, segment, kind, facet), ``item_offset`` (item), ``cutpoint`` (cut),
        ``respondent_sd`` and the standard deviations of blocks, on the probit scale. ``attrs["diagnostics"]`` as of a
        fit. For ``facet_scores``.

    Raises
    ------
    InputError
        Columns that are not there, answers outside the scale (with the row), facets without questions, expectations
        of other facets.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> said = np.random.default_rng(1).integers(1, 6, (40, 4))
    >>> table = pd.DataFrame(said, columns=["on_time", "no_errors", "friendly", "listens"])
    >>> facets = {"reliability": ["on_time", "no_errors"], "empathy": ["friendly", "listens"]}
    >>> found = fit_answers(table, facets, scale=(1, 5), draws=50, tune=50, chains=2, seed=1)
    >>> found["posterior"]["location"].dims
    ('chain', 'draw', 'segment', 'kind', 'facet')
    """
    check_sampling(draws, tune, chains, seed)
    kinds = {PERCEIVED: perceived} | ({} if expected is None else {EXPECTED: expected})
    facets = [str(name) for name in perceived]
    _check_facets(kinds, facets)
    places = [(kind, facet) for kind in kinds for facet in facets]
    items = [(str(name), at) for at, (kind, facet) in enumerate(places) for name in kinds[kind][facet]]
    segments, of_row = segments_of(answers, by)
    drawn = [whole_answers(answers, name, scale) for name, _ in items]
    answer = np.concatenate([values - scale[0] for values, _ in drawn])
    item = np.repeat(np.arange(len(items)), [values.size for values, _ in drawn])
    row = np.concatenate([rows for _, rows in drawn])
    if not answer.size:
        raise InputError("There is no answer: every question is empty.")
    _, respondent = np.unique(row, return_inverse=True)
    facet_of = np.array([at for _, at in items])
    design, blocks, parts = _design(len(segments), len(places), facet_of)
    data = Answers(
        answer, of_row[row] * len(items) + item, design, blocks, scale[1] - scale[0] + 1, respondent
    )
    found = sample_answers(data, draws=draws, tune=tune, chains=chains, seed=seed)
    effects = found.pop("effects")
    location = np.einsum("pe,cde->cdp", parts["location"], effects)
    posterior = xr.Dataset(
        {
            "location": (
                (CHAIN, DRAW, SEGMENT, KIND, FACET),
                location.reshape(*effects.shape[:2], len(segments), len(kinds), len(facets)),
            ),
            "item_offset": ((CHAIN, DRAW, ITEM), np.einsum("pe,cde->cdp", parts["item"], effects)),
            "cutpoint": ((CHAIN, DRAW, CUT), found.pop("cutpoint")),
        }
        | {name: ((CHAIN, DRAW), values) for name, values in found.items()},
        coords={
            SEGMENT: np.array(segments, dtype=object),
            KIND: np.array(list(kinds), dtype=object),
            FACET: np.array(facets, dtype=object),
            ITEM: np.array([name for name, _ in items], dtype=object),
            "item_place": (ITEM, facet_of),
            CUT: np.arange(scale[0], scale[1]),
        },
    )
    tree = xr.DataTree.from_dict({"posterior": posterior})
    tree.attrs = {"result": "facets", "seed": seed, "respondents": int(respondent.max()) + 1}
    tree.attrs["diagnostics"] = diagnosed(posterior)
    return tree


def facet_scores(posterior: xr.DataTree) -> xr.Dataset:
    """Return the mean answer on each facet by segment, in points, and the gaps between perceived and expected.

    Parameters
    ----------
    posterior
        Of ``fit_answers``.

    Returns
    -------
    xarray.Dataset
        ``score`` (chain, draw, segment, kind, facet), points of the scale: what the segment's customers answer on
        average to an average question of the facet, with ``score_mean``, ``_q05``, ``_q95``. Where expectations
        were asked, ``gap`` (chain, draw, segment, facet), perceived less expected, with the same, and
        ``probability_short`` (segment, facet), that less is perceived than expected.

    Raises
    ------
    InputError
        For what ``fit_answers`` did not return.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> said = np.random.default_rng(1).integers(1, 6, (40, 4))
    >>> table = pd.DataFrame(said, columns=["on_time", "no_errors", "should_time", "should_errors"])
    >>> asked, wanted = {"reliability": ["on_time", "no_errors"]}, {"reliability": ["should_time", "should_errors"]}
    >>> fitted = fit_answers(table, asked, expected=wanted, scale=(1, 5), draws=50, tune=50, chains=2, seed=1)
    >>> -1 < float(facet_scores(fitted)["gap_mean"].item()) < 1
    True
    """
    if not isinstance(posterior, xr.DataTree) or posterior.attrs.get("result") != "facets":
        raise InputError("These are no facets. Fit them: clv.perceived.fit_answers(answers, facets).")
    drawn = posterior["posterior"].to_dataset()
    cut = drawn["cutpoint"]
    spread = np.sqrt(1 + drawn["respondent_sd"] ** 2)
    kinds, facets = drawn[KIND].to_numpy(), drawn[FACET].to_numpy()
    score = xr.zeros_like(drawn["location"])
    for at, (kind, facet) in enumerate((kind, facet) for kind in kinds for facet in facets):
        offset = drawn["item_offset"].isel({ITEM: np.flatnonzero(drawn["item_place"].to_numpy() == at)})
        eta = drawn["location"].sel({KIND: kind, FACET: facet}) + offset
        # A respondent's own inclination is integrated out: a normal about a normal.
        beyond = 1 - xr.apply_ufunc(ndtr, (cut - eta) / spread)
        score.loc[{KIND: kind, FACET: facet}] = (
            (float(cut[CUT][0]) + beyond.sum(CUT)).mean(ITEM).transpose(*score.dims[:3])
        )
    found = {"score": score, **_ends("score", score)}
    if kinds.size == 2:
        gap = score.sel({KIND: PERCEIVED}, drop=True) - score.sel({KIND: EXPECTED}, drop=True)
        found |= {"gap": gap, **_ends("gap", gap), "probability_short": (gap < 0).mean((CHAIN, DRAW))}
    dataset = xr.Dataset(found)
    for name, each in dataset.data_vars.items():
        each.attrs = {"units": "probability" if name == "probability_short" else "points of the scale"}
    dataset.attrs = {"result": "facet scores", "diagnostics": posterior.attrs["diagnostics"]}
    return dataset


def _ends(name: str, values: xr.DataArray) -> dict[str, xr.DataArray]:
    drawn = values.transpose(CHAIN, DRAW, ...)
    one = drawn.isel({CHAIN: 0, DRAW: 0}, drop=True)
    flat = drawn.to_numpy().reshape(-1, *one.shape)
    quantile = named_quantiles(flat, axis=0)
    return {
        f"{name}_mean": one.copy(data=flat.mean(axis=0)),
        f"{name}_q05": one.copy(data=quantile["q05"]),
        f"{name}_q95": one.copy(data=quantile["q95"]),
    }


def _check_facets(kinds: Mapping[str, Mapping[str, Sequence[str]]], facets: list[str]) -> None:
    if not facets:
        raise InputError("No facet is named. Give {'reliability': ['on_time', ...], ...}.")
    seen: dict[str, str] = {}
    for kind, asked in kinds.items():
        odd = sorted(set(map(str, asked)) ^ set(facets))
        if odd:
            raise InputError(
                f"Facet {odd[0]!r} is asked as {'expected' if odd[0] not in facets else 'perceived'} alone."
            )
        for facet, names in asked.items():
            if isinstance(names, str) or not len(names):
                raise InputError(
                    f"Facet {facet!r} ({kind}) has no list of questions. Give the names of its columns."
                )
            for name in names:
                if name in seen:
                    raise InputError(
                        f"Question {name!r} is of {seen[name]!r} and of {facet!r}. Give it to one."
                    )
                seen[str(name)] = str(facet)


def _design(
    segments: int, places: int, facet_of: np.ndarray
) -> tuple[np.ndarray, tuple[Block, ...], dict[str, np.ndarray]]:
    """Return the design (segment × item, effect), its blocks, and what makes locations and item offsets of effects."""
    items = facet_of.size
    columns: list[np.ndarray] = []
    blocks: list[Block] = []
    segment, item = np.divmod(np.arange(segments * items), items)
    at = facet_of[item]
    within = np.eye(items)
    for place in range(places):
        own = facet_of == place
        within[np.ix_(own, own)] -= 1 / own.sum()
    several = within.any(axis=0)

    def add(name: str, block: np.ndarray, width: float) -> None:
        start = sum(each.shape[1] for each in columns)
        columns.append(block)
        blocks.append(Block(name, np.arange(start, start + block.shape[1]), width))

    if places > 1:
        add("facet", (np.eye(places) - 1 / places)[at], FACET_SD)
    if segments > 1:
        apart = np.eye(segments) - 1 / segments
        own = apart[segment][:, :, None] * np.eye(places)[at][:, None, :]
        add("segment", own.reshape(segments * items, -1), SEGMENT_SD)
    if several.any():
        add("item", within[:, several][item], ITEM_SD)
    design = np.concatenate(columns, axis=1) if columns else np.zeros((segments * items, 0))
    of_items = np.zeros(design.shape[1], dtype=bool)
    for block in blocks:
        of_items[block.columns] = block.name == "item"
    first = np.array([int(np.flatnonzero(facet_of == place)[0]) for place in range(places)])
    cells = (np.arange(segments)[:, None] * items + first[None, :]).ravel()
    return (
        design,
        tuple(blocks),
        {"location": design[cells] * ~of_items, "item": design[:items] * of_items},
    )
