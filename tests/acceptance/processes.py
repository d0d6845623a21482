"""Real worker processes for the tests, as an operator starts them: dramatiq groups of one."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import redis

ROOT = Path(__file__).parent.parent.parent
START_LIMIT_S = 30.0
HEARTBEATS = "fulfillment:__heartbeats__"


def until(is_so: Callable[[], object], within_s: float, what: str) -> None:
    """Poll until it is so; fail, saying what was waited for, when the time is up."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.02)


class Group:
    """One dramatiq main process with its one worker process, the leaf."""

    def __init__(
        self, database_url: str, redis_url: str, log: Path, *, shutdown_timeout_ms: int = 20_000
    ) -> None:
        self.log = log
        argv = [sys.executable, "-m", "dramatiq", "actors", "-p", "1", "-t", "4", "--skip-logging"]
        argv += ["--worker-shutdown-timeout", str(shutdown_timeout_ms)]
        environment = os.environ | {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "FULFILLMENT_LEASE_S": "2",
            "FULFILLMENT_GRACE_S": "2",
            "FULFILLMENT_STATE_DIR": str(log.parent / "state"),
            "FULFILLMENT_METRICS_PORT": "0",
            "PYTHONPATH": str(ROOT),
        }
        with log.open("wb") as words:
            self.process = subprocess.Popen(
                argv, env=environment, cwd=ROOT, stdout=words, stderr=words, start_new_session=True
            )

    def leaf(self) -> psutil.Process:
        """The process that does the work, once it is there."""
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.words()
            # Forked, so it shows its parent's command; multiprocessing's helpers show another.
            if leaves := [
                one for one in _children(self.process.pid) if "dramatiq" in one.cmdline()
            ]:
                (leaf,) = leaves
                return leaf
            time.sleep(0.02)
        raise AssertionError(f"no worker process within {START_LIMIT_S:g} s:\n{self.words()}")

    def words(self) -> str:
        return self.log.read_text(errors="replace")

    def is_running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End the main process and its worker at once, as a machine that fails would."""
        family = _children(self.process.pid)
        self.process.kill()
        for one in family:
            _kill(one)
        self.process.wait()

    def terminate(self) -> None:
        """Ask for a stop, as a platform does: SIGTERM to the main process alone."""
        self.process.terminate()

    def wait(self, timeout_s: float) -> int:
        return self.process.wait(timeout_s)


@contextmanager
def groups(
    number: int,
    database_url: str,
    redis_url: str,
    logs: Path,
    *,
    shutdown_timeout_ms: int = 20_000,
) -> Iterator[list[Group]]:
    """So many worker processes, all of them taking messages; none is left at the end."""
    started: list[Group] = []
    try:
        with redis.Redis.from_url(redis_url) as client:
            before = set(client.zrange(HEARTBEATS, 0, -1))
            for n in range(number):
                log = logs / f"worker-{time.monotonic_ns()}-{n}.log"
                started.append(
                    Group(database_url, redis_url, log, shutdown_timeout_ms=shutdown_timeout_ms)
                )
            until(
                lambda: len(set(client.zrange(HEARTBEATS, 0, -1)) - before) >= number,
                START_LIMIT_S,
                "a heartbeat of every worker",
            )
        yield started
    finally:
        for group in started:
            if group.is_running():
                group.kill()


def in_redis(redis_url: str) -> dict[str, int]:
    """How many messages wait in, and how many are held from, the queues of this project."""
    with redis.Redis.from_url(redis_url) as client:
        return {
            "waiting": client.llen("fulfillment:inbox"),
            "bodies": client.hlen("fulfillment:inbox.msgs"),
            "held": sum(client.scard(key) for key in client.keys("fulfillment:__acks__*")),
        }


def undecided(database_url: str) -> int:
    """How many accepted commands have no outcome yet."""
    with psycopg.connect(database_url) as connection:
        (count,) = connection.execute(
            "select count(*) from commands where state = 'pending'"
        ).fetchone()
    return count


def is_quiet(database_url: str, redis_url: str) -> bool:
    """Nothing is on its way: no door message waits or is held, no command waits for its outcome."""
    return not any(in_redis(redis_url).values()) and not undecided(database_url)


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
