"""Speed and memory, against PyMC-Marketing, lifetimes and what the machine can do, in one run.

Question
    How long do a fit, expected purchases, P(alive), a discounted 12-month value and a simulated future take, and
    how much memory, for 2,357 to 1,000,000 customers?
Pass rules, stated before the run (ratios within one run on one machine)
    The constants below. Every other number is reported.

Each measurement is a process of its own with a time limit and a memory ceiling; one that fails is a row that says
so. Records are kept in out/speed, and a second call goes on where the first one stopped. The peers need other
versions of shared packages (PyMC-Marketing 0.19 wants arviz < 1), so each has an environment of its own there,
built by uv; their scripts are in studies/peers. All packages get the same customers: CDNOW's sample, CDNOW's master
file (in the lifetimes wheel) and simulated bases.

Run with ``uv run --group benchmark python -m studies.speed`` on a quiet machine; ``--quick`` takes tiny sizes and
shows that it runs, ``--only fit`` one task, ``--fresh`` starts over, ``--retry`` repeats what failed, ``--lock FILE``
holds a lock on that file during each measurement, for other work on the machine to wait for. It prints a table
and writes studies/speed_results.csv, studies/speed_claims.json and figures/speed.png (--quick: into
out/speed-quick).
"""

import argparse
import contextlib
import csv
import fcntl
import hashlib
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"

# What it must show.
FIT_NUTS_RATIO = 10.0
FIT_LAPLACE_RATIO = 50.0
# Of 20 quantiles each with its Monte Carlo error, the largest of as many standard normals is below 4.
AGREEMENT = 4.0
VALUE_EXPECTED_RATIO = 100.0
VALUE_OUTCOME_RATIO = 20.0
VALUE_MEMORY_SHARE = 0.1
MILLION_SECONDS = 100.0
MILLION_MB = 2_000.0
# Cost a customer of the dearest size over the cheapest, from 10,000 to 1,000,000: "flat".
FLAT = 1.5
IMPORT_SECONDS = 1.0

ENVIRONMENTS = {
    # numpy 2.5 breaks the import of PyMC-Marketing 0.19.2 (a type it checks against became an alias).
    "PyMC-Marketing": ("pymc-marketing==0.19.2", "nutpie", "numpy<2.5"),
    "lifetimes": ("lifetimes==0.11.3",),
}
SCRIPTS = {
    "bayes_clv": "bayes_clv_tasks.py",
    "PyMC-Marketing": "pymc_marketing_tasks.py",
    "lifetimes": "lifetimes_tasks.py",
    "bound": "bayes_clv_tasks.py",
}
OURS, THEIRS = "bayes_clv", "PyMC-Marketing"
COLUMNS = (
    "task", "package", "method", "data", "customers", "draws", "seconds", "peak_mb", "ess", "ratio", "note",
)  # fmt: skip
DEMO = "from bayes_clv.cli import main; main()"


@dataclass(frozen=True)
class Sizes:
    """How large each measurement is."""

    fit_draws: int = 1000
    fit_tune: int = 1000
    fit_data: tuple[str, ...] = ("sample", "master")
    value_customers: int = 2357
    value_draws: int = 4000
    bases: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    draws: int = 1000
    peer_bases: tuple[int, ...] = (1_000, 10_000, 100_000)
    repeats: int = 5
    bandwidth_mb: int = 800
    demo: tuple[str, ...] = ()


QUICK = Sizes(
    fit_draws=100,
    fit_tune=200,
    fit_data=("sample",),
    value_customers=200,
    value_draws=100,
    bases=(500, 2_000),
    draws=40,
    peer_bases=(500,),
    repeats=2,
    bandwidth_mb=80,
    demo=("--method", "laplace", "--draws", "50"),
)


@dataclass(frozen=True)
class Measurement:
    """One row of the table: a process, its limits, and what it is compared with (its group)."""

    task: str
    package: str
    method: str
    data: str
    customers: int = 0
    draws: int = 0
    call: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    # Instead of a script's task: code to import, timed inside, or arguments of the command line.
    imports: str = ""
    command: tuple[str, ...] = ()
    # Compile caches: emptied first when cold, left by the cold one when warm.
    cache: str = ""
    cold: bool = False
    processes: int = 1
    seconds_limit: float = 600.0
    memory_limit_mb: float = 12_000.0
    note: str = ""

    @property
    def name(self) -> str:
        """Return the name of its record: readable, and changed by anything that changes the work."""
        parts = [self.task, self.package, self.method, self.data, str(self.customers), str(self.draws)]
        work = [self.call, self.arguments, self.imports, self.command, self.cold, self.processes, self.cache]
        digest = hashlib.blake2b(json.dumps(work, sort_keys=True).encode(), digest_size=4).hexdigest()
        text = "-".join(part for part in parts if part)
        return "".join(c if c.isalnum() or c in "-_" else "_" for c in text) + "-" + digest


