"""The laws that the books must obey, each as one query that finds what breaks it.

They read the database alone and share nothing with the rules; `make demo` prints them, operators
may run them at any time.
"""

from typing import Final

from sqlalchemy import Connection

LAWS: Final = {
    "every accepted command has one outcome, or waits, or is dead": """
        select id from commands
        where (state in ('applied', 'rejected', 'discarded')) <> (outcome is not null)
           or (state in ('applied', 'rejected') and outcome ->> 'state' <> state)""",
    "0 <= shipped + completed + cancelled <= ordered, on every line": """
        select order_id, line_id from order_lines
        where least(shipped, completed, cancelled) < 0
           or shipped + completed + cancelled > quantity""",
    "what a line shipped is what its parcels hold, those apart that were voided": """
        select order_id, line_id from order_lines l
        left join (
          select order_id, line_id, sum(s.quantity) filter (where voided_at is null) as units,
            sum(s.quantity) filter (where voided_at is not null) as voided
          from shipments join shipment_lines s using (shipment_id) group by 1, 2
        ) parcels using (order_id, line_id)
        where l.shipped <> coalesce(parcels.units, 0) or l.voided <> coalesce(parcels.voided, 0)""",
    "0 <= settled <= refunded <= captured, on every payment": """
        select order_id, payment_id from payments
        where not (0 <= settled_minor and settled_minor <= refunded_minor
                   and refunded_minor <= captured_minor)""",
    "what a payment gave back is the sum of its refund parts": """
        select order_id, payment_id from payments p
        left join (
          select order_id, payment_id,
            sum(amount_minor) filter (where state not in ('failed', 'overpaid')) as given,
            sum(amount_minor) filter (where state = 'settled') as settled,
            sum(amount_minor) filter (where state = 'overpaid') as overpaid
          from refund_parts group by 1, 2
        ) parts using (order_id, payment_id)
        where p.refunded_minor <> coalesce(parts.given, 0)
           or p.settled_minor <> coalesce(parts.settled, 0)
           or p.overpaid_minor <> coalesce(parts.overpaid, 0)""",
    "the parts of every refund sum to the whole": """
        select refund_id from refunds r
        join (select refund_id, sum(amount_minor) as whole from refund_parts group by 1) parts
          using (refund_id)
        where r.amount_minor <> parts.whole""",
    "0 <= refunded units <= ordered, and they are those of its refunds": """
        select order_id, line_id from order_lines l
        left join (
          select r.order_id, x.line_id, sum(x.quantity) as units, sum(x.gross_minor) as paid
          from refunds r join refund_lines x using (refund_id)
          where exists (select from refund_parts p
                        where p.refund_id = r.refund_id
                          and p.state not in ('failed', 'overpaid'))
          group by 1, 2
        ) given using (order_id, line_id)
        where l.refunded_units not between 0 and l.quantity
           or l.refunded_units <> coalesce(given.units, 0)
           or l.refunded_minor <> coalesce(given.paid, 0)""",
    "an order's version counts the applied commands that changed it": """
        select o.order_id from orders o
        left join (
          select order_id, count(*) as applied from commands
          where state = 'applied' and outcome -> 'changed' is distinct from 'false' group by 1
        ) c using (order_id)
        where o.version <> coalesce(c.applied, 0)""",
    "every status is what the lines and payments say": """
        select o.order_id from orders o
        join (
          select order_id, sum(quantity - cancelled) as active, sum(shipped + completed) as done
          from order_lines group by 1
        ) l using (order_id)
        left join (
          select order_id, sum(captured_minor) as captured, sum(settled_minor) as settled
          from payments group by 1
        ) p using (order_id)
        where o.fulfillment_status <> case
            when active = 0 then 'cancelled' when done = 0 then 'unfulfilled'
            when done < active then 'partially_fulfilled' else 'fulfilled' end
          or o.payment_status <> case
            when coalesce(settled, 0) > 0 and settled = captured then 'refunded'
            when coalesce(settled, 0) > 0 then 'partially_refunded'
            when coalesce(captured, 0) >= o.total_minor then 'paid'
            when captured > 0 then 'partially_paid' else 'unpaid' end""",
    "every end of a command or a follow-up is told in the feed, as far as that goes back": """
        select ended.id from (
          select id, id as command_id, null::uuid as subject_id, 'command.' || state as type,
            decided_at
          from commands where state <> 'pending'
          union all
          select id, command_id, subject_id, rtrim(route, 's') || '.' || state, decided_at
          from followups where state <> 'pending'
        ) as ended
        where ended.decided_at > coalesce(
            (select ran_at from retention where what = 'events'), '-infinity')
          and not exists (
            select from events e where e.command_id = ended.command_id and e.type = ended.type
              and e.subject_id is not distinct from ended.subject_id)""",
    "no command took effect twice": """
        select command_id, event from history  -- a refund's parts end one by one
        where event not like '%%_upstream' and details -> 'late' is null
        group by 1, 2, details ->> 'payment_id' having count(*) > 1""",
}


def broken(connection: Connection) -> dict[str, int]:
    """How many rows break each law; all zero when the books are right."""
    return {
        law: connection.exec_driver_sql(f"select count(*) from ({query}) as broken").scalar_one()  # noqa: S608  # the queries above
        for law, query in LAWS.items()
    }
