"""Futures in, money out: ``predict_value`` and the table of customers."""

from bayes_clv.valuation.table import customer_table
from bayes_clv.valuation.value import predict_value

__all__ = ["customer_table", "predict_value"]
