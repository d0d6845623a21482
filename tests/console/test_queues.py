"""`/queues`: what there is, who does it; a queue is held up, and goes on."""

import re

import pytest

from messages.wire import ROUTES
from tests import factories as make
from tests.console.pages import csrf, plain, send, text
from tests.work import rig
from tests.work.test_dead import too_new
from worker.work.queues import pause

COLUMNS = ("Due", "In progress", "Waiting", "Bulk", "Crashed", "Dead")


def row(answer, route):
    """What the page says of a queue, by column."""
    found = re.search(rf'<tr id="queue-{route}">.*?</tr>', answer.text, re.DOTALL)[0]
    cells = re.findall(r'<td[^>]*data-label="([^"]+)">(.*?)</td>', found, re.DOTALL)
    return {label: " ".join(re.sub(r"<[^>]*>", " ", cell).split()) for label, cell in cells}


def test_each_queue_is_a_row(sign_in, engine):
    """Due, waiting and for what, in hand, bulk, crashed, dead: as the database has it; what died
    leads to the letters.
    """
    too_new(engine, 2)
    rig.placed(engine)
    rig.decided(engine, make.ship(items=make.items(A=1)))
    rig.accepted(engine, make.hold(order_id="O-9"), make.complete())
    rig.drainer(engine, batch_size=1)
    rig.run(engine, "update commands set next_at = now() + interval '1 hour', waits_for = 'order'"
            " where order_id = 'O-9'")  # fmt: skip
    rig.run(engine, "update commands set crashes = 1 where kind = 'complete'")

    answer = sign_in().get("/queues")

    assert {name: row(answer, "commands")[name] for name in COLUMNS} == {
        "Due": "1",
        "In progress": "0",
        "Waiting": "1 for their order",
        "Bulk": "0",
        "Crashed": "1",
        "Dead": "2",
    }
    assert row(answer, "emails")["Due"] == "1"
    assert 'href="/dead?queue=commands"' in answer.text
    assert "Hold a queue up" not in answer.text


def test_what_is_looked_at_again_is_a_part(sign_in):
    """Htmx gets the table alone, which asks for itself again; who is away is not asked for."""
    part = sign_in().get("/queues", headers={"HX-Request": "true"})

    assert part.text.startswith('<div id="work" data-live hx-get="/queues"')
    assert "<html" not in part.text


def test_who_works(sign_in, engine):
    """Each worker process with what it serves and what is in its hands; without any, the page says
    what to do.
    """
    client = sign_in()
    assert "No worker is alive" in text(client.get("/queues"))
    rig.run(engine, "insert into worker_processes values"
            " (gen_random_uuid(), 'box-2', 42, %(all)s, now(), now(), '[]'),"
            " (gen_random_uuid(), 'box-1', 7, '{labels,emails}', now(), now(), %(doing)s)",
            all=list(ROUTES),
            doing='[{"queue": "emails", "batch": 1, "rows": 4, "for_s": 61.5}]')  # fmt: skip

    answer = client.get("/queues")

    assert "2 worker processes are alive" in text(answer)
    rows = re.findall(r'<tr>\s*<th scope="row" class="text">.*?</tr>', answer.text, re.DOTALL)
    first, second = (plain(re.sub(r"<time.*?</time>", "", row)) for row in rows)
    assert first == "box-1 pid 7 Labels, E-mails E-mails: 4 for 1 min"
    assert second == "box-2 pid 42 all queues nothing"


def test_a_queue_is_held_up_and_goes_on(sign_in, engine):
    """Paused for a reason that the page shows, under the user's name; then it goes on. A second
    time nothing is written.
    """
    client = sign_in("operator")
    shown = client.get("/queues")

    paused = send(client, "/queues/pause", shown, queue="emails", reason="SMTP is down")
    seen = client.get("/queues")
    resumed = [send(client, "/queues/resume", shown, queue="emails") for _ in "12"]

    assert (paused.status_code, paused.headers["location"]) == (303, "/queues")
    assert "Paused SMTP is down" in text(seen)
    assert "Let E-mails go on" in text(seen)
    assert [one.status_code for one in resumed] == [303, 303]
    assert rig.count(engine, "paused_routes") == 0
    assert rig.rows(engine, "select actor, act, route, details ->> 'reason' from audit"
                    " where route is not null order by audit_id") == [
        ("operator", "paused", "emails", "SMTP is down"),
        ("operator", "resumed", "emails", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("role", "sent", "status"),
    [
        ("viewer", ("/queues/pause", {"queue": "emails", "reason": "x"}), 403),
        ("agent", ("/queues/pause", {"queue": "emails", "reason": "x"}), 403),
        ("agent", ("/queues/resume", {"queue": "labels"}), 403),
        ("operator", ("/queues/pause", {"queue": "nothing", "reason": "x"}), 422),
        ("operator", ("/queues/pause", {"queue": "emails", "reason": " "}), 422),
        ("operator", ("/queues/pause", {"queue": "emails", "reason": "x" * 501}), 422),
        ("operator", ("/queues/resume", {}), 422),
    ],
)
def test_refused(sign_in, engine, role, sent, status):
    """Who may not, and what is no queue or no reason: nothing is written."""
    with engine.begin() as connection:
        pause(connection, "labels", "x", actor="test")
    client = sign_in(role)
    token = csrf(client.get("/queues"))
    before, (path, fields) = rig.dump(engine), sent

    answer = client.post(path, data={"csrf": token} | fields)

    assert answer.status_code == status
    assert rig.dump(engine) == before
