"""Refund parts that a person ends: which are open, and how they went."""

from collections.abc import Collection
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection

from messages.wire import REFUNDS
from worker.orders.model import OPEN
from worker.refunds.ending import conclude, lock_work
from worker.work.audit import Act, record

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
    work = lock_work(connection, part_id)
    if work is None:
        raise LookupError(f"refund part {part_id} is not ours")
    if work.part not in OPEN:
        return "known" if work.part == state else "ended"
    if work.is_in_progress:
        return "in_progress"
    conclude(connection, work, state, by=by, note=note)
    details = {"part_id": part_id, "amount_minor": work.amount_minor, "note": note}
    record(connection, by, [Act(state, REFUNDS, work.id, work.order_id, details)])
    return "done"
