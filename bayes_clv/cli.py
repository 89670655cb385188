"""The road from a shell: ``bayes-clv demo`` and ``run``, from there ``segment`` and ``alarms``, and ``target``.

Results go to --out, progress to stderr, a summary to stdout. Bad input is one paragraph and exit code 2.
Everything slow is imported by the stage that needs it, so that ``--help`` answers at once.
"""

import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bayes_clv.schema import InputError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Bayesian customer lifetime value: orders in, retention, purchases and value with their uncertainty out.",
)

TimeUnit = Literal["hour", "day", "week", "month", "year"]
Method = Literal["nuts", "laplace", "mode"]
BadRows = Literal["refuse", "drop"]

Seed = Annotated[int, typer.Option(help="Seed of every random number: the same seed repeats the run.", min=0)]
Draws = Annotated[int, typer.Option(help="Posterior draws per chain (4 chains).", min=1)]
MethodOption = Annotated[
    Method,
    typer.Option(
        help="nuts: the default; laplace: faster, checked by its Pareto k; mode: a point, for papers."
    ),
]

CDNOW_UNTIL = "1997-09-30"
CDNOW_HOLDOUT_UNTIL = "1998-06-30"


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the results; an earlier run there is replaced.")
    ] = Path("clv-demo"),
    method: MethodOption = "nuts",
    draws: Draws = 1000,
    seed: Seed = 1,
) -> None:
    """Run on CDNOW: 2,357 customers, 39 weeks to learn from, 39 weeks held out to check the forecast."""
    from bayes_clv.workflows.settings import Settings

    _go(
        lambda: Settings(
            orders=_cdnow(),
            out=out,
            until=CDNOW_UNTIL,
            holdout_until=CDNOW_HOLDOUT_UNTIL,
            margin=0.3,
            annual_discount_rate=0.10,
            method=method,
            draws=draws,
            seed=seed,
            title="CDNOW: customer lifetime value",
        )
    )


@app.command()
def run(
    orders: Annotated[
        Path, typer.Argument(help="Order log: a CSV or Parquet file, one row an order.", show_default=False)
    ],
    customer_id: Annotated[str, typer.Option(help="Column with the customer's id.")] = "customer_id",
    date: Annotated[str, typer.Option(help="Column with the date of the order.")] = "date",
    spend: Annotated[str, typer.Option(help="Column with the amount of the order.")] = "spend",
    purchases_only: Annotated[
        bool, typer.Option("--purchases-only", help="There is no amount: forecast purchases without value.")
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(help="Last day to learn from, like 1997-09-30 [default: the last order's day]."),
    ] = None,
    holdout_until: Annotated[
        str | None, typer.Option(help="Last day of a holdout after --until; the forecast is scored on it.")
    ] = None,
    time_unit: Annotated[TimeUnit, typer.Option(help="Unit of all durations and rates.")] = "week",
    horizon: Annotated[
        str | None,
        typer.Option(
            help="How far to forecast, like '52 weeks' [default: the holdout's length, else 52 weeks]."
        ),
    ] = None,
    margin: Annotated[float, typer.Option(help="Share of spend that is earned: 0.3 means 30 %.")] = 1.0,
    annual_discount_rate: Annotated[float, typer.Option(help="Discount rate a year: 0.10 means 10 %.")] = 0.0,
    acquisition_cost: Annotated[
        float, typer.Option(help="What one customer cost to acquire, in money.")
    ] = 0.0,
    family: Annotated[
        str,
        typer.Option(
            help="Purchase family, such as bg_nbd, mbg_nbd (leaving after the first order too), pareto_nbd (leaving at "
            "any time) or nbd (no leaving)."
        ),
    ] = "bg_nbd",
    method: MethodOption = "nuts",
    draws: Draws = 1000,
    seed: Seed = 1,
    bad_rows: Annotated[
        BadRows,
        typer.Option(
            help="Rows without id, date or amount, or with a negative one: refuse, or drop and say so."
        ),
    ] = "refuse",
    columns: Annotated[
        Path | None,
        typer.Option(
            help="Table with one row per customer, CSV or Parquet: what --covariate and --groups name."
        ),
    ] = None,
    covariate: Annotated[
        list[str] | None,
        typer.Option(
            help="What a column acts on, like purchase=age or 'dropout=age * C(channel)'; may be repeated.",
            show_default=False,
        ),
    ] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of pooled groups, like channel (on everything) or purchase=channel; may be repeated.",
            show_default=False,
        ),
    ] = None,
    posteriors: Annotated[
        Path | None, typer.Option(help="Folder of an earlier run: use its posteriors, do not fit again.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the results; an earlier run there is replaced.")
    ] = Path("clv-run"),
) -> None:
    """Run on your own orders: report.html, customers.parquet, posteriors, figures and run.json in --out.

    Example: bayes-clv run orders.csv --customer-id client --date day --spend amount
    --until 2025-12-31 --horizon "52 weeks" --margin 0.3 --annual-discount-rate 0.10 --out results
    """
    from bayes_clv.workflows.settings import Settings

    _go(
        lambda: Settings(
            orders=orders,
            out=out,
            customer_id=customer_id,
            date=date,
            spend=None if purchases_only else spend,
            until=until,
            holdout_until=holdout_until,
            time_unit=time_unit,
            horizon=horizon,
            margin=margin,
            annual_discount_rate=annual_discount_rate,
            acquisition_cost=acquisition_cost,
            family=family,
            method=method,
            draws=draws,
            seed=seed,
            on_bad_rows=bad_rows,
            posteriors=posteriors,
            columns=columns,
            covariates=_acting(covariate or [], "--covariate"),
            groups=_grouping(groups or []),
            title=f"Customer lifetime value: {orders.stem}",
        )
    )


