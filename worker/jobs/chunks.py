"""A job's rows in the database: the next parcels that were not sent, and what became of rows."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection

from messages.fields import MAX_LINES
from worker.jobs.parcels import Parcel
from worker.jobs.rows import Row

CHUNK: Final = 500
"""Commands that are accepted in one transaction."""

NEXT: Final = f"""
-- next_rows: whole parcels, in the order of their first rows
with sizes as materialized (
  select parcel, count(*) as rows from job_rows
  where job_id = %(job_id)s and parcel > %(position)s
  group by parcel order by parcel limit {CHUNK}
), upto as materialized (
  select max(parcel) as parcel from (
    select parcel, sum(rows) over (order by parcel) as total,
      row_number() over (order by parcel) as n
    from sizes
  ) as summed
  where n = 1 or total <= {MAX_LINES}
)
select r.row, r.order_id, r.line, r.sku, r.quantity, r.carrier, r.tracking_number, r.problem,
  r.parcel
from job_rows r
where r.job_id = %(job_id)s and r.parcel > %(position)s and r.parcel <= (select parcel from upto)
order by r.parcel, r.row
"""  # noqa: S608  # constants

# Rows by number and values by name: a join with the values would be planned by what is known of the
# job's rows, and of those that were just loaded nothing is.
STORE: Final = """
-- store: what became of the rows
with told as materialized (
  select %(rows)s::jsonb as rows
)
update job_rows r set
  line = told.rows -> r.row::text ->> 'line',
  problem = told.rows -> r.row::text ->> 'problem',
  command_id = (told.rows -> r.row::text ->> 'command_id')::uuid,
  is_repeated = (told.rows -> r.row::text ->> 'is_repeated')::boolean,
  foreseen = nullif(told.rows -> r.row::text -> 'foreseen', 'null')
from told
where r.job_id = %(job_id)s and r.row = any(%(numbers)s)
"""


def next_rows(connection: Connection, job_id: UUID, position: int) -> tuple[list[Row], int]:
    """Rows of the next parcels behind the position, and the position behind them."""
    found = connection.exec_driver_sql(NEXT, {"job_id": job_id, "position": position}).all()
    return [Row(*values) for *values, _ in found], found[-1].parcel if found else position


def store(
    connection: Connection,
    job_id: UUID,
    parcels: Sequence[Parcel],
    foreseen: Sequence[Any] | None = None,
) -> None:
    """Write down what became of the parcels' rows; of a dry run, what would."""
    rows = {
        str(row.row): {
            "line": row.line,
            "problem": row.problem or parcel.refused,
            "command_id": parcel.receipt and parcel.receipt.command_id,
            "is_repeated": bool(parcel.receipt and parcel.receipt.answer == "known"),
            "foreseen": foreseen[number] if foreseen else None,
        }
        for number, parcel in enumerate(parcels)
        for row in parcel.rows
    }
    parameters = {
        "job_id": job_id,
        "rows": orjson.dumps(rows).decode(),
        "numbers": [row.row for parcel in parcels for row in parcel.rows],
    }
    connection.exec_driver_sql(STORE, parameters)
