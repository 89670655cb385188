from .evaluation import evaluate as evaluate
from .measures import record as record
from .tracking import simulate_tracking as simulate_tracking

__all__ = ["evaluate", "record", "simulate_tracking"]
