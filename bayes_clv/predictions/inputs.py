"""What every forecast is made of: a posterior and customers who fit together, read, checked and matched once."""

import dataclasses
import json
import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import as_labels, column_values
from bayes_clv.customers.opportunities import check_opportunities
from bayes_clv.customers.tables import check_customers
from bayes_clv.distributions.streams import customer_keys
from bayes_clv.families.registry import family as find_family
from bayes_clv.predictions.histories import (
    Histories,
    apart,
    distinct_histories,
    purchase_history,
    recency_last,
    spend_history,
)
from bayes_clv.predictions.parameters import Kind, Parameters, paired, parameters
from bayes_clv.predictions.tiles import EXPECTED_DRAWS, closed_form_draws, thinned_reasons
from bayes_clv.problems import read_problem
from bayes_clv.schema import CUSTOMER, UNSTATED, InputError, argument, stored
from bayes_clv.units import duration

# A horizon as long as the customers' holdout.
HOLDOUT = "holdout"


@dataclass(frozen=True)
class Inputs:
    """What a forecast reads; made by :func:`prepare`.

    Attributes
    ----------
    posterior : Parameters
        The draws used, for these customers.
    customers : xarray.Dataset
        Checked.
    time_unit : str
        That of both.
    horizon : float
        In time units (of opportunities their number); infinite where none was given.
    past, paid : dict of str to array
        Columns (customer) that the purchase family reads, and those that the spend family reads; each with the profile
        where there are effects.
    histories : Histories
        The distinct rows of ``past``, then ``paid``: equal (profile, frequency, T) are neighbours.
    spending : Parameters, or None
        One draw for each of ``posterior``.
    keys : array, or None
        (customer, 2): the customers' random streams, where there was a seed.
    reasons : list of str
        That fewer draws are used than there are, where nobody asked for fewer.
    """

    posterior: Parameters
    customers: xr.Dataset
    time_unit: str
    horizon: float
    past: dict[str, np.ndarray]
    paid: dict[str, np.ndarray]
    histories: Histories
    spending: Parameters | None
    keys: np.ndarray | None
    reasons: list[str]

    @property
    def size(self) -> int:
        """Return the number of customers."""
        return int(self.customers.sizes[CUSTOMER])


def prepare(
    buying: xr.DataTree,
    customers: xr.Dataset,
    horizon: str | float | None = None,
    *,
    spending: xr.DataTree | None = None,
    draws: int | None = None,
    most: int | None = EXPECTED_DRAWS,
    seed: int | None = None,
    purpose: str = "future",
    kind: Literal["buying", "opportunities", "either"] = "buying",
) -> Inputs:
    """Return posterior and customers ready for a forecast: checked, in one time unit, as distinct histories.

    Parameters
    ----------
    buying, customers
        A posterior, and customers of its kind.
    horizon
        A duration, or a number in the data's time unit; a whole number of opportunities; "holdout", as long as that is.
    spending
        A posterior of a family of spend.
    draws, most
        Draws that are asked for, evenly spaced; else, of closed forms, at most so many (None: all), and of a family
        whose closed forms are slow no more than its own limit. Without ``draws`` a simulation uses all.
    seed, purpose
        Where chance is needed: of each customer's random streams (``streams.customer_keys``). A posterior of one draw
        is then repeated, and each customer is a history of its own where the family draws its future.
    kind
        What the posterior is to be of: purchases at any time ("buying"), or at opportunities.
    """
    name = getattr(buying, "attrs", {}).get("family")
    discrete = kind == "opportunities"
    if kind == "either":
        discrete = isinstance(name, str) and find_family(name).kind == "opportunities"
    fitted_to: Kind = "opportunities" if discrete else "buying"
    every = parameters(buying, fitted_to, calendar=True, over_time=True, grouped=True)
    if draws is not None and draws < 1:
        raise InputError(f"{argument('draws', draws)} must be at least 1.")
    if seed is None:
        posterior = closed_form_draws(every, draws, most)
        reasons = thinned_reasons(every, posterior, draws) if most is None else []
    else:
        posterior = every.repeated() if draws is None else every.repeated().thin(draws)
        reasons = []
    refuse_another_kind(posterior.family.name, customers, discrete=discrete)
    check = check_opportunities if discrete else check_customers
    check(customers)
    time_unit = shared_time_unit(buying, customers)
    length = math.inf
    if isinstance(horizon, str) and horizon == HOLDOUT:
        horizon = customers.attrs.get("holdout_duration")
        if horizon is None:
            raise InputError(
                f"{argument('horizon', HOLDOUT)}, and the customers have none. Summarise the orders with "
                f"{argument('holdout_until')}, or say how far, such as {argument('horizon', '52 weeks')}."
            )
    if horizon is not None:
        length = whole_number(horizon, "opportunities") if discrete else duration(horizon, time_unit)
    refuse_other_end(posterior, customers)
    customers = posterior.placed(customers)
    posterior = posterior.of(customers).until(length)
    past = posterior.columns | recency_last(purchase_history(customers, posterior.family))
    keys = None if seed is None else customer_keys(customers[CUSTOMER].values, seed, purpose=purpose)
    payments, paid = None, {}
    if spending is not None:
        shared_time_unit(spending, customers)
        payments = paired(parameters(spending, "spending", calendar=True), posterior.size).of(customers)
        refuse_other_end(payments, customers)
        payments = payments.priced(length, customers, keys)
        paid = payments.columns | spend_history(customers, payments.family) | payments.payers
    own = {} if keys is None else apart(posterior.family, keys)
    histories = distinct_histories(past | own | paid, keys)
    return Inputs(posterior, customers, time_unit, length, past, paid, histories, payments, keys, reasons)


