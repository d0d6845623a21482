"""The runtime: rules, store, the work mechanism and operations. Imports `messages`, never `actors`."""
