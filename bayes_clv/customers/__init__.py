"""Orders in, one row per customer out (an xarray Dataset with the dimension ``customer``)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
