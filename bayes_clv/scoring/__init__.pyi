from .customer_scores import score as score
from .elsewhere import forecast as forecast
from .evaluation import evaluate as evaluate
from .measures import record as record
from .metrics import METRICS as METRICS
from .metrics import Metric as Metric
from .metrics import Quantity as Quantity
from .summaries import pairwise as pairwise
from .summaries import summarise as summarise
from .tracking import simulate_tracking as simulate_tracking
from .tracking import tracking_counts as tracking_counts

__all__ = [
    "METRICS",
    "Metric",
    "Quantity",
    "evaluate",
    "forecast",
    "pairwise",
    "record",
    "score",
    "simulate_tracking",
    "summarise",
    "tracking_counts",
]
