"""`/strays`: what could not be accepted, looked at, taken in, given up."""

import re

import pytest

from tests import factories as make
from tests.console.pages import csrf, link, send, text
from tests.console.test_dead import confirmed
from tests.work import rig
from tests.work.test_strays import stray

SOON = {"came_before": "2999-01-01T00:00:00+00:00"}


def hold(order_id=make.ORDER_ID):
    """A command, as it is sent."""
    return make.hold(order_id=order_id).body()


def acts(engine):
    return rig.rows(
        engine,
        "select actor, act, count(*)::integer from audit where act like 'stray%%'"
        " group by actor, act order by 2",
    )


def test_by_reason_and_each(sign_in, engine):
    """How many for what reason, then each; filters narrow down; viewers see no button."""
    first = stray(engine, "{", problem="no JSON")
    last = stray(engine, hold(), reason="unsigned")
    client = sign_in()

    answer, narrow = client.get("/strays"), client.get("/strays?reason=unsigned")

    assert "1 invalid no JSON" in text(answer)
    assert re.findall(r'href="/strays/(\d+)"', answer.text) == [str(last), str(first)]
    assert re.findall(r'href="/strays/(\d+)"', narrow.text) == [str(last)]
    assert "Take in…" not in answer.text
    assert "body: is no JSON" in text(client.get(f"/strays/{first}"))


def test_pages_follow_each_other(sign_in, engine):
    """Next leads through all strays, the latest first, each once, with the filters."""
    rig.run(engine, "insert into strays (reason, body)"
            " select 'unsigned', '{' from generate_series(1, 70)")  # fmt: skip
    client = sign_in()

    first = client.get("/strays?reason=unsigned")
    second = client.get(link(first, "next"))

    shown = [re.findall(r'href="/strays/(\d+)"', one.text) for one in (first, second)]
    assert shown[0] + shown[1] == [str(n) for n in range(70, 0, -1)]
    assert (len(shown[0]), 'rel="next"' in second.text) == (50, False)


def test_one_is_set_right_and_taken_in(sign_in, engine):
    """A check says what would come of it and writes nothing; then it is a command, and the list
    is empty; the audit keeps what came.
    """
    number = stray(engine, "{")
    client = sign_in("operator")
    path = f"/strays/{number}"
    shown, right = client.get(path), make.hold().model_dump_json(exclude_none=True)
    before = rig.dump(engine)

    check = send(client, f"{path}/replay", shown, act="check", body=right)
    assert "Put on hold · O-1 Would wait" in text(check)
    assert rig.dump(engine) == before

    done = send(client, f"{path}/replay", shown, act="send", body=right)
    assert "It was taken in: Put on hold · O-1" in text(done)
    assert rig.rows(engine, "select kind, state from commands") == [("hold", "pending")]
    assert rig.count(engine, "strays") == 0
    assert acts(engine) == [("operator", "stray_replayed", 1)]


def test_an_id_that_belongs_to_another(sign_in, engine):
    """It is refused, and stays, until it is given an id of its own."""
    sent = make.hold()
    rig.accepted(engine, sent)
    number = stray(engine, sent.body() | {"order_id": "O-2"}, reason="id_reused")
    client = sign_in("operator")
    path = f"/strays/{number}"
    shown = client.get(path)

    refused = send(client, f"{path}/replay", shown, act="send")
    assert (refused.status_code, rig.count(engine, "strays")) == (422, 1)

    done = send(client, f"{path}/replay", shown, act="send", new_id="true")
    assert "It was taken in: Put on hold · O-2" in text(done)
    assert rig.count(engine, "commands") == 2


def test_what_the_door_refused_needs_somebody_to_vouch(sign_in, engine):
    """Whoever reaches Redis may have written it: one by one and by filter alike."""
    one, other = (stray(engine, hold(), reason="unsigned") for _ in "12")
    client = sign_in("operator")
    path = f"/strays/{one}"
    shown = client.get(path)
    _, fields = confirmed(client, "/strays/replay?reason=unsigned")

    assert send(client, f"{path}/replay", shown, act="send").status_code == 422
    many = client.post("/strays/replay", data=fields)
    assert "2 strays stay" in text(many)
    assert rig.count(engine, "commands") == 0

    assert send(client, f"{path}/replay", shown, act="send", vouched="true").status_code == 200
    many = client.post("/strays/replay", data=fields | {"vouched": "true"})
    assert "1 stray was taken in." in text(many)
    assert rig.count(engine, "commands") == 2
    assert other > one


def test_many_are_taken_in_and_given_up(sign_in, engine):
    """What is a command is taken in, the rest stays with its problem, and is given up then."""
    for body in (hold(), hold("O-2"), "{"):
        stray(engine, body)
    client = sign_in("operator")
    page, fields = confirmed(client, "/strays/replay?reason=invalid")
    taken = client.post("/strays/replay", data=fields)
    sure, fields = confirmed(client, "/strays/discard")
    given_up = client.post("/strays/discard", data=fields | {"because": "noise"})

    assert "3 strays are taken in" in text(page)
    assert "2 strays were taken in. 1 stray stays" in text(taken)
    assert "1 stray leaves the list." in text(sure)
    assert "1 stray left the list" in text(given_up)
    assert rig.count(engine, "strays") == 0
    assert acts(engine) == [("operator", "stray_discarded", 1), ("operator", "stray_replayed", 2)]


@pytest.mark.parametrize(
    ("role", "sent", "status"),
    [
        ("viewer", ("{}/replay", {"act": "send"}), 403),
        ("agent", ("{}/discard", {"because": "x"}), 403),
        ("agent", ("replay", SOON), 403),
        ("agent", ("discard", SOON | {"because": "x"}), 403),
        ("operator", ("{}/replay", {"act": "send", "body": "["}), 422),
        ("operator", ("{}/discard", {}), 422),
        ("operator", ("replay", {"came_before": "now"}), 422),
        ("operator", ("discard", SOON), 422),
        ("operator", ("9999/replay", {"act": "send"}), 404),
        ("operator", ("9999/discard", {"because": "x"}), 404),
    ],
)
def test_refused(sign_in, engine, role, sent, status):
    """Who may not, and what makes no sense: nothing is written."""
    number = stray(engine, hold())
    client = sign_in(role)
    token = csrf(client.get("/strays"))
    before, (what, fields) = rig.dump(engine), sent

    answer = client.post(f"/strays/{what.format(number)}", data={"csrf": token} | fields)

    assert answer.status_code == status, text(answer)
    assert rig.dump(engine) == before
