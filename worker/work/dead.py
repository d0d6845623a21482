"""Dead letters: a state of work that only a person ends, by replay or by discarding it. Looking
changes nothing.

Replay keeps the id, so whatever was done before the failure is not done twice.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine

from messages.wire import COMMANDS
from worker.work.audit import Act, record

CHUNK: Final = 500
"""Letters of one transaction."""

_CHOSEN = """state = 'dead'
    and (%(ids)s::uuid[] is null or id = any(%(ids)s))
    and (%(reason)s::text is null or dead_reason = %(reason)s)
    and (%(order_id)s::text is null or order_id = %(order_id)s)
    and (%(route)s::text is null or {route} = %(route)s)
    and (%(failed_before)s::timestamptz is null or decided_at <= %(failed_before)s)"""
_OF_COMMANDS = _CHOSEN.format(route="'commands'")
_OF_FOLLOWUPS = _CHOSEN.format(route="route")

_DEAD = f"""(
  select 'commands' as route, id, kind as name, order_id, null::uuid as subject_id,
    dead_reason as reason, attempts, crashes, decided_at as failed_at, errors, body,
    null::jsonb as edits, seq
  from commands where {_OF_COMMANDS}
  union all
  select route, id, name, order_id, subject_id, dead_reason, attempts, crashes, decided_at,
    errors, null, edits, seq
  from followups where {_OF_FOLLOWUPS}
) as dead"""  # noqa: S608  # constants of this module

LIST_DEAD = f"""
-- list_dead: the oldest first
select * from {_DEAD} where %(after)s::bigint is null or seq > %(after)s
order by seq limit %(limit)s
"""  # noqa: S608  # constants of this module

COUNT_DEAD = f"""
-- count_dead
select count(*) from {_DEAD}
"""  # noqa: S608  # constants of this module

GROUP_DEAD = f"""
-- group_dead: most first; the example is the latest
select route, reason, count(*) as letters, min(failed_at) as oldest, max(failed_at) as newest,
  (array_agg(id order by failed_at desc, seq desc))[1] as example,
  (array_agg(errors -> -1 ->> 'message' order by failed_at desc, seq desc))[1] as last_error
from {_DEAD} group by route, reason order by letters desc, route, reason
"""  # noqa: S608  # constants of this module

AGO = """
-- ago: on the database's clock
select now() - %(seconds)s * interval '1 second'
"""

_REPLAY = """
-- replay: due again, as if it had never been tried; its errors stay. No claim of before counts.
with chosen as materialized (
  select id, dead_reason from {table} where {chosen}
  order by seq limit %(limit)s for no key update skip locked
)
update {table} w set state = 'pending', attempts = 0, crashes = 0, alone = false, claim = null,
  next_at = now(), lease_until = null, waits_for = null, decided_at = null, dead_reason = null
from chosen where w.id = chosen.id
returning {route} as route, w.id, w.order_id, chosen.dead_reason
"""
REPLAY_COMMANDS = _REPLAY.format(table="commands", chosen=_OF_COMMANDS, route="'commands'")
REPLAY_FOLLOWUPS = _REPLAY.format(table="followups", chosen=_OF_FOLLOWUPS, route="w.route")

_DISCARD = """
-- discard: ended, undone; why it died stays, and the outcome says why and by whom it was given up
with chosen as materialized (
  select id from {table} where {chosen}
  order by seq limit %(limit)s for no key update skip locked
)
update {table} w set state = 'discarded', decided_at = now(), outcome = %(outcome)s::jsonb
from chosen where w.id = chosen.id
returning {route} as route, w.id, w.order_id, w.dead_reason
"""
DISCARD_COMMANDS = _DISCARD.format(table="commands", chosen=_OF_COMMANDS, route="'commands'")
DISCARD_FOLLOWUPS = _DISCARD.format(
    table="followups", chosen=f"{_OF_FOLLOWUPS}\n    and route <> 'refunds'", route="w.route"
)

WAKE_SUCCESSORS = """
-- wake_successors: what comes after these will be refused; one in a worker's hands looks itself
update commands c set next_at = now(), waits_for = null
from (
  select w.id from jsonb_to_recordset(%(ended)s::jsonb) as ended (id uuid, order_id text)
  join commands w on w.order_id = ended.order_id and w.after_id = ended.id
    and w.state = 'pending' and w.waits_for = 'predecessor'
  where w.lease_until is null
  order by w.id for no key update of w skip locked
) as waiting
where c.id = waiting.id
"""

REFUND_PARTS = f"""
-- refund_parts: of the chosen, what cannot be given up
select subject_id from followups where {_OF_FOLLOWUPS} and route = 'refunds' order by seq
"""  # noqa: S608  # constants of this module


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which dead letters: those that meet every condition given."""

    ids: Collection[UUID] | None = None
    reason: str | None = None
    order_id: str | None = None
    route: str | None = None
    failed_before: datetime | None = None
    """Failed then or earlier. Letters that are chosen for long need it: what fails again while the
    first are replayed is not to be replayed for ever.
    """

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "ids": None if self.ids is None else list(self.ids),
            "reason": self.reason,
            "order_id": self.order_id,
            "route": self.route,
            "failed_before": self.failed_before,
        }


