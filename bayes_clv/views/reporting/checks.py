"""The checks of a run, gathered: of fits their diagnostics, of predictions their reasons, of customers their audit.

Nothing is measured here that another stage has measured; this module gathers, so that no report can omit what failed.
A fit without diagnostics is itself a failed check. The command line and ``run.json`` take `failures` too.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy import optimize, stats

from bayes_clv.customers.oddities import oddities
from bayes_clv.families.registry import EXTENSIONS, changing, has_calendar, has_form
from bayes_clv.inference.criticism.independence import spend_independence
from bayes_clv.language import say, say_kept
from bayes_clv.problems import (
    CORRELATION_MAX,
    FREQUENT,
    HOLDOUT_LEVEL,
    HORIZON_MAX,
    MARGIN_MAX,
    ONE_SIDED,
    RATE_MAX,
    SPEND_ERRORS,
    SPEND_MAX,
    TENTH_ERRORS,
    Card,
    cards,
    problem,
    read_problem,
)
from bayes_clv.remedies import Ran
from bayes_clv.schema import UNSTATED, InputError, Problem, listed
from bayes_clv.scoring.measures import record
from bayes_clv.scoring.shared import buyer_chances
from bayes_clv.scoring.spending import spend_check
from bayes_clv.units import DAYS_PER_YEAR, TIME_UNITS, days_per, in_plural
from bayes_clv.views.numbers import money
from bayes_clv.views.reporting import verdicts


def failures(
    buying: xr.DataTree,
    spending: xr.DataTree | None,
    customers: xr.Dataset,
    value: xr.Dataset,
    evaluation: xr.Dataset | None,
    tracking: xr.Dataset | None = None,
) -> list[Problem]:
    """Return everything that failed in a run; ``bayes_clv.problems.cards`` says it, one card a cause."""
    fits = [("Purchases", buying), *([("Spend", spending)] if spending is not None else [])]
    return [
        *(each for what, tree in fits for each in fit_problems(tree, what)),
        *(score_problems(evaluation) if evaluation is not None else []),
        *(week_problems(tracking) if tracking is not None else []),
        *data_problems(customers),
        *(spend_problems(spend_check(customers, value), spending) if spending is not None else []),
        *prediction_problems(value),
    ]


def cards_of(
    problems: Iterable[Problem],
    buying: xr.DataTree,
    customers: xr.Dataset,
    evaluation: xr.Dataset | None,
    *,
    columns: Mapping[str, str] | None = None,
) -> list[Card]:
    """Return the cards of a run's problems, with the remedies that suit what it did.

    ``columns`` says how the command that ran read its orders; None of what came from no command line.
    """
    return cards(problems, ran(buying, customers, evaluation, columns=columns))


def ran(
    buying: xr.DataTree,
    customers: xr.Dataset,
    evaluation: xr.Dataset | None = None,
    *,
    columns: Mapping[str, str] | None = None,
) -> Ran:
    """Return what a run did, and what its family could still have."""
    family, method = (str(buying.attrs.get(name, "")) for name in ("family", "method"))
    with_calendar = "calendar" in buying.attrs
    drifts, returns = family.endswith("_drift"), family.endswith("_returns")
    may = set()
    if not with_calendar and method != "mode" and has_calendar(family):
        may.add("calendar")
    # A family has one form or none.
    for change in () if drifts or returns else EXTENSIONS:
        if has_form(family, change) and (not with_calendar or has_calendar(changing(family, f"_{change}"))):
            may.add(change)
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    known = unit in TIME_UNITS and "T" in customers
    return Ran(
        family=family,
        method=method,
        draws=int(buying["posterior"].sizes.get("draw", 0)) if "posterior" in buying.children else 0,
        calendar=with_calendar,
        drift=drifts,
        returns=returns,
        holdout=evaluation is not None,
        may=frozenset(may),
        years=float(customers["T"].max()) * days_per(unit) / DAYS_PER_YEAR if known else None,
        columns=columns or {},
        money_missed=_money_missed(evaluation),
        command=columns is not None,
    )


def _money_missed(evaluation: xr.Dataset | None) -> float | None:
    """Return by what share of the forecast the holdout's spend was more."""
    if evaluation is None:
        return None
    spend = next((each for each in verdicts.totals(record(evaluation)) if each.name == "spend_total"), None)
    if spend is None or not (np.isfinite(spend.mean) and spend.mean > 0):
        return None
    return spend.observed / spend.mean - 1