def plan(sizes: Sizes, inputs: Path) -> list[Measurement]:
    """Return all measurements in the order they are made, cheap and decisive ones first."""
    repeats = sizes.repeats
    common = {"draws_path": str(inputs / "draws.npz")}
    found: list[Measurement] = []

    def customers_of(data: str) -> str:
        return str(inputs / f"{data}.npz")

    for what, package, code in (
        ("import pymc", "bayes_clv", "import pymc"),
        ("import bayes_clv", OURS, "import bayes_clv"),
        (
            "every public name, pymc",
            OURS,
            "import pymc, bayes_clv as c; [getattr(c, name) for name in c.__all__]",
        ),
        (
            "all that a fit imports",
            OURS,
            "import pymc, nutpie, arviz, bayes_clv as c; import bayes_clv.inference.graph; "
            "[getattr(c, name) for name in c.__all__]",
        ),
        ("import pymc_marketing.clv", THEIRS, "import pymc_marketing.clv"),
    ):
        found.append(Measurement("import", package, what, "", imports=code, processes=repeats))

    # Bounds of the machine.
    found.append(
        Measurement(
            "bandwidth", "bound", "copy", "", call="bandwidth", arguments={"megabytes": sizes.bandwidth_mb}
        )
    )
    for size in sizes.bases:
        for threads in (1, 2):
            arguments = {"customers": size, "draws": sizes.draws, "threads": threads}
            found.append(
                Measurement(
                    "outcome",
                    "bound",
                    f"bare generator, {threads} threads",
                    f"base_{size}",
                    size,
                    sizes.draws,
                    "bound",
                    arguments,
                    note="one hash and one comparison a customer × draw",
                )
            )

    # Discounted value of CDNOW's sample.
    n, draws = sizes.value_customers, sizes.value_draws
    twelve = {"months": 12, "monthly_rate": 0.008, "size": n, "repeats": repeats}
    for level in ("expected, mean streamed", "expected, each draw", "outcome"):
        arguments = {"customers": customers_of("sample"), "draws": draws, "level": level} | twelve | common
        found.append(Measurement("value", OURS, level, "sample", n, draws, "value", arguments))
    arguments = {"customers": customers_of("sample"), "draws": draws} | twelve | common
    found.append(Measurement("value", THEIRS, "expected, each draw", "sample", n, draws, "value", arguments))
    arguments = {"customers": customers_of("sample")} | twelve | common
    found.append(Measurement("value", "lifetimes", "expected, a point", "sample", n, 1, "value", arguments))

    # Closed forms.
    for horizon, what in ((0, "P(alive)"), (39, "purchases, 39 weeks"), (52, "purchases, 52 weeks")):
        at = {"horizon": horizon, "size": n, "repeats": repeats, "customers": customers_of("sample")} | common
        for method in ("each draw", "mean streamed"):
            arguments = at | {"draws": draws, "streamed": method == "mean streamed"}
            found.append(Measurement(what, OURS, method, "sample", n, draws, "expected", arguments))
        arguments = at | {"draws": draws}
        found.append(Measurement(what, THEIRS, "each draw", "sample", n, draws, "expected", arguments))
        found.append(Measurement(what, "lifetimes", "a point", "sample", n, 1, "expected", at))

    # Simulated futures.
    def outcome(size: int, threads: int, tile: int | None) -> Measurement:
        arguments = {
            "customers": customers_of(f"base_{size}"), "draws": sizes.draws, "horizon": "52 weeks",
            "size": None, "threads": threads, "tile": tile,
        } | common  # fmt: skip
        method = f"{threads} thread{'s' * (threads > 1)}" + (f", tile {tile:,}" if tile else "")
        return Measurement("outcome", OURS, method, f"base_{size}", size, sizes.draws, "outcome", arguments)

    for size in sizes.bases:
        found += [outcome(size, 2, None), outcome(size, 1, None), outcome(size, 2, 8_192)]

    # Where the engine's time goes.
    size = sizes.bases[-2]
    for part in ("states", "purchases", "purchases, spend", "purchases, spend, discounted"):
        arguments = {"customers": customers_of(f"base_{size}"), "draws": sizes.draws} | common
        arguments |= {"horizon": "52 weeks", "part": part}
        found.append(
            Measurement(
                "parts of outcome",
                OURS,
                f"{part}, 1 thread",
                f"base_{size}",
                size,
                sizes.draws,
                "parts",
                arguments,
                note="the engine alone",
            )
        )

    # Value against the number of customers, and what the peer survives.
    many = {"months": 12, "monthly_rate": 0.008, "size": None, "repeats": 1, "draws": sizes.draws} | common
    for size in sizes.bases:
        arguments = {"customers": customers_of(f"base_{size}"), "level": "expected, mean streamed"} | many
        found.append(
            Measurement(
                "value",
                OURS,
                "expected, mean streamed",
                f"base_{size}",
                size,
                sizes.draws,
                "value",
                arguments,
            )
        )
    largest = f"base_{max(sizes.bases)}"
    for size in sizes.peer_bases:
        arguments = {"customers": customers_of(largest)} | many | {"size": size}
        found.append(
            Measurement(
                "value", THEIRS, "expected, each draw", largest, size, sizes.draws, "value", arguments
            )
        )
    for size in sizes.peer_bases:
        arguments = {
            "customers": customers_of(largest), "draws": sizes.draws, "horizon": 52, "size": size,
        } | common  # fmt: skip
        found.append(
            Measurement(
                "outcome",
                THEIRS,
                "simulated",
                largest,
                size,
                sizes.draws,
                "outcome",
                arguments,
                seconds_limit=300.0,
                note="purchases of new customers, without spend: it has no simulation of known customers",
            )
        )

    # Fits: the cold process leaves its caches to the warm one.
    terms = {"draws": sizes.fit_draws, "tune": sizes.fit_tune}
    for data in reversed(sizes.fit_data):
        for cold in (True, False):
            for package, method, arguments in (
                (OURS, "nuts", {"method": "nuts"} | terms),
                (OURS, "laplace", {"method": "laplace"} | terms),
                (THEIRS, "nuts (nutpie)", {"sampler": "nutpie"} | terms),
                (THEIRS, "nuts (its default)", {"sampler": "pymc"} | terms),
            ):
                found.append(
                    Measurement(
                        "fit",
                        package,
                        f"{method}, {'cold' if cold else 'warm'}",
                        data,
                        0,
                        4 * sizes.fit_draws,
                        "fit",
                        {"customers": customers_of(data)} | arguments,
                        cache=f"{package}-{method}-{data}",
                        cold=cold,
                        seconds_limit=2_400.0,
                    )
                )
        found.append(
            Measurement(
                "fit", "lifetimes", "maximum likelihood", data, 0, 1, "fit", {"customers": customers_of(data)}
            )
        )

    for cold in (True, False):
        found.append(
            Measurement(
                "demo",
                OURS,
                "cold" if cold else "warm",
                "sample",
                2357,
                command=("demo", *sizes.demo),
                cache="demo",
                cold=cold,
            )
        )
    return found


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


