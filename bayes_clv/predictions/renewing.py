"""Contracts to come: survival and retention beyond the data, residual lifetimes, and how many will be left.

Curves and residual lifetimes are closed forms per posterior draw: their spread is the uncertainty of an average (level
*expected*). How many of a given number will be left also varies by chance (level *outcome*): given a draw, customers
of one tenure are alike and independent, so those who make each renewal are Binomial out of those who came to it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.contracts import check_contracts
from bayes_clv.predictions.inputs import (
    labels_of,
    problems,
    refuse_other_end,
    shared_time_unit,
    whole_number,
)
from bayes_clv.predictions.parameters import Parameters, new_customers, parameters
from bayes_clv.predictions.tiles import MAX_MEMORY, refuse_too_large
from bayes_clv.schema import CUSTOMER, PERIOD, QUANTILES, VARIABLES, InputError, Variable, describe

TENURE = "tenure"
SEGMENT = "segment"
_OWN = {
    "survival": Variable("probability of making all renewals up to this one", "probability", "expected"),
    "survivors_total": VARIABLES["survivors"],
    "survivors_by": VARIABLES["survivors"],
    PERIOD: Variable("renewal ahead, from 1", PERIOD),
    TENURE: Variable("renewals already made", "count"),
}


def renewals(
    posterior: xr.DataTree,
    periods: int,
    *,
    tenure: int | Sequence[int] = 0,
    profile: Mapping[str, Any] | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.Dataset:
    """Return survival and retention at each of the next renewals, for each posterior draw.

    Parameters
    ----------
    posterior
        A posterior of ``clv.fit("shifted_beta_geometric" | "beta_discrete_weibull", ...)``.
    periods
        How many renewals ahead, a whole number from 1; they may lie far beyond the data.
    tenure
        Renewals already made by a customer still under contract; 0 is a new customer, and so a new cohort.
        Several may be given.
    profile
        What the customers are, where the fit had covariates or groups: a value of every column that it used,
        ``{"cohort": "2024"}``. A group that the fit has not seen is allowed.
    max_memory
        Bytes above which the result is refused.

    Returns
    -------
    xarray.Dataset
        Over (chain, draw, tenure, period), ``period`` counting the renewals ahead from 1, at the expected level:
        ``survival``, the probability of making all renewals up to this one, and ``retention_rate``, the share of those
        who came to it who make it.

    Raises
    ------
    InputError
        A posterior of another kind, a number that is not whole, or a result that does not fit.

    Examples
    --------
    >>> curve = renewals(renewing, 12, tenure=[0, 7])
    >>> curve["retention_rate"].dims
    ('chain', 'draw', 'tenure', 'period')
    """
    ahead = whole_number(periods, "periods")
    (drawn,) = new_customers(profile or {}, parameters(posterior, "contracts", calendar=True).until(ahead))
    made = _checked_tenures(tenure)
    refuse_too_large(
        2 * drawn.size * made.size * ahead,
        max_memory,
        what=f"{ahead:,} renewals of {made.size:,} tenures and {drawn.size:,} draws",
        instead="Ask for fewer renewals or tenures.",
    )
    step = np.arange(1, ahead + 1)
    history = _about_to_renew(made[:, None])
    survival = drawn.renewals.survival(step, history, drawn.values).T
    if drawn.renewals.next_retention is None:
        rate = np.moveaxis(drawn.renewals.retention(made[:, None] + step, drawn.values), -1, 0)
    else:
        rate = drawn.renewals.next_retention(step, history, drawn.values).T
    dataset = xr.Dataset(
        {
            "survival": drawn.unstack(survival, TENURE, PERIOD),
            "retention_rate": drawn.unstack(rate, TENURE, PERIOD),
        },
        {**drawn.coords(), TENURE: made, PERIOD: step},
        {"time_unit": PERIOD, "family": drawn.family.name, "problems": problems(posterior)},
    )
    return describe(dataset, _OWN)


def residual_renewals(
    posterior: xr.DataTree,
    discount_rate: float,
    *,
    tenure: int | Sequence[int] = 0,
    profile: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Return the discounted expected residual lifetime (DERL) of customers about to renew, for each draw.

    Fader & Hardie (2010), Customer-Base Valuation in a Contractual Setting: all renewals still to come, the one now due
    worth its probability and each later one discounted by the periods until it. Times the margin of a period it is
    residual value; divide by 1 + discount_rate where the next renewal is a period away.

    Parameters
    ----------
    posterior, tenure, profile
        As in :func:`renewals`.
    discount_rate
        Rate per period: 0.10 for 10 % where periods are years. 0 is allowed, and DERL is then infinite where churn
        falls too slowly to zero (alpha <= 1 in the shifted-beta-geometric).

    Returns
    -------
    xarray.DataArray
        ``residual_lifetime`` (chain, draw, tenure), a count of renewals at the expected level; ``attrs["reasons"]``, a
        list of sentences, says where and why it is infinite.

    Raises
    ------
    InputError
        A posterior of another kind, a negative rate, or a tenure that is not whole.

    Examples
    --------
    >>> lifetime = residual_renewals(renewing, 0.1, tenure=[0, 7])
    >>> bool((lifetime.sel(tenure=7) > lifetime.sel(tenure=0)).all())
    True
    """
    (drawn,) = new_customers(profile or {}, parameters(posterior, "contracts"))
    if isinstance(discount_rate, bool) or not 0 <= float(discount_rate) < math.inf:
        raise InputError(
            f"discount_rate must be a finite number from 0, per period: 0.10 means 10 %. It is {discount_rate!r}."
        )
    made = _checked_tenures(tenure)
    # With a calendar, which has none, parameters are refused.
    assert drawn.renewals.discounted is not None
    found = drawn.renewals.discounted(float(discount_rate), _about_to_renew(made[:, None]), drawn.values).T
    dataset = xr.Dataset(
        {"residual_lifetime": drawn.unstack(found, TENURE)},
        {**drawn.coords(), TENURE: made},
        {"time_unit": PERIOD},
    )
    result = describe(dataset, _OWN)["residual_lifetime"]
    infinite = int(np.isinf(found).any(axis=1).sum())
    reasons = []
    if infinite:
        reasons.append(
            f"Infinite in {infinite} of {drawn.size} draws: without discount the renewals still to come have no finite "
            "mean where some customers hardly ever leave. Give a discount rate, or a number of periods with "
            "clv.expected.renewals."
        )
    result.attrs |= {
        "discount_rate": float(discount_rate),
        "family": drawn.family.name,
        "reasons": reasons,
        "problems": problems(posterior),
    }
    return result