@app.command()
def target(
    experiment: Annotated[
        Path,
        typer.Argument(help="Experiment: a CSV or Parquet file, one row a customer.", show_default=False),
    ],
    cost: Annotated[float, typer.Option(help="What one contact costs, in money.", show_default=False)],
    customer_id: Annotated[str, typer.Option(help="Column with the customer's id.")] = "customer_id",
    treated: Annotated[
        str, typer.Option(help="Column with 1 for who was drawn to be contacted, 0 for controls.")
    ] = "treated",
    outcome: Annotated[
        str, typer.Option(help="Column with the money brought since, 0 where nothing was bought.")
    ] = "outcome",
    segment: Annotated[
        str | None,
        typer.Option(help="Column of segments over which the response may differ [default: none]."),
    ] = None,
    customers: Annotated[
        Path | None,
        typer.Option(
            help="Customers to choose from: a file with their ids and segments [default: the experiment's]."
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="Column of the customers to which the response is taken to be proportional, such as an expected value."
        ),
    ] = None,
    margin: Annotated[float, typer.Option(help="Share of the outcome that is earned: 0.3 means 30 %.")] = 1.0,
    budget: Annotated[
        float | None, typer.Option(help="The most that all contacts may cost [default: no limit].")
    ] = None,
    risk: Annotated[
        str | None,
        typer.Option(help="Choose for a high lower quantile of the total, like q10 [default: for its mean]."),
    ] = None,
    test: Annotated[
        int | None,
        typer.Option(help="Also say what a test of so many customers would be worth before deciding."),
    ] = None,
    method: Annotated[
        Literal["nuts", "laplace"],
        typer.Option(help="nuts: the default; laplace: faster, checked by Pareto k."),
    ] = "nuts",
    draws: Draws = 1000,
    seed: Seed = 1,
    out: Annotated[
        Path, typer.Option(help="Where the table goes, one row a customer: a .csv or .parquet file.")
    ] = Path("targets.csv"),
) -> None:
    """Choose whom to contact, from an experiment: a row a customer in --out, the gain curve beside it.

    Example: bayes-clv target experiment.csv --cost 1.5 --margin 0.3 --segment segment --budget 5000 --out targets.csv
    """

    def chosen() -> list[str]:
        from bayes_clv.workflows.target import Choice, choose

        choice = Choice(
            experiment=experiment,
            cost=cost,
            customer_id=customer_id,
            treated=treated,
            outcome=outcome,
            segment=segment,
            customers=customers,
            scale=scale,
            margin=margin,
            budget=budget,
            risk=risk,
            test=test,
            method=method,
            draws=draws,
            seed=seed,
            out=out,
        )
        return choose(choice, sampler_progress=sys.stderr.isatty())

    _tell_lines(chosen)


