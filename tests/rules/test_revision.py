"""An order that upstream places again: what may be added, which form is newer, what is refused."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import (
    Address,
    Customer,
    DoneRefund,
    DoneRefundItem,
    DoneRefundPart,
    DoneShipment,
    Fee,
    Payment,
    PlacedOrder,
    Reason,
)
from tests import factories as make
from worker.orders.model import Decision, Order, Rejection
from worker.orders.rules import decide
from worker.orders.world import World

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)


def paid(payment_id: str, captured_minor: int, **fields: Any) -> Payment:
    return Payment(payment_id=payment_id, captured_minor=captured_minor, **fields)


def placed(form: PlacedOrder) -> tuple[Order, World]:
    """The order as it is once the form was placed, and the world that knows the form."""
    decision = decide(None, make.place(order=form), make.world())
    assert isinstance(decision, Decision), decision
    return decision.order, make.world().after(decision)


def again(first: PlacedOrder, second: PlacedOrder, **fields: Any) -> Decision | Rejection:
    """What placing the second form decides, after the first."""
    order, world = placed(first)
    return decide(replace(order, **fields), make.place(order=second), world)


def refusal(first: PlacedOrder, second: PlacedOrder, **fields: Any) -> str:
    """The sentence of a refusal as `order_changed`."""
    decision = again(first, second, **fields)
    assert isinstance(decision, Rejection), decision
    assert decision.reason == Reason.ORDER_CHANGED
    return decision.message


def test_lines_and_payments_are_added():
    """What is added stands behind what is here, and raises total, version and history."""
    first = make.placed_order(make.order_line("B", 2), payments=(paid("P1", 200),))
    second = make.placed_order(
        make.order_line("A", 3, completed=1, item_type="digital"),
        make.order_line("B", 2),
        payments=(paid("P0", 300), paid("P1", 200)),
    )

    decision = again(first, second)

    assert isinstance(decision, Decision)
    assert decision.order == make.order(
        make.line("B", 2),
        make.line("A", 3, item_type="digital", completed=1),
        payments=(*replace_ids("P1", 200), *replace_ids("P0", 300)),
        version=2,
    )
    assert decision.outcome.model_dump() == {
        "state": "applied",
        "order_version": 2,
        "changed": True,
        "items": (),
        "refund": None,
    }
    (entry,) = decision.history
    assert (entry.event, entry.amount_minor) == ("changed_upstream", 300)
    assert entry.details == {"items": {"A": 3}, "payments": {"P0": 300}}
    assert (decision.followups, decision.shipments, decision.refunds) == ((), (), ())


def replace_ids(payment_id: str, captured_minor: int):
    (one,) = make.payments(captured_minor)
    return (replace(one, payment_id=payment_id),)


def test_added_lines_share_only_the_growth():
    """Lines that are here keep their share of the order's own discount and tax to the minor unit;
    the growth is spread over the added ones by their prices.
    """
    first = make.placed_order(
        make.order_line("A", 1, net_minor=100),
        make.order_line("B", 1, net_minor=100),
        discount_minor=5,
        tax_minor=3,
    )
    second = make.placed_order(
        *first.lines,
        make.order_line("C", 1, net_minor=100),
        make.order_line("D", 1, net_minor=200),
        discount_minor=14,
        tax_minor=10,
    )
    before, _ = placed(first)

    decision = again(first, second)

    assert isinstance(decision, Decision)
    shares = [(x.discount_minor, x.tax_minor, x.gross_minor) for x in decision.order.lines]
    assert shares == [(3, 1, 98), (2, 2, 100), (3, 2, 99), (6, 5, 199)]
    assert decision.order.lines[:2] == before.lines
    assert sum(x.gross_minor for x in decision.order.lines) == second.total_minor == 496


def test_a_growth_that_the_added_lines_cannot_carry_is_refused():
    """A discount larger than the price of what was added is not taken from what was there."""
    first = make.placed_order(make.order_line("A", 5))
    second = make.placed_order(
        *first.lines, make.order_line("B", 1, net_minor=10), discount_minor=11
    )

    decision = again(first, second)

    assert decision == Rejection(
        Reason.TOTAL_MISMATCH, "the order's discount of 11 is more than its lines cost"
    )


OLDER_AND_NEWER = {
    "versions": ({"upstream_version": 1}, {"upstream_version": 2}),
    "times": ({"updated_at": JANUARY}, {"updated_at": FEBRUARY}),
    "versions before times": (
        {"upstream_version": 1, "updated_at": FEBRUARY},
        {"upstream_version": 2, "updated_at": JANUARY},
    ),
}


@pytest.mark.parametrize(("older", "newer"), OLDER_AND_NEWER.values(), ids=OLDER_AND_NEWER)
def test_an_older_form_is_left_aside(older, newer):
    """Upstream's version decides, else its time: an older form changes nothing, however it differs,
    and the newer one stays what the next is compared with.
    """
    first = make.placed_order(make.order_line("A", 3), make.order_line("B", 1), **newer)
    late = make.placed_order(make.order_line("A", 9), **older)
    order, world = placed(first)

    decision = decide(order, make.place(order=late), world)

    assert isinstance(decision, Decision)
    assert decision.order is order
    assert (decision.outcome.changed, decision.outcome.order_version) == (False, 1)
    assert (decision.history, decision.placed) == ((), None)


@pytest.mark.parametrize(("older", "newer"), OLDER_AND_NEWER.values(), ids=OLDER_AND_NEWER)
def test_a_newer_form_is_taken(older, newer):
    """The same, in the order in which upstream placed them."""
    first = make.placed_order(make.order_line("A", 3), **older)
    second = make.placed_order(make.order_line("A", 3), make.order_line("B", 1), **newer)

    decision = again(first, second)

    assert isinstance(decision, Decision)
    assert [line.line_id for line in decision.order.lines] == ["A", "B"]


def test_forms_that_say_nothing_are_taken_as_they_come():
    """Without version and time, or with one of them on one side, acceptance decides."""
    first = make.placed_order(upstream_version=7)
    second = make.placed_order(make.order_line(), make.order_line("B", 1), updated_at=JANUARY)

    decision = again(first, second)

    assert isinstance(decision, Decision)
    assert decision.outcome.changed


def test_the_same_again_changes_nothing_but_is_remembered():
    """A newer form without news leaves the order and its version alone; what comes next is compared
    with it.
    """
    first = make.placed_order(upstream_version=1)
    second = make.placed_order(upstream_version=3)
    order, world = placed(first)

    same = decide(order, make.place(order=second), world)
    assert isinstance(same, Decision)
    late = make.placed_order(make.order_line(), make.order_line("B", 1), upstream_version=2)
    between = decide(same.order, make.place(order=late), world.after(same))

    assert (same.order, same.outcome.changed, same.placed) == (order, False, second)
    assert isinstance(between, Decision)
    assert (between.order, between.outcome.changed) == (order, False)


def test_upstream_holds_and_releases():
    """Upstream's hold comes and goes with its newest form."""
    order, world = placed(make.placed_order(hold="fraud check"))

    released = decide(order, make.place(order=make.placed_order()), world)
    assert isinstance(released, Decision)
    held = decide(
        released.order, make.place(order=make.placed_order(hold="recall")), world.after(released)
    )

    assert isinstance(held, Decision)
    assert (released.order.hold, released.history[0].details) == (None, {"hold": "released"})
    assert (held.order.hold, held.history[0].details) == ("recall", {"hold": "recall"})
    assert isinstance(decide(held.order, make.ship(), world), Rejection)


