"""Weights of a score, each with its doubt: from experts' comparisons, from entropy; and the score that uses them.

**Experts (AHP).** a_ij says how many times as much attribute i counts as j. Saaty's weights are the principal
eigenvector of the matrix, and (λ_max - n) / (n - 1) over that of random matrices its consistency ratio (Saaty 1977,
Journal of Mathematical Psychology 15, 234-281). An eigenvector has no likelihood, so the doubt is that of

    log a_ij = log w_i - log w_j + e_ij,  e_ij ~ Normal(0, σ²),

of which the geometric mean is the estimate (Crawford & Williams 1985, Journal of Mathematical Psychology 29,
387-405): with a flat prior on the contrasts of log w and a scaled inverse χ² on σ² the posterior is exact, a
multivariate t. Judgements that contradict each other make σ large, several experts who disagree too. The prior of
σ², worth PRIOR_JUDGEMENTS judgements, keeps three judgements that happen to agree from being sure of everything.

**Entropy.** An attribute in which all rivals are alike cannot tell them apart. Shannon's weights are 1 - E_i,
E_i = -Σ_j p_ij log p_ij / log m, p_ij = x_ij / Σ_j x_ij, divided by their sum; and log m (1 - E_i) is Theil's
index, which has a form for weighted rows. So the doubt is that of the Bayesian bootstrap (Rubin 1981, Annals of
Statistics 9, 130-134): rows are weighted by draws from a flat Dirichlet distribution. It says how sure the rows at
hand are of the spread; that spread is what counts is an assumption that no data here can test.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import softmax, xlogy

from bayes_clv.perceived.markets import ATTRIBUTE, shares
from bayes_clv.schema import DRAW, InputError, argument, check_seed, named_quantiles

# Mean (λ_max - n) / (n - 1) of n x n reciprocal matrices with entries drawn from 1/9, 1/8, ..., 1, ..., 9: of 3 by
# going through all, of others by 200,000 matrices each (standard error .0014 of 4, falling to .0003). Saaty's own
# tables differ by edition (.58, .90, 1.12, ... in 1980; .52, .89, 1.11, ... in 2005): of fewer matrices, rounded.
RANDOM_INDEX = {
    3: 0.5245,
    4: 0.882,
    5: 1.110,
    6: 1.249,
    7: 1.340,
    8: 1.404,
    9: 1.450,
    10: 1.487,
    11: 1.513,
    12: 1.536,
    13: 1.555,
    14: 1.570,
    15: 1.584,
}
# Saaty's: beyond a tenth of what chance makes, judgements should be looked at again.
CONSISTENT = 0.10
JUDGEMENT_ERROR = 0.3
PRIOR_JUDGEMENTS = 3.0
EXPERT = "expert"

type Comparisons = Mapping[tuple[str, str], float]


def ahp_weights(
    comparisons: Comparisons | Sequence[Comparisons],
    *,
    draws: int = 4000,
    judgement_error: float = JUDGEMENT_ERROR,
    seed: int,
) -> xr.Dataset:
    """Return weights from experts' comparisons of attributes in pairs, with their consistency ratio and their doubt.

    Parameters
    ----------
    comparisons
        ``{("taste", "lead"): 3, ...}``: taste counts three times as much as lead. Each pair once, in either order,
        from 1/9 to 9 in Saaty's scale. Several experts: a list of them.
    draws, seed
        How many draws of the weights, and where their random numbers start.
    judgement_error
        What a judgement is off by before any is seen, as the standard deviation of its logarithm: 0.3 makes a 3 lie
        between 1.8 and 4.9 in nine of ten. The judgements at hand correct it.

    Returns
    -------
    xarray.Dataset
        - ``weight`` (attribute), the principal eigenvector, of several experts that of the geometric means of their
          comparisons; shares;
        - ``weight_draws`` (draw, attribute), draws of the weights, with ``weight_q05`` and ``weight_q95``; shares.
          For
          ``clv.perceived.market`` and ``weighted_score``;
        - of each expert ``consistency_ratio``, ``consistency_index`` and ``eigenvalue`` (expert).

        ``attrs["problems"]`` names experts whose ratio is beyond 0.10.

    Raises
    ------
    InputError
        Pairs that are missing, there twice or of an attribute with itself; ratios outside 1/9 to 9; one attribute, or
        more than 15.

    Notes
    -----
    The draws lie about the geometric mean, from which the eigenvector differs little where judgements are consistent.

    Examples
    --------
    >>> found = ahp_weights({("taste", "lead"): 3, ("taste", "supply"): 6, ("lead", "supply"): 2}, seed=1)
    >>> found["weight"].round(2).values.tolist(), abs(round(float(found["consistency_ratio"][0]), 2))
    ([0.67, 0.22, 0.11], 0.0)
    """
    check_seed(seed)
    for name, value in (("draws", draws), ("judgement_error", judgement_error)):
        if not 0 < value < math.inf:
            raise InputError(f"{argument(name, value)} must be a positive number.")
    experts = [comparisons] if isinstance(comparisons, Mapping) else list(comparisons)
    if not experts:
        raise InputError("There is no expert. Give comparisons: {('taste', 'lead'): 3, ...}.")
    names = list(dict.fromkeys(str(name) for expert in experts for pair in expert for name in pair))
    if not 2 <= len(names) <= max(RANDOM_INDEX):
        raise InputError(
            f"There are {len(names)} attributes. Compare at least 2 and at most {max(RANDOM_INDEX)}; more are sorted "
            "into groups first, which are compared, and then the attributes of each."
        )
    logs = np.stack([_logs(expert, names, i, len(experts)) for i, expert in enumerate(experts)])
    together = _eigen(np.exp(logs.mean(axis=0)))[1]
    eigenvalues = np.array([_eigen(np.exp(each))[0] for each in logs])
    drawn = _drawn_weights(logs, int(draws), judgement_error, np.random.default_rng(seed))
    found = _with_draws(together, drawn, names)
    size = len(names)
    index = np.maximum(eigenvalues - size, 0.0) / (size - 1)
    ratio = index / RANDOM_INDEX[size] if size > 2 else np.zeros_like(index)
    found = found.assign(
        eigenvalue=(EXPERT, eigenvalues), consistency_index=(EXPERT, index), consistency_ratio=(EXPERT, ratio)
    ).assign_coords({EXPERT: np.arange(1, len(experts) + 1)})
    found.attrs["problems"] = [
        f"The judgements of expert {number} contradict each other: consistency ratio {each:.2f}, beyond "
        f"{CONSISTENT:.2f}. Have them looked at again."
        for number, each in enumerate(ratio.tolist(), 1)
        if each > CONSISTENT
    ]
    return found


def entropy_weights(table: Any, *, draws: int = 4000, seed: int) -> xr.Dataset:
    """Return weights by how far each attribute tells the rows apart (Shannon's entropy), with their doubt.

    Parameters
    ----------
    table
        A market, whose rivals are the rows; a DataFrame with attributes as its columns; or a DataArray (row,
        attribute), perhaps with ``draw``. At least 0, and on scales with a true zero: adding a constant to an
        attribute changes its weight.
    draws, seed
        How many draws of the weights, and where their random numbers start. Where the table has draws there are as
        many as it has.

    Returns
    -------
    xarray.Dataset
        ``weight`` (attribute), of the table, of its mean where it has draws; ``weight_draws`` (draw, attribute) with
        ``weight_q05`` and ``weight_q95``; shares.

    Raises
    ------
    InputError
        Negative numbers or none, an attribute that is 0 everywhere, fewer than two rows, a table in which all rows
        are alike.

    Examples
    --------
    >>> import pandas as pd
    >>> found = entropy_weights(pd.DataFrame({"taste": [8, 8, 8], "lead": [2, 8, 9]}), seed=1)
    >>> found["weight"].values.tolist()
    [0.0, 1.0]
    """
    check_seed(seed)
    values, names, _ = _rows(table)
    if (values < 0).any():
        raise InputError(
            f"{int((values < 0).sum())} of the {values.size} numbers are negative, such as "
            f"{float(values[values < 0][0]):g}. "
            "Entropy is of amounts with a true zero; shift or leave out what has none."
        )
    if values.shape[1] < 2:
        raise InputError("There is one row. Entropy weights say what tells rows apart: give at least two.")
    nothing = ~values.any(axis=(0, 1))
    if nothing.any():
        raise InputError(f"{names[int(np.flatnonzero(nothing)[0])]!r} is 0 in every row. Leave it out.")
    rng = np.random.default_rng(seed)
    size = values.shape[0] if values.shape[0] > 1 else int(draws)
    rows = rng.dirichlet(np.ones(values.shape[1]), size)
    plain = _theil(values.mean(axis=0, keepdims=True), np.full((1, values.shape[1]), 1 / values.shape[1]))[0]
    if not plain.sum() > 0:
        raise InputError(
            "All rows are alike in every attribute, so that none tells them apart. Weights are not defined."
        )
    drawn = _theil(values, rows)
    return _with_draws(plain / plain.sum(), drawn / drawn.sum(axis=1, keepdims=True), names)


def weighted_score(table: Any, weights: xr.DataArray) -> xr.Dataset:
    """Return the weighted score of each row, with the doubt of its weights and of its numbers.

    Parameters
    ----------
    table
        As ``entropy_weights`` takes it; all attributes on one scale.
    weights
        (attribute), perhaps with ``draw``: shares or per cent, of ``clv.perceived.ahp_weights`` and its like.

    Returns
    -------
    xarray.Dataset
        ``score`` (row, with ``draw`` where weights or table have it), in the table's unit; with draws ``score_mean``,
        ``score_q05``, ``score_q95`` and ``probability_first``, that no other row has a higher score (ties are
        shared).

    Raises
    ------
    InputError
        Weights that do not add up or are of other attributes, draws of different numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"taste": [8, 6], "lead": [2, 9]}, index=["A", "B"])
    >>> weights = xr.DataArray([0.5, 0.5], coords={"attribute": ["taste", "lead"]}, dims="attribute")
    >>> weighted_score(table, weights)["score"].values.tolist()
    [5.0, 7.5]
    """
    values, names, labels = _rows(table)
    if not isinstance(weights, xr.DataArray) or set(weights.dims) not in ({ATTRIBUTE}, {ATTRIBUTE, DRAW}):
        raise InputError(
            f"The weights need the dimension {ATTRIBUTE!r}, and may have '{DRAW}'. Give a DataArray, such as "
            "weight_draws of clv.perceived.ahp_weights."
        )
    known = {str(name) for name in weights[ATTRIBUTE].to_numpy()}
    if known != set(names):
        odd = sorted(known ^ set(names))
        raise InputError(
            f"{odd[0]!r} is an attribute of the {'weights' if odd[0] in known else 'table'} alone. Give both."
        )
    sure = DRAW not in weights.dims
    counted = shares(weights).sel({ATTRIBUTE: np.array(names, dtype=object)})
    drawn = counted.to_numpy()[None] if sure else counted.transpose(DRAW, ATTRIBUTE).to_numpy()
    sizes = {values.shape[0], drawn.shape[0]} - {1}
    if len(sizes) > 1:
        raise InputError(
            f"The table has {values.shape[0]:,} draws and the weights have {drawn.shape[0]:,}. Give as many of each."
        )
    score = (values * drawn[:, None, :]).sum(axis=2)
    row, coordinate = labels
    if score.shape[0] == 1:
        found = xr.Dataset({"score": (row, score[0])}, coords={row: coordinate})
    else:
        quantile = named_quantiles(score, axis=0)
        best = score == score.max(axis=1, keepdims=True)
        found = xr.Dataset(
            {
                "score": ((DRAW, row), score),
                "score_mean": (row, score.mean(axis=0)),
                "score_q05": (row, quantile["q05"]),
                "score_q95": (row, quantile["q95"]),
                "probability_first": (row, (best / best.sum(axis=1, keepdims=True)).mean(axis=0)),
            },
            coords={row: coordinate},
        )
    return found


def _logs(comparisons: Comparisons, names: list[str], expert: int, experts: int) -> np.ndarray:
    """Return the logarithms of an expert's matrix of comparisons (attribute, attribute)."""
    whose = "" if experts == 1 else f"Expert {expert + 1}: "
    found = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(found, 0.0)
    for pair, value in comparisons.items():
        one, other = (str(name) for name in pair)
        i, j = names.index(one), names.index(other)
        if i == j:
            raise InputError(f"{whose}{one!r} is compared with itself. Leave it out.")
        if not np.isnan(found[i, j]):
            raise InputError(f"{whose}{one!r} and {other!r} are compared twice. Give each pair once.")
        try:
            times = float(value)
        except (TypeError, ValueError):
            times = math.nan
        # A ninth is written as 0.111 too.
        if not 0.11 <= times <= 9.1:
            raise InputError(
                f"{whose}{one!r} counts {value!r} times as much as {other!r}. Saaty's scale goes from 1/9 to 9; "
                "attributes further apart are sorted into groups first."
            )
        found[i, j], found[j, i] = math.log(times), -math.log(times)
    missing = np.argwhere(np.isnan(found))
    if missing.size:
        i, j = missing[0]
        raise InputError(
            f"{whose}{names[i]!r} and {names[j]!r} are not compared ({len(missing) // 2} of "
            f"{len(names) * (len(names) - 1) // 2} pairs are missing). Compare each pair."
        )
    return found


