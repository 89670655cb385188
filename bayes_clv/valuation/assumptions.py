"""Assumptions of what customers could bring beyond what they do: what may be stated, how, and each draw of it.

Nothing in an order log says how much more a customer would buy if asked, or how many friends it would bring. Such
numbers are assumed, and how sure one is of them is part of the assumption: each is a number, a distribution
(``clv.Prior``), or a column of the customers. A distribution is drawn *once per draw for all customers*. That matters
for totals: an error in an assumption is the same error for everybody and does not average out over customers, as chance
does. A distribution drawn anew for each customer would make the total of a large base look certain.

A prior is drawn here with SciPy under PyMC's names and arguments, the few that assumptions need; PyMC would compile
each one. A test holds them against PyMC's densities.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.conditions import BY_SIGN, row_tests
from bayes_clv.customers.columns import column_values
from bayes_clv.families.quantities import Prior
from bayes_clv.inference.priors import plain_priors
from bayes_clv.predictions.simulation import Simulation
from bayes_clv.schema import CHAIN, CUSTOMER, DRAW, InputError
from bayes_clv.segments.membership import groups
from bayes_clv.segments.rules import Segment, build_rule

UP_SELL, CROSS_SELL, REFERRAL, WALLET = "up_sell", "cross_sell", "referral", "share_of_wallet"
# More customers than this nobody brings on average; the counts are found by adding up probabilities.
MOST_REFERRED = 100.0


@dataclass(frozen=True)
class Field:
    """What a number of an assumption means and where it may lie."""

    meaning: str
    low: float
    high: float
    open_low: bool = False
    default: float | None = None

    def within(self, values: np.ndarray) -> np.ndarray:
        """Return which values it may have."""
        above = values > self.low if self.open_low else values >= self.low
        return np.isfinite(values) & above & (values <= self.high)

    @property
    def words(self) -> str:
        """Return its range in words."""
        low = f"{'above' if self.open_low else 'at least'} {self.low:g}" if math.isfinite(self.low) else ""
        high = f"at most {self.high:g}" if math.isfinite(self.high) else ""
        return " and ".join(each for each in (low, high, "finite") if each)


_TAKE_UP = Field("probability that a customer takes part", 0.0, 1.0, default=1.0)
KINDS: dict[str, dict[str, Field]] = {
    UP_SELL: {
        "amount": Field("increase of spend per purchase, as a share of it", -1.0, math.inf),
        "take_up": _TAKE_UP,
    },
    CROSS_SELL: {
        "amount": Field("spend in other categories, as a share of current spend", -1.0, math.inf),
        "margin": Field("margin of the other categories", 0.0, math.inf, open_low=True),
        "take_up": _TAKE_UP,
    },
    REFERRAL: {
        "amount": Field("mean number of new customers that a customer brings", 0.0, MOST_REFERRED),
        "value": Field("value of a new customer", -math.inf, math.inf),
        "take_up": _TAKE_UP,
    },
    WALLET: {
        "share": Field("share of the customer's wallet that is spent here now", 0.0, 1.0, open_low=True),
        "target": Field("share of the wallet that could be reached", 0.0, 1.0, open_low=True),
        "take_up": _TAKE_UP,
    },
}
_OPTIONAL = {"margin", "take_up"}


def _beta(alpha: float | None = None, beta: float | None = None, **more: float) -> Any:
    from scipy import stats

    if more:
        mu, sigma = more.pop("mu"), more.pop("sigma")
        if more:
            raise TypeError
        kappa = mu * (1 - mu) / sigma**2 - 1
        alpha, beta = mu * kappa, (1 - mu) * kappa
    return stats.beta(alpha, beta)


def _gamma(alpha: float | None = None, beta: float | None = None, **more: float) -> Any:
    from scipy import stats

    if more:
        mu, sigma = more.pop("mu"), more.pop("sigma")
        if more:
            raise TypeError
        alpha, beta = (mu / sigma) ** 2, mu / sigma**2
    assert alpha is not None
    assert beta is not None
    return stats.gamma(alpha, scale=1 / beta)


def _lognormal(mu: float = 0.0, sigma: float = 1.0) -> Any:
    from scipy import stats

    return stats.lognorm(s=sigma, scale=math.exp(mu))


def _normal(mu: float = 0.0, sigma: float = 1.0) -> Any:
    from scipy import stats

    return stats.norm(mu, sigma)


def _truncated_normal(
    mu: float = 0.0, sigma: float = 1.0, lower: float = -math.inf, upper: float = math.inf
) -> Any:
    from scipy import stats

    return stats.truncnorm((lower - mu) / sigma, (upper - mu) / sigma, mu, sigma)


def _half_normal(sigma: float = 1.0) -> Any:
    from scipy import stats

    return stats.halfnorm(scale=sigma)


def _exponential(lam: float = 1.0) -> Any:
    from scipy import stats

    return stats.expon(scale=1 / lam)


def _uniform(lower: float = 0.0, upper: float = 1.0) -> Any:
    from scipy import stats

    return stats.uniform(lower, upper - lower)


def _triangular(lower: float, c: float, upper: float) -> Any:
    from scipy import stats

    return stats.triang((c - lower) / (upper - lower), lower, upper - lower)


DISTRIBUTIONS: dict[str, Callable[..., Any]] = {
    "Beta": _beta,
    "Exponential": _exponential,
    "Gamma": _gamma,
    "HalfNormal": _half_normal,
    "LogNormal": _lognormal,
    "Normal": _normal,
    "Triangular": _triangular,
    "TruncatedNormal": _truncated_normal,
    "Uniform": _uniform,
}


def frozen(prior: Prior) -> Any:
    """Return the SciPy distribution of a prior; one that is not known, or cannot be, is refused."""
    arguments = dict(prior.arguments)
    if prior.distribution not in DISTRIBUTIONS:
        raise InputError(
            f"{prior!r} is not known here. An assumption can be {', '.join(DISTRIBUTIONS)}, with PyMC's arguments."
        )
    try:
        found = DISTRIBUTIONS[prior.distribution](**arguments)
        middle = float(found.median())
    except (TypeError, KeyError, AssertionError, ZeroDivisionError) as error:
        raise InputError(
            f"{prior!r} lacks an argument or has one too many. Use PyMC's arguments of {prior.distribution}."
        ) from error
    if not math.isfinite(middle):
        raise InputError(f"{prior!r} does not exist for these arguments, such as a negative sigma.")
    return found


type Values = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Assumption:
    """One part of the potential: who brings it, and how much.

    Attributes
    ----------
    name, kind : str
    fields : dict
        Of each field: places -> its values, (1, 1), (1, draw) or (customer, 1).
    scope : callable
        (places, quantities of a block) -> whom it applies to, (customer, draw) or (customer, 1).
    needed : tuple of str
        Quantities that ``scope`` reads.
    stated : dict
        The fields as they were given, in words.
    """

    name: str
    kind: str
    fields: dict[str, Values]
    scope: Callable[[np.ndarray, Mapping[str, np.ndarray]], np.ndarray]
    needed: tuple[str, ...]
    stated: dict[str, str]

    @property
    def text(self) -> str:
        """Return the assumption as a line of a table or figure."""
        said = dict(self.stated)
        amounts = {
            UP_SELL: "spend per purchase × (1 + {amount})",
            CROSS_SELL: "other categories: {amount} of current spend",
            REFERRAL: "{amount} new customers each, worth {value}",
            WALLET: "share of wallet from {share} to {target}",
        }
        words = amounts[self.kind].format(**said)
        if "margin" in said:
            words += f", margin {said['margin']}"
        if "take_up" in said:
            words += f"; take-up {said['take_up']}"
        if "where" in said:
            words += f"; where {said['where']}"
        return words


def read_assumptions(draws: Simulation, given: Mapping[str, Any], threads: int | None) -> list[Assumption]:
    """Return the assumptions that were stated, each checked; see ``value_parts`` for how they are written."""
    if not isinstance(given, Mapping):
        raise InputError(
            "assumptions must be a mapping of names, such as {'up_sell': clv.Prior('Beta', alpha=4, beta=36)}; got "
            f"{type(given).__name__}."
        )
    return [_read(draws, str(name), each, threads) for name, each in given.items()]


def _read(draws: Simulation, name: str, given: Any, threads: int | None) -> Assumption:
    table = dict(given) if isinstance(given, Mapping) else {"amount": given}
    if name in ("historical", "current", "potential") or not name:
        raise InputError(f"An assumption cannot be called {name!r}, which is another part of value.")
    kind = table.pop("kind", name)
    if kind not in KINDS:
        raise InputError(
            f"Assumption {name!r} is of kind {kind!r}, which is not known. There are {', '.join(KINDS)}; with another "
            f"name say which, {{{name!r}: {{'kind': 'cross_sell', ...}}}}."
        )
    where = table.pop("where", None)
    fields = KINDS[kind]
    unknown = [each for each in table if each not in fields]
    missing = [each for each in fields if each not in table and each not in _OPTIONAL]
    if unknown or missing:
        said = f"{unknown[0]!r} is not known" if unknown else f"{missing[0]!r} is missing"
        listed = "; ".join(f"{each} ({field.meaning})" for each, field in fields.items())
        raise InputError(f"Assumption {name!r}: {said}. A {kind} has {listed}; and where.")
    values, stated = {}, {}
    for each, field in fields.items():
        if each not in table and field.default is None:
            continue
        values[each], words = stated_values(draws, name, each, field, table.get(each, field.default))
        if each in table:
            stated[each] = words
    scope, needed = scope_of(draws, f"Assumption {name!r}", where, threads)
    if where is not None:
        stated["where"] = str(where)
    return Assumption(name, kind, values, scope, needed, stated)


def stated_values(draws: Simulation, name: str, key: str, field: Field, given: Any) -> tuple[Values, str]:
    """Return a field's values, and how it was stated."""
    given = plain_priors({name: given})[name]
    place = f"Assumption {name!r}, {key} ({field.meaning})"
    if isinstance(given, Prior):
        rng = generator(draws.seed, name, key)
        drawn = np.asarray(frozen(given).rvs(size=draws.size, random_state=rng), dtype=np.float64)[None, :]
        check_range(place, field, drawn, f"draws of {given!r}", "Use a distribution that stays there.")
        arguments = ", ".join(f"{each}={number:.4g}" for each, number in given.arguments)
        return lambda places: drawn, f"{given.distribution}({arguments})"
    if isinstance(given, str):
        column = column_values(draws.customers, given)
        if column.dtype == object:
            raise InputError(f"{place}: the column {given!r} holds text. Name one of numbers.")
        check_range(place, field, column, f"customers' {given!r}", "Correct the column.")
        return lambda places: column[places, None], f"column {given!r}"
    if isinstance(given, xr.Dataset) and key == "value":
        worth = _of_cohort(draws, place, given)[None, :]
        attrs = given.attrs
        return lambda places: worth, (
            f"a new customer's expected value over {float(attrs['horizon']):g} {attrs['time_unit']}s"
        )
    if isinstance(given, (int, float, np.number)) and not isinstance(given, bool):
        number = np.array([[float(given)]])
        check_range(place, field, number, "numbers given", "")
        return lambda places: number, f"{float(given):.6g}"
    instead = " or the result of clv.predict_cohort" if key == "value" else ""
    raise InputError(
        f"{place}: got {type(given).__name__}. Give a number, clv.Prior('Beta', alpha=4, beta=36), the name of a "
        f"column of the customers{instead}."
    )


