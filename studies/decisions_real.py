"""Decisions on real bases: days to come, customers' own costs, offers by lifetime value, waves, weights from value.

Question
    Each way to decide that no other study tries on a real base, tried on one: does it do what it says, and does what is
    decided by it hold where that can be seen?
Pass rules, stated before the run
    *Days to come* (Online Retail to 2011-06-10, MBG/NBD with a calendar). Of the repeat orders of two past fortnights
    (2011-02-21 and 2011-05-02) four tenths, drawn by chance, are doubled: a second order of that customer within three
    days. So an effect of +40 % is known, on a base that is else real. 1. The event's 90 % interval holds
    1.4. 2. The base has a sale planned for 2011-07-04 to 07-17; the scenario ``event`` of value 0 takes it away, and
    four tenths of the orders that these customers really made in these days, the loss in truth, lie in the 90 %
    interval of the difference. 3. ``promotion = +40 %`` on the same days, on a fit whose calendar plans no sale, brings
    a difference whose 90 % interval holds the same number.
    *Own costs* (Online Retail to 2011-06-10, BG/NBD, Gamma-Gamma). An order costs £8 in the United Kingdom and £25
    elsewhere, margin 30 % (stated, as an example). 4. Mean value before less after costs is the cost of an order times
    mean purchases, customer by customer (no discount), to one part in a million. 5. Over the 26 weeks that came, the
    tenth of the customers of highest value after costs earned after costs no less than the tenth of highest value
    before, but for two standard errors (bootstrap of customers).
    *Offers by lifetime value* (CDNOW to 1997-09-30, 39 weeks). A mailing (0.40; rate +8 % ± 3) and a call (3.00; rate
    +25 % ± 8, spend +5 % ± 2; to who came back). 6. What ``plan_offers`` promises of each offer is what
    ``compare_scenarios`` finds of the same customers with a simulation of another seed, within 4 standard errors of
    both. 7. The plan gains no less than either offer to all who may get it, but for 2 of them.
    *Waves and weights* (CDNOW). The wave is the month of the first order, the answer whether a customer buys in the
    holdout (0, 1). 8. Of a random half, shares by wave promise (90 %, predictive) the other half's share in all three
    waves. 9. Weights that ``fit_drivers`` learns in that half from the class of holdout spend (none, below and above
    the buyers' median), of recency, frequency and spend in five classes each, rank the other half's holdout spend by
    the weighted score no worse than equal weights and than entropy's, but for 2 standard errors (Spearman, bootstrap).
Nobody has asked these customers anything: ratings, SERVQUAL and net promoters cannot be tried on the public bases, and
are on simulated surveys (``answers``) and on the case of ``water_filters``.

What was found
    FAILED in one of fourteen: of the customers of January 1997 in the other half 24.0 % bought again, where 25.5 to
    35.6 % were promised (February and March inside; of three such intervals one is missed in a quarter of all cases).
    Days to come: of the effect, 1.4, the interval is .85 to 2.11, of two fortnights; the loss of 177 orders lies in -81
    to 547, so it holds by saying little; a promotion of a stated +40 % says 98 to 363. Own costs: value before less
    after is the postage to the last digits; the tenth that is best after costs earned £2,315 less than the tenth that
    was best before, where chance alone makes 5,118: no gain to be seen. Offers: of mail and call 9 and 50 dollars less
    on simulating again (limits 13 and 141); the plan gains 1,679 and 1,073 more than either to all. Weights learned
    from later spend rank no better than equal ones (rank correlation .475, .475 and .476): on CDNOW recency, frequency
    and spend say the same.

Run with ``uv run python -m studies.decisions_real`` (minutes); ``--quick`` takes 200 customers and few draws and writes
nothing. It writes studies/decisions_real_results.csv and figures/decisions_real.png.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

import bayes_clv as clv
from studies import bases

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "figures" / "decisions_real.png"
RESULTS = ROOT / "studies" / "decisions_real_results.csv"
UNTIL, LATER = "2011-06-10", "2011-12-09"
SALES = (("2011-02-21", "2011-03-06"), ("2011-05-02", "2011-05-15"))
PLANNED = ("2011-07-04", "2011-07-17")
EFFECT, WEEKS = 0.40, 26
HOME, ABROAD, MARGIN = 8.0, 25.0, 0.3
CDNOW, CDNOW_LATER, CDNOW_WEEKS = "1997-09-30", "1998-06-30", 39


@dataclass(frozen=True)
class Effort:
    """How many draws fits and simulations have, and of how many customers (all where None)."""

    draws: int = 500
    simulated: int = 1000
    customers: int | None = None


QUICK = Effort(50, 60, 200)

type Row = dict[str, Any]


def row(rule: int, what: str, found: float, low: float, high: float) -> Row:
    """Return a row of the table: what must lie between two ends."""
    return {
        "rule": rule,
        "what": what,
        "found": found,
        "low": low,
        "high": high,
        "holds": low <= found <= high,
    }


def some(orders: pd.DataFrame, effort: Effort) -> pd.DataFrame:
    """Return the orders of as many customers as the effort takes, the same at every call."""
    if effort.customers is None:
        return orders
    ids = np.sort(orders["customer_id"].unique())
    kept = np.random.default_rng(1).choice(ids, effort.customers, replace=False)
    return orders[orders["customer_id"].isin(kept)]


# Days to come -----------------------------------------------------------------------------------------------


def with_sales(orders: pd.DataFrame, seed: int = 2) -> pd.DataFrame:
    """Return the log with four tenths of the repeat orders of the sales doubled, within three days and the sale."""
    dates = pd.to_datetime(orders["date"])
    first = dates.groupby(orders["customer_id"]).transform("min")
    rng = np.random.default_rng(seed)
    added = []
    for start, end in SALES:
        inside = (dates >= start) & (dates <= end) & (dates > first)
        taken = orders[inside & (rng.random(len(orders)) < EFFECT)]
        # Any other day of the sale on which the customer has no order yet.
        days = pd.date_range(start, end)
        own = orders.groupby("customer_id")["date"].agg(set)
        for each in taken.itertuples():
            free = [day for day in days if day not in own[each.customer_id] and day > first[each.Index]]
            if free:
                day = free[int(rng.integers(len(free)))]
                own[each.customer_id].add(day)
                added.append({"customer_id": each.customer_id, "date": day, "spend": each.spend})
    return pd.concat([orders, pd.DataFrame(added)], ignore_index=True)


def events(*, planned: bool) -> pd.DataFrame:
    """Return the days of the sales, to the end of the forecast."""
    spans = [*SALES, *([PLANNED] if planned else [])]
    days = [day for start, end in spans for day in pd.date_range(start, end)]
    last = pd.Timestamp(UNTIL) + pd.Timedelta(weeks=WEEKS)
    return pd.DataFrame({"date": [*days, last], "name": "sale", "value": [1.0] * len(days) + [0.0]})


def days_to_come(orders: pd.DataFrame, effort: Effort) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Return the rows of rules 1 to 3, and draws for the figure."""
    doubled = with_sales(orders)
    customers = clv.summarize(doubled, until=UNTIL, also=("periods",))
    spending = clv.fit("gamma_gamma", customers, method="laplace", draws=effort.draws, seed=2)
    dates = pd.to_datetime(orders["date"])
    known = orders["customer_id"].isin(customers["customer"].to_numpy())
    real = int((known & (dates >= PLANNED[0]) & (dates <= PLANNED[1])).sum())
    truth, rows, drawn = EFFECT * real, [], {}
    for planned in (True, False):
        calendar = clv.inference.Calendar(events=events(planned=planned))
        buying = clv.fit(
            "mbg_nbd", customers, calendar=calendar, method="laplace", draws=effort.draws, seed=1
        )
        future = clv.simulate(
            buying,
            customers,
            f"{WEEKS} weeks",
            spending=spending,
            margin=MARGIN,
            draws=effort.simulated,
            seed=3,
        )
        dated = {"from": PLANNED[0], "until": PLANNED[1]}
        if planned:
            learned = np.exp(event_effect(buying))
            drawn["effect"] = learned
            rows.append(row(1, "effect of the sale, 1.4 put in", 1 + EFFECT, *ends(learned)))
            other = clv.valuation.scenario("No sale", event={"name": "sale", "value": 0} | dated)
        else:
            other = clv.valuation.scenario("Sale", promotion={"effect": f"+{EFFECT:.0%}", **dated})
        found = clv.valuation.compare_scenarios(future, [other])
        more = found["purchases_difference"].isel(scenario=1).to_numpy().ravel() * (-1 if planned else 1)
        drawn["event" if planned else "promotion"] = more
        what = "orders lost without the planned sale" if planned else "orders brought by the promotion"
        rows.append(row(2 if planned else 3, what, truth, *ends(more)))
    return rows, drawn | {"truth": np.array([truth])}


