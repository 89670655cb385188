"""The sections of the report on value and customers: which numbers and figures each shows, and how to read them."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.families.contract import Forecast, need
from bayes_clv.families.registry import family as find_family
from bayes_clv.language import joined, say, say_many
from bayes_clv.schema import CUSTOMER, UNSTATED
from bayes_clv.views import numbers
from bayes_clv.views.plots import amounts, histories
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting.gallery import Figure, Gallery

TOP_CUSTOMERS = 50
MATRIX_DRAWS = 60


def value_text(value: xr.Dataset, stem: str, currency: str | None = None) -> str:
    """Return what residual value means here, and what was earned already."""
    parts = []
    if stem == "value":
        revenue = value.attrs.get("margin") is not None and float(value.attrs["margin"]) == 1
        parts += _less_costs(value, currency) if "costs" in value.attrs else [_residual_value(value)]
        parts.append(
            say("Amounts are in {currency}.", currency=currency or say("the unit of the spend column"))
        )
        if "historical_value" in value and np.isfinite(value["historical_value"]).all():
            past = numbers.money(float(value["historical_value"].sum()), currency)
            parts.append(
                say("Revenue so far from these customers: {amount}.", amount=past)
                if revenue
                else say("Margin already earned from these customers: {amount}.", amount=past)
            )
    else:
        parts.append(
            say(
                "Without amounts, customers are compared by purchases over the next {horizon}.",
                horizon=numbers.horizon(value),
            )
        )
    if "probability_asleep" in value:
        parts.append(
            say(
                "Now about {awake} customers are awake, {asleep} asleep and {gone} gone for ever; {waking} of those "
                "asleep wake within {horizon} (expected level).",
                horizon=numbers.horizon(value),
                **{
                    name: numbers.number(round(float(value[f"probability_{name}"].sum())))
                    for name in ("awake", "asleep", "gone", "waking")
                },
            )
        )
    if "probability_active" in value:
        parts.append(
            say_many(
                "About {count:,} customer is expected to buy at least once (outcome level).",
                "About {count:,} customers are expected to buy at least once (outcome level).",
                round(float(value["probability_active"].sum())),
            )
        )
    return joined("{first} {second}", parts)


def _less_costs(value: xr.Dataset, currency: str | None) -> list[str]:
    """Return what residual value is the sum of where it is less what customers cost."""
    rate = float(value.attrs["annual_discount_rate"])
    before = numbers.money(float(value["value_before_costs_total"].mean()), currency)
    parts = [
        say(
            "Residual value is the margin on purchases of the next {horizon}, less what customers cost ({costs}).",
            horizon=numbers.horizon(value),
            costs=str(value.attrs["costs"]),
        )
    ]
    if rate:
        parts.append(
            say("Money is discounted by {rate} a year, from when it comes or goes.", rate=numbers.share(rate))
        )
    return [*parts, say("Before costs it is {amount} in the mean.", amount=before)]


def _residual_value(value: xr.Dataset) -> str:
    """Return what residual value is the sum of, with the margin and the discount rate where there are any."""
    margin, rate = (value.attrs.get(name) for name in ("margin", "annual_discount_rate"))
    horizon = numbers.horizon(value)
    margin = None if margin is None or float(margin) == 1 else numbers.share(float(margin))
    revenue = margin is None and value.attrs.get("margin") is not None
    if rate is not None and float(rate) != 0:
        told = {"horizon": horizon, "rate": numbers.share(float(rate))}
        if revenue:
            return say(
                "Residual value is the revenue of the next {horizon}, each discounted from the time it occurs, with "
                "an annual discount rate of {rate}.",
                **told,
            )
        if margin is None:
            return say(
                "Residual value is the margin on purchases of the next {horizon}, each discounted from the time it "
                "occurs, with an annual discount rate of {rate}.",
                **told,
            )
        return say(
            "Residual value is the margin on purchases of the next {horizon}, each discounted from the time it "
            "occurs, with a margin of {margin} and an annual discount rate of {rate}.",
            **told,
            margin=margin,
        )
    if revenue:
        return say("Residual value is the revenue of the next {horizon}.", horizon=horizon)
    if margin is None:
        return say("Residual value is the margin on purchases of the next {horizon}.", horizon=horizon)
    return say(
        "Residual value is the margin on purchases of the next {horizon}, with a margin of {margin}.",
        horizon=horizon,
        margin=margin,
    )


def value_figures(gallery: Gallery, value: xr.Dataset, stem: str) -> list[Figure]:
    """Return the figures of value and of its concentration."""
    return [
        gallery.add(
            "value-distribution",
            partial(amounts.plot_value_distribution, value, quantity=stem),
            say(
                "Left: how many customers have which mean; the first bar holds all below it. Right: the total over "
                "simulated futures, blue where 90 % of them lie."
            ),
            "outcome",
        ),
        gallery.add(
            "concentration",
            partial(amounts.plot_concentration, value, quantity=stem),
            say(
                "Read the height at 20 % to see what the best fifth of customers holds; the further the curve is from "
                "the dashed line, the more a few customers matter."
            ),
            "outcome",
        ),
    ]


def customers_figure(gallery: Gallery, value: xr.Dataset, stem: str) -> Figure:
    """Return the best customers with their intervals."""
    return gallery.add(
        "customers",
        partial(amounts.plot_customers, value, 25, quantity=stem),
        say(
            "Each line is one customer: what it will bring lies within the thin line nine times in ten, within the "
            "thick one every other time. Lines that overlap much cannot be ranked with confidence."
        ),
        "outcome",
    )


def silence_figures(
    gallery: Gallery, buying: xr.DataTree, customers: xr.Dataset, value: xr.Dataset
) -> list[Figure]:
    """Return the figures of what a history says: who is still here, and how much each will buy."""
    horizon = float(value.attrs.get("horizon", 52.0))
    return [
        gallery.add(
            "alive-matrix",
            partial(histories.plot_alive_matrix, buying, customers, draws=MATRIX_DRAWS),
            say(
                "Find a customer by repeat purchases (up) and age at the last one (right): dark is surely still there, "
                "pale surely gone. A silence says more of one who bought often: if it is long for the rhythm so far, "
                "the more frequent of two customers silent equally long is the more likely gone; if it is short, the "
                "less frequent may be. Rows end where at least 99 % of the customers are shown. Blank cells are "
                "impossible."
            ),
            "expected",
        ),
        gallery.add(
            "expected-purchases-matrix",
            partial(histories.plot_expected_purchases_matrix, buying, customers, horizon, draws=MATRIX_DRAWS),
            say(
                "As above, for the purchases to expect: frequent and recent, at the top right, is where they come from."
            ),
            "expected",
        ),
    ]


def history_figures(
    gallery: Gallery, buying: xr.DataTree, customers: xr.Dataset, history: dict[str, Iterable[Any]]
) -> list[Figure]:
    """Return P(alive) over time of the customers in ``history``; above it their rates, where these drift."""
    drawn = []
    # A rate of then is another one in operational time.
    drifts = need(find_family(str(buying.attrs["family"])), Forecast).rate_ago is not None
    changing = drifts and "calendar" not in buying.attrs
    plot = histories.plot_rate_history if changing else histories.plot_alive_history
    caption = (
        say(
            "Above, how often this customer buys while it is here, as was known at each date: it rises with every "
            "purchase (tick) and sinks with silence, and the band is about the customer. Below, P(alive) falls with "
            "silence and jumps back at each purchase (tick); the band is about the population parameters only."
        )
        if changing
        else say(
            "The line falls with silence and jumps back at each purchase (tick); the band is about the population "
            "parameters only."
        )
    )
    for position, (customer, dates) in enumerate(history.items()):
        days = np.unique(np.asarray(list(dates), dtype="datetime64[D]"))
        ends = [customers.attrs.get(name) for name in ("until", "holdout_until") if customers.attrs.get(name)]
        until = next((end for end in ends if days.size and np.datetime64(end, "D") >= days[-1]), None)
        drawn.append(
            gallery.add(
                f"alive-history-{position + 1}",
                partial(
                    plot,
                    buying,
                    days,
                    until if until is not None else days[-1],
                    customer=str(customer),
                ),
                caption,
                "latent" if changing else "expected",
            )
        )
    return drawn


def deciles(value: xr.Dataset, stem: str) -> tables.Table | None:
    """Return the base in tenths, best first; None where there are too few customers."""
    means = value[f"{stem}_mean"].to_numpy().astype(float)
    used = np.flatnonzero(np.isfinite(means))
    if used.size < 10 or means[used].sum() <= 0:
        return None
    best_first = used[np.argsort(-means[used], kind="stable")]
    columns = [
        tables.Column(say("customers, best first"), number=False),
        tables.Column(say("customers")),
        *([tables.Column(say("mean frequency"))] if "frequency" in value else []),
        tables.Column(say("mean P(alive)"), level="expected"),
        tables.Column(say("mean purchases"), level="outcome"),
        *(
            [tables.Column(tables.in_money(say("mean value"), value), level="outcome")]
            if stem == "value"
            else []
        ),
        tables.Column(say("share of total"), level="outcome"),
    ]
    tenths = [value.isel({CUSTOMER: members}) for members in np.array_split(best_first, 10)]

    def average(name: str) -> list[tables.Cell]:
        return tables.column([float(tenth[name].mean()) for tenth in tenths])

    shares = [float(tenth[f"{stem}_mean"].sum()) / means[used].sum() for tenth in tenths]
    cells = [
        [tables.cell(say("{low} to {high} %", low=10 * k, high=10 * k + 10)) for k in range(10)],
        [tables.cell(tenth.sizes[CUSTOMER]) for tenth in tenths],
        *([average("frequency")] if "frequency" in value else []),
        average("probability_alive"),
        average("purchases_mean"),
        *([average("value_mean")] if stem == "value" else []),
        [tables.cell(share, numbers.share(share)) for share in shares],
    ]
    rows = [list(row) for row in zip(*cells, strict=True)]
    caption = (
        say("Tenths of the base, ranked by each customer's mean residual value.")
        if stem == "value"
        else say("Tenths of the base, ranked by each customer's mean purchases.")
    )
    return tables.Table("deciles", caption, columns, rows)


def customer_rows(value: xr.Dataset, customers: xr.Dataset, stem: str) -> tables.Table:
    """Return the best customers, sortable."""
    best = amounts.top_customers(value, TOP_CUSTOMERS, quantity=stem)
    base = customers.sel({CUSTOMER: best[CUSTOMER]})
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    shown: list[tuple[str, str, xr.Dataset, str | None]] = [
        ("value_mean", tables.in_money(say("value, mean"), value), best, "outcome"),
        ("value", "90 %", best, "outcome"),
        ("purchases_mean", say("purchases, mean"), best, "outcome"),
        ("purchases", "90 %", best, "outcome"),
        ("purchases_expected", say("expected purchases"), best, "expected"),
        ("probability_alive", "P(alive)", best, "expected"),
        ("frequency", say("frequency"), base, None),
        ("recency", tables.in_unit(say("recency"), unit), base, None),
        ("T", tables.in_unit(say("age"), unit), base, None),
        ("holdout_purchases", say("bought in holdout"), base, None),
    ]
    columns, cells = (
        [tables.Column(say("customer"), number=False)],
        [[tables.cell(str(i)) for i in best[CUSTOMER].to_numpy()]],
    )
    for name, label, source, level in shown:
        if label == "90 %":
            if f"{name}_q05" not in source:
                continue
            low, high = source[f"{name}_q05"].to_numpy(), source[f"{name}_q95"].to_numpy()
            places = numbers.decimals(high)
            pairs = zip(low, high, strict=True)
            cells.append([tables.interval(float(a), float(b), places) for a, b in pairs])
        elif name in source:
            cells.append(tables.column(source[name].to_numpy()))
        else:
            continue
        columns.append(
            tables.Column(label, level=level, sorted="descending" if name == f"{stem}_mean" else None)
        )
    told = {"count": len(cells[0]), "horizon": numbers.horizon(value)}
    caption = (
        say(
            "The {count} customers with the highest mean residual value over the next {horizon}. Intervals are sorted "
            "by their upper end.",
            **told,
        )
        if stem == "value"
        else say(
            "The {count} customers with the highest mean purchases over the next {horizon}. Intervals are sorted by "
            "their upper end.",
            **told,
        )
    )
    return tables.Table(
        "customer-table",
        caption,
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )
