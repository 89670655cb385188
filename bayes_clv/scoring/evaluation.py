"""A model, or several, beside simple rules, on the holdout: what they add to what a manager would do without them.

Every forecast is scored by the same lines (scoring.counts). Of a model, everything that its customers' table shows
(means, medians, the 50 and 90 % intervals, the places in the forecasts, the total) is scored as it was simulated; its
posterior adds what simulations cannot give: P(Y = n) in closed form, averaged over posterior draws, for the log score
(a count which no draw reached has its probability still), the 80 and 95 % intervals and the reference of the places.
Rejected for the log score: the simulated shares with something added, since the amount added would decide the score of
the rarest counts. A baseline's distribution is a Poisson around its mean (scoring.baselines).

Counts have no interval of exactly 90 %: the closed interval [q05, q95] of a customer who buys 0 with probability 0.97
is [0, 0] and holds 97 %. The share covered is therefore given beside what the forecast itself promises, the mean
probability of its own intervals; a calibrated forecast agrees with that.

PSIS-LOO (``clv.compare``) is the complement: it asks about customers left out, in log densities that must be of the
same data; a holdout asks about time left out, and only needs forecasts of the same thing, so that families of different
kinds of observation may be compared.

A measure that does not exist is NaN, with its reason in ``attrs["reasons"]``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, PERIOD, InputError, interval
from bayes_clv.scoring import counts
from bayes_clv.scoring.baselines import BASELINES
from bayes_clv.scoring.counts import LEVELS
from bayes_clv.scoring.holdout import by_model, matched_holdout
from bayes_clv.scoring.measures import (
    FREQUENCY,
    SHARES,
    frequency_classes,
    mean_absolute_error,
    mean_relative_error,
    measured,
    relative_error,
    root_mean_square_error,
)
from bayes_clv.scoring.rankings import captured, concordance
from bayes_clv.scoring.scored import Scored, add_baselines, closed_form_scores, model_scored
from bayes_clv.units import days_per, duration

MODEL = "model"


def evaluate(
    value: xr.Dataset | Mapping[str, xr.Dataset],
    customers: xr.Dataset,
    *,
    buying: xr.DataTree | Mapping[str, xr.DataTree] | None = None,
    baselines: Sequence[str] = tuple(BASELINES),
    tracking: xr.Dataset | Mapping[str, xr.Dataset] | None = None,
    hiatus: str | float | None = None,
    draws: int | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return how a forecast of the holdout, or several, did beside simple rules, never on the data of the fit.

    Parameters
    ----------
    value
        Of a posterior that was fitted to the calibration alone: ``clv.predict`` or, for money, ``clv.predict``
        of these customers over a horizon equal to ``customers.attrs["holdout_duration"]``. Or several models by name,
        predicted with one seed, so that a customer's random numbers are the same; the others are held against the
        first.
    customers
        Customers with a holdout (``clv.summarize(..., holdout_until=...)``).
    buying
        The posterior behind the forecast, or several by the same names. It gives the log score, the 80 and 95 %
        intervals and the reference of ``pit_distance``; without it these are NaN.
    baselines
        Names of ``scoring.baselines.BASELINES``: past_rate, recency_rule, period_mean, pareto_rule.
    tracking
        ``clv.scoring.simulate_tracking`` of these customers, for the two tracking measures; or several by the same
        names.
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
        Over ``forecast`` ("model" or the models' names, then the baselines) the measures of
        ``scoring.measures.MEASURES``, each with ``units`` and ``better`` among its attributes: errors, CRPS, log score,
        ``covered`` and ``promised`` (``interval``: 50, 80, 90, 95 %), ``captured`` and ``spend_captured`` (``share`` of
        customers), the total's mean, 90 % interval and the real total's rank (models only). ``crps_worse`` is a
        forecast's CRPS less that of the first model, customer by customer, and ``crps_worse_se`` its standard error:
        positive means worse. ``pit_histogram`` (``bin``) is that of the non-randomised probability integral transform
        (Czado, Gneiting & Held 2009; even when calibrated). Over ``frequency`` (calibration frequency 0, 1, …, 6, 7+)
        ``predicted_``, ``covered_`` and ``promised_by_frequency``.

        What happened has no ``forecast``: ``total_observed``, ``customers_by_frequency``, ``observed_by_frequency``,
        and ``captured_best``, the ranking known afterwards. Coordinates ``kind`` ("model" or "rule"), ``label`` and
        ``note``, how a rule was made. Outcome level throughout. ``attrs["reasons"]`` lists what does not exist and why.

    Raises
    ------
    InputError
        No holdout, a horizon that is not the holdout's duration, a future, posterior or tracking of
        something else, no model, a name that is also a baseline's, or an unknown baseline.

    Notes
    -----
    The mean absolute error rewards the median, not the mean: where most customers buy nothing, a rule that
    says 0 does well by it and badly by every other measure. Read CRPS and log score first. The reference of
    ``pit_distance`` takes customers to be independent given the forecasts; that they share one unknown
    population widens it a little.

    Examples
    --------
    >>> evaluation = evaluate(future, customers, buying=buying)
    >>> both = evaluate({"purchases": future, "with spend": value}, customers)
    """
    futures = {MODEL: value} if isinstance(value, xr.Dataset) else dict(value)
    models = list(futures)
    _check_names(models, baselines)
    first = models[0]
    matched = matched_holdout(customers, futures[first])
    ids = matched[CUSTOMER].to_numpy()
    futures = {name: _aligned(each, customers, ids) for name, each in futures.items()}
    future = futures[first]
    if hiatus is not None:
        duration(hiatus, str(future.attrs["time_unit"]))
    posteriors: dict[str, xr.DataTree] = by_model(buying, models, "buying")
    tracked: dict[str, xr.Dataset] = by_model(tracking, models, "tracking")
    reasons: list[str] = []
    bought = np.asarray(matched["holdout_purchases"].values)
    if not bought.any():
        reasons.append("Nobody bought in the holdout: total_error, concordance and captured do not exist.")

    forecasts: dict[str, Scored] = {}
    for name, each in futures.items():
        forecasts[name] = model_scored(each, matched)
        if name not in posteriors:
            reasons.append(
                f"{name}: log_score, the 80 and 95 % intervals and pit_reference need the posterior (buying=...)."
            )
        else:
            closed = closed_form_scores(posteriors[name], matched, each, draws=draws, threads=threads)
            forecasts[name] = forecasts[name].with_counts(closed)
    horizon = float(future.attrs["horizon"])
    notes = add_baselines(forecasts, baselines, matched, horizon=horizon, hiatus=hiatus, reasons=reasons)

    classes, place = frequency_classes(np.asarray(matched["frequency"].values))
    rows = {
        name: _counts_measured(forecast, bought, forecasts[first])
        | _by_frequency(forecast, place, len(classes))
        for name, forecast in forecasts.items()
    }
    best: dict[str, Any] = {"captured_best": ("share", captured(bought, bought, SHARES))}
    priced = any("spend_mean" in each for each in futures.values())
    if priced and "holdout_spend" in matched:
        spent = np.asarray(matched["holdout_spend"].values, dtype=float)
        for name, forecast in forecasts.items():
            rows[name] |= _money_measured(name, forecast, spent, reasons)
        best["spend_captured_best"] = ("share", captured(spent, spent, SHARES))
    else:
        missing = "the customers have no holdout_spend" if priced else "the future has no spend"
        reasons.insert(0, f"Money is not scored: {missing}.")
    if tracked:
        _add_tracking(rows, forecasts, tracked, matched, reasons)
    for name, row in rows.items():
        if row["impossible"] > 0:
            reasons.append(
                f"{name}: log_score is infinite, because {int(row['impossible'])} customers did what it held "
                "impossible."
            )
    evaluation = measured(
        {name: one.long_name for name, one in forecasts.items()}, list(rows.values()), classes
    )
    if first != MODEL:
        for name, words in (
            ("crps_worse", f"CRPS less that of {first}"),
            ("crps_worse_se", "standard error of that difference, over customers"),
        ):
            if name in evaluation:
                evaluation[name].attrs["long_name"] = words
    sizes = np.bincount(place)
    kinds = ["model" if name in futures else "rule" for name in forecasts]
    return (
        evaluation.assign(
            total_observed=(
                (),
                int(bought.sum()),
                {"long_name": "purchases of all customers", "units": "purchases"},
            ),
            customers_by_frequency=(FREQUENCY, sizes, {"long_name": "customers", "units": "count"}),
            observed_by_frequency=(
                FREQUENCY,
                np.bincount(place, weights=bought) / sizes,
                {"long_name": "mean purchases in the holdout", "units": "purchases"},
            ),
            **best,
        )
        .assign_coords(
            kind=("forecast", np.array(kinds, dtype=object)),
            note=("forecast", np.array([notes.get(name, "") for name in forecasts], dtype=object)),
        )
        .assign_attrs(
            result="evaluation",
            customers=int(bought.size),
            horizon=horizon,
            time_unit=str(future.attrs["time_unit"]),
            family=", ".join(str(each.attrs.get("family", "")) for each in futures.values()),
            draws=int(future.sizes[CHAIN] * future.sizes[DRAW]),
            level="outcome",
            reasons=reasons,
        )
    )


