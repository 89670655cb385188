"""What customers are worth, of what it is made, and what new ones may cost."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
