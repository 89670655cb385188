"""What a rate that drifts (``drifting``) does in many draws at once: silences, and waits that end with a probability.

Each operation is one loop over draws that the compiler turns into vectors: for that a loop writes one array alone, of a
few, since it has to prove that what is written is not read.

A wait is found by Newton's steps, FEW of them in all draws. So no draw waits for another, nor depends on it; the few
that are not there yet are told, and are searched one by one (``paths.drift``).
"""

from numba import njit

from bayes_clv.distributions.elementary import expm1
from bayes_clv.distributions.elementary import plain_log as log
from bayes_clv.distributions.elementary import plain_log1p as log1p
from bayes_clv.distributions.poisson.drifting import pace, passed, way_at

# Numbers of a draw, the rows of ``of`` (NUMBERS, draw): parameters, ``pace``, theta, and the least of a mixture.
R, ALPHA, KAPPA, S, GAMMA, DELTA, THETA, LEAST = range(8)
NUMBERS = 8
# Rows to work in.
ROOM = 8
# Newton's steps; of the last one: the relative error of a wait is about its square.
FEW, ENOUGH = 3, 1e-3

_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=False)
_inlined = njit(nogil=True, cache=True, error_model="numpy", fastmath=False, forceinline=True)


@_compiled
def put_pace(of, size):  # type: ignore[no-untyped-def]
    """Write S, GAMMA and DELTA of the first draws."""
    alpha, kappa = of[ALPHA, :size], of[KAPPA, :size]
    s, gamma, delta = of[S, :size], of[GAMMA, :size], of[DELTA, :size]
    for m in range(size):
        s[m] = pace(alpha[m], kappa[m])[0]
    for m in range(size):
        gamma[m] = pace(alpha[m], kappa[m])[1]
    for m in range(size):
        delta[m] = pace(alpha[m], kappa[m])[2]


@_compiled
def transitions(t, of, change, factor, share):  # type: ignore[no-untyped-def]
    """Write 1 - e, lost + kept, and where it has a length the share that is kept, of waits t > 0."""
    size = t.size
    alpha, kappa, theta = of[ALPHA, :size], of[KAPPA, :size], of[THETA, :size]
    s, gamma, delta = of[S, :size], of[GAMMA, :size], of[DELTA, :size]
    for m in range(size):
        change[m] = -expm1(-gamma[m] * t[m])
    for m in range(size):
        way = way_at(theta[m], change[m], kappa[m], (s[m], gamma[m], delta[m]))
        _, _, lost, kept = passed(theta[m], alpha[m], way)
        factor[m] = lost + kept
    if share.size > 0:
        for m in range(size):
            way = way_at(theta[m], change[m], kappa[m], (s[m], gamma[m], delta[m]))
            share[m] = passed(theta[m], alpha[m], way)[3] / factor[m]


@_compiled
def silences(t, of, mixture, room, value, rate):  # type: ignore[no-untyped-def]
    """Write the log probability of no purchase within t > 0, and where it has a length the mean rate after it.

    ``mixture`` (number, draw) are the weights from LEAST on, ``room`` (5, draw) is to work in; the rest is (draw).
    """
    size = t.size
    r, alpha, kappa, theta = of[R, :size], of[ALPHA, :size], of[KAPPA, :size], of[THETA, :size]
    s, gamma, delta, least = of[S, :size], of[GAMMA, :size], of[DELTA, :size], of[LEAST, :size]
    change, factor, share = room[0, :size], room[1, :size], room[2, : rate.size]
    total, moment = room[3, :size], room[4, :size]
    transitions(t, of, change, factor, share)
    for m in range(size):
        way = way_at(theta[m], change[m], kappa[m], (s[m], gamma[m], delta[m]))
        value[m] = passed(theta[m], alpha[m], way)[1]
    _powers(mixture, factor, total)
    for m in range(size):
        value[m] = r[m] * (log(value[m]) - 0.5 * delta[m] * t[m]) + log(total[m])
    for m in range(size):
        value[m] += least[m] * log(factor[m])
    if rate.size > 0:
        moment[:] = 0.0
        for k in range(mixture.shape[0] - 1, -1, -1):
            each, number = mixture[k, :size], float(k)
            for m in range(size):
                moment[m] = moment[m] * factor[m] + each[m] * (least[m] + number)
        for m in range(size):
            moment[m] = r[m] + share[m] * (moment[m] / total[m])
        for m in range(size):
            way = way_at(theta[m], change[m], kappa[m], (s[m], gamma[m], delta[m]))
            rate[m] = moment[m] / (alpha[m] + passed(theta[m], alpha[m], way)[0])


@_compiled
def _powers(weights, factor, total):  # type: ignore[no-untyped-def]
    """Write the sum of the weights (number, draw) times the powers of a factor."""
    total[:] = 0.0
    for k in range(weights.shape[0] - 1, -1, -1):
        each = weights[k, : total.size]
        for m in range(total.size):
            total[m] = total[m] * factor[m] + each[m]


@_compiled
def first_waits(log_left, mean, of, mixture, room, wait, close):  # type: ignore[no-untyped-def]
    """Write the waits that are longer with the probability e^log_left, of a ``mean`` rate now; and 1 where found.

    In y = log1p(t / scale) the logarithm is a straight line of a constant rate. ``room`` (ROOM, draw).
    """
    size = wait.size
    alpha, theta = of[ALPHA, :size], of[THETA, :size]
    value, rate, y = room[5, :size], room[6, :size], room[7, :size]
    for m in range(size):
        y[m] = -log_left[m] / (mean[m] * (alpha[m] + theta[m]))
    for _ in range(FEW):
        for m in range(size):
            wait[m] = (alpha[m] + theta[m]) * expm1(y[m])
        silences(wait, of, mixture, room[:5], value, rate)
        for m in range(size):
            new = y[m] + (value[m] - log_left[m]) / (rate[m] * (alpha[m] + theta[m] + wait[m]))
            value[m] = new if new > 0.0 else 0.5 * y[m]
        for m in range(size):
            close[m] = abs(value[m] - y[m])
        for m in range(size):
            y[m] = value[m]
    for m in range(size):
        close[m] = 1.0 if close[m] <= ENOUGH * y[m] else 0.0
    for m in range(size):
        wait[m] = (alpha[m] + theta[m]) * expm1(y[m])


