"""The future of one customer, as a picture."""

from typing import Any

import numpy as np

from bayes_clv.language import say
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.views import numbers, style

# Counts beyond what so many draws hold are left out of the picture.
SHOWN = 0.995


def plot_future(simulation: Simulation, customer: str | None = None) -> style.Drawing:
    """Plot how often one customer will buy, and what that is worth.

    Parameters
    ----------
    simulation : Simulation
        Of ``clv.simulate``; of several customers the one called ``customer``.
    customer : str, optional
        Its id, which is in the title. Without it the only customer of the simulation.

    Returns
    -------
    matplotlib.figure.Figure
        Outcome level. Left the probability of each number of purchases over the horizon; right, where there is money,
        how the value is spread over the draws in which the customer buys, with the mean of all draws (line).

    Raises
    ------
    InputError
        A customer that the simulation does not have, or several and no name.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, "52 weeks", spending=spending, margin=0.3, draws=200, seed=1)
    >>> figure = plot_future(draws, str(customers["customer"].values[0]))
    """
    ids = simulation.customers[CUSTOMER].to_numpy().astype(str)
    found = np.arange(ids.size) if customer is None else np.flatnonzero(ids == str(customer))
    if found.size != 1:
        raise InputError(
            f"The simulation has no customer {customer!r}."
            if customer is not None
            else f"The simulation is of {ids.size:,} customers. Say whose future it is: customer={ids[0]!r}."
        )
    with_money = simulation.spending is not None
    drawn = _drawn(simulation, int(found[0]), ["purchases", "value"] if with_money else ["purchases"])
    unit = simulation.inputs.time_unit
    with style.styled():
        figure = style.drawing(2.8)
        panels = figure.subplots(1, 1 + with_money, squeeze=False)[0]
        _draw_counts(panels[0], drawn["purchases"])
        ahead = numbers.plural(simulation.horizon, unit)
        title = (
            say("Purchases in {horizon}", horizon=ahead)
            if customer is None
            else say("{name}: purchases in {horizon}", name=style.short(str(customer)), horizon=ahead)
        )
        style.heading(panels[0], title, say("outcome level"))
        if with_money:
            _draw_value(panels[1], drawn["value"], numbers.money_unit(simulation.customers))
    return figure


def _drawn(simulation: Simulation, place: int, names: list[str]) -> dict[str, np.ndarray]:
    """Return quantities (draw,) of the customer at a place."""
    for places, block in simulation.blocks(names):
        at = np.flatnonzero(places == place)
        if at.size:
            return {name: np.array(block[name][at[0]], dtype=float) for name in names}
    raise AssertionError("every customer is in a block")


def _draw_counts(axes: Any, purchases: np.ndarray) -> None:
    most = int(np.quantile(purchases, SHOWN, method="inverted_cdf"))
    share = np.bincount(purchases.astype(np.int64), minlength=most + 1)[: most + 1] / purchases.size
    axes.bar(np.arange(most + 1), share, color=style.BLUE, width=0.8)
    axes.set_xlabel(say("purchases"))
    axes.set_ylabel(say("probability"))
    axes.xaxis.get_major_locator().set_params(integer=True)


def _draw_value(axes: Any, value: np.ndarray, unit: str) -> None:
    some = value[value > 0]
    top = float(np.quantile(value, SHOWN)) if some.size else 1.0
    if some.size:
        axes.hist(
            some[some <= top], bins=30, color=style.BLUE, weights=np.full((some <= top).sum(), 1 / value.size)
        )
    axes.axvline(value.mean(), color=style.INK, linewidth=1)
    axes.set_xlim(left=0)
    axes.set_xlabel(say("{label} ({unit})", label=say("value, where it buys"), unit=unit))
    axes.set_ylabel(say("probability"))
    style.thousands(axes.xaxis)
    nothing = 1 - some.size / value.size
    note = say("outcome level; line: mean; nothing with {chance:.0f} %", chance=100 * nothing)
    style.heading(axes, say("What that is worth"), note)
