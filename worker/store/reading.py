"""Queries for display. They lock nothing, and show the database as it is at that moment.

Orders and commands come as JSON documents that PostgreSQL makes, so that what a person sees and
what `--json` prints is the same.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

Document = dict[str, Any]

HISTORY = """
select h.at, 1 as kind, h.history_id as n, to_jsonb(h) - 'order_id' as entry
from history h where h.order_id = o.order_id
union all
select f.decided_at, 2, f.seq, jsonb_build_object(
  'at', f.decided_at, 'event', 'followup_' || f.state, 'command_id', f.command_id,
  'issued_by', f.outcome ->> 'by', 'amount_minor', null,
  'details', jsonb_strip_nulls(jsonb_build_object('route', f.route, 'name', f.name,
    'followup_id', f.id, 'reason', f.dead_reason)) || coalesce(f.outcome, '{}') - 'by')
from followups f where f.order_id = o.order_id and f.state <> 'pending'
  -- How a refund part ended is in the first.
  and (f.route <> 'refunds' or f.state <> 'done')
union all
select a.at, 3, a.audit_id, jsonb_build_object(
  'at', a.at, 'event', a.act, 'command_id', case a.route when 'commands' then a.work_id end,
  'issued_by', a.actor, 'amount_minor', null,
  'details', jsonb_strip_nulls(jsonb_build_object('route', a.route,
    'followup_id', case when a.route <> 'commands' then a.work_id end))
    || a.details - 'body' - 'stray')  -- the audit has a stray whole
from audit a where a.order_id = o.order_id
  -- What one of the other two says itself.
  and (a.act <> 'discarded' or a.route = 'commands')
  and a.act not in ('settled', 'failed', 'bought')
"""
"""Three records of what happened to an order `o`: what commands did, how follow-ups ended, what
operators did. Sorted by `at, kind, n`.
"""

SHOW_ORDER = """
-- show_order: all that is known of one order, one document
select to_jsonb(o) || jsonb_build_object(
  'lines', (
    select coalesce(jsonb_agg(to_jsonb(l) - 'order_id' || jsonb_build_object(
      'left', l.quantity - l.shipped - l.completed - l.cancelled) order by l.position), '[]')
    from order_lines l where l.order_id = o.order_id),
  'fees', (
    select coalesce(jsonb_agg(to_jsonb(f) - 'order_id' order by f.position), '[]')
    from order_fees f where f.order_id = o.order_id),
  'payments', (
    select coalesce(jsonb_agg(to_jsonb(p) - 'order_id' order by p.position), '[]')
    from payments p where p.order_id = o.order_id),
  'shipments', (
    select coalesce(jsonb_agg(
      to_jsonb(s) - 'order_id' - 'tracking_key' || jsonb_build_object('items', (
      select coalesce(jsonb_object_agg(i.line_id, i.quantity), '{}')
      from shipment_lines i where i.shipment_id = s.shipment_id
    ), 'tracking_page', c.tracking_url, 'purchases', (
      select coalesce(jsonb_agg(to_jsonb(b) - 'shipment_id' - 'order_id' - 'label'
        order by b.asked_at, b.purchase_id), '[]')
      from purchases b where b.shipment_id = s.shipment_id
    )) order by s.shipped_at, s.number), '[]')
    from shipments s left join carriers c on c.code = s.carrier where s.order_id = o.order_id),
  'refunds', (
    select coalesce(jsonb_agg(to_jsonb(r) - 'order_id' || jsonb_build_object(
      'lines', (
        select coalesce(jsonb_agg(to_jsonb(i) - 'refund_id' order by i.line_id), '[]')
        from refund_lines i where i.refund_id = r.refund_id),
      'parts', (
        select coalesce(jsonb_agg(to_jsonb(i) - 'refund_id' - 'order_id' order by i.payment_id),
          '[]')
        from refund_parts i where i.refund_id = r.refund_id)
    ) order by r.requested_at, r.refund_id), '[]')
    from refunds r where r.order_id = o.order_id),
  'history', (
    select coalesce(jsonb_agg(e.entry order by e.at, e.kind, e.n), '[]') from (
      {history}
    ) as e),
  'open_commands', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'command_id', c.id, 'kind', c.kind, 'state', c.state, 'accepted_at', c.accepted_at,
      'outcome', c.outcome, 'dead_reason', c.dead_reason, 'waits_for', c.waits_for,
      'issued_by', c.body ->> 'issued_by', 'order_id', c.order_id, 'after_id', c.after_id,
      'next_at', c.next_at, 'attempts', c.attempts, 'is_due', c.next_at <= now(),
      'in_progress', coalesce(c.lease_until > now(), false), 'last_error', c.errors -> -1,
      'predecessor_state', (select p.state from commands p where p.id = c.after_id),
      'is_paused', exists (select from paused_routes p where p.route = 'commands'))
      order by c.seq), '[]')
    from (  -- two halves, because each has an index of its own
      select * from commands where order_id = o.order_id and state = 'pending' and outcome is null
      union all
      select * from commands where order_id = o.order_id and state <> 'pending'
        and state <> 'applied'
    ) as c),
  'followups', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'id', f.id, 'route', f.route, 'name', f.name, 'state', f.state, 'staged_at', f.staged_at,
      'command_id', f.command_id, 'subject_id', f.subject_id, 'outcome', f.outcome,
      'dead_reason', f.dead_reason, 'edits', f.edits, 'waits_for', f.waits_for,
      -- What waits for a person is never due.
      'next_at', case when f.waits_for is distinct from 'hand' then f.next_at end,
      'attempts', f.attempts,
      'is_due', f.next_at <= now(), 'in_progress', coalesce(f.lease_until > now(), false),
      'last_error', f.errors -> -1,
      'is_paused', exists (select from paused_routes p where p.route = f.route))
      || case f.route when 'refunds' then jsonb_build_object('part', (
           select jsonb_build_object(
             'state', p.state, 'provider', p.provider, 'provider_id', p.provider_id)
           from refund_parts p where p.part_id = f.subject_id)) else '{}' end
      order by f.seq), '[]')
    from followups f where f.order_id = o.order_id)
)
from orders o where o.order_id = %(order_id)s
""".replace("{history}", HISTORY)

SHOW_COMMAND = """
-- show_command: all that is known of one command, one document, and its body: that one may hold
-- what Python cannot, and must not hide the rest
select to_jsonb(c) - 'id' - 'fingerprint' - 'claim' - 'alone' - 'body' || jsonb_build_object(
  'command_id', c.id,
  'in_progress', c.state = 'pending' and coalesce(c.lease_until > now(), false),
  'is_due', c.state = 'pending' and c.next_at <= now(),
  'predecessor_state', (select p.state from commands p where p.id = c.after_id)), c.body
