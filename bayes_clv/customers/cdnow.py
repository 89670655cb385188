"""The CDNOW sample: the order log on which the field's papers report their numbers."""

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load_cdnow() -> "pd.DataFrame":
    """Return the 1/10 sample of CDNOW orders used by Fader, Hardie & Lee (2005).

    2,357 customers of an online music shop who bought for the first time in January to March 1997, and
    their 6,919 orders until 30 June 1998. Provenance and checksum: ``data/README.md`` beside this module.

    Returns
    -------
    pandas.DataFrame
        One row per order: ``customer_id`` (text, "0001" to "2357"), ``date`` (day), ``quantity`` (CDs),
        ``spend`` (US dollars).

    Examples
    --------
    >>> orders = load_cdnow()
    >>> len(orders), orders["customer_id"].nunique()
    (6919, 2357)
    """
    import pandas as pd

    with as_file(files("bayes_clv.customers") / "data" / "cdnow_sample.csv.gz") as path:
        return pd.read_csv(path, dtype={"customer_id": "str"}, parse_dates=["date"])