def _check_names(models: Sequence[str], baselines: Sequence[str]) -> None:
    if not models:
        raise InputError(
            "There is no model to evaluate. Give what clv.predict returned, or {'name': that, ...}."
        )
    unknown = [name for name in baselines if name not in BASELINES]
    if unknown:
        raise InputError(f"Baseline {unknown[0]!r} is not known. Use any of {', '.join(BASELINES)}.")
    twice = sorted(set(models) & set(baselines))
    if twice:
        raise InputError(
            f"{twice[0]!r} is the name of a model and of a simple rule. Give the model another one."
        )


def _aligned(future: xr.Dataset, customers: xr.Dataset, ids: np.ndarray) -> xr.Dataset:
    """Return a checked future in the order of ``ids``."""
    matched_holdout(customers, future)
    return future if np.array_equal(future[CUSTOMER].to_numpy(), ids) else future.sel({CUSTOMER: ids})


def _counts_measured(forecast: Scored, bought: np.ndarray, model: Scored) -> dict[str, Any]:
    """Return the measures of purchases that this forecast has."""
    found: dict[str, Any] = {
        "concordance": concordance(forecast.rank_purchases, bought),
        "captured": captured(forecast.rank_purchases, bought, SHARES),
        "impossible": 0.0,
    }
    if forecast.purchases is not None:
        found["mae"] = mean_absolute_error(forecast.purchases, bought)
        found["rmse"] = root_mean_square_error(forecast.purchases, bought)
        found["total_error"] = relative_error(forecast.purchases.sum(), bought.sum())
    if forecast.median is not None:
        found["mae_median"] = mean_absolute_error(forecast.median, bought)
    if forecast.crps is not None:
        found["crps"] = float(forecast.crps.mean())
        if forecast is not model and model.crps is not None:
            worse = forecast.crps - model.crps
            found["crps_worse"] = float(worse.mean())
            if worse.size > 1:
                found["crps_worse_se"] = float(worse.std(ddof=1) / np.sqrt(worse.size))
    if forecast.below is not None and forecast.equal is not None:
        found["pit_mean"] = counts.pit_mean(forecast.below, forecast.equal)
        found["pit_distance"] = counts.pit_distance(forecast.below, forecast.equal)
        found["pit_histogram"] = counts.pit_histogram(forecast.below, forecast.equal)
    if forecast.probability is not None:
        found["impossible"] = float((forecast.probability <= 0).sum())
        found["log_score"] = counts.log_score(forecast.probability)
    if forecast.covariance is not None:
        found["pit_reference"] = counts.pit_reference(forecast.covariance)
    if forecast.total is not None:
        found |= _total_measured(forecast.total, float(bought.sum()))
        assert forecast.equal is not None
        found["unreached"] = float((forecast.equal == 0).sum())
    absent = (np.array([np.nan]), np.array([np.nan]))
    pairs = [forecast.intervals.get(level, absent) for level in LEVELS]
    found["covered"] = np.array([inside.mean() for inside, _ in pairs])
    found["promised"] = np.array([promised.mean() for _, promised in pairs])
    return found


