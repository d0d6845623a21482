"""What is told: every way in which work ends, from the transaction that ends it."""

import orjson

from messages import Payment
from tests import factories as make
from tests.feed.conftest import read, told
from tests.retention import story
from tests.work import refund_rig, rig
from worker.labels.making import labels_route
from worker.postage.tracking import TRANSIT
from worker.refunds.ending import conclude, lock_work
from worker.settings import Settings
from worker.store import laws
from worker.work.claim import FOLLOWUPS_TABLE, claim, fail
from worker.work.dead import Chosen, discard, replay
from worker.work.followups import Ended, followups_route
from worker.work.mending import corrected, replace_command

TOLD = next(law for law in laws.LAWS if "told in the feed" in law)


def untold(engine):
    """How many ends the law finds of which nothing is told."""
    with engine.connect() as connection:
        return laws.broken(connection)[TOLD]


def test_an_applied_command(engine):
    """Its event holds its kind and its outcome, and belongs to its order and to itself."""
    placed = rig.placed(engine)
    ship = make.ship(items=make.items(A=2))
    rig.decided(engine, ship)

    first, event = read(engine)

    assert (first.number, first.type, first.command_id) == (1, "command.applied", placed.command_id)
    assert (event.number, event.type, event.order_id) == (2, "command.applied", "O-1")
    assert (event.command_id, event.subject) == (ship.command_id, None)
    assert event.data == {"kind": "ship", "outcome": rig.command(engine, ship).outcome}
    assert event.data["outcome"]["items"] == [{"line_id": "A", "quantity": 2}]
    assert event.at == rig.command(engine, ship).decided_at


def test_a_rejected_command(engine):
    """Its event holds the reason, not the message: that may quote what somebody wrote."""
    rig.placed(engine, hold="canary")
    held, early = make.ship(), make.ship(order_id="O-9")
    rig.decided(engine, held, early)

    (event,) = read(engine, 1)

    assert (event.type, event.command_id) == ("command.rejected", held.command_id)
    assert event.data == {"kind": "ship", "outcome": {"state": "rejected", "reason": "on_hold"}}
    assert "canary" in rig.command(engine, held).outcome["message"]


def test_what_waits_tells_nothing(engine):
    """A command that waits for its order has not ended."""
    assert rig.decided(engine, make.ship(order_id="O-9")) == ["pending"]

    assert told(engine) == []


def dead_command(engine):
    """A command of O-1 that is dead of a bug in the rules."""
    rig.placed(engine)
    command = make.ship()
    rig.accepted(engine, command)
    claimed = rig.claimed(engine)
    with engine.begin() as connection:
        fail(connection, claimed, reason="bug", message="canary", retry_after_s=None)
    return command


def test_a_dead_command_that_is_replayed_tells_again(engine):
    """It is told dead, with why; once it was replayed, what it came to."""
    command = dead_command(engine)
    with engine.begin() as connection:
        replay(connection, Chosen(), actor="desk")
    rig.drainer(engine)()

    dead, applied = read(engine, 1)

    assert (dead.type, applied.type) == ("command.dead", "command.applied")
    assert dead.data == {"kind": "ship", "outcome": {"state": "dead", "reason": "bug"}}
    assert dead.command_id == applied.command_id == command.command_id
    assert untold(engine) == 0


def test_a_failure_that_is_tried_again_tells_nothing(engine):
    """Only an end is told."""
    rig.placed(engine)
    rig.accepted(engine, make.ship())
    claimed = rig.claimed(engine)
    with engine.begin() as connection:
        fail(connection, claimed, reason="bug", message="", retry_after_s=60)

    assert told(engine, 1) == []


def test_a_command_that_cannot_be_judged_is_dead(engine):
    """One that dies where a batch is decided is told like one that failed."""
    rig.placed(engine)
    body = make.ship().body() | {"schema_version": 99}
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "select * from accept_commands(%(bodies)s::jsonb)",
            {"bodies": orjson.dumps([body]).decode()},
        )
    rig.drainer(engine)()

    assert told(engine, 1) == ["command.dead"]


def test_a_discarded_command(engine):
    """Why somebody gave it up is theirs; that it was given up is told."""
    dead_command(engine)
    with engine.begin() as connection:
        discard(connection, Chosen(), actor="desk", because="canary")

    event = read(engine, 2)[0]

    assert (event.type, event.data["outcome"]) == (
        "command.discarded",
        {"state": "discarded", "reason": "bug"},
    )


def test_a_replaced_command(engine):
    """Whoever follows learns by which command it was replaced."""
    command = dead_command(engine)
    with engine.begin() as connection:
        mended = replace_command(
            connection,
            command.command_id,
            corrected(command.body(), {"tracking_number": "T-1"}),
            actor="desk",
        )
    rig.drainer(engine)()

    discarded, applied = read(engine, 2)

    assert discarded.data["outcome"]["replaced_by"] == str(mended.id)
    assert applied.command_id == mended.id
    assert untold(engine) == 0


def test_a_batch_is_told_in_the_order_in_which_it_was_decided(engine):
    """What comes after another command of its batch is told after it, whichever came in first."""
    place = make.place()
    first = make.ship(items=make.items(A=1))
    second = make.ship(items=make.items(A=1), after=first.command_id)
    rig.decided(engine, second, place, first)

    events = read(engine)

    ids = [event.command_id for event in events]
    assert ids == [place.command_id, first.command_id, second.command_id]
    assert [event.data["outcome"]["order_version"] for event in events] == [1, 2, 3]


