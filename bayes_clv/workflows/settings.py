"""What each command is told: one record a command, read by Python and by the command line alike.

An option is one line: the field's type, its default and its help. ``cli`` makes the command's options of the fields
(`option`, `place`); whoever starts a workflow from Python makes the record. Fields without help are for Python alone.

typer reads the words of a shell; to give it a signature made of the fields takes twenty lines. cyclopts, which reads a
dataclass as it stands, was not tried: the few fields whose option is another thing than the field (a repeated
``--covariate``, ``--purchases-only`` for ``spend=None``) would need converters there too.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bayes_clv.schema import InputError, argument

DEFAULT_HORIZON = "52 weeks"

TimeUnit = Literal["hour", "day", "week", "month", "year"]


@dataclass(frozen=True)
class Option:
    """How a field is given at a command line.

    ``name`` where the option is called other than the field; ``kind`` where what is typed is other than the field, made
    into it by ``read``; ``least`` bounds a number; ``place`` is an argument without a name. ``absent`` is a flag that
    gives None, with its help.
    """

    help: str
    name: str | None = None
    kind: Any = None
    read: Callable[[Any], Any] | None = None
    least: int | None = None
    place: bool = False
    absent: tuple[str, str] | None = None

    def declared(self, field_name: str) -> str:
        """Return the option as typer is told it, a flag with its opposite: --drift/--no-drift."""
        return self.name or f"--{field_name.replace('_', '-')}"

    def called(self, field_name: str) -> str:
        """Return the option's name with its dashes."""
        return self.declared(field_name).partition("/")[0]


