"""What customers spend an order against their age: what they paid, and the trend that a fit has learned."""

import numpy as np
import xarray as xr

from bayes_clv.customers.sequences import PURCHASE_SPEND, places
from bayes_clv.language import say
from bayes_clv.schema import QUANTILES, UNSTATED, InputError, quantiles
from bayes_clv.units import in_plural
from bayes_clv.views import style

AGE = "age_class"
CLASSES, LEAST = 8, 30
# 90 % of a Normal.
Z = 1.645


def spend_by_age(customers: xr.Dataset, spending: xr.DataTree | None = None) -> xr.Dataset:
    """Return what orders brought over the mean of their own customer, by the customer's age.

    Parameters
    ----------
    customers : xarray.Dataset
        Of ``summarize(..., also=("purchase_spend",))``. Read are the repeat purchases of those with two or more that
        were paid.
    spending : xarray.DataTree, optional
        A posterior with a trend (``fit(..., trend=True)``).

    Returns
    -------
    xarray.Dataset
        Over ``age_class``, of equally many purchases: ``age`` (mean, time units), ``orders``, ``factor``, the geometric
        mean of an amount over those of its customer, and its 90 % interval ``low`` and ``high``; with ``spending``
        ``fitted`` (quantile, age_class), the same of the trend.

    Raises
    ------
    InputError
        Customers without the spend of purchases, or too few of these; a posterior without a trend.
    """
    if PURCHASE_SPEND not in customers:
        raise InputError(
            "Spend against age is read off the spend of each purchase, and the customers lack 'purchase_spend'. "
            "Summarise the orders with summarize(..., also=('purchase_spend',))."
        )
    if spending is not None and "growth" not in spending["posterior"]:
        raise InputError("The spending posterior has no trend. Fit it with trend=True, or leave it out.")
    size = customers["frequency"].to_numpy().astype(np.int64)
    owner = np.repeat(np.arange(size.size), size)
    spend, age = (
        customers[name].to_numpy()[places(customers[start].to_numpy(), size)]
        for name, start in ((PURCHASE_SPEND, "spend_start"), ("purchase_times", "purchase_start"))
    )
    used = (spend > 0) & (np.bincount(owner, spend > 0, size.size)[owner] > 1)
    classes = min(CLASSES, int(used.sum()) // LEAST)
    if classes < 2:
        raise InputError(
            f"{int(used.sum())} repeat purchases are of customers with two paid ones or more; {2 * LEAST} make two "
            "classes of age, the least. Observe more, or more customers."
        )
    owner, age, logs = owner[used], age[used], np.log(spend[used])
    many = np.bincount(owner, minlength=size.size)

    def apart(values: np.ndarray) -> np.ndarray:
        return np.asarray(values - (np.bincount(owner, values, size.size) / np.maximum(many, 1))[owner])

    edges = np.quantile(age, np.arange(1, classes) / classes)
    place = np.searchsorted(edges, age)
    count = np.bincount(place, minlength=classes)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(place, values, classes) / count

    own = apart(logs)
    # Of the variance within a customer, of which one degree of freedom goes to its own mean.
    error = np.sqrt((own @ own) / (own.size - (many > 0).sum()) * mean(1 - 1 / many[owner]) / count)
    found = xr.Dataset(
        {
            "age": (AGE, mean(age)),
            "orders": (AGE, count),
            "factor": (AGE, np.exp(mean(own))),
            "low": (AGE, np.exp(mean(own) - Z * error)),
            "high": (AGE, np.exp(mean(own) + Z * error)),
        },
        attrs={"time_unit": str(customers.attrs.get("time_unit", UNSTATED))},
    )
    if spending is not None:
        posterior = spending["posterior"]
        span = float(posterior["span"].to_numpy().ravel()[0])
        b = mean(apart(np.minimum(age, span) / span))
        trend = posterior["growth"].to_numpy().reshape(-1, 1) ** b
        found["fitted"] = (("quantile", AGE), quantiles(trend, QUANTILES, axis=0))
        found = found.assign_coords(quantile=list(QUANTILES))
    return found


def plot_spend_by_age(customers: xr.Dataset, spending: xr.DataTree | None = None) -> style.Drawing:
    """Plot what orders brought over the mean of their own customer, by the customer's age, with the fit's trend.

    Parameters
    ----------
    customers, spending
        As in ``spend_by_age``.

    Returns
    -------
    matplotlib.figure.Figure
        One panel: 90 % intervals of the classes; the trend's band holds 90 %. Expected level.
    """
    found = spend_by_age(customers, spending)
    age, unit = found["age"].to_numpy(), str(found.attrs["time_unit"])
    factor, low, high = (found[name].to_numpy() for name in ("factor", "low", "high"))
    with style.styled():
        figure = style.drawing(3.0)
        axes = figure.subplots()
        if "fitted" in found:
            q05, _, q50, _, q95 = found["fitted"].to_numpy()
            axes.fill_between(
                age, q05, q95, color=style.SKY, alpha=0.4, linewidth=0, label=say("trend, 90 %")
            )
            axes.plot(age, q50, color=style.BLUE, linewidth=1.2)
        axes.errorbar(
            age,
            factor,
            [factor - low, high - factor],
            fmt="o",
            color=style.ORANGE,
            markersize=4,
            label=say("orders, 90 %"),
        )
        axes.axhline(1.0, color=style.MUTED, linewidth=0.8)
        axes.set_ylabel(say("spend / the customer's own mean"))
        axes.set_xlabel(
            say("age of the customer")
            if unit == UNSTATED
            else say("age of the customer, {units}", units=say(in_plural(unit)))
        )
        axes.legend(loc="upper left", ncols=2)
        note = say(
            "Each order over the mean of its own customer, so that who leaves and who stays does not matter"
        )
        style.heading(axes, say("Spend against age"), note)
    return figure
