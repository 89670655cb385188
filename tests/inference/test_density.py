"""The compiled log density and its gradient against PyMC's own, of every family, plain and with effects."""

import operator
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import reduce
from types import FunctionType

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from numba import njit
from numpy.testing import assert_allclose
from pytensor.compile.mode import Mode

from bayes_clv.families.quantities import Prior, resolve, starting_point
from bayes_clv.families.registry import FAMILIES, family
from bayes_clv.inference import density
from bayes_clv.inference.data import checked_customers, distinct_rows, observed
from bayes_clv.inference.effects import learn_effects
from bayes_clv.inference.graph import build_model

# The graph as it was built: no rewriting, interpreted.
PLAIN = Mode("py", None)
# A covariate and a grouping column of every kind of data.
ACTING = {
    "none": (None, None),
    "covariates": (("age",), None),
    "groups": (None, ("channel",)),
    "both": (("age",), ("channel",)),
}


def base(kind, seed=1, size=120, channels=("shop", "web", "app")):
    """Return a small base of a kind, with an age and a channel."""
    rng = np.random.default_rng(seed)
    columns = {"age": rng.integers(20, 60, size), "channel": rng.choice(channels, size)}
    if kind == "opportunities":
        n = rng.integers(4, 7, size)
        t_x = rng.integers(0, n + 1)
        return pd.DataFrame(
            {"frequency": rng.integers(t_x > 0, t_x + 1), "recency": t_x, "opportunities": n} | columns
        )
    if kind == "contracts":
        active = rng.integers(0, 2, size)
        renewals = np.where(active, 5, rng.integers(0, 5, size))
        return pd.DataFrame({"renewals": renewals, "active": active, "periods": np.full(size, 5)} | columns)
    age = rng.uniform(20, 39, size)
    x = np.minimum(rng.geometric(0.3, size) - 1, 12)
    waits = [rng.dirichlet(np.ones(k + 1)) * T for k, T in zip(x, age, strict=True)]
    log_spend = [rng.normal(3, 0.4, k) for k in x]
    return pd.DataFrame(
        {
            "frequency": x,
            "recency": [each[:-1].sum() for each in waits],
            "T": age,
            "log_intervals": [np.log(each[:-1]).sum() for each in waits],
            "monetary_value": [np.exp(each).mean() if each.size else 0.0 for each in log_spend],
            "log_spend_mean": [each.mean() if each.size else np.nan for each in log_spend],
            "log_spend_sd": [each.std() if each.size else np.nan for each in log_spend],
        }
        | columns
    )


def model_of(name, acting="none", seed=1, priors=None, **changed):
    """Return the PyMC model of a family on a base."""
    record = family(name)
    covariates, groups = ACTING[acting]
    customers = checked_customers(record, base(record.kind, seed, **changed), ("age", "channel"))
    data = observed(record, customers)
    columns = dict(data.columns)
    effects = profiles = None
    if acting != "none":
        used = customers.isel(customer=data.usable)
        effects = learn_effects(
            record, used, covariates and dict.fromkeys(record.processes, covariates), groups
        )
        profiles = effects.profiles(used)
        columns["profile"] = profiles.index
    rows, count = distinct_rows(columns, data.count)
    scale = record.scale(rows, count)
    quantities = dict(record.quantities) | ({} if effects is None else effects.quantities())
    resolved = resolve(quantities, priors, scale)
    whole = {key: Prior("Fixed", value=2) for key, each in record.quantities.items() if each.whole}
    return build_model(
        record, rows, count, resolved | whole, starting_point(record.quantities, scale), effects, profiles
    ).graph


def points(model, count=4):
    """Return points around the model's start, as vectors and as PyMC's mappings."""
    start = model.initial_point()
    rng = np.random.default_rng(3)
    for spread in np.linspace(0, 1, count):
        point = {name: value + spread * rng.normal(size=np.shape(value)) for name, value in start.items()}
        yield np.concatenate([np.ravel(point[each.name]) for each in model.value_vars]), point


def through(function):
    """Return a compiled function that Python may call."""

    @njit
    def call(*given):
        return function(*given)

    return call


def as_python(compiled):
    """Return the function run by Python, where compiling takes up to half a minute; what it calls is compiled.

    PyTensor's functions can be called from compiled ones only.
    """
    plain = compiled.py_func
    called = {
        name: through(value) for name, value in plain.__globals__.items() if re.fullmatch(r"f\d+", name)
    }
    return FunctionType(plain.__code__, plain.__globals__ | called)


def assert_that_of_pymc(ours, model):
    """At four points around the start, Jacobians included."""
    # One by one: what is interpreted adds at most 32 at once.
    whole = reduce(operator.add, [each.sum() for each in model.logp(sum=False)])
    slopes = pt.grad(whole, model.value_vars, disconnected_inputs="ignore")
    theirs = model.compile_fn([whole, *slopes], mode=PLAIN, inputs=model.value_vars)
    for x, point in points(model):
        found, gradient = ours(x)
        value, *slope = theirs(point)
        assert_allclose(found, value, rtol=1e-10)
        exact = np.concatenate([np.ravel(each) for each in slope])
        assert_allclose(gradient, exact, rtol=1e-10, atol=1e-10 * np.abs(exact).max())


# Without effects it is what is compiled below. Covariates or groups alone: quickly of few families.
ALONE = ("pareto_nbd", "gamma_gamma", "shifted_beta_geometric")
WRITTEN = [
    pytest.param(name, acting, marks=() if acting == "both" or name in ALONE else pytest.mark.full)
    for name in FAMILIES
    for acting in ("covariates", "groups", "both")
]


