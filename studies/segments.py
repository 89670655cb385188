"""Segments as probabilities: 70 % of the customers said to belong with probability 0.7 should belong.

Question
    On simulated bases whose truth is known, is the probability of membership that ``clv.segment`` gives calibrated, and
    what share of the labels of the classic point rule, applied to one number a customer, are wrong?
Pass rule, stated before the run
    For each segmentation, over BASES bases: in every tenth of probability that holds at least 200 customer-segment
    pairs, the share that belongs differs from the mean probability by no more than 4 standard errors. The error is
    that of a mean over bases (customers of one base share its posterior): sd of the bases' differences / sqrt(bases),
    not less than the binomial one. Four, because some 100 tenths are looked at: 100 × 2 × (1 - Phi(4)) = 0.6 %,
    and the t distribution of 19 degrees of freedom has 100 × 0.08 % = 8 %.

A probability from D draws is itself off by up to sqrt(p (1 - p) / D), and where small probabilities are far more
frequent than large ones, those that look large are so by chance more often than not. With 400 draws, the default, a
first run failed in 2 of 50 tenths, both of the 27 cells of RFM (0.235 said, 0.222 true). The study uses 2,000, which
leaves a fifth of that: it is about the posterior, and more draws are the remedy for the rest.

A base has CUSTOMERS customers of MBG/NBD and Gamma-Gamma whose population parameters are themselves drawn for each
base; ages are 26 to 78 weeks, the horizon is 52 weeks, margin 0.3, discount 10 % a year. Each customer's own rate,
dropout and spend level are drawn, then its purchases one by one until the end of the horizon: the simulation knows
nothing of the package's formulas. The truth is the rule applied to the true numbers, its thresholds those of the true
base. The point rule gets what a table of the field has: observed recency, frequency and mean spend, and the posterior
means of everything else.

Run with ``uv run python -m studies.segments`` (some minutes; ``--bases 3`` for a look). It writes
studies/segments_results.csv and figures/segments.png.
"""

import argparse
import csv
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import bayes_clv as clv
from bayes_clv.segments.rules import Rule

ROOT = Path(__file__).parents[1]
BASES, CUSTOMERS, DRAWS = 20, 2_000, 2_000
HORIZON, MARGIN, ANNUAL = 52.0, 0.3, 0.10
LEAST, ERRORS = 200, 4.0
TENTHS = np.linspace(0, 1, 11)


def rules() -> dict[str, Rule]:
    """Return the segmentations of the study."""
    return {
        "RFM, 3 scores": clv.segments.rfm(scores=3),
        "ABC of value": clv.segments.abc(),
        "value matrix": clv.segments.matrix("alive", "value", x_cut=0.5, y_cut="quantile(0.8)"),
        "four kinds": clv.segments.four_kinds(10.0, margin=MARGIN),
        "lifecycle": clv.segments.lifecycle(),
    }


def population(rng: np.random.Generator) -> dict[str, float]:
    """Return the population of one base: wide about CDNOW's estimates."""
    r, rate = rng.uniform(0.4, 1.5), rng.uniform(0.04, 0.15)
    leaving, concentration = rng.uniform(0.15, 0.45), rng.uniform(1.5, 5)
    p, q = rng.uniform(3, 9), rng.uniform(3, 6)
    mean_spend = rng.uniform(20, 60)
    return {
        "r": r,
        "alpha": r / rate,
        "a": leaving * concentration,
        "b": (1 - leaving) * concentration,
        "p": p,
        "q": q,
        "v": mean_spend * (q - 1) / p,
    }


