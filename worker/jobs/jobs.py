"""Jobs as operators see them: how far each is; cancelled, resumed."""

from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection

from messages.wire import JOBS
from worker.orders.value import value
from worker.work.audit import Act, record

State = Literal["pending", "done", "cancelled", "dead"]

_SHOWN: Final = """
  id as job_id, name, kind, state, rows, sent, issued_by, options, layout, loaded_at, begun_at,
  begun_sent, decided_at, dead_reason, errors, next_at, waits_for, attempts,
  state = 'pending' and coalesce(lease_until > now(), false) as in_progress,
  extract(epoch from coalesce(decided_at, now()) - begun_at)::float8 as runs_s,
  exists (select from paused_routes p where p.route = 'jobs') as is_paused
"""

COUNT_DEAD: Final = """
-- count_dead_jobs
select count(*) from jobs where state = 'dead'
"""

LIST: Final = f"""
-- list_jobs: the latest first
select {_SHOWN} from jobs
where %(state)s::text is null or state = %(state)s
order by seq desc limit %(limit)s
"""  # noqa: S608  # constants

SHOW: Final = f"""
-- show_job
select {_SHOWN} from jobs where id = %(id)s
"""  # noqa: S608  # constants

# Whoever carries a chunk out holds the row: this waits for its commit, the fence keeps the next.
CANCEL: Final = """
-- cancel: what is sent stays sent
update jobs set state = 'cancelled', decided_at = now(), claim = null, lease_until = null,
  alone = false, waits_for = null
where id = %(id)s and state in ('pending', 'dead')
"""

RESUME: Final = """
-- resume_job: from where it stood
update jobs set state = 'pending', decided_at = null, dead_reason = null, waits_for = null,
  attempts = 0, crashes = 0, alone = false, claim = null, lease_until = null,
  next_at = now(), begun_at = now(), begun_sent = sent
where id = %(id)s and state in ('cancelled', 'dead')
"""


@value
class Job:
    """A job, and how far it is."""

    job_id: UUID
    name: str | None
    kind: str
    state: str
    rows: int
    sent: int
    issued_by: str | None
    options: dict[str, Any]
    layout: dict[str, Any]
    loaded_at: Any
    begun_at: Any
    begun_sent: int
    decided_at: Any
    dead_reason: str | None
    errors: list[dict[str, Any]]
    next_at: Any
    waits_for: str | None
    attempts: int
    in_progress: bool
    runs_s: float
    is_paused: bool

    @property
    def rate_per_s(self) -> float | None:
        """Rows sent in a second, since it goes on without a break; None before the first."""
        sent = self.sent - self.begun_sent
        return sent / max(self.runs_s, 0.001) if sent > 0 else None

    @property
    def left_s(self) -> float | None:
        """For how long it will go on at this rate; None where nobody can say."""
        rate = self.rate_per_s
        return (self.rows - self.sent) / rate if self.state == "pending" and rate else None


class NoJob(LookupError):
    """There is no such job."""


class NotNow(ValueError):
    """The job is not in a state for that."""


def jobs(connection: Connection, *, state: str | None = None, limit: int) -> list[Job]:
    """Jobs, the latest first."""
    found = connection.exec_driver_sql(LIST, {"state": state, "limit": limit}).mappings()
    return [Job(**row) for row in found]


def count_dead(connection: Connection) -> int:
    """How many jobs wait for a person: to be resumed or cancelled."""
    return int(connection.exec_driver_sql(COUNT_DEAD).scalar_one())


def job(connection: Connection, job_id: UUID) -> Job:
    """One job.

    Raises:
      NoJob: It is not here.
    """
    row = connection.exec_driver_sql(SHOW, {"id": job_id}).mappings().first()
    if row is None:
        raise NoJob(str(job_id))
    return Job(**row)


def cancel(connection: Connection, job_id: UUID, *, actor: str) -> Job:
    """Send no more of the job; what is sent stays.

    Raises:
      NoJob: It is not here.
      NotNow: It has ended.
    """
    return _act(connection, CANCEL, "job_cancelled", job_id, actor)


def resume(connection: Connection, job_id: UUID, *, actor: str) -> Job:
    """Let a job that was cancelled, or is dead, go on from where it stood.

    Raises:
      NoJob: It is not here.
      NotNow: It goes on already, or is done.
    """
    return _act(connection, RESUME, "job_resumed", job_id, actor)


def _act(connection: Connection, statement: str, act: str, job_id: UUID, actor: str) -> Job:
    changed = connection.exec_driver_sql(statement, {"id": job_id}).rowcount
    found = job(connection, job_id)
    if not changed:
        raise NotNow(f"the job is {found.state}")
    record(connection, actor, [Act(act, JOBS, job_id, details={"sent": found.sent})])
    return found
