"""Families of purchases at any time."""
