"""The shop that figures are taken in is one that the worker could have made."""

import pytest

from tests.bench import shop
from tests.work import rig
from worker.store import laws, words

KEYS_AND_INDEXES = """
select
  (select array_agg(conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid))
   from pg_constraint where connamespace = 'public'::regnamespace),
  (select array_agg(indexdef order by indexname) from pg_indexes where schemaname = 'public')
"""


@pytest.fixture
def database_url(new_database_url):
    """A new one: keys and indexes are taken away meanwhile, and ids begin at one."""
    return new_database_url


def named(engine):
    constraints, indexes = rig.one(engine, KEYS_AND_INDEXES)
    return sorted(constraints), indexes


def test_a_shop_obeys_the_laws(engine, database_url):
    """Every order has its commands, history, parcels and refunds, no law is broken, and all keys
    and indexes are there again.
    """
    before = named(engine)

    shop.build(database_url, 2_000)

    with engine.connect() as connection:
        assert set(laws.broken(connection).values()) == {0}
    assert named(engine) == before
    assert rig.count(engine, "orders") == rig.count(engine, "commands", "kind = 'place'") == 2_000
    assert rig.count(engine, "order_lines") == 4_000
    assert rig.count(engine, "commands", "state = 'dead'") == 1
    assert rig.count(engine, "commands", "state = 'pending'") == 0


def test_orders_of_a_shop_have_the_words_of_placed_ones(engine, database_url):
    """They are found by what `place` would have written."""
    shop.build(database_url, 10)

    order = rig.one(
        engine, "select order_id, number, customer_name, customer_email from orders limit 1"
    )
    skus = rig.one(
        engine,
        "select array_agg(sku order by position) from order_lines where order_id = %(id)s",
        id=order.order_id,
    )[0]
    found = rig.one(
        engine,
        "select tsvector_to_array(words) from order_words where order_id = %(id)s",
        id=order.order_id,
    )[0]
    assert sorted(found) == sorted(words.of_texts(*order, *skus))
