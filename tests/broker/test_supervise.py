"""The supervisor keeps worker processes alive one by one, and leaves none behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker.broker_rig import until

pytestmark = pytest.mark.heavy

ACTORS = """
import os, pathlib
import dramatiq
from dramatiq.brokers.stub import StubBroker

dramatiq.set_broker(StubBroker(middleware=[]))
written = pathlib.Path(f"{os.getpid()}.part")
written.write_text(str(os.getppid()))
written.rename(pathlib.Path(os.environ["PIDS"], str(os.getpid())))  # whole, or not there
"""

SUPERVISE = """
import sys
import structlog
from worker.supervise import supervise

structlog.configure(processors=[structlog.processors.JSONRenderer()])
sys.exit(supervise(2, 1, shutdown_timeout_ms=2000, argv_module="supervised_actors"))
"""


class Supervised:
    """A supervisor in a process of its own, with two groups; each worker leaves a file `pid`."""

    def __init__(self, folder: Path) -> None:
        (folder / "supervised_actors.py").write_text(ACTORS)
        self.pids = folder / "pids"
        self.pids.mkdir()
        self.log = folder / "log"
        paths = [str(folder), str(Path(__file__).parents[2])]
        environment = os.environ | {"PIDS": str(self.pids), "PYTHONPATH": os.pathsep.join(paths)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SUPERVISE], env=environment, stdout=log, cwd=folder
            )
        until(lambda: len(self.workers()) == 2)
        until(lambda: all(is_ready(pid) for pid in self.alive()))

    def workers(self) -> dict[int, int]:
        """Each worker process that was ever there, and its dramatiq main process."""
        return {int(path.name): int(path.read_text()) for path in self.pids.iterdir()}

    def alive(self) -> set[int]:
        pids = self.workers()
        return {pid for pid in {*pids, *pids.values()} if is_alive(pid)}

    def events(self, name: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line["event"] == name]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_ready(pid: int) -> bool:
    """Whether it has taken SIGTERM's handling over from the interpreter."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught, blocked = (
        int(status.partition(f"{name}:")[2].split()[0], 16) for name in ("SigCgt", "SigBlk")
    )
    bit = 1 << (signal.SIGTERM - 1)
    return bool(caught & bit) and not blocked & bit


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    supervised = Supervised(tmp_path)
    yield supervised
    if supervised.process.poll() is None:
        for _ in range(2):
            supervised.process.terminate()
        supervised.process.wait(20)
    for pid in supervised.alive():  # only where a test failed
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_and_is_a_success(supervised: Supervised, sign: signal.Signals):
    """Exit code 0, no process left; nothing in the log looks like a crash."""
    supervised.process.send_signal(sign)

    assert supervised.process.wait(20) == 0
    assert supervised.alive() == set()
    assert len(supervised.events("supervisor_stopped")) == 1
    assert [one["code"] for one in supervised.events("worker_stopped")] == [0, 0]
    assert supervised.events("worker_exited") == []


def test_a_second_signal_kills(supervised: Supervised):
    """Without waiting; exit code 1, no process left."""
    for pid in supervised.workers():
        os.kill(pid, signal.SIGSTOP)  # it will not stop by itself

    supervised.process.terminate()
    until(lambda: supervised.events("supervisor_stopping"))
    supervised.process.terminate()

    assert supervised.process.wait(20) == 1
    assert [event["reason"] for event in supervised.events("supervisor_killed")] == ["signal"]
    until(lambda: supervised.alive() == set())


def test_a_dead_worker_is_replaced_and_takes_no_sibling_down(supervised: Supervised):
    """Dramatiq alone would end both; here the other goes on, and a new one comes after a second."""
    before = supervised.workers()
    victim, sibling = before

    os.kill(victim, signal.SIGKILL)
    until(lambda: len(supervised.workers()) == 3)

    assert is_alive(sibling)
    (exited,) = supervised.events("worker_exited")
    assert exited["pid"] == before[victim]
    assert exited["restart_in_s"] == 1.0


def test_a_killed_main_process_leaves_no_worker(supervised: Supervised):
    """The worker below it would go on unseen, beside its replacement."""
    worker, main = next(iter(supervised.workers().items()))

    os.kill(main, signal.SIGKILL)
    until(lambda: len(supervised.workers()) == 3)

    assert not is_alive(worker)


def test_workers_end_with_a_killed_supervisor(supervised: Supervised):
    """Nobody is left to stop them."""
    supervised.process.kill()
    supervised.process.wait()

    until(lambda: supervised.alive() == set())
