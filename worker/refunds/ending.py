"""How a refund part ends, and ends otherwise: order, money, history and e-mail in one transaction.

Whoever calls has locked the part's follow-up; the order comes after it.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final, Literal, cast
from uuid import UUID

import orjson
import structlog
from sqlalchemy import Connection

from messages.wire import EMAILS
from worker.orders.model import OPEN, FollowUp, Order, PartState, Refund, RefundLine, RefundPart
from worker.orders.refunds import end_part
from worker.store import orders as store
from worker.work.claim import KEPT_ERRORS
from worker.work.followups import FINISH

log = structlog.get_logger()

End = Literal["settled", "failed"]

LOCK_WORK: Final = """
-- lock_work_of_part
select id, order_id from followups
where order_id = (select order_id from refund_parts where part_id = %(part_id)s)
  and route = 'refunds' and subject_id = %(part_id)s
for no key update
"""

LOOK_AT_PART: Final = """
-- look_at_part: in a statement of its own, since one that had to wait sees the part of before
select p.amount_minor, p.state, p.provider, p.provider_id, w.state,
  w.state = 'pending' and coalesce(w.lease_until > now(), false)
from refund_parts p, followups w where p.part_id = %(part_id)s and w.id = %(work_id)s
"""

LOAD_REFUND: Final = """
-- load_refund: the refund that a part belongs to, as the rules see it
select r.refund_id, r.amount_minor, r.shipping_minor,
  (select coalesce(json_agg(json_build_array(
     line_id, quantity, gross_minor, tax_minor, discount_minor)), '[]')
   from refund_lines where refund_id = r.refund_id),
  (select json_agg(json_build_array(part_id, payment_id, amount_minor, state) order by payment_id)
   from refund_parts where refund_id = r.refund_id),
  r.command_id,
  (select coalesce((body ->> 'notify_customer')::boolean, true)
   from commands where id = r.command_id),
  exists (select from followups w where w.order_id = r.order_id and w.route = 'emails'
    and w.name = 'refunded' and w.subject_id = r.refund_id)
from refunds r join refund_parts p using (refund_id) where p.part_id = %(part_id)s
"""

END_PART: Final = """
-- end_part
update refund_parts set state = %(state)s, ended_at = now(), ended_by = %(by)s, note = %(note)s,
  provider_id = coalesce(%(provider_id)s, provider_id)
where part_id = %(part_id)s
"""

BURY: Final = f"""
-- bury: the money is gone and the books have no room for it
update followups set state = 'dead', dead_reason = 'overpaid', decided_at = now(),
  waits_for = null, lease_until = null, alone = false, crashes = 0,
  errors = case when jsonb_array_length(errors) < {KEPT_ERRORS} then errors else errors - 1 end
    || jsonb_build_object('reason', 'overpaid', 'message', %(message)s::text, 'at', now())
