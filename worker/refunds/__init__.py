"""Refunds on their way: each part is settled or fails, at a provider or by hand."""
