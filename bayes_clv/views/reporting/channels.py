"""The page of channels: what a new customer is worth against its cost, when it has paid, and what to do."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import listed
from bayes_clv.units import in_plural
from bayes_clv.valuation.acquisition import CHANNEL
from bayes_clv.valuation.channels import OTHER
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

LEVELS = {
    "expected": "what a new customer brings on average; the interval is what is not known of that average.",
}
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
    title: str = "Channels",
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of a comparison of channels and return its path.

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
        Of the page; what was run, as name and text.
    """
    center, _ = drawn.center_of(found)
    figures = {
        "worth": gallery.add(
            "channel-values",
            partial(drawn.plot_channels, found),
            f"One row a channel: what a new customer is worth (dot: {center}, line: 90 %) and, in grey below, what "
            f"it costs (tick: {center}). Where the line lies right of the grey bar, customers pay.",
            "expected",
        ),
        "payback": gallery.add(
            "channel-payback",
            partial(drawn.plot_payback, found),
            "How probably the margin of a new customer has reached its cost by each time. A curve that levels off "
            "below 100 % ends at the probability that the channel pays within the horizon.",
            "expected",
        ),
    }
    gallery.finish()
    several = 1 < found.sizes[CHANNEL] <= PAIRS_SHOWN
    page = {
        "title": title,
        "summary": {"failed": _failed(checks), "text": " ".join(best_channel_sentences(found))},
        "key_numbers": _key_numbers(found),
        "levels": LEVELS,
        "sections": [
            ("worth", "Worth and cost", []),
            ("decisions", "Keep, stop or test", []),
            ("payback", "Payback", []),
            *([("leads", "Leads", [])] if "conversion" in found else []),
            *([("beats", "Which earns more", [])] if several else []),
            *([("budget", "Budget", [])] if split is not None else []),
            *([("bids", "Bids", [])] if bids else []),
            ("stated", "What is stated", []),
            ("reading", "How it was made", []),
        ],
        "sentences": [channel_sentence(found, str(name)) for name in found[CHANNEL].to_numpy()],
        "reasons": listed(found.attrs, "reasons"),
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
    return f"{failed_words(checks)}: {'; '.join(checks)}. Its report says what that means, also for what stands here."


def _key_numbers(found: xr.Dataset) -> list[dict[str, Any]]:
    """Return the numbers at the head of the page."""
    pays = found["probability_pays"].to_numpy()
    sure = int((pays > 0.9).sum())
    all_of = f"of {found.sizes[CHANNEL]}"
    keys = [_key("channels that pay, sure by 90 %", f"{sure} {all_of}", "P(value > cost) above 90 %", None)]
    if drawn.center_of(found)[0] == "mean":
        place, chance = best_of(found)
        best = found.isel({CHANNEL: place})
        if chance >= STANDS_OUT:
            low, high = (money(best[f"profit_{end}"]) for end in ("q05", "q95"))
            label = f"earned by a customer of “{best[CHANNEL].values}”"
            keys.append(_key(label, money(best["profit_mean"]), f"mean; 90 %: {low} to {high}", "expected"))
        else:
            label = "that the channel of the highest mean earns most"
            keys.append(_key(label, chance_words(chance), "probability; none stands out", None))
        loss = float(found["expected_loss"].sum())
        keys.append(
            _key("loss by wrong decisions", money(loss), "mean, over the customers decided on", "expected")
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
        tables.cell(float(b), f"{_fixed(float(a), places)} to {_fixed(float(b), places)}")
        for a, b in zip(low, high, strict=True)
    ]


def _fixed(amount: float, places: int) -> str:
    return "never" if amount == np.inf else numbers.fixed(amount, places)


def _chances(values: xr.DataArray) -> list[tables.Cell]:
    return [tables.cell(float(each), chance_words(float(each))) for each in values.to_numpy()]


def _table(name: str, caption: str, columns: list[tuple[tables.Column, list[tables.Cell]]]) -> tables.Table:
    rows = [list(row) for row in zip(*(cells for _, cells in columns), strict=True)]
    return tables.Table(name, caption, [column for column, _ in columns], rows)


def _worth(found: xr.Dataset) -> tables.Table:
    return _table(
        "worth-table",
        f"Of one new customer over {numbers.horizon(found)}, in money.",
        [
            (tables.Column(str(found.attrs["by"]), number=False), _names(found)),
            *_known(found),
            (tables.Column("value, mean", level="expected"), tables.column(found["value_mean"].to_numpy())),
            (tables.Column("90 %", level="expected"), _between(found, "value")),
            (tables.Column("cost, mean"), tables.column(found["cost_mean"].to_numpy())),
            (tables.Column("profit, mean", level="expected"), tables.column(found["profit_mean"].to_numpy())),
            (tables.Column("90 %", level="expected"), _between(found, "profit")),
            (tables.Column("value : cost, median"), tables.column(found["ratio_q50"].to_numpy())),
            (tables.Column("P(value > cost)"), _chances(found["probability_pays"])),
            (tables.Column("P(earns most)"), _chances(found["probability_best"])),
        ],
    )


def _known(found: xr.Dataset) -> list[tuple[tables.Column, list[tables.Cell]]]:
    """Return the column of how many customers each channel has, where it is known."""
    if "customers_known" not in found:
        return []
    return [(tables.Column("customers learned from"), tables.column(found["customers_known"].to_numpy()))]


def _decisions(found: xr.Dataset) -> tables.Table:
    decisions = [tables.cell(str(each) or "–") for each in found["decision"].to_numpy()]
    return _table(
        "decision-table",
        "What each decision would cost by mistake, on average, over the customers decided on, in money.",
        [
            (tables.Column(str(found.attrs["by"]), number=False), _names(found)),
            (tables.Column("decision", number=False), decisions),
            (tables.Column("customers decided on"), tables.column(found["customers"].to_numpy())),
            (
                tables.Column("loss of keeping it", level="expected"),
                tables.column(found["loss_of_keeping"].to_numpy()),
            ),
            (
                tables.Column("loss of stopping it", level="expected"),
                tables.column(found["loss_of_stopping"].to_numpy()),
            ),
            (tables.Column("most a test is worth"), tables.column(found["expected_loss"].to_numpy())),
        ],
    )


def _payback(found: xr.Dataset) -> tables.Table:
    unit = in_plural(str(found.attrs["time_unit"]))
    middle = found["payback_q50"].to_numpy()
    places = numbers.decimals(middle)
    return _table(
        "payback-table",
        f"Time in {unit} until the margin of a new customer has reached its cost; never: not within the horizon.",
        [
            (tables.Column(str(found.attrs["by"]), number=False), _names(found)),
            (
                tables.Column("median", level="expected"),
                [tables.cell(float(each), _fixed(float(each), places)) for each in middle],
            ),
            (tables.Column("90 %", level="expected"), _between(found, "payback")),
            (
                tables.Column("P(with the first order)"),
                _chances((found["payback"] == 0).mean("draw").transpose(CHANNEL)),
            ),
            (tables.Column("P(within the horizon)"), _chances((found["payback"] < np.inf).mean("draw"))),
        ],
    )


def _leads(found: xr.Dataset) -> tables.Table:
    of_leads = found.isel({CHANNEL: np.flatnonzero(np.isfinite(found["conversion_q50"].to_numpy()))})
    share = of_leads["conversion_q50"].to_numpy()
    ends = zip(of_leads["conversion_q05"].to_numpy(), of_leads["conversion_q95"].to_numpy(), strict=True)
    return _table(
        "lead-table",
        "Of leads: how many become customers, and what a lead is worth: that share of a customer's value. It may "
        "cost so much.",
        [
            (tables.Column(str(found.attrs["by"]), number=False), _names(of_leads)),
            (
                tables.Column("become customers, median", level="expected"),
                [tables.cell(float(each), numbers.share(float(each))) for each in share],
            ),
            (
                tables.Column("90 %", level="expected"),
                [
                    tables.cell(float(b), f"{numbers.share(float(a))} to {numbers.share(float(b))}")
                    for a, b in ends
                ],
            ),
            (
                tables.Column("a lead is worth, median", level="expected"),
                tables.column(of_leads["lead_value_q50"].to_numpy()),
            ),
            (tables.Column("90 %", level="expected"), _between(of_leads, "lead_value")),
        ],
    )


def _budget(split: xr.Dataset) -> tables.Table:
    return _table(
        "budget-table",
        "Money by channel, of the best split and as today; and what the next unit of money would bring there.",
        [
            (tables.Column("channel", number=False), _names(split)),
            (tables.Column("money", level="expected"), tables.column(split["spend"].to_numpy())),
            (tables.Column("today"), tables.column(split["spent"].to_numpy())),
            (tables.Column("customers, mean"), tables.column(split["customers_mean"].to_numpy())),
            (tables.Column("profit, mean", level="expected"), tables.column(split["profit_mean"].to_numpy())),
            (tables.Column("the next unit brings"), tables.column(split["marginal"].to_numpy())),
        ],
    )


def _beats(found: xr.Dataset) -> tables.Table:
    names = [str(name) for name in found[CHANNEL].to_numpy()]
    beats = found["probability_beats"].transpose(CHANNEL, OTHER).to_numpy()
    columns = [(tables.Column("earns more than …", number=False), _names(found))]
    for j, name in enumerate(names):
        cells = [
            tables.cell(float("nan"), "") if i == j else tables.cell(float(each), chance_words(float(each)))
            for i, each in enumerate(beats[:, j])
        ]
        columns.append((tables.Column(name), cells))
    return _table(
        "beats-table",
        "P(a customer of the row's channel earns more, after its cost, than one of the column's).",
        columns,
    )


def _stated(found: xr.Dataset) -> tables.Table:
    texts = [tables.cell(str(each)) for each in found["stated"].to_numpy()]
    return _table(
        "stated-table",
        "Costs, and of how many customers the decision is.",
        [
            (tables.Column(str(found.attrs["by"]), number=False), _names(found)),
            (tables.Column("what is stated", number=False), texts),
        ],
    )


def _method(found: xr.Dataset) -> list[str]:
    attrs = found.attrs
    earned = f"{100 * float(attrs['margin']):.3g} % of spend"
    rate = float(attrs["annual_discount_rate"])
    discount = f"discounted by {100 * rate:.3g} % a year" if rate else "not discounted"
    return [
        f"Value is {earned} of the first order and of all that follow within {numbers.horizon(found)}, {discount}: the "
        "average customer of a channel, which says nothing of single ones. Channels are pooled partially: one with few "
        "customers leans on the others, so that its luck is not taken for its worth.",
        "A channel is kept where its mean profit is at least 0, which is where keeping it loses less than stopping it. "
        "What the better of the two still loses on average is the most that any test can be worth; a test is advised "
        "where it costs less than that.",
        f"All probabilities are shares of {attrs['draws']:,} posterior draws, shared by all channels, so that what is "
        f"unsure for all of them alike does not blur which is better; they are exact to at most "
        f"{50 / np.sqrt(attrs['draws']):.1f} points in per cent.",
    ]
