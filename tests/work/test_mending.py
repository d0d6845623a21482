"""Edit and replay: the original stays, the correction is done, the audit says what changed."""

import json
from uuid import uuid4

import pytest

from messages import Address, Customer, InvalidCommand, parse
from tests import factories as make
from tests.work import rig
from tests.work.test_dead import audited, dead_followup, too_new, with_refund
from tests.work.test_prospects import died
from worker.errors import Terminal
from worker.orders.model import Decision
from worker.work.accept import accept_bodies
from worker.work.dead import Chosen, discard
from worker.work.judging import PREDECESSOR_POLL_S, Wait
from worker.work.mending import (
    CannotEdit,
    NotDead,
    corrected,
    edit_and_replay,
    replace_command,
)
from worker.work.preview import preview

BODY = {"kind": "ship", "command_id": "00000000-0000-4000-8000-000000000001", "order_id": "O-1"}


def replaced(engine, command_id, command, actor="ann"):
    with engine.begin() as connection:
        return replace_command(connection, command_id, command, actor=actor)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"tracking_number": "JD0146"}, {"tracking_number": "JD0146"}),
        ({"tracking_number": "0146"}, {"tracking_number": "0146"}),
        ({"tracking_number": "146"}, {"tracking_number": "146"}),
        ({"tracking_number": "true"}, {"tracking_number": "true"}),
        ({"expected_version": "3"}, {"expected_version": 3}),
        ({"notify_customer": "false"}, {"notify_customer": False}),
        ({"items": '[{"line_id":"A","quantity":2}]'}, {"items": [{"line_id": "A", "quantity": 2}]}),
        (
            {"new_carrier.code": "acme", "new_carrier.name": "7"},
            {"new_carrier": {"code": "acme", "name": "7"}},
        ),
    ],
)  # fmt: skip
def test_fields_are_set(fields, expected):
    """A value is read as JSON where the field takes that, and else as the text that it is."""
    assert corrected(BODY, fields).body() == BODY | expected


def test_fields_within_lists_and_taken_away():
    """A dotted name leads into lists; `null` takes a field away."""
    body = BODY | {"items": [{"line_id": "A", "quantity": 9}], "carrier": "dhl"}

    command = corrected(body, {"items.0.quantity": "2", "carrier": "null"})

    assert command.body() == BODY | {"items": [{"line_id": "A", "quantity": 2}]}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"colour": "red"}, "colour: unknown field; known: "),
        ({"expected_version": "many"}, "expected_version: Input should be a valid integer"),
        ({"items.0.quantity": "2"}, "items: Input should be a valid array"),
        ({"order_id.x": "2"}, "order_id.x: there is no such place"),
        ({"carrier": "DHL"}, "carrier: String should match pattern"),
        ({"new_carrier": '{"code": 1}'}, "new_carrier.code: Input should be a valid string"),
    ],
)
def test_a_bad_field_is_named(fields, problem):
    """What cannot be set says which field, and what is allowed."""
    with pytest.raises(InvalidCommand) as error:
        corrected(BODY, fields)

    assert str(error.value).startswith(problem)


def test_a_body_that_is_no_object():
    """Of what is no JSON object no field can be set."""
    with pytest.raises(InvalidCommand, match="body: is no JSON object"):
        corrected([1], {"kind": "ship"})


