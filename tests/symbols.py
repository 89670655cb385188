"""Families by their papers' symbols, for tests that hold them against a paper."""

from importlib import import_module

from bayes_clv.families.registry import FAMILIES, family

_OF_THE_RECORD = {
    "KIND": lambda record: record.kind,
    "PROCESSES": lambda record: record.processes,
    "CHECKED": lambda record: record.checked,
    "NAME": lambda record: record.words.title,
    "SUMMARY": lambda record: record.words.summary,
    "CAUTION": lambda record: record.words.caution,
    "LEVEL": lambda record: record.forecast.level,
    "LIFETIME": lambda record: record.forecast.law,
    "HISTORY": lambda record: record.forecast.history,
}


class Paper:
    """A family's functions of positional arguments, and what its record says."""

    def __init__(self, name):
        self.record, self.module = family(name), import_module(FAMILIES[name])

    def __getattr__(self, key):
        return _OF_THE_RECORD[key](self.record) if key in _OF_THE_RECORD else getattr(self.module, key)


def paper(name):
    """Return the family by its paper's symbols."""
    return Paper(name)
