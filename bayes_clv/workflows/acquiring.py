"""The command ``channels``: a finished run and what its channels cost in; tables, a page, figures and a summary out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_clv.language import check_language, say, speaking
from bayes_clv.schema import InputError, argument, in_currency
from bayes_clv.workflows.choices import Acquiring
from bayes_clv.workflows.folders import all_or_nothing, save_figures, with_stated
from bayes_clv.workflows.words import check_lines, earned

if TYPE_CHECKING:
    import xarray as xr

    from bayes_clv.valuation.channel_files import Channels
    from bayes_clv.workflows.folders import Finished

PAIRS = "-pairs"


def channels_run(choice: Acquiring) -> list[str]:
    """Write what each channel's customers are worth against their cost, and the page; return the summary's lines.

    Written are ``out``, one row a channel; beside it ``-pairs`` of the same kind, one row a pair, with a budget and
    bids ``-budget`` and ``-bids``, the page ``.html``, and the figures ``-values.png`` and ``-payback.png``.

    Raises
    ------
    InputError
        For anything that cannot be used; nothing is then written.
    """
    from bayes_clv.valuation.channel_files import read_channels

    check_language(choice.language)
    out = Path(choice.out)
    run, stated = with_stated(choice.run, out, Path(choice.channels), read_channels, command="channels")
    found = _compared(choice, run, stated)
    split, bids = _split(found, stated), _bids(found, stated)

    import pandas as pd

    from bayes_clv.views.fonts import figures_in
    from bayes_clv.views.frames import table
    from bayes_clv.views.plots.channels import plot_channels, plot_payback
    from bayes_clv.views.reporting.channels import write_channels_page
    from bayes_clv.views.reporting.gallery import Gallery
    from bayes_clv.workflows.folders import write_table

    page, pairs = out.with_suffix(".html"), out.with_stem(f"{out.stem}{PAIRS}")
    further: dict[str, pd.DataFrame] = {}
    if split is not None:
        further["Budget"] = table(split)
    if bids:
        # A row a channel and bid.
        each = [table(bid).assign(channel=name) for name, bid in bids.items()]
        further["Bids"] = pd.concat(each, ignore_index=True)
    places = {name: out.with_stem(f"{out.stem}-{name.lower()}") for name in further}
    with all_or_nothing(out) as work:
        write_table(table(found), work / out.name)
        write_table(table(found, by="pair"), work / pairs.name)
        for name, frame in further.items():
            write_table(frame, work / places[name].name)
        with speaking(choice.language):
            write_channels_page(
                work / page.name,
                Gallery(None),
                found=found,
                split=split,
                bids=bids,
                checks=run.failed,
                title=_title(Path(choice.channels).stem),
                run=_shown(choice, run, found),
            )
        with figures_in(choice.language):
            figures = {"values": plot_channels(found), "payback": plot_payback(found)}
        notes = save_figures({f"{out.stem}-{end}": figure for end, figure in figures.items()}, work)
    costs = run.costs_or(stated.costs)
    value = earned(float(found.attrs["margin"]), run.annual_discount_rate, costs)
    return [
        *channels_summary(found, value, run.failed),
        *_also(split, bids),
        "",
        *check_lines(run.failed, where=" in the run"),
        "",
        f"Page: {page}",
        f"Channels: {out}",
        f"Pairs: {pairs}",
        *(f"{name}: {place}" for name, place in places.items()),
        f"Figures: {', '.join(str(out.with_name(f'{out.stem}-{end}.png')) for end in figures)}",
        *notes,
    ]


def _title(stem: str) -> str:
    return say("Channels") if stem == "channels" else say("Channels: {name}", name=stem.replace("_", " "))


def _compared(choice: Acquiring, run: "Finished", stated: "Channels") -> "xr.Dataset":
    """Return the comparison, over the file's horizon or the run's."""
    from bayes_clv.units import duration
    from bayes_clv.valuation.channels import channel_values, compare_channels

    assert run.spending is not None
    by, horizon = _column(run, stated), run.horizon
    if stated.horizon is not None:
        try:
            horizon = duration(stated.horizon, str(run.customers.attrs["time_unit"]))
        except InputError as error:
            raise InputError(f"{stated.places['horizon']}: {error.text}") from None
    try:
        values = channel_values(
            run.buying,
            run.spending,
            by,
            horizon=horizon,
            margin=run.margin,
            annual_discount_rate=run.annual_discount_rate,
            costs=run.costs_or(stated.costs),
            new=stated.new,
            profile=stated.profile,
            draws=choice.draws,
            customers=run.customers,
        )
        return compare_channels(
            values,
            stated.of([str(name) for name in values["channel"].to_numpy()]),
            test_cost=stated.test_cost,
            left_out=stated.left_out,
            seed=run.seed if choice.seed is None else choice.seed,
        )
    except InputError as error:
        # What the file does not say has no line there.
        raise InputError(_at(Path(choice.channels).name, error)) from None


def _split(found: "xr.Dataset", stated: "Channels") -> "xr.Dataset | None":
    """Return the split of the budget over the channels of which it is said what more money brings."""
    if stated.budget is None:
        return None
    from bayes_clv.valuation.acquisition import ELASTICITY, MOST
    from bayes_clv.valuation.budgets import split_budget

    place = stated.places["budget"]
    some = [each for each in stated.listed if ELASTICITY in each.terms or MOST in each.terms]
    if not some:
        raise InputError(
            f"{place}: no channel says what more money would bring. State {ELASTICITY} or {MOST} of those over "
            "which the budget goes."
        )
    try:
        split = split_budget(found["value"], some, stated.budget, seed=int(found.attrs["seed"]))
    except InputError as error:
        raise InputError(_at(place, error)) from None
    return split.assign_attrs(in_currency(found.attrs))


def _bids(found: "xr.Dataset", stated: "Channels") -> "dict[str, xr.Dataset]":
    """Return what to bid for the customers of each channel whose bids are stated."""
    from bayes_clv.valuation.bids import best_bid

    each = {}
    for name, auction in stated.auctions.items():
        try:
            bid = best_bid(found["value"].sel(channel=name), auction.volume, **auction.settings)
        except InputError as error:
            raise InputError(_at(auction.place, error)) from None
        each[name] = bid.assign_attrs(in_currency(found.attrs))
    return each


def _at(place: str, error: InputError) -> str:
    """Return an error with the place in the file, unless it has one."""
    text = error.text
    return text if text.startswith(place.partition(",")[0]) else f"{place}: {text}"


def _also(split: "xr.Dataset | None", bids: "dict[str, xr.Dataset]") -> list[str]:
    from bayes_clv.views.reporting.channel_words import bid_sentence, budget_sentences

    lines = [] if split is None else budget_sentences(split)
    lines += [f"  {bid_sentence(name, each)}" for name, each in bids.items()]
    return ["", *lines] if lines else []


def _column(run: "Finished", stated: "Channels") -> str:
    """Return the grouping column of the channels: the file's, or the only one of the run."""
    names = run.groupings
    if not names:
        raise InputError(
            f"The run has no groups, so that it does not tell channels apart. Run again with "
            f"{argument('groups')} and the column of the channels."
        )
    if stated.by is not None and stated.by not in names:
        raise InputError(
            f"{stated.places['by']}: the run has no groups by {stated.by!r}, but by {', '.join(names)}. Name one of "
            "these, or run again with it."
        )
    if stated.by is None and len(names) > 1:
        raise InputError(
            f'The run has groups by {", ".join(names)}. Say in the file which are the channels: by = "{names[0]}".'
        )
    return names[0] if stated.by is None else stated.by