@pytest.mark.parametrize(
    ("before", "form", "ours", "then"),
    [
        (None, None, "recall", "recall"),
        ("fraud check", "fraud check", None, None),
        ("fraud check", "fraud check", "recall", "recall"),
        # Upstream takes its own hold off, not ours.
        ("fraud check", None, "recall", "recall"),
        ("fraud check", None, "fraud check", None),
        # It says something new.
        (None, "fraud check", "recall", "fraud check"),
        ("fraud check", "address", "recall", "address"),
        ("fraud check", "address", None, "address"),
    ],
)
def test_upstream_leaves_our_hold(before, form, ours, then):
    """What was held or released here stays so while upstream says what it said, and when it takes
    a hold off that is not there any more; what it says anew is taken over.
    """
    order, world = placed(make.placed_order(hold=before))
    order = replace(order, hold=ours)

    decision = decide(order, make.place(order=make.placed_order(hold=form)), world)

    assert isinstance(decision, Decision)
    assert (decision.order.hold, decision.outcome.changed) == (then, then != ours)


def test_an_expected_version_is_asked_for_here_too():
    """A form that was made for another version of the order is refused."""
    order, world = placed(make.placed_order())

    decision = decide(order, make.place(expected_version=0), world)

    assert decision == Rejection(Reason.VERSION_MISMATCH, "expected version 0, the order is at 1")


