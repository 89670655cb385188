"""What a history says: probability of being alive and expected purchases, over histories and over time.

All at the *expected* level: only the population parameters vary, as in the literature. Draws are thinned
evenly to at most ``draws``, which is plenty for a mean and a 90 % band.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import digamma

from bayes_clv.families.contract import Forecast, need
from bayes_clv.families.registry import family
from bayes_clv.language import say
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.schema import UNSTATED, InputError, interval
from bayes_clv.units import days_per, duration, in_plural
from bayes_clv.views import style

type Array = NDArray[np.float64]

# Share of the customers whose frequencies a matrix has a row for.
SHOWN = 0.99


def _thinned(buying: xr.DataTree, draws: int) -> Parameters:
    """Return at most ``draws`` evenly spaced posterior draws, fewer where closed forms are dear."""
    known = parameters(buying, "buying", calendar=True)
    most = known.forecast.closed_form_draws
    return known.thin(draws if most is None else min(draws, most))


def _histories(
    known: Parameters,
    x: Array,
    t_x: Array,
    age: Array | float,
    *,
    times: Array | None = None,
    horizon: float = 0.0,
) -> tuple[Parameters, dict[str, Array]]:
    """Return the draws with a forecast of histories (row,), and the columns (row, 1) that it asks for.

    ``times`` are the ages at the repeat purchases of one customer, of whom each history is the beginning. Where they
    are not given timing is as chance: purchases at even distances, and the expected logarithm of one of x intervals
    that purchases at random cut t_x into is log t_x + psi(1) - psi(x). With a calendar ages are counted back from its
    end, and its future is drawn to ``horizon``.
    """
    record, wanted = known.family, known.forecast.history
    history = {
        "frequency": x,
        "recency": t_x,
        "T": np.broadcast_to(np.asarray(age, dtype=np.float64), x.shape),
    }
    if "purchase_start" in wanted:
        size = x.astype(np.int64)
        start = np.cumsum(size) - size if times is None else np.zeros(size.size, dtype=np.int64)
        if times is None:
            number = np.arange(size.sum()) - np.repeat(start, size) + 1
            times = np.repeat(t_x / np.maximum(x, 1), size) * number
        record = record.of({"purchase_times": times})
        history["purchase_start"] = start.astype(np.float64)
    if "log_intervals" in wanted and times is not None:
        history["log_intervals"] = np.r_[0.0, np.cumsum(np.log(np.diff(times, prepend=0.0)))][
            x.astype(np.int64)
        ]
    elif "log_intervals" in wanted:
        some = np.maximum(x, 1.0)
        each = np.log(np.where(x > 0, t_x, 1.0)) + digamma(1.0) - digamma(some)
        history["log_intervals"] = np.where(x > 0, x * each, 0.0)
    columns = {name: column[:, None] for name, column in history.items()}
    return replace(known, family=record).until(horizon), columns


def _oldest_age(customers: xr.Dataset | float) -> float:
    age = float(customers["T"].max()) if isinstance(customers, xr.Dataset) else float(customers)
    if not np.isfinite(age) or age <= 0:
        raise InputError(f"The age of the oldest customer is {age!r}; it must be positive and finite.")
    return age


def _largest_frequency(customers: xr.Dataset | float, age: float, given: int | None) -> int:
    if given is not None:
        return given
    if not isinstance(customers, xr.Dataset):
        return max(1, int(age // 2))
    # One who bought seventy times would leave the many at the bottom a few rows.
    top = np.quantile(customers["frequency"], SHOWN, method="inverted_cdf")
    return max(1, int(top))


def _matrix_histories(age: float, top: int, days: float | None) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return frequency (row), recency (column) and which pairs are possible.

    Purchase occasions are days, so x of them need a recency of at least x days; none needs recency 0.
    """
    frequency = np.arange(top + 1.0)
    recency = np.linspace(0, age, 61)
    # The half column width lets the cell that holds the smallest possible recency be drawn.
    reach = recency + age / 120
    least = frequency[:, None] / days if days else np.zeros((top + 1, 1))
    possible = np.where(frequency[:, None] == 0, recency[None, :] == 0, (reach >= least) & (recency > 0))
    return frequency, recency, possible


