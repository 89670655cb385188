"""What forecasts of every family hold on public bases, beside simple rules, machine learning and other packages.

Question
    Fitted by ``laplace`` on what was known at several days, how good are the forecasts of the next season: of single
    customers (purchases, whether they buy at all, spend) and of totals? Bases: CDNOW's sample and master file, The
    Complete Journey, Online Retail; and BG/BB on CDNOW's customers by four weeks. Beside them are the simple rules,
    gradient boosting on the same histories (scikit-learn), and BG/NBD with Gamma-Gamma of lifetimes and PyMC-Marketing.
Pass rules, stated before the run
    For each family of purchases and each base, over the base's cells (an origin and a horizon):
    1. *customers*: of the 50 % and of the 90 % intervals of purchases, what they hold is within 3 points of what they
       promise;
    2. *frequent*: the same of the customers with at least five repeat purchases;
    3. *money*: the same of spend;
    4. *retention*: its log score is at most gradient boosting's;
    5. *purchases*: its CRPS is below that of every simple rule and at most gradient boosting's;
    and for each family over all bases
    6. *totals*: of the real totals of purchases, buyers and spend, each in 85 to 97 % of the cells inside the 90 %
       interval.
    The study passes when one family keeps all six on every base.
Bounds
    Three points are three standard errors of a share of .9 in 900 customers; Online Retail's frequent ones are some
    hundreds, whose share has an error of 1 to 2 points. Origins of one base share customers, and cells of one origin a
    future: 16 cells are fewer than 16 independent ones, and "in 85 to 97 %" asks for 14 or 15 of 16.

The means of other packages are scored as Poisson about them, their spend as a point; simple rules too. The master file
has the five families that are quick there. Caches lie in out/rolling_origins: a run that was stopped goes on.

Run with ``uv run --extra studies python -m studies.rolling_origins``, after ``python -m studies.speed --prepare`` for
the master file and the other packages (what is not there is left out and said). It writes figures/rolling_origins.png
and studies/rolling_origins_results.csv; ``--only cdnow`` some bases, ``--quick`` a few customers and one origin, into
out/rolling_origins. A further model is a family's name in ``FAMILIES``, or a function in studies/forecasters.py.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayes_clv as clv
from studies import bases
from studies.forecasters import FORECASTERS, orders_of

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "out" / "rolling_origins"
RESULTS = ROOT / "studies" / "rolling_origins_results.csv"
FIGURE = ROOT / "figures" / "rolling_origins.png"

QUICK_FAMILIES = ("bg_nbd", "mbg_nbd", "nbd", "pareto_nbd", "mbg_cnbd_k")
FAMILIES = (*QUICK_FAMILIES, "bg_cnbd_k", "pareto_abe", "pareto_ggg")
# In the order in which they are made, the dearest last; PyMC-Marketing is made where two horizons are asked for.
ORDER = (
    "mbg_nbd", "gradient_boosting", "bg_nbd", "nbd", "lifetimes", "pareto_nbd", "mbg_cnbd_k", "bg_cnbd_k", "pareto_abe",
    "pareto_ggg", "pymc_marketing",
)  # fmt: skip
SLOW = ("pymc_marketing",)
RULES = ("past_rate", "recency_rule", "period_mean")
SEED, DRAWS = 1, 250
# Points between what intervals hold and what they promise, and the share of totals inside their 90 % intervals.
POINTS, LEAST, MOST = 0.03, 0.85, 0.97


@dataclass(frozen=True)
class Base:
    """A base: its origins with the horizons from each, and what forecasts it."""

    origins: dict[str, tuple[str, ...]]
    forecasts: tuple[str, ...] = (*FAMILIES, *FORECASTERS)
    every: int = 1


SEASON, HALF = "13 weeks", "26 weeks"
BASES = {
    "cdnow": Base(
        {
            "1997-06-30": (SEASON,),
            "1997-09-30": (SEASON, "39 weeks"),
            "1997-12-31": (SEASON,),
            "1998-03-31": (SEASON,),
        }
    ),
    "online_retail": Base({"2011-03-11": (SEASON,), "2011-06-10": (SEASON, HALF), "2011-09-09": (SEASON,)}),
    "complete_journey": Base(
        {"2017-03-31": (SEASON,), "2017-06-30": (SEASON, HALF), "2017-09-30": (SEASON,)}
    ),
    "cdnow_master": Base(
        {"1997-09-30": (SEASON, "39 weeks"), "1998-03-31": (SEASON,)},
        (*QUICK_FAMILIES, "gradient_boosting", "lifetimes"),
    ),
}
QUICK = {"cdnow": Base({"1997-09-01": (SEASON,)}, ("nbd", "gradient_boosting"), every=6)}

# Of an interval of a forecast what is kept, and of one number.
INTERVALS = (
    "covered",
    "promised",
    "frequent_covered",
    "frequent_promised",
    "spend_covered",
    "spend_promised",
)
NUMBERS = (
    "crps", "log_score", "frequent_crps", "retention_brier", "retention_log_score", "spend_crps", "spend_log_crps",
    *(f"{stem}total_{end}" for stem in ("", "retention_", "spend_") for end in ("mean", "q05", "q95", "log_crps")),
)  # fmt: skip
REAL = ("total_observed", "retention_observed", "spend_observed")
TOTALS = {"purchases": "", "buyers": "retention_", "spend": "spend_"}


def rows_of(scores: xr.Dataset, base: str) -> Iterator[dict[str, Any]]:
    """Return a row of the results for each forecast and horizon of one origin's scores."""
    origin = str(scores["origin"].to_numpy()[0].astype("datetime64[D]"))
    for horizon in scores["horizon"].to_numpy():
        cell = scores.isel(origin=0).sel(horizon=horizon)
        happened = {name: float(cell[name]) for name in REAL if name in cell}
        for name in cell["forecast"].to_numpy():
            one = cell.sel(forecast=name)
            row = {"base": base, "origin": origin, "weeks": float(horizon), "forecast": str(name)}
            row |= {"kind": _kind(str(name)), "customers": int(cell["customers"])} | happened
            row |= {key: float(one[key]) for key in NUMBERS if key in one}
            row |= {
                f"{key}_{level}": float(one[key].sel(interval=level))
                for key in INTERVALS
                if key in one
                for level in (50, 90)
            }
            if np.isfinite(row.get("crps", np.nan)):
                yield row


