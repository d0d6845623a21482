"""`fulfillment web` as an operator starts it."""

import os
import signal
import subprocess
import sys

import httpx2
import psutil
import pytest
from typer.testing import CliRunner

from tests import factories as make
from tests.acceptance.processes import ROOT
from tests.work import rig
from worker.cli.root import app


@pytest.fixture
def environment(database_url, redis_url, tmp_path):
    return os.environ | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "FULFILLMENT_STATE_DIR": str(tmp_path),
        "FULFILLMENT_RUN_DIR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_it_answers_until_it_is_told_to_stop(environment, engine, add_key):
    """Commands are taken on the port that it prints; a process of it that is killed is replaced; at
    SIGTERM who waits for an outcome is answered, and it ends with 0.
    """
    words = [sys.executable, "-m", "worker", "web", "--port", "0"]
    door = subprocess.Popen(
        words,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = door.stdout.readline().split()[-1]
        headers = {"Authorization": f"Bearer {add_key('ship')}"}
        with httpx2.Client(base_url=address, headers=headers, timeout=120) as client:
            first, second = make.ship(), make.ship()
            assert client.post("/v1/commands", json=first.body()).status_code == 202

            (child,) = psutil.Process(door.pid).children()
            child.kill()
            rig.until(lambda: answers(address), within_s=120)
            assert client.post("/v1/commands", json=second.body()).status_code == 202
            assert rig.count(engine, "commands") == 2

            told = []
            path = f"/v1/commands/{first.command_id}?wait=60"
            with rig.running(lambda: told.append(client.get(path).json())):
                rig.until(lambda: is_awaited(engine))
                door.send_signal(signal.SIGTERM)
                assert door.wait(60) == 0
        assert told[0]["state"] == "pending"
    finally:
        door.kill()
        door.stdout.close()


def answers(address):
    try:
        return httpx2.get(f"{address}/livez", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


def is_awaited(engine):
    """Whether the door looks for who waits."""
    looks = "query like '%%-- ended:%%' and pid <> pg_backend_pid()"
    return rig.count(engine, "pg_stat_activity", looks) > 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--no-keys", "--host", "0.0.0.0"), 2, "--no-keys: only on loopback"),
        (("--host", "192.0.2.1"), 1, "192.0.2.1:8080: "),
        (("--fd", "1000000"), 2, "--fd 1000000: Bad file descriptor"),
    ],
)
def test_where_it_may_not_listen(environment, words, code, sentence):
    """An exit code and a sentence, before anything is served."""
    result = CliRunner().invoke(app, ["web", *words], env=environment)

    assert (result.exit_code, sentence in result.stderr) == (code, True)


def test_without_keys_everything_is_allowed_on_loopback(make_client, engine):
    """For trials: no key is asked for; other hosts' names for this address are refused, so that no
    web page can be made to speak to it.
    """
    client = make_client(has_keys=False)

    sent = client.post("/v1/commands", json=make.ship().body(), headers={"Host": "127.0.0.1:8080"})
    rebound = client.post(
        "/v1/commands", json=make.ship().body(), headers={"Host": "attacker.example"}
    )

    assert (sent.status_code, rebound.status_code) == (202, 403)
    assert client.get("/v1/orders", headers={"Host": "localhost"}).status_code == 200
    assert rig.count(engine, "commands") == 1
