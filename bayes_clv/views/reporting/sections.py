"""The sections of the report on the base: which numbers and figures each shows, and how to read them.

Those on the fits are in ``fit_sections``.
"""

import json
import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.families.contract import Forecast, need
from bayes_clv.families.registry import family as find_family
from bayes_clv.schema import CUSTOMER, UNSTATED, listed
from bayes_clv.scoring.measures import record
from bayes_clv.scoring.spending import spend_check
from bayes_clv.views import numbers
from bayes_clv.views.plots import amounts, criticism, histories, holdout
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting import checks, verdicts
from bayes_clv.views.reporting.gallery import Figure, Gallery

TOP_CUSTOMERS = 50
MATRIX_DRAWS = 60
# From this probability on a customer is said to grow or to fade.
SURE = 0.8


def holdout_section(gallery: Gallery, evaluation: xr.Dataset | None) -> dict[str, Any] | None:
    """Return the first model on the holdout: scores by frequency, and calibration."""
    if evaluation is None:
        return None
    model, unit = evaluation.isel(forecast=0), str(evaluation.attrs.get("time_unit", UNSTATED))
    cells = [
        [tables.cell(str(name)) for name in model["frequency"].to_numpy()],
        *(
            tables.column(model[f"{name}_by_frequency"].to_numpy().tolist())
            for name in ("customers", "observed", "predicted")
        ),
        *(
            [
                tables.cell(each, numbers.share(each))
                for each in model[f"{key}_by_frequency"].sel(interval=level).to_numpy().tolist()
            ]
            for level in (50, 90)
            for key in ("covered", "promised")
        ),
    ]
    rows = [list(row) for row in zip(*cells, strict=True)]
    columns = [
        tables.Column("frequency", number=False),
        tables.Column("customers"),
        tables.Column("mean purchases, observed"),
        tables.Column("predicted", level="outcome"),
        tables.Column("inside 50 %", level="outcome"),
        tables.Column("promised", level="outcome"),
        tables.Column("inside 90 %", level="outcome"),
        tables.Column("promised", level="outcome"),
    ]
    return {
        "text": (
            f"The forecast of the {numbers.plural(evaluation.attrs['horizon'], unit)} after calibration, beside what "
            f"happened. Per customer, the mean absolute error of the mean is {numbers.number(float(model['mae']))} "
            f"purchases and the CRPS {numbers.number(float(model['crps']))} (smaller is better){_money_errors(model)}."
        ),
        "totals": _totals_table(evaluation),
        "table": tables.Table("holdout-table", "Holdout by repeat purchases in calibration.", columns, rows),
        "figures": [
            gallery.add(
                "calibration",
                partial(holdout.plot_calibration, evaluation),
                "Left: bars that end in the amber band mean that outcomes fall anywhere in their "
                "forecasts equally often; high "
                "ends would mean forecasts too narrow. Right: dots should lie at the dashes, the share that the "
                "forecast itself promised (whole numbers of purchases cannot give exactly 90 %).",
                "outcome",
            ),
            gallery.add(
                "retention",
                partial(criticism.plot_retention, evaluation),
                "Each dot is a tenth of the customers, by the chance of buying that was forecast for them. Dots should "
                "lie on the blue lines: above them are customers who were given up too early, below them customers who "
                "were counted on too long. Beside them, where there are any, are those who were given under 3 %.",
                "outcome",
            )
            if "retention_predicted_by_tenth" in evaluation
            else None,
            gallery.add(
                "conditional-expectation",
                partial(criticism.plot_conditional_expectation, evaluation),
                "What customers with as many purchases before bought in the holdout, and what was forecast for them. "
                "The lines should meet where a class holds many customers (the numbers below the axis).",
                "outcome",
            ),
        ],
    }


def _money_errors(model: xr.Dataset) -> str:
    """Return the same measures of spend, where spend is scored."""
    if "spend_crps" not in model or not np.isfinite(model["spend_crps"]):
        return ""
    return (
        f"; of spend they are {numbers.number(float(model['spend_mae']))} and "
        f"{numbers.number(float(model['spend_crps']))}, in the unit of the spend column"
    )


