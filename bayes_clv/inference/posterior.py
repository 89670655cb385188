"""The posterior as a plain DataTree that carries what is needed to predict from it later.

No model object is kept: family, priors, time unit, versions, seed and diagnostics are attributes of
the tree's root, so that a posterior saved with ``to_netcdf`` or ``to_zarr`` and opened in a new
process predicts the same numbers.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.families.contract import Family
from bayes_clv.inference.calendar import LearnedCalendar
from bayes_clv.inference.effects import Effects
from bayes_clv.inference.over_time import LearnedColumns
from bayes_clv.inference.pooled import LearnedGroups
from bayes_clv.problems import read_problem
from bayes_clv.schema import InputError, stored

FORMAT = "bayes_clv posterior 1"


# The checksum of names, texts and attributes in a file, where HDF5 keeps none: an attribute of its root.
WORDS = "checksum_of_words"


# What stands in place of a family in a posterior of ``clv.targeting.fit_response``.
RESPONSE = "response"


RESPONSE_NEEDS = ("conversion_control", "conversion_effect")


def save(posterior: xr.DataTree, path: str | Path) -> Path:
    """Write a posterior to one netCDF file (``.nc``) or a Zarr store (``.zarr``), all or nothing.

    The same as the DataTree's own ``to_netcdf`` and ``to_zarr``, but a half-written file never stands
    under the final name.

    Raises
    ------
    InputError
        If the name ends in neither ``.nc`` nor ``.zarr``, or it is no DataTree.

    Examples
    --------
    >>> save(buying, "buying.nc").name
    'buying.nc'
    """
    if not isinstance(posterior, xr.DataTree):
        raise InputError(
            "What is saved is a posterior, the DataTree that clv.fit returns; it is "
            f"a {type(posterior).__name__}."
        )
    path = Path(path)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    if path.suffix == ".nc":
        parts = {node.path: _summed(node.to_dataset(inherit=False)) for node in posterior.subtree}
        stamped = posterior.copy()
        stamped.attrs = dict(posterior.attrs) | {WORDS: _words(posterior)}
        stamped.to_netcdf(partial, engine="h5netcdf", encoding=parts)
        partial.replace(path)
    elif path.suffix == ".zarr":
        posterior.to_zarr(path, mode="w", consolidated=False)
    else:
        raise InputError(f"Cannot tell the format of {path.name!r}: end the name in .nc or .zarr.")
    return path


def _summed(dataset: xr.Dataset) -> dict[str, dict[str, bool]]:
    """Return the encoding by which HDF5 keeps a checksum of all numbers: a changed byte is an error, not a number."""
    return {
        str(name): {"fletcher32": True}
        for name, each in dataset.variables.items()
        if each.ndim and each.size and each.dtype.kind in "bifuM"
    }


def _words(tree: xr.DataTree | xr.Dataset) -> str:
    """Return a checksum of what has none in HDF5: names, shapes, attributes, texts and single numbers."""
    nodes = [tree] if isinstance(tree, xr.Dataset) else list(tree.subtree)
    said: list[Any] = []
    for node in nodes:
        dataset = node if isinstance(node, xr.Dataset) else node.to_dataset(inherit=False)
        attrs = {name: value for name, value in dataset.attrs.items() if name != WORDS}
        said.append((getattr(node, "path", ""), _shown(attrs)))
        for name, each in sorted(dataset.variables.items(), key=lambda item: str(item[0])):
            values = each.values.tolist() if each.dtype.kind in "OUST" or not each.ndim else None
            said.append((str(name), [*each.dims], [*each.shape], _shown(each.attrs), str(values)))
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def _shown(attrs: Any) -> dict[str, str]:
    """Return attributes as text that reads the same before a file and after it."""
    return {str(name): str(np.asarray(value).tolist()) for name, value in attrs.items()}


def _checked(found: Any, name: str) -> Any:
    """Return what a file holds without its checksum of words, once that agrees; files without one are as they are."""
    stated = found.attrs.pop(WORDS, None)
    if stated is not None and stated != _words(found):
        raise InputError(
            f"{name!r} does not agree with its own checksum: a name, a text or a setting in it was changed or damaged. "
            "Copy it again from where it was written, or fit again."
        )
    return found


def load(path: str | Path) -> xr.DataTree:
    """Read a posterior written by ``save``, or by the DataTree's own ``to_netcdf`` or ``to_zarr``.

    Raises
    ------
    InputError
        If the file is missing, truncated, no netCDF or Zarr, or no bayes_clv posterior.

    Examples
    --------
    >>> again = load(save(buying, "buying.nc"))
    """
    if not isinstance(path, str | Path):
        raise InputError(f"{path!r} is no path. Give the file that a posterior was saved to.")
    tree = read_tree(Path(path))
    return _check_loaded(tree, Path(path).name)


def read_tree(path: Path) -> xr.DataTree:
    """Return the tree of a file or store that ``save`` wrote, whatever it is of; a damaged one is refused."""
    if not os.path.exists(path):  # noqa: PTH110 (a path too long to be one)
        raise InputError(f"There is no posterior at {str(path)[:200]!r}.")
    try:
        if path.suffix == ".zarr" or path.is_dir():
            tree = xr.open_datatree(path, engine="zarr", consolidated=False).load()
        else:
            with xr.open_datatree(path, engine="h5netcdf") as opened:
                tree = opened.load()
    except Exception as error:
        raise InputError(
            f"The posterior {path.name!r} cannot be read: the file is truncated, damaged or no netCDF or Zarr. "
            "Copy it again from where it was written, or fit again."
        ) from error
    if not tree.children and "customer" in tree.dims and tree.attrs.get("format") != FORMAT:
        raise InputError(
            f"{path.name!r} holds customers and no posterior, as a run's customers.nc does. Read it with "
            "bayes_clv.inference.posterior.read_customers; the posteriors of a run are buying.nc and spending.nc."
        )
    checked: xr.DataTree = _checked(tree, path.name)
    return checked


def _check_loaded(tree: xr.DataTree, name: str) -> xr.DataTree:
    from bayes_clv.families.registry import family as find_family

    if tree.attrs.get("format") != FORMAT or "posterior" not in tree.children:
        raise InputError(
            f"{name!r} is no bayes_clv posterior: it lacks the group 'posterior' or the attribute format={FORMAT!r}. "
            "Give a file that a posterior of bayes_clv.fit was saved to."
        )
    if "family" not in tree.attrs:
        raise InputError(f"The posterior {name!r} does not say its family (attribute 'family'). Fit again.")
    values = tree["posterior"].data_vars
    of_response = tree.attrs["family"] == RESPONSE
    needed = RESPONSE_NEEDS if of_response else find_family(str(tree.attrs["family"])).parameters
    for parameter in needed:
        if parameter not in values:
            raise InputError(f"The posterior {name!r} lacks the draws of {parameter!r}. Fit again.")
        if values[parameter].size == 0:
            raise InputError(f"The posterior {name!r} has no draws. Fit again.")
        if values[parameter].dtype.kind not in "fiu":
            raise InputError(
                f"In the posterior {name!r} the draws of {parameter!r} are no numbers. Fit again."
            )
    return tree


def described(
    posterior: xr.Dataset,
    family: Family,
    time_unit: str,
    effects: Effects | None = None,
    calendar: LearnedCalendar | None = None,
    over_time: LearnedColumns | None = None,
    groups: LearnedGroups | None = None,
    currency: str | None = None,
) -> xr.Dataset:
    """Return the draws with each variable's meaning and unit attached, in the family's words.

    Amounts are in the currency that the customers name, "money" where they name none.
    """
    words = {
        "none": "no unit",
        "time": time_unit,
        "1/time": f"per {time_unit}",
        "money": currency or "money",
    }
    meanings = dict(family.words.meanings)
    if effects is not None:
        meanings |= {name: (text, "none") for name, text in effects.meanings(family).items()}
    if calendar is not None:
        meanings |= calendar.meanings()
    if over_time is not None:
        meanings |= over_time.meanings()
    if groups is not None:
        meanings |= groups.meanings()
    for name in posterior.data_vars:
        meaning, unit = meanings[str(name)]
        posterior[name].attrs = {"long_name": meaning, "units": words.get(unit, unit)}
    return posterior


def diagnostics(tree: xr.DataTree) -> dict[str, Any]:
    """Return the diagnostics attached by ``fit``: ``passed``, the numbers, and ``problems``.

    A problem is a record: its ``code``, ``found`` (a sentence with the number and its threshold) and the ``numbers``.
    Sentences of posteriors that an earlier version saved are ``found`` of the code ``"sentence"``.

    Examples
    --------
    >>> diagnostics(buying)["passed"]
    True
    """
    found = stored("diagnostics", lambda: dict(json.loads(tree.attrs["diagnostics"])))
    return found | {"problems": [read_problem(each) for each in found.get("problems", [])]}


def write_customers(customers: xr.Dataset, path: str | Path) -> Path:
    """Write customers to one netCDF file (``.nc``).

    Examples
    --------
    >>> write_customers(customers, "customers.nc").name
    'customers.nc'
    """
    path = Path(path)
    stamped = customers.assign_attrs({WORDS: _words(customers)})
    stamped.to_netcdf(path, engine="h5netcdf", encoding=_summed(customers))
    return path


def read_customers(path: str | Path) -> xr.Dataset:
    """Return the customers of a file of ``write_customers``, equal in every value, type and attribute.

    Raises
    ------
    InputError
        For a missing or damaged file, and one that holds no customers.

    Examples
    --------
    >>> again = read_customers(write_customers(customers, "customers.nc"))
    >>> again.identical(customers)
    True
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {path.name!r} with the customers of a run.")
    try:
        # Seconds, as `summarize` has them; durations are numbers in a unit of ours.
        times = xr.coders.CFDatetimeCoder(time_unit="s")
        with xr.open_dataset(path, engine="h5netcdf", decode_times=times, decode_timedelta=False) as opened:
            customers = opened.load()
    except Exception as error:
        raise InputError(
            f"The customers {path.name!r} cannot be read: the file is truncated, damaged or no netCDF. "
            "Copy it again from where it was written, or run again."
        ) from error
    checked: xr.Dataset = _checked(with_own_texts(customers), path.name)
    check_customers(checked)
    return checked.drop_encoding()


def with_own_texts(read: xr.Dataset) -> xr.Dataset:
    """Return a dataset of a file with texts that are Python's own, of any length."""
    texts = {name: each.astype(object) for name, each in read.variables.items() if each.dtype.kind == "U"}
    found = read.assign_coords({k: v for k, v in texts.items() if k in read.coords})
    return found.assign({k: v for k, v in texts.items() if k not in read.coords})
