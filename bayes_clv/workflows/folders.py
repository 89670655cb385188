"""A finished run, read back from its folder: what the commands after ``run`` start from.

``customers.nc`` and the posteriors are the run's own, to the last digit; how far and at which margin it looked is taken
from the attributes of ``customers.parquet``, since ``run.json`` rounds a horizon for people.
"""

import contextlib
import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.problems import cards, read_problem
from bayes_clv.schema import CUSTOMER, InputError, argument, either
from bayes_clv.workflows.words import earned, titles_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayes_clv.predictions.own_costs import Costs


@dataclass(frozen=True)
class Finished:
    """A run: its customers and posteriors, its table of customers, and what ``run.json`` holds.

    ``spending`` is None for a run on purchases alone, ``costs`` where none were stated.
    """

    customers: "xr.Dataset"
    buying: "xr.DataTree"
    spending: "xr.DataTree | None"
    table: "pd.DataFrame"
    record: dict[str, Any]
    costs: "Costs | None" = None

    @property
    def horizon(self) -> float:
        """Return how far it forecast, in the customers' time unit."""
        return float(self.table.attrs["horizon"])

    @property
    def margin(self) -> float:
        """Return the share of spend that is earned."""
        return float(self.table.attrs.get("margin", 1.0))

    def earned(self, margin: float | None = None) -> str:
        """Return what the run's value is, of its own margin or another."""
        return earned(self.margin if margin is None else margin, self.annual_discount_rate, self.costs)

    @property
    def money(self) -> dict[str, Any]:
        """Return what verbs are told of money for the run's own value: nothing of a run on purchases alone."""
        if self.spending is None:
            return {}
        return {
            "spending": self.spending,
            "margin": self.margin,
            "annual_discount_rate": self.annual_discount_rate,
            "costs": self.costs,
        }

    def costs_or(self, stated: "Costs | None") -> "Costs | None":
        """Return costs that take the place of the run's, with the run's own margin where they state none."""
        from bayes_clv.predictions.own_costs import MARGIN

        if stated is None or self.costs is None or MARGIN not in self.costs.terms:
            return self.costs if stated is None else stated
        return replace(stated, terms={MARGIN: self.costs.terms[MARGIN], **stated.terms})

    @property
    def annual_discount_rate(self) -> float:
        """Return the discount rate a year."""
        return float(self.table.attrs.get("annual_discount_rate", 0.0))

    @property
    def seed(self) -> int:
        """Return the seed that the run was given."""
        return int(self.record["arguments"]["seed"])

    @property
    def failed(self) -> list[str]:
        """Return the titles of its failed checks, as its report has them."""
        if "checks" in self.record:
            return [str(card["title"]) for card in self.record["checks"]]
        # A run of an earlier version: what its fits found.
        found = self.record["diagnostics"].values()
        return titles_of(
            cards(read_problem(problem, each["family"]) for each in found for problem in each["problems"])
        )

    @property
    def groupings(self) -> list[str]:
        """Return the columns by which its fits were grouped, such as channels."""
        return list(dict.fromkeys(label for each in self._effects for label in each.labels))

    @property
    def told_apart_by(self) -> list[str]:
        """Return the columns by which its fits tell new customers apart: covariates, groups and those over time."""
        from bayes_clv.inference.over_time import read_columns
        from bayes_clv.inference.pooled import read_groups

        drawn, moved = read_columns(self.buying), read_groups(self.buying)
        changing = [] if drawn is None else list(drawn.columns.names)
        changing += [] if moved is None else [moved.groups.by]
        return list(dict.fromkeys([*(name for each in self._effects for name in each.columns), *changing]))

    @property
    def _effects(self) -> list[Any]:
        from bayes_clv.inference.effects import Effects

        trees = [tree for tree in (self.buying, self.spending) if tree is not None]
        return [Effects.from_json(str(tree.attrs["effects"])) for tree in trees if "effects" in tree.attrs]

    @property
    def sleeping(self) -> bool:
        """Return whether its customers may be asleep."""
        from bayes_clv.families.contract import Forecast, need
        from bayes_clv.families.registry import family

        return need(family(str(self.buying.attrs["family"])), Forecast).states is not None

    def value(self) -> "xr.Dataset | None":
        """Return ``value_mean`` over its customers, with its horizon, or None without spend."""
        import xarray as xr

        if "value_mean" not in self.table:
            return None
        ids = self.table["customer_id"].to_numpy(dtype=object)
        means = {"value_mean": (CUSTOMER, self.table["value_mean"].to_numpy())}
        return xr.Dataset(means, {CUSTOMER: ids}, {"horizon": self.horizon})


