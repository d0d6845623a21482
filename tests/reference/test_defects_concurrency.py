"""The defects seen in the peers that only show when two run at once, or one stands still: with real
worker processes. The numbers are those of `test_defects`.
"""

from contextlib import contextmanager
from functools import partial

import pytest

from messages import Payment
from tests import factories as make
from tests.reference.stopping import is_stopped, let_go_on, stopping_after
from tests.work import rig
from tests.work.process import worker
from worker.work.claim import COMMANDS_TABLE, claim_suspect

pytestmark = pytest.mark.heavy

ORDERS = [f"O-{n}" for n in range(25)]
HELD = "HELD"


@contextmanager
def two_workers(database_url):
    """Two worker processes that take one command at a time, and wait for a row as long as it takes
    until both do.
    """
    patient = {"lock_timeout_ms": 20_000, "statement_timeout_ms": 30_000}
    with (
        worker(database_url, batch_size=1, lease_s=0.9, **patient),
        worker(database_url, batch_size=1, lease_s=0.9, **patient),
    ):
        yield


def place_all(engine, *lines, **fields):
    order = make.placed_order(*lines, **fields)
    places = [make.place(order_id=order_id, order=order) for order_id in (*ORDERS, HELD)]
    assert set(rig.decided(engine, *places)) == {"applied"}


def race(engine, database_url, commands, *, meanwhile):
    """Have two worker processes decide the commands: first those of one order, one in the hands of
    each process, while a third session holds that order's row and changes the order; then those of
    the others, as it comes.
    """
    held = [one for one in commands if one.order_id == HELD]
    others = [one for one in commands if one.order_id != HELD]
    with rig.holding(engine, HELD) as holder, two_workers(database_url):
        rig.accepted(engine, *held)
        rig.until(lambda: waiting(engine) == 2)
        for statement in ("update orders set version = 2", *meanwhile):
            holder.exec_driver_sql(f"{statement} where order_id = '{HELD}'")
        holder.commit()
        rig.accepted(engine, *others)
        rig.until(lambda: not rig.count(engine, "commands", "state = 'pending'"))


def waiting(engine):
    return rig.count(
        engine, "pg_stat_activity", "datname = current_database() and wait_event_type = 'Lock'"
    )


def test_1_no_update_is_lost(engine, database_url):
    """Saleor writes counters from rows read before its lock: of two ships of 1 from a line of 3 one
    is lost. Here two processes at once: 2 are shipped of every order, each command made a version
    of its own; of the order that a third session shipped 1 of while both waited for it, 3.
    """
    place_all(engine, make.order_line("A", 3))
    pairs = {
        order_id: [make.ship(order_id=order_id, items=make.items(A=1)) for _ in "12"]
        for order_id in (*ORDERS, HELD)
    }

    race(
        engine,
        database_url,
        [one for pair in pairs.values() for one in pair],
        meanwhile=["update order_lines set shipped = 1"],
    )

    found = {
        order_id: [rig.command(engine, one).outcome["order_version"] for one in pair]
        for order_id, pair in pairs.items()
    }
    assert found == {order_id: [2, 3] for order_id in ORDERS} | {HELD: [3, 4]}
    shipped = {order_id: rig.line(engine, order_id=order_id).shipped for order_id in pairs}
    assert shipped == dict.fromkeys(ORDERS, 2) | {HELD: 3}
    assert rig.count(engine, "shipments") == 2 * len(pairs)


