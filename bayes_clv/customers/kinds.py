"""Which kind of table a Dataset of customers is, and its check."""

import xarray as xr

from bayes_clv.customers.contracts import check_contracts
from bayes_clv.customers.experiments import check_experiment
from bayes_clv.customers.opportunities import check_opportunities
from bayes_clv.customers.tables import check_customers


def check(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset after the checks of its kind: customers, opportunities, contracts or an experiment.

    The kind is read off its columns: ``renewals`` of contracts, ``opportunities``, ``treated`` of an experiment; else
    purchases at any time.

    Raises
    ------
    InputError
        An impossible history, with the column, the number of customers and one of them.

    Examples
    --------
    >>> check(customers).sizes["customer"]
    2357
    """
    kinds = {"renewals": check_contracts, "opportunities": check_opportunities, "treated": check_experiment}
    for column, checked in kinds.items():
        if column in dataset:
            return checked(dataset)
    return check_customers(dataset)
