"""What the default priors say of customers before any data, for every family.

Question
    Put through each family's own formulas, what do its default priors make of a new customer: how often it buys or
    renews, how long it stays, what a year holds? Do they rule out what real data show, or find absurd things likely?
Pass rule, stated before the run
    For every family and every plain quantity for which the data have a value of their own, that value lies within the
    central 99 % of the prior. Of the purchase families less than 1 % of the prior is a mean of more than one purchase
    a day, and of the spend families less than 1 % a mean spend above 1,000 times the data's.

The data only place the priors of quantities that have a unit (purchases a week, money): CDNOW's 1/10 sample to
1997-09-30, the donors of Fader, Hardie & Shang (2010) and the high-end contracts of Fader & Hardie (2007), from
tests/reference. Run with ``uv run python -m studies.priors``; it writes figures/priors.png and prints each quantity.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import bayes_clv as clv
from bayes_clv.families.registry import FAMILIES, family
from bayes_clv.views.plots.priors import Implied, draw_implied, draw_replicated, implied_by_prior
from bayes_clv.views.style import styled

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "figures" / "priors.png"
REFERENCE = ROOT / "tests" / "reference"
CENTRAL = 0.99
PER_WEEK, TIMES_THE_DATA = 7.0, 1_000.0


def customers_of(kind: str) -> xr.Dataset:
    """Return the data that a family of this kind is placed on."""
    if kind == "opportunities":
        return clv.customers.from_opportunities(pd.read_csv(REFERENCE / "donors.csv", comment="#"))
    if kind == "contracts":
        survivors = pd.read_csv(REFERENCE / "renewals.csv", comment="#")["high_end"]
        return clv.customers.from_survivors(survivors[:8].to_numpy())
    return clv.summarize(
        clv.load_cdnow(),
        until="1997-09-30",
        also=(
            "log_spend",
            "log_intervals",
        ),
    )


def prior_of(name: str, customers: xr.Dataset) -> xr.DataTree:
    """Return a tree with draws of the priors and bases drawn from them; the posterior is not of interest."""
    return clv.fit(name, customers, method="mode", seed=1, include=("prior", "prior_predictive"))


def verdicts(name: str, panels: list[Implied]) -> list[tuple[str, bool]]:
    """Return each quantity in words, and whether the pass rule holds for it."""
    found = []
    for i, panel in enumerate(panels):
        finite = panel.draws[np.isfinite(panel.draws)]
        low, q05, median, q95, high = np.quantile(
            finite, [(1 - CENTRAL) / 2, 0.05, 0.5, 0.95, (1 + CENTRAL) / 2]
        )
        passed, data = True, ""
        if panel.observed is not None:
            passed = bool(low <= panel.observed <= high)
            data = f"; data {panel.observed:.3g}"
        kind = family(name).kind
        if i == 0 and kind == "purchases":
            passed &= bool((finite > PER_WEEK).mean() < 1 - CENTRAL)
        if i == 0 and kind == "spend" and panel.observed is not None:
            passed &= bool((finite > TIMES_THE_DATA * panel.observed).mean() < 1 - CENTRAL)
        found.append((f"{panel.title}: {q05:.3g} to {q95:.3g} at 90 %, median {median:.3g}{data}", passed))
    return found


def draw_figure(trees: dict[str, xr.DataTree], path: Path) -> None:
    """Draw a row a family: the plain quantities, and the bases drawn from the prior."""
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(15.5, 0.6 + 2.35 * len(trees)), layout="constrained")
        rows = figure.subfigures(len(trees), 1)
        for part, (name, tree) in zip(np.atleast_1d(rows), trees.items(), strict=True):
            part.suptitle(family(name).words.title, x=0.01, ha="left", fontsize=11, fontweight="bold")
            axes = part.subplots(1, 4)
            panels = implied_by_prior(tree)
            for ax, panel in zip(axes, panels, strict=False):
                draw_implied(ax, panel)
            draw_replicated(axes[-1], tree)
            for ax in axes[len(panels) : -1]:
                ax.remove()
        figure.savefig(path, dpi=80)


def main() -> None:
    """Draw from the priors, judge, draw; exit with 1 where the pass rule fails."""
    customers = {kind: customers_of(kind) for kind in ("purchases", "opportunities", "contracts")}
    customers["spend"] = customers["purchases"]
    trees = {name: prior_of(name, customers[family(name).kind]) for name in FAMILIES}
    failed = 0
    for name, tree in trees.items():
        print(family(name).words.title)
        for words, passed in verdicts(name, implied_by_prior(tree)):
            failed += not passed
            print(f"  {'' if passed else 'FAILED: '}{words}")
    draw_figure(trees, FIGURE)
    print(f"{failed} quantities fail the pass rule")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
