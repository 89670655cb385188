"""Bayesian customer lifetime value: an order log in, posterior distributions of value out.

The pipeline, one stage a folder, each importing only from earlier ones::

    customers > inference > predictions > scoring, segments > targeting, valuation > views > workflows

Examples
--------
>>> import bayes_clv as clv
>>> orders = clv.load_cdnow()
>>> customers = clv.summarize(orders, until="1997-09-30", time_unit="week")
>>> buying = clv.fit("bg_nbd", customers, method="laplace", seed=1)
>>> spending = clv.fit("gamma_gamma", customers, method="laplace", seed=2)
>>> value = clv.predict_value(buying, spending, customers, horizon="52 weeks", margin=0.3,
...                           annual_discount_rate=0.10, seed=3)
>>> value.sizes["customer"]
2357
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_clv.customers import (
        check_contracts,
        check_customers,
        check_opportunities,
        contracts_from_survivors,
        contracts_from_table,
        customers_from_table,
        experiment_from_table,
        load_cdnow,
        opportunities_from_table,
        purchase_dates,
        summarize,
        with_columns,
    )
    from bayes_clv.families.quantities import Prior
    from bayes_clv.inference import (
        compare,
        diagnostics,
        fit,
        fit_response,
        load,
        loo,
        prior_sensitivity,
        save,
        spend_independence,
    )
    from bayes_clv.predictions import (
        customer_draws,
        expected_purchases,
        expected_residual_transactions,
        expected_value,
        next_purchase,
        predict,
        predict_opportunities,
        predict_renewals,
        probability_active,
        probability_alive,
        purchases_pmf,
        renewal_curve,
        residual_lifetime,
        retention_curve,
        simulate_orders,
        survival,
    )
    from bayes_clv.schema import InputError
    from bayes_clv.scoring import (
        evaluate,
        simulate_tracking,
    )
    from bayes_clv.segments import (
        abc_rule,
        cluster,
        four_kinds_rule,
        lifecycle_rule,
        matrix_rule,
        point_segments,
        rank_intervals,
        read_rule,
        rfm_rule,
        rule,
        segment,
        segment_flow,
    )
    from bayes_clv.targeting import churn_alarms, gain_curve, predict_uplift, score_alarms, target
    from bayes_clv.valuation import (
        contributions,
        predict_cohort,
        predict_value,
        value_parts,
    )
    from bayes_clv.views import (
        plot_alarms,
        plot_contributions,
        plot_flow,
        plot_gain,
        plot_membership,
        plot_prior,
        plot_ranking,
        plot_segment_sizes,
        plot_value_map,
        plot_value_parts,
        report,
        table,
    )


__version__ = version("bayes_clv")

# Names are imported on first use: PyMC, ArviZ and Ibis take seconds, and `bayes-clv --help` needs none.
_HOME = {
    "customers": (
        "check_contracts",
        "check_customers",
        "check_opportunities",
        "contracts_from_survivors",
        "contracts_from_table",
        "customers_from_table",
        "experiment_from_table",
        "load_cdnow",
        "opportunities_from_table",
        "purchase_dates",
        "summarize",
        "with_columns",
    ),
    "families.quantities": ("Prior",),
    "inference": (
        "compare",
        "diagnostics",
        "fit",
        "fit_response",
        "load",
        "loo",
        "prior_sensitivity",
        "save",
        "spend_independence",
    ),
    "predictions": (
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
    ),
    "schema": ("InputError",),
    "scoring": (
        "evaluate",
        "simulate_tracking",
    ),
    "segments": (
        "abc_rule",
        "cluster",
        "four_kinds_rule",
        "lifecycle_rule",
        "matrix_rule",
        "point_segments",
        "rank_intervals",
        "read_rule",
        "rfm_rule",
        "rule",
        "segment",
        "segment_flow",
    ),
    "targeting": ("churn_alarms", "gain_curve", "predict_uplift", "score_alarms", "target"),
    "valuation": (
        "contributions",
        "predict_cohort",
        "predict_value",
        "value_parts",
    ),
    "views": (
        "plot_alarms",
        "plot_contributions",
        "plot_flow",
        "plot_gain",
        "plot_membership",
        "plot_prior",
        "plot_ranking",
        "plot_segment_sizes",
        "plot_value_map",
        "plot_value_parts",
        "report",
        "table",
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "InputError",
    "Prior",
    "abc_rule",
    "check_contracts",
    "check_customers",
    "check_opportunities",
    "churn_alarms",
    "cluster",
    "compare",
    "contracts_from_survivors",
    "contracts_from_table",
    "contributions",
    "customer_draws",
    "customers_from_table",
    "diagnostics",
    "evaluate",
    "expected_purchases",
    "expected_residual_transactions",
    "expected_value",
    "experiment_from_table",
    "fit",
    "fit_response",
    "four_kinds_rule",
    "gain_curve",
    "lifecycle_rule",
    "load",
    "load_cdnow",
    "loo",
    "matrix_rule",
    "next_purchase",
    "opportunities_from_table",
    "plot_alarms",
    "plot_contributions",
    "plot_flow",
    "plot_gain",
    "plot_membership",
    "plot_prior",
    "plot_ranking",
    "plot_segment_sizes",
    "plot_value_map",
    "plot_value_parts",
    "point_segments",
    "predict",
    "predict_cohort",
    "predict_opportunities",
    "predict_renewals",
    "predict_uplift",
    "predict_value",
    "prior_sensitivity",
    "probability_active",
    "probability_alive",
    "purchase_dates",
    "purchases_pmf",
    "rank_intervals",
    "read_rule",
    "renewal_curve",
    "report",
    "residual_lifetime",
    "retention_curve",
    "rfm_rule",
    "rule",
    "save",
    "score_alarms",
    "segment",
    "segment_flow",
    "simulate_orders",
    "simulate_tracking",
    "spend_independence",
    "summarize",
    "survival",
    "table",
    "target",
    "value_parts",
    "with_columns",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'bayes_clv' has no attribute {name!r}")
    value = getattr(import_module(f"bayes_clv.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