def _kind(name: str) -> str:
    if name in (*FAMILIES, "bg_bb"):
        return "family"
    return "rule" if name in RULES else "elsewhere"


def scored(chosen: dict[str, Base]) -> pd.DataFrame:
    """Return the rows of bases: each forecast at each origin, from the caches where they are there."""
    rows: list[dict[str, Any]] = []
    made = [each for each in ORDER if any(each in base.forecasts for base in chosen.values())]
    for forecast, (name, base) in product(made, chosen.items()):
        if forecast not in base.forecasts:
            continue
        for origin, horizons in base.origins.items():
            if forecast in SLOW and len(horizons) == 1 and len(base.origins) > 1:
                continue
            began = time.perf_counter()
            try:
                fit = FORECASTERS[forecast](name, base.every) if forecast in FORECASTERS else forecast
                scores = clv.scoring.rolling_origins(
                    orders_of(name, base.every),
                    {forecast: fit},
                    [origin],
                    list(horizons),
                    baselines=RULES,
                    seed=SEED,
                    draws=DRAWS,
                    cache=FOLDER / "cells",
                )
            except (clv.InputError, FileNotFoundError) as error:
                print(f"{name}, {forecast} from {origin} is left out: {error}", flush=True)
                continue
            known = {(row["base"], row["origin"], row["weeks"], row["forecast"]) for row in rows}
            new = [
                row
                for row in rows_of(scores, name)
                if (row["base"], row["origin"], row["weeks"], row["forecast"]) not in known
            ]
            rows += new
            read = scores.attrs["cells_read"] == scores.attrs["cells"]
            took = "from the cache" if read else f"{time.perf_counter() - began:.0f} s"
            crps = next(row["crps"] for row in new if row["forecast"] == forecast)
            print(f"{name}, {forecast} from {origin}: CRPS {crps:.3f}, {took}", flush=True)
            for reason in scores.attrs["reasons"] if scores.attrs["cells_failed"] else ():
                print(f"  {reason}", flush=True)
            pd.DataFrame(rows).round(5).to_csv(FOLDER / RESULTS.name, index=False)
    return pd.DataFrame(rows)


