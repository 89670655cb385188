"""Published, ours, difference: does every family give the literature's figures from the raw data.

Question
    Of each figure of tests/reference/published.csv (parameters, log-likelihoods, forecasts): what does this package
    compute from the raw data, estimates by maximum likelihood (``method="mode", priors="flat"``)?
Pass rule, stated before the run
    Every row is computed, and every published figure is a rounding of ours: no further from it than half a unit of
    its last digit.

Not every figure is a paper's: where the source says "recomputed", the paper prints fewer digits (BG/NBD's table 2
three) or none (MBG/NBD on CDNOW), and the row holds us to earlier computations only.

Some figures carry their authors' arithmetic, named in published.csv, and are reproduced with it. The worksheet
sums 2F1 to j = 150, which at 78 weeks (z = 0.946) leaves out 0.0003 purchases: exactly it is 1.8580. The
Gamma-Gamma note prints mean spend to the cent before it uses it: customer 1's 22.345 is 22.35 there. BTYD's walkthrough
computes Pareto/NBD's residual transactions at estimates a little off the maximum, of which it prints four digits; ours
is then the range over all estimates that are printed so.

A family that is not in COMPUTED is fitted to CDNOW and gives its estimates and log-likelihood. ``tests/inference/
test_published.py`` holds the same figures to the same rule. Run with ``uv run python -m studies.published`` (a
minute); it writes studies/published_results.csv and figures/published.png.
"""

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayes_clv as clv
from bayes_clv.families.contract import Forecast, SpendLevel, need
from bayes_clv.families.registry import family
from studies.printed import REFERENCE, Figure, Row, against, verdict, write
from studies.printed import rows as printed_rows

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "studies" / "published_results.csv"
FIGURE = ROOT / "figures" / "published.png"


def rows() -> list[dict[str, str]]:
    """Return the published figures."""
    return printed_rows("published.csv")


def point(posterior: xr.DataTree, names: tuple[str, ...]) -> dict[str, float]:
    """Return the values of a point posterior."""
    return {name: float(posterior["posterior"][name].item()) for name in names}


def to_the_cent(amounts: np.ndarray) -> np.ndarray:
    """Round half up, on the decimal fractions that the amounts stand for."""
    cent = Decimal("0.01")
    return np.array([float(Decimal(f"{x:.6f}").quantize(cent, ROUND_HALF_UP)) for x in amounts])


def worksheet_purchases(t: float, r: float, alpha: float, a: float, b: float, terms: int = 150) -> float:
    """Return E[X(t)] as Hardie's worksheet has it: eq. 9 with the series of 2F1 cut off."""
    z = t / (alpha + t)
    j = np.arange(1, terms + 1)
    series = 1 + np.cumprod((r + j - 1) * (b + j - 1) / ((a + b + j - 2) * j) * z).sum()
    return float((a + b - 1) / (a - 1) * (1 - (alpha / (alpha + t)) ** r * series))


BTYD = {"r": 0.5534, "alpha": 10.5758, "s": 0.6061, "beta": 11.6618}


def over_rounding(
    function: Callable[[dict[str, float]], Any], printed: dict[str, float], half_digit: float = 0.5e-4
) -> tuple[float, float]:
    """Return the least and the greatest value that the function has at estimates that are printed like these."""
    value = float(function(printed))
    moved = [abs(float(function({**printed, name: printed[name] + half_digit})) - value) for name in printed]
    return value - sum(moved), value + sum(moved)


def donors() -> xr.Dataset:
    """Return the donors of Fader, Hardie & Shang (2010), 22 histories with counts."""
    return clv.customers.from_opportunities(pd.read_csv(REFERENCE / "donors.csv", comment="#"))


def survivors(cohort: str, renewals: int) -> xr.Dataset:
    """Return the contracts of one of the two cohorts, followed over so many renewals."""
    return clv.customers.from_survivors(
        pd.read_csv(REFERENCE / "renewals.csv", comment="#")[cohort][: renewals + 1]
    )


