"""Numbering and reading. The cursor is a number: whoever has read up to one and goes on behind it
misses nothing, whichever transactions commit in between, and reads nothing twice.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

CHUNK: Final = 10_000
"""Events that one statement numbers, in some 200 ms."""

NUMBER: Final = """
-- number_events
select number_events(%(most)s, %(patient)s)
"""

MAY_NUMBER: Final = """
-- may_number: a viewer may not, and nobody in a transaction that only reads, or on a replica
select has_function_privilege('number_events(integer, boolean)', 'execute')
  and current_setting('transaction_read_only') = 'off'
"""

_BOUNDS = """
  coalesce((select position from retention where what = 'events'), 0) as removed,
  coalesce(
    (select max(number) from events where number is not null),
    (select position from retention where what = 'events'), 0) as latest"""

BOUNDS: Final = f"""
-- bounds: up to where events were removed, and the latest number
select {_BOUNDS}
"""

EVENTS_AFTER: Final = f"""
-- events_after: with the bounds of the same moment, or what retention removes would not be missed
with bounds as materialized (
  select {_BOUNDS}
)
select removed, latest, e.number, e.type, e.order_id, e.command_id, e.subject_id, e.at, e.data
from bounds left join lateral (
  select * from events where number is not null and number > %(after)s {{of_order}}
  order by number limit %(limit)s
) as e on true
order by e.number
"""  # noqa: S608  # our own columns

_OF_ORDER = "and order_id = %(order_id)s"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that ended, or changed its state. Nothing in it tells whose order it is."""

    number: int
    """The cursor: without gaps, in the order in which an order's events happened."""
    type: str
    """`command.applied`, `label.done`, `refund_part.settled`, `parcel.delivered`, ..."""
    order_id: str
    command_id: UUID
    """The command that it became of, or that it followed from."""
    subject: UUID | None
    """The parcel, refund part or command that a follow-up was about; none of a command itself."""
    at: datetime
    data: dict[str, Any]


class CursorGone(LookupError):
    """Events behind the cursor are not here any more, or not yet; `oldest` is where to begin."""

    def __init__(self, message: str, oldest: int) -> None:
        super().__init__(message)
        self.oldest = oldest


def events_after(
    connection: Connection, after: int, *, limit: int, order_id: str | None = None
) -> list[Event]:
    """The next events with a number greater than `after`, in the order of their numbers; with
    `order_id` those of one order. Number first what is committed: `number_for_reading`.

    Raises:
      CursorGone: Events behind `after` have been removed, or it is none of this database's.
    """
    statement = EVENTS_AFTER.format(of_order="" if order_id is None else _OF_ORDER)
    parameters = {"after": after, "limit": limit, "order_id": order_id}
    rows = connection.exec_driver_sql(statement, parameters).all()
    removed, latest, *_ = rows[0]
    if after < removed:
        raise CursorGone(
            f"events up to {removed} have been removed: begin again after {removed}, and look up"
            " what happened before",
            removed,
        )
    if after > latest:
        raise CursorGone(f"no event has the number {after}: the latest is {latest}", removed)
    return [Event(*columns) for _, _, *columns in rows if columns[0] is not None]


def oldest(connection: Connection) -> int:
    """The cursor behind which everything that is kept comes."""
    removed: int = connection.exec_driver_sql(BOUNDS).one().removed
    return removed


def latest(connection: Connection) -> int:
    """The cursor behind which only what is not numbered yet comes."""
    found: int = connection.exec_driver_sql(BOUNDS).one().latest
    return found


def number_events(connection: Connection, *, most: int = CHUNK, patient: bool = True) -> int:
    """Number at most so many events that are committed; how many. What others are numbering at
    this moment is waited for, or, if not `patient`, left to them.

    Raises:
      sqlalchemy.exc.ProgrammingError: (42501) The role may only read.
    """
    done: int = connection.exec_driver_sql(NUMBER, {"most": most, "patient": patient}).scalar_one()
    return done


def number_for_reading(connection: Connection) -> None:
    """Number everything that was committed before, if that is allowed; a worker does it within a
    second in any case. Best in a transaction of its own, for others wait until its end.
    """
    if connection.exec_driver_sql(MAY_NUMBER).scalar_one():
        while number_events(connection) == CHUNK:
            pass
