"""Intervals for single customers: do they hold what they promise on CDNOW's holdout.

Question
    Fitted on 39 weeks of CDNOW's 1/10 sample, how many of 2,357 customers' real purchase counts of the next
    39 weeks lie in their 90 % interval: at the outcome level (a simulated future) and at the expected level
    (the interval of the expectation, which is what other packages offer)?
Pass rule, stated before the run
    Outcome level: a share between 0.88 and 0.97. The total is reported, in or out.

Fit and forecast are those of ``bayes-clv demo``. Run with ``uv run python -m studies.cdnow_holdout`` (about a
minute); it writes figures/cdnow_holdout.png.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import bayes_clv as clv
from bayes_clv.views.style import styled

FIGURE = Path(__file__).parents[1] / "figures" / "cdnow_holdout.png"
LOW, HIGH = 0.88, 0.97


def main() -> None:
    """Fit, forecast, score, draw; exit with 1 where the pass rule fails."""
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30", holdout_until="1998-06-30")
    buying = clv.fit("bg_nbd", customers, seed=1, progress=False)
    future = clv.predict(buying, customers, "39 weeks", seed=3)
    expected = clv.expected.purchases(buying, customers, "39 weeks")
    bought = customers["holdout_purchases"].to_numpy()
    scored = clv.evaluate(future, customers, baselines=()).isel(forecast=0)

    low, high = expected.quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
    expected_share = float(((low <= bought) & (bought <= high)).mean())
    outcome_share = float(scored["covered"].sel(interval=90))
    real, total_low, total_high = (int(scored[f"total_{name}"]) for name in ("observed", "q05", "q95"))
    print(f"real count inside the 90 % interval, outcome level:  {outcome_share:.1%}")
    print(f"real count inside the 90 % interval, expected level: {expected_share:.1%}")
    print(f"total: real {real:,}, forecast {total_low:,} to {total_high:,} (90 %)")
    _draw(bought, (low, high), future, expected_share, outcome_share)
    passed = LOW <= outcome_share <= HIGH
    print(f"pass rule ({LOW} to {HIGH} at the outcome level): {'passed' if passed else 'FAILED'}")
    if not passed:
        raise SystemExit(1)


def _draw(bought, expected, future, expected_share, outcome_share):  # type: ignore[no-untyped-def]
    outcome = (future["purchases_q05"].to_numpy(), future["purchases_q95"].to_numpy())
    mean = future["purchases_mean"].to_numpy()
    # Every 59th customer by expectation: 40 customers that span the base.
    shown = np.argsort(mean)[::-1][:: mean.size // 40][:40]
    with styled():
        figure = Figure(figsize=(8.2, 4.6), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for ax, (low, high), title, share in (
            (axes[0], expected, "Interval of the expectation", expected_share),
            (axes[1], outcome, "Interval of the outcome", outcome_share),
        ):
            inside = (low[shown] <= bought[shown]) & (bought[shown] <= high[shown])
            place = np.arange(shown.size)
            ax.vlines(place, low[shown], np.maximum(high[shown], low[shown] + 0.05), color="#0072b2", lw=3)
            for chosen, colour, label in (
                (inside, "#222222", "real count, inside"),
                (~inside, "#d55e00", "outside"),
            ):
                ax.plot(place[chosen], bought[shown][chosen], "o", ms=4, color=colour, label=label)
            ax.set_title(f"{title}: {share:.1%} of 2,357 inside", loc="left", fontsize=10)
            ax.set_xlabel("40 of the customers, most purchases expected first")
            ax.set_xticks([])
            ax.set_yscale("symlog", linthresh=1)
            ax.set_yticks([0, 1, 2, 5, 10, 20, 40], ["0", "1", "2", "5", "10", "20", "40"])
        axes[0].set_ylabel("purchases in the 39 weeks held out")
        axes[0].legend(loc="upper right", frameon=False)
        figure.suptitle("CDNOW, 90 % intervals per customer from BG/NBD (4,000 posterior draws)", fontsize=11)
        FIGURE.parent.mkdir(exist_ok=True)
        figure.savefig(FIGURE, dpi=130)


if __name__ == "__main__":
    main()
