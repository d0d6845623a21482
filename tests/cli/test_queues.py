"""`queues`, `pause` and `resume`: what operators watch, and stop."""

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys

import pytest

from tests.cli.cli_tools import json_of, one, own_process, table_of, write
from tests.factories import items, order_line, place, placed_order, ship
from tests.work import rig
from worker.work import queues
from worker.work.accept import record_stray


def test_queues(cli, dead, decided, engine):
    """`queues` counts by queue: due, waiting and for what, in progress, dead, ended in a minute;
    the strays; and nobody who works.
    """
    decided(ship(order_id="O-9"))
    cli("ship", "O-2")
    with engine.begin() as connection:
        record_stray(connection, "invalid", "{}")

    found = json_of(cli("queues", "--json"))

    assert [row["route"] for row in found["queues"]] == [
        "commands",
        "labels",
        "refunds",
        "emails",
        "tracking",
        "jobs",
    ]
    commands, labels, _, emails, *_ = found["queues"]
    assert {k: v for k, v in commands.items() if not k.endswith("_s")} == {
        "route": "commands",
        "due": 1,
        "waiting": 1,
        "waiting_for": {"order": 1},
        "in_progress": 0,
        "bulk": 0,
        "dead": 2,
        "crashed": 0,
        "scheduled_at": None,
        "paused": None,
        "rate_per_min": 5.0,
    }
    assert found["workers"] == 0
    assert labels["oldest_s"] is None
    assert emails["dead"] == 1
    assert found["strays"] == 1


def test_pause_and_resume(cli, decided, engine):
    """A paused route shows its reason and nothing of it is decided; resumed, it goes on; resuming
    what is not paused exits 4.
    """
    command = ship(order_id="O-1")

    assert cli("pause", "commands", "--reason", "stock-taking").stdout == "commands: paused\n"
    (row, *_) = json_of(cli("queues", "--json"))["queues"]
    assert row["paused"]["reason"] == "stock-taking"
    decided(place(order_id="O-1"), command)
    assert states(engine) == ["pending", "pending"]

    assert cli("resume", "commands").stdout == "commands: goes on\n"
    decided(command)
    assert states(engine) == ["applied", "applied"]
    assert cli("resume", "commands").exit_code == 4


def test_pause_and_resume_all(cli, engine):
    """All queues at once, such as before workers start; what was paused before goes on as well.
    Nothing paused is exit 4, neither a queue nor --all exit 2, and nothing is written.
    """
    every = ["commands", "labels", "refunds", "emails", "tracking", "jobs"]
    cli("pause", "emails", "--reason", "mail server down")

    paused = cli("pause", "--all", "--reason", "restored")
    assert paused.stdout.splitlines() == [f"{queue}: paused" for queue in every]
    assert {row["paused"]["reason"] for row in json_of(cli("queues", "--json"))["queues"]} == {
        "restored"
    }
    assert cli("resume", "--all").stdout.splitlines() == [f"{queue}: goes on" for queue in every]

    before = rig.dump(engine)
    assert cli("resume", "--all").exit_code == 4
    assert [cli(*words).exit_code for words in (["pause"], ["pause", "jobs", "--all"])] == [2, 2]
    assert rig.dump(engine) == before


def states(engine):
    with engine.connect() as connection:
        return list(connection.exec_driver_sql("select state from commands order by seq").scalars())


def test_queues_in_progress(cli, decided, engine):
    """Work under a lease counts as in progress, and in its lane."""
    cli("ship", "O-9")
    write(engine, "update commands set lease_until = now() + interval '1 minute', lane = 1")

    lines = table_of(cli("queues"))

    assert lines[1][:6] == ["commands", "0", "0", "1", "1", "0"]


