"""Everything about a customer in one draw: alive, its own rate and spend level, and the future that follows from them.

A summary per customer cannot say who is in the top fifth by value *and* buys rarely, and the parts of such a condition
must come from one draw. Here each posterior draw gives each customer one set of numbers that belong together: first the
customer's own rates given its history (*latent*), then one future given those rates (*outcome*). The law is that of
``clv.predict``, whose engine integrates the rates out; tests hold the two against each other.

``customer_draws`` is a recipe and computes nothing. ``blocks`` walks over the customers, BLOCK at a time, and gives
arrays (customer, draw) of the quantities that were asked for; memory does not grow with the customers. A customer's
future comes from random streams of its id, and its latent numbers from one generator for each BLOCK of customers in the
order of their keys: neither order nor threads change anything, but other company does, as it changes the shares of a
base anyway.

What is not asked for is not computed: a rule on rates alone simulates no future.
"""

import math
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numba import njit

from bayes_clv.customers import check_customers
from bayes_clv.distributions.lifetimes import lifetime_of
from bayes_clv.predictions.engine import _level, _paid, available_threads
from bayes_clv.predictions.histories import history_names, purchase_history, spend_history
from bayes_clv.predictions.individual import drawn_state, is_individual
from bayes_clv.predictions.latent import latent_names
from bayes_clv.predictions.posterior import Parameters, paired, parameters, shared_time_unit
from bayes_clv.predictions.streams import GOLDEN, MONEY, customer_keys, mix, standard_gamma, unit
from bayes_clv.schema import CUSTOMER, InputError, discount_rate, duration

# Customers a block. Fixed: a block's latent numbers come from one generator.
BLOCK = 256
# A probability from this many draws has a standard error of at most 0.5 / sqrt(400) = 2.5 %.
DRAWS = 400
SPEND_LEVEL = "spend_per_purchase"
OUTCOMES = ("purchases", "spend", "value")
ACTIVE_TIME = "active_time"

type Block = tuple[np.ndarray, dict[str, np.ndarray]]


