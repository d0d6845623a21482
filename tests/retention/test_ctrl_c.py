"""Ctrl-C, to a real `fulfillment prune` that is in the middle of its work."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import psycopg
import pytest

from tests import factories as make
from tests.acceptance.processes import ROOT, until
from tests.retention.conftest import later
from tests.work import rig
from worker.work.accept import record_stray

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

WAITS = """
select from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and query ~ '-- empty_bodies'
"""


@pytest.fixture
def old(engine, config):
    """What goes, one of each, in this order: bodies of an applied and of a rejected command, a
    stray's, an orphan.
    """
    rig.placed(engine)
    applied, rejected = make.ship(), make.cancel(items=make.items(Z=1))
    assert rig.decided(engine, applied, rejected) == ["applied", "rejected"]
    with engine.begin() as connection:
        record_stray(connection, "invalid", "{")
    later(engine, 366)
    orphan = config.state_dir / "labels" / "aa" / f"aa{'0' * 62}.pdf"
    orphan.parent.mkdir(parents=True)
    orphan.touch()
    os.utime(orphan, (1, 1))
    # A walk that was begun once: its row can be locked.
    rig.run(engine, "insert into retention (what) values ('rejected')")


@pytest.fixture
def started(database_url, redis_url, config):
    """Starts it; its locks wait for as long as the test wants."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "FULFILLMENT_STATE_DIR": str(config.state_dir),
        "FULFILLMENT_LOCK_TIMEOUT_MS": "300000",
        "FULFILLMENT_STATEMENT_TIMEOUT_MS": "300000",
        "PYTHONPATH": str(ROOT),
    }

    @contextmanager
    def start():
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "prune"],
            env=kept | environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    return start


@pytest.fixture
def in_the_middle(engine, database_url, started):
    """One that has emptied what was applied, and waits for the walk of what was rejected; another
    session holds that until it is told to let go.
    """
    with psycopg.connect(database_url) as holder, started() as process:
        holder.execute("select from retention where what = 'rejected' for update")
        until(lambda: rig.rows(engine, WAITS), 120, "a wait for the lock")
        assert left(engine) == ["rejected", "stray"]
        yield process, holder.rollback


def left(engine):
    """Whose bodies are still there, but for the order's form, which stays."""
    return [
        name
        for (name,) in rig.rows(
            engine,
            """
            select state from commands where body ? 'command_id' and kind <> 'place'
            union all select 'stray' from strays where body <> '' order by 1
            """,
        )
    ]


def orphans(config):
    return len([*config.state_dir.glob("labels/*/*")])


def test_the_batch_at_hand_is_finished(engine, config, cli, old, in_the_middle):
    """It ends with 130 and says what went: what it had begun is done, what comes after it is not
    begun. Running it again does the rest.
    """
    process, let_go = in_the_middle

    process.send_signal(signal.SIGINT)
    let_go()
    stdout, stderr = process.communicate(timeout=120)

    assert (process.returncode, stdout) == (130, "gone: 2 bodies of commands\n")
    assert stderr == "interrupted: run it again to go on\n"
    assert (left(engine), orphans(config)) == (["stray"], 1)
    again = cli("prune")
    assert again.exit_code == 0
    assert again.stdout == "gone: 1 bodies of strays, 1 files that no shipment names\n"
    assert (left(engine), orphans(config)) == ([], 0)
