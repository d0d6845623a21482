"""`/dead`: failures looked at, tried again, set right, given up; by one's id and by filter."""

import json
import re

import pytest

from messages import Customer
from tests import factories as make
from tests.console.pages import csrf, link, send, text
from tests.work import rig
from tests.work.test_dead import dead_followup, too_new, with_refund

SOON = {"failed_before": "2999-01-01T00:00:00+00:00"}


@pytest.fixture
def letters(engine):
    """A command, an e-mail and a refund part that are dead; their ids by queue."""
    with_refund(engine)
    (command,) = too_new(engine)
    return {
        "commands": command,
        "emails": dead_followup(engine, "emails", reason="smtp_rejected"),
        "refunds": dead_followup(engine, "refunds", reason="provider_400"),
    }


def listed(answer):
    """The ids of the letters in the page."""
    return set(re.findall(r'href="/dead/([0-9a-f-]{36})"', answer.text))


def state(engine, letter_id):
    """A letter's, whatever its queue."""
    return rig.one(
        engine,
        "select state from commands where id = %(id)s union all"
        " select state from followups where id = %(id)s",
        id=letter_id,
    )[0]


def acts(engine):
    """What was done to work: who, what, on which queue, to how many."""
    return rig.rows(
        engine,
        "select actor, act, route, count(*)::integer from audit where route is not null"
        " group by actor, act, route order by min(audit_id)",
    )


def test_by_reason_and_each(sign_in, letters):
    """How many died of what with the latest error, then each letter; viewers see no button."""
    answer = sign_in().get("/dead")

    assert "1 E-mails smtp_rejected no" in text(answer)
    assert "1 Commands unsupported_version this worker knows version 1" in text(answer)
    assert listed(answer) == set(map(str, letters.values()))
    assert "Replay…" not in answer.text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("queue=emails", ["emails"]),
        ("reason=provider_400", ["refunds"]),
        ("queue=emails&reason=provider_400", []),
        ("order=O-1", ["commands", "emails", "refunds"]),
        ("order=O-2", []),
        ("age=1h", ["commands"]),
        ("age=1d", []),
        ("queue=%00&age=soon&reason=%00", ["commands", "emails", "refunds"]),
    ],
)
def test_filters(sign_in, engine, letters, query, expected):
    """Each condition narrows the list down; what makes no sense is not asked for."""
    rig.run(engine, "update commands set decided_at = now() - interval '2 hours'"
            " where state = 'dead'")  # fmt: skip

    answer = sign_in().get(f"/dead?{query}")

    assert listed(answer) == {str(letters[route]) for route in expected}


def test_pages_follow_each_other(sign_in, engine):
    """Next leads through all letters, the oldest first, each once, with the filters; Previous leads
    back. A group begins at its first page; a page that has been emptied says so.
    """
    rig.run(engine, "insert into followups (id, route, name, order_id, command_id, subject_id,"
            " state, dead_reason, decided_at) select gen_random_uuid(), 'emails', 'shipped',"
            " 'O-' || n, gen_random_uuid(), gen_random_uuid(), 'dead', 'smtp_away', now()"
            " from generate_series(1, 70) n order by n")  # fmt: skip
    client = sign_in("operator")

    first = client.get("/dead?queue=emails")
    second = client.get(link(first, "next"))
    back = client.get(link(second, "prev"))

    assert ordered(first) + ordered(second) == [f"O-{n}" for n in range(1, 71)]
    assert (len(ordered(first)), 'rel="next"' in second.text) == (50, False)
    assert ordered(back) == ordered(first)
    assert '"/dead?queue=emails&amp;reason=smtp_away"' in second.text
    assert "Nothing comes after those." in text(client.get(f"/dead?after={10**17}"))


def ordered(answer):
    """The orders of the letters in the page, as they come."""
    return re.findall(r'<td data-label="Order">([^<]+)', answer.text)


