"""Files of orders: every shape, and every kind of damage, without a traceback."""

import io
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import OrderLine, Payment, Place
from tests.intake.square_shapes import line, money, read, square_order
from worker.intake import Refused, place_id, read_orders

OURS = {
    "order_id": "A-1",
    "currency": "EUR",
    "total_minor": 1000,
    "lines": [{"line_id": "1", "name": "Mug", "quantity": 1, "net_minor": 1000}],
    "payments": [{"payment_id": "p", "captured_minor": 1000}],
    "placed_at": "2026-01-05T08:00:00Z",
}
BAD = b'{"order_id": "A-0", '


def lines_of(*orders):
    return b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in orders)


def verdicts(found):
    """Ids of what is placed; position and reason of what is refused."""
    return [
        one.order_id if isinstance(one, Place) else (one.position, str(one.reason)) for one in found
    ]


# Shapes


def test_a_line_of_ours_is_an_order():
    """`order_id` beside the fields of PlacedOrder."""
    (place,) = read(OURS)

    assert (place.order_id, place.order.total_minor) == ("A-1", 1000)
    assert place.order.lines == (OrderLine(line_id="1", name="Mug", quantity=1, net_minor=1000),)
    assert place.order.payments == (Payment(payment_id="p", captured_minor=1000),)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n  \n"])
def test_json_lines_may_be_mixed_and_blank_lines_count_for_nothing(end):
    """Ours and Square's in one file; the last line may lack its end."""
    raw = end.join([lines_of(OURS), lines_of(square_order()), lines_of({**OURS, "order_id": "B"})])

    assert verdicts(read(raw)) == ["A-1", "order-1", "B"]