def read_run(folder: str | Path) -> Finished:
    """Return the run in a folder that ``run`` or ``demo`` wrote.

    Raises
    ------
    InputError
        For a folder that holds no finished run, a run of a version that did not keep its customers, and damaged files.

    Examples
    --------
    >>> read_run("no such run")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bayes_clv.schema.InputError: There is no folder 'no such run'. Name the folder of a finished run, ...
    """
    folder = Path(folder)
    record = read_record(folder)
    missing = [name for name in ("customers.parquet", "buying.nc") if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"The run in {str(folder)!r} lacks {missing[0]!r}. Copy the folder as a whole, or run again."
        )
    if not (folder / "customers.nc").is_file():
        raise InputError(
            f"The run in {str(folder)!r} has no 'customers.nc': bayes_clv {_version(record)} did not write one then. "
            f"Run again with {either(f'posteriors={str(folder)!r}', f'--posteriors {folder}')} and the options of "
            f"that run; nothing is then fitted anew."
        )
    from bayes_clv.inference.posterior import load, read_customers

    table = _table(folder / "customers.parquet")
    with_spend = record["arguments"].get("spend") is not None
    costs, stated = None, folder / COSTS_FILE
    if stated.is_file():
        from bayes_clv.predictions.own_costs import read_costs

        costs = read_costs(stated)
    return Finished(
        customers=read_customers(folder / "customers.nc"),
        buying=load(folder / "buying.nc"),
        spending=load(folder / "spending.nc") if with_spend else None,
        table=table,
        record=record,
        costs=costs,
    )


def read_record(folder: Path) -> dict[str, Any]:
    """Return what ``run.json`` of a run's folder holds; a folder without one is refused."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else ""
        where = f"{str(folder)!r} {what}" if what else f"There is no folder {str(folder)!r}"
        raise InputError(
            f"{where}. Name the folder of a finished run, such as 'clv-demo', which 'bayes-clv demo' writes."
        )
    path = folder / "run.json"
    if not path.is_file():
        raise InputError(
            f"{str(folder)!r} is no finished run: it has no 'run.json'. Name the folder that was {argument('out')} of "
            "'bayes-clv run'."
        )
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        arguments, diagnostics = record["arguments"], record["diagnostics"]
        known = "seed" in arguments and isinstance(diagnostics, dict)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        known = False
    if not known:
        raise InputError(
            f"'run.json' in {str(folder)!r} is not what a run writes: it is damaged, or something else. Run again."
        )
    return record


def _table(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except Exception as error:
        raise InputError(
            f"{path.name!r} cannot be read: the file is truncated, damaged or no Parquet. Copy it again, or run again."
        ) from error
    if "horizon" not in table.attrs or "customer_id" not in table:
        raise InputError(
            f"{path.name!r} is not the table that a run writes: it does not say its horizon. Run again."
        )
    return table


def _version(record: dict[str, Any]) -> str:
    return str(record.get("versions", {}).get("bayes_clv", "of an earlier day"))


# What a run's values are less, as it was told.
COSTS_FILE = "costs.toml"
# All that a run writes. A folder with anything else in it is never replaced, hidden notes of a file manager aside.
CONTENTS = (
    *("report.html", "customers.parquet", "customers.csv", "customers.nc", "buying.nc", "spending.nc"),
    *("run.json", "figures", COSTS_FILE),
)


# Of more customers the table for a spreadsheet would take seconds and tens of megabytes, and few could open it.
MOST_ROWS_OF_CSV = 100_000
UNNOTICED = (".DS_Store",)


def with_stated[Stated](
    folder: Path, out: Path, file: Path, read: Callable[[Path], Stated], *, command: str
) -> tuple[Finished, Stated]:
    """Return a finished run with amounts, and what a TOML file states; the file is read first, and ``out`` checked."""
    read_record(folder)
    check_out(out, folder)
    if not file.is_file():
        raise InputError(
            f"There is no file {str(file)!r}. Name a TOML file such as 'bayes-clv {command} --help' shows."
        )
    stated = read(file)
    run = read_run(folder)
    if run.spending is None:
        raise InputError(
            f"The run in {str(folder)!r} is of purchases alone, and 'bayes-clv {command}' is of money. Run again with "
            "amounts."
        )
    return run, stated


def refuse_foreign_folder(out: Path, shown: str) -> None:
    """Refuse to write over anything but an earlier run: a folder is replaced as a whole."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{shown!r} is a file. Name a folder for the results with {argument('out')}.")
    if not out.is_dir():
        return
    if Path.cwd().is_relative_to(out):
        raise InputError(
            f"{shown!r} is the folder you are in, and a run replaces its folder as a whole. Name another folder "
            f"with {argument('out')}."
        )
    found = {item.name for item in out.iterdir()} - set(UNNOTICED)
    foreign = sorted(found - set(CONTENTS)) if "run.json" in found else sorted(found)
    if foreign:
        raise InputError(
            f"The folder {shown!r} holds what is no earlier run, such as {foreign[0]!r}, and a run replaces its "
            f"folder as a whole. Name a new folder with {argument('out')}, or move your files."
        )


