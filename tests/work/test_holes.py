"""The holes that a queue in a database has, each planted, and closed: leases, fences, lost updates,
locks held for long, commits whose answer was lost.
"""

import json
import threading
from contextlib import ExitStack
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy import event

from messages import NewCarrier
from messages.wire import COMMANDS
from tests import factories as make
from tests.work import rig
from tests.work.worker_logs import logs_of_a_worker
from worker.orders.rules import decide
from worker.store import orders as store
from worker.work.claim import COMMANDS_TABLE, claim, claim_suspect, lock_claimed
from worker.work.commands import decide_batch
from worker.work.drain import Gate, Held, Route

# The fence.


def test_lease_that_ends_while_b_waits(engine, database_url):
    """B waits for an order, its lease ends meanwhile: its rows are locked, so nobody can take them,
    and the command is applied once.
    """
    rig.placed(engine)
    command = make.ship(items=make.items(A=1))
    rig.accepted(engine, command)
    other = rig.other_engine(database_url)
    first = rig.drainer(engine, lease_s=0.2)
    second = rig.drainer(other)
    second.has_suspects.set()

    with rig.holding(other, "O-1") as holder, rig.running(first):
        rig.until(lambda: waits_for_a_lock(other))
        rig.until(lambda: lease_is_over(other, command))
        second()
        assert rig.state(other, command) == "pending"
        holder.rollback()

    other.dispose()
    row = rig.command(engine, command)
    assert (row.state, row.crashes, row.attempts) == ("applied", 0, 0)
    assert rig.line(engine).shipped == 1
    assert rig.count(engine, "history", "event = 'shipped'") == 1


def test_drainer_that_lost_its_claim_writes_nothing(engine):
    """A drainer that stood still after its claim, beyond its lease, finds its rows with another: it
    writes nothing, and there is one outcome.
    """
    rig.placed(engine)
    taken, mine = make.ship(items=make.items(A=1)), make.ship(items=make.items(A=2))
    rig.accepted(engine, taken, mine)
    late = rig.claimed(engine)
    rig.lease_over(engine, f"id = '{taken.command_id}'")
    second = rig.drainer(engine)
    second.has_suspects.set()
    second()
    assert rig.state(engine, taken) == "applied"
    before = rig.dump(engine, rig.EFFECTS)

    with engine.begin() as connection:
        assert lock_claimed(connection, late).ids == [mine.command_id]
    assert rig.commands(engine).carry_out(late.of([late.rows[0]])) is False
    assert rig.dump(engine, rig.EFFECTS) == before

    assert rig.commands(engine).carry_out(late) is True
    assert rig.line(engine).shipped == 3
    assert rig.count(engine, "history", "event = 'shipped'") == 2


def test_claim_never_repeats(engine):
    """A claim's number is never given twice, not even after a replay has reset the counters: a
    drainer of long ago stays locked out.
    """
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    long_ago = rig.claimed(engine)
    rig.run(
        engine,
        "update commands set state = 'pending', attempts = 0, crashes = 0, alone = false,"
        " claim = null, lease_until = null, next_at = now() where state = 'pending'",
    )
    again = rig.claimed(engine)
    before = rig.dump(engine)

    assert again.claim > long_ago.claim
    assert rig.commands(engine).carry_out(long_ago) is False
    assert rig.dump(engine) == before


def test_leased_rows_are_nobody_elses(engine):
    """What is under a lease is neither claimed nor suspected by another drainer."""
    rig.placed(engine)
    rig.accepted(engine, make.ship())
    rig.claimed(engine)
    before = rig.dump(engine)
    second = rig.drainer(engine)
    second.has_suspects.set()

    second()

    assert rig.dump(engine) == before
    assert not second.has_suspects.is_set()


def test_claims_skip_what_others_lock(engine, database_url):
    """Two claims at one moment share the rows, no row twice, none waits for the other."""
    rig.accepted(engine, *[make.ship(order_id=f"O-{n}") for n in range(20)])
    other = rig.other_engine(database_url)

    with engine.connect() as one, other.connect() as two:
        first = claim(one, COMMANDS_TABLE, "commands", limit=10, lease_s=1)
        second = claim(two, COMMANDS_TABLE, "commands", limit=10, lease_s=1)
        third = claim(two, COMMANDS_TABLE, "commands", limit=10, lease_s=1)
        one.commit()
        two.commit()

    other.dispose()
    assert len({*first.ids, *second.ids}) == 20
    assert third is None


