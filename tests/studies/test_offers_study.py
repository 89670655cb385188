"""The study of several offers: a small world goes through it, and its judge fails what its rule fails."""

import numpy as np
import pandas as pd
import pytest

from studies import offers as study


def test_three_small_worlds(capsys):
    made = pd.DataFrame(study.quick())
    assert len(made) == 2 * len(study.QUICK)
    # Nothing gains more than who knows the truth, but for what does not fit into the budget whole.
    assert (made["best"] >= made[["target", *study.RULES]].max(axis=1) - 1.0).all()
    assert (made["promised_q05"] <= made["promised_q95"]).all()
    assert "Pareto k fails in 0 worlds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lead", "inside", "passes"), [(3.1, 90, True), (2.9, 90, False), (3.1, 81, False), (3.1, 98, False)]
)
def test_the_judge(lead, inside, passes):
    """By hand: 100 worlds whose leads have mean ``lead`` standard errors, and ``inside`` of them in both intervals."""
    noise = np.tile([-1.0, 1.0], 50)
    gain = lead * noise.std(ddof=1) / 10 + noise
    own = {"target": gain, **dict.fromkeys(study.RULES, 0.0), "best": 9.0, "happened": gain}
    own |= {"promised_q05": np.where(np.arange(100) < inside, -9.0, 8.0), "promised_q95": 9.0}
    own |= {"outcome_q05": own["promised_q05"], "outcome_q95": 9.0, "probability_beats_single": 0.5}
    own |= {"beats_single": True, "promised": 0.0, "promised_by_point_estimate": 0.0, "regret": 0.0}
    cases = [pd.DataFrame(own | {"case": case, "passed_diagnostics": True}) for case in study.CASES]
    passed, lines = study.judge(pd.concat(cases))
    assert passed == passes
    assert any("FAILS" in line for line in lines) != passes
