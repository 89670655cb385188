"""What the commands are told that begin with orders (``Log``, ``Checking``, ``Settings``), and what that decides."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bayes_clv.language import ENGLISH, check_language, languages
from bayes_clv.schema import InputError, argument
from bayes_clv.workflows.options import (
    COSTS,
    DRAWS,
    ID,
    MARGIN,
    REPEATED,
    SEED,
    TimeUnit,
    acting,
    grouping,
    option,
    place,
    taking,
)

if TYPE_CHECKING:
    from bayes_clv.predictions.own_costs import Costs

DEFAULT_HORIZON = "52 weeks"
TAKE = (
    "Which value of a column of the orders is the customer's, like channel=first, last or 'most frequent'; may be "
    "repeated [default: there is only one]."
)
LANGUAGE = (
    f"Language of the page and its figures: {', '.join(languages())}. What is printed here stays in English."
)
FIGURE_LANGUAGE = (
    f"Language of the words in figures: {', '.join(languages())}. What is printed here stays in English."
)
CURRENCY = "What amounts are called, like £ or EUR."


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
    encoding: str | None = option(
        "How the file's text is written, like windows-1252 [default: UTF-8, and UTF-16 where it begins so].",
        None,
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
    """What orders to look at, and what describes their customers; as ``Settings`` has it."""

    until: str | None = option(
        "Last day to learn from, like 1997-09-30 [default: the last order's day].", None
    )
    columns: Any = option(
        "Table with one row per customer, CSV or Parquet: whether it has all of them, and what it says.",
        None,
        kind=Path | None,
    )
    take: dict[str, Any] = option(TAKE, {}, kind=REPEATED, read=taking)
    currency: str | None = option(CURRENCY, None)


@dataclass(frozen=True)
class Auditing(Log):
    """What orders to audit by which calendar period; as ``clv.customers.audit_base`` takes them."""

    period: Literal["month", "quarter", "year"] = option("Calendar period.", "quarter")
    until: str | None = option("Last day to look at, like 2025-12-31 [default: the last order's day].", None)
    out: Path = option(
        "Where the table goes, one row a period: a .csv or .parquet file; the page stands beside it.",
        Path("audit.csv"),
    )
    language: str = option(LANGUAGE, ENGLISH)


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
    of the orders, and ``take`` says which of a customer's values counts. ``over_time`` is a
    table too, of columns that change over a customer's life, as ``clv.customers.with_columns_over_time`` takes it.
    ``calendar_by`` is a column as ``groups`` are: each of its labels has a calendar (``Calendar(by=...)``).
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
    costs: Path | None = option(COSTS, None)
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
    calendar_by: str | None = option(
        "Column of groups, like channel, each with a calendar of its own beside that of all, as far as its orders say "
        "(bg_nbd, mbg_nbd, nbd): --calendar with it.",
        None,
    )
    spend_family: str | None = option(
        "Spend family: gamma_gamma, or lognormal_spend, where every repeat order was paid [default: gamma_gamma, and "
        "lognormal_spend with --spend-drift].",
        None,
    )
    trend: bool = option(
        "What a customer spends an order changes with its age, to the longest age seen, by a factor that is learned.",
        False,
    )
    spend_drift: bool = option(
        "A customer's level of spend drifts about its own, with a half-life that is learned (lognormal_spend).",
        False,
    )
    method: Literal["nuts", "laplace", "mode"] | None = option(
        "nuts: what a run takes, but for drift or returns with a calendar; laplace: faster, checked by its Pareto k; "
        "mode: a point, for papers.",
        None,
    )
    draws: int | None = option(
        f"{DRAWS[:-1]} [default: 1000; of more than 250,000 customers by laplace fewer, 250 at least].",
        None,
        least=1,
    )
    seed: int = option(SEED, 1, least=0)
    columns: Any = option(
        "Table with one row per customer, CSV or Parquet: what --covariate and --groups name [default: the orders].",
        None,
        kind=Path | None,
    )
    over_time: Any = option(
        "Table of what single customers met, CSV or Parquet, a row for each change: id, date, and columns such as "
        "mails or a price, each of which moves the rate from its date to the next row (bg_nbd, mbg_nbd, nbd).",
        None,
        kind=Path | None,
    )
    over_time_plan: Literal["table", "carry_forward"] = option(
        "What these columns will be: the rows of the table after the last day, to the end of the forecast; or "
        "carry_forward, their last values.",
        "table",
    )
    over_time_before: float | None = option(
        "What these columns were before a customer's first row, like 0 [default: each has a row by the first order].",
        None,
    )
    take: dict[str, str] = option(TAKE, {}, kind=REPEATED, read=taking)
    currency: str | None = option(CURRENCY, None)
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
    language: str = option(LANGUAGE, ENGLISH)
    png: bool = option("Save every figure as PNG too; SVG is always there.", False)
    out: Path = option("Folder for the results; an earlier run there is replaced.", Path("clv-run"))
    title: str = "Customer lifetime value"


def families_of(settings: Settings) -> dict[str, str]:
    """Return the family of each fit; the settings name one, or it has been chosen."""
    from bayes_clv.families.registry import DERIVED, changing

    if settings.family is None:
        raise ValueError("The family is not chosen yet.")
    buying = settings.family
    for suffix in DERIVED:
        if getattr(settings, suffix[1:]):
            buying = changing(buying, suffix)
    return {"buying": buying} | ({} if settings.spend is None else {"spending": spend_family_of(settings)})


def spend_family_of(settings: Settings) -> str:
    """Return the family of spend in the form that is asked for.

    >>> spend_family_of(Settings("orders.csv", trend=True)), spend_family_of(Settings("orders.csv", spend_drift=True))
    ('gamma_gamma_trend', 'lognormal_spend_drift')
    """
    from bayes_clv.families.registry import form_of

    # A level of Gamma-Gamma cannot drift.
    usual = "lognormal_spend" if settings.spend_drift else "gamma_gamma"
    return form_of(settings.spend_family or usual, trend=settings.trend, drift=settings.spend_drift)


def _check_spend(settings: Settings) -> None:
    """Refuse what is asked of spend and cannot be had."""
    from bayes_clv.families.registry import MOVING, derived, families

    names = ("spend_family", "trend", "spend_drift")
    asked = [argument(name, getattr(settings, name)) for name in names if getattr(settings, name)]
    if asked and settings.spend is None:
        raise InputError(
            f"{', '.join(asked)}: how spend is fitted, and {argument('spend', None)} leaves spend out. Leave out one "
            "of them."
        )
    known = [*families("spend"), *derived("spend")]
    given = settings.spend_family
    if given is not None and given not in known:
        raise InputError(
            f"{argument('spend_family', given)} is no family of spend. Use one of {', '.join(known)}."
        )
    *_, drifting = MOVING["_drift"]
    if settings.spend_drift and given is not None and given not in drifting:
        raise InputError(
            f"{argument('spend_drift', True)} is there of {' and '.join(drifting)}, and "
            f"{argument('spend_family', given)} is asked for (of a Gamma level that drifts no exact filter is known). "
            "Leave out one of them."
        )
    spend_family_of(settings)


def _check_over_time(settings: Settings) -> None:
    """Refuse columns over time beside what they cannot be had with, and what is said of none."""
    from bayes_clv.families.registry import EXTENSIONS, refuse_over_time

    if settings.over_time is None:
        said = [
            argument(each.name, getattr(settings, each.name))
            for each in dataclasses.fields(settings)
            if each.name in ("over_time_plan", "over_time_before")
            and getattr(settings, each.name) != each.default
        ]
        if said:
            raise InputError(
                f"{said[0]} is of columns over time. Name their table with {argument('over_time')}, or leave it out."
            )
        return
    for name in EXTENSIONS:
        if getattr(settings, name):
            raise InputError(
                f"{argument(name, True)} cannot be had with {argument('over_time')}: a rate that drifts, or a customer "
                "who sleeps, would do so in a time of its own. Leave out one of them."
            )
    if settings.family is not None:
        refuse_over_time(families_of(settings)["buying"])


def _check_calendar(settings: Settings) -> None:
    """Refuse a calendar beside what it cannot be had with."""
    from bayes_clv.families.registry import refuse_calendar

    if settings.method == "mode":
        raise InputError(
            f"{argument('calendar', True)} cannot be fitted by {argument('method', 'mode')}. Use nuts or laplace."
        )
    if settings.family is not None:
        refuse_calendar(families_of(settings)["buying"])


def _check_groups_of_calendar(settings: Settings) -> None:
    """Refuse groups of a calendar beside what they cannot be had with."""
    from bayes_clv.families.registry import EXTENSIONS, OVER_TIME

    if settings.calendar_by is None:
        return
    said = argument("calendar_by", settings.calendar_by)
    if settings.calendar is False:
        raise InputError(
            f"{said} is a calendar, and {argument('calendar', False)} says there is none. Leave out one of them."
        )
    if settings.posteriors is not None:
        raise InputError(
            f"{said} is of a fit, and {argument('posteriors')} are fitted already, with their own calendar or without "
            "one. Leave it out, or fit again."
        )
    if settings.over_time is not None:
        raise InputError(
            f"{said} and {argument('over_time')} cannot be had in one fit yet. Leave out one of them."
        )
    for name in EXTENSIONS:
        if getattr(settings, name):
            raise InputError(
                f"{said} cannot be had with {argument(name, True)}. Leave out one of them, or take one calendar for "
                f"all: {argument('calendar', True)}."
            )
    if settings.family is not None and families_of(settings)["buying"] not in OVER_TIME:
        raise InputError(
            f"{argument('family', settings.family)} has no calendar by group: {', '.join(OVER_TIME)} have. Fit one of "
            f"these, or take one calendar for all: {argument('calendar', True)}."
        )


def open_choice(settings: Settings) -> tuple[list[str], list[str]]:
    """Return among which families is to be chosen, and which of their changes are to be tried.

    Nothing is where the settings say all of it, or posteriors do. Left out are families without a change that is
    asked for, and those that have nothing on which a covariate or group is said to act.
    """
    from bayes_clv.families.registry import CANDIDATES, EXTENSIONS, OVER_TIME, TRIED, has_calendar, has_form

    if settings.posteriors is not None:
        return [], []
    asked = [name for name in EXTENSIONS if getattr(settings, name)]
    # A family has one of them or none.
    own = settings.over_time is not None or settings.calendar_by is not None
    other = bool(asked) or settings.calendar or own
    tried = [name for name in TRIED if getattr(settings, name) is None and not other]
    if settings.family is not None:
        tried = [name for name in tried if has_form(settings.family, name)]
        return ([settings.family], tried) if tried else ([], [])
    found, refused = [], None
    for family in CANDIDATES:
        if own and family not in OVER_TIME:
            continue
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
    """Return the columns that covariates, groups, the calendar's groups and the file of costs read."""
    from bayes_clv.inference.effects import needed_columns

    acting = needed_columns(settings.covariates, settings.groups)
    by = [] if settings.calendar_by is None else [settings.calendar_by]
    return list(dict.fromkeys([*acting, *by, *costs_of(settings.costs)[1]]))


