"""What each command does when it applies: the rows of the command table in DESIGN.md 5."""

from dataclasses import replace

import pytest

from messages import Applied, Item, NewCarrier, Reason
from messages.outcomes import RefundedLine, RefundedPart, RefundGranted
from tests import factories as make
from worker.orders.model import Decision, Entry, FollowUp, Order, Rejection, Shipment
from worker.orders.refunds import end_part
from worker.orders.rules import decide, decide_all
from worker.orders.status import fulfillment_status
from worker.orders.world import World


def applied(order: Order | None, command, world: World | None = None) -> Decision:
    decision = decide(order, command, world or make.world())
    assert isinstance(decision, Decision), decision
    return decision


def granted(order: Order, command) -> RefundGranted:
    refund = applied(order, command).outcome.refund
    assert refund is not None
    return refund


def mixed_order(**fields) -> Order:
    """Three physical A, two digital B, one physical C."""
    return make.order(
        make.line("A", 3), make.line("B", 2, item_type="digital"), make.line("C", 1), **fields
    )


# ship


def test_ship_without_items_takes_all_that_remains():
    """No items = every physical unit that is neither shipped nor cancelled; digital lines stay."""
    order = make.order(
        make.line("A", 5, shipped=1, cancelled=1), make.line("B", item_type="digital")
    )

    decision = applied(order, make.ship())

    assert decision.outcome == Applied(order_version=2, items=make.items(A=3))
    assert decision.order == replace(
        order, lines=(replace(order.lines[0], shipped=4), order.lines[1]), version=2
    )


def test_ship_by_line_and_quantity():
    """Named quantities are shipped, quantity 0 leaves a line, and so does not naming it."""
    decision = applied(mixed_order(), make.ship(items=make.items(A=2, C=0)))

    assert [line.shipped for line in decision.order.lines] == [2, 0, 0]
    assert decision.outcome.items == make.items(A=2)


def test_quantity_0_leaves_a_line_of_another_type():
    """A form that lists every line can send 0 for those that do not ship."""
    decision = applied(mixed_order(), make.ship(items=make.items(A=1, B=0)))

    assert decision.outcome.items == make.items(A=1)


def test_ship_writes_a_parcel_its_history_and_an_email():
    """The parcel has the command's id, the carrier's name and the caller's time."""
    command = make.ship(carrier="dhl", tracking_number="T1", tracking_url="https://t.example/T1")

    decision = applied(make.order(), command)

    assert decision.shipments == (
        Shipment(
            shipment_id=command.command_id,
            items={"A": 3},
            carrier="dhl",
            carrier_name="DHL",
            tracking_number="T1",
            tracking_url="https://t.example/T1",
            label="none",
            shipped_at=make.NOW,
        ),
    )
    assert decision.history == (
        Entry("shipped", {"items": {"A": 3}, "carrier": "dhl", "tracking_number": "T1"}),
    )
    assert decision.followups == (FollowUp("emails", "shipped", command.command_id),)


def test_ship_can_ask_for_a_label():
    """`label = generate` adds the work of making it; the default makes none."""
    command = make.ship(label="generate")

    assert applied(make.order(), command).followups[1:] == (
        FollowUp("labels", "label", command.command_id),
    )


def test_ship_can_bring_a_carrier():
    """A carrier that comes with the command is added, and known to the rest of the batch."""
    pigeon = NewCarrier(code="pigeon", name="Pigeon Post")
    bring = make.ship(items=make.items(A=1), new_carrier=pigeon)
    use = make.ship(items=make.items(A=1), carrier="pigeon")

    first, second = decide_all({"O-1": make.order()}, [bring, use], make.world())

    assert isinstance(first, Decision)
    assert isinstance(second, Decision)
    assert (first.carrier, second.carrier) == (pigeon, None)
    assert second.shipments[0].carrier_name == "Pigeon Post"


def test_a_carrier_that_is_known_is_not_added_again():
    """The name that is known stays; a producer cannot rename a carrier on the way."""
    command = make.ship(new_carrier=NewCarrier(code="dhl", name="Other"))

    decision = applied(make.order(), command)

    assert decision.carrier is None
    assert decision.shipments[0].carrier_name == "DHL"


