"""Lists of orders and commands, page by page. They lock nothing and read no table from end to end.

What is rare has to be looked for otherwise than what is common, and no planner knows which it is.
So there are two ways to a page of orders:

* the walk looks at orders newest first, along an index, until the page is full: it is quick for
  whatever is common. It goes in stretches of `WALK` orders;
* going through the matches of one condition, found by its own index, and sorting them: it is quick
  for whatever is rare. Dead work and parcels tell at once whether they are `FEW`, and then there is
  no walk. How many orders have a word is known only when all are found: there the walk ends after
  its first stretch.

The statements have a shape that leaves the planner no choice for statistics to mislead: a subquery
for a single value is never hashed, and one with a limit is never joined otherwise than row by row.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Final, get_args
from uuid import UUID

from sqlalchemy import Connection

from worker.orders.status import FulfillmentStatus, PaymentStatus
from worker.store import words
from worker.store.reading import Document, documents

WALK: Final = 5_000
"""Orders of a stretch: about 10 ms. What one in a hundred orders has fills a page of fifty."""
FEW: Final = 10_000
"""Matches that are gone through without a walk: at most some 40 ms."""
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
-- walk_orders: newest first, along an index, until the page is full or the stretch ends
select * from ({newest}) as o where {asked}
order by placed_at desc, order_id desc limit %(limit)s
"""

WALK_END = """
-- walk_end: the last order of the stretch; none if there are fewer
select placed_at, order_id from ({newest}) as o
order by placed_at desc, order_id desc offset %(walk)s - 1
"""

COUNT_MATCHES = """
-- count_matches: how many, but no more than to know that they are not few
select count(*) from ({keys}) as keys
"""

MATCHING_ORDERS = """
-- matching_orders: of the matches of one condition, newest first, those that meet all
select o.* from (
  select order_id, placed_at from ({matches}) as matches where {placed}
  order by placed_at desc, order_id desc
) as matches
cross join lateral (
  select {columns} from orders where order_id = matches.order_id and {states} limit 1
) as o
where {asked}
order by matches.placed_at desc, matches.order_id desc limit %(limit)s
"""

MERGED_PAGES = """
-- merged_pages: the newest of two pages
select o.* from unnest(%(order_ids)s::text[]) as page (order_id)
cross join lateral (select {columns} from orders where order_id = page.order_id limit 1) as o
order by placed_at desc, order_id desc limit %(limit)s
"""

_COLUMNS = """order_id, number, customer_name, fulfillment_status, payment_status, refund_pending,
  hold, currency, total_minor, version, placed_at, updated_at, forgotten_at"""

_ORDERS = """
  select {columns} from orders where {states} and {placed}
  order by placed_at desc, order_id desc limit %(walk)s"""

_STATES = """fulfillment_status = any(%(statuses)s) and payment_status = any(%(payment_statuses)s)
  and (refund_pending or not %(refund_pending)s)"""

_PAIR = "fulfillment_status = '{}' and payment_status = '{}'"
_ASKED: Final = {
    "dead": """coalesce(
  (select true from commands where order_id = o.order_id and state = 'dead' limit 1),
  (select true from followups where order_id = o.order_id and state = 'dead' limit 1))""",
    "carriers": """
  (select true from shipments
   where order_id = o.order_id and carrier = any(%(carriers)s) limit 1)""",
    "tracked": """
  (select true from shipments
   where order_id = o.order_id and starts_with(tracking_key, %(tracking)s) limit 1)""",
    "words": """
  (select words @@ %(words)s::tsquery from order_words where order_id = o.order_id)""",
}
"""What the order's own row does not answer, asked of an order `o`."""

