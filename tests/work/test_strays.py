"""Strays: taken in as the commands they were to be, or discarded; the audit keeps them."""

import json
from uuid import uuid4

import pytest

from messages import InvalidCommand
from tests import factories as make
from tests.work import rig
from worker.work.accept import MAX_STRAY_LENGTH, record_stray
from worker.work.dead import ago
from worker.work.strays import (
    ChosenStrays,
    NoStray,
    NotAccepted,
    commands_of,
    count,
    discard_strays,
    groups,
    replay_stray,
    strays,
)


def stray(engine, body, reason="invalid", problem=None):
    """A stray with this body; its number."""
    text = body if isinstance(body, str) else json.dumps(body)
    with engine.begin() as connection:
        record_stray(connection, reason, text, problem=problem)
    return rig.one(engine, "select max(stray_id) from strays")[0]


def audited(engine):
    with engine.begin() as connection:
        rows = connection.exec_driver_sql(
            "select actor, act, work_id, order_id, details from audit order by audit_id"
        )
        return [tuple(row) for row in rows]


def test_groups(engine):
    """Strays are counted by reason, most first, with the latest of each."""
    stray(engine, "{")
    last = stray(engine, "[", problem="no JSON")
    stray(engine, "{}", reason="delayed")

    with engine.begin() as connection:
        found = groups(connection, ChosenStrays())
        old = groups(connection, ChosenStrays(came_before=ago(connection, 60)))

    assert [(row["reason"], row["strays"], row["example"]) for row in found] == [
        ("invalid", 2, last),
        ("delayed", 1, last + 1),
    ]
    assert found[0]["last_problem"] == "no JSON"
    assert old == []


def test_a_stray_is_taken_in(engine):
    """What is a command after all is accepted; the stray leaves the list, and stands in the audit
    as it came, with the command that was made of it.
    """
    command = make.ship()
    number = stray(engine, command.body(), problem="too early")

    with engine.begin() as connection:
        receipts = replay_stray(connection, number, [command], actor="ann")

    assert [receipt.answer for receipt in receipts] == ["accepted"]
    assert rig.count(engine, "strays") == 0
    assert rig.state(engine, command) == "pending"
    ((actor, act, work_id, order_id, details),) = audited(engine)
    assert (actor, act, work_id, order_id) == ("ann", "stray_replayed", command.command_id, "O-1")
    assert (details["answer"], details["body"]) == ("accepted", command.body())
    assert json.loads(details["stray"]["body"]) == command.body()
    assert (details["stray"]["stray_id"], details["stray"]["problem"]) == (number, "too early")


def test_a_stray_that_was_sent_again(engine):
    """A stray whose command has come in meanwhile is settled: known, and off the list."""
    command = make.ship()
    rig.accepted(engine, command)
    number = stray(engine, command.body())

    with engine.begin() as connection:
        receipts = replay_stray(connection, number, [command], actor="ann")

    assert [receipt.answer for receipt in receipts] == ["known"]
    assert (rig.count(engine, "strays"), rig.count(engine, "commands")) == (0, 1)


def test_an_id_of_another_command(engine):
    """An id that belongs to another command is refused: the stray stays, nothing is written."""
    command = make.ship()
    rig.accepted(engine, command)
    other = make.cancel(command_id=command.command_id)
    number = stray(engine, other.body(), reason="id_reused")
    before = rig.dump(engine)

    with pytest.raises(NotAccepted), engine.begin() as connection:
        replay_stray(connection, number, [other], actor="ann")

    assert rig.dump(engine) == before


def test_a_stray_that_is_gone(engine):
    """A stray that somebody took away is not taken in twice."""
    with pytest.raises(NoStray), engine.begin() as connection:
        replay_stray(connection, 1, [make.ship()], actor="ann")

    assert rig.count(engine, "commands") == rig.count(engine, "audit") == 0


