"""Segments for the eye: each customer's membership, the segments' sizes, the map of two quantities.

Every figure shows what is not known beside what is: a membership is a strip of probabilities, a size has its interval
beside the count of labels, a customer on the map is a cross, a place in a ranking is a line.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.language import joined, say
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import CUSTOMER, CUSTOMER_VARIABLES, DRAW, InputError
from bayes_clv.segments.ranking import quantity_points
from bayes_clv.segments.segmenting import SEGMENT
from bayes_clv.views import numbers, style

# More columns or rows of segments are too many to read; the largest are shown.
COLUMNS_SHOWN, ROWS_SHOWN = 12, 20


# Dots of a map; more only blacken it.
DOTS_SHOWN = 4000


OTHERS = "all others"


# Segments of a map that have a colour of their own; the rest are grey.
HUES = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.SKY, style.AMBER)


def check_segments(segments: xr.Dataset) -> None:
    """Refuse what is no result of ``clv.segment``."""
    missing = [
        name
        for name in ("membership", "most_likely", "most_likely_probability", "unsure", "size_mean")
        if name not in segments
    ]
    if missing:
        raise InputError(f"There is no {missing[0]} here. Give the result of clv.segment.")


def plot_membership(
    segments: xr.Dataset, customers: Sequence[Any] | None = None, most: int = 60
) -> style.Drawing:
    """Plot how probably each customer belongs to each segment: one strip a customer.

    Parameters
    ----------
    segments : xarray.Dataset
        The result of ``clv.segment``.
    customers : sequence of ids, optional
        The customers to show; by default all of them, or, of a larger base, ``most`` evenly spaced in the order of
        the figure, so that each segment has as many strips as its share of the base.
    most : int
        At most so many strips.

    Returns
    -------
    matplotlib.figure.Figure
        A row a customer, sorted by its most probable segment and how probable that is; a column a segment, the darker
        the more probable. A dot marks the customers whose most probable segment is less probable than
        ``segments.attrs["sure"]``. Beyond twelve segments the largest are shown and the others added up.

    Raises
    ------
    InputError
        When it is no result of ``segment``; a customer that is not in it.

    Examples
    --------
    >>> kinds = clv.rule("Buyers", {"none": "purchases == 0", "some": "purchases > 0"})
    >>> draws = clv.simulate(buying, customers, draws=50, seed=1)
    >>> figure = plot_membership(clv.segment(draws, kinds), most=30)
    """
    check_segments(segments)
    rows, of = _strips(segments, customers, most)
    cells, names = _columns(segments.isel({CUSTOMER: rows}))
    ids = segments[CUSTOMER].to_numpy()[rows]
    labels = segments["most_likely"].to_numpy()[rows]
    sure = float(segments.attrs.get("sure", 0.8))
    unsure = segments["unsure"].to_numpy()[rows]
    title = say("Who belongs where? {rule}", rule=segments.attrs.get("rule", ""))
    told = {"draws": segments.sizes[DRAW], "some": rows.size, "all": of}
    if rows.size == of:
        note = say("share of {draws:,} draws; {all:,} customers", draws=told["draws"], all=of)
    elif customers is not None:
        note = say("share of {draws:,} draws; {some:,} of {all:,} customers", **told)
    else:
        note = say(
            "share of {draws:,} draws; {some:,} of {all:,} customers, evenly spaced in this order", **told
        )
    with style.styled():
        figure = style.drawing(1.7 + 0.16 * rows.size, width=max(5.8, min(7.0, 2.6 + 0.75 * len(names))))
        axes = figure.subplots()
        image = axes.pcolormesh(
            np.arange(len(names) + 1) - 0.5,
            np.arange(rows.size + 1) - 0.5,
            cells,
            cmap=style.SEQUENTIAL,
            vmin=0,
            vmax=1,
            edgecolors="white",
            linewidth=0.6,
        )
        # Between one most probable segment and the next.
        for at in np.flatnonzero(labels[1:] != labels[:-1]):
            axes.axhline(at + 0.5, color=style.INK, linewidth=1.2)
        axes.plot(
            np.full(int(unsure.sum()), len(names) - 0.3),
            np.flatnonzero(unsure),
            "o",
            color=style.ORANGE,
            markersize=4,
            clip_on=False,
            label=say("unsure: the most probable below {sure:g}", sure=sure),
        )
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(rows.size - 0.5, -0.5)
        axes.set_yticks(np.arange(rows.size), [style.short(str(each)) for each in ids], fontsize=7.5)
        crowded = max(len(name) for name in names) > 9 or len(names) > 6
        axes.set_xticks(
            np.arange(len(names)),
            [style.short(name, 22) for name in names],
            rotation=35 if crowded else 0,
            ha="right" if crowded else "center",
            rotation_mode="anchor" if crowded else "default",
        )
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set_ylabel(say("customer"))
        axes.set_xlabel(say("segment"))
        bar = figure.colorbar(image, ax=axes, pad=0.04, aspect=30, shrink=min(1.0, 12 / max(rows.size, 1)))
        bar.set_label(say("probability of membership"))
        bar.outline.set_visible(False)
        if unsure.any():
            figure.legend(loc="outside lower center", fontsize=8.5)
        style.heading(axes, title, note)
    return figure


def _strips(segments: xr.Dataset, customers: Sequence[Any] | None, most: int) -> tuple[np.ndarray, int]:
    """Return the positions of the customers to show, in order, and of how many they are."""
    if customers is None:
        chosen = np.arange(segments.sizes[CUSTOMER])
    else:
        place = {each: position for position, each in enumerate(segments[CUSTOMER].to_numpy().tolist())}
        missing = [each for each in customers if each not in place]
        if missing:
            raise InputError(
                f"{len(missing):,} of {len(customers):,} customers are not among the segments', for example "
                f"{missing[0]!r}. Give ids as in segments['customer']."
            )
        chosen = np.array([place[each] for each in dict.fromkeys(customers)], dtype=int)
    if most < 1 or chosen.size == 0:
        raise InputError(f"There is nothing to show of {chosen.size:,} customers with most={most}.")
    numbers = {name: number for number, name in enumerate(segments[SEGMENT].to_numpy().tolist())}
    label = np.array([numbers[name] for name in segments["most_likely"].to_numpy()[chosen]])
    probability = segments["most_likely_probability"].to_numpy()[chosen]
    order = chosen[np.lexsort((chosen, -probability, label))]
    if order.size > most:
        # The middles of equal parts.
        order = order[((np.arange(most) + 0.5) * order.size / most).astype(int)]
    return order, chosen.size


def _columns(segments: xr.Dataset) -> tuple[np.ndarray, list[str]]:
    """Return the probabilities (customer, column) and the columns' names; small segments add up to one."""
    cells = segments["membership"].transpose(CUSTOMER, SEGMENT).to_numpy()
    names = [str(name) for name in segments[SEGMENT].to_numpy()]
    if len(names) <= COLUMNS_SHOWN:
        return cells, names
    largest = np.argsort(-segments["size_mean"].to_numpy(), kind="stable")[: COLUMNS_SHOWN - 1]
    kept = np.sort(largest)
    rest = np.setdiff1d(np.arange(len(names)), kept)
    cells = np.column_stack([cells[:, kept], cells[:, rest].sum(axis=1)])
    return cells, [*(names[k] for k in kept), say(OTHERS)]


