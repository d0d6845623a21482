"""Follow-ups: the same mechanism with a call to the outside world between claim and effect."""

import threading
from collections import Counter

import pytest
from sqlalchemy import event

from tests import factories as make
from tests.work import rig
from worker.errors import Terminal, Transient
from worker.work.claim import FOLLOWUPS_TABLE, claim
from worker.work.followups import Ended, Task, followups_route


def staged(engine, number=1):
    """So many ships, each with an e-mail staged."""
    rig.with_lines(engine, make.order_line("A", 50))
    commands = [make.ship(items=make.items(A=1)) for _ in range(number)]
    assert set(rig.decided(engine, *commands)) == {"applied"}
    return commands


def emails(engine, call, **options):
    return rig.drain_of(followups_route(engine, "emails", call), engine, **options)


def followup(engine, command):
    return rig.one(
        engine,
        "select *, extract(epoch from next_at - now())::float8 as due_in_s from followups"
        " where command_id = %(id)s",
        id=command.command_id,
    )


def note(engine, word="effect"):
    """An effect that can be counted: a line of history."""

    def write(connection):
        connection.exec_driver_sql(
            "insert into history (order_id, event, details) values ('O-1', %(word)s, '{}')",
            {"word": word},
        )

    return write


def effects(engine):
    return rig.count(engine, "history", "event = 'effect'")


def test_done(engine):
    """A follow-up is carried out once: its outcome and its effect are stored together."""
    (command,) = staged(engine)
    seen = []

    def call(task):
        seen.append(task)
        return Ended({"message_id": "<1@x>"}, write=note(engine))

    drain = emails(engine, call)
    drain()
    drain()

    row = followup(engine, command)
    assert seen == [Task(row.id, "shipped", "O-1", command.command_id, command.command_id, {})]
    assert (row.state, row.outcome) == ("done", {"message_id": "<1@x>"})
    assert (row.attempts, row.crashes, row.lease_until) == (0, 0, None)
    assert row.decided_at is not None
    assert effects(engine) == 1


def test_skipped(engine):
    """A follow-up that turns out to be pointless ends as skipped, with the reason."""
    (command,) = staged(engine)

    emails(engine, lambda _: Ended({"skipped": "no_address"}, state="skipped"))()

    row = followup(engine, command)
    assert (row.state, row.outcome) == ("skipped", {"skipped": "no_address"})


def test_skipped_at_staging_is_never_called(engine):
    """What was skipped when it was staged is not carried out."""
    rig.placed(engine)
    rig.decided(engine, make.ship(notify_customer=False))
    seen = []

    emails(engine, seen.append)()

    assert seen == []


def test_only_the_routes_own(engine):
    """A route takes its own follow-ups and leaves those of others."""
    (command,) = staged(engine)
    seen = []

    labels = followups_route(engine, "labels", seen.append)
    rig.drain_of(labels, engine)()

    assert seen == []
    assert followup(engine, command).claim is None


def test_outside_call_holds_nothing(engine):
    """During the outside call no transaction of ours is open and nothing is locked."""
    staged(engine)
    found = []

    def call(_):
        with observer.connect() as connection:
            found.append(
                connection.exec_driver_sql(
                    "select (select count(*) from pg_stat_activity where datname ="
                    " current_database() and xact_start is not null and pid <> pg_backend_pid()),"
                    " (select count(*) from pg_locks l join pg_stat_activity a using (pid)"
                    " where a.datname = current_database() and pid <> pg_backend_pid())"
                ).one()
            )
            connection.exec_driver_sql("select 1 from followups for update nowait")
            connection.exec_driver_sql("select 1 from orders for update nowait")
            connection.rollback()
        return Ended({})

    observer = rig.other_engine(engine.url.render_as_string(hide_password=False))
    emails(engine, call)()
    observer.dispose()

    assert found == [(0, 0)]
    assert rig.count(engine, "followups", "state = 'done'") == 1


def test_lease_lost_after_the_call(engine):
    """A follow-up that was taken away during its outside call: the late one writes no effect, its
    new holder does; the effect is there once.
    """
    (command,) = staged(engine)
    calls = []

    def call(_):
        calls.append(1)
        if len(calls) == 1:
            rig.lease_over(engine, table="followups")
            second = emails(engine, call)
            second.has_suspects.set()
            second()
        return Ended({"call": len(calls)}, write=note(engine))

    emails(engine, call)()

    assert len(calls) == 2
    assert effects(engine) == 1
    row = followup(engine, command)
    assert (row.state, row.attempts) == ("done", 0)


def test_lease_lost_before_the_call(engine):
    """What was taken away while its batch-mates were carried out is not called by the late one."""
    commands = staged(engine, 3)
    seen = Counter()

    def call(row):
        seen[row.id] += 1
        if len(seen) == 1:
            rig.run(
                engine,
                "update followups set claim = nextval('work_claim') where id <> %(id)s",
                id=row.id,
            )
        return Ended({})

    emails(engine, call)()

    assert list(seen.values()) == [1]
    states = [followup(engine, command).state for command in commands]
    assert sorted(states) == ["done", "pending", "pending"]


def test_a_failure_does_not_repeat_its_neighbours(engine):
    """One follow-up of a batch fails: each is called once, the others' effects are there once."""
    commands = staged(engine, 4)
    seen = Counter()

    def call(row):
        seen[row.command_id] += 1
        if row.command_id == commands[1].command_id:
            raise Transient("busy", "the server is busy")
        return Ended({}, write=note(engine))

    emails(engine, call)()

    assert seen == Counter({command.command_id: 1 for command in commands})
    states = [followup(engine, command).state for command in commands]
    assert states == ["done", "pending", "done", "done"]
    assert effects(engine) == 3


