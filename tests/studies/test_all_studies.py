"""``python -m studies``: every study is listed with its verdict, and run by its name."""

import pytest

from studies import __main__ as studies


def test_every_study_is_written_up():
    assert set(studies.names()) == set(studies.verdicts())
    for name, (asked, rule, verdict) in studies.verdicts().items():
        assert asked.rstrip().endswith("?"), name
        assert rule
        assert verdict


def test_the_list_says_what_each_asks_and_found(capsys):
    assert studies.main([]) == 0
    text = capsys.readouterr().out
    for name in studies.names():
        assert f"\n{name}" in f"\n{text}"
    assert "](" not in text
    # A headline carries what failed, however short it is cut.
    below = {each.split(":")[0].split(" ")[0]: each for each in text.split("\n") if each[:1].isalpha()}
    failed = [name for name, row in studies.verdicts().items() if "FAILED" in row[2]]
    assert len(failed) > 3
    for name in failed:
        after = text.split(f"\n{below[name]}\n" if name != studies.names()[0] else below[name])[1]
        assert "FAILED" in "".join(after.split("\n")[:3]), name


def test_a_study_is_run_by_its_name(monkeypatch):
    begun = []

    class Ended:
        returncode = 3

    monkeypatch.setattr(
        studies.subprocess, "run", lambda command, check: begun.append(command[1:]) or Ended()
    )
    assert studies.main(["water_filters", "speed", "--quick"]) == 3
    assert begun == [["-m", "studies.water_filters"], ["-m", "studies.speed", "--quick"]]
    with pytest.raises(SystemExit):
        studies.main(["no_such_study"])