def _total_measured(simulated: np.ndarray, observed: float) -> dict[str, float]:
    """Return where the real total lies among the simulated ones."""
    low, high = interval(simulated)
    return {
        "total_mean": float(simulated.mean()),
        "total_q05": float(low),
        "total_q95": float(high),
        "total_covered": float(low <= observed <= high),
        "total_rank": float(((simulated < observed).mean() + (simulated <= observed).mean()) / 2),
    }


def _by_frequency(forecast: Scored, place: np.ndarray, classes: int) -> dict[str, Any]:
    """Return means of the forecast in each class of calibration frequency."""
    among = [place == i for i in range(classes)]
    found: dict[str, Any] = {}
    if forecast.purchases is not None:
        found["predicted_by_frequency"] = np.array([forecast.purchases[each].mean() for each in among])
    if forecast.intervals:
        absent = np.full(place.size, np.nan)
        pairs = [forecast.intervals.get(level, (absent, absent)) for level in LEVELS]
        for i, name in enumerate(("covered", "promised")):
            found[f"{name}_by_frequency"] = np.array(
                [[pair[i][each].mean() for pair in pairs] for each in among]
            )
    return found


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
        found["spend_mae"] = mean_absolute_error(forecast.spend, spent)
        found["spend_rmse"] = root_mean_square_error(forecast.spend, spent)
        found["spend_total_error"] = relative_error(forecast.spend.sum(), spent.sum())
    return found


