"""The families, one a file: how customers buy, spend or stay.

A family is a frozen record, ``Family`` (``contract.py`` says what each of its fields is and gives): data and functions
over named arrays. ``family(name)`` returns one of those there are, ``families(kind)`` their names, ``register(record)``
makes another known, and ``need(family, Forecast)`` returns its forecast, or says which families have one.
``check(record)`` says what a record of your own still lacks.

To add a family to the package, copy its simplest neighbour and add a line to ``registry.FAMILIES``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
