"""Publishing from anywhere: each way of `deploy/clients/README.md`, as it stands there, against a
worker process and the HTTP door.
"""

import os
import re
import shlex
import shutil
import subprocess

import psycopg
import pytest
import redis

from tests import factories as make
from tests.acceptance import processes
from tests.acceptance.processes import ROOT
from tests.web.served import served
from tests.work import rig
from worker.orders.rules import decide
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.web import keys
from worker.web.door import POOL_SIZE, Door

pytestmark = pytest.mark.heavy

CLIENTS = ROOT / "deploy" / "clients"


def blocks():
    """The ways, by the title above each."""
    found = re.findall(
        r"^## (\w+)\n.*?^```\w+\n(.*?)^```$",
        (CLIENTS / "README.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    return dict(found)


class Hints:
    """Nobody: the worker's ticker finds the work."""

    def send(self, route="commands"):
        return True


@pytest.fixture
def world(database_url, redis_url, tmp_path):
    """A placed order of four units, a worker process, and the door: environment and engine."""
    config = Settings()
    engine = make_engine(database_url, config, pool_size=POOL_SIZE)
    rig.with_lines(engine, make.order_line("1", 4), order_id="1001")
    with engine.begin() as connection:
        key = keys.add(connection, "test", "clients", kinds=["ship"], may_read=False)
    with (
        processes.groups(1, database_url, redis_url, tmp_path),
        served(Door(config, engine, Hints(), decide)) as url,
    ):
        yield os.environ | {"FULFILLMENT_URL": url, "FULFILLMENT_KEY": key}, engine
    engine.dispose()


@pytest.mark.timeout(300)
def test_every_way_in(world, database_url, redis_url):
    """SQL, curl, plain Redis commands and a Node client each ship one unit of the order, once,
    though each is sent twice.
    """
    environment, engine = world
    ways = blocks()
    assert list(ways) == ["SQL", "HTTP", "Redis", "Node"]
    missing = [name for name in ("curl", "node") if not shutil.which(name)]

    for _ in range(2):
        with psycopg.connect(database_url) as connection:
            (sql,) = connection.execute(ways["SQL"]).fetchall()
        told = {"SQL": sql[0]}
        with redis.Redis.from_url(redis_url) as client:
            for line in ways["Redis"].splitlines():
                client.execute_command(*shlex.split(line))
        if "curl" not in missing:
            told["HTTP"] = run(ways["HTTP"], environment)
        if "node" not in missing:
            told["Node"] = run(ways["Node"], environment)
    expected = 4 - len(missing)
    rig.until(
        lambda: rig.count(engine, "commands", "kind = 'ship' and state = 'applied'") == expected,
        within_s=120,
    )

    assert told["SQL"] == "known"
    if "HTTP" in told:
        assert '"answer":"known"' in told["HTTP"]
        assert '"state":"applied"' in told["HTTP"]
    if "Node" in told:
        assert '"state":"applied"' in told["Node"]
    rig.until(lambda: not any(processes.in_redis(redis_url).values()), within_s=120)
    assert rig.count(engine, "strays") == 0
    assert rig.line(engine, "1", "1001").shipped == expected
    if missing:
        pytest.skip(f"not here, so not tried: {', '.join(missing)}")


def run(script, environment):
    """What the script prints, run where the clients are; it must end well."""
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=CLIENTS,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout
