"""Waiting for commands to be decided, by asking the database; no worker has to answer."""

import time
from collections.abc import Iterable, Iterator
from typing import Final
from uuid import UUID

from sqlalchemy import Engine

from worker.store.reading import Ended, ended

_ASK_AT_ONCE: Final = 5_000
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 0.5


def outcomes(engine: Engine, command_ids: Iterable[UUID], *, timeout_s: float) -> Iterator[Ended]:
    """How the commands ended, as they end; stops when `timeout_s` pass without one."""
    open_ids = list(dict.fromkeys(command_ids))
    pause_s = _FIRST_PAUSE_S
    deadline = time.monotonic() + timeout_s
    while open_ids:
        found = list(_ask(engine, open_ids))
        yield from found
        if found:
            gone = {one.command_id for one in found}
            open_ids = [one for one in open_ids if one not in gone]
            pause_s = _FIRST_PAUSE_S
            deadline = time.monotonic() + timeout_s
        elif time.monotonic() >= deadline:
            return
        else:
            time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _ask(engine: Engine, open_ids: list[UUID]) -> Iterator[Ended]:
    for start in range(0, len(open_ids), _ASK_AT_ONCE):
        with engine.connect() as connection:
            yield from ended(connection, open_ids[start : start + _ASK_AT_ONCE])
