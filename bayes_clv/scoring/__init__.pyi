from .choosing import choose_family as choose_family
from .customer_scores import score as score
from .elsewhere import forecast as forecast
from .evaluation import evaluate as evaluate
from .fits import Fit as Fit
from .measures import record as record
from .metrics import METRICS as METRICS
from .metrics import Metric as Metric
from .metrics import Quantity as Quantity
from .pacing import pace as pace
from .rolling import rolling_origins as rolling_origins
from .spending import spend_check as spend_check
from .splits import origins as origins
from .summaries import pairwise as pairwise
from .summaries import summarise as summarise
from .tracked import tracking_counts as tracking_counts
from .tracking import simulate_tracking as simulate_tracking

__all__ = [
    "METRICS",
    "Fit",
    "Metric",
    "Quantity",
    "choose_family",
    "evaluate",
    "forecast",
    "origins",
    "pace",
    "pairwise",
    "record",
    "rolling_origins",
    "score",
    "simulate_tracking",
    "spend_check",
    "summarise",
    "tracking_counts",
]
