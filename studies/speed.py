"""Speed and memory against PyMC-Marketing and, for points, lifetimes and clvkit, in one run.

Question
    How long do a fit, a discounted 12-month value and a simulated future take, and how much memory, for 2,357 to
    1,000,000 customers?
Pass rules
    Those of `ruled` and `judge_ours`, printed before anything is measured. A claim passes, fails, or is BUSY: its rule
    would hold, but a peer's run was disturbed (others took more than QUIET of a core, or its rounds differ by more
    than STEADY), and what slowed a peer proves nothing. A busy machine can fail us; it can't make us pass.

Each measurement is a process of its own with a time limit and a memory ceiling; one that fails is a row that says
so. Rivals take turns, round by round, and a claim compares the medians of their rounds. Compile caches are warm on
both sides. All packages get the same customers: CDNOW's sample, CDNOW's master file (23,570 customers, in the
lifetimes wheel) and simulated bases; and, but for fits, the same draws.

First ``python -m studies.speed --prepare`` builds an environment for each peer in out/speed (the only step that needs
a network), writes the inputs and fills the caches; then, on a quiet machine, ``python -m studies.speed``.
``--quick`` takes tiny sizes and shows that it runs, ``--only fit,value`` some groups, ``--long`` adds the peer's
100,000 customers (10 minutes, 8 GB). It prints the tables and writes studies/speed_results.csv (all rows),
studies/speed_claims.json (each claim) and figures/speed.png; of an incomplete run into out/speed instead.
"""

import argparse
import contextlib
import csv
import json
import math
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"

# Cores taken by others, and the slowest round over the fastest, above which a peer's run proves nothing.
QUIET = 0.15
STEADY = 1.25

ENVIRONMENTS = {
    "PyMC-Marketing": ("pymc-marketing==1.3.0", "nutpie"),
    "lifetimes": ("lifetimes==0.11.3",),
    "clvkit": ("clvkit==0.2.1",),
}
NAMED = (
    "bayes_clv", "pymc-marketing", "lifetimes", "clvkit", "pymc", "pytensor", "nutpie", "arviz", "numba", "numpy",
    "scipy", "pandas",
)  # fmt: skip
OURS, THEIRS = "bayes_clv", "PyMC-Marketing"
COLUMNS = (
    "task", "package", "method", "data", "customers", "draws", "rounds", "seconds", "least", "most", "peak_mb",
    "load", "note",
)  # fmt: skip

type Record = dict[str, Any]
type Rule = tuple[str, float] | None


@dataclass(frozen=True)
class Sizes:
    """How large each measurement is."""

    fit_data: str = "master"
    fit_draws: int = 1000
    fit_tune: int = 1000
    fit_rounds: int = 2
    value_rounds: int = 3
    value_customers: int = 2357
    value_draws: int = 4000
    bases: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    draws: int = 1000
    peer_bases: tuple[int, ...] = (1_000, 10_000)
    peer_simulated: tuple[int, ...] = (300, 1_000)


LONG = Sizes(peer_bases=(1_000, 10_000, 100_000), peer_simulated=(1_000, 10_000))
QUICK = Sizes("sample", 100, 200, 2, 2, 200, 100, (500, 2_000), 40, (100, 500), (100,))


@dataclass(frozen=True)
class Measurement:
    """One row of the table: a task of a package's script, and its limits."""

    key: str
    package: str
    method: str
    data: str
    customers: int
    draws: int
    call: str
    arguments: dict[str, Any] = field(default_factory=dict)
    seconds_limit: float = 900.0
    memory_limit_mb: float = 12_000.0
    note: str = ""


@dataclass(frozen=True)
class Group:
    """Measurements that take turns, so many rounds."""

    task: str
    rounds: int
    members: tuple[Measurement, ...]


@dataclass(frozen=True)
class Side:
    """A side of a claim: which measurement, which of its quantities, and how that was computed."""

    key: str
    quantity: str
    how: str


@dataclass(frozen=True)
class Claim:
    """What is claimed: one number, or a ratio of two sides, and the rule that it must meet."""

    claim: str
    kind: str
    ours: Side
    theirs: Side | None
    rule: Rule = None


def _rate(record: Record, seconds: str) -> float | None:
    return record["ess"] / record[seconds] if "ess" in record and record.get(seconds) else None


