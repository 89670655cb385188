"""Each customer's purchase times, ragged: one flat array of all customers' ages, and where each customer's begin.

``purchase_times`` (repeat_purchase) holds the ages at all repeat purchase occasions, customer after customer, and
``purchase_start`` (customer) the place of each customer's first: the customer's own are
``purchase_times[start : start + frequency]``. Customers can so be chosen and ordered by ``isel`` while the times stay
where they are. Rejected: a rectangle filled up with NaN, which one customer with a thousand purchases makes a thousand
wide for everyone; and offsets one longer than the customers, which no choice of customers survives.
"""

from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.checks import refuse_rows
from bayes_clv.schema import CUSTOMER, REPEAT_PURCHASE, InputError

PURCHASE_TIMES = "purchase_times"


PURCHASE_START = "purchase_start"


PURCHASE_SPEND, SPEND_START = "purchase_spend", "spend_start"


# How far the last time may lie from recency, relatively, in tables from elsewhere: a rounding of the last digits.
AGREEMENT = 1e-9
# And the mean of the amounts from monetary_value: half a cent of an amount of a hundred thousand.
SPEND_AGREEMENT = 1e-7


_WHAT = "They are the ages at the repeat purchases, in the time unit"


def places(start: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return start[0], start[0] + 1, ..., ``size[0]`` of them, then those of the next: where ragged rows lie."""
    before = np.cumsum(size) - size
    return np.repeat(start - before, size) + np.arange(size.sum())


def with_times(
    dataset: xr.Dataset, times: np.ndarray, size: np.ndarray, spend: np.ndarray | None = None
) -> xr.Dataset:
    """Return the customers with their purchase times, of which each customer has ``size``, in the customers' order.

    Customers without a repeat purchase begin at 0, and those with one where the first such one of that age is, so that
    equal histories are equal numbers. The ``spend`` of these purchases has starts of its own, since it differs where
    ages are equal.
    """
    start = np.where(size > 0, np.cumsum(size) - size, 0)
    if spend is not None:
        dataset = dataset.assign(
            {PURCHASE_SPEND: (REPEAT_PURCHASE, spend), SPEND_START: (CUSTOMER, start.copy())}
        )
    one = size == 1
    _, first, shared = np.unique(times[start[one]], return_index=True, return_inverse=True)
    start[one] = start[one][first[shared]]
    return dataset.assign({PURCHASE_TIMES: (REPEAT_PURCHASE, times), PURCHASE_START: (CUSTOMER, start)})


def with_own_times(customers: xr.Dataset) -> xr.Dataset:
    """Return customers that were chosen among others with their own purchase times alone, where they carry any."""
    if PURCHASE_TIMES not in customers:
        return customers
    size = customers["frequency"].to_numpy().astype(np.int64)
    own = {
        name: customers[name].to_numpy()[places(customers[start].to_numpy(), size)]
        for name, start in ((PURCHASE_TIMES, PURCHASE_START), (PURCHASE_SPEND, SPEND_START))
        if name in customers
    }
    described = {
        name: customers[name].attrs for name in (*own, PURCHASE_START, SPEND_START) if name in customers
    }
    cut = customers.drop_dims(REPEAT_PURCHASE)
    cut = with_times(cut, own[PURCHASE_TIMES], size, own.get(PURCHASE_SPEND))
    for name, attrs in described.items():
        cut[name].attrs = attrs
    return cut


def repeat_days(ids: np.ndarray, first: np.ndarray, rows: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the days since the first occasion at all repeat occasions, the customers in their order, days rising.

    And their spend, where the rows have it.

    Sorted here and not by the engine, which may sort ids by the rules of a language; and a window over each customer's
    days takes the engine twice as long as the first days that are known already.
    """
    import pyarrow as pa

    owner = _owners(ids, rows["customer_id"])
    days = rows["date"].cast(pa.int32()).to_numpy()
    days = days - first.astype("datetime64[D]").astype(np.int32)[owner]
    spend = rows["spend"].to_numpy() if "spend" in rows.column_names else None
    follows = (owner[1:] > owner[:-1]) | ((owner[1:] == owner[:-1]) & (days[1:] > days[:-1]))
    # Days that were found by sorting have their order already.
    if not follows.all():
        width = int(days.max()) + 1
        place = owner.astype(np.int64) * width + days
        if spend is None:
            place.sort()
            days = place % width
        else:
            order = np.argsort(place)
            days, spend = days[order], spend[order]
    repeat = days > 0
    return days[repeat], None if spend is None else spend[repeat]


def _owners(ids: np.ndarray, given: Any) -> np.ndarray:
    """Return where in ``ids``, which are text, each of an Arrow column of ids is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_integer(given.type):
        found: np.ndarray = pc.index_in(
            given.cast(pa.string()), value_set=pa.array(ids, pa.string())
        ).to_numpy()
        return found.astype(np.int32)
    # The text of ten million whole numbers takes two seconds; a customer's days stand together in most tables.
    numbers, own = given.to_numpy(), ids.astype(np.int64)
    start = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
    order = np.argsort(own).astype(np.int32)
    return np.repeat(
        order[np.searchsorted(own, numbers[start], sorter=order)], np.diff(start, append=numbers.size)
    )


def read_lists(column: Any, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the times in a pandas column of lists, one list after the other, and how many each list has."""
    cells = column.tolist()
    lists = _as_lists(cells)
    if lists is None:
        bad = np.array([_as_lists([cell]) is None for cell in cells])
        row = np.flatnonzero(bad)[0]
        raise InputError(
            f"{PURCHASE_TIMES!r} is no list of numbers for {int(bad.sum()):,} of {ids.size:,} customers, for example "
            f"{str(cells[row])[:60]!r} of customer {str(ids[row])!r}. {_WHAT}: a list or array a customer, empty where "
            f"frequency is 0. The text of a CSV file becomes lists by table[{PURCHASE_TIMES!r}].map(json.loads)."
        )
    absent = np.asarray(lists.is_null())
    if absent.any():
        raise InputError(
            f"{PURCHASE_TIMES!r} is missing for {int(absent.sum()):,} of {ids.size:,} customers, for example customer "
            f"{str(ids[absent][0])!r}. A customer without a repeat purchase has an empty list."
        )
    return lists.flatten().to_numpy(zero_copy_only=False), np.diff(lists.offsets.to_numpy())


def _as_lists(cells: list[Any]) -> Any:
    """Return an Arrow array of lists of float64; None where a cell is something else."""
    import pyarrow as pa

    try:
        return pa.array(cells, pa.large_list(pa.float64()), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None


def check_sizes(ids: np.ndarray, size: np.ndarray, frequency: np.ndarray) -> None:
    """Refuse lists of more or fewer times than there are repeat purchases."""
    refuse_rows(
        ids,
        size != frequency,
        PURCHASE_TIMES,
        size,
        "of another number than frequency",
        "Shown is the number of times. There is one for each repeat purchase, and none for the first purchase.",
        beside=("frequency", frequency),
    )


def check_times(
    dataset: xr.Dataset, ids: np.ndarray, frequency: np.ndarray, recency: np.ndarray, age: np.ndarray
) -> None:
    """Refuse purchase times, where customers carry any, that their histories cannot have."""
    start = _starts(dataset, ids, frequency, {PURCHASE_TIMES: REPEAT_PURCHASE, PURCHASE_START: CUSTOMER})
    repeat = frequency > 0
    if start is None or not repeat.any():
        return
    size = frequency[repeat].astype(np.int64)
    own = np.asarray(dataset[PURCHASE_TIMES].to_numpy(), dtype=np.float64)[places(start[repeat], size)]
    begin = np.cumsum(size) - size

    def refuse(bad: np.ndarray, what: str, advice: str, beside: tuple[str, np.ndarray] | None = None) -> None:
        if not bad.any():
            return
        place = np.minimum.reduceat(np.where(bad, np.arange(bad.size), bad.size), begin)
        wrong, shown = np.zeros(ids.size, dtype=bool), np.full(ids.size, np.nan)
        wrong[repeat], shown[repeat] = place < bad.size, own[np.minimum(place, bad.size - 1)]
        refuse_rows(ids, wrong, PURCHASE_TIMES, shown, what, advice, beside)

    refuse(~np.isfinite(own), "missing or infinite", f"{_WHAT}. Correct them, or leave out these customers.")
    refuse(
        own <= 0,
        "0 or negative",
        f"{_WHAT}, which come after the first purchase: leave the first itself, at age 0, out of the times.",
    )
    step = np.diff(own, prepend=0.0)
    step[begin] = own[begin]
    refuse(
        step < 0,
        "unsorted",
        "Each customer's times rise. Sort them: table['purchase_times'].map(sorted).",
    )
    refuse(
        step == 0,
        "twice the same",
        "Orders of one day are one purchase occasion: keep one time, and count it once in frequency.",
    )
    refuse(
        own > np.repeat(age[repeat], size) * (1 + AGREEMENT),
        "above T",
        "Leave out purchases after the end of observation, and give times, recency and T in one unit.",
        beside=("T", age),
    )
    last = np.full(ids.size, np.nan)
    last[repeat] = own[begin + size - 1]
    refuse_rows(
        ids,
        np.abs(last - recency) > AGREEMENT * recency,
        PURCHASE_TIMES,
        last,
        "not the recency at the last purchase",
        "Recency is the age at the last purchase: compute both of the same days, in one unit and in double precision.",
        beside=("recency", recency),
    )


def unpaid(customers: xr.Dataset) -> np.ndarray:
    """Return how many of each customer's repeat purchases were for nothing."""
    size = customers["frequency"].to_numpy().astype(np.int64)
    none = customers[PURCHASE_SPEND].to_numpy()[places(customers[SPEND_START].to_numpy(), size)] == 0
    return np.bincount(np.repeat(np.arange(size.size), size), none, size.size)


def check_spend(dataset: xr.Dataset, ids: np.ndarray, frequency: np.ndarray, mean: np.ndarray) -> None:
    """Refuse amounts of purchases, where customers carry any, that contradict their frequency or ``monetary_value``."""
    # Who reads amounts says that there are none.
    if PURCHASE_SPEND not in dataset:
        return
    start = _starts(dataset, ids, frequency, {PURCHASE_SPEND: REPEAT_PURCHASE, SPEND_START: CUSTOMER})
    repeat = frequency > 0
    if start is None or not repeat.any():
        return
    size = frequency[repeat].astype(np.int64)
    owner = np.repeat(np.arange(size.size), size)
    own = np.asarray(dataset[PURCHASE_SPEND].to_numpy(), dtype=np.float64)[places(start[repeat], size)]
    bad = ~(np.isfinite(own) & (own >= 0))
    wrong, shown = np.zeros(ids.size, dtype=bool), np.full(ids.size, np.nan)
    if bad.any():
        whose = np.flatnonzero(repeat)[owner[bad]]
        wrong[whose], shown[whose] = True, own[bad]
    refuse_rows(
        ids,
        wrong,
        PURCHASE_SPEND,
        shown,
        "negative, missing or infinite",
        "It is what each repeat purchase brought: correct the amounts, or leave out these customers.",
    )
    shown[repeat] = np.bincount(owner, own, int(repeat.sum())) / frequency[repeat]
    refuse_rows(
        ids,
        np.nan_to_num(np.abs(shown - mean)) > SPEND_AGREEMENT * np.nan_to_num(mean),
        PURCHASE_SPEND,
        shown,
        "not of the mean that monetary_value says",
        "Shown is the mean of the amounts. Compute both of the same orders, the amount of a purchase for each of "
        "frequency, or leave the amounts out: customers.drop_vars(['purchase_spend', 'spend_start']).",
        beside=("monetary_value", mean),
    )


def _starts(
    dataset: xr.Dataset, ids: np.ndarray, frequency: np.ndarray, dims: dict[str, str]
) -> np.ndarray | None:
    """Return where each customer's numbers begin, of ``dims`` the second; None where customers carry none."""
    flat, begin = dims
    there = [name for name in dims if name in dataset.data_vars]
    if not there:
        return None
    what = {PURCHASE_TIMES: "times", PURCHASE_SPEND: "amounts"}[flat]
    table = ", or of clv.customers.from_table" if flat == PURCHASE_TIMES else ""
    remedy = (
        f"Both are of summarize(..., also=({flat!r},)){table}: take them from there, or leave the {what} out: "
        f"customers.drop_vars({there!r})."
    )
    if len(there) < len(dims):
        (lacking,) = dims.keys() - set(there)
        raise InputError(
            f"The customers have {there[0]!r} and lack {lacking!r}, so that nobody knows whose "
            f"{what[:-1]} it is. {remedy}"
        )
    for name, dim in dims.items():
        if dataset[name].dims != (dim,):
            shown = ", ".join(map(str, dataset[name].dims))
            raise InputError(f"{name!r} has the dimensions ({shown}) where it has ({dim}). {remedy}")
    start = np.asarray(dataset[begin].to_numpy(), dtype=np.float64)
    room = dataset.sizes[REPEAT_PURCHASE]
    refuse_rows(
        ids,
        ~((start >= 0) & (start + frequency <= room) & (start == np.floor(start))),
        begin,
        start,
        f"no place among the {room:,} purchase {what} from which there are as many as frequency",
        remedy,
        beside=("frequency", frequency),
    )
    return start.astype(np.int64)