def maximum_likelihood(name: str, data: xr.Dataset) -> dict[str, float]:
    """Return the estimates of a family and the log-likelihood there."""
    fitted = clv.fit(name, data, method="mode", priors="flat", seed=1)
    return point(fitted, family(name).parameters) | {"log_likelihood": fitted["sample_stats"]["lp"].item()}


def forecast(name: str) -> Forecast:
    """Return the forecast of a family of purchases or opportunities."""
    return need(family(name), Forecast)


def history(name: str, *seen: float) -> dict[str, np.ndarray]:
    """Return a customer's history by name, from its numbers in the order of the family's columns."""
    return dict(zip(forecast(name).history, map(np.asarray, seen), strict=True))


def estimates(name: str, found: dict[str, Figure]) -> dict[str, np.ndarray]:
    """Return the family's parameters among the figures."""
    return {key: np.asarray(found[key], dtype=float) for key in family(name).parameters}


def of_contracts(name: str) -> dict[str, Figure]:
    """Return the estimates from both cohorts, 7 renewals, and the polarization of the high end from 4."""
    found: dict[str, Figure] = {
        f"{cohort}_{key}": value
        for cohort in ("high_end", "regular")
        for key, value in maximum_likelihood(name, survivors(cohort, 7)).items()
    }
    four = maximum_likelihood(name, survivors("high_end", 4))
    return found | {"high_end_polarization_4_renewals": 1 / (four["alpha"] + four["beta"] + 1)}


def of_donors(name: str) -> dict[str, Figure]:
    """Return the estimates from the donors, and BTYD's two forecasts at them."""
    rate = maximum_likelihood(name, donors())
    shapes = estimates(name, dict(rate))
    purchases = forecast(name).purchases
    return rate | {
        "customers": int(donors()["count"].sum()),
        "expected_purchases_10_of_x_0": float(purchases(10, history(name, 0, 0, 6), shapes)),
        "expected_purchases_10_of_x_4": float(purchases(10, history(name, 4, 5, 6), shapes)),
    }


@cache
def cdnow(regularity: bool = False) -> xr.Dataset:
    """Return CDNOW's customers at the end of September 1997."""
    also = ("log_intervals",) if regularity else ()
    return clv.summarize(clv.load_cdnow(), until="1997-09-30", time_unit="week", also=also)


def of_cdnow(name: str) -> dict[str, Figure]:
    """Return a family's estimates on CDNOW and the log-likelihood there."""
    return dict(maximum_likelihood(name, cdnow("log_intervals" in family(name).observed)))


def of_bg_nbd(name: str) -> dict[str, Figure]:
    """Return the paper's forecasts of customer 1 and the worksheet's of a new customer beside the estimates."""
    found = of_cdnow(name)
    rate = estimates(name, found)
    first = cdnow().isel(customer=0)
    seen = history(name, first["frequency"].item(), first["recency"].item(), first["T"].item())
    horizons = {"1_day": 1 / 7, "1_week": 1, "3_weeks": 3, "32_weeks": 32}
    return found | {
        "expected_purchases_39_of_customer_1": float(forecast(name).purchases(39, seen, rate)),
        "probability_alive_of_customer_1": float(forecast(name).alive(seen, rate)),
        **{
            f"new_customer_purchases_{words}": float(
                forecast(name).purchases(t, history(name, 0, 0, 0), rate)
            )
            for words, t in horizons.items()
        },
        "new_customer_purchases_78_weeks": worksheet_purchases(78, *map(float, rate.values())),
    }


def of_pareto_nbd(name: str) -> dict[str, Figure]:
    """Return BTYD's forecasts beside the estimates."""
    found = of_cdnow(name)
    pareto = estimates(name, found)
    # Ages are whole days: 216 of 7 a week are printed as 30.86.
    active = (26, 216 / 7, 31)
    for words, seen in (
        ("26_30.86_31", active),
        ("7_35_39", (7, 35, 39)),
        ("2_30.43_38.86", (2, 213 / 7, 272 / 7)),
    ):
        found[f"residual_transactions_{words}"] = over_rounding(
            lambda p, seen=seen: forecast(name).discounted(np.inf, 0.0027, history(name, *seen), p),
            BTYD,
        )
    return found | {
        "expected_purchases_52_of_an_active_customer": float(
            forecast(name).purchases(52, history(name, *active), pareto)
        ),
        "probability_alive_of_an_active_customer": float(
            forecast(name).alive(history(name, *active), pareto)
        ),
    }


