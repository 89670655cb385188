"""Which purchase family, and whether customers change: few draws of each, held against one another by a stated rule.

**The rule.** Every family is fitted by ``laplace`` to the calibration, and to its first three quarters. (1) A family is
out whose expected log density of customers left out (PSIS-LOO, ``clv.compare``) is below the best one's by 4 nats and
two standard errors or more. (2) So is one whose forecast of the last quarter has a CRPS or a log score of "buys at all"
that is worse than another's by more than two standard errors over customers. (3) Of those left the first in the
stated order is taken: bg_nbd, mbg_nbd, pareto_nbd, which is from the fastest and best known to the one whose lifetimes
have the heaviest tails. (4) An extension (drift, returns) of that family is taken where it is better by one of the
three measures, by the same bounds, and worse by none, and where its approximation holds; of several the one whose log
density gains most. So a tie goes to what is simpler, and what the data cannot tell apart stays as the papers begin.

The last quarter says nothing where it or what comes before it has fewer than 50 repeat purchases; then (1) alone
decides. Of large bases a sample decides, drawn by the seed: drift and returns cost in proportion to purchases.

Rejected: the smallest elpd alone, which on bases where most buy once cannot tell bg_nbd from mbg_nbd though their
forecasts differ by half; and a total inside its interval, which seasons decide for all families alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.customers.sequences import PURCHASE_START, PURCHASE_TIMES, places, with_times
from bayes_clv.families.registry import CANDIDATES, EXTENSIONS, changing, has_form
from bayes_clv.inference.criticism.comparison import LEAST_ERRORS, LEAST_NATS, compare
from bayes_clv.inference.data import checked_customers
from bayes_clv.inference.fitting import fit
from bayes_clv.inference.posterior import diagnostics
from bayes_clv.language import joined, say, say_many
from bayes_clv.predictions.forecasts import predict
from bayes_clv.schema import CUSTOMER, UNSTATED, InputError
from bayes_clv.scoring.customer_scores import score
from bayes_clv.units import days_per

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("crps", "retention_log_score")
CHAINS = 4
# The last part of the calibration that is forecast, and the repeat purchases that it and the part before must hold.
LAST, LEAST_PURCHASES = 0.25, 50
# More repeat purchases or customers than these are sampled, down to no fewer customers than the last.
MOST_PURCHASES, MOST_CUSTOMERS, FEWEST_CUSTOMERS = 10_000, 20_000, 2_000

WORSE_LEFT_OUT, WORSE_LATELY = "worse for customers left out", "worse over the last quarter"
NOT_HELD, NO_BETTER = "its approximation does not hold", "no better"
MEASURES = {"elpd": "customers left out", "crps": "counts", "retention_log_score": "who buys at all"}


def choose_family(
    customers: Any,
    *,
    families: Sequence[str] = CANDIDATES,
    extensions: Sequence[str] = EXTENSIONS,
    draws: int = 100,
    seed: int,
) -> "pd.DataFrame":
    """Return which purchase family suits the customers, by customers left out and by the end of the calibration.

    Parameters
    ----------
    customers : xarray.Dataset or pandas.DataFrame
        With their purchase times, ``summarize(..., also=("purchase_times",))``. A holdout is not looked at.
    families : sequence of str
        Names to choose among, the one that a tie goes to first.
    extensions : sequence of str
        What of ``"drift"`` and ``"returns"`` is tried on the chosen one, where it has that form; none: ``()``.
    draws : int
        Of each chain of each fit by laplace (4 chains).
    seed : int
        Of fits, forecasts, and the sample of a large base.

    Returns
    -------
    pandas.DataFrame
        A row a candidate: ``against`` whom it is held; ``elpd`` (nats), ``elpd_gain`` over the other with its standard
        error ``elpd_se``, ``high_k_customers`` (see ``clv.compare``); ``crps`` and ``retention_log_score`` of the
        last quarter of the calibration (lower is better; NaN where it is too short), each with ``_gain``, by how much
        it is better a customer, and ``_se``; ``holds``, whether its approximation passed; ``verdict``, of the rule in
        ``scoring.choosing``. ``attrs``: ``family``, the name to fit, ``reason``, a sentence, ``customers`` compared,
        ``sampled`` or not, and ``last``, the length of the last quarter in the time unit, or None.

    Raises
    ------
    InputError
        Customers without purchase times, fewer than one family, and all that ``clv.fit`` refuses.

    Examples
    --------
    >>> customers = clv.summarize(orders, until="1997-09-30", also=("purchase_times",))
    >>> chosen = clv.scoring.choose_family(customers, families=["bg_nbd", "mbg_nbd"], extensions=(), seed=1)
    >>> chosen.attrs["family"]
    'bg_nbd'
    """
    if not families:
        raise InputError(f"There is no family to choose. Name some, such as families={CANDIDATES!r}.")
    dataset, sampled = _sample(_with_times(customers, families[0]), seed)
    earlier = _earlier(dataset)
    tried = {name: _tried(name, dataset, earlier, draws, seed) for name in families}
    table, base = _of_families(tried)
    chosen = base
    for extension in extensions:
        if not has_form(base, extension):
            continue
        name = changing(base, f"_{extension}")
        tried[name] = _tried(name, dataset, earlier, draws, seed)
        row = _extension(tried[base], tried[name])
        table[name] = row
        table[base]["elpd"] = row["elpd"] - row["elpd_gain"]
        gained = table[chosen]["elpd_gain"] if chosen != base else -np.inf
        if row["verdict"] == TAKEN and row["elpd_gain"] > gained:
            chosen = name
    if chosen != base:
        table[base]["verdict"] = "left for its extension"
    return _result(table, families, base, chosen, dataset, sampled, earlier)


TAKEN = "taken"


@dataclass(frozen=True)
class _Tried:
    """A candidate's fit, and its scores of each customer over the last part of the calibration."""

    name: str
    posterior: xr.DataTree
    scores: Mapping[str, np.ndarray]
    holds: bool


