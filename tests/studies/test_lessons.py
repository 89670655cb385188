"""Every lesson runs as a program, shows the numbers it should, and is a page that asks for nothing else."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.browser import CHROMIUM, not_reached, too_wide, violations, visit

pytest.importorskip("marimo", reason="uv sync installs marimo, of the group lessons.")

import studies.lessons
from studies.lessons import __main__ as command
from studies.lessons import by_hand, handout, moving, weighing, worlds

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    """Return of a lesson the path of its page and what it defines; each is run once."""
    folder, known = tmp_path_factory.mktemp("lessons"), {}

    def of(lesson):
        if lesson not in known:
            text, defined = handout.page(lesson)
            path = folder / f"{lesson}.html"
            path.write_text(text, encoding="utf-8")
            known[lesson] = path, defined
        return known[lesson]

    return of


def test_by_hand_is_what_the_package_says():
    """The published worked example, and the limits of nobody known and of a customer seen for ever."""
    one = pd.DataFrame({"frequency": [2], "recency": [30.43], "T": [38.86]})
    # Fader, Hardie & Lee (2005) and the BTYD walkthrough, to the digits printed.
    assert by_hand.alive(one, by_hand.BG_NBD, "bg_nbd")[0, 0] == pytest.approx(0.7266, abs=5e-5)
    new = by_hand.NEW
    assert by_hand.purchases(new, 1e-9)[0, 0] == pytest.approx(
        # Rate r / alpha, times the chance b / (a + b) to be there after the first purchase.
        1e-9 * 0.5248 / 6.183 * 1.614 / (0.8914 + 1.614),
        rel=1e-6,
    )
    # Hardie's Gamma-Gamma example has p v / (q - 1) = 35.2 dollars for customers without a repeat purchase.
    assert by_hand.spend(new)[0, 0] == pytest.approx(6.25 * 15.44 / (3.74 - 1), rel=1e-12)


def test_a_future_by_hand_follows_the_probabilities():
    clara = by_hand.THREE.loc[["Clara"]]
    many = {name: np.full(40_000, value) for name, value in by_hand.BUYING.items()}
    alive, _, made = by_hand.futures(clara, 52, seed=4, buying=many)
    exact = by_hand.chances(clara, 52, 6)[:, 0, 0]
    found = np.array([(made == count).mean() for count in range(7)])
    # Eight comparisons: a standard normal is beyond 4 once in 16,000.
    assert np.all(np.abs(found - exact) < 4 * np.sqrt(exact * (1 - exact) / made.size))
    there = by_hand.alive(clara)[0, 0]
    assert abs(alive.mean() - there) < 4 * np.sqrt(there * (1 - there) / alive.size)


def test_five_questions(lessons):
    _, defined = lessons("lesson_0_five_questions")
    # After 14 silent weeks; then worth next year, by hand from P(alive), purchases and spend.
    assert np.round(defined["now"], 2).tolist() == [0.61, 0.53, 0.66]
    assert np.round(defined["worth"]).tolist() == [29, 18, 28]
    np.testing.assert_allclose(defined["worth"], 0.3 * defined["expected"] * defined["paid"], rtol=1e-12)
    assert defined["least"] == "Ben"
    assert "Clara with 66%" in defined["meeting_1"]
    assert np.round(defined["any_purchase"], 2).tolist() == [0.87, 0.18, 0.59]
    assert 25 < defined["may_cost"] < 26


def test_silence(lessons):
    _, defined = lessons("lesson_1_silence")
    # 900 e^-3 of 900 e^-3 + 100.
    assert defined["counted"] == pytest.approx(44.808 / 144.808, abs=1e-4)
    # The twins are the family's customers where nobody differs: r and a + b without end, 1 / 4 a week and .1.
    equal = {"r": 1e7, "alpha": 4e7, "a": 1e6, "b": 9e6}
    seen = pd.DataFrame({"frequency": [5], "recency": [20.0], "T": [32.0]})
    assert by_hand.alive(seen, equal)[0, 0] == pytest.approx(defined["counted"], abs=1e-5)
    # Who buys more worries sooner.
    assert np.all(np.diff(defined["worry"]) <= 0)
    assert np.all(defined["by_model"]["BG/NBD"] == 1)
    assert np.all(np.diff(defined["by_model"]["MBG/NBD"]) < 0)
    assert defined["wrongly_called"] == pytest.approx(defined["base_alive"][defined["called"]].sum())


def test_three_levels(lessons):
    _, defined = lessons("lesson_3_three_levels")
    widths = {name: float(np.diff(ends)[0]) for name, ends in defined["ends"].items()}
    assert widths["expected"] < widths["latent"]
    assert widths["expected"] < widths["outcome"]
    # No whole number in the interval of the expectation; the whole ends of the outcome hold 90 %.
    assert np.floor(defined["ends"]["expected"][1]) < defined["ends"]["expected"][0]
    low, high = defined["ends"]["outcome"]
    assert np.mean((defined["made"] >= low) & (defined["made"] <= high)) >= 0.9
    # The decision: the expectation is above the bill throughout, and the outcome is under it a third of the time.
    assert defined["expected_ends"][0] > defined["bill"]
    assert 0.25 < defined["loss"] < 0.45
    # Never narrower than the expectation's, by the noise of 400 draws' quantiles.
    assert defined["high"][-1] - defined["low"][-1] > 0.9 * np.diff(defined["floor"])[0]


def test_weighing_is_the_familys_likelihood():
    """Weights by hand: one customer without a repeat purchase, of whom the likelihood is a line."""
    seen = pd.DataFrame({"frequency": [0.0, 0.0], "recency": [0.0, 0.0], "T": [39.0, 10.0]})
    drawn = weighing.prior(50, seed=2, rate=0.1)
    params = by_hand.FAMILY.from_quantities(drawn)
    r, alpha, a, b = (params[name][:, None] for name in ("r", "alpha", "a", "b"))
    silent = (alpha / (alpha + seen["T"].to_numpy())) ** r
    exact = np.log((b * silent + a) / (a + b))
    np.testing.assert_allclose(weighing.log_likelihoods(seen, drawn), exact, rtol=1e-9)
    assert weighing.effective(weighing.weights(np.zeros(40))) == pytest.approx(40)
    assert weighing.quantiles(np.array([3.0, 1.0, 2.0]), np.array([0.5, 0.25, 0.25])).tolist() == [1, 2, 3]


def test_prior_to_posterior(lessons):
    _, defined = lessons("lesson_2_prior_to_posterior")
    # Two owners come together; the intervals narrow and hold the truth, .0849, of the 100 customers' world.
    apart = np.abs(np.log(defined["first_owner"][:, 1] / defined["second_owner"][:, 1]))
    assert apart[-1] < 0.25 * apart[0]
    width = np.log(defined["first_owner"][:, 2] / defined["first_owner"][:, 0])
    assert width[-1] < 0.5 * width[0]
    assert defined["first_owner"][-1, 0] < 0.5248 / 6.183 < defined["first_owner"][-1, 2]
    # After 27 silent weeks she is rather gone, and if she is there she is slower.
    assert defined["there_now"] == pytest.approx(by_hand.alive(defined["history"](39))[0, 0])
    assert defined["if_there"] < defined["if_gone"]


def test_change_and_christmas(lessons):
    _, defined = lessons("lesson_4_change_and_christmas")
    totals = defined["totals"]
    # Real: studies/README.md, 4,444 from 2011-09-09; outside without a calendar, inside with one.
    assert totals["made"] == 4444
    assert totals["static_high"] < totals["made"] < totals["calendar_high"]
    assert defined["weeks_inside"]["static"] < 6 < defined["weeks_inside"]["calendar"]
    # A rhythm for ever cannot tell the two apart; the longest half-life stored is nearly that.
    stella, sven = defined["stella"]["purchases"], defined["sven"]["purchases"]
    assert (stella > sven).all()
    assert stella.iloc[-1] == pytest.approx(defined["alike"], rel=0.02)
    assert sven.iloc[-1] == pytest.approx(defined["alike"], rel=0.02)
    assert (stella - sven).idxmax() == 52


def test_quartiles(lessons):
    _, defined = lessons("lesson_5_quartiles")
    np.testing.assert_allclose(defined["moved"].sum(axis=0), 1)
    np.testing.assert_allclose(defined["moved"].sum(axis=1), 1)
    assert defined["stay"] < 0.9
    # Regression to the mean: the lower half rises though nothing happened.
    assert defined["low_after"] > 1.5 * defined["low_before"]
    assert defined["sure_ones"] < 0.3 * defined["labelled"].sum()
    # In each draw a quarter of the customers is the best quarter.
    assert defined["in_top"].mean() == pytest.approx(0.25, abs=1e-9)
    assert defined["by_expectation"] > defined["by_label"]


def test_regret(lessons):
    _, defined = lessons("lesson_6_regret")
    gain = defined["gain"]
    assert defined["regret_of_keeping"] - defined["regret_of_raising"] == pytest.approx(gain.mean())
    # Knowing a part is worth no more than knowing all, and something.
    assert 0 < defined["of_the_test"] <= defined["least_regret"] + 1e-9
    assert defined["better"] > defined["unpaired"]
    np.testing.assert_allclose(
        defined["difference"], defined["kept"] * (0.35 / 0.3 * (1 + 0.05 * defined["effect"]) - 1), rtol=1e-9
    )


def test_break_the_model(lessons):
    _, defined = lessons("lesson_7_break_the_model")
    held = defined["summary"]["held"]
    # As assumed: fewer than 14 of 20 inside has probability .002 where each is inside with .9.
    assert held["as assumed"] >= 14
    assert defined["held_rate"] >= 14
    assert held["Christmas"] == 0
    assert held[["changing", "two kinds"]].max() < 10
    # And the checks of the fit find none of it.
    assert defined["summary"]["passed"].min() >= 18


@pytest.mark.full
def test_all_pages_are_written_with_one_that_lists_them(tmp_path):
    *pages, index = handout.write(tmp_path)
    assert len(pages) == len(handout.LESSONS) == 8
    listed = re.findall(r'href="(.*?)"', index.read_text(encoding="utf-8"))
    assert listed == [page.name for page in pages]
    assert all(page.stat().st_size < 2_000_000 for page in pages)


def test_one_lesson_is_written_by_its_number_and_all_that_lie_there_are_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(handout, "page", lambda lesson: (f"<title>{lesson}</title>", {}))
    command.main(["3", "--out", str(tmp_path)])
    command.main(["studies/lessons/lesson_1_silence.py", "--out", str(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "index.html",
        "lesson_1_silence.html",
        "lesson_3_three_levels.html",
    ]
    assert capsys.readouterr().out.count("lesson_3_three_levels.html") == 1
    listed = re.findall(r'href="(.*?)"', (tmp_path / "index.html").read_text(encoding="utf-8"))
    assert listed == ["lesson_1_silence.html", "lesson_3_three_levels.html"]
    command.main(["--out", str(tmp_path / "all")])
    assert len(list((tmp_path / "all").iterdir())) == len(handout.LESSONS) + 1
    with pytest.raises(SystemExit):
        command.main(["9"])
    assert "there is no lesson '9'. There are lesson_0_five_questions" in capsys.readouterr().err


def test_the_lesson_that_the_page_for_teachers_writes_runs(tmp_path, monkeypatch):
    (source,) = re.findall(
        r"^```py\n(.*?)^```$", (ROOT / "docs" / "for_teachers.md").read_text(), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "lesson_8_our_shop.py").write_text(source)
    monkeypatch.setattr(studies.lessons, "__path__", [*studies.lessons.__path__, str(tmp_path)])
    text, defined = handout.page("lesson_8_our_shop")
    assert f"Ida is ours with {defined['ida']:.0%}, Jo with {defined['jo']:.0%}" in text
    # As the page says of the figure: the more frequent one's falls faster.
    assert defined["ida"] < defined["jo"]
    assert 'class="small"' in text


@pytest.mark.full
def test_worlds_are_made_again():
    """One base of each world again: the stored rows are those that the script makes."""
    stored = worlds.load().set_index(["world", "base"])
    for world in worlds.WORLDS:
        again = worlds.one(world, 2)
        for name in ("rate_middle", "purchases_low", "purchases_truth"):
            assert again[name] == pytest.approx(stored.loc[(world, 2), name], rel=1e-4, nan_ok=True), world


@pytest.mark.full
def test_moving_customers_are_made_again():
    pd.testing.assert_frame_equal(moving.customers(), pd.read_csv(moving.CUSTOMERS), rtol=1e-4)


@pytest.mark.parametrize("lesson", handout.LESSONS)
def test_page_is_whole_by_itself(lesson, lessons, browser):
    """From a folder, without an error, a request, a scroll sideways; answers are shut, and open by keyboard."""
    path, _ = lessons(lesson)
    with visit(browser, path, width=360) as seen:
        assert seen.errors == []
        assert seen.outside == []
        assert too_wide(seen.page) == []
        assert not_reached(seen.page) == []
        answers = seen.page.locator("details")
        assert answers.count() >= 5
        assert seen.page.locator("details[open]").count() == 0
        assert seen.page.locator("details .small svg").first.is_hidden()
        seen.page.locator("summary").first.focus()
        seen.page.keyboard.press("Enter")
        # The one of two that is drawn for a telephone.
        assert seen.page.locator("details .small svg").first.is_visible()
        assert seen.page.locator("details .wide svg").first.is_hidden()
        assert violations(seen.page) == []
    text = path.read_text(encoding="utf-8")
    assert "<marimo-" not in text
    # Two dollars that were taken for a formula.
    assert "||(" not in text
    assert not re.search(r"\bnan\b|\binf\b|Traceback", re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL))


def test_a_page_can_be_read_in_the_dark(lessons, browser):
    path, _ = lessons("lesson_0_five_questions")
    with visit(browser, path, scheme="dark") as seen:
        for _ in range(seen.page.locator("details").count()):
            seen.page.locator("details:not([open]) > summary").first.click()
        assert violations(seen.page) == []
        paper, ink = (
            seen.page.evaluate(f"getComputedStyle(document.querySelector('{where}')).{what}")
            for where, what in (("body", "backgroundColor"), (".picture svg text", "fill"))
        )
    assert [sum(map(int, re.findall(r"\d+", each)[:3])) < 384 for each in (paper, ink)] == [True, False]


@pytest.fixture
def served():
    """The first lesson as an app on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lesson = ROOT / "studies" / "lessons" / "lesson_0_five_questions.py"
    words = ["run", lesson, "--headless", "--no-token", "--host", "127.0.0.1", "--port", port]
    with subprocess.Popen(
        [sys.executable, "-m", "marimo", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"MARIMO_SKIP_UPDATE_CHECK": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=1):
                    break
            except OSError:
                assert server.poll() is None, "marimo ended."
                time.sleep(0.1)
        yield address
        server.terminate()


@pytest.mark.skipif(CHROMIUM is None, reason="No chromium on this machine.")
def test_a_moved_slider_changes_the_number(served, browser):
    with visit(browser, served) as seen:
        page = seen.page
        page.get_by_text("Show the answer").first.click(timeout=60_000)
        sentence = page.get_by_text(re.compile("Say in the meeting")).first.locator("..")
        assert "After 14 weeks" in sentence.inner_text()
        page.get_by_role("slider").nth(1).focus()
        for _ in range(2):
            page.keyboard.press("ArrowRight")
        page.get_by_text("After 16 weeks").wait_for(timeout=60_000)
        after = by_hand.alive(by_hand.silent_for(by_hand.THREE, 16))[2, 0]
        assert f"Clara with {after:.0%}" in sentence.inner_text()
        # The answer that was opened stays open.
        assert sentence.is_visible()
        assert seen.outside == []
        assert seen.errors == []


@pytest.mark.full
@pytest.mark.parametrize("lesson", handout.LESSONS)
def test_runs_as_a_program(lesson):
    """As a teacher starts it, in a process of its own."""
    subprocess.run([sys.executable, f"studies/lessons/{lesson}.py"], cwd=ROOT, check=True)


def test_lessons_are_told():
    """Each says how long it takes and ends in exercises with answers."""
    for lesson in handout.LESSONS:
        text = (ROOT / "studies" / "lessons" / f"{lesson}.py").read_text(encoding="utf-8")
        assert re.search(r"\*About (30|45|60) minutes", text), lesson
        assert "## Exercises" in text
        assert "Answer A" in text
