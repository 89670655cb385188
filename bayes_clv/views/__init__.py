"""Everything before, for the eye: figures and the report.

matplotlib, ArviZ and jinja2 are imported on first use of a view, so that ``import bayes_clv`` stays light.
Figures return what ArviZ returns (a PlotCollection) or a matplotlib figure, and state their level.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_clv.views.alarms import plot_alarms
    from bayes_clv.views.amounts import plot_concentration, plot_customers, plot_value_distribution
    from bayes_clv.views.effects import effects_table, groups_table, plot_groups
    from bayes_clv.views.evaluation import plot_evaluation
    from bayes_clv.views.flow import plot_flow
    from bayes_clv.views.gains import plot_gain
    from bayes_clv.views.histories import (
        plot_alive_history,
        plot_alive_matrix,
        plot_expected_purchases_matrix,
    )
    from bayes_clv.views.holdout import plot_calibration, plot_tracking
    from bayes_clv.views.page import report
    from bayes_clv.views.parameters import plot_diagnostics, plot_parameters, plot_prior_posterior
    from bayes_clv.views.parts import plot_contributions, plot_value_parts
    from bayes_clv.views.priors import plot_prior
    from bayes_clv.views.rename import for_arviz
    from bayes_clv.views.segments import plot_membership, plot_ranking, plot_segment_sizes, plot_value_map

__all__ = [
    "effects_table",
    "for_arviz",
    "groups_table",
    "plot_alarms",
    "plot_alive_history",
    "plot_alive_matrix",
    "plot_calibration",
    "plot_concentration",
    "plot_contributions",
    "plot_customers",
    "plot_diagnostics",
    "plot_evaluation",
    "plot_expected_purchases_matrix",
    "plot_flow",
    "plot_gain",
    "plot_groups",
    "plot_membership",
    "plot_parameters",
    "plot_prior",
    "plot_prior_posterior",
    "plot_ranking",
    "plot_segment_sizes",
    "plot_tracking",
    "plot_value_distribution",
    "plot_value_map",
    "plot_value_parts",
    "report",
]

_HOME = {
    "effects_table": "effects",
    "for_arviz": "rename",
    "groups_table": "effects",
    "plot_alarms": "alarms",
    "plot_alive_history": "histories",
    "plot_alive_matrix": "histories",
    "plot_calibration": "holdout",
    "plot_concentration": "amounts",
    "plot_contributions": "parts",
    "plot_customers": "amounts",
    "plot_diagnostics": "parameters",
    "plot_evaluation": "evaluation",
    "plot_expected_purchases_matrix": "histories",
    "plot_flow": "flow",
    "plot_gain": "gains",
    "plot_groups": "effects",
    "plot_membership": "segments",
    "plot_parameters": "parameters",
    "plot_prior": "priors",
    "plot_prior_posterior": "parameters",
    "plot_ranking": "segments",
    "plot_segment_sizes": "segments",
    "plot_tracking": "holdout",
    "plot_value_distribution": "amounts",
    "plot_value_map": "segments",
    "plot_value_parts": "parts",
    "report": "page",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"bayes_clv.views.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
