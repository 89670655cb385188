"""What customers who change, or come back, cost: forecasts beside those of the static family, and fits.

Question
    How much longer does a forecast take with drift or returns than one of the same customers by the same family without
    them, and in how much memory? How long does a fit with drift take?
Pass rules, stated before the run
    1. *Forecasts*: 52 weeks with spend and discount, 1,000 draws, of 20,000, 300,000 and 1,000,000 customers: at most
       6 times the processor time of the static family, and at most 1.2 times its memory.
    2. *Fits by laplace*, with drift: CDNOW (2,357 customers, 2,457 repeat purchases) at most 15 s; The Complete Journey
       (2,446 households, 92,112) at most 120 s; 100,000 simulated customers with some 600,000 purchases at most 240 s.
    3. *NUTS* with drift on CDNOW: at most 5 minutes, and no divergences.

Measured is processor time, of all threads, since these machines are shared; the rules of fits are of wall time on two
quiet cores, and processor time bounds that from above where both threads work. Each measurement is a process of its
own, after another, small one of the same kind that compiles what there is to compile and leaves it on the disk: in one
process with it a compiler's memory was taken for a forecast's, 1.46 and 1.51 times the static one's. Simulated
customers are near CDNOW's population (MBG/NBD, acquired over twelve weeks, observed to week 39), with a half-life of
rates of 100 weeks or a mean sleep of 110; draws are hand-made about these values, 5 % apart.

Run with ``uv run --extra studies python -m studies.moving_costs`` (``--only`` some rows by a part of their names;
``--list`` says which there are, and runs nothing). Rows are written to studies/moving_costs_results.csv as they come,
and a call makes those that are not there.

What was found
    On 2026-12-01, on two cores with nothing else running. Forecasts of 20,000, 300,000 and 1,000,000 customers: drift
    takes 4.1 times the static processor time in all three (3.9 by the clock), in 1.31, 1.23 and 1.13 times the memory,
    some 100 MB whatever the base: **FAILED** by memory below a million. Returns take 6.1, 6.5 and 6.4 times (5.9, 6.1
    and 6.0 by the clock) in 1.03 to 1.07: **FAILED** narrowly. With 100 draws of 100,000 customers 8.3 and 11.3 times
    (no rule): the closed forms of expected purchases go through 100 draws in any case.
    Fits by laplace: CDNOW 1.3 s, The Complete Journey 49 s; 100,000 simulated customers with 606,317 purchases 159 s,
    and with a million (observed for longer, no rule) 344 s. NUTS on CDNOW: 38 s, no divergences.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from studies.moving_customers import keep, kept

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "studies" / "moving_costs_results.csv"
WORLD = {
    "r": 0.525,
    "alpha": 6.18,
    "a": 0.891,
    "b": 1.61,
    "kappa": math.log(2) / 100,
    "nu": 1 / 110,
    "w": 0.0,
}
# With these, 100,000 customers make some 600,000 repeat purchases in 41 weeks, and a million in 78.
MANY = WORLD | {"r": 1.0, "alpha": 5.0, "a": 0.4, "b": 6.0}
SPENDING = {"p": 6.25, "q": 3.74, "v": 15.44}
SPREAD = 0.05
SIZES = ((20_000, 1_000), (100_000, 100), (300_000, 1_000), (1_000_000, 1_000))
MOST_TIMES, MOST_MEMORY = 6.0, 1.2
FITS = {"CDNOW": 15.0, "Complete Journey": 120.0, "simulated": 240.0}
SIMULATED = {"simulated": 41.0, "simulated, longer": 78.0}
NUTS = 300.0
WARM = 400
type Row = dict[str, Any]


def base(
    change: str, customers: int, world: dict[str, float] | None = None, weeks: float = 0.0
) -> xr.Dataset:
    """Return simulated customers of MBG/NBD with a change, aged as CDNOW's, or all of one age, with spend."""
    from bayes_clv.families import Forecast, family, need

    record = family(f"mbg_nbd_{change}")
    values = WORLD if world is None else world
    params = {name: np.array(values[name]) for name in record.parameters}
    times = need(record, Forecast).times
    assert times is not None
    rng = np.random.default_rng(customers)
    age = np.full(customers, weeks) if weeks else (273 - rng.integers(0, 84, customers)) / 7
    who, when = times(rng, {"T": age}, params)
    count = np.bincount(who, minlength=customers)
    own = np.split(when, np.cumsum(count)[:-1])
    scale = rng.gamma(SPENDING["q"], 1 / SPENDING["v"], customers)
    spend = rng.gamma(SPENDING["p"] * np.maximum(count, 1)) / (scale * np.maximum(count, 1))
    table = pd.DataFrame({"T": age, "frequency": count, "purchase_times": own})
    table["recency"] = [each[-1] if each.size else 0.0 for each in own]
    table["monetary_value"] = np.where(count > 0, spend, np.nan)
    import bayes_clv as clv

    return clv.customers.from_table(table, time_unit="week")


