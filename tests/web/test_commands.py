"""Commands in over HTTP, and what became of them."""

from uuid import UUID, uuid4

import pytest

from messages import Payment
from tests import factories as make
from tests.faults.proxy import Proxy, Way
from tests.work import rig
from worker.web.commands import derived_id

BOOKS = tuple(table for table in rig.TABLES if table != "api_keys")
"""Whatever a request could change; a key's last use is noted."""
NOWHERE = "postgresql://postgres@127.0.0.1:1/nothing"


def test_a_command_is_committed_before_it_is_answered(client, engine, hints):
    """202 with the address of the command, whose row is there; workers are hinted once."""
    command = make.ship()

    answer = client.post("/v1/commands", json=command.body())

    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/commands/{command.command_id}"
    assert answer.json() == {
        "command_id": str(command.command_id),
        "answer": "accepted",
        "state": "pending",
        "outcome": None,
        "location": f"/v1/commands/{command.command_id}",
        "errors": [],
    }
    assert rig.state(engine, command) == "pending"
    assert hints.sent == 1


def test_the_same_again_is_known_with_its_outcome(client, engine, hints):
    """Sent again after it was decided: 202, the stored outcome, no second row, no second hint."""
    command = make.place()
    client.post("/v1/commands", json=command.body())
    rig.drainer(engine)()

    answer = client.post("/v1/commands", json=command.body())

    told = answer.json()
    assert (answer.status_code, told["answer"], told["state"]) == (202, "known", "applied")
    assert told["outcome"]["order_version"] == 1
    assert rig.count(engine, "commands") == 1
    assert hints.sent == 1


def test_another_command_under_its_id_is_a_conflict(client, engine):
    """409 for a single one; the first stays as it is, and a stray tells of the second."""
    first = make.ship()
    client.post("/v1/commands", json=first.body())
    row = rig.command(engine, first).fingerprint

    answer = client.post(
        "/v1/commands", json=make.refund(command_id=first.command_id, amount=make.money(1)).body()
    )

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/id-reused")
    assert rig.command(engine, first).fingerprint == row
    assert rig.count(engine, "strays", "reason = 'id_reused'") == 1


def test_what_is_no_command_is_refused_field_by_field(client, engine, hints):
    """422 names each field and what is allowed, never a value; nothing is written, not even a
    stray.
    """
    before = rig.dump(engine, BOOKS)
    body = make.ship().body() | {"items": [{"line_id": "A", "quantity": -76543}], "secret": "Jane"}

    answer = client.post("/v1/commands", json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["type"] == "/problems/invalid"
    assert [one["field"] for one in told["errors"]] == ["items.0.quantity", "secret"]
    assert "Jane" not in answer.text
    assert "76543" not in answer.text
    assert rig.dump(engine, BOOKS) == before
    assert hints.sent == 0


def test_of_an_array_each_is_judged_by_itself(client, engine, hints):
    """One is accepted, one is known, one has another's id, one is no command: 202, each with its
    answer, in order.
    """
    known, fresh = make.ship(), make.ship()
    client.post("/v1/commands", json=known.body())
    reused = make.refund(command_id=known.command_id, amount=make.money(1))

    answer = client.post(
        "/v1/commands", json=[fresh.body(), known.body(), reused.body(), {"kind": "ship"}]
    )

    assert answer.status_code == 202
    results = answer.json()["results"]
    assert [one["answer"] for one in results] == ["accepted", "known", "id_reused", "refused"]
    assert [bool(one["location"]) for one in results] == [True, True, False, False]
    assert [one["field"] for one in results[3]["errors"]] == ["command_id", "order_id"]
    assert rig.count(engine, "commands") == 2
    assert hints.sent == 2


def test_an_array_of_which_nothing_is_accepted_is_a_problem(client, engine):
    """422 with all the reasons; nothing is written."""
    answer = client.post("/v1/commands", json=[{"kind": "ship"}, 7])

    told = answer.json()
    assert (answer.status_code, told["type"]) == (422, "/problems/none-accepted")
    assert [one["answer"] for one in told["results"]] == ["refused", "refused"]
    assert rig.count(engine, "commands") == 0


def test_an_array_whose_ids_all_belong_to_others_is_a_conflict(client, engine):
    """409, as for a single one; nothing is accepted."""
    first = make.ship()
    client.post("/v1/commands", json=first.body())

    answer = client.post("/v1/commands", json=[make.cancel(command_id=first.command_id).body()])

    told = answer.json()
    assert (answer.status_code, told["type"]) == (409, "/problems/id-reused")
    assert [one["answer"] for one in told["results"]] == ["id_reused"]
    assert rig.count(engine, "commands") == 1


@pytest.mark.parametrize("body", [[], [make.ship().body()] * 501])
def test_an_array_has_1_to_500_commands(client, engine, body):
    """422 for none and for too many; nothing is written."""
    answer = client.post("/v1/commands", json=body)

    assert (answer.status_code, answer.json()["errors"]) == (
        422,
        [{"field": "body", "detail": "must hold 1 to 500 commands"}],
    )
    assert rig.count(engine, "commands") == 0


@pytest.mark.parametrize("quoted", ['"{}"', "{}"])
def test_an_idempotency_key_that_is_a_uuid_is_the_id(client, engine, quoted):
    """Bare, or in quotes as the draft of the header has it."""
    command_id = uuid4()
    body = make.ship(command_id=command_id).body()
    del body["command_id"]

    answer = client.post(
        "/v1/commands", json=body, headers={"Idempotency-Key": quoted.format(command_id)}
    )

    assert answer.json()["command_id"] == str(command_id)
    assert rig.count(engine, "commands", f"id = '{command_id}'") == 1


def test_any_other_idempotency_key_gives_an_id_for_ever(client):
    """The derived id is frozen: a later version that derived another would apply it twice."""
    body = make.ship().body()
    del body["command_id"]

    answers = [
        client.post("/v1/commands", json=body, headers={"Idempotency-Key": "order 7, parcel 1"})
        for _ in range(2)
    ]

    assert [one.json()["answer"] for one in answers] == ["accepted", "known"]
    assert {one.json()["command_id"] for one in answers} == {FROZEN}
    assert derived_id("order 7, parcel 1") == UUID(FROZEN)


FROZEN = "7edeca87-ad92-5804-8bd4-c1cfc3812e80"


def test_two_ids_that_differ_are_refused(client, engine):
    """Header and body say different ids: 422, nothing is written; the same id twice is fine."""
    command = make.ship()

    wrong = client.post(
        "/v1/commands", json=command.body(), headers={"Idempotency-Key": str(uuid4())}
    )
    assert rig.count(engine, "commands") == 0
    right = client.post(
        "/v1/commands", json=command.body(), headers={"Idempotency-Key": str(command.command_id)}
    )

    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "command_id")
    assert right.status_code == 202


