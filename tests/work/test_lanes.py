"""Lanes: bulk work waits for urgent work, never the other way round, and neither for ever."""

import itertools

import orjson
import pytest
from sqlalchemy.exc import DBAPIError

from messages import Payment
from tests import factories as make
from tests.work import refund_rig, rig
from worker.orders.model import FollowUp
from worker.postage import purchases
from worker.work.accept import BULK, URGENT
from worker.work.claim import COMMANDS_TABLE, FOLLOWUPS_TABLE, Due, claim, look
from worker.work.drain import Held
from worker.work.followups import Ended, followups_route
from worker.work.queues import pause, resume
from worker.work.ticker import Ticker

NEVER_S = 3_600.0
"""Beyond any test: who looks so seldom looks when told to."""

_names = itertools.count()


def places(number):
    return [make.place(order_id=f"P-{next(_names)}") for _ in range(number)]


def bulk(engine, number):
    """So many new orders, sent as bulk."""
    commands = places(number)
    for start in range(0, number, 1_000):
        rig.accepted(engine, *commands[start : start + 1_000], lane=BULK)
    return commands


def applied(engine, lane):
    return rig.count(engine, "commands", f"lane = {lane} and state = 'applied'")


def steps(engine, **options):
    """A drainer that takes one turn of both lanes for each call."""
    return rig.drainer(engine, turn_s=0, **options)


def test_urgent_is_behind_one_batch_of_bulk(engine):
    """A command that is sent while five thousand are being worked off is decided after the batch
    at hand, with what follows from it.
    """
    bulk(engine, 5_000)
    drain = steps(engine, batch_size=200)
    drain()
    assert applied(engine, BULK) == 200
    (urgent,) = places(1)

    rig.accepted(engine, urgent)
    drain()

    assert rig.state(engine, urgent) == "applied"
    assert applied(engine, BULK) <= 400


def test_a_trickle_holds_up_no_bulk(engine):
    """Urgent batches that are not full each leave a batch of bulk work behind them."""
    bulk(engine, 20)
    drain = steps(engine, batch_size=5)
    done = []

    for _ in range(3):
        rig.accepted(engine, *places(4))
        drain()
        done.append((applied(engine, URGENT), applied(engine, BULK)))

    assert done == [(4, 5), (8, 10), (12, 15)]


def test_full_batches_of_urgent_work_go_alone(engine):
    """While urgent batches are full no bulk work is begun."""
    bulk(engine, 10)
    rig.accepted(engine, *places(12))
    drain = steps(engine, batch_size=5)
    done = []

    for _ in range(4):
        drain()
        done.append((applied(engine, URGENT), applied(engine, BULK)))

    assert done == [(5, 0), (10, 0), (12, 5), (12, 10)]


def test_all_of_both_is_decided(engine):
    """A drain ends when neither lane has anything due."""
    bulk(engine, 30)
    rig.accepted(engine, *places(30))

    rig.drainer(engine, batch_size=7)()

    assert (applied(engine, URGENT), applied(engine, BULK)) == (30, 30)


def test_no_bulk_costs_nothing(engine):
    """Who knows of no bulk work asks for none: the only claims are of the urgent lane."""
    drain = rig.drainer(engine, bulk_look_s=NEVER_S)
    drain()
    rig.accepted(engine, *places(1))

    with rig.statements(engine) as sent:
        drain()

    claims = [parameters for statement, parameters in sent if rig.name(statement) == "claim"]
    assert [one["lane"] for one in claims] == [URGENT]


def ticked(engine, drain):
    hints = []
    Ticker(
        engine,
        {"commands": drain},
        Held(),
        hint=lambda route: hints.append(route) or True,
        lease_s=1,
        batch_limit_s=60,
    ).tick()
    return hints


def test_the_ticker_tells_of_bulk(engine):
    """Bulk work that a drain does not know of is found by the ticker's look, which hints for it;
    when it is done the drain forgets of it.
    """
    drain = rig.drainer(engine, bulk_look_s=NEVER_S)
    drain()
    bulk(engine, 3)
    drain()
    assert applied(engine, BULK) == 0

    assert ticked(engine, drain) == ["commands"]
    assert drain.has_bulk.is_set()
    drain()
    drain()

    assert applied(engine, BULK) == 3
    assert not drain.has_bulk.is_set()


def test_a_drain_looks_for_bulk_now_and_then(engine):
    """Without a ticker bulk work is found as well."""
    drain = rig.drainer(engine)
    drain()
    bulk(engine, 3)

    drain()

    assert applied(engine, BULK) == 3


@pytest.mark.parametrize(("lane", "has_bulk"), [(URGENT, False), (BULK, True)])
def test_look_tells_the_lanes_apart(engine, lane, has_bulk):
    """A look says whether bulk is due; either lane is due work, and has its suspects."""
    rig.accepted(engine, *places(1), lane=lane)

    def due():
        with engine.connect() as connection:
            return look(connection, [(COMMANDS_TABLE, "commands")], lease_s=1)

    assert due() == [Due("commands", is_due=True, has_suspects=False, has_bulk=has_bulk)]
    rig.run(engine, "update commands set lease_until = now() - interval '1 millisecond'")
    assert due() == [Due("commands", is_due=False, has_suspects=True, has_bulk=False)]


