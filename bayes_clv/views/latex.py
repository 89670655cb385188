"""Tables for papers: LaTeX with digits that mean something, standard errors in brackets, and the best in bold.

How many digits a number has follows from what is known of it: of one with a standard error (a column ``name_se`` beside
``name``) as many as show two figures of the error; of one with an interval as many as show two figures of its width; of
others three figures of the largest of its column, or, in a table of measures or of parameters, whose rows have units of
their own, of its row or itself. Rejected: pandas' ``to_latex``, which prints six decimals of everything and cannot know
which column is the error of which; its ``Styler``, which would need the digits of each column told by hand.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_clv.schema import InputError
from bayes_clv.scoring.measures import MEASURES

if TYPE_CHECKING:
    import pandas as pd

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "−": "$-$",
}
_ENDS = ("q05", "q95")
FIGURES, OF_ERROR = 3, 2
# Columns that say what a row of measures is; the others are forecasts.
_OF_MEASURES = ("measure", "meaning", "unit", "better", "possible")
# Columns that name forecasts and parameters, which are read as headings are.
_LABELS = ("forecast", "other", "parameter")
# A table with this column has rows that share no unit, and so no digits.
_UNIT = "unit"
# What is best where a measure is good when it is near something.
_NEAR = {"nearer 0": 0.0, "nearer 1/2": 0.5}


def to_latex(
    frame: "pd.DataFrame",
    *,
    best: Mapping[str, str] | None = None,
    caption: str | None = None,
    label: str | None = None,
) -> str:
    r"""Return a table of ``clv.table`` as LaTeX, for the package booktabs.

    Parameters
    ----------
    frame
        A table of ``clv.table``, or some of its rows and columns. A column ``name_se`` is the standard error of
        ``name``, and stands in brackets behind it; ``name_q05`` and ``name_q95`` (or ``q05`` and ``q95`` beside
        ``mean``) are its 90 % interval, and stand in square ones.
    best
        By column "lower" or "higher": its best is bold, and what prints as the best does. By default those of the
        scores of forecasts; in a table of ``clv.evaluate``, whose rows say what is better, the best of each row.
    caption, label
        Of a floating table around it; without both the tabular alone.

    Returns
    -------
    str

    Raises
    ------
    InputError
        A table without rows, or ``best`` of a column that it has not.

    Examples
    --------
    >>> import pandas as pd
    >>> columns = {"forecast": ["drift", "static"], "crps": [0.31634, 0.31942], "crps_se": [0.0041, 0.0043]}
    >>> scores = pd.DataFrame(columns)
    >>> print(to_latex(scores))
    \begin{tabular}{lr}
    \toprule
    forecast & crps \\
    \midrule
    drift & \textbf{0.3163} (0.0041) \\
    static & 0.3194 (0.0043) \\
    \bottomrule
    \end{tabular}
    """
    if not len(frame.columns) or not len(frame):
        raise InputError("The table has no rows or no columns: there is nothing to print.")
    names = [str(name) for name in frame.columns]
    unknown = [name for name in best or {} if name not in names]
    if unknown:
        raise InputError(
            f"There is no column {unknown[0]!r} to find the best of. There are {', '.join(names)}."
        )
    if {"measure", "better"} <= set(names):
        columns = _of_rows(frame, names)
    else:
        columns = _of_columns(frame, names, {**_directions(frame, names), **(best or {})})
    numeric = [name for name in columns if frame[name].dtype.kind in "iuf"]
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if name in numeric else 'l' for name in columns)}}}",
        r"\toprule",
        " & ".join(_text(name.replace("_", " ")) for name in columns) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in zip(*columns.values(), strict=True)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if caption is not None or label is not None:
        head = [r"\begin{table}", r"\centering"]
        head += [rf"\caption{{{_text(caption)}}}"] if caption is not None else []
        head += [rf"\label{{{label}}}"] if label is not None else []
        lines = [*head, *lines, r"\end{table}"]
    return "\n".join(lines)


def _directions(frame: "pd.DataFrame", names: Sequence[str]) -> dict[str, str]:
    """Return which way the scores of a table of forecasts are better."""
    if "forecast" not in names:
        return {}
    said = frame.attrs.get("better", {})
    known = {name: said.get(name, MEASURES[name].better if name in MEASURES else "") for name in names}
    return {name: way for name, way in known.items() if way in ("lower", "higher", *_NEAR)}


def _of_columns(frame: "pd.DataFrame", names: Sequence[str], best: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the cells of each column that stands by itself."""
    beside = _beside(names)
    taken = {each for parts in beside.values() for each in parts}
    groups = _rows_of_one_group(frame, names)
    found = {}
    for name in names:
        if name in taken:
            continue
        values = frame[name].to_numpy()
        if frame[name].dtype.kind not in "iuf":
            shown = [_plain(each) for each in values]
            found[name] = [_text(each.replace("_", " ") if name in _LABELS else each) for each in shown]
            continue
        parts = [frame[each].to_numpy(dtype=float) for each in beside.get(name, ())]
        digits = _digits(values.astype(float), parts, alone=_UNIT in names)
        bold = np.zeros(len(values), dtype=bool)
        if name in best:
            for rows in groups:
                bold[rows] = _is_best(values[rows].astype(float), best[name], [digits[i] for i in rows])
        found[name] = [
            _cell(value, [part[i] for part in parts], digits[i], bold=bool(bold[i]))
            for i, value in enumerate(values.tolist())
        ]
    return found


