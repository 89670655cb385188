"""The commands ``segment`` and ``alarms``: a finished run in, tables, figures and a summary out.

Like ``target``, one road through the stages; whoever wants another road calls them. Results go beside the run and not
into its folder, which ``run`` replaces as a whole.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.schema import CUSTOMER, InputError
from bayes_clv.workflows.folders import all_or_nothing, check_out, save_figures

if TYPE_CHECKING:
    import xarray as xr

    from bayes_clv.predictions.simulation import CustomerDraws
    from bayes_clv.segments.rules import Rule
    from bayes_clv.workflows.folders import Finished


DRAWS = 400


# Above it the summary shows the segments that bring most, and counts the others.
SEGMENTS_SHOWN = 12


# Nobody leaves there before a repeat purchase.
NEVER_LEAVE_FIRST = {"bg_nbd": "mbg_nbd", "bg_cnbd_k": "mbg_cnbd_k"}


EXAMPLE = (
    'A rule of your own is a TOML file: a line name = "Buyers", then of each segment the lines [[segments]], '
    'name = "again" and where = "purchases >= 1", and of the last one otherwise = true in place of where.'
)


@dataclass(frozen=True)
class Segmenting:
    """What to sort and by which rule.

    ``rule`` is a TOML file or a name of ``PRESETS``, whose arguments are ``given``. ``out`` is a .csv or .parquet file;
    None is ``segments-RULE.csv`` in the current folder. ``horizon`` and ``margin`` are the run's where None, and so is
    ``seed``. ``columns`` is a table of one row a customer with further numbers that the rule reads.
    """

    run: Path
    rule: str | Path
    given: Mapping[str, str] = field(default_factory=dict)
    out: Path | None = None
    horizon: str | float | None = None
    margin: float | None = None
    columns: Path | None = None
    customer_id: str = "customer_id"
    sure: float = 0.8
    draws: int = DRAWS
    seed: int | None = None


def segment_run(choice: Segmenting) -> list[str]:
    """Write customers, sizes and figures of a rule's segments; return the summary's lines.

    Written are ``out``, one row a customer; beside it ``-sizes`` of the same kind, one row a segment, and the figures
    ``-sizes.png``, ``-value.png`` (``-purchases.png`` where there is no money) and ``-membership.png``.

    Raises
    ------
    InputError
        For anything that cannot be used; nothing is then written.
    """
    from bayes_clv.workflows.folders import read_record, read_run

    read_record(choice.run)
    out = Path(f"segments-{Path(choice.rule).stem}.csv") if choice.out is None else Path(choice.out)
    check_out(out, choice.run)
    if choice.columns is not None and out.resolve() == Path(choice.columns).resolve():
        raise InputError(
            f"--out {str(out)!r} is the table of --columns, which would be lost. Name another file."
        )
    rule_of = _rule(choice)
    run = read_run(choice.run)
    margin = run.margin if choice.margin is None else choice.margin
    rule = rule_of(margin)
    draws = _draws(choice, run, rule, margin)

    from bayes_clv.segments.segmenting import segment
    from bayes_clv.views.frames import table
    from bayes_clv.workflows.folders import write_table

    totals = ("purchases",) if run.spending is None else ("purchases", "value")
    found = segment(draws, rule, totals=totals, sure=choice.sure)
    sizes = out.with_stem(f"{out.stem}-sizes")
    with all_or_nothing(out) as work:
        write_table(table(found, by="customer"), work / out.name)
        write_table(table(found, by="segment"), work / sizes.name)
        drawn = _segment_figures(found, totals[-1])
        notes = save_figures({f"{out.stem}-{end}": figure for end, figure in drawn.items()}, work)
    return [
        *segment_summary(
            found,
            file=sizes.name,
            earned=None if run.spending is None else _earned(margin, run.annual_discount_rate),
        ),
        *checks_of(run),
        "",
        f"Customers: {out}",
        f"Segments: {sizes}",
        f"Figures: {', '.join(str(out.with_name(f'{out.stem}-{end}.png')) for end in drawn)}",
        *notes,
    ]


# Rules.
def _number(text: str) -> float:
    return float(text)


def _number_or_words(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _shares(text: str) -> tuple[float, float]:
    first, both = text.split(",")
    return float(first), float(both)


# What each preset can be given on the command line, how it is read, and what it must be given.
type Readers = dict[str, Callable[[str], Any]]


PRESETS: dict[str, tuple[str, Readers, tuple[str, ...]]] = {
    "abc": ("abc_rule", {"quantity": str, "shares": _shares}, ()),
    "four-kinds": (
        "four_kinds_rule",
        {"profit_per_purchase": _number, "purchases": _number, "cost_to_serve": _number_or_words},
        ("profit_per_purchase=5",),
    ),
    "lifecycle": ("lifecycle_rule", {"loyal": _number, "late": _number, "long_silence": _number}, ()),
    "matrix": (
        "matrix_rule",
        {"x": str, "y": str, "x_cut": _number_or_words, "y_cut": _number_or_words},
        ("x=probability_alive", "y=value"),
    ),
    "rfm": ("rfm_rule", {"scores": int, "recency": str, "frequency": str, "monetary": str}, ()),
}


def _rule(choice: Segmenting) -> Callable[[float], "Rule"]:
    """Return what makes the rule, given the margin; a file is read, and a preset's arguments are checked, at once."""
    name = str(choice.rule)
    if name in PRESETS:
        arguments = _arguments(name, choice.given)
        return lambda margin: _preset(name, arguments, margin)
    path = Path(choice.rule)
    if choice.given:
        raise InputError(
            f"--set is for {', '.join(PRESETS)}. What a rule of your own says stands in its file."
        )
    if not path.is_file():
        raise InputError(
            f"There is no file {name!r}, and no rule of that name: --rule is a TOML file or one of "
            f"{', '.join(PRESETS)}. {EXAMPLE}"
        )
    from bayes_clv.segments.rule_files import read_rule

    rule = read_rule(path)
    return lambda _margin: rule


