"""What an e-mail tells, read in one statement: the order, the items, the parcel, the money."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, get_args
from uuid import UUID

from sqlalchemy import Connection

from worker.orders.value import value

Kind = Literal["shipped", "completed", "cancelled", "refunded", "voided", "tracking_updated"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

FACTS = """
-- facts: all that one e-mail tells, one document; null when its subject is not here.
-- The subject is a shipment, a command (completed, cancelled) or a refund.
with parcel as (
  select s.*, coalesce(s.carrier_name, c.name) as shown_carrier, c.tracking_url as tracking_page
  from shipments s left join carriers c on c.code = s.carrier
  where %(kind)s in ('shipped', 'voided', 'tracking_updated') and s.shipment_id = %(subject_id)s
), subject as (
  select order_id, shipped_at as since, null::jsonb as outcome from parcel
  union all
  select c.order_id, c.decided_at, c.outcome from commands c
  where %(kind)s in ('completed', 'cancelled') and c.id = %(subject_id)s and c.state = 'applied'
  union all
  select r.order_id, r.requested_at, null from refunds r
  where %(kind)s = 'refunded' and r.refund_id = %(subject_id)s
), items as (
  select line_id, quantity from parcel join shipment_lines using (shipment_id)
  union all
  select line_id, quantity
  from subject, jsonb_to_recordset(outcome -> 'items') as done (line_id text, quantity integer)
)
select jsonb_build_object(
  'told_at', coalesce((select staged_at from followups where id = %(followup_id)s), subject.since),
  'order_id', o.order_id,
  'number', o.number,
  'currency', o.currency,
  'customer_name', o.customer_name,
  'customer_email', o.customer_email,
  'opted_out', o.customer_opted_out,
  'is_forgotten', o.forgotten_at is not null,
  'locale', o.locale,
  'is_cancelled', o.fulfillment_status = 'cancelled',
  'items', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', l.name, 'quantity', items.quantity) order by l.position), '[]')
    from items join order_lines l on l.order_id = o.order_id and l.line_id = items.line_id),
  'to_come', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', l.name, 'quantity', l.quantity - l.shipped - l.completed - l.cancelled)
      order by l.position), '[]')
    from order_lines l
    where l.order_id = o.order_id and l.item_type = 'physical'
      and l.quantity > l.shipped + l.completed + l.cancelled),
  'parcel', (
    select jsonb_build_object(
      'carrier', p.shown_carrier, 'tracking_number', p.tracking_number,
      'tracking_url', p.tracking_url, 'tracking_page', p.tracking_page,
      'is_voided', p.voided_at is not null,
      -- How the e-mails ended that told of its leaving.
      'told', (
        select coalesce(jsonb_agg(f.state), '[]') from followups f
        where f.order_id = p.order_id and f.route = 'emails' and f.name = 'shipped'
          and f.subject_id = p.shipment_id))
    from parcel p),
  'to_refund_minor', (subject.outcome -> 'refund' ->> 'amount_minor')::bigint,
  'refunded', (
    -- Only what has settled: what failed has gone nowhere.
    select coalesce(jsonb_agg(jsonb_build_object(
      'method', paid.method, 'amount_minor', paid.amount_minor) order by paid.position), '[]')
    from (
      select p.position, p.method, sum(r.amount_minor) as amount_minor
      from refund_parts r join payments p using (order_id, payment_id)
      where %(kind)s = 'refunded' and r.refund_id = %(subject_id)s and r.state = 'settled'
      group by p.position, p.method
    ) as paid)
)
from subject join orders o on o.order_id = subject.order_id
"""

NEWEST = """
-- newest: the latest subject of a kind of e-mail in an order, and its follow-up if there is one
select subject_id, (
  -- One that ended twice is told twice; the last is what the customer has.
  select f.id from followups f where f.order_id = %(order_id)s and f.route = 'emails'
    and f.name = %(kind)s and f.subject_id = found.subject_id order by f.seq desc limit 1)
from (
  select shipment_id as subject_id, shipped_at as since from shipments
  where %(kind)s = 'shipped' and order_id = %(order_id)s
  union all
  select shipment_id, voided_at from shipments
  where %(kind)s = 'voided' and order_id = %(order_id)s and voided_at is not null
  union all
  select (details ->> 'shipment_id')::uuid, max(at) from history
  where order_id = %(order_id)s and event = %(kind)s and event = 'tracking_updated' group by 1
  union all
  select id, decided_at from commands
  where order_id = %(order_id)s and state = 'applied'
    and kind = case %(kind)s when 'completed' then 'complete' when 'cancelled' then 'cancel' end
    and outcome -> 'items' <> '[]'
  union all
  select r.refund_id, r.requested_at from refunds r
  where %(kind)s = 'refunded' and r.order_id = %(order_id)s
    and exists (select from refund_parts p where p.refund_id = r.refund_id and p.state = 'settled')
) as found
where %(subject_id)s::uuid is null or subject_id = %(subject_id)s
order by since desc, subject_id desc limit 1
"""


@value
class Facts:
    """What one e-mail tells; `document` is the statement's answer, amounts in minor units."""

    kind: Kind
    document: Mapping[str, Any]

    @property
    def told_at(self) -> datetime:
        """When the follow-up was staged: the same for every copy of the e-mail."""
        return datetime.fromisoformat(self.document["told_at"])


def load(
    connection: Connection, kind: Kind, subject_id: UUID, *, followup_id: UUID | None
) -> Facts | None:
    """The facts of an e-mail; None if there is nothing to tell of."""
    found = connection.exec_driver_sql(
        FACTS, {"kind": kind, "subject_id": subject_id, "followup_id": followup_id}
    ).scalar()
    return None if found is None else Facts(kind, found)


def newest(
    connection: Connection, order_id: str, kind: Kind, subject_id: UUID | None = None
) -> tuple[UUID, UUID | None] | None:
    """The latest shipment, command or refund of the order that such an e-mail would tell of, or
    the one that is named, and the e-mail's follow-up; None if there is none.
    """
    found = connection.exec_driver_sql(
        NEWEST, {"order_id": order_id, "kind": kind, "subject_id": subject_id}
    ).one_or_none()
    return None if found is None else (found[0], found[1])
