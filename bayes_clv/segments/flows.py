"""Who moved where: the flow of customers between a rule's segments from one date to another.

Two questions look alike. The flow can be asked with what is known *now*, or as a check of what was said *then*:

now
    How many customers moved from one segment to another? Both stages are judged with all that is known at the second
    date, and belong to one draw: one set of the customer's own rates serves both dates, and whether it was alive at the
    first follows from what it did since. Who bought between the dates was alive at the first, for certain. Who did not,
    and is alive now, was alive then too. Of one who has left the simulation says when: before the first date, or
    between the two (only where the family lets customers leave at any time; in the others they leave with a purchase).
    This is the posterior of the true table: its intervals hold the true counts.
then
    What became of those whom we called loyal, at risk or lapsed? The stage at the first date is the label that its own
    posterior gave with the data of that time, the most probable segment: a fact, right or wrong. Only the stage at the
    second date is uncertain.

Rejected: draws of the first date's posterior beside independent ones of the second's. Each is right about its own
date, but the pairs are not: a customer who was alive with probability one half at both dates, and silent in between,
would come back from the dead in a quarter of them, which the models exclude. Such a table overstates every flow.

**Won back.** By the model nobody comes back who has left. A customer is won back if the rule called it lapsed at
the first date (*then*: by its label, and so by mistake where it was thought to have left; *now*: because its silence
was long for its own rhythm, as one who bought later had not left), has bought between the dates, and is active at the
second. ``presets.WON_BACK`` says which segments these are.
"""

from collections.abc import Generator, Sequence
from typing import Literal

import numpy as np
import xarray as xr

from bayes_clv.predictions.simulation import OUTCOMES, SINCE, Simulation
from bayes_clv.schema import CUSTOMER, DRAW, InputError, Variable, describe
from bayes_clv.segments.presets import ASLEEP, WON_BACK
from bayes_clv.segments.rules import Rule
from bayes_clv.segments.segmenting import segment
from bayes_clv.segments.thresholds import CUT_CUSTOMERS, amounts_of, check_names, cut, thresholds_of

FROM, TO = "from_segment", "to_segment"
PROSPECT, BACK = "prospect", "won back"
# Days are whole; a table's ages may be rounded. As a share of the longest age.
ROUNDED = 1e-6

# Places in ``after``, and the numbers of the segments at the two dates, -1 where the customer was none yet.
type Stages = tuple[np.ndarray, np.ndarray, np.ndarray]


