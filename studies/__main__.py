"""All studies from one command: what each asks and found, and how to run it again.

``uv run python -m studies`` lists them; with names it runs these, one after another, with ``--quick`` in the short form
of those that have one; ``--all`` runs every study.
"""

import argparse
import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).parent
WIDTH = 100


def names() -> list[str]:
    """Return the studies: every script that can be run."""
    return sorted(
        each.stem
        for each in HERE.glob("*.py")
        if each.stem not in ("__main__", "__init__") and '"__main__"' in each.read_text(encoding="utf-8")
    )


def has_quick(name: str) -> bool:
    """Return whether a study has a short form."""
    return '"--quick"' in (HERE / f"{name}.py").read_text(encoding="utf-8")


def question(name: str) -> str:
    """Return the first line of what a study says of itself."""
    said = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0]


def verdicts() -> dict[str, tuple[str, str, str]]:
    """Return question, rule and verdict of each study, as README.md has them."""
    found = {}
    for line in (HERE / "README.md").read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| \[(\w+)\]\(\w+\.py\) \| (.*) \| (.*) \| (.*) \|$", line)
        if row:
            found[row[1]] = (row[2], row[3], row[4])
    return found


def plain(text: str) -> str:
    """Return a cell of the table without its marks and links."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("**", "").replace("`", "")


def listed() -> list[str]:
    """Return the lines that say what each study asks and found."""
    known = verdicts()
    lines = []
    for name in names():
        asked, _, verdict = known.get(name, (question(name), "", "not written up yet"))
        if "FAILED" in verdict and not verdict.startswith("**FAILED**"):
            verdict = f"FAILED in part. {verdict}"
        head = f"{name}{' (--quick)' if has_quick(name) else ''}: {plain(asked)}"
        lines += textwrap.wrap(head, WIDTH, subsequent_indent="    ")
        lines += textwrap.wrap(
            plain(verdict), WIDTH, initial_indent="    ", subsequent_indent="    ", max_lines=3
        )
    return [
        *lines,
        "",
        "Run one: uv run python -m studies NAME [--quick]. The whole verdicts: studies/README.md",
    ]


def main(given: list[str] | None = None) -> int:
    """List studies, or run them; return the first exit status that is not 0."""
    parser = argparse.ArgumentParser(prog="python -m studies", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="studies to run [default: list all]")
    parser.add_argument("--all", action="store_true", help="run every study")
    parser.add_argument("--quick", action="store_true", help="the short form of those that have one")
    told = parser.parse_args(given)
    chosen = names() if told.all else told.names
    unknown = [name for name in chosen if name not in names()]
    if unknown:
        parser.error(f"there is no study {unknown[0]!r}. There are {', '.join(names())}.")
    if not chosen:
        print("\n".join(listed()))
        return 0
    worst = 0
    for name in chosen:
        short = ["--quick"] if told.quick and has_quick(name) else []
        print(f"== {name} {' '.join(short)}", flush=True)
        status = subprocess.run([sys.executable, "-m", f"studies.{name}", *short], check=False).returncode
        worst = worst or status
    return worst


if __name__ == "__main__":
    sys.exit(main())
