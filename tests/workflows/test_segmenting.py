"""``bayes-clv segment`` and ``alarms``: what Python finds from the orders, or one paragraph that says what is wrong."""

import datetime as dt
import inspect
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.cli import app
from bayes_clv.predictions.simulation import DRAWS
from bayes_clv.segments import presets
from bayes_clv.workflows import alarming, segmenting
from bayes_clv.workflows.choices import Segmenting
from bayes_clv.workflows.folders import read_run
from bayes_clv.workflows.words import plain_number

ENDS = ("mean", "q05", "q95")
KINDS = """
name = "客户分类"

[quantities]
"利润" = "0.3 * spend_per_purchase - 2"

[[segments]]
name = "黄金客户"
where = "利润 >= 4 and purchases >= 2"

[[segments]]
name = "流星客户"
where = "利润 >= 4 and purchases < 2"

[[segments]]
name = "其他"
otherwise = true
"""


@pytest.fixture(scope="module")
def python(finished, shop):
    """Return customers and posteriors as somebody has them who never saw the run's folder but its posteriors."""
    folder, _ = shop
    customers = clv.summarize(
        folder / "orders.csv",
        until="2025-09-30",
        holdout_until="2025-12-31",
        holdout_discount_rate=0.1,
        also=("purchase_times", "spend_trends", "periods"),
    )
    return customers, clv.load(finished[0] / "buying.nc"), clv.load(finished[0] / "spending.nc")


@pytest.fixture
def kinds(tmp_path):
    path = tmp_path / "客户.toml"
    path.write_text(KINDS, encoding="utf-8")
    return path


@pytest.fixture
def no_figures(monkeypatch):
    """Leave out the drawing, which takes most of the time and which tests of views look at."""

    class Nothing:
        axes = ()

        def findobj(self, _kind):
            return []

        def savefig(self, path, **_options):
            path.write_text("figure")

    def drawn(_segments, quantity):
        return dict.fromkeys(("sizes", quantity, "membership"), Nothing())

    monkeypatch.setattr(segmenting, "_segment_figures", drawn)
    monkeypatch.setattr(alarming, "_alarm_figure", lambda *_: Nothing())


