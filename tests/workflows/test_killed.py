"""A scoring of a million customers that is killed ten times, in its long form: it takes long."""

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.workflows import read_run
from bayes_clv.workflows import unfinished as keeping
from bayes_clv.workflows.parts import PART

PEOPLE, FITTED, KILLS = 1_000_000, 2_000, 10
UNTIL = "2025-12-31"
COMMAND = [sys.executable, "-c", "from bayes_clv.cli import main; main()"]


@pytest.fixture
def run_and_orders(tmp_path):
    """A run on some customers, and the orders of all, to the same day."""
    log = clv.synthetic.simulate_orders(
        {"r": 0.24, "alpha": 4.4, "a": 0.79, "b": 2.4},
        {"p": 6.25, "q": 3.74, "v": 15.4},
        customers=PEOPLE,
        seed=11,
        start="2024-07-01",
        until=UNTIL,
    )
    log.to_parquet(tmp_path / "orders.parquet", index=False)
    some = log["customer_id"].isin(log["customer_id"].unique()[:FITTED])
    log[some].to_parquet(tmp_path / "some.parquet", index=False)
    told = ["--until", UNTIL, "--family", "bg_nbd", "--no-drift", "--no-returns", "--method", "laplace"]
    done = [*COMMAND, "run", tmp_path / "some.parquet", *told, "--out", tmp_path / "run"]
    subprocess.run(done, check=True, timeout=1200)
    return tmp_path / "run", tmp_path / "orders.parquet"


def finished(hidden):
    """Return the parts that are kept, by name: which file each is, and when it was written."""
    try:
        names = json.loads((hidden / keeping.MANIFEST).read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return {}
    files = {name: (hidden / keeping.WORK / name).stat() for name in names}
    return {name: (file.st_ino, file.st_mtime_ns) for name, file in files.items()}


@pytest.mark.full
def test_ten_kills_in_a_scoring_of_a_million_customers(run_and_orders, tmp_path):
    """It is complete in the end, nobody is there twice, and no finished part is forecast again."""
    run, orders = run_and_orders
    out = tmp_path / "scored.parquet"
    hidden = tmp_path / f".{out.name}-unfinished"
    score = [*COMMAND, "score", run, orders, "--until", UNTIL, "--out", out]
    rng, seen, told = np.random.default_rng(12), {}, []
    for kill in range(KILLS):
        before = finished(hidden)
        started = time.monotonic()
        with subprocess.Popen(score, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            # The first is killed while it reads; the others in the middle of a part that follows one or two finished.
            while kill and len(finished(hidden)) == len(before) and process.poll() is None:
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 5))
            assert process.poll() is None
            process.kill()
        now = finished(hidden)
        assert now.items() >= before.items()
        seen |= now
        told.append((len(now), round(time.monotonic() - started)))
    started = time.monotonic()
    subprocess.run(score, check=True, stdout=subprocess.DEVNULL, timeout=3600)
    print(
        f"parts after each kill, and its seconds: {told}; the last start took {time.monotonic() - started:.0f} s"
    )
    assert 0 < told[0][0] + told[-1][0] < PEOPLE // PART
    table = pd.read_parquet(out)
    assert len(table) == table["customer_id"].nunique() == PEOPLE
    left = ["orders.parquet", "run", "scored.json", "scored.parquet", "some.parquet"]
    assert sorted(item.name for item in tmp_path.iterdir()) == left
    # Of a few customers of each part, what is forecast of these alone.
    known = read_run(run)
    picked = clv.summarize(orders, until=UNTIL).isel(customer=slice(None, None, PEOPLE // 2000))
    future = clv.predict(
        known.buying,
        picked,
        known.horizon,
        spending=known.spending,
        margin=known.margin,
        annual_discount_rate=known.annual_discount_rate,
        seed=int(known.record["seeds"]["future"]),
    )
    wanted = clv.table(future)
    rows = table.set_index("customer_id").loc[wanted["customer_id"]].reset_index()
    pd.testing.assert_frame_equal(rows, wanted, check_exact=True)
