"""Labels and packing slips: what is printed for a parcel, drawn once and stored under its SHA-256.

Everything on a page follows from facts that no later command changes, so the same parcel gives the
same bytes, whoever draws it and however often.
"""
