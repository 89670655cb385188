"""The fuzzer in its long form, in one process, which says how many cases it ran and every one that failed.

``uv run python -m tests.fuzz`` runs 20,000 tables of every dtype of pandas, Polars and Arrow, every file torn at every
byte (more than 2,000), and 5,000 conditions, formulas and rule files; each of them gives what plain Python gives, or an
InputError, within a minute. ``--seed`` draws others, and ``--seconds`` ends the tables early. The tables take about
half a second of a processor each ten; one that fails is made small first. The exit status is 1 where something failed.
"""

import argparse
import collections
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.running import clock, counted, fuzz
from tests.fuzz.tables import pl
from tests.fuzz.test_tables import KINDS, check_torn, of_tables, torn
from tests.fuzz.test_words import everything

CHUNK = 100
MAKERS = ["pandas", "arrow", *(["polars"] if pl is not None else [])]


def attempt(failures: list[str], what: str, action: Callable[[], None]) -> None:
    """Do something, and note what failed of it."""
    try:
        action()
    except (Exception, pytest.fail.Exception, BaseExceptionGroup) as error:
        if isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt) is not None:
            raise
        failures.append(f"{what}\n{traceback.format_exc(limit=-8)}")
        print(f"FAILED: {failures[-1]}", flush=True)


def main(given: list[str] | None = None) -> int:
    """Run everything, print the counts, and return whether something failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--tables", type=int, default=20_000)
    parser.add_argument("--words", type=int, default=5_000)
    parser.add_argument("--no-torn", action="store_true", help="leave out the torn files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no table after so many")
    told = parser.parse_args(given)
    warnings.simplefilter("error")
    counts: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checks = everything(clock, folder)
        for which, check in enumerate(checks):
            own = counted(check, counts, "conditions, formulas and rule files")
            cases = -(-told.words // len(checks))
            if cases:
                attempt(
                    failures,
                    f"words {which}",
                    lambda own=own, cases=cases, which=which: fuzz(own, cases, told.seed * 1_000 + which),
                )
        for kind in () if told.no_torn else KINDS:
            for cut in range(1, len(torn(folder, kind, 0)[1]) + 1):
                counts["torn files"] += 1
                attempt(
                    failures,
                    f"{kind} cut by {cut}",
                    lambda kind=kind, cut=cut: check_torn(folder, kind, cut, clock),
                )
        print(f"{dict(counts)}, {time.process_time():.0f} s of a processor", flush=True)
        part = 0
        while counts["tables"] < told.tables and time.monotonic() - started < told.seconds:
            maker = MAKERS[part % len(MAKERS)]
            number = told.seed * 1_000_000 + part
            check = counted(of_tables(maker, clock), counts, "tables")
            attempt(
                failures,
                f"tables of {maker}, part {number}",
                lambda check=check, number=number: fuzz(check, CHUNK, number),
            )
            part += 1
            if part % 10 == 0:
                print(
                    f"{counts['tables']:,} tables, {len(failures)} failed parts, {time.process_time():.0f} s of a "
                    "processor",
                    flush=True,
                )
    print(f"{dict(counts)}: {len(failures)} failures, {time.process_time():.0f} s of a processor")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
