"""An offer's effect as a lever: the ratio that was simulated, carried by its own draws, zero where there is none."""

import numpy as np
import pandas as pd
import pytest

import bayes_clv as clv
from bayes_clv.schema import InputError
from bayes_clv.valuation import compare_scenarios, effect_of, scenario

TRUTH = {"r": 1.0, "alpha": 8.0, "a": 0.8, "b": 4.0}


@pytest.fixture(scope="module")
def customers():
    """Return two simulated arms, of which one buys 1.6 times as often."""
    arms = []
    for name, pace in (("none", 1.0), ("mail", 1.6)):
        log = clv.synthetic.simulate_orders(
            TRUTH | {"alpha": TRUTH["alpha"] / pace}, customers=400, seed=5, family="bg_nbd"
        )
        spent = np.random.default_rng(1).gamma(6.0, 5.0, len(log))
        arms.append(log.assign(customer_id=name + log["customer_id"].astype(str), spend=spent))
    found = clv.summarize(pd.concat(arms))
    offer = np.array([str(each)[:4] for each in found["customer"].to_numpy()], dtype=object)
    return found.assign(offer=("customer", offer))


@pytest.fixture(scope="module")
def fit(customers):
    return clv.fit(
        "bg_nbd",
        customers,
        covariates={"purchase": "offer", "dropout": "offer"},
        method="laplace",
        draws=200,
        seed=1,
    )


@pytest.fixture(scope="module")
def simulation(fit, customers, make_spending):
    return clv.simulate(fit, customers, "26 weeks", spending=make_spending(draws=50), draws=100, seed=3)


def test_the_effect_is_the_ratio_of_the_arms(simulation, fit):
    factor = 1 + effect_of(simulation, "purchase", "offer", "mail", "none").distribution.drawn
    # By hand, of the very draws that the simulation has: a level's coefficient is the logarithm of its factor.
    place = fit["posterior"].dataset.sel(chain=simulation.buying.chains, draw=simulation.buying.draws)
    by_hand = np.exp(place["purchase_coefficient"].transpose(..., "chain", "draw").to_numpy().reshape(-1))
    sign = 1 if "mail" in str(place["purchase_effect"].values[0]) else -1
    np.testing.assert_allclose(factor, by_hand**sign)
    # 1.6 in truth; within 4 of the posterior's own standard deviations.
    assert factor.mean() == pytest.approx(1.6, abs=4 * factor.std())
    assert factor.std() < 0.3
    back = 1 + effect_of(simulation, "purchase", "offer", "none", "mail").distribution.drawn
    np.testing.assert_allclose(factor * back, 1.0)
    # Of a probability the odds are multiplied: the ratio of the means, by hand.
    leaving = 1 + effect_of(simulation, "dropout", "offer", "mail", "none").distribution.drawn
    odds = place["dropout_coefficient"].transpose(..., "chain", "draw").to_numpy().reshape(-1) * sign
    assert ((leaving > 1) == (odds > 0)).all()
    assert (np.abs(np.log(leaving)) < np.abs(odds)).all()


def test_a_scenario_carries_each_draw(simulation):
    """The customers without the offer buy, in the draws of a large effect, more than in those of a small one."""
    change = effect_of(simulation, "purchase", "offer", "mail", "none")
    nothing = effect_of(simulation, "purchase", "offer", "none", "none")
    found = compare_scenarios(
        simulation,
        [
            scenario("mail", where="offer == 'none'", purchase_rate=change),
            scenario("nothing", where="offer == 'none'", purchase_rate=nothing),
        ],
    )
    assert float(abs(found["value_difference"].sel(scenario="nothing")).max()) == 0.0
    more = found["purchases_difference"].sel(scenario="mail").to_numpy().ravel()
    assert more.mean() > 0
    # Of 400 customers and as many draws chance is a part of it, and the draw's own effect most.
    assert np.corrcoef(more, change.distribution.drawn)[0, 1] > 0.7
    assert np.corrcoef(more, change.distribution.drawn[::-1])[0, 1] < 0.4


def test_effects_that_are_not_there(simulation):
    with pytest.raises(InputError, match="process='margin' is not known"):
        effect_of(simulation, "margin", "offer", "mail", "none")
    with pytest.raises(
        InputError, match="no covariate 'channel' of purchase. Fit the experiment's customers"
    ):
        effect_of(simulation, "purchase", "channel", "mail", "none")
    with pytest.raises(InputError, match="no covariate 'offer' of spend"):
        effect_of(simulation, "spend", "offer", "mail", "none")
    with pytest.raises(InputError, match="has not seen 'call' in 'offer'. It has (mail, none|none, mail)"):
        effect_of(simulation, "purchase", "offer", "call", "none")
    with pytest.raises(InputError, match="Read it from the simulation that the scenario is of"):
        effect_of(simulation, "purchase", "offer", "mail", "none").distribution.rvs(7, None)