@pytest.mark.parametrize(
    "wrapped",
    [
        square_order(),
        [square_order()],
        {"orders": [square_order()], "cursor": "x"},
        {"order": square_order()},
        [{"order": square_order()}],
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_square_orders_in_any_wrapping(wrapped, indent):
    """As the API answers, compact or indented."""
    assert verdicts(read(json.dumps(wrapped, indent=indent).encode())) == ["order-1"]


def test_json_lines_of_wrapped_orders():
    """One answer of the API per line."""
    raw = lines_of(
        {"orders": [square_order(), square_order(id="order-2")]},
        {"order": square_order(id="order-3")},
    )

    assert verdicts(read(raw)) == ["order-1", "order-2", "order-3"]


@pytest.mark.parametrize(
    "raw", [lines_of(OURS), lines_of(OURS, OURS), b"[\n" + lines_of(OURS) + b"\n]"]
)
def test_a_byte_order_mark_is_skipped(raw):
    """Some editors write one."""
    assert set(verdicts(read(b"\xef\xbb\xbf" + raw))) == {"A-1"}


def test_a_list_without_orders_holds_none():
    """That is no mistake."""
    assert read({"orders": []}) == []
    assert read([]) == []


def test_json_lines_are_streamed():
    """The first order is there before the second line has been read."""
    first, second = lines_of(OURS) + b"\n", lines_of({**OURS, "order_id": "B"}) + b"\n"

    class Slow(io.BytesIO):
        def readline(self, size=-1):
            asked.append(1)
            return super().readline(size)

    asked = []
    found = read_orders(Slow(first + second * 1000))

    assert next(found).order_id == "A-1"
    assert len(asked) == 2  # the second tells lines from a document


# Refusals


def test_a_bad_order_does_not_hurt_its_neighbours():
    """Refused with its line number, its id and the reason; the rest is read on."""
    raw = lines_of(OURS, square_order(state="DRAFT"), BAD, 5, {**OURS, "order_id": "B"})

    assert read(raw)[1:4] == [
        Refused(2, "order-1", "draft", "is a draft: it is not ordered yet"),
        Refused(3, None, "unreadable", read(raw)[2].message),
        Refused(4, None, "invalid", "an order must be a JSON object"),
    ]
    assert read(raw)[2].message.startswith("is no JSON: ")
    assert verdicts(read(raw)) == ["A-1", (2, "draft"), (3, "unreadable"), (4, "invalid"), "B"]


def test_a_bad_first_line_does_not_hurt_its_neighbours():
    """It is told from a broken document by the good lines after it."""
    assert verdicts(read(lines_of(BAD, OURS, BAD))) == [
        (1, "unreadable"),
        "A-1",
        (3, "unreadable"),
    ]


def test_in_a_document_the_position_is_the_orders_place():
    """From 1."""
    found = read([square_order(), square_order(id=None), 7])

    assert verdicts(found) == ["order-1", (2, "no_id"), (3, "invalid")]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n\n",
        b"\xef\xbb\xbf",
        b"order_id,total\nA-1,1000\n",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[\n" * 100_000,
        json.dumps([OURS, OURS], indent=1).encode()[:-3],
        b"[\n" + lines_of(OURS) + b",\n" + lines_of(OURS),
        json.dumps(OURS).encode("utf-16"),
        json.dumps(OURS).encode("utf-16-le"),
        json.dumps(OURS).encode("utf-32"),
        json.dumps(OURS).encode("utf-32-be"),
        b"\x00" * 1000,
        b"\x1f\x8b\x08\x00gzip",
        b"9" * 100_000,
        b"NaN",
    ],
    ids=range(18),
)
def test_a_file_that_is_no_json_is_refused_as_a_whole(raw):
    """One clear refusal at position 0, nothing else."""
    (only,) = read(raw)

    assert (only.position, only.order_id, str(only.reason)) == (0, None, "unreadable")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe{\x00", "the file is not UTF-8; write it in UTF-8"),
        (b"[" * 100_000, "is no JSON: depth limit exceeded: line 1 column 1026 (char 1025)"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(raw, message):
    """In words, with the place where there is one."""
    assert read(raw)[0].message == message


@pytest.mark.parametrize(
    "bad",
    [
        b'{"order_id": "A-0", "number": "\x00"}',
        b'{"order_id": "A-0", "number": "\xe9"}',
        b'{"order_id": "A-0", "number": "\\ud800"}',
        b'{"order_id": "A-0", "total_minor": ' + b"9" * 5000 + b"}",
        b'{"order_id": ' + b"[" * 100_000,
        b'{"order_id": "A-0", "total_minor": NaN}',
    ],
    ids=["NUL", "Latin-1", "surrogate", "huge", "deep", "NaN"],
)
def test_bytes_that_are_no_json_cost_their_line_only(bad):
    """Whatever it is."""
    assert verdicts(read(lines_of(OURS, bad, OURS))) == ["A-1", (2, "unreadable"), "A-1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total_minor": 10**30}, "total_minor: "),
        ({"total_minor": 10**13}, "total_minor: "),
        ({"total_minor": "1000"}, "total_minor: "),
        ({"number": "a\x00b"}, "number: must not hold control characters"),
        ({"nunber": "7"}, "nunber: unknown field; known: "),
        ({"lines": []}, "lines: "),
        ({"currency": "eur"}, "currency: "),
        ({"placed_at": "2026-01-05T08:00:00"}, "placed_at: "),
        ({"hold": [[[]]] * 3}, "hold: "),
    ],
)
def test_a_field_of_ours_that_is_not_allowed_is_named(changes, message):
    """With what is allowed there."""
    (only,) = read({**OURS, **changes})

    assert (only.position, only.order_id, str(only.reason)) == (1, "A-1", "invalid")
    assert only.message.startswith(message)


def test_deep_nesting_inside_an_order_is_refused():
    """Deeper than JSON is written, though not deeper than it is read."""
    deep = b"[" * 900 + b"]" * 900
    raw = b'{"order_id": "A-0", "hold": ' + deep + b"}"

    assert verdicts(read(lines_of(OURS, raw))) == ["A-1", (2, "invalid")]