def _shown(choice: Acquiring, run: "Finished", found: "xr.Dataset") -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "run": Path(choice.run).name,
        "channels": Path(choice.channels).name,
        "by": found.attrs["by"],
        "seed": found.attrs["seed"],
        "draws": found.attrs["draws"],
        "bayes_clv": version("bayes_clv"),
        "purchases by": run.buying.attrs["family"],
        "spend by": run.spending.attrs["family"] if run.spending is not None else "–",
    }


def channels_summary(found: "xr.Dataset", value: str, failed: Sequence[str] = ()) -> list[str]:
    """Return what a person wants to know of channels; ``value`` says what value is, ``failed`` which checks failed."""
    from bayes_clv.schema import listed
    from bayes_clv.views import numbers
    from bayes_clv.views.reporting.channel_words import best_channel_sentences, channel_sentence, failed_words

    names = [str(name) for name in found["channel"].to_numpy()]
    return [
        *(f"{failed_words(failed)} (listed at the end)." for _ in failed[:1]),
        f"{len(names)} channel{'s' * (len(names) != 1)} over {numbers.horizon(found)}; {value} (expected level: the "
        "average new customer).",
        "",
        *(f"  {channel_sentence(found, name)}" for name in names),
        "",
        *best_channel_sentences(found),
        *listed(found.attrs, "reasons"),
    ]
