"""The model beside simple rules, on the holdout: is it worth more than what a manager would do without it?

Every forecast is scored by the same lines (predictions.measures). Of the model, means and CRPS are those of
the simulated future; with ``buying`` its distribution is the family's closed form, P(Y = n) averaged over posterior
draws, so that a count which no draw reached has its probability still. Rejected for the log score: the
simulated shares with something added, since the amount added would decide the score of the rarest counts.
A baseline's distribution is a Poisson around its mean (predictions.baselines).

A measure that does not exist is NaN, with its reason in ``attrs["reasons"]``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy import stats

from bayes_clv.predictions.baselines import BASELINES, baseline
from bayes_clv.predictions.expected import EXPECTED_DRAWS, mean_over_draws
from bayes_clv.predictions.histories import distinct_histories, purchase_history
from bayes_clv.predictions.measures import (
    LEVELS,
    PLACES,
    CountScores,
    captured,
    concordance,
    count_scores,
    pit_distance,
    pit_reference,
)
from bayes_clv.predictions.posterior import Parameters, parameters, shared_time_unit
from bayes_clv.predictions.score import matched_holdout, pit_shares, point_errors, score_holdout
from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, PERIOD, InputError, days_per

if TYPE_CHECKING:
    import pandas as pd

MODEL = "model"
FORECAST = "forecast"
SHARES = np.linspace(0, 1, 101)
TOP = (0.1, 0.2)
SIMULATED_LEVELS = (50, 90)


@dataclass(frozen=True)
class Measure:
    """What a measure is: a line, its unit, and which value is better."""

    long_name: str
    unit: str
    better: str = "lower"


MEASURES = {
    "mae": Measure("mean absolute error of the mean", "purchases"),
    "mae_median": Measure("mean absolute error of the median", "purchases"),
    "rmse": Measure("root of the mean squared error of the mean", "purchases"),
    "total_error": Measure("forecast total less the real one, over the real one", "share", "nearer 0"),
    "crps": Measure("continuous ranked probability score", "purchases"),
    "crps_worse": Measure("CRPS less the model's", "purchases"),
    "crps_worse_se": Measure("standard error of CRPS less the model's, over customers", "purchases", ""),
    "log_score": Measure("mean of -log P(what happened)", "nats"),
    "impossible": Measure("customers who did what the forecast held impossible", "customers"),
    "covered": Measure("customers inside their interval", "share", "nearer promised"),
    "promised": Measure("mean probability of the customers' intervals", "share", ""),
    "pit_distance": Measure("distance of the places in the forecasts from even ones", "share"),
    "pit_reference": Measure("the distance that true forecasts stay within, 95 % of the time", "share", ""),
    "concordance": Measure("pairs of unequal customers ranked right", "share", "higher"),
    "captured": Measure("share of the real purchases with the best ranked", "share", "higher"),
    "tracking_incremental": Measure("mean absolute error of a period's purchases, over the real ones", "share"),
    "tracking_cumulative": Measure("the same of the running total of the holdout", "share"),
    "spend_mae": Measure("mean absolute error of mean spend", "money"),
    "spend_rmse": Measure("root of the mean squared error of mean spend", "money"),
    "spend_total_error": Measure("forecast total spend less the real, over the real", "share", "nearer 0"),
    "spend_concordance": Measure("pairs of unequal spenders ranked right", "share", "higher"),
    "spend_captured": Measure("share of the real spend with the best ranked", "share", "higher"),
}


@dataclass(frozen=True)
class Scored:
    """A forecast to be scored: what it says of customers, and its distribution at what happened.

    ``below``, ``equal``, ``crps`` and ``median`` are per customer, ``intervals`` maps a level to covered and
    promised; None or absent where the forecast has none.
    """

    long_name: str
    rank_purchases: np.ndarray
    purchases: np.ndarray | None = None
    spend: np.ndarray | None = None
    rank_spend: np.ndarray | None = None
    below: np.ndarray | None = None
    equal: np.ndarray | None = None
    crps: np.ndarray | None = None
    median: np.ndarray | None = None
    closed_form: bool = True
    covariance: np.ndarray | None = None
    intervals: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def with_counts(self, scores: CountScores) -> "Scored":
        """Return it with the scores of its distribution; a CRPS or median it has already is kept."""
        return replace(
            self,
            below=scores.below,
            equal=scores.equal,
            crps=scores.crps if self.crps is None else self.crps,
            median=scores.median if self.median is None else self.median,
            covariance=scores.covariance,
            closed_form=True,
            intervals={
                level: (scores.covered[i], scores.promised[i]) for i, level in enumerate(LEVELS)
            },
        )


def evaluate(
    customers: xr.Dataset,
    future: xr.Dataset,
    *,
    buying: xr.DataTree | None = None,
    baselines: Sequence[str] = tuple(BASELINES),
    tracking: xr.Dataset | None = None,
    hiatus: str | float | None = None,
    draws: int = EXPECTED_DRAWS,
    threads: int | None = None,
) -> xr.Dataset:
    """Return how the forecast of the holdout did beside simple rules, never on the data of the fit.

    Parameters
    ----------
    customers
        Customers with a holdout (``clv.summarize(..., holdout_until=...)``).
    future
        ``clv.predict`` or, for money, ``clv.predict_value`` of these customers over a horizon equal to
        ``customers.attrs["holdout_duration"]``.
    buying
        The posterior behind the future. It gives the model's log score, its 80 and 95 % intervals and the
        reference of ``pit_distance``; without it these are NaN.
    baselines
        Names of ``predictions.baselines.BASELINES``: past_rate, recency_rule, period_mean, pareto_rule.
    tracking
        ``clv.simulate_tracking`` of these customers, for the two tracking measures.
    hiatus
        Silence after which recency_rule gives a customer up; by default taken from the calibration.
    draws
        Posterior draws that the closed form is averaged over, evenly spaced.
    threads
        Threads of the closed form.

    Returns
    -------
    xarray.Dataset
        Over ``forecast`` ("model", then the baselines) the measures of MEASURES, each with ``units`` and
        ``better`` among its attributes; ``covered`` and ``promised`` also over ``interval`` (50, 80, 90,
        95 %), ``pit_histogram`` over ``bin``, ``captured`` and ``spend_captured`` over ``share`` of customers,
        beside ``captured_best``, the ranking known afterwards. Outcome level throughout. ``attrs["reasons"]``
        is a JSON list of what does not exist and why, ``attrs["notes"]`` says how each baseline was made.

    Raises
    ------
    InputError
        No holdout, a horizon that is not the holdout's duration, a future, posterior or tracking of
        something else, or an unknown baseline.

    Notes
    -----
    The mean absolute error rewards the median, not the mean: where most customers buy nothing, a rule that
    says 0 does well by it and badly by every other measure. Read CRPS and log score first. The reference of
    ``pit_distance`` takes customers to be independent given the forecasts; that they share one unknown
    population widens it a little.

    Examples
    --------
    >>> evaluate(customers, predict(buying, customers, "39 weeks", seed=1), buying=buying)  # doctest: +SKIP
    """
    unknown = [name for name in baselines if name not in BASELINES]
    if unknown:
        raise InputError(f"Baseline {unknown[0]!r} is not known. Use any of {', '.join(BASELINES)}.")
    score = score_holdout(customers, future)
    matched = matched_holdout(customers, future)
    horizon = float(future.attrs["horizon"])
    bought = np.asarray(matched["holdout_purchases"].values)
    with_money = "spend_mean" in future and "holdout_spend" in matched
    reasons: list[str] = []
    if not with_money:
        missing = "the customers have no holdout_spend" if "spend_mean" in future else "the future has no spend"
        reasons.append(f"Money is not scored: {missing}.")

    forecasts = {MODEL: _model(future, matched)}
    if buying is None:
        reasons.append(
            "model: log_score, the 80 and 95 % intervals and pit_reference need the posterior (buying=...)."
        )
    else:
        scores = _closed_form_scores(buying, matched, future, draws=draws, threads=threads)
        forecasts[MODEL] = forecasts[MODEL].with_counts(scores)
    notes = {}
    for name in dict.fromkeys(baselines):
        try:
            rule = baseline(name, matched, horizon=horizon, hiatus=hiatus)
        except InputError as error:
            reasons.append(f"{name}: {error}")
            continue
        notes[name] = rule.note
        forecasts[name] = Scored(
            BASELINES[name].long_name, rule.rank_purchases, rule.purchases, rule.spend, rule.rank_spend
        )
        if rule.purchases is None:
            reasons.append(f"{name} ranks customers and forecasts nothing, so that only its ranking is scored.")
        else:
            forecasts[name] = forecasts[name].with_counts(_poisson_scores(rule.purchases, bought))

    rows = [_counts_measured(forecast, bought, forecasts[MODEL]) for forecast in forecasts.values()]
    rows[0] |= {name: score[name] for name in ("mae", "rmse", "crps")}
    if with_money:
        spent = np.asarray(matched["holdout_spend"].values, dtype=float)
        for (name, forecast), row in zip(forecasts.items(), rows, strict=True):
            row |= _money_measured(name, forecast, spent, reasons)
    if tracking is not None:
        _add_tracking(rows, forecasts, tracking, matched, reasons)
    for name, row in zip(forecasts, rows, strict=True):
        if row["impossible"] > 0:
            reasons.append(
                f"{name}: log_score is infinite, because {int(row['impossible'])} customers did what it held "
                "impossible."
            )
    evaluation = _dataset(forecasts, rows)
    evaluation["captured_best"] = ("share", captured(bought, bought, SHARES))
    if with_money:
        evaluation["spend_captured_best"] = ("share", captured(spent, spent, SHARES))
    return evaluation.assign_attrs(
        customers=int(bought.size),
        horizon=horizon,
        time_unit=str(future.attrs["time_unit"]),
        family=str(future.attrs.get("family", "")),
        draws=score["draws"],
        level="outcome",
        reasons=json.dumps(reasons),
        notes=json.dumps(notes),
    )


# Forecasts ------------------------------------------------------------------------------------------


def _model(future: xr.Dataset, matched: xr.Dataset) -> Scored:
    """Return the simulated future as a forecast to be scored."""
    size = future.sizes[CHAIN] * future.sizes[DRAW]
    column = {str(name): np.asarray(future[name].values) for name in future if future[name].dims == (CUSTOMER,)}
    bought = np.asarray(matched["holdout_purchases"].values)
    intervals = {}
    for level, low, high in ((50, "q25", "q75"), (90, "q05", "q95")):
        inside = (column[f"purchases_{low}"] <= bought) & (bought <= column[f"purchases_{high}"])
        intervals[level] = inside, column[f"mass_{level}"]
    spend = column.get("spend_mean")
    return Scored(
        f"{future.attrs.get('family', MODEL)}, simulated futures",
        rank_purchases=column["purchases_mean"],
        purchases=column["purchases_mean"],
        spend=spend,
        rank_spend=spend,
        below=column["draws_below"] / size,
        equal=column["draws_equal"] / size,
        crps=column["crps"],
        median=column["purchases_q50"],
        closed_form=False,
        intervals=intervals,
    )


def _closed_form_scores(
    buying: xr.DataTree, matched: xr.Dataset, future: xr.Dataset, *, draws: int, threads: int | None
) -> CountScores:
    """Return the scores of P(Y = n) averaged over draws, on the distinct histories."""
    known = parameters(buying, "buying")
    shared_time_unit(buying, matched)
    horizon = float(future.attrs["horizon"])
    _refuse_other_posterior(known, matched, future)
    values = known.thin(draws).values
    histories = distinct_histories(purchase_history(matched))
    row = histories.spread(histories.row)

    def probabilities(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        part = replace(histories, columns={name: column[rows] for name, column in histories.columns.items()})

        def at_counts(history: tuple[np.ndarray, ...], each: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
            pmf = known.formulas.purchases_pmf
            return tuple(pmf(float(n), horizon, *history, **each) for n in counts)

        return np.stack(mean_over_draws(part, values, at_counts, threads=threads), axis=1)

    return count_scores(probabilities, row, np.asarray(matched["holdout_purchases"].values))


def _refuse_other_posterior(known: Parameters, matched: xr.Dataset, future: xr.Dataset) -> None:
    """Refuse a posterior that does not give the future's purchases_expected of its first customers."""
    some = {name: column[:5, None] for name, column in purchase_history(matched).items()}
    values = known.thin(EXPECTED_DRAWS).values
    expected = known.formulas.expected_purchases(float(future.attrs["horizon"]), *some.values(), **values)
    if not np.allclose(expected.mean(axis=1), future["purchases_expected"].values[:5], rtol=1e-6, atol=1e-12):
        raise InputError(
            "The future was not simulated from this posterior: its purchases_expected differ. Give the buying "
            "posterior that clv.predict was given."
        )


