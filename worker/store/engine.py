"""Connections to PostgreSQL: made after the fork, with time limits that end before an actor's.

dramatiq cannot interrupt a blocked C call, so the server must: a statement, a wait for a lock and
an idle transaction each have a limit of their own.
"""

import os
from typing import Any

import orjson
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url

from worker.settings import Settings


class ForkedEngine(RuntimeError):
    """A connection pool was carried over a fork: two processes would read each other's rows."""


def make_engine(database_url: str, settings: Settings, *, pool_size: int = 10) -> Engine:
    """An engine for this process only.

    Raises:
      ForkedEngine: (on use) The process was forked after the engine was made.
    """
    url = make_url(database_url)
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    options = {
        "lock_timeout": settings.lock_timeout_ms,
        "statement_timeout": settings.statement_timeout_ms,
        "idle_in_transaction_session_timeout": settings.idle_in_transaction_timeout_ms,
        "jit": "off",  # compiling costs more than any statement here
    }
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=5,
        pool_timeout=5,
        pool_recycle=1800,
        hide_parameters=True,  # they hold names and addresses, and errors are logged
        json_deserializer=orjson.loads,
        connect_args={
            "connect_timeout": 2,
            "application_name": f"fulfillment {os.getpid()}",
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
            "keepalives_idle": 30,
        },
    )
    owner = os.getpid()

    @event.listens_for(engine, "checkout")
    def _same_process(*_: Any) -> None:
        if os.getpid() != owner:
            raise ForkedEngine(f"pool of process {owner} used in {os.getpid()}")

    return engine
