"""Customers who come back: BG/NBD and MBG/NBD with a coin that sends to sleep instead of away.

In every other family a customer who has left is gone for ever. Here heads of the coin after a purchase (from the first
on in MBG/NBD, from the first repeat on in BG/NBD) send to sleep, for an Exponential(nu) time, after which the customer
buys on as before; or, with the probability w, for ever. nu -> 0 or w = 1 is the family without returns. So a customer
is in one of three states: awake, asleep, gone; *alive* is awake or asleep. The likelihood is the density of the
purchase times and of the silence since the last, with rate and coin integrated out
(``distributions.poisson.returning``); it reads each customer's purchase times
(``summarize(..., also=("purchase_times",))``).

==========  ===========================================================  ==================
symbol      meaning                                                      unit
==========  ===========================================================  ==================
r, alpha    shape and rate of the Gamma of purchase rates, awake         none, time
a, b        shapes of the probabilities of falling asleep                none
nu          rate of waking; mean sleep 1 / nu                            1 / time
w           share of sleeps that never end                               probability
==========  ===========================================================  ==================

**Default priors.** The mean sleep is LogNormal about ten times the longest age among the customers, with 1.2 on the
log scale: 95 % from that span to a hundred of it. Data of one span say little about longer sleeps, so that this prior
decides how many of those long silent will be back. w is fixed at 0, everybody comes back at last: a share that never
does and a sleep that takes a hundred spans look the same within one span, and are told apart by nothing but a prior.
``priors={"never_returns": Prior("Beta", alpha=1, beta=1)}`` learns it all the same.

**With a calendar** all of it runs in operational time, sleep too, so that both together are one change of the time of
this family, as with drift: T and every purchase time are turned, and the likelihood needs its slopes in them
(``distributions.poisson.returning_times``). So waking is taken for a part of the habit of buying: in weeks in which all
buy twice as often, those asleep wake twice as often. Rejected: sleep in calendar time. A wait with a sleep in it is
then an integral over every period that it spans, at every rate and number of heads, and no closed form is left of a
forecast. The two differ by the mean pace during a sleep, and sleeps are long.

A record is made of the family without returns, by ``returning``; its functions read the flat array of all customers'
purchase times, ``times``, which ``over`` the customers binds, and each customer's place in it, ``purchase_start``.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_clv.distributions.arrays import Array
from bayes_clv.distributions.paths import SLEEP
from bayes_clv.distributions.paths.sleep import Sleep
from bayes_clv.distributions.paths.sleep import drawn as compiled_draws
from bayes_clv.distributions.paths.sleep import times_of_new as compiled_times
from bayes_clv.distributions.poisson import returning_forecasts as forecasts
from bayes_clv.distributions.special import double_tensors
from bayes_clv.families.arguments import lead
from bayes_clv.families.calendar import in_calendar_time
from bayes_clv.families.contract import Columns, Family, Forecast, Paced, Params
from bayes_clv.families.likelihood import Term
from bayes_clv.families.purchases import gamma_rates
from bayes_clv.families.purchases.timed import (
    HISTORY,
    Timed,
    flat_times,
    paced_times,
    simulated,
    simulated_at,
)
from bayes_clv.families.quantities import FIXED, Prior, Quantity

PARAMETERS = ("r", "alpha", "a", "b", "nu", "w")
# In spans of the data, and on the log scale.
CENTRE, SPREAD = 10.0, 1.2
# What a closed form of a draw costs, an average over rate and coin, is some 20 microseconds.
CLOSED_FORM_DRAWS = 100
SUFFIX = "_returns"
# As whom those awake and asleep are counted, awake or asleep: as they are; and those asleep awake less asleep.
AS_THEY_ARE, WOKEN = np.eye(2), np.array([[0.0, 0.0], [1.0, -1.0]])
# Of each family: whether its coin is tossed after the first purchase.
TOSSED = {"bg_nbd": 0, "mbg_nbd": 1}


def data_scale(columns: Mapping[str, Array], count: Array) -> dict[str, float]:
    """Return the crude purchase rate, per time unit, and the longest age, in time units."""
    return {
        "population_purchase_rate": gamma_rates.data_scale(columns, count),
        "mean_sleep": float(np.max(columns["T"])),
    }


def parameters(static: Family, population: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the family without returns, nu and w."""
    further = {"nu": 1 / population["mean_sleep"], "w": population["never_returns"]}
    return static.from_quantities(population) | further


