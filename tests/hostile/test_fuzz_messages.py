"""What comes in as commands, broken and bent: messages, the content of messages, bodies of strays,
signatures. Each reader gives a valid value or its own refusal, whatever it is given.
"""

import json

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from messages import InvalidCommand, SigningKey, parse, publish, wire
from tests import factories as make
from tests.broker.test_admission import ACTORS
from tests.hostile import bodies, corpus, fuzz
from tests.hostile.door import message
from tests.messages.test_publish import Recorder
from tests.strategies import commands
from worker.broker.admission import OPEN, Admission
from worker.broker.reading import read, readable
from worker.work.door import _body
from worker.work.strays import commands_of

KEY = SigningKey.of(f"one:{'s' * 32}")
SIGNED = Admission.of(wire.KINDS, [KEY])
REASONS = {
    "undecodable", "unknown_actor", "too_large", "delayed",
    "kind_not_allowed", "unsigned", "bad_signature",
}  # fmt: skip
BODIES = bodies.all_fields()


def sent(command, key=None):
    """The bytes of a command's message."""
    broker = Recorder()
    publish(broker, command, key=key)
    return broker.messages[0].encode()


MESSAGES = [json.loads(message(one["kind"], one)) for one in BODIES] + [
    json.loads(sent(make.ship(tracking_number="Zoë"), KEY))
]

GENUINE = sent(make.cancel(reason="café"), KEY)


def read_as(raw, admission=OPEN):
    return read(
        raw, len(raw), redis_id="r1", queue_name=wire.INBOX, actors=ACTORS, admission=admission
    )


@fuzz.few()
@given(fuzz.documents(*MESSAGES), st.sampled_from([OPEN, SIGNED]))
def test_messages(raw, admission):
    """A message for an actor that can be called with it, or the stray that stands for it, whose
    text PostgreSQL takes; with our options and our queue in any case.
    """
    found = read_as(raw, admission)

    assert (found.queue_name, found.options) == (wire.INBOX, {"redis_message_id": "r1"})
    if found.actor_name == wire.STRAY:
        reason, body = found.args
        assert reason in REASONS
        assert body == readable(raw)
        assert "\0" not in body
        body.encode()
    else:
        assert found.actor_name in wire.KINDS
        assert len(found.args) + len(found.kwargs) == 1


@fuzz.few()
@given(fuzz.documents(*BODIES))
@example(b"{")
def test_commands(raw):
    """A command whose body says the same command again, or a refusal by field."""
    try:
        command = parse(raw)
    except InvalidCommand as error:
        fuzz.told(error)
        return

    assert parse(orjson.dumps(command.body())) == command


@fuzz.few()
@given(commands)
def test_there_and_back(command):
    """Any valid command, signed or not: what is published is what the worker reads."""
    for key, admission in ((None, OPEN), (KEY, SIGNED)):
        found = read_as(sent(command, key), admission)

        assert (found.actor_name, found.kwargs) == (command.kind, {})
        assert parse(json.dumps(found.args[0])) == command


@fuzz.few()
@given(fuzz.documents(*BODIES), st.sampled_from(wire.KINDS))
def test_contents(raw, kind):
    """The content of a message, whatever JSON it is: what the door hands to PostgreSQL is JSON that
    it takes, and the command if it is one.
    """
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return  # no content of a message

    text = orjson.dumps(_body(kind, content))

    assert b"\\u0000" not in text.replace(b"\\\\", b"")
    try:
        command = parse(json.dumps(content))
    except InvalidCommand:
        with pytest.raises(InvalidCommand):
            parse(text)
    else:
        kinds = {command.kind, f"{command.kind}, sent to {kind}"}
        assert orjson.loads(text)["kind"] in kinds


@fuzz.few()
@given(
    fuzz.documents(*BODIES, *MESSAGES, BODIES),
    st.dictionaries(
        st.sampled_from(["order_id", "items.0.quantity", "items.x", "", ".", "reason", "order.-1"])
        | st.text(max_size=8),
        st.sampled_from([one.text for one in corpus.STORED.values()]) | st.text(max_size=8),
        max_size=2,
    ),
)
def test_strays(raw, fields):
    """The text that a stray has kept, with corrections: commands, or a refusal by field."""
    try:
        found = commands_of(readable(raw), fields)
    except InvalidCommand as error:
        fuzz.told(error)
        return

    assert all(parse(orjson.dumps(command.body())) == command for command in found)


@fuzz.few(15)
@given(fuzz.broken(st.just(GENUINE)) | fuzz.bent(st.just(json.loads(GENUINE))))
def test_signatures(raw):
    """A signed message, changed in any place, comes in as the same command or not at all."""
    found = read_as(raw, SIGNED)

    if found.actor_name != wire.STRAY:
        assert found.args == read_as(GENUINE, SIGNED).args
