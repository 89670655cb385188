"""From a shell: ``check``, ``demo``, ``run``; then ``score``, ``segment``, ``compare``, ``channels``; and more.

Results go to --out, progress to stderr, a summary to stdout. Bad input is one paragraph and exit code 2. The options of
a command are the fields of its record in ``workflows.settings`` or ``choices``; what is wrong is said in their words.
Everything slow is imported by the stage that needs it, so that ``--help`` answers at once.
"""

import dataclasses
import inspect
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from bayes_clv.schema import InputError
from bayes_clv.workflows.choices import (
    Acquiring,
    Alarming,
    Backtesting,
    Browsing,
    Choice,
    Comparing,
    Juxtaposing,
    Offering,
    Scoring,
    Segmenting,
    Valuing,
)
from bayes_clv.workflows.options import Option, options_of
from bayes_clv.workflows.settings import Auditing, Checking, Settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Bayesian customer lifetime value: orders in, retention, purchases and value with their uncertainty out.",
)

type Said = list[str] | tuple[list[str], int]

# A forecast that is not what the run promised.
OUTSIDE = 3

DEMO_TITLE = "CDNOW: customer lifetime value"
CDNOW_UNTIL = "1997-09-30"
CDNOW_HOLDOUT_UNTIL = "1998-06-30"


def command(
    record: type,
    *,
    only: tuple[str, ...] | None = None,
    into: typer.Typer = app,
    name: str | None = None,
    **defaults: Any,
) -> Callable[[Callable[..., Said]], Callable[..., Said]]:
    """Make a command of a function of what was given; its options are the record's fields, or ``only`` some.

    It is called ``name``, or as the function. The function gets the record, or with ``only`` the fields by name, and
    returns the lines to print, and with them perhaps an exit status.
    """
    options = options_of(record)
    if only is not None:
        options = {name: option for name, option in options.items() if name in only}

    def made(work: Callable[..., Said]) -> Callable[..., Said]:
        def called(**words: Any) -> None:
            def lines() -> Said:
                given = {name: _read(option, name, words) for name, option in options.items()}
                return work(**given) if only is not None else work(record(**given))

            _tell_lines(lines, options)

        parameters = _parameters(record, options, defaults)
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        into.command(name or work.__name__, help=inspect.getdoc(work))(called)
        return work

    return made


def _parameters(
    record: type, options: dict[str, Option], defaults: dict[str, Any]
) -> list[inspect.Parameter]:
    """Return what typer reads a command's options from."""
    kinds, empty = get_type_hints(record), inspect.Parameter.empty
    own = {each.name: each.default for each in dataclasses.fields(record)}
    found: list[tuple[str, Any, Any]] = []
    for name, option in options.items():
        kind = kinds[name] if option.kind is None else option.kind
        default = (own | defaults)[name]
        needed = not isinstance(default, str | int | float | Path | None)
        if option.place:
            shown: Any = typer.Argument(help=option.help, show_default=False)
        else:
            shown = typer.Option(
                option.declared(name), help=option.help, min=option.least, show_default=not needed
            )
        if needed:
            default = None if option.read is not None else empty
        found.append((name, Annotated[kind, shown], default))
        if option.absent is not None:
            flag, text = option.absent
            found.append((_absent(name), Annotated[bool, typer.Option(flag, help=text)], False))
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, kind, default in found
    ]


def _absent(name: str) -> str:
    return f"no_{name}"


def _read(option: Option, name: str, words: dict[str, Any]) -> Any:
    """Return a field's value from the words of the command line."""
    if option.absent is not None and words[_absent(name)]:
        return None
    return words[name] if option.read is None else option.read(words[name])


