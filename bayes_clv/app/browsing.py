"""What the page asks of a run: tables, sentences and figures, each a function of the opened run and of what was typed.

**Why levers of money answer at once**: scenarios share one simulation, of which sums over customers are kept
(``valuation.scenarios.World``). A lever of rates draws the same customers once more, so that the page takes so many
draws that this stays below a second (``FUTURES``); differences are paired, and what the simulation leaves open of them
is said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.views import numbers

if TYPE_CHECKING:
    import pandas as pd

    from bayes_clv.predictions.simulation import Simulation
    from bayes_clv.valuation.scenarios import World
    from bayes_clv.views.style import Drawing
    from bayes_clv.workflows.folders import Finished

# So many futures of customers answer in under a second on two free cores, page included (100,000 x 50).
FUTURES = 5_000_000
DRAWS_AT_MOST, DRAWS_AT_LEAST = 400, 40
# A customer alone is nothing to draw.
DRAWS_OF_ONE = 2000

# The levers of the page, as ``clv.valuation.scenario`` names them: those that are changes, and those that are amounts.
CHANGES = ("price", "spend", "purchase_rate", "dropout")
AMOUNTS = ("cost_per_order", "cost_to_serve", "contact_cost")

# Where customers stand by the probability of a segment.
LISTS = "the CSV below has each customer's probability of each segment"
RULES = {"Lifecycle": "lifecycle", "ABC, by value": "abc"}
OWN_RULE = """name = "My kinds"

[[segments]]
name = "regulars"
where = "purchases >= 2"

[[segments]]
name = "once more"
where = "purchases == 1"

[[segments]]
name = "never again"
otherwise = true
"""


@dataclass(frozen=True)
class Opened:
    """A run that is looked at, with its name, and how many draws its segments and scenarios are of."""

    run: "Finished"
    name: str
    draws: int

    @cached_property
    def simulation(self) -> "Simulation":
        """Return the futures of all customers as far as the run looked; nothing is drawn yet."""
        from bayes_clv.predictions.simulation import simulate

        return simulate(
            self.run.buying,
            self.run.customers,
            self.run.horizon,
            **self.run.money,
            draws=self.draws,
            seed=self.run.seed,
        )

    @cached_property
    def world(self) -> "World":
        """Return what scenarios are worked out in, which keeps what it has drawn."""
        from bayes_clv.valuation.scenarios import World

        return World.of(self.simulation, None)

    @property
    def with_money(self) -> bool:
        """Return whether the run has amounts."""
        return self.run.spending is not None

    @property
    def unit(self) -> str:
        """Return the customers' unit of time."""
        return str(self.run.customers.attrs["time_unit"])

    @property
    def people(self) -> int:
        """Return how many customers there are."""
        return int(self.run.customers.sizes[CUSTOMER])

    @property
    def ahead(self) -> str:
        """Return how far the run looked, in words."""
        return numbers.plural(self.run.horizon, self.unit)

    @cached_property
    def listed(self) -> "pd.DataFrame":
        """Return a row a customer: the columns that people look at, best first."""
        import pandas as pd

        table, customers = self.run.table, self.run.customers
        columns: dict[str, Any] = {"customer": table["customer_id"].astype(str)}
        if self.with_money:
            columns |= _with_ends(table, "value", "worth")
        columns["P(alive)"] = table["probability_alive"].round(3)
        if "first_order" in customers:
            columns["last order"] = _last_orders(customers)
        else:
            columns[f"silent {self.unit}s"] = (table["T"] - table["recency"]).round(1)
        columns["bought again"] = table["frequency"]
        columns |= _with_ends(table, "purchases", "will buy")
        for name in texts_of(customers):
            columns[name] = customers[name].to_numpy()
        if "holdout_purchases" in table:
            columns["really bought"] = table["holdout_purchases"]
        frame = pd.DataFrame(columns)
        return frame.sort_values(
            "worth" if self.with_money else "will buy", ascending=False, kind="stable", ignore_index=True
        )

    @property
    def ordered(self) -> str:
        """Return who comes first in the table, in words."""
        return "those worth most" if self.with_money else "those who will buy most"


def open_run(folder: str | Path, draws: int | None = None) -> Opened:
    """Return a finished run to look at.

    Parameters
    ----------
    folder
        That ``bayes-clv run`` or ``demo`` wrote.
    draws
        Posterior draws of segments and scenarios; by default as many as a second allows on two cores.

    Raises
    ------
    InputError
        For a folder that is no finished run.
    """
    from bayes_clv.workflows.folders import read_run

    run = read_run(folder)
    if draws is None:
        draws = FUTURES // max(1, run.customers.sizes[CUSTOMER])
        draws = min(max(draws, DRAWS_AT_LEAST), DRAWS_AT_MOST)
    return Opened(run, Path(folder).resolve().name, draws)