def test_two_operators_take_in_one_stray(engine):
    """One of two takes it in; the other finds none."""
    command = make.ship()
    number = stray(engine, command.body())

    def act():
        try:
            with engine.begin() as connection:
                replay_stray(connection, number, [command], actor="ann")
        except NoStray:
            return "none"
        return "accepted"

    assert sorted(rig.together(act, act)) == ["accepted", "none"]
    assert rig.count(engine, "audit") == 1


def test_discard(engine):
    """Discarded strays leave the list, the oldest first and no more than asked; the audit keeps
    them whole, with the reason why.
    """
    first = stray(engine, "{")
    second = stray(engine, "[")

    with engine.begin() as connection:
        taken = discard_strays(connection, ChosenStrays(), actor="ann", because="noise", limit=1)
        left = [row["stray_id"] for row in strays(connection, ChosenStrays(), limit=9)]
        assert count(connection, ChosenStrays()) == 1

    assert (taken, left) == ([first], [second])
    ((actor, act, _, _, details),) = audited(engine)
    assert (actor, act, details["because"]) == ("ann", "stray_discarded", "noise")
    assert (details["stray"]["body"], details["stray"]["reason"]) == ("{", "invalid")


def test_commands_of_a_body():
    """A body holds a command, several, or the message of the broker door that carried them."""
    one, two = make.ship(), make.cancel()
    message = {"queue_name": "inbox", "actor_name": "ship", "args": [one.body()], "kwargs": {}}

    assert commands_of(json.dumps(one.body()), {}) == [one]
    assert commands_of(json.dumps([one.body(), two.body()]), {}) == [one, two]
    assert commands_of(json.dumps(message), {}) == [one]
    message["args"] = [[one.body(), two.body()]]
    assert commands_of(json.dumps(message), {}) == [one, two]


def test_a_body_is_mended():
    """A field that was missing is given on the way."""
    command = make.ship(tracking_number="JD0146")
    body = {name: value for name, value in command.body().items() if name != "command_id"}

    assert commands_of(json.dumps(body), {"command_id": str(command.command_id)}) == [command]


@pytest.mark.parametrize(
    ("body", "fields", "sentence"),
    [
        ("{", {}, "body: is no JSON: give a whole one with --body"),
        ("{" * MAX_STRAY_LENGTH, {}, "body: is no JSON, it was cut after 65536 characters: give"),
        ('{"kind": "ship"}', {}, "command_id: Field required; order_id: Field required"),
        (
            '{"kind": "shop"}',
            {},
            (
                "kind: must be one of place, ship, complete, cancel, refund, void,"
                " update_tracking, hold, release"
            ),
        ),
        ("[]", {"kind": "ship"}, "body: holds 0 commands: correct them with --body"),
        ("[1, 2]", {"kind": "ship"}, "body: holds 2 commands: correct them with --body"),
        ("1", {"kind": "ship"}, "body: is no JSON object"),
    ],
)
def test_a_body_without_a_command(body, fields, sentence):
    """What is wrong is said, and what to do."""
    with pytest.raises(InvalidCommand) as error:
        commands_of(body, fields)

    assert str(error.value).startswith(sentence)


def test_an_empty_list():
    """A list of no commands is nothing to take in."""
    with pytest.raises(InvalidCommand, match="body: holds no command"):
        commands_of("[]", {})


def test_a_fresh_id_makes_it_another_command(engine):
    """With an id of its own, what reused another's is accepted."""
    command = make.ship()
    rig.accepted(engine, command)
    other = make.cancel(command_id=command.command_id)
    number = stray(engine, other.body(), reason="id_reused")
    fresh = uuid4()

    commands = commands_of(json.dumps(other.body()), {"command_id": str(fresh)})
    with engine.begin() as connection:
        (receipt,) = replay_stray(connection, number, commands, actor="ann")

    assert (receipt.answer, receipt.command_id) == ("accepted", fresh)
