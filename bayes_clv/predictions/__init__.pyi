from . import expected as expected
from . import synthetic as synthetic
from .changing import changes as changes
from .forecasts import next_purchase as next_purchase
from .forecasts import predict as predict
from .opportunities import predict_opportunities as predict_opportunities
from .own_costs import Costs as Costs
from .own_costs import costs as costs
from .own_costs import read_costs as read_costs
from .parameters import check_posterior as check_posterior
from .renewing import predict_renewals as predict_renewals
from .simulation import simulate as simulate
from .splitting import variance_of_total as variance_of_total
from .synthetic import simulate_orders as simulate_orders

__all__ = [
    "Costs",
    "changes",
    "check_posterior",
    "costs",
    "expected",
    "next_purchase",
    "predict",
    "predict_opportunities",
    "predict_renewals",
    "read_costs",
    "simulate",
    "simulate_orders",
    "synthetic",
    "variance_of_total",
]
