"""A posterior saved in one process predicts the same numbers in another; a damaged file is refused."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.inference.posterior import read_customers, write_customers
from tests.interpreted import interpreted

PREDICT = """
import sys
import bayes_clv as clv
from tests.interpreted import interpreted
from tests.interpreted import interpreted
customers = clv.summarize(clv.load_cdnow(), until="1997-09-30", holdout_until="1998-06-30").isel(customer=slice(200))
value = clv.predict(clv.load(sys.argv[1]), customers, "39 weeks", spending=clv.load(sys.argv[2]), seed=8)
clv.table(value).to_parquet(sys.argv[3])
"""


@pytest.fixture(scope="module")
def buying(cdnow):
    groups = ("prior", "posterior_predictive")
    return clv.fit("bg_nbd", cdnow, method="laplace", draws=250, seed=1, include=groups)


@pytest.fixture(scope="module")
def spending(cdnow):
    return clv.fit("gamma_gamma", cdnow, method="laplace", draws=250, seed=2)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_new_process_predicts_the_same_numbers(tmp_path, cdnow, buying, spending, suffix):
    files = [clv.save(tree, tmp_path / f"{name}{suffix}") for name, tree in (("b", buying), ("s", spending))]
    table = tmp_path / "table.parquet"
    subprocess.run([sys.executable, "-W", "error", "-c", PREDICT, *map(str, files), str(table)], check=True)
    here = clv.predict(buying, cdnow.isel(customer=slice(200)), "39 weeks", spending=spending, seed=8)
    pd.testing.assert_frame_equal(clv.table(here), pd.read_parquet(table), check_exact=True)


def test_the_trees_own_writer_serves_as_well(tmp_path, buying):
    buying.to_netcdf(tmp_path / "own.nc", engine="h5netcdf")
    loaded = clv.load(tmp_path / "own.nc")
    assert loaded["posterior"].equals(buying["posterior"])
    assert loaded.attrs == buying.attrs


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_a_truncated_file_is_refused(tmp_path, buying, share):
    path = clv.save(buying, tmp_path / "whole.nc")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        clv.InputError, match=r"'whole.nc' cannot be read: the file is truncated.*or fit again"
    ):
        clv.load(path)


# Of a file whose metadata are broken h5netcdf complains once more as it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_changed_bytes_never_give_other_draws(tmp_path, spending):
    path = clv.save(spending, tmp_path / "whole.nc")
    whole, rng, refused = path.read_bytes(), np.random.default_rng(3), 0
    for place in rng.integers(0, len(whole), 30):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            loaded = clv.load(path)
        except clv.InputError:
            refused += 1
            continue
        assert all(
            loaded["posterior"][name].equals(draws) for name, draws in spending["posterior"].data_vars.items()
        ), place
    assert refused > 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.attrs.pop("family"), "does not say its family"),
        (lambda tree: tree.attrs.update(family="bg"), "'bg'"),
        (
            lambda tree: setattr(
                tree["posterior"], "dataset", tree["posterior"].to_dataset().isel(draw=slice(0))
            ),
            "has no draws",
        ),
        (
            lambda tree: setattr(tree["posterior"], "dataset", tree["posterior"].to_dataset().astype(str)),
            "the draws of '.*' are no numbers",
        ),
    ],
)
def test_a_posterior_that_was_changed_by_hand_is_refused(tmp_path, spending, change, message):
    tree = spending.copy()
    change(tree)
    tree.to_netcdf(tmp_path / "own.nc", engine="h5netcdf")
    with pytest.raises(clv.InputError, match=message):
        clv.load(tmp_path / "own.nc")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(clv.InputError, match="There is no posterior at"):
        clv.load(tmp_path / "none.nc")


def test_another_tree_is_no_posterior(tmp_path):
    xr.DataTree.from_dict({"posterior": xr.Dataset({"mu": ("draw", np.zeros(3))})}).to_netcdf(
        tmp_path / "other.nc", engine="h5netcdf"
    )
    with pytest.raises(clv.InputError, match="no bayes_clv posterior"):
        clv.load(tmp_path / "other.nc")


def test_an_unknown_ending_is_refused(tmp_path, buying):
    with pytest.raises(clv.InputError, match=r"end the name in \.nc or \.zarr"):
        clv.save(buying, tmp_path / "posterior.pkl")


def test_a_point_still_has_many_futures(cdnow):
    """method="mode" gives one draw; its futures are simulated 1,000 times, and differ by chance."""
    with interpreted():
        point = clv.fit("bg_nbd", cdnow, method="mode", priors="flat", seed=1)
    future = clv.predict(point, cdnow, "39 weeks", seed=1)
    assert future.attrs["draws"] == 1000
    assert float(future["purchases_total"].std()) > 0
    often = future["purchases_expected"] > 1
    assert (future["purchases_q05"] < future["purchases_q95"]).where(often, True).all()
    assert future.attrs["problems"]


def test_customers_of_a_run_are_not_called_damaged(tmp_path, cdnow):
    path = write_customers(cdnow, tmp_path / "customers.nc")
    with pytest.raises(clv.InputError, match=r"holds customers and no posterior.*read_customers"):
        clv.load(path)
    assert read_customers(path).identical(cdnow)
