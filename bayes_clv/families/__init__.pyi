from .conformance import check as check
from .contract import Columns as Columns
from .contract import Coordinate as Coordinate
from .contract import Family as Family
from .contract import Forecast as Forecast
from .contract import Kind as Kind
from .contract import Params as Params
from .contract import Renewals as Renewals
from .contract import SpendLevel as SpendLevel
from .contract import Words as Words
from .contract import need as need
from .likelihood import Term as Term
from .quantities import Prior as Prior
from .quantities import Quantity as Quantity
from .registry import FAMILIES as FAMILIES
from .registry import families as families
from .registry import family as family
from .registry import register as register

__all__ = [
    "FAMILIES",
    "Columns",
    "Coordinate",
    "Family",
    "Forecast",
    "Kind",
    "Params",
    "Prior",
    "Quantity",
    "Renewals",
    "SpendLevel",
    "Term",
    "Words",
    "check",
    "families",
    "family",
    "need",
    "register",
]
