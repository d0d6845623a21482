"""The JSON Schema says what the parser does."""

import json
import os
from copy import deepcopy

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from messages import InvalidCommand, parse, schema
from messages.wire import KINDS
from tests.messages import golden_files as golden
from tests.strategies import commands


@pytest.mark.parametrize("name", [None, *schema.NAMES])
def test_it_is_a_schema(name):
    """Each is valid by the standard's own schema, and names itself and its version."""
    found = schema.schema(name)

    Draft202012Validator.check_schema(found)
    assert found["$id"] == f"urn:fulfillment:v1:{name or 'command'}"
    assert found["title"] == f"fulfillment {name or 'command'}, version 1"


def test_the_schema_of_any_command_is_made_of_each_ones():
    """A `kind` tells which it is, and each is word for word what it is by itself."""
    found = schema.schema()

    assert found["discriminator"]["propertyName"] == "kind"
    assert found["discriminator"]["mapping"].keys() == set(KINDS)
    assert {one["$ref"] for one in found["oneOf"]} == {*found["discriminator"]["mapping"].values()}
    for kind in KINDS:
        own = schema.schema(kind)
        part = found["$defs"][kind.title().replace("_", "")]
        assert part["properties"] == own["properties"]
        assert part["required"] == own["required"]
        assert own.get("$defs", {}).items() <= found["$defs"].items()


def test_there_is_no_other_name():
    """A name that is none is refused."""
    with pytest.raises(KeyError):
        schema.schema("label")


@given(commands)
def test_any_command_fits(command):
    """What a producer builds with this package, a producer in another language may write."""
    body = command.body()

    golden.validator(command.kind).validate(body)
    golden.validator().validate(body)


WRONG = (None, True, 1.5, -1, 2, 10**20, "", "A", "full", "x" * 2001, "2026-03-01T12:00:00", [], {})
# Each field gets every third of them, its neighbour the next; all of them where more is wanted.
STEP = 1 if os.environ.get("FULFILLMENT_FUZZ_EXAMPLES") else 3


def changed(value):
    """Every body that differs in one place: a field less, one more, a field with another value."""
    if isinstance(value, list):
        for n, one in enumerate(value):
            for other in changed(one):
                yield [*value[:n], other, *value[n + 1 :]]
        yield value * 501
    if isinstance(value, dict):
        yield value | {"surplus": 1}
        for place, (field, one) in enumerate(value.items()):
            yield {name: kept for name, kept in value.items() if name != field}
            for other in (*WRONG[place % STEP :: STEP], *changed(one)):
                yield value | {field: deepcopy(other)}


def parses(body):
    try:
        parse(json.dumps(body))
    except InvalidCommand:
        return False
    return True


@pytest.mark.parametrize("name", [name for name in golden.names("commands") if ".full" in name])
def test_schema_and_parser_refuse_the_same(name):
    """Of every full body, changed in one place at a time, both say the same."""
    body = golden.read(name)["sent"]

    for one in changed(body):
        if one.get("schema_version") is True:
            continue  # pydantic takes it for 1
        fits = golden.validator(body["kind"]).is_valid(one)
        assert fits == parses(one), one


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "ship", "carrier": "dhl", "new_carrier": {"code": "p", "name": "P"}},
        {
            "kind": "refund",
            "amount": {"amount_minor": 1, "currency": "EUR"},
            "items": [{"line_id": "A", "quantity": 1}],
        },
        {"kind": "ship", "issued_at": "1969-12-31T23:59:59Z"},
        {"kind": "ship", "issued_at": "3000-01-01T00:00:00Z"},
        {"kind": "ship", "issued_at": "2026-03-01T24:00:00Z"},
        {"kind": "ship", "items": [{"line_id": "A", "quantity": 1}] * 5001},
        {"kind": "ship", "command_id": "one"},
        {"kind": "ship", "order_id": "../1"},
        {"kind": "ship", "tracking_url": "ftp://t.example/1"},
        {"kind": "hold"},
    ],
)
def test_what_both_refuse(fields):
    """Rules between fields, times, patterns and an unknown kind."""
    body = {"command_id": "00000000-0000-4000-8000-000000000001", "order_id": "1001"} | fields

    assert not golden.validator().is_valid(body)
    assert not parses(body)
