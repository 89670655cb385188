"""How satisfied, how loyal, how likely to recommend: shares of answers by segment, with what few answers leave open.

Of n_s answers of segment s, x_sk of them k::

    x_s ~ Multinomial(n_s, p_s),   p_s ~ Dirichlet(κ π),   π ~ Dirichlet(1, ..., 1),   κ ~ Gamma(1, 1/100)

so that a segment of twelve answers leans on the others as far as segments are alike, which is learned: κ is how many
answers of its own outweigh the others'. Without segments p ~ Dirichlet(1, ..., 1).

**Gibbs, not NUTS.** With the number of tables of a Chinese restaurant for each cell (Antoniak 1974, Annals of
Statistics 2, 1152-1174; Teh et al. 2006, J. American Statistical Association 101, 1566-1581) π is conjugate; κ takes
Metropolis steps with shares and tables integrated out, since given the tables it hardly moves. Exact, in seconds,
without compiling.

**Net promoters** are those who answer 9 or 10 of 0 to 10, less those who answer 0 to 6 (Reichheld 2003, Harvard
Business Review 81(12)), in points of 100. It throws away most of what was answered: its interval is wide, and a
difference of ten points between two segments of a hundred is no difference. The mean answer is there beside it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy.special import gammaln

from bayes_clv.perceived.questions import column, segments_of, whole_answers
from bayes_clv.schema import CHAIN, DRAW, InputError, check_seed, named_quantiles

if TYPE_CHECKING:
    import pandas as pd

SEGMENT, ANSWER, OTHER = "segment", "answer", "other"
PROMOTER, DETRACTOR = 9, 6
NPS_SCALE = (0, 10)
CHAINS, BURNED = 4, 300
KAPPA_SHAPE, KAPPA_RATE = 1.0, 0.01
# Lengths of Metropolis steps on log κ, which a dozen answers leave wide and thousands pin down.
STEPS = (2.0, 0.7, 0.2, 0.7)
RHAT_MAX = 1.01


def answer_shares(
    answers: "pd.DataFrame",
    question: str,
    *,
    scale: tuple[int, int] = NPS_SCALE,
    by: str | None = None,
    sizes: Mapping[str, float] | None = None,
    draws: int = 1000,
    seed: int,
) -> xr.Dataset:
    """Return the posterior of which share of each segment gives which answer.

    Parameters
    ----------
    answers
        One row a respondent; rows without an answer to the question are left out and counted.
    question
        Its column, whole numbers of the scale.
    scale
        Lowest and highest answer.
    by
        Column with the respondent's segment, as text. Without it all are one.
    sizes
        How many customers each segment has, so that all together are as the base is and not as who answered.
        Without it each answer counts alike.
    draws
        Draws a chain, of four chains.
    seed
        Seed of the random numbers.

    Returns
    -------
    xarray.Dataset
        ``share`` (chain, draw, segment, answer), probabilities; ``answers`` (segment), how many; ``size`` (segment),
        shares of all customers; where there are several segments ``concentration`` (chain, draw), κ. ``attrs``:
        ``left_out``, how many rows had no answer, and ``problems``. For ``net_promoter``, ``satisfied`` and
        ``mean_answer``.

    Raises
    ------
    InputError
        A column that is not there, answers that are not whole or outside the scale (with the row), no answer, sizes
        of other segments.

    Examples
    --------
    >>> import pandas as pd
    >>> found = answer_shares(pd.DataFrame({"recommend": [10, 9, 9, 8, 3]}), "recommend", draws=50, seed=1)
    >>> found["share"].sizes["answer"]
    11
    """
    check_seed(seed)
    if draws < 1:
        raise InputError(f"draws={draws} must be at least 1.")
    given, names, index, left_out = _read(answers, question, scale, by)
    low, high = scale
    counts = np.zeros((len(names), high - low + 1), dtype=np.int64)
    np.add.at(counts, (index, given - low), 1)
    rng = np.random.default_rng(seed)
    share, kappa = _gibbs(np.broadcast_to(counts, (CHAINS, *counts.shape)), draws, rng)
    found = xr.Dataset(
        {
            "share": ((CHAIN, DRAW, SEGMENT, ANSWER), share),
            "answers": (SEGMENT, counts.sum(axis=1)),
            "size": (SEGMENT, _sizes(sizes, names, counts.sum(axis=1))),
        },
        coords={SEGMENT: np.array(names, dtype=object), ANSWER: np.arange(low, high + 1)},
    )
    problems = []
    if len(names) > 1:
        found["concentration"] = ((CHAIN, DRAW), kappa)
        problems = _unconverged(found)
    found["share"].attrs = {"long_name": "share of the segment that gives the answer", "units": "probability"}
    found["answers"].attrs = {"long_name": "respondents", "units": "count"}
    found["size"].attrs = {"long_name": "share of all customers", "units": "share"}
    found.attrs = {"result": "answers", "question": question, "left_out": left_out, "problems": problems}
    return found


def net_promoter(shares: xr.Dataset) -> xr.Dataset:
    """Return the net promoter score of each segment and of all, with intervals and who is ahead of whom.

    Parameters
    ----------
    shares
        Of ``answer_shares``, on the scale from 0 to 10.

    Returns
    -------
    xarray.Dataset
        ``score`` (chain, draw, segment), points from -100 to 100: per cent of promoters (9, 10) less those of
        detractors (0 to 6); ``score_mean``, ``score_q05``, ``score_q95`` (segment); ``score_all`` (chain, draw)
        with the same, segments by size; ``probability_higher`` (segment, other).

    Raises
    ------
    InputError
        Another scale.

    Examples
    --------
    >>> import pandas as pd
    >>> shares = answer_shares(pd.DataFrame({"recommend": [10, 9, 9, 8, 3] * 20}), "recommend", draws=250, seed=1)
    >>> -100 < float(net_promoter(shares)["score_q05"][0]) < 40 < float(net_promoter(shares)["score_q95"][0])
    True
    """
    _check(shares)
    answer = shares[ANSWER]
    ends = (int(answer[0]), int(answer[-1]))
    if ends != NPS_SCALE:
        raise InputError(
            f"Net promoters are counted on the scale from 0 to 10, and {shares.attrs['question']!r} goes from "
            f"{ends[0]} to {ends[1]}. Use satisfied(shares, least=...) or mean_answer."
        )
    weight = 100.0 * ((answer >= PROMOTER).astype(float) - (answer <= DETRACTOR))
    return _score(shares, weight, "net promoters", "points")


def satisfied(shares: xr.Dataset, least: int) -> xr.Dataset:
    """Return the share of each segment and of all that answers at least so much (top boxes).

    Parameters
    ----------
    shares
        Of ``answer_shares``.
    least
        The lowest answer that counts.

    Returns
    -------
    xarray.Dataset
        As ``net_promoter``; ``score`` is a probability.

    Raises
    ------
    InputError
        An answer outside the scale, or one that all reach.

    Examples
    --------
    >>> import pandas as pd
    >>> shares = answer_shares(pd.DataFrame({"happy": [5, 4, 4, 1]}), "happy", scale=(1, 5), draws=50, seed=1)
    >>> 0 < float(satisfied(shares, 4)["score_mean"][0]) < 1
    True
    """
    _check(shares)
    answer = shares[ANSWER]
    if not int(answer[0]) < least <= int(answer[-1]):
        raise InputError(
            f"least={least} must lie above {int(answer[0])}, which all reach, and at most at {int(answer[-1])}."
        )
    return _score(shares, (answer >= least).astype(float), f"answers of at least {least}", "probability")


def mean_answer(shares: xr.Dataset) -> xr.Dataset:
    """Return the mean answer of each segment and of all.

    Parameters
    ----------
    shares
        Of ``answer_shares``.

    Returns
    -------
    xarray.Dataset
        As ``net_promoter``; ``score`` is in points of the scale.

    Examples
    --------
    >>> import pandas as pd
    >>> shares = answer_shares(pd.DataFrame({"happy": [5, 4, 4, 1]}), "happy", scale=(1, 5), draws=50, seed=1)
    >>> 1 < float(mean_answer(shares)["score_mean"][0]) < 5
    True
    """
    _check(shares)
    return _score(shares, shares[ANSWER].astype(float), "mean answer", "points of the scale")


def secure(answers: "pd.DataFrame", least: Mapping[str, int]) -> "pd.DataFrame":
    """Return the answers with a column ``secure``, 1 of who reaches each of several answers and 0 of who does not.

    Whoever is very satisfied, surely comes back and surely recommends is a secure customer (Brandt 1996, Marketing
    News 30(1)); each alone says less.

    Parameters
    ----------
    answers
        One row a respondent.
    least
        Of each question the lowest answer that counts: ``{"satisfaction": 9, "return": 9, "recommend": 9}``.

    Returns
    -------
    pandas.DataFrame
        A copy; ``secure`` is missing where an answer is. For ``answer_shares(..., "secure", scale=(0, 1))``.

    Raises
    ------
    InputError
        A question that is not there, or none.

    Examples
    --------
    >>> import pandas as pd
    >>> found = secure(pd.DataFrame({"happy": [9, 9], "again": [10, 8]}), {"happy": 9, "again": 9})
    >>> found["secure"].tolist()
    [1.0, 0.0]
    """
    if not least:
        raise InputError("No question is named. Give the lowest answer of each: {'recommend': 9, ...}.")
    for name in least:
        column(answers, name)
    asked = answers[list(least)].astype(float)
    reached = (asked >= np.array(list(least.values()), dtype=float)).all(axis=1).astype(float)
    return answers.assign(secure=reached.where(asked.notna().all(axis=1)))


def _score(shares: xr.Dataset, weight: xr.DataArray, text: str, units: str) -> xr.Dataset:
    score = (shares["share"] * weight).sum(ANSWER).transpose(CHAIN, DRAW, SEGMENT)
    whole = (score * shares["size"]).sum(SEGMENT)
    drawn = score.to_numpy().reshape(-1, score.sizes[SEGMENT])
    names = score[SEGMENT].to_numpy()
    ahead = np.sign(drawn[:, :, None] - drawn[:, None, :]).mean(axis=0)
    found = xr.Dataset(
        {
            "score": score,
            "score_all": whole,
            "probability_higher": xr.DataArray(
                (ahead + 1) / 2, coords={SEGMENT: names, OTHER: names}, dims=(SEGMENT, OTHER)
            ),
        }
    )
    for stem, values in (("score", drawn), ("score_all", whole.to_numpy().reshape(-1))):
        quantile = named_quantiles(values, axis=0)
        dims = (SEGMENT,) if stem == "score" else ()
        for end, each in (("mean", values.mean(axis=0)), ("q05", quantile["q05"]), ("q95", quantile["q95"])):
            found[f"{stem}_{end}"] = (dims, each)
            found[f"{stem}_{end}"].attrs = {"long_name": f"{text} ({end})", "units": units}
        found[stem].attrs = {"long_name": text, "units": units}
    found["answers"] = shares["answers"]
    found.attrs = {"result": "score of answers", "question": shares.attrs["question"], "score": text}
    return found


def _gibbs(counts: np.ndarray, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return draws of shares (chain, draw, segment, answer) and of κ (chain, draw).

    Counts are (chain, segment, answer); each chain may have its own, of segments of the same size.
    """
    chains, segments, answers = counts.shape
    if segments == 1:
        gammas = rng.standard_gamma(counts[:, None] + 1.0, (chains, draws, 1, answers))
        return gammas / gammas.sum(axis=-1, keepdims=True), np.full((chains, draws), np.nan)
    cell = np.stack([np.repeat(np.arange(segments * answers), each.ravel()) for each in counts])
    # Of each cell's answers, how many came before: the i-th opens a table with probability α / (α + i).
    before = np.stack([np.concatenate([np.arange(n) for n in each.ravel()]) for each in counts]).astype(float)
    place = cell + segments * answers * np.arange(chains)[:, None]
    common = np.asarray(rng.standard_gamma(counts.sum(axis=1) + 1.0))
    common /= common.sum(axis=1, keepdims=True)
    kappa = np.asarray(rng.gamma(KAPPA_SHAPE, 1 / KAPPA_RATE, chains))
    share, drawn = np.empty((chains, draws, segments, answers)), np.empty((chains, draws))
    for step in range(-BURNED, draws):
        kappa = _moved(kappa, common, counts, rng)
        alpha = np.take_along_axis(kappa[:, None] * np.tile(common, segments), cell, axis=1)
        opened = rng.random(before.shape) * (alpha + before) < alpha
        tables = np.bincount(place[opened], minlength=counts.size).reshape(counts.shape)
        common = np.asarray(rng.standard_gamma(tables.sum(axis=1) + 1.0))
        common /= common.sum(axis=1, keepdims=True)
        if step >= 0:
            own = np.asarray(rng.standard_gamma((kappa[:, None] * common)[:, None, :] + counts))
            share[:, step], drawn[:, step] = own / own.sum(axis=-1, keepdims=True), kappa
    return share, drawn


