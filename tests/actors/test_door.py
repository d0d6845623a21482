"""The broker door: what a message carries is accepted, refused with a receipt, or a stray."""

import json
import threading
import time
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import event

from tests import factories as make
from tests.work import rig
from worker.work.door import MOST, Door


def door(engine, *, stopping=None, requeue=lambda: None):
    return Door(engine, stopping=stopping or threading.Event(), requeue=requeue)


def ids(engine):
    with engine.begin() as connection:
        rows = connection.exec_driver_sql("select id from commands order by seq").all()
    return [row_id for (row_id,) in rows]


def strays(engine):
    with engine.begin() as connection:
        return connection.exec_driver_sql(
            "select reason, problem, body from strays order by stray_id"
        ).all()


def test_one_command(engine):
    """A message with one command: it is accepted, in its canonical form."""
    command = make.ship(items=make.items(A=1))
    body = command.body() | {"notify_customer": True, "policy": "strict", "label": "none"}

    assert door(engine).take("ship", body) is True

    assert ids(engine) == [command.command_id]
    assert rig.command(engine, command).body == command.body()
    assert strays(engine) == []


def test_chunk_in_its_order(engine):
    """A message with a list of commands: all are accepted, in the order of the list."""
    commands = [make.ship() for _ in range(250)]

    door(engine).take("ship", [command.body() for command in commands])

    assert ids(engine) == [command.command_id for command in commands]


def test_chunk_beyond_one_call(engine):
    """A list longer than one call of accept_commands takes is accepted in several."""
    commands = [make.ship() for _ in range(1001)]

    with rig.statements(engine) as sent:
        door(engine).take("ship", [command.body() for command in commands])

    assert [rig.name(statement) for statement, _ in sent] == ["accept", "accept"]
    assert ids(engine) == [command.command_id for command in commands]


def test_same_message_twice(engine):
    """A message delivered twice changes nothing the second time."""
    bodies = [make.ship().body(), make.ship().body()]
    door(engine).take("ship", bodies)
    before = rig.dump(engine)

    door(engine).take("ship", bodies)

    assert rig.dump(engine) == before


def test_other_command_under_a_used_id(engine):
    """A reused id in a message: nothing changes, it is listed as a stray, its neighbour is in."""
    command, neighbour = make.ship(), make.ship()
    door(engine).take("ship", command.body())
    other = make.ship(command_id=command.command_id, items=make.items(A=2))

    door(engine).take("ship", [other.body(), neighbour.body()])

    assert ids(engine) == [command.command_id, neighbour.command_id]
    assert rig.command(engine, command).body == command.body()
    ((reason, problem, body),) = strays(engine)
    assert (reason, problem) == ("id_reused", "another command has this id")
    assert json.loads(body) == other.body()


