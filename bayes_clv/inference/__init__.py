"""Family and customers in, posterior out: an ArviZ DataTree that can be saved and predicted from."""

from bayes_clv.inference.fitting import fit
from bayes_clv.inference.posterior import check, diagnostics, load, parameter_draws, save

__all__ = ["check", "diagnostics", "fit", "load", "parameter_draws", "save"]
