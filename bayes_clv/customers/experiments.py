"""The door for an experiment: who was contacted, who was not, and what each then brought.

An experiment is a table of customers in arms, drawn by chance: the treated were contacted (a mailing, a win-back
offer, a discount), with one offer or with one of several, the controls were not. All are followed for the same time,
and the outcome is the money that each brought in it, 0 where nothing was bought. Without controls nobody knows what the
treated would have brought anyway, so such a table is refused, and so is a segment that lacks an arm.

Whether the arms were drawn by chance cannot be seen from the outcome. What can be seen, the share treated by segment
and columns that were known before (``balance``), stands in the audit with the probability of so large a difference by
chance.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_clv.customers.checks import (
    as_numbers,
    check_ids,
    check_numbers,
    customer_ids,
    id_order,
    refuse_rows,
)
from bayes_clv.customers.columns import as_labels, check_name, plain_values
from bayes_clv.customers.orders.log import check_columns
from bayes_clv.customers.orders.tables import check_twice
from bayes_clv.language import say
from bayes_clv.schema import CUSTOMER, InputError, argument

if TYPE_CHECKING:
    import pandas as pd

ARMS = ("control", "treated")
# The segment of everybody, where no column of segments is named.
EVERYBODY = "all"
# Below this probability a difference between the arms is said to be no accident: one honest experiment in a hundred.
UNLIKELY = 0.01
# A column with more labels than that is hardly one of offers.
MOST_ARMS = 30
_MEANINGS = {
    "treated": ("1 for who was drawn to be contacted, 0 for controls", "0 or 1"),
    "arm": ("what chance decided: the offer, or that of the controls", "id"),
    "outcome": ("money brought since the draw, 0 where nothing was bought", "money"),
    "segment": ("segment, known before the experiment", "id"),
}
_SEVERAL = "Where it names several offers, say which label the controls have (control)."
_TREATED_WORDS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "false": 0.0, "true": 1.0}


def from_experiment(
    table: "pd.DataFrame | str | Path",
    *,
    customer_id: str = "customer_id",
    treated: str = "treated",
    outcome: str = "outcome",
    segment: str | None = None,
    balance: Sequence[str] = (),
    control: str | None = None,
) -> xr.Dataset:
    """Return the experiment Dataset for a table with one row per customer.

    Parameters
    ----------
    table
        A pandas DataFrame, or the path of a CSV or Parquet file.
    customer_id, treated, outcome
        Columns: the id; 1 or True for who was drawn to be contacted, 0 or False for who was not (also where a contact
        then failed: the arm is what chance decided); and the money brought since, over the same time for all, 0 where
        nothing was bought. An outcome of 0 and 1 says only whether something was bought.
    segment
        Column of labels, known before the experiment, over which the response may differ. All are one segment where
        it is left out.
    balance
        Columns of numbers known before the experiment (earlier spend, age). The arms are compared on them, within
        segments, and the comparison stands in the audit; they are not kept.
    control
        Of several offers: the label of the controls in the column ``treated``, whose other labels are then the offers.

    Returns
    -------
    xarray.Dataset
        Dimension ``customer`` (ids as text, sorted): ``treated`` (0 or 1), ``arm`` (text: "control" or
        "treated", or as the column has it), ``outcome`` (money) and ``segment`` (text).
        ``attrs["audit"]`` is a JSON list of ``what``, ``rows``, ``example`` and ``action``, as that of ``summarize``.

    Raises
    ------
    InputError
        Missing columns, ids that are missing or come twice, a ``treated`` that is neither 0 nor 1, an outcome that is
        missing, infinite or negative, no controls or nobody treated, segments that lack an arm, and a ``control``
        that nobody has.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"customer_id": ["a", "b", "c", "d"], "treated": [1, 1, 0, 0], "outcome": [20, 0, 0, 15]})
    >>> from_experiment(table)["treated"].to_numpy().tolist()
    [1, 1, 0, 0]
    >>> table["offer"] = ["mail", "call", "none", "none"]
    >>> arms_of(from_experiment(table, treated="offer", control="none"))
    ['none', 'call', 'mail']
    """
    columns = [customer_id, treated, outcome, *([] if segment is None else [segment]), *balance]
    if len(set(columns)) < len(columns):
        raise InputError(
            f"One column is named for two purposes: {columns}. Name a column of its own for each."
        )
    frame = read_table(table, columns)
    ids = customer_ids(frame[customer_id])
    order = id_order(ids)
    if control is None:
        arm = _arm(frame[treated], treated, ids)
        names = np.array(ARMS, dtype=object)[(arm == 1).astype(int)]
    else:
        names = _offers(frame[treated], treated, ids, control)
        arm = (names != str(control)).astype(float)
    money = as_numbers(frame[outcome], outcome)
    if segment is None:
        labels = np.full(ids.size, EVERYBODY, dtype=object)
    else:
        labels = segment_labels(frame[segment], segment, ids)
    dataset = xr.Dataset(
        {
            "treated": (CUSTOMER, arm[order]),
            "arm": (CUSTOMER, names[order]),
            "outcome": (CUSTOMER, money[order]),
            "segment": (CUSTOMER, labels[order]),
        },
        {CUSTOMER: ids[order]},
    )
    check_experiment(dataset)
    dataset["treated"] = dataset["treated"].astype(np.int64)
    known = {name: as_numbers(frame[name], name)[order] for name in balance}
    dataset.attrs["audit"] = json.dumps(_audit(dataset, known), ensure_ascii=False)
    for name, (text, units) in _MEANINGS.items():
        dataset[name].attrs = {"long_name": text, "units": units}
    return dataset


def check_experiment(dataset: xr.Dataset) -> xr.Dataset:
    """Return the experiment if something can be learned from it; raise InputError otherwise.

    Checked are ``treated`` (0 or 1, both arms there), ``outcome`` (finite, not negative) and ``segment`` (text, both
    arms in each), one row per customer.

    Raises
    ------
    InputError
        Naming the variable, the number of customers or segments, one of them, and what to do.
    """
    ids = check_ids(dataset, "clv.customers.from_experiment(table)")
    check_columns(
        [str(name) for name in dataset.data_vars], ("treated", "outcome", "segment"), "the experiment"
    )
    arm = np.asarray(dataset["treated"].to_numpy(), dtype=float)
    money = np.asarray(dataset["outcome"].to_numpy(), dtype=float)
    refuse_rows(
        ids,
        ~np.isin(arm, (0, 1)),
        "treated",
        arm,
        "neither 0 nor 1",
        f"It is 1 for who was drawn to be contacted and 0 for the controls. {_SEVERAL}",
    )
    check_numbers(
        ids,
        "outcome",
        money,
        why="It is the money that a customer brought after the draw: 0 where nothing was bought, returns netted "
        "against what they return.",
    )
    labels = np.asarray(dataset["segment"].to_numpy(), dtype=object)
    for value, name, what in ((0, "controls", "would have brought anyway"), (1, "treated", "would bring")):
        if not (arm == value).any():
            raise InputError(
                f"The experiment has no {name} (treated is {1 - value} for all {arm.size:,} customers), so that nobody "
                f"knows what customers {what if value else f'who were contacted {what}'}. Add the customers of the "
                "other arm, drawn by chance from the same population; a comparison with others is no experiment."
            )
    names, index = np.unique(labels.astype(str), return_inverse=True)
    arms = arms_of(dataset)
    own = dataset["arm"].to_numpy().astype(str) if "arm" in dataset else np.array(ARMS)[arm.astype(int)]
    for name in arms:
        count = np.bincount(index[own == name], minlength=names.size)
        alone = np.flatnonzero(count == 0)
        if alone.size:
            without = {arms[0]: "treated customers only"} | (
                {arms[1]: "controls only"} if len(arms) == 2 else {}
            )
            raise InputError(
                f"{alone.size:,} of {names.size:,} segments ha{'s' if alone.size == 1 else 've'} "
                f"{without.get(name, f'no customer with {name!r}')}, for example "
                f"{str(names[alone[0]])!r} with {int((index == alone[0]).sum()):,}. Merge such a segment with one like "
                "it, or leave it out: predict_uplift takes segments that the experiment did not have."
            )
    return dataset


def arms_of(experiment: xr.Dataset) -> list[str]:
    """Return the experiment's arms, that of the controls first; raise InputError where it is not one."""
    if "arm" not in experiment:
        return list(ARMS)
    own = experiment["arm"].to_numpy().astype(str)
    contacted = experiment["treated"].to_numpy().astype(float) == 1
    controls, offers = np.unique(own[~contacted]).tolist(), np.unique(own[contacted]).tolist()
    both = sorted(set(controls) & set(offers))
    if both or len(controls) > 1:
        raise InputError(
            f"The experiment's controls (treated is 0) are {', '.join(map(repr, controls))} by 'arm', and its treated "
            f"{', '.join(map(repr, offers))}. The controls are one arm, which no treated customer is in."
        )
    return [*controls, *offers]


