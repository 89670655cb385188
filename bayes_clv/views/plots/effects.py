"""What covariates and groups do, in words, tables and one figure.

A coefficient is shown as what it multiplies by, exp(coefficient): the quantity itself, or its odds where it is a
probability. A group is shown by its own population quantity beside the average of the groups that there are, and by how
much of it is pooled. ArviZ's forest has one axis for all variables, on which purchase rates and dropout probabilities
cannot both be read (``parameters`` met the same), so that the panels are drawn here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import as_labels, column_values
from bayes_clv.customers.encoding import Encoding, Interaction
from bayes_clv.families.link import shifted
from bayes_clv.families.registry import family as find_family
from bayes_clv.inference.effects import Effect, Effects
from bayes_clv.language import joined, say
from bayes_clv.schema import CUSTOMER, InputError, quantiles
from bayes_clv.views import numbers, style

# More groups of one column than this are summarised in the figure by the ends of their order.
MOST = 40
# Names of more letters leave no room for two panels in a line.
LONG = 14


@dataclass(frozen=True)
class Multiplier:
    """What one coefficient multiplies by: draws of exp(coefficient), and the sentence that says it."""

    effect: str
    label: str
    draws: np.ndarray
    sentence: str


@dataclass(frozen=True)
class Groups:
    """One quantity in each group of one column: draws (group, draw), of their average, and how much is pooled.

    ``pooled`` (group) is the variance of a group's distance from the average, given the data, divided by what it is
    between groups: near 0 a group's own data decide, at 1 they say nothing and the group is what the others are.
    """

    quantity: str
    meaning: str
    unit: str
    column: str
    labels: tuple[str, ...]
    draws: np.ndarray
    average: np.ndarray
    pooled: np.ndarray


def effects_of(posterior: xr.DataTree) -> Effects | None:
    """Return the effects that a posterior remembers, or None."""
    saved = posterior.attrs.get("effects")
    return None if saved is None else Effects.from_json(str(saved))


def multipliers(posterior: xr.DataTree) -> list[Multiplier]:
    """Return every coefficient of a posterior as what it multiplies by."""
    effects = effects_of(posterior)
    found = []
    for effect in () if effects is None else effects.each:
        if not effect.encodings:
            continue
        drawn = np.exp(_flat(posterior, effect.coefficient))
        what = _acted_on(posterior, effect)
        phrases = [phrase for encoding in effect.encodings for phrase in _phrases(encoding, what)]
        for label, phrase, draws in zip(effect.labels, phrases, drawn, strict=True):
            low, median, high = quantiles(draws, (0.05, 0.5, 0.95))
            said = say(
                "{effect} by {median:.2f} ({low:.2f} to {high:.2f}).",
                effect=phrase,
                median=median,
                low=low,
                high=high,
            )
            found.append(Multiplier(effect.name, label, draws, said))
    return found


def effect_rows(posterior: xr.DataTree) -> list[dict[str, Any]]:
    """Return a row a coefficient: what it multiplies by, in numbers and in a sentence."""
    rows = multipliers(posterior)
    if not rows:
        raise InputError(
            "The fit had no covariates. Fit with covariates={'purchase': 'age'} to learn what they do."
        )
    return [
        {
            "effect": row.effect,
            "label": row.label,
            **dict(zip(("q05", "median", "q95"), quantiles(row.draws, (0.05, 0.5, 0.95)), strict=True)),
            "probability_above_one": float((row.draws > 1).mean()),
            "sentence": row.sentence,
        }
        for row in rows
    ]


def groups_of(posterior: xr.DataTree) -> list[Groups]:
    """Return every quantity that groups act on, in each group, for the average customer.

    Where several columns have groups, those of the other columns are at their average.
    """
    effects = effects_of(posterior)
    found = []
    for effect in () if effects is None else effects.each:
        if not effect.groups:
            continue
        family = find_family(str(posterior.attrs["family"]))
        upper = family.quantities[effect.quantity].upper
        offsets = {column: _flat(posterior, effect.offset(column)) for column in effect.groups}
        means = {column: offset.mean(axis=0) for column, offset in offsets.items()}
        population = _flat(posterior, effect.quantity)
        average = shifted(np, population, sum(means.values()), upper)
        for column, offset in offsets.items():
            away = offset - means[column]
            sd = _flat(posterior, effect.sd(column))
            between = (sd**2).mean() * (1 - 1 / len(away))
            assert effects is not None
            found.append(
                Groups(
                    effect.quantity,
                    family.words.meanings[effect.quantity][0],
                    str(posterior["posterior"][effect.quantity].attrs.get("units", "")),
                    column,
                    effects.labels[column],
                    shifted(np, population, sum(means.values()) + away, upper),
                    average,
                    np.minimum(away.var(axis=1) / between, 1.0),
                )
            )
    return found


def group_rows(posterior: xr.DataTree, customers: xr.Dataset | None = None) -> list[dict[str, Any]]:
    """Return a row a quantity and group: its own population beside the average of the groups, and what is pooled."""
    rows = []
    for one in _some(groups_of(posterior)):
        sizes = _sizes(customers, one)
        for i, label in enumerate(one.labels):
            low, median, high = quantiles(one.draws[i], (0.05, 0.5, 0.95))
            rows.append(
                {
                    "quantity": one.quantity,
                    "column": one.column,
                    "group": label,
                    "q05": low,
                    "median": median,
                    "q95": high,
                    "unit": one.unit,
                    "average": float(quantiles(one.average, [0.5])[0]),
                    "probability_above": float((one.draws[i] > one.average).mean()),
                    "pooled": float(one.pooled[i]),
                }
                | ({} if sizes is None else {"customers": sizes[i]})
            )
    return rows


def plot_groups(posterior: xr.DataTree, customers: xr.Dataset | None = None) -> style.Drawing:
    """Plot each group's own population quantities with their intervals, beside the average of the groups.

    Parameters
    ----------
    posterior : xarray.DataTree
        Of ``fit(..., groups=...)``.
    customers : xarray.Dataset, optional
        Of the fit: writes how many customers are of each group.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each quantity and column, at the expected level. The vertical line is the average of the groups;
        the paler a dot, the more of the group is pooled.

    Raises
    ------
    InputError
        For a posterior without groups.

    Examples
    --------
    >>> figure = plot_groups(by_channel)
    """
    found = _some(groups_of(posterior))
    # Side by side where the names leave room for it.
    longest = max(len(label) for one in found for label in one.labels)
    columns = min(2, len(found)) if longest <= LONG else 1
    heights = [0.9 + 0.24 * min(len(one.labels), MOST) for one in found]
    lines = [heights[i : i + columns] for i in range(0, len(heights), columns)]
    with style.styled():
        figure = style.drawing(0.7 + sum(max(line) for line in lines))
        panels = figure.subplots(
            len(lines), columns, squeeze=False, height_ratios=[max(line) for line in lines]
        ).ravel()
        for axes, one in zip(panels, found, strict=False):
            _panel(axes, one, _sizes(customers, one))
        for axes in panels[len(found) :]:
            axes.set_visible(False)
        marks, names = panels[0].get_legend_handles_labels()
        figure.legend(marks, names, loc="outside lower left", ncols=len(names))
    return figure


def _panel(axes: Any, one: Groups, sizes: list[int] | None) -> None:
    median = quantiles(one.draws, [0.5], axis=1)[0]
    order = np.argsort(median, kind="stable")[::-1]
    if order.size > MOST:
        order = np.r_[order[: MOST // 2], order[-(MOST // 2) :]]
    rows = np.arange(order.size)
    low, lower, upper, high = quantiles(one.draws[order], (0.05, 0.25, 0.75, 0.95), axis=1)
    left, centre, right = quantiles(one.average, (0.05, 0.5, 0.95))
    axes.axvspan(left, right, color=style.GRID, alpha=0.6, linewidth=0)
    axes.axvline(centre, color=style.MUTED, linewidth=1.2, label=say("average of groups, 90 %"))
    axes.hlines(rows, low, high, color=style.SKY, linewidth=1.6, label="90 %")
    axes.hlines(rows, lower, upper, color=style.BLUE, linewidth=4.2, label="50 %")
    # White where all of the group is pooled.
    ring = {"markersize": 5.5, "markeredgecolor": style.ORANGE, "color": "white"}
    axes.plot(median[order], rows, "o", label=say("median, the paler the more pooled"), zorder=3, **ring)
    for row, value, pooled in zip(rows, median[order], one.pooled[order], strict=True):
        axes.plot(
            value, row, "o", markersize=5.5, markeredgewidth=0, color=style.ORANGE, alpha=1 - pooled, zorder=4
        )
    names = [_short(one.labels[i]) + (f" ({sizes[i]:,})" if sizes is not None else "") for i in order]
    axes.set_yticks(rows, names, fontsize=8.5)
    axes.set_ylim(order.size - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
    axes.set_ylabel(one.column)
    words = one.quantity.removeprefix("population_").replace("_", " ")
    axes.set_xlabel(say("{label} ({unit})", label=words, unit=say(one.unit)) if one.unit else words)
    title = f"{words[:1].upper() if len(words) > 2 else words[:1]}{words[1:]}"
    style.heading(axes, title, say("expected level"))


def pooling_words(found: list[Groups]) -> str:
    """Return what the groups share, said of the most and the least pooled group."""
    one = max(found, key=lambda each: float(np.ptp(each.pooled)))
    most, least = int(np.argmax(one.pooled)), int(np.argmin(one.pooled))
    text = say(
        "Groups are partially pooled: each is drawn towards the average as far as its own data leave it open. So a "
        "small group does not stand out by chance alone, and one that the fit has not seen is forecast from how the "
        "others differ."
    )
    if most == least:
        return text
    ends = say(
        "Of the {quantity}, {column} {most} is pooled most ({most_pooled} of how groups differ is still open for it) "
        "and {least} least ({least_pooled}).",
        quantity=say(one.quantity.replace("_", " ")),
        column=one.column,
        most=one.labels[most],
        most_pooled=numbers.share(float(one.pooled[most])),
        least=one.labels[least],
        least_pooled=numbers.share(float(one.pooled[least])),
    )
    return joined("{first} {second}", [text, ends])


def _some(found: list[Groups]) -> list[Groups]:
    if not found:
        raise InputError("The fit had no groups. Fit with groups='channel' to learn how they differ.")
    return found


def _sizes(customers: xr.Dataset | None, one: Groups) -> list[int] | None:
    """Return how many customers each group has; None where the customers do not hold the column."""
    if customers is None or one.column not in customers:
        return None
    own = as_labels(column_values(customers, one.column))
    count = customers["count"].to_numpy() if "count" in customers else np.ones(customers.sizes[CUSTOMER])
    return [int(count[own == label].sum()) for label in one.labels]


def _flat(posterior: xr.DataTree, name: str) -> np.ndarray:
    """Return the draws (..., draw) of a variable."""
    drawn = posterior["posterior"][name].transpose(..., "chain", "draw").to_numpy()
    return np.asarray(drawn.reshape(*drawn.shape[:-2], -1), dtype=float)


PROBABILITY = "mean probability of "


def without_symbols(meaning: str) -> str:
    """Return what a quantity means without the papers' symbols, in which it ends."""
    words = meaning.partition(";")[0]
    return words.rpartition(", ")[0] or words