def take_place(work: Path, out: Path) -> None:
    """Give the finished folder its name; an earlier run there goes once the new one stands."""
    if not out.exists():
        work.replace(out)
        return
    aside = work.with_name(f"{work.name}-old")
    out.replace(aside)
    try:
        work.replace(out)
    except OSError:
        aside.replace(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


SUFFIXES = (".csv", ".parquet")


# Files.
def check_out(out: Path, run: Path) -> None:
    """Refuse a file that cannot be written, or one within the run."""
    if out.suffix not in SUFFIXES:
        raise InputError(f"{argument('out', out.name)} must end in .csv or .parquet.")
    if out.is_dir():
        raise InputError(
            f"{argument('out', str(out))} is a folder. Name a file in it, such as {str(out / 'table.csv')!r}."
        )
    if out.resolve().parent == Path(run).resolve():
        raise InputError(
            f"{argument('out', str(out))} lies in the run's own folder, which 'bayes-clv run' replaces as a whole. "
            "Name a file beside it."
        )


@contextlib.contextmanager
def all_or_nothing(out: Path) -> Iterator[Path]:
    """Give a hidden folder beside ``out``; what is in it at the end takes its place, file by file."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        hidden = tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent)
    except OSError as error:
        raise InputError(
            f"Nothing can be written to {str(out.parent)!r}: {error.strerror}. Name another place with "
            f"{argument('out')}."
        ) from None
    with hidden as work:
        yield Path(work)
        for file in sorted(Path(work).iterdir()):
            file.replace(out.parent / file.name)


def save_figures(figures: Mapping[str, Any], folder: Path) -> list[str]:
    """Write figures as PNG, and as SVG too where this machine's fonts lack some of their letters; return what to say.

    SVG keeps letters as letters, which whatever shows them has the fonts for.
    """
    from bayes_clv.views import fonts

    lost: list[str] = []
    for stem, figure in figures.items():
        # Said below, of each figure and in the words of the command line.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No font of this machine")
            figure.savefig(folder / f"{stem}.png", dpi=150)
        if fonts.cover(figure):
            figure.savefig(folder / f"{stem}.svg")
            lost.append(f"{stem}.svg")
    if not lost:
        return []
    return [
        f"No font of this machine has all letters of the figures, which are boxes in PNG. Open {', '.join(lost)} in a "
        "browser, or install such a font (for Chinese on Debian and Ubuntu: apt-get install fonts-wqy-microhei)."
    ]


def write_table(table: "pd.DataFrame", path: Path, *, more: bool = False) -> None:
    """Write a table as CSV or Parquet, by the path's ending; with ``more`` its rows go below those of a CSV.

    The CSV opens in spreadsheets, which run a cell that begins like a formula: text that does, and is no number, has an
    apostrophe before it there (OWASP, CSV Injection).
    """
    if path.suffix == ".csv":
        import pandas as pd

        texts = {
            name: table[name].map(_no_formula)
            for name in table.columns
            if not pd.api.types.is_numeric_dtype(table[name].dtype)
        }
        safe = table.assign(**texts).rename(columns=_no_formula)
        if more:
            safe.to_csv(path, index=False, mode="a", header=False, encoding="utf-8")
        else:
            safe.to_csv(path, index=False, encoding="utf-8-sig")
    else:
        table.to_parquet(path, index=False)


def write_customer_table(table: "pd.DataFrame", folder: Path) -> None:
    """Write a run's table of customers, and the same for spreadsheets where its customers are not too many."""
    write_table(table, folder / "customers.parquet")
    if len(table) <= MOST_ROWS_OF_CSV:
        write_table(table, folder / "customers.csv")


def _no_formula(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs."""
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    return cell if re.fullmatch(r"[+-]?[0-9]+([.,][0-9]+)*", cell) else f"'{cell}"
