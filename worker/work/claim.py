"""Claims: taking due work, renewing its lease, failing it. The one place that locks work rows.

A claim's number comes from a sequence and never repeats, so it is the fence: whoever writes must
hold rows whose `claim` is still theirs. Leases only say when others may look. All times are the
database's.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

import orjson
from sqlalchemy import Connection

from messages.wire import COMMANDS
from worker.errors import storable
from worker.orders.value import value
from worker.work.accept import BULK, URGENT, Lane

MAX_CRASHES = 3
KEPT_ERRORS = 5


@dataclass(frozen=True, slots=True)
class Table:
    """A table of work, and what a claim returns of its rows beside the work columns."""

    name: Literal["commands", "followups", "jobs"]
    columns: tuple[str, ...]
    order_id: str = "w.order_id"
    """Whose rows they are; an empty text where they are no order's."""


COMMANDS_TABLE = Table("commands", ("kind", "after_id", "body::text", "accepted_at"))
FOLLOWUPS_TABLE = Table("followups", ("name", "command_id", "subject_id", "edits"))
JOBS_TABLE = Table("jobs", ("kind",), order_id="''")


@value
class Row:
    """A claimed row of work; `values` are the table's own columns."""

    id: UUID
    order_id: str
    seq: int
    attempts: int
    crashes: int
    waits_for: str | None
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows under one claim, in the order of acceptance."""

    table: Table
    claim: int
    rows: tuple[Row, ...]
    lane: Lane = URGENT
    route: str = COMMANDS

    @property
    def ids(self) -> list[UUID]:
        return [row.id for row in self.rows]

    def of(self, rows: Sequence[Row]) -> "Batch":
        """The same claim on fewer rows."""
        return replace(self, rows=tuple(rows))


# `decided_at` says nothing new of a pending row. It is a condition of the index that is meant, and
# no other statement has it: see migration 0004.
_DUE = "state = 'pending' and decided_at is null and next_at <= now()"

# A lease that began before the server did ended with it: nobody crashed, nothing is counted.
_SERVER_RESTARTED = """lease_until < now()
      and lease_until - %(lease_s)s * interval '1 second' <= pg_postmaster_start_time()"""


def claim(
    connection: Connection,
    table: Table,
    route: str,
    *,
    limit: int,
    lease_s: float,
    lane: Lane = URGENT,
) -> Batch | None:
    """Take at most `limit` due rows of the route, in one lane, oldest first; None when there are
    none.
    """
    statement = f"""
-- claim: due rows, oldest first; what others lock or lease is theirs
with due as materialized (
  select id from {table.name}
  where {_DUE} and lane = %(lane)s {_route(table)}
    and (lease_until is null or ({_SERVER_RESTARTED}))
  order by next_at, seq limit %(limit)s
  for no key update skip locked
), fence as materialized (
  select nextval('work_claim') as claim
)
update {table.name} w
set claim = fence.claim, alone = false, lease_until = now() + %(lease_s)s * interval '1 second'
from due, fence where w.id = due.id
returning {_returned(table)}
"""  # noqa: S608  # names of our own tables and columns
    parameters = {"limit": limit, "lease_s": lease_s, "lane": lane, "route": route}
    return _batch(table, route, connection.exec_driver_sql(statement, parameters).all())


def claim_suspect(
    connection: Connection, table: Table, route: str, *, lease_s: float
) -> Batch | None:
    """Take one row whose lease expired, of whatever lane, to be run alone in the process.

    Its crash counts only if it was alone already the last time: a batch-mate, or whoever killed
    the worker, may have been the cause before.
    """
    statement = f"""
-- claim_suspect: one row whose holder vanished; claims take the oldest, so it is near the front
with one as materialized (
  select id from (
    {_front(table)}
  ) as front
  where lease_until < now() and not ({_SERVER_RESTARTED})
  order by lane, next_at, seq limit 1
), locked as materialized (
  select w.id from {table.name} w join one using (id)
  where w.state = 'pending' and w.lease_until < now()
  for no key update of w skip locked
)
update {table.name} w
set claim = nextval('work_claim'), crashes = crashes + alone::integer, alone = true,
  lease_until = now() + %(lease_s)s * interval '1 second'
from locked where w.id = locked.id
returning {_returned(table)}
"""  # noqa: S608  # names of our own tables and columns
    parameters = {"lease_s": lease_s, "route": route}
    return _batch(table, route, connection.exec_driver_sql(statement, parameters).all())


def lock_claimed(connection: Connection, batch: Batch) -> Batch:
    """Lock the rows of the batch that are still ours and undecided; the others leave it.

    After a COMMIT that failed this is also how the outcome is found: the lock waits for a
    transaction that may still be committing, and decided rows are no longer pending.
    """
    rows = connection.exec_driver_sql(
        f"""
