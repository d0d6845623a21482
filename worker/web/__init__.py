"""The HTTP door: commands in, outcomes and orders out. A file for each noun of its addresses.

It decides nothing: a command is a row once it is answered with 202, and workers do the rest.
Without a database it says 503; Redis is never waited for.
"""
