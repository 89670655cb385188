"""Files of channels: what they say is what Python says, and their faults are refused with file and line."""

import pytest

import bayes_clv as clv
from bayes_clv.valuation import read_channels

GOOD = """
by = "channel"
horizon = "104 weeks"
test_cost = 500
left_out = ["fax"]

[profile]
age = 35

[[channels]]
name = "search"
spent = 4200
won = 310

[[channels]]
name = "podcast"
new = true
cost = {normal = [14, 2]}
bids = [[10, 5], [100, 50]]
pays = "bid"

[costs]
cost_per_order = 1.5
default_probability = 0.02

[others]
cost = 12
"""


def test_a_file_says_what_python_says(tmp_path):
    (tmp_path / "good.toml").write_text(GOOD)
    read = read_channels(tmp_path / "good.toml")
    assert (read.by, read.horizon, read.test_cost, read.new) == ("channel", "104 weeks", 500.0, ["podcast"])
    assert read.profile == {"age": 35}
    stated = {each.name: each.text for each in read.of(["search", "fax", "social", "podcast"])}
    assert stated == {"search": "spent 4200; won 310", "podcast": "cost normal(14, 2)", "social": "cost 12"}
    assert read.auctions["podcast"].volume == {10: 5, 100: 50}
    assert read.auctions["podcast"].settings == {"pays": "bid"}
    with pytest.raises(clv.InputError, match=r"good\.toml, line 5: left_out has 'fax', which is no channel"):
        read.of(["search", "social"])
    assert read.listed[1].place == "good.toml, line 15"
    assert read.costs.text == "cost per order 1.5; default probability 0.02"


HEAD = '[[channels]]\nname = "A"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[channels]\n", "line 1: this is not TOML"),
        ('title = "x"\n' + HEAD, r"bad\.toml, line 1: 'title' is not known"),
        ("by = 3\n" + HEAD, r'line 1: by is 3. Name a column, such as by = "channel"'),
        ("test_cost = -2\n" + HEAD + "cost = 1\n", "line 1: test_cost is -2. Write one amount of money"),
        ("left_out = 3\n" + HEAD + "cost = 1\n", "line 1: left_out is 3. Write names"),
        ("horizon = 52\n", r"has no \[\[channels\]\]"),
        (HEAD + "cost = 1\n[costs]\ncost_to_serve = -1\n", "line 5: cost_to_serve .* not negative; it is -1"),
        (
            HEAD + "cost = 1\n[costs]\nmargin = 'own'\n",
            "line 5: margin is a column, and new customers have none",
        ),
        (HEAD + "cost = 1\n[costs]\nrent = 1\n", "line 5: 'rent' is not known. A file of costs has margin"),
        ("costs = 3\n" + HEAD + "cost = 1\n", r"line 1: costs is a table of its own: \[costs\]"),
        ("others = 3\n", r"line 1: others is a table of its own: \[others\]"),
        ("[[channels]]\ncost = 1\n", "line 1: the channel has no name"),
        (HEAD, r"line 1: 'A' has no cost\. State cost; or"),
        (HEAD + "cost = -1\n", r"bad\.toml, line 3: cost .* must be at least 0 .*such as -1"),
        (HEAD + "spent = 10\nwon = 0\n", "line 4: won .* at least 1"),
        (HEAD + "cost = 1\nprice = 2\n", "line 4: 'price' is not known. A channel has cost"),
        (HEAD + "cost = 1\n\n" + HEAD + "cost = 1\n", "line 5: 'A' is there twice"),
        (HEAD + "cost = 1\nnew = 1\n", "line 4: new is 1. Write new = true"),
        (HEAD + "cost = 1\nbids = [[5, 9], [8, 3]]\n", "line 4: bids falls: a bid of 5 wins 9"),
        (HEAD + "cost = 1\nbids = [5, 9]\n", r"line 4: bids is \[5, 9\]. Write how many customers"),
        (HEAD + "cost = 1\npays = 'next'\n", "line 4: pays is of a bid, and there are no bids"),
        (HEAD + "cost = 1\n\ncommon = 0.5\n", "line 5: common is of a bid, and there are no bids"),
        ("budget = -1\n" + HEAD + "cost = 1\n", "line 1: budget is -1. Write one amount of money"),
        (HEAD + "cost = {gauss = [1, 2]}\n", "line 3: .* is no distribution"),
        (HEAD + "cost = 1\n[others]\ncost = -3\n", "line 5: cost .* at least 0"),
    ],
)
def test_bad_files_are_refused_with_their_line(tmp_path, text, message):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(clv.InputError, match=message):
        read_channels(tmp_path / "bad.toml")
