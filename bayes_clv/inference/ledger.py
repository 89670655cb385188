"""Repeat purchases by customer and calendar period, with their spend: what a calendar of spend reads.

Let all customers' spend per purchase be multiplied by g of the period. An amount over its period's g is then an amount
of the family, and the likelihood stays exact: the family's of the amounts so corrected, over g once for each purchase,

    log L = the family's at mean and standard deviation of the log spend less log g  -  sum of n_period log g_period.

Both moments follow from sums by customer and period, which are as many as the purchases at most: the purchases there,
and the sum of their logs about the customer's own mean.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.sequences import places
from bayes_clv.schema import CUSTOMER, InputError

# The column that says where a customer's purchases are in the ledger.
PAYER = "payer"
NEEDED = ("purchase_times", "purchase_start", "purchase_spend", "spend_start")


@dataclass(frozen=True)
class Ledger:
    """Sparse matrices (customer, period): ``orders``, the repeat purchases, and ``apart``, their logs about the mean.

    ``size`` (customer) is the repeat purchases of each.
    """

    orders: Any
    apart: Any
    size: np.ndarray

    def drawn_shift(self, rows: np.ndarray, log_rate: np.ndarray) -> np.ndarray:
        """Return the mean of log g over the purchases of customers in each draw, (row, draw), of ``log_rate``.

        That is (draw, period); 0 of a customer without a purchase.
        """
        total = np.asarray(self.orders[rows] @ log_rate.T)
        return total / np.maximum(self.size[rows], 1.0)[:, None]

    def take(self, order: np.ndarray) -> "Ledger":
        """Return the ledger of these customers, in this order."""
        return Ledger(self.orders[order], self.apart[order], self.size[order])

    def corrected(self, log_rate: Any, rows: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> tuple[Any, Any]:
        """Return mean and standard deviation of customers' log spend less ``log_rate`` (period,), tensors (row,).

        ``mean`` and ``sd`` are those of the log spend itself.
        """
        import pytensor.sparse as sparse
        import pytensor.tensor as pt

        def sums(matrix: Any, values: Any) -> Any:
            return sparse.structured_dot(sparse.as_sparse_variable(matrix), values[:, None])[:, 0]

        size, orders, apart = self.size[rows], self.orders[rows], self.apart[rows]
        shift = sums(orders, log_rate) / size
        variance = sd**2 + (sums(orders, log_rate**2) - 2 * sums(apart, log_rate)) / size - shift**2
        # One purchase has none; of others it is above rounding, or no purchase differs from another.
        some = pt.and_(pt.as_tensor(size > 1), pt.gt(variance, 1e-14))
        return mean - shift, pt.switch(some, pt.sqrt(pt.switch(some, variance, 1.0)), 0.0)


def read_ledger(customers: xr.Dataset, days: int, unit_days: float, periods: int) -> Ledger:
    """Return the ledger of all these customers, of ``periods`` of so many ``days``, the last ending with observation.

    Purchases of before the first period are taken to be of it.

    Raises InputError where the customers lack what it reads.
    """
    from scipy import sparse

    missing = [name for name in NEEDED if name not in customers]
    if missing:
        raise InputError(
            f"A calendar of spend needs the spend of each repeat purchase, and the customers lack {missing[0]!r}. "
            "Summarise the orders with summarize(..., also=('log_spend', 'purchase_spend'))."
        )
    size = customers["frequency"].to_numpy().astype(np.int64)
    number = customers.sizes[CUSTOMER]
    owner = np.repeat(np.arange(number), size)
    of_times, of_spend = (
        places(customers[name].to_numpy().astype(np.int64), size)
        for name in ("purchase_start", "spend_start")
    )
    ago = np.repeat(customers["T"].to_numpy(), size) - customers["purchase_times"].to_numpy()[of_times]
    period = np.maximum(periods - 1 - np.rint(ago * unit_days).astype(np.int64) // days, 0)
    spend = customers["purchase_spend"].to_numpy()[of_spend]
    paid = spend > 0
    logs = np.log(np.where(paid, spend, 1.0))
    mean = np.bincount(owner, logs, number) / np.maximum(size, 1)
    shape = (number, periods)

    def table(values: np.ndarray) -> Any:
        return sparse.csr_matrix((values, (owner, period)), shape=shape)

    return Ledger(table(np.ones(owner.size)), table(logs - mean[owner]), size.astype(float))
