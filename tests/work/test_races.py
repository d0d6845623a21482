"""Two drainers and one order: whoever is second sees what the first did. Threads, and processes."""

from contextlib import ExitStack

import pytest

from messages import Payment
from tests import factories as make
from tests.work import rig
from tests.work.process import worker

ROUNDS = 8


@pytest.fixture
def drainers(engine, database_url):
    """Two drainers that share nothing, each claiming one command at a time."""
    other = rig.other_engine(database_url)
    yield [rig.drainer(engine, batch_size=1), rig.drainer(other, batch_size=1)]
    other.dispose()


def race(engine, drainers, make_commands, *lines, **fields):
    """The states of both commands, in each of some rounds on an order of its own."""
    found = []
    for n in range(ROUNDS):
        order_id = f"O-{n}"
        rig.with_lines(engine, *lines, order_id=order_id, **fields)
        both = make_commands(order_id)
        rig.accepted(engine, *both)
        while rig.count(engine, "commands", "state = 'pending'"):
            rig.together(*drainers)
        found.append([rig.state(engine, one) for one in both])
    return found


def test_two_ships_of_the_last_unit(engine, drainers):
    """Two ships of 1 on a line of 1: one is applied, one rejected, 1 is shipped."""
    found = race(
        engine,
        drainers,
        lambda order_id: [make.ship(order_id=order_id, items=make.items(A=1)) for _ in "12"],
        make.order_line("A", 1),
    )

    assert found == [["applied", "rejected"]] * ROUNDS
    assert rig.count(engine, "order_lines", "shipped = 1") == ROUNDS
    assert rig.count(engine, "shipments") == ROUNDS


def test_two_ships_of_one_each(engine, drainers):
    """Two ships of 1 on a line of 3: both are applied and 2 are shipped; no update is lost."""
    found = race(
        engine,
        drainers,
        lambda order_id: [make.ship(order_id=order_id, items=make.items(A=1)) for _ in "12"],
        make.order_line("A", 3),
    )

    assert found == [["applied", "applied"]] * ROUNDS
    assert rig.count(engine, "order_lines", "shipped = 2") == ROUNDS
    assert rig.count(engine, "orders", "version = 3") == ROUNDS


def test_two_cancels_of_the_same_units(engine, drainers):
    """Two cancels of the same 2 of 3 units: one is applied, one rejected, 2 are cancelled."""
    found = race(
        engine,
        drainers,
        lambda order_id: [make.cancel(order_id=order_id, items=make.items(A=2)) for _ in "12"],
        make.order_line("A", 3),
    )

    assert found == [["applied", "rejected"]] * ROUNDS
    assert rig.count(engine, "order_lines", "cancelled = 2") == ROUNDS


def test_two_refunds_of_the_last_cent(engine, drainers):
    """Two refunds of the last cent: one is applied, one rejected, the payment is refunded whole."""
    found = race(
        engine,
        drainers,
        lambda order_id: [make.refund(order_id=order_id, amount=make.money(1)) for _ in "12"],
        make.order_line("A", 1, net_minor=1),
        payments=(Payment(payment_id="P1", captured_minor=1),),
    )

    assert found == [["applied", "rejected"]] * ROUNDS
    assert rig.count(engine, "payments", "refunded_minor = 1 and settled_minor = 0") == ROUNDS
    assert rig.count(engine, "refund_parts") == ROUNDS


def test_opposite_orders_of_locks(engine, database_url):
    """Two batches over the same orders, accepted in opposite order: no deadlock, each command once.

    The commands wait for nothing else: each batch holds all its orders at the same time.
    """
    order_ids = [f"O-{n}" for n in range(40)]
    for order_id in order_ids:
        rig.placed(engine, order_id)
    other = rig.other_engine(database_url)
    for _ in range(3):
        forwards = [make.refund(order_id=one, amount=make.money(0)) for one in order_ids]
        backwards = [make.refund(order_id=one, amount=make.money(0)) for one in order_ids[::-1]]
        rig.accepted(engine, *forwards, *backwards)
        first, second = rig.claimed(engine, limit=40), rig.claimed(engine, limit=40)
        before = deadlocks(engine)

        rig.together(
            lambda b=first: rig.commands(engine).carry_out(b),
            lambda b=second: rig.commands(other).carry_out(b),
        )
        rig.drainer(engine)()

        assert {rig.state(engine, one) for one in (*forwards, *backwards)} == {"rejected"}
        assert deadlocks(engine) == before
    other.dispose()


def deadlocks(engine):
    return rig.one(
        engine, "select deadlocks from pg_stat_database where datname = current_database()"
    )[0]


@pytest.mark.heavy
def test_processes_race(engine, database_url):
    """Three processes on the same commands: of two ships of the last unit one is applied, of sixty
    ships of one order all sixty, in the order of acceptance, each once.
    """
    lasts = []
    for n in range(30):
        rig.with_lines(engine, make.order_line("A", 1), order_id=f"O-{n}")
        lasts += [[make.ship(order_id=f"O-{n}") for _ in "12"]]
    rig.with_lines(engine, make.order_line("A", 60), order_id="BIG")
    ships = [make.ship(order_id="BIG", items=make.items(A=1)) for _ in range(60)]
    mixed = [one for pair in lasts for one in pair]
    for n, ship in enumerate(ships):
        mixed.insert(2 * n, ship)

    with ExitStack() as workers:
        for _ in range(3):
            workers.enter_context(worker(database_url, batch_size=3, lease_s=3))
        rig.accepted(engine, *mixed)
        rig.until(lambda: rig.count(engine, "commands", "state = 'pending'") == 0, within_s=40)

    assert [[rig.state(engine, one) for one in pair] for pair in lasts] == [
        ["applied", "rejected"]
    ] * 30
    versions = [rig.command(engine, one).outcome["order_version"] for one in ships]
    assert versions == list(range(2, 62))
    assert rig.line(engine, order_id="BIG").shipped == 60
    assert rig.count(engine, "commands", "attempts > 0 or crashes > 0") == 0