def _add_tracking(
    rows: dict[str, dict[str, Any]],
    forecasts: dict[str, Scored],
    tracked: Mapping[str, xr.Dataset],
    matched: xr.Dataset,
    reasons: list[str],
) -> None:
    """Add the mean relative errors per period and of the running total, over whole periods of the holdout.

    A total without a tracking of its own is spread evenly over the days of the holdout.
    """
    for tracking in tracked.values():
        if "period_purchases" not in matched or not np.array_equal(
            tracking["observed"].values, matched["period_purchases"].values
        ):
            raise InputError(
                "The tracking is not of these customers: the observed purchases per period differ. Give "
                "clv.scoring.simulate_tracking of the customers that carry the holdout."
            )
    later = matched["period_start"].values > np.datetime64(str(matched.attrs["until"]))
    days = np.full(matched.sizes[PERIOD], float(matched.attrs["period_days"]))
    days[-1] = float(matched.attrs.get("last_period_days", days[-1]))
    unit_days = days_per(str(matched.attrs["time_unit"]))
    share = days[later] / (float(matched.attrs["holdout_duration"]) * unit_days)
    observed = matched["period_purchases"].values[later]
    if not later.any():
        reasons.append("No whole period lies in the holdout, so that there is nothing to track.")
        return
    if (observed == 0).any():
        reasons.append(
            f"tracking: {int((observed == 0).sum())} periods without a purchase have no relative error."
        )
    for name, forecast in forecasts.items():
        if forecast.purchases is None:
            continue
        series = forecast.purchases.sum() * share
        if name in tracked:
            series = np.asarray(tracked[name]["purchases"].mean((CHAIN, DRAW)).values)[later]
        rows[name]["tracking_incremental"] = mean_relative_error(series, observed)
        rows[name]["tracking_cumulative"] = mean_relative_error(np.cumsum(series), np.cumsum(observed))
