"""Several offers: one is what it was, and more against every choice there is; costs, tests and refusals."""

import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.optimize import approx_fprime, linprog
from scipy.special import expit

import bayes_clv as clv
from bayes_clv.inference import response as module
from bayes_clv.inference.sampling.nested import Hierarchy, _joint, _modes
from bayes_clv.schema import InputError
from bayes_clv.targeting.allocation import best_totals, choose, choose_by_quantile, orders
from tests.targeting.test_targeting import made

OFFERS = ("call", "mail", "text")


def offered(uplift, place, scale=None, **further):
    """Return what predict_uplift would of draws (draw, offer, segment)."""
    uplift = np.asarray(uplift, dtype=float)
    each = [made(uplift[:, k], place, scale, **further) for k in range(uplift.shape[1])]
    names = pd.Index(np.array(OFFERS[: uplift.shape[1]], dtype=object), name="offer")
    of_offer = ["uplift", "conversion_treated", "spend_treated"]
    treated = xr.concat([one[of_offer] for one in each], names).transpose("chain", "draw", "offer", ...)
    found = each[0].drop_vars(of_offer).merge(treated)
    found.attrs["control"] = "none"
    return found


def trial_table(size=4000, seed=1, offers=2):
    rng = np.random.default_rng(seed)
    arm, place = rng.integers(0, offers + 1, size), rng.integers(0, 3, size)
    odds = np.array([-2.0, -1.6, -2.2, -1.9])[arm] + 0.4 * (place == 1) * (arm == 2)
    money = np.where(rng.random(size) < expit(odds), rng.gamma(1.5, 30.0, size), 0.0)
    return pd.DataFrame(
        {
            "customer_id": np.arange(size),
            "offer": np.array(["none", *OFFERS])[arm],
            "outcome": money,
            "segment": np.array(["x", "y", "z"])[place],
        }
    )


def of(table, **further):
    return clv.customers.from_experiment(table, treated="offer", control="none", segment="segment", **further)


@pytest.fixture(scope="module")
def experiment():
    return of(trial_table(12_000))


@pytest.fixture(scope="module")
def response(experiment):
    return clv.targeting.fit_response(experiment, method="laplace", draws=250, seed=1)


def test_one_offer_is_what_it_was():
    """Every figure of ``target`` before it knew several offers, recorded at commit 94624a3."""
    rng = np.random.default_rng(11)
    worth = rng.normal([1.0, 1.6, 0.4, 2.2], [0.5, 0.9, 0.7, 1.2], (800, 4))
    added = made(worth, rng.integers(0, 4, 120), shape=1.5)
    for budget, figures, places in (
        (None, (29.434114562, 38.088554937, 12.221832912, -0.220856062), 3560),
        (30.0, (19.713084914, 23.808552827, 9.096060842, -0.290172528), 1394),
    ):
        found = clv.target(added, cost=1.0, margin=0.8, budget=budget, test=300, seed=3)
        names = ("net_gain_total", "net_gain_outcome_total", "regret", "value_of_test")
        np.testing.assert_allclose([float(found[each].mean()) for each in names], figures, atol=2e-9)
        assert int((found["contacted"] * np.arange(120)).sum()) == places
        # One offer by its name goes the same way.
        named = clv.target(
            offered(worth[:, None], np.searchsorted(added["segment"], added["customer_segment"]), shape=1.5),
            cost={"call": 1.0}, margin=0.8, budget=budget, test=300, seed=3,
        )  # fmt: skip
        for name in (*names, "contacted", "rank", "probability_pays", "net_gain_q05"):
            np.testing.assert_array_equal(named[name], found[name])
        np.testing.assert_allclose(named["net_gain_single_total"].isel(offer=0), named["net_gain_total"])


def every_choice(worth, place, scale, cost, budget):
    """Return each choice within the budget (choice, customer), -1 for none, and its total on every draw."""
    choices = np.array(list(itertools.product(range(-1, worth.shape[1]), repeat=place.size)))
    rows = np.arange(place.size)
    spent = np.where(choices >= 0, cost[rows, choices], 0.0).sum(axis=1)
    choices = choices[spent <= budget + 1e-12]
    each = scale * worth[:, :, place] - cost.T
    total = np.stack([np.where(one >= 0, each[:, one, rows], 0.0).sum(axis=1) for one in choices])
    return choices, total