def _poisson_scores(mean: np.ndarray, bought: np.ndarray) -> CountScores:
    distinct, row = np.unique(mean, return_inverse=True)
    return count_scores(lambda rows, counts: stats.poisson.pmf(counts, distinct[rows, None]), row, bought)


# Measures -------------------------------------------------------------------------------------------


def _counts_measured(forecast: Scored, bought: np.ndarray, model: Scored) -> dict[str, Any]:
    """Return the measures of purchases that this forecast has."""
    found: dict[str, Any] = {
        "concordance": concordance(forecast.rank_purchases, bought),
        "captured": captured(forecast.rank_purchases, bought, SHARES),
        "impossible": 0.0,
    }
    if forecast.purchases is not None:
        found |= point_errors(forecast.purchases, bought)
        found["total_error"] = _relative(forecast.purchases.sum(), bought.sum())
    if forecast.median is not None:
        found["mae_median"] = point_errors(forecast.median, bought)["mae"]
    if forecast.crps is not None:
        found["crps"] = float(forecast.crps.mean())
        if forecast is not model and model.crps is not None:
            worse = forecast.crps - model.crps
            found["crps_worse"] = float(worse.mean())
            if worse.size > 1:
                found["crps_worse_se"] = float(worse.std(ddof=1) / np.sqrt(worse.size))
    if forecast.below is not None and forecast.equal is not None:
        found["pit_distance"] = pit_distance(forecast.below, forecast.equal)
        edges = np.linspace(0, 1, 11)
        found["pit_histogram"] = np.diff(pit_shares(forecast.below, forecast.equal, edges).mean(axis=0))
        if forecast.closed_form:
            never = forecast.equal <= 0
            found["impossible"] = float(never.sum())
            some = np.where(never, 1.0, forecast.equal)
            found["log_score"] = float("inf") if never.any() else float(-np.log(some).mean())
    if forecast.covariance is not None:
        found["pit_reference"] = pit_reference(forecast.covariance)
    absent = (np.array([np.nan]), np.array([np.nan]))
    pairs = [forecast.intervals.get(level, absent) for level in LEVELS]
    found["covered"] = np.array([inside.mean() for inside, _ in pairs])
    found["promised"] = np.array([promised.mean() for _, promised in pairs])
    return found