def test_suspects_of_both_lanes(engine):
    """What vanished workers held is found in both lanes, the urgent first, each alone."""
    (late,) = bulk(engine, 1)
    (urgent,) = places(1)
    rig.accepted(engine, urgent)
    with engine.begin() as connection:
        for lane in (URGENT, BULK):
            claim(connection, COMMANDS_TABLE, "commands", limit=9, lease_s=1, lane=lane)
    rig.lease_over(engine)
    drain = rig.drainer(engine, turn_s=0, alone_s=0)
    drain.has_suspects.set()

    states = []
    for _ in range(2):
        drain()
        states.append([rig.state(engine, one) for one in (urgent, late)])

    assert states == [["applied", "pending"], ["applied", "applied"]]
    assert rig.command(engine, late).lane == BULK


# The order of acceptance.


def test_urgent_behind_bulk_of_its_order(engine):
    """An urgent command keeps its place behind earlier bulk commands of the same order; these are
    pulled forward, and the rest of the bulk is not.
    """
    rig.placed(engine)
    bulk(engine, 50)
    first = make.ship(items=make.items(A=2))
    rig.accepted(engine, first, lane=BULK)
    second = make.ship(items=make.items(A=2))
    rig.accepted(engine, second)
    drain = steps(engine, batch_size=5)

    for _ in range(3):
        drain()

    assert rig.state(engine, first) == "applied"
    assert rig.reason(engine, second) == "more_than_remains"
    assert rig.command(engine, first).lane == URGENT
    assert applied(engine, BULK) == 15


def claimed(engine, lane):
    with engine.begin() as connection:
        batch = claim(connection, COMMANDS_TABLE, "commands", limit=1, lease_s=60, lane=lane)
    assert batch is not None
    return batch


def test_bulk_in_other_hands_is_left_there(engine):
    """While somebody else has the bulk command that it is behind, an urgent one waits, its drain is
    held up, and nothing is made urgent.
    """
    rig.placed(engine)
    first = make.ship(items=make.items(A=2))
    rig.accepted(engine, first, lane=BULK)
    claimed(engine, BULK)
    second = make.ship(items=make.items(A=2))
    rig.accepted(engine, second)

    assert rig.commands(engine).carry_out(claimed(engine, URGENT)) is False

    assert (rig.state(engine, first), rig.state(engine, second)) == ("pending", "pending")
    assert rig.command(engine, first).lane == BULK


def test_bulk_behind_urgent_of_its_order(engine):
    """A bulk command waits for the urgent one of its order that was accepted before it."""
    rig.placed(engine)
    first = make.ship(items=make.items(A=2))
    rig.accepted(engine, first)
    claimed(engine, URGENT)
    second = make.ship(items=make.items(A=2))
    rig.accepted(engine, second, lane=BULK)

    assert rig.commands(engine).carry_out(claimed(engine, BULK)) is False
    assert rig.state(engine, second) == "pending"
    rig.run(engine, "update commands set lease_until = null")
    rig.drainer(engine)()

    assert rig.state(engine, first) == "applied"
    assert rig.reason(engine, second) == "more_than_remains"


def test_an_order_that_is_placed_in_bulk(engine):
    """An urgent command for an order that a bulk command is about to place comes right after it."""
    bulk(engine, 50)
    place = make.place()
    rig.accepted(engine, place, lane=BULK)
    ship = make.ship(after=place.command_id)
    rig.accepted(engine, ship)
    drain = steps(engine, batch_size=5)

    for _ in range(3):
        drain()

    assert [rig.state(engine, one) for one in (place, ship)] == ["applied", "applied"]


# What follows.


def test_followups_have_their_commands_lane(engine):
    """The e-mail of an urgent command is sent before those of bulk commands that wait, at most a
    batch of which goes first.
    """
    rig.with_lines(engine, make.order_line("A", 50))
    rig.accepted(engine, *(make.ship(items=make.items(A=1)) for _ in range(12)), lane=BULK)
    rig.drainer(engine)()
    urgent = make.ship(items=make.items(A=1))
    assert rig.decided(engine, urgent) == ["applied"]
    told = []
    route = followups_route(engine, "emails", lambda task: told.append(task) or Ended({}))

    drain = rig.drain_of(route, engine, turn_s=0)
    drain()

    assert told[0].command_id == urgent.command_id
    assert len(told) == 1 + route.batch_size
    assert rig.count(engine, "followups", f"lane = {BULK}") == 12
    drain()
    drain()
    assert len(told) == 13


def test_what_is_staged_later_has_the_lane_too(engine):
    """The e-mail about a refund, and what is done with a bought label, are in the lane of the
    command that they go back to.
    """
    paid = (Payment(payment_id="P1", captured_minor=300),)
    rig.placed(engine, payments=paid)
    refund = make.refund(amount=make.money(100))
    rig.accepted(engine, refund, lane=BULK)
    rig.drainer(engine)()

    refund_rig.drain(engine, refund_rig.Scripted(refund_rig.answered("settled", "R1")))
    with engine.begin() as connection:
        purchases.stage(
            connection,
            refund.command_id,
            "O-1",
            FollowUp("tracking", "track", refund.command_id),
        )

    found = rig.rows(engine, "select name, lane from followups order by name")
    assert found == [("refunded", BULK), ("settle", BULK), ("track", BULK)]


