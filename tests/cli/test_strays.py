"""`strays`: what came in and was no command, listed, mended, taken in and given up."""

from uuid import uuid4

import orjson
import pytest

from tests.cli.cli_tools import json_of, one, paid_order, rows_of, table_of
from tests.factories import cancel, items, place, ship
from tests.work import rig
from worker.work.accept import record_stray


@pytest.fixture
def stray(engine):
    """Makes a stray of a body; its number."""

    def make(body, reason="invalid", problem=None):
        text = body if isinstance(body, str) else orjson.dumps(body).decode()
        with engine.begin() as connection:
            record_stray(connection, reason, text, problem=problem)
        return str(one(engine, "select max(stray_id) from strays"))

    return make


def test_list_and_groups(cli, stray):
    """`strays list` has the latest first, by reason and age; `--groups` counts by reason."""
    first, last = stray("{"), stray("{}", reason="delayed")

    def listed(*words):
        return [str(row["stray_id"]) for row in rows_of(cli("strays", "list", "--json", *words))]

    assert listed() == [last, first]
    assert listed("--reason", "invalid") == [first]
    assert listed("--older-than", "1h") == []
    groups = rows_of(cli("strays", "list", "--groups", "--json"))
    assert {(row["reason"], row["strays"]) for row in groups} == {("invalid", 1), ("delayed", 1)}
    assert table_of(cli("strays", "list", "--groups"))[0][:2] == ["strays", "reason"]


def test_show(cli, stray):
    """`strays show` has the whole body, with what a terminal would obey made visible; 4 if it is
    not here.
    """
    number = stray("\x1b[31m" + "x" * 200, problem="no JSON")

    lines = table_of(cli("strays", "show", number))

    assert ["problem", "no", "JSON"] in lines
    assert ["body", "\\x1b[31m" + "x" * 200] in lines
    assert json_of(cli("strays", "show", number, "--json"))["body"] == "\x1b[31m" + "x" * 200
    missing = cli("strays", "show", "999999")
    assert (missing.stderr, missing.exit_code) == ("error: stray 999999 is not here\n", 4)


def test_replay(cli, stray, decided, engine, runtime):
    """A stray is taken in as the command it is, decided, and off the list."""
    decided(place(order=paid_order()))
    command = ship(items=items(A=1))
    number = stray(command.body(), reason="delayed")

    result = cli("strays", "replay", number, "--by", "ann")
    runtime.drains["commands"]()

    assert result.stdout == f"accepted: stray {number}, command {command.command_id}\n"
    assert result.exit_code == 0
    assert one(engine, "select state from commands where id = %(id)s", id=command.command_id) == (
        "applied"
    )
    assert one(engine, "select count(*) from strays") == 0
    assert one(engine, "select actor from audit") == "ann"


def test_dry_run(cli, stray, decided, engine):
    """`--dry-run` says whether a stray would be accepted, and what would become of it then; nothing
    is written. 5 if one would not be accepted, or be refused by the rules.
    """
    decided(place(order=paid_order()))
    good = stray(ship(items=items(A=1)).body())
    refused = stray(ship(items=items(A=9)).body())
    bad = stray("{")
    before = rig.dump(engine)

    result = cli("strays", "replay", "--all", "--dry-run")

    why = "would be rejected: more_than_remains: line A: 9 asked, 2 of 3 left"
    assert result.stdout.splitlines()[1:] == [
        f"stray {refused}: would be accepted: {why}",
        f"stray {bad}: would not be accepted: body: is no JSON: give a whole one with --body",
    ]
    assert result.stdout.startswith(f"stray {good}: would be accepted: would be applied")
    assert (result.stderr, result.exit_code) == ("nothing was taken in\n", 5)
    (row,) = rows_of(cli("strays", "replay", good, "--dry-run", "--json"))
    assert (row["accepted"], row["commands"][0]["would_be"]) == (True, "applied")
    assert cli("strays", "replay", good, "--dry-run").exit_code == 0
    assert rig.dump(engine) == before