def _peak(record: Record) -> float | None:
    return max((record[name] for name in ("peak_mb", "tree_peak_mb") if name in record), default=None)


# What is read off a record: its unit, and the number. Of seconds a ratio is theirs over ours, else ours over theirs.
QUANTITIES: dict[str, tuple[str, Callable[[Record], float | None]]] = {
    "seconds": ("s", lambda record: record.get("seconds")),
    "mean_seconds": ("s", lambda record: record.get("mean_seconds")),
    "alive_seconds": ("s", lambda record: record.get("alive_seconds")),
    "sampling": ("effective draws/s", lambda record: _rate(record, "sampling")),
    "whole": ("effective draws/s", lambda record: _rate(record, "seconds")),
    "peak_mb": ("MB", _peak),
    "growth_mb": ("MB", lambda record: record.get("growth_mb")),
    "total": ("money", lambda record: record.get("total")),
}

SAMPLING, CALL = "of sampling, against NUTS by nutpie", "of the whole call, against NUTS by nutpie"
LEVELS = {
    "streamed": "expected value of each draw, only the mean kept",
    "kept": "expected value of each draw",
    "outcomes": "purchases, spend and value simulated in each draw, summarised",
}


def ruled(sizes: Sizes) -> list[Claim]:
    """Return what the study must show: both sides of each claim, and its rule."""
    fit = f"BG/NBD's fit, {sizes.fit_data}, effective draws a second"
    year = f"12-month value, {sizes.value_customers:,} customers × {sizes.value_draws:,} draws"
    most = max(sizes.bases)
    million = f"outcomes, {most:,} customers × {sizes.draws:,} draws, spend and discount"

    ess = "least bulk ESS of 4 parameters over the seconds of"
    nutpie = f"nutpie, 4 × {sizes.fit_draws:,} draws after {sizes.fit_tune:,}; {ess}"
    laplace = f"Laplace, {4 * sizes.fit_draws:,} importance draws; {ess.replace('ESS', 'ESS (at most Kish)')}"
    whole = "all of fit, compile cache warm, imports done"
    by_sampling = Side("fit/peer", "sampling", f"{nutpie} nutpie.sample")
    by_call = Side("fit/peer", "whole", f"{nutpie} {whole}")
    kept = Side(
        "value/peer",
        "seconds",
        "expected_customer_lifetime_value: a value of each draw; one call, after a small one",
    )
    mean = Side("value/peer", "mean_seconds", f"{kept.how}; and their mean")
    grown = Side("value/peer", "growth_mb", "peak above imports and inputs")

    def nuts(quantity: str, of: str) -> Side:
        return Side("fit/nuts", quantity, f"{nutpie} {of}")

    def approximate(quantity: str, of: str) -> Side:
        return Side("fit/laplace", quantity, f"{laplace} {of}")

    def value(level: str, quantity: str = "seconds") -> Side:
        how = f"{LEVELS[level]}; median of 5 calls, after a small one"
        return Side(
            f"value/{level}", quantity, how if quantity == "seconds" else "peak above imports and inputs"
        )

    future = "52 weeks of purchases, spend and discounted value simulated, 2 threads"
    return [
        Claim(f"{fit}, nuts", SAMPLING, nuts("sampling", "nutpie.sample"), by_sampling, (">=", 40)),
        Claim(f"{fit}, nuts", CALL, nuts("whole", whole), by_call, (">=", 25)),
        Claim(
            f"{fit}, laplace", SAMPLING, approximate("sampling", "all but compiling"), by_sampling, (">=", 80)
        ),
        Claim(f"{fit}, laplace", CALL, approximate("whole", whole), by_call, (">=", 40)),
        Claim(year, "mean streamed against mean of kept draws", value("streamed"), mean, (">=", 150)),
        Claim(year, "every draw kept on both sides", value("kept"), kept, (">=", 100)),
        Claim(year, "simulated outcomes against expected value", value("outcomes"), kept, (">=", 50)),
        Claim(
            year,
            "memory, mean streamed: ours over theirs",
            value("streamed", "growth_mb"),
            grown,
            ("<=", 0.1),
        ),
        Claim(year, "memory, outcomes: ours over theirs", value("outcomes", "growth_mb"), grown, ("<=", 0.1)),
        Claim(million, "seconds", Side(f"outcome/{most}", "seconds", future), None, ("<=", 90)),
        Claim(
            million,
            "peak memory",
            Side(f"outcome/{most}", "peak_mb", "the whole process, imports and inputs included"),
            None,
            ("<=", 1_200),
        ),
    ]


