"""Customers in a file come back as they were, in every value, type and attribute."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.inference.posterior import read_customers, write_customers


@pytest.fixture(scope="module")
def customers():
    found = clv.summarize(
        clv.load_cdnow(),
        until="1997-09-30",
        holdout_until="1998-06-30",
        also=(
            "log_spend",
            "log_intervals",
        ),
    ).isel(customer=slice(0, 200))
    size = found.sizes["customer"]
    table = pd.DataFrame(
        {
            "渠道": [("搜索", "门店", "social media")[i % 3] for i in range(size)],
            "age": np.arange(size) + 20,
            "newsletter": [i % 2 == 0 for i in range(size)],
            "score": [np.nan if i % 7 == 0 else i / 3 for i in range(size)],
        },
        index=found["customer"].values,
    )
    return clv.with_columns(found, table)


def test_everything_comes_back(customers, tmp_path):
    again = read_customers(write_customers(customers, tmp_path / "customers.nc"))
    xr.testing.assert_identical(again, customers)
    assert {name: str(again[name].dtype) for name in again.variables} == {
        name: str(customers[name].dtype) for name in customers.variables
    }
    # Nothing of the file is left that would change how the customers are written next.
    assert not any(again[name].encoding for name in again.variables)


def test_a_unit_of_time_does_not_make_a_duration(tmp_path):
    """Xarray reads numbers with the unit "days" as durations unless it is told not to."""
    days = clv.summarize(clv.load_cdnow(), until="1997-09-30", time_unit="day").isel(customer=slice(0, 9))
    days["T"].attrs["units"] = "days"
    again = read_customers(write_customers(days, tmp_path / "customers.nc"))
    xr.testing.assert_identical(again, days)


def test_a_file_that_is_none(customers, tmp_path):
    path = write_customers(customers, tmp_path / "customers.nc")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(clv.InputError, match=r"'customers.nc' cannot be read: the file is truncated"):
        read_customers(path)
    with pytest.raises(clv.InputError, match=r"There is no file 'none.nc'"):
        read_customers(tmp_path / "none.nc")
    customers.drop_vars("recency").to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(clv.InputError, match="recency"):
        read_customers(tmp_path / "other.nc")