@pytest.mark.parametrize(
    ("command", "item_type"),
    [(make.ship, "physical"), (make.complete, "digital"), (make.cancel, "physical")],
    ids=["ship", "complete", "cancel"],
)
def test_clamp_takes_what_is_left(command, item_type):
    """Where `strict` refuses more than remains, `clamp` takes what remains."""
    order = make.order(make.line("A", 5, item_type=item_type, cancelled=3))

    decision = applied(order, command(items=make.items(A=3), policy="clamp"))

    assert decision.outcome.items == make.items(A=2)


@pytest.mark.parametrize("command", [make.ship, make.complete, make.cancel])
def test_email_can_be_switched_off(command):
    """`notify_customer = false` keeps the e-mail as skipped, with the reason."""
    decision = applied(mixed_order(), command(notify_customer=False))

    assert [email.skipped for email in decision.followups] == ["switched_off"]


# complete


def test_complete_without_items_takes_all_that_is_not_physical():
    """No items = every unit left of lines that do not ship."""
    command = make.complete()

    decision = applied(mixed_order(), command)

    assert [line.completed for line in decision.order.lines] == [0, 2, 0]
    assert decision.history == (Entry("completed", {"items": {"B": 2}}),)
    assert decision.followups == (FollowUp("emails", "completed", command.command_id),)
    assert decision.shipments == ()


@pytest.mark.parametrize(
    "item_type", ["digital", "service", "event", "gift_card", "donation", "membership"]
)
def test_everything_but_physical_is_completed(item_type):
    """Each type that is not physical can be completed, by line and quantity."""
    order = make.order(make.line("A", 3, item_type=item_type))

    decision = applied(order, make.complete(items=make.items(A=1)))

    assert decision.order.lines[0].completed == 1


# cancel


def test_cancel_without_items_takes_the_unfulfilled_rest_of_every_line():
    """No items = what is neither done nor cancelled, of physical and other lines; no refund."""
    order = make.order(
        make.line("A", 3, shipped=2), make.line("B", 2, item_type="digital", completed=2)
    )
    command = make.cancel(reason="out of stock")

    decision = applied(order, command)

    assert [line.cancelled for line in decision.order.lines] == [1, 0]
    assert decision.outcome == Applied(order_version=2, items=make.items(A=1))
    assert decision.refunds == ()
    assert decision.history == (Entry("cancelled", {"items": {"A": 1}, "reason": "out of stock"}),)
    assert decision.followups == (FollowUp("emails", "cancelled", command.command_id),)
    assert fulfillment_status(decision.order) == "fulfilled"


def test_cancel_with_full_refund_pays_what_is_cancelled():
    """Only the cancelled units are paid, and they count as refunded."""
    decision = applied(mixed_order(), make.cancel(items=make.items(A=2, B=1), refund="full"))

    assert [line.refunded_units for line in decision.order.lines] == [2, 1, 0]
    assert [line.refunded_minor for line in decision.order.lines] == [200, 100, 0]
    assert [refund.amount_minor for refund in decision.refunds] == [300]


def test_cancel_with_full_refund_does_not_pay_units_twice():
    """It pays min(units cancelled, quantity - refunded_units)."""
    order = make.order(make.line("A", 5, refunded_units=4, refunded_minor=400))

    decision = applied(order, make.cancel(items=make.items(A=3), refund="full"))

    assert decision.order.lines[0].cancelled == 3
    assert decision.order.lines[0].refunded_units == 5
    assert decision.refunds[0].amount_minor == 100


def test_cancel_with_full_refund_of_refunded_units_makes_no_refund():
    """0 = cancelled without a refund row."""
    order = make.order(make.line("A", 3, refunded_units=3, refunded_minor=300))

    decision = applied(order, make.cancel(refund="full"))

    assert decision.order.lines[0].cancelled == 3
    assert decision.refunds == ()
    assert decision.outcome.refund is None


def test_cancel_with_full_refund_leaves_other_lines_their_money():
    """A line with no unit to refund takes nothing of what is left, though it was underpaid."""
    order = make.order(
        make.line("A", 2, refunded_units=2, refunded_minor=150),
        make.line("B", 2),
        payments=make.payments(220),
    )

    decision = applied(order, make.cancel(refund="full"))

    assert [(line.line_id, line.gross_minor) for line in decision.refunds[0].lines] == [("B", 200)]


@pytest.mark.parametrize("captured", [0, 250])
def test_cancel_with_full_refund_never_pays_more_than_is_left(captured):
    """Whatever the policy: what was never paid is not paid back, and the units are cancelled."""
    order = make.order(make.line("A", 3), payments=make.payments(captured))

    decision = applied(order, make.cancel(refund="full"))

    assert decision.order.lines[0].cancelled == 3
    assert decision.order.left_minor == 0
    assert sum(refund.amount_minor for refund in decision.refunds) == captured


