"""Family and customers in, posterior out: an ArviZ DataTree that can be saved and predicted from."""

from bayes_clv.inference.fitting import fit
from bayes_clv.inference.posterior import diagnostics, load, save

__all__ = ["diagnostics", "fit", "load", "save"]