@_compiled
def rates_given(wait, u, v, of, mixture, room, shape, scale):  # type: ignore[no-untyped-def]
    """Write shape and scale of the Gamma of the rate now, given the wait for the purchase to come.

    By two uniform numbers each: the first chooses the part of the mixture.
    """
    size = wait.size
    r, kappa, theta = of[R, :size], of[KAPPA, :size], of[THETA, :size]
    s, gamma, delta, least = of[S, :size], of[GAMMA, :size], of[DELTA, :size], of[LEAST, :size]
    alpha, change, factor, share = of[ALPHA, :size], room[0, :size], room[1, :size], room[2, :size]
    total, d = room[3, :size], room[4, :size]
    transitions(wait, of, change, factor, share)
    total[:] = 0.0
    for k in range(mixture.shape[0] - 1, -1, -1):
        each, number = mixture[k, :size], float(k)
        for m in range(size):
            total[m] = total[m] * factor[m] + each[m] * (r[m] + (least[m] + number) * share[m])
    for m in range(size):
        left, power, k = u[m] * total[m], 1.0, 0
        while k < mixture.shape[0] - 1:
            left -= mixture[k, m] * power * (r[m] + (least[m] + k) * share[m])
            if left < 0.0:
                break
            power *= factor[m]
            k += 1
        shape[m] = r[m] + least[m] + k
    # P(wait > t | lambda) = A(t)^r e^(-lambda b(t)): b, its slope, and that of -log A.
    for m in range(size):
        d[m] = delta[m] * (1.0 - change[m]) + gamma[m] + kappa[m]
    for m in range(size):
        scale[m] = alpha[m] + theta[m] + 2.0 * change[m] / d[m]
    for m in range(size):
        slope = 4.0 * gamma[m] * gamma[m] * (1.0 - change[m]) / (d[m] * d[m])
        total[m] = slope * shape[m] / scale[m]
    for m in range(size):
        more = v[m] * (total[m] + r[m] * s[m] * change[m] / d[m]) < total[m]
        shape[m] += 1.0 if more else 0.0


@_inlined
def log_silence_at(change, t, rate, r, kappa, gamma, delta):  # type: ignore[no-untyped-def]
    """Return the log probability of no purchase within t, 1 - e = ``change``, after a rate that is known."""
    d = delta * (1.0 - change) + gamma + kappa
    return -r * (log1p(-0.5 * delta * change / gamma) + 0.5 * delta * t) - rate * (2.0 * change / d)


@_inlined
def hazard_at(change, rate, r, kappa, gamma, delta):  # type: ignore[no-untyped-def]
    """Return minus the slope of ``log_silence_at``."""
    d = delta * (1.0 - change) + gamma + kappa
    s = 0.5 * delta * (gamma + kappa)
    return (r * s * change + rate * 4.0 * gamma * gamma * (1.0 - change) / d) / d


@_compiled
def next_silences(t, rate, of, room, value):  # type: ignore[no-untyped-def]
    """Write the log probability of no purchase within t after a rate; ``room`` (1, draw)."""
    size = t.size
    r, kappa, gamma, delta = of[R, :size], of[KAPPA, :size], of[GAMMA, :size], of[DELTA, :size]
    change = room[0, :size]
    for m in range(size):
        change[m] = -expm1(-gamma[m] * t[m])
    for m in range(size):
        value[m] = log_silence_at(change[m], t[m], rate[m], r[m], kappa[m], gamma[m], delta[m])


@_compiled
def next_waits(log_left, rate, of, room, wait, close):  # type: ignore[no-untyped-def]
    """Write the waits that are longer with the probability e^log_left, after a ``rate``; and 1 where found.

    ``room`` (ROOM, draw).
    """
    size = wait.size
    r, kappa, gamma, delta = of[R, :size], of[KAPPA, :size], of[GAMMA, :size], of[DELTA, :size]
    change, value, hazard = room[0, :size], room[1, :size], room[2, :size]
    for m in range(size):
        wait[m] = start_of(log_left[m], rate[m], r[m], kappa[m], gamma[m], delta[m])
    for _ in range(FEW):
        next_silences(wait, rate, of, room, value)
        for m in range(size):
            hazard[m] = hazard_at(change[m], rate[m], r[m], kappa[m], gamma[m], delta[m])
        for m in range(size):
            new = wait[m] + (value[m] - log_left[m]) / hazard[m]
            value[m] = new if new > 0.0 else 0.5 * wait[m]
        for m in range(size):
            close[m] = abs(value[m] - wait[m])
        for m in range(size):
            wait[m] = value[m]
    for m in range(size):
        close[m] = 1.0 if close[m] <= ENOUGH * wait[m] else 0.0


@_inlined
def start_of(log_left, rate, r, kappa, gamma, delta):  # type: ignore[no-untyped-def]
    """Return where the search of a wait begins: as if the rate went on, and then back towards the mean, for so long."""
    t = -log_left / max(rate, 0.5 * r * delta)
    back = 0.5 * (0.25 * r * delta * (gamma + kappa) - kappa * rate) * t
    return t * rate / (rate + back) if abs(back) < 0.5 * rate else t
