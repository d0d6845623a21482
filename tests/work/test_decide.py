"""From acceptance to the outcome: what a drain does to commands, in which order, and what waits."""

import json
from uuid import uuid4

import pytest

from messages import NewCarrier
from tests import factories as make
from tests.work import rig
from worker.work.accept import accept_bodies
from worker.work.claim import COMMANDS_TABLE, Due, claim_suspect, look
from worker.work.queues import pause, resume


def test_ship_to_its_outcome(engine):
    """One ship is applied: line, shipment, history, follow-up and outcome are there, once."""
    rig.placed(engine)
    command = make.ship(items=make.items(A=2), tracking_number="1Z", issued_by="warehouse")

    assert rig.decided(engine, command) == ["applied"]

    row = rig.command(engine, command)
    assert row.outcome == {
        "state": "applied",
        "order_version": 2,
        "changed": True,
        "items": [{"line_id": "A", "quantity": 2}],
        "refund": None,
    }
    assert (row.attempts, row.crashes, row.lease_until, row.waits_for) == (0, 0, None, None)
    assert row.decided_at is not None
    assert rig.line(engine).shipped == 2
    shipment = rig.one(engine, "select * from shipments")
    assert (shipment.shipment_id, shipment.command_id) == (command.command_id,) * 2
    assert shipment.tracking_number == "1Z"
    assert rig.one(engine, "select line_id, quantity from shipment_lines") == ("A", 2)
    history = rig.one(engine, "select * from history order by history_id desc")
    assert (history.event, history.command_id) == ("shipped", command.command_id)
    assert history.issued_by == "warehouse"
    followup = rig.one(engine, "select * from followups")
    assert (followup.route, followup.name, followup.state) == ("emails", "shipped", "pending")
    assert followup.id.int >> 80 == command.command_id.int >> 80  # near it in the index
    order = rig.one(engine, "select * from orders")
    assert (order.version, order.fulfillment_status) == (2, "partially_fulfilled")


def test_refusal_writes_nothing_but_its_outcome(engine):
    """A refused command has its reason stored; no other row is touched."""
    rig.placed(engine)
    before = rig.dump(engine, (*rig.EFFECTS, "strays"))
    command = make.ship(items=make.items(A=4))

    assert rig.decided(engine, command) == ["rejected"]

    assert rig.command(engine, command).outcome == {
        "state": "rejected",
        "reason": "more_than_remains",
        "message": "line A: 4 asked, 3 of 3 left",
    }
    assert rig.dump(engine, (*rig.EFFECTS, "strays")) == before


def mixed(order_id):
    """Commands of one order, of every kind, some refused."""
    order = make.placed_order(
        make.order_line("A", 3),
        make.order_line("B", 2, item_type="digital"),
        payments=(),
    )
    order = order.model_copy(
        update={"payments": make.placed_order().payments} | {"number": order_id}
    )
    carrier = NewCarrier(code="acme", name="Acme")
    return [
        make.place(order_id=order_id, order=order),
        make.ship(order_id=order_id, items=make.items(A=1), new_carrier=carrier),
        make.ship(order_id=order_id, items=make.items(A=5)),
        make.complete(order_id=order_id, items=make.items(B=1)),
        make.ship(order_id=order_id, items=make.items(A=1), carrier="acme"),
        make.ship(order_id=order_id, items=make.items(A=9), policy="clamp"),
        make.cancel(order_id=order_id),
        make.cancel(order_id=order_id),
    ]


def outcomes(engine):
    with engine.begin() as connection:
        return dict(connection.exec_driver_sql("select id, outcome from commands").all())


def test_batch_equals_one_by_one(engine):
    """The same commands in one batch and one by one: the same outcomes, the same effects."""
    together = mixed("O-1")
    alone = [command.model_copy(update={"order_id": "O-2"}) for command in mixed("O-1")]
    rig.accepted(engine, *together)
    rig.drainer(engine)()
    rig.accepted(engine, *alone)
    rig.drainer(engine, batch_size=1)()

    ended = outcomes(engine)
    assert [ended[c.command_id]["state"] for c in together] == [
        "applied",
        "applied",
        "rejected",
        "applied",
        "applied",
        "applied",
        "applied",
        "rejected",
    ]
    assert [ended[c.command_id] for c in together] == [ended[c.command_id] for c in alone]
    for table, columns in {
        "orders": "version, fulfillment_status, payment_status",
        "order_lines": "line_id, shipped, completed, cancelled",
        "history": "event, amount_minor, details",
        "followups": "route, name, state",
    }.items():
        with engine.begin() as connection:
            one, other = (
                connection.exec_driver_sql(
                    f"select {columns} from {table} where order_id = %(id)s order by"
                    f" {'history_id' if table == 'history' else '1, 2, 3'}",
                    {"id": order_id},
                ).all()
                for order_id in ("O-1", "O-2")
            )
        assert one == other, table


