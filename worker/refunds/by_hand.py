"""Refund parts that a person ends: which are open, and how they went."""

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection

from messages.wire import REFUNDS
from worker.orders.model import OPEN
from worker.refunds.ending import End, Work, conclude, finish, lock_work
from worker.work.audit import Act, record

_LIST: Final = """
select p.part_id, p.refund_id, p.order_id, p.payment_id, y.method, p.amount_minor, o.currency,
  p.state, r.requested_at, r.reason, p.provider, p.provider_id, p.asked_at, p.last_asked_at,
  p.ended_at, p.ended_by, p.note, w.waits_for, w.dead_reason
from refund_parts p
join refunds r using (refund_id)
join orders o on o.order_id = p.order_id
join payments y on y.order_id = p.order_id and y.payment_id = p.payment_id
left join followups w
  on w.order_id = p.order_id and w.route = 'refunds' and w.subject_id = p.part_id
where {which}
order by r.requested_at, p.part_id limit %(limit)s
"""
LISTS: Final[Mapping[str, str]] = {
    name: f"-- list_parts: {name}\n{_LIST.format(which=which)}"
    for name, which in {
        "open": "p.state in ('pending', 'unknown')",
        "of_order": "r.order_id = %(order_id)s",
        "unknown": "p.state = 'unknown'",
        "failed": "p.state = 'failed'",
        "overpaid": "p.state = 'overpaid'",
    }.items()
}
"""The longest requested first."""

FIND_PARTS: Final = """
-- find_parts: named by themselves or by their refund; not those that upstream made
select part_id from refund_parts p where (part_id = any(%(ids)s) or refund_id = any(%(ids)s))
  and exists (select from followups w
    where w.order_id = p.order_id and w.route = 'refunds' and w.subject_id = p.part_id)
order by part_id
"""

Answer = Literal["done", "known", "ended", "in_progress", "overpaid"]


def parts(
    connection: Connection,
    *,
    order_id: str | None = None,
    state: Literal["unknown", "failed", "overpaid"] | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Parts that are open, or in one state, the longest requested first; or all of one order."""
    statement = LISTS[state or ("open" if order_id is None else "of_order")]
    rows = connection.exec_driver_sql(statement, {"order_id": order_id, "limit": limit})
    return [dict(row) for row in rows.mappings()]


def find(connection: Connection, ids: Collection[UUID]) -> list[UUID]:
    """The parts that the ids name: a part's own, or its refund's for all of its parts."""
    rows = connection.exec_driver_sql(FIND_PARTS, {"ids": list(ids)})
    return [part_id for (part_id,) in rows]


def end_by_hand(
    connection: Connection,
    part_id: UUID,
    state: End,
    *,
    by: str,
    note: str | None = None,
    late: bool = False,
) -> Answer:
    """End a part as a person says it went, in the connection's transaction.

    `known`: it has ended so already. `ended`: it has ended the other way, and the word is not said
    to be `late`. `in_progress`: a worker is asking the provider at this moment. Nothing is changed
    then. `overpaid`: it settled late, and its balance is given out.
    """
    work = lock_work(connection, part_id)
    if work is None:
        raise LookupError(f"refund part {part_id} is not ours")
    if work.part == state:
        return "known"
    if work.part not in OPEN and not late:
        return "ended"
    if work.is_in_progress:
        return "in_progress"
    now = conclude(connection, work, state, by=by, note=note)
    if now != work.part:
        details = {"part_id": part_id, "amount_minor": work.amount_minor, "note": note}
        _record(connection, work, state, by, details | ({"late": True} if late else {}))
    return "overpaid" if now == "overpaid" else "done"


def acknowledge(connection: Connection, part_id: UUID, *, by: str, note: str) -> bool:
    """End the dead letter of an overpaid part: a person has seen to it. The books keep what was
    overpaid. False if there is no such letter.
    """
    work = lock_work(connection, part_id)
    if work is None or work.part != "overpaid" or work.state != "dead":
        return False
    finish(connection, work.id, {"overpaid": work.amount_minor, "by": by, "reason": note})
    details = {"part_id": part_id, "amount_minor": work.amount_minor, "note": note}
    _record(connection, work, "acknowledged", by, details)
    return True


def _record(connection: Connection, work: Work, act: str, by: str, details: dict[str, Any]) -> None:
    record(connection, by, [Act(act, REFUNDS, work.id, work.order_id, details)])
