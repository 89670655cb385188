"""A forecast as it is scored: what it says of each customer, and its distribution at what happened."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr
from scipy import stats

from bayes_clv.predictions.histories import distinct_histories, purchase_history
from bayes_clv.predictions.inputs import shared_time_unit
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.tiles import closed_form_draws, mean_over_draws
from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, InputError
from bayes_clv.scoring.baselines import BASELINES, baseline
from bayes_clv.scoring.counts import LEVELS, CountScores, count_scores

# Draws of the closed form: on CDNOW the mean log score then differs from that of 500 draws by 0.0001.
CLOSED_FORM_DRAWS = 100


@dataclass(frozen=True)
class Scored:
    """A forecast to be scored: what it says of customers, and its distribution at what happened.

    ``below`` and ``equal`` (P(Y < y), P(Y = y)), ``crps`` and ``median`` are per customer, ``intervals`` maps a level
    to covered and promised, ``total`` holds draws; None or absent where the forecast has none. ``probability`` is
    P(Y = y) in closed form.
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
    total: np.ndarray | None = None
    probability: np.ndarray | None = None
    covariance: np.ndarray | None = None
    intervals: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def with_counts(self, scores: CountScores) -> "Scored":
        """Return it with the scores of its closed form; what was simulated already is kept."""

        def kept(simulated: np.ndarray | None, closed: np.ndarray) -> np.ndarray:
            return closed if simulated is None else simulated

        closed = {level: (scores.covered[i], scores.promised[i]) for i, level in enumerate(LEVELS)}
        return replace(
            self,
            below=kept(self.below, scores.below),
            equal=kept(self.equal, scores.equal),
            crps=kept(self.crps, scores.crps),
            median=kept(self.median, scores.median),
            probability=scores.equal,
            covariance=scores.covariance,
            intervals=closed | self.intervals,
        )


def model_scored(future: xr.Dataset, matched: xr.Dataset) -> Scored:
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
        f"{future.attrs.get('family', 'model')}, simulated futures",
        rank_purchases=column["purchases_mean"],
        purchases=column["purchases_mean"],
        spend=spend,
        rank_spend=spend,
        below=column["draws_below"] / size,
        equal=column["draws_equal"] / size,
        crps=column["crps"],
        median=column["purchases_q50"],
        total=np.asarray(future["purchases_total"].values).ravel(),
        intervals=intervals,
    )


def add_baselines(
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


def closed_form_scores(
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

    def probabilities(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        part = replace(histories, columns={name: column[rows] for name, column in histories.columns.items()})

        def at_counts(history: dict[str, np.ndarray], each: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
            return tuple(known.forecast.pmf(numbers, horizon, history, each))

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
    return count_scores(lambda rows, n: stats.poisson.pmf(n, distinct[rows, None]), row, bought)