def texts_of(customers: "xr.Dataset") -> list[str]:
    """Return the columns of text that the customers carry."""
    return [
        str(name)
        for name, column in customers.data_vars.items()
        if column.dims == (CUSTOMER,) and column.dtype.kind in "OUT"
    ]


def _with_ends(table: "pd.DataFrame", stem: str, shown: str) -> dict[str, Any]:
    """Return the columns of a mean and its 90 % interval."""
    ends = {"mean": shown, "q05": f"{shown}, low", "q95": f"{shown}, high"}
    return {title: table[f"{stem}_{name}"].round(2) for name, title in ends.items()}


def _last_orders(customers: "xr.Dataset") -> np.ndarray:
    from bayes_clv.units import days_per

    days = np.rint(customers["recency"].to_numpy() * days_per(str(customers.attrs["time_unit"])))
    first = customers["first_order"].to_numpy().astype("datetime64[D]")
    last: np.ndarray = (first + days.astype("timedelta64[D]")).astype(str)
    return last


# Customers.
def customers_where(opened: Opened, where: str = "") -> "pd.DataFrame":
    """Return the customers of whom a condition holds, all where it is empty.

    A condition compares columns of the table that is shown, of the run's table of customers, or texts that they carry:
    "worth > 100", "frequency >= 2 and probability_alive > 0.5", "channel = 'web'".

    Raises
    ------
    InputError
        For a condition that cannot be read or names no column.
    """
    frame = opened.listed
    if where.strip():
        chosen = opened.run.table["customer_id"].astype(str)[_inside(opened, where)]
        frame = frame[frame["customer"].isin(set(chosen))]
    return frame.reset_index(drop=True)


def _inside(opened: Opened, where: str) -> np.ndarray:
    from bayes_clv.conditions import row_tests
    from bayes_clv.valuation.assumptions import rows_where

    place = "The condition"
    known = _columns(opened)
    unknown = next((each.column for each in row_tests(where, place) if each.column not in known), None)
    if unknown is not None:
        raise InputError(f"{place}: there is no column {unknown!r}. {names_said(opened)}")
    ids = opened.run.customers[CUSTOMER].to_numpy()
    data = {name: (CUSTOMER, values) for name, values in known.items()}
    return rows_where(xr.Dataset(data, {CUSTOMER: ids}), place, where)


def _columns(opened: Opened) -> dict[str, np.ndarray]:
    """Return what a condition on customers may compare: the table's headings, the run's columns, and the customers'."""
    table, customers = opened.run.table, opened.run.customers
    known = {str(name): table[name].to_numpy() for name in table if name != "customer_id"}
    known |= {name: customers[name].to_numpy() for name in texts_of(customers)}
    order = opened.listed.set_index("customer").reindex(table["customer_id"].astype(str))
    headings = [str(name) for name in order if name not in known and order[name].dtype.kind in "iuf"]
    return known | {name: order[name].to_numpy() for name in headings}


def names_said(opened: Opened) -> str:
    """Return in a sentence what a condition on customers may compare."""
    plain = [
        name for name in _columns(opened) if name.isidentifier() and "_q" not in name and "_sd" not in name
    ]
    return (
        f"A condition compares the table's columns (those of several words between backticks, such as `bought again` "
        f"> 2), and {', '.join(plain)}."
    )


@dataclass(frozen=True)
class One:
    """A customer: what is said of it, and its figures, the history perhaps with the reason why there is none."""

    words: list[str]
    future: "Drawing"
    history: "Drawing | None"
    why: str = ""


def one_customer(opened: Opened, customer: str) -> One:
    """Return what there is to know of one customer.

    Raises
    ------
    InputError
        For an id that the run does not have.
    """
    ids = opened.run.customers[CUSTOMER].to_numpy().astype(str)
    found = np.flatnonzero(ids == customer.strip())
    if found.size == 0:
        raise InputError(f"The run has no customer {customer.strip()!r}.")
    place = int(found[0])
    row = opened.run.table.iloc[place]
    history, why = _history(opened, place, ids[place])
    return One(_words(opened, row), _future(opened, place, ids[place]), history, why)