def segment_labels(column: Any, name: str, ids: np.ndarray, what: str = "Segment column") -> np.ndarray:
    """Return a pandas column of labels as text, whole numbers without a decimal point; missing ones are refused."""
    if name != "segment":
        check_name(name)
    values = plain_values(column)
    if values.dtype.kind in "mM":
        raise InputError(f"{what} {name!r} holds dates. Make it a label (the month, as text) first.")
    if values.dtype.kind == "b":
        return values.astype(str).astype(object)
    missing = np.array([v is None or v == "" or bool(v != v) for v in values.tolist()])
    if missing.any():
        raise InputError(
            f"{what} {name!r} is missing for {int(missing.sum()):,} of {missing.size:,} customers, for example "
            f"customer {str(ids[np.flatnonzero(missing)[0]])!r}. Give them a label, such as 'unknown', or leave them "
            "out."
        )
    return as_labels(values)


def read_table(table: Any, wanted: Sequence[str]) -> "pd.DataFrame":
    """Return the wanted columns of a DataFrame, or of a CSV (as text) or Parquet file."""
    import pandas as pd

    if isinstance(table, str | Path):
        import duckdb
        import ibis

        from bayes_clv.customers.orders import files

        path = Path(table).expanduser()
        opened, names = files.open_file(ibis.duckdb.connect(), path, wanted)
        check_twice(names, wanted, repr(path.name))
        check_columns(names, wanted, repr(path.name))
        try:
            columns = opened.select(**{f"c{i}": opened[names.index(name)] for i, name in enumerate(wanted)})
            found: pd.DataFrame = columns.to_pyarrow().to_pandas()
            return found.set_axis(list(wanted), axis=1)
        except duckdb.Error as error:
            raise files.unreadable(path, error) from None
    if not isinstance(table, pd.DataFrame):
        raise InputError(
            f"A table of customers is a pandas DataFrame or the path of a file, not {type(table).__name__!r}."
        )
    names = list(table.columns)
    if "customer_id" in wanted and "customer_id" not in names and not isinstance(table.index, pd.MultiIndex):
        table = table.assign(customer_id=table.index)
        names = list(table.columns)
    check_columns(names, wanted, "the table")
    for name in wanted:
        if names.count(name) > 1:
            raise InputError(
                f"The table has {names.count(name)} columns called {name!r}. Rename all but one."
            )
    if len(table) == 0:
        raise InputError("The table has no rows. Check how it was selected.")
    frame: pd.DataFrame = table
    return frame


