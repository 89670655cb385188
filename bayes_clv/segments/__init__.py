"""Joint draws and a rule in, memberships out: the probability of each, sizes and totals with intervals."""

from bayes_clv.segments.clusters import cluster
from bayes_clv.segments.flows import segment_flow
from bayes_clv.segments.presets import abc_rule, four_kinds_rule, lifecycle_rule, matrix_rule, rfm_rule
from bayes_clv.segments.ranking import quantity_points, rank_intervals
from bayes_clv.segments.rule_files import read_rule
from bayes_clv.segments.rules import rule
from bayes_clv.segments.segmenting import point_segments, segment

__all__ = [
    "abc_rule",
    "cluster",
    "four_kinds_rule",
    "lifecycle_rule",
    "matrix_rule",
    "point_segments",
    "quantity_points",
    "rank_intervals",
    "read_rule",
    "rfm_rule",
    "rule",
    "segment",
    "segment_flow",
]
