"""How long the HTTP door takes to accept, with Redis well and with Redis black-holed.

  python -m tests.bench.web_door --seconds 20 --clients 20

Prints the rate, p50, p99 and the longest of each. Without workers: only what comes in is measured.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from tests.acceptance.many_clients import Tally, at, door, storm
from tests.faults.proxy import Proxy, Way
from worker.embedded import postgres, valkey
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.store.schema import migrate
from worker.web import keys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--web", type=int, default=1, help="processes of the door")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fulfillment-web-door-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        database = postgres.start(root / "postgres", fsync=True)
        cache = valkey.start(root / "valkey", appendonly=False)
        try:
            engine = make_engine(database.url, Settings())
            migrate(engine)
            with engine.begin() as connection:
                key = keys.add(
                    connection,
                    "bench",
                    "bench",
                    kinds=["ship"],
                    may_read=False,
                    rate_per_minute=10_000_000,
                )
            engine.dispose()
            with Proxy(cache.port).served() as proxy:
                url = urlsplit(cache.url)
                through = url._replace(netloc=url.netloc.replace(str(cache.port), str(proxy.port)))
                with door(database.url, through.geturl(), number=asked.web) as address:
                    for way in (Way.PASS, Way.HANG):
                        with proxy.going(way):
                            tally = asyncio.run(_storm(address, key, asked))
                        sys.stdout.write(f"redis {way}: {_told(tally, asked.seconds)}\n")
        finally:
            cache.stop()
            database.stop()


async def _storm(address: str, key: str, asked: argparse.Namespace) -> Tally:
    return await storm(
        address, key, clients=asked.clients, seconds=asked.seconds, seed=1, kill=lambda: ""
    )


def _told(tally: Tally, seconds: float) -> str:
    return (
        f"{len(tally.took_s) / seconds:.0f} answers/s, p50 {at(tally, 0.5)},"
        f" p99 {at(tally, 0.99)}, longest {at(tally, 1)}; {tally.answers}"
    )


if __name__ == "__main__":
    main()
