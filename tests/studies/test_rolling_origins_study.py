"""The study of rolling origins: its bases, its machine learning, its rules, and a quick run of it."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from studies import bases, forecasters, rolling_origins


@pytest.fixture
def few_trees(monkeypatch):
    monkeypatch.setattr(forecasters, "SIZES", forecasters.SIZES | {"max_iter": 5})
    monkeypatch.setattr(forecasters, "PLACES", np.array([0.05, 0.5, 0.95]))
    monkeypatch.setattr(forecasters, "DRAWS", 50)


def test_a_quick_run_scores_families_rules_and_machine_learning(tmp_path, monkeypatch, few_trees, capsys):
    monkeypatch.setattr(rolling_origins, "FOLDER", tmp_path)
    assert rolling_origins.main(["--quick"]) == 1
    found = pd.read_csv(tmp_path / "rolling_origins_results.csv").set_index("forecast")
    assert set(found.index) == {"nbd", "gradient_boosting", *rolling_origins.RULES}
    assert (found["total_observed"] == found["total_observed"].iloc[0]).all()
    models = found.loc[["nbd", "gradient_boosting"]]
    for name in ("covered_90", "frequent_promised_50", "spend_covered_50", "retention_brier"):
        assert models[name].between(0, 1).all(), name
    assert (models["spend_total_q05"] < models["spend_total_q95"]).all()
    assert (tmp_path / "rolling_origins.png").stat().st_size > 10_000
    assert "pass rules: FAILED" in capsys.readouterr().out
    rolling_origins.main(["--quick"])
    assert "gradient_boosting from 1997-09-01: CRPS" in (again := capsys.readouterr().out)
    assert again.count("from the cache") == 2


def test_online_retail_is_cleaned_as_the_figures_of_its_holdout_say():
    """2,808 customers by 2011-06-10, and what they paid in the 26 weeks after it, in pounds."""
    orders = bases.online_retail()
    assert (orders["spend"] > 0).all()
    assert not orders.duplicated(["customer_id", "date"]).any()
    first = orders.groupby("customer_id")["date"].min()
    known = first.index[first <= "2011-06-10"]
    assert len(known) == 2808
    later = orders[(orders["date"] > "2011-06-10") & orders["customer_id"].isin(known)]
    assert later["spend"].sum() == pytest.approx(3_960_447, abs=0.5)


def test_opportunities_are_counted_back_from_the_origin():
    days = {
        "early": ["2020-01-01", "2020-01-02", "2020-02-20", "2020-03-20", "2020-04-01"],
        "late": ["2020-03-25", "2020-05-20"],
        "after": ["2020-04-02"],
    }
    orders = pd.DataFrame(
        [(name, day) for name, each in days.items() for day in each], columns=["customer_id", "date"]
    )
    orders["date"] = pd.to_datetime(orders["date"])
    # Stretches of 28 days end on 2020-03-31 and before it on 03-03, 02-04 and 01-07.
    known = bases.at_opportunities(orders, "2020-03-31", 1)
    assert known["customer"].to_numpy().tolist() == ["early", "late"]
    assert known["opportunities"].to_numpy().tolist() == [3, 0]
    assert known["frequency"].to_numpy().tolist() == [2, 0]
    assert known["recency"].to_numpy().tolist() == [3, 0]
    assert known["holdout_purchases"].to_numpy().tolist() == [1, 0]
    assert bases.at_opportunities(orders, "2020-03-31", 2)["holdout_purchases"].to_numpy().tolist() == [1, 1]


def shop(seed=1, customers=400, days=365):
    """Return orders of customers of two kinds, who buy every 10 or every 100 days and pay about 20 or 5."""
    rng = np.random.default_rng(seed)
    often = np.arange(customers) % 2 == 0
    bought = rng.random((customers, days)) < np.where(often, 0.1, 0.01)[:, None]
    bought[np.arange(customers), rng.integers(0, 60, customers)] = True
    who, when = np.nonzero(bought)
    date = pd.Timestamp("2020-01-01") + pd.to_timedelta(when, unit="D")
    spend = np.where(often[who], 20.0, 5.0) * np.exp(0.3 * rng.standard_normal(who.size))
    return pd.DataFrame({"customer_id": [f"c{i:03d}" for i in who], "date": date, "spend": spend.round(2)})


def test_gradient_boosting_learns_from_the_calibration_alone(monkeypatch):
    monkeypatch.setattr(forecasters, "PLACES", np.array([0.02, 0.25, 0.5, 0.75, 0.98]))
    orders = shop()
    customers = clv.summarize(orders, until="2020-09-30", holdout_until="2020-12-02")
    told = []
    for log in (orders, orders[orders["date"] <= "2020-09-30"]):
        monkeypatch.setattr(forecasters, "orders_of", lambda base, every, log=log: log)
        told.append(forecasters.gradient_boosting("shop")(customers, 9.0, 1))
    for name in ("purchases_mean", "spend_mean", "probability_active"):
        np.testing.assert_array_equal(told[0][name].values, told[1][name].values)
    often = customers["customer"].str.slice(1).astype(int) % 2 == 0
    # 63 days at 0.1 and 0.01 a day. What was learned, of 200 customers of a kind, has errors of 0.18 and 0.06 already.
    mean = told[0]["purchases_mean"]
    assert float(mean[often].mean()) == pytest.approx(6.3, abs=5 * 0.18)
    assert float(mean[~often].mean()) == pytest.approx(0.63, abs=5 * 0.06)
    paid = told[0]["spend_mean"][often].mean() / mean[often].mean()
    # Of a mean of exp(0.3 z) the error is small beside what flat ends and five places cost.
    assert float(paid) == pytest.approx(20 * np.exp(0.045), rel=0.1)


def perfect():
    """Return results in which one family keeps every rule on every base."""
    rows = []
    for base in rolling_origins.BASES:
        for cell in range(10):
            shared = {"base": base, "origin": str(cell), "weeks": 13.0, "total_observed": 100.0}
            shared |= {"retention_observed": 50.0, "spend_observed": 1000.0}
            for name, kind, crps in (
                ("nbd", "family", 0.5),
                ("gradient_boosting", "elsewhere", 0.6),
                ("past_rate", "rule", 0.7),
            ):
                row = shared | {"forecast": name, "kind": kind, "crps": crps, "retention_log_score": crps}
                for stem in ("", "frequent_", "spend_"):
                    row |= {f"{stem}covered_{level}": level / 100 for level in (50, 90)}
                    row |= {f"{stem}promised_{level}": level / 100 + 0.02 for level in (50, 90)}
                # One of ten is outside.
                low = 0.9 if cell else 1.1
                for stem, real in (("", 100.0), ("retention_", 50.0), ("spend_", 1000.0)):
                    row |= {f"{stem}total_q05": low * real, f"{stem}total_q95": 1.2 * real}
                rows.append(row)
    return pd.DataFrame(rows)


def test_a_family_that_keeps_all_rules_on_every_base_passes():
    passed, lines = rolling_origins.judge(perfect())
    assert passed
    assert not [line for line in lines if "FAILED" in line]
    assert rolling_origins.summary(perfect())["spend"].tolist().count("9/10") == 3 * len(
        rolling_origins.BASES
    )


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("covered_90", 0.80, "customers FAILED"),
        ("covered_50", 0.60, "customers FAILED"),
        ("frequent_covered_90", 0.76, "frequent FAILED"),
        ("spend_covered_50", 0.40, "money FAILED"),
        ("retention_log_score", 0.61, "retention FAILED"),
        ("crps", 0.71, "purchases FAILED"),
        ("crps", 0.65, "purchases FAILED"),
        ("spend_total_q95", 950.0, "spend 0 of 40: FAILED"),
        ("total_q05", 90.0, "purchases 40 of 40"),
    ],
)
def test_each_rule_fails_on_one_base(column, value, rule):
    broken = perfect()
    one = broken["forecast"] == "nbd"
    if "total" not in column:
        one &= broken["base"] == "online_retail"
    broken.loc[one, column] = value
    passed, lines = rolling_origins.judge(broken)
    assert not passed
    assert [line for line in lines if rule in line]
    assert sum("FAILED" in line for line in lines) == 1
