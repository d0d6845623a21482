"""Migrations: from nothing to the newest, again, and from several processes at once."""

import pytest
from sqlalchemy.exc import OperationalError

from tests.work import rig
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.store.schema import current, migrate, newest

EVERYTHING = """
select relkind::text, relname, (
  select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum)
  from pg_attribute where attrelid = c.oid and attnum > 0)
from pg_class c where relnamespace = 'public'::regnamespace
union all
select 'function', proname, md5(prosrc || coalesce(pg_get_function_sqlbody(oid), ''))
from pg_proc where pronamespace = 'public'::regnamespace
union all
select 'constraint', conname, pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'public'::regnamespace
order by 1, 2, 3
"""


def everything(engine):
    with engine.begin() as connection:
        return connection.exec_driver_sql(EVERYTHING).all()


@pytest.fixture
def empty(postgres_server, engine):
    """A database without anything in it, and the test's own beside it."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("create database nothing")
        url = engine.url.set(database="nothing").render_as_string(hide_password=False)
        made = make_engine(url, Settings())
        yield made
        made.dispose()
        connection.exec_driver_sql("drop database nothing with (force)")


def test_from_nothing_and_again(empty):
    """An empty database is brought to the newest version; a second time changes nothing."""
    assert current(empty) is None

    migrate(empty)
    made = everything(empty)
    migrate(empty)

    assert current(empty) == newest() == "0003"
    assert everything(empty) == made
    assert {name for kind, name, _ in made if kind == "r"} == {*rig.TABLES, "alembic_version"}


def test_from_two_threads_at_once(empty):
    """Several workers may start with a migration at the same time: it is done once."""
    others = [
        make_engine(empty.url.render_as_string(hide_password=False), Settings()) for _ in range(3)
    ]

    rig.together(*[lambda one=one: migrate(one) for one in (empty, *others)])

    for one in others:
        one.dispose()
    assert current(empty) == newest()
    assert rig.one(empty, "select count(*) from alembic_version") == (1,)


def test_leaves_no_lock_and_no_setting(empty):
    """After a migration no session holds its lock, and the pool's time limits are as before."""
    migrate(empty)

    assert rig.count(empty, "pg_locks", "locktype = 'advisory'") == 0
    assert rig.one(empty, "show lock_timeout") == ("2s",)
    assert rig.one(empty, "show statement_timeout") == ("15s",)


def test_failure_leaves_the_database_as_it_was(empty):
    """A migration that cannot be carried out changes nothing and lets others try."""
    rig.run(empty, "create table orders (stranger int)")
    before = everything(empty)

    for _ in range(2):
        with pytest.raises(Exception, match='relation "orders" already exists'):
            migrate(empty)

    assert [row for row in everything(empty) if "alembic" not in row[1]] == before
    rig.run(empty, "drop table orders")
    migrate(empty)
    assert current(empty) == newest()


def test_away(empty):
    """Where no database is, migrating says so as the driver does."""
    nowhere = make_engine("postgresql://postgres@127.0.0.1:1/nothing", Settings())

    with pytest.raises(OperationalError):
        migrate(nowhere)