def command(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def ran(*words):
    result = command(*words)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


# The run, read back.


def test_the_customers_of_a_run_are_those_of_the_orders(finished, python):
    run = read_run(finished[0])
    xr.testing.assert_identical(run.customers, python[0])
    assert (run.horizon, run.margin, run.annual_discount_rate, run.seed) == (20.0, 0.3, 0.1, 1)
    assert run.spending is not None
    table = pd.read_parquet(finished[0] / "customers.parquet").set_index("customer_id")
    assert run.value()["value_mean"].to_series().equals(table["value_mean"].rename_axis("customer"))


def test_a_horizon_that_is_no_round_number_of_weeks_is_not_rounded(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    table = pd.read_parquet(tmp_path / "run" / "customers.parquet")
    table.attrs["horizon"] = 92 / 7
    table.to_parquet(tmp_path / "run" / "customers.parquet", index=False)
    assert read_run(tmp_path / "run").horizon == 92 / 7


# Segments.


def test_segments_are_those_of_python(finished, python, kinds, tmp_path, no_figures):
    customers, buying, spending = python
    printed = ran("segment", finished[0], "--rule", kinds, "--out", tmp_path / "kinds.parquet")
    draws = clv.simulate(
        buying, customers, spending=spending, horizon="20 weeks", margin=0.3, annual_discount_rate=0.1, seed=1
    )
    found = clv.segment(draws, clv.read_rule(kinds), totals=("purchases", "value"))
    table = pd.read_parquet(tmp_path / "kinds.parquet")
    pd.testing.assert_frame_equal(table, clv.table(found, by="customer"), check_exact=True)
    sizes = pd.read_parquet(tmp_path / "kinds-sizes.parquet")
    pd.testing.assert_frame_equal(sizes, clv.table(found, by="segment"), check_exact=True)
    assert set(sizes["segment"]) == {"黄金客户", "流星客户", "其他"}
    assert sizes["customers_mean"].gt(5).all(), "a segment that hardly anybody is in shows little"

    # What is printed, number by number.
    assert (
        "300 customers in 3 segments, over 20 weeks; value is 30 % of spend, discounted by 10 % a year"
        in printed
    )
    for row in sizes.itertuples():
        customers_said = f"{row.customers_mean:,.0f} customers ({row.customers_q05} to {row.customers_q95})"
        assert f"{row.segment}: {customers_said}, value {row.value_mean:,.0f} (" in printed
    assert (
        f"{table['unsure'].sum()} of 300 customers are unsure (most probable segment below 80 %)." in printed
    )
    written = ["kinds.parquet", "kinds-sizes.parquet"]
    written += ["kinds-sizes.png", "kinds-value.png", "kinds-membership.png"]
    assert {item.name for item in tmp_path.iterdir()} == {*written, kinds.name}
    assert all(name in printed for name in written)


def test_options_replace_what_the_run_was_given(finished, python, tmp_path, no_figures):
    customers, buying, spending = python
    options = ["--horizon", "40 weeks", "--margin", "0.6", "--seed", "7", "--draws", "150", "--sure", "0.6"]
    ran("segment", finished[0], "--rule", "abc", *options, "--out", tmp_path / "abc.parquet")
    draws = clv.simulate(
        buying,
        customers,
        spending=spending,
        horizon="40 weeks",
        margin=0.6,
        annual_discount_rate=0.1,
        draws=150,
        seed=7,
    )
    found = clv.segment(draws, clv.segments.abc(), totals=("purchases", "value"), sure=0.6)
    written = pd.read_parquet(tmp_path / "abc.parquet"), pd.read_parquet(tmp_path / "abc-sizes.parquet")
    pd.testing.assert_frame_equal(written[0], clv.table(found, by="customer"), check_exact=True)
    pd.testing.assert_frame_equal(written[1], clv.table(found, by="segment"), check_exact=True)


def test_a_csv_that_spreadsheets_read(finished, kinds, tmp_path, monkeypatch, no_figures):
    """With the mark of UTF-8, by which Excel knows Chinese; and in the current folder unless --out says else."""
    monkeypatch.chdir(tmp_path)
    ran("segment", finished[0], "--rule", kinds.name, "--draws", "50")
    ran("segment", finished[0], "--rule", kinds.name, "--draws", "50", "--out", "same.parquet")
    content = (tmp_path / "segments-客户.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfcustomer_id,")
    assert "probability_黄金客户" in content.decode("utf-8-sig").splitlines()[0]
    assert (tmp_path / "segments-客户-sizes.csv").read_bytes().startswith(b"\xef\xbb\xbfsegment,")
    # A reader that is told nothing skips the mark, and so does ours.
    text, whole = (
        pd.read_csv("segments-客户.csv", dtype={"customer_id": str}),
        pd.read_parquet("same.parquet"),
    )
    pd.testing.assert_frame_equal(text, whole, check_dtype=False, rtol=1e-7)
    from bayes_clv.customers.experiments import read_table

    assert (
        read_table("segments-客户.csv", ["customer_id"])["customer_id"].tolist()
        == whole["customer_id"].tolist()
    )


def test_a_column_of_ones_own(finished, python, tmp_path, no_figures):
    """Costs by customer from a CSV in another order, with customers that the run does not know."""
    customers, buying, spending = python
    rng = np.random.default_rng(2)
    ids = np.array([*customers["customer"].values, "nobody"], dtype=object)
    costs = pd.DataFrame({"client": ids, "cost": rng.gamma(2.0, 2.0, ids.size).round(3), "note": "x"})
    costs.sample(frac=1, random_state=1).to_csv(tmp_path / "costs.csv", index=False)
    four = ["segment", finished[0], "--rule", "four-kinds", "--set", "profit_per_purchase=4"]
    four += ["--set", "cost_to_serve = cost", "--out", tmp_path / "four.parquet"]
    ran(*four, "--columns", tmp_path / "costs.csv", "--customer-id", "client")
    draws = clv.simulate(
        buying,
        clv.with_columns(customers, costs.set_index("client"), "cost"),
        spending=spending,
        horizon="20 weeks",
        margin=0.3,
        annual_discount_rate=0.1,
        seed=1,
    )
    rule = clv.segments.four_kinds(4.0, margin=0.3, cost_to_serve="cost")
    expected = clv.table(clv.segment(draws, rule), by="customer")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "four.parquet"), expected, check_exact=True)

    said = refusal(*four, watched=tmp_path)
    assert "the quantity 'cost' is not known" in said
    assert "--columns" in said
    costs.iloc[5:].to_csv(tmp_path / "some.csv", index=False)
    said = refusal(*four, "--columns", tmp_path / "some.csv", "--customer-id", "client", watched=tmp_path)
    assert "5 of 300 customers have no row in the table" in said
    costs.assign(cost="dear").to_csv(tmp_path / "words.csv", index=False)
    said = refusal(*four, "--columns", tmp_path / "words.csv", "--customer-id", "client", watched=tmp_path)
    assert "'cost' has 301 of 301 values that are not numbers, for example 'dear'" in said
    out = ["--columns", tmp_path / "costs.csv", "--out", tmp_path / "costs.csv"]
    assert "is the table of --columns, which would be lost" in refusal(*four[:4], *out, watched=tmp_path)
    abc = [*four[:3], "abc", "--columns", tmp_path / "costs.csv"]
    assert "reads no column of --columns" in refusal(*abc, watched=tmp_path)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["lifecycle", "--set", "loyal=3"], clv.segments.lifecycle(loyal=3)),
        (["rfm", "--set", "scores=3", "--set", "monetary=value"], clv.segments.rfm(monetary="value", scores=3)),
        (["abc", "--set", "shares=0.5, 0.9"], clv.segments.abc(shares=(0.5, 0.9))),
        (
            ["matrix", "--set", "x=probability_alive", "--set", "y=value", "--set", "x_cut=.5", "--set", "y_cut=10"],
            clv.segments.matrix("probability_alive", "value", 0.5, 10.0),
        ),
    ],
)  # fmt: skip
def test_rules_known_by_name(finished, tmp_path, words, rule, no_figures):
    out = tmp_path / "out.parquet"
    printed = ran("segment", finished[0], "--rule", *words, "--draws", 40, "--out", out)
    table, sizes = pd.read_parquet(out), pd.read_parquet(tmp_path / "out-sizes.parquet")
    assert sizes["segment"].tolist() == [each.name for each in rule.segments]
    assert sizes["customers_mean"].sum() == pytest.approx(300)
    chances = table[[f"probability_{each.name}" for each in rule.segments]].sum(axis=1)
    np.testing.assert_allclose(chances, 1, atol=1e-5)
    listed = [line for line in printed.splitlines() if " customers (" in line]
    assert len(listed) == min(len(sizes), segmenting.SEGMENTS_SHOWN)
    assert (
        f"and {len(sizes) - len(listed)} more, with less value each: see out-sizes.parquet" in printed
    ) == (len(sizes) > len(listed))


