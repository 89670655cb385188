"""What customers will do where columns over time move their purchase rate: each its own future, as it is planned."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.schema import InputError

SIZE, DRAWS = 120, 300
PARAMETERS = {"r": 0.9, "alpha": 6.0, "a": 0.8, "b": 2.5}


@pytest.fixture(scope="module")
def customers():
    """120 of CDNOW; every second had mails, and will have one in the fifth week from now, known for 10 weeks."""
    base = clv.summarize(
        clv.load_cdnow(), until="1997-09-30", holdout_until="1997-12-09", also=("purchase_times",)
    ).isel(customer=slice(0, 2357, 2357 // SIZE))
    base = base.isel(customer=slice(0, SIZE))
    ids = base["customer"].values[::2]
    dates = ["1997-05-01", "1997-05-15", "1997-08-01", "1997-08-29", "1997-10-29", "1997-11-12", "1997-12-09"]
    table = pd.DataFrame(
        {
            "customer_id": np.repeat(ids, len(dates)),
            "date": np.tile(dates, ids.size),
            "mails": np.tile([1, 0, 1, 0, 1, 0, 0], ids.size),
        }
    )
    return clv.customers.with_columns_over_time(base, table, before=0)


@pytest.fixture(scope="module")
def fitted(customers):
    return clv.fit("mbg_nbd", customers, over_time="mails", method="laplace", draws=DRAWS, chains=1, seed=1)


def changed(fitted, effect):
    """Return the posterior with an effect of this size in every draw."""
    tree = fitted.copy()
    drawn = tree["posterior"].to_dataset()
    held = xr.full_like(drawn["over_time_coefficient"], effect)
    tree["posterior"] = xr.DataTree(drawn.assign(over_time_coefficient=held))
    return tree


def without(fitted):
    """Return it as a posterior that knows no columns over time."""
    tree = fitted.copy()
    del tree.attrs["over_time"]
    return tree


def test_without_an_effect_the_forecasts_are_the_familys(fitted, customers):
    none, plain = changed(fitted, 0.0), without(fitted)
    carried = clv.customers.with_plan(customers, "carry_forward")
    for verb, arguments in (
        (clv.expected.alive, ()),
        (clv.expected.purchases, ("10 weeks",)),
        (clv.expected.survival, ("10 weeks",)),
        (clv.expected.residual, (0.1,)),
        (clv.expected.pmf, ("10 weeks",)),
        (clv.expected.active, ("10 weeks",)),
    ):
        close = 3e-3 if verb is clv.expected.residual else 1e-10
        np.testing.assert_allclose(
            verb(none, carried, *arguments), verb(plain, customers, *arguments), rtol=close
        )
    found, known = (
        clv.predict(tree, base, "10 weeks", periods=2, keep_draws=True, seed=2)
        for tree, base in ((none, customers), (plain, customers))
    )
    # The same futures, but for purchases that a rounding carries over an edge: none here.
    assert np.array_equal(found["purchases"], known["purchases"])
    assert np.array_equal(found["purchases_period_total"], known["purchases_period_total"])
    np.testing.assert_allclose(found["purchases_expected"], known["purchases_expected"], rtol=1e-10)


def test_constant_columns_and_money_stand_beside_them(customers):
    """A covariate acts on the rate and the mails on its time; money follows the purchases, of which it has its own."""
    age = pd.Series(np.arange(SIZE) % 40.0, customers["customer"].values, name="age")
    base = clv.with_columns(customers, age).assign(monetary_value=("customer", np.full(SIZE, 20.0)))
    fit = clv.fit(
        "mbg_nbd", base, over_time="mails", covariates={"purchase": "age"}, method="laplace", draws=50, seed=1
    )
    assert {"purchase_coefficient", "over_time_coefficient"} <= set(fit["posterior"].data_vars)
    none, plain = changed(fit, 0.0), without(fit)
    np.testing.assert_allclose(
        clv.expected.purchases(none, base, "10 weeks"),
        clv.expected.purchases(plain, base, "10 weeks"),
        rtol=1e-10,
    )
    draws = fit["posterior"]["purchase_coefficient"].shape[:2]
    level = {"p": 6.25, "q": 3.74, "v": 15.44}
    spending = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {name: (("chain", "draw"), np.full(draws, value)) for name, value in level.items()}
            )
        }
    )
    spending.attrs = {"family": "gamma_gamma", "time_unit": "week"}
    money = {"spending": spending, "margin": 0.3, "annual_discount_rate": 0.1}
    effect = changed(fit, 1.0)
    found = clv.predict(effect, base, "10 weeks", **money, seed=2)
    expected = clv.expected.value(
        effect, spending, base, horizon="10 weeks", margin=0.3, annual_discount_rate=0.1
    )
    drawn, mean = found["value_total"].to_numpy(), float(expected["value_expected_total"].mean())
    assert drawn.mean() == pytest.approx(mean, abs=4 * drawn.std() / np.sqrt(drawn.size))


@pytest.fixture(scope="module")
def mailed(fitted):
    """A mail brings twice as many purchases while it counts."""
    return changed(fitted, np.log(2.0))


def test_the_simulation_has_the_expectations_of_the_closed_forms(mailed, customers):
    """Of all, and of the fifth and sixth week: of 300 draws of 120 customers within 4 Monte Carlo errors."""
    future = clv.predict(mailed, customers, "10 weeks", periods=5, keep_draws=True, seed=2)
    expected = clv.expected.purchases(mailed, customers, "10 weeks")
    ends = [clv.expected.purchases(mailed, customers, f"{w} weeks") for w in (2, 4, 6, 8)]
    totals = [each.sum("customer").mean() for each in (*ends, expected)]
    by_period = np.diff([0.0, *map(float, totals)])
    drawn = future["purchases_period_total"].to_numpy().reshape(-1, 5)
    error = drawn.std(axis=0) / np.sqrt(drawn.shape[0])
    assert (np.abs(drawn.mean(axis=0) - by_period) < 4 * error).all()
    # Customers one by one: their draws' means, of which 120 lie within 4.5 errors and a purchase in 300 draws.
    each = future["purchases"].mean(("chain", "draw")).to_numpy()
    apart = np.abs(each - expected.mean(("chain", "draw")).to_numpy())
    spread = future["purchases"].std(("chain", "draw")).to_numpy() / np.sqrt(DRAWS)
    assert (apart < 4.5 * spread + 1 / DRAWS).all()
    # What the closed forms say of counts the futures do too, on average over customers.
    some = float((future["purchases"] > 0).mean())
    chance = float(clv.expected.active(mailed, customers, "10 weeks").mean())
    assert some == pytest.approx(chance, abs=4 * np.sqrt(0.25 / (DRAWS * SIZE)))
    np.testing.assert_allclose(future["purchases_expected"], expected.mean(("chain", "draw")), rtol=1e-12)


def test_only_who_is_to_have_a_mail_buys_more_and_when_it_counts(mailed, customers):
    nobody = clv.customers.with_plan(customers, {"mails": 0})
    futures = [
        clv.expected.purchases(mailed, base, "10 weeks").mean(("chain", "draw")).to_numpy()
        for base in (customers, nobody)
    ]
    # Two of ten weeks at twice the rate, of customers who may leave: 1 to 1.2 times.
    ratio = futures[0] / futures[1]
    assert (ratio[1::2] == 1).all()
    assert ((ratio[::2] > 1.1) & (ratio[::2] < 1.2)).all()
    before, after = (
        clv.expected.purchases(mailed, base, "4 weeks").to_numpy() for base in (customers, nobody)
    )
    np.testing.assert_allclose(before, after, rtol=1e-12)


def test_discounted_spend_and_times_are_those_of_the_calendar(mailed, customers):
    """Purchases are discounted where they come: the simulation's worth is the closed form's, within 4 errors."""
    carried = clv.customers.with_plan(customers, "carry_forward")
    simulation = clv.simulate(mailed, carried, "10 weeks", annual_discount_rate=5.0, draws=DRAWS, seed=4)
    names = ["discounted_purchases", "time_to_purchase", "alive", "purchases", "time_since_leaving"]
    drawn = {name: np.empty((SIZE, DRAWS)) for name in names}
    for places, block in simulation.blocks(names):
        for name in names:
            drawn[name][places] = block[name]
    from bayes_clv.predictions.inputs import prepare

    known = prepare(mailed, customers, "10 weeks", draws=DRAWS, most=None)
    columns = known.histories.columns
    history = {name: columns[name][:, None] for name in known.posterior.forecast.history}
    worth = known.posterior.forecast.discounted(
        10.0, simulation.discount, history, known.posterior.at(columns)
    )
    total = drawn["discounted_purchases"].sum(axis=0)
    expected = float(worth[known.histories.row].sum(axis=0).mean())
    # A part of the horizon is discounted at its mean: 24 parts of 8 % in all, less than .4 % each.
    assert total.mean() == pytest.approx(expected, abs=4 * total.std() / np.sqrt(DRAWS) + 4e-3 * expected)
    # Who buys within the horizon is who has a purchase in it, in the calendar's time.
    assert np.array_equal(drawn["time_to_purchase"] <= 10.0, drawn["purchases"] > 0)
    # Who has left of MBG/NBD did so at its last purchase.
    silence = (customers["T"] - customers["recency"]).to_numpy()[:, None]
    gone = drawn["alive"] == 0
    np.testing.assert_allclose(
        drawn["time_since_leaving"][gone], np.broadcast_to(silence, gone.shape)[gone], rtol=1e-9
    )


def test_a_customer_is_the_same_in_company_and_alone_and_after_a_file(mailed, customers, tmp_path):
    from bayes_clv.inference.posterior import read_customers, write_customers

    again = clv.inference.load(clv.inference.save(mailed, tmp_path / "buying.nc"))
    base = read_customers(write_customers(customers, tmp_path / "customers.nc"))
    whole = clv.predict(mailed, customers, "10 weeks", seed=3)
    few = clv.predict(again, base.isel(customer=[7, 2, 50]), "10 weeks", seed=3)
    for name in ("purchases_mean", "probability_alive", "purchases_expected", "purchase_rate_mean"):
        np.testing.assert_allclose(few[name], whole[name].isel(customer=[7, 2, 50]), rtol=1e-13)


def test_forecasts_are_scored_and_segmented_as_others_are(mailed, customers):
    future = clv.predict(mailed, customers, "10 weeks", seed=3)
    scores = clv.evaluate(future, customers, buying=mailed, draws=DRAWS)
    # The log score is that of what the forecast says of counts, of which the last is "or more".
    chances = clv.expected.pmf(mailed, customers, "10 weeks", max_count=60, draws=DRAWS).to_numpy()
    happened = customers["holdout_purchases"].to_numpy().astype(int)
    expected = -np.log(chances[np.arange(SIZE), happened]).mean()
    assert float(scores["log_score"].sel(forecast="model")) == pytest.approx(expected, rel=1e-9)
    simulation = clv.simulate(mailed, customers, "10 weeks", draws=100, seed=3)
    assert "change_start" not in simulation.names
    with pytest.raises(InputError, match="cannot change the purchase rate of a part of the horizon yet"):
        simulation.varied(windows=[(1.0, 2.0, np.full(simulation.size, 2.0))])
    active = clv.segment(
        simulation, clv.segments.rule("buying", {"buyers": "purchases >= 1", "others": "purchases < 1"})
    )
    assert active["membership"].sizes["customer"] == SIZE


def test_what_is_not_known_and_who_does_not_go_by_columns_is_refused(fitted, customers):
    with pytest.raises(
        InputError, match="known for 10 time units from the end of observation, and the forecast is of 11"
    ):
        clv.predict(fitted, customers, "11 weeks", seed=1)
    for ever in (
        lambda: clv.expected.residual(fitted, customers, 0.1),
        lambda: clv.next_purchase(fitted, customers, seed=1),
        lambda: clv.expected.retention(fitted, customers, ["9 weeks", "20 weeks"]),
    ):
        with pytest.raises(InputError, match="'carry_forward'"):
            ever()
    with pytest.raises(InputError, match="no column 'mails' that changes over time"):
        clv.predict(fitted, customers.drop_dims("change").drop_vars("change_start"), "4 weeks", seed=1)
    assert clv.expected.alive(fitted, customers).sizes["customer"] == SIZE
    carried = clv.customers.with_plan(customers, "carry_forward")
    assert float(clv.predict(fitted, carried, "52 weeks", seed=1)["purchases_total"].mean()) > 0
    for verb in (
        lambda: clv.predict_cohort(fitted, fitted, 100, seed=1),
        lambda: clv.scoring.simulate_tracking(fitted, customers, seed=1),
        lambda: clv.views.plot_alive_matrix(fitted, customers),
    ):
        with pytest.raises(InputError, match=r"does not go by columns over time \(mails\) yet"):
            verb()