def test_a_command_is_replaced(engine):
    """The original ends as discarded with its body as it came; the correction is a new command of
    the person's, which is decided; the audit holds both ids, and each field before and after.
    """
    rig.placed(engine)
    (old,) = too_new(engine, notify_customer=False, expected_version=1)
    body = rig.command(engine, old).body

    command = corrected(body, {"schema_version": "1", "items": '[{"line_id":"A","quantity":1}]'})
    mended = replaced(engine, old, command)
    rig.drainer(engine)()

    original, new = rig.command(engine, old), rig.command(engine, mended.id)
    assert mended.replaces == old
    assert (original.state, original.body, original.dead_reason) == (
        "discarded", body, "unsupported_version",
    )  # fmt: skip
    assert original.outcome == {"discarded": "replaced", "by": "ann", "replaced_by": str(new.id)}
    assert (new.state, new.body["issued_by"], new.body["expected_version"]) == ("applied", "ann", 1)
    assert new.body["notify_customer"] is False
    assert rig.line(engine).shipped == 1
    assert audited(engine) == [
        (
            "ann",
            "edited",
            "commands",
            old,
            "O-1",
            {
                "replaced_by": str(new.id),
                "changes": {
                    "items": {"from": None, "to": [{"line_id": "A", "quantity": 1}]},
                    "schema_version": {"from": 2, "to": None},
                },
            },
        )
    ]


def test_a_deeply_nested_original(engine):
    """A command that holds what only PostgreSQL writes is replaced by a whole one all the same."""
    rig.placed(engine)
    nested = "[" * 300 + "]" * 300
    (old,) = too_new(engine)
    rig.run(
        engine,
        "update commands set body = jsonb_set(body, '{items}', %(nested)s::jsonb)"
        " where state = 'dead'",
        nested=nested,
    )

    mended = replaced(engine, old, make.ship())
    rig.drainer(engine)()

    assert rig.command(engine, mended.id).state == "applied"
    ((_, _, _, _, _, details),) = audited(engine)
    assert json.dumps(details["changes"]["items"]["from"]).replace(" ", "") == nested


def test_a_later_duplicate_of_the_original(engine):
    """The original sent again is known, as discarded, and says by what it was replaced."""
    rig.placed(engine)
    (old,) = too_new(engine)
    body = rig.command(engine, old).body
    mended = replaced(engine, old, corrected(body, {"schema_version": "1"}))

    with engine.begin() as connection:
        (receipt,) = accept_bodies(connection, [body])

    assert (receipt.answer, receipt.state) == ("known", "discarded")
    assert receipt.outcome["replaced_by"] == str(mended.id)


def test_successors_come_after_the_replacement(engine):
    """What waited for the original, or died with it as its predecessor, comes after the correction
    instead of being refused; what was sent stays as it was, and the audit says so.
    """
    rig.placed(engine)
    (old,) = too_new(engine)
    waiting = make.ship(items=make.items(A=1), after=old)
    dead = make.ship(items=make.items(A=1), after=old)
    rig.decided(engine, waiting)
    died(engine, dead)

    body = rig.command(engine, old).body | {"items": [{"line_id": "A", "quantity": 1}]}
    mended = replaced(engine, old, corrected(body, {"schema_version": "1"}))
    rig.drainer(engine)()
    rig.drainer(engine)()

    assert set(mended.moved) == {waiting.command_id, dead.command_id}
    assert rig.state(engine, waiting) == "applied"
    row = rig.command(engine, dead)
    assert (row.state, row.after_id, row.body["after"]) == ("dead", mended.id, str(old))
    after = {"changes": {"after": {"from": str(old), "to": str(mended.id)}}}
    assert [(act[3], act[5]) for act in audited(engine) if act[3] != old] == [
        (one, after) for one in mended.moved
    ]


def test_a_successor_in_a_workers_hands(engine):
    """A worker that holds a successor, with the old predecessor in mind, does not refuse it: the
    successor is taken away and decided after the correction.
    """
    rig.placed(engine)
    (old,) = too_new(engine)
    successor = make.ship(items=make.items(A=1), after=old)
    rig.accepted(engine, successor)
    batch = rig.claimed(engine)
    assert batch.ids == [successor.command_id]

    body = rig.command(engine, old).body | {"items": [{"line_id": "A", "quantity": 1}]}
    replaced(engine, old, corrected(body, {"schema_version": "1"}))
    rig.commands(engine).carry_out(batch)
    assert rig.state(engine, successor) == "pending"
    rig.drainer(engine)()

    assert rig.state(engine, successor) == "applied"


