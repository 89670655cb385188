"""Population quantities a person can argue about, and the priors stated on them.

Every family samples quantities with a plain meaning (a mean purchase rate, a mean dropout probability)
and derives its paper's parameters from them. A quantity with a unit has its default prior placed
relative to the data's own scale, so that days or weeks, dollars or cents give the same posterior after
conversion; ``tests/inference`` holds it. The alternative, fixed numbers in the unit of whoever wrote
them, gives PyMC-Marketing a mean spend of -$248 on CDNOW in cents.

How wide the defaults are: a standard deviation of 1.5 on the log scale lets the mean purchase rate lie
a factor of 20 either side of the data's crude rate (repeat purchases over customer time, which is too
low where customers have dropped out); 1 to 1.5 on the shapes runs from nearly equal customers to ones
where a few do all the buying. With a few hundred customers these priors are hardly visible.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_clv.schema import InputError


@dataclass(frozen=True, init=False)
class Prior:
    """A prior by the name and arguments of its PyMC distribution.

    Parameters
    ----------
    distribution : str
        Name of a scalar PyMC distribution, for example ``"LogNormal"``; ``"Flat"`` is constant over the
        quantity's own range.
    **arguments : float
        Its arguments as PyMC names them.

    Examples
    --------
    >>> Prior("Beta", alpha=1, beta=3)
    Prior('Beta', alpha=1, beta=3)
    """

    distribution: str
    arguments: tuple[tuple[str, float], ...]

    def __init__(self, distribution: str, **arguments: float) -> None:
        object.__setattr__(self, "distribution", distribution)
        object.__setattr__(self, "arguments", tuple((k, float(v)) for k, v in arguments.items()))

    def __repr__(self) -> str:
        return f"Prior({', '.join([repr(self.distribution), *(f'{k}={v:.6g}' for k, v in self.arguments)])})"


FLAT = Prior("Flat")
# The distribution's name of a quantity at a value; its argument is ``value``.
FIXED = "Fixed"
# Of a whole quantity. Times between purchases of 50 phases differ by 14 %; beyond, sums over phases overflow.
MOST_PHASES = 50


@dataclass(frozen=True)
class Quantity:
    """A sampled population quantity; the family's words say what it is.

    Attributes
    ----------
    prior : Prior
        The default. Where ``relative`` is true it is a LogNormal whose ``mu`` counts from the data's scale. Of a
        quantity that is an option it is ``Prior("Fixed", value=...)``: at that value it is as if it were not there.
    relative : bool
        Whether the quantity has a unit, and so a scale in the data.
    upper : float
        Upper end of its range; the lower is 0.
    whole : bool
        Whether it is a whole number from 1, which is not sampled: it is fixed, or chosen by the data among those
        of its prior, a DiscreteUniform (``inference.choice``).
    constant : bool
        Whether it is a number that the data are not asked for: it has no other prior than a fixed value, relative to
        the data's scale where it is ``relative``.
    process : str, or None
        The process, "purchase", "dropout" or "spend", whose covariates act on it.
    """

    prior: Prior
    relative: bool = False
    upper: float = math.inf
    whole: bool = False
    constant: bool = False
    process: str | None = None


# One number, or one of each relative quantity where these differ in unit.
type Scale = float | Mapping[str, float]


def resolve(
    quantities: Mapping[str, Quantity], priors: Mapping[str, Prior | float] | str | None, scale: Scale
) -> dict[str, Prior]:
    """Return the prior of every quantity: those given, and else the defaults on the data's scale.

    A plain number fixes a quantity: ``Prior("Fixed", value=...)``. ``priors="flat"`` makes all of them flat, for
    maximum likelihood; a whole number keeps its equal weights, and an option its value.

    Raises
    ------
    InputError
        For a quantity that the family does not have, something that is neither Prior nor number, and a number that
        the quantity cannot have.
    """
    if isinstance(priors, str):
        if priors != "flat":
            raise InputError(
                f"priors={priors!r} is not known. Use 'flat', or a mapping of quantity to Prior."
            )
        return {
            name: _placed(name, each, scale) if each.whole or each.prior.distribution == FIXED else FLAT
            for name, each in quantities.items()
        }
    given = {name: _fixed(prior) for name, prior in (priors or {}).items()}
    unknown = sorted(set(given) - set(quantities))
    if unknown:
        raise InputError(
            f"There is no population quantity {unknown[0]!r}. Priors can be given for {', '.join(quantities)}."
        )
    for name, prior in given.items():
        if not isinstance(prior, Prior):
            raise InputError(
                f"The prior of {name!r} is {prior!r}. Write it as Prior('LogNormal', mu=..., sigma=...), or give a "
                "number to fix it."
            )
        _check_prior(name, prior, quantities[name])
    return {name: given.get(name, _placed(name, quantity, scale)) for name, quantity in quantities.items()}


def _fixed(prior: Any) -> Any:
    number = isinstance(prior, (int, float, np.number)) and not isinstance(prior, bool)
    return Prior(FIXED, value=float(prior)) if number else prior


def fixed_values(priors: Mapping[str, Prior]) -> dict[str, float]:
    """Return the value of every quantity that is fixed."""
    return {
        name: dict(prior.arguments)["value"] for name, prior in priors.items() if prior.distribution == FIXED
    }


def _check_prior(name: str, prior: Prior, quantity: Quantity) -> None:
    """Refuse a fixed value outside of the quantity's range, and a prior of a whole number that it cannot have."""
    arguments = dict(prior.arguments)
    if prior.distribution == FIXED:
        value = arguments["value"]
        if quantity.whole and not (value == math.floor(value) and 1 <= value <= MOST_PHASES):
            raise InputError(
                f"{name!r} is a whole number from 1 to {MOST_PHASES}; it was fixed at {value:g}."
            )
        if prior != quantity.prior and not (math.isfinite(value) and 0 < value < quantity.upper):
            end = "" if math.isinf(quantity.upper) else f" and below {quantity.upper:g}"
            raise InputError(f"{name!r} must be above 0{end} and finite; it was fixed at {value:g}.")
    elif quantity.constant:
        raise InputError(f"{name!r} is a number that is not learned: give it, priors={{{name!r}: 52.0}}.")
    elif quantity.whole:
        ends = [arguments.get("lower", 1.0), arguments.get("upper", math.nan)]
        whole = all(end == math.floor(end) for end in ends if math.isfinite(end))
        if prior.distribution != "DiscreteUniform" or not (whole and 1 <= ends[0] <= ends[1] <= MOST_PHASES):
            raise InputError(
                f"{name!r} is a whole number: fix it, priors={{{name!r}: 2}}, or let the data choose among equal "
                f"weights, Prior('DiscreteUniform', lower=1, upper=12), up to {MOST_PHASES}. Given was {prior!r}."
            )


def _scale_of(name: str, scale: Scale) -> float:
    return scale[name] if isinstance(scale, Mapping) else scale


def _placed(name: str, quantity: Quantity, scale: Scale) -> Prior:
    if not quantity.relative:
        return quantity.prior
    arguments = dict(quantity.prior.arguments)
    if quantity.prior.distribution == FIXED:
        return Prior(FIXED, value=arguments["value"] * _scale_of(name, scale))
    mu = arguments["mu"] + math.log(_scale_of(name, scale))
    return Prior(quantity.prior.distribution, **{**arguments, "mu": mu})


def starting_point(quantities: Mapping[str, Quantity], scale: Scale) -> dict[str, float]:
    """Return a plausible value of each quantity on the data's scale: 1/2 of a bounded one, else 1."""
    return {
        name: _scale_of(name, scale) if quantity.relative else min(1.0, quantity.upper / 2)
        for name, quantity in quantities.items()
    }
