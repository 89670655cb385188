"""Tables for papers: digits by the standard error, the best in bold, and text that LaTeX takes."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.schema import InputError
from bayes_clv.views import to_latex


def rows_of(text):
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0]
    return [line.removesuffix(r" \\").split(" & ") for line in body.strip().split("\n")]


def test_digits_are_those_that_the_error_leaves():
    frame = pd.DataFrame(
        {"forecast": ["a", "b", "c"], "crps": [0.31634, 12.3456, 1234.567], "crps_se": [0.0041, 0.52, 37.0]}
    )
    assert [row[1] for row in rows_of(to_latex(frame, best={}))] == [
        r"\textbf{0.3163} (0.0041)",
        "12.35 (0.52)",
        "1,235 (37)",
    ]


def test_intervals_stand_behind_their_mean():
    frame = pd.DataFrame(
        {"value_mean": [-1234.5, 0.0], "value_q05": [-2000.2, -3.0], "value_q95": [10.4, 2.0]}
    )
    assert rows_of(to_latex(frame)) == [["$-$1,234 [$-$2,000, 10]"], ["0.0 [$-$3.0, 2.0]"]]


def test_the_best_is_what_the_measure_says():
    frame = pd.DataFrame(
        {
            "measure": ["crps", "rank_correct", "total_error", "place", "none"],
            "meaning": "m",
            "unit": "u",
            "better": ["lower", "higher", "nearer 0", "nearer 1/2", ""],
            "one": [1.0, 0.7, -0.3, 0.4, 1.0],
            "two": [2.0, 0.8, 0.1, 0.7, 2.0],
            "three": [np.nan, 0.8, 0.2, np.inf, 1.0],
        }
    )
    bold = [[cell.startswith(r"\textbf") for cell in row[2:]] for row in rows_of(to_latex(frame))]
    assert bold == [[1, 0, 0], [0, 1, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert rows_of(to_latex(frame))[0][4] == "--"
    assert rows_of(to_latex(frame))[3][4] == r"$\infty$"


def test_what_prints_as_the_best_is_bold_too():
    """A reader of 0.659 and 0.659 sees no better one; with more digits in print there is one."""
    frame = pd.DataFrame({"forecast": ["a", "b", "c"], "crps": [0.65912, 0.65938, 0.7]})
    assert [cell for _, cell in rows_of(to_latex(frame))] == [r"\textbf{0.659}", r"\textbf{0.659}", "0.700"]
    told = frame.assign(crps_se=[0.00011, 0.00012, 0.0012])
    assert [cell.startswith(r"\textbf") for _, cell in rows_of(to_latex(told))] == [True, False, False]
    # The best is not another whose error leaves it fewer digits.
    coarse = frame.assign(crps=[0.6561, 0.6563, 0.71], crps_se=[0.0001, 0.05, 0.05])
    assert [cell for _, cell in rows_of(to_latex(coarse))] == [
        r"\textbf{0.65610} (0.00010)",
        "0.656 (0.050)",
        "0.710 (0.050)",
    ]
    measures = pd.DataFrame(
        {"measure": ["bias"], "better": ["nearer 0"], "a": [-0.3001], "b": [0.3], "c": [9.0]}
    )
    bold = [cell.startswith(r"\textbf") for cell in rows_of(to_latex(measures))[0][-3:]]
    assert bold == [True, True, False]


def test_labels_of_forecasts_are_read_as_headings_are():
    frame = pd.DataFrame(
        {"forecast": ["past_rate"], "other": ["period_mean"], "segment": ["a_b"], "crps": [1.5]}
    )
    assert rows_of(to_latex(frame))[0][:3] == ["past rate", "period mean", r"a\_b"]


def test_of_equal_ones_and_of_one_alone_none_is_best():
    frame = pd.DataFrame({"forecast": ["a", "b"], "crps": [1.5, 1.5]})
    assert "textbf" not in to_latex(frame)
    assert "textbf" not in to_latex(frame.head(1))
    assert "textbf" not in to_latex(frame.assign(crps=[1.0, np.nan]))


def test_text_is_printed_as_it_stands():
    frame = pd.DataFrame({"segment": ["50 % & more_than #1 {x} \\y ~ ^ $"], "size": [3]})
    text = to_latex(frame, caption="A & B", label="tab:a_b")
    assert (
        r"50 \% \& more\_than \#1 \{x\} \textbackslash{}y \textasciitilde{} \textasciicircum{} \$ & 3" in text
    )
    assert r"\caption{A \& B}" in text
    assert r"\label{tab:a_b}" in text
    # Every sign with a meaning is behind a backslash; what is left is ours.
    left = re.sub(r"\\[&%$#_{}]|\\text\w+\{\}|\$[^$]*\$", "", text)
    assert not re.search(r"[%#_~^]", left.replace("tab:a_b", ""))


def test_scores_of_forecasts_become_a_table(cdnow, make_buying):
    value = clv.predict(make_buying(draws=50), cdnow, "39 weeks", seed=1)
    scores = clv.scoring.score(value, cdnow)
    summary = clv.scoring.summarise(scores)
    frame = clv.table(summary)
    assert frame["forecast"].tolist() == summary["forecast"].values.tolist()
    np.testing.assert_array_equal(frame["crps"], summary["crps"])
    np.testing.assert_array_equal(frame["covered_90_se"], summary["covered_se"].sel(interval=90))
    first, *others = rows_of(to_latex(frame[["forecast", "crps", "crps_se"]]))
    assert first[1].startswith(r"\textbf")
    assert not any(row[1].startswith(r"\textbf") for row in others)
    lead = clv.scoring.pairwise(scores, "crps")
    pairs = clv.table(lead)
    assert pairs.columns.tolist() == ["forecast", "other", "difference", "difference_se"]
    assert len({frozenset(pair) for pair in pairs[["forecast", "other"]].values.tolist()}) == len(pairs)
    known = int(np.isfinite(lead["difference"].values).any(axis=1).sum())
    assert len(pairs) == known * (known - 1) // 2
    one = pairs.iloc[-1]
    at = {"forecast": one["forecast"], "other": one["other"]}
    assert one["difference"] == float(lead["difference"].sel(at))
    assert one["difference_se"] == float(lead["difference_se"].sel(at))
    text = rows_of(to_latex(pairs))[-1]
    assert text[0] == one["forecast"].replace("_", " ")
    assert "textbf" not in text[2]
    assert text[2].endswith(")")
    by = clv.table(clv.scoring.summarise(scores, by="frequency"))
    assert len(by) == 8 * len(frame)
    assert by.columns[:2].tolist() == ["frequency", "forecast"]
    # One best in each group.
    best = [row for row in rows_of(to_latex(by[["frequency", "forecast", "crps"]])) if "textbf" in row[2]]
    assert len(best) == by["frequency"].nunique()
    groups = clv.scoring.summarise(scores, by="frequency")
    one = by[(by["frequency"] == by["frequency"].iloc[-1]) & (by["forecast"] == "model")]
    assert float(one["crps"].iloc[0]) == float(groups["crps"].sel(forecast="model").values[-1])


def test_what_cannot_be_printed_is_refused():
    with pytest.raises(InputError, match="no rows"):
        to_latex(pd.DataFrame({"a": []}))
    with pytest.raises(InputError, match="no column 'crsp'"):
        to_latex(pd.DataFrame({"crps": [1.0]}), best={"crsp": "lower"})


def test_a_posterior_becomes_the_table_of_its_parameters(make_buying):
    fitted = make_buying(draws=50)
    frame = clv.table(fitted)
    pd.testing.assert_frame_equal(frame, clv.table(fitted, by="parameter"))
    row = frame.set_index("parameter").loc["alpha"]
    draws = fitted["posterior"]["alpha"].to_numpy()
    assert row["mean"] == pytest.approx(draws.mean(), rel=1e-12)
    assert row["sd"] == pytest.approx(draws.std(ddof=1), rel=1e-12)
    np.testing.assert_allclose(row[["q05", "q95"]].astype(float), np.quantile(draws, [0.05, 0.95]), rtol=0.05)


def test_rows_of_several_units_share_no_digits():
    frame = pd.DataFrame(
        {
            "parameter": ["r", "population_purchase_rate", "fixed"],
            "unit": ["no unit", "per week", "money"],
            "mean": [0.2431, 0.0551234, 1234.56],
            "sd": [0.0123, 0.0021, 0.0],
            "q05": [0.2231, 0.0512, 1234.56],
            "q95": [0.2631, 0.0591, 1234.56],
        }
    )
    assert [row[:1] + row[2:] for row in rows_of(to_latex(frame))] == [
        ["r", "0.243 [0.223, 0.263]", "0.0123"],
        ["population purchase rate", "0.0551 [0.0512, 0.0591]", "0.00210"],
        ["fixed", "1,235 [1,235, 1,235]", "0"],
    ]


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="No LaTeX: apt-get install texlive-latex-recommended."
)
def test_latex_takes_it(make_buying, cdnow, tmp_path):
    """Compiled without a complaint: parameters, customers, scores, and a text of all signs that mean something."""
    fitted = make_buying(draws=50)
    value = clv.predict(fitted, cdnow, "39 weeks", seed=1)
    scores = clv.scoring.summarise(clv.scoring.score(value, cdnow))
    every = pd.DataFrame({"segment": ["50 % & more_than #1 {x} \\y ~ ^ $ ≥ ≤ × − € ü"], "size": [3]})
    tables = [
        to_latex(
            clv.table(fitted)[["parameter", "unit", "mean", "q05", "q95", "sd"]],
            caption="Parameters",
            label="t:a_b",
        ),
        to_latex(
            clv.table(value).head(5)[["customer_id", "purchases_mean", "purchases_q05", "purchases_q95"]]
        ),
        to_latex(clv.table(scores)[["forecast", "crps", "crps_se"]], caption="50 % & more_than"),
        to_latex(every),
    ]
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "paper.tex").write_text(head + "\n\n".join(tables) + "\n\\end{document}\n", encoding="utf-8")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-2000:]
    assert "LaTeX Error" not in said
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000