def test_the_rate(cli, decided, engine):
    """The rate counts what ended within the last minute, and nothing that ended before."""
    decided(place(), ship(), ship())
    write(engine, "update commands set decided_at = now() - interval '61 s' where kind = 'place'")

    rows = json_of(cli("queues", "--json"))["queues"]

    assert [row["rate_per_min"] for row in rows] == [2.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert table_of(cli("queues"))[1][-1] == "2/min"


def test_the_rate_of_followups(cli, decided, engine):
    """Of each queue counts what was done, skipped or dead within the last minute: nothing that
    ended before, that a person discarded, or that was skipped when it was staged.
    """
    decided(place(order=placed_order(order_line("A", 8))))
    decided(*(ship(items=items(A=1)) for _ in range(7)), ship(notify_customer=False))
    ends = [
        ("done", "1 s"),
        ("done", "59 s"),
        ("skipped", "2 s"),
        ("dead", "3 s"),
        ("done", "61 s"),
        ("discarded", "1 s"),
    ]
    for state, ago in ends:
        write(
            engine,
            "update followups set state = %(state)s, staged_at = now() - interval '1 hour',"
            " decided_at = now() - %(ago)s::interval"
            " where id = (select id from followups where state = 'pending' limit 1)",
            state=state,
            ago=ago,
        )

    rows = json_of(cli("queues", "--json"))["queues"]

    states = "select string_agg(state, ' ' order by state) from followups"
    assert one(engine, states) == "dead discarded done done done pending skipped skipped"
    assert [row["rate_per_min"] for row in rows] == [9.0, 0.0, 0.0, 4.0, 0.0, 0.0]
    assert table_of(cli("queues"))[4][-1] == "4/min"


COMMANDS_ENDED = """
insert into commands (id, kind, order_id, body, fingerprint, state, outcome, decided_at)
select gen_random_uuid(), 'ship', 'F-' || n, '{}', '', 'applied', '{}',
  now() - (8000 - n) * interval '1 millisecond'
from generate_series(1, 8000) n
"""
FOLLOWUPS_ENDED = """
insert into followups (
  id, route, name, order_id, command_id, subject_id, state, staged_at, decided_at)
select gen_random_uuid(), 'emails', 'shipped', 'F-' || n, gen_random_uuid(), gen_random_uuid(),
  'done', now() - interval '1 hour', now() - (8000 - n) * interval '1 millisecond'
from generate_series(1, 8000) n
"""


def test_the_rate_of_more_than_is_looked_at(engine):
    """With more ends in a minute than are looked at, the rate is theirs over the time they took."""
    with engine.connect() as connection:  # one transaction: all of it is of one moment
        connection.exec_driver_sql(COMMANDS_ENDED)
        connection.exec_driver_sql(FOLLOWUPS_ENDED)
        per_min = queues.rates_per_min(connection)

    assert per_min["commands"] == pytest.approx(60 * 5_000 / 4.999)
    assert per_min["emails"] == pytest.approx(60 * 5_000 / 4.999)
    assert (per_min["labels"], per_min["refunds"]) == (0, 0)


def test_the_rates_plan(engine):
    """Among many that ended the newest of each end, and of each queue, are found by the indexes
    that are meant, on a connection of the command line's.
    """
    rig.run(engine, COMMANDS_ENDED)
    rig.run(engine, FOLLOWUPS_ENDED)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("vacuum analyze commands, followups")
    unpinned = rig.other_engine(engine.url.render_as_string(hide_password=False))
    explain = f"explain (format json) {queues.RATES}"

    with unpinned.connect() as connection:
        parameters = {"routes": ["commands", "labels", "refunds", "emails"]}
        (plan,) = connection.exec_driver_sql(explain, parameters).scalar_one()
    unpinned.dispose()

    assert scans(plan["Plan"]) == {"commands_ended_by_state", "followups_ended"}


def test_who_works(cli, engine):
    """Each worker process that is there, with what it serves and what is in its hands."""
    rig.run(engine, "insert into worker_processes values"
            " (gen_random_uuid(), 'box', 42, '{commands,jobs}', now(), now(), %(doing)s),"
            " (gen_random_uuid(), 'gone', 7, '{jobs}', now(), now() - interval '16 s', '[]')",
            doing='[{"queue": "jobs", "batch": 9, "rows": 1, "for_s": 2.5}]')  # fmt: skip

    found = json_of(cli("queues", "--json"))
    *_, heading, row, below = table_of(cli("queues"))

    assert found["workers"] == 1
    assert [one["doing"] for one in found["processes"]] == [
        [{"queue": "jobs", "batch": 9, "rows": 1, "for_s": 2.5}]
    ]
    assert heading == ["worker", "since", "queues", "in", "its", "hands"]
    assert row[:2] + row[-7:] == ["box", "42", "commands", "jobs", "jobs", "1", "for", "2", "s"]
    assert below == ["workers:", "1", "strays:", "0"]


def test_redis_is_not_asked(cli, environment):
    """Without Redis the queues are shown all the same."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        environment["REDIS_URL"] = f"redis://127.0.0.1:{taken.getsockname()[1]}"

        result = cli("queues")

    assert result.exit_code == 0
    assert table_of(result)[-1] == ["workers:", "0", "strays:", "0"]


def watching(environment, *words, **options):
    command = [sys.executable, "-m", "worker", "queues", "--watch", "--interval", "0.2", *words]
    return subprocess.Popen(command, env=own_process(environment, TERM="xterm"), **options)


def test_watch_to_a_pipe(environment, decided, engine):
    """To a pipe each look is one JSON document, from the second on with the trend; Ctrl-C: 130."""
    decided(ship(order_id="O-9"))
    write(engine, "update commands set next_at = now() + interval '1 hour'")
    process = watching(environment, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    looks = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)

    assert [look["queues"][0]["waiting"] for look in looks] == [1, 1]
    assert [look["queues"][0].get("trend_per_min") for look in looks] == [None, 0.0]
    assert (process.returncode, stderr) == (130, b"")


def test_watch_as_lines(environment, decided):
    """To a pipe without --json each look is one line, with what there is of each queue."""
    decided(place(), ship())
    process = watching(environment, stdout=subprocess.PIPE, text=True)

    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    assert line.startswith("commands: 2/min; labels: nothing; refunds: nothing; emails: due 1, ")
    assert line.endswith("; workers: 0  strays: 0\n")
    assert process.returncode == 130


def test_watch_on_a_terminal(environment, decided):
    """A terminal shows one table that is refreshed in place, and the cursor is given back."""
    main, terminal = pty.openpty()
    process = watching(environment, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)

    shown = b""
    while shown.count(b"strays: 0") < 3:
        shown += os.read(main, 4096)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    with contextlib.suppress(OSError):  # the terminal is closed once it has ended
        while chunk := os.read(main, 4096):
            shown += chunk
    os.close(main)

    assert process.returncode == 130
    assert b"\x1b[1A" in shown  # up, over what was there
    assert b"trend" in shown
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")


def scans(node):
    """What a plan reads of the tables of work: the index, or the table itself."""
    found = set().union(*map(scans, node.get("Plans", ())))
    if node["Node Type"].endswith("Scan") and node.get("Relation Name") in {
        "commands",
        "followups",
    }:
        found.add(node.get("Index Name", "no index"))
    return found
