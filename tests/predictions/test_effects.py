"""Forecasts with covariates and groups: each customer's are those of the plain family with its own parameters."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

import bayes_clv as clv
from bayes_clv.inference.effects import learn_effects
from bayes_clv.predictions.parameters import parameters
from tests.symbols import paper

bg_nbd = paper("bg_nbd")
gamma_gamma = paper("gamma_gamma")

BUYING = {
    "population_purchase_rate": 0.06,
    "r": 0.6,
    "population_dropout": 0.3,
    "dropout_concentration": 3.0,
}
SPENDING = {"population_spend": 35.0, "p": 6.0, "q_above_one": 2.7}
CHANNELS = ("email", "search", "social")
DRAWS = 100


@pytest.fixture(scope="module")
def customers(make_customers):
    """60 customers with an age, a gender and one of three channels."""
    base = make_customers(60)
    rng = np.random.default_rng(6)
    return base.assign(
        age=("customer", rng.normal(40, 12, 60).round()),
        gender=("customer", np.array(["f", "m"] * 30, dtype=object)),
        channel=("customer", rng.choice(CHANNELS, 60).astype(object)),
    )


def tree(module, name, population, effects, *, zero=False, seed=3):
    """Return a posterior made by hand: log-normal draws about the population, normal ones of the effects."""
    rng = np.random.default_rng(seed)
    shape, coords = (2, DRAWS // 2), {"chain": [0, 1], "draw": np.arange(DRAWS // 2)}
    drawn = {
        key: (("chain", "draw"), value * np.exp(0.05 * rng.standard_normal(shape)))
        for key, value in population.items()
    }
    plain = module.parameters({key: value for key, (_, value) in drawn.items()})
    drawn |= {key: (("chain", "draw"), value) for key, value in plain.items()}
    if effects is not None:
        labels = effects.coords()
        for key, dims in effects.dims().items():
            size = tuple(len(labels[dim]) for dim in dims)
            value = 0.4 * rng.standard_normal((*shape, *size)) + 0.2
            value = np.abs(value) if key.endswith("_sd") else value
            drawn[key] = (("chain", "draw", *dims), value * (not zero))
        coords |= {dim: list(values) for dim, values in labels.items()}
    found = xr.DataTree.from_dict({"posterior": xr.Dataset(drawn, coords=coords)})
    found.attrs = {"family": name, "time_unit": "week", "seed": 7}
    if effects is not None:
        found.attrs["effects"] = effects.to_json()
    return found


def trees(customers, *, zero=False):
    """Return buying and spending posteriors with covariates and groups, also on the shapes r and p."""
    on_buying = learn_effects(
        bg_nbd.FAMILY,
        customers,
        {"purchase": "age", "dropout": "gender"},
        {"purchase": "channel", "r": "channel"},
    )
    on_spending = learn_effects(gamma_gamma.FAMILY, customers, {"spend": "gender"}, "channel")
    return (
        tree(bg_nbd, "bg_nbd", BUYING, on_buying, zero=zero),
        tree(gamma_gamma, "gamma_gamma", SPENDING, on_spending, zero=zero),
    )


@pytest.fixture(scope="module")
def both(customers):
    return trees(customers)


def plain_of(posterior, values):
    """Return a plain posterior with these parameters (draw,)."""
    drawn = {name: (("chain", "draw"), value.reshape(2, -1)) for name, value in values.items()}
    coords = {"chain": [0, 1], "draw": np.arange(DRAWS // 2)}
    found = xr.DataTree.from_dict({"posterior": xr.Dataset(drawn, coords=coords)})
    found.attrs = {name: posterior.attrs[name] for name in ("family", "time_unit")}
    return found


def by_hand(both, customers, i):
    """Return plain posteriors with the parameters of customer i, by formulas written anew here."""
    buying, spending = (
        {
            name: value.transpose(..., "chain", "draw").values.reshape(*value.shape[2:], -1)
            for name, value in each["posterior"].to_dataset().data_vars.items()
        }
        for each in both
    )
    age, gender = customers["age"].values, customers["gender"].values == "m"
    z, m = ((age - age.mean()) / age.std())[i], gender[i] - gender.mean()
    place = CHANNELS.index(customers["channel"].values[i])
    rate = buying["population_purchase_rate"] * np.exp(
        z * buying["purchase_coefficient"][0] + buying["purchase_channel_offset"][place]
    )
    r = buying["r"] * np.exp(buying["r_channel_offset"][place])
    odds = buying["population_dropout"] / (1 - buying["population_dropout"])
    odds = odds * np.exp(m * buying["dropout_coefficient"][0])
    dropout, total = odds / (1 + odds), buying["dropout_concentration"]
    mean = spending["population_spend"] * np.exp(
        m * spending["spend_coefficient"][0] + spending["spend_channel_offset"][place]
    )
    p = spending["p"] * np.exp(spending["p_channel_offset"][place])
    above = spending["q_above_one"] * np.exp(spending["q_above_one_channel_offset"][place])
    return (
        plain_of(both[0], {"r": r, "alpha": r / rate, "a": dropout * total, "b": (1 - dropout) * total}),
        plain_of(both[1], {"p": p, "q": 1 + above, "v": mean * above / p}),
    )


QUESTIONS = {
    "predict_value": lambda b, s, c: clv.predict(
        b,
        c,
        "26 weeks",
        spending=s,
        margin=0.3,
        annual_discount_rate=0.1,
        seed=5,
        value_above=[10.0],
        periods=2,
    ),
    "expected_value": lambda b, s, c: clv.expected.value(b, s, c, annual_discount_rate=0.1, keep_draws=True),
    "expected_purchases": lambda b, s, c: clv.expected.purchases(b, c, "26 weeks").to_dataset(),
    "probability_alive": lambda b, s, c: clv.expected.alive(b, c).to_dataset(),
    "survival": lambda b, s, c: clv.expected.survival(b, c, "26 weeks").to_dataset(name="survival"),
    "residual": lambda b, s, c: clv.expected.residual(b, c, 0.15).to_dataset(),
    "pmf": lambda b, s, c: clv.expected.pmf(b, c, "26 weeks", max_count=4).to_dataset(),
    "active": lambda b, s, c: clv.expected.active(b, c, "4 weeks").to_dataset(),
    "wait": lambda b, s, c: clv.next_purchase(b, c, seed=6),
    "retention": lambda b, s, c: clv.expected.retention(b, c, ["4 weeks", "26 weeks"]),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_customers_forecast_is_the_plain_one_with_its_parameters(question, both, customers):
    """Of five customers, outcomes included: the random numbers are the same, and parameters agree to 1e-14.

    A simulated count may differ where a uniform number lies within 1e-14 of a threshold: never, in 500 futures.
    """
    together = QUESTIONS[question](*both, customers)
    # The nodes of the expected value's integral depend on who else is in the tile; it is good to 1e-7.
    rtol = 1e-6 if question == "expected_value" else 1e-9
    for i in (0, 7, 19, 33, 58):
        alone = QUESTIONS[question](*by_hand(both, customers, i), customers.isel(customer=[i]))
        checked = 0
        for name in together.data_vars:
            if "customer" in together[name].dims and together[name].dtype.kind in "fi":
                own = together[name].isel(customer=i).values
                assert_allclose(own, alone[name].isel(customer=0).values, rtol=rtol, err_msg=str(name))
                checked += 1
        assert checked


@pytest.mark.parametrize("question", QUESTIONS)
def test_effects_of_zero_leave_the_plain_forecast(question, customers):
    """To 1e-8 as claimed; the parameters are the same to the last digit or two."""
    zero = trees(customers, zero=True)
    plain = [plain_of(each, parameters(each, kind).values) for each, kind in zip(zero, KINDS, strict=True)]
    with_effects, without = (QUESTIONS[question](*each, customers) for each in (zero, plain))
    for name in without.data_vars:
        if without[name].dtype.kind in "fi":
            assert_allclose(with_effects[name], without[name], rtol=1e-8, err_msg=str(name))


KINDS = ("buying", "spending")


def test_order_names_threads_and_company_change_no_forecast(both, customers):
    """To the last bit: a customer's forecast is that of the customer alone."""
    whole = clv.predict(both[0], customers, "26 weeks", spending=both[1], seed=5)
    order = np.random.default_rng(8).permutation(60)
    shuffled = clv.predict(
        both[0], customers.isel(customer=order), "26 weeks", spending=both[1], seed=5, threads=3
    )
    some = clv.predict(both[0], customers.isel(customer=slice(10, 17)), "26 weeks", spending=both[1], seed=5)
    for name in whole.data_vars:
        if whole[name].dims == ("customer",) and whole[name].dtype.kind == "f":
            assert_array_equal(shuffled[name].sel(customer=whole["customer"]), whole[name])
            assert_array_equal(some[name], whole[name].isel(customer=slice(10, 17)))
    renamed = customers.assign_coords(customer=[f"other {i}" for i in range(60)])
    assert_array_equal(
        clv.expected.purchases(both[0], renamed, "26 weeks"),
        clv.expected.purchases(both[0], customers, "26 weeks"),
    )