def base(
    rng: np.random.Generator, of: dict[str, float]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what is observed of the customers of a base, and the truth about them; purchases one by one."""
    rate = rng.gamma(of["r"], 1 / of["alpha"], CUSTOMERS)
    dropout = rng.beta(of["a"], of["b"], CUSTOMERS)
    level = 1 / rng.gamma(of["q"], 1 / of["v"], CUSTOMERS)
    age = np.ceil(rng.uniform(26, 78, CUSTOMERS) * 7) / 7
    here = rng.random(CUSTOMERS) >= dropout
    alive, now = here.copy(), np.zeros(CUSTOMERS)
    observed = {name: np.zeros(CUSTOMERS) for name in ("frequency", "recency", "spent")}
    future = {name: np.zeros(CUSTOMERS) for name in ("purchases", "spend", "value")}
    rate_of_discount = np.log1p(ANNUAL) * 7 / 365.2425
    while here.any():
        now = now + rng.exponential(1 / rate)
        here &= now <= age + HORIZON
        paid = rng.gamma(of["p"], 1.0, CUSTOMERS) * level
        past, coming = here & (now <= age), here & (now > age)
        observed["frequency"] += past
        observed["recency"] = np.where(past, now, observed["recency"])
        observed["spent"] += np.where(past, paid, 0.0)
        future["purchases"] += coming
        future["spend"] += np.where(coming, paid, 0.0)
        future["value"] += np.where(coming, MARGIN * paid * np.exp(-rate_of_discount * (now - age)), 0.0)
        leaves = rng.random(CUSTOMERS) < dropout
        alive &= ~(past & leaves)
        here &= ~leaves
    frequency = observed["frequency"]
    mean = np.divide(observed["spent"], frequency, out=np.full(CUSTOMERS, np.nan), where=frequency > 0)
    seen = {"frequency": frequency, "recency": observed["recency"], "T": age, "monetary_value": mean}
    truth = future | {
        "frequency": frequency,
        "alive": alive.astype(float),
        "purchase_rate": rate,
        "dropout": dropout,
        "spend_per_purchase": of["p"] * level,
        "time_since_purchase": age - observed["recency"],
    }
    return seen, truth


def one_base(seed: int) -> dict[str, dict[str, Any]]:
    """Return for each rule: probability and truth of every customer-segment pair, and wrong labels."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    seen, truth = base(rng, population(rng))
    # Ids of equal length keep their order as text.
    table = pd.DataFrame({"customer_id": [f"c{i:05d}" for i in range(CUSTOMERS)], **seen})
    customers = clv.customers.from_table(table, time_unit="week")
    buying = clv.fit("mbg_nbd", customers, method="laplace", draws=500, seed=seed)
    spending = clv.fit("gamma_gamma", customers, method="laplace", draws=500, seed=seed + 1)
    draws = clv.simulate(
        buying,
        customers,
        spending=spending,
        horizon=HORIZON,
        margin=MARGIN,
        annual_discount_rate=ANNUAL,
        draws=DRAWS,
        seed=seed,
    )
    points = point_numbers(draws, seen)
    found = {}
    for name, rule in rules().items():
        segments = clv.segment(draws, rule)
        real = clv.segments.points(truth, rule)
        names = [segment.name for segment in rule.segments]
        found[name] = {
            "probability": segments["membership"].to_numpy(),
            "belongs": real[:, None] == np.array(names, dtype=object),
            "point_wrong": float((clv.segments.points(points, rule) != real).mean()),
            "likely_wrong": float((segments["most_likely"].to_numpy() != real).mean()),
            "promised_wrong": float(1 - segments["most_likely_probability"].mean()),
            "unsure": float(segments["unsure"].mean()),
            "sure_wrong": float(
                (segments["most_likely"].to_numpy() != real)[~segments["unsure"].to_numpy()].mean()
            )
            if not segments["unsure"].all()
            else float("nan"),
        }
    return found


def point_numbers(draws: Any, seen: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return one number a customer of each quantity: what was observed, and posterior means."""
    wanted = ("alive", "purchases", "value", "spend_per_purchase", "purchase_rate")
    found = {name: np.empty(seen["T"].size) for name in wanted}
    for places, block in draws.blocks(wanted):
        for name in wanted:
            found[name][places] = block[name].mean(axis=1)
    # Alive or not is one number too; RFM scores are of what was observed, 0 spend where there was none.
    found["alive"] = (found["alive"] >= 0.5).astype(float)
    found["time_since_purchase"] = seen["T"] - seen["recency"]
    return found | {"frequency": seen["frequency"]}


def reliability(bases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a tenth of probability: pairs, mean probability, share that belongs, and standard error."""
    rows = []
    for low, high in pairwise(TENTHS):
        difference, pairs, chance, belongs = [], 0, 0.0, 0.0
        for each in bases:
            probability, real = each["probability"].ravel().astype(float), each["belongs"].ravel()
            inside = (probability >= low) & ((probability < high) | (high == 1.0))
            pairs += int(inside.sum())
            chance += probability[inside].sum()
            belongs += real[inside].sum()
            difference.append((real[inside] - probability[inside]).sum())
        if pairs < LEAST:
            continue
        between = float(np.std(difference, ddof=1)) * np.sqrt(len(bases)) / pairs
        share = chance / pairs
        binomial = np.sqrt(max(share * (1 - share), 1 / pairs) / pairs)
        rows.append(
            {
                "from": round(float(low), 1),
                "pairs": pairs,
                "probability": chance / pairs,
                "belongs": belongs / pairs,
                "error": max(between, binomial),
            }
        )
    return rows


def draw_figure(
    tables: dict[str, list[dict[str, Any]]], wrong: dict[str, dict[str, float]], path: Path
) -> None:
    """Draw share against probability for each segmentation, and wrong labels of the point rule and of the likeliest."""
    from matplotlib.figure import Figure

    from bayes_clv.views.style import styled

    with styled():
        figure = Figure(figsize=(11.0, 6.6), layout="constrained")
        axes = figure.subplots(2, 3).ravel()
        for ax, (name, rows) in zip(axes, tables.items(), strict=False):
            x = np.array([row["probability"] for row in rows])
            y = np.array([row["belongs"] for row in rows])
            error = np.array([row["error"] for row in rows])
            ax.plot([0, 1], [0, 1], color="#999999", lw=0.8)
            ax.errorbar(x, y, yerr=2 * error, fmt="o", ms=4, color="#0072b2", lw=1.2)
            ax.set_title(name, loc="left", fontsize=10, fontweight="bold")
            ax.set_xlabel("probability of membership")
            ax.set_ylabel("share that belongs")
        ax = axes[len(tables)]
        place = np.arange(len(wrong))
        for shift, key, colour, label in (
            (-0.27, "point_wrong", "#d55e00", "point rule"),
            (0.0, "likely_wrong", "#0072b2", "most probable segment"),
            (0.27, "sure_wrong", "#009e73", "the same, where it is sure"),
        ):
            ax.barh(
                place + shift, [100 * each[key] for each in wrong.values()], 0.25, color=colour, label=label
            )
        ax.set_yticks(place, list(wrong))
        ax.invert_yaxis()
        ax.set_xlabel("% of labels that are wrong")
        ax.set_title("Labels", loc="left", fontsize=10, fontweight="bold")
        ax.legend(frameon=False, fontsize=8, loc="lower right")
        for rest in axes[len(tables) + 1 :]:
            rest.remove()
        figure.savefig(path, dpi=120)


def main() -> None:
    """Simulate, segment, judge, draw; exit with 1 where the pass rule fails."""
    parser = argparse.ArgumentParser(description="Are probabilities of membership calibrated?")
    parser.add_argument("--bases", type=int, default=BASES)
    options = parser.parse_args()
    bases = []
    for seed in range(options.bases):
        bases.append(one_base(1_000 + 10 * seed))
        print(f"base {seed + 1} of {options.bases}", flush=True)
    tables, wrong, failed, rows = {}, {}, 0, []
    for name in rules():
        each = [found[name] for found in bases]
        tables[name] = reliability(each)
        keys = ("point_wrong", "likely_wrong", "promised_wrong", "unsure", "sure_wrong")
        wrong[name] = {key: float(np.nanmean([found[key] for found in each])) for key in keys}
        words = ", ".join(
            f"{key.replace('_', ' ')} {100 * value:.1f} %" for key, value in wrong[name].items()
        )
        print(f"{name}: {words}")
        for row in tables[name]:
            off = (row["belongs"] - row["probability"]) / row["error"]
            failed += abs(off) > ERRORS
            print(
                f"  {row['pairs']:7,} pairs: probability {row['probability']:.3f}, belong {row['belongs']:.3f}, "
                f"{off:+.1f} errors{'  FAILED' if abs(off) > ERRORS else ''}"
            )
            rows.append({"segmentation": name, **{k: round(v, 5) for k, v in row.items()}, **wrong[name]})
    whole = options.bases == BASES
    folder = ROOT / "out"
    if whole:
        with (ROOT / "studies" / "segments_results.csv").open("w", newline="", encoding="utf-8") as target:
            writer = csv.DictWriter(target, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()} for row in rows
            )
    else:
        folder.mkdir(exist_ok=True)
    draw_figure(tables, wrong, (ROOT / "figures" if whole else folder) / "segments.png")
    print(f"{failed} of {len(rows)} tenths fail")
    if failed and whole:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
