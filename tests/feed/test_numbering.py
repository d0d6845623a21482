"""Numbers: whoever goes on behind the last one misses nothing and reads nothing twice, in whatever
order transactions commit.
"""

import os
import threading
from collections import defaultdict
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.feed.conftest import read
from tests.work import rig
from worker.feed.events import (
    CursorGone,
    events_after,
    latest,
    number_events,
    number_for_reading,
    oldest,
)

EXAMPLES = int(os.environ.get("FULFILLMENT_FUZZ_EXAMPLES", "12"))
TELL = """
insert into events (type, order_id, command_id, data)
select 'command.applied', %(order_id)s, gen_random_uuid(), jsonb_build_object('n', n)
from unnest(%(numbers)s::integer[]) as n
"""

WAITING = "locktype = 'advisory' and not granted"


def tell(connection, *numbers, order_id="O-1"):
    """Write events, each with a number of the test's own."""
    connection.exec_driver_sql(TELL, {"order_id": order_id, "numbers": list(numbers)})


def seen(events):
    """What the test wrote in them, by their numbers."""
    return {event.number: event.data["n"] for event in events}


def test_commits_in_the_reverse_order_of_their_inserts(engine):
    """The event that was written first and committed last is read last, by a reader that has gone
    on already; the number of the other one stays.
    """
    with engine.connect() as slow:
        tell(slow, 1)
        with engine.begin() as quick:
            tell(quick, 2)
        first = read(engine)
        slow.commit()
    second = read(engine, first[-1].number)

    assert seen(first) == {1: 2}
    assert seen(second) == {2: 1}
    assert seen(read(engine)) == {1: 2, 2: 1}


def test_committed_ones_are_numbered_in_the_order_of_their_inserts(engine):
    """Those that are found together get numbers in the order in which they were written."""
    with engine.begin() as first, engine.begin() as second:
        tell(first, 1)
        tell(second, 2)
        tell(first, 3)

    assert seen(read(engine)) == {1: 1, 2: 2, 3: 3}


def test_what_is_rolled_back_leaves_no_gap(engine):
    """Neither an event nor a numbering that was rolled back takes a number."""
    with engine.connect() as connection:
        tell(connection, 1)
        connection.rollback()
        tell(connection, 2)
        connection.commit()
        assert number_events(connection) == 1
        connection.rollback()

    assert seen(read(engine)) == {1: 2}


def test_a_reader_waits_for_whoever_is_numbering(engine):
    """What was committed before it reads is read, though another has it in hand; who is not patient
    leaves it to the other.
    """
    with engine.begin() as connection:
        tell(connection, 1)
    with engine.connect() as other:
        assert number_events(other) == 1
        with engine.begin() as impatient:
            assert number_events(impatient, patient=False) == 0
        found = []
        with rig.running(lambda: found.extend(read(engine))):
            rig.until(lambda: rig.count(engine, "pg_locks", WAITING))
            other.commit()

    assert seen(found) == {1: 1}


def test_more_than_one_statement_numbers(engine):
    """Chunk by chunk, each behind the one before."""
    with engine.begin() as connection:
        tell(connection, *range(7))
    with engine.begin() as connection:
        assert [number_events(connection, most=3) for _ in range(4)] == [3, 3, 1, 0]

    assert seen(read(engine)) == {n + 1: n for n in range(7)}


def test_pages_and_orders(engine):
    """A page ends at its limit; an order's events keep their numbers."""
    with engine.begin() as connection:
        for n in range(6):
            tell(connection, n, order_id=f"O-{n % 2}")

    assert seen(read(engine, 2, limit=2)) == {3: 2, 4: 3}
    assert seen(read(engine, 2, order_id="O-1")) == {4: 3, 6: 5}
    assert read(engine, 6) == read(engine, 0, order_id="O-7") == []


def test_a_cursor_of_what_was_removed(engine):
    """It is an error that says where to begin again, never a gap; what is kept can be read."""
    with engine.begin() as connection:
        tell(connection, *range(5))
    assert len(read(engine)) == 5
    rig.run(engine, "delete from events where number <= 3")
    rig.run(engine, "insert into retention (what, position) values ('events', 3)")

    with pytest.raises(CursorGone, match="events up to 3 have been removed") as caught:
        read(engine, 2)

    assert caught.value.oldest == 3
    assert seen(read(engine, 3)) == {4: 3, 5: 4}
    with engine.connect() as connection:
        assert (oldest(connection), latest(connection)) == (3, 5)


