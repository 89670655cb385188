"""The study of customers who change: its rules on made-up rows, and that a fit is made once."""

import pytest

from studies import moving_customers as study

TENTHS = {
    f"tenth_{place}{what}": value
    for place in range(1, 11)
    for what, value in (("", 100), ("_expected", 10.0 * place), ("_error", 3.0), ("_bought", 10 * place))
}


def row(base, what, family, change, **numbers):
    """Return a row that keeps every rule, but for ``numbers``."""
    good = {
        "crps": 3.0 if change else 3.3,
        "crps_frequent": 2.2,
        "retention_log_score": 0.48 if change else 0.5,
    }
    good |= {"inside_90": 0.92, "mass_90": 0.93, "inside_50": 0.56, "mass_50": 0.55}
    good |= {"given_up": 40, "given_up_expected": 0.8, "given_up_error": 0.9, "given_up_bought": 1}
    return {"base": base, "what": what, "family": family, "change": change} | good | TENTHS | numbers


QUARTER = "2017-09-30 to 2017-12-31"
CHANGED = [
    ({"crps": 3.03}, "CRPS"),
    ({"inside_90": 0.89}, "90 % intervals"),
    ({"inside_50": 0.59}, "50 % intervals"),
    ({"retention_log_score": 0.495}, "log score"),
    ({"given_up_bought": 4}, "under 3 %"),
    ({"tenth_7_bought": 80}, "each tenth"),
]


@pytest.mark.parametrize(("numbers", "rule"), CHANGED)
def test_each_rule_fails_by_its_own_figure(numbers, rule):
    static = row("Complete Journey", QUARTER, "nbd", "")
    found = study.judged([static, row("Complete Journey", QUARTER, "nbd", "drift")])
    assert len(found) == 6
    assert all(holds for _, holds, _ in found)
    found = study.judged([static, row("Complete Journey", QUARTER, "nbd", "drift", **numbers)])
    assert [name for name, holds, _ in found if not holds] == [each for each, *_ in found if rule in each]


def test_returns_must_not_cost_and_frequent_ones_are_drift_s():
    what = "1997-09-30 to 1998-06-30"
    rows = [
        row("CDNOW", what, "bg_nbd", "", crps=0.5, crps_frequent=2.33),
        row("CDNOW", what, "bg_nbd", "drift", crps=0.5, crps_frequent=2.28),
        row("CDNOW", what, "bg_nbd", "returns", crps=0.504, crps_frequent=2.0),
    ]
    found = {name: (holds, figures) for name, holds, figures in study.judged(rows)}
    holds, figures = found[f"CDNOW, {what}, CRPS no worse"]
    assert (holds, figures) == (False, "bg_nbd with returns +0.80 % (at most .5)")
    holds, figures = found[f"CDNOW, {what}, five or more purchases"]
    assert holds
    assert "bg_nbd with drift: CRPS 2.280" in figures


def test_rows_are_kept_and_not_made_again(tmp_path, monkeypatch, capsys):
    rows = [
        row("CDNOW", "1997-09-30 to 1998-06-30", "bg_nbd", "", customers=2357),
        {
            "base": "simulated",
            "what": "mean sleep inf weeks",
            "family": "mbg_nbd",
            "change": "returns",
            "passed": False,
        }
        | {"learned": 120.0, "learned_low": 90.0, "learned_high": 200.0, "moved": 0.2},
    ]
    path = tmp_path / "rows.csv"
    study.keep(rows, path)
    assert study.kept(path) == rows
    monkeypatch.setattr(study, "RESULTS", path)
    monkeypatch.setattr(study, "wanted", lambda: [(study.key(each), None) for each in rows])
    monkeypatch.setattr("sys.argv", ["moving_customers", "--quick"])
    with pytest.raises(SystemExit):
        study.main()
    assert (
        "FAILED  simulated, mean sleep inf weeks: median 120 weeks, 99 % 90 to 200" in capsys.readouterr().out
    )


def test_worlds_are_what_they_say():
    """Where customers sleep for thirty weeks some are silent for longer than a constant rate allows."""
    sleeping = study.world("returns", 30.0, seed=1, customers=300)
    left = study.world("returns", float("inf"), seed=1, customers=300)
    gap = {each: float(base["recency"].mean()) for each, base in (("sleeping", sleeping), ("left", left))}
    assert gap["sleeping"] > gap["left"] + 5
    assert float(sleeping["frequency"].sum()) > 1.2 * float(left["frequency"].sum())