def reported(sizes: Sizes) -> list[Claim]:
    """Return the ratios that are told and follow no rule."""
    year = f"12-month value, {sizes.value_customers:,} customers × {sizes.value_draws:,} draws"
    closed = f"closed forms, {sizes.value_customers:,} customers × {sizes.value_draws:,} draws"
    total = Side("value/peer", "total", "total value, discounted by month")
    found = [
        Claim(
            year,
            f"agreement, {level}: our total over theirs",
            Side(f"value/{level}", "total", "total value, discounted by the moment"),
            total,
        )
        for level in LEVELS
    ]
    for quantity, name in (("seconds", "purchases in 39 weeks"), ("alive_seconds", "P(alive)")):
        ours, theirs = (Side(f"closed/{who}", quantity, "every draw kept") for who in ("ours", "peer"))
        found.append(Claim(closed, f"{name}, every draw kept on both sides", ours, theirs))
    for peer in ("lifetimes", "clvkit"):
        ours = Side("fit/mode", "seconds", "maximum likelihood (mode, flat priors), compile cache warm")
        theirs = Side(f"fit/{peer}", "seconds", "maximum likelihood")
        what = f"BG/NBD's fit, {sizes.fit_data}, a point"
        found.append(Claim(what, f"seconds of the whole call, against {peer}", ours, theirs))
    for size in sorted(set(sizes.peer_bases) & set(sizes.bases)):
        ours = Side(f"value/{size}", "seconds", LEVELS["streamed"])
        theirs = Side(f"value/peer/{size}", "mean_seconds", "a value of each draw, then their mean")
        what = f"12-month value, {size:,} customers × {sizes.draws:,} draws"
        found.append(Claim(what, "mean streamed against mean of kept draws, one round", ours, theirs))
    most = max(sizes.bases)
    bare = Side(f"bound/{most}", "seconds", "one hash and one comparison a customer × draw, 2 threads")
    ours = Side(f"outcome/{most}", "seconds", "purchases, spend and discounted value, 2 threads")
    what = f"outcomes, {most:,} customers × {sizes.draws:,} draws"
    return [*found, Claim(what, "share of the time that the bare generator takes", ours, bare)]