def _with_times(customers: Any, family: str) -> xr.Dataset:
    from bayes_clv.families.registry import family as find_family

    dataset = checked_customers(find_family(family), customers)
    if PURCHASE_TIMES not in dataset:
        raise InputError(
            "A family is chosen by the end of the calibration too, which takes each customer's purchase times, and the "
            "customers have none. Summarise the orders with summarize(..., also=('purchase_times',)), or add the "
            "column."
        )
    return dataset


def _sample(customers: xr.Dataset, seed: int) -> tuple[xr.Dataset, bool]:
    """Return so many customers as the fits can bear, drawn evenly, and whether they are fewer than all."""
    size, purchases = customers.sizes[CUSTOMER], int(customers["frequency"].sum())
    share = min(1.0, MOST_CUSTOMERS / size, MOST_PURCHASES / max(purchases, 1))
    most = max(FEWEST_CUSTOMERS, int(share * size))
    if most >= size:
        return customers, False
    drawn = np.random.default_rng([seed, 3]).choice(size, most, replace=False)
    return customers.isel({CUSTOMER: np.sort(drawn)}), True


def _earlier(customers: xr.Dataset) -> xr.Dataset | None:
    """Return the customers as they were before the last part of the calibration, which is their holdout.

    None where either part has too few repeat purchases to say anything.
    """
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    age = customers["T"].to_numpy().astype(float)
    last = LAST * float(age.max())
    if unit != UNSTATED:
        # Whole days, so that no purchase lies on the boundary by rounding.
        last = round(last * days_per(unit)) / days_per(unit)
    size = customers["frequency"].to_numpy().astype(np.int64)
    who = np.repeat(np.arange(size.size), size)
    times = customers[PURCHASE_TIMES].to_numpy()[places(customers[PURCHASE_START].to_numpy(), size)]
    before = times <= (age - last)[who] * (1 + 1e-9)
    if last <= 0 or min(before.sum(), (~before).sum()) < LEAST_PURCHASES:
        return None
    frequency = np.bincount(who[before], minlength=size.size)
    recency = np.zeros(size.size)
    np.maximum.at(recency, who[before], times[before])
    known = age - last >= -1e-9
    found = xr.Dataset(
        {
            "frequency": (CUSTOMER, frequency[known]),
            "recency": (CUSTOMER, recency[known]),
            "T": (CUSTOMER, np.maximum(age - last, recency)[known]),
            "holdout_purchases": (CUSTOMER, (size - frequency)[known]),
        },
        {CUSTOMER: customers[CUSTOMER].to_numpy()[known]},
        {"time_unit": unit, "holdout_duration": last},
    )
    return with_times(found, times[before], frequency[known])