# A range that is unknown when the statement is planned, in its index's order: for most of the
# parcels no planner would choose the index. '{' comes after every letter and digit that may follow.
_KEYS: Final = {
    "dead": """
    select order_id from commands where state = 'dead'
    union all select order_id from followups where state = 'dead'
    """,
    "carriers": """
    select s.order_id from unnest(%(carriers)s::text[]) as code cross join lateral (
      select order_id from shipments
      where carrier is not null and carrier >= code and carrier <= code
      order by carrier {limit}) as s
    """,
    "tracked": """
    select s.order_id from unnest(array[%(tracking)s]) as start cross join lateral (
      select order_id from shipments
      where tracking_key is not null and tracking_key >= start and tracking_key < start || '{{'
      order by tracking_key {limit}) as s
    """,
}
"""Ids of the orders that meet it, some more than once."""

_MATCHES: Final = {
    "words": "select order_id, placed_at from order_words where words @@ %(words)s::tsquery"
} | {
    name: f"""
  select key.order_id, o.placed_at
  from (select distinct order_id from ({keys.format(limit="")}) as keys) as key
  cross join lateral (select placed_at from orders where order_id = key.order_id limit 1) as o
  """  # noqa: S608  # our own constant
    for name, keys in _KEYS.items()
}
"""The orders that meet it, each once."""

_SHIPPED: Final = ("partially_fulfilled", "fulfilled")

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
    and outcome is null
  union all
  select * from commands where order_id = %(order_id)s and state <> 'pending'"""
"""Two halves, because each has an index of its own."""

_OF_STATE = """
  select * from commands where {is_state} and seq < %(end)s
  order by seq desc limit %(limit)s"""
"""The state's name stands in it, as it does in the indexes."""


def orders(
    connection: Connection, wanted: Wanted, *, after: str | None = None, limit: int
) -> list[Document]:
    """A page of the orders, newest first; `after` is the id that the page before ended with.

    Raises:
      UnknownCursor: There is no such order.
    """
    parameters = _parameters(wanted) | {"limit": limit}
    if after is not None:
        placed_at = connection.exec_driver_sql(ORDER_CURSOR, {"order_id": after}).scalar()
        if placed_at is None:
            raise UnknownCursor("order", after)
        if wanted.placed_until is None or placed_at < wanted.placed_until:
            parameters |= {"end": placed_at, "end_id": after}

    asked = ["dead"] * wanted.has_dead + ["carriers"] * bool(wanted.carriers)
    if wanted.search is None:
        return _page(connection, asked, parameters)
    # Two pages: orders with the words and orders with the tracking number are found apart.
    pages = [
        _page(connection, [*asked, name], parameters)
        for name, searched in (("words", "words"), ("tracked", "tracking"))
        if parameters[searched]
    ]
    if not all(pages):
        return next(filter(None, pages), [])
    order_ids = list({row["order_id"] for page in pages for row in page})
    merged = MERGED_PAGES.format(columns=_COLUMNS)
    return documents(connection, merged, {"order_ids": order_ids, "limit": limit})


def _page(connection: Connection, asked: list[str], parameters: Document) -> list[Document]:
    """The page of orders that also meet what is asked."""
    if {"carriers", "tracked"} & set(asked):
        # A parcel holds at least a unit, so no other order has one.
        statuses = [one for one in parameters["statuses"] if one in _SHIPPED]
        parameters = parameters | {"statuses": statuses}
    if not (parameters["statuses"] and parameters["payment_statuses"]):
        return []
    counts = {name: _count(connection, name, parameters) for name in asked if name in _KEYS}
    rarest = min(counts, key=counts.__getitem__, default="words")
    if counts and counts[rarest] <= FEW:
        return _matching(connection, rarest, asked, parameters)

    page: list[Document] = []
    parameters = parameters | {"walk": WALK if asked else parameters["limit"]}
    while True:
        newest = _newest(parameters)
        walk = WALK_ORDERS.format(newest=newest, asked=_all(_ASKED[name] for name in asked))
        found = documents(connection, walk, parameters)
        page += found
        if not asked or len(found) == parameters["limit"]:
            return page
        end = connection.exec_driver_sql(WALK_END.format(newest=newest), parameters).first()
        if end is None:
            return page
        parameters |= {"end": end.placed_at, "end_id": end.order_id}
        parameters |= {"limit": parameters["limit"] - len(found)}
        if "words" in asked:
            return page + _matching(connection, "words", asked, parameters)
        # What is not few is somewhere further down: to sort all of it would take longer.


