"""Whole tables for other programs, row by row: whoever reads them needs no more memory for a
hundred thousand rows than for ten, and sees the database as it was at one moment.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine

from worker.store import lists
from worker.store.reading import HISTORY, Document, documents

PAGE: Final = 1_000
"""Rows that are fetched at once."""

PATIENT: Final = """
-- patient: whoever reads a pipe may take long between two rows
select set_config('statement_timeout', '0', true),
  set_config('idle_in_transaction_session_timeout', '0', true)
"""

ORDERS: Final = """
-- export_orders: what the orders of a page come to
select o.order_id, o.number, o.placed_at, o.updated_at, o.fulfillment_status, o.payment_status,
  o.refund_pending, o.hold, o.currency, o.total_minor, paid.*, units.*, o.version,
  o.customer_name, o.customer_email, o.forgotten_at
from unnest(%(order_ids)s::text[]) with ordinality as page (order_id, n)
cross join lateral (select * from orders where order_id = page.order_id limit 1) as o
cross join lateral (
  select coalesce(sum(captured_minor), 0)::bigint as captured_minor,
    coalesce(sum(refunded_minor), 0)::bigint as refunded_minor,
    coalesce(sum(settled_minor), 0)::bigint as settled_minor
  from payments where order_id = page.order_id
) as paid
cross join lateral (
  select coalesce(sum(quantity), 0)::bigint as units, coalesce(sum(shipped), 0)::bigint as shipped,
    coalesce(sum(completed), 0)::bigint as completed,
    coalesce(sum(cancelled), 0)::bigint as cancelled
  from order_lines where order_id = page.order_id
) as units
order by page.n
"""

ENTRIES: Final = f"""
-- export_history: order by order, each in the order in which it happened
select o.order_id, e.at, e.entry ->> 'event' as event, e.entry ->> 'command_id' as command_id,
  e.entry ->> 'issued_by' as issued_by, (e.entry ->> 'amount_minor')::bigint as amount_minor,
  o.currency, e.entry -> 'details' as details
from (
  select order_id, currency from orders
  where %(order_id)s::text is null or order_id = %(order_id)s order by order_id
) as o
cross join lateral (
  select * from ({HISTORY}) as story
  where (%(start)s::timestamptz is null or at >= %(start)s)
    and (%(end)s::timestamptz is null or at < %(end)s)
  order by at, kind, n
) as e
"""  # noqa: S608  # our own constant

_ENDED = """
  (select * from commands where state = '{state}'
     and (%(start)s::timestamptz is null or decided_at >= %(start)s)
     and (%(end)s::timestamptz is null or decided_at < %(end)s)
     and (%(order_id)s::text is null or order_id = %(order_id)s)
   order by seq)"""

OUTCOMES: Final = f"""
-- export_outcomes: in the order of acceptance
select id as command_id, kind, order_id, body ->> 'issued_by' as issued_by, accepted_at, decided_at,
  state, coalesce(dead_reason, outcome ->> 'reason') as reason,
  coalesce(outcome ->> 'message', outcome ->> 'discarded') as message,
  (outcome ->> 'order_version')::integer as order_version,
  (outcome #>> '{{refund,amount_minor}}')::bigint as refund_minor,
  outcome #>> '{{refund,currency}}' as currency,
  outcome -> 'items' as items
from ({" union all".join(_ENDED.format(state=one) for one in lists.STATES if one != "pending")}
) as ended
order by seq
"""  # noqa: S608  # our own constants


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees the database as it is now, for as long as it takes to read it."""
    with engine.connect().execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    ) as connection:
        connection.exec_driver_sql(PATIENT)
        yield connection
        connection.rollback()


def orders(connection: Connection, wanted: lists.Wanted) -> Iterator[Document]:
    """The orders that are wanted, newest first, each with its sums.

    Page by page instead of by a cursor, since the ways to a page are several statements.
    """
    after: str | None = None
    while page := lists.orders(connection, wanted, after=after, limit=PAGE):
        order_ids = [one["order_id"] for one in page]
        yield from documents(connection, ORDERS, {"order_ids": order_ids})
        if len(page) < PAGE:
            return
        after = order_ids[-1]


def history(
    connection: Connection, *, order_id: str | None, start: datetime | None, end: datetime | None
) -> Iterator[Document]:
    """What happened to each order: what commands did, how follow-ups ended, what operators did."""
    return _streamed(connection, ENTRIES, {"order_id": order_id, "start": start, "end": end})


def outcomes(
    connection: Connection, *, order_id: str | None, start: datetime | None, end: datetime | None
) -> Iterator[Document]:
    """How commands ended, also those that were refused or are dead."""
    return _streamed(connection, OUTCOMES, {"order_id": order_id, "start": start, "end": end})


def _streamed(connection: Connection, statement: str, parameters: Document) -> Iterator[Document]:
    """The statement's rows by a cursor of the server's."""
    streaming = connection.execution_options(stream_results=True, max_row_buffer=PAGE)
    for row in streaming.exec_driver_sql(statement, parameters).mappings():
        yield dict(row)