where id = %(id)s
"""  # noqa: S608  # a number of our own

OVERPAID: Final = (
    "the money went back although the refund had been given up, and its balance is given out"
)


@dataclass(frozen=True, slots=True)
class Work:
    """A part and its follow-up, which is locked."""

    id: UUID
    part_id: UUID
    order_id: str
    amount_minor: int
    part: PartState
    provider: str | None
    provider_id: str | None
    state: str
    is_in_progress: bool
    """A worker is asking the provider at this moment."""


def lock_work(connection: Connection, part_id: UUID) -> Work | None:
    """The part with its follow-up locked; None if the part is not here, or not ours: upstream made
    the refund.

    Raises:
      sqlalchemy.exc.OperationalError: It was not to be had within `lock_timeout`.
    """
    found = connection.exec_driver_sql(LOCK_WORK, {"part_id": part_id}).one_or_none()
    if found is None:
        return None
    work_id, order_id = found
    row = connection.exec_driver_sql(LOOK_AT_PART, {"part_id": part_id, "work_id": work_id}).one()
    return Work(work_id, part_id, order_id, *row)


def conclude(
    connection: Connection,
    work: Work,
    news: End,
    *,
    by: str | None = None,
    note: str | None = None,
) -> PartState:
    """End the part, and its follow-up with it; what the part is now."""
    state = end(connection, work.part_id, work.order_id, news, by=by, note=note)
    if state == work.part:
        return state
    if state == "overpaid":
        connection.exec_driver_sql(BURY, {"id": work.id, "message": OVERPAID})
        return state
    said = {"by": by, "reason": note}
    outcome = {state: work.amount_minor} | {k: v for k, v in said.items() if v}
    finish(connection, work.id, outcome)
    return state


def finish(connection: Connection, work_id: UUID, outcome: dict[str, Any]) -> None:
    """The follow-up has ended."""
    connection.exec_driver_sql(
        FINISH, {"id": work_id, "state": "done", "outcome": orjson.dumps(outcome).decode()}
    )


def end(
    connection: Connection,
    part_id: UUID,
    order_id: str,
    news: End,
    *,
    by: str | None = None,
    note: str | None = None,
    provider_id: str | None = None,
) -> PartState:
    """Book what became of a part; what it is now, which is as before where the news is none. The
    customer is told once: when no part of the refund is open any more and money has gone back.

    Raises:
      sqlalchemy.exc.OperationalError: The order was not to be had within `lock_timeout`.
    """
    store.lock(connection, [order_id])
    before = store.load(connection, [order_id])[order_id]
    refund, (command_id, notify_customer, is_told) = load_refund(connection, part_id)
    was = _part(refund, part_id).state
    order, refund = end_part(before, refund, part_id, news)
    part = _part(refund, part_id)
    if part.state == was:
        return was
    connection.exec_driver_sql(
        END_PART,
        {
            "part_id": part_id,
            "state": part.state,
            "by": by,
            "note": note,
            "provider_id": provider_id,
        },
    )
    base = {"order_id": order_id, "command_id": command_id}
    rows: store.Rows = defaultdict(list)
    store.change(rows, before, order)
    details = {"payment_id": part.payment_id, "note": note, "late": was not in OPEN}
    rows["history"].append(
        {
            **base,
            "event": f"refund_{part.state}",
            "issued_by": by,
            "amount_minor": part.amount_minor,
            "details": {name: value for name, value in details.items() if value},
        }
    )
    states = {one.state for one in refund.parts}
    if "settled" in states and not states & OPEN and not is_told:
        skipped = None if notify_customer else "switched_off"
        rows["followups"].append(
            store.followup(
                command_id, order_id, FollowUp(EMAILS, "refunded", refund.refund_id, skipped)
            )
        )
    store.write(connection, rows)
    if part.state != "settled":
        # An alarm; before the commit, since one too many is better than one too few.
        log.error("refund_not_settled", state=part.state, order_id=order_id, part_id=str(part_id))
    return part.state


def would_fit(connection: Connection, part_id: UUID, order_id: str) -> bool:
    """Whether an overpaid part could be booked as settled at this moment; nothing is locked."""
    order: Order = store.load(connection, [order_id])[order_id]
    refund, _ = load_refund(connection, part_id)
    _, refund = end_part(order, refund, part_id, "settled")
    return _part(refund, part_id).state == "settled"


def load_refund(connection: Connection, part_id: UUID) -> tuple[Refund, tuple[UUID, bool, bool]]:
    """The part's refund; with the command that asked for it, whether the customer is to be told,
    and whether that is staged already.
    """
    refund_id, amount_minor, shipping_minor, lines, parts, *rest = connection.exec_driver_sql(
        LOAD_REFUND, {"part_id": part_id}
    ).one()
    refund = Refund(
        refund_id=refund_id,
        amount_minor=amount_minor,
        shipping_minor=shipping_minor,
        lines=tuple(RefundLine(*line) for line in lines),
        parts=tuple(RefundPart(UUID(one), *columns) for one, *columns in parts),
    )
    return refund, cast(tuple[UUID, bool, bool], tuple(rest))


def _part(refund: Refund, part_id: UUID) -> RefundPart:
    return next(part for part in refund.parts if part.part_id == part_id)
