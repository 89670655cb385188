"""Orders in, one row per customer out (an xarray Dataset with the dimension ``customer``)."""

from bayes_clv.customers.cdnow import load_cdnow
from bayes_clv.customers.columns import with_columns
from bayes_clv.customers.summaries import purchase_dates, summarize
from bayes_clv.customers.tables import check_customers, customers_from_table

__all__ = [
    "check_customers",
    "customers_from_table",
    "load_cdnow",
    "purchase_dates",
    "summarize",
    "with_columns",
]
