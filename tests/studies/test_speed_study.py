"""The speed study's machinery: limits hold, records are found again, and missing numbers fail no run."""

import os
import sys

import pytest

from studies import speed


def test_every_measurement_has_its_own_record(tmp_path):
    names = [measurement.name for measurement in speed.plan(speed.Sizes(), tmp_path)]
    assert len(set(names)) == len(names)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_a_process_beyond_its_memory_is_stopped(tmp_path):
    code = "import time; held = bytearray(300_000_000); time.sleep(60)"
    result = speed.guarded([sys.executable, "-c", code], dict(os.environ), tmp_path, 30, 100)
    assert "GB" in result["failed"]
    assert result["wall"] < 20


def test_a_process_beyond_its_time_is_stopped(tmp_path):
    result = speed.guarded(
        [sys.executable, "-c", "import time; time.sleep(60)"], dict(os.environ), tmp_path, 0.3, 1e4
    )
    assert result["failed"].startswith("stopped after")


def test_a_failure_is_told_by_its_last_line(tmp_path):
    code = "raise ValueError('no such model')"
    result = speed.guarded([sys.executable, "-c", code], dict(os.environ), tmp_path, 30, 1e4)
    assert result["failed"] == "ValueError: no such model"


def test_records_are_made_once(tmp_path):
    runner = speed.Runner(tmp_path)
    once = speed.Measurement("import", speed.OURS, "nothing", "", imports="import json")
    assert "known" not in runner.measure(once, retry=False)
    assert runner.measure(once, retry=False)["known"]


def test_failed_measurements_are_rows_and_fail_their_claims(tmp_path):
    plan = speed.plan(speed.QUICK, tmp_path)
    measured = [(measurement, {"failed": "stopped at 12.0 GB"}) for measurement in plan]
    rows = [speed.as_row(measurement, record, {}) for measurement, record in measured]
    speed.add_ratios(rows)
    assert all(row["note"].startswith("failed: stopped at 12.0 GB") for row in rows)
    assert "PyMC-Marketing" in speed.table(rows, speed.COLUMNS)
    assert not any(claim["passed"] for claim in speed.claims(measured, speed.QUICK))
    speed.draw(rows, speed.QUICK, tmp_path / "speed.png")


def test_ratios_are_costs_over_the_reference(tmp_path):
    plan = [m for m in speed.plan(speed.QUICK, tmp_path) if m.task == "value" and m.data == "sample"]
    measured = [(m, {"seconds": 50.0 if m.package == speed.THEIRS else 0.5}) for m in plan]
    rows = [speed.as_row(m, record, {}) for m, record in measured]
    speed.add_ratios(rows)
    ratios = {(row["package"], row["method"]): row["ratio"] for row in rows}
    assert ratios[speed.THEIRS, "expected, each draw"] == pytest.approx(100)
    assert ratios[speed.OURS, "expected, mean streamed"] == 1


def test_a_peers_larger_size_is_not_run_after_a_smaller_one_failed(tmp_path):
    series = [
        m for m in speed.plan(speed.Sizes(), tmp_path) if (m.task, m.package) == ("outcome", speed.THEIRS)
    ]
    small, middle, large = series
    assert speed.hopeless(middle, [(small, {"seconds": 1.0})]) is None
    assert "1,000 customers" in speed.hopeless(middle, [(small, {"failed": "stopped"})])["failed"]
    # 1,000 s for ten times as many is beyond 1.5 times the limit.
    assert "1,000 s" in speed.hopeless(large, [(middle, {"seconds": 100.0})])["failed"]
