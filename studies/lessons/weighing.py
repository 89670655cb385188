"""From prior to posterior without a fit: draws of the prior, each weighed by how well it explains the customers.

Importance sampling with the prior as proposal: exact as the draws grow, and good to see through, but of use for few
customers only. ``effective`` says how many draws still count; a fit (``clv.fit``) does not suffer from that.
"""

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt

from studies.lessons.by_hand import FAMILY


def prior(draws: int, seed: int, rate: float) -> dict[str, np.ndarray]:
    """Return draws of the population's quantities from the family's default prior, centred at this rate a week."""
    rng, drawn = np.random.default_rng(seed), {}
    for name, quantity in FAMILY.quantities.items():
        given = dict(quantity.prior.arguments)
        if quantity.prior.distribution == "Beta":
            drawn[name] = rng.beta(given["alpha"], given["beta"], draws)
        else:
            drawn[name] = np.exp(given["mu"] + given["sigma"] * rng.standard_normal(draws))
            drawn[name] *= rate if quantity.relative else 1.0
    return drawn


def log_likelihoods(customers: pd.DataFrame, quantities: dict[str, np.ndarray]) -> np.ndarray:
    """Return the log-likelihood of each customer in each draw, (draw, customer), by the family's own terms.

    They are tensors, which are computed here step by step in Python: nothing is compiled. Customers of one history have
    one likelihood.
    """
    histories, which = np.unique(
        customers[list(FAMILY.observed)].to_numpy(float), axis=0, return_inverse=True
    )
    parameters = {
        name: pt.as_tensor(values[:, None]) for name, values in FAMILY.from_quantities(quantities).items()
    }
    columns = {name: pt.as_tensor(histories[None, :, i]) for i, name in enumerate(FAMILY.observed)}
    total = FAMILY.log_likelihood(parameters, columns)
    stepwise = pytensor.compile.mode.Mode(linker="py", optimizer=None)
    return pytensor.function([], total, mode=stepwise)()[:, which]


def weights(log_likelihood: np.ndarray) -> np.ndarray:
    """Return what each draw counts, summing to 1."""
    relative = np.exp(log_likelihood - log_likelihood.max())
    return relative / relative.sum()


def effective(weight: np.ndarray) -> float:
    """Return how many equal draws would be as good (Kish)."""
    return float(1 / np.sum(weight**2))


def quantiles(
    values: np.ndarray, weight: np.ndarray, at: tuple[float, ...] = (0.05, 0.5, 0.95)
) -> np.ndarray:
    """Return the smallest values that are not exceeded with these probabilities."""
    order = np.argsort(values)
    return values[order][np.searchsorted(np.cumsum(weight[order]), at).clip(max=values.size - 1)]
