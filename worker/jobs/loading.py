"""A file into the database, in one transaction: killed before its commit nothing is there, after it
the job needs nobody who sent it.

What a row says of its order and carrier is looked up here: a number becomes the order's id, a name
the carrier's code, so that rows that name one thing in two ways are one parcel.
"""

import json
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection

from messages.fields import MAX_LINES
from worker.carriers.table import naming
from worker.jobs.job import Options
from worker.jobs.reading import File
from worker.jobs.rows import MAX_ORDER, Row

# All rows of the job are gone through, and nothing is known of them yet: a plan for a few would
# go through all of them for each.
PLANS: Final = """
-- plans: within this transaction
select set_config(name, setting, true) from (values
  ('enable_nestloop', 'off'), ('enable_hashjoin', 'on'), ('enable_mergejoin', 'on'),
  ('enable_seqscan', 'on'), ('enable_bitmapscan', 'on')) as plans (name, setting)
"""
LOOK_UPS: Final = """
-- look_ups
select set_config('enable_nestloop', 'on', true)
"""

# Whoever sends a slow pipe, or a second time what another is sending, waits as long as it takes.
PATIENCE: Final = """
-- patience: within this transaction
select set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true),
  set_config('idle_in_transaction_session_timeout', '0', true)
"""

INSERT: Final = """
-- insert_job: one that is there already is not loaded again
insert into jobs (id, name, layout, options, issued_by)
values (%(id)s, %(name)s, %(layout)s::jsonb, %(options)s::jsonb, %(issued_by)s)
on conflict do nothing
"""

COPY: Final = """
copy job_rows (job_id, row, parcel, cells, order_id, line, sku, quantity, carrier, tracking_number,
  problem) from stdin
"""

SETTLE: Final = f"""
-- settle: which order each row means, and which rows are one parcel
with asked as materialized (
  select distinct order_id as cell from job_rows
  where job_id = %(id)s and order_id <> '' and length(order_id) <= {MAX_ORDER}
), looked_up as (
  select a.cell,
    exists (select from orders o where o.order_id = a.cell) as is_id,
    array(
      select o.order_id from orders o
      where o.number in (a.cell, ltrim(a.cell, '#'), '#' || a.cell) limit 3
    ) as numbered
  from asked a
), known as (
  select cell,
    case when not is_id and cardinality(numbered) = 1 then numbered[1] else cell end as order_id,
    case
      when is_id or cardinality(numbered) = 1 then null
      when cardinality(numbered) > 1 then 'order: several orders have this number; give the id'
      when cell ~ '^[0-9]{{1,32}}$' then (
        select 'order: its leading zeros are lost; ' || min(o.order_id) || ' is here'
        from (
          select array_agg(lpad(cell, n, '0')) as longer
          from generate_series(length(cell) + 1, length(cell) + 12) as n
        ) as zeros
        join orders o on o.order_id = any(longer) or o.number = any(longer)
        having count(*) > 0)
    end as problem
  from looked_up
), together as (
  select r.row, coalesce(k.order_id, r.order_id) as order_id, k.problem,
    min(r.row) over parcel as parcel, count(*) over parcel as size
  from job_rows r left join known k on k.cell = r.order_id
  where r.job_id = %(id)s
  window parcel as (partition by coalesce(k.order_id, r.order_id), r.carrier, r.tracking_number)
)
update job_rows r set
  order_id = t.order_id,
  parcel = case when t.size > {MAX_LINES} then 0 else t.parcel end,
  problem = coalesce(r.problem, case when t.size > {MAX_LINES}
    then 'a shipment of ' || t.size || ' rows: {MAX_LINES} at most' else t.problem end)
from together t
where r.job_id = %(id)s and r.row = t.row
  and (r.order_id <> t.order_id or t.parcel <> t.row or t.problem is not null
    or t.size > {MAX_LINES})
"""  # noqa: S608  # constants

COUNTED: Final = """
-- counted: what is too large to be a parcel will not be looked at again
update jobs set rows = %(rows)s, last_row = %(last_row)s,
  sent = (select count(*) from job_rows where job_id = %(id)s and parcel = 0)
where id = %(id)s
"""


def load(
    connection: Connection, file: File, job_id: UUID, options: Options, *, name: str | None = None
) -> bool:
    """Put the file into the database, in the connection's transaction; False if the job is there.

    Raises:
      BadFile: It cannot be read to its end; the transaction is to be rolled back.
    """
    connection.exec_driver_sql(PATIENCE)
    parameters = {
        "id": job_id,
        "name": name,
        "layout": orjson.dumps(_layout(file)).decode(),
        "options": orjson.dumps(
            {"batch": options.batch, "notify_customer": options.notify_customer}
        ).decode(),
        "issued_by": options.issued_by,
    }
    if connection.exec_driver_sql(INSERT, parameters).rowcount == 0:
        return False
    rows, last_row = _copy(connection, job_id, file.rows())
    connection.exec_driver_sql(PLANS)
    connection.exec_driver_sql(SETTLE, {"id": job_id})
    connection.exec_driver_sql(LOOK_UPS)
    connection.exec_driver_sql(COUNTED, {"id": job_id, "rows": rows, "last_row": last_row})
    return True


def _layout(file: File) -> dict[str, Any]:
    columns = file.columns
    return {
        "format": file.format,
        "delimiter": file.delimiter,
        "encoding": file.content.encoding,
        "columns": [_storable(name) for name in columns.names],
        "places": dict(columns.places),
    }


def _copy(connection: Connection, job_id: UUID, rows: Iterator[Row]) -> tuple[int, int]:
    count, last_row = 0, 0
    find_carrier = naming(connection)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(COPY) as copy:
        for row in rows:
            if row.carrier and not row.problem:
                _name_carrier(row, find_carrier(row.carrier))
            fields = (row.order, row.line, row.sku, row.quantity, row.carrier, row.tracking_number)
            if row.problem:  # only then can they hold what PostgreSQL does not take
                fields = tuple(_storable(text)[: MAX_ORDER + 1] for text in fields)  # type: ignore[assignment]
            copy.write_row((job_id, row.row, row.row, _json(row.cells), *fields, row.problem))
            count += 1
            last_row = row.row
    return count, last_row


def _name_carrier(row: Row, code: str | None) -> None:
    if code:
        row.carrier = code
    else:
        row.problem = f"carrier: {row.carrier} is none, or several, of `fulfillment carriers list`"


def _json(cells: Any) -> str:
    try:
        return orjson.dumps(cells).decode()
    except orjson.JSONEncodeError:  # a surrogate, which rare encodings know
        return json.dumps(cells)


def _storable(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