def _relative(forecast: float, observed: float) -> float:
    return float((forecast - observed) / observed) if observed > 0 else float("nan")


def _money_measured(name: str, forecast: Scored, spent: np.ndarray, reasons: list[str]) -> dict[str, Any]:
    """Return the measures of spend that this forecast has."""
    if forecast.rank_spend is None:
        reasons.append(f"{name}: no amounts to forecast or rank spend from.")
        return {}
    bad = ~np.isfinite(forecast.rank_spend)
    if bad.any():
        reasons.append(f"{name}: mean spend does not exist for {int(bad.sum())} of {bad.size} customers.")
        return {}
    found: dict[str, Any] = {
        "spend_concordance": concordance(forecast.rank_spend, spent),
        "spend_captured": captured(forecast.rank_spend, spent, SHARES),
    }
    if forecast.spend is not None:
        errors = point_errors(forecast.spend, spent)
        found |= {f"spend_{key}": error for key, error in errors.items()}
        found["spend_total_error"] = _relative(forecast.spend.sum(), spent.sum())
    return found


def _add_tracking(
    rows: list[dict[str, Any]],
    forecasts: dict[str, Scored],
    tracking: xr.Dataset,
    matched: xr.Dataset,
    reasons: list[str],
) -> None:
    """Add the mean relative errors per period and of the running total, over whole periods of the holdout.

    A baseline's total is spread evenly over the days of the holdout.
    """
    if "period_purchases" not in matched or not np.array_equal(
        tracking["observed"].values, matched["period_purchases"].values
    ):
        raise InputError(
            "The tracking is not of these customers: the observed purchases per period differ. Give "
            "clv.simulate_tracking of the customers that carry the holdout."
        )
    later = tracking["period_start"].values > np.datetime64(str(matched.attrs["until"]))
    days = np.full(tracking.sizes[PERIOD], float(matched.attrs["period_days"]))
    days[-1] = float(matched.attrs.get("last_period_days", days[-1]))
    unit_days = days_per(str(matched.attrs["time_unit"]))
    share = days[later] / (float(matched.attrs["holdout_duration"]) * unit_days)
    observed = tracking["observed"].values[later]
    if not later.any():
        reasons.append("No whole period lies in the holdout, so that there is nothing to track.")
        return
    if (observed == 0).any():
        reasons.append(f"tracking: {int((observed == 0).sum())} periods without a purchase have no relative error.")
    for forecast, row in zip(forecasts.values(), rows, strict=True):
        if forecast.purchases is None:
            continue
        series = forecast.purchases.sum() * share
        if forecast is forecasts[MODEL]:
            series = np.asarray(tracking["purchases"].mean((CHAIN, DRAW)).values)[later]
        row["tracking_incremental"] = _mape(series, observed)
        row["tracking_cumulative"] = _mape(np.cumsum(series), np.cumsum(observed))