def event_effect(buying: xr.DataTree) -> np.ndarray:
    """Return the draws of the only event's coefficient."""
    drawn = buying["posterior"]["calendar_coefficient"]
    return np.asarray(drawn.to_numpy().reshape(-1))


def ends(draws: np.ndarray) -> tuple[float, float]:
    """Return the ends of the 90 % interval."""
    low, high = np.quantile(draws, (0.05, 0.95))
    return float(low), float(high)


# Costs of their own -----------------------------------------------------------------------------------------


def abroad() -> pd.Series:
    """Return 1 for the customers of Online Retail outside the United Kingdom."""
    lines = pd.read_parquet(ROOT / "studies" / "data" / "online_retail.parquet")
    lines = lines[lines["CustomerID"].notna()]
    country = lines["Country"].astype(str).groupby(lines["CustomerID"].astype(str)).first()
    return (country != "United Kingdom").astype(float)


def own_costs(orders: pd.DataFrame, effort: Effort) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Return the rows of rules 4 and 5, and values for the figure."""
    customers = clv.summarize(orders, until=UNTIL, holdout_until=LATER)
    ids = customers["customer"].to_numpy()
    per_order = pd.DataFrame(
        {"customer_id": ids, "postage": HOME + (ABROAD - HOME) * abroad().reindex(ids).to_numpy()}
    )
    known = clv.with_columns(customers, per_order, ["postage"])
    fits = [
        clv.fit(family, customers, method="laplace", draws=effort.draws, seed=seed)
        for seed, family in ((1, "bg_nbd"), (2, "gamma_gamma"))
    ]
    stated = clv.predictions.costs(cost_per_order="postage")
    value = clv.predict(
        fits[0], known, f"{WEEKS} weeks", spending=fits[1], margin=MARGIN, costs=stated, seed=3
    )
    before, after = (value[f"{name}_mean"].to_numpy() for name in ("value_before_costs", "value"))
    postage = known["postage"].to_numpy()
    less = before - after - postage * value["purchases_mean"].to_numpy()
    off = float(np.nanmax(np.abs(less)) / np.nanmax(np.abs(before)))
    rows = [row(4, "value before less after costs less postage, share of the largest value", off, 0.0, 1e-6)]
    real = (
        MARGIN * customers["holdout_spend"].to_numpy() - postage * customers["holdout_purchases"].to_numpy()
    )
    tenth = max(1, ids.size // 10)
    first = {
        name: np.argsort(-each, kind="stable")[:tenth]
        for name, each in (("after", after), ("before", before))
    }
    gain = float(real[first["after"]].sum() - real[first["before"]].sum())
    chosen = np.zeros((2, ids.size))
    for at, places in enumerate(first.values()):
        chosen[at, places] = 1
    each = (chosen[0] - chosen[1]) * real
    # Where both take the same customers the sums differ by rounding.
    error = float(np.sqrt(ids.size) * each.std(ddof=1)) + 1e-9 * float(np.abs(real).sum())
    rows.append(
        row(5, "£ that the top tenth after costs earned more than that before", gain, -2 * error, np.inf)
    )
    return rows, {"before": before, "after": after, "abroad": postage > HOME}


# Offers by lifetime value -----------------------------------------------------------------------------------


def offers_of() -> list[Any]:
    """Return the mailing and the call."""
    change = clv.valuation.relative
    return [
        clv.valuation.scenario("mail", purchase_rate=change(stats.norm(0.08, 0.03)), contact_cost=0.4),
        clv.valuation.scenario(
            "call",
            where="frequency >= 1",
            purchase_rate=change(stats.norm(0.25, 0.08)),
            spend=change(stats.norm(0.05, 0.02)),
            contact_cost=3.0,
        ),
    ]


def offers(customers: xr.Dataset, effort: Effort) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Return the rows of rules 6 and 7, and gains for the figure."""
    buying = clv.fit("mbg_nbd", customers, method="laplace", draws=effort.draws, seed=1)
    spending = clv.fit("gamma_gamma", customers, method="laplace", draws=effort.draws, seed=2)

    def future(people: xr.Dataset, seed: int) -> Any:
        return clv.simulate(
            buying,
            people,
            f"{CDNOW_WEEKS} weeks",
            spending=spending,
            margin=MARGIN,
            draws=effort.simulated,
            seed=seed,
        )

    plan = clv.valuation.plan_offers(future(customers, 3), offers_of())
    chosen = clv.table(plan, by="customer").set_index("customer_id")["action"]
    table = pd.DataFrame(
        {
            "customer_id": customers["customer"].to_numpy(),
            "chosen": chosen.reindex(customers["customer"].to_numpy()),
        }
    )
    known = clv.with_columns(customers, table, ["chosen"])
    rows, drawn = [], {}
    names = [str(name) for name in plan["action"].to_numpy()]
    again = [
        clv.valuation.scenario(each.name, where=f"chosen == '{each.name}'", **lever_words(each))
        for each in offers_of()
        if (table["chosen"] == each.name).any()
    ]
    checked = clv.valuation.compare_scenarios(future(known, 4), again)
    for name in (each.name for each in again):
        promised = plan["net_gain_total"].sel(action=name).to_numpy().ravel()
        found = checked["value_difference"].sel(scenario=name).to_numpy().ravel()
        error = float(np.sqrt(promised.var(ddof=1) / promised.size + found.var(ddof=1) / found.size))
        apart = float(found.mean() - promised.mean())
        rows.append(row(6, f"{name}: simulated again less promised", apart, -4 * error, 4 * error))
        drawn[f"promised, {name}"], drawn[f"again, {name}"] = promised, found
    total = plan["net_gain_total"].sum("action").to_numpy().ravel()
    error = float(total.std(ddof=1) / np.sqrt(total.size))
    for at, name in enumerate(names):
        alone = float(plan["net_gain_everybody_mean"].to_numpy()[at])
        rows.append(row(7, f"plan more than {name} to all", float(total.mean()) - alone, -2 * error, np.inf))
    # Reported: the luck for which customers were chosen.
    drawn["luck"] = np.array([float(plan["net_gain_mean"].to_numpy()[(chosen != "none").to_numpy()].sum())])
    return rows, drawn | {"total": total}


