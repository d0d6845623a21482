"""A dry run of a replay says what then happens, and writes nothing."""

from uuid import uuid4

import pytest

from messages import Customer
from tests import factories as make
from tests.work import rig
from tests.work.test_dead import dead_followup, too_new, with_refund
from worker.checks import CHECKS
from worker.work.dead import Chosen, replay
from worker.work.preview import judge_again, read_only
from worker.work.prospects import Prospect, judged, prospects


def foreseen(engine, chosen=None, checks=CHECKS, grace_s=900.0):
    """What a replay would come to, in a transaction that cannot write."""
    with engine.begin() as connection:
        read_only(connection)
        return prospects(connection, chosen or Chosen(), limit=1000, grace_s=grace_s, checks=checks)


def said(engine, chosen=None, **options):
    return [(one.prospect, one.why) for one in foreseen(engine, chosen, **options)]


def died(engine, *commands, reason="bug"):
    """The commands, dead though nothing is wrong with them."""
    rig.accepted(engine, *commands)
    rig.run(
        engine,
        "update commands set state = 'dead', dead_reason = %(reason)s, decided_at = now()"
        " where id = any(%(ids)s)",
        reason=reason,
        ids=[command.command_id for command in commands],
    )


def test_a_command_would_succeed(engine):
    """What the rules would apply would succeed; replayed, it does."""
    rig.placed(engine)
    command = make.ship(items=make.items(A=2))
    died(engine, command)

    assert foreseen(engine) == [
        Prospect("commands", command.command_id, "O-1", "ship", "would_succeed")
    ]
    with engine.begin() as connection:
        replay(connection, Chosen(), actor="ann", limit=1)
    rig.drainer(engine)()
    assert rig.state(engine, command) == "applied"


def test_a_command_would_be_rejected(engine):
    """What the rules would refuse would still fail, with the rule's reason; replayed, it does."""
    rig.placed(engine)
    command = make.ship(items=make.items(A=4))
    died(engine, command)

    why = "rejected: more_than_remains: line A: 4 asked, 3 of 3 left"
    assert said(engine) == [("would_fail", why)]
    with engine.begin() as connection:
        replay(connection, Chosen(), actor="ann", limit=1)
    rig.drainer(engine)()
    assert rig.reason(engine, command) == "more_than_remains"


def test_a_version_nobody_knows(engine):
    """What this version cannot read would still fail."""
    rig.placed(engine)
    too_new(engine)

    assert said(engine) == [
        ("would_fail", "unsupported_version: this worker knows version 1"),
    ]


def test_commands_are_judged_one_after_the_other(engine):
    """Each is judged on the order as those before it would leave it."""
    rig.placed(engine)
    died(engine, make.ship(items=make.items(A=2)), make.ship(items=make.items(A=2)))

    assert said(engine) == [
        ("would_succeed", None),
        ("would_fail", "rejected: more_than_remains: line A: 2 asked, 1 of 3 left"),
    ]


def test_a_command_would_wait(engine):
    """What comes after a dead command would wait for it, unless that is replayed as well."""
    rig.placed(engine)
    first = make.ship(items=make.items(A=1))
    second = make.ship(items=make.items(A=1), after=first.command_id)
    died(engine, first, second)

    assert said(engine, Chosen(ids=[second.command_id])) == [
        ("would_wait", "for its predecessor, which is not there"),
    ]
    assert said(engine) == [("would_succeed", None), ("would_succeed", None)]


def test_grace_counts_from_acceptance(engine):
    """A command whose order never came was accepted long ago: it would be rejected, not wait."""
    command = make.ship(order_id="nowhere")
    died(engine, command)
    rig.older(engine, 901, command)

    ((prospect, why),) = said(engine)

    assert prospect == "would_fail"
    assert why.startswith("rejected: order_not_found")


def test_undecided_commands_come_first(engine):
    """The verdict is on the order as it is; what would be decided first is counted."""
    rig.placed(engine)
    rig.accepted(engine, make.ship(items=make.items(A=1)))
    died(engine, make.ship(items=make.items(A=1)))

    assert said(engine) == [
        ("would_succeed", "undecided commands of this order come first: 1"),
    ]


