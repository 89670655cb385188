"""Each customer's purchase times: what they are, how they stay with their customers, and what is refused."""

import json

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr

import bayes_clv as clv
import bayes_clv.customers as door
from bayes_clv.customers.columns import column_values
from bayes_clv.customers.sequences import with_own_times
from bayes_clv.inference.posterior import read_customers, write_customers
from bayes_clv.schema import InputError

CUTS = {"until": "1997-09-30", "holdout_until": "1998-06-30"}
TIMES = ("purchase_times", "purchase_start")


@pytest.fixture(scope="module")
def orders():
    return door.load_cdnow()[["customer_id", "date", "spend"]]


@pytest.fixture(scope="module")
def customers(orders):
    return door.summarize(orders, **CUTS, also=("purchase_times",))


def own(customers):
    """Return each customer's times by id, read as the docstring of ``summarize`` says."""
    times = customers["purchase_times"].to_numpy()
    table = zip(
        *(customers[name].to_numpy() for name in ("customer", "purchase_start", "frequency")), strict=True
    )
    return {key: times[start : start + frequency].tolist() for key, start, frequency in table}


def test_they_are_the_repeat_purchases_of_the_calibration(orders, customers):
    assert customers["purchase_times"].dims == ("repeat_purchase",)
    assert customers.sizes["repeat_purchase"] == 2457
    assert customers["purchase_times"].dtype == np.float64
    assert customers["purchase_start"].dtype == np.int64
    frequency = customers["frequency"].to_numpy()
    start, many = customers["purchase_start"].to_numpy(), frequency > 1
    np.testing.assert_array_equal(start[many], (np.cumsum(frequency) - frequency)[many])
    # By another road: sorted days of pandas.
    days = orders.loc[orders["date"] <= CUTS["until"], ["customer_id", "date"]].drop_duplicates()
    days = days.sort_values(["customer_id", "date"])
    since = (days["date"] - days.groupby("customer_id")["date"].transform("first")).dt.days
    np.testing.assert_array_equal(customers["purchase_times"], since[since > 0] / 7.0)
    for key in ("0001", "0026", "2357"):
        dates = door.purchase_dates(orders, key)
        known = dates[dates <= np.datetime64(CUTS["until"])]
        assert own(customers)[key] == ((known[1:] - known[0]).astype(int) / 7.0).tolist()


def test_customers_chosen_among_others_may_travel_with_their_own_times_alone(customers):
    some = customers.isel(customer=slice(1000, 1100))
    cut = with_own_times(some)
    assert cut.sizes["repeat_purchase"] == int(some["frequency"].sum()) < customers.sizes["repeat_purchase"]
    assert own(cut) == own(some)
    assert cut.drop_vars(TIMES).identical(some.drop_vars(TIMES))
    assert cut["purchase_start"].attrs == customers["purchase_start"].attrs
    assert with_own_times(some.drop_vars(TIMES)).identical(some.drop_vars(TIMES))


@pytest.mark.parametrize(
    ("unit", "days"), [("hour", 1 / 24), ("day", 1.0), ("week", 7.0), ("month", 30.436875)]
)
def test_the_last_is_the_recency_to_the_last_bit(orders, customers, unit, days):
    found = door.summarize(orders, time_unit=unit, **CUTS, also=("purchase_times",))
    repeat = found["frequency"].to_numpy() > 0
    last = (found["purchase_start"] + found["frequency"] - 1).to_numpy()[repeat]
    times = found["purchase_times"].to_numpy()
    np.testing.assert_array_equal(times[last], found["recency"].to_numpy()[repeat])
    assert found["purchase_times"].attrs["units"] == unit
    # Each is a whole number of days divided once: another unit is off by two roundings.
    np.testing.assert_allclose(times * days, customers["purchase_times"] * 7.0, rtol=4e-16)
    np.testing.assert_array_equal(found["purchase_start"], customers["purchase_start"])


def test_they_are_there_on_request_and_change_nothing_else(orders, customers):
    plain = door.summarize(orders, **CUTS)
    assert not set(TIMES) & set(plain)
    xr.testing.assert_identical(customers.drop_vars(TIMES), plain)


def test_by_hand_with_several_orders_a_day_a_holdout_and_a_newcomer():
    log = pd.DataFrame(
        [
            ("b", "2024-01-03"),
            ("a", "2024-01-08 23:59:00"),
            ("a", "2024-01-01"),
            ("a", "2024-01-03 10:00:00"),
            ("a", "2024-01-03 18:00:00"),
            ("a", "2024-02-02"),
            ("c", "2024-01-20"),
            ("c", "2024-01-31"),
            ("late", "2024-02-10"),
            ("late", "2024-02-11"),
        ],
        columns=["customer_id", "date"],
    )
    cuts = {"until": "2024-02-01", "holdout_until": "2024-03-01", "time_unit": "day"}
    found = door.summarize(log, spend=None, **cuts, also=("purchase_times", "log_intervals"))
    assert own(found) == {"a": [2.0, 7.0], "b": [], "c": [11.0]}
    assert found["purchase_start"].to_numpy().tolist() == [0, 0, 2]


