"""Integrals that a compiled function gives row by row, with their slopes, as operations of a PyTensor graph.

A module of its own, because it needs PyTensor as it is imported; it is imported where a graph is built. Each operation
is one function of rows and one of slopes; the number of phases of ``log_phase_sum`` may be a constant or a shared
variable, so that one compiled graph serves every number.
"""

import inspect
import sys
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import register_funcify_default_op_cache_key

from bayes_clv.distributions import autoregression
from bayes_clv.distributions import renewal_exponents as renewing
from bayes_clv.distributions.lognormal import levels, rates
from bayes_clv.distributions.poisson import (
    drifting,
    drifting_lifetime,
    drifting_times,
    paced_lifetime,
    returning,
    returning_times,
    silence,
)
from bayes_clv.distributions.regular import erlang_phases, gamma_waits


class RowIntegral(Op):  # type: ignore[misc]
    """Vectors -> the vectors that ``function`` gives of each row; the first of them has a gradient.

    The first vector, and those with a gradient, have a length of one a row.

    Parameters
    ----------
    function : callable
        A compiled function of the vectors that returns a tuple of ``outputs`` vectors; the vector, where it is one.
    outputs : int
        How many.
    slopes : callable
        ``slopes(inputs, outputs)``: the slope of the first output in each input after the first ``data``, which have
        none; tensors. With ``smooth`` above 1 a sequence of them, one for each of the outputs that have a gradient.
    """

    __props__ = ("name",)

    def __init__(
        self,
        function: Any,
        outputs: int,
        slopes: Callable[..., Sequence[Any]],
        data: int = 0,
        smooth: int = 1,
    ) -> None:
        self.name = f"{function.__module__}.{function.__name__}"
        self.function, self.outputs, self.slopes, self.data, self.smooth = (
            function,
            outputs,
            slopes,
            data,
            smooth,
        )
        # PyTensor's compile cache outlives the source: another source, another key.
        self.version = zlib.crc32(inspect.getsource(sys.modules[function.__module__]).encode())

    def make_node(self, *inputs: Any) -> Any:
        """Return the node of the vectors."""
        vectors = [pt.as_tensor(each).astype("float64") for each in inputs]
        # Data after the first may be of other lengths: what the rows refer to.
        of_rows = [vectors[0], *vectors[self.data :]]
        rows = next((size for each in of_rows for size in each.type.shape if size is not None), None)
        return Apply(self, vectors, [pt.tensor(dtype="float64", shape=(rows,)) for _ in range(self.outputs)])

    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute the node outside of a compiled graph."""
        found = self.function(*inputs)
        for storage, values in zip(output_storage, [found] if self.outputs == 1 else found, strict=True):
            storage[0] = values

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        """Return that the data have no slope."""
        return [[place >= self.data] * self.outputs for place in range(len(node.inputs))]

    def pullback(self, inputs: list[Any], outputs: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the gradient of the smooth outputs; the others have none."""
        if not all(isinstance(each.type, DisconnectedType) for each in cotangents[self.smooth :]):
            raise NotImplementedError(f"Only the first outputs of {self.name} have a gradient.")
        none = [DisconnectedType()() for _ in range(self.data)]
        found = self.slopes(inputs, outputs)
        each = [found] if self.smooth == 1 else found
        used = [
            (cotangent, slopes)
            for cotangent, slopes in zip(cotangents, each, strict=False)
            if not isinstance(cotangent.type, DisconnectedType)
        ]
        return [*none, *(sum(c * s[i] for c, s in used) for i in range(len(inputs) - self.data))]

    def of(self, rows: Any, *inputs: Any) -> Any:
        """Return the first output; inputs that are scalars are those of all ``rows``, a vector."""
        zeros = pt.zeros_like(pt.as_tensor(rows), dtype="float64")
        return self(*(each + zeros for each in inputs))[0]


@register_funcify_default_op_cache_key(RowIntegral)  # type: ignore[untyped-decorator]
def _compiled(op: Any, **arguments: Any) -> tuple[Any, int]:
    return op.function, op.version


