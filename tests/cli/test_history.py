"""An order's history: what was done, how each follow-up ended, what operators did; what is left."""

import re

import pytest

from messages import Payment
from tests.cli.cli_tools import json_of, one, write
from tests.factories import items, money, order_line, place, placed_order, refund, ship
from tests.work import rig
from worker.work.followups import ByHand, Ended, followups_route


@pytest.fixture
def shipped(decided):
    """O-1, partly shipped with a label and partly refunded: three follow-ups to be done."""
    paid = (Payment(payment_id="P1", captured_minor=300),)
    decided(place(order=placed_order(order_line("A", 3), payments=paid), issued_by="shop"))
    decided(ship(items=items(A=1), label="generate"))
    decided(refund(amount=money(100)))


def carried_out(engine, route, call):
    """The route's follow-ups, carried out by `call`."""
    rig.drain_of(followups_route(engine, route, call), engine)()


def history(cli):
    order = json_of(cli("orders", "show", "O-1", "--json"))
    return [
        (entry["event"], entry["issued_by"], entry["details"])
        for entry in order["history"]
        if entry["event"] not in {"placed", "shipped", "refund_requested"}
    ]


def part_of(cli, title):
    """The rows of one part of what a person sees of O-1."""
    text = cli("orders", "show", "O-1").stdout
    (part,) = [part for part in text.split("\n\n") if part.startswith(f"{title}\n")]
    return [line.strip() for line in part.splitlines()[2:]]


def ids(engine, route):
    return str(one(engine, "select id from followups where route = %(route)s limit 1", route=route))


def test_each_followups_result(cli, shipped, engine):
    """How a follow-up ended, done, skipped or dead, stands in the order's history with what its
    outcome says, and in the order of time.
    """
    carried_out(engine, "labels", lambda _: Ended({"label_made": {"label_pdf": {"sha256": "ab"}}}))
    carried_out(engine, "emails", lambda _: Ended({"skipped": "no_address"}, state="skipped"))
    assert one(engine, "select count(*) from history") == 3

    found = history(cli)

    label = ids(engine, "labels")
    assert found[0] == (
        "followup_done",
        None,
        {"route": "labels", "name": "label", "followup_id": label,
         "label_made": {"label_pdf": {"sha256": "ab"}}},
    )  # fmt: skip
    assert [(event, details["skipped"]) for event, _, details in found[1:]] == [
        ("followup_skipped", "no_address"),
    ]
    lines = part_of(cli, "history")
    (made,) = [line for line in lines if "  labels label done  " in line]
    assert made.endswith(f"  label_pdf; followup_id: {label}")
    assert any(
        "  emails shipped skipped  " in line and "skipped: no_address" in line for line in lines
    )


def test_the_end_of_a_refund_part_stands_there_once(cli, shipped, engine):
    """A part that was settled by hand is one line, with who said so, and no second one of its
    follow-up or of the audit.
    """
    part_id = str(one(engine, "select part_id from refund_parts"))
    cli("refunds", "settle", part_id, "--by", "till", "--note", "ref 7")

    assert [entry for entry in history(cli) if "refund" in str(entry)] == [
        ("refund_settled", "till", {"payment_id": "P1", "note": "ref 7"})
    ]


def test_a_dead_followup_that_was_replayed(cli, shipped, engine):
    """A death stands in the history until it is replayed; then the replay does, with who did it and
    of what it had died, and the end that came of it.
    """
    kill(engine, "emails")
    assert [(event, details["reason"]) for event, _, details in history(cli)] == [
        ("followup_dead", "smtp_550"),
    ]

    cli("dead", "replay", "--queue", "emails", "--by", "ann")
    carried_out(engine, "emails", lambda _: Ended({"message_id": "<1@x>"}))

    found = history(cli)
    assert [(event, by) for event, by, _ in found] == [("replayed", "ann"), ("followup_done", None)]
    assert found[0][2]["dead_reason"] == "smtp_550"
    assert found[1][2]["message_id"] == "<1@x>"


def kill(engine, route):
    error = "jsonb_build_array(jsonb_build_object('reason', 'smtp_550', 'message', 'no'))"
    write(
        engine,
        "update followups set state = 'dead', dead_reason = 'smtp_550', decided_at = now(),"
        f" errors = {error} where route = %(route)s",
        route=route,
    )


