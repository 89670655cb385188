"""Everything about a customer in one draw: alive, its own rate and spend level, and the future that follows from them.

A summary per customer cannot say who is in the top fifth by value *and* buys rarely, and the parts of such a condition
must come from one draw. Here each posterior draw gives each customer one set of numbers that belong together: first the
customer's own rates given its history (*latent*), then one future given those rates (*outcome*). The law is that of
``clv.predict``, whose engine integrates the rates out; tests hold the two against each other.

``customer_draws`` is a recipe and computes nothing. ``blocks`` walks over the customers, some at a time, and gives
arrays (customer, draw) of the quantities that were asked for; memory does not grow with the customers. All random
numbers of a customer come from streams of its id and of the draw (``joint_paths``): neither order, company, threads nor
what else is asked for change anything. Customers of one history stand side by side, and share its probabilities.

What is not asked for is not computed: a rule on rates alone simulates no future.

Where the time goes is measured by studies/segments_scale.py. Rejected: latent numbers from one NumPy generator per
block of customers (the first form), which made whole arrays of everything, took three to thirty times as long, and let
a customer's numbers depend on the others.
"""

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.families.lifetimes import INDIVIDUAL
from bayes_clv.predictions.histories import (
    distinct_histories,
    purchase_history,
    purchase_state,
    spend_history,
    state_while_alive,
)
from bayes_clv.predictions.individual import apart, drawn_state, is_individual
from bayes_clv.predictions.inputs import shared_time_unit
from bayes_clv.predictions.joint_paths import LAWS, draw_joint
from bayes_clv.predictions.parameters import Parameters, paired, parameters
from bayes_clv.predictions.tiles import available_threads, owned
from bayes_clv.schema import CUSTOMER, InputError, argument
from bayes_clv.units import discount_rate, duration

