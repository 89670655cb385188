"""The posterior as a plain DataTree that carries what is needed to predict from it later.

No model object is kept: family, priors, time unit, versions, seed and diagnostics are attributes of
the tree's root, so that a posterior saved with ``to_netcdf`` or ``to_zarr`` and opened in a new
process predicts the same numbers.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import InputError

FORMAT = "bayes_clv posterior 1"


def save(posterior: xr.DataTree, path: str | Path) -> Path:
    """Write a posterior to one netCDF file (``.nc``) or a Zarr store (``.zarr``), all or nothing.

    The same as the DataTree's own ``to_netcdf`` and ``to_zarr``, but a half-written file never stands
    under the final name.

    Raises
    ------
    InputError
        If the name ends in neither ``.nc`` nor ``.zarr``.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    if path.suffix == ".nc":
        posterior.to_netcdf(partial, engine="h5netcdf")
        partial.replace(path)
    elif path.suffix == ".zarr":
        posterior.to_zarr(path, mode="w", consolidated=False)
    else:
        raise InputError(f"Cannot tell the format of {path.name!r}: end the name in .nc or .zarr.")
    return path


def load(path: str | Path) -> xr.DataTree:
    """Read a posterior written by ``save``, or by the DataTree's own ``to_netcdf`` or ``to_zarr``.

    Raises
    ------
    InputError
        If the file is missing, truncated, no netCDF or Zarr, or no bayes_clv posterior.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"There is no posterior at {str(path)!r}.")
    try:
        if path.suffix == ".zarr" or path.is_dir():
            tree = xr.open_datatree(path, engine="zarr", consolidated=False).load()
        else:
            with xr.open_datatree(path, engine="h5netcdf") as opened:
                tree = opened.load()
    except Exception as error:
        raise InputError(
            f"The posterior {path.name!r} cannot be read: the file is truncated, damaged or no netCDF or Zarr "
            f"posterior ({_first_line(error)}). Copy it again from where it was written, or fit again."
        ) from error
    return check(tree)


def check(tree: xr.DataTree, families: Iterable[str] | None = None) -> xr.DataTree:
    """Return the tree if it is a bayes_clv posterior (of one of ``families``), complete and finite.

    Raises
    ------
    InputError
        If it is something else; the message says what was found and what is needed.
    """
    from bayes_clv.distributions import family

    if (
        not isinstance(tree, xr.DataTree)
        or tree.attrs.get("format") != FORMAT
        or "posterior" not in tree.children
    ):
        raise InputError(
            "This is no bayes_clv posterior: it lacks the group 'posterior' or the attribute "
            f"format={FORMAT!r}. Pass what bayes_clv.fit returned, or a file it was saved to."
        )
    name = str(tree.attrs.get("family"))
    if families is not None and name not in families:
        raise InputError(
            f"This posterior is of the family {name!r}; here one of {', '.join(sorted(families))} is needed. "
            "Were buying and spending exchanged?"
        )
    values = tree["posterior"].data_vars
    for parameter in family(name).PARAMETERS:
        if parameter not in values or not np.isfinite(values[parameter]).all():
            raise InputError(f"The {name} posterior lacks finite draws of {parameter!r}. Fit again.")
    return tree


def parameter_draws(tree: xr.DataTree) -> dict[str, np.ndarray]:
    """Return the draws of the family's paper parameters, each of shape (chain * draw,), in tree order."""
    from bayes_clv.distributions import family

    names = family(str(tree.attrs["family"])).PARAMETERS
    posterior = tree["posterior"].to_dataset().transpose("chain", "draw", ...)
    return {name: posterior[name].to_numpy().reshape(-1) for name in names}


def diagnostics(tree: xr.DataTree) -> dict[str, Any]:
    """Return the diagnostics attached by ``fit``."""
    return dict(json.loads(tree.attrs["diagnostics"]))


def with_attributes(tree: xr.DataTree, attributes: Mapping[str, Any]) -> xr.DataTree:
    """Return a copy of the tree whose root carries the attributes too."""
    copied = tree.copy()
    copied.attrs = {**tree.attrs, **attributes}
    return copied


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
