"""The families by name; those of the package are imported on first use, others are registered."""

from importlib import import_module
from typing import get_args

from bayes_clv.families.contract import Family, Kind
from bayes_clv.schema import InputError, argument

FAMILIES = {
    "bg_nbd": "bayes_clv.families.purchases.bg_nbd",
    "mbg_nbd": "bayes_clv.families.purchases.mbg_nbd",
    "bg_cnbd_k": "bayes_clv.families.purchases.bg_cnbd_k",
    "mbg_cnbd_k": "bayes_clv.families.purchases.mbg_cnbd_k",
    "nbd": "bayes_clv.families.purchases.nbd",
    "pareto_nbd": "bayes_clv.families.purchases.pareto_nbd",
    "pareto_abe": "bayes_clv.families.purchases.pareto_abe",
    "pareto_ggg": "bayes_clv.families.purchases.pareto_ggg",
    "gamma_gamma": "bayes_clv.families.spend.gamma_gamma",
    "lognormal_spend": "bayes_clv.families.spend.lognormal_spend",
    "bg_bb": "bayes_clv.families.discrete.bg_bb",
    "shifted_beta_geometric": "bayes_clv.families.discrete.shifted_beta_geometric",
    "beta_discrete_weibull": "bayes_clv.families.discrete.beta_discrete_weibull",
}

# Families that change another one, by what its name ends with, and which families they change.
DERIVED = {
    "_drift": ("bayes_clv.families.purchases.drift", "drifting", ("nbd", "bg_nbd", "mbg_nbd", "pareto_nbd")),
    "_returns": ("bayes_clv.families.purchases.returns", "returning", ("bg_nbd", "mbg_nbd")),
}

# The same of families of spend, whose levels move.
_MOVING = "bayes_clv.families.spend.moving"
MOVING = {
    "_trend": (_MOVING, "trending", ("lognormal_spend", "gamma_gamma")),
    "_drift": (_MOVING, "drifting", ("lognormal_spend", "lognormal_spend_trend")),
}

# What ``run`` and ``choose_family`` choose among where nothing is said, those that a tie goes to first; and the changes
# that are tried on the one chosen, of which it can have one.
CANDIDATES = ("bg_nbd", "mbg_nbd", "pareto_nbd")
EXTENSIONS = ("drift", "returns")
# Those that ``run`` tries unasked: returns take minutes to compile on the first start.
TRIED = ("drift",)

# Families that go by a calendar: those of which a change of time leaves all else as it is, and those with ``paced``.
CLOCKED = ("bg_nbd", "mbg_nbd", "bg_cnbd_k", "mbg_cnbd_k", "nbd", "pareto_nbd")
# And those of which the form that a change makes does.
CLOCKED_CHANGES = {"drift": ("bg_nbd", "mbg_nbd", "nbd"), "returns": ("bg_nbd", "mbg_nbd")}
# Whose customers may have a time of their own (``families.own_time``): those that leave at a purchase, or never.
OVER_TIME = ("bg_nbd", "mbg_nbd", "nbd")
# Those of contracts, with a period of renewal for a calendar's.
RENEWED = ("shifted_beta_geometric", "beta_discrete_weibull")
# Whose spend may, and that of the forms in which it moves with its customer too.
PRICED = ("lognormal_spend", "gamma_gamma")

_registered: dict[str, Family] = {}


def family(name: str) -> Family:
    """Return a family by its name; it is imported on first use.

    Raises InputError for a name that is neither in ``FAMILIES`` nor registered.

    Examples
    --------
    >>> family("bg_nbd").parameters
    ('r', 'alpha', 'a', 'b')
    """
    if name in _registered:
        return _registered[name]
    for suffix, (module, change, of) in (*DERIVED.items(), *MOVING.items()):
        if isinstance(name, str) and name.removesuffix(suffix) in of and name.endswith(suffix):
            changed: Family = getattr(import_module(module), change)(family(name.removesuffix(suffix)))
            return changed
    if name not in FAMILIES:
        raise InputError(
            f"Family {name!r} is not known. Use one of {', '.join([*FAMILIES, *_registered])}, or register your own: "
            "clv.families.register(record)."
        )
    found: Family = import_module(FAMILIES[name]).FAMILY
    return found


def changing(name: str, suffix: str = "_drift") -> str:
    """Return the name of a family whose customers change, or come back; InputError for one that has no such form.

    Examples
    --------
    >>> changing("bg_nbd")
    'bg_nbd_drift'
    """
    spend = (
        (name in FAMILIES and family(name).kind == "spend")
        or suffix not in DERIVED
        or name in derived("spend")
    )
    *_, of = (MOVING if spend and suffix in MOVING else DERIVED)[suffix]
    if spend and suffix == "_drift" and name not in of and name.startswith("gamma_gamma"):
        raise InputError(
            f"{family(name).words.title} has no form with drift: an amount multiplies the density of a Gamma level by "
            "no whole power of it, so that no exact filter is known, and a discounted one leaves spend without a mean "
            "after a silence. Fit 'lognormal_spend' with drift=True."
        )
    if name not in of:
        raise InputError(
            f"{family(name).words.title} has no form with {suffix[1:]}: it is there of {', '.join(of)}. Fit one of "
            f"these, or leave {argument(suffix[1:], True)} out."
        )
    return f"{name}{suffix}"