@pytest.mark.parametrize("number", [1, 10, 200])
def test_statement_count_is_constant(engine, number):
    """A batch takes five statements, whether it holds 1, 10 or 200 commands of as many orders."""
    orders = [make.place(order_id=f"O-{n}") for n in range(number)]
    assert set(rig.decided(engine, *orders)) == {"applied"}
    rig.accepted(engine, *[make.ship(order_id=f"O-{n}") for n in range(number)])

    with rig.statements(engine) as sent:
        rig.drainer(engine)()

    names = [rig.name(statement) for statement, _ in sent]
    assert names[:5] == [
        "claim",
        "lock_claimed",
        "lock_orders",
        "load",
        "write_batch",
    ]
    assert set(names[5:]) == {"claim"}  # whether there is more, in either lane
    assert rig.count(engine, "shipments") == number


def test_replay_changes_no_row(engine):
    """Delivering all commands a second time, decided ones and refused ones, changes no row."""
    commands = [one for n in range(5) for one in mixed(f"O-{n}")]
    rig.decided(engine, *commands)
    before = rig.dump(engine)

    receipts = rig.accepted(engine, *reversed(commands))
    rig.drainer(engine)()

    assert {receipt.answer for receipt in receipts} == {"known"}
    assert rig.dump(engine) == before


def test_equal_commands_of_two_ids_are_two(engine):
    """Only the id makes a command the same: two ships of 1 under two ids ship 2."""
    rig.placed(engine)

    assert rig.decided(engine, *[make.ship(items=make.items(A=1)) for _ in range(2)]) == [
        "applied",
        "applied",
    ]
    assert rig.line(engine).shipped == 2


# Order (P10).


def test_order_of_acceptance(engine):
    """Commands of one order are decided as they were accepted, whatever their ids are."""
    rig.placed(engine, lines=(make.order_line("A", 60),), total_minor=6000)
    ships = [make.ship(items=make.items(A=n)) for n in range(1, 11)]

    rig.decided(engine, *ships)

    versions = [rig.command(engine, ship).outcome["order_version"] for ship in ships]
    assert versions == list(range(2, 12))
    with engine.begin() as connection:
        shipped = connection.exec_driver_sql(
            "select quantity from history h join shipment_lines s on s.shipment_id = h.command_id"
            " order by history_id"
        ).all()
    assert [quantity for (quantity,) in shipped] == list(range(1, 11))


def test_later_command_waits_for_an_earlier_one_in_other_hands(engine):
    """P10 with two drainers: what the first holds is decided before what the second took of the
    same order; the second gives its row back, uncounted, and passes its neighbours.
    """
    rig.placed(engine)
    rig.placed(engine, "O-2")
    first = make.ship(items=make.items(A=2))
    rig.accepted(engine, first)
    held = rig.claimed(engine)
    second, neighbour = make.ship(), make.ship(order_id="O-2")
    rig.accepted(engine, second, neighbour)

    route = rig.commands(engine)
    batch = rig.claimed(engine)
    assert batch.ids == [second.command_id, neighbour.command_id]
    assert route.carry_out(batch) is True

    row = rig.command(engine, second)
    assert (row.state, row.attempts, row.lease_until, row.waits_for) == ("pending", 0, None, None)
    assert row.due_in_s <= 0
    assert rig.state(engine, neighbour) == "applied"
    assert rig.line(engine).shipped == 0

    assert route.carry_out(held) is True
    rig.drainer(engine)()

    assert rig.command(engine, first).outcome["order_version"] == 2
    assert rig.command(engine, second).outcome["order_version"] == 3
    assert rig.line(engine).shipped == 3


def test_two_drainers_keep_the_order(engine, database_url):
    """Two drainers with batches of 3 on one order of 60 ships: decided in the order of acceptance,
    each once.
    """
    rig.placed(engine, lines=(make.order_line("A", 60),), total_minor=6000)
    other = rig.other_engine(database_url)
    ships = [make.ship(items=make.items(A=1)) for _ in range(60)]
    rig.accepted(engine, *ships)

    drains = [rig.drainer(engine, batch_size=3), rig.drainer(other, batch_size=3)]
    while rig.count(engine, "commands", "state = 'pending'"):
        rig.together(*drains)

    other.dispose()
    versions = [rig.command(engine, ship).outcome["order_version"] for ship in ships]
    assert versions == list(range(2, 62))
    assert rig.line(engine).shipped == 60


