"""Which model predicts customers it has not seen better: PSIS-LOO on distinct histories with counts.

The pointwise log-likelihood has one column a distinct history, which all customers who share it have, so that
Pareto-smoothed importance sampling is done once a history. A customer is left out, not a history: elpd is the
count-weighted sum, and its standard error that of the customers, for which each history's value is repeated by its
count. No array of customers × draws is made; ArviZ does the rest (``az.loo``, ``az.compare``).

A difference of elpd compares log densities of the same data. Families of repeat purchases all state the density of
the ordered purchase times; a spend, an opportunity or a contract is another kind of observation, and the density
of a mean spend is none of single spends.

With a calendar a customer is left out given g of the periods, which is learned of all others: what is compared is how
well the past of one more customer is told, and not the calendar's future (``clv.scoring.rolling_origins``).

Stacking takes exponentials of elpd, which vanish for a customer with hundreds of purchases. ArviZ is therefore
given each customer's elpd less the largest among the models: weights and differences are the same, and elpd and
its standard error are those of the customers themselves.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.families.contract import Family, SpendLevel
from bayes_clv.families.registry import family as find_family
from bayes_clv.schema import CUSTOMER, UNSTATED, InputError

if TYPE_CHECKING:
    import pandas as pd

KINDS = {
    "purchases": "times of repeat purchases",
    "spend": "amounts spent",
    "opportunities": "purchases at given opportunities",
    "contracts": "renewals of contracts",
}


# Below the first the standard error itself cannot be trusted (Sivula, Magnusson & Vehtari 2020), below the second the
# order may be chance.
LEAST_NATS, LEAST_ERRORS = 4.0, 2.0
UNDECIDED = "undecided"
# Of what a spend family's likelihood is the density where it is of single amounts.
EVERY_AMOUNT = "every occasion's spend"
# Log densities that differ by less among the draws, in nats, are one number and its rounding.
SILENT = 1e-10


@dataclass(frozen=True)
class _Rows:
    """What one posterior says of its distinct histories; arrays over ``row``."""

    family: str
    columns: dict[str, np.ndarray]
    count: np.ndarray
    elpd: np.ndarray
    effective: np.ndarray
    pareto_k: np.ndarray
    good_k: float
    draws: int


def loo(posterior: xr.DataTree) -> Any:
    """Return the expected log predictive density of customers left out one at a time (PSIS-LOO).

    Parameters
    ----------
    posterior : xarray.DataTree
        Of ``fit(..., include=("log_likelihood",))``.

    Returns
    -------
    arviz_stats.utils.ELPDDataLOO
        As ``az.loo`` of a tree with one column a customer would return it, to rounding: ``elpd`` and ``se``
        (nats), ``p`` (effective parameters), ``elpd_i`` and ``pareto_k`` over ``customer``, sorted by history.
        ``az.compare`` takes it.

    Raises
    ------
    InputError
        A posterior of one draw, or without pointwise log-likelihood.

    Notes
    -----
    Vehtari, Gelman & Gabry (2017), Statistics and Computing 27(5). A Pareto k above ``good_k`` says that leaving
    this customer out changes the posterior too much for the estimate to be trusted.

    Examples
    --------
    >>> round(loo(buying).elpd / 2357, 2)
    -4.07
    """
    rows = _rows(posterior, "the posterior")
    return _of_customers(rows, np.arange(rows.count.size), rows.count)


def compare(posteriors: Mapping[str, xr.DataTree], *, method: str = "stacking") -> "pd.DataFrame":
    """Return which of several models of the same customers predicts left-out customers best.

    Parameters
    ----------
    posteriors : mapping of str to xarray.DataTree
        Two or more posteriors of ``fit(..., include=("log_likelihood",))``, of the same customers in the same
        time unit.
    method : str
        Of the weights, as ``az.compare`` names it.

    Returns
    -------
    pandas.DataFrame
        ArviZ's table, best first: ``rank``, ``elpd_diff`` to the best (nats) with its standard error ``dse`` over
        customers, ``p_worse``, ``diag_diff``, ``diag_elpd``, ``p``, ``elpd``, ``se``, ``weight``. Beside it
        ``customers``, ``high_k_customers`` (customers whose Pareto k is above its threshold) and ``advice``, a
        sentence where there are any. ``verdict`` says what the rank is worth: "worse" of a model whose difference to
        the first is at least 4 nats and at least two ``dse``, else "undecided"; the first is "best" where all others
        are worse, and else "undecided" too.

    Raises
    ------
    InputError
        Fewer than two posteriors, other customers, another time unit, another kind of observation, a posterior of
        one draw or without pointwise log-likelihood; each says why, and what to do.

    Notes
    -----
    The models need not observe the same columns: NBD does not look at recency. Their rows are then matched by the
    columns that both have.

    Examples
    --------
    >>> alike = clv.fit("bg_nbd", customers, method="laplace", draws=50, seed=1, include=("log_likelihood",),
    ...                 priors={"r": clv.Prior("LogNormal", mu=1, sigma=0.1)})
    >>> compare({"alike": alike, "different": buying}).index[0]
    'different'
    """
    import arviz as az

    if not isinstance(posteriors, Mapping):
        raise InputError(
            f"Posteriors to compare come as a dict by name, such as {{'bg_nbd': one, 'mbg_nbd': other}}, not as "
            f"a {type(posteriors).__name__}."
        )
    if len(posteriors) < 2:
        raise InputError(
            "A comparison needs two posteriors or more: compare({'bg_nbd': ..., 'another': ...})."
        )
    _refuse_other_data(posteriors)
    rows = {name: _rows(tree, name) for name, tree in posteriors.items()}
    finest = max(rows, key=lambda name: len(rows[name].columns))
    places = {name: _places(finest, rows[finest], name, each) for name, each in rows.items()}
    best = np.max([each.elpd[places[name]] for name, each in rows.items()], axis=0)
    found = {}
    for name, each in rows.items():
        found[name] = _of_customers(each, places[name], rows[finest].count, less=best)
    table: pd.DataFrame = az.compare(found, method=method, round_to="none")
    counts = {name: _high_k(each) for name, each in rows.items()}
    table["customers"] = int(rows[finest].count.sum())
    table["high_k_customers"] = [counts[str(name)] for name in table.index]
    table["advice"] = [_advice(rows[str(name)]) for name in table.index]
    table["verdict"] = _verdicts(table["elpd_diff"].to_numpy(), table["dse"].to_numpy())
    return table


def _verdicts(difference: np.ndarray, error: np.ndarray) -> list[str]:
    """Return what each place in the table, best first, is worth."""
    worse = np.abs(difference[1:]) >= np.maximum(LEAST_NATS, LEAST_ERRORS * error[1:])
    first = "best" if worse.all() else UNDECIDED
    return [first, *("worse" if each else UNDECIDED for each in worse)]


def _density(family: Family, calendar: bool) -> str:
    """Return of what a spend family's likelihood is the density; of other families' it is clear from their kind."""
    if not isinstance(family.forecast, SpendLevel):
        return ""
    # A calendar changes each amount by its period, so that no mean tells them (``ledger``).
    return EVERY_AMOUNT if calendar else family.forecast.density


def _refuse_other_data(posteriors: Mapping[str, xr.DataTree]) -> None:
    """Refuse posteriors whose log densities are not of one kind of data in one unit."""
    records = {name: find_family(str(tree.attrs["family"])) for name, tree in posteriors.items()}
    first, *others = records
    for name in others:
        kinds = records[first].kind, records[name].kind
        if kinds[0] != kinds[1]:
            raise InputError(
                f"{first} is a model of {KINDS.get(kinds[0], kinds[0])} and {name} of {KINDS.get(kinds[1], kinds[1])}: "
                "their log densities are of different data, and the difference of two such numbers says nothing "
                "about either model. Compare models of one kind with one another."
            )
        of = [_density(records[each], "calendar" in posteriors[each].attrs) for each in (first, name)]
        if of[0] != of[1]:
            raise InputError(
                f"The likelihood of {first} is the density of {of[0] or 'its own data'}, that of {name} of "
                f"{of[1] or 'its own data'}: the difference of their logarithms says nothing. Compare their forecasts "
                "of a holdout: clv.evaluate({...}, ...)."
            )
        units = [str(posteriors[each].attrs.get("time_unit", UNSTATED)) for each in (first, name)]
        if units[0] != units[1]:
            raise InputError(
                f"{first} was fitted in {units[0]}s and {name} in {units[1]}s: a density per {units[0]} and one per "
                f"{units[1]} differ by the unit alone. Fit both on the same customers."
            )


def _rows(tree: xr.DataTree, name: str) -> _Rows:
    """Return PSIS-LOO of each distinct history."""
    import arviz as az
    from scipy.special import logsumexp

    draws = int(np.prod([tree["posterior"].sizes[dim] for dim in ("chain", "draw")]))
    if draws < 2:
        raise InputError(
            f"{name} is a point (method='mode'): the predictive density is an average over posterior draws, of "
            "which there is one. Fit with method='nuts' or 'laplace'."
        )
    if "log_likelihood" not in tree.children or "observed_data" not in tree.children:
        raise InputError(
            f"{name} has no pointwise log-likelihood, which leaving customers out needs. Fit it with "
            "include=('log_likelihood',)."
        )
    observed = tree["observed_data"].dataset
    values = tree["log_likelihood"].dataset
    pointwise = next(iter(values.data_vars.values())).transpose("chain", "draw", "row").to_numpy()
    pointwise = pointwise.reshape(draws, -1)
    log_mean = logsumexp(pointwise, axis=0) - np.log(draws)
    # Who came on the last day says nothing: the same in every draw, to rounding, with no tail to smooth.
    told = np.flatnonzero(np.ptp(pointwise, axis=0) > SILENT)
    telling = {"posterior": tree["posterior"].dataset, "log_likelihood": values.isel(row=told)}
    with warnings.catch_warnings():
        # What it warns of, a high Pareto k, is counted in customers below.
        warnings.simplefilter("ignore", UserWarning)
        found = az.loo(xr.DataTree.from_dict(telling), pointwise=True)
    elpd, pareto_k = log_mean.copy(), np.full(log_mean.size, -np.inf)
    elpd[told] = np.asarray(found.elpd_i.values, dtype=float)
    pareto_k[told] = np.asarray(found.pareto_k.values, dtype=float)
    return _Rows(
        family=str(tree.attrs["family"]),
        columns=_columns(observed),
        count=observed["count"].to_numpy().astype(np.int64),
        elpd=elpd,
        effective=log_mean - elpd,
        pareto_k=pareto_k,
        good_k=float(found.good_k),
        draws=draws,
    )


def _columns(observed: xr.Dataset) -> dict[str, np.ndarray]:
    """Return what tells the distinct histories apart, one column each."""
    columns = {}
    for name, variable in observed.data_vars.items():
        if name == "count" or variable.dims[:1] != ("row",):
            continue
        values = variable.to_numpy()
        if values.ndim == 1:
            columns[str(name)] = values
        else:
            flat = values.reshape(values.shape[0], -1)
            columns |= {f"{name} {i}": flat[:, i] for i in range(flat.shape[1])}
    return columns


def _places(finest: str, base: _Rows, name: str, other: _Rows) -> np.ndarray:
    """Return for each row of ``base`` the row of ``other`` with the same customers; others are refused."""
    absent = sorted(set(other.columns) - set(base.columns))
    if absent:
        raise InputError(
            f"{name} looks at {absent[0]!r}, which {finest} does not have, and {finest} at other columns that {name} "
            "does not have, so that customers cannot be matched. Compare each with a model that has both."
        )
    sizes = [int(each.count.sum()) for each in (base, other)]
    joint = [np.concatenate([base.columns[column], other.columns[column]]) for column in other.columns]
    codes = np.stack([np.unique(values, return_inverse=True)[1] for values in joint], axis=1)
    _, key = np.unique(codes, axis=0, return_inverse=True)
    of_base, of_other = key[: base.count.size], key[base.count.size :]
    customers = [
        np.bincount(keys, weights=each.count, minlength=int(key.max()) + 1)
        for keys, each in ((of_base, base), (of_other, other))
    ]
    different = int(np.abs(customers[0] - customers[1]).sum())
    if different:
        raise InputError(
            f"{finest} and {name} were not fitted to the same customers: {sizes[0]:,} and {sizes[1]:,} of them, with "
            f"histories that differ for {different:,} in all. elpd is a sum over customers, so models "
            "are compared on the same ones only. Fit both on one dataset."
        )
    place = np.empty(customers[0].size, dtype=np.int64)
    place[of_other] = np.arange(of_other.size)
    return place[of_base]


def _of_customers(rows: _Rows, places: np.ndarray, count: np.ndarray, less: np.ndarray | None = None) -> Any:
    """Return ArviZ's record, each history's value repeated for its customers; ``less`` is taken from elpd_i."""
    from arviz_stats.utils import ELPDDataLOO

    elpd = np.repeat(rows.elpd[places], count)
    shown = elpd if less is None else elpd - np.repeat(less, count)
    pareto_k = np.repeat(rows.pareto_k[places], count)
    return ELPDDataLOO(
        elpd=float(elpd.sum()),
        se=float(np.sqrt(elpd.size * elpd.var(ddof=1))),
        p=float(rows.effective[places] @ count),
        n_samples=rows.draws,
        n_data_points=int(elpd.size),
        scale="log",
        warning=bool(not (pareto_k <= rows.good_k).all()),
        good_k=rows.good_k,
        elpd_i=xr.DataArray(shown, dims=CUSTOMER),
        pareto_k=xr.DataArray(pareto_k, dims=CUSTOMER),
    )


def _high_k(rows: _Rows) -> int:
    return int(rows.count[~(rows.pareto_k <= rows.good_k)].sum())


def _advice(rows: _Rows) -> str:
    """Return what a high Pareto k means here and what to do; nothing where there is none."""
    customers = _high_k(rows)
    if not customers:
        return ""
    worst = int(np.argmax(rows.pareto_k))
    history = ", ".join(f"{name} {values[worst]:.6g}" for name, values in rows.columns.items())
    return (
        f"Pareto k is above {rows.good_k:.2f} for {customers:,} of {int(rows.count.sum()):,} customers (largest "
        f"{rows.pareto_k[worst]:.2f}, of {history}): leaving them out moves the posterior too far for elpd to be "
        "trusted there, and it may be too high. Look at these customers first; take more draws with method='nuts'; or "
        "compare on a holdout (clv.evaluate)."
    )
