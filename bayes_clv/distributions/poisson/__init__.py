"""Purchases at random, at rates that vary over customers as a Gamma."""
