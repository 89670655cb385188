"""The page of scenarios: what each is worth against the base, how sure that is, and what hangs on which lever."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.schema import listed
from bayes_clv.units import in_plural
from bayes_clv.valuation.scenarios import SCENARIO
from bayes_clv.valuation.sensitivities import END, LEVER
from bayes_clv.views import numbers
from bayes_clv.views.plots import scenarios as drawn
from bayes_clv.views.reporting import cells as tables
from bayes_clv.views.reporting.appendix import run_table
from bayes_clv.views.reporting.gallery import Gallery
from bayes_clv.views.reporting.rendering import failed_behind, write_template

LEVELS = {
    "outcome": "what will actually be bought and spent, with the chance in each purchase.",
}


def scenario_sentence(comparison: xr.Dataset, name: str) -> str:
    """Return what a manager is told of a scenario: how much more or less, how sure, and what a wrong choice costs."""
    one = comparison.sel({SCENARIO: name})
    quoted = f"“{name}”"
    if (one["value_difference"] == 0).all():
        return f"{quoted} is worth exactly what the base is worth."
    mean, low, high, loss = (
        float(one[key])
        for key in ("value_difference_mean", "value_difference_q05", "value_difference_q95", "loss_if_wrong")
    )
    chance = drawn.chance_words(float(one["probability_better"]))
    ends = f"90 %: {signed(low)} to {signed(high)}"
    if np.isnan(mean):
        return (
            f"{quoted} has no mean difference to the base (see the reasons); {ends}, and it is better with a "
            f"probability of {chance}."
        )
    more = "more" if mean >= 0 else "less"
    text = (
        f"{quoted} is worth {numbers.number(_whole(abs(mean)))} {more} than the base ({ends}), better with a "
        f"probability of {chance}"
    )
    if loss > 0:
        text += f"; choosing it wrongly would cost {numbers.number(_whole(loss))} on average"
    return f"{text}."


def signed(amount: float) -> str:
    """Return an amount with its sign.

    >>> signed(-200.4), signed(2900.0)
    ('-200', '+2,900')
    """
    whole = _whole(amount)
    return f"{'+' if whole > 0 else '-' if whole < 0 else ''}{numbers.number(abs(whole))}"


def _whole(amount: float) -> float:
    """Return an amount as a sentence has it: without cents from ten on."""
    return float(np.round(amount)) if abs(amount) >= 10 else float(np.round(amount, 2))


def best_sentences(comparison: xr.Dataset) -> list[str]:
    """Return which scenario is worth most on average, how sure that is, and what it would be worth to know."""
    mean = comparison["value_mean"].to_numpy()
    if np.isnan(mean).any():
        return []
    names = comparison[SCENARIO].to_numpy().tolist()
    best = int(np.argmax(mean))
    chance = drawn.chance_words(float(comparison["probability_best"][best]))
    perfect = float(comparison.attrs["value_of_perfect_information"])
    text = f"Worth most on average: “{names[best]}”, the best of all {len(names)} with a probability of {chance}."
    if perfect <= 0:
        return [text, "It is best in every draw: nothing that could be found out would change the choice."]
    return [
        text,
        f"To know beforehand which will be best would be worth {numbers.number(_whole(perfect))}: no test, of "
        "whatever kind, is worth more than that.",
    ]


def break_even_sentence(found: xr.Dataset) -> str:
    """Return where a scenario breaks even, or why nowhere."""
    lever = str(found.attrs["lever"]).replace("_", " ")
    if not np.isfinite(float(found["setting"])):
        return f"“{found.attrs['scenario']}” breaks even nowhere: {listed(found.attrs, 'reasons')[0]}"
    what = "a change of its" if found.attrs["relative"] else "a"
    of = f"{what} {lever} {'by' if found.attrs['relative'] else 'of'}"
    return f"“{found.attrs['scenario']}” is worth as much as the base at {of} {found.attrs['text']}."


def information_sentence(found: xr.Dataset) -> str:
    """Return what it would be worth to know a lever of a scenario before it is chosen."""
    lever, worth = str(found.attrs["lever"]).replace("_", " "), float(found["worth"][0])
    if worth <= 0:
        return f"To know the {lever} of “{found.attrs['scenario']}” beforehand would not change the choice."
    return (
        f"To know the {lever} of “{found.attrs['scenario']}” before choosing it would be worth "
        f"{numbers.number(_whole(worth))}: a test of it may cost less than that."
    )


def write_scenarios_page(
    path: str | Path,
    gallery: Gallery,
    *,
    comparison: xr.Dataset,
    swings: xr.Dataset,
    break_evens: Sequence[xr.Dataset] = (),
    learnt: Sequence[xr.Dataset] = (),
    checks: Sequence[str] = (),
    title: str = "Scenarios",
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of a comparison and return its path.

    Parameters
    ----------
    path, gallery
        The file, and who draws the figures.
    comparison, swings, break_evens, learnt
        Of ``compare_scenarios``, ``tornado``, ``break_even`` and ``value_of_information``.
    checks
        Titles of the failed checks of the run behind it, which hold for its scenarios too.
    title, run
        Of the page; what was run, as name and text.
    """
    names = comparison[SCENARIO].to_numpy().tolist()
    others = names[1:]
    base = comparison.isel({SCENARIO: 0})
    figures = {
        "differences": gallery.add(
            "scenario-differences",
            partial(drawn.plot_scenarios, comparison),
            "One row a scenario: the dot is the mean difference of value to the base, the thick line holds the middle "
            "half of the draws, the thin line 90 %. A line that does not reach 0 is a difference that is nearly sure.",
            "outcome",
        ),
        "tornado": gallery.add(
            "tornado",
            partial(drawn.plot_tornado, swings),
            "Each lever alone at its low and high end, beside which stands the setting: how far the mean value of the "
            "base moves, and 90 % intervals. What is above deserves the first question.",
            "outcome",
        ),
    }
    gallery.finish()
    mean, low, high = (float(base[f"value_{name}"]) for name in ("mean", "q05", "q95"))
    over = numbers.horizon(comparison)
    worth = (
        f"The {comparison.attrs['customers']:,} customers of the base are worth {numbers.number(_whole(mean))} over "
        f"the next {over} (90 %: {numbers.number(_whole(low))} to {numbers.number(_whole(high))}), after costs."
    )
    page = {
        "title": title,
        "summary": {
            "failed": failed_behind(checks, "these scenarios"),
            "text": " ".join([worth, *best_sentences(comparison)]),
        },
        "key_numbers": _key_numbers(comparison),
        "levels": LEVELS,
        "sections": [
            ("comparison", "Scenarios", []),
            *([("break-even", "Break-even", [])] if break_evens else []),
            ("tornado", "Tornado", []),
            ("stated", "What is stated", []),
            ("reading", "How it was made", []),
        ],
        "sentences": [
            *(scenario_sentence(comparison, name) for name in others),
            *map(information_sentence, learnt),
        ],
        "reasons": listed(comparison.attrs, "reasons"),
        "figures": figures,
        "table_of_differences": _table(comparison),
        "totals": _totals(comparison),
        "break_evens": [break_even_sentence(each) for each in break_evens],
        "tornado_table": _tornado_table(swings),
        "stated": _stated(comparison),
        "method": _method(comparison),
        "run_table": run_table(run),
    }
    return write_template(path, "scenarios.html.j2", page)