@dataclass(frozen=True)
class CustomerDraws:
    """A recipe of joint draws; made by ``customer_draws``.

    Attributes
    ----------
    names : tuple of str
        Quantities that can be asked for.
    size : int
        Draws.
    horizon, margin, discount
        In time units; the share of spend that is earned; continuous, per time unit.
    """

    buying: Parameters
    spending: Parameters | None
    customers: xr.Dataset
    columns: dict[str, np.ndarray]
    keys: np.ndarray
    horizon: float
    margin: float
    discount: float
    seed: int

    @property
    def size(self) -> int:
        """Return the number of draws."""
        return self.buying.size

    @property
    def latent(self) -> tuple[str, ...]:
        """Return the names of the customer's own numbers."""
        rates = (
            ("purchase_rate",) if is_individual(self.buying.formulas) else latent_names(self.buying.formulas)
        )
        return ("alive", *rates, *(() if self.spending is None else (SPEND_LEVEL,)))

    @property
    def names(self) -> tuple[str, ...]:
        """Return what can be asked for: the customers' own numbers, the latent ones, and the future's."""
        future = OUTCOMES if self.spending is not None else OUTCOMES[:1]
        return (*self.data, "time_since_purchase", "probability_alive", *self.latent, *future, ACTIVE_TIME)

    @property
    def data(self) -> tuple[str, ...]:
        """Return the customers' columns of numbers."""
        return tuple(
            str(name)
            for name, column in self.customers.data_vars.items()
            if column.dims == (CUSTOMER,) and column.dtype.kind in "iufb"
        )

    def blocks(self, names: Sequence[str], threads: int | None = None) -> Generator[Block]:
        """Yield (places, quantities) of one block of customers after the other.

        ``places`` are the customers' positions in the dataset; each quantity is (customer, draw), or (customer, 1)
        where it does not vary over draws.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise InputError(
                f"The quantity {unknown[0]!r} is not known here. There are {', '.join(self.names)}"
                f"{'' if self.spending is not None else '; money needs a spending posterior'}."
            )
        order = np.lexsort((self.keys[:, 1], self.keys[:, 0]))
        starts = range(0, order.size, BLOCK)

        def block(start: int) -> Block:
            places = order[start : start + BLOCK]
            return places, self._quantities(places, start, names)

        # The first alone: two threads that compile the same function at once wait for each other.
        yield block(0)
        workers = min(available_threads(threads), len(starts))
        if workers == 1:
            yield from map(block, starts[1:])
            return
        with ThreadPoolExecutor(max_workers=workers) as executor:
            # A few blocks ahead and no more, so that what is not yet read does not pile up.
            waiting = []
            for start in starts[1:]:
                waiting.append(executor.submit(block, start))
                if len(waiting) > 2 * workers:
                    yield waiting.pop(0).result()
            for each in waiting:
                yield each.result()

    def _quantities(self, places: np.ndarray, start: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        columns = {name: column[places] for name, column in self.columns.items()}
        history = tuple(columns[name][:, None] for name in history_names(self.buying.formulas))
        found: dict[str, np.ndarray] = {}
        for name in names:
            if name in self.data:
                found[name] = self.customers[name].to_numpy()[places, None].astype(np.float64)
        if "time_since_purchase" in names:
            found["time_since_purchase"] = columns["T"][:, None] - columns["recency"][:, None]
        values = self.buying.at(columns)
        if "probability_alive" in names:
            alive = self.buying.formulas.probability_alive(*history, **values)
            found["probability_alive"] = np.broadcast_to(alive, (places.size, self.size))
        if set(names) & {*self.latent, *OUTCOMES, ACTIVE_TIME}:
            rng = np.random.Generator(np.random.PCG64([self.seed, start // BLOCK]))
            latent, path = self._latent(rng, places, columns)
            found |= {name: values for name, values in latent.items() if name in names}
            if set(names) & {*OUTCOMES, ACTIVE_TIME, SPEND_LEVEL}:
                found |= self._future(places, columns, path, names)
        return found

    def _latent(
        self, rng: np.random.Generator, places: np.ndarray, columns: dict[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], tuple[np.ndarray, ...]]:
        """Return the customers' own numbers, and what their future needs: see ``_futures``."""
        shape = (places.size, self.size)
        if is_individual(self.buying.formulas):
            state = drawn_state(self.buying, columns, self.keys[places])(np.arange(places.size))
            first, wait_shape, wait_rate, lifetime = state
            latent = {"alive": (lifetime > 0).astype(np.float64), "purchase_rate": wait_rate / wait_shape}
            return latent, (first, wait_shape, wait_rate, lifetime, np.zeros(shape))
        history = tuple(
            np.broadcast_to(columns[name][:, None], shape) for name in ("frequency", "recency", "T")
        )
        values = {name: np.broadcast_to(value, shape) for name, value in self.buying.at(columns).items()}
        alive, rate, leaving = self.buying.formulas.latent_draws(rng, *history, **values)
        latent = dict(zip(self.latent, (alive.astype(np.float64), rate, leaving), strict=False))
        first = rng.standard_exponential(shape) / rate
        ones, zeros = np.ones(shape), np.zeros(shape)
        if lifetime_of(self.buying.formulas) == "after_kth_phase":
            k, silence = np.asarray(values["k"]), history[2] - history[1]
            first = rng.standard_gamma(k - _phases_passed(rng, k, k * rate * silence)) / (k * rate)
            return latent, (first, k, k * rate, np.where(alive, np.inf, 0.0), leaving)
        if lifetime_of(self.buying.formulas) == "continuous":
            lifetime = np.where(alive, rng.standard_exponential(shape) / leaving, 0.0)
            return latent, (first, ones, rate, lifetime, zeros)
        return latent, (first, ones, rate, np.where(alive, np.inf, 0.0), leaving)

    def _future(
        self,
        places: np.ndarray,
        columns: dict[str, np.ndarray],
        path: tuple[np.ndarray, ...],
        names: Sequence[str],
    ) -> dict[str, np.ndarray]:
        shape = (places.size, self.size)
        nothing = np.empty((0, self.size))
        level: tuple[np.ndarray, ...] = (nothing, nothing)
        occasion, lognormal = nothing, False
        if self.spending is not None:
            formulas, values = self.spending.formulas, self.spending.at(columns)
            known = columns["occasions"][:, None], columns["mean_spend"][:, None]
            level = tuple(_whole(each, shape) for each in formulas.spend_state(*known, **values))
            occasion = _whole(np.asarray(values[formulas.OCCASION]), shape)
            lognormal = formulas.SPEND_RULE == "lognormal"
        out = np.zeros((5, *shape))
        _futures(
            self.keys[places],
            *(_whole(each, shape) for each in path),
            self.horizon,
            *level,
            occasion,
            lognormal,
            self.discount,
            out,
        )
        out[2] *= self.margin
        if self.spending is not None:
            # The mean of an occasion given the customer's level.
            out[3] *= np.exp(occasion**2 / 2) if lognormal else occasion
        found = zip((*OUTCOMES, SPEND_LEVEL, ACTIVE_TIME), out, strict=True)
        return {name: each for name, each in found if name in names}