@pytest.mark.parametrize("name", segmenting.PRESETS)
def test_presets_are_given_all_that_their_functions_take(name):
    function, readers, needed = segmenting.PRESETS[name]
    taken = inspect.signature(getattr(presets, function)).parameters
    assert set(readers) == set(taken) - {"margin", "names", "sleeping"}
    without = [key for key, each in taken.items() if each.default is inspect.Parameter.empty]
    assert [each.partition("=")[0] for each in needed] == without


def test_draws_are_as_many_as_python_takes():
    assert Segmenting(run=".", rule="abc").draws == DRAWS


def test_a_list_of_a_segment_and_a_rule_by_text(finished, python, tmp_path, no_figures):
    customers, buying, spending = python
    channel = pd.DataFrame({"customer_id": customers["customer"].values, "channel": "web"})
    channel.loc[::3, "channel"] = "shop"
    channel.to_csv(tmp_path / "channels.csv", index=False)
    (tmp_path / "rule.toml").write_text(
        '[[segments]]\nname = "web"\nwhere = "channel = \'web\' and purchases >= 1"\n'
        '[[segments]]\nname = "others"\notherwise = true'
    )
    words = ["segment", finished[0], "--rule", tmp_path / "rule.toml", "--columns", tmp_path / "channels.csv"]
    words += ["--draws", 40, "--out", tmp_path / "out.parquet", "--list", "web"]
    printed = ran(*words, "--order", "value")
    draws = clv.simulate(
        buying,
        clv.with_columns(customers, channel),
        spending=spending,
        horizon="20 weeks",
        margin=0.3,
        annual_discount_rate=0.1,
        draws=40,
        seed=1,
    )
    found = clv.segments.members(draws, clv.read_rule(tmp_path / "rule.toml"), "web", order="value")
    table = pd.read_parquet(tmp_path / "out-list.parquet")
    pd.testing.assert_frame_equal(table, clv.table(found), check_exact=True)
    said = f"about {plain_number(float(table['members'].iloc[-1]))} of 300 customers are in it"
    assert f"'web', those first whose value there is highest: {said}" in printed
    assert (
        f"the first 50 hold about {plain_number(float(table['members'].iloc[49]))} of them, and " in printed
    )
    said = refusal(*words[:-1], "shop", watched=tmp_path)
    assert "--list 'shop': the rule 'rule' has no such segment. It has 'web', 'others'" in said


