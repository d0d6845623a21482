"""`void` and `update_tracking`: what they do to an order and to the shipment they name."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages import NewCarrier
from tests import factories as make
from worker.orders.explain import explain
from worker.orders.model import Decision, FollowUp
from worker.orders.rules import decide, decide_all
from worker.orders.status import fulfillment_status

URL = "https://track.example/1"


def applied(order, command, *shipments, **world) -> Decision:
    decision = decide(order, command, make.world_with(*shipments, **world))
    assert isinstance(decision, Decision), decision
    return decision


def test_void():
    """The units go back, and only they; everything that follows names the shipment."""
    order = make.order(make.line(shipped=3), make.line("B", completed=1, item_type="digital"))
    parcel = make.shipment(label="generate", tracking_number="T1")
    command = make.void(parcel.shipment_id, reason="lost label")

    decision = applied(order, command, parcel)

    line, other = decision.order.lines
    assert (line.shipped, line.voided, line.remaining) == (1, 2, 2)
    assert other == order.lines[1]
    assert decision.order == replace(order, lines=(line, other), version=2)
    assert decision.voided == replace(parcel, voided_at=make.NOW)
    assert (decision.outcome.items, decision.outcome.changed) == (make.items(A=2), True)
    (entry,) = decision.history
    assert (entry.event, entry.details) == (
        "voided",
        {"shipment_id": str(parcel.shipment_id), "items": {"A": 2}, "reason": "lost label"},
    )
    assert decision.followups == (
        FollowUp("emails", "voided", parcel.shipment_id),
        FollowUp("labels", "void", parcel.shipment_id),
    )


def test_void_makes_a_fulfilled_order_unfulfilled():
    """Status follows from the counters, and the units can be cancelled now."""
    order = make.order(make.line(shipped=2, cancelled=1))
    parcel = make.shipment()
    assert fulfillment_status(order) == "fulfilled"

    after = applied(order, make.void(parcel.shipment_id), parcel).order

    assert fulfillment_status(after) == "unfulfilled"
    assert applied(after, make.cancel()).order.lines[0].cancelled == 3


def test_void_of_a_held_order():
    """A hold keeps parcels from leaving; calling one back is the contrary."""
    order = make.order(make.line(shipped=2), hold="fraud check")
    parcel = make.shipment()

    assert applied(order, make.void(parcel.shipment_id), parcel).order.hold == "fraud check"


def test_nobody_is_told_and_no_label_was_made():
    """Told of by default; without a label there is none to void."""
    parcel = make.shipment()
    command = make.void(parcel.shipment_id, notify_customer=False)

    assert applied(make.order(make.line(shipped=2)), command, parcel).followups == (
        FollowUp("emails", "voided", parcel.shipment_id, "switched_off"),
    )


def test_forced():
    """What is in transit is voided only by force, and only then the history says so."""
    order = make.order(make.line(shipped=2))
    for transit, forced in (("in_transit", True), (None, None)):
        parcel = make.shipment(transit=transit)
        command = make.void(parcel.shipment_id, force=True)
        (entry,) = applied(order, command, parcel).history
        assert entry.details.get("forced") is forced


@pytest.mark.parametrize(
    ("parcel", "fields", "expected"),
    [
        # What is left out stays, but the page of what it is no longer.
        (
            {"carrier": "dhl", "carrier_name": "DHL", "tracking_number": "1", "tracking_url": URL},
            {"tracking_number": "2"},
            ("dhl", "DHL", "2", None),
        ),
        (
            {"carrier": "ups", "carrier_name": "UPS", "tracking_number": "1", "tracking_url": URL},
            {"carrier": "dhl"},
            ("dhl", "DHL", "1", None),
        ),
        (
            {"carrier": "dhl", "carrier_name": "DHL", "tracking_number": "1"},
            {"tracking_url": URL},
            ("dhl", "DHL", "1", URL),
        ),
        (
            {"tracking_number": "1"},
            {"new_carrier": NewCarrier(code="bikes", name="Bikes"), "tracking_url": URL},
            ("bikes", "Bikes", "1", URL),
        ),
        # A number that can be only one's tells the carrier, if none is known.
        ({}, {"tracking_number": "1Z999AA10123456784"}, ("ups", "UPS", "1Z999AA10123456784", None)),
        (
            {"carrier": "dhl", "carrier_name": "DHL"},
            {"tracking_number": "1Z999AA10123456784"},
            ("dhl", "DHL", "1Z999AA10123456784", None),
        ),
        # Upstream has words of its own for carriers.
        (
            {"carrier_name": "Own van"},
            {"tracking_number": "1Z999AA10123456784"},
            (None, "Own van", "1Z999AA10123456784", None),
        ),
    ],
)
def test_tracking(parcel, fields, expected):
    """Carrier, its name, number and page afterwards; the order itself is as before."""
    order = make.order(make.line(shipped=2))
    shipment = make.shipment(**parcel)
    command = make.update_tracking(shipment.shipment_id, **fields)

    decision = applied(order, command, shipment, carriers={"dhl": "DHL", "ups": "UPS"})

    after = decision.retracked
    assert expected == (
        after.carrier,
        after.carrier_name,
        after.tracking_number,
        after.tracking_url,
    )
    assert decision.order == replace(order, version=2)
    assert decision.followups == ()
    assert (decision.outcome.items, decision.outcome.changed) == ((), True)


def test_tracking_that_is_told():
    """The customer is told on request; a label of ours is made anew with the number."""
    parcel = make.shipment(label="generate")
    command = make.update_tracking(parcel.shipment_id, tracking_number="T2", notify_customer=True)

    assert applied(make.order(make.line(shipped=2)), command, parcel).followups == (
        FollowUp("emails", "tracking_updated", parcel.shipment_id),
        FollowUp("labels", "relabel", parcel.shipment_id),
    )


def test_tracking_as_it_is():
    """Saying the same again is applied, and changes neither the order nor its version."""
    order = make.order(make.line(shipped=2))
    parcel = make.shipment(
        carrier="dhl", carrier_name="DHL", tracking_number="T1", tracking_url=URL, label="generate"
    )
    for fields in (
        {"carrier": "dhl"},
        {"tracking_number": "T1"},
        {"carrier": "dhl", "tracking_number": "T1", "tracking_url": URL},
    ):
        command = make.update_tracking(parcel.shipment_id, notify_customer=True, **fields)
        decision = applied(order, command, parcel)
        assert decision.outcome.changed is False
        assert decision.order is order
        assert (decision.history, decision.followups, decision.retracked) == ((), (), None)


def test_a_wrong_check_digit_is_a_warning():
    """As for a shipment: nothing is refused, and the warning goes with the number."""
    order = make.order(make.line(shipped=2))
    parcel = make.shipment(carrier="ups", carrier_name="UPS", tracking_number="1Z999AA10123456784")
    wrong = make.update_tracking(parcel.shipment_id, tracking_number="1Z999AA10123456785")
    right = make.update_tracking(parcel.shipment_id, tracking_number="1Z999AA10123456784")

    first, second = decide_all({"O-1": order}, [wrong, right], make.world_with(parcel))

    warning = "the check digit of the tracking number is wrong for UPS"
    assert first.retracked.warning == first.history[0].details["warning"] == warning
    assert second.retracked.warning is None


def test_explain():
    """Each parcel of the order: whether it can be called back, and why not."""
    fine, gone = make.shipment(number=1), make.shipment(number=2, transit="delivered")
    other = make.shipment(number=3)
    world = make.world(
        shipments={
            ("O-1", fine.shipment_id): fine,
            ("O-1", gone.shipment_id): gone,
            ("O-2", other.shipment_id): other,
        }
    )

    found = explain(make.order(make.line(quantity=4, shipped=4)), world).shipments

    assert [(one.shipment_id, one.number) for one in found] == [
        (fine.shipment_id, 1),
        (gone.shipment_id, 2),
    ]
    assert [(one.actions[0].action, one.actions[0].units) for one in found] == [
        ("void", 2),
        ("void", 0),
    ]
    assert (found[0].actions[0].reason, found[1].actions[0].reason) == (None, "in_transit")


acts = st.lists(
    st.tuples(
        st.sampled_from(["ship", "ship", "void", "cancel"]),
        st.integers(0, 5),
        st.integers(0, 2),
    ),
    max_size=14,
)


@settings(max_examples=300)
@given(acts)
def test_void_returns_exactly_what_ship_took(acts):
    """Shipped, called back and shipped again, in one batch: what is shipped is what stands, what is
    voided is what was called back, and no unit is in two places.
    """
    quantities = {"A": 4, "B": 3}
    order = make.order(*(make.line(name, units) for name, units in quantities.items()))
    commands, ships = [], []
    for act, nth, units in acts:
        if act == "ship":
            ships.append(make.ship(items=make.items(A=nth, B=units), policy="clamp"))
            commands.append(ships[-1])
        elif act == "void" and ships:
            commands.append(make.void(ships[nth % len(ships)]))
        else:
            commands.append(make.cancel(items=make.items(A=units), policy="clamp"))

    standing, called_back, cancelled = {}, [], 0
    for command, decision in zip(
        commands, decide_all({"O-1": order}, commands, make.world()), strict=True
    ):
        if not isinstance(decision, Decision):
            assert command.kind != "void" or command.shipment_id not in standing
            continue
        done = {item.line_id: item.quantity for item in decision.outcome.items}
        if command.kind == "ship":
            standing[command.command_id] = done
        elif command.kind == "void":
            assert standing.pop(command.shipment_id) == done
            called_back.append(done)
        else:
            cancelled += done["A"]
        for line in decision.order.lines:
            shipped = sum(parcel.get(line.line_id, 0) for parcel in standing.values())
            voided = sum(parcel.get(line.line_id, 0) for parcel in called_back)
            assert (line.shipped, line.voided) == (shipped, voided)
            assert line.cancelled == (cancelled if line.line_id == "A" else 0)
            assert 0 <= line.shipped + line.completed + line.cancelled <= line.quantity