def _tell_lines(work: Callable[[], Said], options: dict[str, Option]) -> None:
    """Print the lines of a command; bad input ends in one paragraph and exit code 2."""
    try:
        said = work()
    except InputError as error:
        typer.echo(_after_stage() + paragraph(error, options), err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt as stop:
        typer.echo(_after_stage() + (str(stop) or "Stopped; nothing was written."), err=True)
        raise typer.Exit(130) from None
    lines, status = said if isinstance(said, tuple) else (said, 0)
    typer.echo("\n".join(lines))
    if status:
        raise typer.Exit(status)


def paragraph(error: InputError, options: dict[str, Option]) -> str:
    """Return what is wrong in the words of a command's options, and of those of ``run`` for what it has none."""
    runs = options_of(Settings)

    def named(name: str, value: str) -> str | None:
        # What another command is told, as the run behind this one: of no place there, since orders have none here.
        option = options.get(name) or runs.get(name)
        if option is None or (name not in options and option.place):
            return None
        if option.absent is not None and value == "None":
            return option.absent[0]
        return f"{option.called(name)} {value}".rstrip()

    # An option broken at its hyphen could not be copied.
    text = f"Error: {error.told(named)}"
    return textwrap.fill(text, width=100, break_long_words=False, break_on_hyphens=False)


class _Stages:
    """The stages of a run on stderr; on a terminal the line of the running one stays open."""

    open = False

    def __call__(self, stage: str, seconds: float | None) -> None:
        terminal = sys.stderr.isatty()
        if seconds is None:
            typer.echo(f"  {stage} ...", err=True, nl=not terminal)
        else:
            typer.echo(f"{'\r' if terminal else ''}  {stage:<40} {seconds:6.1f} s", err=True)
        _Stages.open = terminal and seconds is None


def _after_stage() -> str:
    return "\n" if _Stages.open else ""


def _run(settings: Settings) -> list[str]:
    from bayes_clv.workflows.running import run as run_road
    from bayes_clv.workflows.words import run_summary

    record = run_road(settings, tell=_Stages(), sampler_progress=sys.stderr.isatty())
    return run_summary(record, settings.out)


@command(
    Settings,
    only=(
        *("family", "drift", "returns", "calendar", "method", "draws", "seed"),
        *("currency", "language", "png", "out"),
    ),
    method="laplace",
    currency="$",
    out=Path("clv-demo"),
)
def demo(**given: Any) -> list[str]:
    """Run on CDNOW: 2,357 customers, 39 weeks to learn from, 39 weeks held out to check the forecast.

    By BG/NBD with a calendar, fitted by laplace: choosing, as 'bayes-clv run' does, takes longer than all else. With
    --no-calendar it says how sure the models of the textbooks are, and how wrong.
    """
    from bayes_clv.customers.cdnow import load_cdnow
    from bayes_clv.families.registry import EXTENSIONS

    if all(given[name] is None for name in ("family", *EXTENSIONS)):
        given |= {"family": "bg_nbd"} | dict.fromkeys(EXTENSIONS, False)
        if given["calendar"] is None:
            given["calendar"] = given["method"] != "mode"
    return _run(
        Settings(
            orders=load_cdnow(),
            until=CDNOW_UNTIL,
            holdout_until=CDNOW_HOLDOUT_UNTIL,
            margin=0.3,
            annual_discount_rate=0.10,
            title=DEMO_TITLE,
            **given,
        )
    )


@command(Settings)
def run(settings: Settings) -> list[str]:
    """Run on your own orders: report.html, customers.csv and .parquet, posteriors, figures and run.json in --out.

    Example: bayes-clv run orders.csv --customer-id client --date day --spend amount
    --until 2025-12-31 --horizon "52 weeks" --margin 0.3 --annual-discount-rate 0.10 --out results
    """
    return _run(settings)


@command(Checking)
def check(settings: Checking) -> list[str]:
    """Read your orders and say what is in them, what is odd, and what became of each row; nothing is fitted.

    What cannot be read is refused in one paragraph, with the options that would read it.

    Example: bayes-clv check orders.csv --customer-id client --date day --spend amount
    """
    from bayes_clv.workflows.checking import check_orders

    return check_orders(settings)


@command(Scoring)
def score(settings: Scoring) -> Said:
    """Forecast orders, old and new, with a finished run's posterior; say whether what came is what the run promised.

    A row a customer in --out, what was found in a .json beside it. Exit status: 0 where what came since the run's end
    is within what it promised, or nothing came; 3 where it is not, and the run should be made again; 2 for bad input.
    A start that was stopped goes on with the same command.

    Example: bayes-clv score clv-run orders.parquet --out scored.parquet
    """
    from bayes_clv.workflows.scoring import score_run, score_summary

    record = score_run(settings, tell=_Stages())
    return score_summary(record, settings.out), OUTSIDE if record["refit"] else 0


@command(Backtesting)
def backtest(settings: Backtesting) -> list[str]:
    """Forecast from several days of the past and score each forecast on what came, beside simple rules.

    In --out: scores.csv and .parquet (a row a forecast, day, horizon and measure), origins.png and backtest.json. A
    start that was stopped goes on with the same command.

    Example: bayes-clv backtest orders.csv --origins 6 --horizons "13 weeks, 26 weeks" --families bg_nbd,mbg_nbd
    --out backtest
    """
    from bayes_clv.workflows.backtesting import run_backtest

    return run_backtest(settings, progress=sys.stderr.isatty())


@command(Choice)
def target(choice: Choice) -> list[str]:
    """Choose whom to contact, from an experiment: a row a customer in --out, the page and the gain curve beside it.

    Examples: bayes-clv target experiment.csv --cost 1.5 --margin 0.3 --segment segment --budget 5000 --out targets.csv;
    of several offers
    bayes-clv target experiment.csv --treated offer --offers offers.toml --margin 0.3 --segment segment

    \b
    where offers.toml names the controls and what each offer costs a contact:
      control = "none"
      [costs]
      mail = 0.20
      call = 0.90
    """  # noqa: D301
    from bayes_clv.workflows.targeting import choose

    return choose(choice, sampler_progress=sys.stderr.isatty())


@command(Segmenting)
def segment(choice: Segmenting) -> list[str]:
    """Sort the customers of a finished run into segments: a row a customer in --out, sizes and figures beside it.

    Each customer gets a probability of each segment, each segment a number of customers and a value with intervals.

    Examples: bayes-clv segment clv-demo --rule lifecycle;
    bayes-clv segment clv-demo --rule four-kinds --set profit_per_purchase=10;
    bayes-clv segment clv-demo --rule kinds.toml --out kinds.csv

    \b
    where kinds.toml is a text like this one, with names in any language:
      name = "Kinds of customers"
      [quantities]
      profit = "0.3 * spend_per_purchase - 2"
      [[segments]]
      name = "gold"
      where = "profit >= 8 and purchases >= 2"
      [[segments]]
      name = "silver"
      where = "profit >= 8 and purchases < 2"
      [[segments]]
      name = "the others"
      otherwise = true

    A quantity is a column of the customers (frequency, recency, T, monetary_value, ...), what the customer is (alive,
    purchase_rate, spend_per_purchase, ...) or will do over the horizon (purchases, spend, value). A threshold is a
    number, quantile(0.8) or bringing(0.8). A rule whose segments overlap or leave customers out is refused.
    """  # noqa: D301
    from bayes_clv.workflows.segmenting import segment_run

    return segment_run(choice)


@command(Comparing)
def compare(choice: Comparing) -> list[str]:
    """Compare scenarios of price, margin, rates and costs with the base of a finished run, on the same draws.

    In --out a row a scenario; beside it the page (.html), the tornado (-tornado.csv) and the figures (.png).

    Example: bayes-clv compare clv-run scenarios.toml --out scenarios.csv

    \b
    where scenarios.toml is a text like this one:
      [base]
      cost_per_order = 1.2
      [[scenarios]]
      name = "Dearer"
      price = "+5 %"
      purchase_rate = {normal = ["-3 %", "1 %"]}
      [[scenarios]]
      name = "Letter to those who came back"
      where = "frequency >= 1"
      contact_cost = 1.5
      purchase_rate = "+8 %"
      break_even = "purchase_rate"

    Levers: margin, price, spend, purchase_rate, dropout, annual_discount_rate, horizon, cost_to_serve (a time unit of
    the run), cost_per_order, contact_cost, new_customers, acquisition_cost. A number is what a lever is set to, a text
    such as "+5 %" changes what it is in the base; price, spend, purchase_rate and dropout are changes alone.
    On some days: promotion = {effect = "+30 %", from = "2026-12-01", until = "2026-12-14"}, or of the calendar of the
    run event = {name = "sale", from = ..., until = ..., value = 0}.
    """  # noqa: D301
    from bayes_clv.workflows.comparing import compare_run

    return compare_run(choice)


@command(Acquiring)
def channels(choice: Acquiring) -> list[str]:
    """Judge the channels of a finished run: what a new customer is worth against its cost, payback, what to stop.

    In --out a row a channel; beside it the page (.html), which beats which (-pairs.csv) and the figures (.png).

    Example: bayes-clv channels clv-run channels.toml --out channels.csv

    \b
    where channels.toml is a text like this one:
      by = "channel"
      test_cost = 500
      budget = 10000
      [[channels]]
      name = "search"
      spent = 4200
      won = 310
      elasticity = 0.6
      bids = [[10, 50], [40, 400]]
      [[channels]]
      name = "social"
      cost = {normal = [14, 2]}
      customers = 500
      [others]
      cost = 12

    The names are those of the column that the run was given as --groups. A channel has a cost, a number or a
    distribution; or what was spent and how many customers that won; or cost_per_lead, leads and converted. customers
    says of how many the decision is. With a budget, elasticity (of customers to money) or most (customers there are)
    says what more money brings; bids are [bid, customers it wins], with pays = "next" or "bid" and common, from 0 to 1.
    """  # noqa: D301
    from bayes_clv.workflows.acquiring import channels_run

    return channels_run(choice)


@command(Valuing)
def equity(choice: Valuing) -> list[str]:
    """Say what the base of a finished run is worth: present customers and those still to come, and who holds it.

    With an earlier run (--before), or a day of the run's orders (--orders, --opened), also what has changed since: new,
    lost, rate, spend, in money. In --out a row a number; beside it the page (.html), tables and figures (.png).

    Examples: bayes-clv equity results --since 2025-03-01 --acquisition-cost 20 --out equity.csv;
    bayes-clv equity results --orders orders.csv --opened 2025-06-30
    """
    from bayes_clv.workflows.valuing import equity_run

    return equity_run(choice)


@command(Auditing)
def audit(settings: Auditing) -> list[str]:
    """Look at the base over time, counted and not estimated: who buys how much, who stays, each cohort's life.

    In --out a row a period; beside it a row a cohort and period (-cohorts), who came and lapsed (-flows), tenths of the
    customers (-tenths), the page (.html) and figures (.png).

    Example: bayes-clv audit orders.csv --customer-id client --date day --spend amount --period quarter --out audit.csv
    """
    from bayes_clv.workflows.auditing import audit_run

    return audit_run(settings)


@command(Offering)
def offers(choice: Offering) -> list[str]:
    """Hold offers against each other as customers see them: price, weighted performance, fair prices, the best value.

    In --out a row a rival; beside it the page (.html), each advantage by attribute (-advantages), the figures (.png).

    Example: bayes-clv offers market.csv --slope 58.5 --concentration 50 --rating-error 0.5 --out offers.csv

    \b
    where market.csv is a text like this one, of a spreadsheet:
      attribute,weight,Ours,Theirs
      taste,40,8,6
      support,60,2,7
      purchase,price,17,25
      filters of five years,price,120,130

    Weights add up to 100, or to 1; ratings lie on one scale (--lowest, --highest); more is better.

    \b
    With --survey survey.toml, which is a text like this one, and answers.csv with a row a respondent:
      answers = "answers.csv"
      scale = [1, 7]
      by = "shop"
      recommend = "recommend"
      [drivers]
      overall = "overall"
      attributes = ["taste", "support"]
      [perceived]
      reliability = ["on_time", "no_errors"]
      [expected]
      reliability = ["should_be_on_time"]
    """  # noqa: D301
    from bayes_clv.workflows.offering import offer_run

    return offer_run(choice)


@command(Alarming)
def alarms(choice: Alarming) -> list[str]:
    """List whose silence is a warning, the most value at risk first, and when each customer's alarm comes.

    Value at risk is (1 - P(alive)) times the mean residual value that the run forecast.

    Example: bayes-clv alarms clv-demo --threshold 0.4 --only-alarmed --most 100 --out alarms.csv
    """
    from bayes_clv.workflows.alarming import alarm_run

    return alarm_run(choice)


@command(Juxtaposing)
def runs(choice: Juxtaposing) -> list[str]:
    """Hold finished runs beside each other: families, margins, horizons; their totals, misses and rankings.

    In --out a row a run, beside it a figure (-totals.png). Each run is of its own posterior; what a price or a rate
    would change on one posterior says 'bayes-clv compare'.

    Example: bayes-clv runs plain with-calendar mbg --out runs.csv
    """
    from bayes_clv.workflows.side_by_side import runs_beside

    return runs_beside(choice)


# ``app`` is typer's here.
@command(Browsing, name="app")
def browse(choice: Browsing) -> list[str]:
    """Look at a finished run in a browser: customers, their history and future, segments, what if, channels.

    Sliders and rules are answered on the run's own draws. Only this machine can open the page unless --host says
    otherwise; nothing but the run is read, and nothing is written.

    Examples: bayes-clv app clv-demo; bayes-clv app clv-demo --host 0.0.0.0 --port 8080 --no-open
    """
    from bayes_clv.app.serving import serve

    return serve(choice, tell=typer.echo)


def main() -> None:
    """Start the command line."""
    app()
