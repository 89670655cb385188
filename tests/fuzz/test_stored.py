"""Posteriors and customers in files with a byte changed: what was written, or an InputError."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import bayes_clv as clv
from bayes_clv.inference.posterior import read_customers, write_customers


@pytest.fixture
def kept(tmp_path):
    """Return the writer's file, reader and object of both kinds."""
    draws = {
        name: (("chain", "draw"), np.linspace(1, 2, 40).reshape(2, 20)) for name in ("r", "alpha", "a", "b")
    }
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(draws)})
    tree.attrs = {"format": "bayes_clv posterior 1", "family": "bg_nbd", "time_unit": "week", "seed": 1}
    tree.attrs["diagnostics"] = json.dumps({"passed": True, "problems": []})
    table = pd.DataFrame({"frequency": [1, 0, 2], "recency": [1.0, 0, 2], "T": 4.0}, index=["a", "b", "ß"])
    customers = clv.customers.from_table(table.assign(channel=["web", "app", "web"]), "week", "channel")
    return {
        "posterior": (clv.save(tree, tmp_path / "p.nc"), clv.load, tree),
        "customers": (write_customers(customers, tmp_path / "c.nc"), read_customers, customers),
    }


def of_files(kept, kind, clock):
    path, read, wanted = kept[kind]
    whole = path.read_bytes()
    assert read(path).identical(wanted)

    @given(st.integers(0, 2**32), st.integers(1, 255), st.integers(0, 9))
    def check(place, change, cut):
        damaged = bytearray(whole)
        damaged[place % len(whole)] ^= change
        # A file of its own: HDF5 shares what it knows of one that a failed attempt left open.
        path.unlink()
        path.write_bytes(damaged if cut else whole[: place % len(whole)])
        try:
            with clock(20):
                found = read(path)
        except clv.InputError:
            return
        assert found.identical(wanted)

    return check


@pytest.mark.parametrize("kind", ["posterior", "customers"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_bytes_changed(kind, kept, fuzz, clock):
    fuzz(of_files(kept, kind, clock), 12)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["posterior", "customers"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_1_000_bytes_changed(kind, kept, fuzz, clock):
    fuzz(of_files(kept, kind, clock), 500, 1)