# Lock and load.

MERGED = """
-- lock_and_load: the planted bug, one statement
with locked as materialized (
  select order_id, currency, total_minor, shipping_minor, shipping_refunded_minor, hold, version
  from orders where order_id = any(%(order_ids)s) order by order_id for no key update
)
select l.order_id, line_id, item_type, quantity, gross_minor, shipped, locked.version
from locked join order_lines l using (order_id)
"""


def load_as_it_is(connection, order_ids):
    store.lock(connection, order_ids)
    order = store.load(connection, order_ids)["O-1"]
    return order.version, order.lines[0].shipped


def load_in_one_statement(connection, order_ids):
    row = connection.exec_driver_sql(MERGED, {"order_ids": list(order_ids)}).one()
    return row.version, row.shipped


@pytest.mark.parametrize(
    ("load", "seen"), [(load_as_it_is, (2, 2)), (load_in_one_statement, (2, 0))]
)
def test_lock_and_load_are_two_statements(engine, load, seen):
    """Behind a lock the order's lines are those after the wait. One statement for both, planted
    here, gives the new order with the old line: that is the lost update.
    """
    rig.placed(engine)
    rig.accepted(engine, make.ship(items=make.items(A=2)))
    found = []

    def look():
        with engine.begin() as connection:
            found.append(load(connection, ["O-1"]))

    batch = rig.claimed(engine)
    with engine.connect() as first:
        decide_batch(first, batch, grace_s=900)
        with rig.running(look):
            rig.until(lambda: waits_for_a_lock(engine))
            first.commit()

    assert found == [seen]


def test_drain_sends_lock_and_load_apart(engine):
    """The drain's own statements: what locks reads nothing of an order but its id, and what reads
    locks nothing.
    """
    rig.placed(engine)
    rig.accepted(engine, make.ship())

    with rig.statements(engine) as sent:
        rig.drainer(engine)()

    by_name = {rig.name(statement): statement for statement, _ in sent}
    assert by_name["lock_orders"].split("\n", 2)[2].strip() == (
        "select order_id from orders where order_id = any(%(order_ids)s)\n"
        "order by order_id for no key update"
    )
    assert "for no key update" not in by_name["load"]


def test_row_lock_comes_before_the_first_write(engine):
    """Orders are locked by id, in the order of their ids, after the work rows and before anything
    of them is written; nothing but that one statement writes.
    """
    for order_id in ("O-3", "O-1", "O-2"):
        rig.placed(engine, order_id)
    rig.accepted(engine, *[make.ship(order_id=order_id) for order_id in ("O-2", "O-3", "O-1")])

    with rig.statements(engine) as sent:
        rig.drainer(engine)()

    names = [rig.name(statement) for statement, _ in sent]
    fence, lock = names.index("lock_claimed"), names.index("lock_orders")
    writes = [
        n
        for n, (statement, _) in enumerate(sent)
        if any(
            f"{verb} {table}" in statement
            for verb in ("update", "insert into", "delete from")
            for table in ("orders", "order_lines", "payments", "shipments", "refunds", "history")
        )
    ]
    assert fence < lock < min(writes)
    assert "order by id for no key update" in sent[fence][0]
    assert "order by order_id for no key update" in sent[lock][0]
    assert sent[lock][1] == {"order_ids": ["O-1", "O-2", "O-3"]}
    assert [names[n] for n in writes] == ["write_batch"]


# An order in other hands.