def check_range(place: str, field: Field, values: np.ndarray, what: str, advice: str) -> None:
    """Refuse values out of the field's range; ``place`` and ``what`` they are begin the message."""
    bad = ~field.within(values)
    if bad.any():
        shown = float(values[bad].ravel()[0])
        raise InputError(
            f"{place} must be {field.words}; {int(bad.sum()):,} of {values.size:,} {what} are not, such as "
            f"{shown:.6g}.{' ' * bool(advice)}{advice}"
        )


def generator(seed: int, *words: str) -> np.random.Generator:
    """Return a generator that belongs to the seed and these words, whatever else was assumed."""
    return np.random.default_rng(salt(seed, *words))


def salt(seed: int, *words: str) -> int:
    """Return 64 bits that belong to the seed and these words."""
    text = json.dumps([seed, *words])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _of_cohort(draws: Simulation, place: str, cohort: xr.Dataset) -> np.ndarray:
    """Return the expected value of a new customer, net of acquisition, in each draw.

    Draws of one posterior are matched by their labels, so that what is not known of the population is the same for
    customers and those they bring; other numbers of draws are thinned or repeated.
    """
    if "lifetime_value_expected" not in cohort or {"horizon", "time_unit"} - set(cohort.attrs):
        raise InputError(f"{place}: the dataset is not what clv.predict_cohort returns.")
    worth = cohort["lifetime_value_expected"].transpose(CHAIN, DRAW)
    chains, labels = draws.buying.chains, draws.buying.draws
    same = set(chains.tolist()) == set(worth[CHAIN].to_numpy().tolist())
    if same and set(labels.tolist()) <= set(worth[DRAW].to_numpy().tolist()):
        found = worth.sel({CHAIN: chains, DRAW: labels}).to_numpy().ravel()
    else:
        flat, order = worth.to_numpy().ravel(), np.arange(draws.size)
        found = flat[order * flat.size // draws.size if flat.size >= draws.size else order % flat.size]
    bad = ~np.isfinite(found)
    if bad.any():
        raise InputError(
            f"{place}: the expected value of a new customer is infinite in {int(bad.sum()):,} of {bad.size:,} draws "
            "(see the cohort's reasons). Fit spending with a stronger prior on q, or state an amount of money."
        )
    return found


def scope_of(
    draws: Simulation, place: str, where: Any, threads: int | None
) -> tuple[Callable[[np.ndarray, Mapping[str, np.ndarray]], np.ndarray], tuple[str, ...]]:
    """Return to whom something applies, and the quantities needed to tell; ``place`` begins an error.

    ``where`` is the name of a column of true and false; a condition on columns of text, such as "channel = 'web'"; or
    one on quantities, as in a rule, whose members are found in every draw.
    """
    if where is None:
        return lambda places, values: np.ones((places.size, 1), dtype=bool), ()
    if not isinstance(where, str):
        raise InputError(
            f"{place}: where={where!r} must be a condition such as 'frequency > 0', or the name of a "
            "column of true and false."
        )
    if where in draws.customers:
        column = draws.customers[where].to_numpy()
        odd = (
            (column != 0) & (column != 1)
            if column.dtype.kind in "biuf"
            else np.ones(column.shape, dtype=bool)
        )
        if odd.any():
            raise InputError(
                f"{place}: where={where!r} names a column that is not true and false in {int(odd.sum()):,} "
                f"of {odd.size:,} customers. Write a condition, such as '{where} > 0'."
            )
        inside = column.astype(bool)
        return lambda places, values: inside[places, None], ()
    texts = [
        str(name)
        for name, column in draws.customers.data_vars.items()
        if column.dims == (CUSTOMER,) and column.dtype.kind in "OUT"
    ]
    if any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", where) for name in texts):
        inside = rows_where(draws.customers, place, where)
        return lambda places, values: inside[places, None], ()
    parts = [Segment("those", where, place), Segment("all others", "", place)]
    chosen = groups(draws, build_rule(place, parts, {}), threads)
    return lambda places, values: chosen.members(places, values) == 0, chosen.needed


def rows_where(customers: xr.Dataset, place: str, where: str) -> np.ndarray:
    """Return which customers a condition on their columns holds of, (customer,); ``place`` begins an error."""
    inside = np.ones(customers.sizes[CUSTOMER], dtype=bool)
    for test in row_tests(where, place):
        column = column_values(customers, test.column)
        # A column of true and false is read as text.
        values = [str(each) if isinstance(each, bool) else each for each in test.values]
        text = isinstance(values[0], str)
        if text != (column.dtype == object):
            kind = "text" if column.dtype == object else "numbers"
            raise InputError(
                f"{place}: {test.words()!r} compares the column {test.column!r}, which holds {kind}, with "
                f"{'text' if text else 'a number'}."
            )
        if test.sign in ("==", "in"):
            holds = np.isin(column, np.array(values, dtype=column.dtype))
        elif test.sign in ("!=", "not in"):
            holds = ~np.isin(column, np.array(values, dtype=column.dtype))
        else:
            holds = BY_SIGN[test.sign](column, values[0])
        if not holds.any() and test.sign in ("==", "in"):
            known = sorted(set(column.tolist()))
            shown = ", ".join(map(repr, known[:5])) + (", ..." if len(known) > 5 else "")
            raise InputError(f"{place}: no customer has {test.words()}. {test.column!r} holds {shown}.")
        inside &= holds
    return inside
