"""Forecast and holdout in, scores out, beside simple rules."""

from bayes_clv.scoring.comparison import compare_holdout
from bayes_clv.scoring.evaluation import evaluate
from bayes_clv.scoring.holdout import score_holdout
from bayes_clv.scoring.measures import evaluation_record, evaluation_table
from bayes_clv.scoring.tracking import simulate_tracking

__all__ = [
    "compare_holdout",
    "evaluate",
    "evaluation_record",
    "evaluation_table",
    "score_holdout",
    "simulate_tracking",
]
