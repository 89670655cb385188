"""What customers cost: one formula by hand, in every verb that values; nothing costs nothing; defaults; refusals."""

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, special, stats

import bayes_clv as clv
from bayes_clv.inference import fit_default
from bayes_clv.inference.defaults import _log_density
from bayes_clv.predictions import costs, read_costs
from bayes_clv.predictions.expected_net import expected_time
from bayes_clv.predictions.parameters import parameters
from bayes_clv.valuation import compare_scenarios, customer_equity, equity_bridge, scenario
from bayes_clv.valuation.cohort import expected_costs_over_time, expected_over_time

HORIZON = 30.0
TERMS = {"margin": 0.3, "annual_discount_rate": 0.2}
SIZE = 120


@pytest.fixture(scope="module")
def fits(make_buying, make_spending):
    return make_buying(chains=2, draws=40), make_spending(chains=2, draws=40)


@pytest.fixture(scope="module")
def base(make_customers):
    """Customers with columns of their own, two of whom have the same history."""
    rng = np.random.default_rng(3)
    customers = make_customers(SIZE)
    own = {
        "serve": rng.gamma(2, 0.02, SIZE),
        "order": rng.gamma(2, 1.0, SIZE),
        "share": rng.uniform(0.1, 0.5, SIZE),
        "risk": rng.beta(1, 20, SIZE),
        "kind": np.array(["a", "b"] * (SIZE // 2), dtype=object),
    }
    return customers.assign({name: ("customer", each) for name, each in own.items()})


@pytest.fixture(scope="module")
def stated():
    return costs(
        margin="share",
        cost_per_order="order",
        cost_to_serve="serve",
        default_probability="risk",
        loss_given_default=0.6,
    )


def drawn(simulation, names):
    out = {name: np.empty((SIZE, simulation.size)) for name in names}
    for places, block in simulation.blocks(names):
        for name in names:
            out[name][places] = block[name]
    return out


@pytest.fixture(scope="module")
def by_hand(fits, base):
    """Each customer's value less costs in each draw, from the parts of a simulation without costs."""
    plain = clv.simulate(fits[0], base, HORIZON, spending=fits[1], seed=4, draws=80, annual_discount_rate=0.2)
    parts = drawn(plain, ["value", "discounted_purchases", "active_time"])
    rate = np.log(1.2) * 7 / 365.2425
    time = (1 - np.exp(-rate * parts["active_time"])) / rate
    own = {name: base[name].values[:, None] for name in ("share", "order", "serve", "risk")}
    gross = own["share"] * parts["value"]
    lost = own["risk"] * 0.6 * parts["value"]
    return gross, gross - lost - own["order"] * parts["discounted_purchases"] - own["serve"] * time


def test_the_formula_by_hand(fits, base, stated, by_hand):
    net = clv.simulate(
        fits[0], base, HORIZON, spending=fits[1], seed=4, draws=80, annual_discount_rate=0.2, costs=stated
    )
    found = drawn(net, ["value", "value_before_costs"])
    np.testing.assert_allclose(found["value_before_costs"], by_hand[0], rtol=1e-12)
    np.testing.assert_allclose(found["value"], by_hand[1], rtol=1e-9, atol=1e-9)
    assert "value_before_costs" not in clv.simulate(fits[0], base, HORIZON, spending=fits[1], seed=4).names


def test_predict_summarises_these_draws(fits, base, stated, by_hand):
    gross, net = by_hand
    found = clv.predict(
        fits[0],
        base,
        HORIZON,
        spending=fits[1],
        seed=4,
        annual_discount_rate=0.2,
        costs=stated,
        value_above=(0.0, 5.0),
        keep_draws=True,
    )
    kept = found["value"].stack(s=("chain", "draw")).transpose("customer", "s").values
    np.testing.assert_allclose(kept, net, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["value_mean"], net.mean(axis=1))
    np.testing.assert_allclose(found["value_sd"], net.std(axis=1, ddof=1))
    for name, level in (("q05", 0.05), ("q50", 0.5), ("q95", 0.95)):
        wanted = np.quantile(net, level, axis=1, method="inverted_cdf")
        np.testing.assert_allclose(found[f"value_{name}"], wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["value_total"].values.ravel(), net.sum(axis=0))
    np.testing.assert_allclose(found["value_before_costs_total"].values.ravel(), gross.sum(axis=0))
    np.testing.assert_allclose(found["cost_mean"], (gross - net).mean(axis=1))
    np.testing.assert_allclose(found["probability_loss"], (net < 0).mean(axis=1))
    assert 0.05 < float(found["probability_loss"].mean()) < 0.95
    np.testing.assert_allclose(found["value_above"][:, 1], (net > 5).mean(axis=1))
    past = base["share"].values * base["historical_spend"].values
    np.testing.assert_allclose(found["lifetime_value_mean"], past + net.mean(axis=1))
    frame = clv.table(found)
    np.testing.assert_allclose(frame["cost_mean"], found["cost_mean"])
    assert found.attrs["costs"].startswith("margin column 'share'; cost per order column 'order'")


def test_costs_of_nothing_change_no_draw(fits, base):
    given = {"spending": fits[1], "seed": 4, **TERMS}
    plain = clv.predict(fits[0], base, HORIZON, **given, keep_draws=True)
    assert plain.identical(clv.predict(fits[0], base, HORIZON, **given, keep_draws=True, costs=costs()))
    ids = base["customer"].values
    zeros = costs(
        cost_per_order=dict.fromkeys(ids, 0.0),
        cost_to_serve=dict.fromkeys(ids, 0.0),
        default_probability=dict.fromkeys(ids, 0.0),
    )
    walked = clv.predict(fits[0], base, HORIZON, **given, keep_draws=True, costs=zeros)
    assert plain.identical(walked)
    # Where they cost only some, the draws of the others are as they were.
    one = costs(cost_to_serve=dict.fromkeys(ids, 0.0) | {ids[7]: 1.0})
    few = clv.predict(fits[0], base, HORIZON, **given, keep_draws=True, costs=one)
    others = np.delete(np.arange(SIZE), 7)
    np.testing.assert_array_equal(few["value"][..., others], plain["value"][..., others])
    assert (few["value"][..., 7] < plain["value"][..., 7]).any()
    closed = {"horizon": HORIZON, "keep_draws": True, **TERMS}
    before = clv.expected.value(*fits, base, **closed)["value_expected"]
    np.testing.assert_array_equal(
        clv.expected.value(*fits, base, **closed, costs=costs())["value_expected"], before
    )
    same = clv.expected.value(*fits, base, **closed, costs=zeros)["value_expected"]
    np.testing.assert_array_equal(same, before)
    one, other = (clv.simulate(fits[0], base, HORIZON, **given, costs=each) for each in (None, zeros))
    np.testing.assert_array_equal(customer_equity(one)["present"], customer_equity(other)["present"])


def test_amounts_by_id_are_matched_by_id(fits, base):
    given = {"spending": fits[1], "seed": 4, **TERMS}
    shuffled = dict(reversed(list(zip(base["customer"].values, base["serve"].values, strict=True))))
    by_id, by_column = (
        clv.predict(fits[0], base, HORIZON, **given, costs=costs(cost_to_serve=each))
        for each in (shuffled, "serve")
    )
    np.testing.assert_array_equal(by_id["value_mean"], by_column["value_mean"])
    # Whoever else is there changes nothing.
    some = base.isel(customer=[5, 3, 80])
    few = clv.predict(fits[0], some, HORIZON, **given, costs=costs(cost_to_serve="serve"))
    np.testing.assert_allclose(few["value_q50"], by_column["value_q50"].sel(customer=some["customer"]))


def test_the_expectation_is_the_mean_of_the_outcomes(make_buying, make_spending, base, stated):
    """Certain parameters, 4,000 draws: each customer within 5 of its standard errors, the total within 4."""
    fit, money = make_buying(sd=0, chains=1, draws=4000), make_spending(sd=0, chains=1, draws=4000)
    some = base.isel(customer=slice(0, 30))
    given = {"costs": stated, "annual_discount_rate": 0.2}
    found = clv.predict(fit, some, HORIZON, spending=money, seed=4, **given)
    one = (tree.isel(draw=[0]) for tree in (fit, money))
    closed = clv.expected.value(*one, some, horizon=HORIZON, **given)
    error = found["value_sd"] / 4000**0.5
    assert float(np.abs((found["value_mean"] - closed["value_expected"]) / error).max()) < 5
    total = found["value_total"].values
    assert float(closed["value_expected_total"].item()) == pytest.approx(
        total.mean(), abs=4 * total.std() / 4000**0.5
    )


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd", "pareto_nbd"])
def test_the_time_until_a_customer_leaves_by_quadrature(make_posterior, family):
    values = {
        "bg_nbd": {"r": 0.8, "alpha": 3.0, "a": 0.7, "b": 2.0},
        "mbg_nbd": {"r": 0.8, "alpha": 0.4, "a": 0.7, "b": 2.0},
        "pareto_nbd": {"r": 0.8, "alpha": 3.0, "s": 0.6, "beta": 9.0},
    }[family]
    known = parameters(make_posterior(family, values, sd=0, chains=1, draws=1), "buying")
    forecast = known.forecast
    history = {"frequency": np.array([[2.0]]), "recency": np.array([[20.0]]), "T": np.array([[39.0]])}

    def here(time):
        return float(np.exp(-0.01 * time) * forecast.survival(time, history, known.values)[0, 0])

    whole, _ = integrate.quad(here, 0, HORIZON, epsabs=1e-10, limit=200)
    found = expected_time(forecast, HORIZON, 0.01, history, known.values)
    # Waits as short as here (alpha 0.4: some days) bend P(here) near now.
    assert float(found[0, 0]) == pytest.approx(whole, rel=2e-5)


def test_scenarios_take_the_same_formula(fits, base):
    plain = clv.simulate(fits[0], base, HORIZON, spending=fits[1], seed=4, draws=80, **TERMS)
    compared = compare_scenarios(plain, [scenario("x", cost_per_order=2.0, cost_to_serve=0.03)])
    net = clv.simulate(
        fits[0],
        base,
        HORIZON,
        spending=fits[1],
        seed=4,
        draws=80,
        costs=costs(cost_per_order=2.0, cost_to_serve=0.03),
        **TERMS,
    )
    np.testing.assert_allclose(
        compared["value"].sel(scenario="x"), drawn(net, ["value"])["value"].sum(axis=0), rtol=1e-10
    )


def test_those_to_come_cost_what_the_average_customer_does(make_buying, make_spending, base):
    """Certain parameters: the mean of 400 draws is the closed form of channels, within 4 errors."""
    fit, money = make_buying(sd=0, chains=1, draws=400), make_spending(sd=0, chains=1, draws=400)
    own = costs(cost_per_order="order", cost_to_serve=0.2, default_probability=0.05)
    draws = clv.simulate(fit, base, HORIZON, spending=money, seed=2, draws=400, costs=own, **TERMS)
    attrs = {"result": "newcomers", "horizon": HORIZON, "until": "1997-09-30", "time_unit": "week"}
    # All in a first period so short that they come now.
    ends = {"period_end": ("cohort", [1e-9, HORIZON]), "draw": np.arange(400)}
    counts = np.broadcast_to([50.0, 0.0], (400, 2))
    forecast = xr.Dataset({"newcomers": (("draw", "cohort"), counts)}, ends, attrs)
    future = customer_equity(draws, forecast)["future"].values
    posterior, payments = parameters(fit, "buying"), parameters(money, "spending")
    orders, time = expected_costs_over_time(posterior, HORIZON, draws.discount, 60)
    _, _, spend = expected_over_time(posterior, payments, HORIZON, draws.discount, 60)
    each = (0.3 - 0.05) * spend[-1, 0] - float(base["order"].mean()) * orders[-1, 0] - 0.2 * time[-1, 0]
    assert future.mean() == pytest.approx(50 * each, abs=4 * future.std() / 400**0.5)


def test_a_cohort_less_its_costs(make_buying, make_spending):
    """Its total is the sum of what it cost, within 4 errors of the closed form; and costs of nothing change nothing."""
    fit, money = make_buying(sd=0, chains=1, draws=300), make_spending(sd=0, chains=1, draws=300)
    given = {"horizon": HORIZON, "seed": 5, **TERMS}
    own = costs(cost_per_order=2.0, cost_to_serve=0.3, default_probability=0.1, loss_given_default=0.5)
    net = clv.predict_cohort(fit, money, 600, **given, acquisition_cost=1.0, costs=own)
    total, each = net["value_total"].values.ravel(), net["value_expected"].values.ravel()[0]
    assert total.mean() == pytest.approx(600 * each, abs=4 * total.std() / 300**0.5)
    posterior, payments = parameters(fit, "buying"), parameters(money, "spending")
    orders, time = expected_costs_over_time(posterior, HORIZON, net.attrs["discount_rate"], 300)
    _, _, spend = expected_over_time(posterior, payments, HORIZON, net.attrs["discount_rate"], 300)
    by_hand = (0.3 - 0.05) * spend[-1, 0] - 2 * orders[-1, 0] - 0.3 * time[-1, 0]
    assert each == pytest.approx(by_hand, rel=1e-3)
    assert float(net["value_mean"]) == pytest.approx(total.mean() / 600)
    assert float(net["value_q05"]) < 0
    np.testing.assert_allclose(net["lifetime_value_total"], net["value_total"] - 600)
    plain, same = (clv.predict_cohort(fit, money, 30, **given, costs=one) for one in (None, costs()))
    assert plain.identical(same)
    with pytest.raises(clv.InputError, match="with costs= there is no value by period"):
        clv.predict_cohort(fit, money, 30, **given, costs=own, periods=3)


def test_the_bridge_adds_up_with_costs_even_where_all_lose(fits):
    orders = clv.load_cdnow()
    some = orders[orders["customer_id"].isin(orders["customer_id"].unique()[::12])]
    days = [clv.summarize(some, until=day) for day in ("1997-02-28", "1997-07-31")]
    given = {"spending": fits[1], "seed": 4, **TERMS}
    for serve in (0.05, 20.0):
        stated = costs(cost_to_serve=serve, cost_per_order=1.0)
        ends = [clv.simulate(fits[0], each, HORIZON, **given, costs=stated) for each in days]
        found = equity_bridge(*ends)
        rest = found["contribution"].sum("step") - (found["closing"] - found["opening"])
        assert float(np.abs(rest).max()) < 1e-9 * float(np.abs(found["closing"]).max()) + 1e-9
        np.testing.assert_allclose(found["opening"], customer_equity(ends[0])["equity"], rtol=1e-9, atol=1e-8)
        assert (found["contribution"].sel(step="costs") != 0).all()
    assert float(found["closing_mean"]) < 0


def test_channels_cost_to_serve(make_buying, make_spending, monkeypatch):
    from bayes_clv.valuation import channel_values

    fit, money = make_buying(chains=1, draws=20), make_spending(chains=1, draws=20)
    monkeypatch.setattr("bayes_clv.valuation.channels.known_channels", lambda fits, by: ["all"])
    monkeypatch.setattr("bayes_clv.valuation.channels.new_customers", lambda profile, *fits: fits)
    given = {"horizon": HORIZON, "periods": 30, **TERMS}
    plain = channel_values(fit, money, **given)
    net = channel_values(fit, money, **given, costs=costs(cost_per_order=1.5, cost_to_serve=0.1))
    orders, time = expected_costs_over_time(
        parameters(fit, "buying"), HORIZON, plain.attrs["discount_rate"], 30
    )
    less = plain["value_by_time"].values[:, 0] - net["value_by_time"].values[:, 0]
    np.testing.assert_allclose(less, (1.5 * orders + 0.1 * time).T, rtol=1e-9)
    # Of four parts by Simpson's rule, against 300: the trapezoids of as few are a hundred times as far off.
    _, few = expected_costs_over_time(parameters(fit, "buying"), HORIZON, plain.attrs["discount_rate"], 4)
    _, fine = expected_costs_over_time(parameters(fit, "buying"), HORIZON, plain.attrs["discount_rate"], 300)
    np.testing.assert_allclose(few[-1], fine[-1], rtol=1e-4)
    assert net.attrs["costs"] == "cost per order 1.5; cost to serve 0.1"
    with pytest.raises(clv.InputError, match="is column 'serve', and a new customer has no columns"):
        channel_values(fit, money, **given, costs=costs(cost_to_serve="serve"))


def test_defaults_of_one_probability_are_a_sum_by_hand(base):
    """Posterior of 7 of 90 orders unpaid: mean and spread against a sum over the log odds, within 5 errors."""
    ids = base["customer"].values[:45]
    found = fit_default(
        base, {ids[i]: (1 if i < 7 else 0) for i in range(45)}, dict.fromkeys(ids, 2), draws=4000, seed=1
    )
    odds = np.linspace(-12, 6, 20_001)
    log_density = stats.binom.logpmf(7, 90, special.expit(odds)) + stats.norm.logpdf(odds, -3, 3)
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    chance = special.expit(odds)
    mean = weight @ chance
    spread = (weight @ (chance - mean) ** 2) ** 0.5
    drawn_chance = found["probability"].values
    assert drawn_chance.mean() == pytest.approx(mean, abs=5 * spread / 4000**0.5)
    assert drawn_chance.std() == pytest.approx(spread, rel=0.06)
    assert found.attrs["pareto_k"] < 0.7
    assert found.attrs["orders"] == 90


def test_the_density_of_defaults_is_scipys():
    rng = np.random.default_rng(2)
    design = np.stack([np.ones(9), rng.normal(0, 0.5, 9)], axis=1)
    count, bad = np.full(9, 4.0), rng.integers(0, 3, 9).astype(float)
    places = np.array([[-2.0, 1.0], [0.5, -3.0], [-6.0, 0.0]])
    ours = _log_density(places, design, bad, count)
    theirs = [
        stats.binom.logpmf(bad, 4, special.expit(design @ each)).sum()
        + stats.norm.logpdf(each, [-3, 0], [3, 2.5]).sum()
        for each in places
    ]
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs))


