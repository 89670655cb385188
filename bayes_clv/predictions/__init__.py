"""Posterior and customers in, futures out: ``predict``, closed forms, tracking, scores, simulated logs."""

from bayes_clv.predictions.comparison import compare_holdout
from bayes_clv.predictions.counts import probability_active, purchases_pmf
from bayes_clv.predictions.evaluate import evaluate
from bayes_clv.predictions.evaluation import evaluation_record, evaluation_table
from bayes_clv.predictions.expected import (
    expected_purchases,
    expected_residual_transactions,
    probability_alive,
    survival,
)
from bayes_clv.predictions.future import predict
from bayes_clv.predictions.joint import customer_draws
from bayes_clv.predictions.latent import latent_posterior
from bayes_clv.predictions.opportunities import expected_opportunities, predict_opportunities
from bayes_clv.predictions.orders import simulate_orders
from bayes_clv.predictions.posterior import check_posterior
from bayes_clv.predictions.renewals import predict_renewals, renewal_curve, residual_lifetime
from bayes_clv.predictions.retention import retention_curve
from bayes_clv.predictions.score import score_holdout
from bayes_clv.predictions.tracking import simulate_tracking
from bayes_clv.predictions.waiting import next_purchase

__all__ = [
    "check_posterior",
    "compare_holdout",
    "customer_draws",
    "evaluate",
    "evaluation_record",
    "evaluation_table",
    "expected_opportunities",
    "expected_purchases",
    "expected_residual_transactions",
    "latent_posterior",
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
    "score_holdout",
    "simulate_orders",
    "simulate_tracking",
    "survival",
]
