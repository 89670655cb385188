"""Repeat purchases by customer and calendar period, with their spend: what a calendar of spend reads.

Let all customers' spend per purchase be multiplied by g of the period. An amount over its period's g is then an amount
of the family, and the likelihood stays exact: the family's of the amounts so corrected, over g once for each purchase,

    log L = the family's of the amounts over g  -  sum of n_period log g_period.

Of lognormal spend it reads mean and standard deviation of their logs, which follow from sums by customer and period, as
many as the purchases at most: the purchases there, and the sum of their logs about the customer's own mean. Gamma-Gamma
reads their mean, which follows from the sum of the amounts there. Its likelihood without a calendar is the density of
that mean alone, of which none is known where the periods differ: here it is that of every amount, which is the density
of the mean times that of the amounts given it (``SpendLevel.amounts``). p then goes by how single amounts differ too.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.sequences import places
from bayes_clv.families.contract import Family, SpendLevel, need
from bayes_clv.schema import CUSTOMER, REPEAT_PURCHASE, InputError

# The column that says where a customer's purchases are in the ledger.
PAYER = "payer"
NEEDED = ("purchase_times", "purchase_start", "purchase_spend", "spend_start")


@dataclass(frozen=True)
class Ledger:
    """Sparse matrices (customer, period) of the repeat purchases, and what is known of each customer's.

    ``orders`` is how many; ``apart`` their logs about the mean; ``amounts`` money. Of each customer ``size``, its
    repeat purchases, ``unpaid``, those for nothing, and ``log_mean``, the mean log of the others. ``variance`` is that
    of a customer's log spend, pooled. ``spend`` are the customers' flat amounts, of all of them, and ``period`` where
    each lies.
    """

    orders: Any
    apart: Any
    amounts: Any
    size: np.ndarray
    unpaid: np.ndarray
    log_mean: np.ndarray
    variance: float
    spend: np.ndarray
    period: np.ndarray

    def drawn_mean(self, pays: str, rows: np.ndarray, mean: np.ndarray, log_rate: np.ndarray) -> np.ndarray:
        """Return the mean that a family that ``pays`` so reads, of spend over g of ``log_rate`` (draw, period).

        (row, draw) of customers with purchases; ``mean`` (row,) is that of the spend itself.
        """
        size = self.size[rows, None]
        if pays == "gamma":
            found = np.asarray(self.amounts[rows] @ np.exp(-log_rate.T)) / size
        else:
            found = mean[:, None] - np.asarray(self.orders[rows] @ log_rate.T) / size
        return np.asarray(found)

    def drawn_amounts(self, start: np.ndarray, size: np.ndarray, log_rate: np.ndarray) -> np.ndarray:
        """Return the amounts over g of ``log_rate`` (draw, period), (amount, draw), of customers one after the other.

        Each has ``size``, which begin at ``start`` in ``purchase_spend``.
        """
        place = places(start.astype(np.int64), size.astype(np.int64))
        return np.asarray(self.spend[place, None] * np.exp(-log_rate.T[self.period[place]]))

    def take(self, order: np.ndarray) -> "Ledger":
        """Return the ledger of these customers, in this order."""
        names = ("orders", "apart", "amounts", "size", "unpaid", "log_mean")
        return replace(self, **{name: getattr(self, name)[order] for name in names})

    def divided(self, log_rate: Any, rows: np.ndarray) -> tuple[Any, Any]:
        """Return mean, and mean log, of customers' spend over g of ``log_rate`` (period,), tensors (row,)."""
        import pytensor.tensor as pt

        from bayes_clv.distributions.level_operator import row_sums

        mean = row_sums(self.amounts[rows], pt.exp(-log_rate)) / self.size[rows]
        return mean, self.log_mean[rows] - row_sums(self.orders[rows], log_rate) / self.size[rows]

    def corrected(self, log_rate: Any, rows: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> tuple[Any, Any]:
        """Return mean and standard deviation of customers' log spend less ``log_rate`` (period,), tensors (row,).

        ``mean`` and ``sd`` are those of the log spend itself.
        """
        import pytensor.tensor as pt

        from bayes_clv.distributions.level_operator import row_sums

        size, orders, apart = self.size[rows], self.orders[rows], self.apart[rows]
        shift = row_sums(orders, log_rate) / size
        variance = sd**2 + (row_sums(orders, log_rate**2) - 2 * row_sums(apart, log_rate)) / size - shift**2
        # One purchase has none; of others it is above rounding, or no purchase differs from another.
        some = pt.and_(pt.as_tensor(size > 1), pt.gt(variance, 1e-14))
        return mean - shift, pt.switch(some, pt.sqrt(pt.switch(some, variance, 1.0)), 0.0)


def refuse_unpaid(family: Family, unpaid: np.ndarray) -> None:
    """Refuse amounts of nothing where the family has no density of them; ``unpaid`` are each customer's."""
    some = int((unpaid > 0).sum())
    if need(family, SpendLevel).pays == "gamma" and some:
        raise InputError(
            f"{some:,} of {unpaid.size:,} customers have a repeat purchase for nothing, of which "
            f"{family.words.title} has no density, and where spend moves every amount counts. Fit 'lognormal_spend', "
            "which leaves such customers out, or leave them out of customers."
        )


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
    flat = np.zeros(customers.sizes[REPEAT_PURCHASE], dtype=np.int64)
    flat[of_spend] = period
    paid = spend > 0
    logs = np.log(np.where(paid, spend, 1.0))
    known = np.bincount(owner, paid, number)
    mean = np.bincount(owner, logs, number) / np.maximum(known, 1)
    apart = np.where(paid, logs - mean[owner], 0.0)
    freedom = float(np.maximum(known - 1, 0).sum())
    variance = float(apart @ apart) / freedom if freedom > 0 else 0.0
    shape = (number, periods)

    def table(values: np.ndarray) -> Any:
        return sparse.csr_matrix((values, (owner, period)), shape=shape)

    return Ledger(
        orders=table(np.ones(owner.size)),
        apart=table(apart),
        amounts=table(spend),
        size=size.astype(float),
        unpaid=size - known,
        log_mean=mean,
        variance=variance if variance > 0 else 1.0,
        spend=customers["purchase_spend"].to_numpy().astype(float),
        period=flat,
    )
