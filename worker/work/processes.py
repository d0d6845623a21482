"""Worker processes, for people who look: which are alive, since when, and what is in their hands.

Each says so itself every few seconds, in a row of its own. Nothing depends on these rows: whose
work is whose is told by leases alone.
"""

import os
import socket
import time
from collections.abc import Collection
from typing import Any, Final
from uuid import uuid4

import orjson
from sqlalchemy import Connection

from worker.work.claim import Batch

TELL_EVERY_S: Final = 3.0
ALIVE_S: Final = 15.0
"""Who has said nothing for so long is taken for dead, and no longer shown."""

TELL = """
-- tell: this process is here, and what it does. The commit waits for no disk: it is soon said again
insert into worker_processes (id, host, pid, queues, started_at, seen_at, doing)
select %(id)s::uuid, %(host)s, %(pid)s, %(queues)s::text[],
  now() - %(up_s)s * interval '1 second', now(), %(doing)s::jsonb
where set_config('synchronous_commit', 'off', true) is not null
on conflict (id) do update set seen_at = excluded.seen_at, doing = excluded.doing
"""

LEAVE = """
-- leave: it has ended its work
delete from worker_processes where id = %(id)s
"""

SWEEP = """
-- sweep: rows of processes that were killed
delete from worker_processes where seen_at < now() - interval '1 day'
"""

LIST_PROCESSES = """
-- list_processes: those that were heard of lately
select host, pid, queues, started_at, seen_at, doing from worker_processes
where seen_at > now() - %(alive_s)s * interval '1 second' order by host, started_at, pid
"""


class Presence:
    """What this process says of itself."""

    def __init__(self, queues: Collection[str], *, every_s: float = TELL_EVERY_S) -> None:
        self._row = {
            "id": uuid4(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": list(queues),
        }
        self._every_s = every_s
        self._began_at = time.monotonic()
        self._told_at: float | None = None

    def tell(self, connection: Connection, held: Collection[tuple[Batch, float]]) -> None:
        """Say what is in its hands, if it was not said just now."""
        now = time.monotonic()
        if self._told_at is None:
            connection.exec_driver_sql(SWEEP)
        elif now - self._told_at < self._every_s:
            return
        self._told_at = now
        doing = [
            {
                "queue": batch.route,
                "batch": batch.claim,
                "rows": len(batch.rows),
                "for_s": round(held_s, 1),
            }
            for batch, held_s in held
        ]
        parameters = {"up_s": now - self._began_at, "doing": orjson.dumps(doing).decode()}
        connection.exec_driver_sql(TELL, self._row | parameters)

    def leave(self, connection: Connection) -> None:
        """Be there no more."""
        connection.exec_driver_sql(LEAVE, {"id": self._row["id"]})


def processes(connection: Connection) -> list[dict[str, Any]]:
    """Each worker process that is alive: its `host` and `pid`, the `queues` that it serves, when it
    started and was seen, and the batches in its hands at that moment: of which `queue`, how many
    `rows`, for how long. `batch` is their `claim` in the tables of work.
    """
    rows = connection.exec_driver_sql(LIST_PROCESSES, {"alive_s": ALIVE_S})
    return [dict(row) for row in rows.mappings()]