def guarded(
    command: list[str], env: dict[str, str], cwd: Path, seconds: float, memory_mb: float
) -> dict[str, Any]:
    """Run a command under both limits; return its RESULT with wall time and peak, or why it failed."""
    log = cwd / "log.txt"
    start = time.perf_counter()
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
    result: dict[str, Any] = {"wall": wall, "tree_peak_mb": peak}
    if not failed and process.returncode != 0:
        failed = next(
            (line.strip() for line in reversed(lines) if line.strip()), f"exit {process.returncode}"
        )[:160]
    if failed:
        return result | {"failed": failed}
    for line in lines:
        if line.startswith("RESULT "):
            result |= json.loads(line.removeprefix("RESULT "))
    return result


class Runner:
    """The folder of one study: inputs, environments, compile caches and records."""

    def __init__(self, folder: Path, lock: Path | None = None) -> None:
        self.folder = folder
        for name in ("inputs", "env", "cache", "records", "work"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.lock = lock
        self.python = {OURS: sys.executable, "bound": sys.executable}

    @property
    def inputs(self) -> Path:
        """Return the folder of what all packages are given."""
        return self.folder / "inputs"

    def environments(self) -> None:
        """Build the peers' environments where they are missing."""
        interpreter = str(Path(sys.executable).resolve())
        for package, requirements in ENVIRONMENTS.items():
            home = self.folder / "env" / package
            python = home / "bin" / "python"
            done = home / "requirements.txt"
            self.python[package] = str(python)
            if done.exists() and done.read_text() == "\n".join(requirements):
                continue
            print(f"environment of {package}: {', '.join(requirements)}", flush=True)
            install = ["uv", "pip", "install", "-q", "--compile-bytecode", "--python", str(python)]
            try:
                subprocess.run(
                    ["uv", "venv", "-q", "--clear", "--python", interpreter, str(home)], check=True
                )
                subprocess.run([*install, *requirements], check=True)
                done.write_text("\n".join(requirements))
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"  it could not be built ({error}); its rows will say so", flush=True)

    def prepare(self, sizes: Sizes) -> dict[str, int]:
        """Write the inputs that all packages share; return the number of customers of each."""
        master = self.inputs / "master.csv"
        steps: list[tuple[str, str, dict[str, Any], Path]] = [
            (OURS, "draws", {"path": str(self.inputs / "draws.npz")}, self.inputs / "draws.npz"),
        ]
        if "master" in sizes.fit_data:
            steps.append(("lifetimes", "export_master", {"path": str(master)}, master))
        for data in sizes.fit_data:
            path = self.inputs / f"{data}.npz"
            source = "sample" if data == "sample" else str(master)
            steps.append((OURS, "inputs", {"source": source, "path": str(path)}, path))
        for size in sizes.bases:
            path = self.inputs / f"base_{size}.npz"
            steps.append(
                (OURS, "inputs", {"source": "simulated", "customers": size, "path": str(path)}, path)
            )
        counts: dict[str, int] = {}
        known = self.inputs / "customers.json"
        if known.exists():
            counts = json.loads(known.read_text())
        for package, call, arguments, path in steps:
            if path.exists():
                continue
            result = self._script(package, call, arguments, dict(os.environ), 900, 12_000)
            print(f"input {path.name}: {result.get('failed') or 'written'}", flush=True)
            counts[path.stem] = result.get("customers", 0)
        known.write_text(json.dumps(counts))
        return counts

    def _script(
        self,
        package: str,
        call: str,
        arguments: dict[str, Any],
        env: dict[str, str],
        seconds: float,
        memory: float,
    ) -> dict[str, Any]:
        command = [self.python[package], str(PEERS / SCRIPTS[package]), call, json.dumps(arguments)]
        try:
            return guarded(command, env, self.folder / "work", seconds, memory)
        except OSError as error:
            return {"failed": str(error)[:160]}

    def versions(self) -> dict[str, Any]:
        """Return the versions each package's environment resolved to."""
        found = {}
        for package in (OURS, *ENVIRONMENTS):
            result = self._script(package, "versions", {}, dict(os.environ), 300, 4_000)
            found[package] = result.get("versions", result.get("failed"))
        return found

    def measure(self, measurement: Measurement, *, retry: bool) -> dict[str, Any]:
        """Return the measurement's record, made now or before."""
        path = self.folder / "records" / f"{measurement.name}.json"
        if path.exists():
            record: dict[str, Any] = json.loads(path.read_text())
            if not (retry and "failed" in record):
                return record | {"known": True}
        env = dict(os.environ)
        cache = self.folder / "cache" / hashlib.blake2b(measurement.cache.encode(), digest_size=4).hexdigest()
        if measurement.cache:
            if measurement.cold:
                shutil.rmtree(cache, ignore_errors=True)
            env |= {
                "PYTENSOR_FLAGS": f"base_compiledir={cache / 'pytensor'}",
                "NUMBA_CACHE_DIR": str(cache / "numba"),
            }
        before = _compiled(cache)
        with _alone(self.lock):
            record = self._median(measurement, env)
        if measurement.cache:
            record["compiled_files"] = len(_compiled(cache) - before)
        path.write_text(json.dumps(record, indent=1))
        return record

    def _median(self, measurement: Measurement, env: dict[str, str]) -> dict[str, Any]:
        results = []
        for _ in range(measurement.processes):
            results.append(self._once(measurement, env))
            if "failed" in results[-1]:
                return results[-1]
        middle = results[-1]
        if measurement.processes > 1:
            middle["seconds"] = statistics.median(result["seconds"] for result in results)
        return middle

    def _once(self, measurement: Measurement, env: dict[str, str]) -> dict[str, Any]:
        limits = measurement.seconds_limit, measurement.memory_limit_mb
        python = self.python[measurement.package]
        work = self.folder / "work"
        if measurement.imports:
            code = (
                f"import time; start = time.perf_counter(); {measurement.imports}; "
                "seconds = time.perf_counter() - start; import json; "
                "print('RESULT ' + json.dumps({'seconds': seconds}))"
            )
            command = [python, "-c", code]
        elif measurement.command:
            shutil.rmtree(work / "demo", ignore_errors=True)
            command = [python, "-c", DEMO, *measurement.command, "--out", str(work / "demo")]
        else:
            return self._script(measurement.package, measurement.call, measurement.arguments, env, *limits)
        try:
            result = guarded(command, env, work, *limits)
        except OSError as error:
            return {"failed": str(error)[:160]}
        if measurement.imports:
            # Over before its memory is looked at.
            del result["tree_peak_mb"]
        return {"seconds": result["wall"]} | result


