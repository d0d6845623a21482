"""Retention by itself: by one process of the cluster, once an hour."""

import os
import threading

import pytest

from tests import factories as make
from tests.retention.conftest import later
from tests.work import rig
from worker.retention.schedule import Schedule


@pytest.fixture
def schedule(database_url, config):
    """One of a worker process, not started."""
    return Schedule(database_url, config, threading.Event())


@pytest.fixture
def old(engine):
    """A command whose body is to be emptied."""
    rig.placed(engine)
    ship = make.ship()
    rig.decided(engine, ship)
    later(engine, 91)
    return ship


def test_once_an_hour(engine, schedule, old, logs):
    """It runs, says in the log what went, and not again within the hour."""
    assert schedule.look() == {"bodies": 1}
    assert schedule.look() is None
    assert "command_id" not in rig.command(engine, old).body
    (said,) = [one for one in logs if one["event"] == "retention_ran"]
    assert said["bodies"] == 1

    rig.run(engine, "update retention set ran_at = ran_at - interval '61 minutes'")
    assert schedule.look() == {}


def test_one_of_a_cluster(database_url, config, old):
    """Of four processes that look at the same time, one runs it."""
    looks = []
    all_of_them = [
        lambda: looks.append(Schedule(database_url, config, threading.Event()).look())
    ] * 4

    rig.together(*all_of_them)

    assert sorted(map(str, looks)) == ["Counter({'bodies': 1})", "None", "None", "None"]


def test_orphans_once_a_day(engine, schedule, config):
    """Going through all files of the store is for once a day."""
    schedule.look()
    rig.run(engine, "update retention set ran_at = ran_at - interval '61 minutes'")
    orphan = config.state_dir / "labels" / "ab" / f"ab{'0' * 62}.pdf"
    orphan.parent.mkdir(parents=True)
    orphan.touch()
    os.utime(orphan, (0, 0))

    assert schedule.look() == {}
    rig.run(engine, "update retention set ran_at = ran_at - interval '25 hours'")
    assert schedule.look() == {"orphans": 1}


def test_it_stops(engine, database_url, config, old):
    """Once the worker is to stop nothing is begun any more."""
    stopping = threading.Event()
    stopping.set()

    assert Schedule(database_url, config, stopping).look() == {}
    assert "command_id" in rig.command(engine, old).body


def test_nothing_is_ever_too_old(database_url, config):
    """Where everything is kept for ever there is no thread."""
    kept = ("payloads", "labels", "strays", "events")
    settings = {f"keep_{what}_days": 0 for what in kept}
    for_ever = Schedule(database_url, config.model_copy(update=settings), threading.Event())

    for_ever.start()

    assert "retention" not in {thread.name for thread in threading.enumerate()}
    for_ever.close()


def test_a_thread_of_its_own(schedule):
    """It starts, and ends once the process is to stop."""
    schedule.start()
    assert "retention" in {thread.name for thread in threading.enumerate()}

    schedule._stop.set()
    schedule.close()
    assert "retention" not in {thread.name for thread in threading.enumerate()}
