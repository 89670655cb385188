"""Family and customers in, posterior out: an ArviZ DataTree that can be saved and predicted from."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
