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

STORE: Final = """
-- store: what became of the rows
update job_rows r set line = new.line, problem = new.problem, command_id = new.command_id,
  is_repeated = new.is_repeated, foreseen = new.foreseen
from jsonb_to_recordset(%(rows)s::jsonb) as new (
  row integer, line text, problem text, command_id uuid, is_repeated boolean, foreseen jsonb)
where r.job_id = %(job_id)s and r.row = new.row
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
    rows = [
        {
            "row": row.row,
            "line": row.line,
            "problem": row.problem or parcel.refused,
            "command_id": parcel.receipt and parcel.receipt.command_id,
            "is_repeated": bool(parcel.receipt and parcel.receipt.answer == "known"),
            "foreseen": foreseen[number] if foreseen else None,
        }
        for number, parcel in enumerate(parcels)
        for row in parcel.rows
    ]
    parameters = {"job_id": job_id, "rows": orjson.dumps(rows).decode()}
    connection.exec_driver_sql(STORE, parameters)