def _arm(column: Any, name: str, ids: np.ndarray) -> np.ndarray:
    """Return the column as 0.0 and 1.0; words other than true and false, and gaps, are refused."""
    found = []
    for value in column.tolist():
        text = str(value).strip().lower()
        found.append(_TREATED_WORDS.get(text, np.nan))
    arm = np.array(found)
    odd = np.isnan(arm)
    if odd.any():
        values = column.tolist()
        row = int(np.flatnonzero(odd)[0])
        raise InputError(
            f"Column {name!r} is neither 0 nor 1 for {int(odd.sum()):,} of {odd.size:,} customers, for example "
            f"customer {str(ids[row])!r} with {values[row]!r}. It is 1 for who was drawn to be contacted and 0 for the "
            f"controls. {_SEVERAL}"
        )
    return arm


def _offers(column: Any, name: str, ids: np.ndarray, control: str) -> np.ndarray:
    """Return the labels of the arms; one of the controls that nobody has is refused."""
    labels = segment_labels(column, name, ids, what="Column")
    found = np.unique(labels.astype(str)).tolist()
    if str(control) not in found:
        shown = ", ".join(map(repr, found[:10])) + (", …" if len(found) > 10 else "")
        raise InputError(
            f"{argument('control', control)}: nobody has it in the column {name!r}, so that there are no controls. "
            f"There are {shown}. Without controls nobody knows what customers would have brought anyway."
        )
    if len(found) > MOST_ARMS:
        raise InputError(
            f"Column {name!r} has {len(found):,} labels, more than {MOST_ARMS} arms. Is it the column of offers?"
        )
    return labels