def plan(sizes: Sizes, inputs: Path) -> list[Group]:
    """Return all measurements, in the order in which they are made."""
    common = {"draws_path": str(inputs / "draws.npz")}

    def of(data: str) -> dict[str, Any]:
        return {"customers": str(inputs / f"{data}.npz")}

    data, draws = sizes.fit_data, 4 * sizes.fit_draws
    terms = of(data) | {"draws": sizes.fit_draws, "tune": sizes.fit_tune}
    fits = [
        Measurement("fit/nuts", OURS, "nuts", data, 0, draws, "fit", terms | {"method": "nuts"}),
        Measurement("fit/laplace", OURS, "laplace", data, 0, draws, "fit", terms | {"method": "laplace"}),
        Measurement("fit/peer", THEIRS, "nuts (nutpie)", data, 0, draws, "fit", terms),
    ]
    flat = of(data) | {"method": "mode", "priors": "flat"}
    points = [
        Measurement("fit/mode", OURS, "mode, flat priors", data, 0, 1, "fit", flat),
        Measurement("fit/lifetimes", "lifetimes", "maximum likelihood", data, 0, 1, "fit", of(data)),
        Measurement("fit/clvkit", "clvkit", "maximum likelihood", data, 0, 1, "fit", of(data)),
    ]

    n, draws = sizes.value_customers, sizes.value_draws
    year = {"months": 12, "monthly_rate": 0.008}
    terms = of("sample") | common | year | {"size": n, "draws": draws}
    levels = {"streamed": "mean streamed", "kept": "each draw kept", "outcomes": "outcomes"}
    values = [
        Measurement(
            f"value/{key}", OURS, level, "sample", n, draws, "value", terms | {"level": level, "repeats": 5}
        )
        for key, level in levels.items()
    ]
    values.append(Measurement("value/peer", THEIRS, "each draw kept", "sample", n, draws, "value", terms))
    terms = of("sample") | common | {"size": n, "draws": draws, "horizon": 39}
    closed = [
        Measurement(f"closed/{key}", package, "each draw kept", "sample", n, draws, "expected", terms)
        for key, package in (("ours", OURS), ("peer", THEIRS))
    ]
    terms = of("sample") | {"size": n, "repeats": 3}
    weekly = {"weeks": 52, "weekly_rate": 1.008 ** (12 / 52) - 1}
    valued = [
        Measurement(
            "value/lifetimes", "lifetimes", "a point", "sample", n, 1, "value", terms | common | year
        ),
        Measurement("value/clvkit", "clvkit", "a point", "sample", n, 1, "value", terms | weekly),
    ]

    scaling, draws = [], sizes.draws
    largest = f"base_{max(sizes.bases)}"
    for size in sizes.bases:
        base = f"base_{size}"
        terms = {"customers": size, "draws": draws, "threads": 2}
        scaling.append(
            Measurement(f"bound/{size}", OURS, "bare generator", base, size, draws, "bound", terms)
        )
        terms = of(base) | common | {"draws": draws, "threads": 2}
        scaling.append(Measurement(f"outcome/{size}", OURS, "outcomes", base, size, draws, "outcome", terms))
        terms = (
            of(base) | common | year | {"size": size, "draws": draws, "repeats": 1, "level": "mean streamed"}
        )
        scaling.append(Measurement(f"value/{size}", OURS, "mean streamed", base, size, draws, "value", terms))
    size = min(sizes.bases)
    terms = of(f"base_{size}") | common | {"draws": draws, "threads": 1}
    scaling.append(
        Measurement(
            "outcome/1 thread", OURS, "outcomes, 1 thread", f"base_{size}", size, draws, "outcome", terms
        )
    )
    for size in sizes.peer_bases:
        terms = of(largest) | common | year | {"size": size, "draws": draws}
        key = f"value/peer/{size}"
        scaling.append(Measurement(key, THEIRS, "each draw kept", largest, size, draws, "value", terms))
    for size in sizes.peer_simulated:
        terms = of(largest) | common | {"size": size, "draws": draws, "horizon": 52}
        note = "purchases of new customers, without spend: it has no simulation of known customers"
        key = f"outcome/peer/{size}"
        scaling.append(
            Measurement(key, THEIRS, "simulated", largest, size, draws, "outcome", terms, note=note)
        )
    return [
        Group("fit", sizes.fit_rounds, tuple(fits)),
        Group("value", sizes.value_rounds, tuple(values)),
        Group("closed forms", 1, tuple(closed)),
        Group("points", 1, tuple(points + valued)),
        Group("scaling", 1, tuple(scaling)),
    ]


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                yield from _descendants(int(child))


def _memory_mb(pid: int) -> float:
    """Return the memory of a process and its children; what they share is counted once (PSS)."""
    total = 0.0
    for each in _descendants(pid):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total * 1024 / 1e6


def busy_seconds(stat: Path = Path("/proc/stat")) -> float:
    """Return the processor seconds that everything but this study took since the start; NaN without /proc."""
    with contextlib.suppress(OSError):
        # user, nice, system, idle, iowait, irq, softirq, steal
        ticks = [int(text) for text in stat.read_text().splitlines()[0].split()[1:9]]
        taken = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            own = resource.getrusage(who)
            taken -= own.ru_utime + own.ru_stime
        return taken
    return math.nan


def guarded(command: list[str], env: dict[str, str], cwd: Path, seconds: float, memory_mb: float) -> Record:
    """Run a command under both limits; return its RESULT with wall time, peak and load, or why it failed."""
    log = cwd / "log.txt"
    start, before = time.perf_counter(), busy_seconds()
    peak = 0.0
    failed = ""
    with log.open("w") as target:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdout=target, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while True:
                try:
                    process.wait(0.1)
                    break
                except subprocess.TimeoutExpired:
                    peak = max(peak, _memory_mb(process.pid))
                    spent = time.perf_counter() - start
                    if spent > seconds:
                        failed = f"stopped after {spent:.0f} s"
                    elif peak > memory_mb:
                        failed = f"stopped at {peak / 1000:.1f} GB"
                    if failed:
                        break
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    wall = time.perf_counter() - start
    lines = log.read_text(errors="replace").splitlines()
    result: Record = {"wall": wall, "tree_peak_mb": peak, "load": max(0.0, (busy_seconds() - before) / wall)}
    if not failed and process.returncode != 0:
        told = (line.strip() for line in reversed(lines) if line.strip())
        failed = next(told, f"exit {process.returncode}")[:160]
    if failed:
        return result | {"failed": failed}
    for line in lines:
        if line.startswith("RESULT "):
            result |= json.loads(line.removeprefix("RESULT "))
    return result


