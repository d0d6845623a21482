"""The route of jobs: a worker sends what a file says, chunk by chunk.

A chunk's commands and the job's position are written by one transaction, so whoever is killed
anywhere, the next one goes on exactly there. After each chunk the job is due again at once, behind
others that are due: two jobs share the workers.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Engine

from messages.wire import COMMANDS, JOBS
from worker.jobs.chunks import next_rows, store
from worker.jobs.job import Options
from worker.jobs.parcels import plan, send
from worker.work.attempts import at_once
from worker.work.claim import JOBS_TABLE, Batch, lock_claimed
from worker.work.drain import Route

log = structlog.get_logger()

LOOK: Final = """
-- look_at_job: after the fence, or it would be of the moment before a wait for it
select position, options, issued_by from jobs where id = %(id)s
"""

MOVE: Final = """
-- move: so far is sent, and the job is due again; or it is done
update jobs set
  position = %(position)s, sent = sent + %(rows)s,
  state = case when %(is_done)s then 'done' else state end,
  decided_at = case when %(is_done)s then now() end,
  next_at = case when %(is_done)s then next_at else now() end,
  lease_until = null, waits_for = null, attempts = 0, crashes = 0, alone = false
where id = %(id)s
"""


def jobs_route(engine: Engine, *, hint: Callable[[str], object] = lambda _: None) -> Route:
    """The route of jobs; `hint` tells of commands that were accepted."""

    def carry_out(one: Batch) -> bool:
        sent = at_once(partial(chunk, engine, one))
        if sent is None:
            log.warning("taken_away", route=JOBS, id=str(one.ids[0]))
            return False
        if sent:
            hint(COMMANDS)
        return True

    # One job at a time, and one thread: accepting is the database's work.
    return Route(JOBS, JOBS_TABLE, carry_out, batch_size=1, drainers=1)


def chunk(engine: Engine, one: Batch, _: bool = True) -> int | None:  # noqa: FBT001, FBT002  # it locks no orders
    """Send the job's next parcels: how many rows they had, None if the job is in other hands."""
    (job_id,) = one.ids
    with engine.begin() as connection:
        if not lock_claimed(connection, one).rows:
            return None
        job = connection.exec_driver_sql(LOOK, {"id": job_id}).one()
        rows, position = next_rows(connection, job_id, job.position)
        if rows:
            options = Options({}, issued_by=job.issued_by, **job.options)
            parcels = plan(connection, rows, batch=options.batch, **options.fields)
            send(connection, parcels)
            store(connection, job_id, parcels)
        connection.exec_driver_sql(
            MOVE,
            {"id": job_id, "position": position, "rows": len(rows), "is_done": not rows},
        )
    return len(rows)