UNREADABLE = {
    "a number": 7,
    "a text": "ship O-1",
    "nothing": None,
    "a list in a list": [[]],
    "an empty object": {},
    "no id": {"kind": "ship", "order_id": "O-1"},
    "no order": {"kind": "ship", "command_id": str(uuid4())},
    "no kind": {"order_id": "O-1", "command_id": str(uuid4())},
    "NUL in the id": make.ship().body() | {"command_id": "\0"},
    "a surrogate in the kind": make.ship().body() | {"kind": "\ud800"},
    "NaN": make.ship().body() | {"expected_version": float("nan")},
    "infinity": make.ship().body() | {"expected_version": float("-inf")},
    "a NaN deep inside": make.ship().body() | {"items": [{"quantity": [float("nan")]}]},
    "thousand brackets": make.ship().body() | {"items": json.loads("[" * 600 + "]" * 600)},
    "more than a mebibyte": make.ship().body() | {"tracking_number": "x" * (1024 * 1024)},
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_accepted_is_a_stray(engine, what):
    """What has no readable id, kind and order is a stray with its problem and the beginning of its
    body; its neighbours in the message are accepted, and nobody raises.
    """
    first, last = make.ship(), make.ship()

    assert door(engine).take("ship", [first.body(), UNREADABLE[what], last.body()]) is True

    assert ids(engine) == [first.command_id, last.command_id]
    ((reason, problem, body),) = strays(engine)
    assert reason == "invalid"
    assert problem
    assert 0 < len(body) <= 65_536


INVALID = {
    "a huge number": {"expected_version": 10**30},
    "a huger number": {"expected_version": 10**4000},
    "a wrong type": {"items": "all"},
    "an unknown field": {"colour": "red"},
    "a true": {"expected_version": True},
    "a number at the edge": {"expected_version": 1e308},
    "a hundred brackets": {"items": json.loads("[" * 100 + "]" * 100)},
}


@pytest.mark.parametrize("what", INVALID)
def test_invalid_body_gets_its_answer_under_its_id(engine, what):
    """A readable id, kind and order with anything else: accepted and then rejected as invalid, so
    that the producer finds the answer; neighbours apply, and nothing else is written.
    """
    rig.placed(engine)
    bad, good = make.ship(), make.ship()

    door(engine).take("ship", [bad.body() | INVALID[what], good.body()])
    rig.drainer(engine)()

    assert rig.reason(engine, bad) == "invalid"
    assert next(iter(INVALID[what])) in rig.ended(engine, bad).outcome["message"]
    assert rig.state(engine, good) == "applied"
    assert rig.count(engine, "history", f"command_id = '{bad.command_id}'") == 0
    assert strays(engine) == []


def test_command_of_another_kind(engine):
    """A ship sent to cancel is not carried out as either: it is a stray that says so."""
    command, neighbour = make.ship(), make.cancel()

    door(engine).take("cancel", [command.body(), neighbour.body()])

    assert ids(engine) == [neighbour.command_id]
    ((reason, problem, body),) = strays(engine)
    assert (reason, problem) == (
        "invalid",
        (
            "kind must be one of place, ship, complete, cancel, refund, void, update_tracking,"
            " hold, release"
        ),
    )
    assert json.loads(body)["kind"] == "ship, sent to cancel"


def test_invalid_command_of_another_kind_keeps_its_own(engine):
    """An invalid command is judged as what it says it is."""
    bad = make.ship()

    door(engine).take("cancel", bad.body() | {"colour": "red"})
    rig.drainer(engine)()

    assert rig.reason(engine, bad) == "invalid"


def test_stray_keeps_the_beginning(engine):
    """A stray keeps 64 Ki characters of its body."""
    door(engine).take("ship", {"kind": "x" * 100_000})

    ((_, _, body),) = strays(engine)
    assert len(body) == 65_536


def test_strays_of_the_consumer(engine):
    """What the consumer hands over is listed, whatever characters it holds."""
    assert door(engine).stray("undecodable", "{not json") is True
    assert door(engine).stray("undecodable", "a\0b\ud800c") is True
    assert door(engine).stray(7, ["no", "text"]) is True

    assert [(reason, body) for reason, _, body in strays(engine)] == [
        ("undecodable", "{not json"),
        ("undecodable", "a\\x00b\\ud800c"),
        ("7", "['no', 'text']"),
    ]


class Away:
    """The database is away: connections are refused until `back` is set."""

    def __init__(self, engine):
        self.back = threading.Event()
        self.refused = threading.Event()
        engine.dispose()
        event.listen(engine, "do_connect", self)

    def __call__(self, *_):
        if not self.back.is_set():
            self.refused.set()
            raise psycopg.OperationalError("planted: the database is away")


def test_waits_while_the_database_is_away(engine):
    """While the database is away a message waits in its thread; when it is back it is accepted."""
    command = make.ship()
    away = Away(engine)
    results = []

    with rig.running(lambda: results.append(door(engine).take("ship", command.body()))):
        assert away.refused.wait(10)
        assert results == []
        away.back.set()

    assert results == [True]
    assert ids(engine) == [command.command_id]


def test_asks_for_the_message_again_when_told_to_stop(engine):
    """Told to stop while the database is away, the door asks for the message again, at once."""
    stopping = threading.Event()
    requeued = []
    away = Away(engine)
    results = []
    one = door(engine, stopping=stopping, requeue=lambda: requeued.append(1))

    with rig.running(lambda: results.append(one.take("ship", [make.ship().body()] * 3))):
        assert away.refused.wait(10)
        stopping.set()
        told = time.monotonic()

    assert time.monotonic() - told < 5
    assert (results, requeued) == ([False], [1])
    away.back.set()
    assert ids(engine) == []


def test_stopping_with_the_database_there_accepts(engine):
    """Told to stop, what can be accepted at once is accepted rather than put back."""
    stopping = threading.Event()
    stopping.set()
    command = make.ship()
    requeued = []

    assert door(engine, stopping=stopping, requeue=requeued.append).take("ship", command.body())

    assert requeued == []
    assert ids(engine) == [command.command_id]


def test_connection_lost_while_accepting(engine):
    """A connection that breaks while a message is accepted: it is accepted on another, once."""
    command = make.ship()
    cut = []

    @event.listens_for(engine, "after_cursor_execute")
    def kill(connection, _, statement, *__):
        if rig.name(statement) == "accept" and not cut:
            cut.append(statement)
            connection.connection.driver_connection.pgconn.finish()

    assert door(engine).take("ship", command.body()) is True

    assert len(cut) == 1
    assert ids(engine) == [command.command_id]


def test_waits_for_the_schema(engine):
    """A worker that is there before the migration waits; it makes nobody's command a stray."""
    rig.run(engine, "alter table commands rename to commands_later")
    command = make.ship()
    refused = threading.Event()
    event.listen(engine, "handle_error", lambda _: refused.set())

    rig.run(engine, "alter table strays rename to strays_later")
    with rig.running(lambda: door(engine).take("ship", command.body())):
        assert refused.wait(10)
        rig.run(
            engine,
            "alter table commands_later rename to commands;"
            " alter table strays_later rename to strays",
        )

    assert ids(engine) == [command.command_id]
    assert strays(engine) == []


def test_more_than_fits_into_a_message(engine):
    """Half a million items are no commands: one stray for all, not a round trip for each."""
    assert door(engine).take("ship", [0] * (MOST + 1)) is True

    ((reason, problem, body),) = strays(engine)
    assert (reason, problem) == ("invalid", "a command is a JSON object")
    assert body.startswith("[0,")
    assert ids(engine) == []
