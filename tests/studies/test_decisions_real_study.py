"""The study of decisions on real bases: its parts on few customers, and what it puts into the log."""

import numpy as np
import pandas as pd
import pytest

from studies import bases
from studies import decisions_real as study


def test_four_tenths_of_the_repeat_orders_of_a_sale_are_doubled():
    orders = bases.online_retail()
    doubled = study.with_sales(orders)
    added = doubled.iloc[len(orders) :]
    dates = pd.to_datetime(orders["date"])
    first = dates.groupby(orders["customer_id"]).transform("min")
    inside = np.zeros(len(orders), dtype=bool)
    for start, end in study.SALES:
        inside |= ((dates >= start) & (dates <= end) & (dates > first)).to_numpy()
    # Binomial; some customers have ordered on every day that is left.
    repeats = int(inside.sum())
    assert repeats > 300
    assert abs(len(added) / repeats - study.EFFECT) < 4 * np.sqrt(0.4 * 0.6 / repeats)
    days = pd.to_datetime(added["date"])
    assert ((days >= study.SALES[0][0]) & (days <= study.SALES[1][1])).all()
    assert (
        not doubled.duplicated(["customer_id", "date"]).sum()
        > orders.duplicated(["customer_id", "date"]).sum()
    )


@pytest.mark.parametrize("part", [pytest.param("own costs", marks=pytest.mark.full), "waves and weights"])
def test_a_part_on_few_customers(part, capsys):
    found, drawn = study.parts(study.QUICK)[part]()
    assert {each["rule"] for each in found} == ({4, 5} if part == "own costs" else {8, 9})
    assert all(np.isfinite(each["found"]) for each in found)
    assert drawn
    if part == "own costs":
        assert found[0]["holds"]


def test_what_must_lie_between_two_ends():
    assert study.row(1, "x", 1.4, 1.0, 2.0)["holds"]
    assert not study.row(1, "x", 2.1, 1.0, 2.0)["holds"]