class Runner:
    """The folder of the study: environments, inputs and compile caches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inputs = folder / "inputs"
        for name in ("inputs", "env", "cache", "work"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def _python(self, package: str) -> Path:
        return Path(sys.executable) if package == OURS else self.folder / "env" / package / "bin" / "python"

    def environments(self) -> None:
        """Build the peers' environments where they are missing."""
        for package, requirements in ENVIRONMENTS.items():
            home = self.folder / "env" / package
            done = home / "requirements.txt"
            if done.exists() and done.read_text() == "\n".join(requirements):
                continue
            print(f"environment of {package}: {', '.join(requirements)}", flush=True)
            interpreter = str(Path(sys.executable).resolve())
            install = [
                str(self._python(package)),
                "-m",
                "pip",
                "install",
                "-qq",
                "--disable-pip-version-check",
            ]
            try:
                subprocess.run([interpreter, "-m", "venv", "--clear", str(home)], check=True)
                subprocess.run([*install, *requirements], check=True)
                done.write_text("\n".join(requirements))
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"  it could not be built ({error}); its rows will say so", flush=True)

    def prepare(self, sizes: Sizes) -> dict[str, int]:
        """Write the inputs that are missing; return the number of customers of each."""
        master = self.inputs / "master.csv"
        steps: list[tuple[str, str, Record, Path]] = [(OURS, "draws", {}, self.inputs / "draws.npz")]
        if sizes.fit_data == "master":
            steps.append(("lifetimes", "export_master", {}, master))
            steps.append((OURS, "inputs", {"source": str(master)}, self.inputs / "master.npz"))
        steps.append((OURS, "inputs", {"source": "sample"}, self.inputs / "sample.npz"))
        for size in sizes.bases:
            terms = {"source": "simulated", "customers": size}
            steps.append((OURS, "inputs", terms, self.inputs / f"base_{size}.npz"))
        known = self.inputs / "customers.json"
        counts: dict[str, int] = json.loads(known.read_text()) if known.exists() else {}
        for package, call, arguments, path in steps:
            if path.exists() and path.name in counts:
                continue
            result = self.script(package, call, arguments | {"path": str(path)}, 900, 12_000)
            print(f"input {path.name}: {result.get('failed') or 'written'}", flush=True)
            counts[path.name] = result.get("customers", 0)
        known.write_text(json.dumps(counts))
        return counts

    def warm(self, groups: list[Group]) -> None:
        """Fill the compile caches of the fits, by short ones."""
        for measurement in [member for group in groups for member in group.members if member.call == "fit"]:
            short = {name: 50 for name in ("draws", "tune") if name in measurement.arguments}
            result = self.script(measurement.package, "fit", measurement.arguments | short, 900, 12_000)
            told = result.get("failed") or f"{result['wall']:.0f} s"
            print(f"compile cache, {measurement.package} {measurement.method}: {told}", flush=True)

    def script(self, package: str, call: str, arguments: Record, seconds: float, memory: float) -> Record:
        """Run a task of a package's script."""
        name = package.lower().replace("-", "_")
        command = [str(self._python(package)), str(PEERS / f"{name}_tasks.py"), call, json.dumps(arguments)]
        cache = self.folder / "cache" / name
        env = dict(os.environ) | {"PYTENSOR_FLAGS": f"base_compiledir={cache}"}
        before = _compiled(cache)
        try:
            result = guarded(command, env, self.folder / "work", seconds, memory)
        except OSError as error:
            return {"failed": str(error)[:160]}
        return result | {"compiled_files": len(_compiled(cache) - before)}

    def versions(self) -> Record:
        """Return the versions that each package was measured with."""
        found = {}
        for package in (OURS, *ENVIRONMENTS):
            sites = (self.folder / "env" / package).glob("lib/python*/site-packages")
            path = sys.path if package == OURS else [str(site) for site in sites]
            installed = {each.name.lower(): each.version for each in distributions(path=path)}
            found[package] = {name: installed[name] for name in NAMED if name in installed}
        return found

    def measure(self, groups: list[Group]) -> dict[str, list[Record]]:
        """Return each measurement's records, one a round; of what failed there is one."""
        found: dict[str, list[Record]] = {}
        began = time.perf_counter()
        for group in groups:
            for index in range(group.rounds):
                for member in group.members:
                    records = found.setdefault(member.key, [])
                    if any("failed" in record for record in records):
                        continue
                    limits = member.seconds_limit, member.memory_limit_mb
                    record = self.script(member.package, member.call, member.arguments, *limits)
                    records.append(record)
                    told = record.get("failed") or f"{record['seconds']:.3g} s (load {record['load']:.2f})"
                    at = f"[{time.perf_counter() - began:.0f} s] round {index + 1}"
                    print(f"{at}: {member.key}, {member.package}, {member.method} -> {told}", flush=True)
        return found


