"""What an offer does to rate, dropout and spend for good, as levers of a scenario, draw by draw.

Where the customers of an experiment were fitted with their arm as a covariate, each posterior draw knows by how much
the offer multiplies their mean purchase rate, dropout and spend. The scenario of an offer changes the future of
customers who did not get it by just that, and each draw of the future by the effect of its own draw: a draw in which
customers buy often because the offer seems to do little keeps its little effect. Rejected: a distribution fitted to
the effects and drawn anew, which forgets that.

A dropout that is a probability has odds that are multiplied; the lever is then the ratio of the mean probabilities.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_clv.customers.encoding import Encoding
from bayes_clv.families.link import shifted
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import InputError, argument, quantiles
from bayes_clv.valuation.levers import Change

PROCESSES = ("purchase", "dropout", "spend")


@dataclass(frozen=True)
class _Share:
    """Changes (draw,) of a simulation's own draws, as ``levers`` reads a distribution."""

    drawn: np.ndarray

    def rvs(self, size: int, random_state: Any) -> np.ndarray:
        """Return the changes themselves: none is drawn anew."""
        if size != self.drawn.size:
            raise InputError(
                f"The effect has {self.drawn.size:,} draws and the simulation {size:,}. Read it from the simulation "
                "that the scenario is of: clv.valuation.effect_of(simulation, ...)."
            )
        return self.drawn

    def ppf(self, levels: Any) -> np.ndarray:
        """Return quantiles of the changes."""
        return np.asarray(quantiles(self.drawn, np.atleast_1d(levels)))


def effect_of(simulation: Simulation, process: str, column: str, offer: Any, control: Any) -> Change:
    """Return what an offer changes, as a lever of ``clv.valuation.scenario``.

    Parameters
    ----------
    simulation
        Of ``clv.simulate``, from fits of the experiment's customers with the column of arms as a covariate of the
        process, on orders since the draw: ``clv.fit(family, customers, covariates={"purchase": "offer"}, ...)``.
    process : {"purchase", "dropout", "spend"}
        What it acts on, for a lever of ``purchase_rate``, ``dropout`` or ``spend``.
    column
        The covariate.
    offer, control
        Two of its values.

    Returns
    -------
    Change
        A relative change with the simulation's own draws, for customers who did not get the offer: in words of your
        column, ``where="offer == 'none'"``.

    Raises
    ------
    InputError
        A fit without such a covariate, a label that it has not seen.

    Notes
    -----
    What the covariate's coefficient says of the average customer is taken to hold for each. The effect is that of being
    in the arm, for as long as the experiment lasted; that it stays over the horizon is assumed.

    Examples
    --------
    >>> import numpy as np
    >>> arms = np.array(["none", "mail"], dtype=object)[np.arange(customers.sizes["customer"]) % 2]
    >>> tested = customers.assign(offer=("customer", arms))
    >>> fit = clv.fit("bg_nbd", tested, covariates={"purchase": "offer"}, method="laplace", draws=50, seed=1)
    >>> draws = clv.simulate(fit, tested, "52 weeks", spending=spending, draws=100, seed=1)
    >>> faster = effect_of(draws, "purchase", "offer", "mail", "none")
    >>> mailed = clv.valuation.scenario("mail", where="offer == 'none'", purchase_rate=faster)
    """
    if process not in PROCESSES:
        raise InputError(f"{argument('process', process)} is not known. Use one of {', '.join(PROCESSES)}.")
    known = simulation.spending if process == "spend" else simulation.buying
    effects = () if known is None or known.effects is None else known.effects.each
    for effect in (each for each in effects if each.name == process):
        place = 0
        for encoding in effect.encodings:
            last = place + len(encoding.labels)
            if isinstance(encoding, Encoding) and encoding.column == column:
                assert known is not None
                design = encoding.design({column: _values(encoding, column, offer, control)})
                shift = design @ known.drawn[effect.coefficient][place:last]
                upper = known.family.quantities[effect.quantity].upper
                own, without = (shifted(np, known.drawn[effect.quantity], each, upper) for each in shift)
                return Change(_Share(own / without - 1))
            place = last
    raise InputError(
        f"The fit has no covariate {column!r} of {process}. Fit the experiment's customers with "
        f"covariates={{{process!r}: {column!r}}}."
    )


def _values(encoding: Encoding, column: str, offer: Any, control: Any) -> np.ndarray:
    if not encoding.levels:
        return np.array([offer, control], dtype=float)
    unknown = [str(each) for each in (offer, control) if str(each) not in encoding.levels]
    if unknown:
        raise InputError(
            f"The fit has not seen {unknown[0]!r} in {column!r}. It has {', '.join(encoding.levels)}."
        )
    return np.array([str(offer), str(control)], dtype=object)
