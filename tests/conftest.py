"""Servers for the tests: one real PostgreSQL and one real Valkey per test process, a fresh database
per test. No fixture runs by itself; a test names what it needs.
"""

import itertools
import os
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from shutil import disk_usage

import psycopg
import pytest
import redis
from hypothesis import settings as hypothesis_settings

from tests.cluster import copied
from tests.work.rig import TABLES, until
from worker.embedded import postgres, valkey
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

EMPTY = """
do $$
declare
  name text;
  is_used boolean;
begin
  foreach name in array string_to_array(current_setting('tests.tables'), ',') loop
    execute format('select exists (select from %I)', name) into is_used;
    if is_used then
      execute format('truncate %I cascade', name);
    end if;
  end loop;
  -- Also those of tables that are empty now, and were not always.
  -- From `pg_sequence`, which has nothing but sequences: the planner may ask for values first.
  perform setval(s.seqrelid, s.seqstart, false)
  from pg_sequence s join pg_depend d on d.objid = s.seqrelid and d.deptype in ('a', 'i')
  where d.refobjid::regclass::text = any (string_to_array(current_setting('tests.tables'), ','))
    and pg_sequence_last_value(s.seqrelid) is not null;
end
$$
"""
"""Empties only what holds something: truncating all tables took six times as long."""

IS_OLD = "select clock_timestamp() - pg_postmaster_start_time() > interval '1.1 s'"

_numbers = itertools.count()


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
    server = postgres.start(copied(server_dir / "pg18"), fsync=False)
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
def database_url(lent, template):
    """A fresh, migrated database."""
    with lent(template) as url:
        yield url


@pytest.fixture(scope="session")
def emptied(postgres_server, template):
    """Empties the migrated database of a folder's tests, which is quicker than making one for each;
    its URL.
    """

    @cache
    def made(name):
        with psycopg.connect(postgres_server.url, autocommit=True) as connection:
            connection.execute(f"create database {name} template {template}")
        return _with_database(postgres_server.url, name)

    def empty(name, *, tables=TABLES):
        with psycopg.connect(made(name)) as connection:
            connection.execute("select set_config('tests.tables', %s, true)", [",".join(tables)])
            connection.execute(EMPTY)
        return made(name)

    return empty


@pytest.fixture(scope="session")
def defaults():
    """The settings of who has set none; to read them takes as long as many a test."""
    return Settings()


@pytest.fixture
def engine(database_url, defaults):
    """Connections to the test's database, as a worker makes them."""
    engine = make_engine(database_url, defaults, look_ups_only=True)
    yield engine
    # A connection that comes back to its pool after this would stay open until it is collected.
    until(lambda: engine.pool.checkedout() == 0)
    engine.dispose()


@pytest.fixture
def redis_url(valkey_server):
    """An empty Redis database, shared with nobody while the test runs."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server.url


@pytest.fixture
def runtime(engine, database_url, redis_url, defaults):
    """A worker process's parts, not started: the test drains and ticks by hand."""
    made = Runtime(defaults, Servers(database_url, redis_url), engine=engine)
    yield made
    made.hints.close()


def _has_room(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK) and disk_usage(folder).free > ROOM_BYTES


def _with_database(url: str, name: str) -> str:
    return f"{url.rsplit('/', 1)[0]}/{name}"
