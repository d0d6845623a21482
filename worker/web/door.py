"""What the door's requests share, made once in each of its processes; and how they call on it."""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Annotated, Final, TypeVar
from uuid import UUID

import anyio
import anyio.to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from worker.settings import Settings
from worker.store import reading
from worker.web.edge import EXTRA_HEADERS
from worker.web.hinting import Hinting
from worker.web.keys import ANYTHING, Key, Keys
from worker.web.problems import Problem, of_database, unavailable
from worker.web.rates import Rates
from worker.web.waiting import Waiting
from worker.work.judging import Decide
from worker.work.tracing import UNTRACED, Tracing

CALL_S: Final = 12.0
"""For what one request asks of the database; longer than its own limits for locks, so that those
speak first."""
ACCEPTING: Final = 8
"""Requests that hand in at one time, with a connection each. Those that read have connections of
their own: they never hold up who hands in."""
LOOKING: Final = 8
_ALSO: Final = 2
"""Connections for keys and for who waits."""
POOL_SIZE: Final = ACCEPTING + LOOKING + _ALSO

_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}

T = TypeVar("T")


class Door:
    """The database, the keys and what else a request needs."""

    def __init__(
        self,
        config: Settings,
        engine: Engine,
        hints: Hinting,
        rules: Decide,
        *,
        has_keys: bool = True,
        tracing: Tracing = UNTRACED,
        call_s: float = CALL_S,
    ) -> None:
        self.settings = config
        self.engine = engine
        self.at_once = engine.execution_options(isolation_level="AUTOCOMMIT")
        """Each statement is a transaction: one round trip instead of three."""
        self.hints = hints
        self.rules = rules
        self.tracing = tracing
        self.keys = Keys(engine) if has_keys else None
        self.rates = Rates()
        self.waiting = Waiting(self._ended)
        self.is_closing = False
        self._call_s = call_s
        self._accepting = anyio.CapacityLimiter(ACCEPTING)
        self._looking = anyio.CapacityLimiter(LOOKING)
        self._always = anyio.CapacityLimiter(_ALSO)

    def close(self) -> None:
        """Send away who waits; from now on each connection's next response is its last."""
        self.is_closing = True
        self.waiting.close()

    async def hand_in(self, work: Callable[[], T]) -> T:
        """Run what writes in a thread."""
        return await self._call(work, self._accepting)

    async def look(self, work: Callable[[], T]) -> T:
        """Run what reads, or computes, in a thread."""
        return await self._call(work, self._looking)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Likewise, with a connection."""
        return await self.look(partial(_on_connection, self.engine, work))

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run what writes in a thread, in a transaction of its own."""
        return await self.hand_in(partial(_in_transaction, self.engine, work))

    async def key(self, text: str) -> Key | None:
        """The key with this text."""
        if self.keys is None:
            return ANYTHING
        if self.keys.is_known(text):
            return self.keys.find(text)
        return await self._call(partial(self.keys.find, text), self._always)

    async def _ended(self, command_ids: Collection[UUID]) -> Collection[UUID]:
        def look() -> list[UUID]:
            with self.at_once.connect() as connection:
                found = reading.ended(connection, list(command_ids))
            return [one.command_id for one in found]

        return await self._call(look, self._always)

    async def _call(self, work: Callable[[], T], limiter: anyio.CapacityLimiter) -> T:
        """Run it in a thread, for a bounded time.

        Raises:
          Problem: The database is away, busy, or says nothing. What was handed in may be in.
        """
        try:
            async with asyncio.timeout(self._call_s):
                return await anyio.to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)
        except TimeoutError:
            raise unavailable("the database does not answer") from None
        except SQLAlchemyError as error:
            problem = of_database(error)
            if problem is None:
                raise
            raise problem from None


def _on_connection(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.connect() as connection:
        return work(connection)


def _in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


_BEARER: Final = HTTPBearer(auto_error=False, description="A key of `fulfillment keys add`.")


async def _door(request: Request) -> Door:
    return request.app.state.door  # type: ignore[no-any-return]  # a state has no types


async def _key(
    request: Request,
    door: Annotated[Door, Depends(_door)],
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
) -> Key:
    if door.keys is None and request.url.hostname not in _LOOPBACK:
        # A name that somebody else made lead here: a web page of theirs may be asking.
        raise Problem("forbidden", "without keys only by the name localhost or its address")
    key = await door.key(given.credentials if given else "")
    if key is None:
        raise Problem(
            "unauthorized",
            "Authorization: Bearer, with a key of `fulfillment keys add`",
            headers={"WWW-Authenticate": "Bearer"},
        )
    request.scope["fulfillment.key"] = key.id
    if key is not ANYTHING:
        quota = key.rate_per_minute or door.settings.web_rate_per_minute
        taken = door.rates.take(key.id, quota)
        request.scope[EXTRA_HEADERS].update(taken.headers)
        if not taken.is_allowed:
            raise Problem(
                "too-many-requests",
                f"at most {taken.quota} in a minute",
                headers={"Retry-After": str(taken.reset_s)},
            )
    return key


async def _reader(key: Annotated[Key, Depends(_key)]) -> Key:
    if not key.may_read:
        raise Problem("forbidden", "the key may not read: `fulfillment keys add --read`")
    return key


TheDoor = Annotated[Door, Depends(_door)]
TheKey = Annotated[Key, Depends(_key)]
"""Whose request it is."""
TheReader = Annotated[Key, Depends(_reader)]
"""Likewise, and it may see orders."""


def check_kinds(key: Key, kinds: Collection[str]) -> None:
    """Refuse a kind of command that the key is not for.

    Raises:
      Problem: It names the first.
    """
    for kind in kinds:
        if kind not in key.kinds:
            raise Problem("forbidden", f"the key is not for {kind}")
