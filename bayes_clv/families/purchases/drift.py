"""Customers who change: NBD, BG/NBD, MBG/NBD and Pareto/NBD with a purchase rate that drifts.

Every other family gives a customer one rate for ever. Here it is a square-root diffusion about the population's mean:
at every time the rates are Gamma(r, alpha), as in the family without drift, and the correlation of a customer's rate
with its own a time t ago is e^(-kappa t), with a half-life of ln 2 / kappa. kappa -> 0 is the family without drift.
Customers leave as ever, by a coin after a purchase (``drift_coin``) or at the end of a lifetime of their own
(``drift_lifetime``), whatever their rate; so the likelihood is

    density of the purchases x (P(stayed) P(silence since the last | stayed) + P(left since, silent until then)),

with the first and the silence from the exact filter (``distributions.poisson.drifting``, after Papaspiliopoulos &
Ruggiero 2014, Bernoulli 20(4)). It reads each customer's purchase times (``summarize(..., also=("purchase_times",))``),
not their number and the last alone.

==========  ===========================================================  ==================
symbol      meaning                                                      unit
==========  ===========================================================  ==================
r, alpha    shape and rate of the Gamma of purchase rates, at any time   none, time
kappa       how fast a rate forgets                                      1 / time
a, b        shapes of the dropout probabilities (BG/NBD, MBG/NBD)        none
s, beta     shape and rate of the Gamma of dropout rates (Pareto/NBD)    none, time
==========  ===========================================================  ==================

**Default prior.** The half-life is LogNormal about five times the longest age among the customers, with 2 on the log
scale: 90 % from a fifth of the span, when hardly anything of a rate would be left from its beginning to its end, to 130
spans, which no forecast of that length tells from none. Where the data know nothing of it the posterior is that prior,
and where nothing drifts it is its upper part.

**With a calendar** the rate drifts in operational time, so that both together are one change of the time of this
family: T and every purchase time are turned, and the likelihood needs its slopes in them
(``distributions.poisson.drifting_times``). Not of Pareto/NBD, whose lifetimes run in calendar time.

A record is made of the family without drift, by ``drifting``; its functions read the flat array of all customers'
purchase times, ``times``, which ``over`` the customers binds, and each customer's place in it, ``purchase_start``.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bayes_clv.distributions.arrays import Array
from bayes_clv.families.calendar import in_calendar_time
from bayes_clv.families.contract import Family, Paced
from bayes_clv.families.purchases import drift_coin, drift_lifetime
from bayes_clv.families.purchases.drift_seen import RATE, Leaving
from bayes_clv.families.purchases.timed import HISTORY, flat_times, simulated, simulated_at
from bayes_clv.families.quantities import Prior, Quantity

# In spans of the data, and on the log scale.
CENTRE, SPREAD = 5.0, 2.0
SUFFIX = "_drift"
# The families that can drift, and how customers leave in each.
LAWS: dict[str, Leaving] = {
    "nbd": drift_coin.leaving(None),
    "bg_nbd": drift_coin.leaving(0),
    "mbg_nbd": drift_coin.leaving(1),
    "pareto_nbd": drift_lifetime.leaving(),
}


def data_scale(static: Family, columns: Mapping[str, Array], count: Array) -> dict[str, float]:
    """Return the scales of the family without drift, and the longest age, in time units."""
    found = static.scale(columns, count)
    each = {
        name: found[name] if isinstance(found, Mapping) else found
        for name, quantity in static.quantities.items()
        if quantity.relative
    }
    return each | {"rate_half_life": float(np.max(columns["T"]))}


def parameters(static: Family, population: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the family without drift, and kappa."""
    return static.from_quantities(population) | {"kappa": math.log(2) / population["rate_half_life"]}


def drifting(static: Family) -> Family:
    """Return the family whose purchase rates drift and that is else ``static``, one of ``LAWS``."""
    return _over(static, np.empty(0))


def _over(static: Family, times: Array) -> Family:
    law = LAWS[static.name]
    forecast = law.forecast(times)
    # Every law gives them.
    assert forecast.times is not None
    drifts = {
        "kappa": ("how fast a customer's purchase rate forgets; ln 2 over the half-life", "1/time"),
        "rate_half_life": (
            "time after which half of a customer's deviation from the mean purchase rate is forgotten",
            "time",
        ),
    }
    words = replace(
        static.words,
        title=f"{static.words.title} with drift",
        summary=(
            f"{static.words.summary} The purchase rate of a customer is not constant: it drifts about the "
            "population's mean, and has a half-life."
        ),
        meanings={**static.words.meanings, **drifts},
        references=(*static.words.references, "papaspiliopoulos2014"),
    )
    record = replace(
        static,
        name=f"{static.name}{SUFFIX}",
        words=words,
        parameters=(*RATE, *(name for name in static.parameters if name not in RATE)),
        quantities={
            **static.quantities,
            "rate_half_life": Quantity(Prior("LogNormal", mu=math.log(CENTRE), sigma=SPREAD), relative=True),
        },
        observed=HISTORY,
        scale=partial(data_scale, static),
        from_quantities=partial(parameters, static),
        likelihood=law.terms(times),
        simulate=partial(simulated, forecast.times),
        forecast=forecast,
        over=lambda customers: _over(static, flat_times(customers)),
        paced=None,
    )
    if law.paced is None:
        return record
    paced = Paced(
        likelihood=partial(law.paced, times),
        simulate=partial(simulated_at, forecast.times),
        forecast=partial(in_calendar_time, record, times=times),
    )
    return replace(record, paced=paced)