def test_2_nothing_is_cancelled_twice(engine, database_url):
    """Saleor's second cancel does not look again behind its lock: restocked and subtracted twice;
    Medusa#5158 is a counter of -428723. Here the second of two processes finds what the first left:
    2 of 3 are cancelled and 2.00 goes back, once; of the order that a third session cancelled 2 of
    while both waited for it, nothing more.
    """
    paid = (Payment(payment_id="P1", captured_minor=300),)
    place_all(engine, make.order_line("A", 3), payments=paid)
    pairs = {
        order_id: [
            make.cancel(order_id=order_id, items=make.items(A=2), refund="full") for _ in "12"
        ]
        for order_id in (*ORDERS, HELD)
    }

    race(
        engine,
        database_url,
        [one for pair in pairs.values() for one in pair],
        meanwhile=[
            "update order_lines set cancelled = 2, refunded_units = 2, refunded_minor = 200",
            "update payments set refunded_minor = 200",
        ],
    )

    for order_id, (first, second) in pairs.items():
        if order_id == HELD:
            assert rig.reason(engine, first) == "more_than_remains"
        else:
            assert rig.state(engine, first) == "applied"
        assert rig.reason(engine, second) == "more_than_remains"
        line = rig.line(engine, order_id=order_id)
        assert (line.cancelled, line.refunded_units, line.refunded_minor) == (2, 2, 200)
    assert rig.count(engine, "payments", "refunded_minor = 200") == len(pairs)
    assert rig.count(engine, "refund_parts") == len(ORDERS)
    assert rig.count(engine, "followups", "route = 'refunds'") == len(ORDERS)


def test_10_a_late_worker_finds_its_command_in_other_hands(engine, database_url):
    """Solidus deletes a lock that is older than 120 s: a slow one and its successor both go on.
    Here a process stands still between its claim and its transaction, beyond its lease, and the
    command is claimed by another that has not decided it yet: the late one goes on, writes nothing
    and takes other work; the other one's effect is there once.
    """
    rig.placed(engine)
    rig.placed(engine, "O-2")
    command, other = make.ship(items=make.items(A=1)), make.ship(order_id="O-2")
    with worker(database_url, partial(stopping_after, "claim"), lease_s=0.6) as late:
        rig.accepted(engine, command)
        rig.until(lambda: is_stopped(late))
        rig.until(lambda: rig.count(engine, "commands", "lease_until < now()"))
        with engine.begin() as connection:
            mine = claim_suspect(connection, COMMANDS_TABLE, "commands", lease_s=0.6)
            connection.exec_driver_sql(
                "update commands set lease_until = now() + interval '1 minute'"
                " where lease_until is not null"
            )

        let_go_on(late)
        rig.accepted(engine, other)
        rig.until(lambda: rig.state(engine, other) == "applied")

    row = rig.command(engine, command)
    assert (row.state, row.claim) == ("pending", mine.claim)
    assert rig.line(engine).shipped == 0
    assert rig.count(engine, "shipments", "order_id = 'O-1'") == 0
    assert rig.commands(engine).carry_out(mine) is True
    assert rig.line(engine).shipped == 1
    assert rig.count(engine, "shipments", "order_id = 'O-1'") == 1


def test_10_a_worker_stopped_before_its_commit_writes_nothing(engine, database_url):
    """A process stands still after it wrote and before its COMMIT: the server ends its transaction,
    another process decides the command, and when the late one goes on it finds it decided: one
    effect, one outcome, and the process works on.
    """
    rig.placed(engine)
    command = make.ship(items=make.items(A=1), label="generate")
    run = partial(stopping_after, "write_batch")
    with worker(database_url, run, lease_s=0.6, idle_in_transaction_timeout_ms=300) as late:
        rig.accepted(engine, command)
        rig.until(lambda: is_stopped(late))
        with worker(database_url, lease_s=0.6):
            rig.until(lambda: rig.state(engine, command) == "applied")
        decided = rig.command(engine, command)

        let_go_on(late)
        following = make.ship(items=make.items(A=2))
        rig.accepted(engine, following)
        rig.until(lambda: rig.state(engine, following) == "applied")

    row = rig.command(engine, command)
    assert (row.outcome, row.decided_at) == (decided.outcome, decided.decided_at)
    assert rig.command(engine, following).outcome["order_version"] == 3
    assert rig.line(engine).shipped == 3
    assert rig.count(engine, "shipments") == 2
    assert rig.count(engine, "history", "event = 'shipped'") == 2
    assert rig.count(engine, "followups", f"command_id = '{command.command_id}'") == 2
