"""One whole run: what it writes, and that nothing but the data and the seed decides what it says."""

import html
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_clv as clv
import bayes_clv.workflows.running as road
from bayes_clv.cli import app
from bayes_clv.families.registry import families
from bayes_clv.families.registry import family as module_of
from bayes_clv.inference.posterior import FORMAT
from bayes_clv.workflows import folders
from bayes_clv.workflows.beside import Beside
from bayes_clv.workflows.folders import CONTENTS, COSTS_FILE
from bayes_clv.workflows.running import run, strict
from bayes_clv.workflows.settings import Settings

COMMAND = Path(sys.executable).with_name("bayes-clv")
SUMMARIES = ["mean", "sd", "q05", "q25", "q50", "q75", "q95"]
HISTORY = ["customer_id", "frequency", "recency", "T"]
FORECAST = ["probability_alive", "purchase_rate_mean", "dropout_mean", "purchases_expected"]
FORECAST += [f"purchases_{name}" for name in SUMMARIES]
MONEY = [*(f"value_{name}" for name in SUMMARIES), "lifetime_value_mean"]
HOLDOUT = ["holdout_purchases", "holdout_spend"]
# The arguments of the fixture `finished`.
SAME = {
    "until": "2025-09-30",
    "holdout_until": "2025-12-31",
    "horizon": "20 weeks",
    "margin": 0.3,
    "annual_discount_rate": 0.1,
    "family": "bg_nbd",
    "drift": False,
    "returns": False,
    "method": "laplace",
    "draws": 100,
}
KNOWN = {name: SAME[name] for name in ("family", "drift", "returns")}


def table(folder):
    return pd.read_parquet(folder / "customers.parquet")