def _words(opened: Opened, row: Any) -> list[str]:
    from bayes_clv.units import in_plural
    from bayes_clv.views.plots.scenarios import chance_words

    currency = opened.run.customers.attrs.get("currency")
    again = int(row["frequency"])
    bought = "has not bought again" if again == 0 else f"has bought {again:,} time{'s'[: again > 1]} again"
    silent = f"{float(row['T'] - row['recency']):.1f} {in_plural(opened.unit)}"
    words = [
        f"{bought.capitalize()}; last order {silent} before the end of the data. It is still a customer with a "
        f"probability of {chance_words(float(row['probability_alive']))}.",
        f"In the next {opened.ahead}: {_range(row, 'purchases')} purchases (90 %)"
        + (
            f", worth {_range(row, 'value', currency)} (90 %), {numbers.money(row['value_mean'], currency)} on average."
            if opened.with_money
            else "."
        ),
    ]
    if "holdout_purchases" in row:
        words.append(f"It really bought {int(row['holdout_purchases']):,} times.")
    return words


def _range(row: Any, stem: str, currency: str | None = None) -> str:
    low, high = (numbers.money(float(row[f"{stem}_{end}"]), currency) for end in ("q05", "q95"))
    return f"{low} to {high}"


def _future(opened: Opened, place: int, name: str) -> "Drawing":
    from bayes_clv.predictions.simulation import simulate
    from bayes_clv.views.plots.future import plot_future

    alone = simulate(
        opened.run.buying,
        opened.run.customers.isel({CUSTOMER: [place]}),
        opened.run.horizon,
        **opened.run.money,
        draws=DRAWS_OF_ONE,
        seed=opened.run.seed,
    )
    return plot_future(alone, customer=name)


def _history(opened: Opened, place: int, name: str) -> "tuple[Drawing | None, str]":
    """Return the customer's rate and P(alive) over time, or why there is no such figure."""
    from bayes_clv.customers.sequences import PURCHASE_START, PURCHASE_TIMES
    from bayes_clv.families.contract import Forecast, need
    from bayes_clv.families.registry import family
    from bayes_clv.units import days_per
    from bayes_clv.views.plots.histories import plot_alive_history, plot_rate_history

    customers, buying = opened.run.customers, opened.run.buying
    if PURCHASE_TIMES not in customers or "first_order" not in customers:
        return None, "The run did not keep the days of single orders. Run again to see them."
    start, size = int(customers[PURCHASE_START][place]), int(customers["frequency"][place])
    ages = np.r_[0.0, customers[PURCHASE_TIMES].to_numpy()[start : start + size]]
    first = customers["first_order"].to_numpy()[place].astype("datetime64[D]")
    dates = first + np.rint(ages * days_per(opened.unit)).astype("timedelta64[D]")
    # A rate of then is another one in operational time.
    drifts = need(family(str(buying.attrs["family"])), Forecast).rate_ago is not None
    plot = plot_rate_history if drifts and "calendar" not in buying.attrs else plot_alive_history
    try:
        return plot(buying, dates, str(customers.attrs["until"]), customer=name), ""
    except InputError as error:
        return None, str(error)


# Segments.
def segments_of(opened: Opened, rule: str) -> "xr.Dataset":
    """Return the segments of a rule: one of RULES by its title, or the text of a rule file.

    Raises
    ------
    InputError
        As ``clv.read_rule`` and ``clv.segment``, with the line of the text.
    """
    from bayes_clv.segments import presets
    from bayes_clv.segments.rule_files import rule_of_text
    from bayes_clv.segments.segmenting import segment

    if rule in RULES:
        given = {"sleeping": opened.run.sleeping} if RULES[rule] == "lifecycle" else {}
        made = getattr(presets, RULES[rule])(**given)
    else:
        made = rule_of_text(rule, "Your rule")
    return segment(opened.simulation, made, totals=("value",) if opened.with_money else ("purchases",))


# Scenarios.
def what_if(opened: Opened, levers: Mapping[str, float], where: str = "") -> "xr.Dataset":
    """Return a scenario beside the base, as ``clv.valuation.compare_scenarios`` does.

    Parameters
    ----------
    levers
        Of CHANGES the change as a share (0.05 is 5 % more), of the others what they are set to. Those that change
        nothing are left out, so that a page with all sliders at rest shows a difference of exactly 0.
    where
        To whom it applies; without it to everybody.

    Raises
    ------
    InputError
        A run without amounts; a lever or condition that cannot be.
    """
    from bayes_clv.valuation.scenarios import summarized
    from bayes_clv.valuation.stated import scenario

    given: dict[str, Any] = {}
    for name, setting in levers.items():
        if name in CHANGES and setting != 0:
            given[name] = f"{100 * setting:+.10g} %"
        elif name not in CHANGES and setting != at_rest(opened, name):
            given[name] = setting
    world = opened.world
    made = scenario("What if", where=where.strip() or None, **given)
    return summarized(world, [world.base, world.settle(made)])


