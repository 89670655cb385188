from .answers import answer_shares as answer_shares
from .answers import mean_answer as mean_answer
from .answers import net_promoter as net_promoter
from .answers import satisfied as satisfied
from .answers import secure as secure
from .drivers import driver_kinds as driver_kinds
from .drivers import fit_drivers as fit_drivers
from .keeping import load as load
from .keeping import save as save
from .market_files import read_market as read_market
from .markets import market as market
from .markets import unsure as unsure
from .offers import price_performance as price_performance
from .quality import facet_scores as facet_scores
from .quality import fit_answers as fit_answers
from .waves import ratings_of as ratings_of
from .waves import wave_changes as wave_changes
from .weighting import ahp_weights as ahp_weights
from .weighting import entropy_weights as entropy_weights
from .weighting import weighted_score as weighted_score

__all__ = [
    "ahp_weights",
    "answer_shares",
    "driver_kinds",
    "entropy_weights",
    "facet_scores",
    "fit_answers",
    "fit_drivers",
    "load",
    "market",
    "mean_answer",
    "net_promoter",
    "price_performance",
    "ratings_of",
    "read_market",
    "satisfied",
    "save",
    "secure",
    "unsure",
    "wave_changes",
    "weighted_score",
]
