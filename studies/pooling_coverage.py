"""Do the intervals of pooled channels hold what they say: five channels, 90 %.

Question
    In the 20 bases of ``studies.pooling`` the 90 % intervals of pooled channels held 84, 86 and 78 % of the true log
    purchase rates, log odds of dropout and log expected purchases. Is that the luck of 20 bases, the price of truths
    that are not drawn from the model's priors (standard deviations of channels fixed at 0.4 and 0.5 under a
    HalfNormal(0.5)), or an error of the model?
Pass rule, stated before the run
    The same model (BG/NBD, channels on purchase and dropout) is fitted by NUTS to bases of two kinds. ``prior``: every
    unknown drawn from its prior, 50 bases (``studies.calibration_effects`` has 200
    of another design). ``pooling``: the study's own simulator with further seeds, 21 to 120.
    Intervals are those between the 5th and 95th of 100 draws, which by right hold 91 / 101 = 0.901. Channels of one
    base share the average channel, so that standard errors are over bases and not over intervals.

    1. Of ``prior``, coverage over all channels lies within 3 standard errors of 0.901 for each of the three
       quantities: the model and its sampler are right.
    2. Luck suffices as an explanation of the 20 bases if, of sets of 20 drawn from the further ones, at least 5 % have
       a quantity that is covered in 78 % or fewer. If not, something else is needed, and the coverage of ``pooling``
       over 100 bases must show it.
Reported beside the rule: coverage by channel, by how far a channel's truth lies from the average channel's, and, of the
200 bases of ``studies.calibration_effects`` (BG/NBD, NUTS), that of the channel of 10 customers by the true standard
deviation of channels.

What was found
    The model is right and 1 is met: of ``prior`` 93, 90 and 88 % are covered (standard errors 2 %), and of the 35
    quantities that ``studies.calibration_effects`` ranks in 200 other bases each lies between 87 and 95 %.
    Of ``pooling``, 100 further bases, 92 % of purchase rates, 86 % of dropouts and 88 % of expected purchases (1.2, 1.6
    and 1.4 %). Two things are left of the 84, 86 and 78 %:

    - Truths that are not drawn from the priors. A particular spread of channels, 0.4 and 0.5, is above what the prior
      holds most likely (median 0.34), and five channels say little against it, so that small channels are drawn in too
      far: the dropout is covered in 90 % of the channels within one standard deviation of the average, in 81 % of those
      one to two away and in 71 % beyond. Of truths from the priors, the channel of 10 customers is covered in 100 and
      96 % (rate, dropout) where the true standard deviation is below 0.2, and in 79 and 85 % above 0.7; on average in
      90. That is what an interval of a partially pooled channel promises, and no more: right on average over channels
      and spreads as the priors have them, too narrow for a channel far from the others. Of dropout it costs 4 points.
    - These 20 bases. Fitted here once more, with 100 draws, they are covered in 82, 84 and 79 %, so that it is no
      matter of how the study fits or counts; 13 of the 22 expected purchases that it misses are missed by separate fits
      too. By 2, of sets of 20 of the further bases 2 % have a quantity at 78 % or below, where 5 % were asked for: luck
      does not suffice by the rule, and yet the further bases show no shortfall that would make the 78 % likely (88 %).
      No other difference between the 20 seeds and the next 100 is known, the simulator being the same.

Run with ``uv run python -m studies.pooling_coverage``. The model is compiled once, as in
``studies.calibration_effects``; its prior of the purchase rate is about 0.1 a week, where ``fit`` places it about each
base's crude rate: with a standard deviation of 1.5 on the log scale that makes no difference. Records are kept in
out/pooling_coverage. It writes studies/pooling_coverage_results.csv and figures/pooling_coverage.png.
"""

import argparse
import csv
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from bayes_clv.families.registry import family
from bayes_clv.inference.data import Columns
from studies import pooling
from studies.calibration_effects import INSIDE, Case, Setting, loop, prepared, setting
from studies.calibration_effects import RECORDS as CALIBRATION
from studies.ranks import RANKED, ROOT, Draws, Effort, Found, Row, Sampler, arrays, at_hand, kept, record

RECORDS = ROOT / "out" / "pooling_coverage"
RESULTS = ROOT / "studies" / "pooling_coverage_results.csv"
FIGURE = ROOT / "figures" / "pooling_coverage.png"
CASE = Case(
    "T",
    groups={"purchase": "channel", "dropout": "channel"},
    sizes=pooling.SIZES,
    ranked=tuple(pooling.SIZES),
    effort=Effort(tune=300, thin=5),
)
BASES = {"pooling": 100, "prior": 50}
# Of the further bases the first comes after those of the pooling study.
AFTER = max(pooling.SEEDS)
RIGHT = (INSIDE[1] - INSIDE[0] + 1) / (RANKED + 1)
# The pooling study's own bases, fitted here: a check that this is its model.
OWN = "pooling_own_20"
# What the study's least covered quantity held, and from where on luck is no explanation.
HELD, LUCK = 0.78, 0.05


