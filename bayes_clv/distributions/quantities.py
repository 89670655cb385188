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


@dataclass(frozen=True)
class Quantity:
    """A sampled population quantity; the family's ``MEANINGS`` say what it is.

    Attributes
    ----------
    prior : Prior
        The default. Where ``relative`` is true it is a LogNormal whose ``mu`` counts from the data's scale.
    relative : bool
        Whether the quantity has a unit, and so a scale in the data.
    upper : float
        Upper end of its range; the lower is 0.
    """

    prior: Prior
    relative: bool = False
    upper: float = math.inf


# One number, or one of each relative quantity where these differ in unit.
type Scale = float | Mapping[str, float]


def resolve(
    quantities: Mapping[str, Quantity], priors: Mapping[str, Prior] | str | None, scale: Scale
) -> dict[str, Prior]:
    """Return the prior of every quantity: those given, and else the defaults on the data's scale.

    ``priors="flat"`` makes all of them flat, for maximum likelihood.

    Raises
    ------
    InputError
        For a quantity that the family does not have, or something that is no Prior.
    """
    if isinstance(priors, str):
        if priors != "flat":
            raise InputError(
                f"priors={priors!r} is not known. Use 'flat', or a mapping of quantity to Prior."
            )
        return dict.fromkeys(quantities, FLAT)
    given = dict(priors or {})
    unknown = sorted(set(given) - set(quantities))
    if unknown:
        raise InputError(
            f"There is no population quantity {unknown[0]!r}. Priors can be given for {', '.join(quantities)}."
        )
    for name, prior in given.items():
        if not isinstance(prior, Prior):
            raise InputError(
                f"The prior of {name!r} is {prior!r}. Write it as Prior('LogNormal', mu=..., sigma=...)."
            )
    return {name: given.get(name, _placed(name, quantity, scale)) for name, quantity in quantities.items()}


def _scale_of(name: str, scale: Scale) -> float:
    return scale[name] if isinstance(scale, Mapping) else scale


def _placed(name: str, quantity: Quantity, scale: Scale) -> Prior:
    if not quantity.relative:
        return quantity.prior
    arguments = dict(quantity.prior.arguments)
    mu = arguments["mu"] + math.log(_scale_of(name, scale))
    return Prior(quantity.prior.distribution, **{**arguments, "mu": mu})


def starting_point(quantities: Mapping[str, Quantity], scale: Scale) -> dict[str, float]:
    """Return a plausible value of each quantity on the data's scale: 1/2 of a bounded one, else 1."""
    return {
        name: _scale_of(name, scale) if quantity.relative else min(1.0, quantity.upper / 2)
        for name, quantity in quantities.items()
    }
