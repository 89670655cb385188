"""The page of channels: what a new customer is worth against its cost, when it has paid, and what to do."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import joined, say, say_in, say_kept, say_kept_titles
from bayes_clv.schema import listed
from bayes_clv.units import in_plural
from bayes_clv.valuation.acquisition import CHANNEL
from bayes_clv.valuation.channels import KEEP, OTHER, STOP, TEST
from bayes_clv.views import numbers
from bayes_clv.views.plots import channels as drawn
from bayes_clv.views.plots.scenarios import chance_words
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting.appendix import run_table
from bayes_clv.views.reporting.channel_words import (
    STANDS_OUT,
    best_channel_sentences,
    best_of,
    bid_sentence,
    budget_sentences,
    channel_sentence,
    failed_words,
    money,
)
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.views.reporting.rendering import write_template

# Of more channels the table of pairs cannot be read.
PAIRS_SHOWN = 12


def write_channels_page(
    path: str | Path,
    gallery: Gallery,
    *,
    found: xr.Dataset,
    split: xr.Dataset | None = None,
    bids: Mapping[str, xr.Dataset] | None = None,
    checks: Sequence[str] = (),
    title: str | None = None,
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of a comparison of channels, in the language that is spoken, and return its path.

    Parameters
    ----------
    path, gallery
        The file, and who draws the figures.
    found
        Of ``compare_channels``.
    split, bids
        Of ``split_budget``, and of ``best_bid`` by channel, where they were asked for.
    checks
        Titles of the failed checks of the run behind it, which hold for its channels too.
    title, run
        Of the page, "Channels" where None; what was run, as name and text.
    """
    center, _ = drawn.center_of(found)
    figures = {
        "worth": gallery.add(
            "channel-values",
            partial(drawn.plot_channels, found),
            say(
                "One row a channel: what a new customer is worth (dot: {center}, line: 90 %) and, in grey below, what "
                "it costs (tick: {center}). Where the line lies right of the grey bar, customers pay.",
                center=say("median") if center == "median" else say("mean"),
            ),
            "expected",
        ),
        "payback": gallery.add(
            "channel-payback",
            partial(drawn.plot_payback, found),
            say(
                "How probably the margin of a new customer has reached its cost by each time. A curve that levels off "
                "below 100 % ends at the probability that the channel pays within the horizon."
            ),
            "expected",
        ),
    }
    gallery.finish()
    several = 1 < found.sizes[CHANNEL] <= PAIRS_SHOWN
    page = {
        "title": say("Channels") if title is None else title,
        "summary": {
            "failed": _failed(checks),
            "text": joined("{first} {second}", best_channel_sentences(found)),
        },
        "key_numbers": _key_numbers(found),
        "levels": {
            "expected": say(
                "what a new customer brings on average; the interval is what is not known of that average."
            )
        },
        "sections": [
            ("worth", say("Worth and cost"), []),
            ("decisions", say("Keep, stop or test"), []),
            ("payback", say("Payback"), []),
            *([("leads", say("Leads"), [])] if "conversion" in found else []),
            *([("beats", say("Which earns more"), [])] if several else []),
            *([("budget", say("Budget"), [])] if split is not None else []),
            *([("bids", say("Bids"), [])] if bids else []),
            ("stated", say("What is stated"), []),
            ("reading", say("How it was made"), []),
        ],
        "sentences": [channel_sentence(found, str(name)) for name in found[CHANNEL].to_numpy()],
        "reasons": [say_kept(each) for each in listed(found.attrs, "reasons")],
        "figures": figures,
        "worth": _worth(found),
        "decisions": _decisions(found),
        "payback": _payback(found),
        "beats": _beats(found) if several else None,
        "leads": _leads(found) if "conversion" in found else None,
        "budget": None if split is None else _budget(split),
        "budget_sentences": [] if split is None else budget_sentences(split),
        "bids": [bid_sentence(name, each) for name, each in (bids or {}).items()],
        "stated": _stated(found),
        "method": _method(found),
        "run_table": run_table(run),
    }
    return write_template(path, "channels.html.j2", page)