def draws(change: str, number: int) -> tuple[xr.DataTree, xr.DataTree]:
    """Return hand-made draws about the world's values, and of spend."""
    from bayes_clv.families import family

    rng, name = np.random.default_rng(1), f"mbg_nbd_{change}" if change else "mbg_nbd"
    found = []
    for values, which in ((WORLD, name), (SPENDING, "gamma_gamma")):
        shape = (4, number // 4)
        made = {
            each: (("chain", "draw"), values[each] * np.exp(rng.normal(0, SPREAD, shape)))
            for each in family(which).parameters
        }
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset(made)})
        tree.attrs = {"family": which, "time_unit": "week"}
        found.append(tree)
    return found[0], found[1]


def measured(work: Any) -> tuple[Any, Row]:
    """Return what ``work`` returned, with the seconds it took, its peak of memory, and the load before and after."""
    sys.path.insert(0, str(ROOT / "studies" / "peers"))
    from measure import timed

    load, began = os.getloadavg()[0], time.process_time()
    found, cost = timed(work)
    return found, {
        "cpu_seconds": time.process_time() - began,
        "wall_seconds": cost["seconds"],
        "peak_mb": cost["peak_mb"],
        "load_before": load,
        "load_after": os.getloadavg()[0],
    }


def forecast(world: str, change: str, customers: int, number: int) -> Row:
    """Return the cost of a forecast of customers of a world with drift or returns, by a family with it or without."""
    import bayes_clv as clv

    buying, spending = draws(change, number)
    terms = {"spending": spending, "horizon": "52 weeks", "annual_discount_rate": 0.1, "seed": 1}
    clv.predict(buying, base(world, WARM), **terms)
    known = base(world, customers)
    found, cost = measured(lambda: clv.predict(buying, known, **terms))
    return cost | {"total": float(found["purchases_total"].mean())}


def fit(name: str, method: str) -> Row:
    """Return the cost of a fit with drift."""
    import bayes_clv as clv
    from studies.bases import cdnow, complete_journey

    if name in SIMULATED:
        known = base("drift", 100_000, MANY, weeks=SIMULATED[name])
    elif name == "CDNOW":
        known = clv.summarize(cdnow(), until="1997-09-30", also=("purchase_times",))
    else:
        known = clv.summarize(complete_journey(), until="2017-09-30", also=("purchase_times",))
    how = {"method": method, "drift": True, "progress": False, "seed": 1}
    if method == "laplace":
        clv.fit("mbg_nbd", known.isel(customer=slice(0, 50)), **how)
    found, cost = measured(lambda: clv.fit("mbg_nbd", known, **how))
    report = json.loads(found.attrs["diagnostics"])
    return cost | {
        "purchases": int(known["frequency"].sum()),
        "customers": known.sizes["customer"],
        "pareto_k": report.get("pareto_k", math.nan),
        "divergences": report.get("divergences", math.nan),
        "half_life": float(found.posterior["rate_half_life"].median()),
    }


