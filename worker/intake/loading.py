"""Loading a file of orders: COPY into a temporary table, then accepted, all in one transaction.

What is refused is listed with its reason and keeps nothing else out. The ids of the commands follow
from the orders' content, so loading the same file again changes nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection

from worker.intake.reading import read_orders
from worker.intake.refusal import Refused
from worker.intake.refusals import Refusals

CHUNK_ORDERS: Final = 1_000
CHUNK_BYTES: Final = 16 * 1024 * 1024

CREATE = """
-- create_import_orders
create temporary table import_orders (n bigint primary key, body jsonb not null) on commit drop
"""

ALONE = """
-- alone: two imports at once could wait for each other's ids
select pg_try_advisory_xact_lock(hashtext('fulfillment import'))
"""

PATIENT = """
-- patient: a big file takes as long as it takes; it locks nothing that others need
select set_config('statement_timeout', '0', true),
  set_config('idle_in_transaction_session_timeout', '0', true)
"""

COPY = "copy import_orders (n, body) from stdin"

ACCEPT_CHUNK = """
-- accept_chunk: see accept_commands in the schema; 1 is the lane of bulk work
select r.n, r.command_id, r.answer, r.problem from accept_commands((
  select jsonb_agg(body order by n) from import_orders
  where n > %(after)s and n <= %(until)s), 1) as r
order by r.n
"""


class ImportRunning(RuntimeError):
    """Another import into this database has not ended yet."""


@dataclass(slots=True)
class Report:
    """What became of a file's orders."""

    accepted: dict[UUID, str] = field(default_factory=dict)
    """Order ids by command id."""
    known: dict[UUID, str] = field(default_factory=dict)
    """Those that were accepted before with the same content."""
    refused: Refusals = field(default_factory=Refusals)


def load(
    connection: Connection, stream: BinaryIO, *, progress: Callable[[int], None] = lambda _: None
) -> Report:
    """Accept the orders of a file in the connection's transaction, which the caller commits.

    `progress` is told how many have been read, now and then.

    Raises:
      ImportRunning: Nothing was changed.
    """
    if not connection.exec_driver_sql(ALONE).scalar():
        raise ImportRunning("another import is running; try again when it has ended")
    connection.exec_driver_sql(PATIENT)
    connection.exec_driver_sql(CREATE)
    report = Report()
    loaded = _copy(connection, stream, report, progress)
    for after, until in _chunks(loaded.sizes):
        rows = connection.exec_driver_sql(ACCEPT_CHUNK, {"after": after, "until": until})
        for n, command_id, answer, problem in rows:
            order_id, position = loaded.orders[after + n - 1]
            match answer:
                case "accepted":
                    report.accepted[command_id] = order_id
                case "known":
                    report.known.setdefault(command_id, order_id)
                case _:
                    message = problem or "its id belongs to another command"
                    report.refused.append(Refused(position, order_id, answer, message))
    return report


@dataclass(slots=True)
class _Loaded:
    """Order id and place in the file, and the size, of each row that was copied."""

    orders: list[tuple[str, int]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)


def _copy(
    connection: Connection, stream: BinaryIO, report: Report, progress: Callable[[int], None]
) -> _Loaded:
    loaded = _Loaded()
    cursor: Any = connection.connection.cursor()
    position = 0
    with cursor.copy(COPY) as copy:
        for position, found in enumerate(read_orders(stream), start=1):
            if isinstance(found, Refused):
                report.refused.append(found)
            else:
                body = orjson.dumps(found.body())
                loaded.orders.append((found.order_id, position))
                loaded.sizes.append(len(body))
                copy.write_row((len(loaded.orders), body.decode()))
            if position % 100 == 0:
                progress(position)
    cursor.close()
    progress(position)
    return loaded


def _chunks(sizes: list[int]) -> Iterator[tuple[int, int]]:
    """Ranges of rows `(after, until]` that one call takes."""
    after, size = 0, 0
    for n, one in enumerate(sizes, start=1):
        if n - 1 > after and (n - 1 - after == CHUNK_ORDERS or size + one > CHUNK_BYTES):
            yield after, n - 1
            after, size = n - 1, 0
        size += one
    if len(sizes) > after:
        yield after, len(sizes)