def test_a_letter(sign_in, letters):
    """What it is of, its errors, its body, and what trying it again would come to; of a refund
    part how it is ended, since nobody gives it up.
    """
    client = sign_in("operator")
    command, refund = (client.get(f"/dead/{letters[route]}") for route in ("commands", "refunds"))

    assert "Would still fail unsupported_version: this worker knows version 1" in text(command)
    assert 'href="/orders/O-1"' in command.text
    assert "&#34;schema_version&#34;: 2" in command.text
    assert "provider_400 no" in text(refund)
    assert "fulfillment refunds settle" in text(refund)
    assert f"/dead/{letters['refunds']}/discard" not in refund.text


def test_one_is_tried_again(sign_in, engine, letters):
    """Due with fresh counters, under the user's name; a second time it is no dead letter."""
    client = sign_in("operator")
    path = f"/dead/{letters['emails']}"
    shown = client.get(path)

    answers = [send(client, f"{path}/replay", shown) for _ in "12"]

    assert [one.status_code for one in answers] == [200, 404]
    assert "It is due again: E-mails, order O-1." in text(answers[0])
    assert rig.one(engine, "select state, attempts from followups where id = %(id)s",
                   id=letters["emails"]) == ("pending", 0)  # fmt: skip
    assert acts(engine) == [("operator", "replayed", "emails", 1)]


def test_one_is_given_up(sign_in, engine, letters):
    """It ends with the reason in its outcome."""
    client = sign_in("operator")
    path = f"/dead/{letters['emails']}"

    answer = send(client, f"{path}/discard", client.get(path), because="called them")

    assert "It has ended undone" in text(answer)
    assert rig.one(engine, "select state, outcome from followups where id = %(id)s",
                   id=letters["emails"]) == (
        "discarded",
        {"discarded": "called them", "by": "operator"},
    )  # fmt: skip


def confirmed(client, path):
    """The fields of the form that asks whether that is meant."""
    page = client.get(path)
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    return page, fields


def test_many_are_tried_again(sign_in, engine, letters):
    """The page says before how many, and what it would come to; they are, and no other, nor what
    died meanwhile.
    """
    too_new(engine, 4)
    client = sign_in("operator")
    page, fields = confirmed(client, "/dead/replay?queue=commands")
    too_new(engine, 2)

    answer = client.post("/dead/replay", data=fields)

    assert "5 letters are tried again" in text(page)
    assert "Would still fail: 5" in text(page)
    assert "5 letters replayed." in text(answer)
    assert acts(engine) == [("operator", "replayed", "commands", 5)]
    assert rig.count(engine, "commands", "state = 'dead'") == 2
    assert state(engine, letters["emails"]) == "dead"


def test_what_others_have_in_hand_is_left(sign_in, engine):
    """A round acts on what is free, and asks for the next as long as that did something."""
    first, _ = too_new(engine, 2)
    client = sign_in("operator")
    _, fields = confirmed(client, "/dead/replay")

    with engine.begin() as connection:
        connection.exec_driver_sql("select from commands where id = %(id)s for update",
                                   {"id": first})  # fmt: skip
        part = client.post("/dead/replay", data=fields, headers={"HX-Request": "true"})
        _, again = confirmed(client, "/dead/replay")
        last = client.post("/dead/replay", data=again | {"so_far": "1", "total": "2"})

    assert part.text.startswith('<div id="round"')
    assert 'hx-trigger="load"' in part.text
    assert 'name="so_far" value="1"' in part.text
    assert "1 letter replayed." in text(last)
    assert "1 letter is left: somebody else has it in hand." in text(last)


def test_many_are_given_up_but_no_money(sign_in, engine, letters):
    """All but the refund part, of which the page says what to do instead."""
    client = sign_in("operator")
    page, fields = confirmed(client, "/dead/discard")

    answer = client.post("/dead/discard", data=fields | {"because": "a test"})

    assert "2 letters end undone" in text(page)
    assert "1 refund part is among them" in text(page)
    assert "2 letters given up." in text(answer)
    assert {route: state(engine, one) for route, one in letters.items()} == {
        "commands": "discarded",
        "emails": "discarded",
        "refunds": "dead",
    }
    assert [act[1:] for act in acts(engine)] == [
        ("discarded", "commands", 1),
        ("discarded", "emails", 1),
    ]


@pytest.fixture
def wrong(engine):
    """A shipment of more than there is that died, and its body as it was sent."""
    rig.placed(engine)
    (letter,) = too_new(engine, items=[{"line_id": "A", "quantity": 1}])
    return letter, rig.command(engine, letter).body


