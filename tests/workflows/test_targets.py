"""``bayes-clv target``: a table, a figure and a summary, or one paragraph that says what is wrong."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from bayes_clv.cli import app
from bayes_clv.workflows.targeting import summary

GAINS = ("net_gain_total", "net_gain_outcome_total")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng = np.random.default_rng(3)
    size = 1500
    arm, place = rng.integers(0, 2, size), rng.integers(0, 3, size)
    bought = rng.random(size) < 0.1 + 0.1 * arm * (place == 1)
    frame = pd.DataFrame(
        {
            "client": [f"{i:05d}" for i in range(size)],
            "mailed": arm,
            "spent": np.where(bought, rng.gamma(2.0, 20.0, size).round(2), 0.0),
            "kind": np.array(["new", "loyal", "asleep"])[place],
            "worth": rng.gamma(2.0, 1.0, size),
        }
    )
    path = tmp_path_factory.mktemp("target")
    frame.to_csv(path / "experiment.csv", index=False)
    frame.sample(300, random_state=1).drop(columns=["mailed", "spent"]).to_csv(
        path / "others.csv", index=False
    )
    return path


def ran(folder, *further, experiment="experiment.csv"):
    words = [
        "target",
        folder / experiment,
        "--customer-id",
        "client",
        "--treated",
        "mailed",
        "--outcome",
        "spent",
    ]
    words += [
        "--segment",
        "kind",
        "--cost",
        1,
        "--margin",
        0.4,
        "--method",
        "laplace",
        "--draws",
        200,
        *further,
    ]
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_a_table_a_figure_and_a_summary(folder):
    out = folder / "targets.csv"
    result = ran(folder, "--out", out, "--budget", 400, "--test", 500)
    assert result.exit_code == 0, result.stderr
    # The mark of UTF-8, by which Excel knows names in any alphabet.
    assert out.read_bytes().startswith(b"\xef\xbb\xbfcustomer_id,")
    table = pd.read_csv(out, dtype={"customer_id": str})
    assert len(table) == 1500
    assert table["customer_id"].str.len().eq(5).all()
    assert table["rank"].tolist() == list(range(1, 1501))
    contacted = table[table["contacted"] == 1]
    assert 0 < len(contacted) <= 400
    # Contact doubles what the loyal buy: 0.1 × 40 × 0.4 = 1.6 for a cost of 1; others gain nothing.
    assert set(contacted["segment"]) == {"loyal"}
    assert out.with_suffix(".png").stat().st_size > 10_000
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert "Contact 400 of 1,500 customers, for 400.00." in page
    assert "experiment.csv" in page
    for words in (
        "Contact 400 of 1,500 customers, for 400.00.",
        "(outcome level)",
        "Regret",
        "A test of 500 customers",
        "one coin for all",
    ):
        assert words in result.stdout, result.stdout


@pytest.mark.parametrize(("settled", "test"), [(True, None), (False, None), (False, 50)])
def test_the_summary_says_whether_the_experiment_settles_it(settled, test):
    """By hand: a net gain above zero in 54 of 100 draws, or in all."""
    gain = np.where(np.arange(100) < (100 if settled else 54), 10.0, -10.0)[None]
    decision = xr.Dataset(
        {
            "contacted": ("customer", np.ones(400, dtype=int)),
            **{name: (("chain", "draw"), gain, {"level": "expected"}) for name in GAINS},
            "regret": 4.0,
            "value_of_perfect_information": 4.6,
        },
        attrs={"spent": 400.0, "problems": "[]"},
    )
    if test is not None:
        decision.attrs["test"] = test
    for margin in (1.0, 0.3):
        said = "\n".join(summary(decision.assign_attrs(margin=margin), xr.Dataset()))
        assert ("a gain is revenue less the cost" in said) == (margin == 1)
        assert f"pays with a probability of {'over 99' if settled else '54'} %" in said
        assert ("does not settle it.\nA further test is worth 4.60 at most" in said) == (not settled)
        assert ("--test 40 says" in said) == (not settled and test is None)


def test_other_customers_and_a_scale(folder):
    out = folder / "others.parquet"
    result = ran(
        folder,
        *("--customers", folder / "others.csv", "--scale", "worth", "--out", out, "--risk", "q10"),
        *("--language", "zh", "--currency", "£"),
    )
    assert result.exit_code == 0, result.stderr
    assert '<html lang="zh">' in out.with_suffix(".html").read_text(encoding="utf-8")
    assert ", for £" in result.stdout
    table = pd.read_parquet(out)
    assert len(table) == 300
    assert table["net_gain_mean"].nunique() > 100


@pytest.mark.parametrize(
    ("further", "words"),
    [
        (["--risk", "q99"], "--risk 'q99' is not known"),
        (["--treated", "nobody"], "has no column 'nobody'"),
        (["--out", "targets.xlsx"], "must end in .csv or .parquet"),
        (["--scale", "kind"], "'kind'"),
        (["--language", "xx"], "--language 'xx'"),
    ],
)
def test_one_paragraph_and_exit_code_2(folder, further, words, monkeypatch):
    monkeypatch.chdir(folder)
    result = ran(folder, *further)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split()), result.stderr


def test_a_missing_file(folder):
    result = ran(folder, experiment="none.csv")
    assert result.exit_code == 2
    assert "There is no file" in " ".join(result.stderr.split())


OFFERS = 'control = "none"\n\n[costs]\nmail = 0.5\ncall = 2\n'


@pytest.fixture(scope="module")
def several(folder):
    """Return the folder, where who was mailed was mailed or called."""
    frame = pd.read_csv(folder / "experiment.csv", dtype={"client": str})
    called = np.random.default_rng(1).random(len(frame)) < 0.4
    frame["offer"] = np.where(frame["mailed"] == 0, "none", np.where(called, "call", "mail"))
    frame.to_csv(folder / "several.csv", index=False)
    return folder


def chosen(folder, offers, *further):
    (folder / "offers.toml").write_text(offers)
    words = ["target", folder / "several.csv", "--customer-id", "client", "--treated", "offer"]
    words += ["--outcome", "spent", "--segment", "kind", "--margin", 0.4, "--method", "laplace"]
    words += ["--draws", 100, "--offers", folder / "offers.toml", "--out", folder / "chosen.csv", *further]
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_several_offers_and_a_file_of_their_costs(several):
    result = chosen(several, OFFERS)
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(several / "chosen.csv", dtype={"client": str})
    assert set(table["offer"]) <= {"none", "mail", "call"}
    assert (table.loc[table["offer"] == "none", "contacted"] == 0).all()
    assert set(table.loc[table["offer"] == "call", "cost"]) <= {2.0}
    for words in (
        "offered 'call'",
        "  mail: ",
        "does not settle it.\n",
        "it alone gains as much.\nA further test is worth",
    ):
        assert words in result.stdout, result.stdout


@pytest.mark.parametrize(
    ("offers", "further", "words"),
    [
        (
            OFFERS.replace("call = 2\n", ""),
            [],
            "several.csv, line 14: 'call' is neither the control nor an offer",
        ),
        (OFFERS + "gift = 3\n", [], "offers.toml, line 6: nobody of several.csv was offered 'gift'"),
        (OFFERS.replace('"none"', '"nobody"'), [], "'none' is neither the control nor an offer"),
        (OFFERS.replace("= 2", "= -2"), [], "offers.toml, line 5: call = -2. A cost is money per contact"),
        (OFFERS.replace('control = "none"', ""), [], "offers.toml, line 1: there is no control"),
        (OFFERS + "none = 0\n", [], "offers.toml, line 6: 'none' is the control, who is not contacted"),
        (OFFERS.replace("[costs]", "[prices]"), [], "offers.toml, line 3: 'prices' is not known"),
        ('control = "none"\n', [], "offers.toml has no [costs]"),
        (OFFERS, ["--cost", 1], "--cost where there is one offer, or --offers"),
    ],
)
def test_offers_that_cannot_be(several, offers, further, words):
    result = chosen(several, offers, *further)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split()), result.stderr


def test_an_experiment_without_the_controls_of_the_file(several):
    frame = pd.read_csv(several / "several.csv", dtype={"client": str})
    frame[frame["offer"] != "none"].to_csv(several / "treated.csv", index=False)
    (several / "offers.toml").write_text(OFFERS)
    words = ["target", several / "treated.csv", "--treated", "offer", "--offers", several / "offers.toml"]
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 2
    assert "offers.toml, line 1: nobody of treated.csv is 'none'" in " ".join(result.stderr.split())