def form_of(name: str, *, trend: bool = False, drift: bool = False, returns: bool = False) -> str:
    """Return the name of a family in the form that is asked for; InputError for one that it does not have.

    Examples
    --------
    >>> form_of("lognormal_spend", trend=True, drift=True)
    'lognormal_spend_trend_drift'
    """
    if drift and returns:
        raise InputError(
            "drift=True and returns=True cannot be had in one fit: no likelihood is known in which a rate drifts while "
            "its customer may sleep. Fit each, and compare them by clv.compare or by their forecasts."
        )
    for suffix, asked in (("_trend", trend), ("_drift", drift), ("_returns", returns)):
        name = changing(name, suffix) if asked else name
    return name


def refuse_calendar(name: str) -> None:
    """Refuse a family that does not go by a calendar."""
    priced = name in (*PRICED, *derived("spend"))
    if family(name).kind == "spend" and not priced:
        raise InputError(
            f"{family(name).words.title} has no calendar of spend: {', '.join(PRICED)} have. Fit one of these, of "
            f"customers with summarize(..., also=('log_spend', 'purchase_spend')), or leave {argument('calendar')} out."
        )
    if family(name).kind == "opportunities":
        raise InputError(
            f"{family(name).words.title} does not go by a calendar: with an effect of each opportunity on the chance "
            "to buy there, a history is no longer told by frequency and recency, and its likelihood has no closed "
            f"form. Fit {CLOCKED[0]} to the days of the purchases, or leave {argument('calendar')} out."
        )
    if not (has_calendar(name) or priced):
        raise InputError(
            f"{family(name).words.title} does not go by a calendar: {', '.join(CLOCKED)} do, "
            + "".join(f"with {change} {', '.join(names)}, " for change, names in CLOCKED_CHANGES.items())
            + f"and of contracts {', '.join(RENEWED)}. Fit one of these, or leave {argument('calendar')} out."
        )


def refuse_over_time(name: str) -> None:
    """Refuse a family that does not go by columns over time."""
    if name in OVER_TIME:
        return
    serve = f"{', '.join(OVER_TIME)} do. Fit one of these, or leave {argument('over_time')} out."
    why = ""
    if name.startswith("pareto"):
        why = (
            "its customers leave at any time, so that the likelihood would be an integral over each customer's own "
            "changes; "
        )
    elif name in derived():
        why = "a rate that drifts, or a customer who sleeps, would do so in a time of its own; "
    elif "cnbd_k" in name:
        why = (
            "how regular purchases are is read from the time between each two of them, which would pass by a time of "
            "each customer's own; "
        )
    raise InputError(f"{family(name).words.title} does not go by columns over time: {why}{serve}")


def has_calendar(name: str) -> bool:
    """Return whether a family's customers go by a calendar.

    Examples
    --------
    >>> has_calendar("bg_nbd_drift"), has_calendar("pareto_nbd_drift")
    (True, False)
    """
    return name in (*CLOCKED, *clocked_changes(), *RENEWED)


def clocked_changes() -> list[str]:
    """Return the names of the families with drift, or returns, that go by a calendar.

    Examples
    --------
    >>> "mbg_nbd_returns" in clocked_changes()
    True
    """
    return [changing(each, f"_{change}") for change, names in CLOCKED_CHANGES.items() for each in names]


def has_form(name: str, extension: str) -> bool:
    """Return whether a family has the form that ``extension`` names.

    Examples
    --------
    >>> has_form("pareto_ggg", "drift")
    False
    """
    return name in DERIVED[f"_{extension}"][-1]


def derived(kind: Kind = "purchases") -> list[str]:
    """Return the names of the families of a kind, purchases or spend, whose customers change.

    Examples
    --------
    >>> "mbg_nbd_drift" in derived()
    True
    """
    if kind not in ("purchases", "spend"):
        return []
    forms = MOVING if kind == "spend" else DERIVED
    return [f"{name}{suffix}" for suffix, (*_, of) in forms.items() for name in of]


def families(kind: Kind) -> list[str]:
    """Return the names of the families of a kind, in the order of ``FAMILIES``, then as registered; all are imported.

    Examples
    --------
    >>> "bg_nbd" in families("purchases")
    True
    """
    if kind not in get_args(Kind.__value__):
        raise InputError(
            f"There is no kind {kind!r} of family. Use one of {', '.join(get_args(Kind.__value__))}."
        )
    return [name for name in [*FAMILIES, *_registered] if kind == family(name).kind]


def register(record: Family) -> Family:
    """Make a family of your own known by its name, to ``clv.fit`` and all that follows, and return it.

    It lasts as long as the process. A name that was registered before is replaced; one of the package's is refused.
    ``clv.families.check(record)`` says beforehand what is missing or wrong.
    """
    if not isinstance(record, Family):
        raise InputError(
            f"register takes a clv.families.Family; given was {type(record).__name__}. Build the record with its "
            "fields by name: Family(name=..., kind=..., ...)."
        )
    if record.name in FAMILIES:
        raise InputError(f"{record.name!r} is a family of the package. Give yours a name of its own.")
    _registered[record.name] = record
    return record
