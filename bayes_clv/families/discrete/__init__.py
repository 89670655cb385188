"""Families of what can happen only at numbered occasions: opportunities to buy, renewals of contracts."""