def hopeless(
    measurement: Measurement, measured: list[tuple[Measurement, dict[str, Any]]]
) -> dict[str, Any] | None:
    """Return a failed record when a smaller size of a peer's series failed, or foretells the time limit."""
    if measurement.package != THEIRS:
        return None
    for smaller, record in measured:
        same = (smaller.task, smaller.package, smaller.method, smaller.data, smaller.draws)
        asked = (
            measurement.task,
            measurement.package,
            measurement.method,
            measurement.data,
            measurement.draws,
        )
        if same != asked or not smaller.customers < measurement.customers:
            continue
        if "failed" in record:
            return {"failed": f"not run, since {smaller.customers:,} customers failed"}
        foretold = record["seconds"] * measurement.customers / smaller.customers
        if foretold > 1.5 * measurement.seconds_limit:
            return {"failed": f"not run: {smaller.customers:,} customers foretell {foretold:,.0f} s"}
    return None


@contextlib.contextmanager
def _alone(lock: Path | None) -> Iterator[None]:
    """Hold the lock, where there is one, once whoever has it is done."""
    if lock is None:
        yield
        return
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _compiled(cache: Path) -> set[str]:
    """Return the compiled files of a cache: Numba's, and the shared objects of PyTensor's C backend."""
    return {str(path) for path in cache.rglob("*") if path.suffix in (".nbc", ".so")}