def test_a_form_that_does_not_tie_is_refused():
    """A newer form must add up by itself."""
    decision = again(make.placed_order(), make.placed_order(total_minor=301))

    assert isinstance(decision, Rejection)
    assert decision.reason == Reason.TOTAL_MISMATCH


BASE: dict[str, Any] = {
    "number": "#1",
    "placed_at": JANUARY,
    "customer": Customer(name="A Name", email="a@example.org"),
    "ship_to": Address(lines=("1 Main Street", "Yard"), city="Utrecht"),
    "fees": (Fee(kind="shipping", net_minor=50),),
    "payments": (paid("P1", 300, method="card"), paid("P2", 50)),
}
OTHER_LINES: dict[str, dict[str, Any]] = {
    "lines.A.quantity differs": {"quantity": 4},
    "lines.A.name differs": {"name": "Other"},
    "lines.A.sku differs": {"sku": "S"},
    "lines.A.item_type differs": {"item_type": "digital"},
}
OTHER_FIELDS: dict[str, dict[str, Any]] = {
    "currency differs": {"currency": "USD"},
    "number differs": {"number": "#2"},
    "placed_at differs": {"placed_at": FEBRUARY},
    "customer.email differs": {"customer": Customer(name="A Name", email="b@example.org")},
    "ship_to.lines.1 differs": {
        "ship_to": Address(lines=("1 Main Street", "Attic"), city="Utrecht")
    },
    "ship_to.lines differs": {"ship_to": Address(lines=("1 Main Street",), city="Utrecht")},
    "billing_address differs": {"billing_address": Address(city="Utrecht")},
    "fees.0.name differs": {"fees": (Fee(kind="shipping", name="Express", net_minor=50),)},
    "payments.P1.captured_minor differs": {
        "payments": (paid("P1", 301, method="card"), paid("P2", 50))
    },
    "payments.P1.method differs": {"payments": (paid("P1", 300), paid("P2", 50))},
    "payments.P2 is gone": {"payments": (paid("P1", 300, method="card"),)},
}


@pytest.mark.parametrize(("message", "fields"), OTHER_FIELDS.items(), ids=OTHER_FIELDS)
def test_any_other_difference_is_refused_with_its_field(message, fields):
    """Nothing else may change, and the sentence names the field, never its values."""
    first = make.placed_order(**BASE)
    second = make.placed_order(**BASE | fields)

    assert refusal(first, second) == message


@pytest.mark.parametrize(("message", "fields"), OTHER_LINES.items(), ids=OTHER_LINES)
def test_a_line_that_is_here_stays_as_it_is(message, fields):
    """A line may be added, never exchanged."""
    first = make.placed_order(make.order_line("A", 3, net_minor=300))
    second = make.placed_order(make.order_line("A", **{"quantity": 3, "net_minor": 300} | fields))

    assert refusal(first, second) == message


def test_a_line_that_is_gone_is_refused():
    """Whatever else was added: a line does not vanish."""
    first = make.placed_order(make.order_line("A"), make.order_line("B"))
    second = make.placed_order(make.order_line("A"), make.order_line("C"))

    assert refusal(first, second) == "lines.B is gone"


