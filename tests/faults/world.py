"""Real servers and workers that are killed and come back, for tests of what survives."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import psutil
import psycopg
import redis
import structlog
from typer.testing import CliRunner

from tests.cluster import copied
from worker.cli.root import app
from worker.embedded import postgres, valkey
from worker.embedded.server import ourselves
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.store.schema import migrate

ROOT = Path(__file__).parents[2]
LEASE_S = 2


class World:
    """Two servers in a folder, and workers on them."""

    def __init__(self, folder, seed, lease_s=LEASE_S, *, is_migrated=True):
        self.folder, self.seed, self.lease_s = folder, seed, lease_s
        self.over = threading.Event()
        # A server ends with the thread that started it, so only the test's own thread starts them.
        data = copied(folder / "pg") if is_migrated else folder / "pg"
        self.database = postgres.start(data, fsync=True)
        self.redis = valkey.start(folder / "valkey", appendonly=False)
        self.redis_url = self.redis.url

    @classmethod
    @contextmanager
    def made(cls, seed, **options):
        with tempfile.TemporaryDirectory(prefix="fulfillment-faults-", dir="/tmp") as folder:
            Path(folder).chmod(0o755)
            world = cls(Path(folder), seed, **options)
            try:
                yield world
            finally:
                world.over.set()
                world.database.stop("immediate")
                world.redis.stop("immediate")

    @classmethod
    def lent(cls, folder, seed, database_url, redis_url):
        """A world on servers of others, migrated: they are not to be stopped or started again."""
        world = cls.__new__(cls)
        world.folder, world.seed, world.lease_s = folder, seed, LEASE_S
        world.over = threading.Event()
        world.database, world.redis = (
            SimpleNamespace(url=url, port=urlsplit(url).port) for url in (database_url, redis_url)
        )
        world.redis_url = redis_url
        return world

    def migrate(self):
        """Bring the schema to our version."""
        engine = make_engine(self.database.url, Settings())
        migrate(engine)
        engine.dispose()

    @contextmanager
    def worker(self, number, *, actors="actors", processes=None, root=ROOT, **settings):
        """A worker with these settings in its environment, started again whenever it ends.

        Args:
          number: Names its log.
          actors: The module that dramatiq runs, which may change the worker's code before it
            imports the real one.
          processes: Of a supervisor, `fulfillment worker`, which runs no other module; unset,
            dramatiq is started by itself, with one process.
          root: The folder of its code.
          settings: Its environment.
        """
        if processes:
            command = [sys.executable, "-m", "worker", "worker", "--processes", str(processes)]
        else:
            command = [sys.executable, "-m", "dramatiq", actors, "-p", "1", "-t", "4"]
            command.append("--skip-logging")
        with self._kept(str(number), command, settings, root=root) as one:
            yield one

    @contextmanager
    def web(self, number, listening, *, root=ROOT, **settings):
        """Likewise the HTTP door, on a socket of ours, as systemd hands it over."""
        descriptor = listening.fileno()
        command = [sys.executable, "-m", "worker", "web", "--fd", str(descriptor)]
        name = f"web{number}"
        with self._kept(name, command, settings, root=root, pass_fds=(descriptor,)) as one:
            yield one

    @contextmanager
    def _kept(self, name, command, settings, *, root=ROOT, pass_fds=()):
        environment = os.environ | {
            "DATABASE_URL": self.database.url,
            "REDIS_URL": self.redis_url,
            "FULFILLMENT_LEASE_S": str(self.lease_s),
            "FULFILLMENT_GRACE_S": "3",
            "FULFILLMENT_THREADS": "4",
            "FULFILLMENT_BATCH_SIZE": "25",  # many batches at once, for the same orders
            "FULFILLMENT_LOG_LEVEL": "warning",
            "FULFILLMENT_METRICS_PORT": "0",
            "SMTP_URL": "",
            "FULFILLMENT_STATE_DIR": str(self.folder / "state"),
            "FULFILLMENT_RUN_DIR": str(self.folder / f"run{name}"),
            "PYTHONPATH": str(root),
            **settings,
        }
        log = self.folder / f"worker{name}.log"
        one = Kept(command, environment, log, root=root, pass_fds=pass_fds)
        one.start()
        try:
            yield one
        finally:
            one.stop()

    def start_database(self):
        """Again, where it was; from the thread that made this world."""
        self.database = postgres.start(self.folder / "pg", port=self.database.port, fsync=True)

    def start_redis(self):
        """Again, where it was, and empty; from the thread that made this world."""
        self.redis = valkey.start(self.folder / "valkey", port=self.redis.port, appendonly=False)

    @contextmanager
    def connection(self):
        connection = psycopg.connect(self.database.url, connect_timeout=2, autocommit=True)
        try:
            yield connection
        finally:
            connection.close()

    def at_work(self):
        """The ids of processes that have sessions at PostgreSQL, as workers have once they work."""
        with self.connection() as connection:
            rows = connection.execute(
                "select distinct application_name from pg_stat_activity"
                " where application_name like 'fulfillment %'"
            )
            return {int(name.split()[1]) for (name,) in rows}

    def fulfillment(self, *words, **settings):
        """What this command prints, in this process."""
        environment = {"DATABASE_URL": self.database.url, "REDIS_URL": self.redis_url}
        with structlog.testing.capture_logs():
            done = CliRunner().invoke(app, list(words), env=environment | settings)
        assert done.exit_code == 0, done.output
        return done.stdout

    def told(self, what):
        """`what`, and the last words of the workers."""
        tails = (
            "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            for log in sorted(self.folder.glob("worker*.log"))
        )
        return "\n".join([f"seed {self.seed}: {what}", *tails])


class Kept(threading.Thread):
    """A worker: a main process that has others, started again whenever it ends, as by a system's
    supervisor.
    """

    def __init__(self, command, environment, log, *, root=ROOT, pass_fds=()):
        super().__init__(name="restarter", daemon=True)
        self.command, self.environment, self.log = command, environment, log
        self.root, self.pass_fds = root, pass_fds
        self.stopping = threading.Event()
        self.process = None
        self._seen = set()

    def run(self):
        while not self.stopping.is_set():
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    self.command,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.root,
                    start_new_session=True,
                    pass_fds=self.pass_fds,
                    **ourselves().popen(signal.SIGTERM),  # it ends with us
                )
            while self.process.poll() is None and not self.stopping.is_set():
                time.sleep(0.05)
            self.below()
            # The group, so that no orphan of a killed master stays behind.
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def move(self, root):
        """From its next start on its code is that of this folder."""
        self.environment = self.environment | {"PYTHONPATH": str(root)}
        self.root = root

    def below(self):
        """All processes that it has started; who asks before it is killed makes them known, so that
        none is left at the end.
        """
        with suppress(psutil.NoSuchProcess, AttributeError):
            found = psutil.Process(self.process.pid).children(recursive=True)
            self._seen.update(found)
            return found
        return []

    def leaves(self):
        """The processes that work: of each main process the child that is no mere helper."""
        found = self.below()
        with suppress(psutil.NoSuchProcess):
            mothers = {one.ppid() for one in found}
            ours = defaultdict(list)
            for one in found:
                if one.pid not in mothers:
                    ours[one.ppid()].append(one)
            return [max(some, key=lambda one: one.memory_info().rss) for some in ours.values()]
        return []

    def stop(self):
        self.stopping.set()
        self.join(20)
        for one in self._seen:  # psutil knows a number that was used again
            with suppress(psutil.NoSuchProcess):
                one.kill()
        assert not self.is_alive()


def time_passes(slow="false"):
    """The statement by which what waits is due, but for those who were told when to come back; what
    this condition in SQL says, only in an hour.
    """
    return f"""
        -- time_passes
        update followups set next_at = now() + case when {slow} then interval '1 hour' else '0' end
        where id in (
          select id from followups
          where state = 'pending' and lease_until is null and route <> 'tracking'
            and waits_for in ('retry', 'provider', 'carrier', 'label', 'email')
            and next_at > now() + interval '2 seconds'
          order by id for update skip locked)
    """


def leaf(worker):
    """The process that works, which dramatiq's master forked; None while there is none."""
    return next(iter(worker.leaves()), None)