def test_a_segment_that_nobody_is_in_is_pointed_at(finished, tmp_path, no_figures):
    rule = tmp_path / "rule.toml"
    rule.write_text(
        '[[segments]]\nname = "rich"\nwhere = "value > 1e9"\n[[segments]]\nname = "poor"\notherwise = true'
    )
    printed = ran("segment", finished[0], "--rule", rule, "--draws", 20, "--out", tmp_path / "out.csv")
    assert "rich: 0 customers (0 to 0), value 0 (0 to 0)" in printed
    assert "Hardly anybody is in 'rich': does the threshold fall where it was meant to?" in printed


def test_a_label_that_nobody_carries_is_pointed_at():
    """By hand: everybody is "late" with a probability of 0.4, and something else with more."""
    names, chance = ["early", "late", "gone"], np.array([[0.6, 0.4, 0.0], [0.0, 0.4, 0.6]] * 10)
    size = chance.sum(axis=0).round()
    found = xr.Dataset(
        {
            "most_likely": ("customer", np.array(names, dtype=object)[chance.argmax(axis=1)]),
            "unsure": ("customer", np.ones(20, dtype=bool)),
            **{f"{what}_{end}": ("segment", size) for what in ("size", "purchases_total") for end in ENDS},
        },
        {"segment": names},
        {"rule": "By hand", "time_unit": "week", "horizon": 4.0, "sure": 0.8},
    )
    said = "\n".join(segmenting.segment_summary(found, file="sizes.csv", earned=None))
    assert "'late' is nobody's most probable segment, though about 8 customers are in it" in said
    assert "--list 'late' lists customers" in said
    assert "'early' is nobody's" not in said
    assert "20 of 20 customers are unsure" in said
    assert "take the customers with the highest probability of it, not its label: --list" in said


def test_figures_and_letters_that_the_machine_has_no_font_for(finished, kinds, tmp_path, monkeypatch):
    from bayes_clv.views import fonts

    monkeypatch.setattr(fonts, "choose", lambda characters: ((), characters))
    printed = ran("segment", finished[0], "--rule", kinds, "--draws", 40, "--out", tmp_path / "kinds.csv")
    for end in ("sizes", "value", "membership"):
        assert (tmp_path / f"kinds-{end}.png").stat().st_size > 10_000
        assert "黄金客户" in (tmp_path / f"kinds-{end}.svg").read_text(encoding="utf-8")
    assert "Open kinds-sizes.svg, kinds-value.svg, kinds-membership.svg in a browser" in printed
    printed = ran("alarms", finished[0], "--only-alarmed", "--out", tmp_path / "alarms.csv")
    assert (tmp_path / "alarms.png").stat().st_size > 10_000
    assert not (tmp_path / "alarms.svg").exists()
    assert "font" not in printed


