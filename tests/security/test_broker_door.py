"""The broker door of a merchant who has closed it: settings, a real worker, and the way back in."""

import json

import psycopg
import pytest
from typer.testing import CliRunner

from messages import SigningKey, publish, publish_many
from tests import factories as make
from tests.acceptance.processes import groups, is_quiet, until
from tests.work import rig
from worker.broker.admission import Admission
from worker.broker.redis import make_broker
from worker.cli.root import app
from worker.settings import Settings
from worker.work.accept import record_stray
from worker.work.strays import (
    REFUSED_AT_THE_DOOR,
    ChosenStrays,
    NotVouchedFor,
    commands_of,
    replay_stray,
    strays,
)

SECRET = "a-secret-of-thirty-two-bytes-or-more"
KEY = SigningKey.of(f"2026-11:{SECRET}")


@pytest.fixture
def cli(database_url, redis_url):
    """Runs a command."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    return lambda *words, **more: CliRunner().invoke(app, words, env=environment | more)


def test_settings():
    """Kinds and keys with commas between them, by either name; unset, everything comes in."""
    given = {
        "BROKER_DOOR_KINDS": "ship, complete",
        "FULFILLMENT_BROKER_DOOR_KEYS": f"2026-11:{SECRET},2026-10:{SECRET}",
    }

    settings = Settings(**given)

    assert settings.broker_door_kinds == ("ship", "complete")
    assert [key.key_id for key in settings.signing_keys] == ["2026-11", "2026-10"]
    assert settings.signing_keys[0] == KEY
    assert SECRET not in f"{settings!r} {settings.model_dump_json()}"
    assert Settings(BROKER_DOOR_KINDS="").broker_door_kinds == ()
    unset = Settings()
    assert Admission.of(unset.broker_door_kinds, unset.signing_keys).is_open


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"BROKER_DOOR_KINDS": "ship,sail"}, "BROKER_DOOR_KINDS: must be some of place, ship, "),
        ({"BROKER_DOOR_KEYS": f"{SECRET}"}, "BROKER_DOOR_KEYS: a key's secret must have 32 bytes"),
        ({"BROKER_DOOR_KEYS": "a:short"}, "BROKER_DOOR_KEYS: a key's secret must have 32 bytes"),
        ({"BROKER_DOOR_KEYS": f"?:{SECRET}"}, "BROKER_DOOR_KEYS: a key's id must be"),
        ({"BROKER_DOOR_KEYS": f"a:{SECRET},a:{SECRET}"}, "BROKER_DOOR_KEYS: two keys have"),
        ({"BROKER_DOOR_KEYS": ""}, "BROKER_DOOR_KEYS: must be like id:secret, or not be set"),
    ],
)
def test_bad_settings(cli, setting, sentence):
    """A sentence names the variable, without the secret, and exits 2."""
    result = cli("doctor", **setting)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {sentence}")
    assert SECRET not in result.output


def test_doctor_says_who_comes_in(cli):
    """What the door lets in, and by which keys it is signed."""
    closed = {"BROKER_DOOR_KINDS": "ship,complete", "BROKER_DOOR_KEYS": f"2026-11:{SECRET}"}

    assert "broker door: lets in every kind, unsigned\n" in cli("doctor").stdout
    result = cli("doctor", **closed)
    assert "broker door: lets in ship, complete, signed by 2026-11\n" in result.stdout
    assert SECRET not in result.output
    nobody = cli("doctor", BROKER_DOOR_KINDS="").stdout
    assert "broker door: lets in nothing, unsigned\n" in nobody


@pytest.fixture
def refused(owner):
    """A stray of each reason, holding a command for O-1; the commands by reason."""
    commands = {reason: make.ship() for reason in (*REFUSED_AT_THE_DOOR[::-1], "invalid")}
    with owner.begin() as connection:
        for reason, command in commands.items():
            text = json.dumps(command.body())
            content = text if reason == "bad_signature" else command.body()
            body = {"actor_name": "ship", "args": [content], "kwargs": {}}
            record_stray(connection, reason, json.dumps(body))
    return commands


@pytest.mark.parametrize("words", [("--all",), ("1", "2", "3", "4"), ("--older-than", "0s")])
def test_what_the_door_refused_is_not_taken_in_by_the_way(cli, owner, refused, words):
    """Whoever takes strays in without naming these reasons gets the others; these stay, and it is
    said why.
    """
    result = cli("strays", "replay", *words)

    assert result.exit_code == 5
    for number, reason in ((1, "bad_signature"), (2, "unsigned"), (3, "kind_not_allowed")):
        assert (
            f"not accepted: stray {number}: refused at the door, {reason}: whoever reaches Redis "
            f"may have written it; look at it, and name --reason {reason}\n"
        ) in result.stdout
    assert rig.rows(owner, "select id from commands") == [(refused["invalid"].command_id,)]
    assert rig.rows(owner, "select reason from strays order by 1") == [
        ("bad_signature",),
        ("kind_not_allowed",),
        ("unsigned",),
    ]


@pytest.mark.parametrize("reason", REFUSED_AT_THE_DOOR)
def test_a_person_takes_in_what_the_door_refused(cli, owner, refused, reason):
    """By naming the reason; the audit says it. A signed one's text is read like any content."""
    result = cli("strays", "replay", "--reason", reason, "--by", "till")

    assert result.exit_code == 0, result.output
    assert rig.rows(owner, "select id from commands") == [(refused[reason].command_id,)]
    (details,) = rig.one(owner, "select details from audit")
    assert details["stray"]["reason"] == reason


