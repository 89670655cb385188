"""The families, one a file: how customers buy, spend or stay, as functions of arrays.

Every family states its ``KIND`` (``"purchases"`` at any time, ``"spend"``, ``"opportunities"``, ``"contracts"``) and in
``PROCESSES`` the quantity that a covariate of each process acts on (parameters may then differ by customer). It offers
``NAME``, ``SUMMARY``, ``CAUTION`` and ``MEANINGS`` (its words), ``PARAMETERS``, ``OBSERVED``, ``QUANTITIES``,
``data_scale`` and ``parameters`` (what is sampled, on which scale, and how the paper's parameters follow),
``likelihood_terms`` and ``log_likelihood``, ``simulate``, and ``CHECKED`` with ``replicate`` (predictive checks). A
purchase family has ``simulate_purchase_times``,
``latent_draws``, ``latent_means``, ``probability_alive``, ``expected_purchases``, ``purchases_pmf``,
``purchases_at_least``, ``discounted_residual_transactions``, ``survival`` and ``future_state``, which is read by the
law of leaving that it names in ``LIFETIME`` (``families.lifetimes``; under the law "individual" ``future_draws`` and
``discounted_purchases`` stand in its place). ``HISTORY`` names the columns that its forecasts take where they are not
the usual three, ``EXPECTED_DRAWS`` of how many draws closed forms are computed where those are dear, and
``purchases_pmfs`` and ``survivals``, where there are any, give several counts or times for about the price of one;
``LATENT_MEANS`` names the results of ``latent_means`` where dropout is no probability after a purchase. A spend family
offers ``SPEND_RULE``, ``OCCASION`` and ``LEVEL`` (how the engine pays, ``predictions.engine.Money``), ``DENSITY`` (of
what its likelihood is the density), ``simulate_spend``, ``latent_draws``, ``spend_state``, ``expected_spend``,
``population_mean_spend`` and ``lacks_moment``.
To add a family, copy its simplest neighbour and add a line to ``FAMILIES``.
"""

from bayes_clv.families.registry import FAMILIES, families, family

__all__ = ["FAMILIES", "families", "family"]
