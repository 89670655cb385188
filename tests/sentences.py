"""The sentences of the pages, and what a file of translations lacks: ``uv run python -m tests.sentences``.

Sentences are the literals in calls of ``say`` and its kin, in the code and in the templates, and the texts of a few
tables: problems with their remedies, families, the words of slots. The command writes new sentences into each file of
``bayes_clv/languages``, untranslated, takes out those that nothing says any more, and prints what is wrong with it;
exit status 1 where there is anything.
"""

import ast
import html
import io
import itertools
import re
import string
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jinja2
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

import bayes_clv
from bayes_clv import language
from bayes_clv.language import sentences_of
from bayes_clv.remedies import Remedy

PACKAGE = Path(bayes_clv.__file__).parent
# How many of the arguments of each function are sentences: one, or one and its plural.
SAYING = {"say": 1, "joined": 1, "say_many": 2, "say_in": 2}
CHINESE = re.compile("[\u4e00-\u9fff]")
type Said = tuple[str | tuple[str, str], str | None]


def sentences() -> Catalog:
    """Return all that is said, with the files that say it."""
    found = Catalog()
    for path in sorted(PACKAGE.rglob("*")):
        read = {".py": in_code, ".j2": in_template}.get(path.suffix)
        for message, context in read(path.read_text(encoding="utf-8")) if read is not None else ():
            place = f"bayes_clv/{path.relative_to(PACKAGE).as_posix()}"
            found.add(message, locations=[(place, None)], context=context)
    for place, text in tables():
        if text:
            found.add(text, locations=[(place, None)])
    return found


