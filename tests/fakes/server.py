"""A payment provider on loopback that answers wrongly when told to, or now and then.

    with FakeSquare(wrong_rate=0.2, seed=7) as fake:
        fake.ledger.capture("P1", 5_000)
        Square("token", url=fake.url).refund(part)

Other processes reach it by its URL. What it did is in `counts`, what it knows in `ledger`.
"""

import json
import random
import select
import socket
import struct
import threading
import time
import urllib.request
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.ledger import Ledger, Refund, State

PRIVATE = "private words of a customer"
"""In every text that is meant for people: it must be found nowhere on our side."""

GARBAGE = b"<html>one moment please</html>"


class Wrong(StrEnum):
    """What can go wrong; `before` and `after` are the moment at which money moves."""

    DECLINED = "declined"
    """An error that is final."""
    FAILED = "failed"
    """A refund is made, and has failed."""
    PENDING = "pending"
    """A refund is made, and ends later: `settle` or `fail` it."""
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


ONLY_REFUNDS = {Wrong.DECLINED, Wrong.FAILED, Wrong.PENDING}


@dataclass(frozen=True)
class Request:
    """What the caller sent."""

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


class FakeProvider(ABC):
    """The half that providers have in common; a subclass knows the interface of one."""

    def __init__(
        self,
        *,
        wrong_rate: float = 0,
        seed: int = 0,
        weights: Mapping[Wrong, float] | None = None,
        slow_s: float = 0.05,
        retry_after: str = "1",
        keeps_keys_s: float = float("inf"),
        webhook_url: str = "http://127.0.0.1/news",
        port: int = 0,
    ) -> None:
        """A provider that is not yet listening.

        Args:
          wrong_rate: Share of requests that go wrong, in 0 to 1, when nothing else is told.
          seed: Of what goes wrong.
          weights: How often each goes wrong among what does; unset, all alike.
          slow_s: How late a slow reply is.
          retry_after: What 429 says.
          keeps_keys_s: For how long a key gives its first answer.
          webhook_url: Where `settle` and `fail` can send news, and part of what Square signs.
          port: A free one, unless told.
        """
        self.ledger = Ledger(keeps_keys_s=keeps_keys_s)
        self.counts: Counter[str] = Counter()
        self.webhook_url = webhook_url
        self.slow_s = slow_s
        self.retry_after = retry_after
        self.stopping = threading.Event()
        self._told: dict[str, deque[Wrong | Reply | None]] = {"POST": deque(), "GET": deque()}
        self._rate = wrong_rate
        self._random = random.Random(seed)
        self._weights = dict(weights or dict.fromkeys(Wrong, 1.0))
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
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

    def refunds_go(self, *wrong: Wrong | Reply | None) -> None:
        """How the next requests for refunds go, one by one; None is right, a reply is given instead
        of doing anything.
        """
        self._told["POST"].extend(wrong)

    def lookups_go(self, *wrong: Wrong | Reply | None) -> None:
        """How the next look-ups go."""
        self._told["GET"].extend(wrong)

    def settle(self, refund_id: str, *, tell: bool = False) -> None:
        """A pending refund succeeds; `tell` sends the news to the webhook."""
        self._end(refund_id, "settled", tell)

    def fail(self, refund_id: str, *, tell: bool = False) -> None:
        """A refund fails; `tell` sends the news to the webhook."""
        self._end(refund_id, "failed", tell)

    def _end(self, refund_id: str, state: State, tell: bool) -> None:  # noqa: FBT001
        refund = self.ledger.end(refund_id, state)
        if tell:
            headers, body = self.event(refund)
            with urllib.request.urlopen(
                urllib.request.Request(self.webhook_url, body, dict(headers)), timeout=10
            ):
                pass

    @abstractmethod
    def event(self, refund: Refund, kind: str | None = None) -> tuple[Mapping[str, str], bytes]:
        """Signed news of how the refund stands by now, as headers and body."""

    @abstractmethod
    def serve(self, request: Request, wrong: Wrong | None) -> Reply:
        """The reply to a request that got through. What the caller will hear instead, if anything,
        is not its business, unless it keeps that under the key.
        """

    @abstractmethod
    def error(self, status: int) -> Any:
        """The body of an error that has nothing to do with what was asked."""

    def draw(self, method: str) -> Wrong | Reply | None:
        """What goes wrong with this request."""
        with self._lock:
            if self._told[method]:
                wrong = self._told[method].popleft()
            elif self._rate and self._random.random() < self._rate:
                kinds = list(self._weights)
                (wrong,) = self._random.choices(kinds, list(self._weights.values()))
            else:
                wrong = None
            if method == "GET" and wrong in ONLY_REFUNDS:
                wrong = None
            kind = "told" if isinstance(wrong, Reply) else wrong or "right"
            self.counts[f"{method} {kind}"] += 1
            return wrong


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    fake: FakeProvider

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is no news; a bug of ours is."""
        import sys  # noqa: PLC0415

        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""

    def _answer(self) -> None:
        fake = self.server.fake
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
        wrong = fake.draw(self.command)
        if isinstance(wrong, Reply):
            self._send(wrong.status, wrong.body, wrong.headers)
        elif not self._said_before(wrong):
            reply = fake.serve(request, wrong)
            self._say_after(wrong, reply)

    def _said_before(self, wrong: Wrong | None) -> bool:
        """Whether the request is over before anything has been done."""
        fake = self.server.fake
        match wrong:
            case Wrong.BUSY:
                self._send(429, fake.error(429), {"Retry-After": fake.retry_after})
            case Wrong.ERROR_BEFORE:
                self._send(500, fake.error(500))
            case Wrong.SILENT_BEFORE:
                self._hold()
            case Wrong.GARBAGE_BEFORE:
                self._send(200, GARBAGE)
            case _:
                return False
        return True

    def _say_after(self, wrong: Wrong | None, reply: Reply) -> None:
        fake = self.server.fake
        match wrong:
            case Wrong.ERROR_AFTER:
                self._send(500, fake.error(500))
            case Wrong.SILENT_AFTER:
                self._hold()
            case Wrong.GARBAGE_AFTER:
                self._send(200, GARBAGE)
            case Wrong.EMPTY_AFTER:
                self._send(200, {})
            case Wrong.CUT_AFTER:
                self._cut(json.dumps(reply.body).encode())
            case _:
                if wrong is Wrong.SLOW:
                    time.sleep(fake.slow_s)
                self._send(reply.status, reply.body, reply.headers)

    def _send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        if isinstance(body, bytes):
            self._send_bytes(status, body, "text/html", headers)
        else:
            self._send_bytes(status, json.dumps(body).encode(), "application/json", headers)

    def _send_bytes(
        self, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
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

    def _cut(self, body: bytes) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
        # Without lingering, close is a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