def _mape(forecast: np.ndarray, observed: np.ndarray) -> float:
    real = observed > 0
    return float(np.abs(forecast[real] / observed[real] - 1).mean()) if real.any() else float("nan")


# Doors ----------------------------------------------------------------------------------------------

_DIMS = {
    "covered": ("interval", len(LEVELS)),
    "promised": ("interval", len(LEVELS)),
    "pit_histogram": ("bin", 10),
    "captured": ("share", SHARES.size),
    "spend_captured": ("share", SHARES.size),
}


def _dataset(forecasts: dict[str, Scored], rows: list[dict[str, Any]]) -> xr.Dataset:
    data: dict[str, Any] = {}
    for name in [*MEASURES, "pit_histogram"]:
        if not any(name in row for row in rows):
            continue
        dim, size = _DIMS.get(name, ("", 0))
        values = [row.get(name, np.full(size, np.nan) if dim else np.nan) for row in rows]
        data[name] = ((FORECAST, dim) if dim else (FORECAST,), np.array(values, dtype=float))
    names = np.array(list(forecasts), dtype=object)
    dataset = xr.Dataset(
        data,
        coords={
            FORECAST: names,
            "label": (FORECAST, np.array([f.long_name for f in forecasts.values()], dtype=object)),
            "interval": list(LEVELS),
            "share": SHARES,
            "place": PLACES,
        },
    ).drop_vars("place")
    dataset["share"].attrs = {"long_name": "share of customers, the highest ranked first", "units": "share"}
    dataset["interval"].attrs = {"long_name": "nominal probability of the interval", "units": "percent"}
    for name, measure in MEASURES.items():
        if name in dataset:
            dataset[name].attrs = {
                "long_name": measure.long_name,
                "units": measure.unit,
                "better": measure.better,
                "level": "outcome",
            }
    return dataset


