"""The command ``backtest``: an order log in, how forecasts from several days of its past did out.

A summary has one sentence a question, for whoever must choose a family. What is scored is kept in the folder cell by
cell, so that a start that was stopped goes on; tables, figures and ``backtest.json`` are written when all is scored.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_clv.language import check_language
from bayes_clv.schema import InputError, argument, listed
from bayes_clv.workflows.choices import Backtesting
from bayes_clv.workflows.folders import all_or_nothing, save_figures, write_table
from bayes_clv.workflows.settings import fields_of, plain, told_of
from bayes_clv.workflows.words import percent

if TYPE_CHECKING:
    import xarray as xr

CELLS = "cells"
TABLE = "scores.csv"
QUANTITIES = ("purchases", "spend", "retention")
# A lead of less than so many of its standard errors is no lead.
ERRORS = 2.0


def run_backtest(settings: Backtesting, *, progress: bool = False) -> list[str]:
    """Score, write tables, figures and ``backtest.json`` to the folder, and return the summary's lines.

    Raises
    ------
    InputError
        For anything that cannot be used; the folder then holds no more than cells that were scored before.
    """
    check_language(settings.language)
    out = Path(settings.out)
    _refuse_foreign(out)
    started = time.perf_counter()
    from bayes_clv.scoring.fits import Fit
    from bayes_clv.scoring.rolling import rolling_origins

    families = _split(settings.families)
    twice = sorted({name for name in families if families.count(name) > 1})
    if twice:
        raise InputError(f"{argument('families')} has {twice[0]!r} twice. Leave one out.")
    try:
        scores = rolling_origins(
            settings.orders,
            {name: Fit(name, method=settings.method) for name in families},
            _days(settings.origins),
            _split(settings.horizons),
            seed=settings.seed,
            draws=settings.draws,
            cache=out / CELLS,
            **told_of(settings),
            time_unit=settings.time_unit,
            progress=progress,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Stopped; what was scored is kept in {out / CELLS}: the same command goes on from there."
        ) from None
    if settings.currency is not None:
        scores = scores.assign_attrs(currency=settings.currency)
    lines = backtest_summary(scores)
    notes, files = _write(out, scores, settings, lines, time.perf_counter() - started)
    read = int(scores.attrs["cells_read"])
    there = f", {read} of {scores.attrs['cells']} scores from an earlier start" if read else ""
    seconds = time.perf_counter() - started
    return [*lines, "", f"Results: {out} ({', '.join(files)}; in {seconds:.0f} s{there})", *notes]


def _write(
    out: Path, scores: "xr.Dataset", settings: Backtesting, lines: list[str], seconds: float
) -> tuple[list[str], list[str]]:
    """Write the results, file by file in place of earlier ones; return what to say and the files' names."""
    from bayes_clv.views.fonts import figures_in
    from bayes_clv.views.frames import table
    from bayes_clv.views.plots.origins import TOTALS, plot_origins

    with figures_in(settings.language):
        drawn = {
            "origins" if quantity == "purchases" else f"origins-{quantity}": plot_origins(
                scores, quantity=quantity
            )
            for quantity in QUANTITIES
            if f"{TOTALS[quantity][0]}_q05" in scores and TOTALS[quantity][1] in scores
        }
    record = {
        "arguments": {name: plain(value) for name, value in fields_of(settings).items()},
        "versions": json.loads(scores.attrs["versions"]),
        "origins": np.datetime_as_string(scores["origin"].to_numpy(), "D").tolist(),
        "horizons": scores["horizon"].to_numpy().tolist(),
        "seconds": round(seconds, 3),
        "cells": int(scores.attrs["cells"]),
        "cells_failed": int(scores.attrs["cells_failed"]),
        "cells_read": int(scores.attrs["cells_read"]),
        "reasons": listed(scores.attrs, "reasons"),
        "problems": listed(scores.attrs, "problems"),
        "audit": json.loads(scores.attrs["audit"]),
        "summary": lines,
    }
    with all_or_nothing(out / TABLE) as work:
        tidy = table(scores)
        write_table(tidy, work / TABLE)
        write_table(tidy, work / "scores.parquet")
        notes = save_figures(drawn, work)
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
        (work / "backtest.json").write_text(text + "\n", encoding="utf-8")
        files = sorted(file.name for file in work.iterdir())
    return notes, files


