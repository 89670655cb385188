"""``clv.targeting.fit_response``: what contacting changes, by segment, from an experiment.

Of a customer of segment s in arm a, the controls (0) or those with offer a::

    bought    ~ Bernoulli(p),     logit p = level_s + effect_as         (conversion; effect_0s = 0)
    spend     ~ Gamma(shape, shape / m),  log m = level'_s + effect'_as  (of those who bought)
    level_s   ~ Normal(log odds of conversion_control, conversion_control_sd)
    effect_as ~ Normal(conversion_effect_a, conversion_effect_sd_a)      and so for spend

so that the outcome of an arm is p m on average, and the uplift of contacting is the difference. Levels and effects are
partially pooled over segments: a small segment borrows from the others as much as the data say that segments are
alike. Offers share the controls, and with them the levels, and nothing else: what one offer does says nothing of
another, and how much segments differ is each offer's own.

**Gamma, not lognormal.** A decision needs mean spend. The likeliest mean of a Gamma is the sample's mean whatever the
shape of the data, while that of a lognormal is exp(mu + sigma²/2), which a wrong tail moves by any amount.

**Reduced exactly.** The likelihood of all customers depends on four sums of each segment and arm: customers,
conversions, the total of outcomes and that of their logarithms. A million customers cost what a hundred do.

Conversion and spend share no quantity, so that their posteriors are independent; ``laplace`` fits each by itself
(``nested``). Where every conversion brought the same amount there is no spend to model: the amount is a number.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import expit, gammaln

from bayes_clv.customers.experiments import check_experiment
from bayes_clv.families.quantities import FLAT, Prior, Quantity, resolve
from bayes_clv.inference.criticism import diagnostics as checks
from bayes_clv.inference.posterior import FORMAT, RESPONSE
from bayes_clv.inference.priors import plain_priors
from bayes_clv.inference.response_cells import ARM, OFFER, SEGMENT, named, offers_of_cells, reduce_experiment
from bayes_clv.inference.sampling import laplace as methods
from bayes_clv.inference.sampling import nuts
from bayes_clv.inference.sampling.nested import Hierarchy, nested_laplace
from bayes_clv.schema import CHAIN, DRAW, UNSTATED, InputError

METHODS = ("nuts", "laplace")

# Levels: any mean conversion; segments apart by a factor of up to 7 in their odds, and of 2.7 in their spend, in 19 of
# 20. Effects of contacting are small as a rule: the mean one changes odds by a factor of up to 2.7 and spend of up to
# 1.8 in 19 of 20, and segments differ in it by up to 1.8 and 1.5.
CONVERSION = {
    "conversion_control": Quantity(Prior("Beta", alpha=1, beta=1), upper=1.0),
    "conversion_control_sd": Quantity(Prior("HalfNormal", sigma=1.0)),
    "conversion_effect": Quantity(Prior("Normal", mu=0, sigma=0.5)),
    "conversion_effect_sd": Quantity(Prior("HalfNormal", sigma=0.3)),
}
SPEND = {
    "spend_control": Quantity(Prior("LogNormal", mu=0, sigma=1), relative=True),
    "spend_control_sd": Quantity(Prior("HalfNormal", sigma=0.5)),
    "spend_effect": Quantity(Prior("Normal", mu=0, sigma=0.3)),
    "spend_effect_sd": Quantity(Prior("HalfNormal", sigma=0.2)),
    "spend_shape": Quantity(Prior("LogNormal", mu=0, sigma=1)),
}
# Real numbers; every other quantity is positive.
EFFECTS = ("conversion_effect", "spend_effect")
MEANINGS = {
    "conversion_control": ("probability of buying without contact, average segment", "probability"),
    "conversion_control_sd": ("standard deviation over segments of its log odds", "none"),
    "conversion_effect": ("change of the log odds of buying by contact, average segment", "none"),
    "conversion_effect_sd": ("standard deviation over segments of that change", "none"),
    "spend_control": ("mean spend of who buys without contact, average segment", "money"),
    "spend_control_sd": ("standard deviation over segments of its logarithm", "none"),
    "spend_effect": ("change of the log mean spend of who buys by contact, average segment", "none"),
    "spend_effect_sd": ("standard deviation over segments of that change", "none"),
    "spend_shape": ("shape of the Gamma distribution of spend: 1 / its squared coefficient of variation", "none"),
    "conversion_control_offset": ("log odds of buying without contact, less those of the average segment", "none"),
    "conversion_effect_offset": ("change of the log odds by contact, less that of the average segment", "none"),
    "spend_control_offset": ("log mean spend without contact, less that of the average segment", "none"),
    "spend_effect_offset": ("change of the log mean spend by contact, less that of the average segment", "none"),
}  # fmt: skip


def fit_response(
    experiment: xr.Dataset,
    *,
    method: str = "nuts",
    priors: Mapping[str, Prior] | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int,
    progress: bool = True,
) -> xr.DataTree:
    """Return the posterior of the response to an action, by segment, given an experiment.

    Parameters
    ----------
    experiment : xarray.Dataset
        What ``clv.customers.from_experiment`` returned.
    method : {"nuts", "laplace"}
        NUTS; or nested Laplace proposals, importance-corrected, in seconds, with their Pareto k
        (``inference.sampling.nested``).
    priors : mapping of str to Prior, optional
        In place of the defaults (``inference.response.CONVERSION`` and ``SPEND``): ``conversion_control`` Beta(1, 1),
        ``conversion_effect`` Normal(0, 0.5), ``conversion_control_sd`` and ``conversion_effect_sd`` HalfNormal(1) and
        (0.3); ``spend_control`` LogNormal(log of the data's mean, 1), ``spend_effect`` Normal(0, 0.3),
        ``spend_control_sd`` and ``spend_effect_sd`` HalfNormal(0.5) and (0.2), ``spend_shape`` LogNormal(0, 1).
    draws, tune, chains, seed, progress
        As in ``clv.fit``.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior``: the quantities above (chain, draw), of the average segment, and each segment's offsets
        from them on the log odds or log scale, such as ``conversion_effect_offset`` (chain, draw, segment), where there
        are several segments; effects have a dimension ``offer`` where the experiment names its offers;
        ``sample_stats``; ``observed_data`` (segment, arm): customers, conversions, outcome_total
        and outcome_log_total. The root's attributes are those of ``clv.fit``; ``amount`` is there where every
        conversion brought the same, and nothing of spend is then in the posterior. ``clv.save`` and ``clv.load``
        serve.

    Raises
    ------
    InputError
        For an experiment as in ``clv.customers.from_experiment``, in which nobody bought, or an unknown method or
        prior.

    Notes
    -----
    The effect is that of being drawn to be contacted. It holds for customers like those of the experiment, in a time
    like that of the experiment, and where one customer's contact does not change what another does.

    Examples
    --------
    >>> response = fit_response(experiment, method="laplace", draws=250, seed=1)
    >>> response["posterior"]["conversion_effect_offset"].dims
    ('chain', 'draw', 'segment')
    """
    if method not in METHODS:
        raise InputError(f"Method {method!r} is not known. Use one of {', '.join(METHODS)}.")
    for name, value in (("draws", draws), ("tune", tune), ("chains", chains)):
        if value < 1:
            raise InputError(f"{name}={value} must be at least 1.")
    check_experiment(experiment)
    cells, amount = reduce_experiment(experiment)
    count = cells.sizes[SEGMENT]
    parts = [CONVERSION] if amount is not None else [CONVERSION, SPEND]
    if count == 1:
        parts = [{name: each for name, each in part.items() if not name.endswith("_sd")} for part in parts]
    scale = float(cells["outcome_total"].sum() / cells["conversions"].sum())
    resolved = resolve({k: v for part in parts for k, v in part.items()}, plain_priors(priors), scale)
    flat = [name for name, prior in resolved.items() if prior == FLAT]
    if flat:
        raise InputError(
            f"{flat[0]!r} needs a prior: with few segments nothing else bounds how they differ. Give Prior(...)."
        )
    report: dict[str, Any]
    if method == "nuts":
        model, names = _graph(parts, cells, resolved, scale)
        posterior, stats = nuts.nuts(
            model,
            names,
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            progress=progress,
            hierarchical=count > 1,
        )
    else:
        fits = []
        for number, part in enumerate(parts):
            if count == 1:
                model, names = _graph([part], cells, resolved, scale)
                fits.append(methods.laplace(model, names, draws=draws, chains=chains, seed=seed + number))
            else:
                rng = np.random.default_rng([seed, number])
                fits.append(_nested(part, cells, resolved, scale, draws, chains, rng))
        posterior = xr.merge([fit[0] for fit in fits])
        stats = fits[0][1]
        report = {
            name: (max if name.startswith("pareto_k") else min)(fit[2][name] for fit in fits)
            for name in fits[0][2]
        }
        names = [str(name) for name in posterior.data_vars]
    for name in names:
        text, unit = MEANINGS[name]
        posterior[name].attrs = {"long_name": text, "units": {"none": "no unit"}.get(unit, unit)}
    included = {"posterior": posterior, "sample_stats": stats, "observed_data": cells}
    if method == "nuts":
        report = checks.diagnose_nuts(xr.DataTree.from_dict(included), names)
    else:
        report = checks.diagnose_laplace(report)
    tree = xr.DataTree.from_dict(included)
    tree.attrs = {
        "format": FORMAT,
        "family": RESPONSE,
        "method": method,
        "time_unit": UNSTATED,
        "customers": int(cells["customers"].sum()),
        "priors": json.dumps({name: [p.distribution, dict(p.arguments)] for name, p in resolved.items()}),
        "seed": seed,
        "versions": json.dumps(methods.versions()),
        "diagnostics": checks.as_json(report),
        "audit": str(experiment.attrs.get("audit", "[]")),
    } | ({} if amount is None else {"amount": amount})
    return tree


def links(xp: Any, values: Mapping[str, Any], part: str, offsets: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the level of controls and of each offer, on the log odds (conversion) or log scale (spend).

    The one place where quantities and offsets become arms: tensors in the model, (segment, 1) and (segment, offer),
    DataArrays after it.
    """
    mean = values[f"{part}_control"]
    level = xp.log(mean) - xp.log1p(-mean) if part == "conversion" else xp.log(mean)
    control = level + offsets.get(f"{part}_control_offset", 0.0)
    return control, control + values[f"{part}_effect"] + offsets.get(f"{part}_effect_offset", 0.0)


def _conversions(xp: Any, level: Any, cells: Mapping[str, np.ndarray]) -> Any:
    """Return the log-likelihood of each cell's purchases, log odds ``level``."""
    return cells["conversions"] * level - cells["customers"] * xp.logaddexp(0.0, level)


def _spends(
    xp: Any, level: Any, shape: Any, log_gamma: Callable[[Any], Any], cells: Mapping[str, Any]
) -> Any:
    """Return the log-likelihood of each cell's spends, log mean ``level``: a sum of Gamma log densities."""
    each = shape * (xp.log(shape) - level) - log_gamma(shape)
    return (
        (shape - 1) * cells["outcome_log_total"]
        - shape * xp.exp(-level) * cells["outcome_total"]
        + cells["conversions"] * each
    )


def _arrays(cells: xr.Dataset) -> dict[str, np.ndarray]:
    return {str(name): value.transpose(SEGMENT, ARM).to_numpy() for name, value in cells.data_vars.items()}


def _crude(part: str, cells: Mapping[str, np.ndarray], scale: float) -> float:
    """Return the level of all controls, a plausible start."""
    bought, people = cells["conversions"].sum(), cells["customers"].sum()
    return math.log((bought + 0.5) / (people - bought + 0.5)) if part == "conversion" else math.log(scale)


def _name(part: Mapping[str, Quantity]) -> str:
    return next(iter(part)).partition("_")[0]


def _graph(
    parts: list[dict[str, Quantity]], cells: xr.Dataset, priors: Mapping[str, Prior], scale: float
) -> tuple[Any, list[str]]:
    """Return the PyMC model of these parts and the names of what to keep."""
    import pymc as pm
    import pytensor.tensor as pt

    from bayes_clv.inference.graph import prior_variable

    known, offers, several = _arrays(cells), offers_of_cells(cells), named(cells)
    names = []
    with pm.Model(coords={SEGMENT: cells[SEGMENT].to_numpy().tolist(), OFFER: offers}) as model:
        for part in parts:
            word = _name(part)
            values = {
                name: prior_variable(name, priors[name], OFFER if several and _of_offer(name) else None)
                for name in part
            }
            names += list(values)
            offsets: dict[str, Any] = {}
            if f"{word}_control_sd" in part:
                kept, offsets = _offsets(word, values, known, scale, several=several)
                names += list(kept)
            size = (cells.sizes[SEGMENT], len(offers))
            control, treated = links(pt, values, word, offsets)
            log_mean = pt.concatenate(
                [pt.broadcast_to(control, (size[0], 1)), pt.broadcast_to(treated, size)], axis=1
            )
            if word == "conversion":
                total = _conversions(pt, log_mean, known)
            else:
                total = _spends(pt, log_mean, values["spend_shape"], pt.gammaln, known)
            pm.Potential(f"{word}_log_likelihood", total.sum())
    return model, names


def _of_offer(name: str) -> bool:
    """Return whether each offer has this quantity."""
    return "_effect" in name


def _offsets(
    word: str, values: Mapping[str, Any], known: Mapping[str, np.ndarray], scale: float, *, several: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the offsets of levels, centred, and of effects, not centred: as they are kept, and as ``links`` has them.

    The data know a segment's level far better than how levels spread, so that it is sampled itself; of its effect they
    know little, and then the centred form is a funnel.
    """
    import pymc as pm
    import pytensor.tensor as pt

    control, effect = f"{word}_control_offset", f"{word}_effect_offset"
    centre, _ = links(pt, values, word, {})
    own = pm.Normal(
        f"{word}_control_level",
        centre,
        values[f"{word}_control_sd"],
        dims=SEGMENT,
        initval=np.full(known["customers"].shape[0], _crude(word, known, scale)),
    )
    dims = (SEGMENT, OFFER) if several else SEGMENT
    z = pm.Normal(f"{effect}_z", dims=dims)
    kept = {
        control: pm.Deterministic(control, own - centre, dims=SEGMENT),
        effect: pm.Deterministic(effect, values[f"{word}_effect_sd"] * z, dims=dims),
    }
    return kept, {control: kept[control][:, None], effect: kept[effect] if several else kept[effect][:, None]}


def _nested(
    part: dict[str, Quantity],
    cells: xr.Dataset,
    priors: Mapping[str, Prior],
    scale: float,
    draws: int,
    chains: int,
    rng: np.random.Generator,
) -> tuple[xr.Dataset, xr.Dataset, dict[str, float]]:
    """Return draws of one part, segments integrated out and put back; see ``nested``."""
    word, known, offers, several = _name(part), _arrays(cells), offers_of_cells(cells), named(cells)
    count = len(offers)
    level = _crude(word, known, scale)
    spread = [
        math.log(dict(priors[f"{word}_{what}_sd"].arguments).get("sigma", 0.3) / 2)
        for what in ("control", "effect")
    ]
    start = [level, spread[0], *[0.0] * count, *[spread[1]] * count, *([] if word == "conversion" else [0.0])]
    # The quantity of each place of a population vector.
    names = [name for name in part for _ in range(count if _of_offer(name) else 1)]
    model = Hierarchy(
        _conversion_terms(known) if word == "conversion" else _spend_terms(known),
        _log_prior(names, priors),
        np.array(start),
        cells.sizes[SEGMENT],
        count,
    )
    population, levels, effects, report = nested_laplace(model, size=draws * chains, rng=rng)
    values = {
        name: _natural(name, population[:, [i for i, each in enumerate(names) if each == name]])
        for name in part
    }
    values[f"{word}_control_offset"] = levels - population[:, 0, None]
    values[f"{word}_effect_offset"] = effects - population[:, None, 2 : 2 + count]
    labels = {CHAIN: np.arange(chains), DRAW: np.arange(draws)}
    posterior = xr.Dataset(
        {name: _labelled(name, value, (chains, draws), several=several) for name, value in values.items()},
        coords=labels
        | {SEGMENT: cells[SEGMENT].to_numpy()}
        | ({OFFER: np.array(offers, dtype=object)} if several else {}),
    )
    stats = xr.Dataset(coords=labels)
    return posterior, stats, report


def _labelled(
    name: str, value: np.ndarray, shape: tuple[int, int], *, several: bool
) -> tuple[Any, np.ndarray]:
    """Return dimensions and draws of a quantity; ``value`` is (draw, [segment], [offer])."""
    dims = [SEGMENT] if name.endswith("_offset") else []
    sizes = [value.shape[1]] if dims else []
    if several and _of_offer(name):
        dims, sizes = [*dims, OFFER], [*sizes, value.shape[-1]]
    return (CHAIN, DRAW, *dims), value.reshape(*shape, *sizes)


def _conversion_terms(cells: Mapping[str, np.ndarray]) -> Any:
    def terms(level: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p = expit(level)
        people = cells["customers"]
        return _conversions(np, level, cells), cells["conversions"] - people * p, -people * p * (1 - p)

    return terms


def _spend_terms(cells: Mapping[str, np.ndarray]) -> Any:
    def terms(level: np.ndarray, population: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        shape = np.exp(population[:, -1])[:, None, None]
        paid = shape * np.exp(-level) * cells["outcome_total"]
        return _spends(np, level, shape, gammaln, cells), paid - shape * cells["conversions"], -paid

    return terms


def _natural(name: str, x: Any) -> Any:
    """Return a quantity from its value on the whole line."""
    if name in EFFECTS:
        return x
    return expit(x) if name == "conversion_control" else np.exp(x)


def _log_prior(names: list[str], priors: Mapping[str, Prior]) -> Callable[[np.ndarray], np.ndarray]:
    """Return the log prior density of vectors on the whole line, with the Jacobian."""
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    from bayes_clv.inference.graph import unnamed

    x = pt.dmatrix("x")
    total: Any = 0.0
    for i, name in enumerate(names):
        line = x[:, i]
        if name in EFFECTS:
            value, jacobian = line, 0.0
        elif name == "conversion_control":
            value, jacobian = pt.sigmoid(line), pt.log(pt.sigmoid(line)) + pt.log(pt.sigmoid(-line))
        else:
            value, jacobian = pt.exp(line), line
        total = total + pm.logp(unnamed(name, priors[name]), value) + jacobian
    # Interpreted: it is called some hundred times on long vectors, and compiling takes seconds.
    compiled: Callable[[np.ndarray], np.ndarray] = pytensor.function([x], total, mode="FAST_COMPILE")
    return compiled
