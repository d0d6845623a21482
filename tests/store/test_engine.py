"""Connections: their limits, and the guard against forks."""

import os

import pytest
from sqlalchemy.exc import DBAPIError

from tests.work import rig
from worker.errors import explain
from worker.settings import Settings
from worker.store.engine import ForkedEngine, make_engine


def test_limits_end_before_an_actors(database_url):
    """Statement, wait for a lock and idle transaction have limits of their own, from the settings,
    below dramatiq's ten minutes.
    """
    engine = make_engine(
        database_url,
        Settings(
            lock_timeout_ms=1234, statement_timeout_ms=2345, idle_in_transaction_timeout_ms=3456
        ),
    )

    assert rig.one(engine, "show lock_timeout") == ("1234ms",)
    assert rig.one(engine, "show statement_timeout") == ("2345ms",)
    assert rig.one(engine, "show idle_in_transaction_session_timeout") == ("3456ms",)
    engine.dispose()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_the_url(database_url, scheme):
    """`postgres://` and `postgresql://` both mean the driver that we use."""
    engine = make_engine(scheme + database_url.removeprefix("postgresql"), Settings())

    assert engine.url.drivername == "postgresql+psycopg"
    assert rig.one(engine, "select 1") == (1,)
    engine.dispose()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_refused_after_a_fork(engine):
    """A pool that crossed a fork refuses to give connections in the child; the parent's go on."""
    rig.one(engine, "select 1")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # no assert may leave here: this is pytest's process twice
        word = b"no error"
        try:
            engine.connect()
        except ForkedEngine as error:
            word = str(error).encode()
        finally:
            os.write(writer, word)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as words:
        said = words.read()
    os.waitpid(child, 0)

    assert said == f"pool of process {os.getpid()} used in {child}"
    assert rig.one(engine, "select 1") == (1,)


def test_reads_what_no_python_number_or_stack_holds(engine):
    """JSON that PostgreSQL takes and orjson does not is read all the same: a huge number as it is,
    what is beyond Python as its text.
    """
    deep = "[" * 3000 + "]" * 3000

    row = rig.one(engine, f"select '[1{'0' * 400}]'::jsonb, '{deep}'::jsonb, '{{}}'::json")

    assert row == ([10**400], deep, {})


def test_errors_hide_parameters(engine):
    """A database error does not quote what was sent: it may be a customer's name."""
    with pytest.raises(Exception, match="hidden") as raised:
        rig.run(engine, "select %(name)s::int", name="Jane Doe")

    assert "Jane Doe" not in str(raised.value).split("[SQL", 1)[1]


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("select 'Canary \"street\" 7'::uuid", "22P02"),
        ("select '77777777777777777777'::bigint", "22003"),
        ("select '2026-77-01'::date", "22008"),
    ],
)
def test_errors_quote_no_data(engine, statement, state):
    """What is stored of an error has the code and the kind of problem, never the value."""
    with pytest.raises(DBAPIError) as raised:
        rig.one(engine, statement)

    reason, may_heal, message = explain(raised.value)
    assert (reason, may_heal) == (f"database_{state}", False)
    assert "a value" in message
    assert "7" not in message
