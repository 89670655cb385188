"""Forecast and holdout in, scores out, beside simple rules."""

from bayes_clv.scoring.evaluation import evaluate
from bayes_clv.scoring.measures import record
from bayes_clv.scoring.tracking import simulate_tracking

__all__ = ["evaluate", "record", "simulate_tracking"]
