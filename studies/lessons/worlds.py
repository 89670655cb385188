"""Simulated worlds for lesson 7, each fitted by the same model, with the truth beside its intervals.

``uv run python -m studies.lessons.worlds`` makes worlds.csv again, in some minutes: 20 bases of 800 customers of each
world, watched for 52 weeks from 2025-01-01 and acquired in the first 12; MBG/NBD fitted by ``laplace`` (4 x 100 draws);
its 90 % intervals of the mean purchase rate, of the share who leave after a purchase (where there is one) and
of all purchases of the 26 weeks to come; and whether the checks of the fit passed. No rule is stated here; the lesson
asks the class for one.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import bayes_clv as clv
from studies.lessons.by_hand import BUYING

FILE = Path(__file__).with_suffix(".csv")
START, UNTIL, END = "2025-01-01", "2025-12-31", "2026-07-01"
LATER = "2026-09-30"  # half as many days again after UNTIL
BASES, CUSTOMERS = 20, 800


def as_assumed(seed: int) -> pd.DataFrame:
    """Customers of MBG/NBD."""
    return clv.synthetic.simulate_orders(
        BUYING, customers=CUSTOMERS, seed=seed, start=START, until=END, family="mbg_nbd"
    )


def regular(seed: int) -> pd.DataFrame:
    """Customers who buy at every third random moment of three times their rate: at even intervals."""
    return clv.synthetic.simulate_orders(
        {**BUYING, "alpha": BUYING["alpha"] / 3, "k": 3},
        customers=CUSTOMERS,
        seed=seed,
        start=START,
        until=END,
        family="mbg_cnbd_k",
    )


def christmas(seed: int) -> pd.DataFrame:
    """Customers of MBG/NBD, all of whom buy half as much again from the day on which the forecast begins."""
    log = clv.synthetic.simulate_orders(
        BUYING, customers=CUSTOMERS, seed=seed, start=START, until=LATER, family="mbg_nbd"
    )
    after = (log["date"] - pd.Timestamp(UNTIL)).dt.days
    days = np.where(after > 0, np.ceil(after / 1.5), after)
    log["date"] = (pd.Timestamp(UNTIL) + pd.to_timedelta(days, unit="D")).astype("datetime64[s]")
    return log


def changing(seed: int) -> pd.DataFrame:
    """Customers of MBG/NBD who exchange their lives in the middle of the year: each goes on as another began."""
    log = as_assumed(seed)
    names = log["customer_id"].unique()
    other = dict(zip(names, np.random.default_rng(seed).permutation(names), strict=True))
    late = log["date"] > pd.Timestamp("2025-06-30")
    log.loc[late, "customer_id"] = log.loc[late, "customer_id"].map(other)
    return log


def two_kinds(seed: int) -> pd.DataFrame:
    """Four of five who hardly ever come back, and one of five who buys every three weeks and stays; nothing between."""
    kinds = []
    for name, share, rate, leaving in (("p", 0.8, 0.02, 0.5), ("l", 0.2, 0.3, 0.04)):
        log = clv.synthetic.simulate_orders(
            {"r": 100.0, "alpha": 100 / rate, "a": 100 * leaving, "b": 100 * (1 - leaving)},
            customers=round(share * CUSTOMERS),
            seed=seed,
            start=START,
            until=END,
            family="mbg_nbd",
        )
        kinds.append(log.assign(customer_id=name + log["customer_id"]))
    return pd.concat(kinds, ignore_index=True)


WORLDS: dict[str, Callable[[int], pd.DataFrame]] = {
    "as assumed": as_assumed,
    "regular": regular,
    "Christmas": christmas,
    "changing": changing,
    "two kinds": two_kinds,
}
# The mean rate and the share who leave of each world, where it has one of each.
TRUTH = {
    "as assumed": (BUYING["r"] / BUYING["alpha"], BUYING["a"] / (BUYING["a"] + BUYING["b"])),
    "regular": (BUYING["r"] / BUYING["alpha"], BUYING["a"] / (BUYING["a"] + BUYING["b"])),
    "Christmas": (BUYING["r"] / BUYING["alpha"], BUYING["a"] / (BUYING["a"] + BUYING["b"])),
    "two kinds": (0.8 * 0.02 + 0.2 * 0.3, 0.8 * 0.5 + 0.2 * 0.04),
}


def one(world: str, seed: int) -> dict[str, float | str]:
    """Simulate a base of a world, fit it, forecast, and return the ends of the intervals beside the truth."""
    customers = clv.summarize(
        WORLDS[world](seed), spend=None, until=UNTIL, holdout_until=END, time_unit="week"
    )
    buying = clv.fit("mbg_nbd", customers, method="laplace", draws=100, seed=seed)
    total = clv.predict(buying, customers, "26 weeks", seed=seed)["purchases_total"]
    rate, leaving = TRUTH.get(world, (np.nan, np.nan))
    passed = clv.diagnostics(buying)["passed"]
    row: dict[str, float | str] = {"world": world, "base": seed, "checks_passed": int(passed)}
    for name, draws, truth in (
        ("rate", buying["posterior"]["population_purchase_rate"], rate),
        ("leaving", buying["posterior"]["population_dropout"], leaving),
        ("purchases", total, float(customers["holdout_purchases"].sum())),
    ):
        low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95), method="inverted_cdf")
        row |= {f"{name}_low": low, f"{name}_middle": middle, f"{name}_high": high, f"{name}_truth": truth}
    return row


def load() -> pd.DataFrame:
    """Return the fitted worlds."""
    return pd.read_csv(FILE)


def inside(table: pd.DataFrame, name: str) -> pd.Series:
    """Return whether each truth lies in its interval."""
    return table[f"{name}_truth"].between(table[f"{name}_low"], table[f"{name}_high"])


if __name__ == "__main__":
    rows = [one(world, seed) for world in WORLDS for seed in range(1, BASES + 1)]
    pd.DataFrame(rows).to_csv(FILE, index=False, float_format="%.6g", lineterminator="\n")