# The door.


def test_sql_names_the_lane(engine):
    """`accept_commands` takes a lane, urgent if none is given; a command that is known keeps its
    own; there is no third.
    """
    one, other = make.ship(), make.ship()

    def sent(command, lane=""):
        call = f"select answer from accept_commands(%(bodies)s::jsonb{lane})"
        return rig.one(engine, call, bodies=orjson.dumps([command.body()]).decode())[0]

    assert [sent(one), sent(other, ", lane => 1")] == ["accepted", "accepted"]
    assert sent(one, ", 1::smallint") == "known"
    assert (rig.command(engine, one).lane, rig.command(engine, other).lane) == (URGENT, BULK)
    for lane in ("2", "-1", "null"):
        with pytest.raises(DBAPIError, match="0, urgent, or 1, bulk"):
            sent(make.ship(), f", {lane}")
    assert rig.count(engine, "commands") == 2


@pytest.mark.parametrize("table", [COMMANDS_TABLE, FOLLOWUPS_TABLE], ids=["commands", "followups"])
def test_claims_walk_through_no_bulk(engine, table):
    """What looks for urgent work reads none of the bulk that is due, whatever statistics say."""
    work = {
        "commands": "insert into commands (id, kind, order_id, body, fingerprint, lane, next_at)"
        " select gen_random_uuid(), 'ship', 'B-' || n, '{}', '', 1, now() - interval '1 hour'"
        " from generate_series(1, 3000) n",
        "followups": "insert into followups (id, route, name, order_id, command_id, subject_id,"
        " lane, next_at) select gen_random_uuid(), 'commands', 'x', 'B-' || n,"
        " gen_random_uuid(), gen_random_uuid(), 1, now() - interval '1 hour'"
        " from generate_series(1, 3000) n",
    }
    rig.run(engine, work[table.name])
    with rig.statements(engine) as sent, engine.begin() as connection:
        claim(connection, table, "commands", limit=200, lease_s=1)
        look(connection, [(table, "commands")], lease_s=1)

    read = {rig.name(statement): read_rows(engine, statement, given) for statement, given in sent}

    assert read["claim"] == 0
    assert read["look"] <= 3_001  # suspects: the front of each lane; one row that is due


def read_rows(engine, statement, parameters):
    """How many rows its scans of the due index gave or threw away."""
    with engine.connect() as connection:
        explain = f"explain (analyze, format json) {statement}"
        (plan,) = connection.exec_driver_sql(explain, parameters).scalar_one()
        connection.rollback()
    return sum(map(_rows, _nodes(plan["Plan"])))


def _nodes(node):
    return [node, *itertools.chain(*map(_nodes, node.get("Plans", ())))]


def _rows(node):
    if not node.get("Index Name", "").endswith("_due"):
        assert node["Node Type"] != "Seq Scan" or node["Relation Name"] == "paused_routes"
        return 0
    return (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]


# A pause.


def test_a_pause_is_for_both_lanes_and_for_everybody(engine, database_url):
    """A paused queue is begun by no process, in neither lane, and nobody is told that it is due;
    other queues go on. Resumed, it goes on as it was.
    """
    other = rig.other_engine(database_url)
    drains = [rig.drainer(engine), rig.drainer(other)]
    rig.accepted(engine, *places(1))
    bulk(engine, 1)
    rig.placed(engine)
    with engine.begin() as connection:
        pause(connection, "commands", "stock-taking", actor="Ann")
    waiting = [(lane, make.ship(items=make.items(A=1))) for lane in (URGENT, BULK)]
    for lane, command in waiting:
        rig.accepted(engine, command, lane=lane)
    before = rig.dump(engine)

    for drain in drains:
        drain.has_suspects.set()
        drain()

    assert rig.dump(engine) == before
    assert ticked(engine, drains[0]) == []
    with engine.begin() as connection:
        assert resume(connection, "commands", actor="Ann")
    drains[1]()
    other.dispose()
    assert [rig.state(engine, command) for _, command in waiting] == ["applied", "applied"]


def test_a_paused_queue_of_followups(engine):
    """Follow-ups wait as well, while the commands that stage them are decided."""
    rig.placed(engine)
    with engine.begin() as connection:
        pause(connection, "emails", actor="Ann")
    route = followups_route(engine, "emails", lambda _: Ended({}))

    for lane in (URGENT, BULK):
        rig.accepted(engine, make.ship(items=make.items(A=1)), lane=lane)
    rig.drainer(engine)()
    rig.drain_of(route, engine)()

    assert rig.rows(engine, "select state, claim from followups") == [("pending", None)] * 2
    with engine.begin() as connection:
        resume(connection, "emails", actor="Ann")
    rig.drain_of(route, engine)()
    assert rig.count(engine, "followups", "state = 'done'") == 2
