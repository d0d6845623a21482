"""The broker: dramatiq on Redis, hardened so that Redis may cost latency and nothing else.

PostgreSQL is the queue of record. What travels here are hints and door messages, and a message that
runs twice is harmless; one that is stranded, or a thread that died unnoticed, is not.
"""
