"""What a page says, in the language that is asked for: English in the code, any other in one file of translations.

A sentence is said by `say`, whole, with named slots for its numbers. The English sentence is the key; what it is in
another language stands in ``languages/<language>.po``, the format that translators' tools read. What a file lacks is
said in English. Which language is spoken holds inside ``with speaking(...)`` alone, so that two pages that are written
at one time, in two threads, each have their own.

Babel reads the file as it is; the standard library, which looks up and chooses plural forms, wants it compiled, and a
compiled file would be one more thing that a checkout and a wheel have to build. Rejected: polib, as small as what is
used of Babel, with no release since 2023; Project Fluent (``fluent.runtime``), whose messages have names in place of
sentences, so that no sentence could be read in the code that says it. ``python -m tests.sentences`` finds the sentences
and writes them into each file.
"""

import gettext
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.schema import InputError, argument

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

FOLDER = Path(__file__).parent / "languages"
ENGLISH = "en"

_spoken: ContextVar[str] = ContextVar("spoken", default=ENGLISH)

# Slots that hold a word of the catalogue, with their words: in the numbers of problems and in the lines of an audit,
# which are kept in English.
WORDS: Mapping[str, tuple[str, ...]] = {
    "direction": ("above", "below"),
    "side": ("high", "low"),
    "more": ("more", "less"),
    "part": ("calibration", "holdout"),
    "units": ("hours", "days", "weeks", "months", "years"),
    "unit": ("hour", "day", "week", "month", "year"),
    "what": ("purchases", "spend"),
    "where": ("after", "before"),
    "who": (
        "Buyers without a repeat order",
        "Buyers of one repeat order",
        "Buyers of 2 to 4 repeat orders",
        "Buyers of 5 or more repeat orders",
    ),
    "after": (", the miss of all together taken out",),
    "rows": ("Orders", "Lines of orders"),
    "forecast": ("model", "past rate", "recency rule", "period mean", "pareto rule"),
    "measure": ("log score", "retention log score"),
    "quantity": ("purchases", "spend", "value"),
}


def languages() -> list[str]:
    """Return the languages that a page can be in, English first."""
    return [ENGLISH, *sorted(file.stem for file in FOLDER.glob("*.po"))]


def check_language(language: str) -> None:
    """Refuse a language that there is no file of."""
    if language not in languages():
        raise InputError(
            f"{argument('language', language)} is no language that there are translations of. Use one of "
            f"{', '.join(languages())}."
        )


def spoken() -> str:
    """Return the language that is spoken here, by its code ("en", "zh")."""
    return _spoken.get()


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Speak a language; afterwards the one before is spoken again.

    >>> with speaking("zh"):
    ...     say("Customers")
    '客户'
    """
    check_language(language)
    before = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(before)


def say(sentence: str, /, **slots: Any) -> str:
    """Return a sentence in the language that is spoken, with its slots filled.

    Parameters
    ----------
    sentence
        In English, whole, as a literal: ``python -m tests.sentences`` looks for it in the code.
    **slots
        What its ``{name}`` stand for; a format as in ``{n:,}`` belongs to the sentence. Markup stays markup, and the
        result then is markup too.

    Examples
    --------
    >>> say("{n:,} customers, {repeaters:,} with a repeat purchase", n=2357, repeaters=946)
    '2,357 customers, 946 with a repeat purchase'
    """
    return _filled(_translations(spoken()).gettext(sentence) if sentence else "", slots)


def say_many(one: str, many: str, count: int, /, **slots: Any) -> str:
    """Return a sentence with the form that its number asks for, which is the slot ``{count}`` too.

    >>> say_many("{count} check failed", "{count} checks failed", 2)
    '2 checks failed'
    """
    return _filled(_translations(spoken()).ngettext(one, many, count), {"count": count, **slots})


def say_in(context: str, sentence: str, /, **slots: Any) -> str:
    """Return a word that other languages have several words for, as it is called in a context."""
    return _filled(_translations(spoken()).pgettext(context, sentence), slots)


def say_again(sentence: str, slots: Mapping[str, Any]) -> str:
    """Return a sentence whose slots were kept in English: those that hold a word (`WORDS`) are said too."""
    return say(
        sentence, **{name: say(each) if _is_word(name, each) else each for name, each in slots.items()}
    )


def say_kept(text: str) -> str:
    """Return a sentence that an earlier stage said and kept in English, in the language that is spoken.

    Stages before the page keep English: an audit in a file, the reasons of a table. Which of the catalogue's sentences
    such a text is, is found by its words between the slots; what is in the slots is taken over, and said too where it
    is of the catalogue itself. A text that none of them fits is returned as it is: it may be of an earlier version.
    """
    if spoken() == ENGLISH or not text:
        return text
    known = say(text)
    if known != text:
        return known
    for pattern, translation in _patterns(spoken()):
        found = pattern.fullmatch(text)
        if found is not None:
            slots = {name: _said_slot(name, each) for name, each in found.groupdict().items()}
            return translation.format(**slots)
    parts = text.split("; ")
    return joined("{first}; {second}", map(say_kept, parts)) if len(parts) > 1 else text


def _said_slot(name: str, text: str) -> str:
    """Return what a slot holds: a word of its own, or a sentence in a sentence, is said; a user's word is not."""
    if _is_word(name, text):
        return say(text)
    if name in _LISTS:
        return joined("{first} and {second}", text.split(" and "))
    return say_kept(text) if " " in text else text


