"""Orphans: files that no row names, left by runs that died or lost their lease, and by labels that
were made again.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from sqlalchemy import Engine

from worker.labels.documents import named
from worker.labels.files import Files, Stored

MIN_AGE_S: Final = 3600.0
"""A younger file may belong to a run whose row is not committed yet; a run takes a minute at most,
and one that wants an old orphan again makes it young.
"""
_AT_ONCE: Final = 500


def prune(engine: Engine, store: Files, *, dry_run: bool = False) -> Iterator[Stored]:
    """Remove the orphans, unless it is a dry run; yields each.

    Raises:
      Transient: The store cannot be used.
    """
    old = (one for one in store.stored() if one.age_s >= MIN_AGE_S)
    while some := list(islice(old, _AT_ONCE)):
        with engine.connect() as connection:
            kept = named(connection, [one.sha256 for one in some if one.sha256])
        for one in some:
            if one.sha256 not in kept:
                if not dry_run:
                    store.remove(one.name, older_than_s=MIN_AGE_S)
                yield one