@pytest.mark.parametrize("seed", range(4))
def test_the_choice_against_every_choice(seed):
    """Five customers and three offers, 1,024 choices: within its own bound of the best, exact without a budget."""
    rng = np.random.default_rng(seed)
    worth, place = rng.normal([[1.0], [1.6], [2.2]], 1.0, (30, 3, 2)), rng.integers(0, 2, 5)
    scale, prices = rng.gamma(3, 0.4, 5), np.array([0.3, 0.8, 1.7])
    added = offered(worth, place, scale)
    cost = np.broadcast_to(prices, (5, 3))
    for budget in (None, 3.0, 1.2, 0.0):
        decision = clv.target(added, cost=dict(zip(OFFERS, prices, strict=True)), budget=budget)
        choices, totals = every_choice(worth, place, scale, cost, np.inf if budget is None else budget)
        best, reached = totals.mean(axis=1).max(), float(decision["net_gain_total"].mean())
        assert best - float(decision["budget_bound"]) - 1e-9 <= reached <= best + 1e-9
        names = ["none", *OFFERS]
        own = np.array([names.index(each) for each in decision["chosen_offer"].to_numpy()]) - 1
        (at,) = np.flatnonzero((choices == own).all(axis=1))
        np.testing.assert_allclose(decision["net_gain_total"].to_numpy()[0], totals[at], atol=1e-9)
        perfect = decision["regret_total"].to_numpy()[0] + decision["net_gain_total"].to_numpy()[0]
        if budget is None:
            np.testing.assert_allclose(perfect, totals.max(axis=0), atol=1e-9)
            # How probably what was chosen is the best of a customer's four, one by one.
            each = np.concatenate([np.zeros((30, 1, 5)), scale * worth[:, :, place] - cost.T], axis=1)
            chance = (each.argmax(axis=1) == own + 1).mean(axis=0)
            np.testing.assert_allclose(decision["probability_best"], chance, atol=1e-12)
        else:
            assert (perfect >= totals.max(axis=0) - 1e-9).all()
        assert float(decision["cost"].where(decision["contacted"] == 1).sum()) == pytest.approx(
            decision.attrs["spent"]
        )


def test_the_continuous_problem_against_a_linear_programme():
    """Costs of customers and prices of offers at once, as the best totals take them."""
    rng = np.random.default_rng(3)
    worth, place = rng.normal(1.2, 1.5, (25, 3, 4)), rng.integers(0, 4, 20)
    scale, own, prices = rng.gamma(2, 0.5, 20), rng.uniform(0.1, 2.0, 20), np.array([0.5, 1.0, 1.6])
    found = best_totals(worth, prices, orders(scale, own, place, 4), 6.0)
    cost = own[:, None] * prices
    together = np.kron(np.eye(20), np.ones(3))
    for s in range(25):
        gain = scale[:, None] * worth[s, :, place] - cost
        rows = np.vstack([cost.ravel(), together])
        exact = linprog(-gain.ravel(), rows, [6.0, *np.ones(20)], bounds=(0, 1), method="highs")
        assert found.gain[s] == pytest.approx(-exact.fun, abs=1e-7)
    assert (found.spent <= 6.0 + 1e-9).all()


def test_steps_from_offer_to_offer():
    """By hand: the dear offer gains more, but its step from the cheap one is the worst use of money."""
    gain, cost = np.array([[2.0, 3.0], [2.0, 3.0]]), np.array([[1.0, 4.0], [1.0, 4.0]])
    assert choose(gain, cost, None)[0].tolist() == [1, 1]
    chosen, bound = choose(gain, cost, 5.0)
    # Both cheap ones for 2, and of the first step to the dear one, 1 for 3, all of it: 5 spent, nothing left.
    assert chosen.tolist() == [1, 0]
    assert bound == pytest.approx(0.0, abs=1e-12)
    chosen, bound = choose(gain, cost, 4.5)
    # 2.5 are left of which a step needs 3: the bound is 2.5 / 3 of its gain.
    assert chosen.tolist() == [0, 0]
    assert bound == pytest.approx(2.5 / 3)
    # Where the step to the cheap one does not fit, that from it to the dear one, for 0.5, does not either.
    assert choose(np.array([[6.0, 6.5]]), np.array([[3.0, 3.5]]), 2.9)[0].tolist() == [-1]
    # An offer that a mixture of its neighbours beats is no step, but all that fits where they do not.
    assert choose(np.array([[1.0, 2.0, 6.0]]), np.array([[1.0, 2.5, 3.0]]), 2.0)[0].tolist() == [-1]


