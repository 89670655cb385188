"""What a test of a lever is worth, before a scenario is chosen: perfect information on it, and a sample's.

Who does not know by how much a price rise costs purchases can find out: try it on some, and choose then. A test that
says x of a lever L, with a standard error e, is worth

    E[max(0, E[difference | x])] - max(0, E[difference])

of the scenario's difference of value to the base (Raiffa & Schlaifer 1961, Applied Statistical Decision Theory; of
draws, Strong, Oakley & Brennan 2014, Medical Decision Making 34). E[difference | L] is a cubic in L, fitted to the
draws by least squares, so that the chance of single futures, which no test of the lever takes away, is averaged out;
given x it is averaged over the draws of L by how well they go with x. e = 0 is perfect information on the lever, and
no test of it can be worth more; what all that is not known is worth to know is the ``value_of_perfect_information`` of
``compare_scenarios``, which is at least as much.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import InputError, Variable, describe
from bayes_clv.valuation.assumptions import generator
from bayes_clv.valuation.scenarios import World, attrs_of
from bayes_clv.valuation.stated import Scenario

ERROR = "error"
DEGREE = 3
# Results of a test that are simulated for each draw of the lever, and parts of the draws by which the error is told.
RESULTS, PARTS = 4, 10
# Draws that go with a result, at once.
_BLOCK = 256
_OWN = {
    "worth": Variable("what the test is worth before the scenario is chosen", "money", "outcome"),
    "worth_error": Variable("standard error of it by simulation", "money"),
    "probability_changes": Variable("P(the choice after the test is another)", "probability", "outcome"),
}


def value_of_information(
    simulation: Any,
    scenario: Scenario,
    lever: str,
    error: float | Sequence[float] = 0.0,
    *,
    base: Scenario | None = None,
    profile: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return what it is worth to learn of a lever before a scenario is chosen or left.

    Parameters
    ----------
    simulation, base, profile, threads
        As in ``clv.valuation.compare_scenarios``.
    scenario
        The scenario that would be chosen, or not; it states the lever with a distribution.
    lever
        What a test says something of, such as ``"purchase_rate"``.
    error
        Standard error of what the test says, or several: an amount where the lever is set to one, a share (0.02 is two
        per cent points) where it is a change. 0 is to know the lever.

    Returns
    -------
    xarray.Dataset
        Over ``error``: ``worth``, money, what the test is worth before its own cost; ``worth_error``, its standard
        error by simulation; ``probability_changes``, how probably the choice is another after the test.
        ``attrs["perfect"]`` is what knowing everything would be worth, the future included.

    Raises
    ------
    InputError
        As ``compare_scenarios``; a lever that the scenario does not state or states without a distribution, and a
        negative error.

    Examples
    --------
    >>> from scipy import stats
    >>> simulation = clv.simulate(buying, customers, spending=spending, margin=0.3, draws=200, seed=1)
    >>> unsure = clv.valuation.relative(stats.norm(-0.10, 0.06))
    >>> dearer = clv.valuation.scenario("Dearer", price="+3 %", purchase_rate=unsure)
    >>> found = value_of_information(simulation, dearer, "purchase_rate", [0.0, 0.05])
    >>> bool(0 <= found["worth"][1] <= found["worth"][0] <= found.attrs["perfect"])
    True
    """
    return learned(World.of(simulation, base, profile, threads), scenario, lever, error)


def learned(world: World, scenario: Scenario, lever: str, error: float | Sequence[float] = 0.0) -> xr.Dataset:
    """Return what ``value_of_information`` does, of a world that is there already."""
    place = scenario.place or f"Scenario {scenario.name!r}"
    stated = scenario.levers.get(lever)
    if stated is None or stated.certain:
        unsure = [name for name, each in scenario.levers.items() if not each.certain]
        instead = f" It is unsure of {', '.join(unsure)}." if unsure else " It is sure of all that it states."
        raise InputError(
            f"{place}: nothing is to be learned of {lever!r}, which the scenario "
            f"{'does not state' if stated is None else 'states as one number'}.{instead} State it with a distribution."
        )
    errors = np.atleast_1d(np.asarray(error, dtype=float))
    if errors.ndim != 1 or not (np.isfinite(errors) & (errors >= 0)).all():
        raise InputError(f"error={error!r} must be a standard error of what a test says, from 0, or several.")
    settled = world.settle(scenario)
    (before, after) = world.totals([world.base, settled])
    difference = after["value"] - before["value"]
    known = settled.levers[lever]
    if stated.relative:
        known = known / world.base.levers[lever] - 1
    rng = generator(world.simulation.seed, "information", scenario.name, lever)
    noise = rng.standard_normal((RESULTS, known.size))
    found = np.array([_worths(difference, known, each, noise) for each in errors.tolist()])
    attrs = attrs_of(world) | {
        "result": "information",
        "scenario": scenario.name,
        "lever": lever,
        "relative": int(stated.relative),
        "perfect": float(np.maximum(difference, 0).mean() - max(0.0, difference.mean())),
    }
    data = {name: (ERROR, found[:, i]) for i, name in enumerate(_OWN)}
    return describe(xr.Dataset(data, {ERROR: errors}, attrs), _OWN)


def _worths(
    difference: np.ndarray, known: np.ndarray, error: float, noise: np.ndarray
) -> tuple[float, float, float]:
    """Return what a test is worth, the standard error of that, and how probably it changes the choice."""
    worth, changes = worth_of(difference, known, error, noise)
    if difference.size < 2 * PARTS:
        return worth, math.nan, changes
    part = np.arange(difference.size) % PARTS
    left = [
        worth_of(difference[part != k], known[part != k], error, noise[:, part != k])[0] for k in range(PARTS)
    ]
    return worth, math.sqrt((PARTS - 1) / PARTS * np.sum((np.array(left) - np.mean(left)) ** 2)), changes


def worth_of(
    difference: np.ndarray, known: np.ndarray, error: float, noise: np.ndarray
) -> tuple[float, float]:
    """Return what a test is worth and how probably it changes the choice; all are (draw,), ``noise`` (result, draw)."""
    spread = known.std()
    if spread == 0:
        return 0.0, 0.0
    scaled = (known - known.mean()) / spread
    expected = np.polynomial.Polynomial.fit(scaled, difference, min(DEGREE, known.size - 1))(scaled)
    if error > 0:
        expected = _given_results(expected, scaled, error / spread, noise)
    # The mean of what is expected is the mean of the draws, so that no test is worth less than nothing.
    mean = float(expected.mean())
    worth = float(np.maximum(expected, 0).mean()) - max(0.0, mean)
    return max(0.0, worth), float(((expected > 0) != (mean > 0)).mean())


def _given_results(expected: np.ndarray, known: np.ndarray, error: float, noise: np.ndarray) -> np.ndarray:
    """Return E[difference | x] of each simulated result x of the test."""
    results = (known + error * noise).ravel()
    found = np.empty(results.size)
    for start in range(0, results.size, _BLOCK):
        block = results[start : start + _BLOCK]
        exponent = -0.5 * ((block[:, None] - known) / error) ** 2
        weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        found[start : start + _BLOCK] = weight @ expected / weight.sum(axis=1)
    return found
