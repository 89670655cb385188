"""Whether customers' habits change, and whether forecasts that know it keep what they promise.

Question
    Purchase rates that drift (``clv.fit(..., drift=True)``), beside the same families with one rate for ever: what do
    they find where it is known whether rates drift, and what are their forecasts worth on public bases?
Pass rules, stated before the run
    1. *Found*: of simulated bases whose rates drift, the 99 % interval of the half-life holds the true one.
    2. *Not invented*: of simulated bases whose rates do not drift, the posterior median is above ten spans of the data,
       and the total forecast lies within three tenths of its own standard deviation of the family without drift.
    3. *Complete Journey*, three quarters of a year before the fourth: 90 % and 50 % intervals of households hold within
       3 points of what they promise, CRPS at most 3.02; half a year before the other half: within 5 points, CRPS at
       most 6.15; of the best of the families with drift.
    4. *CDNOW*: CRPS of the customers with five or more repeat purchases at most 2.29; of all, on the sample and on the
       master file, no family is more than 0.5 % worse with drift than without.
Bounds
    Purchases of one day are one occasion. Where rates reach several a week that alone makes them seem to forget less:
    as days, the world with a half-life of 15 weeks gave 17.2 (99 %: 15.6 to 18.8), with its own times 15.0 (13.7 to
    16.4). So the worlds keep their times. A CRPS of 1,000 draws has an error of a thousandth of itself here. A share
    of .9 of 2,400 households has a standard error of .6 points, of .5 one of a point.

Run with ``uv run --extra studies python -m studies.moving_customers`` (``--quick`` the worlds and CDNOW's sample alone;
the master file comes from ``python -m studies.speed --prepare``). It writes studies/moving_customers_results.csv and
figures/moving_customers.png: a household whose rate moved, beside what a constant rate makes of it.
"""

import argparse
import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayes_clv as clv
from bayes_clv.families import Forecast, family, need
from studies.bases import MASTER, cdnow, cdnow_master, complete_journey

ROOT = Path(__file__).parents[1]
FAMILIES = ("nbd", "bg_nbd", "mbg_nbd")
# Weeks: half-lives of the worlds, infinite without drift.
WORLDS = (15.0, 60.0, math.inf)
FREQUENT = 5
DRAWS = {"draws": 250, "chains": 4, "method": "laplace", "seed": 1, "progress": False}


def world(half_life: float, seed: int, customers: int = 2000, weeks: float = 104.0) -> xr.Dataset:
    """Return customers who all came on one day and buy every other week on average."""
    drifts = math.isfinite(half_life)
    record = family("mbg_nbd_drift" if drifts else "mbg_nbd")
    params = {name: np.array(value) for name, value in {"r": 1.5, "alpha": 3.0, "a": 0.5, "b": 12.0}.items()}
    if drifts:
        params["kappa"] = np.array(math.log(2) / half_life)
    times = need(record, Forecast).times
    assert times is not None
    who, age = times(np.random.default_rng(seed), {"T": np.full(customers, weeks)}, params)
    count = np.bincount(who, minlength=customers)
    own = np.split(age, np.cumsum(count)[:-1])
    table = pd.DataFrame({"T": weeks, "frequency": count, "purchase_times": own})
    table["recency"] = [each[-1] if each.size else 0.0 for each in own]
    return clv.customers.from_table(table, time_unit="week")


def half_life(posterior: xr.DataTree) -> tuple[float, float, float]:
    """Return the 0.5, 50 and 99.5 % quantiles of the half-life."""
    low, middle, high = posterior.posterior["rate_half_life"].quantile([0.005, 0.5, 0.995]).to_numpy()
    return float(low), float(middle), float(high)


def worlds() -> Iterator[dict[str, Any]]:
    """Yield what is found in worlds with and without drift."""
    for truth in WORLDS:
        customers = world(truth, seed=int(min(truth, 999)))
        fits = {drift: clv.fit("mbg_nbd", customers, drift=drift, **DRAWS) for drift in (False, True)}
        totals = {
            drift: clv.predict(fitted, customers, "26 weeks", seed=2)["purchases_total"]
            for drift, fitted in fits.items()
        }
        low, middle, high = half_life(fits[True])
        span = float(customers["T"].max())
        moved = abs(float(totals[True].mean() - totals[False].mean())) / float(totals[False].std())
        found = low < truth < high if math.isfinite(truth) else middle > 10 * span and moved < 0.3
        yield {
            "base": "simulated",
            "what": f"half-life {truth:g} weeks",
            "family": "mbg_nbd_drift",
            "half_life": middle,
            "half_life_low": low,
            "half_life_high": high,
            "moved": moved,
            "passed": found,
        }