@pytest.mark.parametrize("name", ["discount_minor", "tax_minor"])
@pytest.mark.parametrize(("was", "now"), [(5, 6), (5, 4)])
def test_no_line_accounts_for_it(name, was, now):
    """The order's own discount and tax change only with lines that are added, and never shrink."""
    first = make.placed_order(**{name: was})
    second = make.placed_order(**{name: now})

    assert refusal(first, second) == f"{name} differs, and no added line accounts for it"


def test_many_differences_are_counted():
    """The first five are named, the others counted."""
    lines = [make.order_line(line_id) for line_id in "ABCDEFG"]

    message = refusal(make.placed_order(*lines), make.placed_order(make.order_line("Z")))

    assert message == (
        "lines.A is gone; lines.B is gone; lines.C is gone; lines.D is gone; lines.E is gone"
        " and 2 more"
    )


# What is done


def shipped(*quantities: int) -> tuple[DoneShipment, ...]:
    return tuple(DoneShipment(items=make.items(A=n)) for n in quantities)


def gave_back(amount_minor: int, units: int = 0, shipping_minor: int = 0) -> DoneRefund:
    items = (DoneRefundItem(line_id="A", quantity=units, gross_minor=units),) if units else ()
    part = DoneRefundPart(payment_id="P1", amount_minor=amount_minor)
    return DoneRefund(parts=(part,), items=items, shipping_minor=shipping_minor)


def form(**fields: Any) -> PlacedOrder:
    """Three of A for one euro each and a shipping fee of 50, paid."""
    line = make.order_line(
        "A", completed=fields.pop("completed", 0), cancelled=fields.pop("cancelled", 0),
        item_type=fields.pop("item_type", "physical"),
    )  # fmt: skip
    defaults = {"fees": (Fee(kind="shipping", net_minor=50),), "payments": (paid("P1", 350),)}
    return make.placed_order(line, **defaults | fields)


DONE: dict[str, list[dict[str, Any]]] = {
    # What upstream tells more and more of, by the field that is named.
    "lines.A.shipped": [{}, {"shipments": shipped(1)}, {"shipments": shipped(1, 1)}],
    "lines.A.completed": [{"item_type": "digital", "completed": n} for n in (0, 1, 2)],
    "lines.A.cancelled": [{"cancelled": n} for n in (0, 1, 2)],
    "lines.A.refunded": [
        {"refunds": (gave_back(9), *(gave_back(1, units=1) for _ in range(n)))} for n in (0, 1, 2)
    ],
    "payments.P1.refunded_minor": [
        {}, {"refunds": (gave_back(1),)}, {"refunds": (gave_back(2),)}
    ],
    "shipping_refunded_minor": [
        {"refunds": (gave_back(50, shipping_minor=n),)} for n in (0, 1, 2)
    ],
}  # fmt: skip


@pytest.mark.parametrize("field", DONE)
def test_upstream_may_tell_of_what_is_done_here_or_not(field):
    """Between what it told before and what is done here, upstream may tell anything: it hears of
    things late. Nothing that was done here vanishes by that.
    """
    none, some, most = (form(**fields) for fields in DONE[field])
    here, _ = placed(most)
    _, world = placed(none)

    for told in (none, some, most):
        decision = decide(here, make.place(order=told), world)

        assert isinstance(decision, Decision), decision
        assert (decision.order, decision.outcome.changed) == (here, False)


@pytest.mark.parametrize("field", DONE)
def test_what_was_told_once_may_not_vanish(field):
    """A form that tells less than the one before it is refused, naming the field."""
    _, some, most = (form(**fields) for fields in DONE[field])

    assert f"{field}: was " in refusal(most, some)


@pytest.mark.parametrize("field", DONE)
def test_what_is_not_done_here_is_not_guessed(field):
    """A form that tells of more than is done here is refused: only a command does it here."""
    _, some, most = (form(**fields) for fields in DONE[field])

    message = refusal(some, most)

    assert f"{field}: upstream has " in message