def corrected_once(engine, command_id, **fields):
    """The dead command replaced by one that ships 1; the new one's id."""
    body = rig.command(engine, command_id).body | {"items": [{"line_id": "A", "quantity": 1}]}
    return replaced(engine, command_id, corrected(body, {"schema_version": "1"} | fields)).id


def corrected_twice(engine):
    """A dead command, its replacement that died as well, and what replaced that, still to come."""
    rig.placed(engine)
    (old,) = too_new(engine)
    between = corrected_once(engine, old)
    rig.drainer(engine, rules=rig.Raising("O-1", Terminal("broken", "a person has to look")))()
    assert rig.command(engine, between).state == "dead"
    return old, between, corrected_once(engine, between, tracking_number="T-1")


@pytest.mark.parametrize("batch_size", [1, 200])
@pytest.mark.parametrize("named", [0, 1, 2])
def test_a_successor_that_comes_late(engine, batch_size, named):
    """A command that comes when its predecessor is replaced already, and the replacement too, is
    decided after the last of them, with it or in a batch of its own.
    """
    replacements = corrected_twice(engine)
    last = replacements[-1]
    late = make.ship(items=make.items(A=1), after=replacements[named], expected_version=2)
    rig.run(engine, "update commands set next_at = now() + interval '1 hour' where id = %(id)s",
            id=last)  # fmt: skip
    rig.accepted(engine, late)
    rig.due_now(engine)

    drain = rig.drainer(engine, batch_size=batch_size)
    drain()
    rig.due_now(engine)  # in batches of one it met its predecessor undecided
    drain()

    assert rig.command(engine, last).outcome["order_version"] == 2
    assert rig.command(engine, late.command_id).outcome["order_version"] == 3


def test_a_late_successor_is_woken_by_the_replacement(engine):
    """A late command waits for the replacement, and is decided as soon as that one is."""
    old, _, last = corrected_twice(engine)
    rig.run(engine, "update commands set next_at = now() + interval '1 hour' where id = %(id)s",
            id=last)  # fmt: skip
    late = make.ship(items=make.items(A=1), after=old)
    before = rig.dump(engine, rig.EFFECTS)

    assert rig.decided(engine, late) == ["pending"]
    row = rig.command(engine, late)
    assert (row.waits_for, row.after_id, row.body["after"]) == ("predecessor", last, str(old))
    assert rig.dump(engine, rig.EFFECTS) == before
    rig.due_now(engine, f"id = '{last}'")
    rig.drainer(engine)()

    assert rig.state(engine, late) == "applied"


@pytest.mark.parametrize("end", ["rejected", "discarded"])
def test_a_late_successor_of_a_replacement_that_failed(engine, end):
    """What comes late is refused where the replacement was refused, or given up; nothing is
    written.
    """
    rig.placed(engine)
    (old,) = too_new(engine)
    new = corrected_once(engine, old, carrier="nobody")
    if end == "discarded":
        rig.drainer(engine, rules=rig.Raising("O-1", Terminal("broken", "a person has to look")))()
        with engine.begin() as connection:
            assert discard(connection, Chosen(ids=[new]), actor="ann", because="no")
    else:
        rig.drainer(engine)()
    assert rig.command(engine, new).state == end
    before = rig.dump(engine, rig.EFFECTS)
    late = make.ship(items=make.items(A=1), after=old)

    rig.decided(engine, late)

    assert rig.reason(engine, late) == "predecessor_failed"
    assert rig.command(engine, late).outcome["message"] == f"command {new} was not applied"
    assert rig.dump(engine, rig.EFFECTS) == before


