"""Orders in, one row per customer out (an xarray Dataset with the dimension ``customer``)."""

from bayes_clv.customers.cdnow import load_cdnow
from bayes_clv.customers.summaries import purchase_dates, summarize

__all__ = ["load_cdnow", "purchase_dates", "summarize"]