def test_order_held_for_long(engine, database_url):
    """An order that another session holds: after the lock timeout its neighbours pass, its commands
    are due a second later, in order, uncounted, as often as it takes; nobody becomes poison; after
    the release they apply.
    """
    for order_id in ("O-1", "O-2", "O-3"):
        rig.placed(engine, order_id)
    short = rig.other_engine(database_url, lock_timeout_ms=100)
    first, second = make.ship(items=make.items(A=1)), make.ship(items=make.items(A=2))
    neighbours = [make.ship(order_id="O-2"), make.ship(order_id="O-3")]
    rig.accepted(engine, neighbours[0], first, second, neighbours[1])
    drain = rig.drainer(short)

    with rig.holding(engine, "O-1"):
        drain()
        assert [rig.state(engine, one) for one in neighbours] == ["applied"] * 2
        for _ in range(8):
            for one in (first, second):
                row = rig.command(engine, one)
                assert (row.state, row.waits_for) == ("pending", "lock")
                assert (row.attempts, row.crashes, row.lease_until) == (0, 0, None)
                assert 0 < row.due_in_s <= 1
            rig.due_now(engine)
            drain()

    rig.due_now(engine)
    drain()
    short.dispose()
    versions = [rig.command(engine, one).outcome["order_version"] for one in (first, second)]
    assert versions == [2, 3]
    assert [rig.command(engine, one).attempts for one in (first, second)] == [0, 0]


def test_known_lock_is_not_waited_for_again(engine, database_url):
    """A command that waits for a lock is tried without waiting: its neighbours lose no time."""
    rig.placed(engine)
    rig.placed(engine, "O-2")
    short = rig.other_engine(database_url, lock_timeout_ms=100)
    held = make.ship()
    rig.accepted(engine, held)
    drain = rig.drainer(short)

    with rig.holding(engine, "O-1"):
        drain()
        rig.due_now(engine)
        neighbour = make.ship(order_id="O-2")
        rig.accepted(engine, neighbour)
        with rig.statements(short) as sent:
            drain()

    short.dispose()
    (lock,) = [statement for statement, _ in sent if rig.name(statement) == "lock_orders"]
    assert lock.split()[-5:] == ["no", "key", "update", "skip", "locked"]
    assert rig.state(engine, neighbour) == "applied"


def test_new_order_in_other_hands(engine, database_url):
    """An order that appears between lock and load is not ours: its command is due again at once."""
    placing, command = make.place(), make.ship()
    rig.accepted(engine, placing)
    rig.run(engine, "update commands set next_at = now() + interval '1 hour'")
    rig.accepted(engine, command)
    batch = rig.claimed(engine)
    other = rig.other_engine(database_url)

    @event.listens_for(engine, "after_cursor_execute")
    def appear(_, __, statement, *___):
        if rig.name(statement) == "lock_orders":
            rig.due_now(other, "kind = 'place'")
            rig.drainer(other)()

    assert rig.commands(engine).carry_out(batch) is False
    event.remove(engine, "after_cursor_execute", appear)

    other.dispose()
    row = rig.command(engine, command)
    assert (row.state, row.waits_for, row.attempts) == ("pending", None, 0)
    assert row.due_in_s <= 0
    assert rig.line(engine).shipped == 0


# Commits whose answer was lost, and other failures of the moment.


def cut_after(engine, statement_name, *, times=1, commit):
    """Have the connection die right after this statement of B: before its COMMIT, or with the
    COMMIT carried out and its answer lost. Gives what was cut so far.
    """
    cut = []

    @event.listens_for(engine, "after_cursor_execute")
    def kill(connection, _, statement, *__):
        if rig.name(statement) == statement_name and len(cut) < times:
            driver = connection.connection.driver_connection
            cut.append(statement_name)
            if commit:
                driver.execute("commit")
            driver.pgconn.finish()

    return cut


@pytest.mark.parametrize("commit", [True, False])
def test_commit_whose_answer_was_lost(engine, commit):
    """The connection dies at the COMMIT: whether it took place is found by locking the work rows,
    and the effect is there once.
    """
    rig.placed(engine)
    command = make.ship(items=make.items(A=1))
    rig.accepted(engine, command)
    cut = cut_after(engine, "write_batch", commit=commit)

    rig.drainer(engine)()

    assert len(cut) == 1
    row = rig.command(engine, command)
    assert (row.state, row.attempts, row.crashes) == ("applied", 0, 0)
    assert row.outcome["order_version"] == 2
    assert rig.line(engine).shipped == 1
    assert rig.count(engine, "history", "event = 'shipped'") == 1


