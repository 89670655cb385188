"""What is scored: models' forecasts, those made elsewhere and simple rules, all in the names of ``clv.predict``.

A posterior adds to its forecast what simulated futures cannot give: P(Y = n) in closed form, averaged over draws, of
what happened (a count which no draw reached has its probability still) and of no purchase, and how far from even the
places in true forecasts are. Rejected for the log score: the simulated shares with something added, since the amount
added would decide the score of the rarest counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from bayes_clv.customers.opportunities import COLUMNS as OPPORTUNITIES
from bayes_clv.language import say
from bayes_clv.predictions.histories import distinct_histories, purchase_history, recency_last
from bayes_clv.predictions.inputs import refuse_another_kind, shared_time_unit
from bayes_clv.predictions.parameters import Kind, Parameters, parameters
from bayes_clv.predictions.tiles import closed_form_draws, in_order, over_tiles, rows_of
from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.scoring.baselines import BASELINES, baseline
from bayes_clv.scoring.counts import CountScores, count_scores
from bayes_clv.scoring.elsewhere import forecast
from bayes_clv.scoring.holdout import by_model, happened, matched_holdout
from bayes_clv.scoring.places import pit_reference
from bayes_clv.scoring.shared import uncounted, with_drawn_share
from bayes_clv.units import duration

MODEL = "model"
# Draws of the closed form: on CDNOW the mean log score then differs from that of 500 draws by 0.0001.
CLOSED_FORM_DRAWS = 100
# Probabilities (row, draw, count) at once, 32 MB; and standard deviations above a mean that leave out a millionth.
AT_ONCE, SPREADS = 4_194_304, 8.0


@dataclass(frozen=True)
class Forecasts:
    """Forecasts by name, models first, in one order of customers, and what happened.

    Attributes
    ----------
    each : dict of str to Dataset
        In the names of ``clv.predict``; rules have ``purchases_rank`` and ``spend_rank`` too, what they order by.
    models : list of str
        Which of them are no rules.
    customers : Dataset
        In the forecasts' order.
    observed : dict of str to array
        What happened, as far as it is known: purchases, retention, spend, value.
    reasons : list of str
        What cannot be scored, and why.
    """

    each: dict[str, xr.Dataset]
    models: list[str]
    customers: xr.Dataset
    observed: dict[str, np.ndarray]
    reasons: list[str]

    @property
    def first(self) -> xr.Dataset:
        """Return the first model's forecast."""
        return self.each[self.models[0]]


def gathered(
    value: xr.Dataset | Mapping[str, xr.Dataset],
    customers: xr.Dataset,
    *,
    buying: xr.DataTree | Mapping[str, xr.DataTree] | None,
    baselines: Sequence[str],
    hiatus: str | float | None,
    draws: int | None,
    threads: int | None,
) -> Forecasts:
    """Return what is scored, checked and matched by customer id; arguments as of ``clv.evaluate``."""
    given = {MODEL: value} if isinstance(value, xr.Dataset) else value
    if not isinstance(given, Mapping) or not all(isinstance(each, xr.Dataset) for each in given.values()):
        raise InputError(
            "A forecast to score is what clv.predict or clv.scoring.forecast returns, or a dict of such by name; it is "
            f"a {type(value).__name__}."
        )
    models = list(given)
    _check_names(models, baselines)
    matched = matched_holdout(customers, given[models[0]])
    each = {name: _aligned(one, customers, matched[CUSTOMER].to_numpy()) for name, one in given.items()}
    first = each[models[0]]
    if hiatus is not None:
        duration(hiatus, str(first.attrs["time_unit"]))
    posteriors: dict[str, xr.DataTree] = by_model(buying, models, "buying")
    reasons: list[str] = []
    for name in models:
        if name in posteriors:
            each[name] = with_closed_form(each[name], matched, posteriors[name], draws=draws, threads=threads)
        elif "holdout_probability" not in each[name]:
            reasons.append(f"{name}: log_score and pit_reference need the posterior (buying=...).")
        if uncounted(each[name]):
            reasons.append(
                say(
                    "{forecast} was made by a version that did not count, in each future, who buys at all: tenths of "
                    "the forecast and customers given up are judged as if customers were independent, so that what "
                    "moves all of them at once may fail these checks. Predict again.",
                    forecast=name,
                )
            )
    margin, annual, discount = _money(each, reasons)
    observed, _, unknown = happened(matched, margin, annual)
    if any("spend_mean" in one for one in each.values()):
        reasons += unknown
    else:
        observed = {name: real for name, real in observed.items() if name not in ("spend", "value")}
    rules = list(dict.fromkeys(baselines))

    def ruled(place: int) -> xr.Dataset | InputError:
        try:
            return _rule(rules[place], first, matched, hiatus, margin, annual, discount)
        except InputError as error:
            return error

    for name, rule in zip(rules, in_order(ruled, range(len(rules)), threads=threads), strict=True):
        if isinstance(rule, InputError):
            reasons.append(f"{name}: {rule}")
            continue
        each[name] = rule
        if "purchases_mean" not in rule:
            reasons.append(
                say(
                    "{forecast} ranks customers and forecasts nothing, so that only its ranking is scored.",
                    forecast=name,
                )
            )
    return Forecasts(each, models, matched, observed, reasons)


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


