"""What other engines than the embedded one can do with orders that are their own tables, and what they hand over.

PostgreSQL and Spark compute the summary. SQLite has neither days nor exact decimals. Somebody's own DuckDB would write
each step of the parsing out at every mention of it, where PostgreSQL computes it once, and our views have no place in
another's database. Any engine repeats the patterns by which text is read.

Spark reads its table anew for each question: days with purchases are kept in its own cache, and leave it with the
summary. Not so the steps of returns: its plans grow threefold with each that is kept, and 660 rows took ten minutes.
"""

import contextlib
from typing import Any

from bayes_clv.customers.orders.description import Reading
from bayes_clv.customers.orders.parsing import parse
from bayes_clv.customers.orders.tables import arrow_columns
from bayes_clv.schema import InputError, argument

SPARK = "pyspark"


def can_parse(backend: Any, raw: Any, reading: Reading) -> bool:
    """Return whether an engine knows all that is asked of rows, and computes each step of it once."""
    as_text = any(
        raw[role].type().is_string() for role in ("date", "spend", "quantity", "price") if role in raw.columns
    )
    if as_text or backend.name in ("sqlite", "duckdb"):
        return False
    from ibis.common.exceptions import OperationNotDefinedError, UnsupportedOperationError

    try:
        backend.compile(parse(raw, reading, None))
    except (OperationNotDefinedError, UnsupportedOperationError):
        return False
    return True


def handed_over(backend: Any, raw: Any) -> Any:
    """Return the wanted columns of a table whose engine cannot parse them, as an Arrow table."""
    if backend.name != "sqlite":
        return fetch(backend, raw)
    import pandas as pd

    # Ibis reads SQLite by way of options that pandas gives up.
    with contextlib.closing(backend.raw_sql(backend.compile(raw))) as cursor:
        table = pd.DataFrame(cursor.fetchall(), columns=list(raw.columns), dtype=object)
    return arrow_columns(table, {name: name for name in raw.columns}, lambda names: None)


def fetch(backend: Any, expression: Any) -> Any:
    """Return an expression's result as an Arrow table."""
    if backend.name != SPARK:
        return backend.to_pyarrow(expression)
    # Ibis goes by way of pandas, which calls a missing text "NaN".
    return backend.raw_sql(backend.compile(expression)).toArrow().cast(expression.schema().to_pyarrow())


def refuse_instants(backend: Any, raw: Any, reading: Reading) -> None:
    """Refuse Spark's own kind of timestamp: an instant, which Ibis takes for the time of day in UTC."""
    if backend.name != SPARK:
        return
    looked_at = [role for role in raw.columns if role == "date" or role.startswith("tested_")]
    schema = backend.raw_sql(backend.compile(raw.select(looked_at))).schema
    for role in looked_at:
        if schema[role].dataType.typeName() != "timestamp":
            continue
        name = reading.columns()[role]
        what = "an order falls" if role == "date" else f"{argument('where', reading.where)} is to hold"
        raise InputError(
            f"Column {name!r} holds Spark's TIMESTAMP, instants, which do not say on which day of the shop {what}: "
            "a session that Ibis connects to reads them in UTC. Convert them there: "
            f"to_date(from_utc_timestamp({name}, 'Europe/Berlin')) is the day in the zone that is named. Name the "
            "shop's, or that of the session in which plain times became instants."
        )
