"""Who buys more often than a year ago, and who less: of families whose purchase rates drift.

Each draw holds a customer's rate now and, given the whole history, that of a year ago; so what is said here is of both
together (``simulation``). Of one who has left the rate is that of when it left, and whether it is still there says
P(alive) alone: fading is a habit's, leaving is the customer's.

Of a large base it is dear, a history's purchases in the last year filtered once more in each draw: so it is asked for
here, and no part of ``clv.predict``.
"""

import math

import numpy as np
import xarray as xr

from bayes_clv.predictions.simulation import AGO, DRAWS, FACTOR, FADING, GROWING, RATE, YEAR, simulation_of
from bayes_clv.schema import CUSTOMER, InputError, describe

MEANS = {RATE: f"{RATE}_mean", AGO: f"{AGO}_mean"}


def changes(
    buying: xr.DataTree,
    customers: xr.Dataset,
    *,
    draws: int = DRAWS,
    seed: int,
    threads: int | None = None,
) -> xr.Dataset:
    """Return each customer's purchase rate now and a year ago, and the probability that it grows or fades.

    Parameters
    ----------
    buying, customers
        A posterior of a fit with ``drift=True``, and customers with their purchase times.
    draws
        At most about this many posterior draws, evenly spaced, with one draw of a customer's rates each.
    seed
        Of the draws, which are those of ``clv.simulate`` with this seed.
    threads
        Threads; by default the processors this process may use. They change the speed only.

    Returns
    -------
    xarray.Dataset
        Over ``customer``, latent level: ``purchase_rate_mean`` and ``rate_year_ago_mean`` (1 / time unit), of now and
        of 52 weeks before, or of the first purchase where that is later; ``probability_growing``, that the rate now is
        more than 1.2 times that, and ``probability_fading``, that it is less than that over 1.2. Of one who has left,
        now is when it left. ``attrs["monte_carlo_error"]`` is the standard error of a probability at most,
        0.5 / sqrt(draws).

    Raises
    ------
    InputError
        A posterior whose rates do not change, an unstated time unit, and as in ``clv.simulate``.

    Examples
    --------
    >>> changed = clv.predictions.changes(drifting, customers, seed=1)
    >>> fading = changed["customer"][changed["probability_fading"] > 0.8]
    """
    if "calendar" in getattr(buying, "attrs", {}):
        raise InputError(
            "Who grows or fades is not told of a fit with a calendar yet: a year ago is another operational time in "
            "each draw. Fit without the calendar for it (drift=True alone)."
        )
    # The own numbers are those of every horizon.
    simulation = simulation_of(buying, customers, 1.0, draws=draws, seed=seed)
    if simulation.buying.forecast.rate_ago is None:
        raise InputError(
            f"In {simulation.buying.family.words.title} a customer's purchase rate is the same for ever, so that "
            "nobody grows or fades. Fit with drift=True (nbd, bg_nbd, mbg_nbd, pareto_nbd)."
        )
    if not simulation.changing:
        raise InputError(
            "The time unit is not stated, so that nobody knows how long a year is. Summarise the orders with "
            "time_unit='week', and fit on these customers."
        )
    found = {name: np.empty(simulation.inputs.size) for name in (*MEANS.values(), GROWING, FADING)}

    def work(places: np.ndarray, drawn: dict[str, np.ndarray]) -> None:
        for name, mean in MEANS.items():
            found[mean][places] = drawn[name].mean(axis=1)
        for name in (GROWING, FADING):
            found[name][places] = drawn[name][:, 0]

    for _ in simulation.each(work, [RATE, AGO, GROWING, FADING], threads):
        pass
    return describe(
        xr.Dataset(
            {name: (CUSTOMER, values) for name, values in found.items()},
            coords={CUSTOMER: customers[CUSTOMER].values},
            attrs={
                "result": "changes",
                "time_unit": simulation.inputs.time_unit,
                "level": "latent",
                "ago": YEAR,
                "factor": FACTOR,
                "draws": simulation.size,
                "seed": int(seed),
                "monte_carlo_error": 0.5 / math.sqrt(simulation.size),
            },
        )
    )
