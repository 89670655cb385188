"""Names in any language are drawn in fonts that have them; where the machine has none, one plain message says so."""

import re
import warnings

import matplotlib as mpl
import pytest

mpl.use("Agg")

from matplotlib import font_manager

import bayes_clv as clv
from bayes_clv.language import letters_of
from bayes_clv.views import fonts, style

NAMES = ("沉睡客户", "普通客户", "忠诚客户")


@pytest.fixture
def bare(monkeypatch):
    """A machine that has matplotlib's own fonts alone."""
    own = [e for e in font_manager.fontManager.ttflist if "mpl-data" in str(e.fname)]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(fonts, "_look_again", lambda: None)
    for cached in (fonts._say, fonts.drawable):
        cached.cache_clear()
    yield
    fonts.drawable.cache_clear()


def add_font(letters, path):
    """Add a font that has these letters, each a box of one em."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    box = pen.glyph()
    glyphs = [".notdef", *(f"uni{ord(c):04X}" for c in letters)]
    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder(glyphs)
    made.setupCharacterMap({ord(c): f"uni{ord(c):04X}" for c in letters})
    made.setupGlyf(dict.fromkeys(glyphs, box))
    made.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 100)))
    made.setupHorizontalHeader(ascent=900, descent=-100)
    made.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    made.setupOS2()
    made.setupPost()
    made.save(path)
    font_manager.fontManager.addfont(path)


@pytest.fixture
def han(bare, tmp_path):
    """The same with a font that has the characters of the names."""
    add_font(sorted(set("".join(NAMES))), tmp_path / "Test Han.ttf")


def test_words_in_figures_are_in_a_language_whose_letters_the_machine_has(bare, make, tmp_path):
    assert (fonts.drawable("en"), fonts.drawable("zh")) == ("en", "en")
    with fonts.figures_in("zh"):
        figure = clv.views.plot_tracking(make.tracking())
    assert figure.axes[1].get_xlabel() == "date"
    letters = [each for each in letters_of("zh") if ord(each) > 0x2000]
    assert len(letters) > 500
    fonts.drawable.cache_clear()
    add_font(letters[:-1], tmp_path / "some.ttf")
    assert fonts.drawable("zh") == "en"
    fonts.drawable.cache_clear()
    add_font(letters, tmp_path / "all.ttf")
    assert fonts.drawable("zh") == "zh"
    with fonts.figures_in("zh"):
        figure = clv.views.plot_tracking(make.tracking())
    figure.savefig(tmp_path / "tracking.png")  # any warning would fail
    assert figure.axes[1].get_xlabel() == "日期"
    # Of months the numbers, since their names are English.
    assert not re.search("[A-Za-z]", "".join(each.get_text() for each in figure.axes[1].get_xticklabels()))


def test_chinese_names_are_drawn_without_a_word_where_a_font_has_them(han, make, tmp_path):
    named = make.segments(names=NAMES).assign_attrs(rule="沉睡客户")
    strips = clv.views.plot_membership(named, most=5)
    strips.savefig(tmp_path / "strips.png")  # any warning would fail
    assert strips.axes[0].title.get_fontfamily() == ["DejaVu Sans"]
    assert strips.axes[0]._left_title.get_fontfamily() == ["DejaVu Sans", "Test Han"]
    figure = clv.views.plot_segment_sizes(named)
    figure.savefig(tmp_path / "sizes.png")
    labels = [t for t in figure.axes[0].get_yticklabels() if t.get_text() in NAMES]
    assert len(labels) == 3
    for label in labels:
        assert label.get_fontfamily() == ["DejaVu Sans", "Test Han"]
    # Others keep the font that they had.
    assert figure.axes[0].xaxis.label.get_fontfamily() == ["DejaVu Sans"]
    assert fonts.cover(figure) == ""


def test_labels_that_ticks_get_only_when_drawn_have_them_too(han):
    with style.styled():
        figure = style.drawing(2)
        axes = figure.subplots()
        axes.bar(["忠诚客户", "a"], [1, 2])
    assert fonts.cover(figure) == ""
    first, second = axes.get_xticklabels()
    assert first.get_fontfamily() == ["DejaVu Sans", "Test Han"]
    assert second.get_fontfamily() == ["DejaVu Sans"]


def test_where_no_font_has_them_pixels_are_warned_of_once_and_svg_is_whole(bare, make, tmp_path):
    figure = clv.views.plot_membership(make.segments(names=NAMES), most=10)
    text = style.svg_text(figure)  # no warning: the browser has the font
    assert all(name in text for name in NAMES)
    figure.savefig(tmp_path / "strips.svg")
    assert set("".join(NAMES)) <= set(fonts.cover(figure))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for name in ("a", "b"):
            figure.savefig(tmp_path / f"{name}.png")
    (only,) = said
    message = str(only.message)
    assert message.startswith("No font of this machine has the Chinese, Japanese or Korean characters")
    assert "apt-get install fonts-wqy-microhei" in message
    assert "Glyph" not in message


def test_other_scripts_are_named(bare):
    with pytest.warns(UserWarning, match="has the Chinese, Japanese or Korean and thai characters"):
        fonts.warn("中ไ")


def test_latin_greek_and_cyrillic_need_nothing(bare):
    with style.styled():
        figure = style.drawing(2)
        figure.subplots().set_title("Größe αβ Клиент – “x” €")
    assert fonts.cover(figure) == ""


def test_the_same_document_on_every_machine(bare, make, tmp_path, request):
    without = style.svg_text(clv.views.plot_segment_sizes(make.segments(names=NAMES)))
    assert set(re.findall(style.FAMILIES, without)) == {fonts.CSS}
    inside = style.inline_svg(without, "sizes")
    assert "DejaVu" not in inside
    assert "font-family: var(--fig-font, sans-serif)" in inside or re.search(
        r"font: [^;]*var\(--fig-font", inside
    )


def test_wide_characters_count_twice_where_names_are_cut():
    assert style.short("忠诚的老客户", 12) == "忠诚的老客户"
    assert style.short("忠诚的老客户", 11) == "忠诚的老客…"
    assert style.short("x" * 18) == "x" * 18
    assert style.short("x" * 19) == "x" * 17 + "…"
