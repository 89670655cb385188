"""Churn warnings: the alarm is where P(alive) crosses the threshold, by the family's own formula."""

import numpy as np
import pytest

import bayes_clv as clv
from bayes_clv.families.registry import family
from tests.symbols import paper


@pytest.fixture(scope="module")
def few():
    customers = clv.summarize(clv.load_cdnow(), until="1997-09-30")
    return customers.isel(customer=slice(0, None, 10))


@pytest.mark.parametrize("name", ["bg_nbd", "mbg_nbd", "pareto_nbd"])
def test_at_the_alarm_the_probability_is_the_threshold(name, few):
    buying = clv.fit(name, few, method="laplace", draws=50, seed=1)
    found = clv.churn_alarms(buying, few, threshold=0.4)
    draws = {each: buying["posterior"][each].to_numpy().ravel() for each in family(name).parameters}

    def alive(row, silence):
        x, t_x = float(few["frequency"][row]), float(few["recency"][row])
        return float(np.mean(paper(name).probability_alive(x, t_x, t_x + silence, **draws)))

    never = np.isinf(found["alarm_silence"].to_numpy())
    assert (never == (few["frequency"] == 0).to_numpy()).all() if name == "bg_nbd" else not never.any()
    for row in range(0, few.sizes["customer"], 7):
        now = alive(row, float(few["T"][row] - few["recency"][row]))
        assert float(found["probability_alive"][row]) == pytest.approx(now, rel=1e-9)
        assert bool(found["alarmed"][row]) == (now <= 0.4)
        if never[row]:
            assert alive(row, 10 * float(few["T"].max())) > 0.4
        elif float(found["alarm_silence"][row]) > 1e-6:
            assert alive(row, float(found["alarm_silence"][row])) == pytest.approx(0.4, abs=1e-9)
        else:
            assert alive(row, 0.0) <= 0.4


def test_dates_and_what_is_at_risk(few, make_spending):
    buying = clv.fit("mbg_nbd", few, method="laplace", draws=50, seed=1)
    value = clv.predict(buying, few, spending=make_spending(draws=50), seed=1)
    turned = value.isel(customer=slice(None, None, -1))
    found = clv.churn_alarms(buying, few, value=turned)
    expected = (1 - found["probability_alive"]) * value["value_mean"]
    np.testing.assert_allclose(found["value_at_risk"], expected)
    age = (found["alarm_date"] - few["first_order"]).dt.days.to_numpy() / 7
    wanted = (few["recency"] + found["alarm_silence"]).to_numpy()
    # The first whole day that is late enough.
    assert ((age >= wanted - 1e-6) & (age < wanted + 1 / 7)).all()
    np.testing.assert_array_equal(found["alarmed"], found["alarm_in"] <= 0)
    alone = clv.churn_alarms(buying, few.isel(customer=[3]))
    xr_row = found.isel(customer=[3])
    np.testing.assert_allclose(alone["alarm_silence"], xr_row["alarm_silence"], rtol=1e-9)


def test_what_cannot_be_is_refused(few, make_buying, make_spending):
    with pytest.raises(clv.InputError, match="threshold=1.5 must be a probability"):
        clv.churn_alarms(make_buying(), few, threshold=1.5)
    value = clv.predict(make_buying(), few.isel(customer=slice(5)), spending=make_spending(), seed=1)
    with pytest.raises(clv.InputError, match="for these customers"):
        clv.churn_alarms(make_buying(), few, value=value)