def in_code(source: str) -> Iterator[Said]:
    """Yield the sentences of a file of Python: literals in calls of what says them, however deep these are nested."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    for node in sorted(calls, key=lambda each: (each.lineno, each.col_offset)):
        if isinstance(node.func, ast.Name):
            yield from _of(node.func.id, [each.value for each in node.args if isinstance(each, ast.Constant)])


def in_template(source: str) -> Iterator[Said]:
    """Yield the sentences of a template."""
    for node in jinja2.Environment().parse(source).find_all(jinja2.nodes.Call):
        if isinstance(node.node, jinja2.nodes.Name):
            yield from _of(
                node.node.name, [each.value for each in node.args if isinstance(each, jinja2.nodes.Const)]
            )


def _of(function: str, literals: list[Any]) -> Iterator[Said]:
    texts = [each for each in literals if isinstance(each, str)]
    number = SAYING.get(function, 0)
    if not number or len(texts) < number:
        return
    if function == "say_in":
        yield texts[1], texts[0]
    else:
        yield (texts[0] if number == 1 else (texts[0], texts[1])), None


def tables() -> Iterator[tuple[str, str]]:
    """Yield what is said of tables: where it stands, and the sentence."""
    from bayes_clv.cli import DEMO_TITLE
    from bayes_clv.customers.base_audit import PERIODS
    from bayes_clv.customers.orders.parsing import PROBLEMS
    from bayes_clv.customers.orders.returns import STEPS
    from bayes_clv.families.registry import derived, families, family
    from bayes_clv.predictions.money import MOMENTS
    from bayes_clv.problems import KINDS, SUBJECTS
    from bayes_clv.schema import UNSTATED
    from bayes_clv.scoring.baselines import BASELINES
    from bayes_clv.scoring.choosing import MEASURES, NO_BETTER, NOT_HELD, worse_by
    from bayes_clv.units import TIME_UNITS, in_plural
    from bayes_clv.views.plots.effects import PROBABILITY, without_symbols
    from bayes_clv.views.plots.equity import WORDS as STEP_WORDS
    from bayes_clv.views.plots.holdout import ERRORS
    from bayes_clv.views.plots.segments import OTHERS
    from bayes_clv.views.reporting.fits import DIAGNOSTICS, FINDINGS
    from bayes_clv.views.reporting.gallery import FIGURES
    from bayes_clv.views.reporting.page import LEVELS
    from bayes_clv.workflows.settings import Settings

    some = [each for size in range(1, 1 + len(MEASURES)) for each in itertools.combinations(MEASURES, size)]
    worse = [worse_by(each) for each in some]
    units = [each for unit in (*TIME_UNITS, UNSTATED) for each in (unit, in_plural(unit), f"per {unit}")]

    for kind in KINDS.values():
        for text in (kind.title, kind.found, kind.meaning):
            yield "bayes_clv/problems.py", text
        for each in kind.remedies:
            texts = (each.text, each.python, each.shell) if isinstance(each, Remedy) else (each,)
            yield from (("bayes_clv/problems.py", text) for text in texts)
    for words in language.WORDS.values():
        yield from (("bayes_clv/language.py", word) for word in words)
    for name in [*families("purchases"), *derived(), *families("spend")]:
        words = family(name).words
        for text in (words.title, *sentences_of(words.summary), *sentences_of(words.caution)):
            yield "bayes_clv/families", text
        yield from (("bayes_clv/families", meaning) for meaning, _unit in words.meanings.values())
        # What covariates act on.
        for quantity, of in family(name).quantities.items():
            if of.process is not None:
                acted_on = without_symbols(words.meanings[quantity][0]).removeprefix(PROBABILITY)
                yield "bayes_clv/views/plots/effects.py", acted_on
    for texts, place in (
        ((*DIAGNOSTICS.values(), *FINDINGS), "views/reporting/fits.py"),
        (FIGURES, "views/reporting/gallery.py"),
        ([*LEVELS, *LEVELS.values()], "views/reporting/page.py"),
        (SUBJECTS, "problems.py"),
        ((Settings.title, DEMO_TITLE), "workflows/settings.py"),
        ([each.what for each in PROBLEMS.values()], "customers/orders/parsing.py"),
        (STEPS.values(), "customers/orders/returns.py"),
        ((NOT_HELD, NO_BETTER, *worse), "scoring/choosing.py"),
        ((*units, "no unit", "probability", "count", "money", "log money", "time unit"), "units.py"),
        (("model", *(name.replace("_", " ") for name in BASELINES)), "scoring/baselines.py"),
        ([what for _, _, what in MOMENTS], "predictions/money.py"),
        (("alive", "awake"), "targeting/alarms.py"),
        (("the order log",), "customers/orders/log.py"),
        (STEP_WORDS.values(), "views/plots/equity.py"),
        (ERRORS.values(), "views/plots/holdout.py"),
        ((OTHERS,), "views/plots/segments.py"),
        ([f"{period}s" for period in PERIODS], "customers/base_audit.py"),
    ):
        yield from ((f"bayes_clv/{place}", text) for text in texts)


def untranslated(page: str, english: str = "[a-z]{3,}") -> set[str]:
    """Return what a Chinese page shows, or tells a screen reader, in English alone: texts that hold the pattern.

    Not what is drawn in figures, which is English.
    """
    shown = re.sub(
        r"<style>.*?</style>|<script>.*?</script>|<pre.*?</pre>|<svg.*?</svg>", "", page, flags=re.DOTALL
    )
    shown += "".join(f">{each}<" for each in re.findall(r'(?:aria-label|title)="([^"]+)"', shown))
    said = [html.unescape(each).strip() for each in re.findall(r">([^<>]+)<", shown)]
    return {each for each in said if re.search(english, each) and not CHINESE.search(each)}


def drawn_words(page: str) -> set[str]:
    """Return the texts of the figures of a page that are words: they hold three letters, or a Chinese one."""
    said = re.findall(r"<text\b[^>]*(?<!/)>(.*?)</text>", page, flags=re.DOTALL)
    texts = {html.unescape(re.sub("<[^>]*>", "", each)).strip() for each in said}
    return {each for each in texts if re.search("[A-Za-z]{3,}", each) or CHINESE.search(each)}


def slots(sentence: str) -> set[str]:
    """Return the names of the slots of a sentence, each with its format."""
    return {f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(sentence) if name is not None}


def faults(code: str) -> list[str]:
    """Return what is wrong with the file of a language: sentences without translation, slots, sentences of nobody."""
    said, translated = sentences(), language.read_catalogue(code)
    found = []
    for message in said:
        known = translated.get(message.id, message.context)
        if message.id and (known is None or known.fuzzy or not all(_texts(known.string))):
            found.append(f"no translation: {message.id!r}")
    for message in translated:
        if not message.id:
            continue
        if said.get(message.id, message.context) is None:
            found.append(f"nothing says this any more: {message.id!r}")
        known = set.union(*map(slots, _texts(message.id)))
        found += [
            f"slots {sorted(slots(each))} in place of {sorted(known)}: {message.id!r}"
            for each in _texts(message.string)
            if each and slots(each) != known
        ]
    return found


def _texts(message: str | Iterable[str]) -> tuple[str, ...]:
    return (message,) if isinstance(message, str) else tuple(message)


# What the format's header may say and nobody asks: dates above all, which would change the file every time.
_UNASKED = re.compile(r'"(?:Project|Report|POT|PO-|Last|Language-Team|Generated)[^\n]*\n')


def update(code: str) -> None:
    """Write new sentences into the file of a language, and take out those that nothing says any more."""
    translated = language.read_catalogue(code)
    translated.update(sentences(), no_fuzzy_matching=True, update_header_comment=False)
    written = io.BytesIO()
    write_po(written, translated, width=110, ignore_obsolete=True, include_lineno=False)
    text = _UNASKED.sub("", written.getvalue().decode("utf-8"))
    (language.FOLDER / f"{code}.po").write_text(text, encoding="utf-8")


def main() -> int:
    """Bring each file of translations up to date, and print what is wrong with it."""
    wrong = 0
    for code in language.languages()[1:]:
        update(code)
        found = faults(code)
        wrong += len(found)
        print(f"{code}: {len(found)} faults", *found, sep="\n  ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
