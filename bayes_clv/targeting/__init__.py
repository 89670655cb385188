"""Whom to act on: alarms, what contacting adds, and whom to contact."""

from bayes_clv.targeting.alarm_scores import score_alarms
from bayes_clv.targeting.alarms import churn_alarms
from bayes_clv.targeting.contacts import target
from bayes_clv.targeting.gain import gain_curve
from bayes_clv.targeting.uplift import predict_uplift

__all__ = [
    "churn_alarms",
    "gain_curve",
    "predict_uplift",
    "score_alarms",
    "target",
]