# Customers × draws a block: a megabyte an array. Half as many cost 6 % more, for the calls of NumPy.
BLOCK = 131_072
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
    columns, purse
        What the families read of each customer, and which of these spend is read from.
    order, row
        The customers by history, and which distinct one each of these has.
    horizon, margin, discount
        In time units; the share of spend that is earned; continuous, per time unit.
    """

    buying: Parameters
    spending: Parameters | None
    customers: xr.Dataset
    columns: dict[str, np.ndarray]
    purse: tuple[str, ...]
    keys: np.ndarray
    order: np.ndarray
    row: np.ndarray
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
        rates = self._rates[:1] if is_individual(self.buying.family) else self._rates
        return ("alive", *rates, *(() if self.spending is None else (SPEND_LEVEL,)))

    @property
    def _rates(self) -> tuple[str, ...]:
        return self.buying.forecast.latent[:2]

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
        yield from self.each(lambda places, quantities: (places, quantities), names, threads)

    def each[Result](
        self,
        work: Callable[[np.ndarray, dict[str, np.ndarray]], Result],
        names: Sequence[str],
        threads: int | None = None,
        sample: int | None = None,
    ) -> Generator[Result]:
        """Yield ``work(places, quantities)`` of one block after the other; the threads do the work too.

        With a ``sample`` only that many customers are walked over, the first in the order of their random keys.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise InputError(
                f"The quantity {unknown[0]!r} is not known here. There are {', '.join(self.names)}"
                f"{'' if self.spending is not None else '; money needs a spending posterior'}."
            )
        order, row = self.order, self.row
        if sample is not None and sample < order.size:
            last = np.partition(self.keys[:, 0], sample - 1)[sample - 1]
            inside = self.keys[order, 0] <= last
            order, row = order[inside], row[inside]
        # Once: xarray takes its time to find a column.
        data = {
            name: self.customers[name].to_numpy().astype(np.float64) for name in names if name in self.data
        }
        step = max(1, BLOCK // self.size)
        starts = range(0, order.size, step)

        def block(start: int) -> Result:
            part = slice(start, start + step)
            return work(order[part], self._quantities(order[part], row[part], names, data))

        # The first alone: two threads that compile the same function at once wait for each other.
        yield block(0)
        workers = min(available_threads(threads), len(starts))
        if workers == 1:
            yield from map(block, starts[1:])
            return
        with ThreadPoolExecutor(max_workers=workers) as executor:
            # A few blocks ahead and no more, so that what is not yet read does not pile up.
            waiting: deque[Future[Result]] = deque()
            try:
                for start in starts[1:]:
                    waiting.append(executor.submit(block, start))
                    if len(waiting) > 2 * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for other in waiting:
                    other.cancel()

    def _quantities(
        self, places: np.ndarray, row: np.ndarray, names: Sequence[str], data: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        columns = {name: column[places] for name, column in self.columns.items()}
        found = {name: column[places, None] for name, column in data.items()}
        if "time_since_purchase" in names:
            found["time_since_purchase"] = columns["T"][:, None] - columns["recency"][:, None]
        drawn = set(names) & {*self.latent, *OUTCOMES, ACTIVE_TIME}
        if not drawn and "probability_alive" not in names:
            return found
        new, local = _stretches([row])
        first = {name: column[new] for name, column in columns.items()}
        history = {name: first[name][:, None] for name in self.buying.forecast.history}
        values = self.buying.at(first)
        shape = (int(new.sum()), self.size)
        if "probability_alive" in names:
            alive = self.buying.forecast.alive(history, values)
            found["probability_alive"] = np.broadcast_to(alive, shape)[local]
        if not drawn:
            return found
        law = self.buying.forecast.law
        if law == "continuous":
            # Its P(alive) is an integral, which the kernel does without.
            alive = np.zeros(())
            state = list(state_while_alive(self.buying.forecast, history, values))
        elif law != INDIVIDUAL:
            alive, *state = purchase_state(self.buying.forecast, history, values)
        else:
            alive, *state = drawn_state(self.buying, columns, self.keys[places])(np.arange(places.size))
            # Neither a probability after a purchase nor phases; each customer is a row.
            state.append(np.zeros(()))
            shape, local = (places.size, self.size), np.arange(places.size)
        return found | self._drawn(places, columns, local, shape, (alive, *state), names)

    def _drawn(
        self,
        places: np.ndarray,
        columns: dict[str, np.ndarray],
        row: np.ndarray,
        shape: tuple[int, int],
        state: tuple[np.ndarray, ...],
        names: Sequence[str],
    ) -> dict[str, np.ndarray]:
        """Return those of ``names`` that are drawn; ``row`` (customer) indexes the states, of ``shape``."""
        whole, nothing = (places.size, self.size), np.empty((0, self.size))
        level, occasion, lognormal = (nothing, nothing), nothing, False
        purse_row = np.zeros(places.size, dtype=np.int64)
        if self.spending is not None and set(names) & {SPEND_LEVEL, *OUTCOMES[1:]}:
            new, purse_row = _stretches([columns[name] for name in self.purse])
            paid = {name: column[new] for name, column in columns.items()}
            money, values = self.spending.level, self.spending.at(paid)
            known = {name: paid[name][:, None] for name in ("occasions", "mean_spend")}
            first, second = money.state(known, values)
            level = owned(first, (new.sum(), self.size)), owned(second, (new.sum(), self.size))
            occasion = np.atleast_2d(values[money.occasion])
            occasion = owned(occasion, (occasion.shape[0], self.size))
            lognormal = money.pays == "lognormal"
        new, _ = _stretches([row])
        silence = (columns["T"] - columns["recency"])[new]
        phases, z = (owned(each, shape) for each in state[5:]) if len(state) > 5 else (nothing, nothing)
        out = {
            name: np.empty(whole) if name in names else nothing
            for name in ("alive", *self._rates, SPEND_LEVEL, *OUTCOMES, ACTIVE_TIME)
        }
        draw_joint(
            row,
            purse_row,
            self.keys[places],
            LAWS[self.buying.forecast.law],
            *(owned(each, shape) for each in state[:5]),
            phases,
            z,
            silence,
            self.horizon,
            lognormal,
            *level,
            occasion,
            self.discount,
            self.margin,
            *out.values(),
        )
        return {name: each for name, each in out.items() if name in names}


def _stretches(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return where neighbours differ in some column, the first included, and which stretch of likes each is in."""
    new = np.ones(columns[0].size, dtype=bool)
    new[1:] = np.logical_or.reduce([each[1:] != each[:-1] for each in columns])
    return new, np.cumsum(new) - 1


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
    (655, 200)
    """
    check_customers(customers)
    if draws < 1:
        raise InputError(f"{argument('draws', draws)} must be at least 1.")
    if not (math.isfinite(margin) and margin > 0):
        raise InputError(
            f"{argument('margin')} must be finite and above 0; 0.3 means 30 % of spend. It is {margin!r}."
        )
    time_unit = shared_time_unit(buying, customers)
    posterior = parameters(buying, "buying").repeated().thin(draws).of(customers)
    past = purchase_history(customers, posterior.family)
    columns = past | posterior.columns
    payments, spent = None, {}
    if spending is not None:
        shared_time_unit(spending, customers)
        payments = paired(parameters(spending, "spending"), posterior.size).of(customers)
        spent = spend_history(customers, payments.family) | payments.columns
        columns |= spent
    keys = customer_keys(customers[CUSTOMER].values, seed, purpose="joint")
    histories = distinct_histories(past | posterior.columns | apart(posterior.family, keys), keys)
    return CustomerDraws(
        buying=posterior,
        spending=payments,
        customers=customers,
        columns=columns,
        purse=tuple(spent),
        keys=keys,
        order=histories.order,
        row=histories.row,
        horizon=duration(horizon, time_unit),
        margin=float(margin),
        discount=discount_rate(annual_discount_rate, time_unit),
        seed=int(seed),
    )
