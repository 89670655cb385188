from .market_files import read_market as read_market
from .markets import market as market
from .markets import unsure as unsure
from .offers import price_performance as price_performance

__all__ = [
    "market",
    "price_performance",
    "read_market",
    "unsure",
]
