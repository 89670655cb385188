"""Compiled functions on the disk: all are forgotten once any file of the package has changed.

Numba keeps what it compiled under the content of the file that holds the function, and not of those that hold what
the function calls. After an upgrade or a ``git pull`` a caller whose own file is as before would go on with the callee
as it was, in silence. Rejected: a folder of caches a version, which Numba takes for all packages or for none.
"""

import hashlib
import os
from pathlib import Path

STAMP = "bayes_clv.compiled_from"


def forget_changed(package: Path) -> list[Path]:
    """Delete what was compiled from other files than the package's, and return what was deleted.

    A folder that cannot be written has no caches of its own: Numba's are then the user's.
    """
    files = sorted(package.rglob("*.py"))
    seen = hashlib.sha256()
    for file in files:
        seen.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes() + b"\0")
    stamp = seen.hexdigest()
    deleted = []
    for folder in sorted({file.parent for file in files}):
        try:
            caches = _caches(folder)
            said = caches / STAMP
            if said.is_file() and said.read_text() == stamp:
                continue
            caches.mkdir(parents=True, exist_ok=True)
            # A process beside this one may do the same.
            for kept in [*caches.glob("*.nbi"), *caches.glob("*.nbc")]:
                kept.unlink(missing_ok=True)
                deleted.append(kept)
            written = caches / f"{STAMP}.{os.getpid()}"
            written.write_text(stamp)
            written.replace(said)
        except OSError:
            # Nor can Numba write there, and it compiles anew in each process.
            continue
    return deleted


def _caches(folder: Path) -> Path:
    """Return where Numba keeps what it compiles of a folder's files: its three places, in its order."""
    asked, beside = os.environ.get("NUMBA_CACHE_DIR"), folder / "__pycache__"
    if not asked and os.access(beside if beside.exists() else folder, os.W_OK):
        return beside
    from numba.core.caching import UserWideCacheLocator
    from numba.misc.appdirs import AppDirs

    of_user = asked or AppDirs(appname="numba", appauthor=False).user_cache_dir
    # Of a file Numba takes the folder.
    return Path(of_user) / str(UserWideCacheLocator.get_suitable_cache_subpath(str(folder / "__init__.py")))
