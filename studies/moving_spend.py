"""Spend that changes within a customer's life: whether it is found, or invented, and what it does to forecasts.

Question
    (a) In simulated worlds, does a fit with a trend by age and a level that drifts find them where they are, and is
    nothing lost where spend is one for ever? (b) On CDNOW and Online Retail, do totals of money and customers' own
    forecasts gain by them?
Pass rules, stated before the run
    1. *not invented*: in static worlds the mean CRPS of customers' holdout spend with trend, with drift and with both
    is
       not worse than without by 0.5 %;
    2. *found*: where spend doubles over the longest age, and half of what customers differ by drifts with a half-life
    of
       20 weeks, the 90 % intervals of growth, of the drifting share and of the half-life each hold the truth in at
       least 3 of 6 worlds (which a right method fails with probability .001), and the total of spend of the holdout
       lies in the 90 % interval of the fit with both in at least as many worlds as in that of the static one;
    3. *public bases*: reported. What a form changes in the CRPS of customers' spend, and in the total's interval.

Worlds: 1,500 customers who came over 26 weeks, BG/NBD at CDNOW's parameters with twice its rate, a holdout of 39 weeks
after 65. All by laplace, 4 x 250 draws. Online Retail: 26 weeks from 2011-06-10; CDNOW: 39 from 1997-09-30; purchases
by MBG/NBD, without a calendar and with one.

What was found
    On 2026-11-30: both rules passed. Static worlds: the worst form is +.03 % (drift). Moving worlds: all three truths
    are inside in 6 of 6, totals inside in 6 with trend or both and in 0 static; CRPS 32.4 with both, 32.6 with a
    trend, 34.3 static. Public bases: Online Retail's customers' CRPS 760.0 with a trend (772.4 static; Gamma-Gamma
    697.9, 701.9), its total 2.78 to 3.16 million (2.66 to 2.96) where 3.96 came; CDNOW's CRPS 20.38 (20.39), total
    52,438 to 66,758 (50,328 to 63,256) where 70,976 came. With a calendar of purchases both totals are inside, with a
    trend or without; CDNOW's CRPS is then .2 % worse with a trend. A drift changes nothing on either.

Run with ``uv run python -m studies.moving_spend`` (a quarter of an hour of processor time); ``--quick`` one world of
each and CDNOW. It writes studies/moving_spend_results.csv and figures/moving_spend.png.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayes_clv as clv
from studies import bases

ROOT = Path(__file__).parents[1]
RESULTS, FIGURE = ROOT / "studies" / "moving_spend_results.csv", ROOT / "figures" / "moving_spend.png"
SEED, WORLDS, DRAWS = 1, 6, 250
ALSO = ("log_spend", "purchase_spend", "periods")
FORMS: dict[str, dict[str, bool]] = {
    "static": {},
    "trend": {"trend": True},
    "drift": {"drift": True},
    "both": {"trend": True, "drift": True},
}
BUYING = {"r": 0.243, "alpha": 2.2, "a": 0.79, "b": 2.43}
STATIC = {"m": 27.0, "tau": 0.47, "sigma": 0.56}
# Half of the variance of levels drifts; the longest age before the holdout is 65 weeks.
GROWTH, SHARE, HALF_LIFE, SPAN = 2.0, 0.5, 20.0, 65.0
MOVING = {
    "m": 27.0,
    "tau": 0.47 * (1 - SHARE) ** 0.5,
    "sigma": 0.56,
    "growth": GROWTH,
    "span": SPAN,
    "omega": 0.47 * SHARE**0.5,
    "kappa": float(np.log(2)) / HALF_LIFE,
}
TRUTH = {"growth": GROWTH, "drift_share": SHARE, "spend_half_life": HALF_LIFE}


def world(moving: bool, seed: int) -> xr.Dataset:
    """Return the customers of a world, with what comes in its holdout."""
    orders = clv.synthetic.simulate_orders(
        BUYING,
        family="bg_nbd",
        customers=1500,
        start="2020-01-06",
        until="2022-01-03",
        acquisition="26 weeks",
        spending_family="lognormal_spend_trend_drift" if moving else "lognormal_spend",
        spending=MOVING if moving else STATIC,
        seed=seed,
    )
    # Amounts are in cents: what rounds to nothing is one.
    orders["spend"] = orders["spend"].round(2).clip(lower=0.01)
    return clv.summarize(orders, until="2021-04-05", holdout_until="2022-01-03", also=ALSO)


def base(name: str) -> xr.Dataset:
    """Return the customers of a public base whose repeat purchases were all paid."""
    ends = {"cdnow": ("1997-09-30", "1998-06-30"), "online_retail": ("2011-06-10", "2011-12-09")}[name]
    found = clv.summarize(getattr(bases, name)(), until=ends[0], holdout_until=ends[1], also=ALSO)
    free = (found["frequency"].to_numpy() > 0) & np.isnan(found["log_spend_mean"].to_numpy())
    return found.isel(customer=np.flatnonzero(~free))


def row_of(
    name: str, spend: str, form: str, buying: Any, spending: Any, customers: xr.Dataset
) -> dict[str, Any]:
    """Return how a forecast of money did."""
    horizon = float(customers.attrs["holdout_duration"])
    value = clv.predict(buying, customers, horizon, spending=spending, seed=SEED + 2)
    total = value["spend_total"].to_numpy().ravel()
    real = float(customers["holdout_spend"].sum())
    low, middle, high = np.quantile(total, [0.05, 0.5, 0.95])
    spread = np.abs(np.subtract.outer(np.log(total[::2]), np.log(total[1::2]))).mean()
    posterior = spending["posterior"].dataset
    found = {
        "world": name,
        "spend": spend,
        "form": form,
        "low": low,
        "median": middle,
        "high": high,
        "real": real,
        "inside": int(low <= real <= high),
        "log_crps_total": float(np.abs(np.log(total / real)).mean() - spread / 2),
        "crps": float(value["spend_crps"].mean()),
        "log_crps": float(value["spend_log_crps"].mean()),
        "inside_90": float(value["spend_inside_90"].mean()),
        "promised_90": float(value["spend_mass_90"].mean()),
        "passed": bool(json.loads(str(spending.attrs["diagnostics"]))["passed"]),
    }
    for each in TRUTH:
        if each in posterior:
            found |= dict(
                zip(
                    (f"{each}_low", each, f"{each}_high"),
                    np.quantile(posterior[each], [0.05, 0.5, 0.95]),
                    strict=True,
                )
            )
    return found


def fitted(name: str, customers: xr.Dataset, **options: Any) -> Any:
    """Return a fit by laplace."""
    return clv.fit(name, customers, method="laplace", draws=DRAWS, seed=SEED, progress=False, **options)


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield one row a forecast."""
    for moving in (False, True):
        for number in range(1 if quick else WORLDS):
            customers = world(moving, 100 + number)
            buying = fitted("bg_nbd", customers)
            for form, asked in FORMS.items():
                spending = fitted("lognormal_spend", customers, **asked)
                name = f"{'moving' if moving else 'static'} {number}"
                yield row_of(name, "lognormal_spend", form, buying, spending, customers)
    for name in ("cdnow",) if quick else ("cdnow", "online_retail"):
        customers = base(name)
        for paced, calendar in (("", None), (", calendar", clv.inference.Calendar())):
            buying = fitted("mbg_nbd", customers, calendar=calendar)
            for spend, forms in (("lognormal_spend", FORMS), ("gamma_gamma", ("static", "trend"))):
                for form in forms:
                    spending = fitted(spend, customers, **FORMS[form])
                    yield row_of(f"{name}{paced}", spend, form, buying, spending, customers)


