"""The study of what bounds ``targeting``: the ideal's means are those of the posterior, and the judge judges."""

import numpy as np
import pandas as pd
import pytest

from studies import targeting as old
from studies import targeting_ideal as study


@pytest.fixture(scope="module")
def known():
    return study.bank(4_000)


def test_without_data_the_ideal_is_the_prior_and_with_many_the_truth(known):
    none = study.Cells(*np.zeros((3, 1, 2)))
    assert study.gains(none, known)[0] == pytest.approx(known.worth.mean())
    # 300 customers of each arm, as a segment has, of a draw of the bank: nearer to the truth than the prior mean is,
    # and than the difference of means, in the mean square over 200 segments.
    rng = np.random.default_rng(1)
    truth = old.world(5, 200)
    people = np.full((200, 2), 300)
    bought = rng.binomial(people, truth["conversion"])
    money = truth["spend"] / old.SHAPE * rng.standard_gamma(np.maximum(bought, 1e-9) * old.SHAPE)
    cells = study.Cells(people.astype(float), bought.astype(float), money)
    real = old.MARGIN * np.diff(truth["conversion"] * truth["spend"], axis=1)[:, 0]
    mean = cells.money / cells.people
    off = {
        "ideal": study.gains(cells, known) - real,
        "prior": known.worth.mean() - real,
        "difference": old.MARGIN * (mean[:, 1] - mean[:, 0]) - real,
    }
    square = {name: float((each**2).mean()) for name, each in off.items()}
    assert square["ideal"] < 0.9 * min(square["prior"], square["difference"]), square


def test_how_surely_a_lead_is_seen():
    """By hand: a mean of three standard errors of 100 worlds is above two of them with probability .84."""
    lead = 0.3 + np.random.default_rng(2).standard_normal(5_000)
    lead = 0.3 + (lead - lead.mean()) / lead.std(ddof=1)
    # 1,000 sets: a standard error of .012; four of them.
    assert study.told(lead, 100, 1_000) == pytest.approx(0.84, abs=0.05)
    assert study.told(lead - 0.3, 100, 1_000) < 0.05


@pytest.mark.parametrize(
    ("less", "lead", "passes"), [(0.0, 1.0, True), (-9.0, 1.0, False), (0.0, 9.0, False)]
)
def test_the_judge(less, lead, passes):
    """By hand: the method is behind the ideal by ``less``; the ideal leads by ``lead`` tenths of its spread."""
    noise = np.tile([-1.0, 1.0], 200)
    rows = [
        pd.DataFrame(
            {"worlds": worlds, "cost": cost, "case": case, "ideal": 10.0 + 0.1 * lead + noise}
        ).assign(
            **{
                "target": 10.0 + 0.1 * lead + noise + less + np.roll(np.repeat([-1, 1], 200), 1),
                "point estimate": 10.0,
            }
        )
        for worlds, cost in (("of targeting", old.COST), *(("fresh", each) for each in study.COSTS))
        for case in old.CASES
    ]
    passed, lines = study.judge(pd.concat(rows))
    assert passed == passes, lines