def _totals_table(evaluation: xr.Dataset) -> tables.Table:
    """Return the totals of the holdout beside their forecast."""
    found = verdicts.totals(record(evaluation))
    rows = [
        [
            tables.cell(each.what),
            tables.cell(each.observed),
            tables.cell(each.mean),
            tables.cell(each.low, each.interval),
            tables.cell(
                each.direction, each.direction if each.direction == "inside" else f"outside: {each.direction}"
            ),
        ]
        for each in found
    ]
    columns = [
        tables.Column("total of all customers", number=False),
        tables.Column("real"),
        tables.Column("forecast, mean", level="outcome"),
        tables.Column("90 % interval", level="outcome"),
        tables.Column("the real total lies", number=False),
    ]
    return tables.Table("holdout-totals", "Totals of the holdout beside their forecast.", columns, rows)


def against_rules(gallery: Gallery, evaluation: xr.Dataset | None) -> dict[str, Any] | None:
    """Return the model beside simple rules on the holdout."""
    if evaluation is None or not (evaluation["kind"] == "rule").any():
        return None
    measures = ("crps", "log_score", "mae", "rmse", "total_error", "concordance")
    absent = np.full(evaluation.sizes["forecast"], np.nan)
    columns = {name: evaluation[name].to_numpy() if name in evaluation else absent for name in measures}
    columns["top"] = evaluation["captured"].sel(share=0.1, method="nearest").to_numpy()
    shares = ("total_error", "concordance", "top")
    cells = [
        [tables.cell(str(name).replace("_", " ")) for name in evaluation["forecast"].to_numpy()],
        *(
            [tables.cell(float(v), "–" if np.isnan(v) else numbers.share(float(v))) for v in values]
            if name in shares
            else [
                tables.cell(float(v), "∞") if np.isinf(v) else cell
                for v, cell in zip(values, tables.column(values), strict=True)
            ]
            for name, values in columns.items()
        ),
    ]
    labels = (
        "CRPS",
        "log score",
        "mean absolute error",
        "root mean square",
        "total, error",
        "pairs ranked right",
    )
    return {
        "text": _verdict(evaluation),
        "reasons": listed(evaluation.attrs, "reasons"),
        "table": tables.Table(
            "against-rules-table",
            "Model and simple rules on the holdout (outcome level): of the first four the smaller is better, of the "
            "last two the larger.",
            [
                tables.Column("forecast", number=False),
                *(tables.Column(label) for label in labels),
                tables.Column("purchases of the best ranked 10 %"),
            ],
            [list(row) for row in zip(*cells, strict=True)],
        ),
        "figure": gallery.add(
            "evaluation",
            partial(holdout.plot_evaluation, evaluation),
            "Left: a blue dot left of the dashed line is a measure on which the model beats every simple rule. Right: "
            "the higher a line, the more of what was really bought belongs to the customers it ranks first.",
            "outcome",
        ),
    }


def _verdict(evaluation: xr.Dataset) -> str:
    """Return whether a rule's forecasts were better than the model's, by CRPS and beyond chance."""
    rules = evaluation["forecast"].to_numpy()[evaluation["kind"].to_numpy() == "rule"]
    judged = []
    for name in rules:
        if "crps_worse" not in evaluation:
            continue
        worse = float(evaluation["crps_worse"].sel(forecast=name))
        error = (
            float(evaluation["crps_worse_se"].sel(forecast=name)) if "crps_worse_se" in evaluation else np.nan
        )
        if math.isfinite(worse):
            judged.append((worse, error, str(name).replace("_", " ")))
    if not judged:
        return "No simple rule forecasts purchases here, so that only rankings can be compared."
    worse, error, name = min(judged)
    if worse > 2 * error:
        verdict = "the model's forecasts are better, by more than chance"
    elif worse < -2 * error:
        verdict = "the rule's forecasts are better, by more than chance: do not use the model's without finding out why"
    else:
        verdict = "which of the two is better is within chance"
    return (
        f"The best simple rule by CRPS is the {name}: its CRPS less the model's is {numbers.number(worse)} purchases a "
        f"customer (standard error {numbers.number(error)}), so {verdict}."
    )