def _key_numbers(comparison: xr.Dataset) -> list[dict[str, Any]]:
    """Return the numbers at the head of the page."""
    base = comparison.isel({SCENARIO: 0})
    mean = comparison["value_mean"].to_numpy()
    found = [_key("value of the base", float(base["value_mean"]), _interval(base, "value"), "outcome")]
    if not np.isnan(mean).any():
        best = comparison.isel({SCENARIO: int(np.argmax(mean))})
        if str(best[SCENARIO].values) != str(base[SCENARIO].values):
            found.append(
                _key(
                    f"more by “{best[SCENARIO].values}”",
                    float(best["value_difference_mean"]),
                    f"{_interval(best, 'value_difference')}; better: "
                    f"{drawn.chance_words(float(best['probability_better']))}",
                    "outcome",
                )
            )
        found.append(
            _key(
                "worth of perfect information",
                float(comparison.attrs["value_of_perfect_information"]),
                "most that any test can be worth",
                None,
            )
        )
    return found


def _key(label: str, number: float, note: str, level: str | None) -> dict[str, Any]:
    shown = numbers.number(_whole(number))
    return {"label": label, "number": shown, "level": level, "note": note, "failed": None}


def _interval(one: xr.Dataset, name: str) -> str:
    low, high = (numbers.number(_whole(float(one[f"{name}_{end}"]))) for end in ("q05", "q95"))
    return f"90 %: {low} to {high}"


