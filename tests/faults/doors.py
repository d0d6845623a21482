"""Producers: each sends chunks through one door, each again until it is known to be in."""

import csv
import io
import json
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import redis
from dramatiq.errors import BrokerConnectionError
from sqlalchemy.exc import SQLAlchemyError

from messages import Ship, publish, publish_many
from worker.broker.redis import make_broker
from worker.jobs.parcels import plan
from worker.jobs.reading import File
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import accept

ROOT = Path(__file__).parents[2]
SAFE_TO_REPEAT = (psycopg.Error, SQLAlchemyError, redis.RedisError, BrokerConnectionError, OSError)


class Producer(threading.Thread):
    """Sends chunks through one door. `chunks` are of a moment, in seconds after the start, and
    commands; `sent` tells when each was first on its way.
    """

    def __init__(self, door, world, sent):
        super().__init__(name=door.__name__, daemon=True)
        self.door, self.world, self.sent = door, world, sent
        self.chunks = []
        self.again = 0
        self.doubt = None
        self.problem = None
        self.lately = []
        """The latest chunk, for whoever sends it a second time."""

    def run(self):
        began = time.monotonic()
        try:
            with self.door(self.world) as send:
                for at, chunk in self.chunks:
                    if self.world.over.wait(max(0, began + at - time.monotonic())):
                        return
                    self.deliver(send, chunk)
        except Exception as error:  # noqa: BLE001  # raised again by whoever started it
            self.problem = error

    def deliver(self, send, chunk):
        now = time.time()
        for one in chunk:
            self.sent.setdefault(str(one.command_id), now)
        self.lately = chunk
        while not self.world.over.is_set():
            try:
                if send(chunk):
                    return
            except SAFE_TO_REPEAT as error:
                self.doubt = error
            self.again += 1
            self.world.over.wait(0.05)


@contextmanager
def store_door(world):
    """Commands become rows in the producer's own transaction. In doubt, all of it again."""
    engine = make_engine(world.database.url, Settings(), pool_size=1)

    def send(chunk):
        with engine.begin() as connection:
            receipts = accept(connection, chunk)
        return are_in(receipt.answer for receipt in receipts)

    try:
        yield send
    finally:
        engine.dispose()


@contextmanager
def sql_door(world):
    """A producer in any language: one call of a function, over a connection of its own; of urgent
    work or of bulk.
    """
    chance = random.Random(0)

    def send(chunk):
        bodies = json.dumps([one.body() for one in chunk])
        with world.connection() as connection:
            rows = connection.execute(
                "select answer from accept_commands(%s::jsonb, %s)", [bodies, chance.randrange(2)]
            )
            return are_in(answer for (answer,) in rows)

    yield send


@contextmanager
def broker_door(world):
    """Commands are messages in a Redis that forgets; in doubt, what is no row is sent again."""
    broker = make_broker(world.redis_url)
    chance = random.Random(0)

    def send(chunk):
        missing = not_there(world, chunk)
        if len(missing) > 1 and chance.random() < 0.5:
            publish_many(broker, missing)
        else:
            for command in missing:
                publish(broker, command)
        return are_rows(world, missing, within_s=1)

    try:
        yield send
    finally:
        broker.close()


@contextmanager
def csv_door(world):
    """A warehouse's files, by the command line."""
    environment = os.environ | {
        "DATABASE_URL": world.database.url,
        "REDIS_URL": world.redis_url,
        "FULFILLMENT_STATE_DIR": str(world.folder / "state"),
    }
    file = world.folder / "parcels.csv"

    def send(chunk):
        file.write_text(written(chunk))
        command = [sys.executable, "-m", "worker", "bulk", str(file), "--no-wait"]
        subprocess.run(  # whatever it says: the rows tell
            command, env=environment, cwd=ROOT, timeout=120, check=False, capture_output=True
        )
        return are_rows(world, chunk, within_s=5)  # a worker sends what the file says

    yield send


DOORS = (store_door, broker_door, sql_door, csv_door)


def written(commands):
    """The file that is these shipments."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["order", "line", "quantity", "carrier", "tracking_number"])
    for one in commands:
        for item in one.items:
            row = [item.line_id, item.quantity, one.carrier, one.tracking_number]
            rows.writerow([one.order_id, *row])
    return text.getvalue()


def from_file(commands):
    """The shipments among them as a file's: what a file cannot say is gone, and the id follows from
    the content.
    """
    plain = [one for one in commands if is_plain(one)]
    rows = File(io.BytesIO(written(plain).encode())).rows()
    return [parcel.command for parcel in plan(None, rows) if parcel.command]


def is_plain(command):
    """Whether a row of a file can say it."""
    return isinstance(command, Ship) and bool(command.items) and command.tracking_number is not None


def share(commands, producers, chance, lasts_s):
    """Give the commands out in chunks over so many seconds, to one door or to two; and one shipment
    in twenty becomes a row of a file.

    Returns all commands that will be sent, by id.
    """
    by_name = {one.name: one for one in producers}
    doors = [by_name[door.__name__] for door in (store_door, broker_door, sql_door)]
    filed = by_name[csv_door.__name__]
    rows = []
    start = 0
    while start < len(commands):
        size = chance.randint(1, 60)
        at = lasts_s * start / len(commands)
        chunk = commands[start : start + size]
        plain = [one for one in chunk if is_plain(one) and chance.random() < 0.05]
        chunk = [one for one in chunk if one not in plain]
        rows += plain
        for producer in chance.choices([doors[:1], doors[1:2], doors[2:], doors[:2]], (3, 4, 2, 1))[
            0
        ]:
            if chunk:
                producer.chunks.append((at, chunk))
        start += size
        if rows and (len(rows) >= 200 or start >= len(commands)):
            filed.chunks.append((at, from_file(rows)))
            rows = []
    return {
        str(one.command_id): one
        for producer in producers
        for _, chunk in producer.chunks
        for one in chunk
    }


def are_in(answers):
    answers = set(answers)
    assert answers <= {"accepted", "known"}, answers
    return True


def are_rows(world, commands, *, within_s):
    """Whether all of them are rows, now or before the time is over."""
    until = time.monotonic() + within_s
    while commands := not_there(world, commands):
        if time.monotonic() > until or world.over.wait(0.03):
            return False
    return True


def not_there(world, commands):
    """Those of the commands that are no rows yet."""
    ids = [one.command_id for one in commands]
    with world.connection() as connection:
        rows = connection.execute("select id from commands where id = any(%s)", [ids])
        there = {row_id for (row_id,) in rows}
    return [one for one in commands if one.command_id not in there]