def test_a_lower_quantile_against_a_grid():
    """Two segments of 60 and two offers: every 6 customers of each, of which the best lies a little high by luck.

    A 10 % quantile of n Normal totals has the error 1.71 sd / sqrt(n).
    """
    rng = np.random.default_rng(2)
    mean, spread = np.array([[1.9, 2.2], [2.4, 2.7]]), np.array([[0.5, 1.2], [1.0, 1.0]])
    worth, prices = mean + spread * rng.standard_normal((4000, 2, 2)), np.array([1.0, 1.3])
    place, ones = np.repeat([0, 1], 60), np.ones(120)
    chosen, bound = choose_by_quantile(worth, prices, orders(ones, ones, place, 2), None, 0.1, 120)

    def totals(numbers):
        """Of numbers (choice, offer, segment)."""
        return np.tensordot(numbers, worth, ([1, 2], [1, 2])) - (numbers.sum(axis=2) @ prices)[:, None]

    each = [(a, b) for a in range(0, 61, 6) for b in range(0, 61 - a, 6)]
    grid = totals(np.array([[first, second] for first in each for second in each]).transpose(0, 2, 1))
    best = np.quantile(grid, 0.1, axis=1, method="inverted_cdf").max()
    own = totals(np.array([[[((chosen == k) & (place == s)).sum() for s in (0, 1)] for k in (0, 1)]]))[0]
    value = float(np.quantile(own, 0.1, method="inverted_cdf"))
    assert value >= best - 1.71 * own.std() / np.sqrt(4000)
    assert value >= bound - 1e-9
    by_mean = totals(np.array([[[0, 0], [60, 60]]]))[0]
    assert by_mean.mean() > own.mean()
    assert value > 1.1 * float(np.quantile(by_mean, 0.1, method="inverted_cdf"))


def test_the_value_of_a_test_of_two_offers():
    """Conjugate: p ~ Beta of each offer, controls and spend known; exact by a sum over what both arms may show."""
    draws, people, n = 20_000, 1000, 40
    rng = np.random.default_rng(4)
    p = np.column_stack([rng.beta(5, 45, draws), rng.beta(6, 54, draws)])
    added = offered((p - 0.09)[:, :, None], np.zeros(people, dtype=int), control=0.09, spend=1.0)
    decision = clv.target(added, cost={"call": 1.0, "mail": 1.0}, margin=100.0, test=3 * n, seed=1)
    k = np.arange(n + 1)
    after = [people * (100 * ((a + k) / (a + b + n) - 0.09) - 1) for a, b in ((5, 45), (6, 54))]
    chance = np.outer(*(stats.betabinom.pmf(k, n, a, b) for a, b in ((5, 45), (6, 54))))
    exact = float((chance * np.maximum(np.maximum.outer(*after), 0)).sum())
    now = max(0.0, people * (100 * (0.1 - 0.09) - 1))
    error = float(decision["value_of_test_error"])
    # The means of today are known to 1 / sqrt(draws) of p's spread, which moves the difference as well.
    own = 100 * people * p.std() / np.sqrt(draws)
    assert exact - now > 10 * error
    # Regression on what both arms show is linear, as the exact means are.
    assert float(decision["value_of_test"]) == pytest.approx(exact - now, abs=4 * (error + own))


def test_modes_and_curvature_of_three_effects():
    """The arrow's determinant and the mode against differences of the joint density, one segment at a time."""
    known = {"customers": np.array([[50.0, 60, 40, 55]]), "conversions": np.array([[5.0, 9, 3, 12]])}
    model = Hierarchy(module._conversion_terms(known), lambda x: np.zeros(len(x)), np.zeros(8), 1, 3)
    population = np.array([[-2.0, -0.4, 0.1, 0.2, 0.3, -1.0, -0.8, -1.2]])
    at = _modes(model, population)
    top = np.concatenate([at.level[0], at.effect[0, 0]])

    def density(x):
        return float(_joint(model, population, x[None, :1], x[None, None, 1:])[0, 0])

    # A mode: slopes vanish to the rounding of a difference, 1e-16 / 1e-6 times a density of some 50.
    np.testing.assert_allclose(approx_fprime(top, density, 1e-6), 0.0, atol=1e-4)
    step = 1e-4 * np.eye(4)
    hessian = [
        [
            (density(top + a + b) - density(top + a - b) - density(top - a + b) + density(top - a - b)) / 4e-8
            for a in step
        ]
        for b in step
    ]
    # Of order step², and rounding of 50 × 1e-16 / 1e-8, on entries of about 10.
    assert at.curvature.determinant[0, 0] == pytest.approx(np.linalg.det(-np.array(hessian)), rel=1e-4)


