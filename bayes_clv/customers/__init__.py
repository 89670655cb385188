"""Orders in, one row per customer out (an xarray Dataset with the dimension ``customer``)."""

from bayes_clv.customers.cdnow import load_cdnow
from bayes_clv.customers.columns import with_columns
from bayes_clv.customers.contracts import check_contracts, contracts_from_survivors, contracts_from_table
from bayes_clv.customers.experiments import check_experiment, experiment_from_table
from bayes_clv.customers.opportunities import check_opportunities, opportunities_from_table
from bayes_clv.customers.summaries import purchase_dates, summarize
from bayes_clv.customers.tables import check_customers, customers_from_table

__all__ = [
    "check_contracts",
    "check_customers",
    "check_experiment",
    "check_opportunities",
    "contracts_from_survivors",
    "contracts_from_table",
    "customers_from_table",
    "experiment_from_table",
    "load_cdnow",
    "opportunities_from_table",
    "purchase_dates",
    "summarize",
    "with_columns",
]
