"""The users of Redis in deploy/redis: each can do what it is for, with nothing to spare."""

import re
import time
from pathlib import Path

import psycopg
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from messages import publish, publish_many, wire
from tests import factories as make
from tests.acceptance.processes import Group, is_quiet, until
from tests.work import rig
from worker.broker.client import connect
from worker.broker.heartbeats import count_alive
from worker.broker.hints import Hints
from worker.broker.redis import HEARTBEAT_TIMEOUT_MS, HardenedRedisBroker, make_broker
from worker.cli.root import app

FILE = Path(__file__).parent.parent.parent / "deploy" / "redis" / "users.acl"
NAMES = ("fulfillment-worker", "fulfillment-producer", "fulfillment-dramatiq-producer")


def rules(name):
    """What the file says of a user, with the tests' password."""
    (line,) = (line for line in FILE.read_text().splitlines() if line.split()[1] == name)
    return [re.sub(r"^>PASSWORD-.*", ">secret", word) for word in line.split()[2:]]


@pytest.fixture
def admin(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client
        client.execute_command("ACL", "DELUSER", *NAMES)


@pytest.fixture
def url(admin, redis_url):
    """The URL of a user, with the rules of the file or with others."""

    def of(name, words=None):
        admin.execute_command("ACL", "SETUSER", name, "reset", *(words or rules(name)))
        changed = make_url(redis_url).set(username=name, password="secret")
        return changed.render_as_string(hide_password=False)

    return of


def broker_of(url, queue=wire.INBOX):
    client = connect(url, timeout_s=3, connect_timeout_s=1)
    broker = HardenedRedisBroker(client=client, block_s=0.03)
    broker.queues = {queue}
    return broker


def everything(url, admin):
    """What a worker does with Redis: each operation of the broker, hints, signs of life, doctor."""
    admin.script_flush()
    admin.delete(*(admin.keys("fulfillment:*") or ["none"]))
    broker, producer = broker_of(url), make_broker(admin_url(admin))
    for _ in range(4):
        publish(producer, make.ship())
    producer.close()
    # A dead worker held one, and died long ago; an old message is buried.
    long_ago = int(time.time() * 1000) - 2 * HEARTBEAT_TIMEOUT_MS
    dead = admin.lpop("fulfillment:inbox")
    admin.sadd(f"fulfillment:__acks__.dead.{wire.INBOX}", dead)
    admin.zadd("fulfillment:__heartbeats__", {"dead": long_ago})
    admin.zadd("fulfillment:inbox.XQ", {"old": 1})
    admin.hset("fulfillment:inbox.XQ.msgs", "old", "{}")

    fetched = broker.fetch(wire.INBOX, 10, maintain=True)
    assert len(fetched) == 4
    assert not admin.exists("fulfillment:__acks__.dead.inbox", "fulfillment:inbox.XQ.msgs")
    assert len(broker.unsettled(wire.INBOX)) == 4
    ids = [redis_id for redis_id, *_ in fetched]
    for verb, redis_id in zip(("ack", "requeue", "bury", "ack"), ids, strict=True):
        broker.settle(wire.INBOX, verb, [redis_id])
    assert admin.llen("fulfillment:inbox") == 1
    assert admin.zcard("fulfillment:inbox.XQ") == 1
    # Itself, since the broker takes a refusal for a full Redis and looks again soon.
    broker.client.blmove("fulfillment:inbox", "fulfillment:inbox", 0.01, "LEFT", "LEFT")
    assert count_alive(broker.client) == 1
    hints = Hints(url, limit=10)
    assert hints.send(wire.COMMANDS)
    hints.close()
    assert broker.client.info()["maxmemory_policy"] == "noeviction"
    broker.close()


def admin_url(admin):
    of = admin.connection_pool.connection_kwargs
    return f"redis://:{of['password']}@{of['host']}:{of['port']}/0"


def test_a_workers_user_does_everything(url, admin):
    """Fetching, settling, maintenance, the blocking wait, hints, signs of life, the doctor."""
    everything(url("fulfillment-worker"), admin)


@pytest.mark.parametrize(
    "word", [word for word in rules("fulfillment-worker") if word[0] in "+~" and word != "+@all"]
)
def test_a_workers_user_has_nothing_to_spare(url, admin, word):
    """Without any one of its commands or keys something of a worker's does not work."""
    less = [one for one in rules("fulfillment-worker") if one != word]

    with pytest.raises((redis.RedisError, AssertionError)):
        everything(url("fulfillment-worker", less), admin)


PRODUCERS = {
    "fulfillment-producer": make_broker,
    "fulfillment-dramatiq-producer": lambda url: RedisBroker(
        url=url, middleware=[], namespace=wire.NAMESPACE, maintenance_chance=0
    ),
}


@pytest.mark.parametrize("name", PRODUCERS)
def test_a_producers_user_publishes(url, admin, name):
    """One command and many, by our broker and by dramatiq's own."""
    broker = PRODUCERS[name](url(name))
    publish(broker, make.ship())
    publish_many(broker, [make.ship(), make.cancel()])
    broker.close()

    assert admin.llen("fulfillment:inbox") == admin.hlen("fulfillment:inbox.msgs") == 3


@pytest.mark.parametrize(
    ("name", "word"),
    [
        (name, word)
        for name in PRODUCERS
        for word in rules(name)
        # dramatiq asks once in a process how deep Lua's stack is.
        if word[0] in "+~%" and word != "+eval"
    ],
)
def test_a_producers_user_has_nothing_to_spare(url, admin, name, word):
    """Without any one of its commands or keys publishing fails."""
    admin.script_flush()
    broker = PRODUCERS[name](url(name, [one for one in rules(name) if one != word]))

    with pytest.raises(redis.RedisError):
        publish(broker, make.ship())

    broker.close()


WRITTEN = {
    "fulfillment:inbox": ("rpush", "fulfillment:inbox", "1"),
    "fulfillment:inbox.msgs": ("hset", "fulfillment:inbox.msgs", "1", "{}"),
    "others": ("set", "others", "1"),
    "fulfillments": ("rpush", "fulfillments", "1"),
}
NOBODY = (
    ("flushall",),
    ("flushdb",),
    ("config", "get", "*"),
    ("config", "set", "maxmemory-policy", "allkeys-lru"),
    ("acl", "list"),
    ("acl", "setuser", "mine", "on"),
    ("keys", "*"),
    ("scan", "0"),
    ("shutdown", "nosave"),
    ("monitor",),
    ("replicaof", "no", "one"),
    ("script", "flush"),
    ("client", "list"),
    ("select", "1"),
    ("subscribe", "anything"),
    ("get", "others"),
    ("set", "others", "2"),
    ("rpush", "fulfillments", "2"),
    ("hset", "fulfillments", "1", "2"),
)
PRODUCER = (
    ("lpop", "fulfillment:inbox"),
    ("lrange", "fulfillment:inbox", "0", "-1"),
    ("hgetall", "fulfillment:inbox.msgs"),
    ("hget", "fulfillment:inbox.msgs", "1"),
    ("del", "fulfillment:inbox"),
    ("rpush", "fulfillment:commands", "1"),
    ("hset", "fulfillment:commands.msgs", "1", "{}"),
    ("info",),
)
SCRIPTS = (
    ("eval", "return redis.call('flushall')", "0"),
    ("eval", "return redis.call('keys', '*')", "0"),
    ("eval", "return redis.call('rpush', 'fulfillments', '2')", "0"),
)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("fulfillment-worker", (*NOBODY, *SCRIPTS)),
        ("fulfillment-producer", (*NOBODY, *SCRIPTS, *PRODUCER)),
        ("fulfillment-dramatiq-producer", (*NOBODY, *SCRIPTS, *PRODUCER)),
    ],
)
def test_what_a_user_may_not_do(url, admin, name, refused):
    """Redis has no permission for each of these, in a script neither; all is as it was."""
    for words in WRITTEN.values():
        admin.execute_command(*words)
    before = {key: admin.dump(key) for key in admin.keys("*")}

    with redis.Redis.from_url(url(name), protocol=2) as client:
        answers = {words: answer(client, words) for words in refused}

    assert answers == dict.fromkeys(refused, "NOPERM")
    assert {key: admin.dump(key) for key in admin.keys("*")} == before


