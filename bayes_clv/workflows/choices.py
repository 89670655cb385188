"""What the commands are told that begin with a finished run, an experiment or a market, and ``backtest``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bayes_clv.language import ENGLISH
from bayes_clv.workflows.options import (
    COSTS,
    DRAWS,
    ID,
    MARGIN,
    REPEATED,
    SEED,
    TimeUnit,
    given_to_rule,
    option,
    place,
)
from bayes_clv.workflows.settings import CURRENCY, FIGURE_LANGUAGE, LANGUAGE, Log


@dataclass(frozen=True)
class Scoring:
    """Which run's posterior is to forecast which orders: all of them, those that the run knew and those since.

    How they are read (columns, formats, conditions) is what the run was told, and so are margin, discount and cost.
    ``horizon`` and ``seed`` are the run's where None. ``columns`` and ``over_time`` as in ``Settings``. ``out`` is a
    .csv or .parquet file; a .json of the same name stands beside it.
    """

    run: Path = place("Folder that 'bayes-clv run' or 'demo' wrote.")
    orders: Any = place("Order log, old orders and new: a CSV or Parquet file like the run's.", kind=Path)
    until: str | None = option(
        "Last day that is known, like 2025-12-31 [default: the last order's day].", None
    )
    horizon: str | None = option("How far to forecast, like '52 weeks' [default: the run's].", None)
    columns: Any = option(
        "Table with one row per customer, CSV or Parquet, where the run had one.", None, kind=Path | None
    )
    over_time: Any = option(
        "Table with a row for each change of columns over time, where the run had one; with its plan, as the run.",
        None,
        kind=Path | None,
    )
    seed: int | None = option("Seed of every random number [default: the run's].", None, least=0)
    out: Path = option(
        "Where the table goes, one row a customer: a .csv or .parquet file.", Path("scored.parquet")
    )


@dataclass(frozen=True)
class Choice:
    """What to choose from and for; as an experiment, its uplift and ``clv.target`` take it.

    Either ``cost`` is given or ``offers``, a file that ``clv.targeting.read_offers`` takes.
    ``customers=None`` chooses among the experiment's own. ``out`` is a .csv or .parquet file. With
    ``margin=1`` the outcome itself counts as earned.
    """

    experiment: Path = place("Experiment: a CSV or Parquet file, one row a customer.")
    cost: float | None = option("What one contact costs, in money, where there is one offer.", None)
    offers: Path | None = option(
        "Of several offers: a TOML file with the label of the controls and what each offer costs.", None
    )
    customer_id: str = option(ID, "customer_id")
    treated: str = option(
        "Column with 1 for who was drawn to be contacted, 0 for controls; of several offers with their labels.",
        "treated",
    )
    outcome: str = option("Column with the money brought since, 0 where nothing was bought.", "outcome")
    segment: str | None = option(
        "Column of segments over which the response may differ [default: none].", None
    )
    customers: Path | None = option(
        "Customers to choose from: a file with their ids and segments [default: the experiment's].", None
    )
    scale: str | None = option(
        "Column of the customers to which the response is taken to be proportional, such as an expected value.",
        None,
    )
    margin: float = option("Share of the outcome that is earned: 0.3 means 30 %.", 1.0)
    budget: float | None = option("The most that all contacts may cost [default: no limit].", None)
    risk: str | None = option(
        "Choose for a high lower quantile of the total, like q10 [default: for its mean].", None
    )
    test: int | None = option(
        "Also say what a test of so many customers would be worth before deciding.", None
    )
    method: Literal["nuts", "laplace"] = option(
        "nuts: the default; laplace: faster, checked by Pareto k.", "nuts"
    )
    draws: int = option(DRAWS, 1000, least=1)
    seed: int = option(SEED, 1, least=0)
    out: Path = option(
        "Where the table goes, one row a customer: a .csv or .parquet file; the page stands beside it.",
        Path("targets.csv"),
    )
    currency: str | None = option(CURRENCY, None)
    language: str = option(LANGUAGE, ENGLISH)


@dataclass(frozen=True)
class Segmenting:
    """What to sort and by which rule.

    ``rule`` is a TOML file or a name of ``PRESETS``, whose arguments are ``given``. ``out`` is a .csv or .parquet file;
    None is ``segments-RULE.csv`` in the current folder. ``horizon`` and ``margin`` are the run's where None, and so is
    ``seed``. ``columns`` is a table of one row a customer with further columns that the rule reads.
    """

    run: Path = place("Folder that 'bayes-clv run' or 'demo' wrote.")
    rule: str | Path = option(
        "A TOML file with a rule of your own, or one of abc, five-actions, four-kinds, lifecycle, matrix and rfm.",
        kind=str,
    )
    given: Mapping[str, str] = option(
        "What a rule known by name is given, like profit_per_purchase=5; may be repeated.",
        {},
        name="--set",
        kind=REPEATED,
        read=given_to_rule,
    )
    horizon: str | float | None = option(
        "How far to look ahead, like '52 weeks' [default: the run's].", None, kind=str | None
    )
    margin: float | None = option(f"{MARGIN[:-1]} [default: the run's].", None)
    columns: Path | None = option(
        "Table with one row per customer, CSV or Parquet: further columns that the rule reads.", None
    )
    customer_id: str = option("Column of that table with the customer's id.", "customer_id")
    listed: str | None = option(
        "Also list the customers by how probably they are in this segment, whoever carries its label.",
        None,
        name="--list",
    )
    order: Literal["probability", "value"] = option(
        "Order of that list: by probability, or by the value that is there to be lost.", "probability"
    )
    sure: float = option(
        "A customer is unsure whose most probable segment has less than this probability.", 0.8
    )
    draws: int = option(
        "Posterior draws, at most; 2000 where a rule has many segments, as rfm has.", 400, least=1
    )
    seed: int | None = option("Seed of every random number [default: the run's].", None, least=0)
    out: Path | None = option(
        "Where the table goes, one row a customer: a .csv or .parquet file [default: segments-RULE.csv].",
        None,
    )


@dataclass(frozen=True)
class Comparing:
    """A finished run and a TOML file of scenarios, as ``clv.valuation.read_scenarios`` takes it.

    What the file's base does not say is the run's. ``columns`` is a table of one row a customer, whose columns the
    conditions of scenarios may name.
    """

    run: Path = place("Folder that 'bayes-clv run' or 'demo' wrote, with amounts.")
    scenarios: Path = place("TOML file with scenarios.")
    columns: Path | None = option(
        "Table with one row per customer, CSV or Parquet: further columns that conditions read.", None
    )
    customer_id: str = option("Column of that table with the customer's id.", "customer_id")
    draws: int = option("Posterior draws, at most.", 1000, least=1)
    seed: int | None = option("Seed of every random number [default: the run's].", None, least=0)
    out: Path = option(
        "Where the table goes, one row a scenario: a .csv or .parquet file; the page stands beside it.",
        Path("scenarios.csv"),
    )
    language: str = option(LANGUAGE, ENGLISH)


@dataclass(frozen=True)
class Acquiring:
    """A finished run with groups and a TOML file of channels, as ``clv.valuation.read_channels`` takes it.

    What the file does not say, such as the horizon, is the run's.
    """

    run: Path = place("Folder that 'bayes-clv run' wrote, with amounts and --groups.")
    channels: Path = place("TOML file with what the channels cost.")
    draws: int = option("Posterior draws, at most.", 1000, least=1)
    seed: int | None = option("Seed of every random number [default: the run's].", None, least=0)
    out: Path = option(
        "Where the table goes, one row a channel: a .csv or .parquet file; the page stands beside it.",
        Path("channels.csv"),
    )
    language: str = option(LANGUAGE, ENGLISH)


@dataclass(frozen=True)
class Valuing:
    """A finished run, and perhaps an earlier day from which to explain how the base has changed.

    That day is the end of an earlier run (``before``), or ``opened`` of the run's ``orders``. ``newcomers`` as
    ``clv.valuation.predict_newcomers`` has them, with ``period`` and ``since``; ``costs`` as ``read_costs`` takes it.
    """

    run: Path = place("Folder that 'bayes-clv run' or 'demo' wrote, with amounts.")
    before: Path | None = option("Folder of an earlier run: what has changed since its end.", None)
    orders: Any = option("The run's order log, where --opened says since when.", None, kind=Path | None)
    opened: str | None = option("Earlier day, like 2025-06-30: what has changed since.", None)
    newcomers: bool = option(
        "Forecast those still to come, or value present customers alone.",
        True,
        name="--newcomers/--no-newcomers",
    )
    period: str = option("Length of the periods in which new customers are counted.", "4 weeks")
    since: str | None = option(
        "Leave out who came before this day: at first an order log takes everybody for new.", None
    )
    horizon: str | None = option("How far to look ahead, like '52 weeks' [default: the run's].", None)
    acquisition_cost: float = option("What a new customer costs, in money.", 0.0)
    costs: Path | None = option(f"{COSTS[:-1]} [default: the run's].", None)
    columns: Path | None = option(
        "Table with one row per customer, CSV or Parquet: columns that the file of costs names.", None
    )
    customer_id: str = option("Column of that table with the customer's id.", "customer_id")
    draws: int = option("Posterior draws, at most.", 1000, least=1)
    seed: int | None = option("Seed of every random number [default: the run's].", None, least=0)
    out: Path = option(
        "Where the table goes: a .csv or .parquet file; the page stands beside it.", Path("equity.csv")
    )
    language: str = option(LANGUAGE, ENGLISH)


@dataclass(frozen=True)
class Offering:
    """A file of ratings, weights and prices, as ``clv.perceived.read_market`` takes it, and what is unsure of it."""

    market: Path = place("CSV file: a row an attribute or a part of the price, a column a rival.")
    slope: float = option("What customers pay for a point of performance, in money.")
    lowest: float = option("Lowest rating there is.", 0.0)
    highest: float = option("Highest rating there is.", 10.0)
    against: str = option("Hold all against this rival, or the average of all.", "average")
    rival: str | None = option("Draw of what this rival's advantage is made.", None)
    concentration: float | None = option(
        "How sure the weights are: 50 makes .16 a .16 ± .05 [default: as they stand].", None
    )
    rating_error: float | None = option(
        "Standard deviation of each rating, in points [default: as they stand].", None
    )
    draws: int = option("Draws of weights and ratings.", 4000, least=1)
    seed: int = option("Seed of every random number.", 1, least=0)
    out: Path = option(
        "Where the table goes, one row a rival: a .csv or .parquet file; the page stands beside it.",
        Path("offers.csv"),
    )
    survey: Path | None = option(
        "TOML file that describes a survey: what drives the judgement, quality, who recommends.", None
    )
    currency: str | None = option(CURRENCY, None)
    language: str = option(LANGUAGE, ENGLISH)


@dataclass(frozen=True)
class Alarming:
    """Whose alarms to list; ``threshold`` and ``longest`` as ``churn_alarms`` takes them.

    ``only_alarmed`` leaves out those whose alarm is still to come; ``most`` keeps the first rows.
    """

    run: Path = place("Folder that 'bayes-clv run' or 'demo' wrote.")
    threshold: float = option("Warn where P(alive) has fallen to this.", 0.5)
    longest: str | None = option(
        "Longest silence to look at, like '5 years' [default: ten times the longest age].", None
    )
    only_alarmed: bool = option("List only those whose alarm has come.", False)
    most: int | None = option("List at most so many customers.", None)
    out: Path = option(
        "Where the list goes, one row a customer: a .csv or .parquet file.", Path("alarms.csv")
    )


@dataclass(frozen=True)
class Backtesting(Log):
    """From which days to forecast how far with which families, as ``clv.scoring.rolling_origins`` takes them.

    Of the orders see ``Log``. ``origins`` is a number or days; these, ``horizons`` and ``families`` are lists, or
    texts with commas.
    """

    origins: Any = option(
        "Days to forecast from, like '1997-06-30, 1997-09-30', or how many evenly spaced ones.", "6", kind=str
    )
    horizons: Any = option("How far to forecast, like '13 weeks, 26 weeks'.", "13 weeks", kind=str)
    families: Any = option(
        "Purchase families to hold against each other and against simple rules.",
        "bg_nbd, mbg_nbd, pareto_nbd",
        kind=str,
    )
    method: Literal["nuts", "laplace", "mode"] = option(
        "laplace: the default, since every origin needs a fit; nuts: many times slower; mode: a point.",
        "laplace",
    )
    draws: int = option(DRAWS, 250, least=1)
    seed: int = option(SEED, 1, least=0)
    time_unit: TimeUnit = option("Unit of all durations and rates.", "week")
    currency: str | None = option(CURRENCY, None)
    language: str = option(FIGURE_LANGUAGE, ENGLISH)
    out: Path = option(
        "Folder for the results; scores that an earlier start left there are not made again.",
        Path("clv-backtest"),
    )


@dataclass(frozen=True)
class Browsing:
    """Which run is looked at, and who can: without ``host`` this machine alone."""

    run: Path = place("Folder that 'bayes-clv run' or 'demo' wrote.")
    port: int | None = option("Port of the page [default: a free one].", None, least=1)
    host: str = option("Address at which it answers; one of the network asks for a token.", "127.0.0.1")
    open: bool = option("Open it in a browser.", True, name="--open/--no-open")
    draws: int | None = option(
        "Posterior draws of segments and scenarios [default: what answers within a second].", None, least=2
    )


@dataclass(frozen=True)
class Juxtaposing:
    """Which finished runs to hold beside each other; the first is the one that the others are compared with."""

    runs: list[Path] = place("Folders that 'bayes-clv run' or 'demo' wrote, two or more.", kind=list[Path])
    out: Path = option("Where the table goes, one row a run: a .csv or .parquet file.", Path("runs.csv"))