def as_row(measurement: Measurement, record: dict[str, Any], counts: dict[str, int]) -> dict[str, Any]:
    """Return the table's row, before ratios."""
    notes = [measurement.note] if measurement.note else []
    if "failed" in record:
        notes.insert(0, f"failed: {record['failed']}")
    seconds = record.get("seconds")
    ess = record.get("ess")
    if "sampling" in record and seconds and ess:
        compiling = seconds - record["sampling"]
        # Half of the sampling was warm-up, which 1,000 effective draws need whole.
        share = 0.5 * (1 + 1000 / ess) if "nuts" in measurement.method else 1000 / ess
        notes.append(
            f"{ess / record['sampling']:.3g} effective draws a second of sampling ({record['sampling']:.3g} s)"
        )
        notes.append(
            f"{ess / seconds:.3g} in all; 1,000 in about {compiling + share * record['sampling']:.3g} s"
        )
        if record.get("pareto_k") is not None and math.isfinite(record["pareto_k"]):
            notes.append(f"Pareto k {record['pareto_k']:.2f} (below {record['pareto_k_threshold']:.2f})")
        if record.get("rhat") is not None and record["rhat"] > 1.01:
            notes.append(f"R-hat {record['rhat']:.3f}")
    if "growth_mb" in record:
        notes.append(f"{record['growth_mb']:.0f} MB above what stood before")
    if "gigabytes_per_second" in record:
        notes.append(f"{record['gigabytes_per_second']:.1f} GB/s read and written")
    if "engine" in record:
        notes.append(f"engine {record['engine']:.3g} s, hash {record['hash'][:8]}")
    cells = measurement.customers * measurement.draws
    if seconds and cells:
        notes.append(f"{1e9 * seconds / cells:.3g} ns a customer × draw")
    if "compiled_files" in record:
        notes.append(f"{record['compiled_files']} files compiled")
    row = {
        "task": measurement.task,
        "package": measurement.package,
        "method": measurement.method,
        "data": measurement.data,
        "customers": measurement.customers or counts.get(measurement.data, ""),
        "draws": measurement.draws or "",
        "seconds": seconds,
        "peak_mb": max(filter(None, (record.get("peak_mb"), record.get("tree_peak_mb"))), default=None),
        "ess": ess,
        "ratio": None,
        "note": "; ".join(notes),
    }
    if measurement.task == "fit":
        row["cost"] = record["sampling"] / ess if ess and record.get("sampling") else None
    elif cells:
        row["cost"] = seconds / cells if seconds else None
    else:
        row["cost"] = seconds
    return row


