from .answers import answer_shares as answer_shares
from .answers import mean_answer as mean_answer
from .answers import net_promoter as net_promoter
from .answers import satisfied as satisfied
from .answers import secure as secure
from .market_files import read_market as read_market
from .markets import market as market
from .markets import unsure as unsure
from .offers import price_performance as price_performance
from .weighting import ahp_weights as ahp_weights
from .weighting import entropy_weights as entropy_weights
from .weighting import weighted_score as weighted_score

__all__ = [
    "ahp_weights",
    "answer_shares",
    "entropy_weights",
    "market",
    "mean_answer",
    "net_promoter",
    "price_performance",
    "read_market",
    "satisfied",
    "secure",
    "unsure",
    "weighted_score",
]
