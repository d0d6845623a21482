"""After the fact: what `void` and `update_tracking` leave in the database."""

from uuid import uuid4, uuid5

import pytest

from messages import DoneShipment, Item, NewCarrier
from tests import factories as make
from tests.work import rig
from worker.orders.rules import decide
from worker.store import laws


def lawful(engine):
    with engine.connect() as connection:
        return {law: count for law, count in laws.broken(connection).items() if count}


def shipment(engine, command):
    return rig.one(
        engine, "select * from shipments where shipment_id = %(id)s", id=command.command_id
    )


def followups(engine, command):
    found = rig.rows(
        engine,
        "select route, name, subject_id, state, outcome from followups"
        " where command_id = %(id)s order by route, name",
        id=command.command_id,
    )
    return [tuple(one) for one in found]


def history(engine, event):
    found = rig.rows(engine, "select details from history where event = %(event)s", event=event)
    return [details for (details,) in found]


@pytest.fixture
def sent(engine):
    """Two of three units of A, in a parcel with a label."""
    rig.placed(engine)
    command = make.ship(items=make.items(A=2), carrier=None, tracking_number="T1", label="generate")
    assert rig.decided(engine, command) == ["applied"]
    return command


def test_void_gives_the_units_back(engine, sent):
    """Units, status, version, history and follow-ups; the parcel stays, with the moment."""
    void = make.void(sent, reason="wrong address")

    assert rig.decided(engine, void) == ["applied"]

    line = rig.line(engine)
    assert (line.shipped, line.completed, line.cancelled, line.voided) == (0, 0, 0, 2)
    assert rig.one(engine, "select fulfillment_status, version from orders") == ("unfulfilled", 3)
    assert rig.ended(engine, void).outcome["items"] == [{"line_id": "A", "quantity": 2}]
    assert shipment(engine, sent).voided_at is not None
    assert shipment(engine, sent).tracking_number == "T1"
    assert history(engine, "voided") == [
        {"shipment_id": str(sent.command_id), "items": {"A": 2}, "reason": "wrong address"}
    ]
    assert followups(engine, void) == [
        ("emails", "voided", sent.command_id, "pending", None),
        ("labels", "void", sent.command_id, "pending", None),
    ]
    assert lawful(engine) == {}


def test_in_one_batch(engine):
    """Ship, correct, void and ship again in one batch: as if one by one."""
    rig.placed(engine)
    first, second = make.ship(tracking_number="T1"), make.ship(items=make.items(A=1))
    tracking = make.update_tracking(first, tracking_number="T2")
    void, again = make.void(first), make.void(first)

    states = rig.decided(engine, first, tracking, void, again, second)

    assert states == ["applied", "applied", "applied", "rejected", "applied"]
    assert rig.reason(engine, again) == "already_voided"
    assert rig.line(engine).shipped == 1
    assert (shipment(engine, first).tracking_number, shipment(engine, second).voided_at) == (
        "T2",
        None,
    )
    assert shipment(engine, first).voided_at is not None
    assert lawful(engine) == {}


def test_placed_and_voided_in_one_batch(engine):
    """What upstream had sent is called back before the order was ever written."""
    parcel = DoneShipment(items=make.items(A=2))
    place = make.place(order=make.placed_order(shipments=(parcel,)))
    void = make.void(uuid5(place.command_id, "shipment 0"))

    assert rig.decided(engine, place, void) == ["applied", "applied"]

    line = rig.line(engine)
    assert (line.shipped, line.voided) == (0, 2)
    assert lawful(engine) == {}


def test_twice_in_one_batch_of_its_own(engine, sent):
    """Two corrections and a void of a parcel that was there: the last word of each stays."""
    one = make.update_tracking(sent, tracking_number="T2", carrier="dhl")
    two = make.update_tracking(sent, tracking_number="T3")
    void = make.void(sent)

    assert rig.decided(engine, one, two, void) == ["applied"] * 3

    found = shipment(engine, sent)
    assert (found.tracking_number, found.carrier, found.carrier_name) == ("T3", "dhl", "DHL")
    assert found.voided_at is not None
    assert lawful(engine) == {}


@pytest.mark.parametrize("transit", ["in_transit", "delivered", "returned", "exception"])
def test_what_the_carrier_has(engine, sent, transit):
    """Refused with nothing written, unless forced; then the history says so."""
    rig.run(engine, f"update shipments set transit = '{transit}', transit_at = now()")
    before = rig.dump(engine, rig.EFFECTS)
    void = make.void(sent)

    assert rig.decided(engine, void) == ["rejected"]
    assert rig.reason(engine, void) == "in_transit"
    assert rig.dump(engine, rig.EFFECTS) == before

    assert rig.decided(engine, make.void(sent, force=True)) == ["applied"]
    assert history(engine, "voided")[0]["forced"] is True