-- lock_claimed: the fence, before anything is decided
select id from {batch.table.name}
where id = any(%(ids)s) and claim = %(claim)s and state = 'pending'
order by id for no key update
""",  # noqa: S608  # the table's name is a constant
        {"ids": batch.ids, "claim": batch.claim},
    )
    mine = {row_id for (row_id,) in rows}
    return batch.of([row for row in batch.rows if row.id in mine])


def renew(connection: Connection, batch: Batch, *, lease_s: float) -> None:
    """Prolong the lease of a batch in progress; rows that B holds locked need no prolonging."""
    connection.exec_driver_sql(
        f"""
-- renew
update {batch.table.name} set lease_until = now() + %(lease_s)s * interval '1 second'
where id in (
  select id from {batch.table.name}
  where id = any(%(ids)s) and claim = %(claim)s and state = 'pending' and lease_until is not null
  order by id for no key update skip locked)
""",  # noqa: S608  # the table's name is a constant
        {"ids": batch.ids, "claim": batch.claim, "lease_s": lease_s},
    )


def fail(
    connection: Connection,
    batch: Batch,
    *,
    reason: str,
    message: str,
    retry_after_s: float | None,
) -> None:
    """Count a failure of these rows: due again after `retry_after_s`, or dead when that is None."""
    # A plugin's words may be anything; one that could not be written would be tried for ever.
    reason, message = storable(reason), storable(message)
    error = orjson.dumps([{"reason": reason, "message": message[:2000]}]).decode()
    connection.exec_driver_sql(
        f"""
-- fail: an answered failure; the last errors are kept
update {batch.table.name} set
  state = case when %(retry_after_s)s::float8 is null then 'dead' else 'pending' end,
  dead_reason = case when %(retry_after_s)s::float8 is null then %(reason)s end,
  decided_at = case when %(retry_after_s)s::float8 is null then now() end,
  next_at = case when %(retry_after_s)s::float8 is null then next_at
                 else now() + %(retry_after_s)s::float8 * interval '1 second' end,
  waits_for = case when %(retry_after_s)s::float8 is null then null else 'retry' end,
  attempts = attempts + 1, crashes = 0, alone = false, lease_until = null,
  -- The first error is kept, and the latest.
  errors = case when jsonb_array_length(errors) < {KEPT_ERRORS} then errors else errors - 1 end
    || (%(error)s::jsonb -> 0 || jsonb_build_object('at', now()))
where id = any(%(ids)s) and claim = %(claim)s and state = 'pending'
""",  # noqa: S608  # the table's name is a constant
        {
            "ids": batch.ids,
            "claim": batch.claim,
            "reason": reason,
            "error": error,
            "retry_after_s": retry_after_s,
        },
    )


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at one route found."""

    route: str
    is_due: bool
    has_suspects: bool
    has_bulk: bool = False
    """Whether some of what is due is bulk."""


def look(
    connection: Connection, routes: Collection[tuple[Table, str]], *, lease_s: float
) -> list[Due]:
    """Whether there is anything to do, for each route, in one statement."""
    looks = [
        f"""
select '{route}', {", ".join(_is_due(table, route, lane) for lane in (URGENT, BULK))},
  exists (select from ({_front(table, f"'{route}'")}) as front
    where lease_until < now() and not ({_SERVER_RESTARTED}))"""  # noqa: S608  # names from code only
        for table, route in routes
    ]
    rows = connection.exec_driver_sql("-- look" + "\nunion all".join(looks), {"lease_s": lease_s})
    return [
        Due(route, has_urgent or has_bulk, has_suspects, has_bulk)
        for route, has_urgent, has_bulk, has_suspects in rows
    ]


def _is_due(table: Table, route: str, lane: Lane) -> str:
    return f"""
  exists (select from {table.name} where {_DUE} and lane = {lane}
    {_route(table, f"'{route}'")} and (lease_until is null or ({_SERVER_RESTARTED})))"""


def _front(table: Table, route: str = "%(route)s") -> str:
    """The oldest of each lane: what claims take, and leave when they vanish."""
    return "\n    union all\n    ".join(
        f"(select id, lane, next_at, seq, lease_until from {table.name}"  # noqa: S608  # likewise
        f" where {_DUE} and lane = {lane} {_route(table, route)}"
        " order by next_at, seq limit 10000)"
        for lane in (URGENT, BULK)
    )


def _route(table: Table, value: str = "%(route)s") -> str:
    own = f"and route = {value}" if table.name == "followups" else ""
    return f"{own} and not exists (select from paused_routes p where p.route = {value})"


def _returned(table: Table) -> str:
    own = ", ".join(f"w.{column}" for column in table.columns)
    return (
        f"w.claim, w.lane, w.id, {table.order_id}, w.seq, w.attempts, w.crashes, w.waits_for, {own}"
    )


def _batch(table: Table, route: str, found: Sequence[Any]) -> Batch | None:
    if not found:
        return None
    rows = [
        Row(row_id, order_id, seq, attempts, crashes, waits_for, tuple(values))
        for _, _, row_id, order_id, seq, attempts, crashes, waits_for, *values in found
    ]
    claim_, lane, *_ = found[0]
    return Batch(table, claim_, tuple(sorted(rows, key=lambda row: row.seq)), lane, route)
