"""How long the console's pages take in a shop of a million orders, as a browser waits for them.

  python -m tests.bench.pages --orders 1000000

Builds the shop (some minutes), starts `fulfillment web`, and asks one page after another over HTTP:
the median of twenty and the longest, in milliseconds; a second line with others who ask at once.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Final

import httpx2
from sqlalchemy import Connection

from tests.acceptance.many_clients import door
from tests.bench import shop
from tests.bench.lists import cases
from tests.cluster import copied
from worker.console import sessions, users
from worker.console.filters import Filters
from worker.console.visit import SESSION
from worker.embedded import postgres, valkey
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.store.lists import Wanted

TIMES: Final = 20
AT_ONCE: Final = 4
TYPED: Final = {"HX-Request": "true", "HX-Source": "input#search"}
"""What htmx sends with each letter."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=1_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fulfillment-pages-") as folder:
        Path(folder).chmod(0o755)
        database = postgres.start(copied(Path(folder, "postgres")), fsync=True)
        cache = valkey.start(Path(folder, "valkey"), appendonly=False)
        try:
            shop.build(database.url, asked.orders)
            engine = make_engine(database.url, Settings())
            with engine.begin() as connection:
                pages = list(_pages(connection, asked.orders))
                users.add(connection, "bench", "bench", "operator")
                token = sessions.begin(connection, "bench", by="link")
            engine.dispose()
            with door(database.url, cache.url, number=1) as address:
                for name, path, headers in pages:
                    _measure(name, address + path, {"Cookie": f"{SESSION}={token}"} | headers)
        finally:
            cache.stop()
            database.stop()


def _pages(connection: Connection, orders: int) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Each page's name and path, and the headers it is asked with."""
    for case in cases(connection, orders=orders):
        address = _filters(case.wanted, case.after).address()
        yield f"orders: {case.name}", address, {}
        if case.wanted.search:
            yield f"typed: {case.name}", address, TYPED
    near = f"S-{orders // 2}"
    yield "an order", f"/orders/{near}", {}
    for name in ("queues", "dead", "strays", "jobs", "audit"):
        yield name, f"/{name}", {}


def _filters(wanted: Wanted, after: str | None) -> Filters:
    return Filters(
        search=wanted.search or "",
        status=tuple(wanted.statuses),
        payment_status=tuple(wanted.payment_statuses),
        carrier=tuple(wanted.carriers),
        placed_from=wanted.placed_from and wanted.placed_from.date(),
        placed_until=wanted.placed_until and wanted.placed_until.date(),
        refund_pending=bool(wanted.refund_pending),
        dead=bool(wanted.has_dead),
        after=(after,) if after else (),
    )


def _measure(name: str, url: str, headers: dict[str, str]) -> None:
    def ask(client: httpx2.Client) -> float:
        began = time.perf_counter()
        client.get(url).raise_for_status()
        return (time.perf_counter() - began) * 1000

    def several(_: int) -> list[float]:
        with httpx2.Client(headers=headers, timeout=60) as client:
            return [ask(client) for _ in range(TIMES)]

    several(0)
    alone = several(0)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        beside = [ms for one in pool.map(several, range(AT_ONCE)) for ms in one]
    sys.stdout.write(
        f"{name:45} {median(alone):6.1f} {max(alone):6.1f} ms;"
        f" {AT_ONCE} at once {median(beside):6.1f} {max(beside):6.1f} ms\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