def _tried(name: str, customers: xr.Dataset, earlier: xr.Dataset | None, draws: int, seed: int) -> _Tried:
    def fitted(to: xr.Dataset, include: tuple[str, ...] = ()) -> xr.DataTree:
        return fit(
            name, to, method="laplace", draws=draws, chains=CHAINS, seed=seed, progress=False, include=include
        )

    posterior = fitted(customers, ("log_likelihood",))
    scores: dict[str, np.ndarray] = {}
    if earlier is not None:
        before = fitted(earlier)
        future = predict(before, earlier, earlier.attrs["holdout_duration"], seed=seed)
        found = score(future, earlier, buying=before, baselines=())
        scores = {each: found[each].to_numpy()[0] for each in SCORES}
    return _Tried(name, posterior, scores, bool(diagnostics(posterior)["passed"]))


def _gain(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return by how much the first score is lower a customer, and the standard error of that."""
    gain = other - one
    return float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(gain.size))


def _better(measure: str, gain: float, error: float) -> bool:
    return gain > LEAST_ERRORS * error and (measure != "elpd" or gain >= LEAST_NATS)


def _row(one: _Tried, against: _Tried, elpd: Mapping[str, float]) -> dict[str, Any]:
    row: dict[str, Any] = {"against": against.name, **elpd}
    for name in SCORES:
        gain, error = np.nan, np.nan
        if one.scores:
            gain, error = (0.0, 0.0) if one is against else _gain(one.scores[name], against.scores[name])
        row[name] = float(one.scores[name].mean()) if one.scores else np.nan
        row[f"{name}_gain"], row[f"{name}_se"] = gain, error
    return row | {"holds": one.holds}


def _elpd(table: "pd.DataFrame", name: str) -> dict[str, float]:
    line: Mapping[Any, Any] = table.loc[name].to_dict()
    return {
        "elpd": float(line["elpd"]),
        "elpd_gain": float(line["elpd_diff"]),
        "elpd_se": float(line["dse"]),
        "high_k_customers": int(line["high_k_customers"]),
    }


def _of_families(tried: Mapping[str, _Tried]) -> tuple[dict[str, dict[str, Any]], str]:
    """Return the rows of the families, each against the best by elpd, and which of them is taken."""
    if len(tried) == 1:
        (name, only), nothing = next(iter(tried.items())), {"elpd": np.nan, "elpd_gain": 0.0, "elpd_se": 0.0}
        return {name: _row(only, only, nothing | {"high_k_customers": 0}) | {"verdict": TAKEN}}, name
    compared = compare({name: each.posterior for name, each in tried.items()})
    best = str(compared.index[0])
    table = {name: _row(each, tried[best], _elpd(compared, name)) for name, each in tried.items()}
    for row in table.values():
        row["verdict"] = "as good, and later in the order"
        if _better("elpd", -row["elpd_gain"], row["elpd_se"]):
            row["verdict"] = WORSE_LEFT_OUT
    left = [name for name in table if not table[name]["verdict"].startswith("worse")]
    beaten = [name for name in left if any(_beats(tried[other], tried[name]) for other in left)]
    if len(beaten) < len(left):
        for name in beaten:
            table[name]["verdict"] = WORSE_LATELY
        left = [name for name in left if name not in beaten]
    table[left[0]]["verdict"] = TAKEN
    return table, left[0]


def _beats(one: _Tried, other: _Tried) -> bool:
    return any(_better(name, *_gain(one.scores[name], other.scores[name])) for name in one.scores)


def _extension(base: _Tried, extended: _Tried) -> dict[str, Any]:
    """Return the row of a form of a family against the family itself."""
    compared = compare({each.name: each.posterior for each in (base, extended)})
    elpd = _elpd(compared, extended.name)
    other = _elpd(compared, base.name)
    elpd["elpd_gain"] = elpd["elpd"] - other["elpd"]
    elpd["elpd_se"] = max(elpd["elpd_se"], other["elpd_se"])
    row = _row(extended, base, elpd)
    gains = {name: (row[f"{name}_gain"], row[f"{name}_se"]) for name in MEASURES}
    better = [name for name, (gain, error) in gains.items() if _better(name, gain, error)]
    worse = [name for name, (gain, error) in gains.items() if _better(name, -gain, error)]
    if not extended.holds:
        verdict = NOT_HELD
    elif worse:
        verdict = worse_by(worse)
    else:
        verdict = TAKEN if better else NO_BETTER
    return row | {"verdict": verdict}


def _result(
    table: Mapping[str, dict[str, Any]],
    families: Sequence[str],
    base: str,
    chosen: str,
    customers: xr.Dataset,
    sampled: bool,
    earlier: xr.Dataset | None,
) -> "pd.DataFrame":
    import pandas as pd

    found: pd.DataFrame = pd.DataFrame.from_dict(dict(table), orient="index")
    found.index.name = "candidate"
    size = customers.sizes[CUSTOMER]
    found.attrs = {
        "family": chosen,
        "reason": _reason(table, families, base, size if sampled else 0, earlier),
        "customers": size,
        "sampled": sampled,
        "last": None if earlier is None else float(earlier.attrs["holdout_duration"]),
    }
    return found


def _reason(
    table: Mapping[str, dict[str, Any]],
    statics: Sequence[str],
    base: str,
    drawn: int,
    earlier: xr.Dataset | None,
) -> str:
    """Return why, in a sentence a step."""
    others = [name for name in statics if name != base]
    sentences = []
    if others:
        worse = {
            name: table[name]["verdict"] for name in others if table[name]["verdict"].startswith("worse")
        }
        parts = [
            say("{family} is worse for customers left out", family=name)
            if verdict == WORSE_LEFT_OUT
            else say("{family} is worse over the last quarter", family=name)
            for name, verdict in worse.items()
        ]
        alike = [name for name in others if name not in worse]
        if alike:
            parts.append(
                say_many(
                    "{families} does no better beyond chance",
                    "{families} do no better beyond chance",
                    len(alike),
                    families=" and ".join(alike),
                )
            )
        sentences.append(
            say(
                "{base} among {families}: {verdicts}.",
                base=base,
                families=", ".join(statics),
                verdicts=joined("{first}; {second}", parts),
            )
        )
    for name, row in table.items():
        if name not in statics:
            sentences.append(_extension_words(name, row))
    if earlier is None:
        sentences.append(say("The calibration is too short to forecast its last quarter."))
    if drawn:
        sentences.append(say("Compared on {customers:,} customers drawn for it.", customers=drawn))
    return " ".join(sentences)


def worse_by(measures: Iterable[str]) -> str:
    """Return the verdict on a form that is worse by some measures."""
    return f"worse: {', '.join(MEASURES[name] for name in measures)}"


def _extension_words(name: str, row: Mapping[str, Any]) -> str:
    """Return whether customers who change are taken, in plain words before the family's name and the measure's.

    >>> row = {"verdict": TAKEN, "elpd_gain": 12.34, "elpd_se": 3.1, "crps_gain": np.nan}
    >>> _extension_words("bg_nbd_drift", row)
    'Rates that drift (bg_nbd_drift) are taken: customers left out are told better by +12.3 ± 3.1 in log probability.'
    """
    told = {
        "family": name,
        "gain": f"{row['elpd_gain']:+z.1f} ± {row['elpd_se']:.1f}",
        "scores": _scores_words(row),
    }
    drifts = name.endswith("_drift")
    if row["verdict"] == TAKEN:
        return (
            say(
                "Rates that drift ({family}) are taken: customers left out are told better by {gain} in log "
                "probability{scores}.",
                **told,
            )
            if drifts
            else say(
                "Customers who come back ({family}) are taken: customers left out are told better by {gain} in log "
                "probability{scores}.",
                **told,
            )
        )
    told["verdict"] = row["verdict"]
    return (
        say(
            "Rates that drift ({family}) are not taken, {verdict}: customers left out are told better by {gain} in "
            "log probability{scores}.",
            **told,
        )
        if drifts
        else say(
            "Customers who come back ({family}) are not taken, {verdict}: customers left out are told better by "
            "{gain} in log probability{scores}.",
            **told,
        )
    )


def _scores_words(row: Mapping[str, Any]) -> str:
    if not np.isfinite(row["crps_gain"]):
        return ""
    gains = {
        name: f"{100 * row[f'{name}_gain'] / row[name]:+.2f} ± {100 * row[f'{name}_se'] / row[name]:.2f} %"
        for name in ("crps", "retention_log_score")
    }
    return say(
        "; over the last quarter better by {crps} in customers' purchases (CRPS) and {retention_log_score} in who buys "
        "at all (log score)",
        **gains,
    )