@cache
def ready() -> tuple[Setting, Any, Sampler]:
    """Return the pooling study's channels, the graph of their priors, and NUTS compiled once."""
    of = setting("bg_nbd", CASE)
    return of, *prepared(of, "nuts")


def of_channels(values: Draws) -> Draws:
    """Return the pooling study's quantities of each channel, from the channels' parameters."""
    return {
        f"{quantity}[{channel}]": np.asarray(value)
        for channel in CASE.ranked
        for quantity, value in pooling.quantities(
            **{name: values[f"{name}[{channel}]"] for name in family("bg_nbd").parameters}
        ).items()
    }


def sampler(base: Columns, seed: int) -> tuple[Draws, dict[str, float]]:
    """Return draws of the channels' quantities."""
    draws, report = ready()[2](base, seed)
    return of_channels(draws), report


def from_prior(start: int, size: int) -> Found:
    """Return the records of bases whose every unknown comes from its prior."""
    of, stated, _ = ready()
    made = loop(of, stated, sampler, size, [52, start])
    inner = made.truth
    made.truth = lambda drawn: {
        name: float(value)
        for name, value in of_channels({k: np.float64(v) for k, v in inner(drawn).items()}).items()
    }
    return made.batch()


def from_pooling(start: int, size: int, after: int = AFTER) -> Found:
    """Return the records of bases that the pooling study's simulator makes, after its own."""
    found = []
    for seed in range(after + 1 + start, after + 1 + start + size):
        customers, truth = pooling.simulated(seed)
        base = {name: customers[name].to_numpy().astype(float) for name in family("bg_nbd").observed}
        named = {
            f"{quantity}[{channel}]": truth[quantity][place]
            for place, channel in enumerate(CASE.ranked)
            for quantity in pooling.QUANTITIES
        }
        found.append(record(named, sampler(base, seed)))
    return arrays(found)


def holds(found: Found, quantity: str) -> np.ndarray:
    """Return (base, channel) whether the interval holds the truth."""
    rank = np.stack([found[f"{quantity}[{channel}]"] for channel in CASE.ranked], axis=1)
    return (rank >= INSIDE[0]) & (rank <= INSIDE[1])


def distance(found: Found, quantity: str) -> np.ndarray:
    """Return (base, channel) how many standard deviations the truth of a pooling base lies from the average."""
    truth = np.stack([found[f"{quantity}[{channel}] truth"] for channel in CASE.ranked], axis=1)
    centre, sd = {
        "log_rate": (np.log(pooling.RATE), pooling.SD_RATE),
        "logit_dropout": (np.log(pooling.DROPOUT / (1 - pooling.DROPOUT)), pooling.SD_DROPOUT),
    }[quantity]
    away: np.ndarray = np.abs(truth - centre) / sd
    return away


def table(found: dict[str, Found]) -> list[Row]:
    """Return the coverage of each quantity by channel, of all channels, and by distance, with standard errors."""
    rows = []
    for kind, records in found.items():
        for quantity in pooling.QUANTITIES:
            held = holds(records, quantity)
            parts = [(channel, held[:, [i]]) for i, channel in enumerate(CASE.ranked)]
            parts.append(("all channels", held))
            if kind == "pooling" and quantity != "log_purchases":
                away = distance(records, quantity)
                for low, high in ((0, 1), (1, 2), (2, np.inf)):
                    inside = np.where((away >= low) & (away < high), held, np.nan)
                    parts.append((f"{low} to {high:g} sd away", inside))
            for part, each in parts:
                there = np.isfinite(each)
                share = np.nanmean(each)
                # Of a ratio of sums over bases: what a base has more than its number of intervals would give.
                excess = np.where(there, each - share, 0).sum(axis=1)
                error = np.sqrt((excess**2).sum()) / there.sum()
                rows.append(
                    {
                        "truth": kind,
                        "quantity": quantity,
                        "channels": part,
                        "intervals": int(there.sum()),
                        "covered": round(float(share), 3),
                        "standard_error": round(float(error), 3),
                    }
                )
    return rows


