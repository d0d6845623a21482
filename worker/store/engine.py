"""Connections to PostgreSQL: made after the fork, with time limits that end before an actor's.

dramatiq cannot interrupt a blocked C call, so the server must: a statement, a wait for a lock and
an idle transaction each have a limit of their own.
"""

import json
import os
from typing import Any, Final

import orjson
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from worker.settings import Settings


class ForkedEngine(RuntimeError):
    """A connection pool was carried over a fork: two processes would read each other's rows."""


# Every statement of the work looks rows up by key. Statistics of tables whose rows live for a
# second mislead the planner: it chose bitmap scans over thousands of dead index entries for each
# claim, and planned afresh each time. An index scan marks dead entries as it meets them.
_LOOK_UPS: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}


def make_engine(
    database_url: str, settings: Settings, *, pool_size: int = 10, look_ups_only: bool = False
) -> Engine:
    """An engine for this process only; `look_ups_only` pins plans for a worker's statements.

    Raises:
      sqlalchemy.exc.ArgumentError: The URL is none of a PostgreSQL.
      ForkedEngine: (on use) The process was forked after the engine was made.
    """
    try:
        url = make_url(database_url)
    except ValueError:  # of a port that is no number
        raise ArgumentError("the URL of the database cannot be read") from None
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "postgresql":
        raise ArgumentError("the URL is none of a PostgreSQL")
    options = {
        "lock_timeout": settings.lock_timeout_ms,
        "statement_timeout": settings.statement_timeout_ms,
        "idle_in_transaction_session_timeout": settings.idle_in_transaction_timeout_ms,
        "jit": "off",  # compiling costs more than any statement here
    } | (_LOOK_UPS if look_ups_only else {})
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=5,
        pool_timeout=5,
        pool_recycle=1800,
        hide_parameters=True,  # they hold names and addresses, and errors are logged
        json_deserializer=_loads,
        connect_args={
            "connect_timeout": 2,
            "application_name": f"fulfillment {os.getpid()}",
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
            "keepalives_idle": 30,
        },
    )
    owner = os.getpid()

    @event.listens_for(engine, "checkout")
    def _same_process(_: Any, record: Any, proxy: Any) -> None:
        if os.getpid() != owner:
            # Forgotten, not closed: closing would end the parent's session over the shared socket.
            record.dbapi_connection = proxy.dbapi_connection = None
            raise ForkedEngine(f"pool of process {owner} used in {os.getpid()}")

    return engine


def _loads(text: bytes | str) -> Any:
    """The value; a text where Python cannot hold it. PostgreSQL takes 3,000 brackets and numbers of
    100,000 digits, and one such command must not hide the others from who lists them.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text if isinstance(text, str) else text.decode()
