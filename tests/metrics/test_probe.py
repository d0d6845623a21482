"""The probe: live while the worker's processes turn, ready while they can do their work."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from tests.cli.cli_tools import own_process
from tests.work import rig
from worker import probe
from worker.cli.root import app
from worker.heartbeat import Heartbeat, expecting, heartbeat, read_signs
from worker.servers import Servers
from worker.settings import Settings
from worker.store.schema import newest

ROOT = Path(__file__).parent.parent.parent

BEAT = """
import sys, time
from pathlib import Path
from worker.heartbeat import Heartbeat
heartbeat = Heartbeat(Path(sys.argv[1]))
while True:
    heartbeat.beat()
    print(flush=True)
    time.sleep(0.02)
"""


@pytest.fixture
def config(tmp_path):
    """Settings whose run folder is the test's own."""
    return Settings(run_dir=tmp_path / "run", stall_limit_s=30)


@pytest.fixture
def beating(config):
    """Starts processes that turn; they are killed in the end."""
    with ExitStack() as stack:

        def start():
            process = subprocess.Popen(
                [sys.executable, "-c", BEAT, str(config.run_dir)], stdout=subprocess.PIPE
            )
            stack.callback(process.stdout.close)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout.readline()
            return process

        yield start


def test_nobody(config):
    """Without any worker the folder need not even be there; the line names it."""
    found = probe.live(config)

    assert not found.is_ok
    assert found.text == f"0 of 1 worker processes run (looked in {config.run_dir})"


def test_turning(config, beating):
    """Each process that turns counts."""
    beating()
    beating()

    assert probe.live(config) == probe.Finding("worker processes that turn: 2")


def test_fewer_than_expected(config, beating):
    """Their supervisor says how many there should be; a process that was killed leaves no sign of
    life, though its file is still there.
    """
    with expecting(config.run_dir, 2):
        beating()
        victim = beating()
        before = probe.live(config)
        victim.kill()
        victim.wait()
        after = probe.live(config)

    assert before.is_ok
    assert after == probe.Finding("1 of 2 worker processes run", is_ok=False)
    assert len(list(config.run_dir.glob("heartbeat-*"))) == 2


def test_a_frozen_process(config, beating):
    """A process that has not turned for as long as the watchdog would allow is not live; it is
    again once it turns.
    """
    process = beating()
    impatient = config.model_copy(update={"stall_limit_s": 0.4})

    process.send_signal(signal.SIGSTOP)
    rig.until(lambda: not probe.live(impatient).is_ok)
    found = probe.live(impatient)
    patient = probe.live(config)
    process.send_signal(signal.SIGCONT)
    rig.until(lambda: probe.live(impatient).is_ok)

    assert found.text.startswith("a worker process has not turned for")
    assert patient.is_ok


def test_the_next_worker_clears_away_what_the_dead_left(config, beating):
    """The folder does not fill with files of processes that were killed."""
    victim = beating()
    victim.kill()
    victim.wait()

    with Heartbeat(config.run_dir):
        assert [path.name for path in config.run_dir.iterdir()] == [f"heartbeat-{os.getpid()}"]

    assert list(config.run_dir.iterdir()) == []


def test_a_folder_that_cannot_be(tmp_path, capsys):
    """No heartbeat, a line in the log, and the worker works."""
    (tmp_path / "file").touch()

    assert heartbeat(tmp_path / "file") is None
    with expecting(tmp_path / "file", 2):
        pass
    assert capsys.readouterr().out.count("no_heartbeat") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_somebody_elses_folder(tmp_path, capsys):
    """Others could make us look alive, or count for us."""
    os.chown(tmp_path, 12345, 12345)

    assert heartbeat(tmp_path) is None
    assert "belongs to another user" in capsys.readouterr().out


def test_a_beat_that_cannot_be_written_is_missed(config):
    """A full disk ends no process that works."""
    one = Heartbeat(config.run_dir)
    one.close()

    one.beat()

    assert read_signs(config.run_dir).still_s == ()


