"""Migrations: from nothing to the newest, again, and from several processes at once."""

import os

import orjson
import psycopg
import pytest
from alembic import command
from sqlalchemy.exc import OperationalError

from tests import factories as make
from tests.work import rig
from worker.settings import Settings
from worker.store import lists, schema
from worker.store.engine import make_engine
from worker.store.fit import MIGRATIONS, Fit
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

    assert current(empty) == newest() == "0018"
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


def test_gives_way_to_work(empty, tmp_path):
    """A migration that waits behind a long transaction gives its place up: while it pauses it holds
    and asks for no lock, and what it was to change is worked with. Once the long one has ended, it
    is done.
    """
    migrate(empty)
    config = with_another(tmp_path, COLUMN)
    with psycopg.connect(psycopg_url(empty)) as long:
        long.execute("select from commands")  # a report, say

        def pause(seconds):
            paused.append(seconds)
            assert rig.count(empty, "pg_locks", "not granted") == 0
            assert rig.count(empty, "pg_locks", "mode = 'AccessExclusiveLock'") == 0
            assert rig.accepted(empty, command := make.hold())[0].answer == "accepted"
            rig.drainer(empty)()
            assert rig.command(empty, command).state == "pending"  # for its order
            if len(paused) == 2:
                long.rollback()

        paused = []
        migrate(empty, config=config, pause=pause)

    assert paused == [1, 2]
    assert (current(empty), rig.count(empty, "commands", "another is null")) == ("9999", 2)


def test_gives_up(empty, tmp_path):
    """Who finds the lock held at each attempt says so: the migration before that one is done, since
    each is a transaction of its own, and of that one nothing.
    """
    migrate(empty)
    before = everything(empty)
    with psycopg.connect(psycopg_url(empty)) as long:
        long.execute("lock table commands in access share mode")
        config = with_another(tmp_path, NOTHING, COLUMN)

        with pytest.raises(schema.Locked, match="pg_stat_activity"):
            migrate(empty, config=config, pauses_s=(0, 0))

    assert (current(empty), everything(empty)) == ("9998", before)


def test_an_index_is_built_beside_work(empty, tmp_path):
    """An index on a table that is worked with waits for whoever began before, and nobody waits for
    it: commands are accepted and decided meanwhile. Cut off, it is built anew by the next attempt,
    and what comes after it waits briefly for locks again.
    """
    migrate(empty)
    config = with_another(tmp_path, INDEX)
    waits = "query like 'create index concurrently%%' and wait_event_type = 'Lock'"

    def cut_off():
        with pytest.raises(psycopg.errors.QueryCanceled):
            migrate(empty, config=config)

    with psycopg.connect(psycopg_url(empty)) as long:
        long.execute("lock table commands in row exclusive mode")  # as who writes has it
        with rig.running(cut_off):
            rig.until(lambda: rig.count(empty, "pg_stat_activity", waits) == 1)
            assert rig.decided(empty, make.hold()) == ["pending"]  # for its order
            rig.run(empty, f"select pg_cancel_backend(pid) from pg_stat_activity where {waits}")
    assert rig.count(empty, "pg_index", "not indisvalid") == 1

    migrate(empty, config=config)

    assert rig.count(empty, "pg_index", "not indisvalid") == 0
    assert rig.count(empty, "pg_indexes", "indexname = 'commands_another'") == 1
    assert rig.one(empty, "select waits from after_it") == (f"{schema.LOCK_WAIT_MS // 1000}s",)


INDEX = """
from worker.store.migrations import indexes
def upgrade():
    indexes.build('commands_another', 'on commands (seq)')
    op.get_bind().connection.cursor().execute(
        "create table after_it as select current_setting('lock_timeout') as waits")
"""
NOTHING = """
def upgrade():
    pass
"""
COLUMN = """
def upgrade():
    # Shortly, since what it waits for does not come.
    op.get_bind().connection.cursor().execute(
        "set local lock_timeout = 1; alter table commands add column another text")
"""


def with_another(folder, *upgrades):
    """Our migrations and some more, the last of which is 9999."""
    before = newest()
    for number, upgrade in enumerate(upgrades, 10_000 - len(upgrades)):
        (folder / f"{number}_another.py").write_text(
            f"from alembic import op\nrevision, down_revision = '{number}', '{before}'\n{upgrade}"
        )
        before = number
    config = schema._config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join([str(MIGRATIONS), str(folder)]))
    return config


