"""Real workers: one exposition for all processes, whatever becomes of them; the probe."""

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from tests import factories as make
from tests.cluster import copied
from tests.metrics.reading import get, is_open, scraped, value
from tests.work import rig
from worker.cli.root import app
from worker.embedded import postgres
from worker.settings import Settings
from worker.store.engine import make_engine

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parent.parent.parent
_numbers = itertools.count()

COMMANDS = "fulfillment_commands_total"
SUPERVISED = (sys.executable, "-m", "worker", "worker", "--processes", "2", "--threads", "2")
PLAIN = (sys.executable, "-m", "dramatiq", "actors", "-p", "2", "-t", "2", "--skip-logging")


def inherited() -> dict[str, str]:
    """Our environment without what tests in this process have counted into."""
    gathered = {"PROMETHEUS_MULTIPROC_DIR", "dramatiq_prom_db"}
    return {name: value for name, value in os.environ.items() if name not in gathered}


class Worker:
    """A worker of two processes, as an operator starts it."""

    def __init__(self, argv, folder: Path, environment: dict[str, str], port: int) -> None:
        self.port = port
        self.run_dir = folder / "run"
        self.log = folder / "log"
        self.environment = environment | {
            "FULFILLMENT_RUN_DIR": str(self.run_dir),
            "FULFILLMENT_METRICS_PORT": str(port),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                argv,
                env=inherited() | self.environment | {"PYTHONPATH": str(ROOT)},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,  # all that it starts, and leaves behind, can be ended
            )

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def turning(self) -> list[int]:
        """The processes that work, by their heartbeats."""
        return sorted(int(path.name[10:]) for path in self.run_dir.glob("heartbeat-*"))

    def listener(self) -> psutil.Process:
        """The process that has the port."""
        (one,) = [
            one
            for one in self.family()
            for connection in one.net_connections("tcp")
            if connection.status == "LISTEN" and connection.laddr.port == self.port
        ]
        return one

    def events(self, name: str) -> list[dict[str, object]]:
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [one for one in map(json.loads, lines) if one["event"] == name]

    def probe(self, question: str, **settings: str) -> int:
        environment = self.environment | settings
        return CliRunner().invoke(app, ["probe", question], env=environment).exit_code

    def end(self) -> None:
        """End all that it started: also those whose parent a test has killed."""
        self.process.kill()
        self.process.wait()
        while left := self.session():  # until nobody is left who could start another
            for one in left:
                with suppress(psutil.NoSuchProcess):
                    one.kill()

    def session(self) -> list[psutil.Process]:
        """Its processes, whoever their parent is by now, without those that nobody has reaped."""
        found = []
        for one in psutil.process_iter(["status"]):
            with suppress(ProcessLookupError):
                is_ours = os.getsid(one.pid) == self.process.pid
                if is_ours and one.info["status"] != psutil.STATUS_ZOMBIE:
                    found.append(one)
        return found

    def started(self) -> float | None:
        return value(scraped(self.port), "fulfillment_worker_starts_total")


@contextmanager
def running(argv, folder: Path, environment: dict[str, str], port: int) -> Iterator[Worker]:
    folder.mkdir(exist_ok=True)
    worker = Worker(argv, folder, environment, port)
    try:
        rig.until(lambda: worker.probe("live") == 0 and len(worker.turning()) == 2)
        yield worker
    except AssertionError as error:
        error.add_note(worker.log.read_text()[-4000:])
        raise
    finally:
        worker.end()


def free_port() -> int:
    """A port that stays free until the worker listens there.

    It is below the ephemeral range, from which other tests' connections take theirs.
    """
    while True:
        with (
            suppress(OSError),
            socket.create_server(("127.0.0.1", random.randrange(10_000, 15_000))) as server,
        ):
            port: int = server.getsockname()[1]
            return port


class Database:
    """A PostgreSQL that tests may stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = postgres.start(copied(folder), fsync=False)
        self.engine = make_engine(self.server.url, Settings())

    def start(self) -> None:
        self.server = postgres.start(self.folder, port=self.server.port, fsync=False)
        self.engine.dispose()  # its connections are to the one that was stopped


@pytest.fixture(scope="module")
def database(server_dir):
    database = Database(server_dir / "metrics")
    yield database
    database.engine.dispose()
    database.server.stop()


@pytest.fixture(scope="module")
def environment(database, file_redis_url):
    return {"DATABASE_URL": database.server.url, "REDIS_URL": file_redis_url}


@pytest.fixture(scope="module")
def worker(environment, tmp_path_factory):
    """A worker that the tests of this file share; each leaves it whole."""
    folder = tmp_path_factory.mktemp("worker")
    with running(SUPERVISED, folder, environment, free_port()) as one:
        rig.until(lambda: is_open(one.port) and one.started() == 2)
        yield one


def counted(worker: Worker) -> float:
    """How many orders were taken in, by its numbers."""
    found = value(scraped(worker.port), COMMANDS, kind="place", outcome="applied")
    assert found is not None
    return found


def take_in(worker: Worker, engine: Engine, number: int) -> None:
    """Have so many orders taken in, and counted."""
    expected = counted(worker) + number
    orders = [make.place(order_id=f"O-{next(_numbers)}") for _ in range(number)]
    rig.accepted(engine, *orders)
    rig.until(lambda: counted(worker) == expected)


def test_one_exposition_for_all_processes(worker, database):
    """Ours beside dramatiq's own names; Prometheus can read it all, and only this machine can."""
    take_in(worker, database.engine, 30)

    series = scraped(worker.port)
    drained = {"queue_name": "commands", "actor_name": "drain_commands"}
    assert value(series, "dramatiq_messages_total", **drained) >= 1
    assert value(series, "dramatiq_message_duration_milliseconds_count", **drained) >= 1
    assert value(series, "dramatiq_messages_inprogress", **drained) is not None
    assert value(series, "fulfillment_drain_batch_size_sum", queue="commands") == 30
    assert value(series, "fulfillment_database_up") == 1
    names = {name.partition("_")[0] for name, _ in series}
    assert names == {"fulfillment", "dramatiq"}
    labels = {label for _, found in series for label, _ in found}
    assert labels == {
        *("kind", "outcome", "queue", "le", "state", "version"),
        *("queue_name", "actor_name"),
    }
    listening = [one.laddr.ip for one in worker.listener().net_connections("tcp")]
    assert set(listening) == {"127.0.0.1"}