def test_forecasts_do_not_know_the_time_unit(both, customers):
    in_days = both[0].copy(deep=True)
    drawn = in_days["posterior"].to_dataset()
    drawn["alpha"] = drawn["alpha"] * 7
    drawn["population_purchase_rate"] = drawn["population_purchase_rate"] / 7
    in_days["posterior"] = xr.DataTree(drawn)
    in_days.attrs["time_unit"] = "day"
    days = customers.assign(recency=customers["recency"] * 7, T=customers["T"] * 7).assign_attrs(
        time_unit="day"
    )
    assert_allclose(
        clv.expected.purchases(in_days, days, "182 days"),
        clv.expected.purchases(both[0], customers, "26 weeks"),
        rtol=1e-10,
    )


def test_a_saved_posterior_predicts_the_same(both, customers, tmp_path):
    for suffix in (".nc", ".zarr"):
        again = [clv.load(clv.save(each, tmp_path / f"{i}{suffix}")) for i, each in enumerate(ready(both))]
        here, there = (
            clv.predict(each[0], customers, "26 weeks", spending=each[1], seed=5) for each in (both, again)
        )
        assert there.drop_attrs().equals(here.drop_attrs())


def ready(both):
    """Return the trees with the mark of a posterior of fit, which load asks for."""
    from bayes_clv.inference.posterior import FORMAT

    marked = [each.copy() for each in both]
    for each in marked:
        each.attrs["format"] = FORMAT
    return marked