@pytest.mark.parametrize(
    ("order_id", "reason"),
    [
        (None, "no_id"),
        ("", "no_id"),
        ([], "no_id"),
        ("a b", "invalid"),
        (7, "invalid"),
        ({"a": 1}, "invalid"),
    ],
)
def test_an_order_of_ours_needs_an_id(order_id, reason):
    """Letters, digits and `._:-`; anything else is not repeated in the report."""
    (only,) = read({**OURS, "order_id": order_id})

    assert (only.order_id, str(only.reason)) == (None, reason)


def test_ours_that_does_not_tie_is_refused_with_the_difference():
    """The rules are asked before anything is sent."""
    assert read({**OURS, "total_minor": 990}) == [
        Refused(
            1,
            "A-1",
            "total_mismatch",
            "lines and fees sum to 1000, the total says 990: a difference of 10 minor units of EUR",
        )
    ]


def test_a_document_that_is_too_large_is_refused():
    """With the way out."""
    (only,) = read([square_order()] * 9, max_bytes=1000)

    assert only == Refused(
        0, None, "unreadable", "is larger than 1000 bytes; write one order per line"
    )


def test_a_line_that_is_too_long_costs_itself_only():
    """The rest of it is skipped, and lines are counted on."""
    long = {**OURS, "number": "x" * 3_000_000}

    found = read(lines_of(OURS, long, OURS, BAD), max_bytes=1000)

    assert verdicts(found) == ["A-1", (2, "unreadable"), "A-1", (4, "unreadable")]


# Ids


def test_a_second_reading_gives_the_same_commands():
    """So that importing a file twice changes nothing."""
    raw = lines_of(OURS, square_order())

    assert read(raw) == read(raw)


def test_spelling_does_not_count():
    """Order of fields, defaults, an unnormalised accent, another wrapping: the same content."""
    accent = {**OURS, "number": "caf\u00e9"}
    other = {
        "number": "cafe\u0301",
        "tax_minor": 0,
        "hold": None,
        **dict(reversed(list(OURS.items()))),
    }

    assert read(accent)[0].command_id == read([other])[0].command_id


def test_the_place_id_is_frozen():
    """uuid5 over order id and canonical content; another result would import everything twice."""
    namespace = uuid.UUID("5d0f4f0e-6c1b-5a53-9d3e-0d6f2f9f5b71")

    assert place_id("A-1", {"b": 1, "a": "é"}) == uuid.uuid5(
        namespace, 'A-1\n{"a":"\\u00e9","b":1}'
    )
    assert place_id("A-1", {}) != place_id("A-2", {})


# Anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.binary(max_size=200))
def test_no_bytes_raise(raw):
    """Whatever is in the file, it ends in verdicts."""
    assert all(isinstance(one, Place | Refused) for one in read(raw))


@given(st.data())
def test_no_damage_to_a_square_order_raises(data):
    """Any field of an order replaced by anything JSON knows."""
    order = square_order(
        line(metadata={"sku": "S"}, total_tax_money=money(0), quantity="2"),
        tenders=[{"id": "p", "type": "CASH", "amount_money": money(1000)}],
        service_charges=[{"name": "Shipping", "total_money": money(0)}],
        fulfillments=[{"type": "SHIPMENT", "state": "COMPLETED", "shipment_details": {}}],
        returns=[{"return_line_items": [{"quantity": "1", "total_money": money(5)}]}],
        refunds=[{"tender_id": "p", "status": "COMPLETED", "amount_money": money(5)}],
    )
    target = order
    while True:
        key = data.draw(
            st.sampled_from(list(target) if isinstance(target, dict) else range(len(target)))
        )
        inner = target[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            target[key] = data.draw(JSON)
            break
        target = inner

    assert all(isinstance(one, Place | Refused) for one in read(order))
