"""What `explain` says is what the rules would do: how much is possible, and why the rest is not."""

from dataclasses import replace

from hypothesis import given

from messages import Cancel, Complete, Item, Money, Reason, Refund, Ship
from tests import factories as make
from tests.strategies import paid_orders
from worker.orders.explain import Explained, Possibility, explain
from worker.orders.model import Decision, Order, Rejection
from worker.orders.rules import decide

WORLD = make.world()


def of_line(explained: Explained, line_id: str) -> dict[str, Possibility]:
    (line,) = (line for line in explained.lines if line.line_id == line_id)
    return {one.action: one for one in line.actions}


def of_order(explained: Explained) -> dict[str, Possibility]:
    return {one.action: one for one in explained.actions}


def test_a_line_that_is_begun():
    """Two of five are shipped, one is refunded: what is left of each action, with its money."""
    order = make.order(
        make.line("A", 5, shipped=2, refunded_units=1, refunded_minor=100),
        payments=(replace(make.payments(500)[0], refunded_minor=100),),
    )

    actions = of_line(explain(order, WORLD), "A")

    assert actions == {
        "ship": Possibility("ship", units=3),
        "complete": Possibility(
            "complete",
            reason=Reason.WRONG_ITEM_TYPE,
            message="line A (physical) is shipped, not completed",
        ),
        "cancel": Possibility("cancel", units=3, amount_minor=300),
        "refund": Possibility("refund", units=4, amount_minor=400),
    }


def test_a_line_that_is_done_with():
    """Each action names what is in its way, not only that nothing is left."""
    order = make.order(
        make.line("A", 2, completed=2, item_type="digital", refunded_units=2, refunded_minor=200),
        payments=(replace(make.payments(200)[0], refunded_minor=200),),
    )

    actions = of_line(explain(order, WORLD), "A")

    assert {name: (one.reason, one.message) for name, one in actions.items()} == {
        "ship": (Reason.WRONG_ITEM_TYPE, "line A (digital) is completed, not shipped"),
        "complete": (Reason.MORE_THAN_REMAINS, "line A: 1 asked, 0 of 2 left"),
        "cancel": (Reason.MORE_THAN_REMAINS, "line A: 1 asked, 0 of 2 left"),
        "refund": (
            Reason.UNITS_ALREADY_REFUNDED,
            "line A: 1 units asked, 0 of 2 not refunded yet",
        ),
    }


def test_a_held_order():
    """The hold is in the way of shipping and completing, not of cancelling and refunding."""
    actions = of_order(explain(make.order(hold="fraud check"), WORLD))

    assert actions["ship"].reason == actions["complete"].reason == Reason.ON_HOLD
    assert actions["cancel"] == Possibility("cancel", units=3, amount_minor=300)
    assert actions["refund_amount"] == Possibility("refund_amount", amount_minor=300)
    assert actions["release"].is_allowed


def test_an_order_as_a_whole():
    """All that remains of the order, and the shipping fee by itself."""
    order = make.order(
        make.line("A", 3, shipped=1), make.line("B", 2, item_type="digital"), shipping_minor=50
    )

    assert explain(order, WORLD).actions == (
        Possibility("ship", units=2),
        Possibility("complete", units=2),
        Possibility("cancel", units=4, amount_minor=400),
        Possibility("refund_amount", amount_minor=550),
        Possibility("refund_shipping", amount_minor=50),
        Possibility("hold"),
        Possibility("release", reason=Reason.NOT_ON_HOLD, message="the order is not on hold"),
    )


def test_an_order_that_nobody_paid():
    """It can be cancelled, with nothing to pay back; a refund says why not."""
    actions = of_order(explain(make.order(payments=()), WORLD))

    assert actions["cancel"] == Possibility("cancel", units=3)
    assert actions["refund_amount"].reason == Reason.NOTHING_CAPTURED
    assert actions["refund_shipping"].reason == Reason.NOTHING_CAPTURED


@given(paid_orders())
def test_what_is_possible_is_exactly_what_the_rules_apply(order: Order):
    """For each line and action so many units are applied, and one more is refused; what is not
    possible is refused for a single unit, for the same reason.
    """
    commands = {"ship": Ship, "complete": Complete, "cancel": Cancel, "refund": Refund}
    envelope = {"command_id": make.ship().command_id, "order_id": order.order_id}
    for line in explain(order, WORLD).lines:
        for one in line.actions:

            def ask(units: int, action=one.action, line_id=line.line_id):
                items = (Item(line_id=line_id, quantity=units),)
                return decide(order, commands[action](**envelope, items=items), WORLD)

            if one.is_allowed:
                done = ask(one.units)
                # Money may run out before the units do; then `strict` names the money.
                ran_out = isinstance(done, Rejection) and done.reason == Reason.REFUND_TOO_LARGE
                assert isinstance(done, Decision) or (one.action == "refund" and ran_out)
                if one.action != "refund":
                    assert isinstance(ask(one.units + 1), Rejection)
            else:
                refused = ask(1)
                assert isinstance(refused, Rejection)
                assert (refused.reason, refused.message) == (one.reason, one.message)


@given(paid_orders())
def test_the_largest_amount_is_exact(order: Order):
    """The amount it names can be refunded, one minor unit more cannot."""
    most = of_order(explain(order, WORLD))["refund_amount"]

    def ask(amount_minor: int) -> Decision | Rejection:
        amount = Money(amount_minor=amount_minor, currency="EUR")
        return decide(order, make.refund(amount=amount), WORLD)

    assert most.is_allowed == isinstance(ask(most.amount_minor or 1), Decision)
    assert isinstance(ask(most.amount_minor + 1), Rejection)
