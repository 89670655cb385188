"""Functions of positional arguments, as papers write them, as functions of named columns and parameters."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths import Paths
from bayes_clv.families.contract import Columns, Forecast, Params


def lead(first: Any, *others: Any) -> Array:
    """Return times or counts with their own axes before all of the others'.

    Examples
    --------
    >>> lead([1.0, 2.0], np.zeros((5, 1)), np.zeros(7)).shape
    (2, 1, 1)
    """
    array = np.asarray(first, dtype=np.float64)
    return array.reshape(array.shape + (1,) * (max(np.ndim(each) for each in others) if array.ndim else 0))


def by_name(
    function: Callable[..., Any], columns: Sequence[str], parameters: Sequence[str], *, leads: bool = False
) -> Callable[..., Any]:
    """Return ``function(*given, *columns, **params)`` as a function of (*given, columns, params), both mappings.

    With ``leads`` the axes of the first of the given lead.
    """

    def named(*arguments: Any) -> Any:
        *given, history, params = arguments
        past = [history[name] for name in columns]
        values = {name: params[name] for name in parameters}
        if leads:
            given[0] = lead(given[0], *past, *values.values())
        return function(*given, *past, **values)

    return named


def simulated(
    function: Callable[..., Any], design: Sequence[str], drawn: Sequence[str], parameters: Sequence[str]
) -> Callable[[np.random.Generator, Columns, Params], dict[str, Array]]:
    """Return a simulator of positional arguments as one that gives columns by name, those of the design among them."""
    of_names = by_name(function, design, parameters)

    def named(rng: np.random.Generator, columns: Columns, params: Params) -> dict[str, Array]:
        found = of_names(rng, columns, params)
        each = found if isinstance(found, tuple) else (found,)
        result = {name: np.asarray(part, dtype=np.float64) for name, part in zip(drawn, each, strict=True)}
        return result | {name: np.broadcast_to(columns[name], each[0].shape) for name in design}

    return named


def forecast(
    *,
    history: tuple[str, ...],
    parameters: tuple[str, ...],
    latent: tuple[str, ...],
    paths: Paths,
    alive: Callable[..., Any],
    latent_means: Callable[..., Any],
    latent_draws: Callable[..., Any],
    purchases: Callable[..., Any],
    survival: Callable[..., Any],
    pmf: Callable[..., Any],
    at_least: Callable[..., Any],
    discounted: Callable[..., Any],
    state: Callable[..., Any] | None = None,
    futures: Callable[..., Any] | None = None,
    times: Callable[..., Any] | None = None,
    closed_form_draws: int | None = None,
    pmfs: Callable[..., Any] | None = None,
) -> Forecast:
    """Return the record of a family whose functions are positional; ``pmfs`` gives several counts at once."""

    def named(function: Callable[..., Any], *, leads: bool = False) -> Callable[..., Any]:
        return by_name(function, history, parameters, leads=leads)

    one_by_one = named(pmf, leads=True)
    together = None if pmfs is None else named(pmfs)

    def of_counts(counts: Any, time: float, columns: Columns, params: Params) -> Array:
        if together is None or np.ndim(counts) == 0:
            found: Array = one_by_one(counts, time, columns, params)
            return found
        return np.stack(together(counts, time, columns, params))

    return Forecast(
        history=history,
        latent=latent,
        paths=paths,
        alive=named(alive),
        latent_means=named(latent_means),
        latent_draws=named(latent_draws),
        purchases=named(purchases, leads=True),
        survival=named(survival, leads=True),
        pmf=of_counts,
        at_least=named(at_least, leads=True),
        discounted=named(discounted),
        state=None if state is None else named(state),
        futures=None if futures is None else named(futures),
        times=None if times is None else by_name(times, ("T",), parameters),
        closed_form_draws=closed_form_draws,
    )