def test_defaults_are_calibrated(base):
    """60 worlds of the prior: both coefficients' ranks are even."""
    rng, ranks = np.random.default_rng(8), []
    ids, x = base["customer"].values, base["serve"].values
    scaled = (x - x.mean()) / (2 * x.std())
    for world in range(60):
        truth = np.array([rng.normal(-3, 3), rng.normal(0, 2.5)])
        unpaid = rng.binomial(6, special.expit(truth[0] + truth[1] * scaled))
        found = fit_default(
            base,
            dict(zip(ids, unpaid, strict=True)),
            dict.fromkeys(ids, 6),
            columns=["serve"],
            draws=200,
            seed=world,
        )
        ranks.append((found["coefficient"].values < truth).mean(axis=0))
    for each in np.array(ranks).T:
        assert stats.kstest(each, "uniform").pvalue > 1e-3
        inside = (np.abs(each - 0.5) < 0.45).mean()
        assert inside == pytest.approx(0.9, abs=3.5 * (0.09 / 60) ** 0.5)


def test_a_learned_risk_is_that_of_each_draw(fits, base):
    ids = base["customer"].values
    risk = fit_default(
        base, {name: i % 9 == 0 for i, name in enumerate(ids)}, columns=["serve"], draws=80, seed=1
    )
    given = {"spending": fits[1], "seed": 4, "draws": 80, **TERMS}
    net = clv.simulate(
        fits[0], base, HORIZON, **given, costs=costs(default_probability=risk, loss_given_default=0.5)
    )
    plain = clv.simulate(fits[0], base, HORIZON, **given)
    x = base["serve"].values
    coefficient = risk["coefficient"].values
    odds = coefficient[:, 0] + np.outer((x - x.mean()) / (2 * x.std()), coefficient[:, 1])
    value = drawn(plain, ["value"])["value"]
    wanted = value / 0.3 * (0.3 - 0.5 * special.expit(odds))
    np.testing.assert_allclose(drawn(net, ["value"])["value"], wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (
            {"cost_per_order": -1},
            r"cost_per_order \(money an order costs\) must be finite and not negative; it is -1",
        ),
        ({"default_probability": 1.2}, r"default_probability \(.*\) must be from 0 to 1; it is 1.2"),
        ({"loss_given_default": -0.1}, "loss_given_default .* must be from 0 to 1"),
        ({"margin": 30}, "margin .* must be above 0 and at most 2: 0.3 is 30 %; it is 30"),
        ({"cost_to_serve": "nothing"}, r"cost_to_serve .*: The customers have no column 'nothing'"),
        ({"cost_to_serve": "kind"}, "the column 'kind' holds text"),
        ({"cost_to_serve": {"c00000": 1.0}}, "119 of 120 customers have none, such as 'c00001'"),
        ({"default_probability": "monetary_value"}, "monetary_value' is missing or infinite"),
        (
            {"default_probability": "T"},
            "must be from 0 to 1; 120 of 120 customers have another, such as .* of customer",
        ),
        ({"cost_to_serve": [1.0]}, "got list. Give a number"),
    ],
)
def test_what_cannot_be_stated_is_refused(fits, base, terms, message):
    with pytest.raises(clv.InputError, match=message):
        clv.predict(fits[0], base, HORIZON, spending=fits[1], seed=1, costs=costs(**terms))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# costs\ncost_per_order = -2\n", r"costs.toml, line 2: cost_per_order .* not negative; it is -2"),
        ("default_probability = 1.5\n", "costs.toml, line 1: default_probability"),
        (
            "\nrent = 5\n",
            "costs.toml, line 2: 'rent' is not known. A file of costs has margin, cost_per_order",
        ),
        ("cost_per_order = '1,20 €'", "line 1: .* is the text '1,20 €', .* point: cost_per_order = 1.2$"),
        ("margin = ' 30 %'", "the number without quotes and with a decimal point: margin = 0.3$"),
        ("cost_to_serve = true\n", "costs.toml, line 1: cost_to_serve .* is True. Write a number"),
        (
            "margin = 0.3\ncost_to_serve = 'nothing'\n",
            "costs.toml, line 2: cost_to_serve .* no column 'nothing'",
        ),
        (
            "margin = 'serve'\ndefault_probability = 'T'",
            "costs.toml, line 2: default_probability .* from 0 to 1",
        ),
    ],
)
def test_files_of_costs_are_refused_with_their_line(fits, base, tmp_path, text, message):
    (tmp_path / "costs.toml").write_text(text)

    def valued():
        stated = read_costs(tmp_path / "costs.toml")
        return clv.predict(fits[0], base, HORIZON, spending=fits[1], seed=1, costs=stated)

    with pytest.raises(clv.InputError, match=message):
        valued()


