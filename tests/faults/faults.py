"""The catalogue of faults: each a function that does it, waits, and undoes it.

Faults of one lane exclude each other, those of different lanes overlap.
"""

import os
import random
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis

from messages import publish, wire
from tests.faults import world as ends
from tests.faults.proxy import Proxy, Way
from tests.faults.world import ROOT, Kept, World, working
from worker.broker.hints import Hints
from worker.broker.redis import make_broker

ROUTES = (wire.COMMANDS, wire.LABELS, wire.EMAILS, wire.REFUNDS)

NOT_HERE = {
    "power cut": "the machine would have to go down with its disks' caches",
    "failover of Valkey or PostgreSQL": "there is one server of each",
    "network split between hosts": "all of it is one host",
    "database disk full": "it would take the harness's own evidence with it",
    "clock of PostgreSQL's host": "it is this machine's",
}
"""What no program can do to one machine from within, and why."""


@dataclass
class Scene:
    """What faults can reach."""

    world: World
    workers: list[Kept] = field(default_factory=list)
    producers: list[Any] = field(default_factory=list)
    proxies: dict[str, list[Proxy]] = field(default_factory=lambda: defaultdict(list))
    """Before valkey, smtp, carrier and provider."""
    labels: Path | None = None
    """The label folder; see `own_disk`."""
    clock: Path | None = None
    """The file that tells one worker what time it is."""


class NotNow(Exception):
    """It could not be done at this moment: another fault was in the way."""


@dataclass(frozen=True)
class Fault:
    """One kind. `act` returns the workers it interrupts between a reply and their commit."""

    name: str
    lane: str
    act: Callable[[Scene, random.Random], Any]
    missing: Callable[[Scene], str | None] = lambda _: None
    """Why it cannot be injected here."""
    is_main: bool = False
    """It starts a server, which only the main thread may."""
    is_stop: bool = False
    """Whom it interrupts goes on afterwards with what it held."""
    weight: int = 1
    """How often it comes in a round."""


CATALOGUE: dict[str, Fault] = {}


def fault(lane, **options):
    def known(act):
        CATALOGUE[act.__name__] = Fault(act.__name__, lane, act, **options)
        return act

    return known


# Workers. `ticker`: the process that is in the middle of a batch, whose ticker renews its lease.


@fault("workers")
def worker_killed(scene, chance):
    return everyone(scene, ends.worker_killed(scene.world, scene.workers, chance))


@fault("workers")
def worker_terminated(scene, chance):
    _, victim = working(scene.workers, chance)
    with alive():
        psutil.Process(victim.ppid()).terminate()  # its main process: a graceful end


@fault("workers", is_stop=True)
def worker_stopped(scene, chance):
    return everyone(scene, ends.worker_stopped(scene.world, scene.workers, chance))


@fault("workers")
def ticker_killed(scene, chance):
    worker, victim = in_mid_batch(scene)
    with alive():
        victim.kill()
    return everyone(scene, [worker])


@fault("workers")
def ticker_terminated(scene, chance):
    _, victim = in_mid_batch(scene)
    with alive():
        psutil.Process(victim.ppid()).terminate()


@fault("workers", is_stop=True)
def ticker_stopped(scene, chance):
    worker, victim = in_mid_batch(scene)
    with alive():
        stand_still(victim, scene.world.lease_s + chance.uniform(0.3, 1))
    return everyone(scene, [worker])


@fault("workers")
def supervisor_killed(scene, chance):
    worker = dispensable(scene, chance)
    worker.below()  # so that what it leaves behind is known
    with alive():
        psutil.Process(worker.process.pid).kill()


@fault("workers")
def supervisor_terminated(scene, chance):
    with alive():
        psutil.Process(dispensable(scene, chance).process.pid).terminate()


@fault("workers")
def supervisor_stopped(scene, chance):
    with alive():
        victim = psutil.Process(chance.choice(scene.workers).process.pid)
        stand_still(victim, scene.world.lease_s + chance.uniform(0.3, 1))


@fault("clock", missing=lambda scene: None if scene.clock else "libfaketime is not installed")
def clock_8_days_ahead(scene, chance):
    scene.clock.write_text("+8d")
    time.sleep(chance.uniform(4, 10))
    scene.clock.write_text("+0")


# Valkey.


@fault("valkey", is_main=True, weight=4)
def valkey_killed_and_empty(scene, chance):
    ends.redis_killed(scene.world, scene.workers, chance)


@fault("valkey")
def valkey_erased(scene, chance):
    with admin(scene) as client:
        client.flushall()


@fault("valkey")
def valkey_out_of_memory(scene, chance):
    with admin(scene) as client:
        client.config_set("maxmemory", "1mb")  # less than an empty one takes; `noeviction`
        time.sleep(chance.uniform(2, 5))
        client.config_set("maxmemory", 0)


