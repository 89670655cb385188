"""The page of scenarios: what each is worth against the base, how sure that is, and what hangs on which lever."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import joined, say, say_kept
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


def scenario_sentence(comparison: xr.Dataset, name: str) -> str:
    """Return what a manager is told of a scenario: how much more or less, how sure, and what a wrong choice costs."""
    one = comparison.sel({SCENARIO: name})
    if (one["value_difference"] == 0).all():
        return say("“{name}” is worth exactly what the base is worth.", name=name)
    mean, low, high, loss = (
        float(one[key])
        for key in ("value_difference_mean", "value_difference_q05", "value_difference_q95", "loss_if_wrong")
    )
    chance = drawn.chance_words(float(one["probability_better"]))
    currency = comparison.attrs.get("currency")
    told = {"name": name, "low": signed(low, currency), "high": signed(high, currency), "chance": chance}
    if np.isnan(mean):
        return say(
            "“{name}” has no mean difference to the base (see the reasons); 90 %: {low} to {high}, and it is better "
            "with a probability of {chance}.",
            **told,
        )
    told["amount"] = _amount(comparison, abs(mean))
    text = (
        say(
            "“{name}” is worth {amount} more than the base (90 %: {low} to {high}), better with a probability of "
            "{chance}",
            **told,
        )
        if mean >= 0
        else say(
            "“{name}” is worth {amount} less than the base (90 %: {low} to {high}), better with a probability of "
            "{chance}",
            **told,
        )
    )
    if loss > 0:
        cost = _amount(comparison, loss)
        text = say("{text}; choosing it wrongly would cost {cost} on average", text=text, cost=cost)
    return say("{text}.", text=text)


def signed(amount: float, currency: str | None = None) -> str:
    """Return an amount with its sign.

    >>> signed(-200.4), signed(2900.0), signed(-200.4, "£"), signed(2900.0, "EUR")
    ('-200', '+2,900', '-£200', '+2,900 EUR')
    """
    whole = _whole(amount)
    return f"{'+' if whole > 0 else '-' if whole < 0 else ''}{numbers.money(abs(whole), currency)}"


def _amount(result: xr.Dataset, amount: float) -> str:
    """Return an amount of money as a sentence has it, in the currency of its result."""
    return numbers.money(_whole(amount), result.attrs.get("currency"))


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
    text = say(
        "Worth most on average: “{name}”, the best of all {number} with a probability of {chance}.",
        name=names[best],
        number=len(names),
        chance=chance,
    )
    if perfect <= 0:
        sure = say("It is best in every draw: nothing that could be found out would change the choice.")
        return [text, sure]
    return [
        text,
        say(
            "To know beforehand which will be best would be worth {amount}: no test, of whatever kind, is worth more "
            "than that.",
            amount=_amount(comparison, perfect),
        ),
    ]


def break_even_sentence(found: xr.Dataset) -> str:
    """Return where a scenario breaks even, or why nowhere."""
    name = str(found.attrs["scenario"])
    if not np.isfinite(float(found["setting"])):
        reason = say_kept(listed(found.attrs, "reasons")[0])
        return say("“{name}” breaks even nowhere: {reason}", name=name, reason=reason)
    told = {"name": name, "lever": str(found.attrs["lever"]).replace("_", " ")}
    told["amount"] = say_kept(str(found.attrs["text"]))
    if found.attrs["relative"]:
        return say("“{name}” is worth as much as the base at a change of its {lever} by {amount}.", **told)
    return say("“{name}” is worth as much as the base at a {lever} of {amount}.", **told)


def information_sentence(found: xr.Dataset) -> str:
    """Return what it would be worth to know a lever of a scenario before it is chosen."""
    worth = float(found["worth"][0])
    told = {"lever": str(found.attrs["lever"]).replace("_", " "), "name": str(found.attrs["scenario"])}
    if worth <= 0:
        return say("To know the {lever} of “{name}” beforehand would not change the choice.", **told)
    return say(
        "To know the {lever} of “{name}” before choosing it would be worth {amount}: a test of it may cost less than "
        "that.",
        amount=_amount(found, worth),
        **told,
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
    title: str | None = None,
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of a comparison, in the language that is spoken, and return its path.

    Parameters
    ----------
    path, gallery
        The file, and who draws the figures.
    comparison, swings, break_evens, learnt
        Of ``compare_scenarios``, ``tornado``, ``break_even`` and ``value_of_information``.
    checks
        Titles of the failed checks of the run behind it, which hold for its scenarios too.
    title, run
        Of the page, "Scenarios" where None; what was run, as name and text.
    """
    names = comparison[SCENARIO].to_numpy().tolist()
    others = names[1:]
    base = comparison.isel({SCENARIO: 0})
    figures = {
        "differences": gallery.add(
            "scenario-differences",
            partial(drawn.plot_scenarios, comparison),
            say(
                "One row a scenario: the dot is the mean difference of value to the base, the thick line holds the "
                "middle half of the draws, the thin line 90 %. A line that does not reach 0 is a difference that is "
                "nearly sure."
            ),
            "outcome",
        ),
        "tornado": gallery.add(
            "tornado",
            partial(drawn.plot_tornado, swings),
            say(
                "Each lever alone at its low and high end, beside which stands the setting: how far the mean value of "
                "the base moves, and 90 % intervals. What is above deserves the first question."
            ),
            "outcome",
        ),
    }
    gallery.finish()
    mean, low, high = (float(base[f"value_{name}"]) for name in ("mean", "q05", "q95"))
    worth = say(
        "The {count:,} customers of the base are worth {amount} over the next {over} (90 %: {low} to {high}), after "
        "costs.",
        count=comparison.attrs["customers"],
        over=numbers.horizon(comparison),
        amount=_amount(comparison, mean),
        low=_amount(comparison, low),
        high=_amount(comparison, high),
    )
    page = {
        "title": say("Scenarios") if title is None else title,
        "summary": {
            "failed": failed_behind(checks, say("these scenarios")),
            "text": joined("{first} {second}", [worth, *best_sentences(comparison)]),
        },
        "key_numbers": _key_numbers(comparison),
        "levels": {
            "outcome": say("what will actually be bought and spent, with the chance in each purchase.")
        },
        "sections": [
            ("comparison", say("Scenarios"), []),
            *([("break-even", say("Break-even"), [])] if break_evens else []),
            ("tornado", say("Tornado"), []),
            ("stated", say("What is stated"), []),
            ("reading", say("How it was made"), []),
        ],
        "sentences": [
            *(scenario_sentence(comparison, name) for name in others),
            *map(information_sentence, learnt),
        ],
        "reasons": [say_kept(each) for each in listed(comparison.attrs, "reasons")],
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
    worth = _amount(comparison, float(base["value_mean"]))
    found = [_key(say("value of the base"), worth, _interval(base, "value"), "outcome")]
    if not np.isnan(mean).any():
        best = comparison.isel({SCENARIO: int(np.argmax(mean))})
        if str(best[SCENARIO].values) != str(base[SCENARIO].values):
            found.append(
                _key(
                    say("more by “{name}”", name=str(best[SCENARIO].values)),
                    _amount(comparison, float(best["value_difference_mean"])),
                    say(
                        "{interval}; better: {chance}",
                        interval=_interval(best, "value_difference"),
                        chance=drawn.chance_words(float(best["probability_better"])),
                    ),
                    "outcome",
                )
            )
        found.append(
            _key(
                say("worth of perfect information"),
                _amount(comparison, float(comparison.attrs["value_of_perfect_information"])),
                say("most that any test can be worth"),
                None,
            )
        )
    return found


def _key(label: str, number: str, note: str, level: str | None) -> dict[str, Any]:
    return {"label": label, "number": number, "level": level, "note": note, "failed": None}


def _interval(one: xr.Dataset, name: str) -> str:
    low, high = (_amount(one, float(one[f"{name}_{end}"])) for end in ("q05", "q95"))
    return say("90 %: {low} to {high}", low=low, high=high)


def _table(comparison: xr.Dataset) -> tables.Table:
    """Return the differences, a row a scenario."""
    others = comparison.isel({SCENARIO: slice(1, None)})
    mean = others["value_difference_mean"].to_numpy()
    places = numbers.decimals(mean)
    low, high = (others[f"value_difference_{end}"].to_numpy() for end in ("q05", "q95"))
    columns = [
        tables.Column(say("scenario"), number=False),
        tables.Column(say("worth more by, mean"), level="outcome"),
        tables.Column("90 %", level="outcome"),
        tables.Column(say("P(better)")),
        tables.Column(say("cost of choosing it wrongly")),
        tables.Column(say("P(best of all)")),
        tables.Column(say("loss against the best")),
    ]
    cells = [
        [tables.cell(str(name)) for name in others[SCENARIO].to_numpy()],
        tables.column(mean),
        [tables.interval(float(a), float(b), places) for a, b in zip(low, high, strict=True)],
        [tables.cell(float(each), drawn.chance_words(float(each))) for each in others["probability_better"]],
        tables.column(others["loss_if_wrong"].to_numpy()),
        [tables.cell(float(each), drawn.chance_words(float(each))) for each in others["probability_best"]],
        tables.column(others["expected_loss"].to_numpy()),
    ]
    return tables.Table(
        "scenario-table",
        say("Each scenario against the base, in {money}.", money=numbers.money_unit(comparison)),
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )


def _totals(comparison: xr.Dataset) -> tables.Table:
    columns = [tables.Column(say("scenario"), number=False)]
    cells = [[tables.cell(str(name)) for name in comparison[SCENARIO].to_numpy()]]
    means = {
        "purchases": say("purchases, mean"),
        "revenue": say("revenue, mean"),
        "contribution": say("contribution, mean"),
        "cost": say("cost, mean"),
        "value": say("value, mean"),
    }
    for name, heading in means.items():
        columns.append(tables.Column(heading, level="outcome"))
        cells.append(tables.column(comparison[f"{name}_mean"].to_numpy()))
    columns.append(tables.Column(say("value, 90 %"), level="outcome"))
    places = numbers.decimals(comparison["value_mean"].to_numpy())
    cells.append(
        [
            tables.interval(float(a), float(b), places)
            for a, b in zip(comparison["value_q05"].values, comparison["value_q95"].values, strict=True)
        ]
    )
    return tables.Table(
        "totals-table",
        say(
            "What makes the value: contribution (margin on discounted spend) less cost (discounted), in {money}.",
            money=numbers.money_unit(comparison),
        ),
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )


def _tornado_table(swings: xr.Dataset) -> tables.Table:
    columns, cells = (
        [tables.Column(say("lever"), number=False)],
        [[tables.cell(str(name).replace("_", " ")) for name in swings[LEVER].to_numpy()]],
    )
    for end, heading in (("low", say("low end")), ("high", say("high end"))):
        each = swings.sel({END: end})
        columns += [tables.Column(heading, number=False), tables.Column(say("value by"), level="outcome")]
        cells.append([tables.cell(str(text)) for text in each["stated"].to_numpy()])
        cells.append(tables.column(each["difference_mean"].to_numpy()))
    return tables.Table(
        "tornado-table",
        say(
            "Mean difference of value to the base with each lever, alone, at either end, in {money}.",
            money=numbers.money_unit(swings),
        ),
        columns,
        [list(row) for row in zip(*cells, strict=True)],
    )


def _stated(comparison: xr.Dataset) -> tables.Table:
    reached = comparison["reached"].to_numpy()
    columns = [
        tables.Column(say("scenario"), number=False),
        tables.Column(say("what it states"), number=False),
        tables.Column(say("customers it reaches")),
    ]
    names, texts = comparison[SCENARIO].to_numpy(), comparison["stated"].to_numpy()
    rows = [
        [tables.cell(str(name)), tables.cell(_said(str(text))), tables.cell(float(each), f"{each:,.0f}")]
        for name, text, each in zip(names, texts, reached, strict=True)
    ]
    return tables.Table("stated-table", say("Nothing else is changed."), columns, rows)


def _said(stated: str) -> str:
    """Return what a scenario states: as it is typed, or that it states nothing."""
    return say("nothing changed") if stated == "nothing changed" else stated


def _method(comparison: xr.Dataset) -> list[str]:
    attrs = comparison.attrs
    error = float(comparison["value_difference_error"].max())
    costs = str(attrs.get("costs", ""))
    return [
        say(
            "Every scenario is drawn {draws:,} times, with the same posterior draws and the same random numbers as the "
            "base: a difference is that of the same customers with the same luck. Simulation adds a standard error of "
            "at most {error} to a mean difference, and of at most {points:.1f} points to a probability in per cent.",
            draws=attrs["draws"],
            error=numbers.number(error),
            points=50 / np.sqrt(attrs["draws"]),
        ),
        say(
            "“Choosing it wrongly would cost” is the mean, over all draws, of what the scenario loses against the "
            "base, counting nothing where it is better. “Loss against the best” is the same against the best scenario "
            "of each draw; the smallest of them is what perfect information is worth."
        ),
        say(
            "Purchases, revenue, contribution and cost are of all customers over {horizon} unless a scenario states "
            "another horizon; times are in {units}. What a lever does to purchases is stated, not learned: where it "
            "matters, test it.",
            horizon=numbers.plural(float(attrs["horizon"]), str(attrs["time_unit"])),
            units=say(in_plural(str(attrs["time_unit"]))),
        ),
        *(
            say(
                "What customers cost stands in the base, each customer's own ({costs}), and in every scenario that "
                "does not set it; a change such as “+10 %” changes everybody's. Who is won costs what the average "
                "customer does.",
                costs=each,
            )
            for each in [costs] * bool(costs)
        ),
    ]
