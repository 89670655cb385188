"""The vocabulary: one description of a variable, one definition of a quantile."""

import numpy as np
import pytest
import xarray as xr

from bayes_clv.schema import VARIABLES, Variable, describe, interval, listed, named_quantiles, quantiles


def test_quantiles_are_draws_and_the_smallest_that_their_share_does_not_exceed():
    drawn = np.random.default_rng(1).poisson(3.0, (7, 40))
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        (found,) = quantiles(drawn, [q], axis=1)
        for row, value in zip(drawn, found, strict=True):
            assert value in row
            assert (row <= value).mean() >= q
            assert (row < value).mean() < q
    low, high = interval(drawn, axis=1)
    named = named_quantiles(drawn, axis=1)
    assert list(named) == ["q05", "q25", "q50", "q75", "q95"]
    np.testing.assert_array_equal([low, high], [named["q05"], named["q95"]])
    assert interval([1, 2, 3, 4]).tolist() == [1, 4]


def test_summaries_and_totals_are_described_by_their_stem():
    base = xr.Dataset(
        {
            "value_mean": ("customer", [1.0]),
            "value_total": ("draw", [1.0]),
            "value_total_q05": ("segment", [1.0]),
            "recency": ("customer", [2.0]),
            "first_order": ("customer", np.array(["2024-01-01"], dtype="datetime64[s]")),
            "net_gain_total": ("draw", [1.0]),
            "colour": ("customer", ["red"]),
        },
        attrs={"time_unit": "week"},
    )
    found = describe(base)
    value = VARIABLES["value"].long_name
    assert found["value_mean"].attrs == {"long_name": f"{value} (mean)", "units": "money", "level": "outcome"}
    assert found["value_total"].attrs["long_name"] == f"{value}, of all customers"
    assert found["value_total_q05"].attrs["long_name"] == f"{value}, of the segment's customers (q05)"
    assert found["recency"].attrs["units"] == "week"
    # On a date, netCDF keeps "units" for its own encoding.
    assert "units" not in found["first_order"].attrs
    # A total with a meaning of its own keeps it.
    assert found["net_gain_total"].attrs["long_name"] == "net gain of all contacts"
    assert found["colour"].attrs == {}
    assert base["value_mean"].attrs == {}


def test_what_a_dataset_alone_knows_comes_before_the_vocabulary():
    base = xr.Dataset({"value_q95": ((), 1.0), "colour": ((), 1.0)})
    own = {"value": Variable("value of the part", "money"), "colour": Variable("colour", "nm")}
    found = describe(base, own)
    assert found["value_q95"].attrs == {"long_name": "value of the part (q95)", "units": "money"}
    assert found["colour"].attrs == {"long_name": "colour", "units": "nm"}


@pytest.mark.parametrize("said", [[], ["One."], ["One.", "Zwei – 二."]])
def test_a_list_of_sentences_survives_a_file(said, tmp_path):
    kept = xr.Dataset({"a": ("x", [1.0])}, attrs={"reasons": said})
    assert listed(kept.attrs, "reasons") == said
    kept.to_netcdf(tmp_path / "kept.nc")
    with xr.open_dataset(tmp_path / "kept.nc") as again:
        assert listed(again.attrs, "reasons") == said
    assert listed(kept.attrs, "problems") == []