def lever_words(each: Any) -> dict[str, Any]:
    """Return the levers of an offer, as ``scenario`` takes them."""
    change = clv.valuation.relative
    return {
        name: change(lever.value) if lever.relative else float(lever.value)
        for name, lever in each.levers.items()
    }


# Waves and weights ------------------------------------------------------------------------------------------


def classes(values: np.ndarray) -> np.ndarray:
    """Return five classes of about as many, 1 to 5; ties are of one class."""
    rank = stats.rankdata(values, method="average") / values.size
    return np.clip(np.ceil(5 * rank), 1, 5).astype(int)


def answers_of(customers: xr.Dataset) -> pd.DataFrame:
    """Return what customers did, as answers: three scores, the class of holdout spend, the month of the first order."""
    spent = customers["holdout_spend"].to_numpy()
    bought = customers["holdout_purchases"].to_numpy() > 0
    middle = np.median(spent[bought])
    money = np.nan_to_num(customers["monetary_value"].to_numpy())
    return pd.DataFrame(
        {
            "recency": classes(customers["recency"].to_numpy() - customers["T"].to_numpy()),
            "frequency": classes(customers["frequency"].to_numpy().astype(float)),
            "spend": classes(money * customers["frequency"].to_numpy()),
            "class": np.where(bought, 1 + (spent > middle), 0),
            "again": bought.astype(int),
            "month": pd.to_datetime(customers["first_order"].to_numpy()).strftime("%Y-%m"),
            "later": spent,
        }
    )


