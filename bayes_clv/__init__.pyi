from . import customers as customers
from . import families as families
from . import inference as inference
from . import perceived as perceived
from . import predictions as predictions
from . import scoring as scoring
from . import segments as segments
from . import targeting as targeting
from . import valuation as valuation
from . import views as views
from .customers import load_cdnow as load_cdnow
from .customers import summarize as summarize
from .customers import with_columns as with_columns
from .families import Prior as Prior
from .inference import cite as cite
from .inference import compare as compare
from .inference import diagnostics as diagnostics
from .inference import fit as fit
from .inference import load as load
from .inference import save as save
from .predictions import expected as expected
from .predictions import next_purchase as next_purchase
from .predictions import predict as predict
from .predictions import predict_renewals as predict_renewals
from .predictions import simulate as simulate
from .predictions import synthetic as synthetic
from .schema import InputError as InputError
from .scoring import evaluate as evaluate
from .segments import read_rule as read_rule
from .segments import rule as rule
from .segments import segment as segment
from .targeting import churn_alarms as churn_alarms
from .targeting import target as target
from .valuation import predict_cohort as predict_cohort
from .valuation import value_parts as value_parts
from .views import report as report
from .views import table as table

__version__: str
__all__ = [
    "InputError",
    "Prior",
    "churn_alarms",
    "cite",
    "compare",
    "customers",
    "diagnostics",
    "evaluate",
    "expected",
    "families",
    "fit",
    "inference",
    "load",
    "load_cdnow",
    "next_purchase",
    "perceived",
    "predict",
    "predict_cohort",
    "predict_renewals",
    "predictions",
    "read_rule",
    "report",
    "rule",
    "save",
    "scoring",
    "segment",
    "segments",
    "simulate",
    "summarize",
    "synthetic",
    "table",
    "target",
    "targeting",
    "valuation",
    "value_parts",
    "views",
    "with_columns",
]