# Groups that the fit has not seen --------------------------------------------------------------------


def newcomers(customers, label="podcast"):
    return customers.assign(
        channel=("customer", np.array([label] * customers.sizes["customer"], dtype=object))
    )


def log_spread(buying, customers):
    """Return the standard deviation over draws of each customer's log expected purchases."""
    return np.log(clv.expected.purchases(buying, customers, "26 weeks")).std(("chain", "draw"))


def test_an_unseen_group_is_forecast_wider_than_a_seen_one(customers):
    """With offsets known to 0.05 and a standard deviation of groups of 0.6 about it.

    Of customers who have just come the log of expected purchases moves nearly with that of the rate, 0.6 against
    sqrt(3) × 0.05; of others the history says more and the group less, but on average the spread grows as well.
    """
    effects = learn_effects(bg_nbd.FAMILY, customers, None, {"purchase": "channel"})
    known = tree(bg_nbd, "bg_nbd", BUYING, effects)
    drawn = known["posterior"].to_dataset()
    rng = np.random.default_rng(9)
    drawn["purchase_channel_offset"] = drawn["purchase_channel_offset"] * 0 + 0.05 * rng.standard_normal(
        (2, 50, 3)
    )
    drawn["purchase_channel_sd"] = drawn["purchase_channel_sd"] * 0 + 0.6
    known["posterior"] = xr.DataTree(drawn)
    seen, unseen = log_spread(known, customers), log_spread(known, newcomers(customers))
    assert float(unseen.mean()) > 1.2 * float(seen.mean())
    just_come = customers.assign({name: customers[name] * 0 for name in ("frequency", "recency")})
    just_come = just_come.assign(T=customers["T"] * 0 + 0.1)
    assert (log_spread(known, newcomers(just_come)) > 3 * log_spread(known, just_come)).all()
    # The rate's offset itself has the fitted spread: 0.6, standard error 0.6 / sqrt(200) = 0.042 of 100 draws.
    posterior = parameters(known, "buying").of(newcomers(customers))
    own = posterior.at(posterior.columns)
    rate = own["r"] / own["alpha"][0]
    ratio = np.log(rate / (posterior.values["r"] / posterior.values["alpha"]))
    assert abs(ratio.std() - 0.6) < 4 * 0.042
    assert abs(ratio.mean()) < 4 * 0.06