@fault("valkey")
def valkey_read_only(scene, chance):
    with admin(scene) as client:
        client.replicaof("127.0.0.1", 1)
        time.sleep(chance.uniform(2, 5))
        client.replicaof("NO", "ONE")


@fault("valkey")
def valkey_stalled(scene, chance):
    stand_still(psutil.Process(scene.world.redis.process.pid), chance.uniform(2, 8))


@fault("valkey")
def valkey_replies_lost(scene, chance):
    go(scene.proxies["valkey"], Way.LOSE, chance, 1, 6)


@fault("valkey")
def valkey_unreachable(scene, chance):
    go(scene.proxies["valkey"], Way.REFUSE, chance, 2, 5)


# PostgreSQL.


@fault("postgres", is_main=True, weight=3)
def postgres_restarted(scene, chance):
    return everyone(scene, ends.postgres_killed(scene.world, scene.workers, chance))


@fault("postgres", is_main=True)
def postgres_away_20_s(scene, chance):
    scene.world.database.stop("immediate")
    time.sleep(20)
    scene.world.start_database()
    return everyone(scene)


@fault("postgres")
def sessions_terminated(scene, chance):
    with superuser(scene) as connection:
        connection.execute(TERMINATE, [chance.randint(2, 40)])
    return everyone(scene)


@fault("postgres")
def order_row_held(scene, chance):
    with superuser(scene) as connection, connection.transaction():
        connection.execute(HOLD, [chance.randint(1, 3)])
        time.sleep(chance.uniform(2, 6))


@fault("postgres")
def too_many_connections(scene, chance):
    """Sessions of the workers end, and strangers have taken every place."""
    held = []
    try:
        with superuser(scene) as connection:
            fill(scene, held)
            connection.execute(TERMINATE, [20])
            until = time.monotonic() + chance.uniform(2, 4)
            while time.monotonic() < until:
                fill(scene, held)
                time.sleep(0.05)
    finally:
        for one in held:
            one.close()
    return everyone(scene)


TERMINATE = """
select pg_terminate_backend(pid) from (
  select pid from pg_stat_activity where application_name like 'fulfillment %%'
  order by random() limit %s) as chosen
"""

HOLD = """
-- hold: orders that something is to be done to
select from orders where order_id in (
  select order_id from commands where state = 'pending' order by seq desc limit %s)
order by order_id for update
"""

IN_MID_BATCH = """
select substr(application_name, 13)::int from pg_stat_activity
where application_name like 'fulfillment %' and xact_start is not null
  and query not like '%-- look%' and query not like '%-- renew%'
order by xact_start limit 1
"""


# The label folder.


def no_disk(scene):
    if has_disk(scene):
        return None
    return "only root can give the label folder a disk of its own"


def no_refusal(scene):
    if scene.labels and (has_disk(scene) or os.geteuid()):
        return None
    return "root may write into any folder that is not on a disk of its own"


@fault("disk", missing=no_disk)
def label_disk_full(scene, chance):
    fill_disk(scene.labels)
    time.sleep(chance.uniform(2, 5))
    remount(scene.labels, f"size={DISK_BYTES}")


@fault("disk", missing=no_refusal)
def label_disk_read_only(scene, chance):
    if not has_disk(scene):
        with closed(scene.labels):
            time.sleep(chance.uniform(2, 5))
        return
    remount(scene.labels, "ro")
    time.sleep(chance.uniform(2, 5))
    remount(scene.labels, "rw")


# Mail server, carrier, provider: each refuses, hangs, answers twice, dies after the work was done.


def outside(who, way, name):
    def act(scene, chance):
        go(scene.proxies[who], way, chance, 2, 5)

    act.__name__ = f"{who}_{name}"
    return fault(who)(act)


for who in ("smtp", "carrier", "provider"):
    outside(who, Way.REFUSE, "refuses")
    outside(who, Way.HANG, "hangs")
    outside(who, Way.TWICE, "answers_twice")
    outside(who, Way.DIE, "dies_after_work")


# Messages.


@fault("messages")
def hints_doubled(scene, chance):
    hints = Hints(scene.world.redis_url, limit=10**6)
    routes = [route for route in ROUTES for _ in range(chance.randint(5, 40))]
    chance.shuffle(routes)
    for route in routes:
        hints.send(route)
    hints.close()


@fault("messages")
def messages_doubled_and_reordered(scene, chance):
    """The latest commands of all doors come again, by the broker, in any order."""
    again = [one for producer in scene.producers for one in producer.lately] * 2
    chance.shuffle(again)
    broker = make_broker(scene.world.redis_url)
    try:
        for command in again:
            publish(broker, command)
    finally:
        broker.close()


