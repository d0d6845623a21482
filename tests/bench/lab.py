"""Where measurements are made: a PostgreSQL that fsyncs, a Valkey, fresh databases and worker
processes. Everything waits with an end; everything is stopped.
"""

import os
import pstats
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import orjson
import psutil
import psycopg
import redis
from dramatiq.brokers.redis import RedisBroker

from messages import Address, Command, Item, Ship, new_command_id, wire
from tests.bench import pgbench
from worker.embedded import postgres, valkey
from worker.embedded.server import ourselves
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.store.schema import migrate
from worker.work import queues

ROOT: Final = Path(__file__).parents[2]
WAIT_S: Final = 60.0
POLL_S: Final = 0.02
WARM: Final = 50
"""Rates are taken from this many done on: before, the worker boots, connects and prepares."""
THREADS: Final = 8
"""Of a worker process, or what another framework calls concurrency."""
TEMPLATE: Final = "bench_template"
SHIP_FROM: Final = Address(
    name="Shop", lines=("2 Side Street",), city="Lyon", postal_code="69001", country="FR"
)

# What `place` would have written: two lines, paid in full by one payment.
PLACE_ORDERS: Final = """
insert into orders (order_id, number, currency, total_minor, shipping_minor, fulfillment_status,
  payment_status, version, customer_name, customer_email, locale, ship_to, placed_at)
select 'B-' || n, n::text, 'EUR', 500, 0, 'unfulfilled', 'paid', 1, 'Customer ' || n,
  n || '@example.org', 'en', '{"lines": ["1 Main Street"], "postal_code": "3511 AB", "city": "Utrecht", "country": "NL"}', now()
from generate_series(%(first)s::int, %(last)s::int) n;
insert into order_lines (
  order_id, line_id, position, name, item_type, quantity, gross_minor, tax_minor, discount_minor)
select 'B-' || n, line_id, position, 'Product ' || line_id, 'physical', quantity, 100 * quantity, 0, 0
from generate_series(%(first)s::int, %(last)s::int) n, (values ('A', 1, 3), ('B', 2, 2)) l (line_id, position, quantity);
insert into payments (order_id, payment_id, position, captured_minor)
select 'B-' || n, 'P1', 1, 500 from generate_series(%(first)s::int, %(last)s::int) n
"""  # noqa: E501
COMMANDS: Final = """
create table bench_commands (
  n integer primary key, command_id uuid not null, order_id text not null, body jsonb not null)
"""

EFFECT: Final = """
select
  (select count(*) from commands where order_id = any(%(orders)s)
    and state = 'applied' and outcome ->> 'state' = 'applied'),
  (select count(*) from commands where order_id = any(%(orders)s)),
  (select sum(shipped) from order_lines where order_id = any(%(orders)s)),
  (select count(*) from order_lines where order_id = any(%(orders)s)
    and line_id = 'A' and shipped = 1),
  (select count(*) from orders where order_id = any(%(orders)s)
    and version = 2 and fulfillment_status = 'partially_fulfilled'),
  (select sum(quantity) from shipment_lines join shipments using (shipment_id)
    where order_id = any(%(orders)s)),
  (select count(*) from history where order_id = any(%(orders)s) and event = 'shipped'),
  (select count(*) from followups where order_id = any(%(orders)s) and route = 'emails')
"""


class BenchFailed(Exception):
    """A measurement did not come to its result, so its rate means nothing."""