def test_a_new_group_has_the_same_draws_everywhere(both, customers):
    first = clv.expected.purchases(both[0], newcomers(customers), "26 weeks")
    few = newcomers(customers).isel(customer=[3, 4])
    labels = ["podcast", "podcast", "radio", customers["channel"].values[6]]
    mixed = customers.isel(customer=[3, 4, 5, 6])
    mixed = mixed.assign(channel=("customer", np.array(labels, dtype=object)))
    again = clv.expected.purchases(both[0], mixed, "26 weeks")
    assert_array_equal(again.isel(customer=slice(2)), first.isel(customer=[3, 4]))
    radio = again.isel(customer=2) / first.isel(customer=5)
    assert float(radio.std()) > 0.02
    # Thinned draws keep their own offset.
    values = parameters(both[0], "buying").of(few)
    assert_array_equal(values.thin(50).at(values.columns)["r"], values.at(values.columns)["r"][:, ::2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.drop_vars("channel"), "no column 'channel'"),
        (lambda c: c.assign(age=c["age"].where(c["age"] < 60)), "'age' is missing or infinite for"),
        (lambda c: newcomers(c, None), "'channel' is missing or infinite for 60 of 60"),
        (
            lambda c: c.assign(gender=("customer", np.array(["x"] + ["f"] * 59, dtype=object))),
            "level that the fit has not seen for 1 of 60 customers, for example 'x' of customer 'c00000'",
        ),
    ],
)
def test_customers_that_cannot_be_placed_are_refused(both, customers, change, message):
    with pytest.raises(clv.InputError, match=message):
        clv.predict(both[0], change(customers), "26 weeks", seed=1)


# New customers, tracking, scores ---------------------------------------------------------------------


def test_a_cohort_of_these_columns_is_the_plain_cohort_with_their_parameters(both, customers):
    own = {name: customers[name].values[7] for name in ("age", "gender", "channel")}
    terms = {"horizon": "26 weeks", "annual_discount_rate": 0.1, "seed": 2}
    cohort = clv.predict_cohort(*both, 40, profile=own, **terms)
    plain = clv.predict_cohort(*by_hand(both, customers, 7), 40, **terms)
    for name in plain.data_vars:
        assert_allclose(cohort[name], plain[name], rtol=1e-9, err_msg=str(name))
    new = clv.predict_cohort(*both, 40, profile=own | {"channel": "podcast"}, **terms)
    assert np.isfinite(new["value_expected"]).all()
    # NumPy picks no order of draws: the new channel differs draw by draw.
    assert float((new["value_expected"] / cohort["value_expected"]).std()) > 0.1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (None, "used the columns age, gender, channel, and profile lacks 'age'"),
        ({"age": 30, "gender": "f"}, "lacks 'channel'"),
        ({"age": 30, "gender": "f", "channel": "email", "chanel": 1}, "'chanel', which neither fit used"),
        ({"age": 30, "gender": "q", "channel": "email"}, "level that the fit has not seen"),
    ],
)
def test_a_cohort_without_its_columns_is_refused(both, columns, message):
    with pytest.raises(clv.InputError, match=message):
        clv.predict_cohort(*both, 40, profile=columns, seed=1)


def test_tracking_and_scores_go_by_profile():
    """With effects of zero they are the plain ones, draw by draw; with real ones they are not."""
    whole = clv.summarize(clv.load_cdnow(), until="1997-09-30", holdout_until="1998-06-30")
    some = whole.isel(customer=slice(0, 150))
    some = some.assign(channel=("customer", np.array(["a", "b", "c"] * 50, dtype=object)))
    effects = learn_effects(bg_nbd.FAMILY, some, None, "channel")
    zero, real = (tree(bg_nbd, "bg_nbd", BUYING, effects, zero=zero) for zero in (True, False))
    plain = plain_of(zero, parameters(zero, "buying").values)
    tracked = [clv.scoring.simulate_tracking(each, some, seed=1)["purchases"] for each in (plain, zero, real)]
    assert_array_equal(tracked[1], tracked[0])
    assert not np.array_equal(tracked[2], tracked[0])
    horizon = some.attrs["holdout_duration"]
    scores = [
        clv.evaluate(clv.predict(each, some, horizon, seed=1), some, buying=each, draws=20)["log_score"]
        for each in (plain, zero, real)
    ]
    assert_allclose(scores[1], scores[0], rtol=1e-8)
    assert float(scores[2][0]) != float(scores[0][0])
    with pytest.raises(clv.InputError, match="not simulated from this posterior"):
        clv.evaluate(clv.predict(plain, some, horizon, seed=1), some, buying=real)
