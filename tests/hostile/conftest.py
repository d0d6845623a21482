"""A worker's door on a real queue, its drains by hand, and the command line."""

import threading

import dramatiq
import pytest
import redis

from messages import wire
from tests.cli.conftest import cli, environment, logs  # noqa: F401  # fixtures
from tests.hostile.door import Inbox
from tests.work import rig
from worker.broker.redis import make_broker
from worker.jobs.route import jobs_route
from worker.work.door import Door


@pytest.fixture
def database_url(emptied):
    """The folder's database, empty, also of carriers."""
    return emptied("hostile", tables=rig.TABLES)


@pytest.fixture
def inbox(engine, redis_url):
    """The broker door: dramatiq's worker, our consumer, the real `Door`."""
    broker = make_broker(redis_url)
    door = Door(engine, stopping=threading.Event(), requeue=lambda: None)

    def actor(kind):
        def take(content):
            door.take(kind, content)

        dramatiq.actor(take, broker=broker, queue_name=wire.INBOX, actor_name=kind, max_retries=0)

    def stray(reason, body):
        door.stray(reason, body)

    for kind in wire.KINDS:
        actor(kind)
    dramatiq.actor(
        stray, broker=broker, queue_name=wire.INBOX, actor_name=wire.STRAY, max_retries=0
    )
    worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=20)
    worker.start()
    with redis.Redis.from_url(redis_url) as client:
        yield Inbox(client)
    worker.stop(timeout=10_000)
    broker.client.connection_pool.disconnect()


@pytest.fixture
def drain(engine):
    """Sends what files say, and decides all that is due."""
    jobs = rig.drain_of(jobs_route(engine), engine)
    commands = rig.drainer(engine)

    def both():
        jobs()
        commands()

    return both
