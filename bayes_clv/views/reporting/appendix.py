"""The appendix of the report: what the data are, how the numbers were made, and what was run."""

import json
from collections.abc import Mapping
from typing import Any

import xarray as xr

from bayes_clv.families.registry import family as find_family
from bayes_clv.schema import CUSTOMER, UNSTATED
from bayes_clv.scoring.spending import spend_check
from bayes_clv.views import numbers
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting import checks, verdicts


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
    return tables.Table(
        "audit-table", "What was read, kept, taken back and left out.", columns, rows, sortable=False
    )


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
    """Return what was run, as rows of name and text; of a JSON object, a row for each part that says something."""
    if not run:
        return None
    rows = [
        [tables.cell(name), tables.cell(text)]
        for key, told in run.items()
        for name, text in _told(str(key), told)
    ]
    return tables.Table(
        "run-table",
        "This run.",
        [tables.Column("what", number=False), tables.Column("found", number=False)],
        rows,
        sortable=False,
    )


def _told(key: str, told: Any) -> list[tuple[str, str]]:
    try:
        parts = json.loads(str(told))
    except json.JSONDecodeError:
        return [(key, str(told))]
    if not isinstance(parts, dict):
        return [(key, str(told))]
    said = {name: part for name, part in parts.items() if part is not None and part not in ("", [], {})}
    return [
        (name.replace("_", " "), part if isinstance(part, str) else json.dumps(part, ensure_ascii=False))
        for name, part in said.items()
    ]
