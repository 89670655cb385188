"""What a start has finished is kept in a hidden folder beside its results, where the same start goes on after a stop.

The folder has one name, so that the next start finds it. A start is told by its *key*, a digest of all that decides its
results: the customers that were read (not the file, which may have changed), what was asked, the versions of the
packages, and the posteriors where they are given. Kept is only what carries the key, file by file, each named in the
manifest when it is whole. What another start kept goes when this one has read its orders, since both have one folder;
a start that is refused before that leaves it.

Nothing has to happen at a stop: TERM and KILL end a process without a word. A lock, which ends with the process, keeps
two starts out of one folder. The folder goes when the results stand, and after a refusal.

Rejected: a digest of the file's path, size and time (says too much after a copy, too little after an edit within a
second); pickles of what lies between (a file that runs code, in a folder that others may write to).
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bayes_clv.schema import InputError, argument

if TYPE_CHECKING:
    import xarray as xr

# In the hidden folder: what is kept, of which key, the files themselves, and an earlier run that is being replaced.
MANIFEST, LOCK, WORK, ASIDE = "kept.json", "lock", "work", "work-old"


class Kept:
    """What a start keeps; ``folder`` is where its files are made, which becomes the results."""

    def __init__(self, hidden: Path) -> None:
        self.hidden, self.folder = hidden, hidden / WORK
        self._key: str | None = None
        self._manifest = _read(hidden / MANIFEST)

    @property
    def any(self) -> bool:
        """Return whether there is anything to go on from."""
        return self._manifest is not None

    @property
    def begun(self) -> bool:
        """Return whether what is there is this start's own."""
        return self._key is not None

    def begin(self, key: str) -> None:
        """Say which start this is; what no earlier start of this key has finished is removed."""
        self._key = key
        if self._manifest is not None and self._manifest["key"] != key:
            # First, so that no file of this start is ever taken for the other's.
            (self.hidden / MANIFEST).unlink()
            self._manifest = None
        finished = {} if self._manifest is None else self._manifest["files"]
        for item in self.folder.iterdir():
            if item.name not in finished:
                shutil.rmtree(item) if item.is_dir() else item.unlink()

    def has(self, name: str) -> bool:
        """Return whether an earlier start, or this one, has finished a file."""
        return self._manifest is not None and name in self._manifest["files"]

    def noted(self, name: str) -> Any:
        """Return what was noted under a name, None where nothing was."""
        return None if self._manifest is None else self._manifest["notes"].get(name)

    def keep(self, name: str) -> None:
        """Say that a file of the folder is finished."""
        self._own()["files"][name] = True
        self._write()

    def note(self, name: str, value: Any) -> None:
        """Keep something that JSON can hold."""
        self._own()["notes"][name] = value
        self._write()

    def _own(self) -> dict[str, Any]:
        if self._manifest is None:
            self._manifest = {"key": self._key, "files": {}, "notes": {}}
        return self._manifest

    def _write(self) -> None:
        partial = self.hidden / f"{MANIFEST}.partial"
        partial.write_text(json.dumps(self._manifest), encoding="utf-8")
        partial.replace(self.hidden / MANIFEST)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(found, dict) and {"key", "files", "notes"} <= found.keys()
    return found if known else None


@contextlib.contextmanager
def unfinished_beside(out: Path, shown: str) -> Iterator[Kept]:
    """Give what an earlier start to ``out`` has kept, and this one may; with it go the parents made if they are empty.

    Raises InputError where no folder can be made, and where another start is writing to ``out``.
    """
    made = [folder for folder in out.parents if not folder.exists()]
    hidden = out.parent / f".{out.name}-unfinished"
    try:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            lock = _locked(hidden, shown)
        except OSError as error:
            raise InputError(
                f"No folder can be made at {shown!r}: {error.strerror}. Name another with {argument('out')}."
            ) from None
        kept, refused = None, False
        try:
            _put_back(hidden / ASIDE, out)
            (hidden / WORK).mkdir(exist_ok=True)
            kept = Kept(hidden)
            yield kept
            shutil.rmtree(hidden, ignore_errors=True)
        except InputError:
            refused = True
            raise
        finally:
            if kept is None or not kept.any or (refused and kept.begun):
                shutil.rmtree(hidden, ignore_errors=True)
            lock.close()
    finally:
        # The deepest first; rmdir leaves alone what is not empty.
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def _put_back(aside: Path, out: Path) -> None:
    """Give an earlier run its name back: a start was killed as it took its place."""
    if not aside.exists():
        return
    if out.exists():
        shutil.rmtree(aside)
    else:
        aside.replace(out)


def _locked(hidden: Path, shown: str) -> IO[bytes]:
    """Return the open lock of a folder; whoever removes the folder takes the lock's file with it."""
    while True:
        hidden.mkdir(mode=0o700, exist_ok=True)
        lock = (hidden / LOCK).open("ab")
        if not _lock(lock):
            lock.close()
            raise InputError(
                f"Another start is writing to {shown!r} now. Wait until it has finished, or name another place with "
                f"{argument('out')}."
            )
        with contextlib.suppress(OSError):
            if os.stat(hidden / LOCK).st_ino == os.fstat(lock.fileno()).st_ino:  # noqa: PTH116
                return lock
        lock.close()


def _lock(file: IO[bytes]) -> bool:
    """Return whether the file is locked now; where there are no locks (some network drives), it counts as locked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def digest(*parts: Any) -> str:
    """Return a digest of datasets, bytes, files (a Path stands for its content) and what JSON can hold.

    Examples
    --------
    >>> digest({"a": 1}) == digest({"a": 1}), digest({"a": 1}) == digest({"a": 2})
    (True, False)
    """
    import xarray as xr

    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, xr.Dataset):
            _add(found, part)
        elif isinstance(part, Path):
            with part.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
        else:
            found.update(json.dumps(part, sort_keys=True, default=repr).encode())
    return found.hexdigest()


def _add(found: Any, dataset: "xr.Dataset") -> None:
    for name in sorted(map(str, dataset.variables)):
        variable = dataset[name].variable
        values = np.asarray(variable.values)
        found.update(json.dumps([name, variable.dims, str(values.dtype), values.shape]).encode())
        if values.dtype == object:
            found.update("\0".join(map(str, values.ravel().tolist())).encode())
        else:
            found.update(np.ascontiguousarray(values).tobytes())
    found.update(json.dumps(dataset.attrs, sort_keys=True, default=str).encode())
