"""The judge is just: of bases drawn from a known population the truth wins every proper score, and keeps its promises.

Bases are drawn in NumPy from BG/NBD and Gamma-Gamma as the papers have them, with continuous times, so that nothing is
lost to whole days. The truth is the forecast of the population they were drawn from.
"""

import math

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayes_clv as clv
from bayes_clv.scoring.places import amount_covariance, pit_distance, pit_reference
from tests.symbols import paper

bg_nbd = paper("bg_nbd")

HORIZON = 26.0
LEVELS = (50, 80, 90, 95)
# Of standard errors, for a claim that is made some hundred times: P(|Z| > 4) = 6e-5.
Z = 4.0


def simulated_base(size, seed, buying, spending):
    """Return customers observed for 26 to 39 weeks, with HORIZON weeks of holdout."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(26, 39, size)
    who, when = bg_nbd.simulate_purchase_times(rng, age + HORIZON, **buying)
    before = when <= age[who]
    recency = np.zeros(size)
    np.maximum.at(recency, who[before], when[before])
    frequency, later = (np.bincount(who[each], minlength=size) for each in (before, ~before))
    # Spend of n occasions is Gamma(p n, rate nu), nu of a customer Gamma(q, rate v) (Fader & Hardie 2013).
    nu = rng.gamma(spending["q"], 1 / spending["v"], size)
    paid = {
        name: rng.gamma(spending["p"] * np.maximum(n, 1e-9)) / nu * (n > 0)
        for name, n in (("first", np.ones(size)), ("repeat", frequency), ("later", later))
    }
    mean = np.where(frequency > 0, paid["repeat"] / np.maximum(frequency, 1), np.nan)
    return xr.Dataset(
        {
            "frequency": ("customer", frequency),
            "recency": ("customer", recency),
            "T": ("customer", age),
            "monetary_value": ("customer", mean),
            "historical_spend": ("customer", paid["first"] + paid["repeat"]),
            "holdout_purchases": ("customer", later),
            "holdout_spend": ("customer", paid["later"]),
        },
        coords={"customer": np.array([f"c{i:05d}" for i in range(size)], dtype=object)},
        attrs={"time_unit": "week", "until": "1997-09-30", "holdout_duration": HORIZON},
    )


# What is wrong, as factors of the truth: rates, dropout, amounts, how much a customer's amounts differ.
DISTORTIONS = {
    "fast": ({"r": 3.0}, {}),
    "slow": ({"alpha": 5.0}, {}),
    "loyal": ({"a": 0.2}, {}),
    "fickle": ({"a": 4.0}, {}),
    "dear": ({}, {"v": 3.0}),
    "cheap": ({}, {"v": 0.3}),
    "sure": ({}, {"p": 8.0, "v": 1 / 8}),
}
PURCHASES = ("crps", "log_score", "retention_brier", "retention_log_score")
MONEY = ("spend_crps", "spend_log_crps", "value_crps", "value_log_crps")


@pytest.fixture(scope="module")
def scores(estimates, spend, make_buying, make_spending):
    """Return the scores of the truth and of each distortion on one base of 2,000, with more buyers than CDNOW's."""
    truth = estimates | {"r": 0.5}
    base = simulated_base(2000, 11, truth, spend)
    futures, buying = {}, {}
    for name, (rates, amounts) in ({"truth": ({}, {})} | DISTORTIONS).items():
        wrong = make_buying(sd=0.0, draws=100, **{k: value * rates.get(k, 1.0) for k, value in truth.items()})
        paid = make_spending(
            sd=0.0, draws=100, **{k: value * amounts.get(k, 1.0) for k, value in spend.items()}
        )
        futures[name] = clv.predict(wrong, base, HORIZON, spending=paid, margin=0.3, seed=3)
        if not amounts:
            buying[name] = wrong
    return clv.scoring.score(futures, base, buying=buying, baselines=(), draws=1)


