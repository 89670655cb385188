"""A model, or several, beside simple rules, on the holdout: what they add to what a manager would do without them.

All of it is an aggregation: means over customers of ``clv.scoring.score``, and beside them what belongs to all
customers together: the totals, the order of the customers, the places in the forecasts, purchases over the calendar.
Rejected: accuracy of "active" and "inactive", since the best forecast of a rare event says inactive for everybody.

Counts have no interval of exactly 90 %: the closed interval [q05, q95] of a customer who buys 0 with probability 0.97
is [0, 0] and holds 97 %. The share covered is therefore given beside what the forecast itself promises, the mean
probability of its own intervals; a calibrated forecast agrees with that. So it is with spend, which is often 0.

PSIS-LOO (``clv.compare``) is the complement: it asks about customers left out, in log densities that must be of the
same data; a holdout asks about time left out, and only needs forecasts of the same thing, so that families of different
kinds of observation may be compared.

A measure that does not exist is NaN, with its reason in ``attrs["reasons"]``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import say
from bayes_clv.predictions.tiles import in_order
from bayes_clv.problems import FREQUENT, HOLDOUT_LEVEL, UNLIKELY
from bayes_clv.schema import CUSTOMER, INTERVALS, in_currency
from bayes_clv.scoring import places
from bayes_clv.scoring.baselines import BASELINES
from bayes_clv.scoring.customer_scores import FORECAST, INTERVAL, OBSERVED, scores_of
from bayes_clv.scoring.forecasts import MODEL, Forecasts, gathered
from bayes_clv.scoring.groups import TENTH, TENTHS, groups, groups_by, tenths
from bayes_clv.scoring.holdout import by_model
from bayes_clv.scoring.measures import FREQUENCY, PROPER, SHARE, SHARES, described
from bayes_clv.scoring.metrics import AMOUNTS, PREFIXES, Metric, Quantity, with_own
from bayes_clv.scoring.rankings import Order, Orders, captured_by, order_measures, ordered
from bayes_clv.scoring.shared import shared_variance
from bayes_clv.scoring.summaries import paired_difference, summarise
from bayes_clv.scoring.totals import totals
from bayes_clv.scoring.tracked import tracking_counts, tracking_measures

# Measures that are means over customers, and the scores that they are means of.
MEANS = {
    "mae": "absolute_error",
    "mae_median": "absolute_error_of_median",
    "rmse": "squared_error",
    **{name: name for name in ("crps", "log_crps", "log_score", "brier", "covered", "promised")},
}


def evaluate(
    value: xr.Dataset | Mapping[str, xr.Dataset],
    customers: xr.Dataset,
    *,
    buying: xr.DataTree | Mapping[str, xr.DataTree] | None = None,
    baselines: Sequence[str] = tuple(BASELINES),
    tracking: xr.Dataset | Mapping[str, xr.Dataset] | None = None,
    metrics: Mapping[str, Metric | Callable[[Quantity, np.ndarray], np.ndarray | None]] | None = None,
    hiatus: str | float | None = None,
    draws: int | None = None,
    threads: int | None = None,
) -> xr.Dataset:
    """Return how a forecast of the holdout, or several, did beside simple rules, never on the data of the fit.

    Parameters
    ----------
    value
        Of a posterior that was fitted to the calibration alone: ``clv.predict`` of these customers, with
        ``spending=`` for money, over a horizon equal to ``customers.attrs["holdout_duration"]``; or
        ``clv.scoring.forecast``, what was forecast elsewhere. Or several models by name, predicted with one seed, so
        that a customer's random numbers are the same; the others are held against the first.
    customers
        Customers with a holdout (``clv.summarize(..., holdout_until=...)``).
    buying
        The posterior behind the forecast, or several by the same names. It gives the log scores and the reference of
        ``pit_distance``; without it these are NaN, and retention's are of the share of draws.
    baselines
        Names of ``scoring.baselines.BASELINES``: past_rate, recency_rule, period_mean, pareto_rule.
    tracking
        ``clv.scoring.simulate_tracking`` of these customers, for the tracking measures; or several by the same
        names.
    metrics
        Your own by name, as of ``clv.scoring.score``; their means over customers.
    hiatus
        Silence after which recency_rule gives a customer up; by default taken from the calibration.
    draws
        Posterior draws that the closed form is averaged over, evenly spaced: by default 100, fewer of a family whose
        closed forms are slow (Pareto/GGG: its EXPECTED_DRAWS). Of 1,000 customers with 40 purchases a year
        (MBG/NBD with drift) the mean log score of 100 draws was .0003 from that of 500. Counts go as far as simulated
        purchases reach (mean and 8 standard deviations), and on until at most a millionth is left.
    threads
        Threads of the closed form.

    Returns
    -------
    xarray.Dataset
        Over ``forecast`` ("model" or the models' names, then the baselines) the measures of
        ``scoring.measures.MEASURES``, each with ``units`` and ``better`` among its attributes.

        Customers: errors, ``crps``, ``log_score``, ``covered`` and ``promised`` (``interval``: 50, 80, 90, 95 %),
        ``covered_se``, by how much the share covered is off were the forecast true (over draws, so that what moves all
        customers at once is in it), ``pit_mean``, ``pit_distance`` and ``pit_histogram`` (``bin``), of the
        non-randomised probability integral transform (Czado, Gneiting & Held 2009; even when calibrated). Their order:
        ``concordance``, ``captured`` (``share`` of customers) and ``gini``. Their total: ``total_mean``, its 90 %
        interval ``total_q05`` to ``total_q95``, ``total_covered``, ``total_rank`` (forecasts with draws only),
        ``total_error``, and ``total_log_crps``. With ``retention_``, of any purchase: ``brier``, ``log_score`` and the
        total. With ``spend_`` and ``value_``, of money: all but the log score, and ``log_crps``.

        ``crps_worse`` is a forecast's CRPS less that of the first model, customer by customer, and ``crps_worse_se``
        its standard error: positive means worse; so for every proper score. By tenth of each forecast's own order
        (``tenth``, 1 the lowest), with each prefix: ``predicted_``, ``real_`` and ``customers_by_tenth``, a decile
        chart, and for retention its reliability, with ``retention_real_by_tenth_se``, the standard error were the
        forecast true, with what moves all customers at once (``scoring.shared``). ``unlikely_customers``: whom it gives
        less than 3 % of any purchase, ``unlikely_expected`` of them to buy, and ``unlikely_retained``, who did, with
        its standard error likewise, ``unlikely_retained_se``. Over
        ``frequency`` (calibration frequency 0, 1, …, 6, 7+) ``predicted_``, ``covered_`` and ``promised_by_frequency``,
        and ``frequent_crps``, ``frequent_covered`` and ``frequent_promised`` of customers with at least five repeat
        purchases (``problems.FREQUENT``), where there are any, and ``frequent_covered_least``, the share inside that 99
        of 100 of the forecast's own draws reach. With ``tracking``: ``tracking_incremental`` and
        ``tracking_cumulative``, and over ``part`` and ``periods`` those of ``clv.scoring.tracking_counts``.

        What happened has no ``forecast``: ``total_observed``, ``retention_observed``, ``spend_observed``,
        ``value_observed``, ``customers_by_frequency``, ``observed_by_frequency``, and ``captured_best``, the ranking
        known afterwards. Coordinates ``kind`` ("model" or "rule"), ``label`` and ``note``, how a rule was made. Outcome
        level throughout. ``attrs["reasons"]`` lists what does not exist and why.

    Raises
    ------
    InputError
        No holdout, a horizon that is not the holdout's duration, a future, posterior or tracking of
        something else, no model, a name that is also a baseline's, or an unknown baseline.

    Notes
    -----
    The mean absolute error rewards the median, not the mean: where most customers buy nothing, a rule that
    says 0 does well by it and badly by every other measure. Read the proper scores first: CRPS, its logarithmic scale
    for money, log score, Brier. The references of ``pit_distance`` take customers to be independent given the
    forecasts; that they share one unknown population widens them a little.

    Examples
    --------
    >>> evaluation = evaluate(future, customers, buying=buying)
    >>> both = evaluate({"purchases": future, "with spend": value}, customers)
    """
    forecasts = gathered(
        value,
        customers,
        buying=buying,
        baselines=baselines,
        hiatus=hiatus,
        draws=draws,
        threads=threads,
    )
    scores = scores_of(forecasts, with_own(metrics), threads=threads)
    tracked: dict[str, xr.Dataset] = by_model(tracking, forecasts.models, "tracking")
    own = [name for name in metrics or () if name in scores]
    return evaluation_of(forecasts, scores, tracked, own, threads=threads)


def evaluation_of(
    forecasts: Forecasts,
    scores: xr.Dataset,
    tracked: Mapping[str, xr.Dataset],
    own: list[str],
    *,
    threads: int | None = None,
) -> xr.Dataset:
    """Return the evaluation of forecasts whose scores are known; ``own`` names those of a user's metrics."""
    reasons: list[str] = list(scores.attrs["reasons"])
    if not forecasts.observed["purchases"].any():
        reasons.append(
            say("Nobody bought in the holdout: total_error, concordance, captured and gini do not exist.")
        )
    _add_reasons_of_money(forecasts, reasons)
    best = {
        quantity: ordered(each)
        for quantity in AMOUNTS
        if (each := forecasts.observed.get(quantity)) is not None and not np.isnan(each).any()
    }
    # Each reads all customers' scores, most of it in NumPy and compiled code, which let other threads go on.
    apart: list[Callable[[], dict[str, np.ndarray]]] = [
        lambda: _in_their_places(forecasts, scores),
        lambda: _by_frequency(scores),
        lambda: _worse(scores),
        lambda: _averages(scores, own),
        lambda: _errors_of_cover(forecasts, scores),
        lambda: _frequent(forecasts, scores),
        lambda: _stacked([totals(one, forecasts.observed) for one in forecasts.each.values()]),
    ]
    found = _in_order(forecasts, scores, best, threads)
    for part in in_order(lambda i: apart[i](), range(len(apart)), threads=threads, least=lambda: None):
        found |= part
    found |= _stacked(tracking_measures(forecasts, tracked, reasons)) | _impossible(
        forecasts, scores, reasons
    )
    evaluation = xr.Dataset(
        described(found, {name: scores[name].attrs for name in own}),
        coords={**scores[[FORECAST, INTERVAL, "kind", "label", "note"]].coords, SHARE: SHARES},
    ).assign_coords({TENTH: np.arange(1, TENTHS + 1)})
    if tracked:
        counts = tracking_counts(next(iter(tracked.values())))
        evaluation = evaluation.assign_coords({name: counts[name].values for name in counts.dims})
    evaluation[SHARE].attrs = {"long_name": "share of customers, the highest ranked first", "units": "share"}
    first = forecasts.models[0]
    if first != MODEL and "crps_worse" in evaluation:
        evaluation["crps_worse"].attrs["long_name"] = f"CRPS less that of {first}"
        evaluation["crps_worse_se"].attrs["long_name"] = "standard error of that difference, over customers"
    future = forecasts.first
    return evaluation.assign(_observed(forecasts, scores, best)).assign_attrs(
        result="evaluation",
        customers=int(scores.attrs["customers"]),
        horizon=float(future.attrs["horizon"]),
        time_unit=str(future.attrs["time_unit"]),
        family=", ".join(str(forecasts.each[name].attrs.get("family", "")) for name in forecasts.models),
        draws=int(future.attrs["draws"]),
        level="outcome",
        reasons=reasons,
        **in_currency(future.attrs),
    )


def _stacked(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return each name's values over the forecasts, NaN where a forecast has none."""
    names = dict.fromkeys(name for row in rows for name in row)
    found = {}
    for name in names:
        absent = np.full(np.shape(next(row[name] for row in rows if name in row)), np.nan)
        found[name] = np.array([row.get(name, absent) for row in rows], dtype=float)
    return found


def _averages(scores: xr.Dataset, own: list[str]) -> dict[str, np.ndarray]:
    """Return the measures that are means over customers, or of them, and a user's own."""
    found = {name: scores[name].values.mean(axis=1) for name in own}
    for quantity, prefix in PREFIXES.items():
        for measure, name in MEANS.items():
            if prefix + name in scores:
                means = scores[prefix + name].values.mean(axis=1, dtype=float)
                found[prefix + measure] = np.sqrt(means) if measure == "rmse" else means
        if quantity in AMOUNTS and f"{prefix}predicted" in scores:
            real = float(scores[OBSERVED[quantity]].values.sum())
            error = scores[f"{prefix}predicted"].values.sum(axis=1) - real
            found[f"{prefix}total_error"] = error / real if real > 0 else np.full(error.shape, np.nan)
    return found


def _errors_of_cover(forecasts: Forecasts, scores: xr.Dataset) -> dict[str, np.ndarray]:
    """Return how far the share of customers inside their intervals may be off by chance, (forecast, interval).

    Of simulated futures it is that share's standard deviation over draws, which has in it what moves all customers at
    once; else that of independent customers. Of value, whose draws are not counted, it is not known.
    """
    found = {}
    for prefix in (PREFIXES[quantity] for quantity in AMOUNTS if quantity != "value"):
        if f"{prefix}promised" not in scores:
            continue
        size = scores.sizes[CUSTOMER]
        share = scores[f"{prefix}promised"].values.mean(axis=1, dtype=float)
        error = np.sqrt(share * (1 - share) / size)
        for row, future in zip(error, forecasts.each.values(), strict=True):
            for i, level in enumerate(INTERVALS):
                name = f"{prefix}inside_{level}_total"
                if name in future and future[name].size > 1:
                    row[i] = future[name].values.std(ddof=1) / size
        found[f"{prefix}covered_se"] = error
    return found


def _in_their_places(forecasts: Forecasts, scores: xr.Dataset) -> dict[str, np.ndarray]:
    """Return how even the places of what happened in the forecasts are, of purchases and of money."""
    rows: list[dict[str, Any]] = []
    for i, future in enumerate(forecasts.each.values()):
        row: dict[str, Any] = {}
        for quantity in AMOUNTS:
            prefix = PREFIXES[quantity]
            if f"{prefix}below" not in scores or np.isnan(scores[f"{prefix}below"].values[i]).any():
                continue
            below, equal = (scores[f"{prefix}{name}"].values[i] for name in ("below", "equal"))
            row[f"{prefix}pit_mean"] = places.pit_mean(below, equal)
            row[f"{prefix}pit_distance"] = places.pit_distance(below, equal)
            row[f"{prefix}pit_histogram"] = places.pit_histogram(below, equal)
        if "pit_reference" in future.attrs:
            row["pit_reference"] = float(future.attrs["pit_reference"])
        if "spend_pit_mean" in row:
            # Spend and value are nothing together, and so have one reference.
            nothing = 1 - np.asarray(future["probability_active"].values)
            reference = places.pit_reference(places.amount_covariance(nothing))
            row |= {
                f"{each}pit_reference": reference for each in ("spend_", "value_") if f"{each}pit_mean" in row
            }
        rows.append(row)
    return _stacked(rows)


def _in_order(
    forecasts: Forecasts, scores: xr.Dataset, best: Mapping[str, Order], threads: int | None
) -> dict[str, np.ndarray]:
    """Return how well each forecast orders customers, by its means or what a rule ranks by; and all by tenth of it.

    A forecast at a time, whose columns are sorted once; ``best`` are the orders of what happened.
    """
    futures = list(forecasts.each.values())

    def measured(i: int) -> tuple[dict[str, Any], dict[str, Any]]:
        orders = Orders()
        found: dict[str, Any] = {}
        for quantity, best_order in best.items():
            amounts = forecasts.observed[quantity]
            ranked_by = _rank(futures[i], quantity)
            if ranked_by is not None and not np.isnan(ranked_by).any():
                each = order_measures(orders.of(ranked_by), amounts, best_order, SHARES)
                found |= {PREFIXES[quantity] + name: value for name, value in each.items()}
        return found, _by_tenth(scores.isel({FORECAST: i}), futures[i], orders)

    rows = list(in_order(measured, range(len(futures)), threads=threads))
    return _stacked([row for row, _ in rows]) | _stacked([tenth for _, tenth in rows])


def _rank(future: xr.Dataset, quantity: str) -> np.ndarray | None:
    """Return what a forecast orders customers by; of value a rule's order is that of spend."""
    for name in (f"{quantity}_rank", f"{quantity}_mean", "spend_rank" if quantity == "value" else ""):
        if name in future:
            return np.asarray(future[name].values, dtype=float)
    return None


def _worse(scores: xr.Dataset) -> dict[str, np.ndarray]:
    """Return how much worse than the first each other forecast is by the proper scores, and the error of that."""
    found = {}
    for name in PROPER:
        if name not in scores:
            continue
        values = scores[name].values
        pairs = [(np.nan, np.nan), *(paired_difference(each, values[0]) for each in values[1:])]
        found[f"{name}_worse"], found[f"{name}_worse_se"] = np.array(pairs).T
    return found


def _by_frequency(scores: xr.Dataset) -> dict[str, np.ndarray]:
    """Return means of each forecast in each class of calibration frequency."""
    names = ["predicted"]
    names += [f"{PREFIXES[quantity]}{name}" for quantity in AMOUNTS for name in ("covered", "promised")]
    _, _, classes = groups_by(scores, FREQUENCY)
    return {
        f"{name}_by_frequency": np.stack([classes.means(each) for each in scores[name].values])
        for name in names
        if name in scores
    }


def _frequent(forecasts: Forecasts, scores: xr.Dataset) -> dict[str, np.ndarray]:
    """Return means of each forecast over customers with at least FREQUENT repeat purchases, nothing without one.

    And of simulated futures the share inside their own intervals that all but 1 of 100 draws reach: what moves all
    customers at once moves that share, which independent customers' binomial does not know.
    """
    chosen = scores["frequency"].values >= FREQUENT
    if not chosen.any():
        return {}
    names = ("crps", "covered", "promised")
    few = {name: scores[name].variable.isel({CUSTOMER: chosen}).astype(float) for name in names}
    found = {f"frequent_{name}": values.mean(CUSTOMER).values for name, values in few.items()}
    least = np.full(found["frequent_covered"].shape, np.nan)
    for row, future in zip(least, forecasts.each.values(), strict=True):
        for i, level in enumerate(INTERVALS):
            name = f"frequent_inside_{level}_total"
            if name in future and future[name].size > 1:
                row[i] = (
                    np.quantile(future[name].values, 1 - HOLDOUT_LEVEL, method="inverted_cdf") / chosen.sum()
                )
    return found | {"frequent_covered_least": least}


def _by_tenth(scores: xr.Dataset, future: xr.Dataset, orders: Orders) -> dict[str, Any]:
    """Return one forecast and reality by tenth of the forecast, and of those who should hardly buy."""
    found: dict[str, Any] = {}
    shared = np.zeros(TENTHS)
    for quantity, prefix in PREFIXES.items():
        if f"{prefix}predicted" not in scores:
            continue
        column = scores[f"{prefix}predicted"].values
        group = tenths(column, None if np.isnan(column).any() else orders.of(column))
        real = np.asarray(scores[OBSERVED[quantity]].values, dtype=float)
        for name, each in (("predicted", group.means(column)), ("real", group.means(real))):
            found[f"{prefix}{name}_by_tenth"] = each
        found[f"{prefix}customers_by_tenth"] = group.counts
        if quantity == "retention":
            shared = shared_variance(group, future)
    chance, retained = scores["retention_predicted"].values, scores["retained"].values
    known, unlikely = not np.isnan(chance).any(), chance < UNLIKELY
    for name, value in (
        ("customers", unlikely.sum()),
        ("expected", np.where(unlikely, chance, 0).sum()),
        ("retained", (unlikely & retained).sum()),
    ):
        found[f"unlikely_{name}"] = float(value) if known else np.nan
    of_them = np.where(unlikely, chance * (1 - chance), 0).sum()
    of_them += shared_variance(groups(np.where(unlikely, 0, -1), 1), future)[0] if known else np.nan
    found["unlikely_retained_se"] = float(np.sqrt(of_them))
    share, size = found["retention_predicted_by_tenth"], found["retention_customers_by_tenth"]
    with np.errstate(invalid="ignore", divide="ignore"):
        found["retention_real_by_tenth_se"] = np.sqrt(share * (1 - share) / size + shared / size**2)
    return found


def _impossible(forecasts: Forecasts, scores: xr.Dataset, reasons: list[str]) -> dict[str, np.ndarray]:
    """Return how many did what a forecast held impossible, and what no draw reached."""
    found = {"impossible": np.zeros(len(forecasts.each)), "unreached": np.full(len(forecasts.each), np.nan)}
    for i, (name, future) in enumerate(forecasts.each.items()):
        counts = {
            measure: int(np.isinf(scores[measure].values[i]).sum())
            for measure in ("log_score", "retention_log_score")
            if measure in scores
        }
        found["impossible"][i] = counts.get("log_score", 0)
        if len(counts) == 2 and len(set(counts.values())) == 1 and any(counts.values()):
            reasons.append(
                say(
                    "{forecast}: its log scores, of purchases and of retention, are infinite, because {never} "
                    "customers did what it held impossible.",
                    forecast=name,
                    never=counts["log_score"],
                )
            )
            counts = {}
        reasons += [
            say(
                "{forecast}: {measure} is infinite, because {never} customers did what it held impossible.",
                forecast=name,
                measure=measure,
                never=never,
            )
            for measure, never in counts.items()
            if never
        ]
        if "purchases_total" in future:
            found["unreached"][i] = (scores["equal"].values[i] == 0).sum()
    return found


def _add_reasons_of_money(forecasts: Forecasts, reasons: list[str]) -> None:
    if "spend" not in forecasts.observed:
        priced = any("spend_mean" in each for each in forecasts.each.values())
        reasons.insert(
            0,
            say("Money is not scored: the customers have no holdout_spend.")
            if priced
            else say("Money is not scored: the future has no spend."),
        )


def _observed(forecasts: Forecasts, scores: xr.Dataset, best: Mapping[str, Order]) -> dict[str, Any]:
    """Return what happened, which has no forecast."""
    real = forecasts.observed
    by_frequency = summarise(scores, FREQUENCY, names=[])
    found: dict[str, Any] = {
        "total_observed": (
            (),
            int(real["purchases"].sum()),
            {"long_name": "purchases of all customers", "units": "purchases"},
        ),
        "retention_observed": (
            (),
            int(real["retention"].sum()),
            {"long_name": "customers with any purchase", "units": "customers"},
        ),
        "customers_by_frequency": by_frequency["customers"],
        "observed_by_frequency": by_frequency["real"].assign_attrs(
            long_name="mean purchases in the holdout", units="purchases"
        ),
    }
    for quantity, amounts in real.items():
        prefix = PREFIXES[quantity]
        if quantity in ("spend", "value"):
            attrs = {"long_name": f"{quantity} of all customers", "units": "money"}
            found[f"{prefix}observed"] = ((), float(amounts.sum()), attrs)
        if quantity in AMOUNTS:
            order = best[quantity] if quantity in best else ordered(amounts)
            found[f"{prefix}captured_best"] = (SHARE, captured_by(order, amounts, SHARES))
    return found
