"""Every worker and the HTTP door are replaced one after the other under load, as an update does it:
nothing is lost or done twice, and no HTTP request fails.

    python -m tests.acceptance.rolling --seed 7 --seconds 60
    python -m tests.acceptance.rolling --before FOLDER

Each is told to end (SIGTERM), waited for, and started again, while clients hand in commands through
HTTP, the store and the broker. HTTP clients have a connection each and try nothing a second time.
The listening socket is this program's, as it would be systemd's. At the end an independent checker
reads the books.

With `--before`, it is the version of another folder that is replaced by ours: its workers and webs
have begun, its producers go on, the schema is migrated under them all, and old and new work side by
side. Producers of ours send messages from the start, and accept rows once the schema is there. If
the older one has no `web --fd` yet, say `--webs 0`.
"""

import argparse
import http.client
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path

import psycopg
import structlog

from messages.wire import KINDS
from tests.faults.checker import check
from tests.faults.doors import Producer, are_rows, broker_door, not_there, store_door
from tests.faults.mailbox import Mailbox
from tests.faults.script import script
from tests.faults.torture import are_at_work, open_work
from tests.faults.world import ROOT, World
from tests.labels import lab
from worker.embedded.server import ourselves
from worker.settings import Settings
from worker.store import laws
from worker.store.engine import make_engine
from worker.web import keys

START_S = 300
"""For a process to be at work, on a busy machine."""
STOP_S = 120
SETTLED_S = 300
UNITS_OF_A_CONNECTION = 20
"""Requests, on average, after which a client connects anew."""
READERS = 2
STEPS = 4
"""The old alone, with the new schema, beside the new; the new alone."""
COMMANDS = "/v1/commands"
SHOP = Path(__file__).with_name("shop.py")

BETWEEN = """
-- between: commands that ended then
select count(*) from commands where state <> 'pending' and decided_at >= %s and decided_at < %s
"""


@dataclass(frozen=True)
class Plan:
    """A run. It goes on until the time is over and each was replaced once."""

    seed: int
    seconds: float = 60
    commands: int = 3_000
    workers: int = 4
    webs: int = 2
    clients: int = 8
    is_supervised: bool = True
    """Workers are started by `fulfillment worker`, else by dramatiq itself, which is quicker."""
    before: Path | None = None
    """The folder of the version that is replaced; ours, if unset."""


@dataclass(frozen=True)
class Replaced:
    """A worker or a web, by the database's clock: when it was told to end, and back at work."""

    name: str
    told_at: datetime
    again_at: datetime


@dataclass
class Asked:
    """What HTTP clients heard, and producers that are programs of their own."""

    count: int = 0
    longest_s: float = 0
    failed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: str, took_s: float) -> None:
        """An answer, or what came in its place."""
        with self.lock:
            self.count += 1
            self.longest_s = max(self.longest_s, took_s)
            if answer not in {"200", "202"}:
                self.failed.append(answer)


@dataclass(frozen=True)
class Result:
    """What it came to."""

    asked: Asked
    sent: int
    replaced: list[str]
    codes: set[int]
    """With which those that were told to end did."""
    found: list[str]
    """Violations of the books, what was lost or doubled among them."""
    copies: int
    """E-mails that arrived a second time."""
    decided: dict[str, int]
    """Commands, by who decided them; of one version nobody asks."""
    log: str

    @property
    def is_right(self) -> bool:
        is_clean = not (self.asked.failed or self.found or self.copies)
        return is_clean and self.codes == {0} and all(self.decided.values())

    def __str__(self) -> str:
        asked = self.asked
        return f"""replaced: {", ".join(self.replaced)}; exit codes {sorted(self.codes)}
{asked.count} requests, failed {len(asked.failed)}, the longest {asked.longest_s:.2f} s
{self.sent} commands; violations {len(self.found)}; e-mails twice {self.copies}
{", ".join(f"{count} decided by {who}" for who, count in self.decided.items())}
{"RIGHT" if self.is_right else "WRONG"}
{chr(10).join([*asked.failed[:20], *self.found[:20], *([] if self.is_right else [self.log])])}"""


def roll(plan: Plan, world: World) -> Result:
    """The whole of it."""
    commands = script(plan.seed, plan.commands)
    asked, mailbox = Asked(), Mailbox()
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
        services = {
            name: stack.enter_context(one)
            for name, one in furnish(plan, world, stack, mailbox, listening)
        }
        stack.callback(world.over.set)
        client = None
        if plan.webs:
            client = partial(Client, listening.getsockname(), key(world), asked)
        load = Load(plan, world, commands, client, asked)
        at_work(world, dict(islice(services.items(), plan.workers)))
        load.go_on()
        if client:
            stack.enter_context(reading(client, READERS))
        at_work(world, services)  # webs, once they are asked
        renewed_at = renew(plan, world, services, load) if plan.before else None
        replaced, codes = replace_all(plan, world, services, load)
        settle(world, load.producers)
    copies = [one.message_id for one in mailbox.copies]
    published = {str(one.command_id): one.body() for one in commands}
    found = check(
        world.database.url, published, mail=copies, files=world.folder / "state" / "labels"
    )
    found += unlawful(world)
    twice = len(copies) - len(set(copies))
    return Result(
        asked,
        len(published),
        [one.name for one in replaced],
        codes,
        found,
        twice,
        by_whom(world, renewed_at, replaced[: plan.workers]) if renewed_at else {},
        world.told(""),
    )


