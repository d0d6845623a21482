"""The receiver of webhooks: `POST /webhooks/{provider}`, answered when the news is in the books.

An answer other than 200 makes the provider send it again. So what cannot be booked now is a 503;
what is not the provider's, and what can never be understood, is refused.
"""

import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final, cast

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import explain
from worker.refunds.news import receive
from worker.refunds.provider import NotGenuine, Provider

log = structlog.get_logger()

MAX_BODY_BYTES: Final = 1 << 20
THREADS: Final = 8
"""Requests at one time; more of them wait to be accepted."""
IDLE_S: Final = 5.0
"""For one read or write."""
REQUEST_S: Final = 30.0
"""For a request in all, however many bytes at a time it comes in."""
_PATH: Final = re.compile(r"/webhooks/([^/?]+)/?(?:\?.*)?")


class Receiver(ThreadingHTTPServer):
    """Hands what comes in to the provider that the path names; bound when it is made.

    Raises:
      OSError: The address cannot be bound.
    """

    daemon_threads = False  # closing it waits for the requests that are in progress
    request_queue_size = 128  # a crowd waits to be accepted; it is not turned away

    def __init__(
        self, host: str, port: int, engine: Engine, providers: Mapping[str, Provider]
    ) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        self.engine = engine
        self.providers = providers
        self._free = threading.BoundedSemaphore(THREADS)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # Not as HTTPServer does: it asks the name service who we are, which can take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        end = threading.Timer(REQUEST_S, _hang_up, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away."""
        del request, client_address


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    timeout = IDLE_S

    def do_POST(self) -> None:
        server = cast(Receiver, self.server)
        path = _PATH.fullmatch(self.path)
        name = path[1] if path else ""
        provider = server.providers.get(name)
        if provider is None:
            self._answer(404, "no such provider")
            return
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            self._answer(400, "Content-Length must say how long the body is")
            return
        # Python reads no number of more than 4,300 digits.
        if len(length) > len(str(MAX_BODY_BYTES)) or int(length) > MAX_BODY_BYTES:
            self._answer(413, "at most 1 MiB")
            self._discard()
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self._answer(400, "the body is shorter than Content-Length says")
            return
        self._answer(*_receive(server.engine, name, provider, dict(self.headers.items()), body))

    def do_GET(self) -> None:
        self._answer(405, "POST it")

    def _discard(self) -> None:
        """Whoever is still sending when we hang up gets a reset, and may never see the answer."""
        self.wfile.flush()
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            for _ in range(4):
                if not self.rfile.read(MAX_BODY_BYTES):
                    return

    def _answer(self, status: int, why: str) -> None:
        content = f"{why}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        if status == 503:  # noqa: PLR2004  # Service Unavailable
            self.send_header("Retry-After", "10")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """What came of the news is logged, not each request."""


def _receive(
    engine: Engine, name: str, provider: Provider, headers: Mapping[str, str], body: bytes
) -> tuple[int, str]:
    try:
        receive(engine, name, provider, headers, body)
    except NotGenuine as error:
        log.warning("webhook_refused", provider=name, reason=str(error))
        return 401, "not genuine"
    except SQLAlchemyError as error:
        reason, may_heal, message = explain(error)
        log.warning("webhook_failed", provider=name, reason=reason, error=message)
        return (503, "not now") if may_heal else (500, "it cannot be booked")
    except Exception as error:  # a bug must be seen, and the provider must send it again
        log.exception("webhook_failed", provider=name, reason=type(error).__name__)
        return 500, "it cannot be booked"
    return 200, "ok"
