"""Totals where the rate of all customers moves: what is found, what is invented, and what intervals then hold.

Question
    (a) In simulated worlds of weekly orders, is a pace that everybody shares found (a level that persists, shocks, a
    promotion), and where nothing moves is nothing lost? (b) On public bases, over origins and horizons, do intervals of
    totals hold what happens once a calendar is learned, and what do customers' own forecasts lose by it?
Pass rules, stated before the run
    1. *found*: in 20 worlds with a promotion of 1.5 times the rate in one week of six, the 90 % intervals of its effect
       hold the truth in 15 to 20; and the real totals of the next 26 weeks lie in 15 to 20 of the 90 % intervals;
    2. *not invented*: in 10 worlds where nothing moves, the median half width of the interval of a total is at most
       twice that of the plain family;
    3. *totals*: on each base, the mean over cells of the CRPS of log totals (purchases, spend) of the best calendar is
       at least 30 % below the best plain family's, and below that of every simple rule;
    4. *covered*: over all bases, the 90 % intervals of totals hold 85 to 97 %;
    5. *CDNOW*: from 1997-09-30 over 39 weeks 1,882 purchases and 70,976 of spend lie inside, medians within 10 %, and
       on the master file 19,684;
    6. *customers*: of the 90 % intervals of purchases, of spend, and of customers with five or more repeats, what they
       hold is within 3 points of what they promise, on each base.
Bounds
    20 intervals of 90 % hold 15 or more with probability .99. Cells of a base share customers and futures.

Run with ``uv run --extra studies python -m studies.moving_rates``; ``--only worlds`` or ``--only cdnow`` a part,
``--origins 1997-09-30`` one origin. Cells are kept in out/moving_rates: a run that was stopped goes on. It writes
studies/moving_rates_results.csv and figures/moving_rates.png; ``--quick`` one world and one origin, into
out/moving_rates.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayes_clv as clv
from bayes_clv.scoring import Fit
from studies import bases
from studies.rolling_origins import BASES, rows_of

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "out" / "moving_rates"
RESULTS, WORLDS = ROOT / "studies" / "moving_rates_results.csv", ROOT / "studies" / "moving_rates_worlds.csv"
FIGURE = ROOT / "figures" / "moving_rates.png"
SEED, DRAWS = 1, 250
PLAIN = ("bg_nbd", "mbg_nbd", "pareto_nbd")
RULES = ("past_rate", "recency_rule", "period_mean")
MONEY = Fit("gamma_gamma", None, "laplace")
CALENDARS = {
    f"{name}_calendar": Fit(name, method="nuts", spending=MONEY, calendar=clv.inference.Calendar())
    for name in ("bg_nbd", "mbg_nbd")
}
PROMOTION = 1.5
# Of a standard Normal, the upper end of its 90 % interval.
Z90 = 1.6449
CUSTOMERS, WEEKS, AHEAD = 1500, 78, 26


def world(rng: np.random.Generator, *, moving: bool) -> tuple[pd.DataFrame, dict[str, float], int]:
    """Return the orders of customers who came over a year and a half, the days of a promotion, and its last week.

    BG/NBD in operational time; the pace of a week is a level of half-life 26 weeks and standard deviation .3, a shock
    of .15, and one week in six of promotion.
    """
    weeks = WEEKS + AHEAD
    level, path = 0.3 * rng.standard_normal(), np.empty(weeks)
    rho = 2 ** (-1 / 26)
    for week in range(weeks):
        level = rho * level + 0.3 * np.sqrt(1 - rho**2) * rng.standard_normal()
        path[week] = level + 0.15 * rng.standard_normal()
    promoted = np.arange(weeks) % 6 == 3
    pace = np.exp(path + np.log(PROMOTION) * promoted) if moving else np.ones(weeks)
    ends = np.concatenate([[0.0], np.cumsum(pace)])
    grid = np.arange(weeks + 1.0)
    rows = []
    for customer in range(CUSTOMERS):
        came = int(rng.integers(0, 52 * 7))
        rate, leaves = rng.gamma(0.8, 1 / 6.0), rng.beta(0.8, 3.0)
        rows.append((customer, came))
        at = np.interp(came / 7, grid, ends)
        while True:
            at += rng.exponential(1 / rate)
            if at >= ends[-1]:
                break
            day = int(np.ceil(7 * np.interp(at, ends, grid)))
            rows.append((customer, day))
            if rng.random() < leaves:
                break
    first = pd.Timestamp("2020-01-06")
    orders = pd.DataFrame(rows, columns=["customer_id", "day"])
    orders["date"], orders["spend"] = first + pd.to_timedelta(orders["day"], unit="D"), 10.0
    days = {
        str((first + pd.Timedelta(days=7 * week + day)).date()): float(promoted[week])
        for week in range(weeks)
        for day in range(1, 8)
    }
    return orders[orders["day"] < weeks * 7], days, WEEKS * 7


def world_rows(number: int, *, moving: bool) -> dict[str, Any]:
    """Return what is found in one world: the promotion's effect, and the total of the weeks ahead."""
    orders, days, known = world(np.random.default_rng([SEED, number, int(moving)]), moving=moving)
    first = pd.Timestamp("2020-01-06")
    until, end = (
        (first + pd.Timedelta(days=day)).date().isoformat() for day in (known, known + AHEAD * 7 - 1)
    )
    customers = clv.summarize(orders, until=until, holdout_until=end, also=("periods",))
    horizon = float(customers.attrs["holdout_duration"])
    calendar = clv.inference.Calendar(events={"promotion": days})
    fitted = clv.fit(
        "bg_nbd", customers, calendar=calendar, draws=DRAWS, tune=500, chains=4, seed=SEED, progress=False
    )
    plain = clv.fit("bg_nbd", customers, method="laplace", draws=DRAWS, seed=SEED)
    row: dict[str, Any] = {
        "world": number,
        "moving": moving,
        "real": int(customers["holdout_purchases"].sum()),
    }
    for name, tree in (("calendar", fitted), ("plain", plain)):
        total = clv.predict(tree, customers, horizon, seed=SEED)["purchases_total"].to_numpy()
        row |= {f"{name}_{end}": float(np.quantile(total, q)) for end, q in (("q05", 0.05), ("q95", 0.95))}
    effect = np.exp(fitted.posterior["calendar_coefficient"].to_numpy()).ravel()
    row |= {
        f"effect_{end}": float(np.quantile(effect, q))
        for end, q in (("q05", 0.05), ("q50", 0.5), ("q95", 0.95))
    }
    return row | {
        "half_life": float(fitted.posterior["calendar_half_life"].median()),
        "sd": float(fitted.posterior["calendar_sd"].median()),
        "shock_sd": float(fitted.posterior["calendar_shock_sd"].median()),
        "divergences": int(fitted.sample_stats["diverging"].sum()),
    }