@pytest.mark.parametrize("batch_size", [1, 200])
def test_a_circle_through_a_replacement(engine, batch_size):
    """A late command after one whose replacement comes after the late one: at its second look both
    are refused; nothing is written.
    """
    rig.placed(engine)
    (old,) = too_new(engine)
    late = make.ship(items=make.items(A=1), after=old)
    new = corrected_once(engine, old, after=str(late.command_id))
    before = rig.dump(engine, rig.EFFECTS)

    rig.accepted(engine, late)
    drain = rig.drainer(engine, batch_size=batch_size)
    drain()
    rig.due_now(engine)
    drain()

    assert rig.reason(engine, late) == "invalid"
    assert rig.command(engine, new).outcome["reason"] in {"invalid", "predecessor_failed"}
    assert rig.dump(engine, rig.EFFECTS) == before


def test_a_late_successor_in_a_dry_run(engine):
    """A dry run of a late command says what would become of it after the replacement."""
    old, _, last = corrected_twice(engine)
    late = make.ship(items=make.items(A=1), after=old)
    (waiting,) = preview(engine, [late], grace_s=900)
    assert waiting.verdict == Wait("predecessor", PREDECESSOR_POLL_S, last)

    rig.drainer(engine)()
    (ready,) = preview(engine, [late], grace_s=900)

    assert isinstance(ready.verdict, Decision)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "complete"}, "kind: stays; discard it and send another command"),
        ({"order_id": "O-2"}, "order_id: stays; discard it and send another command"),
        ({}, "nothing would be changed: replay it without --set and --body"),
    ],
)
def test_what_a_correction_cannot_change(engine, change, sentence):
    """Another order, another kind, or no change at all is no correction; nothing is written."""
    rig.placed(engine)
    command = make.ship()
    died(engine, command)
    before = rig.dump(engine)

    with pytest.raises(CannotEdit) as error:
        replaced(engine, command.command_id, corrected(command.body(), change))

    assert str(error.value) == sentence
    assert rig.dump(engine) == before


def test_only_the_dead_are_replaced(engine):
    """A command that was applied, or is not here, cannot be replaced; nothing is written."""
    rig.placed(engine)
    command = make.ship()
    rig.decided(engine, command)
    before = rig.dump(engine)

    for command_id in (command.command_id, uuid4()):
        with pytest.raises(NotDead):
            replaced(engine, command_id, make.ship(items=make.items(A=1)))

    assert rig.dump(engine) == before


def test_two_operators_correct_one_letter(engine):
    """Who corrects a letter that another is correcting waits, and then finds no dead letter."""
    rig.placed(engine)
    (old,) = too_new(engine)
    command = parse(b'{"kind":"ship","order_id":"O-1","command_id":"%s"}' % str(old).encode())
    found = []

    def second():
        try:
            found.append(replaced(engine, old, command))
        except NotDead:
            found.append(None)

    with engine.connect() as first:
        mended = replace_command(first, old, command, actor="ann")
        with rig.running(second):
            rig.until(lambda: waiting_sessions(engine) == 1)
            first.commit()

    assert found == [None]
    assert rig.command(engine, old).outcome["replaced_by"] == str(mended.id)
    assert rig.count(engine, "commands", "state = 'pending'") == 1
    assert rig.count(engine, "audit") == 1


def waiting_sessions(engine):
    """How many sessions of the test's database wait for a lock."""
    return rig.one(
        engine,
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and wait_event_type = 'Lock'",
    )[0]


def mended_followup(engine, followup_id, **fields):
    with engine.begin() as connection:
        return edit_and_replay(connection, followup_id, fields, actor="ann")


def test_an_email_is_corrected(engine):
    """An e-mail's address and language can be set right beside the order, which stays as it is; it
    is due again, and the audit says what it used before.
    """
    rig.placed(engine, customer=Customer(email="a@exmaple.com"))
    rig.decided(engine, make.ship())
    email = dead_followup(engine, "emails")
    order = rig.dump(engine, ("orders",))

    mended_followup(engine, email, to="a@example.com", locale="fr")

    row = rig.one(engine, "select state, edits from followups where id = %(id)s", id=email)
    assert tuple(row) == ("pending", {"to": "a@example.com", "locale": "fr"})
    assert rig.dump(engine, ("orders",)) == order
    assert [(act[1], act[5]) for act in audited(engine)] == [
        (
            "edited",
            {
                "changes": {
                    "locale": {"from": None, "to": "fr"},
                    "to": {"from": "a@exmaple.com", "to": "a@example.com"},
                }
            },
        ),
        ("replayed", {"dead_reason": "gone"}),
    ]


