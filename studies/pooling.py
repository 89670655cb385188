"""Acquisition channels: pooled, fitted apart, or all as one. Which comes nearest to the truth.

Question
    Five channels of 600, 250, 100, 50 and 20 customers, whose mean purchase rate (log) and dropout (log odds) differ
    by Normal(0, 0.4) and Normal(0, 0.5): does BG/NBD with partially pooled channels recover each channel's truth
    with lower error than five separate fits, and than one fit to all, over 20 simulated bases?
Pass rule, stated before the run
    Of each of three quantities of a channel (log mean purchase rate, log odds of dropout, log expected purchases of
    a new customer in 52 weeks), the squared error of the posterior mean, averaged over channels and the 20 bases, is
    lower pooled than separate and than complete; for the expected purchases by at least two standard errors of
    the paired difference over bases. And the channel of 20 customers shrinks: pooled, its log purchase rate lies
    nearer to that of the fit to all than separately, in at least 15 of the 20.

Pooled by NUTS; the fits without groups by ``laplace``, and by NUTS where the Pareto k of ``laplace`` asks for it.
Run with ``uv run python -m studies.pooling`` (about 15 minutes on two cores). Each base is kept as a record in
out/pooling, so that ``--seeds 1 2 3`` makes a part of them; when all are there it judges and writes
figures/pooling.png.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import bayes_clv as clv
from bayes_clv.distributions import bg_nbd

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "figures" / "pooling.png"
RECORDS = ROOT / "out" / "pooling"
SEEDS = range(1, 21)
SIZES = {"search": 600, "social": 250, "email": 100, "affiliate": 50, "podcast": 20}
RATE, R, DROPOUT, CONCENTRATION = 0.12, 0.8, 0.25, 3.0
SD_RATE, SD_DROPOUT = 0.4, 0.5
HORIZON = 52.0
QUANTITIES = ("log_rate", "logit_dropout", "log_purchases")
FORMS = ("pooled", "separate", "complete")
# Standard errors by which the main quantity must be better, and bases in which the small channel must shrink.
CLEARLY, SHRUNK = 2.0, 15


def simulated(seed: int, sizes: dict[str, int] = SIZES) -> tuple[xr.Dataset, dict[str, list[float]]]:
    """Return a base with the column ``channel``, and the true quantities of each channel."""
    rng = np.random.default_rng(seed)
    names = list(sizes)
    rate = RATE * np.exp(SD_RATE * rng.standard_normal(len(names)))
    odds = DROPOUT / (1 - DROPOUT) * np.exp(SD_DROPOUT * rng.standard_normal(len(names)))
    dropout = odds / (1 + odds)
    params = {
        "r": np.full(len(names), R),
        "alpha": R / rate,
        "a": dropout * CONCENTRATION,
        "b": (1 - dropout) * CONCENTRATION,
    }
    place = np.repeat(np.arange(len(names)), list(sizes.values()))
    age = rng.integers(26, 40, place.size).astype(float)
    frequency, recency = bg_nbd.simulate(rng, age, *(value[place] for value in params.values()))
    columns = {
        "frequency": frequency,
        "recency": recency,
        "T": age,
        "channel": np.array(names, dtype=object)[place],
    }
    customers = xr.Dataset(
        {name: ("customer", column) for name, column in columns.items()},
        coords={"customer": np.array([f"c{i:04d}" for i in range(place.size)], dtype=object)},
        attrs={"time_unit": "week"},
    )
    return customers, {name: value.tolist() for name, value in quantities(**params).items()}


def quantities(r: Any, alpha: Any, a: Any, b: Any) -> dict[str, np.ndarray]:
    """Return the three quantities from the paper's parameters."""
    purchases = bg_nbd.expected_purchases(HORIZON, 0, 0, 0, r, alpha, a, b)
    return {
        "log_rate": np.log(np.asarray(r) / alpha),
        "logit_dropout": np.log(np.asarray(a) / b),
        "log_purchases": np.log(purchases),
    }


