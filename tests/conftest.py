"""Servers for the tests: one real PostgreSQL and one real Valkey per test process, a fresh database
per test. No fixture runs by itself; a test names what it needs.
"""

import gc
import itertools
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage

import psycopg
import pytest
import redis
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from tests.cluster import copied
from tests.work.rig import TABLES, until
from worker.embedded import postgres, valkey
from worker.embedded.server import Server
from worker.runtime import Runtime
from worker.servers import Servers
from worker.settings import Settings
from worker.store.engine import make_engine

# Hundreds of processes are started: where byte code may not be kept, each would compile everything.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

hypothesis_settings.register_profile("default", derandomize=True, deadline=None)
hypothesis_settings.load_profile("default")

ROOM_BYTES = 4 * 2**30
"""What all processes' servers may hold at once, with much to spare."""

EMPTYING = """
create function pg_temp.empty(tables text[], known jsonb, ours text) returns void language plpgsql
as $$
declare
  last tid;
begin
  -- What a killed process began, its session would end in the next test's database.
  perform pg_terminate_backend(pid, 10000) from pg_stat_activity
  where datname = current_database() and backend_type = 'client backend'
    and pid <> pg_backend_pid() and application_name <> ours;
  {tables}
  if not 'carriers' = any (tables)
      and known is distinct from (select jsonb_agg(to_jsonb(c) order by code) from carriers c) then
    delete from carriers;
    insert into carriers select * from jsonb_populate_recordset(null::carriers, known);
  end if;
  -- Also those of tables that are empty now, and were not always.
  -- From `pg_sequence`, which has nothing but sequences: the planner may ask for values first.
  perform setval(s.seqrelid, s.seqstart, false)
  from pg_sequence s join pg_depend d on d.objid = s.seqrelid and d.deptype in ('a', 'i')
  where d.refobjid = any (tables::regclass[]) and pg_sequence_last_value(s.seqrelid) is not null;
end
$$
"""
EMPTYING_ONE = """
  if '{table}' = any (tables) then
    select max(ctid) into last from {table};
    if last > '(0,8)' then
      truncate {table} cascade;
    elsif last is not null then
      delete from {table};
    end if;
  end if;
"""
"""Deletes what is little, which takes a quarter of a truncation's time. What is more is truncated:
where a page has room no dead row is cleared away, and rows lie in the order in which they came.
"""
EMPTY = "select pg_temp.empty(%s, %s, %s)"
CARRIERS = "select jsonb_agg(to_jsonb(c) order by code)::text from carriers c"
CHANGING = tuple(table for table in TABLES if table != "carriers")

IS_OLD = "select clock_timestamp() - pg_postmaster_start_time() > interval '1.1 s'"

_numbers = itertools.count()