def test_rows_in_any_order_from_any_table_give_the_same_bits(tmp_path, orders, customers):
    shuffled = orders.sample(frac=1, random_state=np.random.default_rng(1))
    shuffled.to_csv(tmp_path / "orders.csv", index=False)
    shuffled.to_parquet(tmp_path / "orders.parquet")
    connection = ibis.duckdb.connect()
    for table in (
        tmp_path / "orders.csv",
        tmp_path / "orders.parquet",
        connection.read_parquet(tmp_path / "orders.parquet"),
    ):
        again = door.summarize(table, **CUTS, also=("purchase_times",))
        for name in TIMES:
            xr.testing.assert_identical(again[name], customers[name])


def test_an_engine_that_sorts_ids_by_the_rules_of_a_language(orders, customers):
    """Upper and lower case lie beside each other there, and far from each other here."""
    cased = orders.assign(customer_id=[("X" if int(key) % 2 else "x") + key for key in orders["customer_id"]])
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET default_collation = 'nocase'")
    found = door.summarize(
        connection.create_table("orders", pa.Table.from_pandas(cased)), **CUTS, also=("purchase_times",)
    )
    assert found["customer"].to_numpy().tolist() == sorted(found["customer"].to_numpy())
    assert {key[1:]: times for key, times in own(found).items()} == own(customers)


def test_they_stay_with_their_customers(customers):
    every = own(customers)
    rng = np.random.default_rng(2)
    for chosen in (rng.permutation(2357), np.flatnonzero(customers["frequency"] > 2)[::-1], [5]):
        some = customers.isel(customer=chosen)
        door.check(some)
        assert own(some) == {key: every[key] for key in some["customer"].to_numpy()}
    twice = customers.isel(customer=[0, 1, 0])
    assert twice["purchase_start"].to_numpy()[[0, 2]].tolist() == [0, 0]


@pytest.mark.parametrize("unit", ["day", "week"])
def test_they_come_back_from_a_file(orders, tmp_path, unit):
    found = door.summarize(orders, time_unit=unit, **CUTS, also=("purchase_times",))
    once = orders.drop_duplicates("customer_id")
    nobody = door.summarize(once, until=CUTS["until"], time_unit=unit, also=("purchase_times",))
    assert nobody.sizes["repeat_purchase"] == 0
    for kept in (found, found.isel(customer=[9, 3]), nobody):
        again = read_customers(write_customers(kept, tmp_path / "customers.nc"))
        xr.testing.assert_identical(again, kept)
        assert again["purchase_start"].dtype == np.int64
        assert again["purchase_times"].dtype == np.float64


def lists(customers):
    names = ["frequency", "recency", "T", "monetary_value"]
    return customers[names].to_dataframe().assign(purchase_times=list(own(customers).values()))


@pytest.mark.parametrize("make", [list, tuple, np.array, lambda times: np.array(times, dtype=object)])
def test_a_table_brings_them_as_lists(customers, make, tmp_path):
    table = lists(customers)
    table["purchase_times"] = table["purchase_times"].map(make)
    again = door.from_table(table.sample(frac=1, random_state=3), time_unit="week")
    names = ["frequency", "recency", "T", "monetary_value", *TIMES]
    xr.testing.assert_equal(again, customers[names])
    assert again["purchase_start"].dtype == np.int64
    assert again["purchase_times"].attrs == customers["purchase_times"].attrs
    table.to_parquet(tmp_path / "customers.parquet")
    xr.testing.assert_identical(
        door.from_table(pd.read_parquet(tmp_path / "customers.parquet"), time_unit="week"), again
    )


def test_whole_numbers_are_times(customers):
    table = pd.DataFrame(
        {"frequency": [2, 0], "recency": [5, 0], "T": [9, 9], "purchase_times": [[3, 5], np.array([], int)]}
    )
    assert own(door.from_table(table)) == {"0": [3.0, 5.0], "1": []}


def three(times, **changes):
    columns = {"frequency": [2, 1, 0], "recency": [30.43, 1.71, 0.0], "T": 38.86, "purchase_times": times}
    return pd.DataFrame(columns | changes, index=list("abc"))