def _phases_passed(rng: np.random.Generator, k: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return how many of k phases a silence has passed, where ``mean`` were to be expected: Poisson, given below k."""
    most = int(k.max())
    weights = np.ones((most, *mean.shape))
    for j in range(1, most):
        weights[j] = weights[j - 1] * mean / j * (j < k)
    reached = np.cumsum(weights, axis=0)
    passed: np.ndarray = (rng.random(mean.shape) * reached[-1] >= reached).sum(axis=0)
    return passed


def _whole(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a writeable C array of this shape: Numba compiles any other one anew."""
    return np.array(np.broadcast_to(array, shape), dtype=np.float64, order="C")


@njit(nogil=True, cache=True, error_model="numpy")
def _futures(  # type: ignore[no-untyped-def]
    keys,
    first_wait,
    wait_shape,
    wait_rate,
    lifetime,
    dropout,
    horizon,
    spend_first,
    spend_second,
    occasion,
    lognormal,
    discount,
    out,
):
    """Write purchases, spend, discounted spend, spend level and active time, each (customer, draw), into ``out``.

    Purchases happen at ``first_wait`` and, from one to the next, after Gamma(wait_shape) / wait_rate, to the end of
    ``lifetime`` (0: has left), and end after each with probability ``dropout``.
    """
    with_money = spend_first.shape[0] > 0
    for i in range(keys.shape[0]):
        increment = keys[i, 1]
        for s in range(first_wait.shape[1]):
            state = mix(keys[i, 0] + np.uint64(s) * GOLDEN)
            purse = mix(state ^ MONEY)
            level = 0.0
            if with_money:
                level, purse = _level(lognormal, spend_first[i, s], spend_second[i, s], purse, increment)
                out[3, i, s] = level
            position, last = first_wait[i, s], min(horizon, lifetime[i, s])
            out[4, i, s] = last
            while position <= last:
                out[0, i, s] += 1.0
                if with_money:
                    amount, purse = _paid(lognormal, occasion[i, s], level, purse, increment)
                    out[1, i, s] += amount
                    out[2, i, s] += amount * math.exp(-discount * position)
                state += increment
                if unit(mix(state)) < dropout[i, s]:
                    out[4, i, s] = position
                    break
                if wait_shape[i, s] == 1.0:
                    state += increment
                    position -= math.log(unit(mix(state))) / wait_rate[i, s]
                else:
                    wait, state = standard_gamma(wait_shape[i, s], state, increment)
                    position += wait / wait_rate[i, s]


def customer_draws(
    buying: xr.DataTree,
    customers: xr.Dataset,
    *,
    spending: xr.DataTree | None = None,
    horizon: str | float = "52 weeks",
    margin: float = 1.0,
    annual_discount_rate: float = 0.0,
    draws: int = DRAWS,
    seed: int,
) -> CustomerDraws:
    """Return a recipe of each customer's own numbers and future, draw by draw, for ``clv.segment`` and its like.

    Parameters
    ----------
    buying, customers, spending, horizon, margin, annual_discount_rate
        As in ``clv.predict_value``. Without ``spending`` there is no money.
    draws
        At most about this many posterior draws, evenly spaced. A probability has a standard error of at most
        0.5 / sqrt(draws).
    seed
        Seed of all random numbers.

    Returns
    -------
    CustomerDraws
        Nothing is computed yet. ``names`` lists its quantities:

        - the customers' columns of numbers (frequency, recency, T, monetary_value, those of ``with_columns``, ...) and
          ``time_since_purchase``, T - recency;
        - ``probability_alive`` (expected level);
        - the customer's own (latent level): ``alive`` (0 or 1), ``purchase_rate`` (1 / time unit, while alive),
          ``dropout`` or ``dropout_rate``, and ``spend_per_purchase`` (money, the mean of an occasion);
        - the future over the horizon (outcome level): ``purchases``, ``spend``, ``value`` (margin × discounted spend),
          and ``active_time`` (time units), for how much of the horizon the customer has not left yet.

    Raises
    ------
    InputError
        As in ``clv.predict_value``; fewer than one draw.

    Examples
    --------
    >>> draws = customer_draws(buying, customers, spending=spending, horizon="52 weeks", margin=0.3, draws=200, seed=1)
    >>> places, block = next(draws.blocks(["alive", "purchases"]))
    >>> block["purchases"].shape
    (256, 200)
    """
    check_customers(customers)
    if draws < 1:
        raise InputError(f"draws={draws} must be at least 1.")
    if not (math.isfinite(margin) and margin > 0):
        raise InputError(f"margin must be finite and above 0; 0.3 means 30 % of spend. It is {margin!r}.")
    time_unit = shared_time_unit(buying, customers)
    posterior = parameters(buying, "buying").repeated().thin(draws).of(customers)
    columns = purchase_history(customers, posterior.formulas) | posterior.columns
    payments = None
    if spending is not None:
        shared_time_unit(spending, customers)
        payments = paired(parameters(spending, "spending"), posterior.size).of(customers)
        columns |= spend_history(customers, payments.formulas) | payments.columns
    return CustomerDraws(
        buying=posterior,
        spending=payments,
        customers=customers,
        columns=columns,
        keys=customer_keys(customers[CUSTOMER].values, seed, purpose="joint"),
        horizon=duration(horizon, time_unit),
        margin=float(margin),
        discount=discount_rate(annual_discount_rate, time_unit),
        seed=int(seed),
    )
