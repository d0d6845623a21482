"""Commands that wait for their time: one may be let go before it, or taken back."""

from collections.abc import Collection
from uuid import UUID

import orjson
from sqlalchemy import Connection

from messages.wire import COMMANDS
from worker.work.audit import Act, record
from worker.work.dead import wake_successors

_SCHEDULED = """
with chosen as materialized (
  -- What is due may be in a worker's hands.
  select id from commands
  where id = any(%(ids)s) and state = 'pending' and waits_for = 'schedule' and next_at > now()
  order by id for no key update
)"""

START = f"""
-- start: due now
{_SCHEDULED}
update commands c set next_at = now(), waits_for = null
from chosen where c.id = chosen.id returning c.id, c.order_id
"""  # noqa: S608  # a constant of this module

WITHDRAW = f"""
-- withdraw: ended, undone
{_SCHEDULED}
update commands c set state = 'discarded', waits_for = null, decided_at = now(),
  outcome = %(outcome)s::jsonb
from chosen where c.id = chosen.id returning c.id, c.order_id
"""  # noqa: S608  # a constant of this module


def start(connection: Connection, command_ids: Collection[UUID], *, actor: str) -> set[UUID]:
    """Make scheduled commands due now; the ids of those that were scheduled."""
    rows = connection.exec_driver_sql(START, {"ids": list(command_ids)}).all()
    record(connection, actor, [Act("started", COMMANDS, row.id, row.order_id) for row in rows])
    return {row.id for row in rows}


def withdraw(
    connection: Connection, command_ids: Collection[UUID], *, actor: str, because: str
) -> set[UUID]:
    """End scheduled commands undone; the ids of those that were scheduled. What comes after one
    is refused.
    """
    outcome = orjson.dumps({"discarded": because, "by": actor}).decode()
    parameters = {"ids": list(command_ids), "outcome": outcome}
    rows = connection.exec_driver_sql(WITHDRAW, parameters).all()
    wake_successors(connection, [(row.id, row.order_id) for row in rows])
    record(
        connection,
        actor,
        [Act("discarded", COMMANDS, row.id, row.order_id, {"because": because}) for row in rows],
    )
    return {row.id for row in rows}
