"""Refund parts that a person ends: which are open, and how they went."""

from collections.abc import Collection
from typing import Any, Final, Literal
from uuid import UUID

import orjson
from sqlalchemy import Connection

from messages.wire import REFUNDS
from worker.refunds.ending import end
from worker.work.audit import Act, record
from worker.work.followups import FINISH

_LIST: Final = """
select p.part_id, p.refund_id, p.order_id, p.payment_id, y.method, p.amount_minor, o.currency,
  p.state, r.requested_at, r.reason, p.ended_at, p.ended_by, p.note, w.waits_for, w.dead_reason
from refund_parts p
join refunds r using (refund_id)
join orders o on o.order_id = p.order_id
join payments y on y.order_id = p.order_id and y.payment_id = p.payment_id
left join followups w
  on w.order_id = p.order_id and w.route = 'refunds' and w.subject_id = p.part_id
where {which}
order by r.requested_at, p.part_id limit %(limit)s
"""
LIST_OPEN: Final = f"""
-- list_open_parts: the longest open first
{_LIST.format(which="p.state in ('pending', 'unknown')")}"""
LIST_OF_ORDER: Final = f"""
-- list_parts_of_order
{_LIST.format(which="r.order_id = %(order_id)s")}"""

FIND_PARTS: Final = """
-- find_parts: named by themselves or by their refund
select part_id from refund_parts where part_id = any(%(ids)s) or refund_id = any(%(ids)s)
order by part_id
"""

LOCK_WORK: Final = """
-- lock_work_of_part
select id from followups
where order_id = (select order_id from refund_parts where part_id = %(part_id)s)
  and route = 'refunds' and subject_id = %(part_id)s
for no key update
"""

LOOK_AT_PART: Final = """
-- look_at_part: in a statement of its own, since one that had to wait sees the part of before
select p.order_id, p.state, p.amount_minor,
  w.state = 'pending' and coalesce(w.lease_until > now(), false)
from refund_parts p, followups w where p.part_id = %(part_id)s and w.id = %(work_id)s
"""

Answer = Literal["done", "known", "ended", "in_progress"]


def parts(
    connection: Connection, *, order_id: str | None = None, limit: int
) -> list[dict[str, Any]]:
    """Parts that are open, the longest first; or all of one order."""
    statement = LIST_OPEN if order_id is None else LIST_OF_ORDER
    rows = connection.exec_driver_sql(statement, {"order_id": order_id, "limit": limit})
    return [dict(row) for row in rows.mappings()]


def find(connection: Connection, ids: Collection[UUID]) -> list[UUID]:
    """The parts that the ids name: a part's own, or its refund's for all of its parts."""
    rows = connection.exec_driver_sql(FIND_PARTS, {"ids": list(ids)})
    return [part_id for (part_id,) in rows]


def end_by_hand(
    connection: Connection,
    part_id: UUID,
    state: Literal["settled", "failed"],
    *,
    by: str,
    note: str | None = None,
) -> Answer:
    """End a part as a person says it went, in the connection's transaction.

    `known`: it has ended so already. `ended`: it has ended the other way. `in_progress`: a worker
    is asking the provider at this moment. Nothing is changed then.
    """
    work_id = connection.exec_driver_sql(LOCK_WORK, {"part_id": part_id}).scalar_one()
    order_id, was, amount_minor, is_in_progress = connection.exec_driver_sql(
        LOOK_AT_PART, {"part_id": part_id, "work_id": work_id}
    ).one()
    if was in {"settled", "failed"}:
        return "known" if was == state else "ended"
    if is_in_progress:
        return "in_progress"
    end(connection, part_id, order_id, state, by=by, note=note)
    outcome = {state: amount_minor, "by": by} | ({"reason": note} if note else {})
    connection.exec_driver_sql(
        FINISH, {"id": work_id, "state": "done", "outcome": orjson.dumps(outcome).decode()}
    )
    details = {"part_id": part_id, "amount_minor": amount_minor, "note": note}
    record(connection, by, [Act(state, REFUNDS, work_id, order_id, details)])
    return "done"