def test_commit_that_still_runs_is_waited_for(engine, database_url):
    """A transaction whose client is gone may still commit: the next attempt waits for its rows and
    finds them decided, instead of reading the old state.
    """
    rig.placed(engine)
    command = make.ship(items=make.items(A=1))
    rig.accepted(engine, command)
    batch = rig.claimed(engine)
    other = rig.other_engine(database_url)
    results = []

    with other.connect() as gone:
        decide_batch(gone, batch, grace_s=900)
        with rig.running(lambda: results.append(rig.commands(engine).carry_out(batch))):
            rig.until(lambda: waits_for_a_lock(engine))
            gone.commit()

    other.dispose()
    assert results == [False]
    assert rig.command(engine, command).outcome["order_version"] == 2
    assert rig.line(engine).shipped == 1


def test_connection_lost_in_b_is_tried_again(engine):
    """A backend that is terminated in the midst of B costs nothing: the batch goes through on
    another connection, uncounted.
    """
    rig.placed(engine)
    commands = [make.ship(items=make.items(A=1)) for _ in range(2)]
    rig.accepted(engine, *commands)
    killed = []

    def rules(order, command, world):
        if not killed:
            killed.append(command)
            rig.run(
                killer,
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and state = 'idle in transaction'",
            )
        return decide(order, command, world)

    killer = rig.other_engine(engine.url.render_as_string(hide_password=False))
    rig.drainer(engine, rules=rules)()
    killer.dispose()

    assert [rig.state(engine, one) for one in commands] == ["applied"] * 2
    assert [rig.command(engine, one).attempts for one in commands] == [0, 0]
    assert rig.line(engine).shipped == 2


def test_connection_lost_again_and_again_is_a_failure(engine):
    """A command at which the connection breaks three times in a row is counted and tried later; its
    neighbours of the batch are applied at once, and nothing of it is written.
    """
    rig.placed(engine)
    rig.placed(engine, "O-2")
    bad, good = make.ship(), make.ship(order_id="O-2")
    rig.accepted(engine, bad, good)

    @event.listens_for(engine, "after_cursor_execute")
    def kill(connection, _, statement, parameters, *__):
        if rig.name(statement) == "lock_orders" and "O-1" in parameters["order_ids"]:
            connection.connection.driver_connection.pgconn.finish()

    drain = rig.drainer(engine)
    drain()

    row = rig.command(engine, bad)
    assert (row.state, row.attempts, row.crashes) == ("pending", 1, 0)
    assert (row.lease_until, row.waits_for) == (None, "retry")
    assert [error["reason"] for error in row.errors] == ["database_away"]
    assert rig.line(engine).shipped == 0
    assert rig.state(engine, good) == "applied"

    event.remove(engine, "after_cursor_execute", kill)
    rig.due_now(engine)
    drain()
    assert rig.state(engine, bad) == "applied"


def test_database_away_counts_nothing(engine, database_url):
    """When the database goes away in the midst of B and stays away, the drain returns: nothing is
    written, nothing is counted, the leases end by themselves.
    """
    rig.placed(engine)
    commands = [make.ship(items=make.items(A=1)) for _ in range(3)]
    rig.accepted(engine, *commands)
    hit = rig.other_engine(database_url)
    before = rig.dump(engine, rig.EFFECTS)
    refused = []

    @event.listens_for(hit, "after_cursor_execute")
    def kill(connection, _, statement, *__):
        if rig.name(statement) == "write_batch":
            connection.connection.driver_connection.pgconn.finish()
            event.listen(hit, "do_connect", refuse)

    def refuse(*_):
        refused.append(1)
        raise psycopg.OperationalError("planted: the database is away")

    rig.drainer(hit)()

    assert refused
    for one in commands:
        row = rig.command(engine, one)
        assert (row.state, row.attempts, row.crashes, row.errors) == ("pending", 0, 0, [])
        assert row.lease_until is not None
    assert rig.dump(engine, rig.EFFECTS) == before
    hit.dispose()


class Once:
    """Raises what PostgreSQL raises, at the first call, by asking it to."""

    def __init__(self, engine, sqlstate, times=1):
        self.engine = engine
        self.sqlstate = sqlstate
        self.left = times

    def __call__(self, order, command, world):
        if self.left and command.order_id == "O-1":
            self.left -= 1
            rig.run(
                self.engine,
                f"do $$ begin raise exception 'planted' using errcode = '{self.sqlstate}'; end $$",
            )
        return decide(order, command, world)


