"""Many clients at once over HTTP, while workers and Valkey are killed: each 202 has one outcome.

  python -m tests.acceptance.many_clients --seconds 60 --clients 200

Each client ships single units of orders that have enough, and sends one request in ten again, at
once or later, under its id. At the end the books are read: each command that was answered with 202
is applied or rejected, once; an order has exactly as many units shipped as it has applied commands.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import psycopg

from tests import factories as make
from tests.acceptance import processes
from tests.acceptance.processes import ROOT
from tests.work import rig
from worker.embedded import postgres, valkey
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.store.schema import migrate
from worker.web import keys

ORDERS = 50
UNITS = 1_000_000
DUPLICATES = 0.1
SETTLES_S = 120.0


@dataclass
class Tally:
    """What the clients heard."""

    accepted: set[UUID] = field(default_factory=set)
    """Answered with 202 at least once."""
    sent: int = 0
    again: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)

    def count(self, answer: str) -> None:
        self.answers[answer] = self.answers.get(answer, 0) + 1


@dataclass(frozen=True)
class Result:
    """The books against what was heard."""

    tally: Tally
    seconds: float
    states: dict[str, int]
    """Of the commands that were answered with 202."""
    missing: int
    """Answered with 202, and not there."""
    doubled: int
    """Orders of which more or less was shipped than commands were applied."""
    shipped_twice: int
    """Commands with more than one shipment or more than one line of history."""

    @property
    def is_right(self) -> bool:
        decided = self.states.get("applied", 0) + self.states.get("rejected", 0)
        return (
            len(self.tally.accepted) == decided > 0
            and not self.missing
            and not self.doubled
            and not self.shipped_twice
        )


async def storm(
    address: str, key: str, *, clients: int, seconds: float, seed: int, kill: Callable[[], Any]
) -> Tally:
    """Let the clients send; `kill` is called at a third and at two thirds of the time."""
    tally = Tally()
    until = time.monotonic() + seconds
    limits = httpx2.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx2.AsyncClient(
        base_url=address,
        headers={"Authorization": f"Bearer {key}"},
        timeout=30,
        limits=limits,
    ) as http:
        await asyncio.gather(
            *(_client(http, tally, until, random.Random(f"{seed}-{n}")) for n in range(clients)),
            _kills(tally, seconds, kill),
        )
    return tally


async def _client(http: httpx2.AsyncClient, tally: Tally, until: float, chance: random.Random):
    earlier: list[dict[str, Any]] = []
    while time.monotonic() < until:
        if earlier and chance.random() < DUPLICATES:
            body = chance.choice(earlier[-20:])
            tally.again += 1
        else:
            order_id = f"O-{chance.randrange(ORDERS)}"
            body = make.ship(
                command_id=uuid4(), order_id=order_id, items=make.items(A=1), notify_customer=False
            ).body()
            earlier.append(body)
        tally.sent += 1
        begun_at = time.monotonic()
        try:
            answer = await http.post("/v1/commands", json=body)
        except httpx2.TransportError as error:
            tally.count(type(error).__name__)
            continue
        tally.took_s.append(time.monotonic() - begun_at)
        tally.count(str(answer.status_code))
        if answer.status_code == 202:
            tally.accepted.add(UUID(body["command_id"]))


async def _kills(tally: Tally, seconds: float, kill: Callable[[], str]) -> None:
    for _ in range(2):
        await asyncio.sleep(seconds / 3)
        tally.kills.append(await asyncio.to_thread(kill))


def read_books(database_url: str, tally: Tally, seconds: float) -> Result:
    """What became of it, once everything is decided."""
    ids = [str(one) for one in tally.accepted]
    with psycopg.connect(database_url) as connection:

        def rows(statement: str, *parameters: Any) -> list[Any]:
            return connection.execute(statement, parameters).fetchall()

        states = dict(
            rows("select state, count(*) from commands where id = any(%s::uuid[]) group by 1", ids)
        )
        ((doubled,),) = rows(
            "select count(*) from order_lines l where l.shipped <> (select count(*) from commands c"
            " where c.order_id = l.order_id and c.kind = 'ship' and c.state = 'applied')"
        )
        ((twice,),) = rows(
            "select count(*) from (select command_id from history where event = 'shipped'"
            " group by 1 having count(*) > 1 union all select command_id from shipments"
            " group by 1 having count(*) > 1) as more"
        )
    missing = len(ids) - sum(states.values())
    return Result(tally, seconds, states, missing, doubled, twice)


@contextmanager
def door(database_url: str, redis_url: str, *, number: int) -> Iterator[str]:
    """`fulfillment web` in processes of its own; its address."""
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "FULFILLMENT_LOG_LEVEL": "warning",
        "PYTHONPATH": str(ROOT),
    }
    argv = [sys.executable, "-m", "worker", "web", "--port", "0", "--processes", str(number)]
    process = subprocess.Popen(argv, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().split()[-1]
        processes.until(lambda: _answers(address), processes.START_LIMIT_S * 4, "the door")
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def _answers(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/readyz", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


class Valkey:
    """A Valkey that comes back to its port after it was killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = valkey.start(folder, appendonly=False)
        self.url = self._server.url

    def kill(self) -> None:
        self._server.stop("immediate")
        self._server = valkey.start(self._folder, appendonly=False)

    def stop(self) -> None:
        self._server.stop()


