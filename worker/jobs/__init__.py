"""Bulk jobs: files of shipments, loaded as a whole and carried out by workers chunk by chunk.

`source` and `encoding` read the bytes, `columns`, `reading` and `rows` what they mean; `loading`
puts them into the database, `route` carries them out, `foreseeing` says what would become of them.
"""
