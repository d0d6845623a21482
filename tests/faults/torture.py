"""`make torture`: every kind of fault, about one a second, under traffic through every door; then
an independent checker reads all books and a table says what became of what was in flight.

    python -m tests.faults.torture --seed 7 --minutes 20 --commands 100000
    python -m tests.faults.torture --minutes 2 --commands 5000 --only worker_killed --every 5
    python -m tests.faults.torture --list

Everything is on loopback and in a temporary folder, and ends with the program.
"""

import argparse
import json
import logging
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
import structlog
from dramatiq.errors import BrokerConnectionError

from tests.fakes.carrier import HARMLESS, FakeCarrier
from tests.faults.doors import DOORS, Producer, share
from tests.faults.faults import CATALOGUE, NOT_HERE, NotNow, Scene, clocked, own_disk
from tests.faults.mailbox import Mailbox
from tests.faults.proxy import Proxy
from tests.faults.report import Incident, Report, judge
from tests.faults.script import captured, script
from tests.faults.square import SETTINGS, Account
from tests.faults.world import ROOT, World, time_passes, wait_until
from tests.labels import lab
from worker.settings import Settings

WRONG_RATE = 0.05
"""Answers of carrier and provider that are wrong by themselves, beside the faults."""
AWAY = (psycopg.OperationalError, redis.RedisError, BrokerConnectionError)
"""What a fault meets when another has taken its server away; anything else is a mistake of it."""
PLAN = (2, 1, 1)
"""Processes of each worker's supervisor."""
LEASE_S = Settings.model_fields["lease_s"].default
SETTLED_S = 240

OPEN = """
-- open: all but parcels that are followed, and e-mails that wait for labels that died
select coalesce(w, 'work'), count(*) from (
  select 'command ' || coalesce(waits_for, '') as w from commands where state = 'pending'
  union all
  select f.route || ' ' || coalesce(waits_for, '') from followups f
  where f.state = 'pending' and f.route <> 'tracking'
    and not (f.route = 'emails' and f.lease_until is null and exists (
      select from followups l where l.route = 'labels' and l.state = 'dead'
        and l.order_id = f.order_id))
) as open group by 1
"""

UNKNOWN = "select part_id::text from refund_parts where state = 'unknown'"

DEAD = """
select route || ' ' || name || ': ' || dead_reason, count(*) from followups where state = 'dead'
group by 1
"""


@dataclass
class Plan:
    """A run. `only` are the kinds of faults, all by default."""

    seed: int
    lasts_s: float
    commands: int
    only: tuple[str, ...] = ()
    every_s: float = 1.0
    lease_s: float = LEASE_S
    actors: str = "actors"
    """The module that the workers run; another than the real one runs without a supervisor."""
    workers: tuple[int, ...] = PLAN
    least_kinds: int = 0
    """A run goes on for twice as long at most until it has seen so many."""
    own_disk: bool = True
    threads: int = 4
    grace_s: float = 20
    """How long commands wait for an order or a predecessor that is not there."""
    hours_s: float = 5
    """After so many seconds every back-off is over, as if hours had passed."""
    settled_s: float = SETTLED_S
    say: Callable[[str], object] = lambda words: None
    kept: Path | None = None
    """A folder for the workers' logs and the rows of the work."""


@dataclass
class Others:
    """Who has books of its own."""

    mailbox: Mailbox
    carrier: FakeCarrier
    account: Account