REFERENCES = {
    "fit": "nuts, warm",
    "value": "expected, mean streamed",
    "outcome": "2 threads",
    "parts of outcome": "purchases, spend, discounted, 1 thread",
    "import": "import bayes_clv",
    "demo": "warm",
}


def add_ratios(rows: list[dict[str, Any]]) -> None:
    """Give each row its cost over that of bayes_clv's reference row of the same task and data.

    Cost is per customer × draw, of a fit per effective draw (sampling alone).
    """
    for row in rows:
        reference = REFERENCES.get(row["task"], "mean streamed")
        same = [
            other["cost"]
            for other in rows
            if other["package"] == OURS
            and (other["task"], other["data"], other["method"]) == (row["task"], row["data"], reference)
        ]
        if row["cost"] and same and same[0]:
            row["ratio"] = row["cost"] / same[0]


def claims(measured: list[tuple[Measurement, dict[str, Any]]], sizes: Sizes) -> list[dict[str, Any]]:
    """Return each thing the study must show: the number, its threshold, and whether it holds."""
    found: list[dict[str, Any]] = []

    def of(task: str, package: str, method: str, data: str, customers: int = 0) -> dict[str, Any]:
        for measurement, record in measured:
            same = (measurement.task, measurement.package, measurement.method, measurement.data)
            if same == (task, package, method, data) and customers in (0, measurement.customers):
                return record
        return {}

    def ratio(above: float | None, below: float | None) -> float | None:
        return above / below if above is not None and below else None

    def state(what: str, number: float | None, threshold: float | None, *, at_least: bool) -> None:
        held = None
        if threshold is not None:
            held = number is not None and (number >= threshold if at_least else number <= threshold)
        sign = ">=" if at_least else "<="
        rule = f"{sign} {threshold:g}" if threshold is not None else "reported"
        found.append({"claim": what, "number": number, "rule": rule, "passed": held})

    def speed(record: dict[str, Any]) -> float | None:
        return ratio(record.get("ess"), record.get("sampling"))

    data = sizes.fit_data[-1]
    for ours, threshold in (("nuts", FIT_NUTS_RATIO), ("laplace", FIT_LAPLACE_RATIO)):
        for theirs in ("nuts (its default)", "nuts (nutpie)"):
            mine, peer = of("fit", OURS, f"{ours}, warm", data), of("fit", THEIRS, f"{theirs}, warm", data)
            what = (
                f"fit, {data}: {ours}'s effective draws a second of sampling over PyMC-Marketing's {theirs}"
            )
            state(what, ratio(speed(mine), speed(peer)), threshold, at_least=True)
            whole = ratio(
                ratio(mine.get("ess"), mine.get("seconds")), ratio(peer.get("ess"), peer.get("seconds"))
            )
            state(f"{what.replace(' of sampling', ', compilation included,')}", whole, None, at_least=True)
    laplace, nuts = of("fit", OURS, "laplace, warm", data), of("fit", OURS, "nuts, warm", data)
    state(
        f"fit, {data}: Pareto k", laplace.get("pareto_k"), laplace.get("pareto_k_threshold"), at_least=False
    )
    state(f"fit, {data}: laplace's quantiles less NUTS's, largest of 20 over its Monte Carlo error",
          _disagreement(laplace, nuts), AGREEMENT, at_least=False)  # fmt: skip

    peer = of("value", THEIRS, "expected, each draw", "sample")
    for method, threshold in (
        ("expected, mean streamed", VALUE_EXPECTED_RATIO),
        ("expected, each draw", None),
        ("outcome", VALUE_OUTCOME_RATIO),
    ):
        mine = of("value", OURS, method, "sample")
        what = f"12-month value, {sizes.value_customers:,} × {sizes.value_draws:,}, {method}"
        state(
            f"{what}: PyMC-Marketing's time over ours",
            ratio(peer.get("seconds"), mine.get("seconds")),
            threshold,
            at_least=True,
        )
        wanted = VALUE_MEMORY_SHARE if threshold else None
        shares = (
            ratio(mine.get("growth_mb"), peer.get("growth_mb")),
            ratio(mine.get("peak_mb"), peer.get("peak_mb")),
        )
        state(
            f"{what}: our peak memory over theirs, above imports and inputs",
            shares[0],
            wanted,
            at_least=False,
        )
        state(f"{what}: our peak memory over theirs, whole process", shares[1], None, at_least=False)
        state(
            f"{what}: our total value over theirs (monthly discounting)",
            ratio(mine.get("total"), peer.get("total")),
            None,
            at_least=True,
        )

    largest = max(sizes.bases)
    big = of("outcome", OURS, "2 threads", f"base_{largest}")
    what = f"outcome, {largest:,} × {sizes.draws:,}, 2 threads"
    state(f"{what}: seconds", big.get("seconds"), MILLION_SECONDS, at_least=False)
    state(f"{what}: peak memory of the process, MB", big.get("peak_mb"), MILLION_MB, at_least=False)
    bound = of("outcome", "bound", "bare generator, 2 threads", f"base_{largest}")
    state(
        f"{what}: times the bare generator",
        ratio(big.get("seconds"), bound.get("seconds")),
        None,
        at_least=False,
    )
    costs = [
        ratio(of("outcome", OURS, "2 threads", f"base_{size}").get("seconds"), size) for size in sizes.bases
    ]
    known = [cost for cost in costs if cost]
    flat = max(known) / min(known) if len(known) == len(costs) else None
    state(
        f"outcome: cost a customer, dearest of {len(costs)} sizes over cheapest", flat, FLAT, at_least=False
    )
    for size in sizes.bases:
        hashes = [
            record.get("hash")
            for measurement, record in measured
            if (measurement.task, measurement.package, measurement.data) == ("outcome", OURS, f"base_{size}")
        ]
        complete = len(hashes) > 1 and all(hashes)
        state(
            f"outcome, {size:,}: different results of {len(hashes)} runs (1 and 2 threads, 2 tile sizes)",
            float(len(set(hashes))) if complete else None,
            1.0,
            at_least=False,
        )

    pymc = of("import", OURS, "import pymc", "").get("seconds")
    for method in ("import bayes_clv", "every public name, pymc", "all that a fit imports"):
        seconds = of("import", OURS, method, "").get("seconds")
        more = seconds - pymc if seconds and pymc else None
        # Names are imported on first use; what the use then costs is reported.
        limit = IMPORT_SECONDS if method == "import bayes_clv" else None
        state(f"import: {method}, seconds more than import pymc", more, limit, at_least=False)
    for task, method, where in (("fit", "nuts, ", data), ("fit", "laplace, ", data), ("demo", "", "sample")):
        cold, warm = of(task, OURS, f"{method}cold", where), of(task, OURS, f"{method}warm", where)
        what = f"{task} {method}".strip(", ")
        state(
            f"{what}: files compiled by the second process", warm.get("compiled_files"), 0.0, at_least=False
        )
        state(f"{what}: seconds cold", cold.get("seconds"), None, at_least=False)
        state(f"{what}: seconds warm", warm.get("seconds"), None, at_least=False)
    return found


