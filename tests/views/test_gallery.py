"""The page's figures: handed over in their order, asked for from the last, and named where they cannot be drawn."""

from functools import partial

import pytest
from matplotlib.figure import Figure

from bayes_clv.views.reporting.gallery import Drawn, Gallery, drawn


def line(height: float) -> Figure:
    """Draw one, or refuse."""
    if height < 0:
        raise ValueError(f"{height} is below 0")
    figure = Figure(figsize=(2, 2))
    figure.subplots().plot([0, height])
    return figure


@pytest.fixture
def log():
    return []


@pytest.fixture
def hand(log):
    """Hand a function over to nobody; keep when it is handed over and when it is asked for."""

    def take(function, draw, **more):
        log.append(("handed", draw.args))

        def ask():
            log.append(("asked", draw.args))
            return function(draw, **more)

        return ask

    return take


def test_what_is_handed_over_first_is_asked_for_last(log, hand):
    gallery = Gallery(None, hand=hand)
    figures = [gallery.add(f"line-{height}", partial(line, height), "A line.") for height in (1, 2, 3)]
    assert log == [("handed", (1,)), ("handed", (2,)), ("handed", (3,))]
    assert not any(figures)
    gallery.finish()
    assert log[3:] == [("asked", (3,)), ("asked", (2,)), ("asked", (1,))]
    assert [figure.name in figure.svg for figure in figures] == [True] * 3


def test_a_figure_ahead_is_not_handed_over_again(log, hand):
    gallery = Gallery(None, ahead={"line": lambda: Drawn("<svg>ahead</svg>")}, hand=hand)
    figure = gallery.add("line", partial(line, 1), "A line.")
    gallery.finish()
    assert log == []
    assert "ahead" in figure.svg


def test_what_cannot_be_drawn_is_named_in_the_order_of_the_page():
    gallery = Gallery(None)
    heights = {"first-line": -1, "second-line": 1, "third-line": -2}
    figures = [gallery.add(name, partial(line, height), "A line.") for name, height in heights.items()]
    gallery.finish()
    assert gallery.skipped == ["first line: -1 is below 0", "third line: -2 is below 0"]
    assert [bool(figure) for figure in figures] == [False, True, False]


def test_files_are_what_was_drawn(tmp_path):
    gallery = Gallery(tmp_path, png=True)
    gallery.add("a-line", partial(line, 1), "A line.")
    gallery.finish()
    assert {path.name for path in tmp_path.iterdir()} == {"a_line.svg", "a_line.png"}
    found = drawn(partial(line, 1), png=True)
    assert (tmp_path / "a_line.png").read_bytes() == found.png
    assert found.svg.splitlines()[-1] in (tmp_path / "a_line.svg").read_text()


def test_columns_of_panels_are_told_apart_and_cut_between_their_labels():
    figure = Figure(figsize=(7, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set_ylabel("customers")
    right.set_ylabel("draws")
    found = drawn(lambda: figure)
    (x, y, width, height), (cut, _, rest, _) = (map(float, box.split()) for box in found.panels)
    assert (x, y, height) == (0, 0, 3 * 72)
    assert cut == width
    assert cut + rest == pytest.approx(7 * 72, abs=0.1)
    # The cut lies between the left panel's axes and the right panel's label.
    assert (
        left.get_position().x1 < cut / (7 * 72) < right.yaxis.label.get_window_extent().x0 / figure.bbox.width
    )


def test_what_stands_across_the_columns_keeps_the_figure_whole():
    figure = Figure(figsize=(7, 3), layout="constrained")
    left, _ = figure.subplots(1, 2)
    left.plot([0, 1], label="model")
    figure.legend()
    assert drawn(lambda: figure).panels == ()
    alone = Figure(figsize=(7, 3), layout="constrained")
    image = alone.subplots().imshow([[0, 1]])
    alone.colorbar(image)
    assert drawn(lambda: alone).panels == ()