def test_transient_waits_as_long_as_it_is_asked(engine):
    """What the world may heal is due again when the other side said, and counted; nothing else is
    written.
    """
    (command,) = staged(engine)
    before = rig.dump(engine, ("history", "orders"))

    def call(_):
        raise Transient("busy", "asks us to wait", retry_after_s=77)

    emails(engine, call)()

    row = followup(engine, command)
    assert (row.state, row.attempts, row.waits_for, row.lease_until) == (
        "pending",
        1,
        "retry",
        None,
    )
    assert 75 < row.due_in_s <= 77
    (error,) = row.errors
    assert (error["reason"], error["message"]) == ("busy", "asks us to wait")
    assert rig.dump(engine, ("history", "orders")) == before


def test_transient_backs_off_and_ends(engine):
    """Without such a word the waits are about 10 s, 30 s, 2 min, 10 min, 30 min, 2 h; then it is
    dead.
    """
    (command,) = staged(engine)

    def call(_):
        raise Transient("busy", "busy")

    waits = []
    for _ in range(7):
        rig.run(engine, "update followups set next_at = now()")
        emails(engine, call)()
        waits.append(followup(engine, command).due_in_s)

    for found, nominal in zip(waits, (10, 30, 120, 600, 1800, 7200), strict=False):
        assert 0.9 * nominal - 2 < found <= 1.1 * nominal
    row = followup(engine, command)
    assert (row.state, row.dead_reason, row.attempts) == ("dead", "busy", 7)
    assert len(row.errors) == 5


def test_terminal_is_dead_at_once(engine):
    """What no retry can help is dead at once, with its reason; nothing else is written."""
    (command,) = staged(engine)
    before = rig.dump(engine, ("history", "orders"))

    def call(_):
        raise Terminal("address_refused", "550 no such mailbox")

    emails(engine, call)()

    row = followup(engine, command)
    assert (row.state, row.dead_reason, row.attempts) == ("dead", "address_refused", 1)
    assert row.errors[0]["message"] == "550 no such mailbox"
    assert rig.dump(engine, ("history", "orders")) == before


@pytest.mark.parametrize("commit", [True, False])
def test_commit_whose_answer_was_lost(engine, commit):
    """The connection dies at the COMMIT of the effect: it is found out, the effect is there once,
    and nobody is called again.
    """
    (command,) = staged(engine)
    calls, cut = [], []

    @event.listens_for(engine, "after_cursor_execute")
    def kill(connection, _, statement, *__):
        if rig.name(statement) == "finish" and not cut:
            cut.append(statement)
            driver = connection.connection.driver_connection
            if commit:
                driver.execute("commit")
            driver.pgconn.finish()

    def call(_):
        calls.append(1)
        return Ended({}, write=note(engine))

    emails(engine, call)()

    assert (len(cut), len(calls)) == (1, 1)
    assert followup(engine, command).state == "done"
    assert effects(engine) == 1


def test_effect_that_fails_is_rolled_back(engine):
    """An effect that violates a constraint is dead at once, and nothing of it is there."""
    (command,) = staged(engine)

    def write(connection):
        note(engine)(connection)
        connection.exec_driver_sql("update order_lines set shipped = 51")

    emails(engine, lambda _: Ended({}, write=write))()

    row = followup(engine, command)
    assert (row.state, row.dead_reason) == ("dead", "database_23514")
    assert effects(engine) == 0
    assert rig.line(engine).shipped == 1


def test_two_drainers_share_the_batch(engine, database_url):
    """Forty follow-ups and two drainers: each is called once."""
    staged(engine, 40)
    other = rig.other_engine(database_url)
    seen = Counter()

    def call(row):
        seen[row.id] += 1
        return Ended({}, write=note(engine))

    rig.together(emails(engine, call), emails(other, call))

    other.dispose()
    assert set(seen.values()) == {1}
    assert len(seen) == 40
    assert effects(engine) == 40


def test_routes_share_the_room(engine):
    """While all places are taken, another route's drain leaves its work where it is; a later one
    does it.
    """
    first, second = staged(engine, 2)
    rig.run(
        engine,
        "update followups set route = 'labels' where command_id = %(id)s",
        id=second.command_id,
    )
    room = threading.Semaphore(1)
    done = []

    def label(row):
        done.append(row.command_id)
        return Ended({})

    labels = rig.drain_of(followups_route(engine, "labels", label), engine, room=room)

    def email(row):
        done.append(row.command_id)
        labels()
        assert followup(engine, second).claim is None
        return Ended({})

    emails(engine, email, room=room)()
    assert done == [first.command_id]
    labels()

    assert done == [first.command_id, second.command_id]


def test_followups_are_taken_in_small_batches(engine):
    """A follow-up route claims few rows, so that many threads can share."""
    staged(engine, 10)

    with engine.begin() as connection:
        route = followups_route(engine, "emails", lambda _: Ended({}))
        batch = claim(connection, FOLLOWUPS_TABLE, "emails", limit=route.batch_size, lease_s=1)

    assert len(batch.rows) == 4
    assert [row.seq for row in batch.rows] == sorted(row.seq for row in batch.rows)


def test_suspect_followups_run_alone(engine):
    """A follow-up whose worker vanished runs alone and is done; nothing was counted."""
    (command,) = staged(engine)
    with engine.begin() as connection:
        claim(connection, FOLLOWUPS_TABLE, "emails", limit=4, lease_s=1)
    rig.lease_over(engine, table="followups")
    drain = emails(engine, lambda _: Ended({}))
    drain.has_suspects.set()

    drain()

    row = followup(engine, command)
    assert (row.state, row.crashes, row.attempts) == ("done", 0, 0)