def _table(comparison: xr.Dataset) -> tables.Table:
    """Return the differences, a row a scenario."""
    others = comparison.isel({SCENARIO: slice(1, None)})
    mean = others["value_difference_mean"].to_numpy()
    places = numbers.decimals(mean)
    low, high = (others[f"value_difference_{end}"].to_numpy() for end in ("q05", "q95"))
    columns = [
        tables.Column("scenario", number=False),
        tables.Column("worth more by, mean", level="outcome"),
        tables.Column("90 %", level="outcome"),
        tables.Column("P(better)"),
        tables.Column("cost of choosing it wrongly"),
        tables.Column("P(best of all)"),
        tables.Column("loss against the best"),
    ]
    cells = [
        [tables.cell(str(name)) for name in others[SCENARIO].to_numpy()],
        tables.column(mean),
        [
            tables.cell(float(b), f"{numbers.fixed(float(a), places)} to {numbers.fixed(float(b), places)}")
            for a, b in zip(low, high, strict=True)
        ],
        [tables.cell(float(each), drawn.chance_words(float(each))) for each in others["probability_better"]],
        tables.column(others["loss_if_wrong"].to_numpy()),
        [tables.cell(float(each), drawn.chance_words(float(each))) for each in others["probability_best"]],
        tables.column(others["expected_loss"].to_numpy()),
    ]
    return tables.Table(
        "scenario-table",
        "Each scenario against the base, in money.",
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )


def _totals(comparison: xr.Dataset) -> tables.Table:
    columns = [tables.Column("scenario", number=False)]
    cells = [[tables.cell(str(name)) for name in comparison[SCENARIO].to_numpy()]]
    for name in ("purchases", "revenue", "contribution", "cost", "value"):
        columns.append(tables.Column(f"{name}, mean", level="outcome"))
        cells.append(tables.column(comparison[f"{name}_mean"].to_numpy()))
    columns.append(tables.Column("value, 90 %", level="outcome"))
    places = numbers.decimals(comparison["value_mean"].to_numpy())
    cells.append(
        [
            tables.cell(float(b), f"{numbers.fixed(float(a), places)} to {numbers.fixed(float(b), places)}")
            for a, b in zip(comparison["value_q05"].values, comparison["value_q95"].values, strict=True)
        ]
    )
    return tables.Table(
        "totals-table",
        "What makes the value: contribution (margin on discounted spend) less cost (discounted).",
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )


def _tornado_table(swings: xr.Dataset) -> tables.Table:
    columns, cells = (
        [tables.Column("lever", number=False)],
        [[tables.cell(str(name).replace("_", " ")) for name in swings[LEVER].to_numpy()]],
    )
    for end in ("low", "high"):
        each = swings.sel({END: end})
        columns += [tables.Column(f"{end} end", number=False), tables.Column("value by", level="outcome")]
        cells.append([tables.cell(str(text)) for text in each["stated"].to_numpy()])
        cells.append(tables.column(each["difference_mean"].to_numpy()))
    return tables.Table(
        "tornado-table",
        "Mean difference of value to the base with each lever, alone, at either end.",
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )


def _stated(comparison: xr.Dataset) -> tables.Table:
    reached = comparison["reached"].to_numpy()
    columns = [
        tables.Column("scenario", number=False),
        tables.Column("what it states", number=False),
        tables.Column("customers it reaches"),
    ]
    names, texts = comparison[SCENARIO].to_numpy(), comparison["stated"].to_numpy()
    rows = [
        [tables.cell(str(name)), tables.cell(str(text)), tables.cell(float(each), f"{each:,.0f}")]
        for name, text, each in zip(names, texts, reached, strict=True)
    ]
    return tables.Table("stated-table", "Nothing else is changed.", columns, rows)


def _method(comparison: xr.Dataset) -> list[str]:
    attrs = comparison.attrs
    error = float(comparison["value_difference_error"].max())
    return [
        f"Every scenario is drawn {attrs['draws']:,} times, with the same posterior draws and the same random numbers "
        "as the base: a difference is that of the same customers with the same luck. Simulation adds a standard error "
        f"of at most {numbers.number(error)} to a mean difference, and of at most {50 / np.sqrt(attrs['draws']):.1f} "
        "points to a probability in per cent.",
        "“Choosing it wrongly would cost” is the mean, over all draws, of what the scenario loses against the base, "
        "counting nothing where it is better. “Loss against the best” is the same against the best scenario of each "
        "draw; the smallest of them is what perfect information is worth.",
        "Purchases, revenue, contribution and cost are of all customers over "
        f"{numbers.plural(float(attrs['horizon']), str(attrs['time_unit']))} unless a scenario states another "
        f"horizon; times are in {in_plural(str(attrs['time_unit']))}. What a lever does to purchases is stated, not "
        "learned: where it matters, test it.",
    ]