def test_ready(config, beating, database_url, redis_url):
    """The database answers, with the schema of this version."""
    beating()

    found = probe.ready(config, Servers(database_url, redis_url))

    assert found.is_ok
    assert (
        found.text == f"worker processes that turn: 1; the schema is at {newest()}; Redis answers"
    )


def test_not_ready_without_workers(config, database_url, redis_url):
    """Whatever the servers do."""
    assert not probe.ready(config, Servers(database_url, redis_url)).is_ok


def test_ready_without_redis(config, beating, database_url):
    """The worker finds what is due by itself; the line says that Redis is missing."""
    beating()

    found = probe.ready(config, Servers(database_url, "redis://127.0.0.1:1"))

    assert found.is_ok
    assert found.text.endswith("; Redis does not, work takes longer to start")


def test_not_ready_with_another_schema(config, beating, new_database_url, redis_url):
    """An older schema, or none, is told with what to do."""
    beating()
    with psycopg.connect(new_database_url, autocommit=True) as connection:
        connection.execute("update alembic_version set version_num = '0001'")
        old = probe.ready(config, Servers(new_database_url, redis_url))
        connection.execute("drop table alembic_version")
        none = probe.ready(config, Servers(new_database_url, redis_url))

    wanted = f"this version needs {newest()}: run `fulfillment migrate`"
    assert old == probe.Finding(f"the schema is at 0001, {wanted}", is_ok=False)
    assert none == probe.Finding(f"the schema is at nothing, {wanted}", is_ok=False)


def test_not_ready_without_the_database(config, beating, redis_url):
    """It says what the driver says."""
    beating()

    found = probe.ready(config, Servers("postgresql://x@127.0.0.1:1/x", redis_url))

    assert not found.is_ok
    assert found.text.startswith("the database cannot be reached: connection")
    assert "\n" not in found.text


def test_not_ready_while_the_database_is_silent(config, beating, redis_url):
    """Whoever asks gets an answer, if the database gives none."""
    beating()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        found = probe.ready(config, Servers(f"postgresql://x@127.0.0.1:{port}/x", redis_url))

    assert not found.is_ok


def test_the_embedded_servers_are_not_started(config, beating, tmp_path):
    """Other commands start them; a probe of a worker that is not there would keep them alive."""
    embedded = Settings(run_dir=config.run_dir, state_dir=tmp_path / "state")
    beating()

    assert probe.known_servers(embedded) is None
    assert probe.ready(embedded, None) == probe.Finding(
        "the embedded servers do not run", is_ok=False
    )
    assert not embedded.state_dir.exists()


def test_addresses_as_the_settings_take_them(tmp_path, database_url, redis_url, config, beating):
    """A URL that names SQLAlchemy's driver is one of PostgreSQL's, too."""
    beating()
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    assert url != database_url

    assert probe.ready(config, Servers(url, redis_url)).is_ok


def test_the_command(config, beating, database_url, redis_url):
    """Exit code 0 or 1, and one line."""
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "FULFILLMENT_RUN_DIR": str(config.run_dir),
    }

    def ask(question):
        result = CliRunner().invoke(app, ["probe", question], env=environment)
        return result.exit_code, result.stdout.count("\n"), result.stdout[:5]

    before = ask("live"), ask("ready")
    beating()
    after = ask("live"), ask("ready")

    assert before == ((1, 1, "0 of "), (1, 1, "0 of "))
    assert after == ((0, 1, "worke"), (0, 1, "worke"))
    assert ask("well")[0] == 2


def test_the_command_imports_little(environment_of_nobody):
    """It runs every few seconds on a machine that has other things to do."""
    asked = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "worker", "probe", "live"],
        env=environment_of_nobody,
        capture_output=True,
        text=True,
        check=False,
    )

    assert asked.returncode == 1
    imported = {line.rpartition("|")[2].strip() for line in asked.stderr.splitlines()}
    assert imported.isdisjoint({"sqlalchemy", "structlog", "psycopg", "redis", "rich", "alembic"})


@pytest.fixture
def environment_of_nobody(tmp_path):
    return own_process({"FULFILLMENT_RUN_DIR": str(tmp_path)}, PYTHONPATH=str(ROOT))