def at_opportunities() -> pd.DataFrame:
    """Return the rows of BG/BB on CDNOW's customers by four weeks, and of the rules beside it."""
    rows = []
    for origin, ahead in (("1997-09-30", 9), ("1998-03-10", 4)):
        customers = bases.at_opportunities(bases.cdnow(), origin, ahead)
        giving = clv.fit("bg_bb", customers, method="laplace", draws=DRAWS, seed=SEED)
        future = clv.predict(giving, customers, ahead, seed=SEED)
        scores = clv.evaluate(
            {"bg_bb": future}, customers, buying={"bg_bb": giving}, baselines=("past_rate",)
        )
        days = np.array([origin], "datetime64[s]")
        scores = scores.assign(customers=customers.sizes["customer"])
        rows += rows_of(scores.expand_dims(origin=days, horizon=[4.0 * ahead]), "cdnow by four weeks")
        print(f"BG/BB from {origin}: CRPS {rows[-2]['crps']:.3f}", flush=True)
    return pd.DataFrame(rows)


def within(table: pd.DataFrame, covered: str, promised: str) -> bool:
    """Return whether the intervals of both levels hold what they promise, on average over cells."""
    off = [table[f"{covered}_{level}"].mean() - table[f"{promised}_{level}"].mean() for level in (50, 90)]
    return bool(np.abs(off).max() <= POINTS)


def inside(table: pd.DataFrame, total: str) -> pd.Series:
    """Return whether the real total of each cell lies in its interval, of cells that have one."""
    stem = TOTALS[total]
    known = table[table.get(f"{stem}total_q05", pd.Series(np.nan, table.index)).notna()]
    real = known["total_observed" if stem == "" else f"{stem}observed"]
    return (known[f"{stem}total_q05"] <= real) & (real <= known[f"{stem}total_q95"])


