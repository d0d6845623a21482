"""The feed: what became of commands and of what followed from them, one event after the other, for
others to follow. The tables' triggers and `write_batch.sql` write it; here it is numbered and read.
"""