def run(plan: Plan) -> Report:
    """Faults, then quiet, then the books."""
    chance = random.Random(f"torture {plan.seed}")
    commands = script(plan.seed, plan.commands)
    with ExitStack() as stack:
        world = stack.enter_context(World.made(plan.seed, lease_s=plan.lease_s))
        scene = Scene(world)
        others = Others(
            Mailbox(),
            stack.enter_context(
                FakeCarrier(seed=plan.seed, wrong_rate=WRONG_RATE, kinds=HARMLESS, prefix="UP")
            ),
            stack.enter_context(Account(plan.seed, wrong_rate=WRONG_RATE)),
        )
        account, carrier = others.account, others.carrier
        for payment_id, (amount_minor, currency) in captured(commands).items():
            account.ledger.capture(payment_id, amount_minor, currency)
        settings = furnish(plan, scene, stack, others)
        sent: dict[str, float] = {}
        producers = [Producer(door, world, sent) for door in DOORS]
        published = share(commands, producers, chance, plan.lasts_s)
        scene.producers = producers

        working = stack.enter_context(ExitStack())
        for number, processes in enumerate(plan.workers):
            kept = world.worker(
                number,
                actors=plan.actors,
                processes=processes if plan.actors == "actors" else None,
                **settings(number),
            )
            scene.workers.append(working.enter_context(kept))
        stack.callback(world.over.set)
        wait_until(lambda: are_at_work(world, scene.workers, sum(plan.workers)), 120)
        clerk = threading.Thread(
            target=back_office, args=(world, account, chance.random(), plan.hours_s)
        )
        clerk.start()
        stack.callback(clerk.join, 10)
        stack.callback(world.over.set)

        began = time.time()
        for producer in producers:
            producer.start()
        storm = Storm(plan, scene, chance)
        incidents = storm.rage()
        report = Report(plan.seed, began, time.time(), incidents=incidents)
        report.hindered = storm.hindered
        report.not_here = NOT_HERE | missing(plan, scene)
        plan.say(f"faults are over after {time.time() - began:.0f} s; it settles\n")
        settle(world, producers, plan, report)
        by_hand(world, account, settings(0), plan, report)
        working.close()
        world.over.set()
        judge(
            report,
            world,
            {row_id: one.body() for row_id, one in published.items()},
            sent,
            ledger=account.rows(),
            labels=[dict(one) for one in carrier.labels.values()],
            mailbox=others.mailbox,
            unheard=[one for proxy in scene.proxies["smtp"] for one in proxy.unheard],
            sending=plan.threads // 2 * max(plan.workers),
            kept=plan.kept,
        )
        return report


def furnish(plan, scene, stack, others):
    """Proxies before all that is outside, the label disk, the clock; the workers' settings."""
    world = scene.world

    def before(who, port, **options):
        proxy = stack.enter_context(Proxy(port, **options).served())
        scene.proxies[who].append(proxy)
        return proxy.port

    front = before("valkey", world.redis.port)
    world.redis_url = world.redis.url.replace(f":{world.redis.port}/", f":{front}/")
    carrier_port = before("carrier", port_of(others.carrier.url))
    provider_port = before("provider", port_of(others.account.url))
    smtp_ports = [
        before("smtp", stack.enter_context(others.mailbox.served(number)), spares=is_prelude)
        for number in range(len(plan.workers))
    ]
    if plan.own_disk:
        scene.labels = stack.enter_context(own_disk(world.folder / "state" / "labels"))
    clock = clocked(world.folder / "clock")
    scene.clock = world.folder / "clock" if clock else None
    ups = {
        "adapter": "tests.fakes.carrier:FakeAdapter",
        "url": f"http://127.0.0.1:{carrier_port}",
        "rate": "1000",
        "timeout_s": "1",
        "settles_within_s": str(plan.lease_s + 2),  # longer than a worker is stopped
    }
    common = SETTINGS | {
        "SQUARE_URL": f"http://127.0.0.1:{provider_port}",
        "FULFILLMENT_CARRIER_ADAPTERS": json.dumps({"ups": ups}),
        "FULFILLMENT_SHIP_FROM": lab.SHOP.model_dump_json(),
        "FULFILLMENT_PARCEL_WEIGHT_G": "500",
        "FULFILLMENT_GRACE_S": str(plan.grace_s),
        "FULFILLMENT_THREADS": str(plan.threads),
        "FULFILLMENT_SMTP_TIMEOUT_S": "10",
        "FULFILLMENT_EMAIL_FROM": "shop@shop.example",
    }

    def settings(number):
        own = {"SMTP_URL": f"smtp://127.0.0.1:{smtp_ports[number]}"}
        return common | own | (clock if number == len(plan.workers) - 1 else {})

    return settings


def are_at_work(world, workers, processes):
    """Whether so many processes of these workers do what they are there for."""
    pids = {one.pid for worker in workers for one in worker.leaves()}
    return len(pids & world.at_work()) >= processes


def is_prelude(asked):
    """Whether a mail server was asked anything but to take an e-mail."""
    return not asked.endswith(b"\r\n.\r\n")


