"""`events`: CloudEvents on stdout, one a line, as long as somebody reads."""

import json
import signal
import subprocess
import sys

import pytest

from tests.cli.cli_tools import own_process, paid_order, rows_of, write
from tests.cluster import copied
from tests.factories import items, place, ship
from worker.embedded import postgres
from worker.settings import Settings
from worker.store.engine import make_engine

TELL = (
    "insert into events (type, order_id, command_id, data)"
    " select 'command.applied', order_id, gen_random_uuid(), jsonb_build_object('n', n)"
    " from generate_series({first}, {last}) n, (values ('{order}')) o (order_id)"
)


def tell(engine, first, last, order="O-1"):
    write(engine, TELL.format(first=first, last=last, order=order))


def test_a_cloud_event_a_line(cli, decided, environment):
    """All that is kept, each with its number as id; the source is a setting."""
    decided(place(order=paid_order()), ship(items=items(A=1)))

    result = cli("events")

    first, second = rows_of(result)
    assert (first["id"], first["type"], first["subject"]) == (
        "1",
        "fulfillment.command.applied",
        "O-1",
    )
    assert (first["source"], first["specversion"]) == ("/fulfillment", "1.0")
    assert second["data"]["kind"] == "ship"
    assert (result.exit_code, result.stderr) == (0, "")
    environment["FULFILLMENT_EVENT_SOURCE"] = "https://shop.invalid/"
    assert rows_of(cli("events", "--limit", "1"))[0]["source"] == "https://shop.invalid/"


def test_from_a_cursor_on(cli, engine):
    """Behind an id, at most so many, of one order; more than a page of them."""
    tell(engine, 1, 1_500)
    tell(engine, 1_501, 1_502, order="O-2")

    def ids(*words):
        return [int(row["id"]) for row in rows_of(cli("events", *words))]

    assert ids() == list(range(1, 1_503))
    assert ids("--after", "3", "--limit", "2") == [4, 5]
    assert ids("--limit", "1000") == list(range(1, 1_001))
    assert ids("--order", "O-2") == [1_501, 1_502]
    assert ids("--after", "1502") == []


def test_a_cursor_that_is_too_old(cli, engine):
    """It is a sentence and exit code 4; without a cursor all that is kept is shown."""
    tell(engine, 1, 3)
    assert len(rows_of(cli("events"))) == 3
    write(engine, "delete from events where number <= 2")
    write(engine, "insert into retention (what, position) values ('events', 2)")

    gone = cli("events", "--after", "1")

    assert (gone.exit_code, gone.stdout) == (4, "")
    assert gone.stderr.startswith("error: events up to 2 have been removed: begin again after 2")
    assert [row["id"] for row in rows_of(cli("events"))] == ["3"]
    assert cli("events", "--after", "9").exit_code == 4


def following(environment, *words, **options):
    command = [sys.executable, "-m", "worker", "events", "--follow", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=own_process(environment), **pipes | options)


def told(process, count):
    return [json.loads(process.stdout.readline())["data"]["n"] for _ in range(count)]


def test_follow(environment, engine):
    """It shows what is there, and then what comes, until Ctrl-C: 130, and nothing on stderr; or as
    much of it as is of one order.
    """
    tell(engine, 1, 2)
    tell(engine, 3, 3, order="O-2")
    process = following(environment)
    other = following(environment, "--order", "O-2")

    assert told(process, 3) == [1, 2, 3]
    assert told(other, 1) == [3]
    tell(engine, 4, 5)
    assert told(process, 2) == [4, 5]
    tell(engine, 6, 6, order="O-2")
    assert told(process, 1) == told(other, 1) == [6]
    for follower in (process, other):
        follower.send_signal(signal.SIGINT)
        assert follower.communicate(timeout=30) == (b"", b"")
        assert follower.returncode == 130


def test_follow_as_far_as_it_should(environment, engine):
    """With a limit it ends by itself."""
    tell(engine, 1, 3)

    process = following(environment, "--limit", "2")

    assert process.communicate(timeout=60)[0].count(b"\n") == 2
    assert process.returncode == 0


def test_nobody_reads_any_more(environment, engine):
    """A closed pipe ends it without a word, though nothing is told any more."""
    tell(engine, 1, 1)
    process = following(environment)

    assert told(process, 1) == [1]
    process.stdout.close()

    assert (process.wait(60), process.stderr.read()) == (0, b"")
    process.stderr.close()


def test_follow_without_a_database(environment):
    """One that cannot be reached at the start is exit code 3."""
    environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing"

    process = following(environment)

    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert stderr.startswith(b"error: the database cannot be reached")


@pytest.mark.heavy
def test_follow_survives_a_restart(environment, server_dir):
    """While the database is away it says so once and waits; then it goes on where it was."""
    server = postgres.start(copied(server_dir / "restarted"), fsync=False)
    environment["DATABASE_URL"] = server.url
    engine = make_engine(server.url, Settings())
    try:
        tell(engine, 1, 1)
        process = following(environment)
        assert told(process, 1) == [1]
        engine.dispose()
        port = server.port
        server.stop()
        said = process.stderr.readline()
        server = postgres.start(server_dir / "restarted", fsync=False, port=port)
        tell(engine, 2, 2)
        assert told(process, 1) == [2]
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == (b"", b"")
        assert said.startswith(b"the database cannot be reached")
        assert said.endswith(b"; waiting for it\n")
    finally:
        engine.dispose()
        server.stop()
