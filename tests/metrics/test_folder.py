"""The folder of numbers: one for a worker's processes, fresh, and small however many die."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from tests.metrics.reading import exposed, value, where
from worker.metrics.ended import bury
from worker.metrics.folder import join, try_allocate, try_join

COUNT = """
import sys
from prometheus_client import CollectorRegistry
from worker.metrics.recorder import Recorder
from prometheus_client import Gauge
recorder = Recorder(CollectorRegistry())
recorder.commands({("ship", "applied"): int(sys.argv[1])})
recorder.batch("commands", int(sys.argv[1]))
Gauge("turning", "It turns.", multiprocess_mode="livesum").set(1)
"""

NO_ROOM = """
import resource, sys
from pathlib import Path
from worker.metrics.folder import try_allocate
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
print(try_allocate(Path(sys.argv[1]), 7))
"""


@pytest.fixture
def hold():
    """Holds a folder, as another process does; gives what lets it go."""
    held = []

    def take(folder):
        held.append(os.open(folder, os.O_RDONLY))
        fcntl.flock(held[-1], fcntl.LOCK_SH)

    yield take
    for one in held:
        os.close(one)


def counted(folder, number):
    """A process that counts so many commands, and ends."""
    subprocess.run(
        [sys.executable, "-c", COUNT, str(number)],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)},
        check=True,
    )


def series(folder):
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))
    return exposed(registry)


def test_left_folders_are_removed(tmp_path, hold):
    """What a killed worker left is gone with the next one's start, its own number included; what
    is in use is left alone.
    """
    for owner in (1, 2, 3):
        (tmp_path / f"metrics-{owner}").mkdir()
        (tmp_path / f"metrics-{owner}" / "counter_9.db").touch()
    hold(tmp_path / "metrics-2")

    mine = join(tmp_path, 3)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics-2", "metrics-3"]
    assert list(mine.iterdir()) == []


def test_processes_of_one_worker_share_a_folder(tmp_path):
    """Whoever comes second finds the first one's numbers, not a fresh folder."""
    first = join(tmp_path, 1)
    (first / "counter_9.db").touch()

    second = join(tmp_path, 1)

    assert second == first
    assert [path.name for path in second.iterdir()] == ["counter_9.db"]


def test_a_folder_that_cannot_be(tmp_path, capsys):
    """Metrics are off, and a worker works."""
    (tmp_path / "file").touch()

    assert try_join(tmp_path / "file", 1) is None
    assert not try_allocate(tmp_path / "file", 1)
    assert capsys.readouterr().out.count("metrics_off") == 2


def test_files_are_made_at_their_full_size(tmp_path):
    """Every block of them is there: a page that is not would end the process on a full disk."""
    assert try_allocate(tmp_path, 7)

    files = {path.name: path.stat() for path in tmp_path.iterdir()}
    assert files.keys() == {"counter_7.db", "gauge_livesum_7.db", "histogram_7.db"}
    assert all(file.st_blocks * 512 >= file.st_size == 262_144 for file in files.values())


def test_no_room(tmp_path):
    """Metrics are off, and whoever reads finds no half-made file to stumble over."""
    made = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )

    assert made.stdout.splitlines()[-1] == "False"
    assert "metrics_off" in made.stdout
    assert list(tmp_path.glob("*.db")) == []


def test_processes_that_ended(tmp_path):
    """What they counted is kept in one file for all, whatever number of them; what they gauged is
    no more. Gathering them changes no counter, and neither does doing it again.
    """
    for number in (3, 4):
        counted(tmp_path, number)
    before = series(tmp_path)
    bury(tmp_path)
    after = series(tmp_path)
    counted(tmp_path, 5)
    bury(tmp_path)
    bury(tmp_path)

    assert value(before, "turning") == 2
    assert before.keys() - after.keys() == {("turning", frozenset())}
    assert all(before[name] == number for name, number in after.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "counter_ended.db",
        "histogram_ended.db",
    ]
    last = series(tmp_path)
    assert where(last, "fulfillment_commands_total") == {("ship", "applied"): 12}
    assert value(last, "fulfillment_drain_batch_size_sum", queue="commands") == 12
    assert value(last, "fulfillment_drain_batch_size_bucket", queue="commands", le="5.0") == 3


def test_processes_that_run_keep_their_files(tmp_path):
    """Only the dead are gathered."""
    for name in ("counter", "histogram", "gauge_livesum"):
        (tmp_path / f"{name}_{os.getpid()}.db").write_bytes(bytes(64))

    bury(tmp_path)

    assert len(list(tmp_path.iterdir())) == 3