def _moved(kappa: np.ndarray, common: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return κ after Metropolis steps of several lengths on its logarithm, shares and tables integrated out."""

    def density(value: np.ndarray) -> np.ndarray:
        alpha = value[:, None] * common
        cells = gammaln(alpha[:, None, :] + counts) - gammaln(alpha)[:, None, :]
        rows = gammaln(value)[:, None] - gammaln(value[:, None] + totals)
        found: np.ndarray = cells.sum(axis=(1, 2)) + rows.sum(axis=1)
        return found + KAPPA_SHAPE * np.log(value) - KAPPA_RATE * value

    totals = counts.sum(axis=2)
    now = density(kappa)
    for length in STEPS:
        other = kappa * np.exp(length * rng.standard_normal(kappa.size))
        there = density(other)
        taken = np.log(rng.random(kappa.size)) < there - now
        kappa, now = np.where(taken, other, kappa), np.where(taken, there, now)
    return kappa


def _unconverged(found: xr.Dataset) -> list[str]:
    import arviz as az

    if found.sizes[DRAW] < 4:
        return []
    center = (found["share"] * found[ANSWER]).sum(ANSWER)
    checked = xr.Dataset({"concentration": np.log(found["concentration"]), "mean": center})
    rhat = max(float(each.max()) for each in az.rhat(checked).values())
    if not rhat >= RHAT_MAX:
        return []
    return [f"R-hat is {rhat:.3f}, where it should lie below {RHAT_MAX}: take more draws."]


def _sizes(sizes: Mapping[str, float] | None, names: Sequence[str], answers: np.ndarray) -> np.ndarray:
    if sizes is None:
        return np.asarray(answers / answers.sum())
    known = {str(name): float(size) for name, size in sizes.items()}
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(f"sizes= lacks segment {missing[0]!r}. Say how many customers each has.")
    unheard = [name for name in known if name not in names]
    if unheard:
        raise InputError(f"Nobody of segment {unheard[0]!r} answered. Leave it out of sizes=.")
    values = np.array([known[name] for name in names])
    if not ((values >= 0) & np.isfinite(values)).all() or not values.sum() > 0:
        raise InputError(f"sizes= has {values.min():g}. Sizes are at least 0, and one is above.")
    return np.asarray(values / values.sum())


def _read(
    answers: Any, question: str, scale: tuple[int, int], by: str | None
) -> tuple[np.ndarray, list[str], np.ndarray, int]:
    """Return answers, the segments' names, the place of each answer's segment, and how many rows have no answer."""
    values, rows = whole_answers(answers, question, scale)
    if not rows.size:
        raise InputError(f"Nobody answered {question!r}: the column is empty.")
    names, index = segments_of(answers.iloc[rows], by)
    return values, names, index, len(answers) - rows.size


def _check(shares: Any) -> None:
    if not isinstance(shares, xr.Dataset) or shares.attrs.get("result") != "answers":
        raise InputError(
            "These are no shares of answers. Make them: clv.perceived.answer_shares(answers, question)."
        )