def test_each_offer_has_its_own_effect():
    """No segments, wide priors: the log odds ratio of each offer is Normal(estimate, Woolf's error)."""
    frame = trial_table(8000)
    priors = {"conversion_effect": clv.Prior("Normal", mu=0, sigma=100)}
    found = clv.targeting.fit_response(
        clv.customers.from_experiment(frame, treated="offer", control="none"),
        method="laplace",
        priors=priors,
        seed=1,
    )
    effect = found["posterior"]["conversion_effect"]
    assert effect["offer"].to_numpy().tolist() == ["call", "mail"]
    bought = frame["outcome"] > 0
    few = clv.diagnostics(found)["effective_draws"]
    for offer in ("call", "mail"):
        counts = np.array(
            [[((frame["offer"] == a) & (bought == b)).sum() for b in (False, True)] for a in ("none", offer)]
        )
        estimate = np.log(counts[1, 1] / counts[1, 0] * counts[0, 0] / counts[0, 1])
        error, own = np.sqrt((1 / counts).sum()), effect.sel(offer=offer)
        assert float(own.mean()) == pytest.approx(estimate, abs=error * (4 / np.sqrt(few) + 0.02))
        assert float(own.std()) == pytest.approx(error, rel=4 / np.sqrt(2 * few) + 0.02)


def test_an_experiment_of_named_arms_is_the_one_of_zeros_and_ones():
    """Two arms, named or not: the same draws, but for the dimension of the offer."""
    table = (
        trial_table().query("offer != 'mail'").assign(treated=lambda t: (t["offer"] == "call").astype(int))
    )
    plain = clv.customers.from_experiment(table, segment="segment")
    named = of(table)
    fits = [clv.targeting.fit_response(each, method="laplace", draws=50, seed=1) for each in (plain, named)]
    for name, drawn in fits[0]["posterior"].data_vars.items():
        other = fits[1]["posterior"][name]
        assert ("offer" in other.dims) == ("effect" in str(name))
        np.testing.assert_array_equal(other.squeeze("offer") if "offer" in other.dims else other, drawn)
    added = [clv.targeting.predict_uplift(fit, each) for fit, each in zip(fits, (plain, named), strict=True)]
    np.testing.assert_array_equal(added[1]["uplift"].squeeze("offer"), added[0]["uplift"])
    np.testing.assert_array_equal(added[1]["uplift_q05"].squeeze("offer"), added[0]["uplift_q05"])


