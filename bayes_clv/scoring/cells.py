"""Scores of single cells on disk, so that a stopped backtest goes on where it was.

A cell is a file of its own, known by a hash of all that its scores depend on: the customers themselves (histories and
holdout, not the path of the log), what was fitted and how, seed, draws and version. A file is written under another
name first, and one that cannot be read, or is of something else, counts as absent.
"""

import hashlib
import inspect
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import InputError
from bayes_clv.scoring.metrics import Metric

FORMAT = "bayes_clv cell 1"


@dataclass(frozen=True)
class Cells:
    """The folder of the cells, None where none are kept."""

    folder: Path | None

    def read(self, key: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return what was scored under a key before, or None."""
        if self.folder is None or key is None:
            return None
        try:
            found = json.loads(self._path(key).read_text(encoding="utf-8"))
            return dict(found["cell"]) if found["key"] == key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, key: dict[str, Any] | None, cell: dict[str, Any]) -> None:
        """Keep what was scored under a key, whole or not at all; a key of None is not kept."""
        if self.folder is None or key is None:
            return
        path = self._path(key)
        partial = path.with_name(f".{path.stem}.{os.getpid()}.partial")
        partial.write_text(json.dumps({"key": key, "cell": cell}), encoding="utf-8")
        partial.replace(path)

    def _path(self, key: dict[str, Any]) -> Path:
        assert self.folder is not None
        text = json.dumps(key, sort_keys=True)
        return self.folder / f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.json"


def open_cells(folder: str | Path | None) -> Cells:
    """Return the cells of a folder, which is made where it is not there."""
    if folder is None:
        return Cells(None)
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"No folder can be made at {str(folder)!r}: {error.strerror}. Name another one."
        ) from None
    return Cells(path)


def cell_key(customers: str, what: Any, **settings: Any) -> dict[str, Any] | None:
    """Return the key of a cell; None where ``what`` is None, which cannot be known again."""
    if what is None:
        return None
    named = {
        "format": FORMAT,
        "version": version("bayes_clv"),
        "customers": customers,
        "what": what,
    } | settings
    # As it comes back from a file: tuples are lists there.
    return dict(json.loads(json.dumps(named, sort_keys=True)))


def fingerprint(customers: xr.Dataset) -> str:
    """Return a hash of customers: ids, histories, holdout, periods and columns; not what their log was called."""
    hashed = hashlib.blake2b(digest_size=16)
    for name in sorted(map(str, customers.variables)):
        values = customers[name].to_numpy()
        content = "\0".join(map(str, values)).encode() if values.dtype == object else values.tobytes()
        hashed.update(f"{name} {values.dtype} {values.shape} {len(content)}\n".encode())
        hashed.update(content)
    attrs = {name: str(value) for name, value in customers.attrs.items() if name != "audit"}
    hashed.update(json.dumps(attrs, sort_keys=True).encode())
    return hashed.hexdigest()


def function_key(function: Callable[..., Any]) -> list[Any] | None:
    """Return what a function is known by: its source, and the plain values that it was made with; None without."""
    code, closed = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    try:
        if code is None:
            return None
        values = [*(cell.cell_contents for cell in closed), getattr(function, "__defaults__", None)]
        json.dumps(values)
        return [inspect.getsource(function), values]
    except (OSError, TypeError, ValueError):
        return None


def metric_key(metric: Metric) -> list[Any] | None:
    """Return what a metric of one's own is known by: its function, and what it says of itself; None without."""
    known = function_key(metric.function)
    words = [metric.long_name, metric.units, metric.better, metric.proper, list(metric.of), list(metric.dims)]
    return None if known is None else [known, *words]


def as_plain(value: Any) -> Any:
    """Return a number or an array of them as JSON has it; Python's JSON knows NaN and infinity."""
    return np.asarray(value, dtype=float).tolist()