def _silence_slopes(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    k, w, a, b, length = inputs
    log_j, log_a, log_b, share_a, share_b = outputs
    at_end = pt.exp(-k * pt.log1p(length / a) - w * pt.log1p(length / b) - log_j)
    return [-log_a, -log_b, k / a * share_a, w / b * share_b, at_end]


def _phase_slopes(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    return list(outputs[1:])


def _lognormal_slopes(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    s1, s2 = inputs[4], inputs[6]
    _, d_m1, d_s1, d_m2, d_s2, d_c = outputs
    return [d_m1, d_s1 / s1, d_m2, d_s2 / s2, d_c]


def _gamma_waits_slopes(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    shape, rate, r, alpha, s, beta = inputs[4:]
    _, _, k, purchase, dropout, log_k, log_purchase, log_dropout = outputs
    slopes = []
    for a, b, mean, log_mean in (
        (shape, rate, k, log_k),
        (r, alpha, purchase, log_purchase),
        (s, beta, dropout, log_dropout),
    ):
        # Of E[log Gamma(a, rate b) density of the latent quantity | history].
        slopes += [pt.log(b) - pt.digamma(a) + log_mean, a / b - mean]
    return slopes


def _drift_slopes(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    found = _DRIFT_SLOPES(*inputs)
    return [found[:3], found[3:]]


def _lifetime_slopes(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    found = _LIFETIME_SLOPES(*inputs)
    # The purchases of one who stays say nothing of the lifetime.
    none = pt.zeros_like(found[0])
    return [[*found[:3], none, none], found[3:]]


def _sleep_slopes(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    r, alpha = inputs[5:7]
    log_rate, *others = _SLEEP_SLOPES(*inputs)
    return [pt.log(alpha) - pt.digamma(r) + log_rate, *others]


def _level_slopes(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    each, first = levels.SLOPES, levels.SUMS
    return [list(outputs[first + each * k : first + each * (k + 1)]) for k in range(levels.SUMS)]


def _trended_slopes(inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    return [[-outputs[2]], [pt.zeros_like(outputs[1])]]


_SILENCE = RowIntegral(silence.moments_of_rows, 5, _silence_slopes)
_PHASES = RowIntegral(erlang_phases.moments_of_rows, 3, _phase_slopes, data=1)
_LOGNORMAL = RowIntegral(rates.slopes_of_rows, 6, _lognormal_slopes, data=3)
_GAMMA_WAITS = RowIntegral(gamma_waits.moments_of_rows, 8, _gamma_waits_slopes, data=4)

# Apart, so that a density without its gradient does not compute it.
_DRIFT_SLOPES = RowIntegral(drifting.slopes, 6, lambda inputs, outputs: [], data=4)
_DRIFT = RowIntegral(drifting.log_likelihoods, 2, _drift_slopes, data=4, smooth=2)
_LIFETIME_SLOPES = RowIntegral(drifting_lifetime.slopes, 8, lambda inputs, outputs: [], data=4)
_LIFETIME = RowIntegral(drifting_lifetime.log_likelihoods, 2, _lifetime_slopes, data=4, smooth=2)
_SLEEP_SLOPES = RowIntegral(returning.slopes, 6, lambda inputs, outputs: [], data=5)
_SLEEP = RowIntegral(returning.log_likelihoods, 1, _sleep_slopes, data=5)

_LEVELS = RowIntegral(
    levels.sums, levels.SUMS * (1 + levels.SLOPES), _level_slopes, data=7, smooth=levels.SUMS
)
_TRENDED = RowIntegral(levels.trended, 3, _trended_slopes, data=6, smooth=2)


def log_integral(k: Any, w: Any, a: Any, b: Any, length: Any) -> Any:
    """Return log J (``poisson.silence``) of each silence of positive ``length``; the others may be scalars."""
    return _SILENCE.of(length, k, w, a, b, length)


def log_phase_sum(phases: Any, c: Any, z: Any) -> Any:
    """Return log S(c, z) (``regular.erlang_phases``) of each row of ``z``; the others may be scalars."""
    return _PHASES.of(z, phases, c, z)


def log_mean_likelihood(x: Any, t_x: Any, T: Any, *parameters: Any) -> Any:
    """Return the log of the mean likelihood (``lognormal.rates``) of each row; parameters may be scalars."""
    return _LOGNORMAL.of(T, x, t_x, T, *parameters)


def log_gamma_waits(data: tuple[Any, ...], parameters: tuple[Any, ...]) -> Any:
    """Return the log-likelihood of waits that are Gamma (``regular.gamma_waits``); parameters may be scalars."""
    return _GAMMA_WAITS.of(data[0], *data, *parameters)


def log_drift(T: Any, start: Any, size: Any, times: Any, *parameters: Any) -> tuple[Any, Any]:
    """Return of each row what ``poisson.drifting.log_likelihoods`` does; parameters may be scalars."""
    return _of_histories(_DRIFT, T, start, size, times, *parameters)


def log_drift_lifetime(T: Any, start: Any, size: Any, times: Any, *parameters: Any) -> tuple[Any, Any]:
    """Return of each row what ``poisson.drifting_lifetime.log_likelihoods`` does; parameters may be scalars."""
    return _of_histories(_LIFETIME, T, start, size, times, *parameters)


def _of_histories(op: Op, T: Any, start: Any, size: Any, times: Any, *parameters: Any) -> tuple[Any, Any]:
    zeros = pt.zeros_like(pt.as_tensor(T), dtype="float64")
    first, second = op(T, start, size, times, *(each + zeros for each in parameters))
    return first, second


def log_sleep(T: Any, start: Any, size: Any, first: int, times: Any, *parameters: Any) -> Any:
    """Return of each row what ``poisson.returning.log_likelihoods`` does; parameters may be scalars."""
    zeros = pt.zeros_like(pt.as_tensor(T), dtype="float64")
    return _SLEEP(T, start, size, first + zeros, times, *(each + zeros for each in parameters))


def level_sums(data: tuple[Any, ...], *parameters: Any) -> tuple[Any, ...]:
    """Return D and G (``lognormal.levels.sums``) of each row of data, tensors; parameters may be scalars."""
    zeros = pt.zeros_like(pt.as_tensor(data[0]), dtype="float64")
    found = _LEVELS(*data, *(each + zeros for each in parameters))
    return tuple(found[: levels.SUMS])


def trended_sums(data: tuple[Any, ...], g: Any) -> tuple[Any, Any]:
    """Return the sums of amounts over their trend, and of b (``lognormal.levels.trended``), of each row of data."""
    zeros = pt.zeros_like(pt.as_tensor(data[0]), dtype="float64")
    total, ages, _ = _TRENDED(*data, g + zeros)
    return total, ages


class HistoriesAt(Op):  # type: ignore[misc]
    """T, start, size, times and parameters -> what ``function`` gives of each history, with slopes in T and in times.

    ``start`` and ``size`` are data, and what comes after the times: ``first``, say, ``data`` in number.

    Parameters
    ----------
    function : callable
        A compiled function of the vectors that returns ``outputs`` vectors, one number a row; the vector, where it is
        one.
    outputs : int
        How many.
    slopes : callable
        A compiled function of the same vectors and of weights of each output: the slopes of the weighed outputs in T,
        times and parameters.
    data : int
        How many of the inputs between size and times are data.
    """

    __props__ = ("name",)

    def __init__(self, function: Any, outputs: int, slopes: Any, data: int = 0) -> None:
        self.name = f"{slopes.__module__}.{function.__name__}"
        self.function, self.outputs, self.slopes, self.data = function, outputs, slopes, data
        modules = (sys.modules[each.__module__] for each in (function, slopes))
        self.version = zlib.crc32("".join(inspect.getsource(each) for each in modules).encode())

    def moving(self, inputs: Sequence[Any]) -> list[int]:
        """Return the places of the inputs that have slopes."""
        return [0, *range(3 + self.data, len(inputs))]

    def make_node(self, *inputs: Any) -> Any:
        """Return the node; all are (row,) but the times, which are as many as there are."""
        vectors = [pt.as_tensor(each).astype("float64") for each in inputs]
        rows = vectors[0].type.shape
        return Apply(self, vectors, [pt.tensor(dtype="float64", shape=rows) for _ in range(self.outputs)])

    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute the node outside of a compiled graph."""
        found = self.function(*inputs)
        for storage, value in zip(output_storage, [found] if self.outputs == 1 else found, strict=True):
            storage[0] = value

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        """Return that data have no slope."""
        moving = self.moving(node.inputs)
        return [[place in moving] * self.outputs for place in range(len(node.inputs))]

    def pullback(self, inputs: list[Any], outputs: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the gradient of all outputs."""
        weights = [
            pt.zeros_like(output) if isinstance(each.type, DisconnectedType) else each
            for output, each in zip(outputs, cotangents, strict=True)
        ]
        found = iter(HistorySlopesAt(self)(*inputs, *weights))
        moving = self.moving(inputs)
        return [next(found) if place in moving else DisconnectedType()() for place in range(len(inputs))]


class HistorySlopesAt(Op):  # type: ignore[misc]
    """What ``of`` reads, and weights of what it gives -> its ``slopes``."""

    __props__ = ("of",)

    def __init__(self, of: HistoriesAt) -> None:
        self.of = of

    def make_node(self, *inputs: Any) -> Any:
        """Return the node."""
        vectors = [pt.as_tensor(each).astype("float64") for each in inputs]
        moving = self.of.moving(vectors[: len(vectors) - self.of.outputs])
        return Apply(self, vectors, [vectors[place].type() for place in moving])

    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute the node outside of a compiled graph."""
        for storage, value in zip(output_storage, self.of.slopes(*inputs), strict=True):
            storage[0] = value


@register_funcify_default_op_cache_key(HistoriesAt)  # type: ignore[untyped-decorator]
def _compiled_histories(op: Any, **arguments: Any) -> tuple[Any, int]:
    return op.function, op.version


@register_funcify_default_op_cache_key(HistorySlopesAt)  # type: ignore[untyped-decorator]
def _compiled_history_slopes(op: Any, **arguments: Any) -> tuple[Any, int]:
    return op.of.slopes, op.of.version


_DRIFT_AT = HistoriesAt(drifting.log_likelihoods, 2, drifting_times.slopes)
_SLEEP_AT = HistoriesAt(returning.log_likelihoods, 1, returning_times.slopes, data=1)


def log_drift_at(T: Any, start: Any, size: Any, times: Any, *parameters: Any) -> tuple[Any, Any]:
    """Return what ``log_drift`` does, where T and times are tensors, which have slopes; parameters may be scalars."""
    return _of_histories(_DRIFT_AT, T, start, size, times, *parameters)


def log_sleep_at(T: Any, start: Any, size: Any, first: int, times: Any, *parameters: Any) -> Any:
    """Return what ``log_sleep`` does, where T and times are tensors, which have slopes; parameters may be scalars."""
    zeros = pt.zeros_like(pt.as_tensor(T), dtype="float64")
    return _SLEEP_AT(T, start, size, first + zeros, times, *(each + zeros for each in parameters))


class Autoregression(Op):  # type: ignore[misc]
    """A vector and three numbers -> the log density of ``autoregression``, and its slopes."""

    __props__ = ()

    def make_node(self, y: Any, level: Any, shock: Any, rho: Any) -> Any:
        """Return the node."""
        inputs = [pt.as_tensor(each).astype("float64") for each in (y, level, shock, rho)]
        return Apply(self, inputs, [pt.dscalar(), *(each.type() for each in inputs)])

    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute the node outside of a compiled graph."""
        for storage, value in zip(output_storage, autoregression.log_density(*inputs), strict=True):
            storage[0] = value

    def pullback(self, inputs: list[Any], outputs: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the gradient of the density; its slopes have none."""
        return [cotangents[0] * slope for slope in outputs[1:]]


@register_funcify_default_op_cache_key(Autoregression)  # type: ignore[untyped-decorator]
def _compiled_density(op: Any, **arguments: Any) -> tuple[Any, int]:
    return autoregression.log_density, zlib.crc32(inspect.getsource(autoregression).encode())


def log_autoregression(y: Any, level: Any, shock: Any, rho: Any) -> Any:
    """Return the log density of ``autoregression``: y over periods, two variances and a correlation."""
    return Autoregression()(y, level, shock, rho)[0]


class PacedSilence(Op):  # type: ignore[misc]
    """Silences, operational time at ``knots`` knots, and parameters -> log I of ``poisson.paced_lifetime``, and slopes.

    The first three inputs are data, constants: silences (row,), where the slopes of each begin (row + 1,), and an array
    of one, the time between knots. Another base is another input and the same operation.
    """

    __props__ = ("knots",)

    def __init__(self, knots: int) -> None:
        self.knots = knots

    def make_node(self, *inputs: Any) -> Any:
        """Return the node of the data; the operational time from each knot to the end; k, A, s, B."""
        vectors = [pt.as_tensor(each).astype("float64") for each in inputs]
        rows, slopes = vectors[0].type.shape[0], int(vectors[1].data[-1])
        of_rows = [pt.tensor(dtype="float64", shape=(rows,)) for _ in range(5)]
        return Apply(self, vectors, [*of_rows, pt.tensor(dtype="float64", shape=(slopes,))])

    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute the node outside of a compiled graph."""
        for storage, value in zip(output_storage, paced_lifetime.moments_of_rows(*inputs), strict=True):
            storage[0] = value

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        """Return that data have no slope."""
        return [[place >= 3] * 6 for place in range(8)]

    def pullback(self, inputs: list[Any], outputs: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the gradient of log I; its slopes have none."""
        silence, begin, width = (each.data for each in inputs[:3])
        _, place = paced_lifetime.knots_of_rows(silence, float(width[0]), self.knots)
        row = np.repeat(np.arange(silence.size), np.diff(begin).astype(np.int64))
        weight = cotangents[0]
        of_knots = pt.zeros(self.knots)[place].inc(weight[row] * outputs[5])
        none = [DisconnectedType()() for _ in range(3)]
        return [*none, of_knots, *(weight * slope for slope in outputs[1:5])]


@register_funcify_default_op_cache_key(PacedSilence)  # type: ignore[untyped-decorator]
def _compiled_silence(op: Any, **arguments: Any) -> tuple[Any, int]:
    return paced_lifetime.moments_of_rows, zlib.crc32(inspect.getsource(paced_lifetime).encode())


def log_paced_silence(silence: np.ndarray, width: float, to_end: Any, *parameters: Any) -> Any:
    """Return log I (``poisson.paced_lifetime``) of each silence; k, A, s and B may be scalars."""
    knots = int(to_end.type.shape[0])
    begin, _ = paced_lifetime.knots_of_rows(silence, float(width), knots)
    data = np.asarray(silence, dtype=float), begin.astype(float), np.array([float(width)])
    zeros = np.zeros(silence.size)
    return PacedSilence(knots)(*data, to_end, *(each + zeros for each in parameters))[0]


class RenewalExponents(Op):  # type: ignore[misc]
    """Data ``ago`` and ``renewals``, rate and c -> what ``renewal_exponents.exponents`` gives."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Any:
        """Return the node; all but the rate are (row,)."""
        vectors = [pt.as_tensor(each).astype("float64") for each in inputs]
        rows = vectors[0].type.shape
        return Apply(self, vectors, [pt.tensor(dtype="float64", shape=rows) for _ in range(2)])

    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute the node outside of a compiled graph."""
        for storage, value in zip(output_storage, renewing.exponents(*inputs), strict=True):
            storage[0] = value

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        """Return that data have no slope."""
        return [[place >= 2] * 2 for place in range(4)]

    def pullback(self, inputs: list[Any], outputs: list[Any], cotangents: list[Any]) -> list[Any]:
        """Return the gradient of both."""
        weights = [
            pt.zeros_like(output) if isinstance(each.type, DisconnectedType) else each
            for output, each in zip(outputs, cotangents, strict=True)
        ]
        return [*(DisconnectedType()() for _ in range(2)), *RenewalSlopes()(*inputs, *weights)]


class RenewalSlopes(Op):  # type: ignore[misc]
    """What ``RenewalExponents`` reads, and weights of both that it gives -> ``renewal_exponents.slopes``."""

    __props__ = ()

    def make_node(self, *inputs: Any) -> Any:
        """Return the node."""
        vectors = [pt.as_tensor(each).astype("float64") for each in inputs]
        return Apply(self, vectors, [vectors[place].type() for place in (2, 3)])

    def perform(self, node: Any, inputs: list[Any], output_storage: list[list[Any]]) -> None:
        """Compute the node outside of a compiled graph."""
        for storage, value in zip(output_storage, renewing.slopes(*inputs), strict=True):
            storage[0] = value


@register_funcify_default_op_cache_key(RenewalExponents)  # type: ignore[untyped-decorator]
def _compiled_renewals(op: Any, **arguments: Any) -> tuple[Any, int]:
    return renewing.exponents, zlib.crc32(inspect.getsource(renewing).encode())


@register_funcify_default_op_cache_key(RenewalSlopes)  # type: ignore[untyped-decorator]
def _compiled_renewal_slopes(op: Any, **arguments: Any) -> tuple[Any, int]:
    return renewing.slopes, zlib.crc32(inspect.getsource(renewing).encode())


def renewal_exponents(ago: Any, renewals: Any, rate: Any, c: Any) -> tuple[Any, Any]:
    """Return what ``renewal_exponents.exponents`` does, tensors (row,); c may be a scalar."""
    zeros = pt.zeros_like(pt.as_tensor(ago), dtype="float64")
    whole, following = RenewalExponents()(ago, renewals, rate, c + zeros)
    return whole, following
