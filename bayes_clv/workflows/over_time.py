"""Columns over time of a run: read from their table, with their plan, refused where it is too short, said in words."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bayes_clv.language import say
from bayes_clv.schema import CUSTOMER, InputError, argument
from bayes_clv.workflows.described import read_described
from bayes_clv.workflows.settings import Settings

if TYPE_CHECKING:
    import xarray as xr


def with_changes(settings: Settings, customers: "xr.Dataset") -> tuple["xr.Dataset", int]:
    """Return the customers with their columns over time and the plan, and how many rows are of nobody among them."""
    wanted = None if settings.posteriors is None else read_by(settings.posteriors)
    if settings.over_time is None:
        if wanted:
            raise InputError(
                f"The posteriors go by columns over time ({', '.join(wanted)}). Name the table that has them, a row "
                f"for each change: {argument('over_time')}."
            )
        return customers, 0
    if wanted is not None and not wanted:
        raise InputError(
            f"The table of {argument('over_time')} serves nothing: the posteriors were fitted without. Leave it out, "
            "or fit again."
        )
    from bayes_clv.customers.checks import customer_ids
    from bayes_clv.customers.over_time import CARRY, with_columns_over_time, with_plan

    table = read_described(settings.over_time, settings.customer_id, "over_time")
    if "date" not in table.columns:
        table = table.rename(columns={settings.date: "date"})
    strangers = 0
    if "customer_id" in table.columns:
        known = np.isin(customer_ids(table["customer_id"]), customers[CUSTOMER].to_numpy())
        # Of none of them: the ids are others, which is to be said.
        strangers = int((~known).sum()) if known.any() else 0
    found = with_columns_over_time(
        customers,
        table,
        wanted,
        before=settings.over_time_before,
        others="leave_out" if strangers else "refuse",
    )
    return with_plan(found, CARRY) if settings.over_time_plan == CARRY else found, strangers


def read_by(folder: Path) -> list[str]:
    """Return the columns over time that the posterior of an earlier run goes by."""
    from bayes_clv.inference.over_time import read_columns
    from bayes_clv.inference.posterior import load

    drawn = read_columns(load(folder / "buying.nc"))
    return [] if drawn is None else list(drawn.columns.names)


def refuse_unplanned(customers: "xr.Dataset", horizon: str | float) -> None:
    """Refuse a forecast, and a holdout, to a day that the plan does not reach; before anything is fitted."""
    from bayes_clv.customers.over_time import known_for, names_over_time
    from bayes_clv.families.own_time import refuse_unknown
    from bayes_clv.units import duration

    names = names_over_time(customers)
    if names:
        ahead = duration(horizon, str(customers.attrs["time_unit"]))
        longest = max(ahead, float(customers.attrs.get("holdout_duration", 0.0)))
        refuse_unknown(longest, known_for(customers, names))


def changing_words(customers: "xr.Dataset", strangers: int) -> list[str]:
    """Return in sentences what goes with columns over time, and what is planned of them; none without."""
    from bayes_clv.customers.over_time import EVER, KNOWN, names_over_time

    names = names_over_time(customers)
    if not names:
        return []
    known = str(customers[names[0]].attrs[KNOWN])
    return [
        say(
            "Columns over time: {columns}. With them rates do not drift, nobody comes back (drift and returns are "
            "off), and weeks and months are not replayed.",
            columns=", ".join(names),
        ),
        say("The forecast takes their last known values to stay.")
        if known == EVER
        else say("The forecast takes them as the table has them, to {day}.", day=known),
        *(
            [
                say(
                    "{count} rows of their table are of nobody who had bought by {day}, and left out.",
                    count=f"{strangers:,}",
                    day=str(customers.attrs["until"]),
                )
            ]
            if strangers
            else []
        ),
    ]