def pytest_collection_modifyitems(items):
    """Heavy files evenly among the others: they wait for half of their time, and would keep each
    other from what they wait for.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    are_heavy = {
        path: any(item.get_closest_marker("heavy") for item in of_file)
        for path, of_file in files.items()
    }
    places = {}
    for kind in (True, False):
        alike = [path for path, is_heavy in are_heavy.items() if is_heavy is kind]
        places |= {path: (place + 0.5) / len(alike) for place, path in enumerate(alike)}
    items[:] = [one for path in sorted(files, key=places.__getitem__) for one in files[path]]


def pytest_collection_finish():
    """Five thousand tests and what they import stay until the end: nothing of it is garbage, and
    to look through all of it again and again takes a tenth of the time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def server_dir():
    """A folder that the servers' user can enter, even when the tests run as root; in memory where
    there is room, since copying a database there takes a fifth of the time.
    """
    parent = "/dev/shm" if _has_room(Path("/dev/shm")) else "/tmp"
    with tempfile.TemporaryDirectory(prefix="fulfillment-tests-", dir=parent) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_server(server_dir):
    """A PostgreSQL of this test process; what it holds need not survive a power cut."""
    # What is emptied is truncated now and then; a vacuum would let later rows lie before others.
    settings = {"autovacuum": "off"}
    server = postgres.start(copied(server_dir / "pg18"), fsync=False, settings=settings)
    with psycopg.connect(server.url, autocommit=True) as connection:
        # A lease that tests end by hand has to have begun after the server's own start.
        until(lambda: connection.execute(IS_OLD).fetchone()[0])
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey_server(server_dir):
    """A Valkey of this test process."""
    server = valkey.start(server_dir / "valkey", appendonly=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template(postgres_server):
    """A migrated database that the tests' own are copied from."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("create database template_fulfillment template postgres")
    return "template_fulfillment"


@pytest.fixture(scope="session")
def lent(postgres_server):
    """Lends a copy of a database that nobody is connected to, for as long as a context lasts."""

    @contextmanager
    def copy(template):
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(postgres_server.url, autocommit=True) as connection:
            connection.execute(f"create database {name} template {template} strategy file_copy")
            yield _with_database(postgres_server.url, name)
            connection.execute(f"drop database {name} with (force)")

    return copy


@pytest.fixture
def new_database_url(lent, template):
    """A new, migrated database, for who changes more than rows."""
    with lent(template) as url:
        yield url


class Emptied:
    """Migrated databases that are emptied before a test, which makes them as good as new; by name.

    Their sessions stay: a new one reads the catalogue and plans each statement anew, which takes
    longer than many a test.
    """

    def __init__(self, server_url: str, template: str, settings: Settings) -> None:
        self._server_url = server_url
        self._template = template
        self._settings = settings
        self._engines: dict[str, Engine] = {}
        self._connections: dict[str, psycopg.Connection] = {}
        self._carriers = ""
        self._ours = f"fulfillment {os.getpid()}"

    def __call__(self, name: str, *, tables: Sequence[str] = CHANGING) -> str:
        """Empties the tables; the database's URL. Carriers are as every shop knows them, unless
        theirs is among the tables.
        """
        url = _with_database(self._server_url, name)
        if url not in self._engines:
            with psycopg.connect(self._server_url, autocommit=True) as connection:
                connection.execute(f"create database {name} template {self._template}")
            self._engines[url] = make_engine(url, self._settings, look_ups_only=True)
            self._connections[url] = self._connected(url)
            self._carriers = self._connections[url].execute(CARRIERS).fetchone()[0]
        try:
            self._empty(url, tables)
        except psycopg.OperationalError:  # a test ended the session
            self._connections[url] = self._connected(url)
            self._empty(url, tables)
        return url

    def engine(self, url: str) -> Engine | None:
        """An engine of the test's own, who may listen to it, over the sessions of one of the
        databases; they answer.
        """
        engine = self._engines.get(url)
        if engine is None:
            return None
        try:
            for _ in range(engine.pool.checkedin()):
                with engine.connect() as connection:
                    connection.exec_driver_sql("select 1")
        except OperationalError:  # a test ended them
            engine.dispose()
        return engine.execution_options()

    def leave(self, url: str) -> None:
        """Close the connections to a database that is to be copied."""
        self._connections[url].close()
        self._engines[url].dispose()

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        for engine in self._engines.values():
            engine.dispose()

    def _empty(self, url: str, tables: Sequence[str]) -> None:
        self._connections[url].execute(EMPTY, [list(tables), self._carriers, self._ours])

    def _connected(self, url: str) -> psycopg.Connection:
        connection = psycopg.connect(url, autocommit=True, application_name=self._ours)
        connection.execute("set session_replication_role = replica")  # in whatever order rows go
        # A function, whose statements are planned once.
        each = "".join(EMPTYING_ONE.format(table=table) for table in TABLES)
        connection.execute(EMPTYING.format(tables=each))
        return connection


@pytest.fixture(scope="session")
def emptied(postgres_server, template, defaults):
    """The databases of folders' tests."""
    databases = Emptied(postgres_server.url, template, defaults)
    yield databases
    databases.close()


@pytest.fixture
def database_url(emptied):
    """A migrated database without an order."""
    return emptied("tests")


@pytest.fixture(scope="session")
def defaults():
    """The settings of who has set none; to read them takes as long as many a test."""
    return Settings()


@pytest.fixture
def engine(database_url, emptied, defaults):
    """Connections to the test's database, as a worker makes them."""
    kept = emptied.engine(database_url)
    engine = kept or make_engine(database_url, defaults, look_ups_only=True)
    yield engine
    # A connection that comes back to its pool after this would stay open until it is collected.
    until(lambda: engine.pool.checkedout() == 0)
    if not kept:
        engine.dispose()


@pytest.fixture
def redis_url(valkey_server):
    """An empty Redis database, shared with nobody while the test runs."""
    return _emptied(valkey_server)


@pytest.fixture(scope="module")
def file_redis_url(valkey_server):
    """Likewise, for all tests of a file."""
    return _emptied(valkey_server)


@pytest.fixture
def runtime(engine, database_url, redis_url, defaults):
    """A worker process's parts, not started: the test drains and ticks by hand."""
    made = Runtime(defaults, Servers(database_url, redis_url), engine=engine)
    yield made
    made.hints.close()


def _emptied(server: Server) -> str:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    return server.url


def _has_room(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK) and disk_usage(folder).free > ROOM_BYTES


def _with_database(url: str, name: str) -> str:
    return f"{url.rsplit('/', 1)[0]}/{name}"