GOOD = [[2.0, 30.43], [1.71], []]


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([[np.nan, 30.43], [1.71], []], "missing or infinite for 1 of 3 customers, for example customer 'a'"),
        ([[2.0, None], [1.71], []], "missing or infinite for 1 of 3 customers, for example customer 'a'"),
        (
            [[2.0, 30.43], [np.inf], []],
            "customer 'b' with purchase_times inf. They are the ages at the repeat",
        ),
        ([[0.0, 30.43], [1.71], []], "0 or negative for 1 of 3.*'a' with purchase_times 0. .*first itself"),
        ([[2.0, 30.43], [-1.71], []], "0 or negative for 1 of 3.*'b' with purchase_times -1.71"),
        ([[31.0, 30.43], [1.71], []], r"unsorted for 1 of 3.*'a' with purchase_times 30.43. .*map\(sorted\)"),
        ([[30.43, 30.43], [1.71], []], "twice the same for 1 of 3.*'a' with purchase_times 30.43.*one day"),
        (
            [[2.0, 38.9], [1.71], []],
            "above T for 1 of 3.*'a' with purchase_times 38.9 and T 38.86. Leave out",
        ),
        (
            [[2.0, 30.44], [1.71], []],
            "not the recency at the last purchase for 1 of 3.*30.44 and recency 30.43.*double precision",
        ),
        (
            [[2.0, 30.43], [1.71 * (1 + 2e-9)], []],
            "not the recency at the last purchase for 1 of 3 customers, for example customer 'b'",
        ),
        (
            [[1.0, 2.0, 30.43], [], []],
            "of another number than frequency for 2 of 3.*'a' with purchase_times 3 and frequency 2",
        ),
        ([[2.0, 30.43], [1.71], None], "missing for 1 of 3 customers, for example customer 'c'.*empty list"),
        ([[2.0, 30.43], [1.71], np.nan], "missing for 1 of 3 customers, for example customer 'c'"),
        (
            ["[2.0, 30.43]", "[1.71]", "[]"],
            r"no list of numbers for 3 of 3 customers, for example '\[2.0, 30.43\]' of customer 'a'.*json.loads",
        ),
        (
            [[2.0, 30.43], ["x"], []],
            "no list of numbers for 1 of 3 customers, for example .* of customer 'b'",
        ),
        ([2.0, 1.71, 0.0], "no list of numbers for 3 of 3 customers, for example '2.0' of customer 'a'"),
    ],
)
def test_times_that_cannot_be_are_refused(times, words):
    assert own(door.from_table(three(GOOD)))["a"] == [2.0, 30.43]
    with pytest.raises(InputError, match=words):
        door.from_table(three(times))


def test_a_rounding_of_the_last_digits_passes_and_stays():
    last = 30.43 * (1 + 5e-10)
    found = door.from_table(three([[2.0, last], [1.71], []]))
    assert own(found)["a"] == [2.0, last]
    assert float(found["recency"].sel(customer="a")) == 30.43


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.drop_vars("purchase_start"), "have 'purchase_times' and lack 'purchase_start'.*also="),
        (
            lambda d: d.drop_vars("purchase_times"),
            "have 'purchase_start' and lack 'purchase_times'.*drop_vars",
        ),
        (
            lambda d: d.assign(purchase_start=d["purchase_start"] + 1),
            "'purchase_start' is no place among the 3 purchase times.*for 1 of 3.*'b' with purchase_start 3 and freq",
        ),
        (
            lambda d: d.assign(purchase_start=d["purchase_start"] - 1),
            "for 2 of 3.*'a' with purchase_start -1",
        ),
        (lambda d: d.assign(purchase_start=d["purchase_start"] + 0.5), "for 3 of 3.*purchase_start 0.5"),
        (lambda d: d.isel(repeat_purchase=slice(2)), "no place among the 2 purchase times.*for 1 of 3"),
        (
            lambda d: d.assign(frequency=d["frequency"] * 2),
            "'purchase_start' is no place.*purchase_start 0 and frequency 4",
        ),
        (
            lambda d: d.assign(purchase_start=("customer", [1, 2, 3])),
            "'purchase_times' is unsorted for 1 of 3 customers, for example customer 'a'",
        ),
        (
            lambda d: d.drop_vars("purchase_times").assign(purchase_times=("customer", [1.0, 2.0, 3.0])),
            r"'purchase_times' has the dimensions \(customer\) where it has \(repeat_purchase\)",
        ),
    ],
)
def test_an_edited_dataset_is_checked_again(change, words):
    known = door.from_table(three(GOOD), time_unit="week")
    with pytest.raises(InputError, match=words):
        door.check(change(known))