def psycopg_url(engine):
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("found", "floor", "advice"),
    [
        (None, None, "run `fulfillment migrate`"),
        ("0001", None, "run `fulfillment migrate`"),
        (newest(), None, None),
        ("9999", newest(), None),
        ("9999", "0001", None),
        ("9999", "9998", "install a version that knows 9998"),
        ("9999", None, "install a version that knows 9999"),
    ],
)
def test_which_schema_serves(found, floor, advice):
    """A program works with the schema that it was written for, and with newer ones as long as no
    migration since has raised the floor above it.
    """
    assert Fit(found, floor, newest()).advice == advice


def test_an_old_program_works_with_a_new_schema(empty):
    """A newer schema that says how old a program may be is taken as it is, and `migrate` leaves it
    alone: what it became by a version we do not know.
    """
    migrate(empty)
    with empty.connect() as connection:
        assert schema.fit(connection) == Fit(newest(), "0016", newest())
    rig.run(empty, "update alembic_version set version_num = '9999'")

    migrate(empty)

    with empty.connect() as connection:
        found = schema.fit(connection)
    assert (found, found.advice) == (Fit("9999", "0016", newest()), None)


def test_leaves_no_lock_and_no_setting(empty):
    """After a migration no session holds its lock, and the pool's time limits are as before."""
    migrate(empty)

    # The server sees a moment later that the session was closed.
    rig.until(lambda: rig.count(empty, "pg_locks", "locktype = 'advisory'") == 0)
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


def test_orders_from_before_are_found(empty):
    """An order that was placed before there was a search is found once the schema is migrated."""
    with empty.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    rig.run(
        empty,
        "insert into orders (order_id, number, currency, total_minor, shipping_minor,"
        " fulfillment_status, payment_status, version, customer_name, placed_at)"
        " select 'O-' || n, '#' || n, 'EUR', 100, 0, 'fulfilled', 'paid', 2, 'Zoé', now()"
        " from generate_series(1, 6000) as n",
    )
    rig.run(
        empty,
        "insert into order_lines (order_id, line_id, position, name, sku, item_type, quantity,"
        " gross_minor, tax_minor, discount_minor)"
        " select 'O-1', sku, 0, 'x', sku, 'physical', 1, 100, 0, 0"
        " from unnest('{AB-1,CD}'::text[]) as sku",
    )
    rig.run(
        empty,
        "insert into shipments (shipment_id, order_id, command_id, tracking_number, label,"
        " shipped_at)"
        " values (gen_random_uuid(), 'O-2', gen_random_uuid(), '1Z 9-9', 'none', now())",
    )

    migrate(empty)

    def found(search):
        with empty.connect() as connection:
            rows = lists.orders(connection, lists.Wanted(search=search), limit=9_999)
        return [row["order_id"] for row in rows]

    assert found("zoe ab1 cd") == ["O-1"]
    assert found("1z99") == ["O-2"]
    assert found("#6000") == ["O-6000"]
    assert len(found("ZOE")) == 6000


def test_orders_from_before_can_be_placed_again(empty):
    """The command that placed an order before this was remembered is found by the migration."""
    with empty.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    place = make.place(order=make.placed_order(make.order_line("A")))
    rig.run(
        empty,
        "insert into orders (order_id, currency, total_minor, shipping_minor, fulfillment_status,"
        " payment_status, version, placed_at)"
        " values ('O-1', 'EUR', 300, 0, 'unfulfilled', 'unpaid', 1, now())",
    )
    rig.run(
        empty,
        "insert into commands (id, kind, order_id, body, state, outcome)"
        " values (%(id)s, 'place', 'O-1', %(body)s, 'applied', '{}')",
        id=place.command_id,
        body=orjson.dumps(place.body()).decode(),
    )

    migrate(empty)

    assert rig.one(empty, "select placed_by from orders") == (place.command_id,)


def test_a_fingerprint_from_before_outlives_its_body(empty):
    """A fingerprint that was generated stays as it was, also once its body is emptied: the same
    command is known, and another under its id is not.
    """
    with empty.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
    ship = make.ship()
    body = orjson.dumps([ship.body()]).decode()
    rig.run(empty, "select accept_commands(%(body)s::jsonb)", body=body)
    made = rig.command(empty, ship).fingerprint

    migrate(empty)
    rig.run(empty, "update commands set body = '{}'")

    assert rig.command(empty, ship).fingerprint == made
    (again,) = rig.accepted(empty, ship)
    (other,) = rig.accepted(empty, ship.model_copy(update={"tracking_number": "1Z"}))
    assert (again.answer, other.answer) == ("known", "id_reused")
