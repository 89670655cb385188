"""What a log is said to be: dates and amounts as people write them, conditions, lines of orders, columns along."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.customers.orders.amounts import read_amount
from bayes_clv.customers.orders.dates import read_format

DAYS = pd.to_datetime(["2023-02-03", "2023-02-13", "2023-03-01", "2023-03-01", "2023-05-13", "2023-06-01"])
PLAIN = pd.DataFrame(
    {
        "customer_id": ["a", "a", "b", "c", "b", "c"],
        "date": DAYS,
        "spend": [1234.5, 8.68, 12.5, 3.0, 1000.0, 0.99],
    }
)
GERMAN = ["1.234,50 €", "8,68 €", "12,50", "3", "1.000 €", "0,99 EUR"]


def lines(customers, action=None):
    found = json.loads(customers.attrs["audit"])
    return [line for line in found if action in (None, line["action"])]


def same(left, right):
    xr.testing.assert_identical(left.drop_attrs(), right.drop_attrs())


def refusal(orders, **options):
    with pytest.raises(clv.InputError) as caught:
        clv.summarize(orders, **options)
    return str(caught.value)


@pytest.fixture(scope="module")
def plain():
    return clv.summarize(PLAIN)


# Dates.


@pytest.mark.parametrize(
    "form",
    ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", "%Y/%m/%d", "%d %b %Y", "%B %d, %Y", "%Y-%m-%d %H:%M:%S", "%m/%d/%Y %I:%M %p",
     "%d-%m-%Y %T", "%F %R", "%D", "day %d of %m in %Y (%%)"],
)  # fmt: skip
def test_dates_by_a_format(form, plain, tmp_path):
    written = PLAIN.assign(date=[day.strftime(form) for day in DAYS])
    same(clv.summarize(written, date_format=form), plain)
    written.to_csv(tmp_path / "orders.csv", index=False)
    same(clv.summarize(tmp_path / "orders.csv", date_format=form), plain)


def test_a_format_reads_what_strptime_reads():
    texts = [
        "3/2/2023",
        "03/02/2023",
        "31/02/2023",
        "13/13/2023",
        " 3/2/2023",
        "3/2/2023 10:00",
        "3/2/23",
        "",
        "3-2-2023",
    ]
    orders = pd.DataFrame({"customer_id": "a", "date": texts, "spend": 1.0})
    read = clv.summarize(orders, date_format="%d/%m/%Y", on_bad_rows="drop")
    assert lines(read, "kept")[0]["rows"] == 3
    assert str(read["first_order"].values[0])[:10] == "2023-02-03"


def test_short_years_turn_at_1969():
    orders = pd.DataFrame({"customer_id": ["a", "b"], "date": ["01.01.69", "01.01.68"], "spend": 1.0})
    read = clv.summarize(orders, date_format="%d.%m.%y")
    assert read["first_order"].dt.year.values.tolist() == [1969, 2068]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("%d/%m", "must hold year, month and day"),
        ("%Y-%m-%d %d", "must hold year, month and day"),
        ("%x", "'%x', which is not known here"),
        ("%Y-%m-%d %H:%M %Z", "which day is meant"),
        ("soon", "must hold year, month and day"),
        (7, "is no text"),
    ],
)
def test_formats_that_give_no_day(form, message):
    assert message in refusal(PLAIN, date_format=form)


def test_a_format_for_a_column_of_dates():
    assert "holds dates already" in refusal(PLAIN, date_format="%d/%m/%Y")


@pytest.mark.parametrize(
    "form", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d/%m/%Y %H:%M", "%d.%m.%y", "%d %b %Y"]
)
def test_dates_that_settle_their_format(form, plain):
    written = PLAIN.assign(date=[day.strftime(form) for day in DAYS])
    message = refusal(written)
    assert f"Say date_format={form!r}, which reads every date of the column" in message
    if "%b" not in form:
        thirteenth = next(day for day in DAYS if day.day == 13).strftime(form)
        assert f"{thirteenth!r} settles the order of day and month" in message
    same(clv.summarize(written, date_format=form), plain)


def test_dates_that_do_not():
    written = PLAIN.assign(date="03/11/2025")
    message = refusal(written)
    assert "no date of the column settles it: say date_format='%d/%m/%Y' or date_format='%m/%d/%Y'" in message
    assert "With the first, '03/11/2025' is 2025-11-03" in message
    mixed = PLAIN.assign(date=["13/05/2023", "05/13/2023", *["01/01/2023"] * 4])
    assert "No one format reads the column: date_format='%d/%m/%Y' reads 5 of its 6 dates" in refusal(mixed)
    # A format that was said is held beside the others, and what it does not read is shown.
    mistyped = PLAIN.assign(date=["18,04.2024", *["19.04.2024"] * 5])
    said = "date_format='%d.%m.%Y' reads 5 of its 6 dates, and not '18,04.2024'. Correct the others."
    assert said in refusal(mistyped)
    assert said in refusal(mistyped, date_format="%d.%m.%Y")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("2024-05", "They name months, and no days. Export the day of each order"),
        ("05/2024", "They name months, and no days."),
        ("May 2024", "They name months, and no days."),
        ("2024 Q2", "They name months, and no days."),
        ("2024-W15-4", "They are days of ISO weeks. pandas.to_datetime"),
    ],
)
def test_dates_without_a_day_and_of_weeks(text, advice):
    assert advice in refusal(PLAIN.assign(date=text))
    assert advice not in refusal(PLAIN.assign(date=["2024-05-01"] * 5 + [text]))


@pytest.mark.parametrize(
    "text", ["2020-01-01 99:99", "2020-01-01 24:00", "2020-01-01 10:60", "2020-01-01T10:00:61"]
)
def test_times_that_are_none(text):
    message = refusal(PLAIN.assign(date=["2020-01-01"] * 5 + [text]))
    assert (
        f"1 row of 6 with a date that cannot be read, for example customer_id 'c', date {text!r}" in message
    )


# Amounts.


@pytest.mark.parametrize(
    ("decimal", "texts"),
    [
        (",", GERMAN),
        (".", ["$1,234.50", "$8.68", "$12.50", "$3", "$1,000.00", "$.99"]),
        (".", ["CHF 1'234.50", "CHF 8.68", "CHF 12.5", "CHF 3.00", "CHF 1'000", "CHF 0.99"]),
        (",", ["1\u202f234,50 €", "8,68 €", "12,50\u00a0€", "3,00 €", "1 000,00 €", "0,99 €"]),
        (".", ["₹1,234.50", "₹8.68", "₹12.50", "₹3", "₹1,000", "₹0.99"]),
    ],
)
def test_amounts_with_marks_and_signs(decimal, texts, plain, tmp_path):
    written = PLAIN.assign(spend=texts)
    if len({text.strip("0123456789.,' \u202f\u00a0") for text in texts} - {""}) == 1:
        same(clv.summarize(written, decimal=decimal), plain)
        written.to_csv(tmp_path / "orders.csv", index=False, sep=";")
        same(clv.summarize(tmp_path / "orders.csv", decimal=decimal), plain)
    assert f"Say decimal={decimal!r}, which reads every amount of the column" in refusal(written)


@pytest.mark.parametrize(
    ("text", "decimal", "amount"),
    [("(12.50)", ".", -12.5), ("12,50-", ",", -12.5), ("-$1,234.50", ".", -1234.5), ("$-3", ".", -3),
     ("−3,5 €", ",", -3.5),
     ("1,00,000", ".", 100000), ("1.2", ",", None), ("1,23", ".", None), ("12.345.6", ",", None), ("5 5", ".", None),
     ("$", ".", None), ("1,234,56", ",", None), ("+7", ".", 7), ("1e3", ".", None), ("12.50)", ".", None)],
)  # fmt: skip
def test_one_amount(text, decimal, amount):
    import ibis

    assert ibis.duckdb.connect().to_pyarrow(read_amount(ibis.literal(text), decimal)).as_py() == amount


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (str, {}),
        ("{:%Y%m%d}".format, {}),
        (lambda day: int(f"{day:%Y%m%d}"), {}),
        ("{:%d.%m.%Y}".format, {"date_format": "%d.%m.%Y"}),
        ("{:%m/%d/%Y}".format, {"date_format": "%m/%d/%Y"}),
        (lambda day: day, {}),
    ],
)
def test_days_are_ordered_as_days_in_a_condition(written, said, plain):
    """As texts 13.05.2023 is later than 02.06.2023."""
    orders = PLAIN.assign(date=[written(day) for day in pd.to_datetime(PLAIN["date"]).dt.date])
    late = PLAIN[pd.to_datetime(PLAIN["date"]) >= "2023-03-01"]
    assert 0 < len(late) < len(PLAIN)
    found = clv.summarize(orders, where="date >= '2023-03-01'", **said)
    same(found, clv.summarize(late))
    for other in ("01.03.2023", "3/1/2023", "March"):
        message = refusal(orders, where=f"date >= '{other}'", **said)
        assert f"compares the dates of column 'date' with '{other}'. Write the day as 1997-01-31" in message


@pytest.mark.parametrize(
    "amount",
    [
        *("1.5k", "1,5 Tsd.", "2M", "3 mio", "4 Mrd", "2 bn", "12¢", "12 c", "12 p", "12 ct", "12 cents"),
        *("12.50 CR", "12.50 DR", "CR12.50", "--12", "++12", "-$-12", "+-12", "-12-", "(-12)", "12.-5"),
    ],
)
def test_amounts_that_are_not_what_their_digits_say(amount):
    """Thousands and millions, hundredths, credits and debits, and signs that there are twice."""
    for decimal in (".", ","):
        shown = amount if decimal == "." else amount.translate(str.maketrans(".,", ",."))
        message = refusal(PLAIN.assign(spend=[shown, *["5"] * (len(PLAIN) - 1)]), decimal=decimal)
        assert "1 row of 6 with a spend that is not a number" in message


@pytest.mark.parametrize("amount", ["12,-", "12.-", "12,--", "CHF 12.–", "12,— €", "kr 12,-", "12.- EUR"])
def test_a_dash_for_no_hundredths_is_no_minus(amount):
    for decimal in (".", ","):
        found = clv.summarize(PLAIN.assign(spend=[amount, *["5"] * (len(PLAIN) - 1)]), decimal=decimal)
        same(found, clv.summarize(PLAIN.assign(spend=[12.0, *[5.0] * (len(PLAIN) - 1)])))


def test_amounts_that_do_not_settle_their_mark():
    orders = PLAIN.assign(spend=["1,234"] * 6)
    assert "No amount of the column settles it: say decimal='.' or decimal=','" in refusal(orders)
    some = PLAIN.assign(spend=[*GERMAN[:5], "free"])
    assert "decimal=',' reads 5 of the 6 amounts of the column. Correct the others." in refusal(some)


def test_currencies_are_not_added_up():
    message = refusal(PLAIN.assign(spend=["$1", "$2", "3 €", "4", "5", "6"]), decimal=".")
    assert "has amounts in 2 currencies: $ in 2 rows, € in 1 row" in message
    assert "where" in message


@pytest.mark.parametrize("text", ["1e-400", "0." + "0" * 400 + "1"])
def test_an_amount_too_small_to_be_a_number_is_not_free(text):
    assert "1 row of 6 with a spend that rounds to zero" in refusal(PLAIN.assign(spend=["1"] * 5 + [text]))


def test_traces_of_sums():
    message = refusal(PLAIN.assign(spend=[1.0, 2.0, 0.1 + 0.2 - 0.3, 1, 1, 1]))
    assert "what sums of binary fractions leave of zero: round the column" in message


def test_all_faults_of_a_german_export_in_one_message(tmp_path, plain):
    written = PLAIN.assign(date=DAYS.strftime("%d.%m.%Y"), spend=[text.strip(" €EUR") for text in GERMAN])
    written.to_csv(tmp_path / "orders.csv", index=False, sep=";")
    message = refusal(tmp_path / "orders.csv")
    assert "6 rows of 6 with a date that cannot be read" in message
    assert "Say date_format='%d.%m.%Y'" in message
    assert "'1.234,50'" in message
    assert "Say decimal=','" in message
    same(clv.summarize(tmp_path / "orders.csv", date_format="%d.%m.%Y", decimal=","), plain)


# Conditions.


EXPORT = pd.DataFrame(
    {
        "customer_id": ["a", "a", None, "c", "b", "c"],
        "date": DAYS.strftime("%Y-%m-%d"),
        "spend": [1.0, 2, 3, 4, 5, 6],
        "order status": ["completed", "Completed", "test", None, "completed", "completed"],
        "channel": ["web", "shop", "web", "web", "it's", "app"],
        "paid": [True, True, False, False, True, True],
        "pieces": ["1", "2", "3", "4", "5", ""],
    }
)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("`order status` = 'completed'", [0, 4, 5]),
        ("`order status` <> 'test'", [0, 1, 3, 4, 5]),
        ("`order status` in ('completed', 'Completed') AND channel != 'app'", [0, 1, 4]),
        ("channel not in ('web')", [1, 4, 5]),
        ("channel == 'it''s'", [4]),
        ("paid = true", [0, 1, 4, 5]),
        ("paid = False and `order status` <> 'test'", [3]),
        ("pieces >= 2 and customer_id = 'a'", [1]),
        ("1 < pieces < 3", [1]),
        ("date >= '2023-03-01' and spend > 3", [3, 4, 5]),
        ("date = '2023-03-01' and spend > 3", [3]),
    ],
)
def test_rows_are_chosen(where, rows, tmp_path):
    wanted = clv.summarize(EXPORT.iloc[rows])
    chosen = clv.summarize(EXPORT, where=where)
    same(chosen, wanted)
    left_out = lines(chosen, "left out")[0]
    assert left_out["what"] == f"Rows for which {where} does not hold."
    assert left_out["rows"] == 6 - len(rows)
    assert left_out["money"] == EXPORT["spend"].sum() - EXPORT["spend"].iloc[rows].sum()
    EXPORT.to_csv(tmp_path / "orders.csv", index=False)
    same(clv.summarize(tmp_path / "orders.csv", where=where), wanted)
    typed = EXPORT.assign(date=DAYS)
    same(clv.summarize(typed, where=where), wanted)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("status = 'completed'", "no column 'status'"),
        ("channel = 'fax'", "No row is left: where=\"channel = 'fax'\" holds for none of 6"),
        ("channel", "is no comparison"),
        ("channel = spend", "not one of a column with a text or a number"),
        ("channel = 'a' or channel = 'b'", "write a list"),
        ("channel > 3 and customer_id = 'a'", "2 rows of 6 with a value that is no number"),
        ("paid > 3", "compares column 'paid' with the number 3"),
        ("channel = ('web', 'shop')", "A list stands behind 'in'"),
        ("f(spend) > 1", "not one of a column"),
        ("__import__('os')", "is no comparison"),
        ("-" * 3000 + "spend > 1", "characters long"),
        ("-" * 1500 + "1 < spend", "nested more than"),
        (3, "where is 3. Write a condition"),
    ],
)
def test_conditions_that_cannot_be_used(where, message):
    assert message in refusal(EXPORT, where=where)


# Lines of orders.


ITEMS = pd.DataFrame(
    {
        "customer_id": ["a", "a", "a", "b", "b", "a"],
        "date": [
            "2024-01-01 23:50",
            "2024-01-02 00:10",
            "2024-01-05",
            "2024-01-03",
            "2024-01-03",
            "2024-01-09",
        ],
        "order": [1, 1, 2, 3, 3, 4],
        "pieces": [2, 1, 3, 1, 1, 1],
        "each": [1.5, 4.0, 0.1, 7.0, 7.0, 2.0],
    }
)
NAMED = {"quantity": "pieces", "price": "each", "order_id": "order"}


def test_lines_make_orders():
    customers = clv.summarize(ITEMS, time_unit="day", **NAMED)
    # The order that goes on after midnight is one, on its first day.
    assert customers["frequency"].values.tolist() == [2, 0]
    assert customers["historical_spend"].values.tolist() == [9.3, 14.0]
    assert str(customers["first_order"].values[0])[:10] == "2024-01-01"
    notes = {line["what"]: line["rows"] for line in lines(customers, "note")}
    assert notes["Lines of 4 orders: the lines of an order are one purchase, on its first day."] == 6
    (doubled,) = [what for what in notes if "equal to another one" in what]
    assert notes[doubled] == 1
    apart = clv.summarize(ITEMS.drop(columns="order"), time_unit="day", quantity="pieces", price="each")
    assert apart["frequency"].values.tolist() == [3, 0]


def test_an_order_does_not_end_before_it_does():
    """What is known on a day is not changed by lines that an order gets later."""
    cut = clv.summarize(ITEMS, until="2024-01-01", holdout_until="2024-01-09", **NAMED)
    known = clv.summarize(ITEMS.iloc[:1], until="2024-01-01", **NAMED)
    assert float(cut["historical_spend"][0]) == float(known["historical_spend"][0]) == 3.0


def test_order_ids_of_several_customers_are_said():
    customers = clv.summarize(ITEMS.assign(order=[1, 1, 2, 1, 3, 4]), **NAMED)
    (note,) = [line for line in lines(customers, "note") if "several customers" in line["what"]]
    assert note["example"] == "1"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"quantity": "pieces"}, "quantity='pieces' needs price beside it"),
        ({"price": "each"}, "price='each' needs quantity beside it"),
        ({**NAMED, "spend": "each"}, "The amount is named twice"),
        ({**NAMED, "order_id": "pieces"}, "One column is named for two purposes"),
        ({**NAMED, "order_id": "none"}, "no column 'none'"),
    ],
)
def test_lines_that_are_not_said_well(given, message):
    assert message in refusal(ITEMS, **given)


def test_faults_of_lines():
    orders = ITEMS.assign(
        order=["1", None, "2", "3", "3", "4"],
        pieces=[np.nan, 1, -1, 2, 2, 2],
        each=["1", "x", "-2", "1", "1", "1"],
    )
    message = refusal(orders, **NAMED)
    assert "'order': 1 row of 6 with a missing order id" in message
    assert "'pieces': 1 row of 6 with a missing quantity" in message
    assert "'each': 1 row of 6 with a price that is not a number" in message
    assert "'each': 1 row of 6 with a negative price of a negative quantity" in message
    assert "pieces × each" in refusal(ITEMS.assign(each=1e20), **NAMED)


# Columns along.


CHANNELS = PLAIN.assign(channel=["web", "shop", "web", None, "web", "app"], age=[30, 30, 40, 50, 40, 50])


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("first", ["web", "web", "app"]),
        ("last", ["shop", "web", "app"]),
        ("most frequent", ["shop", "web", "app"]),
    ],
)
def test_columns_come_along(which, expected, tmp_path):
    customers = clv.summarize(CHANNELS, take={"channel": which, "age": "one"})
    assert customers["channel"].values.tolist() == expected
    assert customers["age"].values.tolist() == [30, 40, 50]
    CHANNELS.to_csv(tmp_path / "orders.csv", index=False)
    again = clv.summarize(tmp_path / "orders.csv", take={"channel": which, "age": "one"})
    same(again, customers)


def test_columns_do_not_know_the_future():
    customers = clv.summarize(CHANNELS, until="2023-03-01", take={"channel": "last"})
    assert customers["channel"].fillna("unknown").values.tolist() == ["shop", "web", "unknown"]


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (
            "channel",
            "Column 'channel': 1 customer has several values, for example customer 'a' 'shop' and 'web'",
        ),
        ({"channel": "best"}, "Use one of 'one', 'first', 'last', 'most frequent'"),
        ("colour", "no column 'colour'"),
        ({"date": "first"}, "describes no customer here"),
        (3, "names no columns"),
    ],
)
def test_columns_that_cannot_come_along(take, message):
    assert message in refusal(CHANNELS, take=take)


def test_a_currency_is_kept():
    assert clv.summarize(PLAIN, currency="£").attrs["currency"] == "£"


def test_what_is_said_holds_for_purchase_dates_and_origins():
    written = PLAIN.assign(date=DAYS.strftime("%d/%m/%Y"), status=["ok", "ok", "ok", "test", "ok", "ok"])
    told = {"date_format": "%d/%m/%Y", "where": "status = 'ok'"}
    assert clv.customers.purchase_dates(written, "c", **told).astype(str).tolist() == ["2023-06-01"]
    assert clv.customers.purchase_dates(ITEMS, "a", **NAMED).astype(str).tolist()[0] == "2024-01-01"
    days = clv.scoring.origins(written, 1, "4 weeks", **told)
    assert days.astype(str).tolist() == ["2023-05-04"]


def test_words_of_formats_stand_for_themselves():
    assert read_format("%d.%m.%Y").pattern.count("[.]") + read_format("%d.%m.%Y").pattern.count("\\.") == 2


@pytest.mark.parametrize(
    "days", [[45000, 45001, 45032], [45000.25, 45001.0, 45032.9], ["45000", "45001.5", "45032"]]
)
def test_days_as_spreadsheets_count_them(days):
    table = pd.DataFrame({"customer_id": ["1", "2", "2"], "date": days, "spend": [1.0, 2.0, 3.0]})
    with pytest.raises(clv.InputError, match="of which 45000 is 2023-03-15: say date_format='excel'"):
        clv.summarize(table)
    found = clv.summarize(table, date_format="excel", time_unit="day")
    assert found["first_order"].values.astype("datetime64[D]").astype(str).tolist() == [
        "2023-03-15",
        "2023-03-16",
    ]
    assert found["recency"].values.tolist() == [0.0, 31.0]
    with pytest.raises(clv.InputError, match="1 row of 3 with a date that cannot be read"):
        clv.summarize(table.assign(date=[3.0, 45001, 45032]), date_format="excel")


def test_an_account_is_left_out_by_its_id_whatever_the_type_of_its_column():
    """Whole numbers become float where one is missing; an id is then '2', and so it must be in a condition."""
    base = pd.DataFrame(
        {"who": [1, 1, 2, 3], "date": ["2020-01-01", "2020-02-01"] * 2, "spend": [1.0, 2, 3, 4]}
    )
    for kind in ("int64", "float64", "string"):
        orders = base.assign(who=base["who"].astype(kind))
        for sign, left in (("<>", ["1", "3"]), ("=", ["2"])):
            customers = clv.summarize(orders, customer_id="who", where=f"who {sign} '2'")
            assert customers["customer"].to_numpy().tolist() == left
