"""The appendix of the report: what the data are, how the numbers were made, and what was run."""

import json
from collections.abc import Mapping
from typing import Any

import xarray as xr

from bayes_clv.families.registry import family as find_family
from bayes_clv.language import joined, say, say_kept_sentences
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
        say(
            "{n:,} customers, {once:,} of them without a repeat purchase; the oldest is {age} old.",
            n=n,
            once=int((customers["frequency"] == 0).sum()),
            age=numbers.plural(float(customers["T"].max()), unit),
        )
    ]
    found = checks.spend_correlation(customers)
    if found is not None:
        parts.append(
            say(
                "Spend level and frequency, which the spend model takes to be independent, have a correlation of "
                "{correlation}: twice the purchases go with {doubling:+.0f} % spend per purchase.",
                correlation=checks.correlation_words(found),
                doubling=100 * found["doubling"]["mean"],
            )
        )
    parts += verdicts.spend_words(spend_check(customers, value))
    return joined("{first} {second}", parts)


def audit_table(customers: xr.Dataset) -> tables.Table | None:
    """Return the audit of the orders; None where there is none."""
    lines = checks.audit_lines(customers)
    if not lines:
        return None
    columns = [
        tables.Column(say("what"), number=False),
        tables.Column(say("rows")),
        tables.Column(say("example"), number=False),
    ]
    rows = [
        [
            tables.cell(checks.line_words(line)),
            tables.cell(line.get("rows")),
            tables.cell(str(line.get("example") or "")),
        ]
        for line in lines
    ]
    if any(line.get("money") for line in lines):
        columns.insert(2, tables.Column(str(customers.attrs.get("currency", say("money")))))
        for row, line in zip(rows, lines, strict=True):
            amount = line.get("money")
            row.insert(2, tables.cell(amount, "" if amount is None else f"{amount:,.2f}"))
    return tables.Table(
        "audit-table", say("What was read, kept, taken back and left out."), columns, rows, sortable=False
    )


def method_text(
    buying: xr.DataTree, spending: xr.DataTree | None, value: xr.Dataset, skipped: list[str]
) -> list[str]:
    """Return how the numbers were made: families, methods, versions, seeds."""
    trees = [buying] if spending is None else [buying, spending]
    text = [say_kept_sentences(find_family(str(tree.attrs["family"])).words.summary) for tree in trees]
    unknown = say("not stated")
    for tree in trees:
        sizes = tree["posterior"].sizes
        text.append(
            say(
                "{family}: method {method}, {chains} × {draws:,} draws, seed {seed}, {customers} customers, time unit "
                "{unit}; versions: {versions}.",
                family=tree.attrs.get("family"),
                method=tree.attrs.get("method", unknown),
                chains=sizes.get("chain", 1),
                draws=sizes.get("draw", 1),
                seed=tree.attrs.get("seed", unknown),
                customers=numbers.number(tree.attrs.get("customers")),
                unit=say(tree.attrs.get("time_unit", UNSTATED)),
                versions=_versions(tree),
            )
        )
    text.append(
        say(
            "Every posterior draw is carried to the end: the future of each customer is simulated from its own "
            "history, and intervals are quantiles over these futures (seed {seed}).",
            seed=value.attrs.get("seed", unknown),
        )
    )
    return [*text, *(say("Figure not drawn – {figure}", figure=each) for each in skipped)]


def _versions(tree: xr.DataTree) -> str:
    try:
        found = json.loads(str(tree.attrs["versions"]))
        return ", ".join(f"{name} {version}" for name, version in found.items())
    except (KeyError, json.JSONDecodeError, AttributeError):
        return say("not stated")


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
        say("This run."),
        [tables.Column(say("what"), number=False), tables.Column(say("found"), number=False)],
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
