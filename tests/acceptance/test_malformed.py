"""Messages that nobody should send, straight into Redis, with valid ones between all of them."""

import json
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
import pytest
import redis

from tests import factories as make
from tests.acceptance import processes
from tests.hostile import corpus
from tests.work import rig
from worker.broker.reading import readable

pytestmark = pytest.mark.heavy

ORDER = "MALFORMED"
UNITS = 1_000
INBOX = "fulfillment:inbox"
NO_OBJECT = "a command is a JSON object"
NO_ID = "command_id must be a UUID"
NO_KIND = (
    "kind must be one of place, ship, complete, cancel, refund, void, update_tracking, hold,"
    " release"
)
NO_ORDER = "order_id must be 1 to 64 letters, digits or ._:-"


@dataclass(frozen=True)
class Stray:
    """Listed in `strays` for this reason; `mark` stands in its body and in no other's."""

    reason: str
    problem: str | None
    mark: str


@dataclass(frozen=True)
class Undecodable:
    """Listed in `strays` with as much of these bytes as a stray keeps."""

    raw: bytes


@dataclass(frozen=True)
class Rejected:
    """Rejected as invalid under its own id; the message begins with the field."""

    command_id: UUID
    field: str


@dataclass(frozen=True)
class Applied:
    """Valid after all: what is wrong around it does not count."""

    command_id: UUID


CASES = {}


def case(name, raw, *expected):
    """A message body and what must become of it. The name stands in the body, to be found by."""
    assert name not in CASES
    CASES[name] = (raw, expected)


def message(content, actor="ship", **fields):
    """A message as dramatiq writes it, as bytes; `fields` replace its own."""
    whole = {
        "queue_name": "inbox",
        "actor_name": actor,
        "args": [content],
        "kwargs": {},
        "options": {},
        "message_id": str(uuid4()),
        "message_timestamp": 1_790_000_000_000,
    }
    return json.dumps(whole | fields).encode()


def without(name, field):
    """A message that lacks a field."""
    whole = json.loads(message(name, message_id=name))
    del whole[field]
    return json.dumps(whole).encode()


def body(**fields):
    """A valid shipment of one unit, with these fields in place of its own."""
    return make.ship(order_id=ORDER, items=make.items(A=1)).body() | fields


def items(quantity):
    return [{"line_id": "A", "quantity": quantity}]


def stray(name, raw, reason="undecodable", problem=None):
    case(name, raw, Stray(reason, problem, name))


def rejected(name, field, **fields):
    """A command that can be told by its id, and is wrong in one field."""
    content = body(**fields)
    case(name, message(content), Rejected(UUID(content["command_id"]), field))


# What is no message.
for name, raw in corpus.NO_JSON.items():
    case(f"bytes: {name}", raw, Undecodable(raw))
stray("a-json-list", b'["a-json-list"]')
stray("a-json-text", b'"a-json-text"')
stray("five-megabytes", message("five-megabytes" + "x" * 5_000_000), "too_large")
stray("deep-in-a-message", message("deep-in-a-message@").replace(b"@", b'", ' + b"[" * 100_000))
stray(
    "long-int-in-a-command",
    message(body(issued_by="long-int-in-a-command", expected_version=0)).replace(
        b'"expected_version": 0', b'"expected_version": ' + b"7" * 5_000
    ),
)

# What is a message, but of the wrong shape or to the wrong place.
stray("unknown-actor", message(body(), "unknown-actor"), "unknown_actor")
stray("the-stray-actor", message("the-stray-actor", "stray"), "unknown_actor")
for one in ("queue_name", "actor_name", "args", "kwargs", "options"):
    stray(f"without-{one}", without(f"without-{one}", one))
stray("options-null", message("options-null", options=None))
stray("args-a-text", message("", args="args-a-text"))
stray("args-an-object", message("", args={"args-an-object": 1}))
stray("kwargs-a-list", message("kwargs-a-list", kwargs=[]))
stray("no-argument", message("", args=[], message_id="no-argument"))
stray("two-arguments", message("", args=["two-arguments", 2]))
stray("unknown-argument", message("", kwargs={"unknown-argument": 1}))
stray("actor-a-number", message("actor-a-number", actor_name=7))
stray("id-a-number", message("id-a-number", message_id=7))
stray("id-too-long", message("id-too-long", message_id="x" * 101))
stray("delayed", message(body(issued_by="delayed"), options={"eta": 1_790_000_000_000}), "delayed")

# What is a message, with something in it that cannot be told as a command.
case("a-number", message(770001), Stray("invalid", NO_OBJECT, "770001"))
case(
    "a-list-of-numbers",
    message([770002, 770003]),
    Stray("invalid", NO_OBJECT, "770002"),
    Stray("invalid", NO_OBJECT, "770003"),
)
stray("plain-text", message("plain-text"), "invalid", NO_OBJECT)
stray("a-list-in-a-list", message([["a-list-in-a-list"]]), "invalid", NO_OBJECT)
case("nothing-in-a-list", message([]))
stray("an-empty-id", message(body(command_id="", issued_by="an-empty-id")), "invalid", NO_ID)
stray("a-bad-id", message(body(command_id="a-bad-id")), "invalid", NO_ID)
stray("a-number-as-id", message(body(command_id=7, issued_by="a-number-as-id")), "invalid", NO_ID)
stray("no-id", message({"kind": "ship", "order_id": ORDER, "issued_by": "no-id"}), "invalid", NO_ID)
stray("no-kind", message(body(kind=None, issued_by="no-kind")), "invalid", NO_KIND)
stray("other-kind", message(body(issued_by="other-kind"), "refund"), "invalid", NO_KIND)
stray("unknown-kind", message(body(kind="unknown-kind")), "invalid", NO_KIND)
stray("bad-order", message(body(order_id="../bad-order")), "invalid", NO_ORDER)
stray("half-in-order", message(body(order_id="half-in-order\ud800")), "invalid", NO_ORDER)
stray("bad-after", message(body(after="bad-after")), "invalid", "after must be a UUID")
stray(
    "not-a-number",
    message(body(issued_by="not-a-number", expected_version=float("nan"))),
    "invalid",
    NO_ID,  # no JSON, so no id is read of it
)

