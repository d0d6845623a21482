"""The probe: do this machine's worker processes turn, and can they do their work?

Imports little, since platforms start it every few seconds. Every answer comes within some seconds,
whatever the servers do.
"""

import json
import socket
import threading
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from worker.heartbeat import read_signs
from worker.servers import Servers
from worker.settings import Settings
from worker.store import fit

LIMIT_S: Final = 3.0
"""How long the database may take to answer; a silent network would keep its driver for ever."""
REDIS_LIMIT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether it is so, and a line that says why."""

    text: str
    is_ok: bool = True


def live(config: Settings) -> Finding:
    """Whether every worker process of this machine turns, and as many run as should."""
    signs = read_signs(config.run_dir)
    running = len(signs.still_s)
    expected = max(1, signs.expected)
    if running < expected:
        where = f" (looked in {config.run_dir})" if not running else ""
        return Finding(f"{running} of {expected} worker processes run{where}", is_ok=False)
    if (still_s := max(signs.still_s)) > config.stall_limit_s:
        return Finding(f"a worker process has not turned for {still_s:.0f} s", is_ok=False)
    return Finding(f"worker processes that turn: {running}")


def ready(config: Settings, where: Servers | None) -> Finding:
    """Whether the worker processes turn, and the database answers with this version's schema.

    Without Redis they work, too: they find what is due by themselves. The line says so.
    """
    found = live(config)
    if not found.is_ok:
        return found
    if where is None:
        return Finding("the embedded servers do not run", is_ok=False)
    answers: list[Finding] = []
    thread = threading.Thread(
        target=lambda: answers.append(_database(where.database_url)), name="probe", daemon=True
    )
    thread.start()
    redis = "answers" if redis_answers(where.redis_url) else "does not, work takes longer to start"
    thread.join(LIMIT_S)
    silent = Finding(f"the database does not answer within {LIMIT_S:g} s", is_ok=False)
    answer = answers[0] if answers else silent
    return Finding(f"{found.text}; {answer.text}; Redis {redis}") if answer.is_ok else answer


def known_servers(config: Settings) -> Servers | None:
    """Where the servers are; None if the embedded ones were never started here. Unlike a command,
    the probe starts none.
    """
    urls = [url and url.get_secret_value() for url in (config.database_url, config.redis_url)]
    try:
        pair = {} if all(urls) else json.loads((config.state_dir / "pair.json").read_text())
        return Servers(urls[0] or pair["database_url"], urls[1] or pair["redis_url"])
    except (OSError, ValueError, KeyError):
        return None


def _database(url: str) -> Finding:
    import psycopg  # noqa: PLC0415  # not for `live`

    try:
        with psycopg.connect(
            _libpq(url), connect_timeout=2, application_name="fulfillment probe"
        ) as connection:
            row = connection.execute(fit.STATE).fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    except psycopg.Error as error:
        cause = str(error).partition("\n")[0]
        return Finding(f"the database cannot be reached: {cause}", is_ok=False)
    found = fit.of(row)
    if found.advice:
        return Finding(f"the schema is {found}: {found.advice}", is_ok=False)
    return Finding(f"the schema is at {found.found}")


def _libpq(url: str) -> str:
    """As PostgreSQL's own library reads it: SQLAlchemy's may name a driver."""
    scheme, colon, rest = url.partition(":")
    return f"{scheme.partition('+')[0]}{colon}{rest}"


def redis_answers(url: str) -> bool:
    """Whether somebody answers there, be it that a password is missing; without the client, whose
    import takes as long as all the rest.
    """
    try:
        with _connect(url) as connection:
            if url.startswith("rediss:"):  # whoever speaks TLS may come in
                return True
            connection.sendall(b"PING\r\n")
            return bool(connection.recv(1))
    except (OSError, ValueError):
        return False


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme != "unix":
        address = (parts.hostname or "localhost", parts.port or 6379)
        return socket.create_connection(address, REDIS_LIMIT_S)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(REDIS_LIMIT_S)
    try:
        connection.connect(parts.path)
    except OSError:
        connection.close()
        raise
    return connection
