"""Family and customers in, posterior out: an ArviZ DataTree that can be saved and predicted from."""

from bayes_clv.inference.criticism.comparison import compare, loo
from bayes_clv.inference.criticism.independence import spend_independence
from bayes_clv.inference.criticism.sensitivity import prior_sensitivity
from bayes_clv.inference.fitting import fit
from bayes_clv.inference.posterior import diagnostics, load, save
from bayes_clv.inference.response import fit_response

__all__ = [
    "compare",
    "diagnostics",
    "fit",
    "fit_response",
    "load",
    "loo",
    "prior_sensitivity",
    "save",
    "spend_independence",
]
