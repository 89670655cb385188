"""Simulation and rule in, memberships out: the probability of each, sizes and totals with intervals."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
