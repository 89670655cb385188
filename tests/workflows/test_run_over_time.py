"""Columns over time from a shell: a run with a table of mails, what goes on from its folder, and what is refused."""

import html
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.app import browsing
from bayes_clv.cli import app
from bayes_clv.language import speaking
from bayes_clv.schema import InputError
from bayes_clv.views.reporting.fits import over_time_words
from bayes_clv.workflows import deciding, over_time, running
from bayes_clv.workflows.folders import read_run
from bayes_clv.workflows.settings import Settings, check_settings, open_choice
from bayes_clv.workflows.stages import Stages
from tests.sentences import CHINESE

UNTIL, HOLDOUT = "2025-09-30", "2025-12-31"


def command(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture(scope="module")
def mails(shop, tmp_path_factory):
    """Mails to every second customer, which count for two weeks; one is sent in the holdout, one to a stranger."""
    ids = np.unique(shop[1]["customer_id"])[::2]
    begin = np.datetime64("2025-05-01") + np.random.default_rng(1).integers(0, 120, ids.size).astype("m8[D]")
    begin[0] = np.datetime64("2025-10-06")
    begin = np.r_[begin, np.datetime64("2025-05-01")]
    table = pd.DataFrame(
        {
            "customer_id": np.repeat(np.r_[ids, 900001], 2),
            "date": np.stack([begin, begin + np.timedelta64(14, "D")], axis=1).ravel(),
            "mails": np.tile([1, 0], ids.size + 1),
        }
    )
    path = tmp_path_factory.mktemp("mails") / "mails.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def done(shop, mails):
    """The command, of a plan that the last values stay; and what it printed."""
    out = mails.parent / "run"
    result = command(
        *("run", shop[0] / "orders.csv", "--until", UNTIL, "--holdout-until", HOLDOUT, "--purchases-only"),
        *("--over-time", mails, "--over-time-plan", "carry_forward", "--over-time-before", 0),
        *("--family", "bg_nbd", "--no-calendar", "--method", "laplace", "--draws", 50, "--out", out),
    )
    assert result.exit_code == 0, result.stderr
    return out, " ".join(result.stdout.split())


def test_the_run_is_of_the_customers_with_their_mails(done, shop, mails):
    run = read_run(done[0])
    base = clv.summarize(shop[1], until=UNTIL, holdout_until=HOLDOUT, spend=None, also=("purchase_times",))
    table = pd.read_csv(mails, dtype={"customer_id": str})
    whole = clv.customers.with_columns_over_time(base, table, before=0, others="leave_out")
    whole = clv.customers.with_plan(whole, "carry_forward")
    for name in ("mails", "change_time", "change_start"):
        assert run.customers[name].identical(whole[name])
    assert run.buying["posterior"]["over_time_effect"].values.tolist() == ["mails"]
    value = clv.predict(run.buying, whole, run.horizon, seed=run.record["seeds"]["future"])
    np.testing.assert_array_equal(run.table["purchases_mean"], value["purchases_mean"])
    assert run.record["arguments"]["over_time"] == "mails.csv"
    assert run.record["tracking"] == []
    assert run.told_apart_by == ["mails"]
    assert run.record["holdout"] is not None


def test_terminal_and_page_say_the_effect(done):
    out, printed = done
    buying = clv.load(out / "buying.nc")
    (said,) = clv.inference.effects_over_time(buying).attrs["sentences"]
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    change = page[page.index('id="change"') : page.index('id="appendix"')]
    for each in (
        said,
        "Columns over time: mails. With them rates do not drift",
        "The forecast takes their last known values to stay.",
        "2 rows of their table are of nobody who had bought by 2025-09-30, and left out.",
    ):
        assert each in printed
        assert each in change
    assert 'id="tracking"' not in page
    with speaking("zh"):
        (other,) = over_time_words(buying)
    assert CHINESE.search(other)
    assert "mails" in other
    assert said.rpartition("(90 %: ")[2].split(" to ")[0] in other


def test_what_goes_on_from_the_run_goes_by_them_or_refuses_in_words(done, mails, shop, tmp_path):
    out, _ = done
    told = ["--rule", "lifecycle", "--out", tmp_path / "s.csv", "--draws", 50]
    result = command("segment", out, *told)
    assert result.exit_code == 0, result.stderr
    result = command("alarms", out, "--out", tmp_path / "a.csv")
    assert result.exit_code == 2
    assert "does not go by columns over time (mails) yet" in " ".join(result.stderr.split())
    opened = browsing.open_run(out, draws=20)
    place = int(np.argmax(opened.run.customers["frequency"].to_numpy()))
    figure, why = browsing._history(opened, place, str(opened.run.customers["customer"][place].item()))
    assert figure is None
    assert "columns over time" in why
    score = ["score", out, shop[0] / "orders.csv", "--until", HOLDOUT, "--out", tmp_path / "found.parquet"]
    result = command(*score)
    assert result.exit_code == 2
    assert "a row for each change: --over-time." in " ".join(result.stderr.split())
    result = command(*score, "--over-time", mails)
    assert result.exit_code in (0, 3), result.stderr
    assert json.loads((tmp_path / "found.json").read_text())["totals"]["purchases"]["mean"] > 0


def test_its_posterior_serves_again_with_the_table(done, mails, shop, tmp_path, monkeypatch):
    from bayes_clv.views.reporting import page

    monkeypatch.setattr(page, "write_page", lambda path, *_given, **_more: path.write_text("report"))
    monkeypatch.setattr(running, "_drawn_ahead", lambda *_given: {})
    told = {"until": UNTIL, "holdout_until": HOLDOUT, "spend": None, "posteriors": done[0]}
    with pytest.raises(InputError, match=r"posteriors go by columns over time \(mails\)"):
        running.run(Settings(shop[0] / "orders.csv", out=tmp_path / "again", **told))
    plan = {"over_time": mails, "over_time_plan": "carry_forward", "over_time_before": 0.0}
    running.run(Settings(shop[0] / "orders.csv", out=tmp_path / "again", **told, **plan))
    one, other = read_run(done[0]), read_run(tmp_path / "again")
    np.testing.assert_array_equal(one.table["purchases_mean"], other.table["purchases_mean"])


def test_another_table_is_another_start(done, mails, tmp_path):
    customers = read_run(done[0]).customers.drop_vars(["mails", "change_time", "change_start"])
    told = Settings("orders.csv", over_time=mails, over_time_before=0.0)
    one, strangers = over_time.with_changes(told, customers)
    assert strangers == 2
    table = pd.read_csv(mails, dtype=str)
    named = table.rename(columns={"customer_id": "who", "date": "day"})
    named.astype({"mails": float}).to_parquet(tmp_path / "named.parquet")
    same = Settings("orders.csv", "who", "day", over_time=tmp_path / "named.parquet", over_time_before=0.0)
    again, _ = over_time.with_changes(same, customers)
    assert running._key(told, one) == running._key(
        Settings("orders.csv", over_time=tmp_path / "named.parquet", over_time_before=0.0), again
    )
    table.loc[0, "date"] = "2025-10-07"
    other, _ = over_time.with_changes(
        Settings("orders.csv", over_time=table.astype({"mails": float}), over_time_before=0.0), customers
    )
    assert running._key(told, one) != running._key(told, other)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            {"over_time": "m.csv", "drift": True},
            "drift=True cannot be had with over_time: a rate that drifts",
        ),
        ({"over_time": "m.csv", "returns": True}, "returns=True cannot be had with over_time"),
        ({"over_time": "m.csv", "family": "pareto_nbd"}, "leave at any time"),
        ({"over_time_plan": "carry_forward"}, "is of columns over time. Name their table with over_time"),
        ({"over_time_before": 0.0}, "is of columns over time"),
    ],
)
def test_what_cannot_be_had_is_refused_at_once(told, message):
    with pytest.raises(InputError, match=message):
        check_settings(Settings("orders.csv", **told))


