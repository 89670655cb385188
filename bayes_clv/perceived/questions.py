"""Answers read from a table of one row a respondent: whole numbers of a scale, segments by name."""

from typing import Any

import numpy as np

from bayes_clv.schema import InputError

EVERYBODY = "all"
MOST_ANSWERS = 101


def column(answers: Any, name: str) -> Any:
    """Return a column; one that is not there is refused."""
    if not hasattr(answers, "columns"):
        raise InputError(
            f"The answers are {type(answers).__name__}. Give a DataFrame of one row a respondent."
        )
    if name not in answers.columns:
        raise InputError(f"There is no column {name!r}. There are {', '.join(map(str, answers.columns))}.")
    return answers[name]


def whole_answers(answers: Any, question: str, scale: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the answers that there are, and their rows; what is no whole number of the scale is refused."""
    low, high = scale
    if not (isinstance(low, int) and isinstance(high, int) and 0 < high - low < MOST_ANSWERS):
        raise InputError(f"scale={scale!r} must be two whole numbers, lowest and highest, such as (0, 10).")
    given = column(answers, question)
    there = given.notna().to_numpy()
    rows = np.flatnonzero(there)
    try:
        values = given[there].to_numpy(dtype=float)
    except (TypeError, ValueError):
        raise InputError(
            f"Answers to {question!r} are no numbers, such as {given[there].iloc[0]!r}."
        ) from None
    bad = ~((values >= low) & (values <= high) & (values == np.floor(values)))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{int(bad.sum())} of {values.size:,} answers to {question!r} are no whole numbers from {low} to {high}, "
            f"such as {values[first]:g} in row {rows[first] + 1}. Correct them, or state the scale: scale=(lowest, "
            "highest)."
        )
    return values.astype(int), rows


def segments_of(answers: Any, by: str | None) -> tuple[list[str], np.ndarray]:
    """Return the segments' names and the place of each row's; a row without one is refused."""
    if by is None:
        return [EVERYBODY], np.zeros(len(answers), dtype=int)
    segment = column(answers, by)
    if segment.isna().any():
        raise InputError(
            f"{int(segment.isna().sum())} respondents have no segment in {by!r}. Name one for them."
        )
    labels, index = np.unique(segment.to_numpy().astype(str), return_inverse=True)
    return [str(label) for label in labels], index