def test_what_a_response_to_offers_carries(experiment, response, tmp_path):
    posterior = response["posterior"].dataset
    assert set(posterior["conversion_effect_offset"].dims) == {"chain", "draw", "offer", "segment"}
    assert response["observed_data"]["arm"].to_numpy().tolist() == ["none", "call", "mail"]
    added = clv.targeting.predict_uplift(response, experiment)
    assert added["uplift"].dims == ("chain", "draw", "offer", "segment")
    assert added["uplift_mean"].dims == ("customer", "offer")
    assert added.attrs["control"] == "none"
    # Of mail in y, by hand.
    at = posterior.sel(offer="mail", segment="y", chain=1, draw=3)
    odds = np.log(at["conversion_control"] / (1 - at["conversion_control"])) + at["conversion_control_offset"]
    change = at["conversion_effect"] + at["conversion_effect_offset"]
    mean = at["spend_control"] * np.exp(at["spend_control_offset"])
    more = np.exp(at["spend_effect"] + at["spend_effect_offset"])
    by_hand = expit(float(odds + change)) * float(mean * more) - expit(float(odds)) * float(mean)
    assert float(added["uplift"].sel(offer="mail", segment="y", chain=1, draw=3)) == pytest.approx(by_hand)
    again = clv.load(clv.save(response, tmp_path / "response.nc"))
    assert clv.targeting.predict_uplift(again, experiment).equals(added)
    # Every cell's probability is near its share of buyers: within 3 of a share's errors, which pooling moves it by 1.
    cells = response["observed_data"].dataset
    share = cells["conversions"] / cells["customers"]
    for offer in ("call", "mail"):
        raw, people = share.sel(arm=offer), cells["customers"].sel(arm=offer)
        away = added["conversion_treated"].sel(offer=offer).mean(("chain", "draw")) - raw
        assert (abs(away) < 3 * np.sqrt(raw * (1 - raw) / people)).all()
    # A segment never seen is drawn for each offer by itself: 1,000 pairs of independent numbers, 4 / sqrt(1000).
    strange = experiment.assign(
        segment=("customer", np.full(experiment.sizes["customer"], "w", dtype=object))
    )
    new = clv.targeting.predict_uplift(response, strange).isel(segment=0)
    odds = {
        what: np.log(new[f"conversion_{what}"] / (1 - new[f"conversion_{what}"]))
        for what in ("control", "treated")
    }
    z = (odds["treated"] - odds["control"] - posterior["conversion_effect"]) / posterior[
        "conversion_effect_sd"
    ]
    one, other = (
        z.sel(offer=each).transpose("chain", "draw").to_numpy().ravel() for each in ("call", "mail")
    )
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(one.size)
    assert one.std() == pytest.approx(1.0, abs=4 / np.sqrt(2 * one.size))
    decision = clv.target(added, cost={"call": 0.9, "mail": 0.2}, margin=0.3)
    table = clv.table(decision)
    assert list(table.columns[:6]) == [
        "customer_id", "segment", "offer", "best_offer", "probability_best", "contacted",
    ]  # fmt: skip
    assert set(table.loc[table["contacted"] == 0, "offer"]) <= {"none"}
    _, right = clv.views.plot_gain(decision).axes
    assert {text.get_text().split(",")[0] for text in right.get_legend().get_texts()} == {"call", "mail"}
    curve = clv.targeting.gain_curve(decision)
    # The best of all numbers of contacts is what was decided; of a hundred of them, one within a hundredth.
    best, decided = (
        float(curve["net_gain"].mean(("chain", "draw")).max()),
        float(decision["net_gain_total"].mean()),
    )
    assert 0.99 * decided < best <= decided + 1e-9


@pytest.mark.full
def test_laplace_agrees_with_nuts():
    """Mean of every quantity within 4 errors: sd × sqrt(1/ess + 1/ess), the smallest of each fit."""
    experiment = of(trial_table(6000, 2))
    fast = clv.targeting.fit_response(experiment, method="laplace", seed=1)
    slow = clv.targeting.fit_response(experiment, draws=500, tune=600, seed=1, progress=False)
    assert clv.diagnostics(fast)["passed"]
    error = 4 * np.sqrt(
        1 / clv.diagnostics(fast)["effective_draws"] + 1 / clv.diagnostics(slow)["ess_bulk_min"]
    )
    for name in fast["posterior"].data_vars:
        one, other = fast["posterior"][name], slow["posterior"][name]
        sd, away = other.std(("chain", "draw")), one.mean(("chain", "draw")) - other.mean(("chain", "draw"))
        assert float((np.abs(away) / sd).max()) < error, name


def test_the_door_of_several_arms():
    table = trial_table(300)
    found = of(table)
    assert found["treated"].to_numpy().tolist() == [int(each != "none") for each in found["arm"].to_numpy()]
    said = found.attrs["audit"]
    assert "offered 'call'" in said
    assert "one draw for all" in said
    few = table[(table["offer"] != "mail") | (table["segment"] != "y")]
    with pytest.raises(InputError, match="1 of 3 segments has no customer with 'mail', for example 'y'"):
        of(few)
    with pytest.raises(
        InputError, match="control='nobody': nobody has it in the column 'offer'.*no controls"
    ):
        clv.customers.from_experiment(table, treated="offer", control="nobody")
    with pytest.raises(
        InputError, match="neither 0 nor 1.*several offers, say which label the controls have"
    ):
        clv.customers.from_experiment(table, treated="offer")
    with pytest.raises(InputError, match="has no treated"):
        of(table[table["offer"] == "none"])
    with pytest.raises(InputError, match="'offer' is missing for 1 of 300"):
        of(table.assign(offer=table["offer"].where(table.index != 5)))
    broken = found.copy(deep=True)
    broken["arm"][np.flatnonzero(broken["treated"])[0]] = "none"
    with pytest.raises(InputError, match="controls are one arm"):
        clv.targeting.fit_response(broken, method="laplace", seed=1)


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ({"call": 1.0, "mail": 1.0}, "says nothing of 'text', an offer of the experiment"),
        (
            {"call": 1.0, "mail": 1.0, "text": 1.0, "gift": 2.0},
            "names 'gift', which nobody of the experiment",
        ),
        ({"call": 1.0, "mail": -1.0, "text": 1.0}, "of 'mail' is -1. It must be finite and not negative"),
        (pd.Series({"call": 1.0, "mail": np.inf, "text": 1.0}), "of 'mail' is inf"),
        ({"c0": 1.0}, "1 customers have none, such as 'c1'"),
        (-1.0, "finite and not negative"),
    ],
)
def test_costs_that_cannot_be(cost, message):
    added = offered(np.ones((4, 3, 1)), [0, 0])
    with pytest.raises(InputError, match=message):
        clv.target(added, cost=cost)


