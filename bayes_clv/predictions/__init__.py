"""Posterior and customers in, futures out: simulated outcomes, closed forms of the expected level, synthetic logs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
