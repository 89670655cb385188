"""``fit``: one family, the customers, one posterior.

The likelihood is evaluated on distinct histories with counts, exactly (``reduction``), on unit-free
priors (``families.quantities``). Predictive groups are simulated from the family's own simulator
rather than from the PyMC graph, so that one simulator is checked and used everywhere.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_clv.customers.contracts import placed
from bayes_clv.customers.sequences import PURCHASE_START, PURCHASE_TIMES, SPEND_START, unpaid
from bayes_clv.families.contract import Family
from bayes_clv.families.group_time import PLACE
from bayes_clv.families.own_time import PATH
from bayes_clv.families.quantities import Prior, resolve, starting_point
from bayes_clv.families.registry import family as find_family
from bayes_clv.families.registry import form_of, refuse_calendar, refuse_over_time
from bayes_clv.inference.calendar import Calendar, LearnedCalendar, drawn_calendar, learn_calendar
from bayes_clv.inference.choice import choose, settled
from bayes_clv.inference.criticism import diagnostics as checks
from bayes_clv.inference.criticism import predictive
from bayes_clv.inference.criticism.retention import retention_check
from bayes_clv.inference.data import checkable, checked_customers, distinct_rows, observed
from bayes_clv.inference.effects import Columns as ColumnNames
from bayes_clv.inference.effects import check_flat, learn_effects, needed_columns
from bayes_clv.inference.ledger import PAYER, read_ledger, refuse_unpaid
from bayes_clv.inference.over_time import learn_columns
from bayes_clv.inference.pooled import drawn_groups, learn_groups
from bayes_clv.inference.posterior import FORMAT, described
from bayes_clv.inference.priors import plain_priors
from bayes_clv.inference.sampling import laplace as methods
from bayes_clv.inference.sampling import nuts
from bayes_clv.schema import CUSTOMER, PERIODS_AGO, UNSTATED, InputError, argument, check_seed
from bayes_clv.units import days_per

METHODS = ("nuts", "laplace", "mode")
GROUPS = ("prior", "prior_predictive", "posterior_predictive", "log_prior", "log_likelihood")


def fit(
    family: str,
    customers: Any,
    *,
    method: str = "nuts",
    drift: bool = False,
    returns: bool = False,
    trend: bool = False,
    covariates: Mapping[str, ColumnNames] | None = None,
    groups: Mapping[str, ColumnNames] | ColumnNames | None = None,
    calendar: Calendar | None = None,
    over_time: str | Sequence[str] | None = None,
    priors: Mapping[str, Prior | float] | str | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int,
    progress: bool = True,
    include: Collection[str] = (),
) -> xr.DataTree:
    """Return the posterior of a family's population parameters given the customers.

    Parameters
    ----------
    family : str
        Purchases at any time: ``"bg_nbd"``, ``"mbg_nbd"`` (a customer may leave after the first purchase too),
        ``"pareto_nbd"`` (and at any time), ``"pareto_abe"`` (and its rates may be correlated) or ``"nbd"`` (nobody
        leaves: the baseline); of customers with ``log_intervals`` (``summarize(..., also=('log_intervals',))``)
        ``"bg_cnbd_k"`` and ``"mbg_cnbd_k"``, in which times between purchases are as even as k says, and
        ``"pareto_ggg"``, in which each customer is as regular as it is. Spend per occasion, of customers
        with at least one repeat occasion and a positive mean spend: ``"gamma_gamma"``, or ``"lognormal_spend"``
        where every repeat occasion was paid. Purchases at discrete opportunities: ``"bg_bb"``. Contracts:
        ``"shifted_beta_geometric"`` or ``"beta_discrete_weibull"``.
    customers : xarray.Dataset or pandas.DataFrame
        What ``summarize``, ``clv.customers.from_opportunities``, ``clv.customers.from_contracts`` or
        ``clv.customers.from_survivors`` returned, or the table of such a door, for example with ``frequency, recency,
        T``. Rows with a ``count``, at opportunities and of contracts, stand for that many customers.
    method : {"nuts", "laplace", "mode"}
        NUTS; an importance-corrected Laplace approximation, many times faster, with its Pareto k; or the
        posterior mode, which with ``priors="flat"`` is the maximum-likelihood estimate.
    drift : bool
        Whether a customer's purchase rate drifts, with a half-life that is learned, instead of being one for ever: of
        ``"nbd"``, ``"bg_nbd"``, ``"mbg_nbd"`` and ``"pareto_nbd"``, and of customers with their purchase times
        (``summarize(..., also=("purchase_times",))``). The posterior is of the family ``"bg_nbd_drift"``, and so on. Of
        ``"lognormal_spend"`` it is the level of spend that drifts, about the customer's own; with ``trend`` too.
    returns : bool
        Whether a customer that seems to have left may be asleep and come back, of ``"bg_nbd"`` and ``"mbg_nbd"``, and
        of customers with their purchase times: the family ``"bg_nbd_returns"``, and so on. All come back at last;
        ``priors={"never_returns": Prior("Beta", alpha=1, beta=1)}`` learns the share of sleeps that never end. Not
        together with ``drift``.
    trend : bool
        Of ``"lognormal_spend"`` and ``"gamma_gamma"``: whether spend an order changes with the customer's age, to the
        longest age seen (``families.spend.moving``); of customers with
        ``summarize(..., also=("log_spend", "purchase_spend"))``. The posterior is of the family
        ``"lognormal_spend_trend"``, and so on.
    covariates : mapping of str to column name(s) or formula(s), optional
        Columns of the customers (``clv.with_columns``) and what they act on: a process of the family
        (``PROCESSES``: "purchase", "dropout"; "spend") or one of its quantities by name, on the log scale, or that of
        the log odds for a probability. ``{"purchase": ["age", "gender"], "dropout": "gender"}``. Numbers are
        centred and scaled by these customers' mean and standard deviation, text and bools are compared
        with their first level. A formula may be given in place of a name, ``"age * C(year) + np.log(income)"``: see
        ``customers.formula`` for what it may hold.
    groups : column name(s), or mapping of str to column name(s), optional
        Columns whose labels (channel, cohort, country) have offsets of their own, partially pooled: as many as
        the data support, from none to separate. Without mapping, on every quantity; else on processes and
        quantities by name, ``{"purchase": "channel", "dropout": ["channel", "country"], "r": "channel"}``.
    calendar : clv.inference.Calendar, optional
        What happens to everybody at once: the rate of purchase of the whole base, by period, is learned too, and drawn
        for the future (``inference.calendar``); of ``"bg_nbd"``, ``"mbg_nbd"`` and ``"nbd"``, by ``"nuts"`` or
        ``"laplace"``, and of customers with ``summarize(..., also=("periods",))`` or purchase times; of
        ``"bg_cnbd_k"`` and ``"mbg_cnbd_k"``, with purchase times, whose k is chosen beforehand without the calendar;
        and of ``"pareto_nbd"``, whose fit it makes thirty times as dear. Of ``"lognormal_spend"`` and
        ``"gamma_gamma"`` it is the spend of a purchase that moves, of customers with ``also=("purchase_spend",)``; the
        latter's likelihood is then that of every amount, and not of each customer's mean (``inference.ledger``); with
        ``trend`` and ``drift`` too, of customers who came in several periods. Of
        ``"shifted_beta_geometric"`` and ``"beta_discrete_weibull"`` it is how readily all contracts are left, period by
        period of renewal, of contracts with ``periods`` (``clv.customers.from_dates``, ``from_survivors``). With
        ``drift`` of ``"bg_nbd"``, ``"mbg_nbd"`` and ``"nbd"``, whose rates then drift in operational time; not with
        ``returns``.
    over_time : column name(s), optional
        Columns whose value changes over a customer's life (``clv.customers.with_columns_over_time``): each multiplies
        the customer's purchase rate while it holds (``inference.over_time``); of ``"bg_nbd"``, ``"mbg_nbd"`` and
        ``"nbd"``, and of customers with purchase times. Its posterior is ``over_time_coefficient`` (chain, draw,
        over_time_effect), the log of the factor for 1 against 0, or for one standard deviation of other numbers over
        the time observed, with the prior Normal(0, 1); ``clv.inference.effects_over_time`` says it as factors. Together
        with covariates, groups and a ``calendar``, and not with ``drift`` or ``returns``. Forecasts need what the
        columns will be (``clv.customers.with_plan``).
    priors : mapping of str to Prior, or "flat", optional
        Priors by name, in place of the defaults: ``Prior("LogNormal", mu=0, sigma=1)``, or PyMC's own
        ``pm.LogNormal.dist(mu=0, sigma=1)``; of population quantities (``QUANTITIES`` of the family), of
        coefficients (``purchase_coefficient``; Normal(0, 1)) and of the groups' standard deviations
        (``purchase_channel_sd``; HalfNormal(0.5) for a process, HalfNormal(0.2) for shapes, ``r_channel_sd``). A plain
        number fixes a quantity there: ``{"k": 2}``, ``{"population_dropout": 0.1}``. A k that is not fixed is chosen by
        its evidence, before the fit and without covariates and groups; ``diagnostics`` hold the evidence of each.
    draws, tune, chains : int
        Draws kept and warm-up draws of each chain. ``laplace`` makes ``draws * chains`` independent draws.
    seed : int
        The same seed, versions and machine give the same draws.
    progress : bool
        Show the sampler's progress bar.
    include : collection of str
        Further groups: ``"prior"``, ``"prior_predictive"``, ``"posterior_predictive"`` (500 draws each; the
        predictive ones replicate the whole base and count its customers by class of frequency or mean
        spend, beside the same counts in ``observed_data``) and ``"log_likelihood"`` (pointwise, one column a
        distinct history, which all customers who share it have: ``count`` in ``observed_data``), for ``compare``;
        with ``"log_prior"`` (of each sampled quantity) for ``clv.inference.prior_sensitivity``. With a calendar the
        log-likelihood is that of a customer given g, and needs ``summarize(..., also=("purchase_times",))``; one of
        spend has no predictive groups.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` (chain, draw), ``sample_stats``, ``observed_data`` (row: the distinct
        histories and how many customers share each) and those asked for. The root's attributes hold
        family, method, time unit, priors, versions, seed and diagnostics. With covariates, ``purchase_coefficient``
        (chain, draw, purchase_effect) and the like; with groups, ``purchase_channel_offset`` (chain, draw, channel)
        and ``purchase_channel_sd``; the population quantities are then those of the average customer (all
        covariates at their mean) of the average group. The root's ``effects`` remembers encodings and labels.

    Raises
    ------
    InputError
        For an unknown family, method or prior, an impossible history, data from which nothing can be learned (one
        customer, no repeat purchase, no contract lost), and columns that are missing, have gaps or do not vary.

    Notes
    -----
    Failed checks are attached, not printed: read ``diagnostics(posterior)``, or the report, which puts
    them first.

    Examples
    --------
    >>> import bayes_clv as clv
    >>> customers = clv.summarize(clv.load_cdnow(), until="1997-09-30")
    >>> buying = clv.fit("bg_nbd", customers, method="mode", priors="flat", seed=1)
    >>> round(float(buying.posterior["r"].mean()), 4)
    0.2426
    """
    check_seed(seed)
    if method not in METHODS:
        raise InputError(f"Method {method!r} is not known. Use one of {', '.join(METHODS)}.")
    unknown = sorted(set(include) - set(GROUPS))
    if unknown:
        raise InputError(f"Group {unknown[0]!r} is not known. Ask for any of {', '.join(GROUPS)}.")
    for name, value in (("draws", draws), ("tune", tune), ("chains", chains)):
        if value < 1:
            raise InputError(f"{name}={value} must be at least 1.")
    record = find_family(form_of(family, trend=trend, drift=drift, returns=returns))
    if over_time is not None:
        refuse_over_time(record.name)
        _check_over_time(include)
    needed = needed_columns(covariates, groups)
    grouping = getattr(calendar, "by", None)
    further = [*needed, grouping] if isinstance(grouping, str) else needed
    dataset = checked_customers(record, customers, list(dict.fromkeys(further)))
    if calendar is not None and record.kind == "contracts":
        refuse_calendar(record.name)
        dataset = placed(dataset)
        record = replace(record, observed=(*record.observed, PERIODS_AGO), design=(PERIODS_AGO,))
    data = observed(record, dataset)
    record = record.of(dataset)
    columns = dict(data.columns)
    learned, pooled, ledger, times = None, None, None, None
    if calendar is not None:
        seen_by = dataset.isel({CUSTOMER: data.usable}) if record.kind == "spend" else dataset
        learned = learn_calendar(calendar, record.name, seen_by)
        _refuse_one_age(record, learned, seen_by)
        _check_calendar_fit(method, priors, include, learned, seen_by)
        if grouping is not None:
            pooled = learn_groups(grouping, record.name, dataset, learned)
            _check_groups(pooled.by, include, over_time)
            columns[PLACE] = pooled.place(dataset)[data.usable].astype(float)
        if learned.of_spend:
            ledger = read_ledger(seen_by, learned.days, learned.unit_days, learned.size)
            refuse_unpaid(record, ledger.unpaid)
            learned = replace(learned, information=1 / ledger.variance)
            columns[PAYER] = np.arange(ledger.size.size)
    elif record.kind == "spend" and SPEND_START in columns:
        refuse_unpaid(record, unpaid(dataset.isel({CUSTOMER: data.usable})))
    changing = None
    if over_time is not None:
        changing = learn_columns(over_time, dataset)
        columns[PATH] = dataset[PATH].to_numpy()[data.usable]
    moves = learned is not None or changing is not None
    if moves and record.kind == "purchases" and "log_likelihood" in include:
        # What the pace adds to a customer's density goes by its days.
        times = dataset[PURCHASE_TIMES].to_numpy().astype(float)
        columns[PURCHASE_START] = dataset[PURCHASE_START].to_numpy().astype(float)
    effects, profiles = None, None
    if needed:
        used = dataset.isel(customer=data.usable)
        effects = learn_effects(record, used, covariates, groups)
    if effects is not None:
        profiles = effects.profiles(used)
        columns["profile"] = profiles.index
    rows, count = distinct_rows(columns, data.count)
    scale = record.scale(rows, count)
    quantities = dict(record.quantities) | ({} if effects is None else effects.quantities())
    quantities |= {} if learned is None else learned.quantities()
    quantities |= {} if pooled is None else pooled.quantities()
    quantities |= {} if changing is None else changing[0].quantities()
    resolved = resolve(quantities, plain_priors(priors), scale)
    if effects is not None:
        check_flat(effects, resolved, method)

    from bayes_clv.inference.graph import build_model, log_prior
    from bayes_clv.inference.pointwise import pointwise_log_likelihood

    start = starting_point(record.quantities, scale)
    choices = choose(record, rows, count, resolved, start, likelihood=method == "mode")
    fixed = settled(resolved, choices)
    built = build_model(
        record,
        rows,
        count,
        fixed,
        start,
        effects,
        profiles,
        as_stated=method == "mode",
        calendar=learned,
        ledger=ledger,
        over_time=changing,
        pooled=pooled,
    )
    model, names = built.graph, built.names
    report: dict[str, Any]
    if method == "nuts":
        posterior, stats = nuts.nuts(
            model,
            names,
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            progress=progress,
            hierarchical=learned is not None or (effects is not None and bool(effects.labels)),
        )
    elif method == "laplace":
        posterior, stats, report = methods.laplace(model, names, draws=draws, chains=chains, seed=seed)
    else:
        posterior, stats, report = methods.mode(model, names)
    posterior = described(
        built.with_constants(posterior),
        record,
        dataset.attrs.get("time_unit", UNSTATED),
        effects,
        learned,
        None if changing is None else changing[0],
        pooled,
        dataset.attrs.get("currency"),
    )

    row = np.arange(count.size)
    seen = xr.Dataset(
        {name: ("row", value) for name, value in {**rows, "count": count}.items()}, coords={"row": row}
    )
    included: dict[str, xr.Dataset] = {"posterior": posterior, "sample_stats": stats, "observed_data": seen}
    if method == "nuts":
        report = checks.diagnose_nuts(xr.DataTree.from_dict(included), names)
    elif method == "laplace":
        report = checks.diagnose_laplace(report)
    else:
        report = checks.diagnose_mode(report)
    for name, choice in choices.items():
        report = checks.with_choice(report, choice, int(dict(resolved[name].arguments)["upper"]))

    if record.kind == "contracts" and effects is None and learned is None:
        at_large = {name: posterior[name].to_numpy() for name in record.parameters}
        report = checks.with_problem(report, retention_check(record, dataset, at_large))

    # One generator per group: asking for one more group leaves the others as they were.
    prior_rng, predictive_rng, past_rng = (np.random.default_rng([seed, stream]) for stream in (1, 2, 3))
    if {"prior", "prior_predictive"} & set(include):
        # Of the family's own quantities: a calendar is drawn in a form that has no way forwards.
        stated = build_model(
            record, rows, count, fixed, start, effects, profiles, as_stated=True, over_time=changing
        ).graph
        moving = [*([] if learned is None else learned.names), *([] if pooled is None else pooled.names)]
        own = [name for name in names if name not in moving]
        included["prior"] = built.with_constants(predictive.prior_draws(stated, own, prior_rng))
    if {"prior_predictive", "posterior_predictive"} & set(include):
        columns = checkable(record, data)
        classes = predictive.observed_classes(record.checked, columns[record.checked])
        if profiles is not None:
            columns = columns | {"profile": np.repeat(profiles.index, data.count)}
        if pooled is not None:
            columns = columns | {PLACE: np.repeat(pooled.place(dataset)[data.usable], data.count)}
        included["observed_data"] = xr.merge([seen, classes])
        if "prior_predictive" in include:
            pasts = None if learned is None else predictive.prior_pasts(learned, fixed, past_rng)
            included["prior_predictive"] = predictive.replicate(
                record, included["prior"], columns, classes, prior_rng, effects, profiles, pasts
            )
        if "posterior_predictive" in include:
            thinned = predictive.thin(posterior)
            moving_past = None if learned is None else drawn_calendar(learned, thinned, seed)
            pasts = None if moving_past is None else moving_past.pasts()
            if moving_past is not None and pooled is not None:
                pasts = drawn_groups(pooled, thinned).pasts(moving_past)
            included["posterior_predictive"] = predictive.replicate(
                record, thinned, columns, classes, predictive_rng, effects, profiles, pasts
            )
    if "log_prior" in include:
        included["log_prior"] = log_prior(fixed, posterior)
    if "log_likelihood" in include:
        included["log_likelihood"] = pointwise_log_likelihood(
            record,
            posterior,
            rows,
            effects,
            profiles,
            calendar=learned,
            ledger=ledger,
            times=times,
            groups=pooled,
            over_time=changing,
            unit_days=1.0 if changing is None else days_per(str(dataset.attrs["time_unit"])),
        )
    tree = xr.DataTree.from_dict(included)
    tree.attrs = {
        "format": FORMAT,
        "family": record.name,
        "method": method,
        "time_unit": dataset.attrs.get("time_unit", UNSTATED),
        # The last day that the fit has seen, so that no forecast of days before it is scored as one.
        "until": str(dataset.attrs.get("until", "")),
        "customers": int(count.sum()),
        "distinct_rows": int(count.size),
        "customers_left_out": data.left_out,
        "priors": json.dumps({name: [p.distribution, dict(p.arguments)] for name, p in resolved.items()}),
        "seed": seed,
        "versions": json.dumps(methods.versions()),
        "diagnostics": checks.as_json(report),
    } | ({} if effects is None else {"effects": effects.to_json()})
    if learned is not None:
        tree.attrs["calendar"] = learned.to_json()
    if changing is not None:
        tree.attrs["over_time"] = changing[0].to_json()
    if pooled is not None:
        tree.attrs["calendar_groups"] = pooled.to_json()
    return tree


def _check_over_time(include: Collection[str]) -> None:
    """Refuse what a fit with columns over time cannot give."""
    for name in ("prior_predictive", "posterior_predictive"):
        if name in include:
            raise InputError(
                f"Group {name!r} is not there of a fit with columns over time yet. Fit without {argument('over_time')} "
                "for it."
            )


def _check_groups(by: str, include: Collection[str], over_time: Any) -> None:
    """Refuse what a fit whose calendar differs by group cannot give."""
    if over_time is not None:
        raise InputError(
            f"Columns over time and a calendar by group cannot be had in one fit yet. Leave {argument('by', by)} out "
            f"of Calendar(), or {argument('over_time', over_time)}."
        )
    if "prior_predictive" in include:
        raise InputError(
            f"Group 'prior_predictive' is not there of a fit whose calendar differs by group yet. Leave "
            f"{argument('by', by)} out of Calendar() for it."
        )


def _refuse_one_age(family: Family, learned: LearnedCalendar, customers: xr.Dataset) -> None:
    """Refuse a trend of spend beside its calendar where all customers came in one period."""
    if not (learned.of_spend and "growth" in family.quantities):
        return
    spread = float(customers["T"].max() - customers["T"].min())
    if spread < learned.width:
        raise InputError(
            f"All customers came within {spread * learned.unit_days:.0f} days, so that a trend of spend by age "
            f"({argument('trend', True)}) cannot be told from {argument('calendar')}: within a customer the two are "
            "one, and customers of other ages tell them apart. Ask for one of them, or give customers who came later."
        )


def _check_calendar_fit(
    method: str, priors: Any, include: Collection[str], learned: LearnedCalendar, customers: xr.Dataset
) -> None:
    """Refuse what a fit with a calendar cannot give."""
    if method == "mode":
        serves = "method='nuts'" if learned.of_spend else "method='nuts' or method='laplace'"
        raise InputError(
            "A calendar has a rate for each period, and the scale of these has its highest density at 0: "
            f"{argument('method', method)} cannot fit it. Give {serves}."
        )
    if learned.of_spend and method != "nuts":
        # CDNOW: Pareto k .61 and .81, and the 5 % points of both scales up to twice those of NUTS.
        raise InputError(
            f"{argument('method', method)} misses small scales of a calendar of spend. Give method='nuts'."
        )
    if isinstance(priors, str):
        raise InputError(
            f"A calendar's scales need priors: {argument('priors', priors)} leaves them none. Give priors by name, or "
            "leave them to their defaults."
        )
    if "log_likelihood" in include and PURCHASE_TIMES not in customers and not learned.of_leaving:
        raise InputError(
            "Group 'log_likelihood' of a fit with a calendar goes by the days of each customer's purchases, and the "
            "customers lack 'purchase_times'. Summarise the orders with summarize(..., also=('periods', "
            "'purchase_times'))."
        )
    for name in ("prior_predictive", "posterior_predictive"):
        if learned.of_spend and name in include:
            raise InputError(
                f"Group {name!r} is not there of a fit with a calendar of spend: a replicated base keeps the days of "
                "the purchases, and only what they bring would be new. Fit without the calendar for it, or hold the "
                "forecast against a holdout (clv.evaluate)."
            )
