"""Months by name, in the languages of LANGUAGES: what each name stands for.

The names are CLDR's, by Babel, with their accents or without, whole, shortened, or cut after three or four letters, as
programs cut them. Of all these languages together no name is of two months, so that nobody must say which language it
is; only what French leaves of juin and juillet after three letters is, and that is no month.
"""

import functools
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

LANGUAGES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
}
# What CLDR does not have: Excel's German March, and German without its dots.
_FURTHER = {"mrz": 3, "maerz": 3, "maer": 3}
_CUT = (3, 4)


@dataclass(frozen=True)
class MonthNames:
    """Names in small letters and without a point, each with its month; ``unclear`` are those of several months."""

    whole: dict[str, int]
    short: dict[str, int]
    unclear: dict[str, tuple[int, ...]]


@functools.cache
def month_names() -> MonthNames:
    """Return all names that are read."""
    from babel import Locale

    whole: dict[str, set[int]] = {}
    short: dict[str, set[int]] = {}

    def add(known: dict[str, set[int]], names: Iterable[str], month: int) -> None:
        for name in names:
            known.setdefault(name, set()).add(month)

    for language in LANGUAGES:
        for forms in Locale.parse(language).months.values():
            for month in range(1, 13):
                names = _spellings(forms["wide"][month])
                add(whole, names, month)
                add(short, (name[:letters] for name in names for letters in _CUT), month)
                add(short, _spellings(forms["abbreviated"][month]), month)
    for name, month in _FURTHER.items():
        add(short, [name], month)
    unclear = {name: tuple(sorted(months)) for name, months in short.items() if len(months) > 1}
    assert all(len(months) == 1 for months in whole.values())
    return MonthNames(
        {name: min(months) for name, months in whole.items()},
        {name: min(months) for name, months in short.items() if name not in unclear},
        unclear,
    )


def _spellings(name: str) -> set[str]:
    """Return a name in small letters as programs write it: in one character a letter, in two, in ASCII."""
    plain = name.lower().removesuffix(".")
    apart = unicodedata.normalize("NFD", plain)
    return {plain, apart, "".join(sign for sign in apart if not unicodedata.combining(sign))}


def pattern(*, short: bool) -> str:
    """Return the pattern of a month's name in any capitals, in a group, and of the point that may follow it."""
    known = month_names()
    names = known.short if short else known.short | known.whole
    return f"((?i:{'|'.join(sorted(names, key=lambda name: (-len(name), name)))}))[.]?"


def names_by_month() -> dict[int, list[str]]:
    """Return all names of each month."""
    known = month_names()
    both = known.short | known.whole
    return {month: sorted(name for name, own in both.items() if own == month) for month in range(1, 13)}
