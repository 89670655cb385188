"""A survey's two files: read as they stand, and refused with file and line where they cannot be."""

import pytest

import bayes_clv as clv
from bayes_clv.perceived.survey_files import read_survey

SURVEY = """answers = "answers.csv"
scale = [1, 5]
by = "shop"
recommend = "recommend"

[drivers]
overall = "overall"
attributes = ["taste", "support"]
scale = [0, 4]

[perceived]
empathy = ["friendly"]

[expected]
empathy = ["wanted"]
"""
ANSWERS = """taste,support,friendly,wanted,overall,recommend,shop
1,2,3,4,0,10,east

5,,4,4,4,0,west
2,2,5,5,3,7,east
"""


def read(folder, survey=SURVEY, answers=ANSWERS):
    (folder / "survey.toml").write_text(survey)
    (folder / "answers.csv").write_text(answers)
    return read_survey(folder / "survey.toml")


def test_what_is_asked_is_read(tmp_path):
    found = read(tmp_path, "draws = 300\n" + SURVEY)
    assert (found.scale, found.overall_scale, found.draws) == ((1, 5), (0, 4), 300)
    assert (found.by, found.recommend, found.overall, found.wave) == ("shop", "recommend", "overall", None)
    assert found.attributes == ("taste", "support")
    assert (found.perceived, found.expected) == ({"empathy": ("friendly",)}, {"empathy": ("wanted",)})
    # A blank line is no respondent, a blank answer is no answer.
    assert found.answers["recommend"].tolist() == [10, 0, 7]
    assert found.answers["support"].isna().tolist() == [False, True, False]
    assert read(tmp_path, 'answers = "answers.csv"\nrecommend = "recommend"\n').scale == (1, 7)


@pytest.mark.parametrize(
    ("survey", "answers", "said"),
    [
        (SURVEY.replace('"shop"', '"store"'), ANSWERS, "survey.toml, line 3: the answers have no column 'store'"),
        (SURVEY.replace("by =", "per ="), ANSWERS, "survey.toml, line 3: 'per' is not known. There are answers,"),
        (SURVEY.replace('"taste", ', '"tast", '), ANSWERS, "survey.toml, line 8: the answers have no column 'tast'"),
        (SURVEY.replace('["wanted"]', '"wanted"'), ANSWERS, "survey.toml, line 15: empathy is 'wanted'. It is a list"),
        (SURVEY.replace(', "support"', ""), ANSWERS, "survey.toml, line 8: attributes are taste. They are two"),
        (SURVEY.replace('"support"', '"taste"'), ANSWERS, "line 8: attributes are taste, taste. They are two"),
        (SURVEY.replace('"support"', '"overall"'), ANSWERS, "line 8: attributes are taste, overall. They are"),
        (SURVEY.replace("[1, 5]", "[5, 1]"), ANSWERS, "survey.toml, line 2: scale is [5, 1]. It is the lowest"),
        (SURVEY.replace("[0, 4]", "4"), ANSWERS, "survey.toml, line 9: scale is 4. It is the lowest"),
        (SURVEY.replace("[drivers]", "[motives]"), ANSWERS, "survey.toml, line 6: 'motives' is not known"),
        (SURVEY.replace('overall = "overall"\n', ""), ANSWERS, "survey.toml, line 6: [drivers] needs overall"),
        (SURVEY.replace('[perceived]\nempathy = ["friendly"]', ""), ANSWERS, "is [expected] without [perceived]"),
        (SURVEY.replace("answers.csv", "none.csv"), ANSWERS, "survey.toml, line 1: there is no file 'none.csv'"),
        ('recommend = "recommend"\n', ANSWERS, "survey.toml, line 1: there is no answers"),
        ('answers = "answers.csv"\n', ANSWERS, "survey.toml asks nothing."),
        ("draws = 0\n" + SURVEY, ANSWERS, "survey.toml, line 1: draws is 0. It is a whole number from 1"),
        ("answers = \n", ANSWERS, "survey.toml, line 1"),
        # Lines of the answers count the blank one.
        (SURVEY, ANSWERS.replace("5,,4", "6,,4"), "answers.csv, line 4: taste is 6, no whole number from 1 to 5"),
        (SURVEY, ANSWERS.replace("5,,4", "2.5,,4"), "answers.csv, line 4: taste is 2.5, no whole number"),
        (SURVEY, ANSWERS.replace(",7,east", ",11,east"), "answers.csv, line 5: recommend is 11, no whole number"),
        (SURVEY, ANSWERS.replace("0,10,east", "5,10,east"), "answers.csv, line 2: overall is 5, no whole number"),
        (SURVEY, ANSWERS.replace("1,2,3", "good,2,3"), "answers.csv, line 2: taste is good, no whole number"),
        (SURVEY, "taste,support\n", "answers.csv has no answers. Its first line names the columns"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_file_and_line(survey, answers, said, tmp_path):
    with pytest.raises(clv.InputError) as refused:
        read(tmp_path, survey, answers)
    assert said in str(refused.value)


def test_a_missing_file_and_a_wrong_path(tmp_path):
    with pytest.raises(clv.InputError, match=r"nowhere\.toml"):
        read_survey(tmp_path / "nowhere.toml")
