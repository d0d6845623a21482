"""`--not-before`: what a person sees of a command that waits for its time, and can do before."""

from uuid import uuid4

import pytest

from tests.cli.cli_tools import json_of, rows_of
from tests.work import rig

AT = "2999-03-01 12:00:00"


@pytest.fixture
def scheduled(cli, placed):
    """The id of a scheduled ship of O-1."""
    command_id = str(uuid4())
    result = cli("ship", placed, "--not-before", "2999-03-01T12:00", "--command-id", command_id)
    assert result.stdout == f"accepted: ship O-1, command {command_id}\n"
    return command_id


def test_shown_wherever_it_waits(cli, scheduled):
    """Lists and pages of commands, orders and queues say when its time comes."""
    (first, *_) = rows_of(cli("commands", "list", "--json"))
    assert (first["waits_for"], first["next_at"]) == ("schedule", "2999-03-01T12:00:00+00:00")
    assert f"until {AT}" in cli("commands", "list").stdout
    assert json_of(cli("commands", "show", scheduled, "--json"))["why"] == f"scheduled for {AT}"
    assert f"scheduled for {AT}" in cli("orders", "show", "O-1").stdout
    (commands, *_) = json_of(cli("queues", "--json"))["queues"]
    assert commands["waiting_for"] == {"schedule": 1}
    assert commands["scheduled_at"] == "2999-03-01T12:00:00+00:00"
    assert f"schedule 1 (first {AT})" in cli("queues").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("ship", "O-1"),
        ("complete", "O-1"),
        ("cancel", "O-1"),
        ("refund", "O-1", "--amount", "1 EUR"),
        ("void", "1"),
        ("update-tracking", "1", "--tracking-number", "1Z"),
    ],
)
def test_every_command_has_it(cli, placed, worker, words):
    """Each sending command takes the option; what has no time in it is a mistake, and nothing is
    sent then.
    """
    assert cli("ship", placed, "--item", "A=1", "--wait").exit_code == 0
    sent = len(rows_of(cli("commands", "list", "--json")))

    wrong = cli(*words, "--not-before", "soon")
    assert (wrong.exit_code, wrong.stderr) == (
        2,
        (
            "error: --not-before: must be like 2026-03-01, 2026-03-01T12:00"
            " or 2026-03-01T12:00+01:00\n"
        ),
    )
    assert len(rows_of(cli("commands", "list", "--json"))) == sent

    assert cli(*words, "--not-before", "2999-03-01T14:00+02:00").exit_code == 0
    (last, *rest) = rows_of(cli("commands", "list", "--json"))
    assert (last["next_at"], len(rest)) == ("2999-03-01T12:00:00+00:00", sent)


def test_dry_run(cli, placed, engine):
    """A dry run says when, and what would come of it now."""
    before = rig.dump(engine)

    result = cli("ship", placed, "--not-before", "2999-03-01T12:00", "--dry-run")

    assert result.stdout.splitlines()[0] == (
        f"would be decided at {AT}; now it would be applied: order version 2; A 3"
    )
    found = json_of(cli("ship", placed, "--not-before", "2999-03-01", "--dry-run", "--json"))
    assert (found["would_be"], found["scheduled_at"]) == ("applied", "2999-03-01T00:00:00+00:00")
    assert rig.dump(engine) == before


def test_start(cli, scheduled, worker, engine):
    """`commands start` lets it go; a second time there is nothing to start, and exit code 4."""
    assert cli("commands", "start", scheduled).stdout == "due now: 1\n"

    rig.until(lambda: rig.count(engine, "commands", "state = 'pending'") == 0)
    again = cli("commands", "start", scheduled, str(uuid4()))
    assert (again.stdout, again.exit_code) == ("due now: 0\n", 4)
    assert f"command {scheduled} is not scheduled\n" in again.stderr
    assert rig.one(engine, "select count(*) from commands where state = 'applied'") == (2,)


def test_withdraw(cli, scheduled):
    """`commands withdraw` takes it back with a reason, which its page shows; without one it is a
    mistake that changes nothing.
    """
    assert cli("commands", "withdraw", scheduled).exit_code == 2
    assert json_of(cli("commands", "show", scheduled, "--json"))["state"] == "pending"

    result = cli("commands", "withdraw", scheduled, "--because", "sold out", "--by", "Ann")

    assert result.stdout == "taken back: 1\n"
    found = json_of(cli("commands", "show", scheduled, "--json"))
    assert (found["state"], found["outcome"]) == (
        "discarded",
        {"discarded": "sold out", "by": "Ann"},
    )
    (act,) = rows_of(cli("audit", "--order", "O-1", "--json"))
    assert (act["actor"], act["act"], act["work_id"]) == ("Ann", "discarded", scheduled)
    assert cli("commands", "withdraw", scheduled, "--because", "again").exit_code == 4
