"""One process of the door: it serves a socket that its supervisor bound.

python -m worker.web FD [--no-keys]
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from sqlalchemy.engine import make_url

from worker.broker.hints import Hints
from worker.logs import configure
from worker.memory import tune
from worker.refunds.providers import providers, rules
from worker.servers import Servers, servers
from worker.settings import Settings, settings
from worker.store.engine import make_engine
from worker.tracing import make_tracing
from worker.web.app import make_app
from worker.web.connections import Connection
from worker.web.door import POOL_SIZE, Door
from worker.web.hinting import Hinting

KEEP_ALIVE_S = 30
SILENT_MS = 20_000
"""A database that acknowledges nothing for so long is gone: its connection is ended."""

log = structlog.get_logger()


def serve(descriptor: int, *, has_keys: bool) -> None:
    """Answer until SIGTERM or SIGINT; then finish what is in progress."""
    config = settings()
    configure(config.log_level)
    tune()
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn, having stopped, sends itself what it was sent: by default we would die of it.
        signal.signal(number, lambda *_: sys.exit(0))
    with door(config, servers(config), has_keys=has_keys) as made:
        log.info("web_started", pid=os.getpid())
        Server(made).run(sockets=[socket.socket(fileno=descriptor)])


@contextmanager
def door(config: Settings, where: Servers, *, has_keys: bool) -> Iterator[Door]:
    """What requests share, in this process."""
    url = make_url(where.database_url).update_query_dict({"tcp_user_timeout": str(SILENT_MS)})
    engine = make_engine(url.render_as_string(hide_password=False), config, pool_size=POOL_SIZE)
    hints = Hints(where.redis_url, limit=2 * config.processes)
    hinting = Hinting(hints)
    tracing = make_tracing(config, engine)
    decide = rules(providers(config))
    try:
        yield Door(config, engine, hinting, decide, has_keys=has_keys, tracing=tracing)
    finally:
        tracing.close()
        hinting.close()
        hints.close()
        engine.dispose()


class Server(uvicorn.Server):
    """uvicorn, for a door; which is told first when it ends: who waits for an outcome is sent away,
    and responses are the last of their connections.
    """

    def __init__(self, door: Door) -> None:
        config = uvicorn.Config(
            make_app(door),
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,  # ours stands
            access_log=False,  # the application's own has more, and no queries
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, door.settings.shutdown_timeout_ms // 1000),
        )
        super().__init__(config)
        self._door = door

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._door.close()
        await super().shutdown(sockets)
