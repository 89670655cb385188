"""How spend moves with a customer's age, the number of its order, and the month: sums that any engine can run.

All are of logarithms of the repeat occasions' spend, less each customer's own mean, so that customers who spend more or
stay longer make no trend; customers with one such occasion say nothing. Within a customer age and calendar run
together: a slope by age is one by time as well.
"""

from typing import Any

AGE, ORDER_NUMBER = "age", "order_number"
TRENDS = (AGE, ORDER_NUMBER)
_DAYS = 365.25
# Products of logarithms and years, and their squares over a base: sums that do not depend on an engine's order.
_SINGLE, _SUM = "decimal(18,6)", "decimal(38,12)"


def _paid_repeats(occasions: Any, until: Any) -> Any:
    """Return the paid repeat occasions to ``until``: ``y`` the log of spend, ``age`` in years, ``order_number``.

    The latter is log2 of the number among the customer's occasions, the first of all being 1.
    """
    import ibis

    seen = occasions.filter(occasions.date <= ibis.literal(until))
    own = ibis.window(group_by="customer_id", order_by="date")
    numbered = seen.mutate(
        number=ibis.row_number().over(own), first=seen.date.min().over(ibis.window(group_by="customer_id"))
    )
    paid = numbered.filter((numbered.number > 0) & (numbered.spend > 0))
    age = paid.date.delta(paid["first"], unit="day").cast("float64") / _DAYS
    return paid.select(
        paid.customer_id,
        paid.date,
        y=paid.spend.cast("float64").ln().cast(_SINGLE),
        age=age.cast(_SINGLE),
        order_number=(paid.number.cast("float64") + 1.0).log2().cast(_SINGLE),
    )


def trend_rows(occasions: Any, until: Any) -> Any:
    """Return one row with the sums behind each trend of ``TRENDS``, ``age_xy`` and the like.

    Over customers: ``n`` occasions, ``x`` the covariate's sum, ``xx`` and ``xy`` sums of squares and products about the
    customer's own means, and of these the sums of ``xy`` squared, ``xy`` times ``xx`` and ``xx`` squared.
    """
    paid = _paid_repeats(occasions, until)

    def exact(product: Any) -> Any:
        return product.cast("decimal(24,12)").sum().cast("float64")

    of_customer = paid.group_by("customer_id").agg(
        n=paid.count(),
        y=paid.y.sum().cast("float64"),
        **{name: paid[name].sum().cast("float64") for name in TRENDS},
        **{f"{name}_2": exact(paid[name] * paid[name]) for name in TRENDS},
        **{f"{name}_y": exact(paid[name] * paid.y) for name in TRENDS},
    )
    about = of_customer.filter(of_customer.n > 1)
    squares = {
        f"{name}_{end}": about[f"{name}_{by}"] - about[name] * about[other] / about.n
        for name in TRENDS
        for end, by, other in (("xx", "2", name), ("xy", "y", "y"))
    }
    each = about.mutate(**squares)

    def total(column: Any) -> Any:
        return column.cast(_SUM).sum().fill_null(0).cast("float64")

    sums = {"n": each.n.sum().fill_null(0), "customers": each.count()}
    for name in TRENDS:
        xx, xy = each[f"{name}_xx"], each[f"{name}_xy"]
        sums |= {
            f"{name}_x": total(each[name]),
            f"{name}_xx": total(xx),
            f"{name}_xy": total(xy),
            f"{name}_xyxy": total(xy * xy),
            f"{name}_xyxx": total(xy * xx),
            f"{name}_xxxx": total(xx * xx),
        }
    return each.agg(**sums)


def month_rows(occasions: Any, until: Any) -> Any:
    """Return of each month: ``n`` occasions, ``d`` the sum of their logs less the customer's mean, and ``dd``.

    ``dd`` is the sum over customers of the squares of theirs.
    """
    import ibis

    paid = _paid_repeats(occasions, until)
    own = ibis.window(group_by="customer_id")
    apart = paid.mutate(
        mean=paid.y.sum().over(own).cast("float64") / paid.y.count().over(own), size=paid.y.count().over(own)
    )
    apart = apart.filter(apart["size"] > 1)
    apart = apart.mutate(
        month=apart.date.truncate("M"), d=(apart.y.cast("float64") - apart["mean"]).cast("decimal(18,9)")
    )
    of_both = apart.group_by("customer_id", "month").agg(n=apart.count(), d=apart.d.sum().cast("float64"))
    return of_both.group_by("month").agg(
        n=of_both.n.sum(),
        d=of_both.d.cast(_SUM).sum().cast("float64"),
        dd=(of_both.d * of_both.d).cast(_SUM).sum().cast("float64"),
    )