def test_what_is_not_known_beside_costs_is_refused(fits, base, stated):
    with pytest.raises(clv.InputError, match="Costs need money"):
        clv.simulate(fits[0], base, HORIZON, seed=4, costs=stated)
    with pytest.raises(clv.InputError, match="margin .* is stated, and margin=0.3 too"):
        clv.simulate(fits[0], base, HORIZON, spending=fits[1], seed=4, margin=0.3, costs=stated)
    for asked in ({"periods": 3}, {"top_share": 0.1}):
        with pytest.raises(clv.InputError, match="with costs= there is no value by period"):
            clv.predict(fits[0], base, HORIZON, spending=fits[1], seed=4, costs=stated, **asked)
    with pytest.raises(clv.InputError, match="costs must be made by clv.predictions.costs"):
        clv.simulate(fits[0], base, HORIZON, spending=fits[1], seed=4, costs={"margin": 0.3})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"unpaid": {}}, "Of no customer it is known"),
        ({"unpaid": {"c00003": 3}, "orders": {"c00003": 2}}, "such as 3 of 2 of customer 'c00003'"),
        ({"unpaid": "kind"}, "The column 'kind' holds text"),
        ({"unpaid": [1]}, "unpaid must be the name of a column"),
        ({"unpaid": {"c00003": 1}, "columns": ["serve"]}, "The column 'serve' is the same for all"),
        ({"unpaid": {"c00003": 1}, "columns": ["age"]}, "no column 'age'"),
    ],
)
def test_defaults_that_cannot_be_learned_are_refused(base, given, message):
    with pytest.raises(clv.InputError, match=message):
        fit_default(base, seed=1, **given)
