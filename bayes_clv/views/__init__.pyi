from .frames import table as table
from .latex import to_latex as to_latex
from .names import for_arviz as for_arviz
from .plots.alarms import plot_alarms as plot_alarms
from .plots.amounts import plot_concentration as plot_concentration
from .plots.amounts import plot_customers as plot_customers
from .plots.amounts import plot_tenths as plot_tenths
from .plots.amounts import plot_value_distribution as plot_value_distribution
from .plots.base import plot_base_flows as plot_base_flows
from .plots.base import plot_base_tenths as plot_base_tenths
from .plots.base import plot_cohort_lives as plot_cohort_lives
from .plots.base import plot_cohorts as plot_cohorts
from .plots.calendar import calendar_bands as calendar_bands
from .plots.calendar import plot_calendar as plot_calendar
from .plots.channels import plot_channels as plot_channels
from .plots.channels import plot_payback as plot_payback
from .plots.criticism import plot_conditional_expectation as plot_conditional_expectation
from .plots.criticism import plot_purchases_per_customer as plot_purchases_per_customer
from .plots.criticism import plot_retention as plot_retention
from .plots.effects import plot_groups as plot_groups
from .plots.equity import plot_bridge as plot_bridge
from .plots.equity import plot_equity as plot_equity
from .plots.equity import plot_newcomers as plot_newcomers
from .plots.flow import plot_flow as plot_flow
from .plots.future import plot_future as plot_future
from .plots.gains import plot_gain as plot_gain
from .plots.histories import plot_alive_history as plot_alive_history
from .plots.histories import plot_alive_matrix as plot_alive_matrix
from .plots.histories import plot_expected_purchases_matrix as plot_expected_purchases_matrix
from .plots.histories import plot_rate_history as plot_rate_history
from .plots.holdout import plot_calibration as plot_calibration
from .plots.holdout import plot_evaluation as plot_evaluation
from .plots.holdout import plot_forecast as plot_forecast
from .plots.holdout import plot_tracking as plot_tracking
from .plots.offers import plot_advantages as plot_advantages
from .plots.offers import plot_price_performance as plot_price_performance
from .plots.origins import plot_origins as plot_origins
from .plots.parameters import plot_diagnostics as plot_diagnostics
from .plots.parameters import plot_parameters as plot_parameters
from .plots.parameters import plot_prior_posterior as plot_prior_posterior
from .plots.parts import plot_contributions as plot_contributions
from .plots.parts import plot_value_parts as plot_value_parts
from .plots.priors import plot_prior as plot_prior
from .plots.ranking import plot_ranking as plot_ranking
from .plots.runs import plot_runs as plot_runs
from .plots.scenarios import plot_scenarios as plot_scenarios
from .plots.scenarios import plot_sensitivity as plot_sensitivity
from .plots.scenarios import plot_tornado as plot_tornado
from .plots.segments import plot_customer_map as plot_customer_map
from .plots.segments import plot_membership as plot_membership
from .plots.segments import plot_segment_sizes as plot_segment_sizes
from .plots.spend import plot_spend_by_age as plot_spend_by_age
from .plots.spend import spend_by_age as spend_by_age
from .reporting.page import report as report

__all__ = [
    "calendar_bands",
    "for_arviz",
    "plot_advantages",
    "plot_alarms",
    "plot_alive_history",
    "plot_alive_matrix",
    "plot_base_flows",
    "plot_base_tenths",
    "plot_bridge",
    "plot_calendar",
    "plot_calibration",
    "plot_channels",
    "plot_cohort_lives",
    "plot_cohorts",
    "plot_concentration",
    "plot_conditional_expectation",
    "plot_contributions",
    "plot_customer_map",
    "plot_customers",
    "plot_diagnostics",
    "plot_equity",
    "plot_evaluation",
    "plot_expected_purchases_matrix",
    "plot_flow",
    "plot_forecast",
    "plot_future",
    "plot_gain",
    "plot_groups",
    "plot_membership",
    "plot_newcomers",
    "plot_origins",
    "plot_parameters",
    "plot_payback",
    "plot_price_performance",
    "plot_prior",
    "plot_prior_posterior",
    "plot_purchases_per_customer",
    "plot_ranking",
    "plot_rate_history",
    "plot_retention",
    "plot_runs",
    "plot_scenarios",
    "plot_segment_sizes",
    "plot_sensitivity",
    "plot_spend_by_age",
    "plot_tenths",
    "plot_tornado",
    "plot_tracking",
    "plot_value_distribution",
    "plot_value_parts",
    "report",
    "spend_by_age",
    "table",
    "to_latex",
]