def test_a_table_that_cannot_serve_is_refused_before_anything_is_fitted(shop, mails, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "_posteriors", lambda *_given: pytest.fail("fitted"))
    pd.DataFrame({"who": ["1"], "mails": [1]}).to_csv(tmp_path / "who.csv", index=False)
    table = pd.read_csv(mails)
    table.assign(customer_id="x").to_csv(tmp_path / "others.csv", index=False)
    run = ["run", shop[0] / "orders.csv", "--until", UNTIL, "--family", "nbd", "--out", tmp_path / "out"]
    plan = ["--over-time-plan", "carry_forward"]
    for told, message in (
        (["--over-time", mails, "--over-time-before", 0], "--over-time-plan carry_forward"),
        (["--over-time", mails, *plan], "--over-time-before 0"),
        (["--over-time", tmp_path / "none.csv"], "Name the table of columns over time with --over-time."),
        (["--over-time", tmp_path / "who.csv"], "The table of columns over time has no column 'customer_id'"),
        (["--over-time", tmp_path / "others.csv"], "Is customer_id what the customers are called"),
        (
            ["--over-time", mails, "--returns", "--family", "bg_nbd"],
            "--returns True cannot be had with --over-time",
        ),
    ):
        result = command(*run, *told)
        assert result.exit_code == 2
        assert message in " ".join(result.stderr.split())
    assert not Path(tmp_path / "out").exists()


