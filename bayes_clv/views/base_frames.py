"""The customer base as tables: its equity, what changed it, who is to come, and its audit over time."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.customers.base_audit import COHORT as AUDIT_COHORT
from bayes_clv.customers.base_audit import DECILE, FLOW, FLOWS, ORDERS, label_of
from bayes_clv.schema import PERIOD
from bayes_clv.valuation.bridge import STEP
from bayes_clv.valuation.equity import STEMS, TOP
from bayes_clv.valuation.newcomers import COHORT
from bayes_clv.views.decision_frames import frame_of

if TYPE_CHECKING:
    import pandas as pd

ENDS = ("mean", "q05", "q50", "q95")


def _of_equity(found: xr.Dataset) -> "pd.DataFrame":
    names = [*STEMS, "customers_to_come"]
    names += [name for name in ("present_before_costs",) if name in found]
    rows = [{"what": name} | {end: float(found[f"{name}_{end}"]) for end in ENDS} for name in names]
    return frame_of(rows, found.attrs)


def _of_cohorts(found: xr.Dataset) -> "pd.DataFrame":
    stems = ("cohort_customers", "cohort_value")
    ends = found["period_end"].to_numpy() if "period_end" in found.coords else np.empty(0)
    columns: dict[str, Any] = {COHORT: found[COHORT].to_numpy(), "period_end": ends}
    columns |= {f"{stem}_{end}": found[f"{stem}_{end}"].to_numpy() for stem in stems for end in ENDS}
    return frame_of(columns, found.attrs)


def _of_tops(found: xr.Dataset) -> "pd.DataFrame":
    columns = {TOP: found[TOP].to_numpy()}
    columns |= {f"concentration_{end}": found[f"concentration_{end}"].to_numpy() for end in ENDS}
    return frame_of(columns, found.attrs)


def _of_bridge(found: xr.Dataset) -> "pd.DataFrame":
    rows = [{STEP: "opening"} | {end: float(found[f"opening_{end}"]) for end in ENDS}]
    for name in found[STEP].to_numpy().tolist():
        one = found.sel({STEP: name})
        rows.append({STEP: name} | {end: float(one[f"contribution_{end}"]) for end in ENDS})
    for name in ("closing", "change", "customers_lost", "return_on_customer"):
        rows.append({STEP: name} | {end: float(found[f"{name}_{end}"]) for end in ENDS})
    return frame_of(rows, found.attrs)


def _of_newcomers(found: xr.Dataset) -> "pd.DataFrame":
    columns = {COHORT: found[COHORT].to_numpy(), "period_end": found["period_end"].to_numpy()}
    columns |= {f"newcomers_{end}": found[f"newcomers_{end}"].to_numpy() for end in ("mean", "q05", "q95")}
    return frame_of(columns, found.attrs)


def labels_of(found: xr.Dataset, dim: str = PERIOD) -> list[str]:
    """Return what the periods of an audit are called."""
    return [label_of(each, str(found.attrs["by"])) for each in found[dim].to_numpy().astype("datetime64[D]")]


def _of_periods(found: xr.Dataset) -> "pd.DataFrame":
    active, orders = found["active"].to_numpy(), found["orders"].to_numpy()
    columns: dict[str, Any] = {
        PERIOD: labels_of(found),
        "whole": found["whole"].to_numpy(),
        "active": active,
        "orders": orders,
        "orders_per_customer": over(orders, active),
    }
    if "spend" in found:
        spend = found["spend"].to_numpy()
        columns |= {"spend": spend, "spend_per_order": over(spend, orders)}
    columns["new"] = found["cohort_size"].to_numpy()
    for flow in ("stayed", "returned", "lapsed"):
        columns[flow] = found["flow_customers"].sel({FLOW: flow}).to_numpy()
    return frame_of(columns, found.attrs)


def over(amount: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return a quotient, NaN where the number is 0."""
    found = np.full(np.shape(amount), np.nan)
    np.divide(amount, number, out=found, where=number > 0)
    return found


def _of_audit_cohorts(found: xr.Dataset) -> "pd.DataFrame":
    names, size = labels_of(found), found["cohort_size"].to_numpy()
    stems = [each for each in ("active", "orders", "spend") if f"cohort_{each}" in found]
    tables = {each: found[f"cohort_{each}"].transpose(AUDIT_COHORT, PERIOD).to_numpy() for each in stems}
    rows = [
        {"cohort": names[i], PERIOD: names[j], "age": j - i, "size": size[i]}
        | {each: table[i, j] for each, table in tables.items()}
        for i in range(len(names))
        for j in range(i, len(names))
        if size[i] > 0
    ]
    return frame_of(rows, found.attrs)


def _long(found: xr.Dataset, stem: str, dim: str, names: tuple[str, ...]) -> "pd.DataFrame":
    periods, of = labels_of(found), found[dim].to_numpy().tolist()
    rows = [
        {PERIOD: periods[i], dim: of[j]}
        | {
            name: float(found[f"{stem}_{name}"].transpose(PERIOD, dim)[i, j])
            for name in names
            if f"{stem}_{name}" in found
        }
        for i in range(len(periods))
        for j in range(len(of))
    ]
    return frame_of(rows, found.attrs)


def _of_flows(found: xr.Dataset) -> "pd.DataFrame":
    frame = _long(found, "flow", FLOW, ("customers", "spend", "spend_before"))
    return frame.iloc[len(FLOWS) :].reset_index(drop=True)


def _of_tenths(found: xr.Dataset) -> "pd.DataFrame":
    return _long(found, "decile", DECILE, ("customers", "orders", "spend"))


def _of_orders(found: xr.Dataset) -> "pd.DataFrame":
    return _long(found, "orders", ORDERS, ("customers",))


# What a result is, and the rows it has; the first is taken where nothing is said.
BASE_TABLES: dict[str, dict[str, Callable[[Any], "pd.DataFrame"]]] = {
    "equity": {"what": _of_equity, COHORT: _of_cohorts, TOP: _of_tops},
    "equity bridge": {STEP: _of_bridge},
    "newcomers": {COHORT: _of_newcomers},
    "base audit": {
        PERIOD: _of_periods,
        "cohort": _of_audit_cohorts,
        FLOW: _of_flows,
        DECILE: _of_tenths,
        ORDERS: _of_orders,
    },
}