def history_term(first: int, times: Array, params: Mapping[str, Any], *columns: Any) -> Any:
    """Return the log density of the purchases and of the silence since, a PyTensor vector."""
    from bayes_clv.distributions.operators import log_sleep

    x, _, T, start = columns
    return log_sleep(T, start, x, first, times, *double_tensors(params, *PARAMETERS))


def paced_terms(first: int, times: Array, clock: Any) -> tuple[Term, ...]:
    """Return the terms of columns in calendar time, at the pace of a ``clock`` (``contract.Paced``)."""

    def history(params: Mapping[str, Any], *columns: Any) -> Any:
        from bayes_clv.distributions.operators import log_sleep_at

        x, _, *seen = columns
        T, start, flat = paced_times(clock, times, x, *seen)
        return log_sleep_at(T, start, x, first, flat, *double_tensors(params, *PARAMETERS))

    return (Term(HISTORY, history),)


class _Seen(Timed):
    """Histories and parameters, and what the filter makes of them."""

    def __init__(self, first: int, times: Array, columns: Columns, params: Params) -> None:
        super().__init__(PARAMETERS, times, columns, params)
        self.first = first
        self.r, self.alpha, self.a, self.b, self.nu, self.w = self.values
        self.tosses = self.x[:, None] + first

    @property
    def read(self) -> tuple[Any, ...]:
        """Return what the compiled forecasts read."""
        return self.ages, self.start, self.x, self.first, self.flat, *self.values

    def states(self) -> Array:
        """Return P(awake), P(asleep), P(gone), mean rate and mean coin, (5, row, draw)."""
        found: Array = forecasts.states(*self.read)
        return found

    def expected(self, time: Array, rate: float = 0.0, counted: Array = AS_THEY_ARE) -> Array:
        """Return (2, ..., row, draw): purchases to finite times, discounted by ``rate``, and last ones among them."""
        found = forecasts.expected(time.ravel(), rate, counted, *self.read)
        return np.reshape(found, (2, *time.shape, *found.shape[2:]))


type _Of = tuple[int, Array]


def summary(of: _Of, time: float, columns: Columns, params: Params) -> tuple[Array, ...]:
    """Return P(alive), latent means, expected purchases to a finite time, and P(awake, asleep, gone): to six digits."""
    seen = _Seen(*of, columns, params)
    awake, asleep, gone, rate, coin, bought = (
        seen.out(each) for each in forecasts.summary(float(time), *seen.read)
    )
    return 1 - gone, rate, coin, bought, awake, asleep, gone


def states(of: _Of, columns: Columns, params: Params) -> tuple[Array, Array, Array]:
    """Return the probabilities of being awake, asleep and gone at T given the history."""
    seen = _Seen(*of, columns, params)
    awake, asleep, gone, *_ = seen.states()
    return seen.out(awake), seen.out(asleep), seen.out(gone)


def waking(of: _Of, time: float, columns: Columns, params: Params) -> Array:
    """Return P(awake within the time), 1 - e^(-nu t), of one who is asleep at T."""
    seen = _Seen(*of, columns, params)
    return seen.out(-np.expm1(-seen.nu * time))


def woken(of: _Of, time: float, rate: float, columns: Columns, params: Params) -> Array:
    """Return by how much purchases within the time, discounted, would be more if one asleep at T were awake."""
    seen = _Seen(*of, columns, params)
    return seen.out(seen.expected(np.asarray(time, dtype=np.float64), float(rate), WOKEN)[0])


