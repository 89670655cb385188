"""Families of spend per purchase."""