def estimates(
    posterior: xr.DataTree, columns: dict[str, Any] | None = None
) -> dict[str, tuple[float, float, float]]:
    """Return mean, 5 and 95 % of each quantity's draws, for new customers of these columns."""
    from bayes_clv.predictions.posterior import parameters

    known = parameters(posterior, "buying")
    if columns is not None:
        one = xr.Dataset(
            {name: ("customer", np.array([value], dtype=object)) for name, value in columns.items()},
            coords={"customer": ["new"]},
        )
        known = known.of(one).all_alike()
    found = {}
    for name, drawn in quantities(**known.values).items():
        low, high = np.quantile(drawn, [0.05, 0.95])
        found[name] = (float(np.mean(drawn)), float(low), float(high))
    return found


def fitted(customers: xr.Dataset, seed: int) -> tuple[xr.DataTree, str]:
    """Return a fit without groups, and the method that could be trusted with it."""
    quick = clv.fit("bg_nbd", customers, method="laplace", draws=500, seed=seed)
    if clv.diagnostics(quick)["passed"]:
        return quick, "laplace"
    return clv.fit("bg_nbd", customers, draws=500, tune=600, seed=seed, progress=False), "nuts"


def one_base(seed: int, sizes: dict[str, int] = SIZES) -> dict[str, Any]:
    """Return truth and estimates of the three forms for one simulated base."""
    customers, truth = simulated(seed, sizes)
    on = {"purchase": "channel", "dropout": "channel"}
    pooled = clv.fit("bg_nbd", customers, groups=on, draws=750, tune=750, seed=seed, progress=False)
    complete, _ = fitted(customers, seed)
    record: dict[str, Any] = {
        "seed": seed,
        "channels": list(sizes),
        "sizes": list(sizes.values()),
        "truth": truth,
        "diagnostics": clv.diagnostics(pooled),
        "methods": {},
        "pooled": {},
        "separate": {},
        "complete": dict.fromkeys(sizes, estimates(complete)),
    }
    for name in sizes:
        record["pooled"][name] = estimates(pooled, {"channel": name})
        own = customers.isel(customer=np.flatnonzero(customers["channel"].to_numpy() == name))
        separate, method = fitted(own, seed)
        record["separate"][name] = estimates(separate)
        record["methods"][name] = method
    return record


def errors(records: list[dict[str, Any]], form: str, quantity: str) -> np.ndarray:
    """Return the errors of the posterior means, (base, channel)."""
    return np.array(
        [
            [record[form][name][quantity][0] for name in record["channels"]]
            - np.array(record["truth"][quantity])
            for record in records
        ]
    )


def judge(records: list[dict[str, Any]]) -> tuple[bool, list[str]]:
    """Return whether the pass rule holds, and a line for each of its parts."""
    passed, lines = True, []
    for quantity in QUANTITIES:
        squared = {form: (errors(records, form, quantity) ** 2).mean(axis=1) for form in FORMS}
        for other in FORMS[1:]:
            better = squared[other] - squared["pooled"]
            error = better.std(ddof=1) / np.sqrt(better.size)
            needed = CLEARLY * error if quantity == "log_purchases" else 0.0
            holds = bool(better.mean() > needed)
            passed &= holds
            lines.append(
                f"{quantity}: root mean squared error pooled {np.sqrt(squared['pooled'].mean()):.3f}, {other} "
                f"{np.sqrt(squared[other].mean()):.3f}; squared error lower by {better.mean():.4f} "
                f"(standard error {error:.4f}): {'holds' if holds else 'FAILS'}"
            )
    small = records[0]["channels"][int(np.argmin(records[0]["sizes"]))]
    nearer = 0
    for record in records:
        centre = record["complete"][small]["log_rate"][0]
        pooled, separate = (
            abs(record[form][small]["log_rate"][0] - centre) for form in ("pooled", "separate")
        )
        nearer += pooled < separate
    passed &= nearer >= SHRUNK
    lines.append(f"the smallest channel shrinks in {nearer} of {len(records)} bases (at least {SHRUNK})")
    return passed, lines