def test_what_the_database_refused(engine):
    """The rules cannot foresee what PostgreSQL refused to write: that is said."""
    rig.placed(engine)
    died(engine, make.ship(), reason="database_23514")

    assert said(engine) == [
        (
            "would_succeed",
            "by the rules; PostgreSQL refused to write it before (database_23514)",
        ),
    ]


def test_nothing_new(engine):
    """A command that would change nothing says so."""
    place = rig.placed(engine)
    died(engine, make.place(order=place.order))

    assert said(engine) == [("would_succeed", "it would change nothing")]


def test_what_is_not_dead_is_done(engine):
    """Named ids that are no dead letters are done already, or on their way; unknown ones are not
    listed.
    """
    rig.placed(engine)
    applied, waiting = make.ship(), make.ship(order_id="nowhere")
    rig.decided(engine, applied, waiting)

    ids = [applied.command_id, waiting.command_id, uuid4()]
    assert sorted(said(engine, Chosen(ids=ids))) == [
        ("already_done", "it is applied"),
        ("already_done", "it is pending"),
    ]


def test_a_followup_nothing_is_known_against(engine):
    """An outside call may answer anything: nothing known against it is all that can be said."""
    rig.placed(engine, customer=Customer(email="a@example.com"))
    rig.decided(engine, make.ship())
    dead_followup(engine, "emails")

    assert said(engine) == [("would_succeed", "nothing is known against it")]


@pytest.mark.parametrize(
    ("customer", "why"),
    [
        (Customer(), "skipped: the order has no e-mail address; give one with --set to=ADDRESS"),
        (
            Customer(email="a@example.com", opted_out=True),
            "skipped: the customer wants no e-mails",
        ),
    ],
)
def test_an_email_to_nobody(engine, customer, why):
    """An e-mail that nobody would get would still come to nothing."""
    rig.placed(engine, customer=customer)
    rig.decided(engine, make.ship())
    dead_followup(engine, "emails")

    assert said(engine) == [("would_fail", why)]


def test_the_routes_own_check(engine):
    """Each route says what it knows against a follow-up; it sees the task as it would be done."""
    with_refund(engine)
    label = dead_followup(engine, "labels")
    rig.run(engine, "update followups set edits = '{\"ship_to\": {}}' where id = %(id)s", id=label)
    seen = []

    def check(connection, task):
        seen.append((task.id, task.name, task.order_id, task.edits))
        return "the address has no city"

    assert said(engine, checks={"labels": check}) == [("would_fail", "the address has no city")]
    assert seen == [(label, "label", "O-1", {"ship_to": {}})]


def test_a_label_that_is_there(engine):
    """A label follow-up whose document is stored was done already, whatever its check says."""
    with_refund(engine)
    dead_followup(engine, "labels")
    rig.run(
        engine,
        "insert into documents (shipment_id, kind, sha256, size_bytes)"
        " select shipment_id, 'label_pdf', sha256('x'), 1 from shipments",
    )

    assert said(engine, checks={"labels": lambda *_: "no"}) == [
        ("already_done", "the label is there"),
    ]


@pytest.mark.parametrize("state", ["settled", "failed"])
def test_a_refund_part_that_ended(engine, state):
    """A refund part that was settled or failed meanwhile is done."""
    with_refund(engine)
    dead_followup(engine, "refunds")
    assert said(engine) == [("would_succeed", "nothing is known against it")]

    rig.run(engine, "update refund_parts set state = %(state)s", state=state)

    assert said(engine) == [("already_done", f"the refund part is {state}")]


def test_a_bug_of_the_rules_condemns_one(engine):
    """A command that makes the rules fail would still fail; its neighbours are judged."""
    rig.placed(engine)
    rig.placed(engine, "O-2")
    bad, good = make.ship(), make.ship(order_id="O-2")
    died(engine, bad, good)

    with engine.begin() as connection:
        verdicts = judge_again(
            connection,
            [bad.command_id, good.command_id],
            grace_s=900,
            rules=rig.Raising("O-1", ZeroDivisionError("1 / 0")),
        )

    assert judged(verdicts[bad.command_id]) == ("would_fail", "bug: ZeroDivisionError")
    assert judged(verdicts[good.command_id]) == ("would_succeed", None)