def plot_segment_sizes(segments: xr.Dataset, quantity: str | None = None) -> style.Drawing:
    """Plot how many customers each segment has, with the interval, beside the count of most probable labels.

    Parameters
    ----------
    segments : xarray.Dataset
        The result of ``clv.segment``.
    quantity : str, optional
        One of the ``totals`` of ``segment``, such as ``"value"``: the sum over the segment's members is shown instead,
        for which labels have no count.

    Returns
    -------
    matplotlib.figure.Figure
        A row a segment: mean and central 90 % over draws; diamonds count each customer in its most probable segment
        alone. Where a diamond lies outside the line, counting labels misstates the segment's size: many customers who
        are probably elsewhere still add up. Level: that of the rule's quantities, outcome where it reads the future.
        Beyond twenty segments the largest are shown.

    Raises
    ------
    InputError
        When it is no result of ``segment``, or it has no such total.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, draws=50, seed=1)
    >>> kinds = clv.rule("Buyers", {"none": "purchases == 0", "some": "purchases > 0"})
    >>> figure = plot_segment_sizes(clv.segment(draws, kinds, totals=("purchases",)), "purchases")
    """
    check_segments(segments)
    stem = "size" if quantity is None else f"{quantity}_total"
    if f"{stem}_mean" not in segments:
        totals = [
            str(n).removesuffix("_total_mean") for n in segments.data_vars if str(n).endswith("_total_mean")
        ]
        raise InputError(
            f"There is no total of {quantity!r} here, but of: {', '.join(totals) or 'nothing'}. "
            f"Give segment(..., totals=({quantity!r},))."
        )
    mean, low, high = (segments[f"{stem}_{what}"].to_numpy() for what in ("mean", "q05", "q95"))
    names = [str(name) for name in segments[SEGMENT].to_numpy()]
    shown = np.arange(len(names))
    if shown.size > ROWS_SHOWN:
        shown = np.sort(np.argsort(-segments["size_mean"].to_numpy(), kind="stable")[:ROWS_SHOWN])
    rows = np.arange(shown.size)
    with style.styled():
        figure = style.drawing(1.5 + 0.26 * shown.size)
        axes = figure.subplots()
        axes.hlines(rows, low[shown], high[shown], color=style.SKY, linewidth=4, label=say("90 % interval"))
        axes.plot(mean[shown], rows, "o", color=style.BLUE, markersize=5.5, label=say("mean"))
        if quantity is None:
            labels = label_counts(segments)
            axes.plot(
                labels[shown],
                rows,
                "D",
                color=style.ORANGE,
                markerfacecolor="none",
                markersize=7,
                markeredgewidth=1.5,
                clip_on=False,
                label=say("customers with this label"),
            )
        axes.set_yticks(rows, [style.short(names[s], 24) for s in shown])
        axes.set_ylim(shown.size - 0.5, -0.5)
        axes.set_xlim(left=min(0.0, float(low[shown].min())))
        axes.margins(x=0.06)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        style.thousands(axes.xaxis)
        axes.set_xlabel(
            say("customers")
            if quantity is None
            else say("total {quantity}", quantity=words(quantity, segments))
        )
        axes.set_ylabel(say("segment"))
        figure.legend(loc="outside lower center", ncols=3, fontsize=8.5)
        title = (
            say("How many customers?")
            if quantity is None
            else say("How much {quantity}?", quantity=say(quantity.replace("_", " ")))
        )
        note = say(
            "mean and 90 % of {draws:,} draws; level: as the rule's quantities", draws=segments.sizes[DRAW]
        )
        if shown.size < len(names):
            note = say("{text}; the {some} largest of {all}", text=note, some=shown.size, all=len(names))
        style.heading(axes, title, note)
    return figure


