"""Whom to act on, on CDNOW's holdout: value in the top tenth, value in unsure labels, and churn alarms.

Questions and pass rules, stated before the run (that alarms do not beat plain silence was known from an
earlier study, which this one replaces)
    1. Top tenth. Customers are ranked on 39 weeks; which share of the spend of the next 39 weeks do the first tenth
       bring? Ranked by the posterior mean value (MBG/NBD, BG/NBD, Pareto/NBD with Gamma-Gamma), the point BG/NBD and
       Gamma-Gamma expected value (maximum likelihood), the RFM score, past spend, and recency. Pass: the posterior mean
       of MBG/NBD brings no less than the best other, up to two bootstrap errors of the paired difference.
    2. Unsure labels. ABC by value and the value matrix (alive × value): how many customers are unsure (their most
       probable segment has less than 0.8), and which share of the expected value and of the holdout's real spend is
       theirs? No pass rule, it reports.
    3. Alarms. Precision and recall at equal length beside "silent for N days"; the time from the last purchase to the
       warning of those who indeed buy no more; and the predicted probability of no purchase in the holdout beside the
       real share, by tenth. Pass for calibration: of the tenths of MBG/NBD and Pareto/NBD at most one in ten lies
       beyond two binomial errors. Alarms "beat" silence where the gain exceeds two errors at every length.

Fits by laplace, 1,000 draws. Two scores are tried beside P(alive): P(no purchase in the holdout), which is what the
list is judged by; and value at risk, which puts the dearest first and is not meant to be right more often.

Found: 1 passes: every model's first tenth brings half of the spend, point estimates too, and four points more than RFM.
3 fails: both families say "no purchase" too often, most of all of the customers they are in two minds about, and no
alarm beats plain silence; P(no purchase) comes nearest. At P(alive) = 0.5 the alarms of MBG/NBD and Pareto/NBD are as
often right as silence and come sooner after the last purchase.

Run with ``uv run python -m studies.cdnow_segments`` (a minute); it writes studies/cdnow_segments_results.csv and
figures/cdnow_segments.png.
"""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import bayes_clv as clv
from bayes_clv.scoring.rankings import captured

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "studies" / "cdnow_segments_results.csv"
FIGURE = ROOT / "figures" / "cdnow_segments.png"
FAMILIES = {"mbg_nbd": "MBG/NBD", "bg_nbd": "BG/NBD", "pareto_nbd": "Pareto/NBD"}
HORIZON, TOP, BOOTSTRAPS, DRAWS = "39 weeks", 0.1, 1_000, 1_000
COLOURS = {"mbg_nbd": "#0072b2", "bg_nbd": "#d55e00", "pareto_nbd": "#009e73"}

type Row = dict[str, Any]


def rfm_score(customers: xr.Dataset) -> np.ndarray:
    """Return the sum of the classic scores of 1 to 5 of recency, frequency and mean spend."""
    mean = np.nan_to_num(customers["monetary_value"].to_numpy())
    total = np.zeros(mean.size)
    for column in (customers["recency"] - customers["T"], customers["frequency"], mean):
        numbers = np.asarray(column, dtype=float)
        cuts = np.quantile(numbers, (0.2, 0.4, 0.6, 0.8))
        total += 1 + (numbers[:, None] > cuts).sum(axis=1)
    return total


def rankings(customers: xr.Dataset, values: Mapping[str, xr.Dataset]) -> dict[str, np.ndarray]:
    """Return what customers are ranked by, the highest first."""
    point = {
        name: clv.fit(name, customers, method="mode", priors="flat", seed=1)
        for name in ("bg_nbd", "gamma_gamma")
    }
    expected = clv.expected.value(point["bg_nbd"], point["gamma_gamma"], customers, horizon=HORIZON)
    found = {
        f"posterior mean value, {FAMILIES[name]}": value["value_mean"].to_numpy()
        for name, value in values.items()
    }
    return found | {
        "point BG/NBD × Gamma-Gamma": expected["value_expected"].to_numpy(),
        "RFM score": rfm_score(customers),
        "past spend": customers["historical_spend"].to_numpy(),
        "shortest silence": (customers["recency"] - customers["T"]).to_numpy(),
        "perfect foresight": customers["holdout_spend"].to_numpy(),
    }


