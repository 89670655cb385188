"""Everything before, for the eye: figures and the report.

matplotlib, ArviZ and jinja2 are imported on first use of a view, so that ``import bayes_clv`` stays light.
Figures return what ArviZ returns (a PlotCollection) or a matplotlib figure, and state their level.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_clv.views.frames import table
    from bayes_clv.views.names import for_arviz
    from bayes_clv.views.plots.alarms import plot_alarms
    from bayes_clv.views.plots.amounts import plot_concentration, plot_customers, plot_value_distribution
    from bayes_clv.views.plots.effects import plot_groups
    from bayes_clv.views.plots.flow import plot_flow
    from bayes_clv.views.plots.gains import plot_gain
    from bayes_clv.views.plots.histories import (
        plot_alive_history,
        plot_alive_matrix,
        plot_expected_purchases_matrix,
    )
    from bayes_clv.views.plots.holdout import plot_calibration, plot_evaluation, plot_tracking
    from bayes_clv.views.plots.parameters import plot_diagnostics, plot_parameters, plot_prior_posterior
    from bayes_clv.views.plots.parts import plot_contributions, plot_value_parts
    from bayes_clv.views.plots.priors import plot_prior
    from bayes_clv.views.plots.ranking import plot_ranking
    from bayes_clv.views.plots.segments import plot_membership, plot_segment_sizes, plot_value_map
    from bayes_clv.views.reporting.page import report

__all__ = [
    "for_arviz",
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
    "table",
]

_HOME = {
    "for_arviz": "names",
    "plot_alarms": "plots.alarms",
    "plot_alive_history": "plots.histories",
    "plot_alive_matrix": "plots.histories",
    "plot_calibration": "plots.holdout",
    "plot_concentration": "plots.amounts",
    "plot_contributions": "plots.parts",
    "plot_customers": "plots.amounts",
    "plot_diagnostics": "plots.parameters",
    "plot_evaluation": "plots.holdout",
    "plot_expected_purchases_matrix": "plots.histories",
    "plot_flow": "plots.flow",
    "plot_gain": "plots.gains",
    "plot_groups": "plots.effects",
    "plot_membership": "plots.segments",
    "plot_parameters": "plots.parameters",
    "plot_prior": "plots.priors",
    "plot_prior_posterior": "plots.parameters",
    "plot_ranking": "plots.ranking",
    "plot_segment_sizes": "plots.segments",
    "plot_tracking": "plots.holdout",
    "plot_value_distribution": "plots.amounts",
    "plot_value_map": "plots.segments",
    "plot_value_parts": "plots.parts",
    "report": "reporting.page",
    "table": "frames",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"bayes_clv.views.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
