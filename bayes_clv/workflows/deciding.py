"""What a run chooses where nobody said: the family, whether customers change, and whether there is a calendar.

Each choice goes by a rule of ``scoring`` (``choose_family``, ``pace``), and is told in words with its reason.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from bayes_clv.language import joined, say
from bayes_clv.schema import also_for, also_for_calendar
from bayes_clv.workflows.settings import Settings, acting_on, families_of, open_choice, spend_family_of
from bayes_clv.workflows.stages import Stages

if TYPE_CHECKING:
    import xarray as xr

CHAINS = 4
# Draws a chain, most and least, where nobody said; and of how many futures a forecast takes minutes on two cores.
DRAWS_OF = 1000, 250
FUTURES = 1_000_000_000

# Of the CRPS of the last quarter: what a change of customers must gain to go before a calendar. Online Retail's drift
# gains .02 %; The Complete Journey's, over its last quarter, 10 % (studies.moving_customers).
SLIGHT = 0.005


def _refuse_early(settings: Settings, customers: "xr.Dataset") -> None:
    """Refuse before the first fit what would fail after it."""
    from bayes_clv.customers.sequences import SPEND_START, unpaid
    from bayes_clv.families.registry import family as find_family
    from bayes_clv.inference.data import observed
    from bayes_clv.inference.effects import check_mode, learn_effects
    from bayes_clv.inference.ledger import refuse_unpaid

    if settings.calendar_by is not None:
        from bayes_clv.inference.calendar import Calendar, learn_calendar
        from bayes_clv.inference.pooled import learn_groups

        by, name = settings.calendar_by, families_of(settings)["buying"]
        learn_groups(by, name, customers, learn_calendar(Calendar(by=by), name, customers))
    given = acting_on(settings)
    for role, family in families_of(settings).items():
        record = find_family(family)
        used = customers.isel(customer=observed(record, customers).usable)
        if SPEND_START in record.observed:
            refuse_unpaid(record, unpaid(used))
        acting = given[role].get("covariates"), given[role].get("groups")
        effects = learn_effects(record, used, *acting)
        if effects is not None:
            check_mode(effects, str(settings.method))


def to_summarize(settings: Settings) -> tuple[str, ...]:
    """Return what ``summarize`` is to be asked for: what the family reads, or what a choice does."""
    from bayes_clv.families.registry import family as find_family

    read = () if settings.family is None else find_family(families_of(settings)["buying"]).observed
    open_pace = settings.calendar is None and settings.method != "mode" and settings.posteriors is None
    # Times are for whoever looks at a customer's history afterwards, too.
    asked = [*also_for(read), "purchase_times"]
    if settings.spend is not None:
        asked += ["spend_trends", *also_for(find_family(spend_family_of(settings)).observed)]
    return tuple(
        dict.fromkeys([*asked, *(also_for_calendar(read) if settings.calendar or open_pace else ())])
    )


def decide_family(
    settings: Settings, customers: "xr.Dataset", stages: Stages
) -> tuple[Settings, dict[str, Any] | None]:
    """Return the settings with all that they leave open chosen, and the choice as ``run.json`` holds it."""
    from bayes_clv.families.registry import EXTENSIONS

    among, tried = open_choice(settings)
    said: dict[str, Any]
    if settings.posteriors is None:
        open_ones: dict[str, Any] = {"family": among[0]} | dict.fromkeys(tried, False) if among else {}
        _refuse_early(dataclasses.replace(settings, **open_ones), customers)
    if not among:
        return settings, None
    if settings.covariates or settings.groups:
        said = open_ones | {name: False for name in EXTENSIONS if getattr(settings, name) is None}
        return dataclasses.replace(settings, **said), _not_chosen(among)
    with stages.stage("choose the family" if settings.family is None else "choose whether customers change"):
        from bayes_clv.scoring import choose_family

        table = choose_family(customers, families=among, extensions=tried, seed=settings.seed)
    chosen = str(table.attrs["family"])
    base = next(name for name in among if chosen in (name, *(f"{name}_{each}" for each in tried)))
    said = {each: chosen == f"{base}_{each}" for each in tried}
    # What is left open and no family of these has.
    said |= {name: False for name in EXTENSIONS if name not in said and getattr(settings, name) is None}
    reason = str(table.attrs["reason"])
    if settings.calendar_by is not None:
        without = say(
            "Chosen was among the families that have a calendar by group, {families}, by histories without it.",
            families=", ".join(among),
        )
        reason = joined("{first} {second}", [reason, without])
    if settings.over_time is not None:
        without = say(
            "Chosen was among the families that take columns over time, {families}, by histories without them.",
            families=", ".join(among),
        )
        reason = joined("{first} {second}", [reason, without])
    choice = {
        "candidates": {str(name): row for name, row in table.to_dict(orient="index").items()},
        **{name: table.attrs[name] for name in ("customers", "sampled", "last")},
        "chosen": chosen,
        "reason": reason,
    }
    return dataclasses.replace(settings, family=base, **said), choice


def decide_calendar(
    settings: Settings, choice: dict[str, Any] | None, customers: "xr.Dataset", stages: Stages
) -> tuple[Settings, dict[str, Any] | None]:
    """Return the settings with whether there is a calendar, and what decided it where nobody said.

    It takes the place of drift by a ``choice`` of ``decide_family`` that gained next to nothing (``SLIGHT``), and
    stands beside one that gained more: frequent buyers have honest intervals from drift, totals from the calendar.
    On CDNOW's first 39 weeks, where drift gains little, both forecast worse than the calendar alone: the mean CRPS of
    customers was .3949 and .3942 (``bg_nbd`` by laplace). Where it gains 2 %, from the 58th week, both were better
    than either, .2400, .2446 and with drift alone .2419 (``mbg_nbd``), by the log score of buying at all too.
    """
    from bayes_clv.families.registry import CLOCKED, CLOCKED_CHANGES, EXTENSIONS
    from bayes_clv.families.registry import family as find_family

    if settings.calendar is not None:
        return settings, None
    if settings.calendar_by is not None:
        return dataclasses.replace(settings, calendar=True), None
    changes = [name for name in EXTENSIONS if getattr(settings, name)]
    slight = bool(changes) and _is_slight(choice)
    beside = len(changes) == 1 and settings.family in CLOCKED_CHANGES[changes[0]]
    if (
        not (not changes or slight or beside)
        or settings.family not in CLOCKED
        # A lifetime in calendar time makes a fit thirty times as dear: that is for who asks.
        or find_family(settings.family).paced is not None
        or settings.method == "mode"
        or settings.posteriors is not None
    ):
        return dataclasses.replace(settings, calendar=False), None
    with stages.stage("ask whether all customers' rate moves"):
        from bayes_clv.scoring import pace

        found: dict[str, Any] = dict(pace(str(settings.family), customers))
    moves = found["moves"] == 1
    left: dict[str, Any] = dict.fromkeys(changes if moves and slight else [], False)
    kept = [name for name in changes if name not in left] if moves else []
    words = {"instead": " and ".join(left), "beside": " and ".join(kept)}
    return dataclasses.replace(settings, calendar=moves, **left), found | words


def decide_method(settings: Settings) -> Settings:
    """Return the settings with a method: NUTS, but laplace where a calendar and a change are learned in one fit.

    On CDNOW NUTS takes 406 s for drift with one (84 with drift alone, 15 with a calendar alone), laplace 20, and they
    agree. Of returns a gradient is dearer still.
    """
    if settings.method is not None:
        return settings
    both = settings.calendar and (settings.drift or settings.returns)
    return dataclasses.replace(settings, method="laplace" if both else "nuts")


def draws_of(settings: Settings, customers: int) -> int:
    """Return the number of draws a chain: what keeps a forecast of very many customers to minutes.

    Of more customers the posterior is narrower and closer to normal, so that by laplace a thousand draws say as much of
    it as four thousand; what is dear then is each draw: a likelihood of all histories, and a future of every customer.
    """
    most, least = DRAWS_OF
    if settings.draws is not None:
        return settings.draws
    return (
        max(least, min(most, FUTURES // (CHAINS * max(customers, 1))))
        if settings.method == "laplace"
        else most
    )


def _is_slight(choice: dict[str, Any] | None) -> bool:
    """Return whether what was chosen forecasts the last quarter hardly better than the family that it extends."""
    if choice is None or choice["chosen"] not in choice["candidates"]:
        return False
    row = choice["candidates"][choice["chosen"]]
    return bool(row["crps_gain"] < SLIGHT * row["crps"])


def pace_words(found: dict[str, Any]) -> str:
    """Return in a sentence why there is a calendar, or none."""
    if found["periods"] == 0:
        return say("Too few purchases to ask whether the rate of all customers moves: no calendar.")
    told = {"weeks": found["periods"], "times": found["dispersion"]}
    instead, beside = (found.get(name) for name in ("instead", "beside"))
    if not found["moves"]:
        return say(
            "The {weeks:.0f} weeks of all customers' purchases spread {times:.1f} times as much as chance about what "
            "customers of one rate would make: no calendar (--calendar and --no-calendar say it).",
            **told,
        )
    if instead:
        return say(
            "The {weeks:.0f} weeks of all customers' purchases spread {times:.1f} times as much as chance about what "
            "customers of one rate would make: a calendar, in place of {form} (--calendar and --no-calendar say it).",
            **told,
            form=instead,
        )
    if beside:
        return say(
            "The {weeks:.0f} weeks of all customers' purchases spread {times:.1f} times as much as chance about what "
            "customers of one rate would make: a calendar, beside {form} (--calendar and --no-calendar say it).",
            **told,
            form=beside,
        )
    return say(
        "The {weeks:.0f} weeks of all customers' purchases spread {times:.1f} times as much as chance about what "
        "customers of one rate would make: a calendar (--calendar and --no-calendar say it).",
        **told,
    )


def together_words(settings: Settings) -> str | None:
    """Return by what a change and a calendar are fitted in one fit; None where they are not."""
    if not settings.calendar or settings.posteriors is not None or not (settings.drift or settings.returns):
        return None
    what = (
        say("Customers' rates drift, and all move with a calendar")
        if settings.drift
        else say("Customers fall asleep and come back, and all move with a calendar")
    )
    if settings.method == "laplace":
        return say("{what}: fitted by laplace (--method nuts takes minutes).", what=what)
    return say("{what}: fitted by {method}.", what=what, method=settings.method)


def variance_words(shares: dict[str, float]) -> str:
    """Return in a sentence what the variance of all customers' purchases is made of."""
    return say(
        "Of the variance of all customers' purchases {calendar} is what the calendar will do, {unknown} what the data "
        "leave open of customers and of the calendar so far, and {chance} the chance of single customers.",
        **{name: f"{100 * shares[name]:.0f} %" for name in ("calendar", "unknown", "chance")},
    )


def _not_chosen(among: list[str]) -> dict[str, Any]:
    """Return that the rule made no choice, which it makes among families without covariates and groups."""
    reason = " ".join(
        [
            say(
                "{family}, the first of {families}, by default and not by the rule: it compares families without "
                "covariates and groups, and here there are some.",
                family=among[0],
                families=", ".join(among),
            )
            if len(among) > 1
            else say(
                "{family} as it is, by default and not by the rule: it compares families without covariates and "
                "groups, and here there are some.",
                family=among[0],
            ),
            say(
                "Fit another family or form (--family, --drift, --returns), and ask clv.compare, in Python alone, "
                "which predicts better."
            ),
        ]
    )
    return {
        "candidates": {},
        "customers": 0,
        "sampled": False,
        "last": None,
        "chosen": among[0],
        "reason": reason,
    }
