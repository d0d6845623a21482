"""A producer as a program of its own, in the version of the folder in which it runs.

    PYTHONPATH=FOLDER python tests/acceptance/shop.py store DATABASE_URL REDIS_URL

It says when it is ready. Each line that it reads is a list of bodies, answered by one: 202 once all
are accepted, or published. What this needs is the interface of producers, which stays: nothing else
of the folder is imported.
"""

import json
import sys
from contextlib import contextmanager

from messages import parse, publish
from worker.broker.redis import make_broker
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.work.accept import accept


@contextmanager
def store(database_url, _):
    """In a transaction of its own."""
    engine = make_engine(database_url, Settings(), pool_size=1)

    def send(commands):
        with engine.begin() as connection:
            answers = {receipt.answer for receipt in accept(connection, commands)}
        if not answers <= {"accepted", "known"}:
            raise ValueError(answers)

    yield send
    engine.dispose()


@contextmanager
def broker(_, redis_url):
    """As messages."""
    client = make_broker(redis_url)

    def send(commands):
        for one in commands:
            publish(client, one)

    yield send
    client.close()


WAYS = {"store": store, "broker": broker}


def main(way, *urls):
    with WAYS[way](*urls) as send:
        say("ready")
        for line in sys.stdin:
            try:
                send([parse(json.dumps(body)) for body in json.loads(line)])
                answer = "202"
            except Exception as error:  # noqa: BLE001  # whoever reads it counts it as failed
                answer = f"{way}: {type(error).__name__}: {error}".replace("\n", " ")
            say(answer)


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