def _compiled(cache: Path) -> set[str]:
    """Return the compiled files of a cache: Numba's, and the shared objects of PyTensor's C backend."""
    return {str(path) for path in cache.rglob("*") if path.suffix in (".nbc", ".so")}


def disturbed(records: list[Record]) -> bool:
    """Return whether others took the processors, or the rounds differ too much."""
    seconds = [record["seconds"] for record in records if record.get("seconds")]
    uneven = bool(seconds) and max(seconds) > STEADY * min(seconds)
    return uneven or not all(record.get("load", math.nan) <= QUIET for record in records)


def verdict(number: float | None, rule: Rule, theirs: list[Record]) -> str:
    """Return PASS, FAIL or BUSY, nothing where there is no rule. What is missing fails."""
    if rule is None:
        return ""
    sign, bound = rule
    if number is None or not (number >= bound if sign == ">=" else number <= bound):
        return "FAIL"
    return "BUSY" if theirs and disturbed(theirs) else "PASS"


def judge(claim: Claim, records: dict[str, list[Record]]) -> Record:
    """Return the claim with its number, verdict, both sides and the load while each ran."""

    def side(of: Side | None) -> Record | None:
        if of is None:
            return None
        unit, read = QUANTITIES[of.quantity]
        known = records.get(of.key, [])
        rounds = [number for number in map(read, known) if number is not None]
        median = statistics.median(rounds) if rounds else None
        load = max((record.get("load", math.nan) for record in known), default=None)
        return {"how": of.how, "median": median, "unit": unit, "rounds": rounds, "load": load}

    ours, theirs = side(claim.ours), side(claim.theirs)
    assert ours is not None
    number, unit = ours["median"], ours["unit"]
    if theirs is not None:
        above, below = (theirs, ours) if unit == "s" else (ours, theirs)
        known = above["median"] is not None and below["median"]
        number, unit = above["median"] / below["median"] if known else None, "times"
    rivals = records.get(claim.theirs.key, []) if claim.theirs is not None and ours["unit"] != "MB" else []
    return {
        "claim": claim.claim,
        "kind": claim.kind,
        "number": number,
        "unit": unit,
        "rule": _told(claim.rule),
        "verdict": verdict(number, claim.rule, rivals),
        "ours": ours,
        "theirs": theirs,
    }


def _told(rule: Rule) -> str:
    return f"{rule[0]} {rule[1]:g}" if rule else "reported"