def test_other_addresses(worker):
    """Anything else is not found."""
    assert get(worker.port, "/")[0] == 404
    assert get(worker.port, "/metrics/../etc")[0] == 404


def test_a_healthy_worker(worker):
    """The probe by command and by HTTP alike."""
    assert (worker.probe("live"), worker.probe("ready")) == (0, 0)
    assert get(worker.port, "/livez") == (200, "ok\n")
    assert get(worker.port, "/readyz")[0] == 200


def test_a_frozen_process(worker):
    """One process that stands still is enough; nothing else is wrong with it."""
    victim = worker.turning()[0]

    os.kill(victim, signal.SIGSTOP)
    rig.until(lambda: worker.probe("live", FULFILLMENT_STALL_LIMIT_S="1.8") == 1)
    ready = worker.probe("ready", FULFILLMENT_STALL_LIMIT_S="1.8")
    os.kill(victim, signal.SIGCONT)
    rig.until(lambda: worker.probe("live", FULFILLMENT_STALL_LIMIT_S="1.8") == 0)

    assert ready == 1
    assert victim in worker.turning()


def test_a_database_that_stops(worker, database):
    """Live, but not ready, until it is back; what was counted is shown all the time."""
    before = counted(worker)

    database.server.stop("immediate")
    rig.until(lambda: value(scraped(worker.port), "fulfillment_database_up") == 0)
    during = scraped(worker.port)
    probed = worker.probe("live"), worker.probe("ready")
    answers = get(worker.port, "/livez")[0], get(worker.port, "/readyz")
    database.start()
    rig.until(lambda: worker.probe("ready") == 0)
    rig.until(lambda: value(scraped(worker.port), "fulfillment_database_up") == 1)

    assert value(during, COMMANDS, kind="place", outcome="applied") == before
    assert value(during, "fulfillment_strays") is None
    assert probed == (0, 1)
    assert answers == (200, (503, "the database cannot be reached\n"))


def test_a_killed_process(worker, database):
    """Its count is kept, its files are not; the probe misses it until another turns."""
    take_in(worker, database.engine, 10)
    before = counted(worker)
    starts = worker.started()
    victim = worker.turning()[0]

    os.kill(victim, signal.SIGKILL)
    rig.until(lambda: worker.probe("live") == 1)
    missing = get(worker.port, "/livez")
    rig.until(lambda: worker.started() == starts + 1)
    rig.until(lambda: worker.probe("live") == 0)

    assert missing == (503, "1 of 2 worker processes run\n")
    assert counted(worker) == before
    files = [path.name for path in worker.run_dir.glob("metrics-*/*")]
    assert [name for name in files if name.endswith(f"_{victim}.db")] == []


def test_a_killed_exposition(worker):
    """The supervisor starts another, and the workers notice nothing."""
    turning = worker.turning()
    before = counted(worker)

    worker.listener().kill()
    rig.until(lambda: not is_open(worker.port))
    rig.until(lambda: is_open(worker.port))

    assert counted(worker) == before
    assert worker.turning() == turning


def test_a_stop_leaves_nothing(environment, tmp_path):
    """No process, no file, and exit code 0."""
    with running(SUPERVISED, tmp_path, environment, free_port()) as worker:
        rig.until(lambda: is_open(worker.port))
        family = worker.family()
        worker.process.terminate()

        assert worker.process.wait(40) == 0
        assert [one for one in family if one.is_running()] == []
        assert list(worker.run_dir.iterdir()) == []


def test_a_taken_port(environment, tmp_path):
    """The worker says so once and works; when the port is free it serves there. A supervisor that
    is killed leaves no exposition behind.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(SUPERVISED, tmp_path, environment, port) as worker:
            rig.until(lambda: worker.events("metrics_not_served"))
            assert worker.probe("ready") == 0
            taken.close()
            rig.until(lambda: worker.started() == 2 if is_open(port) else False)
            assert len(worker.events("metrics_not_served")) == 1

            worker.process.kill()
            worker.process.wait()
            rig.until(lambda: not is_open(port))


def test_plain_dramatiq(engine, database_url, redis_url, tmp_path):
    """`dramatiq actors` has one exposition for its processes, too, and none when it is killed."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    with running(PLAIN, tmp_path, environment, free_port()) as worker:
        rig.until(lambda: is_open(worker.port) and worker.started() == 2)
        take_in(worker, engine, 5)
        assert get(worker.port, "/livez") == (200, "ok\n")

        worker.process.kill()
        worker.process.wait()
        rig.until(lambda: not is_open(worker.port))
