"""A calendar by group from a shell: a run, what it says and draws, what goes on from it, and what is refused."""

import html
import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_clv as clv
from bayes_clv.cli import app
from bayes_clv.language import speaking
from bayes_clv.schema import InputError, quantiles
from bayes_clv.views.plots.calendar import MOST_LINES, calendar_bands, plot_calendar
from bayes_clv.views.reporting.fits import calendar_words
from bayes_clv.workflows import running
from bayes_clv.workflows.deciding import decide_calendar
from bayes_clv.workflows.described import used_by
from bayes_clv.workflows.folders import read_run
from bayes_clv.workflows.settings import Settings, check_settings, open_choice
from bayes_clv.workflows.stages import Stages
from tests.sentences import CHINESE

UNTIL, HOLDOUT = "2025-09-30", "2025-12-31"


def command(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture(scope="module")
def channels(shop, tmp_path_factory):
    """A table of customers with a channel each."""
    ids = np.unique(shop[1]["customer_id"])
    path = tmp_path_factory.mktemp("channels") / "channels.csv"
    pd.DataFrame({"customer_id": ids, "channel": np.array(["shop", "web"])[np.arange(ids.size) % 2]}).to_csv(
        path, index=False
    )
    return path


@pytest.fixture(scope="module")
def done(shop, channels):
    out = channels.parent / "run"
    result = command(
        *("run", shop[0] / "orders.csv", "--until", UNTIL, "--holdout-until", HOLDOUT, "--purchases-only"),
        *("--columns", channels, "--calendar-by", "channel", "--family", "nbd", "--method", "laplace"),
        *("--draws", 25, "--out", out),
    )
    assert result.exit_code == 0, result.stderr
    return out, " ".join(result.stdout.split())


def test_the_run_is_of_a_calendar_each(done):
    run = read_run(done[0])
    assert run.buying["posterior"]["calendar_group"].values.tolist() == ["shop", "web"]
    assert run.record["arguments"]["calendar_by"] == "channel"
    assert run.record["arguments"]["calendar"] is True
    value = clv.predict(run.buying, run.customers, run.horizon, seed=run.record["seeds"]["future"])
    np.testing.assert_array_equal(run.table["purchases_mean"], value["purchases_mean"])
    assert run.told_apart_by == ["channel"]
    assert used_by(done[0]) == ["channel"]
    assert {each["part"] for each in run.record["tracking"]} == {"calibration", "holdout"}
    assert sum(run.record["variance"].values()) == pytest.approx(1)


def test_terminal_and_page_say_each_group(done):
    out, printed = done
    buying = clv.load(out / "buying.nc")
    words = calendar_words(buying)
    assert words[1].startswith("Each channel has a calendar of its own beside what all have in common")
    assert [each.partition(":")[0] for each in words[2:4]] == ["shop", "web"]
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    change = page[page.index('id="change"') : page.index('id="appendix"')]
    for each in words[1:4]:
        assert each in printed
        assert each in change
    assert "Groups with a calendar of their own" in page
    assert "Each line is what one group's customers did" in page
    assert "hangs on the calendar of its group" in page
    with speaking("zh"):
        other = calendar_words(buying)
    assert all(CHINESE.search(each) for each in other[1:4])


def test_the_numbers_of_the_words_are_those_of_the_draws(done):
    buying = clv.load(done[0] / "buying.nc")
    rate = buying["posterior"]["calendar_group_rate"].sel(calendar_group="web")
    now = rate.isel(calendar_period=slice(-4, None)).mean("calendar_period") / rate.mean("calendar_period")
    low, middle, high = quantiles(now.to_numpy().ravel(), (0.05, 0.5, 0.95))
    assert (
        f"at {middle:.2f} times the rate of their own whole past, 90 %: {low:.2f} to {high:.2f}"
        in (calendar_words(buying)[3])
    )


def test_the_figure_has_a_line_a_group_and_its_legend_below_the_data(done):
    buying = clv.load(done[0] / "buying.nc")
    bands = calendar_bands(buying)
    np.testing.assert_allclose(
        bands["group_rate"].sel(quantile=0.5)[:, : bands.attrs["known"]],
        quantiles(buying["posterior"]["calendar_group_rate"].to_numpy().reshape(100, 2, -1), (0.5,), axis=0)[
            0
        ],
        rtol=1e-12,
    )
    figure = plot_calendar(buying)
    (axes,), (legend,) = figure.axes, figure.legends
    assert [each.get_text() for each in legend.get_texts()] == ["in common, 90 % band", "shop", "web"]
    figure.draw_without_rendering()
    assert legend.get_window_extent().y1 <= axes.get_window_extent().y0
    assert MOST_LINES == 5


def test_what_goes_on_from_the_run_goes_by_it_or_refuses_in_words(done, shop, channels, tmp_path):
    out, _ = done
    score = ["score", out, shop[0] / "orders.csv", "--until", HOLDOUT, "--out", tmp_path / "found.parquet"]
    result = command(*score, "--columns", channels)
    assert result.exit_code in (0, 3), result.stderr
    assert json.loads((tmp_path / "found.json").read_text())["holdout"] is not None
    result = command("segment", out, "--rule", "lifecycle", "--out", tmp_path / "s.csv", "--draws", 25)
    assert result.exit_code == 0, result.stderr
    result = command("alarms", out, "--out", tmp_path / "a.csv")
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "does not go by a calendar of groups (channel) yet" in said
    assert "--calendar without --calendar-by" in said


def test_its_posterior_serves_again(done, shop, channels, tmp_path, monkeypatch):
    from bayes_clv.views.reporting import page

    monkeypatch.setattr(page, "write_page", lambda path, *_given, **_more: path.write_text("report"))
    monkeypatch.setattr(running, "_drawn_ahead", lambda *_given: {})
    told = {"until": UNTIL, "holdout_until": HOLDOUT, "spend": None, "posteriors": done[0]}
    running.run(Settings(shop[0] / "orders.csv", columns=channels, out=tmp_path / "again", **told))
    one, other = read_run(done[0]), read_run(tmp_path / "again")
    np.testing.assert_array_equal(one.table["purchases_mean"], other.table["purchases_mean"])


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"calendar": False}, "calendar=False says there is none"),
        ({"over_time": "m.csv"}, "and over_time cannot be had in one fit yet"),
        ({"drift": True}, "cannot be had with drift=True"),
        ({"returns": True}, "cannot be had with returns=True"),
        ({"method": "mode"}, "cannot be fitted by method='mode'"),
        ({"family": "pareto_nbd"}, "family='pareto_nbd' has no calendar by group: bg_nbd, mbg_nbd, nbd have"),
        ({"posteriors": "there"}, "fitted already"),
    ],
)
def test_what_cannot_be_had_is_refused_at_once(told, message):
    with pytest.raises(InputError, match=message):
        check_settings(Settings("orders.csv", calendar_by="channel", **told))


