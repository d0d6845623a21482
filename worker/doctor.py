"""The doctor: looks at each part that the worker needs, changes nothing, and says what to do.

A part that cannot be looked at because an earlier one is missing is left out.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import redis
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from messages.wire import KINDS
from worker.broker.client import connect
from worker.broker.heartbeats import count_alive
from worker.embedded.server import EmbeddedServerFailed
from worker.errors import FORBIDDEN, sqlstate
from worker.plugins import CannotUse
from worker.postage.adapters import adapters
from worker.refunds.providers import providers
from worker.retention.pruning import BATCH, waiting
from worker.retention.schedule import EVERY_S
from worker.servers import Servers, servers
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.store.fit import Fit
from worker.store.schema import fit

MIN_PYTHON: Final = (3, 11)
MIN_POSTGRESQL: Final = 15
MIN_REDIS: Final = (6, 2)
_TIMEOUT_S: Final = 2.0
_NO_ROLE: Final = "run `fulfillment migrate --roles`, and log in as a member of a role"
_TLS_OPTIONS: Final = {
    "DATABASE_URL": "?sslmode=verify-full&sslrootcert=FILE",
    "REDIS_URL": "?ssl_ca_certs=FILE",
}
"""What names whom to believe, in each URL."""

LAST_RETENTION: Final = """
-- last_retention
select max(ran_at), coalesce(max(ran_at) < now() - make_interval(secs => %(late_s)s), true)
from retention where what = 'run'
"""


@dataclass(frozen=True, slots=True)
class Check:
    """A part, what was found, and what to do if it is not in order."""

    part: str
    found: str
    advice: str | None = None

    @property
    def is_ok(self) -> bool:
        return self.advice is None


def examine(config: Settings) -> Iterator[Check]:
    """The checks, each when it is done."""
    version = ".".join(map(str, sys.version_info[:3]))
    old = sys.version_info < MIN_PYTHON
    yield Check("python", version, "install Python 3.11 or later" if old else None)
    yield _refund_providers(config)
    try:
        where = servers(config)
    except EmbeddedServerFailed as error:
        yield Check("servers", "the embedded pair does not start", str(error))
        return
    source = "embedded pair, for trials" if where.is_embedded else "DATABASE_URL and REDIS_URL"
    yield Check("servers", source)
    yield _broker_door(config)
    yield from _carriers(config)
    yield from _database(config, where)
    yield from _redis(where)


def _refund_providers(config: Settings) -> Check:
    part = "refunds"
    try:
        found = providers(config)
        found.check()
    except CannotUse as error:
        return Check(part, "a provider cannot be had", str(error))
    return Check(part, f"by {', '.join(found.names) or 'hand'}")


def _broker_door(config: Settings) -> Check:
    kinds = (
        "every kind" if config.broker_door_kinds == KINDS else ", ".join(config.broker_door_kinds)
    )
    ids = ", ".join(key.key_id for key in config.signing_keys)
    return Check(
        "broker door", f"lets in {kinds or 'nothing'}, {f'signed by {ids}' if ids else 'unsigned'}"
    )


def _carriers(config: Settings) -> Iterator[Check]:
    if not config.carrier_adapters:
        return
    found = f"labels are bought from {', '.join(sorted(config.carrier_adapters))}"
    try:
        adapters(config)
    except CannotUse as error:
        yield Check("carriers", found, str(error))
    else:
        yield Check("carriers", found)


def _database(config: Settings, where: Servers) -> Iterator[Check]:
    try:
        engine = make_engine(where.database_url, config, pool_size=1)
    except (SQLAlchemyError, ImportError):
        advice = "DATABASE_URL must be like postgresql://user:password@host:5432/database"
        yield Check("database", "the address cannot be read", advice)
        return
    try:
        with engine.connect() as connection:
            yield Check("database", "reachable")
            yield _version(connection)
            schema = _schema(fit(connection))
        yield schema
        if schema.is_ok:
            with engine.connect() as connection:
                yield _retention(connection, config)
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", error)).partition("\n")[0]
        if sqlstate(error) == FORBIDDEN:
            yield Check("database", f"not ours to use: {cause}", _NO_ROLE)
        else:
            yield Check("database", f"not reachable: {cause}", _way(cause, "DATABASE_URL"))
    finally:
        engine.dispose()


def _way(cause: str, url: str) -> str:
    """What to do about a server that could not be used, from what was said of it."""
    cause = cause.lower()
    if "certificate" in cause or "ssl" in cause:
        return (
            "nothing was sent: the server's certificate is not believed, or it speaks no TLS. "
            f"In {url} name its authority, {_TLS_OPTIONS[url]}, and the host as it is certified"
        )
    if any(words in cause for words in ("authentication", "password", "permission", "noperm")):
        return f"check user and password in {url}, and what the user may do"
    return f"start it, or set {url}"


def _version(connection: Connection) -> Check:
    number = int(connection.exec_driver_sql("show server_version_num").scalar_one())
    found = number // 10_000
    advice = f"upgrade to PostgreSQL {MIN_POSTGRESQL} or later"
    return Check("postgresql", str(found), advice if found < MIN_POSTGRESQL else None)


def _schema(found: Fit) -> Check:
    return Check("schema", str(found), found.advice)


def _retention(connection: Connection, config: Settings) -> Check:
    kept = ", ".join(
        f"{what} {f'for {days} days' if days else 'for ever'}"
        for what, days in {
            "payloads": config.keep_payloads_days,
            "labels": config.keep_labels_days,
            "strays": config.keep_strays_days,
            "events": config.keep_events_days,
        }.items()
    )
    ran_at, is_late = connection.exec_driver_sql(LAST_RETENTION, {"late_s": 3 * EVERY_S}).one()
    some = waiting(connection, config)
    found = f"keeps {kept}; last run {f'{ran_at:%Y-%m-%d %H:%M:%S %Z}' if ran_at else 'never'}"
    if not some:
        return Check("retention", f"{found}; nothing waits")
    advice = "workers do it once an hour: see retention_ in their log, or run `fulfillment prune`"
    many = f"{some}{' or more' * (some >= BATCH)} wait"
    return Check("retention", f"{found}; {many}", advice if is_late else None)


def _redis(where: Servers) -> Iterator[Check]:
    client: redis.Redis | None = None
    try:
        client = connect(where.redis_url, timeout_s=_TIMEOUT_S, connect_timeout_s=_TIMEOUT_S)
        info: dict[str, Any] = client.info()
        yield _redis_version(info)
        yield _policy(info)
        yield _workers(client)
    except (redis.RedisError, ValueError, OSError) as error:
        cause = str(error).partition("\n")[0] if isinstance(error, redis.RedisError) else "address"
        yield Check("redis", f"not reachable: {cause}", _way(cause, "REDIS_URL"))
    finally:
        if client:
            client.close()
            client.connection_pool.disconnect()


def _redis_version(info: dict[str, Any]) -> Check:
    found = str(info.get("valkey_version") or info.get("redis_version", "unknown"))
    name = "Valkey" if info.get("valkey_version") else "Redis"
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    advice = "upgrade to Redis 6.2 or Valkey" if numbers < MIN_REDIS else None
    return Check("redis", f"reachable, {name} {found}", advice)


def _policy(info: dict[str, Any]) -> Check:
    found = str(info.get("maxmemory_policy", "unknown"))
    advice = "set maxmemory-policy to noeviction: messages that were not accepted yet can be lost"
    return Check("redis memory", found, None if found == "noeviction" else advice)


def _workers(client: redis.Redis) -> Check:
    alive = count_alive(client)
    return Check("workers", f"{alive} alive", None if alive else "start `fulfillment worker`")
