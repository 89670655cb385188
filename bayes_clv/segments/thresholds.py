"""Where a rule's thresholds lie: numbers as they stand, shares of the base found anew in every draw.

Thresholds of the base come from at most CUT_CUSTOMERS customers, the first in the order of their random keys and so a
random sample: a quantile's rank then has a standard error of at most 0.5 / sqrt(50,000) = 0.2 % of the base. That
sample is the one thing that is kept: 160 MB a quantity at 400 draws.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bayes_clv.predictions.simulation import Simulation
from bayes_clv.predictions.tiles import in_order
from bayes_clv.schema import CUSTOMER, InputError, either
from bayes_clv.segments.rules import Axis, Rule

CUT_CUSTOMERS = 50_000

MONEY = f"Money needs {either('draws with a spending posterior', 'a run with amounts')}. "


def check_names(draws: Simulation, rule: Rule, totals: Sequence[str]) -> None:
    """Refuse a rule or totals that read a quantity which the draws do not have."""
    known = draws.names
    for axis in rule.axes:
        for name in axis.quantity.names():
            if axis.scale == "text" and name in known:
                raise InputError(
                    f"{axis.quantity.place}: {name!r} is a quantity of numbers, and is compared with the text "
                    f"{axis.texts[0]!r}. Compare it with a number."
                )
            if axis.scale != "text" and name in draws.texts:
                raise InputError(
                    f"{axis.quantity.place}: {name!r} is a column of text, and is compared as a number. Compare it "
                    f"with a text, such as {name} == {str(draws.customers[name].to_numpy()[0])!r}."
                )
            if name not in known and not (axis.scale == "text" and name in draws.texts):
                raise InputError(
                    f"{axis.quantity.place}: the quantity {name!r} is not known. There are "
                    f"{', '.join((*known, *draws.texts))}. "
                    f"{'' if draws.spending is not None else MONEY}Further columns are "
                    f"{either('attached with clv.with_columns', 'read with --columns')}."
                )
    for name in totals:
        if name not in known:
            raise InputError(f"The quantity {name!r} of totals is not known. There are {', '.join(known)}.")


def amounts_of(
    draws: Simulation, rule: Rule, places: np.ndarray, values: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Return the amount of each axis of a rule, (customer, draw or 1); refuse a missing one."""
    amounts = rule.amounts(values)
    for axis, amount in zip(rule.axes, amounts, strict=True):
        missing = np.isnan(amount).any(axis=1)
        if missing.any():
            raise missing_amount(draws, axis, places[missing.argmax()])
    return amounts


def missing_amount(draws: Simulation, axis: Axis, place: int) -> InputError:
    """Return what to say where the customer at ``place`` lacks an axis' quantity."""
    customer = draws.customers[CUSTOMER].values[place]
    return InputError(
        f"{axis.quantity.place}: {axis.quantity.text!r} is missing (NaN), for customer {customer!r} among "
        "others, so that no segment could be told. Fill the column, leave such customers out, or use a "
        "quantity that everybody has (spend_per_purchase instead of monetary_value)."
    )


def thresholds_of(draws: Simulation, rule: Rule, threads: int | None) -> list[np.ndarray]:
    """Return each axis' thresholds, (cut, 1) numbers or (cut, draw) found in each draw's base."""
    found = [np.array(axis.levels)[:, None] for axis in rule.axes]
    of_base = [axis for axis in rule.axes if axis.of_base]
    if not of_base:
        return found
    names = list(dict.fromkeys(name for axis in of_base for name in axis.quantity.names()))
    size = min(CUT_CUSTOMERS, draws.inputs.size)
    # Draws first, so that each draw's base lies together; one row where the quantity does not vary over draws.
    kept: dict[int, np.ndarray] = {}

    def work(places: np.ndarray, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        amounts = [np.atleast_2d(np.asarray(axis.quantity(values), dtype=np.float64)) for axis in of_base]
        for axis, amount in zip(of_base, amounts, strict=True):
            missing = np.isnan(amount).any(axis=1)
            if missing.any():
                raise missing_amount(draws, axis, places[missing.argmax()])
        return amounts

    done = 0
    for amounts in draws.each(work, names, threads, sample=size):
        for i, amount in enumerate(amounts):
            if done == 0:
                kept[i] = np.empty((amount.shape[1], size))
            kept[i][:, done : done + amount.shape[0]] = amount.T
        done += amounts[0].shape[0]
    cuts = iter([cut(axis, kept.pop(i), threads) for i, axis in enumerate(of_base)])
    return [next(cuts) if axis.of_base else each for axis, each in zip(rule.axes, found, strict=True)]


def _quantiles(amount: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Return NumPy's quantiles of the method "inverted_cdf"; to sort takes a quarter of the time of its partition."""
    place = np.ceil(amount.size * np.asarray(levels) - 1).astype(np.int64)
    found: np.ndarray = np.sort(amount)[np.maximum(place, 0)]
    return found


def cut(axis: Axis, amounts: np.ndarray, threads: int | None = 1) -> np.ndarray:
    """Return (cut, draw) of the amounts (draw, customer): the quantiles, or from where the best bring their share."""

    def of_draw(draw: int) -> np.ndarray:
        amount = amounts[draw]
        if axis.scale == "quantile":
            return _quantiles(amount, axis.levels)
        falling = -np.sort(-amount)
        reached = np.cumsum(falling)
        if not reached[-1] > 0:
            raise InputError(
                f"{axis.quantity.place}: the customers' {axis.quantity.text!r} add up to {reached[-1]:.6g} in some "
                "draw, so that nobody brings a share of it. bringing(...) needs a positive sum."
            )
        first: np.ndarray = falling[
            [np.argmax(reached / reached[-1] >= level - 1e-12) for level in axis.levels]
        ]
        return first

    return np.stack(list(in_order(of_draw, range(amounts.shape[0]), threads=threads)), axis=1)