def test_numbers_go_on_where_all_was_removed(engine):
    """A number that was given is never given again, though no event is left."""
    rig.run(engine, "insert into retention (what, position) values ('events', 9)")
    with engine.begin() as connection:
        tell(connection, 1)

    assert seen(read(engine, 9)) == {10: 1}


def test_a_cursor_of_another_database(engine):
    """One that no event has had yet is an error: it would skip what comes."""
    with pytest.raises(CursorGone, match="no event has the number 1: the latest is 0"):
        read(engine, 1)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.integers(0, 2), st.integers(1, 3)),
        st.tuples(st.sampled_from(["commit", "roll back"]), st.integers(0, 2), st.just(0)),
        st.tuples(st.sampled_from(["number", "read"]), st.just(0), st.integers(1, 4)),
    ),
    max_size=25,
)


def test_however_three_writers_commit(engine):
    """Whatever three transactions at once write, commit and roll back, and whenever it is numbered:
    a reader that goes on from its cursor reads every committed event once, and no number changes.
    """

    @settings(max_examples=EXAMPLES)
    @given(steps=STEPS)
    def run(steps):
        rig.run(engine, "delete from events; delete from retention")
        committed, numbered = followed(engine, steps)
        assert sorted(numbered.values()) == sorted(committed)
        assert seen(read(engine)) == numbered

    run()


def followed(engine, steps):
    """Carries the steps out; what was committed, and what a reader read by number."""
    names = count()
    written: list[list[int]] = [[], [], []]
    committed: set[int] = set()
    numbered: dict[int, int] = {}

    def follow(limit):
        with engine.connect() as connection:
            page = events_after(connection, len(numbered), limit=limit)
        for number, name in seen(page).items():
            assert number == len(numbered) + 1
            numbered[number] = name

    writers = [engine.connect() for _ in written]
    for what, writer, size in steps:
        match what:
            case "tell":
                made = [next(names) for _ in range(size)]
                tell(writers[writer], *made)
                written[writer] += made
            case "commit":
                writers[writer].commit()
                committed.update(written[writer])
                written[writer] = []
            case "roll back":
                writers[writer].rollback()
                written[writer] = []
            case "number":
                with engine.begin() as connection:
                    number_events(connection, most=size)
            case "read":
                follow(size)
    for writer in writers:
        writer.close()
    with engine.begin() as connection:
        number_for_reading(connection)
    follow(1_000)
    return committed, numbered


@pytest.mark.timeout(120)
def test_readers_beside_writers(engine, database_url):
    """Readers that follow while others write, one behind the order's lock after the other, read
    every event once, in the order of their numbers, and an order's in the order of its changes.
    """
    orders, changes = ("O-1", "O-2", "O-3"), 12
    rig.run(engine, "insert into retention (what) select unnest(%(ids)s::text[])", ids=list(orders))
    many = rig.other_engine(database_url)
    is_over = threading.Event()

    def write(order_id):
        for _ in range(changes):
            with many.begin() as connection:
                # The order's lock and its version; a table that is there stands for the orders.
                version = connection.exec_driver_sql(
                    "update retention set position = position + 1 where what = %(id)s"
                    " returning position",
                    {"id": order_id},
                ).scalar_one()
                tell(connection, version, order_id=order_id)

    def follow():
        found = []
        while True:
            was_over = is_over.is_set()
            page = read(many, found[-1].number if found else 0, limit=7)
            found += page
            if was_over and not page:
                return found

    results: list[list] = []
    readers = [threading.Thread(target=lambda: results.append(follow())) for _ in range(2)]
    for reader in readers:
        reader.start()
    rig.together(*[lambda one=one: write(one) for one in orders * 2])
    is_over.set()
    for reader in readers:
        reader.join(60)
    many.dispose()

    total = len(orders) * 2 * changes
    for found in results:
        assert [event.number for event in found] == list(range(1, total + 1))
        by_order = defaultdict(list)
        for event in found:
            by_order[event.order_id].append(event.data["n"])
        assert by_order == {one: list(range(1, 2 * changes + 1)) for one in orders}
    assert len(results) == 2
    assert all(one == other for one, other in pairwise(results))
