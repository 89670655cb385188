from .market_files import read_market as read_market
from .markets import market as market
from .markets import unsure as unsure
from .offers import price_performance as price_performance
from .weighting import ahp_weights as ahp_weights
from .weighting import entropy_weights as entropy_weights
from .weighting import weighted_score as weighted_score

__all__ = [
    "ahp_weights",
    "entropy_weights",
    "market",
    "price_performance",
    "read_market",
    "unsure",
    "weighted_score",
]