def test_what_cannot_be_accepted_stays(cli, stray, engine):
    """Of several strays those that are commands are taken in; the others stay, with the reason."""
    command = ship()
    good, bad = stray(command.body()), stray({"kind": "ship"})

    result = cli("strays", "replay", "--all", "--json")

    assert rows_of(result) == [
        {
            "stray_id": int(good),
            "answer": "accepted",
            "problem": None,
            "command_ids": [str(command.command_id)],
        },
        {
            "stray_id": int(bad),
            "answer": "refused",
            "problem": "command_id: Field required; order_id: Field required",
            "command_ids": [],
        },
    ]
    assert result.exit_code == 5
    assert one(engine, "select stray_id from strays") == int(bad)


def test_an_unreadable_stray_is_mended(cli, stray, engine):
    """What is no JSON can be given whole; a field can be set; the audit has what came and what
    became of it.
    """
    command_id = uuid4()
    number = stray('{"kind": "ship", "order_id": "O-1"')

    result = cli(
        "strays", "replay", number, "--body", "-", "--set", f"command_id={command_id}",
        stdin='{"kind": "ship", "order_id": "O-1"}',
    )  # fmt: skip

    assert result.stdout == f"accepted: stray {number}, command {command_id}\n"
    details = one(engine, "select details from audit")
    assert details["stray"]["body"] == '{"kind": "ship", "order_id": "O-1"'
    assert details["body"] == {"kind": "ship", "order_id": "O-1", "command_id": str(command_id)}


def test_a_reused_id(cli, stray, decided, engine):
    """An id of another command is refused, and nothing written; with --new-id it is another one."""
    command = ship(order_id="O-9")
    decided(command)
    number = stray(cancel(order_id="O-9", command_id=command.command_id).body(), "id_reused")
    before = rig.dump(engine)

    result = cli("strays", "replay", number)

    assert result.stdout == (
        f"not accepted: stray {number}: command_id {command.command_id} belongs to another"
        " command: see --new-id\n"
    )
    assert result.exit_code == 5
    assert rig.dump(engine) == before
    assert "would not be accepted" in cli("strays", "replay", number, "--dry-run").stdout
    assert cli("strays", "replay", number, "--new-id").exit_code == 0
    assert one(engine, "select count(*) from commands") == 2


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        ((), "error: name strays, --reason, --older-than or --all\n", 2),
        (("1", "2", "--new-id"), "error: --set, --body and --new-id: correct one stray", 2),
        (("--all", "--set", "kind=ship"), "error: --set, --body and --new-id: correct one", 2),
        (("999999",), "stray 999999 is not here\n", 4),
        (("--reason", "too_large"), "nothing\n", 4),
    ],
)
def test_a_mistaken_replay(cli, stray, engine, *, words, sentence, code):
    """What names no stray, or too many to correct, is a mistake; nothing is written."""
    stray(ship().body())
    before = rig.dump(engine)

    result = cli("strays", "replay", *words)

    assert result.stderr.startswith(sentence)
    assert result.exit_code == code
    assert rig.dump(engine) == before


def test_a_body_in_another_encoding(cli, stray, engine):
    """A file that is no UTF-8 is a mistake; nothing is written."""
    number = stray("{")
    before = rig.dump(engine)

    result = cli("strays", "replay", number, "--body", "-", stdin=b"\xff")

    assert (result.stderr, result.exit_code) == ("error: --body: must be UTF-8\n", 2)
    assert rig.dump(engine) == before


def test_discard(cli, stray, engine):
    """`strays discard` takes strays from the list, which the audit keeps; it is asked for twice."""
    first, second = stray("{"), stray("[")
    before = rig.dump(engine)

    for words in (("--all", "--because", "noise"), ("--all", "--yes"), ("--yes", "--because", "x")):
        assert cli("strays", "discard", *words).exit_code == 2
    assert rig.dump(engine) == before

    assert cli("strays", "discard", first, "--because", "noise").stdout == (
        f"discarded: stray {first}\n"
    )
    result = cli("strays", "discard", first, second, "--because", "noise")
    assert (result.stdout, result.stderr) == (
        f"discarded: stray {second}\n",
        f"stray {first} is not here\n",
    )
    assert result.exit_code == 4
    assert one(engine, "select count(*) from strays") == 0
    assert one(engine, "select count(*) from audit where act = 'stray_discarded'") == 2
