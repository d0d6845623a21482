"""The only SQL about orders: sets in, sets out. Functions take a connection; `work` opens
transactions.
"""
