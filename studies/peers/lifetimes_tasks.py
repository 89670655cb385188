"""lifetimes, measured: run by studies.speed in an environment of its own. It has point estimates only."""

from importlib.resources import as_file, files

import numpy as np
from lifetimes import BetaGeoFitter, GammaGammaFitter
from measure import run, timed


def export_master(path):
    """Write the CDNOW master file of the installed package (23,570 customers) as a CSV of orders."""
    with as_file(files("lifetimes") / "datasets" / "CDNOW_master.txt") as source:
        lines = source.read_text().splitlines()[1:]
    with open(path, "w", encoding="utf-8") as target:  # noqa: PTH123
        target.write("customer_id,date,spend\n")
        for line in lines:
            if line.strip():
                customer, date, _, amount = line.split()
                target.write(f"{customer},{date[:4]}-{date[4:6]}-{date[6:]},{amount}\n")
    return {"seconds": 0.0, "orders": len(lines)}


def _columns(path, size=None):
    columns = np.load(path)
    return [columns[name][:size] for name in ("frequency", "recency", "T", "monetary_value")]


def fit(customers):
    """BG/NBD by maximum likelihood: a point, so there are no draws to count."""
    frequency, recency, age, _ = _columns(customers)
    fitter = BetaGeoFitter(penalizer_coef=0.0)
    _, cost = timed(lambda: fitter.fit(frequency, recency, age), 3)
    return cost | {"medians": {name: float(fitter.params_[name]) for name in ("r", "alpha", "a", "b")}}


def _fitted(draws_path):
    """Return both fitters with the parameters of the first draw: one point, as a fit gives."""
    values = np.load(draws_path)
    buying, spending = BetaGeoFitter(), GammaGammaFitter()
    import pandas as pd

    buying.params_ = pd.Series({name: values[name][0, 0] for name in ("r", "alpha", "a", "b")})
    spending.params_ = pd.Series({name: values[name][0, 0] for name in ("p", "q", "v")})
    buying.predict = buying.conditional_expected_number_of_purchases_up_to_time
    return buying, spending


def value(customers, draws_path, months, monthly_rate, size, repeats):
    """Discounted value over so many months, at one point."""
    import pandas as pd

    frequency, recency, age, spend = _columns(customers, size)
    spend = np.nan_to_num(spend)
    columns = [pd.Series(x) for x in (frequency, recency, age, spend)]
    buying, spending = _fitted(draws_path)

    def work():
        return spending.customer_lifetime_value(
            buying, *columns, time=months, discount_rate=monthly_rate, freq="W"
        )

    result, cost = timed(work, repeats)
    return cost | {"total": float(result.sum())}


def forecast(customers, horizon, path):
    """Expected purchases and spend over the horizon at the maximum-likelihood estimates, written to ``path``.

    BG/NBD for purchases and, where there is spend, Gamma-Gamma, of the customers who came back.
    """
    frequency, recency, age, spend = _columns(customers)
    fitter = BetaGeoFitter(penalizer_coef=0.0)
    _, cost = timed(lambda: fitter.fit(frequency, recency, age))
    found = {
        "purchases": fitter.conditional_expected_number_of_purchases_up_to_time(
            horizon, frequency, recency, age
        )
    }
    paid = (frequency > 0) & (np.nan_to_num(spend) > 0)
    if paid.any():
        spending = GammaGammaFitter(penalizer_coef=0.0)
        spending.fit(frequency[paid], spend[paid])
        paid_each = spending.conditional_expected_average_profit(
            np.where(paid, frequency, 0), np.where(paid, spend, 0.0)
        )
        found["spend"] = found["purchases"] * paid_each
    np.savez(path, **{name: np.asarray(value, dtype=float) for name, value in found.items()})
    return cost


if __name__ == "__main__":
    run({task.__name__: task for task in (export_master, fit, forecast, value)})
