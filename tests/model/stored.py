"""What the tables say, in the words of the model."""

from sqlalchemy import Engine

from worker.store import laws

TIME_PASSES = "; ".join(
    f"update {table} set next_at = now(), lease_until ="
    " case when lease_until is not null then now() - interval '1 millisecond' end"
    " where state = 'pending'"
    for table in ("commands", "followups")
)
"""Whatever waits is due, and who holds anything is late."""

LAWS = " union all ".join(
    f"select {number}, count(*) from ({query}) as broken"
    for number, query in enumerate(laws.LAWS.values())
)
"""All in one statement: they are asked after every step."""

ORDERS = """
select order_id, json_build_object(
  'version', version, 'hold', hold, 'fulfillment', fulfillment_status, 'payment', payment_status,
  'pending', refund_pending, 'shipping_refunded', shipping_refunded_minor,
  'lines', (select json_object_agg(line_id, json_build_array(
      shipped, completed, cancelled, voided, refunded_units, refunded_minor))
    from order_lines l where l.order_id = o.order_id),
  'payments', (select json_object_agg(payment_id, json_build_array(
      refunded_minor, settled_minor, overpaid_minor))
    from payments p where p.order_id = o.order_id),
  'parcels', (select coalesce(json_object_agg(shipment_id, json_build_array(
      (select json_object_agg(line_id, quantity) from shipment_lines i
       where i.shipment_id = s.shipment_id),
      tracking_number, voided_at is not null)), '{}')
    from shipments s where s.order_id = o.order_id),
  'refunds', (select coalesce(json_object_agg(refund_id, json_build_array(
      (select json_object_agg(payment_id, json_build_array(amount_minor,
         case when state in ('pending', 'unknown') then 'open' else state end))
       from refund_parts x where x.refund_id = r.refund_id),
      shipping_minor,
      (select coalesce(json_object_agg(line_id, json_build_array(quantity, gross_minor)), '{}')
       from refund_lines x where x.refund_id = r.refund_id))), '{}')
    from refunds r where r.order_id = o.order_id))
from orders o
"""

COMMANDS = """
select id::text, state, attempts, crashes, outcome from commands
"""

FOLLOWUPS = """
select w.command_id::text, w.route, w.name, coalesce(p.payment_id, w.subject_id::text),
  w.state, w.attempts, w.crashes
from followups w left join refund_parts p on p.part_id = w.subject_id
"""


def broken(engine: Engine):
    """The laws that do not hold."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(LAWS).all()
    return [list(laws.LAWS)[number] for number, rows in found if rows]


def orders(engine: Engine):
    with engine.connect() as connection:
        return dict(map(tuple, connection.exec_driver_sql(ORDERS)))


def work(engine: Engine):
    """Every row of work: state, attempts, crashes, and what commands came to."""
    with engine.connect() as connection:
        found = {
            (row_id,): [state, attempts, crashes, effect(outcome)]
            for row_id, state, attempts, crashes, outcome in connection.exec_driver_sql(COMMANDS)
        }
        rows = connection.exec_driver_sql(FOLLOWUPS).all()
        assert len({tuple(row[:4]) for row in rows}) == len(rows), "a follow-up is there twice"
        return found | {tuple(row[:4]): [*row[4:], None] for row in rows}


def effect(outcome):
    """The reason, or what the command came to."""
    if outcome is None or "discarded" in outcome:
        return None
    if outcome["state"] == "rejected":
        return outcome["reason"]
    refund = outcome.get("refund")
    return {
        "version": outcome["order_version"],
        "changed": outcome["changed"],
        "items": {one["line_id"]: one["quantity"] for one in outcome["items"]},
        "refund": refund and {one["payment_id"]: one["amount_minor"] for one in refund["parts"]},
    }