def test_earlier_command_that_is_due_later_is_not_starved(engine):
    """An earlier command became due after later ones: they are given back behind it. Given back
    before it, they would be claimed again and again, and it never.
    """
    rig.placed(engine)
    first, *later = [make.ship(items=make.items(A=1)) for _ in range(3)]
    rig.accepted(engine, first, *later)
    rig.run(
        engine,
        "update commands set next_at = next_at - interval '5 seconds' where id <> %(id)s",
        id=first.command_id,
    )

    rig.drainer(engine, batch_size=1)()

    versions = [rig.command(engine, ship).outcome["order_version"] for ship in (first, *later)]
    assert versions == [2, 3, 4]


def test_waiting_command_holds_up_nobody(engine):
    """A command that waits for its predecessor lets later ones of its order pass."""
    rig.placed(engine)
    waiting = make.ship(items=make.items(A=1), after=uuid4())
    later = make.ship(items=make.items(A=2))

    assert rig.decided(engine, waiting, later) == ["pending", "applied"]
    assert rig.command(engine, waiting).waits_for == "predecessor"


def test_failing_command_holds_up_nobody_while_it_waits(engine):
    """A command that failed and is to be tried later lets later ones of its order pass."""
    rig.placed(engine)
    failing, later = make.ship(items=make.items(A=1)), make.ship(items=make.items(A=2))
    rig.accepted(engine, failing)
    rig.drainer(engine, rules=rig.Raising("O-1", KeyError("bug")))()

    assert rig.decided(engine, later) == ["applied"]
    row = rig.command(engine, failing)
    assert (row.state, row.waits_for, row.attempts) == ("pending", "retry", 1)


def test_dead_command_holds_up_nobody(engine):
    """A dead command waits for a person; later ones of its order do not."""
    rig.placed(engine)
    dead = make.ship(items=make.items(A=1))
    with engine.begin() as connection:
        accept_bodies(connection, [dead.body() | {"schema_version": 2}])

    assert rig.decided(engine, make.ship()) == ["applied"]
    assert rig.state(engine, dead) == "dead"


# `after`.


def test_predecessor_later_in_the_batch_comes_first(engine):
    """In a batch a predecessor is decided before its successor, though accepted after it."""
    rig.placed(engine)
    third, second, first = make.ship(), make.ship(), make.ship(items=make.items(A=1))
    second = second.model_copy(update={"after": first.command_id, "items": make.items(A=1)})
    third = third.model_copy(update={"after": second.command_id})

    assert rig.decided(engine, third, second, first) == ["applied"] * 3

    versions = [rig.command(engine, one).outcome["order_version"] for one in (first, second, third)]
    assert versions == [2, 3, 4]


def test_predecessor_decides_and_wakes(engine):
    """A successor waits for a predecessor that is not here; when that is decided it is due at once,
    without any grace having passed.
    """
    rig.placed(engine)
    first = make.ship(items=make.items(A=1))
    second = make.ship(after=first.command_id)
    assert rig.decided(engine, second) == ["pending"]
    rig.run(
        engine,
        "update commands set next_at = now() + interval '1 hour' where kind = 'ship'"
        " and state = 'pending'",
    )

    assert rig.decided(engine, first, second) == ["applied", "applied"]


def test_unknown_predecessor_gets_the_grace(engine):
    """An unknown predecessor is waited for, uncounted, until the grace is over: then
    predecessor_not_found, and nothing is written.
    """
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    unknown = uuid4()
    command = make.ship(after=unknown)

    assert rig.decided(engine, command) == ["pending"]
    row = rig.command(engine, command)
    assert (row.waits_for, row.attempts, row.crashes) == ("predecessor", 0, 0)
    assert 0 < row.due_in_s <= 1

    rig.older(engine, 899, command)
    rig.drainer(engine)()
    assert rig.state(engine, command) == "pending"
    assert rig.command(engine, command).due_in_s <= 1

    rig.older(engine, 1, command)
    rig.drainer(engine)()
    assert rig.command(engine, command).outcome == {
        "state": "rejected",
        "reason": "predecessor_not_found",
        "message": f"command {unknown} is not here",
    }
    assert rig.dump(engine, rig.EFFECTS) == before