def _money(each: dict[str, xr.Dataset], reasons: list[str]) -> tuple[float, float, float]:
    """Return margin, annual and continuous discount rate of the first forecast with a value.

    What happened has one value: that of forecasts with another margin or rate is left out of ``each``.
    """
    terms = {
        name: (
            float(one.attrs["margin"]),
            float(one.attrs["annual_discount_rate"]),
            float(one.attrs["discount_rate"]),
        )
        for name, one in each.items()
        if "value_mean" in one
    }
    if not terms:
        return 1.0, 0.0, 0.0
    first, kept = next(iter(terms.items()))
    for name, found in terms.items():
        if not np.allclose(found, kept, rtol=1e-9, atol=0):
            each[name] = each[name].drop_vars("value_mean")
            reasons.append(
                f"{name}: its value is not scored, because margin or discount differ from those of {first} "
                f"({found[0]:g} and {found[1]:g} a year against {kept[0]:g} and {kept[1]:g})."
            )
    return kept


def _rule(
    name: str,
    first: xr.Dataset,
    matched: xr.Dataset,
    hiatus: str | float | None,
    margin: float,
    annual: float,
    discount: float,
) -> xr.Dataset:
    """Return a rule as a forecast; its money is spread evenly over the horizon, where it is discounted."""
    length = float(first.attrs["horizon"])
    rule = baseline(name, matched, horizon=length, hiatus=hiatus)
    long_name = BASELINES[name].long_name
    ranks = {"purchases_rank": rule.rank_purchases, "spend_rank": rule.rank_spend}
    found = xr.Dataset(
        coords={CUSTOMER: matched.get_index(CUSTOMER)}, attrs={"label": long_name, "note": rule.note}
    )
    if rule.purchases is not None:
        even = 1.0 if discount == 0 else -np.expm1(-discount * length) / (discount * length)
        found = forecast(
            matched,
            length,
            purchases=rule.purchases,
            spend=rule.spend,
            value=None if rule.spend is None else margin * even * rule.spend,
            margin=margin,
            annual_discount_rate=annual,
            label=long_name,
        )
        found.attrs["note"] = f"{rule.note}; {found.attrs['note']}"
    return found.assign({name: (CUSTOMER, rank) for name, rank in ranks.items() if rank is not None})