def test_a_discarded_followup(cli, shipped, engine):
    """A follow-up that was given up stands there once, with why and by whom."""
    kill(engine, "emails")
    email = ids(engine, "emails")

    cli("dead", "discard", email, "--because", "wrong shop", "--by", "ann")

    ((event, by, details),) = history(cli)
    assert (event, by, details["discarded"]) == ("followup_discarded", "ann", "wrong shop")


def test_acts_on_commands(cli, dead, engine):
    """What operators did with the order's commands stands in its history: discarded, replaced."""
    write(engine, "update followups set state = 'pending', decided_at = null")
    cli("dead", "replay", str(dead["O-1"]), "--set", "schema_version=1", "--by", "ann")

    ((event, by, details),) = history(cli)

    assert (event, by, details["changes"]) == (
        "edited",
        "ann",
        {"schema_version": {"from": 2, "to": None}},
    )
    assert any("schema_version: 2 -> nothing" in line for line in part_of(cli, "history"))


def test_a_discarded_command(cli, dead, engine):
    """A command that was given up stands in the history, and among those that were not applied."""
    write(engine, "update followups set state = 'pending', decided_at = null")

    cli("dead", "discard", str(dead["O-1"]), "--because", "a test", "--by", "ann")

    ((event, by, details),) = history(cli)
    assert (event, by, details["because"]) == ("discarded", "ann", "a test")
    (line,) = part_of(cli, "commands not applied")
    assert line.endswith("discarded: a test")


def test_an_edited_email(cli, shipped, engine):
    """A correction of a follow-up stands there with what it changed."""
    kill(engine, "emails")

    cli("dead", "replay", ids(engine, "emails"), "--set", "locale=fr", "--by", "ann")

    assert [(event, by) for event, by, _ in history(cli)] == [
        ("edited", "ann"),
        ("replayed", "ann"),
    ]
    assert any("locale: nothing -> fr" in line for line in part_of(cli, "history"))


def pending(cli):
    """Why each piece of work is not done, by what it is."""
    found = {}
    for line in part_of(cli, "still to be done"):
        cells = re.split(" {2,}", line)
        found[" ".join(cells[1:3])] = cells[-1]
    return found


def test_what_is_due(cli, shipped):
    """Work that waits for nothing but a worker says so."""
    due = "for a worker: it is due"

    assert pending(cli) == {
        "labels label": due,
        "emails shipped": due,
        "refunds settle": due,
    }


def test_why_it_is_still_pending(cli, shipped, decided, engine):
    """What is left says why: a retry with the last error, a person's part, a pause, a death with
    the way to try again; a command says it as well.
    """
    write(
        engine,
        "update followups set attempts = 2, next_at = '2030-01-01T12:00:00Z', waits_for = 'retry',"
        ' errors = \'[{"reason": "carrier_503", "message": "busy"}]\' where route = \'labels\'',
    )
    carried_out(engine, "refunds", lambda _: ByHand())
    write(
        engine,
        "update followups set state = 'dead', dead_reason = 'smtp_550', decided_at = now()"
        " where name = 'shipped'",
    )
    first = ship(order_id="O-9")
    waiting = ship(after=first.command_id)
    decided(waiting)

    part = one(engine, "select part_id from refund_parts")
    email = one(engine, "select id from followups where name = 'shipped'")
    found = pending(cli)
    command = found.pop("commands ship")
    assert command.startswith(f"for command {first.command_id}, which is not here; next look ")
    assert found == {
        "labels label": "next try 2030-01-01 12:00:00, after 2 failures; last error carrier_503",
        "refunds settle": f"a person does it: fulfillment refunds settle|fail {part}",
        "emails shipped": f"dead: smtp_550; fulfillment dead replay {email}",
    }

    cli("pause", "labels")
    cli("pause", "commands")
    found = pending(cli)
    assert found["labels label"] == "labels are paused; last error carrier_503"
    assert found["commands ship"] == "commands are paused"


def test_nothing_is_left(cli, placed):
    """An order without open work has no such part."""
    assert "still to be done" not in cli("orders", "show", placed).stdout


def test_a_commands_retry(cli, placed, decided, engine):
    """A command that failed says how often, of what, and when it is looked at again."""
    command = ship()
    decided(command)
    write(
        engine,
        "update commands set state = 'pending', outcome = null, decided_at = null, attempts = 1,"
        " waits_for = 'retry', next_at = '2030-01-01T12:00:00Z',"
        ' errors = \'[{"reason": "bug", "message": "KeyError"}]\' where id = %(id)s',
        id=command.command_id,
    )

    assert pending(cli)["commands ship"] == (
        "after 1 failures; next look 2030-01-01 12:00:00; last error bug"
    )