def test_rejected_predecessor_fails_its_successors(engine):
    """What comes after a refused command is refused: predecessor_failed, down the chain, in the
    same batch and in a later one.
    """
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    first = make.ship(items=make.items(A=9))
    second = make.ship(after=first.command_id)
    third = make.ship(after=second.command_id)
    late = make.ship(after=third.command_id)

    rig.decided(engine, first, second, third)
    rig.decided(engine, late)

    reasons = [rig.reason(engine, one) for one in (first, second, third, late)]
    assert reasons == ["more_than_remains"] + ["predecessor_failed"] * 3
    assert rig.dump(engine, rig.EFFECTS) == before


def test_discarded_predecessor_fails_its_successors(engine):
    """A predecessor that a person discarded counts as failed."""
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    first = make.ship(items=make.items(A=1))
    rig.accepted(engine, first)
    rig.run(engine, "update commands set state = 'discarded' where state = 'pending'")
    second = make.ship(after=first.command_id)

    rig.decided(engine, second)

    assert rig.reason(engine, second) == "predecessor_failed"
    assert rig.dump(engine, rig.EFFECTS) == before


def test_dead_predecessor_is_waited_for(engine):
    """A dead predecessor may still be replayed: its successors wait, whatever their age."""
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    first = make.ship(items=make.items(A=1))
    with engine.begin() as connection:
        accept_bodies(connection, [first.body() | {"schema_version": 2}])
    second = make.ship(after=first.command_id)
    rig.decided(engine, second)
    rig.older(engine, 100_000, second)

    rig.drainer(engine)()

    row = rig.command(engine, second)
    assert (row.state, row.waits_for, row.attempts) == ("pending", "predecessor", 0)
    assert 29 < row.due_in_s <= 30
    assert rig.dump(engine, rig.EFFECTS) == before


def test_predecessor_of_another_order_is_invalid(engine):
    """`after` names a command of the same order, or the command is refused."""
    rig.placed(engine)
    other = rig.placed(engine, "O-2")
    before = rig.dump(engine, rig.EFFECTS)
    command = make.ship(after=other.command_id)

    rig.decided(engine, command)

    assert rig.command(engine, command).outcome["message"] == "after: a command of another order"
    assert rig.reason(engine, command) == "invalid"
    assert rig.dump(engine, rig.EFFECTS) == before


def test_command_after_itself_is_invalid(engine):
    """A command that comes after itself is refused at once."""
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    command_id = uuid4()
    command = make.ship(command_id=command_id, after=command_id)

    rig.decided(engine, command)

    assert rig.reason(engine, command) == "invalid"
    assert rig.dump(engine, rig.EFFECTS) == before


@pytest.mark.parametrize("batch_size", [1, 200])
def test_circle_is_invalid(engine, batch_size):
    """Commands that come after each other in a circle are each refused as invalid, in one batch and
    one by one; what comes after the circle fails with it.
    """
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    ids = [uuid4() for _ in range(3)]
    circle = [make.ship(command_id=ids[n], after=ids[n - 1]) for n in range(3)]
    tail = make.ship(after=ids[0])
    rig.accepted(engine, *circle, tail)

    rig.drainer(engine, batch_size=batch_size)()

    assert [rig.reason(engine, one) for one in circle] == ["invalid"] * 3
    assert rig.reason(engine, tail) == "predecessor_failed"
    assert rig.dump(engine, rig.EFFECTS) == before


# The order that is not there yet.


def test_unknown_order_gets_the_grace(engine):
    """An order that is not here is waited for with growing patience, uncounted; after the grace
    order_not_found, and nothing is written.
    """
    before = rig.dump(engine, rig.EFFECTS)
    command = make.ship()

    assert rig.decided(engine, command) == ["pending"]
    row = rig.command(engine, command)
    assert (row.waits_for, row.attempts, row.crashes) == ("order", 0, 0)
    assert 0 < row.due_in_s <= 1

    rig.older(engine, 100, command)
    rig.drainer(engine)()
    assert 45 < rig.command(engine, command).due_in_s <= 51

    rig.older(engine, 800, command)
    rig.drainer(engine)()
    assert rig.command(engine, command).outcome == {
        "state": "rejected",
        "reason": "order_not_found",
        "message": "order O-1 is not here",
    }
    assert rig.dump(engine, rig.EFFECTS) == before