def costs_of(file: Path | None) -> tuple["Costs | None", list[str]]:
    """Return what a file of costs states, and the columns that it names."""
    if file is None:
        return None, []
    if not Path(file).is_file():
        raise InputError(
            f"There is no file {str(file)!r}. Name a TOML file with lines such as cost_per_order = 1.2."
        )
    from bayes_clv.predictions.own_costs import read_costs

    found = read_costs(file)
    return found, found.columns


def told_of(settings: Log) -> dict[str, Any]:
    """Return what ``summarize`` and others are told of the orders."""
    return {
        each.name: getattr(settings, each.name) for each in dataclasses.fields(Log) if each.name != "orders"
    }


def columns_of(settings: Log) -> dict[str, str]:
    """Return how orders are read, by role, for advice in the words of the log (``bayes_clv.remedies.Ran``).

    >>> columns_of(Log("orders.csv", customer_id="Kundennr", quantity="n", price="p"))
    {'customer_id': 'Kundennr', 'spend': 'p'}
    """
    spend = settings.price if settings.quantity is not None else settings.spend
    named = {"customer_id": settings.customer_id, "spend": spend, "where": settings.where}
    return {role: str(name) for role, name in named.items() if name is not None}


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
    _check_spend(settings)
    _check_groups_of_calendar(settings)
    if settings.calendar or settings.calendar_by is not None:
        _check_calendar(settings)
    _check_over_time(settings)
    if not 0 <= settings.seed < 2**31:
        raise InputError(f"{argument('seed', settings.seed)} must be from 0 to 2147483647.")
    check_language(settings.language)
    if settings.horizon is not None:
        duration(settings.horizon, settings.time_unit)
    discount_rate(settings.annual_discount_rate, settings.time_unit)
    checked_margin(settings.margin)
    open_choice(settings)
    if settings.family is not None:
        acting_on(settings)
    named = named_by(settings)
    if settings.costs is not None and settings.spend is None:
        raise InputError(
            f"{argument('costs', settings.costs.name)} is of money, and {argument('spend', None)} leaves it out. "
            "Leave out one of them."
        )
    unused = sorted(set(settings.take) - set(named))
    if unused and settings.posteriors is None:
        raise InputError(
            f"{argument('take')} {', '.join(unused)} serves nothing: no {argument('covariates')}, no "
            f"{argument('groups')}, no {argument('calendar_by')} and no {argument('costs')} name it."
        )
    if settings.columns is not None and settings.posteriors is None and not named:
        raise InputError(
            f"The table of {argument('columns')} serves nothing without {argument('covariates')}, "
            f"{argument('groups')} or {argument('costs')} that name its columns."
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
