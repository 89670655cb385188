"""What customers are worth, of what it is made, and what new ones may cost."""

from bayes_clv.valuation.cohort import predict_cohort
from bayes_clv.valuation.contribution import contributions
from bayes_clv.valuation.parts import value_parts
from bayes_clv.valuation.value import predict_value

__all__ = [
    "contributions",
    "predict_cohort",
    "predict_value",
    "value_parts",
]
