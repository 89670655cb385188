"""Mathematics of plain arrays: integrals, sums, draws and paths; no family, no customer, no prior.

Every compiled function says ``fastmath=False`` where it does not want some of it: one that says nothing inherits it
from whoever compiles it first, which may be a PyTensor graph, whose default is on; and the caches keep what it lost.
"""

from pathlib import Path

from bayes_clv.distributions.caches import forget_changed

forget_changed(Path(__file__).parents[1])
