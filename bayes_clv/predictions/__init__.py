"""Posterior and customers in, futures out: simulated outcomes, closed forms of the expected level, synthetic logs."""

from bayes_clv.predictions.expected import (
    expected_purchases,
    expected_residual_transactions,
    expected_value,
    probability_active,
    probability_alive,
    purchases_pmf,
    retention_curve,
    survival,
)
from bayes_clv.predictions.forecasts import next_purchase, predict
from bayes_clv.predictions.opportunities import predict_opportunities
from bayes_clv.predictions.parameters import check_posterior
from bayes_clv.predictions.renewals import predict_renewals, renewal_curve, residual_lifetime
from bayes_clv.predictions.simulation import customer_draws
from bayes_clv.predictions.synthetic import simulate_orders

__all__ = [
    "check_posterior",
    "customer_draws",
    "expected_purchases",
    "expected_residual_transactions",
    "expected_value",
    "next_purchase",
    "predict",
    "predict_opportunities",
    "predict_renewals",
    "probability_active",
    "probability_alive",
    "purchases_pmf",
    "renewal_curve",
    "residual_lifetime",
    "retention_curve",
    "simulate_orders",
    "survival",
]
