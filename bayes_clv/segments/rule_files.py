"""A rule of segments in TOML, read with the line of each error."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_clv.conditions import Expression
from bayes_clv.schema import InputError
from bayes_clv.segments.rules import Rule, Segment, build_rule


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
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The rule {path.name} cannot be read: {error}.") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(_not_toml(path.name, text, str(error))) from error
    except RecursionError:
        raise InputError(f"{path.name} is no rule: brackets are nested too deep in it to be read.") from None
    return _from_toml(table, _Lines(path.name, text))


@dataclass(frozen=True)
class _Lines:
    """Where things are in a TOML file, which its parser does not tell."""

    file: str
    text: str

    def of_header(self, header: str, number: int = 0) -> int:
        found = [i for i, line in enumerate(self.text.splitlines(), 1) if line.strip().startswith(header)]
        return found[number] if number < len(found) else 1

    def of_key(self, key: str, after: int) -> int:
        for i, line in enumerate(self.text.splitlines()[after - 1 :], after):
            bare = line.split("=")[0].strip().strip("\"'")
            if "=" in line and bare == key:
                return i
        return after

    def place(self, line: int) -> str:
        return f"{self.file}, line {line}"


def _not_toml(file: str, text: str, reason: str) -> str:
    """Return what to say of a text that is no TOML; names without their quotes are the usual cause."""
    place = re.search(r" \(at line (\d+), column \d+\)", reason)
    if place is None:
        return f"{file} is not TOML: {reason}."
    number = int(place[1])
    found = f"{file}, line {number}: this is not TOML: {reason.replace(place[0], '')}."
    key, equals, value = (part.strip() for part in text.splitlines()[number - 1].partition("="))
    if equals and not re.fullmatch(r"[A-Za-z0-9_.-]*|\"[^\"]*\"|'[^']*'", key):
        return f'{found} A name of other letters than a to z, or of several words, stands in quotes: "{key}" = {value}'
    if equals and re.match(r"[^\W\d]", value):
        return f'{found} Text stands in quotes: {key} = "{value}"'
    return found


def _from_toml(table: Mapping[str, Any], lines: _Lines) -> Rule:
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


def _segment(table: Mapping[str, Any], lines: _Lines, start: int) -> Segment:
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
