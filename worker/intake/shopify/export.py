"""Shopify's orders export: a CSV with a row per line item, the order's own columns on the first.

Streamed: the rows of an order are consecutive, and one order at a time is held. What was decided
where the export leaves a choice (of an order itself: in `export_order.py`):

- **Order.** Rows with the same `Name`; one that has a `Total` begins the order.
- **Twice.** An order that stands there twice (exports that overlap, joined) is read once. Rows of
  an order that are equal are lines of their own, unless the sums tie only without the repeats.
"""

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from messages import Place
from worker.intake.refusal import OrderRefused, Refused, Why
from worker.intake.shopify.export_order import MAX_ROWS, known_id, place_rows
from worker.intake.shopify.export_rows import Row, read_rows


def read_csv(header: bytes, number: int, lines: Iterable[bytes]) -> Iterator[Place | Refused]:
    """The orders of an export, each as the command that places it or as refused.

    `number` is that of the header's line; the position of an order is that of its first row.
    """
    rows: list[Row] = []
    for row in read_rows(header, number, lines):
        if rows and (isinstance(row, Refused) or row.name != rows[0].name):
            yield from _order(rows, is_torn=isinstance(row, Refused))
            rows = []
        if isinstance(row, Refused):
            yield row
        elif len(rows) <= MAX_ROWS:
            rows.append(row)
    if rows:
        yield from _order(rows, is_torn=False)


def _order(rows: Sequence[Row], *, is_torn: bool) -> Iterator[Place | Refused]:
    """What these rows of one name are: an order, the same one twice, or refused."""
    placed: dict[UUID, Place] = {}
    refused: dict[tuple[str, ...], Refused] = {}
    whole: set[tuple[str, ...]] = set()
    for export in _exports(rows):
        first = export[0]
        try:
            found = _read(export, is_torn=is_torn)
        except OrderRefused as error:
            one = Refused(first.number, known_id(first), error.reason, error.message)
            refused.setdefault(first.cells, one)
        else:
            placed.setdefault(found.command_id, found)
            whole.add(first.cells)
    yield from placed.values()
    # A first row that is repeated makes an export of itself, which is no order that was lost.
    yield from (one for cells, one in refused.items() if cells not in whole)


def _exports(rows: Sequence[Row]) -> list[list[Row]]:
    exports: list[list[Row]] = []
    for row in rows:
        if row.begins_order or not exports:
            exports.append([])
        exports[-1].append(row)
    return exports


def _read(rows: Sequence[Row], *, is_torn: bool) -> Place:
    if is_torn:
        raise OrderRefused(Why.UNREADABLE, "the row after it cannot be read, and may be one of it")
    try:
        return place_rows(rows)
    except OrderRefused as error:
        once = list({row.cells: row for row in reversed(rows)}.values())[::-1]
        if error.reason != Why.TOTAL_MISMATCH or len(once) == len(rows):
            raise
        try:
            return place_rows(once)
        except OrderRefused:
            raise error from None