def predict_renewals(
    posterior: xr.DataTree,
    contracts: xr.Dataset | int,
    periods: int,
    *,
    seed: int,
    by: Any = None,
    profile: Mapping[str, Any] | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.Dataset:
    """Return how many customers will be left after each of the next renewals, as a predictive distribution.

    Parameters
    ----------
    posterior
        As in :func:`renewals`.
    contracts
        Contracts as ``clv.customers.from_contracts`` or ``clv.customers.from_survivors`` returns them, of which the
        active ones are followed; or a whole number, the size of a new cohort. Where the fit had covariates or groups
        the contracts have the same columns (``clv.with_columns``); a new group is allowed.
    periods
        How many renewals ahead.
    seed
        Seed of the simulation.
    by
        A label for each row of ``contracts``, as in ``clv.expected.retention``: ``"cohort"``, or labels by id.
    profile
        What the customers of a new cohort are, as in :func:`renewals`.
    max_memory
        Bytes above which the result is refused.

    Returns
    -------
    xarray.Dataset
        Of the outcome: ``survivors_total`` (chain, draw, period), and over ``period`` its ``survivors_mean``, ``_sd``,
        ``_q05``, ``_q25``, ``_q50``, ``_q75``, ``_q95``; with ``by`` also ``survivors_by`` (chain, draw, segment,
        period). ``attrs["contracts"]`` is how many are followed.

    Raises
    ------
    InputError
        A posterior of another kind, an impossible history, no active contract, a number that is not whole.

    Examples
    --------
    >>> left = predict_renewals(renewing, contracts, 5, seed=2)
    >>> bool((left["survivors_q05"] <= left["survivors_q95"]).all() and (left["survivors_q95"] <= 491).all())
    True
    """
    ahead = whole_number(periods, "periods")
    drawn = parameters(posterior, "contracts", calendar=True).repeated().until(ahead)
    if isinstance(contracts, xr.Dataset):
        check_contracts(contracts)
        refuse_other_end(drawn, contracts)
        shared_time_unit(posterior, contracts)
        if profile is not None:
            raise InputError(
                "These contracts have columns of their own: leave out 'profile', which is for a new cohort."
            )
        drawn = drawn.of(contracts)
        names, groups = _active_groups(contracts, by, drawn)
    else:
        if by is not None:
            raise InputError("A new cohort given by its size has no labels: leave out 'by'.")
        names, groups = (
            np.array([""]),
            [(0, 0, 0, whole_number(contracts, "contracts, the size of a new cohort,"))],
        )
        (drawn,) = new_customers(profile or {}, drawn)
    refuse_too_large(
        (names.size + 1) * drawn.size * ahead,
        max_memory,
        what=f"{ahead:,} renewals of {names.size:,} segments and {drawn.size:,} draws",
        instead="Ask for fewer renewals or segments.",
    )
    left = _survivors(drawn, groups, names.size, ahead, np.random.default_rng(seed))
    total = left.sum(axis=1)
    data: dict[str, Any] = {
        "survivors_total": drawn.unstack(total, PERIOD),
        "survivors_mean": (PERIOD, total.mean(axis=0)),
        "survivors_sd": (PERIOD, total.std(axis=0)),
    }
    for q in QUANTILES:
        data[f"survivors_q{round(100 * q):02d}"] = (
            PERIOD,
            np.quantile(total, q, axis=0, method="inverted_cdf").astype(float),
        )
    coords: dict[str, Any] = {**drawn.coords(), PERIOD: np.arange(1, ahead + 1)}
    if by is not None:
        data["survivors_by"] = drawn.unstack(left, SEGMENT, PERIOD)
        coords[SEGMENT] = names
    attributes = {
        "time_unit": PERIOD,
        "horizon": ahead,
        "seed": int(seed),
        "draws": drawn.size,
        "contracts": sum(count for *_, count in groups),
        "family": drawn.family.name,
        "level": "outcome",
        "problems": problems(posterior),
    }
    return describe(xr.Dataset(data, coords, attributes), _OWN)


# Customers who are alike: their segment, profile and tenure, and how many they are.
type Alike = tuple[int, int, int, int]


def _active_groups(contracts: xr.Dataset, by: Any, drawn: Parameters) -> tuple[np.ndarray, list[Alike]]:
    """Return the segments, and of the active contracts those who are alike, sorted."""
    labels = np.full(contracts.sizes[CUSTOMER], "") if by is None else labels_of(contracts, by)
    names, segment = np.unique(labels, return_inverse=True)
    count = np.asarray(
        contracts["count"].values if "count" in contracts else np.ones(labels.size), dtype=np.int64
    )
    active = np.asarray(contracts["active"].values) == 1
    if not active.any():
        raise InputError(
            f"None of the {int(count.sum())} contracts is active, so none can be renewed. For a new cohort give its "
            "size, such as contracts=1000."
        )
    profile = np.zeros(labels.size, dtype=np.int64) if drawn.profiles is None else drawn.profiles.index
    tenures = np.asarray(contracts["renewals"].values)
    together: dict[tuple[int, int, int], int] = {}
    for s, own, tenure, size in zip(
        segment[active], profile[active], tenures[active], count[active], strict=True
    ):
        key = (int(s), int(own), int(tenure))
        together[key] = together.get(key, 0) + int(size)
    return names, [(*key, together[key]) for key in sorted(together)]


def _survivors(
    drawn: Parameters, groups: list[Alike], segments: int, ahead: int, rng: np.random.Generator
) -> np.ndarray:
    """Return simulated survivors (draw, segment, renewal) of groups of customers who are alike."""
    left = np.zeros((drawn.size, segments, ahead), dtype=np.int64)
    found: dict[int, dict[str, np.ndarray]] = {}
    for segment, profile, tenure, count in groups:
        here = np.full(drawn.size, count)
        if profile not in found:
            found[profile] = drawn.of_profile(profile)
        moved = drawn.renewals.next_retention
        rates = None
        if moved is not None:
            rates = moved(np.arange(1, ahead + 1), _about_to_renew(np.array(tenure)), found[profile])
        for k in range(ahead):
            rate = drawn.renewals.retention(tenure + k + 1, found[profile]) if rates is None else rates[k]
            here = rng.binomial(here, np.clip(rate, 0.0, 1.0))
            left[:, segment, k] += here
    return left


def _about_to_renew(made: np.ndarray) -> dict[str, np.ndarray]:
    """Return the history of customers under contract who have made so many renewals."""
    return {"renewals": made.astype(float), "active": np.ones(made.shape)}


def _checked_tenures(tenure: int | Sequence[int]) -> np.ndarray:
    made = np.atleast_1d(np.asarray(tenure))
    if made.ndim != 1 or made.size == 0 or made.dtype.kind not in "iu" or (made < 0).any():
        raise InputError(
            f"tenure counts renewals already made, whole numbers from 0, such as 0 or [0, 1, 5]; it is {tenure!r}."
        )
    return made.astype(np.int64)
