"""BG/BB: beta-geometric/beta-Bernoulli purchases at discrete opportunities (Fader, Hardie & Shang 2010).

Customer-Base Analysis in a Discrete-Time Noncontractual Setting, Marketing Science 29(6).

Purchases can happen only at opportunities (a yearly appeal, a cruise season, a weekly visit): at most one at each.
At the start of each opportunity a customer leaves for ever with probability theta; one still alive buys with
probability p. Both vary over customers, p ~ Beta(alpha, beta) and theta ~ Beta(gamma, delta), independently.

===============  ================================================================  ===========
symbol           meaning                                                           unit
===============  ================================================================  ===========
alpha, beta      shapes of the purchase probabilities                              none
gamma, delta     shapes of the dropout probabilities                               none
x                frequency: opportunities with a purchase                          count
t_x              recency: number of the opportunity of the last purchase, or 0     opportunity
n                opportunities observed                                            count
m                opportunities to come                                             count
alpha/(a.+b.)    mean probability of buying at an opportunity, while alive         probability
gamma/(g.+d.)    mean probability of leaving at the start of an opportunity        probability
===============  ================================================================  ===========

The purchase that made somebody a customer is opportunity 0 and not counted. A new customer is x = t_x = n = 0.

The likelihood in print is a sum of n - t_x + 1 products of Beta functions. Here it is the probability of the history
up to t_x, one product, times the probability W of the silence after it: with the hazard h_j = gamma / (gamma + delta
+ j) of leaving after j opportunities and the probability (beta + j - x) / (alpha + beta + j) of not buying at the
next, W_j = h_j + (1 - h_j) (beta + j - x) / (alpha + beta + j) W_{j+1} from W_n = 1 down to j = t_x. All terms are
positive and at most 1, so that nothing overflows or cancels and gamma = 1 is an ordinary value. The likelihood is that
of the purchases in their order; (t_x - 1)! / ((x - 1)! (t_x - x)!) more, a factor of the data only, makes it that of
(x, t_x).

Alive here is alive at the last opportunity observed, n: the state in which its purchase could still happen, 1 for a
customer with t_x = n. The paper and BTYD state it for opportunity n + 1; that is ``survival(1, ...)``.

Examples
--------
>>> donors = {"alpha": 1.204, "beta": 0.750, "gamma": 0.657, "delta": 2.783}
>>> seen = {"frequency": 4, "recency": 5, "opportunities": 6}
>>> always = dict.fromkeys(seen, 6)
>>> round(float(survival(1, always, donors)), 2), round(float(purchases(10, seen, donors)), 2)
(0.93, 3.63)
>>> round(float(discounted(np.inf, 0.1, always, donors)), 2)
5.91
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths import OPPORTUNITIES
from bayes_clv.distributions.special import double_tensors, log_gamma_ratio
from bayes_clv.distributions.survival import discounted_survival, log_survival_ratio, survival_ratio
from bayes_clv.families.arguments import lead, symbols
from bayes_clv.families.contract import Columns, Family, Forecast, Params, Words
from bayes_clv.families.likelihood import Term
from bayes_clv.families.quantities import Prior, Quantity

PARAMETERS = ("alpha", "beta", "gamma", "delta")
OBSERVED = ("frequency", "recency", "opportunities")
# x, t_x, n, alpha, beta, gamma, delta.
_symbols = partial(symbols, OBSERVED, PARAMETERS)

MEANINGS = {
    "alpha": ("first shape of the purchase probabilities across customers", "none"),
    "beta": ("second shape of the purchase probabilities; their mean is alpha / (alpha + beta)", "none"),
    "gamma": ("first shape of the dropout probabilities across customers", "none"),
    "delta": ("second shape of the dropout probabilities; their mean is gamma / (gamma + delta)", "none"),
    "population_purchase_probability": (
        "mean probability of buying at an opportunity while alive, alpha / (alpha + beta)",
        "probability",
    ),
    "purchase_concentration": ("alpha + beta; small where customers differ much in buying", "none"),
    "population_dropout": (
        "mean probability of leaving at the start of an opportunity, gamma / (gamma + delta)",
        "probability",
    ),
    "dropout_concentration": ("gamma + delta; small where customers differ much in dropout", "none"),
}

WORDS = Words(
    title="BG/BB",
    summary=(
        "Purchases follow BG/BB (Fader, Hardie & Shang 2010): at each opportunity a customer first may leave for ever"
        " with its own probability, and one who stays buys with its own probability."
    ),
    caution=(
        "At most one purchase is counted at each opportunity, and all opportunities are alike: a customer who could "
        "buy several times between two of them, or only in some seasons, is described by another family."
    ),
    meanings=MEANINGS,
    references=("fader2010",),
)

QUANTITIES = {
    "population_purchase_probability": Quantity(
        Prior("Beta", alpha=1, beta=1), upper=1.0, process="purchase"
    ),
    "purchase_concentration": Quantity(Prior("LogNormal", mu=1, sigma=1.25)),
    "population_dropout": Quantity(Prior("Beta", alpha=1, beta=1), upper=1.0, process="dropout"),
    "dropout_concentration": Quantity(Prior("LogNormal", mu=1, sigma=1.25)),
}


def data_scale(columns: Mapping[str, Array], count: Array) -> float:
    """Return 1: no quantity of this family has a unit."""
    return 1.0


def parameters(population: Mapping[str, Any]) -> dict[str, Any]:
    """Return alpha, beta, gamma, delta from the population quantities, tensors or arrays."""
    buying, purchase = population["population_purchase_probability"], population["purchase_concentration"]
    leaving, dropout = population["population_dropout"], population["dropout_concentration"]
    return {
        "alpha": buying * purchase,
        "beta": (1 - buying) * purchase,
        "gamma": leaving * dropout,
        "delta": (1 - leaving) * dropout,
    }


def purchase_term(params: Mapping[str, Any], x: Any, t_x: Any) -> Any:
    """Return the part of the log-likelihood that depends on (x, t_x): x of t_x opportunities were taken."""
    alpha, beta = double_tensors(params, "alpha", "beta")
    bought, passed = log_gamma_ratio(alpha, x), log_gamma_ratio(beta, t_x - x)
    return bought + passed - log_gamma_ratio(alpha + beta, t_x)


def lifetime_term(params: Mapping[str, Any], t_x: Any) -> Any:
    """Return the part of the log-likelihood that depends on t_x alone: alive at the last purchase."""
    gamma, delta = double_tensors(params, "gamma", "delta")
    return log_survival_ratio(gamma, delta, t_x)


def silence_term(params: Mapping[str, Any], x: Any, t_x: Any, n: Any) -> Any:
    """Return the log of W, the probability of no purchase after t_x, as a PyTensor vector.

    The recursion written as a sum: over the opportunities after which the customer may have left, and over
    having stayed. Its factors are probabilities, W is at least the first hazard, and no gradient overflows.
    """
    import pytensor.tensor as pt

    alpha, beta, gamma, delta = double_tensors(params, *PARAMETERS)
    x, t_x, n = (pt.cast(pt.as_tensor(column), "float64") for column in (x, t_x, n))
    step = pt.arange(pt.cast(pt.max(n - t_x), "int64"))[:, None]
    j = t_x + step
    here = pt.lt(step, n - t_x)
    all_shapes = gamma + delta + j
    stays_silent = pt.log((delta + j) / all_shapes) + pt.log((beta + j - x) / (alpha + beta + j))
    stays_silent = pt.switch(here, stays_silent, 0.0)
    log_silent_until = pt.cumsum(stays_silent, axis=0) - stays_silent
    left = pt.switch(here, gamma / all_shapes * pt.exp(log_silent_until), 0.0).sum(axis=0)
    return pt.log(left + pt.exp(stays_silent.sum(axis=0)))


def simulate(rng: np.random.Generator, columns: Columns, params: Params) -> dict[str, Array]:
    """Return histories of new customers with so many opportunities, exactly and without a loop.

    The customer is alive at the first min(n, G - 1) opportunities, G ~ Geometric(theta); backwards from the last of
    them the first purchase is another Geometric(p) away, and the earlier opportunities hold Binomial purchases.
    """
    n, *shapes = np.broadcast_arrays(*symbols(("opportunities",), PARAMETERS, columns, params))
    alpha, beta, gamma, delta = shapes
    p = rng.beta(alpha, beta)
    living = np.minimum(n, _geometric(rng, rng.beta(gamma, delta)) - 1)
    recency = np.maximum(living + 1 - _geometric(rng, p), 0.0)
    earlier = np.maximum(recency - 1, 0).astype(np.int64)
    frequency = (recency > 0) + rng.binomial(earlier, p)
    return {"frequency": frequency.astype(np.float64), "recency": recency, "opportunities": n}


def _geometric(rng: np.random.Generator, chance: Array) -> Array:
    """Return Geometric(chance) on 1, 2, ... by inversion, because chance may round to 0 (never) or to 1."""
    with np.errstate(divide="ignore", over="ignore"):
        number = np.ceil(rng.standard_exponential(chance.shape) / -np.log1p(-chance))
    return np.maximum(number, 1.0)


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def _silence(x: float, t_x: float, n: float, alpha: float, beta: float, gamma: float, delta: float) -> float:
    """Return W, the probability of no purchase at t_x + 1, ..., n of one alive at t_x; a NumPy ufunc."""
    if not (x >= 0 and t_x >= 0 and n >= 0) or np.isnan(alpha + beta + gamma + delta):
        return np.nan
    silent = 1.0
    j = n - 1.0
    while j >= t_x:
        shapes = gamma + delta + j
        silent = gamma / shapes + (delta + j) / shapes * (beta + j - x) / (alpha + beta + j) * silent
        j -= 1.0
    return silent


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def _silent_alive(
    x: float, t_x: float, n: float, alpha: float, beta: float, gamma: float, delta: float
) -> float:
    """Return the probability of being alive at n and of no purchase after t_x, of one alive at t_x."""
    both = 1.0
    j = t_x
    while j < n:
        both *= (delta + j) / (gamma + delta + j) * (beta + j - x) / (alpha + beta + j)
        j += 1.0
    return both


def latent_draws(
    rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at n, purchase probability, dropout probability) given the history.

    The three are drawn jointly from the individual posterior: first the last opportunity at which the customer was
    alive, which leaves two independent Betas.
    """
    x, t_x, n, alpha, beta, gamma, delta = np.broadcast_arrays(*_symbols(columns, params))
    left_to_reach = rng.random(x.shape) * _silence(x, t_x, n, alpha, beta, gamma, delta)
    silent_until, last, gone = np.ones(x.shape), n.copy(), np.zeros(x.shape, dtype=bool)
    for step in range(int((n - t_x).max(initial=0))):
        j = t_x + step
        open_ = (j < n) & ~gone
        leaves = gamma / (gamma + delta + j)
        left_to_reach = left_to_reach - np.where(open_, silent_until * leaves, 0.0)
        now = open_ & (left_to_reach < 0)
        last, gone = np.where(now, j, last), gone | now
        silent_until = silent_until * (1 - leaves) * (beta + (j - x)) / (alpha + beta + j)
    purchase = rng.beta(alpha + x, beta + (last - x))
    dropout = rng.beta(gamma + gone, delta + last)
    return ~gone, purchase, dropout


