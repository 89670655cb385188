"""New customers to come: the count model against its prior weighted by hand, calibration, counting, refusals."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayes_clv as clv
from bayes_clv.valuation import predict_newcomers
from bayes_clv.valuation.newcomers import FIRST_SD, SHOCK, STEP, _ahead, _grid, first_orders

WIDTH = 4.0


def customers_of(counts, *, width=WIDTH, day=1 / 7):
    """Return customers whose first orders fall evenly into periods of these counts, the last one last."""
    ages = [
        day * np.floor((back * width + (np.arange(count) + 0.5) / max(count, 1) * width) / day + 1e-9)
        for back, count in enumerate(reversed(counts))
    ]
    # The oldest came on the first day of the first period.
    age = np.concatenate(ages)
    age[np.argmax(age)] = len(counts) * width - day
    base = {"frequency": 0, "recency": 0.0, "T": age}
    table = {name: ("customer", np.broadcast_to(value, age.shape).copy()) for name, value in base.items()}
    ids = np.array([f"c{i}" for i in range(age.size)], dtype=object)
    return xr.Dataset(table, {"customer": ids}, {"time_unit": "week", "until": "2025-06-30"})


def worlds(rng, size, periods, first):
    """Return steps, shocks and log levels (world, period) of the prior, first levels about ``first``."""
    step = np.abs(rng.normal(0, STEP * WIDTH**0.5, size))
    shock = np.abs(rng.normal(0, SHOCK, size))
    start = np.log(first + 0.5) + FIRST_SD * rng.standard_normal(size)
    moves = step[:, None] * rng.standard_normal((size, periods - 1)) - step[:, None] ** 2 / 2
    return step, shock, np.concatenate([start[:, None], start[:, None] + np.cumsum(moves, axis=1)], axis=1)


def test_first_orders_are_counted_back_from_the_end():
    counts = [5, 0, 9, 2, 7, 1]
    np.testing.assert_array_equal(first_orders(customers_of(counts), WIDTH, None, "week"), counts)
    # Three more days before the first whole period are no period.
    later = customers_of([4, *counts])
    short = later.assign(T=later["T"].where(later["T"] < 26, 24 + 2 / 7))
    np.testing.assert_array_equal(first_orders(short, WIDTH, None, "week"), counts)
    # 2025-01-13 is 168 days before the end and begins 24 weeks with it less a day: the first period is left out.
    np.testing.assert_array_equal(
        first_orders(later, WIDTH, "2025-01-14", "week"), first_orders(short, WIDTH, None, "week")
    )


def test_the_posterior_is_the_prior_weighted_by_the_counts():
    """Self-normalised importance from 400,000 draws of the prior: within 5 standard errors of both."""
    counts = np.array([12, 9, 15, 11, 20, 26])
    found = predict_newcomers(customers_of(counts.tolist()), 24.0, period=WIDTH, draws=4000, seed=3)
    rng = np.random.default_rng(1)
    step, shock, level = worlds(rng, 400_000, counts.size, counts.mean())
    shape = 1 / shock[:, None] ** 2
    log_likelihood = stats.nbinom.logpmf(counts, shape, shape / (shape + np.exp(level))).sum(axis=1)
    weight = np.exp(log_likelihood - log_likelihood.max())
    weight /= weight.sum()
    effective = 1 / (weight**2).sum()
    for ours, theirs in (
        (np.log(found["level"].values[:, -1]), level[:, -1]),
        (np.log(found["level"].values[:, 0]), level[:, 0]),
        (found["step"].values, step),
        (found["shock"].values, shock),
    ):
        mean = weight @ theirs
        spread = (weight @ (theirs - mean) ** 2) ** 0.5
        # The grid of 24 quantiles of the priors blurs step and shock by a hundredth of their spread.
        error = spread * (1 / effective + 1 / 4000) ** 0.5 + 0.01 * spread
        assert ours.mean() == pytest.approx(mean, abs=5 * error)
        # Of a standard deviation the error is about the mean's over the root of two.
        assert ours.std() == pytest.approx(spread, rel=5 * (1 / effective + 1 / 4000) ** 0.5 + 0.03)
    assert found.attrs["efficiency"] > 0.5


def test_totals_are_calibrated():
    """120 worlds of the prior: 50 and 90 % intervals hold within 3.5 standard errors, and ranks are even."""
    rng, ranks = np.random.default_rng(7), []
    ahead = 6
    for first in np.repeat([4.0, 40.0, 400.0], 40):
        _, shock, level = worlds(rng, 1, 12 + ahead, first)
        luck = rng.gamma(1 / shock**2, shock**2, (12 + ahead,))
        counts = rng.poisson(np.clip(np.exp(level[0]) * luck, 0, 3000))
        if counts[:12].sum() < 1:
            continue
        known = customers_of(counts[:12].tolist())
        found = predict_newcomers(known, ahead * WIDTH, period=WIDTH, draws=200, seed=5)
        total = found["newcomers"].sum("cohort").values
        ranks.append((total < counts[12:].sum()).mean() + 0.5 * (total == counts[12:].sum()).mean())
    ranks = np.array(ranks)
    assert ranks.size > 110
    for width in (0.5, 0.9):
        inside = (np.abs(ranks - 0.5) < width / 2).mean()
        assert inside == pytest.approx(width, abs=3.5 * (width * (1 - width) / ranks.size) ** 0.5)
    assert stats.kstest(ranks, "uniform").pvalue > 1e-3


def test_the_expected_number_stays_where_it_is_and_what_is_unknown_grows():
    found = predict_newcomers(customers_of([30] * 12), 50.0, period=WIDTH, draws=4000, seed=1)
    now = found["level"].values[:, -1].mean()
    each = found["newcomers"].values
    for k in (0, 11):
        assert each[:, k].mean() == pytest.approx(now, abs=5 * each[:, k].std() / 4000**0.5)
    assert each[:, 11].std() > 1.3 * each[:, 0].std()
    # The thirteenth period is cut at the horizon: half of it.
    np.testing.assert_allclose(found["period_end"].values[-2:], [48, 50])
    assert each[:, 12].mean() == pytest.approx(now / 2, abs=5 * each[:, 12].std() / 4000**0.5)


def test_levels_of_the_grid_are_walks_whose_expectation_stays():
    """Their log density is that of SciPy's multivariate normal of the sums of steps."""
    counts = np.array([3.0, 8.0, 2.0, 5.0, 9.0, 4.0])
    cells, chain = _grid(counts, WIDTH)
    x = np.log(counts + 0.5) + np.linspace(-0.2, 0.3, 6)
    ours = chain.log_prior(np.broadcast_to(x, (len(cells), 6)))
    for cell in (0, 200, len(cells) - 1):
        step = cells[cell, 0]
        mean = np.log(counts.mean() + 0.5) - step**2 / 2 * np.arange(6)
        cov = FIRST_SD**2 + step**2 * np.minimum.outer(np.arange(6), np.arange(6))
        theirs = stats.multivariate_normal.logpdf(x, mean, cov) + 3 * np.log(2 * np.pi)
        assert ours[cell] == pytest.approx(theirs)


