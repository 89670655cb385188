from .alarm_scores import score_alarms as score_alarms
from .alarms import churn_alarms as churn_alarms
from .contacts import target as target
from .gain import gain_curve as gain_curve
from .offer_files import read_offers as read_offers
from .uplift import fit_response as fit_response
from .uplift import predict_uplift as predict_uplift
from .winning_back import win_back as win_back

__all__ = [
    "churn_alarms",
    "fit_response",
    "gain_curve",
    "predict_uplift",
    "read_offers",
    "score_alarms",
    "target",
    "win_back",
]