def port_of(url):
    return int(url.rpartition(":")[2])


class Storm:
    """Two lanes: what starts servers is done here, everything else beside it."""

    def __init__(self, plan, scene, chance):
        self.plan, self.scene = plan, scene
        kinds = [CATALOGUE[name] for name in plan.only or CATALOGUE]
        kinds = [one for one in kinds if not one.missing(scene)]
        self.main = Deck([one for one in kinds if one.is_main], random.Random(chance.random()))
        self.beside = Deck([one for one in kinds if not one.is_main], chance)
        self.busy = {one.lane: threading.Lock() for one in CATALOGUE.values()}
        self.incidents = []
        self.hindered = Counter()
        """What could not be done, since another fault was in the way."""
        self.problem = None
        self.until = time.monotonic() + plan.lasts_s
        share = len(self.main.kinds) / len(kinds)
        self.main_every_s = plan.every_s / share if share else None
        self.beside_every_s = plan.every_s / (1 - share) if share < 1 else None

    def rage(self):
        """All that was done."""
        beside = threading.Thread(target=self._beside, name="faults", daemon=True)
        beside.start()
        self._turn(self.main, self.main_every_s, self._do)
        beside.join(120)
        if self.problem:
            raise self.problem
        return sorted(self.incidents, key=lambda one: one.begun_at)

    def _beside(self):
        going = []

        def start(kind, chance):
            one = threading.Thread(target=self._do, args=(kind, chance), daemon=True)
            one.start()
            going.append(one)

        try:
            self._turn(self.beside, self.beside_every_s, start)
        finally:
            for one in going:
                one.join(60)

    def _turn(self, deck, every_s, act):
        due = time.monotonic()
        while not self._is_over():
            if deck.kinds and time.monotonic() >= due:
                if kind := deck.next(self.busy):
                    act(kind, random.Random(deck.chance.random()))
                due = max(due + deck.chance.uniform(0.5, 1.5) * every_s, time.monotonic())
            time.sleep(0.02)

    def _is_over(self):
        """Time is up; a short run goes on for as long again until it has seen enough kinds."""
        kinds = len({one.kind.name for one in self.incidents})
        more_s = self.plan.lasts_s if kinds < self.plan.least_kinds else 0
        return self.problem is not None or time.monotonic() > self.until + more_s

    def _do(self, kind, chance):
        if not self.busy[kind.lane].acquire(blocking=False):
            return
        try:
            leased = leased_now(self.scene)
            begun_at = time.time()
            hit = kind.act(self.scene, chance)
            self.incidents.append(Incident(kind, begun_at, time.time(), hit or frozenset(), leased))
        except (NotNow, *AWAY):
            self.hindered[kind.name] += 1
        except Exception as error:  # noqa: BLE001  # raised again by the main thread
            self.problem = error
        finally:
            self.busy[kind.lane].release()


class Deck:
    """Kinds of faults, shuffled again when all have had their turn."""

    def __init__(self, kinds, chance):
        self.kinds, self.chance = kinds, chance
        self.cards = deque()

    def next(self, busy):
        """The next whose lane is free, or None."""
        weights = [one.weight for one in self.kinds]
        for _ in range(2 * sum(weights)):
            if not self.cards:
                self.cards.extend(self.chance.sample(self.kinds, sum(weights), counts=weights))
            if not busy[self.cards[0].lane].locked():
                return self.cards.popleft()
            self.cards.rotate(-1)
        return None


def leased_now(scene):
    """Follow-ups that somebody is about; None when PostgreSQL does not tell."""
    try:
        with scene.world.connection() as connection:
            rows = connection.execute(
                "select id from followups where state = 'pending' and lease_until is not null"
            )
            return {row_id for (row_id,) in rows}
    except psycopg.Error:
        return None


def back_office(world, account, seed, hours_s):
    """What is pending at the provider ends there; and on our side time passes."""
    chance = random.Random(seed)
    passes = time.monotonic()
    while not world.over.wait(0.5):
        with account.ledger.lock:
            pending = [one for one in account.ledger.refunds.values() if one.state == "pending"]
        for refund in pending:
            account.ledger.end(refund.refund_id, "settled" if chance.random() < 0.7 else "failed")
        if time.monotonic() > passes:
            passes = time.monotonic() + hours_s
            with suppress(psycopg.Error), world.connection() as connection:
                connection.execute(time_passes())


