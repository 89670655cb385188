"""Scores of alarms: precision and recall of lists by hand, ties without an order, lead time, calibration."""

import numpy as np
import pytest
import xarray as xr

import bayes_clv as clv

# Six customers: silence, P(alive), own alarm, purchases in the holdout.
SILENCE = [30.0, 20.0, 20.0, 10.0, 5.0, 1.0]
ALIVE = [0.6, 0.2, 0.9, 0.1, 0.7, 0.95]
OWN = [50.0, 8.0, 90.0, 3.0, 9.0, 60.0]
BOUGHT = [1, 0, 2, 0, 0, 4]


def made(order=slice(None)):
    ids = np.array([f"c{i}" for i in range(6)], dtype=object)
    alarms = xr.Dataset(
        {
            "silence": ("customer", SILENCE),
            "probability_alive": ("customer", ALIVE),
            "alarm_silence": ("customer", OWN),
            "alarmed": ("customer", np.array(OWN) <= np.array(SILENCE)),
        },
        coords={"customer": ids},
        attrs={"time_unit": "week", "threshold": 0.5},
    )
    customers = xr.Dataset({"holdout_purchases": ("customer", BOUGHT)}, coords={"customer": ids})
    return alarms, customers.isel(customer=order)


def test_lists_by_hand():
    alarms, customers = made(slice(None, None, -1))
    found = clv.targeting.score_alarms(alarms, customers, lengths=[1, 2, 4])
    assert found["score"].values.tolist() == ["silence", "1 - P(alive)"]
    # The second place of silence is shared by c1, who has gone, and c2, who has not: half a hit of two.
    np.testing.assert_allclose(found["precision"].sel(score="silence"), [0, 0.25, 0.5])
    np.testing.assert_allclose(found["precision"].sel(score="1 - P(alive)"), [1, 1, 0.75])
    np.testing.assert_allclose(found["recall"].sel(score="1 - P(alive)"), [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(found["gain"].sel(score="1 - P(alive)"), [1, 0.75, 0.25])
    assert found.attrs["gone"] == pytest.approx(0.5)
    # Of the lists of one, c3 and c0 differ, and half of these two are gone: sqrt(2 × 1/4) / 1.
    assert found["gain_error"].sel(score="1 - P(alive)", length=1) == pytest.approx(np.sqrt(0.5))
    # c1 and c3 are alarmed, after 8 and 3 weeks; the two longest silent have N = 20 and half of c1.
    np.testing.assert_allclose(found["list_precision"], [1, 0.25])
    np.testing.assert_allclose(found["delay_mean"], [5.5, 20])
    assert found["lead_mean"] == pytest.approx(14.5)
    assert found.attrs["silence_of_list"] == 20


def test_calibration_by_hand_and_further_scores():
    alarms, customers = made()
    said = xr.DataArray(
        [0.2, 0.9, 0.2, 0.8, 0.6, 0.2], coords={"customer": customers["customer"]}, dims="customer"
    )
    found = clv.targeting.score_alarms(
        alarms, customers, no_purchase=said, scores={"upside down": -said}, lengths=[3], bins=2
    )
    assert found["score"].values.tolist() == ["silence", "1 - P(alive)", "P(no purchase)", "upside down"]
    assert found["precision"].sel(score="P(no purchase)").item() == 1
    assert found["precision"].sel(score="upside down").item() == 0
    np.testing.assert_allclose(found["predicted"], [0.2, 2.3 / 3])
    np.testing.assert_allclose(found["observed"], [0, 1])
    np.testing.assert_allclose(found["observed_error"], np.sqrt([3 * 0.16, 0.09 + 0.16 + 0.24]) / 3)
    assert found["bin_size"].values.tolist() == [3, 3]


def test_what_cannot_be_scored_is_refused():
    alarms, customers = made()
    with pytest.raises(clv.InputError, match="no holdout_purchases"):
        clv.targeting.score_alarms(alarms, customers.drop_vars("holdout_purchases"))
    with pytest.raises(clv.InputError, match="silence must be over customer"):
        clv.targeting.score_alarms(alarms.isel(customer=slice(3)), customers)
    with pytest.raises(clv.InputError, match="lengths has 7"):
        clv.targeting.score_alarms(alarms, customers, lengths=[7])
    missing = xr.DataArray([np.nan] * 6, coords={"customer": customers["customer"]}, dims="customer")
    with pytest.raises(clv.InputError, match=r"mine is missing \(NaN\) for 6 customers, as for 'c0'"):
        clv.targeting.score_alarms(alarms, customers, scores={"mine": missing})
    calm = clv.targeting.score_alarms(alarms.assign(alarmed=alarms["alarmed"] & False), customers)
    assert "lead_mean" not in calm
    assert calm["length"].values.tolist() == [1, 2, 3, 4]
