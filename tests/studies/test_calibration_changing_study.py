"""Quick simulation-based calibration where customers change, or their spend does: bases that differ in length."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_clv.families.registry import family as find_family
from studies import calibration, ranks

QUICK = 8
ALARM = 1e-4
# One false alarm in some 300 runs of the whole test.
QUICKEST = ("mbg_nbd_returns", "lognormal_spend_trend_drift")
OTHERS = ("mbg_nbd_drift", "pareto_nbd_drift", "lognormal_spend_trend", "gamma_gamma_trend")
ONES = (*QUICKEST, *(pytest.param(name, marks=pytest.mark.full) for name in OTHERS))


@pytest.mark.parametrize("family", ONES)
def test_ranks_of_the_truth_are_uniform(family, tmp_path, monkeypatch):
    effort = replace(calibration.EFFORT[family], customers=60, laplace=300)
    monkeypatch.setattr(calibration, "EFFORT", {family: effort})
    found = calibration.records(family, "laplace", QUICK, tmp_path)
    given = found["refused"] == 0
    assert given.sum() >= QUICK - 1
    for name in find_family(family).quantities:
        if name != "trend_span":  # fixed
            assert ranks.chance(found[name][given]) > ALARM, name


@pytest.mark.parametrize("family", calibration.CHANGING)
def test_a_base_has_the_times_of_its_histories(family):
    """Those of the family's own simulator from the same state; customers without one begin at 0 and are one history."""
    of, fixed = find_family(family), {"T": np.full(200, 60.0)}
    values = {
        "r": 0.4,
        "alpha": 8.0,
        "a": 0.7,
        "b": 2.0,
        "s": 0.6,
        "beta": 20.0,
        "kappa": 0.02,
        "nu": 0.05,
        "w": 0.3,
    }
    params = {name: values[name] for name in of.parameters}
    base = calibration.simulated(of, np.random.default_rng(3), fixed, params)
    who, age = of.forecast.times(np.random.default_rng(3), fixed, params)
    np.testing.assert_array_equal(base["purchase_times"], age)
    for customer in (int(who[0]), int(who[-1])):
        start, size = (int(base[name][customer]) for name in ("purchase_start", "frequency"))
        np.testing.assert_array_equal(base["purchase_times"][start : start + size], age[who == customer])
        assert base["recency"][customer] == age[who == customer].max()
    assert not base["purchase_start"][base["frequency"] == 0].any()


def test_one_compiled_model_takes_bases_of_any_length():
    """Its likelihood on data that were put in is that of the family over the base."""
    of = find_family("mbg_nbd_drift")
    model, _ = calibration.build("mbg_nbd_drift", calibration.design("mbg_nbd_drift"))
    outputs = [sum(model.potentials), *(model[name] for name in of.parameters)]
    found = model.compile_fn(
        model.replace_rvs_by_values(outputs), inputs=model.value_vars, mode="FAST_COMPILE"
    )
    sizes = set()
    for seed, alpha in ((1, 4.0), (2, 12.0)):
        params = {"r": 0.6, "alpha": alpha, "a": 0.7, "b": 2.0, "kappa": 0.02}
        base = calibration.simulated(of, np.random.default_rng(seed), {"T": np.full(30, 60.0)}, params)
        for name, value in calibration.data_of(of, base).items():
            model.set_data(name, value)
        value, *at = found(model.initial_point())
        point = dict(zip(of.parameters, map(float, at), strict=True))
        stated = of.of(base).log_likelihood(point, {name: base[name] for name in of.observed})
        assert value == pytest.approx(stated.eval(mode="FAST_COMPILE").sum(), rel=1e-12)
        sizes.add(base["purchase_times"].size)
    assert len(sizes) == 2
