"""What lesson 4 shows of weeks and of customers who change, so that no class compiles or fits.

``uv run python -m studies.lessons.moving`` makes both files again, in some minutes. ``moving_weeks.csv``: the repeat
purchases of Online Retail's customers a week, and the 90 % bands of MBG/NBD without and with a calendar, both fitted by
``laplace`` to 2011-09-09 and forecast to 2011-12-09. ``moving_customers.csv``: two customers of one count and one last
purchase, one steady and one who has slowed down, by MBG/NBD whose rates drift with several half-lives, at CDNOW's
published parameters.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import bayes_clv as clv
from studies.lessons.by_hand import BUYING

WEEKS = Path(__file__).with_name("moving_weeks.csv")
CUSTOMERS = Path(__file__).with_name("moving_customers.csv")
UNTIL, END, AHEAD = "2011-09-09", "2011-12-09", 26
# Ages in weeks of the repeat purchases of two customers, seen for 52 weeks.
TIMES = {
    "steady": (6.0, 12.0, 18.0, 24.0, 30.0, 36.0, 42.0, 49.0),
    "slowing": (2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 49.0),
}
HALF_LIVES = (8, 13, 26, 52, 104, 208, 520, 5200)


def weeks() -> pd.DataFrame:
    """Return of each week what was bought and both bands, and as the last row the 13 weeks' totals."""
    from studies import bases

    customers = clv.summarize(
        bases.online_retail(), until=UNTIL, holdout_until=END, time_unit="week", also=("periods",)
    )
    table = {}
    for name, calendar in (("static", None), ("calendar", clv.inference.Calendar())):
        more = {} if calendar is None else {"calendar": calendar}
        buying = clv.fit("mbg_nbd", customers, method="laplace", draws=250, seed=1, **more)
        tracking = clv.scoring.simulate_tracking(buying, customers, seed=2)
        drawn = tracking["purchases"].quantile((0.05, 0.5, 0.95), ("chain", "draw"), method="inverted_cdf")
        ahead = clv.predict(buying, customers, "13 weeks", seed=2)["purchases_total"]
        for end, level in (("low", 0.05), ("middle", 0.5), ("high", 0.95)):
            total = np.quantile(ahead, level, method="inverted_cdf")
            table[f"{name}_{end}"] = np.r_[drawn.sel(quantile=level).to_numpy(), total]
    made = np.r_[tracking["observed"].to_numpy(), float(customers["holdout_purchases"].sum())]
    start = [str(each)[:10] for each in tracking["period_start"].to_numpy()]
    return pd.DataFrame({"week": [*start, "13 weeks"], "made": made, **table})


def customers() -> pd.DataFrame:
    """Return P(alive), rate now and expected purchases of both customers for each half-life."""
    family = clv.families.family("mbg_nbd_drift").of(
        {"purchase_times": np.concatenate([np.array(times) for times in TIMES.values()])}
    )
    forecast = clv.families.need(family, clv.families.Forecast)
    counts = np.array([[len(times)] for times in TIMES.values()], dtype=float)
    columns = {
        "frequency": counts,
        "recency": np.array([[times[-1]] for times in TIMES.values()]),
        "T": np.full((2, 1), 52.0),
        "purchase_start": np.array([[0], [len(TIMES["steady"])]]),
    }
    drift = {name: np.full(len(HALF_LIVES), value) for name, value in BUYING.items()}
    drift["kappa"] = np.log(2) / np.array(HALF_LIVES, dtype=float)
    alive = forecast.alive(columns, drift)
    rate, _ = forecast.latent_means(columns, drift)
    bought = forecast.purchases(float(AHEAD), columns, drift)
    return pd.DataFrame(
        {
            "customer": np.repeat(list(TIMES), len(HALF_LIVES)),
            "half_life": np.tile(HALF_LIVES, 2),
            "alive": alive.ravel(),
            "rate": rate.ravel(),
            "purchases": bought.ravel(),
        }
    )


if __name__ == "__main__":
    for path, made in ((CUSTOMERS, customers), (WEEKS, weeks)):
        made().to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