def top_tenth(ranked: Mapping[str, np.ndarray], spent: np.ndarray) -> list[Row]:
    """Return the share of spend of each ranking's first tenth, and its difference from the first ranking."""
    rng = np.random.default_rng(1)
    samples = [rng.integers(0, spent.size, spent.size) for _ in range(BOOTSTRAPS)]

    def share(score: np.ndarray, sample: np.ndarray | slice) -> float:
        return float(captured(score[sample], spent[sample], np.array([TOP]))[0])

    shares = {name: np.array([share(score, each) for each in samples]) for name, score in ranked.items()}
    first = next(iter(ranked))
    rows = []
    for name, score in ranked.items():
        low, high = np.quantile(shares[name], (0.05, 0.95))
        rows.append(
            {
                "part": "top tenth",
                "what": name,
                "value": share(score, slice(None)),
                "low": low,
                "high": high,
                "gain": share(ranked[first], slice(None)) - share(score, slice(None)),
                "error": float((shares[first] - shares[name]).std(ddof=1)),
            }
        )
    return rows


def unsure(draws: Any, value: xr.Dataset, spent: np.ndarray) -> list[Row]:
    """Return how many customers are unsure, and what is at stake with them."""
    mean = value["value_mean"].to_numpy()
    rules = {
        "ABC of value": clv.segments.abc(),
        "value matrix": clv.segments.matrix("alive", "value", x_cut=0.5, y_cut="quantile(0.8)"),
    }
    rows = []
    for name, rule in rules.items():
        found = clv.segment(draws, rule)
        labels, doubt = found["most_likely"].to_numpy(), found["unsure"].to_numpy()
        for label in ("all", *found["segment"].values.tolist()):
            inside = np.ones(doubt.size, dtype=bool) if label == "all" else labels == label
            both = inside & doubt
            for what, share in (
                ("customers", inside.mean()),
                ("unsure customers", both.mean()),
                ("unsure: expected value", mean[both].sum() / mean.sum()),
                ("unsure: holdout spend", spent[both].sum() / spent.sum()),
                ("holdout spend", spent[inside].sum() / spent.sum()),
            ):
                rows.append({"part": f"unsure, {name}", "what": f"{label}: {what}", "value": float(share)})
    return rows


def alarms(
    fits: Mapping[str, xr.DataTree], values: Mapping[str, xr.Dataset], customers: xr.Dataset
) -> dict[str, xr.Dataset]:
    """Return the scores of each family's alarms."""
    found = {}
    for name, buying in fits.items():
        warned = clv.churn_alarms(buying, customers, value=values[name])
        none = 1 - values[name]["probability_active"]
        risk = {"value at risk": warned["value_at_risk"]}
        found[name] = clv.targeting.score_alarms(warned, customers, no_purchase=none, scores=risk)
    return found


def alarm_rows(scored: Mapping[str, xr.Dataset]) -> list[Row]:
    """Return the scores as rows."""
    rows: list[Row] = []
    for family, each in scored.items():
        part = f"alarms, {FAMILIES[family]}"
        for score in each["score"].values:
            for length in each["length"].values:
                at = each.sel(score=score, length=length)
                what = f"{score}, list of {length}"
                rows.append(
                    {
                        "part": part,
                        "what": f"{what}: precision",
                        "value": float(at["precision"]),
                        "gain": float(at["gain"]),
                        "error": float(at["gain_error"]),
                    }
                )
                rows.append({"part": part, "what": f"{what}: recall", "value": float(at["recall"])})
        for which in each["list"].values:
            at = each.sel(list=which)
            for name in ("list_precision", "list_recall", "delay_mean", "delay_median"):
                rows.append({"part": part, "what": f"{which} at 0.5: {name}", "value": float(at[name])})
        rows.append({"part": part, "what": "lead_mean, weeks", "value": float(each["lead_mean"])})
        for group in each["bin"].values:
            at = each.sel(bin=group)
            rows.append(
                {
                    "part": f"calibration, {FAMILIES[family]}",
                    "what": f"tenth {group + 1}: predicted {float(at['predicted']):.4f}",
                    "value": float(at["observed"]),
                    "gain": float(at["observed"] - at["predicted"]),
                    "error": float(at["observed_error"]),
                }
            )
    return rows


