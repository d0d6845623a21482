"""`not_before`: a command waits for its time, in nobody's way, and can be let go or taken back."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests import factories as make
from tests.work import rig
from worker.errors import Terminal
from worker.work import schedule
from worker.work.accept import Receipt, accept_bodies
from worker.work.mending import replace_command
from worker.work.preview import preview
from worker.work.queues import queues

LATER = datetime(2999, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
WRONG = "not_before must be a time with its offset, such as 2026-03-01T12:00:00Z"


def ago(**length):
    return datetime.now(UTC) - timedelta(**length)


def waits(engine, command):
    row = rig.command(engine, command)
    return row.state, row.waits_for, row.next_at


def test_waits_for_its_time_then_is_decided(engine):
    """Until its time a scheduled command is not touched; when that has come it is applied."""
    rig.placed(engine)
    command = make.ship(not_before=LATER)

    assert rig.decided(engine, command) == ["pending"]

    assert waits(engine, command) == ("pending", "schedule", LATER)
    assert rig.command(engine, command).claim is None
    assert rig.line(engine).shipped == 0
    rig.due_now(engine)
    rig.drainer(engine)()
    assert waits(engine, command)[:2] == ("applied", None)


def test_a_time_that_is_over_is_no_wait(engine):
    """`not_before` in the past makes a command due at once."""
    rig.placed(engine)

    assert rig.decided(engine, make.ship(not_before=ago(hours=1))) == ["applied"]


def test_holds_up_nobody(engine):
    """What is accepted behind a scheduled command of the same order is decided before it."""
    rig.placed(engine)
    first = make.ship(items=make.items(A=2), not_before=LATER)
    second = make.ship(items=make.items(A=2))

    assert rig.decided(engine, first, second) == ["pending", "applied"]

    rig.due_now(engine)
    rig.drainer(engine)()
    assert rig.reason(engine, first) == "more_than_remains"


def test_grace_begins_with_its_time(engine):
    """A command of an order that is not here is given as much patience since its time as others
    are since they were accepted.
    """
    fresh, late = make.ship(not_before=ago(seconds=10)), make.ship(not_before=ago(minutes=20))
    rig.accepted(engine, fresh, late)
    rig.older(engine, 86_400, fresh, late)

    rig.drainer(engine)()

    assert waits(engine, fresh)[:2] == ("pending", "order")
    assert rig.reason(engine, late) == "order_not_found"


def test_grace_of_one_that_was_let_go(engine):
    """Due before its time, a command has had its patience since it was accepted."""
    command = make.ship(not_before=LATER)
    rig.accepted(engine, command)
    rig.older(engine, 3_600, command)

    rig.drainer(engine)()

    assert rig.reason(engine, command) == "order_not_found"


def test_a_scheduled_predecessor_is_waited_for_beyond_the_grace(engine):
    """What comes after a scheduled command waits for it however long that takes, and follows it."""
    rig.placed(engine)
    first = make.ship(items=make.items(A=1), not_before=LATER)
    second = make.ship(items=make.items(A=2), after=first.command_id)
    rig.accepted(engine, first, second)
    rig.older(engine, 30 * 86_400, second)

    rig.drainer(engine)()

    assert waits(engine, second)[:2] == ("pending", "predecessor")
    rig.due_now(engine, "waits_for = 'schedule'")
    rig.drainer(engine)()
    assert [rig.state(engine, one) for one in (first, second)] == ["applied", "applied"]


def test_the_same_at_another_time_is_another_command(engine):
    """The time is part of what a command says: under the same id another one is refused."""
    command = make.ship(not_before=LATER)
    rig.accepted(engine, command)
    other = command.model_copy(update={"not_before": LATER + timedelta(hours=1)})

    assert [one.answer for one in rig.accepted(engine, command, other)] == ["known", "id_reused"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2999-03-01T12:00:00Z", datetime(2999, 3, 1, 12, tzinfo=UTC)),
        ("2900-02-28T23:30:00.5-09:30", datetime(2900, 3, 1, 9, 0, 0, 500_000, tzinfo=UTC)),
        ("2996-02-29T00:00:00+15:59", datetime(2996, 2, 28, 8, 1, tzinfo=UTC)),
    ],
)
def test_sql_reads_the_time_as_python_does(engine, written, read):
    """Through SQL a time is written as the schema says, with any offset; leap days count."""
    body = make.ship().body() | {"not_before": written}

    with engine.begin() as connection:
        (receipt,) = accept_bodies(connection, [body])

    assert receipt.answer == "accepted"
    assert rig.command(engine, receipt.command_id).next_at == read


@pytest.mark.parametrize(
    "written",
    [
        "tomorrow",
        "",
        7,
        ["2999-03-01T12:00:00Z"],
        "2999-03-01",
        "2999-03-01T12:00:00",
        "2999-03-01 12:00:00Z",
        "2999-03-01T12:00:00Z\n",
        "2999-02-29T12:00:00Z",
        "2900-02-29T12:00:00Z",
        "2999-04-31T12:00:00Z",
        "2999-03-01T24:00:00Z",
        "2999-03-01T12:00:60Z",
        "2999-03-01T12:00:00+16:00",
        "1969-12-31T12:00:00Z",
        "3000-01-01T12:00:00Z",
        "infinity",
    ],
)
def test_no_time_is_refused_at_the_door(engine, written):
    """What cannot be read as a time is refused with the field's name, and its neighbour is not;
    nothing of it is written.
    """
    good = make.ship()

    with engine.begin() as connection:
        receipts = accept_bodies(
            connection, [make.ship().body() | {"not_before": written}, good.body()]
        )

    assert receipts[0] == Receipt(None, "refused", problem=WRONG)
    assert receipts[1].answer == "accepted"
    assert rig.count(engine, "commands") == 1
    assert rig.count(engine, "strays") == 0


def test_no_time_given_is_none(engine):
    """A JSON null is what a field that is left out is."""
    with engine.begin() as connection:
        (receipt,) = accept_bodies(connection, [make.ship().body() | {"not_before": None}])

    assert waits(engine, receipt.command_id)[:2] == ("pending", None)


def test_an_order_can_be_placed_later(engine):
    """`place` waits as well, and what is for the order waits for it."""
    place = make.place(not_before=LATER)
    ship = make.ship()
    assert rig.decided(engine, place, ship) == ["pending", "pending"]

    rig.due_now(engine)
    rig.drainer(engine)()

    assert [rig.state(engine, one) for one in (place, ship)] == ["applied", "applied"]


def test_preview_says_when_and_what(engine):
    """A dry run of a scheduled command says when it would be decided, and what it would be now;
    others are not behind it.
    """
    rig.placed(engine)
    waiting, sent = make.ship(not_before=LATER), make.ship(not_before=LATER)
    rig.accepted(engine, waiting)

    scheduled, known, over = preview(
        engine, [sent, waiting, make.ship(not_before=ago(days=1))], grace_s=900
    )

    assert (scheduled.scheduled_at, scheduled.verdict.outcome.order_version) == (LATER, 2)
    assert scheduled.undecided == 0
    assert (known.scheduled_at, known.verdict.answer) == (None, "known")
    assert over.scheduled_at is None
    assert rig.state(engine, waiting) == "pending"


def test_queues_tell_of_the_first(engine):
    """Scheduled commands are counted as waiting, with the time of the first; they are not old, and
    are overdue from their time on.
    """
    commands = [make.ship(not_before=LATER + timedelta(days=n)) for n in (1, 0)]
    rig.accepted(engine, *commands)
    rig.run(engine, "update commands set accepted_at = now() - interval '1 year'")

    def look():
        with engine.connect() as connection:
            row, *_ = queues(connection)
        return row

    row = look()
    assert (row["due"], row["waiting_for"], row["scheduled_at"]) == (0, {"schedule": 2}, LATER)
    assert row["oldest_s"] is None
    rig.run(engine, "update commands set next_at = now() - interval '1 hour'")
    row = look()
    assert (row["due"], row["waiting"], row["scheduled_at"]) == (2, 0, None)
    assert 3_600 <= row["oldest_s"] < 86_400


# Before its time.


def started(engine, *commands):
    with engine.begin() as connection:
        ids = [one.command_id for one in commands]
        return schedule.start(connection, ids, actor="Ann")


def withdrawn(engine, *commands):
    with engine.begin() as connection:
        ids = [one.command_id for one in commands]
        return schedule.withdraw(connection, ids, actor="Ann", because="sold out")


def test_started_before_its_time(engine):
    """A scheduled command that is let go is decided at once, and the audit says by whom."""
    rig.placed(engine)
    command = make.ship(not_before=LATER)
    rig.accepted(engine, command)

    assert started(engine, command) == {command.command_id}
    rig.drainer(engine)()

    assert rig.state(engine, command) == "applied"
    act = rig.one(engine, "select * from audit")
    assert (act.actor, act.act, act.route) == ("Ann", "started", "commands")
    assert (act.work_id, act.order_id) == (command.command_id, "O-1")


def test_withdrawn_before_its_time(engine):
    """A scheduled command that is taken back ends undone, with who and why; sent again it is known
    as discarded, and what comes after it is refused.
    """
    rig.placed(engine)
    command = make.ship(not_before=LATER)
    after = make.ship(after=command.command_id)
    assert rig.decided(engine, command, after) == ["pending", "pending"]
    before = rig.dump(engine, ("orders", "order_lines", "shipments", "history", "followups"))

    assert withdrawn(engine, command) == {command.command_id}
    rig.drainer(engine)()

    outcome = {"discarded": "sold out", "by": "Ann"}
    row = rig.command(engine, command)
    assert (row.state, row.outcome, row.waits_for) == ("discarded", outcome, None)
    (again,) = rig.accepted(engine, command)
    assert (again.answer, again.state, again.outcome) == ("known", "discarded", outcome)
    assert rig.reason(engine, after) == "predecessor_failed"
    assert rig.dump(engine, tuple(before)) == before
    act = rig.one(engine, "select * from audit")
    assert (act.actor, act.act, act.details) == ("Ann", "discarded", {"because": "sold out"})


@pytest.mark.parametrize("act", [started, withdrawn])
def test_only_what_is_scheduled(engine, act):
    """What is due, waits for something else, has ended or is not here is left alone."""
    placed = rig.placed(engine)
    due, waiting = make.ship(not_before=LATER), make.ship(after=uuid4())
    rig.decided(engine, due, waiting)
    rig.due_now(engine, "waits_for = 'schedule'")
    before = rig.dump(engine)

    assert act(engine, placed, due, waiting, make.ship()) == set()

    assert rig.dump(engine) == before


def test_a_new_predecessor_leaves_its_time(engine):
    """A scheduled command whose dead predecessor is replaced comes after the replacement, at its
    own time.
    """
    rig.placed(engine)
    dead = make.ship(items=make.items(A=1))
    follower = make.ship(items=make.items(A=1), after=dead.command_id, not_before=LATER)
    rig.accepted(engine, dead, follower)
    rig.drainer(engine, rules=rig.Raising("O-1", Terminal("broken", "look")))()
    assert rig.state(engine, dead) == "dead"

    with engine.begin() as connection:
        mended = replace_command(
            connection,
            dead.command_id,
            dead.model_copy(update={"tracking_number": "1Z"}),
            actor="Ann",
        )
    rig.drainer(engine)()

    assert rig.command(engine, mended.id).state == "applied"
    assert waits(engine, follower) == ("pending", "schedule", LATER)
    assert rig.command(engine, follower).after_id == mended.id
