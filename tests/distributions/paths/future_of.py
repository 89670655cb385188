"""What the tests of this folder share: every law with a family, a population and histories, and one future in each draw."""

import numpy as np

from bayes_clv.distributions import family
from bayes_clv.distributions.paths import (
    COIN,
    DRAWN,
    LIFETIME,
    OPPORTUNITIES,
    PHASES,
    Own,
    State,
    Who,
    futures,
    room,
)
from bayes_clv.predictions.streams import customer_keys

NAMES = ("alive", "shape", "scale", "a", "b", "phases", "z")
# Family, law, population, and histories: one who never bought again, a regular one, one silent for long, a new one.
USUAL = ((0.0, 0.0, 30.0), (4.0, 31.0, 39.0), (6.0, 12.0, 50.0), (0.0, 0.0, 0.0))
CASES = {
    "bg_nbd": (COIN, {"r": 0.6, "alpha": 5.0, "a": 0.8, "b": 2.4}, USUAL),
    "mbg_nbd": (COIN, {"r": 0.7, "alpha": 6.2, "a": 0.9, "b": 1.6}, USUAL),
    "nbd": (COIN, {"r": 0.6, "alpha": 12.0}, USUAL),
    "bg_cnbd_k": (PHASES, {"r": 0.8, "alpha": 3.0, "a": 0.8, "b": 2.4, "k": 3.0}, USUAL),
    "mbg_cnbd_k": (PHASES, {"r": 0.9, "alpha": 2.5, "a": 0.9, "b": 1.6, "k": 2.0}, USUAL),
    "pareto_nbd": (LIFETIME, {"r": 0.7, "alpha": 10.0, "s": 0.8, "beta": 12.0}, USUAL),
    "pareto_abe": (
        DRAWN,
        {
            "population_purchase_rate": 0.06,
            "log_rate_sd": 0.9,
            "population_dropout_rate": 0.02,
            "log_dropout_sd": 1.0,
            "concordance": 0.4,
        },
        USUAL,
    ),
    "pareto_ggg": (
        DRAWN,
        {"regularity_shape": 8.0, "regularity_rate": 4.0, "r": 1.2, "alpha": 8.0, "s": 0.8, "beta": 20.0},
        ((4.0, 31.0, 39.0, -1.5), (6.0, 12.0, 50.0, -2.0)),
    ),
    "bg_bb": (
        OPPORTUNITIES,
        {"alpha": 1.2, "beta": 0.75, "gamma": 0.66, "delta": 2.8},
        ((0.0, 0.0, 6.0), (4.0, 4.0, 6.0), (3.0, 6.0, 6.0), (0.0, 0.0, 0.0)),
    ),
}


def values_of(name, draws):
    return {key: np.full(draws, value) for key, value in CASES[name][1].items()}


def state_of(name, histories, horizon, draws, key=0, values=None):
    """Return the state of these histories, one row each."""
    law, formulas = CASES[name][0], family(name)
    values = values_of(name, draws) if values is None else values
    columns = [np.array(column)[:, None] for column in zip(*histories, strict=True)]
    shape, none = (len(histories), draws), np.empty((0, draws))
    if law is DRAWN:
        rng = np.random.default_rng(key)
        wait, k, rate, life = (np.empty(shape) for _ in range(4))
        for i, history in enumerate(histories):
            wait[i], k[i], rate[i], life[i] = formulas.future_draws(rng, *history, **values)
        given = {"alive": wait, "shape": k, "scale": rate, "a": np.zeros(shape), "b": life}
    elif law is LIFETIME:
        given = dict(zip(NAMES[1:], formulas.state_while_alive(*columns, **values), strict=False))
    elif law is OPPORTUNITIES:
        given = dict(zip(NAMES, formulas.opportunity_state(*columns, **values), strict=False))
    else:
        given = dict(zip(NAMES, formulas.future_state(*columns, **values), strict=False))
    numbers = {
        each: np.array(np.broadcast_to(given[each], shape)) if each in law.needs else none for each in NAMES
    }
    ends = np.asarray(horizon, dtype=float)
    ends = np.array(np.broadcast_to(ends, (len(histories), ends.shape[-1] if ends.ndim > 1 else 1)))
    return State(**numbers, silence=(columns[2] - columns[1])[:, 0].copy(), horizon=ends)


def drawn(law, state, keys, asked=(), *, row=None, first_order=False, purse=None, clock=None, space=None):
    """Return the futures of customers: (customer, draw) arrays of what is asked for, and every purchase.

    ``purchases`` are counts, and ``who``, ``draw``, ``time`` the purchases themselves, sorted.
    """
    draws, customers = state.shape.shape[1], keys.shape[0]
    row = np.arange(customers) if row is None else np.asarray(row)
    own = Own(*(np.empty((customers if name in asked else 0, draws)) for name in Own._fields))
    space = room(customers, draws) if space is None else space
    buyers, batch = space.buyers, space.batch
    who, draw, time = [], [], []
    walk = futures(law, state, Who(row.astype(np.uint32), keys, first_order), own, space, purse, clock)
    for filled in walk:
        n = batch.buyer[:filled]
        who.append(buyers.customer[n].copy())
        draw.append(buyers.draw[n].copy())
        time.append(batch.time[:filled].copy())
    who, draw, time = (np.concatenate([np.empty(0), *each]) for each in (who, draw, time))
    order = np.lexsort((time, draw, who))
    found = {name: getattr(own, name) for name in asked}
    count = np.zeros((customers, draws))
    size = buyers.begin[customers]
    count[buyers.customer[:size], buyers.draw[:size]] = buyers.count[:size] + first_order
    found |= {"purchases": count, "who": who[order], "draw": draw[order], "time": time[order]}
    if purse is not None:
        for name in ("spend", "value"):
            found[name] = np.zeros((customers, draws))
            found[name][buyers.customer[:size], buyers.draw[:size]] = getattr(space.paid, name)[:size]
    return found


def keys_of(customers, seed=1):
    return customer_keys(range(customers), seed)
