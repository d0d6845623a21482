"""Lists of orders and commands, page by page. They lock nothing and read no table from end to end.

What is rare has to be looked for otherwise than what is common, and no planner knows which it is.
So a page of orders comes from two statements:

* the walk looks at orders newest first, along an index, until the page is full, but at no more than
  `WALK` of them: it fills the page with whatever is common;
* the rest, older than where the walk ended, comes from an index of what is asked for: whatever is
  rare has few matches to sort.

Both have a shape that leaves the planner no choice for statistics to mislead: a subquery for a
single value is never hashed, and one with a limit is never joined otherwise than row by row.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, Final, get_args
from uuid import UUID

from sqlalchemy import Connection

from worker.orders.status import FulfillmentStatus, PaymentStatus
from worker.store import words
from worker.store.reading import Document, documents

WALK: Final = 5_000
"""Orders that the walk looks at, in up to 20 ms: as long as 10,000 matches take to be sorted."""
FEW: Final = 10_000
"""Parcels that are quicker to go through than the orders of a word may be."""
STATES: Final = ("pending", "applied", "rejected", "dead", "discarded")
"""Of a command."""


class UnknownCursor(LookupError):
    """What a page is to begin after is not here."""

    def __init__(self, what: str, row_id: object) -> None:
        super().__init__(f"{what} {row_id} is not here: no page begins after it")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders: those that meet every condition given."""

    search: str | None = None
    """Beginnings of words of id, number, customer, e-mail and SKUs; or of a tracking number."""
    statuses: Collection[str] = ()
    payment_statuses: Collection[str] = ()
    carriers: Collection[str] = ()
    """Codes; a parcel with one of them is enough."""
    placed_from: datetime | None = None
    """Aware, as is the other; half open."""
    placed_until: datetime | None = None
    refund_pending: bool = False
    has_dead: bool = False
    """A command or a follow-up of the order is dead."""


ORDER_CURSOR = """
-- order_cursor: it stays where it is, placed_at never changes
select placed_at from orders where order_id = %(order_id)s
"""

WALK_ORDERS = """
-- walk_orders: newest first, along an index, until the page is full
select * from ({newest}) as o where {asked}
order by placed_at desc, order_id desc limit %(limit)s
"""

WALK_END = """
-- walk_end: the last order that the walk looks at; none if there are fewer
select placed_at, order_id from ({newest}) as o
order by placed_at desc, order_id desc offset %(walk)s - 1
"""

REST_OF_ORDERS = """
-- rest_of_orders: of the matches of one condition, newest first, those that meet all
select o.* from (
  select order_id, placed_at from ({matches}) as found where {placed}
  order by placed_at desc, order_id desc
) as found
cross join lateral (
  select {columns} from orders where order_id = found.order_id and {states} limit 1
) as o
where {asked}
order by found.placed_at desc, found.order_id desc limit %(limit)s
"""

FEW_PARCELS = """
-- few_parcels: whether the carriers have few
select count(*) <= %(few)s from (
  select from shipments where carrier is not null and carrier = any(%(carriers)s)
  limit %(few)s + 1) as parcels
"""

_COLUMNS = """order_id, number, customer_name, fulfillment_status, payment_status, refund_pending,
  hold, currency, total_minor, version, placed_at, updated_at"""

_ORDERS = """
  select {columns} from orders where {states} and {placed}
  order by placed_at desc, order_id desc limit %(walk)s"""

_STATES = """fulfillment_status = any(%(statuses)s) and payment_status = any(%(payment_statuses)s)
  and (refund_pending or not %(refund_pending)s)"""

# '{' comes after every letter and digit that may follow.
_IS_TRACKED = """tracking_number is not null
    and squeezed(tracking_number) collate "C" >= %(tracking)s
    and squeezed(tracking_number) collate "C" < %(tracking)s::text || '{'"""