def scored(name: str, orders: Any, until: str, end: str) -> Iterator[dict[str, Any]]:
    """Yield the scores of every family with and without drift on one base and origin."""
    customers = clv.summarize(orders, until=until, holdout_until=end, also=("purchase_times",))
    frequent = customers["frequency"].to_numpy() >= FREQUENT
    real = customers["holdout_purchases"].to_numpy()
    for each in FAMILIES:
        for drift in (False, True):
            fitted = clv.fit(each, customers, drift=drift, **DRAWS)
            value = clv.predict(fitted, customers, customers.attrs["holdout_duration"], seed=2)
            scores = clv.scoring.score(value, customers, buying=fitted, baselines=())
            some = value["probability_active"].to_numpy()
            given_up = some < 0.03
            low, middle, high = half_life(fitted) if drift else (math.inf,) * 3
            total = value["purchases_total"].to_numpy()
            yield {
                "base": name,
                "what": f"{until} to {end}",
                "family": f"{each}_drift" if drift else each,
                "half_life": middle,
                "half_life_low": low,
                "half_life_high": high,
                "crps": float(value["crps"].mean()),
                "crps_frequent": float(value["crps"].to_numpy()[frequent].mean()),
                **{
                    f"{kind}_{level}": float(value[f"{kind}_{level}"].mean())
                    for level in (90, 50)
                    for kind in ("inside", "mass")
                },
                "retention_log_score": float(scores["retention_log_score"].mean()),
                "given_up": int(given_up.sum()),
                "given_up_expected": float(some[given_up].sum()),
                "given_up_bought": int((real[given_up] > 0).sum()),
                "total_q05": float(np.quantile(total, 0.05)),
                "total_q95": float(np.quantile(total, 0.95)),
                "total": int(real.sum()),
            }


def judged(rows: list[dict[str, Any]]) -> list[tuple[str, bool, str]]:
    """Return each rule, whether it holds, and the figures it was judged by."""
    found = []
    for row in (each for each in rows if each["base"] == "simulated"):
        low, middle, high = (row[name] for name in ("half_life_low", "half_life", "half_life_high"))
        interval = f"median {middle:.0f} weeks, 99 % {low:.0f} to {high:.0f}"
        found.append((f"simulated, {row['what']}", bool(row["passed"]), interval))
    for what, points, most in (("2017-09-30", 0.03, 3.02), ("2017-06-30", 0.05, 6.15)):
        some = [
            r
            for r in rows
            if r["base"] == "Complete Journey" and r["what"].startswith(what) and "drift" in r["family"]
        ]
        if some:
            best = min(some, key=lambda row: row["crps"])
            off = {level: best[f"inside_{level}"] - best[f"mass_{level}"] for level in (90, 50)}
            holds = best["crps"] <= most and max(map(abs, off.values())) <= points
            figures = (
                f"{best['family']}: CRPS {best['crps']:.3f} (at most {most}), 90 % intervals {100 * off[90]:+.1f} "
                f"points, 50 % {100 * off[50]:+.1f} (at most {100 * points:.0f})"
            )
            found.append((f"Complete Journey from {what}", holds, figures))
    for name in ("CDNOW", "CDNOW master"):
        of_base = {r["family"]: r for r in rows if r["base"] == name}
        if not of_base:
            continue
        worse = {each: of_base[f"{each}_drift"]["crps"] / of_base[each]["crps"] - 1 for each in FAMILIES}
        most = max(worse, key=lambda each: worse[each])
        found.append(
            (f"{name}, drift costs nothing", worse[most] <= 0.005, f"{most} {100 * worse[most]:+.2f} %")
        )
        if name == "CDNOW":
            best = min((r for f, r in of_base.items() if "drift" in f), key=lambda r: r["crps_frequent"])
            figures = f"{best['family']}: CRPS {best['crps_frequent']:.3f} (at most 2.29)"
            found.append(("CDNOW, five or more purchases", best["crps_frequent"] <= 2.29, figures))
    return found


def draw(path: Path) -> None:
    """Draw a household of The Complete Journey whose rate moved most, with drift."""
    orders = complete_journey()
    customers = clv.summarize(orders, until="2017-12-31", also=("purchase_times",))
    many = customers["frequency"].to_numpy() >= 40
    half = customers["T"].to_numpy() / 2
    times = [
        customers["purchase_times"].to_numpy()[start : start + size]
        for start, size in zip(customers["purchase_start"].values, customers["frequency"].values, strict=True)
    ]
    change = np.array(
        [abs((t > h).mean() - 0.5) if t.size else 0.0 for t, h in zip(times, half, strict=True)]
    )
    who = str(customers["customer"].to_numpy()[np.argmax(np.where(many & (change < 0.4), change, 0.0))])
    fitted = clv.fit("nbd", customers, drift=True, **DRAWS)
    dates = clv.customers.purchase_dates(orders, who)
    clv.views.plot_rate_history(fitted, dates, "2017-12-31", customer=who).savefig(path, dpi=150)


def main() -> None:
    """Run the study, print each rule and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the worlds and CDNOW's sample")
    quick = parser.parse_args().quick
    rows: list[dict[str, Any]] = []

    def add(more: Iterator[dict[str, Any]]) -> None:
        for row in more:
            rows.append(row)
            print(
                {key: round(each, 3) if isinstance(each, float) else each for key, each in row.items()},
                flush=True,
            )

    add(worlds())
    add(scored("CDNOW", cdnow(), "1997-09-30", "1998-06-30"))
    if not quick:
        if MASTER.exists():
            add(scored("CDNOW master", cdnow_master(), "1997-09-30", "1998-06-30"))
        for until in ("2017-09-30", "2017-06-30"):
            add(scored("Complete Journey", complete_journey(), until, "2017-12-31"))
    for rule, holds, figures in judged(rows):
        print(f"{'PASSED' if holds else 'FAILED'}  {rule}: {figures}")
    out = ROOT / "out" if quick else Path(__file__).parent
    out.mkdir(exist_ok=True)
    with (out / "moving_customers_results.csv").open("w", newline="") as file:
        names = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows
        )
    if not quick:
        draw(ROOT / "figures" / "moving_customers.png")


if __name__ == "__main__":
    main()