@pytest.mark.parametrize("budget", [None, 6.0])
def test_a_table_of_costs_is_what_its_product_is(budget):
    rng = np.random.default_rng(4)
    worth = rng.normal([[1.0, 1.6], [1.4, 0.8], [0.9, 2.0]], 0.7, (300, 3, 2))
    added = offered(worth, rng.integers(0, 2, 40), scale=rng.uniform(0.5, 2.0, 40))
    prices = dict(zip(OFFERS, (0.6, 0.9, 0.8), strict=True))
    ids = added["customer"].to_numpy()
    table = pd.DataFrame({name: np.full(40, each) for name, each in prices.items()}, index=ids).iloc[::-1]
    one, two = (clv.target(added, cost=each, budget=budget, seed=3) for each in (prices, table))
    for name in ("chosen_offer", "probability_best", "net_gain_total", "net_gain_single_total", "offer_cost"):
        if two[name].dtype == object:
            assert two[name].values.tolist() == one[name].values.tolist()
        else:
            np.testing.assert_allclose(two[name], one[name], rtol=1e-9, atol=1e-12, err_msg=name)
    if budget is None:
        for name in ("regret", "value_of_perfect_information", "regret_total"):
            np.testing.assert_allclose(two[name], one[name], rtol=1e-9, atol=1e-9)
    else:
        assert np.isnan(two["regret"])
        assert "costs by customer and offer" in two.attrs["reasons"][0]
        assert two.attrs["spent"] <= budget


def test_a_table_of_costs_that_is_no_product():
    rng = np.random.default_rng(5)
    worth = rng.normal(1.5, 0.5, (200, 2, 2))
    added = offered(worth, np.array([0, 1, 0, 1]))
    costs = np.array([[0.1, 9.0], [9.0, 0.1], [9.0, 9.0], [0.2, 0.1]])
    table = xr.DataArray(costs, {"customer": added["customer"].values, "offer": list(OFFERS[:2])})
    found = clv.target(added, cost=table)
    mean = worth.mean(axis=0).T[[0, 1, 0, 1]] - costs
    wanted = np.where(mean.max(axis=1) > 0, np.array(OFFERS)[mean.argmax(axis=1)], "none")
    assert found["chosen_offer"].values.tolist() == wanted.tolist()
    assert found["chosen_offer"].values.tolist()[:3] == ["call", "mail", "none"]
    best = np.maximum((worth.transpose(0, 2, 1)[:, [0, 1, 0, 1]] - costs).max(axis=2), 0).sum(axis=1)
    perfect = best.mean() - np.maximum(mean.max(axis=1), 0).sum()
    assert float(found["value_of_perfect_information"]) == pytest.approx(perfect)
    for given, message in (
        (table.isel(customer=slice(1, None)), "of 4 customers 1 have none, such as"),
        (table.isel(offer=[0]), "says nothing of 'mail'"),
        (table - 1, "must be finite and not negative"),
    ):
        with pytest.raises(InputError, match=message):
            clv.target(added, cost=given)
    for further in ({"risk": "q10"}, {"test": 100}):
        with pytest.raises(InputError, match="risk and test go by an order"):
            clv.target(added, cost=table, **further)


def test_costs_of_offers_and_of_customers():
    worth = np.array([[[2.0], [2.5]]])
    added = offered(np.repeat(worth, 4, axis=0), [0, 0])
    by_offer = xr.DataArray([0.1, 1.0], dims="offer", coords={"offer": ["call", "mail"]})
    assert clv.target(added, cost=by_offer)["chosen_offer"].to_numpy().tolist() == ["call", "call"]
    by_customer = clv.target(added, cost={"c0": 1.0, "c1": 3.0})
    assert by_customer["chosen_offer"].to_numpy().tolist() == ["mail", "none"]
    assert by_customer["net_gain_mean"].to_numpy().tolist() == [1.5, -0.5]