@pytest.mark.parametrize("name", PURCHASES + MONEY)
def test_the_truth_wins_every_proper_score(scores, name):
    assert scores[name].attrs["proper"]
    found = clv.scoring.pairwise(scores, name).sel(other="truth")
    for wrong, (rates, _) in DISTORTIONS.items():
        if not rates and name in PURCHASES:
            continue
        worse, error = (float(found[each].sel(forecast=wrong)) for each in ("difference", "difference_se"))
        # 44 comparisons: one below -3 errors by chance has a probability of 44 × .00135 = .06 at most.
        assert worse > -3 * error, wrong
        # What is this wrong is found out; that all are slow moves money, of which a few frequent buyers decide, little.
        assert worse > 2 * error or (wrong == "slow" and name in MONEY), wrong


def test_every_score_that_says_it_is_proper_is_tried(scores):
    named = {str(name) for name, column in scores.data_vars.items() if column.attrs.get("proper")}
    assert named == set(PURCHASES + MONEY)


def kept_promises(scores, future, rng):
    """Return of one base what must be even or near 0 where the forecast is true: places, and sums over customers."""
    draws = future.attrs["draws"]
    found = {}
    for name in ("", "spend_"):
        below, equal = (scores[f"{name}{each}"].values[0] for each in ("below", "equal"))
        found[f"{name}place"] = below + rng.random(below.size) * equal
        inside = (scores[f"{name}covered"] - scores[f"{name}promised"]).values[0]
        found[f"{name}inside"] = inside.mean(axis=0)
    probability, real = scores["retention_predicted"].values[0], scores["retained"].values
    found["retention"] = (real - probability).mean()
    for name, amounts in (
        ("purchases", "holdout_purchases"),
        ("active", "retained"),
        ("spend", "holdout_spend"),
    ):
        total, happened = future[f"{name}_total"].values.ravel(), float(scores[amounts].sum())
        ties = rng.random() * (total == happened).sum()
        found[f"{name}_total"] = ((total < happened).sum() + ties) / draws
    return found


def test_the_truth_keeps_its_promises(estimates, spend, make_buying, make_spending):
    # Parameters are certain: customers are independent, over bases too.
    rng, size, bases = np.random.default_rng(5), 1000, 5
    buying, spending = make_buying(sd=0.0, draws=250), make_spending(sd=0.0, draws=250)
    rows, reliability = [], []
    for seed in range(bases):
        base = simulated_base(size, seed, estimates, spend)
        future = clv.predict(buying, base, HORIZON, spending=spending, seed=seed)
        scores = clv.scoring.score(future, base, buying=buying, baselines=(), draws=1)
        rows.append(kept_promises(scores, future, rng))
        reliability.append(clv.evaluate(future, base, baselines=()).isel(forecast=0))
    n = size * bases
    for name in ("place", "spend_place"):
        u = np.concatenate([row[name] for row in rows])
        for level in LEVELS:
            # 4 binomial standard errors, and the grain of 500 draws, 1/500.
            share = (np.abs(u - 0.5) < level / 200).mean()
            assert abs(share - level / 100) < Z * math.sqrt(level / 100 * (1 - level / 100) / n) + 1 / 500
        assert stats.kstest(u, "uniform").pvalue > 1e-4
    for name in ("inside", "spend_inside"):
        # Covered less promised: at most the binomial error of sqrt(.25 / n), and of 500 draws less than 1/500.
        assert (np.abs(np.mean([row[name] for row in rows], axis=0)) < Z * 0.5 / math.sqrt(n) + 1 / 500).all()
    # Real less predicted retention has a variance of at most 1/4 a customer.
    assert abs(np.mean([row["retention"] for row in rows])) < Z * 0.5 / math.sqrt(n)
    for one in reliability:
        # By tenth: 50 tenths within 4 of their own standard errors.
        gap = one["retention_real_by_tenth"] - one["retention_predicted_by_tenth"]
        assert (np.abs(gap) < Z * one["retention_real_by_tenth_se"] + 1e-9).all()
        # Chance passes the 95 % reference once in 20: a fifth more than it is P(beyond) < 1 % of the 2 × 5.
        assert one["spend_pit_distance"] < 1.2 * one["spend_pit_reference"] + 1 / 500