def test_units_for_which_nothing_is_left_do_not_count_as_refunded():
    """The money goes to the earlier lines; later ones can be refunded once money is free again."""
    order = make.order(make.line("A", 1), make.line("B", 1), payments=make.payments(100))

    decision = applied(order, make.cancel(refund="full"))

    assert [line.cancelled for line in decision.order.lines] == [1, 1]
    assert [line.refunded_units for line in decision.order.lines] == [1, 0]


def test_cancel_with_full_refund_and_shipping():
    """The shipping fee comes on top of the units."""
    order = make.order(make.line("A", 3), shipping_minor=500)

    decision = applied(order, make.cancel(refund="full", include_shipping=True))

    assert decision.refunds[0].amount_minor == 800
    assert decision.refunds[0].shipping_minor == 500
    assert decision.order.shipping_refunded_minor == 500


def test_cancel_with_an_amount_raises_no_refunded_units():
    """An amount belongs to no line."""
    decision = applied(mixed_order(), make.cancel(items=make.items(A=1), refund=make.money(42)))

    assert decision.refunds[0].amount_minor == 42
    assert decision.refunds[0].lines == ()
    assert [line.refunded_units for line in decision.order.lines] == [0, 0, 0]


@pytest.mark.parametrize(
    ("fields", "paid"),
    [
        ({"refund": make.money(42)}, 42),
        ({"include_shipping": True}, 500),
        ({"refund": "full", "include_shipping": True}, 500),
        ({"refund": make.money(42), "include_shipping": True}, 542),
    ],
    ids=["amount", "fee", "full and fee", "amount and fee"],
)
def test_cancel_of_zeros_with_money_is_a_refund_only(fields, paid):
    """Every quantity 0 with an amount or the fee: no unit is cancelled, no cancel e-mail."""
    order = mixed_order(shipping_minor=500)
    command = make.cancel(items=make.items(A=0, B=0), **fields)

    decision = applied(order, command)

    assert decision.order.lines == order.lines
    assert [entry.event for entry in decision.history] == ["refund_requested"]
    assert [followup.route for followup in decision.followups] == ["refunds"]
    assert decision.outcome.items == ()
    assert decision.refunds[0].amount_minor == paid


@pytest.mark.parametrize(
    "fields", [{"refund": make.money(1)}, {"include_shipping": True}], ids=["amount", "fee"]
)
def test_clamped_cancel_without_money_left_only_cancels(fields):
    """`clamp` pays what is left, and 0 = cancelled without a refund row."""
    order = make.order(shipping_minor=500, payments=())

    decision = applied(order, make.cancel(policy="clamp", **fields))

    assert decision.order.lines[0].cancelled == 3
    assert decision.refunds == ()


def test_clamped_refund_only_without_money_left_is_refused():
    """It would do nothing at all: neither cancel nor pay."""
    order = make.order(shipping_minor=500, payments=())
    command = make.cancel(items=make.items(A=0), include_shipping=True, policy="clamp")

    rejection = decide(order, command, make.world())

    assert rejection == Rejection(Reason.NOTHING_CAPTURED, "nothing was captured for this order")


# refund


def test_refund_of_units_leaves_fulfillment_alone():
    """Quantities of fulfillment stay: a refund is about money."""
    decision = applied(mixed_order(), make.refund(items=make.items(A=1, C=1)))

    assert [line.remaining for line in decision.order.lines] == [3, 2, 1]
    assert [line.refunded_units for line in decision.order.lines] == [1, 0, 1]
    assert decision.outcome.items == ()


def test_refund_of_an_amount():
    """The last cent can be refunded; the amount belongs to no line."""
    decision = applied(mixed_order(), make.refund(amount=make.money(600)))

    assert decision.order.left_minor == 0
    assert [line.refunded_units for line in decision.order.lines] == [0, 0, 0]


def test_refund_of_units_and_shipping():
    """Units and the fee go back together, each on its own line of the refund."""
    order = make.order(shipping_minor=500)

    refund = granted(order, make.refund(items=make.items(A=1), include_shipping=True))

    assert (refund.amount_minor, refund.shipping_minor) == (600, 500)
    assert [line.gross_minor for line in refund.lines] == [100]


