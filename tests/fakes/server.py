"""HTTP servers on loopback that answer wrongly when told to, or now and then.

    with FakeSquare(wrong_rate=0.2, seed=7) as fake:
        Square("token", url=fake.url).refund(part)

Other processes reach them by `url`. What a server knows is in its books.
"""

import json
import random
import select
import socket
import struct
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit


class Wrong(StrEnum):
    """What can go wrong; `before` and `after` are the moment at which money moves."""

    DECLINED = "declined"
    """An error that is final."""
    FAILED = "failed"
    """A refund is made, and has failed."""
    PENDING = "pending"
    """A refund is made, and ends later."""
    BUSY = "busy"
    """429 with Retry-After."""
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    """500."""
    SILENT_BEFORE = "silent_before"
    SILENT_AFTER = "silent_after"
    """No reply until the caller hangs up."""
    GARBAGE_BEFORE = "garbage_before"
    GARBAGE_AFTER = "garbage_after"
    """200, and a page that is not JSON."""
    EMPTY_AFTER = "empty_after"
    """200, and JSON that holds nothing."""
    CUT_AFTER = "cut_after"
    """The connection breaks within the reply."""
    SLOW = "slow"
    """Right, but late."""


@dataclass(frozen=True)
class Request:
    """What the caller sent; names of headers are in lower case."""

    method: str
    path: list[str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What the caller gets; a body of bytes is sent as it is, any other as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] | None = None


class Broken(Enum):
    """What the caller gets instead of a reply."""

    SILENCE = "silence"
    CUT = "cut"


GARBAGE = Reply(200, b"<html>one moment please</html>")


class FakeServer(ABC):
    """The half that all have in common; a subclass knows one interface, and keeps the books."""

    def __init__(
        self,
        *,
        wrong_rate: float = 0,
        seed: int = 0,
        weights: Mapping[Wrong, float] | None = None,
        slow_s: float = 0.05,
    ) -> None:
        """A server that is not yet listening.

        Args:
          wrong_rate: Share of requests that go wrong, in 0 to 1, when nothing else is told.
          seed: Of what goes wrong.
          weights: How often each goes wrong among what does; unset, all alike.
          slow_s: How late a slow reply is.
        """
        self.url = ""
        """Where it listens."""
        self.lock = threading.RLock()
        self.retry_after = "1"
        """What 429 says."""
        self.stopping = threading.Event()
        self._slow_s = slow_s
        self._rate = wrong_rate
        self._random = random.Random(seed)
        self._weights = dict(weights or dict.fromkeys(Wrong, 1.0))

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @abstractmethod
    def answer(self, request: Request) -> Reply | Broken:
        """What the caller hears of a request that got through; `go` for what may go wrong."""

    @abstractmethod
    def error(self, status: int) -> Any:
        """The body of an error that has nothing to do with what was asked."""

    def go(self, wrong: Wrong | Reply | None, carry_out: Callable[[], Reply]) -> Reply | Broken:
        """Let this go wrong with what is to be carried out; a reply is given instead of that."""
        if isinstance(wrong, Reply):
            return wrong
        error = Reply(500, self.error(500))
        before: dict[Wrong | None, Reply | Broken] = {
            Wrong.BUSY: Reply(429, self.error(429), {"Retry-After": self.retry_after}),
            Wrong.ERROR_BEFORE: error,
            Wrong.SILENT_BEFORE: Broken.SILENCE,
            Wrong.GARBAGE_BEFORE: GARBAGE,
        }
        if wrong in before:
            return before[wrong]
        reply = carry_out()
        if wrong is Wrong.SLOW:
            time.sleep(self._slow_s)
        after: dict[Wrong | None, Reply | Broken] = {
            Wrong.ERROR_AFTER: error,
            Wrong.SILENT_AFTER: Broken.SILENCE,
            Wrong.GARBAGE_AFTER: GARBAGE,
            Wrong.EMPTY_AFTER: Reply(200, {}),
            Wrong.CUT_AFTER: Broken.CUT,
        }
        return after.get(wrong, reply)

    def next_wrong(self, told: list[Wrong | Reply | None]) -> Wrong | Reply | None:
        """What goes wrong with a request: what was told first, else by chance."""
        with self.lock:
            if told:
                return told.pop(0)
            if self._random.random() >= self._rate:
                return None
            return self._random.choices(list(self._weights), list(self._weights.values()))[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    fake: FakeServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is no news; a bug of ours is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def _do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the caller was killed on the way
            self.close_connection = True
            return
        url = urlsplit(self.path)
        request = Request(
            self.command,
            [unquote(one) for one in url.path.strip("/").split("/")],
            {name: values[0] for name, values in parse_qs(url.query).items()},
            {name.lower(): value for name, value in self.headers.items()},
            body,
        )
        match self.server.fake.answer(request):
            case Broken.SILENCE:
                self._hold()
            case Broken.CUT:
                self._cut()
            case reply:
                self._send(reply)

    do_GET = do_POST = do_DELETE = _do  # noqa: N815  # http.server names them so

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""

    def _send(self, reply: Reply) -> None:
        is_page = isinstance(reply.body, bytes)
        body = reply.body if is_page else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/html" if is_page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (reply.headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _hold(self) -> None:
        """Say nothing until the caller has hung up."""
        self.close_connection = True
        while not self.server.fake.stopping.is_set():
            if select.select([self.connection], [], [], 0.05)[0]:
                return

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(b'{"')
            self.wfile.flush()
        # Without lingering, close is a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
