"""The report: one HTML page that holds everything it shows, opens from a file and loads nothing.

What failed comes first; every number carries its level; every figure, one sentence on how to read it.
Here the numbers are chosen and put into words and rows; ``report.html.j2`` lays them out. All text from
the data passes Jinja's escaping; only figures made by this package are trusted as markup.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.distributions import family as find_family
from bayes_clv.schema import CUSTOMER, UNSTATED, InputError
from bayes_clv.views import amounts, checks, histories, holdout, parameters, rename, style
from bayes_clv.views.evaluation import MODEL, plot_evaluation

LEVELS = {
    "expected": "only the population parameters vary: the spread of an average.",
    "latent": "a customer's own purchase rate and dropout vary too.",
    "outcome": "what will actually be bought and spent, with the chance in each purchase.",
}
TOP_CUSTOMERS = 50
MATRIX_DRAWS = 60


@dataclass(frozen=True)
class Cell:
    """A table cell: what is shown, and the key it is sorted by (empty: last)."""

    text: str
    key: str


@dataclass(frozen=True)
class Column:
    """A table column."""

    label: str
    number: bool = True
    level: str | None = None
    sorted: str | None = None


@dataclass(frozen=True)
class Table:
    """A table of the page."""

    name: str
    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    sortable: bool = False
    wide: bool = False


@dataclass
class Gallery:
    """Draws figures, keeps them as markup, and saves them to files where a folder is given."""

    folder: Path | None
    skipped: list[str] = field(default_factory=list)

    def add(self, name: str, draw: Any, caption: str, level: str | None = None) -> dict[str, Any] | None:
        """Return the figure for the template; one that cannot be drawn is named, with its reason, instead."""
        from markupsafe import Markup

        try:
            view = draw()
        except ValueError as error:
            self.skipped.append(f"{name.replace('-', ' ')}: {error}")
            return None
        svg = style.svg_text(view)
        if self.folder is not None:
            # The layout is settled; solving it again takes longer than drawing.
            style.figure_of(view).set_layout_engine("none")
            style.save(view, svg, self.folder, name.replace("-", "_"))
        style.release(view)
        return {
            "name": name,
            "svg": Markup(style.inline_svg(svg, name)),
            "caption": caption,
            "alt": caption,
            "level": level,
        }


def report(
    path: str | Path,
    *,
    buying: xr.DataTree,
    spending: xr.DataTree | None,
    customers: xr.Dataset,
    value: xr.Dataset,
    score: Mapping[str, Any] | None = None,
    evaluation: xr.Dataset | None = None,
    tracking: xr.Dataset | None = None,
    history: Mapping[str, Iterable[Any]] | None = None,
    figures: str | Path | None = None,
    title: str = "Customer lifetime value",
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report of a run as one self-contained HTML page and return its path.

    Parameters
    ----------
    path : str or Path
        The file to write; its folder is made, and a file there is replaced once the page is complete.
    buying : xarray.DataTree
        Posterior of a purchase family.
    spending : xarray.DataTree or None
        Posterior of ``gamma_gamma``; None for orders without amounts.
    customers : xarray.Dataset
        The base, from ``summarize`` or a table.
    value : xarray.Dataset
        The result of ``predict_value``, or of ``predict`` without amounts.
    score : mapping, optional
        The result of ``score_holdout``.
    evaluation : xarray.Dataset, optional
        The result of ``evaluate``, shown beside the score: the model against simple rules.
    tracking : xarray.Dataset, optional
        The result of ``simulate_tracking``.
    history : mapping, optional
        Customer id to the dates of all its purchases (``purchase_dates``): a figure each.
    figures : str or Path, optional
        Folder in which every figure is saved too, as SVG and PNG.
    title : str
        Title of the page.
    run : mapping, optional
        What was run, as name and text: shown under method (a command, times, a commit).

    Returns
    -------
    Path

    Notes
    -----
    Failed checks cannot be turned off: they are read from the posteriors, the prediction, the audit and
    the score.

    Examples
    --------
    >>> page = clv.report("report.html", buying=buying, spending=spending,
    ...                   customers=customers, value=value)
    """
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    if evaluation is not None and score is None:
        raise InputError("The evaluation is shown beside the score: give score=clv.score_holdout(...) too.")
    gallery = Gallery(Path(figures) if figures is not None else None)
    page = _page(gallery, buying, spending, customers, value, score, tracking, dict(history or {}))
    page["against_rules"] = _against_rules(gallery, evaluation)
    page |= {"title": title, "levels": LEVELS, "run_table": _run_table(run)}
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("bayes_clv.views").joinpath("report.html.j2").read_text(encoding="utf-8")
    text = environment.from_string(source).render(page)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(text, encoding="utf-8")
    return partial.replace(target)


