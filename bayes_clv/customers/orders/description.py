"""What a user says of an order log: what its columns are called, how its text is written, which rows count."""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, get_args

from bayes_clv.conditions import RowTest, row_tests
from bayes_clv.customers.orders.dates import DateFormat, SerialDays, UnixDays, read_format
from bayes_clv.schema import InputError, argument

OnReturns = Literal["net", "drop", "refuse"]
Which = Literal["one", "first", "last", "most frequent"]


class Further(TypedDict, total=False):
    """What ``summarize`` may be told of a log beside id, date and spend, for whoever hands it on."""

    quantity: str | None
    price: str | None
    order_id: str | None
    item: str | None
    where: str | None
    date_format: str | None
    decimal: Literal[",", "."] | None
    encoding: str | None
    on_returns: OnReturns | None


@dataclass(frozen=True)
class Reading:
    """The roles of columns and how their text is written, as ``summarize`` is told them.

    ``spend`` is None for a log without amounts; with ``quantity`` and ``price`` it is their product. ``take`` says of
    further columns which of an order's values a customer has.
    """

    customer_id: str = "customer_id"
    date: str = "date"
    spend: str | None = "spend"
    quantity: str | None = None
    price: str | None = None
    order_id: str | None = None
    item: str | None = None
    where: str | None = None
    date_format: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    on_returns: str | None = None
    take: Any = ()
    tests: tuple[RowTest, ...] = field(init=False)
    format: DateFormat | SerialDays | UnixDays | None = field(init=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, and read what is text."""
        self._check_names()
        if self.quantity is not None:
            object.__setattr__(self, "spend", None)
        if self.decimal not in (None, ",", "."):
            raise InputError(
                f"{argument('decimal', self.decimal)} is not known. Say ',' for amounts such as 1.234,50 and '.' for "
                "1,234.50."
            )
        if self.encoding is not None:
            object.__setattr__(self, "encoding", _encoding(self.encoding))
        if self.on_returns is not None and self.on_returns not in get_args(OnReturns):
            raise InputError(
                f"{argument('on_returns', self.on_returns)} is not known. Use 'net' (set against what was bought), "
                "'drop' or 'refuse'."
            )
        tests = () if self.where is None else tuple(row_tests(self.where, argument("where")))
        object.__setattr__(self, "tests", tests)
        object.__setattr__(
            self, "format", None if self.date_format is None else read_format(self.date_format)
        )
        object.__setattr__(self, "take", _taken(self.take))

    def _check_names(self) -> None:
        if (self.quantity is None) != (self.price is None):
            alone, other = ("quantity", "price") if self.price is None else ("price", "quantity")
            raise InputError(
                f"{argument(alone, getattr(self, alone))} needs {argument(other)} beside it: spend is their "
                "product. Where "
                f"the amount stands in one column, name that with {argument('spend')}."
            )
        if self.quantity is not None and self.spend not in (None, "spend"):
            raise InputError(
                f"The amount is named twice: {argument('spend', self.spend)}, and "
                f"{argument('quantity', self.quantity)} "
                f"times {argument('price', self.price)}. Leave one out."
            )
        for role, name in self.named().items():
            if not isinstance(name, str):
                raise InputError(
                    f"{argument(role, name)} is no name of a column, which is text. Columns that are called by numbers "
                    "get names with orders.columns = orders.columns.astype(str)."
                )
        names = list(self.named().values())
        if len(set(names)) < len(names):
            raise InputError(
                f"One column is named for two purposes: {names}. Name a column of its own for each."
            )

    @property
    def priced(self) -> bool:
        """Return whether there are amounts."""
        return self.spend is not None or self.quantity is not None

    @property
    def noun(self) -> str:
        """Return what a row is."""
        return "Orders" if self.order_id is None else "Lines of orders"

    def named(self) -> dict[str, Any]:
        """Return the column of each role in use."""
        amount = (
            {"spend": self.spend}
            if self.quantity is None
            else {"quantity": self.quantity, "price": self.price}
        )
        roles = {"customer_id": self.customer_id, "date": self.date, **amount}
        needed = ("customer_id", "date")
        roles |= {"order_id": self.order_id, "item": self.item}
        return {role: name for role, name in roles.items() if name is not None or role in needed}

    def columns(self) -> dict[str, str]:
        """Return the column of every role, those of conditions and those to take along among them."""
        tested = list(dict.fromkeys(test.column for test in self.tests))
        return {
            **self.named(),
            **{f"tested_{place}": name for place, name in enumerate(tested)},
            **{f"taken_{place}": name for place, name in enumerate(self.take)},
        }

    def role_of_test(self, test: RowTest) -> str:
        """Return the role of the column that a condition reads."""
        tested = list(dict.fromkeys(each.column for each in self.tests))
        return f"tested_{tested.index(test.column)}"

    def shown(self, role: str) -> str:
        """Return what a role's column is called in messages."""
        if role == "spend" and self.quantity is not None:
            return f"{self.quantity} × {self.price}"
        return str(self.columns()[role])


def _encoding(name: Any) -> str:
    """Return an encoding of text as Python calls it."""
    try:
        # Of bytes and text: others, such as rot13, make text of text.
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, TypeError, ValueError):
        raise InputError(
            f"{argument('encoding', name)} is not known. Say how the text of the file is written, such as "
            "'windows-1252' (Western Europe), 'windows-1250' (Central Europe), 'windows-1251' (Cyrillic), 'gb18030', "
            "'shift_jis' or 'utf-8'."
        ) from None


def _taken(take: Any) -> dict[str, str]:
    """Return which value of each further column a customer gets."""
    if isinstance(take, str):
        take = [take]
    if isinstance(take, Mapping):
        found = {name: "one" if which is None else which for name, which in take.items()}
    elif isinstance(take, Sequence):
        found = dict.fromkeys(take, "one")
    else:
        raise InputError(
            f"{argument('take', take)} names no columns. Write it like {argument('take', {'channel': 'first'})}."
        )
    for name, which in found.items():
        if not isinstance(name, str) or which not in get_args(Which):
            raise InputError(
                f"{argument('take', {name: which})} does not say which of a customer's values of {name!r} counts. Use "
                f"one of {', '.join(map(repr, get_args(Which)))}; 'one' says that there is only one."
            )
    return found