class Lab:
    """The servers, `count` orders with a command each, and more on demand. Use it as a context.

    `postgres_settings` stand in place of the embedded server's, which are for trials.
    """

    def __init__(self, count: int, postgres_settings: Mapping[str, str] | None = None) -> None:
        self._postgres_settings = postgres_settings or {}
        self.pgbench = pgbench.find()
        self.commands = [self._ship(n) for n in range(count)]
        self._orders = count
        self._profile: Path | None = None
        self._names = iter(range(1_000_000))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory("", "bench-", "/tmp"))
            self.folder = Path(folder)
            self.folder.chmod(0o755)  # PostgreSQL may have to run as somebody else
            self.postgres = postgres.start(
                self.folder / "pg18", fsync=True, settings=self._postgres_settings
            )
            stack.callback(self.postgres.stop)
            self.server_url = self.postgres.url
            self.valkey = valkey.start(self.folder / "valkey")
            stack.callback(self.valkey.stop)
            self.redis_url = self.valkey.url
            self.redis = redis.Redis.from_url(self.redis_url)
            stack.callback(self.redis.close)
            self._make_template()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, setting: str) -> str:
        with psycopg.connect(self.url(TEMPLATE)) as connection:
            return connection.execute(f"show {setting}").fetchone()[0]

    def url(self, database: str) -> str:
        return f"{self.server_url.rsplit('/', 1)[0]}/{database}"

    def broker(self, namespace: str = wire.NAMESPACE) -> RedisBroker:
        """A producer's broker, as dramatiq has it."""
        return RedisBroker(url=self.redis_url, namespace=namespace)

    @contextmanager
    def database(self, template: str = TEMPLATE) -> Iterator[str]:
        """The URL of a fresh copy of a database, by itself with every order placed, and an empty
        Valkey.
        """
        self.redis.flushall()
        name = f"bench_{next(self._names)}"
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            # Before the copy, so that none comes during the measurement, and every page is in the
            # log already, as nearly all are where checkpoints come every quarter of an hour.
            connection.execute("checkpoint")
            connection.execute(f"create database {name} template {template} strategy wal_log")
            try:
                yield self.url(name)
            finally:
                connection.execute(f"drop database {name} with (force)")

    def keep(self, name: str) -> str:
        """The URL of a database of that name, migrated and empty, that stays until the end."""
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(f"create database {name}")
        engine = make_engine(self.url(name), Settings())
        migrate(engine)
        with engine.begin() as connection:
            # Commands are measured by themselves; whoever measures what follows resumes it.
            for route in (wire.LABELS, wire.REFUNDS, wire.EMAILS):
                queues.pause(connection, route, actor="bench")
        engine.dispose()
        return self.url(name)

    def place(self, database_url: str, count: int) -> list[Ship]:
        """Put so many new orders into a database; a command for each."""
        first, self._orders = self._orders, self._orders + count
        with psycopg.connect(database_url, autocommit=True) as connection:
            _place(connection, first, self._orders)
        return [self._ship(n) for n in range(first, self._orders)]

    @contextmanager
    def worker(
        self,
        module: str,
        database_url: str | None = None,
        *,
        processes: int = 1,
        threads: int = THREADS,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator["Worker"]:
        """A worker process of dramatiq's, one of so many on its database; `settings` are added to
        its environment.
        """
        own = {"FULFILLMENT_PROCESSES": str(processes), "FULFILLMENT_THREADS": str(threads)}
        if self._profile:
            own["BENCH_PROFILE"] = str(self._profile)
            module = "tests.bench.profiled"
        command = ["dramatiq", module, "-p", "1", "-t", str(threads)]
        with self.running(command, database_url, settings=own | dict(settings or {})) as worker:
            yield worker

    @contextmanager
    def running(
        self,
        command: Sequence[str],
        database_url: str | None = None,
        *,
        settings: Mapping[str, str],
    ) -> Iterator["Worker"]:
        """`python -m COMMAND` on these servers, ended at the latest with the context."""
        worker = Worker(self, command, database_url, settings, is_profiled=bool(self._profile))
        try:
            yield worker
        finally:
            worker.stop()

    @contextmanager
    def profiling(self) -> Iterator["Stats"]:
        """Within it the worker's actors run with a profiler; the numbers are there at its end."""
        stats = Stats(self.free_name("profile"))
        self._profile = stats.path
        try:
            yield stats
        finally:
            self._profile = None

    def free_name(self, stem: str) -> Path:
        return self.folder / f"{stem}-{next(self._names)}"

    def _ship(self, number: int) -> Ship:
        return Ship(
            command_id=new_command_id(),
            order_id=f"B-{number}",
            items=(Item(line_id="A", quantity=1),),
            tracking_number="00340434161094021501",
        )

    def _make_template(self) -> None:
        with psycopg.connect(self.keep(TEMPLATE), autocommit=True) as connection:
            _place(connection, 0, len(self.commands))
            with connection.transaction():
                connection.execute(COMMANDS)
                with connection.cursor().copy("copy bench_commands from stdin") as copy:
                    for n, command in enumerate(self.commands):
                        body = orjson.dumps(command.body()).decode()
                        copy.write_row((n, command.command_id, command.order_id, body))
            connection.execute("vacuum (freeze, analyze)")


class Worker:
    """A running worker: dramatiq's, or another framework's."""

    def __init__(
        self,
        lab: Lab,
        command: Sequence[str],
        database_url: str | None,
        settings: Mapping[str, str],
        *,
        is_profiled: bool,
    ) -> None:
        self.log = lab.free_name("worker")
        self.is_profiled = is_profiled
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FULFILLMENT_", "PG"))}
        environment = {
            "REDIS_URL": lab.redis_url,
            "FULFILLMENT_LOG_LEVEL": "warning",
            "FULFILLMENT_STATE_DIR": str(lab.folder / "state"),
            "FULFILLMENT_SHIP_FROM": SHIP_FROM.model_dump_json(exclude_none=True),
            **settings,
        }
        if database_url:
            environment["DATABASE_URL"] = database_url
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=kept | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Should the bench be killed, the worker ends as well.
                **ourselves().popen(signal.SIGTERM),
            )

    def wait(self, is_done: Callable[[], bool], what: str, within_s: float = WAIT_S) -> None:
        """Poll until it is so.

        Raises:
          BenchFailed: Not within this time, or the worker ended.
        """
        deadline = time.monotonic() + within_s
        while not is_done():
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-3000:]
                raise BenchFailed(f"{what}: not within {within_s:.0f} s.\n{tail}")
            time.sleep(POLL_S)

    def rate(self, done: Callable[[], int], count: int, what: str) -> float:
        """Done per second, from `WARM` done to `count` done."""
        before = mark = last = (0, time.monotonic())

        def is_done() -> bool:
            nonlocal before, mark, last
            before, last = last, (done(), time.monotonic())
            if mark[0] < WARM:
                mark = last
            return last[0] >= count

        self.wait(is_done, what)
        if mark == last:  # all of it between two looks, as in a quick run
            mark = before
        return (last[0] - mark[0]) / (last[1] - mark[1])

    def leaf(self) -> psutil.Process:
        """The process that does the work, a child of dramatiq's main process."""
        children = psutil.Process(self.process.pid).children()
        # Forked, so it shows its parent's command; multiprocessing's helpers show another.
        forks = [one for one in children if "dramatiq" in one.cmdline()]
        return min(forks, key=lambda one: one.create_time())  # the exposition of metrics is later

    def stop(self) -> None:
        """End it: kindly where a profile is to be written, else at once."""
        if self.is_profiled and self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Stats:
    """What the profiler in a worker wrote."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def top(self, count: int) -> list[dict[str, Any]]:
        """The functions with the most time of their own."""
        if not self.path.exists():
            raise BenchFailed("the worker wrote no profile")
        found = pstats.Stats(str(self.path)).stats.items()
        entries = [
            {
                "function": _shown(*function),
                "calls": calls,
                "own_s": round(own_s, 4),
                "cumulative_s": round(cumulative_s, 4),
            }
            for function, (_, calls, own_s, cumulative_s, _) in found
        ]
        return sorted(entries, key=lambda entry: -entry["own_s"])[:count]


def mark(connection: psycopg.Connection) -> int:
    """Where the numbering of commands stands, for `applied`."""
    statement = "select case when is_called then last_value else 0 end from work_seq"
    return connection.execute(statement).fetchone()[0]


def applied(connection: psycopg.Connection, since: int) -> int:
    """How many commands behind a mark are applied; as cheap in a big store as in a small one."""
    return connection.execute(
        "select count(*) from commands where state = 'applied' and seq > %s", (since,)
    ).fetchone()[0]


def verify(database_url: str, commands: Sequence[Command]) -> None:
    """Every command applied once, and nothing else to its order.

    Raises:
      BenchFailed: It is not so.
    """
    orders = [command.order_id for command in commands]
    with psycopg.connect(database_url) as connection:
        found = connection.execute(EFFECT, {"orders": orders}).fetchone()
    if set(found) != {len(commands)}:
        raise BenchFailed(f"{len(commands)} commands were to be applied, found {found}")


def _place(connection: psycopg.Connection, first: int, end: int) -> None:
    with connection.transaction():
        for statement in PLACE_ORDERS.split(";"):
            connection.execute(statement, {"first": first, "last": end - 1})


def _shown(path: str, line: int, name: str) -> str:
    path = re.sub(r".*/(site-packages|python3\.\d+)/", "", path).removeprefix(f"{ROOT}/")
    return name if path == "~" else f"{path}:{line} {name}"