def flow(
    before: Simulation,
    after: Simulation,
    rule: Rule,
    *,
    known: Literal["now", "then"] = "now",
    won_back: tuple[Sequence[str], Sequence[str]] | None = None,
    keep_pairs: bool = False,
    threads: int | None = None,
) -> xr.Dataset:
    """Return how many customers moved from each segment to each other between two dates, with intervals.

    Parameters
    ----------
    before, after
        Of ``clv.simulate``, of one log summarised to two dates (``summarize(orders, until=...)``). With
        ``known="now"`` only the *customers* of ``before`` are read, so that the posterior of the second date serves for
        both and one fit is enough. With ``known="then"`` fit ``before`` to its own customers: a posterior of the second
        date would know what came later.
    rule
        Of ``clv.rule`` or ``clv.read_rule``; ``clv.segments.lifecycle()`` is meant for this.
    known
        ``"now"``: both stages judged with all data, the posterior of the true flow. ``"then"``: the stage at the first
        date is the label given then. See the module's text.
    won_back
        (Lost segments, active segments): who comes from the first, bought between the dates and is in the second, is
        counted as "won back". By default ``(("lapsed",), ("repeat", "loyal"))`` where the rule has these segments,
        with "asleep" among the lost where it has that, and nobody otherwise; ``((), ())`` counts nobody.
    keep_pairs
        Also return ``pair`` (customer, from_segment, to_segment), the probability of each pair: 4 bytes × customers ×
        pairs of segments.
    threads
        Threads; they change the speed only.

    Returns
    -------
    xarray.Dataset
        Over ``from_segment`` ("prospect" first: customers whose first order came between the dates) and ``to_segment``:

        - ``flow`` (draw, from_segment, to_segment) customers, and ``flow_mean``, ``flow_q05``, ``flow_q95``;
        - ``share_mean``, ``share_q05``, ``share_q95``: of the segment's customers at the first date, those who went
          there, over the draws in which it had any (NaN where it never had);
        - ``from_size_mean``, ``_q05``, ``_q95`` and ``to_size_mean``, ``_q05``, ``_q95``.

        Over ``customer``, all of ``after``: ``most_likely_from``, ``most_likely_to``, the most probable pair;
        ``most_likely_probability``; ``moved``, the probability of another segment than at the first date (1 for those
        who come from "prospect"). ``attrs["known"]`` says what was known.

    Raises
    ------
    InputError
        Customers of ``before`` who are missing in ``after``, or the other way round though they were customers at the
        first date; histories that do not continue; different time units; with ``known="now"`` a rule that reads the
        future or ``probability_alive``, whose meaning depends on the date on which it is read; segments of ``won_back``
        that the rule lacks.

    Notes
    -----
    Level: latent; outcome for the second stage where ``known="then"`` and the rule reads the future. The expected
    numbers are conditional on the family: where it is wrong about leaving, so is the flow into "lapsed".

    Examples
    --------
    >>> earlier = clv.summarize(orders, until="1997-06-30")
    >>> few = {"draws": 50, "seed": 1}
    >>> before, after = clv.simulate(buying, earlier, **few), clv.simulate(buying, customers, **few)
    >>> flow = clv.segments.flow(before, after, clv.segments.lifecycle())
    >>> flow["flow"].sum(("from_segment", "to_segment")).values[:3].tolist()
    [2357, 2357, 2357]
    """
    if known not in ("now", "then"):
        raise InputError(f"known={known!r} is not known. Use 'now' or 'then'.")
    names = [each.name for each in rule.segments]
    lost, active = _won_back(rule, names, won_back)
    place, bought = _continued(before, after)
    walk = _stages_now if known == "now" else _stages_then
    sources = [PROSPECT, *names]
    targets = [*names, BACK] if lost.any() else names
    pairs = len(sources) * len(targets)
    size, people = after.size, place.size
    counts = np.zeros(size * pairs, dtype=np.int64)
    ids = after.customers[CUSTOMER].values
    best, chance = np.zeros(people, dtype=np.int64), np.zeros(people)
    stayed = np.zeros(people)
    kept = np.zeros((people if keep_pairs else 0, pairs), dtype=np.float32)
    for places, first, second in walk(before, after, rule, place, bought, threads):
        back = bought[places, None] & lost[first] & (first >= 0) & active[second]
        to = np.where(back, len(names), second)
        stayed[places] = (first == to).mean(axis=1)
        code = (first + 1) * len(targets) + to
        counts += np.bincount((np.arange(size) * pairs + code).ravel(), minlength=size * pairs)
        rows = np.arange(places.size)[:, None] * pairs + code
        share = np.bincount(rows.ravel(), minlength=places.size * pairs).reshape(-1, pairs) / size
        best[places], chance[places] = share.argmax(axis=1), share.max(axis=1)
        if keep_pairs:
            kept[places] = share
    flow = counts.reshape(size, len(sources), len(targets))
    found = _dataset(flow, sources, targets)
    found = found.assign_coords({CUSTOMER: ids})
    likely_from, likely_to = np.divmod(best, len(targets))
    each = {
        "most_likely_from": np.array(sources, dtype=object)[likely_from],
        "most_likely_to": np.array(targets, dtype=object)[likely_to],
        "most_likely_probability": chance,
        "moved": 1 - stayed,
    }
    found = found.assign({name: (CUSTOMER, values) for name, values in each.items()})
    if keep_pairs:
        found["pair"] = ((CUSTOMER, FROM, TO), kept.reshape(people, len(sources), len(targets)))
    found.attrs = {
        "result": "flow",
        "rule": rule.name,
        "known": known,
        "level": "outcome" if set(rule.names()) & set(OUTCOMES) else "latent",
        "from_date": str(before.customers.attrs.get("until", "")),
        "to_date": str(after.customers.attrs.get("until", "")),
        "time_unit": str(after.customers.attrs.get("time_unit", "")),
        "seed": after.seed,
        "draws": size,
    }
    return describe(
        found, {"share": Variable("share of the segment's customers who moved so", "probability")}
    )