def _disagreement(one: dict[str, Any], other: dict[str, Any]) -> float | None:
    """Return the largest difference of two fits' quantiles over its Monte Carlo standard error."""
    if "quantiles" not in one or "quantiles" not in other:
        return None
    worst = 0.0
    for name, values in one["quantiles"].items():
        for i, value in enumerate(values):
            error = math.hypot(one["errors"][name][i], other["errors"][name][i])
            worst = max(worst, abs(value - other["quantiles"][name][i]) / error)
    return worst


def draw(rows: list[dict[str, Any]], sizes: Sizes, path: Path) -> None:
    """Draw seconds against customers, both logarithmic, for one number of draws."""
    from matplotlib.figure import Figure

    from bayes_clv.views.style import styled

    series = (
        (
            "value",
            THEIRS,
            "expected, each draw",
            "PyMC-Marketing, expected value (no outcomes)",
            "#d55e00",
            "o-",
        ),
        (
            "outcome",
            THEIRS,
            "simulated",
            "PyMC-Marketing, simulated purchases of new customers",
            "#cc79a7",
            "s-",
        ),
        ("outcome", OURS, "2 threads", "bayes_clv, simulated purchases, spend and value", "#0072b2", "o-"),
        ("value", OURS, "expected, mean streamed", "bayes_clv, expected value", "#009e73", "s-"),
        ("outcome", "bound", "bare generator, 2 threads", "bound: one random number each", "#777777", ":"),
    )
    with styled():
        figure = Figure(figsize=(7.6, 5.2), layout="constrained")
        ax = figure.subplots()
        for task, package, method, label, colour, line in series:
            points = sorted(
                (row["customers"], row["seconds"])
                for row in rows
                if (row["task"], row["package"], row["method"], row["draws"])
                == (task, package, method, sizes.draws)
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


def table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    """Return the rows as aligned text."""
    cells = [list(columns), *([_short(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    """Measure, tabulate, judge; exit with 1 where a pass rule fails."""
    parser = argparse.ArgumentParser(description="Speed and memory of bayes_clv and its peers.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--only", default="", help="tasks to measure, comma-separated")
    parser.add_argument("--fresh", action="store_true", help="forget earlier records")
    parser.add_argument("--retry", action="store_true", help="repeat measurements that failed")
    parser.add_argument("--lock", type=Path, help="file to lock during each measurement")
    options = parser.parse_args()
    sizes = QUICK if options.quick else Sizes()
    folder = ROOT / "out" / ("speed-quick" if options.quick else "speed")
    if options.fresh:
        shutil.rmtree(folder / "records", ignore_errors=True)
        shutil.rmtree(folder / "inputs", ignore_errors=True)
    runner = Runner(folder, options.lock)
    runner.environments()
    counts = runner.prepare(sizes)
    measurements = plan(sizes, runner.inputs)
    wanted = {name for name in options.only.split(",") if name}
    measured = []
    began = time.perf_counter()
    if os.getloadavg()[0] > 0.5:
        print(f"The machine is busy (load {os.getloadavg()[0]:.1f}): ratios will be noisy.", flush=True)
    for index, measurement in enumerate(measurements):
        if wanted and measurement.task not in wanted:
            continue
        size = f"{measurement.customers:,} × {measurement.draws:,}" if measurement.customers else ""
        head = f"[{index + 1}/{len(measurements)}, {time.perf_counter() - began:.0f} s]"
        print(
            head,
            measurement.task,
            measurement.package,
            measurement.method,
            measurement.data,
            size,
            end=" ",
            flush=True,
        )
        record = hopeless(measurement, measured) or runner.measure(measurement, retry=options.retry)
        measured.append((measurement, record))
        told = record.get("failed") or f"{record.get('seconds', math.nan):.3g} s"
        print("->", told, "(from before)" if record.get("known") else "", flush=True)

    rows = [as_row(measurement, record, counts) for measurement, record in measured]
    add_ratios(rows)
    judged = claims(measured, sizes)
    if wanted:
        judged = [claim for claim in judged if claim["number"] is not None]
    versions = runner.versions()
    print("\n" + table(rows, COLUMNS))
    print(
        "\nratio: cost over that of bayes_clv's reference row (per customer × draw; fits: per effective draw)\n"
    )
    print(
        table(
            [claim | {"passed": _verdict(claim)} for claim in judged], ("claim", "number", "rule", "passed")
        )
    )
    for package, known in versions.items():
        print(f"{package}: {known}")
    results = folder if options.quick or wanted else ROOT / "studies"
    with (results / "speed_results.csv").open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{v:.5g}" if isinstance(v, float) else v for name, v in row.items()})
    for claim in judged:
        number = claim["number"]
        claim["number"] = float(f"{number:.5g}") if number is not None and math.isfinite(number) else None
    report = {"cores": os.cpu_count(), "versions": versions, "claims": judged}
    (results / "speed_claims.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    draw(rows, sizes, (folder if options.quick or wanted else ROOT / "figures") / "speed.png")
    failed = [claim for claim in judged if claim["passed"] is False]
    print(f"\n{len(failed)} of {sum(claim['passed'] is not None for claim in judged)} pass rules failed")
    if failed and not (options.quick or wanted):
        raise SystemExit(1)


def _verdict(claim: dict[str, Any]) -> str:
    return {True: "passed", False: "FAILED", None: ""}[claim["passed"]]


if __name__ == "__main__":
    main()
