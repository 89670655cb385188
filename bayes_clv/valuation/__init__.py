"""Futures in, money and decisions out: ``predict_value``, cohorts, segments, and the table of customers."""

from bayes_clv.valuation.alarms import churn_alarms
from bayes_clv.valuation.cohort import predict_cohort
from bayes_clv.valuation.expected import expected_value
from bayes_clv.valuation.segments import point_segments, segment
from bayes_clv.valuation.table import customer_table
from bayes_clv.valuation.value import predict_value

__all__ = [
    "churn_alarms",
    "customer_table",
    "expected_value",
    "point_segments",
    "predict_cohort",
    "predict_value",
    "segment",
]
