"""Mathematics of plain arrays: integrals, sums, draws and paths; no family, no customer, no prior.

Every compiled function says ``fastmath=False`` where it does not want some of it: one that says nothing inherits it
from whoever compiles it first, which may be a PyTensor graph, whose default is on; and the caches keep what it lost.
"""