def alive(of: _Of, columns: Columns, params: Params) -> Array:
    """Return the probability of being awake or asleep at T given the history: 1 where w = 0."""
    *_, gone = states(of, columns, params)
    return 1 - gone


def state(of: _Of, columns: Columns, params: Params) -> tuple[Any, ...]:
    """Return r, alpha + T, a and b of the coin, and ``Sleep``, each (row, draw)."""
    seen = _Seen(*of, columns, params)
    further = Sleep(seen.ages, seen.start, seen.x, seen.first, seen.flat, seen.alpha, seen.nu, seen.w)
    return seen.r, seen.alpha + seen.ages, seen.a, seen.b, further


def latent_means(of: _Of, columns: Columns, params: Params) -> tuple[Array, Array]:
    """Return the means of (purchase rate while awake, probability of falling asleep) given the history."""
    seen = _Seen(*of, columns, params)
    *_, rate, coin = seen.states()
    return seen.out(rate), seen.out(coin)


def latent_draws(
    of: _Of, rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.bool_], Array, Array]:
    """Return one draw each of (alive at T, purchase rate while awake, probability of falling asleep), jointly."""
    seen = _Seen(*of, columns, params)
    u = rng.random(seen.r.shape)
    words = rng.integers(0, 2**64, seen.r.shape, dtype=np.uint64, endpoint=False)
    kind, rate, coin = compiled_draws(*seen.read, u, words)
    return seen.out(kind) < 2, seen.out(rate), seen.out(coin)


def purchases(of: _Of, time: Any, columns: Columns, params: Params) -> Array:
    """Return the expected purchase occasions in (T, T + t] given the history; all to come are infinite unless w > 0."""
    seen = _Seen(*of, columns, params)
    times = np.asarray(time, dtype=np.float64)
    endless = np.isinf(times)
    finite = seen.out(seen.expected(np.where(endless, 0.0, times))[0])
    return (
        np.where(lead(endless, finite[(0,) * times.ndim]) > 0, _for_good(seen), finite)
        if endless.any()
        else finite
    )


def _for_good(seen: _Seen) -> Array:
    """Return all purchases to come: each ends a customer with the probability p w, of a p that has a mean 1 / p."""
    found: Array = forecasts.for_good(*seen.read)
    return seen.out(found)


def survival(of: _Of, time: Any, columns: Columns, params: Params) -> Array:
    """Return the probability of being awake or asleep at T + t given the history."""
    seen = _Seen(*of, columns, params)
    times = np.asarray(time, dtype=np.float64)
    endless = np.isinf(times)
    now = 1 - seen.states()[2]
    left = np.maximum(now - seen.expected(np.where(endless, 0.0, times))[1], 0.0)
    last = seen.out(np.where(seen.w > 0, 0.0, now))
    finite = seen.out(left)
    return np.where(lead(endless, finite[(0,) * times.ndim]) > 0, last, finite) if endless.any() else finite


