"""What every measured script shares: a task by name, its time, its memory. Standard library only.

A script is run as ``python SCRIPT TASK ARGUMENTS`` (arguments a JSON object) and prints ``RESULT {...}``.
"""

import contextlib
import json
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
MEGABYTE = 1e6


def _status(field: str) -> float:
    """Return a memory field of this process in MB, NaN where there is no /proc."""
    if not STATUS.exists():
        return float("nan")
    found = re.search(rf"{field}:\s+(\d+) kB", STATUS.read_text())
    return int(found.group(1)) * 1024 / MEGABYTE if found else float("nan")


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[Any, dict[str, float]]:
    """Return what ``work`` returned, its median seconds, and the peak of memory with what was there before.

    The kernel's high-water mark is reset first, so that the peak is the work's own. Repeats end after a
    minute: a long measurement is not made longer for the third digit.
    """
    before = _status("VmRSS")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    seconds: list[float] = []
    result = None
    while len(seconds) < repeats and sum(seconds) < 60:
        result = None
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    peak = _status("VmHWM")
    if peak != peak:
        # macOS counts in bytes, Linux in kB; only the former comes here.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    return result, {
        "seconds": statistics.median(seconds),
        "repeats": len(seconds),
        "peak_mb": peak,
        "growth_mb": peak - before,
    }


def stopwatch(owner: Any, name: str, into: dict[str, float], key: str) -> None:
    """Replace a function of a module by itself with its wall time added to ``into[key]``."""
    original = getattr(owner, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            into[key] = into.get(key, 0.0) + time.perf_counter() - start

    setattr(owner, name, watched)


def run(tasks: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """Run the task named on the command line and print its result as the last line."""
    result = tasks[sys.argv[1]](**json.loads(sys.argv[2]))
    print("RESULT " + json.dumps(result))