@app.command()
def segment(
    run_dir: Annotated[
        Path, typer.Argument(help="Folder that 'bayes-clv run' or 'demo' wrote.", show_default=False)
    ],
    rule: Annotated[
        str,
        typer.Option(
            help="A TOML file with a rule of your own, or one of abc, four-kinds, lifecycle, matrix and rfm.",
            show_default=False,
        ),
    ],
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="What a rule known by name is given, like profit_per_purchase=5; may be repeated.",
            show_default=False,
        ),
    ] = None,
    horizon: Annotated[
        str | None, typer.Option(help="How far to look ahead, like '52 weeks' [default: the run's].")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Share of spend that is earned: 0.3 means 30 % [default: the run's].")
    ] = None,
    columns: Annotated[
        Path | None,
        typer.Option(
            help="Table with one row per customer, CSV or Parquet: further numbers that the rule reads."
        ),
    ] = None,
    customer_id: Annotated[
        str, typer.Option(help="Column of that table with the customer's id.")
    ] = "customer_id",
    sure: Annotated[
        float,
        typer.Option(help="A customer is unsure whose most probable segment has less than this probability."),
    ] = 0.8,
    draws: Annotated[
        int,
        typer.Option(
            help="Posterior draws, at most; 2000 where a rule has many segments, as rfm has.", min=1
        ),
    ] = 400,
    seed: Annotated[
        int | None, typer.Option(help="Seed of every random number [default: the run's].", min=0)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where the table goes, one row a customer: a .csv or .parquet file [default: segments-RULE.csv]."
        ),
    ] = None,
) -> None:
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

    def sort() -> list[str]:
        from bayes_clv.workflows.segment import Segmenting, segment_run

        return segment_run(
            Segmenting(
                run=run_dir,
                rule=rule,
                given=_given(given or []),
                out=out,
                horizon=horizon,
                margin=margin,
                columns=columns,
                customer_id=customer_id,
                sure=sure,
                draws=draws,
                seed=seed,
            )
        )

    _tell_lines(sort)


@app.command()
def alarms(
    run_dir: Annotated[
        Path, typer.Argument(help="Folder that 'bayes-clv run' or 'demo' wrote.", show_default=False)
    ],
    threshold: Annotated[float, typer.Option(help="Warn where P(alive) has fallen to this.")] = 0.5,
    longest: Annotated[
        str | None,
        typer.Option(help="Longest silence to look at, like '5 years' [default: ten times the longest age]."),
    ] = None,
    only_alarmed: Annotated[
        bool, typer.Option("--only-alarmed", help="List only those whose alarm has come.")
    ] = False,
    most: Annotated[
        int | None, typer.Option(help="List at most so many customers.", show_default=False)
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Where the list goes, one row a customer: a .csv or .parquet file.")
    ] = Path("alarms.csv"),
) -> None:
    """List whose silence is a warning, the most value at risk first, and when each customer's alarm comes.

    Value at risk is (1 - P(alive)) times the mean residual value that the run forecast.

    Example: bayes-clv alarms clv-demo --threshold 0.4 --only-alarmed --most 100 --out alarms.csv
    """

    def listed() -> list[str]:
        from bayes_clv.workflows.alarms import Alarming, alarm_run

        return alarm_run(
            Alarming(
                run=run_dir,
                out=out,
                threshold=threshold,
                longest=longest,
                only_alarmed=only_alarmed,
                most=most,
            )
        )

    _tell_lines(listed)


def _given(options: list[str]) -> dict[str, str]:
    """Return the arguments of options like profit_per_purchase=5."""
    found: dict[str, str] = {}
    for option in options:
        name, sign, text = (part.strip() for part in option.partition("="))
        if not (name and sign and text):
            raise InputError(f"--set {option!r} does not say what is set. Write it like --set scores=3.")
        if name in found:
            raise InputError(f"--set {name} is there twice: {found[name]} and {text}. Leave one out.")
        found[name] = text
    return found