def settle(world, producers, plan, report):
    """Until everything is in and nothing is open."""
    began = time.monotonic()
    deadline = began + plan.settled_s
    for producer in producers:
        producer.join(max(0, deadline - time.monotonic()))
        if producer.problem:
            raise producer.problem
        if producer.is_alive():
            report.unsettled.append(f"{producer.name} waits: {producer.doubt}")
    wait_for_quiet(world, deadline, report)
    report.settled_s = time.monotonic() - began
    report.sent_again = {one.name: one.again for one in producers}


def wait_for_quiet(world, deadline, report):
    while found := open_work(world):
        if time.monotonic() > deadline:
            report.unsettled.append(f"open: {found}")
            return
        time.sleep(0.2)


def open_work(world):
    with world.connection() as connection:
        return dict(connection.execute(OPEN).fetchall())


def by_hand(world, account, settings, plan, report):
    """A person has what died tried again, and says how refunds ended of which nobody knows."""
    deadline = time.monotonic() + plan.settled_s
    for _ in range(4):
        dead = selected(world, DEAD)
        report.dead.append(dict(dead))
        if not dead:
            return
        unknown = {part_id for (part_id,) in selected(world, UNKNOWN)}
        settled = {row["key"] for row in account.rows() if row["state"] == "settled"}
        by = ("--by", "operator")
        if paid := unknown & settled:
            fulfillment(world, "refunds", "settle", *paid, *by, **settings)
        if unpaid := unknown - settled:
            fulfillment(
                world, "refunds", "fail", *unpaid, "--because", "not there", *by, **settings
            )
        if selected(world, DEAD):
            fulfillment(world, "dead", "replay", "--all", **settings)
        wait_for_quiet(world, deadline, report)


def fulfillment(world, *words, **settings):
    """A person's command."""
    environment = (
        os.environ
        | settings
        | {
            "DATABASE_URL": world.database.url,
            "REDIS_URL": world.redis_url,
            "FULFILLMENT_STATE_DIR": str(world.folder / "state"),
        }
    )
    command = [sys.executable, "-m", "worker", *words]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, timeout=120, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def selected(world, statement):
    with world.connection() as connection:
        return connection.execute(statement).fetchall()


def missing(plan, scene):
    """Kinds that cannot be injected here, and why."""
    return {name: why for name in plan.only or CATALOGUE if (why := CATALOGUE[name].missing(scene))}


def main():
    arguments = read_arguments()
    if arguments.list:
        for one in CATALOGUE.values():
            sys.stdout.write(f"{one.name:32}{one.lane}\n")
        for name, why in NOT_HERE.items():
            sys.stdout.write(f"not injected: {name}: {why}\n")
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is taken down
    plan = Plan(
        arguments.seed,
        arguments.minutes * 60,
        arguments.commands,
        only=tuple(arguments.only),
        every_s=arguments.every,
        lease_s=arguments.lease,
        settled_s=SETTLED_S + arguments.minutes * 60,
        say=told,
        kept=arguments.keep,
    )
    told(
        f"torture: seed {plan.seed}, {arguments.minutes:g} minutes, {plan.commands} commands;"
        f" again with --seed {plan.seed}\n"
    )
    report = run(plan)
    told(report.table())
    sys.exit(0 if report.is_good else 1)


def told(words):
    sys.stdout.write(words)
    sys.stdout.flush()


def read_arguments():
    parser = argparse.ArgumentParser(prog="python -m tests.faults.torture", description=__doc__)
    seed = int(os.environ.get("FULFILLMENT_TORTURE_SEED") or secrets.randbelow(10**6))
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--commands", type=int, default=100_000)
    parser.add_argument("--every", type=float, default=1.0, metavar="S", help="seconds a fault")
    parser.add_argument("--lease", type=float, default=LEASE_S, metavar="S", help="of the workers")
    parser.add_argument("--only", nargs="+", default=[], choices=sorted(CATALOGUE), metavar="KIND")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and rows of work there")
    parser.add_argument("--list", action="store_true", help="name the kinds of faults, and stop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