def _acted_on(posterior: xr.DataTree, effect: Effect) -> str:
    """Return in words what a coefficient multiplies: the quantity, or the odds where it is a probability."""
    family = find_family(str(posterior.attrs["family"]))
    meaning = str(family.words.meanings[effect.quantity][0])
    words = without_symbols(meaning)
    if np.isinf(family.quantities[effect.quantity].upper):
        return say("the {quantity}", quantity=say(words))
    return say("the odds of {event}", event=say(words.removeprefix(PROBABILITY)))


def _phrases(encoding: Encoding | Interaction, what: str) -> Iterator[str]:
    """Yield, for each design column, the sentence up to the number."""
    if isinstance(encoding, Encoding):
        for step in _steps(encoding):
            yield say("{step} multiplies {what}", step=step, what=what)
        return
    for label, steps in zip(encoding.labels, _together(encoding), strict=True):
        if len(steps) == 2:
            first = label.partition(":")[0]
            yield say(
                "{step} multiplies the factor of {column} on {what}", step=steps[1], column=first, what=what
            )
        else:
            yield say("{columns}, all of them together, multiplies {what}", columns=label, what=what)


def _steps(encoding: Encoding) -> list[str]:
    """Return what a step of one is in each design column, as the beginning of a sentence."""
    name = encoding.column
    if encoding.powers:
        return [
            say(
                "One standard deviation more of {power}, a part of a curve in {column} to be read as a whole,",
                power=label,
                column=name,
            )
            for label in encoding.labels
        ]
    if encoding.levels:
        first = encoding.levels[0]
        return [
            say("{column} {level}, against {first},", column=name, level=level, first=first)
            for level in encoding.levels[1:]
        ]
    return [
        say("One standard deviation ({sd}) more {column}", sd=numbers.number(encoding.scale), column=name)
    ]


def _together(interaction: Interaction) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for part in interaction.parts:
        found = [(*steps, step) for steps in found for step in _steps(part)]
    return found


def _short(text: str, limit: int = 22) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