def read_strictly(path):
    """Return what a JSON file holds; NaN and Infinity, which are no JSON, are refused."""

    def refuse(constant):
        raise AssertionError(f"{constant} in {path.name}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.fixture
def no_report(monkeypatch):
    """Leave out the drawing, which takes most of a run's time and writes nothing the table depends on."""
    from bayes_clv.views.reporting import page

    monkeypatch.setattr(page, "write_page", lambda path, *_given, **_more: path.write_text("report"))


# What is written.


def test_the_table_for_spreadsheets_is_that_of_all_else(finished):
    folder, _ = finished
    written = pd.read_csv(folder / "customers.csv", dtype={"customer_id": str}, encoding="utf-8-sig")
    pd.testing.assert_frame_equal(written, table(folder), check_dtype=False, rtol=1e-12)


def test_of_very_many_customers_there_is_no_table_for_spreadsheets(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MOST_ROWS_OF_CSV", 2)
    frame = pd.DataFrame({"customer_id": ["a", "b", "c"], "value_mean": [1.0, 2.0, 3.0]})
    folders.write_customer_table(frame, tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["customers.parquet"]
    folders.write_customer_table(frame.head(2), tmp_path)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["customers.csv", "customers.parquet"]


def test_every_file_is_there(finished):
    folder, printed = finished
    assert {item.name for item in folder.iterdir()} == set(CONTENTS) - {COSTS_FILE}
    assert all(item.stat().st_size > 0 for item in folder.rglob("*") if item.is_file())
    assert {item.suffix for item in (folder / "figures").iterdir()} >= {".svg"}
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert "300 customers; forecast over 20 weeks" in printed
    # Nothing hidden stays beside it.
    assert not [item.name for item in folder.parent.iterdir() if item.name.startswith(".")]


def test_the_table_has_the_columns_of_the_contract(finished):
    customers = table(finished[0])
    money = ["monetary_value", "historical_value"]
    assert list(customers.columns) == [*HISTORY, *money, *FORECAST, *MONEY, *HOLDOUT]
    assert isinstance(customers.index, pd.RangeIndex)
    assert customers["customer_id"].map(type).eq(str).all()
    assert customers["customer_id"].astype(int).is_monotonic_increasing
    quantiles = customers[[f"value_{name}" for name in SUMMARIES[2:]]].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (customers["monetary_value"].isna() == (customers["frequency"] == 0)).all()
    sum_of_both = customers["historical_value"] + customers["value_mean"]
    np.testing.assert_allclose(customers["lifetime_value_mean"], sum_of_both, rtol=1e-12)


def test_the_table_counts_what_the_log_holds(finished, shop):
    _, log = shop
    customers = table(finished[0]).set_index("customer_id")
    days = log.groupby(["customer_id", "date"], as_index=False)["spend"].sum()
    before = days[days["date"] <= "2025-09-30"].groupby("customer_id")
    after = days[days["date"] > "2025-09-30"].groupby("customer_id")
    ids = customers.index.astype(int)
    assert customers["frequency"].tolist() == (before.size() - 1).loc[ids].tolist()
    assert customers["holdout_purchases"].tolist() == after.size().reindex(ids, fill_value=0).tolist()
    # Margin times spend to date.
    np.testing.assert_allclose(
        customers["historical_value"], 0.3 * before["spend"].sum().loc[ids], rtol=1e-12
    )


def test_the_record(finished, shop):
    folder, _ = finished
    record = read_strictly(folder / "run.json")
    assert (
        record["arguments"] | {"orders": "orders.csv", "out": "first", "seed": 1, **SAME}
        == record["arguments"]
    )
    assert record["versions"].keys() >= {"python", "bayes_clv", "pymc", "numpy", "arviz"}
    assert len(set(record["seeds"].values())) == 4
    assert record["customers"] == 300
    assert len(record["stages"]) == 8
    assert set(record["holdout"]["measures"]) >= {"model", "past_rate"}
    assert 0 < sum(record["stages"].values()) <= record["seconds"] + 0.01
    assert [line["rows"] for line in record["audit"] if line["action"] == "read"] == [len(shop[1])]
    for name, family in (("buying", "bg_nbd"), ("spending", "gamma_gamma")):
        found = record["diagnostics"][name]
        assert (found["family"], found["method"]) == (family, "laplace")
        assert found["passed"] == (not found["problems"])
    customers = table(folder)
    for name, per_customer in (("purchases", "purchases_mean"), ("value", "value_mean")):
        total = record["totals"][name]
        assert total["level"] == "outcome"
        assert total["q05"] < total["mean"] < total["q95"]
        np.testing.assert_allclose(total["mean"], customers[per_customer].sum(), rtol=1e-9)
    np.testing.assert_allclose(
        record["totals"]["historical_value"]["sum"], customers["historical_value"].sum()
    )


@pytest.mark.full
def test_a_second_process_changes_nothing(finished, shop, tmp_path, monkeypatch):
    """Half a minute of imports: that the same is written with a process beside."""
    folder, _ = finished
    monkeypatch.setattr("bayes_clv.workflows.beside.processors", lambda: 2)
    handed = []
    monkeypatch.setattr(Beside, "_done_there", watched(Beside._done_there, handed))
    run(Settings(shop[0] / "orders.csv", out=tmp_path / "again", customer_id="customer_id", seed=1, **SAME))
    assert len(handed) > 5
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("report.html", "run.json"):
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes(), (
                path.name
            )


def watched(do, handed):
    """Return a method that keeps what it has done."""

    def method(self, *task):
        result = do(self, *task)
        handed.append(task)
        return result

    return method


def test_a_holdout_of_another_length_than_the_horizon_is_scored(finished):
    """The forecast runs 20 weeks and the holdout 92 days."""
    folder, printed = finished
    score = read_strictly(folder / "run.json")["holdout"]
    assert score["horizon"] == pytest.approx(92 / 7, rel=1e-12)
    observed = score["observed"]["total_observed"]
    assert observed == table(folder)["holdout_purchases"].sum()
    assert sum(score["observed"]["customers_by_frequency"]) == 300
    assert f"Real: {observed:,} purchases; forecast" in printed
    assert table(folder).attrs["horizon"] == 20.0


def test_no_path_of_the_machine_is_written(finished):
    folder, _ = finished
    for file in (item for item in folder.rglob("*") if item.is_file()):
        content = file.read_bytes()
        for place in (folder.parent, Path.cwd(), Path.home(), Path(road.__file__).parent):
            assert bytes(place) not in content, f"{place} in {file.name}"


# What decides the result.


def test_posteriors_say_which_family_the_run_is_of(shop, tmp_path, no_report, make_posterior):
    """Pareto/GGG reads what others do not (log_intervals); nobody has to name the family again."""
    _, orders = shop
    names = sorted(orders["customer_id"].unique())[:15]
    orders[orders["customer_id"].isin(names)].to_parquet(tmp_path / "orders.parquet")
    values = dict(zip(module_of("pareto_ggg").parameters, (3.0, 2.0, 0.8, 6.0, 1.2, 12.0), strict=True))
    fitted = make_posterior("pareto_ggg", values, sd=0.1, chains=2, draws=5)
    passed = json.dumps({"passed": True, "problems": []})
    fitted.attrs |= {"format": FORMAT, "method": "laplace", "diagnostics": passed, "seed": 1}
    (tmp_path / "before").mkdir()
    clv.save(fitted, tmp_path / "before" / "buying.nc")
    settings = {"orders": tmp_path / "orders.parquet", "spend": None, "until": "2025-09-30"}
    record = run(Settings(out=tmp_path / "out", posteriors=tmp_path / "before", **settings))
    assert record["arguments"]["family"] == "pareto_ggg"
    assert np.isfinite(table(tmp_path / "out")[["probability_alive", "purchases_mean"]]).all(axis=None)


def test_another_process_and_another_form_of_the_log_give_the_same_bytes(finished, shop, tmp_path):
    """Parquet for CSV, whole-number ids for text, shuffled rows, other names; through the real command."""
    folder, _ = finished
    names = {"customer_id": "client", "date": "day", "spend": "amount"}
    shuffled = shop[1].sample(frac=1, random_state=5).rename(columns=names)
    shuffled.to_parquet(tmp_path / "orders.parquet", index=False)
    options = [
        f"--{option}={name}"
        for option, name in zip(("customer-id", "date", "spend"), names.values(), strict=True)
    ]
    options += [f"--{name.replace('_', '-')}={value}" for name, value in SAME.items() if value is not False]
    options += ["--no-drift", "--no-returns"]
    done = subprocess.run(
        [COMMAND, "run", "orders.parquet", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    again = tmp_path / "clv-run"
    assert {item.name for item in tmp_path.iterdir()} == {"orders.parquet", "clv-run"}
    assert (again / "customers.parquet").read_bytes() == (folder / "customers.parquet").read_bytes()
    kept = ("customers", "diagnostics", "totals", "holdout", "seeds", "versions")
    ours, theirs = read_strictly(folder / "run.json"), read_strictly(again / "run.json")
    assert {name: ours[name] for name in kept} == {name: theirs[name] for name in kept}
    for figure in (folder / "figures").iterdir():
        assert (again / "figures" / figure.name).read_bytes() == figure.read_bytes(), figure.name


def test_a_run_that_was_killed_goes_on_where_it_was(finished, shop, tmp_path, monkeypatch, no_report):
    """By SIGKILL, after its fits; what it then writes is what an uninterrupted run wrote, and nothing stays behind."""
    folder, _ = finished
    program = (
        "import os, signal\nfrom pathlib import Path\n"
        "import bayes_clv.inference.posterior as last\nfrom bayes_clv.workflows import Settings, run\n"
        "last.write_customers = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"run(Settings({str(shop[0] / 'orders.csv')!r}, out=Path('again'), **{SAME!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False, timeout=300)
    assert done.returncode == -9
    assert [item.name for item in tmp_path.iterdir()] == [".again-unfinished"]

    def refused(*_given, **_options):
        raise AssertionError("fitted again")

    monkeypatch.setattr("bayes_clv.inference.fitting.fit", refused)
    stages = []
    run(
        Settings(shop[0] / "orders.csv", out=tmp_path / "again", **SAME),
        tell=lambda name, _seconds: stages.append(name),
    )
    assert "read the posteriors of an earlier start" in stages
    assert [item.name for item in tmp_path.iterdir()] == ["again"]
    for name in ("buying.nc", "spending.nc", "customers.nc", "customers.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name
    ours, theirs = (read_strictly(each / "run.json") for each in (tmp_path / "again", folder))
    timed = ("stages", "seconds", "arguments")
    assert {name: each for name, each in ours.items() if name not in timed} == {
        name: each for name, each in theirs.items() if name not in timed
    }


def test_posteriors_of_an_earlier_run_give_the_same_table(finished, shop, tmp_path, no_report):
    folder, _ = finished
    text = shop[1].assign(
        customer_id=shop[1]["customer_id"].astype(str), date=shop[1]["date"].dt.strftime("%Y%m%d")
    )
    text.to_parquet(tmp_path / "orders.parquet", index=False)
    out = tmp_path / "out"
    run(Settings(orders=tmp_path / "orders.parquet", out=out, posteriors=folder, **SAME))
    assert (out / "customers.parquet").read_bytes() == (folder / "customers.parquet").read_bytes()

    # Again into the same folder, from its own posteriors, with twice the margin and another seed.
    (out / "figures").mkdir()
    (out / "figures" / "old.svg").write_text("old")
    run(Settings(orders=tmp_path / "orders.parquet", out=out, posteriors=out, **SAME | {"margin": 0.6}))
    assert not (out / "figures").exists()
    np.testing.assert_allclose(table(out)["value_q95"], 2 * table(folder)["value_q95"], rtol=1e-12)
    run(Settings(orders=tmp_path / "orders.parquet", out=out, posteriors=out, seed=2, **SAME))
    assert not table(out)["value_mean"].equals(table(folder)["value_mean"])
    assert sorted(item.name for item in tmp_path.iterdir()) == ["orders.parquet", "out"]


# A unit scales the optimiser's path and the differences behind the curvature by rounding errors only. The mode
# is found to about 1e-9, and curvature by differences over steps of 1e-4 to about 1e-8; 1e-6 leaves room for
# draws in the tails, and one future that came out differently would move a mean by 1/400.
RELATIVE = 1e-6


def test_days_and_cents_agree_with_weeks_and_dollars(finished, shop, tmp_path, no_report):
    folder, _ = finished
    cents = shop[1].assign(spend=shop[1]["spend"] * 100)
    record = run(Settings(orders=cents, out=tmp_path / "out", time_unit="day", **SAME))
    assert record["arguments"]["orders"] == "a DataFrame"
    assert record["arguments"]["horizon"] == "140 days"
    base, other = table(folder), table(tmp_path / "out")
    money = {"monetary_value", "historical_value", "holdout_spend", *MONEY}
    factor = {"recency": 7, "T": 7, "purchase_rate_mean": 1 / 7} | dict.fromkeys(money, 100)
    assert base["customer_id"].equals(other["customer_id"])
    for name in base.columns.drop("customer_id"):
        np.testing.assert_allclose(other[name], base[name] * factor.get(name, 1), rtol=RELATIVE, err_msg=name)


def test_purchases_alone_in_hours(finished, shop, tmp_path):
    """A log without amounts gives the same purchases, and a report without money."""
    folder, _ = finished
    orders = shop[1].drop(columns="spend")
    record = run(Settings(orders=orders, out=tmp_path / "out", spend=None, time_unit="hour", **SAME))
    out = tmp_path / "out"
    assert {item.name for item in out.iterdir()} == set(CONTENTS) - {"spending.nc", COSTS_FILE}
    assert record == read_strictly(out / "run.json")
    assert set(record["totals"]) == {"purchases"}
    assert set(record["diagnostics"]) == {"buying"}
    scores = [each["holdout"]["measures"]["model"] for each in (record, read_strictly(folder / "run.json"))]
    for name in ("total_mean", "total_q05", "total_q95", "total_rank", "covered_by_frequency"):
        assert scores[0][name] == scores[1][name]
    base, other = table(folder), table(out)
    assert list(other.columns) == [*HISTORY, *FORECAST, "holdout_purchases"]
    factor = {"recency": 168, "T": 168, "purchase_rate_mean": 1 / 168}
    for name in other.columns.drop("customer_id"):
        np.testing.assert_allclose(other[name], base[name] * factor.get(name, 1), rtol=RELATIVE, err_msg=name)


def test_zero_spend_and_orders_after_until_are_accounted_for(shop, tmp_path, no_report):
    orders = shop[1].copy()
    orders.loc[orders.index[::7], "spend"] = 0.0
    orders.to_csv(tmp_path / "orders.csv", index=False)
    path = str(tmp_path / "orders.csv")
    run(Settings(orders=path, out=tmp_path / "out", until="2025-06-30", **KNOWN, method="mode"))
    record = read_strictly(tmp_path / "out" / "run.json")
    assert record["arguments"]["orders"] == "orders.csv"
    audit = record["audit"]
    used = orders[orders["date"] <= "2025-06-30"]
    rows = {line["what"].split(",")[0].split(":")[0]: line["rows"] for line in audit}
    assert rows["Orders after 2025-06-30"] == len(orders) - len(used)
    assert rows["Orders with zero spend"] == (used["spend"] == 0).sum()
    assert rows["Orders of 300 customers."] == len(used)
    assert record["holdout"] is None
    assert record["arguments"]["horizon"] == "52 weeks"
    customers = table(tmp_path / "out")
    assert "holdout_purchases" not in customers
    occasions = used.groupby(["customer_id", "date"]).size().groupby("customer_id").size()
    assert (customers["frequency"].sum(), len(customers)) == ((occasions - 1).sum(), 300)


# The folder, with the long middle left out.


@pytest.fixture
def quick(monkeypatch):
    """Make a run write its record only; return the settings of one."""

    def write(work, settings, *_rest):
        (work / "run.json").write_text(json.dumps({"seed": settings.seed}))
        (work / "report.html").write_text("report")
        return {"seed": settings.seed}

    monkeypatch.setattr(road, "_run_into", write)
    return lambda out, seed=1: run(Settings(orders="none.csv", out=out, seed=seed))


def test_a_folder_is_made_with_its_parents_and_replaced_as_a_whole(tmp_path, quick):
    out = tmp_path / "new" / "deep" / "out"
    quick(out)
    (out / "figures").mkdir()
    (out / ".DS_Store").write_text("of a file manager")
    quick(out, seed=2)
    assert sorted(item.name for item in out.iterdir()) == ["report.html", "run.json"]
    assert read_strictly(out / "run.json") == {"seed": 2}
    assert [item.name for item in out.parent.iterdir()] == ["out"]
    empty = tmp_path / "empty"
    empty.mkdir()
    quick(empty)
    assert (empty / "run.json").is_file()
    # Readable by others as any folder, though it began as a private one.
    assert empty.stat().st_mode & 0o777 == 0o755


def test_a_link_stays_a_link(tmp_path, quick):
    quick(tmp_path / "real")
    (tmp_path / "latest").symlink_to(tmp_path / "real")
    quick(tmp_path / "latest", seed=2)
    assert (tmp_path / "latest").is_symlink()
    assert read_strictly(tmp_path / "real" / "run.json") == {"seed": 2}
    assert sorted(item.name for item in tmp_path.iterdir()) == ["latest", "real"]


def test_a_run_that_breaks_leaves_the_earlier_one(tmp_path, quick, monkeypatch):
    quick(tmp_path / "out")

    def breaks(work, *_rest):
        (work / "report.html").write_text("half")
        raise RuntimeError("in the middle")

    monkeypatch.setattr(road, "_run_into", breaks)
    for out in (tmp_path / "out", tmp_path / "new" / "deep"):
        with pytest.raises(RuntimeError, match="in the middle"):
            run(Settings(orders="none.csv", out=out))
    assert [item.name for item in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "report.html").read_text() == "report"


def test_a_folder_that_cannot_take_its_place_leaves_the_earlier_one(tmp_path, quick, monkeypatch):
    quick(tmp_path / "out")
    replace = Path.replace

    def full(self, target):
        if (self / "run.json").is_file() and read_strictly(self / "run.json") == {"seed": 2}:
            raise OSError("no room")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no room"):
        quick(tmp_path / "out", seed=2)
    assert read_strictly(tmp_path / "out" / "run.json") == {"seed": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_numbers_that_json_does_not_know():
    record = {
        "a": [1.5, float("nan"), (float("inf"), "NaN")],
        "b": {"c": -float("inf"), "d": True, "e": None},
    }
    assert strict(record) == {"a": [1.5, None, [None, "NaN"]], "b": {"c": None, "d": True, "e": None}}


def test_refusals_of_the_function_are_input_errors(tmp_path):
    with pytest.raises(clv.InputError, match="cannot be read"):
        run(Settings(orders="none.csv", out=tmp_path / "out", horizon="soon"))
    with pytest.raises(clv.InputError, match="Time unit 'fortnight'"):
        run(Settings(orders="none.csv", out=tmp_path / "out", time_unit="fortnight", horizon="2 weeks"))


@pytest.mark.full
@pytest.mark.parametrize("family", families("purchases"))
def test_every_purchase_family_goes_the_whole_road(shop, tmp_path, family):
    folder, _ = shop
    arguments = ["run", folder / "orders.csv", "--until", "2025-09-30", "--holdout-until", "2025-12-31"]
    arguments += [
        "--margin",
        "0.3",
        "--annual-discount-rate",
        "0.1",
        "--family",
        family,
        "--no-drift",
        "--no-returns",
    ]
    arguments += ["--method", "laplace", "--draws", "100", "--out", tmp_path / "out"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    record = read_strictly(tmp_path / "out" / "run.json")
    assert record["diagnostics"]["buying"]["family"] == family
    customers = table(tmp_path / "out")
    assert np.isfinite(customers[["probability_alive", "purchases_mean", "value_mean"]]).all(axis=None)
    text = (tmp_path / "out" / "report.html").read_text()
    assert html.escape(module_of(family).words.summary) in text
    assert "not be drawn" not in text
