"""What bounds the totals of moving_rates: computed of cells whose losses are known."""

import numpy as np
import pandas as pd
import pytest

from studies.moving_rates import CALENDARS, PLAIN, Z90, losses, with_rows


def cells() -> pd.DataFrame:
    """Two cells of one base: every calendar loses .1 and .3, every plain family .2 and .4; sd .3 and .1 of the log."""
    rows = []
    for origin, calendar, plain in (("2020-01-01", 0.1, 0.2), ("2020-04-01", 0.3, 0.4)):
        for name in (*CALENDARS, *PLAIN, "past_rate"):
            sd = 0.3 if name in CALENDARS else 0.1
            row = {"base": "shop", "origin": origin, "weeks": 13.0, "forecast": name}
            for stem in ("", "spend_"):
                row[f"{stem}total_log_crps"] = {"past_rate": 0.35}.get(
                    name, plain if name in PLAIN else calendar
                )
                row |= {f"{stem}total_q05": 50 * np.exp(-Z90 * sd), f"{stem}total_q95": 50 * np.exp(Z90 * sd)}
            rows.append(row)
    return pd.DataFrame(rows)


def test_losses_are_those_of_the_cells():
    found = losses(cells())
    assert found["total"].tolist() == ["purchases", "spend"]
    one = found.iloc[0]
    assert one[["best", "plain", "needed"]].tolist() == pytest.approx([0.2, 0.3, 0.21])
    assert one["worst"] == "2020-04-01, 13"
    assert one[["share", "others_calendar", "others_plain", "other_best"]].tolist() == pytest.approx(
        [0.75, 0.1, 0.2, 0.35]
    )


def test_what_is_to_be_expected_is_the_score_of_normal_draws():
    """By simulation: 200,000 pairs; |X - X'| and |X - median| have a standard deviation below sd each."""
    rng = np.random.default_rng(1)
    one = losses(cells()).iloc[0]
    x, other = 0.3 * rng.standard_normal((2, 200_000))
    error = 4 * 0.3 * 2 / np.sqrt(200_000)
    # A truth from the forecast: E|X - y| - E|X - X'| / 2 is half of E|X - X'|.
    assert one["expected"] == pytest.approx(np.abs(x - other).mean() / 2, abs=error)
    at_median = (np.abs(x) - np.abs(x - other) / 2).mean() / 3
    assert one["right"] == pytest.approx(at_median, abs=error)


def test_an_origin_run_again_takes_the_place_of_its_rows():
    kept = cells()
    own = kept[kept["origin"] == "2020-04-01"].assign(total_log_crps=9.0).reset_index(drop=True)
    found = with_rows(kept, own)
    assert len(found) == len(kept)
    assert (found.loc[found["origin"] == "2020-04-01", "total_log_crps"] == 9.0).all()
    assert len(with_rows(pd.DataFrame(), own)) == len(own)
