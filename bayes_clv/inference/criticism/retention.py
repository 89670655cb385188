"""Does a fit of contracts agree with the share that is left: against Kaplan and Meier, who assume no family.

The estimate of Kaplan & Meier (1958) follows the same renewals without a formula for them. A family may lie off it by
chance, as much as the estimate's own error (Greenwood's) and the posterior's allow, and by more where renewals were
counted wrongly or the family's churn has another shape.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.tenures import kaplan_meier
from bayes_clv.families.contract import Family, Renewals, need
from bayes_clv.problems import problem
from bayes_clv.schema import Problem

# Of some dozens of renewals a right family lies that far off at one of them in one base of a hundred.
ERRORS = 3.5
# Less than two customers in a hundred is no matter of money, and any formula lies off by as much in a large base.
APART = 0.02
# Fewer at risk, and the estimate's error is itself not known.
AT_RISK = 50


def retention_check(family: Family, contracts: xr.Dataset, draws: Mapping[str, np.ndarray]) -> Problem | None:
    """Return where the survival of a fit is off the Kaplan-Meier curve by more than error allows, or None.

    ``draws`` are the parameters of the population, (draw,) each.
    """
    curve = kaplan_meier(contracts)
    curve = curve.isel(renewal=(curve["at_risk"] >= AT_RISK) & (curve["survival_error"] > 0))
    if curve.sizes["renewal"] == 0:
        return None
    each = {name: np.asarray(values).ravel()[:, None] for name, values in draws.items()}
    new = {"renewals": np.zeros(1), "active": np.ones(1)}
    ahead = curve["renewal"].to_numpy().astype(float)
    fitted = np.stack([_survival(family, t, new, each) for t in ahead], axis=-1)
    real, error = curve["survival"].to_numpy(), curve["survival_error"].to_numpy()
    mean, sd = fitted.mean(axis=0), fitted.std(axis=0)
    off = mean - real
    whole = np.hypot(error, sd)
    at = int(np.argmax(np.where(np.abs(off) > APART, np.abs(off) / whole, 0.0)))
    if abs(off[at]) <= APART or abs(off[at]) <= ERRORS * whole[at]:
        return None
    return problem(
        "kaplan_meier",
        renewal=int(ahead[at]),
        fitted=100 * float(mean[at]),
        real=100 * float(real[at]),
        errors=float(abs(off[at]) / whole[at]),
        customers=int(curve["at_risk"].to_numpy()[at]),
    )


def _survival(
    family: Family, ahead: float, new: Mapping[str, np.ndarray], draws: Mapping[str, Any]
) -> np.ndarray:
    return np.asarray(need(family, Renewals).survival(ahead, new, draws)).reshape(-1)
