from .calendar import Calendar as Calendar
from .citing import cite as cite
from .criticism.comparison import compare as compare
from .criticism.comparison import loo as loo
from .criticism.independence import spend_independence as spend_independence
from .criticism.predictive import replicates as replicates
from .criticism.sensitivity import prior_sensitivity as prior_sensitivity
from .defaults import fit_default as fit_default
from .fitting import fit as fit
from .over_time import effects_over_time as effects_over_time
from .posterior import diagnostics as diagnostics
from .posterior import load as load
from .posterior import save as save
from .response import fit_response as fit_response

__all__ = [
    "Calendar",
    "cite",
    "compare",
    "diagnostics",
    "effects_over_time",
    "fit",
    "fit_default",
    "fit_response",
    "load",
    "loo",
    "prior_sensitivity",
    "replicates",
    "save",
    "spend_independence",
]