@fault("messages")
def queues_reordered(scene, chance):
    with admin(scene) as client:
        for queue in (wire.INBOX, *ROUTES):
            client.eval(SHUFFLE, 1, f"{wire.NAMESPACE}:{queue}", chance.randrange(10**6))


SHUFFLE = """
local ids = redis.call("lrange", KEYS[1], 0, -1)
if #ids == 0 then return 0 end
math.randomseed(tonumber(ARGV[1]))
for i = #ids, 2, -1 do
    local j = math.random(i)
    ids[i], ids[j] = ids[j], ids[i]
end
redis.call("del", KEYS[1])
for _, id in ipairs(ids) do redis.call("rpush", KEYS[1], id) end
return #ids
"""


def everyone(scene, workers=None):
    """The numbers of these workers, or of all."""
    return frozenset(map(scene.workers.index, scene.workers if workers is None else workers))


def in_mid_batch(scene):
    """The worker and its process that is in the middle of a batch."""
    with superuser(scene) as connection:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            for (pid,) in connection.execute(IN_MID_BATCH):
                for worker in scene.workers:
                    for victim in worker.leaves():
                        if victim.pid == pid:
                            return worker, victim
    raise NotNow("no worker has a batch")


def dispensable(scene, chance):
    """A worker that is at work, as another is: to end all of them is to wait for their start."""
    pids = scene.world.at_work()
    found = [one for one in scene.workers if pids & {process.pid for process in one.leaves()}]
    if len(found) < 2:
        raise NotNow("no other worker is at work")
    return chance.choice(found)


def stand_still(process, seconds):
    process.suspend()
    try:
        time.sleep(seconds)
    finally:
        process.resume()


def go(proxies, way, chance, least_s, most_s):
    with ExitStack() as stack:
        for proxy in proxies:
            stack.enter_context(proxy.going(way))
        time.sleep(chance.uniform(least_s, most_s))


@contextmanager
def alive():
    """Who is killed may have ended a moment before."""
    try:
        yield
    except (psutil.NoSuchProcess, AttributeError) as error:
        raise NotNow(str(error)) from error


@contextmanager
def admin(scene):
    """Valkey itself, past the proxy."""
    client = redis.Redis.from_url(scene.world.redis.url, socket_timeout=5)
    try:
        yield client
    except redis.RedisError as error:
        raise NotNow(str(error)) from error
    finally:
        client.close()


@contextmanager
def superuser(scene):
    """PostgreSQL, as somebody else than the worker."""
    try:
        with scene.world.connection() as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise NotNow(str(error)) from error


def fill(scene, held):
    """Take every connection that is free."""
    with suppress(psycopg.OperationalError):
        while len(held) < 200:
            held.append(psycopg.connect(scene.world.database.url, connect_timeout=2))


DISK_BYTES = 4 * 2**30
PAGE = 4096


@contextmanager
def own_disk(folder):
    """The folder: a file system in memory, if we may, gone at the end in any case; else one as any
    other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={DISK_BYTES},mode=755"
    command = ["mount", "-t", "tmpfs", "-o", options, "fulfillment-torture", str(folder)]
    try:
        is_made = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        is_made = False
    try:
        yield folder
    finally:
        if is_made:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def has_disk(scene):
    return scene.labels is not None and scene.labels.is_mount()


@contextmanager
def closed(folder):
    """No file comes into the folder and those in it, nor out; the outer one first, or one would be
    made meanwhile.
    """
    modes = {}
    try:
        for one in (folder, *folder.iterdir()):
            modes[one] = one.stat().st_mode
            one.chmod(0o555)
        yield
    finally:
        for one, mode in modes.items():
            one.chmod(mode)


def remount(folder, options):
    command = ["mount", "-o", f"remount,{options}", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        raise NotNow("a file is being written")


def fill_disk(folder):
    """Make it just as big as what it holds."""
    for spare in (0, 4, 16, 64, 256):
        found = psutil.disk_usage(str(folder))
        command = ["mount", "-o", f"remount,size={found.used + spare * PAGE}", str(folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return
    raise NotNow("it fills too fast")


def faketime():
    """The file of libfaketime, or None."""
    places = (Path("/usr/lib"), Path("/usr/local/lib"))
    found = [one for place in places for one in place.glob("**/libfaketimeMT.so.1")]
    return next(iter(found), None)


def clocked(file):
    """The environment of a worker whose clock is what the file says."""
    library = faketime()
    if not library:
        return {}
    file.write_text("+0")
    return {
        "PYTHONPATH": f"{ROOT}:{Path(__file__).parent / 'clock'}",
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
