"""The study of the 2005 papers on CDNOW: its numbers, its arithmetic by another road, and that it judges as it says."""

import numpy as np
import pandas as pd
import pytest
from scipy import special

import bayes_clv as clv
from studies import cdnow_papers as papers
from studies import replicate_cdnow as study
from studies.printed import rows
from tests.interpreted import interpreted

# Quoted, and no rounding of ours; of the master file's two more, which need a file that is not here.
FAILED = {"mean_spend_skewness"}


@pytest.fixture(scope="module")
def found():
    with interpreted():
        return study.computed()


def test_every_number_of_the_sample_is_a_rounding_but_one(found):
    table = study.printed(found, cohort=False)
    assert len(table) > 100
    assert {row["quantity"] for row in table if row["verdict"] == "FAILED"} == FAILED


def test_the_table_in_the_repository_says_the_same(found):
    fresh = {(row["place"], row["quantity"]): row["verdict"] for row in study.printed(found, cohort=False)}
    stored = {(row["place"], row["quantity"]): row for row in rows(study.RESULTS)}
    assert {key: stored[key]["verdict"] for key in fresh} == fresh
    assert {each["quantity"] for each in stored.values() if each["verdict"] == "FAILED"} == {
        *FAILED,
        "r3_f3_m3_customers",
        "r3_f3_m3_value",
    }
    asked = {(row["place"], row["quantity"]) for row in rows(study.PRINTED)}
    assert {key for key, row in stored.items() if row["published"]} == asked


def test_groups_are_those_of_three_sorts_of_a_table(found):
    """Sorted by mean spend, by week of the last purchase and by frequency, each sort keeping the order it finds."""
    base = papers.customers(papers.ALL)
    each = np.arange(float(base.sizes["customer"]))
    last = base["first_order"].to_series() + pd.to_timedelta(
        (base["recency"] * 7).round().to_series(), unit="D"
    )
    table = pd.DataFrame(
        {
            "spend": base["monetary_value"].to_series(),
            "week": (last - pd.Timestamp("1997-01-01")).dt.days // 7,
            "times": base["frequency"].to_series(),
            "each": each,
        }
    )
    table = table[table["times"] > 0]
    groups = papers.of_groups(base, each)
    for column, name in (("spend", "monetary_value"), ("week", "recency"), ("times", "frequency")):
        table = table.sort_values(column, kind="stable")
        table[name] = 3 * np.arange(len(table)) // len(table) + 1
        for third, mean in table.groupby(name)["each"].mean().items():
            assert groups[f"value_each_{name}_{third}"] == pytest.approx(mean)
    best = table[(table["recency"] == 3) & (table["frequency"] == 3) & (table["monetary_value"] == 3)]
    assert groups["r3_f3_m3_customers"] == len(best)
    assert groups["r3_f3_m3_share_percent"] == pytest.approx(100 * best["each"].sum() / each.sum())


def test_a_number_that_differs_or_is_missing_fails(found):
    def verdict(changed):
        table = study.printed(changed, cohort=False)
        return next(row["verdict"] for row in table if row["quantity"] == "correlation_actual_bg_nbd")

    assert verdict(found) == "a rounding of ours"
    assert verdict(found | {"correlation_actual_bg_nbd": 0.6266}) == "FAILED"
    assert verdict({}) == "FAILED"


def test_the_short_form_prints_and_writes_nothing(found, monkeypatch, capsys):
    monkeypatch.setattr(study, "computed", lambda: found)
    monkeypatch.setattr(study, "write", lambda *_: pytest.fail("written"))
    assert not study.main(quick=True)
    assert "pass rule: FAILED (1)" in capsys.readouterr().out


def test_expected_purchases_to_a_week_are_those_of_each_customer(found):
    """The sum over days of first purchases is the sum over customers, each with its own time to the week's end."""
    base = papers.customers()
    law, params = papers.forecast("bg_nbd"), papers.at("bg_nbd")
    day = (base["first_order"].to_numpy() - np.datetime64("1997-01-01")) / np.timedelta64(1, "D")
    for week, first in ((9, 0), (9, 1), (78, 1)):
        time = np.maximum(7 * week - (day + first), 0) / 7
        each = law.purchases(time, {name: np.zeros(()) for name in law.history}, params)
        assert papers.to_week("bg_nbd", params, first)[week] == pytest.approx(each.sum(), rel=1e-9)


def test_a_search_that_stops_elsewhere_is_inside_the_range(found):
    """In 200 directions from the maximum, to where the log-likelihood is just printed alike, no value leaves the range.

    Its ends come from a linear and a quadratic form at the maximum: 1 % is left for the rest. In four dimensions some
    direction of 200 comes half way at least, so that a range twice too wide would be found out.
    """

    def value(point):
        return [point["beta"], point["r"] / point["alpha"]]

    def moved(shift):
        return {name: best[name] * np.exp(each) for name, each in zip(names, shift, strict=True)}

    names = ("r", "alpha", "s", "beta")
    low, high = papers.over_stops(value)
    likelihood, best = papers.log_likelihood("pareto_nbd"), papers.fitted("pareto_nbd")
    room = best["log_likelihood"] - (papers.STOPPED - 0.0005)
    rng = np.random.default_rng(1)
    reached = []
    for _ in range(200):
        step = 0.002 * rng.standard_normal(4)
        step[3] += 1.5 * step[2]  # s and beta lie on a ridge
        step *= np.sqrt(room / (best["log_likelihood"] - likelihood(moved(step))))
        assert likelihood(moved(step)) == pytest.approx(papers.STOPPED - 0.0005, abs=0.02 * room)
        reached.append(np.abs(np.array(value(moved(step))) - (low + high) / 2) / (high - low) * 2)
    assert np.max(reached) < 1.01
    assert (np.max(reached, axis=0) > 0.5).all()