def wanted() -> Iterator[tuple[Row, dict[str, Any]]]:
    """Yield what names each row, and the arguments that make it."""
    for world in ("drift", "returns"):
        for customers, number in SIZES:
            for change in ("", world):
                key = {"base": f"{customers} x {number}", "what": f"forecast, world with {world}"}
                yield (
                    key | {"family": "mbg_nbd", "change": change},
                    {
                        "world": world,
                        "change": change,
                        "customers": customers,
                        "number": number,
                    },
                )
    for name in (*FITS, "simulated, longer"):
        yield (
            {"base": name, "what": "laplace", "family": "mbg_nbd", "change": "drift"},
            {"name": name, "method": "laplace"},
        )
    yield (
        {"base": "CDNOW", "what": "nuts", "family": "mbg_nbd", "change": "drift"},
        {"name": "CDNOW", "method": "nuts"},
    )


def key(row: Row) -> tuple[str, ...]:
    """Return what tells a row from others."""
    return row["base"], row["what"], row["family"], row["change"]


def judged(rows: list[Row]) -> list[tuple[str, bool, str]]:
    """Return each rule, whether it holds, and the figures it was judged by."""
    found = []
    by = {key(row): row for row in rows}
    for row in rows:
        static = by.get((row["base"], row["what"], row["family"], ""))
        if row["what"].startswith("forecast") and row["change"] and static:
            times = row["cpu_seconds"] / static["cpu_seconds"]
            memory = row["peak_mb"] / static["peak_mb"]
            told = (
                f"{row['cpu_seconds']:.1f} s and static {static['cpu_seconds']:.1f}, {times:.1f} times (at most "
                f"{MOST_TIMES:g}); {row['peak_mb']:.0f} MB and {static['peak_mb']:.0f}, {memory:.2f} times (at most "
                f"{MOST_MEMORY:g})"
            )
            found.append(
                (f"{row['what']}, {row['base']}", times <= MOST_TIMES and memory <= MOST_MEMORY, told)
            )
        elif row["what"] == "laplace" and row["base"] in FITS:
            told = (
                f"{row['cpu_seconds']:.1f} s of processor, {row['wall_seconds']:.1f} of wall (load "
                f"{row['load_before']:.1f}), {row['purchases']:.0f} purchases (at most {FITS[row['base']]:g})"
            )
            found.append((f"laplace, {row['base']}", row["wall_seconds"] <= FITS[row["base"]], told))
        elif row["what"] == "nuts":
            told = (
                f"{row['wall_seconds']:.0f} s of wall, {row['cpu_seconds']:.0f} of processor (load "
                f"{row['load_before']:.1f}; at most {NUTS:g}), {row['divergences']:.0f} divergences"
            )
            found.append(("NUTS, CDNOW", row["wall_seconds"] <= NUTS and not row["divergences"], told))
    return found


def alone(title: str, arguments: dict[str, Any]) -> Row:
    """Return a measurement by a process of its own, which keeps what it compiles."""
    command = [sys.executable, "-m", "studies.moving_costs", "--one", json.dumps(arguments)]
    kept_on_disk = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=kept_on_disk)
    if done.returncode:
        raise SystemExit(f"{title}:\n{done.stderr[-2000:]}")
    found: Row = json.loads(done.stdout.rsplit("RESULT ", 1)[1])
    return found


def main() -> None:
    """Measure what is missing, judge; exit with 1 where a rule fails."""
    parser = argparse.ArgumentParser(description="What customers who change, or come back, cost.")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--list", action="store_true", help="say which rows there are, and run nothing")
    parser.add_argument("--judge", action="store_true", help="run nothing")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        arguments = json.loads(chosen.one)
        print("RESULT " + json.dumps((fit if "method" in arguments else forecast)(**arguments)))
        return
    rows = kept(RESULTS)
    for names, arguments in wanted():
        title = ", ".join(filter(None, key(names)))
        if chosen.only not in title:
            continue
        there = key(names) in {key(row) for row in rows}
        if chosen.list:
            print(f"{title}{' (there)' if there else ''}")
        if there or chosen.list or chosen.judge:
            continue
        if "customers" in arguments:
            alone(title, arguments | {"customers": WARM})
        rows.append(names | alone(title, arguments))
        keep(rows, RESULTS)
        print(title, {name: value for name, value in rows[-1].items() if name not in names}, flush=True)
    if chosen.list:
        return
    failed = False
    for rule, holds, told in judged(rows):
        failed |= not holds
        print(f"{'passed' if holds else 'FAILED'}: {rule}: {told}")
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
