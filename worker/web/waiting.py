"""Waiting for outcomes: one look at the database for all who wait in a process."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from uuid import UUID

import structlog

EVERY_S: Final = 0.1
MOST: Final = 5_000
"""Who comes to more than so many is told at once what is so now."""

log = structlog.get_logger()


class Waiting:
    """Who waits for which command; `ended` says which of the commands have ended."""

    def __init__(
        self,
        ended: Callable[[Collection[UUID]], Awaitable[Collection[UUID]]],
        *,
        every_s: float = EVERY_S,
    ) -> None:
        self._ended = ended
        self._every_s = every_s
        self._waiting: dict[UUID, list[asyncio.Future[None]]] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None
        self._is_over = False

    async def until_ended(self, command_id: UUID, timeout_s: float) -> None:
        """Return when the command has ended, or the time is up, or the process is to stop."""
        if self._is_over or self._count >= MOST:
            return
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(command_id, []).append(told)
        self._count += 1
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._look())
        try:
            async with asyncio.timeout(timeout_s):
                await told
        except TimeoutError:
            pass
        finally:
            self._count -= 1
            self._leave(command_id, told)

    def close(self) -> None:
        """Send all away."""
        self._is_over = True
        self._tell(list(self._waiting))

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._every_s)
            try:
                self._tell(await self._ended(list(self._waiting)))
            except Exception as error:  # noqa: BLE001  # the next look may work, and all wait for it
                log.warning("waiting_failed", reason=type(error).__name__)
                await asyncio.sleep(10 * self._every_s)

    def _tell(self, command_ids: Collection[UUID]) -> None:
        for command_id in command_ids:
            for told in self._waiting.pop(command_id, ()):
                if not told.done():
                    told.set_result(None)

    def _leave(self, command_id: UUID, told: "asyncio.Future[None]") -> None:
        others = self._waiting.get(command_id, [])
        if told in others:
            others.remove(told)
            if not others:
                del self._waiting[command_id]