def test_grace_is_a_setting(engine):
    """With no grace an unknown order is refused at once."""
    before = rig.dump(engine, rig.EFFECTS)
    command = make.ship()
    rig.accepted(engine, command)

    rig.drainer(engine, grace_s=0)()

    assert rig.reason(engine, command) == "order_not_found"
    assert rig.dump(engine, rig.EFFECTS) == before


def test_place_wakes_what_waits_for_the_order(engine):
    """`place` makes what waits for its order due at once, and nothing else."""
    waiting, other = make.ship(), make.ship(order_id="O-2")
    rig.decided(engine, waiting, other)
    rig.run(engine, "update commands set next_at = now() + interval '1 hour'")

    rig.decided(engine, make.place())

    assert rig.state(engine, waiting) == "applied"
    assert rig.command(engine, other).due_in_s > 3500


def test_what_waited_for_its_place_is_written_after_it(engine):
    """A ship accepted before the `place` of its order: the order is stored as the ship leaves it,
    not as the place made it.
    """
    states = rig.decided(engine, make.ship(items=make.items(A=1)), make.place())

    assert states == ["applied"] * 2
    assert rig.one(engine, "select version, fulfillment_status from orders") == (
        2,
        "partially_fulfilled",
    )
    assert rig.line(engine).shipped == 1


def test_place_in_the_batch_of_what_waits(engine):
    """A `place` accepted after a ship of its order, in one batch: the ship does not wait."""
    ship = make.ship(items=make.items(A=1))
    after = make.ship(after=ship.command_id, items=make.items(A=1))
    last = make.ship(items=make.items(A=1))

    states = rig.decided(engine, ship, after, make.place(), last)

    assert states == ["applied"] * 4
    versions = [rig.command(engine, one).outcome["order_version"] for one in (ship, after, last)]
    assert versions == [2, 3, 4]


# What a command says about itself.


def test_expected_version(engine):
    """A command that expects another version is refused; the right one passes."""
    rig.placed(engine)
    wrong, right = (
        make.ship(items=make.items(A=1), expected_version=0),
        make.ship(items=make.items(A=1), expected_version=1),
    )
    before = rig.dump(engine, rig.EFFECTS)

    assert rig.decided(engine, wrong) == ["rejected"]
    assert rig.reason(engine, wrong) == "version_mismatch"
    assert rig.dump(engine, rig.EFFECTS) == before
    assert rig.decided(engine, right) == ["applied"]


def test_versions_count_applied_commands_only(engine):
    """Refusals and waiting commands do not move the version that later commands expect."""
    rig.placed(engine)
    commands = [
        make.ship(items=make.items(A=9)),
        make.ship(items=make.items(A=1), expected_version=1),
        make.ship(after=uuid4()),
        make.ship(items=make.items(A=1), expected_version=2),
    ]

    assert rig.decided(engine, *commands) == ["rejected", "applied", "pending", "applied"]


def test_policy_clamp_takes_what_is_left(engine):
    """`clamp` ships what remains where `strict` refuses."""
    rig.placed(engine)
    strict = make.ship(items=make.items(A=5))
    clamp = make.ship(items=make.items(A=5), policy="clamp")

    assert rig.decided(engine, strict, clamp) == ["rejected", "applied"]

    assert rig.command(engine, clamp).outcome["items"] == [{"line_id": "A", "quantity": 3}]
    assert rig.line(engine).shipped == 3


def test_carrier_added_on_the_way_serves_the_batch(engine):
    """A carrier that one command brings is known to the next one of the batch, and stored."""
    rig.placed(engine)
    carrier = NewCarrier(code="acme", name="Acme", tracking_url="https://acme/{number}")
    before = make.ship(items=make.items(A=1), carrier="acme")
    brings = make.ship(items=make.items(A=1), new_carrier=carrier)
    uses = make.ship(items=make.items(A=1), carrier="acme")

    assert rig.decided(engine, before, brings, uses) == ["rejected", "applied", "applied"]

    assert rig.reason(engine, before) == "unknown_carrier"
    assert rig.one(engine, "select name, tracking_url from carriers where code = 'acme'") == (
        "Acme",
        "https://acme/{number}",
    )
    assert rig.count(engine, "shipments", "carrier = 'acme' and carrier_name = 'Acme'") == 2