def say_kept_sentences(text: str) -> str:
    """Return several sentences that were kept in English, one after the other, in the language that is spoken."""
    return joined("{first} {second}", [say_kept(each) for each in sentences_of(text)])


def say_kept_titles(titles: Iterable[str]) -> str:
    """Return titles of failed checks that a run kept in English, each "subject: title", in the language spoken."""
    said = []
    for each in titles:
        subject, colon, title = each.partition(": ")
        of_whom = joined("{first} and {second}", map(say, subject.split(" and ")))
        said.append(
            say("{subject}: {title}", subject=of_whom, title=say_kept(title)) if colon else say_kept(each)
        )
    return joined("{first}; {second}", said)


def sentences_of(text: str) -> list[str]:
    """Return the sentences of an English text."""
    return re.split(r"(?<=\.) (?=\S)", text)


def joined(pattern: str, parts: Iterable[str]) -> str:
    """Return parts in a row, each joined to those before it by a pattern of ``{first}`` and ``{second}``.

    >>> joined("{first} and {second}", ["margin", "discount"])
    'margin and discount'
    """
    found = list(parts)
    return reduce(lambda first, second: say(pattern, first=first, second=second), found) if found else ""


def _is_word(name: str, text: Any) -> bool:
    return isinstance(text, str) and text in WORDS.get(name, ())


def _filled(sentence: str, slots: Mapping[str, Any]) -> str:
    if not slots:
        return sentence
    if any(hasattr(each, "__html__") for each in slots.values()):
        from markupsafe import Markup, escape

        return Markup(escape(sentence)).format(**slots)
    return sentence.format(**slots)


def letters_of(language: str) -> str:
    """Return the characters that the translations of a language are written in, none twice; none of English."""
    if language == ENGLISH:
        return ""
    said = (text for message in read_catalogue(language) for text in _forms(message.string))
    return "".join(sorted({character for text in said for character in text}))


def read_catalogue(language: str) -> "Catalog":
    """Return the translations of a language as its file has them."""
    from babel.messages.pofile import read_po

    with (FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@cache
def _translations(language: str) -> gettext.NullTranslations:
    if language == ENGLISH:
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo

    compiled = io.BytesIO()
    write_mo(compiled, read_catalogue(language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


# A slot with its format, which belongs to the number that was there when the sentence was said.
_SLOT = re.compile(r"\{(\w+)(?:![rsa])?(?::([^{}]*))?\}")
# Slots that list names.
_LISTS = ("families", "names")
# Of a sentence, how many letters beside its slots tell it from others.
_TELLING = 8


@cache
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Return what finds the sentences with slots, those with the most words first, and their translations."""
    found = []
    for message in read_catalogue(language):
        sentences, translations = _forms(message.id), _forms(message.string)
        # A language with fewer forms than English has its last one for the others.
        for place, sentence in enumerate(sentences):
            translation = translations[min(place, len(translations) - 1)]
            words = _SLOT.sub("", sentence)
            if translation and len(words) >= _TELLING and words != sentence:
                found.append((len(words), sentence, _SLOT.sub(r"{\1}", translation)))
    return [
        (re.compile(_pattern(sentence), re.DOTALL), translation)
        for _, sentence, translation in sorted(found, key=lambda each: -each[0])
    ]


def _forms(text: Any) -> list[str]:
    """Return the forms of a message: singular and plural, or what it has alone."""
    return [text] if isinstance(text, str) else list(text)


def _pattern(sentence: str) -> str:
    """Return a sentence as a pattern: its words, and in each slot a number where it has a format, else anything."""
    parts, end, seen = [], 0, set()
    for slot in _SLOT.finditer(sentence):
        name, form = slot.groups()
        parts.append(re.escape(sentence[end : slot.start()].replace("{{", "{").replace("}}", "}")))
        anything = r"[-+\d.,e∞]+?" if form else ".+?"
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{anything})")
        seen.add(name)
        end = slot.end()
    return "".join([*parts, re.escape(sentence[end:].replace("{{", "{").replace("}}", "}"))])