@pytest.mark.parametrize(("name", "acting"), WRITTEN)
def test_what_is_written_is_the_value_and_gradient_of_pymc(name, acting):
    model = model_of(name, acting)
    ours = density.written_density(density.differentiated(model.logp(), model))
    with np.errstate(all="ignore"):
        assert_that_of_pymc(replace(ours, function=as_python(ours.function)), model)


@pytest.mark.parametrize("name", ["bg_nbd", "gamma_gamma"])
def test_more_groups_have_the_same_source(name):
    # Or every base with another number of channels would be compiled for seconds again.
    texts = set()
    for channels in (("shop", "web", "app"), tuple("abcdefg")):
        model = model_of(name, "both", channels=channels)
        texts.add(density.written_density(density.differentiated(model.logp(), model)).source)
    assert len(texts) == 1


# With effects, what is compiled is what every quick fit with effects samples from. Each compiles for seconds.
QUICK = ("bg_nbd", "pareto_nbd", "gamma_gamma", "shifted_beta_geometric")
COMPILED = [
    pytest.param(name, acting, marks=() if acting == "none" and name in QUICK else pytest.mark.full)
    for name in FAMILIES
    for acting in ACTING
]


@pytest.mark.parametrize(("name", "acting"), COMPILED)
def test_what_is_compiled_is_the_value_and_gradient_of_pymc(name, acting):
    model = model_of(name, acting)
    ours = density.of_model(model)
    assert isinstance(ours, density.Density)
    assert_that_of_pymc(ours, model)


# A vector and a positive number, through what is written, what is called and what is neither.
A = np.array([0.3, -1.2, 2.0, 0.7, -0.4])
PLACES, REPEATED = np.array([4, 0, 2]), np.array([1, 1, 3])
OPERATIONS = {
    "gathered": lambda a, b: (a[PLACES] * b).sum(),
    "set at places": lambda a, b: (pt.set_subtensor(a[PLACES], b * A[:3]) * A).sum(),
    "added at places": lambda a, b: (pt.inc_subtensor(a[REPEATED], b * A[:3]) * A).sum(),
    "a slice": lambda a, b: (a[1:4] * b).sum() + a[::-1][0],
    "set in a slice": lambda a, b: (pt.set_subtensor(a[1:3], b) ** 2).sum(),
    "joined": lambda a, b: (pt.concatenate([a * b, a[:2]]) ** 2).sum(),
    "cumulated": lambda a, b: (pt.cumsum(a) * b).sum(),
    "sorted": lambda a, b: (pt.sort(a) * A).sum() * b,
    "the largest": lambda a, b: pt.max(a) * b + pt.max(a * A),
    "a table": lambda a, b: pt.log(1 + (a[:, None] * A[None, :]) ** 2 * b).sum(axis=1)[2],
    "a product of matrices": lambda a, b: ((a[:, None] * A) @ (A[:, None] * a)).sum() * b,
    "a solution": lambda a, b: pt.linalg.solve(pt.eye(5) * (2 + b) + np.outer(A, A), a).sum(),
    "both": lambda a, b: (pt.and_(pt.gt(a, b - 1), pt.lt(a, 1.0)) * a * b).sum(),
    "of any row": lambda a, b: pt.switch((a[:, None] > A[None, :]).any(axis=1), a * b, a).sum(),
    "a mask": lambda a, b: (a[a > b - 1] ** 2).sum(),
    "a place of its own": lambda a, b: a[pt.clip(pt.cast(b * 2, "int64"), 0, 4)] * b,
    "a length of its own": lambda a, b: (pt.arange(pt.cast(3 * b, "int64") + 1) * a[0] * b).sum(),
    "a loop": lambda a, b: pytensor.scan(
        lambda each, total, b: total * b + each, a, pt.zeros(()), non_sequences=[b], return_updates=False
    )[-1],
    "nothing": lambda a, b: a[:0].sum() + b + a.sum(),
    "special": lambda a, b: (pt.gammainc(b, a**2) + pt.erf(a) + pt.betainc(b, 2.0, pt.sigmoid(a))).sum(),
}


def small_model(operation, number=1.0):
    with pm.Model() as model:
        a = pm.Normal("a", shape=5, initval=A)
        b = pm.HalfNormal("b", initval=0.9)
        pm.Potential("term", number * operation(a, b))
    return model


# The others compile for seconds each.
QUICK_ONES = ("set at places", "both", "a mask", "a place of its own", "a length of its own")


@pytest.mark.parametrize(
    "name",
    [each if each in QUICK_ONES else pytest.param(each, marks=pytest.mark.full) for each in OPERATIONS],
)
def test_any_operation_is_the_value_and_gradient_of_pymc(name):
    model = small_model(OPERATIONS[name])
    ours = density.of_model(model)
    for _ in range(2):
        assert_that_of_pymc(ours, model)


@pytest.mark.parametrize("name", ["gathered", "a mask"])
def test_a_shared_number_is_read_at_each_call(name):
    number = pytensor.shared(1.0)
    ours = density.of_model(small_model(OPERATIONS[name], number))
    assert isinstance(ours, density.PlainDensity if name == "a mask" else density.Density)
    number.set_value(2.5)
    assert_that_of_pymc(ours, small_model(OPERATIONS[name], 2.5))


def test_several_threads_may_call_it():
    ours = density.of_model(small_model(OPERATIONS["a mask"]))
    assert isinstance(ours, density.PlainDensity)
    x = np.random.default_rng(1).normal(size=(400, 6))
    alone = [ours(each)[0] for each in x]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda each: ours(each)[0], x)) == alone
