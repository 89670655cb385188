"""Customers in a file, for whoever goes on from a finished run: written once, read back the same.

NetCDF, as the posteriors are, because it keeps what a table loses: units and attributes, periods beside customers, and
which number is whole. Rejected: to rebuild them from ``customers.parquet``, which has what people read in a spreadsheet
and neither the first order's date nor the columns that covariates act on.
"""

from pathlib import Path

import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.schema import InputError


def write_customers(customers: xr.Dataset, path: str | Path) -> Path:
    """Write customers to one netCDF file (``.nc``).

    Examples
    --------
    >>> write_customers(customers, "customers.nc").name
    'customers.nc'
    """
    path = Path(path)
    customers.to_netcdf(path, engine="h5netcdf")
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
    # Text is Python's own here, of any length.
    texts = {
        name: each.astype(object) for name, each in customers.variables.items() if each.dtype.kind == "U"
    }
    customers = customers.assign_coords({k: v for k, v in texts.items() if k in customers.coords})
    customers = customers.assign({k: v for k, v in texts.items() if k not in customers.coords})
    check_customers(customers)
    return customers.drop_encoding()
