"""When a customer may leave: the laws a family names in its forecast, and what each gives to those who ask.

``state`` of a purchase family is (k, scale, a, b) and whatever else its law asks for: given alive at T the purchase
rate is Gamma(k, rate scale), independent of the rest. What a and b say is the law:

after_purchase
    A customer leaves only by a purchase, with the same probability p after each, p ~ Beta(a, b); a = 0 is never.
continuous
    A customer leaves at any time, at a rate of its own, mu ~ Gamma(a, rate b): the remaining lifetime D has
    P(D > t) = (b / (b + t))^a.
after_kth_phase
    As after_purchase, but a purchase comes with every n-th phase only, and the Gamma is of the phases' rate. Two more
    numbers: n, the same in every draw, and z, the silence since the last purchase over the scale, by which the phases
    since then are weighted (``erlang_phases``).
individual
    There is no such state: rates of a population that is no Gamma or Beta, or waits that are no exponentials. The
    family draws instead, ``futures(rng, columns, params)`` -> (first_wait, wait_shape, wait_rate, left, leaving),
    each (draw,), for one customer whose parameters are (draw,): the time from T to the next purchase if the customer
    does not leave, given the silence so far; shape and rate of the Gamma of each further wait; when it leaves, as a
    time from T, negative of one who has left; its rate of leaving. They are drawn jointly given each draw of the
    population, and the next purchase happens where first_wait <= left.

Whoever needs the future given the state looks up the law here. What a family can say in closed form about one
history (expected purchases, counts, survival) it says itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.poisson import discounted, gamma_lifetime
from bayes_clv.distributions.regular import erlang_residual


@dataclass(frozen=True)
class Lifetime:
    """What a law of leaving gives, as functions of the state (k, scale, a, b) of customers alive now.

    Attributes
    ----------
    discounted_purchases : callable
        ``(k, scale, a, b, ..., horizon, discount, same_shape)``: expected purchases to the horizon, each discounted
        from the time it occurs, for arrays of one shape (row, draw); ``same_shape`` as in ``discounted``.
    shortest_time : callable
        ``(k, scale, a, b, ...)``: the time on which expected purchases first bend.
    of_recency : bool
        Whether the state of a customer alive depends on recency, and not on frequency and T alone.
    """

    discounted_purchases: Callable[..., Array]
    shortest_time: Callable[..., Array]
    of_recency: bool = False


# The law of families that draw each customer's future; it reads no state, and is not among LIFETIMES.
INDIVIDUAL = "individual"


LIFETIMES = {
    "after_purchase": Lifetime(discounted.discounted_purchases, lambda k, scale, a, b: scale),
    "continuous": Lifetime(gamma_lifetime.discounted_purchases, lambda k, scale, a, b: b),
    "after_kth_phase": Lifetime(
        erlang_residual.discounted_purchases, lambda k, scale, a, b, n, z: scale / 2, of_recency=True
    ),
}


def to_horizon(
    law: str, state: Sequence[Array], shape: tuple[int, ...], horizon: float, rate: float
) -> Array:
    """Return expected purchases to the horizon, discounted, of customers who are alive; the states have a ``shape``."""
    rows = [np.array(np.atleast_2d(np.broadcast_to(each, shape))) for each in state]
    alone = np.zeros(rows[0].shape[0], dtype=bool)
    return LIFETIMES[law].discounted_purchases(*rows, float(horizon), float(rate), alone).reshape(shape)
