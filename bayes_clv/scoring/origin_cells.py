"""The cells of rolling origins: the scores of a fit, a function or a rule at one origin, over one horizon, as numbers.

A fit is made once an origin, when a cell first needs it. A function of a user's is asked once more with the holdouts of
other customers: one that looks ahead forecasts another thing then, and is refused.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.families.registry import family as find_family
from bayes_clv.inference.data import observed
from bayes_clv.inference.effects import learn_effects
from bayes_clv.inference.fitting import fit
from bayes_clv.predictions.forecasts import predict
from bayes_clv.schema import CUSTOMER, PERIOD, InputError, listed
from bayes_clv.scoring.baselines import baseline
from bayes_clv.scoring.cells import as_plain, metric_key
from bayes_clv.scoring.clusters import block_sums, blocks
from bayes_clv.scoring.customer_scores import FORECAST, INTERVAL, scores_of
from bayes_clv.scoring.elsewhere import forecast
from bayes_clv.scoring.evaluation import evaluation_of
from bayes_clv.scoring.fits import Fit, Forecaster
from bayes_clv.scoring.forecasts import gathered
from bayes_clv.scoring.metrics import Metric

CHAINS = 4
# Of one customer's forecast, the scores whose differences are held against their errors: proper ones.
COMPARED = (
    "crps",
    "log_score",
    "retention_log_score",
    "retention_brier",
    "spend_log_crps",
    "spend_crps",
    "value_log_crps",
    "value_crps",
)
# The anchor that rules are scored beside.
_NOTHING = "nothing"

type Cell = dict[str, Any]


class _LookedAhead(Exception):
    """A function that reads the holdout."""


@dataclass(frozen=True)
class Asked:
    """What is asked of every cell: seed and draws of the fits, terms of value, and metrics (``own``: the user's)."""

    seed: int
    draws: int
    threads: int | None
    priced: bool
    margin: float
    annual_discount_rate: float
    metrics: Mapping[str, Metric]
    own: tuple[str, ...]

    @property
    def valued(self) -> bool:
        """Return whether value is another thing than spend."""
        return (self.margin, self.annual_discount_rate) != (1.0, 0.0)

    @property
    def key(self) -> dict[str, Any] | None:
        """Return what it is known by on disk; None with a metric that cannot be known again."""
        own = {name: metric_key(self.metrics[name]) for name in self.own}
        if None in own.values():
            return None
        terms = (
            {"margin": self.margin, "annual_discount_rate": self.annual_discount_rate} if self.valued else {}
        )
        return {"seed": self.seed, "draws": self.draws} | terms | ({"metrics": own} if own else {})


@dataclass
class Made:
    """The fits of one origin, made when a cell needs them; a fit that failed fails again without being tried."""

    asked: Asked
    trees: dict[str, xr.DataTree | Exception] = field(default_factory=dict)

    def tree(self, what: Fit, customers: xr.Dataset, seed: int) -> xr.DataTree:
        """Return the posterior of a fit of these customers."""
        known = json.dumps({**what.key, "spending": None, "seed": seed})
        if known not in self.trees:
            try:
                self.trees[known] = fit(
                    what.family,
                    customers,
                    method=what.method,
                    priors=what.priors,
                    covariates=what.covariates,
                    groups=what.groups,
                    calendar=what.calendar,
                    over_time=what.over_time,
                    draws=self.asked.draws,
                    chains=CHAINS,
                    seed=seed,
                    progress=False,
                )
            except Exception as error:
                self.trees[known] = error
        found = self.trees[known]
        if isinstance(found, Exception):
            raise found
        return found


def check_effects(wanted: Mapping[str, Fit | Forecaster], customers: xr.Dataset) -> None:
    """Refuse before the first fit covariates and groups that no fit could take."""
    for each in wanted.values():
        for one in (each, each.money) if isinstance(each, Fit) else ():
            if one is not None and (one.covariates or one.groups):
                record = find_family(one.family)
                used = customers.isel({CUSTOMER: observed(record, customers).usable})
                learn_effects(record, used, one.covariates, one.groups)


def scored_cells(
    names: Sequence[str],
    wanted: Mapping[str, Fit | Forecaster],
    customers: xr.Dataset,
    made: Made,
    unproved: set[str],
) -> Iterator[tuple[str, Cell | Exception]]:
    """Yield the cell of each name, or why it could not be made; rules are scored together, last."""
    for name in names:
        if name not in wanted:
            continue
        try:
            cell = _fit_cell(name, wanted[name], customers, made, name in unproved)
        except _LookedAhead as error:
            raise InputError(str(error)) from None
        except Exception as error:
            yield name, error
        else:
            unproved.discard(name)
            yield name, cell
    rules = [name for name in names if name not in wanted]
    try:
        found = _rule_cells(rules, customers, made.asked) if rules else {}
    except Exception as error:
        yield from dict.fromkeys(rules, error).items()
    else:
        for name in rules:
            yield name, found[name] if name in found else _why_not(name, customers)


def _fit_cell(name: str, what: Fit | Forecaster, customers: xr.Dataset, made: Made, unproved: bool) -> Cell:
    """Return the scores of a fit, or of a function, over the customers' holdout."""
    horizon, asked = float(customers.attrs["holdout_duration"]), made.asked
    if isinstance(what, Fit):
        buying = made.tree(what, customers, asked.seed)
        money: dict[str, Any] = {}
        if what.money is not None:
            money = {
                "spending": made.tree(what.money, customers, asked.seed + 1),
                "margin": asked.margin,
                "annual_discount_rate": asked.annual_discount_rate,
            }
        future = predict(buying, customers, horizon, **money, seed=asked.seed + 2, threads=asked.threads)
        return _cells([name], future, customers, asked, buying=buying)[name]
    future = what(customers, horizon, asked.seed + 2)
    if not isinstance(future, xr.Dataset):
        raise InputError(
            f"The function returned a {type(future).__name__}; return clv.scoring.forecast(customers, horizon, "
            "purchases=...)."
        )
    if unproved:
        _refuse_looking_ahead(name, what, customers, future, asked.seed + 2)
    _refuse_other_terms(future, asked)
    return _cells([name], future, customers, asked)[name]


def _refuse_other_terms(future: xr.Dataset, asked: Asked) -> None:
    """Refuse a value after another margin or discount than what happened is held against."""
    given = tuple(float(future.attrs.get(name, np.nan)) for name in ("margin", "annual_discount_rate"))
    wanted = (asked.margin, asked.annual_discount_rate)
    if asked.valued and "value_mean" in future and not np.allclose(given, wanted, rtol=1e-9, atol=0):
        raise InputError(
            f"The function's value is of margin {given[0]:g} and annual discount rate {given[1]:g}, and asked are "
            f"{wanted[0]:g} and {wanted[1]:g}: clv.scoring.forecast(..., value=..., margin={wanted[0]:g}, "
            f"annual_discount_rate={wanted[1]:g})."
        )


def _refuse_looking_ahead(
    name: str, function: Forecaster, customers: xr.Dataset, future: xr.Dataset, seed: int
) -> None:
    """Refuse a function that forecasts another thing where the holdout is that of other customers."""
    others = customers.copy()
    for each in customers.data_vars:
        if str(each).startswith("holdout_"):
            others[each] = (CUSTOMER, np.roll(customers[each].to_numpy(), 1))
    if PERIOD in customers.dims:
        later = np.arange(customers.sizes[PERIOD]) >= int(customers.attrs["calibration_periods"])
        others["period_purchases"] = customers["period_purchases"].where(~later, 0)
    again = function(others, float(customers.attrs["holdout_duration"]), seed)
    if not np.array_equal(
        again["purchases_mean"].to_numpy(), future["purchases_mean"].to_numpy(), equal_nan=True
    ):
        raise _LookedAhead(
            f"The function {name!r} forecasts otherwise where the customers' holdout is exchanged, so that it looks "
            "ahead; or its chance does not come from the seed alone. Use the columns of the calibration only, and "
            "numpy.random.default_rng(seed)."
        )


def _rule_cells(names: list[str], customers: xr.Dataset, asked: Asked) -> dict[str, Cell]:
    """Return the scores of simple rules; what they are scored beside forecasts nothing."""
    nobody = np.zeros(customers.sizes[CUSTOMER])
    anchor = forecast(
        customers,
        customers.attrs["holdout_duration"],
        purchases=nobody,
        spend=nobody if asked.priced else None,
        value=nobody if asked.valued else None,
        margin=asked.margin,
        annual_discount_rate=asked.annual_discount_rate,
    )
    return _cells(names, anchor, customers, asked, rules=True)


def _why_not(name: str, customers: xr.Dataset) -> Exception:
    """Return why a rule cannot be applied."""
    try:
        baseline(name, customers, horizon=customers.attrs["holdout_duration"])
    except InputError as error:
        return error
    raise RuntimeError(f"The rule {name} can be applied and has no scores.")


def _cells(
    names: list[str],
    future: xr.Dataset,
    customers: xr.Dataset,
    asked: Asked,
    *,
    buying: xr.DataTree | None = None,
    rules: bool = False,
) -> dict[str, Cell]:
    """Return what is kept of the scores of a model, or of rules: plain numbers and texts."""
    model = _NOTHING if rules else names[0]
    forecasts = gathered(
        {model: future},
        customers,
        buying={model: buying} if buying is not None else None,
        baselines=names if rules else (),
        hiatus=None,
        draws=None,
        threads=asked.threads,
    )
    each = scores_of(forecasts, asked.metrics, threads=asked.threads)
    own = [name for name in asked.own if name in each]
    found = evaluation_of(forecasts, each, {}, own, threads=asked.threads)
    block = blocks(each[CUSTOMER].to_numpy())
    # Money without margin and discount would be there twice.
    unasked = () if asked.valued else ("value_",)
    happened = {
        str(key): values
        for key, values in found.data_vars.items()
        if values.dims == () and not str(key).startswith(unasked)
    }
    # What is worse is held against the first of its own cell, which is nothing.
    measures = {
        str(key): values
        for key, values in found.data_vars.items()
        if values.dims in ((FORECAST,), (FORECAST, INTERVAL))
        and not ("_worse" in str(key) or str(key).startswith(unasked))
    }
    sizes = block_sums(np.ones(block.size), block).astype(int).tolist()
    reasons = listed(found.attrs, "reasons")
    cells = {}
    for place, name in enumerate(found[FORECAST].to_numpy().tolist()):
        if name not in names:
            continue
        others = tuple(
            f"{other}{after}" for other in (*names, model) if other != name for after in (":", " ")
        )
        cells[name] = {
            "measures": {key: as_plain(values.values[place]) for key, values in measures.items()},
            "observed": {key: as_plain(values.values) for key, values in happened.items()},
            "words": {key: _words(values) for key, values in (measures | happened).items()},
            "sums": {
                key: as_plain(block_sums(each[key].values[place], block))
                for key in COMPARED
                if key in each and not key.startswith(unasked)
            },
            "blocks": sizes,
            "customers": int(block.size),
            "label": str(found["label"].values[place]),
            "reasons": [text for text in reasons if not text.startswith(others)],
            "problems": [
                f"{name} at {customers.attrs['until']}: {text}" for text in listed(future.attrs, "problems")
            ],
        }
    return cells


def _words(values: xr.DataArray) -> dict[str, str]:
    """Return what a measure says of itself."""
    return {k: str(v) for k, v in values.attrs.items() if k in ("long_name", "units", "better", "level")}
