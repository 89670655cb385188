"""A cluster of PostgreSQL for tests: its own folder, a socket in it and no port, gone at the end."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def binaries() -> Path:
    """Return the folder of the newest PostgreSQL; skip where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found and shutil.which("initdb") is None:
        pytest.skip("PostgreSQL is not on this machine: apt-get install postgresql")
    return found[-1].parent if found else Path(str(shutil.which("initdb"))).parent


@contextlib.contextmanager
def cluster(*options: str) -> Iterator[Path]:
    """Start a cluster with these options, and give the folder of its socket; its user is "tests"."""
    programs = binaries()
    # Short: a socket's path has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp" if Path("/tmp").is_dir() else None))
    user: list[str] = []
    if os.geteuid() == 0:
        # It refuses to run as root.
        known = {each.pw_name for each in pwd.getpwall()}
        name = "postgres" if "postgres" in known else "nobody"
        group = str(pwd.getpwnam(name).pw_gid)
        user = ["setpriv", f"--reuid={name}", f"--regid={group}", "--clear-groups"]
        shutil.chown(folder, name, int(group))

    def do(*words: str | Path) -> None:
        subprocess.run(
            [*user, *map(str, words)], cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=120
        )

    data = folder / "data"
    try:
        do(programs / "initdb", "-D", data, "-A", "trust", "-U", "tests", "-E", "UTF8", "--no-sync")
        settings = ["-c", "listen_addresses=''", "-k", str(folder), "-c", "fsync=off", *options]
        do(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", " ".join(settings), "start")
        try:
            yield folder
        finally:
            do(programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
