"""Segments and alarms as tables that people open in a spreadsheet: one row a customer, or one a segment."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.segments.segmenting import SEGMENT

if TYPE_CHECKING:
    import pandas as pd


TOTAL = "_total"


STATISTICS = ("mean", "q05", "q95")


def segment_table(segments: xr.Dataset) -> "pd.DataFrame":
    """Return each customer's segment and how sure it is, one row a customer in the order of ``segments``.

    Parameters
    ----------
    segments
        Of ``clv.segment``.

    Returns
    -------
    pandas.DataFrame
        ``customer_id``; ``segment``, the most probable one; ``probability``, its own; ``unsure``; and
        ``probability_{segment}`` of each segment, which add up to 1. Level: that of the rule's quantities, see
        ``clv.segment``.

    Raises
    ------
    InputError
        When it is no result of ``clv.segment``.

    Examples
    --------
    >>> draws = clv.customer_draws(buying, customers, draws=50, seed=1)
    >>> found = clv.segment(draws, clv.rule("Buyers", {"none": "purchases == 0", "some": "purchases > 0"}))
    >>> segment_table(found).columns.tolist()
    ['customer_id', 'segment', 'probability', 'unsure', 'probability_none', 'probability_some']
    """
    import pandas as pd

    _check_segments(segments)
    membership = segments["membership"].transpose(CUSTOMER, SEGMENT).to_numpy()
    columns: dict[str, Any] = {
        "customer_id": segments[CUSTOMER].to_numpy(),
        "segment": segments["most_likely"].to_numpy(),
        "probability": segments["most_likely_probability"].to_numpy(),
        "unsure": segments["unsure"].to_numpy(),
    }
    columns |= {
        f"probability_{name}": membership[:, i] for i, name in enumerate(segments[SEGMENT].to_numpy())
    }
    return pd.DataFrame(columns)


def segment_sizes_table(segments: xr.Dataset) -> "pd.DataFrame":
    """Return each segment's number of customers and totals with their 90 % intervals, one row a segment.

    Parameters
    ----------
    segments
        Of ``clv.segment``.

    Returns
    -------
    pandas.DataFrame
        ``segment``; ``customers_mean``, ``_q05`` and ``_q95``; ``labelled``, the number of customers whose most
        probable segment it is, and ``unsure``, those of them who are unsure; then mean, q05 and q95 of each total,
        such as ``value_mean``. Rows are in the order of the rule.

    Raises
    ------
    InputError
        When it is no result of ``clv.segment``.

    Examples
    --------
    >>> draws = clv.customer_draws(buying, customers, draws=50, seed=1)
    >>> found = clv.segment(draws, clv.rule("Buyers", {"none": "purchases == 0", "some": "purchases > 0"}))
    >>> int(segment_sizes_table(found)["labelled"].sum())
    2357
    """
    import pandas as pd

    _check_segments(segments)
    names = segments[SEGMENT].to_numpy()
    labels, unsure = segments["most_likely"].to_numpy(), segments["unsure"].to_numpy()
    columns: dict[str, Any] = {SEGMENT: names}
    columns |= {f"customers_{each}": segments[f"size_{each}"].to_numpy() for each in STATISTICS}
    columns["labelled"] = [int((labels == name).sum()) for name in names]
    columns["unsure"] = [int(((labels == name) & unsure).sum()) for name in names]
    for total in totals_of(segments):
        columns |= {f"{total}_{each}": segments[f"{total}{TOTAL}_{each}"].to_numpy() for each in STATISTICS}
    return pd.DataFrame(columns)


def alarm_table(alarms: xr.Dataset) -> "pd.DataFrame":
    """Return whom to look after, one row a customer, the most value at risk first.

    Parameters
    ----------
    alarms
        Of ``clv.churn_alarms``.

    Returns
    -------
    pandas.DataFrame
        ``customer_id``, ``alarmed``, ``value_at_risk`` where the alarms have it, ``probability_alive``, ``silence``,
        ``alarm_silence``, ``alarm_in`` (times in the customers' unit) and, where the customers carry dates,
        ``alarm_date``, a ``datetime.date``. The last three are missing where there is no alarm within the longest
        silence looked at. Without value the least probably alive come first. ``.attrs`` holds threshold and time unit.

    Raises
    ------
    InputError
        When it is no result of ``clv.churn_alarms``.

    Examples
    --------
    >>> table = alarm_table(clv.churn_alarms(buying, customers, value=value))
    >>> bool(table["value_at_risk"].is_monotonic_decreasing)
    True
    """
    import pandas as pd

    if "alarm_silence" not in alarms:
        raise InputError("These are no alarms: give what clv.churn_alarms returned.")
    columns: dict[str, Any] = {
        "customer_id": alarms[CUSTOMER].to_numpy(),
        "alarmed": alarms["alarmed"].to_numpy(),
    }
    if "value_at_risk" in alarms:
        columns["value_at_risk"] = alarms["value_at_risk"].to_numpy()
    for name in ("probability_alive", "silence"):
        columns[name] = alarms[name].to_numpy()
    for name in ("alarm_silence", "alarm_in"):
        time = alarms[name].to_numpy()
        columns[name] = np.where(np.isfinite(time), time, np.nan)
    if "alarm_date" in alarms:
        # NaT becomes None: no alarm, no date.
        columns["alarm_date"] = alarms["alarm_date"].to_numpy().astype("datetime64[D]").astype(object)
    by, rising = ("value_at_risk", False) if "value_at_risk" in alarms else ("probability_alive", True)
    table = pd.DataFrame(columns).sort_values(by, ascending=rising, kind="stable", ignore_index=True)
    table.attrs = {name: alarms.attrs[name] for name in ("threshold", "time_unit") if name in alarms.attrs}
    return table


def totals_of(segments: xr.Dataset) -> list[str]:
    """Return the quantities that were added up, in their order."""
    return [str(name).removesuffix(TOTAL) for name in segments.data_vars if str(name).endswith(TOTAL)]


def _check_segments(segments: xr.Dataset) -> None:
    if "membership" not in segments:
        raise InputError("These are no segments: give what clv.segment returned.")


_SUMMARIES = ("mean", "sd", "q05", "q25", "q50", "q75", "q95")


PURCHASE_COLUMNS = (
    "frequency",
    "recency",
    "T",
    "probability_alive",
    "purchase_rate_mean",
    "dropout_mean",
    "purchases_expected",
    *(f"purchases_{name}" for name in _SUMMARIES),
)


COLUMNS = (
    "frequency",
    "recency",
    "T",
    "monetary_value",
    "historical_value",
    "probability_alive",
    "purchase_rate_mean",
    "dropout_mean",
    "purchases_expected",
    *(f"purchases_{name}" for name in _SUMMARIES),
    *(f"value_{name}" for name in _SUMMARIES),
    "lifetime_value_mean",
)


# In families in which a customer may leave at any time dropout is a rate.
INSTEAD = {"dropout_mean": "dropout_rate_mean"}


HOLDOUT_COLUMNS = ("holdout_purchases", "holdout_spend")


def customer_table(value: xr.Dataset) -> "pd.DataFrame":
    """Return the value of each customer as a pandas table, the columns of ``customers.parquet``.

    Parameters
    ----------
    value
        The result of ``clv.predict_value``, or of ``clv.predict`` for purchases alone.

    Returns
    -------
    pandas.DataFrame
        customer_id, then COLUMNS in that order (PURCHASE_COLUMNS for purchases alone; dropout_rate_mean for
        dropout_mean where dropout is a rate) and, when the customers
        have a holdout, holdout_purchases and holdout_spend. Units and levels are those of
        ``bayes_clv.schema.VARIABLES``. ``.attrs`` holds the dataset's attributes.

    Raises
    ------
    InputError
        When a column is missing.

    Examples
    --------
    >>> customer_table(value).to_parquet("customers.parquet")
    """
    import pandas as pd

    wanted = COLUMNS if "value_mean" in value else PURCHASE_COLUMNS
    columns = [INSTEAD[name] if INSTEAD.get(name) in value else name for name in wanted]
    missing = [name for name in columns if name not in value]
    if missing:
        raise InputError(
            f"The dataset lacks {', '.join(missing)}; give the result of clv.predict_value or clv.predict."
        )
    names = [*columns, *(name for name in HOLDOUT_COLUMNS if name in value)]
    ids = np.asarray(value[CUSTOMER])
    table = pd.DataFrame({"customer_id": ids, **{name: np.asarray(value[name]) for name in names}})
    table.attrs = dict(value.attrs)
    return table