def judge(table: pd.DataFrame) -> list[tuple[str, bool, str]]:
    """Return each rule, whether it passed, and the figures."""
    static = table[table["world"].str.startswith("static")]
    means = static.groupby("form")["crps"].mean()
    worst = float((means / means["static"]).max() - 1)
    moving = table[table["world"].str.startswith("moving") & (table["form"] == "both")]
    plain = table[table["world"].str.startswith("moving") & (table["form"] == "static")]
    held = {
        name: int(((moving[f"{name}_low"] <= truth) & (truth <= moving[f"{name}_high"])).sum())
        for name, truth in TRUTH.items()
    }
    inside = int(moving["inside"].sum()), int(plain["inside"].sum())
    return [
        ("not invented", worst <= 0.005, f"worst CRPS {100 * worst:+.2f} % of the static one's"),
        (
            "found",
            min(held.values()) >= len(moving) / 2 and inside[0] >= inside[1],
            f"{held} of {len(moving)}; totals inside: {inside[0]} with both, {inside[1]} static",
        ),
    ]


def draw(table: pd.DataFrame) -> None:
    """Write the figure: totals of the public bases, and of the moving worlds, beside what came."""
    from matplotlib.figure import Figure

    from bayes_clv.views.style import BLUE, MUTED, ORANGE, styled

    with styled():
        figure = Figure(figsize=(9.2, 4.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        worlds = table[table["world"].str.startswith("moving")]
        places = {
            "worlds where spend moves": (left, worlds),
            "public bases": (right, table[~table["world"].str.contains(r"moving|static")]),
        }
        for title, (axes, part) in places.items():
            names = [
                f"{each.world}, {each.form}"
                if axes is left
                else f"{each.world}: {each.spend.split('_')[0]}, {each.form}"
                for each in part.itertuples()
            ]
            at = np.arange(len(part))
            for i, each in zip(at, part.itertuples(), strict=True):
                colour = MUTED if each.form == "static" else BLUE
                axes.plot([each.low / each.real, each.high / each.real], [i, i], color=colour, lw=2)
                axes.plot(each.median / each.real, i, "o", color=colour, ms=3)
            axes.axvline(1, color=ORANGE, lw=1)
            axes.set_yticks(at, names, fontsize=5)
            axes.invert_yaxis()
            axes.set_title(title)
            axes.set_xlabel("forecast total of spend, 90 %, over what came")
        FIGURE.parent.mkdir(exist_ok=True)
        figure.savefig(FIGURE, dpi=130, facecolor="white")


def main() -> None:
    """Run, judge, write; exit with 1 where a rule fails."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    found = []
    for row in rows(quick):
        found.append(row)
        print(
            {name: round(each, 4) if isinstance(each, float) else each for name, each in row.items()},
            flush=True,
        )
    table = pd.DataFrame(found)
    verdicts = judge(table)
    for name, passed, words in verdicts:
        print(f"{name}: {'passed' if passed else 'FAILED'} ({words})")
    if not quick:
        table.to_csv(RESULTS, index=False, float_format="%.5g")
        draw(table)
    sys.exit(not all(passed for _, passed, _ in verdicts))


if __name__ == "__main__":
    main()