def answer(client, words):
    try:
        client.execute_command(*words)
    except redis.ResponseError as error:
        is_forbidden = isinstance(error, redis.exceptions.NoPermissionError)
        told = str(error)
        return "NOPERM" if is_forbidden or "NOPERM" in told or "permission" in told else told
    return "done"


def test_the_command_line_with_a_workers_user(url, database_url, admin):
    """`doctor` and `queues` find Redis as ever; so do the hints of `ship`."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": url("fulfillment-worker")}

    doctor, queues, _ = (
        CliRunner().invoke(app, words, env=environment)
        for words in (["doctor"], ["queues"], ["ship", "O-1"])
    )

    assert "redis: reachable" in doctor.stdout
    assert "workers: 0 alive" in doctor.stdout
    assert queues.exit_code == 0
    assert admin.llen("fulfillment:commands") == 1


@pytest.mark.heavy
def test_a_worker_process_with_its_user(url, admin, owner, database_url, tmp_path):
    """A real worker takes what producers write, hints itself and says that it lives; Redis refuses
    it nothing.
    """
    commands = [make.place(), make.ship(), make.cancel()]
    for name, broker_of_name in PRODUCERS.items():
        broker = broker_of_name(url(name))
        publish_many(broker, commands)
        broker.close()
    worker = Group(database_url, url("fulfillment-worker"), tmp_path / "log")
    try:
        until(lambda: worker.leaf() and count_alive(admin), 30, "a sign of life")
        until(lambda: is_quiet(database_url, admin_url(admin)), 30, "an outcome for all")
        words = worker.words()
    finally:
        worker.kill()

    with psycopg.connect(database_url) as connection:
        states = connection.execute("select kind, state from commands order by kind").fetchall()
    assert [kind for kind, _ in states] == ["cancel", "place", "ship"]
    assert rig.count(owner, "strays") == 0
    assert "NOPERM" not in words
    assert "permission" not in words
