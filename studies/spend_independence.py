"""Spend that depends on how often a customer buys: how strong must it be to matter for value.

Question
    The spend models take a customer's spend level to be independent of its purchase rate. In bases made with a
    correlation rho between the two (normal scores of a Gaussian copula; BG/NBD and Gamma-Gamma margins with CDNOW's
    values), by how much are the value of the whole base and that of the tenth ranked best misstated over the next
    52 weeks, with Gamma-Gamma and with lognormal spend? How strong is the correlation in CDNOW?
Pass rule, stated before the run
    1. With rho = 0 the total and the best tenth are within 5 % of the truth with Gamma-Gamma, whose spend it is, and
       the measured correlation is within 3 posterior standard deviations of 0, in every base.
    2. The bias of the best tenth falls as rho rises, and at rho = -0.6 and 0.6 it is on opposite sides of that at 0.
    What lognormal spend does, and which correlation moves the total and the best tenth by 5 and 10 %, is reported.
Why 5 % and 100,000 customers
    Few customers carry the value (CV 3 of a customer's own), so chance alone moves it: with the true parameters, what
    400,000 customers' own rates and spend levels made of the 52 weeks had a standard deviation about its expectation
    that is 1.9 % of the total and 3.1 % of the best tenth in a base of 12,000, and 0.7 % and 1.1 % in one of 100,000.
    The error of the estimates is 4.7 and 6.6 % with CDNOW's 2,357 customers (posterior standard deviation of the total
    and the best tenth), and 0.7 and 1.0 % with 100,000. Together 1.0 and 1.5 %, so that 5 % is 5.1 and 3.4 standard
    errors: two bases fail by chance in two of a thousand studies. With 12,000 customers 5 % was 1.8 and 1.2.
What was found
    Both rules passed. The measured correlation is about 0.4 of that in the base where it is positive, and half of it
    where it is negative, since few purchases tell little of a rate. With Gamma-Gamma, the mean of two bases:

    ==================  =====  =====  =====  =====  =====  =====  =====
    rho                  -0.9   -0.6   -0.3      0    0.3    0.6    0.9
    measured            -0.58  -0.28  -0.12   0.00   0.11   0.24   0.45
    the whole base, %    -3.4   -2.0   -0.5   +1.1   +3.1   +5.4   +7.8
    the best tenth, %   +10.4   +7.3   +4.3   +1.9   +0.2   -0.8   -1.5
    ==================  =====  =====  =====  =====  =====  =====  =====

    At rho = 0 both are within 1.3 standard errors of one base. From there, the total is moved by 5 % at a measured
    0.29 and the best tenth at about -0.26; 10 % is passed only by the best tenth, at -0.55. So the report warns beyond
    0.25 (``problems.CORRELATION_MAX``; until now 0.32, a tenth of the
    variance, which was no statement on value).
    Lognormal spend does the same (total +5.3 and best tenth -0.6 % at 0.6, -2.4 and +6.1 % at -0.6): it is as
    independent of the rate as Gamma-Gamma, and no remedy. What is overstated with a positive correlation is the value
    of those who buy rarely, whose spend is drawn to the mean of the customers who came back. CDNOW's correlation, 0.17
    (90 % from 0.10 to 0.22), would overstate its total by some 3 %.

The truth is what each simulated customer's own rate, dropout and spend level make of the 52 weeks on average, so that
the chance of single purchases is no part of the comparison. Run with ``uv run python -m studies.spend_independence``
(ten minutes). Each base is kept as a record in out/spend_independence; when all are there it judges and writes
studies/spend_independence_results.csv and figures/spend_independence.png.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy import special, stats

import bayes_clv as clv
from bayes_clv.problems import CORRELATION_MAX
from bayes_clv.views.style import AMBER, BLUE, MUTED, ORANGE, styled

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "figures" / "spend_independence.png"
RESULTS = ROOT / "studies" / "spend_independence_results.csv"
RECORDS = ROOT / "out" / "spend_independence"
# The rules are of the inner five; 0.9 either side was added after their run, to read off where 10 % is passed.
RULED = (-0.6, -0.3, 0.0, 0.3, 0.6)
CORRELATIONS = (-0.9, *RULED, 0.9)
SEEDS = (1, 2)
CUSTOMERS = 100_000
HORIZON = 52.0
BUYING = {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}
SPENDING = {"p": 6.25, "q": 3.74, "v": 15.44}
NEAR = 0.05
SPEND_FAMILIES = ("gamma_gamma", "lognormal_spend")
# Misstatements whose correlation is reported.
MISSTATED = (0.10, 0.05, -0.05, -0.10)


def main() -> None:
    """Make the bases that are missing, judge, draw; exit with 1 where the pass rule fails."""
    rows = [row for rho in CORRELATIONS for seed in SEEDS for row in _kept(rho, seed)]
    with RESULTS.open("w", newline="") as file:
        out = csv.DictWriter(file, rows[0], lineterminator="\n")
        out.writeheader()
        out.writerows(
            {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
            for row in rows
        )
    cdnow = clv.inference.spend_independence(clv.summarize(clv.load_cdnow(), until="1997-09-30"))
    print(f"CDNOW: correlation {cdnow['correlation']}, doubling {cdnow['doubling']}")
    for family in SPEND_FAMILIES:
        for name in ("total", "best"):
            bias, measured = average(rows, family, name), average(rows, family, "mean")
            print(
                f"{family}, {name}: "
                + ", ".join(f"{x:+.1%} at {y:.2f}" for x, y in zip(bias, measured, strict=True))
            )
            # Interpolated in the measured correlation, which is what a user has.
            for misstatement in MISSTATED:
                if bias.min() < misstatement < bias.max():
                    at = np.interp(misstatement, *(np.sort(bias), measured[np.argsort(bias)]))
                    print(f"    misstated by {misstatement:+.0%} at a measured correlation of {at:.2f}")
    own = [row for row in rows if row["family"] == SPEND_FAMILIES[0]]
    first = all(
        abs(row["total"]) < NEAR and abs(row["best"]) < NEAR and abs(row["mean"]) < 3 * row["sd"]
        for row in own
        if row["rho"] == 0
    )
    ruled = [CORRELATIONS.index(rho) for rho in RULED]
    best = average(own, SPEND_FAMILIES[0], "best")[ruled]
    middle = best[RULED.index(0.0)]
    second = bool((np.diff(best) < 0).all() and best[0] > middle > best[-1])
    _draw(rows, cdnow)
    print(f"pass rule 1 {'passed' if first else 'FAILED'}, pass rule 2 {'passed' if second else 'FAILED'}")
    if not (first and second):
        raise SystemExit(1)


def average(rows: list[dict[str, Any]], family: str, name: str) -> np.ndarray:
    """Return the mean over seeds, one for each correlation."""
    return np.array(
        [
            np.mean([row[name] for row in rows if row["rho"] == rho and row["family"] == family])
            for rho in CORRELATIONS
        ]
    )


def _kept(rho: float, seed: int) -> list[dict[str, Any]]:
    RECORDS.mkdir(parents=True, exist_ok=True)
    path = RECORDS / f"rho_{rho:+.1f}_seed_{seed}_{CUSTOMERS}.json"
    if not path.exists():
        made = misstated(rho, seed)
        path.write_text(json.dumps(made))
        print(f"rho {rho}, seed {seed}: {made}", flush=True)
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


def misstated(rho: float, seed: int) -> list[dict[str, Any]]:
    """Return the relative bias of value in one simulated base by each spend family, and the correlation measured."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((2, CUSTOMERS))
    scores[1] = rho * scores[0] + np.sqrt(1 - rho**2) * scores[1]
    rate = special.gammaincinv(BUYING["r"], special.ndtr(scores[0])) / BUYING["alpha"]
    # A high score is a high spend level, a low nu.
    nu = special.gammaincinv(SPENDING["q"], special.ndtr(-scores[1])) / SPENDING["v"]
    dropout = rng.beta(BUYING["a"], BUYING["b"], CUSTOMERS)
    age = (39 * 7 - rng.integers(0, 84, CUSTOMERS)) / 7
    would = rng.poisson(rate * age)
    granted = rng.geometric(np.clip(dropout, 1e-12, 1))
    frequency = np.minimum(would, granted)
    alive = would < granted
    recency = np.where(frequency > 0, age * rng.beta(np.maximum(frequency, 1), would - frequency + 1), 0.0)
    number = np.maximum(frequency, 1)
    owner = np.repeat(np.arange(CUSTOMERS), number)
    occasion = rng.gamma(SPENDING["p"], size=owner.size) / nu[owner]
    spend = np.bincount(owner, occasion) / number
    log_mean = np.bincount(owner, np.log(occasion)) / number
    log_sd = np.sqrt(np.bincount(owner, (np.log(occasion) - log_mean[owner]) ** 2) / number)
    truth = alive * -np.expm1(-rate * dropout * HORIZON) / dropout * SPENDING["p"] / nu
    customers = xr.Dataset(
        {
            "frequency": ("customer", frequency),
            "recency": ("customer", recency),
            "T": ("customer", age),
            "monetary_value": ("customer", np.where(frequency > 0, spend, np.nan)),
            "log_spend_mean": ("customer", np.where(frequency > 0, log_mean, np.nan)),
            "log_spend_sd": ("customer", np.where(frequency > 0, log_sd, np.nan)),
        },
        coords={"customer": np.arange(CUSTOMERS).astype(str).astype(object)},
        attrs={"time_unit": "week"},
    )
    found = clv.inference.spend_independence(customers)["correlation"]
    repeat = frequency > 0
    spearman = float(stats.spearmanr(frequency[repeat], spend[repeat]).statistic)
    buying = clv.fit("bg_nbd", customers, method="mode", priors="flat", seed=1)
    rows = []
    for family in SPEND_FAMILIES:
        spending = clv.fit(family, customers, method="mode", priors="flat", seed=1)
        value = clv.expected.value(buying, spending, customers, horizon=HORIZON)["value_expected"].to_numpy()
        top = np.argsort(-value)[: CUSTOMERS // 10]
        rows.append(
            {
                "family": family,
                "rho": rho,
                "seed": seed,
                "total": float(value.sum() / truth.sum() - 1),
                "best": float(value[top].sum() / truth[top].sum() - 1),
                "mean": found["mean"],
                "sd": found["sd"],
                "spearman": spearman,
            }
        )
    return rows


def _draw(rows: list[dict[str, Any]], cdnow: dict[str, Any]) -> None:
    with styled():
        figure = Figure(figsize=(9.2, 4.1), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        left.axvspan(
            cdnow["correlation"]["q05"],
            cdnow["correlation"]["q95"],
            color=AMBER,
            alpha=0.3,
            lw=0,
            label="CDNOW's correlation, 90 %",
        )
        for family, line, words in (
            (SPEND_FAMILIES[0], "-", "Gamma-Gamma"),
            (SPEND_FAMILIES[1], "--", "lognormal"),
        ):
            for name, colour in (("total", BLUE), ("best", ORANGE)):
                left.plot(
                    average(rows, family, "mean"),
                    100 * average(rows, family, name),
                    line,
                    marker="o",
                    ms=4,
                    color=colour,
                )
            left.plot([], [], line, color=MUTED, label=f"{words} spend")
        left.text(-0.5, 9.9, "the tenth ranked best", color=ORANGE, fontsize=9)
        left.text(0.36, 5.7, "the whole base", color=BLUE, fontsize=9, ha="left")
        left.axhline(0, color=MUTED, lw=0.8)
        for limit in (-CORRELATION_MAX, CORRELATION_MAX):
            left.axvline(limit, color=MUTED, lw=0.8, ls=":")
        left.set_xlim(-0.65, 0.65)
        left.text(
            -CORRELATION_MAX,
            -5.6,
            " the report warns beyond",
            fontsize=8,
            color=MUTED,
            va="bottom",
        )
        left.set_xlabel("measured correlation of spend level and log frequency")
        left.set_ylabel("expected value over 52 weeks:\nstated less true, %")
        left.set_title("Value stated as if spend were independent")
        left.set_ylim(-6, 13.5)
        left.legend(fontsize=8, loc="upper right")
        own = [row for row in rows if row["family"] == SPEND_FAMILIES[0]]
        rho = np.array([row["rho"] for row in own])
        right.plot([-1, 1], [-1, 1], color=MUTED, lw=0.8, label="equal")
        right.plot(
            rho - 0.015, [row["mean"] for row in own], "o", ms=5, color=BLUE, label="spend_independence"
        )
        right.plot(rho + 0.015, [row["spearman"] for row in own], "x", color=ORANGE, label="Spearman's")
        right.set_xlabel("correlation in the base")
        right.set_ylabel("measured correlation")
        right.set_title("What can be seen of it")
        right.legend(fontsize=8)
        FIGURE.parent.mkdir(exist_ok=True)
        figure.savefig(FIGURE, dpi=130, facecolor="white")


if __name__ == "__main__":
    main()