def judge_ours(records: dict[str, list[Record]], sizes: Sizes) -> list[Record]:
    """Return what must hold of our own results: laplace is NUTS's posterior, threads change nothing, cost is flat."""

    def of(key: str) -> Record:
        return next(iter(records.get(key, [])), {})

    nuts, laplace = of("fit/nuts"), of("fit/laplace")
    bases = [f"outcome/{size}" for size in sizes.bases]
    costs = [
        of(key)["seconds"] / size
        for key, size in zip(bases, sizes.bases, strict=True)
        if "seconds" in of(key)
    ]
    hashes = {of(key).get("hash") for key in (bases[0], "outcome/1 thread")}
    what = f"BG/NBD's fit, {sizes.fit_data}, laplace"
    threshold = laplace.get("pareto_k_threshold", 0.7)
    stated: list[tuple[str, str, float | None, Rule]] = [
        (what, "Pareto k", laplace.get("pareto_k"), ("<=", threshold)),
        # Of 20 quantiles each with its Monte Carlo error, the largest of as many standard normals is below 4.
        (what, "its quantiles less NUTS's over their Monte Carlo error, largest of 20", _disagreement(laplace, nuts),
         ("<=", 4.0)),
        ("outcomes, cost a customer", f"dearest of {len(bases)} sizes over cheapest",
         max(costs) / min(costs) if len(costs) == len(bases) else None, ("<=", 1.5)),
        (f"outcomes, {sizes.bases[0]:,} customers", "different results by 1 and 2 threads",
         float(len(hashes)) if None not in hashes else None, ("<=", 1.0)),
    ]  # fmt: skip
    return [
        {"claim": name, "kind": kind, "number": number, "unit": "", "rule": _told(rule),
         "verdict": verdict(number, rule, []), "ours": None, "theirs": None}
        for name, kind, number, rule in stated
    ]  # fmt: skip


def _disagreement(one: Record, other: Record) -> float | None:
    """Return the largest difference of two fits' quantiles over its Monte Carlo standard error."""
    if "quantiles" not in one or "quantiles" not in other:
        return None
    worst = 0.0
    for name, values in one["quantiles"].items():
        for i, value in enumerate(values):
            error = math.hypot(one["errors"][name][i], other["errors"][name][i])
            worst = max(worst, abs(value - other["quantiles"][name][i]) / error)
    return worst


def as_row(task: str, member: Measurement, records: list[Record], counts: dict[str, int]) -> Record:
    """Return the table's row of a measurement."""
    seconds = [record["seconds"] for record in records if "seconds" in record]
    peaks = [peak for peak in map(QUANTITIES["peak_mb"][1], records) if peak is not None]
    notes = [f"failed: {record['failed']}" for record in records if "failed" in record]
    last = records[-1] if records else {}
    if "ess" in last:
        rates = (
            statistics.median(_rate(record, key) or math.nan for record in records)
            for key in ("sampling", "seconds")
        )
        notes.append("{:.3g} effective draws a second of sampling, {:.3g} of the whole".format(*rates))
        if last.get("rhat", 1.0) > 1.01:
            notes.append(f"R-hat {last['rhat']:.3f}")
    if member.call == "fit" and last.get("compiled_files"):
        notes.append(f"{last['compiled_files']} files compiled: its cache was not warm")
    if "alive_seconds" in last:
        notes.append(f"P(alive) {last['alive_seconds']:.3g} s")
    if "growth_mb" in last:
        notes.append(f"{last['growth_mb']:.0f} MB above what stood before")
    if seconds and member.customers:
        cells = member.customers * member.draws
        notes.append(f"{1e9 * statistics.median(seconds) / cells:.3g} ns a customer × draw")
    return {
        "task": task,
        "package": member.package,
        "method": member.method,
        "data": member.data,
        "customers": member.customers or counts.get(f"{member.data}.npz", ""),
        "draws": member.draws,
        "rounds": len(seconds),
        "seconds": statistics.median(seconds) if seconds else None,
        "least": min(seconds, default=None),
        "most": max(seconds, default=None),
        "peak_mb": max(peaks, default=None),
        "load": max((record.get("load", math.nan) for record in records), default=None),
        "note": "; ".join([*notes, member.note] if member.note else notes),
    }