def test_every_customer_of_many_is_checked(customers):
    """The one wrong time is found wherever it is, and its customer named."""
    rng = np.random.default_rng(4)
    shuffled = customers.isel(customer=rng.permutation(2357))
    place = rng.choice(2457, 5, replace=False)
    keys = np.repeat(customers["customer"].to_numpy(), customers["frequency"].to_numpy())
    for i in place:
        times = customers["purchase_times"].to_numpy().copy()
        times[i] = -1.0
        with pytest.raises(InputError, match=f"for 1 of 2,357 customers, for example customer '{keys[i]}'"):
            door.check(shuffled.assign(purchase_times=("repeat_purchase", times)))


def test_equal_histories_of_at_most_one_repeat_are_equal_numbers(customers):
    frequency, recency, start = (customers[n].to_numpy() for n in ("frequency", "recency", "purchase_start"))
    assert (start[frequency == 0] == 0).all()
    assert len(set(start[frequency == 1])) == len(set(recency[frequency == 1]))
    assert len(set(start[frequency > 1])) == (frequency > 1).sum()


def test_where_the_times_lie_is_no_quantity_of_a_customer(customers, make_buying):
    some = customers.isel(customer=slice(50))
    draws = clv.simulate(make_buying(draws=10), some, "26 weeks", draws=20, seed=1)
    assert not set(TIMES) & set(draws.names)
    for name in TIMES:
        with pytest.raises(InputError, match=f"no column '{name}'"):
            column_values(some, name)
        with pytest.raises(InputError, match=f"'{name}' means something else"):
            clv.with_columns(some, pd.Series(1.0, index=some["customer"].values, name=name))
    with pytest.raises(InputError, match="'repeat_purchase' means something else"):
        clv.with_columns(some, pd.Series(1.0, index=some["customer"].values, name="repeat_purchase"))


def test_the_road_goes_as_without_them(customers, make_buying):
    some = customers.isel(customer=np.arange(200)[::-1])
    plain = some.drop_vars(TIMES)
    buying = make_buying(draws=10)
    length = float(some.attrs["holdout_duration"])
    future, usual = (clv.predict(buying, each, length, seed=1) for each in (some, plain))
    xr.testing.assert_identical(future, usual)
    pd.testing.assert_frame_equal(clv.table(future), clv.table(usual))
    xr.testing.assert_identical(
        clv.evaluate(future, some, buying=buying), clv.evaluate(usual, plain, buying=buying)
    )
    scored, without = (clv.scoring.score(future, each, buying=buying) for each in (some, plain))
    xr.testing.assert_identical(scored, without)
    tracked, other = (clv.scoring.simulate_tracking(buying, each, seed=2) for each in (some, plain))
    xr.testing.assert_identical(tracked, other)
    alarms, warned = (clv.churn_alarms(buying, each) for each in (some, plain))
    xr.testing.assert_identical(alarms, warned)


@pytest.mark.parametrize("with_spend", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_times_of_whole_numbers_are_those_of_their_text(with_spend, shuffled):
    generator = np.random.default_rng(5)
    ids = generator.choice([3, 20, 100, 7, -4, 2**40], 400)
    log = pd.DataFrame(
        {
            "customer_id": ids,
            "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.integers(0, 300, 400), "D"),
            "spend": np.arange(400.0),
        }
    )
    also = ("purchase_spend", "purchase_times") if with_spend else ("purchase_times",)
    # Returns leave the days to the engine, in no order.
    log = pd.concat([log, log.head(1).assign(spend=-0.0001)]) if shuffled else log
    numbers, texts = (clv.summarize(each, also=also) for each in (log, log.astype({"customer_id": str})))
    texts = texts.sel(customer=numbers["customer"])
    for name in ("frequency", "recency", "T", "historical_spend", "monetary_value"):
        assert np.array_equal(numbers[name], texts[name], equal_nan=True)
    for place in range(numbers.sizes["customer"]):
        for name, start in (("purchase_times", "purchase_start"), ("purchase_spend", "spend_start"))[
            : 1 + with_spend
        ]:
            one, other = (
                each[name].values[int(each[start][place]) :][: int(each["frequency"][place])]
                for each in (numbers, texts)
            )
            assert np.array_equal(one, other)
            assert name == "purchase_spend" or (np.diff(one) > 0).all()


def test_rows_equal_to_one_that_is_left_out_are_counted():
    log = pd.DataFrame(
        {"customer_id": [1, 1, 1, 2, 2], "date": ["2024-01-01"] * 5, "spend": [1.0, 1.0, 1.0, np.nan, np.nan]}
    )
    found = json.loads(clv.summarize(log, on_bad_rows="drop").attrs["audit"])
    assert [line["rows"] for line in found if line["what"].startswith("Rows that are equal")] == [3]
