"""The model beside simple rules, on the holdout, to see what it adds to what a manager would do without it.

Every forecast is scored by the same lines (scoring.counts). Of the model, means and CRPS are those of
the simulated future; with ``buying`` its distribution is the family's closed form, P(Y = n) averaged over posterior
draws, so that a count which no draw reached has its probability still. Rejected for the log score: the
simulated shares with something added, since the amount added would decide the score of the rarest counts.
A baseline's distribution is a Poisson around its mean (scoring.baselines).

A measure that does not exist is NaN, with its reason in ``attrs["reasons"]``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from bayes_clv.predictions.histories import distinct_histories, purchase_history
from bayes_clv.predictions.inputs import shared_time_unit
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.tiles import closed_form_draws, mean_over_draws
from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, PERIOD, InputError
from bayes_clv.scoring.baselines import BASELINES, baseline
from bayes_clv.scoring.counts import LEVELS, CountScores, count_scores, pit_distance, pit_reference
from bayes_clv.scoring.holdout import matched_holdout, pit_shares, point_errors, score_holdout
from bayes_clv.scoring.measures import SHARES, evaluation_dataset
from bayes_clv.scoring.rankings import captured, concordance
from bayes_clv.units import days_per, duration

MODEL = "model"
# Draws of the closed form: on CDNOW the mean log score then differs from that of 500 draws by 0.0001.
CLOSED_FORM_DRAWS = 100


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
            intervals={level: (scores.covered[i], scores.promised[i]) for i, level in enumerate(LEVELS)},
        )


def evaluate(
    customers: xr.Dataset,
    future: xr.Dataset,
    *,
    buying: xr.DataTree | None = None,
    baselines: Sequence[str] = tuple(BASELINES),
    tracking: xr.Dataset | None = None,
    hiatus: str | float | None = None,
    draws: int | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return how the forecast of the holdout did beside simple rules, never on the data of the fit.

    Parameters
    ----------
    customers
        Customers with a holdout (``clv.summarize(..., holdout_until=...)``).
    future
        Of a posterior that was fitted to the calibration alone (no result can show that it was not):
        ``clv.predict`` or, for money, ``clv.predict_value`` of these customers over a horizon equal to
        ``customers.attrs["holdout_duration"]``.
    buying
        The posterior behind the future. It gives the model's log score, its 80 and 95 % intervals and the
        reference of ``pit_distance``; without it these are NaN.
    baselines
        Names of ``scoring.baselines.BASELINES``: past_rate, recency_rule, period_mean, pareto_rule.
    tracking
        ``clv.simulate_tracking`` of these customers, for the two tracking measures.
    hiatus
        Silence after which recency_rule gives a customer up; by default taken from the calibration.
    draws
        Posterior draws that the closed form is averaged over, evenly spaced: by default 100, fewer of a family whose
        closed forms are slow (Pareto/GGG: its EXPECTED_DRAWS).
    threads
        Threads of the closed form.

    Returns
    -------
    xarray.Dataset
        Over ``forecast`` ("model", then the baselines) the measures of ``evaluation.MEASURES``, each with
        ``units`` and ``better`` among its attributes; ``covered`` and ``promised`` also over ``interval``
        (50, 80, 90, 95 %), ``pit_histogram`` over ``bin``, ``captured`` and ``spend_captured`` over ``share`` of
        customers, beside ``captured_best``, the ranking known afterwards. Outcome level throughout.
        ``attrs["reasons"]`` is a JSON list of what does not exist and why, ``attrs["notes"]`` says how each
        baseline was made.

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
    >>> evaluation = evaluate(customers, future, buying=buying)
    """
    return evaluated(
        customers,
        {MODEL: future},
        {} if buying is None else {MODEL: buying},
        baselines=baselines,
        tracking=tracking,
        hiatus=hiatus,
        draws=draws,
        threads=threads,
    )