@pytest.mark.parametrize("sqlstate", ["40P01", "40001", "23505"])
def test_conflicts_are_tried_again_at_once(engine, sqlstate):
    """Deadlock, serialization failure and unique violation: decided again at once, uncounted."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)

    rig.drainer(engine, rules=Once(engine, sqlstate, times=2))()

    row = rig.command(engine, command)
    assert (row.state, row.attempts, row.errors) == ("applied", 0, [])


@pytest.mark.parametrize("sqlstate", ["57014", "53100"])
def test_what_the_server_may_overcome_is_tried_later(engine, sqlstate):
    """A cancelled statement or a full disk is counted and tried some ten seconds later."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    before = rig.dump(engine, rig.EFFECTS)

    rig.drainer(engine, rules=Once(engine, sqlstate))()

    row = rig.command(engine, command)
    assert (row.state, row.attempts, row.waits_for) == ("pending", 1, "retry")
    assert 8.5 < row.due_in_s <= 11
    assert row.errors[0]["reason"] == f"database_{sqlstate}"
    assert rig.dump(engine, rig.EFFECTS) == before


def test_constraint_violation_is_dead_at_once(engine):
    """A CHECK that stops a bug: the command is dead at once, its neighbours of the batch are
    applied, and nothing of it is written.
    """
    rig.placed(engine)
    rig.placed(engine, "O-2")
    bad, good = make.ship(), make.ship(order_id="O-2")
    rig.accepted(engine, bad, good)

    def rules(order, command, world):
        decision = decide(order, command, world)
        if command.order_id == "O-1":
            (line,) = decision.order.lines
            return replace(
                decision, order=replace(decision.order, lines=(replace(line, shipped=4),))
            )
        return decision

    rig.drainer(engine, rules=rules)()

    row = rig.command(engine, bad)
    assert (row.state, row.dead_reason, row.attempts) == ("dead", "database_23514", 1)
    assert "order_lines" in row.errors[0]["message"]
    assert rig.line(engine).shipped == 0
    assert rig.count(engine, "history", f"command_id = '{bad.command_id}'") == 0
    assert rig.state(engine, good) == "applied"


def test_two_places_of_one_order_at_once(engine, database_url):
    """No lock holds a row that is not there: of two `place` of one order at the same time one takes
    it in; the other is decided again and finds nothing new, never dead.
    """
    other = rig.other_engine(database_url)
    for n in range(5):
        both = [make.place(order_id=f"O-{n}"), make.place(order_id=f"O-{n}")]
        rig.accepted(engine, *both)
        # Given back they would wait for each other by P10: two sessions hold them at once only by a
        # claim each before either is in.
        batches = [rig.claimed(engine, limit=1), rig.claimed(engine, limit=1)]
        pairs = zip([rig.commands(engine), rig.commands(other)], batches, strict=True)

        rig.together(*[lambda r=r, b=b: r.carry_out(b) for r, b in pairs])
        rig.drainer(engine)()

        outcomes = [rig.ended(engine, one).outcome for one in both]
        assert [one["changed"] for one in outcomes] == [True, False]
        assert [one["order_version"] for one in outcomes] == [1, 1]
    other.dispose()
    assert rig.count(engine, "orders") == 5
    assert rig.count(engine, "order_lines") == 5


def test_unique_violation_between_two_inserters(engine, database_url):
    """An order that another session inserts and commits while we insert it: decided again on fresh
    data, and refused as the second.
    """
    command = make.place()
    rig.accepted(engine, command)
    batch = rig.claimed(engine)
    other = rig.other_engine(database_url)
    results = []
    statement = (
        "insert into orders (order_id, currency, total_minor, shipping_minor, fulfillment_status,"
        " payment_status, version, placed_at) values ('O-1', 'EUR', 0, 0, 'x', 'x', 1, now())"
    )

    with other.connect() as inserter:
        inserter.exec_driver_sql(statement)
        with rig.running(lambda: results.append(rig.commands(engine).carry_out(batch))):
            rig.until(lambda: waits_for_a_lock(engine))
            inserter.commit()

    other.dispose()
    assert results == [True]
    assert rig.reason(engine, command) == "order_changed"
    assert rig.count(engine, "order_lines") == 0


