"""A customer's own purchase rate and dropout: the individual posterior, drawn and summarised.

Level *latent*: the population parameters vary over posterior draws and, given each, the customer's own rate and
dropout vary as its history leaves them (a mixture of "alive" and "dropped out", see the family's
``latent_draws``). One draw of the pair belongs to each posterior draw.

Customers of one history have one latent posterior, so summaries are made once per distinct history, from a random
stream of the seed, the history and the parameters. Kept draws are each customer's own, from a stream of the seed
and the id: those of two customers are independent given the population, and may be added up.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import xarray as xr

from bayes_clv.customers.tables import check_customers
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.predictions.histories import distinct_histories, purchase_history
from bayes_clv.predictions.inputs import shared_time_unit
from bayes_clv.predictions.parameters import Parameters, parameters
from bayes_clv.predictions.tiles import MAX_MEMORY, available_threads, refuse_too_large
from bayes_clv.schema import CUSTOMER, QUANTILES, describe

STATISTICS = ("mean", "sd", *(f"q{round(100 * q):02d}" for q in QUANTILES))


# Rows a task: enough work for a thread to be worth its start.
ROWS = 64


def latent_posterior(
    buying: xr.DataTree,
    customers: xr.Dataset,
    *,
    seed: int,
    keep_draws: bool = False,
    threads: int | None = None,
    max_memory: float = MAX_MEMORY,
) -> xr.Dataset:
    """Return the posterior of each customer's own purchase rate and dropout.

    Parameters
    ----------
    buying, customers
        A buying posterior and customers in its time unit.
    seed
        Seed of the latent draws. Neither order nor company of the customers changes a customer's numbers.
    keep_draws
        Also return ``purchase_rate`` and ``dropout`` (chain, draw, customer), refused when larger than
        ``max_memory`` bytes.
    threads
        Threads; by default the processors this process may use. They change the speed only.

    Returns
    -------
    xarray.Dataset
        Over ``customer``: purchase_rate_mean, _sd, _q05, _q25, _q50, _q75, _q95 (1 / time unit, while alive) and
        the same of dropout (a probability after each purchase; in Pareto/NBD and Pareto/GGG dropout_rate, 1 / time
        unit), and in Pareto/GGG of regularity (1 at random, above 1 more even), at the latent level. Means are those
        of the draws; ``clv.predict`` gives the same means in closed form.

    Raises
    ------
    InputError
        As in ``clv.predict``.

    Notes
    -----
    The purchase rate holds while the customer is alive, and also of one who has left it says how fast it bought.
    For what will be bought use ``clv.predict``.

    Examples
    --------
    >>> own = latent_posterior(buying, customers, seed=1)
    >>> fast = own["purchase_rate_q05"] > 0.1
    """
    check_customers(customers)
    posterior = parameters(buying, "buying").of(customers).repeated()
    time_unit = shared_time_unit(buying, customers)
    size = customers.sizes[CUSTOMER]
    names = posterior.forecast.latent
    if keep_draws:
        refuse_too_large(
            len(names) * posterior.size * size,
            max_memory,
            what=f"{posterior.size:,} draws of {' and '.join(names)} of {size:,} customers",
            instead="Leave keep_draws=False: the summary needs no such array.",
        )
    columns = purchase_history(customers, posterior.family) | posterior.columns
    histories = distinct_histories(columns)
    streams = None
    if keep_draws:
        streams = [key.tobytes() for key in customer_keys(customers[CUSTOMER].values, seed, purpose="latent")]
    rows = columns if keep_draws else histories.columns
    kept = np.empty((len(names), size if keep_draws else 0, posterior.size))
    summary = _summaries(posterior, rows, seed, streams, kept, threads)
    if not keep_draws:
        summary = histories.spread(summary, of_rows=True)
    data: dict[str, object] = {
        f"{name}_{statistic}": (CUSTOMER, summary[i, j])
        for i, name in enumerate(names)
        for j, statistic in enumerate(STATISTICS)
    }
    if keep_draws:
        for name, drawn in zip(names, kept, strict=True):
            data[name] = posterior.unstack(drawn.T, CUSTOMER)
    return describe(
        xr.Dataset(
            data,
            coords={CUSTOMER: customers[CUSTOMER].values, **posterior.coords()},
            attrs={"time_unit": time_unit, "seed": int(seed), "draws": posterior.size, "level": "latent"},
        )
    )


def _stream(seed: int, history: tuple[float, ...], values: dict[str, np.ndarray]) -> bytes:
    """Return the key of a history's stream: a hash of the seed, its numbers and the first draw's parameters."""
    numbers = np.array([*history, *(np.ravel(value)[0] for value in values.values())], dtype="<f8")
    start = hashlib.blake2b(digest_size=16, person=b"history", key=int(seed).to_bytes(8, "little"))
    start.update(numbers.tobytes())
    return start.digest()


def _summaries(
    posterior: Parameters,
    columns: dict[str, np.ndarray],
    seed: int,
    streams: list[bytes] | None,
    kept: np.ndarray,
    threads: int | None,
) -> np.ndarray:
    """Return (name, statistic, row), and write the draws where ``kept`` has room."""
    history = {name: columns[name] for name in posterior.forecast.history}
    size = next(iter(history.values())).size
    summary = np.empty((kept.shape[0], len(STATISTICS), size))

    def task(start: int) -> None:
        for row in range(start, min(start + ROWS, size)):
            at = {name: np.asarray(column[row], dtype=float) for name, column in history.items()}
            values = posterior.at(columns, slice(row, row + 1))
            key = (
                _stream(seed, tuple(float(each) for each in at.values()), values)
                if streams is None
                else streams[row]
            )
            rng = np.random.Generator(np.random.PCG64(int.from_bytes(key, "little")))
            _, *latent = posterior.forecast.latent_draws(rng, at, values)
            for i, drawn in enumerate(latent):
                summary[i, :, row] = _statistics(np.ravel(drawn))
                if kept.shape[1]:
                    kept[i, row] = np.ravel(drawn)

    _for_each(task, range(0, size, ROWS), available_threads(threads))
    return summary


def _for_each(task: Callable[[int], None], starts: range, workers: int) -> None:
    # The first alone: two threads that compile the same function at once wait for each other, or warn.
    task(starts[0])
    with ThreadPoolExecutor(max_workers=workers) as executor:
        for _ in executor.map(task, starts[1:]):
            pass


def _statistics(drawn: np.ndarray) -> np.ndarray:
    sd = drawn.std(ddof=1) if drawn.size > 1 else 0.0
    return np.array([drawn.mean(), sd, *np.quantile(drawn, QUANTILES, method="inverted_cdf")])