def evaluation_table(evaluation: xr.Dataset) -> "pd.DataFrame":
    """Return an evaluation as a pandas table: one row a measure, one column a forecast.

    Parameters
    ----------
    evaluation
        The result of :func:`evaluate`.

    Returns
    -------
    pandas.DataFrame
        measure, meaning, unit, better ("lower", "higher", "nearer 0", "nearer promised" or nothing), a column
        for each forecast, and for the captured shares ``possible``, what the best ranking captures.

    Examples
    --------
    >>> evaluation_table(evaluate(customers, future, buying=buying))  # doctest: +SKIP
    """
    import pandas as pd

    names = [str(name) for name in evaluation[FORECAST].values]
    rows = []
    for name, measure in MEASURES.items():
        if name not in evaluation:
            continue
        values = evaluation[name]
        cuts: list[tuple[str, str, dict[str, Any]]] = [("", "", {})]
        if "interval" in values.dims:
            cuts = [(f"_{level}", f", {level} %", {"interval": level}) for level in LEVELS]
        elif "share" in values.dims:
            cuts = [(f"_{round(100 * top)}", f" {top:.0%}", {"share": top}) for top in TOP]
        for suffix, words, where in cuts:
            at = values.sel(where, method="nearest") if where else values
            row = {
                "measure": name + suffix,
                "meaning": measure.long_name + words,
                "unit": measure.unit,
                "better": measure.better,
                **dict(zip(names, at.values.tolist(), strict=True)),
            }
            if "share" in where:
                row["possible"] = float(evaluation[f"{name}_best"].sel(where, method="nearest"))
            rows.append(row)
    return pd.DataFrame(rows)


def evaluation_record(evaluation: xr.Dataset) -> dict[str, Any]:
    """Return an evaluation as a dict ready for JSON; NaN and infinity become None, with their reasons kept.

    Keys are the attributes, ``reasons``, ``notes``, and ``measures``: a dict a forecast, of numbers and lists.

    Examples
    --------
    >>> json.dumps(evaluation_record(evaluation), allow_nan=False)  # doctest: +SKIP
    """

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value if np.isfinite(value) else None

    measured = [str(name) for name in evaluation.data_vars if FORECAST in evaluation[name].dims]
    return {
        **{key: value for key, value in evaluation.attrs.items() if key not in ("reasons", "notes")},
        "reasons": json.loads(evaluation.attrs["reasons"]),
        "notes": json.loads(evaluation.attrs["notes"]),
        "intervals": list(LEVELS),
        "shares": evaluation["share"].values.tolist(),
        "best": {
            str(name): plain(evaluation[name].values.tolist())
            for name in evaluation.data_vars
            if str(name).endswith("_best")
        },
        "measures": {
            str(name): {m: plain(evaluation[m].sel({FORECAST: name}).values.tolist()) for m in measured}
            for name in evaluation[FORECAST].values
        },
    }
