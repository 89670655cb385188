"""What changes from wave to wave of a survey, and ratings of rivals from single answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_clv.perceived.answers import SEGMENT, answer_shares, mean_answer
from bayes_clv.perceived.markets import ATTRIBUTE, RIVAL
from bayes_clv.perceived.questions import column
from bayes_clv.schema import CHAIN, DRAW, InputError, interval

if TYPE_CHECKING:
    import pandas as pd

WAVE = "wave"


def wave_changes(scores: xr.Dataset, order: Sequence[str] | None = None) -> xr.Dataset:
    """Return by how much a score has changed from each wave to the next, and how surely.

    Parameters
    ----------
    scores
        Of ``net_promoter``, ``satisfied`` or ``mean_answer``, of shares ``by`` the wave: waves lean on each other as
        far as they are alike, so that the luck of a small wave is no change.
    order
        The waves in their order; without it by their names, numbers by size.

    Returns
    -------
    xarray.Dataset
        Over ``wave``, from the second on: ``change`` (chain, draw, wave) to the wave before, in the score's units, with
        ``change_mean``, ``change_q05`` and ``change_q95``; ``probability_rises``; ``before``, which wave that was. Also
        over ``wave`` ``since_first`` with the same ends, the change since the first wave.

    Raises
    ------
    InputError
        What is no score, a single wave, and an order of other waves.

    Examples
    --------
    >>> import pandas as pd
    >>> said = pd.DataFrame({"recommend": [9, 10, 3, 8] * 30, "year": [2024, 2025] * 60})
    >>> shares = answer_shares(said, "recommend", by="year", draws=100, seed=1)
    >>> wave_changes(clv.perceived.net_promoter(shares))["wave"].values.tolist()
    ['2025']
    """
    if not isinstance(scores, xr.Dataset) or scores.attrs.get("result") != "score of answers":
        raise InputError("These are no scores. Make them: clv.perceived.net_promoter(shares) or its like.")
    known = [str(name) for name in scores[SEGMENT].to_numpy()]
    waves = sorted(known, key=_by_size) if order is None else [str(name) for name in order]
    if sorted(waves) != sorted(known):
        raise InputError(
            f"order has {', '.join(waves)}, and the waves are {', '.join(known)}. Name each once."
        )
    if len(waves) < 2:
        raise InputError(
            f"There is one wave, {waves[0]!r}. A change needs two: make the shares by= the wave."
        )
    score = scores["score"].sel({SEGMENT: waves}).transpose(CHAIN, DRAW, SEGMENT)
    drawn = score.to_numpy()
    found = xr.Dataset(coords={WAVE: np.array(waves[1:], dtype=object)})
    found["before"] = (WAVE, np.array(waves[:-1], dtype=object))
    units = str(score.attrs.get("units", ""))
    for name, each, text in (
        ("change", np.diff(drawn, axis=2), "change to the wave before"),
        ("since_first", drawn[:, :, 1:] - drawn[:, :, :1], "change since the first wave"),
    ):
        found[name] = ((CHAIN, DRAW, WAVE), each)
        low, high = interval(each.reshape(-1, each.shape[2]), axis=0)
        ends = (("", None), ("_mean", each.mean(axis=(0, 1))), ("_q05", low), ("_q95", high))
        for end, value in ends:
            if value is not None:
                found[f"{name}{end}"] = (WAVE, value)
            found[f"{name}{end}"].attrs = {"long_name": f"{text}{end.replace('_', ', ')}", "units": units}
    found["probability_rises"] = (WAVE, (found["change"] > 0).mean((CHAIN, DRAW)).to_numpy())
    found["probability_rises"].attrs = {
        "long_name": "P(higher than in the wave before)",
        "units": "probability",
    }
    found.attrs = {
        "result": "changes of a score",
        "question": scores.attrs["question"],
        "score": scores.attrs["score"],
    }
    return found


def _by_size(name: str) -> tuple[int, float, str]:
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def ratings_of(
    answers: "pd.DataFrame",
    attributes: Sequence[str],
    *,
    rival: str = RIVAL,
    scale: tuple[int, int] = (0, 10),
    draws: int = 1000,
    seed: int,
) -> xr.DataArray:
    """Return ratings of rivals with their doubt, for a market, from what single respondents answered.

    Parameters
    ----------
    answers
        One row a respondent and rival that it rates.
    attributes
        Columns with its ratings, whole numbers of the scale; who did not rate an attribute is left out of it.
    rival
        Column that names the rival.
    scale
        Lowest and highest rating.
    draws
        Draws a chain, of four chains.
    seed
        Seed of the random numbers.

    Returns
    -------
    xarray.DataArray
        (draw, attribute, rival): draws of the mean rating, in points, as ``clv.perceived.market`` takes them. By
        ``answer_shares``, so that a rival whom few have rated leans on the others as far as these are rated alike.

    Raises
    ------
    InputError
        A column that is not there, ratings outside the scale, a rival whom nobody has rated on some attribute.

    Examples
    --------
    >>> import pandas as pd
    >>> said = pd.DataFrame({"rival": ["A", "B"] * 20, "taste": [8, 6, 9, 5] * 10})
    >>> ratings = ratings_of(said, ["taste"], draws=50, seed=1)
    >>> dict(ratings.sizes)
    {'draw': 200, 'attribute': 1, 'rival': 2}
    """
    if not attributes:
        raise InputError("No attribute is named. Give the columns with ratings.")
    names = sorted({str(each) for each in column(answers, rival).dropna().unique()})
    found = []
    for number, attribute in enumerate(attributes):
        rated = answers[column(answers, attribute).notna()]
        missing = set(names) - {str(each) for each in rated[rival].unique()}
        if missing:
            raise InputError(f"Nobody rated {sorted(missing)[0]!r} on {attribute!r}. Leave one of them out.")
        shares = answer_shares(rated, attribute, scale=scale, by=rival, draws=draws, seed=seed + number)
        score = mean_answer(shares)["score"].sel({SEGMENT: names}).to_numpy()
        found.append(score.reshape(-1, len(names)))
    coords = {ATTRIBUTE: np.array(list(attributes), dtype=object), RIVAL: np.array(names, dtype=object)}
    return xr.DataArray(np.stack(found, axis=1), coords=coords, dims=(DRAW, ATTRIBUTE, RIVAL))