def base_rows(name: str, origins: Sequence[str], *, quick: bool) -> Iterator[pd.DataFrame]:
    """Yield the rows of each origin of one base; of these ``origins``, where any are named."""
    chosen = {each: ahead for each, ahead in BASES[name].origins.items() if not origins or each in origins}
    orders = getattr(bases, name)()
    for origin, horizons in list(chosen.items())[: 1 if quick else None]:
        scores = clv.scoring.rolling_origins(
            orders,
            {each: Fit(each, spending=MONEY) for each in PLAIN} | CALENDARS,
            [origin],
            horizons,
            draws=DRAWS,
            seed=SEED,
            baselines=RULES,
            cache=FOLDER / "cells" / name,
        )
        yield pd.DataFrame(rows_of(scores, name))


def with_rows(kept: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Return the results with the rows of one base and origin in place of those that were there."""
    if kept.empty:
        return own
    there = (kept["base"] == own["base"][0]) & (kept["origin"] == own["origin"][0])
    return pd.concat([kept[~there], own], ignore_index=True)


def judge_worlds(found: pd.DataFrame) -> list[tuple[str, bool, str]]:
    """Return rules 1 and 2 with what was found."""
    moving, still = found[found["moving"]], found[~found["moving"]]
    effect = int(((moving["effect_q05"] <= PROMOTION) & (moving["effect_q95"] >= PROMOTION)).sum())
    inside = int(
        ((moving["calendar_q05"] <= moving["real"]) & (moving["calendar_q95"] >= moving["real"])).sum()
    )
    plain = int(((moving["plain_q05"] <= moving["real"]) & (moving["plain_q95"] >= moving["real"])).sum())
    need = round(0.75 * len(moving))
    wide = (
        (still["calendar_q95"] - still["calendar_q05"]) / (still["plain_q95"] - still["plain_q05"])
    ).median()
    return [
        (
            "1 found",
            effect >= need and inside >= need,
            f"effect in {effect} of {len(moving)} intervals; totals in {inside} with a calendar, {plain} without",
        ),
        ("2 not invented", bool(wide <= 2), f"interval of a total {wide:.2f} times the plain one's"),
    ]


def judge_bases(found: pd.DataFrame) -> list[tuple[str, bool, str]]:
    """Return rules 3 to 6 with what was found."""
    verdicts = []
    for base, rows in found.groupby("base", sort=False):
        for what in ("total_log_crps", "spend_total_log_crps"):
            mean = rows.groupby("forecast")[what].mean()
            best = mean[mean.index.isin(list(CALENDARS))].min()
            plain, rule = mean[mean.index.isin(PLAIN)].min(), mean[mean.index.isin(RULES)].min()
            verdicts.append(
                (
                    f"3 totals, {base}, {'spend' if what.startswith('spend') else 'purchases'}",
                    bool(best <= 0.7 * plain and not best >= rule),
                    f"log CRPS {best:.3f}; plain {plain:.3f}, simple rules {rule:.3f}",
                )
            )
    for name in CALENDARS:
        rows = found[found["forecast"] == name]
        for what, stem in (("purchases", ""), ("spend", "spend_")):
            real = rows["total_observed" if not stem else "spend_observed"]
            inside = (rows[f"{stem}total_q05"] <= real) & (rows[f"{stem}total_q95"] >= real)
            verdicts.append(
                (
                    f"4 covered, {name}, {what}",
                    bool(0.85 <= inside.mean() <= 0.97),
                    f"{int(inside.sum())} of {len(inside)} totals inside",
                )
            )
        for base, own in rows.groupby("base", sort=False):
            for key in ("", "frequent_", "spend_"):
                held, promised = own[f"{key}covered_90"].mean(), own[f"{key}promised_90"].mean()
                verdicts.append(
                    (
                        f"6 customers, {name}, {base}, {key or 'purchases'}",
                        bool(abs(held - promised) <= 0.03),
                        f"{held:.3f} held of {promised:.3f} promised",
                    )
                )
            fits = own[(own["origin"] == "1997-09-30") & (own["weeks"] == 39)]
            for _, row in fits.iterrows():
                for what, stem in (("purchases", ""), ("spend", "spend_")):
                    real = row["total_observed" if not stem else "spend_observed"]
                    low, mean, high = (row[f"{stem}total_{end}"] for end in ("q05", "mean", "q95"))
                    verdicts.append(
                        (
                            f"5 CDNOW, {name}, {base}, {what}",
                            bool(low <= real <= high and abs(mean / real - 1) <= 0.1),
                            f"{real:,.0f}; {low:,.0f} to {high:,.0f}, mean {mean:,.0f}",
                        )
                    )
    return verdicts


def losses(found: pd.DataFrame) -> pd.DataFrame:
    """Return what bounds rule 3: of each base and total, of which cells its loss is made, and what is to be expected.

    ``best`` is the mean log CRPS of the best calendar, ``plain`` that of the best plain family, ``needed`` 30 % below.
    ``worst`` is the cell with the largest loss of the best calendar, ``share`` its share of the sum over cells, and
    ``others_calendar`` and ``others_plain`` are the means without it, ``other_best`` the least that a plain family or
    a simple rule loses in it. ``expected`` is the mean log CRPS that the calendar itself expects: that of a Normal
    log total whose 90 % interval is its own and whose truth comes from it, sd / sqrt(pi) (Gneiting & Raftery 2007,
    eq. 21); a calendar that is right does no better on average. ``right`` is the mean log CRPS of the plain family's
    width were its median what happened, (sqrt(2) - 1) sd / sqrt(pi): who knew all effects of the weeks to come would
    be there.
    """
    rows = []
    for base, own in found.groupby("base", sort=False):
        for what, stem in (("purchases", ""), ("spend", "spend_")):
            name = f"{stem}total_log_crps"
            cells = own.pivot_table(index=["origin", "weeks"], columns="forecast", values=name, sort=False)
            best, plain = (cells[list(which)].mean().idxmin() for which in (CALENDARS, PLAIN))
            worst = cells[best].idxmax()
            others = cells.drop(index=[worst])
            width = own.assign(sd=np.log(own[f"{stem}total_q95"] / own[f"{stem}total_q05"]) / (2 * Z90))
            sd = width.groupby("forecast")["sd"].mean()
            rows.append(
                {
                    "base": base,
                    "total": what,
                    "best": cells[best].mean(),
                    "plain": cells[plain].mean(),
                    "needed": 0.7 * cells[plain].mean(),
                    "expected": sd[best] / np.sqrt(np.pi),
                    "right": (np.sqrt(2) - 1) * sd[plain] / np.sqrt(np.pi),
                    "worst": f"{worst[0]}, {worst[1]:.0f}",
                    "share": cells[best][worst] / cells[best].sum(),
                    "others_calendar": others[best].mean(),
                    "others_plain": others[plain].mean(),
                    "other_best": cells.drop(columns=list(CALENDARS)).loc[worst].min(),
                }
            )
    return pd.DataFrame(rows)


def plot(found: pd.DataFrame) -> None:
    """Write the figure: intervals of totals over what happened, by base and cell, plain and with a calendar."""
    from bayes_clv.views import style

    names = list(dict.fromkeys(found["base"]))
    with style.styled():
        figure = style.drawing(0.8 + 2.1 * len(names))
        panels = np.atleast_1d(figure.subplots(len(names), 1))
        for axes, base in zip(panels, names, strict=True):
            rows = found[found["base"] == base]
            cells = list(dict.fromkeys(zip(rows["origin"], rows["weeks"], strict=True)))
            for number, (name, color) in enumerate(
                (("mbg_nbd", style.ORANGE), ("mbg_nbd_calendar", style.BLUE))
            ):
                own = rows[rows["forecast"] == name].set_index(["origin", "weeks"]).loc[cells]
                place = np.arange(len(cells)) + 0.3 * number
                for end, width in (("total", 2.0), ("spend_total", 0.8)):
                    real = own["total_observed" if end == "total" else "spend_observed"]
                    shift = 0.12 * (end != "total")
                    axes.vlines(
                        place + shift,
                        own[f"{end}_q05"] / real,
                        own[f"{end}_q95"] / real,
                        color=color,
                        linewidth=width,
                    )
            axes.axhline(1.0, color=style.MUTED, linewidth=0.8)
            axes.set_yscale("log")
            axes.set_yticks([0.5, 0.7, 1, 1.4, 2], ["0.5", "0.7", "1", "1.4", "2"])
            axes.minorticks_off()
            axes.set_xticks(
                np.arange(len(cells)) + 0.2, [f"{origin}\n{weeks:.0f} weeks" for origin, weeks in cells]
            )
            axes.set_ylabel(base.replace("_", "\n"))
        style.heading(
            panels[0],
            "Forecast totals over what happened",
            "90 % intervals of purchases (thick) and spend (thin): MBG/NBD, with a calendar in blue",
        )
        figure.savefig(FIGURE, dpi=150, facecolor="white")


def main() -> int:
    """Run the study; return 1 where a rule failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=["worlds", *BASES])
    parser.add_argument("--origins", nargs="*", default=[], help="days, instead of all of the bases'")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    FOLDER.mkdir(parents=True, exist_ok=True)
    verdicts = []
    if "worlds" in given.only:
        path = FOLDER / "worlds.csv" if given.quick else WORLDS
        numbers = [(number, moving) for moving, count in ((True, 20), (False, 10)) for number in range(count)]
        kept = pd.read_csv(path) if path.exists() else pd.DataFrame()
        known = set() if kept.empty else set(zip(kept["world"], kept["moving"], strict=True))
        for number, moving in numbers[:1] if given.quick else numbers:
            if (number, moving) not in known:
                started = time.time()
                kept = pd.concat([kept, pd.DataFrame([world_rows(number, moving=moving)])], ignore_index=True)
                kept.to_csv(path, index=False, float_format="%.6g")
                print(
                    f"world {number} {'moving' if moving else 'still'}: {time.time() - started:.0f} s",
                    flush=True,
                )
        if not given.quick:
            verdicts += judge_worlds(kept)
    path = FOLDER / "results.csv" if given.quick else RESULTS
    kept = pd.read_csv(path) if path.exists() else pd.DataFrame()
    for name in BASES:
        for own in base_rows(name, given.origins, quick=given.quick) if name in given.only else ():
            kept = with_rows(kept, own)
            kept.to_csv(path, index=False, float_format="%.6g")
            print(f"{name}, {own['origin'][0]}: {len(own)} rows", flush=True)
    if not kept.empty and not given.quick:
        verdicts += judge_bases(kept)
        plot(kept)
        print(losses(kept).round(3).to_string(index=False))
    for rule, passed, said in verdicts:
        print(f"{'passed' if passed else 'FAILED'}  {rule}: {said}")
    return int(not all(passed for _, passed, _ in verdicts))


if __name__ == "__main__":
    sys.exit(main())
