"""procrastinate with the plain way's transaction as its task.

One process, as many tasks at once as our workers have threads; a sync task runs in a thread, where
SQLAlchemy's transaction belongs. Otherwise as it comes: jobs stay in its table when they ended.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from procrastinate import App, PsycopgConnector
from sqlalchemy import create_engine

from tests.bench.transaction import carry_out

CONCURRENCY: Final = int(os.environ.get("FULFILLMENT_THREADS", "8"))


def made(url: str) -> App:
    """The app on a database, with its task."""
    app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=CONCURRENCY + 2))
    engine = create_engine(url, pool_size=CONCURRENCY)  # connects on use

    @app.task(name="ship")
    def ship(content: dict[str, Any]) -> None:
        carry_out(engine, content)

    return app


async def _main() -> None:
    # By itself asyncio has a thread for each CPU and four.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(CONCURRENCY))
    app = made(os.environ["DATABASE_URL"])
    async with app.open_async():
        await app.run_worker_async(concurrency=CONCURRENCY)


if __name__ == "__main__":
    asyncio.run(_main())