from commands c where c.id = %(command_id)s
"""

ENDED = """
-- ended: those of the commands that wait for nothing but a person
select id, state, outcome, dead_reason from commands
where id = any(%(command_ids)s) and state <> 'pending'
"""

ORDER_CURRENCY = """
-- order_currency
select currency from orders where order_id = %(order_id)s
"""

WAITING_FOR_ORDER = """
-- waiting_for_order: how many commands wait for an order that is not here
select count(*) from commands
where order_id = %(order_id)s and state = 'pending' and outcome is null
"""

LINES_BY_SKU = """
-- lines_by_sku: the lines of each order that carry the SKU
select asked.order_id, asked.sku, array_agg(l.line_id order by l.position)
from (select distinct * from unnest(%(order_ids)s::text[], %(skus)s::text[]) as a (order_id, sku))
  as asked
join order_lines l on l.order_id = asked.order_id and l.sku = asked.sku
group by asked.order_id, asked.sku
"""

SHIPMENTS = """
-- shipments: by id or by number
select shipment_id, number, order_id from shipments
where shipment_id = any(%(ids)s) or number = any(%(numbers)s)
"""

KNOWN_ORDERS = """
-- known_orders
select order_id from orders where order_id = any(%(order_ids)s)
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: `applied`, `rejected`, `dead` or `discarded`."""

    command_id: UUID
    state: str
    outcome: Document | None
    dead_reason: str | None


def order(connection: Connection, order_id: str) -> Document | None:
    """Everything about one order; None if it is not here. A shipment's `tracking_page` is its
    carrier's template.
    """
    found = connection.exec_driver_sql(SHOW_ORDER, {"order_id": order_id}).scalar()
    return found if found is None else dict(found)


def order_currency(connection: Connection, order_id: str) -> str | None:
    """The order's currency; None if it is not here."""
    found = connection.exec_driver_sql(ORDER_CURRENCY, {"order_id": order_id}).scalar()
    return None if found is None else str(found)


def waiting_for_order(connection: Connection, order_id: str) -> int:
    """How many undecided commands name the order."""
    return int(connection.exec_driver_sql(WAITING_FOR_ORDER, {"order_id": order_id}).scalar_one())


def command(connection: Connection, command_id: UUID) -> Document | None:
    """Everything about one command; None if it is not here. Its `body` is text where it nests too
    deeply for Python, or holds a number of too many digits.
    """
    row = connection.exec_driver_sql(SHOW_COMMAND, {"command_id": command_id}).first()
    return None if row is None else {**row[0], "body": row[1]}


def ended(connection: Connection, command_ids: Sequence[UUID]) -> list[Ended]:
    """Those of the commands that have ended."""
    rows = connection.exec_driver_sql(ENDED, {"command_ids": list(command_ids)})
    return [Ended(*row) for row in rows]


def lines_by_sku(
    connection: Connection, pairs: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[str]]:
    """Ids of the lines that carry the SKU, by order and SKU; in the order's own order."""
    parameters = {"order_ids": [one for one, _ in pairs], "skus": [sku for _, sku in pairs]}
    rows = connection.exec_driver_sql(LINES_BY_SKU, parameters)
    return {(order_id, sku): line_ids for order_id, sku, line_ids in rows}


def shipments(
    connection: Connection, *, ids: Collection[UUID], numbers: Collection[int]
) -> dict[UUID | int, tuple[UUID, str]]:
    """Id and order of shipments, by what they were asked for with."""
    parameters = {"ids": list(ids), "numbers": list(numbers)}
    found: dict[UUID | int, tuple[UUID, str]] = {}
    for row in connection.exec_driver_sql(SHIPMENTS, parameters):
        found |= dict.fromkeys((row.shipment_id, row.number), (row.shipment_id, row.order_id))
    return found


def known_orders(connection: Connection, order_ids: Collection[str]) -> set[str]:
    """Those of the orders that are here."""
    rows = connection.exec_driver_sql(KNOWN_ORDERS, {"order_ids": list(order_ids)})
    return {order_id for (order_id,) in rows}


def documents(connection: Connection, statement: str, parameters: Document) -> list[Document]:
    """The statement's rows by column name."""
    return [dict(row) for row in connection.exec_driver_sql(statement, parameters).mappings()]
