"""What comes from elsewhere: bytes that somebody sent, and packages that others wrote."""

import ast
import os
import pickle
import shlex
import subprocess
import sys
from pathlib import Path

import dramatiq
import pytest
from dramatiq.encoder import JSONEncoder

from messages import wire
from worker.broker.redis import make_broker

ROOT = Path(__file__).parent.parent.parent
MAKES_OBJECTS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle"}


def test_nothing_of_ours_unpickles():
    """Neither pickle nor dramatiq's encoder of that name is imported or named anywhere: whoever
    writes to Redis would run code in the worker.
    """
    found = {
        (str(path.relative_to(ROOT)), name)
        for package in ("messages", "worker", "actors")
        for path in (ROOT / package).rglob("*.py")
        for name in names(ast.parse(path.read_text()))
        if name in {*MAKES_OBJECTS, "PickleEncoder"}
    }

    assert found == set()
    assert type(dramatiq.get_encoder()) is JSONEncoder


def names(tree):
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                yield from (part for one in aliases for part in one.name.split("."))
            case ast.ImportFrom(module=module, names=aliases):
                yield from (module or "").split(".")
                yield from (one.name for one in aliases)
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickled_message_is_a_stray(redis_url, tmp_path):
    """What dramatiq's PickleEncoder would have run becomes a stray, and nothing has run."""
    crater = tmp_path / "crater"
    body = pickle.dumps({"queue_name": wire.INBOX, "actor_name": "ship", "args": [Bomb(crater)]})
    broker = make_broker(redis_url)
    broker.do_enqueue(wire.INBOX, "1", body)

    message = next(broker.consume(wire.INBOX))

    assert (message.actor_name, message.args[0]) == (wire.STRAY, "undecodable")
    assert not crater.exists()
    pickle.loads(body)
    assert crater.exists()
    broker.close()


@pytest.mark.heavy
def test_an_audit_that_cannot_ask_fails():
    """Of both locks: where the register of vulnerabilities does not answer, `make audit` fails."""
    recipe = subprocess.run(
        ["make", "-n", "audit"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    commands = [shlex.split(line) for line in recipe.stdout.splitlines() if "pip_audit" in line]
    assert [words[-1] for words in commands] == ["requirements.lock", "requirements-test.lock"]
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}

    for words in commands:
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=ROOT,
            env=os.environ | nowhere,
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode != 0
        assert "No known vulnerabilities found" not in done.stdout + done.stderr