def judge(results: pd.DataFrame) -> tuple[bool, list[str]]:
    """Return whether a family keeps all rules on every base, and a line for each family and base."""
    results = results[results["base"].isin(BASES)]
    lines, passed = [], []
    for family, whole in results[results["kind"] == "family"].groupby("forecast", sort=False):
        kept = True
        for base, own in whole.groupby("base", sort=False):
            beside = results[(results["base"] == base) & (results["forecast"] != family)]
            beside = own[["origin", "weeks"]].merge(beside, on=["origin", "weeks"])
            mean = beside.groupby("forecast")[["crps", "retention_log_score"]].mean()
            learned = mean.reindex(["gradient_boosting"]).iloc[0]
            simple = beside[beside["kind"] == "rule"].groupby("forecast")["crps"].mean().min()
            found = {
                "customers": within(own, "covered", "promised"),
                "frequent": within(own, "frequent_covered", "frequent_promised"),
                "money": within(own, "spend_covered", "spend_promised"),
                "retention": own["retention_log_score"].mean() <= learned["retention_log_score"],
                "purchases": own["crps"].mean() < simple and own["crps"].mean() <= learned["crps"],
            }
            kept &= all(found.values())
            told = ", ".join(f"{rule} {'holds' if holds else 'FAILED'}" for rule, holds in found.items())
            lines.append(f"{family}, {base}: {told}")
        shares = {total: inside(whole, total) for total in TOTALS}
        holds = all(LEAST <= each.mean() <= MOST for each in shares.values())
        told = ", ".join(f"{total} {int(each.sum())} of {len(each)}" for total, each in shares.items())
        lines.append(f"{family}, totals inside: {told}: {'holds' if holds else 'FAILED'}")
        passed.append(kept and holds and set(whole["base"]) == set(BASES))
    return any(passed), lines


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Return the table: of each base and forecast the means over cells, and how many totals were inside."""
    found = []
    for (base, forecast), own in results.groupby(["base", "forecast"], sort=False):
        row = {"base": base, "forecast": forecast, "cells": len(own)}
        row |= {name: own[name].mean() for name in ("crps", "log_score") if name in own}
        for level in (50, 90):
            row[f"covered_{level}"] = f"{_share(own, 'covered', level)}/{_share(own, 'promised', level)}"
        row["frequent_90"] = f"{_share(own, 'frequent_covered', 90)}/{_share(own, 'frequent_promised', 90)}"
        row |= {name: own[name].mean() for name in ("retention_brier", "retention_log_score") if name in own}
        row["spend_log_crps"] = own.get("spend_log_crps", pd.Series(np.nan)).mean()
        row["spend_90"] = f"{_share(own, 'spend_covered', 90)}/{_share(own, 'spend_promised', 90)}"
        for total, stem in TOTALS.items():
            held = inside(own, total)
            row[total] = f"{int(held.sum())}/{len(held)}" if len(held) else ""
            row[f"{total}_total_crps"] = own.get(f"{stem}total_log_crps", pd.Series(np.nan)).mean()
        found.append(row)
    return pd.DataFrame(found)


def _share(own: pd.DataFrame, name: str, level: int) -> str:
    mean = own[f"{name}_{level}"].mean() if f"{name}_{level}" in own else np.nan
    return f"{mean:.3f}".lstrip("0") if np.isfinite(mean) else ""


def draw(results: pd.DataFrame, path: Path) -> None:
    """Draw, for each base, what intervals hold beside what they promise, and the totals beside the real ones."""
    from bayes_clv.views import style

    results = results[results["base"].isin(BASES) | (not results["base"].isin(BASES).any())]
    names = list(dict.fromkeys(results["base"]))
    shown = [name for name in dict.fromkeys(results["forecast"]) if _kind(name) == "family"] + [
        "gradient_boosting"
    ]
    place = {name: i for i, name in enumerate(shown)}
    with style.styled():
        figure = style.drawing(2.3 * len(names) + 0.6, width=9.6)
        axes = figure.subplots(len(names), 2, squeeze=False, width_ratios=(1, 1.3))
        for (left, right), base in zip(axes, names, strict=True):
            own = results[(results["base"] == base) & results["forecast"].isin(shown)]
            at = own["forecast"].map(place).to_numpy()
            for stem, colour, label in (
                ("", style.BLUE, "purchases"), ("frequent_", style.ORANGE, "of frequent buyers"),
                ("spend_", style.GREEN, "spend"),
            ):  # fmt: skip
                if f"{stem}covered_90" in own:
                    off = 100 * (own[f"{stem}covered_90"] - own[f"{stem}promised_90"])
                    left.plot(at, off, "o", ms=4, color=colour, alpha=0.7, label=label)
            left.axhspan(-100 * POINTS, 100 * POINTS, color=style.GRID, zorder=0)
            left.set_ylabel("points held beyond promised")
            style.heading(left, base, "90 % intervals of customers; a dot is an origin and a horizon")
            for k, (total, stem) in enumerate(TOTALS.items()):
                if f"{stem}total_q05" not in own:
                    continue
                real = own["total_observed" if stem == "" else f"{stem}observed"].to_numpy()
                low, high = (own[f"{stem}total_{end}"].to_numpy() / real - 1 for end in ("q05", "q95"))
                step = own.groupby("forecast").cumcount().to_numpy() * 0.035
                colour = (style.BLUE, style.PURPLE, style.GREEN)[k]
                right.vlines(
                    at - 0.3 + 0.22 * k + step, 100 * low, 100 * high, color=colour, lw=1.8, label=total
                )
            right.axhline(0, color=style.INK, lw=1)
            right.set_ylabel("% off the real total")
            style.heading(
                right, "totals", "90 % intervals, less the real one; a line is an origin and a horizon"
            )
            for ax in (left, right):
                ax.set_xticks(range(len(shown)), shown, rotation=35, ha="right", fontsize=8)
        axes[0, 0].legend(loc="lower left")
        axes[0, 1].legend(loc="upper right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main(arguments: Sequence[str] | None = None) -> int:
    """Score, judge, draw; return 1 where no family keeps all rules."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few customers and one origin")
    parser.add_argument("--only", default="", help="bases, separated by commas")
    options = parser.parse_args(arguments)
    chosen = QUICK if options.quick else BASES
    if options.only:
        chosen = {name: base for name, base in chosen.items() if name in options.only.split(",")}
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = scored(chosen)
    if not options.quick and not options.only:
        results = pd.concat([results, at_opportunities()], ignore_index=True)
    whole = not options.quick and set(BASES) <= set(results["base"])
    path = RESULTS if whole else FOLDER / RESULTS.name
    results.round(5).to_csv(path, index=False)
    draw(results, FIGURE if whole else FOLDER / FIGURE.name)
    passed, lines = judge(results)
    with pd.option_context("display.width", 250, "display.max_columns", 30, "display.max_rows", 200):
        print(summary(results).round(3).to_string(index=False))
    print("\n".join([*lines, f"pass rules: {'passed' if passed else 'FAILED'}"]))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
