"""Results of surveys in files, with the checksums that posteriors have."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.inference.posterior import read_tree, with_own_texts
from bayes_clv.inference.posterior import save as save_tree
from bayes_clv.schema import InputError, stored

FORMAT = "bayes_clv result 1"
# Attributes of a result may be lists and mappings, which netCDF has none of.
_ATTRS = "result_attributes"


def save(result: xr.Dataset | xr.DataTree, path: str | Path) -> Path:
    """Write a result of ``clv.perceived`` (answers, scores, a market, fits of answers and drivers) to one netCDF file.

    Raises
    ------
    InputError
        What is no result, and a name that does not end in ``.nc``.

    Examples
    --------
    >>> import pandas as pd
    >>> shares = clv.perceived.answer_shares(pd.DataFrame({"happy": [9, 8, 3]}), "happy", draws=20, seed=1)
    >>> load(save(shares, "happy.nc")).identical(shares)
    True
    """
    if not isinstance(result, xr.Dataset | xr.DataTree) or "result" not in result.attrs:
        raise InputError(f"This is no result of clv.perceived, but {type(result).__name__}.")
    if Path(path).suffix != ".nc":
        raise InputError(f"Cannot tell the format of {Path(path).name!r}: end the name in .nc.")
    text = json.dumps(result.attrs, default=_plain)
    kept = result.copy() if isinstance(result, xr.DataTree) else xr.DataTree(result.copy())
    kept.attrs = {"format": FORMAT, _ATTRS: text}
    return save_tree(kept, path)


def load(path: str | Path) -> xr.Dataset | xr.DataTree:
    """Return the result that ``save`` wrote, equal in every value and attribute; tuples have become lists.

    Raises
    ------
    InputError
        A missing or damaged file, and one that holds no result.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no file {str(path)!r}.")
    if _format(path) not in (FORMAT, None):
        raise InputError(f"{path.name!r} holds no result of clv.perceived.save.")
    tree = read_tree(path)
    tree.attrs = stored("result", lambda: dict(json.loads(tree.attrs[_ATTRS])))
    return tree if tree.children else with_own_texts(tree.to_dataset()).drop_encoding()


def _format(path: Path) -> str | None:
    """Return what a file says that it is, nothing where it says no word of it, None where it cannot be read."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            return str(opened.attrs.get("format", ""))
    except Exception:
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise InputError(f"The result has an attribute of {type(value).__name__}, which cannot be kept.")
