"""Refund parts end: settled or failed, by a provider or by hand; then order, money, history and
e-mail agree.
"""

import pytest

from messages import Payment
from tests import factories as make
from tests.work import rig
from tests.work.refund_rig import (
    PART_TABLES,
    Scripted,
    asked_for,
    assert_lawful,
    by_hand,
    drain,
    emails,
    money,
    order,
    part_ids,
)
from worker.errors import Terminal
from worker.refunds.by_hand import find, parts
from worker.refunds.provider import Failed, Manual, Part, Settled
from worker.work.followups import ByHand


def test_a_provider_settles_every_part(engine):
    """Each part is asked for once, with its id, payment and amount; then the money has gone back
    and the customer is told, once.
    """
    command = asked_for(engine)
    provider = Scripted(Settled(), Settled())

    drain(engine, provider)
    drain(engine, provider)

    first, second = part_ids(command)
    assert sorted(provider.asked, key=lambda part: part.payment_id) == [
        Part(first, make.ORDER_ID, "P1", "card", 1000, "EUR", "pending"),
        Part(second, make.ORDER_ID, "P2", None, 500, "EUR", "pending"),
    ]
    assert money(engine) == [(1000, 1000), (500, 500)]
    assert order(engine) == ("partially_refunded", False, 2)
    assert emails(engine) == [("refunded", command.command_id, "pending", None)]
    assert [
        (row.event, row.amount_minor, row.issued_by, row.details)
        for row in rig.rows(engine, "select * from history order by history_id desc limit 2")
    ] == [
        ("refund_settled", 500, None, {"payment_id": "P2"}),
        ("refund_settled", 1000, None, {"payment_id": "P1"}),
    ]


def test_a_provider_says_no(engine):
    """A failed part's money can be refunded again; nobody is told of money that did not move."""
    asked_for(engine)

    drain(engine, Scripted(Failed("card expired"), Failed("card expired")))

    assert money(engine) == [(0, 0), (0, 0)]
    assert order(engine) == ("paid", False, 2)
    assert emails(engine) == []
    assert set(rig.rows(engine, "select state, note from refund_parts")) == {
        ("failed", "card expired")
    }


def test_one_part_fails_and_one_settles(engine):
    """The customer is told when the last part has ended, whichever way it did."""
    command = asked_for(engine)
    first, second = part_ids(command)

    assert by_hand(engine, first, "settled") == "done"
    assert emails(engine) == []
    assert order(engine) == ("partially_refunded", True, 2)
    assert by_hand(engine, second, "failed", "no such account") == "done"

    assert money(engine) == [(1000, 1000), (0, 0)]
    assert order(engine) == ("partially_refunded", False, 2)
    assert emails(engine) == [("refunded", command.command_id, "pending", None)]


def test_no_email_where_it_is_switched_off(engine):
    """A refund with `notify_customer` false is settled all the same, and its e-mail skipped."""
    command = asked_for(engine, notify_customer=False)

    drain(engine, Scripted(Settled(), Settled()))

    assert emails(engine) == [
        ("refunded", command.command_id, "skipped", {"skipped": "switched_off"})
    ]


def test_units_count_as_refunded_no_longer_once_all_has_failed(engine):
    """When every part of a refund of units failed, the units can be refunded again."""
    paid = (Payment(payment_id="P1", captured_minor=300),)
    rig.with_lines(engine, make.order_line(), payments=paid)
    command = make.refund(items=make.items(A=1))
    assert rig.decided(engine, command) == ["applied"]
    assert rig.line(engine).refunded_units == 1

    drain(engine, Scripted(Failed("closed")))

    line = rig.line(engine)
    assert (line.refunded_units, line.refunded_minor) == (0, 0)


def test_the_manual_provider_waits_for_a_person(engine):
    """By hand, a part stays open and due for nobody, and can be listed."""
    command = asked_for(engine)

    drain(engine, Manual())
    drain(engine, Manual())

    assert set(rig.rows(engine, "select state, waits_for, attempts from followups")) == {
        ("pending", "hand", 0)
    }
    with engine.connect() as connection:
        found = parts(connection, limit=10)
        assert find(connection, [command.command_id]) == sorted(part_ids(command))
    assert sorted((one["payment_id"], one["amount_minor"], one["waits_for"]) for one in found) == [
        ("P1", 1000, "hand"),
        ("P2", 500, "hand"),
    ]


