"""The command ``segment``: a finished run and a rule in, tables, figures and a summary out.

Like ``target``, one road through the stages; whoever wants another road calls them. Results go beside the run and not
into its folder, which ``run`` replaces as a whole.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.schema import CUSTOMER, InputError, argument, either
from bayes_clv.workflows.choices import Segmenting
from bayes_clv.workflows.folders import all_or_nothing, check_out, save_figures
from bayes_clv.workflows.words import amount, check_lines, percent, plain_number

if TYPE_CHECKING:
    import xarray as xr

    from bayes_clv.predictions.simulation import Simulation
    from bayes_clv.segments.rules import Rule
    from bayes_clv.workflows.folders import Finished


# Above it the summary shows the segments that bring most, and counts the others.
SEGMENTS_SHOWN = 12


EXAMPLE = (
    'A rule of your own is a TOML file: a line name = "Buyers", then of each segment the lines [[segments]], '
    'name = "again" and where = "purchases >= 1", and of the last one otherwise = true in place of where.'
)


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
            f"{argument('out', str(out))} is the table of {argument('columns')}, which would be lost. Name another "
            f"file."
        )
    rule_of = _rule(choice)
    run = read_run(choice.run)
    margin = run.margin if choice.margin is None else choice.margin
    rule = rule_of(margin, run.sleeping)
    names = [each.name for each in rule.segments]
    if choice.listed is not None and choice.listed not in names:
        raise InputError(
            f"{argument('listed', choice.listed)}: the rule {rule.name!r} has no such segment. It has "
            f"{', '.join(map(repr, names))}."
        )
    draws = _draws(choice, run, rule, margin)

    from bayes_clv.segments.listing import members
    from bayes_clv.segments.segmenting import segment
    from bayes_clv.views.frames import table
    from bayes_clv.workflows.folders import write_table

    totals = ("purchases",) if run.spending is None else ("purchases", "value")
    found = segment(draws, rule, totals=totals, sure=choice.sure)
    sizes, listing = (out.with_stem(f"{out.stem}-{each}") for each in ("sizes", "list"))
    listed = None if choice.listed is None else members(draws, rule, choice.listed, order=choice.order)
    with all_or_nothing(out) as work:
        write_table(table(found, by="customer"), work / out.name)
        write_table(table(found, by="segment"), work / sizes.name)
        if listed is not None:
            write_table(table(listed), work / listing.name)
        drawn = _segment_figures(found, totals[-1])
        notes = save_figures({f"{out.stem}-{end}": figure for end, figure in drawn.items()}, work)
    return [
        *segment_summary(
            found,
            file=sizes.name,
            earned=None if run.spending is None else run.earned(margin),
        ),
        *([] if listed is None else list_summary(listed)),
        "",
        *check_lines(run.failed, where=" in the run"),
        "",
        f"Customers: {out}",
        f"Segments: {sizes}",
        *([] if listed is None else [f"List: {listing}"]),
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
    "abc": ("abc", {"quantity": str, "shares": _shares}, ()),
    "five-actions": (
        "five_actions",
        {
            "cost": _number_or_words,
            "loyal": _number,
            "late": _number,
            "share": str,
            "own_share": _number,
            "potential": str,
            "much_potential": _number,
        },
        ("cost=10",),
    ),
    "four-kinds": (
        "four_kinds",
        {"profit_per_purchase": _number, "purchases": _number, "cost_to_serve": _number_or_words},
        ("profit_per_purchase=5",),
    ),
    "lifecycle": ("lifecycle", {"loyal": _number, "late": _number, "long_silence": _number}, ()),
    "matrix": (
        "matrix",
        {"x": str, "y": str, "x_cut": _number_or_words, "y_cut": _number_or_words},
        ("x=probability_alive", "y=value"),
    ),
    "rfm": ("rfm", {"scores": int, "recency": str, "frequency": str, "monetary": str}, ()),
}


def _rule(choice: Segmenting) -> Callable[[float, bool], "Rule"]:
    """Return what makes the rule, given the margin and whether customers may be asleep.

    A file is read, and a preset's arguments are checked, at once.
    """
    name = str(choice.rule)
    if name in PRESETS:
        arguments = _arguments(name, choice.given)
        return lambda margin, sleeping: _preset(name, arguments, margin, sleeping=sleeping)
    path = Path(choice.rule)
    if choice.given:
        raise InputError(
            f"{argument('given')} is for {', '.join(PRESETS)}. What a rule of your own says stands in its file."
        )
    if not path.is_file():
        raise InputError(
            f"There is no file {name!r}, and no rule of that name: {argument('rule')} is a TOML file or one of "
            f"{', '.join(PRESETS)}. {EXAMPLE}"
        )
    from bayes_clv.segments.rule_files import read_rule

    rule = read_rule(path)
    return lambda _margin, _sleeping: rule


def _arguments(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    _, readers, needed = PRESETS[name]
    arguments = {}
    for key, text in given.items():
        if key not in readers:
            raise InputError(
                f"{argument('given')} {key} is not known of {name}. It takes {', '.join(readers)}."
            )
        try:
            arguments[key] = readers[key](text.strip())
        except ValueError:
            what = {int: "a whole number", _shares: "two shares such as 0.8,0.95"}
            raise InputError(
                f"{argument('given', {key: text})} is not {what.get(readers[key], 'a number')}."
            ) from None
    missing = [each for each in needed if each.partition("=")[0] not in arguments]
    if missing:
        raise InputError(
            f"{either(f'rule={name!r}', f'--rule {name}')} needs "
            f"{' and '.join(each.partition('=')[0] for each in missing)}. Write it like "
            f"{' '.join(argument('given', dict([each.split('=')])) for each in needed)}."
        )
    return arguments


def _preset(name: str, arguments: dict[str, Any], margin: float, *, sleeping: bool) -> "Rule":
    from bayes_clv.segments import presets

    make = getattr(presets, PRESETS[name][0])
    told: dict[str, dict[str, Any]] = {"four-kinds": {"margin": margin}, "lifecycle": {"sleeping": sleeping}}
    own = told.get(name, {})
    try:
        rule: Rule = make(**arguments, **own)
    except InputError as error:
        # An argument's name, in the words of the command line.
        raise InputError(error.told(lambda key, value: argument("given", {key: value}))) from None
    return rule


def _draws(choice: Segmenting, run: "Finished", rule: "Rule", margin: float) -> "Simulation":
    """Return the joint draws of the run's customers, with the further columns that the rule reads."""
    from bayes_clv.predictions.simulation import simulate

    def of(customers: "xr.Dataset") -> "Simulation":
        return simulate(
            run.buying,
            customers,
            horizon=run.horizon if choice.horizon is None else choice.horizon,
            **run.money | ({"margin": margin} if run.spending is not None else {}),
            draws=choice.draws,
            seed=run.seed if choice.seed is None else choice.seed,
        )

    draws = of(run.customers)
    if choice.columns is None:
        return draws
    wanted = [name for name in rule.names() if name not in (*draws.names, *draws.texts)]
    if not wanted:
        raise InputError(
            f"The rule {rule.name!r} reads no column of {argument('columns')}: all of {', '.join(rule.names())} are "
            "known without. Leave it out."
        )
    return of(_with_further(run.customers, choice, wanted, rule.texts()))