def _refuse_foreign(out: Path) -> None:
    """Refuse a folder with anything else than an earlier backtest in it."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{str(out)!r} is a file. Name a folder for the results with {argument('out')}.")
    found = {item.name for item in out.iterdir() if not item.name.startswith(".")} if out.is_dir() else set()
    own = {CELLS, TABLE, "scores.parquet", "backtest.json"}
    foreign = sorted(name for name in found - own if not name.startswith("origins"))
    if foreign:
        raise InputError(
            f"The folder {str(out)!r} holds what is no earlier backtest, such as {foreign[0]!r}. Name a new folder "
            f"with {argument('out')}."
        )


def _split(given: Any) -> list[Any]:
    """Return a list that a command line gives as a text with commas."""
    if not isinstance(given, str):
        return list(given)
    return [part.strip() for part in given.split(",") if part.strip()]


def _days(given: Any) -> Any:
    """Return a number of origins, or days; eight digits are a day."""
    if isinstance(given, str):
        words = _split(given)
        return int(words[0]) if len(words) == 1 and words[0].isdigit() and len(words[0]) < 8 else words
    return given


# Words.
def backtest_summary(scores: "xr.Dataset") -> list[str]:
    """Return what a person wants to know of a backtest: of each horizon one sentence a question."""
    from bayes_clv.views.numbers import plural

    unit, origins = str(scores.attrs["time_unit"]), scores["origin"].to_numpy().astype("datetime64[D]")
    days = f"{origins.size} days, {origins[0]} to {origins[-1]}" if origins.size > 1 else str(origins[0])
    lines = [f"Forecasts from {days}, of what came after; means over these days (outcome level)."]
    for j, length in enumerate(scores["horizon"].to_numpy()):
        at = scores.isel(horizon=j)
        people = at["customers"].to_numpy()
        lines += [
            "",
            f"Over {plural(float(length), unit)}, {people.min():,} to {people.max():,} customers:"
            if people.min() < people.max()
            else f"Over {plural(float(length), unit)}, {people.max():,} customers:",
        ]
        lines += [f"  {sentence}" for sentence in _sentences(at)]
    failed, problems = int(scores.attrs["cells_failed"]), listed(scores.attrs, "problems")
    if failed:
        lines += [
            "",
            f"{failed} of {scores.attrs['cells']} forecasts could not be scored; the first: "
            f"{listed(scores.attrs, 'reasons')[0]}",
        ]
    if problems:
        lines += ["", f"Checks of the fits failed {len(problems)} times; the first: {problems[0]}"]
    return lines


def _sentences(at: "xr.Dataset") -> list[str]:
    found = [_of_customers(at), _of_retention(at), _of_money(at), _of_totals(at)]
    return [sentence for sentence in found if sentence]


def _best(at: "xr.Dataset", measure: str, kind: str) -> tuple[str, float] | None:
    """Return the forecast of a kind with the lowest mean over origins, those at which all of them have a score."""
    if measure not in at:
        return None
    names = at["forecast"].to_numpy()[at["kind"].to_numpy() == kind]
    values = at[measure].sel(forecast=names).transpose("forecast", "origin").to_numpy()
    scored = ~np.isnan(values).all(axis=1)
    if not scored.any():
        return None
    values, names = values[scored], names[scored]
    common = ~np.isnan(values).any(axis=0)
    means = values[:, common].mean(axis=1) if common.any() else np.nanmean(values, axis=1)
    place = int(np.argmin(means))
    return str(names[place]), float(means[place])


def _lead(at: "xr.Dataset", measure: str, one: str, other: str, whom: str = "") -> str:
    """Return by how much one leads the other, called ``whom``, and whether that is more than its error."""
    where = {"forecast": one, "other": other}
    difference = -float(at[f"{measure}_difference"].sel(where))
    error = float(at[f"{measure}_difference_se"].sel(where))
    if not np.isfinite(difference):
        return "their lead has no error (an infinite score)"
    size = f"{difference:.2g} ± {error:.1g}"
    if difference > ERRORS * error:
        return f"leads {whom}by {size}, more than chance among these customers"
    return f"leads {whom}by {size}, within the error, so that neither is better"


def _contest(at: "xr.Dataset", measure: str, words: str) -> str:
    """Return who has the best score, the best fit or the best rule, and whether by more than the error."""
    fit, rule = _best(at, measure, "model"), _best(at, measure, "rule")
    if fit is None:
        return f"no fit has a {words}"
    named = [f"{name} ({score:.3g})" for name, score in (fit, *([rule] if rule is not None else []))]
    if rule is None:
        return f"the best {words} is that of {named[0]}; no simple rule has one"
    if not np.isfinite(rule[1]):
        return (
            f"the best {words} is that of {named[0]}; every simple rule held impossible what some customer did "
            "(infinite)"
        )
    if rule[1] < fit[1]:
        return (
            f"a SIMPLE RULE has the best {words}, {named[1]}, before the best fit, {named[0]}, and "
            f"{_lead(at, measure, rule[0], fit[0])}"
        )
    return (
        f"the best {words} is that of {named[0]}, before the best simple rule, {named[1]}, and "
        f"{_lead(at, measure, fit[0], rule[0])}"
    )


def _among_fits(at: "xr.Dataset", measure: str) -> str:
    """Return whether the best fit is better than the next one; empty with one fit."""
    best = _best(at, measure, "model")
    names = [str(name) for name in at["forecast"].to_numpy()[at["kind"].to_numpy() == "model"]]
    others = [name for name in names if best is not None and name != best[0]]
    if not others or best is None:
        return ""
    second = _best(at.sel(forecast=others), measure, "model")
    if second is None:
        return ""
    return f" Among the fits {best[0]} {_lead(at, measure, best[0], second[0], f'{second[0]} ')}."


def _mean(at: "xr.Dataset", name: str, forecast: str) -> float:
    return float(np.nanmean(at[name].sel(forecast=forecast).to_numpy()))


def _of_customers(at: "xr.Dataset") -> str:
    best = _best(at, "crps", "model")
    sentence = f"Customers: {_contest(at, 'crps', 'CRPS')}."
    if best is None:
        return sentence
    ninety = at.sel(interval=90)
    inside, promised = (_mean(ninety, name, best[0]) for name in ("covered", "promised"))
    return (
        f"{sentence}{_among_fits(at, 'crps')} The 90 % intervals of {best[0]} hold {percent(inside)} of the customers "
        f"and promise {percent(promised)}."
    )


def _of_retention(at: "xr.Dataset") -> str:
    best = _best(at, "retention_log_score", "model")
    sentence = f"Retention: {_contest(at, 'retention_log_score', 'log score')}."
    if best is None:
        return sentence
    people = at["customers"].to_numpy()
    predicted = at["retention_total_mean"].sel(forecast=best[0]).to_numpy() / people
    real = at["retention_observed"].to_numpy() / people
    known = np.isfinite(predicted)
    return (
        f"{sentence} {best[0]} expected {percent(predicted[known].mean())} of the customers to buy at all, and "
        f"{percent(real[known].mean())} did."
    )


def _of_money(at: "xr.Dataset") -> str:
    if "spend_log_crps" not in at:
        return ""
    best = _best(at, "spend_log_crps", "model")
    sentence = f"Money: {_contest(at, 'spend_log_crps', 'CRPS of spend (logarithmic scale)')}."
    if best is None or "spend_total_error" not in at:
        return sentence
    errors = at["spend_total_error"].sel(forecast=best[0]).to_numpy()
    errors = errors[np.isfinite(errors)]
    if not errors.size:
        return sentence
    low, high = (f"{100 * each:+.0f} %" for each in (errors.min(), errors.max()))
    off = low if low == high else f"{low} to {high}"
    return f"{sentence} Its totals of spend were {off} off."


def _of_totals(at: "xr.Dataset") -> str:
    fit, rule = (_best(at, "total_log_crps", kind) for kind in ("model", "rule"))
    if fit is None:
        return "Totals: no fit has one."
    held = []
    for name, words in (("total", "purchases"), ("retention_total", "buyers"), ("spend_total", "spend")):
        if f"{name}_covered" in at:
            inside = at[f"{name}_covered"].sel(forecast=fit[0]).to_numpy()
            known = np.isfinite(inside)
            held.append(f"{words} {int(inside[known].sum())} of {int(known.sum())} times")
    nearest = f"nearest to the real purchases is {fit[0]} (CRPS of the logarithm {fit[1]:.3g})"
    if rule is not None and rule[1] < fit[1]:
        nearest = (
            f"a SIMPLE RULE is nearest to the real purchases, {rule[0]} (CRPS of the logarithm {rule[1]:.3g}), before "
            f"the best fit, {fit[0]} ({fit[1]:.3g})"
        )
    elif rule is not None:
        nearest = f"{nearest}, before the best simple rule, {rule[0]} ({rule[1]:.3g})"
    return (
        f"Totals: {nearest}. The 90 % intervals of {fit[0]} hold the real total of {', '.join(held)}, where true ones "
        "hold nine of ten."
    )