def test_a_dry_run_says_so(cli, owner, refused):
    """It is not accepted in a dry run either."""
    before = rig.dump(owner)

    result = cli("strays", "replay", "1", "--dry-run")

    assert result.exit_code == 5
    assert "would not be accepted: refused at the door, bad_signature" in result.stdout
    assert rig.dump(owner) == before


@pytest.fixture
def replayed(owner, refused):
    """Takes the stray of a reason in, as a program would that knows of this reason."""

    def replay(reason, known_reason):
        with owner.begin() as connection:
            (stray,) = strays(connection, ChosenStrays(reason=reason), limit=1)
            commands = commands_of(stray["body"], {})
            return replay_stray(
                connection, stray["stray_id"], commands, actor="ann", known_reason=known_reason
            )

    return replay


@pytest.mark.parametrize("reason", REFUSED_AT_THE_DOOR)
def test_a_program_has_to_know_why(owner, replayed, reason):
    """Who calls the function without the reason, or with any other, takes in nothing: neither the
    command, nor the stray's place in the list, nor the audit is touched.
    """
    before = rig.dump(owner)

    for known in (None, "", "invalid", *REFUSED_AT_THE_DOOR):
        if known != reason:
            with pytest.raises(NotVouchedFor, match=f"refused at the door, {reason}: "):
                replayed(reason, known)
            assert rig.dump(owner) == before


@pytest.mark.parametrize(
    ("reason", "known"), [*((one, one) for one in REFUSED_AT_THE_DOOR), ("invalid", None)]
)
def test_a_program_that_knows_why(owner, refused, replayed, reason, known):
    """With the stray's own reason it is taken in; what came by the door needs none."""
    (receipt,) = replayed(reason, known)

    assert (receipt.command_id, receipt.answer) == (refused[reason].command_id, "accepted")
    assert rig.rows(owner, "select id from commands") == [(refused[reason].command_id,)]
    assert rig.count(owner, "strays", f"reason = '{reason}'") == 0
    assert rig.rows(owner, "select actor, act, work_id from audit") == [
        ("ann", "stray_replayed", refused[reason].command_id)
    ]


@pytest.mark.heavy
def test_a_worker_behind_a_closed_door(owner, database_url, redis_url, tmp_path, monkeypatch):
    """A real worker takes what is signed and let in; the rest are strays, their neighbours run."""
    monkeypatch.setenv("BROKER_DOOR_KINDS", "place,ship")
    monkeypatch.setenv("BROKER_DOOR_KEYS", f"2026-12:{SECRET},2026-11:{SECRET}")
    broker = make_broker(redis_url)
    forged = SigningKey.of(f"2026-11:{SECRET}!")
    place, ship = make.place(), make.ship()

    publish(broker, make.refund(amount=make.money(1)), key=KEY)
    publish(broker, make.ship())
    publish_many(broker, [make.ship() for _ in range(3)], key=forged)
    publish(broker, place, key=KEY)
    publish(broker, ship, key=KEY)
    broker.close()
    with groups(1, database_url, redis_url, tmp_path) as (worker,):
        until(lambda: is_quiet(database_url, redis_url), 30, "an outcome for all")
        words = worker.words()

    assert rig.rows(owner, "select id, state from commands order by seq") == [
        (place.command_id, "applied"),
        (ship.command_id, "applied"),
    ]
    with psycopg.connect(database_url) as connection:
        reasons = connection.execute("select reason from strays order by reason").fetchall()
    assert reasons == [("bad_signature",), ("kind_not_allowed",), ("unsigned",)]
    assert SECRET not in words
