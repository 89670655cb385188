"""Segments of a million customers: seconds and memory of every segmentation and of clusters, from the posterior on.

Question
    How long do ``clv.segment`` and ``clv.segments.cluster`` take on 100,000 and 1,000,000 customers with the default
    400 draws, joint draws made on the way, and how much memory do they need?
Pass rule, stated before the run
    At 1,000,000 customers, for each of the five segmentations with MBG/NBD, for RFM and ABC with Pareto/NBD, and for
    k-means clusters with MBG/NBD in every draw: at most 30 seconds of wall time on two processors, counted from the
    posteriors and the customers (``clv.simulate`` and ``clv.segment`` or ``clv.segments.cluster``); and a peak of
    memory below 3.2 GB, which one quantity's draws alone would need. Where other processes share the processors, wall
    time says more of them than of this: then CPU seconds / 2 is held against the 30, and the study says that it did so.
    100,000 customers are timed beside, and not judged.

The base: CUSTOMERS of MBG/NBD and Gamma-Gamma, near CDNOW's population, aged 26 to 78 weeks, all times in whole days as
in an order log. Posteriors by laplace on 5,000 of them. Each case runs in a process of its own, on a base read from a
file; a run on 2,000 of its customers comes first, so that the compiler's time, once per installation, is not
counted.

Found: everything passes, by wall time as by half the CPU: 7 to 12 s for MBG/NBD's five segmentations (RFM 9), 15 for
its clusters, 15 and 18 for Pareto/NBD's RFM and ABC; 0.7 to 1.2 GB. The machine is more than twice as fast as the one
that RFM had missed the 30 seconds on (32.5 s of wall time, 59.8 of CPU): the code of that time took 13.9 s here (25.5
of CPU, now 16.6), so that RFM would pass there too, and Pareto/NBD's ABC, if the ratio holds for it, would not (41 s).
Since then a customer's Gammas are made together in one vectorised loop, and Pareto/NBD decides who has left without
an integral.

Run with ``uv run python -m studies.segments_scale`` (three minutes on two free processors); it writes
studies/segments_scale_results.csv and figures/segments_scale.png.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import bayes_clv as clv
from bayes_clv.segments.rules import Rule

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "studies" / "segments_scale_results.csv"
FIGURE = ROOT / "figures" / "segments_scale.png"
SIZES, SAMPLE, WARM = (100_000, 1_000_000), 5_000, 2_000
DRAWS, MARGIN, ANNUAL = 400, 0.3, 0.10
SECONDS, GIGABYTES = 30.0, 3.2
FAMILIES = {"mbg_nbd": "MBG/NBD", "pareto_nbd": "Pareto/NBD"}
CLUSTERS = "clusters, k-means"
# What is judged beside the five segmentations of MBG/NBD.
FURTHER = (("mbg_nbd", CLUSTERS), ("pareto_nbd", "RFM, 5 scores"), ("pareto_nbd", "ABC of value"))
POPULATION = {"r": 0.53, "alpha": 6.2, "a": 0.89, "b": 1.6, "p": 6.25, "q": 3.74, "v": 15.4}


def rules() -> dict[str, Rule]:
    """Return the segmentations of the study."""
    return {
        "RFM, 5 scores": clv.segments.rfm(),
        "ABC of value": clv.segments.abc(),
        "value matrix": clv.segments.matrix("alive", "value", x_cut=0.5, y_cut="quantile(0.8)"),
        "four kinds": clv.segments.four_kinds(10.0, margin=MARGIN),
        "lifecycle": clv.segments.lifecycle(),
    }


def base(size: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Return frequency, recency, T and monetary_value of simulated customers, purchases one by one."""
    rng, of = np.random.default_rng(seed), POPULATION
    rate = rng.gamma(of["r"], 1 / of["alpha"], size)
    dropout = rng.beta(of["a"], of["b"], size)
    level = 1 / rng.gamma(of["q"], 1 / of["v"], size)
    age = rng.integers(26 * 7, 78 * 7 + 1, size) / 7
    frequency, recency, spent = np.zeros(size), np.zeros(size), np.zeros(size)
    here, now = np.flatnonzero(rng.random(size) >= dropout), np.zeros(size)
    while here.size:
        now[here] += rng.exponential(1 / rate[here])
        here = here[now[here] <= age[here]]
        frequency[here] += 1
        recency[here] = np.ceil(now[here] * 7) / 7
        spent[here] += rng.gamma(of["p"], 1.0, here.size) * level[here]
        here = here[rng.random(here.size) >= dropout[here]]
    # Purchases of one day are one occasion: no more of them than days.
    frequency = np.minimum(frequency, np.round(recency * 7))
    mean = np.divide(spent, frequency, out=np.full(size, np.nan), where=frequency > 0)
    return {"frequency": frequency, "recency": recency, "T": age, "monetary_value": mean}