def _with_further(
    customers: "xr.Dataset", choice: Segmenting, wanted: list[str], texts: list[str]
) -> "xr.Dataset":
    from bayes_clv.customers.checks import as_numbers, customer_ids
    from bayes_clv.customers.columns import with_columns
    from bayes_clv.customers.experiments import read_table, segment_labels

    assert choice.columns is not None
    frame = read_table(choice.columns, [choice.customer_id, *wanted])
    ids = customer_ids(frame[choice.customer_id])
    further = {
        name: segment_labels(frame[name], name, ids, "Column")
        if name in texts
        else as_numbers(frame[name], name)
        for name in wanted
    }
    table = frame[[choice.customer_id]].rename(columns={choice.customer_id: "customer_id"}).assign(**further)
    return with_columns(customers, table, wanted)


def _segment_figures(segments: "xr.Dataset", quantity: str) -> dict[str, Any]:
    from bayes_clv.views.plots.segments import plot_membership, plot_segment_sizes

    return {
        "sizes": plot_segment_sizes(segments),
        quantity: plot_segment_sizes(segments, quantity=quantity),
        "membership": plot_membership(segments),
    }


# Words.
LISTS = "--list lists them, and says how many of the first to expect in it"


def segment_summary(
    segments: "xr.Dataset", *, file: str, earned: str | None, lists: str = LISTS
) -> list[str]:
    """Return what a person wants to know of segments.

    ``file`` is where those stand that are too many to show, ``lists`` says where customers stand by their probability;
    ``earned`` says what value is, None where there is no money.
    """
    from bayes_clv.views import numbers

    people = segments.sizes[CUSTOMER]
    names = segments["segment"].to_numpy().tolist()
    what = "purchases" if earned is None else "value"
    size, total = _interval(segments, "size"), _interval(segments, f"{what}_total")
    lines = [
        f"{segments.attrs['rule']}: {people:,} customers in {len(names)} segments, over "
        f"{numbers.horizon(segments)}{'' if earned is None else f'; {earned}'}.",
        f"Customers of each segment and their {what}: mean and 90 % interval (outcome level).",
        "",
    ]
    shown = list(range(len(names)))
    if len(names) > SEGMENTS_SHOWN:
        shown = sorted(shown, key=lambda i: -total[i][0])[:SEGMENTS_SHOWN]
    # Purchases are in no currency.
    currency = None if earned is None else segments.attrs.get("currency")
    lines += [
        f"  {names[i]}: {_words(size[i], ' customers')}, {what} {_words(total[i], currency=currency)}"
        for i in shown
    ]
    if len(shown) < len(names):
        lines.append(f"  and {len(names) - len(shown)} more, with less {what} each: see {file}")
    empty = [f"{name!r}" for name, (*_, high) in zip(names, size, strict=True) if high == 0]
    if empty and len(shown) == len(names):
        lines.append(
            f"  Hardly anybody is in {' and in '.join(empty)}: does the threshold fall where it was meant to?"
        )
    carried = set(segments["most_likely"].to_numpy().tolist())
    nobodys = [i for i in shown if size[i][0] >= 1 and names[i] not in carried]
    lines += [
        f"  {names[i]!r} is nobody's most probable segment, though about {plain_number(size[i][0])} customers are in "
        f"it: --list {names[i]!r} lists customers by how probably they are."
        for i in nobodys
    ]
    unsure, sure = int(segments["unsure"].sum()), percent(segments.attrs["sure"])
    lines += [
        "",
        f"{unsure:,} of {people:,} customers are unsure (most probable segment below {sure}).",
    ]
    if unsure:
        lines.append(
            "Totals count each customer with its probability, so they are right all the same. To act on a segment, "
            f"take the customers with the highest probability of it, not its label: {lists}."
        )
    return lines


