"""lnGamma(z + q) - lnGamma(z) and its slopes, of positive z and q >= 0: errors are relative to q log(z + q).

A plain difference of two lnGamma is off by their rounding where z is large: lnGamma(1e18) = 4e19 leaves an error of
thousands, and so false peaks to where no data reach, which a sampler's wide steps do. Here z is raised to 10 or more by
the recurrence, factor by factor, and the rest is the difference of two Stirling series, term by term.
"""

import math

import numba

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_inlined = numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")


@_inlined  # type: ignore[untyped-decorator]
def _stirling(z: float) -> float:
    """Return what Stirling's lnGamma(z) lacks, z >= 10."""
    s = 1 / (z * z)
    return (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s * (1 / 1188 - s * 691 / 360360))))) / z


@_inlined  # type: ignore[untyped-decorator]
def _digamma_series(z: float) -> float:
    """Return log(z) - digamma(z), z >= 10."""
    s = 1 / (z * z)
    return 0.5 / z + s * (
        1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s * (1 / 132 - s * 691 / 32760))))
    )


@_compiled  # type: ignore[untyped-decorator]
def log_gamma_ratio(z: float, q: float) -> float:
    """Return lnGamma(z + q) - lnGamma(z)."""
    below = 0.0
    while z < 10.0:
        below += math.log1p(q / z)
        z += 1.0
    series = (z - 0.5) * math.log1p(q / z) + q * (math.log(z + q) - 1.0)
    return float(series + _stirling(z + q) - _stirling(z) - below)


@_compiled  # type: ignore[untyped-decorator]
def digamma_ratio(z: float, q: float) -> float:
    """Return digamma(z + q) - digamma(z), the slope of ``log_gamma_ratio`` by z."""
    below = 0.0
    while z < 10.0:
        below += q / (z * (z + q))
        z += 1.0
    return float(math.log1p(q / z) - (_digamma_series(z + q) - _digamma_series(z)) + below)


@_compiled  # type: ignore[untyped-decorator]
def digamma(z: float) -> float:
    """Return the digamma function of a positive number."""
    below = 0.0
    while z < 10.0:
        below += 1.0 / z
        z += 1.0
    return float(math.log(z) - _digamma_series(z) - below)
