"""What customers are worth, in money, over a stated horizon: ``clv.predict`` with a spending posterior."""

from typing import Any

import xarray as xr

from bayes_clv.predictions.forecasts import predict


def predict_value(
    buying: xr.DataTree,
    spending: xr.DataTree,
    customers: xr.Dataset,
    *,
    horizon: str | float = "52 weeks",
    **asked: Any,
) -> xr.Dataset:
    """Return ``clv.predict(buying, customers, horizon, spending=spending, ...)``.

    Examples
    --------
    >>> value = predict_value(
    ...     buying, spending, customers, horizon="52 weeks", margin=0.3, annual_discount_rate=0.10, seed=1
    ... )
    """
    return predict(buying, customers, horizon, spending=spending, **asked)
