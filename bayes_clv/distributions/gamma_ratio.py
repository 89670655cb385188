"""lnGamma(z + q) - lnGamma(z) and its slopes, of positive z and q >= 0: errors are relative to q log(z + q).

A plain difference of two lnGamma is off by their rounding where z is large: lnGamma(1e18) = 4e19 leaves an error of
thousands, and so false peaks to where no data reach, which a sampler's wide steps do. Here z is raised to 10 or more by
the recurrence, and the rest is the difference of two Stirling series, term by term. The ten steps of the recurrence
are taken as one fraction, without jumps. The logarithms are the C library's: those of ``elementary`` lose digits where
PyTensor compiles a graph with fast mathematics.
"""

from math import log, log1p

import numba

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True)
_inlined = numba.njit(
    cache=True, nogil=True, error_model="numpy", fastmath=False, no_cfunc_wrapper=True, forceinline=True
)


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
    # Of the product of (z + q) / z: what its numerator is more than the denominator, and the denominator.
    more, below = 0.0, 1.0
    for _ in range(10):
        step = z < 10.0
        more = more * z + (more + below) * q if step else more
        below = below * z if step else below
        z = z + 1.0 if step else z
    series = (z - 0.5) * log1p(q / z) + q * (log(z + q) - 1.0)
    return float(series + _stirling(z + q) - _stirling(z) - log1p(more / below))


@_compiled  # type: ignore[untyped-decorator]
def digamma_ratio(z: float, q: float) -> float:
    """Return digamma(z + q) - digamma(z), the slope of ``log_gamma_ratio`` by z."""
    above, below = 0.0, 1.0
    for _ in range(10):
        step = z < 10.0
        product = z * (z + q)
        above = above * product + below if step else above
        below = below * product if step else below
        z = z + 1.0 if step else z
    return float(log1p(q / z) - (_digamma_series(z + q) - _digamma_series(z)) + q * above / below)


@_compiled  # type: ignore[untyped-decorator]
def digamma(z: float) -> float:
    """Return the digamma function of a positive number."""
    above, below = 0.0, 1.0
    for _ in range(10):
        step = z < 10.0
        above = above * z + below if step else above
        below = below * z if step else below
        z = z + 1.0 if step else z
    return float(log(z) - _digamma_series(z) - above / below)
