"""Reading a posterior: which family it is, in which unit, and its draws as plain arrays.

A posterior is the DataTree of ``clv.fit``. Only its root attributes and the family's own parameters in
its ``posterior`` group are used, so one saved, reloaded or built by hand serves as well.
"""

import json
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Literal

import numpy as np
import xarray as xr

from bayes_clv.distributions import family as family_formulas
from bayes_clv.schema import CHAIN, DRAW, UNSTATED, InputError

Kind = Literal["buying", "spending", "opportunities", "contracts"]

# Futures simulated from a posterior of one draw (method="mode"): enough for its 5 and 95 % quantiles.
POINT_FUTURES = 1000

# What a family must be fitted to (its KIND) to serve a purpose, and the verbs that forecast from each.
_SERVES = {
    "buying": "purchases",
    "spending": "spend",
    "opportunities": "opportunities",
    "contracts": "contracts",
}
_VERBS = {
    "purchases": "clv.predict and clv.expected_purchases",
    "spend": "clv.predict_value",
    "opportunities": "clv.predict_opportunities and clv.expected_opportunities",
    "contracts": "clv.predict_renewals, clv.renewal_curve and clv.residual_lifetime",
}


@dataclass(frozen=True)
class Parameters:
    """The draws of one posterior: ``values`` maps each parameter to (chain × draw,) in that order."""

    family: str
    formulas: ModuleType
    values: dict[str, np.ndarray]
    chains: np.ndarray
    draws: np.ndarray

    @property
    def size(self) -> int:
        """Return the number of draws of all chains."""
        return self.chains.size * self.draws.size

    def thin(self, draws: int) -> "Parameters":
        """Return at most about ``draws`` draws, evenly spaced within each chain, at least one a chain."""
        length = self.draws.size
        kept = max(1, draws // self.chains.size)
        if kept >= length:
            return self
        index = np.arange(kept) * length // kept
        shape = (self.chains.size, length)
        values = {name: value.reshape(shape)[:, index].ravel() for name, value in self.values.items()}
        return replace(self, values=values, draws=self.draws[index])

    def repeated(self) -> "Parameters":
        """Return a point as POINT_FUTURES equal draws, so that a customer's futures still differ by chance."""
        if self.size > 1:
            return self
        values = {name: np.repeat(value, POINT_FUTURES) for name, value in self.values.items()}
        return replace(self, values=values, draws=np.arange(POINT_FUTURES))

    def unstack(self, per_draw: np.ndarray, *dims: str) -> tuple[tuple[str, ...], np.ndarray]:
        """Return an array whose first axis is the draws as (chain, draw, ...) with its dimensions."""
        shape = (self.chains.size, self.draws.size, *per_draw.shape[1:])
        return (CHAIN, DRAW, *dims), per_draw.reshape(shape)

    def coords(self) -> dict[str, np.ndarray]:
        """Return the chain and draw labels."""
        return {CHAIN: self.chains, DRAW: self.draws}


def check_posterior(tree: xr.DataTree, kind: Kind) -> ModuleType:
    """Return the formulas of the posterior's family, after checking that it serves ``kind``.

    Parameters
    ----------
    tree
        A posterior as ``clv.fit`` returns it.
    kind
        ``"buying"`` (purchases and dropout), ``"spending"`` (spend of an occasion), ``"opportunities"`` (purchases
        at discrete opportunities) or ``"contracts"``.

    Raises
    ------
    InputError
        Not a posterior, an unknown family, a family of the other kind, or parameters missing.
    """
    family = getattr(tree, "attrs", {}).get("family")
    if not isinstance(tree, xr.DataTree) or not isinstance(family, str) or "posterior" not in tree.children:
        raise InputError(
            f"The {kind} posterior must be a DataTree with a 'posterior' group and the attribute 'family', "
            f"as clv.fit returns it; got {type(tree).__name__}."
        )
    formulas = family_formulas(family)
    fitted, wanted = formulas.KIND, _SERVES[kind]
    if fitted != wanted and not {fitted, wanted} <= {"purchases", "spend"}:
        raise InputError(
            f"The {kind} posterior is of family {family!r}, which is fitted to {fitted}: forecast from it with "
            f"{_VERBS[fitted]}."
        )
    if fitted != wanted:
        other = "spending" if kind == "buying" else "buying"
        raise InputError(
            f"The {kind} posterior is of family {family!r}, which models {other}. "
            "Were the buying posterior (of bg_nbd) and the spending posterior (of gamma_gamma) exchanged?"
        )
    missing = [p for p in formulas.PARAMETERS if p not in tree["posterior"].data_vars]
    if missing:
        raise InputError(f"The {family} posterior lacks {', '.join(missing)}; it was not written by clv.fit.")
    return formulas


def parameters(tree: xr.DataTree, kind: Kind) -> Parameters:
    """Return the posterior's draws after :func:`check_posterior`; non-finite draws are refused."""
    formulas = check_posterior(tree, kind)
    family = str(tree.attrs["family"])
    group = tree["posterior"].dataset
    values = {}
    for name in formulas.PARAMETERS:
        drawn = group[name]
        if set(drawn.dims) != {CHAIN, DRAW}:
            raise InputError(
                f"{name} of the {family} posterior has dimensions {drawn.dims}; this version predicts from "
                "population parameters, with dimensions chain and draw."
            )
        flat = np.asarray(drawn.transpose(CHAIN, DRAW).values, dtype=float).ravel()
        bad = ~(np.isfinite(flat) & (flat > 0))
        if bad.any():
            raise InputError(
                f"{name} of the {family} posterior has {bad.sum()} of {flat.size} draws that are not "
                f"positive and finite, such as {flat[bad][0]!r}. Check the fit's diagnostics."
            )
        values[name] = flat
    labels = {
        dim: np.asarray(group[dim].values) if dim in group.coords else np.arange(group.sizes[dim])
        for dim in (CHAIN, DRAW)
    }
    return Parameters(family, formulas, values, labels[CHAIN], labels[DRAW])


def shared_time_unit(tree: xr.DataTree, customers: xr.Dataset) -> str:
    """Return the time unit of posterior and customers; two different ones are refused."""
    fitted = str(tree.attrs.get("time_unit", UNSTATED))
    observed = str(customers.attrs.get("time_unit", UNSTATED))
    if fitted != observed:
        raise InputError(
            f"The posterior's time unit is {fitted!r} and the customers' is {observed!r}: rates would be "
            f"read in the wrong unit. Summarise the orders with time_unit={fitted!r}, or fit on "
            "these customers."
        )
    return observed


def problems(*trees: xr.DataTree) -> list[str]:
    """Return what the diagnostics of the fits found wrong, each sentence with its family."""
    found = []
    for tree in trees:
        diagnostics = json.loads(str(tree.attrs.get("diagnostics", "{}")))
        found += [f"{tree.attrs['family']}: {problem}" for problem in diagnostics.get("problems", [])]
    return found


def paired(spending: Parameters, draws: int) -> dict[str, np.ndarray]:
    """Return the spending parameters of each of ``draws`` buying draws.

    The two posteriors are independent, so that any pairing is a draw of both. Equal numbers are paired
    in order; more spending draws are thinned evenly, fewer are repeated in turn.
    """
    order = np.arange(draws)
    index = order * spending.size // draws if spending.size >= draws else order % spending.size
    return {name: value[index] for name, value in spending.values.items()}