def label_counts(segments: xr.Dataset) -> np.ndarray:
    """Return the number of customers whose most probable segment each is: what a hard label would count."""
    numbers = {name: number for number, name in enumerate(segments[SEGMENT].to_numpy().tolist())}
    labels = [numbers[name] for name in segments["most_likely"].to_numpy().tolist()]
    return np.bincount(labels, minlength=len(numbers))


def words(quantity: str, result: xr.Dataset) -> str:
    """Return a quantity of a result in words with its unit, for an axis."""
    name, unit = _named(quantity)
    if unit == "money":
        unit = numbers.money_unit(result)
    return say("{label} ({unit})", label=name, unit=say(unit)) if unit else name


def _named(quantity: str) -> tuple[str, str]:
    """Return a quantity in words, and its unit where an axis says it."""
    known = {
        "value": (say("residual value"), "money"),
        "spend": (say("spend"), "money"),
        "purchases": (say("purchases"), "count"),
        "probability_alive": (say("probability of being alive"), ""),
        "alive": (say("probability of being alive"), ""),
        "purchase_rate": (say("purchases per time unit while alive"), ""),
        "spend_per_purchase": (say("spend per purchase"), "money"),
        "time_since_purchase": (say("time since the last purchase"), ""),
    }
    if quantity in known:
        return known[quantity]
    if quantity in CUSTOMER_VARIABLES:
        return CUSTOMER_VARIABLES[quantity].long_name, CUSTOMER_VARIABLES[quantity].unit
    return quantity.replace("_", " "), ""