def fit_diagnostics(tree: xr.DataTree) -> dict[str, Any] | None:
    """Return the diagnostics attached to a fit, or None where there are none that can be read."""
    try:
        found = json.loads(str(tree.attrs["diagnostics"]))
    except (KeyError, json.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None


def fit_problems(tree: xr.DataTree, what: str) -> list[Problem]:
    """Return what failed in one fit; ``what`` names it ("Purchases", "Spend")."""
    found = fit_diagnostics(tree)
    if found is None:
        return [problem("no_diagnostics", what)]
    known = [read_problem(each, what) for each in found.get("problems", [])]
    return known if known or found.get("passed") is True else [problem("unexplained", what)]


def spend_correlation(customers: xr.Dataset) -> dict[str, Any] | None:
    """Return ``clv.inference.spend_independence``; None where there are too few repeat customers for it."""
    try:
        return spend_independence(customers)
    except InputError:
        return None


def correlation_words(found: Mapping[str, Any]) -> str:
    """Return a correlation with its interval, in words."""
    rho = found["correlation"]
    return say(
        "{mean:.2f} (90 % interval {q05:.2f} to {q95:.2f}, {customers:,} customers)",
        **{name: rho[name] for name in ("mean", "q05", "q95")},
        customers=found["customers"],
    )


def data_problems(customers: xr.Dataset) -> list[Problem]:
    """Return what failed in the data: rows that were dropped, what is odd, spend that depends on frequency."""
    failed = [
        problem(
            "rows_dropped",
            "Data",
            rows=int(line["rows"]),
            what=" ".join(filter(None, (line_words(line), str(line.get("example") or "")))),
        )
        for line in audit_lines(customers)
        if line.get("action") == "dropped" and line.get("rows")
    ]
    failed += oddities(customers)
    found = spend_correlation(customers)
    rho = 0.0 if found is None else found["correlation"]["mean"]
    # Of few customers any correlation may be chance.
    if (
        found is not None
        and abs(rho) > CORRELATION_MAX
        and found["correlation"]["q05"] * found["correlation"]["q95"] > 0
    ):
        failed.append(
            problem(
                "spend_rises" if rho > 0 else "spend_falls",
                "Spend",
                words=correlation_words(found),
                correlation=rho,
                doubling=100 * found["doubling"]["mean"],
            )
        )
    return failed


def spend_problems(found: Mapping[str, Any], spending: xr.DataTree) -> list[Problem]:
    """Return where what ``clv.scoring.spend_check`` found moves totals of money by more than chance.

    Months, and what may be a trend of time, are in the forecast of a spend posterior that has a calendar; a trend by
    age in that of one that has it.
    """
    failed = []
    codes = {"frequency": "spend_by_frequency", "age": "spend_by_age", "order_number": "spend_by_order"}
    known = "calendar" in spending.attrs
    for name, code in codes.items():
        part = found.get(name)
        if part is None or (name == "age" and (known or "growth" in spending["posterior"])):
            continue
        off, error = 100 * part["off"], 100 * part["error"]
        if abs(off) <= SPEND_MAX or abs(off) <= SPEND_ERRORS * error:
            continue
        said = {"off": abs(off), "error": error, "side": "high" if off > 0 else "low"}
        by = verdicts.largest_class(part)["more"] if name == "frequency" else part["slope"]
        said |= {"by": 100 * abs(by), "more": "more" if by > 0 else "less"}
        if name == "frequency":
            said["who"] = verdicts.buyers_words(verdicts.largest_class(part)["least"])
        failed.append(problem(code, "Spend", **said))
    months = found.get("calendar")
    if months is None or known:
        return failed
    if 100 * months["spread"] > SPEND_MAX and months["chance"] < 1 - HOLDOUT_LEVEL:
        numbers = {name: months[name] for name in ("months", "highest", "factor")}
        failed.append(problem("spend_by_month", "Spend", spread=100 * months["spread"], **numbers))
    return failed


def prediction_problems(value: xr.Dataset) -> list[Problem]:
    """Return what could not be predicted, from the prediction's own ``reasons``, and what cannot, or hardly can, be."""
    failed = [problem("no_number", "Value", reason=say_kept(each)) for each in listed(value.attrs, "reasons")]
    failed += _asked_problems(value)
    unit, horizon = str(value.attrs.get("time_unit", UNSTATED)), value.attrs.get("horizon")
    if (
        unit not in TIME_UNITS
        or "purchases_mean" not in value
        or not isinstance(horizon, int | float | np.number)
    ):
        return failed
    days, expected = float(horizon) * days_per(unit), value["purchases_mean"].to_numpy()
    beyond = np.flatnonzero(expected > days)
    if beyond.size:
        first = int(beyond[0])
        said = {"customers": beyond.size, "days": days, "purchases": float(expected[first])}
        failed.append(
            problem("more_than_days", "Value", **said, example=str(value["customer"].to_numpy()[first]))
        )
    return failed


def _asked_problems(value: xr.Dataset) -> list[Problem]:
    """Return what was asked for and can hardly be meant: a margin, a discount rate, a horizon."""
    failed = []
    margin = float(value.attrs.get("margin", 0.0))
    if margin > MARGIN_MAX:
        failed.append(problem("margin_above_one", "Value", margin=margin, percent=100 * margin))
    rate = float(value.attrs.get("annual_discount_rate", 0.0))
    if rate > RATE_MAX:
        failed.append(
            problem("rate_above_half", "Value", rate=rate, percent=100 * rate, left=100 / (1 + rate))
        )
    horizon = value.attrs.get("horizon")
    if "T" not in value or not isinstance(horizon, int | float | np.number) or not math.isfinite(horizon):
        return failed
    span = float(value["T"].max()) if value["T"].size else 0.0
    if span > 0 and horizon > HORIZON_MAX * span:
        units = in_plural(str(value.attrs.get("time_unit", UNSTATED)))
        times = {"times": float(horizon) / span, "horizon": float(horizon), "span": span}
        failed.append(problem("far_horizon", "Value", **times, units=units))
    return failed


def score_problems(evaluation: xr.Dataset) -> list[Problem]:
    """Return where the first model's forecast of the holdout missed: totals, buyers, or the customers' intervals."""
    model, customers = evaluation.isel(forecast=0), int(evaluation.attrs["customers"])
    found = verdicts.totals(record(evaluation))
    return [
        *(_total_problem(each, customers) for each in found if each.direction != "inside"),
        *_buyer_problems(model, next((each for each in found if each.name == "retention_total"), None)),
        *_frequent_problems(model),
        *_interval_problems(model, customers, ""),
        *_interval_problems(model, customers, "spend_"),
    ]


def week_problems(tracking: xr.Dataset) -> list[Problem]:
    """Return where too few weeks, or months, of calibration or holdout lie inside the tracking's band.

    Months are looked at where the weeks pass. Weeks of the holdout that miss to one side share the cause of totals that
    miss there.
    """
    failed = []
    for few in verdicts.calendar(verdicts.periods_inside(tracking)):
        sides = {side: few[side] / (few["above"] + few["below"]) for side in ("above", "below")}
        one = [side for side, share in sides.items() if share >= ONE_SIDED and few["part"] == "holdout"]
        failed.append(
            problem(
                "weeks_outside",
                "Calendar" if not one else "Holdout",
                **few,
                direction=one[0] if one else "both",
            )
        )
    return failed


_TOTAL_CODES = {
    "total": "holdout_total",
    "retention_total": "holdout_retention",
    "spend_total": "holdout_spend_total",
    "value_total": "holdout_value_total",
}


def _total_problem(total: verdicts.Total, customers: int) -> Problem:
    counted = total.name in ("total", "retention_total")
    observed, low, high = (int(each) if counted else each for each in (total.observed, total.low, total.high))
    # The currency about an amount.
    sign, _, code = money(7, total.currency).partition("7")
    more: dict[str, Any] = (
        {"customers": customers, "real": total.observed / customers, "predicted": total.mean / customers}
        if total.name == "retention_total"
        else {}
        if counted
        else {"sign": sign, "code": code}
    )
    return problem(
        _TOTAL_CODES[total.name],
        "Holdout",
        observed=observed,
        low=low,
        high=high,
        mean=total.mean,
        direction=total.direction,
        **more,
    )


def _buyer_problems(model: xr.Dataset, total: verdicts.Total | None) -> list[Problem]:
    """Return where buyers differ from their forecast: those given up, and tenths of the forecast.

    Where the number of buyers missed, that has a card of its own; tenths are then judged beside the forecast at which
    all buy so much more or less often that their number is right (``_as_often``). Standard errors are those of
    customers with the forecast's mean chance, a little too large, and of what moves all of them at once
    (``scoring.shared``) where all together were not taken out: a calendar's season brings buyers in every tenth, and
    back. Few customers are judged by the tail of their number that is as rare.
    """
    failed = []
    if "unlikely_customers" in model and np.isfinite(model["unlikely_customers"]):
        customers, bought = (int(model[f"unlikely_{name}"]) for name in ("customers", "retained"))
        expected = float(model["unlikely_expected"])
        error = float(model.get("unlikely_retained_se", 0.0)) / max(customers, 1)
        if customers and _errors(bought, customers, expected / customers, error) > TENTH_ERRORS:
            failed.append(
                problem("holdout_unlikely", "Holdout", customers=customers, bought=bought, expected=expected)
            )
    if "retention_predicted_by_tenth" not in model:
        return failed
    off = total is not None and total.direction != "inside" and total.mean > 0
    real, predicted, sizes = (
        model[f"retention_{name}_by_tenth"].to_numpy().astype(float)
        for name in ("real", "predicted", "customers")
    )
    known = np.isfinite(real) & np.isfinite(predicted) & (sizes > 0)
    chances = _as_often(predicted[known], sizes[known], real[known]) if off else predicted[known]
    joint = np.zeros(chances.size)
    if not off and "retention_real_by_tenth_se" in model:
        joint = model["retention_real_by_tenth_se"].to_numpy().astype(float)[known]
    errors = np.array(
        [
            _errors(round(share * size), int(size), chance, error)
            for share, chance, size, error in zip(real[known], chances, sizes[known], joint, strict=True)
        ]
    )
    beyond = np.abs(errors) > TENTH_ERRORS
    if beyond.any():
        worst = int(np.argmax(np.abs(errors)))
        failed.append(
            problem(
                "holdout_tenth",
                "Holdout",
                tenths=int(beyond.sum()),
                customers=int(sizes[known][worst]),
                predicted=100 * float(predicted[known][worst]),
                real=100 * float(real[known][worst]),
                errors=float(errors[worst]),
                after=", the miss of all together taken out" if off else "",
            )
        )
    return failed


def _as_often(chance: np.ndarray, sizes: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return the chances to buy if all bought so much more or less often that as many buy as did.

    1 - (1 - chance)^c, which is exact where purchases are those of a Poisson, and a chance for every c.
    """
    buyers = (sizes * real).sum()
    silent = np.log1p(-np.clip(chance, 1e-12, 1 - 1e-12))

    def missing(log_c: float) -> float:
        return float((sizes * -np.expm1(silent * np.exp(log_c))).sum() - buyers)

    if not missing(-20.0) < 0 < missing(20.0):
        return chance
    found: np.ndarray = -np.expm1(silent * np.exp(optimize.brentq(missing, -20.0, 20.0)))
    return found


def _errors(bought: int, customers: int, chance: float, error: float) -> float:
    """Return how many standard errors the buyers are from their forecast: by the Normal with the same tail."""
    found = buyer_chances(customers, chance, error)
    more = bought > customers * chance
    tail = float((found[bought:] if more else found[: bought + 1]).sum())
    # A count nearest to the mean may have more than half on its side.
    beyond = float(stats.norm.isf(min(max(tail, 1e-300), 0.5)))
    return beyond if more else -beyond


def _frequent_problems(model: xr.Dataset, level: int = 90) -> list[Problem]:
    """Return whether frequent buyers' intervals hold too few: fewer than in 99 of 100 of the forecast's own draws.

    A calendar moves all of them at once, so that independent customers' binomial would fail forecasts that are right;
    it is taken where there are no draws.
    """
    if "frequency" not in model.dims or "covered_by_frequency" not in model:
        return []
    least = np.array([int(str(name).rstrip("+")) for name in model["frequency"].to_numpy()])
    frequent = least >= FREQUENT
    sizes = model["customers_by_frequency"].to_numpy().astype(float)[frequent]
    covered, promised = (
        model[f"{name}_by_frequency"].sel(interval=level).to_numpy()[frequent]
        for name in ("covered", "promised")
    )
    size = int(sizes.sum())
    if size == 0 or not np.isfinite(covered).all():
        return []
    inside, chance = round(float(covered @ sizes)), min(1.0, float(promised @ sizes) / size)
    limit = float(stats.binom.ppf(1 - HOLDOUT_LEVEL, size, chance)) / size
    if "frequent_covered_least" in model:
        of_draws = float(model["frequent_covered_least"].sel(interval=level))
        limit = of_draws if np.isfinite(of_draws) else limit
    if inside >= round(limit * size):
        return []
    return [
        problem(
            "holdout_frequent",
            "Holdout",
            level=level,
            customers=size,
            covered=100 * inside / size,
            promised=100 * chance,
            limit=100 * limit,
        )
    ]


def _interval_problems(model: xr.Dataset, customers: int, stem: str) -> list[Problem]:
    """Return where the share covered differs from the share promised by more than 99 % of chance.

    That is the forecast's own (``covered_se``): a calendar that moves all customers at once makes it several times that
    of independent customers, so that a forecast of wide totals is held to less here. Its totals are judged themselves.
    """
    if f"{stem}covered_se" not in model:
        return []
    failed = []
    chance = float(stats.norm.ppf((1 + HOLDOUT_LEVEL) / 2))
    for level in (50, 90):
        covered, promised, one = (
            float(model[f"{stem}{name}"].sel(interval=level))
            for name in ("covered", "promised", "covered_se")
        )
        error = chance * one
        if abs(covered - promised) > error:
            failed.append(
                problem(
                    f"holdout_{stem}{'narrow' if covered < promised else 'wide'}",
                    "Holdout",
                    level=level,
                    customers=customers,
                    covered=100 * covered,
                    promised=100 * promised,
                    error=100 * error,
                )
            )
    return failed


def line_words(line: Mapping[str, Any]) -> str:
    """Return what a line of the audit says, in the language that is spoken."""
    return say_kept(str(line.get("what") or ""))


def audit_lines(customers: xr.Dataset) -> list[dict[str, Any]]:
    """Return the data audit: a list of what, rows, example and action."""
    try:
        lines = json.loads(str(customers.attrs.get("audit", "[]")))
    except json.JSONDecodeError:
        return []
    return [line for line in lines if isinstance(line, dict)]