def run(
    database_url: str,
    cache: Valkey,
    logs: Path,
    *,
    clients: int,
    seconds: float,
    web: int = 1,
    workers: int = 2,
    seed: int = 1,
) -> Result:
    """The whole of it, on a migrated database."""
    engine = make_engine(database_url, Settings())
    for n in range(ORDERS):
        rig.with_lines(engine, make.order_line("A", UNITS, net_minor=0), order_id=f"O-{n}")
    with engine.begin() as connection:
        key = keys.add(
            connection, "test", "many", kinds=["ship"], may_read=False, rate_per_minute=10_000_000
        )
    engine.dispose()
    with (
        processes.groups(workers, database_url, cache.url, logs) as groups,
        door(database_url, cache.url, number=web) as address,
    ):
        victims = [groups[0], cache]

        def kill() -> str:
            victim = victims.pop(0)
            victim.kill()
            return type(victim).__name__

        tally = asyncio.run(
            storm(address, key, clients=clients, seconds=seconds, seed=seed, kill=kill)
        )
        processes.until(
            lambda: not processes.undecided(database_url), SETTLES_S, "an outcome of each command"
        )
    return read_books(database_url, tally, seconds)


def report(result: Result) -> str:
    """The result in words."""
    tally = result.tally
    verdict = "RIGHT: each 202 has exactly one outcome" if result.is_right else "WRONG"
    return f"""{tally.sent} requests in {result.seconds:g} s, of them sent again {tally.again}
{len(tally.took_s) / result.seconds:.0f} answers/s: {tally.answers}
p50 {at(tally, 0.5)}, p99 {at(tally, 0.99)}, longest {at(tally, 1)}
killed: {", ".join(tally.kills)}
{len(tally.accepted)} commands answered with 202: {result.states}
missing {result.missing}, done twice {result.shipped_twice}, orders that do not tie {result.doubled}
{verdict}
"""


def at(tally: Tally, part: float) -> str:
    """How long an answer took, of which this part was quicker."""
    took = sorted(tally.took_s)
    return f"{took[min(len(took) - 1, int(part * len(took)))] * 1000:.0f} ms" if took else "-"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--web", type=int, default=1, help="processes of the door")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fulfillment-clients-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        database = postgres.start(root / "postgres", fsync=True)
        cache = Valkey(root / "valkey")
        try:
            engine = make_engine(database.url, Settings())
            migrate(engine)
            engine.dispose()
            result = run(
                database.url,
                cache,
                root,
                clients=asked.clients,
                seconds=asked.seconds,
                web=asked.web,
                workers=asked.workers,
                seed=asked.seed,
            )
        finally:
            cache.stop()
            database.stop()
    sys.stdout.write(report(result))
    return 0 if result.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
