"""A second process beside a run, which does what would otherwise wait while a processor is free.

Fits, figures and Numba's compiling are Python, of which a process runs one thread at a time; two processes share the
work of a run with nothing but what they are handed. **Nothing depends on the second one**: what it has not begun when
the result is wanted, what fails in it, and all where there is one processor or no second process, is done in the
first, where an error is then raised as it would be without. Both do the same, so that results are equal to the bit.

It is started as ``python -c`` with the first one's path, which is the same on every system and leaves the caller's own
script alone. It ends when its input does, or, where it is busy, when its parent is gone: none outlives a run that is
killed.

Rejected: threads (the interpreter's lock, and Numba compiles one function at a time in a process); a fork (locks of
the parent's threads stay locked for ever); ``multiprocessing``'s spawn (it imports the caller's script again, and runs
it where it has no guard); large tables (sent through a pipe, a base of a million customers would be held twice).
"""

import contextlib
import gc
import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

_CODE = "import sys; sys.path[:] = sys.argv[1:]; from bayes_clv.workflows.beside import work; work()"

# What takes seconds to import, and is needed by the first task that comes.
SLOW = (
    "bayes_clv.inference.fitting",
    "bayes_clv.inference.graph",
    "nutpie",
    "bayes_clv.views.reporting.page",
)


class Undone(Exception):
    """The second process failed to do a task, or is gone."""


class Task[Result]:
    """Something to do, perhaps begun in the second process; calling it returns the result."""

    def __init__(self, begun: Future[Result] | None, function: Callable[[], Result]) -> None:
        self._begun = begun
        self._function = function

    def wait(self) -> bool:
        """Wait for what is begun, and return whether it was done; what is not will not be done beside."""
        if self._begun is None or self._begun.cancel():
            return False
        return self._begun.exception() is None

    def __call__(self) -> Result:
        """Return the result: the second process's, or where that has none, that of doing it here and now."""
        if self._begun is not None and self.wait():
            return self._begun.result()
        return self._function()


class Beside:
    """Takes what may be done in the second process, first come, first done; without one, it is done when called for.

    A task is a function that another process can import, and arguments that can be pickled.
    """

    def __init__(self, process: subprocess.Popen[bytes] | None = None) -> None:
        self._process = process
        # One thread, which hands over a task when the one before is done.
        self._feeder = None if process is None else ThreadPoolExecutor(1)

    def __call__[Result](self, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Task[Result]:
        """Return a task, to be done beside what follows."""
        begun = None
        if self._feeder is not None:
            begun = self._feeder.submit(self._done_there, function, args, kwargs)
        return Task(cast("Future[Result] | None", begun), lambda: function(*args, **kwargs))

    def _done_there(self, *task: Any) -> Any:
        process = cast("subprocess.Popen[bytes]", self._process)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            handed = pickle.dumps(task, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise Undone from error
        try:
            process.stdin.write(handed)
            process.stdin.flush()
            done, result = pickle.load(process.stdout)
        except (OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise Undone from error
        if not done:
            raise Undone
        return result

    def close(self) -> None:
        """End the second process, whatever it is doing."""
        if self._process is None or self._feeder is None:
            return
        self._process.kill()
        self._feeder.shutdown(cancel_futures=True)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                cast("Any", pipe).close()


@contextlib.contextmanager
def second_process() -> Iterator[Beside]:
    """Give what takes tasks for a second process, which ends with the body."""
    beside = Beside(_started() if processors() > 1 else None)
    try:
        beside(import_slow, SLOW)
        yield beside
    finally:
        beside.close()


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _started() -> subprocess.Popen[bytes] | None:
    # The executable of a frozen program is that program.
    if not sys.executable or getattr(sys, "frozen", False):
        return None
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _CODE, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    except OSError:
        return None


def import_slow(names: tuple[str, ...] = SLOW) -> None:
    """Import what a run needs and takes seconds to import, before it is needed.

    Later collections of garbage skip it: looking through it again and again is a tenth of all compiling.
    """
    for name in names:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def work() -> None:
    """Do what comes through the standard input, one task after another, until it ends: the second process."""
    # A user's interrupt is for the first process, which then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Whatever a task prints is no reply.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while True:
        try:
            function, args, kwargs = pickle.load(sys.stdin.buffer)
        except Exception:
            return
        try:
            reply = pickle.dumps((True, function(*args, **kwargs)), protocol=pickle.HIGHEST_PROTOCOL)
        except Exception:
            # Done again in the first process, which then has the error.
            reply = pickle.dumps((False, None))
        replies.write(reply)
        replies.flush()


def _end_with(parent: int) -> None:
    """End this process, whatever it is doing, once its parent has ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
