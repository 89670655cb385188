"""The page's figures: handed over in their order, asked for from the last, and named where they cannot be drawn."""

import re
from functools import partial
from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from bayes_clv.views import narrow, style
from bayes_clv.views.plots.amounts import plot_concentration, plot_value_distribution
from bayes_clv.views.plots.segments import plot_segment_sizes
from bayes_clv.views.reporting.gallery import Drawn, Gallery, drawn
from tests.sentences import CHINESE


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


def words_of(svg):
    """Return the words of a document, lines that go on in one put together."""
    said = re.findall(r"<text\b[^>]*(?<!/)>(.*?)</text>", svg, flags=re.DOTALL)
    texts = [re.sub(r"<[^>]*>", " ", each) for each in said]
    return {word for text in texts for word in text.split() if not re.fullmatch(r"[\d,.\s−-]+", word)}


def test_a_figure_for_a_telephone_says_the_same_in_more_lines(make):
    for draw in (partial(plot_concentration, make.value()), partial(plot_segment_sizes, make.segments())):
        found = drawn(draw, narrow=True)
        sizes = [
            float(re.search(r'<svg[^>]*width="([\d.]+)pt', each)[1]) for each in (found.svg, found.narrow)
        ]
        assert sizes == [72 * style.WIDTH, 72 * narrow.WIDTH]
        assert words_of(found.narrow) == words_of(found.svg)
        assert found.narrow.count("<text") > found.svg.count("<text") - 12
    # Columns of panels come below each other on the page, and nobody asked for this one.
    assert drawn(partial(plot_value_distribution, make.value()), narrow=True).narrow == ""
    assert drawn(partial(plot_concentration, make.value())).narrow == ""


@pytest.mark.parametrize("png", [False, True])
def test_a_figure_for_a_telephone_is_laid_out_anew_so_that_no_title_is_cut(png):
    figure = style.drawing(4.2)
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100])
    figure.colorbar(axes.imshow([[0.0, 1.0]], extent=(0, 100, 0, 100)), label="what the colours say")
    style.heading(
        axes, "A title", "a note that is long enough for two lines of a telephone, where one is for a page"
    )
    drawn(lambda: figure, png=png, narrow=True)
    assert axes._left_title.get_window_extent().y1 <= figure.bbox.y1
    assert all(each.get_tightbbox().x1 <= figure.bbox.x1 for each in figure.axes)


def rows_of(*lengths):
    """A figure of rows with long names, a text beside each, and a legend beside the axes."""
    figure = style.drawing(2.5, width=8.0)
    axes = figure.subplots()
    axes.plot(lengths, range(len(lengths)), "o", label="what it is")
    style.beside(axes, [f"better: {length} %" for length in lengths])
    style.rows(axes, [f"a channel with a long name, {length}" for length in lengths])
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="dots")
    style.heading(axes, "Rows", "a note below the title")
    return figure


def test_rows_have_their_names_and_texts_above_them_on_a_telephone():
    figure = rows_of(3, 1, 2)
    found = drawn(lambda: figure, narrow=True)
    assert words_of(found.narrow) == words_of(found.svg)
    (axes,) = figure.axes
    # Nothing is beside the axes any more: neither names, nor texts, nor the legend.
    assert axes.bbox.width > 0.9 * figure.bbox.width
    assert axes.get_legend() is None
    box = axes.get_tightbbox()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    named = [text for text in axes.texts if text.get_label() != style.NOTE]
    middles = axes.transData.transform([(0, row) for row in range(3)])[:, 1]
    for row, (name, text) in enumerate(zip(named[:3], named[3:], strict=True)):
        boxes = [each.get_window_extent() for each in (name, text)]
        assert boxes[0].x1 < boxes[1].x0
        # Above its own row and below the one before.
        assert all(middles[row] < each.y0 for each in boxes)
        assert row == 0 or all(each.y1 < middles[row - 1] for each in boxes)


def test_panels_that_share_a_legend_come_below_each_other_on_a_telephone():
    figure = style.drawing(3.0)
    panels = figure.subplots(1, 2)
    for axes, title in zip(panels, ("Left", "Right"), strict=True):
        axes.plot([1, 2], label=title)
        style.heading(axes, title, "a note")
    figure.legend(loc="outside lower center", ncols=2)
    found = drawn(lambda: figure, narrow=True)
    assert found.panels == ()
    assert words_of(found.narrow) == words_of(found.svg)
    upper, lower = (axes.bbox for axes in panels)
    assert upper.y0 > lower.y1
    assert upper.width == pytest.approx(lower.width)


def test_names_of_columns_are_turned_where_they_would_run_into_each_other_on_a_telephone():
    turned = []
    for names in (["1997 Q1", "1997 Q2"], [f"{1997 + i // 4} Q{1 + i % 4}" for i in range(6)]):
        figure = style.drawing(3.0)
        axes = figure.subplots()
        axes.bar(range(len(names)), 1.0)
        axes.set_xticks(range(len(names)), names)
        narrow.narrowed(figure)
        boxes = [each.get_window_extent() for each in axes.get_xticklabels()]
        turned.append(axes.get_xticklabels()[0].get_rotation())
        assert turned[-1] or all(a.x1 < b.x0 for a, b in pairwise(boxes))
    assert turned == [0, 40]


def test_titles_begin_at_the_edge_of_their_panel_as_captions_do():
    figure = rows_of(3, 1, 2)
    style.svg_text(figure)
    (axes,) = figure.axes
    (note,) = style.notes(axes)
    title = axes._left_title.get_window_extent()
    labels = axes.yaxis.get_tightbbox()
    assert labels.x0 < axes.bbox.x0 - 50
    # To the pixels by which letters of SVG and of a screen differ.
    assert title.x0 == pytest.approx(labels.x0, abs=4)
    assert note.get_window_extent().x0 == pytest.approx(title.x0, abs=0.1)
    # And stays there when it is laid out again.
    style.svg_text(figure)
    assert axes._left_title.get_window_extent().x0 == pytest.approx(title.x0, abs=0.1)


def test_lines_are_broken_at_spaces_and_between_chinese_letters_and_lose_nothing():
    text = "customers ranked by their predictive mean; outcome level, means only"
    lines = narrow._lines(text, 200, 9.0)
    assert len(lines) == 2
    assert " ".join(lines) == text
    said = "客户按预测均值排序；结果层，仅均值，无区间，P(alive) 在内"
    lines = narrow._lines(said, 120, 9.0)
    assert len(lines) > 2
    assert "".join(lines).replace(" ", "") == said.replace(" ", "")
    assert not any(line[0] in "，；" for line in lines)
    assert any(CHINESE.search(line) for line in lines)