def _failed(checks: Sequence[str]) -> str:
    if not checks:
        return ""
    return say(
        "{failed}: {titles}. Its report says what that means, also for what stands here.",
        failed=failed_words(checks),
        titles=say_kept_titles(checks),
    )


def _key_numbers(found: xr.Dataset) -> list[dict[str, Any]]:
    """Return the numbers at the head of the page."""
    pays = found["probability_pays"].to_numpy()
    sure = int((pays > 0.9).sum())
    keys = [
        _key(
            say("channels that pay, sure by 90 %"),
            say("{some} of {all}", some=sure, all=found.sizes[CHANNEL]),
            say("P(value > cost) above 90 %"),
            None,
        )
    ]
    if drawn.center_of(found)[0] == "mean":
        place, chance = best_of(found)
        best = found.isel({CHANNEL: place})
        if chance >= STANDS_OUT:
            low, high = (money(best[f"profit_{end}"], found) for end in ("q05", "q95"))
            label = say("earned by a customer of “{name}”", name=str(best[CHANNEL].values))
            note = say("mean; 90 %: {low} to {high}", low=low, high=high)
            keys.append(_key(label, money(best["profit_mean"], found), note, "expected"))
        else:
            label = say("that the channel of the highest mean earns most")
            keys.append(_key(label, chance_words(chance), say("probability; none stands out"), None))
        loss = float(found["expected_loss"].sum())
        keys.append(
            _key(
                say("loss by wrong decisions"),
                money(loss, found),
                say("mean, over the customers decided on"),
                "expected",
            )
        )
    return keys


def _key(label: str, number: str, note: str, level: str | None) -> dict[str, Any]:
    return {"label": label, "number": number, "level": level, "note": note, "failed": None}


def _names(found: xr.Dataset) -> list[tables.Cell]:
    return [tables.cell(str(name)) for name in found[CHANNEL].to_numpy()]


def _between(found: xr.Dataset, stem: str) -> list[tables.Cell]:
    """Return the cells of 90 % intervals."""
    low, high = (found[f"{stem}_{end}"].to_numpy() for end in ("q05", "q95"))
    places = numbers.decimals(high)
    return [
        tables.cell(
            float(b), say("{low} to {high}", low=_fixed(float(a), places), high=_fixed(float(b), places))
        )
        for a, b in zip(low, high, strict=True)
    ]


def _fixed(amount: float, places: int) -> str:
    return say("never") if amount == np.inf else numbers.fixed(amount, places)


def _chances(values: xr.DataArray) -> list[tables.Cell]:
    return [tables.cell(float(each), chance_words(float(each))) for each in values.to_numpy()]


def _table(name: str, caption: str, columns: list[tuple[tables.Column, list[tables.Cell]]]) -> tables.Table:
    rows = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    return tables.Table(name, caption, [column for column, _ in columns], rows)


def _worth(found: xr.Dataset) -> tables.Table:
    return _table(
        "worth-table",
        say(
            "Of one new customer over {horizon}, in {money}.",
            horizon=numbers.horizon(found),
            money=numbers.money_unit(found),
        ),
        [
            (tables.Column(str(found.attrs["by"]), number=False), _names(found)),
            *_known(found),
            (
                tables.Column(say("value, mean"), level="expected"),
                tables.column(found["value_mean"].to_numpy()),
            ),
            (tables.Column("90 %", level="expected"), _between(found, "value")),
            (tables.Column(say("cost, mean")), tables.column(found["cost_mean"].to_numpy())),
            (
                tables.Column(say("profit, mean"), level="expected"),
                tables.column(found["profit_mean"].to_numpy()),
            ),
            (tables.Column("90 %", level="expected"), _between(found, "profit")),
            (tables.Column(say("value : cost, median")), tables.column(found["ratio_q50"].to_numpy())),
            (tables.Column(say("P(value > cost)")), _chances(found["probability_pays"])),
            (tables.Column(say("P(earns most)")), _chances(found["probability_best"])),
        ],
    )