def test_thirds_keep_the_order_that_they_find():
    """Seven customers by their times; of four with one, the two with the earliest weeks are in the first third."""
    times, week = np.array([1, 3, 1, 2, 1, 1, 5]), np.array([9, 0, 1, 4, 3, 3, 7])
    spend = np.array([2.0, 2, 2, 2, 8, 5, 2])
    np.testing.assert_array_equal(papers.thirds(spend, week, times), [2, 3, 1, 2, 1, 1, 3])
    np.testing.assert_array_equal(np.bincount(papers.thirds(np.arange(11506.0)))[1:], [3836, 3835, 3835])


def test_the_mode_of_mean_spend_is_that_of_the_papers_density():
    """Fader, Hardie & Lee (2005), RFM and CLV, eq. 3, on a grid of cents."""
    p, q, v = 6.25, 3.74, 15.44
    times, z = np.array([1, 1, 2, 5]), np.arange(1, 100, 0.01)
    x = times[:, None]
    density = np.exp(
        special.gammaln(p * x + q)
        - special.gammaln(p * x)
        - special.gammaln(q)
        + q * np.log(v)
        + (p * x - 1) * np.log(z)
        + p * x * np.log(x)
        - (p * x + q) * np.log(v + z * x)
    ).sum(axis=0)
    mode = papers.mode_of_mean_spend({"p": p, "q": q, "v": v}, times)
    assert mode == pytest.approx(z[density.argmax()], abs=0.01)


def test_the_value_of_a_customer_is_the_papers_formula(found):
    """Eq. 2 of RFM and CLV: a confluent hypergeometric function over the likelihood, times eq. 4, times the margin."""
    base = papers.customers(papers.ALL).isel(customer=slice(40))
    rate, level = papers.fitted("pareto_nbd", papers.ALL), papers.fitted("gamma_gamma", papers.ALL)
    r, alpha, s, beta = (rate[name] for name in ("r", "alpha", "s", "beta"))
    p, q, v = (level[name] for name in ("p", "q", "v"))
    x, t_x, age = papers.past(base).values()
    spend = np.nan_to_num(base["monetary_value"].to_numpy())
    delta = papers.RATE
    silent = np.array([_silence(*each, r, alpha, s, beta) for each in zip(x, t_x, age, strict=True)])
    likelihood = special.gamma(r + x) * alpha**r * beta**s / special.gamma(r) * silent
    top = alpha**r * beta**s * delta ** (s - 1) * special.gamma(r + x + 1)
    det = top * special.hyperu(s, s, delta * (beta + age))
    det /= special.gamma(r) * (alpha + age) ** (r + x + 1) * likelihood
    value = papers.MARGIN * det * p * (v + spend * x) / (p * x + q - 1)
    ours = papers.value(base, papers.at("pareto_nbd", papers.ALL), papers.at("gamma_gamma", papers.ALL))
    # Quadratures and hyperu are good to about 1e-8.
    np.testing.assert_allclose(ours, value, rtol=1e-6)


def _silence(x, t_x, age, r, alpha, s, beta):
    """Return the factor of the likelihood that is alive at T, or gone since the last purchase, by quadrature."""
    nodes, weights = special.roots_legendre(60)
    y = t_x + (age - t_x) * (nodes + 1) / 2
    gone = s * (weights * (alpha + y) ** -(r + x) * (beta + y) ** -(s + 1)).sum() * (age - t_x) / 2
    return (alpha + age) ** -(r + x) * (beta + age) ** -s + gone


def test_the_cohort_by_the_sample_in_its_place(found, monkeypatch):
    """The whole road of the master file, with the sample as its orders and its best customer as the reseller."""
    monkeypatch.setattr(papers, "cdnow_master", clv.load_cdnow)
    monkeypatch.setattr(papers, "REMOVED", 1)
    cohort = papers.of_cohort()
    asked = {row["quantity"] for row in rows(study.PRINTED) if row["arithmetic"].startswith("cohort")}
    assert asked <= set(cohort)
    assert cohort["cohort"] == 2356
    again = cohort["cohort"] - cohort["zero_class"]
    sizes = [again // 3 + (again % 3 > third) for third in range(3)]
    for name in ("recency", "frequency", "monetary_value"):
        total = sum(
            cohort[f"value_each_{name}_{third}"] * size for third, size in zip((1, 2, 3), sizes, strict=True)
        )
        assert total + cohort["zero_class_value"] == pytest.approx(cohort["value"], rel=1e-9)
