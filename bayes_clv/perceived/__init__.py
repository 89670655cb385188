"""What customers say: offers at their price against each other, weights, satisfaction, quality, drivers of value."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
