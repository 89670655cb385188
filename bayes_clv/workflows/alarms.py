"""The command ``alarms``: silences after which a customer of a finished run is probably gone."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.workflows.folders import all_or_nothing, check_out, save_figures
from bayes_clv.workflows.segment import NEVER_LEAVE_FIRST, checks_of, percent, plain_number

if TYPE_CHECKING:
    import xarray as xr

    from bayes_clv.workflows.folders import Finished


# How far ahead the summary counts alarms, in days.
AHEAD = (7, 30, 90)


@dataclass(frozen=True)
class Alarming:
    """Whose alarms to list; ``threshold`` and ``longest`` as ``churn_alarms`` takes them.

    ``only_alarmed`` leaves out those whose alarm is still to come; ``most`` keeps the first rows.
    """

    run: Path
    out: Path = Path("alarms.csv")
    threshold: float = 0.5
    longest: str | None = None
    only_alarmed: bool = False
    most: int | None = None


def alarm_run(choice: Alarming) -> list[str]:
    """Write the list of alarms, the most value at risk first, and its figure (.png); return the summary's lines.

    Value at risk is of the run's own forecast: its horizon, margin and discount.

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
        raise InputError(f"--most {choice.most} must be at least 1: the number of rows that the table keeps.")
    run = read_run(choice.run)

    from bayes_clv.targeting.alarms import churn_alarms
    from bayes_clv.views.frames import table as as_table
    from bayes_clv.workflows.folders import write_table

    value = run.value()
    found = churn_alarms(
        run.buying, run.customers, threshold=choice.threshold, longest=choice.longest, value=value
    )
    table = as_table(found)
    shown = found
    if choice.only_alarmed:
        table = table[table["alarmed"]]
        if found["alarmed"].any():
            shown = found.isel({CUSTOMER: found["alarmed"].to_numpy()})
    kept = table if choice.most is None else table.head(choice.most)
    with all_or_nothing(out) as work:
        write_table(kept, work / out.name)
        notes = save_figures({out.stem: _alarm_figure(shown)}, work)
    return [
        *alarm_summary(found, run, longest=choice.longest),
        *checks_of(run),
        "",
        f"Customers: {out} ({len(kept):,} rows)",
        f"Figure: {out.with_suffix('.png')}",
        *notes,
    ]


def _alarm_figure(alarms: "xr.Dataset") -> Any:
    from bayes_clv.views.plots.alarms import plot_alarms

    return plot_alarms(alarms)


def alarm_summary(alarms: "xr.Dataset", run: "Finished", *, longest: str | None) -> list[str]:
    """Return what a person wants to know of alarms: how many, what is at risk, who first, and when the next come."""
    people, unit = alarms.sizes[CUSTOMER], alarms.attrs["time_unit"]
    alarmed = alarms["alarmed"].to_numpy()
    lines = [
        f"{int(alarmed.sum()):,} of {people:,} customers are alarmed: P(alive) is "
        f"{percent(alarms.attrs['threshold'])} or less (expected level)."
    ]
    if "value_at_risk" in alarms:
        risk, value = alarms["value_at_risk"].to_numpy(), run.table["value_mean"].to_numpy()
        lines.append(
            f"Value at risk, (1 - P(alive)) × mean residual value over {run.horizon:g} {unit}s: "
            f"{plain_number(np.nansum(risk[alarmed]))} of the alarmed, "
            f"{plain_number(np.nansum(risk))} of all, whose residual "
            f"value is {plain_number(np.nansum(value))}."
        )
        # Never NaN alone: a customer without a mean comes last.
        first = int(np.nanargmax(np.where(alarmed, risk, -1.0))) if alarmed.any() else None
        if first is not None:
            lines.append(
                f"Most at risk of the alarmed: customer {str(alarms[CUSTOMER][first].item())!r}, silent for "
                f"{plain_number(float(alarms['silence'][first]))} {unit}s, P(alive) "
                f"{percent(float(alarms['probability_alive'][first]))}, value at risk {plain_number(risk[first])}."
            )
    if "alarm_date" in alarms:
        lines.append(_next_alarms(alarms, run.customers.attrs["until"]))
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