# Alarms.


def test_alarms_are_those_of_python(finished, python, tmp_path, no_figures):
    customers, buying, spending = python
    out = tmp_path / "alarms.parquet"
    printed = ran("alarms", finished[0], "--threshold", "0.6", "--longest", "1 year", "--out", out)
    seed = json.loads((finished[0] / "run.json").read_text())["seeds"]["future"]
    money = {"spending": spending, "margin": 0.3, "annual_discount_rate": 0.1}
    value = clv.predict(buying, customers, "20 weeks", **money, seed=seed)
    found = clv.churn_alarms(buying, customers, threshold=0.6, longest="1 year", value=value)
    table, expected = pd.read_parquet(out), clv.table(found)
    units = {name: f"{name}_weeks" for name in ("silence", "alarm_silence", "alarm_in")}
    pd.testing.assert_frame_equal(
        table[[*expected.rename(columns=units)]], expected.rename(columns=units), check_exact=True
    )
    # Beside it what a caller asks first, by id.
    own = customers.sel(customer=table["customer_id"].to_numpy())
    assert table["frequency"].tolist() == own["frequency"].to_numpy().tolist()
    np.testing.assert_array_equal(table["value"], value["value_mean"].sel(customer=own["customer"]))
    days = own["first_order"].to_numpy().astype("datetime64[D]") + np.rint(
        7 * own["recency"].to_numpy()
    ).astype(int)
    assert table["last_order"].tolist() == days.tolist()
    assert {item.name for item in tmp_path.iterdir()} == {"alarms.parquet", "alarms.png"}

    # What is printed, from the table.
    assert 0 < table["alarmed"].sum() < 300
    assert f"{table['alarmed'].sum()} of 300 customers are alarmed: P(alive) is 60 % or less" in printed
    alarmed = table[table["alarmed"]]
    assert f"over 20 weeks: {alarmed['value_at_risk'].sum():,.0f} of the alarmed" in printed
    assert f"{table['value_at_risk'].sum():,.0f} of all" in printed
    assert f"residual value is {value['value_mean'].sum():,.0f}." in printed
    assert f"Most at risk of the alarmed: customer '{alarmed['customer_id'].iloc[0]}'" in printed
    coming = table.loc[~table["alarmed"], "alarm_date"].dropna()
    for days in (7, 30, 90):
        day = dt.date(2025, 9, 30) + dt.timedelta(days)
        assert f"{(coming <= day).sum()} by {day}" in printed
    assert f"the first on {coming.min()}" in printed
    assert f"{table['alarm_date'].isna().sum()} customers have no alarm within a silence of 1 year" in printed
    assert "--family mbg_nbd" in printed


def test_a_shorter_list(finished, tmp_path, no_figures):
    whole, some = tmp_path / "whole.parquet", tmp_path / "some.csv"
    ran("alarms", finished[0], "--out", whole)
    printed = ran("alarms", finished[0], "--only-alarmed", "--most", "4", "--out", some)
    table = pd.read_parquet(whole)
    first = table[table["alarmed"]].head(4)
    assert some.read_bytes().startswith(b"\xef\xbb\xbf")
    text = pd.read_csv(some, dtype={"customer_id": str})
    assert text["customer_id"].tolist() == first["customer_id"].tolist()
    assert text["alarm_date"].tolist() == first["alarm_date"].astype(str).tolist()
    # As many digits as mean something.
    assert text["silence_weeks"].tolist() == first["silence_weeks"].round(1).tolist()
    assert text["value_at_risk"].tolist() == first["value_at_risk"].round(2).tolist()
    # The summary is of everybody, whatever is listed.
    assert f"{table['alarmed'].sum()} of 300 customers are alarmed" in printed
    assert "some.csv (4 rows)" in printed