def test_new_carrier_from_two_sides_at_once(engine, database_url):
    """Two commands bring the same new carrier at the same time: both apply, the carrier is there
    once, the first one names it.
    """
    rig.placed(engine, "O-1")
    rig.placed(engine, "O-2")
    first = make.ship(order_id="O-1", new_carrier=NewCarrier(code="acme", name="First"))
    second = make.ship(order_id="O-2", new_carrier=NewCarrier(code="acme", name="Second"))
    rig.accepted(engine, first, second)
    batches = [rig.claimed(engine, limit=1), rig.claimed(engine, limit=1)]
    other = rig.other_engine(database_url)

    with other.connect() as slow:
        decide_batch(slow, batches[0], grace_s=900)
        with rig.running(lambda: rig.commands(engine).carry_out(batches[1])):
            rig.until(lambda: waits_for_a_lock(engine))
            slow.commit()

    other.dispose()
    assert [rig.state(engine, one) for one in (first, second)] == ["applied"] * 2
    assert rig.one(engine, "select name from carriers where code = 'acme'") == ("First",)
    assert rig.count(engine, "shipments", "carrier = 'acme'") == 2


# Bugs.


def test_bug_is_tried_three_times_then_dead(engine):
    """A command whose rules raise is tried three times, with back-off, then dead as a bug; its
    batch is applied at once, and nothing of it is written.
    """
    rig.placed(engine)
    rig.placed(engine, "O-2")
    bad = make.ship()
    good = [make.ship(order_id="O-2", items=make.items(A=1)) for _ in range(3)]
    rig.accepted(engine, good[0], bad, *good[1:])
    drain = rig.drainer(engine, rules=rig.Raising("O-1", KeyError("jane@example.org")))
    due_in_s = []
    for attempt in (1, 2, 3):
        drain()
        row = rig.command(engine, bad)
        assert row.attempts == attempt
        due_in_s.append(row.due_in_s)
        if attempt < 3:
            assert (row.state, row.waits_for) == ("pending", "retry")
            rig.due_now(engine)

    assert 8.5 < due_in_s[0] <= 11
    assert 26.5 < due_in_s[1] <= 33
    assert (row.state, row.dead_reason, row.crashes) == ("dead", "bug", 0)
    assert [(e["reason"], e["message"]) for e in row.errors] == [("bug", "KeyError")] * 3
    assert all("at" in error for error in row.errors)
    assert [rig.state(engine, one) for one in good] == ["applied"] * 3
    assert rig.line(engine).shipped == 0
    drain()
    assert rig.command(engine, bad).attempts == 3


def test_first_and_last_errors_are_kept(engine):
    """Of many failures five are kept, the first one and the last four."""
    command = make.ship()
    rig.placed(engine)
    rig.accepted(engine, command)
    for sqlstate in ("57014", "53100", "53200", "58030", "55006", "53400", "57014"):
        rig.due_now(engine)
        rig.drainer(engine, rules=Once(engine, sqlstate))()

    row = rig.command(engine, command)
    reasons = [error["reason"] for error in row.errors]
    assert reasons == [
        f"database_{sqlstate}" for sqlstate in ("57014", "58030", "55006", "53400", "57014")
    ]
    assert (row.attempts, row.state) == (7, "dead")


SECRETS = ("jane@example.org", "Jane Doe", "Rue du Bac")


@pytest.mark.parametrize("kind", ["bug", "constraint"])
def test_no_personal_data_in_errors_and_logs(engine, kind):
    """Whatever fails with a customer at hand, neither the row's errors nor the logs quote them."""
    customer = {"name": "Jane Doe", "email": "jane@example.org"}
    order = make.placed_order(customer=customer, ship_to={"lines": ("Rue du Bac",)})
    command = make.place(order=order)
    rig.accepted(engine, command)

    def rules(order, command, world):
        if kind == "bug":
            raise ValueError(f"cannot do {command.order!r}")
        decision = decide(order, command, world)
        (line,) = decision.order.lines
        return replace(decision, order=replace(decision.order, lines=(replace(line, shipped=4),)))

    with logs_of_a_worker() as lines:
        rig.drainer(engine, rules=rules)()

    row = rig.command(engine, command)
    captured = lines.getvalue()
    events = [json.loads(line)["event"] for line in captured.splitlines()]
    assert row.attempts == 1
    assert events == ["work_failed" if kind == "bug" else "work_dead"]
    for secret in SECRETS:
        assert secret not in str(row.errors)
        assert secret not in captured