def tracking_section(
    gallery: Gallery, tracking: xr.Dataset | None, periods: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Return repeat purchases over calendar time, and how many weeks and months lie inside the band."""
    if tracking is None:
        return None
    rows = [
        [
            tables.cell(each["part"]),
            tables.cell(each["units"]),
            *(tables.cell(each[name]) for name in ("number", "inside", "above", "below")),
            tables.cell(each["expected"], f"{each['expected']:.1f}"),
            tables.cell(each["lower"]),
            tables.cell("too few" if verdicts.too_few(each) else "as promised"),
        ]
        for each in periods
    ]
    columns = [
        tables.Column("part", number=False),
        tables.Column("periods", number=False),
        tables.Column("number"),
        tables.Column("inside 90 %", level="outcome"),
        tables.Column("above"),
        tables.Column("below"),
        tables.Column("promised inside", level="outcome"),
        tables.Column("at least, in 99 of 100"),
        tables.Column("found", number=False),
    ]
    return {
        "table": tables.Table(
            "tracking-table",
            "Weeks and months whose purchases lie inside the band. What is promised is what the model itself brings: "
            "its draws, counted against the band of all.",
            columns,
            rows,
        )
        if rows
        else None,
        "figure": gallery.add(
            "tracking",
            partial(holdout.plot_tracking, tracking),
            "The orange dots should stay inside the light band nine times in ten. Before the shaded holdout the model "
            "is replayed on the data it was fitted to; inside it the line is a forecast, and its total "
            "starts from what was known.",
            "outcome",
        ),
    }


def predictive_check(gallery: Gallery, buying: xr.DataTree) -> Figure | None:
    """Return purchases per customer beside replicated bases; None for a posterior that carries none."""
    if not criticism.has_replicates(buying):
        return None
    return gallery.add(
        "purchases-per-customer",
        partial(criticism.plot_purchases_per_customer, buying),
        "Left: how many customers bought how often, and how many would in bases that the model makes. Right: the same "
        "as a ratio; a cross is a class of customers that the model does not make, and what it says of them is to be "
        "doubted.",
        "outcome",
    )


def value_text(value: xr.Dataset, stem: str) -> str:
    """Return what residual value means here, and what was earned already."""
    parts = []
    if stem == "value":
        margin, rate = value.attrs.get("margin"), value.attrs.get("annual_discount_rate")
        terms = []
        revenue = margin is not None and float(margin) == 1
        if margin is not None and not revenue:
            terms.append(f"a margin of {numbers.share(float(margin))}")
        if rate is not None:
            terms.append(f"an annual discount rate of {numbers.share(float(rate))}")
        after = f", with {' and '.join(terms)}" if terms else ""
        parts.append(
            f"Residual value is {'the revenue' if revenue else 'the margin on purchases'} of the next "
            f"{numbers.horizon(value)}, each discounted from the time it occurs{after}. Amounts are in the unit of "
            "the spend column."
        )
        if "historical_value" in value and np.isfinite(value["historical_value"]).all():
            parts.append(
                f"{'Revenue so far' if revenue else 'Margin already earned'} from these customers: "
                f"{numbers.number(float(value['historical_value'].sum()))}."
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


def value_figures(
    gallery: Gallery, buying: xr.DataTree, customers: xr.Dataset, value: xr.Dataset, stem: str
) -> list[Figure]:
    """Return the figures of value, concentration and of what a history says."""
    horizon = float(value.attrs.get("horizon", 52.0))
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


def changes_text(changes: xr.Dataset | None) -> str | None:
    """Return how many customers buy more often than a year ago, and how many less; None where it is not known."""
    if changes is None:
        return None
    growing, fading = (changes[f"probability_{name}"].to_numpy() for name in ("growing", "fading"))
    factor, sure = f"{float(changes.attrs['factor']):g}", f"{100 * SURE:.0f} %"
    text = (
        f"Compared with {changes.attrs['ago']} before, or with the first purchase where that is later, about "
        f"{numbers.number(round(float(growing.sum())))} of {growing.size:,} customers buy more than {factor} times as "
        f"often, and about {numbers.number(round(float(fading.sum())))} less often by that factor (latent level); "
        f"{int((growing > SURE).sum()):,} and {int((fading > SURE).sum()):,} do so with {sure} or more."
    )
    if fading.max(initial=0.0) > SURE:
        first = np.argsort(-fading, kind="stable")[: min(3, int((fading > SURE).sum()))]
        names = ", ".join(f"{changes[CUSTOMER].to_numpy()[i]} ({100 * fading[i]:.0f} %)" for i in first)
        text += f" Most probably fading: {names}."
    return text


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
        ("frequency", "frequency", base, None),
        ("recency", f"recency{in_unit}", base, None),
        ("T", f"age{in_unit}", base, None),
    ]
    shown += [
        ("probability_alive", "P(alive)", best, "expected"),
        ("purchases_expected", "expected purchases", best, "expected"),
        ("purchases_mean", "purchases, mean", best, "outcome"),
        ("purchases", "90 %", best, "outcome"),
        ("value_mean", "value, mean", best, "outcome"),
        ("value", "90 %", best, "outcome"),
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
        sortable=True,
        wide=True,
    )


def data_text(customers: xr.Dataset, value: xr.Dataset) -> str:
    """Return what the data are, and whether spend moves with what the spend model takes it not to."""
    n = customers.sizes[CUSTOMER]
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    parts = [
        f"{n:,} customers, {int((customers['frequency'] == 0).sum()):,} of them without a repeat purchase; the oldest "
        f"is {numbers.plural(float(customers['T'].max()), unit)} old."
    ]
    found = checks.spend_correlation(customers)
    if found is not None:
        parts.append(
            "Spend level and frequency, which the spend model takes to be independent, have a correlation of "
            f"{checks.correlation_words(found)}: twice the purchases go with "
            f"{100 * found['doubling']['mean']:+.0f} % spend per purchase."
        )
    parts += verdicts.spend_words(spend_check(customers, value))
    return " ".join(parts)


def audit_table(customers: xr.Dataset) -> tables.Table | None:
    """Return the audit of the orders; None where there is none."""
    lines = checks.audit_lines(customers)
    if not lines:
        return None
    columns = [
        tables.Column("what", number=False),
        tables.Column("rows"),
        tables.Column("example", number=False),
    ]
    rows = [
        [
            tables.cell(str(line.get("what", ""))),
            tables.cell(line.get("rows")),
            tables.cell(str(line.get("example") or "")),
        ]
        for line in lines
    ]
    if any(line.get("money") for line in lines):
        columns.insert(2, tables.Column(str(customers.attrs.get("currency", "money"))))
        for row, line in zip(rows, lines, strict=True):
            amount = line.get("money")
            row.insert(2, tables.cell(amount, "" if amount is None else f"{amount:,.2f}"))
    return tables.Table("audit-table", "What was read, kept, taken back and left out.", columns, rows)


def method_text(
    buying: xr.DataTree, spending: xr.DataTree | None, value: xr.Dataset, skipped: list[str]
) -> list[str]:
    """Return how the numbers were made: families, methods, versions, seeds."""
    trees = [buying] if spending is None else [buying, spending]
    text = [find_family(str(tree.attrs["family"])).words.summary for tree in trees]
    for tree in trees:
        sizes = tree["posterior"].sizes
        text.append(
            f"{tree.attrs.get('family')}: method {tree.attrs.get('method', 'not stated')}, {sizes.get('chain', 1)} × "
            f"{sizes.get('draw', 1):,} draws, seed {tree.attrs.get('seed', 'not stated')}, "
            f"{numbers.number(tree.attrs.get('customers'))} customers, time unit "
            f"{tree.attrs.get('time_unit', UNSTATED)}; versions: {_versions(tree)}."
        )
    text.append(
        "Every posterior draw is carried to the end: the future of each customer is simulated from its own history, "
        f"and intervals are quantiles over these futures (seed {value.attrs.get('seed', 'not stated')})."
    )
    text += [f"Figure not drawn – {reason}" for reason in skipped]
    return text


def _versions(tree: xr.DataTree) -> str:
    try:
        found = json.loads(str(tree.attrs["versions"]))
        return ", ".join(f"{name} {version}" for name, version in found.items())
    except (KeyError, json.JSONDecodeError, AttributeError):
        return "not stated"


def run_table(run: Mapping[str, Any] | None) -> tables.Table | None:
    """Return what was run, as rows of name and text."""
    if not run:
        return None
    rows = [[tables.cell(str(name)), tables.cell(str(text))] for name, text in run.items()]
    return tables.Table(
        "run-table",
        "This run.",
        [tables.Column("what", number=False), tables.Column("found", number=False)],
        rows,
    )
