"""Keys: who may use the HTTP door, and for what.

A key is `fk_ID_SECRET`. The id is looked up, the secret's hash compared in a time that tells
nothing. What was looked up counts for some seconds, so a revoked key may work for as long.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine

from messages.wire import KINDS
from worker.work.audit import Act, record

CACHED_S: Final = 5.0
_MOST_CACHED: Final = 10_000
_KEY: Final = re.compile(r"fk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOBODY: Final = bytes(32)

ADD_KEY = """
-- add_key
insert into api_keys (id, name, sha256, kinds, may_read, rate_per_minute)
values (%(id)s, %(name)s, %(sha256)s, %(kinds)s, %(may_read)s, %(rate_per_minute)s)
"""

LIST_KEYS = """
-- list_keys: the latest first
select id, name, kinds, may_read, rate_per_minute, created_at, revoked_at, last_used_at
from api_keys order by created_at desc, id
"""

REVOKE_KEY = """
-- revoke_key: once
update api_keys set revoked_at = now() where id = %(id)s and revoked_at is null returning name
"""

FIND_KEY = """
-- find_key
select id, sha256, kinds, may_read, rate_per_minute,
  last_used_at is null or last_used_at < now() - interval '1 minute'
from api_keys where id = %(id)s and revoked_at is null
"""

USED_KEY = """
-- used_key: once a minute; who finds it locked leaves it to the other
update api_keys set last_used_at = now()
where id = (select id from api_keys where id = %(id)s for no key update skip locked)
"""


@dataclass(frozen=True, slots=True)
class Key:
    """What may be done with a key."""

    id: str
    kinds: frozenset[str]
    may_read: bool
    rate_per_minute: int | None = None


ANYTHING: Final = Key("none", frozenset(KINDS), may_read=True)
"""Who comes to a door without keys."""


def add(
    connection: Connection,
    actor: str,
    name: str,
    *,
    kinds: Collection[str],
    may_read: bool,
    rate_per_minute: int | None = None,
) -> str:
    """Make a key; its text, which is kept nowhere."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    details = {"name": name, "kinds": sorted(kinds), "may_read": may_read}
    row = details | {"id": key_id, "sha256": _digest(secret), "rate_per_minute": rate_per_minute}
    connection.exec_driver_sql(ADD_KEY, row)
    record(connection, actor, [Act("key_added", details={"key": key_id} | details)])
    return f"fk_{key_id}_{secret}"


def listed(connection: Connection) -> list[dict[str, Any]]:
    """All keys that there ever were, without their hashes."""
    return [dict(row) for row in connection.exec_driver_sql(LIST_KEYS).mappings()]


def revoke(connection: Connection, actor: str, key_id: str) -> bool:
    """End a key; False if there is none that is in use."""
    name = connection.exec_driver_sql(REVOKE_KEY, {"id": key_id}).scalar()
    if name is None:
        return False
    record(connection, actor, [Act("key_revoked", details={"key": key_id, "name": name})])
    return True


class Keys:
    """The keys, as one process of the door knows them."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = clock
        self._known: dict[str, tuple[float, Key | None, bytes]] = {}

    def is_known(self, text: str) -> bool:
        """Whether `find` would ask nobody."""
        parts = _KEY.fullmatch(text)
        return parts is None or self._clock() < self._known.get(parts[1], (0.0,))[0]

    def find(self, text: str) -> Key | None:
        """The key with this text; None if there is none, or none any more."""
        parts = _KEY.fullmatch(text)
        if parts is None:
            return None
        until, key, sha256 = self._known.get(parts[1], (0.0, None, _NOBODY))
        if self._clock() >= until:
            key, sha256 = self._look_up(parts[1])
        is_right = hmac.compare_digest(_digest(parts[2]), sha256)
        return key if is_right else None

    def _look_up(self, key_id: str) -> tuple[Key | None, bytes]:
        with self._engine.connect() as connection:
            row = connection.exec_driver_sql(FIND_KEY, {"id": key_id}).first()
            found: tuple[Key | None, bytes] = (None, _NOBODY)
            if row:
                _, sha256, kinds, may_read, rate_per_minute, is_stale = row
                found = (Key(key_id, frozenset(kinds), may_read, rate_per_minute), bytes(sha256))
                if is_stale:
                    connection.exec_driver_sql(USED_KEY, {"id": key_id})
        if len(self._known) >= _MOST_CACHED:  # somebody tries ids
            self._known.clear()
        self._known[key_id] = (self._clock() + CACHED_S, *found)
        return found


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
