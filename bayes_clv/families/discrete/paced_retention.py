"""Contracts at the pace of a calendar: what makes everybody leave more, or less, in one period of renewals.

The k-th renewal of a contract falls into a calendar period t, in which all leave g_t times as readily. A customer makes
it with probability (1 - theta)^(g_t q_k), q_k = k^c - (k - 1)^c: proportional hazards in discrete time (Prentice &
Gloeckler 1978), or log(-log(retention)) = that of the customer and the tenure + log g_t. theta, Beta over customers,
integrates as it does without a calendar,

    S(n) = B(alpha, beta + Q) / B(alpha, beta),   Q = sum over k = 1, ..., n of g_t(k) q_k,

and a loss at the next renewal is S(n) - S(n + 1). So a history is when the contract began (``periods_ago``), the
renewals made, and whether it runs: few distinct ones, however many customers. g = 1 is the family as it stands. Such
effects of the calendar beside those of tenure: Schweidel, Fader & Bradlow (2008), Understanding Service Retention
Within and Across Cohorts Using Limited Information, Journal of Marketing 72(1).

Rejected: Q = (sum of g)^c, the change of time of purchases: what a bad period does would go by the periods before it.
Not possible for BG/BB: with an effect on each opportunity p no longer integrates, and its histories are no longer
distinguished by frequency and recency.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bayes_clv.distributions.arrays import Array, float_arrays
from bayes_clv.distributions.special import double_tensors
from bayes_clv.distributions.survival import log_survival_ratio, loss_ratio, survival_ratio
from bayes_clv.families.calendar import CALENDAR
from bayes_clv.families.contract import Columns, Paced, Params, Renewals
from bayes_clv.families.discrete import beta_retention
from bayes_clv.families.likelihood import Term
from bayes_clv.schema import PERIODS_AGO, InputError

# Below it a logarithm's gradient overflows; no history with a likelihood worth having comes near.
_TINY = 1e-290


def likelihood(clock: Any) -> tuple[Term, ...]:
    """Return the terms, of contracts with ``periods_ago``."""
    return (
        Term(("renewals", PERIODS_AGO), partial(_renewal_term, clock)),
        Term(("renewals", "active", PERIODS_AGO), partial(_churn_term, clock)),
    )


def _shapes(params: Any) -> list[Any]:
    return double_tensors({"c": 1.0, **params}, "alpha", "beta", "c")


def _exponents(clock: Any, c: Any, renewals: Any, ago: Any) -> tuple[Any, Any]:
    # PyTensor, once a graph is built.
    from bayes_clv.distributions.operators import renewal_exponents

    return renewal_exponents(ago, renewals, clock.rate, c)


def _renewal_term(clock: Any, params: Any, renewals: Array, ago: Array) -> Any:
    """Return log S(renewals)."""
    alpha, beta, c = _shapes(params)
    made, _ = _exponents(clock, c, renewals, ago)
    return log_survival_ratio(alpha, beta, made)


def _churn_term(clock: Any, params: Any, renewals: Array, active: Array, ago: Array) -> Any:
    """Return of those lost the log of 1 - S(renewals + 1) / S(renewals)."""
    import pytensor.tensor as pt

    alpha, beta, c = _shapes(params)
    made, following = _exponents(clock, c, renewals, ago)
    here = pt.gt(active, 0)
    lost = -pt.expm1(log_survival_ratio(alpha, beta + made, pt.switch(here, 1.0, following)))
    return pt.switch(here, 0.0, pt.log(pt.maximum(lost, _TINY)))


def simulate(
    rng: np.random.Generator, columns: Columns, params: Params, knots: Array, elapsed: Array
) -> dict[str, Array]:
    """Return the contracts of customers who began ``periods_ago``, at the pace of one past.

    By inversion: the customer is lost at the first renewal k with (1 - theta)^Q(k) below a uniform number.
    """
    rate = np.diff(elapsed) / np.diff(knots)
    ago, a, b, c = np.broadcast_arrays(*float_arrays(columns[PERIODS_AGO]), *beta_retention.shapes(params))
    theta = rng.beta(a, b)
    # Of one who hardly ever leaves it is beyond every number.
    with np.errstate(divide="ignore", over="ignore"):
        enough = rng.standard_exponential(theta.shape) / -np.log1p(-theta)
    renewals = np.zeros(theta.shape)
    # Those who began together and whose c is one share their exponents.
    for begun, power in {(int(s), float(p)) for s, p in zip(ago.ravel(), c.ravel(), strict=True)}:
        alike = (ago == begun) & (c == power)
        k = np.arange(1, begun + 1)
        whole = np.cumsum(rate[rate.size - 1 - begun + k] * (k**power - (k - 1.0) ** power))
        renewals[alike] = np.searchsorted(whole, enough[alike], side="right")
    active = (renewals == ago).astype(np.float64)
    return {"renewals": renewals, "active": active, PERIODS_AGO: ago}


class _Renewing:
    """Contracts in calendar time, given the knots (knot,) of a calendar, whose operational time is in the parameters.

    Contracts under way began as many periods ago as they have made renewals. Parameters are (draw,).
    """

    def __init__(self, knots: Array) -> None:
        self.knots = knots
        self.size = int(np.searchsorted(knots, 0.0))

    def exponents(self, made: int, ahead: int, params: Params) -> tuple[Array, Array]:
        """Return Q (ahead + 1, draw) after ``made`` renewals and each of the next, and theirs (ahead, draw)."""
        if made > self.size:
            raise InputError(
                f"A contract with {made} renewals is older than the calendar, which knows {self.size} periods. Fit on "
                f"contracts as old as that, or ask for at most {self.size} renewals made."
            )
        rate = np.diff(np.asarray(params[CALENDAR])) / np.diff(self.knots)
        # Beyond the last knot the rate is the calendar's mean, which the last period has.
        k = np.arange(1, made + ahead + 1)
        place = np.minimum(self.size - 1 - made + k, rate.shape[1] - 1)
        *_, c = beta_retention.shapes(params)
        start, end = (np.power.outer(each, c) for each in (k - 1.0, k + 0.0))
        steps = rate[:, place].T * np.reshape(end - start, (k.size, -1))
        whole = np.concatenate([np.zeros((1, rate.shape[0])), np.cumsum(steps, axis=0)])
        return whole[made:], steps[made:]

    def each(self, function: Callable[..., Array], ahead: Any, columns: Columns, params: Params) -> Array:
        """Return a function of (alpha, beta, Q, exponents, renewals ahead), (time, draw), at times that come first."""
        times = np.asarray(ahead).astype(np.int64)
        made = np.asarray(columns["renewals"])
        a, b, _ = beta_retention.shapes(params)
        alone = [
            function(a, b, *self.exponents(int(one), int(times.max()) + 1, params), times.ravel())
            for one in made.ravel()
        ]
        shape = np.broadcast_shapes(made.shape, np.shape(params[CALENDAR])[:1])
        return np.reshape(np.stack(alone, axis=1), (*times.shape, *shape))

    def survival(self, ahead: Any, columns: Columns, params: Params) -> Array:
        """Return the probability of making all of the next t renewals; 0 of one already lost."""
        stays = self.each(_stays, ahead, columns, params)
        return np.asarray(columns["active"]) * stays

    def next_retention(self, ahead: Any, columns: Columns, params: Params) -> Array:
        """Return the share of those who come to the t-th renewal ahead who make it."""

        def made(a: Array, b: Array, whole: Array, steps: Array, t: Array) -> Array:
            rate: Array = survival_ratio(steps[t - 1], whole[t - 1], a, b, 1.0)
            return rate

        return self.each(made, ahead, columns, params)

    def pmf(self, counts: Any, renewals_ahead: float, columns: Columns, params: Params) -> Array:
        """Return P(exactly n of the next t renewals are made): the first n, then none; at n = t, all."""

        def exactly(a: Array, b: Array, whole: Array, steps: Array, n: Array) -> Array:
            leaves = loss_ratio(steps[n], whole[n], a, b, 1.0)
            found: Array = _stays(a, b, whole, steps, n) * np.where(n[:, None] < renewals_ahead, leaves, 1.0)
            return found

        n = np.asarray(counts)
        inside = (n >= 0) & (n <= renewals_ahead)
        chance = self.each(exactly, np.where(inside, n, 0), columns, params)
        led = np.reshape(n, n.shape + (1,) * (chance.ndim - n.ndim))
        known = np.where(np.reshape(inside, led.shape), chance, 0.0)
        return np.where(np.asarray(columns["active"]) > 0, known, np.where(led == 0, 1.0, 0.0))

    def expected(self, renewals_ahead: Any, columns: Columns, params: Params) -> Array:
        """Return the expected number of renewals among the next t, which is finite."""
        if not np.isfinite(renewals_ahead).all():
            raise InputError("With a calendar renewals are told to an end. Give a number of periods.")

        def summed(a: Array, b: Array, whole: Array, steps: Array, t: Array) -> Array:
            each = _stays(a, b, whole, steps, np.arange(whole.shape[0]))
            return np.asarray(np.cumsum(each, axis=0)[t] - 1.0)

        return np.asarray(columns["active"]) * self.each(summed, renewals_ahead, columns, params)


def _stays(a: Array, b: Array, whole: Array, steps: Array, t: Any) -> Array:
    stays: Array = survival_ratio(whole[t] - whole[0], whole[0], a, b, 1.0)
    return stays


def _forecast(own: Renewals, knots: Array) -> Renewals:
    by = _Renewing(knots)
    return replace(
        own,
        survival=by.survival,
        pmf=by.pmf,
        expected=by.expected,
        next_retention=by.next_retention,
        discounted=None,
        latent_means=None,
        latent_draws=None,
    )


def paced(own: Renewals) -> Paced:
    """Return a family of contracts at the pace of a calendar, given its forecast without one."""
    return Paced(likelihood=likelihood, simulate=simulate, forecast=partial(_forecast, own))