@pytest.mark.full
def test_fitted_forecasts_keep_their_promises_over_a_hundred_bases(estimates, spend):
    """Each base has a truth of its own, is fitted, forecast and scored: the bases are the independent units."""
    rng, size, bases = np.random.default_rng(6), 1000, 100
    rows = []
    for seed in range(bases):
        noise = np.random.default_rng(seed)
        buying_truth = {
            name: value * np.exp(0.3 * noise.standard_normal()) for name, value in estimates.items()
        }
        spend_truth = {name: value * np.exp(0.1 * noise.standard_normal()) for name, value in spend.items()}
        base = simulated_base(size, 1000 + seed, buying_truth, spend_truth)
        fitted = {
            family: clv.fit(family, base, method="laplace", draws=250, seed=seed, progress=False)
            for family in ("bg_nbd", "gamma_gamma")
        }
        future = clv.predict(fitted["bg_nbd"], base, HORIZON, spending=fitted["gamma_gamma"], seed=seed)
        scores = clv.scoring.score(future, base, baselines=())
        rows.append(kept_promises(scores, future, rng))
    for name in ("place", "spend_place"):
        for level in LEVELS:
            share = np.array([(np.abs(row[name] - 0.5) < level / 200).mean() for row in rows])
            error = max(share.std(ddof=1), math.sqrt(level / 100 * (1 - level / 100) / size)) / math.sqrt(
                bases
            )
            print(f"{name} {level} %: {share.mean():.4f} ± {error:.4f}")
            assert abs(share.mean() - level / 100) < Z * error
    gaps = np.array([row["retention"] for row in rows])
    print(f"retention: {gaps.mean():.5f} ± {gaps.std(ddof=1) / math.sqrt(bases):.5f}")
    assert abs(gaps.mean()) < Z * gaps.std(ddof=1) / math.sqrt(bases)
    for name in ("purchases_total", "active_total", "spend_total"):
        places = np.array([row[name] for row in rows])
        for level in LEVELS:
            covered = int((np.abs(places - 0.5) < level / 200).sum())
            p_value = stats.binomtest(covered, bases, level / 100).pvalue
            print(f"{name} {level} %: {covered} of {bases} (p = {p_value:.3f})")
            # 12 tests: the smallest of them is below 1e-3 with a probability of .012 at most.
            assert p_value > 1e-3
        assert stats.kstest(places, "uniform").pvalue > 1e-3


def test_the_reference_of_amounts_is_that_of_true_forecasts():
    # 1,000 bases of 300 customers whose amount is 0 with a probability of their own: 5 % are beyond a 95 %
    # reference, with an error of sqrt(.05 × .95 / 1000) = .0069.
    rng = np.random.default_rng(3)
    nothing = np.r_[rng.beta(4, 1, 250), np.zeros(25), np.ones(25)]
    covariance = amount_covariance(nothing)
    reference = pit_reference(covariance)
    bought = rng.random((1000, 300)) > nothing
    below = np.where(bought, nothing + (1 - nothing) * rng.random((1000, 300)), 0.0)
    equal = np.where(bought, 0.0, nothing)
    beyond = np.mean([pit_distance(b, e) > reference for b, e in zip(below, equal, strict=True)])
    assert abs(beyond - 0.05) < 4 * 0.0069
    # Exactly: the covariance of the mean transform is that of the bases.
    np.testing.assert_allclose(
        np.diag(amount_covariance(np.zeros(4))), np.linspace(0.05, 0.95, 19) * np.linspace(0.95, 0.05, 19) / 4
    )