def test_periods_to_come_walk_on_and_have_their_own_luck():
    """Means and variances of 200,000 draws by hand, within 5 standard errors."""
    size, level, step, shock = 200_000, np.log(50.0), 0.3, 0.4
    full = (np.full(size, value) for value in (level, step, shock))
    each = _ahead(*full, np.array([1.0, 1.0, 0.5]), np.random.default_rng(3))
    assert each.shape == (size, 3)
    for k, part in enumerate((1.0, 1.0, 0.5)):
        mean = 50.0 * part
        variance = mean + mean**2 * ((1 + shock**2) * np.exp((k + 1) * step**2) - 1)
        assert each[:, k].mean() == pytest.approx(mean, abs=5 * (variance / size) ** 0.5)
        error = ((each[:, k] - mean) ** 2).std() / size**0.5
        assert each[:, k].var() == pytest.approx(variance, abs=5 * error)


def test_the_seed_decides_and_nothing_else():
    known = customers_of([8, 3, 5, 9, 4, 6])
    first, again, other = (
        predict_newcomers(known, 12.0, period=WIDTH, draws=50, seed=seed)["newcomers"].values
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"period": "26 weeks"}, "back over 0 whole periods of period, .* needs 6.*newcomers=None"),
        ({"since": "2025-06-01"}, "back over 1 whole periods"),
        ({"since": "2026-01-01"}, "since='2026-01-01' lies after 2025-06-30"),
        ({"since": "soon"}, "since='soon' cannot be used. Write a day"),
        ({"period": "-1 weeks"}, "cannot be read"),
        ({"draws": 0}, "draws must be a whole number from 1"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_forecast_is_refused(options, message):
    given = {"period": WIDTH, "seed": 1} | options
    with pytest.raises(clv.InputError, match=message):
        predict_newcomers(customers_of([3, 4, 5, 6, 7, 8]), 12.0, **given)


def test_other_things_are_no_customers():
    with pytest.raises(clv.InputError, match="needs customers with their ages T"):
        predict_newcomers({"T": [1]}, 12.0, seed=1)