def _matrix(
    buying: xr.DataTree,
    customers: xr.Dataset | float,
    quantity: Callable[[Forecast, dict[str, Array], dict[str, Array]], Array],
    *,
    horizon: float = 0.0,
    draws: int,
    max_frequency: int | None,
    title: str,
    note: Callable[[float, int], str],
    label: str,
    limits: tuple[float | None, float | None],
) -> style.Drawing:
    unit = str(buying.attrs.get("time_unit", UNSTATED))
    age = _oldest_age(customers)
    top = _largest_frequency(customers, age, max_frequency)
    days = None if unit == UNSTATED else days_per(unit)
    frequency, recency, possible = _matrix_histories(age, top, days)
    rows, columns = np.nonzero(possible)
    known, history = _histories(
        _thinned(buying, draws), frequency[rows], recency[columns], age, horizon=horizon
    )
    cells = np.full(possible.shape, np.nan)
    cells[possible] = quantity(known.forecast, history, known.values).mean(axis=1)

    with style.styled():
        from matplotlib.ticker import MaxNLocator

        figure = style.drawing(3.6)
        axes = figure.subplots()
        half = age / 120
        image = axes.imshow(
            cells,
            origin="lower",
            aspect="auto",
            interpolation="none",
            cmap=style.SEQUENTIAL,
            extent=(-half, age + half, -0.5, top + 0.5),
            vmin=limits[0],
            vmax=limits[1],
        )
        axes.grid(False)
        axes.set_xlabel(
            say("recency: age at the last purchase ({units})", units=say(in_plural(unit)))
            if unit != UNSTATED
            else say("recency (data's time unit)")
        )
        axes.set_ylabel(say("frequency (repeat purchases)"))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        bar = figure.colorbar(image, ax=axes, pad=0.02)
        bar.set_label(label)
        bar.outline.set_visible(False)
        style.heading(axes, title, note(age, known.size))
    return figure


def plot_alive_matrix(
    buying: xr.DataTree, customers: xr.Dataset | float, *, draws: int = 300, max_frequency: int | None = None
) -> style.Drawing:
    """Plot the probability of being alive over frequency and recency, at the age of the oldest customer.

    Parameters
    ----------
    buying : xarray.DataTree
        Posterior of a purchase family.
    customers : xarray.Dataset or float
        The base: its largest T and the frequency that 99 % of it do not exceed set the axes. Or that age, in the
        posterior's time unit.
    draws : int
        Posterior draws averaged over.
    max_frequency : int, optional
        Top of the frequency axis, in repeat purchases.

    Returns
    -------
    matplotlib.figure.Figure
        Posterior mean of the probability (expected level). Impossible histories are blank: recency 0 with
        a repeat purchase, recency without one, more purchase days than days. Where the family reads the times between
        purchases (``log_intervals``) they are as uneven as chance makes them; where it reads the times themselves
        (drift) they are even. With a calendar these are histories that ended on its last day.
    """

    def alive(forecast: Forecast, history: dict[str, Array], values: dict[str, Array]) -> Array:
        return _being_here(forecast)[0](history, values)

    units = say(in_plural(str(buying.attrs.get("time_unit", UNSTATED))))

    def note(age: float, size: int) -> str:
        return say(
            "{chance} at age {age:.3g} {units}; expected level, mean of {draws} posterior draws",
            chance=f"P({_word(buying)})",
            age=age,
            units=units,
            draws=size,
        )

    return _matrix(
        buying,
        customers,
        alive,
        draws=draws,
        max_frequency=max_frequency,
        limits=(0, 1),
        title=say("Who is still a customer?"),
        note=note,
        label=_probability_of(_word(buying)),
    )