def verdict(rows: list[Row], scored: Mapping[str, xr.Dataset]) -> list[str]:
    """Return the sentences of the pass rules."""
    top = [row for row in rows if row["part"] == "top tenth" and row["what"] != "perfect foresight"]
    best = max(top[1:], key=lambda row: row["value"])
    word = "PASS" if best["gain"] > -2 * best["error"] else "FAIL"
    sentences = [
        f"{word}: top tenth by {top[0]['what']} {top[0]['value']:.3f} ({top[0]['low']:.3f}-{top[0]['high']:.3f}); "
        f"best other {best['what']} {best['value']:.3f}, difference {best['gain']:+.3f} ± {best['error']:.3f}"
    ]
    beyond = {}
    for family, each in scored.items():
        z = (each["observed"] - each["predicted"]) / each["observed_error"]
        beyond[family] = int((abs(z) > 2).sum())
        words = ", ".join(f"{float(one):+.1f}" for one in z)
        sentences.append(f"calibration {FAMILIES[family]}: errors {words}; {beyond[family]} beyond two")
        for score in each["score"].values[1:]:
            gain, error = each["gain"].sel(score=score), each["gain_error"].sel(score=score)
            beats = bool((gain > 2 * error).all())
            loses = bool((gain < -2 * error).any())
            sentences.append(
                f"{FAMILIES[family]}, {score}: {'beats' if beats else 'does not beat'} silence"
                f"{', loses somewhere' if loses else ''}; gains "
                + ", ".join(f"{float(g):+.3f}±{float(e):.3f}" for g, e in zip(gain, error, strict=True))
            )
        sentences.append(
            f"{FAMILIES[family]}: list of {int(each['list_precision'].size and _length(each))} alarmed, precision "
            f"{float(each['list_precision'][0]):.3f} (silence {float(each['list_precision'][1]):.3f}), delay "
            f"{float(each['delay_mean'][0]):.1f} weeks (N = {each.attrs['silence_of_list']:.1f}), lead "
            f"{float(each['lead_mean']):+.1f}"
        )
    judged = beyond["mbg_nbd"] + beyond["pareto_nbd"]
    tenths = sum(scored[name].sizes["bin"] for name in ("mbg_nbd", "pareto_nbd"))
    sentences.append(
        f"{'PASS' if judged <= tenths / 10 else 'FAIL'}: {judged} of {tenths} tenths beyond two binomial errors"
    )
    return sentences


def _length(each: xr.Dataset) -> int:
    gone = each.attrs["gone"] * each.attrs["customers"]
    return round(float(each["list_recall"][0]) * gone / float(each["list_precision"][0]))


def draw(rows: list[Row], scored: Mapping[str, xr.Dataset]) -> None:
    """Draw the four panels."""
    from matplotlib.figure import Figure

    from bayes_clv.views.style import styled

    with styled():
        figure = Figure(figsize=(10.5, 8.2), layout="constrained")
        (a, b), (c, d) = figure.subplots(2, 2)
        panels: tuple[tuple[Callable[..., None], Any], ...] = ((_top, a), (_stakes, b))
        for panel, ax in panels:
            panel(ax, rows)
        _gains(c, scored)
        _tenths(d, scored)
        figure.savefig(FIGURE, dpi=120)


def _top(ax: Any, rows: list[Row]) -> None:
    shown = [row for row in rows if row["part"] == "top tenth"]
    for y, row in enumerate(shown):
        colour = "#0072b2" if row["what"].startswith("posterior") else "#555555"
        ax.plot([100 * row["low"], 100 * row["high"]], [y, y], color=colour, lw=1.5)
        ax.plot(100 * row["value"], y, "o", color=colour)
    ax.set_yticks(range(len(shown)), [row["what"] for row in shown], fontsize=8.5)
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.set_xlabel("% of the holdout's spend (line: 90 % bootstrap interval)")
    ax.set_title("What the tenth ranked first brings", loc="left", fontsize=10)


