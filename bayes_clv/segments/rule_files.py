"""A rule of segments in TOML, read with the line of each error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayes_clv.conditions import Expression
from bayes_clv.schema import InputError
from bayes_clv.segments.rules import Rule, Segment, build_rule
from bayes_clv.toml_lines import Lines, parse_toml, read_toml


def read_rule(source: str | Path) -> Rule:
    r"""Return the rule of a TOML file.

    Parameters
    ----------
    source : str or pathlib.Path
        The file. It has ``name``, perhaps a table ``[quantities]``, and one ``[[segments]]`` a segment with ``name``
        and either ``where`` or ``otherwise = true``.

    Raises
    ------
    InputError
        As ``rule``, with the file's line; a file that is not TOML, or has a key that is not known.

    Examples
    --------
    >>> from pathlib import Path
    >>> lines = ['name = "Buyers"', "[[segments]]", 'name = "again"', 'where = "purchases >= 1"']
    >>> lines += ["[[segments]]", 'name = "never again"', "otherwise = true"]
    >>> written = Path("buyers.toml").write_text("\n".join(lines))
    >>> read_rule("buyers.toml").name
    'Buyers'
    """
    return _from_toml(*read_toml(source, "rule"))


def rule_of_text(text: str, name: str = "rule") -> Rule:
    """Return the rule of a text as such a file holds it; ``name`` is what its errors call it."""
    return _from_toml(*parse_toml(text, name, "rule"))


def _from_toml(table: Mapping[str, Any], lines: Lines) -> Rule:
    for key in table:
        if key not in ("name", "quantities", "segments"):
            raise InputError(
                f"{lines.place(lines.of_key(key, 1))}: {key!r} is not known. A rule has name, [quantities] and "
                "[[segments]]."
            )
    segments = table.get("segments")
    if not isinstance(segments, list) or not segments or not all(isinstance(each, dict) for each in segments):
        raise InputError(
            f"{lines.file} has no [[segments]]. Each needs a name, and where or otherwise = true."
        )
    given = []
    for number, each in enumerate(segments):
        start = lines.of_header("[[segments]]", number)
        given.append(_segment(each, lines, start))
    start = lines.of_header("[quantities]")
    defined = {}
    for key, text in dict(table.get("quantities", {})).items():
        place = lines.place(lines.of_key(key, start))
        if not isinstance(text, str):
            raise InputError(
                f'{place}: {key} is {text!r}. Write its expression as text, such as "value - cost".'
            )
        defined[key] = Expression(text, place)
    return build_rule(str(table.get("name", Path(lines.file).stem)), given, defined)


def _segment(table: Mapping[str, Any], lines: Lines, start: int) -> Segment:
    for key in table:
        if key not in ("name", "where", "otherwise"):
            line = lines.place(lines.of_key(key, start))
            raise InputError(
                f"{line}: {key!r} is not known. A segment has name, and where or otherwise = true."
            )
    if not isinstance(table.get("name"), str):
        raise InputError(f"{lines.place(start)}: the segment has no name.")
    rest, condition = table.get("otherwise", False), table.get("where")
    if (rest is True) == isinstance(condition, str):
        raise InputError(
            f'{lines.place(start)}: segment {table["name"]!r} needs either where = "a condition" or otherwise = true.'
        )
    written = lines.of_key("otherwise" if rest else "where", start)
    return Segment(table["name"], condition or "", lines.place(written))
