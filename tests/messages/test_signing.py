"""Signed messages: what is signed, by whom, and how it travels."""

import hashlib
import hmac
import json

import pytest

from messages import SigningKey, parse, publish, publish_many
from messages.publish import CHUNK_BYTES, MAX_COMMAND_BYTES
from tests import factories as make
from tests.messages import golden_files as golden
from tests.messages.test_publish import WORKER_TAKES_BYTES, Recorder

SECRET = "s" * 32
KEY = SigningKey.of(f"one:{SECRET}")
GOLDEN = golden.names("signed")


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_signature(name):
    """A signature once made is made for ever, by any language's HMAC: no code of ours is in it."""
    file = golden.read(name)
    signed = f"{file['actor_name']}\n{file['text']}".encode()

    other = hmac.new(file["secret"].encode(), signed, hashlib.sha256).hexdigest()

    key = SigningKey.of(f"{file['key_id']}:{file['secret']}")
    assert file["signature"] == other == key.sign(file["actor_name"], file["text"])
    assert key.signed(file["actor_name"], file["text"], other)


def test_published_and_signed():
    """The content is text, which says the canonical body; the signature is of the actor and of that
    text, and names its key.
    """
    broker, command = Recorder(), make.cancel(reason='caf\u00e9 "x"')

    publish(broker, command, key=KEY)

    (message,) = broker.messages
    (text,) = json.loads(message.encode())["args"]
    assert parse(text) == command
    assert message.kwargs == {"key_id": "one", "signature": KEY.sign("cancel", text)}
    assert message.options == {}


def test_many_published_and_signed():
    """Each chunk is signed as a whole."""
    broker, commands = Recorder(), [make.ship() for _ in range(3)]

    publish_many(broker, commands, key=KEY)

    (message,) = broker.messages
    assert json.loads(message.args[0]) == [command.body() for command in commands]
    assert KEY.signed("ship", message.args[0], message.kwargs["signature"])


@pytest.mark.parametrize("letter", ["a", '"', "\\", "\u00e9", "\u4e2d", "\U0001f600"])
def test_signed_chunks_are_no_larger(letter):
    """Counted as they are sent, as text within JSON: a quotation mark takes four bytes."""
    broker = Recorder()
    lines = tuple(make.order_line(f"L{n}", name=letter * 255) for n in range(40))

    publish_many(broker, [make.place(order=make.placed_order(*lines)) for _ in range(50)], key=KEY)

    sizes = [len(message.encode()) for message in broker.messages]
    assert CHUNK_BYTES // 2 < max(sizes) < CHUNK_BYTES + 1024


def test_a_signed_command_that_no_message_can_carry():
    """It is refused by what it takes once it is text, and nothing is sent."""
    broker = Recorder()
    lines = (make.order_line(f"L{n}", name='"' * 255) for n in range(1020))
    command = make.place(order=make.placed_order(*lines))

    with pytest.raises(ValueError, match=f"{MAX_COMMAND_BYTES} fit into a message"):
        publish(broker, command, key=KEY)
    publish(broker, command)

    assert [len(message.encode()) < WORKER_TAKES_BYTES for message in broker.messages] == [True]


@pytest.mark.parametrize(
    ("actor", "text", "signature"),
    [
        ("refund", "{}", KEY.sign("ship", "{}")),
        ("ship", "{} ", KEY.sign("ship", "{}")),
        ("ship", "{}", KEY.sign("ship", "{}").upper()),
        ("ship", "{}", KEY.sign("ship", "{}")[:-1]),
        ("ship", "{}", ""),
        ("ship", "{}", "\u00e9" * 64),
        ("ship", "\ud800", "0" * 64),
        ("ship", "{}", SigningKey.of(f"one:{SECRET}!").sign("ship", "{}")),
    ],
)
def test_a_wrong_signature(actor, text, signature):
    """Another actor's, another text's, another key's, part of one, or none at all."""
    assert KEY.signed(actor, text, signature) is False


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"one:{'s' * 31}", "32 bytes"),
        ("one", "32 bytes"),
        (f":{SECRET}", "id must be"),
        (f"a b:{SECRET}", "id must be"),
        (f"one:{SECRET}\ud800", "UTF-8"),
    ],
)
def test_no_key(text, problem):
    """A short secret or an odd id is refused, and the secret is not in what is said of it."""
    with pytest.raises(ValueError, match=problem) as refused:
        SigningKey.of(text)

    assert SECRET not in str(refused.value)


def test_a_key_does_not_show_its_secret():
    """Neither does its text."""
    assert SECRET not in f"{KEY} {KEY!r}"