def draw(records: list[dict[str, Any]]) -> None:
    """Draw one base's channels beside the errors of all bases."""
    from bayes_clv.views import style

    colours = {"separate": style.ORANGE, "pooled": style.BLUE, "complete": style.GREEN}
    record = records[0]
    names, sizes = record["channels"], record["sizes"]
    with style.styled():
        figure = style.drawing(4.0, width=9.6)
        axes = figure.subplots(1, 2, width_ratios=(1.25, 1))
        place = np.arange(len(names))
        centre = np.exp(record["complete"][names[0]]["log_rate"][0])
        axes[0].axhline(centre, color=style.GREEN, lw=1.2, label="all as one")
        for form, shift in (("separate", -0.13), ("pooled", 0.13)):
            mean, low, high = (
                np.exp([record[form][name]["log_rate"][i] for name in names]) for i in range(3)
            )
            axes[0].vlines(place + shift, low, high, color=colours[form], lw=2.5)
            axes[0].plot(place + shift, mean, "o", ms=5, color=colours[form], label=form)
        truth = np.exp(record["truth"]["log_rate"])
        axes[0].plot(place, truth, "_", ms=22, mew=2, color=style.INK, label="truth")
        axes[0].set_yscale("log")
        ticks = [0.03, 0.06, 0.12, 0.25, 0.5]
        axes[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes[0].minorticks_off()
        axes[0].set_xticks(
            place, [f"{name}\n{size:,} customers" for name, size in zip(names, sizes, strict=True)]
        )
        axes[0].tick_params(axis="x", labelsize=8)
        axes[0].set_ylabel("mean purchase rate, per week")
        axes[0].set_title(f"One base (seed {record['seed']}): mean and 90 % interval")
        axes[0].set_ylim(axes[0].get_ylim()[0], 1.6 * axes[0].get_ylim()[1])
        axes[0].legend(loc="upper center", ncols=4)
        for form, shift in (("separate", -0.22), ("pooled", 0.0), ("complete", 0.22)):
            rms = np.sqrt((errors(records, form, "log_purchases") ** 2).mean(axis=0))
            label = "all as one" if form == "complete" else form
            axes[1].bar(place + shift, rms, width=0.2, color=colours[form], label=label)
        axes[1].set_xticks(place, [f"{size:,}" for size in sizes])
        axes[1].set_xlabel("customers of the channel")
        axes[1].set_ylabel("root mean squared error, log scale (expected level)")
        axes[1].yaxis.label.set_size(9)
        axes[1].set_title(f"Expected purchases in 52 weeks, {len(records)} bases")
        axes[1].set_ylim(0, 1.15 * axes[1].get_ylim()[1])
        axes[1].legend(loc="upper center", ncols=3)
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=130)


def main(seeds: Iterable[int] = SEEDS) -> None:
    """Make the records that are missing; with all of them judge, draw, and exit with 1 where the rule fails."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        path = RECORDS / f"seed_{seed:02d}.json"
        if not path.exists():
            record = one_base(seed)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(record))
            partial.replace(path)
            print(f"base {seed}: {record['diagnostics']['problems'] or 'no problems'}", flush=True)
    present = [path for seed in SEEDS if (path := RECORDS / f"seed_{seed:02d}.json").exists()]
    print(f"{len(present)} of {len(SEEDS)} records")
    if len(present) < 2:
        return
    records = [json.loads(path.read_text()) for path in present]
    passed, lines = judge(records)
    print("\n".join(lines))
    if len(present) < len(SEEDS):
        return
    draw(records)
    print(f"pass rule: {'passed' if passed else 'FAILED'}")
    if not passed:
        raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS), help="which bases to make")
    main(parser.parse_args().seeds)