def test_settled_by_hand_once(engine):
    """Who said so and what was noted is kept; said again, nothing changes; unsaid, neither."""
    command = asked_for(engine)
    part_id, _ = part_ids(command)
    drain(engine, Manual())

    assert by_hand(engine, part_id, "settled", "bank ref 7") == "done"
    after = rig.dump(engine, PART_TABLES)
    assert by_hand(engine, part_id, "settled") == "known"
    assert by_hand(engine, part_id, "failed") == "ended"

    assert rig.dump(engine, PART_TABLES) == after
    row = rig.one(
        engine,
        "select state, ended_by, note, ended_at is not null from refund_parts"
        " where part_id = %(id)s",
        id=part_id,
    )
    assert row == ("settled", "till", "bank ref 7", True)
    work = rig.one(
        engine, "select state, outcome from followups where subject_id = %(id)s", id=part_id
    )
    assert work == ("done", {"settled": 1000, "by": "till", "reason": "bank ref 7"})


def test_a_dead_part_is_ended_by_hand(engine):
    """What a provider's failure left dead, a person can still end; it is dead no more."""
    command = asked_for(engine)
    provider = Scripted(*[Terminal("provider_refused", "no")] * 2)
    drain(engine, provider)
    assert rig.count(engine, "followups", "state = 'dead'") == 2

    for part_id in part_ids(command):
        assert by_hand(engine, part_id, "settled") == "done"

    assert set(
        rig.rows(engine, "select state, dead_reason from followups where route = 'refunds'")
    ) == {("done", None)}
    assert order(engine) == ("partially_refunded", False, 2)


def test_not_while_a_worker_asks_the_provider(engine):
    """While a worker has the part in hand a person's word is refused, and nothing is written."""
    command = asked_for(engine)
    first, _ = part_ids(command)
    answers = []

    class Asking(Scripted):
        def refund(self, part):
            if part.part_id == first:
                before = rig.dump(engine)
                answers.append(by_hand(engine, first, "settled"))
                assert rig.dump(engine) == before
            return Settled()

    drain(engine, Asking())

    assert answers == ["in_progress"]
    assert money(engine) == [(1000, 1000), (500, 500)]


def test_a_worker_that_lost_its_lease_ends_nothing(engine):
    """A person ends the part after the worker's lease is over; the worker's late answer changes
    nothing: the money moved once.
    """
    command = asked_for(engine)
    first, _ = part_ids(command)

    class Slow(Scripted):
        def refund(self, part):
            if part.part_id == first:
                rig.lease_over(engine, table="followups")
                assert by_hand(engine, first, "failed", "no") == "done"
            return Settled()

    drain(engine, Slow())

    assert money(engine)[0] == (0, 0)
    assert rig.count(engine, "refund_parts", "state = 'failed'") == 1


def test_by_hand_and_by_worker_at_once(engine):
    """A part that a person and a worker end at one moment ends once."""
    command = asked_for(engine)
    first, second = part_ids(command)

    rig.together(
        lambda: drain(engine, Scripted(*[Settled()] * 2)),
        lambda: by_hand(engine, first, "settled"),
        lambda: by_hand(engine, second, "settled"),
    )
    rig.lease_over(engine, table="followups")
    drain(engine, Scripted(*[Settled()] * 2))

    assert money(engine) == [(1000, 1000), (500, 500)]
    assert rig.count(engine, "history", "event = 'refund_settled'") == 2
    assert emails(engine) == [("refunded", command.command_id, "pending", None)]


@pytest.mark.parametrize("answer", [Settled(), Failed("no"), ByHand()])
def test_the_laws_hold(engine, answer):
    """Whatever the provider says, stored status and balances follow from the rows."""
    asked_for(engine)

    drain(engine, Scripted(answer, answer))

    assert_lawful(engine)