def _stakes(ax: Any, rows: list[Row]) -> None:
    names = ("unsure customers", "unsure: expected value", "unsure: holdout spend")
    words = ("customers", "expected value", "real holdout spend")
    for j, rule in enumerate(("ABC of value", "value matrix")):
        of = {row["what"]: row["value"] for row in rows if row["part"] == f"unsure, {rule}"}
        heights = [100 * of[f"all: {name}"] for name in names]
        places = np.arange(3) + 0.38 * (j - 0.5)
        bars = ax.bar(places, heights, width=0.34, color=("#0072b2", "#e69f00")[j], label=rule)
        ax.bar_label(bars, fmt="%.0f", fontsize=8.5)
    ax.set_xticks(range(3), words)
    ax.set_ylim(0, 118)
    ax.set_ylabel("% with an unsure label")
    ax.legend(frameon=False, fontsize=8.5, loc="upper left", ncols=2)
    ax.set_title("At stake where no segment is 80 % probable", loc="left", fontsize=10)


def _gains(ax: Any, scored: Mapping[str, xr.Dataset]) -> None:
    for family, each in scored.items():
        for score, line in (("1 - P(alive)", "-"), ("P(no purchase)", "--")):
            gain, error = 100 * each["gain"].sel(score=score), 100 * each["gain_error"].sel(score=score)
            what = score.replace("1 - P(alive)", "low P(alive)")
            ax.plot(
                each["length"], gain, line, color=COLOURS[family], lw=1.4, label=f"{what}, {FAMILIES[family]}"
            )
            if family == "mbg_nbd" and score == "P(no purchase)":
                ax.fill_between(
                    each["length"], gain - 2 * error, gain + 2 * error, color=COLOURS[family], alpha=0.12
                )
    ax.axhline(0, color="#222222", lw=1)
    ax.set_xlabel("customers on the list")
    ax.set_ylabel("points of precision above the longest silent")
    ax.set_ylim(-58, 4)
    ax.legend(frameon=False, fontsize=7.5, loc="lower left", ncols=2)
    ax.set_title("Alarm lists of equal length (band: ± 2 standard errors)", loc="left", fontsize=10)


def _tenths(ax: Any, scored: Mapping[str, xr.Dataset]) -> None:
    for offset, (family, each) in zip((-0.4, 0.0, 0.4), scored.items(), strict=True):
        x, y = 100 * each["predicted"] + offset, 100 * each["observed"]
        ax.errorbar(
            x,
            y,
            200 * each["observed_error"],
            fmt="o",
            ms=4,
            lw=1,
            color=COLOURS[family],
            label=FAMILIES[family],
        )
    ax.axline((50, 50), slope=1, color="#999999", lw=0.8)
    ax.set_xlabel("predicted, % (tenths of the customers)")
    ax.set_ylabel("% who bought nothing in 39 weeks")
    ax.legend(frameon=False, fontsize=8.5)
    ax.set_title("Calibration of P(no purchase) (± 2 binomial errors)", loc="left", fontsize=10)


def main() -> None:
    """Fit, measure, print, write, draw."""
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30", holdout_until="1998-06-30")
    spending = clv.fit("gamma_gamma", customers, method="laplace", draws=DRAWS, seed=2)
    fits = {name: clv.fit(name, customers, method="laplace", draws=DRAWS, seed=1) for name in FAMILIES}
    values = {
        name: clv.predict(each, customers, HORIZON, spending=spending, seed=1) for name, each in fits.items()
    }
    spent = customers["holdout_spend"].to_numpy()
    rows = top_tenth(rankings(customers, values), spent)
    draws = clv.simulate(fits["mbg_nbd"], customers, spending=spending, horizon=HORIZON, seed=1)
    rows += unsure(draws, values["mbg_nbd"], spent)
    scored = alarms(fits, values, customers)
    rows += alarm_rows(scored)
    columns = ("part", "what", "value", "low", "high", "gain", "error")
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            cells = (row.get(name, "") for name in columns)
            writer.writerow([f"{cell:.4f}" if isinstance(cell, float) else cell for cell in cells])
    draw(rows, scored)
    for row in rows:
        if row["part"] == "top tenth" or row["part"].startswith("unsure"):
            print(
                row["part"],
                row["what"],
                f"{row['value']:.3f}",
                f"{row.get('gain', 0):+.3f}±{row.get('error', 0):.3f}",
            )
    print("\n".join(verdict(rows, scored)))


if __name__ == "__main__":
    main()
