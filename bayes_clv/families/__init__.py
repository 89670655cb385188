"""The families, one a file: how customers buy, spend or stay.

A family is a frozen record, ``Family`` (``contract.py`` says what each of its fields is and gives): data and functions
over named arrays. ``family(name)`` returns one of those there are, ``families(kind)`` their names, ``register(record)``
makes another known, and ``need(family, Forecast)`` returns its forecast, or says which families have one.
``check(record)`` says what a record of your own still lacks.

To add a family to the package, copy its simplest neighbour and add a line to ``registry.FAMILIES``.
"""

from bayes_clv.families.conformance import check
from bayes_clv.families.contract import (
    Columns,
    Coordinate,
    Family,
    Forecast,
    Kind,
    Params,
    Renewals,
    SpendLevel,
    Words,
    need,
)
from bayes_clv.families.likelihood import Term
from bayes_clv.families.quantities import Prior, Quantity
from bayes_clv.families.registry import FAMILIES, families, family, register

__all__ = [
    "FAMILIES",
    "Columns",
    "Coordinate",
    "Family",
    "Forecast",
    "Kind",
    "Params",
    "Prior",
    "Quantity",
    "Renewals",
    "SpendLevel",
    "Term",
    "Words",
    "check",
    "families",
    "family",
    "need",
    "register",
]
