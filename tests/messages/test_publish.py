"""Publishing: few messages, none larger than the worker takes, order kept within a kind."""

import json
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pytest
from dramatiq import Message
from dramatiq.brokers.stub import StubBroker

from messages import publish, publish_many
from messages.publish import CHUNK_BYTES, CHUNK_COMMANDS, MAX_COMMAND_BYTES
from messages.wire import INBOX
from tests import factories as make

WORKER_TAKES_BYTES = 1024 * 1024


@dataclass
class Recorder:
    """What publishing needs of a broker: keeps the messages."""

    messages: list[Message[Any]] = field(default_factory=list)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        self.messages.append(message)
        return message


def chunks(broker: Recorder) -> list[list[dict[str, Any]]]:
    return [message.args[0] for message in broker.messages]


def test_publish_sends_one_command_to_the_actor_of_its_kind():
    """One message on the inbox: the actor is the kind, the argument the canonical body."""
    broker = Recorder()
    command = make.ship(items=make.items(A=1))

    publish(broker, command)

    (message,) = broker.messages
    assert (message.queue_name, message.actor_name) == (INBOX, "ship")
    assert message.args == (command.body(),)
    assert (message.kwargs, message.options) == ({}, {})


def test_publish_goes_through_a_broker_of_dramatiq():
    """Any dramatiq broker will do, and what arrives parses as JSON."""
    broker = StubBroker()
    broker.declare_queue(INBOX)
    command = make.cancel(reason="caf\u00e9")

    publish(broker, command)

    message = Message.decode(broker.queues[INBOX].get_nowait())
    assert json.loads(json.dumps(message.args)) == [command.body()]
    broker.close()


def test_publish_many_keeps_the_order_within_a_kind():
    """One chunk per kind here, each in the order given."""
    broker = Recorder()
    ships, cancels = [make.ship() for _ in range(3)], [make.cancel() for _ in range(2)]

    publish_many(broker, [ships[0], cancels[0], ships[1], cancels[1], ships[2]])

    assert [message.actor_name for message in broker.messages] == ["ship", "cancel"]
    assert chunks(broker) == [
        [command.body() for command in ships],
        [command.body() for command in cancels],
    ]


def test_publish_many_of_nothing_sends_nothing():
    """No commands, no message."""
    broker = Recorder()

    publish_many(broker, iter([]))

    assert broker.messages == []


def test_a_chunk_holds_two_hundred_commands_at_most():
    """One more makes a second message; the order goes on."""
    broker = Recorder()
    commands = [make.ship() for _ in range(2 * CHUNK_COMMANDS + 1)]

    publish_many(broker, commands)

    assert [len(chunk) for chunk in chunks(broker)] == [200, 200, 1]
    assert list(chain(*chunks(broker))) == [command.body() for command in commands]


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u4e2d", "\U0001f600"])
def test_a_chunk_holds_half_of_what_the_worker_takes(letter):
    """Counted in the bytes that are sent: dramatiq writes ASCII, an emoji takes twelve."""
    broker = Recorder()
    lines = tuple(make.order_line(f"L{n}", name=letter * 255) for n in range(40))
    commands = [make.place(order=make.placed_order(*lines)) for _ in range(50)]

    publish_many(broker, commands)

    sizes = [len(message.encode()) for message in broker.messages]
    assert max(sizes) < CHUNK_BYTES + 1024
    assert all(size > CHUNK_BYTES // 2 for size in sizes[:-1])
    assert list(chain(*chunks(broker))) == [command.body() for command in commands]


def test_a_command_larger_than_a_chunk_travels_alone():
    """A large order is one message; its neighbours go in others."""
    broker = Recorder()
    large = make.placed_order(*(make.order_line(f"L{n}", name="a" * 255) for n in range(2000)))
    commands = [make.place(), make.place(order=large), make.place()]

    publish_many(broker, commands)

    assert [len(chunk) for chunk in chunks(broker)] == [1, 1, 1]
    assert CHUNK_BYTES < len(broker.messages[1].encode()) < WORKER_TAKES_BYTES


@pytest.mark.parametrize("send", [publish, lambda broker, one: publish_many(broker, [one])])
def test_a_command_that_no_message_can_carry_is_not_sent(send):
    """The worker would put it aside and keep its beginning only, so the producer hears of it."""
    broker = Recorder()
    lines = (make.order_line(f"L{n}", name="a" * 255) for n in range(4000))
    command = make.place(order=make.placed_order(*lines))

    with pytest.raises(ValueError, match=f"{MAX_COMMAND_BYTES} fit into a message"):
        send(broker, command)

    assert broker.messages == []
