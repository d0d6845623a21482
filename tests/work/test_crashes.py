"""Killed, looping and raising: what a process's end does to the commands in its hands."""

from contextlib import contextmanager

import pytest

from tests import factories as make
from tests.cluster import copied
from tests.work import rig
from tests.work.process import worker
from worker.embedded import postgres
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.claim import COMMANDS_TABLE, look
from worker.work.drain import Gate

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize(("what", "exit_code"), [("KILL", 9), ("LOOP", 70)])
def test_poison_beside_innocents(engine, database_url, what, exit_code):
    """A command that kills its process, or loops until the watchdog's check ends it, is dead after
    three crashes that it had alone: its worker died four times. Its batch-mates are applied, none
    of them counted, also one that raises is not blamed for it.
    """
    for order_id in ("O-1", "O-2", what, "RAISE"):
        rig.placed(engine, order_id)
    innocents = [make.ship(order_id=f"O-{n}", items=make.items(A=1)) for n in (1, 2, 1, 2)]
    poison, raising = make.ship(order_id=what), make.ship(order_id="RAISE")
    rig.accepted(engine, *innocents[:2], poison, raising, *innocents[2:])
    deaths = []

    while rig.state(engine, poison) == "pending":
        with worker(database_url, lease_s=0.6, batch_limit_s=0.8) as process:
            rig.until(
                lambda p=process: p.exit_code is not None or rig.state(engine, poison) != "pending"
            )
            if process.exit_code is not None:
                deaths.append(process.exit_code)
            else:
                rig.until(lambda: all(rig.state(engine, i) == "applied" for i in innocents))

    row = rig.command(engine, poison)
    assert deaths == [exit_code] * 4
    assert (row.state, row.dead_reason) == ("dead", "poison")
    assert row.errors[-1]["message"] == "its worker died 3 times while it ran alone"
    assert rig.line(engine, order_id=what).shipped == 0
    for one in innocents:
        row = rig.command(engine, one)
        assert (row.state, row.attempts, row.crashes) == ("applied", 0, 0)
    assert (rig.command(engine, raising).dead_reason or "bug") == "bug"
    assert rig.command(engine, raising).crashes == 0
    assert rig.line(engine, order_id="O-1").shipped == 2


def test_killed_worker_condemns_nobody(engine, database_url):
    """SIGKILL of a worker that holds 200 rows: they run alone, none is counted, each is applied
    once; the one it hung at as well.
    """
    rig.with_lines(engine, make.order_line("A", 199))
    rig.placed(engine, "HOLD")
    ships = [make.ship(items=make.items(A=1)) for _ in range(199)]
    hung = make.ship(order_id="HOLD")
    rig.accepted(engine, *ships, hung)
    with worker(database_url, lease_s=1) as process:
        process.hear("holding")
        assert rig.count(engine, "commands", "lease_until > now()") == 200
    rig.until(lambda: rig.count(engine, "commands", "lease_until > now()") == 0)
    with engine.connect() as connection:
        (due,) = look(connection, [(COMMANDS_TABLE, "commands")], lease_s=1)
    assert (due.is_due, due.has_suspects) == (False, True)

    drain = rig.drainer(engine, lease_s=1)
    drain.has_suspects.set()
    with rig.statements(engine) as sent:
        drain()

    assert [rig.name(statement) for statement, _ in sent].count("write_batch") == 200
    assert rig.count(engine, "commands", "state = 'applied' and crashes + attempts = 0") == 202
    assert rig.line(engine).shipped == 199
    assert rig.count(engine, "shipments") == 200


@pytest.mark.parametrize(("alone_s", "entries"), [(60, 1), (0, 4)])
def test_suspects_one_after_the_other(engine, alone_s, entries):
    """Three suspects run one by one, and others of the process are sent away once for all of them;
    when the time for that is over, once for each and once to see that there is no fourth.
    """
    rig.with_lines(engine, make.order_line("A", 3))
    rig.accepted(engine, *(make.ship(items=make.items(A=1)) for _ in range(3)))
    rig.claimed(engine)
    rig.lease_over(engine)
    gate = CountingGate()
    drain = rig.drainer(engine, gate=gate, alone_s=alone_s)
    drain.has_suspects.set()

    with rig.statements(engine) as sent:
        drain()

    assert gate.entries == entries
    assert [rig.name(statement) for statement, _ in sent].count("write_batch") == 3
    assert rig.line(engine).shipped == 3


class CountingGate(Gate):
    """Counts how often somebody was alone."""

    entries = 0

    @contextmanager
    def alone(self):
        with super().alone():
            self.entries += 1
            yield


def test_killed_twice_is_one_crash(engine, database_url):
    """A row whose worker was killed twice, once while it ran alone, has one crash, and is applied
    all the same; then it is forgotten.
    """
    rig.placed(engine, "HOLD")
    hung = make.ship(order_id="HOLD")
    rig.accepted(engine, hung)
    for alone in (False, True):
        with worker(database_url, lease_s=0.6) as process:
            process.hear("holding")
            row = rig.command(engine, hung)
            assert (row.alone, row.crashes) == (alone, 0)
    rig.until(lambda: rig.count(engine, "commands", "lease_until > now()") == 0)

    rules = rig.Rules("HOLD")
    drain = rig.drainer(engine, lease_s=0.6, rules=rules)
    drain.has_suspects.set()
    with rig.running(drain):
        assert rules.reached.wait(10)
        row = rig.command(engine, hung)
        assert (row.crashes, row.alone) == (1, True)
        rules.go.set()

    row = rig.command(engine, hung)
    assert (row.state, row.crashes) == ("applied", 0)


@pytest.fixture
def private_postgres(server_dir):
    """A PostgreSQL of this test's own, to be restarted: it, and what starts it again."""
    folder = server_dir / "private"
    running = [postgres.start(copied(folder), fsync=False)]

    def restart():
        running[-1].stop("immediate")
        running.append(postgres.start(folder, port=running[0].port, fsync=False))

    yield running[0].url, restart
    running[-1].stop()


def test_leases_of_before_the_restart_count_for_nothing(private_postgres):
    """A lease that began before the database's own start ended with it: its rows are due again as a
    batch, nobody is a suspect, nothing is counted. One that began after it is suspect.
    """
    url, restart = private_postgres
    engine = make_engine(url, Settings())
    rig.placed(engine)
    before, after = (
        make.ship(items=make.items(A=1)),
        make.ship(items=make.items(A=2)),
    )
    rig.accepted(engine, before)
    rig.claimed(engine, lease_s=3)
    rig.run(engine, "update commands set alone = true, crashes = 2 where state = 'pending'")

    restart()
    engine.dispose()
    route = [(COMMANDS_TABLE, "commands")]
    with engine.begin() as connection:
        (found,) = look(connection, route, lease_s=3)
    assert (found.is_due, found.has_suspects) == (False, False)
    rig.until(lambda: rig.count(engine, "commands", "lease_until > now()") == 0)
    with engine.begin() as connection:
        (found,) = look(connection, route, lease_s=3)
    assert (found.is_due, found.has_suspects) == (True, False)

    drain = rig.drainer(engine, lease_s=3)
    drain.has_suspects.set()
    drain()
    row = rig.command(engine, before)
    assert (row.state, row.crashes, row.attempts) == ("applied", 0, 0)

    rig.accepted(engine, after)
    rig.claimed(engine, lease_s=0.1)
    rig.until(lambda: rig.count(engine, "commands", "lease_until > now()") == 0)
    with engine.begin() as connection:
        (found,) = look(connection, route, lease_s=0.1)
    assert (found.is_due, found.has_suspects) == (False, True)
    engine.dispose()
