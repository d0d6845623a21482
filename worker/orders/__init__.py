"""The pure part: what an order is and what the rules say. No I/O, no clock, no raise for a refusal.

`decide` is the one function that a merchant would argue about; preview, replay and the worker call
the same one.
"""