def draw(rows: list[Record], sizes: Sizes, path: Path) -> None:
    """Draw seconds against customers, both logarithmic, for one number of draws."""
    from matplotlib.figure import Figure

    from bayes_clv.views.style import styled

    series = (
        (THEIRS, "each draw kept", "PyMC-Marketing, expected value (no outcomes)", "#d55e00", "o-"),
        (THEIRS, "simulated", "PyMC-Marketing, simulated purchases of new customers", "#cc79a7", "s-"),
        (OURS, "outcomes", "bayes_clv, simulated purchases, spend and value", "#0072b2", "o-"),
        (OURS, "mean streamed", "bayes_clv, expected value", "#009e73", "s-"),
        (OURS, "bare generator", "bound: one random number each", "#777777", ":"),
    )
    with styled():
        figure = Figure(figsize=(7.6, 5.2), layout="constrained")
        ax = figure.subplots()
        for package, method, label, colour, line in series:
            points = sorted(
                (row["customers"], row["seconds"])
                for row in rows
                if (row["task"], row["package"], row["method"]) == ("scaling", package, method)
                and row["seconds"]
            )
            if points:
                ax.plot(*zip(*points, strict=True), line, color=colour, label=label, ms=5)
        ax.set_xscale("log")
        ax.set_yscale("log")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:,g}" if value < 1e6 else f"{value:,.0f}")
            axis.set_minor_formatter(lambda _value, _: "")
        ax.set_xlabel("customers")
        ax.set_ylabel("seconds")
        ax.set_title(f"52 weeks of every customer, {sizes.draws:,} posterior draws", loc="left", fontsize=11)
        if ax.lines:
            figure.legend(loc="outside lower center", frameon=False, fontsize=9, ncols=2)
        path.parent.mkdir(exist_ok=True, parents=True)
        figure.savefig(path, dpi=130)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value if value is not None else "")


def _rounded(value: Any) -> Any:
    """Return nested numbers to five digits; None for what is not finite."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def table(rows: list[Record], columns: tuple[str, ...]) -> str:
    """Return the rows as aligned text."""
    cells = [list(columns), *([_short(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    """State the rules, measure, tabulate, judge; exit with 1 where a complete run does not pass them all."""
    parser = argparse.ArgumentParser(description="Speed and memory of bayes_clv and its peers.")
    parser.add_argument(
        "--prepare", action="store_true", help="environments, inputs and caches, no measurement"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--long", action="store_true", help="the peer's 100,000 customers too")
    parser.add_argument("--only", default="", help="groups to measure, comma-separated")
    options = parser.parse_args()
    sizes = QUICK if options.quick else LONG if options.long else Sizes()
    folder = ROOT / "out" / "speed"
    runner = Runner(folder)
    runner.environments()
    counts = runner.prepare(sizes)
    wanted = {name for name in options.only.split(",") if name}
    groups = [group for group in plan(sizes, runner.inputs) if not wanted or group.task in wanted]
    if options.prepare or options.quick:
        runner.warm(groups)
    if options.prepare:
        return
    claims = ruled(sizes) + reported(sizes)
    unmeasured = [judge(claim, {}) for claim in claims] + judge_ours({}, sizes)
    rules = [claim for claim in unmeasured if claim["rule"] != "reported"]
    print("Rules, stated before the run:\n" + table(rules, ("claim", "kind", "rule")), flush=True)
    began = time.strftime("%Y-%m-%d %H:%M")
    records = runner.measure(groups)
    rows = [
        as_row(group.task, member, records.get(member.key, []), counts)
        for group in groups
        for member in group.members
    ]
    judged = [judge(claim, records) for claim in claims] + judge_ours(records, sizes)
    if options.quick:
        # The rules are for the sizes that they name.
        judged = [claim | {"verdict": "too small to judge" if claim["verdict"] else ""} for claim in judged]
    if wanted:
        judged = [claim for claim in judged if claim["number"] is not None]
    print("\n" + table(rows, COLUMNS) + "\n")
    print(table(judged, ("claim", "kind", "number", "unit", "rule", "verdict")))
    complete = not (options.quick or wanted)
    results = ROOT / "studies" if complete else folder
    with (results / "speed_results.csv").open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{v:.5g}" if isinstance(v, float) else v for name, v in row.items()})
    report = {"began": began, "cores": os.cpu_count(), "versions": runner.versions(), "claims": judged}
    text = json.dumps(_rounded(report), indent=1, ensure_ascii=False)
    (results / "speed_claims.json").write_text(text + "\n", encoding="utf-8")
    draw(rows, sizes, (ROOT / "figures" if complete else folder) / "speed.png")
    verdicts = [claim["verdict"] for claim in judged if claim["verdict"]]
    print("\nOf {} rules {} pass, {} fail, {} were not judged for a busy machine".format(
        len(verdicts), *(verdicts.count(word) for word in ("PASS", "FAIL", "BUSY"))))  # fmt: skip
    if complete and verdicts.count("PASS") < len(verdicts):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
