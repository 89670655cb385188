"""Returns: each step by hand, against a loop in plain Python, and on the log that most people try first."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv

RETAIL = Path(clv.__file__).parent.parent / "studies" / "data" / "online_retail.parquet"
STEPS = {
    "inside": "inside their order",
    "item": "same customer and item",
    "day": "on the same day",
    "before": "bought before",
}


def log(*rows):
    return pd.DataFrame(rows, columns=["customer_id", "date", "spend", "order", "item"])


def audit(customers):
    return json.loads(customers.attrs["audit"])


def by_step(customers):
    """Return rows and money of every line of the audit that counts, by what became of them."""
    found = {}
    for line in audit(customers):
        words = next((step for step, words in STEPS.items() if words in line["what"]), "")
        if line["action"] == "left out" and line["what"].startswith("Returns"):
            words = "late" if line["what"].startswith("Returns after") else "unmet"
        name = words or line["action"]
        rows, money = found.get(name, (0, 0.0))
        found[name] = (rows + line["rows"], round(money + (line["money"] or 0.0), 2))
    return found


def reconciles(customers):
    """Check that rows and money read are those of all lines."""
    counted = [line for line in audit(customers) if line["action"] not in ("read", "note")]
    (read,) = [line for line in audit(customers) if line["action"] == "read"]
    assert read["rows"] == sum(line["rows"] for line in counted)
    assert round(read["money"], 2) == round(sum(line["money"] for line in counted), 2)


def test_a_cancelled_order_is_no_purchase():
    """The giant order of findings: cancelled on its day, it was 90,587 of historical spend where 12,440 is net."""
    orders = log(
        ("a", "2024-01-01", 10.0, "1", "x"), ("a", "2024-01-09", 77183.6, "2", "y"),
        ("a", "2024-01-09", -77183.6, "C", "y"),
        ("a", "2024-02-01", 5.0, "3", "x"), ("b", "2024-01-02", 7.0, "4", "x"), ("b", "2024-01-03", -7.0, "D", "x"),
    )  # fmt: skip
    for named in ({}, {"order_id": "order"}, {"item": "item"}, {"order_id": "order", "item": "item"}):
        customers = clv.summarize(orders, **named)
        assert customers["customer"].values.tolist() == ["a"]
        assert customers["frequency"].values.tolist() == [1]
        assert customers["historical_spend"].values.tolist() == [15.0]
        assert by_step(customers)["cancelled"] == (2, 77190.6)
        reconciles(customers)


def test_each_step_by_hand():
    orders = log(
        ("a", "2024-01-01", 10.0, "1", "x"), ("a", "2024-01-01", 20.0, "1", "y"), ("a", "2024-01-01", -4.0, "1", "x"),
        ("a", "2024-01-03", 30.0, "2", "z"), ("a", "2024-01-03", -1.0, "2", "w"),
        ("a", "2024-01-05", -25.0, "C3", "y"), ("a", "2024-01-05", 8.0, "4", "x"),
        ("a", "2024-01-06", -1.0, "C5", "z"), ("a", "2023-12-31", -3.0, "C6", "x"),
    )  # fmt: skip
    customers = clv.summarize(orders, order_id="order", item="item", time_unit="day")
    # x: 4 inside order 1. w: 1 of the rest of order 2. z: 1 of order 2. The first return came before anything.
    # y: 20 of order 1 and 5 of its day.
    found = by_step(customers)
    assert (found.pop("note")[1], found) == (
        0.0,
        {
            "read": (9, 34.0),
            "kept": (4, 68.0),
            "inside": (2, -5.0),
            "item": (1, -21.0),
            "day": (1, -5.0),
            "unmet": (1, -3.0),
        },
    )
    reconciles(customers)
    assert customers["historical_spend"].values.tolist() == [37.0]


def test_the_latest_purchases_go_first():
    orders = log(
        ("a", "2024-01-01", 10.0, 1, "x"), ("a", "2024-01-02", 10.0, 2, "x"), ("a", "2024-01-03", -12.0, 3, "x"),
        ("a", "2024-01-04", 5.0, 4, "x"),
    )  # fmt: skip
    customers = clv.summarize(orders, time_unit="day")
    assert customers["first_spend"].values.tolist() == [8.0]
    assert customers["frequency"].values.tolist() == [1]
    assert customers["historical_spend"].values.tolist() == [13.0]


def test_the_calibration_does_not_know_the_future():
    orders = log(
        ("a", "2024-01-01", 10.0, 1, "x"), ("a", "2024-01-08", 20.0, 2, "y"), ("a", "2024-01-20", -20.0, 3, "y"),
        ("a", "2024-01-20", 9.0, 4, "z"), ("a", "2024-01-21", -2.0, 5, "z"), ("b", "2024-01-25", 3.0, 6, "x"),
    )  # fmt: skip
    now = clv.summarize(orders[:2], until="2024-01-10", item="item")
    later = clv.summarize(orders, until="2024-01-10", holdout_until="2024-01-31", item="item")
    for name in ("frequency", "recency", "monetary_value", "historical_spend"):
        xr.testing.assert_identical(later[name], now[name])
    # z pays 2 back; of the 20 the day's other 7 are taken, and the rest came back of a purchase of the calibration.
    assert by_step(later)["late"] == (1, -13.0)
    reconciles(later)
    reconciles(clv.summarize(orders, until="2024-01-10", holdout_until="2024-01-20", item="item"))


def test_free_orders_stay_and_pieces_without_money_go():
    orders = log(
        ("a", "2024-01-01", 0.0, 1, "x"), ("a", "2024-01-02", 5.0, 2, "x"), ("a", "2024-01-03", 0.0, 3, "x")
    )
    orders["pieces"], orders["each"] = [1, 1, -4], [0.0, 5.0, 0.0]
    customers = clv.summarize(orders, quantity="pieces", price="each")
    assert customers["frequency"].values.tolist() == [1]
    assert "Lines with a negative quantity and no money" in str(audit(customers))
    reconciles(customers)


def test_drop_and_refuse():
    orders = log(
        ("a", "2024-01-01", 5.0, 1, "x"), ("a", "2024-01-02", -5.0, 2, "x"), ("b", "2024-01-02", 1.0, 3, "x")
    )
    dropped = clv.summarize(orders, on_returns="drop")
    assert dropped["historical_spend"].values.tolist() == [5.0, 1.0]
    reconciles(dropped)
    with pytest.raises(clv.InputError, match="1 row of 3 with a negative spend.*leave on_returns out"):
        clv.summarize(orders, on_returns="refuse")
    with pytest.raises(clv.InputError, match="on_returns='keep' is not known"):
        clv.summarize(orders, on_returns="keep")


def test_losses_are_no_returns():
    orders = log(("a", "2024-01-01", 5.0, 1, "x"), ("a", "2024-01-02", -5.0, 2, "x")).rename(
        columns={"spend": "Profit"}
    )
    with pytest.raises(clv.InputError, match="Losses are no returns.*as a margin.*on_returns='net'"):
        clv.summarize(orders, spend="Profit")
    with pytest.raises(clv.InputError, match="everything came back"):
        clv.summarize(orders, spend="Profit", on_returns="net")


def in_plain_python(orders, *, by_order, by_item):
    """Return what is left of each customer's day, and of each return after each step: stacks, taken from the top."""
    left = orders["spend"].abs().round(4).tolist()
    back = (orders["spend"] < 0).tolist()
    days = pd.to_datetime(orders["date"]).tolist()
    if by_order:
        begun = {}
        for row in range(len(orders)):
            if not back[row]:
                key = (orders["customer_id"].iloc[row], orders["order"].iloc[row])
                begun[key] = min(begun.get(key, days[row]), days[row])
        days = [
            days[row] if back[row] else begun[orders["customer_id"].iloc[row], orders["order"].iloc[row]]
            for row in range(len(orders))
        ]
    label = {name: orders[name].astype(str).tolist() for name in ("customer_id", "order", "item")}

    def step(groups, *, pooled):
        of = {}
        for row in range(len(orders)):
            of.setdefault(groups(row), []).append(row)
        for rows in of.values():

            def key(row):
                ties = (label["order"][row] * by_order, label["item"][row] * by_item)
                return (back[row], days[row], *ties) if pooled else (days[row], back[row], *ties)

            stack = []
            for row in sorted(rows, key=key):
                if not back[row]:
                    stack.append(row)
                    continue
                while stack and left[row] > 1e-9:
                    taken = min(left[row], left[stack[-1]])
                    left[row] = round(left[row] - taken, 4)
                    left[stack[-1]] = round(left[stack[-1]] - taken, 4)
                    if left[stack[-1]] <= 1e-9:
                        stack.pop()

    who = label["customer_id"]
    money, before = {}, sum(left[row] for row in range(len(orders)) if back[row])
    for name in STEPS:
        if name == "inside" and by_order:
            if by_item:
                step(lambda row: (who[row], label["order"][row], label["item"][row]), pooled=True)
            step(lambda row: (who[row], label["order"][row]), pooled=True)
        elif name == "item" and by_item:
            step(lambda row: (who[row], label["item"][row]), pooled=False)
        elif name == "day":
            step(lambda row: (who[row], days[row]), pooled=True)
        elif name == "before":
            step(lambda row: who[row], pooled=False)
        now = sum(left[row] for row in range(len(orders)) if back[row])
        money[name], before = round(before - now, 2), now
    table = pd.DataFrame({"customer_id": who, "day": days, "left": left})[~np.array(back)]
    return table.groupby(["customer_id", "day"])["left"].sum().round(2), money, round(before, 2)


