"""What a command may say: each answer names the field and what is allowed there, no value."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from messages import InvalidCommand, Place, Problem, parse
from messages.problems import MAX_PROBLEMS
from tests import factories as make
from tests.messages import samples

ID_PATTERN = "String should match pattern '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$'"
CONTROL = "must not hold control characters, line breaks or surrogates"
KIND = "must be one of place, ship, complete, cancel, refund, void, update_tracking, hold, release"
REQUIRED = "Field required"
INTEGER = "Input should be a valid integer"
SHIP_FIELDS = (
    "after, carrier, command_id, expected_version, issued_at, issued_by, items, kind, label, "
    "new_carrier, not_before, notify_customer, order_id, policy, schema_version, service, "
    "tracking_number, tracking_url, weight_g"
)

ADDRESS_FIELDS = "city, company, country, district, lines, name, phone, postal_code"
ITEM_TYPES = (
    "Input should be 'physical', 'digital', 'service', 'event', 'gift_card', 'donation' or "
    "'membership'"
)


def problems(body: Any) -> list[tuple[str, str]]:
    raw = body if isinstance(body, bytes) else json.dumps(body)
    with pytest.raises(InvalidCommand) as refused:
        parse(raw)
    assert str(refused.value) == "; ".join(
        f"{p.field}: {p.allowed}" for p in refused.value.problems
    )
    return [tuple(problem) for problem in refused.value.problems]


def ship(**fields: Any) -> dict[str, Any]:
    """The least of a ship command, and the fields."""
    return {
        "kind": "ship",
        "command_id": "11111111-1111-4111-8111-111111111111",
        "order_id": "A-1001",
    } | fields


def place(**fields: Any) -> dict[str, Any]:
    """The least of a place command, with the fields in its order."""
    lines = [{"line_id": "A", "name": "Mug", "quantity": 1, "net_minor": 1}]
    order = {"currency": "EUR", "total_minor": 1, "lines": lines} | fields
    return ship(kind="place", order=order)


def line(**fields: Any) -> dict[str, Any]:
    return {"line_id": "A", "name": "Mug", "quantity": 1, "net_minor": 1} | fields


@pytest.mark.parametrize(
    ("fields", "field", "allowed"),
    [
        # numbers: whole, strict, bounded
        ({"items": [{"line_id": "A", "quantity": 1.0}]}, "items.0.quantity", INTEGER),
        (
            {"items": [{"line_id": "A", "quantity": -1}]},
            "items.0.quantity",
            "Input should be greater than or equal to 0",
        ),
        (
            {"items": [{"line_id": "A", "quantity": 1_000_001}]},
            "items.0.quantity",
            "Input should be less than or equal to 1000000",
        ),
        (
            {"items": [{"line_id": "A", "quantity": 10**30}]},
            "items.0.quantity",
            "Input should be less than or equal to 1000000",
        ),
        (
            {"expected_version": 2**31},
            "expected_version",
            "Input should be less than or equal to 2147483647",
        ),
        ({"schema_version": 2}, "schema_version", "Input should be 1"),
        # ids and codes
        ({"command_id": "one"}, "command_id", "must be a UUID"),
        ({"after": "\0"}, "after", "must be a UUID"),
        ({"order_id": "A\n"}, "order_id", ID_PATTERN),
        ({"order_id": 1}, "order_id", "Input should be a valid string"),
        ({"items": [{"quantity": 1}]}, "items.0.line_id", REQUIRED),
        (
            {"carrier": "DHL"},
            "carrier",
            "String should match pattern '^[a-z0-9][a-z0-9_-]{0,31}$'",
        ),
        # text
        ({"issued_by": "a\nb"}, "issued_by", CONTROL),
        ({"issued_by": ""}, "issued_by", "String should have at least 1 character"),
        ({"issued_by": "  "}, "issued_by", "must not be empty"),
        ({"issued_by": "a" * 256}, "issued_by", "String should have at most 255 characters"),
        (
            {"tracking_number": "a" * 65},
            "tracking_number",
            "String should have at most 64 characters",
        ),
        (
            {"tracking_number": "\u0958" * 33},
            "tracking_number",
            "Value should have at most 64 items after validation, not 66",
        ),
        (
            {"tracking_url": "javascript:alert(1)"},
            "tracking_url",
            "String should match pattern '^https?://[!-~]{1,1990}$'",
        ),
        # choices and flags
        ({"policy": "lenient"}, "policy", "Input should be 'strict' or 'clamp'"),
        ({"label": True}, "label", "Input should be 'none' or 'generate'"),
        ({"notify_customer": 1}, "notify_customer", "Input should be a valid boolean"),
        ({"notify_customer": "no"}, "notify_customer", "Input should be a valid boolean"),
        # time
        ({"issued_at": "2026-03-01T12:00:00"}, "issued_at", "Input should have timezone info"),
        ({"issued_at": 1772366400}, "issued_at", "Input should be a valid datetime"),
        (
            {"issued_at": "0001-01-01T00:00:00+14:00"},
            "issued_at",
            "must be in the years 1970 to 2999",
        ),
        (
            {"issued_at": "9999-12-31T23:59:59-14:00"},
            "issued_at",
            "must be in the years 1970 to 2999",
        ),
        (
            {"issued_at": "2026-03-01T12:00:00-16:00"},
            "issued_at",
            "must be less than 16 hours from UTC",
        ),
        # structure
        ({"items": {}}, "items", "Input should be a valid array"),
        ({"items": ["A"]}, "items.0", "Input should be an object"),
        (
            {"items": [{"line_id": f"L{n}", "quantity": 1} for n in range(5001)]},
            "items",
            "Tuple should have at most 5000 items after validation, not 5001",
        ),
        ({"new_carrier": {"code": "p"}}, "new_carrier.name", REQUIRED),
        ({"quantity": 1}, "quantity", f"unknown field; known: {SHIP_FIELDS}"),
        (
            {"items": [{"line_id": "A", "quantity": 1, "price": 2}]},
            "items.0.price",
            "unknown field; known: line_id, quantity",
        ),
        ({"weight_g": 0}, "weight_g", "Input should be greater than or equal to 1"),
        (
            {"weight_g": 1_000_001},
            "weight_g",
            "Input should be less than or equal to 1000000",
        ),
        ({"weight_g": 12.5}, "weight_g", INTEGER),
        (
            {"new_carrier": {"code": "p", "name": "P", "url": "x"}},
            "new_carrier.url",
            "unknown field; known: code, name, tracking_url",
        ),
        (
            {"carrier": "a", "new_carrier": {"code": "p", "name": "P"}},
            "ship",
            "give carrier or new_carrier, not both",
        ),
    ],
)
def test_a_ship_command_that_breaks_one_bound(fields, field, allowed):
    """One problem, named by its field, that says what is allowed."""
    assert problems(ship(**fields)) == [(field, allowed)]


@pytest.mark.parametrize(
    ("fields", "field", "allowed"),
    [
        ({"total_minor": -1}, "order.total_minor", "Input should be greater than or equal to 0"),
        (
            {"total_minor": 10**30},
            "order.total_minor",
            "Input should be less than or equal to 1000000000000",
        ),
        ({"total_minor": 12.5}, "order.total_minor", INTEGER),
        ({"currency": "eur"}, "order.currency", "String should match pattern '^[A-Z]{3}$'"),
        (
            {"lines": []},
            "order.lines",
            "Tuple should have at least 1 item after validation, not 0",
        ),
        (
            {"lines": [line()] * 5001},
            "order.lines",
            "Tuple should have at most 5000 items after validation, not 5001",
        ),
        (
            {"lines": [line(), line(quantity=0)]},
            "order.lines.1.quantity",
            "Input should be greater than or equal to 1",
        ),
        (
            {"lines": [line(item_type="food")]},
            "order.lines.0.item_type",
            ITEM_TYPES,
        ),
        (
            {"fees": [{"kind": "shipping", "net_minor": -(10**12) - 1}]},
            "order.fees.0.net_minor",
            "Input should be greater than or equal to -1000000000000",
        ),
        (
            {"customer": {"locale": "../fr"}},
            "order.customer.locale",
            "String should match pattern '^[a-z]{2,3}([_-][A-Za-z0-9]{2,8}){0,3}$'",
        ),
        ({"hold": "a" * 501}, "order.hold", "String should have at most 500 characters"),
        (
            {"ship_to": {"lines": ["a"] * 6}},
            "order.ship_to.lines",
            "Tuple should have at most 5 items after validation, not 6",
        ),
        (
            {"ship_to": {"zip": "1"}},
            "order.ship_to.zip",
            f"unknown field; known: {ADDRESS_FIELDS}",
        ),
        (
            {
                "refunds": [
                    {
                        "parts": [{"payment_id": "P1", "amount_minor": 1}],
                        "items": [{"line_id": "A", "quantity": 0, "gross_minor": 1}],
                    }
                ]
            },
            "order.refunds.0.items.0.quantity",
            "Input should be greater than or equal to 1",
        ),
        (
            {"refunds": [{"parts": []}]},
            "order.refunds.0.parts",
            "Tuple should have at least 1 item after validation, not 0",
        ),
    ],
)
def test_an_order_that_breaks_one_bound(fields, field, allowed):
    """Deep in an order the field is named by its whole path."""
    assert problems(place(**fields)) == [(field, allowed)]


NO_CHOICE = ("refund", "Input should be 'none' or 'full'")


@pytest.mark.parametrize(
    ("refund", "expected"),
    [
        ("half", [NO_CHOICE, ("refund", "Input should be an object")]),
        (5, [NO_CHOICE, ("refund", "Input should be an object")]),
        (
            {"amount_minor": -1, "currency": "EUR"},
            [NO_CHOICE, ("refund.amount_minor", "Input should be greater than or equal to 0")],
        ),
        (
            {"amount_minor": 1, "currency": "EUR", "tax": 1},
            [NO_CHOICE, ("refund.tax", "unknown field; known: amount_minor, currency")],
        ),
    ],
)
def test_a_cancels_refund_names_both_of_its_shapes(refund, expected):
    """`refund` is a word or an amount: the answer says what either allows."""
    assert problems(ship(kind="cancel", refund=refund)) == expected


def test_a_refund_is_an_amount_or_items():
    """Both at once would be ambiguous: which of the two is meant?"""
    body = ship(kind="refund", amount=samples.MONEY, items=samples.ITEMS)

    assert problems(body) == [("refund", "give amount or items, not both")]


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({}, "give carrier, new_carrier, tracking_number or tracking_url"),
        ({"tracking_number": None}, "give carrier, new_carrier, tracking_number or tracking_url"),
        (
            {"carrier": "a", "new_carrier": {"code": "p", "name": "P"}},
            "give carrier or new_carrier, not both",
        ),
    ],
)
def test_tracking_that_says_nothing_or_two_things(fields, allowed):
    """A correction without any content is none, and one carrier is enough."""
    body = ship(kind="update_tracking", shipment_id=samples.ENVELOPE["after"], **fields)

    assert problems(body) == [("update_tracking", allowed)]


@pytest.mark.parametrize("kind", ["void", "update_tracking"])
def test_a_shipment_is_named_by_its_id(kind):
    """Without it nothing is meant, and a number is none: producers do not know it."""
    fields = {"tracking_number": "T1"} if kind == "update_tracking" else {}

    assert problems(ship(kind=kind, **fields)) == [("shipment_id", REQUIRED)]
    ((field, _),) = problems(ship(kind=kind, shipment_id=42, **fields))
    assert field == "shipment_id"


def test_customers_are_told_of_new_tracking_only_on_request():
    """What is left out means so, and stays out of the canonical body."""
    body = ship(kind="update_tracking", shipment_id=samples.ENVELOPE["after"], carrier="dhl")
    quiet, told = (parse(json.dumps(body | fields)) for fields in ({}, {"notify_customer": True}))

    assert (quiet.notify_customer, told.notify_customer) == (False, True)
    assert "notify_customer" not in quiet.body()
    assert told.body()["notify_customer"] is True
    assert parse(json.dumps(ship(kind="void", shipment_id=body["shipment_id"]))).notify_customer


@pytest.mark.parametrize("kind", [None, "", "Ship", "drain_commands", 5, ["ship"]])
def test_an_unknown_kind(kind):
    """The seven kinds are named."""
    assert problems(ship(kind=kind)) == [("kind", KIND)]


def test_a_missing_kind():
    """Without a kind nothing else can be judged."""
    body = ship()
    del body["kind"]

    assert problems(body) == [("kind", KIND)]


def test_every_problem_is_named():
    """A producer mends all of them at once."""
    assert problems({"kind": "ship", "quantity": 1, "policy": 1}) == [
        ("command_id", REQUIRED),
        ("order_id", REQUIRED),
        ("policy", "Input should be 'strict' or 'clamp'"),
        ("quantity", f"unknown field; known: {SHIP_FIELDS}"),
    ]


def test_no_more_than_twenty_problems_are_named():
    """A body of ten thousand mistakes does not become an answer of ten thousand lines."""
    body = ship(items=[{"line_id": "A"}] * 100)

    found = problems(body)

    assert found == [(f"items.{n}.quantity", REQUIRED) for n in range(MAX_PROBLEMS)]


@pytest.mark.parametrize("name", ["a\0b", "<b>", "a b", "x" * 65, "", "é"])
def test_the_name_of_an_unknown_field_is_shown_only_if_it_is_one(name):
    """Names are sent like values: what PostgreSQL or a page could not bear is not repeated."""
    assert problems(ship(**{name: 1})) == [("?", f"unknown field; known: {SHIP_FIELDS}")]


@pytest.mark.parametrize(
    ("raw", "allowed"),
    [
        (b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b"{", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
        (b"\xff\xfe", "Invalid JSON: expected value at line 1 column 1"),
        (b'{"kind": "\xff"}', "Invalid JSON: invalid unicode code point at line 1 column 11"),
        (
            b'{"kind": "ship", "issued_by": "\\ud800"}',
            "Invalid JSON: unexpected end of hex escape at line 1 column 38",
        ),
        (
            b'{"kind": "ship", "issued_by": "\\udc00!"}',
            "Invalid JSON: lone leading surrogate in hex escape at line 1 column 37",
        ),
        (b"[" * 3000, "Invalid JSON: recursion limit exceeded at line 1 column 202"),
        (b"[]", "Input should be an object"),
        (b"null", "Input should be an object"),
        (b"5", "Input should be an object"),
    ],
)
def test_what_is_no_json_object(raw, allowed):
    """Broken JSON, lone surrogates and deep nesting are answers as well, never another error."""
    assert problems(raw) == [("body", allowed)]


def test_a_producer_in_python_cannot_build_a_lone_surrogate():
    """What JSON refuses, the models refuse as well: it could not be written anywhere."""
    with pytest.raises(ValidationError, match="unable to parse raw data as a unicode string"):
        make.ship(issued_by="a\ud800")


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a body, the containers as well."""
    if path:
        yield path
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in children:
        yield from paths(child, (*path, key))