def _won_back(
    rule: Rule, names: list[str], given: tuple[Sequence[str], Sequence[str]] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return which segments are lost and which are active, one flag a segment."""
    taken = [name for name in (PROSPECT, BACK) if name in names]
    if taken:
        raise InputError(
            f"Rule {rule.name!r} has a segment {taken[0]!r}, a name that the flow itself gives. Rename it."
        )
    lost: tuple[str, ...]
    active: tuple[str, ...]
    if given is None:
        lost, active = WON_BACK if set(names) >= {*WON_BACK[0], *WON_BACK[1]} else ((), ())
        if lost and ASLEEP in names:
            lost = (*lost, ASLEEP)
    else:
        lost, active = (tuple(each) for each in given)
    unknown = [name for name in (*lost, *active) if name not in names]
    if unknown:
        raise InputError(
            f"won_back names the segment {unknown[0]!r}; rule {rule.name!r} has {', '.join(names)}."
        )
    both = set(lost) & set(active)
    if both:
        raise InputError(f"won_back names {both.pop()!r} as lost and as active; it can be one of them.")
    return np.isin(names, lost), np.isin(names, active)


def _continued(before: Simulation, after: Simulation) -> tuple[np.ndarray, np.ndarray]:
    """Return each later customer's place among the earlier ones (-1: none), and who bought between the dates.

    Histories that cannot be those of one log at two dates are refused.
    """
    units = [str(each.customers.attrs.get("time_unit", "")) for each in (before, after)]
    if units[0] != units[1]:
        raise InputError(
            f"The earlier customers are in units of {units[0]!r}, the later in {units[1]!r}. Use one time_unit."
        )
    ids, earlier = (each.customers[CUSTOMER].values for each in (after, before))
    at = {key: row for row, key in enumerate(earlier)}
    place = np.array([at.get(key, -1) for key in ids], dtype=np.int64)
    if np.count_nonzero(place >= 0) < earlier.size:
        gone = ~np.isin(np.arange(earlier.size), place)
        raise InputError(
            f"{gone.sum():,} of {earlier.size:,} customers of the first date are missing at the second, such as "
            f"{earlier[gone][0]!r}. Customers do not vanish from a log: summarise the same orders to both dates."
        )
    there = place >= 0
    old = {name: each[place[there]] for name, each in before.columns.items() if name in _HISTORY}
    new = {name: each[there] for name, each in after.columns.items() if name in _HISTORY}
    slack = ROUNDED * float(after.columns["T"].max())
    passed = new["T"] - old["T"]
    more = new["frequency"] - old["frequency"]
    later = new["recency"] > old["recency"] + slack
    for wrong, what in (
        (passed <= slack, "are not older at the second date"),
        (more < 0, "have fewer purchases at the second date"),
        (later != (more > 0), "have a later last purchase without a further one, or a further one without"),
        (
            (more > 0) & (new["recency"] < old["T"] - slack),
            "have a further purchase whose date is before the first date",
        ),
    ):
        if wrong.any():
            raise InputError(
                f"{wrong.sum():,} of {wrong.size:,} customers {what}, such as {ids[there][wrong][0]!r}. The "
                "first argument is the earlier date, and both are summaries of the same orders."
            )
    if not there.any():
        raise InputError("No customer is in both datasets. Summarise the same orders to both dates.")
    unseen = ~there & (after.columns["T"] > passed.max() + slack)
    if unseen.any():
        raise InputError(
            f"{unseen.sum():,} customers first bought before the first date, such as {ids[unseen][0]!r}, and are "
            "missing there. Summarise the same orders to both dates, and leave nobody out at the first."
        )
    bought = np.zeros(ids.size, dtype=bool)
    bought[there] = more > 0
    return place, bought


_HISTORY = ("frequency", "recency", "T")


def _stages_then(
    before: Simulation,
    after: Simulation,
    rule: Rule,
    place: np.ndarray,
    bought: np.ndarray,
    threads: int | None,
) -> Generator[Stages]:
    """Yield the label of the first date, the same in every draw, and the stage at the second."""
    del bought
    check_names(after, rule, ())
    called = segment(before, rule, threads=threads)
    # Argmax takes the first of equal ones, as most_likely does.
    label = np.append(called["membership"].to_numpy().argmax(axis=1), -1)[place]
    thresholds = thresholds_of(after, rule, threads)
    for places, values in after.blocks(rule.names(), threads):
        second = rule.assign(amounts_of(after, rule, places, values), thresholds)
        shape = (places.size, after.size)
        yield places, np.broadcast_to(label[places, None], shape), np.broadcast_to(second, shape)


def _stages_now(
    before: Simulation,
    after: Simulation,
    rule: Rule,
    place: np.ndarray,
    bought: np.ndarray,
    threads: int | None,
) -> Generator[Stages]:
    """Yield the stages at both dates, of one draw each."""
    _check_readable(before, after, rule)
    thresholds = _thresholds_now(before, after, rule, place, bought, threads)
    for places, earlier, later in _numbers(before, after, rule.names(), place, bought, threads):
        shape = (places.size, after.size)
        there = place[places] >= 0
        first = np.full(shape, -1, dtype=np.int64)
        amounts = amounts_of(before, rule, place[places[there]], earlier)
        first[there] = np.broadcast_to(rule.assign(amounts, thresholds[0]), (int(there.sum()), after.size))
        second = rule.assign(amounts_of(after, rule, places, later), thresholds[1])
        yield places, first, np.broadcast_to(second, shape)


def _check_readable(before: Simulation, after: Simulation, rule: Rule) -> None:
    check_names(after, rule, ())
    both = (*before.data, *before.texts, "time_since_purchase", *after.latent)
    for axis in rule.axes:
        for name in axis.quantity.names():
            where = f"{axis.quantity.place}: {name!r}"
            if name in OUTCOMES:
                raise InputError(
                    f"{where} is the future as seen from a date, and of the first date's a part has happened since. "
                    "Use known='then', or a rule on the customers' own numbers (alive, purchase_rate, ...)."
                )
            if name == "probability_alive":
                raise InputError(
                    f"{where} is what is known at a date, and differs between them even where nothing happened. Use "
                    "known='then', or write alive == 1 and leave the probability to the result."
                )
            if name not in both:
                raise InputError(f"{where} is not a column of the customers of the first date.")


def _numbers(
    before: Simulation,
    after: Simulation,
    names: Sequence[str],
    place: np.ndarray,
    bought: np.ndarray,
    threads: int | None,
    sample: int | None = None,
) -> Generator[tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Yield places, the quantities at the first date (of those who were customers) and at the second.

    The customers' own numbers are the same at both dates, but for ``alive``. ``sample`` as in ``Simulation.each``.
    """
    slack = ROUNDED * float(after.columns["T"].max())
    for places, later in after.each(_as_it_is, [*names, SINCE], threads, sample):
        there = place[places] >= 0
        then = place[places[there]]
        earlier = {name: each[there] for name, each in later.items()}
        for name in names:
            if name in before.data:
                earlier[name] = before.customers[name].to_numpy()[then, None].astype(np.float64)
            elif name in before.texts:
                earlier[name] = before.customers[name].to_numpy()[then, None]
        earlier["time_since_purchase"] = (before.columns["T"] - before.columns["recency"])[then, None]
        passed = after.columns["T"][places[there]] - before.columns["T"][then]
        was_here = bought[places[there], None] | (later[SINCE][there] < passed[:, None] - slack)
        earlier["alive"] = was_here.astype(np.float64)
        yield places, earlier, later


def _as_it_is(places: np.ndarray, values: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    return places, values


def _thresholds_now(
    before: Simulation,
    after: Simulation,
    rule: Rule,
    place: np.ndarray,
    bought: np.ndarray,
    threads: int | None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each axis' thresholds at the first and at the second date, as ``thresholds_of`` does of one."""
    of_base = [i for i, axis in enumerate(rule.axes) if axis.of_base]
    found = tuple([np.array(axis.levels) for axis in rule.axes] for _ in range(2))
    if not of_base:
        return found[0], found[1]
    only = Rule(rule.name, rule.segments, tuple(rule.axes[i] for i in of_base), rule.table)
    parts: tuple[list[list[np.ndarray]], ...] = ([[] for _ in of_base], [[] for _ in of_base])
    for places, earlier, later in _numbers(
        before, after, only.names(), place, bought, threads, CUT_CUSTOMERS
    ):
        then = place[places][place[places] >= 0]
        for part, amounts, rows in (
            (parts[0], amounts_of(before, only, then, earlier), then.size),
            (parts[1], amounts_of(after, only, places, later), places.size),
        ):
            for each, amount in zip(part, amounts, strict=True):
                each.append(np.broadcast_to(amount, (rows, amount.shape[1])))
    for thresholds, part in zip(found, parts, strict=True):
        for i, each in zip(of_base, part, strict=True):
            thresholds[i] = cut(rule.axes[i], np.concatenate(each).T)
    return found[0], found[1]


def _dataset(flow: np.ndarray, sources: list[str], targets: list[str]) -> xr.Dataset:
    data: dict[str, object] = {}

    def summarised(name: str, each: np.ndarray, dims: tuple[str, ...]) -> None:
        low, high = (_quantile(each, q) for q in (0.05, 0.95))
        empty = np.isnan(each).all(axis=0)
        mean = np.full(empty.shape, np.nan)
        mean[~empty] = np.nanmean(each[:, ~empty], axis=0)
        for statistic, values in (("mean", mean), ("q05", low), ("q95", high)):
            data[f"{name}_{statistic}"] = (dims, values)

    data["flow"] = ((DRAW, FROM, TO), flow)
    counts = flow.astype(np.float64)
    summarised("flow", counts, (FROM, TO))
    left = counts.sum(axis=2, keepdims=True)
    share = np.divide(counts, left, out=np.full(counts.shape, np.nan), where=left > 0)
    summarised("share", share, (FROM, TO))
    summarised("from_size", left[:, :, 0], (FROM,))
    summarised("to_size", counts.sum(axis=1), (TO,))
    coords = {FROM: sources, TO: targets, DRAW: np.arange(flow.shape[0])}
    return xr.Dataset(
        data, coords={k: np.array(v, dtype=object) if k != DRAW else v for k, v in coords.items()}
    )


def _quantile(each: np.ndarray, q: float) -> np.ndarray:
    """Return the quantile over draws, one of the values seen; NaN are left out."""
    ordered = np.sort(each, axis=0)
    seen = (~np.isnan(each)).sum(axis=0)
    at = np.maximum(np.ceil(q * seen).astype(np.int64) - 1, 0)
    found: np.ndarray = np.take_along_axis(ordered, at[None], axis=0)[0]
    return found