def evaluated(
    customers: xr.Dataset,
    futures: Mapping[str, xr.Dataset],
    buying: Mapping[str, xr.DataTree],
    *,
    baselines: Sequence[str],
    tracking: xr.Dataset | None = None,
    hiatus: str | float | None = None,
    draws: int | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return what :func:`evaluate` does, of several models by name; the first is the one others are held against.

    ``buying`` maps the same names to their posteriors, where they are known.
    """
    unknown = [name for name in baselines if name not in BASELINES]
    if unknown:
        raise InputError(f"Baseline {unknown[0]!r} is not known. Use any of {', '.join(BASELINES)}.")
    scores = {name: score_holdout(customers, future) for name, future in futures.items()}
    first, future = next(iter(futures.items()))
    if hiatus is not None:
        duration(hiatus, str(future.attrs["time_unit"]))
    matched = matched_holdout(customers, future)
    horizon = float(future.attrs["horizon"])
    bought = np.asarray(matched["holdout_purchases"].values)
    priced = any("spend_mean" in each for each in futures.values())
    with_money = priced and "holdout_spend" in matched
    reasons: list[str] = []
    if not with_money:
        missing = "the customers have no holdout_spend" if priced else "the future has no spend"
        reasons.append(f"Money is not scored: {missing}.")

    if not bought.any():
        reasons.append("Nobody bought in the holdout: total_error, concordance and captured do not exist.")

    forecasts = {}
    for name, each in futures.items():
        forecasts[name] = _model(each, matched)
        if name not in buying:
            reasons.append(
                f"{name}: log_score, the 80 and 95 % intervals and pit_reference need the posterior (buying=...)."
            )
        else:
            closed = _closed_form_scores(buying[name], matched, each, draws=draws, threads=threads)
            forecasts[name] = forecasts[name].with_counts(closed)
    notes = _add_baselines(forecasts, baselines, matched, horizon=horizon, hiatus=hiatus, reasons=reasons)
    rows = [_counts_measured(forecast, bought, forecasts[first]) for forecast in forecasts.values()]
    for row, score in zip(rows, scores.values(), strict=False):
        row |= {name: score[name] for name in ("mae", "rmse", "crps")}
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
    evaluation = evaluation_dataset({name: one.long_name for name, one in forecasts.items()}, rows)
    evaluation["captured_best"] = ("share", captured(bought, bought, SHARES))
    if with_money:
        evaluation["spend_captured_best"] = ("share", captured(spent, spent, SHARES))
    return evaluation.assign_attrs(
        customers=int(bought.size),
        horizon=horizon,
        time_unit=str(future.attrs["time_unit"]),
        family=", ".join(str(each.attrs.get("family", "")) for each in futures.values()),
        draws=scores[first]["draws"],
        level="outcome",
        reasons=json.dumps(reasons),
        notes=json.dumps(notes),
    )


# Forecasts ------------------------------------------------------------------------------------------


def _model(future: xr.Dataset, matched: xr.Dataset) -> Scored:
    """Return the simulated future as a forecast to be scored."""
    size = future.sizes[CHAIN] * future.sizes[DRAW]
    column = {
        str(name): np.asarray(future[name].values) for name in future if future[name].dims == (CUSTOMER,)
    }
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


def _add_baselines(
    forecasts: dict[str, Scored],
    names: Sequence[str],
    matched: xr.Dataset,
    *,
    horizon: float,
    hiatus: str | float | None,
    reasons: list[str],
) -> dict[str, str]:
    """Add the baselines that can be computed to the forecasts, reasons for the others, and return their notes."""
    notes = {}
    bought = np.asarray(matched["holdout_purchases"].values)
    for name in dict.fromkeys(names):
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
            reasons.append(
                f"{name} ranks customers and forecasts nothing, so that only its ranking is scored."
            )
        else:
            forecasts[name] = forecasts[name].with_counts(_poisson_scores(rule.purchases, bought))
    return notes


def _closed_form_scores(
    buying: xr.DataTree, matched: xr.Dataset, future: xr.Dataset, *, draws: int | None, threads: int | None
) -> CountScores:
    """Return the scores of P(Y = n) averaged over draws, on the distinct histories."""
    known = parameters(buying, "buying")
    shared_time_unit(buying, matched)
    horizon = float(future.attrs["horizon"])
    _refuse_other_posterior(known, matched, future)
    thinned = closed_form_draws(known, draws, CLOSED_FORM_DRAWS).of(matched)
    histories = distinct_histories(purchase_history(matched, known.family) | thinned.columns)
    row = histories.spread(histories.row)

    def probabilities(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        part = replace(histories, columns={name: column[rows] for name, column in histories.columns.items()})

        def at_counts(history: dict[str, np.ndarray], each: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
            return tuple(known.forecast.pmf(counts, horizon, history, each))

        return np.stack(mean_over_draws(part, thinned, at_counts, threads=threads), axis=1)

    return count_scores(probabilities, row, np.asarray(matched["holdout_purchases"].values))


def _refuse_other_posterior(known: Parameters, matched: xr.Dataset, future: xr.Dataset) -> None:
    """Refuse a posterior that does not give the future's purchases_expected of its first customers."""
    first = matched.isel({CUSTOMER: slice(5)})
    some = {name: column[:, None] for name, column in purchase_history(first, known.family).items()}
    thinned = closed_form_draws(known).of(first)
    values = thinned.at(thinned.columns)
    expected = known.forecast.purchases(float(future.attrs["horizon"]), some, values)
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
        reasons.append(
            f"tracking: {int((observed == 0).sum())} periods without a purchase have no relative error."
        )
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
