"""TLS by URL: to PostgreSQL and to Redis, and what is done where the certificate is a wrong one."""

import shutil

import pytest
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from messages import wire
from tests import factories as make
from tests.security.tls import certificate, door
from tests.work import rig
from worker.broker.hints import Hints
from worker.cli.root import app
from worker.runtime import Runtime
from worker.servers import Servers
from worker.settings import Settings


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """By name: of this host, of another host, and of this host by somebody else."""
    if shutil.which("openssl") is None:
        pytest.skip("making a certificate takes the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    hosts = {"right": "localhost", "elsewhere": "elsewhere.example", "stranger": "localhost"}
    return {name: certificate(folder, name, host) for name, host in hosts.items()}


@pytest.fixture
def doors(certificates, postgres_server, valkey_server):
    """Opens doors with a certificate: the one to PostgreSQL, the one to Valkey."""
    opened = []

    def make(name):
        for port, is_postgresql in ((postgres_server.port, True), (valkey_server.port, False)):
            opened.append(door(certificates[name], port, is_postgresql=is_postgresql))
        return [one.__enter__() for one in opened[-2:]]

    yield make
    for one in opened:
        one.__exit__(None, None, None)


@pytest.fixture
def urls(database_url, redis_url, certificates):
    """The URLs of two doors; whoever uses them believes the right certificate."""

    def of(to_postgres, to_valkey, *, believed="right"):
        file = certificates[believed].with_suffix(".crt")
        tls = {"sslmode": "verify-full", "sslrootcert": str(file)}
        return {
            "DATABASE_URL": _at(database_url, to_postgres.port, tls),
            "REDIS_URL": _at(redis_url, to_valkey.port, {"ssl_ca_certs": str(file)}).replace(
                "redis://", "rediss://"
            ),
        }

    return of


def _at(url, port, query):
    changed = make_url(url).set(host="localhost", port=port, query=query)
    return changed.render_as_string(hide_password=False)


def test_a_worker_over_tls(doors, urls, database_url, redis_url):
    """Commands are decided and hints are sent, with all that is said encrypted on its way."""
    to_postgres, to_valkey = doors("right")
    at = urls(to_postgres, to_valkey)
    worker = Runtime(Settings(), Servers(at["DATABASE_URL"], at["REDIS_URL"]))
    placed = make.place()

    rig.accepted(worker.engine, placed)
    worker.drains[wire.COMMANDS]()
    hinted = worker.hints.send(wire.COMMANDS)

    assert rig.state(worker.engine, placed) == "applied"
    assert hinted
    assert b"accept_commands" in to_postgres.heard
    assert b"AUTH" in to_valkey.heard
    worker.hints.close()
    worker.engine.dispose()


def test_doctor_over_tls(doors, urls):
    """Everything is reachable."""
    shown = CliRunner().invoke(app, ["doctor"], env=urls(*doors("right"))).stdout

    assert "database: reachable" in shown
    assert "redis: reachable" in shown


@pytest.mark.parametrize(
    ("name", "believed"),
    [("elsewhere", "right"), ("elsewhere", "elsewhere"), ("stranger", "right")],
)
def test_a_wrong_certificate(doors, urls, name, believed):
    """Somebody else's, or for another host although it is believed: nothing is said to it, and the
    doctor tells what to do.
    """
    to_postgres, to_valkey = doors(name)
    at = urls(to_postgres, to_valkey, believed=believed)

    result = CliRunner().invoke(app, ["doctor"], env=at)

    lines = result.stdout.splitlines()
    for part, url in (("database", "DATABASE_URL"), ("redis", "REDIS_URL")):
        (n,) = (n for n, line in enumerate(lines) if line.startswith(f"WRONG {part}: not reach"))
        assert "certificate" in lines[n]
        assert "-> nothing was sent: the server's certificate is not believed" in lines[n + 1]
        assert f"In {url} name its authority" in lines[n + 1]
    assert result.exit_code == 1
    assert not to_postgres.heard
    assert not to_valkey.heard
    for url in at.values():
        assert make_url(url).password not in result.output


def test_commands_refuse_a_wrong_certificate(doors, urls, owner):
    """A command ends with a sentence and the code for a database that cannot be reached."""
    before = rig.dump(owner)

    result = CliRunner().invoke(app, ["ship", "O-1"], env=urls(*doors("stranger")))

    assert result.exit_code == 3
    assert "certificate verify failed" in result.stderr
    assert result.stderr.count("\n") == 1
    assert rig.dump(owner) == before


def test_hints_refuse_a_wrong_certificate(doors, urls):
    """No hint is sent, and no worker stops for that: the work is found by the clock."""
    _, to_valkey = opened = doors("stranger")

    hints = Hints(urls(*opened)["REDIS_URL"], limit=10)

    assert hints.send(wire.COMMANDS) is False
    assert not to_valkey.heard
    hints.close()


def test_a_server_that_speaks_no_tls(urls, postgres_server, valkey_server):
    """It is not spoken to in the clear instead."""
    result = CliRunner().invoke(app, ["doctor"], env=urls(postgres_server, valkey_server))

    assert "WRONG database: not reachable: " in result.stdout
    assert "WRONG redis: not reachable: " in result.stdout
    assert "it speaks no TLS" in result.stdout
