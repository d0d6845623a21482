"""Accept and drain: how work comes in and how it is carried out, once for commands and follow-ups.

PostgreSQL holds the work. Claiming (A) takes a short lease and a number that never repeats; B
locks what is still ours, and commits its effect together with its end.
"""
