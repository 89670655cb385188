"""A survey as two files: answers, a row a respondent, and what the questions are, in TOML, with each error's line."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.perceived.answers import NPS_SCALE
from bayes_clv.schema import InputError
from bayes_clv.toml_lines import Lines, read_toml

if TYPE_CHECKING:
    import pandas as pd

_TOP = ("answers", "scale", "draws", "by", "recommend", "drivers", "perceived", "expected")
_DRIVERS = ("overall", "attributes", "scale", "wave")
_EXAMPLE = (
    'It has answers = "answers.csv", and of recommend = "a column", [drivers] with overall and attributes, and '
    "[perceived] with a list of columns a facet, at least one."
)


@dataclass(frozen=True)
class Survey:
    """Answers, and what was asked.

    Attributes
    ----------
    answers : pandas.DataFrame
        One row a respondent.
    scale, overall_scale : tuple of int
        Lowest and highest answer to questions and attributes, and to the overall one.
    draws : int or None
        Draws of each chain of the fits, after the warm-up; their own default where None.
    by, recommend, overall, wave : str or None
        Columns: the respondent's segment, how likely to recommend (0 to 10), the overall judgement, the wave.
    attributes : sequence of str
        Columns of what may drive the overall judgement.
    perceived, expected : mapping of str to sequence of str
        Of each facet the columns of its questions.
    """

    answers: "pd.DataFrame"
    scale: tuple[int, int] = (1, 7)
    by: str | None = None
    recommend: str | None = None
    overall: str | None = None
    overall_scale: tuple[int, int] | None = None
    draws: int | None = None
    wave: str | None = None
    attributes: Sequence[str] = ()
    perceived: Mapping[str, Sequence[str]] = field(default_factory=dict)
    expected: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_survey(source: str | Path) -> Survey:
    r"""Return the survey that a TOML file describes, with the answers of the CSV file that it names.

    Parameters
    ----------
    source
        The file: ``answers``, a CSV file beside it, of one row a respondent; ``scale``, lowest and highest answer
        (``[1, 7]``); perhaps ``draws`` of each chain, and ``by``, a column of segments; and what was asked:
        ``recommend``, a column of answers from 0 to 10; ``[drivers]`` with ``overall``, ``attributes`` and perhaps
        ``scale``, of the overall answer, and ``wave``; ``[perceived]``, a list of columns for each facet, and
        ``[expected]``, the same facets.

    Raises
    ------
    InputError
        With file and line: no TOML, a word that is not known, a column that the answers lack, an answer outside the
        scale.

    Examples
    --------
    >>> from pathlib import Path
    >>> written = Path("answers.csv").write_text("recommend\n9\n10\n3\n")
    >>> written = Path("survey.toml").write_text('answers = "answers.csv"\nrecommend = "recommend"\n')
    >>> read_survey("survey.toml").recommend
    'recommend'
    """
    table, lines = read_toml(source, "survey")
    _known(table, _TOP, lines, 1)
    for name in ("drivers", "perceived", "expected"):
        if name in table and not isinstance(table[name], dict):
            raise InputError(f"{lines.place(lines.of_key(name, 1))}: {name} is a table of its own: [{name}].")
    drivers = table.get("drivers", {})
    at = lines.of_header("[drivers]")
    _known(drivers, _DRIVERS, lines, at)
    if drivers and not {"overall", "attributes"} <= set(drivers):
        raise InputError(
            f"{lines.place(at)}: [drivers] needs overall, a column, and attributes, a list of them."
        )
    if not any(table.get(name) for name in ("recommend", "drivers", "perceived")):
        raise InputError(f"{lines.file} asks nothing. {_EXAMPLE}")
    if "expected" in table and "perceived" not in table:
        raise InputError(
            f"{lines.place(lines.of_header('[expected]'))}: there is [expected] without [perceived]: a gap needs both."
        )
    answers, rows = _answers(table, Path(source).parent, lines)
    found = Survey(
        answers,
        scale=_scale(table.get("scale", [1, 7]), "scale", lines, 1),
        draws=_draws(table.get("draws"), lines),
        by=_column(table.get("by"), "by", answers, lines, 1),
        recommend=_column(table.get("recommend"), "recommend", answers, lines, 1),
        overall=_column(drivers.get("overall"), "overall", answers, lines, at),
        overall_scale=_scale(drivers["scale"], "scale", lines, at) if "scale" in drivers else None,
        wave=_column(drivers.get("wave"), "wave", answers, lines, at),
        attributes=_columns(drivers.get("attributes", []), "attributes", answers, lines, at),
        perceived=_facets(table, "perceived", answers, lines),
        expected=_facets(table, "expected", answers, lines),
    )
    if found.overall is not None and len({*found.attributes} - {found.overall}) < max(
        2, len(found.attributes)
    ):
        raise InputError(
            f"{lines.place(lines.of_key('attributes', at))}: attributes are {', '.join(found.attributes)}. They are "
            "two or more different columns, and the overall answer is none of them."
        )
    of_facets = [name for each in (found.perceived, found.expected) for of in each.values() for name in of]
    asked = dict.fromkeys([*found.attributes, *of_facets], found.scale)
    if found.overall is not None:
        asked[found.overall] = found.overall_scale or found.scale
    if found.recommend is not None:
        asked[found.recommend] = NPS_SCALE
    file = str(table["answers"])
    for name, scale in asked.items():
        _within(answers, rows, name, scale, file)
    return found


def _known(table: Mapping[str, Any], names: Sequence[str], lines: Lines, start: int) -> None:
    for key in table:
        if key not in names:
            at = lines.of_header(f"[{key}]") if isinstance(table[key], dict) else lines.of_key(key, start)
            raise InputError(f"{lines.place(at)}: {key!r} is not known. There are {', '.join(names)}.")


def _answers(table: Mapping[str, Any], folder: Path, lines: Lines) -> tuple["pd.DataFrame", list[int]]:
    """Return the answers, and the line of each row."""
    import pandas as pd

    place = lines.place(lines.of_key("answers", 1))
    name = table.get("answers")
    if not isinstance(name, str) or not name:
        raise InputError(
            f"{place}: there is no answers, the name of a CSV file of one row a respondent. {_EXAMPLE}"
        )
    path = folder / name
    if not path.is_file():
        raise InputError(f"{place}: there is no file {name!r} beside {lines.file}.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            # A row stands on the line on which it ends: a text in quotes may go over several.
            numbers = [reader.line_num for cells in reader if cells]
        whole = pd.read_csv(path, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise InputError(f"{name} cannot be read: {error}.") from error
    there = whole.notna().any(axis=1).to_numpy()
    if not there.any():
        raise InputError(
            f"{name} has no answers. Its first line names the columns, and each further one a respondent."
        )
    rows = [line for line, is_there in zip(numbers[1:], there, strict=True) if is_there]
    return whole[there].reset_index(drop=True), rows


def _column(name: Any, key: str, answers: "pd.DataFrame", lines: Lines, start: int) -> str | None:
    if name is None:
        return None
    place = lines.place(lines.of_key(key, start))
    if not isinstance(name, str):
        raise InputError(f"{place}: {key} is {name!r}. It is the name of a column, in quotes.")
    if name not in answers.columns:
        known = ", ".join(map(str, answers.columns))
        raise InputError(f"{place}: the answers have no column {name!r}. There are {known}.")
    return name


def _columns(names: Any, key: str, answers: "pd.DataFrame", lines: Lines, start: int) -> tuple[str, ...]:
    if not isinstance(names, list):
        place = lines.place(lines.of_key(key, start))
        raise InputError(f'{place}: {key} is {names!r}. It is a list of columns, such as ["a", "b"].')
    return tuple(str(_column(name, key, answers, lines, start)) for name in names)


def _facets(
    table: Mapping[str, Any], kind: str, answers: "pd.DataFrame", lines: Lines
) -> dict[str, tuple[str, ...]]:
    start = lines.of_header(f"[{kind}]")
    return {
        facet: _columns(names, facet, answers, lines, start) for facet, names in table.get(kind, {}).items()
    }


def _scale(given: Any, key: str, lines: Lines, start: int) -> tuple[int, int]:
    whole = isinstance(given, list) and len(given) == 2 and all(type(each) is int for each in given)
    if not whole or not given[0] < given[1]:
        place = lines.place(lines.of_key(key, start))
        raise InputError(
            f"{place}: scale is {given!r}. It is the lowest and the highest answer, such as [1, 7]."
        )
    return given[0], given[1]


def _draws(given: Any, lines: Lines) -> int | None:
    if given is None or (type(given) is int and given >= 1):
        return given
    raise InputError(
        f"{lines.place(lines.of_key('draws', 1))}: draws is {given!r}. It is a whole number from 1."
    )


def _within(
    answers: "pd.DataFrame", rows: Sequence[int], name: str, scale: tuple[int, int], file: str
) -> None:
    import pandas as pd

    given = answers[name]
    numbers = pd.to_numeric(given, errors="coerce")
    bad = given.notna() & ~((numbers >= scale[0]) & (numbers <= scale[1]) & (numbers % 1 == 0))
    if bad.any():
        first = int(bad.to_numpy().argmax())
        more = f" ({int(bad.sum()):,} answers are so)" if bad.sum() > 1 else ""
        # Beside blank answers whole numbers are read as floats.
        shown = f"{numbers.iloc[first]:g}" if numbers.notna().iloc[first] else given.iloc[first]
        raise InputError(
            f"{file}, line {rows[first]}: {name} is {shown}, no whole number from {scale[0]} to "
            f"{scale[1]}{more}. Correct it, or the scale."
        )