def test_a_command_is_set_right(sign_in, engine, wrong):
    """A check says what would come of it and writes nothing; then a new command takes its place."""
    letter, body = wrong
    client = sign_in("operator")
    path = f"/dead/{letter}"
    shown = client.get(path)
    right = json.dumps(body | {"schema_version": 1})
    before = rig.dump(engine)

    check = send(client, f"{path}/edit", shown, act="check", body=right)
    assert "Would succeed" in text(check)
    assert "Changes: schema_version" in text(check)
    assert rig.dump(engine) == before

    done = send(client, f"{path}/edit", shown, act="send", body=right)
    assert "It is due again: Commands, order O-1." in text(done)
    assert state(engine, letter) == "discarded"
    assert rig.one(engine, "select kind, issued_by from (select kind, body ->> 'issued_by' as"
                   " issued_by from commands where state = 'pending') as c") == (
        "ship",
        "operator",
    )  # fmt: skip
    assert acts(engine) == [("operator", "edited", "commands", 1)]


def test_an_email_is_set_right(sign_in, engine):
    """The form shows where it would go; what is typed is checked, then this e-mail uses it."""
    rig.placed(engine, customer=Customer(email="old@shop.example", locale="fr"))
    rig.decided(engine, make.ship(items=make.items(A=1)))
    letter = dead_followup(engine, "emails")
    client = sign_in("operator")
    path = f"/dead/{letter}"
    shown = client.get(path)
    fields = {"to": "new@shop.example", "locale": "fr"}
    before = rig.dump(engine)

    check = send(client, f"{path}/edit", shown, act="check", **fields)
    assert 'value="old@shop.example"' in shown.text
    assert "Would succeed" in text(check)
    assert rig.dump(engine) == before

    send(client, f"{path}/edit", shown, act="send", **fields)
    assert rig.one(engine, "select state, edits from followups where id = %(id)s", id=letter) == (
        "pending",
        {"to": "new@shop.example"},
    )
    assert acts(engine) == [
        ("operator", "edited", "emails", 1),
        ("operator", "replayed", "emails", 1),
    ]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (("viewer", "{commands}/replay", {}), 403),
        (("agent", "{commands}/discard", {"because": "x"}), 403),
        (("agent", "{commands}/edit", {"act": "send", "body": "{}"}), 403),
        (("agent", "replay", SOON), 403),
        (("agent", "discard", SOON | {"because": "x"}), 403),
        (("operator", "{refunds}/discard", {"because": "x"}), 409),
        (("operator", "{commands}/discard", {"because": ""}), 422),
        (("operator", "{commands}/edit", {"act": "send", "body": "{"}), 422),
        (("operator", "{commands}/edit", {"act": "send", "body": '{"kind": "hold"}'}), 422),
        (("operator", "{refunds}/edit", {"act": "send", "to": "a@b.example"}), 422),
        (("operator", "{emails}/edit", {"act": "send", "to": "nobody"}), 422),
        (("operator", "{emails}/edit", {"act": "send"}), 422),
        (("operator", "replay", {}), 422),
        (("operator", "discard", SOON), 422),
        (("operator", "00000000-0000-0000-0000-000000000000/replay", {}), 404),
    ],
)
def test_refused(sign_in, engine, letters, sent, status):
    """Who may not, what nobody may, and what makes no sense: nothing is written."""
    role, what, fields = sent
    client = sign_in(role)
    token = csrf(client.get("/dead"))
    before = rig.dump(engine)

    answer = client.post(f"/dead/{what.format(**letters)}", data={"csrf": token} | fields)

    assert answer.status_code == status, text(answer)
    assert rig.dump(engine) == before


def test_only_operators_are_asked(sign_in, letters):
    """The pages before an act are theirs as well; a letter that is none is not here."""
    agent = sign_in("agent")

    assert agent.get("/dead/replay").status_code == 403
    assert agent.get("/dead/discard").status_code == 403
    assert agent.get(f"/dead/{letters['emails']}").status_code == 200
    assert agent.get("/dead/00000000-0000-0000-0000-000000000000").status_code == 404
