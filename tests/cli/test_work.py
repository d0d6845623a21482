"""`commands`, `queues`, `dead`, `strays`: what operators look at and mend."""

from uuid import UUID, uuid4

import pytest

from tests.cli.cli_tools import json_of, one, rows_of, table_of, write
from tests.factories import place, placed_order, refund, ship


def test_commands_list(cli, decided):
    """`commands list` shows the latest first, by state and by order."""
    decided(place(order=placed_order()))
    decided(ship(), ship(order_id="O-9"))

    def listed(*words):
        found = rows_of(cli("commands", "list", "--json", *words))
        return [(row["kind"], row["order_id"], row["state"]) for row in found]

    assert listed() == [
        ("ship", "O-9", "pending"),
        ("ship", "O-1", "applied"),
        ("place", "O-1", "applied"),
    ]
    assert listed("--state", "pending") == [("ship", "O-9", "pending")]
    assert listed("--order", "O-1", "--limit", "1") == [("ship", "O-1", "applied")]


def test_commands_list_page_by_page(cli, decided):
    """A list of commands that was cut says how to go on, and that gives the rest."""
    first = place(order=placed_order())
    last = place(order_id="O-2", order=placed_order())
    decided(first, last)

    result = cli("commands", "list", "--json", "--limit", "1")
    rest = cli("commands", "list", "--json", "--after", str(last.command_id))

    after = f"see --limit or --after {last.command_id}"
    assert result.stderr == f"only the first 1; there are more, {after}\n"
    assert [row["command_id"] for row in rows_of(rest)] == [str(first.command_id)]


def test_commands_show_why_it_waits(cli, decided):
    """`commands show` says what a command waits for."""
    first = ship(order_id="O-9")
    second = ship(order_id="O-9", after=first.command_id)
    decided(first, second)

    found = json_of(cli("commands", "show", str(second.command_id), "--json"))

    assert found["why"].startswith(f"for command {first.command_id}, which is pending; next look ")
    assert found["body"]["after"] == str(first.command_id)


def test_commands_show_outcome(cli, decided):
    """`commands show` has the outcome with its reason."""
    command = refund(include_shipping=True)
    decided(place(order=placed_order()))
    decided(command)

    lines = table_of(cli("commands", "show", str(command.command_id)))

    assert [
        "state",
        "rejected:",
        "nothing_captured:",
        "nothing",
        "was",
        "captured",
        "for",
        "this",
        "order",
    ] in lines


def test_commands_show_errors(cli, dead):
    """`commands show` has the last errors of a dead command."""
    found = json_of(cli("commands", "show", str(dead["O-1"]), "--json"))

    assert found["state"] == "dead"
    assert [error["reason"] for error in found["errors"]] == ["unsupported_version"]


def test_commands_show_unknown(cli):
    """A command that is not here exits 4."""
    command_id = uuid4()

    result = cli("commands", "show", str(command_id))

    assert (result.stderr, result.exit_code) == (f"error: command {command_id} is not here\n", 4)


def test_dead_list(cli, dead):
    """`dead list` has commands and follow-ups, the oldest first, and filters by each condition."""

    def listed(*words):
        return [UUID(row["id"]) for row in rows_of(cli("dead", "list", "--json", *words))]

    assert set(listed()) == set(dead.values())
    assert listed("--reason", "smtp_550") == [dead["email"]]
    assert listed("--order", "O-2") == [dead["O-2"]]
    assert listed("--queue", "emails") == [dead["email"]]
    assert listed("--order", "O-2", "--queue", "emails") == []


def test_dead_show(cli, dead):
    """`dead show` has the errors and says how to try again; another id exits 4."""
    lines = table_of(cli("dead", "show", str(dead["email"])))

    assert ["error", "smtp_550:", "gone"] in lines
    assert ["replay", "fulfillment", "dead", "replay", str(dead["email"])] in lines
    assert cli("dead", "show", str(uuid4())).exit_code == 4


def test_replay_by_id(cli, dead, engine):
    """Replay makes the one letter due under its id with fresh counters; others stay dead."""
    result = cli("dead", "replay", str(dead["O-1"]))

    assert result.stdout == f"replayed: commands {dead['O-1']}\n"
    assert result.exit_code == 0
    with engine.connect() as connection:
        row = connection.exec_driver_sql(
            "select state, attempts, crashes, claim, dead_reason, decided_at, next_at <= now() "
            "from commands where id = %(id)s",
            {"id": dead["O-1"]},
        ).one()
    assert tuple(row) == ("pending", 0, 0, None, None, None, True)
    assert one(engine, "select count(*) from commands where state = 'dead'") == 1


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--reason", "smtp_550"), {"email"}),
        (("--order", "O-2"), {"O-2"}),
        (("--order", "O-1"), {"O-1", "email"}),
        (("--queue", "commands"), {"O-1", "O-2"}),
        (("--all",), {"O-1", "O-2", "email"}),
    ],
)
def test_replay_by_condition(cli, dead, words, names):
    """Replay takes every dead letter that meets the condition."""
    replayed = rows_of(cli("dead", "replay", "--json", *words))

    assert {UUID(row["id"]) for row in replayed} == {dead[name] for name in names}


def test_replay_leaves_what_is_not_dead(cli, decided, engine):
    """A command that was applied is not replayed: nothing changes, exit code 4."""
    command = ship()
    decided(place(order=placed_order()))
    decided(command)

    result = cli("dead", "replay", str(command.command_id))

    assert result.stderr == f"{command.command_id} is no dead letter\n"
    assert result.exit_code == 4
    assert one(engine, "select count(*) from commands where state = 'applied'") == 2


def test_replay_of_nothing_named(cli, dead, engine):
    """Replay without ids or a condition is a mistake: 2, and nothing changes."""
    result = cli("dead", "replay")

    assert result.stderr == "error: name ids, --reason, --order, --queue, --older-than or --all\n"
    assert result.exit_code == 2
    assert one(engine, "select count(*) from commands where state = 'dead'") == 2


def test_a_replayed_command_is_decided_again(cli, dead, engine, runtime):
    """After a replay the worker decides the command; its earlier error is kept."""
    write(
        engine,
        "update commands set body = body - 'schema_version' where id = %(id)s",
        id=dead["O-2"],
    )

    cli("dead", "replay", str(dead["O-2"]))
    runtime.drains["commands"]()

    found = json_of(cli("commands", "show", str(dead["O-2"]), "--json"))
    assert found["state"] == "applied"
    assert [error["reason"] for error in found["errors"]] == ["unsupported_version"]