def with_closed_form(
    future: xr.Dataset, matched: xr.Dataset, buying: xr.DataTree, *, draws: int | None, threads: int | None
) -> xr.Dataset:
    """Return the forecast with what its posterior says in closed form, averaged over draws.

    ``holdout_probability``, P(as many purchases as happened), ``probability_active`` and
    ``probability_inactive``, which keeps its digits where it is small, and the ``pit_reference`` among the attributes.
    """
    closed = closed_form_scores(buying, matched, future, draws=draws, threads=threads)
    return (
        with_drawn_share(future)
        .assign(
            holdout_probability=(CUSTOMER, closed.equal),
            probability_active=(CUSTOMER, closed.some),
            probability_inactive=(CUSTOMER, closed.none),
        )
        .assign_attrs(pit_reference=pit_reference(closed.covariance))
    )


def closed_form_scores(
    buying: xr.DataTree, matched: xr.Dataset, future: xr.Dataset, *, draws: int | None, threads: int | None
) -> CountScores:
    """Return the scores of P(Y = n) averaged over draws, on the distinct histories."""
    discrete = all(name in matched for name in OPPORTUNITIES)
    fitted_to: Kind = "opportunities" if discrete else "buying"
    known = parameters(buying, fitted_to, calendar=True, over_time=True, grouped=True)
    refuse_another_kind(known.family.name, matched, discrete=discrete)
    shared_time_unit(buying, matched)
    matched = known.placed(matched)
    horizon = float(future.attrs["horizon"])
    _refuse_other_posterior(known, matched, future)
    thinned = closed_form_draws(known, draws, CLOSED_FORM_DRAWS).of(matched).until(horizon)
    histories = distinct_histories(thinned.columns | recency_last(purchase_history(matched, thinned.family)))
    row = histories.spread(histories.row)

    def probabilities(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        def at_counts(history: dict[str, np.ndarray], each: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
            shape = numbers.size, rows_of(history), thinned.size
            chance = np.broadcast_to(thinned.forecast.pmf(numbers, horizon, history, each), shape)
            return (chance.mean(axis=-1).T,)

        step, found = max(1, AT_ONCE // (thinned.size * numbers.size)), []
        for start in range(0, rows.size, step):
            some = rows[start : start + step]
            part = replace(histories, columns={n: column[some] for n, column in histories.columns.items()})
            found += over_tiles(part, thinned, at_counts, threads=threads)
        return np.concatenate(found)

    bought = np.asarray(matched["holdout_purchases"].values)
    return count_scores(probabilities, row, bought, likely=_likely_counts(future), threads=threads)


def _likely_counts(future: xr.Dataset) -> np.ndarray | None:
    """Return how many counts are likely to hold all of each customer's forecast but a millionth."""
    mean, sd = (_values(future, f"purchases_{name}") for name in ("mean", "sd"))
    return None if mean is None or sd is None else np.ceil(mean + SPREADS * sd + 1).astype(np.int64)


def _values(future: xr.Dataset, name: str) -> np.ndarray | None:
    return np.asarray(future[name].values) if name in future else None


def _refuse_other_posterior(known: Parameters, matched: xr.Dataset, future: xr.Dataset) -> None:
    """Refuse a posterior that does not give the future's purchases_expected of its first customers."""
    if "purchases_expected" not in future:
        raise InputError("The forecast was made elsewhere: it has no posterior. Leave buying out for it.")
    first = matched.isel({CUSTOMER: slice(5)})
    thinned = known.thin(int(future.attrs.get("expected_draws", known.size))).of(first)
    thinned = thinned.until(float(future.attrs["horizon"]))
    some = {name: column[:, None] for name, column in purchase_history(first, thinned.family).items()}
    values = thinned.at(thinned.columns)
    expected = thinned.forecast.purchases(float(future.attrs["horizon"]), some, values)
    # A future may have been computed to six digits alone.
    if not np.allclose(expected.mean(axis=1), future["purchases_expected"].values[:5], rtol=1e-4, atol=1e-6):
        raise InputError(
            "The future was not simulated from this posterior: its purchases_expected differ. Give the buying "
            "posterior that clv.predict was given."
        )