def plot_customer_map(
    draws: Simulation | xr.Dataset,
    segments: xr.Dataset | None = None,
    x: str = "probability_alive",
    y: str = "value",
    most: int = 40,
) -> style.Drawing:
    """Plot customers by two quantities, some of them with their uncertainty, coloured by most probable segment.

    Parameters
    ----------
    draws : Simulation or xarray.Dataset
        Of ``clv.simulate``, walked over once, a block of customers after the other; or what
        ``segments.ranking.quantity_points`` returned for both quantities.
    segments : xarray.Dataset, optional
        The result of ``clv.segment`` for these customers: gives the colours. The six largest segments have one each.
    x, y : str
        Two of ``draws.names``.
    most : int
        At most so many customers have their uncertainty drawn: those that lie far from one another, so that the
        crosses can be told apart. They stand for the parts of the map, not for how many customers are there; that is
        what the dots show.

    Returns
    -------
    matplotlib.figure.Figure
        Dots: customers at their two means (at most 4,000, evenly spaced in the dataset). Crosses: 50 % (thick) and
        90 % (thin) of either quantity over draws. An axis of very uneven amounts is stretched near zero (arsinh).

    Raises
    ------
    InputError
        A quantity that is not known or missing for some customers; segments of other customers.

    Examples
    --------
    >>> draws = clv.simulate(buying, customers, draws=50, seed=1)
    >>> figure = plot_customer_map(draws, y="purchases")
    """
    points = draws if isinstance(draws, xr.Dataset) else quantity_points(draws, *dict.fromkeys((x, y)))
    for name in (x, y):
        if f"{name}_mean" not in points or f"{name}_q95" not in points:
            raise InputError(f"There is no {name}_mean with quantiles here. Give the result of clv.simulate.")
    colours, legend = _hues(points, segments)
    across, up = (points[f"{name}_mean"].to_numpy() for name in (x, y))
    dots = np.unique(np.linspace(0, across.size - 1, min(DOTS_SHOWN, across.size)).astype(int))
    with style.styled():
        figure = style.drawing(4.6)
        axes = figure.subplots()
        _scale(axes.xaxis, axes.set_xscale, across, x)
        _scale(axes.yaxis, axes.set_yscale, up, y)
        crosses = _apart(_placed(axes.xaxis, across), _placed(axes.yaxis, up), most)
        axes.scatter(
            across[dots],
            up[dots],
            s=9,
            c=colours[dots],
            alpha=0.35 if dots.size < 1000 else 0.22,
            linewidth=0,
            # A picture inside the SVG: thousands of dots would each be an element.
            rasterized=True,
        )
        _draw_crosses(axes, points, x, y, crosses, colours)
        axes.set_xlabel(words(x, points))
        axes.set_ylabel(words(y, points))
        if legend:
            handles = [_handle(colour, name) for name, colour in legend.items()]
            figure.legend(
                handles=handles, loc="outside lower center", ncols=min(4, len(handles)), fontsize=8.5
            )
        told = {"dots": dots.size, "all": across.size, "crosses": crosses.size, "level": level_words(x, y)}
        note = (
            say("dots: customers' means; crosses: 50 % and 90 % of {crosses}; {level}", **told)
            if dots.size == across.size
            else say(
                "dots: {dots:,} of {all:,} customers' means; crosses: 50 % and 90 % of {crosses}; {level}",
                **told,
            )
        )
        title = say("{first} and {second}", first=short_words(x), second=short_words(y))
        style.heading(axes, _capital(title), note)
        _room(axes, points, x, y, crosses)
    return figure


def _hues(points: xr.Dataset, segments: xr.Dataset | None) -> tuple[np.ndarray, dict[str, str]]:
    """Return a colour a customer, and the legend."""
    size = points.sizes[CUSTOMER]
    if segments is None:
        return np.full(size, style.BLUE, dtype=object), {}
    check_segments(segments)
    ids = points[CUSTOMER].to_numpy()
    if not np.array_equal(ids, segments[CUSTOMER].to_numpy()):
        if set(ids.tolist()) - set(segments[CUSTOMER].to_numpy().tolist()):
            raise InputError("segments must be what clv.segment returned for these customers.")
        segments = segments.sel({CUSTOMER: ids})
    names = segments[SEGMENT].to_numpy()
    # For the largest segments, in the rule's order.
    largest = set(np.argsort(-segments["size_mean"].to_numpy(), kind="stable")[: len(HUES)].tolist())
    hues = iter(HUES)
    colour = {name: next(hues) if number in largest else style.MUTED for number, name in enumerate(names)}
    legend = {style.short(str(name), 24): hue for name, hue in colour.items() if hue != style.MUTED}
    if len(legend) < len(names):
        legend[say(OTHERS)] = style.MUTED
    return np.array([colour[name] for name in segments["most_likely"].to_numpy()], dtype=object), legend


def _scale(axis: Any, set_scale: Any, amounts: np.ndarray, name: str) -> None:
    """Stretch the axis of very uneven amounts near zero, and label it in plain numbers."""
    style.thousands(axis)
    low, middle, high = np.quantile(amounts, (0.0, 0.5, 1.0))
    positive = amounts[amounts > 0]
    if (
        name in ("probability_alive", "alive")
        or low < 0
        or not positive.size
        or high <= 10 * max(middle, 1e-12)
    ):
        return
    width = float(np.quantile(positive, 0.25))
    from matplotlib.ticker import FixedLocator, NullLocator

    set_scale("asinh", linear_width=width)
    decades = 10.0 ** np.arange(np.floor(np.log10(width)), np.ceil(np.log10(amounts.max())) + 2)
    steps = np.outer(decades, (1.0, 3.0)).ravel() if decades.size <= 5 else decades
    axis.set_major_locator(FixedLocator([0.0, *steps]))
    axis.set_minor_locator(NullLocator())
    style.thousands(axis)