def test_part_of_the_shipping_fee_is_refunded_as_an_amount():
    """An amount does not use up the fee: it can still go back whole."""
    order = make.order(shipping_minor=500)

    after = applied(order, make.refund(amount=make.money(200))).order

    assert after.shipping_refunded_minor == 0
    assert granted(after, make.refund(include_shipping=True)).shipping_minor == 500


def test_refund_names_its_lines_and_parts_in_the_orders_own_order():
    """Lines as in the order, payments as captured, whatever order the command had."""
    order = make.order(
        make.line("B", 2, gross_minor=200, tax_minor=33, discount_minor=11),
        make.line("A", 2),
        payments=make.payments(150, 0, 999),
    )
    command = make.refund(items=make.items(A=1, B=1), reason="broken")

    decision = applied(order, command)

    (refund,) = decision.refunds
    first, second = refund.parts
    assert refund.refund_id == command.command_id
    assert decision.outcome.refund == RefundGranted(
        amount_minor=200,
        currency="EUR",
        shipping_minor=0,
        lines=(
            RefundedLine(line_id="B", quantity=1, gross_minor=100, tax_minor=17, discount_minor=6),
            RefundedLine(line_id="A", quantity=1, gross_minor=100, tax_minor=0, discount_minor=0),
        ),
        parts=(
            RefundedPart(part_id=first.part_id, payment_id="P1", amount_minor=150),
            RefundedPart(part_id=second.part_id, payment_id="P3", amount_minor=50),
        ),
    )
    assert decision.history == (
        Entry(
            "refund_requested",
            {"items": {"B": 1, "A": 1}, "parts": {"P1": 150, "P3": 50}, "reason": "broken"},
            200,
        ),
    )
    assert decision.followups == (
        FollowUp("refunds", "settle", first.part_id),
        FollowUp("refunds", "settle", second.part_id),
    )


def test_clamped_refund_of_an_amount_pays_what_is_left():
    """Asked for more than is left, `clamp` pays the rest."""
    assert (
        granted(make.order(), make.refund(amount=make.money(301), policy="clamp")).amount_minor
        == 300
    )


def test_clamped_refund_takes_the_units_that_are_left():
    """Units are clamped as money is."""
    order = make.order(make.line("A", 3, refunded_units=2, refunded_minor=200))

    refund = granted(order, make.refund(items=make.items(A=3), policy="clamp"))

    assert [(line.quantity, line.gross_minor) for line in refund.lines] == [(1, 100)]


def test_clamped_refund_pays_units_first_then_shipping():
    """When not all is left, the units come first and the fee takes the rest."""
    order = make.order(shipping_minor=500, payments=make.payments(450))

    refund = granted(
        order, make.refund(items=make.items(A=2), include_shipping=True, policy="clamp")
    )

    assert (refund.amount_minor, refund.shipping_minor) == (450, 250)


def test_clamp_leaves_out_a_shipping_fee_that_is_gone():
    """`clamp` takes what is left: without the fee, the rest is still paid."""
    order = make.order(shipping_minor=500, shipping_refunded_minor=500)

    refund = granted(
        order, make.refund(amount=make.money(7), include_shipping=True, policy="clamp")
    )

    assert (refund.amount_minor, refund.shipping_minor) == (7, 0)


# any command


@pytest.mark.parametrize(
    "command",
    [make.cancel(), make.refund(amount=make.money(1))],
    ids=["cancel", "refund"],
)
def test_a_held_order_can_be_cancelled_and_refunded(command):
    """A hold stops what leaves the house, nothing else."""
    assert applied(make.order(hold="fraud check"), command).order.hold == "fraud check"


def test_version_counts_applied_commands_only():
    """Placing makes version 1; each applied command adds one, a refused one and news of a
    refund's part add none.
    """
    placed = applied(None, make.place(expected_version=0)).order
    decisions = decide_all(
        {"O-1": make.order()},
        [
            make.refund(amount=make.money(100), expected_version=1),
            make.ship(carrier="pigeon"),
            make.ship(expected_version=2),
        ],
        make.world(),
    )

    assert placed.version == 1
    first, _, last = decisions
    assert isinstance(first, Decision)
    assert isinstance(last, Decision)
    assert last.outcome == Applied(order_version=3, items=(Item(line_id="A", quantity=3),))
    refund = first.refunds[0]
    settled, _ = end_part(first.order, refund, refund.parts[0].part_id, "settled")
    assert settled.version == 2