def test_followups(engine):
    """Done, skipped and dead ones are told, with what they were about; one given up as well."""
    rig.placed(engine)
    ship = make.ship(items=make.items(A=1))
    rig.decided(engine, ship, make.ship(items=make.items(A=1), notify_customer=False))
    route = followups_route(engine, "emails", lambda _: Ended({"message_id": "canary"}))
    rig.drain_of(route, engine)()
    rig.decided(engine, make.ship(items=make.items(A=1)))
    with engine.begin() as connection:
        batch = claim(connection, FOLLOWUPS_TABLE, "emails", limit=1, lease_s=1)
        fail(connection, batch, reason="smtp_550", message="canary", retry_after_s=None)
    with engine.begin() as connection:
        discard(connection, Chosen(), actor="desk", because="canary")

    events = {event.type: event for event in read(engine, 1)}

    assert set(events) == {
        *("command.applied", "email.done", "email.skipped", "email.dead", "email.discarded"),
    }
    done = events["email.done"]
    assert (done.command_id, done.subject) == (ship.command_id, ship.command_id)
    assert done.data.keys() == {"followup_id", "name", "outcome"}
    assert (done.data["name"], done.data["outcome"]) == ("shipped", {"state": "done"})
    skipped = events["email.skipped"].data["outcome"]
    assert skipped == {"state": "skipped", "skipped": "switched_off"}
    assert events["email.dead"].data["outcome"] == {"state": "dead", "reason": "smtp_550"}
    assert untold(engine) == 0


def test_a_refund_part_and_late_news_of_it(engine):
    """Each change of a part's state is told with the one before, also of one that had ended."""
    part_id = refund_rig.one_part(engine)
    refund_rig.drain(engine, refund_rig.Scripted(refund_rig.answered("settled", "R-1")))
    with engine.begin() as connection:
        conclude(connection, lock_work(connection, part_id), "failed", by="desk", note="canary")

    events = [event for event in read(engine) if event.subject == part_id]

    assert [event.type for event in events] == [
        "refund_part.unknown",
        "refund_part.settled",
        "refund.done",
        "refund_part.failed",
    ]
    assert events[1].data == {
        "refund_id": str(events[1].command_id),
        "payment_id": "P1",
        "amount_minor": 100,
        "currency": "EUR",
        "state": "settled",
        "was": "unknown",
    }
    assert events[3].data["was"] == "settled"
    assert untold(engine) == 0


def test_an_overpaid_part(engine):
    """Money that went out although it had been given out otherwise is told."""
    part_id = refund_rig.one_part(engine)
    refund_rig.by_hand(engine, part_id, "failed")
    rest = make.refund(amount=make.money(300))
    assert rig.decided(engine, rest) == ["applied"]
    with engine.begin() as connection:
        conclude(connection, lock_work(connection, part_id), "settled")

    assert [one.type for one in read(engine) if one.subject == part_id] == [
        *("refund_part.failed", "refund.done", "refund_part.overpaid", "refund.dead"),
    ]


def test_where_a_parcel_is(engine):
    """Each change of what the carrier says is told once; saying it again tells nothing."""
    rig.placed(engine)
    ship = make.ship()
    rig.decided(engine, ship)
    for state in ("in_transit", "in_transit", "delivered"):
        rig.run(engine, TRANSIT, state=state, at=make.NOW, shipment_id=ship.command_id)

    moving, delivered = read(engine, 2)

    assert (moving.type, delivered.type) == ("parcel.in_transit", "parcel.delivered")
    assert delivered.subject == delivered.command_id == ship.command_id
    assert delivered.data["transit"] == "delivered"


def test_nobody_is_in_it(engine, tmp_path):
    """Everything that can happen to an order is told without a word of whose it is."""
    config = Settings(state_dir=tmp_path, ship_from=story.address("1 Shop Street"))
    story.tell(engine, config)

    events = read(engine)

    assert {event.type for event in events} >= {
        *("command.applied", "command.rejected", "command.discarded", "label.done", "email.done"),
        *("refund_part.settled", "refund.done"),
    }
    text = str(events).lower()
    assert [canary for canary in story.CANARIES if canary in text] == []
    assert untold(engine) == 0


def test_the_law_finds_what_is_not_told(engine):
    """A command without its event breaks it, unless events of its time have been removed."""
    rig.placed(engine, payments=(Payment(payment_id="P1", captured_minor=300),))
    rig.run(engine, "delete from events")

    assert untold(engine) == 1

    rig.run(engine, "insert into retention (what, ran_at) values ('events', now())")
    assert untold(engine) == 0


def test_labels_tell_their_files(engine, tmp_path):
    """A label's event names the files that were made, by their sums."""
    config = Settings(state_dir=tmp_path, ship_from=story.address("1 Shop Street"))
    rig.placed(engine, ship_to=story.address("2 Canaryroad"))
    rig.decided(engine, make.ship(label="generate"))
    rig.drain_of(labels_route(engine, config), engine)()

    (event,) = [one for one in read(engine) if one.type == "label.done"]

    made = event.data["outcome"]["label_made"]
    assert len(made["label_pdf"]["sha256"]) == 64