_ASKED: Final = {
    "dead": """coalesce(
  (select true from commands where order_id = o.order_id and state = 'dead' limit 1),
  (select true from followups where order_id = o.order_id and state = 'dead' limit 1))""",
    "carriers": """(
  select true from shipments
  where order_id = o.order_id and carrier = any(%(carriers)s) limit 1)""",
    "search": f"""(
  (select words @@ %(words)s::tsquery from order_words where order_id = o.order_id)
  or (select true from shipments where order_id = o.order_id and {_IS_TRACKED} limit 1))""",  # noqa: S608  # our own constant
}
"""What the order's own row does not answer, asked of an order `o`; first what tends to be rare."""

_TIMED = """
  select key.order_id, o.placed_at from ({keys}) as key
  cross join lateral (select placed_at from orders where order_id = key.order_id limit 1) as o"""
_DEAD_KEYS = """
    select order_id from commands where state = 'dead'
    union select order_id from followups where state = 'dead'"""
_CARRIER_KEYS = """
    select distinct order_id from shipments
    where carrier is not null and carrier = any(%(carriers)s)"""
_TRACKED_KEYS = f"""
    select order_id from shipments where {_IS_TRACKED}"""  # noqa: S608  # our own constant

_MATCHES: Final = {
    "dead": _TIMED.format(keys=_DEAD_KEYS),
    "carriers": _TIMED.format(keys=_CARRIER_KEYS),
    "search": f"""
  select order_id, placed_at from order_words where words @@ %(words)s::tsquery
  union {_TIMED.format(keys=_TRACKED_KEYS)}""",  # noqa: S608  # our own constants
}
"""The orders that meet it, each once."""

COMMAND_CURSOR = """
-- command_cursor
select seq from commands where id = %(command_id)s
"""

LIST_COMMANDS = """
-- list_commands: the latest accepted first
select id as command_id, kind, order_id, state, accepted_at, decided_at, attempts, waits_for,
  next_at, coalesce(dead_reason, outcome ->> 'reason') as reason
from ({latest}) as c
where seq < %(end)s and state = any(%(states)s)
order by seq desc limit %(limit)s
"""

_OF_ORDER = """
  select * from commands where order_id = %(order_id)s and state = 'pending'
  union all
  select * from commands where order_id = %(order_id)s and state <> 'pending'"""
"""Two halves, because each has an index of its own."""

_OF_STATE = """
  select * from commands where state = {state} and seq < %(end)s
  order by seq desc limit %(limit)s"""


def orders(
    connection: Connection, wanted: Wanted, *, after: str | None = None, limit: int
) -> list[Document]:
    """A page of the orders, newest first; `after` is the id that the page before ended with.

    Raises:
      UnknownCursor: There is no such order.
    """
    asked = _asked(wanted)
    parameters = _parameters(wanted) | {"limit": limit, "walk": WALK if asked else limit}
    if "search" in asked and not parameters["words"]:
        return []  # it has neither letter nor digit
    if after is not None:
        placed_at = connection.exec_driver_sql(ORDER_CURSOR, {"order_id": after}).scalar()
        if placed_at is None:
            raise UnknownCursor("order", after)
        if wanted.placed_until is None or placed_at < wanted.placed_until:
            parameters |= {"end": placed_at, "end_id": after}

    newest = _newest(wanted, parameters)
    walk = WALK_ORDERS.format(newest=newest, asked=_all(_ASKED[name] for name in asked))
    page = documents(connection, walk, parameters)
    if len(page) == limit or not asked:
        return page
    end = connection.exec_driver_sql(WALK_END.format(newest=newest), parameters).first()
    if end is None:
        return page

    parameters |= {"end": end.placed_at, "end_id": end.order_id, "limit": limit - len(page)}
    if asked == ["carriers", "search"] and not _few_parcels(connection, wanted):
        asked.reverse()
    rest = REST_OF_ORDERS.format(
        matches=_MATCHES[asked[0]],
        placed=_placed(parameters),
        columns=_COLUMNS,
        states=_STATES,
        asked=_all(_ASKED[name] for name in asked[1:]),
    )
    return page + documents(connection, rest, parameters)


