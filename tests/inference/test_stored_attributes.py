"""Attributes of a posterior that were changed by hand, and other things that are none: refused by name."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_clv as clv
from bayes_clv.workflows.folders import read_record

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture(scope="module")
def customers():
    return clv.customers.from_table(
        pd.DataFrame({"frequency": [1, 0], "recency": [1.0, 0], "T": 4.0}), "week"
    )


def posterior(**attrs):
    known = {"r": 0.5, "alpha": 7.0, "a": 0.8, "b": 2.0}
    draws = {name: (("chain", "draw"), np.full((1, 4), value)) for name, value in known.items()}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(draws)})
    tree.attrs = {"family": "bg_nbd", "time_unit": "week", "seed": 1, "diagnostics": "{}"} | attrs
    return tree


@pytest.mark.parametrize("name", ["diagnostics", "effects", "calendar"])
@pytest.mark.parametrize(
    "value", ["x", "7", "[1]", '{"each": 1}', DEEP], ids=["text", "number", "list", "other", "deep"]
)
def test_attributes_that_are_none(name, value, customers):
    if name == "diagnostics" and value.startswith("{"):
        value = '["x"]'
    with pytest.raises(clv.InputError, match=f"The posterior's attribute '{name}' is not what a fit writes"):
        clv.predict(posterior(**{name: value}), customers, "4 weeks", seed=1)


def test_a_record_nested_deep(tmp_path):
    (tmp_path / "run.json").write_text('{"arguments": ' + DEEP)
    with pytest.raises(clv.InputError, match="'run.json' in .* is not what a run writes"):
        read_record(tmp_path)


def test_what_is_no_path_no_seed_and_no_rule(customers):
    for path in (7, None):
        with pytest.raises(clv.InputError, match="is no path"):
            clv.load(path)
    with pytest.raises(clv.InputError, match="There is no posterior"):
        clv.load("x" * 5000 + ".nc")
    with pytest.raises(clv.InputError, match="There is no file"):
        clv.summarize("x" * 5000 + ".csv")
    with pytest.raises(clv.InputError, match="seed must be an integer"):
        clv.fit("bg_nbd", customers, method="mode", seed="x")
    with pytest.raises(clv.InputError, match="The rule is a Dataset"):
        clv.segments.points({}, customers)