def test_another_orders_shipment(engine, sent):
    """Is refused as one that is not here, and nothing of either order changes."""
    rig.placed(engine, order_id="O-2")
    before = rig.dump(engine, rig.EFFECTS)
    commands = (
        make.void(sent, order_id="O-2"),
        make.update_tracking(sent, order_id="O-2", tracking_number="T9"),
        make.void(uuid4()),
    )

    assert rig.decided(engine, *commands) == ["rejected"] * 3
    assert {rig.reason(engine, one) for one in commands} == {"shipment_not_found"}
    assert rig.dump(engine, rig.EFFECTS) == before


def test_tracking_is_corrected(engine, sent):
    """Carrier and number change, nobody is told, the drawn label follows."""
    new = NewCarrier(code="pigeon", name="Pigeon Post")
    command = make.update_tracking(sent, new_carrier=new, tracking_number="T2")

    assert rig.decided(engine, command) == ["applied"]

    found = shipment(engine, sent)
    assert (found.carrier, found.carrier_name, found.tracking_number) == (
        "pigeon",
        "Pigeon Post",
        "T2",
    )
    assert history(engine, "tracking_updated") == [
        {
            "shipment_id": str(sent.command_id),
            "changes": {
                "carrier": {"from": None, "to": "pigeon"},
                "carrier_name": {"from": None, "to": "Pigeon Post"},
                "tracking_number": {"from": "T1", "to": "T2"},
            },
        }
    ]
    assert followups(engine, command) == [
        ("labels", "relabel", sent.command_id, "pending", None),
    ]
    assert rig.one(engine, "select version from orders") == (3,)
    assert lawful(engine) == {}


def test_the_weight_is_kept(engine):
    """A parcel's weight is stored for its carrier."""
    rig.placed(engine)
    command = make.ship(weight_g=1250, items=(Item(line_id="A", quantity=1),))
    rig.decided(engine, command)

    assert shipment(engine, command).weight_g == 1250


def test_naming_a_shipment_costs_no_statement(engine, sent):
    """The batch has as many statements with commands that name shipments as without."""
    counts = []
    for commands in ([make.cancel(items=make.items(A=1))], [make.void(sent), make.void(uuid4())]):
        rig.accepted(engine, *commands)
        with rig.statements(engine) as found:
            rig.drainer(engine)()
        counts.append(len([one for one, _ in found if rig.name(one)]))

    assert counts[0] == counts[1]


def test_two_workers_void_one_parcel(engine, database_url, sent):
    """Whoever comes second, by another command, is refused: the units come back once."""
    voids = [make.void(sent) for _ in range(2)]
    rig.accepted(engine, *voids)
    others = [rig.other_engine(database_url) for _ in voids]

    rig.together(*(rig.drainer(one, batch_size=1) for one in others))
    rig.drainer(engine)()

    assert sorted(rig.state(engine, one) for one in voids) == ["applied", "rejected"]
    assert (rig.line(engine).shipped, rig.line(engine).voided) == (0, 2)
    assert lawful(engine) == {}
    for one in others:
        one.dispose()


@pytest.mark.parametrize(
    "wrong",
    [
        "update shipments set voided_at = null",
        "update order_lines set voided = 0",
        "update order_lines set shipped = 2",
    ],
)
def test_the_law_of_parcels(engine, sent, wrong):
    """Whatever of a void is undone by itself breaks the law."""
    rig.decided(engine, make.void(sent))
    rig.run(engine, wrong)

    law = "what a line shipped is what its parcels hold, those apart that were voided"
    assert lawful(engine).get(law) == 1


def test_a_number_that_comes_meanwhile_stays(engine):
    """Who buys a label holds no lock of the order; a correction that says nothing of the number
    leaves the one that came while it was decided.
    """
    rig.placed(engine)
    sent = make.ship()
    rig.decided(engine, sent)
    command = make.update_tracking(sent, carrier="dhl")

    def rules(order, one, world):
        rig.run(engine, "update shipments set tracking_number = 'T1'")
        return decide(order, one, world)

    rig.accepted(engine, command)
    rig.drainer(engine, rules=rules)()

    assert rig.state(engine, command) == "applied"
    found = shipment(engine, sent)
    assert (found.carrier, found.tracking_number) == ("dhl", "T1")
