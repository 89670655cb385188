"""Everything before, for the eye: figures and the report.

matplotlib, ArviZ and jinja2 are imported on first use of a view, so that ``import bayes_clv`` stays light.
Figures return what ArviZ returns (a PlotCollection) or a matplotlib figure, and state their level.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
