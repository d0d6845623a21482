"""Prometheus metrics: what each worker process counts, and one exposition for all of them.

Processes write their numbers into files of one folder (prometheus_client's multi-process mode); one
process more reads them, asks the database for what only it knows, and answers on loopback. Labels
are kinds, states, queues and reason classes: never ids, never personal data.
"""
