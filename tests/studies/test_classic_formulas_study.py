"""The machinery of the study of classic formulas: it judges as it says, and its truths are those of its customers."""

import numpy as np
import pytest

from studies import classic_formulas as study


def rows(ratio, width=0.1):
    """Return a study's rows in which each estimate is off as ``ratio`` says."""
    return [
        {"kind": kind, "base": seed, "whom": whom, "estimate": name}
        | {"ratio": ratio[name], "low": ratio[name] - width, "high": ratio[name] + width}
        for kind in study.KINDS
        for seed in range(study.BASES)
        for whom in study.WHOM
        for name in study.ESTIMATES
        if kind == "orders" or name != "migration"
    ]


def test_the_rule_follows_the_errors():
    good = {"posterior": 1.01, "four steps": 1.3, "annuity": 0.985, "migration": 0.6}
    assert study.judge(rows(good))[0]
    for changed, said in (
        ({"posterior": 1.2}, "1, alike, new: 0 of 20"),
        ({"annuity": 0.95}, "2, alike, new: the annuity is off by -5.0 %"),
        ({"migration": 1.001}, "3, orders, new"),
    ):
        passed, lines = study.judge(rows(good | changed))
        assert not passed
        assert any(line.startswith("FAILS") and said in line for line in lines)


def test_a_base_of_contracts_by_the_quick_way(monkeypatch):
    """One small base through the whole road: the curve that is the truth is that of its customers."""
    monkeypatch.setattr(study, "CONTRACTS", 400)
    monkeypatch.setattr(study, "DRAWS", 50)
    found = {(row["estimate"], row["whom"]): row for row in study.base("mixed", 1)}
    assert len(found) == 6
    assert found["annuity", "present"]["ratio"] < 0.8
    own = found["posterior", "present"]
    assert 0.7 < own["low"] < own["ratio"] < own["high"] < 1.4
    rng = np.random.default_rng(1)
    left = (1 - rng.beta(*study.LEAVING, 100_000))[:, None] ** np.arange(8)
    error = 4 * left.std(axis=0) / np.sqrt(100_000)
    assert (np.abs(left.mean(axis=0) - study._beta_curve(np.arange(8))) <= error).all()


def test_the_worth_of_a_new_customer_is_that_of_simulated_ones(monkeypatch):
    """Repeat purchases discounted at their time, far beyond where they count."""
    monkeypatch.setattr(study, "WEEKS", 2000)
    rng = np.random.default_rng(2)
    rate = rng.gamma(study.CDNOW["r"], 1 / study.CDNOW["alpha"], 3000)
    dropout = rng.beta(study.CDNOW["a"], study.CDNOW["b"], 3000)
    times, alive = study.histories(rate, dropout, rng)
    worth = np.array([np.exp(-study.DELTA * each).sum() for each in times])
    assert worth.mean() == pytest.approx(study.population_worth(), abs=4 * worth.std() / np.sqrt(3000))
    assert alive[[not each.size for each in times]].all()


def test_the_formulas_count_quarters():
    """Two customers: one buys in every quarter, twice; one in the first alone, once."""
    found = study._by_quarter(np.array([[2, 2, 2, 2], [1, 0, 0, 0]]))
    assert found["four steps", "new"] == pytest.approx(
        9 / 2 / (52 / study.YEAR) / (1 - 3 / 4) * 13 / study.YEAR
    )
    # Of those present one bought last; its quarter is over.
    orders = 9 / 5
    kept = 0.75 / (1 + study.A_QUARTER)
    assert found["annuity", "present"] == pytest.approx(orders * kept / (1 - kept) / 2)
