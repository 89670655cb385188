"""Shares and rates: what is refused."""

import pytest

import bayes_clv as clv
from bayes_clv.units import checked_margin, discount_rate


@pytest.mark.parametrize("margin", [30, 15.0, 2.5])
def test_a_margin_in_per_cent_is_refused_with_the_share_it_is(margin):
    with pytest.raises(clv.InputError, match=f"Write {margin:g} % as {margin / 100:g}"):
        checked_margin(margin)
    assert checked_margin(margin, of_spend=False) == margin


def test_a_discount_rate_in_per_cent_is_refused_with_the_rate_it_is():
    with pytest.raises(clv.InputError, match=r"would be 1000 % a year. Write 10 % as 0\.1"):
        discount_rate(10, "week")
    assert discount_rate(1.0, "year") == pytest.approx(0.6931, rel=1e-3)