# What waits meanwhile.


def test_wake_that_arrives_while_another_drains(engine):
    """A call that comes while another thread drains returns at once, and its work is done by that
    thread before it stops: also when it came after that one had looked for the last time.
    """
    rig.placed(engine)
    rig.placed(engine, "O-2")
    rules = rig.Rules("O-1")
    drain = rig.drainer(engine, rules=rules, batch_size=2)
    first, second = make.ship(), make.ship(order_id="O-2")
    rig.accepted(engine, first)

    with rig.running(drain):
        assert rules.reached.wait(10)
        rig.accepted(engine, second)
        drain()
        assert rig.state(engine, second) == "pending"
        rules.go.set()

    assert [rig.state(engine, one) for one in (first, second)] == ["applied"] * 2


def test_wake_in_the_last_moment_is_not_missed(engine):
    """Work accepted after the last claim found nothing, and its wake-up before the drainer left, is
    still done by that drainer.
    """
    rig.placed(engine)
    command = make.ship()
    drain = rig.drainer(engine)
    calls = []

    @event.listens_for(engine, "after_cursor_execute")
    def late(_, __, statement, *___):
        if rig.name(statement) == "claim" and not calls:
            calls.append(statement)
            rig.accepted(engine, command)
            thread = threading.Thread(target=drain)
            thread.start()
            thread.join(10)
            assert not thread.is_alive()

    drain()
    event.remove(engine, "after_cursor_execute", late)

    assert rig.state(engine, command) == "applied"


def test_full_batch_lets_another_thread_in(engine):
    """While batches are full a second thread of the process drains beside the first one, called by
    a hint.
    """
    rig.placed(engine)
    rig.placed(engine, "O-2")
    rules = rig.Rules("O-1")
    hints = []
    drain = rig.drainer(engine, rules=rules, batch_size=1, hint=hints.append)
    first, second = make.ship(), make.ship(order_id="O-2")
    rig.accepted(engine, first, second)

    with rig.running(drain):
        assert rules.reached.wait(10)
        drain()
        assert [rig.state(engine, one) for one in (first, second)] == ["pending", "applied"]
        rules.go.set()

    assert rig.state(engine, first) == "applied"
    assert hints == ["commands"]


def test_drain_that_goes_on_too_long_hints(engine):
    """After its turn a drainer leaves the rest to a fresh hint, so that the thread sees other
    messages; the full batch has hinted before.
    """
    rig.placed(engine)
    rig.accepted(engine, *[make.ship(items=make.items(A=1)) for _ in range(3)])
    hints = []
    seen = []

    def rules(order, command, world):
        seen.append(command)
        return decide(order, command, world)

    rig.drainer(engine, rules=rules, batch_size=1, hint=hints.append, turn_s=0)()

    assert hints == ["commands"] * 2
    assert len(seen) == 1


# Rows whose worker vanished.


def test_suspects_run_alone_and_uncounted(engine):
    """Rows of a worker that vanished run one by one; that they were under its lease counts for
    nothing.
    """
    rig.placed(engine, lines=(make.order_line("A", 200),), total_minor=20_000)
    commands = [make.ship(items=make.items(A=1)) for _ in range(200)]
    rig.accepted(engine, *commands)
    rig.claimed(engine)
    rig.lease_over(engine)
    drain = rig.drainer(engine)
    drain.has_suspects.set()

    with rig.statements(engine) as sent:
        drain()

    names = [rig.name(statement) for statement, _ in sent]
    assert names.count("write_batch") == 200
    assert (
        rig.count(engine, "commands", "state = 'applied' and crashes = 0 and attempts = 0") == 201
    )
    assert rig.line(engine).shipped == 200


