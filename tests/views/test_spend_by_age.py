"""Spend against age: what is plotted is the data about each customer's own mean, and the fit's trend of the same."""

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv

GROWTH, SPAN = 1.6, 40.0


@pytest.fixture(scope="module")
def customers():
    """Four hundred customers with three purchases whose spend goes by age alone, and one that was not paid."""
    rng = np.random.default_rng(2)
    size = 400
    age = np.sort(rng.uniform(1, 60, (size, 3)), axis=1)
    level = np.exp(rng.normal(3, 1, size))
    spend = level[:, None] * GROWTH ** (np.minimum(age, SPAN) / SPAN)
    spend[7, 1] = 0.0
    start = 3 * np.arange(size)
    return xr.Dataset(
        {
            "frequency": ("customer", np.full(size, 3)),
            "purchase_times": ("repeat_purchase", age.ravel()),
            "purchase_spend": ("repeat_purchase", spend.ravel()),
            "purchase_start": ("customer", start),
            "spend_start": ("customer", start),
        },
        coords={"customer": [f"c{i}" for i in range(size)]},
        attrs={"time_unit": "week"},
    )


def posterior(growth=GROWTH):
    draws = {
        name: (("chain", "draw"), np.full((1, 5), value))
        for name, value in (("growth", growth), ("span", SPAN))
    }
    return xr.DataTree.from_dict({"posterior": xr.Dataset(draws)})


def test_the_trend_of_the_fit_is_that_of_data_without_noise(customers):
    found = clv.views.spend_by_age(customers, posterior())
    np.testing.assert_allclose(found["fitted"].sel(quantile=0.5), found["factor"], rtol=1e-12)
    assert int(found["orders"].sum()) == 3 * 400 - 1
    assert ((found["low"] < found["factor"]) & (found["factor"] < found["high"])).all()
    # Rising to the end of the trend, and flat after it.
    before = found["factor"].to_numpy()[found["age"].to_numpy() < 30]
    assert (np.diff(before) > 0).all()


def test_it_is_drawn(customers):
    figure = clv.views.plot_spend_by_age(customers, posterior())
    (axes,) = figure.axes
    assert axes.get_xlabel() == "age of the customer, weeks"
    assert [each.get_text() for each in axes.get_legend().get_texts()] == ["trend, 90 %", "orders, 90 %"]
    figure.canvas.draw()


def test_what_cannot_be_drawn_is_refused(customers):
    with pytest.raises(clv.InputError, match=r"also=\('purchase_spend',\)"):
        clv.views.spend_by_age(customers.drop_vars("purchase_spend"))
    with pytest.raises(
        clv.InputError, match="12 repeat purchases are of customers with two paid ones or more; 60"
    ):
        clv.views.spend_by_age(customers.isel(customer=slice(10, 14)))
    none = xr.DataTree.from_dict({"posterior": xr.Dataset({"m": 1.0})})
    with pytest.raises(clv.InputError, match="has no trend"):
        clv.views.plot_spend_by_age(customers, none)
