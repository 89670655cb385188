"""``check`` passes every family of the package, and names the member of a record that is missing or wrong."""

import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from bayes_clv.families import FAMILIES, Prior, Term, check, family
from bayes_clv.families.registry import derived
from bayes_clv.schema import InputError

# One history of these costs up to a millisecond.
DEAR = {"pareto_ggg": 200, "pareto_abe": 400}

NBD, SPEND, CONTRACTS = family("nbd"), family("gamma_gamma"), family("shifted_beta_geometric")
RATE = "population_purchase_rate"


def of_forecast(record, **changed):
    return replace(record, forecast=replace(record.forecast, **changed))


def of_words(**changed):
    return replace(NBD, words=replace(NBD.words, **changed))


def times(factor, function):
    """Return the function with its result multiplied."""
    return lambda *given: factor * np.asarray(function(*given))


def without(name, function):
    return lambda *given: {key: value for key, value in function(*given).items() if key != name}


def scaled(term):
    """Return a term that is off by a factor of the parameters: no density any more."""
    return Term(term.columns, lambda params, *columns: term.function(params, *columns) + 0.3 * params["r"])


def later(function):
    """Return a simulator whose customers buy once more than they do."""

    def simulate(*given):
        found = function(*given)
        return found | {"frequency": found["frequency"] + 1}

    return simulate


F = NBD.forecast


def quicker(columns, params):
    rate, dropout = F.latent_means(columns, params)
    return 1.2 * rate, dropout


def sooner(*given):
    customer, age = F.times(*given)
    return customer, 0.8 * age


QUANTITY = NBD.quantities[RATE]
WRONG = [
    ("kind", replace(NBD, kind="rentals")),
    ("forecast is a Forecast", replace(NBD, kind="spend")),
    (r"words\.title", of_words(title="")),
    (r"words\.meanings lacks 'r'", of_words(meanings={k: v for k, v in NBD.words.meanings.items() if k != "r"})),
    (r"words\.meanings\['r'\]", of_words(meanings=dict(NBD.words.meanings) | {"r": ("shape", "furlongs")})),
    ("checked", replace(NBD, checked="orders")),
    ("design", replace(NBD, design=("until",))),
    ("flat default", replace(NBD, quantities=dict(NBD.quantities) | {"r": replace(QUANTITY, prior=Prior("Flat"))})),
    ("process", replace(NBD, quantities=dict(NBD.quantities) | {RATE: replace(QUANTITY, process="luck")})),
    ("from_quantities lacks 'alpha'", replace(NBD, from_quantities=without("alpha", NBD.from_quantities))),
    (r"from_quantities\(\)\['r'\]", replace(NBD, from_quantities=lambda q: NBD.from_quantities(q) | {"r": -1.0})),
    ("scale", replace(NBD, scale=lambda columns, count: np.nan)),
    ("simulate is None", replace(NBD, simulate=None)),
    ("simulate lacks the column 'recency'", replace(NBD, simulate=without("recency", NBD.simulate))),
    ("pmf of a new customer does not agree with simulate", replace(NBD, simulate=later(NBD.simulate))),
    (r"forecast\.history names 'visits'", of_forecast(NBD, history=(*F.history, "visits"))),
    (r"forecast\.latent", of_forecast(NBD, latent=("purchase_rate",))),
    (r"forecast\.alive is None", of_forecast(NBD, alive=None)),
    (r"forecast\.survival at time 0", of_forecast(NBD, alive=times(0.9, F.alive))),
    (r"forecast\.survival gives", of_forecast(NBD, survival=times(1.1, F.survival))),
    (r"forecast\.purchases gives an array of shape", of_forecast(NBD, purchases=lambda *given: F.purchases(*given).T)),
    (r"forecast\.discounted at rate 0", of_forecast(NBD, purchases=times(1.1, F.purchases))),
    (r"forecast\.pmf", of_forecast(NBD, pmf=times(0.9, F.pmf))),
    (r"forecast\.at_least", of_forecast(NBD, at_least=times(0.9, F.at_least))),
    (r"forecast\.discounted", of_forecast(NBD, discounted=times(0.9, F.discounted))),
    (r"forecast\.latent_draws \(purchase_rate\)", of_forecast(NBD, latent_means=quicker)),
    (r"forecast\.state or forecast\.futures", of_forecast(NBD, state=None)),
    (r"forecast\.times", of_forecast(NBD, times=sooner)),
    ("in days", of_words(meanings=dict(NBD.words.meanings) | {"alpha": ("rate of the rates", "none")})),
    ("likelihood.*'r'.*simulate", replace(NBD, likelihood=(scaled(NBD.likelihood[0]), NBD.likelihood[1]))),
    (r"likelihood\[0\] reads 'visits'", replace(NBD, likelihood=(Term(("visits",), NBD.likelihood[0].function),))),
    (r"forecast\.pays", of_forecast(SPEND, pays="cash")),
    (r"forecast\.level is", of_forecast(SPEND, level="visits")),
    (r"forecast\.occasion", of_forecast(SPEND, occasion="visits")),
    (r"forecast\.population_mean", of_forecast(SPEND, population_mean=times(1.1, SPEND.forecast.population_mean))),
    (r"forecast\.spend", of_forecast(SPEND, spend=times(1.1, SPEND.forecast.spend))),
    (r"forecast\.survival of a new", of_forecast(CONTRACTS, retention=times(0.9, CONTRACTS.forecast.retention))),
    (r"the sum of forecast\.pmf", of_forecast(CONTRACTS, pmf=times(0.9, CONTRACTS.forecast.pmf))),
    (r"forecast\.expected", of_forecast(CONTRACTS, expected=times(0.9, CONTRACTS.forecast.expected))),
    (r"forecast\.discounted", of_forecast(CONTRACTS, discounted=times(0.9, CONTRACTS.forecast.discounted))),
    (r"forecast\.latent_draws", of_forecast(CONTRACTS, latent_means=times(0.9, CONTRACTS.forecast.latent_means))),
]  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_the_package_passes(name):
    check(family(name), customers=DEAR.get(name, 2_000))


@pytest.mark.parametrize(
    ("member", "record"), WRONG, ids=[f"{n}-{member}" for n, (member, _) in enumerate(WRONG)]
)
def test_a_record_with_a_member_missing_or_wrong_is_refused_by_its_name(member, record):
    with pytest.raises(InputError, match=f"^Family '{record.name}': .*{member}"):
        check(record, customers=2_000)


def test_what_is_no_record_is_told_so():
    with pytest.raises(InputError, match="takes a clv.families.Family; given was dict"):
        check({"name": "nbd"})


def test_every_paper_that_a_family_names_is_in_the_bibliography():
    entries = (files("bayes_clv.families") / "references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{(\w+),", entries, flags=re.MULTILINE))
    named = {
        key for name in [*FAMILIES, *derived(), *derived("spend")] for key in family(name).words.references
    }
    assert named == known
