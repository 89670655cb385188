"""Churn alarms against plain silence: who of CDNOW's customers will not buy in the 39 weeks held out.

Question
    Lists of equal length, of the customers with the lowest P(alive), with the lowest probability of any purchase
    over the holdout, and with the longest silence ("silent for N days", N set by the length): in which is the share
    highest that indeed buys nothing?
Pass rule
    None: it was written after a first look at these numbers, and reports. Alarms "beat" silence if their share is
    higher by two binomial standard errors at every length; the study prints whether they do.

MBG/NBD and Pareto/NBD, fitted by laplace on 39 weeks. Run with ``uv run python -m studies.alarms`` (half a minute); it
writes figures/alarms.png.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import bayes_clv as clv
from bayes_clv.views.style import styled

FIGURE = Path(__file__).parents[1] / "figures" / "alarms.png"
LENGTHS = np.arange(100, 2_001, 100)
COLOURS = {"mbg_nbd": "#0072b2", "pareto_nbd": "#009e73"}


def precision(score: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return the share that buys nothing among the first of each length, lowest score first."""
    return np.cumsum(gone[np.argsort(score, kind="stable")])[LENGTHS - 1] / LENGTHS


def main() -> None:
    """Fit, rank, print, draw."""
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30", holdout_until="1998-06-30")
    gone = customers["holdout_purchases"].to_numpy() == 0
    silence = precision(-(customers["T"] - customers["recency"]).to_numpy(), gone)
    error = np.sqrt(2 * silence * (1 - silence) / LENGTHS)
    found = {}
    for name in COLOURS:
        buying = clv.fit(name, customers, method="laplace", seed=1)
        found[name, "P(alive)"] = precision(
            clv.churn_alarms(buying, customers)["probability_alive"].to_numpy(), gone
        )
        active = clv.predict(buying, customers, "39 weeks", seed=1)["probability_active"].to_numpy()
        found[name, "P(any purchase)"] = precision(active, gone)
    for at in (200, 500, 1_000, 1_500):
        place = int(np.flatnonzero(at == LENGTHS)[0])
        words = ", ".join(f"{name} {what} {each[place]:.3f}" for (name, what), each in found.items())
        print(f"{at:5,} customers: silence {silence[place]:.3f}, {words}")
    for (name, what), each in found.items():
        print(f"{name}, {what}: {'beats' if (each > silence + 2 * error).all() else 'does not beat'} silence")
    with styled():
        figure = Figure(figsize=(7.6, 4.4), layout="constrained")
        ax = figure.subplots()
        ax.plot(LENGTHS, 100 * silence, color="#222222", lw=2, label="longest silence")
        for (name, what), each in found.items():
            line = "-" if what == "P(alive)" else "--"
            label = f"lowest {what}, {'MBG/NBD' if name == 'mbg_nbd' else 'Pareto/NBD'}"
            ax.plot(LENGTHS, 100 * each, line, color=COLOURS[name], lw=1.4, label=label)
        ax.axhline(100 * gone.mean(), color="#999999", lw=0.8)
        ax.set_xlabel("customers on the list, of 2,357 (grey line: all of them)")
        ax.set_ylabel("% who buy nothing in the 39 weeks held out")
        ax.legend(frameon=False, fontsize=8.5)
        figure.savefig(FIGURE, dpi=120)


if __name__ == "__main__":
    main()
