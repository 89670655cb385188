"""Which columns act on which quantities, and the parameters that each kind of customer then has.

**Choice.** A fit with covariates or groups remembers ``Effects`` (columns, encodings, group labels) as JSON in the
posterior's attributes. The model and every prediction pass through ``Effects.parameters``, which joins the
formulas of ``families.link`` with the family's own ``from_quantities``; it takes tensors and NumPy arrays.
The alternative, to swap the data in the PyMC graph and read a deterministic back (style.md), was not taken: a
posterior is a plain DataTree that knows no graph, is predicted from in a new process, and must not wait there for a
compiler. What that alternative guards against, a second copy of a formula, does not exist here either.

Groups are not centred: offset = sd × z with z ~ Normal(0, 1), so that small groups, for which the centred form
is a funnel, sample well. Measured on four bases (4 × 150 customers, and six channels of 1,000 down to 20, two seeds
each, 2,000 draws, steps as in ``methods.TARGET_ACCEPT``): not centred, no divergence and 336 to 378 effective
draws of the worst variable; centred, 869 and 1,005 where channels differ much, but 7 divergences and 216, and 1 and
397, where they differ little. Sampling each quantity as the groups' average besides (``models._anchored``) took out the
ridge between the two: no divergence and 543 to 921 effective draws in the same fits, not centred.

Customers are alike for the model when they share their history and their *profile*, the distinct combination of the
columns' values, so the reduction to distinct rows stays exact.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.columns import as_labels, check_name, column_values
from bayes_clv.customers.encoding import Encoding, Interaction, encoding_from_json, learn, named_columns
from bayes_clv.customers.formula import is_formula
from bayes_clv.families.contract import Family
from bayes_clv.families.link import linear_predictor, shifted
from bayes_clv.families.quantities import FLAT, Prior, Quantity
from bayes_clv.language import say
from bayes_clv.schema import CHAIN, DRAW, InputError, argument, stored

# A priori a covariate moves its quantity (or its odds) by more than a factor of e for one standard deviation, or one
# level, in one base of three; groups lie apart by a factor of up to 1.6 in two of three and of up to 2.7 in 19 of 20.
COEFFICIENT = Quantity(Prior("Normal", mu=0, sigma=1))
GROUP_SD = Quantity(Prior("HalfNormal", sigma=0.5))
# Shapes and concentrations, about which one group says little and which lie on ridges with the means, are held closer
# together: by a factor of up to 1.2 in two of three and of up to 1.5 in 19 of 20. Groups that differ more say so when
# they are large.
SHAPE_SD = Quantity(Prior("HalfNormal", sigma=0.2))

# What one customer buys on is one row; rows of the other kinds may stand for several customers (``count``).
AGGREGATED = ("opportunities", "contracts")

# Dimensions that ArviZ or a posterior has for itself.
_TAKEN = ("model", "sample", "group", "component_group", CHAIN, DRAW, "row", "customer", "profile", "count")
# Papers' symbols, which are variables of some family.
_SYMBOLS = ("alpha", "beta", "gamma", "delta", "mu", "nu")

type Columns = str | Sequence[str]


@dataclass(frozen=True)
class Effect:
    """What acts on one quantity; ``name`` is the process, or, of a quantity that is no process', its own name."""

    name: str
    quantity: str
    encodings: tuple[Encoding | Interaction, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the design columns."""
        return tuple(label for encoding in self.encodings for label in encoding.labels)

    @property
    def coefficient(self) -> str:
        """Return the name of the posterior variable of the coefficients."""
        return f"{self.name}_coefficient"

    @property
    def dimension(self) -> str:
        """Return the dimension of the coefficients."""
        return f"{self.name}_effect"

    def sd(self, column: str) -> str:
        """Return the name of the standard deviation of a grouping column's offsets."""
        return f"{self.name}_{_word(column)}_sd"

    def offset(self, column: str) -> str:
        """Return the name of a grouping column's offsets."""
        return f"{self.name}_{_word(column)}_offset"


@dataclass(frozen=True)
class Profiles:
    """The distinct combinations of the columns' values among some customers.

    Attributes
    ----------
    index : array (customer)
        The profile of each customer.
    design : mapping of effect to array (profile, effect)
        The encoded covariates, for each effect that has some.
    place : mapping of grouping column to array (profile)
        Index of the profile's group among the labels of the fit; -1 - j for the j-th of ``unseen``.
    unseen : mapping of grouping column to labels
        Groups that the fit did not have.
    """

    index: np.ndarray
    design: dict[str, np.ndarray]
    place: dict[str, np.ndarray]
    unseen: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Effects:
    """All effects of a fit, and the labels of each grouping column."""

    each: tuple[Effect, ...]
    labels: dict[str, tuple[str, ...]]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the customers' columns that are needed, each once."""
        covariates = [name for effect in self.each for each in effect.encodings for name in each.columns]
        return tuple(dict.fromkeys([*covariates, *self.labels]))

    def dimension(self, column: str) -> str:
        """Return the posterior's dimension of a grouping column: its own name, if that is free."""
        effects = [effect.dimension for effect in self.each]
        variables = [*self.quantities(), *(effect.offset(column) for effect in self.each)]
        free = (
            column not in (*_TAKEN, *_SYMBOLS, *effects, *variables)
            and column.isidentifier()
            and len(column) > 1
        )
        return column if free else f"{_word(column)}_label"

    def quantities(self) -> dict[str, Quantity]:
        """Return the sampled effects by name, with their default priors."""
        found = {}
        for effect in self.each:
            if effect.encodings:
                found[effect.coefficient] = COEFFICIENT
            # A process has a name of its own; what has not is a shape.
            scale = SHAPE_SD if effect.name == effect.quantity else GROUP_SD
            found |= {effect.sd(column): scale for column in effect.groups}
        return found

    def coords(self) -> dict[str, tuple[str, ...]]:
        """Return the labels of each dimension that the effects add to a posterior."""
        grouping = {self.dimension(column): labels for column, labels in self.labels.items()}
        return grouping | {effect.dimension: effect.labels for effect in self.each if effect.encodings}

    def dims(self) -> dict[str, tuple[str, ...]]:
        """Return the dimensions of each posterior variable of the effects, without chain and draw."""
        found: dict[str, tuple[str, ...]] = {}
        for effect in self.each:
            if effect.encodings:
                found[effect.coefficient] = (effect.dimension,)
            for column in effect.groups:
                found[effect.sd(column)] = ()
                found[effect.offset(column)] = (self.dimension(column),)
        return found

    def offsets(self, values: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return the offsets that act on each quantity, for the quantities that groups act on."""
        return {
            effect.quantity: [values[effect.offset(column)] for column in effect.groups]
            for effect in self.each
            if effect.groups
        }

    def meanings(self, family: Family) -> dict[str, str]:
        """Return what each posterior variable of the effects means, in one line."""
        found = {}
        for effect in self.each:
            what = (
                say("log of {quantity}", quantity=effect.quantity)
                if np.isinf(family.quantities[effect.quantity].upper)
                else say("log odds of {quantity}", quantity=effect.quantity)
            )
            if effect.encodings:
                found[effect.coefficient] = say(
                    "change of the {what} for one standard deviation of a number, or against the first level; of an "
                    "interaction, the change of one's coefficient with the other",
                    what=what,
                )
            for column in effect.groups:
                told = {"column": column, "what": what}
                found[effect.sd(column)] = say("standard deviation over {column} of the {what}", **told)
                found[effect.offset(column)] = say(
                    "the {what} in each {column}, less that of the average one", **told
                )
        return found

    def profiles(self, customers: xr.Dataset) -> Profiles:
        """Return the distinct combinations of the columns' values among these customers.

        Raises InputError for a missing column or value, and for a covariate's level that the fit has not seen.
        """
        encodings = dict.fromkeys(encoding for effect in self.each for encoding in effect.encodings)
        for encoding in encodings:
            encoding.check(customers)
        read = dict.fromkeys(name for encoding in encodings for name in encoding.columns)
        values = {name: column_values(customers, name) for name in read}
        grouping = {name: as_labels(column_values(customers, name)) for name in self.labels}
        index = np.zeros(customers.sizes["customer"], dtype=np.int64)
        for column in (*values.values(), *grouping.values()):
            distinct, code = np.unique(column, return_inverse=True)
            _, index = np.unique(index * distinct.size + code, return_inverse=True)
        _, first = np.unique(index, return_index=True)
        of_profiles = {name: each[first] for name, each in values.items()}
        design = {
            effect.name: np.hstack([each.design(of_profiles) for each in effect.encodings])
            for effect in self.each
            if effect.encodings
        }
        place, unseen = {}, {}
        for name, labels in self.labels.items():
            known = {label: i for i, label in enumerate(labels)}
            own = grouping[name][first].tolist()
            new = sorted(set(own) - set(known))
            known |= {label: -1 - j for j, label in enumerate(new)}
            place[name] = np.array([known[label] for label in own], dtype=np.int64)
            unseen[name] = tuple(new)
        return Profiles(index, design, place, unseen)

    def parameters(
        self,
        xp: Any,
        family: Family,
        values: Mapping[str, Any],
        design: Mapping[str, np.ndarray],
        place: Mapping[str, np.ndarray],
    ) -> dict[str, Any]:
        """Return the paper's parameters of each row.

        Parameters
        ----------
        xp : module
            numpy or pytensor.tensor, whichever ``values`` are made of.
        family : Family
            For its ``quantities`` and ``from_quantities``.
        values : mapping
            The population quantities, coefficients (effect, ...) and offsets (group, ...).
        design, place : mappings
            As in ``Profiles``, of the rows wanted; no place below 0.
        """
        found = family.from_quantities(self.quantities_of(xp, family, values, design, place))
        return {name: found[name] for name in family.parameters}

    def quantities_of(
        self,
        xp: Any,
        family: Family,
        values: Mapping[str, Any],
        design: Mapping[str, np.ndarray],
        place: Mapping[str, np.ndarray],
    ) -> dict[str, Any]:
        """Return the family's quantities of each row, from which ``parameters`` follow."""
        quantities = {name: values[name] for name in family.quantities}
        for effect in self.each:
            shift = linear_predictor(
                design.get(effect.name),
                values.get(effect.coefficient),
                [values[effect.offset(column)][place[column]] for column in effect.groups],
            )
            upper = family.quantities[effect.quantity].upper
            quantities[effect.quantity] = shifted(xp, quantities[effect.quantity], shift, upper)
        return quantities

    def drawn(self, family: Family, posterior: xr.Dataset) -> dict[str, np.ndarray]:
        """Return quantities (draw,), coefficients and offsets (label, draw): chains one after the other.

        Raises InputError when the posterior lacks one of them.
        """
        dims = dict.fromkeys(family.quantities, ()) | self.dims()
        missing = [name for name in dims if name not in posterior]
        if missing:
            raise InputError(
                f"The posterior has effects and lacks {missing[0]!r}; it was not written by clv.fit."
            )
        arrays = {name: posterior[name].transpose(*own, CHAIN, DRAW).to_numpy() for name, own in dims.items()}
        return {name: array.reshape(*array.shape[:-2], -1) for name, array in arrays.items()}

    def to_json(self) -> str:
        """Return the effects as text for the posterior's attributes."""
        each = [
            {
                "name": effect.name,
                "quantity": effect.quantity,
                "encodings": [encoding.to_json() for encoding in effect.encodings],
                "groups": effect.groups,
            }
            for effect in self.each
        ]
        return json.dumps({"each": each, "labels": self.labels})

    @classmethod
    def from_json(cls, text: str) -> "Effects":
        """Return the effects that ``to_json`` wrote."""
        return stored("effects", lambda: cls._from(json.loads(text)))

    @classmethod
    def _from(cls, saved: Any) -> "Effects":
        each = tuple(
            Effect(
                one["name"],
                one["quantity"],
                tuple(encoding_from_json(encoding) for encoding in one["encodings"]),
                tuple(one["groups"]),
            )
            for one in saved["each"]
        )
        return cls(each, {column: tuple(labels) for column, labels in saved["labels"].items()})


def needed_columns(
    covariates: Mapping[str, Columns] | None, groups: Mapping[str, Columns] | Columns | None
) -> list[str]:
    """Return the customers' columns that these arguments of ``fit`` name, each once.

    Raises InputError for arguments that are no names of columns and no formulas.
    """
    if covariates is not None and not isinstance(covariates, Mapping):
        raise InputError(
            f"{argument('covariates', covariates)} must say what the columns act on: "
            f"{argument('covariates', {'purchase': ['age', 'gender']})}."
        )
    named = [name for text in _listed((covariates or {}).values()) for name in named_columns(text)]
    grouping = _listed(groups.values() if isinstance(groups, Mapping) else [groups or []])
    for name in grouping:
        if isinstance(name, str) and is_formula(name):
            raise InputError(
                f"groups has the formula {name!r}; it takes names of columns, each with offsets of its own: "
                f"{argument('groups', ['channel', 'country'])}. For every combination, add a column that joins the two."
            )
    found = list(dict.fromkeys([*named, *grouping]))
    for name in found:
        check_name(name)
    return found


def _listed(many: Iterable[Any]) -> list[Any]:
    return [name for columns in many for name in ([columns] if isinstance(columns, str) else columns)]


def learn_effects(
    family: Family,
    customers: xr.Dataset,
    covariates: Mapping[str, Columns] | None,
    groups: Mapping[str, Columns] | Columns | None,
) -> Effects | None:
    """Return the effects with encodings and labels learnt from these customers; None where none is asked for.

    Raises InputError for a process or quantity that the family does not have, and for columns that cannot be used.
    """
    varying = [
        name for name, quantity in family.quantities.items() if not (quantity.whole or quantity.constant)
    ]
    grouping = groups if isinstance(groups, Mapping) else dict.fromkeys(varying, groups or [])
    acting: dict[str, tuple[list[str], list[str]]] = {}
    for place, given in ((0, covariates or {}), (1, grouping)):
        for target, columns in given.items():
            quantity = _quantity(family, target)
            names = list(dict.fromkeys(_listed([columns])))
            both = acting.setdefault(quantity, ([], []))
            if both[place]:
                raise InputError(
                    f"{target!r} and another name given stand for one quantity, {quantity!r}. Give its columns once."
                )
            both[place].extend(names)
    own_name = {quantity: process for process, quantity in family.processes.items()}
    count = None
    if family.kind in AGGREGATED and "count" in customers:
        count = customers["count"].to_numpy()
    encodings = {text: learn(customers, text, count) for text in _ordered(acting, 0)}
    labels = {name: _learnt_labels(customers, name, count) for name in _ordered(acting, 1)}
    for quantity, (own, grouped) in acting.items():
        for name in {column for text in own for column in named_columns(text)} & set(grouped):
            raise InputError(
                f"{name!r} is a covariate and a group of {quantity!r}; as one of the two it says all it can. Choose: "
                "a group's levels are pooled, and new ones can be predicted."
            )
    each = tuple(
        Effect(
            own_name.get(quantity, quantity),
            quantity,
            tuple(dict.fromkeys(each for text in own for each in encodings[text])),
            tuple(grouped),
        )
        for quantity, (own, grouped) in acting.items()
        if own or grouped
    )
    return Effects(each, labels) if each else None


def _quantity(family: Family, target: str) -> str:
    quantity = family.processes.get(target, target)
    known = family.quantities.get(quantity)
    if known is not None and (known.whole or known.constant):
        raise InputError(
            f"{quantity!r} is one {'whole ' * known.whole}number for all customers: no column can act on it."
        )
    if quantity not in family.quantities:
        processes = ", ".join(f"{name!r} ({what})" for name, what in family.processes.items())
        others = ", ".join(
            repr(name) for name, each in family.quantities.items() if not (each.whole or each.constant)
        )
        raise InputError(
            f"{family.words.title} has nothing called {target!r} for a column to act on. Name a process, "
            f"{processes}, or a quantity: {others}."
        )
    return str(quantity)


def _ordered(acting: Mapping[str, tuple[list[str], list[str]]], place: int) -> list[str]:
    """Return the names and formulas of covariates (``place`` 0) or groups (1), each once."""
    return list(dict.fromkeys(name for both in acting.values() for name in both[place]))


def _learnt_labels(customers: xr.Dataset, column: str, count: np.ndarray | None) -> tuple[str, ...]:
    labels = np.unique(as_labels(column_values(customers, column)))
    if labels.size < 2:
        raise InputError(
            f"All customers of the fit are of one {column!r}, {labels[0]!r}: how groups differ cannot be learned. "
            "Leave it out."
        )
    if labels.size == (customers.sizes["customer"] if count is None else count.sum()):
        raise InputError(
            f"Every customer is of its own {column!r}, for example {labels[0]!r}; how customers differ is in the "
            "model already. Give a column that customers share."
        )
    return tuple(labels.tolist())


def parameter_points(
    family: Family, posterior: xr.Dataset, effects: Effects | None, profiles: Profiles | None
) -> Iterator[dict[str, Any]]:
    """Yield the paper's parameters of one draw after the other: numbers, or (profile,) where an effect acts."""
    if effects is None or profiles is None:
        draws = [posterior[name].to_numpy().reshape(-1) for name in family.parameters]
        for point in zip(*draws, strict=True):
            yield dict(zip(family.parameters, point, strict=True))
        return
    values = effects.drawn(family, posterior)
    for s in range(posterior.sizes[CHAIN] * posterior.sizes[DRAW]):
        one = {name: value[..., s] for name, value in values.items()}
        yield effects.parameters(np, family, one, profiles.design, profiles.place)


def check_flat(effects: Effects, priors: Mapping[str, Prior], method: str) -> None:
    """Refuse groups where their standard deviation would have no prior, or the fit has no draws."""
    sds = [effect.sd(column) for effect in effects.each for column in effect.groups]
    flat = [name for name in sds if priors[name] == FLAT]
    if flat:
        raise InputError(
            f"{flat[0]!r} needs a prior: with few groups nothing else bounds it, and the posterior has no finite mass. "
            "Leave priors='flat' to fits without groups."
        )
    check_mode(effects, method)


def check_mode(effects: Effects, method: str) -> None:
    """Refuse groups of a fit by mode, which has no draws."""
    if method == "mode" and any(effect.groups for effect in effects.each):
        raise InputError(
            f"{argument('method', 'mode')} does not serve groups: the peak of a hierarchical posterior lies where "
            "offsets and their standard deviation fit each other, not where the mass is. Use "
            f"{argument('method', 'nuts')}."
        )


def _word(column: str) -> str:
    return re.sub(r"\W+", "_", column)
