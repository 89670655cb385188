"""Purchases at more even times than chance: phases, and Gamma waits."""
