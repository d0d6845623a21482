"""The service itself: `migrate`, `worker`, `doctor`, help, and what processes of their own show."""

import json
import signal
import subprocess
import sys

import psutil
import psycopg
import pytest
import redis
from typer.testing import CliRunner

from tests.cli.cli_tools import json_of, one, own_process, rows_of, table_of
from worker import __version__
from worker.cli.root import COMMANDS, app, import_module
from worker.store.schema import newest

FULFILLMENT = (sys.executable, "-m", "worker")


@pytest.fixture
def empty(postgres_server, environment):
    """Runs a command on a database without anything in it."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("create database empty")
        url = f"{postgres_server.url.rsplit('/', 1)[0]}/empty"
        yield lambda *words: CliRunner().invoke(app, words, env=environment | {"DATABASE_URL": url})
        connection.execute("drop database empty with (force)")


def run(environment, *words, stdin=""):
    return subprocess.run(
        [*FULFILLMENT, *words],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_command():
    """`--help` lists every command with the first line of its own help, without importing it."""
    listing = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "worker", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert [line.split()[0] for line in listing.stdout.split("Commands:\n")[1].splitlines()] == [
        *COMMANDS
    ]
    assert "sqlalchemy" not in listing.stderr
    assert "pydantic" not in listing.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name):
    """The listing's line is how the command's own help begins."""
    result = CliRunner().invoke(app, [name, "--help"])

    shown = " ".join(result.stdout.split())
    assert result.exit_code == 0
    assert COMMANDS[name][1].rstrip(".") in shown
    assert import_module(f"worker.cli.{COMMANDS[name][0]}").app


def test_version():
    """`--version` says the distribution's version."""
    result = CliRunner().invoke(app, ["--version"])

    assert result.stdout == f"fulfillment {__version__}\n"


def test_migrate(empty):
    """`migrate` says from where to where; a second time it changes nothing."""
    first, again = empty("migrate"), empty("migrate")

    assert first.stdout == f"schema: nothing -> {newest()}\n"
    assert again.stdout == f"schema: {newest()} -> {newest()}\n"


def test_without_a_schema(empty):
    """Any command says that the schema is missing and what to run."""
    result = empty("orders", "list")

    assert result.stderr == (
        "error: the database's schema is missing or old: run `fulfillment migrate`\n"
    )
    assert result.exit_code == 1


def test_worker_refuses_an_old_schema(empty):
    """`worker` does not start on a schema that is not at its version, and migrates nothing."""
    result = empty("worker")

    assert result.stderr == (
        f"error: the schema is at nothing, this version needs {newest()}:"
        " run `fulfillment migrate`\n"
    )
    assert result.exit_code == 1


def test_doctor_without_workers(cli, engine):
    """Everything is in order but that nobody works: exit code 1, and what to start."""
    result = cli("doctor", "--json")

    checks = rows_of(result)
    assert [check["part"] for check in checks] == [
        "python",
        "refunds",
        "servers",
        "broker door",
        "database",
        "postgresql",
        "schema",
        "retention",
        "redis",
        "redis memory",
        "workers",
    ]
    assert [check["part"] for check in checks if not check["is_ok"]] == ["workers"]
    assert checks[-1]["advice"] == "start `fulfillment worker`"
    assert result.exit_code == 1


def test_doctor_with_a_worker(cli, engine, redis_url):
    """A worker counts as alive by a heartbeat of the last ten seconds."""
    with redis.Redis.from_url(redis_url) as client:
        now_ms = client.time()[0] * 1000
        client.zadd("fulfillment:__heartbeats__", {"alive": now_ms, "gone": now_ms - 20_000})

    result = cli("doctor")

    assert ["ok", "workers:", "1", "alive"] in table_of(result)
    assert result.exit_code == 0


def test_doctor_without_schema(empty):
    """A missing schema is named, with what to run."""
    lines = table_of(empty("doctor"))

    assert ["WRONG", "schema:", "at", "nothing,", "this", "version", "needs", newest()] in lines
    assert ["->", "run", "`fulfillment", "migrate`"] in lines


def test_doctor_of_a_redis_that_evicts(cli, engine, redis_url):
    """A Redis that may evict is wrong: messages not accepted yet would be lost."""
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            lines = table_of(cli("doctor"))
        finally:
            client.config_set("maxmemory-policy", "noeviction")

    assert ["WRONG", "redis", "memory:", "allkeys-lru"] in lines


NOWHERE = {
    "DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/d",
    "REDIS_URL": "redis://127.0.0.1:1",
}


