"""What covariates and groups do, said and shown with the posterior's own numbers."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("Agg")

import bayes_clv as clv
from bayes_clv import views
from bayes_clv.inference.effects import learn_effects
from bayes_clv.inference.posterior import described
from bayes_clv.schema import InputError
from bayes_clv.views import style
from bayes_clv.views.plots.effects import groups_of, pooling_words
from bayes_clv.views.reporting.page import report
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

CHANNELS = ("email", "search", "social")


@pytest.fixture(scope="module")
def people(make):
    base = make.customers(spend=False)
    rng = np.random.default_rng(3)
    size = base.sizes["customer"]
    return base.assign(
        age=("customer", rng.normal(40, 12, size)),
        gender=("customer", rng.choice(["f", "m"], size).astype(object)),
        channel=("customer", rng.choice(CHANNELS, size, p=[0.7, 0.25, 0.05]).astype(object)),
        country=("customer", rng.choice(["at", "de"], size).astype(object)),
    )


@pytest.fixture(scope="module")
def fitted(make, people):
    """Return a posterior made by hand: email known well, social hardly, groups 0.5 apart."""
    plain = make.tree("bg_nbd")
    effects = learn_effects(
        bg_nbd.FAMILY,
        people,
        {"purchase": "age * gender + np.log(age) + poly(age, 2)", "dropout": "gender"},
        {"purchase": ["channel", "country"], "dropout": "channel"},
    )
    rng = np.random.default_rng(5)
    shape = (2, 60)
    drawn = plain["posterior"].to_dataset()
    drawn["dropout_concentration"] = drawn["a"] + drawn["b"]
    labels = effects.coords()
    for name, dims in effects.dims().items():
        size = tuple(len(labels[dim]) for dim in dims)
        if name.endswith("_sd"):
            value = 0.5 * np.exp(0.02 * rng.standard_normal(shape))
        elif name.endswith("channel_offset"):
            value = np.array([0.4, 0.1, -0.2]) + np.array([0.03, 0.1, 0.45]) * rng.standard_normal(
                (*shape, 3)
            )
        else:
            value = np.log(1.12) + 0.05 * rng.standard_normal((*shape, *size))
        drawn[name] = (("chain", "draw", *dims), value)
    drawn = drawn.assign_coords({dim: list(values) for dim, values in labels.items()})
    found = xr.DataTree.from_dict({"posterior": described(drawn, bg_nbd.FAMILY, "week", effects)})
    found.attrs = plain.attrs | {"effects": effects.to_json()}
    return found


def words(figure) -> str:
    return " ".join(t.get_text() for t in style.figure_of(figure).findobj(mpl.text.Text))


def test_each_coefficient_is_a_sentence_with_its_factor(fitted, people):
    table = clv.table(fitted, by="effect")
    assert table["label"].tolist()[:4] == ["age", "gender[m]", "log(age)", "poly(age, 2)[1]"]
    age = np.exp(fitted["posterior"]["purchase_coefficient"].sel(purchase_effect="age").values)
    low, median, high = np.quantile(age, (0.05, 0.5, 0.95), method="inverted_cdf")
    row = table.iloc[0]
    assert (row["q05"], row["median"], row["q95"]) == pytest.approx((low, median, high), rel=1e-12)
    assert row["probability_above_one"] == pytest.approx((age > 1).mean())
    sd = float(people["age"].std())
    assert row["sentence"] == (
        f"One standard deviation ({sd:.1f}) more age multiplies the mean purchase rate of a new customer by "
        f"{median:.2f} ({low:.2f} to {high:.2f})."
    )
    said = dict(zip(zip(table["effect"], table["label"], strict=True), table["sentence"], strict=True))
    assert said["purchase", "gender[m]"].startswith("gender m, against f, multiplies the mean purchase rate")
    assert said["dropout", "gender[m]"].startswith(
        "gender m, against f, multiplies the odds of leaving after"
    )
    assert said["purchase", "age:gender[m]"].startswith(
        "gender m, against f, multiplies the factor of age on the mean purchase rate"
    )
    assert "a part of a curve in age to be read as a whole" in said["purchase", "poly(age, 2)[2]"]


def test_each_group_has_its_own_quantity_and_what_is_pooled(fitted, people):
    table = clv.table(fitted, by="group", customers=people).set_index(["quantity", "column", "group"])
    drawn = fitted["posterior"]
    offset = drawn["purchase_channel_offset"].values
    country = drawn["purchase_country_offset"].values.mean(axis=-1)
    rate = drawn["population_purchase_rate"].values
    social = rate * np.exp(offset[..., 2] + country)
    average = rate * np.exp(offset.mean(axis=-1) + country)
    row = table.loc["population_purchase_rate", "channel", "social"]
    assert row["median"] == pytest.approx(np.quantile(social, 0.5, method="inverted_cdf"), rel=1e-12)
    assert row["q95"] == pytest.approx(np.quantile(social, 0.95, method="inverted_cdf"), rel=1e-12)
    assert row["average"] == pytest.approx(np.quantile(average, 0.5, method="inverted_cdf"), rel=1e-12)
    assert row["probability_above"] == pytest.approx((social > average).mean())
    # Of the variance between three groups, sd² (1 - 1/3) for their distance from the average, what is still open.
    open_ = (2 * offset[..., 2] - offset[..., 0] - offset[..., 1]).var() / 9
    between = 2 / 3 * np.mean(drawn["purchase_channel_sd"].values ** 2)
    assert row["pooled"] == pytest.approx(open_ / between, rel=1e-10)
    assert 0.3 < row["pooled"] < 0.9
    assert table.loc["population_purchase_rate", "channel", "email"]["pooled"] < 0.2
    assert row["unit"] == "per week"
    assert row["customers"] == int((people["channel"].values == "social").sum())
    odds = drawn["population_dropout"].values / (1 - drawn["population_dropout"].values)
    odds = odds * np.exp(drawn["dropout_channel_offset"].values[..., 0])
    email = table.loc["population_dropout", "channel", "email"]
    assert email["median"] == pytest.approx(
        np.quantile(odds / (1 + odds), 0.5, method="inverted_cdf"), rel=1e-12
    )
    assert "channel social is pooled most" in pooling_words(groups_of(fitted))


def test_the_figure_shows_the_table(fitted, people):
    figure = views.plot_groups(fitted, people)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 3
    axes = shown[0]
    table = clv.table(fitted, by="group")
    rates = table[(table["column"] == "channel") & (table["quantity"] == "population_purchase_rate")]
    best_first = rates.sort_values("median", ascending=False)
    sizes = (people["channel"].values == "email").sum()
    assert axes.get_yticklabels()[0].get_text() == f"email ({sizes})"
    whiskers = next(c for c in axes.collections if c.get_label() == "90 %").get_segments()
    np.testing.assert_allclose([[x[0][0], x[1][0]] for x in whiskers], best_first[["q05", "q95"]], rtol=1e-12)
    assert "expected level" in words(figure)
    assert axes.get_xlabel() == "purchase rate (per week)"
    assert all(panel.get_ylabel() for panel in shown)


def test_the_report_says_and_shows_effects(fitted, people, make, tmp_path):
    path = report(
        tmp_path / "report.html",
        buying=fitted,
        spending=None,
        customers=people,
        value=make.value(spend=False),
    )
    text = path.read_text(encoding="utf-8")
    assert "more age multiplies the mean purchase rate of a new customer by" in text
    assert 'id="purchases-groups"' in text
    assert "purchases-group-forest" in text
    assert "is pooled most" in text


def test_a_fit_without_effects_says_so(buying):
    with pytest.raises(InputError, match="had no covariates. Fit with"):
        clv.table(buying, by="effect")
    for ask in (lambda tree: clv.table(tree, by="group"), views.plot_groups):
        with pytest.raises(InputError, match="had no groups. Fit with"):
            ask(buying)