def test_columns_that_cannot_serve_are_refused_before_anything_is_fitted(
    shop, channels, tmp_path, monkeypatch
):
    monkeypatch.setattr(running, "_posteriors", lambda *_given: pytest.fail("fitted"))
    table = pd.read_csv(channels)
    table.assign(channel="web").to_csv(tmp_path / "one.csv", index=False)
    alone = table.copy()
    alone.loc[0, "channel"] = "fax"
    alone.to_csv(tmp_path / "alone.csv", index=False)
    run = ["run", shop[0] / "orders.csv", "--until", UNTIL, "--family", "nbd", "--purchases-only"]
    run += ["--out", tmp_path / "out", "--calendar-by"]
    for told, message in (
        (["colour", "--columns", channels], "colour"),
        (["channel"], "channel"),
        (["channel", "--columns", tmp_path / "one.csv"], "All customers have 'web' in 'channel'"),
        (["channel", "--columns", tmp_path / "alone.csv"], "have one customer, such as 'fax'"),
    ):
        result = command(*run, *told)
        assert result.exit_code == 2
        assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


def test_the_choice_is_among_the_families_that_have_it_and_there_is_a_calendar(done):
    settings = Settings("orders.csv", spend=None, calendar_by="channel")
    assert open_choice(settings) == (["bg_nbd", "mbg_nbd"], [])
    told = Settings("orders.csv", spend=None, calendar_by="channel", family="nbd")
    decided, why = decide_calendar(told, None, read_run(done[0]).customers, Stages(lambda *_given: None))
    assert (decided.calendar, why) == (True, None)