def option(help: str, default: Any = dataclasses.MISSING, **further: Any) -> Any:  # noqa: A002
    """Return a field of a command's record; without ``default`` it must be given."""
    metadata = {"option": Option(help, **further)}
    if isinstance(default, dict | list):
        return field(default_factory=type(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def place(help: str, kind: Any = None) -> Any:  # noqa: A002
    """Return a field that a command line gives by its place."""
    return option(help, place=True, kind=kind)


def options_of(record: type) -> dict[str, Option]:
    """Return the fields of a record that a command line gives, in their order."""
    return {
        each.name: each.metadata["option"] for each in dataclasses.fields(record) if "option" in each.metadata
    }


def acting(options: list[str] | None, name: str = "covariates") -> dict[str, list[str]]:
    """Return what acts on what, of options like purchase=age."""
    found: dict[str, list[str]] = {}
    for each in options or []:
        target, sign, column = (part.strip() for part in each.partition("="))
        if not (target and sign and column):
            raise InputError(
                f"{argument(name)} {each!r} does not say what acts on what. Write it like "
                f"{argument(name, {'purchase': 'age'})}."
            )
        found.setdefault(target, []).append(column)
    return found


def grouping(options: list[str] | None) -> dict[str, list[str]] | list[str]:
    """Return the grouping columns: for every quantity, or by process."""
    placed = [each for each in options or [] if "=" in each]
    if not placed:
        return options or []
    alone = [each for each in options or [] if "=" not in each]
    if alone:
        raise InputError(
            f"{argument('groups')} {alone[0]!r} is for every quantity and {argument('groups')} {placed[0]!r} for one. "
            f"Write all of them like {argument('groups', {'purchase': alone[0]})}."
        )
    return acting(placed, "groups")


def given_to_rule(options: list[str] | None) -> dict[str, str]:
    """Return the arguments of options like profit_per_purchase=5."""
    found: dict[str, str] = {}
    for each in options or []:
        name, sign, text = (part.strip() for part in each.partition("="))
        if not (name and sign and text):
            raise InputError(
                f"{argument('given')} {each!r} does not say what is set. Write it like "
                f"{argument('given', {'scores': '3'})}."
            )
        if name in found:
            raise InputError(
                f"{argument('given')} {name} is there twice: {found[name]} and {text}. Leave one out."
            )
        found[name] = text
    return found


REPEATED = list[str] | None
SEED = "Seed of every random number: the same seed repeats the run."
DRAWS = "Posterior draws per chain (4 chains)."
MARGIN = "Share of spend that is earned: 0.3 means 30 %."
ID = "Column with the customer's id."


def taking(options: list[str] | None) -> dict[str, str]:
    """Return which value of each column of the orders a customer has, of options like channel=first."""
    found = {}
    for each in options or []:
        name, _, which = (part.strip() for part in each.partition("="))
        found[name] = which or "one"
    return found


@dataclass(frozen=True)
class Log:
    """An order log and what is said of it, as ``summarize`` takes it: the same for each command that reads orders.

    ``orders`` is a path or a table; ``spend=None`` is a log without amounts.
    """

    orders: Any = place("Order log: a CSV or Parquet file, one row an order or a line of one.", kind=Path)
    customer_id: str = option(ID, "customer_id")
    date: str = option("Column with the date of the order.", "date")
    spend: str | None = option(
        "Column with the amount of the order.",
        "spend",
        absent=("--purchases-only", "There is no amount: forecast purchases without value."),
    )
    quantity: str | None = option("Column with the pieces bought; the amount is quantity times price.", None)
    price: str | None = option("Column with the price of a piece.", None)
    order_id: str | None = option(
        "Column with the order's id, where a row is a line of an order: its lines are one purchase.", None
    )
    item: str | None = option("Column of what was bought: returns are set against the same item first.", None)
    where: str | None = option(
        "Rows to use, like \"status = 'completed' and channel in ('web', 'app')\" [default: all].", None
    )
    date_format: str | None = option(
        "How dates are written, like %d/%m/%Y or '%m/%d/%Y %H:%M' or excel [default: 1997-01-31 or 19970131].",
        None,
    )
    decimal: Literal[",", "."] | None = option(
        "Decimal mark of amounts such as '1.234,50 €' (,) or '$1,234.50' (.) [default: plain numbers].", None
    )
    on_returns: Literal["net", "drop", "refuse"] | None = option(
        "Negative amounts are returns: net sets them against what was bought (the default), drop leaves them out and "
        "keeps what was returned, refuse stops.",
        None,
    )
    on_bad_rows: Literal["refuse", "drop"] = option(
        "Rows without id, date or amount, or that cannot be read: refuse, or drop and say so.",
        "refuse",
        name="--bad-rows",
    )


@dataclass(frozen=True)
class Checking(Log):
    """What orders to look at; ``until`` as ``summarize`` takes it."""

    until: str | None = option(
        "Last day to learn from, like 1997-09-30 [default: the last order's day].", None
    )


@dataclass(frozen=True)
class Settings(Log):
    """What to run. Durations and dates as ``summarize`` and ``predict`` take them.

    Of the orders see ``Log``. ``spend=None`` runs on purchases alone. ``horizon=None`` is the
    holdout's duration where there is a holdout, else 52 weeks. ``posteriors`` names the folder of an earlier run
    whose posteriors are used in place of a fit, and with them their ``family``. Where ``family``, ``drift`` or
    ``returns`` is None, ``clv.scoring.choose_family`` decides; ``method=None`` is NUTS, and laplace where drift and
    a calendar are learned in one fit. ``columns`` is a table of one row per customer (a file, or a DataFrame) from
    which ``covariates`` and ``groups`` take columns, as ``fit`` takes them: a name of the mappings is given to the
    fit that has it, "spend" to that of spend; groups without mapping to both. Without such a table they are columns
    of the orders, and ``take`` says which of a customer's values counts.
    """

    until: str | None = option(
        "Last day to learn from, like 1997-09-30 [default: the last order's day].", None
    )
    holdout_until: str | None = option(
        "Last day of a holdout after --until; the forecast is scored on it.", None
    )
    time_unit: TimeUnit = option("Unit of all durations and rates.", "week")
    horizon: str | None = option(
        "How far to forecast, like '52 weeks' [default: the holdout's length, else 52 weeks].", None
    )
    margin: float = option(MARGIN, 1.0)
    annual_discount_rate: float = option("Discount rate a year: 0.10 means 10 %.", 0.0)
    acquisition_cost: float = option("What one customer cost to acquire, in money.", 0.0)
    family: str | None = option(
        "Purchase family, such as bg_nbd, mbg_nbd (leaving after the first order too), pareto_nbd (leaving at any "
        "time) or nbd (no leaving) [default: of the first three the one that the orders speak for].",
        None,
    )
    drift: bool | None = option(
        "Customers' purchase rates drift, with a half-life that is learned (nbd, bg_nbd, mbg_nbd, pareto_nbd; all but "
        "the last with --calendar too) [default: where the orders speak for it].",
        None,
        name="--drift/--no-drift",
    )
    returns: bool | None = option(
        "Customers fall asleep and come back (bg_nbd, mbg_nbd); minutes where there are thousands of customers "
        "[default: no].",
        None,
        name="--returns/--no-returns",
    )
    calendar: bool | None = option(
        "The rate of all customers moves over calendar time, by week (bg_nbd, mbg_nbd, nbd, bg_cnbd_k, mbg_cnbd_k, "
        "pareto_nbd): honest totals [default: where their weeks spread more than chance].",
        None,
        name="--calendar/--no-calendar",
    )
    method: Literal["nuts", "laplace", "mode"] | None = option(
        "nuts: what a run takes, but for drift with a calendar; laplace: faster, checked by its Pareto k; mode: a "
        "point, for papers.",
        None,
    )
    draws: int = option(DRAWS, 1000, least=1)
    seed: int = option(SEED, 1, least=0)
    columns: Any = option(
        "Table with one row per customer, CSV or Parquet: what --covariate and --groups name [default: the orders].",
        None,
        kind=Path | None,
    )
    take: dict[str, str] = option(
        "Which value of a column of the orders is the customer's, like channel=first, last or 'most frequent'; may be "
        "repeated [default: there is only one].",
        {},
        kind=REPEATED,
        read=taking,
    )
    currency: str | None = option("What amounts are called on the page, like £ or EUR.", None)
    covariates: dict[str, list[str]] = option(
        "What a column acts on, like purchase=age or 'dropout=age * C(channel)'; may be repeated.",
        {},
        name="--covariate",
        kind=REPEATED,
        read=acting,
    )
    groups: dict[str, list[str]] | list[str] = option(
        "Column of pooled groups, like channel (on everything) or purchase=channel; may be repeated.",
        [],
        kind=REPEATED,
        read=grouping,
    )
    posteriors: Path | None = option("Folder of an earlier run: use its posteriors, do not fit again.", None)
    png: bool = option("Save every figure as PNG too; SVG is always there.", False)
    out: Path = option("Folder for the results; an earlier run there is replaced.", Path("clv-run"))
    title: str = "Customer lifetime value"


@dataclass(frozen=True)
class Scoring:
    """Which run's posterior is to forecast which orders: all of them, those that the run knew and those since.

    How they are read (columns, formats, conditions) is what the run was told, and so are margin, discount and cost.
    ``horizon`` and ``seed`` are the run's where None. ``columns`` as in ``Settings``. ``out`` is a .csv or .parquet
    file; a .json of the same name stands beside it.
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
    seed: int | None = option("Seed of every random number [default: the run's].", None, least=0)
    out: Path = option(
        "Where the table goes, one row a customer: a .csv or .parquet file.", Path("scored.parquet")
    )


@dataclass(frozen=True)
class Choice:
    """What to choose from and for; as an experiment, its uplift and ``clv.target`` take it.

    ``customers=None`` chooses among the experiment's own. ``out`` is a .csv or .parquet file. With
    ``margin=1`` the outcome itself counts as earned.
    """

    experiment: Path = place("Experiment: a CSV or Parquet file, one row a customer.")
    cost: float = option("What one contact costs, in money.")
    customer_id: str = option(ID, "customer_id")
    treated: str = option("Column with 1 for who was drawn to be contacted, 0 for controls.", "treated")
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
        "Where the table goes, one row a customer: a .csv or .parquet file.", Path("targets.csv")
    )


@dataclass(frozen=True)
class Segmenting:
    """What to sort and by which rule.

    ``rule`` is a TOML file or a name of ``PRESETS``, whose arguments are ``given``. ``out`` is a .csv or .parquet file;
    None is ``segments-RULE.csv`` in the current folder. ``horizon`` and ``margin`` are the run's where None, and so is
    ``seed``. ``columns`` is a table of one row a customer with further numbers that the rule reads.
    """

    run: Path = place("Folder that 'bayes-clv run' or 'demo' wrote.")
    rule: str | Path = option(
        "A TOML file with a rule of your own, or one of abc, four-kinds, lifecycle, matrix and rfm.", kind=str
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
        "Table with one row per customer, CSV or Parquet: further numbers that the rule reads.", None
    )
    customer_id: str = option("Column of that table with the customer's id.", "customer_id")
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
        "Where the table goes, one row a rival: a .csv or .parquet file; the figures stand beside it.",
        Path("offers.csv"),
    )


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
    out: Path = option(
        "Folder for the results; scores that an earlier start left there are not made again.",
        Path("clv-backtest"),
    )


def families_of(settings: Settings) -> dict[str, str]:
    """Return the family of each fit; the settings name one, or it has been chosen."""
    from bayes_clv.families.registry import DERIVED, changing

    if settings.family is None:
        raise ValueError("The family is not chosen yet.")
    buying = settings.family
    for suffix in DERIVED:
        if getattr(settings, suffix[1:]):
            buying = changing(buying, suffix)
    return {"buying": buying} | ({} if settings.spend is None else {"spending": "gamma_gamma"})


def _check_calendar(settings: Settings) -> None:
    """Refuse a calendar beside what it cannot be had with."""
    from bayes_clv.families.registry import refuse_calendar

    if settings.returns:
        raise InputError(
            f"{argument('calendar', True)} and {argument('returns', True)} cannot be had in one run yet. Ask for one "
            "of them."
        )
    if settings.method == "mode":
        raise InputError(
            f"{argument('calendar', True)} cannot be fitted by {argument('method', 'mode')}. Use nuts or laplace."
        )
    if settings.family is not None:
        refuse_calendar(families_of(settings)["buying"])


def open_choice(settings: Settings) -> tuple[list[str], list[str]]:
    """Return among which families is to be chosen, and which of their changes are to be tried.

    Nothing is where the settings say all of it, or posteriors do. Left out are families without a change that is
    asked for, and those that have nothing on which a covariate or group is said to act.
    """
    from bayes_clv.families.registry import CANDIDATES, EXTENSIONS, TRIED, has_calendar, has_form

    if settings.posteriors is not None:
        return [], []
    asked = [name for name in EXTENSIONS if getattr(settings, name)]
    # A family has one of them or none.
    other = bool(asked) or settings.calendar
    tried = [name for name in TRIED if getattr(settings, name) is None and not other]
    if settings.family is not None:
        tried = [name for name in tried if has_form(settings.family, name)]
        return ([settings.family], tried) if tried else ([], [])
    found, refused = [], None
    for family in CANDIDATES:
        said: dict[str, Any] = {"family": family} | dict.fromkeys(EXTENSIONS, False)
        try:
            acting_on(dataclasses.replace(settings, **said))
        except InputError as error:
            refused = error
            continue
        if not all(has_form(family, name) for name in asked):
            continue
        buying = families_of(dataclasses.replace(settings, family=family))["buying"]
        if not settings.calendar or has_calendar(buying):
            found.append(family)
    if not found and refused is not None:
        raise refused
    return found, tried


def acting_on(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the covariates and groups of each fit; a process or quantity that no fit has is refused."""
    from bayes_clv.families.registry import family as find_family

    records = {role: find_family(name) for role, name in families_of(settings).items()}
    given: dict[str, dict[str, Any]] = {role: {} for role in records}
    for kind, value in (("covariates", settings.covariates), ("groups", settings.groups)):
        if not isinstance(value, dict):
            for arguments in given.values():
                arguments[kind] = value
            continue
        for target, columns in value.items():
            roles = [role for role, each in records.items() if target in (*each.processes, *each.quantities)]
            if not roles:
                known = dict.fromkeys(
                    name for each in records.values() for name in (*each.processes, *each.quantities)
                )
                raise InputError(
                    f"{target!r} is nothing that a column can act on. Use one of {', '.join(known)}."
                )
            given[roles[0]].setdefault(kind, {})[target] = columns
    return given


def named_by(settings: Settings) -> list[str]:
    """Return the columns that covariates and groups read."""
    from bayes_clv.inference.effects import needed_columns

    return needed_columns(settings.covariates, settings.groups)


def told_of(settings: Log) -> dict[str, Any]:
    """Return what ``summarize`` and others are told of the orders."""
    return {
        each.name: getattr(settings, each.name) for each in dataclasses.fields(Log) if each.name != "orders"
    }


def fields_of(settings: Any) -> dict[str, Any]:
    """Return the settings by name."""
    return {item.name: getattr(settings, item.name) for item in dataclasses.fields(settings)}


def plain(setting: Any) -> Any:
    """Return an argument as JSON can hold it: a path by its name, since a run may be shared."""
    if isinstance(setting, dict | list):
        return setting
    if isinstance(setting, str | int | float | None):
        return Path(setting).name if isinstance(setting, str) and Path(setting).is_absolute() else setting
    return setting.name if isinstance(setting, Path) else f"a {type(setting).__name__}"


def check_settings(settings: Settings) -> None:
    """Refuse what can be refused before a long log is read and anything is sampled."""
    from bayes_clv.families.registry import DERIVED, changing, derived, families
    from bayes_clv.units import checked_margin, discount_rate, duration

    known = [*families("purchases"), *derived()]
    if settings.family is not None and settings.family not in known:
        raise InputError(
            f"{argument('family', settings.family)} forecasts no purchases. Use one of {', '.join(known)}."
        )
    if settings.drift and settings.returns:
        raise InputError(
            f"{argument('drift', True)} and {argument('returns', True)} are two models: customers who change, or who "
            "come back. Ask for one of them."
        )
    for suffix in DERIVED:
        if getattr(settings, suffix[1:]) and settings.family is not None:
            changing(settings.family, suffix)
    if settings.calendar:
        _check_calendar(settings)
    if not 0 <= settings.seed < 2**31:
        raise InputError(f"{argument('seed', settings.seed)} must be from 0 to 2147483647.")
    if settings.horizon is not None:
        duration(settings.horizon, settings.time_unit)
    discount_rate(settings.annual_discount_rate, settings.time_unit)
    checked_margin(settings.margin)
    open_choice(settings)
    if settings.family is not None:
        acting_on(settings)
    unused = sorted(set(settings.take) - set(named_by(settings)))
    if unused and settings.posteriors is None:
        raise InputError(
            f"{argument('take')} {', '.join(unused)} serves nothing: no {argument('covariates')} and no "
            f"{argument('groups')} name it."
        )
    if (
        settings.columns is not None
        and settings.posteriors is None
        and not (settings.covariates or settings.groups)
    ):
        raise InputError(
            f"The table of {argument('columns')} serves nothing without {argument('covariates')} or "
            f"{argument('groups')}."
        )
    if settings.posteriors is not None:
        needed = ("buying.nc",) if settings.spend is None else ("buying.nc", "spending.nc")
        missing = [name for name in needed if not (settings.posteriors / name).is_file()]
        if missing:
            raise InputError(
                f"There is no file {' and no file '.join(map(repr, missing))} in {str(settings.posteriors)!r}. "
                f"Name the folder of an earlier run with {argument('posteriors')}; a run with "
                f"{argument('spend', None)} writes no 'spending.nc'."
            )
