"""Results to decide by, as tables: scenarios, channels, bids and budgets, offers and what customers say of them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from bayes_clv.perceived.markets import ATTRIBUTE, RIVAL
from bayes_clv.perceived.markets import PART as PRICE_PART
from bayes_clv.perceived.offers import SUMMARISED
from bayes_clv.segments.segmenting import SEGMENT
from bayes_clv.valuation.acquisition import CHANNEL
from bayes_clv.valuation.actions import ACTION
from bayes_clv.valuation.bids import BID
from bayes_clv.valuation.channels import OTHER
from bayes_clv.valuation.scenarios import SCENARIO
from bayes_clv.valuation.scenarios import TOTALS as SCENARIO_TOTALS
from bayes_clv.valuation.sensitivities import END, LEVER

if TYPE_CHECKING:
    import pandas as pd

STATISTICS = ("mean", "q05", "q95")


def frame_of(
    columns: Mapping[str, Any] | list[dict[str, Any]], attrs: Mapping[str, Any] | None = None
) -> "pd.DataFrame":
    """Return columns or rows as a table with these attributes."""
    import pandas as pd

    frame = pd.DataFrame(columns)
    frame.attrs.update(attrs or {})
    return frame


def _scenarios(comparison: xr.Dataset) -> "pd.DataFrame":
    names = [f"{total}_{each}" for total in SCENARIO_TOTALS for each in STATISTICS]
    names += [f"{total}_difference_{each}" for total in SCENARIO_TOTALS for each in STATISTICS]
    first = ("stated", "reached")
    last = (
        "probability_better",
        "loss_if_wrong",
        "probability_best",
        "expected_loss",
        "value_difference_error",
    )
    return frame_of({name: comparison[name].to_numpy() for name in (SCENARIO, *first, *names, *last)})


def _channels(found: xr.Dataset) -> "pd.DataFrame":
    names = ["stated", *(["customers_known"] if "customers_known" in found else []), "customers"]
    for stem, ends in (
        *((stem, ("mean", "q05", "q50", "q95")) for stem in ("value", "cost", "profit")),
        *((stem, ("q05", "q50", "q95")) for stem in ("ratio", "payback")),
    ):
        names += [f"{stem}_{end}" for end in ends]
    if "conversion" in found:
        names += [f"{stem}_{end}" for stem in ("conversion", "lead_value") for end in ("q05", "q50", "q95")]
    names += ["probability_pays", "probability_best", "loss_of_keeping", "loss_of_stopping"]
    return frame_of({name: found[name].to_numpy() for name in (CHANNEL, *names, "expected_loss", "decision")})


def _budget(split: xr.Dataset) -> "pd.DataFrame":
    names = ["spend", "spent", *(f"{stem}_{end}" for stem in ("customers", "profit") for end in STATISTICS)]
    return frame_of({name: split[name].to_numpy() for name in (CHANNEL, *names, "marginal")})


def _bids(found: xr.Dataset) -> "pd.DataFrame":
    names = [*(f"profit_{end}" for end in STATISTICS), "volume_mean", "value_when_won"]
    return frame_of({name: found[name].to_numpy() for name in (BID, *names)})


def _channel_pairs(found: xr.Dataset) -> "pd.DataFrame":
    names, beats = found[CHANNEL].to_numpy(), found["probability_beats"].transpose(CHANNEL, OTHER).to_numpy()
    rows = [(i, j) for i in range(names.size) for j in range(names.size) if i != j]
    return frame_of(
        {
            "channel": [names[i] for i, _ in rows],
            "other": [names[j] for _, j in rows],
            "probability_beats": [float(beats[i, j]) for i, j in rows],
        }
    )


def _tornado(swings: xr.Dataset) -> "pd.DataFrame":
    columns: dict[str, Any] = {LEVER: swings[LEVER].to_numpy()}
    for end in ("low", "high"):
        each = swings.sel({END: end})
        columns[f"{end}_setting"] = each["stated"].to_numpy()
        columns |= {f"{end}_difference_{name}": each[f"difference_{name}"].to_numpy() for name in STATISTICS}
    return frame_of(columns)


def _offers(offers: xr.Dataset) -> "pd.DataFrame":
    columns: dict[str, Any] = {
        RIVAL: offers[RIVAL].to_numpy(),
        "total_price": offers["total_price"].to_numpy(),
    }
    for name in SUMMARISED:
        if f"{name}_mean" in offers:
            columns |= {f"{name}_{each}": offers[f"{name}_{each}"].to_numpy() for each in STATISTICS}
        else:
            columns[name] = offers[name].to_numpy()
    for name in ("probability_best", "probability_above_reference"):
        if name in offers:
            columns[name] = offers[name].to_numpy()
    return frame_of(columns, {"against": offers.attrs["against"]})


def _advantages(offers: xr.Dataset) -> "pd.DataFrame":
    rows = []
    for rival in offers[RIVAL].to_numpy():
        one = offers.sel({RIVAL: rival})
        for dim, kind, name in (
            (ATTRIBUTE, "attribute", "attribute_advantage"),
            (PRICE_PART, "price", "price_part_advantage"),
        ):
            drawn = f"{name}_mean" in one
            for label in one[dim].to_numpy():
                at = one.sel({dim: label})
                row = {RIVAL: rival, "of": kind, "name": label}
                row["advantage"] = float(at[f"{name}_mean" if drawn else name])
                for end in ("q05", "q95"):
                    row[f"advantage_{end}"] = float(at[f"{name}_{end}"]) if drawn else row["advantage"]
                rows.append(row)
    return frame_of(rows, {"against": offers.attrs["against"]})


def _answers(scores: xr.Dataset) -> "pd.DataFrame":
    columns = {
        each: [*scores[f"score_{each}"].to_numpy().tolist(), float(scores[f"score_all_{each}"])]
        for each in STATISTICS
    }
    asked = scores["answers"].to_numpy().tolist()
    names = [*scores[SEGMENT].to_numpy().tolist(), "all"]
    frame = frame_of({SEGMENT: names, "answers": [*asked, sum(asked)], **columns}, scores.attrs)
    return frame if len(asked) > 1 else frame.tail(1).reset_index(drop=True)


def _facets(scores: xr.Dataset) -> "pd.DataFrame":
    rows = []
    kinds = scores["kind"].to_numpy().tolist()
    for segment in scores[SEGMENT].to_numpy():
        for kind in [*kinds, *(["gap"] if "gap" in scores else [])]:
            for facet in scores["facet"].to_numpy():
                name, where = ("gap", {}) if kind == "gap" else ("score", {"kind": kind})
                at = scores.sel({SEGMENT: segment, "facet": facet} | where)
                row = {SEGMENT: segment, "kind": kind, "facet": facet}
                rows.append(row | {each: float(at[f"{name}_{each}"]) for each in STATISTICS})
    return frame_of(rows, scores.attrs)


def _drivers(kinds: xr.Dataset) -> "pd.DataFrame":
    columns: dict[str, Any] = {ATTRIBUTE: kinds[ATTRIBUTE].to_numpy(), "kind": kinds["kind"].to_numpy()}
    names = [f"{name}_{each}" for name in ("reward", "penalty", "weight") for each in STATISTICS]
    columns |= {
        name: kinds[name].to_numpy() for name in (*names, "probability_matters", "probability_hygiene")
    }
    return frame_of(columns, kinds.attrs)


# What a result is, and the rows it has; the first is taken where nothing is said.
def _actions(plan: xr.Dataset) -> "pd.DataFrame":
    names = (
        "order",
        "customers",
        "spent",
        *(f"net_gain_total_{each}" for each in STATISTICS),
        "probability_pays",
    )
    columns = {name: plan[name].to_numpy() for name in (ACTION, *names)}
    return frame_of(columns, plan.attrs).sort_values("order", ignore_index=True)


def _customer_actions(plan: xr.Dataset) -> "pd.DataFrame":
    columns = {"customer_id": plan["customer"].to_numpy(), ACTION: plan["chosen_action"].to_numpy()}
    columns |= {name: plan[name].to_numpy() for name in ("probability", "rank", "cost", "net_gain_mean")}
    return frame_of(columns, plan.attrs).sort_values("rank", ignore_index=True)


DECISION_TABLES: dict[str, dict[str, Callable[[Any], "pd.DataFrame"]]] = {
    "scenarios": {SCENARIO: _scenarios},
    "actions": {ACTION: _actions, "customer": _customer_actions},
    "channels": {CHANNEL: _channels, "pair": _channel_pairs},
    "budget": {CHANNEL: _budget},
    "bid": {BID: _bids},
    "tornado": {LEVER: _tornado},
    "price and performance": {RIVAL: _offers, ATTRIBUTE: _advantages},
    "score of answers": {SEGMENT: _answers},
    "facet scores": {"facet": _facets},
    "driver kinds": {ATTRIBUTE: _drivers},
}
