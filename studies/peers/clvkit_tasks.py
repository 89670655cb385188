"""clvkit, measured: run by studies.speed in an environment of its own. It has point estimates only."""

import numpy as np
import pandas as pd
from clvkit import BGNBD, CLV, CustomerBase
from measure import run, timed


def _base(path, size=None):
    columns = np.load(path)
    names = ("frequency", "recency", "T", "monetary_value")
    table = pd.DataFrame({name: np.nan_to_num(columns[name][:size]) for name in names})
    end = pd.Timestamp("1997-09-30")
    return CustomerBase(
        table, time_unit="W", collapse="D", observation_period_end=end, has_monetary=True, on_negative="net"
    )


def fit(customers):
    """BG/NBD by maximum likelihood: a point, so there are no draws to count."""
    base = _base(customers)
    model, cost = timed(lambda: BGNBD().fit(base), 3)
    return cost | {"medians": {name: float(model.params_[name]) for name in ("r", "alpha", "a", "b")}}


def value(customers, weeks, weekly_rate, size, repeats):
    """Discounted value over so many weeks, at its own point."""
    base = _base(customers, size)
    model = CLV(check_independence=False).fit(base)
    result, cost = timed(lambda: model.predict(horizon=weeks, discount_rate=weekly_rate), repeats)
    return cost | {"total": float(result.to_pandas()["clv"].sum())}


if __name__ == "__main__":
    run({task.__name__: task for task in (fit, value)})