def commands(
    connection: Connection,
    *,
    states: Collection[str] = (),
    order_id: str | None = None,
    after: UUID | None = None,
    limit: int,
) -> list[Document]:
    """A page of the commands, the latest accepted first; `after` ended the page before.

    Raises:
      UnknownCursor: There is no such command.
    """
    end: int | None = 2**63 - 1
    if after is not None:
        end = connection.exec_driver_sql(COMMAND_CURSOR, {"command_id": after}).scalar()
    if end is None:
        raise UnknownCursor("command", after)
    states = list(states or STATES)
    of_states = {f"state_{n}": state for n, state in enumerate(states)}
    latest = (
        _merged((_OF_STATE.format(state=f"%({name})s") for name in of_states), "seq desc")
        if order_id is None
        else _OF_ORDER
    )
    parameters = {"states": states, "order_id": order_id, "end": end, "limit": limit, **of_states}
    return documents(connection, LIST_COMMANDS.format(latest=latest), parameters)


def _asked(wanted: Wanted) -> list[str]:
    """Which of `_ASKED` to ask, in their order."""
    given = {
        "dead": wanted.has_dead,
        "carriers": bool(wanted.carriers),
        "search": wanted.search is not None,
    }
    return [name for name in _ASKED if given[name]]


def _parameters(wanted: Wanted) -> dict[str, Any]:
    search = wanted.search or ""
    statuses = list(wanted.statuses or get_args(FulfillmentStatus))
    payment_statuses = list(wanted.payment_statuses or get_args(PaymentStatus))
    return {
        "statuses": statuses,
        "payment_statuses": payment_statuses,
        **{f"status_{n}": status for n, status in enumerate(statuses)},
        **{f"payment_status_{n}": status for n, status in enumerate(payment_statuses)},
        "refund_pending": wanted.refund_pending,
        "carriers": list(wanted.carriers),
        "start": wanted.placed_from,
        "end": wanted.placed_until,
        "end_id": None,
        "words": " & ".join(f"'{word}':*" for word in words.searched(search)),
        "tracking": re.sub("[^A-Za-z0-9]", "", search).lower() or None,
    }


def _newest(wanted: Wanted, parameters: dict[str, Any]) -> str:
    """Orders of the wanted statuses along an index: each pair of statuses is a part of one."""
    placed = _placed(parameters)
    if wanted.refund_pending:
        states = f"refund_pending and {_STATES}"
        return _ORDERS.format(columns=_COLUMNS, states=states, placed=placed)
    pairs = product(range(len(parameters["statuses"])), range(len(parameters["payment_statuses"])))
    states = "fulfillment_status = %(status_{})s and payment_status = %(payment_status_{})s"
    each = (
        _ORDERS.format(columns=_COLUMNS, states=states.format(*pair), placed=placed)
        for pair in pairs
    )
    return _merged(each, "placed_at desc, order_id desc") + " limit %(walk)s"


def _placed(parameters: dict[str, Any]) -> str:
    """The range of time; one upper bound only, so that an index begins at it."""
    conditions = []
    if parameters["start"]:
        conditions.append("placed_at >= %(start)s")
    if parameters["end_id"]:
        conditions.append("(placed_at, order_id) < (%(end)s, %(end_id)s::text)")
    elif parameters["end"]:
        conditions.append("placed_at < %(end)s")
    return _all(conditions)


def _few_parcels(connection: Connection, wanted: Wanted) -> bool:
    parameters = {"carriers": list(wanted.carriers), "few": FEW}
    return bool(connection.exec_driver_sql(FEW_PARCELS, parameters).scalar())


def _merged(sorted_: Iterable[str], order: str) -> str:
    """One query from several that are sorted already: the server merges them as it goes."""
    parts = " union all ".join(f"({part})" for part in sorted_)
    return f"select * from ({parts}) as parts order by {order}"  # noqa: S608  # our own constants


def _all(conditions: Iterable[str]) -> str:
    return " and ".join(conditions) or "true"
