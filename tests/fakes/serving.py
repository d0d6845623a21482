"""HTTP servers on loopback that can go wrong in the middle of an answer."""

import json
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the server's `fake.answer(method, path, headers, body)`."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_):
        pass

    def _do(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        answer = self.server.fake.answer(self.command, self.path, self.headers, body)
        answer.send(self)

    do_GET = do_POST = do_DELETE = _do  # noqa: N815  # http.server names them so


class Answer:
    """A status and a JSON document, or whatever bytes are given."""

    def __init__(self, status, document=None, *, raw=None, headers=None):
        self.status, self.headers = status, headers or {}
        self.content = json.dumps(document).encode() if raw is None else raw

    def send(self, handler):
        handler.send_response(self.status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(self.content)))
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self.content)


class Silence:
    """No answer until the server stops, or the client hangs up."""

    def __init__(self, over):
        self.over = over

    def send(self, handler):
        handler.connection.settimeout(0.05)
        while not self.over.is_set():
            try:
                if not handler.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        handler.close_connection = True


class Reset:
    """The connection breaks in the middle of the answer."""

    def send(self, handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{")
        handler.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.close_connection = True
        handler.connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    block_on_close = False

    def handle_error(self, request, client_address):
        pass  # whoever hung up is the test's business


@contextmanager
def serving(fake):
    """The URL of the fake, for as long as the block runs; `fake.over` is set at its end."""
    server = _Server(("127.0.0.1", 0), Handler)
    server.fake = fake
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        fake.over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