def plot_expected_purchases_matrix(
    buying: xr.DataTree,
    customers: xr.Dataset | float,
    horizon: str | float = "52 weeks",
    *,
    draws: int = 100,
    max_frequency: int | None = None,
) -> style.Drawing:
    """Plot the expected purchases over a horizon by frequency and recency, at the oldest customer's age.

    Parameters
    ----------
    buying : xarray.DataTree
        Posterior of a purchase family.
    customers : xarray.Dataset or float
        As in `plot_alive_matrix`.
    horizon : str or float
        Length of the future: ``"52 weeks"``, or a number in the posterior's time unit.
    draws, max_frequency
        As in `plot_alive_matrix`.

    Returns
    -------
    matplotlib.figure.Figure
        Posterior mean of the expected number of purchases (expected level).
    """
    unit = str(buying.attrs.get("time_unit", UNSTATED))
    length = duration(horizon, unit)

    def purchases(forecast: Forecast, history: dict[str, Array], values: dict[str, Array]) -> Array:
        return forecast.purchases(length, history, values)

    units = say(in_plural(unit))

    def note(age: float, size: int) -> str:
        return say(
            "Expected purchases at age {age:.3g} {units}; expected level, mean of {draws} posterior draws",
            age=age,
            units=units,
            draws=size,
        )

    return _matrix(
        buying,
        customers,
        purchases,
        horizon=length,
        draws=draws,
        max_frequency=max_frequency,
        limits=(0, None),
        title=say("What will they buy in the next {length:.3g} {units}?", length=length, units=units),
        note=note,
        label=say("expected purchases"),
    )


def alive_over_time(
    buying: xr.DataTree, purchase_dates: Iterable[Any], until: Any, *, draws: int = 500, points: int = 240
) -> xr.Dataset:
    """Return P(alive) of one customer as seen from each day of the history (level: expected).

    Where customers may be asleep (``returns=True``) it is P(awake), here and in the figures.

    Parameters
    ----------
    buying : xarray.DataTree
        Posterior of a purchase family with a stated time unit.
    purchase_dates : iterable of dates
        The days on which the customer bought, the first included; more than one a day count once.
    until : date
        The last day shown, not before the first purchase.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``q05`` and ``q95`` over ``date``. What is known at a date is used, not what came later;
        each purchase has two entries, just before and at the purchase.

    Raises
    ------
    InputError
        For no dates, dates after ``until``, or a posterior whose time unit is not stated. With a calendar for ``until``
        after its last day, and of a family whose lifetimes do not go by it (``pareto_nbd``).
    """
    known, forecast, history, when = _seen_over_time(buying, purchase_dates, until, draws, points)
    here, _ = _being_here(forecast)
    return _band(here(history, known.values), when, "expected")


def rate_over_time(
    buying: xr.DataTree,
    purchase_dates: Iterable[Any],
    until: Any,
    *,
    draws: int = 500,
    points: int = 240,
    seed: int = 0,
) -> xr.Dataset:
    """Return the purchase rate of one customer as seen from each day of the history (level: latent).

    Parameters
    ----------
    buying, purchase_dates, until
        As in `alive_over_time`.
    draws, points : int
        Draws of the rate at each date, and dates besides those of purchases.
    seed : int
        Of the draws.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``q05`` and ``q95`` over ``date``, purchases per time unit of the posterior: of the customer while it
        is here, after it left as it was then. With a calendar it is the rate at the calendar's mean level.

    Raises
    ------
    InputError
        As in `alive_over_time`.
    """
    known, forecast, history, when = _seen_over_time(buying, purchase_dates, until, draws, points)
    repeated = {name: value[np.arange(draws) % known.size] for name, value in known.values.items()}
    _, rate, *_ = forecast.latent_draws(np.random.default_rng(seed), history, repeated)
    # The mean in closed form has no noise.
    mean, *_ = forecast.latent_means(history, known.values)
    return _band(rate, when, "latent").assign(mean=("date", mean.mean(axis=1)))