def _count(connection: Connection, name: str, parameters: Document) -> int:
    keys = _KEYS[name].format(limit="limit %(few)s + 1")
    statement = COUNT_MATCHES.format(keys=keys)
    return int(connection.exec_driver_sql(statement, parameters).scalar_one())


def _matching(
    connection: Connection, through: str, asked: list[str], parameters: Document
) -> list[Document]:
    statement = MATCHING_ORDERS.format(
        matches=_MATCHES[through],
        placed=_placed(parameters),
        columns=_COLUMNS,
        states=_STATES,
        asked=_all(_ASKED[name] for name in asked if name != through),
    )
    return documents(connection, statement, parameters)


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
    states = _known(STATES, states)
    latest = (
        _merged((_OF_STATE.format(is_state=_is(state)) for state in states), "seq desc")
        if order_id is None
        else _OF_ORDER
    )
    parameters = {"states": states, "order_id": order_id, "end": end, "limit": limit}
    return documents(connection, LIST_COMMANDS.format(latest=latest), parameters)


def _parameters(wanted: Wanted) -> Document:
    search = wanted.search or ""
    return {
        # Only known ones: they become part of a statement's text.
        "statuses": _known(get_args(FulfillmentStatus), wanted.statuses),
        "payment_statuses": _known(get_args(PaymentStatus), wanted.payment_statuses),
        "few": FEW,
        "refund_pending": wanted.refund_pending,
        "carriers": sorted(set(wanted.carriers)),
        "start": wanted.placed_from,
        "end": wanted.placed_until,
        "end_id": None,
        "words": " & ".join(f"'{word}':*" for word in words.searched(search)),
        "tracking": re.sub("[^A-Za-z0-9]", "", search).lower() or None,
    }


def _is(state: str) -> str:
    # What is pending has no index by `seq`, it is sorted; see migration 0004.
    return f"state = '{state}'" + " and decided_at is null" * (state == "pending")


def _known(known: Sequence[str], given: Collection[str]) -> list[str]:
    return [one for one in known if one in given or not given]


def _newest(parameters: Document) -> str:
    """Orders of the wanted statuses along an index: each pair of statuses is a part of one."""
    placed = _placed(parameters)
    if parameters["refund_pending"]:
        states = f"refund_pending and {_STATES}"
        return _ORDERS.format(columns=_COLUMNS, states=states, placed=placed)
    pairs = product(parameters["statuses"], parameters["payment_statuses"])
    each = [
        _ORDERS.format(columns=_COLUMNS, states=_PAIR.format(one, other), placed=placed)
        for one, other in pairs
    ]
    return _merged(each, "placed_at desc, order_id desc") + " limit %(walk)s"


def _placed(parameters: Document) -> str:
    """The range of time; one upper bound only, so that an index begins at it."""
    conditions = []
    if parameters["start"]:
        conditions.append("placed_at >= %(start)s")
    if parameters["end_id"]:
        conditions.append("(placed_at, order_id) < (%(end)s, %(end_id)s::text)")
    elif parameters["end"]:
        conditions.append("placed_at < %(end)s")
    return _all(conditions)


def _merged(sorted_: Iterable[str], order: str) -> str:
    """One query from several that are sorted already: the server merges them as it goes."""
    parts = " union all ".join(f"({part})" for part in sorted_)
    return f"select * from ({parts}) as parts order by {order}"  # noqa: S608  # our own constants


def _all(conditions: Iterable[str]) -> str:
    return " and ".join(conditions) or "true"
