from .acquisition import Channel as Channel
from .acquisition import channel as channel
from .actions import plan_actions as plan_actions
from .bids import best_bid as best_bid
from .bridge import equity_bridge as equity_bridge
from .budgets import split_budget as split_budget
from .channel_files import read_channels as read_channels
from .channels import channel_values as channel_values
from .channels import compare_channels as compare_channels
from .cohort import predict_cohort as predict_cohort
from .contribution import contributions as contributions
from .equity import customer_equity as customer_equity
from .formulas import annuity_value as annuity_value
from .formulas import continuous_value as continuous_value
from .formulas import contract_value as contract_value
from .formulas import four_step_value as four_step_value
from .formulas import growing_value as growing_value
from .formulas import migration_value as migration_value
from .formulas import present_value as present_value
from .formulas import retained_value as retained_value
from .information import value_of_information as value_of_information
from .levers import relative as relative
from .newcomers import predict_newcomers as predict_newcomers
from .offer_effects import effect_of as effect_of
from .offer_plans import plan_offers as plan_offers
from .parts import value_parts as value_parts
from .scenario_files import read_scenarios as read_scenarios
from .scenarios import compare_scenarios as compare_scenarios
from .sensitivities import break_even as break_even
from .sensitivities import sensitivity as sensitivity
from .sensitivities import tornado as tornado
from .stated import Scenario as Scenario
from .stated import scenario as scenario

__all__ = [
    "Channel",
    "Scenario",
    "annuity_value",
    "best_bid",
    "break_even",
    "channel",
    "channel_values",
    "compare_channels",
    "compare_scenarios",
    "continuous_value",
    "contract_value",
    "contributions",
    "customer_equity",
    "effect_of",
    "equity_bridge",
    "four_step_value",
    "growing_value",
    "migration_value",
    "plan_actions",
    "plan_offers",
    "predict_cohort",
    "predict_newcomers",
    "present_value",
    "read_channels",
    "read_scenarios",
    "relative",
    "retained_value",
    "scenario",
    "sensitivity",
    "split_budget",
    "tornado",
    "value_of_information",
    "value_parts",
]