def test_only_a_crash_while_alone_counts(engine):
    """The first expired lease makes a row run alone; only when that lease expires as well a crash
    is counted; the third makes it poison, and nothing of it is written.
    """
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    command = make.ship()
    rig.accepted(engine, command)
    rig.claimed(engine)
    crashes = []
    for _ in range(3):
        rig.lease_over(engine)
        with engine.begin() as connection:
            claim_suspect(connection, COMMANDS_TABLE, "commands", lease_s=1)
        row = rig.command(engine, command)
        assert (row.alone, row.state) == (True, "pending")
        crashes.append(row.crashes)
    assert crashes == [0, 1, 2]

    rig.lease_over(engine)
    drain = rig.drainer(engine)
    drain.has_suspects.set()
    drain()

    row = rig.command(engine, command)
    assert (row.state, row.dead_reason) == ("dead", "poison")
    assert row.errors[-1]["message"] == "its worker died 3 times while it ran alone"
    assert rig.dump(engine, rig.EFFECTS) == before


def test_suspect_that_ends_is_no_suspect(engine):
    """A crash is forgotten once the row was answered: it waits or fails like any other."""
    command = make.ship()
    rig.accepted(engine, command)
    rig.claimed(engine)
    for _ in range(2):
        rig.lease_over(engine)
        with engine.begin() as connection:
            claim_suspect(connection, COMMANDS_TABLE, "commands", lease_s=1)
    assert rig.command(engine, command).crashes == 1
    rig.lease_over(engine)
    drain = rig.drainer(engine)
    drain.has_suspects.set()

    drain()

    row = rig.command(engine, command)
    assert (row.state, row.crashes, row.alone, row.lease_until) == ("pending", 0, False, None)
    assert row.waits_for == "order"


def test_suspect_is_alone_in_its_process(engine):
    """While a suspect runs nothing else is leased in the process, on any route; and it begins only
    when nothing is.
    """
    rig.placed(engine)
    rig.placed(engine, "O-2")
    suspect, other = make.ship(), make.ship(order_id="O-2")
    rig.accepted(engine, suspect)
    rig.claimed(engine)
    rig.lease_over(engine)
    rig.accepted(engine, other)
    gate, held = Gate(), Held()
    rules = rig.Rules("O-1")
    drain = rig.drainer(engine, rules=rules, gate=gate, held=held)
    drain.has_suspects.set()
    neighbour = rig.drainer(engine, gate=gate, held=held)

    somebody = ExitStack()
    somebody.enter_context(gate.together())  # carries a batch out
    with rig.running(drain):
        rig.until(lambda: gate._alone)
        with rig.running(neighbour):
            rig.until(lambda: neighbour._drainers == 1)
            assert (rig.command(engine, suspect).alone, held.now()) == (False, [])

            somebody.close()
            assert rules.reached.wait(10)
            assert [batch.ids for batch, _ in held.now()] == [[suspect.command_id]]
            assert rig.command(engine, other).claim is None

            rules.go.set()

    assert [rig.state(engine, one) for one in (suspect, other)] == ["applied"] * 2


def waits_for_a_lock(engine):
    """Whether a session of the database waits for another."""
    return rig.count(
        engine,
        "pg_stat_activity",
        "datname = current_database() and wait_event_type = 'Lock'",
    )


def lease_is_over(engine, command):
    return rig.one(
        engine,
        "select lease_until < now() from commands where id = %(id)s",
        id=command.command_id,
    )[0]


def test_threads_that_hold_each_other_up_make_way(engine):
    """Two threads of a process that find their batches held up do not both go on: one does, alone,
    and nothing that is due is forgotten.
    """
    rig.accepted(engine, *[make.ship(order_id=f"O-{n}") for n in range(6)])
    both_are_in, first_is_in = threading.Barrier(2), threading.Event()
    carried_out = []

    def carry_out(batch):
        carried_out.extend(batch.ids)
        first_is_in.set()
        number = len(carried_out)
        if number <= 2:
            both_are_in.wait(10)
        if number == 3:
            # Whoever is alone waits in vain.
            with pytest.raises(threading.BrokenBarrierError):
                both_are_in.wait(0.3)
        elif number == 4 and not both_are_in.broken:
            both_are_in.wait(10)
        return number > 2

    route = Route(COMMANDS, COMMANDS_TABLE, carry_out, batch_size=1, drainers=3)
    drain = rig.drain_of(route, engine, lease_s=60)

    with rig.running(drain):
        assert first_is_in.wait(10)
        with rig.running(drain):
            pass

    assert len(set(carried_out)) == len(carried_out) == 6
    assert both_are_in.broken