def _placed(axis: Any, amounts: np.ndarray) -> np.ndarray:
    """Return where the amounts lie on the axis, as a share of its length."""
    place = axis.get_transform().transform(amounts)
    spread = np.ptp(place)
    shares: np.ndarray = (place - place.min()) / (spread if spread > 0 else 1.0)
    return shares


def _apart(across: np.ndarray, up: np.ndarray, most: int) -> np.ndarray:
    """Return the positions of at most so many points, each the farthest from those before it, the middle one first."""
    if across.size <= most:
        return np.arange(across.size)
    first = int(np.argmin(np.hypot(across - np.median(across), up - np.median(up))))
    chosen, distance = [first], np.full(across.size, np.inf)
    while len(chosen) < most:
        distance = np.minimum(distance, np.hypot(across - across[chosen[-1]], up - up[chosen[-1]]))
        farthest = int(distance.argmax())
        # Where the crosses would lie on one another, fewer are better.
        if distance[farthest] < 0.03:
            break
        chosen.append(farthest)
    return np.array(chosen)


def _draw_crosses(
    axes: Any, points: xr.Dataset, x: str, y: str, chosen: np.ndarray, colours: np.ndarray
) -> None:
    few = points.isel({CUSTOMER: chosen})
    hues = colours[chosen].tolist()
    across, up = few[f"{x}_mean"].to_numpy(), few[f"{y}_mean"].to_numpy()
    for low, high, width, alpha in (("q05", "q95", 0.9, 0.55), ("q25", "q75", 2.6, 0.8)):
        axes.hlines(up, few[f"{x}_{low}"], few[f"{x}_{high}"], colors=hues, linewidth=width, alpha=alpha)
        axes.vlines(across, few[f"{y}_{low}"], few[f"{y}_{high}"], colors=hues, linewidth=width, alpha=alpha)
    axes.scatter(across, up, s=26, c=hues, edgecolors="white", linewidth=0.8, zorder=3)


def _room(axes: Any, points: xr.Dataset, x: str, y: str, chosen: np.ndarray) -> None:
    """Leave room for the crosses, and none below zero where nothing is."""
    few = points.isel({CUSTOMER: chosen})
    for name, limits in ((x, axes.set_xlim), (y, axes.set_ylim)):
        low = min(float(points[f"{name}_mean"].min()), float(few[f"{name}_q05"].min()))
        high = max(float(points[f"{name}_mean"].max()), float(few[f"{name}_q95"].max()))
        if name in ("probability_alive", "alive"):
            limits(-0.02, 1.02)
        elif high > low:
            limits(low - 0.02 * (high - low) if low < 0 else 0.0, high * 1.06 if high > 0 else high)


def _handle(colour: str, name: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker="o", linestyle="none", markersize=6, label=name)


def short_words(quantity: str) -> str:
    """Return the name of a quantity without its unit."""
    return "P(alive)" if quantity == "probability_alive" else _named(quantity)[0]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def level_words(*names: str) -> str:
    """Return the level of uncertainty of these quantities, for a title."""
    levels = {
        "value": "outcome",
        "spend": "outcome",
        "purchases": "outcome",
        "probability_alive": "expected",
        **dict.fromkeys(
            ("alive", "purchase_rate", "dropout", "dropout_rate", "spend_per_purchase"), "latent"
        ),
    }
    found = [say(levels.get(name, "known")) for name in names]
    if len(set(found)) == 1:
        return say("{level} level", level=found[0])
    return say("levels {levels}", levels=joined("{first} and {second}", found))


def draw_places(axes: Any, order: np.ndarray, mean: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Draw each customer's mean and interval at its rank."""
    shown = np.unique(np.linspace(0, order.size - 1, min(200, order.size)).astype(int))
    places, chosen = shown + 1, order[shown]
    axes.vlines(places, low[chosen], high[chosen], color=style.SKY, linewidth=1.1, alpha=0.8)
    axes.plot(places, mean[chosen], "o", color=style.BLUE, markersize=2.4)
    sure = say("sure")
    axes.plot([1, order.size], [1, order.size], color=style.MUTED, linewidth=1, linestyle="--", label=sure)
    axes.set(xlim=(0, order.size * 1.02), ylim=(order.size * 1.02, 0))
    for axis in (axes.xaxis, axes.yaxis):
        style.thousands(axis)
        axis.get_major_locator().set_params(nbins=5)
    axes.set_xlabel(say("place by the mean"))
    axes.set_ylabel(say("rank (1 the best, at the top)"))
