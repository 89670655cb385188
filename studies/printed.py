"""What the studies of printed figures share: is a figure in print a rounding of ours, and where does it stand.

``published`` asks it of every family's estimates, ``replicate_cdnow`` of the tables and figures of the 2005 papers. A
printed figure is a row with ``published`` (as it is printed), ``decimals`` (of its last digit: -2 of hundreds),
``arithmetic`` ("exact", or what its authors did otherwise, with which it is reproduced) and ``source``.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

REFERENCE = Path(__file__).parents[1] / "tests" / "reference"

# A number, or the least and the greatest where the published one rests on rounded estimates.
type Figure = float | tuple[float, float]
type Row = dict[str, Any]


def rows(name: str | Path) -> list[dict[str, str]]:
    """Return the printed figures of a file of tests/reference, or the rows of another table by its whole path."""
    with (REFERENCE / name).open(newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def against(row: Mapping[str, str], found: Figure | None) -> Row:
    """Return a row of the table: ours, how far the published figure lies from it, and whether it is a rounding.

    ``half_digits`` is the difference in halves of the published figure's last digit: within -1 and 1 it is a rounding.
    """
    if found is None:
        return row | {"ours": "not computed", "difference": "", "half_digits": np.nan, "passed": False}
    published = float(row["published"])
    half_unit = 0.5 * 10.0 ** -int(row["decimals"])
    low, high = found if isinstance(found, tuple) else (found, found)
    nearest = min(max(published, low), high)
    digits = max(int(row["decimals"]) + 3, 0)
    return row | {
        "ours": f"{low:.{digits}f}" if low == high else f"{low:.{digits}f} to {high:.{digits}f}",
        "difference": f"{nearest - published:+.{digits}f}",
        "half_digits": (nearest - published) / half_unit,
        "passed": abs(nearest - published) <= half_unit * (1 + 1e-9),
    }


def write(found: Sequence[Row], columns: Sequence[str], path: Path) -> None:
    """Write these columns of a study's rows."""
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore", restval="")
        out.writeheader()
        out.writerows(found)


def verdict(found: Sequence[Row]) -> bool:
    """Print how many figures passed, and return whether all did."""
    failed = sum(not row["passed"] for row in found)
    print(
        f"{len(found)} figures, pass rule: {'FAILED' if failed else 'passed'}" + f" ({failed})" * bool(failed)
    )
    return not failed
