"""Which provider a payment's refund goes to, and what is said of one that cannot be had."""

from threading import Event

import pytest

from messages import Payment
from tests import factories as make
from tests.work import rig
from tests.work.refund_rig import Scripted, drain_by
from worker.errors import Terminal
from worker.plugins import CannotUse
from worker.refunds.provider import Manual, Settled
from worker.refunds.providers import Providers, providers, rules
from worker.refunds.route import refunds_route
from worker.settings import Settings

TILL = "tests.work.refund_rig:till"
BROKEN = "tests.work.refund_rig:broken_till"


def found(**by_method):
    return providers(Settings(refund_providers=by_method))


@pytest.mark.parametrize(
    ("method", "name"),
    [("card", TILL), ("CARD", TILL), ("cash", "manual"), (None, "manual"), ("", "manual")],
)
def test_by_method(method, name):
    """Methods are compared without case; what no entry names goes by hand."""
    assert found(Card=TILL).name_for(method) == name


def test_the_rest():
    """`*` is for whatever has no entry of its own, also for payments of no method."""
    given = providers(Settings(refund_providers={"cash": "manual", "*": TILL}))

    assert [given.name_for(one) for one in ("Cash", "card", None)] == ["manual", TILL, TILL]


def test_by_hand_unless_said_otherwise():
    """Without the setting everything waits for a person."""
    given = found()

    assert given.name_for("card") == "manual"
    assert isinstance(given.of("manual"), Manual)
    assert given.step_minor("card", "EUR") == 1


def test_made_once():
    """Many threads that need one at the same moment share it."""
    made, go = [], Event()

    def slow(name):
        go.wait(5)
        made.append(name)
        return Scripted()

    given = Providers({"*": "x"}, slow)

    def first():
        go.set()
        return given.of("x")

    one, *others = rig.together(first, *[lambda: given.of("x")] * 7)

    assert made == ["x"]
    assert all(other is one for other in others)


def test_an_unknown_name():
    """It is said at once, with the names that there are."""
    with pytest.raises(CannotUse) as error:
        found(card="paypal")

    assert str(error.value) == (
        "FULFILLMENT_REFUND_PROVIDERS: there is no 'paypal'; there is manual, square, stripe, or "
        "module:attribute"
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (BROKEN, "TILL_TOKEN must be set"),
        ("tests.work.refund_rig:nothing", "module 'tests.work.refund_rig' has no attribute"),
        ("nowhere.at_all:make", "No module named 'nowhere'"),
    ],
)
def test_what_cannot_be_made(name, why):
    """The check says so; whoever needs it nevertheless leaves it to a person."""
    given = found(card=name)

    with pytest.raises(CannotUse, match=why):
        given.check()
    with pytest.raises(Terminal, match=why) as error:
        given.of(name)
    assert error.value.reason == "no_provider"


def test_a_part_whose_provider_is_gone(engine):
    """It is dead with the reason, nothing was asked, and its money stays reserved."""
    rig.with_lines(
        engine,
        make.order_line(),
        payments=(Payment(payment_id="P1", captured_minor=300, method="card"),),
    )
    command = make.refund(amount=make.money(100))
    assert rig.decided(engine, command) == ["applied"]
    given = found(card=BROKEN)

    rig.drain_of(refunds_route(engine, given), engine)()

    assert rig.one(engine, "select state, dead_reason from followups where route = 'refunds'") == (
        "dead",
        "no_provider",
    )
    assert rig.one(engine, "select state, asked_at from refund_parts") == ("pending", None)


def test_each_payment_to_its_own(engine):
    """The parts of one refund go where their payments came from; cash waits for a person."""
    rig.with_lines(
        engine,
        make.order_line("A", 2, net_minor=2000),
        payments=(
            Payment(payment_id="P1", captured_minor=1000, method="Card"),
            Payment(payment_id="P2", captured_minor=500, method="CASH"),
            Payment(payment_id="P3", captured_minor=500, method="wallet"),
        ),
    )
    assert rig.decided(engine, make.refund(amount=make.money(2000))) == ["applied"]
    card, wallet = Scripted(Settled("c1")), Scripted(Settled("w1"))

    drain_by(
        engine,
        {"card": "card", "wallet": "wallet", "*": "manual"},
        {"card": card, "wallet": wallet},
    )

    assert [one.payment_id for one in card.asked] == ["P1"]
    assert [one.payment_id for one in wallet.asked] == ["P3"]
    assert rig.rows(
        engine, "select payment_id, state, provider from refund_parts order by payment_id"
    ) == [("P1", "settled", "card"), ("P2", "pending", None), ("P3", "settled", "wallet")]
    assert rig.count(engine, "followups", "waits_for = 'hand'") == 1


def test_steps_are_checked_before_money_is_reserved(engine):
    """By the payment's method: what the provider cannot pay is refused, and nothing is staged."""
    rig.with_lines(
        engine,
        make.order_line(),
        payments=(Payment(payment_id="P1", captured_minor=300, method="card"),),
    )
    command, fits = (make.refund(amount=make.money(n)) for n in (105, 110))
    rig.accepted(engine, command)
    before = rig.dump(engine, rig.EFFECTS)

    rig.drainer(engine, rules=rules(found(card=TILL)))()

    assert rig.reason(engine, command) == "amount_too_fine"
    assert rig.dump(engine, rig.EFFECTS) == before
    rig.accepted(engine, fits)
    rig.drainer(engine, rules=rules(found(card=TILL)))()
    assert rig.state(engine, fits) == "applied"


def test_commands_whose_provider_cannot_be_had(engine):
    """How finely it pays nobody knows: the refund is dead with the reason, and reserves nothing;
    its neighbours in the batch are decided.
    """
    rig.with_lines(
        engine,
        make.order_line(),
        payments=(Payment(payment_id="P1", captured_minor=300, method="card"),),
    )
    command, other = make.refund(amount=make.money(100)), make.ship()
    rig.accepted(engine, command, other)

    rig.drainer(engine, rules=rules(found(card=BROKEN)))()

    assert (rig.command(engine, command).state, rig.command(engine, command).dead_reason) == (
        "dead",
        "no_provider",
    )
    assert rig.state(engine, other) == "applied"
    assert rig.count(engine, "refunds") == 0