def _band(values: Array, when: NDArray[np.datetime64], level: str) -> xr.Dataset:
    """Return mean and central 90 % of values (date, draw)."""
    low, high = interval(values, axis=1)
    return xr.Dataset(
        {"mean": ("date", values.mean(axis=1)), "q05": ("date", low), "q95": ("date", high)},
        coords={"date": when},
        attrs={"level": level},
    )


def _being_here(forecast: Forecast) -> tuple[Callable[[Any, Any], Array], str]:
    """Return the probability that falls with silence, and its word: alive, or awake where customers may be asleep."""
    states = forecast.states
    if states is None:
        return forecast.alive, "alive"
    return (lambda history, values: states(history, values)[0]), "awake"


def _word(buying: xr.DataTree) -> str:
    return _being_here(need(family(str(buying.attrs["family"])), Forecast))[1]


def _probability_of(word: str) -> str:
    return say("probability of being awake") if word == "awake" else say("probability of being alive")


def _seen_over_time(
    buying: xr.DataTree, purchase_dates: Iterable[Any], until: Any, draws: int, points: int
) -> tuple[Parameters, Forecast, dict[str, Array], NDArray[np.datetime64]]:
    """Return draws, the forecast and one customer's histories as they were known at dates, and these dates."""
    unit = str(buying.attrs.get("time_unit", UNSTATED))
    if unit == UNSTATED:
        raise InputError(
            "The posterior's time unit is not stated, so dates cannot be turned into ages. Fit with it."
        )
    days = np.unique(np.asarray(list(purchase_dates), dtype="datetime64[D]"))
    last = np.datetime64(until, "D")
    if days.size == 0:
        raise InputError("There are no purchase dates. Give all of them, the first included.")
    later = days[days > last]
    if later.size:
        raise InputError(
            f"{later.size} of {days.size} purchase dates are after until={last} (for example {later[0]}). "
            "Leave them out, or give a later until."
        )
    ages = (days - days[0]).astype(float) / days_per(unit)
    end = float((last - days[0]).astype(float)) / days_per(unit)
    grid = np.unique(np.concatenate([np.linspace(0, end, points), ages]))
    at = np.concatenate([grid, ages[1:]])
    # Just before a purchase the history lacks it; at the purchase it has it.
    known = np.concatenate([np.searchsorted(ages, grid, side="right"), np.arange(1, ages.size)])
    order = np.lexsort((known, at))
    at, known = at[order], known[order]
    seconds = np.round(at * days_per(unit) * 86_400).astype("timedelta64[s]")
    when = days[0].astype("datetime64[s]") + seconds
    every = _thinned(buying, draws)
    bought, last_of, times = known - 1.0, ages[known - 1], ages[1:]
    if every.calendar is None:
        found, history = _histories(every, bought, last_of, at, times=times)
        return found, found.forecast, history, when
    now = _age_at_the_end(every, days[0], last, unit)
    found, history = _histories(every, bought, last_of, now, times=times)
    seen_to = found.forecast.seen_to
    # Every family that goes by a calendar has it.
    assert seen_to is not None
    return found, seen_to((at - now)[:, None]), history, when


def _age_at_the_end(known: Parameters, first: np.datetime64, last: np.datetime64, unit: str) -> float:
    """Return the age, on the last day of a calendar, of one who came on the ``first``; ``last`` may not be later."""
    assert known.calendar is not None
    end = known.calendar.calendar.until
    if not end or last > np.datetime64(end, "D"):
        raise InputError(
            f"The posterior's calendar ends on {end or 'no known day'}, and until={last} is not within it. Give an "
            "earlier until."
        )
    return float((np.datetime64(end, "D") - first).astype(float)) / days_per(unit)


