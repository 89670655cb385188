"""Write FAMILY_forecasts.csv and FAMILY_pmf.csv of bg_nbd or mbg_nbd at ordinary and extreme histories, by mpmath.

Run with ``uv run python tests/reference/make_forecasts.py FAMILY`` (some minutes).

E[Y(t)] and survival are averages over p ~ Beta(a, B) of (1 - (1 + p tau)^-k) / p and (1 + p tau)^-k,
k = r + x, tau = t / (alpha + T), times P(alive); B = b + x in BG/NBD and b + x + 1 in MBG/NBD, whose coin is tossed
after the first purchase too. Each is taken twice and must agree to 1e-14: by
Gauss-Legendre in panels over u = logit(p), and by the 2F1 of the paper (Fader, Hardie & Lee 2005, eqs. 9 and
10) with 60 digits; where mpmath's 2F1 gives up or is wrong (it is for x in the hundreds and 0.01 < z < 1),
by panels half as wide instead. Column ``check`` says which.

The pmf is the paper's eq. 8 with the updated parameters, its cancelling sum taken with 500 digits; it holds given
alive in both families. MBG/NBD has every third history: the averages are the same functions, at another B.
"""

import csv
import itertools
import sys
from pathlib import Path

import mpmath as mp
import numpy as np

HERE = Path(__file__).parent
COLUMNS = ("t", "x", "t_x", "T", "r", "alpha", "a", "b")
CDNOW = (0.2426, 4.4136, 0.7929, 2.4259)
NEAR_ONE = (1 - 1e-13, 1.0, 1 + 1e-13)


def rows():
    """Yield the histories: chosen extremes, then draws from the whole range."""
    for t, (x, t_x, T) in itertools.product(
        (1e-6, 1.0, 39.0, 10_000.0), ((0, 0.0, 0.0), (0, 0.0, 39.0), (2, 30.43, 38.86), (30, 39.0, 39.0))
    ):
        yield t, x, t_x, T, *CDNOW
    for t, x, a in itertools.product((1e-6, 39.0, 10_000.0), (0, 3, 1_000), (0.01, *NEAR_ONE, 1_000.0)):
        yield t, x, 38.0 if x else 0.0, 39.0, 0.2426, 4.4136, a, 2.4259
    for t, alpha, r in itertools.product((1e-6, 10_000.0), (1e-3, 1e4), (0.001, 50.0)):
        yield t, 0, 0.0, 0.0, r, alpha, 0.01, 0.01
        yield t, 1, 0.01, 0.01, r, alpha, 1.0, 0.01
        yield t, 1_000, 5.0, 5.0, r, alpha, 1_000.0, 1_000.0
    rng = np.random.default_rng(20050501)
    for _ in range(60):
        x = int(rng.choice([0, 1, 5, 40, 200, 1_000]))
        T = float(rng.choice([0.01, 39.0, 1_000.0]))
        a = float(rng.choice([0.01, 0.3, *NEAR_ONE, 2.5, 30.0, 1_000.0]))
        r, b = float(rng.choice([0.001, 0.24, 3.0, 50.0])), float(rng.choice([0.01, 2.4, 100.0, 1_000.0]))
        t = float(rng.choice([1e-6, 1.0, 50.0, 1_000.0, 10_000.0]))
        alpha = float(f"{10 ** rng.uniform(-3, 4):.3g}")
        yield t, x, T * float(rng.choice([0.9, 1.0])) if x else 0.0, T, r, alpha, a, b


def gauss_rule(nodes):
    """Return a function (f, low, high) -> integral: Gauss-Legendre, NumPy's nodes polished by Newton."""
    points = []
    for start in np.polynomial.legendre.leggauss(nodes)[0]:
        z = mp.mpf(float(start))
        for _ in range(4):
            value = mp.legendre(nodes, z)
            slope = nodes * (z * value - mp.legendre(nodes - 1, z)) / (z * z - 1)
            z -= value / slope
        points.append((z, 2 / ((1 - z * z) * slope * slope)))

    def rule(f, low, high):
        half, middle = (high - low) / 2, (high + low) / 2
        return half * mp.fsum(w * f(middle + half * z) for z, w in points)

    return rule