def _beside(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the columns that stand behind another: its standard error, or the ends of its interval."""
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        stem = name.removesuffix("mean")
        ends = tuple(f"{stem}{end}" for end in _ENDS)
        if f"{name}_se" in names:
            found[name] = (f"{name}_se",)
        elif (name == "mean" or name.endswith("_mean")) and set(ends) <= set(names):
            found[name] = ends
    return found


def _rows_of_one_group(frame: "pd.DataFrame", names: Sequence[str]) -> list[np.ndarray]:
    """Return the rows among which one is best: all, or those of one group of a table of forecasts by group."""
    by = frame.attrs.get("by")
    if by is None or by not in names:
        return [np.arange(len(frame))]
    labels = frame[by].to_numpy()
    return [np.flatnonzero(labels == each) for each in dict.fromkeys(labels.tolist())]


def _of_rows(frame: "pd.DataFrame", names: Sequence[str]) -> dict[str, list[str]]:
    """Return the cells of a table of measures, whose rows have digits and a best of their own."""
    forecasts = [name for name in names if name not in _OF_MEASURES]
    shown = (
        [name for name in names if name not in ("measure", "better")] if "meaning" in names else list(names)
    )
    cells: dict[str, list[str]] = {name: [] for name in shown}
    for row in frame.to_dict("records"):
        values = np.array([row[name] for name in forecasts], dtype=float)
        digits = _figures(values)
        bold = dict(zip(forecasts, _is_best(values, str(row["better"]), [digits] * values.size), strict=True))
        for name in shown:
            number = name in forecasts or name == "possible"
            cells[name].append(
                _cell(float(row[name]), [], digits, bold=bool(bold.get(name, False)))
                if number
                else _text(_plain(row[name]))
            )
    return cells


def _is_best(values: np.ndarray, way: str, digits: Sequence[int]) -> np.ndarray:
    """Return which of the values are best, by what is printed of them; none where there is nothing to choose."""
    known = np.isfinite(values)
    if way not in ("lower", "higher", *_NEAR) or known.sum() < 2:
        return np.zeros(values.shape, dtype=bool)
    printed = np.array([float(f"{each:.{n}f}") for each, n in zip(values.tolist(), digits, strict=True)])
    best = int(np.argmin(np.where(known, _losses(values, way), np.inf)))
    # Printed with fewer digits another may seem better than the best, which it is not.
    losses = _losses(printed, way)
    found: np.ndarray = known & (losses == losses[best])
    return found if found.sum() < known.sum() else np.zeros(values.shape, dtype=bool)


def _losses(values: np.ndarray, way: str) -> np.ndarray:
    """Return what is least of the best."""
    if way in _NEAR:
        return np.abs(values - _NEAR[way])
    return values if way == "lower" else -values


def _digits(values: np.ndarray, parts: Sequence[np.ndarray], *, alone: bool) -> list[int]:
    """Return the decimals of each row: those that show two figures of its error or interval.

    Without one, three figures of the column's largest, or ``alone`` of its own.
    """
    usual = (
        [_figures(values[i : i + 1]) for i in range(values.size)]
        if alone
        else [_figures(values)] * values.size
    )
    if not parts:
        return usual
    sizes = parts[0] if len(parts) == 1 else parts[1] - parts[0]
    return [
        max(0, OF_ERROR - 1 - math.floor(math.log10(size))) if math.isfinite(size) and size > 0 else otherwise
        for size, otherwise in zip(sizes.tolist(), usual, strict=True)
    ]


def _figures(values: np.ndarray) -> int:
    """Return the decimals that show three figures of the largest value; none of whole numbers."""
    known = values[np.isfinite(values)]
    if known.size == 0 or (known == np.round(known)).all():
        return 0
    largest = float(np.abs(known).max())
    return max(0, FIGURES - 1 - math.floor(math.log10(largest)))


def _cell(value: float, parts: Sequence[float], digits: int, *, bold: bool) -> str:
    shown = _number(value, digits)
    if bold:
        shown = rf"\textbf{{{shown}}}"
    if len(parts) == 1 and math.isfinite(parts[0]):
        return f"{shown} ({_number(parts[0], digits)})"
    if len(parts) == 2:
        return f"{shown} [{_number(parts[0], digits)}, {_number(parts[1], digits)}]"
    return shown


def _number(value: float, digits: int) -> str:
    if math.isnan(value):
        return "--"
    if math.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.removeprefix("-")
    return f"$-${text[1:]}" if text.startswith("-") else text


def _plain(given: Any) -> str:
    return "" if given is None or given != given else str(given)


def _text(text: str) -> str:
    """Return a text that LaTeX prints as it stands."""
    return "".join(_ESCAPED.get(sign, sign) for sign in text)