def plot_alive_history(
    buying: xr.DataTree,
    purchase_dates: Iterable[Any],
    until: Any,
    *,
    customer: str | None = None,
    draws: int = 500,
) -> style.Drawing:
    """Plot P(alive) of one customer over time, with its 90 % band and a tick at every purchase.

    Parameters
    ----------
    buying, purchase_dates, until, draws
        As in `alive_over_time`.
    customer : str, optional
        Named in the title.

    Returns
    -------
    matplotlib.figure.Figure
        Mean (line) and central 90 % (band) over posterior draws, at the expected level: the band is about
        the population parameters, not about the customer.
    """
    dates = list(purchase_dates)
    path = alive_over_time(buying, dates, until, draws=draws)
    with style.styled():
        figure = style.drawing(2.9)
        axes = figure.subplots()
        when = path["date"].to_numpy()
        axes.fill_between(when, path["q05"], path["q95"], color=style.BLUE, alpha=0.2, linewidth=0)
        axes.plot(when, path["mean"], color=style.BLUE)
        bought = np.unique(np.asarray(dates, dtype="datetime64[D]")).astype("datetime64[s]")
        axes.plot(
            bought,
            np.full(bought.size, -0.06),
            "|",
            color=style.ORANGE,
            markersize=9,
            markeredgewidth=1.8,
            clip_on=False,
            label=say("purchase"),
        )
        axes.set_ylim(-0.1, 1.04)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_ylabel(_probability_of(_word(buying)))
        axes.set_xlabel(say("date"))
        style.dates(axes.xaxis)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 0.08))
        name = (
            say("Is the customer still there?")
            if customer is None
            else say("Is customer {customer} still there?", customer=customer)
        )
        note = say(
            "{chance} given what was known at each date; expected level, mean and 90 % band",
            chance=f"P({_word(buying)})",
        )
        style.heading(axes, name, note)
    return figure


def plot_rate_history(
    buying: xr.DataTree,
    purchase_dates: Iterable[Any],
    until: Any,
    *,
    customer: str | None = None,
    draws: int = 500,
) -> style.Drawing:
    """Plot one customer's purchase rate over time, with its 90 % band, above its probability of being alive.

    Parameters
    ----------
    buying, purchase_dates, until, draws
        As in `rate_over_time`. With a family whose rates drift the rate may change between purchases.
    customer : str, optional
        Named in the title.

    Returns
    -------
    matplotlib.figure.Figure
        The rate (latent level) and P(alive) (expected level), each given what was known at the date: mean and central
        90 %; a tick at every purchase.
    """
    dates = list(purchase_dates)
    unit = str(buying.attrs.get("time_unit", UNSTATED))
    rate = rate_over_time(buying, dates, until, draws=draws)
    alive = alive_over_time(buying, dates, until, draws=draws)
    with style.styled():
        figure = style.drawing(4.2)
        above, below = figure.subplots(2, sharex=True, height_ratios=(3, 2))
        bought = np.unique(np.asarray(dates, dtype="datetime64[D]")).astype("datetime64[s]")
        for axes, path, color in ((above, rate, style.BLUE), (below, alive, style.GREEN)):
            when = path["date"].to_numpy()
            axes.fill_between(when, path["q05"], path["q95"], color=color, alpha=0.2, linewidth=0)
            axes.plot(when, path["mean"], color=color)
        top = float(rate["q95"].max())
        ticks = np.full(bought.size, -0.04 * top)
        above.plot(bought, ticks, "|", color=style.ORANGE, markersize=9, label=say("purchase"))
        above.set_ylim(-0.08 * top, 1.05 * top)
        above.set_ylabel(say("purchases a {unit}", unit=say(unit)))
        above.legend(loc="upper right")
        below.set_ylim(-0.02, 1.04)
        below.set_ylabel(f"P({_word(buying)})")
        below.set_xlabel(say("date"))
        style.dates(below.xaxis)
        name = (
            say("How often does the customer buy?")
            if customer is None
            else say("How often does customer {customer} buy?", customer=customer)
        )
        note = (
            say("As known at each date; mean and 90 % band; rate at the latent level and the calendar's mean")
            if "calendar" in buying.attrs
            else say("Given what was known at each date; mean and 90 % band, rate at the latent level")
        )
        style.heading(above, name, note)
    return figure
