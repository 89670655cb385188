"""Families by their papers' symbols, for tests that hold them against a paper.

``paper("bg_nbd").expected_purchases(39, 2, 30.43, 38.86, 0.2426, 4.4136, 0.7929, 2.4259)``: times, history and
parameters in the paper's order or by their symbols, every argument broadcast against the others. What the family's
file has beside, its own formulas, is found under its own name.
"""

from importlib import import_module

import numpy as np

from bayes_clv.families.contract import LEVEL
from bayes_clv.families.registry import FAMILIES, family

SYMBOLS = {"frequency": "x", "recency": "t_x", "opportunities": "n"}
# Of each function of a kind: the record's, and how many times or counts come first.
PURCHASES = {
    "probability_alive": (lambda f: f.alive, 0),
    "latent_means": (lambda f: f.latent_means, 0),
    "state_while_alive": (lambda f: f.state, 0),
    "future_state": (lambda f: lambda *given: (f.alive(*given), *f.state(*given)), 0),
    "expected_purchases": (lambda f: f.purchases, 1),
    "survival": (lambda f: f.survival, 1),
    "purchases_pmf": (lambda f: f.pmf, 2),
    "purchases_at_least": (lambda f: f.at_least, 2),
    "discounted_purchases": (lambda f: f.discounted, 2),
    "discounted_residual_transactions": (lambda f: lambda *given: f.discounted(np.inf, *given), 1),
}
FORECASTS = {
    "purchases": PURCHASES,
    "opportunities": PURCHASES,
    "spend": {
        "expected_spend": (lambda f: f.expected, 0),
        "spend_state": (lambda f: f.state, 0),
    },
    "contracts": {
        "latent_means": (lambda f: f.latent_means, 0),
        "survival": (lambda f: f.survival, 1),
        "renewals_pmf": (lambda f: f.pmf, 2),
        "expected_renewals": (lambda f: f.expected, 1),
        "discounted_residual_lifetime": (lambda f: f.discounted, 1),
    },
}
DRAWN = {
    "latent_draws": lambda f: f.level_draws if hasattr(f, "level_draws") else f.latent_draws,
    "future_draws": lambda f: f.futures,
}
SAID = {
    "FAMILY": lambda record: record,
    "KIND": lambda record: record.kind,
    "PARAMETERS": lambda record: record.parameters,
    "QUANTITIES": lambda record: record.quantities,
    "OBSERVED": lambda record: record.observed,
    "HISTORY": lambda record: record.forecast.history,
    "PROCESSES": lambda record: record.processes,
    "CHECKED": lambda record: record.checked,
    "MEANINGS": lambda record: record.words.meanings,
    "LEVEL": lambda record: record.forecast.level,
    "PATHS": lambda record: record.forecast.paths,
    "parameters": lambda record: record.from_quantities,
    "data_scale": lambda record: record.scale,
    "likelihood_terms": lambda record: record.likelihood,
}


class Paper:
    """A family by its paper's symbols."""

    def __init__(self, name):
        self.record, self.module = family(name), import_module(FAMILIES[name])

    def __getattr__(self, key):
        if key in SAID:
            return SAID[key](self.record)
        if key in FORECASTS[self.record.kind]:
            function, leads = FORECASTS[self.record.kind][key]
            counts = key in ("purchases_pmf", "purchases_at_least")
            return lambda *given, **named: self._forecast(
                function(self.record.forecast), leads, counts, given, named
            )
        if key in DRAWN:
            function = DRAWN[key](self.record.forecast)
            return lambda rng, *given, **named: function(rng, *self._history(given, named))
        return getattr(self.module, key)

    def log_likelihood(self, params, *columns):
        """Return the log-likelihood of columns in the order of ``OBSERVED``."""
        return self.record.log_likelihood(params, dict(zip(self.record.observed, columns, strict=True)))

    def simulate(self, rng, *given, **named):
        """Return what is not in the design of simulated customers: an array, or a tuple of them."""
        found = self.record.simulate(rng, *self._named(self.record.design, given, named))
        history = getattr(self.record.forecast, "history", self.record.observed)
        names = [name for name in history if name not in self.record.design]
        drawn = tuple(found[name] for name in names)
        return drawn if len(drawn) > 1 else drawn[0]

    def purchases_pmfs(self, counts, t, *given, **named):
        """Return the probabilities of several counts, asked for together."""
        return self.record.forecast.pmf(np.asarray(counts), float(t), *self._history(given, named))

    def population_mean_spend(self, *given, **named):
        """Return the mean spend of an occasion over the population."""
        return self.record.forecast.population_mean(self._named((), given, named)[1])

    def retention_rate(self, renewal, *given, **named):
        """Return the share of those there before this renewal who make it."""
        return self.record.forecast.retention(renewal, self._named((), given, named)[1])

    def simulate_purchase_times(self, rng, *given, **named):
        """Return whose purchases, and when."""
        return self.record.forecast.times(rng, *self._named(self.record.design, given, named))

    def _named(self, columns, given, named):
        names = [SYMBOLS.get(name, name) for name in columns] + list(self.record.parameters)
        found = dict(zip(names, given, strict=False)) | named
        values = [np.asarray(found[name], dtype=float) for name in names]
        history = dict(zip(columns, values, strict=False))
        return history, dict(zip(self.record.parameters, values[len(columns) :], strict=True))

    def _history(self, given, named):
        columns = LEVEL if self.record.kind == "spend" else getattr(self.record.forecast, "history", None)
        return self._named(columns or self.record.observed, given, named)

    def _forecast(self, function, leads, counts, given, named):
        if "t" in named:
            given = (*(named[key] for key in ("n", "t")[-leads:]), *given)
            named = {key: each for key, each in named.items() if key not in ("n", "t")}
        first, (history, params) = given[:leads], self._history(given[leads:], named)
        if all(np.ndim(each) == 0 for each in first):
            return function(*(float(each) for each in first), history, params)
        if counts and not any(np.ndim(each) for each in (first[1], *history.values(), *params.values())):
            # Of one customer all counts at once.
            return np.reshape(
                function(np.ravel(first[0]), float(first[1]), history, params), np.shape(first[0])
            )
        whole = np.broadcast_arrays(*first, *history.values(), *params.values())
        flat = [np.ravel(each) for each in whole]
        keys, which = np.unique(np.stack(flat[:leads], axis=1), axis=0, return_inverse=True)
        found = np.empty(flat[0].size)
        for place, key in enumerate(keys):
            rows = np.ravel(which) == place
            past = {name: each[rows] for name, each in zip(history, flat[leads:], strict=False)}
            at = {name: each[rows] for name, each in zip(params, flat[leads + len(history) :], strict=True)}
            found[rows] = function(*key, past, at)
        return found.reshape(whole[0].shape)


def paper(name):
    """Return the family by its paper's symbols."""
    return Paper(name)