class Load:
    """Commands, given to producers; where another version is replaced, in a wave for each step of
    that, so that there is work however long a step takes.
    """

    def __init__(self, plan, world, commands, client, asked):
        self.plan, self.world, self.client, self.asked = plan, world, client, asked
        self.chance = random.Random(f"load {plan.seed}")
        self.count = STEPS if plan.before else 1
        size = -(-len(commands) // self.count)
        self.waves = deque(commands[at : at + size] for at in range(0, len(commands), size))
        self.producers = []
        self.sent = {}

    def go_on(self):
        """The next wave begins."""
        clients = [http_door(self.client)] * (self.plan.clients if self.client else 0)
        doors = [*clients, *self.doors()]
        made = [Producer(door, self.world, self.sent) for door in doors]
        clients, others = made[: len(clients)], made[len(clients) :]
        share(self.waves.popleft(), clients, others, self.chance, self.plan.seconds / self.count)
        self.producers += made
        for one in made:
            one.start()

    def doors(self):
        """But for HTTP. Ours that accepts rows needs our schema."""
        yield broker_door
        if self.plan.before:
            for way in ("store", "broker"):
                yield program_door(self.plan.before, way, self.asked)
        if self.producers or not self.plan.before:
            yield store_door


def furnish(plan, world, stack, mailbox, listening):
    """Workers, each with a mail server of its own, and webs, by name; not started."""
    for number in range(plan.workers):
        port = stack.enter_context(mailbox.served(number))
        yield (
            f"worker {number}",
            world.worker(
                number,
                processes=1 if plan.is_supervised else None,
                root=plan.before or ROOT,
                SMTP_URL=f"smtp://127.0.0.1:{port}",
                FULFILLMENT_EMAIL_FROM="shop@shop.example",
                FULFILLMENT_SHIP_FROM=lab.SHOP.model_dump_json(),
            ),
        )
    for number in range(plan.webs):
        yield f"web {number}", world.web(number, listening, root=plan.before or ROOT)


def at_work(world, services):
    """Wait until each has begun."""
    for name, one in services.items():
        until(f"{name} at work", world, lambda one=one: are_at_work(world, [one], 1), START_S)


def renew(plan, world, services, load):
    """The schema, under those that work with it; what starts from here on is ours. Returns when."""
    at_it("the old", plan, world)
    world.migrate()
    renewed_at = clock(world)
    for one in services.values():
        one.move(ROOT)
    load.go_on()
    at_it("the old with the new schema", plan, world, renewed_at)
    return renewed_at


def at_it(who, plan, world, since="-infinity"):
    """Wait until some commands have ended since then."""
    some = plan.commands // 20
    until(f"{who} at it", world, lambda: between(world, since) >= some, START_S)


def replace_all(plan, world, services, load):
    """One after the other, again and again until the time is over; each, and their exit codes."""
    over_at = time.monotonic() + plan.seconds
    replaced, codes = [], set()
    while not replaced or time.monotonic() < over_at:
        for name, one in services.items():
            told_at = clock(world)
            codes.add(replace(world, name, one))
            replaced.append(Replaced(name, told_at, clock(world)))
            if load.waves and len(replaced) in {1, plan.workers}:
                load.go_on()
                at_it("new ones", plan, world, replaced[-1].again_at)
    return replaced, codes


def by_whom(world, renewed_at, workers):
    """How many commands the old workers decided, alone and beside ours, and ours alone."""
    first, *_, last = workers
    return {
        "the old": between(world, "-infinity", renewed_at),
        "the old with the new schema": between(world, renewed_at, first.told_at),
        "both": between(world, first.again_at, last.told_at),
        "the new": between(world, last.again_at),
    }


def between(world, since="-infinity", until="infinity"):
    with world.connection() as connection:
        return connection.execute(BETWEEN, [since, until]).fetchone()[0]


def clock(world):
    with world.connection() as connection:
        return connection.execute("select clock_timestamp()").fetchone()[0]


def replace(world, name, one):
    """Told to end, waited for, started again and at work; the exit code of the former."""
    former = one.process
    former.terminate()
    until(f"{name} ends", world, lambda: one.process is not former, STOP_S)
    at_work(world, {name: one})
    return former.returncode


def settle(world, producers):
    """Until everything is in and nothing is open."""
    for producer in producers:
        producer.join(SETTLED_S)
        if producer.problem:
            raise producer.problem
        assert not producer.is_alive(), world.told(f"{producer.name}: {producer.doubt}")
    until("all has ended", world, lambda: not waiting(world), SETTLED_S)


def until(what, world, fact, within_s):
    """Wait until it is true; else say what was waited for, and the last words of all."""
    deadline = time.monotonic() + within_s
    while True:
        with suppress(psycopg.OperationalError):  # a server that is busy lets nobody in for a while
            if fact():
                return
        assert time.monotonic() < deadline, world.told(f"not within {within_s} s: {what}")
        time.sleep(0.1)


def waiting(world):
    """What is open, but for refunds that a person would give."""
    return {name for name in open_work(world) if not name.endswith(" hand")}


def key(world):
    """A key for everything."""
    engine = make_engine(world.database.url, Settings(), pool_size=1)
    with engine.begin() as connection:
        text = keys.add(
            connection, "test", "rolling", kinds=KINDS, may_read=True, rate_per_minute=10**7
        )
    engine.dispose()
    return text


def share(commands, clients, others, chance, lasts_s):
    """Give the commands out in small chunks: half by HTTP, the rest by the other doors."""
    start = 0
    while start < len(commands):
        size = chance.randint(1, 12)
        producer = chance.choice((chance.choice(clients or others), chance.choice(others)))
        producer.chunks.append((lasts_s * start / len(commands), commands[start : start + size]))
        start += size


def program_door(root, way, asked):
    """A program of the version in this folder: by rows or by messages, as `shop.py` has them."""

    @contextmanager
    def program(world):
        process = subprocess.Popen(
            [sys.executable, str(SHOP), way, world.database.url, world.redis_url],
            env=os.environ | {"PYTHONPATH": str(root)},
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **ourselves().popen(signal.SIGTERM),  # it ends with us
        )

        assert process.stdout.readline() == "ready\n", world.told(f"no producer of {root}")

        def send(chunk):
            begun_at = time.monotonic()
            bodies = json.dumps([one.body() for one in not_there(world, chunk)])
            process.stdin.write(f"{bodies}\n")
            process.stdin.flush()
            asked.note(process.stdout.readline().strip(), time.monotonic() - begun_at)
            return are_rows(world, chunk, within_s=1)

        with process:  # waits for it, its input being closed
            yield send

    return program


class Client:
    """Asks over one connection, again and again; tries nothing a second time."""

    def __init__(self, address, key_text, asked):
        self._connection = http.client.HTTPConnection(*address, timeout=30)
        self._headers = {"Authorization": f"Bearer {key_text}", "Content-Type": "application/json"}
        self._asked = asked
        self.chance = random.Random(0)

    def ask(self, method, path, body=None):
        """The status of the answer, or what came in its place."""
        begun_at = time.monotonic()
        try:
            self._connection.request(method, path, body, self._headers)
            answer = self._connection.getresponse()
            answer.read()
            told = str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            told = f"{type(error).__name__}: {error}"
        self._asked.note(told, time.monotonic() - begun_at)
        if self.chance.random() < 1 / UNITS_OF_A_CONNECTION:
            self.close()
        return told

    def close(self):
        self._connection.close()


def http_door(make_client):
    """Commands one by one over HTTP; of some the outcome is waited for. What fails is noted, and
    sent again so that the books can be read.
    """

    @contextmanager
    def http_client(world):
        client = make_client()

        def send(chunk):
            answers = {client.ask("POST", COMMANDS, json.dumps(one.body())) for one in chunk}
            if client.chance.random() < 0.2:
                client.ask("GET", f"{COMMANDS}/{chunk[-1].command_id}?wait=2")
            return answers == {"202"}

        try:
            yield send
        finally:
            client.close()

    return http_client


@contextmanager
def reading(make_client, count):
    """Clients that look at orders all the time."""
    over = threading.Event()

    def read():
        client = make_client()
        while not over.wait(0.05):
            client.ask("GET", "/v1/orders?limit=1")
        client.close()

    threads = [threading.Thread(target=read, name="reading", daemon=True) for _ in range(count)]
    for one in threads:
        one.start()
    try:
        yield
    finally:
        over.set()
        for one in threads:
            one.join(60)


def unlawful(world):
    """Laws of the schema that do not hold, that of the feed among them."""
    engine = make_engine(world.database.url, Settings(), pool_size=1)
    with engine.connect() as connection:
        broken = laws.broken(connection)
    engine.dispose()
    return [f"{count} rows: {law}" for law, count in broken.items() if count]


def migrated_by(folder, world):
    """The schema at the version of a folder."""
    environment = os.environ | {
        "DATABASE_URL": world.database.url,
        "REDIS_URL": world.redis_url,
        "PYTHONPATH": str(folder),
    }
    command = [sys.executable, "-m", "worker", "migrate"]
    subprocess.run(command, env=environment, cwd=folder, timeout=120, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--commands", type=int, default=3_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--webs", type=int, default=2)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="of the version replaced")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is taken down
    plan = Plan(
        asked.seed,
        asked.seconds,
        asked.commands,
        asked.workers,
        asked.webs,
        before=asked.before,
    )
    with World.made(plan.seed, is_migrated=not plan.before) as world:
        if plan.before:
            migrated_by(plan.before, world)
        result = roll(plan, world)
    sys.stdout.write(str(result))
    return 0 if result.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
