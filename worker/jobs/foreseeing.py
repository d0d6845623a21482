"""What would become of a file: it is loaded, planned and judged as if it were sent, in a
transaction that is rolled back. Nobody else sees a row of it.
"""

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from messages.fields import MAX_LINES
from worker.jobs.chunks import CHUNK, store
from worker.jobs.job import Options
from worker.jobs.parcels import Parcel, plan
from worker.jobs.rows import Row
from worker.orders.model import Decision, Rejection
from worker.work.accept import Receipt
from worker.work.judging import Dead, Wait
from worker.work.preview import Preview, preview

# An order's parcels stand together, each leaves less for the next.
BY_ORDER: Final = """
-- rows_by_order
select r.row, r.order_id, r.line, r.sku, r.quantity, r.carrier, r.tracking_number, r.problem
from (
  select *, min(parcel) over (partition by order_id) as first
  from job_rows where job_id = %(job_id)s and parcel > 0
) as r
order by r.first, r.order_id, r.parcel, r.row
"""

SENT: Final = """
-- sent_of_dry_run
update jobs set sent = sent + %(rows)s where id = %(job_id)s
"""


def foresee(
    connection: Connection, engine: Engine, job_id: UUID, options: Options, *, grace_s: float
) -> Iterator[int]:
    """Judge the rows of a job that was loaded in the connection's transaction, which the caller
    rolls back; how many, chunk by chunk. The engine is for looking at what is committed.
    """
    for rows in _by_order(connection, job_id):
        parcels = plan(connection, rows, batch=options.batch, **options.fields)
        sendable = [parcel for parcel in parcels if parcel.command]
        commands = [parcel.command for parcel in sendable if parcel.command]
        judged = iter(preview(engine, commands, grace_s=grace_s) if commands else ())
        store(
            connection,
            job_id,
            parcels,
            [_foreseen(parcel, next(judged)) if parcel.command else None for parcel in parcels],
        )
        connection.exec_driver_sql(SENT, {"job_id": job_id, "rows": len(rows)})
        yield len(rows)


def _by_order(connection: Connection, job_id: UUID) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    streamed = {"stream_results": True, "max_row_buffer": CHUNK}
    with connection.exec_driver_sql(
        BY_ORDER, {"job_id": job_id}, execution_options=streamed
    ) as found:
        for values in found:
            row = Row(*values)
            if len(chunk) >= CHUNK and _may_part(chunk, row):
                yield chunk
                chunk = []
            chunk.append(row)
    if chunk:
        yield chunk


def _may_part(chunk: list[Row], row: Row) -> bool:
    """Whether the row may be another chunk's; of an order without end only parcels are whole."""
    last = chunk[-1]
    return row.order != last.order or (len(chunk) >= MAX_LINES and row.parcel != last.parcel)


def _foreseen(parcel: Parcel, one: Preview) -> dict[str, Any] | None:
    result, reason, message = "waiting", None, None
    match one.verdict:
        case Decision() | Rejection():
            outcome = one.verdict.outcome.model_dump(mode="json")
            result, reason, message = _told(outcome["state"], outcome)
        case Receipt(answer="known"):
            parcel.receipt = one.verdict
            result, reason, message = _told(one.verdict.state or "", one.verdict.outcome or {})
        case Receipt():
            parcel.refused = "its id belongs to another command"
            return None
        case Wait():
            message = "for the order, which is not here"
        case Dead():
            parcel.refused = one.verdict.message
            return None
    return {"result": result, "reason": reason, "message": message}


def _told(state: str, outcome: dict[str, Any]) -> tuple[str, str | None, str | None]:
    result = "waiting" if state == "pending" else state
    return result, outcome.get("reason"), outcome.get("message")
