"""Futures in, money and decisions out: values, their parts, cohorts, segments, alarms, whom to contact, tables."""

from bayes_clv.valuation.alarm_scores import score_alarms
from bayes_clv.valuation.alarms import churn_alarms
from bayes_clv.valuation.clusters import cluster
from bayes_clv.valuation.cohort import predict_cohort
from bayes_clv.valuation.contribution import contributions
from bayes_clv.valuation.expected import expected_value
from bayes_clv.valuation.flow import segment_flow
from bayes_clv.valuation.parts import parts_table, value_parts
from bayes_clv.valuation.ranking import quantity_points, rank_intervals
from bayes_clv.valuation.segments import point_segments, segment
from bayes_clv.valuation.table import customer_table
from bayes_clv.valuation.tables import alarm_table, segment_sizes_table, segment_table
from bayes_clv.valuation.targeting import gain_curve, target
from bayes_clv.valuation.uplift import predict_uplift
from bayes_clv.valuation.value import predict_value

__all__ = [
    "alarm_table",
    "churn_alarms",
    "cluster",
    "contributions",
    "customer_table",
    "expected_value",
    "gain_curve",
    "parts_table",
    "point_segments",
    "predict_cohort",
    "predict_uplift",
    "predict_value",
    "quantity_points",
    "rank_intervals",
    "score_alarms",
    "segment",
    "segment_flow",
    "segment_sizes_table",
    "segment_table",
    "target",
    "value_parts",
]
