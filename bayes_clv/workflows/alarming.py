"""The command ``alarms``: silences after which a customer of a finished run is probably gone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_clv.schema import CUSTOMER, UNSTATED, InputError, argument
from bayes_clv.workflows.choices import Alarming
from bayes_clv.workflows.folders import all_or_nothing, check_out, save_figures
from bayes_clv.workflows.words import amount, check_lines, percent, plain_number

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayes_clv.workflows.folders import Finished


# Columns of times, which the list names with their unit.
TIMES = ("silence", "alarm_silence", "alarm_in")


# Nobody leaves there before a repeat purchase.
NEVER_LEAVE_FIRST = {"bg_nbd": "mbg_nbd", "bg_cnbd_k": "mbg_cnbd_k"}


# What the list of those to wake is called, beside that of alarms.
WIN_BACK = "-win-back"


# How far ahead the summary counts alarms, in days.
AHEAD = (7, 30, 90)


def alarm_run(choice: Alarming) -> list[str]:
    """Write the list of alarms, the most value at risk first, and its figure (.png); return the summary's lines.

    Value at risk is of the run's own forecast: its horizon, margin and discount. Where customers may be asleep
    ``-win-back`` stands beside it, of the same kind: those first whose waking is worth most.

    Raises
    ------
    InputError
        For anything that cannot be used; nothing is then written.
    """
    from bayes_clv.workflows.folders import read_record, read_run

    read_record(choice.run)
    out = Path(choice.out)
    check_out(out, choice.run)
    if choice.most is not None and choice.most < 1:
        raise InputError(
            f"{argument('most', choice.most)} must be at least 1: the number of rows that the table keeps."
        )
    run = read_run(choice.run)

    from bayes_clv.targeting.alarms import churn_alarms
    from bayes_clv.views.frames import table as as_table
    from bayes_clv.workflows.folders import write_table

    value = run.value()
    found = churn_alarms(
        run.buying, run.customers, threshold=choice.threshold, longest=choice.longest, value=value
    )
    table = alarm_list(as_table(found), run)
    shown = found
    if choice.only_alarmed:
        table = table[table["alarmed"]]
        if found["alarmed"].any():
            shown = found.isel({CUSTOMER: found["alarmed"].to_numpy()})
    kept = table if choice.most is None else table.head(choice.most)
    lists = {out.name: kept}
    if run.sleeping:
        woken = as_table(_won_back(run))
        lists[f"{out.stem}{WIN_BACK}{out.suffix}"] = woken if choice.most is None else woken.head(choice.most)
    with all_or_nothing(out) as work:
        for name, each in lists.items():
            write_table(each.round(_digits(each)) if out.suffix == ".csv" else each, work / name)
        notes = save_figures({out.stem: _alarm_figure(shown)}, work)
    return [
        *alarm_summary(found, run, longest=choice.longest),
        *([win_back_summary(woken, run)] if run.sleeping else []),
        "",
        *check_lines(run.failed, where=" in the run"),
        "",
        f"Customers: {out} ({len(kept):,} rows)",
        *([f"Win back: {out.with_stem(f'{out.stem}{WIN_BACK}')}"] if run.sleeping else []),
        f"Figure: {out.with_suffix('.png')}",
        *notes,
    ]


def alarm_list(table: "pd.DataFrame", run: "Finished") -> "pd.DataFrame":
    """Return the alarms with what a caller asks first beside them: frequency, last order, value; times say their unit.

    ``value`` is the mean residual value of the run's forecast; ``last_order`` stands where the customers carry dates.
    """
    from bayes_clv.units import days_per

    unit = run.customers.attrs["time_unit"]
    customers = run.customers.sel({CUSTOMER: table["customer_id"].to_numpy()})
    beside: dict[str, Any] = {"frequency": customers["frequency"].to_numpy()}
    if "first_order" in customers and unit != UNSTATED:
        days = np.rint(customers["recency"].to_numpy() * days_per(unit)).astype("timedelta64[D]")
        last = customers["first_order"].to_numpy().astype("datetime64[D]") + days
        beside["last_order"] = last.astype(object)
    value = run.value()
    if value is not None:
        found = value["value_mean"].sel({CUSTOMER: table["customer_id"].to_numpy()})
        beside["value"] = found.to_numpy()
    times = {name: f"{name}_{unit}s" for name in TIMES} if unit != UNSTATED else {}
    return table.assign(**beside).rename(columns=times)


def _won_back(run: "Finished") -> "xr.Dataset":
    from bayes_clv.targeting.winning_back import win_back

    # Its closed forms know no costs.
    money = {name: each for name, each in run.money.items() if name != "costs"}
    return win_back(run.buying, run.customers, run.horizon, **money)


def win_back_summary(woken: "pd.DataFrame", run: "Finished") -> str:
    """Return how many customers sleep, how many wake by themselves, and whose waking is worth most."""
    from bayes_clv.views.numbers import plural

    unit = run.customers.attrs["time_unit"]
    worth, what = ("value_woken", "value") if "value_woken" in woken else ("purchases_woken", "purchases")
    first = woken.iloc[0]
    currency = run.customers.attrs.get("currency") if what == "value" else None
    return (
        f"About {plain_number(float(woken['probability_asleep'].sum()))} customers are asleep and "
        f"{plain_number(float(woken['probability_gone'].sum()))} gone for ever; "
        f"{plain_number(float(woken['probability_waking'].sum()))} of those asleep wake by themselves within "
        f"{plural(run.horizon, unit)}. To wake first: customer {str(first['customer_id'])!r}, {first['state']}, worth "
        f"{amount(float(first[worth]), currency)} {what} more if awake now (expected level)."
    )


def _digits(table: "pd.DataFrame") -> dict[str, int]:
    """Return the decimals that a spreadsheet is given: money to the hundredth, P(alive) to the thousandth."""
    times = {str(name): 1 for name in table if str(name).startswith(TIMES)}
    chances = {str(name): 3 for name in table if str(name).startswith("probability_")}
    return {**times, **chances, "value_at_risk": 2, "value": 2, "value_woken": 2, "purchases_woken": 3}


def _alarm_figure(alarms: "xr.Dataset") -> Any:
    from bayes_clv.views.plots.alarms import plot_alarms

    return plot_alarms(alarms)


def alarm_summary(alarms: "xr.Dataset", run: "Finished", *, longest: str | None) -> list[str]:
    """Return what a person wants to know of alarms: how many, what is at risk, who first, and when the next come."""
    from bayes_clv.views.numbers import plural

    people, unit = alarms.sizes[CUSTOMER], alarms.attrs["time_unit"]
    currency = run.customers.attrs.get("currency")
    alarmed = alarms["alarmed"].to_numpy()
    of = str(alarms.attrs["of"])
    here = f"P({of.removeprefix('probability_')})"
    lines = [
        f"{int(alarmed.sum()):,} of {people:,} customers are alarmed: {here} is "
        f"{percent(alarms.attrs['threshold'])} or less (expected level)."
    ]
    if "value_at_risk" in alarms:
        what = "revenue" if run.margin == 1 and run.costs is None else "value"
        risk, value = alarms["value_at_risk"].to_numpy(), run.table["value_mean"].to_numpy()
        lines.append(
            f"Value at risk, (1 - {here}) × mean residual {what} over {plural(run.horizon, unit)}: "
            f"{amount(np.nansum(risk[alarmed]), currency)} of the alarmed, "
            f"{amount(np.nansum(risk), currency)} of all, whose residual "
            f"{what} is {amount(np.nansum(value), currency)}."
        )
        # Never NaN alone: a customer without a mean comes last.
        first = int(np.nanargmax(np.where(alarmed, risk, -1.0))) if alarmed.any() else None
        if first is not None:
            lines.append(
                f"Most at risk of the alarmed: customer {str(alarms[CUSTOMER][first].item())!r}, silent for "
                f"{plain_number(float(alarms['silence'][first]))} {unit}s, {here} "
                f"{percent(float(alarms[of][first]))}, value at risk {amount(risk[first], currency)}."
            )
    if "alarm_date" in alarms:
        lines.append(_next_alarms(alarms, run.customers.attrs["until"]))
    if alarmed.any():
        lines.append(
            "Who is likeliest to leave is not who is best kept by a contact (Ascarza 2018): 'bayes-clv target' chooses "
            "those, after an experiment."
        )
    never = int(np.isinf(alarms["alarm_silence"].to_numpy()).sum())
    if never:
        end = f"{10 * float(run.customers['T'].max()):.0f} {unit}s" if longest is None else longest
        family = run.buying.attrs["family"]
        hint = ""
        if family in NEVER_LEAVE_FIRST:
            hint = (
                f" In {family} nobody leaves before a repeat purchase; to be warned of such customers, run with "
                f"--family {NEVER_LEAVE_FIRST[family]}."
            )
        lines.append(f"{never:,} customers have no alarm within a silence of {end}.{hint}")
    return lines


def _next_alarms(alarms: "xr.Dataset", until: str) -> str:
    """Return when the alarms come of those who are not alarmed yet."""
    dates = alarms["alarm_date"].to_numpy().astype("datetime64[D]")
    dates = dates[~alarms["alarmed"].to_numpy() & ~np.isnat(dates)]
    if dates.size == 0:
        return "No further alarm is to come."
    ends = [np.datetime64(until, "D") + np.timedelta64(days, "D") for days in AHEAD]
    counts = ", ".join(f"{int((dates <= end).sum()):,} by {end}" for end in ends)
    return f"Next alarms, of customers who do not buy until then: {counts}; the first on {dates.min()}."