INVALID = [
    ("items.0.quantity", {"items": [{"line_id": "A", "quantity": -1}]}),
    ("items.0.line_id", {"items": [{"line_id": "", "quantity": 1}]}),
    ("tracking_number", {"tracking_number": "x" * 65}),
    ("surprise", {"surprise": 1}),
    ("policy", {"policy": "loose"}),
    ("notify_customer", {"notify_customer": "yes"}),
    ("expected_version", {"expected_version": 10**30}),
    ("issued_at", {"issued_at": "yesterday"}),
    ("schema_version", {"schema_version": "two"}),
    ("schema_version", {"schema_version": 0}),
]


@pytest.mark.parametrize(("field", "extra"), INVALID)
def test_invalid_body_is_refused_with_its_field(engine, field, extra):
    """A readable id and order with an invalid body: rejected(invalid) that names the field; its
    neighbours are applied, and nothing is written.
    """
    rig.placed(engine)
    bad, good = make.ship(), make.ship()
    before = rig.dump(engine, rig.EFFECTS)
    bodies = json.dumps([bad.body() | extra])
    rig.run(engine, "select accept_commands(%(bodies)s::jsonb)", bodies=bodies)

    rig.drainer(engine)()

    assert rig.reason(engine, bad) == "invalid"
    assert rig.command(engine, bad).outcome["message"].startswith(f"{field}: ")
    assert rig.dump(engine, rig.EFFECTS) == before
    assert rig.decided(engine, good) == ["applied"]


def test_future_version_is_dead_until_a_newer_worker(engine):
    """A newer schema version is not judged by this worker: dead, unsupported_version, and nothing
    is written.
    """
    rig.placed(engine)
    before = rig.dump(engine, rig.EFFECTS)
    command = make.ship()
    with engine.begin() as connection:
        accept_bodies(connection, [command.body() | {"schema_version": 2, "new_field": [1]}])

    rig.drainer(engine)()

    row = rig.command(engine, command)
    assert (row.state, row.dead_reason, row.outcome) == ("dead", "unsupported_version", None)
    (error,) = row.errors
    assert (error["reason"], error["message"]) == (
        "unsupported_version",
        "this worker knows version 1",
    )
    assert row.decided_at is not None
    assert rig.dump(engine, rig.EFFECTS) == before


def test_very_deep_body_is_invalid(engine):
    """A body nested 3,000 deep, from a producer of its own, is refused and hurts nobody."""
    rig.placed(engine)
    deep, good = make.ship(), make.ship()
    body = json.dumps(deep.body())[:-1] + ', "x": ' + "[" * 3000 + "]" * 3000 + "}"
    rig.run(engine, "select accept_commands(%(bodies)s::jsonb)", bodies=f"[{body}]")

    assert rig.decided(engine, good) == ["applied"]
    assert rig.reason(engine, deep) == "invalid"


def test_follow_ups_are_told_once_per_route(engine):
    """Routes that got follow-ups are told after the commit, each once for a batch; skipped
    follow-ups tell nobody.
    """
    rig.placed(engine, lines=(make.order_line("A", 9),), total_minor=900)
    told = []

    def staged(route):
        told.append((route, rig.count(engine, "followups")))

    rig.accepted(engine, make.ship(items=make.items(A=1), notify_customer=False))
    rig.drainer(engine, staged=staged)()
    assert told == []
    assert rig.one(engine, "select state, outcome from followups") == (
        "skipped",
        {"skipped": "switched_off"},
    )

    ships = [make.ship(items=make.items(A=1), label="generate") for _ in range(3)]
    rig.accepted(engine, *ships)
    rig.drainer(engine, staged=staged)()
    assert told == [("emails", 7), ("labels", 7)]


def test_paused_route_is_claimed_by_nobody(engine):
    """While its route is paused a command is neither claimed nor taken as a suspect, and no look
    finds it; resumed, it is decided.
    """
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    routes = [(COMMANDS_TABLE, "commands")]

    with engine.begin() as connection:
        pause(connection, "commands", "stock-taking", actor="op")
    rig.drainer(engine)()
    with engine.begin() as connection:
        assert look(connection, routes, lease_s=1) == [
            Due("commands", is_due=False, has_suspects=False)
        ]
        connection.exec_driver_sql("update commands set lease_until = now() - interval '1 s'")
        assert claim_suspect(connection, COMMANDS_TABLE, "commands", lease_s=1) is None
        connection.exec_driver_sql("update commands set lease_until = null")
        assert resume(connection, "commands", actor="op") is True

    assert rig.state(engine, command) == "pending"
    rig.drainer(engine)()
    assert rig.state(engine, command) == "applied"
