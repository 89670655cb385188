"""The audit of the base: every number again with pandas, on CDNOW and on a log with returns and idle customers."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.customers import audit_base
from bayes_clv.customers.base_audit import FLOWS, MOST_ORDERS, label_of

CODE = {"month": "M", "quarter": "Q", "year": "Y"}


def by_pandas(log, period):
    """Return one row a customer and period of a log of days: orders and spend."""
    days = log.groupby(["customer_id", "date"], as_index=False)["spend"].sum()
    days["period"] = days["date"].dt.to_period(CODE[period])
    return (
        days.groupby(["customer_id", "period"])
        .agg(orders=("date", "size"), spend=("spend", "sum"))
        .reset_index()
    )


def check(found, each):
    """Hold an audit against rows of customers and periods."""
    periods = pd.period_range(each["period"].min(), each["period"].max())
    starts = periods.start_time.to_numpy().astype("datetime64[D]")
    np.testing.assert_array_equal(found["period"].values.astype("datetime64[D]"), starts)
    each = each.assign(cohort=each.groupby("customer_id")["period"].transform("min"))
    table = each.groupby(["cohort", "period"]).agg(
        active=("spend", "size"), orders=("orders", "sum"), spend=("spend", "sum")
    )
    for name in ("active", "orders", "spend"):
        wanted = (
            table.pivot_table(index="cohort", columns="period", values=name)
            .reindex(index=periods, columns=periods)
            .fillna(0)
            .to_numpy()
        )
        ours = found[f"cohort_{name}"].values
        assert np.isnan(ours[np.tril_indices(len(periods), -1)]).all()
        np.testing.assert_allclose(np.nan_to_num(ours), wanted)
        np.testing.assert_allclose(found[name], wanted.sum(axis=0))
    np.testing.assert_allclose(
        found["cohort_size"], each.groupby("cohort")["customer_id"].nunique().reindex(periods).fillna(0)
    )
    wide = each.pivot_table(index="customer_id", columns="period", values="spend", aggfunc="sum").reindex(
        columns=periods
    )
    there = wide.notna().to_numpy()
    spend = wide.fillna(0).to_numpy()
    for k in range(1, len(periods)):
        ever = there[:, :k].any(axis=1)
        stayed, lapsed = there[:, k] & there[:, k - 1], ~there[:, k] & there[:, k - 1]
        new, returned = there[:, k] & ~ever, there[:, k] & ever & ~there[:, k - 1]
        at = found.isel(period=k)
        for flow, who in zip(FLOWS, (stayed, returned, new, lapsed), strict=True):
            assert float(at["flow_customers"].sel(flow=flow)) == who.sum(), (k, flow)
            assert float(at["flow_spend"].sel(flow=flow)) == pytest.approx(spend[who, k].sum())
            assert float(at["flow_spend_before"].sel(flow=flow)) == pytest.approx(
                spend[who, k - 1].sum() * (flow != "returned")
            )
        assert float(at["spent_more"]) == (spend[stayed, k] > spend[stayed, k - 1]).sum()
    assert np.isnan(found["flow_customers"].values[0]).all()
    for k, period in enumerate(periods):
        here = each[each["period"] == period]
        made = here["orders"].clip(upper=MOST_ORDERS).value_counts()
        np.testing.assert_array_equal(
            found["orders_customers"].values[k], made.reindex(range(1, MOST_ORDERS + 1)).fillna(0)
        )
        ordered = np.sort(here["spend"].to_numpy())[::-1]
        parts = np.array_split(ordered, 10)
        np.testing.assert_allclose(found["decile_spend"].values[k], [part.sum() for part in parts])
        np.testing.assert_array_equal(found["decile_customers"].values[k], [len(part) for part in parts])
        assert found["decile_orders"].values[k].sum() == here["orders"].sum()


@pytest.mark.parametrize("period", ["quarter", "year"])
def test_cdnow_again_with_pandas(period):
    log = clv.load_cdnow()
    log["date"] = pd.to_datetime(log["date"])
    found = audit_base(log, period=period)
    check(found, by_pandas(log, period))
    assert found["whole"].values.tolist() == ([True] * 6 if period == "quarter" else [True, False])
    assert found.attrs["customers"] == 2357


@pytest.fixture(scope="module")
def shop_log():
    """200 customers over 14 months with whole-number amounts, a month without orders, and returns."""
    rng = np.random.default_rng(4)
    size = 1500
    day = pd.Timestamp("2024-02-05") + pd.to_timedelta(rng.integers(0, 420, size), unit="D")
    log = pd.DataFrame(
        {
            "customer_id": rng.integers(0, 200, size).astype(str),
            "date": day,
            "spend": rng.integers(1, 400, size),
        }
    )
    return log[log["date"].dt.to_period("M") != pd.Period("2024-09", "M")].reset_index(drop=True)


def test_months_one_of_them_without_orders(shop_log):
    found = audit_base(shop_log, period="month")
    check(found, by_pandas(shop_log, "month"))
    idle = list(found["period"].dt.strftime("%Y-%m").values).index("2024-09")
    assert float(found["active"][idle]) == 0
    assert float(found["flow_customers"].sel(flow="stayed")[idle + 1]) == 0
    assert found["whole"].values.tolist() == [True, *[True] * 12, False]


def test_a_log_to_a_day_and_one_that_begins_late(shop_log):
    found = audit_base(shop_log, period="month", until="2024-12-31")
    check(found, by_pandas(shop_log[shop_log["date"] <= "2024-12-31"], "month"))
    assert found["whole"].values.all()
    late = audit_base(shop_log[shop_log["date"] >= "2024-02-20"], period="month")
    assert not late["whole"].values[0]


def test_returns_are_set_against_what_was_bought(shop_log):
    back = shop_log.groupby("customer_id").head(1).assign(spend=lambda rows: -rows["spend"])
    both = pd.concat([shop_log, back], ignore_index=True)
    found, customers = audit_base(both, period="quarter"), clv.summarize(both)
    assert float(found["spend"].sum()) == pytest.approx(float(customers["historical_spend"].sum()))
    assert float(found["orders"].sum()) == float((customers["frequency"] + 1).sum())
    assert float(found["spend"].sum()) < 0.95 * shop_log["spend"].sum()


def test_purchases_alone(shop_log):
    found, paid = (audit_base(shop_log, period="quarter", spend=each) for each in (None, "spend"))
    assert not [name for name in found if "spend" in str(name)]
    for name in ("active", "orders", "cohort_active", "flow_customers", "orders_customers"):
        np.testing.assert_array_equal(found[name], paid[name])
    assert (
        np.diff(found["decile_orders"].values / np.maximum(found["decile_customers"].values, 1), axis=1)[:4]
        <= 0
    ).all()


def test_what_periods_are_called():
    assert [label_of("2024-10-01", each) for each in CODE] == ["2024-10", "2024 Q4", "2024"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"period": "week"}, "period='week' is not known. Use one of month, quarter, year"),
        ({"period": "year", "until": "2024-12-31"}, "All orders to 2024-12-31 are of one year"),
        ({"until": "2020-01-01"}, "until='2020-01-01' is before the first order"),
        ({"spend": "amount"}, "has no column 'amount'"),
        ({"until": "soon"}, "is not a day"),
    ],
)
def test_what_cannot_be_audited_is_refused(shop_log, options, message):
    with pytest.raises(clv.InputError, match=message):
        audit_base(shop_log, **options)
