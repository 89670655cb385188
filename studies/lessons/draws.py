"""Draws of one posterior for the lessons, so that no class waits for a fit: MBG/NBD and Gamma-Gamma on CDNOW.

``uv run python -m studies.lessons.draws`` makes draws.csv again: one row a draw, the papers' parameters in weeks and
dollars, each to six digits. The fits are by ``laplace``, which takes seconds; 400 draws give a probability a standard
error of at most .025.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import bayes_clv as clv

FILE = Path(__file__).with_suffix(".csv")


def load() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the draws of buying and of spending, by the papers' symbols."""
    table = pd.read_csv(FILE)
    return (
        {name: table[name].to_numpy() for name in ("r", "alpha", "a", "b")},
        {name: table[name].to_numpy() for name in ("p", "q", "v")},
    )


def make() -> pd.DataFrame:
    """Fit both families on CDNOW's 39 weeks and return the draws."""
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30", time_unit="week")
    drawn = {}
    for family, symbols in (("mbg_nbd", ("r", "alpha", "a", "b")), ("gamma_gamma", ("p", "q", "v"))):
        posterior = clv.fit(family, customers, method="laplace", draws=100, seed=1)["posterior"]
        drawn |= {name: posterior[name].to_numpy().ravel() for name in symbols}
    return pd.DataFrame(drawn)


if __name__ == "__main__":
    make().to_csv(FILE, index=False, float_format="%.6g", lineterminator="\n")