def by_panels(rule, k, tau, a, big_b, purchases, width):
    def log_integrand(u):
        log_p, log_q = -mp.log1p(mp.exp(-u)), -mp.log1p(mp.exp(u))
        decay = -k * mp.log1p(tau * mp.exp(log_p))
        f = mp.log(-mp.expm1(decay)) - log_p if purchases else decay
        return a * log_p + big_b * log_q + f

    low, high = mp.mpf(-200), mp.mpf(200)
    for _ in range(60):  # golden section: the logarithm has one peak
        left, right = low + (high - low) * 0.382, low + (high - low) * 0.618
        if log_integrand(left) < log_integrand(right):
            low = left
        else:
            high = right
    peak = (low + high) / 2
    top = log_integrand(peak)
    total = mp.mpf(0)
    for direction in (-1, 1):
        u = peak
        # Panels start narrow, for a peak, and grow, for a slow tail.
        panel = min(mp.mpf(1), 3 / mp.sqrt(a * big_b / (a + big_b) + k + 1)) * width
        while mp.exp(log_integrand(u) - top) / min(a, big_b, 1) > 1e-20:
            edge = u + direction * panel
            total += direction * rule(lambda s: mp.exp(log_integrand(s) - top), u, edge)
            u = edge
            if abs(u - peak) > 60:
                panel *= 1.1
    return total * mp.exp(top) / mp.beta(a, big_b)


def by_2f1(k, tau, a, big_b, purchases):
    with mp.workdps(60):
        if not purchases:
            return mp.hyp2f1(k, a, a + big_b, -tau)
        a = a if a != 1 else a + mp.mpf(10) ** -25
        # Eq. 10 after Euler's transformation, which makes the argument -tau.
        return (a + big_b - 1) / (a - 1) * (1 - mp.hyp2f1(k, a - 1, a + big_b - 1, -tau))


def average(rules, k, tau, a, big_b, purchases):
    """Return (value, check), two computations that agree to 1e-14."""
    value = by_panels(rules, k, tau, a, big_b, purchases, 1)
    try:
        if abs(by_2f1(k, tau, a, big_b, purchases) / value - 1) < 1e-14:
            return value, "2F1"
    except (ValueError, ZeroDivisionError, mp.NoConvergence):
        pass
    finer = by_panels(rules, k, tau, a, big_b, purchases, mp.mpf(1) / 2)
    if abs(finer / value - 1) > 1e-14:
        raise ArithmeticError(f"no agreement at {k=} {tau=} {a=} {big_b=}")
    return finer, "panels"


def alive_and_updated(family, t, x, t_x, T, r, alpha, a, b):
    """Return (P(alive), k, tau, a, B) in mpmath numbers."""
    t, t_x, T, r, alpha, a, b = map(mp.mpf, (t, t_x, T, r, alpha, a, b))
    since = ((alpha + T) / (alpha + t_x)) ** (r + x)
    if family == "mbg_nbd":
        return 1 / (1 + a / (b + x) * since), r + x, t / (alpha + T), a, b + x + 1
    gone = a / (b + x - 1) * since if x else mp.mpf(0)
    return 1 / (1 + gone), r + x, t / (alpha + T), a, b + x


def pmf(family, n, *row):
    with mp.workdps(500):
        alive, k, tau, a, big_b = alive_and_updated(family, *row)
        z, masses = tau / (1 + tau), []
        mass = (1 + tau) ** -k
        for j in range(n + 1):
            masses.append(mass)
            mass *= z * (k + j) / (j + 1)
        value = mp.beta(a, big_b + n) / mp.beta(a, big_b) * masses[n]
        if n:
            value += mp.beta(a + 1, big_b + n - 1) / mp.beta(a, big_b) * (1 - mp.fsum(masses[:n]))
        return alive * value + (0 if n else 1 - alive)


def main(family):
    mp.mp.dps = 30
    rules = gauss_rule(16)
    step = 3 if family == "mbg_nbd" else 1
    with (HERE / f"{family}_forecasts.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*COLUMNS, "expected_purchases", "survival", "check"])
        for row in list(rows())[::step]:
            alive, *state = alive_and_updated(family, *row)
            (mean, check), (share, other) = (average(rules, *state, purchases) for purchases in (True, False))
            values = [mp.nstr(alive * value, 20) for value in (mean, share)]
            table.writerow([*row, *values, check if check == other else f"{check}, {other}"])
            file.flush()
    with (HERE / f"{family}_pmf.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["n", *COLUMNS, "pmf"])
        for row, n in itertools.product(list(rows())[:: 3 * step], (0, 1, 2, 10, 300)):
            value = pmf(family, n, *row)
            if value > 1e-290:
                table.writerow([n, *row, mp.nstr(value, 20)])


if __name__ == "__main__":
    main(sys.argv[1])
