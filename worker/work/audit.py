"""The audit: each act of an operator on work, written by the transaction that acts."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

RECORD = """
-- record: a row for each piece of work
insert into audit (actor, act, route, work_id, order_id, details)
select %(actor)s, act, route, work_id, order_id, details
from jsonb_to_recordset(%(acts)s::jsonb) as acts (
  act text, route text, work_id uuid, order_id text, details jsonb)
"""

LIST_AUDIT = """
-- list_audit: the latest first
select audit_id, at, actor, act, route, work_id, order_id, details from audit
where (%(order_id)s::text is null or order_id = %(order_id)s)
  and (%(actor)s::text is null or actor = %(actor)s)
  and (%(act)s::text is null or act = %(act)s)
  and (%(before)s::bigint is null or audit_id < %(before)s)
order by audit_id desc limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Act:
    """What was done to one piece of work, or to a route: a word in the past tense, and details.

    The audit is part of the database, like the orders: unlike a log, it may hold personal data.
    """

    act: str
    route: str | None = None
    work_id: UUID | None = None
    order_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


def record(connection: Connection, actor: str, acts: Iterable[Act]) -> None:
    """Write down who did what, in the transaction that does it."""
    # Not orjson: bodies that came from anywhere are nested deeper than it writes.
    document = json.dumps([asdict(act) for act in acts], default=_text)
    connection.exec_driver_sql(RECORD, {"actor": actor, "acts": document})


def audit(
    connection: Connection,
    *,
    order_id: str | None = None,
    actor: str | None = None,
    act: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """What operators did, the latest first; `before`: what was done earlier than this row."""
    parameters = {"order_id": order_id, "actor": actor, "act": act, "before": before}
    rows = connection.exec_driver_sql(LIST_AUDIT, {**parameters, "limit": limit})
    return [dict(row) for row in rows.mappings()]


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