def waves_and_weights(customers: xr.Dataset, effort: Effort) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Return the rows of rules 8 and 9, and weights for the figure."""
    table = answers_of(customers)
    half = np.random.default_rng(8).permutation(len(table)) < len(table) // 2
    learned, other = table[half].reset_index(drop=True), table[~half].reset_index(drop=True)
    shares = clv.perceived.answer_shares(
        learned, "again", scale=(0, 1), by="month", draws=effort.draws, seed=1
    )
    score = clv.perceived.mean_answer(shares)
    changes = clv.perceived.wave_changes(score)
    rng, rows = np.random.default_rng(9), []
    for month in score["segment"].to_numpy():
        own = other.loc[other["month"] == month, "again"]
        drawn = score["score"].sel(segment=month).to_numpy().ravel()
        promised = rng.binomial(len(own), drawn) / max(len(own), 1)
        rows.append(row(8, f"share that bought again, of {month}", float(own.mean()), *ends(promised)))
    names = ["recency", "frequency", "spend"]
    fitted = clv.perceived.fit_drivers(
        learned,
        "class",
        names,
        scale=(1, 5),
        overall_scale=(0, 2),
        wave="month",
        draws=effort.draws,
        tune=effort.draws // 2,
        seed=1,
    )
    kinds = clv.perceived.driver_kinds(fitted)
    mean = kinds["weight_draws"].mean("draw")
    spread = clv.perceived.entropy_weights(learned[names], seed=1)["weight"]
    even = xr.full_like(mean, 1 / len(names))
    ranks = {
        name: clv.perceived.weighted_score(other[names], weights)["score"].to_numpy()
        for name, weights in (("learned", mean / mean.sum()), ("equal", even), ("entropy", spread))
    }
    later = other["later"].to_numpy()
    picks = np.random.default_rng(10).integers(0, len(other), (200, len(other)))
    rho = {
        name: np.array([stats.spearmanr(each[pick], later[pick]).statistic for pick in picks])
        for name, each in ranks.items()
    }
    whole = {name: float(stats.spearmanr(each, later).statistic) for name, each in ranks.items()}
    for name in ("equal", "entropy"):
        error = float((rho["learned"] - rho[name]).std(ddof=1))
        rows.append(
            row(
                9,
                f"rank correlation more than by {name} weights",
                whole["learned"] - whole[name],
                -2 * error,
                np.inf,
            )
        )
    print("rank correlations", {name: round(each, 3) for name, each in whole.items()})
    print(
        "changes of waves",
        changes["change_mean"].to_numpy().round(3),
        changes["probability_rises"].to_numpy(),
    )
    print(clv.table(kinds).round(3).to_string(index=False))
    return rows, {name: kinds["weight_draws"].sel(attribute=name).to_numpy() for name in names}


# The whole --------------------------------------------------------------------------------------------------


def parts(effort: Effort) -> dict[str, Callable[[], tuple[list[Row], dict[str, np.ndarray]]]]:
    """Return what makes each part, by name."""
    retail = some(bases.online_retail(), effort)
    customers = clv.summarize(some(bases.cdnow(), effort), until=CDNOW, holdout_until=CDNOW_LATER)
    return {
        "days to come": lambda: days_to_come(retail, effort),
        "own costs": lambda: own_costs(retail, effort),
        "offers": lambda: offers(customers, effort),
        "waves and weights": lambda: waves_and_weights(customers, effort),
    }


def draw(found: dict[str, dict[str, np.ndarray]]) -> None:
    """Draw a panel of each part."""
    from bayes_clv.views import style

    with style.styled():
        figure = style.drawing(6.4, width=9.6)
        axes = figure.subplots(2, 2).ravel()
        days = found["days to come"]
        for at, (name, colour) in enumerate((("event", style.BLUE), ("promotion", style.GREEN))):
            low, high = ends(days[name])
            axes[0].plot([low, high], [at, at], color=colour, lw=3)
            axes[0].plot(days[name].mean(), at, "o", color=colour)
        axes[0].axvline(float(days["truth"][0]), color=style.ORANGE, lw=1.4)
        style.rows(axes[0], ["a planned sale,\ntaken away", "a promotion\nof +40 %"])
        axes[0].set_xlabel("orders of the fortnight; orange: in truth")
        style.heading(axes[0], "Days to come, Online Retail", "mean and 90 %, outcome level")
        costs = found["own costs"]
        for those, colour, words in (
            (~costs["abroad"], style.BLUE, "United Kingdom"),
            (costs["abroad"], style.ORANGE, "abroad"),
        ):
            axes[1].plot(costs["before"][those], costs["after"][those], ".", ms=3, color=colour, label=words)
        axes[1].set_xscale("symlog", linthresh=30)
        axes[1].set_yscale("symlog", linthresh=30)
        for axis in (axes[1].xaxis, axes[1].yaxis):
            axis.set_ticks([0, 100, 1000, 10_000], ["0", "100", "1,000", "10,000"])
            axis.set_ticks([], minor=True)
        axes[1].axhline(0, color=style.MUTED, lw=1)
        axes[1].set_xlabel("mean value before costs (£)")
        axes[1].set_ylabel("after costs (£)")
        axes[1].legend(loc="upper left")
        style.heading(axes[1], "Costs of their own, Online Retail", "a dot a customer")
        offered = found["offers"]
        names = [name.removeprefix("promised, ") for name in offered if name.startswith("promised")]
        for at, name in enumerate(names):
            for shift, which, colour in ((-0.14, "promised", style.BLUE), (0.14, "again", style.ORANGE)):
                low, high = ends(offered[f"{which}, {name}"])
                axes[2].plot([low, high], [at + shift] * 2, color=colour, lw=3)
                axes[2].plot(
                    offered[f"{which}, {name}"].mean(),
                    at + shift,
                    "o",
                    color=colour,
                    label={"promised": "promised", "again": "simulated again"}[which] if at == 0 else None,
                )
        style.rows(axes[2], names)
        axes[2].axvline(0, color=style.MUTED, lw=1)
        axes[2].set_xlabel("net gain (dollars), mean and 90 %")
        axes[2].legend(loc="best")
        style.heading(
            axes[2], "Offers by lifetime value, CDNOW", "outcome level, each to whom it was chosen for"
        )
        weights = found["waves and weights"]
        for at, drawn in enumerate(weights.values()):
            low, high = ends(drawn)
            axes[3].plot([low, high], [at, at], color=style.BLUE, lw=3)
            axes[3].plot(drawn.mean(), at, "o", color=style.BLUE)
        axes[3].axvline(1 / len(weights), color=style.MUTED, lw=1)
        style.rows(axes[3], list(weights))
        axes[3].set_xlabel("weight; grey: equal weights")
        style.heading(axes[3], "Weights learned from later value, CDNOW", "mean and 90 %")
        FIGURE.parent.mkdir(exist_ok=True)
        figure.savefig(FIGURE, dpi=130)


def main(quick: bool = False, only: list[str] | None = None) -> pd.DataFrame:
    """Run the parts, print and, unless quick, write what was found; return a row of each number that a rule is on."""
    made, rows = {}, []
    for name, part in parts(QUICK if quick else Effort()).items():
        if only is None or name in only:
            own, made[name] = part()
            rows += [{"part": name} | each for each in own]
    table = pd.DataFrame(rows)
    print(table.round(4).to_string(index=False))
    print(
        "passed"
        if table["holds"].all()
        else f"FAILED: rules {sorted(set(table.loc[~table['holds'], 'rule']))}"
    )
    if not quick and only is None:
        table.round(5).to_csv(RESULTS, index=False, lineterminator="\n")
        draw(made)
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few customers and draws, nothing written")
    told = parser.parse_args()
    if not main(told.quick)["holds"].all() and not told.quick:
        raise SystemExit(1)
