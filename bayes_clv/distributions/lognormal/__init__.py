"""Correlated lognormal rates of purchase and leaving."""