def customers_of(table: dict[str, np.ndarray], size: int) -> xr.Dataset:
    """Return the first customers of a base, as the package reads them."""
    import pandas as pd

    ids = np.char.add("c", np.char.zfill(np.arange(size).astype(str), 7))
    frame = pd.DataFrame({"customer_id": ids, **{name: each[:size] for name, each in table.items()}})
    return clv.customers.from_table(frame, time_unit="week")


def peak() -> float:
    """Return the largest memory that this process has held so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure(where: Path, family: str, name: str, size: int) -> dict[str, Any]:
    """Return seconds and memory of one case, in this process."""
    with np.load(where / "base.npz") as table:
        customers = customers_of(dict(table), size)
    buying, spending = (
        xr.open_datatree(where / f"{each}.nc", engine="h5netcdf").load() for each in (family, "gamma_gamma")
    )
    before, started, used = peak(), time.perf_counter(), time.process_time()
    draws = clv.simulate(
        buying,
        customers,
        spending=spending,
        horizon="52 weeks",
        margin=MARGIN,
        annual_discount_rate=ANNUAL,
        draws=DRAWS,
        seed=1,
    )
    prepared = time.process_time() - used
    found = clv.segments.cluster(draws) if name == CLUSTERS else clv.segment(draws, rules()[name])
    return {
        "family": family,
        "rule": name,
        "customers": size,
        "draws": draws.size,
        "threads": len(os.sched_getaffinity(0)),
        "wall_s": round(time.perf_counter() - started, 2),
        "cpu_s": round(time.process_time() - used, 2),
        "recipe_cpu_s": round(prepared, 2),
        "peak_gb": round(peak(), 3),
        "peak_before_gb": round(before, 3),
        "unsure": round(float(found["unsure"].mean()), 4),
        "load": round(os.getloadavg()[0], 1),
    }


def run(where: Path, family: str, name: str, size: int) -> dict[str, Any]:
    """Return the same from a process of its own."""
    command = [sys.executable, "-m", "studies.segments_scale", "--one", str(where), family, name, str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def prepare(where: Path, size: int) -> None:
    """Write the base and the posteriors."""
    table = base(size)
    np.savez(where / "base.npz", **table)
    customers = customers_of(table, min(SAMPLE, size))
    for seed, family in enumerate((*FAMILIES, "gamma_gamma"), 1):
        clv.fit(family, customers, method="laplace", draws=1_000, seed=seed).to_netcdf(
            where / f"{family}.nc", engine="h5netcdf"
        )


def cases() -> list[tuple[str, str, int]]:
    """Return (family, segmentation, customers) of each case."""
    of = (*(("mbg_nbd", name) for name in rules()), *FURTHER)
    return [(family, name, size) for size in reversed(SIZES) for family, name in of]


def verdict(rows: list[dict[str, Any]]) -> list[str]:
    """Return the sentences of the pass rule."""
    sentences = []
    for row in (each for each in rows if each["customers"] == SIZES[-1]):
        wall, halved = float(row["wall_s"]), float(row["cpu_s"]) / 2
        shared = float(row["load"]) > float(row["threads"])
        fits = float(row["peak_gb"]) < GIGABYTES
        word = "PASS" if (halved if shared else wall) <= SECONDS and fits else "FAIL"
        sentences.append(
            f"{word}: {FAMILIES[row['family']]}, {row['rule']}: {wall:.0f} s wall, {row['cpu_s']} s CPU, "
            f"{row['peak_gb']} GB{', judged by CPU / 2' if shared else ''}"
        )
    return sentences


def draw(rows: list[dict[str, Any]]) -> None:
    """Draw wall seconds and memory of each case."""
    from matplotlib.figure import Figure

    from bayes_clv.views.style import styled

    names = [*rules(), CLUSTERS]
    with styled():
        figure = Figure(figsize=(9.6, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for number, (family, colour) in enumerate(zip(FAMILIES, ("#0072b2", "#009e73"), strict=True)):
            for size, alpha in zip(SIZES, (0.45, 1.0), strict=True):
                shown = [each for each in rows if each["family"] == family and each["customers"] == size]
                if not shown:
                    continue
                y = [names.index(each["rule"]) + 0.18 * number for each in shown]
                label = f"{FAMILIES[family]}, {size:,} customers"
                style = {"color": colour, "alpha": alpha, "label": label, "linestyle": "none"}
                marker = "o" if size == SIZES[-1] else "s"
                left.plot([float(each["wall_s"]) for each in shown], y, marker=marker, **style)
                right.plot([float(each["peak_gb"]) for each in shown], y, marker=marker, **style)
        left.axvline(SECONDS, color="#d55e00", lw=1)
        left.set_xlim(0, 1.3 * SECONDS)
        left.set_xlabel("seconds on two processors")
        left.set_yticks(range(len(names)), names)
        left.invert_yaxis()
        right.axvline(GIGABYTES, color="#d55e00", lw=1)
        right.set_xlim(left=0)
        right.set_xlabel("peak memory of the process, GB")
        left.set_title(f"red: {SECONDS:.0f} s", loc="right", fontsize=9)
        right.set_title(f"red: one quantity's draws, {GIGABYTES} GB", loc="right", fontsize=9)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
        figure.suptitle(
            f"Segments and clusters of a base, {DRAWS} joint draws a customer made on the way", fontsize=11
        )
        figure.savefig(FIGURE, dpi=120)


def main() -> None:
    """Measure each case, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=4, metavar=("WHERE", "FAMILY", "RULE", "CUSTOMERS"))
    parser.add_argument("--keep", type=Path, help="a folder for the base and the posteriors, reused if full")
    parser.add_argument("--draw", action="store_true", help="judge and draw what the results file has")
    given = parser.parse_args()
    if given.draw:
        with RESULTS.open(newline="") as file:
            read: list[dict[str, Any]] = [
                row | {"customers": int(row["customers"])} for row in csv.DictReader(file)
            ]
        draw(read)
        print("\n".join(verdict(read)))
        return
    if given.one:
        where, family, name, size = given.one
        print(json.dumps(measure(Path(where), family, name, int(size))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        where = given.keep or Path(temporary)
        where.mkdir(parents=True, exist_ok=True)
        if not (where / "gamma_gamma.nc").exists():
            prepare(where, max(SIZES))
        rows: list[dict[str, Any]] = []
        for family, name in (*((each, "RFM, 5 scores") for each in FAMILIES), FURTHER[0]):
            run(where, family, name, WARM)
        for family, name, size in cases():
            rows.append(run(where, family, name, size))
            print(rows[-1], flush=True)
            with RESULTS.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
    draw(rows)
    print("\n".join(verdict(rows)))


if __name__ == "__main__":
    main()