def of_gamma_gamma(name: str) -> dict[str, Figure]:
    """Return the number of repeaters and the expected spend of the first five customers beside the estimates."""
    found = of_cdnow(name)
    five = cdnow().isel(customer=slice(5))
    seen = {
        "occasions": five["frequency"].to_numpy(),
        "mean_spend": to_the_cent(five["monetary_value"].fillna(0).to_numpy()),
    }
    expected = need(family(name), SpendLevel).expected(seen, estimates(name, found))
    repeaters = (cdnow()["frequency"] > 0) & (cdnow()["monetary_value"] > 0)
    return found | {
        "customers": float(repeaters.sum()),
        **{f"expected_spend_of_customer_{i + 1}": float(expected[i]) for i in range(5)},
    }


COMPUTED: dict[str, Callable[[str], dict[str, Figure]]] = {
    "bg_nbd": of_bg_nbd,
    "pareto_nbd": of_pareto_nbd,
    "gamma_gamma": of_gamma_gamma,
    "bg_bb": of_donors,
    "shifted_beta_geometric": of_contracts,
    "beta_discrete_weibull": of_contracts,
}


@cache
def computed(name: str) -> dict[str, Figure]:
    """Return what this package computes of a family's published figures, by their names."""
    return COMPUTED.get(name, of_cdnow)(name)


def compared(row: dict[str, str]) -> Row:
    """Return a row of the table, beside what this package computes."""
    return against(row, computed(row["family"]).get(row["quantity"]))


def main() -> None:
    """Compute every row, write table and figure; exit with 1 where the pass rule fails."""
    found = [compared(row) for row in rows()]
    write(found, ("family", "quantity", "published", "ours", "difference", "arithmetic", "source"), RESULTS)
    for row in found:
        words = "" if row["passed"] else "  FAILED"
        print(f"{row['family']:24} {row['quantity']:46} {row['published']:>10} {row['ours']:>22}{words}")
    draw(found)
    if not verdict(found):
        raise SystemExit(1)


def draw(found: list[Row]) -> None:
    """Draw each figure's difference in halves of its last printed digit, a line a family."""
    from bayes_clv.views import style

    families = list(dict.fromkeys(row["family"] for row in found))
    with style.styled():
        figure = style.drawing(1.6 + 0.42 * len(families), width=8.4)
        axes = figure.subplots()
        axes.axvspan(-1, 1, color=style.GRID, alpha=0.7, lw=0)
        rng = np.random.default_rng(1)
        for place, name in enumerate(families):
            own = np.array([row["half_digits"] for row in found if row["family"] == name])
            passed = np.array([row["passed"] for row in found if row["family"] == name])
            jitter = 0.22 * rng.uniform(-1, 1, own.size)
            for which, colour, mark in ((passed, style.BLUE, "o"), (~passed, style.ORANGE, "X")):
                axes.plot(
                    own[which].clip(-2.4, 2.4), place + jitter[which], mark, ms=5, color=colour, alpha=0.8
                )
            axes.text(2.62, place, f"{passed.sum()} of {own.size} agree", va="center", fontsize=9)
        axes.set_yticks(range(len(families)), [family(name).words.title for name in families])
        axes.set_ylim(len(families) - 0.5, -0.6)
        axes.set_xlim(-2.5, 2.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("ours less published, in halves of the last printed digit")
        axes.text(0, len(families) - 0.58, "a rounding of ours", ha="center", fontsize=8.5, color=style.MUTED)
        axes.set_title("Published figures, recomputed from the raw data")
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=130, facecolor="white")


if __name__ == "__main__":
    main()