@pytest.mark.parametrize(
    ("by_order", "by_item"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_against_a_loop(by_order, by_item):
    rng = np.random.default_rng(7)
    size = 600
    orders = pd.DataFrame(
        {
            "customer_id": rng.integers(0, 25, size).astype(str),
            "date": (np.datetime64("2024-01-01") + rng.integers(0, 40, size)).astype(str),
            "spend": np.round(rng.gamma(2, 10, size) + 0.01, 2) * np.where(rng.random(size) < 0.35, -1, 1),
            "order": rng.integers(0, 120, size).astype(str),
            "item": rng.integers(0, 4, size).astype(str),
        }
    )
    named = {}
    if by_order:
        named["order_id"] = "order"
    if by_item:
        named["item"] = "item"
    customers = clv.summarize(orders, time_unit="day", **named)
    reconciles(customers)
    days, money, unmet = in_plain_python(orders, by_order=by_order, by_item=by_item)
    bought = days[days > 0]
    net = bought.groupby("customer_id").sum().round(2)
    assert customers["historical_spend"].to_series().round(2).to_dict() == net.to_dict()
    often = bought.groupby("customer_id").size() - 1
    assert customers["frequency"].to_series().to_dict() == often.to_dict()
    steps = by_step(customers)
    assert {step: -steps.get(step, (0, 0.0))[1] + 0.0 for step in STEPS} == money
    assert -steps["unmet"][1] == unmet
    back = sum(rows for name, (rows, _) in steps.items() if name in (*STEPS, "unmet"))
    assert back == (orders["spend"] < 0).sum()
    shuffled = clv.summarize(orders.sample(frac=1, random_state=3), time_unit="day", **named)
    xr.testing.assert_identical(shuffled.drop_attrs(), customers.drop_attrs())
    assert by_step(shuffled) == steps


def test_online_retail_as_it_comes(tmp_path):
    """One call from the public file: every row and penny, every cancellation, and each customer's net revenue."""
    customers = clv.summarize(
        RETAIL, customer_id="CustomerID", date="InvoiceDate", quantity="Quantity", price="UnitPrice",
        order_id="InvoiceNo", item="StockCode", on_bad_rows="drop",
    )  # fmt: skip
    reconciles(customers)
    lines = pd.read_parquet(RETAIL)
    steps = by_step(customers)
    money = lines["Quantity"] * lines["UnitPrice"]
    assert steps["read"] == (541_909, round(money.sum(), 2))
    known = lines["CustomerID"].notna()
    assert steps["dropped"] == (135_080, round(money[~known].sum(), 2))
    cancellation = lines["InvoiceNo"].astype(str).str.startswith("C")
    assert cancellation.sum() == 9288
    accounted = sum(rows for name, (rows, _) in steps.items() if name in (*STEPS, "unmet"))
    assert accounted + (cancellation & ~known).sum() == 9288
    # Independent: what a customer bought less what came back, but for returns of what was never bought here.
    cents = (money[known] * 1000).round().astype(np.int64)
    who = lines.loc[known, "CustomerID"].astype(str)
    net = cents.groupby(who).sum()
    found = (customers["historical_spend"].to_series() * 1000).round().astype(np.int64)
    over = found - net.reindex(found.index)
    assert (over >= 0).all()
    gone = net.drop(found.index)
    unmet = round((over.sum() - gone.sum()) / 1000, 2)
    assert unmet == -steps["unmet"][1]
    exact = over == 0
    assert exact.sum() > 4200
    # Where a customer's returns never exceed what it bought before, net revenue is the plain sum.
    day = lines.loc[known, "InvoiceDate"].dt.normalize()
    running = cents.groupby([who, day]).sum().groupby(level=0).cumsum().groupby(level=0).min()
    assert (over[running.reindex(found.index) < 0] > 0).all()