def test_without_any_id_it_is_refused(client, engine):
    """Nobody could send it again: 422 names the field, nothing is written."""
    body = make.ship().body()
    del body["command_id"]

    answer = client.post("/v1/commands", json=body)

    assert (answer.status_code, answer.json()["errors"]) == (
        422,
        [{"field": "command_id", "detail": "Field required"}],
    )
    assert rig.count(engine, "commands") == 0


def test_an_array_takes_no_idempotency_key(client, engine):
    """One key for several commands means nothing: 422, nothing is written."""
    answer = client.post(
        "/v1/commands", json=[make.ship().body()], headers={"Idempotency-Key": str(uuid4())}
    )

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert rig.count(engine, "commands") == 0


@pytest.mark.timeout(60)
def test_without_a_database_it_is_503(make_client, hints):
    """Nothing is said to be accepted: 503, when to try again, and no hint."""
    client = make_client(url=NOWHERE, has_keys=False, base_url="http://localhost")

    answer = client.post("/v1/commands", json=make.ship().body())

    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert answer.headers["retry-after"] == "2"
    assert hints.sent == 0


@pytest.mark.timeout(60)
def test_with_a_database_that_says_nothing_it_is_503(make_client, engine, hints):
    """It takes connections and never answers: the time is up, nothing is said to be accepted."""
    with Proxy(engine.url.port).served() as proxy:
        url = engine.url.set(port=proxy.port).render_as_string(hide_password=False)
        client = make_client(url=url, has_keys=False, call_s=0.2, base_url="http://localhost")
        with proxy.going(Way.HANG):
            answer = client.post("/v1/commands", json=make.ship().body())

    assert (answer.status_code, answer.json()["detail"]) == (503, "the database does not answer")
    assert hints.sent == 0


def test_without_a_schema_it_is_503(make_client, engine, hints):
    """A database that was not migrated takes no commands."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("create database without_schema template template0")
    url = engine.url.set(database="without_schema").render_as_string(hide_password=False)
    client = make_client(url=url, has_keys=False, base_url="http://localhost")

    answer = client.post("/v1/commands", json=make.ship().body())

    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "the database's schema is missing or old",
    )
    assert hints.sent == 0


def test_a_command_can_be_asked_about(client, engine):
    """What was sent by any door is found by its id, without its body; another id is 404."""
    command = make.place()
    rig.decided(engine, command)

    told = client.get(f"/v1/commands/{command.command_id}").json()
    nothing = client.get(f"/v1/commands/{uuid4()}")

    assert (told["state"], told["kind"], told["order_id"]) == ("applied", "place", "O-1")
    assert told["outcome"]["order_version"] == 1
    assert "body" not in told
    assert (nothing.status_code, nothing.json()["type"]) == (404, "/problems/not-found")


def test_preview_says_what_would_happen_and_writes_nothing(client, engine):
    """The refund that a cancellation would make, in all; what the rules would refuse, and why."""
    rig.placed(engine, payments=(Payment(payment_id="P1", captured_minor=300),))
    before = rig.dump(engine, BOOKS)
    cancel = make.cancel(items=make.items(A=1), refund="full")

    answer = client.post("/v1/preview", json=[cancel.body(), make.ship(order_id="O-2").body()])

    first, second = answer.json()["results"]
    assert answer.status_code == 200
    assert (first["would_be"], first["total_to_refund"]) == (
        "applied",
        {"amount_minor": 100, "currency": "EUR"},
    )
    assert (second["would_be"], second["waits_for"]) == ("waiting", "order")
    assert rig.dump(engine, BOOKS) == before
