"""Keys of the HTTP door: who may do what, and how they come and go."""

import json

import pytest
from typer.testing import CliRunner

from tests import factories as make
from tests.work import rig
from worker.cli.root import app
from worker.web import keys
from worker.web.keys import CACHED_S, Keys
from worker.web.rates import Rates


@pytest.fixture
def cli(database_url, redis_url):
    """Runs a command on the test's database."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    return lambda *words: CliRunner().invoke(app, list(words), env=environment)


def key_id(key):
    return key.split("_")[1]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer",
        "Bearer nonsense",
        "Basic eDp5",
        "Bearer fk_000000000000_" + "A" * 43,
    ],
)
def test_without_a_valid_key_there_is_nothing(make_client, engine, add_key, header):
    """401 for each operation, with how to authenticate; nothing is written."""
    add_key("ship")
    client = make_client()
    headers = {"Authorization": header} if header else {}
    command = make.ship()

    answers = [
        client.post("/v1/commands", json=command.body(), headers=headers),
        client.get(f"/v1/commands/{command.command_id}", headers=headers),
        client.post("/v1/preview", json=command.body(), headers=headers),
        client.get("/v1/orders", headers=headers),
        client.post("/v1/orders", json={}, headers=headers),
        client.get("/v1/orders/O-1", headers=headers),
        client.get("/v1/orders/O-1/explain", headers=headers),
        client.get(f"/v1/shipments/{command.command_id}/label.pdf", headers=headers),
    ]

    assert {one.status_code for one in answers} == {401}
    assert {one.json()["type"] for one in answers} == {"/problems/unauthorized"}
    assert {one.headers["www-authenticate"] for one in answers} == {"Bearer"}
    assert rig.count(engine, "commands") == 0


def test_a_door_without_any_key_opens_to_nobody(make_client, engine):
    """No key in the table is no reason to let everybody in."""
    answer = make_client().post("/v1/commands", json=make.ship().body())

    assert answer.status_code == 401
    assert rig.count(engine, "commands") == 0


def test_the_right_id_with_another_secret_is_nobody(make_client, add_key, engine):
    """The secret is what counts, not the id that everybody may see."""
    one, other = add_key("ship"), add_key("ship")
    mixed = "_".join([*one.split("_")[:2], *other.split("_")[2:]])

    answer = make_client(mixed).post("/v1/commands", json=make.ship().body())

    assert answer.status_code == 401
    assert rig.count(engine, "commands") == 0


def test_a_key_is_for_its_kinds(make_client, add_key, engine):
    """Another kind is 403, in an array too, of which then nothing is accepted; what the key is for
    passes.
    """
    client = make_client(add_key("ship"))
    ship, refund = make.ship(), make.refund(amount=make.money(1))

    refused = [
        client.post("/v1/commands", json=refund.body()),
        client.post("/v1/commands", json=[ship.body(), refund.body()]),
        client.post("/v1/preview", json=refund.body()),
        client.post("/v1/orders", json={}),
    ]
    assert rig.count(engine, "commands") == 0
    allowed = client.post("/v1/commands", json=ship.body())

    assert [one.status_code for one in refused] == [403] * 4
    assert {one.json()["type"] for one in refused} == {"/problems/forbidden"}
    assert allowed.status_code == 202


def test_only_a_reading_key_sees_orders(make_client, add_key, engine):
    """Who only sends sees the outcomes of its kinds, no order, nobody's name; who only reads sends
    nothing.
    """
    place, ship = make.place(), make.ship()
    rig.decided(engine, place, ship)
    sender, reader = make_client(add_key("ship")), make_client(add_key(may_read=True))
    orders = ("/v1/orders", "/v1/orders/O-1", "/v1/orders/O-1/explain")

    assert [sender.get(path).status_code for path in orders] == [403] * 3
    assert [reader.get(path).status_code for path in orders] == [200] * 3
    assert sender.get(f"/v1/commands/{ship.command_id}").status_code == 200
    assert sender.get(f"/v1/commands/{place.command_id}").status_code == 403
    assert reader.get(f"/v1/commands/{place.command_id}").status_code == 200
    assert reader.post("/v1/commands", json=make.ship().body()).status_code == 403
    assert rig.count(engine, "commands") == 2


def test_a_revoked_key_works_no_longer_than_it_is_remembered(engine, add_key):
    """What was looked up counts for some seconds, then the key is nobody's."""
    now = [0.0]
    found = Keys(engine, clock=lambda: now[0])
    key = add_key("ship")
    assert found.find(key).kinds == {"ship"}

    with engine.begin() as connection:
        assert keys.revoke(connection, "test", key_id(key)) is True
        assert keys.revoke(connection, "test", key_id(key)) is False

    now[0] = CACHED_S - 0.01
    assert found.find(key) is not None
    now[0] = CACHED_S
    assert found.find(key) is None


