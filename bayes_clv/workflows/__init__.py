"""What a shell or a notebook starts: orders or a finished run in, a folder or a table out."""

from bayes_clv.workflows.alarming import alarm_run
from bayes_clv.workflows.backtesting import run_backtest
from bayes_clv.workflows.choices import Alarming, Backtesting, Choice, Scoring, Segmenting
from bayes_clv.workflows.folders import read_run
from bayes_clv.workflows.on_spark import predict_on_spark
from bayes_clv.workflows.running import run
from bayes_clv.workflows.scoring import score_run
from bayes_clv.workflows.segmenting import segment_run
from bayes_clv.workflows.settings import Settings
from bayes_clv.workflows.targeting import choose

__all__ = [
    "Alarming",
    "Backtesting",
    "Choice",
    "Scoring",
    "Segmenting",
    "Settings",
    "alarm_run",
    "choose",
    "predict_on_spark",
    "read_run",
    "run",
    "run_backtest",
    "score_run",
    "segment_run",
]
