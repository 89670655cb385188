"""TOML files that people write, read with the line of each error."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_clv.schema import InputError


@dataclass(frozen=True)
class Lines:
    """Where things are in a TOML file, which its parser does not tell."""

    file: str
    text: str

    def of_header(self, header: str, number: int = 0) -> int:
        """Return the line of a header, the ``number``-th of its kind; 1 where it is not found."""
        found = [i for i, line in enumerate(self.text.splitlines(), 1) if line.strip().startswith(header)]
        return found[number] if number < len(found) else 1

    def of_key(self, key: str, after: int) -> int:
        """Return the line of a key at or after a line; that line where it is not found."""
        for i, line in enumerate(self.text.splitlines()[after - 1 :], after):
            bare = line.split("=")[0].strip().strip("\"'")
            if "=" in line and bare == key:
                return i
        return after

    def place(self, line: int) -> str:
        """Return file and line, as an error begins with them."""
        return f"{self.file}, line {line}"


def read_toml(source: str | Path, what: str) -> tuple[dict[str, Any], Lines]:
    """Return a file's table and its lines; ``what`` the file is, in errors: "rule"."""
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The {what} {path.name} cannot be read: {error}.") from error
    return parse_toml(text, path.name, what)


def parse_toml(text: str, file: str, what: str) -> tuple[dict[str, Any], Lines]:
    """Return the table of a text and its lines; ``file`` is what its errors call it, ``what`` it is: "rule"."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(_not_toml(file, text, str(error))) from error
    except RecursionError:
        raise InputError(f"{file} is no {what}: brackets are nested too deep in it to be read.") from None
    return table, Lines(file, text)


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