def test_a_key_that_is_used_is_looked_up_once(engine, add_key):
    """Within some seconds requests ask the database nothing, and its last use is noted once."""
    found, key = Keys(engine), add_key("ship")

    with rig.statements(engine) as sent:
        assert all(found.find(key) for _ in range(5))

    assert [rig.name(statement) for statement, _ in sent] == ["find_key", "used_key"]
    assert rig.count(engine, "api_keys", "last_used_at is not null") == 1


def test_a_key_is_shown_once_and_kept_as_a_hash(cli, engine, make_client):
    """`keys add` prints it; the database has its hash, `keys list` and the audit have neither."""
    added = cli("keys", "add", "warehouse", "--kinds", "ship,complete", "--by", "Kim")
    key = added.stdout.strip()
    secret = key.split("_", 2)[2]

    listed = cli("keys", "list", "--json")

    assert added.exit_code == 0
    row = json.loads(listed.stdout)
    assert (row["id"], row["name"], row["kinds"], row["may_read"]) == (
        key_id(key),
        "warehouse",
        ["complete", "ship"],
        False,
    )
    everything = f"{rig.dump(engine)} {listed.output}"
    assert secret not in everything
    assert rig.one(engine, "select actor, act, details ->> 'key' from audit") == (
        "Kim",
        "key_added",
        key_id(key),
    )
    assert make_client(key).post("/v1/commands", json=make.ship().body()).status_code == 202


def test_revoking_is_for_ever_and_written_down(cli, engine, make_client):
    """The key opens nothing any more, the audit says who ended it, a second time there is none."""
    key = cli("keys", "add", "warehouse", "--kinds", "ship").stdout.strip()

    ended = cli("keys", "revoke", key_id(key), "--by", "Kim")
    again = cli("keys", "revoke", key_id(key))

    assert (ended.exit_code, again.exit_code) == (0, 4)
    assert make_client(key).get("/v1/orders").status_code == 401
    assert rig.rows(engine, "select act, actor from audit order by audit_id offset 1") == [
        ("key_revoked", "Kim")
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--kinds", "ship,steal"), "--kinds: must be one of place, ship"),
        ((), "give --kinds, --read or both"),
    ],
)
def test_a_key_for_nothing_is_refused(cli, engine, words, sentence):
    """A kind that does not exist, or none at all: exit code 2, no key, no audit."""
    result = cli("keys", "add", "warehouse", *words)

    assert (result.exit_code, sentence in result.stderr) == (2, True)
    assert (rig.count(engine, "api_keys"), rig.count(engine, "audit")) == (0, 0)


def test_too_many_requests_of_one_key(make_client, add_key, engine):
    """The third of two a minute is 429 with when to come again, and nothing is written; each answer
    says how many are left, and another key has its own.
    """
    limited, other = add_key("ship", rate_per_minute=2), add_key("ship", rate_per_minute=2)
    client = make_client()

    def send(key):
        headers = {"Authorization": f"Bearer {key}"}
        return client.post("/v1/commands", json=make.ship().body(), headers=headers)

    answers = [send(limited) for _ in range(3)]

    assert [one.status_code for one in answers] == [202, 202, 429]
    assert [one.headers["ratelimit"].split(";")[1] for one in answers] == ["r=1", "r=0", "r=0"]
    assert answers[0].headers["ratelimit-policy"] == '"key";q=2;w=60'
    assert answers[2].json()["type"] == "/problems/too-many-requests"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    assert rig.count(engine, "commands") == 2
    assert send(other).status_code == 202


def test_the_count_begins_anew_each_minute():
    """A key's window is a minute from its first request."""
    now = [100.0]
    rates = Rates(clock=lambda: now[0])

    first, second = rates.take("a", 1), rates.take("a", 1)
    now[0] = 160.0
    third = rates.take("a", 1)

    assert (first.is_allowed, second.is_allowed, third.is_allowed) == (True, False, True)
    assert (second.left, second.reset_s) == (0, 60)