def refuse_another_kind(family: str, customers: Any, *, discrete: bool) -> None:
    """Refuse customers of opportunities for a posterior of purchases at any time, and the other way round."""
    kinds = {
        "T": ("purchases at any time", "clv.summarize"),
        "opportunities": ("opportunities", "clv.customers.from_opportunities"),
    }
    needed, other = ("opportunities", "T") if discrete else ("T", "opportunities")
    columns = getattr(customers, "data_vars", ())
    if needed not in columns and other in columns:
        raise InputError(
            f"The posterior is of family {family!r}, which is fitted to {kinds[needed][0]}, and the customers are of "
            f"{kinds[other][0]}: they have no column {needed!r} but {other!r}. Make them with {kinds[needed][1]}, or "
            "forecast from a posterior that is fitted to customers such as these."
        )


def refuse_other_end(posterior: Parameters, customers: xr.Dataset) -> None:
    """Refuse customers who are observed to another day than a posterior's calendar."""
    if posterior.calendar is None:
        return
    fitted, observed = posterior.calendar.calendar.until, str(customers.attrs.get("until", ""))
    if fitted != observed:
        raise InputError(
            f"The posterior's calendar ends on {fitted or 'no known day'} and these customers are observed until "
            f"{observed or 'no known day'}: fit on these customers, or summarise the orders until the calendar's end."
        )


def whole_number(value: Any, name: str, smallest: int = 1) -> int:
    """Return a whole number from the smallest."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < smallest:
        raise InputError(f"{name} must be a whole number from {smallest}; it is {value!r}.")
    return int(value)


def labels_of(customers: xr.Dataset, by: Any) -> np.ndarray:
    """Return each customer's label as text, in the customers' order.

    ``by`` is the name of a column of the customers, or labels by customer id: a DataArray over ``customer``, a pandas
    Series indexed by customer id, a mapping, or what ``clv.segment`` returned (its most probable segments). Every
    customer needs a label; labels of other ids are left aside, since the labelled base may be larger than the customers
    asked about.

    Raises InputError for a column that is not there, a customer without label, and anything else.
    """
    if isinstance(by, str):
        return as_labels(column_values(customers, by))
    if isinstance(by, xr.Dataset) and "most_likely" in by:
        by = by["most_likely"]
    if isinstance(by, xr.DataArray) and by.dims == (CUSTOMER,) and CUSTOMER in by.coords:
        pairs = zip(by[CUSTOMER].values.tolist(), by.values.tolist(), strict=True)
    elif hasattr(by, "items") and not isinstance(by, (xr.DataArray, xr.Dataset)):
        pairs = by.items()
    else:
        raise InputError(
            "by must be the name of a column of the customers, labels by customer id (a DataArray over 'customer', a "
            "pandas Series indexed by customer id, a mapping) or what clv.segment returned (a rule itself only where "
            f"customers' draws are added up, as in clv.value_parts); got {type(by).__name__}."
        )
    table = {str(key): label for key, label in pairs}
    ids = [str(key) for key in customers[CUSTOMER].values]
    # A missing label is one that is absent, None or NaN (which differs from itself).
    missing = [key for key in ids if table.get(key) is None or table[key] != table[key]]
    if missing:
        raise InputError(
            f"by is matched by customer id, and {len(missing):,} of {len(ids):,} customers have no label, such as "
            f"{missing[0]!r}. Label them, or leave them out of customers."
        )
    labels = [table[key] for key in ids]
    if all(isinstance(label, int | float | np.number) and not isinstance(label, bool) for label in labels):
        return as_labels(np.array(labels, dtype=float))
    return np.array([str(label) for label in labels], dtype=object)


def name_of(by: Any) -> str:
    """Return what labels are called: a column's name, a rule's, or "segment"."""
    if isinstance(by, str):
        return by
    if isinstance(by, xr.Dataset):
        return str(by.attrs.get("rule", "segment"))
    name = getattr(by, "name", None)
    return "segment" if name is None else str(name)


def shared_time_unit(tree: xr.DataTree, customers: xr.Dataset) -> str:
    """Return the time unit of posterior and customers; two different ones are refused."""
    fitted = str(tree.attrs.get("time_unit", UNSTATED))
    observed = str(customers.attrs.get("time_unit", UNSTATED))
    if fitted != observed:
        raise InputError(
            f"The posterior's time unit is {fitted!r} and the customers' is {observed!r}: rates would be "
            f"read in the wrong unit. Summarise the orders with {argument('time_unit', fitted)}, or fit on "
            "these customers."
        )
    return observed


def _read(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


def problems(*trees: xr.DataTree) -> list[str]:
    """Return what the diagnostics of the fits found wrong: records as JSON, each with its family."""
    found = []
    for tree in trees:
        saved = str(tree.attrs.get("diagnostics", "{}"))
        diagnostics = stored("diagnostics", partial(_read, saved))
        family = str(tree.attrs["family"])
        found += [
            json.dumps(dataclasses.replace(read_problem(each), subject=family).record())
            for each in diagnostics.get("problems", [])
        ]
    return found
