"""What families give to compiled functions: one kind of array, or each kind is compiled anew."""

import numpy as np
import pytest

from bayes_clv.distributions.arrays import owned
from bayes_clv.families.purchases.timed import HISTORY, Timed


def read_only(values):
    values.flags.writeable = False
    return values


@pytest.mark.parametrize(
    "params",
    [
        {"r": np.full(3, 0.5), "alpha": np.full(3, 4.0)},
        {"r": np.full((3, 2), 0.5).T, "alpha": read_only(np.full((2, 3), 4.0))},
    ],
    ids=["one row of draws for all", "turned, read-only"],
)
def test_compiled_functions_are_given_one_kind_of_array(params):
    columns = {name: read_only(np.array([[1.0], [2.0]])) for name in HISTORY}
    seen = Timed(("r", "alpha"), read_only(np.arange(4.0)), columns, params)
    given = [seen.x, seen.t_x, seen.T, seen.start, seen.times, seen.ages, seen.flat, *seen.values]
    assert all(each.flags.c_contiguous and each.flags.writeable for each in given)
    assert [each.shape for each in seen.values] == [(2, 3), (2, 3)]


def test_an_array_of_the_kind_is_not_copied():
    there = np.arange(6.0).reshape(2, 3)
    assert owned(there) is there
    assert owned(there, (2, 3)) is there
    turned = owned(there.T)
    assert turned.flags.c_contiguous
    assert turned.tolist() == there.T.tolist()
    assert owned(there[0], (4, 3)).tolist() == [there[0].tolist()] * 4
