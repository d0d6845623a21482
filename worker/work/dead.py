"""Dead letters: a state of work that only a person's replay ends. Looking changes nothing.

Replay keeps the id, so whatever was done before the failure is not done twice.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

_CHOSEN = """state = 'dead'
    and (%(ids)s::uuid[] is null or id = any(%(ids)s))
    and (%(reason)s::text is null or dead_reason = %(reason)s)
    and (%(order_id)s::text is null or order_id = %(order_id)s)
    and (%(route)s::text is null or {route} = %(route)s)"""
_OF_COMMANDS = _CHOSEN.format(route="'commands'")
_OF_FOLLOWUPS = _CHOSEN.format(route="route")

LIST_DEAD = f"""
-- list_dead: the oldest first
select * from (
  select 'commands' as route, id, kind as name, order_id, dead_reason as reason, attempts, crashes,
    decided_at as failed_at, errors, body, seq
  from commands where {_OF_COMMANDS}
  union all
  select route, id, name, order_id, dead_reason, attempts, crashes, decided_at, errors, null, seq
  from followups where {_OF_FOLLOWUPS}
) as dead
order by seq limit %(limit)s
"""  # noqa: S608  # constants of this module

_REPLAY = """
-- replay: due again, as if it had never been tried; its errors stay. No claim of before counts.
with chosen as materialized (
  select id from {table} where {chosen} order by id for no key update
)
update {table} w set state = 'pending', attempts = 0, crashes = 0, alone = false, claim = null,
  next_at = now(), lease_until = null, waits_for = null, decided_at = null, dead_reason = null
from chosen where w.id = chosen.id
returning {route} as route, w.id
"""
REPLAY_COMMANDS = _REPLAY.format(table="commands", chosen=_OF_COMMANDS, route="'commands'")
REPLAY_FOLLOWUPS = _REPLAY.format(table="followups", chosen=_OF_FOLLOWUPS, route="w.route")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which dead letters: those that meet every condition given."""

    ids: Collection[UUID] | None = None
    reason: str | None = None
    order_id: str | None = None
    route: str | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "ids": None if self.ids is None else list(self.ids),
            "reason": self.reason,
            "order_id": self.order_id,
            "route": self.route,
        }


@dataclass(frozen=True, slots=True)
class Replayed:
    """Work that is due again."""

    route: str
    id: UUID


def dead(connection: Connection, chosen: Chosen, *, limit: int) -> list[dict[str, Any]]:
    """The dead letters, oldest first, with their errors and a command's body."""
    rows = connection.exec_driver_sql(LIST_DEAD, {**chosen.parameters, "limit": limit})
    return [{k: v for k, v in row.items() if k != "seq"} for row in rows.mappings()]


def replay(connection: Connection, chosen: Chosen) -> list[Replayed]:
    """Make the dead letters due again, with fresh counters; what is not dead is left alone."""
    replayed = []
    for statement in (REPLAY_COMMANDS, REPLAY_FOLLOWUPS):
        rows = connection.exec_driver_sql(statement, chosen.parameters)
        replayed += [Replayed(route, one) for route, one in rows]
    return replayed