def test_a_label_is_corrected(engine):
    """A label's address can be given whole, or corrected in one place; earlier edits stay."""
    with_refund(engine)
    ship_to = Address(name="Zoé", lines=("1 rue X",), city="Lyon", postal_code="69000")
    rig.run(
        engine,
        "update orders set ship_to = %(ship_to)s::jsonb",
        ship_to=ship_to.model_dump_json(exclude_none=True),
    )
    label = dead_followup(engine, "labels")

    mended_followup(engine, label, **{"ship_to.postal_code": "69001"})

    (edits,) = rig.one(engine, "select edits from followups where id = %(id)s", id=label)
    corrected_to = {"name": "Zoé", "lines": ["1 rue X"], "city": "Lyon", "postal_code": "69001"}
    assert edits == {"ship_to": corrected_to}


def test_an_edit_is_taken_back(engine):
    """`null` takes an edit back: the order's own value counts again."""
    rig.placed(engine, customer=Customer(email="a@example.com"))
    rig.decided(engine, make.ship())
    email = dead_followup(engine, "emails")
    mended_followup(engine, email, to="b@example.com")
    dead_again(engine, email)

    mended_followup(engine, email, to="null")

    (edits,) = rig.one(engine, "select edits from followups where id = %(id)s", id=email)
    assert edits is None


def dead_again(engine, followup_id):
    rig.run(
        engine,
        "update followups set state = 'dead', decided_at = now() where id = %(id)s",
        id=followup_id,
    )


@pytest.mark.parametrize(
    ("route", "fields", "error", "sentence"),
    [
        ("emails", {"to": "nobody"}, InvalidCommand, "to: String should match pattern"),
        ("emails", {"to": "a@b\r\nBcc: c@d"}, InvalidCommand, "to: String should match pattern"),
        ("emails", {"locale": "French"}, InvalidCommand, "locale: String should match pattern"),
        ("emails", {"ship_to": "{}"}, InvalidCommand, "ship_to: unknown field; known: locale, to"),
        ("emails", {"to": "a@example.com"}, CannotEdit, "nothing would be changed"),
        ("labels", {"to": "a@b"}, InvalidCommand, "to: unknown field; known: ship_to"),
        ("labels", {"ship_to": "Lyon"}, InvalidCommand, "ship_to: Input should be"),
        ("labels", {"ship_to.country": "France"}, InvalidCommand, "ship_to.country: String"),
        ("refunds", {"amount_minor": "1"}, CannotEdit, "nothing in refunds can be edited"),
    ],
)  # fmt: skip
def test_what_cannot_be_edited(engine, route, fields, error, sentence):
    """A field that the route does not take, or a value that is not allowed, is named; nothing is
    written.
    """
    with_refund(engine)
    rig.run(engine, "update orders set customer_email = 'a@example.com'")
    followup = dead_followup(engine, route)
    before = rig.dump(engine)

    with pytest.raises(error) as raised:
        mended_followup(engine, followup, **fields)

    assert str(raised.value).startswith(sentence)
    assert rig.dump(engine) == before


def test_only_the_dead_are_edited(engine):
    """A follow-up that is not dead is not edited; nothing is written."""
    with_refund(engine)
    (email,) = rig.one(engine, "select id from followups where route = 'emails' limit 1")
    before = rig.dump(engine)

    with pytest.raises(NotDead):
        mended_followup(engine, email, to="a@example.com")

    assert rig.dump(engine) == before