def _eigen(matrix: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the principal eigenvalue and its eigenvector, which adds up to 1, of a positive matrix."""
    values, vectors = np.linalg.eig(matrix)
    first = int(values.real.argmax())
    vector = np.abs(vectors[:, first].real)
    return float(values[first].real), vector / vector.sum()


def _drawn_weights(logs: np.ndarray, size: int, error: float, rng: np.random.Generator) -> np.ndarray:
    """Return draws (draw, attribute) of weights given comparisons (expert, one, other)."""
    experts, count, _ = logs.shape
    mean = logs.mean(axis=(0, 2))
    above = np.triu_indices(count, 1)
    residual = (logs - (mean[:, None] - mean[None, :]))[:, above[0], above[1]]
    freedom = PRIOR_JUDGEMENTS + residual.size - (count - 1)
    squares = PRIOR_JUDGEMENTS * error**2 + (residual**2).sum()
    scale = np.sqrt(squares / rng.chisquare(freedom, size) / (count * experts))
    noise = rng.standard_normal((size, count))
    return np.asarray(softmax(mean + scale[:, None] * noise, axis=1))


def _with_draws(plain: np.ndarray, drawn: np.ndarray, names: list[str]) -> xr.Dataset:
    """Return weights and their draws, labelled."""
    quantile = named_quantiles(drawn, axis=0)
    found = xr.Dataset(
        {
            "weight": (ATTRIBUTE, plain),
            "weight_draws": ((DRAW, ATTRIBUTE), drawn),
            "weight_q05": (ATTRIBUTE, quantile["q05"]),
            "weight_q95": (ATTRIBUTE, quantile["q95"]),
        },
        coords={ATTRIBUTE: np.array(names, dtype=object)},
    )
    for name in found.data_vars:
        found[name].attrs = {"long_name": "weight of the attribute", "units": "share"}
    return found


def _rows(table: Any) -> tuple[np.ndarray, list[str], tuple[str, np.ndarray]]:
    """Return numbers (draw or 1, row, attribute), the attributes' names, and the rows' dimension with its labels."""
    if isinstance(table, xr.Dataset) and table.attrs.get("result") == "market":
        table = table["rating"]
    if hasattr(table, "iterrows"):
        table = xr.DataArray(
            table.to_numpy(),
            coords={"row": table.index.to_numpy(), ATTRIBUTE: [str(name) for name in table.columns]},
            dims=("row", ATTRIBUTE),
        )
    if not isinstance(table, xr.DataArray) or ATTRIBUTE not in table.dims:
        raise InputError(
            "The table is no market, no DataFrame with attributes as its columns, and no DataArray with the dimension "
            f"{ATTRIBUTE!r}. Give one of them."
        )
    others = [str(dim) for dim in table.dims if dim not in (ATTRIBUTE, DRAW)]
    if len(others) != 1:
        raise InputError(
            f"The table has the dimensions {table.dims}. It needs {ATTRIBUTE!r} and one more, of its rows."
        )
    row = others[0]
    values = table.transpose(*([DRAW] if DRAW in table.dims else []), row, ATTRIBUTE).to_numpy().astype(float)
    if not np.isfinite(values).all():
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} of the {values.size} numbers are missing or infinite."
        )
    labels = table[row].to_numpy() if row in table.coords else np.arange(values.shape[-2])
    names = [str(name) for name in table[ATTRIBUTE].to_numpy()]
    return values if values.ndim == 3 else values[None], names, (row, labels)


def _theil(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return Theil's index (draw, attribute) of numbers (draw or 1, row, attribute) under weights (draw, row)."""
    mean = np.einsum("dra,dr->da", np.broadcast_to(values, (rows.shape[0], *values.shape[1:])), rows)
    ratio = values / mean[:, None, :]
    index = np.einsum("dra,dr->da", xlogy(ratio, ratio), rows)
    # Rounding may leave less than nothing of an attribute in which all rows are alike.
    return np.asarray(np.maximum(index, 0.0))
