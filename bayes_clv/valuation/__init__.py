"""Futures in, money out: ``predict_value``, cohorts of new customers, whom to contact, and the table of customers."""

from bayes_clv.valuation.cohort import predict_cohort
from bayes_clv.valuation.expected import expected_value
from bayes_clv.valuation.table import customer_table
from bayes_clv.valuation.targeting import gain_curve, target
from bayes_clv.valuation.uplift import predict_uplift
from bayes_clv.valuation.value import predict_value

__all__ = [
    "customer_table",
    "expected_value",
    "gain_curve",
    "predict_cohort",
    "predict_uplift",
    "predict_value",
    "target",
]
