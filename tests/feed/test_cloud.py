"""Events as CloudEvents 1.0."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import orjson
from jsonschema import Draft202012Validator, FormatChecker

from tests import factories as make
from tests.feed.conftest import read
from tests.work import rig
from worker.feed.cloud import cloud_event
from worker.feed.events import Event

NAME = {"type": "string", "minLength": 1}
SPECIFICATION = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    # Names of attributes are lower-case letters and digits, whatever an extension brings.
    "propertyNames": {"pattern": "^[a-z0-9]+$"},
    "properties": {
        "specversion": {"const": "1.0"},
        "id": NAME,
        "source": NAME | {"format": "uri-reference"},
        "type": NAME,
        "subject": NAME,
        "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"type": "string", "format": "uri"},
        "data_base64": False,
    },
}
"""The JSON format of CloudEvents 1.0.2, of events whose data is JSON."""
VALIDATOR = Draft202012Validator(SPECIFICATION, format_checker=FormatChecker())

ONE = UUID("00000000-0000-4000-8000-000000000001")


def test_an_event_in_full():
    """Each attribute has its place; the time is in UTC, and the data holds both ids."""
    at = datetime(2026, 3, 1, 13, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=1)))
    event = Event(7, "label.done", "O-1", ONE, ONE, at, {"name": "label"})

    assert cloud_event(event, "/shop") == {
        "specversion": "1.0",
        "id": "7",
        "source": "/shop",
        "type": "fulfillment.label.done",
        "subject": "O-1",
        "time": "2026-03-01T12:00:00.250000Z",
        "datacontenttype": "application/json",
        "data": {"command_id": str(ONE), "name": "label", "subject_id": str(ONE)},
    }


def test_a_commands_event_has_no_other_subject():
    """Of a command only its own id is told."""
    event = Event(7, "command.applied", "O-1", ONE, None, datetime.now(UTC), {"kind": "ship"})

    assert cloud_event(event, "/shop")["data"] == {"command_id": str(ONE), "kind": "ship"}


def test_what_is_told_meets_the_specification(engine):
    """Events that a worker wrote are CloudEvents by their schema, and JSON."""
    rig.placed(engine)
    rig.decided(engine, make.ship(items=make.items(A=9)), make.ship(notify_customer=False))

    made = [cloud_event(event, "urn:shop:1") for event in read(engine)]

    assert [one["type"] for one in made] == [
        "fulfillment.command.applied",
        "fulfillment.command.rejected",
        "fulfillment.command.applied",
        "fulfillment.email.skipped",
    ]
    for one in made:
        VALIDATOR.validate(orjson.loads(orjson.dumps(one)))


def test_the_schema_can_fail():
    """An event without a source, or of another version, is none."""
    event = cloud_event(
        Event(7, "command.applied", "O-1", ONE, None, datetime.now(UTC), {}), "/shop"
    )

    assert VALIDATOR.is_valid(event)
    assert not VALIDATOR.is_valid(event | {"specversion": "0.3"})
    assert not VALIDATOR.is_valid({k: v for k, v in event.items() if k != "source"})
    assert not VALIDATOR.is_valid(event | {"commandId": "x"})