def latent_means(columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return the means of (purchase probability, dropout probability) given the history: those of ``latent_draws``.

    A factor p more in the likelihood raises alpha by one, and theta raises gamma.
    """
    x, t_x, n, alpha, beta, gamma, delta = _symbols(columns, params)
    silence = _silence(x, t_x, n, alpha, beta, gamma, delta)
    bought = (alpha + x) / (alpha + beta + t_x) * _silence(x, t_x, n, alpha + 1, beta, gamma, delta)
    left = gamma / (gamma + delta + t_x) * _silence(x, t_x, n, alpha, beta, gamma + 1, delta)
    return bought / silence, left / silence


def alive(columns: Columns, params: Params) -> Array:
    """Return the probability of having been alive at opportunity n given the history; 1 where t_x = n."""
    seen = _symbols(columns, params)
    chance: Array = _silent_alive(*seen) / _silence(*seen)
    return chance


def state(columns: Columns, params: Params) -> tuple[Array, Array, Array, Array]:
    """Return the shapes of the Betas of the purchase probability and of dropout, given alive at n."""
    x, _, n, alpha, beta, gamma, delta = _symbols(columns, params)
    return alpha + x, beta + (n - x), gamma + 0 * n, delta + n


def survival(ahead: Any, columns: Columns, params: Params) -> Array:
    """Return the probability of being alive at opportunity n + m given the history; the paper's P(alive) is m = 1."""
    _, _, n, _, _, gamma, delta = _symbols(columns, params)
    chance = alive(columns, params)
    stays: Array = survival_ratio(lead(ahead, chance), n, gamma, delta, 1.0)
    return chance * stays


def purchases(ahead: Any, columns: Columns, params: Params) -> Array:
    """Return the expected purchases at the next m opportunities given the history.

    P(alive) times (alpha + x) / (alpha + beta + n) times the expected number of opportunities at which the customer is
    still alive, a sum of positive terms: gamma = 1 is ordinary, and so is a thousand opportunities. m = infinity gives
    infinity unless gamma > 1.
    """
    return discounted(ahead, 0.0, columns, params)


def discounted(ahead: Any, rate: float, columns: Columns, params: Params) -> Array:
    """Return the expected purchases at the next m opportunities, each worth (1 + rate)^-k at opportunity n + k.

    The rate is one per opportunity: 0.10 where opportunities are years and money costs 10 % a year. All to come
    (m = infinity) are eq. 14 of the paper, the discounted expected residual transactions (DERT): infinite without
    discount unless gamma > 1; NaN for a negative rate.
    """
    x, _, n, alpha, beta, gamma, delta = _symbols(columns, params)
    chance = alive(columns, params)
    opportunities: Array = discounted_survival(lead(ahead, chance), rate, n, gamma, delta, 1.0)
    while_alive = (alpha + x) / (alpha + beta + n) * opportunities
    return chance * while_alive


@numba.vectorize(cache=True)  # type: ignore[untyped-decorator]
def _pmf_while_alive(y: float, m: float, a: float, b: float, g: float, d: float) -> float:
    """Return P(y purchases at the next m opportunities) of one alive now, p ~ Beta(a, b), theta ~ Beta(g, d).

    The sum over the number of opportunities at which the customer is alive, k = y, ..., m; both factors by their
    own recursion, all terms positive.
    """
    if np.isnan(y + m + a + b + g + d):
        return np.nan
    if y < 0 or y > m:
        return 0.0
    stays, chance = 1.0, 1.0
    k = 0.0
    while k < y:
        stays *= (d + k) / (g + d + k)
        chance *= (a + k) / (a + b + k)
        k += 1.0
    total = 0.0
    while k < m:
        total += stays * g / (g + d + k) * chance
        stays *= (d + k) / (g + d + k)
        chance *= (k + 1.0) / (k + 1.0 - y) * (b + k - y) / (a + b + k)
        k += 1.0
    return total + stays * chance


def pmf(counts: Any, ahead: float, columns: Columns, params: Params) -> Array:
    """Return P(y purchases at the next m opportunities) given the history.

    Whole m; one value takes about m steps.
    """
    chance, shapes = alive(columns, params), state(columns, params)
    y = lead(counts, chance)
    bought: Array = _pmf_while_alive(y, ahead, *shapes)
    return chance * bought + np.where(y == 0, 1 - chance, 0.0)


def at_least(counts: Any, ahead: float, columns: Columns, params: Params) -> Array:
    """Return P(at least y purchases at the next m opportunities) given the history; whole m; 1 where y <= 0."""
    y = lead(counts, alive(columns, params))
    each = [np.where(y <= n, pmf(n, ahead, columns, params), 0.0) for n in np.arange(ahead + 1)]
    return np.where(y > 0, np.sum(each, axis=0), 1.0)


FAMILY = Family(
    name="bg_bb",
    kind="opportunities",
    words=WORDS,
    parameters=PARAMETERS,
    quantities=QUANTITIES,
    observed=OBSERVED,
    design=("opportunities",),
    scale=data_scale,
    from_quantities=parameters,
    likelihood=(
        Term(("frequency", "recency"), purchase_term),
        Term(("recency",), lifetime_term),
        Term(OBSERVED, silence_term),
    ),
    simulate=simulate,
    checked="frequency",
    forecast=Forecast(
        history=OBSERVED,
        latent=("purchase", "dropout"),
        paths=OPPORTUNITIES,
        alive=alive,
        latent_means=latent_means,
        latent_draws=latent_draws,
        purchases=purchases,
        survival=survival,
        pmf=pmf,
        at_least=at_least,
        discounted=discounted,
        state=state,
    ),
)