def _known(found: xr.Dataset) -> list[tuple[tables.Column, list[tables.Cell]]]:
    """Return the column of how many customers each channel has, where it is known."""
    if "customers_known" not in found:
        return []
    return [
        (tables.Column(say("customers learned from")), tables.column(found["customers_known"].to_numpy()))
    ]


def _decisions(found: xr.Dataset) -> tables.Table:
    words = {
        KEEP: say_in("decision", "keep"),
        STOP: say_in("decision", "stop"),
        TEST: say_in("decision", "test"),
    }
    decisions = [tables.cell(words.get(str(each), "–")) for each in found["decision"].to_numpy()]
    return _table(
        "decision-table",
        say(
            "What each decision would cost by mistake, on average, over the customers decided on, in {money}.",
            money=numbers.money_unit(found),
        ),
        [
            (tables.Column(str(found.attrs["by"]), number=False), _names(found)),
            (tables.Column(say("decision"), number=False), decisions),
            (tables.Column(say("customers decided on")), tables.column(found["customers"].to_numpy())),
            (
                tables.Column(say("loss of keeping it"), level="expected"),
                tables.column(found["loss_of_keeping"].to_numpy()),
            ),
            (
                tables.Column(say("loss of stopping it"), level="expected"),
                tables.column(found["loss_of_stopping"].to_numpy()),
            ),
            (tables.Column(say("most a test is worth")), tables.column(found["expected_loss"].to_numpy())),
        ],
    )


def _payback(found: xr.Dataset) -> tables.Table:
    unit = in_plural(str(found.attrs["time_unit"]))
    middle = found["payback_q50"].to_numpy()
    places = numbers.decimals(middle)
    return _table(
        "payback-table",
        say(
            "Time in {units} until the margin of a new customer has reached its cost; never: not within the horizon.",
            units=say(unit),
        ),
        [
            (tables.Column(str(found.attrs["by"]), number=False), _names(found)),
            (
                tables.Column(say("median"), level="expected"),
                [tables.cell(float(each), _fixed(float(each), places)) for each in middle],
            ),
            (tables.Column("90 %", level="expected"), _between(found, "payback")),
            (
                tables.Column(say("P(with the first order)")),
                _chances((found["payback"] == 0).mean("draw").transpose(CHANNEL)),
            ),
            (tables.Column(say("P(within the horizon)")), _chances((found["payback"] < np.inf).mean("draw"))),
        ],
    )


def _leads(found: xr.Dataset) -> tables.Table:
    of_leads = found.isel({CHANNEL: np.flatnonzero(np.isfinite(found["conversion_q50"].to_numpy()))})
    share = of_leads["conversion_q50"].to_numpy()
    ends = zip(of_leads["conversion_q05"].to_numpy(), of_leads["conversion_q95"].to_numpy(), strict=True)
    return _table(
        "lead-table",
        say(
            "Of leads: how many become customers, and what a lead is worth, in {money}: that share of a customer's "
            "value. It may cost so much.",
            money=numbers.money_unit(found),
        ),
        [
            (tables.Column(str(found.attrs["by"]), number=False), _names(of_leads)),
            (
                tables.Column(say("become customers, median"), level="expected"),
                [tables.cell(float(each), numbers.share(float(each))) for each in share],
            ),
            (
                tables.Column("90 %", level="expected"),
                [
                    tables.cell(
                        float(b),
                        say("{low} to {high}", low=numbers.share(float(a)), high=numbers.share(float(b))),
                    )
                    for a, b in ends
                ],
            ),
            (
                tables.Column(say("a lead is worth, median"), level="expected"),
                tables.column(of_leads["lead_value_q50"].to_numpy()),
            ),
            (tables.Column("90 %", level="expected"), _between(of_leads, "lead_value")),
        ],
    )


