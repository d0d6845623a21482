"""A graceful stop under load, as every roll-out does it."""

import json
import time

import psycopg
import pytest
import redis

from messages import publish, wire
from tests import factories as make
from tests.acceptance import processes
from tests.work import rig
from worker.broker.redis import make_broker
from worker.store import laws
from worker.work.queues import pause

pytestmark = pytest.mark.heavy

ORDERS = 20
IN_REDIS = 1_000
"""Messages of one command each, so that many wait."""
IN_DATABASE = 2_000
SHUTDOWN_TIMEOUT_MS = 20_000


def ids(database_url, where="true"):
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(f"select id::text from commands where {where}").fetchall()
    return {row[0] for row in rows}


def in_messages(client):
    """The commands of the messages in Redis that some worker will be given."""
    waiting = client.lrange("fulfillment:inbox", 0, -1)
    bodies = client.hgetall("fulfillment:inbox.msgs")
    assert sorted(waiting) == sorted(bodies), "every body is in the queue, once"
    return {json.loads(body)["args"][0]["command_id"] for body in bodies.values()}


def test_nothing_is_lost(engine, database_url, redis_url, tmp_path):
    """SIGTERM while thousands of messages and commands wait: the group ends with 0 in its time and
    holds nothing any more; each command is decided, pending in the database or still in Redis, and
    a fresh worker decides them all.
    """
    places = [
        make.place(order_id=f"T-{n}", order=make.placed_order(make.order_line(quantity=1_000)))
        for n in range(ORDERS)
    ]
    ships = [
        make.ship(order_id=f"T-{n % ORDERS}", items=make.items(A=1))
        for n in range(IN_REDIS + IN_DATABASE)
    ]
    sent = {str(one.command_id) for one in (*places, *ships)}
    with engine.begin() as connection:
        pause(connection, wire.EMAILS, actor="test")  # a stop in the midst of commands
    rig.accepted(engine, *places, *ships[:IN_DATABASE])
    broker = make_broker(redis_url)
    for one in ships[IN_DATABASE:]:
        publish(broker, one)
    broker.close()

    with redis.Redis.from_url(redis_url) as client:
        with processes.groups(
            1, database_url, redis_url, tmp_path, shutdown_timeout_ms=SHUTDOWN_TIMEOUT_MS
        ) as (group,):
            processes.until(
                lambda: (
                    ids(database_url, "state = 'applied'")
                    and client.hlen("fulfillment:inbox.msgs") < IN_REDIS
                ),
                20,
                "work under way, from both doors",
            )
            group.terminate()
            asked_at = time.monotonic()
            code = group.wait(SHUTDOWN_TIMEOUT_MS / 1000)
            took_s = time.monotonic() - asked_at
        assert code == 0, group.words()
        assert took_s < SHUTDOWN_TIMEOUT_MS / 1000
        assert client.keys("fulfillment:__acks__*") == []
        left = in_messages(client)
        assert client.keys("fulfillment:*.XQ*") == [], "nothing was buried"

    accepted, pending = ids(database_url), ids(database_url, "state = 'pending'")
    assert left, "the stop came before the end: messages wait"
    assert pending, "and commands"
    assert accepted | left == sent
    assert accepted - pending == ids(database_url, "state = 'applied'")

    with processes.groups(1, database_url, redis_url, tmp_path):
        processes.until(lambda: processes.is_quiet(database_url, redis_url), 40, "the rest")
    assert ids(database_url, "state = 'applied'") == sent
    assert rig.one(engine, "select sum(shipped)::int from order_lines")[0] == len(ships)
    with engine.begin() as connection:
        assert laws.broken(connection) == dict.fromkeys(laws.LAWS, 0)