def test_doctor_without_servers():
    """Servers that do not answer are named, with what to set, without the password."""
    result = CliRunner().invoke(app, ["doctor"], env=NOWHERE)

    assert "WRONG database: not reachable: " in result.stdout
    assert "WRONG redis: not reachable: " in result.stdout
    assert "secret" not in result.output
    assert result.exit_code == 1


def test_without_a_database():
    """A database that cannot be reached is exit code 3 and one sentence without the password."""
    result = run(own_process(NOWHERE), "ship", "O-1")

    assert result.stderr.startswith("error: the database cannot be reached: ")
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.stderr
    assert (result.stdout, result.returncode) == ("", 3)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"FULFILLMENT_THREADS": "0"}, "FULFILLMENT_THREADS: "),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL: must be like postgresql://"),
        (
            {"FULFILLMENT_ENV": "production", "REDIS_URL": ""},
            "DATABASE_URL and REDIS_URL must be set when FULFILLMENT_ENV=production",
        ),
    ],
)
def test_a_bad_setting(setting, sentence):
    """A setting that cannot be used is named, with what is allowed, and exits 2."""
    result = CliRunner().invoke(app, ["orders", "list"], env=NOWHERE | setting)

    assert result.stderr.startswith(f"error: {sentence}")
    assert result.exit_code == 2


def test_a_worker_in_production_must_know_where_mail_goes(environment):
    """Without a mail server or a folder for e-mails no worker starts, and it says what to set."""
    result = CliRunner().invoke(
        app, ["worker"], env=environment | {"FULFILLMENT_ENV": "production", "SMTP_URL": ""}
    )

    assert result.stderr.startswith("error: SMTP_URL must be set when FULFILLMENT_ENV=production")
    assert result.exit_code == 2


def test_stdout_is_clean_json(environment, runtime, placed):
    """In a process of its own stdout holds nothing but the JSON, also when Redis is away."""
    environment = own_process(environment, REDIS_URL="redis://127.0.0.1:1")

    result = run(environment, "ship", "O-1", "--json")

    assert json.loads(result.stdout)["answer"] == "accepted"
    assert json.loads(result.stderr)["event"] == "hint_failed"
    assert result.returncode == 0


def test_no_colours(environment, placed):
    """With NO_COLOR there are no escape sequences; a piped row is on one line."""
    result = run(own_process(environment, NO_COLOR="1", FORCE_COLOR="1"), "orders", "list")

    heading, row = result.stdout.splitlines()
    assert heading.split()[:3] == ["order", "number", "customer"]
    assert row.split()[:3] == ["O-1", "unfulfilled", "paid"]
    assert "\x1b" not in result.stdout


def test_interrupted(environment, runtime):
    """Ctrl-C while waiting is exit code 130, without a traceback; the command stays accepted."""
    words = [*FULFILLMENT, "ship", "O-9", "--wait", "--timeout", "60"]
    with subprocess.Popen(
        words,
        env=own_process(environment),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        receipt = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=30)

    assert receipt.startswith("accepted: ship O-9, command ")
    assert "Traceback" not in rest
    assert process.returncode == 130
    assert one(runtime.engine, "select state from commands") == "pending"


@pytest.mark.heavy
def test_a_real_worker(environment, engine, placed, cli):
    """`fulfillment worker` decides what the command line sends, and SIGTERM ends it with 0. Told
    some queues, it listens to no other, and to the inbox where commands are among them.
    """
    words = [*FULFILLMENT, "worker", "--processes", "1", "--threads", "2"]
    own = own_process(environment, FULFILLMENT_QUEUES="commands,emails")
    with subprocess.Popen(words, env=own, stderr=subprocess.PIPE, text=True) as process:
        result = cli("ship", "O-1", "--wait", "--timeout", "60", "--json")
        started = [child.cmdline() for child in psutil.Process(process.pid).children()]
        process.terminate()
        _, log = process.communicate(timeout=60)

    assert json_of(result)["state"] == "applied"
    assert process.returncode == 0
    assert "Traceback" not in log
    (listening,) = [line for line in started if "--queues" in line]
    assert listening[-3:] == ["commands", "emails", "inbox"]


@pytest.mark.heavy
def test_the_embedded_pair_is_migrated_by_whoever_comes_first(server_dir):
    """Without URLs the first command starts and migrates a pair of its own, and says so once."""
    environment = own_process({"FULFILLMENT_STATE_DIR": str(server_dir / "embedded")})

    first = run(environment, "orders", "list", "--json")
    again = run(environment, "queues", "--json")

    assert (first.stdout, first.returncode) == ("", 0)
    events = [json.loads(line)["event"] for line in first.stderr.splitlines()]
    assert events == ["embedded_database_migrated"]
    assert json.loads(again.stdout)["strays"] == 0
    assert again.stderr == ""
