"""The runtime: rules, store, the work mechanism, operations. Imports `messages`, never `actors`."""

__version__ = "0.1.0"
