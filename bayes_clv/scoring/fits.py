"""What is to be fitted at each origin: a record of the arguments of ``clv.fit``, checked before the first fit."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from bayes_clv.families.contract import Kind
from bayes_clv.families.registry import derived, families, refuse_over_time
from bayes_clv.families.registry import family as find_family
from bayes_clv.inference.calendar import Calendar
from bayes_clv.inference.effects import needed_columns
from bayes_clv.inference.fitting import METHODS
from bayes_clv.inference.priors import plain_priors
from bayes_clv.schema import InputError, also_for, also_for_calendar, argument
from bayes_clv.scoring.baselines import BASELINES
from bayes_clv.scoring.cells import function_key

type Forecaster = Callable[[xr.Dataset, float, int], xr.Dataset]


@dataclass(frozen=True)
class Fit:
    """A family and how it is fitted at every origin, as ``clv.fit`` takes it.

    Attributes
    ----------
    family : str
        A purchase family.
    spending : str, Fit or None
        The family of spend per purchase, or a Fit of one with priors and covariates of its own; None for purchases
        alone. Not read where the orders have no amounts.
    method : {"laplace", "nuts", "mode"}
        How it is fitted, and its spending where that is a name.
    priors, covariates, groups, calendar
        As in ``clv.fit``; a calendar not by ``"mode"``, one of spend (of a Fit as ``spending``) by ``"nuts"``.
    over_time : str or sequence of str, or None
        Columns of the table ``over_time`` of ``clv.scoring.rolling_origins``, as in ``clv.fit``.

    Examples
    --------
    >>> clv.scoring.Fit("pareto_nbd", spending=None).method
    'laplace'
    """

    family: str
    spending: "str | Fit | None" = "gamma_gamma"
    method: str = "laplace"
    priors: Any = None
    covariates: Any = None
    groups: Any = None
    calendar: Calendar | None = None
    over_time: str | Sequence[str] | None = None

    @property
    def money(self) -> "Fit | None":
        """Return the fit of spend, None without."""
        if isinstance(self.spending, str):
            return Fit(self.spending, None, self.method)
        return self.spending

    @property
    def key(self) -> dict[str, Any]:
        """Return what it is known by on disk."""
        priors = plain_priors(self.priors)
        if isinstance(priors, Mapping):
            priors = {name: getattr(each, "__dict__", each) for name, each in priors.items()}
        plain = {
            "family": self.family,
            "method": self.method,
            "priors": priors,
            "covariates": self.covariates,
            "groups": self.groups,
            "spending": None if self.money is None else self.money.key,
        }
        if self.calendar is not None:
            plain["calendar"] = vars(self.calendar)
        if self.over_time is not None:
            plain["over_time"] = self.over_time
        return dict(json.loads(json.dumps(plain, default=str)))

    @property
    def columns(self) -> list[str]:
        """Return the customers' columns that it reads."""
        own = needed_columns(self.covariates, self.groups)
        if self.calendar is not None and isinstance(self.calendar.by, str):
            own = [*own, self.calendar.by]
        return own if self.money is None else [*own, *self.money.columns]

    @property
    def also(self) -> set[str]:
        """Return what ``clv.summarize`` must compute beside."""
        own = set(also_for(find_family(self.family).observed))
        if self.over_time is not None or (self.calendar is not None and self.calendar.by is not None):
            own.add("purchase_times")
        if self.calendar is not None:
            of_spend = find_family(self.family).kind == "spend"
            own |= (
                {"purchase_spend"} if of_spend else set(also_for_calendar(find_family(self.family).observed))
            )
        return own if self.money is None else own | self.money.also


def checked_fits(
    fits: Any, *, spending: str | None, baselines: Sequence[str], priced: bool
) -> dict[str, Fit | Forecaster]:
    """Return what is to be scored by name; families by their own; what cannot be used is refused."""
    if isinstance(fits, str | Fit):
        fits = [fits]
    if not isinstance(fits, Mapping):
        names = [each.family if isinstance(each, Fit) else each for each in fits]
        callables = [each for each in names if not isinstance(each, str)]
        if callables:
            raise InputError(
                f"{argument('fits')} has a {type(callables[0]).__name__} without a name. Give names: "
                f"{argument('fits', {'my forecast': 'bg_nbd'})}."
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(
                f"{argument('fits')} has {twice[0]!r} twice. Leave one out, or give both a name: {{'one': ...}}."
            )
        fits = dict(zip(names, fits, strict=True))
    if not fits:
        raise InputError(
            f"{argument('fits')} is empty. Name purchase families, such as ['bg_nbd', 'pareto_nbd']."
        )
    unknown = [name for name in baselines if name not in BASELINES]
    if unknown:
        raise InputError(f"Baseline {unknown[0]!r} is not known. Use any of {', '.join(BASELINES)}.")
    shared = [name for name in fits if name in baselines]
    if shared:
        raise InputError(
            f"{shared[0]!r} is the name of a fit and of a simple rule. Give the fit another one."
        )
    return {str(name): _checked(str(name), each, spending, priced) for name, each in fits.items()}


def _checked(name: str, given: Any, spending: str | None, priced: bool) -> Fit | Forecaster:
    if isinstance(given, str):
        given = Fit(given, spending)
    if not isinstance(given, Fit):
        if callable(given):
            forecaster: Forecaster = given
            return forecaster
        raise InputError(
            f"{name!r} of {argument('fits')} is a {type(given).__name__}. Give the name of a family, a "
            "clv.scoring.Fit, or a function of (customers, horizon, seed) that returns what clv.scoring.forecast makes."
        )
    _check_family(name, given, "purchases")
    if not priced or given.money is None:
        return replace(given, spending=None)
    _check_family(name, given.money, "spend")
    return given


def _check_family(name: str, fit: Fit, kind: Kind) -> None:
    known, whose = [*families(kind), *derived(kind)], "" if name == fit.family else f" of {name!r}"
    if fit.family not in known:
        what = "forecasts no purchases" if kind == "purchases" else "is no family of spend"
        raise InputError(f"The family {fit.family!r}{whose} {what}. Use one of {', '.join(known)}.")
    if fit.calendar is not None and fit.method not in (
        able := ("nuts",) if kind == "spend" else ("nuts", "laplace")
    ):
        raise InputError(
            f"The fit{whose or f' {name!r}'} has a calendar, which {argument('method', fit.method)} cannot fit. Use "
            f"{' or '.join(able)}."
        )
    if fit.over_time is not None:
        refuse_over_time(fit.family)
    if fit.method not in METHODS:
        raise InputError(f"The method {fit.method!r}{whose} is not known. Use one of {', '.join(METHODS)}.")


def key_of(what: Fit | Forecaster) -> Any:
    """Return what a fit or a function is known by on disk; None for a function that cannot be known again."""
    return what.key if isinstance(what, Fit) else function_key(what)
