"""What the tests of engines stand on: a log that engines disagree about, a cluster of PostgreSQL, a session of Spark.

Both engines are the tests' own, in folders that are gone at the end.
"""

import contextlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

# Spring forward, fall back, the ends of days, a leap day, a year's end.
INSTANTS = [
    *("2024-03-31 02:30:00", "2024-10-27 02:30:00", "2024-10-27 00:00:00", "2024-03-30 23:59:59.999999"),
    *("2024-02-29 00:00:00", "2023-12-31 23:59:59", "2024-01-01 00:00:00", "2024-07-01 12:00:00"),
]
OPTIONS = {
    "order_id": "invoice",
    "item": "article",
    "until": "2024-06-30",
    "holdout_until": "2024-11-30",
    "holdout_discount_rate": 0.1,
    "where": "channel != 'test' and amount < 900",
    "take": {"channel": "first"},
    "customer_id": "client",
    "date": "bought",
    "spend": "amount",
    "also": ("log_spend", "log_intervals", "purchase_times", "purchase_spend", "periods", "spend_trends"),
}


def awkward_orders() -> pd.DataFrame:
    """Return a log of what engines disagree about (see ``tests/customers/test_engines.py``)."""
    rng = np.random.default_rng(17)
    size = 600
    start = np.datetime64("2023-10-01T00:00:00.000000")
    when = start + rng.integers(0, 420 * 86400, size).astype("timedelta64[s]")
    special = rng.random(size) < 0.3
    when[special] = np.array(INSTANTS, "datetime64[us]")[rng.integers(0, len(INSTANTS), special.sum())]
    log = pd.DataFrame(
        {
            "client": rng.integers(1, 60, size),
            "bought": when,
            "amount": rng.choice([0.0, 0.1, 0.2, 8.68, 19.99, 950.0], size),
            "invoice": rng.integers(1, 300, size),
            "article": rng.choice(["tea", "cup", "Größe ß"], size),
            "channel": rng.choice(["web", "shop", "test"], size, p=[0.6, 0.35, 0.05]),
        }
    )
    # An order has one customer, time and channel; a tenth of its lines come back, some of them whole.
    one = log.groupby("invoice")[["client", "bought", "channel"]].first()
    log[["client", "bought", "channel"]] = one.loc[log["invoice"]].to_numpy()
    log["bought"] = log["bought"].astype("datetime64[us]")
    log["client"] = log["client"].astype(int)
    back = log.sample(60, random_state=1).assign(
        amount=lambda t: -t["amount"],
        bought=lambda t: t["bought"] + pd.Timedelta(days=2),
        invoice=1000 + np.arange(60),
    )
    # One channel a customer, so that the first of a day is one.
    both = pd.concat([log, back]).sample(frac=1, random_state=2, ignore_index=True)
    return both.assign(
        channel=both["client"].map(lambda i: ("web", "shop")[i % 2]).where(both["channel"] != "test", "test")
    )


def halves() -> pd.DataFrame:
    """Return pieces and prices whose products lie halfway between two amounts of four decimals, or beside it."""
    rng = np.random.default_rng(18)
    pieces, cents = rng.integers(1, 12, 400), 5 + 10 * rng.integers(0, 10**6, 400)
    price = np.where(rng.random(400) < 0.5, cents / 1e5, cents / 1e5 / pieces)
    price[:20] = rng.integers(10**17, 9 * 10**17, 20) / 1e4
    return pd.DataFrame(
        {
            "client": np.arange(400),
            "bought": np.datetime64("2024-01-01T00:00:00.000000"),
            "pieces": np.where(np.arange(400) < 20, 1, pieces),
            "each": price,
        }
    )


def same(found, reference) -> None:
    """Check every number, type, attribute and line of the audit, which names a file where there is one."""
    audit = re.sub(r"read from '[^']*'", "read from the order log", found.attrs["audit"])
    found = found.assign_attrs(audit=audit)
    assert json.loads(audit) == json.loads(reference.attrs["audit"])
    # Trends of the whole base: PostgreSQL keeps 15 digits of a number that becomes a decimal.
    trends = [str(name) for name in reference.data_vars if str(name).startswith(("trend_", "month_"))]
    for name in reference.variables:
        if name in trends:
            np.testing.assert_allclose(found[name], reference[name], rtol=1e-9, err_msg=name)
        else:
            assert found[name].identical(reference[name]), name
    assert found.drop_vars(trends).identical(reference.drop_vars(trends))


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


@contextlib.contextmanager
def spark() -> Iterator[Any]:
    """Start Spark in a Java of its own, small and without ports to the outside; skip where one of them is missing."""
    pytest.importorskip("pyspark", reason="Spark is not installed: pip install 'bayes_clv[spark]'")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Java is not on this machine: apt-get install openjdk-17-jre-headless")
    folder = tempfile.mkdtemp(prefix="spark-")
    # A short life is not worth Java's second compiler.
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        "--driver-java-options '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC' pyspark-shell"
    )
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.warehouse.dir": folder,
        "spark.local.dir": folder,
    }
    with warnings.catch_warnings():
        # It says of pandas 3 that some of its features may not work.
        warnings.simplefilter("ignore", FutureWarning)
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master("local[2]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
    gateway = session.sparkContext._gateway
    try:
        yield session
    finally:
        session.stop()
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