@dataclass(frozen=True, slots=True)
class Letter:
    """Work that was dead, and of what."""

    route: str
    id: UUID
    order_id: str
    reason: str | None


class Stop(Protocol):
    """What ends a long act between two chunks, as `threading.Event`."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float) -> bool: ...


def ago(connection: Connection, seconds: float) -> datetime:
    """The time so many seconds ago, on the clock that says when work failed."""
    found: datetime = connection.exec_driver_sql(AGO, {"seconds": seconds}).scalar_one()
    return found


def dead(
    connection: Connection, chosen: Chosen, *, after: int | None = None, limit: int
) -> list[dict[str, Any]]:
    """The dead letters, oldest first, with their errors and a command's body; `after`: those behind
    the one with this `seq`.
    """
    parameters = {**chosen.parameters, "after": after, "limit": limit}
    rows = connection.exec_driver_sql(LIST_DEAD, parameters)
    return [dict(row) for row in rows.mappings()]


def groups(connection: Connection, chosen: Chosen) -> list[dict[str, Any]]:
    """How many died of what, by route and reason, with the latest of each as an example."""
    rows = connection.exec_driver_sql(GROUP_DEAD, chosen.parameters)
    return [dict(row) for row in rows.mappings()]


def count(connection: Connection, chosen: Chosen) -> int:
    """How many dead letters are chosen."""
    return int(connection.exec_driver_sql(COUNT_DEAD, chosen.parameters).scalar_one())


def refund_parts(connection: Connection, chosen: Chosen) -> list[UUID]:
    """Refund parts among the dead letters: never given up, only settled or failed."""
    return list(connection.exec_driver_sql(REFUND_PARTS, chosen.parameters).scalars())


def replay(
    connection: Connection, chosen: Chosen, *, actor: str, limit: int = CHUNK
) -> list[Letter]:
    """Make dead letters due again, with fresh counters, at most `limit`, the oldest first. What is
    not dead, or in another operator's hands, is left alone.
    """
    letters = _change(connection, (REPLAY_COMMANDS, REPLAY_FOLLOWUPS), chosen, limit)
    record(
        connection,
        actor,
        (
            Act("replayed", one.route, one.id, one.order_id, {"dead_reason": one.reason})
            for one in letters
        ),
    )
    return letters


def discard(
    connection: Connection, chosen: Chosen, *, actor: str, because: str, limit: int = CHUNK
) -> list[Letter]:
    """End dead letters undone, at most `limit`, the oldest first. Commands that come after a
    discarded one are refused. Refund parts stay: see `refund_parts`.
    """
    outcome = {"discarded": because, "by": actor}
    letters = _change(
        connection, (DISCARD_COMMANDS, DISCARD_FOLLOWUPS), chosen, limit, outcome=outcome
    )
    wake_successors(
        connection, [(one.id, one.order_id) for one in letters if one.route == COMMANDS]
    )
    record(
        connection,
        actor,
        (
            Act(
                "discarded",
                one.route,
                one.id,
                one.order_id,
                {"because": because, "dead_reason": one.reason},
            )
            for one in letters
        ),
    )
    return letters


def wake_successors(connection: Connection, given_up: Iterable[tuple[UUID, str]]) -> None:
    """Let what comes after these commands, each with its order, be refused now."""
    ended = [{"id": row_id, "order_id": order_id} for row_id, order_id in given_up]
    connection.exec_driver_sql(WAKE_SUCCESSORS, {"ended": orjson.dumps(ended).decode()})


def in_chunks(
    engine: Engine,
    act: Callable[[Connection, int], list[Letter]],
    *,
    limit: int,
    rate_per_s: float,
    stop: Stop,
) -> Iterator[list[Letter]]:
    """Act on at most `limit` letters, no more than `rate_per_s`, each chunk in a transaction of its
    own; the chunks as they are committed. `stop` ends it between two of them.
    """
    while limit and not stop.is_set():
        wanted = min(limit, CHUNK, max(1, int(rate_per_s / 4)))
        with engine.begin() as connection:
            letters = act(connection, wanted)
        if letters:
            yield letters
        limit -= len(letters)
        if len(letters) < wanted:
            return
        if limit:
            stop.wait(len(letters) / rate_per_s)


def _change(
    connection: Connection,
    statements: Collection[str],
    chosen: Chosen,
    limit: int,
    outcome: dict[str, Any] | None = None,
) -> list[Letter]:
    letters: list[Letter] = []
    for statement in statements:
        parameters = {
            **chosen.parameters,
            "limit": limit - len(letters),
            "outcome": outcome and orjson.dumps(outcome).decode(),
        }
        letters += [Letter(*row) for row in connection.exec_driver_sql(statement, parameters)]
    return letters