def test_an_added_line_is_shipped_by_a_command_only():
    """A parcel with a line that was not here is not guessed either."""
    second = make.placed_order(
        make.order_line("A"),
        make.order_line("B", 1),
        shipments=(DoneShipment(items=make.items(B=1)),),
    )

    assert refusal(make.placed_order(), second) == "lines.B.shipped: upstream has 1, here are 0"


forms = st.lists(
    st.tuples(st.integers(1, 500), st.integers(1, 5), st.integers(0, 40), st.integers(0, 40)),
    min_size=1,
    max_size=4,
)


@given(st.lists(forms, min_size=2, max_size=4))
def test_whatever_is_added_the_order_ties(steps):
    """However often lines are added with growing discount and tax of the order: lines that were
    here stay as they are, and the sum of gross is upstream's total.
    """
    lines: list[Any] = []
    discount_minor = tax_minor = 0
    order: Order | None = None
    world = make.world()
    for step in steps:
        before = order.lines if order else ()
        for net_minor, quantity, discount, tax in step:
            line_id = f"L{len(lines)}"
            lines.append(make.order_line(line_id, quantity, net_minor=net_minor))
            discount_minor += min(discount, net_minor)
            tax_minor += tax
        sent = make.placed_order(*lines, discount_minor=discount_minor, tax_minor=tax_minor)

        decision = decide(order, make.place(order=sent), world)

        assert isinstance(decision, Decision), decision
        order, world = decision.order, world.after(decision)
        assert order.lines[: len(before)] == before
        assert (
            sum(line.gross_minor for line in order.lines) == order.total_minor == sent.total_minor
        )
        assert sum(line.discount_minor for line in order.lines) == discount_minor
        assert sum(line.tax_minor for line in order.lines) == tax_minor


def told(*units: int, **fields: Any) -> PlacedOrder:
    """An order of three that tells of a parcel with so many units, or of more of them."""
    parcels = tuple(DoneShipment(items=make.items(A=one)) for one in units)
    return make.placed_order(shipments=parcels, **fields)


def recalled(first: PlacedOrder) -> tuple[Order, World]:
    """The order once its first parcel was called back, which upstream had told of."""
    order, world = placed(first)
    _, parcel_id = next(iter(world.shipments))
    decision = decide(order, make.void(parcel_id), world)
    assert isinstance(decision, Decision), decision
    return decision.order, world.after(decision)


@pytest.mark.parametrize("now", [(2,), (), (1,)], ids=["as before", "none", "one"])
def test_upstream_may_know_of_a_void_or_not(now):
    """Of units that were called back here a newer form may still tell, or no longer."""
    order, world = recalled(told(2))
    assert order.lines[0].shipped == 0

    decision = decide(order, make.place(order=told(*now)), world)

    assert isinstance(decision, Decision), decision
    assert (decision.outcome.changed, decision.order) == (False, order)


def test_upstream_may_tell_of_the_second_parcel():
    """Units that were called back and sent again: either parcel, or only the newer one."""
    order, world = recalled(told(2))
    sent = decide(order, make.ship(items=make.items(A=2)), world)
    assert isinstance(sent, Decision)

    for form in (told(2), told()):
        decision = decide(sent.order, make.place(order=form), world.after(sent))
        assert isinstance(decision, Decision), decision
        assert (decision.outcome.changed, decision.order) == (False, sent.order)


@pytest.mark.parametrize(
    ("first", "now", "message"),
    [
        ((2,), (2, 1), "lines.A.shipped: upstream has 3, here are 0"),
        ((2, 1), (), "lines.A.shipped: was 3, is 0 now"),
    ],
)
def test_what_no_void_accounts_for(first, now, message):
    """More than was ever sent here is refused, and so is less than what still stands."""
    order, world = recalled(told(*first))

    assert decide(order, make.place(order=told(*now)), world) == Rejection(
        Reason.ORDER_CHANGED, message
    )
