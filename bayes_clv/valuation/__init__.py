"""Futures in, money and decisions out: ``predict_value``, cohorts, segments, alarms, whom to contact, the table."""

from bayes_clv.valuation.alarm_scores import score_alarms
from bayes_clv.valuation.alarms import churn_alarms
from bayes_clv.valuation.cohort import predict_cohort
from bayes_clv.valuation.expected import expected_value
from bayes_clv.valuation.segments import point_segments, segment
from bayes_clv.valuation.table import customer_table
from bayes_clv.valuation.targeting import gain_curve, target
from bayes_clv.valuation.uplift import predict_uplift
from bayes_clv.valuation.value import predict_value

__all__ = [
    "churn_alarms",
    "customer_table",
    "expected_value",
    "gain_curve",
    "point_segments",
    "predict_cohort",
    "predict_uplift",
    "predict_value",
    "score_alarms",
    "segment",
    "target",
]
