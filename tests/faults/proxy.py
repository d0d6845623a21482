"""A TCP proxy on loopback that goes wrong when told to; what is behind it stays well.

with Proxy(port).served() as proxy:
    with proxy.going(Way.HANG):
        ...
"""

import asyncio
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from enum import StrEnum

LOOPBACK = "127.0.0.1"
CHUNK = 65536


class Way(StrEnum):
    """What happens to connections and bytes."""

    PASS = "pass"
    REFUSE = "refuse"
    """Who connects is reset, and so is who was connected."""
    HANG = "hang"
    """Nothing moves either way; who waits is reset at the end."""
    LOSE = "lose"
    """Requests arrive, replies do not, and nobody is told."""
    DIE = "die"
    """Requests arrive; instead of the reply comes a reset."""
    TWICE = "twice"
    """Each reply comes twice."""


class Proxy:
    """Listens on a port of its own for what listens on `port`.

    `spares` says of a request, by its last bytes, that its reply comes through whatever happens:
    so a mail server can die after it took an e-mail rather than before. `unheard` tells which
    replies did not come through: the port that the server saw, and when.
    """

    def __init__(self, port, *, spares=lambda _: False):
        self._behind, self._spares = port, spares
        self._way = Way.PASS
        self.unheard = set()
        self._writers = set()
        self._loop = asyncio.new_event_loop()
        self._listening = socket.create_server((LOOPBACK, 0))
        self.port = self._listening.getsockname()[1]

    @contextmanager
    def served(self):
        """The proxy, while it listens."""
        asyncio.set_event_loop(None)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, sock=self._listening)
        )
        thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._call(self._close, server)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    @contextmanager
    def going(self, way):
        """Everything goes this way for a while; those whom it cost an answer are reset after it."""
        self._call(self._go, way)
        try:
            yield
        finally:
            self._call(self._go, Way.PASS)

    def _call(self, function, *arguments):
        """Run it in the proxy's thread, and wait for it."""

        async def run():
            await function(*arguments)

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _go(self, way):
        former, self._way = self._way, way
        if way is Way.REFUSE or former in {Way.HANG, Way.TWICE}:
            self._reset_all()

    async def _close(self, server):
        server.close()
        self._reset_all()
        tasks = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _reset_all(self):
        for writer in list(self._writers):
            reset(writer)

    async def _connected(self, reader, writer):
        self._writers.add(writer)
        behind = None
        try:
            if self._way is Way.REFUSE:
                return
            behind_reader, behind = await asyncio.open_connection(LOOPBACK, self._behind)
            link = Link(writer, behind, behind.get_extra_info("sockname")[1])
            pumps = [
                asyncio.ensure_future(self._requests(reader, link)),
                asyncio.ensure_future(self._replies(behind_reader, link)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if link.is_waiting:  # it had enough of waiting, or was killed
                    self.unheard.add((link.port, time.time()))
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # nobody is behind it, or the proxy ends
        finally:
            self._writers.discard(writer)
            if self._way is Way.REFUSE:
                reset(writer)
            for one in (writer, behind):
                if one:
                    one.close()

    async def _requests(self, reader, link):
        while data := await reader.read(CHUNK):
            await self._until_moving()
            link.asked = (link.asked + data)[-64:]
            link.is_waiting = True
            link.behind.write(data)
            await link.behind.drain()

    async def _replies(self, reader, link):
        while data := await reader.read(CHUNK):
            reply = (link.port, time.time())
            self.unheard.add(reply)
            await self._until_moving()
            is_plain = self._way is Way.PASS or self._spares(link.asked)
            if self._way is Way.DIE and not is_plain:
                reset(link.front)
                return
            if self._way is Way.LOSE and not is_plain:
                continue
            link.front.write(data * 2 if self._way is Way.TWICE and not is_plain else data)
            await link.front.drain()
            if not link.front.transport.is_closing():
                self.unheard.discard(reply)
                link.is_waiting = False

    async def _until_moving(self):
        while self._way is Way.HANG:  # noqa: ASYNC110  # no event says which way it goes
            await asyncio.sleep(0.02)


class Link:
    """A connection on both sides of the proxy."""

    def __init__(self, front, behind, port):
        self.front, self.behind, self.port = front, behind, port
        self.asked = b""
        self.is_waiting = False


def reset(writer):
    """Close so that the other side hears a reset."""
    with suppress(OSError, AttributeError):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
