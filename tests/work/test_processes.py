"""What worker processes say of themselves."""

import os
import socket

from tests import factories as make
from tests.work import rig
from worker.work.drain import Held
from worker.work.processes import Presence, processes
from worker.work.ticker import Ticker


def alive(engine):
    with engine.connect() as connection:
        return processes(connection)


def test_what_is_in_its_hands(engine):
    """A process says where it runs, what it serves, and its batches: of which queue, how many rows;
    nothing twice within its time, then anew.
    """
    rig.accepted(engine, make.ship(), make.ship(order_id="O-2"))
    batch, held = rig.claimed(engine), Held()
    often, seldom = Presence(["commands"], every_s=0), Presence(["commands"])

    with engine.begin() as connection, held.hold(batch):
        for one in (often, seldom):
            one.tell(connection, held.now())
    with engine.begin() as connection:
        for one in (often, seldom):
            one.tell(connection, held.now())

    told = [one["doing"] for one in alive(engine)]
    assert sorted(told, key=len) == [
        [],
        [{"queue": "commands", "batch": batch.claim, "rows": 2, "for_s": 0.0}],
    ]
    assert {(one["host"], one["pid"], *one["queues"]) for one in alive(engine)} == {
        (socket.gethostname(), os.getpid(), "commands")
    }


def test_who_ends_and_who_was_killed(engine):
    """A process takes its row away when it ends. One that was killed is not shown once it has been
    silent, and its row is swept away by one that starts a day later.
    """
    ticker = Ticker(
        engine,
        {"commands": rig.drainer(engine)},
        Held(),
        hint=lambda _: True,
        lease_s=30,
        batch_limit_s=60,
        every_s=0.01,
    )
    ticker.start()
    rig.until(lambda: alive(engine))
    ticker.stop()
    assert rig.count(engine, "worker_processes") == 0

    with engine.begin() as connection:
        Presence(["jobs"]).tell(connection, [])
    rig.run(engine, "update worker_processes set seen_at = now() - interval '16 s'")
    assert (alive(engine), rig.count(engine, "worker_processes")) == ([], 1)

    rig.run(engine, "update worker_processes set seen_at = now() - interval '25 h'")
    with engine.begin() as connection:
        Presence(["emails"]).tell(connection, [])
    assert rig.rows(engine, "select queues from worker_processes") == [(["emails"],)]
