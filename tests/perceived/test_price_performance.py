"""Price against performance: the reference case to every printed digit, doubt, and bad input refused where it is."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.perceived import market, price_performance, read_market, unsure
from studies import water_filters

SLOPE = 58.5032
RIVALS = ["Filtro", "Walter", "Envir", "Brite", "Clarion"]


@pytest.fixture(scope="module")
def filtration():
    return read_market(water_filters.MARKET, scale=(1, 10))


def test_the_filtration_case_has_its_printed_digits(filtration):
    """Commercial water filtration, five suppliers: the 42 figures as printed, to their last digit."""
    found = price_performance(filtration, SLOPE)
    assert found["rival"].to_numpy().tolist() == RIVALS
    assert water_filters.misprints(found) == (42, [])
    # And what is not as printed is found.
    (said,) = water_filters.misprints(found.assign(reference_price=found["reference_price"] + 1))[1]
    assert "reference_price: printed 140" in said


def test_the_filtration_case_with_its_doubt(filtration):
    """Weights Dirichlet(50 w), ratings ± .5 as a standard deviation; the Monte Carlo error of .75 is .003."""
    drawn = unsure(filtration, concentration=50, rating_error=0.5, draws=20_000, seed=1)
    found = price_performance(drawn, SLOPE)
    passed, lines = water_filters.judge(price_performance(filtration, SLOPE), found)
    assert passed, lines
    assert float(found["probability_best"].sum()) == pytest.approx(1)
    mean, exact = found["performance_mean"], price_performance(filtration, SLOPE)["performance"]
    # sd of a performance below .6, over the root of 20,000 draws, four times.
    np.testing.assert_allclose(mean, exact, atol=4 * 0.6 / np.sqrt(20_000))


def test_advantages_add_up_and_turn_round(filtration):
    drawn = unsure(filtration, concentration=50, rating_error=0.5, draws=50, seed=2)
    for against in ("average", "Brite"):
        found = price_performance(drawn, SLOPE, against=against)
        xr.testing.assert_allclose(found["attribute_advantage"].sum("attribute"), found["benefit_advantage"])
        xr.testing.assert_allclose(found["price_part_advantage"].sum("price_part"), found["cost_advantage"])
        xr.testing.assert_allclose(found["fair_price"] - found["total_price"], found["total_advantage"])
    one = price_performance(drawn, SLOPE, against="Filtro")["total_advantage"].sel(rival="Envir")
    other = price_performance(drawn, SLOPE, against="Envir")["total_advantage"].sel(rival="Filtro")
    np.testing.assert_allclose(one, -other)
    better = found["probability_better"]
    np.testing.assert_allclose(better + better.rename(rival="other", other="rival"), 1)
    assert float(better.sel(rival="Envir", other="Walter")) == 1
    # Head to head does not hang on the reference.
    xr.testing.assert_allclose(better, price_performance(drawn, SLOPE)["probability_better"])


def test_draws_that_do_not_vary_give_the_plain_answer(filtration):
    """And equal offers are each as probably the better one."""
    twins = market({"taste": {"A": 5, "B": 5}}, {"taste": 1}, {"price": {"A": 9, "B": 9}})
    slope = xr.DataArray(np.full(3, 10.0), dims="draw")
    found = price_performance(twins, slope)
    assert found["probability_best"].to_numpy().tolist() == [0.5, 0.5]
    assert (found["probability_better"] == 0.5).all()
    assert found["fair_price_q05"].to_numpy().tolist() == [9, 9]


def test_rivals_and_attributes_go_by_name():
    ratings = {"taste": {"A": 8, "B": 6}, "clogging": {"A": 1, "B": 3}}
    known = market(ratings, {"taste": 0.3, "clogging": 0.7}, {"price": {"A": 1, "B": 2}})
    turned = market(
        pd.DataFrame(ratings).T.loc[["clogging", "taste"], ["B", "A"]],
        pd.Series({"taste": 30, "clogging": 70}),
        pd.DataFrame({"B": [2], "A": [1]}, index=["price"]),
    )
    names = {"rival": ["A", "B"]}
    found = price_performance(turned, 4)["total_advantage"].sel(names)
    xr.testing.assert_allclose(found, price_performance(known, 4)["total_advantage"].sel(names))


RATINGS = {"taste": {"A": 8, "B": 6}, "clogging": {"A": 1, "B": 3}}
WEIGHTS = {"taste": 30, "clogging": 70}
PRICES = {"price": {"A": 1, "B": 2}}


@pytest.mark.parametrize(
    ("ratings", "weights", "prices", "said"),
    [
        (RATINGS, {"taste": 30, "clogging": 60}, PRICES, r"weights \(30, 60\) add up to 90, neither to 100"),
        (RATINGS, {"taste": 130, "clogging": -30}, PRICES, "weight -30 of attribute 'clogging' is negative"),
        (RATINGS, {"taste": 100}, PRICES, "ratings have attribute 'clogging', the weights do not"),
        (RATINGS, {"taste": "x", "clogging": 1}, PRICES, "weights: taste: 'x' is no number"),
        (
            {"taste": {"A": 11, "B": 6}},
            {"taste": 1},
            PRICES,
            "rating 11 of attribute 'taste', rival 'A' is outside the scale from 0 to 10",
        ),
        ({"taste": {"A": 8}}, {"taste": 1}, {"price": {"A": 1}}, "one rival, 'A'"),
        (RATINGS, WEIGHTS, {"price": {"A": 1, "C": 2}}, "ratings have rival 'B', the prices do not"),
        (RATINGS, WEIGHTS, {"price": {"A": 1, "B": -2}}, "price -2 of price part 'price', rival 'B'"),
        ({"taste": {"A": 8, "B": 6}, "lead": {"A": 1}}, WEIGHTS, PRICES, "ratings of 'lead' lack rival 'B'"),
        (3, WEIGHTS, PRICES, "ratings are int"),
    ],
)
def test_bad_markets_are_refused(ratings, weights, prices, said):
    with pytest.raises(clv.InputError, match=said):
        market(ratings, weights, prices)


@pytest.mark.parametrize(
    ("line", "text", "said"),
    [
        (1, "name,weight,A,B", "line 1: the columns are 'name, weight, A, B'"),
        (1, "attribute,weight,A,A", "line 1: a rival is called 'A' twice"),
        (2, "taste,30,8,11", "line 2: taste of B is 11. The scale goes from 0 to 10"),
        (2, "taste,30,8", "line 2: there are 3 cells where the first line has 4"),
        (2, "taste,-30,8,6", "line 2: the weight of 'taste' is -30"),
        (2, "taste,30,8,good", "line 2: 'good' in column 'B' is no number"),
        (3, "clogging,60,1,3", r"line 3: The weights \(30, 60\) add up to 90"),
        (3, "taste,70,1,3", "line 3: 'taste' stands there twice"),
        (4, "capital,price,1,-2", "line 4: capital of B is -2. A price is at least 0"),
        (4, "", "has no part of the price"),
    ],
)
def test_bad_files_are_refused_with_their_line(line, text, said, tmp_path):
    lines = ["attribute,weight,A,B", "taste,30,8,6", "clogging,70,1,3", "capital,price,1,2"]
    lines[line - 1] = text
    (tmp_path / "market.csv").write_text("\n".join(lines))
    with pytest.raises(clv.InputError, match=said):
        read_market(tmp_path / "market.csv")


def test_bad_slopes_references_and_doubts_are_refused(filtration):
    for slope, said in ((0, "slope=0.0 must be a positive"), ("x", "slope='x' is no number")):
        with pytest.raises(clv.InputError, match=said):
            price_performance(filtration, slope)
    with pytest.raises(clv.InputError, match="against='Nobody' is no rival. There are Filtro"):
        price_performance(filtration, SLOPE, against="Nobody")
    with pytest.raises(clv.InputError, match="Nothing is unsure"):
        unsure(filtration, seed=1)
    with pytest.raises(clv.InputError, match="rating_error=-1 must be a positive number"):
        unsure(filtration, rating_error=-1, seed=1)
    drawn = unsure(filtration, concentration=50, draws=10, seed=1)
    with pytest.raises(clv.InputError, match="weights of the market are draws already"):
        unsure(drawn, concentration=50, seed=1)
    with pytest.raises(clv.InputError, match="10 of weights and ratings, 11 of the slope"):
        price_performance(drawn, xr.DataArray(np.ones(11), dims="draw"))
    with pytest.raises(clv.InputError, match="This is no market"):
        price_performance(xr.Dataset(), SLOPE)


def test_the_table_has_a_row_a_rival_and_one_an_attribute(filtration):
    drawn = unsure(filtration, concentration=50, draws=20, seed=1)
    for each, more in ((filtration, []), (drawn, ["total_advantage_q05", "probability_best"])):
        table = clv.table(price_performance(each, SLOPE))
        assert table["rival"].tolist() == RIVALS
        assert set(more) <= set(table.columns)
        long = clv.table(price_performance(each, SLOPE), by="attribute")
        assert len(long) == len(RIVALS) * 9
        sums = long.groupby("rival", sort=False)["advantage"].sum()
        name = "total_advantage_mean" if more else "total_advantage"
        np.testing.assert_allclose(sums, table[name])


def test_the_figure_shows_every_rival(filtration):
    for each in (filtration, unsure(filtration, concentration=50, rating_error=0.5, draws=50, seed=1)):
        found = price_performance(each, SLOPE)
        texts = {text.get_text() for ax in clv.views.plot_price_performance(found).axes for text in ax.texts}
        assert all(any(name in text for text in texts) for name in RIVALS)
        split = clv.views.plot_advantages(found, "Filtro")
        labels = [text.get_text() for text in split.axes[0].get_yticklabels()]
        assert labels == [*filtration["attribute"].values, "capital cost", "disposables", "in all"]
    with pytest.raises(clv.InputError, match="'Nobody' is no rival"):
        clv.views.plot_advantages(found, "Nobody")
