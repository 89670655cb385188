"""NBD: negative binomial purchases, and nobody leaves (Ehrenberg 1959). The baseline.

The Pattern of Consumer Purchases, Applied Statistics 8(1); notation of Fader & Hardie (2004), Illustrating the
Performance of the NBD as a Benchmark Model for Customer-Base Analysis, brucehardie.com note 005.

A customer buys at rate lambda for ever. Rates vary over customers as lambda ~ Gamma(r, rate alpha). What a family
with dropout explains beyond this is what dropout explains.

==========  ===========================================================  ==================
symbol      meaning                                                      unit
==========  ===========================================================  ==================
r           shape of the purchase rates                                  none
alpha       rate of the Gamma of purchase rates                          time
x           frequency: repeat purchase occasions                         count
t_x         recency: age at the last purchase; without effect here       time
T           age at the end of observation                                time
t           a horizon after T                                            time
r / alpha   mean purchase rate of a new customer                         1 / time
==========  ===========================================================  ==================

The likelihood is Gamma(r + x) / Gamma(r) alpha^r (alpha + T)^-(r + x), the density of the ordered purchase times; T^x /
x! more, a factor of the data only, makes it the negative binomial probability of x.

All durations share one unit, and any unit will do. A new customer is x = t_x = T = 0.

The recency is observed all the same: the likelihood is the density of the ordered purchase times, as in the other
families, and a distinct history is the same row in each, so that they can be compared row by row.

Examples
--------
>>> seen = {"frequency": 2, "recency": 30.43, "T": 39}
>>> round(float(purchases(39, seen, {"r": 0.39, "alpha": 12.1})), 3)
1.824
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths import COIN
from bayes_clv.distributions.poisson import gamma_poisson
from bayes_clv.distributions.poisson.discounted import discounted_purchases
from bayes_clv.families.arguments import lead, symbols
from bayes_clv.families.contract import Columns, Family, Forecast, Params, Words
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import gamma_rates

PARAMETERS = ("r", "alpha")
OBSERVED = gamma_rates.OBSERVED


def simulate(rng: np.random.Generator, columns: Columns, params: Params) -> dict[str, Array]:
    """Return histories of new customers observed to age T."""
    T, r, alpha = np.broadcast_arrays(*symbols(("T",), PARAMETERS, columns, params))
    frequency = gamma_poisson.simulate_counts(rng, T, r, alpha)
    recency = gamma_poisson.simulate_recency(rng, T, frequency, frequency)
    return {"frequency": frequency.astype(np.float64), "recency": recency, "T": T}


def state(columns: Columns, params: Params) -> tuple[Array, Array, Array, Array]:
    """Return r + x and alpha + T of the Gamma of the purchase rate; 0 and 1, of a dropout that never happens."""
    x, T, r, alpha = symbols(("frequency", "T"), PARAMETERS, columns, params)
    return r + x, alpha + T, np.zeros(()), np.ones(())


def alive(columns: Columns, params: Params) -> Array:
    """Return the probability of being alive: 1."""
    read = symbols(OBSERVED, PARAMETERS, columns, params)
    return np.ones(np.broadcast_shapes(*(each.shape for each in read)))


def latent_draws(
    rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T: always; purchase rate per time unit; dropout: 0) given the history."""
    certain, k, scale, _, _ = np.broadcast_arrays(alive(columns, params), *state(columns, params))
    return certain > 0, rng.gamma(k, 1 / scale), np.zeros(certain.shape)


def latent_means(columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return the means of (purchase rate per time unit, dropout) given the history; dropout is 0."""
    certain, k, scale, _, _ = np.broadcast_arrays(alive(columns, params), *state(columns, params))
    return k / scale, np.zeros(certain.shape)


def purchases(time: Any, columns: Columns, params: Params) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history: t (r + x) / (alpha + T)."""
    certain, (k, scale, _, _) = alive(columns, params), state(columns, params)
    return certain * k * (lead(time, certain) / scale)


def survival(time: Any, columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at T + t given the history: 1."""
    certain = alive(columns, params)
    return np.ones(np.broadcast_shapes(np.shape(lead(time, certain)), certain.shape))


def pmf(counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(n purchase occasions in (T, T + t]) given the history: negative binomial."""
    certain, (k, scale, _, _) = alive(columns, params), state(columns, params)
    return gamma_poisson.count_pmf(lead(counts, certain), certain * k, time / scale)


def at_least(counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]) given the history; 1 where n <= 0."""
    certain, (k, scale, _, _) = alive(columns, params), state(columns, params)
    return gamma_poisson.count_at_least(lead(counts, certain), certain * k, time / scale)


def discounted(time: float, rate: float, columns: Columns, params: Params) -> Array:
    """Return expected purchases to the horizon, each worth e^(-delta t), delta the continuous ``rate`` per time unit.

    Without horizon E[lambda] / delta: infinite without discount, NaN for a negative one.
    """
    certain, (k, scale, a, b) = alive(columns, params), state(columns, params)
    if np.isinf(time):
        with np.errstate(divide="ignore"):
            return np.where(rate >= 0, certain * k / (np.abs(rate) * scale), np.nan)
    return certain * discounted_purchases(k, scale, a, b, time, rate)


FAMILY = Family(
    name="nbd",
    kind="purchases",
    words=Words(
        title="NBD",
        summary=(
            "Purchases follow NBD (Ehrenberg 1959): every customer buys at random at its own rate, for ever. It is "
            "the baseline that a family with dropout should beat."
        ),
        caution=(
            "Nobody ever leaves: every customer is alive with probability 1, and one who has been silent for years "
            "is forecast to go on buying. Fit mbg_nbd (MBG/NBD) where customers leave, and keep NBD as its "
            "baseline."
        ),
        meanings=gamma_rates.MEANINGS,
        references=("ehrenberg1959",),
    ),
    parameters=PARAMETERS,
    quantities=gamma_rates.QUANTITIES,
    observed=OBSERVED,
    design=("T",),
    scale=gamma_rates.data_scale,
    from_quantities=gamma_rates.parameters,
    likelihood=(
        Term(("frequency",), gamma_rates.rate_term),
        Term(("frequency", "T"), gamma_rates.exposure_term),
    ),
    simulate=simulate,
    checked="frequency",
    forecast=Forecast(
        history=OBSERVED,
        latent=("purchase_rate", "dropout"),
        paths=COIN,
        alive=alive,
        latent_means=latent_means,
        latent_draws=latent_draws,
        purchases=purchases,
        survival=survival,
        pmf=pmf,
        at_least=at_least,
        discounted=discounted,
        state=state,
        times=partial(gamma_rates.times, simulate),
    ),
)
