"""The speed study's machinery: limits hold, what is missing or was slowed passes no rule, and each row is told."""

import os
import sys

import pytest

from studies import speed


def records(sizes, tmp_path, ours=0.5, theirs=100.0, **more):
    """Return records of every measurement, of the same rounds each: ours and a peer's seconds."""
    found = {}
    for group in speed.plan(sizes, tmp_path):
        for member in group.members:
            seconds = ours if member.package == speed.OURS else theirs
            known = dict.fromkeys(("seconds", "mean_seconds", "alive_seconds", "sampling"), seconds)
            known |= {"ess": 1000.0, "load": 0.0, "peak_mb": 1000.0, "growth_mb": seconds, "total": 1.0}
            found[member.key] = [known | more for _ in range(group.rounds)]
    return found


def verdicts(sizes, known):
    return [speed.judge(claim, known)["verdict"] for claim in speed.ruled(sizes)]


def test_every_claim_reads_a_measurement_that_the_plan_makes(tmp_path):
    for sizes in (speed.Sizes(), speed.LONG, speed.QUICK):
        keys = [member.key for group in speed.plan(sizes, tmp_path) for member in group.members]
        assert len(set(keys)) == len(keys)
        for claim in speed.ruled(sizes) + speed.reported(sizes):
            assert {side.key for side in (claim.ours, claim.theirs) if side is not None} <= set(keys)


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


def test_load_is_what_others_take_of_the_processors(tmp_path, monkeypatch):
    stat = tmp_path / "stat"
    # User, nice, system, idle, iowait, irq, softirq, steal: idle and waiting are nobody's.
    stat.write_text("cpu  500 100 100 9999 9999 10 10 80 0 0\n")
    ours = sum(os.times()[:4])
    assert speed.busy_seconds(stat) == pytest.approx(800 / os.sysconf("SC_CLK_TCK") - ours, abs=0.1)
    others = iter((10.0, 40.0))
    monkeypatch.setattr(speed, "busy_seconds", lambda: next(others))
    result = speed.guarded([sys.executable, "-c", "pass"], dict(os.environ), tmp_path, 30, 1e4)
    assert result["load"] == pytest.approx(30.0 / result["wall"])


def test_a_quiet_run_that_holds_the_rules_passes_them(tmp_path):
    assert set(verdicts(speed.QUICK, records(speed.QUICK, tmp_path))) == {"PASS"}


def test_a_number_on_the_wrong_side_fails(tmp_path):
    known = records(speed.QUICK, tmp_path, ours=0.7)
    told = {
        claim.kind: verdict
        for claim, verdict in zip(speed.ruled(speed.QUICK), verdicts(speed.QUICK, known), strict=True)
    }
    assert told["mean streamed against mean of kept draws"] == "FAIL"
    assert told["every draw kept on both sides"] == "PASS"


def test_a_peer_slowed_by_load_proves_nothing(tmp_path):
    known = records(speed.QUICK, tmp_path, load=speed.QUIET + 0.01)
    told = verdicts(speed.QUICK, known)
    # Memory, and what is ours alone, are judged as ever.
    assert [claim.kind for claim, each in zip(speed.ruled(speed.QUICK), told, strict=True) if each == "PASS"] == [
        "memory, mean streamed: ours over theirs", "memory, outcomes: ours over theirs", "seconds", "peak memory",
    ]  # fmt: skip
    assert "FAIL" not in told


def test_a_peer_of_uneven_rounds_proves_nothing(tmp_path):
    known = records(speed.QUICK, tmp_path)
    known["value/peer"][-1]["seconds"] *= speed.STEADY + 0.01
    told = [
        each["kind"]
        for each in (speed.judge(c, known) for c in speed.ruled(speed.QUICK))
        if each["verdict"] == "BUSY"
    ]
    assert told == ["mean streamed against mean of kept draws", "every draw kept on both sides",
                    "simulated outcomes against expected value"]  # fmt: skip


def test_failed_measurements_are_rows_and_fail_their_claims(tmp_path):
    sizes = speed.QUICK
    known = {key: [{"failed": "stopped at 12.0 GB"}] for key in records(sizes, tmp_path)}
    rows = [
        speed.as_row(group.task, member, known[member.key], {})
        for group in speed.plan(sizes, tmp_path)
        for member in group.members
    ]
    assert all(row["note"].startswith("failed: stopped at 12.0 GB") for row in rows)
    assert "PyMC-Marketing" in speed.table(rows, speed.COLUMNS)
    judged = [speed.judge(claim, known) for claim in speed.ruled(sizes)] + speed.judge_ours(known, sizes)
    assert {claim["verdict"] for claim in judged} == {"FAIL"}
    speed.draw(rows, sizes, tmp_path / "speed.png")


def test_a_claim_tells_both_sides_their_rounds_and_the_load(tmp_path):
    known = records(speed.QUICK, tmp_path)
    for index, record in enumerate(known["value/kept"]):
        record |= {"seconds": 0.4 + index / 10, "load": index / 10}
    claim = next(c for c in speed.ruled(speed.QUICK) if c.kind == "every draw kept on both sides")
    told = speed.judge(claim, known)
    assert told["number"] == pytest.approx(100 / 0.45)
    assert told["ours"]["rounds"] == pytest.approx([0.4, 0.5])
    assert told["ours"]["load"] == pytest.approx(0.1)
    assert told["theirs"]["median"] == 100
    assert told["rule"] == ">= 100"


def test_what_fails_is_not_run_again(tmp_path, monkeypatch):
    runner = speed.Runner(tmp_path)
    calls = []

    def script(package, call, arguments, seconds, memory):
        calls.append(package)
        return {"failed": "stopped"} if package == speed.THEIRS else {"seconds": 1.0, "load": 0.0}

    monkeypatch.setattr(runner, "script", script)
    group = next(group for group in speed.plan(speed.Sizes(), tmp_path) if group.task == "value")
    found = runner.measure([group])
    assert calls.count(speed.THEIRS) == 1
    assert len(found["value/kept"]) == group.rounds
    # Turns, not blocks: each round has all of them.
    assert calls[:4] == [member.package for member in group.members]
