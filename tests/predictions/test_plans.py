"""Plans: what is simulated of whom."""

from types import SimpleNamespace

import numpy as np

from bayes_clv.distributions.paths import DRAWN
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.families.registry import family
from bayes_clv.predictions.histories import apart, distinct_histories
from bayes_clv.predictions.plans import purchase_plan


def test_the_state_of_a_row_is_drawn_by_its_own_key_and_parameters():
    calls = []

    def futures(rng, columns, params):
        calls.append((columns, params["rate"].copy()))
        wait = rng.exponential(1 / params["rate"])
        ones = np.ones(wait.size)
        return wait, ones, params["rate"], np.inf * ones, 0 * ones

    forecast = SimpleNamespace(
        own_clock=None, history=("frequency", "recency", "T"), futures=futures, paths=DRAWN, clock=None
    )
    posterior = SimpleNamespace(
        forecast=forecast, size=5, at=lambda columns, rows: {"rate": np.arange(1.0, 6.0)}
    )
    columns = {"frequency": np.array([2.0, 2.0]), "recency": np.array([1.0, 1.0]), "T": np.array([3.0, 3.0])}
    keys = customer_keys(["a", "b"], 1)
    histories = distinct_histories(columns | apart(family("pareto_ggg"), keys), keys)
    plan = purchase_plan(posterior, histories, keys, 4.0)
    assert plan.law is DRAWN
    both, alone = plan.state(np.array([0, 1])), plan.state(np.array([1]))
    assert calls[0][0] == {"frequency": 2.0, "recency": 1.0, "T": 3.0}
    np.testing.assert_array_equal(both["alive"][1], alone["alive"][0])
    assert (both["alive"][0] != both["alive"][1]).all()
    np.testing.assert_array_equal(both["scale"][0], np.arange(1.0, 6.0))
    np.testing.assert_array_equal(both["silence"], [[2.0], [2.0]])
    np.testing.assert_array_equal(both["horizon"], [[4.0], [4.0]])


def test_only_families_that_draw_tell_customers_apart():
    keys = customer_keys(["a", "b", "c"], 1)
    assert apart(family("pareto_nbd"), keys) == {}
    rank = apart(family("pareto_ggg"), keys)["customer"]
    assert sorted(rank) == [0, 1, 2]
    moved = apart(family("pareto_ggg"), keys[::-1])["customer"]
    np.testing.assert_array_equal(moved[::-1], rank)