def _page(
    gallery: Gallery,
    buying: xr.DataTree,
    spending: xr.DataTree | None,
    customers: xr.Dataset,
    value: xr.Dataset,
    score: Mapping[str, Any] | None,
    tracking: xr.Dataset | None,
    history: dict[str, Iterable[Any]],
) -> dict[str, Any]:
    stem = amounts.choose_quantity(value, None)
    fits = [("Purchases", buying), *([("Spend", spending)] if spending is not None else [])]
    failed = [check for what, tree in fits for check in checks.fit_checks(tree, what)]
    failed += checks.score_checks(score) if score is not None else []
    failed += checks.data_checks(customers) + checks.prediction_checks(value)
    page: dict[str, Any] = {
        "has_money": stem == "value",
        "summary": _summary(buying, customers, value, score, len(failed)),
        "key_numbers": _key_numbers(customers, value, score),
        "checks": failed,
        "passed": _passed(fits, score, customers),
        "notes": _notes(fits),
        "holdout": _holdout(gallery, score),
        "tracking": _tracking(gallery, tracking),
        "value_text": _value_text(value, stem),
        "value_figures": _value_figures(gallery, buying, customers, value, stem),
        "history_figures": _history_figures(gallery, buying, customers, history),
        "deciles": _deciles(value, stem),
        "customer_table": _customer_table(value, customers, stem),
        "customers_figure": gallery.add(
            "customers",
            lambda: amounts.plot_customers(value, 25, quantity=stem),
            "Each line is one customer: what it will bring lies within the thin line nine times in ten, within the "
            "thick one every other time. Lines that overlap much cannot be ranked with confidence.",
            "outcome",
        ),
        "fits": [_fit(gallery, what, tree) for what, tree in fits],
        "audit": _audit(customers),
        "data_text": _data_text(customers),
    }
    page["method"] = _method(buying, spending, value, gallery.skipped)
    page["sections"] = [
        ("checks", "Checks"),
        *([("holdout", "Holdout")] if page["holdout"] else []),
        *([("tracking", "Tracking")] if page["tracking"] else []),
        ("value", "Value" if page["has_money"] else "Purchases"),
        ("customers", "Customers"),
        ("parameters", "Parameters"),
        ("priors", "Priors"),
        ("diagnostics", "Diagnostics"),
        ("audit", "Data audit"),
        ("method", "Method"),
    ]
    return page


# Numbers in words -----------------------------------------------------------------------------------


def number(amount: Any) -> str:
    """Return a number as people read it: thousands separated, three figures below a thousand.

    >>> number(1234567.8), number(12.345), number(0.00012), number(float("nan"))
    ('1,234,568', '12.3', '0.00012', '–')
    """
    if amount is None or not math.isfinite(float(amount)):
        return "–"
    amount = float(amount)
    if abs(amount) >= 1000 or amount == int(amount):
        return f"{amount:,.0f}"
    return f"{amount:#.3g}".rstrip(".") if abs(amount) >= 0.001 else f"{amount:.2g}"


def _cell(amount: Any, text: str | None = None) -> Cell:
    if isinstance(amount, str):
        return Cell(text or amount, amount)
    finite = amount is not None and math.isfinite(float(amount))
    return Cell(text if text is not None else number(amount), repr(float(amount)) if finite else "")


def _decimals(values: Any) -> int:
    """Return the decimals that suit the largest number of a column."""
    column = np.asarray(values, dtype=float)
    finite = column[np.isfinite(column)]
    if (finite == np.round(finite)).all():
        return 0
    largest = float(np.abs(finite).max(initial=0.0))
    return 0 if largest >= 1000 else 1 if largest >= 20 else 2 if largest >= 0.2 else 3