def by_spread() -> list[Row]:
    """Return the coverage of the smallest channel of ``calibration_effects`` by the true spread of channels."""
    found = at_hand("bg_nbd-nuts", CALIBRATION)
    rows = []
    for process, quantity in () if found is None else family("bg_nbd").processes.items():
        rank, spread = found[f"{quantity}[podcast]"], found[f"{process}_channel_sd truth"]
        for low, high in ((0, 0.2), (0.2, 0.4), (0.4, 0.7), (0.7, np.inf)):
            held = ((rank >= INSIDE[0]) & (rank <= INSIDE[1]))[(spread >= low) & (spread < high)]
            rows.append(
                {
                    "truth": "prior, calibration_effects",
                    "quantity": quantity,
                    "channels": f"10 customers; true sd {low:g} to {high:g}",
                    "intervals": held.size,
                    "covered": round(float(held.mean()), 3),
                    "standard_error": round(float(held.std(ddof=1) / np.sqrt(held.size)), 3),
                }
            )
    return rows


def luck(found: Found, bases: int = len(pooling.SEEDS), sets: int = 20_000) -> float:
    """Return the share of sets of bases in which some quantity is covered in HELD or fewer of its intervals."""
    rng = np.random.default_rng(1)
    share = np.stack([holds(found, quantity).mean(axis=1) for quantity in pooling.QUANTITIES], axis=1)
    drawn = rng.integers(0, len(share), (sets, bases))
    return float((share[drawn].mean(axis=1).min(axis=1) <= HELD + 1e-9).mean())


def verdict(rows: list[Row], by_luck: float) -> tuple[bool, list[str]]:
    """Return whether the pass rule holds, and a line for each of its parts."""
    lines, passed = [], True
    for row in rows:
        if row["channels"] != "all channels":
            continue
        off = (row["covered"] - RIGHT) / row["standard_error"]
        lines.append(
            f"{row['truth']}, {row['quantity']}: {row['covered']:.3f} covered, "
            f"{off:+.1f} standard errors from {RIGHT:.3f}"
        )
        if row["truth"] == "prior":
            passed &= abs(off) <= 3
    lines.append(
        f"sets of {len(pooling.SEEDS)} bases in which a quantity is covered in {HELD} or less: {by_luck:.3f} "
        f"({'luck suffices' if by_luck >= LUCK else 'luck does not suffice'})"
    )
    return passed, lines


def draw(rows: list[Row]) -> None:
    """Draw the coverage by channel, a panel a quantity."""
    from bayes_clv.views import style

    titles = {
        "log_rate": "Mean purchase rate",
        "logit_dropout": "Dropout",
        "log_purchases": "Expected purchases in a year",
    }
    with style.styled():
        figure = style.drawing(3.9, width=11.0)
        panels = figure.subplots(1, 3, sharey=True)
        for ax, (quantity, title) in zip(panels, titles.items(), strict=True):
            ax.axhline(RIGHT, color=style.INK, lw=1.2)
            for kind, colour, shift in (("prior", style.BLUE, -0.13), ("pooling", style.ORANGE, 0.13)):
                own = [row for row in rows if (row["truth"], row["quantity"]) == (kind, quantity)][:6]
                at = np.arange(6) + shift + (np.arange(6) == 5) * 0.4
                ax.errorbar(
                    at,
                    [row["covered"] for row in own],
                    [2 * row["standard_error"] for row in own],
                    fmt="o",
                    ms=5,
                    color=colour,
                    label="truth from the priors" if kind == "prior" else "truth of the pooling study",
                )
            ax.set_xticks([*range(5), 5.4], [*map(str, pooling.SIZES.values()), "all"])
            ax.set_xlabel("customers of the channel")
            ax.set_title(title)
            ax.grid(visible=False, axis="x")
        panels[0].set_ylabel("share of truths in the interval")
        panels[0].legend(loc="lower left", fontsize=8.5)
        figure.suptitle(
            "90 % intervals of pooled channels: coverage and two standard errors over bases. "
            f"Line: {RIGHT:.3f}, by right.",
            fontsize=9.5,
            x=0.01,
            ha="left",
        )
    figure.savefig(FIGURE, dpi=130, facecolor="white")


def main(bases: int, folder: Path = RECORDS) -> None:
    """Make the records that are missing; with all of them judge, draw, and exit with 1 where the rule fails."""
    makers = {"pooling": from_pooling, "prior": from_prior}
    found = {kind: kept(kind, bases or BASES[kind], folder, maker) for kind, maker in makers.items()}
    if not bases:
        found[OWN] = kept(OWN, AFTER, folder, partial(from_pooling, after=0))
    rows = table(found) + by_spread()
    for row in rows:
        print(*row.values(), sep="  ")
    for kind, records in found.items():
        print(f"{kind}: divergences in {records['flagged'].mean():.1%} of the fits")
    passed, lines = verdict(rows, luck(found["pooling"]))
    print("\n".join(lines))
    if bases:
        return
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw(rows)
    print(f"pass rule: {'passed' if passed else 'FAILED'}")
    if not passed:
        raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Coverage of the intervals of pooled channels.")
    parser.add_argument("--bases", type=int, default=0, help="of each kind, instead of 100 and 50")
    main(parser.parse_args().bases)