# What can be told as a command, and is wrong in a field: its producer finds the answer by its id.
for name, one in (corpus.REFUSED | corpus.NO_TEXT).items():
    rejected(f"text: {name}", "tracking_number", tracking_number=one.text)
rejected("unknown-field", "colour", colour="red")
rejected(
    "unknown-field-inside", "items.0.price", items=[{"line_id": "A", "quantity": 1, "price": 1}]
)
rejected("huge", "items.0.quantity", items=items(10**30))
rejected("four-thousand-digits", "items.0.quantity", items=items(10**4_000))
rejected("items-null", "items", items=None)
rejected("too-many-items", "items", items=items(1) * 5_001)
rejected("version-a-text", "schema_version", schema_version="1")
rejected("version-and-huge-number", "schema_version", schema_version="1", expected_version=10**400)
rejected("naive-time", "issued_at", issued_at="2026-03-01T12:00:00")

# What is wrong around a valid command.
for name, fields in {
    "forged-options": {
        "options": {
            "max_retries": 99,
            "retries": 5,
            "time_limit": 1,
            "on_failure": "refund",
            "redis_message_id": "forged",
            "pipe_target": json.loads(message(body(issued_by="piped"))),
        }
    },
    "other-queue": {"queue_name": "commands"},
    "no-message-id-of-ours": {"message_id": "M-1"},
}.items():
    content = body()
    case(name, message(content, **fields), Applied(UUID(content["command_id"])))

good, bad, wrong, last = body(), {"kind": "ship"}, body(items=items(-1)), body()
case(
    "one-bad-in-a-chunk",
    message([good, bad | {"issued_by": "one-bad-in-a-chunk"}, wrong, last]),
    Applied(UUID(good["command_id"])),
    Stray("invalid", NO_ID, "one-bad-in-a-chunk"),
    Rejected(UUID(wrong["command_id"]), "items.0.quantity"),
    Applied(UUID(last["command_id"])),
)


def push(client, name, raw):
    client.hset(f"{INBOX}.msgs", name, raw)
    client.rpush(INBOX, name)


def test_goes_on(engine, database_url, redis_url, tmp_path):
    """Malformed messages of every kind, with a valid one before and after each: the process goes
    on, every valid one is applied, and each malformed one is listed with its reason or, where its
    id and order can be read, rejected with the name of the field. Nothing else is left of them.
    """
    placed = make.place(order_id=ORDER, order=make.placed_order(make.order_line(quantity=UNITS)))
    rig.accepted(engine, placed)
    neighbours = [make.ship(order_id=ORDER, items=make.items(A=1)) for _ in range(len(CASES) + 1)]

    with redis.Redis.from_url(redis_url) as client:
        with processes.groups(1, database_url, redis_url, tmp_path) as (group,):
            leaf = group.leaf().pid
            push(client, "neighbour-0", message(neighbours[0].body()))
            for number, (name, (raw, _)) in enumerate(CASES.items(), start=1):
                push(client, name, raw)
                push(client, f"neighbour-{number}", message(neighbours[number].body()))
            client.rpush(INBOX, "without a body", b"\xff\x00")
            processes.until(lambda: processes.is_quiet(database_url, redis_url), 30, "all taken")
            assert group.leaf().pid == leaf, group.words()
        keys = {key.decode() for key in client.keys("fulfillment:*.XQ*")}
    assert keys == set(), "nothing was buried"

    with psycopg.connect(database_url) as connection:
        strays = connection.execute("select reason, problem, body from strays").fetchall()
        commands = {
            row[0]: row[1:]
            for row in connection.execute("select id, state, outcome from commands").fetchall()
        }
    states = {one.command_id: commands.pop(one.command_id)[0] for one in (placed, *neighbours)}
    assert set(states.values()) == {"applied"}

    found = {
        name: [_found(one, strays, commands) for one in expected]
        for name, (_, expected) in CASES.items()
    }
    assert found == {name: list(expected) for name, (_, expected) in CASES.items()}
    assert commands == {}, "nobody's command"
    assert strays == [], "nobody's stray"
    applied = sum(isinstance(one, Applied) for _, expected in CASES.values() for one in expected)
    assert rig.line(engine, order_id=ORDER).shipped == len(neighbours) + applied


def _found(expected, strays, commands):
    """What became of it, in the words of what was expected; taken out of what is left."""
    match expected:
        case Stray(_, _, mark):
            rows = [row for row in strays if mark in row[2]]
            if len(rows) != 1:
                return rows
            strays.remove(rows[0])
            return Stray(rows[0][0], rows[0][1], mark)
        case Undecodable(raw):
            row = ("undecodable", None, readable(raw))
            if row not in strays:
                return None
            strays.remove(row)
            return expected
        case Rejected(command_id, _) | Applied(command_id):
            state, outcome = commands.pop(command_id, (None, None))
            if state == "applied":
                return Applied(command_id)
            if state == "rejected" and outcome["reason"] == "invalid":
                return Rejected(command_id, outcome["message"].partition(": ")[0])
            return state, outcome
