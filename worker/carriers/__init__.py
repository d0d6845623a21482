"""Carriers: which are common, what their tracking numbers look like, and the shop's own table."""