def test_a_run_on_purchases_alone(finished, tmp_path, no_figures):
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    (run / "spending.nc").unlink()
    record = json.loads((run / "run.json").read_text())
    record["arguments"]["spend"] = None
    # As earlier versions wrote it: sentences, and no cards.
    record["diagnostics"]["buying"]["problems"] = ["Pareto k is 0.9."]
    del record["checks"]
    (run / "run.json").write_text(json.dumps(record))
    table = pd.read_parquet(run / "customers.parquet")
    table = table[[name for name in table if not name.startswith("value_")]]
    for name in ("margin", "annual_discount_rate"):
        del table.attrs[name]
    table.to_parquet(run / "customers.parquet", index=False)
    out = tmp_path / "out.parquet"
    printed = ran("segment", run, "--rule", "lifecycle", "--draws", 40, "--out", out)
    assert "purchases" in printed
    assert "value" not in printed
    # What the run's checks found follows its results.
    assert "1 check failed in the run:\n  bg_nbd: the fit did not pass" in printed
    sizes = pd.read_parquet(tmp_path / "out-sizes.parquet")
    assert "purchases_mean" in sizes
    assert "value_mean" not in sizes
    printed = ran("alarms", run, "--out", out)
    assert "at risk" not in printed
    assert pd.read_parquet(out)["probability_alive"].is_monotonic_increasing
    said = refusal("segment", run, "--rule", "abc", "--out", out, watched=tmp_path)
    assert "the quantity 'value' is not known" in said
    assert "Money needs a run with amounts" in said


# Refusals, and nothing left behind.


