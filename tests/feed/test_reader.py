"""The reader that remembers where it is, and those who may only look."""

import pytest

from tests.feed.conftest import read
from tests.feed.test_numbering import seen, tell
from tests.work import rig
from worker.feed.events import CursorGone, events_after, number_for_reading
from worker.feed.reader import Reader


def test_page_after_page(engine):
    """It goes on behind what it has read."""
    with engine.begin() as connection:
        tell(connection, 1, 2, 3)
    reader = Reader(engine, None, None)

    assert [seen(reader.page(2)) for _ in range(3)] == [{1: 1, 2: 2}, {3: 3}, {}]


def test_an_order_without_news_is_not_overtaken(engine):
    """A reader of one order goes on behind what others' events it has passed by: what is removed
    of those was no gap for it.
    """
    with engine.begin() as connection:
        tell(connection, 1, order_id="O-2")
        tell(connection, 2, 3)
    reader = Reader(engine, None, "O-2")
    assert seen(reader.page(10)) == {1: 1}
    assert reader.page(10) == []

    rig.run(engine, "delete from events where number <= 3")
    rig.run(engine, "insert into retention (what, position) values ('events', 3)")

    with engine.begin() as connection:
        tell(connection, 4, order_id="O-2")
    assert seen(reader.page(10)) == {4: 4}


def test_one_that_was_away_for_too_long(engine):
    """It raises instead of going on behind the gap, also the next time."""
    with engine.begin() as connection:
        tell(connection, 1, 2)
    reader = Reader(engine, 0, None)
    assert len(read(engine)) == 2
    rig.run(engine, "delete from events where number <= 1")
    rig.run(engine, "insert into retention (what, position) values ('events', 1)")

    for _ in range(2):
        with pytest.raises(CursorGone):
            reader.page(10)


def test_who_may_only_read(engine):
    """In a transaction that only reads nothing is numbered, and what has a number is read."""
    with engine.begin() as connection:
        tell(connection, 1)
    assert seen(read(engine)) == {1: 1}
    with engine.begin() as connection:
        tell(connection, 2)

    with engine.connect() as connection:
        connection.exec_driver_sql("set transaction read only")
        number_for_reading(connection)
        found = events_after(connection, 0, limit=10)

    assert seen(found) == {1: 1}
    assert rig.count(engine, "events", "number is null") == 1