def totals_of(comparison: "xr.Dataset") -> "pd.DataFrame":
    """Return a row a total: of the base, of the scenario, and their difference with its 90 % interval."""
    import pandas as pd

    from bayes_clv.valuation.scenarios import TOTALS

    rows = []
    for name in TOTALS:
        base, scenario = (float(comparison[f"{name}_mean"][place]) for place in (0, -1))
        ends = {
            end: float(comparison[f"{name}_difference_{key}"][-1])
            for key, end in (("mean", "difference"), ("q05", "low"), ("q95", "high"))
        }
        rows.append({"over the horizon": name, "as it is": base, "what if": scenario} | ends)
    return pd.DataFrame(rows).round(2)


def can_change(opened: Opened) -> tuple[str, ...]:
    """Return the levers that the run's family can have."""
    law, family = opened.simulation.plan.law, opened.simulation.buying.family
    lacking = () if law.change is not None else ("purchase_rate", "dropout")
    if "dropout" not in family.processes:
        lacking = (*lacking, "dropout")
    # One number would take the place of what is each customer's own.
    lacking = (*lacking, *opened.world.base.own)
    return tuple(name for name in (*CHANGES, "margin", *AMOUNTS) if name not in lacking)


def at_rest(opened: Opened, lever: str) -> float:
    """Return where the slider of an amount stands that changes nothing: at the run's own."""
    stands = float(opened.world.base.levers[lever][0])
    # As the slider's steps are.
    return round(stands, 2) if lever == "margin" else stands


def dearest(opened: Opened) -> float:
    """Return a cost at which a page's slider may end: twice what a customer is worth, to one figure."""
    mean = 2 * float(opened.run.table["value_mean"].mean())
    if not np.isfinite(mean) or mean <= 0:
        return 10.0
    step = 10.0 ** np.floor(np.log10(mean))
    return float(np.ceil(mean / step) * step)


def earned_words(opened: Opened) -> str | None:
    """Return what value is, in words; None where there is no money."""
    from bayes_clv.predictions.own_costs import margin_of
    from bayes_clv.workflows.words import earned

    if not opened.with_money:
        return None
    run = opened.run
    return earned(margin_of(run.costs, run.margin), run.annual_discount_rate, run.costs)


# Channels.
def channels_of(opened: Opened, by: str) -> "xr.Dataset":
    """Return what a new customer of each group is worth over the run's horizon.

    Raises
    ------
    InputError
        A run without amounts or without such groups.
    """
    from bayes_clv.valuation.channels import channel_values

    if opened.run.spending is None:
        raise InputError("The run is of purchases alone, and channels are of money. Run again with amounts.")
    return channel_values(
        opened.run.buying,
        opened.run.spending,
        by,
        horizon=opened.run.horizon,
        margin=opened.run.margin,
        annual_discount_rate=opened.run.annual_discount_rate,
        costs=opened.run.costs,
        customers=opened.run.customers,
        draws=DRAWS_AT_MOST,
    )


def names_of(worth: "xr.Dataset") -> list[str]:
    """Return the channels' names."""
    return [str(each) for each in worth["channel"].to_numpy()]


def costs_of(stated: Mapping[str, str], of_all: str) -> dict[str, float] | None:
    """Return what a customer of each channel costs, ``of_all`` where nothing is written; None where neither is.

    Raises
    ------
    InputError
        For what is no amount.
    """
    written = {name: text.strip() or of_all.strip() for name, text in stated.items()}
    if not all(written.values()):
        return None
    found = {}
    for name, text in written.items():
        try:
            found[name] = float(text)
        except ValueError:
            raise InputError(f"The cost of {name!r} is {text!r}. Write an amount such as 12.50.") from None
    return found


def unsaid(levers: Mapping[str, float]) -> str:
    """Return what a reader of these levers must know that no number says, or nothing."""
    if levers.get("price") and not levers.get("purchase_rate"):
        return (
            "A price says nothing of demand here: state with the purchase rate what you think that it does to it, or "
            "this is what the price brings if nobody buys less."
        )
    return ""
