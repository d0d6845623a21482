"""A shop of any size in a database: a million orders in a few minutes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from worker.store import words

SHOP: Final = Path(__file__).with_name("shop.sql")
FOUND_BY: Final = """
select order_id, placed_at, n::text, customer_name, customer_email, sku_1, sku_2 from bench_shop
order by n
"""
DERIVED: Final = """
select conname, conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint
where connamespace = 'public'::regnamespace and contype in ('f', 'p')
  and conrelid <> 'alembic_version'::regclass
order by contype = 'p', conname
"""
"""Foreign keys first: they stand on the primary ones."""
INDEXES: Final = """
select i.indexname, i.indexdef from pg_indexes i
where i.schemaname = 'public' and not exists (
  select from pg_constraint c where c.conname = i.indexname)
"""

FORGOTTEN: Final = """
-- What happened in the shop, some of it after today, is not told any more.
update retention set ran_at = (
  select max(decided_at) from (
    select decided_at from commands union all select decided_at from followups) as ended)
where what = 'events'
"""


def build(url: str, count: int) -> None:
    """Fill a migrated database without orders with a shop of `count`; statistics included."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"set bench.orders = {count}")
        connection.execute("set synchronous_commit = off")
        connection.execute("set maintenance_work_mem = '512MB'")
        with _without_indexes(connection):
            for statement in SHOP.read_text().split(";\n"):
                connection.execute(statement)
            _add_words(url, connection)
            connection.execute("drop table bench_shop")
            # Or workers would number a million of them beside what is measured.
            connection.execute("truncate events")
            connection.execute(FORGOTTEN)
        connection.execute("vacuum (freeze, analyze)")
        connection.execute("checkpoint")


def _add_words(url: str, connection: psycopg.Connection) -> None:
    """What the orders are found by, made as `place` makes it."""
    with (
        psycopg.connect(url) as other,
        other.cursor("shop") as shop,
        connection.cursor().copy(
            "copy order_words (order_id, placed_at, words) from stdin"
        ) as copy,
    ):
        shop.itersize = 5_000
        for order_id, placed_at, *texts in shop.execute(FOUND_BY):
            found = " ".join(f"'{word}'" for word in words.of_texts(order_id, *texts))
            copy.write_row((order_id, placed_at, found))


@contextmanager
def _without_indexes(connection: psycopg.Connection) -> Iterator[None]:
    """Indexes and keys away meanwhile: made afterwards, each is made once, in order."""
    constraints = connection.execute(DERIVED).fetchall()
    indexes = connection.execute(INDEXES).fetchall()
    for name, table, _ in constraints:
        connection.execute(f"alter table {table} drop constraint {name}")
    for name, _ in indexes:
        connection.execute(f"drop index {name}")
    yield
    for name, table, definition in reversed(constraints):
        connection.execute(f"alter table {table} add constraint {name} {definition}")
    for _, definition in indexes:
        connection.execute(definition)