def _arguments(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    _, readers, needed = PRESETS[name]
    arguments = {}
    for key, text in given.items():
        if key not in readers:
            raise InputError(f"--set {key} is not known of {name}. It takes {', '.join(readers)}.")
        try:
            arguments[key] = readers[key](text.strip())
        except ValueError:
            what = {int: "a whole number", _shares: "two shares such as 0.8,0.95"}
            raise InputError(f"--set {key}={text} is not {what.get(readers[key], 'a number')}.") from None
    missing = [each for each in needed if each.partition("=")[0] not in arguments]
    if missing:
        raise InputError(
            f"--rule {name} needs {' and '.join(each.partition('=')[0] for each in missing)}. Write it like "
            f"{' '.join(f'--set {each}' for each in needed)}."
        )
    return arguments


def _preset(name: str, arguments: dict[str, Any], margin: float) -> "Rule":
    from bayes_clv.segments import presets

    make = getattr(presets, PRESETS[name][0])
    try:
        rule: Rule = make(**arguments, **({"margin": margin} if name == "four-kinds" else {}))
    except InputError as error:
        # An argument's name, in the words of the command line.
        raise InputError(re.sub(r"^(\w+)=", r"--set \1=", str(error))) from None
    return rule


def _draws(choice: Segmenting, run: "Finished", rule: "Rule", margin: float) -> "CustomerDraws":
    """Return the joint draws of the run's customers, with the further columns that the rule reads."""
    from bayes_clv.predictions.simulation import customer_draws

    def of(customers: "xr.Dataset") -> "CustomerDraws":
        return customer_draws(
            run.buying,
            customers,
            spending=run.spending,
            horizon=run.horizon if choice.horizon is None else choice.horizon,
            margin=margin,
            annual_discount_rate=run.annual_discount_rate if run.spending is not None else 0.0,
            draws=choice.draws,
            seed=run.seed if choice.seed is None else choice.seed,
        )

    draws = of(run.customers)
    if choice.columns is None:
        return draws
    wanted = [name for name in rule.names() if name not in draws.names]
    if not wanted:
        raise InputError(
            f"The rule {rule.name!r} reads no column of --columns: all of {', '.join(rule.names())} are known without. "
            "Leave it out."
        )
    return of(_with_numbers(run.customers, choice, wanted))


def _with_numbers(customers: "xr.Dataset", choice: Segmenting, wanted: list[str]) -> "xr.Dataset":
    from bayes_clv.customers.checks import as_numbers
    from bayes_clv.customers.columns import with_columns
    from bayes_clv.customers.experiments import read_table

    assert choice.columns is not None
    frame = read_table(choice.columns, [choice.customer_id, *wanted])
    numbers = {name: as_numbers(frame[name], name) for name in wanted}
    table = frame[[choice.customer_id]].rename(columns={choice.customer_id: "customer_id"}).assign(**numbers)
    return with_columns(customers, table, wanted)


def _segment_figures(segments: "xr.Dataset", quantity: str) -> dict[str, Any]:
    from bayes_clv.views.plots.segments import plot_membership, plot_segment_sizes

    return {
        "sizes": plot_segment_sizes(segments),
        quantity: plot_segment_sizes(segments, quantity=quantity),
        "membership": plot_membership(segments),
    }


# Words.
def segment_summary(segments: "xr.Dataset", *, file: str, earned: str | None) -> list[str]:
    """Return what a person wants to know of segments.

    ``file`` is where those stand that are too many to show; ``earned`` says what value is, None where there is no
    money.
    """
    people, unit = segments.sizes[CUSTOMER], segments.attrs["time_unit"]
    names = segments["segment"].to_numpy()
    what = "purchases" if earned is None else "value"
    size, total = _interval(segments, "size"), _interval(segments, f"{what}_total")
    lines = [
        f"{segments.attrs['rule']}: {people:,} customers in {names.size} segments, over "
        f"{segments.attrs['horizon']:g} {unit}s{'' if earned is None else f'; {earned}'}.",
        f"Customers of each segment and their {what}: mean and 90 % interval (outcome level).",
        "",
    ]
    shown = list(range(names.size))
    if names.size > SEGMENTS_SHOWN:
        shown = sorted(shown, key=lambda i: -total[i][0])[:SEGMENTS_SHOWN]
    lines += [f"  {names[i]}: {_words(size[i], ' customers')}, {what} {_words(total[i])}" for i in shown]
    if len(shown) < names.size:
        lines.append(f"  and {names.size - len(shown)} more, with less {what} each: see {file}")
    empty = [f"{name!r}" for name, (*_, high) in zip(names, size, strict=True) if high == 0]
    if empty and len(shown) == names.size:
        lines.append(
            f"  Hardly anybody is in {' and in '.join(empty)}: does the threshold fall where it was meant to?"
        )
    unsure, sure = int(segments["unsure"].sum()), percent(segments.attrs["sure"])
    lines += [
        "",
        f"{unsure:,} of {people:,} customers are unsure (most probable segment below {sure}).",
    ]
    return lines


def _interval(segments: "xr.Dataset", name: str) -> list[tuple[float, float, float]]:
    columns = [segments[f"{name}_{each}"].to_numpy().tolist() for each in ("mean", "q05", "q95")]
    return list(zip(*columns, strict=True))


def _words(interval: tuple[float, float, float], noun: str = "") -> str:
    mean, low, high = map(plain_number, interval)
    return f"{mean}{noun} ({low} to {high})"


def plain_number(number: float) -> str:
    """Return a number as a sentence has it."""
    return f"{number:,.0f}" if abs(number) >= 10 or number == round(number) else f"{number:,.1f}"


def percent(share: float) -> str:
    """Return a share in per cent."""
    return f"{100 * share:.3g} %"


def _earned(margin: float, annual_discount_rate: float) -> str:
    """Return what value is, in words."""
    discount = (
        f"discounted by {percent(annual_discount_rate)} a year" if annual_discount_rate else "undiscounted"
    )
    return f"value is {percent(margin)} of spend, {discount}"


def checks_of(run: "Finished") -> list[str]:
    """Return what the run's own checks said."""
    return ["", *(run.problems or ["All convergence checks of the run passed."])]
