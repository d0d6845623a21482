"""What is counted of the work: after its commit, per batch, under bounded labels."""

import pytest
from sqlalchemy import event

from tests import factories as make
from tests.metrics.reading import value, where
from tests.metrics.watched import Watched
from tests.work import rig
from worker.errors import Terminal, Transient
from worker.work.followups import ByHand, Ended


@pytest.fixture
def watched(engine):
    return Watched(engine)


def staged(engine, number=1):
    """So many e-mails, staged 40 s ago."""
    rig.with_lines(engine, make.order_line("A", 50))
    ships = [make.ship(items=make.items(A=1)) for _ in range(number)]
    assert set(rig.decided(engine, *ships)) == {"applied"}
    rig.run(engine, "update followups set staged_at = staged_at - interval '40 s'")
    return ships


def test_commands_by_kind_and_outcome(engine, watched):
    """A batch is counted: each command once, by kind and how it ended, and the batch by its size.
    What waits is not counted.
    """
    ships = [make.ship(items=make.items(A=2)) for _ in range(3)]
    waiting = make.ship(order_id="O-2")
    rig.accepted(engine, make.place(order=make.placed_order()), *ships, waiting)

    watched.commands()()

    series = watched.series()
    assert where(series, "fulfillment_commands_total") == {
        ("place", "applied"): 1,
        ("ship", "applied"): 1,
        ("ship", "rejected"): 2,
    }
    assert value(series, "fulfillment_drain_batch_size_count", queue="commands") == 1
    assert value(series, "fulfillment_drain_batch_size_sum", queue="commands") == 5
    assert value(series, "fulfillment_drain_batch_size_bucket", queue="commands", le="2.0") == 0
    assert value(series, "fulfillment_drain_batch_size_bucket", queue="commands", le="5.0") == 1


def test_every_kind_starts_at_0(watched):
    """The first command of a kind is an increase, which it would not be from nothing."""
    names = [name for name, _ in watched.series() if name == "fulfillment_commands_total"]

    assert len(names) == 9 * 3
    assert where(watched.series(), "fulfillment_commands_total") == {}


def test_nothing_is_counted_that_was_rolled_back(engine, watched):
    """A commit that fails counts a failure and no command; the next one counts the command once."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    drain = watched.commands()

    def fail(_):
        raise KeyError("planted")

    event.listen(engine, "commit", fail)
    drain()
    event.remove(engine, "commit", fail)
    pending = rig.state(engine, command)
    after_failure = watched.series()
    rig.due_now(engine)
    drain()

    assert pending == "pending"
    assert where(after_failure, "fulfillment_commands_total") == {}
    assert where(after_failure, "fulfillment_failures_total") == {("commands", "bug"): 1}
    assert where(watched.series(), "fulfillment_commands_total") == {("ship", "applied"): 1}


def test_neighbours_of_a_failure_are_counted_once(engine, watched):
    """A batch that fails as a whole runs one by one: each command counts where it was committed."""
    for order_id in ("O-1", "O-2"):
        rig.placed(engine, order_id)
    rig.accepted(engine, make.ship(order_id="O-1"), make.ship(order_id="O-2"))

    watched.commands(rig.Raising("O-2", Transient("carrier_busy", "later")))()

    series = watched.series()
    assert where(series, "fulfillment_commands_total") == {("ship", "applied"): 1}
    assert where(series, "fulfillment_failures_total") == {("commands", "carrier_busy"): 1}
    assert value(series, "fulfillment_drain_batch_size_count", queue="commands") == 1


def test_a_bug(engine, watched):
    """A command that raises is a failure each time, and in the end one dead command."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    drain = watched.commands(rig.Raising(make.ORDER_ID, KeyError("Ada Example")))

    for _ in range(3):
        rig.due_now(engine)
        drain()

    series = watched.series()
    assert rig.state(engine, command) == "dead"
    assert where(series, "fulfillment_failures_total") == {("commands", "bug"): 3}
    assert where(series, "fulfillment_commands_total") == {("ship", "dead"): 1}


def test_followups_by_outcome(engine, watched):
    """The time from staging to the end, by the server's clock; what was handed over has none."""
    staged(engine, 3)
    ends = [Ended({}), Ended({}, state="skipped"), ByHand()]

    watched.emails(lambda _: ends.pop())()

    series, name = watched.series(), "fulfillment_followup_duration_seconds"
    assert where(series, f"{name}_count", queue="emails") == {
        ("shipped", "done"): 1,
        ("shipped", "skipped"): 1,
    }
    done = {"queue": "emails", "name": "shipped", "outcome": "done"}
    assert value(series, f"{name}_bucket", le="30.0", **done) == 0
    assert value(series, f"{name}_bucket", le="60.0", **done) == 1


def test_a_reason_is_never_a_text(engine, watched):
    """What names no class of reasons, such as a server's words, is `other`."""
    staged(engine, 3)
    errors = [
        Terminal("550 no such user <ada@example.com>", "refused"),
        Terminal("x" * 41, "refused"),
        Terminal("smtp_rejected", "refused"),
    ]

    def call(_):
        raise errors.pop()

    watched.emails(call)()

    assert where(watched.series(), "fulfillment_failures_total") == {
        ("emails", "other"): 2,
        ("emails", "smtp_rejected"): 1,
    }


def test_the_databases_errors_are_a_reason_each(engine, watched):
    """By SQLSTATE: a check that fails is told from a table that is missing."""
    staged(engine)

    def write(connection):
        connection.exec_driver_sql("select 1 / 0")

    watched.emails(lambda _: Ended({}, write=write))()

    assert where(watched.series(), "fulfillment_failures_total") == {
        ("emails", "database_22012"): 1
    }
    assert where(watched.series(), "fulfillment_followup_duration_seconds_count") == {}


def test_crashes(engine, watched):
    """A row whose lease expired is a suspect; found so again, alone, it has crashed its process.
    The third crash makes it poison, which is a failure and a dead command.
    """
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    rig.claimed(engine)
    drain = watched.commands()
    rig.lease_over(engine)
    rig.run(engine, "update commands set alone = true, crashes = 2 where state = 'pending'")
    drain.has_suspects.set()

    drain()

    series = watched.series()
    assert (rig.state(engine, command), rig.command(engine, command).dead_reason) == (
        "dead",
        "poison",
    )
    assert where(series, "fulfillment_suspects_total") == {("commands",): 1}
    assert where(series, "fulfillment_crashes_total") == {("commands",): 1}
    assert where(series, "fulfillment_failures_total") == {("commands", "poison"): 1}
    assert where(series, "fulfillment_commands_total") == {("ship", "dead"): 1}


def test_an_innocent_suspect_is_no_crash(engine, watched):
    """A row that was in a killed worker's batch runs alone, and is applied."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    rig.claimed(engine)
    drain = watched.commands()
    rig.lease_over(engine)
    drain.has_suspects.set()

    drain()

    series = watched.series()
    assert rig.state(engine, command) == "applied"
    assert where(series, "fulfillment_suspects_total") == {("commands",): 1}
    assert where(series, "fulfillment_crashes_total") == {}
    assert where(series, "fulfillment_commands_total") == {("ship", "applied"): 1}
