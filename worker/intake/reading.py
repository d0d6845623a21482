"""Reading a file of orders: our JSON lines, Square's or Shopify's JSON in any of their wrappings,
or Shopify's CSV export.

One order's trouble is its own: it is refused with its position and the rest is read on. JSON lines
and CSV are streamed; a document (one object or array) is read whole. Nothing here raises for bad
input.

Shapes: an object per line or one document; each value is an order, a list of orders,
`{"orders": [...]}` or `{"order": {...}}`. An order with `order_id` is ours (`PlacedOrder` beside
the id), one with amounts as decimals is Shopify's, any other is Square's. A file whose first line
names Shopify's columns is its CSV. UTF-8, with or without a byte order mark.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, Final

import orjson
from pydantic import ValidationError

from messages import Place, PlacedOrder
from messages.problems import problems
from worker.intake.ids import is_id, place
from worker.intake.refusal import OrderRefused, Refused, Why
from worker.intake.shopify import MAX_ROW_BYTES, is_header, is_shopify, read_csv, shopify_to_place
from worker.intake.square import to_place

MAX_BYTES: Final = 256 * 1024 * 1024
"""Of one document or one line of JSON."""
_BOM: Final = b"\xef\xbb\xbf"
_ORDER_KEYS: Final = frozenset({"order_id", "id", "order", "orders"})
_OTHER_BOMS: Final = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")


@dataclass(frozen=True, slots=True)
class _Found:
    position: int
    value: Any


def read_orders(stream: BinaryIO, *, max_bytes: int = MAX_BYTES) -> Iterator[Place | Refused]:
    """The orders of a file in its order, each as the command that places it or as refused."""
    for found in _values(stream, max_bytes):
        yield _read(found) if isinstance(found, _Found) else found


def _read(found: _Found) -> Place | Refused:
    order = found.value
    if not isinstance(order, Mapping):
        return Refused(found.position, None, Why.INVALID, "an order must be a JSON object")
    is_ours = "order_id" in order
    try:
        if is_ours:
            return _ours(order)
        return shopify_to_place(order) if is_shopify(order) else to_place(order)
    except OrderRefused as refused:
        order_id = order.get("order_id" if is_ours else "id")
        order_id = str(order_id) if type(order_id) is int and not is_ours else order_id
        known = order_id if is_id(order_id) else None
        return Refused(found.position, known, refused.reason, refused.message)


def _ours(order: Mapping[str, Any]) -> Place:
    order_id = order["order_id"]
    if not is_id(order_id):
        message = "order_id: must be letters, digits and ._:-, at most 64"
        raise OrderRefused(Why.INVALID if order_id else Why.NO_ID, message)
    fields = {name: value for name, value in order.items() if name != "order_id"}
    try:
        placed = PlacedOrder.model_validate_json(orjson.dumps(fields))
    except ValidationError as error:
        found = "; ".join(map(str, problems(error, PlacedOrder)))
        raise OrderRefused(Why.INVALID, found) from None
    except orjson.JSONEncodeError:  # nests deeper than what was read may be written
        raise OrderRefused(Why.INVALID, "nests too deeply") from None
    return place(order_id, placed)


def _values(stream: BinaryIO, max_bytes: int) -> Iterator[_Found | Place | Refused]:
    lines = _lines(stream, max_bytes)
    number, head = next(lines, (0, b""))
    if not head:
        yield _unreadable(0, "the file is empty")
        return
    if head.startswith(_OTHER_BOMS) or b"\0" in head[:4]:
        yield _unreadable(0, "the file is not UTF-8; write it in UTF-8")
        return
    if is_header(head):
        yield from read_csv(head, number, _cut_lines(stream, MAX_ROW_BYTES))
        return
    try:
        value = _parse(head, max_bytes)
    except _Unparsable as error:
        # Blank lines stay, so that a complaint about the document names the true line.
        rest = stream.read(max(0, max_bytes + 1 - len(head)))
        yield from _document(b"\n" * (number - 1) + head + rest, str(error), max_bytes)
        return
    second = next(lines, None)
    if second is None:
        yield from _numbered(value)
        return
    yield from (_Found(number, one) for one in _orders_in(value))
    yield from _json_lines(chain([second], lines), max_bytes)


def _document(whole: bytes, first_line_trouble: str, max_bytes: int) -> Iterator[_Found | Refused]:
    """What begins with no JSON by itself: a document over several lines, or a bad first line."""
    try:
        yield from _numbered(_parse(whole, max_bytes))
    except _Unparsable as error:
        lines = [one for one in enumerate(whole.split(b"\n"), start=1) if one[1].strip()]
        if len(whole) > max_bytes or not _are_json_lines([line for _, line in lines], max_bytes):
            trouble = str(error) if len(lines) > 1 else first_line_trouble
            yield _unreadable(0, trouble)
            return
        yield from _json_lines(lines, max_bytes)


def _are_json_lines(lines: Sequence[bytes], max_bytes: int) -> bool:
    """Whether it is a list of orders with a bad first line rather than one broken document."""
    opens_document = lines[0].lstrip().startswith(b"[") or lines[0].rstrip().endswith((b"[", b"{"))
    return not opens_document and any(_is_order(line, max_bytes) for line in lines[1:])


def _json_lines(lines: Iterable[tuple[int, bytes]], max_bytes: int) -> Iterator[_Found | Refused]:
    for number, line in lines:
        try:
            value = _parse(line, max_bytes)
        except _Unparsable as error:
            yield _unreadable(number, str(error))
        else:
            yield from (_Found(number, one) for one in _orders_in(value))


def _numbered(value: Any) -> Iterator[_Found]:
    return (_Found(place, one) for place, one in enumerate(_orders_in(value), start=1))


def _orders_in(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping) and isinstance(value.get("orders"), list):
        value = value["orders"]
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, Mapping) and "order_id" not in one and "order" in one:
            yield one["order"]
        else:
            yield one


def _is_order(line: bytes, max_bytes: int) -> bool:
    try:
        value = _parse(line, max_bytes)
    except _Unparsable:
        return False
    return isinstance(value, dict) and not _ORDER_KEYS.isdisjoint(value)


class _Unparsable(ValueError):
    """The bytes are no JSON; the message says where, never what."""


def _parse(raw: bytes, max_bytes: int) -> Any:
    if len(raw) > max_bytes:
        raise _Unparsable(f"is larger than {max_bytes} bytes; write one order per line")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _Unparsable(f"is no JSON: {error}") from None


def _unreadable(position: int, message: str) -> Refused:
    return Refused(position, None, Why.UNREADABLE, message)


def _lines(stream: BinaryIO, max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank with their numbers; one that is too long is cut off."""
    for number, line in enumerate(_cut_lines(stream, max_bytes), start=1):
        text = line.removeprefix(_BOM) if number == 1 else line
        if text.strip():
            yield number, text


def _cut_lines(stream: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """Every line; of one that is longer, a byte more than allowed."""
    while line := stream.readline(max_bytes + 1):
        is_cut = len(line) > max_bytes and not line.endswith(b"\n")
        while is_cut and (more := stream.readline(1024 * 1024)):
            is_cut = not more.endswith(b"\n")
        yield line
