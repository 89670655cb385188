"""Futures in, money out: ``predict_value``, cohorts of new customers and the table of customers."""

from bayes_clv.valuation.cohort import predict_cohort
from bayes_clv.valuation.expected import expected_value
from bayes_clv.valuation.table import customer_table
from bayes_clv.valuation.value import predict_value

__all__ = ["customer_table", "expected_value", "predict_cohort", "predict_value"]
