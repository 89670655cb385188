"""Mathematics of plain arrays: integrals, sums, draws and paths; no family, no customer, no prior."""
