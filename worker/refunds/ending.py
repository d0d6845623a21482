"""How a refund part ends: order, money, history and e-mail in one transaction."""

from collections import defaultdict
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection

from messages.wire import EMAILS
from worker.orders.model import FollowUp, Refund, RefundLine, RefundPart
from worker.orders.refunds import end_part
from worker.store import orders as store

LOAD_REFUND = """
-- load_refund: the refund that a part belongs to, as the rules see it
select r.refund_id, r.command_id, r.amount_minor, r.shipping_minor,
  (select coalesce(json_agg(json_build_array(
     line_id, quantity, gross_minor, tax_minor, discount_minor)), '[]')
   from refund_lines where refund_id = r.refund_id),
  (select json_agg(json_build_array(part_id, payment_id, amount_minor, state) order by payment_id)
   from refund_parts where refund_id = r.refund_id),
  (select coalesce((body ->> 'notify_customer')::boolean, true)
   from commands where id = r.command_id)
from refunds r join refund_parts p using (refund_id) where p.part_id = %(part_id)s
"""

END_PART = """
-- end_part
update refund_parts set state = %(state)s, ended_at = now(), ended_by = %(by)s, note = %(note)s
where part_id = %(part_id)s
"""


def end(
    connection: Connection,
    part_id: UUID,
    order_id: str,
    state: Literal["settled", "failed"],
    *,
    by: str | None = None,
    note: str | None = None,
) -> None:
    """End an open part, whose follow-up the caller has locked. The customer is told when that was
    the refund's last one and some of its money has gone back.

    Raises:
      sqlalchemy.exc.OperationalError: The order was not to be had within `lock_timeout`.
    """
    store.lock(connection, [order_id])
    before = store.load(connection, [order_id])[order_id]
    refund_id, command_id, amount_minor, shipping_minor, lines, parts, notify_customer = (
        connection.exec_driver_sql(LOAD_REFUND, {"part_id": part_id}).one()
    )
    refund = Refund(
        refund_id=refund_id,
        amount_minor=amount_minor,
        shipping_minor=shipping_minor,
        lines=tuple(RefundLine(*line) for line in lines),
        parts=tuple(RefundPart(UUID(one), *rest) for one, *rest in parts),
    )
    order, refund = end_part(before, refund, part_id, state)
    connection.exec_driver_sql(
        END_PART, {"part_id": part_id, "state": state, "by": by, "note": note}
    )
    part = next(one for one in refund.parts if one.part_id == part_id)
    base = {"order_id": order_id, "command_id": command_id}
    rows: store.Rows = defaultdict(list)
    store.change(rows, before, order)
    details: dict[str, Any] = {"payment_id": part.payment_id}
    rows["history"].append(
        {
            **base,
            "event": f"refund_{state}",
            "issued_by": by,
            "amount_minor": part.amount_minor,
            "details": details | ({"note": note} if note else {}),
        }
    )
    if all(one.state in {"settled", "failed"} for one in refund.parts) and any(
        one.state == "settled" for one in refund.parts
    ):
        skipped = None if notify_customer else "switched_off"
        rows["followups"].append(
            store.followup(command_id, order_id, FollowUp(EMAILS, "refunded", refund_id, skipped))
        )
    store.write(connection, rows)