def replaced(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    body = deepcopy(body)
    at: Any = body
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return body


def refusal(body: dict[str, Any]) -> str | None:
    try:
        parse(json.dumps(body))
    except InvalidCommand as error:
        return str(error)
    return None


CANARIES = [
    "~canary\n",
    "~canary" * 400,
    -987654321987654321,
    98765.4321,
    ["~canary"],
    {"x": "~canary"},
    "2026-99-99T~canary",
]


@pytest.mark.parametrize("body", samples.ALL.values(), ids=samples.ALL)
def test_no_problem_repeats_a_value(body):
    """Values may be personal or hostile: put anywhere in a command, none of them comes back."""
    answers = [
        answer
        for path in paths(body)
        for canary in CANARIES
        if (answer := refusal(replaced(body, path, canary)))
    ]

    assert len(answers) > len(list(paths(body)))
    assert not [answer for answer in answers if "canary" in answer or "98765" in answer]
    assert not [answer for answer in answers if "~" in answer.replace("[!-~]", "")]


@pytest.mark.parametrize("body", samples.ALL.values(), ids=samples.ALL)
def test_the_samples_are_valid(body):
    """A full body of each kind parses: what the tests above break was whole before."""
    assert parse(json.dumps(body)).kind == body["kind"]


def test_problems_are_the_same_for_bytes_and_text():
    """Both ways of handing a body in are one."""
    body = json.dumps(samples.PLACE)

    assert parse(body) == parse(body.encode())
    assert isinstance(parse(body), Place)


def test_a_problem_reads_as_a_sentence():
    """Operators see `field: what is allowed`."""
    assert str(Problem("items.0.quantity", INTEGER)) == f"items.0.quantity: {INTEGER}"
