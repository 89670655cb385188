"""Write lessons as pages: ``uv run --group lessons python -m studies.lessons [LESSON ...] [--out out/lessons]``.

A lesson is said by its number or its file's name; without one all are written.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from studies.lessons.handout import LESSONS, write


def main(words: Sequence[str] | None = None) -> None:
    """Write the lessons that are named, all where none is, and print where they are."""
    parser = argparse.ArgumentParser(prog="python -m studies.lessons", description="Write lessons as pages.")
    parser.add_argument(
        "lessons", nargs="*", metavar="LESSON", help=f"of {', '.join(LESSONS)}; or its number"
    )
    parser.add_argument("--out", type=Path, default=Path("out/lessons"), help="folder of the pages")
    given = parser.parse_args(words)
    try:
        named = [called(each) for each in given.lessons]
    except ValueError as error:
        parser.error(str(error))
    for written in write(given.out, named or LESSONS):
        print(written)


def called(name: str) -> str:
    """Return the lesson of a number, a file's name or its path.

    >>> called("3"), called("studies/lessons/lesson_1_silence.py")
    ('lesson_3_three_levels', 'lesson_1_silence')
    """
    stem = Path(name).stem
    found = [each for each in LESSONS if stem == each or each.split("_")[1] == stem]
    if not found:
        raise ValueError(f"there is no lesson {name!r}. There are {', '.join(LESSONS)}.")
    return found[0]


if __name__ == "__main__":
    main()