def _fixed(amount: float, decimals: int) -> str:
    return f"{amount:,.{decimals}f}" if math.isfinite(amount) else "–"


def _column(values: Any) -> list[Cell]:
    """Return the cells of a numeric column, all with the same decimals."""
    decimals = _decimals(values)
    return [_cell(float(v), _fixed(float(v), decimals)) for v in values]


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _interval(draws: Any) -> tuple[float, float, float]:
    values = np.asarray(draws, dtype=float).ravel()
    low, high = np.quantile(values, (0.05, 0.95), method="inverted_cdf")
    return float(values.mean()), float(low), float(high)


def _plural(amount: float, unit: str) -> str:
    return f"{number(amount)} {unit}s" if unit != UNSTATED else f"{number(amount)} time units"


def _horizon(value: xr.Dataset) -> str:
    if "horizon" not in value.attrs:
        return "the horizon"
    return _plural(float(value.attrs["horizon"]), str(value.attrs.get("time_unit", UNSTATED)))


def _summary(
    buying: xr.DataTree,
    customers: xr.Dataset,
    value: xr.Dataset,
    score: Mapping[str, Any] | None,
    failed: int,
) -> str:
    n = customers.sizes[CUSTOMER]
    sentences = []
    until = customers.attrs.get("until")
    seen = f", observed until {until}," if until else ""
    if "purchases_total" in value:
        mean, low, high = _interval(value["purchases_total"])
        text = (
            f"The {n:,} customers of this base{seen} will make about {number(mean)} purchases over the next "
            f"{_horizon(value)}; nine times in ten it will be between {number(low)} and {number(high)}"
        )
        if "value_total" in value:
            mean, low, high = _total(value, "value")
            text += (
                f", worth {number(mean)} (between {number(low)} and {number(high)}) after margin and discount"
            )
        sentences.append(f"{text}.")
    else:
        sentences.append(f"The base has {n:,} customers{seen.rstrip(',')}.")
    if score is not None:
        inside = score["coverage"]["90"]
        sentences.append(
            f"On the holdout, {_share(inside['covered'])} of customers bought a number inside their own 90 % "
            f"interval, where the forecast promised {_share(inside['promised'])}."
        )
    sentences.append(
        f"{failed} check{'s' if failed > 1 else ''} failed, and must be read first."
        if failed
        else "All checks passed."
    )
    return " ".join(sentences)


def _total(value: xr.Dataset, stem: str) -> tuple[float, float, float]:
    """Return mean and 90 % interval of a total; the mean is NaN where a customer's mean does not exist."""
    mean, low, high = _interval(value[f"{stem}_total"])
    exists = f"{stem}_mean" not in value or bool(np.isfinite(value[f"{stem}_mean"]).all())
    return (mean if exists else float("nan")), low, high


@dataclass(frozen=True)
class KeyNumber:
    """One of the numbers at the head of the page."""

    label: str
    number: str
    level: str | None = None
    note: str | None = None


def _key_numbers(
    customers: xr.Dataset, value: xr.Dataset, score: Mapping[str, Any] | None
) -> list[KeyNumber]:
    repeaters = int((customers["frequency"] > 0).sum())
    keys = [
        KeyNumber("customers", f"{customers.sizes[CUSTOMER]:,}", note=f"{repeaters:,} with a repeat purchase")
    ]
    for stem, label in (("purchases", "purchases"), ("value", "residual value")):
        if f"{stem}_total" in value:
            mean, low, high = _total(value, stem)
            note = f"90 %: {number(low)} to {number(high)}"
            keys.append(KeyNumber(f"{label}, {_horizon(value)}", number(mean), "outcome", note))
    if "probability_alive" in value:
        keys.append(
            KeyNumber("alive now, on average", _share(float(value["probability_alive"].mean())), "expected")
        )
    if score is not None:
        inside = score["coverage"]["90"]
        note = f"promised {_share(inside['promised'])}"
        keys.append(KeyNumber("holdout inside 90 % intervals", _share(inside["covered"]), "outcome", note))
    return keys