def _audit(dataset: xr.Dataset, known: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return what was read, and how the arms compare on what was known before."""
    from scipy.stats import chi2, norm

    arms = arms_of(dataset)
    plain = arms == list(ARMS)
    own = np.array([arms.index(str(each)) for each in dataset["arm"].to_numpy()])
    names, index = np.unique(dataset["segment"].to_numpy().astype(str), return_inverse=True)
    # Customers by arm and segment.
    cells = np.bincount(own * names.size + index, minlength=len(arms) * names.size).reshape(len(arms), -1)
    size, people = cells.sum(axis=0).astype(float), cells.sum(axis=1)
    offered = [
        f"{n:,} {'treated' if plain else f'offered {arm!r}'}" for n, arm in zip(people, arms, strict=True)
    ]
    lines = [
        _line("read", f"Customers of the experiment: {', '.join(offered[1:])}, {people[0]:,} controls, in "
              f"{names.size:,} segment{'s' * (names.size > 1)}.", own.size),
        _line("kept", "All of them.", own.size),
    ]  # fmt: skip
    if names.size > 1:
        overall = people / own.size
        expected = overall[:, None] * size
        probability = float(
            chi2.sf(((cells - expected) ** 2 / expected).sum(), (names.size - 1) * (len(arms) - 1))
        )
        share = 1 - cells[0] / size
        most = int(np.argmax(np.abs(share - share @ size / own.size) * np.sqrt(size)))
        told = {"share": f"{1 - overall[0]:.1%}", "low": f"{share.min():.1%}", "high": f"{share.max():.1%}"}
        told["probability"] = f"{probability:.2g}"
        what = (
            say(
                "Randomisation: {share} treated over all, {low} to {high} by segment; one coin for all would differ so "
                "much with probability {probability}.",
                **told,
            )
            if plain
            else say(
                "Randomisation: {share} with an offer over all, {low} to {high} by segment; one draw for all would "
                "differ so much with probability {probability}.",
                **told,
            )
        )
        if probability < UNLIKELY:
            right = say(
                "Right if each segment had a coin of its own; otherwise find out why before using the result."
            )
            what = f"{what} {right}"
        lines.append(_line("note", what, int(size[most]), str(names[most])))
    for name, values in known.items():
        for number, arm in enumerate(arms[1:], 1):
            both = (own == 0) | (own == number)
            difference, error, spread = _difference_within(values[both], own[both] > 0, index[both])
            probability = float(2 * norm.sf(abs(difference) / error)) if error > 0 else 1.0
            what = (
                f"Balance of {name!r}: {arm if plain else repr(arm)} less controls "
                f"{difference / spread if spread > 0 else 0.0:+.3f} standard "
                f"deviations within segments; chance alone differs so much with probability {probability:.2g}."
            )
            if probability < UNLIKELY:
                what += " Find out why before using the result: the arms may not have been drawn by chance."
            lines.append(_line("note", what, int(np.isfinite(values[both]).sum())))
    return lines


def _difference_within(values: np.ndarray, arm: np.ndarray, index: np.ndarray) -> tuple[float, float, float]:
    """Return treated less controls, averaged over segments by size, its standard error and the pooled sd."""
    known = np.isfinite(values)
    values, arm, index = values[known], arm[known], index[known]
    total, difference, variance, within, freedom = 0.0, 0.0, 0.0, 0.0, 0
    for one in np.unique(index):
        treated, control = (values[(index == one) & (arm == a)] for a in (1, 0))
        if min(treated.size, control.size) < 2:
            continue
        weight = float(treated.size + control.size)
        spread = [float(each.var(ddof=1)) for each in (treated, control)]
        total += weight
        difference += weight * float(treated.mean() - control.mean())
        variance += weight**2 * (spread[0] / treated.size + spread[1] / control.size)
        within += spread[0] * (treated.size - 1) + spread[1] * (control.size - 1)
        freedom += treated.size + control.size - 2
    if total == 0:
        return 0.0, 0.0, 0.0
    return difference / total, float(np.sqrt(variance)) / total, float(np.sqrt(within / freedom))


def _line(action: str, what: str, rows: int, example: str = "") -> dict[str, Any]:
    return {"what": what, "rows": int(rows), "example": example, "action": action}