def refusal(*words, watched):
    before = snapshot(watched)
    result = command(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert snapshot(watched) == before
    lines = result.stderr.splitlines()
    assert lines[0].startswith("Error: ")
    assert all(lines)
    said = " ".join(lines)
    assert not [word for word in ("clv.", "horizon=", "traceback", "draws=") if word in said.lower()], said
    return said


RULES = {
    "overlap": (
        ["a", "purchases >= 2"], ["b", "purchases >= 1"],
        "rule.toml, line 7: segment 'b' overlaps 'a' (rule.toml, line 4): both take customers with purchases == 2.",
    ),
    "gap": (["a", "purchases >= 2"], ["b", "purchases < 1"], "rule.toml, line 7: no segment up to 'b' takes"),
    "unknown": (["满意", "满意度 >= 2"], ["b", "满意度 < 2"], "rule.toml, line 4: the quantity '满意度' is not known"),
    "zero": (
        ["a", "value / purchases >= 2"], ["b", "value / purchases < 2"],
        "rule.toml, line 4: 'value / purchases' divides by 'purchases', which is zero",
    ),
    "missing": (
        ["a", "monetary_value >= 2"], ["b", "monetary_value < 2"],
        "rule.toml, line 4: 'monetary_value' is missing (NaN)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RULES)
def test_rules_that_are_refused_with_their_line(finished, tmp_path, case):
    *segments, told = RULES[case]
    lines = ['name = "Rule"']
    for name, where in segments:
        lines += ["[[segments]]", f'name = "{name}"', f'where = "{where}"']
    (tmp_path / "rule.toml").write_text("\n".join(lines), encoding="utf-8")
    rule = ["segment", finished[0], "--rule", tmp_path / "rule.toml", "--out", tmp_path / "out.csv"]
    assert told in refusal(*rule, watched=tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--rule", "rfn"],
            "no rule of that name: --rule is a TOML file or one of abc, five-actions, four-kinds, lifecycle",
        ),
        (["--rule", "four-kinds"], "needs profit_per_purchase. Write it like --set profit_per_purchase=5."),
        (
            ["--rule", "matrix", "--set", "x=T"],
            "needs y. Write it like --set x=probability_alive --set y=value",
        ),
        (["--rule", "rfm", "--set", "scores=12"], "--set scores=12 must be a whole number from 2 to 9"),
        (["--rule", "rfm", "--set", "scores=two"], "--set scores=two is not a whole number."),
        (["--rule", "abc", "--set", "shares=0.8"], "--set shares=0.8 is not two shares such as 0.8,0.95."),
        (
            ["--rule", "abc", "--set", "scores=3"],
            "--set scores is not known of abc. It takes quantity, shares.",
        ),
        (["--rule", "abc", "--set", "scores"], "--set 'scores' does not say what is set"),
        (["--rule", "rfm", "--set", "scores=3", "--set", "scores=4"], "--set scores is there twice"),
        (["--rule", "RULE", "--set", "scores=3"], "--set is for abc, five-actions, four-kinds"),
        (["--rule", "abc", "--out", "x.xlsx"], "--out 'x.xlsx' must end in .csv or .parquet"),
        (
            ["--rule", "abc", "--out", "RUN/x.csv"],
            "lies in the run's own folder, which 'bayes-clv run' replaces",
        ),
        (["--rule", "abc", "--horizon", "soon"], "Duration 'soon' cannot be read. Write it like '52 weeks'"),
        (["--rule", "abc", "--margin", "0"], "--margin must be finite and above 0"),
        (["--rule", "abc", "--sure", "80"], "--sure 80.0 must be a probability"),
    ],
)
def test_options_that_cannot_be_used(finished, kinds, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.symlink_to(finished[0])
    given = [{"RULE": kinds, "RUN/x.csv": run / "x.csv"}.get(word, word) for word in words]
    assert told in refusal("segment", run, *given, watched=tmp_path)


def test_runs_that_are_none(finished, tmp_path):
    words = ["--out", tmp_path / "out.csv"]

    def refused(folder):
        said = {
            refusal("segment", folder, "--rule", "abc", *words, watched=tmp_path),
            refusal("alarms", folder, *words, watched=tmp_path),
        }
        assert len(said) == 1
        return said.pop()

    (tmp_path / "file").write_text("text")
    assert "is a file. Name the folder of a finished run" in refused(tmp_path / "file")
    assert "There is no folder" in refused(tmp_path / "none")
    assert "is no finished run: it has no 'run.json'" in refused(tmp_path)

    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    (run / "customers.nc").unlink()
    said = refused(run)
    assert f"has no 'customers.nc': bayes_clv {clv.__version__} did not write one then" in said
    assert re.search(
        r"Run again with --posteriors \S+ and the options of that run; nothing is then fitted", said
    )
    (run / "customers.nc").write_bytes((finished[0] / "customers.nc").read_bytes()[:5000])
    assert "'customers.nc' cannot be read: the file is truncated" in refused(run)
    (run / "customers.parquet").write_bytes(b"PAR1")
    assert "'customers.parquet' cannot be read" in refused(run)
    (run / "buying.nc").unlink()
    assert "lacks 'buying.nc'" in refused(run)
    (run / "run.json").write_text('{"seed": 1}')
    assert "'run.json' in" in refused(run)


def test_alarms_that_cannot_be_told(finished, tmp_path):
    for option, value, told in (
        ("--threshold", "1.5", "--threshold 1.5 must be a probability between 0 and 1"),
        ("--longest", "long", "Duration 'long' cannot be read"),
        ("--most", "0", "--most 0 must be at least 1"),
        ("--out", tmp_path, "must end in .csv or .parquet"),
    ):
        words = ["alarms", finished[0], "--out", tmp_path / "x.csv", option, value]
        assert told in refusal(*words, watched=tmp_path)


def test_what_breaks_in_the_middle_leaves_the_earlier_results(finished, tmp_path, no_figures, monkeypatch):
    out = tmp_path / "abc.csv"
    ran("segment", finished[0], "--rule", "abc", "--draws", 20, "--out", out)
    before = snapshot(tmp_path)

    def breaks(*_):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(segmenting, "_segment_figures", breaks)
    with pytest.raises(RuntimeError, match="in the middle"):
        command("segment", finished[0], "--rule", "abc", "--draws", 20, "--seed", 5, "--out", out)
    assert snapshot(tmp_path) == before


def test_amounts_of_segments_are_said_in_their_currency():
    assert segmenting._words((1467.3, 965.2, 2041.0), currency="€") == "€1,467 (€965 to €2,041)"
    assert segmenting._words((29.0, 21.0, 38.0), " customers") == "29 customers (21 to 38)"
