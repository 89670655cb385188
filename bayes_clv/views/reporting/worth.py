"""The sections of the report on value and customers: which numbers and figures each shows, and how to read them."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.families.contract import Forecast, need
from bayes_clv.families.registry import family as find_family
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
        margin, rate = value.attrs.get("margin"), value.attrs.get("annual_discount_rate")
        terms = []
        revenue = margin is not None and float(margin) == 1
        if margin is not None and not revenue:
            terms.append(f"a margin of {numbers.share(float(margin))}")
        discounted = rate is not None and float(rate) != 0
        if rate is not None and discounted:
            terms.append(f"an annual discount rate of {numbers.share(float(rate))}")
        after = ", each discounted from the time it occurs" if discounted else ""
        after += f", with {' and '.join(terms)}" if terms else ""
        parts.append(
            f"Residual value is {'the revenue' if revenue else 'the margin on purchases'} of the next "
            f"{numbers.horizon(value)}{after}. Amounts are in "
            f"{currency or 'the unit of the spend column'}."
        )
        if "historical_value" in value and np.isfinite(value["historical_value"]).all():
            parts.append(
                f"{'Revenue so far' if revenue else 'Margin already earned'} from these customers: "
                f"{numbers.money(float(value['historical_value'].sum()), currency)}."
            )
    else:
        parts.append(
            f"Without amounts, customers are compared by purchases over the next {numbers.horizon(value)}."
        )
    if "probability_asleep" in value:
        awake, asleep, gone, waking = (
            numbers.number(round(float(value[f"probability_{name}"].sum())))
            for name in ("awake", "asleep", "gone", "waking")
        )
        parts.append(
            f"Now about {awake} customers are awake, {asleep} asleep and {gone} gone for ever; {waking} of those "
            f"asleep wake within {numbers.horizon(value)} (expected level)."
        )
    if "probability_active" in value:
        active = float(value["probability_active"].sum())
        parts.append(
            f"About {numbers.number(round(active))} customers are expected to buy at least once (outcome level)."
        )
    return " ".join(parts)


def value_figures(gallery: Gallery, value: xr.Dataset, stem: str) -> list[Figure]:
    """Return the figures of value and of its concentration."""
    return [
        gallery.add(
            "value-distribution",
            partial(amounts.plot_value_distribution, value, quantity=stem),
            "Left: how many customers have which mean; the first bar holds all below it. Right: the total over "
            "simulated futures, blue where 90 % of them lie.",
            "outcome",
        ),
        gallery.add(
            "concentration",
            partial(amounts.plot_concentration, value, quantity=stem),
            "Read the height at 20 % to see what the best fifth of customers holds; the further the "
            "curve is from the "
            "dashed line, the more a few customers matter.",
            "outcome",
        ),
    ]


def customers_figure(gallery: Gallery, value: xr.Dataset, stem: str) -> Figure:
    """Return the best customers with their intervals."""
    return gallery.add(
        "customers",
        partial(amounts.plot_customers, value, 25, quantity=stem),
        "Each line is one customer: what it will bring lies within the thin line nine times in ten, within the "
        "thick one every other time. Lines that overlap much cannot be ranked with confidence.",
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
            "Find a customer by repeat purchases (up) and age at the last one (right): dark is "
            "surely still there, pale "
            "surely gone. A silence says more of one who bought often: if it is long for the rhythm so far, the more "
            "frequent of two customers silent equally long is the more likely gone; if it is short, the less "
            "frequent may be. 99 % of the customers are in the rows shown. Blank cells are impossible.",
            "expected",
        ),
        gallery.add(
            "expected-purchases-matrix",
            partial(histories.plot_expected_purchases_matrix, buying, customers, horizon, draws=MATRIX_DRAWS),
            "As above, for the purchases to expect: frequent and recent, at the top right, is where they come from.",
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
    above = (
        "Above, how often this customer buys while it is here, as was known at each date: it rises with every purchase "
        "(tick) and sinks with silence, and the band is about the customer. "
        if changing
        else ""
    )
    below = "Below, P(alive)" if changing else "The line"
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
                f"{above}{below} falls with silence and jumps back at each purchase (tick); the band is about the "
                "population parameters only.",
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
        tables.Column("customers, best first", number=False),
        tables.Column("customers"),
        tables.Column("mean frequency"),
        tables.Column("mean P(alive)", level="expected"),
        tables.Column("mean purchases", level="outcome"),
        *([tables.Column("mean value", level="outcome")] if stem == "value" else []),
        tables.Column("share of total", level="outcome"),
    ]
    columns = [c for c in columns if c.label != "mean frequency" or "frequency" in value]
    tenths = [value.isel({CUSTOMER: members}) for members in np.array_split(best_first, 10)]

    def average(name: str) -> list[tables.Cell]:
        return tables.column([float(tenth[name].mean()) for tenth in tenths])

    shares = [float(tenth[f"{stem}_mean"].sum()) / means[used].sum() for tenth in tenths]
    cells = [
        [tables.cell(f"{10 * k} to {10 * k + 10} %") for k in range(10)],
        [tables.cell(tenth.sizes[CUSTOMER]) for tenth in tenths],
        *([average("frequency")] if "frequency" in value else []),
        average("probability_alive"),
        average("purchases_mean"),
        *([average("value_mean")] if stem == "value" else []),
        [tables.cell(share, numbers.share(share)) for share in shares],
    ]
    rows = [list(row) for row in zip(*cells, strict=True)]
    what = "mean residual value" if stem == "value" else "mean purchases"
    return tables.Table("deciles", f"Tenths of the base, ranked by each customer's {what}.", columns, rows)


def customer_rows(value: xr.Dataset, customers: xr.Dataset, stem: str) -> tables.Table:
    """Return the best customers, sortable."""
    best = amounts.top_customers(value, TOP_CUSTOMERS, quantity=stem)
    base = customers.sel({CUSTOMER: best[CUSTOMER]})
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    in_unit = f" ({unit}s)" if unit != UNSTATED else ""
    shown: list[tuple[str, str, xr.Dataset, str | None]] = [
        ("value_mean", "value, mean", best, "outcome"),
        ("value", "90 %", best, "outcome"),
        ("purchases_mean", "purchases, mean", best, "outcome"),
        ("purchases", "90 %", best, "outcome"),
        ("purchases_expected", "expected purchases", best, "expected"),
        ("probability_alive", "P(alive)", best, "expected"),
        ("frequency", "frequency", base, None),
        ("recency", f"recency{in_unit}", base, None),
        ("T", f"age{in_unit}", base, None),
        ("holdout_purchases", "bought in holdout", base, None),
    ]
    columns, cells = (
        [tables.Column("customer", number=False)],
        [[tables.cell(str(i)) for i in best[CUSTOMER].to_numpy()]],
    )
    for name, label, source, level in shown:
        if label == "90 %":
            if f"{name}_q05" not in source:
                continue
            low, high = source[f"{name}_q05"].to_numpy(), source[f"{name}_q95"].to_numpy()
            places = numbers.decimals(high)
            pairs = zip(low, high, strict=True)
            cells.append(
                [
                    tables.cell(
                        float(b), f"{numbers.fixed(float(a), places)} to {numbers.fixed(float(b), places)}"
                    )
                    for a, b in pairs
                ]
            )
        elif name in source:
            cells.append(tables.column(source[name].to_numpy()))
        else:
            continue
        columns.append(
            tables.Column(label, level=level, sorted="descending" if name == f"{stem}_mean" else None)
        )
    count = len(cells[0])
    return tables.Table(
        "customer-table",
        f"The {count} customers with the highest mean "
        f"{'residual value' if stem == 'value' else 'purchases'} over the "
        f"next {numbers.horizon(value)}. Intervals are sorted by their upper end.",
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )
