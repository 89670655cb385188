"""Whether a fit is to be believed: diagnostics, comparison, predictive checks, sensitivity to priors."""