def _budget(split: xr.Dataset) -> tables.Table:
    return _table(
        "budget-table",
        say(
            "Money by channel, of the best split and as today; and what the next unit of money would bring there."
        ),
        [
            (tables.Column(say("channel"), number=False), _names(split)),
            (
                tables.Column(numbers.money_unit(split), level="expected"),
                tables.column(split["spend"].to_numpy()),
            ),
            (tables.Column(say("today")), tables.column(split["spent"].to_numpy())),
            (tables.Column(say("customers, mean")), tables.column(split["customers_mean"].to_numpy())),
            (
                tables.Column(say("profit, mean"), level="expected"),
                tables.column(split["profit_mean"].to_numpy()),
            ),
            (tables.Column(say("the next unit brings")), tables.column(split["marginal"].to_numpy())),
        ],
    )


def _beats(found: xr.Dataset) -> tables.Table:
    names = [str(name) for name in found[CHANNEL].to_numpy()]
    beats = found["probability_beats"].transpose(CHANNEL, OTHER).to_numpy()
    columns = [(tables.Column(say("earns more than …"), number=False), _names(found))]
    for j, name in enumerate(names):
        cells = [
            tables.cell(float("nan"), "") if i == j else tables.cell(float(each), chance_words(float(each)))
            for i, each in enumerate(beats[:, j])
        ]
        columns.append((tables.Column(name), cells))
    return _table(
        "beats-table",
        say("P(a customer of the row's channel earns more, after its cost, than one of the column's)."),
        columns,
    )


def _stated(found: xr.Dataset) -> tables.Table:
    texts = [tables.cell(str(each)) for each in found["stated"].to_numpy()]
    return _table(
        "stated-table",
        say("Costs, and of how many customers the decision is."),
        [
            (tables.Column(str(found.attrs["by"]), number=False), _names(found)),
            (tables.Column(say("what is stated"), number=False), texts),
        ],
    )


def _method(found: xr.Dataset) -> list[str]:
    attrs = found.attrs
    share = f"{100 * float(attrs['margin']):.3g}"
    rate = float(attrs["annual_discount_rate"])
    discount = (
        say("discounted by {rate} % a year", rate=f"{100 * rate:.3g}") if rate else say("not discounted")
    )
    told = {"horizon": numbers.horizon(found), "discount": discount}
    costs = [str(attrs["costs"])] if attrs.get("costs") else []
    return [
        say(
            "Value is spend of the first order and of all that follow within {horizon}, {discount}, at the average "
            "margin of the channel's customers: the average customer of a channel, which says nothing of single ones. "
            "Channels are pooled partially: one with few customers leans on the others, so that its luck is not taken "
            "for its worth.",
            **told,
        )
        if np.isnan(attrs["margin"])
        else say(
            "Value is {share} % of spend of the first order and of all that follow within {horizon}, {discount}: the "
            "average customer of a channel, which says nothing of single ones. Channels are pooled partially: one with "
            "few customers leans on the others, so that its luck is not taken for its worth.",
            share=share,
            **told,
        ),
        *(
            say(
                "Value is less what a new customer costs once it is there ({costs}): what those of its channel cost on "
                "average, where customers differ.",
                costs=each,
            )
            for each in costs
        ),
        say(
            "A channel is kept where its mean profit is at least 0, which is where keeping it loses less than stopping "
            "it. What the better of the two still loses on average is the most that any test can be worth; a test is "
            "advised where it costs less than that."
        ),
        say(
            "All probabilities are shares of {draws:,} posterior draws, shared by all channels, so that what is unsure "
            "for all of them alike does not blur which is better; they are exact to at most {points:.1f} points in per "
            "cent.",
            draws=attrs["draws"],
            points=50 / np.sqrt(attrs["draws"]),
        ),
    ]