def pmf(of: _Of, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(n purchase occasions in (T, T + t]), absolute error 2e-6: ten digits would take four times as long."""
    seen = _Seen(*of, columns, params)
    n = np.asarray(counts, dtype=np.int64)
    return seen.out(forecasts.count_pmf(int(n.max(initial=0)), float(time), *seen.read)[n])


def at_least(of: _Of, counts: Any, time: float, columns: Columns, params: Params) -> Array:
    """Return P(at least n purchase occasions in (T, T + t]); 1 where n <= 0."""
    seen = _Seen(*of, columns, params)
    n = np.maximum(np.asarray(counts, dtype=np.int64), 0)
    return seen.out(forecasts.at_least(int(n.max(initial=0)), float(time), *seen.read)[n])


def discounted(of: _Of, time: float, rate: float, columns: Columns, params: Params) -> Array:
    """Return expected purchases to the horizon, each worth e^(-delta t), delta the continuous ``rate`` per time unit.

    Without horizon and discount they are all that are to come; NaN without horizon and for a negative rate.
    """
    seen = _Seen(*of, columns, params)
    if rate == 0:
        return purchases(of, time, columns, params)
    if np.isinf(time) and rate < 0:
        return np.full(seen.shape, np.nan)
    return seen.out(seen.expected(np.asarray(time, dtype=np.float64), float(rate))[0])


def times_of_new(
    first: int, rng: np.random.Generator, columns: Columns, params: Params
) -> tuple[NDArray[np.int64], Array]:
    """Return repeat purchases of new customers as flat arrays (customer index, age at the purchase), sorted."""
    T = np.atleast_1d(np.asarray(columns["T"], dtype=np.float64))
    values = [
        np.array(np.broadcast_to(np.asarray(params[name], dtype=np.float64), T.shape)) for name in PARAMETERS
    ]
    words = rng.integers(0, 2**64, T.size, dtype=np.uint64, endpoint=False)
    found: tuple[NDArray[np.int64], Array] = compiled_times(T, first, *values, words)
    return found


def returning(static: Family) -> Family:
    """Return the family whose customers sleep and come back, and that is else ``static``: bg_nbd or mbg_nbd."""
    return _over(static, np.empty(0))


def _meanings(static: Family) -> dict[str, tuple[str, str]]:
    when = "a purchase, the first included" if TOSSED[static.name] else "a repeat purchase"
    return {
        **static.words.meanings,
        "a": ("first shape of the probabilities of falling asleep across customers", "none"),
        "b": ("second shape of the probabilities of falling asleep; their mean is a / (a + b)", "none"),
        "population_dropout": (
            f"mean probability of falling asleep after {when}, a / (a + b)",
            "probability",
        ),
        "dropout_concentration": ("a + b; small where customers differ much in falling asleep", "none"),
        "nu": ("rate of waking of a customer who sleeps; one over the mean sleep", "1/time"),
        "w": ("share of sleeps that never end", "probability"),
        "mean_sleep": ("mean time that a customer sleeps, who will wake", "time"),
        "never_returns": ("share of sleeps that never end: the customer has left", "probability"),
    }


def _over(static: Family, times: Array) -> Family:
    first = TOSSED[static.name]
    of = (first, times)
    words = replace(
        static.words,
        title=f"{static.words.title} with returns",
        summary=(
            f"{static.words.summary} Here none of these is gone for certain: they sleep, and come back after a time, "
            "except for a share that never does."
        ),
        meanings=_meanings(static),
    )
    forecast = Forecast(
        history=HISTORY,
        latent=("purchase_rate", "dropout"),
        paths=SLEEP,
        alive=partial(alive, of),
        latent_means=partial(latent_means, of),
        latent_draws=partial(latent_draws, of),
        purchases=partial(purchases, of),
        survival=partial(survival, of),
        pmf=partial(pmf, of),
        at_least=partial(at_least, of),
        discounted=partial(discounted, of),
        state=partial(state, of),
        times=partial(times_of_new, first),
        states=partial(states, of),
        summary=partial(summary, of),
        waking=partial(waking, of),
        woken=partial(woken, of),
        closed_form_draws=CLOSED_FORM_DRAWS,
    )
    record = replace(
        static,
        name=f"{static.name}{SUFFIX}",
        words=words,
        parameters=PARAMETERS,
        quantities={
            **static.quantities,
            "mean_sleep": Quantity(Prior("LogNormal", mu=math.log(CENTRE), sigma=SPREAD), relative=True),
            "never_returns": Quantity(Prior(FIXED, value=0.0), upper=1.0),
        },
        observed=HISTORY,
        scale=data_scale,
        from_quantities=partial(parameters, static),
        likelihood=(Term(HISTORY, partial(history_term, first, times)),),
        simulate=partial(simulated, partial(times_of_new, first)),
        forecast=forecast,
        over=lambda customers: _over(static, flat_times(customers)),
    )
    paced = Paced(
        likelihood=partial(paced_terms, first, times),
        simulate=partial(simulated_at, partial(times_of_new, first)),
        forecast=partial(in_calendar_time, record, times=times),
    )
    return replace(record, paced=paced)