def _passed(fits: list[tuple[str, xr.DataTree]], score: Any, customers: xr.Dataset) -> list[str]:
    names = [f"{what.lower()} fit" for what, _ in fits]
    if score is not None:
        names += ["holdout total and intervals"]
    if checks.spend_correlation(customers) is not None:
        names += ["spend does not depend on frequency"]
    return [*names, "data audit"]


def _notes(fits: list[tuple[str, xr.DataTree]]) -> list[tuple[str, str]]:
    families = [find_family(str(tree.attrs["family"])) for _, tree in fits]
    return [(f"A known flaw of {family.NAME}.", family.CAUTION) for family in families if family.CAUTION]


# Sections -------------------------------------------------------------------------------------------


def _holdout(gallery: Gallery, score: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if score is None:
        return None
    total, unit = score["total"], str(score.get("time_unit", UNSTATED))
    classes = score["coverage_by_frequency"]
    cells = [
        [_cell(row["frequency"]) for row in classes],
        *(
            _column([row[name] for row in classes])
            for name in ("customers", "observed_mean", "predicted_mean")
        ),
        *(
            [_cell(row["coverage"][level][key], _share(row["coverage"][level][key])) for row in classes]
            for level in ("50", "90")
            for key in ("covered", "promised")
        ),
    ]
    rows = [list(row) for row in zip(*cells, strict=True)]
    columns = [
        Column("frequency", number=False),
        Column("customers"),
        Column("mean purchases, observed"),
        Column("predicted", level="outcome"),
        Column("inside 50 %", level="outcome"),
        Column("promised", level="outcome"),
        Column("inside 90 %", level="outcome"),
        Column("promised", level="outcome"),
    ]
    return {
        "text": (
            f"In the {_plural(score['horizon'], unit)} after calibration the customers made {total['observed']:,} "
            f"purchases; the forecast was {number(total['mean'])}, with 90 % between {total['q05']:,} and "
            f"{total['q95']:,} (outcome level), so the total is "
            f"{'inside' if total['covered'] else 'outside'} its interval. Per customer, the mean absolute error of "
            f"the mean is {number(score['mae'])} purchases and the CRPS {number(score['crps'])} (smaller is better)."
        ),
        "table": Table("holdout-table", "Holdout by repeat purchases in calibration.", columns, rows),
        "figure": gallery.add(
            "calibration",
            lambda: holdout.plot_calibration(score),
            "Left: bars that end in the amber band mean that outcomes fall anywhere in their "
            "forecasts equally often; high "
            "ends would mean forecasts too narrow. Right: dots should lie at the dashes, the share that the forecast "
            "itself promised (whole numbers of purchases cannot give exactly 90 %).",
            "outcome",
        ),
    }


def _against_rules(gallery: Gallery, evaluation: xr.Dataset | None) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    measures = ("crps", "log_score", "mae", "rmse", "total_error", "concordance")
    absent = np.full(evaluation.sizes["forecast"], np.nan)
    columns = {name: evaluation[name].to_numpy() if name in evaluation else absent for name in measures}
    columns["top"] = evaluation["captured"].sel(share=0.1, method="nearest").to_numpy()
    shares = ("total_error", "concordance", "top")
    cells = [
        [_cell(str(name).replace("_", " ")) for name in evaluation["forecast"].to_numpy()],
        *(
            [_cell(float(v), "–" if np.isnan(v) else _share(float(v))) for v in values]
            if name in shares
            else [
                _cell(float(v), "∞") if np.isinf(v) else cell
                for v, cell in zip(values, _column(values), strict=True)
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
        "reasons": json.loads(str(evaluation.attrs.get("reasons", "[]"))),
        "table": Table(
            "against-rules-table",
            "Model and simple rules on the holdout (outcome level): of the first four the smaller is better, of the "
            "last two the larger.",
            [
                Column("forecast", number=False),
                *(Column(label) for label in labels),
                Column("purchases of the best ranked 10 %"),
            ],
            [list(row) for row in zip(*cells, strict=True)],
        ),
        "figure": gallery.add(
            "evaluation",
            lambda: plot_evaluation(evaluation),
            "Left: a blue dot left of the dashed line is a measure on which the model beats every simple rule. Right: "
            "the higher a line, the more of what was really bought belongs to the customers it ranks first.",
            "outcome",
        ),
    }


def _verdict(evaluation: xr.Dataset) -> str:
    """Return whether a rule's forecasts were better than the model's, by CRPS and beyond chance."""
    rules = [name for name in evaluation["forecast"].to_numpy() if name != MODEL]
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
        f"The best simple rule by CRPS is the {name}: its CRPS less the model's is {number(worse)} purchases a "
        f"customer (standard error {number(error)}), so {verdict}."
    )


def _tracking(gallery: Gallery, tracking: xr.Dataset | None) -> dict[str, Any] | None:
    if tracking is None:
        return None
    return gallery.add(
        "tracking",
        lambda: holdout.plot_tracking(tracking),
        "The orange dots should stay inside the light band nine times in ten. Before the shaded holdout the model is "
        "replayed on the data it was fitted to; inside it the line is a forecast, and its total "
        "starts from what was known.",
        "outcome",
    )


def _value_text(value: xr.Dataset, stem: str) -> str:
    parts = []
    if stem == "value":
        margin, rate = value.attrs.get("margin"), value.attrs.get("annual_discount_rate")
        terms = []
        if margin is not None:
            terms.append(f"a margin of {_share(float(margin))}")
        if rate is not None:
            terms.append(f"an annual discount rate of {_share(float(rate))}")
        after = f", with {' and '.join(terms)}" if terms else ""
        parts.append(
            f"Residual value is the margin on purchases of the next {_horizon(value)}, each "
            "discounted from the time it "
            f"occurs{after}. Amounts are in the unit of the spend column."
        )
        if "historical_value" in value and np.isfinite(value["historical_value"]).all():
            parts.append(
                f"Margin already earned from these customers: {number(float(value['historical_value'].sum()))}."
            )
    else:
        parts.append(f"Without amounts, customers are compared by purchases over the next {_horizon(value)}.")
    if "probability_active" in value:
        active = float(value["probability_active"].sum())
        parts.append(
            f"About {number(round(active))} customers are expected to buy at least once (outcome level)."
        )
    return " ".join(parts)


def _value_figures(
    gallery: Gallery, buying: xr.DataTree, customers: xr.Dataset, value: xr.Dataset, stem: str
) -> list[dict[str, Any] | None]:
    horizon = float(value.attrs.get("horizon", 52.0))
    return [
        gallery.add(
            "value-distribution",
            lambda: amounts.plot_value_distribution(value, quantity=stem),
            "Left: how many customers have which mean; the first bar holds all below it. Right: the total over "
            "simulated futures, blue where 90 % of them lie.",
            "outcome",
        ),
        gallery.add(
            "concentration",
            lambda: amounts.plot_concentration(value, quantity=stem),
            "Read the height at 20 % to see what the best fifth of customers holds; the further the "
            "curve is from the "
            "dashed line, the more a few customers matter.",
            "outcome",
        ),
        gallery.add(
            "alive-matrix",
            lambda: histories.plot_alive_matrix(buying, customers, draws=MATRIX_DRAWS),
            "Find a customer by repeat purchases (up) and age at the last one (right): dark is "
            "surely still there, pale "
            "surely gone. Of two customers silent equally long, the more frequent one is the more likely gone. Blank "
            "cells are impossible.",
            "expected",
        ),
        gallery.add(
            "expected-purchases-matrix",
            lambda: histories.plot_expected_purchases_matrix(buying, customers, horizon, draws=MATRIX_DRAWS),
            "As above, for the purchases to expect: frequent and recent, at the top right, is where they come from.",
            "expected",
        ),
    ]


def _history_figures(
    gallery: Gallery, buying: xr.DataTree, customers: xr.Dataset, history: dict[str, Iterable[Any]]
) -> list[dict[str, Any] | None]:
    drawn = []
    for position, (customer, dates) in enumerate(history.items()):
        days = np.unique(np.asarray(list(dates), dtype="datetime64[D]"))
        ends = [customers.attrs.get(name) for name in ("until", "holdout_until") if customers.attrs.get(name)]
        until = next((end for end in ends if days.size and np.datetime64(end, "D") >= days[-1]), None)
        drawn.append(
            gallery.add(
                f"alive-history-{position + 1}",
                lambda days=days, until=until, customer=customer: histories.plot_alive_history(
                    buying, days, until if until is not None else days[-1], customer=str(customer)
                ),
                "The line falls with silence and jumps back at each purchase (tick); the band is about "
                "the population "
                "parameters only.",
                "expected",
            )
        )
    return drawn


def _deciles(value: xr.Dataset, stem: str) -> Table | None:
    means = value[f"{stem}_mean"].to_numpy().astype(float)
    used = np.flatnonzero(np.isfinite(means))
    if used.size < 10 or means[used].sum() <= 0:
        return None
    best_first = used[np.argsort(-means[used], kind="stable")]
    columns = [
        Column("customers, best first", number=False),
        Column("customers"),
        Column("mean frequency"),
        Column("mean P(alive)", level="expected"),
        Column("mean purchases", level="outcome"),
        *([Column("mean value", level="outcome")] if stem == "value" else []),
        Column("share of total", level="outcome"),
    ]
    columns = [c for c in columns if c.label != "mean frequency" or "frequency" in value]
    tenths = [value.isel({CUSTOMER: members}) for members in np.array_split(best_first, 10)]

    def average(name: str) -> list[Cell]:
        return _column([float(tenth[name].mean()) for tenth in tenths])

    shares = [float(tenth[f"{stem}_mean"].sum()) / means[used].sum() for tenth in tenths]
    cells = [
        [_cell(f"{10 * k} to {10 * k + 10} %") for k in range(10)],
        [_cell(tenth.sizes[CUSTOMER]) for tenth in tenths],
        *([average("frequency")] if "frequency" in value else []),
        average("probability_alive"),
        average("purchases_mean"),
        *([average("value_mean")] if stem == "value" else []),
        [_cell(share, _share(share)) for share in shares],
    ]
    rows = [list(row) for row in zip(*cells, strict=True)]
    what = "mean residual value" if stem == "value" else "mean purchases"
    return Table("deciles", f"Tenths of the base, ranked by each customer's {what}.", columns, rows)


def _customer_table(value: xr.Dataset, customers: xr.Dataset, stem: str) -> Table:
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
    columns, cells = [Column("customer", number=False)], [[_cell(str(i)) for i in best[CUSTOMER].to_numpy()]]
    for name, label, source, level in shown:
        if label == "90 %":
            if f"{name}_q05" not in source:
                continue
            low, high = source[f"{name}_q05"].to_numpy(), source[f"{name}_q95"].to_numpy()
            places = _decimals(high)
            pairs = zip(low, high, strict=True)
            cells.append(
                [
                    _cell(float(b), f"{_fixed(float(a), places)} to {_fixed(float(b), places)}")
                    for a, b in pairs
                ]
            )
        elif name in source:
            cells.append(_column(source[name].to_numpy()))
        else:
            continue
        columns.append(Column(label, level=level, sorted="descending" if name == f"{stem}_mean" else None))
    count = len(cells[0])
    return Table(
        "customer-table",
        f"The {count} customers with the highest mean "
        f"{'residual value' if stem == 'value' else 'purchases'} over the "
        f"next {_horizon(value)}. Intervals are sorted by their upper end.",
        columns,
        [list(row) for row in zip(*cells, strict=True)],
        sortable=True,
        wide=True,
    )


def _fit(gallery: Gallery, what: str, tree: xr.DataTree) -> dict[str, Any]:
    family, key = str(tree.attrs.get("family", "unknown")), what.lower()
    chains = tree["posterior"].sizes.get("chain", 1)
    rank_figure = None
    if tree.attrs.get("method", "nuts") == "nuts" and chains > 1:
        rank_figure = gallery.add(
            f"{key}-ranks",
            lambda: parameters.plot_diagnostics(tree),
            "One colour a chain. Left, the densities should lie on one another; right, the lines "
            "should wander about zero "
            "without a trend (p is the probability of lines so far from zero if the chains agree).",
        )
    has_prior = "prior" in tree.children
    prior_figure = (
        gallery.add(
            f"{key}-prior-posterior",
            lambda: parameters.plot_prior_posterior(tree),
            "Where the posterior is much narrower than the prior, the data have spoken; where the "
            "two coincide, the number "
            "is the prior's. Positive parameters on a log scale.",
            "expected",
        )
        if has_prior
        else None
    )
    return {
        "heading": f"{what} ({find_family(family).NAME})",
        "summary": _parameter_summary(tree, key),
        "parameters": gallery.add(
            f"{key}-parameters",
            lambda: parameters.plot_parameters(tree),
            "Posterior density of each parameter; dot and line, and the figures above, are median and 90 % interval.",
            "expected",
        ),
        "priors": _priors(tree, key),
        "prior_figure": prior_figure,
        "no_prior": 'The fit holds no draws of the prior; fit(..., include=("prior",)) adds them.'
        if not has_prior
        else "The prior could not be drawn.",
        "diagnostics": _diagnostics(tree, key),
        "rank_figure": rank_figure,
        "no_rank": "Ranks compare the chains of a sampler; this fit has none to compare.",
    }


def _parameter_summary(tree: xr.DataTree, key: str) -> Table:
    import arviz as az

    group = tree["posterior"].to_dataset()
    names = [str(n) for n, v in group.data_vars.items() if set(v.dims) == {"chain", "draw"}]
    columns = [
        Column("symbol", number=False),
        Column("meaning", number=False),
        Column("unit", number=False),
        Column("mean"),
        Column("sd"),
        Column("5 %"),
        Column("median"),
        Column("95 %"),
    ]
    sampled = tree.attrs.get("method", "nuts") == "nuts" and group.sizes["draw"] >= 4
    found = None
    if sampled:
        found = az.summary(
            rename.for_arviz(tree),
            var_names=[rename.safe_name(n) for n in names],
            kind="diagnostics",
            round_to="none",
        )
        columns += [Column("effective draws (bulk)"), Column("(tail)"), Column("R-hat")]
    rows = []
    for name in names:
        draws = group[name].to_numpy().ravel().astype(float)
        described = group[name].attrs
        low, median, high = np.quantile(draws, (0.05, 0.5, 0.95))
        spread = draws.std(ddof=1) if draws.size > 1 else float("nan")
        row = [
            _cell(rename.symbol(name)),
            _cell(str(described.get("long_name", ""))),
            _cell(str(described.get("units", ""))),
        ]
        row += [_cell(float(v)) for v in (draws.mean(), spread, low, median, high)]
        if found is not None:
            line = found.loc[rename.safe_name(name)]
            row += [
                _cell(float(line["ess_bulk"])),
                _cell(float(line["ess_tail"])),
                _cell(float(line["r_hat"]), f"{float(line['r_hat']):.3f}"),
            ]
        rows.append(row)
    return Table(f"{key}-summary", "Posterior of the population parameters.", columns, rows, wide=True)


def _priors(tree: xr.DataTree, key: str) -> Table | None:
    try:
        stated = json.loads(str(tree.attrs["priors"]))
    except (KeyError, json.JSONDecodeError):
        return None
    rows = []
    for name, prior in stated.items():
        if isinstance(prior, list) and len(prior) == 2 and isinstance(prior[1], dict):
            text = f"{prior[0]}({', '.join(f'{k}={v:.4g}' for k, v in prior[1].items())})"
        else:
            text = str(prior)
        rows.append([_cell(rename.symbol(str(name))), _cell(text)])
    return Table(
        f"{key}-priors",
        "Priors that were used.",
        [Column("quantity", number=False), Column("prior", number=False)],
        rows,
    )


_DIAGNOSTICS = {
    "rhat_max": "largest R-hat (below 1.01: the chains agree)",
    "ess_bulk_min": "smallest effective sample size, centre",
    "ess_tail_min": "smallest effective sample size, tails",
    "ess_min": "smallest effective sample size (100 a chain are needed)",
    "divergences": "divergent transitions (0 is right)",
    "max_treedepth_reached": "transitions at the maximum tree depth",
    "bfmi_min": "smallest BFMI (above 0.3: the tails are explored)",
    "pareto_k": "Pareto k (below its threshold: the approximation holds)",
    "pareto_k_threshold": "threshold of Pareto k",
}


def _diagnostics(tree: xr.DataTree, key: str) -> Table:
    found = checks.fit_diagnostics(tree) or {}
    rows = [[_cell("passed"), _cell("yes" if found.get("passed") is True else "no")]]
    for name, amount in found.items():
        if name in ("passed", "problems"):
            continue
        text = (
            number(amount)
            if isinstance(amount, int | float) and not isinstance(amount, bool)
            else str(amount)
        )
        if name == "rhat_max" and isinstance(amount, float):
            text = f"{amount:.4f}"
        rows.append([_cell(_DIAGNOSTICS.get(name, name.replace("_", " "))), _cell(text)])
    rows += [[_cell("problem"), _cell(str(problem))] for problem in found.get("problems", [])]
    return Table(
        f"{key}-diagnostics",
        "Diagnostics attached to the fit.",
        [Column("check", number=False), Column("found", number=False)],
        rows,
    )


def _data_text(customers: xr.Dataset) -> str:
    n = customers.sizes[CUSTOMER]
    unit = str(customers.attrs.get("time_unit", UNSTATED))
    parts = [
        f"{n:,} customers, {int((customers['frequency'] == 0).sum()):,} of them without a repeat "
        "purchase; the oldest is "
        f"{_plural(float(customers['T'].max()), unit)} old."
    ]
    found = checks.spend_correlation(customers)
    if found is not None:
        rho, low, high, used = found
        parts.append(
            f"Mean spend and frequency, which the spend model takes to be independent, have a rank "
            f"correlation of {rho:.2f} "
            f"(90 % interval {low:.2f} to {high:.2f}, {used:,} customers)."
        )
    return " ".join(parts)


def _audit(customers: xr.Dataset) -> Table | None:
    lines = checks.audit_lines(customers)
    if not lines:
        return None
    columns = [Column("what", number=False), Column("rows"), Column("example", number=False)]
    rows = [
        [_cell(str(line.get("what", ""))), _cell(line.get("rows")), _cell(str(line.get("example") or ""))]
        for line in lines
    ]
    return Table("audit-table", "What was read, kept and left out.", columns, rows)


def _method(
    buying: xr.DataTree, spending: xr.DataTree | None, value: xr.Dataset, skipped: list[str]
) -> list[str]:
    trees = [buying] if spending is None else [buying, spending]
    text = [find_family(str(tree.attrs["family"])).SUMMARY for tree in trees]
    for tree in trees:
        sizes = tree["posterior"].sizes
        text.append(
            f"{tree.attrs.get('family')}: method {tree.attrs.get('method', 'not stated')}, {sizes.get('chain', 1)} × "
            f"{sizes.get('draw', 1):,} draws, seed {tree.attrs.get('seed', 'not stated')}, "
            f"{number(tree.attrs.get('customers'))} customers, time unit {tree.attrs.get('time_unit', UNSTATED)}; "
            f"versions: {_versions(tree)}."
        )
    text.append(
        "Every posterior draw is carried to the end: the future of each customer is simulated "
        "from its own history, and "
        f"intervals are quantiles over these futures (seed {value.attrs.get('seed', 'not stated')})."
    )
    text += [f"Figure not drawn – {reason}" for reason in skipped]
    return text


def _versions(tree: xr.DataTree) -> str:
    try:
        found = json.loads(str(tree.attrs["versions"]))
        return ", ".join(f"{name} {version}" for name, version in found.items())
    except (KeyError, json.JSONDecodeError, AttributeError):
        return "not stated"


def _run_table(run: Mapping[str, Any] | None) -> Table | None:
    if not run:
        return None
    rows = [[_cell(str(name)), _cell(str(text))] for name, text in run.items()]
    return Table(
        "run-table", "This run.", [Column("what", number=False), Column("found", number=False)], rows
    )
