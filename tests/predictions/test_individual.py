"""Customers whose futures their family draws: the engine's part, beside a law that has a closed form."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bayes_clv.distributions.streams import customer_keys
from bayes_clv.families.purchases import pareto_ggg, pareto_nbd
from bayes_clv.predictions import individual
from bayes_clv.predictions.engine import Calendar, Money, Plan, simulate_futures

DRAWS = 20_000
VALUES = {"r": 0.553, "alpha": 10.58, "s": 0.606, "beta": 11.67}
X, T_X, AGE = np.array([0.0, 3, 12, 29]), np.array([0.0, 25, 36, 38]), np.array([30.0, 38, 37, 38.9])
HORIZON = 52.0
# One false alarm in 150,000 comparisons, of which there are about 120.
SIGMAS = 4.5


def drawn(rows, wait_shape=1.0):
    """Return Pareto/NBD futures of each row as an individual law draws them; rates of waits of shape k are k times."""
    parts = []
    for row in rows:
        rng = np.random.default_rng([3, row])
        history = (np.full(DRAWS, each[row]) for each in (X, T_X, AGE))
        alive, rate, leaving = pareto_nbd.latent_draws(rng, *history, **VALUES)
        lifetime = np.where(alive, rng.exponential(1 / leaving), 0.0)
        parts.append((rng.exponential(1 / rate), np.full(DRAWS, wait_shape), wait_shape * rate, lifetime))
    return tuple(np.array(part) for part in zip(*parts, strict=True))


def shared(rows):
    return pareto_nbd.future_state(X[rows, None], T_X[rows, None], AGE[rows, None], **VALUES)


def plan_of(state, lifetime, **options):
    money = Money(
        lambda rows: (np.full((rows.size, 1), 4.0), np.full((rows.size, 1), 60.0)), np.full(DRAWS, 6.0), 0.01
    )
    return Plan(
        purchase_state=state,
        row=np.arange(X.size),
        keys=customer_keys(range(X.size), 1),
        horizon=np.full(X.size, HORIZON),
        draws=DRAWS,
        lifetime=lifetime,
        money=money,
        calendar=Calendar(np.zeros(X.size), HORIZON / 4, 4),
        by_customer=True,
        keep=True,
        value_above=np.array([50.0, 500.0]),
        **options,
    )


def assert_alike(one, other, sd_one, sd_other):
    """Hold two means of DRAWS numbers with these standard deviations to each other."""
    error = np.sqrt((sd_one**2 + sd_other**2) / DRAWS)
    assert (np.abs(one - other) <= SIGMAS * error + 1e-12).all()


@pytest.mark.parametrize("first_order", [False, True])
def test_drawn_exponentials_are_the_continuous_law(first_order):
    if first_order:
        # A first order belongs to a customer without history.
        state = lambda rows: tuple(np.repeat(x, rows.size, axis=0) for x in drawn_new())  # noqa: E731
        other = lambda rows: pareto_nbd.future_state(*np.zeros((3, rows.size, 1)), **VALUES)  # noqa: E731
    else:
        state, other = drawn, shared
    ours = simulate_futures(plan_of(state, "individual", first_order=first_order))
    theirs = simulate_futures(plan_of(other, "continuous", first_order=first_order))
    for name in ("purchases", "value", "spend"):
        a, b = ours.kept[name].astype(float), theirs.kept[name].astype(float)
        assert_alike(a.mean(axis=1), b.mean(axis=1), a.std(axis=1), b.std(axis=1))
        # A variance has a standard error of sqrt((m4 - s^4) / n).
        squares = [(each - each.mean(axis=1, keepdims=True)) ** 2 for each in (a, b)]
        assert_alike(*(q.mean(axis=1) for q in squares), *(q.std(axis=1) for q in squares))
    for name in ("purchases_period", "value_period"):
        a, b = ours.by_customer[name], theirs.by_customer[name]
        # Counts and amounts of a period are at most those of the whole.
        top = "purchases" if name == "purchases_period" else "spend"
        widest = [
            np.sqrt((each.kept[top].astype(float) ** 2).mean(axis=1))[:, None] for each in (ours, theirs)
        ]
        assert_alike(a, b, *widest)
    a, b = ours.by_customer["value_above"], theirs.by_customer["value_above"]
    assert_alike(a, b, np.sqrt(a * (1 - a)), np.sqrt(b * (1 - b)))
    np.testing.assert_array_equal(ours.purchases_total, ours.kept["purchases"].sum(axis=0))
    np.testing.assert_array_equal(ours.period_total.sum(axis=1), ours.purchases_total)


def drawn_new():
    rng = np.random.default_rng(4)
    rate, leaving = (rng.gamma(VALUES[k], 1 / VALUES[s], DRAWS) for k, s in (("r", "alpha"), ("s", "beta")))
    parts = rng.exponential(1 / rate), np.ones(DRAWS), rate, rng.exponential(1 / leaving)
    return tuple(part[None] for part in parts)


def test_regular_waits_are_counted_as_a_loop_counts_them():
    state = drawn(np.arange(X.size), wait_shape=3.0)
    ours = simulate_futures(plan_of(lambda rows: tuple(x[rows] for x in state), "individual"))
    rng = np.random.default_rng(5)
    first, shape, rate, lifetime = state
    end, time = np.minimum(HORIZON, lifetime), first.copy()
    count, worth = np.zeros(first.shape), np.zeros(first.shape)
    while (time <= end).any():
        happens = time <= end
        count += happens
        worth += happens * np.exp(-0.01 * np.where(happens, time, 0))
        time = np.where(happens, time + rng.gamma(shape) / rate, np.inf)
    kept = ours.kept["purchases"].astype(float)
    # The first wait is the same number in both; the difference of two counts varies by what follows it.
    assert_alike(kept.mean(axis=1), count.mean(axis=1), kept.std(axis=1), count.std(axis=1))
    # An occasion is Gamma(6, rate nu), nu ~ Gamma(4, 60): 6 * 60 / 3 on average.
    value = ours.kept["value"]
    assert_alike(value.mean(axis=1), 120 * worth.mean(axis=1), value.std(axis=1), 120 * worth.std(axis=1))
    assert (kept[:, (lifetime[0] == 0)] == 0)[0].all()


def test_neither_threads_nor_tiles_nor_a_longer_horizon_change_a_purchase():
    plan = plan_of(drawn, "individual")
    first, second = (simulate_futures(plan, threads=n, tile=size) for n, size in ((1, 2 * DRAWS), (2, 1)))
    for name in ("purchases", "value"):
        np.testing.assert_array_equal(first.kept[name], second.kept[name])
    longer = simulate_futures(replace(plan, horizon=2 * plan.horizon, calendar=None, by_customer=False))
    assert (longer.kept["purchases"] >= first.kept["purchases"]).all()
    quarter = simulate_futures(replace(plan, horizon=plan.horizon / 4, calendar=None, by_customer=False))
    np.testing.assert_array_equal(quarter.kept["purchases"].sum(axis=0), first.period_total[:, 0])


def test_the_state_of_a_row_is_drawn_by_its_own_key_and_parameters():
    calls = []

    def futures(rng, columns, params):
        calls.append((columns, params["rate"].copy()))
        wait = rng.exponential(1 / params["rate"])
        return wait, np.ones(wait.size), params["rate"], np.full(wait.size, np.inf)

    forecast = SimpleNamespace(history=("frequency", "T"), futures=futures)
    posterior = SimpleNamespace(
        forecast=forecast, size=5, at=lambda columns, rows: {"rate": np.arange(1.0, 6.0)}
    )
    columns = {"frequency": np.array([2.0, 2.0]), "recency": np.array([1.0, 1.0]), "T": np.array([3.0, 3.0])}
    keys = customer_keys(["a", "b"], 1)
    state = individual.drawn_state(posterior, columns, keys)
    both, alone = state(np.array([0, 1])), state(np.array([1]))
    assert calls[0][0] == {"frequency": 2.0, "T": 3.0}
    np.testing.assert_array_equal(both[0][1], alone[0][0])
    assert (both[0][0] != both[0][1]).all()
    np.testing.assert_array_equal(both[2][0], np.arange(1.0, 6.0))


def test_only_families_that_draw_tell_customers_apart():
    keys = customer_keys(["a", "b", "c"], 1)
    assert individual.apart(pareto_nbd.FAMILY, keys) == {}
    rank = individual.apart(pareto_ggg.FAMILY, keys)["customer"]
    assert sorted(rank) == [0, 1, 2]
    moved = individual.apart(pareto_ggg.FAMILY, keys[::-1])["customer"]
    np.testing.assert_array_equal(moved[::-1], rank)