def test_a_table_for_posteriors_without_is_refused(done, mails, monkeypatch):
    customers = read_run(done[0]).customers.drop_vars(["mails", "change_time", "change_start"])
    monkeypatch.setattr(over_time, "read_by", lambda _folder: [])
    with pytest.raises(InputError, match="serves nothing"):
        over_time.with_changes(Settings("o.csv", over_time=mails, posteriors=done[0]), customers)


def test_the_choice_is_among_the_families_that_take_them(done, monkeypatch):
    settings = Settings("orders.csv", spend=None, over_time="mails.csv")
    assert open_choice(settings) == (["bg_nbd", "mbg_nbd"], [])
    customers = read_run(done[0]).customers
    asked = {}

    def chosen(_customers, **given):
        asked.update(given)
        table = pd.DataFrame({"crps": [1.0]}, index=["mbg_nbd"])
        table.attrs = {
            "family": "mbg_nbd",
            "reason": "Of two.",
            "customers": 1,
            "sampled": False,
            "last": None,
        }
        return table

    monkeypatch.setattr(clv.scoring, "choose_family", chosen)
    decided, choice = deciding.decide_family(settings, customers, Stages(lambda *_given: None))
    assert (decided.family, decided.drift, decided.returns) == ("mbg_nbd", False, False)
    assert asked["families"] == ["bg_nbd", "mbg_nbd"]
    assert choice["reason"] == (
        "Of two. Chosen was among the families that take columns over time, bg_nbd, mbg_nbd, by histories without them."
    )


@pytest.mark.full
def test_a_run_by_nuts_with_a_calendar_splits_its_variance(shop, mails, tmp_path):
    """Of a plan too: the shares add up, and the sentence is in the record and in the terminal."""
    result = command(
        *("run", shop[0] / "orders.csv", "--until", UNTIL, "--holdout-until", HOLDOUT, "--purchases-only"),
        *("--over-time", mails, "--over-time-plan", "carry_forward", "--over-time-before", 0),
        *("--family", "bg_nbd", "--calendar", "--method", "nuts", "--draws", 50, "--out", tmp_path / "run"),
    )
    assert result.exit_code == 0, result.stderr
    run = read_run(tmp_path / "run")
    assert run.buying.attrs["method"] == "nuts"
    assert sum(run.record["variance"].values()) == pytest.approx(1)
    assert "Of the variance of all customers' purchases" in " ".join(result.stdout.split())
    found = clv.inference.effects_over_time(run.buying)
    assert found["factor"].sizes["quantile"] == 3
