"""The actors themselves: parse, one call, return; whatever a message carries, they never raise."""

import dramatiq
import pytest
from dramatiq import Message
from dramatiq.brokers.stub import StubBroker

from messages import publish, publish_many, wire
from tests import factories as make
from tests.work import rig
from worker import runtime as runtimes
from worker.settings import settings


@pytest.fixture
def actors(monkeypatch, database_url, redis_url):
    """The package as a worker process imports it, on this test's database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setattr(runtimes, "configure", lambda _: None)  # pytest has the logs
    before = dramatiq.get_broker()
    settings.cache_clear()
    runtimes._runtime.cache_clear()
    import actors  # noqa: PLC0415 - importing makes the process's broker

    runtimes.runtime()  # before there are threads, as in a worker process
    yield actors
    runtimes.runtime().hints.close()
    runtimes.runtime().engine.dispose()
    settings.cache_clear()
    runtimes._runtime.cache_clear()
    dramatiq.set_broker(before)


@pytest.fixture
def stub(actors):
    """The same functions on dramatiq's StubBroker, with a worker's threads."""
    broker = StubBroker()
    broker.emit_after("process_boot")
    for actor in actors.broker.actors.values():
        dramatiq.actor(
            actor.fn,
            actor_name=actor.actor_name,
            queue_name=actor.queue_name,
            broker=broker,
            **actor.options,
        )
    worker = dramatiq.Worker(broker, worker_timeout=10, worker_threads=2)
    worker.start()
    yield broker
    worker.stop()
    broker.close()


def test_names_and_queues(actors):
    """The actors are those of the contract, on its queues, and none is retried by dramatiq."""
    found = {name: actor.queue_name for name, actor in actors.broker.actors.items()}

    assert found == {
        **dict.fromkeys((*wire.KINDS, wire.STRAY), wire.INBOX),
        wire.drain_actor(wire.COMMANDS): wire.COMMANDS,
        wire.drain_actor(wire.LABELS): wire.LABELS,
        wire.drain_actor(wire.REFUNDS): wire.REFUNDS,
        wire.drain_actor(wire.EMAILS): wire.EMAILS,
        wire.drain_actor(wire.TRACKING): wire.TRACKING,
        wire.drain_actor(wire.JOBS): wire.JOBS,
    }
    assert {actor.options["max_retries"] for actor in actors.broker.actors.values()} == {0}


def test_every_kind_from_publish_to_outcome(stub, engine):
    """Each kind, published as producers do, is accepted by its actor and decided before it
    returns.
    """
    order = make.placed_order(
        make.order_line("A", 3),
        make.order_line("B", 1, item_type="digital"),
        payments=({"payment_id": "P1", "captured_minor": 400},),
    )
    commands = [
        make.place(order=order),
        make.ship(items=make.items(A=1)),
        make.complete(),
        make.cancel(items=make.items(A=1)),
        make.refund(amount=make.money(1)),
    ]

    for command in commands:
        publish(stub, command)
        stub.join(wire.INBOX)

    assert [rig.state(engine, command) for command in commands] == ["applied"] * 5


def test_chunks(stub, engine):
    """Many commands of several kinds arrive in few messages and are all decided."""
    rig.with_lines(engine, make.order_line("A", 300))
    ships = [make.ship(items=make.items(A=1)) for _ in range(250)]
    cancel = make.cancel(items=make.items(A=1))

    publish_many(stub, [*ships, cancel])
    stub.join(wire.INBOX)

    assert rig.count(engine, "commands", "state = 'applied'") == 252
    assert rig.line(engine).shipped == 250


def test_drain_actor(stub, engine):
    """A hint makes the drain actor decide whatever is due; one that finds nothing is harmless."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    hint = Message(wire.COMMANDS, wire.drain_actor(wire.COMMANDS), (), {}, {})

    for _ in range(2):
        stub.enqueue(hint)
        stub.join(wire.COMMANDS, fail_fast=True)

    assert rig.state(engine, command) == "applied"


NO_COMMANDS = [
    None,
    7,
    "ship",
    [],
    {},
    [[[]]],
    [None, {}],
    {"command_id": "x"},
]


@pytest.mark.parametrize("kind", wire.KINDS)
def test_never_raises(actors, engine, kind):
    """Whatever JSON a message carries, its actor returns, and a good command behind it is taken."""
    actor = actors.broker.get_actor(kind)
    good = make.ship()

    for content in NO_COMMANDS:
        assert actor(content) is None
    actors.door.ship([*NO_COMMANDS, good.body()])

    assert rig.state(engine, good) == "pending"
    assert rig.command(engine, good).waits_for == "order"


def test_stray_actor(actors, engine):
    """What the consumer could not read is listed with its reason."""
    actors.door.stray("undecodable", "{not json")

    assert rig.one(engine, "select reason, body from strays") == ("undecodable", "{not json")


def test_one_runtime_in_a_process(actors):
    """Actors and broker share one runtime; it is the same at every call."""
    assert runtimes.runtime() is runtimes.runtime()