# Faults; each returns those of the workers that it interrupts in the middle of what they do.


def mostly_workers(chance, count):
    """So many faults, each at least once; of eight and more each but a worker's death twice."""
    others = [worker_stopped, redis_killed, postgres_killed] * (2 if count >= 8 else 1)
    faults = [*others, *[worker_killed] * (count - len(others))]
    chance.shuffle(faults)
    return faults


def worker_killed(world, workers, chance):
    worker, victim = working(workers, chance)
    with suppress(psutil.NoSuchProcess):
        victim.kill()
        wait_until(lambda: victim.status() == psutil.STATUS_ZOMBIE, 10, every_s=0.001)
    return [worker]


def worker_stopped(world, workers, chance):
    """For longer than its lease: others do what it had begun, then it goes on with it."""
    worker, victim = working(workers, chance)
    with suppress(psutil.NoSuchProcess):
        victim.suspend()
        time.sleep(world.lease_s + chance.uniform(0.3, 1))
        victim.resume()
    return [worker]


def redis_erased(world, workers, chance):
    with redis.Redis.from_url(world.redis_url) as client:
        client.flushall()
    return []


def redis_killed(world, workers, chance):
    world.redis.stop("immediate")
    time.sleep(chance.uniform(0, 0.8))
    world.start_redis()
    return []


def postgres_killed(world, workers, chance):
    world.database.stop("immediate")
    time.sleep(chance.uniform(0, 0.8))
    world.start_database()
    return workers


def working(workers, chance):
    """One of the workers that have a process, and that."""
    found = []

    def look():
        found[:] = [(one, victim) for one in workers for victim in one.leaves()]
        return found

    wait_until(look, 20)
    return chance.choice(found)


def wait_until(fact, within_s, *, every_s=0.05):
    deadline = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(every_s)
