"""Posterior and customers in, futures out: ``predict`` and its closed-form companions."""

from bayes_clv.predictions.expected import expected_purchases, probability_alive, survival
from bayes_clv.predictions.future import predict
from bayes_clv.predictions.posterior import check_posterior

__all__ = ["check_posterior", "expected_purchases", "predict", "probability_alive", "survival"]
