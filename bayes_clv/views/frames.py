"""One door to pandas: any result as a table that people open in a spreadsheet.

Each result says in ``attrs["result"]`` what it is, and :func:`table` knows which rows that has.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.predictions.averages import STATES, WAKING
from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.scoring.counts import LEVELS
from bayes_clv.scoring.customer_scores import FORECAST
from bayes_clv.scoring.measures import MEASURES
from bayes_clv.segments.segmenting import SEGMENT
from bayes_clv.targeting.winning_back import state_words
from bayes_clv.valuation.parts import PART, SUMS, check_parts
from bayes_clv.views import numbers
from bayes_clv.views.base_frames import BASE_TABLES
from bayes_clv.views.decision_frames import DECISION_TABLES, STATISTICS, frame_of
from bayes_clv.views.score_frames import means_of_scores, pairs_of_scores

if TYPE_CHECKING:
    import pandas as pd


TOTAL = "_total"
# Shares of the customers whose captured purchases are a row.
TOP = (0.1, 0.2)

_SUMMARIES = ("mean", "sd", "q05", "q25", "q50", "q75", "q95")
_HISTORY = ("frequency", "recency", "T")
_MONEY = ("monetary_value", "historical_value")
_FORECAST = ("probability_alive", "purchase_rate_mean", "dropout_mean", "purchases_expected")
_PURCHASES = tuple(f"purchases_{name}" for name in _SUMMARIES)
PURCHASE_COLUMNS = (*_HISTORY, *_FORECAST, *_PURCHASES)
COLUMNS = (
    *(*_HISTORY, *_MONEY, *_FORECAST, *_PURCHASES),
    *(f"value_{name}" for name in _SUMMARIES),
    "lifetime_value_mean",
)
# In families in which a customer may leave at any time dropout is a rate.
INSTEAD = {"dropout_mean": "dropout_rate_mean"}
# Where customers' costs were stated.
NET_COLUMNS = ("value_before_costs_mean", "cost_mean", "probability_loss")
HOLDOUT_COLUMNS = ("holdout_purchases", "holdout_spend")
DECISION_COLUMNS = (
    "contacted",
    "rank",
    "cost",
    "net_gain_mean",
    "net_gain_q05",
    "net_gain_q95",
    "probability_pays",
)


def table(
    result: xr.Dataset | xr.DataTree, by: str | None = None, *, customers: xr.Dataset | None = None
) -> "pd.DataFrame":
    """Return a result as a pandas table.

    Parameters
    ----------
    result
        What a verb of this package returned, see below.
    by
        What a row is; by default the first of those below.
    customers
        Of a posterior's fit: by group, adds ``customers``, how many are of the group.

    Returns
    -------
    pandas.DataFrame
        Units and levels are those of the result's variables; q05 and q95 are the ends of 90 % intervals.

        - ``predict``, ``predict``: by ``"customer"``, the columns of ``customers.parquet``: customer_id, COLUMNS
          in that order (PURCHASE_COLUMNS for purchases alone; dropout_rate_mean for dropout_mean where dropout is a
          rate), of a fit with returns probability_awake, _asleep, _gone and _waking, with costs NET_COLUMNS, and,
          when the customers have a holdout, holdout_purchases and holdout_spend. ``.attrs`` holds the result's.
        - ``segment``, ``cluster``: by ``"segment"``: segment; mean, q05 and q95 of customers and of each total, such as
          ``value_mean``; ``labelled``, how many customers' most probable segment it is, and ``unsure``, those of them
          who are unsure; in the order of the rule. By ``"customer"``: customer_id; the most probable ``segment`` and
          its ``probability``; ``unsure``; and ``probability_{segment}`` of each, which add up to 1.
        - ``churn_alarms``: by ``"customer"``, the most value at risk first (without value, the least probably alive):
          customer_id, alarmed, value_at_risk, probability_alive, silence, alarm_silence, alarm_in (times in the
          customers' unit) and, where the customers carry dates, ``alarm_date``, a ``datetime.date``; the last three
          are missing where there is no alarm within the longest silence looked at. ``.attrs`` holds threshold and
          time unit. Of a fit with returns also probability_awake, _asleep and _gone, with value probability_waking,
          and ``state``, the most probable of the three in words.
        - ``clv.targeting.win_back``: by ``"customer"``, those first whose waking is worth most: customer_id, what it
          says of each, and ``state``.
        - ``clv.predictions.changes``: by ``"customer"``, those most probably fading first: customer_id and what it
          says of each.
        - ``value_parts``: by ``"segment"``, a row a segment and part: segment, customers (mean number), part, mean,
          q05, q95 (money, totals of the segment) and assumption; below the parts come the three sums. By
          ``"customer"``: customer_id and, of every part and sum, {name}_mean, _q05 and _q95.
          ``.attrs["assumptions"]`` lists what was assumed.
        - ``clv.valuation.compare_scenarios``: by ``"scenario"``, the base first: scenario, what is ``stated``, the
          customers ``reached``; mean, q05 and q95 of each total and of its difference to the base, such as
          ``value_difference_mean``; probability_better, loss_if_wrong, probability_best, expected_loss and
          value_difference_error.
        - ``clv.valuation.tornado``: by ``"lever"``, the one that moves most first: lever, and of the low and the
          high end its setting and mean, q05 and q95 of the difference of value to the base.
        - ``clv.valuation.compare_channels``: by ``"channel"``: channel, what is ``stated``, perhaps customers_known,
          customers; mean, q05, q50 and q95 of value, cost and profit of a new customer, q05, q50 and q95 of ratio and
          payback (infinite: not within the horizon), with leads also of conversion and lead_value; probability_pays,
          probability_best, loss_of_keeping, loss_of_stopping, expected_loss and decision. By ``"pair"``: channel,
          other and probability_beats.
        - ``clv.valuation.split_budget``: by ``"channel"``: channel, spend, spent (today); mean, q05 and q95 of
          customers and profit; marginal.
        - ``clv.valuation.best_bid``: by ``"bid"``: bid; mean, q05 and q95 of profit; volume_mean, value_when_won.
        - ``clv.valuation.customer_equity``: by ``"what"``: present, future, equity and the like with mean, q05, q50 and
          q95; by ``"cohort"``, those to come; by ``"top"``, the concentration. ``equity_bridge``: by ``"step"``, with
          opening and closing. ``predict_newcomers``: by ``"cohort"``.
        - ``clv.customers.audit_base``: by ``"period"``, ``"cohort"`` (a row a cohort and period), ``"flow"``,
          ``"decile"`` or ``"orders_made"``.
        - ``clv.perceived.price_performance``: by ``"rival"``: rival, total_price, and performance, relative_value, the
          advantages and fair_price, with draws their mean, q05 and q95 and the probabilities. By ``"attribute"``, a row
          a rival and attribute or part of the price: rival, of, name, advantage and its q05 and q95; they add up to
          the total advantage.
        - ``clv.perceived.net_promoter``, ``satisfied`` and ``mean_answer``: by ``"segment"``, all below: segment,
          answers, mean, q05 and q95.
        - ``clv.perceived.facet_scores``: by ``"facet"``, a row a segment, kind (perceived, expected, gap) and facet:
          mean, q05 and q95.
        - ``clv.perceived.driver_kinds``: by ``"attribute"``: kind; mean, q05 and q95 of reward, penalty and weight; the
          probabilities.
        - ``clv.segments.members``: by ``"customer"``, in the order of the list: customer_id, rank, probability,
          value_there and members.
        - ``clv.valuation.plan_actions``: by ``"action"``, in the order to act in: action, order, customers, spent, net
          gain and the probability that it pays; by ``"customer"``: customer_id, action, probability, rank, cost and net
          gain.
        - ``target``: by ``"customer"``, best first: customer_id, segment, contacted, rank, cost, net gain if contacted
          and the probability that it pays; of several offers also offer, best_offer and probability_best.
        - ``evaluate``: by ``"measure"``: measure, meaning, unit, better ("lower", "higher", "nearer 0", "nearer 1/2",
          "nearer promised" or nothing), a column for each forecast, and for the captured shares ``possible``, what the
          best ranking captures.
        - ``clv.scoring.summarise``: by ``"forecast"``, a row a forecast, or a group and forecast: the group, forecast,
          every score's mean and, with ``_se``, its standard error; of intervals ``covered_90`` and the like.
        - ``clv.scoring.pairwise``: by ``"pair"``, each pair once: forecast, other, difference (the score of the first
          less that of the other, which ``.attrs["metric"]`` names) and its standard error difference_se.
        - ``rolling_origins``: by ``"cell"``, forecast, kind, origin, horizon (in ``.attrs["time_unit"]``), measure and
          value, those of what happened as the forecast ``real``; of intervals ``covered_90`` and the like. By
          ``"forecast"``, a row a forecast and horizon: forecast, kind, horizon, ``origins`` (how many it was scored
          at) and the mean over these of every measure.
        - ``fit``: by ``"parameter"``, a row a population parameter: parameter, meaning, unit, mean, sd, q05, median and
          q95 of its draws; by nuts also ess_bulk, ess_tail and r_hat, missing of what was fixed. By ``"effect"``, a row
          a coefficient: effect (the process or quantity), label, q05, median and q95 of
          exp(coefficient), what it multiplies the quantity or its odds by; probability_above_one; and sentence. By
          ``"group"``, a row a quantity and group: quantity, column, group, q05, median and q95 (in ``unit``) of the
          average customer of the group; average, the median of the average of the groups; probability_above, that the
          group lies above it; pooled, from 0 (its own data decide) to 1 (it is what the others are). Expected level.

    Raises
    ------
    InputError
        For a result of which there is no table, rows that it does not have, and a result that lacks a column.

    Examples
    --------
    >>> table(value).to_parquet("customers.parquet")
    >>> table(evaluation).loc[0, "meaning"]
    'mean absolute error of the mean'
    >>> table(buying)["parameter"].tolist()[:4]
    ['r', 'alpha', 'a', 'b']
    >>> table(by_channel, by="group")["group"].tolist()
    ['search', 'shop', 'social']
    >>> draws = clv.simulate(buying, customers, draws=50, seed=1)
    >>> found = clv.segment(draws, clv.rule("Buyers", {"none": "purchases == 0", "some": "purchases > 0"}))
    >>> table(found, by="segment").columns.tolist()[:3]
    ['segment', 'customers_mean', 'customers_q05']
    >>> table(found, by="customer").columns.tolist()
    ['customer_id', 'segment', 'probability', 'unsure', 'probability_none', 'probability_some']
    """
    what = _result_of(result)
    tables = TABLES[what]
    rows = next(iter(tables)) if by is None else by
    if rows not in tables:
        known = " or ".join(repr(each) for each in tables)
        raise InputError(f"There is no table of {what} by={by!r}. Give by={known}.")
    if customers is not None and (what, rows) != ("posterior", "group"):
        raise InputError(
            f"customers= counts those of each group of a posterior; a table of {what} by {rows} needs "
            "none. Leave it out."
        )
    if isinstance(result, xr.DataTree) and customers is not None:
        return _groups(result, customers)
    return tables[rows](result)


def _result_of(result: Any) -> str:
    """Return what a result is, of which there is a table."""
    if isinstance(result, xr.DataTree):
        what = str(result.attrs.get("result", "posterior"))
    elif isinstance(result, xr.Dataset):
        what = str(result.attrs.get("result", ""))
    else:
        raise InputError(
            f"A table is made of what a verb of bayes_clv returned, not of a {type(result).__name__}."
        )
    if what not in TABLES:
        said = f"of what attrs['result'] says, {what!r}" if what else "of a dataset without attrs['result']"
        raise InputError(f"There is no table {said}. There are tables of {', '.join(TABLES)}.")
    return what


def _lacking(result: xr.Dataset, names: list[str], what: str) -> None:
    missing = [name for name in names if name not in result]
    if missing:
        raise InputError(f"The {what} lack {', '.join(missing)}. Give the result as it was returned.")


def _customers(value: xr.Dataset) -> "pd.DataFrame":
    wanted = COLUMNS if "value_mean" in value else PURCHASE_COLUMNS
    columns = [INSTEAD[name] if INSTEAD.get(name) in value else name for name in wanted]
    _lacking(value, columns, "predictions")
    further = (*STATES, WAKING, *NET_COLUMNS, *HOLDOUT_COLUMNS)
    names = [*columns, *(name for name in further if name in value)]
    ids = np.asarray(value[CUSTOMER])
    return frame_of({"customer_id": ids, **{name: np.asarray(value[name]) for name in names}}, value.attrs)


def _memberships(segments: xr.Dataset) -> "pd.DataFrame":
    _lacking(segments, ["membership", "most_likely"], "segments")
    membership = segments["membership"].transpose(CUSTOMER, SEGMENT).to_numpy()
    columns: dict[str, Any] = {
        "customer_id": segments[CUSTOMER].to_numpy(),
        "segment": segments["most_likely"].to_numpy(),
        "probability": segments["most_likely_probability"].to_numpy(),
        "unsure": segments["unsure"].to_numpy(),
    }
    return frame_of(
        columns
        | {f"probability_{name}": membership[:, i] for i, name in enumerate(segments[SEGMENT].to_numpy())}
    )


def totals_of(segments: xr.Dataset) -> list[str]:
    """Return the quantities that were added up, in their order."""
    return [str(name).removesuffix(TOTAL) for name in segments.data_vars if str(name).endswith(TOTAL)]


def _sizes(segments: xr.Dataset) -> "pd.DataFrame":
    _lacking(segments, ["membership", "most_likely"], "segments")
    names = segments[SEGMENT].to_numpy()
    labels, unsure = segments["most_likely"].to_numpy(), segments["unsure"].to_numpy()
    columns: dict[str, Any] = {SEGMENT: names}
    columns |= {f"customers_{each}": segments[f"size_{each}"].to_numpy() for each in STATISTICS}
    columns["labelled"] = [int((labels == name).sum()) for name in names]
    columns["unsure"] = [int(((labels == name) & unsure).sum()) for name in names]
    for total in totals_of(segments):
        columns |= {f"{total}_{each}": segments[f"{total}{TOTAL}_{each}"].to_numpy() for each in STATISTICS}
    return frame_of(columns)


def _alarms(alarms: xr.Dataset) -> "pd.DataFrame":
    columns: dict[str, Any] = {
        "customer_id": alarms[CUSTOMER].to_numpy(),
        "alarmed": alarms["alarmed"].to_numpy(),
    }
    if "value_at_risk" in alarms:
        columns["value_at_risk"] = alarms["value_at_risk"].to_numpy()
    states = [name for name in (*STATES, WAKING) if name in alarms]
    for name in ("probability_alive", *states, "silence"):
        columns[name] = alarms[name].to_numpy()
    if states:
        columns["state"] = states_in_words(alarms)
    for name in ("alarm_silence", "alarm_in"):
        time = alarms[name].to_numpy()
        columns[name] = np.where(np.isfinite(time), time, np.nan)
    if "alarm_date" in alarms:
        # NaT becomes None: no alarm, no date.
        columns["alarm_date"] = alarms["alarm_date"].to_numpy().astype("datetime64[D]").astype(object)
    of = str(alarms.attrs.get("of", "probability_alive"))
    by, rising = ("value_at_risk", False) if "value_at_risk" in alarms else (of, True)
    frame = frame_of(columns).sort_values(by, ascending=rising, kind="stable", ignore_index=True)
    frame.attrs = {name: alarms.attrs[name] for name in ("threshold", "time_unit") if name in alarms.attrs}
    return frame


def states_in_words(found: xr.Dataset) -> list[str]:
    """Return of each customer in which state it most probably is, in words, and how likely one asleep is soon back."""
    chances = zip(*(found[name].to_numpy().tolist() for name in STATES), strict=True)
    if WAKING not in found or not math.isfinite(found.attrs["horizon"]):
        return [state_words(awake, asleep, gone) for awake, asleep, gone in chances]
    ahead, waking = numbers.horizon(found), found[WAKING].to_numpy().tolist()
    return [
        state_words(awake, asleep, gone, soon, ahead)
        for (awake, asleep, gone), soon in zip(chances, waking, strict=True)
    ]


def _won_back(found: xr.Dataset) -> "pd.DataFrame":
    columns = {str(name): each.to_numpy() for name, each in found.data_vars.items()}
    frame = frame_of({"customer_id": found[CUSTOMER].to_numpy()} | columns, found.attrs)
    frame["state"] = states_in_words(found)
    by = "value_woken" if "value_woken" in found else "purchases_woken"
    return frame.sort_values(by, ascending=False, kind="stable", ignore_index=True)


def _changes(changes: xr.Dataset) -> "pd.DataFrame":
    columns = {str(name): each.to_numpy() for name, each in changes.data_vars.items()}
    frame = frame_of({"customer_id": changes[CUSTOMER].to_numpy()} | columns, changes.attrs)
    return frame.sort_values("probability_fading", ascending=False, kind="stable", ignore_index=True)


def _part_columns(parts: xr.Dataset, stem: str, tail: str) -> dict[tuple[str, str], np.ndarray]:
    """Return every part and sum's statistics, in the order of the parts."""
    check_parts(parts)
    return {
        (name, each): parts[f"{name}{tail}_{each}"].to_numpy()
        if name in SUMS
        else parts[f"{stem}_{each}"].sel({PART: name}).to_numpy()
        for name in [*parts[PART].to_numpy().tolist(), *SUMS]
        for each in STATISTICS
    }


def _customer_parts(parts: xr.Dataset) -> "pd.DataFrame":
    columns = _part_columns(parts, "value", "")
    ids = {"customer_id": parts[CUSTOMER].to_numpy()}
    return frame_of(ids | {f"{name}_{each}": values for (name, each), values in columns.items()}, parts.attrs)


def _segment_parts(parts: xr.Dataset) -> "pd.DataFrame":
    columns = _part_columns(parts, "value_total", "_total")
    assumptions = [*parts["assumption"].to_numpy().tolist(), *SUMS.values()]
    said = dict(zip([*parts[PART].to_numpy().tolist(), *SUMS], assumptions, strict=True))
    rows = [
        {SEGMENT: segment, "customers": float(parts["size_mean"][i]), PART: name}
        | {each: float(columns[name, each][i]) for each in STATISTICS}
        | {"assumption": assumption}
        for i, segment in enumerate(parts[SEGMENT].to_numpy().tolist())
        for name, assumption in said.items()
    ]
    return frame_of(rows, parts.attrs)


def _decision(decision: xr.Dataset) -> "pd.DataFrame":
    columns: dict[str, Any] = {
        "customer_id": decision[CUSTOMER].to_numpy(),
        "segment": decision["customer_segment"].to_numpy(),
    }
    if "chosen_offer" in decision:
        columns["offer"] = decision["chosen_offer"].to_numpy()
        columns |= {name: decision[name].to_numpy() for name in ("best_offer", "probability_best")}
    columns |= {name: decision[name].to_numpy() for name in DECISION_COLUMNS}
    return frame_of(columns).sort_values("rank", kind="stable", ignore_index=True)


def _members(found: xr.Dataset) -> "pd.DataFrame":
    names = [name for name in ("rank", "probability", "value_there", "members") if name in found]
    columns = {"customer_id": found[CUSTOMER].to_numpy()} | {name: found[name].to_numpy() for name in names}
    return frame_of(columns, found.attrs)


def _measures(evaluation: xr.Dataset) -> "pd.DataFrame":
    names = [str(name) for name in evaluation[FORECAST].to_numpy()]
    rows = []
    for name, measure in MEASURES.items():
        if name not in evaluation:
            continue
        values = evaluation[name]
        cuts: list[tuple[str, str, dict[str, Any]]] = [("", "", {})]
        if "interval" in values.dims:
            cuts = [(f"_{level}", f", {level} %", {"interval": level}) for level in LEVELS]
        elif "share" in values.dims:
            cuts = [(f"_{round(100 * top)}", f" {top:.0%}", {"share": top}) for top in TOP]
        for suffix, words, where in cuts:
            at = values.sel(where, method="nearest") if where else values
            row = {
                "measure": name + suffix,
                "meaning": str(values.attrs.get("long_name", measure.long_name)) + words,
                "unit": measure.unit,
                "better": measure.better,
                **dict(zip(names, at.to_numpy().tolist(), strict=True)),
            }
            if "share" in where:
                row["possible"] = float(evaluation[f"{name}_best"].sel(where, method="nearest"))
            rows.append(row)
    return frame_of(rows)


_CELL = ("origin", "horizon")


def _of_cells(scores: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return what is known of each cell: measures (forecast, origin, horizon), and what happened (origin, horizon)."""
    found: dict[str, xr.DataArray] = {}
    for name, values in scores.data_vars.items():
        if "interval" in values.dims:
            found |= {f"{name}_{level}": values.sel(interval=level, drop=True) for level in LEVELS}
        elif set(_CELL) <= set(values.dims):
            found[str(name)] = values
    return found


def _cells(scores: xr.Dataset) -> "pd.DataFrame":
    days = scores["origin"].to_numpy().astype("datetime64[D]").astype(object)
    lengths = scores["horizon"].to_numpy()
    named = list(zip(scores[FORECAST].to_numpy(), scores["kind"].to_numpy(), strict=True))
    columns: dict[str, list[Any]] = {name: [] for name in ("forecast", "kind", *_CELL, "measure", "value")}
    for measure, values in _of_cells(scores).items():
        rows = named if FORECAST in values.dims else [("real", "real")]
        numbers = values.transpose(..., *_CELL).to_numpy().reshape(len(rows), days.size, lengths.size)
        for place in np.ndindex(numbers.shape):
            who, day, length = rows[place[0]], days[place[1]], lengths[place[2]]
            for name, cell in zip(columns, (*who, day, length, measure, numbers[place]), strict=True):
                columns[name].append(cell)
    return frame_of(columns, {"time_unit": scores.attrs["time_unit"]})


def _origin_means(scores: xr.Dataset) -> "pd.DataFrame":
    known = {name: each for name, each in _of_cells(scores).items() if FORECAST in each.dims}
    rows = []
    for i, name in enumerate(scores[FORECAST].to_numpy()):
        for j, length in enumerate(scores["horizon"].to_numpy()):
            at = {name: each.isel({FORECAST: i, "horizon": j}).to_numpy() for name, each in known.items()}
            scored = np.any([~np.isnan(values) for values in at.values()], axis=0)
            means = {
                name: np.mean(values[~np.isnan(values)])
                if scored.any() and not np.isnan(values).all()
                else np.nan
                for name, values in at.items()
            }
            kind = scores["kind"].to_numpy()[i]
            rows.append(
                {"forecast": name, "kind": kind, "horizon": length, "origins": int(scored.sum())} | means
            )
    return frame_of(rows, {"time_unit": scores.attrs["time_unit"]})


def _parameters(posterior: xr.DataTree) -> "pd.DataFrame":
    from bayes_clv.views.plots.parameters import parameter_rows

    return frame_of(parameter_rows(posterior))


def _effects(posterior: xr.DataTree) -> "pd.DataFrame":
    from bayes_clv.views.plots.effects import effect_rows

    return frame_of(effect_rows(posterior))


def _groups(posterior: xr.DataTree, customers: xr.Dataset | None = None) -> "pd.DataFrame":
    from bayes_clv.views.plots.effects import group_rows

    return frame_of(group_rows(posterior, customers))


# What a result is, and the rows it has; the first is taken where nothing is said.
TABLES: dict[str, dict[str, Callable[[Any], "pd.DataFrame"]]] = {
    "prediction": {"customer": _customers},
    "segments": {"segment": _sizes, "customer": _memberships},
    "members": {"customer": _members},
    "alarms": {"customer": _alarms},
    "value parts": {"segment": _segment_parts, "customer": _customer_parts},
    "changes": {"customer": _changes},
    "win-back": {"customer": _won_back},
    "decision": {"customer": _decision},
    "evaluation": {"measure": _measures},
    "summary": {"forecast": means_of_scores},
    "pairwise": {"pair": pairs_of_scores},
    "rolling origins": {"cell": _cells, "forecast": _origin_means},
    "posterior": {"parameter": _parameters, "effect": _effects, "group": _groups},
    **DECISION_TABLES,
    **BASE_TABLES,
}
