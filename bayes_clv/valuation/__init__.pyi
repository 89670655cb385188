from .cohort import predict_cohort as predict_cohort
from .contribution import contributions as contributions
from .parts import value_parts as value_parts

__all__ = ["contributions", "predict_cohort", "value_parts"]
