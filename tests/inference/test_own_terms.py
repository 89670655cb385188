"""Terms of a family of one's own may hold any operation that PyTensor differentiates; others are refused by name.

NBD written with operations that are not written out (``inference.source``): a loop, a length and an index that the
parameters decide, a mask, an operator without Numba code. Each fits as the family written plainly does.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

import bayes_clv as clv
from bayes_clv.families import Term, check, family, register
from bayes_clv.families.purchases import gamma_rates
from bayes_clv.schema import InputError

NBD = family("nbd")
TRUTH = {"r": 0.6, "alpha": 8.0}
# More purchases than anyone makes here.
MOST = 64


def looped(params, x):
    """Return ln (r)_x, purchase by purchase."""

    def add(j, total, r, x):
        return total + pt.switch(pt.lt(j, x), pt.log(r + j), 0.0)

    r = params["r"] + pt.zeros_like(x)
    steps = pytensor.scan(
        add,
        sequences=pt.arange(MOST, dtype="float64"),
        outputs_info=pt.zeros_like(r),
        non_sequences=[r, pt.as_tensor(x)],
        return_updates=False,
    )
    return steps[-1]


def of_own_length(params, x):
    """Return ln (r)_x by a table whose width follows from r."""
    r = params["r"] + pt.zeros_like(x)
    j = pt.arange(MOST + pt.cast(pt.ceil(r.max()), "int64"))
    return pt.switch(pt.lt(j, x[:, None]), pt.log(r[:, None] + j), 0.0).sum(axis=1)


def looked_up(params, x, T):
    """Return the exposure's term from a table of two, at a place that r decides."""
    value = gamma_rates.exposure_term(params, x, T)
    return pt.stack([value, 2 * value])[pt.cast(pt.gt(pt.max(params["r"]), 1e6), "int64")]


def masked(params, x, T):
    """Return the exposure's term of those who bought, and then of the others, each looked up."""
    value = looked_up(params, x, T)
    bought = pt.gt(x * params["alpha"], 0)
    found = pt.set_subtensor(pt.zeros_like(value)[bought], value[bought])
    return pt.set_subtensor(found[~bought], value[~bought])


class Log1p(Op):
    """ln(1 + x) of a vector, of which Numba knows nothing; with a gradient, or without."""

    __props__ = ("sloped",)

    def __init__(self, sloped):
        self.sloped = sloped

    def make_node(self, x):
        x = pt.as_tensor(x)
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = np.log1p(inputs[0])

    def pullback(self, inputs, outputs, cotangents):
        if not self.sloped:
            raise NotImplementedError("Log1p has no slope")
        return [cotangents[0] / (1 + inputs[0])]


def by_operator(params, x, T, sloped=True):
    alpha = params["alpha"] + pt.zeros_like(T)
    return -params["r"] * Log1p(sloped)(T / alpha) - x * pt.log(alpha + T)


def without_slope(params, x, T):
    return by_operator(params, x, T, sloped=False)


def rewritten(name, rate=gamma_rates.rate_term, exposure=gamma_rates.exposure_term):
    terms = (Term(("frequency",), rate), Term(("frequency", "T"), exposure))
    return replace(NBD, name=f"nbd_{name}", likelihood=terms)


KINDS = {
    "indexed": rewritten("indexed", of_own_length, masked),
    "looped": rewritten("looped", rate=looped),
    "by_operator": rewritten("by_operator", exposure=by_operator),
}
# The others compile for a minute.
QUICK = "indexed"
of_every_kind = pytest.mark.parametrize(
    "kind", [kind if kind == QUICK else pytest.param(kind, marks=pytest.mark.full) for kind in KINDS]
)
pytestmark = pytest.mark.filterwarnings("ignore:Numba will use object mode")


@pytest.fixture(scope="module", autouse=True)
def registered():
    for record in KINDS.values():
        register(record)


@pytest.fixture(scope="module")
def customers():
    rng = np.random.default_rng(5)
    history = NBD.simulate(rng, {"T": np.tile([10.0, 20.0, 40.0], 100)}, TRUTH)
    assert history["frequency"].max() < MOST
    table = history | {
        "customer_id": [f"c{i:03d}" for i in range(300)],
        "channel": rng.choice(["shop", "web"], 300),
    }
    return clv.customers.from_table(pd.DataFrame(table), time_unit="week", columns=["channel"])


def fitted(name, customers, method, **options):
    return clv.fit(name, customers, method=method, seed=1, progress=False, **options)


def values(posterior):
    return {name: each.to_numpy() for name, each in posterior["posterior"].data_vars.items()}


@of_every_kind
def test_it_is_a_family(kind):
    check(KINDS[kind], customers=1_000)


@of_every_kind
def test_mode_and_laplace_are_those_of_the_family_written_plainly(kind, customers):
    """One likelihood to rounding: the peak is found to 1e-8 of a standard deviation, and the same seed proposes."""
    for method, options in (("mode", {}), ("laplace", {"draws": 50})):
        own, plain = (values(fitted(each, customers, method, **options)) for each in (f"nbd_{kind}", "nbd"))
        for name, expected in plain.items():
            np.testing.assert_allclose(own[name], expected, rtol=1e-6, err_msg=f"{method} {name}")


@of_every_kind
def test_nuts_samples_the_same_posterior(kind, customers, plainly_sampled):
    """The mean log rate and shape within 4.5 errors, sd × sqrt(1 / ess + 1 / ess)."""
    own = fitted(f"nbd_{kind}", customers, "nuts", draws=100, tune=200, chains=2)
    size = [clv.diagnostics(each)["ess_bulk_min"] for each in (own, plainly_sampled)]
    for name in ("population_purchase_rate", "r"):
        one, other = (np.log(values(each)[name]) for each in (own, plainly_sampled))
        error = other.std() * np.sqrt(1 / size[0] + 1 / size[1])
        assert abs(one.mean() - other.mean()) < 4.5 * error, name


@pytest.fixture(scope="module")
def plainly_sampled(customers):
    return fitted("nbd", customers, "nuts", draws=500, tune=200, chains=2)


@pytest.mark.full
def test_with_groups_its_parameters_are_vectors(customers):
    own, plain = (
        values(fitted(each, customers, "laplace", draws=50, groups={"purchase": "channel"}))
        for each in ("nbd_looped", "nbd")
    )
    for name, expected in plain.items():
        np.testing.assert_allclose(own[name], expected, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("exposure", "why"),
    [
        (without_slope, r"Log1p has no slope"),
        (lambda params, x, T: math.log(params["r"]) * x, r"fails on tensors.*TypeError"),
    ],
)
def test_a_term_that_cannot_be_is_named(exposure, why, customers):
    record = register(rewritten("impossible", exposure=exposure))
    with pytest.raises(InputError, match=rf"Family 'nbd_impossible': likelihood\[1\].*{why}"):
        clv.fit(record.name, customers, method="mode", seed=1)
    with pytest.raises(InputError, match=rf"Family 'nbd_impossible':.*likelihood\[1\].*{why}"):
        check(record, customers=1_000)