def _tell_lines(work: Callable[[], list[str]]) -> None:
    """Print the lines of a command; bad input ends in one paragraph and exit code 2."""
    try:
        lines = work()
    except InputError as error:
        typer.echo(_paragraph(error), err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("Stopped; nothing was written.", err=True)
        raise typer.Exit(130) from None
    typer.echo("\n".join(lines))


def _cdnow() -> Any:
    from bayes_clv.customers.cdnow import load_cdnow

    return load_cdnow()


def _acting(options: list[str], name: str) -> dict[str, list[str]]:
    """Return what acts on what, of options like purchase=age."""
    found: dict[str, list[str]] = {}
    for option in options:
        target, sign, column = (part.strip() for part in option.partition("="))
        if not (target and sign and column):
            raise InputError(
                f"{name} {option!r} does not say what acts on what. Write it like {name} purchase=age."
            )
        found.setdefault(target, []).append(column)
    return found


def _grouping(options: list[str]) -> dict[str, list[str]] | list[str]:
    """Return the grouping columns: for every quantity, or by process."""
    placed = [option for option in options if "=" in option]
    if not placed:
        return options
    if len(placed) < len(options):
        alone = next(option for option in options if "=" not in option)
        raise InputError(
            f"--groups {alone!r} is for every quantity and --groups {placed[0]!r} for one. Write all of them like "
            f"--groups purchase={alone}."
        )
    return _acting(placed, "--groups")


def _go(settings: Any) -> None:
    """Run, with stages on stderr; bad input ends in one paragraph and exit code 2."""
    from bayes_clv.workflows.run import run as run_road

    try:
        chosen = settings()
        record = run_road(chosen, tell=_tell, sampler_progress=sys.stderr.isatty())
    except InputError as error:
        typer.echo(_after_stage() + _paragraph(error), err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo(_after_stage() + "Stopped; nothing was written.", err=True)
        raise typer.Exit(130) from None
    typer.echo(summary(record, chosen.out))


def _paragraph(error: InputError) -> str:
    # An option broken at its hyphen could not be copied.
    text = f"Error: {in_options(str(error))}"
    return textwrap.fill(text, width=100, break_long_words=False, break_on_hyphens=False)


def in_options(message: str) -> str:
    """Return a message about arguments of functions in the words of the command line.

    Examples
    --------
    >>> in_options("until='soon' is not a day. Write it like until='1997-09-30'.")
    "--until 'soon' is not a day. Write it like --until '1997-09-30'."
    """
    message = message.replace("spend=None", "--purchases-only").replace(
        "name them in the call", "name them with --customer-id, --date and --spend"
    )
    message = message.replace("groups={'purchase': 'channel'}", "--groups purchase=channel")
    message = message.replace("margin must be", "--margin must be")
    message = message.replace("attached with clv.with_columns", "read with --columns")
    message = message.replace("customers = clv.with_columns(customers, table)", "--columns TABLE")
    message = message.replace("draws with a spending posterior", "a run with amounts")
    message = re.sub(r"covariates=\{'purchase': '(\w+)'\}", r"--covariate purchase=\1", message)
    special = {"on_bad_rows": "--bad-rows", "covariates": "--covariate"}
    plain = (
        *("holdout_until", "until", "time_unit", "family", "method", "seed", "groups", "columns"),
        *("budget", "risk", "scale", "test", "segment", "sure", "draws", "threshold"),
    )
    for name in (*special, *plain):
        option = special.get(name, f"--{name.replace('_', '-')}")
        message = re.sub(rf"\b(?<!--set ){name}=(?!=)", f"{option} ", message)
    for name in ("holdout_until", "acquisition_cost", "annual_discount_rate"):
        message = re.sub(rf"\b{name}\b", f"--{name.replace('_', '-')}", message)
    return message


def _after_stage() -> str:
    # On a terminal the line of the running stage is still open.
    return "\n" if sys.stderr.isatty() else ""


def _tell(stage: str, seconds: float | None) -> None:
    if seconds is None:
        typer.echo(f"  {stage} ...", err=True, nl=not sys.stderr.isatty())
    elif sys.stderr.isatty():
        typer.echo(f"\r  {stage:<40} {seconds:6.1f} s", err=True)
    else:
        typer.echo(f"  {stage:<40} {seconds:6.1f} s", err=True)


def summary(record: dict[str, Any], out: Path) -> str:
    """Return what a person wants to know of a run before opening the report."""
    arguments, totals = record["arguments"], record["totals"]
    people = f"{record['customers']:,} customer{'' if record['customers'] == 1 else 's'}"
    lines = [f"{people}; forecast over {arguments['horizon']} (outcome level)."]
    for name, what in (("purchases", "Purchases"), ("value", "Residual value")):
        if name in totals:
            total = totals[name]
            lines.append(
                f"{what} of all customers: mean {total['mean']:,.0f}, 90 % interval {total['q05']:,.0f} to "
                f"{total['q95']:,.0f}."
            )
    if record["holdout"] is not None:
        lines += ["", *_holdout_lines(record["holdout"])]
    problems = [
        f"{found['family']}: {problem}"
        for found in record["diagnostics"].values()
        for problem in found["problems"]
    ]
    lines += ["", *(problems or ["All convergence checks passed."])]
    lines += ["", f"Report: {out / 'report.html'} (in {record['seconds']:.0f} s)"]
    return "\n".join(lines)


def _holdout_lines(score: dict[str, Any]) -> list[str]:
    model, observed = score["measures"]["model"], score["observed"]["total_observed"]
    ninety = score["intervals"].index(90)
    missed = "inside" if model["total_covered"] else "OUTSIDE"
    lines = [
        f"Holdout of {score['horizon']:g} {score['time_unit']}s:",
        f"  {model['covered'][ninety]:.1%} of customers' real counts lie in their 90 % interval, which holds "
        f"{model['promised'][ninety]:.1%} by the model (counts are whole, so a closed interval holds more than 90 %).",
        f"  Real total {observed:,}; forecast {model['total_mean']:,.0f}, 90 % interval {model['total_q05']:,.0f} to "
        f"{model['total_q95']:,.0f}: the real total is {missed}.",
    ]
    if not model["total_covered"]:
        direction = "under" if model["total_mean"] < observed else "over"
        share = f" by {abs(model['total_error']):.0%}" if model["total_error"] is not None else ""
        lines.append(
            f"  The model {direction}-predicts the total{share}: rely on rankings and shares rather than on sums."
        )
    return lines


def main() -> None:
    """Start the command line."""
    app()