def _interval(segments: "xr.Dataset", name: str) -> list[tuple[float, float, float]]:
    columns = [segments[f"{name}_{each}"].to_numpy().tolist() for each in ("mean", "q05", "q95")]
    return list(zip(*columns, strict=True))


def _words(interval: tuple[float, float, float], noun: str = "", currency: str | None = None) -> str:
    mean, low, high = (amount(each, currency) for each in interval)
    return f"{mean}{noun} ({low} to {high})"


def list_summary(listed: "xr.Dataset") -> list[str]:
    """Return how many of a segment the first customers of its list are expected to hold."""
    members, people = listed["members"].to_numpy(), listed.sizes[CUSTOMER]
    of_all = float(members[-1])
    name, by = listed.attrs["segment"], listed.attrs["order"]
    words = "the most probable first" if by == "probability" else "those first whose value there is highest"
    lines = [
        "",
        f"{name!r}, {words}: about {plain_number(of_all)} of {people:,} customers are in it.",
    ]
    for first in (number for number in (50, 200, 1000) if number < people):
        some = float(members[first - 1])
        said = f"  the first {first:,} hold about {plain_number(some)} of them"
        if "value_there" in listed:
            value = listed["value_there"].to_numpy()
            share = float(value[:first].sum() / value.sum()) if value.sum() > 0 else 0.0
            said += f", and {percent(share)} of their value"
        lines.append(f"{said}.")
    return lines
